//! Let a session in.

use std::collections::BTreeSet;
use std::net::IpAddr;

use access::{CertificateState, EndSession, OpenSession, Permit, Refusal, State};
use identity::Subject;
use model::{
    Actor, Authority, Fact, Factors, IdentityName, KeyId, Login, ProxyName, RequestId, Seq, Serial, SessionEnd,
    SessionId, Target, TargetAuth, TargetName, Timestamp, WayIn,
};
use sha2::{Digest, Sha256};
use ssh_key::Certificate;
use ssh_key::certificate::CertType;

use super::issue::intend;
use super::near::{Meant, Seeker};
use super::presence::{LogIn, meant_for};
use super::rights::{How, Matter, Rules};
use super::rotate::House;
use super::{App, AppError, Caller};
use crate::certificate::{Prepared, SessionAsk};

/// What a proxy says of someone at its door.
#[derive(Clone, Debug)]
pub struct Knock {
    /// The person certificate that authenticated the connection, in the OpenSSH one-line form.
    pub certificate: String,
    /// The target as it was typed.
    pub target: String,
    /// The login as it was typed.
    pub login: String,
    /// The person's address.
    pub address: IpAddr,
    /// Which way in.
    pub way: WayIn,
    /// The proxy's ephemeral key, in the OpenSSH one-line form.
    pub public_key: String,
    /// The log-in of the person's own key.
    pub log_in: LogIn,
}

/// Where somebody with a pass wants to go.
#[derive(Clone, Debug)]
pub struct Entrance {
    /// The target as it was typed.
    pub target: String,
    /// The login as it was typed.
    pub login: String,
    /// Which way in.
    pub way: WayIn,
    /// The proxy's ephemeral key, in the OpenSSH one-line form.
    pub public_key: String,
}

/// A session that was let in.
#[derive(Clone, Debug)]
pub struct Opened {
    /// The proof that it was allowed.
    pub permit: Permit,
    /// The target as the directory has it.
    pub target: Target,
    /// What opens the target.
    pub credential: Credential,
    /// From here on the events tell what can end it.
    pub seq: Seq,
}

/// What opens the target of a session.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Credential {
    /// The session certificate for the proxy's ephemeral key, in the OpenSSH one-line form.
    Certificate(String),
    /// The key that the target knows, in the same form. It signs one log-in: [`App::sign_for_target`].
    TargetKey(String),
}

/// What a person's certificate says, once it is believed.
pub(super) struct Shown {
    request: RequestId,
    pub(super) identity: IdentityName,
    pub(super) serial: Serial,
    sha256: String,
    pub(super) certificate: Certificate,
}

/// Somebody who was found to be there.
struct Entrant<'a> {
    identity: &'a IdentityName,
    presence: model::Presence,
    /// The grant that their certificate names; without one, theirs for the place is looked for.
    grant: Option<&'a RequestId>,
    bought: Bought,
}

/// Where to, and how.
struct Errand<'a> {
    proxy: &'a ProxyName,
    login: &'a str,
    target: &'a str,
    address: IpAddr,
    way: WayIn,
    key: &'a ssh_key::PublicKey,
}

/// When and with which login key a person's certificate was bought; or when their plain key, and which, logged in.
pub(super) struct Bought {
    pub(super) at: Timestamp,
    pub(super) with: Option<String>,
}

impl Bought {
    /// Refuses what was bought with a key that the directory no longer has for its person: a stolen key must not live
    /// on in what it bought.
    fn check(&self, rules: &Rules, who: &IdentityName, place: &str) -> Result<(), AppError> {
        let subject = Subject::Identity(who.clone());
        if self.with.as_ref().is_some_and(|key| rules.directory.has_fingerprint(&subject, key)) {
            return Ok(());
        }
        // Who left altogether has no key: that policy lets nobody unknown connect says more.
        if rules.directory.identity(who).is_none() {
            return Ok(());
        }
        let sentence = format!("the directory no longer has the key with which {who} bought this certificate");
        Err(Refusal::new("certificate-key-gone", sentence)
            .with_hint(format!("for a new one, run: portcullis cert {place}"))
            .into())
    }
}

