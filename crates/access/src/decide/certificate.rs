//! Certificates: the intent, and what became of it. The CA lints the form; here stands what must be so in the state.

use std::collections::BTreeSet;

use model::{Actor, CertificateBody, CertificateProfile, Correlation, Entry, Fact, Principal, Serial};

use super::Desk;
use crate::Refusal;
use crate::command::{CertificateFailed, CertificateIssued, IntendCertificate};
use crate::limits::SESSION_CERTIFICATE;
use crate::state::{Certificate, CertificateState, Grant, Request, SessionState};

impl<'a> Desk<'a> {
    pub(super) fn intend_certificate(&self, intend: IntendCertificate) -> Result<Vec<Entry>, Refusal> {
        let IntendCertificate { certificate, request, tbs_sha256, may_issue_host, bought_with } = intend;
        let serial = certificate.serial;
        if self.state.certificate(serial).is_some() {
            return Err(
                Refusal::new("id-taken", format!("there is already a certificate {serial}")).with_hint("try again")
            );
        }
        if certificate.valid_before <= certificate.valid_after {
            return Err(bad(&certificate, "ends before it begins"));
        }
        let (activated, correlation) = match (certificate.profile, &request) {
            (CertificateProfile::Host, None) => {
                self.allowed(may_issue_host, "have a host certificate", "--action administer")?;
                self.check_host(&certificate)?;
                (None, Correlation::named("host-certificates"))
            }
            (CertificateProfile::Front, None) => {
                self.check_front(&certificate)?;
                (None, Correlation::named("host-certificates"))
            }
            (CertificateProfile::Person | CertificateProfile::Session, Some(id)) => {
                let (known, grant, activated) = self.active_grant(id)?;
                let spec = &known.spec;
                self.unlocked(&spec.identity, &spec.target, &spec.login, Some(id))?;
                self.check_user(&certificate, known, grant)?;
                (activated, Correlation::from(id))
            }
            (CertificateProfile::Host | CertificateProfile::Front, Some(_)) => {
                return Err(bad(&certificate, "is under a grant"));
            }
            (CertificateProfile::Person | CertificateProfile::Session, None) => {
                return Err(bad(&certificate, "is under no grant"));
            }
        };
        let intended = Fact::CertificateIntended { certificate, request, tbs_sha256, bought_with };
        Ok(activated.into_iter().chain([self.entry(correlation, intended)]).collect())
    }

    fn check_user(&self, certificate: &CertificateBody, known: &Request, grant: &Grant) -> Result<(), Refusal> {
        let spec = &known.spec;
        let principal = match certificate.profile {
            CertificateProfile::Person => {
                if self.actor.identity() != Some(&spec.identity) {
                    let sentence = format!("{} cannot have a certificate of {}", self.actor, spec.identity);
                    return Err(Refusal::new("not-the-asker", sentence));
                }
                Principal::Identity(spec.identity.clone())
            }
            CertificateProfile::Session | CertificateProfile::Host | CertificateProfile::Front => {
                self.check_session(certificate, known)?;
                Principal::Login(spec.login.clone(), spec.target.clone())
            }
        };
        if certificate.principals != BTreeSet::from([principal.clone()]) {
            return Err(bad(certificate, &format!("is not for {principal} alone")));
        }
        if certificate.valid_before > grant.ends {
            return Err(bad(certificate, &format!("outlives its grant, which ends at {}", grant.ends)));
        }
        Ok(())
    }

    /// A session certificate is for a proxy that has a session to open with it, now.
    fn check_session(&self, certificate: &CertificateBody, known: &Request) -> Result<(), Refusal> {
        let mut sessions = self.state.sessions_under(&known.id).filter(|session| session.state == SessionState::Live);
        let has_session = match self.actor {
            Actor::Proxy(name) => sessions.any(|session| session.proxy == *name),
            Actor::Identity(_) | Actor::Through { .. } | Actor::System => false,
        };
        if !has_session {
            let sentence = format!("{} has no live session under {}", self.actor, known.id);
            return Err(Refusal::new("session-not-live", sentence));
        }
        if certificate.valid_before > self.now.plus(SESSION_CERTIFICATE) {
            return Err(bad(certificate, &format!("lives longer than {SESSION_CERTIFICATE}")));
        }
        Ok(())
    }

    /// A target's own certificate is never a proxy's: with one, a proxy could stand in the way of the others and be
    /// the target to them.
    fn check_host(&self, certificate: &CertificateBody) -> Result<(), Refusal> {
        match self.actor {
            Actor::Identity(_) => names_hosts(certificate),
            Actor::Through { .. } | Actor::Proxy(_) | Actor::System => {
                Err(bad(certificate, &format!("is a target's own, and {} is no person", self.actor)))
            }
        }
    }

    /// What people are shown is a proxy's, and nobody else's: whoever held one could pass for a proxy.
    fn check_front(&self, certificate: &CertificateBody) -> Result<(), Refusal> {
        match self.actor {
            Actor::Proxy(_) => names_hosts(certificate),
            Actor::Identity(_) | Actor::Through { .. } | Actor::System => {
                Err(bad(certificate, &format!("is what a proxy shows to people, and {} is none", self.actor)))
            }
        }
    }

    pub(super) fn certificate_issued(&self, issued: CertificateIssued) -> Result<Vec<Entry>, Refusal> {
        let CertificateIssued { serial, sha256 } = issued;
        let known = self.intended(serial, "issued")?;
        Ok(vec![self.entry(correlation(known), Fact::CertificateIssued { serial, sha256 })])
    }

    pub(super) fn certificate_failed(&self, failed: CertificateFailed) -> Result<Vec<Entry>, Refusal> {
        let CertificateFailed { serial, error } = failed;
        let known = self.intended(serial, "failed")?;
        Ok(vec![self.entry(correlation(known), Fact::CertificateFailed { serial, error })])
    }

    /// A certificate that the actor, or the system, may settle.
    fn intended(&self, serial: Serial, cannot: &str) -> Result<&'a Certificate, Refusal> {
        let known = self
            .state
            .certificate(serial)
            .ok_or_else(|| Refusal::new("unknown-certificate", format!("there is no certificate {serial}")))?;
        if *self.actor != known.by && *self.actor != Actor::System {
            let sentence = format!("certificate {serial} is {}'s, not {}'s", known.by, self.actor);
            return Err(Refusal::new("not-the-asker", sentence));
        }
        match known.state {
            CertificateState::Intended => Ok(known),
            CertificateState::Issued { .. } | CertificateState::Failed { .. } => {
                let sentence = format!("certificate {serial} is {}: it cannot be {cannot}", known.status());
                Err(Refusal::new("certificate-settled", sentence))
            }
        }
    }
}

fn correlation(certificate: &Certificate) -> Correlation {
    certificate.request.as_ref().map_or_else(|| Correlation::named("host-certificates"), Correlation::from)
}

fn names_hosts(certificate: &CertificateBody) -> Result<(), Refusal> {
    let hosts = certificate.principals.iter().all(|principal| match principal {
        Principal::Host(_) => true,
        Principal::Identity(_) | Principal::Login(..) => false,
    });
    if certificate.principals.is_empty() || !hosts {
        return Err(bad(certificate, "is not for hosts alone"));
    }
    Ok(())
}

fn bad(certificate: &CertificateBody, problem: &str) -> Refusal {
    Refusal::new("bad-certificate", format!("the {} certificate {} {problem}", certificate.profile, certificate.serial))
}
