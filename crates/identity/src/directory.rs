//! The directory: identities with their keys and groups, targets, and proxies, in one TOML file.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::ops::Range;

use model::{GroupName, IdentityName, ProxyName, Target, TargetAuth, TargetName};
use serde::Deserialize;
use ssh_key::PublicKey;
use ssh_key::public::KeyData;
use toml::Spanned;

use crate::{StrictError, Subject, fingerprint, parse_public_key, strict};

/// A directory to begin with; `portcullis init` writes it.
pub const EXAMPLE: &str = include_str!("example.toml");

/// Everybody and everything that policies speak about, validated as a whole.
#[derive(Clone, Debug, Default)]
pub struct Directory {
    groups: BTreeMap<GroupName, String>,
    identities: BTreeMap<IdentityName, Identity>,
    targets: BTreeMap<TargetName, Target>,
    proxies: BTreeMap<ProxyName, Proxy>,
    owners: HashMap<KeyData, Subject>,
}

/// A person or workload.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// Their name.
    pub name: IdentityName,
    /// The keys that prove it; never empty.
    pub keys: Vec<RegisteredKey>,
    /// The groups that hold them.
    pub groups: BTreeSet<GroupName>,
}

/// A session proxy.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Proxy {
    /// Its name.
    pub name: ProxyName,
    /// The keys that prove it; never empty.
    pub keys: Vec<RegisteredKey>,
    /// What it may pass on.
    pub desk: Desk,
}

/// What a proxy may do in the name of people who log in there with a plain key: each one includes those before it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Desk {
    /// Open sessions under their grants, and show them what they may see.
    Sessions,
    /// File, extend and cancel their requests, and give their grants back.
    #[default]
    Ask,
    /// Pass on what they say to the requests of others. A compromised proxy can then approve as an approver what it asks
    /// for as somebody else, so it must be written.
    Review,
}

impl Desk {
    /// The name in the directory.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Sessions => "sessions",
            Self::Ask => "ask",
            Self::Review => "review",
        }
    }
}

/// A key that the directory vouches for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RegisteredKey {
    /// The key with its comment.
    pub key: PublicKey,
    /// Its SHA-256 fingerprint ("SHA256:…").
    pub fingerprint: String,
}

impl Directory {
    /// Parses a directory file. `file` is only named in errors.
    ///
    /// # Errors
    /// The first thing that is wrong, with its place: unknown keys of the file, bad names, names or keys that occur
    /// twice, keys that are not good enough, groups that are not declared, targets without an address or a login.
    pub fn parse(text: &str, file: &str) -> Result<Self, StrictError> {
        let raw: Raw = strict::parse(text, file)?;
        let mut builder = Builder { text, file, directory: Self::default(), places: HashMap::new() };
        for group in raw.group {
            builder.group(group)?;
        }
        for identity in raw.identity {
            builder.identity(identity)?;
        }
        for proxy in raw.proxy {
            builder.proxy(proxy)?;
        }
        for target in raw.target {
            builder.target(target)?;
        }
        Ok(builder.directory)
    }

    /// One identity.
    #[must_use]
    pub fn identity(&self, name: &IdentityName) -> Option<&Identity> {
        self.identities.get(name)
    }

    /// Every identity, by name.
    pub fn identities(&self) -> impl ExactSizeIterator<Item = &Identity> {
        self.identities.values()
    }

    /// One target.
    #[must_use]
    pub fn target(&self, name: &TargetName) -> Option<&Target> {
        self.targets.get(name)
    }

    /// Every target, by name.
    pub fn targets(&self) -> impl ExactSizeIterator<Item = &Target> {
        self.targets.values()
    }

    /// One proxy.
    #[must_use]
    pub fn proxy(&self, name: &ProxyName) -> Option<&Proxy> {
        self.proxies.get(name)
    }

    /// Every proxy, by name.
    pub fn proxies(&self) -> impl ExactSizeIterator<Item = &Proxy> {
        self.proxies.values()
    }

    /// Every group with its description, by name.
    pub fn groups(&self) -> impl ExactSizeIterator<Item = (&GroupName, &str)> {
        self.groups.iter().map(|(name, description)| (name, description.as_str()))
    }

    /// Whether there is such a subject.
    #[must_use]
    pub fn knows(&self, subject: &Subject) -> bool {
        self.keys(subject).is_some()
    }

    /// Whose key this is: compared whole, not by its fingerprint.
    #[must_use]
    pub fn owner(&self, key: &KeyData) -> Option<&Subject> {
        self.owners.get(key)
    }

    /// Whether a subject has a key with this fingerprint.
    #[must_use]
    pub fn has_fingerprint(&self, subject: &Subject, fingerprint: &str) -> bool {
        self.keys(subject).is_some_and(|keys| keys.iter().any(|key| key.fingerprint == fingerprint))
    }

