//! Escapes among the keys that a person types: the escape key at the beginning of a line, and a letter. Pure.
//!
//! A target must not be able to forge one. What it can make a terminal send are answers: to questions about the cursor, the
//! terminal, its colours, its title. They begin with an escape character, and terminals take control characters out of
//! what they repeat. So nothing within such a sequence counts, whatever is in it; nor does anything that was pasted,
//! where the terminal marks it.

use bytes::Bytes;
use recordings::{Decoder, Scanner, Token};

/// What a person wants of the proxy.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Wish {
    /// To know how much time is left.
    Time,
    /// To ask for more time.
    Extend,
    /// To know which escapes there are.
    Help,
}

/// A piece of what was typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Piece {
    /// Goes on to the target as it is.
    On(Bytes),
    /// An escape, of which nothing goes on.
    Wish(Wish),
}

/// What is known of the keys so far.
#[derive(Debug)]
pub(crate) struct Escapes {
    key: u8,
    /// The next key begins a line.
    fresh: bool,
    /// The escape key was typed, and waits for the next.
    held: bool,
    /// What comes was pasted.
    pasted: bool,
    decoder: Decoder,
    scanner: Scanner,
    text: String,
}

impl Escapes {
    /// With this key.
    pub(crate) fn new(key: u8) -> Self {
        let (decoder, scanner, text) = (Decoder::default(), Scanner::default(), String::new());
        Self { key, fresh: true, held: false, pasted: false, decoder, scanner, text }
    }

    /// Takes the next piece off the front of what was typed; `None` when nothing is left to be handed on now.
    pub(crate) fn next(&mut self, typed: &mut Bytes) -> Option<Piece> {
        let first = typed.first().copied()?;
        if std::mem::take(&mut self.held) {
            let wish = wish(first);
            if wish.is_some() || first == self.key {
                let _ = typed.split_to(1);
            }
            // Behind an escape the line still has to begin.
            self.fresh = wish.is_some();
            return Some(wish.map_or_else(|| Piece::On(self.key()), Piece::Wish));
        }
        let mut end = 0;
        for byte in typed.iter().copied() {
            if byte == self.key && self.fresh && !self.pasted && self.scanner.is_ground() {
                self.held = true;
                break;
            }
            self.note(byte);
            end += 1;
        }
        let on = typed.split_to(end);
        if self.held {
            let _ = typed.split_to(1);
            // What follows it may be there already.
            return if on.is_empty() { self.next(typed) } else { Some(Piece::On(on)) };
        }
        (!on.is_empty()).then_some(Piece::On(on))
    }

    /// Whether something is under way that an end of the typing would settle.
    pub(crate) const fn waits(&self) -> bool {
        self.held || !self.scanner.is_ground()
    }

    /// Nothing came for a while: who typed one key has no second in mind, and a sequence that has not ended was none. What
    /// was held goes on.
    pub(crate) fn settle(&mut self) -> Option<Bytes> {
        (self.decoder, self.scanner) = (Decoder::default(), Scanner::default());
        let held = std::mem::take(&mut self.held);
        if held {
            self.fresh = false;
        }
        held.then(|| self.key())
    }

    fn key(&self) -> Bytes {
        Bytes::copy_from_slice(&[self.key])
    }

    fn note(&mut self, byte: u8) {
        let mut text = std::mem::take(&mut self.text);
        self.decoder.push(&[byte], &mut text);
        for c in text.chars() {
            match self.scanner.feed(c) {
                Some(Token::Csi { parameters: "200", end: '~' }) => self.pasted = true,
                Some(Token::Csi { parameters: "201", end: '~' }) => self.pasted = false,
                Some(
                    Token::Csi { .. } | Token::Print(_) | Token::Control(_) | Token::Escape { .. } | Token::String,
                )
                | None => {}
            }
        }
        text.clear();
        self.text = text;
        self.fresh = matches!(byte, b'\r' | b'\n') && self.scanner.is_ground() && !self.pasted;
    }
}

