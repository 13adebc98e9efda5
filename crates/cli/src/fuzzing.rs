//! What the fuzz targets in `tests/fuzz` reach, and no API: it is built for them alone.

use std::path::Path;

use model::TargetName;

use crate::config::Config;
use crate::enrolment::destination::Destination;
use crate::enrolment::remote::{direct, word};
use crate::enrolment::served::{Expected, verdict};
use crate::error::CliError;
use crate::profile::Profile;
use crate::words::{Place, shell_word};

/// Where the files of the targets stand.
const BASE: &str = "/etc/portcullis";

/// Reads a `portcullis.toml`.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn server(text: &str) -> Result<(), (String, String)> {
    Config::parse(text, "portcullis.toml", Path::new(BASE)).map(drop).map_err(said)
}

/// Reads a `client.toml`; how it is written again, and whether that reads as the same.
///
/// # Errors
/// What is wrong with it, and what to do.
pub fn client(text: &str) -> Result<(String, bool), (String, String)> {
    let read = |text: &str| Profile::parse(text, "client.toml", Path::new(BASE));
    let profile = read(text).map_err(said)?;
    let again = profile.to_text(Path::new(BASE));
    let same = read(&again).is_ok_and(|read| read == profile);
    Ok((again, same))
}

fn said(error: CliError) -> (String, String) {
    (error.message().to_owned(), error.hint().to_owned())
}

/// A `LOGIN@TARGET` as it is shown.
pub fn place(text: &str) -> Option<String> {
    text.parse::<Place>().ok().map(|place| place.to_string())
}

/// What leads ssh to a server, as arguments and as one types it.
pub fn way(text: &str) -> Option<(Vec<String>, String)> {
    let way = Destination::parse(text).ok()?;
    Some((way.arguments(), way.typed()))
}

/// A text as one word of a shell, in the two ways in which it is written.
pub fn quoted(text: &str) -> [String; 2] {
    [word(text), shell_word(text)]
}

/// Where `ssh -G` says that it goes.
pub fn goes(said: &str) -> Option<(String, u16)> {
    direct(said)
}

/// What is made of ssh's words about a server that should show the certificate of this serial.
///
/// # Errors
/// What it shows instead.
pub fn shows(said: &str, target: TargetName, serial: u64) -> Result<(), String> {
    verdict(said, &Expected { target, host_ca: String::new(), serial })
}
