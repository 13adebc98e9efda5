//! Facts that change no state and need only be kept.

use model::{Correlation, Entry, Fact, Seq};

use super::Desk;
use crate::Refusal;
use crate::command::Note;

impl Desk<'_> {
    pub(super) fn note(&self, note: Note) -> Result<Vec<Entry>, Refusal> {
        let Note { fact, request } = note;
        let name = match &fact {
            Fact::LedgerOpened { .. } if self.state.next() != Seq(0) => {
                return Err(Refusal::new("not-a-note", "the ledger is open already"));
            }
            Fact::LedgerOpened { .. }
            | Fact::SystemStarted { .. }
            | Fact::FrontCaLoaded { .. }
            | Fact::SystemStopped {} => "system",
            Fact::PolicyLoaded { .. } | Fact::PolicyRefused { .. } => "policy",
            Fact::DirectoryLoaded { .. }
            | Fact::DirectoryRefused { .. }
            | Fact::TargetRegistered { .. }
            | Fact::TargetRemoved { .. } => "directory",
            Fact::IdentityLoggedIn { .. } | Fact::IdentityLoginRefused { .. } => "logins",
            Fact::FactorRefused { .. } => "factors",
            Fact::RequestRefused { .. } => "requests",
            Fact::SessionRefused { .. } => "sessions",
            Fact::FactorAdded { .. }
            | Fact::FactorRemoved { .. }
            | Fact::FactorUsed { .. }
            | Fact::RequestFiled { .. }
            | Fact::CaStaged { .. }
            | Fact::CaActivated { .. }
            | Fact::CaRetired { .. }
            | Fact::CaCancelled { .. }
            | Fact::RequestReviewed { .. }
            | Fact::ReviewWithdrawn { .. }
            | Fact::RequestApproved { .. }
            | Fact::RequestDenied { .. }
            | Fact::RequestCancelled { .. }
            | Fact::RequestExpired { .. }
            | Fact::GrantActivated { .. }
            | Fact::GrantExtended { .. }
            | Fact::GrantEnded { .. }
            | Fact::CertificateIntended { .. }
            | Fact::CertificateIssued { .. }
            | Fact::CertificateFailed { .. }
            | Fact::TargetKeyMade { .. }
            | Fact::TargetKeyDestroyed { .. }
            | Fact::TargetKeyUsed { .. }
            | Fact::SessionOpened { .. }
            | Fact::SessionCut { .. }
            | Fact::SessionEnded { .. }
            | Fact::ChannelOpened { .. }
            | Fact::ChannelRefused { .. }
            | Fact::ChannelClosed { .. }
            | Fact::RecordingStarted { .. }
            | Fact::RecordingClosed { .. }
            | Fact::RecordingFailed { .. }
            | Fact::RecordingReplayed { .. }
            | Fact::LockPlaced { .. }
            | Fact::LockLifted { .. } => {
                let sentence = "this fact changes the state: it is decided, not noted";
                return Err(Refusal::new("not-a-note", sentence));
            }
        };
        let correlation = request.as_ref().map_or_else(|| Correlation::named(name), Correlation::from);
        Ok(vec![self.entry(correlation, fact)])
    }
}
