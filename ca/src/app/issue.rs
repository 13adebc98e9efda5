//! Issue certificates: lint → record the intent → sign → compare → record the issue → hand out.

use std::collections::BTreeSet;

use access::{CertificateFailed, CertificateIssued, IntendCertificate, Refusal, State};
use identity::{CertificateAsk, Nonce};
use model::{
    Actor, Authority, CertificateBody, CertificateProfile, Factors, ProxyName, RequestId, Serial, TargetName, Timestamp,
};
use policy::Action;

use super::{App, AppError, Caller};
use crate::certificate::{Fresh, HostAsk, LintError, PersonAsk, Prepared, SignError, Signed};
use crate::keys::SignerError;

/// What a person asks to be certified.
#[derive(Clone, Debug)]
pub struct Issue {
    /// The grant.
    pub request: RequestId,
    /// The key, in the OpenSSH one-line form.
    pub public_key: String,
    /// The nonce that they were given.
    pub nonce: Nonce,
    /// The armored SSHSIG by that key over the request for the certificate.
    pub proof: String,
}

/// Whose certificate of a host.
#[derive(Clone, Debug)]
pub enum HostName {
    /// A proxy's, for itself.
    Proxy(ProxyName),
    /// A proxy's, in the place of a target.
    StandIn(TargetName),
    /// A target's own.
    Target(TargetName),
}

/// A certificate that was handed out.
#[derive(Clone, Debug)]
pub struct Issued {
    /// What it says.
    pub body: CertificateBody,
    /// The grant.
    pub request: Option<RequestId>,
    /// The certificate in the OpenSSH one-line form.
    pub certificate: String,
}

impl App {
    /// Issues a person's certificate under their own active grant.
    ///
    /// # Errors
    /// The grant is not theirs or not active, the proof of possession fails, a touch is missing, or the certificate
    /// could not be signed as it was meant.
    pub async fn issue(&self, caller: &Caller, ask: &Issue) -> Result<Issued, AppError> {
        let identity = caller.identity()?;
        let key = identity::parse_public_key(&ask.public_key).map_err(|error| AppError::Invalid(error.to_string()))?;
        let request = self.must_see_grant(caller, &ask.request).await?;
        if request.spec.identity != *identity {
            return Err(AppError::forbidden(format!("only {} may have a certificate under it", request.spec.identity)));
        }
        let what = CertificateAsk {
            server: self.server(),
            subject: caller.subject(),
            nonce: ask.nonce,
            profile: CertificateProfile::Person,
            grant: Some(&ask.request),
            key: &key,
        };
        let proof = self.authenticator.possession(&what, &ask.proof, self.engine.now());
        let proof = proof.map_err(|error| AppError::LoginRefused(with_source(&error)))?;
        let mut prepared = None;
        let build = |state: &State, now: Timestamp| {
            let (_, grant) = state.grant(&ask.request).ok_or_else(|| AppError::not_found("grant", &ask.request))?;
            // Anybody can make a "security key" in software, and have it say that it was touched: only one that the
            // directory has for this very person counts.
            let own = || self.directory.current().owner(proof.key()) == Some(caller.subject());
            let touched = caller.touch() || (proof.touched() && own());
            if grant.path.obligations.touch && !touched {
                return Err(AppError::Forbidden {
                    sentence: format!("{} needs a touched security key for its certificate", ask.request),
                    hint: Some("log in again with a security key, or have your own security key certified".to_owned()),
                });
            }
            if let Some(wanted) = grant.path.obligations.factor_lacking(Factors { touch: touched, ..caller.factors() })
            {
                let sentence = format!("{} needs {wanted} for its certificate", ask.request);
                return Err(Refusal::new("factor-needed", sentence)
                    .with_hint("give one: portcullis login --code")
                    .into());
            }
            let person = PersonAsk {
                key: key.key_data(),
                request: &ask.request,
                identity,
                approvers: &grant.approvers,
                ends: grant.ends,
            };
            let made = self.settings.profiles.person(&person, &self.house(state)?.signing, self.fresh(), now);
            intend(&mut prepared, made, Some(&ask.request), false, Some(caller.key()))
        };
        self.engine.execute(&caller.actor(), build, |_, _| ()).await?;
        let (body, signed) = self.sign(&caller.actor(), prepared, Authority::User).await?;
        Ok(Issued { body, request: Some(ask.request.clone()), certificate: signed.openssh().to_owned() })
    }

