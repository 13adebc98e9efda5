//! Pages of lists: newest first, cut where the next one can go on however the list has grown meanwhile.

use std::fmt::Display;

use access::State;
use model::Timestamp;

use super::{AppError, Engine};

/// How many items a page holds.
const SIZE: usize = 100;
/// How many items are looked at for one page: each may cost a question to the policy.
const LOOKS: usize = 5_000;

/// A part of a list, and where the next one begins.
#[derive(Debug)]
pub struct Paged<T> {
    /// The items, newest first.
    pub items: Vec<T>,
    /// What to pass for the next page.
    pub next: Option<String>,
}

/// Where a page begins: behind the item with this time and id.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cursor(Timestamp, String);

impl Cursor {
    /// As it comes over the wire.
    ///
    /// # Errors
    /// It is no place in a list.
    pub fn parse(text: &str) -> Result<Self, AppError> {
        let parts = text.split_once('.').and_then(|(at, id)| Some((at.parse::<u64>().ok()?, id)));
        let (at, id) = parts.ok_or_else(|| {
            AppError::Invalid(format!("{:?} is no place in a list", text.chars().take(64).collect::<String>()))
        })?;
        Ok(Self(Timestamp::from_micros(at), id.to_owned()))
    }

    fn of(at: Timestamp, id: &impl Display) -> Self {
        Self(at, id.to_string())
    }

    pub(crate) fn text(&self) -> String {
        format!("{}.{}", self.0.micros(), self.1)
    }
}

/// Cuts a page out of what `keys` lists by time and id: those that `fetch` still finds and `show` lets through. What
/// is not on the page is not copied out of the state.
pub(super) async fn page<I, T>(
    engine: &Engine,
    keys: Vec<(Timestamp, I)>,
    after: Option<&Cursor>,
    fetch: impl Fn(&State, &I, Timestamp) -> Option<T> + Send + Sync,
    mut show: impl FnMut(&T) -> bool,
) -> Result<Paged<T>, AppError>
where
    I: Display + Send + Sync,
    T: Send,
{
    let mut keyed: Vec<(Cursor, I)> = keys
        .into_iter()
        .map(|(at, id)| (Cursor::of(at, &id), id))
        .filter(|(cursor, _)| after.is_none_or(|after| newer_first(after, cursor).is_lt()))
        .collect();
    keyed.sort_by(|(a, _), (b, _)| newer_first(a, b));
    let mut items = Vec::new();
    let mut last = None;
    let mut looked = 0;
    for batch in keyed.chunks(SIZE) {
        let look = |state: &State, now: Timestamp| -> Vec<Option<T>> {
            batch.iter().map(|(_, id)| fetch(state, id, now)).collect()
        };
        let found = engine.read(look).await?;
        // Asking the policy about a hundred items takes milliseconds; others get their turn in between.
        tokio::task::yield_now().await;
        for ((cursor, _), item) in batch.iter().zip(found) {
            if items.len() == SIZE || looked == LOOKS {
                let next = last.map(Cursor::text);
                return Ok(Paged { items, next });
            }
            looked += 1;
            last = Some(cursor);
            items.extend(item.filter(&mut show));
        }
    }
    Ok(Paged { items, next: None })
}

fn newer_first(a: &Cursor, b: &Cursor) -> std::cmp::Ordering {
    b.0.cmp(&a.0).then_with(|| a.1.cmp(&b.1))
}

impl<T> Paged<T> {
    /// The same page of something else.
    #[must_use]
    pub fn map<U>(self, change: impl FnMut(T) -> U) -> Paged<U> {
        Paged { items: self.items.into_iter().map(change).collect(), next: self.next }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_reads_back() {
        let cursor = Cursor::of(Timestamp::from_micros(17), &"req-0");
        assert_eq!(Cursor::parse(&cursor.text()).unwrap(), cursor);
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "x", "12", "x.y", "-1.a"] {
            assert!(Cursor::parse(text).is_err(), "{text}");
        }
    }
}
