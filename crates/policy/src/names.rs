//! Names that the directory does not know. Such a policy is valid, and does less than it seems to.

use std::collections::{BTreeMap, BTreeSet};

use model::{ChannelRight, GroupName, IdentityName, Login, Obligations, Target, TargetName};

use crate::literals::{Mention, Name};
use crate::policies::{Effectual, Entry};
use crate::{Action, Diagnostic, nearest};

/// The most findings for one policy text.
const MAX_FINDINGS: usize = 200;

/// What the directory holds, as far as policies name it.
#[derive(Clone, Debug, Default)]
pub struct Known<'a> {
    groups: BTreeMap<&'a GroupName, BTreeSet<&'a IdentityName>>,
    identities: BTreeSet<&'a IdentityName>,
    targets: BTreeMap<&'a TargetName, &'a Target>,
}

impl<'a> Known<'a> {
    /// The declared groups, the people with theirs, and the targets.
    pub fn new(
        groups: impl IntoIterator<Item = &'a GroupName>,
        people: impl IntoIterator<Item = (&'a IdentityName, &'a BTreeSet<GroupName>)>,
        targets: impl IntoIterator<Item = &'a Target>,
    ) -> Self {
        let mut known = Self {
            groups: groups.into_iter().map(|group| (group, BTreeSet::new())).collect(),
            identities: BTreeSet::new(),
            targets: targets.into_iter().map(|target| (&target.name, target)).collect(),
        };
        for (name, groups) in people {
            known.identities.insert(name);
            for group in groups {
                known.groups.entry(group).or_default().insert(name);
            }
        }
        known
    }

    fn logins(&self) -> impl Iterator<Item = &'a Login> {
        self.targets.values().flat_map(|target| &target.logins)
    }

    fn values(&self, label: &str) -> impl Iterator<Item = &'a str> {
        self.targets.values().filter_map(move |target| target.labels.get(label)).map(String::as_str)
    }
}

/// What is valid and does less than it seems to, in the order of the text.
pub(crate) fn findings(text: &str, entries: &[Entry], known: Option<&Known<'_>>) -> Vec<Diagnostic> {
    let mut findings: Vec<_> = unreachable(text, entries).into_iter().collect();
    findings.extend(entries.iter().filter_map(|entry| leaky(text, entry)));
    if let Some(known) = known {
        for entry in entries {
            let unknown = entry.mentions.iter().filter_map(|mention| unknown(text, entry, mention, known));
            findings.extend(unknown.take(MAX_FINDINGS));
            if let Effectual::Permit(asks) = &entry.effect {
                findings.extend(unfulfillable(text, entry, asks, known));
            }
        }
    }
    findings.sort_by_key(|finding| (finding.line, finding.column));
    findings.truncate(MAX_FINDINGS);
    findings
}

/// A mention of what the directory does not have.
fn unknown(text: &str, entry: &Entry, mention: &Mention, known: &Known<'_>) -> Option<Diagnostic> {
    let (message, hint) = match &mention.name {
        Name::Group(name) if !known.groups.contains_key(name) => (
            format!("the directory has no group {:?}", name.as_str()),
            nearest::hint(name.as_str(), known.groups.keys().map(|name| name.as_str()))
                .unwrap_or_else(|| format!("declare it there: [[group]] with name = \"{name}\"")),
        ),
        Name::Identity(name) if !known.identities.contains(name) => (
            format!("the directory has no identity {:?}", name.as_str()),
            nearest::hint(name.as_str(), known.identities.iter().map(|name| name.as_str()))
                .unwrap_or_else(|| format!("enter it there: [[identity]] with name = \"{name}\"")),
        ),
        Name::Target(name) | Name::Place(_, name) if !known.targets.contains_key(name) => (
            format!("the directory has no target {:?}", name.as_str()),
            nearest::hint(name.as_str(), known.targets.keys().map(|name| name.as_str()))
                .unwrap_or_else(|| format!("register it: portcullis target add {name}")),
        ),
        Name::Place(login, name) => {
            let logins = known.targets.get(name).map(|target| &target.logins)?;
            if logins.contains(login) {
                return None;
            }
            let usual = || format!("its logins are {}", listed(logins.iter().map(Login::as_str)));
            (
                format!("the target {:?} has no login {:?}", name.as_str(), login.as_str()),
                nearest::hint(login.as_str(), logins.iter().map(Login::as_str)).unwrap_or_else(usual),
            )
        }
        // Where there is no target yet, these say nothing that its author would not know.
        Name::Login(_) | Name::Label(_) if known.targets.is_empty() => return None,
        Name::Login(login) if !known.logins().any(|one| one == login) => (
            format!("no target has a login {:?}", login.as_str()),
            nearest::hint(login.as_str(), known.logins().map(Login::as_str))
                .unwrap_or_else(|| "a target's logins are in the directory: logins = [\"root\"]".to_owned()),
        ),
        Name::Label(label) if known.targets.values().all(|target| !target.labels.contains_key(label)) => {
            let labels = known.targets.values().flat_map(|target| target.labels.keys());
            let usual = || format!("a target's labels are in the directory: labels = {{ {label} = \"…\" }}");
            (
                format!("no target has a label {label:?}"),
                nearest::hint(label, labels.map(String::as_str)).unwrap_or_else(usual),
            )
        }
        // A value that no target has yet is usual; one that is nearly that of a target is a slip.
        Name::Value(label, value) if known.values(label).all(|one| one != value) => {
            (format!("no target has the label {label} = {value:?}"), nearest::hint(value, known.values(label))?)
        }
        Name::Group(_) | Name::Identity(_) | Name::Target(_) => return None,
        Name::Login(_) | Name::Label(_) | Name::Value(..) => return None,
    };
    let message = match (mention.scope, &entry.effect) {
        (true, Effectual::Permit(_)) => format!("{message}, so this permits nothing"),
        (true, Effectual::Forbid) => format!("{message}, so this forbids nothing"),
        (false, Effectual::Permit(_) | Effectual::Forbid) => message,
    };
    Some(Diagnostic::at(text, mention.span.start, mention.span.end, message).with_hint(hint))
}

