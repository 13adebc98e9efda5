//! UTF-8 that arrives in pieces.

/// An incremental, lossy UTF-8 decoder: however the bytes are cut, the text is the same as that of
/// [`String::from_utf8_lossy`] over the whole.
///
/// A sequence that is split between two pieces is joined. What is invalid becomes one U+FFFD for each maximal part of
/// a sequence (Unicode 16, section 3.9, "U+FFFD Substitution of Maximal Subparts"), as in asciinema's own decoders.
#[derive(Debug, Default)]
pub struct Decoder {
    /// The beginning of a sequence that may yet be completed: at most three bytes.
    held: Vec<u8>,
}

impl Decoder {
    /// Decodes `bytes` onto the end of `text`; an unfinished sequence at their end is held back.
    pub fn push(&mut self, bytes: &[u8], text: &mut String) {
        if self.held.is_empty() {
            self.decode(bytes, text);
        } else {
            let mut joined = std::mem::take(&mut self.held);
            joined.extend_from_slice(bytes);
            self.decode(&joined, text);
        }
    }

    /// Whether no sequence is under way.
    #[must_use]
    pub fn is_whole(&self) -> bool {
        self.held.is_empty()
    }

    /// Says that no more will come: what was held back is invalid.
    pub fn finish(&mut self, text: &mut String) {
        if !self.held.is_empty() {
            self.held.clear();
            text.push(char::REPLACEMENT_CHARACTER);
        }
    }

    fn decode(&mut self, mut bytes: &[u8], text: &mut String) {
        loop {
            match std::str::from_utf8(bytes) {
                Ok(valid) => return text.push_str(valid),
                Err(error) => {
                    let (valid, rest) = bytes.split_at_checked(error.valid_up_to()).unwrap_or((bytes, &[]));
                    text.push_str(std::str::from_utf8(valid).unwrap_or_default());
                    let Some(invalid) = error.error_len() else {
                        self.held.extend_from_slice(rest);
                        return;
                    };
                    text.push(char::REPLACEMENT_CHARACTER);
                    bytes = rest.get(invalid..).unwrap_or_default();
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn decode<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> String {
        let (mut decoder, mut text) = (Decoder::default(), String::new());
        for piece in pieces {
            decoder.push(piece, &mut text);
        }
        decoder.finish(&mut text);
        text
    }

    /// Bytes that are mostly the makings of UTF-8: whole characters, and single bytes of every class.
    fn bytes() -> impl Strategy<Value = Vec<u8>> {
        let piece = prop_oneof![
            any::<char>().prop_map(|c| c.to_string().into_bytes()),
            prop::sample::select(vec![0x00, 0x41, 0x80, 0xbf, 0xc0, 0xc3, 0xe0, 0xe2, 0xed, 0xf0, 0xf4, 0xf5, 0xff])
                .prop_map(|b| vec![b]),
            any::<u8>().prop_map(|b| vec![b]),
        ];
        prop::collection::vec(piece, 0..40).prop_map(|pieces| pieces.concat())
    }

    proptest! {
        #[test]
        fn any_cut_decodes_as_the_whole(bytes in bytes(), cuts in prop::collection::vec(0usize..120, 0..12)) {
            let mut cuts: Vec<usize> = cuts.into_iter().map(|cut| cut.min(bytes.len())).collect();
            cuts.extend([0, bytes.len()]);
            cuts.sort_unstable();
            let pieces = cuts.windows(2).map(|cut| &bytes[cut[0]..cut[1]]);
            prop_assert_eq!(decode(pieces), String::from_utf8_lossy(&bytes));
        }

        #[test]
        fn single_bytes_decode_as_the_whole(bytes in bytes()) {
            prop_assert_eq!(decode(bytes.chunks(1)), String::from_utf8_lossy(&bytes));
        }
    }

    #[test]
    fn a_character_cut_in_two_is_joined() {
        assert_eq!(decode([&b"a\xe2\x82"[..], b"\xac!"]), "a€!");
    }

    #[test]
    fn what_is_never_completed_becomes_one_replacement() {
        assert_eq!(decode([&b"\xf0\x9f\x98"[..]]), "\u{fffd}");
        assert_eq!(decode([&b"\xf0\x9f"[..], b"x"]), "\u{fffd}x");
    }
}
