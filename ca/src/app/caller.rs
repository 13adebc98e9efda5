//! Who is calling.

use std::net::IpAddr;
use std::sync::Arc;

use access::Refusal;
use identity::{Desk, Subject, Through, TokenInfo};
use model::{Actor, Factors, IdentityName, ProxyName, Timestamp};
use policy::Way;

use super::AppError;

/// A party whose session token was found good. Every use case takes one.
#[derive(Clone, Debug)]
pub struct Caller {
    info: Arc<TokenInfo>,
    address: IpAddr,
    /// Why this person may do nothing but ask who they are.
    locked: Option<Refusal>,
    /// Until when a one-time code makes more of their token or pass.
    raised: Option<Timestamp>,
    /// What their proxy may pass on; `None` for who calls by themself.
    desk: Option<Desk>,
}

impl Caller {
    pub(super) const fn new(info: Arc<TokenInfo>, address: IpAddr, locked: Option<Refusal>) -> Self {
        Self { info, address, locked, raised: None, desk: None }
    }

    /// The same with a one-time code that was given, until this moment.
    pub(super) const fn raised(mut self, until: Option<Timestamp>) -> Self {
        self.raised = until;
        self
    }

    /// The same, through a proxy that may pass on so much.
    pub(super) const fn at_desk(mut self, desk: Desk) -> Self {
        self.desk = Some(desk);
        self
    }

    /// Who, person or proxy.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.info.subject
    }

    /// The same as an actor of facts.
    #[must_use]
    pub fn actor(&self) -> Actor {
        match (&self.info.subject, &self.info.through) {
            (Subject::Identity(identity), Some(through)) => {
                Actor::Through { identity: identity.clone(), proxy: through.proxy.clone() }
            }
            (subject, _) => subject.clone().into(),
        }
    }

    /// The person, who is not locked and calls by themself.
    ///
    /// # Errors
    /// It is a proxy, and proxies do not do what people do; or it passes on what a person does there, which is for
    /// [`Caller::person`] only; or a lock holds them.
    pub fn identity(&self) -> Result<&IdentityName, AppError> {
        self.directly()?;
        self.person()
    }

    /// Refuses who calls through a proxy: a pass is good for a few things only.
    ///
    /// # Errors
    /// They do.
    pub fn directly(&self) -> Result<(), AppError> {
        match &self.info.through {
            None => Ok(()),
            Some(_) => Err(AppError::Forbidden {
                sentence: "this cannot be done through a proxy".to_owned(),
                hint: Some("use portcullis with a login of its own: portcullis login".to_owned()),
            }),
        }
    }

    /// The person, who is not locked, whether they call by themself or through a proxy. For what a pass may do, and for
    /// nothing else.
    ///
    /// # Errors
    /// It is a proxy; or a lock holds them.
    pub fn person(&self) -> Result<&IdentityName, AppError> {
        self.unlocked()?;
        self.info.subject.identity().ok_or_else(|| AppError::forbidden("a proxy may not do what people do"))
    }

    /// The person, as [`Caller::person`], for what not every proxy may pass on.
    ///
    /// # Errors
    /// It is a proxy; a lock holds them; or the directory does not let their proxy pass this on.
    pub fn person_at(&self, least: Desk) -> Result<&IdentityName, AppError> {
        let person = self.person()?;
        match (self.desk, self.through()) {
            (Some(desk), Some(through)) => passes_on(desk, least, &through.proxy).map(|()| person),
            _ => Ok(person),
        }
    }

    /// Refuses a person under a lock, with the lock's reason.
    ///
    /// # Errors
    /// There is one.
    pub fn unlocked(&self) -> Result<(), AppError> {
        self.locked.clone().map_or(Ok(()), |refusal| Err(refusal.into()))
    }

    /// The proxy.
    ///
    /// # Errors
    /// It is a person, and people do not do what proxies do.
    pub fn proxy(&self) -> Result<&ProxyName, AppError> {
        self.info.subject.proxy().ok_or_else(|| AppError::forbidden("only a session proxy may do this"))
    }

    /// The proxy that calls, be it in its own name or in that of a person with a pass.
    ///
    /// # Errors
    /// It is a person who calls by themself.
    pub fn carrier(&self) -> Result<&ProxyName, AppError> {
        match &self.info.through {
            Some(through) => Ok(&through.proxy),
            None => self.proxy(),
        }
    }

    /// How a pass was bought; `None` for who calls by themself.
    #[must_use]
    pub fn through(&self) -> Option<&Through> {
        self.info.through.as_ref()
    }

    /// Which way the call came.
    #[must_use]
    pub fn way(&self) -> Way {
        if self.info.through.is_some() { Way::Ssh } else { Way::Api }
    }

    /// When the session token, or the pass, was bought.
    #[must_use]
    pub fn issued(&self) -> Timestamp {
        self.info.issued
    }

    /// Whether a security key was touched to log in.
    #[must_use]
    pub fn touch(&self) -> bool {
        self.info.touch
    }

    /// Until when a one-time code counts that came with this token or pass.
    #[must_use]
    pub const fn code_until(&self) -> Option<Timestamp> {
        self.raised
    }

    /// What they have shown beside their key.
    #[must_use]
    pub fn factors(&self) -> Factors {
        Factors { touch: self.info.touch, totp: self.raised.is_some() }
    }

    /// Fingerprint of the key that logged in.
    #[must_use]
    pub fn key(&self) -> &str {
        &self.info.key
    }

    /// When the session token dies.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        self.info.expires
    }

    /// From where this call came.
    #[must_use]
    pub const fn address(&self) -> IpAddr {
        self.address
    }
}

/// Refuses what a proxy would pass on and the directory does not let it.
///
/// # Errors
/// It does not.
pub(super) fn passes_on(desk: Desk, least: Desk, proxy: &ProxyName) -> Result<(), AppError> {
    if desk >= least {
        return Ok(());
    }
    let what = if least == Desk::Review { "reviews" } else { "requests" };
    Err(AppError::Forbidden {
        sentence: format!(
            "this proxy may not pass {what} on: the directory has desk = \"{}\" for {proxy}",
            desk.as_str()
        ),
        hint: Some("use portcullis with a login of its own: portcullis login".to_owned()),
    })
}
