//! How the proxy is set up: the `[proxy]` table of `portcullis.toml`.

use std::net::SocketAddr;
use std::time::Duration;

use model::Span;
use serde::Deserialize;

use crate::escape_key::EscapeKey;

/// The settings of a proxy. Every one has a default that suits a small site.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields, rename_all = "kebab-case", default)]
pub struct Config {
    /// Where it listens.
    pub listen: SocketAddr,
    /// The time from the first byte to a successful log-in.
    pub login_grace: Span,
    /// How many connections may be waiting for their log-in, all in all.
    pub max_waiting: usize,
    /// How many of them from one address (one /64 of IPv6).
    pub max_waiting_per_address: usize,
    /// How many sessions one person may have at a time; and how many connections that carry others (`ssh -J`).
    pub max_sessions_per_person: usize,
    /// How many channels that move files one person may have at a time, in all their sessions: decoding one takes as much
    /// as 8 MiB of memory when its client and its target mean it badly.
    pub max_transfers_per_person: usize,
    /// How many channels a person may have open on one connection at a time, forwards included; 64 at most. One counts
    /// until its recording is closed.
    pub max_channels: usize,
    /// How many keys and certificates a client may offer.
    pub max_auth_tries: usize,
    /// The longest wait for a target: name look-up, connection, key exchange and log-in together.
    pub dial_timeout: Span,
    /// The longest wait for an answer of the CA about one session.
    pub ca_timeout: Span,
    /// New sessions are refused when nothing was heard from the CA's feed of revocations for this long.
    pub feed_freshness: Span,
    /// A peer from which nothing is heard is asked for a sign of life after this time, and dropped after ten such times
    /// without an answer. A person may well suspend their `ssh` for a while.
    pub keepalive: Span,
    /// How often the CA is told which sessions this proxy carries, so that it ends those that nobody carries.
    pub roll_call: Span,
    /// When a person with a terminal is told that the session will end, counted back from its end.
    pub warnings: Vec<Span>,
    /// Who is told at the beginning as whom, until when and under which request they are in, and that it is recorded.
    pub greeting: Greeting,
    /// The key with which a person with a terminal speaks to the proxy, at the beginning of a line: how much time is left,
    /// and more of it.
    pub escape: EscapeKey,
    /// The longest that a notice may take before a session is dropped all the same.
    pub notice: Millis,
    /// How many bytes the recording of one channel may have. A session that must be recorded ends there; one whose path
    /// says `best-effort` goes on, and the ledger says from when on it is in no recording.
    pub recording_limit: u64,
    /// Keys are exchanged again, with people and with targets alike, when so many bytes have passed one way under the same
    /// ones; 1 GiB at most (RFC 4253, section 9).
    pub rekey_limit: u32,
    /// And when they are this old.
    pub rekey_time: Span,
    /// The receive window of a channel, in bytes, towards either side.
    pub window: u32,
}

/// The most that may pass under the same keys.
const REKEY_MOST: u32 = 1 << 30;

impl Config {
    /// When keys are exchanged again, as the SSH library has it.
    pub(crate) fn rekey(&self) -> russh::Limits {
        let bytes = usize::try_from(self.rekey_limit.min(REKEY_MOST)).unwrap_or(usize::MAX);
        russh::Limits::new(bytes, bytes, self.rekey_time.to_std())
    }
}

/// Who is greeted. Nobody ever is without a terminal: a program reads there.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Greeting {
    /// Whoever has a terminal: a shell, and a command with one (`ssh -t`). The greeting goes to standard error, where
    /// `ssh` itself says "Connection to … closed" of such a command, so `$(ssh -t …)` does not catch it.
    Terminals,
    /// Who has a shell in a terminal.
    Shells,
    /// Nobody.
    Nobody,
}

/// A length of time in milliseconds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(transparent)]
pub struct Millis(pub u32);

impl Millis {
    /// The same length as a [`Duration`].
    #[must_use]
    pub const fn to_std(self) -> Duration {
        Duration::from_millis(self.0 as u64)
    }
}

impl Default for Config {
    fn default() -> Self {
        Self {
            listen: SocketAddr::from(([0, 0, 0, 0], 2222)),
            login_grace: Span::from_minutes(1),
            max_waiting: 512,
            max_waiting_per_address: 64,
            max_sessions_per_person: 64,
            max_transfers_per_person: 64,
            max_channels: 64,
            max_auth_tries: 50,
            dial_timeout: Span::from_seconds(15),
            ca_timeout: Span::from_seconds(10),
            feed_freshness: Span::from_seconds(30),
            keepalive: Span::from_minutes(1),
            roll_call: Span::from_minutes(1),
            warnings: vec![Span::from_minutes(5), Span::from_minutes(1)],
            greeting: Greeting::Terminals,
            escape: EscapeKey::default(),
            notice: Millis(50),
            recording_limit: 1 << 30,
            rekey_limit: REKEY_MOST,
            rekey_time: Span::from_minutes(60),
            window: 2 << 20,
        }
    }
}

/// How many channels that a person opens the ledger takes of one session at a time. It takes as many again for what the
/// target opens, and for listeners.
pub(crate) const MOST_CHANNELS: usize = 64;
