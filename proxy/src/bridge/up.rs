//! From the person to the target: requests, each judged by the grant, and data.

use std::sync::atomic::Ordering;
use std::time::Duration;

use bytes::Bytes;
use model::{CertificateExtension, ChannelKind, ChannelRight, Pty, RecordingMode};
use russh::{ChannelMsg, ChannelReadHalf, ChannelWriteHalf, client};
use sftp::ScpCommand;

use crate::forward;
use crate::record::Tape;
use crate::words::{self, Words};

use super::replies::Request;
use super::transfer::Transfer;
use super::typed::Typed;
use super::{Ended, STDERR, Shared, cells};

/// "End of write": its sender takes no more data.
const EOW: &str = "eow@openssh.com";
/// How long a client has to print why it gets no terminal.
const PRINTED: Duration = Duration::from_millis(50);

/// Carries what the person sends until the channel ends.
pub(super) async fn run(
    shared: &Shared,
    before: Vec<ChannelMsg>,
    person: &mut ChannelReadHalf,
    target: &ChannelWriteHalf<client::Msg>,
    mut typed: Typed,
) -> Ended {
    let mut before = before.into_iter();
    loop {
        let carried = match before.next() {
            Some(msg) => carry(shared, msg, target, &mut typed).await,
            None => tokio::select! {
                transfer = released(shared) => transfer.send_to_target(target).await,
                msg = person.wait() => match msg {
                    Some(msg) => carry(shared, msg, target, &mut typed).await,
                    None => return Ended::Person,
                },
                () = typed.due() => send(shared, typed.settle(), target).await,
            },
        };
        match carried {
            Ok(()) => {}
            Err(Stop::Ended(ended)) => return ended,
            // What the target said before it went is still on its way down.
            Err(Stop::Target) => return std::future::pending().await,
        }
    }
}

/// Why nothing is carried on.
pub(super) enum Stop {
    /// The channel has ended.
    Ended(Ended),
    /// The target takes nothing more.
    Target,
}

/// Waits for something that had to wait to go on to the target.
async fn released(shared: &Shared) -> &Transfer {
    match shared.transfer.get() {
        Some(transfer) => {
            transfer.wakes_up().await;
            transfer
        }
        None => std::future::pending().await,
    }
}

impl From<russh::Error> for Stop {
    fn from(_: russh::Error) -> Self {
        Self::Target
    }
}

