//! Commands, carried out: by the CA, in the name of the pass.

use std::collections::BTreeMap;
use std::time::Duration;

use api::ClientError;
use api::ids::{Unclear, unique};
use api::wire::{Approve, Deny, ExplainRequest, Extend, FileRequest, Grant, Request, RequestState, Revoke};
use model::RequestId;
use tokio::time::Instant;

use super::command::{Command, NO_REVIEWS, help};
use super::show::{self, SCREEN};
use super::terminal::Terminal;
use super::{Desk, code};

/// Done.
const DONE: u32 = 0;
/// Refused, or it did not work.
const FAILED: u32 = 1;
/// The command makes no sense.
const USAGE: u32 = 2;
/// There is nothing of that name.
const NOT_FOUND: u32 = 4;
/// The CA cannot be reached.
const UNREACHABLE: u32 = 5;

/// The most requests that policy is asked about, to tell what waits for somebody from what they only may see.
const LOOKED_AT: usize = 50;
/// The most pages of requests that are fetched.
const PAGES: usize = 10;
/// The longest wait for sessions that were dropped to be said gone. The drop itself waits for nobody.
const RECEIPTS: Duration = Duration::from_secs(3);
const POLL: Duration = Duration::from_millis(50);
/// The HTTP status of a call too many.
const TOO_MANY: u16 = 429;

/// Runs one command line; its exit code, as `portcullis` has them.
pub(super) async fn run(desk: &Desk, terminal: &mut Terminal, line: &str) -> Option<u32> {
    let command = match Command::read(line) {
        Ok(command) => command,
        Err(why) => {
            terminal.complain(&why).await;
            terminal.complain("to see what there is, say help").await;
            return Some(USAGE);
        }
    };
    let mut done = carry_out(desk, terminal, command.clone()).await;
    if let Err(Failed::Asking(error)) = &done
        && code::would_do(desk, terminal, error)
    {
        complain(terminal, error).await;
        match code::ask(desk, terminal).await {
            Ok(true) => done = carry_out(desk, terminal, command).await,
            Ok(false) => return Some(FAILED),
            Err(_) => return None,
        }
    }
    Some(match done {
        Ok(()) => DONE,
        Err(Failed::Asking(ClientError::Problem(problem))) if problem.code == "factor-needed" => {
            terminal.complain(&problem.detail).await;
            terminal.complain(code::missing(desk)).await;
            FAILED
        }
        Err(Failed::Asking(error)) => complain(terminal, &error).await,
        Err(Failed::Unclear(why, code)) => {
            terminal.complain(&why).await;
            code
        }
    })
}

/// Why a command did not work.
enum Failed {
    /// The CA said no, or nothing.
    Asking(ClientError),
    /// What was typed is nobody's id: why, and the exit code.
    Unclear(String, u32),
}

impl From<ClientError> for Failed {
    fn from(error: ClientError) -> Self {
        Self::Asking(error)
    }
}

/// What the beginning of an id is sought among.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Among {
    /// The requests that this person may see.
    Requests,
    /// Their own grants.
    Own,
    /// The grants that they may see.
    All,
}

/// The request that was meant.
async fn meant(desk: &Desk, typed: &str, among: Among) -> Result<RequestId, Failed> {
    if let Ok(id) = typed.parse() {
        return Ok(id);
    }
    let (mut all, mut after) = (Vec::new(), None::<String>);
    for _ in 0..PAGES {
        let grants = match among {
            Among::Requests => None,
            Among::Own => Some((None, true)),
            Among::All => Some((None, false)),
        };
        let next = if let Some((state, mine)) = grants {
            let page = desk.client.grants(state, mine, after.as_deref()).await?;
            all.extend(page.items.into_iter().map(|grant| grant.id));
            page.next
        } else {
            let page = desk.client.requests(None, false, after.as_deref()).await?;
            all.extend(page.items.into_iter().map(|request| request.id));
            page.next
        };
        after = next;
        if after.is_none() {
            break;
        }
    }
    let what = if among == Among::Requests { "request" } else { "grant" };
    match (unique(typed, RequestId::PREFIX, all), after) {
        (Ok(id), None) => Ok(id),
        // One more may be where nobody looked.
        (Ok(_), Some(_)) => Err(Failed::Unclear(format!("there are too many {what}s: give the whole id"), USAGE)),
        (Err(Unclear::Nonsense), _) => Err(Failed::Unclear(format!("{typed} is no id of a {what}"), USAGE)),
        (Err(Unclear::Several(some)), _) => {
            let few = some.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(Failed::Unclear(format!("{} {what}s begin with {typed}: {few}", some.len()), USAGE))
        }
        (Err(Unclear::Unknown), _) => {
            Err(Failed::Unclear(format!("no {what} that you may see begins with {typed}"), NOT_FOUND))
        }
    }
}

