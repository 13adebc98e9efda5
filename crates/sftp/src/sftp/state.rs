//! What a watch knows between packets: who waits for what, and what is open.

use std::collections::BTreeMap;

use super::wire;
use crate::limits::HANDLE;
use crate::moved::{Budget, Mover};
use crate::path::escape;
use crate::{Absent, Action, Limits, OpenMode, Operation, Outcome, RemotePath};

/// The requests under way and the open handles.
#[derive(Debug)]
pub(super) struct State {
    pub(super) limits: Limits,
    /// Whether looking is told.
    pub(super) looks: bool,
    /// The folder in which the target begins.
    pub(super) home: Option<RemotePath>,
    pub(super) budget: Budget,
    pending: BTreeMap<u32, Pending>,
    /// How many of those will open something.
    opening: usize,
    handles: BTreeMap<Vec<u8>, u64>,
    open: BTreeMap<u64, Open>,
    slots: u64,
    pending_paths: usize,
    open_paths: usize,
}

/// A request that waits for its answer.
#[derive(Debug)]
pub(super) struct Pending {
    pub(super) waits: Waits,
    /// What will be told of it.
    pub(super) action: Option<Action>,
}

/// What an answer is good for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Waits {
    Open,
    Opendir,
    Close { slot: u64 },
    Read { slot: u64, offset: u64, length: u32 },
    Write { slot: u64 },
    Readdir { slot: u64 },
    Resize { slot: u64, size: u64, fits: bool },
    Realpath { home: bool },
    Name,
    Attributes { slot: Option<u64> },
    Extended,
    Status,
}

impl Waits {
    pub(super) const fn name(self) -> &'static str {
        match self {
            Self::Open => "request to open a file",
            Self::Opendir => "request to open a directory",
            Self::Close { .. } => "request to close a handle",
            Self::Read { .. } => "request to read",
            Self::Write { .. } => "request to write",
            Self::Readdir { .. } => "request to list a directory",
            Self::Realpath { .. } | Self::Name => "request for a name",
            Self::Attributes { .. } => "request for attributes",
            Self::Extended => "extended request",
            Self::Resize { .. } | Self::Status => "request to change something",
        }
    }
}

/// Something that is open.
#[derive(Debug)]
pub(super) struct Open {
    pub(super) path: RemotePath,
    pub(super) kind: Kind,
    /// Requests on it that wait for their answers.
    pub(super) in_flight: u32,
    /// How closing it went.
    closed: Option<Outcome>,
}

#[derive(Debug)]
pub(super) enum Kind {
    File { mode: OpenMode, read: Box<Mover>, written: Box<Mover> },
    Directory { entries: u64 },
}

impl State {
    pub(super) const fn new(limits: Limits) -> Self {
        let budget = Budget::new(limits.reorder);
        Self {
            limits,
            looks: false,
            home: None,
            budget,
            pending: BTreeMap::new(),
            opening: 0,
            handles: BTreeMap::new(),
            open: BTreeMap::new(),
            slots: 0,
            pending_paths: 0,
            open_paths: 0,
        }
    }

    /// Whether no further request may go to the target before it has answered some; so many are answered from here.
    pub(super) fn is_full(&self, answers: usize) -> bool {
        self.pending.len().saturating_add(answers) >= self.limits.requests
            || (!self.pending.is_empty() && self.pending_paths >= self.limits.paths)
    }

    /// Whether nothing further may be opened.
    pub(super) fn too_many_open(&self) -> bool {
        self.open.len().saturating_add(self.opening) >= self.limits.handles || self.open_paths >= self.limits.paths
    }

    pub(super) fn resolve(&self, raw: &[u8]) -> RemotePath {
        RemotePath::resolve(self.home.as_ref(), raw)
    }

    pub(super) fn is_asked(&self, id: u32) -> bool {
        self.pending.contains_key(&id)
    }

    pub(super) fn ask(&mut self, id: u32, waits: Waits, action: Option<Action>) {
        match waits {
            Waits::Open | Waits::Opendir => self.opening = self.opening.saturating_add(1),
            Waits::Read { slot, .. } | Waits::Write { slot } | Waits::Readdir { slot } => {
                if let Some(open) = self.open.get_mut(&slot) {
                    open.in_flight = open.in_flight.saturating_add(1);
                }
            }
            Waits::Close { .. }
            | Waits::Resize { .. }
            | Waits::Realpath { .. }
            | Waits::Name
            | Waits::Attributes { .. }
            | Waits::Extended
            | Waits::Status => {}
        }
        self.pending_paths = self.pending_paths.saturating_add(cost(action.as_ref()));
        self.pending.insert(id, Pending { waits, action });
    }

    /// Takes the request that an answer is for.
    pub(super) fn answered(&mut self, id: u32) -> Option<Pending> {
        let pending = self.pending.remove(&id)?;
        if matches!(pending.waits, Waits::Open | Waits::Opendir) {
            self.opening = self.opening.saturating_sub(1);
        }
        self.pending_paths = self.pending_paths.saturating_sub(cost(pending.action.as_ref()));
        Some(pending)
    }

