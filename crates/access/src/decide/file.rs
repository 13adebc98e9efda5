//! Filing a request.

use std::collections::BTreeSet;

use model::{Asked, Entry, Fact, Factors, IdentityName, PolicyPath, RequestId, RequestSpec, Span, Timestamp};

use super::{Decision, Desk};
use crate::command::FileRequest;
use crate::limits::{MAX_AHEAD, MAX_COMMAND, MAX_GRANTS, MAX_KEY, MAX_PATHS, MAX_PENDING, MAX_TICKET, START_TOLERANCE};
use crate::paths::{self, Case, PathGap};
use crate::state::Grant;
use crate::{Refusal, State};

impl Desk<'_> {
    pub(super) fn file(&self, file: FileRequest) -> Result<Decision, Refusal> {
        let FileRequest { request, spec, idempotency_key, shown, address, paths, ttl } = file;
        let asker = self.person("ask for access")?;
        if *asker != spec.identity {
            let sentence = format!("{asker} cannot ask for access in the name of {}", spec.identity);
            return Err(Refusal::new("not-the-asker", sentence));
        }
        if let Some(first) = self.filed_before(&spec, idempotency_key.as_deref())? {
            return Ok(first);
        }
        if self.state.request(&request).is_some() {
            return Err(
                Refusal::new("id-taken", format!("there is already a request {request}")).with_hint("try again")
            );
        }
        check_spec(&spec, self.now)?;
        self.unlocked(&spec.identity, &spec.target, &spec.login, spec.extends.as_ref())?;
        let (extended, activated) = match &spec.extends {
            Some(id) => {
                let (grant, activated) = self.extendable(&spec, id)?;
                (Some(grant), activated)
            }
            None => (None, None),
        };
        check_counts(self.state, asker)?;
        let case = Case::new(&spec, shown, extended.map(|grant| grant.ends), self.now);
        check_paths(&spec, &paths, &case)?;

        let gaps = paths::gaps(&paths, &case);
        let taken = paths::best(&paths, &case);
        let granted = case.duration();
        let through = self.actor.through().cloned();
        let Factors { touch, totp } = shown;
        let asked = Asked { idempotency_key, touch, totp, address, through, expires: self.now.plus(ttl) };
        let filed = Fact::RequestFiled { request: request.clone(), spec: spec.clone(), asked, paths };
        let mut facts = vec![self.entry(&request, filed)];
        if let Some((path, approvers)) = taken {
            facts.extend(activated);
            let approval = Approval { path, approvers, granted, extended };
            // Nobody approved it: policy did.
            facts.extend(self.approved(&request, &spec, approval, |fact| self.system_entry(&request, fact))?);
        }
        Ok(Decision { facts, permit: None, request: Some(request), gaps })
    }

    /// The decision for a key that was seen before: the same request, and nothing new.
    fn filed_before(&self, spec: &RequestSpec, key: Option<&str>) -> Result<Option<Decision>, Refusal> {
        let Some(key) = key else { return Ok(None) };
        if key.is_empty() || key.len() > MAX_KEY || !key.bytes().all(|byte| byte.is_ascii_graphic()) {
            let sentence = format!("an idempotency key has 1 to {MAX_KEY} visible ASCII characters");
            return Err(Refusal::new("bad-idempotency-key", sentence));
        }
        let Some(first) = self.state.keyed(&spec.identity, key) else { return Ok(None) };
        if first.spec != *spec {
            let sentence = format!("the idempotency key {key:?} came before with another request, {}", first.id);
            return Err(Refusal::new("idempotency-key-reused", sentence).with_hint("use a new key for a new request"));
        }
        let gaps = self.state.missing(&first.id, self.now);
        Ok(Some(Decision { facts: Vec::new(), permit: None, request: Some(first.id.clone()), gaps }))
    }

    /// The grant that a request would extend: active, and the same access of the same person.
    fn extendable(&self, spec: &RequestSpec, id: &RequestId) -> Result<(&Grant, Option<Entry>), Refusal> {
        let refuse = |sentence: String| Err(Refusal::new("cannot-extend", sentence));
        let (known, grant, activated) = self.active_grant(id)?;
        if known.spec.identity != spec.identity {
            return refuse(format!("grant {id} is held by {}: only its holder can extend it", known.spec.identity));
        }
        if (&known.spec.target, &known.spec.login) != (&spec.target, &spec.login) {
            return refuse(format!(
                "grant {id} is for {}, not for {}@{}",
                super::place(known),
                spec.login,
                spec.target
            ));
        }
        if known.spec.command != spec.command {
            return refuse(format!("grant {id} is for another command"));
        }
        if spec.start.is_some() {
            return refuse("more time begins when the grant would end: it cannot have a start".to_owned());
        }
        if let Some(other) = self.state.pending_of(&spec.identity).find(|one| one.spec.extends.as_ref() == Some(id)) {
            return Err(Refusal::new("extension-pending", format!("{} already asks to extend {id}", other.id))
                .with_hint(format!("wait for it, or run: portcullis cancel {}", other.id)));
        }
        Ok((grant, activated))
    }

    /// The facts of an approval.
    pub(super) fn approved(
        &self,
        request: &RequestId,
        spec: &RequestSpec,
        approval: Approval<'_>,
        entry: impl Fn(Fact) -> Entry,
    ) -> Result<Vec<Entry>, Refusal> {
        let Approval { path, approvers, granted, extended } = approval;
        let (starts, from) = match extended {
            Some(grant) => (self.now, grant.ends),
            None => {
                let starts = spec.start.map_or(self.now, |start| start.max(self.now));
                (starts, starts)
            }
        };
        let ends = from.plus(granted);
        if ends <= from {
            return Err(Refusal::new("bad-duration", "a grant that ends as it begins is none"));
        }
        let mut facts = vec![entry(Fact::RequestApproved { request: request.clone(), path, approvers, starts, ends })];
        if let Some(grant) = &spec.extends {
            let extended = Fact::GrantExtended { request: grant.clone(), by: request.clone(), from, to: ends };
            facts.push(Entry { correlation: grant.into(), ..entry(extended) });
        }
        Ok(facts)
    }
}

