//! The question for more time, asked in the terminal of a session that goes on.
//!
//! It runs in the place of the way down. So nothing of the target is shown meanwhile: what it sends waits in the channel's
//! window, and none of it is lost. Nothing that is typed goes to the target either, and none of it is recorded.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use api::wire::{Extend, ExtensionOffer};
use bytes::Bytes;
use russh::{ChannelWriteHalf, client, server};
use tokio::sync::{OwnedSemaphorePermit, mpsc};
use tokio::time::{Instant, timeout, timeout_at};

use crate::ambient::random_key;
use crate::control::ControlError;
use crate::prompt::{Asks, Editor, Left, Step, duration, needed};
use crate::words::{self, Words, plain};

use super::screen::Place;
use super::{Ended, Shared, notice};

/// How long a question stands, whoever is waited for: the target's output is held back as long.
const PATIENCE: Duration = Duration::from_secs(60);
/// So much of it is kept for the CA's answer at the end.
const FILING: Duration = Duration::from_secs(5);
/// How many bytes may be typed ahead of a prompt.
const AHEAD: usize = 4096;
/// How long what came of it stands on the last row of a picture, unless a key is pressed.
const READ: Duration = Duration::from_secs(5);

/// Asks for how much longer and why, files it, and gives the terminal back. How the channel ended, if it did.
pub(super) async fn ask(
    shared: &Shared,
    keys: mpsc::Receiver<Bytes>,
    person: &ChannelWriteHalf<server::Msg>,
    target: &ChannelWriteHalf<client::Msg>,
) -> Option<Ended> {
    let begin = |screen: &mut super::Screen| {
        let whole = screen.is_dumb() || screen.is_ground();
        let over = matches!(screen.place(), Place::Over { .. });
        let again = match screen.place() {
            Place::Lines { fresh, again } => Some((fresh, again.to_owned())),
            Place::Over { .. } => None,
        };
        (whole, over.then(|| screen.hides_cursor()), again.unwrap_or_default(), screen.is_dumb())
    };
    let (whole, picture, (fresh, again), dumb) = shared.on_screen(begin)?;
    let mut question = Question { shared, person, keys, typed: VecDeque::new(), remark: String::new() };
    question.show(if whole { "" } else { "\x18" }).await;
    match picture {
        Some(hidden) => {
            question.show(&format!("\x1b7\x1b[?6l\x1b(B\x0f{}", if hidden { "\x1b[?25h" } else { "" })).await;
            // A program draws its picture anew when the size changes, and only then. This is the first half of that.
            if let Some((columns, rows, width, height)) = shared.size() {
                let _ = target.window_change(columns, rows.saturating_sub(1).max(1), width, height).await;
            }
        }
        None => question.show(if fresh { "" } else { "\r\n" }).await,
    }
    let words = question.words().await.ok();
    let failed = match (&words, shared.tape.get()) {
        (Some(words), Some(tape)) => tape.marker(&words.line()).await.err(),
        (Some(_) | None, _) => None,
    };
    match picture {
        Some(hidden) => {
            if let Some(words) = &words {
                question.outcome(words).await;
                let _ = timeout(READ, question.keys.recv()).await;
            }
            question.keys.close();
            question.show(&format!("\x1b[0m{}\x1b8", if hidden { "\x1b[?25l" } else { "" })).await;
            if let Some((columns, rows, width, height)) = shared.size() {
                let _ = target.window_change(columns, rows, width, height).await;
            }
        }
        None => {
            question.keys.close();
            let lines = words.map(|words| notice::lines(&words, dumb)).unwrap_or_default();
            question.show(&lines).await;
            // The target has drawn it once, and behind a cut nothing passes that is a target's.
            if let Some(again) = shared.live.pass(again.into()) {
                let _ = person.data_bytes(again).await;
            }
        }
    }
    failed.map(|broken| Ended::Recording(broken.to_string()))
}

/// A question that stands.
struct Question<'a> {
    shared: &'a Shared,
    person: &'a ChannelWriteHalf<server::Msg>,
    keys: mpsc::Receiver<Bytes>,
    typed: VecDeque<u8>,
    /// In a picture, where there is one row: what is said in front of the next prompt.
    remark: String,
}

