//! `portcullis play`: a recording in its own time, or as text.

use std::path::Path;
use std::time::Duration;

use recordings::{Item, Parser, PlayError, PlayOptions, Player, Source as _, Text};

use crate::context::Context;
use crate::error::{CliError, Kind, chain};
use crate::fetch::Content;
use crate::ids;

/// Play a recording in its own time, follow a live one, or read it as text
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis play rec-k2 --speed 4 --idle-limit 1s
  portcullis play ses-9f --follow            # what happens there now
  portcullis play rec-k2 --text | grep passwd
  portcullis play ./rec-k2.cast              # an exported file; stock asciinema plays it too

What could act upon your terminal (clipboard, title, questions) is left out, unless --raw is given.")]
pub(crate) struct Args {
    /// The recording: its id, a unique beginning of it, its session's id, or a file
    id: String,
    /// 2 plays twice as fast
    #[arg(long, value_name = "FACTOR", default_value = "1")]
    speed: f64,
    /// No pause lasts longer than this, as 2s
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    idle_limit: Option<Duration>,
    /// Begin here, as 1m30s
    #[arg(long, value_name = "TIME", value_parser = seconds)]
    seek: Option<Duration>,
    /// Show a live session as it happens
    #[arg(long, conflicts_with_all = ["speed", "idle_limit", "seek"])]
    follow: bool,
    /// Write what could be read on the screen, as plain text
    #[arg(long, conflicts_with_all = ["speed", "idle_limit", "seek", "follow", "raw"])]
    text: bool,
    /// Play every byte, as stock players do; only for a terminal that you can spare
    #[arg(long)]
    raw: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let path = Path::new(&args.id);
    let mut content = if path.is_file() {
        Content::from_file(path).await?
    } else {
        let client = context.client().await?;
        let id = ids::recording(&client, &args.id).await?;
        Content::from_api(&client, &id, args.follow).await?
    };
    if args.text {
        return text(context, &mut content).await;
    }
    let options = PlayOptions {
        speed: args.speed,
        idle_limit: args.idle_limit,
        start: args.seek.unwrap_or_default(),
        follow: args.follow,
        raw: args.raw,
    };
    let player = Player::new(options).map_err(|error| CliError::usage(chain(&error), "--speed 2 is twice as fast"))?;
    let mut out = tokio::io::stdout();
    tokio::select! {
        played = player.play(&mut content, &mut out) => played.map_err(|error| unplayable(&error)),
        _ = tokio::signal::ctrl_c() => {
            if context.output.is_terminal() {
                context.output.bytes(Player::RESET.as_bytes())?;
            }
            Ok(())
        }
    }
}

async fn text(context: &Context, content: &mut Content) -> Result<(), CliError> {
    let mut parser = Parser::default();
    let mut text = None;
    while let Some(bytes) = content.chunk().await.map_err(|error| unplayable(&PlayError::Source(error)))? {
        parser.push(&bytes);
        while let Some(item) = parser.next_item().map_err(|error| unplayable(&error.into()))? {
            match item {
                Item::Header(header) => text = Some(Text::new(&header)),
                Item::Event(event) => {
                    for line in text.as_mut().map(|text| text.event(&event)).unwrap_or_default() {
                        context.output.line(line)?;
                    }
                }
            }
        }
    }
    for line in text.map(Text::finish).unwrap_or_default() {
        context.output.line(line)?;
    }
    parser.finish().map_err(|error| unplayable(&error.into()))
}

fn unplayable(error: &PlayError) -> CliError {
    match error {
        PlayError::Output(error) if error.kind() == std::io::ErrorKind::BrokenPipe => CliError::closed_pipe(),
        PlayError::Output(_) | PlayError::Speed(_) => CliError::failed(chain(error), "look at where the output goes"),
        PlayError::Source(_) => {
            CliError::new(Kind::Unreachable, chain(error), "the connection to the CA broke: try again")
        }
        PlayError::Parse(_) => CliError::integrity(
            chain(error),
            "portcullis recordings verify says whether it is still what the ledger recorded",
        ),
    }
}

/// A length of time, with the fractions that a pause may have: "1.5s", "500ms", "2m".
fn seconds(text: &str) -> Result<Duration, String> {
    let fraction = |number: &str, unit: f64| {
        let value: f64 = number.trim().parse().ok()?;
        Duration::try_from_secs_f64(value * unit).ok()
    };
    let short = match (text.strip_suffix("ms"), text.strip_suffix('s')) {
        (Some(number), _) => fraction(number, 0.001),
        (None, Some(number)) => fraction(number, 1.0),
        (None, None) => None,
    };
    match short {
        Some(duration) => Ok(duration),
        None => text.parse::<model::Span>().map(model::Span::to_std).map_err(|error| error.to_string()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_may_have_fractions() {
        for (text, millis) in [("1.5s", 1500), ("500ms", 500), ("2m", 120_000), ("1m30s", 90_000), ("2s", 2000)] {
            assert_eq!(seconds(text), Ok(Duration::from_millis(millis)), "{text}");
        }
        for text in ["", "s", "-1s", "2", "nans", "1e99s"] {
            assert!(seconds(text).is_err(), "{text}");
        }
    }
}
