//! The key id of a certificate: what a target's own log shows of whom it let in, and why.

use std::collections::BTreeSet;
use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use crate::{CertificateProfile, IdentityName, RequestId, Serial, SessionId, TargetName};

/// The text that a certificate carries for the logs of those who see it (PROTOCOL.certkeys, "key id"):
///
/// ```text
/// portcullis person req-0123456789ab identity=alice approvers=bob,carol serial=42
/// portcullis session req-0123456789ab session=ses-0123456789ab identity=alice approvers=bob serial=43
/// portcullis host names=web1 serial=44
/// portcullis front names=web1 serial=45
/// ```
///
/// It names nobody's rights: what a certificate opens stands in its principals.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum KeyId {
    /// Of a person's certificate.
    Person {
        /// The grant.
        request: RequestId,
        /// Whose it is.
        identity: IdentityName,
        /// Who approved; empty when the path needs nobody.
        approvers: Listed<IdentityName>,
        /// The certificate's serial.
        serial: Serial,
    },
    /// Of the proxy's certificate for one session.
    Session {
        /// The grant.
        request: RequestId,
        /// The session.
        session: SessionId,
        /// Who is behind it.
        identity: IdentityName,
        /// Who approved.
        approvers: Listed<IdentityName>,
        /// The certificate's serial.
        serial: Serial,
    },
    /// Of a target's own certificate.
    Host {
        /// The names that it stands for.
        names: Listed<TargetName>,
        /// The certificate's serial.
        serial: Serial,
    },
    /// Of what a proxy shows to people.
    Front {
        /// The names that it stands for.
        names: Listed<TargetName>,
        /// The certificate's serial.
        serial: Serial,
    },
}

/// Names as far as they fit, and how many more there are: "bob,carol" or "bob,+3".
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Listed<T> {
    shown: Vec<T>,
    more: usize,
}

/// A text that is not a key id of ours.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{shown} is not a key id of Portcullis: {problem}")]
pub struct KeyIdError {
    shown: String,
    problem: String,
}

impl KeyId {
    /// The most bytes that a key id may have.
    pub const LIMIT: usize = 256;

    /// The key id of a person's certificate; approvers beyond the limit are counted instead of named.
    #[must_use]
    pub fn person(
        request: &RequestId,
        identity: &IdentityName,
        approvers: &BTreeSet<IdentityName>,
        serial: Serial,
    ) -> Self {
        let whole =
            |approvers| Self::Person { request: request.clone(), identity: identity.clone(), approvers, serial };
        fit(approvers, whole)
    }

    /// The key id of a session certificate; approvers beyond the limit are counted instead of named.
    #[must_use]
    pub fn session(
        request: &RequestId,
        session: &SessionId,
        identity: &IdentityName,
        approvers: &BTreeSet<IdentityName>,
        serial: Serial,
    ) -> Self {
        fit(approvers, |approvers| Self::Session {
            request: request.clone(),
            session: session.clone(),
            identity: identity.clone(),
            approvers,
            serial,
        })
    }

    /// The key id of a host certificate; names beyond the limit are counted instead of named.
    #[must_use]
    pub fn host(names: &BTreeSet<TargetName>, serial: Serial) -> Self {
        fit(names, |names| Self::Host { names, serial })
    }

    /// The key id of a front certificate; names beyond the limit are counted instead of named.
    #[must_use]
    pub fn front(names: &BTreeSet<TargetName>, serial: Serial) -> Self {
        fit(names, |names| Self::Front { names, serial })
    }

    /// The certificate's serial.
    #[must_use]
    pub const fn serial(&self) -> Serial {
        match self {
            Self::Person { serial, .. }
            | Self::Session { serial, .. }
            | Self::Host { serial, .. }
            | Self::Front { serial, .. } => *serial,
        }
    }

    /// The profile of the certificate.
    #[must_use]
    pub const fn profile(&self) -> CertificateProfile {
        match self {
            Self::Person { .. } => CertificateProfile::Person,
            Self::Session { .. } => CertificateProfile::Session,
            Self::Host { .. } => CertificateProfile::Host,
            Self::Front { .. } => CertificateProfile::Front,
        }
    }

    /// The grant, unless it is a host's or a proxy's.
    #[must_use]
    pub const fn request(&self) -> Option<&RequestId> {
        match self {
            Self::Person { request, .. } | Self::Session { request, .. } => Some(request),
            Self::Host { .. } | Self::Front { .. } => None,
        }
    }

    /// The person, unless it is a host's or a proxy's.
    #[must_use]
    pub const fn identity(&self) -> Option<&IdentityName> {
        match self {
            Self::Person { identity, .. } | Self::Session { identity, .. } => Some(identity),
            Self::Host { .. } | Self::Front { .. } => None,
        }
    }
}

impl<T> Listed<T> {
    /// The names that fitted, in order.
    #[must_use]
    pub fn shown(&self) -> &[T] {
        &self.shown
    }

    /// How many more there are.
    #[must_use]
    pub const fn more(&self) -> usize {
        self.more
    }
}

