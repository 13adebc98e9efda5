//! Files on their way through a channel: decoded, judged and logged while they pass.
//!
//! Either direction can bring something for the other to send: an answer in the target's place goes to the person, a
//! request that had to wait goes to the target. Neither may ever wait for the other's peer, or two peers that wait for
//! us would wait for each other. So each direction sends to its own side only; what it has for the other lies in a queue
//! with a bound, and wakes it.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use bytes::Bytes;
use model::{Carriage, ChannelKind, IdentityName};
use recordings::Stream;
use russh::{ChannelWriteHalf, client, server};
use sftp::{Action, Broken, Limits, Operation, Outcome, Passed, ScpCommand, ScpWatch, SftpWatch, Side, Watch};
use tokio::sync::Notify;

use crate::limits::Place;
use crate::words::Words;

use super::rules::Rules;
use super::up::Stop;
use super::{Ended, STDERR, Shared};

/// From so many bytes on that wait for a side, the other is not read. A request that had to wait is in one piece that was
/// read, so this is never reached by a peer that takes what it asked for.
const QUEUED: usize = 256 * 1024;
/// So many refusals are told in words; all are in the log.
const TOLD: usize = 8;
/// The subsystem that moves files (draft-ietf-secsh-filexfer-02, section 3).
const SFTP: &str = "sftp";

/// A channel that moves files.
pub(super) struct Transfer {
    /// Held while a piece is taken, so that the log has the order in which things happened.
    desk: tokio::sync::Mutex<Desk>,
    to_target: Queue,
    to_person: Queue,
    /// Wakes who reads from the person, and who reads from the target.
    up: Notify,
    down: Notify,
    /// What a person's client does not say by itself, as OpenSSH's, which shows an SFTP status and not its words.
    aloud: bool,
    /// Among the channels of its person that move files.
    _place: Option<Place<IdentityName>>,
}

struct Desk {
    watch: Box<dyn Watch + Send>,
    passed: Passed,
    /// What is not in the recording yet.
    log: VecDeque<Operation>,
    /// What the person was told.
    told: Vec<String>,
}

/// What waits for one side.
#[derive(Default)]
struct Queue(Mutex<Line>);

#[derive(Default)]
struct Line {
    items: VecDeque<Item>,
    bytes: usize,
    /// Nothing more may come.
    closed: bool,
}

enum Item {
    Data(Bytes),
    Words(Words),
}

impl Transfer {
    /// Of a channel that runs this, which is the old scp where a command is given, on a target that is OpenSSH's or not;
    /// `None` where it moves no files, or nobody wants to know.
    ///
    /// # Errors
    /// The rules cannot be applied.
    pub(super) fn new(
        carriage: &Carriage,
        kind: &ChannelKind,
        scp: Option<&ScpCommand>,
        recorded: bool,
        openssh: bool,
    ) -> Result<Option<Self>, String> {
        // Decoding costs a digest of everything, for which there would be neither reader nor judge.
        if !recorded && carriage.all_files() {
            return Ok(None);
        }
        let limits = Limits::default();
        let (watch, aloud): (Box<dyn Watch + Send>, _) = match (kind, scp) {
            (ChannelKind::Exec { .. }, Some(command)) => {
                (Box::new(ScpWatch::new(command, limits, Rules::new(carriage, openssh)?)), false)
            }
            (ChannelKind::Subsystem { name }, _) if name == SFTP => {
                (Box::new(SftpWatch::new(limits, Rules::new(carriage, openssh)?)), true)
            }
            (
                ChannelKind::Shell | ChannelKind::Exec { .. } | ChannelKind::Subsystem { .. } | ChannelKind::Forward(_),
                _,
            ) => return Ok(None),
        };
        let desk = Desk { watch, passed: Passed::default(), log: VecDeque::new(), told: Vec::new() };
        Ok(Some(Self {
            desk: tokio::sync::Mutex::new(desk),
            to_target: Queue::default(),
            to_person: Queue::default(),
            up: Notify::new(),
            down: Notify::new(),
            aloud,
            _place: None,
        }))
    }

    /// The same, with a place that it takes.
    pub(super) fn at(self, place: Place<IdentityName>) -> Self {
        Self { _place: Some(place), ..self }
    }

