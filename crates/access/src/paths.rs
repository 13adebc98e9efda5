//! Paths: alternatives that policy offers. A request takes the one that it fulfils with the least burden.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::fmt;

use model::{
    Factors, GroupName, IdentityName, Obligations, PolicyPath, RecordingMode, RequestSpec, SecondFactor, Span,
    Timestamp, Verdict,
};
use serde::{Deserialize, Serialize};

use crate::State;
use crate::state::{Pending, Request, Reviewed};

/// What one path still lacks.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub struct PathGap {
    /// The path's policy.
    pub policy: String,
    /// How many more approvers it takes.
    pub approvals: u32,
    /// The groups of which nobody has approved yet.
    pub groups: BTreeSet<GroupName>,
    /// Who the approvers must be: each of a group in here; empty: anyone who may review.
    pub approvers: BTreeSet<GroupName>,
    /// The longest time that it gives now, when that is shorter than what is asked.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub longest: Option<Span>,
    /// Whether a ticket must be named.
    pub ticket: bool,
    /// Whether the asker must have touched a security key.
    pub touch: bool,
    /// The second factor that the asker must have shown and has not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub factor: Option<SecondFactor>,
}

impl PathGap {
    /// What each path would lack for a request that nobody has filed or reviewed, least burden first; `ends` is the end of
    /// the grant that it would extend.
    #[must_use]
    pub fn all(
        paths: &[PolicyPath],
        spec: &RequestSpec,
        shown: Factors,
        ends: Option<Timestamp>,
        now: Timestamp,
    ) -> Vec<Self> {
        gaps(paths, &Case::new(spec, shown, ends, now))
    }

    /// Whether nothing is lacking.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.approvals == 0 && self.groups.is_empty() && self.longest.is_none() && !self.needs_asker()
    }

    /// Whether no review can fill it: the asker must ask differently.
    #[must_use]
    pub const fn needs_asker(&self) -> bool {
        self.ticket || self.touch || self.factor.is_some()
    }
}

impl fmt::Display for PathGap {
    /// "prod-root lacks 1 approval (by sre)", "prod-short lacks a time of at most 30m".
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut lacks = Vec::new();
        let names = |groups: &BTreeSet<GroupName>, word: &str| {
            groups.iter().map(GroupName::as_str).collect::<Vec<_>>().join(word)
        };
        // Somebody of each group that is still unheard must come, even where the number is already reached.
        let approvals = self.approvals.max(u32::from(!self.groups.is_empty()));
        if approvals > 0 {
            let plural = if approvals == 1 { "" } else { "s" };
            let by = if !self.groups.is_empty() {
                format!(" (by {})", names(&self.groups, " and "))
            } else if !self.approvers.is_empty() {
                format!(" (by {})", names(&self.approvers, " or "))
            } else {
                String::new()
            };
            lacks.push(format!("{approvals} approval{plural}{by}"));
        }
        if let Some(longest) = self.longest {
            lacks.push(format!("a time of at most {longest}"));
        }
        if self.ticket {
            lacks.push("a ticket".to_owned());
        }
        if self.touch {
            lacks.push("a touched security key".to_owned());
        }
        lacks.extend(self.factor.map(|wanted| wanted.to_string()));
        match lacks.as_slice() {
            [] => write!(f, "{} lacks nothing", self.policy),
            some => write!(f, "{} lacks {}", self.policy, some.join(" and ")),
        }
    }
}

/// What a request has to show.
pub(crate) struct Case<'a> {
    spec: &'a RequestSpec,
    shown: Factors,
    reviews: Vec<&'a Reviewed>,
    /// The end of the grant that it extends.
    from: Option<Timestamp>,
    now: Timestamp,
}

impl<'a> Case<'a> {
    /// The case of a request that is not filed yet.
    pub(crate) fn new(spec: &'a RequestSpec, shown: Factors, from: Option<Timestamp>, now: Timestamp) -> Self {
        Self { spec, shown, reviews: Vec::new(), from, now }
    }

    /// The case of a pending request.
    pub(crate) fn of(state: &State, request: &'a Request, pending: &'a Pending, now: Timestamp) -> Self {
        Self::with(state, request, pending.standing().collect(), now)
    }

    /// The case of a pending request with the reviews that count now.
    pub(crate) fn judged(state: &State, request: &'a Request, reviews: &'a [Reviewed], now: Timestamp) -> Self {
        Self::with(state, request, reviews.iter().collect(), now)
    }

    fn with(state: &State, request: &'a Request, reviews: Vec<&'a Reviewed>, now: Timestamp) -> Self {
        let from = request.spec.extends.as_ref().and_then(|id| state.grant(id)).map(|(_, grant)| grant.ends);
        Self { spec: &request.spec, shown: request.asked.factors(), reviews, from, now }
    }