/// Names as many as the limit allows, from none upwards.
fn fit<T: Clone + fmt::Display>(names: &BTreeSet<T>, whole: impl Fn(Listed<T>) -> KeyId) -> KeyId {
    let listed = |shown: usize| Listed {
        shown: names.iter().take(shown).cloned().collect(),
        more: names.len().saturating_sub(shown),
    };
    let fits = |shown: &usize| whole(listed(*shown)).to_string().len() <= KeyId::LIMIT;
    // No name is shorter than a byte and its comma, so more than half of the limit can never fit.
    let most = (0..=names.len().min(KeyId::LIMIT / 2)).rev().find(fits).unwrap_or(0);
    whole(listed(most))
}

impl<T: fmt::Display> fmt::Display for Listed<T> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (at, name) in self.shown.iter().enumerate() {
            if at > 0 {
                f.write_str(",")?;
            }
            write!(f, "{name}")?;
        }
        match (self.more, self.shown.is_empty()) {
            (0, _) => Ok(()),
            (more, true) => write!(f, "+{more}"),
            (more, false) => write!(f, ",+{more}"),
        }
    }
}

impl<T: FromStr + Ord> FromStr for Listed<T>
where
    T::Err: fmt::Display,
{
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut list = Self { shown: Vec::new(), more: 0 };
        if text.is_empty() {
            return Ok(list);
        }
        for part in text.split(',') {
            if list.more > 0 {
                return Err("a name stands behind the count".to_owned());
            }
            if let Some(count) = part.strip_prefix('+') {
                let digits = !count.is_empty() && count.bytes().all(|b| b.is_ascii_digit()) && !count.starts_with('0');
                list.more = if digits { count.parse().unwrap_or(0) } else { 0 };
                if list.more == 0 {
                    return Err(format!("{part:?} is not a count"));
                }
                continue;
            }
            let name: T = part.parse().map_err(|error: T::Err| error.to_string())?;
            if list.shown.last().is_some_and(|last| *last >= name) {
                return Err("the names are not in order".to_owned());
            }
            list.shown.push(name);
        }
        Ok(list)
    }
}

impl fmt::Display for KeyId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Person { request, identity, approvers, serial } => {
                write!(f, "portcullis person {request} identity={identity} approvers={approvers} serial={serial}")
            }
            Self::Session { request, session, identity, approvers, serial } => write!(
                f,
                "portcullis session {request} session={session} identity={identity} approvers={approvers} serial={serial}"
            ),
            Self::Host { names, serial } => write!(f, "portcullis host names={names} serial={serial}"),
            Self::Front { names, serial } => write!(f, "portcullis front names={names} serial={serial}"),
        }
    }
}

impl FromStr for KeyId {
    type Err = KeyIdError;

    /// Reads exactly what [`fmt::Display`] writes, and nothing else.
    fn from_str(text: &str) -> Result<Self, KeyIdError> {
        let refuse = |problem: String| KeyIdError {
            shown: format!("{:?}", text.chars().take(KeyId::LIMIT).collect::<String>()),
            problem,
        };
        if text.len() > Self::LIMIT {
            return Err(refuse(format!("it is {} bytes long; the limit is {}", text.len(), Self::LIMIT)));
        }
        let mut words = text.split(' ');
        if words.next() != Some("portcullis") {
            return Err(refuse("it does not begin with \"portcullis\"".to_owned()));
        }
        let read = match words.next() {
            Some("person") => read_person(&mut words),
            Some("session") => read_session(&mut words),
            Some("host") => read_names(&mut words).map(|(names, serial)| Self::Host { names, serial }),
            Some("front") => read_names(&mut words).map(|(names, serial)| Self::Front { names, serial }),
            _ => Err("it names no profile".to_owned()),
        };
        let read = read.map_err(refuse)?;
        // A second way to write the same thing would let two texts pass for one.
        if words.next().is_some() || read.to_string() != text {
            return Err(refuse("it is not written in the one form".to_owned()));
        }
        Ok(read)
    }
}

impl TryFrom<String> for KeyId {
    type Error = KeyIdError;

    fn try_from(text: String) -> Result<Self, KeyIdError> {
        text.parse()
    }
}

impl From<KeyId> for String {
    fn from(key_id: KeyId) -> Self {
        key_id.to_string()
    }
}

fn read_person<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<KeyId, String> {
    Ok(KeyId::Person {
        request: plain(words, "request")?,
        identity: field(words, "identity=")?,
        approvers: field(words, "approvers=")?,
        serial: serial(words)?,
    })
}

fn read_session<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<KeyId, String> {
    Ok(KeyId::Session {
        request: plain(words, "request")?,
        session: field(words, "session=")?,
        identity: field(words, "identity=")?,
        approvers: field(words, "approvers=")?,
        serial: serial(words)?,
    })
}

fn read_names<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<(Listed<TargetName>, Serial), String> {
    Ok((field(words, "names=")?, serial(words)?))
}

fn plain<'a, T: FromStr>(words: &mut impl Iterator<Item = &'a str>, what: &str) -> Result<T, String>
where
    T::Err: fmt::Display,
{
    let word = words.next().ok_or_else(|| format!("the {what} is missing"))?;
    word.parse().map_err(|error: T::Err| error.to_string())
}

