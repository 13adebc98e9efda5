//! What a target may open towards the person: nothing that the person did not ask for, and only while that holds.

use std::collections::BTreeMap;
use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::watch;

use super::End;

/// What a target may open towards the person, in one session.
#[derive(Debug, Default)]
pub(crate) struct Rights {
    inner: Mutex<Inner>,
    /// How many requests about listeners wait for their answers.
    pending: watch::Sender<usize>,
}

#[derive(Debug, Default)]
struct Inner {
    /// Each with the number by which the ledger knows it.
    listeners: BTreeMap<End, u32>,
    agent: bool,
    screens: Vec<Screen>,
}

/// A session channel for which X11 was asked.
#[derive(Debug)]
struct Screen {
    channel: u32,
    /// One connection, and no more (RFC 4254, section 6.3.1).
    single: bool,
}

impl Rights {
    /// The person wants the target to ask their agent. It holds to the end of the session: `sshd` keeps its socket as long.
    pub(crate) fn grant_agent(&self) {
        self.lock().agent = true;
    }

    /// Whether the target may ask the person's agent.
    pub(crate) fn has_agent(&self) -> bool {
        self.lock().agent
    }

    /// The person wants the programs of this session channel on their screen; `false` when they have said so before. So
    /// there are never more than there are channels, and a right for a single window stays one.
    pub(crate) fn grant_x11(&self, channel: u32, single: bool) -> bool {
        let mut inner = self.lock();
        let first = inner.screens.iter().all(|screen| screen.channel != channel);
        if first {
            inner.screens.push(Screen { channel, single });
        }
        first
    }

    /// A session channel has ended, and with it what was asked for on it.
    pub(crate) fn withdraw_x11(&self, channel: u32) {
        self.lock().screens.retain(|screen| screen.channel != channel);
    }

    /// Whether a window may be shown now. A right for a single one is used up by that.
    pub(crate) fn take_x11(&self) -> bool {
        let mut inner = self.lock();
        if inner.screens.iter().any(|screen| !screen.single) {
            return true;
        }
        inner.screens.pop().is_some()
    }

    /// A request about listeners is on its way.
    pub(super) fn listen_asked(&self) {
        self.pending.send_modify(|pending| *pending += 1);
    }

    /// A request about listeners is answered.
    pub(super) fn listen_answered(&self) {
        self.pending.send_modify(|pending| *pending = pending.saturating_sub(1));
    }

    /// Waits until no request about listeners is on its way: a connection may come in faster than the word that
    /// somebody listens for it.
    pub(super) async fn settled(&self) {
        // The sender lives as long as this does.
        let _ = self.pending.subscribe().wait_for(|pending| *pending == 0).await;
    }

    /// How many listeners there are.
    pub(super) fn listeners(&self) -> usize {
        self.lock().listeners.len()
    }

    /// Whether the target listens there for the person.
    pub(super) fn listens(&self, at: &End) -> bool {
        self.lock().listeners.contains_key(at)
    }

    /// The target listens there.
    pub(super) fn add_listener(&self, at: End, number: u32) {
        self.lock().listeners.insert(at, number);
    }

    /// The target is to listen there no more; the listener's number, if there was one.
    pub(super) fn remove_listener(&self, at: &End) -> Option<u32> {
        self.lock().listeners.remove(at)
    }

    /// Takes everything back; the numbers of the listeners that there were.
    pub(super) fn clear(&self) -> Vec<u32> {
        std::mem::take(&mut *self.lock()).listeners.into_values().collect()
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_has_no_right_that_nobody_gave_it() {
        let rights = Rights::default();
        let at = End::Tcp { host: "localhost".into(), port: 8080 };
        assert!(!rights.has_agent() && !rights.take_x11() && !rights.listens(&at));
        rights.add_listener(at.clone(), 3);
        assert!(rights.listens(&at));
        assert!(!rights.listens(&End::Tcp { host: "localhost".into(), port: 8081 }));
        assert!(!rights.listens(&End::Tcp { host: String::new(), port: 8080 }));
        assert_eq!(rights.remove_listener(&at), Some(3));
        assert!(!rights.listens(&at));
        rights.add_listener(at.clone(), 4);
        rights.grant_agent();
        assert_eq!(rights.clear(), [4]);
        assert!(!rights.has_agent() && !rights.listens(&at), "nothing outlives the session");
    }

    #[test]
    fn a_screen_lasts_as_long_as_its_channel_and_a_single_one_is_used_up() {
        let rights = Rights::default();
        assert!(
            rights.grant_x11(1, true) && !rights.grant_x11(1, false) && !rights.grant_x11(1, true),
            "once a channel"
        );
        assert!(rights.take_x11() && !rights.take_x11());
        assert!(rights.grant_x11(2, false));
        assert!(rights.take_x11() && rights.take_x11());
        rights.withdraw_x11(1);
        assert!(rights.take_x11());
        rights.withdraw_x11(2);
        assert!(!rights.take_x11());
    }

    #[tokio::test]
    async fn whoever_comes_in_waits_for_the_word_that_somebody_listens() {
        let rights = std::sync::Arc::new(Rights::default());
        rights.settled().await;
        rights.listen_asked();
        let waiting = tokio::spawn({
            let rights = rights.clone();
            async move { rights.settled().await }
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished());
        rights.listen_answered();
        waiting.await.unwrap();
    }
}
