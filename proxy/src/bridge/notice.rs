//! How the proxy's own words are written into a person's terminal.

use std::fmt::Write as _;

use crate::words::Words;

use super::screen::{Place, Screen};

/// What a person reads before the target's first byte: quietly, since it says nothing that is new every time.
pub(super) fn greeting(words: &Words, screen: &Screen) -> Vec<u8> {
    let (dim, plain) = if screen.is_dumb() { ("", "") } else { ("\x1b[2m", "\x1b[0m") };
    let lines = words.lines().iter().map(|line| format!("{dim}{line}{plain}\r\n"));
    lines.collect::<String>().into_bytes()
}

/// What a person is told in between, with a bell, since they may be looking at something else.
///
/// A full-screen program keeps its picture but for the last row, and the cursor where it was; the program draws that
/// row anew when it next has a reason to. On the main screen the words stand on lines of their own, and the line that
/// was begun, as a rule a prompt, is drawn again behind them.
pub(super) fn notice(words: &Words, screen: &Screen) -> Vec<u8> {
    // What is under way ends here. It was given its time.
    let mut all = String::from(if screen.is_dumb() || screen.is_ground() { "" } else { "\x18" });
    match screen.place() {
        Place::Lines { fresh, again } => {
            all.push_str(if fresh { "" } else { "\r\n" });
            all.push_str(&lines(words, screen.is_dumb()));
            all.push_str(again);
        }
        Place::Over { row, width } => {
            let text = fit(&words.line(), width);
            // Writing into a String never fails. Cursor and attributes are saved, with them the origin of rows and the character set, and brought back.
            let _ = write!(all, "\x1b7\x1b[?6l\x1b[{row};1H\x1b(B\x0f\x1b[0;7m{text}\x1b[0m\x1b8");
        }
    }
    all.push('\x07');
    all.into_bytes()
}

/// Words on lines of their own.
pub(super) fn lines(words: &Words, dumb: bool) -> String {
    let (bold, plain) = if dumb { ("", "") } else { ("\x1b[0;1m", "\x1b[0m") };
    words.lines().iter().map(|line| format!("{bold}{line}{plain}\r\n")).collect()
}

/// The end of the text, in at most this many columns, and how many they are.
pub(super) fn tail(text: &str, width: usize) -> (&str, usize) {
    let (mut from, mut used) = (text.len(), 0);
    for (at, c) in text.char_indices().rev() {
        let wide = columns(c);
        if used + wide > width {
            break;
        }
        (from, used) = (at, used + wide);
    }
    (text.get(from..).unwrap_or_default(), used)
}

/// A character that is not ASCII may be two columns wide, and counts as that.
const fn columns(c: char) -> usize {
    if c.is_ascii() { 1 } else { 2 }
}

/// The text in exactly this many columns.
pub(super) fn fit(text: &str, width: usize) -> String {
    let mut left = width;
    let mut fitted = String::new();
    for c in text.chars() {
        let wide = columns(c);
        if wide > left {
            break;
        }
        left -= wide;
        fitted.push(c);
    }
    fitted.extend(std::iter::repeat_n(' ', left));
    fitted
}

#[cfg(test)]
mod tests {
    use model::Pty;

    use super::*;

    fn screen(term: &str, drawn: &str) -> Screen {
        let mut screen = Screen::new(&Pty { term: term.into(), columns: 30, rows: 10 });
        screen.feed(drawn.as_bytes());
        screen
    }

    fn shown(drawn: &str) -> String {
        let words = Words::say("it ends").hint("go on");
        String::from_utf8(notice(&words, &screen("xterm", drawn))).unwrap()
    }

    #[test]
    fn a_prompt_comes_back() {
        assert_eq!(
            shown("\x1b[32m$\x1b[0m ls"),
            "\r\n\x1b[0;1mportcullis: it ends\x1b[0m\r\n\x1b[0;1mportcullis: go on\x1b[0m\r\n\x1b[32m$\x1b[0m ls\x07"
        );
        assert!(shown("done\r\n").starts_with("\x1b[0;1mportcullis"), "an empty line is used as it is");
    }

    #[test]
    fn a_full_screen_program_keeps_its_picture_and_its_cursor() {
        assert_eq!(
            shown("\x1b[?1049h~"),
            "\x1b7\x1b[?6l\x1b[10;1H\x1b(B\x0f\x1b[0;7mportcullis: it ends; go on   \x1b[0m\x1b8\x07"
        );
    }

    #[test]
    fn what_hangs_is_broken_off() {
        assert!(shown("$ \x1b]0;endless").starts_with("\x18\r\n"));
    }

    #[test]
    fn a_terminal_that_knows_nothing_gets_nothing_else() {
        let words = Words::say("hello");
        assert_eq!(greeting(&words, &screen("dumb", "")), b"portcullis: hello\r\n");
        assert_eq!(notice(&words, &screen("dumb", "$ ")), b"\r\nportcullis: hello\r\n$ \x07");
        assert_eq!(greeting(&words, &screen("xterm", "")), b"\x1b[2mportcullis: hello\x1b[0m\r\n");
    }

    #[test]
    fn a_row_is_never_wider_than_the_terminal() {
        for (text, fitted) in
            [("abc", "abc  "), ("abcdefg", "abcde"), ("猫猫猫", "猫猫 "), ("é", "é   "), ("", "     ")]
        {
            assert_eq!(fit(text, 5), fitted);
        }
    }

    #[test]
    fn of_what_is_too_long_the_end_is_shown() {
        for (text, shown, used) in [("abc", "abc", 3), ("abcdefg", "cdefg", 5), ("a猫猫猫", "猫猫", 4), ("", "", 0)]
        {
            assert_eq!(tail(text, 5), (shown, used));
        }
    }

    #[test]
    fn nobody_writes_a_control_sequence_into_it() {
        let hostile = "\x1b[2J\x1b]52;c;eA==\x07\r\n\u{9b}31m\u{202e}x\u{2066}\x18\x00";
        let words = Words::say(hostile).hint(hostile);
        for drawn in ["", "\x1b[?1049h"] {
            let text = String::from_utf8(notice(&words, &screen("xterm", drawn))).unwrap();
            assert!(!text.contains("\x1b[2J") && !text.contains("\x1b]"), "{text:?}");
            assert_eq!(text.matches('\x07').count(), 1, "our own bell: {text:?}");
            assert!(!text.contains(['\u{9b}', '\u{202e}', '\u{2066}', '\x18', '\0']), "{text:?}");
            assert!(text.matches("\r\n").count() <= 2, "{text:?}");
        }
    }
}
