//! `portcullis recordings files`: who moved which file.

use std::collections::BTreeSet;
use std::time::Duration;

use api::Client;
use api::wire::{Recording, Time};
use model::{IdentityName, Login, PathPattern, PathRule, RecordingId, TargetName, Timestamp};
use recordings::{Format, Item, Operation, Parser, Source as _, What, sentence};
use serde::Serialize;
use sftp::{Action, Digest, Direction, Moved, Outcome};

use crate::context::Context;
use crate::error::{CliError, Kind, chain};
use crate::fetch::Content;
use crate::progress::Progress;
use crate::words::{count, distance};

/// What is looked for.
#[derive(Debug, clap::Args)]
pub(super) struct Sought {
    /// Only what was done to such a path: * stays within a name, ** crosses folders
    #[arg(long, value_name = "PATTERN")]
    path: Option<PathPattern>,
    /// Only a file with this content, moved whole
    #[arg(long, value_name = "DIGEST", value_parser = digest)]
    sha256: Option<String>,
    /// Only what was written or changed on the target
    #[arg(long, conflicts_with = "downloads")]
    uploads: bool,
    /// Only what was read
    #[arg(long)]
    downloads: bool,
    /// Only what the grant refused
    #[arg(long)]
    refused: bool,
}

/// A digest as `sha256sum` prints it. Less of one would be found nowhere, which must not look like an answer.
fn digest(text: &str) -> Result<String, String> {
    let whole = text.len() == 64 && text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if whole {
        Ok(text.to_ascii_lowercase())
    } else {
        Err("a SHA-256 has 64 hex digits, as sha256sum prints them".to_owned())
    }
}

/// An operation, with who and where.
#[derive(Debug, Serialize)]
struct Found {
    time: Time,
    identity: IdentityName,
    login: Login,
    target: TargetName,
    recording: RecordingId,
    #[serde(flatten)]
    operation: Operation,
}

/// Looks through recordings, oldest first.
pub(super) async fn run(
    context: &Context,
    client: &Client,
    mut recordings: Vec<Recording>,
    sought: &Sought,
) -> Result<(), CliError> {
    let rule = sought.rule()?;
    recordings.reverse();
    let progress = Progress::count("reading", Some(recordings.len() as u64));
    let (mut found, mut skipped) = (Vec::new(), 0);
    for recording in &recordings {
        match search(client, recording, |operation| sought.fits(operation, rule.as_ref())).await {
            Ok(some) => found.extend(some),
            Err(error) if super::is_not_permitted(&error) => skipped += 1,
            Err(error) => return Err(error),
        }
        progress.add(1);
    }
    drop(progress);
    let now = context.now();
    let row = |found: &Found| {
        [
            distance(now, found.time.0),
            found.identity.to_string(),
            format!("{}@{}", found.login, found.target),
            sentence(&found.operation),
            found.recording.to_string(),
        ]
    };
    context.output.list(
        &found,
        ["WHEN", "WHO", "WHERE", "WHAT", "RECORDING"],
        row,
        "nothing of the kind is on record",
    )?;
    if skipped > 0 {
        return Err(CliError::failed(
            format!("{skipped} of {} skipped: you may not replay them", count(recordings.len(), "recording")),
            "portcullis policy explain LOGIN@TARGET --action replay says who may",
        ));
    }
    Ok(())
}

impl Sought {
    fn rule(&self) -> Result<Option<PathRule>, CliError> {
        let rule = self.path.clone().map(|pattern| PathRule::new(&BTreeSet::from([pattern]))).transpose();
        rule.map_err(|error| CliError::usage(chain(&error), "--path '/srv/in/**' is all that is in a folder"))
    }

    fn fits(&self, operation: &Operation, rule: Option<&PathRule>) -> bool {
        let Operation { action, result } = operation;
        let refused = matches!(result, Outcome::Refused { .. });
        let direction = match action.direction() {
            Direction::Upload | Direction::Change => !self.downloads,
            Direction::Download => !self.uploads,
            Direction::Both => true,
            Direction::Look => !self.uploads && !self.downloads,
        };
        direction
            && (refused || !self.refused)
            && rule.is_none_or(|rule| action.paths().any(|path| rule.covers(path.as_bytes())))
            && self.sha256.as_ref().is_none_or(|wanted| has(action, wanted))
    }
}