fn field<'a, T: FromStr>(words: &mut impl Iterator<Item = &'a str>, name: &str) -> Result<T, String>
where
    T::Err: fmt::Display,
{
    let word = words.next().and_then(|word| word.strip_prefix(name)).ok_or_else(|| format!("{name}… is missing"))?;
    word.parse().map_err(|error: T::Err| error.to_string())
}

fn serial<'a>(words: &mut impl Iterator<Item = &'a str>) -> Result<Serial, String> {
    let number: u64 = field(words, "serial=")?;
    Serial::new(number).ok_or_else(|| "the serial is 0".to_owned())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn names(count: usize, length: usize) -> BTreeSet<IdentityName> {
        (0..count).map(|n| format!("{n:0>length$}").parse().unwrap()).collect()
    }

    #[test]
    fn key_ids_read_as_they_are_written() {
        let request = RequestId::from_random(1);
        let session = SessionId::from_random(2);
        let serial = Serial::new(42).unwrap();
        let approvers = BTreeSet::from(["bob".parse().unwrap(), "carol".parse().unwrap()]);
        let person = KeyId::person(&request, &"alice".parse().unwrap(), &approvers, serial);
        assert_eq!(
            person.to_string(),
            "portcullis person req-000000000001 identity=alice approvers=bob,carol serial=42"
        );
        let session = KeyId::session(&request, &session, &"alice".parse().unwrap(), &BTreeSet::new(), serial);
        assert_eq!(
            session.to_string(),
            "portcullis session req-000000000001 session=ses-000000000002 identity=alice approvers= serial=42"
        );
        let host = KeyId::host(&BTreeSet::from(["web1".parse().unwrap()]), serial);
        assert_eq!(host.to_string(), "portcullis host names=web1 serial=42");
        let front = KeyId::front(&BTreeSet::from(["web1".parse().unwrap()]), serial);
        assert_eq!(front.to_string(), "portcullis front names=web1 serial=42");
        for key_id in [person, session, host, front] {
            assert_eq!(key_id.to_string().parse::<KeyId>().unwrap(), key_id);
        }
    }

    #[test]
    fn the_longest_names_still_fit() {
        let identity = "x".repeat(IdentityName::LIMIT).parse().unwrap();
        let serial = Serial::new(u64::MAX).unwrap();
        let approvers = names(5000, IdentityName::LIMIT);
        let session =
            KeyId::session(&RequestId::from_random(1), &SessionId::from_random(2), &identity, &approvers, serial);
        let text = session.to_string();
        assert!(text.len() <= KeyId::LIMIT, "{}", text.len());
        assert!(text.contains("approvers=+5000 "), "{text}");
        let host = KeyId::host(&BTreeSet::from(["h".repeat(TargetName::LIMIT).parse().unwrap()]), serial);
        assert!(host.to_string().len() <= KeyId::LIMIT);
    }

    #[test]
    fn what_is_written_otherwise_is_refused() {
        for text in [
            "",
            "portcullis",
            "portcullis person",
            "vault-root-abc",
            "portcullis person req-000000000001 identity=alice approvers=bob serial=0",
            "portcullis person req-000000000001 identity=alice approvers=bob serial=042",
            "portcullis person req-000000000001 identity=alice approvers=carol,bob serial=42",
            "portcullis person req-000000000001 identity=alice approvers=bob,bob serial=42",
            "portcullis person req-000000000001 identity=alice approvers=+0 serial=42",
            "portcullis person req-000000000001 identity=alice approvers=+1,bob serial=42",
            "portcullis person req-000000000001 identity=alice approvers=bob serial=42 ",
            "portcullis person req-000000000001  identity=alice approvers=bob serial=42",
            "portcullis host names=web 1 serial=42",
        ] {
            assert!(text.parse::<KeyId>().is_err(), "{text:?}");
        }
    }

    proptest! {
        #[test]
        fn every_key_id_fits_and_reads_back(
            identity in "[a-z0-9][a-z0-9._@-]{0,127}",
            approvers in prop::collection::btree_set("[a-z0-9][a-z0-9._@-]{0,60}", 0..12),
            request: u64,
            session: u64,
            serial in 1u64..,
        ) {
            let approvers = approvers.iter().map(|name| name.parse().unwrap()).collect();
            let identity: IdentityName = identity.parse().unwrap();
            let serial = Serial::new(serial).unwrap();
            let request = RequestId::from_random(request);
            for key_id in [
                KeyId::person(&request, &identity, &approvers, serial),
                KeyId::session(&request, &SessionId::from_random(session), &identity, &approvers, serial),
            ] {
                let text = key_id.to_string();
                prop_assert!(text.len() <= KeyId::LIMIT);
                prop_assert!(text.bytes().all(|b| (0x20..0x7f).contains(&b)));
                prop_assert_eq!(text.parse::<KeyId>().unwrap(), key_id);
            }
        }

        #[test]
        fn no_text_makes_it_panic(text in ".{0,300}") {
            let _ = text.parse::<KeyId>();
        }
    }
}
