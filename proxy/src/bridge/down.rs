//! From the target to the person: data, recorded before it is shown, replies and the end.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::wire::SessionReport;
use bytes::Bytes;
use model::{ChannelKind, ExitReport};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, Sig, client, server};
use tokio::sync::mpsc;
use tokio::time::Instant;

use crate::config::Greeting;
use crate::record::Tape;
use crate::words::{self, Words};

use super::replies::Request;
use super::transfer::Transfer;
use super::typed::Aside;
use super::{Ended, STDERR, Shared, notice, question};

/// How long words wait for the target to finish what it is drawing.
const DRAWING: Duration = Duration::from_millis(200);

/// How long the end of the output waits for the exit status, as long as the person may still send.
const BEHIND: Duration = Duration::from_secs(2);

/// The end of the output.
///
/// Where both sides have ended, clients close (OpenSSH as a ControlMaster, PuTTY), and nothing passes behind their close:
/// an exit status that comes later than the end of the output would be lost, and PuTTY takes that for success. So the
/// person hears of the end behind the exit status, unless they have not ended themselves and may wait for just that.
#[derive(Default)]
struct End {
    /// The target has told of it, and the person was not told.
    held: bool,
    /// When it is looked at again.
    until: Option<Instant>,
}

impl End {
    fn hold(&mut self) {
        *self = Self { held: true, until: Some(Instant::now() + BEHIND) };
    }

    async fn let_go(&mut self, person: &ChannelWriteHalf<server::Msg>) -> Result<(), russh::Error> {
        match std::mem::take(self).held {
            true => person.eof().await,
            false => Ok(()),
        }
    }
}

/// What waits for a good moment.
struct Waiting {
    what: What,
    /// The last moment.
    until: Instant,
}

/// What is to be shown, or asked.
enum What {
    Words(Arc<Words>),
    /// The question for more time, with what is typed into it.
    Question(mpsc::Receiver<Bytes>),
}

impl Waiting {
    fn for_a_while(what: What) -> Self {
        Self { what, until: Instant::now() + DRAWING }
    }
}

/// Carries what the target sends until the channel ends.
pub(super) async fn run(
    shared: &Shared,
    target: &mut ChannelReadHalf,
    person: &ChannelWriteHalf<server::Msg>,
    target_writes: &ChannelWriteHalf<client::Msg>,
    wanted: &mut mpsc::Receiver<Aside>,
) -> Ended {
    let mut notices = shared.live.notices();
    let mut greeted = false;
    let mut waiting: Option<Waiting> = None;
    let mut end = End::default();
    loop {
        let ended = tokio::select! {
            biased;
            // Before the target sees what was asked for, and so before it can have said anything.
            () = shared.armed.raised(), if !greeted => {
                greeted = true;
                greet(shared, person).await
            }
            // One after the other: what comes meanwhile is not forgotten.
            Ok(()) = notices.changed(), if waiting.is_none() => {
                let words = notices.borrow_and_update().clone();
                if let (Some(words), true) = (words, shared.size().is_some()) {
                    waiting = Some(Waiting::for_a_while(What::Words(words)));
                }
                None
            }
            Some(aside) = wanted.recv(), if waiting.is_none() => {
                waiting = Some(Waiting::for_a_while(meant(shared, aside)));
                None
            }
            () = moment(waiting.as_ref().map(|waiting| waiting.until)) => None,
            transfer = answers(shared) => transfer.send_to_person(shared, person).await.err(),
            () = moment(end.until) => {
                end.until = None;
                // Who has ended closes when they hear of the end: then it waits for as long as it takes.
                let waits = shared.person_done.load(Ordering::Relaxed);
                (!waits && end.let_go(person).await.is_err()).then_some(Ended::Person)
            }
            msg = target.wait() => match msg {
                None => Some(Ended::Lost),
                Some(msg) => carry(shared, msg, &mut end, person).await,
            },
        };
        if let Some(ended) = ended {
            return ended;
        }
        let now = shared.on_screen(|screen| screen.is_settled()).unwrap_or(true);
        let ended = match waiting.take_if(|waiting| now || waiting.until <= Instant::now()).map(|waiting| waiting.what)
        {
            Some(What::Words(words)) => match shared.on_screen(|screen| notice::notice(&words, screen)) {
                Some(bytes) => show(shared, &words, bytes, person).await,
                None => None,
            },
            Some(What::Question(answers)) => question::ask(shared, answers, person, target_writes).await,
            None => None,
        };
        if let Some(ended) = ended {
            return ended;
        }
    }
}

