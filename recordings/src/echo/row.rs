//! The row of the terminal that the cursor is on, as the target draws it.

use super::line::Piece;
use crate::ansi::{Scanner, Token, alternate_screen, numbers};

/// The most cells of a row; a row that grows beyond is not followed any further.
const LENGTH: usize = 16 * 1024;

#[derive(Clone, Copy, Debug)]
struct Cell {
    c: char,
    /// When it was drawn, in the count of lines begun by the person.
    age: u64,
}

/// What a character of output did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Effect {
    /// Nothing of interest.
    None,
    /// The row is about to end: look at it now, then go on. Happens at a line feed.
    Ends,
    /// A full-screen program began or ended.
    Screen,
}

/// One logical row: a line that wraps at the terminal's width goes on in it.
#[derive(Debug)]
pub(crate) struct Row {
    scanner: Scanner,
    width: usize,
    cells: Vec<Cell>,
    cursor: usize,
    /// The cursor stands behind the last column, and wraps only when the next character is drawn.
    wraps: bool,
    /// Where the cursor was before the carriage returns that come before a line feed.
    returned: Option<usize>,
    saved: usize,
    alternate: bool,
}

impl Row {
    pub(crate) fn new(width: u16) -> Self {
        Self {
            scanner: Scanner::default(),
            width: usize::from(width.max(1)),
            cells: Vec::new(),
            cursor: 0,
            wraps: false,
            returned: None,
            saved: 0,
            alternate: false,
        }
    }

    pub(crate) fn resize(&mut self, width: u16) {
        self.width = usize::from(width.max(1));
    }

    /// Whether a full-screen program has the terminal.
    pub(crate) const fn is_alternate(&self) -> bool {
        self.alternate
    }

    /// Draws one character of output that arrived at `age`.
    pub(crate) fn feed(&mut self, c: char, age: u64) -> Effect {
        let mut scanner = std::mem::take(&mut self.scanner);
        let effect = scanner.feed(c).map_or(Effect::None, |token| self.token(&token, age));
        self.scanner = scanner;
        effect
    }

    /// Forgets the row, as after a line feed.
    pub(crate) fn clear(&mut self) {
        self.cells.clear();
        self.go(0);
    }

    /// Whether the row ends with what was typed, drawn since `age`. The end is where the cursor was when the line was
    /// entered; or behind the last character, since readline leaves a cursor that was moved back where it is.
    /// Text of the target's own may stand in the place of [`Piece::Any`], and before everything.
    pub(crate) fn ends_with(&self, pieces: &[Piece], age: u64) -> bool {
        let cursor = self.returned.unwrap_or(self.cursor).min(self.cells.len());
        let last = self.cells.iter().rposition(|cell| cell.c != ' ').map_or(0, |last| last.saturating_add(1));
        [cursor, last].into_iter().any(|end| matches(self.cells.get(..end).unwrap_or_default(), pieces, age))
    }

    fn token(&mut self, token: &Token<'_>, age: u64) -> Effect {
        match *token {
            Token::Print(c) => self.print(c, age),
            Token::Control(c) => return self.control(c, age),
            Token::Csi { parameters, end } => return self.sequence(parameters, end),
            Token::Escape { intermediate: "", end: '7' } => self.saved = self.cursor,
            Token::Escape { intermediate: "", end: '8' } => self.go(self.saved),
            Token::Escape { intermediate: "", end: 'c' | 'D' | 'E' | 'M' } => self.clear(),
            Token::Escape { .. } | Token::String => {}
        }
        Effect::None
    }

    fn print(&mut self, c: char, age: u64) {
        if self.cursor >= LENGTH {
            return self.clear();
        }
        self.pad(self.cursor);
        let cell = Cell { c, age };
        match self.cells.get_mut(self.cursor) {
            Some(place) => *place = cell,
            None => self.cells.push(cell),
        }
        self.go(self.cursor.saturating_add(1));
        self.wraps = self.cursor.is_multiple_of(self.width);
    }

    fn control(&mut self, c: char, age: u64) -> Effect {
        match c {
            '\n' => return Effect::Ends,
            '\r' => {
                let returned = self.returned.unwrap_or(self.cursor);
                self.go(self.row_start());
                self.returned = Some(returned);
            }
            '\x08' => self.go(self.cursor.saturating_sub(1)),
            '\t' => {
                let stop = (self.cursor / 8).saturating_add(1).saturating_mul(8);
                while self.cursor < stop.min(LENGTH) {
                    self.print(' ', age);
                }
            }
            _ => {}
        }
        Effect::None
    }

    fn sequence(&mut self, parameters: &str, end: char) -> Effect {
        if let Some(on) = alternate_screen(parameters, end) {
            self.alternate = on;
            self.clear();
            return Effect::Screen;
        }
        let first = numbers(parameters).next().flatten();
        let count = first.unwrap_or(1).clamp(1, LENGTH);
        let cursor = self.cursor;
        match end {
            'C' => self.go(cursor.saturating_add(count).min(LENGTH)),
            'D' => self.go(cursor.saturating_sub(count)),
            'G' | '`' => self.go(self.row_start().saturating_add(count - 1).min(LENGTH)),
            'A' => self.go(cursor.checked_sub(count.saturating_mul(self.width)).unwrap_or(cursor)),
            'B' => self.go(cursor.saturating_add(count.saturating_mul(self.width)).min(LENGTH)),
            'K' | 'J' => match first.unwrap_or(0) {
                0 => self.cells.truncate(cursor),
                1 => self.blank(0..cursor),
                _ => self.cells.clear(),
            },
            'X' => self.blank(cursor..cursor.saturating_add(count)),
            'P' => {
                let until = cursor.saturating_add(count).min(self.cells.len());
                if cursor < until {
                    self.cells.drain(cursor..until);
                }
            }
            '@' => {
                self.pad(cursor);
                let room = count.min(LENGTH.saturating_sub(self.cells.len()));
                self.cells.splice(cursor..cursor, std::iter::repeat_n(BLANK, room));
            }
            'H' | 'f' | 'd' => self.clear(),
            _ => {}
        }
        Effect::None
    }

