//! Requests and grants. Each step consumes the state before it, so what is over cannot be changed again.

use std::collections::BTreeSet;
use std::net::IpAddr;

use model::{
    Actor, Asked, Factors, GrantEnd, GroupName, IdentityName, PolicyPath, ProxyName, RequestId, RequestSpec, Seq, Span,
    Timestamp, Verdict,
};
use serde::{Deserialize, Serialize};

use super::certificate::LastCertificate;

/// A request, whatever became of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Request {
    /// Its id; also that of the grant.
    pub id: RequestId,
    /// What is asked.
    pub spec: RequestSpec,
    /// How it came.
    pub asked: Asked,
    /// When it was filed.
    pub filed: Timestamp,
    /// What became of it.
    pub state: RequestState,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum RequestState {
    /// It waits for reviews.
    Pending(Pending),
    /// A reviewer said no.
    Denied(Denied),
    /// Its asker took it back.
    Cancelled(Closed),
    /// Nobody decided in time, or the grant that it would have extended ended first.
    Expired(Closed),
    /// It was approved and is a grant.
    Granted(Grant),
    /// It was approved and gave its time to the grant that it extends.
    Extended(Extension),
}

/// A request that waits for reviews.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Pending {
    /// What policy offered when it was filed.
    pub paths: Vec<PolicyPath>,
    /// The reviews so far, oldest first.
    pub reviews: Vec<Reviewed>,
}

/// One review.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Reviewed {
    /// Who.
    pub by: IdentityName,
    /// When.
    pub at: Timestamp,
    /// The answer.
    pub verdict: Verdict,
    /// The listed approver groups that the reviewer answers for.
    pub groups: BTreeSet<GroupName>,
    /// In the reviewer's words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// Whether the reviewer had touched a security key at login.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub touch: bool,
    /// Whether they had given a one-time code not long before.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub totp: bool,
    /// From where they answered.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub address: Option<IpAddr>,
    /// Through which proxy, where they answered over ssh.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub through: Option<ProxyName>,
    /// When the reviewer took it back.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub withdrawn: Option<Timestamp>,
}

impl Reviewed {
    /// What the reviewer had shown beside their key.
    #[must_use]
    pub const fn factors(&self) -> Factors {
        Factors { touch: self.touch, totp: self.totp }
    }
}

/// A request that a reviewer denied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Denied {
    /// Who denied it.
    pub by: IdentityName,
    /// When.
    pub at: Timestamp,
    /// All reviews, the denial included.
    pub reviews: Vec<Reviewed>,
    pub(super) done: Seq,
}

/// A request that ended without an answer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Closed {
    /// Who ended it.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// The reviews until then.
    pub reviews: Vec<Reviewed>,
    pub(super) done: Seq,
}

/// What an approved request becomes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Grant {
    /// The path that was fulfilled; its obligations hold for every session.
    pub path: PolicyPath,
    /// Who approved.
    pub approvers: BTreeSet<IdentityName>,
    /// The reviews.
    pub reviews: Vec<Reviewed>,
    /// When it was approved.
    pub approved: Timestamp,
    /// When it begins.
    pub starts: Timestamp,
    /// When it ends, extensions included.
    pub ends: Timestamp,
    /// How often it was extended.
    pub extensions: u32,
    /// The request that extended it last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub extended_by: Option<RequestId>,
    /// The last person certificate that was issued under it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub certificate: Option<LastCertificate>,
    /// Whether it holds.
    pub state: GrantState,
}

/// Whether a grant holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum GrantState {
    /// Not yet.
    Scheduled,
    /// Now.
    Active,
    /// No more.
    Ended(Ended),
}

/// How a grant ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Ended {
    /// How.
    pub end: GrantEnd,
    /// By whom.
    pub by: Actor,
    /// When.
    pub at: Timestamp,
    /// Why, in words.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    pub(super) done: Seq,
}

/// An approved request for more time.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct Extension {
    /// The grant that it extended.
    pub of: RequestId,
    /// The path that was fulfilled. The sessions of the grant go on under the grant's own path.
    pub path: PolicyPath,
    /// Who approved.
    pub approvers: BTreeSet<IdentityName>,
    /// The reviews.
    pub reviews: Vec<Reviewed>,
    /// When it was approved.
    pub approved: Timestamp,
    /// When the grant ends by it.
    pub ends: Timestamp,
    pub(super) done: Seq,
}

