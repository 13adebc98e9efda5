//! The linter: everything that a certificate of ours may never be, looked for in what is about to be signed.

use std::collections::BTreeSet;

use model::{CertificateExtension, CertificateProfile, KeyId, Principal, Span, Timestamp};
use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;

use super::{BACKDATE, Draft, SourceAddresses};

/// The longest forced command. sshd takes certificates of up to 256 KiB, other readers of far less.
const COMMAND_LIMIT: usize = 8192;

/// What a certificate is held against.
#[derive(Clone, Debug)]
pub struct Rules<'a> {
    /// What it is to be good for.
    pub profile: CertificateProfile,
    /// The longest that it may be valid, counted from now.
    pub longest: Span,
    /// The extensions that it may have.
    pub extensions: &'a BTreeSet<CertificateExtension>,
    /// The keys of the house, which are never certified.
    pub own_keys: &'a [KeyData],
    /// The CA key that is to sign it.
    pub ca: &'a KeyData,
    /// Now.
    pub now: Timestamp,
}

/// A certificate that may not be signed, with everything that is wrong with it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate may not be signed: {}", .0.iter().map(ToString::to_string).collect::<Vec<_>>().join("; "))]
pub struct LintError(pub Vec<Finding>);

/// One thing that is wrong with a certificate.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Finding {
    /// A nonce is 32 random bytes.
    #[error("its nonce has {0} bytes instead of 32")]
    NonceLength(usize),
    /// A source of randomness that does not work.
    #[error("its nonce is one byte repeated: the source of randomness is broken")]
    NonceConstant,
    /// Revocation lists ignore 0.
    #[error("its serial is 0")]
    SerialZero,
    /// The ledger's JSON could not carry it exactly.
    #[error("its serial {0} has more than 53 bits")]
    SerialLarge(u64),
    /// A user certificate for a host, or the other way round.
    #[error("it is of the wrong type for its profile")]
    Type,
    /// Over 256 bytes.
    #[error("its key id has {0} bytes; {limit} are the most", limit = KeyId::LIMIT)]
    KeyIdLong(usize),
    /// A control character or one outside of ASCII, which would reach the targets' logs.
    #[error("its key id is not printable ASCII")]
    KeyIdCharacter,
    /// Not what a key id of this profile and serial says.
    #[error("its key id does not say its profile and its serial")]
    KeyId,
    /// OpenSSH takes such a certificate for every name, in places (CVE-2024-7594).
    #[error("it has no principal")]
    NoPrincipal,
    /// sshd's own bound.
    #[error("it has {0} principals; 256 are the most")]
    ManyPrincipals(usize),
    /// A principal that must not be there.
    #[error("its principal {shown} {fault}")]
    Principal {
        /// The principal, escaped.
        shown: String,
        /// What is wrong with it.
        fault: PrincipalFault,
    },
    /// One principal twice.
    #[error("a principal occurs twice")]
    SamePrincipal,
    /// A certificate for a person or a session has exactly one.
    #[error("it has more than the one principal of its profile")]
    MorePrincipals,
    /// It would begin later than now.
    #[error("it would not be valid yet")]
    NotYet,
    /// It would begin further back than the allowance for clocks.
    #[error("it would begin {0} s in the past; {most} s are the most", most = BACKDATE.seconds())]
    Backdated(u64),
    /// It would end before it begins.
    #[error("it would end before it begins")]
    Window,
    /// It would have ended: sshd takes the moment of `valid_before` as expired.
    #[error("it would have expired already")]
    Expired,
    /// It would live longer than its profile allows.
    #[error("it would live {seconds} s; its profile allows {longest}")]
    Long {
        /// For how long from now.
        seconds: u64,
        /// For how long at most.
        longest: Span,
    },
    /// Options must be in order, each once, or OpenSSH refuses the certificate.
    #[error("its {0} are not in order, each once")]
    Order(&'static str),
    /// A critical option that OpenSSH does not know, so that nobody could log in.
    #[error("its critical option {0} is not known")]
    CriticalUnknown(String),
    /// A critical option where its profile has none.
    #[error("its profile has no critical option {0}")]
    CriticalForbidden(String),
    /// A session certificate that could be used from anywhere.
    #[error("it has no source-address")]
    NoSource,
    /// A source address that OpenSSH would refuse, or that pins nothing.
    #[error("its source-address {0} is refused")]
    Source(String),
    /// A forced command that is empty, holds a NUL, or is longer than a certificate should be.
    #[error("its force-command is empty, holds a NUL, or has more than {COMMAND_LIMIT} bytes")]
    Command,
    /// An extension outside of the allow-list.
    #[error("its extension {0} is not allowed")]
    Extension(String),
    /// An extension with a value; ours have none.
    #[error("its extension {0} has a value")]
    ExtensionValue(String),
    /// The key to be certified is not good enough.
    #[error("its key is refused: {0}")]
    Key(identity::KeyError),
    /// A key of the house is never certified.
    #[error("its key is one of this CA's own")]
    OwnKey,
    /// Not the CA key that belongs to the profile.
    #[error("it names another CA key than the one of its profile")]
    Authority,
    /// The CA key is not good enough, or a certificate.
    #[error("the CA key is refused: {0}")]
    AuthorityKey(identity::KeyError),
}

