//! Whether a host is the target that it should be. Nothing is trusted on first use.
//!
//! Where the directory pins host keys, one of those and no other passes, whoever certified another: the pin excludes the
//! host CA. Where it pins none, only a certificate of the host CA for the target's name passes. What proxies show to
//! people is signed by another key than the host CA's, so no proxy can be a target to another.

use model::{Principal, TargetName, Timestamp};
use russh::keys::PublicKeyOrCertificate;
use ssh_key::certificate::CertType;
use ssh_key::public::KeyData;
use ssh_key::{Certificate, HashAlg};

use crate::auth::{self, Authorities, CertificateRefused};

/// How a target proves that it is the right one.
#[derive(Clone, Debug)]
pub(crate) struct HostTrust {
    /// The host CA.
    pub(crate) authorities: Authorities,
    /// Pinned keys. When there are any, nothing else counts.
    pub(crate) pinned: Vec<KeyData>,
}

/// Why a host is not believed to be the target. The person's credentials were not shown to it.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HostRefused {
    #[error("the host key of {target} ({shown}) is neither certified by this site's host CA nor pinned")]
    Unknown { target: TargetName, shown: String },
    #[error("the host key of {target} is {shown}, and not the pinned {pinned}")]
    Changed { target: TargetName, shown: String, pinned: String },
    #[error("{target} has no host key of the pinned kind ({pinned})")]
    Kind { target: TargetName, pinned: String },
    #[error("the host certificate of {target} is signed by {signer}, which is not this site's host CA")]
    Signer { target: TargetName, signer: String },
    #[error("the host certificate of {target} ended at {at}")]
    Expired { target: TargetName, at: Timestamp },
    #[error("the host certificate of {target} begins at {at}, which is yet to come")]
    Early { target: TargetName, at: Timestamp },
    #[error("the host certificate that {target} shows is for {names}")]
    Name { target: TargetName, names: String },
    #[error("the host certificate of {target} is refused: {why}")]
    Certificate { target: TargetName, why: String },
}

impl HostTrust {
    /// Holds what a host shows against what it should.
    ///
    /// # Errors
    /// It is not the target, or cannot show that it is.
    pub(crate) fn check(
        &self,
        target: &TargetName,
        shown: &PublicKeyOrCertificate,
        now: Timestamp,
    ) -> Result<(), HostRefused> {
        let key = key(shown);
        if self.pinned.contains(key) {
            // Also within a certificate, whatever that says: the key is what was pinned, and its host has just signed
            // with it.
            return Ok(());
        }
        if !self.pinned.is_empty() {
            let pinned = listed(self.pinned.iter().map(fingerprint));
            return Err(HostRefused::Changed { target: target.clone(), shown: fingerprint(key), pinned });
        }
        match shown {
            PublicKeyOrCertificate::PublicKey { .. } => {
                Err(HostRefused::Unknown { target: target.clone(), shown: fingerprint(key) })
            }
            PublicKeyOrCertificate::Certificate(certificate) => self.check_certificate(target, certificate, now),
        }
    }

    /// The host has no key of a kind that was offered to it: where keys are pinned, this is how a changed one looks.
    pub(crate) fn no_common_kind(&self, target: &TargetName) -> Option<HostRefused> {
        let pinned = listed(self.pinned.iter().map(|key| key.algorithm().as_str().to_owned()));
        (!self.pinned.is_empty()).then(|| HostRefused::Kind { target: target.clone(), pinned })
    }

    fn check_certificate(
        &self,
        target: &TargetName,
        certificate: &Certificate,
        now: Timestamp,
    ) -> Result<(), HostRefused> {
        let target = || target.clone();
        let because = |why: &str| HostRefused::Certificate { target: target(), why: why.to_owned() };
        if certificate.cert_type() != CertType::Host {
            return Err(because("it is no host certificate"));
        }
        if !self.authorities.contains(certificate.signature_key()) {
            let signer = fingerprint(certificate.signature_key());
            return Err(HostRefused::Signer { target: target(), signer });
        }
        auth::check_signed(certificate, &self.authorities, now).map_err(|why| {
            let late =
                matches!(why, CertificateRefused::Early | CertificateRefused::Expired | CertificateRefused::Dates);
            if late { time(target(), certificate, now) } else { because(&why.to_string()) }
        })?;
        if !certificate.critical_options().is_empty() {
            return Err(because("it has critical options, which host certificates never have"));
        }
        let wanted = Principal::Host(target()).to_string();
        if !certificate.valid_principals().contains(&wanted) {
            let names = match certificate.valid_principals() {
                [] => "nobody".to_owned(),
                names => listed(names.iter().map(|name| name.chars().take(64).collect())),
            };
            return Err(HostRefused::Name { target: target(), names });
        }
        Ok(())
    }
}

