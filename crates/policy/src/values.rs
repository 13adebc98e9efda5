//! The values of annotations. Each has one spelling, so that what stands in a policy is what everybody reads in it.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::ops::Range;
use std::str::FromStr;

use model::{CertificateExtension, RecordingMode, SecondFactor, Span};

use crate::annotations::{Part, Wrong};
use crate::nearest;

/// The most approvals that a path may ask for.
const MAX_APPROVALS: u32 = 16;

/// A length of time: days, hours, minutes and seconds, in this order and each at most once, as in "1h30m".
pub(crate) fn span(text: &str) -> Result<Span, Wrong> {
    let example = "write it as \"4h\", \"30m\", \"1h30m\" or \"45s\"";
    match exact(text) {
        Some(Span::ZERO) => Err(wrong(format!("{text:?} is no time at all"), example)),
        Some(span) => Ok(span),
        None => {
            let message = format!("{text:?} is not a length of time: expected numbers with the units d, h, m and s");
            // What the command line takes is understood, and not guessed at.
            let hint = match text.parse::<Span>() {
                Ok(meant) if meant != Span::ZERO => format!("write it as \"{meant}\""),
                Ok(_) | Err(_) => example.to_owned(),
            };
            Err(wrong(message, hint))
        }
    }
}

/// A number of approvals, without sign or leading zeros.
pub(crate) fn approvals(text: &str) -> Result<u32, Wrong> {
    let read = text.parse::<u32>().ok().filter(|count| *count <= MAX_APPROVALS && count.to_string() == text);
    read.ok_or_else(|| {
        let message = format!("{text:?} is no number of approvals: expected 0 to {MAX_APPROVALS}");
        wrong(message, "write it as \"1\"; \"0\" grants at once")
    })
}

/// A way to record.
pub(crate) fn recording(text: &str) -> Result<RecordingMode, Wrong> {
    let modes = ["only", "strict", "best-effort", "off"];
    match text {
        "only" => Ok(RecordingMode::Only),
        "strict" => Ok(RecordingMode::Strict),
        "best-effort" => Ok(RecordingMode::BestEffort),
        "off" => Ok(RecordingMode::Off),
        other => {
            let message = format!("{other:?} is no way to record: expected {}", modes.join(", "));
            Err(wrong(message, nearest::hint(other, modes).unwrap_or_else(|| "write it as \"strict\"".to_owned())))
        }
    }
}

/// A second factor.
pub(crate) fn factor(text: &str) -> Result<SecondFactor, Wrong> {
    let known = [SecondFactor::Any, SecondFactor::Totp];
    let found = known.into_iter().find(|factor| factor.as_str() == text);
    found.ok_or_else(|| {
        let names = known.map(SecondFactor::as_str);
        let message = format!("{text:?} is no second factor: expected {}", names.join(" or "));
        let hint = match text {
            "touch" => "write @touch(\"true\") where only a touched security key will do".to_owned(),
            _ => nearest::hint(text, names).unwrap_or_else(|| "write it as \"any\"".to_owned()),
        };
        wrong(message, hint)
    })
}

/// Yes or no; an annotation without a value, as `@touch`, says yes.
pub(crate) fn flag(text: Option<&str>) -> Result<bool, Wrong> {
    match text {
        Some("true") | None => Ok(true),
        Some("false") => Ok(false),
        Some(other) => Err(wrong(format!("{other:?} is neither true nor false"), "write \"true\" or \"false\"")),
    }
}

/// A number of bytes with its unit.
pub(crate) fn bytes(text: &str) -> Result<u64, Wrong> {
    let refused = || {
        let message = format!("{text:?} is not a size: expected a number with the unit B, KiB, MiB or GiB");
        wrong(message, "write it as \"512KiB\", \"1MiB\" or \"0B\"")
    };
    let (number, unit) = digits(text);
    let scale = match unit.strip_prefix(' ').unwrap_or(unit) {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1_u64 << 30,
        _ => return Err(refused()),
    };
    // Facts carry integers up to 2^53.
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
    bytes.filter(|bytes| *bytes < 1 << 53).ok_or_else(refused)
}