/// What to show to somebody who wants this.
fn meant(shared: &Shared, aside: Aside) -> What {
    let (gate, live) = (&shared.gate, &shared.live);
    match aside {
        Aside::Time => {
            let pending = gate.revocations.extension(live.permit().request());
            let words = words::time(*live.deadline().borrow(), gate.now(), live.permit(), pending.as_ref());
            What::Words(Arc::new(words))
        }
        Aside::Help => What::Words(Arc::new(words::escapes(gate.config.escape))),
        Aside::Extend(answers) => What::Question(answers),
    }
}

/// Tells a person with a terminal where they are, and what they did not get.
async fn greet(shared: &Shared, person: &ChannelWriteHalf<server::Msg>) -> Option<Ended> {
    let refused = shared.told_later();
    let welcome = match (shared.gate.config.greeting, shared.kind.get()) {
        (Greeting::Nobody, _) => false,
        (Greeting::Shells, kind) => matches!(kind, Some(ChannelKind::Shell)),
        (Greeting::Terminals, kind) => matches!(kind, Some(ChannelKind::Shell | ChannelKind::Exec { .. })),
    };
    let live = &shared.live;
    let greeting = welcome.then(|| {
        let recorded = shared.tape.get().is_some_and(Tape::records);
        let (ends, key) = (*live.deadline().borrow(), shared.gate.config.escape);
        words::greeting(recorded, ends, shared.gate.now(), live.permit(), key)
    });
    for words in greeting.into_iter().chain(live.regrets()).chain(refused) {
        if let Some(bytes) = shared.on_screen(|screen| notice::greeting(&words, screen))
            && let Some(ended) = show(shared, &words, bytes, person).await
        {
            return Some(ended);
        }
    }
    None
}

/// Writes words of our own to the person's terminal. The recording has them as a remark: the target did not say them.
async fn show(shared: &Shared, words: &Words, bytes: Vec<u8>, person: &ChannelWriteHalf<server::Msg>) -> Option<Ended> {
    if let Some(tape) = shared.tape.get()
        && let Err(broken) = tape.marker(&words.line()).await
    {
        return Some(Ended::Recording(broken.to_string()));
    }
    person.extended_data_bytes(STDERR, bytes).await.is_err().then_some(Ended::Person)
}

async fn moment(until: Option<Instant>) {
    match until {
        Some(until) => tokio::time::sleep_until(until).await,
        None => std::future::pending().await,
    }
}

/// Waits for something to be sent to the person in the target's place.
async fn answers(shared: &Shared) -> &Transfer {
    match shared.transfer.get() {
        Some(transfer) => {
            transfer.wakes_down().await;
            transfer
        }
        None => std::future::pending().await,
    }
}