impl HostRefused {
    /// What to do about it. A person can do nothing but tell; who runs the target can.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Unknown { target, .. } => format!("nothing was sent to it; {}", enrol(target, "enrols it")),
            Self::Changed { target, .. } | Self::Kind { target, .. } => format!(
                "nothing was sent to it. Was {target} installed anew? Then an administrator compares its key there \
                 (ssh-keygen -lf /etc/ssh/ssh_host_ed25519_key.pub) and pins that: portcullis target add {target} \
                 --replace --pin --host-key FILE …. If not, somebody else answers at its address: tell security"
            ),
            Self::Signer { target, .. } => format!(
                "nothing was sent to it. If {target} belongs to this site, {}; if not, somebody else answers at its \
                 address: tell security",
                enrol(target, "enrols it again")
            ),
            Self::Expired { target, .. } => enrol(target, "renews it"),
            Self::Early { .. } => "compare the clocks of this proxy and of the CA (timedatectl)".to_owned(),
            Self::Name { target, .. } => format!(
                "nothing was sent to it. Either the address of {target} in the directory is another server's \
                 (portcullis target list), or it has another name now: {}",
                enrol(target, "enrols it again")
            ),
            Self::Certificate { target, .. } => enrol(target, "gives it a new one"),
        }
    }
}

fn enrol(target: &TargetName, does: &str) -> String {
    format!("an administrator {does}: portcullis target enrol {target} --apply root@{target}")
}

fn time(target: TargetName, certificate: &Certificate, now: Timestamp) -> HostRefused {
    let (after, before) = (certificate.valid_after(), certificate.valid_before());
    if now.seconds() < after {
        HostRefused::Early { target, at: Timestamp::from_seconds(after) }
    } else if now.seconds() >= before {
        HostRefused::Expired { target, at: Timestamp::from_seconds(before) }
    } else {
        HostRefused::Certificate { target, why: "its dates make no sense".to_owned() }
    }
}

/// The key that a host has shown, whatever certifies it.
pub(crate) fn key(shown: &PublicKeyOrCertificate) -> &KeyData {
    match shown {
        PublicKeyOrCertificate::PublicKey { key, .. } => key.key_data(),
        PublicKeyOrCertificate::Certificate(certificate) => certificate.public_key(),
    }
}

fn fingerprint(key: &KeyData) -> String {
    key.fingerprint(HashAlg::Sha256).to_string()
}

fn listed(texts: impl Iterator<Item = String>) -> String {
    texts.take(8).collect::<Vec<_>>().join(", ")
}

#[cfg(test)]
mod tests {
    use ssh_key::certificate::Builder;
    use ssh_key::private::{Ed25519Keypair, KeypairData};
    use ssh_key::{PrivateKey, PublicKey};

    use super::*;

    const NOW: u64 = 1_700_000_000;
    const HOST_CA: u8 = 1;
    const FRONT_CA: u8 = 2;
    const HOST: u8 = 3;
    const OTHER: u8 = 4;