/// Certificate extensions with commas.
pub(crate) fn extensions(text: &str) -> Result<BTreeSet<CertificateExtension>, Wrong> {
    let known = CertificateExtension::ALL.map(CertificateExtension::as_str);
    for (place, item) in items(text) {
        if !known.contains(&item) {
            let message = format!("{item:?} is no certificate extension");
            let usual = || format!("known are {}; \"none\" allows none of them", known.join(", "));
            let hint = Some(nearest::hint(item, known).unwrap_or_else(usual));
            return Err(Wrong { part: Part::Within(place), message, hint });
        }
    }
    list(text, "an extension")
}

/// A list with commas: each item once.
pub(crate) fn list<T: FromStr<Err: Display> + Ord>(text: &str, what: &str) -> Result<BTreeSet<T>, Wrong> {
    let mut found = BTreeSet::new();
    for (place, item) in items(text) {
        let at = |message: String, hint: String| Wrong { part: Part::Within(place.clone()), message, hint: Some(hint) };
        let read = item.parse::<T>();
        let read = read.map_err(|error| at(error.to_string(), format!("write {what}, or several with commas")))?;
        if !found.insert(read) {
            return Err(at(format!("{item:?} is there twice"), "write it once".to_owned()));
        }
    }
    Ok(found)
}

/// A list with commas, or `none` for an empty one.
pub(crate) fn list_or_none<T: FromStr<Err: Display> + Ord>(text: &str, what: &str) -> Result<BTreeSet<T>, Wrong> {
    if text == "none" { Ok(BTreeSet::new()) } else { list(text, what) }
}

/// The items of a list with commas, and where they stand in it.
pub(crate) fn items(text: &str) -> impl Iterator<Item = (Range<usize>, &str)> {
    let mut next = 0_usize;
    text.split(',').map(move |piece| {
        let item = piece.trim();
        let start = next.saturating_add(piece.len().saturating_sub(piece.trim_start().len()));
        next = next.saturating_add(piece.len()).saturating_add(1);
        (start..start.saturating_add(item.len()), item)
    })
}

/// Something wrong with a whole value.
pub(crate) fn wrong(message: String, hint: impl Into<String>) -> Wrong {
    Wrong { part: Part::Value, message, hint: Some(hint.into()) }
}

fn exact(text: &str) -> Option<Span> {
    let mut rest = text;
    let mut total = 0_u32;
    for (unit, seconds) in [('d', 86_400_u32), ('h', 3600), ('m', 60), ('s', 1)] {
        let (number, behind) = digits(rest);
        let Some(behind) = behind.strip_prefix(unit) else { continue };
        total = total.checked_add(number.parse::<u32>().ok()?.checked_mul(seconds)?)?;
        rest = behind;
    }
    (rest.is_empty() && !text.is_empty()).then_some(Span::from_seconds(total))
}

/// The digits that a text begins with, and the rest.
fn digits(text: &str) -> (&str, &str) {
    let end = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    text.split_at_checked(end).unwrap_or((text, ""))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_length_of_time_has_one_spelling() {
        for (text, seconds) in [("4h", 14_400), ("1h30m", 5400), ("90m", 5400), ("45s", 45), ("2d", 172_800)] {
            assert_eq!(exact(text).map(Span::seconds), Some(seconds), "{text}");
        }
        for text in
            ["", "4", "h", "4 h", "4 hours", "1h 30m", "30m1h", "1h1h", "-1h", "+1h", "1.5h", "4H", "PT4H", "1w"]
        {
            assert!(span(text).is_err(), "{text}");
        }
    }

    #[test]
    fn what_people_would_write_is_answered_with_how_it_is_written() {
        for (text, meant) in [("4 hours", "\"4h\""), ("1h 30m", "\"1h30m\""), ("90 minutes", "\"1h30m\"")] {
            assert!(span(text).is_err_and(|wrong| wrong.hint.is_some_and(|hint| hint.contains(meant))), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_a_span_shows_is_how_it_is_written(seconds in 1_u32..) {
            let shown = Span::from_seconds(seconds);
            prop_assert_eq!(exact(&shown.to_string()), Some(shown));
        }

        #[test]
        fn items_stand_where_they_are_said_to(text in "[a, ]{0,20}") {
            for (place, item) in items(&text) {
                prop_assert_eq!(text.get(place), Some(item));
            }
        }
    }
}
