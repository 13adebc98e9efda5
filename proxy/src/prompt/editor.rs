//! One line that somebody types into a terminal in raw mode. Pure: bytes in, and what to echo out.

use recordings::{Decoder, Scanner, Token};

use super::Left;
use crate::words::plain;

/// The most bytes of a typed line.
const LONGEST: usize = 1024;
/// Takes a character back from the terminal.
const ERASE: &str = "\u{8} \u{8}";

/// A line that is being typed. Only what prints is taken: the sequences of keys, and what a terminal answers to a target's
/// questions, are swallowed.
#[derive(Debug, Default)]
pub(crate) struct Editor {
    text: String,
    decoder: Decoder,
    scanner: Scanner,
    /// The next character is the rest of a key: `ESC O A` is an arrow where keys of the cursor were switched.
    shifted: bool,
}

/// What a byte led to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    /// The line goes on.
    More,
    /// It is complete; blanks around it are left out.
    Line(String),
    /// Its writer wants out.
    Left(Left),
}

impl Editor {
    /// Takes one byte; what is to be shown for it goes to the end of `echo`.
    pub(crate) fn feed(&mut self, byte: u8, echo: &mut String) -> Step {
        // Whatever is under way: nothing keeps anybody from giving up.
        if byte == 0x03 {
            echo.push_str("^C\r\n");
            return Step::Left(Left::Interrupted);
        }
        let (mut typed, mut step) = (String::new(), Step::More);
        self.decoder.push(&[byte], &mut typed);
        let mut scanner = std::mem::take(&mut self.scanner);
        for c in typed.chars() {
            let shifted = std::mem::take(&mut self.shifted);
            match scanner.feed(c) {
                Some(Token::Print(_)) if shifted => {}
                Some(Token::Escape { intermediate: "", end: 'O' }) => self.shifted = true,
                Some(Token::Print(c)) => self.print(c, echo),
                Some(Token::Control(c)) => step = self.control(c, echo),
                Some(Token::Csi { .. } | Token::Escape { .. } | Token::String) | None => {}
            }
        }
        self.scanner = scanner;
        step
    }

    /// What stands there so far.
    pub(crate) fn text(&self) -> &str {
        &self.text
    }

    fn print(&mut self, c: char, echo: &mut String) {
        if self.text.len().saturating_add(c.len_utf8()) <= LONGEST {
            self.text.push(c);
            echo.push_str(&plain(c.encode_utf8(&mut [0; 4])));
        }
    }

    fn control(&mut self, c: char, echo: &mut String) -> Step {
        match c {
            '\r' | '\n' => {
                echo.push_str("\r\n");
                return Step::Line(std::mem::take(&mut self.text).trim().to_owned());
            }
            '\x04' if self.text.is_empty() => {
                echo.push_str("\r\n");
                return Step::Left(Left::Done);
            }
            '\x08' | '\x7f' => echo.push_str(self.text.pop().map_or("", |_| ERASE)),
            '\x15' => {
                echo.push_str(&ERASE.repeat(self.text.chars().count()));
                self.text.clear();
            }
            _ => {}
        }
        Step::More
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    /// What comes of these bytes, and what is shown for them.
    fn typed(bytes: &[u8]) -> (Step, String) {
        let (mut editor, mut echo) = (Editor::default(), String::new());
        for byte in bytes {
            let step = editor.feed(*byte, &mut echo);
            if step != Step::More {
                return (step, echo);
            }
        }
        (Step::More, echo)
    }

    fn line(text: &str) -> Step {
        Step::Line(text.to_owned())
    }

    #[test]
    fn a_line_is_what_was_typed_and_not_taken_back() {
        for (bytes, expected) in [
            ("30m\r", "30m"),
            ("  the disk  \n", "the disk"),
            ("fulll\x7f\r", "full"),
            ("caf\u{e9}\u{e9}\x7f\r", "caf\u{e9}"),
            ("wrong\x15right\r", "right"),
            ("a\x1b[Db\x1bOAc\r", "abc"),
            ("a\tb\r", "ab"),
            ("a\x1b[\u{85}b\r", "ab"),
        ] {
            assert_eq!(typed(bytes.as_bytes()).0, line(expected), "{bytes:?}");
        }
        assert_eq!(typed(b"ab\x7f\r").1, "ab\u{8} \u{8}\r\n");
    }

    /// A target may have asked the terminal something just before.
    #[test]
    fn what_a_terminal_answers_is_not_typed() {
        for answer in [
            "\x1b[24;80R",
            "\x1b[?62;1;6c",
            "\x1b]11;rgb:0000/0000/0000\x07",
            "\x1b]l\rtitle\r\x1b\\",
            "\x1bP1$r0m\r30m\r\x1b\\",
            "\x1b[200~\x1b[201~",
        ] {
            assert_eq!(typed(format!("{answer}45m\r").as_bytes()).0, line("45m"), "{answer:?}");
        }
    }

    #[test]
    fn one_can_always_leave() {
        assert_eq!(typed(b"30\x03").0, Step::Left(Left::Interrupted));
        assert_eq!(typed(b"\x1b]an endless string \x03").0, Step::Left(Left::Interrupted));
        assert_eq!(typed(b"\x04").0, Step::Left(Left::Done));
        assert_eq!(typed(b"x\x04\r").0, line("x"));
    }

    proptest! {
        #[test]
        fn no_byte_makes_it_fall_over_or_draw(bytes: Vec<u8>) {
            let (step, echo) = typed(&bytes);
            if let Step::Line(text) = step {
                prop_assert!(text.len() <= LONGEST);
            }
            prop_assert!(echo.chars().all(|c| !c.is_control() || matches!(c, '\u{8}' | '\r' | '\n')), "{:?}", echo);
        }
    }
}
