//! A client's request, judged before the target sees it.

use super::frame::Sink;
use super::request::{Request, open_mode};
use super::state::{Kind, State, Waits};
use super::wire::{self, Fields};
use crate::{Absent, Action, Judge, Look, OpenMode, Operation, Outcome, Problem, Verdict};

/// What is done with a request.
#[derive(Debug)]
pub(super) enum Ruling {
    /// It goes to the target; its content, if there is any, belongs there.
    Pass(Option<Sink>),
    /// It goes nowhere, and this is its answer.
    Answer(Vec<u8>),
}

/// Judges the request whose packet begins with `head`; `content` bytes follow.
pub(super) fn ask(
    state: &mut State,
    judge: &mut impl Judge,
    head: &[u8],
    content: usize,
    operations: &mut Vec<Operation>,
) -> Result<Ruling, Problem> {
    let mut fields = Fields::of(head);
    let kind = fields.u8("type")?;
    let id = fields.u32("id")?;
    if state.is_asked(id) {
        return Err(Problem::IdInUse { id });
    }
    let request = Request::read(kind, fields, content, state.limits.path)?;
    let mut desk = Desk { state, judge, id, operations };
    desk.take(request)
}

/// Where one request is dealt with.
struct Desk<'a, J> {
    state: &'a mut State,
    judge: &'a mut J,
    id: u32,
    operations: &'a mut Vec<Operation>,
}