    /// Carries what the person sent.
    pub(super) async fn person_sent(
        &self,
        shared: &Shared,
        data: Bytes,
        target: &ChannelWriteHalf<client::Msg>,
    ) -> Result<(), Stop> {
        loop {
            self.send_to_target(target).await?;
            if self.take(shared, Side::Client, &data).await.map_err(Stop::Ended)? {
                return self.send_to_target(target).await;
            }
            self.up.notified().await;
        }
    }

    /// The person sends nothing more: waits until all that they sent has gone on.
    pub(super) async fn person_done(&self, target: &ChannelWriteHalf<client::Msg>) -> Result<(), Stop> {
        while self.desk.lock().await.watch.keeps_client() {
            self.send_to_target(target).await?;
            self.up.notified().await;
        }
        self.send_to_target(target).await
    }

    /// Sends what waits for the target.
    pub(super) async fn send_to_target(&self, target: &ChannelWriteHalf<client::Msg>) -> Result<(), Stop> {
        while let Some(item) = self.to_target.pop() {
            match item {
                Item::Data(data) => target.data_bytes(data).await?,
                Item::Words(_) => {}
            }
            self.down.notify_one();
        }
        Ok(())
    }

    /// Carries what the target sent.
    pub(super) async fn target_sent(
        &self,
        shared: &Shared,
        data: Bytes,
        person: &ChannelWriteHalf<server::Msg>,
    ) -> Result<(), Ended> {
        loop {
            self.send_to_person(shared, person).await?;
            if self.take(shared, Side::Server, &data).await? {
                return self.send_to_person(shared, person).await;
            }
            self.down.notified().await;
        }
    }

    /// The target sends nothing more: waits until all that it sent has gone on.
    pub(super) async fn target_done(
        &self,
        shared: &Shared,
        person: &ChannelWriteHalf<server::Msg>,
    ) -> Result<(), Ended> {
        while self.desk.lock().await.watch.keeps_server() {
            self.send_to_person(shared, person).await?;
            self.down.notified().await;
        }
        self.send_to_person(shared, person).await?;
        // Behind the end nothing may come, not even an answer from here (RFC 4254, section 5.3).
        self.to_person.close();
        Ok(())
    }

    /// Sends what waits for the person.
    pub(super) async fn send_to_person(
        &self,
        shared: &Shared,
        person: &ChannelWriteHalf<server::Msg>,
    ) -> Result<(), Ended> {
        while let Some(item) = self.to_person.pop() {
            let sent = match item {
                Item::Data(data) => {
                    let Some(data) = shared.live.pass(data) else { return Err(Ended::Session) };
                    person.data_bytes(data).await
                }
                Item::Words(words) => person.extended_data_bytes(STDERR, words.bytes(false)).await,
            };
            sent.map_err(|_| Ended::Person)?;
            self.up.notify_one();
        }
        Ok(())
    }

    /// Something may be there for the target, or the person may be read again.
    pub(super) async fn wakes_up(&self) {
        self.up.notified().await;
    }

    /// Something may be there for the person, or the target may be read again.
    pub(super) async fn wakes_down(&self) {
        self.down.notified().await;
    }

    /// The channel is over: the log gets what is missing.
    pub(super) async fn finish(self, tape: &crate::record::Tape) {
        let Desk { mut watch, mut passed, log, .. } = self.desk.into_inner();
        watch.finish(&mut passed);
        for operation in log.into_iter().chain(passed.operations) {
            // A recording that failed says so when it is closed.
            if tape.file(&operation).await.is_err() {
                return;
            }
        }
    }

    /// Takes a piece of one side, and what comes of it into the log and the queues; `false` when the side has to wait.
    async fn take(&self, shared: &Shared, side: Side, data: &Bytes) -> Result<bool, Ended> {
        let mut desk = self.desk.lock().await;
        let desk = &mut *desk;
        let (holds, room, stream) = match side {
            Side::Client => (desk.watch.holds_client(), self.to_person.has_room(), Stream::In),
            Side::Server => (desk.watch.holds_server(), self.to_target.has_room(), Stream::Out),
        };
        if holds || !room {
            return Ok(false);
        }
        let before = desk.state();
        let taken = match side {
            Side::Client => desk.watch.client(data.clone(), &mut desk.passed),
            Side::Server => desk.watch.server(data.clone(), &mut desk.passed),
        };
        self.log(shared, desk, stream, data.len() as u64).await?;
        let Passed { to_server, to_client, operations: _ } = &mut desk.passed;
        let (for_target, for_person) = (!to_server.is_empty(), !to_client.is_empty());
        self.to_target.push(to_server.drain(..).map(Item::Data));
        self.to_person.push(to_client.drain(..).map(Item::Data));
        let changed = before != desk.state();
        match side {
            Side::Client if for_person || changed => self.down.notify_one(),
            Side::Server if for_target || changed => self.up.notify_one(),
            Side::Client | Side::Server => {}
        }
        taken.map(|()| true).map_err(|why| self.broken(shared, &why))
    }