/// What is wrong with a principal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PrincipalFault {
    /// Nothing there.
    #[error("is empty")]
    Empty,
    /// `*`, `?` or `!`: a pattern where a name belongs.
    #[error("holds a wildcard")]
    Wildcard,
    /// A comma: one principal that some read as two.
    #[error("holds a comma")]
    Comma,
    /// White space, a control character, or a character outside of ASCII.
    #[error("holds white space or a character that is not plain")]
    Character,
    /// Not the form of principal that its profile has.
    #[error("is not of the form that its profile has")]
    Form,
}

/// Looks for everything that is wrong.
///
/// # Errors
/// All findings at once.
pub fn lint(draft: &Draft, rules: &Rules<'_>) -> Result<(), LintError> {
    let mut findings = Vec::new();
    numbers(draft, rules, &mut findings);
    principals(draft, rules, &mut findings);
    window(draft, rules, &mut findings);
    critical_options(draft, rules, &mut findings);
    extensions(draft, rules, &mut findings);
    keys(draft, rules, &mut findings);
    if findings.is_empty() { Ok(()) } else { Err(LintError(findings)) }
}

fn numbers(draft: &Draft, rules: &Rules<'_>, findings: &mut Vec<Finding>) {
    if draft.nonce.len() != 32 {
        findings.push(Finding::NonceLength(draft.nonce.len()));
    } else if draft.nonce.windows(2).all(|pair| matches!(pair, [a, b] if a == b)) {
        findings.push(Finding::NonceConstant);
    }
    if draft.serial == 0 {
        findings.push(Finding::SerialZero);
    } else if draft.serial >= 1 << 53 {
        findings.push(Finding::SerialLarge(draft.serial));
    }
    let wanted = match rules.profile {
        CertificateProfile::Person | CertificateProfile::Session => CertType::User,
        CertificateProfile::Host | CertificateProfile::Front => CertType::Host,
    };
    if draft.kind != wanted {
        findings.push(Finding::Type);
    }
    if draft.key_id.len() > KeyId::LIMIT {
        findings.push(Finding::KeyIdLong(draft.key_id.len()));
    } else if !draft.key_id.bytes().all(|byte| (0x20..0x7f).contains(&byte)) {
        findings.push(Finding::KeyIdCharacter);
    } else {
        let says = |id: KeyId| id.profile() == rules.profile && id.serial().get() == draft.serial;
        // A wrong serial is reported as such; the key id cannot say it.
        let serial_is_sane = (1..1 << 53).contains(&draft.serial);
        if serial_is_sane && !draft.key_id.parse().is_ok_and(says) {
            findings.push(Finding::KeyId);
        }
    }
}

fn principals(draft: &Draft, rules: &Rules<'_>, findings: &mut Vec<Finding>) {
    let count = draft.principals.len();
    match (count, rules.profile) {
        (0, _) => findings.push(Finding::NoPrincipal),
        (257.., _) => findings.push(Finding::ManyPrincipals(count)),
        (2.., CertificateProfile::Person | CertificateProfile::Session) => findings.push(Finding::MorePrincipals),
        (
            _,
            CertificateProfile::Person
            | CertificateProfile::Session
            | CertificateProfile::Host
            | CertificateProfile::Front,
        ) => {}
    }
    if draft.principals.iter().collect::<BTreeSet<_>>().len() != count {
        findings.push(Finding::SamePrincipal);
    }
    for principal in &draft.principals {
        if let Some(fault) = principal_fault(principal, rules.profile) {
            let shown = format!("{:?}", principal.chars().take(64).collect::<String>());
            findings.push(Finding::Principal { shown, fault });
        }
    }
}

