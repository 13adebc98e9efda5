//! Playing a recording in its own time.

use std::io;
use std::time::Duration;

use avt::Terminal;
use tokio::io::{AsyncWrite, AsyncWriteExt as _};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::text::{resize, terminal};
use crate::{Decoder, Event, FileHeader, Filter, Format, Item, Parser, PlayError, Stream, What};

/// The slowest and the fastest that a play can be made while it runs.
const SPEEDS: (f64, f64) = (1.0 / 16.0, 64.0);
/// When following, a source that says nothing for so long has told all that happened so far.
const CAUGHT_UP: Duration = Duration::from_millis(200);

/// Where a recording comes from: a file, an HTTP response.
pub trait Source {
    /// The next bytes of the recording's file; `None` at its end. Nothing may be lost when the returned future is dropped.
    fn chunk(&mut self) -> impl Future<Output = io::Result<Option<Vec<u8>>>> + Send;
}

/// How to play.
#[derive(Clone, Debug, PartialEq)]
pub struct PlayOptions {
    /// 2 plays twice as fast.
    pub speed: f64,
    /// No pause of the recording counts for more than this, before the speed is applied.
    pub idle_limit: Option<Duration>,
    /// Where to start: what was on the screen by then appears at once.
    pub start: Duration,
    /// Shows the screen as it is at the recording's end, and from then on what happens as it happens. Speed, idle
    /// limit and start do not matter.
    pub follow: bool,
    /// Plays every byte, as stock players do, without the [`Filter`]. Only for a terminal that one can spare.
    pub raw: bool,
}

impl Default for PlayOptions {
    /// As it was, from the beginning, filtered.
    fn default() -> Self {
        Self { speed: 1.0, idle_limit: None, start: Duration::ZERO, follow: false, raw: false }
    }
}

/// What a viewer wants of a play that is under way. A play that follows has no time of its own and heeds none.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wish {
    /// Stop the time, or let it go on.
    Pause,
    /// Stop the time, and show the next event.
    Step,
    /// Twice as fast, up to 64 times.
    Faster,
    /// Half as fast, down to a sixteenth.
    Slower,
}

/// Plays recordings.
#[derive(Clone, Debug, Default)]
pub struct Player {
    options: PlayOptions,
}

impl Player {
    /// A player with these options.
    ///
    /// # Errors
    /// When the speed is no positive number.
    pub fn new(options: PlayOptions) -> Result<Self, PlayError> {
        if options.speed.is_finite() && options.speed > 0.0 {
            Ok(Self { options })
        } else {
            Err(PlayError::Speed(options.speed))
        }
    }

    /// Plays a recording to its end, and leaves the terminal as it should be for a shell.
    ///
    /// Dropping the returned future stops it; write [`Player::RESET`] then.
    ///
    /// # Errors
    /// When the recording cannot be fetched, does not read, or cannot be shown.
    pub async fn play(&self, source: &mut impl Source, out: &mut (impl AsyncWrite + Unpin)) -> Result<(), PlayError> {
        self.steered(source, out, None).await
    }

    /// Plays as [`Player::play`] does, and heeds the wishes that come. When nobody can have any more, it just goes on.
    ///
    /// # Errors
    /// As [`Player::play`].
    pub async fn steered(
        &self,
        source: &mut impl Source,
        out: &mut (impl AsyncWrite + Unpin),
        wishes: Option<mpsc::Receiver<Wish>>,
    ) -> Result<(), PlayError> {
        let mut helm = Helm { wishes, paused: false, speed: self.options.speed };
        let mut parser = Parser::default();
        let mut stage = None;
        loop {
            while let Some(item) = parser.next_item()? {
                match item {
                    Item::Header(header) => stage = Some(Stage::new(&header, &self.options)),
                    Item::Event(event) => {
                        if let Some(stage) = &mut stage {
                            stage.event(&event, &mut helm, out).await?;
                        }
                    }
                }
            }
            if let Some(stage) = &mut stage {
                stage.flush(out).await?;
            }
            let waiting = stage.as_mut().filter(|stage| stage.behind && self.options.follow);
            let chunk = match waiting {
                None => source.chunk().await,
                Some(stage) => match tokio::time::timeout(CAUGHT_UP, source.chunk()).await {
                    Ok(chunk) => chunk,
                    Err(_) => {
                        stage.catch_up();
                        stage.flush(out).await?;
                        source.chunk().await
                    }
                },
            };
            match chunk.map_err(PlayError::Source)? {
                Some(bytes) => parser.push(&bytes),
                None => break,
            }
        }
        if let Some(mut stage) = stage {
            stage.end();
            stage.flush(out).await?;
        }
        parser.finish().map_err(PlayError::from)
    }

