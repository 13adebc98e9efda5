//! Who can approve a request, as things are: for who waits for it.

use model::{Factors, GroupName, IdentityName, RequestId};
use policy::Way;

use super::engine::blocking;
use super::rights::How;
use super::{App, AppError, Caller};

/// How many are named.
const NAMED: usize = 6;
/// How many people policy is asked about: each costs a question.
const LOOKED_AT: usize = 500;

/// Who can approve a request.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Reviewers {
    /// A few of them, in the order of their names.
    pub names: Vec<IdentityName>,
    /// How many more were found.
    pub more: usize,
}

impl App {
    /// Who can approve a pending request: by policy, by the groups that its paths wait for, and by no lock. Its asker is
    /// none of them, and nobody who has answered. That they could with every factor is enough.
    ///
    /// # Errors
    /// There is no such request that the caller may see.
    pub async fn reviewers(&self, caller: &Caller, id: &RequestId) -> Result<Reviewers, AppError> {
        let view = self.get_request(caller, id).await?;
        let (spec, rules, now) = (view.request.spec.clone(), self.rules(), self.engine.now());
        let answered: Vec<IdentityName> =
            view.request.reviews().iter().filter(|review| review.withdrawn.is_none()).map(|r| r.by.clone()).collect();
        let open: Vec<_> = view.gaps.into_iter().filter(|gap| !gap.needs_asker()).collect();
        let waits_for = |groups: &std::collections::BTreeSet<GroupName>| {
            let waits = open.iter().filter(|gap| gap.approvals > 0 || !gap.groups.is_empty());
            waits.into_iter().any(|gap| gap.approvers.is_empty() || !gap.approvers.is_disjoint(groups))
        };
        let known = rules.directory.identities();
        let candidates = known.filter(|person| person.name != spec.identity && !answered.contains(&person.name));
        let candidates: Vec<IdentityName> =
            candidates.filter(|person| waits_for(&person.groups)).map(|person| person.name.clone()).collect();
        let free = self.engine.peek(|state, now| {
            let free = candidates.into_iter().filter(|name| state.check_unlocked(name, now).is_ok());
            free.take(LOOKED_AT).collect::<Vec<_>>()
        });
        // Some hundred questions to the policy: not on a thread that others wait for.
        let judge = move || {
            let how = How { shown: Factors::ALL, from: None, way: Way::Api };
            let may = |name: &IdentityName| rules.standing(name, how, &spec, now).may_review;
            Ok(free.into_iter().filter(may).collect::<Vec<_>>())
        };
        let mut names = blocking(judge).await?;
        let more = names.split_off(names.len().min(NAMED)).len();
        Ok(Reviewers { names, more })
    }
}
