//! Annotations: the id of a policy, its description, and the obligations of a path.

use std::collections::BTreeSet;
use std::fmt::Display;
use std::str::FromStr;

use model::{CertificateExtension, Obligations, RecordingMode, Span};

use crate::nearest;

/// The annotations that a permit for `request` may have; the first two are for every policy.
const KNOWN: [&str; 12] = [
    "id",
    "description",
    "max_duration",
    "approvals",
    "approvers",
    "recording",
    "record_input",
    "output_limit",
    "idle_limit",
    "extensions",
    "touch",
    "ticket",
];

/// The most approvals that a path may ask for.
const MAX_APPROVALS: u32 = 16;

/// What is wrong with an annotation, and what to write instead.
pub(crate) struct Wrong {
    /// Whether it is the name that is wrong; otherwise it is the value.
    pub(crate) name: bool,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// What an annotation is for.
pub(crate) enum Purpose {
    Id,
    Description,
    Obligation,
}

/// What the annotation of this name is for.
pub(crate) fn purpose(name: &str) -> Result<Purpose, Wrong> {
    match name {
        "id" => Ok(Purpose::Id),
        "description" => Ok(Purpose::Description),
        known if KNOWN.contains(&known) => Ok(Purpose::Obligation),
        unknown => {
            let hint = nearest::hint(unknown, KNOWN);
            let hint =
                hint.unwrap_or_else(|| format!("known are {}", KNOWN.map(|known| format!("@{known}")).join(", ")));
            Err(Wrong { name: true, message: format!("there is no annotation @{unknown}"), hint: Some(hint) })
        }
    }
}

/// Refuses an id that could not be named in a certificate or a command.
pub(crate) fn check_id(id: &str) -> Result<(), Wrong> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !id.is_empty() && id.len() <= 64 && id.chars().all(good) {
        return Ok(());
    }
    Err(value(format!("{id:?} cannot be an id"), "write 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'"))
}

/// Refuses a description that would not read in a terminal as it reads here.
pub(crate) fn check_description(text: &str) -> Result<(), Wrong> {
    let hostile = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.trim().is_empty() && text.len() <= 256 && !text.chars().any(hostile) {
        return Ok(());
    }
    Err(value("this cannot be a description".to_owned(), "write one line of plain text of at most 256 bytes"))
}

/// Reads one obligation into `obligations`.
pub(crate) fn read(obligations: &mut Obligations, name: &str, text: &str) -> Result<(), Wrong> {
    match name {
        "max_duration" => obligations.max_duration = span(text)?,
        "approvals" => {
            obligations.approvals = match text.parse::<u32>() {
                Ok(count) if count <= MAX_APPROVALS => count,
                Ok(_) | Err(_) => {
                    let hint = format!("write a number from 0 to {MAX_APPROVALS}; 0 grants at once");
                    return Err(value(format!("{text:?} is no number of approvals"), hint));
                }
            }
        }
        "approvers" => obligations.approvers = list(text, "a group")?,
        "recording" => {
            obligations.recording = match text {
                "strict" => RecordingMode::Strict,
                "best-effort" => RecordingMode::BestEffort,
                "off" => RecordingMode::Off,
                other => {
                    let modes = ["strict", "best-effort", "off"];
                    let hint = nearest::hint(other, modes).unwrap_or_else(|| format!("write {}", modes.join(", ")));
                    return Err(value(format!("{other:?} is no way to record"), hint));
                }
            }
        }
        "record_input" => obligations.record_input = flag(text)?,
        "output_limit" => obligations.output_limit = bytes(text)?,
        "idle_limit" => obligations.idle_limit = if text == "none" { None } else { Some(span(text)?) },
        "extensions" => obligations.extensions = if text == "none" { BTreeSet::new() } else { extensions(text)? },
        "touch" => obligations.touch = flag(text)?,
        "ticket" => obligations.ticket = flag(text)?,
        other => return purpose(other).map(|_| ()),
    }
    Ok(())
}

/// Refuses obligations that contradict each other.
pub(crate) fn check(obligations: &Obligations) -> Result<(), (&'static str, String, &'static str)> {
    if obligations.approvals == 0 && !obligations.approvers.is_empty() {
        let message = "approvers are named, and no approval is asked for".to_owned();
        return Err(("approvers", message, "leave @approvers out, or ask for @approvals(\"1\")"));
    }
    Ok(())
}

fn span(text: &str) -> Result<Span, Wrong> {
    match text.parse::<Span>() {
        Ok(Span::ZERO) => Err(value(format!("{text:?} is no time at all"), "write it as 30m, 1h30m or 45s")),
        Ok(span) => Ok(span),
        Err(_) => Err(value(format!("{text:?} is not a length of time"), "write it as 30m, 1h30m or 45s")),
    }
}

fn flag(text: &str) -> Result<bool, Wrong> {
    match text {
        // `@touch` without a value says yes.
        "true" | "" => Ok(true),
        "false" => Ok(false),
        other => Err(value(format!("{other:?} is neither true nor false"), "write \"true\" or \"false\"")),
    }
}

fn bytes(text: &str) -> Result<u64, Wrong> {
    let wrong = || value(format!("{text:?} is not a size"), "write it with its unit, as 512KiB, 1MiB or 0B");
    let digits = text.find(|c: char| !c.is_ascii_digit()).unwrap_or(text.len());
    let (number, unit) = text.split_at_checked(digits).ok_or_else(wrong)?;
    let scale = match unit.trim_start() {
        "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1_u64 << 30,
        _ => return Err(wrong()),
    };
    // Facts carry integers up to 2^53.
    let bytes = number.parse::<u64>().ok().and_then(|number| number.checked_mul(scale));
    bytes.filter(|bytes| *bytes < 1 << 53).ok_or_else(wrong)
}

fn extensions(text: &str) -> Result<BTreeSet<CertificateExtension>, Wrong> {
    let known = CertificateExtension::ALL.map(CertificateExtension::as_str);
    list(text, "an extension").map_err(|wrong| {
        let unknown = text.split(',').map(str::trim).find(|item| !known.contains(item));
        let hint = unknown.and_then(|item| nearest::hint(item, known));
        Wrong { hint: hint.or(Some(format!("known are {}; \"none\" allows none of them", known.join(", ")))), ..wrong }
    })
}

/// A list with commas: each item once.
fn list<T: FromStr<Err: Display> + Ord>(text: &str, what: &str) -> Result<BTreeSet<T>, Wrong> {
    let mut items = BTreeSet::new();
    for item in text.split(',').map(str::trim) {
        let read = item
            .parse::<T>()
            .map_err(|error| value(error.to_string(), format!("write {what}, or several with commas")))?;
        if !items.insert(read) {
            return Err(value(format!("{item:?} is there twice"), "write it once"));
        }
    }
    Ok(items)
}

fn value(message: String, hint: impl Into<String>) -> Wrong {
    Wrong { name: false, message, hint: Some(hint.into()) }
}
