//! What a person's terminal shows, as far as it must be known to write into it without harm.
//!
//! The target's output is read as it passes: is a control sequence under way, has a full-screen program the terminal,
//! and what stands on the line that the cursor is on. Nothing of it is emulated, and nothing here is without a bound.

use std::fmt::Write as _;

use model::Pty;
use recordings::{Decoder, Scanner, Token, alternate_screen, numbers};

/// The most bytes of a line that are kept, its sequences included: a prompt and what was typed behind it.
const LINE: usize = 2048;
/// Modes that a program may leave behind which make a terminal send what nobody typed, or hide its cursor: mouse and
/// focus reports, pasting in brackets, keys of the cursor and the keypad.
const STICKY: [usize; 10] = [1, 9, 1000, 1002, 1003, 1004, 1005, 1006, 1015, 2004];
/// The cursor's mode, which is on by itself.
const CURSOR: usize = 25;

/// What a terminal shows.
#[derive(Debug)]
pub(super) struct Screen {
    columns: usize,
    rows: usize,
    /// It knows no control sequences.
    dumb: bool,
    decoder: Decoder,
    text: String,
    scanner: Scanner,
    /// A full-screen program has it.
    alternate: bool,
    /// The program saved the cursor's place, and will want to go back to it.
    saved: bool,
    /// The program is in the middle of a picture that it wants to be shown at once.
    drawing: bool,
    modes: Vec<usize>,
    hidden_cursor: bool,
    /// Not all rows scroll.
    region: bool,
    /// The cursor went back to the beginning of its line, and nothing was drawn since.
    returned: bool,
    line: Line,
    /// The line to come back to when the full-screen program ends.
    beneath: Line,
}

/// The line that the cursor is on.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Line {
    /// Everything that was drawn on it, from its beginning.
    Known(String),
    /// More than is kept, or the cursor came from elsewhere.
    Unknown,
    /// A program draws all over the screen, and uses no alternate one.
    Painted,
}

/// Where a notice has its place.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Place<'a> {
    /// On lines of its own.
    Lines {
        /// The cursor stands at the beginning of an empty line.
        fresh: bool,
        /// What to draw again behind the notice, so that a prompt comes back.
        again: &'a str,
    },
    /// Over the last row of a picture that is not ours.
    Over {
        /// The number of that row, from 1.
        row: usize,
        /// How many characters it takes.
        width: usize,
    },
}

impl Screen {
    pub(super) fn new(pty: &Pty) -> Self {
        Self {
            columns: usize::from(pty.columns),
            rows: usize::from(pty.rows),
            dumb: matches!(pty.term.as_str(), "" | "dumb" | "unknown"),
            decoder: Decoder::default(),
            text: String::new(),
            scanner: Scanner::default(),
            alternate: false,
            saved: false,
            drawing: false,
            modes: Vec::new(),
            hidden_cursor: false,
            region: false,
            returned: false,
            line: Line::fresh(),
            beneath: Line::fresh(),
        }
    }

    /// The terminal has another size.
    pub(super) fn resize(&mut self, columns: u16, rows: u16) {
        (self.columns, self.rows) = (usize::from(columns), usize::from(rows));
    }

    /// Whether it knows no control sequences.
    pub(super) const fn is_dumb(&self) -> bool {
        self.dumb
    }

    /// Whether a program has hidden the cursor.
    pub(super) const fn hides_cursor(&self) -> bool {
        self.hidden_cursor
    }

    /// Whether something can be written into it now without breaking what is being drawn.
    pub(super) fn is_settled(&self) -> bool {
        self.dumb || self.is_ground() && !self.saved && !self.drawing
    }

    /// Whether neither a control sequence nor a character is under way.
    pub(super) fn is_ground(&self) -> bool {
        self.scanner.is_ground() && self.decoder.is_whole()
    }

