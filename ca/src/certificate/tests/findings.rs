//! Every rule of the linter is broken by itself, and found by itself.

use super::*;

type Change = fn(&mut Draft);

/// A good draft and the rules that it keeps.
fn good(profile: CertificateProfile) -> Prepared {
    let key = public(9);
    match profile {
        CertificateProfile::Person => person_of(&key, minutes(30)).unwrap(),
        CertificateProfile::Session => session_of(&key, &[CertificateExtension::Pty], Some("uptime")),
        CertificateProfile::Host => host_of(&key),
        CertificateProfile::Front => front_of(&key),
    }
}

fn findings(profile: CertificateProfile, change: Change) -> Vec<Finding> {
    let mut draft = good(profile).draft;
    change(&mut draft);
    let authorities = authorities();
    let extensions = match profile {
        CertificateProfile::Person | CertificateProfile::Session => BTreeSet::from([CertificateExtension::Pty]),
        CertificateProfile::Host | CertificateProfile::Front => BTreeSet::new(),
    };
    let ca = match profile {
        CertificateProfile::Person | CertificateProfile::Session => &authorities.user,
        CertificateProfile::Host => &authorities.host,
        CertificateProfile::Front => &authorities.front,
    };
    // A CA key that is changed in the draft is changed in the rules too, or two rules would be broken.
    let weak_ca = identity::check_key(&draft.ca).is_err().then(|| draft.ca.clone());
    let rules = Rules {
        profile,
        longest: Profiles::default().longest(profile),
        extensions: &extensions,
        own_keys: &authorities.own,
        ca: weak_ca.as_ref().unwrap_or(ca),
        now: NOW,
    };
    match lint(&draft, &rules) {
        Ok(()) => Vec::new(),
        Err(LintError(findings)) => findings,
    }
}

fn fault(principal: &str, fault: PrincipalFault) -> Finding {
    Finding::Principal { shown: format!("{principal:?}"), fault }
}

/// 1,024 bits.
fn weak() -> KeyData {
    let number = |bytes: &[u8]| ssh_key::Mpint::from_positive_bytes(bytes);
    KeyData::Rsa(ssh_key::public::RsaPublicKey::new(number(&[1, 0, 1]), number(&[0xff; 128])).unwrap())
}

#[test]
fn good_drafts_have_no_findings() {
    use CertificateProfile::{Front, Host, Person, Session};
    for profile in [Person, Session, Host, Front] {
        assert_eq!(findings(profile, |_| ()), [], "{profile}");
    }
}

