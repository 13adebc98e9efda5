//! How a session comes about: the question to the CA, what its person must supply, and the way to the target.

use std::sync::Arc;
use std::time::Duration;

use api::wire::{EnterByPass, OpenSession, OpenedSession, SessionReport};
use model::{SessionEnd, SessionId};
use ssh_key::PrivateKey;
use ssh_key::private::{Ed25519Keypair, KeypairData};
use tokio::sync::mpsc;
use tracing::warn;
use zeroize::Zeroizing;

use crate::auth::Shown;
use crate::bridge::{self, Opened};
use crate::clock::STRETCH;
use crate::control::ControlError;
use crate::desk::{self, Missing, Outcome};
use crate::dial;
use crate::gate::Gate;
use crate::permit::Permit;
use crate::record::chain;
use crate::registry::Live;
use crate::words::{self, Words};

use super::{Gone, PATIENCE, SETTLE, STAY, Session, Visit, Wish};

/// Why there is no session.
pub(super) struct Closed {
    pub(super) words: Words,
    /// What alone is missing, where the person may be asked for it right here.
    pub(super) missing: Option<Missing>,
}

impl From<Words> for Closed {
    fn from(words: Words) -> Self {
        Self { words, missing: None }
    }
}

impl Visit {
    /// Asks the CA and reaches the target.
    pub(super) async fn open(&self) -> Result<Session, Closed> {
        let gate = &self.gate;
        let asked = &self.destination;
        let key = Arc::new(self.ephemeral_key().map_err(|error| Words::say(format!("no key could be made: {error}")))?);
        let answer = self.ask(&key).await.map_err(|error| self.closed(&error))?;
        let session = answer.session.clone();
        let permit = match Permit::from_answer(answer, &self.person, asked, key) {
            Ok(permit) => permit,
            Err(error) => {
                let why = chain(&error);
                self.close_unused(&session, &why);
                return Err(Words::say(why).into());
            }
        };
        let live = Live::new(permit, self.outer.clone());
        gate.revocations.fresh(gate.config.feed_freshness.to_std(), gate.config.ca_timeout.to_std()).await;
        let registered = match gate.revocations.enter(&live, gate.config.feed_freshness.to_std()) {
            Ok(registered) => registered,
            Err(stale) => {
                self.close_unused(&session, &stale.to_string());
                return Err(Words::say(format!("no session can be opened now: {stale}"))
                    .hint("try again in a moment")
                    .into());
            }
        };
        let dialling = dial::dial(live.permit(), gate, |cutter| live.reach(&cutter));
        let dialled = tokio::select! {
            biased;
            () = live.stop().raised() => None,
            () = self.time_is_up(&live) => None,
            dialled = dialling => Some(dialled),
        };
        let blamed = match dialled {
            Some(Ok((target, arriving))) => {
                live.carry(&self.cutter);
                return Ok(Session { live, target: Arc::new(target), arriving, _registered: registered });
            }
            Some(Err(error)) => {
                let words = error.words();
                warn!(%session, "{}", words.line());
                // Certificates end with the second in which their grant does, and the target looks at them.
                let late = gate.now().seconds() >= live.deadline().borrow().seconds();
                let target = SessionEnd::Target { error: Some(chain(&error)) };
                let blamed = live.end(if late { SessionEnd::Expired } else { target }) && !late;
                blamed.then_some(words)
            }
            None => {
                live.end(SessionEnd::Expired);
                None
            }
        };
        // A target that is not reached because the session has ended is not to blame.
        let words = blamed
            .or_else(|| live.ended().and_then(|end| words::ended(end, live.permit())))
            .unwrap_or_else(|| Words::say("the session has ended"));
        self.receipt(&live, Gone::by_now(gate, &live));
        Err(words.into())
    }

    /// What the CA's refusal means for this person.
    fn closed(&self, error: &ControlError) -> Closed {
        let words = words::refused(error, &self.destination);
        let code = if let ControlError::Refused { code, .. } = error { code.as_str() } else { "" };
        match (&self.person.shown, code) {
            (Shown::Key(_), "no-active-grant") => {
                let words = words.hint("or come back with a terminal, ssh -t, and ask right here");
                Closed { words, missing: Some(Missing::Grant) }
            }
            (Shown::Key(pass), "factor-needed") if pass.authenticator() => {
                Closed { words, missing: Some(Missing::Code) }
            }
            (Shown::Key(_) | Shown::Certificate(_), _) => words.into(),
        }
    }