    /// Where a notice has its place.
    pub(super) fn place(&self) -> Place<'_> {
        if !self.dumb && (self.alternate || self.line == Line::Painted) && self.rows > 1 {
            // The last column is left free: a character there makes some terminals scroll.
            return Place::Over { row: self.rows, width: self.columns.saturating_sub(1) };
        }
        match &self.line {
            Line::Known(text) => Place::Lines { fresh: text.is_empty(), again: text },
            Line::Unknown | Line::Painted => Place::Lines { fresh: false, again: "" },
        }
    }

    /// What brings a terminal back from a program that will not do it any more.
    pub(super) fn restore(&self) -> String {
        if self.dumb {
            return String::new();
        }
        let mut all = String::from(if self.is_ground() { "" } else { "\x18" });
        if self.alternate {
            all.push_str("\x1b[?1049l");
        }
        if self.hidden_cursor {
            all.push_str("\x1b[?25h");
        }
        for mode in &self.modes {
            // Writing into a String never fails.
            let _ = write!(all, "\x1b[?{mode}l");
        }
        if self.alternate || !self.modes.is_empty() {
            all.push_str("\x1b>\x1b[0m");
        }
        if self.region {
            // It takes the cursor to the first row.
            all.push_str("\x1b7\x1b[r\x1b8");
        }
        if !self.alternate && self.line == Line::Painted && self.rows > 1 {
            // The picture stays where it is, and what comes next has rows of its own below it.
            let _ = write!(all, "\x1b[0m\x1b(B\x0f\x1b[?6l\x1b[{}d", self.rows);
        }
        all
    }

    /// Reads what the target draws.
    pub(super) fn feed(&mut self, bytes: &[u8]) {
        let mut text = std::mem::take(&mut self.text);
        self.decoder.push(bytes, &mut text);
        let mut scanner = std::mem::take(&mut self.scanner);
        for c in text.chars() {
            if let Some(token) = scanner.feed(c) {
                self.token(&token);
            }
        }
        self.scanner = scanner;
        text.clear();
        self.text = text;
    }

    fn token(&mut self, token: &Token<'_>) {
        let returned = std::mem::take(&mut self.returned);
        match *token {
            Token::Print(c) => self.line.push(c),
            Token::Control(c) => self.control(c, returned),
            Token::Csi { parameters, end } => self.sequence(parameters, end),
            Token::Escape { intermediate: "", end: '7' } => self.saved = true,
            Token::Escape { intermediate: "", end: '8' } => {
                self.saved = false;
                self.line = Line::Unknown;
            }
            Token::Escape { intermediate: "", end: 'c' } => {
                (self.alternate, self.saved, self.drawing, self.hidden_cursor) = (false, false, false, false);
                self.region = false;
                self.modes.clear();
                self.line = Line::fresh();
            }
            Token::Escape { intermediate: "", end: 'D' | 'E' | 'M' } => self.line = Line::Unknown,
            Token::Escape { intermediate: intermediate @ ("(" | ")"), end: end @ ('0' | 'A' | 'B') } => {
                self.line.append(&["\x1b", intermediate, end.encode_utf8(&mut [0; 4])]);
            }
            Token::Escape { .. } | Token::String => {}
        }
    }

    fn control(&mut self, c: char, returned: bool) {
        match c {
            // Where the cursor is behind a line feed alone depends on the line above.
            '\n' if returned || self.line.is_fresh() => self.line = Line::fresh(),
            '\n' | '\x0b' | '\x0c' => self.line = Line::Unknown,
            '\r' => {
                self.returned = true;
                // A line that nothing was drawn on has no other beginning.
                if !returned && !self.line.is_fresh() {
                    self.line.push(c);
                }
            }
            '\x08' | '\t' | '\x0e' | '\x0f' => self.line.push(c),
            // Others move nothing.
            _ => self.returned = returned,
        }
    }

    fn sequence(&mut self, parameters: &str, end: char) {
        if let Some(on) = alternate_screen(parameters, end) {
            self.switch(on, numbers(parameters).any(|mode| mode == Some(1049)));
        }
        if end == 'r' && is_plain(parameters) {
            self.region = !parameters.is_empty();
        }
        match end {
            'h' | 'l' if parameters.starts_with('?') => {
                for mode in numbers(parameters).flatten() {
                    self.mode(mode, end == 'h');
                }
            }
            's' if parameters.is_empty() => self.saved = true,
            'u' if parameters.is_empty() => {
                self.saved = false;
                self.line = Line::Unknown;
            }
            'H' | 'f' => {
                let home = numbers(parameters).all(|number| matches!(number, None | Some(0 | 1)));
                self.line = if home { Line::fresh() } else { Line::Painted };
            }
            'd' => self.line = Line::Painted,
            // It erases what is on the line, and leaves the cursor where it is.
            'J' if !matches!(parameters, "" | "0") => {
                self.line = if self.line.is_fresh() { Line::fresh() } else { Line::Unknown };
            }
            'm' | 'K' | 'J' | 'C' | 'D' | 'G' | 'P' | 'X' | '@' if is_plain(parameters) => {
                self.line.append(&["\x1b[", parameters, end.encode_utf8(&mut [0; 4])]);
            }
            'A' | 'B' | 'E' | 'F' | 'L' | 'M' | 'S' | 'T' | 'r' if is_plain(parameters) => {
                self.line = if self.line == Line::Painted { Line::Painted } else { Line::Unknown };
            }
            _ => {}
        }
    }

    fn switch(&mut self, on: bool, with_cursor: bool) {
        if on == self.alternate {
            return;
        }
        self.alternate = on;
        self.saved = false;
        if on {
            let line = std::mem::replace(&mut self.line, Line::Unknown);
            self.beneath = if with_cursor { line } else { Line::Unknown };
        } else {
            self.line = std::mem::replace(&mut self.beneath, Line::Unknown);
        }
    }

    fn mode(&mut self, mode: usize, on: bool) {
        match mode {
            CURSOR => self.hidden_cursor = !on,
            1048 => self.saved = on,
            2026 => self.drawing = on,
            mode if STICKY.contains(&mode) => {
                self.modes.retain(|other| *other != mode);
                if on {
                    self.modes.push(mode);
                }
            }
            _ => {}
        }
    }
}

