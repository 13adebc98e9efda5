//! Requests for more time that wait for a decision: whoever asks how much is left is told, and the sessions that hope for
//! it when it is no.

use std::collections::VecDeque;

use model::{Fact, RequestId};

use crate::words::NotExtended;

/// How many are kept; the oldest is forgotten first, and its sessions are told nothing.
const KEPT: usize = 1024;

/// Requests that would extend a grant.
#[derive(Debug, Default)]
pub(crate) struct Extensions(VecDeque<Wanted>);

#[derive(Debug)]
struct Wanted {
    request: RequestId,
    grant: RequestId,
}

impl Extensions {
    /// The request that would extend a grant, while it is pending.
    pub(crate) fn of(&self, grant: &RequestId) -> Option<&RequestId> {
        self.0.iter().rev().find(|wanted| wanted.grant == *grant).map(|wanted| &wanted.request)
    }

    /// Hears a fact; the grant that will not be extended, when it says so.
    pub(crate) fn hear(&mut self, fact: &Fact) -> Option<(RequestId, NotExtended)> {
        if let Fact::RequestFiled { request, spec, .. } = fact {
            if let Some(grant) = &spec.extends {
                self.0.push_back(Wanted { request: request.clone(), grant: grant.clone() });
                if self.0.len() > KEPT {
                    self.0.pop_front();
                }
            }
            return None;
        }
        let (request, why) = if let Fact::RequestDenied { request } = fact {
            (request, Some(NotExtended::Denied))
        } else if let Fact::RequestExpired { request } = fact {
            (request, Some(NotExtended::Undecided))
        // Who took it back knows, and who got it is told when their session goes on.
        } else if let Fact::RequestCancelled { request } | Fact::GrantExtended { by: request, .. } = fact {
            (request, None)
        } else if let Fact::GrantEnded { request: grant, .. } = fact {
            self.0.retain(|wanted| wanted.grant != *grant);
            return None;
        } else {
            return None;
        };
        let place = self.0.iter().position(|wanted| wanted.request == *request)?;
        let wanted = self.0.remove(place)?;
        why.map(|why| (wanted.grant, why))
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use model::{Asked, RequestSpec, Span, Timestamp};

    use super::*;

    fn filed(request: u64, extends: Option<u64>) -> Fact {
        let spec = RequestSpec {
            identity: "alice".parse().unwrap(),
            target: "web1".parse().unwrap(),
            login: "root".parse().unwrap(),
            duration: Span::from_minutes(30),
            reason: "more".parse().unwrap(),
            ticket: None,
            command: None,
            start: None,
            extends: extends.map(RequestId::from_random),
        };
        let asked = Asked {
            idempotency_key: None,
            touch: false,
            totp: false,
            address: None,
            through: None,
            expires: Timestamp::from_seconds(1),
        };
        Fact::RequestFiled { request: RequestId::from_random(request), spec, asked, paths: Vec::new() }
    }

    #[test]
    fn what_was_denied_or_forgotten_is_told_once_and_only_of_extensions() {
        let mut extensions = Extensions::default();
        let id = RequestId::from_random;
        for fact in [filed(1, Some(10)), filed(2, None), filed(3, Some(30)), filed(4, Some(40))] {
            assert_eq!(extensions.hear(&fact), None);
        }
        let denied = |request| Fact::RequestDenied { request: id(request) };
        assert_eq!(extensions.hear(&denied(1)), Some((id(10), NotExtended::Denied)));
        assert_eq!(extensions.hear(&denied(1)), None);
        assert_eq!(extensions.hear(&denied(2)), None, "a request of its own");
        let expired = Fact::RequestExpired { request: id(3) };
        assert_eq!(extensions.hear(&expired), Some((id(30), NotExtended::Undecided)));
        assert_eq!(extensions.of(&id(40)), Some(&id(4)));
        assert_eq!(extensions.hear(&Fact::RequestCancelled { request: id(4) }), None, "whoever took it back knows");
        assert_eq!(extensions.of(&id(40)), None);
    }

    #[test]
    fn what_is_decided_is_pending_no_more() {
        let mut extensions = Extensions::default();
        let id = RequestId::from_random;
        let at = Timestamp::from_seconds;
        for fact in [filed(1, Some(10)), filed(2, Some(20)), filed(3, Some(30))] {
            extensions.hear(&fact);
        }
        assert_eq!(extensions.of(&id(10)), Some(&id(1)));
        let extended = Fact::GrantExtended { request: id(10), by: id(1), from: at(1), to: at(2) };
        assert_eq!((extensions.hear(&extended), extensions.of(&id(10))), (None, None));
        let ended = Fact::GrantEnded { request: id(20), end: model::GrantEnd::Released, reason: None };
        assert_eq!((extensions.hear(&ended), extensions.of(&id(20))), (None, None));
        assert_eq!(extensions.of(&id(30)), Some(&id(3)));
    }

    #[test]
    fn it_keeps_so_many_and_no_more() {
        let mut extensions = Extensions::default();
        for request in 0..5000 {
            extensions.hear(&filed(request, Some(1)));
        }
        let kept: BTreeSet<_> = extensions.0.iter().map(|wanted| wanted.request.clone()).collect();
        assert_eq!(kept.len(), KEPT);
        assert!(kept.contains(&RequestId::from_random(4999)) && !kept.contains(&RequestId::from_random(0)));
    }
}
