//! `portcullis play`: a recording in its own time, or as text.

use std::path::Path;
use std::time::Duration;

use api::Client;
use model::RecordingId;
use recordings::{Item, Parser, PlayError, PlayOptions, Player, Source as _, Text, Wish};
use tokio::sync::mpsc;

use crate::context::Context;
use crate::error::{CliError, Kind, chain};
use crate::fetch::Content;
use crate::ids;
use crate::keyboard::{Ends, Keyboard};
use crate::output::clean;

/// How often, and with which pause, the CA is asked whether a session has ended with its recording.
const TRIES: usize = 10;
const PAUSE: Duration = Duration::from_millis(100);

/// Play a recording in its own time, follow a live one, or read it as text
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis play rec-k2 --speed 4 --idle-limit 1s
  portcullis play ses-9f --follow  # what happens there now
  portcullis play rec-k2 --text | grep passwd
  portcullis play ./rec-k2.cast    # an exported file; asciinema plays it too

On a terminal: space pauses and goes on, . shows the next event and pauses,
+ and - change the speed, q or Ctrl-C ends.

What could act upon your terminal (clipboard, title, questions) is left out,
unless --raw is given.")]
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
    let mut from = None;
    let mut content = if path.is_file() {
        Content::from_file(path).await?
    } else if ids::names_a_file(&args.id) {
        return Err(CliError::new(
            Kind::NotFound,
            match path.is_dir() {
                true => format!("{} is a directory", path.display()),
                false => format!("there is no file {}", path.display()),
            },
            "portcullis recordings lists those that the CA has; portcullis recordings export writes one to a file",
        ));
    } else {
        let client = context.client().await?;
        let id = ids::recording(&client, &args.id).await?;
        let content = Content::from_api(&client, &id, args.follow).await?;
        from = Some((client, id));
        content
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
    let ended = watch(context, &player, &mut content, args.follow).await;
    match (ended, from) {
        (Ok(End::Over), Some((client, id))) if args.follow => {
            context.output.note(why_over(&client, &id).await);
            Ok(())
        }
        (Ok(End::Over | End::Left), _) => Ok(()),
        (Ok(End::Stopped), _) => Err(CliError::new(Kind::Interrupted, "the play was stopped by a signal", "")),
        (Err(PlayError::Source(error)), Some((_, id))) if args.follow => Err(CliError::new(
            Kind::Unreachable,
            format!("the connection to the CA was lost, and the session may go on: {}", chain(&error)),
            format!("portcullis play {id} --follow takes it up again"),
        )),
        (Err(error), _) => Err(unplayable(&error)),
    }
}

/// How a play ended.
enum End {
    /// The recording was over.
    Over,
    /// Whoever watched had seen enough.
    Left,
    /// A signal.
    Stopped,
}

/// Plays, with the keyboard where there is one, and puts the terminal back however it ends.
async fn watch(context: &Context, player: &Player, content: &mut Content, follow: bool) -> Result<End, PlayError> {
    let terminal = context.output.is_terminal();
    let keyboard = if terminal { Keyboard::take() } else { None };
    let mut ends = Ends::listen().map_err(|error| PlayError::Output(std::io::Error::other(error)))?;
    let (wish, wishes) = mpsc::channel(1);
    let mut keys = keyboard.as_ref().map(Keyboard::keys);
    if keyboard.is_some() {
        context.output.note(if follow { "q ends the view, and not the session" } else { KEYS });
    }
    let mut out = tokio::io::stdout();
    let playing = player.steered(content, &mut out, keyboard.is_some().then_some(wishes));
    tokio::pin!(playing);
    let ended = loop {
        let key = async {
            match &mut keys {
                Some(keys) => keys.recv().await,
                None => std::future::pending().await,
            }
        };
        tokio::select! {
            played = &mut playing => break played.map(|()| End::Over),
            by_hand = ends.next() => break Ok(if by_hand { End::Left } else { End::Stopped }),
            key = key => match key.map(meant) {
                Some(Some(Key::Quit)) => break Ok(End::Left),
                // A wish that finds the one before it still waiting is dropped, as keys are that come too fast.
                Some(Some(Key::Wish(meant))) => drop(wish.try_send(meant)),
                Some(None) => {}
                // Standard input is at its end; the play goes on.
                None => keys = None,
            },
        }
    };
    // A recording that ended put the screen right by itself.
    if terminal && !matches!(ended, Ok(End::Over)) {
        let _ = context.output.bytes(Player::RESET.as_bytes());
    }
    ended
}

const KEYS: &str = "space pauses, . steps, + and - change the speed, q quits";

/// What a key means to a play.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Key {
    Wish(Wish),
    Quit,
}

fn meant(key: u8) -> Option<Key> {
    match key {
        b' ' => Some(Key::Wish(Wish::Pause)),
        b'.' => Some(Key::Wish(Wish::Step)),
        b'+' | b'=' => Some(Key::Wish(Wish::Faster)),
        b'-' | b'_' => Some(Key::Wish(Wish::Slower)),
        // Ctrl-D too, which ends everything else that reads a terminal.
        b'q' | b'Q' | 4 => Some(Key::Quit),
        _ => None,
    }
}

/// Why the recording of a followed session went no further.
async fn why_over(client: &Client, id: &RecordingId) -> String {
    let Ok(recording) = client.get_recording(id).await else {
        return "the recording ended; the CA does not say why".to_owned();
    };
    // The end of a session is told a moment after that of its recordings.
    for _ in 0..TRIES {
        match client.get_session(&recording.session).await {
            Ok(session) if session.ended.is_some() => {
                let end = session.end.map(|end| format!(": {}", clean(&end))).unwrap_or_default();
                return format!("the session {} ended{end}", session.id);
            }
            Ok(_) => tokio::time::sleep(PAUSE).await,
            Err(_) => break,
        }
    }
    format!("the recording was closed ({}); the session {} goes on", recording.status, recording.session)
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
    fn keys_mean_what_the_help_says() {
        for (key, means) in [(b' ', Wish::Pause), (b'.', Wish::Step), (b'+', Wish::Faster), (b'-', Wish::Slower)] {
            assert_eq!(meant(key), Some(Key::Wish(means)));
        }
        assert_eq!((meant(b'q'), meant(4), meant(b'x')), (Some(Key::Quit), Some(Key::Quit), None));
    }

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
