//! Cancelling, revoking, releasing.

use model::{Entry, Fact, GrantEnd, IdentityName, RequestId};

use super::Desk;
use crate::Refusal;
use crate::command::{Cancel, Release, Revoke};

impl Desk<'_> {
    pub(super) fn cancel(&self, cancel: &Cancel) -> Result<Vec<Entry>, Refusal> {
        let id = &cancel.request;
        let (request, _) = self.pending(id, "cancelled")?;
        self.only(&request.spec.identity, "asker", "cancel", id)?;
        Ok(vec![self.entry(id, Fact::RequestCancelled { request: id.clone() })])
    }

    pub(super) fn revoke(&self, revoke: &Revoke) -> Result<Vec<Entry>, Refusal> {
        let id = &revoke.request;
        let (request, _) = self.live_grant(id, "revoked")?;
        self.allowed(revoke.may_revoke, &format!("revoke {id}"), "--action lock")?;
        let reason = Some(revoke.reason.as_str().to_owned());
        Ok(self.ended(id, &request.spec.identity, |fact| self.entry(id, fact), GrantEnd::Revoked, reason))
    }

    pub(super) fn release(&self, release: &Release) -> Result<Vec<Entry>, Refusal> {
        let id = &release.request;
        let (request, _) = self.live_grant(id, "released")?;
        self.only(&request.spec.identity, "holder", "release", id)?;
        Ok(self.ended(id, &request.spec.identity, |fact| self.entry(id, fact), GrantEnd::Released, None))
    }

    /// The facts of a grant's end. A request to extend it has nothing left to wait for and ends with it.
    pub(super) fn ended(
        &self,
        id: &RequestId,
        holder: &IdentityName,
        entry: impl Fn(Fact) -> Entry,
        end: GrantEnd,
        reason: Option<String>,
    ) -> Vec<Entry> {
        let extensions = self.state.pending_of(holder).filter(|one| one.spec.extends.as_ref() == Some(id));
        let mut facts = vec![entry(Fact::GrantEnded { request: id.clone(), end, reason })];
        facts
            .extend(extensions.map(|one| self.system_entry(&one.id, Fact::RequestExpired { request: one.id.clone() })));
        facts
    }

    fn only(&self, owner: &IdentityName, role: &str, verb: &str, id: &RequestId) -> Result<(), Refusal> {
        if self.actor.identity() == Some(owner) {
            return Ok(());
        }
        // Who may review it has another word for the same end.
        let instead = if verb == "cancel" { "deny" } else { "revoke" };
        Err(Refusal::new("not-the-asker", format!("{} cannot {verb} {id}: only its {role} {owner} can", self.actor))
            .with_hint(format!("a reviewer can end it: portcullis {instead} {id}")))
    }
}