    /// Gives the terminal back to a shell after an interrupted play: the primary screen, no margins, a visible cursor,
    /// wrapping on, no colours. (Mode 1049 would also move the cursor, to where nobody left it.)
    pub const RESET: &str = "\x1b[?47l\x1b[?1047l\x1b[!p\x1b[?25h\x1b[?7h\x1b[0m\x1b(B\r\n";
}

/// A play under way.
struct Stage {
    options: PlayOptions,
    format: Format,
    filter: Filter,
    decoders: (Decoder, Decoder),
    /// What was drawn before the start, as a picture instead of all the bytes that led to it.
    before: Option<Terminal>,
    /// Whether the start is still to come.
    behind: bool,
    /// The recording's time of the last event that was shown.
    last: Duration,
    /// When the last event was due.
    due: Instant,
    ready: String,
}

impl Stage {
    fn new(header: &FileHeader, options: &PlayOptions) -> Self {
        Self {
            options: options.clone(),
            format: header.format,
            filter: Filter::default(),
            decoders: Default::default(),
            before: terminal(header.columns, header.rows),
            behind: options.follow || !options.start.is_zero(),
            last: options.start,
            due: Instant::now(),
            ready: String::new(),
        }
    }

    async fn event(
        &mut self,
        event: &Event,
        helm: &mut Helm,
        out: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), PlayError> {
        if self.behind && (self.options.follow || event.time < self.options.start) {
            self.draw_before(&event.what);
            return Ok(());
        }
        if self.behind {
            self.catch_up();
        }
        if !self.options.follow {
            self.wait(event.time, helm, out).await?;
        }
        self.show(&event.what);
        Ok(())
    }

    /// Waits until the event is due. What is due already is not held up by the clock of any other, so nothing drifts.
    async fn wait(
        &mut self,
        time: Duration,
        helm: &mut Helm,
        out: &mut (impl AsyncWrite + Unpin),
    ) -> Result<(), PlayError> {
        let gap = time.saturating_sub(self.last);
        // What is left of the pause in front of the event, in the recording's time.
        let mut gap = self.options.idle_limit.map_or(gap, |limit| gap.min(limit));
        self.last = self.last.max(time);
        loop {
            let due = self.due.checked_add(helm.scaled(gap)).unwrap_or(self.due);
            let wish = match helm.waiting() {
                Some(wish) => Some(wish),
                None if !helm.paused && due <= Instant::now() => {
                    self.due = due;
                    return Ok(());
                }
                None => {
                    self.flush(out).await?;
                    let paused = helm.paused;
                    tokio::select! {
                        () = tokio::time::sleep_until(due), if !paused => None,
                        wish = helm.next() => wish,
                    }
                }
            };
            let Some(wish) = wish else { continue };
            if !helm.paused {
                gap = gap.saturating_sub(self.due.elapsed().mul_f64(helm.speed));
            }
            self.due = Instant::now();
            if helm.heed(wish) {
                return Ok(());
            }
        }
    }

