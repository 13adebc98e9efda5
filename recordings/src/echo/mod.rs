//! Which typed lines may be recorded: those that the target echoed, and no others.
//!
//! The proxy sees bytes; whether the target's terminal echoes, and so whether a password is being typed, it cannot ask.
//! But an echo can be seen. So a line that a person types is held back in memory until the target proves that
//! it showed it: **a line is recorded when, after its first key, the target draws a row that ends with just these
//! characters, and then a line feed.** It is all or nothing: one character that is not shown, and
//! the line is dropped and a marker is written that says nothing of what it held, not even its length.
//!
//! - What is written is the line as it stood when Enter was pressed, so what was rubbed out is left out; each
//!   character of it was on the screen, and so is in the recording's output in any case. Tab and the keys of the
//!   history are written where they were pressed; the target may have put any text in their place.
//! - A line without a typed character is not written: an Enter, a Ctrl-C or a Tab alone prove no echo.
//! - A line proves itself within [`WINDOW`] of its Enter; type-ahead behind a slower command is dropped.
//! - While a full-screen program has the terminal nothing is written: its keys are no lines.
//! - Keys that this editor does not know (reverse search, vi bindings, Alt with a letter) drop their line.
//! - What is dropped without need is only the convenience: the output shows what was typed where it was echoed.
//!
//! A target that echoes on purpose what it should not has seen the password anyway, and puts it into the
//! output as well, so it can make nothing be recorded that it could not record by itself.

mod keys;
mod line;
mod row;

use std::collections::VecDeque;
use std::time::Duration;

use keys::{Key, Keys};
use line::Line;
use row::{Effect, Row};

/// How long after its Enter a line may still be echoed.
pub(crate) const WINDOW: Duration = Duration::from_secs(3);

/// The most lines that wait for their echo, as after a paste.
const LINES: usize = 1024;

/// The most characters that wait for their echo.
const CHARACTERS: usize = 32 * 1024;

/// What became of a typed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Typed {
    /// It was echoed: this is what was typed.
    Echoed(String),
    /// It was not.
    Hidden,
}

/// Sees both directions of one terminal, and lets echoed lines pass.
#[derive(Debug)]
pub(crate) struct EchoGate {
    keys: Keys,
    line: Line,
    /// When the current line was begun, in the count of lines.
    began: u64,
    /// The count of lines begun so far; what is drawn bears it as its age.
    age: u64,
    entered: VecDeque<Entered>,
    /// The characters in `entered`.
    waiting: usize,
    row: Row,
}

#[derive(Debug)]
struct Entered {
    line: Line,
    enter: char,
    began: u64,
    at: Duration,
}

impl EchoGate {
    pub(crate) fn new(columns: u16) -> Self {
        Self {
            keys: Keys::default(),
            line: Line::default(),
            began: 0,
            age: 0,
            entered: VecDeque::new(),
            waiting: 0,
            row: Row::new(columns),
        }
    }

    pub(crate) fn resize(&mut self, columns: u16) {
        self.row.resize(columns);
    }

    /// Takes typed bytes, and holds them back.
    pub(crate) fn input(&mut self, bytes: &[u8], now: Duration) -> Vec<Typed> {
        let mut typed = self.expire(now);
        for key in self.keys.feed(bytes) {
            if self.row.is_alternate() {
                continue;
            }
            match key {
                Key::Nothing => {}
                Key::Abort => self.line = Line::default(),
                Key::Enter(enter) => {
                    let line = std::mem::take(&mut self.line);
                    if line.has_content() {
                        self.waiting = self.waiting.saturating_add(line.len());
                        self.entered.push_back(Entered { line, enter, began: self.began, at: now });
                    }
                }
                Key::Char(_)
                | Key::Erase
                | Key::EraseWord
                | Key::EraseToStart
                | Key::EraseToEnd
                | Key::Delete
                | Key::Left
                | Key::Right
                | Key::Home
                | Key::End
                | Key::Complete
                | Key::Recall(_)
                | Key::Unknown => {
                    if self.line.is_new() {
                        self.age = self.age.saturating_add(1);
                        self.began = self.age;
                    }
                    self.line.key(key);
                }
            }
            while self.entered.len() > LINES || self.waiting > CHARACTERS {
                self.hide(1, &mut typed);
            }
        }
        typed
    }

    /// Takes text that the target draws.
    pub(crate) fn output(&mut self, text: &str, now: Duration) -> Vec<Typed> {
        let mut typed = self.expire(now);
        for c in text.chars() {
            match self.row.feed(c, self.age) {
                Effect::None => {}
                Effect::Ends => {
                    self.prove(&mut typed);
                    self.row.clear();
                }
                // Keys of a full-screen program are no lines, and what was under way before it is not proven.
                Effect::Screen => {
                    self.line = Line::default();
                    self.hide(self.entered.len(), &mut typed);
                }
            }
        }
        typed
    }

    /// Says that nothing more will be echoed.
    pub(crate) fn finish(&mut self) -> Vec<Typed> {
        let mut typed = Vec::new();
        self.hide(self.entered.len(), &mut typed);
        typed
    }

    /// Lets the first line pass that the ending row proves, and drops those before it.
    fn prove(&mut self, typed: &mut Vec<Typed>) {
        let proven = self
            .entered
            .iter()
            .position(|entered| entered.line.pieces().is_some_and(|pieces| self.row.ends_with(pieces, entered.began)));
        if let Some(place) = proven {
            self.hide(place, typed);
            if let Some(entered) = self.take() {
                typed.push(Typed::Echoed(entered.line.text(entered.enter)));
            }
        }
    }

    fn expire(&mut self, now: Duration) -> Vec<Typed> {
        let mut typed = Vec::new();
        let late = self.entered.iter().take_while(|entered| entered.at.saturating_add(WINDOW) < now).count();
        self.hide(late, &mut typed);
        typed
    }

    fn hide(&mut self, count: usize, typed: &mut Vec<Typed>) {
        for _ in 0..count {
            if self.take().is_some() {
                typed.push(Typed::Hidden);
            }
        }
    }

    fn take(&mut self) -> Option<Entered> {
        let entered = self.entered.pop_front()?;
        self.waiting = self.waiting.saturating_sub(entered.line.len());
        Some(entered)
    }
}

#[cfg(test)]
mod tests;
