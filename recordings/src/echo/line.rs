//! The line that a person is typing.

use super::keys::Key;

/// The most pieces of one line; a longer line is not followed.
const LENGTH: usize = 4096;

/// A part of a typed line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// A typed character, which the target must echo.
    Char(char),
    /// A key in whose place the target may put any text: completion, history. Holds what was sent.
    Any(String),
}

/// A line as it stands after every key so far.
#[derive(Clone, Debug, Default)]
pub(crate) struct Line {
    /// What stands in it.
    pieces: Vec<Piece>,
    cursor: usize,
    /// Something was done to it that is not tracked.
    lost: bool,
    /// How many keys it has seen.
    keys: usize,
}

impl Line {
    /// Whether nothing was typed yet.
    pub(crate) const fn is_new(&self) -> bool {
        self.keys == 0
    }

    /// Whether it holds what a person typed and a target might hide.
    pub(crate) fn has_content(&self) -> bool {
        self.lost || self.pieces.iter().any(|piece| matches!(piece, Piece::Char(_)))
    }

    /// What the target must have echoed; `None` when that is not known.
    pub(crate) fn pieces(&self) -> Option<&[Piece]> {
        (!self.lost).then_some(self.pieces.as_slice())
    }

    /// How much memory it takes, in pieces.
    pub(crate) const fn len(&self) -> usize {
        self.pieces.len()
    }

    /// What is written once it is proven: its characters and keys, and what ended it.
    pub(crate) fn text(&self, enter: char) -> String {
        let mut text = String::with_capacity(self.pieces.len() + 1);
        for piece in &self.pieces {
            match piece {
                Piece::Char(c) => text.push(*c),
                Piece::Any(sent) => text.push_str(sent),
            }
        }
        text.push(enter);
        text
    }

    /// Does to the line what the usual editors do. `Enter`, `Abort` and `Nothing` are the caller's.
    pub(crate) fn key(&mut self, key: Key) {
        self.keys = self.keys.saturating_add(1);
        match key {
            Key::Char(c) => self.insert(Piece::Char(c)),
            Key::Complete => self.insert(Piece::Any("\t".to_owned())),
            Key::Recall(sent) => self.recall(sent),
            Key::Erase => {
                if let Some(before) = self.cursor.checked_sub(1) {
                    self.remove(before..self.cursor);
                }
            }
            Key::EraseWord => self.remove(self.word_before()..self.cursor),
            Key::EraseToStart => self.remove(0..self.cursor),
            Key::EraseToEnd => self.remove(self.cursor..self.pieces.len()),
            Key::Delete => self.remove(self.cursor..self.pieces.len().min(self.cursor.saturating_add(1))),
            Key::Left => self.step(self.cursor.checked_sub(1)),
            Key::Right => self.step((self.cursor < self.pieces.len()).then_some(self.cursor)),
            Key::Home => self.cursor = 0,
            Key::End => self.cursor = self.pieces.len(),
            Key::Unknown | Key::Enter(_) | Key::Abort | Key::Nothing => self.lost = true,
        }
        if self.pieces.len() > LENGTH {
            self.lost = true;
        }
        if self.lost {
            self.pieces = Vec::new();
            self.cursor = 0;
        }
    }

    fn insert(&mut self, piece: Piece) {
        self.pieces.insert(self.cursor.min(self.pieces.len()), piece);
        self.cursor = self.cursor.saturating_add(1);
    }

    fn recall(&mut self, sent: &str) {
        match self.pieces.as_mut_slice() {
            [Piece::Any(before)] if before.len() < LENGTH => before.push_str(sent),
            _ => self.pieces = vec![Piece::Any(sent.to_owned())],
        }
        self.cursor = self.pieces.len();
    }

    /// Removes characters. How much of the target's own text a key removes is not known.
    fn remove(&mut self, range: std::ops::Range<usize>) {
        if self.pieces.get(range.clone()).is_some_and(|pieces| pieces.iter().all(is_char)) {
            self.cursor = range.start;
            self.pieces.drain(range);
        } else {
            self.lost = true;
        }
    }

    /// Moves over the character at `over` to its other side; `None` is the end of the line.
    fn step(&mut self, over: Option<usize>) {
        let Some(over) = over else { return };
        if self.pieces.get(over).is_some_and(is_char) {
            self.cursor = if over < self.cursor { over } else { over.saturating_add(1) };
        } else {
            self.lost = true;
        }
    }

    fn word_before(&self) -> usize {
        let before = self.pieces.get(..self.cursor).unwrap_or_default();
        let space = |piece: &Piece| *piece == Piece::Char(' ');
        let word_end = before.iter().rposition(|piece| !space(piece)).map_or(0, |last| last.saturating_add(1));
        let word = before.get(..word_end).unwrap_or_default();
        word.iter().rposition(space).map_or(0, |last| last.saturating_add(1))
    }
}

const fn is_char(piece: &Piece) -> bool {
    matches!(piece, Piece::Char(_))
}

#[cfg(test)]
mod tests {
    use super::super::keys::Keys;
    use super::*;

    fn line(typed: &str) -> Line {
        let mut line = Line::default();
        for key in Keys::default().feed(typed.as_bytes()) {
            line.key(key);
        }
        line
    }

    #[test]
    fn edits_leave_what_the_usual_editors_leave() {
        for (typed, left) in [
            ("ls", "ls"),
            ("lx\x7fs", "ls"),
            ("s\x1b[Dl", "ls"),
            ("s\x01l\x05 -a", "ls -a"),
            ("rm -rf x\x17\x17ls", "rm ls"),
            ("garbage\x15ls", "ls"),
            ("lsgarbage\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x1b[D\x0b", "ls"),
            ("xls\x01\x1b[3~", "ls"),
            ("l\x1b[Cs", "ls"),
            ("\x7f\x7fls", "ls"),
            ("cat /etc/pas\t", "cat /etc/pas\t"),
            ("ls\x1b[A\x1b[A -l", "\x1b[A\x1b[A -l"),
        ] {
            let line = line(typed);
            assert!(line.pieces().is_some(), "{typed:?} is lost");
            assert_eq!(line.text('\r'), format!("{left}\r"), "{typed:?}");
        }
    }

    #[test]
    fn what_is_not_tracked_loses_the_line() {
        for typed in ["ls\x12foo", "x\t\x7f", "\x1b[A\x17", "\x1b[A\x1b[D", "ls\x1bf", "a\x19"] {
            assert!(line(typed).pieces().is_none(), "{typed:?}");
        }
        assert!(line(&"x".repeat(LENGTH + 1)).pieces().is_none());
    }
}