async fn carry(
    shared: &Shared,
    msg: ChannelMsg,
    end: &mut End,
    person: &ChannelWriteHalf<server::Msg>,
) -> Option<Ended> {
    let sent = match msg {
        ChannelMsg::Data { data } => {
            count(shared, data.len());
            let Some(tape) = shared.tape.get() else { return Some(too_early(shared)) };
            if let Some(transfer) = shared.transfer.get() {
                return transfer.target_sent(shared, data, person).await.err();
            }
            if let Err(broken) = tape.output(&data).await {
                return Some(Ended::Recording(broken.to_string()));
            }
            shared.on_screen(|screen| screen.feed(&data));
            let Some(data) = shared.live.pass(data) else { return Some(Ended::Session) };
            person.data_bytes(data).await
        }
        ChannelMsg::ExtendedData { data, ext } => {
            count(shared, data.len());
            let Some(tape) = shared.tape.get() else { return Some(too_early(shared)) };
            if let Err(broken) = tape.stderr(&data).await {
                return Some(Ended::Recording(broken.to_string()));
            }
            shared.on_screen(|screen| screen.feed(&data));
            let Some(data) = shared.live.pass(data) else { return Some(Ended::Session) };
            person.extended_data_bytes(ext, data).await
        }
        ChannelMsg::Success => {
            answered(shared, true).await;
            Ok(())
        }
        ChannelMsg::Failure => {
            answered(shared, false).await;
            Ok(())
        }
        ChannelMsg::Eof => {
            if let Some(transfer) = shared.transfer.get()
                && let Err(ended) = transfer.target_done(shared, person).await
            {
                return Some(ended);
            }
            if shared.exit.get().is_none() {
                end.hold();
                return None;
            }
            person.eof().await
        }
        ChannelMsg::Close => return Some(Ended::Target),
        ChannelMsg::ExitStatus { exit_status } => {
            let _ = shared.exit.set(ExitReport::Status(exit_status));
            let told = lost(shared.handle.exit_status_request(shared.id, exit_status).await);
            told.and(end.let_go(person).await)
        }
        ChannelMsg::ExitSignal { signal_name, core_dumped, error_message, lang_tag } => {
            let _ = shared.exit.set(ExitReport::Signal(name(&signal_name)));
            let told = shared.handle.exit_signal_request(shared.id, signal_name, core_dumped, error_message, lang_tag);
            lost(told.await).and(end.let_go(person).await)
        }
        ChannelMsg::XonXoff { client_can_do } => lost(shared.handle.xon_xoff_request(shared.id, client_can_do).await),
        // A target has no business with these.
        ChannelMsg::Open { .. }
        | ChannelMsg::RequestPty { .. }
        | ChannelMsg::RequestShell { .. }
        | ChannelMsg::Exec { .. }
        | ChannelMsg::Signal { .. }
        | ChannelMsg::RequestSubsystem { .. }
        | ChannelMsg::RequestX11 { .. }
        | ChannelMsg::SetEnv { .. }
        | ChannelMsg::WindowChange { .. }
        | ChannelMsg::AgentForward { .. }
        | ChannelMsg::Request { .. }
        | ChannelMsg::WindowAdjusted { .. }
        | ChannelMsg::OpenFailure(_)
        | _ => Ok(()),
    };
    sent.is_err().then_some(Ended::Person)
}

/// A target that speaks before anything was started is not shown: nothing would be recorded of it.
fn too_early(shared: &Shared) -> Ended {
    let target = &shared.live.permit().destination().target;
    Ended::Refused(Words::say(format!("{target} sent data before anything was started")))
}

fn count(shared: &Shared, bytes: usize) {
    shared.live.touch();
    shared.bytes_out.fetch_add(bytes as u64, Ordering::Relaxed);
}

/// The target has answered a request: the ledger learns what runs, and the person that it does.
async fn answered(shared: &Shared, granted: bool) {
    let Some(request) = shared.replies.answered(granted, &shared.handle, shared.id).await else { return };
    match request {
        Request::Pty => {
            if !granted {
                shared.set_pty(None);
            }
            shared.replies.pty_settled();
        }
        Request::Start(channel_kind) if granted => {
            if shared.running.set(()).is_ok() {
                let pty = shared.pty();
                shared.report(SessionReport::ChannelOpened { channel: shared.number, channel_kind, pty });
            }
        }
        Request::Start(_) | Request::Other => {}
    }
}

fn lost(told: Result<(), ()>) -> Result<(), russh::Error> {
    told.map_err(|()| russh::Error::SendError)
}

/// The name of a signal without its "SIG" (RFC 4254, section 6.10).
fn name(signal: &Sig) -> String {
    let known = match signal {
        Sig::ABRT => "ABRT",
        Sig::ALRM => "ALRM",
        Sig::FPE => "FPE",
        Sig::HUP => "HUP",
        Sig::ILL => "ILL",
        Sig::INT => "INT",
        Sig::KILL => "KILL",
        Sig::PIPE => "PIPE",
        Sig::QUIT => "QUIT",
        Sig::SEGV => "SEGV",
        Sig::TERM => "TERM",
        Sig::USR1 => "USR1",
        Sig::Custom(name) => return name.chars().filter(|c| !c.is_control()).take(64).collect(),
    };
    known.to_owned()
}