    fn show(&mut self, what: &What) {
        match what {
            What::Output(text) => self.draw(text),
            // A terminal without an echo: what went in is shown by the transcript.
            What::Bytes { stream: Stream::In, .. } => {}
            What::Bytes { stream, data } => {
                let (out, err) = &mut self.decoders;
                let decoder = if *stream == Stream::Err { err } else { out };
                let mut text = String::new();
                decoder.push(data, &mut text);
                self.draw(&text);
            }
            What::File(operation) => {
                let line = crate::files::sentence(operation);
                self.draw(&format!("{line}\r\n"));
            }
            What::Input(_) | What::Resize { .. } | What::Marker(_) | What::End(_) | What::Other => {}
        }
    }

    fn draw(&mut self, text: &str) {
        if self.options.raw {
            self.ready.push_str(text);
            // It still watches for full-screen programs.
            self.filter.push(text, &mut String::new());
        } else {
            self.filter.push(text, &mut self.ready);
        }
    }

    fn draw_before(&mut self, what: &What) {
        match (what, &mut self.before) {
            (What::Output(text), Some(before)) => {
                let mut safe = String::with_capacity(text.len());
                self.filter.push(text, &mut safe);
                before.feed(safe.as_str());
            }
            (What::Resize { columns, rows }, Some(before)) => resize(before, *columns, *rows, ()),
            // A byte log has no screen: its text appears at once.
            (
                What::Output(_)
                | What::Input(_)
                | What::Resize { .. }
                | What::Marker(_)
                | What::Bytes { .. }
                | What::File(_)
                | What::End(_)
                | What::Other,
                _,
            ) => self.show(what),
        }
    }

    /// Puts the picture of what was before on the screen.
    fn catch_up(&mut self) {
        if !std::mem::replace(&mut self.behind, false) {
            return;
        }
        if let (Format::Cast, Some(before)) = (self.format, &self.before) {
            self.ready.push_str("\x1b[H\x1b[2J");
            self.ready.push_str(&before.dump());
        }
        self.before = None;
        self.due = Instant::now();
    }

    fn end(&mut self) {
        self.catch_up();
        let (mut out, mut err) = std::mem::take(&mut self.decoders);
        out.finish(&mut self.ready);
        err.finish(&mut self.ready);
        if self.format == Format::Cast {
            if self.filter.is_alternate() {
                self.ready.push_str("\x1b[?1049l");
            }
            self.ready.push_str(Player::RESET);
        }
    }

    async fn flush(&mut self, out: &mut (impl AsyncWrite + Unpin)) -> Result<(), PlayError> {
        if self.ready.is_empty() {
            return Ok(());
        }
        out.write_all(self.ready.as_bytes()).await.map_err(PlayError::Output)?;
        self.ready.clear();
        out.flush().await.map_err(PlayError::Output)
    }
}

/// How a play is steered.
struct Helm {
    wishes: Option<mpsc::Receiver<Wish>>,
    paused: bool,
    speed: f64,
}

impl Helm {
    /// A length of the recording's time as it is played.
    fn scaled(&self, gap: Duration) -> Duration {
        Duration::try_from_secs_f64(gap.as_secs_f64() / self.speed).unwrap_or(Duration::MAX)
    }

    /// A wish that has come already.
    fn waiting(&mut self) -> Option<Wish> {
        self.wishes.as_mut()?.try_recv().ok()
    }

    /// The next wish; `None` once nobody can have one any more, who could not end a pause either.
    async fn next(&mut self) -> Option<Wish> {
        let Some(wishes) = &mut self.wishes else { return std::future::pending().await };
        let wish = wishes.recv().await;
        if wish.is_none() {
            self.wishes = None;
            self.paused = false;
        }
        wish
    }

    /// Whether the next event is to be shown at once.
    fn heed(&mut self, wish: Wish) -> bool {
        let (slowest, fastest) = SPEEDS;
        match wish {
            Wish::Pause => self.paused = !self.paused,
            Wish::Step => self.paused = true,
            // What was asked for at the start may lie beyond the limits, and is not pulled back by going further.
            Wish::Faster => self.speed = (self.speed * 2.0).min(fastest.max(self.speed)),
            Wish::Slower => self.speed = (self.speed / 2.0).max(slowest.min(self.speed)),
        }
        wish == Wish::Step
    }
}

#[cfg(test)]
mod tests;