impl Line {
    const fn fresh() -> Self {
        Self::Known(String::new())
    }

    fn is_fresh(&self) -> bool {
        matches!(self, Self::Known(text) if text.is_empty())
    }

    fn push(&mut self, c: char) {
        self.append(&[c.encode_utf8(&mut [0; 4])]);
    }

    fn append(&mut self, parts: &[&str]) {
        let Self::Known(text) = self else { return };
        if text.len().saturating_add(parts.iter().map(|part| part.len()).sum()) > LINE {
            *self = Self::Unknown;
            return;
        }
        for part in parts {
            text.push_str(part);
        }
    }
}

/// Whether parameters are numbers and what separates them: then the sequence means what ECMA-48 says.
fn is_plain(parameters: &str) -> bool {
    parameters.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b';' | b':'))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn screen(drawn: &str) -> Screen {
        let mut screen = Screen::new(&Pty { term: "xterm".into(), columns: 80, rows: 24 });
        screen.feed(drawn.as_bytes());
        screen
    }

    fn over() -> Place<'static> {
        Place::Over { row: 24, width: 79 }
    }

    #[test]
    fn the_line_of_a_prompt_is_known() {
        for (drawn, again) in [
            ("", ""),
            ("hello\r\n", ""),
            (
                "Last login\r\n\x1b[?2004h\x1b]0;root@web1: ~\x07\x1b[01;32mroot@web1\x1b[0m:~# ls -l",
                "\x1b[01;32mroot@web1\x1b[0m:~# ls -l",
            ),
            ("a\r\n# lsx\x08\x1b[K", "# lsx\x08\x1b[K"),
            ("\x1b[H\x1b[2J\x1b[3J$ ", "$ "),
            ("\x1b[6n\x1b[c\x1bP+q544e\x1b\\\x1b]52;c;eA==\x07$ ", "$ "),
            ("% \r \r\r\x1b[0m\x1b[27m\x1b[24m\x1b[Jhost% \x1b[K", "% \r \r\x1b[0m\x1b[27m\x1b[24m\x1b[Jhost% \x1b[K"),
            ("50%\r60%", "50%\r60%"),
        ] {
            assert_eq!(screen(drawn).place(), Place::Lines { fresh: again.is_empty(), again }, "{drawn:?}");
        }
    }

    #[test]
    fn a_line_that_is_not_known_is_not_drawn_again() {
        let long = "x".repeat(LINE + 1);
        for drawn in [&long, "one\ntwo", "a\x1b[Ab", "a\x1b8b", "a\x0cb", "\x1bM$ ", "x\x1b[2J$ "] {
            assert_eq!(screen(drawn).place(), Place::Lines { fresh: false, again: "" }, "{drawn:?}");
        }
        assert_eq!(screen("one\ntwo\r\n$ ").place(), Place::Lines { fresh: false, again: "$ " }, "and it ends");
    }

    #[test]
    fn a_full_screen_program_has_the_whole_of_it_until_it_ends() {
        for (on, off) in [("?1049", "?1049"), ("?1;47", "?47"), ("?1047", "?1047")] {
            let mut screen = screen("$ vim\r\n");
            screen.feed(format!("\x1b[{on}h\x1b[1;1Hpicture").as_bytes());
            assert_eq!(screen.place(), over(), "{on}");
            screen.feed(format!("\x1b[{off}l").as_bytes());
            assert_ne!(screen.place(), over(), "{on}");
        }
        let mut less = screen("$ less\r\n");
        less.feed(b"\x1b[?1049h\x1b[22;0;0t\x1b[?1h\x1b=text\r\n:");
        less.feed(b"\x1b[?1049l\x1b[?1l\x1b>$ ");
        assert_eq!(less.place(), Place::Lines { fresh: false, again: "$ " }, "the cursor is back where it was");
        assert_eq!(screen("\x1b[?1049h\x1bc$ ").place(), Place::Lines { fresh: false, again: "$ " });
    }

    #[test]
    fn a_program_that_draws_all_over_the_main_screen_is_one_too() {
        assert_eq!(screen("$ top\r\n\x1b[H\x1b[2Jtop\x1b[24;1Hlast").place(), over());
        assert_eq!(screen("\x1b[24;1Hlast\r\n$ ").place(), Place::Lines { fresh: false, again: "$ " });
    }

    #[test]
    fn a_change_of_size_moves_the_last_row() {
        let mut screen = screen("\x1b[?1049h");
        screen.resize(132, 50);
        assert_eq!(screen.place(), Place::Over { row: 50, width: 131 });
        screen.resize(0, 1);
        assert!(matches!(screen.place(), Place::Lines { .. }), "no row to spare");
    }

    #[test]
    fn nothing_is_settled_while_something_is_under_way() {
        for drawn in ["\x1b", "\x1b[3", "\x1b]0;tit", "\x1b7\x1b[1;1Hclock", "\x1b[s", "\x1b[?2026hpict", "\x1b[?1048h"]
        {
            assert!(!screen(drawn).is_settled(), "{drawn:?}");
        }
        let mut half = screen("");
        half.feed("猫".as_bytes().split_at(2).0);
        assert!(!half.is_settled());
        for drawn in ["", "a\x1b[m", "\x1b7x\x1b8", "\x1b[s\x1b[u", "\x1b[?2026h\x1b[?2026l", "\x1b]0;t\x1b\\"] {
            assert!(screen(drawn).is_settled(), "{drawn:?}");
        }
    }

    #[test]
    fn what_a_program_left_behind_is_taken_back() {
        assert_eq!(screen("$ ").restore(), "");
        let left = screen("\x1b[?1049h\x1b[?25l\x1b[?1000;1006h\x1b[?2004h\x1b[?2004l").restore();
        assert_eq!(left, "\x1b[?1049l\x1b[?25h\x1b[?1000l\x1b[?1006l\x1b>\x1b[0m");
        assert_eq!(screen("\x1b]0;endless").restore(), "\x18");
        let dumb = Screen::new(&Pty { term: "dumb".into(), columns: 80, rows: 24 });
        assert_eq!(dumb.restore(), "");
    }

    /// What is said last stands below a picture, and not in the middle of it in the picture's colours.
    #[test]
    fn a_picture_on_the_main_screen_is_left_below_its_last_row() {
        let below = "\x1b[0m\x1b(B\x0f\x1b[?6l\x1b[24d";
        assert_eq!(screen("$ top\r\n\x1b[H\x1b[2Jtop\x1b[5;1H\x1b[7mlast").restore(), below);
        let scrolls = screen("\x1b[2;23r\x1b[?25l\x1b[5;1Hlast").restore();
        assert_eq!(scrolls, format!("\x1b[?25h\x1b7\x1b[r\x1b8{below}"));
        assert_eq!(screen("\x1b[2;23r\x1b[r$ ").restore(), "");
        assert_eq!(screen("\x1b[2;23r\r\n$ ").restore(), "\x1b7\x1b[r\x1b8");
        assert_eq!(screen("\x1b[5;1Hlast\r\n$ ").restore(), "", "it has ended by itself");
    }

    proptest::proptest! {
        #[test]
        fn cuts_change_nothing(text in "([ -~é]|\r|\n|\x08|\x1b[\\[\\]P(]?[?>0-9;]{0,5}[@-~]|\x07|\x1b){0,60}") {
            let whole = screen(&text);
            let mut pieces = screen("");
            for byte in text.bytes() {
                pieces.feed(&[byte]);
            }
            proptest::prop_assert_eq!(whole.place(), pieces.place());
            proptest::prop_assert_eq!(whole.is_settled(), pieces.is_settled());
        }

        #[test]
        fn what_is_drawn_again_asks_nothing_and_moves_nowhere(text in "([ -~]|\r|\n|\x1b[\\[\\]P(]?[?>0-9;]{0,5}[@-~]|\x07|\x1b){0,60}") {
            let screen = screen(&text);
            let Place::Lines { again, .. } = screen.place() else { return Ok(()) };
            proptest::prop_assert!(again.len() <= LINE && !again.contains(['\n', '\x07']));
            let mut harmless = String::new();
            recordings::Filter::default().push(again, &mut harmless);
            proptest::prop_assert_eq!(harmless, again);
        }
    }
}
