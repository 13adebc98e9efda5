//! The old scp (`scp -O`): the protocol of rcp.
//!
//! One end sends: lines that announce, and content. The other receives, and says yes or what is wrong to each of them.
//! Real senders wait for that; a sender that does not is made to wait here, so there is never a doubt which answer
//! belongs to what.

mod command;
mod line;
mod tree;

use bytes::Bytes;

pub use self::command::ScpCommand;
use self::line::{Collector, Line, answer, warning};
use self::tree::{Place, Tree};
use crate::cut::{Cutter, Waiting};
use crate::moved::{Budget, Mover};
use crate::path::escape;
use crate::{
    Absent, Action, Attributes, Broken, Judge, Limits, OpenMode, Outcome, Passed, Problem, Side, Verdict, Watch,
};

/// How many warnings a receiver may send when nobody has asked it.
const EARLY: usize = 4;

/// Watches the channel of an [`ScpCommand`].
///
/// What is told and asked is the same as with [`SftpWatch`](crate::SftpWatch). An upload is named by two paths unless
/// the command says which of them it is ([`Action::Open::or`]); a folder that is sent is a `mkdir`, also where it
/// was there before.
#[derive(Debug)]
pub struct ScpWatch<J> {
    judge: J,
    limits: Limits,
    upload: bool,
    stage: Stage,
    tree: Tree,
    times: Option<Attributes>,
    /// Answers that came before what they answer.
    early: Vec<Option<String>>,
    waiting: Waiting,
    sender: Collector,
    receiver: Collector,
    budget: Budget,
    sent: u64,
    received: u64,
}

/// Where the sending end stands.
#[derive(Debug)]
enum Stage {
    /// It may announce something.
    Line,
    /// It waits for the answer to this.
    Waits(Expect),
    /// It sends content.
    Content(File),
    /// It says whether all of the content was good.
    End(File),
}

/// What an answer is for.
#[derive(Debug)]
enum Expect {
    /// That the receiver is there.
    Start,
    Times,
    File {
        place: Place,
        action: Action,
        size: u64,
    },
    Folder {
        place: Place,
        action: Action,
    },
    Up(Option<Action>),
    Closed(File),
}

#[derive(Debug)]
struct File {
    place: Place,
    left: u64,
    offset: u64,
    moved: Box<Mover>,
}

impl<J: Judge> ScpWatch<J> {
    /// A watch over a channel on which this command was started.
    pub fn new(command: &ScpCommand, limits: Limits, judge: J) -> Self {
        let (budget, tree) = (Budget::new(limits.reorder), Tree::new(command, limits.path));
        Self {
            judge,
            limits,
            upload: command.upload,
            stage: Stage::Waits(Expect::Start),
            tree,
            times: None,
            early: Vec::new(),
            waiting: Waiting::new(),
            sender: Collector::default(),
            receiver: Collector::default(),
            budget,
            sent: 0,
            received: 0,
        }
    }

    fn hear_sender(&mut self, bytes: Bytes, passed: &mut Passed) -> Result<(), Broken> {
        self.waiting.push(bytes);
        self.run_sender(passed)?;
        let limit = self.limits.held;
        if self.waiting.bytes > limit { Err(self.sender_broken(Problem::Held { limit })) } else { Ok(()) }
    }

    fn run_sender(&mut self, passed: &mut Passed) -> Result<(), Broken> {
        while let Some(piece) = self.waiting.pop() {
            let mut cut = Cutter::new(piece);
            let result = self.sender_bytes(&mut cut, passed);
            let rest = cut.finish(self.to_receiver(passed));
            let stuck = !rest.is_empty();
            self.waiting.put_back(rest);
            result.map_err(|problem| self.sender_broken(problem))?;
            if stuck {
                break;
            }
        }
        Ok(())
    }

