//! A flag that is raised once and wakes everybody who waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::Notify;

/// A flag that is raised once. Cheap to clone; clones are the same flag.
#[derive(Clone, Debug, Default)]
pub(crate) struct Signal(Arc<Inner>);

#[derive(Debug, Default)]
struct Inner {
    raised: AtomicBool,
    waiting: Notify,
}

impl Signal {
    /// Raises the flag; `false` when it was up already.
    pub(crate) fn raise(&self) -> bool {
        let first = !self.0.raised.swap(true, Ordering::AcqRel);
        self.0.waiting.notify_waiters();
        first
    }

    /// Whether the flag is up.
    pub(crate) fn is_raised(&self) -> bool {
        self.0.raised.load(Ordering::Acquire)
    }

    /// Waits until the flag is up.
    pub(crate) async fn raised(&self) {
        let waiting = self.0.waiting.notified();
        tokio::pin!(waiting);
        // Registered before the look at the flag, so that a raise in between is not missed.
        waiting.as_mut().enable();
        if !self.is_raised() {
            waiting.await;
        }
    }
}

/// Raises a flag when it is dropped: however a task ends, those who wait for it learn of it.
#[derive(Debug)]
pub(crate) struct RaiseOnDrop(pub(crate) Signal);

impl Drop for RaiseOnDrop {
    fn drop(&mut self) {
        self.0.raise();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn everybody_wakes_and_latecomers_do_not_wait() {
        let signal = Signal::default();
        let waiting: Vec<_> = (0..3)
            .map(|_| {
                let signal = signal.clone();
                tokio::spawn(async move { signal.raised().await })
            })
            .collect();
        tokio::task::yield_now().await;
        assert!(waiting.iter().all(|task| !task.is_finished()));
        assert!(signal.raise());
        assert!(!signal.raise(), "only once");
        for task in waiting {
            task.await.unwrap();
        }
        signal.raised().await;
    }

    #[tokio::test]
    async fn a_dropped_guard_raises() {
        let signal = Signal::default();
        drop(RaiseOnDrop(signal.clone()));
        assert!(signal.is_raised());
    }
}
