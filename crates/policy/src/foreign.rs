//! Cedar's own errors, shown as ours.

use std::ops::Range;

use cedar_policy::ffi::DetailedError;

use crate::scan::Place;
use crate::{Diagnostic, syntax};

/// The circumstances that only some actions have.
const PARTIAL: [(&str, &str); 5] = [
    ("duration", "request and review"),
    ("ticket", "request and review"),
    ("way", "request, review and connect"),
    ("command", "request, review and connect"),
    ("requester", "review and replay"),
];

/// A diagnostic of Cedar's as one of ours. It stands where Cedar says, or else at the policy.
pub(crate) fn diagnostic(text: &str, error: &DetailedError, place: Option<&Place>) -> Diagnostic {
    let label = error.source_locations.first();
    if let Some(label) = label
        && let Some(plain) =
            syntax::plain(text, label.loc.start, &error.message, label.label.as_deref().unwrap_or_default())
    {
        return plain;
    }
    let span = match (label, place) {
        (Some(label), Some(place)) if label.loc.start <= place.effect.start && place.whole.end <= label.loc.end => {
            place.effect.clone()
        }
        (Some(label), _) => label.loc.start..label.loc.end,
        (None, Some(place)) => place.effect.clone(),
        (None, None) => text.len()..text.len(),
    };
    let mut message = plain(&error.message).to_owned();
    if let Some(label) = label.and_then(|label| label.label.as_deref()) {
        message = format!("{message}: {label}");
    }
    let hint = own_hint(text, &span, &message).or_else(|| error.help.as_deref().map(|help| plain(help).to_owned()));
    Diagnostic::at(text, span.start, span.end, message).with_hint_if(hint)
}

/// A message without the policy that it is about: the place says that.
fn plain(message: &str) -> &str {
    let Some(rest) = message.strip_prefix("for policy `") else { return message };
    let Some((_, rest)) = rest.split_once('`') else { return message };
    rest.trim_start_matches([',', ':', ' '])
}

/// A hint that knows more of Portcullis than Cedar does.
fn own_hint(text: &str, span: &Range<usize>, message: &str) -> Option<String> {
    if message == "invalid token" {
        let odd = text.get(span.start..)?.chars().next().filter(|c| !c.is_ascii())?;
        return Some(format!(
            "{odd:?} is U+{:04X}: it only looks like a character that can stand here",
            u32::from(odd)
        ));
    }
    if message.starts_with("duplicate annotation") {
        return Some("each annotation stands once; keep one of them".to_owned());
    }
    if message.starts_with("unable to find an applicable action") {
        let hint = "request, review, connect and replay are about a Login; lock and administer about the System";
        return Some(hint.to_owned());
    }
    let attribute = message.strip_prefix("attribute `")?.split_once('`')?.0;
    if message.contains("on entity type `Target` not found") {
        let hint = "labels are tags: resource.target.hasTag(\"env\") && resource.target.getTag(\"env\") == \"prod\"";
        return Some(hint.to_owned());
    }
    if message.contains("in context for Action::") {
        let (name, actions) = PARTIAL.into_iter().find(|(name, _)| *name == attribute)?;
        return Some(format!("only {actions} have context.{name}: narrow the actions of this policy"));
    }
    None
}
