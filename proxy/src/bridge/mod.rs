//! One channel between a person and a target: what goes up, what comes down, and how it ends.
//!
//! Every wait in here is for a window, a queue or a disk, all of them bounded; and the whole is dropped when the
//! session ends, so a peer that stops taking part holds up nothing but its own channel.

mod down;
pub(crate) mod escape;
mod notice;
mod question;
mod replies;
mod rules;
mod screen;
mod transfer;
mod typed;
mod up;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, OnceLock, PoisonError};
use std::time::Duration;

use api::wire::SessionReport;
use model::{ChannelEnd, ChannelKind, ExitReport, Pty, SessionEnd};
use russh::{ChannelId, ChannelMsg, ChannelWriteHalf, server};
use tokio::sync::mpsc;
use tracing::{debug, warn};

use crate::dial::Target;
use crate::gate::Gate;
use crate::record::Tape;
use crate::refusals::Asker;
use crate::registry::Live;
use crate::signal::{RaiseOnDrop, Signal};
use crate::words::{self, Words};

use replies::Replies;
pub(crate) use replies::asks;
use screen::Screen;
use transfer::Transfer;
use typed::Typed;

/// The extended data type of standard error (RFC 4254, section 5.2).
const STDERR: u32 = 1;
/// What a command that was not run answers with, like `ssh` itself.
pub(crate) const NOT_RUN: u32 = 255;
/// How long a person who has closed a channel may keep it for what the target has not yet taken.
const LINGER: Duration = Duration::from_secs(5);

/// How long a target that is lost waits for the reason why it is.
const REASON: Duration = Duration::from_millis(250);

/// How long a person may take for the last words of a channel, in a session that goes on.
const PATIENCE: Duration = Duration::from_secs(1);

/// How many things that were refused are named in a greeting.
const REFUSED: usize = 8;

/// A channel that a person opened.
pub(crate) struct Opened {
    /// The person's side.
    pub(crate) channel: russh::Channel<server::Msg>,
    /// For replies, which a channel itself cannot send.
    pub(crate) handle: server::Handle,
    /// Raised when the person closes the channel, whatever waits before it in the queue; or answers our close, which a
    /// client does once it has printed what it was sent.
    pub(crate) closed: Signal,
    /// Raised when the channel has ended here, and its recording is closed.
    pub(crate) done: RaiseOnDrop,
    /// What was asked on it, and granted, before it came here.
    pub(crate) before: Vec<ChannelMsg>,
}

/// A channel that has ended, with what is still to be done for it.
pub(crate) struct Closing {
    shared: Arc<Shared>,
    /// Raised when the ledger is told: until then the channel has its place, or a slow disk would let more channels be
    /// open in the ledger than it takes.
    _done: RaiseOnDrop,
}

/// What both directions of a channel share.
struct Shared {
    gate: Arc<Gate>,
    live: Arc<Live>,
    /// The channel's number in its session.
    number: u32,
    /// The target is an OpenSSH server.
    openssh: bool,
    handle: server::Handle,
    id: ChannelId,
    replies: Replies,
    terminal: Mutex<Option<Terminal>>,
    /// What was refused before the person could be told.
    refused: Mutex<Vec<Words>>,
    /// What the channel carries, once it was asked for.
    kind: OnceLock<ChannelKind>,
    tape: OnceLock<Tape>,
    /// What becomes of files, where the channel moves some.
    transfer: OnceLock<Transfer>,
    /// Raised when there is a tape.
    armed: Signal,
    bytes_in: AtomicU64,
    bytes_out: AtomicU64,
    exit: OnceLock<ExitReport>,
    /// The person sends no more.
    person_done: AtomicBool,
    /// The target has agreed, and the ledger knows the channel.
    running: OnceLock<()>,
}

/// A person's terminal.
#[derive(Debug)]
struct Terminal {
    /// As it was asked for.
    pty: Pty,
    screen: Screen,
    /// As it is now.
    size: Size,
}

/// Columns, rows, and both in pixels, as SSH counts them.
type Size = (u32, u32, u32, u32);

/// How a channel ended.
#[derive(Debug)]
enum Ended {
    /// The person closed it, or is gone.
    Person,
    /// The target closed it.
    Target,
    /// The target is gone without closing it.
    Lost,
    /// It was refused.
    Refused(Words),
    /// Its recording failed.
    Recording(String),
    /// The session has ended.
    Session,
}

