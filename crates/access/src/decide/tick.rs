//! What the clock brings about.

use std::collections::BTreeSet;

use model::{Actor, Entry, Fact, GrantEnd, RequestId};

use super::Desk;
use crate::Refusal;
use crate::limits::BATCH;
use crate::state::{Due, GrantState, RequestState};

impl Desk<'_> {
    pub(super) fn tick(&self) -> Result<Vec<Entry>, Refusal> {
        match self.actor {
            Actor::System => {}
            Actor::Identity(_) | Actor::Through { .. } | Actor::Proxy(_) => {
                return Err(Refusal::new("not-the-system", format!("{} cannot let time pass", self.actor)));
            }
        }
        let mut facts = Vec::new();
        // A request to extend a grant ends with the grant, and may be due besides.
        let mut ended = BTreeSet::new();
        for due in self.state.due(self.now) {
            if facts.len() >= BATCH {
                break;
            }
            match due {
                Due::Lock(lock) => {
                    facts.push(self.system_entry(lock, Fact::LockLifted { lock: lock.clone(), reason: None }))
                }
                Due::Request(id) => {
                    for entry in self.request_due(id) {
                        if ends(&entry.fact).is_none_or(|id| ended.insert(id.clone())) {
                            facts.push(entry);
                        }
                    }
                }
            }
        }
        Ok(facts)
    }

    fn request_due(&self, id: &RequestId) -> Vec<Entry> {
        let Some(request) = self.state.request(id) else { return Vec::new() };
        match &request.state {
            RequestState::Pending(pending) => vec![match pending.denial() {
                // A crash cut the denial off behind the review: it still ends the request, in the reviewer's name.
                Some(review) => {
                    let denier = Actor::Identity(review.by.clone());
                    self.entry_by(denier, id, Fact::RequestDenied { request: id.clone() })
                }
                None => self.system_entry(id, Fact::RequestExpired { request: id.clone() }),
            }],
            RequestState::Granted(grant) => match grant.state {
                GrantState::Scheduled if self.now < grant.ends => {
                    vec![self.system_entry(id, Fact::GrantActivated { request: id.clone() })]
                }
                GrantState::Scheduled | GrantState::Active => {
                    let holder = &request.spec.identity;
                    self.ended(id, holder, |fact| self.system_entry(id, fact), GrantEnd::Expired, None)
                }
                GrantState::Ended(_) => Vec::new(),
            },
            RequestState::Denied(_)
            | RequestState::Cancelled(_)
            | RequestState::Expired(_)
            | RequestState::Extended(_) => Vec::new(),
        }
    }
}

/// The pending request that a fact ends by the clock.
fn ends(fact: &Fact) -> Option<&RequestId> {
    if let Fact::RequestExpired { request } | Fact::RequestDenied { request } = fact { Some(request) } else { None }
}