#[test]
fn each_rule_is_broken_by_itself() {
    use CertificateProfile::{Front, Host, Person, Session};
    let short = identity::KeyError::Short { bits: 1024 };
    let cases: Vec<(CertificateProfile, Change, Finding)> = vec![
        (Person, |d| d.nonce.truncate(31), Finding::NonceLength(31)),
        (Person, |d| d.nonce.fill(0), Finding::NonceConstant),
        (Person, |d| d.serial = 0, Finding::SerialZero),
        (Person, |d| d.serial = 1 << 53, Finding::SerialLarge(1 << 53)),
        (Person, |d| d.kind = CertType::Host, Finding::Type),
        (Session, |d| d.kind = CertType::Host, Finding::Type),
        (Host, |d| d.kind = CertType::User, Finding::Type),
        (Front, |d| d.kind = CertType::User, Finding::Type),
        (Person, |d| d.key_id = "k".repeat(257), Finding::KeyIdLong(257)),
        (Person, |d| d.key_id.push('\u{1b}'), Finding::KeyIdCharacter),
        (Person, |d| d.key_id.push('ä'), Finding::KeyIdCharacter),
        (Person, |d| d.key_id.clear(), Finding::KeyId),
        (Person, |d| d.key_id = d.key_id.replace("serial=4242", "serial=4243"), Finding::KeyId),
        (Session, |d| d.key_id = good(Person).draft.key_id, Finding::KeyId),
        (Host, |d| d.key_id = good(Front).draft.key_id, Finding::KeyId),
        (Front, |d| d.key_id = good(Host).draft.key_id, Finding::KeyId),
        (Person, |d| d.principals.clear(), Finding::NoPrincipal),
        (Session, |d| d.principals.clear(), Finding::NoPrincipal),
        (Host, |d| d.principals.clear(), Finding::NoPrincipal),
        (Front, |d| d.principals.clear(), Finding::NoPrincipal),
        (Front, |d| d.principals.push("*".into()), fault("*", PrincipalFault::Wildcard)),
        (Front, |d| d.principals.push("root@web1".into()), fault("root@web1", PrincipalFault::Form)),
        (Host, |d| d.principals = (0..257).map(|n| format!("h{n}")).collect(), Finding::ManyPrincipals(257)),
        (Person, |d| d.principals.push("identity:bob".into()), Finding::MorePrincipals),
        (Session, |d| d.principals.push("root@web2".into()), Finding::MorePrincipals),
        (Host, |d| d.principals.push("web1".into()), Finding::SamePrincipal),
        (Host, |d| d.principals.push(String::new()), fault("", PrincipalFault::Empty)),
        (Host, |d| d.principals.push("*".into()), fault("*", PrincipalFault::Wildcard)),
        (Host, |d| d.principals.push("web?".into()), fault("web?", PrincipalFault::Wildcard)),
        (Host, |d| d.principals.push("!web9".into()), fault("!web9", PrincipalFault::Wildcard)),
        (Host, |d| d.principals.push("a,b".into()), fault("a,b", PrincipalFault::Comma)),
        (Host, |d| d.principals.push("a b".into()), fault("a b", PrincipalFault::Character)),
        (Host, |d| d.principals.push("a\0".into()), fault("a\0", PrincipalFault::Character)),
        (Host, |d| d.principals.push("ä".into()), fault("ä", PrincipalFault::Character)),
        (Host, |d| d.principals.push("root@web1".into()), fault("root@web1", PrincipalFault::Form)),
        (Person, |d| d.principals = vec!["root".into()], fault("root", PrincipalFault::Form)),
        (Person, |d| d.principals = vec!["root@web1".into()], fault("root@web1", PrincipalFault::Form)),
        (Session, |d| d.principals = vec!["identity:alice".into()], fault("identity:alice", PrincipalFault::Form)),
        (Session, |d| d.principals = vec!["root".into()], fault("root", PrincipalFault::Form)),
        (Person, |d| d.valid_after = NOW.seconds() + 1, Finding::NotYet),
        (Person, |d| d.valid_after = NOW.seconds() - 61, Finding::Backdated(61)),
        (Person, |d| d.valid_before = d.valid_after, Finding::Window),
        (Person, |d| d.valid_before = NOW.seconds(), Finding::Expired),
        (Person, |d| d.valid_before = NOW.seconds() + 3601, long(3601, Person)),
        (Session, |d| d.valid_before = NOW.seconds() + 121, long(121, Session)),
        (Host, |d| d.valid_before = NOW.seconds() + 30 * 86_400 + 1, long(30 * 86_400 + 1, Host)),
        (Front, |d| d.valid_before = NOW.seconds() + 86_401, long(86_401, Front)),
        (Host, |d| d.valid_before = u64::MAX, long(u64::MAX - NOW.seconds(), Host)),
        (Session, |d| d.critical_options.reverse(), Finding::Order("critical options")),
        (Session, |d| d.critical_options.push(d.critical_options[1].clone()), Finding::Order("critical options")),
        (Session, |d| d.critical_options.push(option("verify-required", "")), unknown("verify-required")),
        (Session, |d| d.critical_options.push(option("zzz", "")), unknown("zzz")),
        (Person, |d| d.critical_options.push(option("source-address", "10.0.0.1/32")), forbidden("source-address")),
        (Person, |d| d.critical_options.push(option("force-command", "id")), forbidden("force-command")),
        (Host, |d| d.critical_options.push(option("force-command", "id")), forbidden("force-command")),
        (Session, |d| d.critical_options.truncate(1), Finding::NoSource),
        (Session, |d| d.critical_options[1].1 = "0.0.0.0/0".into(), source("0.0.0.0/0")),
        (Session, |d| d.critical_options[1].1 = "10.1.2.3".into(), source("10.1.2.3")),
        (Session, |d| d.critical_options[1].1 = String::new(), source("")),
        (Session, |d| d.critical_options[0].1 = String::new(), Finding::Command),
        (Session, |d| d.critical_options[0].1 = "id\0".into(), Finding::Command),
        (Session, |d| d.critical_options[0].1 = "x".repeat(8193), Finding::Command),
        (Session, |d| d.extensions.push(option("permit-user-rc", "")), extension("permit-user-rc")),
        (Session, |d| d.extensions.push(option("zzz@example.org", "")), extension("zzz@example.org")),
        (Person, |d| d.extensions.push(option("permit-user-rc", "")), extension("permit-user-rc")),
        (Host, |d| d.extensions.push(option("permit-pty", "")), extension("permit-pty")),
        (Front, |d| d.extensions.push(option("permit-pty", "")), extension("permit-pty")),
        (Person, |d| d.extensions.push(option("permit-pty", "")), Finding::Order("extensions")),
        (Person, |d| d.extensions[0].1 = "x".into(), Finding::ExtensionValue("\"permit-pty\"".into())),
        (Person, |d| d.key = weak(), Finding::Key(short.clone())),
        (Person, |d| d.key = public(USER_CA), Finding::OwnKey),
        (Person, |d| d.key = public(HOST_CA), Finding::OwnKey),
        (Host, |d| d.key = public(3), Finding::OwnKey),
        (Person, |d| d.ca = public(HOST_CA), Finding::Authority),
        (Host, |d| d.ca = public(USER_CA), Finding::Authority),
        // What proxies show to people and what targets show to proxies never come from one key.
        (Host, |d| d.ca = public(FRONT_CA), Finding::Authority),
        (Front, |d| d.ca = public(HOST_CA), Finding::Authority),
        (Front, |d| d.ca = public(USER_CA), Finding::Authority),
        (Front, |d| d.key = public(FRONT_CA), Finding::OwnKey),
        (Person, |d| d.ca = weak(), Finding::AuthorityKey(short)),
    ];
    let mut met = BTreeSet::new();
    for (profile, change, finding) in cases {
        assert_eq!(findings(profile, change), std::slice::from_ref(&finding), "{profile}");
        assert!(!finding.to_string().is_empty());
        met.insert(number(&finding));
    }
    assert_eq!(met, (0..NUMBERS).collect(), "a rule without a test");
}