/// A hint of the CA's, where it names a command that is here as well.
fn in_our_words(hint: &str) -> String {
    const VERBS: [&str; 9] =
        ["approve", "cancel", "deny", "extend", "grants", "release", "request", "requests", "revoke"];
    VERBS.iter().fold(hint.to_owned(), |hint, verb| hint.replace(&format!("portcullis {verb} "), &format!("{verb} ")))
}

/// Says why something did not work; the exit code.
pub(super) async fn complain(terminal: &Terminal, error: &ClientError) -> u32 {
    match error {
        ClientError::Problem(problem) => {
            terminal.complain(&problem.detail).await;
            if let Some(hint) = &problem.hint {
                terminal.complain(&in_our_words(hint)).await;
            }
            match problem.status {
                404 => NOT_FOUND,
                400 | 422 => USAGE,
                500.. => UNREACHABLE,
                _ => FAILED,
            }
        }
        ClientError::Unreachable { .. }
        | ClientError::Timeout { .. }
        | ClientError::Answer { .. }
        | ClientError::Credentials(_)
        | ClientError::Options(_) => {
            terminal.complain("the CA cannot be asked now; try again in a moment").await;
            UNREACHABLE
        }
    }
}

async fn carry_out(desk: &Desk, terminal: &Terminal, command: Command) -> Result<(), Failed> {
    let client = &desk.client;
    match command {
        Command::Help | Command::Quit => {
            terminal.say("The proxy's desk. To a server: ssh LOGIN+TARGET@PROXY, or ssh -J PROXY LOGIN@TARGET").await;
            for line in help(desk.reviews) {
                terminal.say(line).await;
            }
        }
        Command::WhoAmI => {
            let touched = if desk.touch { ", with a touched security key" } else { "" };
            terminal.say(&format!("{}{touched}", desk.person.identity)).await;
        }
        Command::Grants { all, json } => {
            let grants = client.grants(Some("active"), !all, None).await?.items;
            if json {
                terminal.data(show::json(&grants)).await;
            } else {
                let me = &desk.person.identity;
                let lines = grants.iter().map(|grant| show::grant(grant, me, desk.now())).collect();
                list(terminal, if all { "open, as far as you may see it" } else { "open for you" }, lines).await;
            }
        }
        Command::Targets { json } => {
            let targets = client.targets().await?.items;
            if json {
                terminal.data(show::json(&targets)).await;
            } else {
                list(terminal, "you may ask for", targets.iter().map(show::target).collect()).await;
            }
        }
        Command::Requests { json } => {
            let Pending { waiting, own, left } = pending(desk).await?;
            if json {
                let all: Vec<&Request> = waiting.iter().chain(&own).collect();
                terminal.data(show::json(&all)).await;
            } else {
                waits(desk, terminal, &waiting).await;
                list(terminal, "you asked for", own.iter().map(show::request).collect()).await;
            }
            not_looked_at(terminal, left).await;
        }
        Command::Show { id, json } => {
            let request = client.get_request(&meant(desk, &id, Among::Requests).await?).await?;
            if json {
                terminal.data(show::json(&request)).await;
            } else {
                tell(desk, terminal, &request).await;
            }
        }
        Command::Request { login, target, duration, reason, ticket } => {
            let (command, start) = (None, None);
            let ask = FileRequest { target, login, duration: duration.seconds(), reason, ticket, command, start };
            let filed = client.file_request(&ask, &desk.key()).await?;
            tell(desk, terminal, &filed).await;
        }
        Command::Approve { id, duration, comment } => {
            let id = meant(desk, &id, Among::Requests).await?;
            let duration = duration.map(model::Span::seconds);
            let reviewed = client.approve(&id, &Approve { duration, comment }).await?;
            terminal.say(&became(&id, &reviewed)).await;
        }
        Command::Deny { id, reason } => {
            let id = meant(desk, &id, Among::Requests).await?;
            let reviewed = client.deny(&id, &Deny { comment: Some(reason) }).await?;
            terminal.say(&became(&id, &reviewed)).await;
        }
        Command::Withdraw { id } => {
            let id = meant(desk, &id, Among::Requests).await?;
            let request = client.withdraw(&id).await?;
            terminal.say(&became(&id, &request)).await;
        }
        Command::Cancel { id } => {
            let id = meant(desk, &id, Among::Requests).await?;
            let request = client.cancel(&id).await?;
            terminal.say(&became(&id, &request)).await;
        }
        Command::Extend { id, duration, reason } => {
            let id = meant(desk, &id, Among::Own).await?;
            let filed = client.extend(&id, &Extend { duration: duration.seconds(), reason }, &desk.key()).await?;
            tell(desk, terminal, &filed).await;
        }
        Command::Release { id } => {
            let id = meant(desk, &id, Among::Own).await?;
            let grant = client.release(&id).await?;
            ended(desk, terminal, grant).await?;
        }
        Command::Revoke { id, reason } => {
            let id = meant(desk, &id, Among::All).await?;
            let grant = client.revoke(&id, &Revoke { reason: Some(reason) }).await?;
            ended(desk, terminal, grant).await?;
        }
    }
    Ok(())
}