impl App {
    /// Lets a person in to the target that their grant is for, and certifies the proxy's key for it.
    ///
    /// # Errors
    /// The certificate is not one of ours, or not good now; nothing shows that its person is there, or what does has
    /// opened a session already; no active grant matches; policy no longer lets them
    /// connect; a lock covers them; they have too many sessions. The refusal of a known person is kept in the ledger.
    pub async fn open_session(&self, caller: &Caller, knock: &Knock) -> Result<Opened, AppError> {
        caller.proxy()?;
        let key =
            identity::parse_public_key(&knock.public_key).map_err(|error| AppError::Invalid(error.to_string()))?;
        let shown = self.believe(&knock.certificate)?;
        let errand = Errand {
            proxy: caller.proxy()?,
            login: &knock.login,
            target: &knock.target,
            address: knock.address,
            way: knock.way,
            key: &key,
        };
        let opened = self.open_believed(knock, &shown, &errand).await;
        self.noted(opened, &shown.identity, &errand, Some(&shown.request)).await
    }

    /// Lets a person with a pass in to where they have a grant, and certifies the proxy's key for it. A pass opens one
    /// session.
    ///
    /// # Errors
    /// As [`App::open_session`]; or the caller has no pass.
    pub async fn enter(&self, caller: &Caller, entrance: &Entrance) -> Result<Opened, AppError> {
        let identity = caller.person()?;
        let through =
            caller.through().ok_or_else(|| AppError::forbidden("only a pass of a proxy's opens a session"))?;
        let key =
            identity::parse_public_key(&entrance.public_key).map_err(|error| AppError::Invalid(error.to_string()))?;
        let errand = Errand {
            proxy: &through.proxy,
            login: &entrance.login,
            target: &entrance.target,
            address: caller.address(),
            way: entrance.way,
            key: &key,
        };
        let opened = async {
            meant_for(entrance.way, &through.user, &entrance.login, &entrance.target, identity)?;
            self.opened_nothing(&through.presence.sha256).await?;
            let bought = Bought { at: caller.issued(), with: Some(caller.key().to_owned()) };
            // A code that came since the log-in counts for what it opens.
            let presence = model::Presence { totp: caller.factors().totp, ..through.presence.clone() };
            let entrant = Entrant { identity, presence, grant: None, bought };
            self.let_in(&entrant, &errand).await
        };
        self.noted(opened.await, identity, &errand, None).await
    }

    /// Keeps a refusal in the ledger, and says what may have been meant.
    async fn noted(
        &self,
        opened: Result<Opened, AppError>,
        identity: &IdentityName,
        errand: &Errand<'_>,
        grant: Option<&RequestId>,
    ) -> Result<Opened, AppError> {
        let opened = opened.map_err(|error| self.meant(error, identity, errand, grant));
        if let Err(error @ (AppError::Refused(_) | AppError::Forbidden { .. } | AppError::NotFound { .. })) = &opened {
            let fact = Fact::SessionRefused {
                identity: identity.clone(),
                target: short(errand.target),
                login: short(errand.login),
                address: errand.address.to_string(),
                reason: error.to_string(),
            };
            let actor = Actor::Proxy(errand.proxy.clone());
            self.note(&Subject::Identity(identity.clone()), &actor, fact, grant.cloned()).await;
        }
        opened
    }

