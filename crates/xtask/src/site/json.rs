//! What `portcullis … --json` prints.

use serde_json::Value;

/// Lists are arrays, or pages with `items`.
pub(crate) fn list(value: &Value) -> &[Value] {
    value.as_array().or_else(|| value.get("items")?.as_array()).map(Vec::as_slice).unwrap_or_default()
}

/// The first of a list that is wanted.
pub(crate) fn first(value: &Value, wanted: impl Fn(&Value) -> bool) -> Option<&Value> {
    list(value).iter().find(|item| wanted(item))
}

/// The id of a thing.
pub(crate) fn id(value: &Value) -> Option<String> {
    Some(value.get("id")?.as_str()?.to_owned())
}