impl Question<'_> {
    /// What came of it.
    ///
    /// # Errors
    /// They gave up, and nothing was asked for.
    async fn words(&mut self) -> Result<Words, Left> {
        let shared = self.shared;
        let permit = shared.live.permit();
        let place = match shared.live.may_ask() {
            Ok(place) => Arc::new(place),
            Err(words) => return Ok(words),
        };
        // From its beginning, and not anew with each that is waited for.
        let until = Instant::now() + PATIENCE;
        let offer = match self.offer(place.clone()).await? {
            Ok(offer) => offer,
            Err(error) => return Ok(words::no_more(&error, permit)),
        };
        let ends = *shared.live.deadline().borrow();
        self.remark(words::question(ends, shared.gate.now(), permit, &offer).first()).await;
        let (usual, longest) = (words::rounded(offer.usual), words::rounded(offer.longest));
        let answers = async {
            let more = duration(self, "for how much longer?", usual, longest).await?;
            let reason = needed(self, "why? ").await?;
            Ok(Extend { duration: more.seconds(), reason })
        };
        match timeout_at(until - FILING, answers).await {
            Ok(Ok(ask)) => Ok(self.file(ask, until).await),
            Ok(Err(left)) => Err(left),
            Err(_) => {
                let seconds = (PATIENCE - FILING).as_secs();
                Ok(Words::say(format!("nobody answered within {seconds} s: no more time was asked for")))
            }
        }
    }

    /// What can be asked for. A call is never broken off: a CA that is called and hung up on again and again would close
    /// the connection that everybody's calls are on. It keeps the question's place until it is over.
    async fn offer(&mut self, place: Arc<OwnedSemaphorePermit>) -> Result<Result<ExtensionOffer, ControlError>, Left> {
        let gate = &self.shared.gate;
        let (control, session) = (gate.control.clone(), self.shared.live.permit().session().clone());
        let limit = gate.config.ca_timeout.to_std().min(PATIENCE / 2);
        let call = tokio::spawn(async move {
            let _place = place;
            timeout(limit, control.offer_extension(&session)).await
        });
        let answer = tokio::select! {
            biased;
            answer = call => answer,
            left = self.gives_up() => return Err(left),
        };
        let unavailable = |why| Err(ControlError::Unavailable(why));
        Ok(match answer {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => unavailable(format!("no answer within {} s", limit.as_secs())),
            Err(_) => unavailable("the call was given up".to_owned()),
        })
    }

    /// Files it. A call that takes too long is not taken back: what came of it is in the feed.
    async fn file(&self, ask: Extend, until: Instant) -> Words {
        let (gate, live) = (&self.shared.gate, &self.shared.live);
        let permit = live.permit();
        let (control, session, key) =
            (gate.control.clone(), permit.session().clone(), random_key(gate.ambient.as_ref()));
        let call = tokio::spawn(async move { control.extend(&session, &ask, &key).await });
        let limit = gate.config.ca_timeout.to_std().min(until.saturating_duration_since(Instant::now()));
        let error = match timeout(limit, call).await {
            Ok(Ok(Ok(filed))) => return words::asked(&filed, *live.deadline().borrow(), gate.now(), permit),
            Ok(Ok(Err(error))) => error,
            Ok(Err(_)) => ControlError::Unavailable("the call was given up".to_owned()),
            Err(_) => {
                let seconds = limit.as_secs();
                ControlError::Unavailable(format!("no answer within {seconds} s, though it may have arrived"))
            }
        };
        words::no_more(&error, permit)
    }

    /// Waits until they give up.
    async fn gives_up(&mut self) -> Left {
        loop {
            match self.more().await {
                Ok(keys) if keys.contains(&0x03) => return Left::Interrupted,
                Ok(_) => {}
                Err(left) => return left,
            }
        }
    }

    /// What is typed next. Of what runs far ahead of the prompts, only the beginning is kept.
    async fn more(&mut self) -> Result<Bytes, Left> {
        let keys = self.keys.recv().await.ok_or(Left::Gone)?;
        let room = AHEAD.saturating_sub(self.typed.len());
        self.typed.extend(keys.iter().take(room));
        Ok(keys)
    }

    /// Where a picture leaves room: the row, from 1, and its columns.
    fn picture(&self) -> Option<(usize, usize)> {
        let place = |screen: &mut super::Screen| match screen.place() {
            Place::Over { row, width } => Some((row, width)),
            Place::Lines { .. } => None,
        };
        self.shared.on_screen(place).flatten()
    }

    /// Draws the row of a picture, with the end of what is too long for it, and the cursor behind it.
    async fn row(&self, said: &str, typed: &str) {
        let Some((row, width)) = self.picture() else { return };
        let line = recordings::plain(&format!("{said}{typed}"));
        let (end, used) = notice::tail(&line, width);
        let (end, column) = (notice::fit(end, width), used + 1);
        self.show(&format!("\x1b[{row};1H\x1b[0;7m{end}\x1b[{row};{column}H")).await;
    }

    /// Draws the row with the beginning of what came of it.
    async fn outcome(&self, words: &Words) {
        let Some((row, width)) = self.picture() else { return };
        self.show(&format!("\x1b[{row};1H\x1b[0;7m{}", notice::fit(&words.line(), width))).await;
    }

    async fn show(&self, text: &str) {
        if !text.is_empty() {
            // Behind what the target has said, and before what it says next: clients show standard error out of turn. Who is
            // gone is noticed on the way up.
            let _ = self.person.data_bytes(text.to_owned().into_bytes()).await;
        }
    }
}

impl Asks for Question<'_> {
    async fn line(&mut self, prompt: &str) -> Result<String, Left> {
        let picture = self.picture().is_some();
        let said = format!("{}{}", std::mem::take(&mut self.remark), plain(prompt));
        if !picture {
            self.show(&said).await;
        }
        let mut editor = Editor::default();
        loop {
            let Some(byte) = self.typed.pop_front() else {
                if picture {
                    self.row(&said, editor.text()).await;
                }
                self.more().await?;
                continue;
            };
            let mut echo = String::new();
            let step = editor.feed(byte, &mut echo);
            if !picture {
                self.show(&echo).await;
            }
            match step {
                Step::More => {}
                Step::Line(line) => return Ok(line),
                Step::Left(left) => return Err(left),
            }
        }
    }

    async fn remark(&mut self, line: &str) {
        if self.picture().is_some() {
            self.remark = format!("{}; ", plain(line));
        } else {
            self.show(&format!("{}\r\n", plain(line))).await;
        }
    }
}
