//! No grant: asked for right there, in the terminal of the session that is to be.
//!
//! The terminal, and not rounds of keyboard-interactive before the log-in: a log-in has a time limit, and an approval
//! takes as long as it takes; every client shows a terminal as it is, and `Ctrl-C` works in it; and the CA must have said
//! who it is before anybody asks for anything. (The one-time code for a grant that is there, or that there is no way to
//! without one, is asked for before the log-in: see `crate::code`.) Who has no terminal is a script, and gets advice instead.

use std::time::Duration;

use api::ClientError;
use api::wire::{ExplainRequest, Explanation, FileRequest, Request, RequestState};
use model::{RequestId, Span};
use russh::{ChannelMsg, server};
use tokio::sync::mpsc;

use super::terminal::Terminal;
use super::{Desk, Heard, PATIENCE, STAY, code, hear, run, show};
use crate::auth::Person;
use crate::bridge::{self, Opened};
use crate::destination::Destination;
use crate::prompt::{Left, duration, needed};
use crate::session::{Visit, Wish};
use crate::words::Words;

/// What is asked for unless somebody says otherwise, as `portcullis request` does.
const USUAL: Span = Span::from_minutes(30);
/// How often one looks whether somebody has decided.
const EVERY: Duration = Duration::from_secs(1);
/// How often somebody who waits is sent a sign of life.
const BEAT: Duration = Duration::from_secs(5);
/// How many wishes that come before the first channel are kept.
const EARLY: usize = 64;
/// How long a channel of somebody who reads nothing may take to be closed.
const CLOSING: Duration = Duration::from_millis(100);
/// What a path lacks that wants this and no code.
const TOUCH: &str = "a touched security key";

/// What came of it.
pub(crate) enum Outcome {
    /// There is a grant: the session goes on with this channel.
    Granted(Opened),
    /// The person was told here why not.
    Told,
    /// Nobody with a terminal is there to be asked.
    Nobody,
}

/// Why there is no grant in the end.
enum Over {
    /// They left, or gave up.
    Left(Left),
    /// It was said.
    Said,
}

impl From<Left> for Over {
    fn from(left: Left) -> Self {
        Self::Left(left)
    }
}

/// What somebody lacks who may not go on yet, and can be asked for right there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Missing {
    /// A grant.
    Grant,
    /// A one-time code.
    Code,
}

/// Waits for the first channel of somebody who lacks something. One with a terminal is where they are asked for it; on
/// any other, `words` are said. What they want besides is kept in `early`, or waits in `wishes`: it is for who knows
/// whether they may go on.
pub(crate) async fn at_the_door(
    visit: &Visit,
    wishes: &mut mpsc::Receiver<Wish>,
    early: &mut Vec<Wish>,
    words: &Words,
    missing: Missing,
) -> Outcome {
    if Desk::of(&visit.gate, &visit.person).is_none() {
        return Outcome::Nobody;
    }
    let first = async {
        loop {
            match wishes.recv().await {
                Some(Wish::Channel(opened)) => return hear(*opened).await,
                // A client asks for its forwards before it opens its session.
                Some(wish @ (Wish::Forward(_) | Wish::Listen(_))) if early.len() < EARLY => early.push(wish),
                Some(wish @ (Wish::Forward(_) | Wish::Listen(_))) => wish.decline(words).await,
                None => return None,
            }
        }
    };
    let heard = tokio::select! {
        heard = tokio::time::timeout(PATIENCE, first) => heard.ok().flatten(),
        () = visit.gone.raised() => None,
    };
    let Some(Heard { opened, asked, .. }) = heard else { return Outcome::Nobody };
    let opened = Opened { before: asked.into_iter().map(answered).collect(), ..opened };
    once_more(visit, opened, words, missing).await
}

