//! The one encoding of a record: RFC 8785 restricted to strings, integers, booleans, arrays and objects.
//!
//! There are no floats and no nulls, so nothing depends on how a language prints numbers; a member that is null is
//! left out. What is stored, hashed, chained, exported and proved is this encoding, byte for byte.

use model::Record;
use serde::Serialize;
use serde_json::Value;

use crate::{DecodeError, EncodeError, NotCanonical};

/// How deep arrays and objects may be nested.
const DEPTH: usize = 64;
/// The largest integer that every JSON reader keeps exact (2^53).
const LARGEST: u64 = 1 << 53;

/// The canonical encoding of a record.
///
/// # Errors
/// A number beyond 2^53, or a null in a list.
pub fn encode(record: &Record) -> Result<Vec<u8>, EncodeError> {
    canonical(record)
}

/// The canonical encoding of any value made of strings, integers, booleans, arrays and objects.
///
/// # Errors
/// A float, a number beyond 2^53, a null in a list, or nesting deeper than 64.
pub fn canonical(value: &impl Serialize) -> Result<Vec<u8>, EncodeError> {
    let value = serde_json::to_value(value).map_err(|e| EncodeError::Json(e.to_string()))?;
    let mut out = Vec::with_capacity(256);
    write(&mut out, &value, 0)?;
    Ok(out)
}

/// Reads a record and refuses whatever [`encode`] would not have written.
///
/// # Errors
/// Bytes that are not canonical, not a record, or a record with members that this version does not know.
pub fn decode(bytes: &[u8]) -> Result<Record, DecodeError> {
    let record: Record = match serde_json::from_slice(bytes) {
        Ok(record) => record,
        Err(error) => {
            check(bytes)?;
            return Err(DecodeError::NotARecord(error.to_string()));
        }
    };
    // One comparison finds every other spelling at once: white space, order, repeats, escapes, unknown members.
    if encode(&record).is_ok_and(|again| again == bytes) {
        return Ok(record);
    }
    check(bytes)?;
    Err(DecodeError::Unknown)
}

/// Checks that `bytes` are canonical JSON, whatever they mean.
///
/// # Errors
/// The first byte that has no place there.
pub fn check(bytes: &[u8]) -> Result<(), NotCanonical> {
    if let Err(error) = std::str::from_utf8(bytes) {
        return Err(NotCanonical { at: error.valid_up_to(), what: "not UTF-8" });
    }
    let mut reader = Reader { bytes, at: 0 };
    reader.value(0)?;
    if reader.at == bytes.len() { Ok(()) } else { Err(reader.bad("something follows the value")) }
}

fn write(out: &mut Vec<u8>, value: &Value, depth: usize) -> Result<(), EncodeError> {
    if depth > DEPTH {
        return Err(EncodeError::Deep { limit: DEPTH });
    }
    match value {
        Value::Null => return Err(EncodeError::Null),
        Value::Bool(true) => out.extend_from_slice(b"true"),
        Value::Bool(false) => out.extend_from_slice(b"false"),
        Value::Number(number) => {
            let size = number.as_u64().or_else(|| number.as_i64().map(i64::unsigned_abs));
            if size.is_none_or(|size| size > LARGEST) {
                return Err(EncodeError::Number(number.to_string()));
            }
            out.extend_from_slice(number.to_string().as_bytes());
        }
        Value::String(text) => write_string(out, text),
        Value::Array(items) => {
            out.push(b'[');
            for (place, item) in items.iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write(out, item, depth + 1)?;
            }
            out.push(b']');
        }
        Value::Object(members) => {
            let mut members: Vec<_> = members.iter().filter(|(_, value)| !value.is_null()).collect();
            // RFC 8785, section 3.2.3: by UTF-16 code units, not by bytes.
            members.sort_by(|(a, _), (b, _)| a.encode_utf16().cmp(b.encode_utf16()));
            out.push(b'{');
            for (place, (name, value)) in members.into_iter().enumerate() {
                if place > 0 {
                    out.push(b',');
                }
                write_string(out, name);
                out.push(b':');
                write(out, value, depth + 1)?;
            }
            out.push(b'}');
        }
    }
    Ok(())
}

