//! The four kinds of certificates, and how a question becomes one of them.

use std::collections::{BTreeMap, BTreeSet};

use model::{
    CertificateExtension, CertificateProfile, IdentityName, KeyId, Login, Principal, RequestId, Serial, SessionId,
    Span, TargetName, Timestamp,
};
use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;

use super::{BACKDATE, Draft, LintError, Prepared, Rules, SourceAddresses};

/// How long each kind may live. Made once from the configuration.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Profiles {
    person_longest: Span,
    host_longest: Span,
}

/// A bound that makes no sense.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("a {profile} certificate cannot live {given}: set it between {least} and {most}")]
pub struct ProfileError {
    profile: CertificateProfile,
    given: Span,
    least: Span,
    most: Span,
}

/// The public keys of the CA.
#[derive(Clone, Debug)]
pub struct Authorities {
    /// The user CA's.
    pub user: KeyData,
    /// The host CA's: of what targets show to proxies.
    pub host: KeyData,
    /// The front CA's: of what proxies show to people.
    pub front: KeyData,
    /// Every key of the house, these three included: none is ever certified.
    pub own: Vec<KeyData>,
}

/// The random parts of a certificate.
#[derive(Clone, Copy, Debug)]
pub struct Fresh {
    /// Its serial.
    pub serial: Serial,
    /// Its nonce.
    pub nonce: [u8; 32],
}

/// A person's certificate: opens the proxy and nothing else.
#[derive(Clone, Copy, Debug)]
pub struct PersonAsk<'a> {
    /// The key to be certified, whose possession was proved.
    pub key: &'a KeyData,
    /// The grant.
    pub request: &'a RequestId,
    /// Whose it is.
    pub identity: &'a IdentityName,
    /// Who approved.
    pub approvers: &'a BTreeSet<IdentityName>,
    /// The grant ends; the certificate does not outlive it.
    pub ends: Timestamp,
}

/// The proxy's certificate for one session: one login on one target, for two minutes, from the proxy's address.
#[derive(Clone, Copy, Debug)]
pub struct SessionAsk<'a> {
    /// The proxy's ephemeral key.
    pub key: &'a KeyData,
    /// The grant.
    pub request: &'a RequestId,
    /// The session.
    pub session: &'a SessionId,
    /// Who is behind it.
    pub identity: &'a IdentityName,
    /// Who approved.
    pub approvers: &'a BTreeSet<IdentityName>,
    /// As whom.
    pub login: &'a Login,
    /// Where.
    pub target: &'a TargetName,
    /// The grant ends; the certificate does not outlive it.
    pub ends: Timestamp,
    /// What the path allows beyond a plain exec.
    pub extensions: &'a BTreeSet<CertificateExtension>,
    /// From where the proxy reaches the target.
    pub sources: &'a SourceAddresses,
    /// The one command that the grant is for.
    pub command: Option<&'a str>,
}

/// A certificate for names of hosts: a target's own, or what a proxy shows to people under them.
#[derive(Clone, Copy, Debug)]
pub struct HostAsk<'a> {
    /// The host key.
    pub key: &'a KeyData,
    /// The names that it stands for.
    pub names: &'a BTreeSet<TargetName>,
}

/// A session certificate is used within seconds; two minutes allow for a slow target.
const SESSION: Span = Span::from_minutes(2);
/// A proxy asks anew by itself. A day bounds for how long one that was thrown out still looks like one of ours.
const FRONT: Span = Span::from_hours(24);

impl Default for Profiles {
    /// One hour for people, thirty days for hosts.
    fn default() -> Self {
        Self { person_longest: Span::from_hours(1), host_longest: Span::from_hours(30 * 24) }
    }
}

impl Profiles {
    /// With other bounds: a person's certificate one minute to one day, a host's one hour to one year.
    ///
    /// # Errors
    /// A bound is outside of that.
    pub fn new(person_longest: Span, host_longest: Span) -> Result<Self, ProfileError> {
        let within = |profile, given, least, most| {
            if (least..=most).contains(&given) { Ok(given) } else { Err(ProfileError { profile, given, least, most }) }
        };
        let (minute, hour, day) = (Span::from_minutes(1), Span::from_hours(1), Span::from_hours(24));
        Ok(Self {
            person_longest: within(CertificateProfile::Person, person_longest, minute, day)?,
            host_longest: within(CertificateProfile::Host, host_longest, hour, Span::from_hours(366 * 24))?,
        })
    }

    /// The longest that a certificate of a profile may live, counted from its issue.
    #[must_use]
    pub const fn longest(&self, profile: CertificateProfile) -> Span {
        match profile {
            CertificateProfile::Person => self.person_longest,
            CertificateProfile::Session => SESSION,
            CertificateProfile::Host => self.host_longest,
            CertificateProfile::Front => FRONT,
        }
    }

