//! Ids as people type them: whole, or as a beginning that only one has ("req-x7", or "x7").

use std::fmt::Display;

/// The most characters of an id behind its kind.
const LENGTH: usize = 12;

/// Why a beginning is not one id's.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unclear<I> {
    /// No id can begin so.
    Nonsense,
    /// Several do: these.
    Several(Vec<I>),
    /// None does.
    Unknown,
}

/// What an id would begin with behind its kind, as it is typed with the kind in front or without; `None` when no id can.
#[must_use]
pub fn beginning(text: &str, prefix: &str) -> Option<String> {
    let begin = text.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('-')).unwrap_or(text).to_ascii_lowercase();
    let good = !begin.is_empty() && begin.len() <= LENGTH && begin.bytes().all(|byte| byte.is_ascii_alphanumeric());
    good.then_some(begin)
}

/// The one of these ids that begins so.
///
/// # Errors
/// None does, or several, or none can.
pub fn unique<I: Display>(text: &str, prefix: &str, ids: impl IntoIterator<Item = I>) -> Result<I, Unclear<I>> {
    let begin = beginning(text, prefix).ok_or(Unclear::Nonsense)?;
    let whole = format!("{prefix}-{begin}");
    let mut matching: Vec<I> = ids.into_iter().filter(|id| id.to_string().starts_with(&whole)).collect();
    match (matching.pop(), matching.is_empty()) {
        (Some(only), true) => Ok(only),
        (Some(last), false) => {
            matching.push(last);
            Err(Unclear::Several(matching))
        }
        (None, _) => Err(Unclear::Unknown),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const IDS: [&str; 3] = ["req-x70000000000", "req-x71111111111", "req-y00000000000"];

    #[test]
    fn a_beginning_is_enough_when_only_one_has_it() {
        for (text, id) in [("req-y", IDS[2]), ("Y0", IDS[2]), ("x71", IDS[1]), (IDS[0], IDS[0])] {
            assert_eq!(unique(text, "req", IDS), Ok(id), "{text}");
        }
        assert_eq!(unique("x7", "req", IDS), Err(Unclear::Several(IDS[..2].to_vec())));
        assert_eq!(unique("z", "req", IDS), Err(Unclear::Unknown));
        for text in ["", "req-", "a b", "0123456789abcdef", "../x", "ses-x7"] {
            assert_eq!(unique(text, "req", IDS), Err(Unclear::Nonsense), "{text:?}");
        }
    }
}
