//! `portcullis status`: how the CA is.

use std::time::Duration;

use api::wire::{ProxyAddress, ProxyStatus, Status};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpStream;

use crate::context::Context;
use crate::error::CliError;
use crate::output::{Tone, clean, clean_lines};
use crate::show::{field, moment};
use crate::words::{clock, count, short};

/// The longest wait for a proxy to say what it is.
const KNOCK: Duration = Duration::from_secs(2);

/// Show how the site is: the CA, its proxies as they answer from here, the rules in force, what is open
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) async fn run(context: &Context, _: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let status = client.status().await?;
    if context.output.is_json() {
        return context.output.json(&status);
    }
    let proxies = client.ca().await?.proxies;
    let mut answers = Vec::new();
    for proxy in &proxies {
        answers.push(knock(proxy).await);
    }
    let output = &context.output;
    let silent = answers.iter().filter(|answer| answer.is_err()).count();
    let deaf = status.proxies.iter().filter(|proxy| is_deaf(proxy)).count();
    // The verdict first: whoever looks in an incident reads this line and no other.
    let refused = refused(&status);
    let verdict = match (&status.ledger_error, refused.is_empty(), silent, deaf) {
        (Some(_), ..) => output.tone(Tone::Bad, "in trouble"),
        (None, false, ..) => output.tone(Tone::Bad, refused.join("; ")),
        (None, true, 0, 0) => output.tone(Tone::Good, "well"),
        (None, true, 0, deaf) => {
            output.tone(Tone::Bad, format_args!("{} without news of revocations", count(deaf, "proxy")))
        }
        (None, true, silent, _) => output.tone(Tone::Bad, format_args!("{} out of reach", count(silent, "proxy"))),
    };
    output.line(format_args!("{} at {}: {verdict}", output.tone(Tone::Strong, &status.server), client.url()))?;
    for (what, error) in troubles(&status) {
        // A validator's message has several lines.
        let text = clean_lines(error).replace('\n', "\n               ");
        field(context, &format!("{what}!"), output.tone(Tone::Bad, text))?;
    }
    field(context, "requests", waiting(context, status.pending))?;
    field(
        context,
        "open",
        format_args!("{}, {}", count_of(status.grants, "grant"), count_of(status.sessions, "session")),
    )?;
    let locks = count_of(status.locks, "lock");
    field(context, "locks", if status.locks == 0 { "none".to_owned() } else { output.tone(Tone::Waiting, locks) })?;
    for (proxy, answer) in proxies.iter().zip(&answers) {
        let at = format!("{} at {}:{}", proxy.name, proxy.host, proxy.port);
        match answer {
            Ok(banner) => field(context, "proxy", format_args!("{at} answers ({})", clean(banner)))?,
            Err(why) => field(context, "proxy!", output.tone(Tone::Bad, format_args!("{at}: {why}")))?,
        }
    }
    for proxy in &status.proxies {
        let line = feed(proxy);
        field(context, "feed", if is_deaf(proxy) { output.tone(Tone::Bad, line) } else { line })?;
        if let Some(key) = &proxy.host_key {
            field(context, "host key", format_args!("{} shows {}", proxy.name, clean(key)))?;
        }
    }
    field(context, "ledger", format_args!("{} records, root {}", status.records, status.root))?;
    field(context, "policy", &status.policy)?;
    field(context, "directory", &status.directory)?;
    field(context, "version", &status.version)?;
    field(context, "up since", moment(context.now(), status.started.0))
}

/// What is wrong, as the CA says.
fn troubles(status: &Status) -> Vec<(&'static str, &str)> {
    let all =
        [("ledger", &status.ledger_error), ("policy", &status.policy_error), ("directory", &status.directory_error)];
    let keys = status.proxies.iter().map(|proxy| ("host key", &proxy.host_key_error));
    all.into_iter().chain(keys).filter_map(|(what, error)| Some((what, error.as_deref()?))).collect()
}

/// Whether a proxy has heard nothing of revocations for so long that it lets nobody in. One that has said nothing at all
/// is no news: it does not run, or the CA has just begun to.
fn is_deaf(proxy: &ProxyStatus) -> bool {
    match (proxy.feed_age, proxy.feed_limit) {
        (Some(age), Some(limit)) => age > limit,
        (None, _) | (_, None) => proxy.told.is_some(),
    }
}

/// How fresh what a proxy knows of revocations is.
fn feed(proxy: &ProxyStatus) -> String {
    let name = &proxy.name;
    match (proxy.feed_age, proxy.feed_limit) {
        (Some(age), Some(limit)) if is_deaf(proxy) => format!(
            "{name} has heard nothing of revocations for {}: beyond {} it lets nobody in",
            short(age / 1000),
            short(limit / 1000)
        ),
        (Some(age), _) => format!("{name} knows of revocations up to {} ago", short(age / 1000)),
        (None, _) if proxy.told.is_some() => format!("{name} has not heard of revocations yet: it lets nobody in"),
        (None, _) => format!("{name} has not said yet how fresh its knowledge of revocations is"),
    }
}

/// Which changed files were refused, so that older ones are in force. The CA tells everyone when, and why only those who
/// administer.
fn refused(status: &Status) -> Vec<String> {
    let files = [
        ("policy", status.policy_refused, &status.policy_error),
        ("directory", status.directory_refused, &status.directory_error),
    ];
    let sentence =
        |what: &str, when: &str| format!("the changed {what} file{when} was refused, the old one is in force");
    let keys = status.proxies.iter().filter_map(|proxy| {
        let when = clock(proxy.host_key_refused?.0);
        Some(format!("{}'s changed host key of {when} was refused, it shows the old one", proxy.name))
    });
    let all = files.into_iter().filter_map(|(what, at, error)| match (at, error) {
        (Some(at), _) => Some(sentence(what, &format!(" of {}", clock(at.0)))),
        // An older CA does not say when.
        (None, Some(_)) => Some(sentence(what, "")),
        (None, None) => None,
    });
    all.chain(keys).collect()
}

fn waiting(context: &Context, pending: u32) -> String {
    match pending {
        0 => "none pending".to_owned(),
        _ => context.output.tone(Tone::Waiting, format_args!("{pending} pending: portcullis requests")),
    }
}

fn count_of(number: u32, one: &str) -> String {
    count(usize::try_from(number).unwrap_or(usize::MAX), one)
}

/// What a proxy's SSH port says first, or why it says nothing.
async fn knock(proxy: &ProxyAddress) -> Result<String, String> {
    let greeted = async {
        let mut stream = TcpStream::connect((proxy.host.as_str(), proxy.port)).await?;
        let mut banner = Vec::new();
        let mut byte = [0];
        // RFC 4253, section 4.2: a line of at most 255 bytes.
        while banner.len() < 255 && stream.read(&mut byte).await? == 1 && byte != *b"\n" {
            banner.extend_from_slice(&byte);
        }
        Ok::<_, std::io::Error>(String::from_utf8_lossy(&banner).trim_end().to_owned())
    };
    match tokio::time::timeout(KNOCK, greeted).await {
        Ok(Ok(banner)) if banner.starts_with("SSH-") => Ok(banner),
        Ok(Ok(_)) => Err("what listens there is no SSH server".to_owned()),
        Ok(Err(error)) => Err(format!("cannot be reached from here: {error}")),
        Err(_) => Err(format!("does not answer within {} s", KNOCK.as_secs())),
    }
}