    /// Prepares a person's certificate.
    ///
    /// # Errors
    /// What the linter found.
    pub fn person(
        &self,
        ask: &PersonAsk<'_>,
        authorities: &Authorities,
        fresh: Fresh,
        now: Timestamp,
    ) -> Result<Prepared, LintError> {
        let extensions = BTreeSet::from([CertificateExtension::Pty]);
        let part = Part {
            profile: CertificateProfile::Person,
            key: ask.key,
            key_id: KeyId::person(ask.request, ask.identity, ask.approvers, fresh.serial),
            principals: BTreeSet::from([Principal::Identity(ask.identity.clone())]),
            ends: ask.ends,
            critical_options: BTreeMap::new(),
            extensions: &extensions,
        };
        self.prepare(part, authorities, fresh, now)
    }

    /// Prepares a session certificate.
    ///
    /// # Errors
    /// What the linter found.
    pub fn session(
        &self,
        ask: &SessionAsk<'_>,
        authorities: &Authorities,
        fresh: Fresh,
        now: Timestamp,
    ) -> Result<Prepared, LintError> {
        let mut critical_options = BTreeMap::from([("source-address".to_owned(), ask.sources.to_string())]);
        if let Some(command) = ask.command {
            critical_options.insert("force-command".to_owned(), command.to_owned());
        }
        let part = Part {
            profile: CertificateProfile::Session,
            key: ask.key,
            key_id: KeyId::session(ask.request, ask.session, ask.identity, ask.approvers, fresh.serial),
            principals: BTreeSet::from([Principal::Login(ask.login.clone(), ask.target.clone())]),
            ends: ask.ends,
            critical_options,
            // Whoever may run one command has no terminal and forwards nothing: force-command by itself does not keep
            // sshd from either.
            extensions: if ask.command.is_some() { &NO_EXTENSIONS } else { ask.extensions },
        };
        self.prepare(part, authorities, fresh, now)
    }

    /// Prepares a target's own certificate.
    ///
    /// # Errors
    /// What the linter found.
    pub fn host(
        &self,
        ask: &HostAsk<'_>,
        authorities: &Authorities,
        fresh: Fresh,
        now: Timestamp,
    ) -> Result<Prepared, LintError> {
        let key_id = KeyId::host(ask.names, fresh.serial);
        self.prepare(self.named(CertificateProfile::Host, ask, key_id, now), authorities, fresh, now)
    }

    /// Prepares a certificate of what a proxy shows to people.
    ///
    /// # Errors
    /// What the linter found.
    pub fn front(
        &self,
        ask: &HostAsk<'_>,
        authorities: &Authorities,
        fresh: Fresh,
        now: Timestamp,
    ) -> Result<Prepared, LintError> {
        let key_id = KeyId::front(ask.names, fresh.serial);
        self.prepare(self.named(CertificateProfile::Front, ask, key_id, now), authorities, fresh, now)
    }

    fn named<'a>(&self, profile: CertificateProfile, ask: &HostAsk<'a>, key_id: KeyId, now: Timestamp) -> Part<'a> {
        Part {
            profile,
            key: ask.key,
            key_id,
            principals: ask.names.iter().cloned().map(Principal::Host).collect(),
            ends: now.plus(self.longest(profile)),
            critical_options: BTreeMap::new(),
            extensions: &NO_EXTENSIONS,
        }
    }

    fn prepare(
        &self,
        part: Part<'_>,
        authorities: &Authorities,
        fresh: Fresh,
        now: Timestamp,
    ) -> Result<Prepared, LintError> {
        let longest = self.longest(part.profile);
        let (kind, ca) = match part.profile {
            CertificateProfile::Person | CertificateProfile::Session => (CertType::User, &authorities.user),
            CertificateProfile::Host => (CertType::Host, &authorities.host),
            CertificateProfile::Front => (CertType::Host, &authorities.front),
        };
        // Whole seconds are all that the wire knows. Rounded down, so that nothing outlives its grant.
        let latest = Timestamp::from_seconds(now.seconds()).plus(longest);
        let draft = Draft {
            nonce: fresh.nonce.to_vec(),
            key: part.key.clone(),
            serial: fresh.serial.get(),
            kind,
            key_id: part.key_id.to_string(),
            principals: part.principals.iter().map(ToString::to_string).collect(),
            valid_after: now.minus(BACKDATE).seconds(),
            valid_before: part.ends.min(latest).seconds(),
            critical_options: part.critical_options.clone().into_iter().collect(),
            // By their names, which is not the order of the enum.
            extensions: part
                .extensions
                .iter()
                .map(|extension| extension.as_str().to_owned())
                .collect::<BTreeSet<_>>()
                .into_iter()
                .map(|name| (name, String::new()))
                .collect(),
            ca: ca.clone(),
        };
        let rules =
            Rules { profile: part.profile, longest, extensions: part.extensions, own_keys: &authorities.own, ca, now };
        Prepared::new(draft, &rules, part.principals)
    }
}

static NO_EXTENSIONS: BTreeSet<CertificateExtension> = BTreeSet::new();

/// What differs between the profiles.
struct Part<'a> {
    profile: CertificateProfile,
    key: &'a KeyData,
    key_id: KeyId,
    principals: BTreeSet<Principal>,
    ends: Timestamp,
    critical_options: BTreeMap<String, String>,
    extensions: &'a BTreeSet<CertificateExtension>,
}