    /// The same with one review more.
    pub(crate) fn and(mut self, review: &'a Reviewed) -> Self {
        self.reviews.push(review);
        self
    }

    /// The time that would be granted: the ask, as shortened by every approver.
    pub(crate) fn duration(&self) -> Span {
        let shortened = self.reviews.iter().filter_map(|review| match review.verdict {
            Verdict::Approve { duration } => duration,
            Verdict::Deny => None,
        });
        shortened.fold(self.spec.duration, Span::min)
    }

    /// The approvers that count for a path: all, or those from a group that it lists.
    fn approvers(&self, obligations: &Obligations) -> BTreeSet<&'a IdentityName> {
        let listed = &obligations.approvers;
        self.approvals()
            .filter(|review| listed.is_empty() || !review.groups.is_disjoint(listed))
            .map(|review| &review.by)
            .collect()
    }

    fn approvals(&self) -> impl Iterator<Item = &'a Reviewed> {
        // The asker never counts, whatever the reviews say.
        self.reviews.iter().copied().filter(|review| match review.verdict {
            Verdict::Approve { .. } => review.by != self.spec.identity,
            Verdict::Deny => false,
        })
    }

    /// The longest time that a path can give now. An extension may leave the grant at most a full path's time to go.
    fn longest(&self, obligations: &Obligations) -> Span {
        let Some(from) = self.from else { return obligations.max_duration };
        let room = self.now.plus(obligations.max_duration).since(from).as_secs();
        Span::from_seconds(u32::try_from(room).unwrap_or(u32::MAX))
    }

    fn gap(&self, path: &PolicyPath) -> PathGap {
        let asks = &path.obligations;
        let approvers = self.approvers(asks);
        let present: BTreeSet<&GroupName> = self.approvals().flat_map(|review| &review.groups).collect();
        let longest = self.longest(asks);
        PathGap {
            policy: path.policy.clone(),
            approvals: asks.approvals.saturating_sub(u32::try_from(approvers.len()).unwrap_or(u32::MAX)),
            groups: asks.approvers.iter().filter(|group| !present.contains(group)).cloned().collect(),
            approvers: asks.approvers.clone(),
            longest: (self.duration() > longest).then_some(longest),
            ticket: asks.ticket && self.spec.ticket.is_none(),
            touch: asks.touch && !self.shown.touch,
            factor: asks.factor_lacking(self.shown),
        }
    }
}

/// The path that a case fulfils with the least burden, and the approvers that count for it.
pub(crate) fn best(paths: &[PolicyPath], case: &Case<'_>) -> Option<(PolicyPath, BTreeSet<IdentityName>)> {
    let path = sorted(paths).into_iter().find(|path| case.gap(path).is_empty())?;
    let approvers = case.approvers(&path.obligations).into_iter().cloned().collect();
    Some((path.clone(), approvers))
}

/// What each path still lacks, least burden first.
pub(crate) fn gaps(paths: &[PolicyPath], case: &Case<'_>) -> Vec<PathGap> {
    sorted(paths).into_iter().map(|path| case.gap(path)).collect()
}

/// The longest time that any of the paths gives now.
pub(crate) fn longest(paths: &[PolicyPath], case: &Case<'_>) -> Span {
    paths.iter().map(|path| case.longest(&path.obligations)).max().unwrap_or(Span::ZERO)
}

fn sorted(paths: &[PolicyPath]) -> Vec<&PolicyPath> {
    let mut sorted: Vec<&PolicyPath> = paths.iter().collect();
    sorted.sort_by_cached_key(|path| burden(path));
    sorted
}

/// Fewer people first, then less to bring along. Among equals the one that watches the session more closely wins, so
/// that a loose path never undercuts a strict one by being listed first; the policy's id breaks what ties are left.
fn burden(path: &PolicyPath) -> impl Ord + use<> {
    let asks = &path.obligations;
    let recording = match asks.recording {
        RecordingMode::Only => 0,
        RecordingMode::Strict => 1,
        RecordingMode::BestEffort => 2,
        RecordingMode::Off => 3,
    };
    let people = (asks.approvals.max(u32::from(!asks.approvers.is_empty())), asks.approvers.len());
    let idle = asks.idle_limit.map_or(u32::MAX, Span::seconds);
    let watch = (
        recording,
        Reverse(asks.record_input),
        asks.extensions.len(),
        asks.carriage.breadth(),
        idle,
        Reverse(asks.output_limit),
    );
    (people, asks.touch, asks.factor, asks.ticket, watch, path.policy.clone())
}
