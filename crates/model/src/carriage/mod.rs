//! What a session may carry: which channels, variables, forwards and files.

mod channel;
mod endpoint;
mod files;
mod reach;
mod variable;

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

pub use channel::ChannelRight;
pub use endpoint::{Endpoint, Peer};
pub use files::{PathPattern, PathRule};
pub use reach::Below;
pub use variable::VariablePattern;

use crate::ChannelKind;

/// What one path lets a session carry. Nothing else passes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Carriage {
    /// What a session channel may run (RFC 4254, section 6.5).
    pub channels: BTreeSet<ChannelRight>,
    /// The environment variables that are passed on (RFC 4254, section 6.4); what is not listed is dropped.
    pub accept_env: BTreeSet<VariablePattern>,
    /// Where the person may connect to from the target: `-L`, `-D`, `-W` (RFC 4254, section 7.2; OpenSSH's PROTOCOL,
    /// section 2.4). Empty: nowhere.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub permit_open: BTreeSet<Endpoint>,
    /// Where the target may listen for the person: `-R` (RFC 4254, section 7.1). Empty: nowhere.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub permit_listen: BTreeSet<Endpoint>,
    /// The files that may be written, and the folders that may be changed, by SFTP or scp.
    pub upload: BTreeSet<PathPattern>,
    /// The files that may be read, and the folders that may be listed, by SFTP or scp.
    pub download: BTreeSet<PathPattern>,
}

impl Default for Carriage {
    /// A shell, commands, subsystems and all files; the usual variables; no forward.
    fn default() -> Self {
        Self {
            channels: ChannelRight::usual(),
            accept_env: VariablePattern::usual(),
            permit_open: BTreeSet::new(),
            permit_listen: BTreeSet::new(),
            upload: BTreeSet::from([PathPattern::everything()]),
            download: BTreeSet::from([PathPattern::everything()]),
        }
    }
}

impl Carriage {
    /// Whether a channel may run this. Where files are limited, of all subsystems only `sftp` is read and judged, so
    /// another must be named.
    #[must_use]
    pub fn runs(&self, kind: &ChannelKind) -> bool {
        let judged = matches!(kind, ChannelKind::Subsystem { name } if name == "sftp");
        let covers = |right: &ChannelRight| {
            right.covers(kind) && (*right != ChannelRight::AnySubsystem || judged || self.all_files())
        };
        self.channels.iter().any(covers)
    }

    /// Whether an environment variable of this name is passed on.
    #[must_use]
    pub fn accepts_variable(&self, name: &str) -> bool {
        self.accept_env.iter().any(|pattern| pattern.matches(name))
    }

    /// Whether the person may connect to this peer from the target.
    #[must_use]
    pub fn may_open(&self, peer: &Peer<'_>) -> bool {
        self.permit_open.iter().any(|endpoint| endpoint.matches(peer))
    }

    /// Whether the target may listen there for the person.
    #[must_use]
    pub fn may_listen(&self, peer: &Peer<'_>) -> bool {
        self.permit_listen.iter().any(|endpoint| endpoint.matches(peer))
    }

    /// Whether it has any forward of a port or a socket.
    #[must_use]
    pub fn forwards(&self) -> bool {
        !self.permit_open.is_empty() || !self.permit_listen.is_empty()
    }

    /// Whether every file may be moved both ways, so that there is nothing to judge.
    #[must_use]
    pub fn all_files(&self) -> bool {
        let all = PathPattern::everything();
        self.upload.contains(&all) && self.download.contains(&all)
    }

    /// How much it lets through, for telling the narrower of two paths: less is narrower. A wildcard weighs more than
    /// a name.
    #[must_use]
    pub fn breadth(&self) -> usize {
        let channels: usize = self.channels.iter().map(ChannelRight::breadth).sum();
        let endpoints: usize = self.permit_open.iter().chain(&self.permit_listen).map(Endpoint::breadth).sum();
        let files: usize = self.upload.iter().chain(&self.download).map(PathPattern::breadth).sum();
        channels.saturating_add(endpoints).saturating_add(files).saturating_add(self.accept_env.len())
    }
}
