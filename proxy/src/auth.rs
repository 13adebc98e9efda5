//! Which certificates open the front door; and which plain keys are worth the CA's look.
//!
//! russh has verified the certificate's own signature and possession of its key. Everything else is decided here: the
//! checks of PROTOCOL.certkeys, and those that make a person certificate a person's.

use std::net::IpAddr;
use std::sync::Arc;

use model::{IdentityName, KeyId, Principal, RequestId, Timestamp};
use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;
use ssh_key::{Algorithm, Certificate, HashAlg, PublicKey, Signature};

use crate::algorithms;
use crate::pass::Pass;

/// WebAuthn's bit for "user present" (PROTOCOL.u2f).
const USER_PRESENT: u8 = 0x01;

/// Who stands at the door, as their certificate says, or the CA of their plain key.
#[derive(Clone, Debug)]
pub(crate) struct Person {
    /// The identity.
    pub(crate) identity: IdentityName,
    /// What they showed.
    pub(crate) shown: Shown,
    /// Until when it lets them stay (exclusive).
    pub(crate) valid_before: Timestamp,
    /// The grant under which it was issued.
    pub(crate) grant: Option<RequestId>,
}

/// What somebody showed, and what came of it.
#[derive(Clone, Debug)]
pub(crate) enum Shown {
    /// A certificate, in the OpenSSH one-line form.
    Certificate(String),
    /// A plain key: the pass that their log-in bought.
    Key(Arc<Pass>),
}

/// Why a certificate opens nothing, in words for the person.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum CertificateRefused {
    #[error("it is no user certificate")]
    Type,
    #[error("it was signed by a key that is not this site's CA")]
    Authority,
    #[error("its CA signature is of a kind that is not accepted")]
    Signature,
    #[error("it has expired")]
    Expired,
    #[error("it is not valid yet")]
    Early,
    #[error("its dates make no sense")]
    Dates,
    #[error("it must name exactly one identity")]
    Principals,
    #[error("it has the critical option \"{0}\", which has no meaning here")]
    Option(String),
    #[error("it is not good from this address")]
    Address,
    #[error("it cannot be written down again")]
    Encoding,
    #[error("its security key was not touched")]
    Touch,
}

/// The keys that may sign person certificates.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Authorities(Vec<KeyData>);

impl Authorities {
    /// Reads `TrustedUserCAKeys` text: one key a line.
    ///
    /// # Errors
    /// A line is no public key, or there is none.
    pub(crate) fn parse(text: &str) -> Result<Self, ssh_key::Error> {
        let keys: Vec<KeyData> = text
            .lines()
            .map(str::trim)
            .filter(|line| !line.is_empty() && !line.starts_with('#'))
            .map(|line| PublicKey::from_openssh(line).map(|key| key.key_data().clone()))
            .collect::<Result<_, _>>()?;
        if keys.is_empty() { Err(ssh_key::Error::PublicKey) } else { Ok(Self(keys)) }
    }

    /// Their SHA-256 fingerprints.
    pub(crate) fn fingerprints(&self) -> Vec<String> {
        self.0.iter().map(|key| key.fingerprint(HashAlg::Sha256).to_string()).collect()
    }

    /// Whether this is the key that signs now: the first. Others are trusted while one takes the place of another.
    pub(crate) fn signs(&self, key: &KeyData) -> bool {
        self.0.first() == Some(key)
    }

    /// Whether this key, and not only one with its fingerprint, is among them.
    pub(crate) fn contains(&self, key: &KeyData) -> bool {
        self.0.contains(key)
    }
}

/// Checks a person certificate that is shown from `address`.
pub(crate) fn check(
    certificate: &Certificate,
    authorities: &Authorities,
    now: Timestamp,
    address: IpAddr,
) -> Result<Person, CertificateRefused> {
    if certificate.cert_type() != CertType::User {
        return Err(CertificateRefused::Type);
    }
    check_signed(certificate, authorities, now)?;
    let identity = match certificate.valid_principals() {
        [only] => match only.parse() {
            Ok(Principal::Identity(identity)) => identity,
            Ok(Principal::Login(..) | Principal::Host(_)) | Err(_) => return Err(CertificateRefused::Principals),
        },
        _ => return Err(CertificateRefused::Principals),
    };
    for (name, value) in certificate.critical_options().iter() {
        match name.as_str() {
            "source-address" if allows(value, address) => {}
            "source-address" => return Err(CertificateRefused::Address),
            other => return Err(CertificateRefused::Option(other.chars().take(64).collect())),
        }
    }
    let valid_before = Timestamp::from_seconds(certificate.valid_before());
    // What is no key id of ours tells nothing here; the CA reads it again when a session is asked for.
    let grant = certificate.key_id().parse::<KeyId>().ok().and_then(|id| id.request().cloned());
    let shown = Shown::Certificate(certificate.to_openssh().map_err(|_| CertificateRefused::Encoding)?);
    Ok(Person { identity, shown, valid_before, grant })
}