/// Why nobody can ever fulfil a path.
fn unfulfillable(text: &str, entry: &Entry, asks: &Obligations, known: &Known<'_>) -> Vec<Diagnostic> {
    let mut found = Vec::new();
    for (group, span) in &entry.approvers {
        let (message, hint) = match known.groups.get(group) {
            Some(members) if !members.is_empty() => continue,
            // Where there is no target yet, there is nothing to approve either.
            Some(_) if known.targets.is_empty() => continue,
            Some(_) => (
                format!("nobody is in the group {:?}", group.as_str()),
                format!("put somebody in: groups = [\"{group}\"] of an [[identity]]"),
            ),
            None => (
                format!("the directory has no group {:?}", group.as_str()),
                nearest::hint(group.as_str(), known.groups.keys().map(|name| name.as_str()))
                    .unwrap_or_else(|| format!("declare it there, and put somebody in: [[group]] name = \"{group}\"")),
            ),
        };
        let message = format!("{message}, so no request can ever be approved on this path");
        found.push(Diagnostic::at(text, span.start, span.end, message).with_hint(hint));
    }
    let people: BTreeSet<_> = asks.approvers.iter().filter_map(|group| known.groups.get(group)).flatten().collect();
    let count = u32::try_from(people.len()).unwrap_or(u32::MAX);
    if found.is_empty()
        && !known.targets.is_empty()
        && !asks.approvers.is_empty()
        && count < asks.approvals
        && let Some((_, span)) = entry.approvers.first()
    {
        let groups = listed(asks.approvers.iter().map(GroupName::as_str));
        let who = if count == 1 { "1 person".to_owned() } else { format!("{count} people") };
        let message = format!(
            "{} people must approve, and {groups} has {who}, so no request can ever be approved on this path",
            asks.approvals
        );
        let hint = "ask for fewer @approvals, or put more people in";
        found.push(Diagnostic::at(text, span.start, span.end, message).with_hint(hint));
    }
    found
}

/// What no permit is for, although something rests on it.
fn unreachable(text: &str, entries: &[Entry]) -> Option<Diagnostic> {
    let permits = |action: Action| {
        entries.iter().filter(move |entry| entry.actions.contains(&action)).filter_map(|entry| match &entry.effect {
            Effectual::Permit(asks) => Some((entry, asks)),
            Effectual::Forbid => None,
        })
    };
    let at = |entry: &Entry, message: &str, hint: &str| {
        Diagnostic::at(text, entry.span.start, entry.span.end, message).with_hint(hint)
    };
    let (first, _) = permits(Action::Request).next()?;
    if permits(Action::Connect).next().is_none() {
        let message = "no permit is for Action::\"connect\": a grant of this path opens nothing";
        return Some(at(first, message, "portcullis policy example has one, \"grants-connect\""));
    }
    let (waits, _) = permits(Action::Request).find(|(_, asks)| asks.approvals > 0)?;
    if permits(Action::Review).next().is_some() {
        return None;
    }
    let message = "no permit is for Action::\"review\": nobody can approve what is asked on this path";
    Some(at(waits, message, "portcullis policy example has one, \"approvers-review\""))
}

/// Files that are limited on a path on which whoever likes moves them by other means.
fn leaky(text: &str, entry: &Entry) -> Option<Diagnostic> {
    let Effectual::Permit(asks) = &entry.effect else { return None };
    let carriage = &asks.carriage;
    let round = carriage.channels.iter().find(|right| {
        matches!(right, ChannelRight::Shell | ChannelRight::Exec)
            || matches!(right, ChannelRight::Subsystem(name) if name != "sftp")
    })?;
    if carriage.all_files() {
        return None;
    }
    let message = format!("SFTP and scp are limited to some files here, and any file can be moved by \"{round}\"");
    let hint = "write @channels(\"scp, subsystem:sftp\"), or leave @upload and @download out";
    Some(Diagnostic::at(text, entry.span.start, entry.span.end, message).with_hint(hint))
}

fn listed<'a>(names: impl Iterator<Item = &'a str>) -> String {
    names.collect::<Vec<_>>().join(", ")
}