    /// The refusal of somebody who typed a place that they have no grant for and may not ask for: it names the nearest
    /// one that they may. A place that is hidden from them and one that does not exist are answered alike.
    fn meant(
        &self,
        error: AppError,
        identity: &IdentityName,
        errand: &Errand<'_>,
        grant: Option<&RequestId>,
    ) -> AppError {
        let AppError::Refused(refusal) = error else { return error };
        if refusal.code != "no-active-grant" {
            return refusal.into();
        }
        let asked = |id| self.engine.peek(|state, _| state.request(id).map(|of| of.asked.factors()));
        let shown = grant.and_then(asked).unwrap_or_default();
        let seeker = Seeker { name: identity, shown, from: errand.address };
        match self.near_place(seeker, errand.login, errand.target) {
            Meant::Place(place) => refusal.with_hint(format!("did you mean {place}?")).into(),
            // To ask for what nobody gives them, or is not there, is no advice.
            Meant::Nothing => refusal.with_hint(MAY_ASK).into(),
            Meant::Itself => refusal.into(),
        }
    }

    /// Ends a session whose proxy never heard that it was let in.
    pub(crate) async fn abandon(&self, caller: &Caller, session: &SessionId) {
        match caller.carrier() {
            Ok(proxy) => self.abandoned(&Actor::Proxy(proxy.clone()), session).await,
            Err(error) => tracing::warn!(%error, %session, "nobody but a proxy has a session to give up"),
        }
    }

    async fn abandoned(&self, actor: &Actor, session: &SessionId) {
        let ended = |_: &State, now: Timestamp| Ok(self.unheard(session, now).into());
        if let Err(error) = self.engine.execute(actor, ended, |_, _| ()).await {
            tracing::warn!(%error, %session, "a session that nobody took up could not be ended");
        }
    }

    async fn open_believed(&self, knock: &Knock, shown: &Shown, errand: &Errand<'_>) -> Result<Opened, AppError> {
        let presence = self.present(knock, shown).await?;
        let bought = self.known(shown).await?;
        let entrant = Entrant { identity: &shown.identity, presence, grant: Some(&shown.request), bought };
        self.let_in(&entrant, errand).await
    }

    async fn let_in(&self, entrant: &Entrant<'_>, errand: &Errand<'_>) -> Result<Opened, AppError> {
        let Errand { proxy, address, way, key, .. } = *errand;
        let Entrant { identity, presence, bought, .. } = entrant;
        let identity = *identity;
        let (Ok(target), Ok(login)) = (errand.target.parse::<TargetName>(), errand.login.parse::<Login>()) else {
            return Err(no_grant(&short(errand.login), &short(errand.target)));
        };
        let settings = self.settings.proxies.get(proxy);
        let settings = settings.ok_or_else(|| {
            AppError::Invalid(format!(
                "the configuration has no [[proxy]] {proxy}, so its source addresses are unknown"
            ))
        })?;
        let actor = Actor::Proxy(proxy.clone());
        let session = SessionId::from_random(self.entropy.u64());
        let mut found = None;
        let mut open = |state: &State, now: Timestamp| {
            let rules = self.rules();
            let grant = match entrant.grant {
                Some(named) => named.clone(),
                None => standing(state, identity, &login, &target, presence.factors(), now).ok_or_else(|| {
                    let sentence = format!("no active grant for {login}@{target}");
                    Refusal::new("no-active-grant", sentence)
                        .with_hint(format!("run: portcullis request {login}@{target} --for 30m"))
                })?,
            };
            let request = state.request(&grant);
            let of = Matter { owner: identity, target: &target, login: &login };
            let asked = request.map(|request| request.asked.factors()).unwrap_or_default();
            let command = request.and_then(|request| request.spec.command.as_deref());
            let paths = rules.connect(of, How::entering(Some(presence), asked, Some(address)), command, now).paths();
            found = rules.directory.target(&target).cloned();
            bought.check(&rules, identity, &format!("{login}@{target}"))?;
            // Whoever has a grant there knows that it was there.
            let granted = state.grant(&grant).is_some_and(|(request, grant)| {
                grant.is_active(now) && request.spec.target == target && request.spec.login == login
            });
            if found.is_none() && granted {
                return Err(gone(&target));
            }
            let takes_key = found.as_ref().is_some_and(|found| !found.auth.is_certificate());
            if takes_key && granted && state.target_key(&target).is_none() {
                return Err(Refusal::no_target_key(&target).into());
            }
            Ok(OpenSession {
                session: session.clone(),
                request: grant,
                identity: identity.clone(),
                target: target.clone(),
                login: login.clone(),
                address: address.to_string(),
                proxy: proxy.clone(),
                way,
                presence: presence.clone(),
                certified: bought.at,
                bought_with: bought.with.clone(),
                paths,
                sessions_limit: self.settings.sessions_limit,
            }
            .into())
        };
        let view = |state: &State, applied: &super::Applied| {
            let grant = applied.permit.as_ref().and_then(|permit| state.grant(permit.request()));
            let approvers = grant.map(|(_, grant)| grant.approvers.clone());
            let key = state.target_key(&target).cloned();
            (applied.permit.clone(), approvers.unwrap_or_default(), key, state.next())
        };
        let ((permit, approvers, target_key, seq), opening) = self.engine.begin(&actor, &mut open, &view).await?;
        let (Some(permit), Some(target)) = (permit, found) else {
            return Err(AppError::Internal("a session was opened without a permit".to_owned()));
        };
        match target.auth {
            TargetAuth::Certificate => {}
            TargetAuth::TargetKey => {
                let key = target_key.ok_or_else(|| Refusal::no_target_key(&target.name))?;
                self.warm_target_key(&key);
                self.engine.settled(opening).await?;
                return Ok(Opened { permit, target, credential: Credential::TargetKey(key.public_key), seq });
            }
        }
        let mut prepared = None;
        let mut certify = |state: &State, now: Timestamp| {
            let house = self.house(state)?;
            let made = self.prepare_session(&permit, &approvers, key, &settings.sources, &house, now);
            intend(&mut prepared, made, Some(permit.request()), false, None)
        };
        let intending = self.engine.begin(&actor, &mut certify, &|_, _| ()).await;
        let certified = async {
            self.engine.settled(opening).await?;
            self.engine.settled(intending?.1).await?;
            self.sign(&actor, prepared, Authority::User).await
        };
        match certified.await {
            Ok((_, signed)) => {
                let credential = Credential::Certificate(signed.openssh().to_owned());
                Ok(Opened { permit, target, credential, seq })
            }
            Err(error) => {
                self.abandoned(&actor, permit.session()).await;
                Err(error)
            }
        }
    }