fn option(name: &str, value: &str) -> (String, String) {
    (name.to_owned(), value.to_owned())
}

fn unknown(name: &str) -> Finding {
    Finding::CriticalUnknown(format!("{name:?}"))
}

fn forbidden(name: &str) -> Finding {
    Finding::CriticalForbidden(name.to_owned())
}

fn source(text: &str) -> Finding {
    Finding::Source(format!("{text:?}"))
}

fn extension(name: &str) -> Finding {
    Finding::Extension(format!("{name:?}"))
}

fn long(seconds: u64, profile: CertificateProfile) -> Finding {
    Finding::Long { seconds, longest: Profiles::default().longest(profile) }
}

const NUMBERS: usize = 34;

/// Each kind of finding has a number, so that a new one without a test is seen.
fn number(finding: &Finding) -> usize {
    match finding {
        Finding::NonceLength(_) => 0,
        Finding::NonceConstant => 1,
        Finding::SerialZero => 2,
        Finding::SerialLarge(_) => 3,
        Finding::Type => 4,
        Finding::KeyIdLong(_) => 5,
        Finding::KeyIdCharacter => 6,
        Finding::KeyId => 7,
        Finding::NoPrincipal => 8,
        Finding::ManyPrincipals(_) => 9,
        Finding::Principal { fault: PrincipalFault::Empty, .. } => 10,
        Finding::Principal { fault: PrincipalFault::Wildcard, .. } => 11,
        Finding::Principal { fault: PrincipalFault::Comma, .. } => 12,
        Finding::Principal { fault: PrincipalFault::Character, .. } => 13,
        Finding::Principal { fault: PrincipalFault::Form, .. } => 14,
        Finding::SamePrincipal => 15,
        Finding::MorePrincipals => 16,
        Finding::NotYet => 17,
        Finding::Backdated(_) => 18,
        Finding::Window => 19,
        Finding::Expired => 20,
        Finding::Long { .. } => 21,
        Finding::Order(_) => 22,
        Finding::CriticalUnknown(_) => 23,
        Finding::CriticalForbidden(_) => 24,
        Finding::NoSource => 25,
        Finding::Source(_) => 26,
        Finding::Command => 27,
        Finding::Extension(_) => 28,
        Finding::ExtensionValue(_) => 29,
        Finding::Key(_) => 30,
        Finding::OwnKey => 31,
        Finding::Authority => 32,
        Finding::AuthorityKey(_) => 33,
    }
}
