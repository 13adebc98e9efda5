//! What all connections share.

use std::net::IpAddr;
use std::sync::{Arc, PoisonError, RwLock};

use model::{IdentityName, Timestamp};
use recordings::Vault;
use tokio::sync::{Notify, Semaphore};

use crate::ambient::Ambient;
use crate::auth::Authorities;
use crate::config::Config;
use crate::control::Control;
use crate::feed::Revocations;
use crate::hosts::Hosts;
use crate::limits::{Limit, Rooms};
use crate::registry::Registry;
use crate::report::Reporter;
use crate::strangers::Strangers;

/// What all connections share.
pub(crate) struct Gate {
    pub(crate) config: Config,
    pub(crate) control: Arc<dyn Control>,
    /// The random source and the steady clock: the machine's own is out of reach here.
    pub(crate) ambient: Arc<dyn Ambient>,
    pub(crate) vault: Vault,
    pub(crate) reporter: Reporter,
    pub(crate) revocations: Arc<Revocations>,
    pub(crate) registry: Arc<Registry>,
    pub(crate) hosts: Arc<Hosts>,
    /// Connections that have not logged in, by neighbourhood.
    pub(crate) waiting: Arc<Limit<IpAddr>>,
    /// Addresses from which keys came that nobody knows.
    pub(crate) strangers: Strangers,
    /// Questions to the CA whose key one is: so many at a time.
    pub(crate) asking: Arc<Semaphore>,
    /// Sessions, by person.
    pub(crate) people: Arc<Limit<IdentityName>>,
    /// Calls to the CA from the desk, by person.
    pub(crate) desks: Rooms<IdentityName>,
    /// Channels that move files, by person.
    pub(crate) transfers: Arc<Limit<IdentityName>>,
    /// Connections that carry others, by person.
    pub(crate) jumps: Arc<Limit<IdentityName>>,
    pub(crate) authorities: RwLock<Authorities>,
    /// Told when those have changed.
    pub(crate) trusts_others: Notify,
}

impl Gate {
    pub(crate) fn now(&self) -> Timestamp {
        self.ambient.now()
    }

    /// The keys that sign person certificates at present.
    pub(crate) fn authorities(&self) -> Authorities {
        self.authorities.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    pub(crate) fn set_authorities(&self, authorities: Authorities) {
        let mut known = self.authorities.write().unwrap_or_else(PoisonError::into_inner);
        if *known != authorities {
            *known = authorities;
            self.trusts_others.notify_one();
        }
    }
}