    /// Returns when the piece is used up, or has to wait for an answer.
    fn sender_bytes(&mut self, cut: &mut Cutter, passed: &mut Passed) -> Result<(), Problem> {
        while !cut.rest().is_empty() {
            match &mut self.stage {
                Stage::Waits(_) => return Ok(()),
                Stage::Content(file) => {
                    let rest = cut.rest();
                    let count = rest.len().min(usize::try_from(file.left).unwrap_or(usize::MAX));
                    file.moved.push(file.offset, rest.get(..count).unwrap_or_default(), &mut self.budget);
                    let moved = u64::try_from(count).unwrap_or(u64::MAX);
                    file.offset = file.offset.saturating_add(moved);
                    file.left = file.left.saturating_sub(moved);
                    self.sent = self.sent.saturating_add(moved);
                    cut.pass(count);
                    if file.left == 0
                        && let Stage::Content(file) = std::mem::replace(&mut self.stage, Stage::Line)
                    {
                        self.stage = Stage::End(file);
                    }
                }
                Stage::Line | Stage::End(_) => {
                    let limit = self.limits.path;
                    let out = if self.upload { &mut passed.to_server } else { &mut passed.to_client };
                    let Some(message) = self.sender.take(cut, out, limit)? else { return Ok(()) };
                    let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
                    match std::mem::replace(&mut self.stage, Stage::Line) {
                        Stage::End(mut file) => {
                            if answer(&message)?.is_some() {
                                file.moved.give_up(Absent::Failed, &mut self.budget);
                            }
                            self.forward(message, passed);
                            self.expect(Expect::Closed(file), passed)?;
                        }
                        Stage::Line | Stage::Waits(_) | Stage::Content(_) => self.announced(message, passed)?,
                    }
                    self.sent = self.sent.saturating_add(length);
                }
            }
        }
        Ok(())
    }

    /// A line of the sender.
    fn announced(&mut self, message: Vec<u8>, passed: &mut Passed) -> Result<(), Problem> {
        match Line::read(&message, self.limits.path)? {
            Line::Times { modified, accessed } => {
                let times = Attributes { modified: Some(modified), accessed: Some(accessed), ..Attributes::default() };
                self.times = Some(times);
                self.forward(message, passed);
                self.expect(Expect::Times, passed)
            }
            Line::File { permissions, size, name } => {
                let place = self.tree.place(name)?;
                let mode = if self.upload {
                    OpenMode { write: true, create: true, truncate: true, ..OpenMode::default() }
                } else {
                    OpenMode { read: true, ..OpenMode::default() }
                };
                let Place { path, or } = place.clone();
                let action = Action::Open { path, or, mode, size: Some(size), permissions: Some(permissions) };
                if size > self.limits.file {
                    let reason = format!("a file of {size} bytes is longer than {}", self.limits.file);
                    return self.refuse(action, &reason, passed);
                }
                if let Verdict::Refuse(reason) = self.judge.allow(&action) {
                    return self.refuse(action, &reason, passed);
                }
                self.forward(message, passed);
                self.expect(Expect::File { place, action, size }, passed)
            }
            Line::Folder { permissions, name } => {
                let place = self.tree.place(name)?;
                let Place { path, or } = place.clone();
                let action = if self.upload {
                    Action::Mkdir { path, or, permissions: Some(permissions) }
                } else {
                    Action::List { path, entries: 0 }
                };
                if let Verdict::Refuse(reason) = self.judge.allow(&action) {
                    return self.refuse(action, &reason, passed);
                }
                self.forward(message, passed);
                self.expect(Expect::Folder { place, action }, passed)
            }
            Line::Up => {
                let (place, entries) = self.tree.up()?;
                let told = (!self.upload).then_some(Action::List { path: place.path, entries });
                self.forward(message, passed);
                self.expect(Expect::Up(told), passed)
            }
            Line::Warning(text) => {
                if !self.upload {
                    let mode = OpenMode { read: true, ..OpenMode::default() };
                    let path = self.tree.folder();
                    let action = Action::Open { path, or: None, mode, size: None, permissions: None };
                    passed.operations.push(action.with(failed(text)));
                }
                self.forward(message, passed);
                Ok(())
            }
        }
    }