/// The pending requests of a moment.
pub(super) struct Pending {
    /// Those that wait for this person.
    pub(super) waiting: Vec<Request>,
    /// Their own.
    pub(super) own: Vec<Request>,
    /// How many may wait for them, too: they were not looked at.
    pub(super) left: usize,
}

/// The pending requests that wait for this person, and their own.
pub(super) async fn pending(desk: &Desk) -> Result<Pending, ClientError> {
    let (mut all, mut after) = (Vec::new(), None::<String>);
    for _ in 0..PAGES {
        let page = desk.client.requests(Some("pending"), false, after.as_deref()).await?;
        all.extend(page.items);
        after = page.next;
        if after.is_none() {
            break;
        }
    }
    let me = &desk.person.identity;
    let (own, others): (Vec<Request>, Vec<Request>) = all.into_iter().partition(|request| request.identity == *me);
    let mut waiting = Vec::new();
    let mut others = in_turn(others);
    let left = others.split_off(others.len().min(LOOKED_AT)).len();
    for request in others {
        // Who may replay what somebody does sees their requests, too.
        let answered = request.reviews.iter().any(|review| review.reviewer == *me);
        if !answered && may_review(desk, &request).await? {
            waiting.push(request);
        }
    }
    Ok(Pending { waiting, own, left })
}

/// One of each asker, then the second of each, and so on: nobody hides what others ask for behind a crowd of their own.
fn in_turn(requests: Vec<Request>) -> Vec<Request> {
    let mut seen = BTreeMap::new();
    let numbered = requests.into_iter().map(|request| {
        let turn: &mut usize = seen.entry(request.identity.clone()).or_default();
        *turn += 1;
        (*turn, request)
    });
    let mut numbered: Vec<(usize, Request)> = numbered.collect();
    numbered.sort_by_key(|(turn, _)| *turn);
    numbered.into_iter().map(|(_, request)| request).collect()
}

/// What waits for this person; and how it is answered, where it cannot be answered here.
pub(super) async fn waits(desk: &Desk, terminal: &Terminal, waiting: &[Request]) {
    list(terminal, "waits for you", waiting.iter().map(show::request).collect()).await;
    if !desk.reviews && !waiting.is_empty() {
        terminal.say(&format!("  {NO_REVIEWS}")).await;
    }
}

