//! Terminal control sequences, taken apart (ECMA-48, section 5; xterm's "Control Sequences").

/// The most characters of a control sequence's parameters that are kept; a longer sequence is reported without them.
const PARAMETERS: usize = 256;

/// One piece of a terminal's input or output.
#[derive(Debug, PartialEq, Eq)]
pub enum Token<'a> {
    /// A character to show.
    Print(char),
    /// A control character: C0 except ESC, or DEL.
    Control(char),
    /// ESC, possibly intermediate characters, and a final one.
    Escape {
        /// Intermediate characters, as `(` in `ESC ( B`.
        intermediate: &'a str,
        /// The final character.
        end: char,
    },
    /// CSI, its parameters and intermediates as they came, and the final character.
    Csi {
        /// Everything between CSI and the final character.
        parameters: &'a str,
        /// The final character.
        end: char,
    },
    /// A whole OSC, DCS, SOS, PM or APC string, whose content is not kept.
    String,
}

#[derive(Debug, Default, PartialEq, Eq)]
enum State {
    #[default]
    Ground,
    Escape,
    Csi,
    String,
    /// ESC inside of a string: a backslash ends it.
    StringEscape,
}

/// A scanner that is fed character by character.
#[derive(Debug, Default)]
pub struct Scanner {
    state: State,
    collected: String,
    overflow: bool,
}

impl Scanner {
    /// Whether no sequence is under way: what is written here is taken for what it is.
    #[must_use]
    pub const fn is_ground(&self) -> bool {
        matches!(self.state, State::Ground)
    }

    /// Takes one character; a token when it completes one.
    pub fn feed(&mut self, c: char) -> Option<Token<'_>> {
        match (&self.state, c) {
            (State::String, '\x1b') => {
                self.state = State::StringEscape;
                None
            }
            (State::String | State::StringEscape, '\x07' | '\x18' | '\x1a' | '\u{9c}')
            | (State::StringEscape, '\\') => {
                self.state = State::Ground;
                Some(Token::String)
            }
            (State::String, _) => None,
            (_, '\x1b') => self.enter(State::Escape),
            (_, '\x18' | '\x1a') => {
                self.state = State::Ground;
                Some(Token::Control(c))
            }
            // An escape sequence inside of a string ends the string, and begins.
            (State::StringEscape, _) => {
                self.begin(State::Escape);
                self.in_escape(c)
            }
            (_, '\u{9b}') => self.enter(State::Csi),
            (_, '\u{90}' | '\u{98}' | '\u{9d}'..='\u{9f}') => self.enter(State::String),
            (_, '\0'..='\x1f') => Some(Token::Control(c)),
            (State::Ground, '\x7f') => Some(Token::Control(c)),
            (State::Ground, '\u{80}'..='\u{9f}') => None,
            (State::Ground, _) => Some(Token::Print(c)),
            (State::Escape, _) => self.in_escape(c),
            (State::Csi, _) => self.in_csi(c),
        }
    }

    fn begin(&mut self, state: State) {
        self.state = state;
        self.collected.clear();
        self.overflow = false;
    }

    fn enter(&mut self, state: State) -> Option<Token<'_>> {
        self.begin(state);
        None
    }

    fn collect(&mut self, c: char) -> Option<Token<'_>> {
        if self.collected.len() < PARAMETERS {
            self.collected.push(c);
        } else {
            self.overflow = true;
        }
        None
    }

    fn in_escape(&mut self, c: char) -> Option<Token<'_>> {
        match c {
            '[' if self.collected.is_empty() => self.enter(State::Csi),
            'P' | 'X' | ']' | '^' | '_' if self.collected.is_empty() => self.enter(State::String),
            ' '..='/' => self.collect(c),
            _ => {
                self.state = State::Ground;
                Some(Token::Escape { intermediate: &self.collected, end: c })
            }
        }
    }

    fn in_csi(&mut self, c: char) -> Option<Token<'_>> {
        match c {
            ' '..='?' => self.collect(c),
            '@'..='~' => {
                self.state = State::Ground;
                let parameters = if self.overflow { "" } else { self.collected.as_str() };
                Some(Token::Csi { parameters, end: c })
            }
            // DEL is ignored, and anything else aborts the sequence.
            '\x7f' => None,
            // As on the ground: no control character is ever printed.
            '\u{80}'..='\u{9f}' => {
                self.state = State::Ground;
                None
            }
            _ => {
                self.state = State::Ground;
                Some(Token::Print(c))
            }
        }
    }
}

/// The numeric parameters of a control sequence; what is left out or is no number reads as `None`.
pub fn numbers(parameters: &str) -> impl Iterator<Item = Option<usize>> + '_ {
    parameters.trim_start_matches(['?', '>', '=', '<']).split(';').map(|number| number.parse().ok())
}

/// Whether a control sequence switches to the alternate screen (`Some(true)`) or back (`Some(false)`).
#[must_use]
pub fn alternate_screen(parameters: &str, end: char) -> Option<bool> {
    let on = match end {
        'h' => true,
        'l' => false,
        _ => return None,
    };
    (parameters.starts_with('?') && numbers(parameters).any(|mode| matches!(mode, Some(47 | 1047 | 1049))))
        .then_some(on)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scan(text: &str) -> Vec<String> {
        let mut scanner = Scanner::default();
        text.chars().filter_map(|c| scanner.feed(c).map(|token| format!("{token:?}"))).collect()
    }

    #[test]
    fn sequences_are_told_apart() {
        assert_eq!(scan("a\x1b[1;31mb"), ["Print('a')", "Csi { parameters: \"1;31\", end: 'm' }", "Print('b')"]);
        assert_eq!(scan("\x1b(Bx"), ["Escape { intermediate: \"(\", end: 'B' }", "Print('x')"]);
        assert_eq!(scan("\x1b]52;c;Zm9v\x07x"), ["String", "Print('x')"]);
        assert_eq!(scan("\x1b]0;t\x1b\\x"), ["String", "Print('x')"]);
        assert_eq!(scan("\x1bP$q\u{9c}x"), ["String", "Print('x')"]);
        assert_eq!(scan("\u{9b}3J"), ["Csi { parameters: \"3\", end: 'J' }"]);
        assert_eq!(scan("\x1b[2\rK"), ["Control('\\r')", "Csi { parameters: \"2\", end: 'K' }"]);
        assert_eq!(scan("\x1b]0;t\x1b[mx"), ["Csi { parameters: \"\", end: 'm' }", "Print('x')"]);
    }

    #[test]
    fn the_alternate_screen_is_recognised() {
        assert_eq!(alternate_screen("?1049", 'h'), Some(true));
        assert_eq!(alternate_screen("?25;47", 'l'), Some(false));
        assert_eq!(alternate_screen("1049", 'h'), None);
        assert_eq!(alternate_screen("?25", 'h'), None);
    }

    proptest::proptest! {
        #[test]
        fn nothing_is_kept_without_bound(text in "\x1b[\\[\\]P(][ -~]{0,2000}") {
            let mut scanner = Scanner::default();
            for c in text.chars() {
                let _ = scanner.feed(c);
            }
            proptest::prop_assert!(scanner.collected.len() <= PARAMETERS);
        }
    }
}