impl Request {
    /// The state in one word: "pending", "denied", "cancelled", "expired", "scheduled", "active", "revoked",
    /// "released", "over" (a grant whose time was up), "extended" (it gave its time to another).
    #[must_use]
    pub const fn status(&self) -> &'static str {
        self.state.word()
    }

    /// The grant that it became.
    #[must_use]
    pub const fn grant(&self) -> Option<&Grant> {
        match &self.state {
            RequestState::Granted(grant) => Some(grant),
            RequestState::Pending(_)
            | RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Extended(_) => None,
        }
    }

    /// The reviews, oldest first.
    #[must_use]
    pub fn reviews(&self) -> &[Reviewed] {
        match &self.state {
            RequestState::Pending(pending) => &pending.reviews,
            RequestState::Denied(denied) => &denied.reviews,
            RequestState::Cancelled(closed) | RequestState::Expired(closed) => &closed.reviews,
            RequestState::Granted(grant) => &grant.reviews,
            RequestState::Extended(extension) => &extension.reviews,
        }
    }

    /// Who approved.
    #[must_use]
    pub const fn approvers(&self) -> Option<&BTreeSet<IdentityName>> {
        match &self.state {
            RequestState::Granted(grant) => Some(&grant.approvers),
            RequestState::Extended(extension) => Some(&extension.approvers),
            RequestState::Pending(_)
            | RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_) => None,
        }
    }

    /// The next moment at which the clock alone changes it.
    pub(super) fn deadline(&self) -> Option<Timestamp> {
        match &self.state {
            // A denial whose second half a crash cut off is due at once.
            RequestState::Pending(pending) if pending.denial().is_some() => Some(self.filed),
            RequestState::Pending(_) => Some(self.asked.expires),
            RequestState::Granted(grant) => match &grant.state {
                GrantState::Scheduled => Some(grant.starts),
                GrantState::Active => Some(grant.ends),
                GrantState::Ended(_) => None,
            },
            RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Extended(_) => None,
        }
    }

    /// The record that ended it.
    pub(super) const fn done(&self) -> Option<Seq> {
        match &self.state {
            RequestState::Pending(_) => None,
            RequestState::Denied(denied) => Some(denied.done),
            RequestState::Cancelled(closed) | RequestState::Expired(closed) => Some(closed.done),
            RequestState::Granted(grant) => match &grant.state {
                GrantState::Scheduled | GrantState::Active => None,
                GrantState::Ended(ended) => Some(ended.done),
            },
            RequestState::Extended(extension) => Some(extension.done),
        }
    }
}

impl RequestState {
    /// See [`Request::status`].
    pub(super) const fn word(&self) -> &'static str {
        match self {
            Self::Pending(_) => "pending",
            Self::Denied(_) => "denied",
            Self::Cancelled(_) => "cancelled",
            Self::Expired(_) => "expired",
            Self::Granted(grant) => match &grant.state {
                GrantState::Scheduled => "scheduled",
                GrantState::Active => "active",
                GrantState::Ended(ended) => match ended.end {
                    GrantEnd::Expired => "over",
                    GrantEnd::Revoked => "revoked",
                    GrantEnd::Released => "released",
                },
            },
            Self::Extended(_) => "extended",
        }
    }
}

impl Pending {
    /// The reviews that stand: those that were not taken back.
    pub fn standing(&self) -> impl Iterator<Item = &Reviewed> {
        self.reviews.iter().filter(|review| review.withdrawn.is_none())
    }

    /// The denial, if there is one.
    #[must_use]
    pub fn denial(&self) -> Option<&Reviewed> {
        self.standing().find(|review| review.verdict == Verdict::Deny)
    }

    pub(super) fn reviewed(mut self, review: Reviewed) -> Self {
        self.reviews.push(review);
        self
    }

    pub(super) fn withdrawn(mut self, by: &IdentityName, at: Timestamp) -> Self {
        for review in self.reviews.iter_mut().filter(|review| review.by == *by && review.withdrawn.is_none()) {
            review.withdrawn = Some(at);
        }
        self
    }

    pub(super) fn denied(self, by: IdentityName, at: Timestamp, done: Seq) -> Denied {
        Denied { by, at, reviews: self.reviews, done }
    }

    pub(super) fn closed(self, by: Actor, at: Timestamp, done: Seq) -> Closed {
        Closed { by, at, reviews: self.reviews, done }
    }

    pub(super) fn granted(self, approval: Approval, starts: Timestamp) -> Grant {
        let Approval { path, approvers, at: approved, ends } = approval;
        let state = if starts <= approved { GrantState::Active } else { GrantState::Scheduled };
        let reviews = self.reviews;
        Grant {
            path,
            approvers,
            reviews,
            approved,
            starts,
            ends,
            extensions: 0,
            extended_by: None,
            certificate: None,
            state,
        }
    }

    pub(super) fn extended(self, approval: Approval, of: RequestId, done: Seq) -> Extension {
        let Approval { path, approvers, at: approved, ends } = approval;
        Extension { of, path, approvers, reviews: self.reviews, approved, ends, done }
    }
}

/// What a `request.approved` fact says.
pub(super) struct Approval {
    pub(super) path: PolicyPath,
    pub(super) approvers: BTreeSet<IdentityName>,
    pub(super) at: Timestamp,
    pub(super) ends: Timestamp,
}

impl Grant {
    /// Whether it holds at `now`, by its own times and whatever the clock's facts have said so far.
    #[must_use]
    pub fn is_active(&self, now: Timestamp) -> bool {
        match self.state {
            GrantState::Scheduled | GrantState::Active => self.starts <= now && now < self.ends,
            GrantState::Ended(_) => false,
        }
    }

    /// Whether it is scheduled or active.
    #[must_use]
    pub const fn is_live(&self) -> bool {
        match self.state {
            GrantState::Scheduled | GrantState::Active => true,
            GrantState::Ended(_) => false,
        }
    }

    /// What is left of it at `now`, in whole seconds, rounded up.
    #[must_use]
    pub fn remaining(&self, now: Timestamp) -> Span {
        let left = self.ends.since(now.max(self.starts));
        let seconds = left.as_secs().saturating_add(u64::from(left.subsec_nanos() > 0));
        Span::from_seconds(u32::try_from(seconds).unwrap_or(u32::MAX))
    }

    pub(super) fn activated(self) -> Self {
        Self { state: GrantState::Active, ..self }
    }

    pub(super) fn extended(self, by: RequestId, ends: Timestamp) -> Self {
        Self { ends, extensions: self.extensions.saturating_add(1), extended_by: Some(by), ..self }
    }

    pub(super) fn ended(self, ended: Ended) -> Self {
        Self { state: GrantState::Ended(ended), ..self }
    }
}