    fn go(&mut self, to: usize) {
        self.cursor = to;
        self.wraps = false;
        self.returned = None;
    }

    fn row_start(&self) -> usize {
        let on = if self.wraps { self.cursor.saturating_sub(1) } else { self.cursor };
        on - on % self.width
    }

    fn pad(&mut self, to: usize) {
        if self.cells.len() < to {
            self.cells.resize(to.min(LENGTH), BLANK);
        }
    }

    fn blank(&mut self, range: std::ops::Range<usize>) {
        let end = range.end.min(self.cells.len());
        if let Some(cells) = self.cells.get_mut(range.start.min(end)..end) {
            cells.fill(BLANK);
        }
    }
}

/// A cell that nobody drew.
const BLANK: Cell = Cell { c: ' ', age: 0 };

/// Matches from the end: what stands behind the last of [`Piece::Any`] ends the row, what stands before comes before.
fn matches(mut row: &[Cell], pieces: &[Piece], age: u64) -> bool {
    let mut anchored = true;
    for run in pieces.rsplit(|piece| matches!(piece, Piece::Any(_))) {
        let Some(last) = row.len().checked_sub(run.len()) else { return false };
        let place = if anchored {
            drawn(row.get(last..), run, age).then_some(last)
        } else {
            (0..=last).rev().find(|&at| drawn(row.get(at..), run, age))
        };
        let Some(place) = place else { return false };
        row = row.get(..place).unwrap_or_default();
        anchored = false;
    }
    true
}

fn drawn(row: Option<&[Cell]>, run: &[Piece], age: u64) -> bool {
    row.is_some_and(|row| {
        row.len() >= run.len()
            && row.iter().zip(run).all(|(cell, piece)| *piece == Piece::Char(cell.c) && cell.age >= age)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pieces(text: &str) -> Vec<Piece> {
        let piece = |c| if c == '*' { Piece::Any(String::new()) } else { Piece::Char(c) };
        text.chars().map(piece).collect()
    }

    fn row(width: u16, prompt: &str, output: &str) -> Row {
        let mut row = Row::new(width);
        for c in prompt.chars() {
            row.feed(c, 1);
        }
        for c in output.chars() {
            row.feed(c, 2);
        }
        row
    }

    #[test]
    fn what_is_drawn_is_found_at_the_end() {
        for (output, typed) in [
            ("ls", "ls"),
            ("l\x1b[32ms\x1b[0m", "ls"),
            ("lx\x08 \x08s", "ls"),
            ("lx\x08\x1b[Ks", "ls"),
            ("s\x08ls\x08\x1b[C", "ls"),
            ("s\x08\x1b[@l\x1b[C", "ls"),
            ("ls -la\x1b[4D", "ls"),
            ("ls -la\x1b[4D", "ls -la"),
            ("\r$ ls", "ls"),
            ("\r\x1b[2C\x1b[Kls", "ls"),
            ("ls\r\r", "ls"),
            ("cat /etc/passwd ", "cat /etc/pas*"),
            ("ls --all -l", "*-l"),
            ("ab xx cd", "ab*cd"),
        ] {
            assert!(row(80, "$ ", output).ends_with(&pieces(typed), 2), "{output:?}");
        }
    }

    #[test]
    fn what_is_not_drawn_is_not_found() {
        for (output, typed) in
            [("", "ls"), ("l", "ls"), ("ls -a", "ls"), ("l*", "ls"), ("cd xx ab", "ab*cd"), ("aab", "ab*b")]
        {
            assert!(!row(80, "$ ", output).ends_with(&pieces(typed), 2), "{output:?} {typed:?}");
        }
    }

    #[test]
    fn what_was_there_before_proves_nothing() {
        let row = row(80, "Password: secret", "");
        assert!(row.ends_with(&pieces("secret"), 1));
        assert!(!row.ends_with(&pieces("secret"), 2));
    }

    #[test]
    fn a_line_that_wraps_stays_one_row() {
        // As readline draws it: a space and a carriage return push the cursor into the next row.
        let row = row(10, "$ ", "12345678 \r90");
        assert!(row.ends_with(&pieces("1234567890"), 2), "{row:?}");
    }

    proptest::proptest! {
        #[test]
        fn no_output_breaks_it(width in 0u16..100, output in "([a-z\\r\\x08\\t]|\x1b\\[[0-9]{0,6}[@A-Za-z]|\x1b[78cM]){0,300}") {
            let mut row = row(width, "", &output);
            row.ends_with(&pieces("a*b"), 1);
            proptest::prop_assert!(row.cells.len() <= LENGTH + 1);
            row.clear();
        }
    }
}