    /// Before anything of it goes on, the recording has it.
    async fn log(&self, shared: &Shared, desk: &mut Desk, stream: Stream, bytes: u64) -> Result<(), Ended> {
        desk.log.extend(desk.passed.operations.drain(..));
        let Some(tape) = shared.tape.get() else { return Ok(()) };
        let failed = |why: crate::record::Broken| Ended::Recording(why.to_string());
        tape.count(stream, bytes).await.map_err(failed)?;
        while let Some(operation) = desk.log.front() {
            tape.file(operation).await.map_err(failed)?;
            if let Some(words) = self.refused(shared, operation, &mut desk.told) {
                self.to_person.push([Item::Words(words)].into_iter());
                self.down.notify_one();
            }
            desk.log.pop_front();
        }
        Ok(())
    }

    /// Tells the ledger of a refusal; returns what the person is told.
    fn refused(&self, shared: &Shared, operation: &Operation, told: &mut Vec<String>) -> Option<Words> {
        let Outcome::Refused { reason } = &operation.result else { return None };
        if !is_judged(&operation.action) {
            return None;
        }
        let what = recordings::describe(&operation.action);
        shared.report_refusal(format!("{}: {what}", self.name()), reason);
        if !self.aloud || told.len() >= TOLD || told.contains(&what) {
            return None;
        }
        let words = Words::say(format!("{what} is refused: {reason}"));
        told.push(what);
        Some(words)
    }

    fn broken(&self, shared: &Shared, why: &Broken) -> Ended {
        shared.report_refusal(self.name().to_owned(), &why.to_string());
        Ended::Refused(Words::say(why.to_string()))
    }

    const fn name(&self) -> &'static str {
        if self.aloud { SFTP } else { "scp" }
    }
}

impl Desk {
    /// Whether the sides have to wait, and for whom something waits.
    fn state(&self) -> [bool; 4] {
        let watch = &self.watch;
        [watch.holds_client(), watch.keeps_client(), watch.holds_server(), watch.keeps_server()]
    }
}

impl Queue {
    fn lock(&self) -> MutexGuard<'_, Line> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn push(&self, items: impl Iterator<Item = Item>) {
        let mut line = self.lock();
        for item in items {
            if line.closed {
                continue;
            }
            line.bytes = line.bytes.saturating_add(item.length());
            line.items.push_back(item);
        }
    }

    fn pop(&self) -> Option<Item> {
        let mut line = self.lock();
        let item = line.items.pop_front()?;
        line.bytes = line.bytes.saturating_sub(item.length());
        Some(item)
    }

    fn close(&self) {
        self.lock().closed = true;
    }

    fn has_room(&self) -> bool {
        self.lock().bytes < QUEUED
    }
}

impl Item {
    fn length(&self) -> usize {
        match self {
            Self::Data(data) => data.len(),
            // There are few of them.
            Self::Words(_) => 0,
        }
    }
}

/// Whether it was the grant that refused it, and not that nobody knows what it is.
const fn is_judged(action: &Action) -> bool {
    match action {
        Action::BadHandle { .. } | Action::Extended { .. } | Action::Unknown { .. } => false,
        Action::Open { .. }
        | Action::Close { .. }
        | Action::List { .. }
        | Action::Rename { .. }
        | Action::PosixRename { .. }
        | Action::Remove { .. }
        | Action::Mkdir { .. }
        | Action::Rmdir { .. }
        | Action::Setstat { .. }
        | Action::Symlink { .. }
        | Action::Hardlink { .. }
        | Action::CopyData { .. }
        | Action::Fsync { .. }
        | Action::Readlink { .. }
        | Action::Look { .. } => true,
    }
}