    fn keys(&self, subject: &Subject) -> Option<&[RegisteredKey]> {
        match subject {
            Subject::Identity(name) => self.identities.get(name).map(|identity| identity.keys.as_slice()),
            Subject::Proxy(name) => self.proxies.get(name).map(|proxy| proxy.keys.as_slice()),
        }
    }
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Raw {
    #[serde(default)]
    group: Vec<RawGroup>,
    #[serde(default)]
    identity: Vec<RawIdentity>,
    #[serde(default)]
    proxy: Vec<RawProxy>,
    #[serde(default)]
    target: Vec<Spanned<Target>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawGroup {
    name: Spanned<GroupName>,
    #[serde(default)]
    description: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawIdentity {
    name: Spanned<IdentityName>,
    keys: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    groups: Vec<Spanned<GroupName>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct RawProxy {
    name: Spanned<ProxyName>,
    keys: Spanned<Vec<Spanned<String>>>,
    #[serde(default)]
    desk: Desk,
}

struct Builder<'a> {
    text: &'a str,
    file: &'a str,
    directory: Directory,
    /// On which line a key was first seen.
    places: HashMap<KeyData, usize>,
}

impl Builder<'_> {
    fn group(&mut self, raw: RawGroup) -> Result<(), StrictError> {
        let (span, name) = (raw.name.span(), raw.name.into_inner());
        if self.directory.groups.contains_key(&name) {
            return Err(self.at(span, format!("the group {name} is declared twice")));
        }
        self.directory.groups.insert(name, raw.description);
        Ok(())
    }

    fn identity(&mut self, raw: RawIdentity) -> Result<(), StrictError> {
        let (span, name) = (raw.name.span(), raw.name.into_inner());
        if self.directory.identities.contains_key(&name) {
            return Err(self.at(span, format!("the identity {name} is declared twice")));
        }
        let keys = self.keys(raw.keys, &Subject::Identity(name.clone()))?;
        let mut groups = BTreeSet::new();
        for group in raw.groups {
            let (span, group) = (group.span(), group.into_inner());
            if !self.directory.groups.contains_key(&group) {
                let known = self.directory.groups.keys().map(GroupName::as_str);
                let hint = match strict::nearest(group.as_str(), known) {
                    Some(near) => format!("did you mean \"{near}\"?"),
                    None => format!("declare it: [[group]] with name = \"{group}\""),
                };
                return Err(self.at(span, format!("there is no group {group}")).with_hint(hint));
            }
            if !groups.insert(group.clone()) {
                return Err(self.at(span, format!("the group {group} is listed twice")));
            }
        }
        self.directory.identities.insert(name.clone(), Identity { name, keys, groups });
        Ok(())
    }

    fn proxy(&mut self, raw: RawProxy) -> Result<(), StrictError> {
        let (span, name) = (raw.name.span(), raw.name.into_inner());
        if self.directory.proxies.contains_key(&name) {
            return Err(self.at(span, format!("the proxy {name} is declared twice")));
        }
        let keys = self.keys(raw.keys, &Subject::Proxy(name.clone()))?;
        self.directory.proxies.insert(name.clone(), Proxy { name, keys, desk: raw.desk });
        Ok(())
    }

    fn target(&mut self, raw: Spanned<Target>) -> Result<(), StrictError> {
        let (span, target) = (raw.span(), raw.into_inner());
        let name = target.name.clone();
        let refuse = |message: String| Err(self.at(span.clone(), message));
        if self.directory.targets.contains_key(&name) {
            return refuse(format!("the target {name} is declared twice"));
        }
        if target.addresses.is_empty() {
            return refuse(format!("the target {name} has no address: write addresses = [\"host:22\"]"));
        }
        let addresses: BTreeSet<_> = target.addresses.iter().collect();
        if addresses.len() != target.addresses.len() {
            return refuse(format!("the target {name} has an address twice"));
        }
        if target.logins.is_empty() {
            return refuse(format!("the target {name} has no login: write logins = [\"root\"]"));
        }
        if let Some(label) = target.labels.iter().find(|(label, value)| !plain(label) || !plain(value)) {
            return refuse(format!("the target {name} has a label that is not plain text: {label:?}"));
        }
        for line in &target.host_keys {
            if let Err(error) = parse_public_key(line) {
                return refuse(format!("a host key of the target {name} is refused: {error}"));
            }
        }
        match target.auth {
            TargetAuth::Certificate => {}
            // Who shows no certificate of the host CA must be known by its key: else anybody could be it.
            TargetAuth::TargetKey if target.host_keys.is_empty() => {
                let message = format!("the target {name} has auth = \"target-key\" and no pinned host key");
                return Err(self
                    .at(span, message)
                    .with_hint("write host-keys = [\"ssh-ed25519 AAAA…\"]: such a server shows no host certificate"));
            }
            TargetAuth::TargetKey => {}
        }
        self.directory.targets.insert(name, target);
        Ok(())
    }

    fn keys(
        &mut self,
        raw: Spanned<Vec<Spanned<String>>>,
        subject: &Subject,
    ) -> Result<Vec<RegisteredKey>, StrictError> {
        if raw.as_ref().is_empty() {
            let message = format!("{subject} has no key, and so no way to log in");
            return Err(self.at(raw.span(), message).with_hint("write keys = [\"ssh-ed25519 AAAA… comment\"]"));
        }
        let mut keys = Vec::new();
        for line in raw.into_inner() {
            let (span, line) = (line.span(), line.into_inner());
            let key = match parse_public_key(&line) {
                Ok(key) => key,
                Err(error) => return Err(self.at(span, format!("a key of {subject} is refused: {error}"))),
            };
            if let Some(owner) = self.directory.owners.get(key.key_data()) {
                let line = self.places.get(key.key_data()).copied().unwrap_or(0);
                let message = format!("this key is {owner}'s already (line {line}): a key belongs to one");
                return Err(self.at(span, message));
            }
            let line = self.at(span, "").line();
            self.places.insert(key.key_data().clone(), line);
            self.directory.owners.insert(key.key_data().clone(), subject.clone());
            keys.push(RegisteredKey { fingerprint: fingerprint(key.key_data()), key });
        }
        Ok(keys)
    }

    fn at(&self, span: Range<usize>, message: impl Into<String>) -> StrictError {
        StrictError::at(self.text, self.file, span, message)
    }
}

fn plain(text: &str) -> bool {
    !text.is_empty() && text.len() <= 256 && !text.chars().any(char::is_control)
}