/// RFC 8785, section 3.2.2.2: the short escapes where there are any, \u00xx for the other control characters, and
/// everything else as itself.
fn write_string(out: &mut Vec<u8>, text: &str) {
    const HEX: &[u8; 16] = b"0123456789abcdef";
    out.push(b'"');
    for &byte in text.as_bytes() {
        match short_escape(byte) {
            Some(letter) => out.extend_from_slice(&[b'\\', letter]),
            None if byte < 0x20 => {
                let digit = |nibble: u8| HEX.get(usize::from(nibble)).copied().unwrap_or(b'0');
                out.extend_from_slice(&[b'\\', b'u', b'0', b'0', digit(byte >> 4), digit(byte & 15)]);
            }
            None => out.push(byte),
        }
    }
    out.push(b'"');
}

const fn short_escape(byte: u8) -> Option<u8> {
    match byte {
        b'"' => Some(b'"'),
        b'\\' => Some(b'\\'),
        0x08 => Some(b'b'),
        0x09 => Some(b't'),
        0x0a => Some(b'n'),
        0x0c => Some(b'f'),
        0x0d => Some(b'r'),
        _ => None,
    }
}

/// Walks over canonical JSON without building anything but the names of members.
struct Reader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl Reader<'_> {
    fn bad(&self, what: &'static str) -> NotCanonical {
        NotCanonical { at: self.at, what }
    }

    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    fn expect(&mut self, byte: u8, what: &'static str) -> Result<(), NotCanonical> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.bad(what))
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), NotCanonical> {
        for &byte in word {
            self.expect(byte, "no value begins like this")?;
        }
        Ok(())
    }

    fn value(&mut self, depth: usize) -> Result<(), NotCanonical> {
        if depth > DEPTH {
            return Err(self.bad("nested too deep"));
        }
        match self.peek() {
            Some(b'{') => self.object(depth),
            Some(b'[') => self.array(depth),
            Some(b'"') => self.string().map(drop),
            Some(b't') => self.word(b"true"),
            Some(b'f') => self.word(b"false"),
            Some(b'n') => Err(self.bad("null has no place in a fact")),
            Some(b'-' | b'0'..=b'9') => self.number(),
            Some(b' ' | b'\t' | b'\n' | b'\r') => Err(self.bad("white space between values")),
            Some(_) => Err(self.bad("no value begins like this")),
            None => Err(self.bad("the record ends too early")),
        }
    }

    fn array(&mut self, depth: usize) -> Result<(), NotCanonical> {
        self.expect(b'[', "a list is expected")?;
        if self.peek() == Some(b']') {
            self.at += 1;
            return Ok(());
        }
        loop {
            self.value(depth + 1)?;
            if self.peek() == Some(b']') {
                self.at += 1;
                return Ok(());
            }
            self.expect(b',', "a comma or the end of the list is expected")?;
        }
    }

    fn object(&mut self, depth: usize) -> Result<(), NotCanonical> {
        self.expect(b'{', "an object is expected")?;
        if self.peek() == Some(b'}') {
            self.at += 1;
            return Ok(());
        }
        let mut last: Option<String> = None;
        loop {
            let start = self.at;
            let name = self.string()?;
            if last.as_ref().is_some_and(|last| last.encode_utf16().ge(name.encode_utf16())) {
                return Err(NotCanonical { at: start, what: "members out of order, or one twice" });
            }
            last = Some(name);
            self.expect(b':', "a colon is expected")?;
            self.value(depth + 1)?;
            if self.peek() == Some(b'}') {
                self.at += 1;
                return Ok(());
            }
            self.expect(b',', "a comma or the end of the object is expected")?;
        }
    }

    fn number(&mut self) -> Result<(), NotCanonical> {
        let start = self.at;
        let negative = self.peek() == Some(b'-');
        if negative {
            self.at += 1;
        }
        let digits = self.at;
        let mut size: u64 = 0;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            size = size.saturating_mul(10).saturating_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        let length = self.at - digits;
        let fault = |what| Err(NotCanonical { at: start, what });
        if length == 0 {
            return fault("a minus without a number");
        }
        if length > 1 && self.bytes.get(digits) == Some(&b'0') {
            return fault("a number with a leading zero");
        }
        if negative && size == 0 {
            return fault("a negative zero");
        }
        if size > LARGEST {
            return fault("a number beyond 2^53");
        }
        if matches!(self.peek(), Some(b'.' | b'e' | b'E')) {
            return fault("a number that is not an integer");
        }
        Ok(())
    }

    fn string(&mut self) -> Result<String, NotCanonical> {
        self.expect(b'"', "a string is expected")?;
        let mut text = Vec::new();
        loop {
            match self.peek() {
                None => return Err(self.bad("the record ends inside of a string")),
                Some(b'"') => {
                    self.at += 1;
                    return String::from_utf8(text).map_err(|_| self.bad("not UTF-8"));
                }
                Some(b'\\') => text.push(self.escape()?),
                Some(byte) if byte < 0x20 => return Err(self.bad("a control character that is not escaped")),
                Some(byte) => {
                    text.push(byte);
                    self.at += 1;
                }
            }
        }
    }

    fn escape(&mut self) -> Result<u8, NotCanonical> {
        let start = self.at;
        let rest = self.bytes.get(self.at + 1..).unwrap_or_default();
        let (byte, length) = match rest {
            [letter @ (b'"' | b'\\'), ..] => (*letter, 2),
            [b'b', ..] => (0x08, 2),
            [b't', ..] => (0x09, 2),
            [b'n', ..] => (0x0a, 2),
            [b'f', ..] => (0x0c, 2),
            [b'r', ..] => (0x0d, 2),
            [b'u', b'0', b'0', high @ (b'0' | b'1'), low @ (b'0'..=b'9' | b'a'..=b'f'), ..] => {
                let low = if low.is_ascii_digit() { low - b'0' } else { low - b'a' + 10 };
                ((high - b'0') * 16 + low, 6)
            }
            _ => return Err(self.bad("an escape that is not needed")),
        };
        if length == 6 && short_escape(byte).is_some() {
            return Err(NotCanonical { at: start, what: "a long escape where there is a short one" });
        }
        self.at += length;
        Ok(byte)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn members_are_sorted_by_utf16_and_nulls_left_out() {
        // U+1F600 begins with the surrogate D83D, so it comes before U+FB33; by bytes it would come after.
        let value: Value =
            serde_json::from_str("{\"b\":1,\"a\":{\"z\":null,\"y\":[]},\"\u{fb33}\":1,\"\u{1f600}\":2}").unwrap();
        let bytes = canonical(&value).unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "{\"a\":{\"y\":[]},\"b\":1,\"\u{1f600}\":2,\"\u{fb33}\":1}");
    }

    #[test]
    fn escapes_are_those_of_rfc_8785() {
        let bytes = canonical(&"\u{8}\t\n\u{c}\r\"\\/\u{1f}\u{7f}é€").unwrap();
        assert_eq!(String::from_utf8(bytes).unwrap(), "\"\\b\\t\\n\\f\\r\\\"\\\\/\\u001f\u{7f}é€\"");
    }

    #[test]
    fn what_has_no_exact_form_is_refused() {
        assert!(matches!(canonical(&1.5), Err(EncodeError::Number(_))));
        assert!(matches!(canonical(&((1u64 << 53) + 1)), Err(EncodeError::Number(_))));
        assert_eq!(canonical(&(1u64 << 53)).unwrap(), b"9007199254740992");
        assert_eq!(canonical(&-7).unwrap(), b"-7");
        assert_eq!(canonical(&vec![None::<u8>]), Err(EncodeError::Null));
    }

    #[test]
    fn other_spellings_are_refused_with_their_place() {
        for (text, at) in [
            (r#"{"a": 1}"#, 5),
            (r#"{"b":1,"a":2}"#, 7),
            (r#"{"a":1,"a":2}"#, 7),
            (r#"{"a":1.0}"#, 5),
            (r#"{"a":1e3}"#, 5),
            (r#"{"a":01}"#, 5),
            (r#"{"a":-0}"#, 5),
            (r#"{"a":null}"#, 5),
            (r#"{"a":9007199254740993}"#, 5),
            (r#"{"a":"\u0041"}"#, 6),
            (r#"{"a":"\u000a"}"#, 6),
            (r#"{"a":"\u001F"}"#, 6),
            (r#"{"a":"\/"}"#, 6),
            ("{\"a\":\"\n\"}", 6),
            (r#"{"a":1"#, 6),
            (r#"{"a":1}x"#, 7),
            ("", 0),
        ] {
            assert_eq!(check(text.as_bytes()).unwrap_err().at, at, "{text}");
        }
        assert_eq!(check(b"\"\xff\"").unwrap_err().at, 1);
        assert!(check("[".repeat(100_000).as_bytes()).is_err(), "deep nesting must not overflow the stack");
    }
}
