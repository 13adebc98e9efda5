//! The desk: what a person with a registered key, and nothing but `ssh`, can do at the proxy besides opening a session.
//!
//! `ssh proxy COMMAND` runs one command ([`command`]); `ssh -t proxy` shows what is theirs and takes commands one after
//! the other ([`menu`]); and `ssh -t login+target@proxy` without a grant asks for one right there ([`ask`]). All of it
//! is done by the CA in the name of the pass that their log-in bought: the proxy decides nothing, and what the CA
//! answers is shown as text without control characters, whoever wrote it.

mod ask;
mod code;
pub(crate) mod command;
pub(crate) mod line;
mod menu;
mod run;
mod show;
mod terminal;

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use russh::ChannelMsg;

use crate::auth::{Person, Shown};
use crate::bridge::{NOT_RUN, Opened, asks};
use crate::gate::Gate;
use crate::words::Words;

pub(crate) use ask::{Missing, Outcome, at_the_door, once_more};
use terminal::Terminal;

/// The longest that somebody may stay at the desk: their pass lives no longer.
const STAY: Duration = Duration::from_secs(30 * 60);
/// How many calls to the CA one person may have under way at their desks; the next one waits. None is broken off when its
/// person does not wait for it: see [`api::Client::unbroken`].
pub(crate) const CALLS: usize = 8;
/// How long a client has to say what its channel is for.
const PATIENCE: Duration = Duration::from_secs(10);
/// The most requests of one channel that are kept.
const KEPT: usize = 64;
/// The most bytes of them.
const KEPT_BYTES: usize = 64 << 10;

/// Somebody at the desk.
pub(crate) struct Desk {
    gate: Arc<Gate>,
    client: api::Client,
    person: Person,
    touch: bool,
    authenticator: bool,
    /// Whether answers to others' requests are passed on from here.
    reviews: bool,
}

impl Desk {
    /// For who has a pass; nobody else has anything to do here.
    pub(crate) fn of(gate: &Arc<Gate>, person: &Person) -> Option<Self> {
        let Shown::Key(pass) = &person.shown else { return None };
        let client = gate.control.desk(pass.token())?.unbroken(gate.desks.of(person.identity.clone()));
        let (touch, authenticator, reviews) = (pass.touch(), pass.authenticator(), pass.reviews());
        Some(Self { gate: gate.clone(), client, person: person.clone(), touch, authenticator, reviews })
    }

    fn now(&self) -> Timestamp {
        self.gate.now()
    }

    /// A key under which a request is filed once, however often it is sent.
    fn key(&self) -> String {
        crate::ambient::random_key(self.gate.ambient.as_ref())
    }
}

/// What a channel was opened for.
pub(crate) struct Heard {
    opened: Opened,
    /// Columns, when there is a terminal.
    terminal: Option<u32>,
    /// What it is to run; `None`: a shell.
    command: Option<Vec<u8>>,
    /// What was asked, in order, and granted.
    asked: Vec<ChannelMsg>,
}

/// Listens until a channel says what it is for. Every request is granted: what comes of it is said in words.
///
/// `None` when it never does.
pub(crate) async fn hear(mut opened: Opened) -> Option<Heard> {
    let (mut terminal, mut asked, mut bytes) = (None, Vec::new(), 0_usize);
    let listen = async {
        loop {
            let msg = opened.channel.wait().await?;
            let Some((want_reply, starts, _)) = asks(&msg) else { continue };
            bytes += weight(&msg);
            if asked.len() >= KEPT || bytes > KEPT_BYTES {
                return None;
            }
            if want_reply {
                let _ = opened.handle.channel_success(opened.channel.id()).await;
            }
            if let ChannelMsg::RequestPty { col_width, .. } = &msg {
                terminal = Some(*col_width);
            }
            let command = if let ChannelMsg::Exec { command, .. } = &msg { Some(command.clone()) } else { None };
            asked.push(msg);
            if starts {
                return Some(command);
            }
        }
    };
    let command = tokio::time::timeout(PATIENCE, listen).await.ok()??;
    Some(Heard { opened, terminal, command, asked })
}

/// How many bytes of a request the client chose.
fn weight(msg: &ChannelMsg) -> usize {
    if let ChannelMsg::RequestPty { term, terminal_modes, .. } = msg {
        term.len() + size_of_val(terminal_modes.as_slice())
    } else if let ChannelMsg::Exec { command, .. } = msg {
        command.len()
    } else if let ChannelMsg::RequestSubsystem { name, .. } = msg {
        name.len()
    } else if let ChannelMsg::SetEnv { variable_name: first, variable_value: second, .. }
    | ChannelMsg::RequestX11 {
        x11_authentication_protocol: first, x11_authentication_cookie: second, ..
    } = msg
    {
        first.len() + second.len()
    } else {
        0
    }
}

/// Serves one channel of a connection that goes nowhere: a command, or the menu.
pub(crate) async fn serve(gate: Arc<Gate>, person: Person, opened: Opened, otherwise: Words) {
    let Some(desk) = Desk::of(&gate, &person) else {
        return crate::bridge::refuse(opened, &otherwise, PATIENCE).await;
    };
    let closed = opened.closed.clone();
    let serving = async {
        let Some(heard) = hear(opened).await else { return };
        let Heard { opened, terminal: columns, command, .. } = heard;
        let Opened { channel, handle, done: _done, .. } = opened;
        let id = channel.id();
        let mut terminal = Terminal::new(channel, columns);
        let code = match (command, columns) {
            (Some(command), _) => run::run(&desk, &mut terminal, &String::from_utf8_lossy(&command)).await,
            (None, Some(_)) => menu::run(&desk, &mut terminal).await,
            (None, None) => run::run(&desk, &mut terminal, "help").await,
        };
        let _ = handle.exit_status_request(id, code.unwrap_or(NOT_RUN)).await;
        terminal.end().await;
    };
    tokio::select! {
        () = serving => {}
        () = closed.raised() => {}
        () = tokio::time::sleep(STAY) => {}
    }
}
