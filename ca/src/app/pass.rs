//! Passes: the log-in of a person's plain key to a proxy's connection buys one there. The proxy says nothing of who it is:
//! what was signed, and the directory, do.
//!
//! A certificate buys none. It is for one grant, and its key may be another than the person's own; a pass is for all that
//! they may do at a proxy's desk.

use std::net::IpAddr;

use access::{Note, Refusal, State};
use identity::{Bearer, Claim, Desk, Directory, Subject, Through};
use model::{Actor, Fact, IdentityName, Presence, ProxyName};

use super::factor::raised_until;
use super::presence::{LogIn, absent};
use super::{App, AppError, Caller, LoggedIn};

/// What a proxy says of somebody who logged in with a plain key.
#[derive(Clone, Debug)]
pub struct Visitor {
    /// The key, in the OpenSSH one-line form.
    pub public_key: String,
    /// Their address.
    pub address: IpAddr,
    /// Their log-in.
    pub log_in: LogIn,
}

impl App {
    /// Finds out whose key logged in to a connection of the calling proxy, and gives the proxy a pass for them.
    ///
    /// # Errors
    /// The key is registered to nobody; the signature shows nothing, or has bought or opened something before; the
    /// person is locked, or connects too often; or the ledger cannot take it, and then there is no pass.
    pub async fn buy_pass(&self, caller: &Caller, visitor: &Visitor) -> Result<LoggedIn, AppError> {
        let proxy = caller.proxy()?.clone();
        let key =
            identity::parse_public_key(&visitor.public_key).map_err(|error| AppError::Invalid(error.to_string()))?;
        let directory = self.directory.current();
        let owner = directory.owner(key.key_data()).and_then(Subject::identity).cloned();
        let identity = owner.ok_or_else(|| {
            Refusal::new("unknown-key", "nobody is registered here with this key")
                .with_hint("an administrator enters it in the directory")
        })?;
        let LogIn { user, session_id, signature } = &visitor.log_in;
        let claim = Claim { user, session_id, signature };
        let seen = match identity::Presence::verify(&claim, identity::Shown::Key(key.key_data())) {
            Ok(seen) => seen,
            Err(error) => {
                let refusal = absent(&identity, &error.to_string());
                self.note_no_pass(&proxy, identity, &refusal.sentence, visitor.address).await;
                return Err(refusal.into());
            }
        };
        if let Err(refusal) = from_no_target(&directory, visitor.address) {
            self.note_no_pass(&proxy, identity, &refusal.sentence, visitor.address).await;
            return Err(refusal.into());
        }
        self.unspent(seen.sha256()).await?;
        let subject = Subject::Identity(identity.clone());
        self.notes.admit_pass(&subject)?;
        let fingerprint = identity::fingerprint(key.key_data());
        let (sha256, touch) = (seen.sha256().to_owned(), seen.touched());
        let presence = Presence { sha256, certificate: None, key: Some(fingerprint.clone()), touch, totp: false };
        let bearer = Bearer {
            identity: identity.clone(),
            key: fingerprint.clone(),
            verification: seen.verified_person(),
            address: visitor.address,
            through: Through { proxy: proxy.clone(), user: user.clone(), presence: presence.clone() },
        };
        let bought = self.authenticator.pass(bearer, self.random(), self.engine.now());
        let pass = bought.map_err(|_| AppError::from(Refusal::presence_spent()))?;
        let fact = Fact::IdentityLoggedIn {
            identity: identity.clone(),
            key: fingerprint,
            address: visitor.address.to_string(),
            touch,
            presence: Some(presence),
        };
        let actor = Actor::Through { identity: identity.clone(), proxy: proxy.clone() };
        let build = |_: &State, _| Ok(Note { fact: fact.clone(), request: None }.into());
        if let Err(error) = self.engine.execute(&actor, build, |_, _| ()).await {
            self.authenticator.revoke_pass(pass.token.expose());
            if let AppError::Refused(refusal) = &error {
                self.note_no_pass(&proxy, identity, &refusal.sentence, visitor.address).await;
            }
            return Err(error);
        }
        Ok(LoggedIn { token: pass.token, info: pass.info })
    }

    /// Whose pass this is, when its proxy shows it. Who, or whose key, left the directory is out at once, and who was
    /// locked since then for good.
    ///
    /// # Errors
    /// A refusal: it is over, or never was.
    pub fn admit_pass(&self, caller: &Caller, pass: &str) -> Result<Caller, AppError> {
        let proxy = caller.proxy()?;
        let over = || Refusal::new("pass-over", "this log-in is over").with_hint("connect again");
        let (info, locked, raised) = self.engine.peek(|state, now| {
            let info = self.authenticator.authenticate_pass(pass, proxy, now).map_err(|_| over())?;
            let person = info.subject.identity().ok_or_else(over)?;
            let locked = state.check_unlocked(person, now).err();
            if locked.is_none() && state.locked_at(person).is_some_and(|at| info.issued <= at) {
                return Err(over());
            }
            let raised = raised_until(state, &info, now);
            Ok((info, locked, raised))
        })?;
        let directory = self.directory.current();
        if !directory.has_fingerprint(&info.subject, &info.key) {
            self.authenticator.revoke_pass(pass);
            return Err(over().into());
        }
        let address = info.address;
        let desk = directory.proxy(proxy).map_or(Desk::Sessions, |proxy| proxy.desk);
        Ok(Caller::new(info, address, locked).raised(raised).at_desk(desk))
    }

    /// Whether the directory lets the calling proxy pass reviews on.
    pub fn passes_reviews_on(&self, caller: &Caller) -> bool {
        let directory = self.directory.current();
        caller.proxy().is_ok_and(|proxy| directory.proxy(proxy).is_some_and(|proxy| proxy.desk >= Desk::Review))
    }

    /// Ends the session token, or the pass, that a call came with.
    pub fn end_token(&self, caller: &Caller, token: &str) {
        match caller.through() {
            Some(_) => drop(self.authenticator.revoke_pass(token)),
            None => self.logout(token),
        }
    }

    async fn note_no_pass(&self, proxy: &ProxyName, identity: IdentityName, reason: &str, address: IpAddr) {
        let subject = Subject::Identity(identity.clone());
        let fact = Fact::IdentityLoginRefused { identity, reason: reason.to_owned(), address: address.to_string() };
        self.note(&subject, &Actor::Proxy(proxy.clone()), fact, None).await;
    }
}

/// Refuses who comes from a server of the directory: whoever is root there can use the agent that somebody forwarded to
/// it, and a plain key in an agent signs for any place. Only addresses that are written as numbers can be known here. The
/// loopback is the proxy's own machine, and whoever is in there needs nobody's agent.
fn from_no_target(directory: &Directory, address: IpAddr) -> Result<(), Refusal> {
    let address = address.to_canonical();
    let here = |host: &str| host.parse::<IpAddr>().is_ok_and(|host| host.to_canonical() == address);
    let mut targets = directory.targets();
    match targets.find(|target| target.addresses.iter().any(|of| here(of.host()))) {
        Some(target) if !address.is_loopback() => {
            let sentence = format!("{address} is {}: nobody logs in from a target with a plain key", target.name);
            let hint = "connect from your own machine; to go on from a target, use ssh -J";
            Err(Refusal::new("from-a-target", sentence).with_hint(hint))
        }
        Some(_) | None => Ok(()),
    }
}
