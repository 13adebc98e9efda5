//! Pages of lists: newest first, cut where the next one can go on however the list has grown meanwhile.

use std::fmt::Display;

use model::Timestamp;

use super::AppError;

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

    fn text(&self) -> String {
        format!("{}.{}", self.0.micros(), self.1)
    }
}

/// Cuts a page out of `items`: each with its time and its id, of those that `show` lets through.
pub(super) fn page<T, I: Display>(
    items: Vec<T>,
    key: impl Fn(&T) -> (Timestamp, I),
    after: Option<&Cursor>,
    mut show: impl FnMut(&T) -> bool,
) -> Paged<T> {
    let mut keyed: Vec<(Cursor, T)> = items
        .into_iter()
        .map(|item| {
            let (at, id) = key(&item);
            (Cursor::of(at, &id), item)
        })
        .filter(|(cursor, _)| after.is_none_or(|after| newer_first(after, cursor).is_lt()))
        .collect();
    keyed.sort_by(|(a, _), (b, _)| newer_first(a, b));
    let more = keyed.len();
    let mut shown = Vec::new();
    let mut last = None;
    let mut looked = 0;
    for (cursor, item) in keyed {
        if shown.len() == SIZE || looked == LOOKS {
            break;
        }
        looked += 1;
        if show(&item) {
            shown.push(item);
        }
        last = Some(cursor);
    }
    let next = if looked < more { last.map(|cursor| cursor.text()) } else { None };
    Paged { items: shown, next }
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

    fn key(item: &u64) -> (Timestamp, String) {
        (Timestamp::from_micros(item / 2), format!("id-{item:05}"))
    }

    #[test]
    fn pages_cover_a_list_once_whatever_is_added_in_front() {
        let mut seen = Vec::new();
        let mut after = None;
        let mut items: Vec<u64> = (0..250).collect();
        loop {
            let page = page(items.clone(), key, after.as_ref(), |item| item % 3 != 0);
            seen.extend(page.items);
            items.push(10_000 + items.len() as u64);
            match page.next {
                Some(next) => after = Some(Cursor::parse(&next).unwrap()),
                None => break,
            }
        }
        seen.sort_unstable();
        assert_eq!(seen, (0..250).filter(|item| item % 3 != 0).collect::<Vec<u64>>());
    }

    #[test]
    fn what_is_no_cursor_is_refused() {
        for text in ["", "x", "12", "x.y", "-1.a"] {
            assert!(Cursor::parse(text).is_err(), "{text}");
        }
    }
}