    /// Has the person supply what is missing, where they have a terminal, and opens the session then. Otherwise why not,
    /// and how long they may stay to read it.
    pub(super) async fn supplied(
        &self,
        wishes: &mut mpsc::Receiver<Wish>,
        early: &mut Vec<Wish>,
        mut words: Words,
        missing: Missing,
    ) -> Result<(Session, Opened), (Words, Duration)> {
        let mut outcome = desk::at_the_door(self, wishes, early, &words, missing).await;
        let mut may_ask_again = missing == Missing::Grant;
        loop {
            let first = match outcome {
                Outcome::Granted(first) => first,
                Outcome::Told => return Err((words, SETTLE)),
                Outcome::Nobody => return Err((words, STAY)),
            };
            match self.open().await {
                Ok(session) => return Ok((session, first)),
                // A grant that was asked for elsewhere may take a code here.
                Err(Closed { words: why, missing: Some(Missing::Code) }) if may_ask_again => {
                    may_ask_again = false;
                    words = why;
                    outcome = desk::once_more(self, first, &words, Missing::Code).await;
                }
                Err(Closed { words, .. }) => {
                    bridge::refuse(first, &words, PATIENCE).await;
                    return Err((words, SETTLE));
                }
            }
        }
    }

    /// Waits until the grant's time is up.
    async fn time_is_up(&self, live: &Live) {
        let mut deadline = live.deadline();
        loop {
            let left = deadline.borrow_and_update().since(self.gate.now());
            if left.is_zero() {
                return;
            }
            // The clock of the machine may be set while one waits.
            let _ = tokio::time::timeout(left.min(STRETCH), deadline.changed()).await;
        }
    }

    /// Asks the CA. A call that takes too long is not forgotten: the session that it may open is closed again.
    async fn ask(&self, key: &PrivateKey) -> Result<OpenedSession, ControlError> {
        let public_key = key
            .public_key()
            .to_openssh()
            .map_err(|error| ControlError::Unavailable(format!("the key cannot be written: {error}")))?;
        let (target, login) = (self.destination.target.to_string(), self.destination.login.to_string());
        let (control, way) = (self.gate.control.clone(), self.way);
        let mut call = match (&self.person.shown, &self.presence) {
            (Shown::Key(pass), _) => {
                let (pass, ask) = (pass.clone(), EnterByPass { target, login, way, public_key });
                tokio::spawn(async move { control.enter(pass.token(), &ask).await })
            }
            (Shown::Certificate(certificate), Some(presence)) => {
                let (certificate, presence) = (certificate.clone(), presence.clone());
                let address = self.address.to_string();
                let ask = OpenSession { certificate, target, login, address, way, public_key, presence };
                tokio::spawn(async move { control.open(&ask).await })
            }
            (Shown::Certificate(_), None) => {
                return Err(ControlError::Unavailable("the log-in was used already".to_owned()));
            }
        };
        let timeout = self.gate.config.ca_timeout.to_std();
        match tokio::time::timeout(timeout, &mut call).await {
            Ok(Ok(answer)) => answer,
            Ok(Err(_)) => Err(ControlError::Unavailable("the call was given up".to_owned())),
            Err(_) => {
                let gate = self.gate.clone();
                tokio::spawn(async move {
                    if let Ok(Ok(late)) = call.await {
                        close_unused(&gate, &late.session, "the CA's answer came too late");
                    }
                });
                Err(ControlError::Unavailable(format!("no answer within {} s", timeout.as_secs())))
            }
        }
    }

    fn ephemeral_key(&self) -> Result<PrivateKey, ssh_key::Error> {
        let mut seed = Zeroizing::new([0; 32]);
        self.gate.ambient.fill(seed.as_mut_slice());
        PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)), "")
    }

    fn close_unused(&self, session: &SessionId, why: &str) {
        close_unused(&self.gate, session, why);
    }
}

/// Closes a session that the CA opened and nobody will use.
fn close_unused(gate: &Gate, session: &SessionId, why: &str) {
    warn!(%session, "a session is closed unused: {why}");
    let end = SessionEnd::Proxy { reason: why.to_owned() };
    // The end of a session is always taken.
    let _ = gate.reporter.send(session, SessionReport::Ended { end, cut: None, dropped: gate.now().into() });
}