/// The same on a channel that is there already, and on which was asked for what it is to be.
pub(crate) async fn once_more(visit: &Visit, opened: Opened, words: &Words, missing: Missing) -> Outcome {
    let Some(desk) = Desk::of(&visit.gate, &visit.person) else { return Outcome::Nobody };
    let columns = opened
        .before
        .iter()
        .find_map(|msg| if let ChannelMsg::RequestPty { col_width, .. } = msg { Some(*col_width) } else { None });
    if columns.is_none() {
        bridge::refuse(opened, words, PATIENCE).await;
        return Outcome::Told;
    }
    let Opened { channel, handle, closed, done, before } = opened;
    let id = channel.id();
    let mut terminal = Terminal::new(channel, columns);
    let asking = async {
        tokio::select! {
            asked = tokio::time::timeout(STAY, supply(&desk, &mut terminal, &visit.destination, missing)) => asked,
            () = visit.gone.raised() => Ok(Err(Over::Left(Left::Gone))),
            never = beat(&handle, id) => match never {},
        }
    };
    let (over, late) = match asking.await {
        Ok(Ok(())) => {
            let size = terminal.resized;
            let before = before.into_iter().map(|msg| resized(msg, size)).collect();
            return Outcome::Granted(Opened { channel: terminal.into_channel(), handle, closed, done, before });
        }
        Ok(Err(over)) => (over, false),
        Err(_) => (Over::Said, true),
    };
    let code = if matches!(over, Over::Left(Left::Interrupted)) { 130 } else { 1 };
    let farewell = async {
        if late {
            terminal.complain("this took too long; connect again").await;
        }
        let _ = handle.exit_status_request(id, code).await;
        terminal.end().await;
    };
    // Who reads nothing has no window left for it, and must not stay here for that.
    tokio::select! {
        ended = tokio::time::timeout(PATIENCE, farewell) => if ended.is_err() {
            let _ = tokio::time::timeout(CLOSING, handle.close(id)).await;
        },
        () = visit.gone.raised() => {}
    }
    Outcome::Told
}

/// Sends signs of life: while a request for a listener waits, so does every answer to the client's own, and it would take us
/// for dead. This request is none that anybody answers (RFC 4254, section 6.8), and it says what is so.
async fn beat(handle: &server::Handle, id: russh::ChannelId) -> std::convert::Infallible {
    loop {
        tokio::time::sleep(BEAT).await;
        let _ = handle.xon_xoff_request(id, false).await;
    }
}

/// Has them supply what is missing.
async fn supply(desk: &Desk, terminal: &mut Terminal, place: &Destination, missing: Missing) -> Result<(), Over> {
    terminal.say("").await;
    match missing {
        Missing::Grant => ask(desk, terminal, place).await,
        Missing::Code => {
            terminal.say(&format!("portcullis: {place} takes a one-time code (ctrl-c to give up)")).await;
            if code::ask(desk, terminal).await? {
                return Ok(());
            }
            terminal.complain("without one there is no session").await;
            Err(Over::Said)
        }
    }
}

/// Asks what is to be asked, files it, and waits until somebody decides.
async fn ask(desk: &Desk, terminal: &mut Terminal, place: &Destination) -> Result<(), Over> {
    if let Some(pending) = pending(desk, place).await {
        terminal.say(&format!("portcullis: {} for {place} is pending already", pending.id)).await;
        return wait(desk, terminal, pending, false).await;
    }
    let explained = match desk.client.explain(&question(place)).await {
        Ok(explained) => explained,
        Err(error) => return Err(failed(terminal, &error).await),
    };
    if explained.paths.is_empty() {
        terminal.complain(&explained.answer).await;
        return Err(Over::Said);
    }
    terminal.say(&format!("portcullis: no active grant for {place}; ask for one here (ctrl-c to give up)")).await;
    for path in &explained.paths {
        terminal.say(&format!("  {}: {}", path.policy, path.obligations.join("; "))).await;
    }
    if !desk.touch && explained.paths.iter().all(|path| path.lacks.iter().any(|lack| lack == TOUCH)) {
        terminal.complain("policy wants a touched security key").await;
        terminal.complain("come back with your security key: ssh -i KEY").await;
        return Err(Over::Said);
    }
    second_factor(desk, terminal, &explained).await?;
    let reason = needed(terminal, "why? ").await?;
    let ticket = match explained.paths.iter().all(|path| path.ticket) {
        true => Some(needed(terminal, "which ticket? ").await?),
        false => None,
    };
    let longest = longest(&explained);
    let duration = duration(terminal, "for how long?", longest.min(USUAL), longest).await?;
    let filing = FileRequest {
        target: place.target.clone(),
        login: place.login.clone(),
        duration: duration.seconds(),
        reason,
        ticket,
        command: None,
        start: None,
    };
    let key = desk.key();
    let filed = match desk.client.file_request(&filing, &key).await {
        Ok(filed) => filed,
        Err(error) => return Err(failed(terminal, &error).await),
    };
    wait(desk, terminal, filed, true).await
}