/// What was approved.
pub(super) struct Approval<'a> {
    pub(super) path: PolicyPath,
    pub(super) approvers: BTreeSet<IdentityName>,
    /// For how long.
    pub(super) granted: Span,
    /// The grant that goes on.
    pub(super) extended: Option<&'a Grant>,
}

fn check_spec(spec: &RequestSpec, now: Timestamp) -> Result<(), Refusal> {
    if spec.duration == Span::ZERO {
        return Err(Refusal::new("bad-duration", "a request for no time at all is none").with_hint("ask --for 30m"));
    }
    if let Some(start) = spec.start.filter(|start| start.plus(START_TOLERANCE) < now) {
        let sentence = format!("a request cannot start in the past: {} is over", start.to_second());
        return Err(Refusal::new("bad-start", sentence).with_hint("name a later time, or none to start at once"));
    }
    if spec.start.is_some_and(|start| start > now.plus(MAX_AHEAD)) {
        let sentence = format!("a request can start at most {MAX_AHEAD} ahead");
        return Err(Refusal::new("bad-start", sentence));
    }
    if let Some(ticket) = &spec.ticket {
        let good = !ticket.trim().is_empty() && ticket.len() <= MAX_TICKET && !ticket.chars().any(|c| hostile(c, ""));
        if !good {
            let sentence = format!("a ticket is one line of plain text of at most {MAX_TICKET} bytes");
            return Err(Refusal::new("bad-ticket", sentence));
        }
    }
    if let Some(command) = &spec.command {
        let good = !command.is_empty() && command.len() <= MAX_COMMAND && !command.chars().any(|c| hostile(c, "\n\t"));
        if !good {
            let sentence = format!("a command is plain text of at most {MAX_COMMAND} bytes, as a reviewer can read it");
            return Err(Refusal::new("bad-command", sentence).with_hint("leave control characters out"));
        }
    }
    Ok(())
}

/// A character that would make a reviewer read something else than what is asked.
fn hostile(c: char, but: &str) -> bool {
    let turns = matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    turns || (c.is_control() && !but.contains(c))
}

fn check_counts(state: &State, asker: &IdentityName) -> Result<(), Refusal> {
    if state.pending_of(asker).count() >= MAX_PENDING {
        let sentence = format!("{asker} has {MAX_PENDING} pending requests, which is the limit");
        return Err(Refusal::new("too-many-requests", sentence).with_hint("cancel one, or wait for an answer"));
    }
    if state.grants_of(asker).count() >= MAX_GRANTS {
        let sentence = format!("{asker} holds {MAX_GRANTS} grants, which is the limit");
        return Err(Refusal::new("too-many-grants", sentence).with_hint("release one: portcullis release ID"));
    }
    Ok(())
}

/// Refuses a request that no path could ever take: waiting for reviewers would be in vain.
fn check_paths(spec: &RequestSpec, offered: &[PolicyPath], case: &Case<'_>) -> Result<(), Refusal> {
    let place = format!("{}@{}", spec.login, spec.target);
    if offered.is_empty() {
        let explain = format!("run: portcullis policy explain {place}");
        return Err(
            Refusal::new("no-path", format!("policy offers {} no way to {place}", spec.identity)).with_hint(explain)
        );
    }
    if offered.len() > MAX_PATHS {
        let sentence = format!("policy offers {} ways to {place}; the limit is {MAX_PATHS}", offered.len());
        return Err(Refusal::new("too-many-paths", sentence).with_hint("narrow the permits that match"));
    }
    let gaps = paths::gaps(offered, case);
    if gaps.iter().any(|gap| gap.longest.is_none() && !gap.needs_asker()) {
        return Ok(());
    }
    if let Some(gap) = gaps.iter().find(|gap| gap.longest.is_none()) {
        return Err(asker_lacks(gap, &place));
    }
    let longest = paths::longest(offered, case);
    let sentence = match &spec.extends {
        Some(grant) => format!("{} more is too long: {grant} can be given at most {longest} more now", spec.duration),
        None => format!("{} is too long: policy offers at most {longest} for {place}", spec.duration),
    };
    let refusal = Refusal::new("too-long", sentence);
    Err(if longest == Span::ZERO { refusal } else { refusal.with_hint(format!("ask --for {longest}")) })
}

fn asker_lacks(gap: &PathGap, place: &str) -> Refusal {
    if gap.ticket {
        Refusal::new("ticket-needed", format!("policy wants a ticket for {place}")).with_hint("name it with --ticket")
    } else if gap.touch {
        Refusal::new("touch-needed", format!("policy wants a touched security key for {place}"))
            .with_hint("log in again with a security key: portcullis login")
    } else {
        let wanted = gap.factor.map_or_else(|| "something more".to_owned(), |wanted| wanted.to_string());
        Refusal::new("factor-needed", format!("policy wants {wanted} for {place}"))
            .with_hint("give one: portcullis login --code; to set an authenticator up: portcullis factor add")
    }
}