    /// Says no in the receiver's place, and tells a person who receives why nothing comes.
    fn refuse(&mut self, action: Action, reason: &str, passed: &mut Passed) -> Result<(), Problem> {
        if !self.early.is_empty() {
            // The sender would take the receiver's early words for our answer, and ours for the next.
            return Err(Problem::Line { expected: "sent after the answer to the one before" });
        }
        self.times = None;
        let words = warning(reason);
        if !self.upload {
            passed.to_client.push(words.clone());
        }
        self.to_sender(passed).push(words);
        passed.operations.push(action.with(Outcome::Refused { reason: reason.to_owned() }));
        Ok(())
    }

    /// From now on the sender waits, unless the answer was there first.
    fn expect(&mut self, expect: Expect, passed: &mut Passed) -> Result<(), Problem> {
        self.stage = Stage::Waits(expect);
        if self.early.is_empty() {
            return Ok(());
        }
        let words = self.early.remove(0);
        self.answered(words.as_deref().map(str::as_bytes), passed)
    }

    fn hear_receiver(&mut self, bytes: Bytes, passed: &mut Passed) -> Result<(), Broken> {
        let mut cut = Cutter::new(bytes);
        while !cut.rest().is_empty() {
            let result = self.receiver_bytes(&mut cut, passed);
            result.map_err(|problem| self.receiver_broken(problem))?;
            self.run_sender(passed)?;
        }
        Ok(())
    }

    fn receiver_bytes(&mut self, cut: &mut Cutter, passed: &mut Passed) -> Result<(), Problem> {
        let limit = self.limits.path;
        let out = if self.upload { &mut passed.to_client } else { &mut passed.to_server };
        let Some(message) = self.receiver.take(cut, out, limit)? else { return Ok(()) };
        let words = answer(&message)?.map(<[u8]>::to_vec);
        let length = u64::try_from(message.len()).unwrap_or(u64::MAX);
        self.to_sender(passed).push(message.into());
        match &self.stage {
            Stage::Waits(_) => self.answered(words.as_deref(), passed)?,
            // PuTTY says that it has the content before it hears whether that was good.
            Stage::End(_) if self.early.is_empty() && words.is_none() => self.early.push(None),
            // A receiver that could not set the times of a folder says so when nobody asks.
            Stage::Line | Stage::Content(_) | Stage::End(_) if self.early.len() < EARLY && words.is_some() => {
                self.early.push(words.map(|words| escape(&words)));
            }
            Stage::Line | Stage::Content(_) | Stage::End(_) => {
                return Err(Problem::Line { expected: "an answer to anything" });
            }
        }
        self.received = self.received.saturating_add(length);
        Ok(())
    }

    /// The receiver has answered, with words when it cannot.
    fn answered(&mut self, words: Option<&[u8]>, passed: &mut Passed) -> Result<(), Problem> {
        let Stage::Waits(expect) = std::mem::replace(&mut self.stage, Stage::Line) else { return Ok(()) };
        let outcome = words.map_or(Outcome::Done, failed);
        let good = words.is_none();
        let told = &mut passed.operations;
        match expect {
            Expect::Start | Expect::Times => {}
            Expect::File { place, action, size } => {
                let (path, or) = (place.path.clone(), place.or.clone());
                told.push(action.with(outcome.clone()));
                if let Some(attributes) = self.times.take().filter(|_| self.upload) {
                    told.push(Action::Setstat { path, or, link: false, attributes }.with(outcome));
                }
                if good {
                    let mut moved = Box::new(Mover::new(None));
                    moved.ends(size);
                    let file = File { place, left: size, offset: 0, moved };
                    self.stage = if size == 0 { Stage::End(file) } else { Stage::Content(file) };
                }
            }
            Expect::Folder { place, action } => {
                self.times = None;
                if self.upload || !good {
                    told.push(action.with(outcome));
                }
                if good {
                    self.tree.down(place)?;
                }
            }
            Expect::Up(action) => told.extend(action.map(|action| action.with(outcome))),
            Expect::Closed(file) => told.push(file.close(self.upload, &mut self.budget).with(outcome)),
        }
        Ok(())
    }

