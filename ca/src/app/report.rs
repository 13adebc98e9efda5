//! What a proxy saw.

use access::{
    ChannelClosed, ChannelOpened, ChannelRefused, Command, EndSession, RecordingClosed, RecordingFailed,
    RecordingStarted,
};
use model::{ChannelEnd, ChannelKind, Pty, RecordingId, SessionEnd, SessionId, Timestamp};

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
    /// Takes what a proxy saw in one of its sessions, in its order.
    ///
    /// # Errors
    /// The caller is not the session's proxy. A report that does not fit the state is refused by itself; the others
    /// are kept, and the first refusal is the answer.
    pub async fn report(&self, caller: &Caller, session: &SessionId, reports: Vec<Report>) -> Result<(), AppError> {
        caller.proxy()?;
        self.keep_all(caller, reports.into_iter().map(|report| report.command(session))).await
    }

    /// Executes commands in their order and waits once for the disk.
    pub(super) async fn keep_all(
        &self,
        caller: &Caller,
        commands: impl Iterator<Item = Command>,
    ) -> Result<(), AppError> {
        let actor = caller.actor();
        let mut refusal = None;
        let mut waiting = Vec::new();
        for command in commands {
            match self.engine.begin(&actor, &mut |_, _| Ok(command.clone()), &|_, _| ()).await {
                Ok(((), settling)) => waiting.push(settling),
                Err(error) => {
                    refusal.get_or_insert(error);
                }
            }
        }
        for settling in waiting {
            self.engine.settled(settling).await?;
        }
        refusal.map_or(Ok(()), Err)
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
