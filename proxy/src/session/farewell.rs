//! How people are told why: at the end of a session, and when there is none.

use tokio::sync::mpsc;
use tokio::task::{JoinError, JoinSet};
use tokio::time::{Duration, Instant};

use russh::Disconnect;

use crate::bridge::Closing;
use crate::registry::Live;
use crate::words::{self, Words};

use super::{Gone, PATIENCE, SETTLE, Visit, Wish, finish};

impl Visit {
    /// Says why the session ends, as far as the person takes it in time, and closes their connection. Returns when
    /// that was.
    pub(super) async fn farewell(
        &self,
        live: &Live,
        channels: &mut JoinSet<Closing>,
        closings: &mut JoinSet<()>,
    ) -> Gone {
        // The time runs from the cut, however late this task comes to it.
        let late = live.cut_for().unwrap_or_default();
        let until = Instant::now() + self.gate.config.notice.to_std().saturating_sub(late);
        let words = live.ended().and_then(|end| words::ended(end, live.permit()));
        let mut ended = Vec::new();
        let said = match &words {
            Some(words) => {
                let notice = self.say(live, words, channels, &mut ended);
                tokio::time::timeout_at(until, notice).await.unwrap_or(false)
            }
            None => false,
        };
        if said {
            self.cutter.close();
        } else {
            self.cutter.cut();
        }
        live.words().raise();
        live.gone().raise();
        let gone = Gone::by_now(&self.gate, live);
        if words.is_some()
            && let Some(outer) = &self.outer
        {
            outer.leave(until.into_std().saturating_duration_since(std::time::Instant::now()));
        }
        // The rest comes behind the last of them: disk and ledger must not take the processor from those who are still to be
        // dropped.
        live.crowd_gone().await;
        ended.into_iter().for_each(|closed| finish(closings, closed));
        gone
    }

    /// Has every channel say its last words, and waits until they are with the kernel; `false` when nothing may be said.
    async fn say(
        &self,
        live: &Live,
        words: &Words,
        channels: &mut JoinSet<Closing>,
        ended: &mut Vec<Result<Closing, JoinError>>,
    ) -> bool {
        // Behind a cut no byte of the target may pass, so nothing is said to somebody who is still being sent some.
        if live.cut_for().is_some() && !(self.cutter.settled().await && live.outer_is_clear()) {
            return false;
        }
        self.cutter.speak();
        live.words().raise();
        while let Some(closed) = channels.join_next().await {
            ended.push(closed);
        }
        // Whoever was told on a channel gets no disconnect message behind it: a client that reads both at once throws
        // away what it has not printed.
        if ended.is_empty() {
            let said = self.handle.disconnect(Disconnect::ByApplication, words.line(), String::new());
            let _ = said.await;
        }
        self.cutter.leave();
        self.cutter.finished().await;
        true
    }

    /// Tells a person why not, on every channel that they open, and hangs up.
    pub(super) async fn turn_away(&self, wishes: &mut mpsc::Receiver<Wish>, words: &Words, stay: Duration) {
        let mut told = JoinSet::new();
        // Channels that are opened without end do not put it off.
        let end = Instant::now() + stay;
        let patience = tokio::time::sleep(PATIENCE);
        tokio::pin!(patience);
        loop {
            tokio::select! {
                () = self.gone.raised() => return,
                () = &mut patience => break,
                () = tokio::time::sleep_until(end) => break,
                Some(wish) = wishes.recv() => {
                    let words = words.clone();
                    if let Wish::Listen(asked) = wish {
                        asked.reply.reject();
                    } else {
                        told.spawn(async move { wish.decline(&words).await });
                    }
                }
                // A client drops what it has not yet printed when it is disconnected, so it is left to hang up by itself.
                Some(_) = told.join_next() => patience.as_mut().reset(Instant::now() + SETTLE),
            }
        }
        self.hang_up(words).await;
    }

    /// Says why, within the time that a notice has, and closes the person's connection.
    async fn hang_up(&self, words: &Words) {
        let notice = async {
            let said = self.handle.disconnect(Disconnect::ByApplication, words.line(), String::new());
            let _ = said.await;
            self.cutter.finished().await;
        };
        match tokio::time::timeout(self.gate.config.notice.to_std(), notice).await {
            Ok(()) => self.cutter.close(),
            Err(_) => self.cutter.cut(),
        }
    }
}