    fn forward(&self, message: Vec<u8>, passed: &mut Passed) {
        self.to_receiver(passed).push(message.into());
    }

    const fn to_receiver<'a>(&self, passed: &'a mut Passed) -> &'a mut Vec<Bytes> {
        if self.upload { &mut passed.to_server } else { &mut passed.to_client }
    }

    const fn to_sender<'a>(&self, passed: &'a mut Passed) -> &'a mut Vec<Bytes> {
        if self.upload { &mut passed.to_client } else { &mut passed.to_server }
    }

    const fn sender_broken(&self, problem: Problem) -> Broken {
        Broken { side: if self.upload { Side::Client } else { Side::Server }, at: self.sent, problem }
    }

    const fn receiver_broken(&self, problem: Problem) -> Broken {
        Broken { side: if self.upload { Side::Server } else { Side::Client }, at: self.received, problem }
    }

    const fn sender_waits(&self) -> bool {
        matches!(self.stage, Stage::Waits(_))
    }
}

impl File {
    fn close(self, upload: bool, budget: &mut Budget) -> Action {
        let moved = self.moved.finish(budget);
        let (read, written) = if upload { (None, moved) } else { (moved, None) };
        Action::Close { path: self.place.path, or: self.place.or, read, written }
    }
}

impl<J: Judge> Watch for ScpWatch<J> {
    fn client(&mut self, bytes: Bytes, passed: &mut Passed) -> Result<(), Broken> {
        if self.upload { self.hear_sender(bytes, passed) } else { self.hear_receiver(bytes, passed) }
    }

    fn server(&mut self, bytes: Bytes, passed: &mut Passed) -> Result<(), Broken> {
        if self.upload { self.hear_receiver(bytes, passed) } else { self.hear_sender(bytes, passed) }
    }

    fn holds_client(&self) -> bool {
        self.upload && self.sender_waits()
    }

    fn holds_server(&self) -> bool {
        !self.upload && self.sender_waits()
    }

    fn keeps_client(&self) -> bool {
        self.upload && !self.waiting.is_empty()
    }

    fn keeps_server(&self) -> bool {
        !self.upload && !self.waiting.is_empty()
    }

    fn held(&self) -> usize {
        let early: usize = self.early.iter().flatten().map(String::len).sum();
        let parts = [self.sender.held(), self.receiver.held(), self.waiting.bytes, self.budget.used, early];
        parts.iter().sum::<usize>().saturating_add(self.tree.held())
    }

    fn finish(&mut self, passed: &mut Passed) {
        let told = &mut passed.operations;
        match std::mem::replace(&mut self.stage, Stage::Line) {
            Stage::Waits(Expect::File { action, .. } | Expect::Folder { action, .. } | Expect::Up(Some(action))) => {
                told.push(action.with(Outcome::Unanswered));
            }
            Stage::Waits(Expect::Closed(mut file)) | Stage::Content(mut file) | Stage::End(mut file) => {
                file.moved.give_up(Absent::Unclosed, &mut self.budget);
                told.push(file.close(self.upload, &mut self.budget).with(Outcome::Unanswered));
            }
            Stage::Waits(Expect::Start | Expect::Times | Expect::Up(None)) | Stage::Line => {}
        }
        self.waiting = Waiting::new();
    }
}

/// What the other end says went wrong. Its words are cut.
fn failed(words: &[u8]) -> Outcome {
    Outcome::Failed { code: None, text: escape(words.get(..256).unwrap_or(words)) }
}

#[cfg(test)]
mod tests;