/// Carries one channel until it ends.
pub(crate) async fn run(gate: Arc<Gate>, live: Arc<Live>, number: u32, target: Arc<Target>, opened: Opened) -> Closing {
    let Opened { channel, handle, closed, done, before } = opened;
    let shared = Arc::new(Shared {
        gate,
        live,
        number,
        openssh: target.is_openssh(),
        handle,
        id: channel.id(),
        replies: Replies::default(),
        terminal: Mutex::new(None),
        refused: Mutex::default(),
        kind: OnceLock::new(),
        tape: OnceLock::new(),
        transfer: OnceLock::new(),
        armed: Signal::default(),
        bytes_in: AtomicU64::new(0),
        bytes_out: AtomicU64::new(0),
        exit: OnceLock::new(),
        person_done: AtomicBool::new(false),
        running: OnceLock::new(),
    });
    let (mut person_read, person) = channel.split();
    let (asides, mut wanted) = mpsc::channel(typed::WISHES);
    let typed = Typed::new(shared.gate.config.escape, asides);
    let ended = match shared.open(&target).await {
        Err(words) => Ended::Refused(words),
        Ok(channel) => {
            let (mut target_read, target) = channel.split();
            let ended = tokio::select! {
                biased;
                () = shared.live.stop().raised() => Ended::Session,
                ended = down::run(&shared, &mut target_read, &person, &target, &mut wanted) => ended,
                ended = up::run(&shared, before, &mut person_read, &target, typed) => ended,
                why = shared.recording_fails() => Ended::Recording(why),
                () = async { closed.raised().await; tokio::time::sleep(LINGER).await } => Ended::Person,
            };
            // A session that has ended has lost its target already.
            if !matches!(ended, Ended::Session) {
                let _ = tokio::time::timeout(PATIENCE, target.close()).await;
            }
            ended
        }
    };
    debug!(session = %shared.live.permit().session(), number, ?ended, "the channel ended");
    shared.live.rights().withdraw_x11(number);
    // Whoever reads on would hold up the window of somebody who is still sending. In a session that has ended the window
    // stays shut: opening it again is a packet, and where one is on its way, no last words may be said.
    let shut = shared.live.ended().is_some().then_some(person_read);
    shared.say_goodbye(&person, ended).await;
    drop(shut);
    Closing { shared, _done: done }
}

/// Whether a message asks for something and wants a reply.
pub(crate) fn wants_reply(msg: &russh::ChannelMsg) -> bool {
    replies::asks(msg).is_some_and(|(want_reply, ..)| want_reply)
}

/// Tells the person of a channel why nothing comes of it. Every request is granted, so that the words are read and
/// not an error of the client's own; the exit status says the rest.
pub(crate) async fn refuse(opened: Opened, words: &Words, patience: Duration) {
    let Opened { mut channel, handle, closed, done: _done, before } = opened;
    let id = channel.id();
    let speak = async {
        let heard = before.iter().filter_map(replies::asks);
        let (mut terminal, mut started) =
            heard.fold((false, false), |(terminal, started), (_, starts, pty)| (terminal | pty, started | starts));
        while !started {
            match channel.wait().await {
                Some(msg) => {
                    let Some((want_reply, starts, pty)) = replies::asks(&msg) else { continue };
                    terminal |= pty;
                    if want_reply {
                        let _ = handle.channel_success(id).await;
                    }
                    started = starts;
                }
                None => return,
            }
        }
        let _ = channel.extended_data_bytes(STDERR, words.bytes(terminal)).await;
        let _ = handle.exit_status_request(id, NOT_RUN).await;
        let _ = channel.eof().await;
        let _ = channel.close().await;
    };
    let told = async {
        tokio::select! {
            () = speak => {}
            () = closed.raised() => {}
        }
    };
    if tokio::time::timeout(patience, told).await.is_err() {
        let _ = tokio::time::timeout(Duration::from_millis(100), handle.close(id)).await;
    }
}

impl Shared {
    async fn open(&self, target: &Target) -> Result<russh::Channel<russh::client::Msg>, Words> {
        let name = &self.live.permit().destination().target;
        let opening = tokio::time::timeout(self.gate.config.dial_timeout.to_std(), target.open());
        tokio::select! {
            biased;
            () = self.live.stop().raised() => Err(Words::say("the session has ended")),
            opened = opening => match opened {
                Ok(Ok(channel)) => Ok(channel),
                Ok(Err(error)) => Err(Words::say(format!("{name} opens no further channel: {error}"))),
                Err(_) => Err(Words::say(format!("{name} does not answer"))),
            },
        }
    }

    async fn recording_fails(&self) -> String {
        self.armed.raised().await;
        match self.tape.get() {
            Some(tape) => tape.broken().await.to_string(),
            None => std::future::pending().await,
        }
    }

