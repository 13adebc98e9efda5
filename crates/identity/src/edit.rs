//! Changes to a directory file that keep its comments and its order.

use model::{ProxyName, Target, TargetAuth, TargetName};
use toml_edit::{Array, ArrayOfTables, DocumentMut, InlineTable, Item, Table, Value, value};

use crate::{Directory, StrictError};

/// Why a directory file cannot be changed.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EditError {
    /// The name is taken.
    #[error("the {kind} {name} is in the directory already")]
    Exists {
        /// "target" or "proxy".
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// There is none of that name.
    #[error("there is no {kind} {name} in the directory")]
    Missing {
        /// "target" or "proxy".
        kind: &'static str,
        /// Its name.
        name: String,
    },
    /// The entries are written as an inline array.
    #[error("the {0}s of the directory are written as one array: write each as [[{0}]] to let it be changed here")]
    Inline(&'static str),
    /// The file is not a directory, or the change would make it none.
    #[error("the directory would not be valid")]
    Invalid(#[source] StrictError),
}

impl Directory {
    /// The text with `target` added at its end.
    ///
    /// # Errors
    /// There is one of that name, or the result would not be a valid directory.
    pub fn add_target(text: &str, target: &Target) -> Result<String, EditError> {
        add(text, "target", target.name.as_str(), target_table(target))
    }

    /// The text with the target of the same name replaced in its place.
    ///
    /// # Errors
    /// There is none of that name, or the result would not be a valid directory.
    pub fn replace_target(text: &str, target: &Target) -> Result<String, EditError> {
        let mut document = parse(text)?;
        let name = target.name.as_str();
        let entries = entries(&mut document, "target")?;
        let entry = find(entries, name)
            .and_then(|at| entries.get_mut(at))
            .ok_or_else(|| EditError::Missing { kind: "target", name: name.to_owned() })?;
        // Key by key, so that the comments on what stays keep their place.
        let new = target_table(target);
        let gone: Vec<String> =
            entry.iter().map(|(key, _)| key.to_owned()).filter(|key| !new.contains_key(key)).collect();
        for key in gone {
            entry.remove(&key);
        }
        for (key, item) in new {
            let (Some(old), Ok(mut value)) =
                (entry.get_mut(&key).and_then(Item::as_value_mut), item.clone().into_value())
            else {
                entry.insert(&key, item);
                continue;
            };
            if bare(old) != bare(&value) {
                *value.decor_mut() = old.decor().clone();
                *old = value;
            }
        }
        validated(&document)
    }

    /// The text without the target `name` and the comment that stands directly above it.
    ///
    /// # Errors
    /// There is none of that name.
    pub fn remove_target(text: &str, name: &TargetName) -> Result<String, EditError> {
        let mut document = parse(text)?;
        let entries = entries(&mut document, "target")?;
        let at = find(entries, name.as_str())
            .ok_or_else(|| EditError::Missing { kind: "target", name: name.as_str().to_owned() })?;
        entries.remove(at);
        validated(&document)
    }

    /// The text with a proxy and its one key added at its end.
    ///
    /// # Errors
    /// There is one of that name, the key is in use, or the result would not be a valid directory.
    pub fn add_proxy(text: &str, name: &ProxyName, key: &str) -> Result<String, EditError> {
        let mut table = Table::new();
        table.insert("name", value(name.as_str()));
        table.insert("keys", value(Array::from_iter([key.trim()])));
        add(text, "proxy", name.as_str(), table)
    }
}

fn add(text: &str, kind: &'static str, name: &str, table: Table) -> Result<String, EditError> {
    let mut document = parse(text)?;
    let trailing = document.trailing().as_str().unwrap_or_default().to_owned();
    let entries = entries(&mut document, kind)?;
    if find(entries, name).is_some() {
        return Err(EditError::Exists { kind, name: name.to_owned() });
    }
    let mut table = table;
    // What stands at the end of a file are comments; the new entry goes below them.
    table.decor_mut().set_prefix(if text.trim().is_empty() { String::new() } else { format!("{trailing}\n") });
    entries.push(table);
    document.set_trailing("");
    validated(&document)
}

fn parse(text: &str) -> Result<DocumentMut, EditError> {
    // The strict parser first: its errors have a place, and what it refuses must not be edited.
    Directory::parse(text, FILE).map_err(EditError::Invalid)?;
    text.parse().map_err(|error: toml_edit::TomlError| {
        EditError::Invalid(StrictError::at(text, FILE, error.span().unwrap_or(0..0), error.message()))
    })
}

fn entries<'a>(document: &'a mut DocumentMut, kind: &'static str) -> Result<&'a mut ArrayOfTables, EditError> {
    document
        .entry(kind)
        .or_insert_with(|| Item::ArrayOfTables(ArrayOfTables::new()))
        .as_array_of_tables_mut()
        .ok_or(EditError::Inline(kind))
}

fn find(entries: &ArrayOfTables, name: &str) -> Option<usize> {
    entries.iter().position(|entry| entry.get("name").and_then(Item::as_str) == Some(name))
}

/// A value without the spaces and comments around it.
fn bare(value: &Value) -> String {
    value.clone().decorated("", "").to_string()
}

fn validated(document: &DocumentMut) -> Result<String, EditError> {
    let text = document.to_string();
    Directory::parse(&text, FILE).map_err(EditError::Invalid)?;
    Ok(text)
}

fn target_table(target: &Target) -> Table {
    let mut table = Table::new();
    table.insert("name", value(target.name.as_str()));
    table.insert("addresses", value(Array::from_iter(target.addresses.iter().map(ToString::to_string))));
    table.insert("logins", value(Array::from_iter(target.logins.iter().map(|login| login.as_str()))));
    if !target.labels.is_empty() {
        let labels: InlineTable = target.labels.iter().map(|(key, value)| (key.as_str(), value.as_str())).collect();
        table.insert("labels", value(labels));
    }
    match target.auth {
        TargetAuth::Certificate => {}
        TargetAuth::TargetKey => {
            table.insert("auth", value("target-key"));
        }
    }
    if !target.host_keys.is_empty() {
        table.insert("host-keys", value(Array::from_iter(target.host_keys.iter().map(String::as_str))));
    }
    table
}

const FILE: &str = "directory.toml";