/// What the key behind the escape key means.
const fn wish(second: u8) -> Option<Wish> {
    match second {
        b't' => Some(Wish::Time),
        b'e' => Some(Wish::Extend),
        b'?' => Some(Wish::Help),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const KEY: u8 = 0x1d;

    /// What goes on of these chunks, and what is wished for, in order; what is held at the end goes on.
    fn typed(chunks: &[&[u8]]) -> (Vec<u8>, Vec<Wish>) {
        let mut escapes = Escapes::new(KEY);
        let (mut on, mut wishes) = (Vec::new(), Vec::new());
        for chunk in chunks {
            let mut chunk = Bytes::copy_from_slice(chunk);
            while let Some(piece) = escapes.next(&mut chunk) {
                match piece {
                    Piece::On(bytes) => on.extend_from_slice(&bytes),
                    Piece::Wish(wish) => wishes.push(wish),
                }
            }
            assert!(chunk.is_empty());
        }
        on.extend(escapes.settle().unwrap_or_default());
        (on, wishes)
    }

    #[test]
    fn an_escape_at_the_beginning_of_a_line_goes_no_further() {
        for (bytes, on, wishes) in [
            (&b"\x1dt"[..], &b""[..], &[Wish::Time][..]),
            (b"ls\r\x1dt", b"ls\r", &[Wish::Time]),
            (b"ls\n\x1dels\r", b"ls\nls\r", &[Wish::Extend]),
            (b"\r\x1d?\x1dt\x1de", b"\r", &[Wish::Help, Wish::Time, Wish::Extend]),
            // For itself, and with what is none.
            (b"\r\x1d\x1d", b"\r\x1d", &[]),
            (b"\r\x1d\x1dt", b"\r\x1dt", &[]),
            (b"\r\x1dx", b"\r\x1dx", &[]),
            (b"\r\x1d\r\x1dt", b"\r\x1d\r", &[Wish::Time]),
            (b"\r\x1d\x1b[A", b"\r\x1d\x1b[A", &[]),
            (b"\r\x1dT", b"\r\x1dT", &[]),
            (b"\r\x1d", b"\r\x1d", &[]),
        ] {
            assert_eq!(typed(&[bytes]), (on.to_vec(), wishes.to_vec()), "{bytes:?}");
            let single: Vec<&[u8]> = bytes.chunks(1).collect();
            assert_eq!(typed(&single), (on.to_vec(), wishes.to_vec()), "{bytes:?} in single bytes");
        }
    }

    #[test]
    fn anywhere_else_it_is_a_key_like_any_other() {
        for bytes in [
            &b"x\x1dt"[..],
            b"\r \x1dt",
            // What a terminal answers; with the control characters that it should have taken out.
            b"\r\x1b[24;80R\x1dt",
            b"\r\x1b]l\r\x1dt\r\x1de\x1b\\",
            b"\r\x1bP1$r\r\x1dt\r\x1b\\",
            b"\r\x1b]11;rgb:0/0/0\r\x1dt\x07",
            b"\r\x1b[>0;\r\x1dt",
            b"\r\xc2\x9d0;\r\x1dt\xc2\x9c",
            // What was pasted.
            b"\r\x1b[200~\r\x1dt\r\x1de\r\x1b[201~",
            b"\r\x1b[200~\x1b[A\r\x1dt\r",
        ] {
            assert_eq!(typed(&[bytes]), (bytes.to_vec(), vec![]), "{bytes:?}");
        }
        assert_eq!(typed(&[b"\x1b[200~a\r\x1b[201~\r\x1dt"]).1, [Wish::Time], "behind what was pasted");
        assert_eq!(typed(&[b"\x1b]0;answer\x07\r\x1dt"]).1, [Wish::Time], "behind an answer");
    }

    #[test]
    fn a_sequence_that_never_ends_is_forgotten() {
        let mut escapes = Escapes::new(KEY);
        let mut bytes = Bytes::from_static(b"\x1b]");
        escapes.next(&mut bytes);
        assert!(escapes.waits());
        assert_eq!(escapes.settle(), None);
        assert!(!escapes.waits());
        let mut bytes = Bytes::from_static(b"\r\x1d");
        assert_eq!(escapes.next(&mut bytes), Some(Piece::On(Bytes::from_static(b"\r"))));
        assert!(escapes.waits());
        assert_eq!(escapes.settle(), Some(Bytes::from_static(b"\x1d")));
        let mut bytes = Bytes::from_static(b"t");
        assert_eq!(escapes.next(&mut bytes), Some(Piece::On(Bytes::from_static(b"t"))), "the line has begun");
    }

    /// Keys as they come: text, line ends, the escape key, sequences, anything.
    fn keys() -> impl Strategy<Value = Vec<u8>> {
        let pieces = prop_oneof![
            Just(vec![KEY]),
            Just(b"\r".to_vec()),
            Just(b"\n".to_vec()),
            Just(b"t".to_vec()),
            Just(b"e".to_vec()),
            Just(b"\x1b[A".to_vec()),
            Just(b"\x1b[200~".to_vec()),
            Just(b"\x1b[201~".to_vec()),
            Just(b"\x1b]0;".to_vec()),
            Just(b"\x1b\\".to_vec()),
            Just("é".as_bytes().to_vec()),
            proptest::collection::vec(any::<u8>(), 0..4),
        ];
        proptest::collection::vec(pieces, 0..40).prop_map(|pieces| pieces.concat())
    }

    fn cut(bytes: &[u8], mut sizes: Vec<usize>) -> Vec<&[u8]> {
        let (mut rest, mut chunks) = (bytes, Vec::new());
        while !rest.is_empty() {
            let (chunk, left) = rest.split_at(sizes.pop().unwrap_or(rest.len()).clamp(1, rest.len()));
            chunks.push(chunk);
            rest = left;
        }
        chunks
    }

    proptest! {
        /// Without the key nothing is held, taken or changed, whatever the chunks.
        #[test]
        fn without_the_key_everything_goes_on_at_once(bytes in keys(), sizes in proptest::collection::vec(1..9_usize, 0..40)) {
            let bytes: Vec<u8> = bytes.into_iter().filter(|byte| *byte != KEY).collect();
            let mut escapes = Escapes::new(KEY);
            for chunk in cut(&bytes, sizes) {
                let mut left = Bytes::copy_from_slice(chunk);
                let piece = escapes.next(&mut left);
                prop_assert_eq!(piece, Some(Piece::On(Bytes::copy_from_slice(chunk))));
                prop_assert!(left.is_empty());
            }
            prop_assert_eq!(escapes.settle(), None);
        }

        /// However it is cut, the same comes of it.
        #[test]
        fn chunks_make_no_difference(bytes in keys(), sizes in proptest::collection::vec(1..9_usize, 0..40)) {
            prop_assert_eq!(typed(&cut(&bytes, sizes)), typed(&[&bytes]));
        }

        /// What is missing of what goes on are the escapes, and one of each doubled key.
        #[test]
        fn nothing_but_escapes_is_missing(bytes in keys()) {
            let (on, wishes) = typed(&[&bytes]);
            let mut rest = bytes.iter();
            prop_assert!(on.iter().all(|byte| rest.any(|typed| typed == byte)), "in order");
            let doubled = bytes.len() - on.len() - 2 * wishes.len();
            let keys = bytes.iter().filter(|byte| **byte == KEY).count();
            prop_assert!(2 * doubled + wishes.len() <= keys, "{} of {keys}, {} wishes", doubled, wishes.len());
        }

        /// Whatever a terminal answers: within its sequence nothing counts.
        #[test]
        fn no_answer_of_a_terminal_is_an_escape(
            before in "[a-z]{0,3}",
            opening in prop_oneof![Just("\x1b]"), Just("\x1bP"), Just("\x1b_"), Just("\x1b^"), Just("\x1bX"), Just("\u{9d}"), Just("\u{90}")],
            inside in "[\r\n\x1dte? -~]{0,40}",
        ) {
            let bytes = format!("{before}\r{opening}{inside}\x1b\\").into_bytes();
            prop_assert_eq!(typed(&[&bytes]), (bytes, vec![]));
        }
    }
}
