//! What the two ends of the old scp say to each other: lines, single bytes, and content between them.

use bytes::Bytes;

use crate::Problem;
use crate::cut::Cutter;

/// What stands in a line beside a name: a letter, permissions, a size.
const BESIDE: usize = 64;

/// What the sending end announces.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Line<'a> {
    /// `C0644 5 name`: a file.
    File { permissions: u32, size: u64, name: &'a [u8] },
    /// `D0755 0 name`: a directory; what follows is in it.
    Folder { permissions: u32, name: &'a [u8] },
    /// `E`: the directory's end.
    Up,
    /// `T1700000000 0 1700000000 0`: the times of what is announced next.
    Times { modified: u64, accessed: u64 },
    /// Something could not be sent; in its own words.
    Warning(&'a [u8]),
}

impl<'a> Line<'a> {
    /// Reads a line, with its line feed.
    pub(super) fn read(line: &'a [u8], limit: usize) -> Result<Self, Problem> {
        let wrong = |expected| Problem::Line { expected };
        let (kind, rest) = line.split_first().ok_or(wrong("a line"))?;
        let rest = rest.strip_suffix(b"\n").ok_or(wrong("a whole line"))?;
        match kind {
            b'C' | b'D' => {
                let what = wrong("permissions, size and name");
                let (permissions, rest) = word(rest).ok_or_else(|| what.clone())?;
                let (size, name) = word(rest).ok_or_else(|| what.clone())?;
                let permissions = octal(permissions).ok_or_else(|| what.clone())?;
                let size = decimal(size).ok_or(what)?;
                check_name(name, limit)?;
                Ok(if *kind == b'C' {
                    Self::File { permissions, size, name }
                } else {
                    Self::Folder { permissions, name }
                })
            }
            b'E' if rest.is_empty() => Ok(Self::Up),
            b'T' => {
                let what = wrong("two times");
                let numbers: Option<Vec<u64>> = rest.split(|&byte| byte == b' ').map(decimal).collect();
                match numbers.as_deref() {
                    Some(&[modified, _, accessed, _]) => Ok(Self::Times { modified, accessed }),
                    _ => Err(what),
                }
            }
            1 | 2 => Ok(Self::Warning(rest)),
            _ => Err(wrong("one of C, D, E, T or a warning")),
        }
    }
}

/// What one end says at a place where it can agree: nothing, or what is wrong.
pub(super) fn answer(message: &[u8]) -> Result<Option<&[u8]>, Problem> {
    match message {
        [0] => Ok(None),
        [1 | 2, text @ .., b'\n'] => Ok(Some(text)),
        _ => Err(Problem::Line { expected: "a yes or a warning" }),
    }
}

/// A warning of our own, on one line.
pub(super) fn warning(text: &str) -> Bytes {
    let clean: String = text.chars().map(|c| if c.is_control() { ' ' } else { c }).take(256).collect();
    format!("\x01portcullis: {clean}\n").into()
}

/// Collects one message of either end.
#[derive(Debug, Default)]
pub(super) struct Collector {
    line: Vec<u8>,
}

impl Collector {
    /// How many bytes are kept.
    pub(super) fn held(&self) -> usize {
        self.line.len()
    }

    /// Takes what belongs to the message out of the piece; the message, once it is whole: a zero byte, or a line.
    pub(super) fn take(
        &mut self,
        cut: &mut Cutter,
        out: &mut Vec<Bytes>,
        limit: usize,
    ) -> Result<Option<Vec<u8>>, Problem> {
        let rest = cut.rest();
        if self.line.is_empty() && rest.first() == Some(&0) {
            cut.skip(1, out);
            return Ok(Some(vec![0]));
        }
        let end = rest.iter().position(|&byte| byte == b'\n');
        let part = end.and_then(|end| rest.get(..=end)).unwrap_or(rest);
        let limit = limit.saturating_add(BESIDE);
        if self.line.len().saturating_add(part.len()) > limit {
            // However much there is of it, nobody looks.
            return Err(Problem::Long { field: "line", length: limit.saturating_add(1), limit });
        }
        self.line.extend_from_slice(part);
        let count = part.len();
        cut.skip(count, out);
        Ok(end.map(|_| std::mem::take(&mut self.line)))
    }
}

fn word(text: &[u8]) -> Option<(&[u8], &[u8])> {
    let at = text.iter().position(|&byte| byte == b' ')?;
    let (word, rest) = text.split_at_checked(at)?;
    rest.split_first().map(|(_, rest)| (word, rest))
}

fn octal(digits: &[u8]) -> Option<u32> {
    let four = digits.len() == 4 && digits.iter().all(|digit| matches!(digit, b'0'..=b'7'));
    let text = std::str::from_utf8(digits).ok().filter(|_| four)?;
    u32::from_str_radix(text, 8).ok()
}

fn decimal(digits: &[u8]) -> Option<u64> {
    let plain = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
    let text = std::str::from_utf8(digits).ok().filter(|_| plain)?;
    text.parse().ok()
}

/// A name that stays in its folder.
fn check_name(name: &[u8], limit: usize) -> Result<(), Problem> {
    if name.len() > limit {
        return Err(Problem::Long { field: "name", length: name.len(), limit });
    }
    let leads_out = matches!(name, b"" | b"." | b"..") || name.contains(&b'/');
    if leads_out || name.iter().any(u8::is_ascii_control) { Err(Problem::Name) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_read_strictly() {
        assert_eq!(Line::read(b"C0644 5 a b\n", 10).unwrap(), Line::File { permissions: 0o644, size: 5, name: b"a b" });
        assert_eq!(Line::read(b"D0755 0 d\n", 10).unwrap(), Line::Folder { permissions: 0o755, name: b"d" });
        assert_eq!(Line::read(b"E\n", 10).unwrap(), Line::Up);
        assert_eq!(Line::read(b"T1 0 2 0\n", 10).unwrap(), Line::Times { modified: 1, accessed: 2 });
        assert_eq!(Line::read(b"\x01no\n", 10).unwrap(), Line::Warning(b"no"));
        for line in [
            &b"C0644 5 x"[..],
            b"C0644 5\n",
            b"C644 5 x\n",
            b"C0648 5 x\n",
            b"C0644 +5 x\n",
            b"C0644 -1 x\n",
            b"C0644 0x5 x\n",
            b"C0644  5 x\n",
            b"C0644 99999999999999999999 x\n",
            b"C0644 5 \n",
            b"C0644 5 .\n",
            b"C0644 5 ..\n",
            b"C0644 5 a/b\n",
            b"C0644 5 a\0b\n",
            b"C0644 5 a\x1bb\n",
            b"C0644 5 elevenbytes\n",
            b"E \n",
            b"T1 0 2\n",
            b"T1 0 2 0 3\n",
            b"T1 0 2 -1\n",
            b"X\n",
            b"\n",
            b"",
        ] {
            assert!(Line::read(line, 10).is_err(), "{:?}", String::from_utf8_lossy(line));
        }
    }

    #[test]
    fn an_answer_is_a_yes_or_words() {
        assert_eq!(answer(b"\0").unwrap(), None);
        assert_eq!(answer(b"\x01no\n").unwrap(), Some(&b"no"[..]));
        assert!(answer(b"\x03no\n").is_err());
        assert!(answer(b"hello\n").is_err());
        assert_eq!(warning("a\nb\x1b"), "\x01portcullis: a b \n");
    }
}