/// Asks for a one-time code where a path takes one; who may go another way may go on without.
async fn second_factor(desk: &Desk, terminal: &mut Terminal, explained: &Explanation) -> Result<(), Over> {
    let with: Vec<&str> = explained.paths.iter().filter(|path| path.code).map(|path| path.policy.as_str()).collect();
    let needed = with.len() == explained.paths.len();
    if with.is_empty() || (!needed && !desk.authenticator) {
        return Ok(());
    }
    let without = if needed { "" } else { " (press enter to ask without one)" };
    terminal.say(&format!("{} takes a one-time code{without}", with.join(", "))).await;
    if code::ask(desk, terminal).await? || !needed {
        return Ok(());
    }
    terminal.complain("without one there is no way in here").await;
    Err(Over::Said)
}

/// Waits until a request is decided. One that was filed here and is given up is cancelled, so that nobody approves what
/// nobody waits for.
async fn wait(desk: &Desk, terminal: &mut Terminal, request: Request, own: bool) -> Result<(), Over> {
    let (id, asked) = (request.id.clone(), Span::from_seconds(request.duration));
    let mut guard = own.then(|| {
        let (client, person) = (desk.client.clone(), desk.person.clone());
        GivenUp { client, person, id: Some(id.clone()) }
    });
    let decided = if request.state == RequestState::Pending {
        for path in &request.paths {
            terminal.say(&format!("  {}: waits for {}", path.policy, show::lacks(path))).await;
        }
        // Only a word on the way: what fails here must not stand in it.
        if let Ok(Ok(reviewers)) = tokio::time::timeout(PATIENCE, desk.client.reviewers(&id)).await {
            terminal.say(&format!("  who can approve: {reviewers}")).await;
        }
        terminal.say(&format!("portcullis: {id}: waiting for approval (ctrl-c to give up)")).await;
        match terminal.meanwhile(decision(desk, &id)).await {
            Ok(Ok(decided)) => decided,
            Ok(Err(error)) => return Err(failed(terminal, &error).await),
            Err(left) => {
                let what = match &mut guard {
                    Some(guard) => match give_up(&desk.client, &id).await {
                        Ok(what) => {
                            guard.id = None;
                            what
                        }
                        Err(_) => "could not be cancelled yet: look with ssh PROXY requests".to_owned(),
                    },
                    None => "is left pending: it was asked for elsewhere".to_owned(),
                };
                terminal.complain(&format!("{id} {what}")).await;
                return Err(left.into());
            }
        }
    } else {
        request
    };
    if let Some(guard) = &mut guard {
        guard.id = None;
    }
    if let (RequestState::Approved, Some(grant)) = (decided.state, &decided.grant) {
        let by: Vec<&str> = grant.approvers.iter().map(|name| name.as_str()).collect();
        let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(" and ")) };
        let shorter = show::shorter(grant, asked).map(|given| format!(" for {given} (you asked for {asked})"));
        terminal.say(&format!("portcullis: {id} is approved{by}{}", shorter.unwrap_or_default())).await;
        return Ok(());
    }
    let refused = decided.reviews.iter().find(|review| !review.approved);
    let by = refused.map(|review| {
        let why = review.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
        format!(" by {}{why}", review.reviewer)
    });
    terminal.complain(&format!("{id} is {}{}", decided.state, by.unwrap_or_default())).await;
    Err(Over::Said)
}