    fn prepare_session(
        &self,
        permit: &Permit,
        approvers: &BTreeSet<IdentityName>,
        key: &ssh_key::PublicKey,
        sources: &crate::certificate::SourceAddresses,
        house: &House,
        now: Timestamp,
    ) -> Result<Prepared, crate::certificate::LintError> {
        let ask = SessionAsk {
            key: key.key_data(),
            request: permit.request(),
            session: permit.session(),
            identity: permit.identity(),
            approvers,
            login: permit.login(),
            target: permit.target(),
            ends: permit.ends(),
            extensions: &permit.obligations().extensions,
            sources,
            command: permit.command(),
        };
        self.settings.profiles.session(&ask, &house.signing, self.fresh(), now)
    }

    /// Checks everything about a person's certificate that it shows by itself. The proxy has checked it too; it is not
    /// taken at its word.
    fn believe(&self, text: &str) -> Result<Shown, AppError> {
        let refuse = |why: &str| AppError::Certificate(format!("the certificate is refused: {why}"));
        let certificate = identity::parse_certificate(text).map_err(|error| refuse(&error.to_string()))?;
        if certificate.cert_type() != CertType::User {
            return Err(refuse("it is no user certificate"));
        }
        // The whole key, not its fingerprint alone.
        let house = self.engine.peek(|state, _| self.house(state))?;
        if !house.signed(Authority::User).any(|key| key == certificate.signature_key()) {
            return Err(refuse("another CA signed it"));
        }
        let now = self.engine.now().seconds();
        let fingerprint = certificate.signature_key().fingerprint(ssh_key::HashAlg::Sha256);
        if !(certificate.valid_after()..certificate.valid_before()).contains(&now) {
            return Err(refuse("it is not valid now"));
        }
        certificate.validate_at(now, [&fingerprint]).map_err(|_| refuse("its signature or its dates are wrong"))?;
        if !certificate.critical_options().is_empty() {
            return Err(refuse("it has critical options, and a person's has none"));
        }
        let serial = Serial::new(certificate.serial()).ok_or_else(|| refuse("its serial is 0"))?;
        let key_id: KeyId = certificate.key_id().parse().map_err(|_| refuse("its key id is not one of ours"))?;
        let KeyId::Person { request, identity, serial: named, .. } = key_id else {
            return Err(refuse("it is no person's certificate"));
        };
        let principal = format!("identity:{identity}");
        if named != serial || certificate.valid_principals() != [principal] {
            return Err(refuse("its principal, its key id and its serial do not fit each other"));
        }
        Ok(Shown {
            request,
            identity,
            serial,
            sha256: digest(&certificate).ok_or_else(|| refuse("it cannot be read"))?,
            certificate,
        })
    }

