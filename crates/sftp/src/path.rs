//! Paths on a target.

use std::fmt;

use bytes::Bytes;
use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// A path on the target: bytes, with `.`, `..` and doubled slashes taken out.
///
/// It is absolute if the client's was, or if the folder is known in which the target begins. Otherwise it is relative
/// to an unknown folder, and begins with `..` if it leads out of that: a rule that names folders must refuse it.
///
/// Only the text is looked at: if `/srv/link` is a symbolic link to `/etc/ssh`, then `/srv/link/../shadow` is
/// `/etc/shadow` to the target and `/srv/shadow` here: [`winds`](Self::winds) tells of it. Targets with POSIX paths are
/// meant; a backslash is a character.
#[derive(Clone)]
pub struct RemotePath {
    bytes: Bytes,
    winds: bool,
}

impl RemotePath {
    /// Resolves what a client sent against the folder in which the target begins, where that is known.
    #[must_use]
    pub fn resolve(base: Option<&Self>, raw: &[u8]) -> Self {
        let mut parts: Vec<&[u8]> = Vec::new();
        let own_root = raw.first() == Some(&b'/');
        let base = base.filter(|_| !own_root);
        let absolute = own_root || base.is_some_and(Self::is_absolute);
        let before = base.map_or(&b""[..], Self::as_bytes);
        let mut winds = base.is_some_and(Self::winds);
        for part in before.split(|&byte| byte == b'/').chain(raw.split(|&byte| byte == b'/')) {
            match part {
                b"" | b"." => {}
                b".." => match parts.last() {
                    Some(&last) if last != b".." => {
                        parts.pop();
                        winds = true;
                    }
                    // Nothing is above the root.
                    None if absolute => {}
                    Some(_) | None => parts.push(part),
                },
                _ => parts.push(part),
            }
        }
        let joined = parts.join(&b'/');
        let bytes = match (absolute, joined.is_empty()) {
            (true, _) => [b"/", joined.as_slice()].concat().into(),
            (false, true) => Bytes::from_static(b"."),
            (false, false) => joined.into(),
        };
        Self { bytes, winds }
    }

    /// The folder that it is in; the root is in itself.
    #[must_use]
    pub fn parent(&self) -> Self {
        // What is in a folder by its name is in it by its text, too.
        Self { winds: self.winds, ..Self::resolve(Some(self), b"..") }
    }

    /// Whether a `..` behind a name was taken out of it. If that name is a symbolic link, the target is led elsewhere
    /// than the text says: a rule that names folders must refuse it.
    #[must_use]
    pub const fn winds(&self) -> bool {
        self.winds
    }

    /// Whether it begins at the root.
    #[must_use]
    pub fn is_absolute(&self) -> bool {
        self.bytes.first() == Some(&b'/')
    }

    /// Its bytes.
    #[must_use]
    pub fn as_bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// As text that can be read back: a byte that is not part of UTF-8 is `\xff`, a backslash is `\\`, and so is a
    /// control character shown by its bytes.
    #[must_use]
    pub fn text(&self) -> String {
        escape(&self.bytes)
    }
}

/// Two paths are one if they come to the same, however they were written.
impl PartialEq for RemotePath {
    fn eq(&self, other: &Self) -> bool {
        self.bytes == other.bytes
    }
}

impl Eq for RemotePath {}

/// Bytes as text that can be read back.
pub(crate) fn escape(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len());
    for chunk in bytes.utf8_chunks() {
        for c in chunk.valid().chars() {
            match c {
                '\\' => text.push_str("\\\\"),
                c if c.is_control() => {
                    for byte in c.encode_utf8(&mut [0; 4]).bytes() {
                        text.push_str(&format!("\\x{byte:02x}"));
                    }
                }
                c => text.push(c),
            }
        }
        for byte in chunk.invalid() {
            text.push_str(&format!("\\x{byte:02x}"));
        }
    }
    text
}