impl<J: Judge> Desk<'_, J> {
    fn take(&mut self, request: Request<'_>) -> Result<Ruling, Problem> {
        let path = |raw| self.state.resolve(raw);
        let ruling = match request {
            Request::Open { path: raw, flags, attributes } => {
                let path = path(raw);
                let permissions = attributes.permissions;
                let open = |mode| Action::Open { path, or: None, mode, size: None, permissions };
                let Some(mode) = open_mode(flags) else {
                    let action = open(OpenMode::default());
                    return Ok(self.refuse(action, wire::OP_UNSUPPORTED, "this way of opening a file is not known"));
                };
                self.open(open(mode), Waits::Open)
            }
            Request::Opendir(raw) => self.open(Action::List { path: path(raw), entries: 0 }, Waits::Opendir),
            Request::Close(handle) => {
                let Some(slot) = self.state.slot(handle) else { return Ok(self.bad_handle("close")) };
                self.state.forget_handle(handle);
                self.pass(Waits::Close { slot }, None)
            }
            Request::Read { handle, offset, length } => {
                let file = self.file(handle, |mode| mode.read);
                let Some((slot, _)) = file else { return Ok(self.bad_handle("read")) };
                end(offset, length)?;
                self.pass(Waits::Read { slot, offset, length }, None)
            }
            Request::Write { handle, offset, length } => {
                let file = self.file(handle, |mode| mode.write);
                let Some((slot, _)) = file else { return Ok(self.bad_handle("write")) };
                end(offset, length)?;
                self.state.ask(self.id, Waits::Write { slot }, None);
                Ruling::Pass(Some(Sink { slot, offset }))
            }
            Request::Readdir(handle) => {
                let slot = self.state.slot(handle);
                let directory = slot.filter(|&slot| {
                    self.state.get(slot).is_some_and(|open| matches!(open.kind, Kind::Directory { .. }))
                });
                let Some(slot) = directory else { return Ok(self.bad_handle("readdir")) };
                self.pass(Waits::Readdir { slot }, None)
            }
            Request::Stat(raw) => self.look(raw, Look::Stat, Waits::Attributes { slot: None }),
            Request::Lstat(raw) => self.look(raw, Look::Lstat, Waits::Attributes { slot: None }),
            Request::Statvfs(raw) => self.look(raw, Look::Statvfs, Waits::Extended),
            Request::ExpandPath(raw) => self.look(raw, Look::ExpandPath, Waits::Name),
            Request::Realpath(raw) => {
                let home = matches!(raw, b"" | b".");
                self.look(raw, Look::Realpath, Waits::Realpath { home })
            }
            Request::Readlink(raw) => self.judged(Action::Readlink { path: path(raw) }, Waits::Name),
            Request::Fstat(handle) => self.look_through(handle, Look::Fstat),
            Request::Fstatvfs(handle) => self.look_through(handle, Look::Fstatvfs),
            Request::Setstat { path: raw, attributes, link } => {
                self.judged(Action::Setstat { path: path(raw), or: None, link, attributes }, Waits::Status)
            }
            Request::Fsetstat { handle, attributes } => self.fsetstat(handle, attributes),
            Request::Remove(raw) => self.judged(Action::Remove { path: path(raw) }, Waits::Status),
            Request::Mkdir { path: raw, attributes } => {
                let permissions = attributes.permissions;
                self.judged(Action::Mkdir { path: path(raw), or: None, permissions }, Waits::Status)
            }
            Request::Rmdir(raw) => self.judged(Action::Rmdir { path: path(raw) }, Waits::Status),
            Request::Rename { from, to, replace } => {
                let (path, to) = (path(from), path(to));
                let action = if replace { Action::PosixRename { path, to } } else { Action::Rename { path, to } };
                self.judged(action, Waits::Status)
            }
            Request::Hardlink { from, to } => {
                self.judged(Action::Hardlink { path: path(from), to: path(to) }, Waits::Status)
            }
            Request::Symlink { content, link } => {
                let to = path(link);
                let path = crate::RemotePath::resolve(Some(&to.parent()), content);
                self.judged(Action::Symlink { path, to }, Waits::Status)
            }
            Request::Fsync(handle) => {
                let Some((_, path)) = self.file(handle, |_| true) else { return Ok(self.bad_handle("fsync")) };
                self.pass(Waits::Status, Some(Action::Fsync { path }))
            }
            Request::CopyData { from, length, to } => self.copy_data(from, length, to),
            Request::Facts => self.pass(Waits::Extended, None),
            Request::HomeDirectory => self.pass(Waits::Name, None),
            Request::UnknownExtension(name) => {
                let name = crate::path::escape(name.get(..wire::TEXT).unwrap_or(name));
                self.refuse(Action::Extended { name }, wire::OP_UNSUPPORTED, "this extension is not passed on")
            }
            Request::Unknown(kind) => {
                self.refuse(Action::Unknown { kind }, wire::OP_UNSUPPORTED, "this request is not passed on")
            }
        };
        Ok(ruling)
    }

    fn open(&mut self, action: Action, waits: Waits) -> Ruling {
        if self.state.too_many_open() {
            return self.refuse(action, wire::FAILURE, "too many files are open");
        }
        self.judged(action, waits)
    }

    fn fsetstat(&mut self, handle: &[u8], attributes: crate::Attributes) -> Ruling {
        let Some(slot) = self.state.slot(handle) else { return self.bad_handle("fsetstat") };
        let Some(open) = self.state.get(slot) else { return self.bad_handle("fsetstat") };
        let path = open.path.clone();
        let waits = match (&open.kind, attributes.size) {
            (Kind::File { written, .. }, Some(size)) => Waits::Resize { slot, size, fits: written.fits(size) },
            (Kind::File { .. } | Kind::Directory { .. }, _) => Waits::Status,
        };
        self.judged(Action::Setstat { path, or: None, link: false, attributes }, waits)
    }

    fn copy_data(&mut self, from: &[u8], length: u64, to: &[u8]) -> Ruling {
        let source = self.file(from, |mode| mode.read);
        let (Some((_, path)), Some((slot, to))) = (source, self.file(to, |mode| mode.write)) else {
            return self.bad_handle("copy-data");
        };
        let ruling = self.judged(Action::CopyData { path, to, length }, Waits::Status);
        if let (Ruling::Pass(_), Some((open, budget))) = (&ruling, self.state.with_budget(slot))
            && let Kind::File { written, .. } = &mut open.kind
        {
            written.give_up(Absent::Copied, budget);
        }
        ruling
    }

    fn look(&mut self, raw: &[u8], how: Look, waits: Waits) -> Ruling {
        let action = Action::Look { path: self.state.resolve(raw), how };
        match self.judge.allow(&action) {
            Verdict::Allow => {
                let told = self.state.looks.then_some(action);
                self.pass(waits, told)
            }
            Verdict::Refuse(reason) => self.refuse(action, wire::PERMISSION_DENIED, &reason),
        }
    }

    fn look_through(&mut self, handle: &[u8], how: Look) -> Ruling {
        let Some(slot) = self.state.slot(handle) else { return self.bad_handle("fstat") };
        let path = self.state.get(slot).map(|open| open.path.clone());
        let told = path.filter(|_| self.state.looks).map(|path| Action::Look { path, how });
        let waits = match how {
            Look::Fstatvfs => Waits::Extended,
            Look::Fstat | Look::Stat | Look::Lstat | Look::Realpath | Look::ExpandPath | Look::Statvfs => {
                Waits::Attributes { slot: Some(slot) }
            }
        };
        self.pass(waits, told)
    }

    /// The open file that a handle stands for, if it was opened for this.
    fn file(&mut self, handle: &[u8], fit: impl Fn(OpenMode) -> bool) -> Option<(u64, crate::RemotePath)> {
        let slot = self.state.slot(handle)?;
        let open = self.state.get(slot)?;
        match open.kind {
            Kind::File { mode, .. } if fit(mode) => Some((slot, open.path.clone())),
            Kind::File { .. } | Kind::Directory { .. } => None,
        }
    }

    fn judged(&mut self, action: Action, waits: Waits) -> Ruling {
        match self.judge.allow(&action) {
            Verdict::Allow => self.pass(waits, Some(action)),
            Verdict::Refuse(reason) => self.refuse(action, wire::PERMISSION_DENIED, &reason),
        }
    }

    fn pass(&mut self, waits: Waits, action: Option<Action>) -> Ruling {
        self.state.ask(self.id, waits, action);
        Ruling::Pass(None)
    }

    fn refuse(&mut self, action: Action, code: u32, reason: &str) -> Ruling {
        self.operations.push(action.with(Outcome::Refused { reason: reason.to_owned() }));
        Ruling::Answer(wire::status(self.id, code, reason))
    }

    fn bad_handle(&mut self, request: &str) -> Ruling {
        let action = Action::BadHandle { request: request.to_owned() };
        self.refuse(action, wire::FAILURE, "the handle stands for nothing that was opened for this")
    }
}

/// No file is longer than its offsets can say.
fn end(offset: u64, length: u32) -> Result<(), Problem> {
    let end = offset.checked_add(u64::from(length)).and_then(|end| i64::try_from(end).ok());
    end.map(|_| ()).ok_or(Problem::Offset)
}