/// Says that there is more than what was looked at.
pub(super) async fn not_looked_at(terminal: &Terminal, left: usize) {
    if left > 0 {
        terminal.complain(&format!("and {left} more were not looked at: portcullis requests has them all")).await;
    }
}

async fn may_review(desk: &Desk, request: &Request) -> Result<bool, ClientError> {
    let ask = ExplainRequest {
        action: "review".to_owned(),
        target: Some(request.target.clone()),
        login: Some(request.login.clone()),
        duration: Some(request.duration),
        command: request.command.clone(),
        ticket: request.ticket.clone(),
        requester: Some(request.identity.clone()),
        ..ExplainRequest::default()
    };
    match desk.client.explain(&ask).await {
        Ok(answer) => Ok(answer.yes),
        // What was not answered is no no.
        Err(ClientError::Problem(problem)) if problem.status < 500 && problem.status != TOO_MANY => Ok(false),
        Err(error) => Err(error),
    }
}

/// A list of no more than a screen.
pub(super) async fn list(terminal: &Terminal, what: &str, lines: Vec<String>) {
    if lines.is_empty() {
        return terminal.say(&format!("{what}: nothing")).await;
    }
    terminal.say(&format!("{what}:")).await;
    let more = lines.len().saturating_sub(SCREEN);
    for line in lines.into_iter().take(SCREEN) {
        for piece in show::pieces("  ", &line, terminal.columns()) {
            terminal.say(&piece).await;
        }
    }
    if more > 0 {
        terminal.say(&format!("  and {more} more: --json has them all")).await;
    }
}

async fn tell(desk: &Desk, terminal: &Terminal, request: &Request) {
    for line in show::in_full(request, desk.now(), terminal.columns()) {
        terminal.say(&line).await;
    }
}

/// Says what became of a grant, once its sessions are gone, or when that takes too long.
async fn ended(desk: &Desk, terminal: &Terminal, mut grant: Grant) -> Result<(), ClientError> {
    let until = Instant::now() + RECEIPTS;
    while grant.sessions > 0 && Instant::now() < until {
        tokio::time::sleep(POLL).await;
        grant = desk.client.get_grant(&grant.id).await?;
    }
    let sessions = match grant.sessions {
        0 => "none of its sessions is live".to_owned(),
        1 => "that its session is gone is not confirmed yet".to_owned(),
        left => format!("that {left} of its sessions are gone is not confirmed yet"),
    };
    terminal.say(&format!("{} is {}: {sessions}", grant.id, grant.state)).await;
    Ok(())
}

fn became(id: &RequestId, request: &Request) -> String {
    match request.state {
        RequestState::Pending => {
            format!("{id} still lacks {}", crate::words::lacks(&request.paths))
        }
        RequestState::Approved | RequestState::Denied | RequestState::Cancelled | RequestState::Expired => {
            format!("{id} is {}", request.state)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hints_name_what_is_here() {
        let there = "to take it back, run: portcullis revoke req-1; to log in: portcullis login";
        assert_eq!(in_our_words(there), "to take it back, run: revoke req-1; to log in: portcullis login");
    }

    #[test]
    fn a_crowd_of_one_hides_nobody() {
        let request = |name: &str, number: usize| -> Request {
            serde_json::from_value(serde_json::json!({
                "id": format!("req-{number:012}"), "identity": name, "target": "web1", "login": "root", "duration": 60,
                "reason": "why", "state": "pending", "reviews": [],
                "filed": "2026-11-21T14:03:10Z", "expires": "2026-11-21T15:03:10Z",
            }))
            .unwrap()
        };
        let mut all: Vec<Request> = (0..200).map(|number| request("mallory", number)).collect();
        all.push(request("alice", 200));
        all.push(request("bob", 201));
        let turns = in_turn(all);
        let first: Vec<&str> = turns.iter().take(4).map(|request| request.identity.as_str()).collect();
        assert_eq!(first, ["mallory", "alice", "bob", "mallory"]);
        assert_eq!(turns.len(), 202);
    }
}