    /// What a handle stands for.
    pub(super) fn slot(&self, handle: &[u8]) -> Option<u64> {
        self.handles.get(handle).copied()
    }

    pub(super) fn get(&mut self, slot: u64) -> Option<&mut Open> {
        self.open.get_mut(&slot)
    }

    /// What is open, beside what all of it may keep.
    pub(super) fn with_budget(&mut self, slot: u64) -> Option<(&mut Open, &mut Budget)> {
        self.open.get_mut(&slot).map(|open| (open, &mut self.budget))
    }

    /// Gives a handle its meaning; `false` if it has one.
    pub(super) fn opened(&mut self, handle: &[u8], path: RemotePath, mode: Option<OpenMode>) -> bool {
        if self.handles.contains_key(handle) {
            return false;
        }
        let kind = match mode {
            Some(mode) => {
                let mut written = Mover::new(mode.append.then_some(Absent::Append));
                if mode.truncate || mode.exclusive {
                    written.ends(0);
                }
                Kind::File { mode, read: Box::new(Mover::new(None)), written: Box::new(written) }
            }
            None => Kind::Directory { entries: 0 },
        };
        self.slots = self.slots.saturating_add(1);
        self.open_paths = self.open_paths.saturating_add(path.as_bytes().len().saturating_add(HANDLE));
        self.handles.insert(handle.to_vec(), self.slots);
        self.open.insert(self.slots, Open { path, kind, in_flight: 0, closed: None });
        true
    }

    /// From now on the handle stands for nothing, so that nothing slips in behind a close.
    pub(super) fn forget_handle(&mut self, handle: &[u8]) {
        self.handles.remove(handle);
    }

    /// A request on something open was answered in full.
    pub(super) fn landed(&mut self, slot: u64, operations: &mut Vec<Operation>) {
        if let Some(open) = self.open.get_mut(&slot) {
            open.in_flight = open.in_flight.saturating_sub(1);
        }
        self.settle(slot, operations);
    }

    /// The target has answered a close.
    pub(super) fn closed(&mut self, slot: u64, outcome: Outcome, operations: &mut Vec<Operation>) {
        if let Some(open) = self.open.get_mut(&slot) {
            open.closed = Some(outcome);
        }
        self.settle(slot, operations);
    }

    /// The end: whatever is under way stays without an answer.
    pub(super) fn finish(&mut self, operations: &mut Vec<Operation>) {
        for pending in std::mem::take(&mut self.pending).into_values() {
            operations.extend(pending.action.map(|action| action.with(Outcome::Unanswered)));
        }
        for (_, open) in std::mem::take(&mut self.open) {
            operations.push(open.close(Outcome::Unanswered, &mut self.budget));
        }
        self.handles.clear();
        (self.opening, self.pending_paths, self.open_paths) = (0, 0, 0);
    }

    /// How many bytes are kept.
    pub(super) const fn held(&self) -> usize {
        self.budget.used.saturating_add(self.pending_paths).saturating_add(self.open_paths)
    }

    /// Tells of a file that is closed, once nothing is under way on it.
    fn settle(&mut self, slot: u64, operations: &mut Vec<Operation>) {
        if self.open.get(&slot).is_none_or(|open| open.closed.is_none() || open.in_flight > 0) {
            return;
        }
        if let Some(mut open) = self.open.remove(&slot)
            && let Some(outcome) = open.closed.take()
        {
            self.open_paths = self.open_paths.saturating_sub(open.path.as_bytes().len().saturating_add(HANDLE));
            operations.push(open.close(outcome, &mut self.budget));
        }
    }
}

impl Open {
    /// What was done with it.
    fn close(self, outcome: Outcome, budget: &mut Budget) -> Operation {
        let path = self.path;
        match self.kind {
            Kind::File { mut read, mut written, .. } => {
                if outcome == Outcome::Unanswered {
                    read.give_up(Absent::Unclosed, budget);
                    written.give_up(Absent::Unclosed, budget);
                }
                let (read, written) = (read.finish(budget), written.finish(budget));
                Action::Close { path, or: None, read, written }.with(outcome)
            }
            Kind::Directory { entries } => Action::List { path, entries }.with(outcome),
        }
    }
}

/// What a status says became of a request. The target's words are cut.
pub(super) fn outcome(code: u32, text: &[u8]) -> Outcome {
    if code == wire::OK {
        return Outcome::Done;
    }
    let text = escape(text.get(..wire::TEXT).unwrap_or(text));
    Outcome::Failed { code: Some(code), text }
}

fn cost(action: Option<&Action>) -> usize {
    action.into_iter().flat_map(Action::paths).map(|path| path.as_bytes().len()).sum()
}
