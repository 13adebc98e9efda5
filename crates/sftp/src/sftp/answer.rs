//! A target's answer, matched with its request.

use super::frame::Sink;
use super::state::{Kind, Pending, State, Waits, outcome};
use super::wire::{self, Fields};
use crate::{Absent, Action, Operation, Outcome, Problem, RemotePath};

/// Takes the answer whose packet begins with `head`, of which `content` bytes follow. Returns where they belong.
pub(super) fn answer(
    state: &mut State,
    head: &[u8],
    content: usize,
    operations: &mut Vec<Operation>,
) -> Result<Option<Sink>, Problem> {
    let mut fields = Fields::of(head);
    let kind = fields.u8("type")?;
    if !matches!(kind, wire::STATUS | wire::HANDLE_REPLY | wire::DATA | wire::NAME | wire::ATTRS | wire::EXTENDED_REPLY)
    {
        return Err(Problem::Unknown { kind });
    }
    let id = fields.u32("id")?;
    let pending = state.answered(id).ok_or(Problem::Unasked { id })?;
    let Pending { waits, action } = pending;
    match (kind, waits) {
        (wire::STATUS, _) => {
            let (code, text) = status(fields)?;
            ended(state, waits, code);
            let outcome = outcome(code, text);
            match waits {
                Waits::Close { slot } => state.closed(slot, outcome, operations),
                Waits::Read { slot, .. } | Waits::Write { slot } | Waits::Readdir { slot } => {
                    state.landed(slot, operations);
                }
                Waits::Open
                | Waits::Opendir
                | Waits::Resize { .. }
                | Waits::Realpath { .. }
                | Waits::Name
                | Waits::Attributes { .. }
                | Waits::Extended
                | Waits::Status => operations.extend(action.map(|action| action.with(outcome))),
            }
            Ok(None)
        }
        (wire::DATA, Waits::Read { slot, offset, length }) => {
            let got = fields.u32("data")?;
            let announced = usize::try_from(got).unwrap_or(usize::MAX);
            if announced > content {
                return Err(Problem::Short { field: "data" });
            }
            if announced < content {
                return Err(Problem::Trailing { count: content.saturating_sub(announced) });
            }
            if got > length {
                return Err(Problem::Data { got, asked: length });
            }
            if got == 0 {
                state.landed(slot, operations);
            }
            Ok(Some(Sink { slot, offset }))
        }
        (wire::HANDLE_REPLY, Waits::Open | Waits::Opendir) => {
            let handle = fields.handle()?;
            fields.end()?;
            opened(state, handle, action, operations).map(|()| None)
        }
        (wire::NAME, Waits::Readdir { slot }) => {
            let (count, _) = names(fields)?;
            if let Some(open) = state.get(slot)
                && let Kind::Directory { entries } = &mut open.kind
            {
                *entries = entries.saturating_add(u64::from(count));
            }
            state.landed(slot, operations);
            Ok(None)
        }
        (wire::NAME, Waits::Realpath { .. } | Waits::Name) => {
            let (count, first) = names(fields)?;
            if waits == (Waits::Realpath { home: true }) && count == 1 {
                learn_home(state, first);
            }
            operations.extend(action.map(|action| action.with(Outcome::Done)));
            Ok(None)
        }
        (wire::ATTRS, Waits::Attributes { slot }) => {
            let attributes = fields.attributes()?;
            fields.end()?;
            if let (Some(slot), Some(size)) = (slot, attributes.size)
                && let Some(open) = state.get(slot)
                && let Kind::File { read, .. } = &mut open.kind
            {
                read.sized(size);
            }
            operations.extend(action.map(|action| action.with(Outcome::Done)));
            Ok(None)
        }
        // What is in it is for those who asked.
        (wire::EXTENDED_REPLY, Waits::Extended) => {
            operations.extend(action.map(|action| action.with(Outcome::Done)));
            Ok(None)
        }
        (got, waits) => Err(Problem::Answer { got, request: waits.name() }),
    }
}

/// What a status means for the digest of a file.
fn ended(state: &mut State, waits: Waits, code: u32) {
    match waits {
        Waits::Read { slot, offset, .. } if code == wire::EOF => {
            if let Some(open) = state.get(slot)
                && let Kind::File { read, .. } = &mut open.kind
            {
                read.ends(offset);
            }
        }
        Waits::Write { slot } if code != wire::OK => {
            if let Some((open, budget)) = state.with_budget(slot)
                && let Kind::File { written, .. } = &mut open.kind
            {
                written.give_up(Absent::Failed, budget);
            }
        }
        Waits::Resize { slot, size, fits } if code == wire::OK => {
            if let Some((open, budget)) = state.with_budget(slot)
                && let Kind::File { written, .. } = &mut open.kind
            {
                if fits {
                    written.ends(size);
                } else {
                    written.give_up(Absent::Resized, budget);
                }
            }
        }
        Waits::Open
        | Waits::Opendir
        | Waits::Close { .. }
        | Waits::Read { .. }
        | Waits::Write { .. }
        | Waits::Readdir { .. }
        | Waits::Resize { .. }
        | Waits::Realpath { .. }
        | Waits::Name
        | Waits::Attributes { .. }
        | Waits::Extended
        | Waits::Status => {}
    }
}

fn opened(
    state: &mut State,
    handle: &[u8],
    action: Option<Action>,
    operations: &mut Vec<Operation>,
) -> Result<(), Problem> {
    let (path, mode) = match &action {
        Some(Action::Open { path, mode, .. }) => (path.clone(), Some(*mode)),
        Some(Action::List { path, .. }) => (path.clone(), None),
        // A request to open something always has one of those two.
        _ => return Ok(()),
    };
    if !state.opened(handle, path, mode) {
        return Err(Problem::HandleInUse);
    }
    // A directory is told when it is closed, with what was listed.
    if mode.is_some() {
        operations.extend(action.map(|action| action.with(Outcome::Done)));
    }
    Ok(())
}

/// The folder in which the target begins does not change; the first word counts.
fn learn_home(state: &mut State, name: &[u8]) {
    let home = RemotePath::resolve(None, name);
    if state.home.is_none() && home.is_absolute() && name.len() <= state.limits.path && !name.contains(&0) {
        state.home = Some(home);
    }
}

/// Code and text. Old servers leave out the text, or the language behind it.
fn status(mut fields: Fields<'_>) -> Result<(u32, &[u8]), Problem> {
    let code = fields.u32("status")?;
    let text = if fields.is_empty() { &[] } else { fields.string("text")? };
    if !fields.is_empty() {
        fields.string("language")?;
    }
    fields.end().map(|()| (code, text))
}

/// How many names there are, and the first.
fn names(mut fields: Fields<'_>) -> Result<(u32, &[u8]), Problem> {
    let count = fields.u32("count")?;
    let mut first: &[u8] = &[];
    for number in 0..count {
        let name = fields.string("name")?;
        fields.string("long name")?;
        fields.attributes()?;
        if number == 0 {
            first = name;
        }
    }
    fields.end().map(|()| (count, first))
}
