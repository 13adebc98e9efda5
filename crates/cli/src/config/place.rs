//! Where a value stands in a file, for errors that are found after parsing.

use identity::StrictError;
use toml_edit::{Document, Item};

/// An error about the value of a key: `ca.limits.connections`, `ca.proxy[0].name`.
pub(crate) fn error(text: &str, file: &str, key: &str, problem: &str) -> StrictError {
    let span = find(text, key).unwrap_or(0..0);
    let message = format!("{key}: {problem}");
    StrictError::at(text, file, span, message)
        .with_hint("correct this value; portcullis init writes a commented example")
}

/// The bytes of the value, or of the table that should have it.
fn find(text: &str, key: &str) -> Option<std::ops::Range<usize>> {
    let document = Document::parse(text).ok()?;
    let mut item: &Item = document.as_item();
    let mut span = None;
    for part in key.split('.') {
        let (name, index) = match part.split_once('[') {
            Some((name, index)) => (name, index.trim_end_matches(']').parse::<usize>().ok()),
            None => (part, None),
        };
        let next = item.get(name).and_then(|found| match index {
            Some(index) => found.get(index),
            None => Some(found),
        });
        match next {
            Some(found) => item = found,
            None => break,
        }
        span = item.span().or(span);
    }
    span
}
