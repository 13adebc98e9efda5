//! What a person types, as keys.

use crate::Decoder;
use crate::ansi::{Scanner, Token};

/// A key, by what it does to a line in the usual line editors (the kernel's, readline, zsh, with Emacs bindings).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Key {
    /// A character that is typed into the line.
    Char(char),
    /// Ends the line; carries what was sent, CR or LF.
    Enter(char),
    /// Rubs out the character before the cursor.
    Erase,
    /// Rubs out the word before the cursor.
    EraseWord,
    /// Rubs out everything before the cursor.
    EraseToStart,
    /// Rubs out everything behind the cursor.
    EraseToEnd,
    /// Rubs out the character behind the cursor; in an empty line, the end of input.
    Delete,
    /// Moves the cursor.
    Left,
    /// Moves the cursor.
    Right,
    /// Moves the cursor to the start of the line.
    Home,
    /// Moves the cursor to the end of the line.
    End,
    /// Asks the program to complete what stands before the cursor.
    Complete,
    /// Puts another line in the place of this one; carries what was sent.
    Recall(&'static str),
    /// Gives the line up.
    Abort,
    /// Does nothing to the line: the ends of a paste, a terminal's answer to a question, a mouse.
    Nothing,
    /// Does something that is not tracked.
    Unknown,
}

/// Takes typed bytes apart.
#[derive(Debug, Default)]
pub(crate) struct Keys {
    decoder: Decoder,
    scanner: Scanner,
    /// The next character belongs to `ESC O`, as cursor keys send it in application mode.
    shift: bool,
    /// So many characters more belong to a mouse report of X10's form.
    mouse: u8,
}

impl Keys {
    /// The keys in `bytes`; what is unfinished waits for the next call.
    pub(crate) fn feed(&mut self, bytes: &[u8]) -> Vec<Key> {
        let mut text = String::new();
        self.decoder.push(bytes, &mut text);
        text.chars().filter_map(|c| self.key(c)).collect()
    }

    fn key(&mut self, c: char) -> Option<Key> {
        if self.mouse > 0 {
            self.mouse -= 1;
            return None;
        }
        if std::mem::take(&mut self.shift) {
            return Some(cursor_key(c).unwrap_or(Key::Unknown));
        }
        Some(match self.scanner.feed(c)? {
            // An invalid byte cannot be told from another one, so it is no proof of an echo.
            Token::Print(char::REPLACEMENT_CHARACTER) => Key::Unknown,
            Token::Print(c) => Key::Char(c),
            Token::Control(c) => control(c),
            Token::Escape { intermediate: "", end: 'O' } => {
                self.shift = true;
                return None;
            }
            Token::Escape { .. } => Key::Unknown,
            Token::Csi { parameters: "", end: 'M' } => {
                self.mouse = 3;
                Key::Nothing
            }
            Token::Csi { parameters, end } => sequence(parameters, end),
            Token::String => Key::Nothing,
        })
    }
}

fn control(c: char) -> Key {
    match c {
        '\r' | '\n' => Key::Enter(c),
        '\x08' | '\x7f' => Key::Erase,
        '\x17' => Key::EraseWord,
        '\x15' => Key::EraseToStart,
        '\x0b' => Key::EraseToEnd,
        '\x04' => Key::Delete,
        '\x02' => Key::Left,
        '\x06' => Key::Right,
        '\x01' => Key::Home,
        '\x05' => Key::End,
        '\t' => Key::Complete,
        '\x10' => Key::Recall("\x10"),
        '\x0e' => Key::Recall("\x0e"),
        '\x03' | '\x1a' | '\x1c' => Key::Abort,
        // Redraw, and the flow control of the kernel's terminal.
        '\x0c' | '\x11' | '\x13' => Key::Nothing,
        _ => Key::Unknown,
    }
}

fn cursor_key(end: char) -> Option<Key> {
    Some(match end {
        'A' => Key::Recall("\x1b[A"),
        'B' => Key::Recall("\x1b[B"),
        'C' => Key::Right,
        'D' => Key::Left,
        'H' => Key::Home,
        'F' => Key::End,
        _ => return None,
    })
}

fn sequence(parameters: &str, end: char) -> Key {
    match (parameters, end) {
        ("", _) if cursor_key(end).is_some() => cursor_key(end).unwrap_or(Key::Unknown),
        ("1" | "7", '~') => Key::Home,
        ("4" | "8", '~') => Key::End,
        ("3", '~') => Key::Delete,
        // The ends of a bracketed paste, a focus change, answers to questions about the cursor, the terminal and its
        // modes, and mouse reports of SGR's form.
        ("200" | "201", '~') | ("", 'I' | 'O') | (_, 'R' | 'c' | 'n' | 'y' | 't' | 'x') => Key::Nothing,
        (parameters, 'M' | 'm') if parameters.starts_with('<') => Key::Nothing,
        _ => Key::Unknown,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_told_apart_however_they_are_cut() {
        let typed =
            b"l\xc3\xa9\x7f\x1b[A\x1bOD\t\x1b[200~x\x1b[201~\x1b[<0;1;2M\x1b[M !!\x1b]11;rgb:0/0/0\x07\x1bf\x03\r";
        let expected = [
            Key::Char('l'),
            Key::Char('é'),
            Key::Erase,
            Key::Recall("\x1b[A"),
            Key::Left,
            Key::Complete,
            Key::Nothing,
            Key::Char('x'),
            Key::Nothing,
            Key::Nothing,
            Key::Nothing,
            Key::Nothing,
            Key::Unknown,
            Key::Abort,
            Key::Enter('\r'),
        ];
        assert_eq!(Keys::default().feed(typed), expected);
        let mut keys = Keys::default();
        let single: Vec<Key> = typed.chunks(1).flat_map(|byte| keys.feed(byte)).collect();
        assert_eq!(single, expected);
    }
}
