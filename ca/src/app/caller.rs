//! Who is calling.

use std::net::IpAddr;
use std::sync::Arc;

use access::Refusal;
use identity::{Subject, TokenInfo};
use model::{Actor, IdentityName, ProxyName, Timestamp};

use super::AppError;

/// A party whose session token was found good. Every use case takes one.
#[derive(Clone, Debug)]
pub struct Caller {
    info: Arc<TokenInfo>,
    address: IpAddr,
    /// Why this person may do nothing but ask who they are.
    locked: Option<Refusal>,
}

impl Caller {
    pub(super) const fn new(info: Arc<TokenInfo>, address: IpAddr, locked: Option<Refusal>) -> Self {
        Self { info, address, locked }
    }

    /// Who, person or proxy.
    #[must_use]
    pub fn subject(&self) -> &Subject {
        &self.info.subject
    }

    /// The same as an actor of facts.
    #[must_use]
    pub fn actor(&self) -> Actor {
        self.info.subject.clone().into()
    }

    /// The person, who is not locked.
    ///
    /// # Errors
    /// It is a proxy, and proxies do not do what people do; or a lock holds them.
    pub fn identity(&self) -> Result<&IdentityName, AppError> {
        self.unlocked()?;
        self.info.subject.identity().ok_or_else(|| AppError::forbidden("a proxy may not do what people do"))
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

    /// Whether a security key was touched to log in.
    #[must_use]
    pub fn touch(&self) -> bool {
        self.info.touch
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
