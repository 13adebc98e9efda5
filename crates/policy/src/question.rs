//! Questions: who wants to do what, where, and under which circumstances.

use std::collections::BTreeSet;
use std::fmt;
use std::net::IpAddr;

use model::{Factors, GroupName, IdentityName, Login, Span, Target, Timestamp};

/// What can be asked for. The names are those of the actions in policies: `Action::"request"`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    /// Ask for access to a login. The permits that match are the paths, with their obligations.
    Request,
    /// Review someone's request for a login.
    Review,
    /// Open a session as a login, under a grant.
    Connect,
    /// Read the recording of someone's session as a login.
    Replay,
    /// Place and lift locks, revoke grants, cut sessions.
    Lock,
    /// Register targets, issue host certificates, load policies.
    Administer,
}

impl Action {
    /// Every action.
    pub const ALL: [Self; 6] = [Self::Request, Self::Review, Self::Connect, Self::Replay, Self::Lock, Self::Administer];

    /// The name in policies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Request => "request",
            Self::Review => "review",
            Self::Connect => "connect",
            Self::Replay => "replay",
            Self::Lock => "lock",
            Self::Administer => "administer",
        }
    }

    /// Whether it is about a login on a target; otherwise it is about the system.
    #[must_use]
    pub const fn is_about_login(self) -> bool {
        match self {
            Self::Request | Self::Review | Self::Connect | Self::Replay => true,
            Self::Lock | Self::Administer => false,
        }
    }
}

impl fmt::Display for Action {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl std::str::FromStr for Action {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        Self::ALL
            .into_iter()
            .find(|action| action.as_str() == text)
            .ok_or_else(|| format!("{text:?} is no action: known are {}", Self::ALL.map(Self::as_str).join(", ")))
    }
}

/// The person or workload who asks: `principal` in policies.
#[derive(Clone, Copy, Debug)]
pub struct Asker<'a> {
    /// Who.
    pub name: &'a IdentityName,
    /// Their groups: `principal in Group::"sre"`.
    pub groups: &'a BTreeSet<GroupName>,
    /// What they have shown beside their key: `context.touch`, `context.totp`.
    pub shown: Factors,
}

/// The person whose request is reviewed, or whose session is replayed: `context.requester`.
#[derive(Clone, Copy, Debug)]
pub struct Requester<'a> {
    /// Who.
    pub name: &'a IdentityName,
    /// Their groups.
    pub groups: &'a BTreeSet<GroupName>,
}

/// Which way somebody came to ask: `context.way`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Way {
    /// By themself, with a login at the API: "api".
    #[default]
    Api,
    /// Over ssh: at the desk of a proxy, which passes it on: "ssh".
    Ssh,
}

impl Way {
    /// The name in policies.
    #[must_use]
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Api => "api",
            Self::Ssh => "ssh",
        }
    }
}

/// The circumstances.
#[derive(Clone, Copy, Debug)]
pub struct Context<'a> {
    /// `context.now`, to the second.
    pub now: Timestamp,
    /// `context.duration`, in seconds; only `request` and `review` have it.
    pub duration: Span,
    /// `context.command`: the one exact command; `request`, `review` and `connect` may have it.
    pub command: Option<&'a str>,
    /// `context.ticket`; `request` and `review` may have it.
    pub ticket: Option<&'a str>,
    /// `context.address`; every action may have it.
    pub address: Option<IpAddr>,
    /// `context.way`; `request`, `review` and `connect` have it.
    pub way: Way,
    /// `context.requester`; `review` and `replay` need it, the others do not have it.
    pub requester: Option<Requester<'a>>,
}

impl Context<'_> {
    /// Circumstances of which only the time is known.
    #[must_use]
    pub const fn at(now: Timestamp) -> Self {
        Self { now, duration: Span::ZERO, command: None, ticket: None, address: None, way: Way::Api, requester: None }
    }
}

/// A question to the policies.
#[derive(Clone, Copy, Debug)]
pub struct Question<'a> {
    /// Who asks.
    pub asker: Asker<'a>,
    /// For what.
    pub action: Action,
    /// On which target; needed for all but `lock` and `administer`.
    pub target: Option<&'a Target>,
    /// As which login; needed for all but `lock` and `administer`.
    pub login: Option<&'a Login>,
    /// Under which circumstances.
    pub context: Context<'a>,
}