    fn pty(&self) -> Option<Pty> {
        self.terminal.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|terminal| terminal.pty.clone())
    }

    fn set_pty(&self, pty: Option<(Pty, Size)>) {
        let terminal = pty.map(|(pty, size)| Terminal { screen: Screen::new(&pty), pty, size });
        *self.terminal.lock().unwrap_or_else(PoisonError::into_inner) = terminal;
    }

    /// The terminal's size, when there is one.
    fn size(&self) -> Option<Size> {
        self.terminal.lock().unwrap_or_else(PoisonError::into_inner).as_ref().map(|terminal| terminal.size)
    }

    /// Notes another size; `false` when there is no terminal.
    fn resize(&self, size: Size) -> bool {
        let mut terminal = self.terminal.lock().unwrap_or_else(PoisonError::into_inner);
        let Some(terminal) = terminal.as_mut() else { return false };
        terminal.size = size;
        terminal.screen.resize(cells(size.0), cells(size.1));
        true
    }

    /// Looks at what the person's terminal shows; `None` when they have none.
    fn on_screen<T>(&self, look: impl FnOnce(&mut Screen) -> T) -> Option<T> {
        let mut terminal = self.terminal.lock().unwrap_or_else(PoisonError::into_inner);
        terminal.as_mut().map(|terminal| look(&mut terminal.screen))
    }

    /// Keeps words for the greeting: the terminal in which they are said is not there yet.
    fn tell_later(&self, words: Words) {
        let mut refused = self.refused.lock().unwrap_or_else(PoisonError::into_inner);
        if refused.len() < REFUSED {
            refused.push(words);
        }
    }

    /// What was kept.
    fn told_later(&self) -> Vec<Words> {
        std::mem::take(&mut *self.refused.lock().unwrap_or_else(PoisonError::into_inner))
    }

    /// Tells the ledger. A session whose story the ledger does not take ends.
    fn report(&self, report: SessionReport) {
        if let Err(backlog) = self.gate.reporter.send(self.live.permit().session(), report) {
            warn!(session = %self.live.permit().session(), "{backlog}");
            self.live.end(SessionEnd::Proxy { reason: backlog.to_string() });
        }
    }

    /// Tells the ledger that something was refused, unless it hears of too much of that.
    fn report_refusal(&self, asked: String, reason: &str) {
        if let Some(refused) = self.live.refusal(Asker::Person, asked, reason) {
            self.report(refused);
        }
    }

    /// The last words on a channel, as far as the person takes them in time.
    async fn say_goodbye(&self, person: &ChannelWriteHalf<server::Msg>, ended: Ended) {
        let permit = self.live.permit();
        let target = &permit.destination().target;
        if matches!(ended, Ended::Lost) && self.exit.get().is_none() {
            // What ended the session may have reached the target first: whoever is lost is told why, if there is a why.
            let _ = tokio::time::timeout(REASON, self.live.stop().raised()).await;
        }
        let over = self.live.ended().is_some();
        if over {
            let _ = tokio::time::timeout(self.gate.config.notice.to_std(), self.live.words().raised()).await;
        }
        let words = match ended {
            // The target is lost, or opens nothing, because the session has ended, not the other way round.
            Ended::Lost | Ended::Session | Ended::Refused(_) if over => {
                self.live.ended().and_then(|end| words::ended(end, permit))
            }
            Ended::Person | Ended::Session => None,
            // What the target said to the end was passed on already.
            Ended::Target => {
                let _ = person.close().await;
                return;
            }
            Ended::Lost if self.exit.get().is_some() => None,
            Ended::Lost => Some(Words::say(format!("the connection to {target} is lost"))),
            Ended::Refused(words) => Some(words),
            Ended::Recording(error) => {
                self.live.end(SessionEnd::Recording { error });
                self.live.ended().and_then(|end| words::ended(end, permit))
            }
        };
        let goodbye = async {
            if let Some(words) = words {
                self.replies.grant_all(&self.handle, self.id).await;
                // A program that will draw no more must not keep the terminal.
                let restored = self.on_screen(|screen| screen.restore());
                let mut said = restored.clone().unwrap_or_default().into_bytes();
                said.extend(words.bytes(restored.is_some()));
                let _ = person.extended_data_bytes(STDERR, said).await;
                if self.exit.get().is_none() {
                    let _ = self.handle.exit_status_request(self.id, NOT_RUN).await;
                }
                let _ = person.eof().await;
            }
            let _ = person.close().await;
        };
        let patience = if over { self.gate.config.notice.to_std() } else { PATIENCE };
        let _ = tokio::time::timeout(patience, goodbye).await;
    }
}

impl Closing {
    /// Closes the recording, and tells the ledger how the channel ended.
    pub(crate) async fn finish(self) {
        // Both directions have ended, so nobody else holds it.
        let Some(shared) = Arc::into_inner(self.shared) else { return };
        if let Some(tape) = shared.tape.into_inner() {
            if let Some(transfer) = shared.transfer.into_inner() {
                transfer.finish(&tape).await;
            }
            let live = &shared.live;
            tape.finish(&shared.gate, live.permit(), shared.exit.get(), live.ended()).await;
        }
        if shared.running.get().is_none() {
            return;
        }
        let end = ChannelEnd {
            bytes_in: shared.bytes_in.load(Ordering::Relaxed),
            bytes_out: shared.bytes_out.load(Ordering::Relaxed),
            exit: shared.exit.into_inner(),
            closed_by: None,
        };
        let closed = SessionReport::ChannelClosed { channel: shared.number, end };
        if let Err(backlog) = shared.gate.reporter.send(shared.live.permit().session(), closed) {
            warn!(session = %shared.live.permit().session(), "{backlog}");
        }
    }
}

/// Columns or rows, as a terminal has them.
fn cells(count: u32) -> u16 {
    u16::try_from(count.max(1)).unwrap_or(u16::MAX)
}