/// Whether a plain key, used with this algorithm, may be asked to sign: of a kind that the CA takes, and of a size that a
/// stranger may have us compute with. Nothing is said by it of whether anybody knows the key.
pub(crate) fn may_sign(key: &KeyData, algorithm: &Algorithm) -> bool {
    let Some(rsa) = key.rsa() else {
        return key.is_ed25519() || key.is_ecdsa() || key.is_sk_ed25519() || key.is_sk_ecdsa_p256();
    };
    let bytes = rsa.n().as_positive_bytes().map_or(0, <[u8]>::len);
    (256..=1024).contains(&bytes) && algorithms::is_sound_for_a_ca(algorithm)
}

/// Checks what a user and a host certificate have in common: who signed it, how, and for when.
pub(crate) fn check_signed(
    certificate: &Certificate,
    authorities: &Authorities,
    now: Timestamp,
) -> Result<(), CertificateRefused> {
    let authority = certificate.signature_key();
    if !authorities.contains(authority) {
        return Err(CertificateRefused::Authority);
    }
    if !algorithms::is_sound_for_a_ca(&certificate.signature().algorithm()) {
        return Err(CertificateRefused::Signature);
    }
    // Dates beyond this read as "for ever" in places.
    let sane = |seconds: u64| i64::try_from(seconds).is_ok();
    if !sane(certificate.valid_after()) || !sane(certificate.valid_before()) {
        return Err(CertificateRefused::Dates);
    }
    if now.seconds() < certificate.valid_after() {
        return Err(CertificateRefused::Early);
    }
    if now.seconds() >= certificate.valid_before() {
        return Err(CertificateRefused::Expired);
    }
    certificate
        .validate_at(now.seconds(), [&authority.fingerprint(HashAlg::Sha256)])
        .map_err(|_| CertificateRefused::Signature)
}

/// Refuses a signature that a security key made without being touched. No certificate of ours excuses it from that; and
/// russh leaves what a verified signature says of it to us.
pub(crate) fn check_touch(signature: &[u8]) -> Result<(), CertificateRefused> {
    let signature = Signature::try_from(signature).map_err(|_| CertificateRefused::Encoding)?;
    if ![Algorithm::SkEd25519, Algorithm::SkEcdsaSha2NistP256].contains(&signature.algorithm()) {
        return Ok(());
    }
    match signature.as_bytes().split_last_chunk::<5>() {
        Some((_, [flags, ..])) if flags & USER_PRESENT != 0 => Ok(()),
        Some(_) | None => Err(CertificateRefused::Touch),
    }
}

/// Whether a `source-address` list (addresses and CIDR blocks, comma-separated) holds this address. What cannot be
/// read allows nobody.
pub(crate) fn allows(list: &str, address: IpAddr) -> bool {
    let address = address.to_canonical();
    list.split(',').any(|entry| match entry.split_once('/') {
        None => entry.parse::<IpAddr>().is_ok_and(|entry| entry.to_canonical() == address),
        Some((network, bits)) => match (network.parse::<IpAddr>(), bits.parse::<u32>()) {
            (Ok(network), Ok(bits)) => in_network(network, bits, address),
            _ => false,
        },
    })
}