fn principal_fault(principal: &str, profile: CertificateProfile) -> Option<PrincipalFault> {
    if principal.is_empty() {
        return Some(PrincipalFault::Empty);
    }
    if principal.contains(['*', '?', '!']) {
        return Some(PrincipalFault::Wildcard);
    }
    if principal.contains(',') {
        return Some(PrincipalFault::Comma);
    }
    if !principal.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Some(PrincipalFault::Character);
    }
    let formed = match principal.parse::<Principal>() {
        Ok(Principal::Identity(_)) => profile == CertificateProfile::Person,
        Ok(Principal::Login(..)) => profile == CertificateProfile::Session,
        Ok(Principal::Host(_)) => matches!(profile, CertificateProfile::Host | CertificateProfile::Front),
        Err(_) => false,
    };
    if formed { None } else { Some(PrincipalFault::Form) }
}

fn window(draft: &Draft, rules: &Rules<'_>, findings: &mut Vec<Finding>) {
    let now = rules.now.seconds();
    let backdated = now.saturating_sub(draft.valid_after);
    if draft.valid_after > now {
        findings.push(Finding::NotYet);
    } else if backdated > u64::from(BACKDATE.seconds()) {
        findings.push(Finding::Backdated(backdated));
    }
    if draft.valid_before <= draft.valid_after {
        findings.push(Finding::Window);
    } else if draft.valid_before <= now {
        findings.push(Finding::Expired);
    }
    let seconds = draft.valid_before.saturating_sub(now);
    if seconds > u64::from(rules.longest.seconds()) {
        findings.push(Finding::Long { seconds, longest: rules.longest });
    }
}

fn critical_options(draft: &Draft, rules: &Rules<'_>, findings: &mut Vec<Finding>) {
    if !in_order(&draft.critical_options) {
        findings.push(Finding::Order("critical options"));
    }
    let session = rules.profile == CertificateProfile::Session;
    for (name, value) in &draft.critical_options {
        match name.as_str() {
            "source-address" | "force-command" if !session => findings.push(Finding::CriticalForbidden(name.clone())),
            "source-address" => {
                if !value.parse::<SourceAddresses>().is_ok_and(|list| list.to_string() == *value) {
                    findings.push(Finding::Source(format!("{value:?}")));
                }
            }
            "force-command" => {
                if value.is_empty() || value.contains('\0') || value.len() > COMMAND_LIMIT {
                    findings.push(Finding::Command);
                }
            }
            _ => findings.push(Finding::CriticalUnknown(format!("{name:?}"))),
        }
    }
    if session && !draft.critical_options.iter().any(|(name, _)| name == "source-address") {
        findings.push(Finding::NoSource);
    }
}

fn extensions(draft: &Draft, rules: &Rules<'_>, findings: &mut Vec<Finding>) {
    if !in_order(&draft.extensions) {
        findings.push(Finding::Order("extensions"));
    }
    for (name, value) in &draft.extensions {
        let known = name.parse::<CertificateExtension>();
        // A host's and a proxy's list is empty, so everything is refused there.
        if !known.is_ok_and(|known| rules.extensions.contains(&known)) {
            findings.push(Finding::Extension(format!("{name:?}")));
        }
        if !value.is_empty() {
            findings.push(Finding::ExtensionValue(format!("{name:?}")));
        }
    }
}

fn keys(draft: &Draft, rules: &Rules<'_>, findings: &mut Vec<Finding>) {
    if let Err(error) = identity::check_key(&draft.key) {
        findings.push(Finding::Key(error));
    }
    if draft.key == draft.ca || rules.own_keys.contains(&draft.key) {
        findings.push(Finding::OwnKey);
    }
    if draft.ca != *rules.ca {
        findings.push(Finding::Authority);
    }
    if let Err(error) = identity::check_key(&draft.ca) {
        findings.push(Finding::AuthorityKey(error));
    }
}

fn in_order(options: &[(String, String)]) -> bool {
    options.iter().map(|(name, _)| name).is_sorted_by(|a, b| a < b)
}