    fn private(seed: u8) -> PrivateKey {
        PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32])), "").unwrap()
    }

    fn public(seed: u8) -> KeyData {
        private(seed).public_key().key_data().clone()
    }

    fn trust(pinned: &[u8]) -> HostTrust {
        let authorities = Authorities::parse(&private(HOST_CA).public_key().to_openssh().unwrap()).unwrap();
        HostTrust { authorities, pinned: pinned.iter().map(|seed| public(*seed)).collect() }
    }

    fn plain(seed: u8) -> PublicKeyOrCertificate {
        PublicKeyOrCertificate::PublicKey { key: PublicKey::from(public(seed)), hash_alg: None }
    }

    struct Plan {
        key: u8,
        ca: u8,
        kind: CertType,
        names: &'static [&'static str],
        window: (u64, u64),
    }

    const GOOD: Plan =
        Plan { key: HOST, ca: HOST_CA, kind: CertType::Host, names: &["web1"], window: (NOW - 60, NOW + 60) };

    fn certified(plan: &Plan) -> PublicKeyOrCertificate {
        let (after, before) = plan.window;
        let mut builder = Builder::new(vec![7; 32], public(plan.key), after, before).unwrap();
        builder.cert_type(plan.kind).unwrap().serial(1).unwrap().key_id("k").unwrap();
        for name in plan.names {
            builder.valid_principal(*name).unwrap();
        }
        if plan.names.is_empty() {
            builder.all_principals_valid().unwrap();
        }
        PublicKeyOrCertificate::Certificate(builder.sign(&private(plan.ca)).unwrap())
    }

    fn judge(trust: &HostTrust, shown: &PublicKeyOrCertificate) -> Result<(), HostRefused> {
        trust.check(&"web1".parse().unwrap(), shown, Timestamp::from_seconds(NOW))
    }

    #[test]
    fn without_a_pin_only_the_host_ca_vouches() {
        let trust = trust(&[]);
        judge(&trust, &certified(&GOOD)).unwrap();
        judge(&trust, &certified(&Plan { names: &["web0", "web1"], ..GOOD })).unwrap();
        let at = Timestamp::from_seconds;
        let target: TargetName = "web1".parse().unwrap();
        let certificate = |why: &str| HostRefused::Certificate { target: target.clone(), why: why.to_owned() };
        let name = |names: &str| HostRefused::Name { target: target.clone(), names: names.to_owned() };
        let signer = |ca| HostRefused::Signer { target: target.clone(), signer: fingerprint(&public(ca)) };
        let cases = [
            (plain(HOST), HostRefused::Unknown { target: target.clone(), shown: fingerprint(&public(HOST)) }),
            // What proxies show to people says nothing to another proxy.
            (certified(&Plan { ca: FRONT_CA, ..GOOD }), signer(FRONT_CA)),
            (certified(&Plan { ca: OTHER, ..GOOD }), signer(OTHER)),
            (certified(&Plan { kind: CertType::User, ..GOOD }), certificate("it is no host certificate")),
            (certified(&Plan { names: &["web2"], ..GOOD }), name("web2")),
            (certified(&Plan { names: &["*"], ..GOOD }), name("*")),
            (certified(&Plan { names: &[], ..GOOD }), name("nobody")),
            (
                certified(&Plan { window: (NOW - 60, NOW), ..GOOD }),
                HostRefused::Expired { target: target.clone(), at: at(NOW) },
            ),
            (
                certified(&Plan { window: (NOW + 1, NOW + 60), ..GOOD }),
                HostRefused::Early { target: target.clone(), at: at(NOW + 1) },
            ),
        ];
        for (shown, refused) in cases {
            assert_eq!(judge(&trust, &shown).unwrap_err(), refused);
            assert!(!refused.hint().is_empty() && refused.to_string().contains("web1"), "{refused}");
        }
    }

    #[test]
    fn a_pin_excludes_the_host_ca() {
        let trust = trust(&[HOST]);
        judge(&trust, &plain(HOST)).unwrap();
        // A certificate over the pinned key passes, whoever signed it and for whatever it is: the key was pinned.
        judge(&trust, &certified(&GOOD)).unwrap();
        judge(&trust, &certified(&Plan { ca: OTHER, names: &["web9"], window: (1, 2), ..GOOD })).unwrap();
        for shown in [plain(OTHER), certified(&Plan { key: OTHER, ..GOOD })] {
            let refused = judge(&trust, &shown).unwrap_err();
            assert!(matches!(&refused, HostRefused::Changed { .. }), "{refused}");
            for part in [fingerprint(&public(HOST)), fingerprint(&public(OTHER))] {
                assert!(refused.to_string().contains(&part), "{refused}");
            }
            assert!(refused.hint().contains("portcullis target add web1 --replace --pin"), "{}", refused.hint());
        }
        assert!(trust.no_common_kind(&"web1".parse().unwrap()).is_some());
        assert!(self::trust(&[]).no_common_kind(&"web1".parse().unwrap()).is_none());
    }
}