fn in_network(network: IpAddr, bits: u32, address: IpAddr) -> bool {
    match (network, address) {
        (IpAddr::V4(network), IpAddr::V4(address)) if bits <= 32 => {
            let mask = u32::MAX.checked_shl(32 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        (IpAddr::V6(network), IpAddr::V6(address)) if bits <= 128 => {
            let mask = u128::MAX.checked_shl(128 - bits).unwrap_or(0);
            network.to_bits() & mask == address.to_bits() & mask
        }
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use ssh_key::certificate::Builder;
    use ssh_key::private::Ed25519Keypair;
    use ssh_key::{PrivateKey, private::KeypairData};

    use super::*;

    const NOW: u64 = 1_700_000_000;

    fn key(seed: u8) -> PrivateKey {
        PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32])), "").unwrap()
    }

    struct Plan {
        kind: CertType,
        ca: u8,
        principals: &'static [&'static str],
        after: u64,
        before: u64,
        options: &'static [(&'static str, &'static str)],
    }

    impl Default for Plan {
        fn default() -> Self {
            Self {
                kind: CertType::User,
                ca: 1,
                principals: &["identity:alice"],
                after: NOW - 60,
                before: NOW + 60,
                options: &[],
            }
        }
    }

    fn make(plan: &Plan) -> Certificate {
        let mut builder =
            Builder::new(vec![7; 32], key(9).public_key().key_data().clone(), plan.after, plan.before).unwrap();
        builder.cert_type(plan.kind).unwrap().serial(1).unwrap().key_id("req-000000000001").unwrap();
        for principal in plan.principals {
            builder.valid_principal(*principal).unwrap();
        }
        if plan.principals.is_empty() {
            builder.all_principals_valid().unwrap();
        }
        for (name, value) in plan.options {
            builder.critical_option(*name, *value).unwrap();
        }
        builder.sign(&key(plan.ca)).unwrap()
    }

    fn judge(plan: &Plan) -> Result<Person, CertificateRefused> {
        let authorities = Authorities::parse(&key(1).public_key().to_openssh().unwrap()).unwrap();
        check(&make(plan), &authorities, Timestamp::from_seconds(NOW), "192.0.2.7".parse().unwrap())
    }

    #[test]
    fn a_person_certificate_opens_the_door() {
        let person = judge(&Plan::default()).unwrap();
        assert_eq!(person.identity.as_str(), "alice");
        let Shown::Certificate(certificate) = &person.shown else { panic!("{person:?}") };
        assert!(certificate.starts_with("ssh-ed25519-cert-v01@openssh.com "));
        for list in ["192.0.2.7", "10.0.0.0/8,192.0.2.0/24", "0.0.0.0/0"] {
            let options: &'static [_] = Box::leak(Box::new([("source-address", list)]));
            assert!(judge(&Plan { options, ..Plan::default() }).is_ok(), "{list}");
        }
    }

    #[test]
    fn every_other_certificate_is_refused() {
        use CertificateRefused as R;
        let cases = [
            (Plan { kind: CertType::Host, ..Plan::default() }, R::Type),
            (Plan { ca: 2, ..Plan::default() }, R::Authority),
            (Plan { principals: &[], ..Plan::default() }, R::Principals),
            (Plan { principals: &["alice"], ..Plan::default() }, R::Principals),
            (Plan { principals: &["root@web1"], ..Plan::default() }, R::Principals),
            (Plan { principals: &["identity:alice", "identity:bob"], ..Plan::default() }, R::Principals),
            (Plan { after: NOW + 1, ..Plan::default() }, R::Early),
            (Plan { before: NOW, ..Plan::default() }, R::Expired),
            (Plan { options: &[("force-command", "id")], ..Plan::default() }, R::Option("force-command".into())),
            (Plan { options: &[("verify-required", "")], ..Plan::default() }, R::Option("verify-required".into())),
            (Plan { options: &[("source-address", "192.0.2.8")], ..Plan::default() }, R::Address),
            (Plan { options: &[("source-address", "192.0.2.0/99")], ..Plan::default() }, R::Address),
            (Plan { options: &[("source-address", "")], ..Plan::default() }, R::Address),
        ];
        for (at, (plan, expected)) in cases.into_iter().enumerate() {
            assert_eq!(judge(&plan).unwrap_err(), expected, "case {at}");
        }
    }

    #[test]
    fn a_date_at_the_end_of_time_is_refused() {
        let plan = Plan { before: u64::MAX, ..Plan::default() };
        // The builder itself may refuse it; if it does not, we do.
        let made = std::panic::catch_unwind(|| make(&plan));
        if let Ok(certificate) = made {
            let authorities = Authorities::parse(&key(1).public_key().to_openssh().unwrap()).unwrap();
            let now = Timestamp::from_seconds(NOW);
            let refused = check(&certificate, &authorities, now, "192.0.2.7".parse().unwrap()).unwrap_err();
            assert_eq!(refused, CertificateRefused::Dates);
        }
    }

    #[test]
    fn a_security_key_must_have_been_touched() {
        let signature = |algorithm: Algorithm, end: &[u8]| {
            let data = [&[7; 64][..], end].concat();
            Vec::<u8>::try_from(Signature::new(algorithm, data).unwrap()).unwrap()
        };
        for (flags, touched) in [(0, false), (1, true), (4, false), (5, true)] {
            let judged = check_touch(&signature(Algorithm::SkEd25519, &[flags, 0, 0, 0, 1]));
            assert_eq!(judged.is_ok(), touched, "{flags}");
        }
        assert!(check_touch(&signature(Algorithm::Ed25519, &[])).is_ok());
        assert_eq!(check_touch(b"nonsense"), Err(CertificateRefused::Encoding));
    }

    #[test]
    fn mapped_addresses_match_their_plain_form() {
        assert!(allows("192.0.2.0/24", "::ffff:192.0.2.9".parse().unwrap()));
        assert!(allows("2001:db8::/32", "2001:db8::1".parse().unwrap()));
        assert!(!allows("2001:db8::/32", "2001:db9::1".parse().unwrap()));
        assert!(allows("::/0", "2001:db9::1".parse().unwrap()));
    }
}
