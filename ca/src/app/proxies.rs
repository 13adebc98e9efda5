//! What proxies say of themselves, every few seconds: how old their knowledge of revocations is, and which host key they
//! show. It is kept in memory only: it is over when it is said, and changes nothing.

use std::collections::BTreeMap;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use model::{ProxyName, Timestamp};

use super::rules::shortened;
use super::{App, AppError, Caller};

/// The longest fingerprint that is kept.
const FINGERPRINT: usize = 128;
/// How many keys of a CA are kept: it has two at most.
const KEYS: usize = 4;
/// A proxy that has said nothing for so long is not there. They say something every five seconds.
const AWAY: Duration = Duration::from_secs(60);

/// What one proxy says of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProxyWord {
    /// How long it has heard nothing from its feed; `None` when it never has.
    pub feed_age: Option<Duration>,
    /// The longest that may be before it lets nobody in.
    pub feed_limit: Duration,
    /// Fingerprint of the host key that it shows.
    pub host_key: String,
    /// Why and when another one was refused.
    pub refused: Option<(String, Timestamp)>,
    /// Fingerprints of the user CA's keys that it trusts.
    pub user_ca: Vec<String>,
}

/// What a proxy said last.
#[derive(Clone, Debug)]
pub struct ProxyState {
    /// Which proxy.
    pub name: ProxyName,
    /// What it said, and when.
    pub word: Option<(ProxyWord, Timestamp)>,
}

/// What all proxies said last. There are no more of them than the directory lists. The engine asks for it while it decides, so
/// nobody who holds it asks the engine for anything.
#[derive(Default)]
pub(super) struct Words(Mutex<BTreeMap<ProxyName, (ProxyWord, Timestamp)>>);

impl App {
    /// Keeps what the calling proxy says of itself.
    ///
    /// # Errors
    /// The caller is no proxy.
    pub fn hear_proxy(&self, caller: &Caller, word: ProxyWord) -> Result<(), AppError> {
        let name = caller.proxy()?.clone();
        let mut word = word;
        word.host_key = word.host_key.chars().take(FINGERPRINT).collect();
        word.user_ca.truncate(KEYS);
        word.user_ca.iter_mut().for_each(|key| *key = key.chars().take(FINGERPRINT).collect());
        word.refused = word.refused.map(|(why, at)| (shortened(why), at));
        let now = self.engine.now();
        self.words.0.lock().unwrap_or_else(PoisonError::into_inner).insert(name, (word, now));
        Ok(())
    }

    /// The proxies that are there and do not say that they trust this key of the user CA. One that this program has not heard
    /// of may be there for as long as it takes to find out.
    pub(super) fn behind(&self, key: &str, now: Timestamp) -> Vec<ProxyName> {
        let there = |told: Timestamp| now.since(told) < AWAY;
        let lacks = |state: &ProxyState| match &state.word {
            Some((word, told)) => there(*told) && !word.user_ca.iter().any(|known| known == key),
            None => there(self.started),
        };
        self.proxies(false).into_iter().filter(lacks).map(|state| state.name).collect()
    }

    /// The proxies of the directory, as they said last. Why a host key was refused is for those who write the file.
    pub(super) fn proxies(&self, administers: bool) -> Vec<ProxyState> {
        let words = self.words.0.lock().unwrap_or_else(PoisonError::into_inner);
        let directory = self.directory.current();
        let state = |proxy: &identity::Proxy| {
            let mut word = words.get(&proxy.name).cloned();
            if let Some((ProxyWord { refused: Some((why, _)), .. }, _)) = &mut word
                && !administers
            {
                why.clear();
            }
            ProxyState { name: proxy.name.clone(), word }
        };
        directory.proxies().map(state).collect()
    }
}

impl ProxyState {
    /// How old its knowledge of revocations is at `now`: by its own word, and older by the time since.
    #[must_use]
    pub fn feed_age(&self, now: Timestamp) -> Option<Duration> {
        let (word, told) = self.word.as_ref()?;
        Some(word.feed_age?.saturating_add(now.since(*told)))
    }
}
