//! Look-ups.

use model::{Actor, Correlation, Record, Subject, Timestamp};

/// What records must have to be found. All that is given must hold; nothing given finds everything.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Belongs to this.
    pub correlation: Option<Correlation>,
    /// Caused by this actor; by a person also where a proxy passed it on.
    pub actor: Option<Actor>,
    /// Is about this.
    pub subject: Option<Subject>,
    /// Decided at this moment or later.
    pub since: Option<Timestamp>,
    /// Decided before this moment.
    pub until: Option<Timestamp>,
    /// Is of this kind ("session.opened"), or of any kind of one noun ("session.", with its dot).
    pub kind: Option<String>,
}

impl Query {
    /// Whether a record fits.
    #[must_use]
    pub fn matches(&self, record: &Record) -> bool {
        let entry = &record.entry;
        self.correlation.as_ref().is_none_or(|correlation| *correlation == entry.correlation)
            && self.actor.as_ref().is_none_or(|actor| fits(actor, &entry.actor))
            && self.since.is_none_or(|since| entry.time >= since)
            && self.until.is_none_or(|until| entry.time < until)
            && self.kind.as_ref().is_none_or(|kind| is_kind(entry.fact.kind(), kind))
            && self.subject.as_ref().is_none_or(|subject| entry.fact.subjects().contains(subject))
    }
}

fn fits(wanted: &Actor, actor: &Actor) -> bool {
    match wanted {
        Actor::Identity(name) => actor.identity() == Some(name),
        Actor::Through { .. } | Actor::Proxy(_) | Actor::System => wanted == actor,
    }
}

fn is_kind(kind: &str, wanted: &str) -> bool {
    if wanted.ends_with('.') { kind.starts_with(wanted) } else { kind == wanted }
}