async fn carry(
    shared: &Shared,
    msg: ChannelMsg,
    target: &ChannelWriteHalf<client::Msg>,
    typed: &mut Typed,
) -> Result<(), Stop> {
    if !matches!(msg, ChannelMsg::Data { .. }) && shared.replies.is_full().await {
        let words = Words::say("more was asked for than the target has answered");
        return Err(Stop::Ended(Ended::Refused(words)));
    }
    match msg {
        ChannelMsg::Data { data } => {
            shared.live.touch();
            // Nothing passes that could not be recorded; no client sends anything before it has asked for something.
            if shared.tape.get().is_none() {
                let words = Words::say("data came before a shell, a command or a subsystem was asked for");
                return Err(Stop::Ended(Ended::Refused(words)));
            }
            if let Some(transfer) = shared.transfer.get() {
                shared.bytes_in.fetch_add(data.len() as u64, Ordering::Relaxed);
                return transfer.person_sent(shared, data, target).await;
            }
            // Only somebody at a terminal types; what a program sends is as it is.
            let on = if shared.size().is_some() { typed.take(data) } else { vec![data] };
            send(shared, on, target).await?;
        }
        ChannelMsg::Eof => {
            send(shared, typed.end(), target).await?;
            shared.person_done.store(true, Ordering::Relaxed);
            if let Some(transfer) = shared.transfer.get() {
                transfer.person_done(target).await?;
            }
            target.eof().await?;
        }
        ChannelMsg::Close => return Err(Stop::Ended(Ended::Person)),
        ChannelMsg::RequestPty { want_reply, term, col_width, row_height, pix_width, pix_height, terminal_modes } => {
            if let Some(words) = bars_terminal(shared) {
                shared.report_refusal("pty".to_owned(), words.first());
                // OpenSSH gives up at the refusal when it was told "-t", and drops what it has not printed by then.
                let _ = shared.handle.extended_data(shared.id, STDERR, words.bytes(true)).await;
                tokio::time::sleep(PRINTED).await;
                shared.replies.answer(want_reply, false, &shared.handle, shared.id).await;
                return Ok(());
            }
            // A channel has one terminal, and has it before it runs something.
            if shared.pty().is_some() || shared.kind.get().is_some() {
                refuse(shared, want_reply, "pty", "the channel has one, or has begun without").await;
                return Ok(());
            }
            // Control characters and endless names have no place in a terminal's name, nor in a log.
            let name: String = term.chars().filter(|c| !c.is_control()).take(128).collect();
            let pty = Pty { term: name, columns: cells(col_width), rows: cells(row_height) };
            shared.set_pty(Some((pty, (col_width, row_height, pix_width, pix_height))));
            shared.replies.expect(want_reply, Request::Pty).await;
            target.request_pty(true, &term, col_width, row_height, pix_width, pix_height, &terminal_modes).await?;
        }
        ChannelMsg::WindowChange { col_width, row_height, pix_width, pix_height } => {
            if shared.resize((col_width, row_height, pix_width, pix_height)) {
                if let Some(tape) = shared.tape.get() {
                    tape.resize(col_width, row_height).await.map_err(|why| broken(&why))?;
                }
                target.window_change(col_width, row_height, pix_width, pix_height).await?;
            }
        }
        ChannelMsg::SetEnv { want_reply, variable_name, variable_value } => {
            // What was approved is one exact command, and not one that a variable makes another.
            let exact = shared.live.permit().command().is_some();
            if !exact && shared.live.permit().obligations().carriage.accepts_variable(&variable_name) {
                if want_reply {
                    shared.replies.expect(true, Request::Other).await;
                }
                target.set_env(want_reply, variable_name, variable_value).await?;
            } else {
                // Clients send their whole wish list; sshd drops what it does not want without a word too.
                shared.replies.answer(want_reply, false, &shared.handle, shared.id).await;
            }
        }
        ChannelMsg::RequestShell { want_reply } => {
            if start(shared, want_reply, ChannelKind::Shell, None).await? {
                target.request_shell(true).await?;
            }
        }
        ChannelMsg::Exec { want_reply, command } => {
            let kind = ChannelKind::Exec { command: String::from_utf8_lossy(&command).into_owned() };
            if start(shared, want_reply, kind, Some(&command)).await? {
                target.exec(true, command).await?;
            }
        }
        ChannelMsg::RequestSubsystem { want_reply, name } => {
            if start(shared, want_reply, ChannelKind::Subsystem { name: name.clone() }, None).await? {
                target.request_subsystem(true, name).await?;
            }
        }
        ChannelMsg::Signal { signal } => target.signal(signal).await?,
        ChannelMsg::Request { want_reply, name, data } if name == "break" => {
            if want_reply {
                shared.replies.expect(true, Request::Other).await;
            }
            target.request(want_reply, name, data).await?;
        }
        // The person reads no more of what the target writes (OpenSSH's PROTOCOL, section 2.1). To others it means nothing.
        ChannelMsg::Request { name, .. } if name == EOW => {
            if shared.openssh {
                target.request(false, EOW, Vec::new()).await?;
            }
        }
        ChannelMsg::AgentForward { want_reply } => {
            if let Some(words) = forward::bars_agent(shared.live.permit()) {
                refuse_later(shared, want_reply, "agent forwarding", words).await;
                return Ok(());
            }
            // Before the target hears of it, so that what it opens then does not come too early.
            shared.live.rights().grant_agent();
            if want_reply {
                shared.replies.expect(true, Request::Other).await;
            }
            target.agent_forward(want_reply).await?;
        }
        ChannelMsg::RequestX11 {
            want_reply,
            single_connection,
            x11_authentication_protocol,
            x11_authentication_cookie,
            x11_screen_number,
        } => {
            if let Some(words) = forward::bars_x11(shared.live.permit()) {
                refuse_later(shared, want_reply, "X11 forwarding", words).await;
                return Ok(());
            }
            if !shared.live.rights().grant_x11(shared.number, single_connection) {
                refuse(shared, want_reply, "X11 forwarding", "the channel has it already").await;
                return Ok(());
            }
            if want_reply {
                shared.replies.expect(true, Request::Other).await;
            }
            let (protocol, cookie) = (x11_authentication_protocol, x11_authentication_cookie);
            target.request_x11(want_reply, single_connection, protocol, cookie, x11_screen_number).await?;
        }
        ChannelMsg::Request { want_reply, .. } => {
            shared.replies.answer(want_reply, false, &shared.handle, shared.id).await;
        }
        // A person's client has no business with these.
        ChannelMsg::ExtendedData { .. }
        | ChannelMsg::Open { .. }
        | ChannelMsg::XonXoff { .. }
        | ChannelMsg::ExitStatus { .. }
        | ChannelMsg::ExitSignal { .. }
        | ChannelMsg::WindowAdjusted { .. }
        | ChannelMsg::Success
        | ChannelMsg::Failure
        | ChannelMsg::OpenFailure(_)
        | _ => {}
    }
    Ok(())
}