/// Cancels a request when it is dropped, in a task of its own: also when its person has hung up.
struct GivenUp {
    client: api::Client,
    /// Whose pass must live until it is done.
    person: Person,
    id: Option<RequestId>,
}

impl Drop for GivenUp {
    fn drop(&mut self) {
        let (Some(id), Ok(runtime)) = (self.id.take(), tokio::runtime::Handle::try_current()) else { return };
        let (client, person) = (self.client.clone(), self.person.clone());
        runtime.spawn(async move {
            let _person = person;
            if let Err(error) = give_up(&client, &id).await {
                tracing::debug!(%id, "a request that was given up stays as it is: {error}");
            }
        });
    }
}

/// Cancels a request; and when it was approved meanwhile, gives the grant back. What came of it.
async fn give_up(client: &api::Client, id: &RequestId) -> Result<String, ClientError> {
    let refused = match client.cancel(id).await {
        Ok(_) => return Ok("is cancelled".to_owned()),
        Err(refused) => refused,
    };
    let request = client.get_request(id).await?;
    match request.state {
        RequestState::Pending => Err(refused),
        RequestState::Approved => {
            client.release(id).await?;
            Ok("was approved meanwhile, and is given back".to_owned())
        }
        RequestState::Denied | RequestState::Cancelled | RequestState::Expired => Ok(format!("is {}", request.state)),
    }
}

async fn decision(desk: &Desk, id: &RequestId) -> Result<Request, ClientError> {
    loop {
        tokio::time::sleep(EVERY).await;
        match desk.client.get_request(id).await {
            Ok(request) if request.state == RequestState::Pending => {}
            Ok(request) => return Ok(request),
            // A CA that starts anew knows the pass no more.
            Err(ClientError::Problem(problem)) if problem.status < 500 => return Err(ClientError::Problem(problem)),
            Err(_) => {}
        }
    }
}

async fn pending(desk: &Desk, place: &Destination) -> Option<Request> {
    let own = desk.client.requests(Some("pending"), true, None).await.ok()?.items;
    own.into_iter()
        .find(|request| request.target == place.target && request.login == place.login && request.extends.is_none())
}

fn question(place: &Destination) -> ExplainRequest {
    ExplainRequest {
        action: "request".to_owned(),
        target: Some(place.target.clone()),
        login: Some(place.login.clone()),
        ..ExplainRequest::default()
    }
}

/// The longest that any path gives.
fn longest(explained: &Explanation) -> Span {
    Span::from_seconds(explained.paths.iter().map(|path| path.longest).max().unwrap_or_default())
}

async fn failed(terminal: &Terminal, error: &ClientError) -> Over {
    run::complain(terminal, error).await;
    Over::Said
}

/// A request of a channel that was granted here: nobody waits for its answer any more.
fn answered(mut msg: ChannelMsg) -> ChannelMsg {
    if let ChannelMsg::RequestPty { want_reply, .. }
    | ChannelMsg::RequestShell { want_reply }
    | ChannelMsg::Exec { want_reply, .. }
    | ChannelMsg::RequestSubsystem { want_reply, .. }
    | ChannelMsg::RequestX11 { want_reply, .. }
    | ChannelMsg::SetEnv { want_reply, .. }
    | ChannelMsg::AgentForward { want_reply }
    | ChannelMsg::Request { want_reply, .. } = &mut msg
    {
        *want_reply = false;
    }
    msg
}

/// A terminal as it is by now.
fn resized(mut msg: ChannelMsg, size: Option<(u32, u32, u32, u32)>) -> ChannelMsg {
    if let (ChannelMsg::RequestPty { col_width, row_height, pix_width, pix_height, .. }, Some(now)) = (&mut msg, size) {
        (*col_width, *row_height, *pix_width, *pix_height) = now;
    }
    msg
}
