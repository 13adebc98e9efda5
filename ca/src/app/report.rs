//! What a proxy saw.

use access::{
    ChannelClosed, ChannelOpened, ChannelRefused, Command, EndSession, RecordingClosed, RecordingFailed,
    RecordingStarted, Reported,
};
use model::{ChannelEnd, ChannelKind, Pty, RecordingId, SessionEnd, SessionId, Timestamp};

use super::engine::Settling;
use super::{App, AppError, Caller};

/// One thing that a proxy saw in a session.
#[derive(Clone, Debug)]
pub enum Report {
    /// The target agreed to run what a channel asks for.
    ChannelOpened {
        /// Its number in the session.
        channel: u32,
        /// What it carries.
        kind: ChannelKind,
        /// Its terminal.
        pty: Option<Pty>,
    },
    /// A channel, or a request on one, was refused by the grant.
    ChannelRefused {
        /// What was asked.
        asked: String,
        /// Why not.
        reason: String,
    },
    /// A channel was closed.
    ChannelClosed {
        /// Its number in the session.
        channel: u32,
        /// What passed and how it finished.
        end: ChannelEnd,
    },
    /// A recording was armed.
    RecordingStarted {
        /// The recording.
        recording: RecordingId,
        /// Its channel.
        channel: u32,
    },
    /// A recording was closed.
    RecordingClosed {
        /// The recording.
        recording: RecordingId,
        /// What it is.
        closed: model::RecordingClosed,
    },
    /// A recording could not be written.
    RecordingFailed {
        /// The recording.
        recording: RecordingId,
        /// What went wrong.
        error: String,
    },
    /// The session ended.
    Ended {
        /// Why.
        end: SessionEnd,
        /// When nothing passed any more, as far as it is known.
        cut: Option<Timestamp>,
        /// When the person's socket was closed.
        dropped: Timestamp,
    },
}

impl App {
    /// Takes what a proxy saw in one of its sessions, in its order up to the first that is refused, and answers how
    /// many those were; they are in the ledger then.
    ///
    /// `told` is how many facts of the session the proxy knows to be in the ledger. What is there beyond that, because
    /// an answer was lost, counts as taken and is not entered again. Without it everything is new.
    ///
    /// # Errors
    /// The very first is refused: the caller is not the session's proxy, or it does not fit the state. Or the ledger
    /// cannot take them; then any part of them may have been entered.
    pub async fn report(
        &self,
        caller: &Caller,
        session: &SessionId,
        told: Option<u64>,
        reports: Vec<Report>,
    ) -> Result<usize, AppError> {
        caller.proxy()?;
        let actor = caller.actor();
        let mut taken = Vec::new();
        for (place, report) in (0_u64..).zip(reports) {
            let command = report.command(session);
            let command: Command = match told.map(|told| told.saturating_add(place)) {
                Some(number) => Reported { session: session.clone(), number, command }.into(),
                None => command,
            };
            match self.engine.begin(&actor, &mut |_, _| Ok(command.clone()), &|_, _| ()).await {
                Ok(((), settling)) => taken.push(settling),
                // What stands before it is kept; the proxy hears of the refusal when it begins with this one.
                Err(AppError::Refused(_)) if !taken.is_empty() => break,
                Err(error) => return Err(error),
            }
        }
        let count = taken.len();
        self.all_settled(taken).await?;
        Ok(count)
    }

    /// Waits until what was begun is durable.
    pub(super) async fn all_settled(&self, waiting: Vec<Settling>) -> Result<(), AppError> {
        for settling in waiting {
            // Something was passed over as being there, and the ledger lost it: it must be told again.
            if !self.engine.settled(settling).await? {
                return Err(AppError::Unavailable("it failed while this was entered".to_owned()));
            }
        }
        Ok(())
    }
}

impl Report {
    fn command(self, session: &SessionId) -> Command {
        let session = session.clone();
        match self {
            Self::ChannelOpened { channel, kind, pty } => {
                ChannelOpened { session, channel, channel_kind: kind, pty }.into()
            }
            Self::ChannelRefused { asked, reason } => ChannelRefused { session, asked, reason }.into(),
            Self::ChannelClosed { channel, end } => ChannelClosed { session, channel, end }.into(),
            Self::RecordingStarted { recording, channel } => RecordingStarted { recording, session, channel }.into(),
            Self::RecordingClosed { recording, closed } => RecordingClosed { recording, closed }.into(),
            Self::RecordingFailed { recording, error } => RecordingFailed { recording, error }.into(),
            Self::Ended { end, cut, dropped } => EndSession { session, end, cut, dropped }.into(),
        }
    }
}
