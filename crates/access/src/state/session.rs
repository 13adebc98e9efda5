//! Sessions and their channels.

use std::collections::BTreeMap;

use model::{
    Actor, ChannelEnd, ChannelKind, GrantEnd, IdentityName, LockId, Login, Presence, ProxyName, Pty, RequestId, Seq,
    SessionEnd, SessionId, TargetName, Timestamp, WayIn,
};
use serde::{Deserialize, Serialize};

/// How many closed channels of a session are kept for views.
const KEPT: usize = 16;

/// How many bytes of a channel's command are kept for views; the ledger has all of it.
const SHOWN: usize = 256;

/// One authenticated SSH connection under a grant.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Session {
    /// Its id.
    pub id: SessionId,
    /// Its grant.
    pub request: RequestId,
    /// Who.
    pub identity: IdentityName,
    /// Where.
    pub target: TargetName,
    /// As whom.
    pub login: Login,
    /// From which address.
    pub address: String,
    /// Through which proxy.
    pub proxy: ProxyName,
    /// Which way.
    pub way: WayIn,
    /// Fingerprint of the login key that bought the person's certificate.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bought_with: Option<String>,
    /// The log-in of the person's own key that opened it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub presence: Option<Presence>,
    /// When it was allowed.
    pub opened: Timestamp,
    /// The connection to its target for whose log-in the target's key was used: SHA-256 of its session identifier.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target_log_in: Option<String>,
    /// The open channels, and the last few closed ones; commands are cut to 256 bytes here.
    pub channels: BTreeMap<u32, Channel>,
    /// How many channels were opened.
    pub channels_opened: u32,
    /// How many facts its proxy has told of it, but for its end.
    #[serde(default)]
    pub told: u64,
    /// Bytes from the person to the target, over the closed channels.
    pub bytes_in: u64,
    /// Bytes from the target to the person, over the closed channels.
    pub bytes_out: u64,
    /// Whether it goes on.
    pub state: SessionState,
}

/// Whether a session goes on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum SessionState {
    /// It goes on.
    Live,
    /// It is to be dropped, and its proxy has not yet said that it is. It still counts as one of its person's.
    Cut(Cut),
    /// Its sockets are closed.
    Ended(SessionEnded),
}

/// Why and since when a session is to be dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Cut {
    /// Why.
    pub cause: CutCause,
    /// Who caused it.
    pub by: Actor,
    /// Since when.
    pub at: Timestamp,
}

/// Why a session is to be dropped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum CutCause {
    /// Its grant ended.
    Grant(GrantEnd),
    /// A lock fell.
    Lock(LockId),
    /// It was ordered, for this reason.
    Order(String),
}

/// How a session ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct SessionEnded {
    /// Why.
    pub end: SessionEnd,
    /// When nothing passed any more, as far as it is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cut: Option<Timestamp>,
    /// When the proxy closed the person's socket.
    pub dropped: Timestamp,
    pub(super) done: Seq,
}

/// A channel of a session.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Channel {
    /// What it carries.
    pub kind: ChannelKind,
    /// Its terminal.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub pty: Option<Pty>,
    /// When it was opened.
    pub opened: Timestamp,
    /// How it was closed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub end: Option<ChannelEnd>,
}

impl Session {
    /// Whether its sockets may still be open.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        match self.state {
            SessionState::Live | SessionState::Cut(_) => true,
            SessionState::Ended(_) => false,
        }
    }

    /// The state in one word: "live", "cut", "ended".
    #[must_use]
    pub const fn status(&self) -> &'static str {
        match self.state {
            SessionState::Live => "live",
            SessionState::Cut(_) => "cut",
            SessionState::Ended(_) => "ended",
        }
    }

    /// How many of its channels are open.
    #[must_use]
    pub fn open_channels(&self) -> usize {
        self.channels.values().filter(|channel| channel.end.is_none()).count()
    }

    pub(super) fn logged_in(self, connection: String) -> Self {
        Self { target_log_in: Some(connection), ..self }
    }

    pub(super) fn cut(self, cut: Cut) -> Self {
        match self.state {
            SessionState::Live => Self { state: SessionState::Cut(cut), ..self },
            // The first cause is the one that its receipt names.
            SessionState::Cut(_) | SessionState::Ended(_) => self,
        }
    }

    pub(super) fn ended(mut self, end: SessionEnd, cut: Option<Timestamp>, dropped: Timestamp, done: Seq) -> Self {
        self.state = SessionState::Ended(SessionEnded { end, cut, dropped, done });
        self.forget_closed(0);
        self
    }

    pub(super) fn channel_opened(mut self, number: u32, channel: Channel) -> Self {
        let kind = channel.kind.map_texts(shown);
        self.channels.insert(number, Channel { kind, ..channel });
        self.channels_opened = self.channels_opened.saturating_add(1);
        self
    }

    pub(super) fn channel_closed(mut self, number: u32, end: ChannelEnd) -> Self {
        self.bytes_in = self.bytes_in.saturating_add(end.bytes_in);
        self.bytes_out = self.bytes_out.saturating_add(end.bytes_out);
        if let Some(channel) = self.channels.get_mut(&number) {
            channel.end = Some(end);
        }
        self.forget_closed(self.open_channels());
        self
    }

    /// Keeps `open` channels and the last few besides.
    fn forget_closed(&mut self, open: usize) {
        while self.channels.len() > open.saturating_add(KEPT) {
            let oldest = self.channels.iter().find(|(_, channel)| open == 0 || channel.end.is_some());
            let Some(oldest) = oldest.map(|(number, _)| *number) else { return };
            self.channels.remove(&oldest);
        }
    }
}

fn shown(mut text: String) -> String {
    if text.len() > SHOWN {
        let end = (0..=SHOWN).rev().find(|at| text.is_char_boundary(*at)).unwrap_or(0);
        text.truncate(end);
        text.push('…');
    }
    text
}