/// Whether a file with this content was moved.
fn has(action: &Action, wanted: &str) -> bool {
    let Action::Close { read, written, .. } = action else { return false };
    let fits = |moved: &Moved| match &moved.digest {
        Digest::Sha256(digest) => digest.eq_ignore_ascii_case(wanted),
        Digest::Absent(_) => false,
    };
    [read, written].into_iter().flatten().any(fits)
}

/// What fits in one recording. One of a terminal is left after its header.
async fn search(
    client: &Client,
    recording: &Recording,
    fits: impl Fn(&Operation) -> bool,
) -> Result<Vec<Found>, CliError> {
    let mut content = Content::from_api(client, &recording.id, false).await?;
    let mut parser = Parser::default();
    let mut found = Vec::new();
    while let Some(chunk) = content.chunk().await.map_err(|error| super::broken(&recording.id, &error))? {
        parser.push(&chunk);
        loop {
            let item = parser.next_item().map_err(|error| {
                let said = format!("{} does not read: {}", recording.id, chain(&error));
                CliError::new(Kind::Integrity, said, format!("portcullis recordings verify {}", recording.id))
            })?;
            match item {
                None => break,
                Some(Item::Header(header)) => match header.format {
                    Format::Bytes => {}
                    Format::Cast => return Ok(found),
                },
                Some(Item::Event(event)) => {
                    let What::File(operation) = event.what else { continue };
                    if fits(&operation) {
                        found.push(Found {
                            time: at(recording, event.time),
                            identity: recording.identity.clone(),
                            login: recording.login.clone(),
                            target: recording.target.clone(),
                            recording: recording.id.clone(),
                            operation: *operation,
                        });
                    }
                }
            }
        }
    }
    Ok(found)
}

fn at(recording: &Recording, time: Duration) -> Time {
    let micros = u64::try_from(time.as_micros()).unwrap_or(u64::MAX);
    Time(Timestamp::from_micros(recording.started.0.micros().saturating_add(micros)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sought(arguments: &[&str]) -> Sought {
        use clap::{Args as _, FromArgMatches as _};
        let command = Sought::augment_args(clap::Command::new("files"));
        Sought::from_arg_matches(&command.get_matches_from([&["files"], arguments].concat())).unwrap()
    }

    fn fits(arguments: &[&str], operation: &str) -> bool {
        let sought = sought(arguments);
        sought.fits(&serde_json::from_str(operation).unwrap(), sought.rule().unwrap().as_ref())
    }

    #[test]
    fn what_is_sought_is_found_and_nothing_else() {
        let sum = "ab12".repeat(16);
        let up = format!(
            r#"{{"op":"close","path":"/srv/in/d/x","or":"/srv/x","written":{{"bytes":1,"from":0,"to":1,"sha256":"{sum}"}},"result":"done"}}"#
        );
        let no = r#"{"op":"open","path":"/etc/shadow","read":true,"result":{"refused":{"reason":"no"}}}"#;
        let list = r#"{"op":"list","path":"/srv/in","entries":3,"result":"done"}"#;
        for (arguments, found) in [
            (&[][..], [true, true, true]),
            (&["--path", "/srv/in/**"], [true, false, true]),
            (&["--path", "/srv/*"], [true, false, true]),
            (&["--path", "/srv/x"], [true, false, false]),
            (&["--uploads"], [true, false, false]),
            (&["--downloads"], [false, true, false]),
            (&["--refused"], [false, true, false]),
            (&["--sha256", &sum.to_uppercase()], [true, false, false]),
            (&["--sha256", &"0".repeat(64)], [false, false, false]),
            (&["--uploads", "--path", "/etc/**"], [false, false, false]),
        ] {
            assert_eq!([up.as_str(), no, list].map(|operation| fits(arguments, operation)), found, "{arguments:?}");
        }
    }

    #[test]
    fn less_than_a_digest_is_none() {
        for text in ["", "ab12", &"zz".repeat(32), &"0".repeat(65)] {
            assert!(digest(text).is_err(), "{text}");
        }
    }
}