/// What [`escape`] wrote; `None` if it did not write this.
fn unescape(text: &str) -> Option<Vec<u8>> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((plain, escaped)) = rest.split_once('\\') {
        bytes.extend_from_slice(plain.as_bytes());
        if let Some(after) = escaped.strip_prefix('\\') {
            bytes.push(b'\\');
            rest = after;
        } else {
            let (digits, after) = escaped.strip_prefix('x')?.split_at_checked(2)?;
            bytes.push(u8::from_str_radix(digits, 16).ok()?);
            rest = after;
        }
    }
    bytes.extend_from_slice(rest.as_bytes());
    Some(bytes)
}

impl fmt::Display for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text())
    }
}

impl fmt::Debug for RemotePath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "«{}»", self.text())
    }
}

impl Serialize for RemotePath {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text())
    }
}

impl<'de> Deserialize<'de> for RemotePath {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let bytes = unescape(&text).ok_or_else(|| D::Error::custom("a path with a broken escape in it"))?;
        Ok(Self { bytes: bytes.into(), winds: false })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn path(base: &str, raw: &str) -> String {
        let base = (!base.is_empty()).then(|| RemotePath::resolve(None, base.as_bytes()));
        RemotePath::resolve(base.as_ref(), raw.as_bytes()).text()
    }

    #[test]
    fn paths_are_resolved_by_their_text() {
        for (base, raw, resolved) in [
            ("/home/alice", "x", "/home/alice/x"),
            ("/home/alice", "./a//b/.", "/home/alice/a/b"),
            ("/home/alice", "../bob/x", "/home/bob/x"),
            ("/home/alice", "../../../../etc/shadow", "/etc/shadow"),
            ("/home/alice", "/etc/../srv/", "/srv"),
            ("/home/alice", "", "/home/alice"),
            ("/", "..", "/"),
            ("", "x/../..", ".."),
            ("", "../a/../../b", "../../b"),
            ("", ".", "."),
            ("", "/..//...", "/..."),
            ("", "a/..b", "a/..b"),
        ] {
            assert_eq!(path(base, raw), resolved, "{base} + {raw}");
        }
    }

    #[test]
    fn a_parent_is_in_the_same_tree() {
        for (raw, parent) in [("/a/b", "/a"), ("/a", "/"), ("/", "/"), ("a", "."), ("../a", ".."), (".", "..")] {
            assert_eq!(RemotePath::resolve(None, raw.as_bytes()).parent().text(), parent);
        }
    }

    #[test]
    fn what_goes_up_from_a_name_is_told() {
        let home = RemotePath::resolve(None, b"/home/alice");
        for (raw, winds) in
            [("/a/../b", true), ("..", true), ("a/../b", true), ("a/b", false), ("/..", false), ("./a/.", false)]
        {
            let path = RemotePath::resolve(Some(&home), raw.as_bytes());
            assert_eq!(path.winds(), winds, "{raw}");
            assert_eq!(path.parent().winds(), winds, "{raw}");
            assert_eq!(RemotePath::resolve(Some(&path), b"x").winds(), winds, "{raw}");
        }
    }

    #[test]
    fn nothing_in_a_name_is_lost_or_hidden() {
        let odd = RemotePath::resolve(None, b"/a\\b\xff\x1b[0m\xe2\x82\xac\xc2\x85");
        assert_eq!(odd.text(), "/a\\\\b\\xff\\x1b[0m€\\xc2\\x85");
        assert!(serde_json::from_str::<RemotePath>("\"/a\\\\q\"").is_err());
        assert!(serde_json::from_str::<RemotePath>("\"/a\\\\x0\"").is_err());
    }

    proptest! {
        #[test]
        fn resolving_is_final_and_reads_back(raw in prop::collection::vec(prop::sample::select(b"/..ab\\\xff\xc3\n".to_vec()), 0..30)) {
            let base = RemotePath::resolve(None, b"/home/alice");
            let once = RemotePath::resolve(Some(&base), &raw);
            prop_assert_eq!(&RemotePath::resolve(Some(&base), once.as_bytes()), &once);
            prop_assert!(once.is_absolute());
            prop_assert!(!once.as_bytes().split(|&b| b == b'/').any(|part| part == b".." || part == b"."));
            let json = serde_json::to_string(&once).unwrap();
            prop_assert_eq!(serde_json::from_str::<RemotePath>(&json).unwrap(), once);
        }
    }
}
