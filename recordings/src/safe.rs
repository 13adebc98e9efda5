//! A recording's output, made harmless for the terminal that shows it.

use std::fmt::Write as _;

use crate::ansi::{Scanner, Token, alternate_screen, numbers};

/// Lets through what draws, and drops what would act upon the analyst's terminal.
///
/// A hostile target chooses every byte of its output. Played as it is, it can write the clipboard (OSC 52), set the
/// title, and ask the terminal questions whose answers arrive in the analyst's shell as if they were typed. So only
/// known drawing sequences pass: text, colours, cursor and erasing, scrolling regions, the alternate screen. Strings
/// (OSC, DCS, APC), questions, mouse and keyboard modes do not.
#[derive(Debug, Default)]
pub struct Filter {
    scanner: Scanner,
    alternate: bool,
}

impl Filter {
    /// Appends what is harmless in `text` to `out`. A sequence may be cut between two calls.
    pub fn push(&mut self, text: &str, out: &mut String) {
        for c in text.chars() {
            match self.scanner.feed(c) {
                Some(Token::Print(c)) => out.push(c),
                Some(Token::Control(c @ ('\x07'..='\x0f'))) => out.push(c),
                Some(Token::Escape { intermediate, end }) if draws(intermediate, end) => {
                    // Writing into a String never fails.
                    let _ = write!(out, "\x1b{intermediate}{end}");
                }
                Some(Token::Csi { parameters, end }) => {
                    self.alternate = alternate_screen(parameters, end).unwrap_or(self.alternate);
                    sequence(parameters, end, out);
                }
                Some(Token::Control(_) | Token::Escape { .. } | Token::String) | None => {}
            }
        }
    }

    /// Whether a full-screen program has the terminal.
    pub(crate) const fn is_alternate(&self) -> bool {
        self.alternate
    }
}

/// Whether an escape sequence only draws: cursor, tabs, reset, keypad, character sets, alignment.
fn draws(intermediate: &str, end: char) -> bool {
    match intermediate {
        "" => matches!(end, '7' | '8' | 'D' | 'E' | 'H' | 'M' | 'c' | '=' | '>' | 'n' | 'o'),
        "(" | ")" | "*" | "+" => end.is_ascii_alphanumeric(),
        "#" => matches!(end, '3'..='8'),
        _ => false,
    }
}

fn sequence(parameters: &str, end: char, out: &mut String) {
    let plain = parameters.bytes().all(|byte| matches!(byte, b'0'..=b';'));
    match (parameters, end) {
        ("!", 'p') => out.push_str("\x1b[!p"),
        (_, 'h' | 'l') => modes(parameters, end, out),
        // Without parameters, `s` and `u` save and restore the cursor.
        ("", 's' | 'u')
        | (_, '@' | 'A'..='M' | 'P' | 'S' | 'T' | 'X' | 'Z' | '`' | 'a' | 'b' | 'd' | 'e' | 'f' | 'g' | 'm' | 'r')
            if plain =>
        {
            let _ = write!(out, "\x1b[{parameters}{end}");
        }
        (cursor, 'q') if cursor.strip_suffix(' ').is_some_and(|shape| shape.bytes().all(|b| b.is_ascii_digit())) => {
            let _ = write!(out, "\x1b[{cursor}q");
        }
        _ => {}
    }
}

/// Modes that change how text is drawn; those that make a terminal send something are left out.
fn modes(parameters: &str, end: char, out: &mut String) {
    let known: &[usize] = match parameters.as_bytes().first() {
        Some(b'?') => &[1, 5, 6, 7, 12, 25, 45, 47, 69, 1047, 1048, 1049, 2026],
        Some(b'0'..=b'9') => &[4, 20],
        _ => return,
    };
    let mark = if parameters.starts_with('?') { "?" } else { "" };
    for mode in numbers(parameters).flatten().filter(|mode| known.contains(mode)) {
        let _ = write!(out, "\x1b[{mark}{mode}{end}");
    }
}