/// Sends what goes on to the target, recorded before.
async fn send(
    shared: &Shared,
    on: impl IntoIterator<Item = Bytes>,
    target: &ChannelWriteHalf<client::Msg>,
) -> Result<(), Stop> {
    for data in on {
        shared.bytes_in.fetch_add(data.len() as u64, Ordering::Relaxed);
        if let Some(tape) = shared.tape.get() {
            tape.input(&data).await.map_err(|why| broken(&why))?;
        }
        target.data_bytes(data).await?;
    }
    Ok(())
}

/// Judges a request to run something, and arms its recording, before the target sees it; `false` when it must not.
async fn start(shared: &Shared, want_reply: bool, kind: ChannelKind, raw: Option<&[u8]>) -> Result<bool, Stop> {
    let permit = shared.live.permit();
    if let Some(command) = permit.command()
        && raw != Some(command.as_bytes())
    {
        let words = words::one_command(&words::run(&kind), command, permit);
        return Err(refuse_start(shared, want_reply, &kind, words).await);
    }
    if shared.kind.set(kind.clone()).is_err() {
        // One channel runs one thing (RFC 4254, section 6.5).
        shared.replies.answer(want_reply, false, &shared.handle, shared.id).await;
        return Ok(false);
    }
    shared.replies.ptys_settled().await;
    // A terminal would change the bytes of the protocol: what runs in one is a command, whatever it is called.
    let scp = raw.filter(|_| shared.pty().is_none()).and_then(ScpCommand::parse);
    let carriage = &permit.obligations().carriage;
    let runs = carriage.runs(&kind) || (scp.is_some() && carriage.channels.contains(&ChannelRight::Scp));
    if !runs {
        return Err(refuse_start(shared, want_reply, &kind, words::not_run(&kind, scp.is_some(), permit)).await);
    }
    let recorded = permit.obligations().recording != RecordingMode::Off;
    match Transfer::new(carriage, &kind, scp.as_ref(), recorded, shared.openssh) {
        Ok(Some(transfer)) => {
            let Some(place) = shared.gate.transfers.take(permit.identity().clone()) else {
                let most = shared.gate.config.max_transfers_per_person;
                let words = Words::say(format!("{} moves files on {most} channels already", permit.identity()));
                let words = words.hint("close one of them first");
                return Err(refuse_start(shared, want_reply, &kind, words).await);
            };
            let _ = shared.transfer.set(transfer.at(place));
        }
        Ok(None) => {}
        Err(why) => {
            let words = Words::say(format!("no files can pass, because the policy's paths cannot be applied: {why}"));
            return Err(refuse_start(shared, want_reply, &kind, words).await);
        }
    }
    let tape = Tape::arm(&shared.gate, permit, shared.number, &kind, shared.pty().as_ref())
        .await
        .map_err(|why| broken(&why))?;
    let _ = shared.tape.set(tape);
    shared.armed.raise();
    shared.replies.expect(want_reply, Request::Start(kind)).await;
    Ok(true)
}

/// Refuses to run something. It is granted all the same, so that the client reads why.
async fn refuse_start(shared: &Shared, want_reply: bool, kind: &ChannelKind, words: Words) -> Stop {
    shared.replies.answer(want_reply, true, &shared.handle, shared.id).await;
    shared.report_refusal(words::run(kind), words.first());
    Stop::Ended(Ended::Refused(words))
}

/// Why there is no terminal, if the grant lets nobody have one.
fn bars_terminal(shared: &Shared) -> Option<Words> {
    let permit = shared.live.permit();
    match permit.command() {
        Some(command) => Some(words::one_command("a terminal", command, permit)),
        None if permit.obligations().extensions.contains(&CertificateExtension::Pty) => None,
        None => Some(words::not_permitted("a terminal", CertificateExtension::Pty, permit)),
    }
}

/// Refuses what a client asks for before it runs something. It says itself that it did not get it; the reason is told
/// once there is a terminal.
async fn refuse_later(shared: &Shared, want_reply: bool, asked: &str, words: Words) {
    refuse(shared, want_reply, asked, words.first()).await;
    shared.tell_later(words);
}

async fn refuse(shared: &Shared, want_reply: bool, asked: &str, reason: &str) {
    shared.report_refusal(asked.to_owned(), reason);
    shared.replies.answer(want_reply, false, &shared.handle, shared.id).await;
}

fn broken(why: &crate::record::Broken) -> Stop {
    Stop::Ended(Ended::Recording(why.to_string()))
}