    /// Issues a certificate for a host: to a proxy, of the front CA, for its own names and for the targets that it
    /// stands in for; to an administrator, of the host CA, for a target. A proxy never gets the second kind: with it, it
    /// could be that target to another proxy.
    ///
    /// # Errors
    /// The caller may not have it, there is no such target, or it could not be signed as it was meant.
    pub async fn issue_host(&self, caller: &Caller, host: &HostName, public_key: &str) -> Result<Issued, AppError> {
        let key = identity::parse_public_key(public_key).map_err(|error| AppError::Invalid(error.to_string()))?;
        let (names, authority) = self.host_names(caller, host)?;
        let mut prepared = None;
        let build = |state: &State, now: Timestamp| {
            let ask = HostAsk { key: key.key_data(), names: &names };
            let (profiles, house) = (&self.settings.profiles, self.house(state)?);
            let made = match authority {
                Authority::Front => profiles.front(&ask, &house.signing, self.fresh(), now),
                Authority::Host | Authority::User => profiles.host(&ask, &house.signing, self.fresh(), now),
            };
            intend(&mut prepared, made, None, true, None)
        };
        self.engine.execute(&caller.actor(), build, |_, _| ()).await?;
        let (body, signed) = self.sign(&caller.actor(), prepared, authority).await?;
        Ok(Issued { body, request: None, certificate: signed.openssh().to_owned() })
    }

    /// The names of a host and which key speaks for them, if the caller may have a certificate for them.
    fn host_names(&self, caller: &Caller, host: &HostName) -> Result<(BTreeSet<TargetName>, Authority), AppError> {
        match host {
            HostName::Proxy(name) => {
                if caller.proxy()? != name {
                    return Err(AppError::forbidden(format!("only proxy:{name} may have its certificate")));
                }
                let own = self.settings.proxies.get(name).map(|proxy| proxy.names.clone()).unwrap_or_default();
                if own.is_empty() {
                    return Err(AppError::Invalid(format!("the configuration lists no host name for proxy:{name}")));
                }
                Ok((own, Authority::Front))
            }
            HostName::StandIn(name) => {
                caller.proxy()?;
                Ok((self.target_name(name)?, Authority::Front))
            }
            HostName::Target(name) => {
                self.rules().demand(caller, Action::Administer, self.engine.now())?;
                Ok((self.target_name(name)?, Authority::Host))
            }
        }
    }

    fn target_name(&self, name: &TargetName) -> Result<BTreeSet<TargetName>, AppError> {
        match self.rules().directory.target(name) {
            Some(target) => Ok(BTreeSet::from([target.name.clone()])),
            None => Err(AppError::not_found("target", name)),
        }
    }

    /// The random parts of a certificate.
    pub(super) fn fresh(&self) -> Fresh {
        Fresh { serial: Serial::from_random(self.entropy.u64()), nonce: self.random() }
    }

    /// Signs what was intended, and enters what came of it. The intent is durable when this is called.
    pub(super) async fn sign(
        &self,
        actor: &Actor,
        prepared: Option<Prepared>,
        authority: Authority,
    ) -> Result<(CertificateBody, Signed), AppError> {
        let prepared = prepared.ok_or_else(|| AppError::Internal("no certificate was prepared".to_owned()))?;
        let body = prepared.body().clone();
        let serial = body.serial;
        // The key that it names, which may not be the one that signs by now.
        let signer = self.keys.of_ca(authority, &body.ca);
        // A key behind a socket or in a token takes its time.
        let signing = tokio::task::spawn_blocking(move || match signer {
            Some(signer) => prepared.sign(&*signer),
            None => Err(SignError::Signer(SignerError("it was given up meanwhile".to_owned()))),
        });
        match signing.await.map_err(|error| AppError::Internal(error.to_string()))? {
            Ok(signed) => {
                let sha256 = signed.sha256().to_owned();
                let build = |_: &State, _| Ok(CertificateIssued { serial, sha256: sha256.clone() }.into());
                self.engine.execute(actor, build, |_, _| ()).await?;
                Ok((body, signed))
            }
            Err(error) => {
                tracing::error!(%serial, %error, "a certificate was not handed out");
                let sentence = error.to_string();
                let build = |_: &State, _| Ok(CertificateFailed { serial, error: sentence.clone() }.into());
                self.engine.execute(actor, build, |_, _| ()).await?;
                Err(AppError::Certificate(sentence))
            }
        }
    }
}

/// The command that records an intent; keeps what is to be signed in `prepared`.
pub(super) fn intend(
    prepared: &mut Option<Prepared>,
    made: Result<Prepared, LintError>,
    request: Option<&RequestId>,
    may_issue_host: bool,
    bought_with: Option<&str>,
) -> Result<access::Command, AppError> {
    let made = made.map_err(|error| AppError::Certificate(error.to_string()))?;
    let command = IntendCertificate {
        certificate: made.body().clone(),
        request: request.cloned(),
        tbs_sha256: made.tbs_sha256(),
        may_issue_host,
        bought_with: bought_with.map(str::to_owned),
    };
    *prepared = Some(made);
    Ok(command.into())
}

/// An error with its cause behind it.
fn with_source(error: &dyn std::error::Error) -> String {
    match error.source() {
        Some(source) => format!("{error}: {source}"),
        None => error.to_string(),
    }
}