    /// That the ledger knows the very certificate as handed out.
    async fn known(&self, shown: &Shown) -> Result<Bought, AppError> {
        let look = |state: &State, _| state.certificate(shown.serial).cloned();
        let known = match self.engine.read(look).await? {
            Some(access::Certificate {
                state: CertificateState::Issued { sha256, .. }, intended, bought_with, ..
            }) => Some((sha256, Bought { at: intended, with: bought_with })),
            Some(_) => None,
            // The state remembers the last few thousand; the ledger has them all.
            None => self.issued_from_ledger(shown.serial).await?,
        };
        match known {
            Some((sha256, bought)) if sha256 == shown.sha256 => Ok(bought),
            Some(_) | None => {
                let sentence = "the ledger does not know this certificate as handed out";
                Err(Refusal::new("unknown-certificate", sentence).into())
            }
        }
    }

    fn unheard(&self, session: &SessionId, now: Timestamp) -> EndSession {
        let reason = "nobody took it up".to_owned();
        EndSession { session: session.clone(), end: SessionEnd::Proxy { reason }, cut: None, dropped: now }
    }
}

/// The active grant of somebody for a place that serves them best: one whose second factors they have shown, one for more than one
/// command, the one that ends last. Without an active one, what tells them most of why not.
pub(super) fn standing(
    state: &State,
    identity: &IdentityName,
    login: &Login,
    target: &TargetName,
    shown: Factors,
    now: Timestamp,
) -> Option<RequestId> {
    let here = |request: &access::Request| request.spec.target == *target && request.spec.login == *login;
    let grants = state.grants_of(identity).filter(|(request, _)| here(request));
    let best = grants.max_by_key(|(request, grant)| {
        let fits = grant.path.obligations.are_met_by(shown);
        (grant.is_active(now), fits, request.spec.command.is_none(), grant.ends)
    });
    let pending = || state.pending().find(|request| request.spec.identity == *identity && here(request));
    best.map(|(request, _)| request.id.clone()).or_else(|| pending().map(|request| request.id.clone()))
}

fn digest(certificate: &Certificate) -> Option<String> {
    certificate.to_bytes().ok().map(|bytes| hex::encode(Sha256::digest(bytes)))
}

/// Where somebody looks who asked for a place that is none for them.
const MAY_ASK: &str = "to see what you may ask for: portcullis target list, or ssh PROXY targets";

fn no_grant(login: &str, target: &str) -> AppError {
    Refusal::new("no-active-grant", format!("no active grant for {login}@{target}"))
        .with_hint("ask for it first: portcullis request LOGIN@TARGET --for 30m")
        .into()
}

fn gone(target: &TargetName) -> AppError {
    Refusal::new("unknown-target", format!("{target} is not in the directory any more"))
        .with_hint("ask whoever administers the targets; portcullis target list shows those that are there")
        .into()
}

/// What somebody typed, as far as it is worth keeping.
fn short(text: &str) -> String {
    text.chars().take(64).flat_map(char::escape_debug).collect()
}