/// A line of text with nothing in it but characters to show: control characters, and those that change the order in
/// which others are shown, become U+FFFD.
#[must_use]
pub fn plain(text: &str) -> String {
    let hidden = |c: char| {
        c.is_control() && c != '\t'
            || matches!(c, '\u{61c}' | '\u{200e}' | '\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
            || matches!(c, '\u{feff}' | '\u{e0000}'..='\u{e007f}')
    };
    text.chars().map(|c| if hidden(c) { char::REPLACEMENT_CHARACTER } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn filtered(text: &str) -> String {
        let mut out = String::new();
        Filter::default().push(text, &mut out);
        out
    }

    #[test]
    fn what_draws_passes_as_it_is() {
        for text in [
            "plain text\r\n\ttab\x08",
            "\x1b[1;38;5;196mred\x1b[0m\x1b[4:3m",
            "\x1b[2J\x1b[H\x1b[10;20H\x1b[K\x1b[5A",
            "\x1b[?1049h\x1b[?25l\x1b[?25h\x1b[?1049l",
            "\x1b7\x1b8\x1b(B\x1b)0\x0e\x0f\x1bM",
            "\x1b[1;20r\x1b[s\x1b[u\x1b[2 q\x1b[4h",
        ] {
            assert_eq!(filtered(text), text);
        }
    }

    #[test]
    fn what_acts_on_the_terminal_is_dropped() {
        for text in [
            "\x1b]52;c;cm0gLXJm\x07",
            "\x1b]0;title\x1b\\",
            "\x1bP+q544e\x1b\\",
            "\x1b_Gi=1;AAAA\x1b\\",
            "\u{9d}52;c;eA==\u{9c}",
            // A control character of one byte inside of a sequence that it breaks off: a terminal answers the first.
            "\x1b[\u{9a}",
            "\x1b[0\u{85}",
            "\x1b[c",
            "\x1b[>c",
            "\x1b[6n",
            "\x1b[?6n",
            "\x1b[21t",
            "\x1b[>q",
            "\x1b[?u",
            "\x1b[>1u",
            "\x1b[?1000h",
            "\x1b[?2004h",
            "\x1b[?1004h",
            "\x1b[?2026$p",
            "\x1bZ",
            "\x05",
            "\x1b[>4;2m",
        ] {
            assert_eq!(filtered(&format!("a{text}b")), "ab", "{text:?}");
        }
        assert_eq!(filtered("\x1b[?25;1000;7h"), "\x1b[?25h\x1b[?7h");
    }

    #[test]
    fn a_plain_line_hides_nothing() {
        assert_eq!(plain("a\tb\u{202e}c\x1bd\u{9b}e"), "a\tb\u{fffd}c\u{fffd}d\u{fffd}e");
        assert_eq!(plain("a\u{61c}b\u{2067}c\u{e0041}d\u{feff}e"), "a\u{fffd}b\u{fffd}c\u{fffd}d\u{fffd}e");
        assert_eq!(plain("größer 猫 e\u{301}"), "größer 猫 e\u{301}");
    }

    proptest::proptest! {
        #[test]
        fn what_passed_once_passes_again(text in "([ -~]|\x1b[\\[\\]P(]?[?>0-9;]{0,5}[@-~]|\x07|\x1b){0,60}") {
            let once = filtered(&text);
            proptest::prop_assert_eq!(filtered(&once), once);
        }

        #[test]
        fn cuts_change_nothing(text in "([ -~é]|\x1b[\\[\\]P(]?[?>0-9;]{0,5}[@-~]|\x07|\x1b){0,40}") {
            let mut filter = Filter::default();
            let mut out = String::new();
            for c in text.chars() {
                filter.push(c.encode_utf8(&mut [0; 4]), &mut out);
            }
            proptest::prop_assert_eq!(out, filtered(&text));
        }
    }
}
