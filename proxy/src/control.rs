//! What the proxy asks of the CA. The real one speaks to the API; tests bring their own.

use std::sync::Arc;

use api::Heard;
use api::wire::{
    BuyPass, CaKeys, EnterByPass, Extend, ExtensionOffer, HostSubject, OpenSession, OpenedSession, Pass, Recovered,
    Request, SessionReport, SignForTarget, TellProxyStatus,
};
use async_trait::async_trait;
use model::{SessionId, Timestamp};
use zeroize::Zeroizing;

/// The CA as the proxy sees it.
#[async_trait]
pub trait Control: Send + Sync + 'static {
    /// The public halves of the CA's keys.
    async fn keys(&self) -> Result<CaKeys, ControlError>;

    /// Asks for a session. The CA records it and signs the session certificate, or refuses and says why.
    async fn open(&self, ask: &OpenSession) -> Result<OpenedSession, ControlError>;

    /// Asks whose plain key logged in. The CA records it and gives a pass, or refuses and says why.
    async fn buy_pass(&self, _ask: &BuyPass) -> Result<Pass, ControlError> {
        Err(no_passes())
    }

    /// Asks for the one session of a pass, as [`open`](Self::open) does with a certificate.
    async fn enter(&self, _pass: &Arc<Zeroizing<String>>, _ask: &EnterByPass) -> Result<OpenedSession, ControlError> {
        Err(no_passes())
    }

    /// Passes on a one-time code of the person with this pass.
    async fn verify_code(&self, _pass: &Arc<Zeroizing<String>>, _code: &Zeroizing<String>) -> Result<(), ControlError> {
        Err(no_passes())
    }

    /// Gives a pass back: its connection is closed.
    async fn end_pass(&self, _pass: &Arc<Zeroizing<String>>) -> Result<(), ControlError> {
        Err(no_passes())
    }

    /// How much more time the person of a live session could ask for.
    async fn offer_extension(&self, _session: &SessionId) -> Result<ExtensionOffer, ControlError> {
        Err(no_extensions())
    }

    /// Asks for more time in the name of a live session's person; once for each `key`.
    async fn extend(&self, _session: &SessionId, _ask: &Extend, _key: &str) -> Result<Request, ControlError> {
        Err(no_extensions())
    }

    /// The CA for what a person does at the desk; `None` where there is no desk.
    fn desk(&self, _pass: &Arc<Zeroizing<String>>) -> Option<api::Client> {
        None
    }

    /// Asks for the one signature that logs a session in to a target that knows no certificates, in its wire form. The CA
    /// puts together what is signed.
    async fn sign_for_target(&self, _session: &SessionId, _ask: &SignForTarget) -> Result<Vec<u8>, ControlError> {
        Err(ControlError::Unavailable("it holds no keys of targets".to_owned()))
    }

    /// Tells what happened in a session, in order, and answers how many of these reports the CA has now: all up to the
    /// first that it refuses. `told` is how many of the session it had before, as far as was heard; what it has beyond
    /// that, it does not enter again. A refusal is the first report's.
    async fn report(
        &self,
        session: &SessionId,
        told: Option<u64>,
        reports: Vec<SessionReport>,
    ) -> Result<usize, ControlError>;

    /// A host certificate for the proxy's own name, or for a target that it stands in for.
    async fn host_certificate(&self, host: HostSubject, public_key: &str) -> Result<HostCertificate, ControlError>;

    /// Tells what an earlier run of this proxy left behind, or what this one carries.
    async fn recovered(&self, found: &Recovered) -> Result<(), ControlError>;

    /// Tells how this proxy does. Nothing hangs on it.
    async fn tell_status(&self, _status: &TellProxyStatus) -> Result<(), ControlError> {
        Ok(())
    }

    /// The place in the ledger behind its last fact.
    async fn position(&self) -> Result<u64, ControlError>;

    /// Follows the facts from this place on.
    async fn follow(&self, from: u64) -> Result<Box<dyn Feed>, ControlError>;
}

fn no_passes() -> ControlError {
    ControlError::Unavailable("it knows no plain keys".to_owned())
}

fn no_extensions() -> ControlError {
    ControlError::Unavailable("it takes no such requests".to_owned())
}

/// An open feed of facts.
#[async_trait]
pub trait Feed: Send {
    /// What the CA says next. After an error the feed is dead and a new one must be opened.
    async fn next(&mut self) -> Result<Heard, ControlError>;
}

/// A host certificate as the CA issued it.
#[derive(Clone, Debug)]
pub struct HostCertificate {
    /// In the OpenSSH one-line form.
    pub certificate: String,
    /// Valid until (exclusive).
    pub valid_before: Timestamp,
}

/// The CA said no, or did not say anything.
#[derive(Clone, Debug, thiserror::Error)]
pub enum ControlError {
    /// It refuses. Asking again changes nothing.
    #[error("{sentence}")]
    Refused {
        /// The stable code of the refusal.
        code: String,
        /// Why.
        sentence: String,
        /// What to do next.
        hint: Option<String>,
    },
    /// It cannot be reached, or cannot decide now.
    #[error("the CA cannot be asked: {0}")]
    Unavailable(String),
}
