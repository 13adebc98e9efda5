//! What people are told: one line that says what happened, and one that says what to do.

use api::wire::{ExtensionOffer, PathGap, Request, RequestState};
use model::{Actor, CertificateExtension, ChannelKind, ChannelRight, RequestId, SessionEnd, Span, Timestamp};

use crate::control::ControlError;
use crate::destination::Destination;
use crate::escape_key::EscapeKey;
use crate::permit::Permit;

/// The most characters of a line: what others wrote is in it.
const LIMIT: usize = 512;

/// How a path says that it gives less time than what was asked for.
const TIME: &str = "a time of at most ";
/// How long a line may be, so that it is one on any terminal.
const COLUMNS: usize = 80;

/// A message to a person, in lines without line ends. Nothing in it is a control character, whoever wrote it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Words(Vec<String>);

impl Words {
    /// What happened.
    pub(crate) fn say(what: impl Into<String>) -> Self {
        Self(vec![format!("portcullis: {}", plain(&what.into()))])
    }

    /// The same, with what to do next.
    pub(crate) fn hint(mut self, what: impl Into<String>) -> Self {
        self.0.push(format!("portcullis: {}", plain(&what.into())));
        self
    }

    /// All on one line, for a disconnect message.
    pub(crate) fn line(&self) -> String {
        let more = self.0.iter().skip(1).map(|line| line.strip_prefix("portcullis: ").unwrap_or(line));
        self.0.first().map(String::as_str).into_iter().chain(more).collect::<Vec<_>>().join("; ")
    }

    /// The first line, for the log.
    pub(crate) fn first(&self) -> &str {
        self.0.first().map_or("", String::as_str)
    }

    /// Its lines.
    pub(crate) fn lines(&self) -> &[String] {
        &self.0
    }

    /// As bytes for standard error; a terminal in raw mode needs its carriage returns.
    pub(crate) fn bytes(&self, terminal: bool) -> Vec<u8> {
        let end = if terminal { "\r\n" } else { "\n" };
        let mut text = String::from(if terminal { "\r\n" } else { "" });
        for line in &self.0 {
            text.push_str(line);
            text.push_str(end);
        }
        text.into_bytes()
    }

    /// All lines as one text.
    pub(crate) fn text(&self) -> String {
        self.0.join("\n")
    }
}

/// Why no session was opened.
pub(crate) fn refused(error: &ControlError, asked: &Destination) -> Words {
    match error {
        ControlError::Refused { sentence, hint: Some(hint), .. } => Words::say(sentence).hint(hint),
        ControlError::Refused { sentence, hint: None, .. } => Words::say(sentence).hint(request(asked)),
        ControlError::Unavailable(why) => {
            Words::say(format!("no session on {asked} can be opened now: {why}")).hint("try again in a moment")
        }
    }
}

/// How to get access.
pub(crate) fn request(asked: &Destination) -> String {
    format!("run portcullis request {asked} --for 30m")
}

/// How the person of a session does what `portcullis` does: who came with a plain key may have nothing but ssh, and says it to
/// the desk, which is nobody who asks for a reason.
fn by(permit: &Permit, command: &str) -> String {
    let reasoned = ["request ", "extend "].iter().any(|verb| command.starts_with(verb));
    match (permit.is_by_key(), reasoned) {
        (false, _) => format!("portcullis {command}"),
        (true, false) => format!("ssh PROXY {command}"),
        (true, true) => format!("ssh PROXY {command} --reason WHY"),
    }
}

/// How somebody who had access gets it again.
fn once_more(permit: &Permit) -> String {
    format!("run {}", by(permit, &format!("request {} --for 30m", permit.destination())))
}

/// Why a session ended; `None` when the person ended it.
pub(crate) fn ended(end: &SessionEnd, permit: &Permit) -> Option<Words> {
    let asked = permit.destination();
    let grant = permit.request();
    let said = match end {
        SessionEnd::Client => return None,
        SessionEnd::Target { error: None } => Words::say(format!("{} closed the connection", asked.target)),
        SessionEnd::Target { error: Some(error) } => {
            Words::say(format!("the connection to {} is lost: {error}", asked.target))
        }
        SessionEnd::Expired => Words::say(format!("the session on {asked} ended: the time of {grant} is up"))
            .hint(format!("to go on, {}", once_more(permit))),
        SessionEnd::Idle => {
            let limit = permit.obligations().idle_limit.map_or_else(String::new, |limit| format!(" for {limit}"));
            Words::say(format!("the session on {asked} ended: nothing passed{limit}"))
        }
        SessionEnd::Revoked { by, reason, .. } => {
            let why = because(reason.as_deref());
            Words::say(format!("the session on {asked} was ended: {grant} was revoked by {}{why}", who(by)))
                .hint(format!("to ask again, {}", once_more(permit)))
        }
        SessionEnd::Released { .. } => Words::say(format!("the session on {asked} ended: {grant} was released")),
        SessionEnd::Locked { lock, reason, .. } => {
            let why = because(reason.as_deref());
            Words::say(format!("the session on {asked} was ended by the lock {lock}{why}"))
        }
        SessionEnd::Cut { by, reason, .. } => {
            Words::say(format!("the session on {asked} was ended by {}: {reason}", who(by)))
        }
        SessionEnd::Recording { error } => {
            Words::say(format!("the session on {asked} was ended: it must be recorded, and {error}"))
        }
        SessionEnd::Proxy { reason } => Words::say(format!("the session on {asked} ended: {reason}")),
    };
    Some(said)
}

/// A reason behind what it is the reason for.
fn because(reason: Option<&str>) -> String {
    reason.map_or_else(String::new, |reason| format!(": {reason}"))
}

/// That a session will end.
pub(crate) fn warning(left: Span, at: Timestamp, now: Timestamp, permit: &Permit, key: EscapeKey) -> Words {
    let asked = permit.destination();
    let here = key.name().map(|key| format!("press enter, {key} and e, or ")).unwrap_or_default();
    Words::say(format!("this session on {asked} ends in {left}, at {}", clock(at, now)))
        .hint(format!("to go on, {here}run {}", longer(permit)))
}

/// How more time is asked for outside of the session.
fn longer(permit: &Permit) -> String {
    by(permit, &format!("extend {} --for 30m", permit.request()))
}

/// How much time is left of a session, what ends it first, and whether more was asked for.
pub(crate) fn time(ends: Timestamp, now: Timestamp, permit: &Permit, pending: Option<&RequestId>) -> Words {
    let (asked, grant) = (permit.destination(), permit.request());
    // Somebody is there, so the idle time begins now.
    let idle = permit.obligations().idle_limit.filter(|limit| now.plus(*limit) < ends);
    let idle = idle.map(|limit| format!(", or when nothing has passed for {limit}")).unwrap_or_default();
    let pending = pending.map(|id| format!("; more was asked for, and {id} is pending")).unwrap_or_default();
    let (until, left) = (clock(ends, now), left(ends, now));
    Words::say(format!("{asked} has {left} left: it ends at {until} with {grant}{idle}{pending}"))
}

/// Which escapes there are.
pub(crate) fn escapes(key: EscapeKey) -> Words {
    let key = key.name().unwrap_or_default();
    Words::say(format!("at the beginning of a line: {key} and t shows the time left, {key} and e asks for more"))
        .hint(format!("{key} twice sends one {key}; anything else behind it goes on to the target"))
}

/// What somebody is asked who wants more time.
pub(crate) fn question(ends: Timestamp, now: Timestamp, permit: &Permit, offer: &ExtensionOffer) -> Words {
    let (grant, left) = (permit.request(), left(ends, now));
    let takes = match offer.paths.iter().any(|path| path.lacks.is_empty()) {
        true => "no approval".to_owned(),
        false => takes(&offer.paths),
    };
    let longest = rounded(offer.longest);
    Words::say(format!(
        "more time for {grant}, which has {left} left, takes {takes}; at most {longest}; ctrl-c gives up"
    ))
}

/// What more time takes, each alternative once and in one line.
fn takes(paths: &[PathGap]) -> String {
    let mut all: Vec<String> = Vec::new();
    for path in paths {
        let (times, rest): (Vec<&str>, Vec<&str>) =
            path.lacks.iter().map(String::as_str).partition(|lack| lack.starts_with(TIME));
        let rest = if rest.is_empty() { "no approval".to_owned() } else { rest.join(" and ") };
        let times = times.iter().filter_map(|time| time.strip_prefix(TIME));
        let one = times.fold(rest, |rest, time| format!("{rest} for at most {time}"));
        if !all.contains(&one) {
            all.push(one);
        }
    }
    all.join(", or ")
}

/// What became of a question for more time.
pub(crate) fn asked(filed: &Request, ends: Timestamp, now: Timestamp, permit: &Permit) -> Words {
    let (grant, id, more) = (permit.request(), &filed.id, Span::from_seconds(filed.duration));
    match filed.state {
        RequestState::Pending => {
            let lacks = lacks(&filed.paths);
            Words::say(format!("{more} more for {grant} was asked for: {id} waits for {lacks}")).hint(format!(
                "you are told here what becomes of it; to take it back, run {}",
                by(permit, &format!("cancel {id}"))
            ))
        }
        RequestState::Approved => {
            let ends = filed.grant.as_ref().map_or(ends, |grant| grant.ends.0);
            Words::say(format!("{grant} was extended by {more}, until {} ({id})", clock(ends, now)))
        }
        RequestState::Denied | RequestState::Cancelled | RequestState::Expired => {
            Words::say(format!("more time for {grant} was asked for, and {id} is {} already", filed.state))
        }
    }
}

/// That more time cannot be had.
pub(crate) fn no_more(error: &ControlError, permit: &Permit) -> Words {
    match error {
        ControlError::Refused { sentence, hint, .. } => {
            let words = Words::say(format!("no more time: {sentence}"));
            match hint {
                Some(hint) => words.hint(hint),
                None => words,
            }
        }
        ControlError::Unavailable(why) => Words::say(format!("more time cannot be asked for now: {why}"))
            .hint(format!("try again in a moment, or run {}", longer(permit))),
    }
}

/// What paths still wait for: one of these.
pub(crate) fn lacks(paths: &[PathGap]) -> String {
    let lacks = |path: &PathGap| if path.lacks.is_empty() { "nothing".to_owned() } else { path.lacks.join(", ") };
    paths.iter().map(lacks).collect::<Vec<_>>().join(" or ")
}

/// What a person with a terminal reads before anything of the target: as whom, until when, that it is on record, under what,
/// and the key for more.
pub(crate) fn greeting(recorded: bool, ends: Timestamp, now: Timestamp, permit: &Permit, key: EscapeKey) -> Words {
    let recorded = match (recorded, permit.obligations().record_input) {
        (true, true) => "recorded with what you type",
        (true, false) => "recorded",
        (false, _) => "not recorded",
    };
    let (asked, grant) = (permit.destination(), permit.request());
    let session = format!("{asked} until {} ({} left), {recorded}, {grant}", clock(ends, now), left(ends, now));
    with_help(Words::say(session), key)
}

/// Behind a greeting, how to get help: on its line where there is room, else on one of its own.
fn with_help(words: Words, key: EscapeKey) -> Words {
    let Some(help) = key.name().map(|key| format!("{key} ? for help")) else { return words };
    let fits = words.first().chars().count() + "; ".len() + help.chars().count() <= COLUMNS;
    if fits { Words(vec![format!("{}; {help}", words.first())]) } else { words.hint(help) }
}

/// That a session goes on for longer.
pub(crate) fn extended(to: Timestamp, now: Timestamp, permit: &Permit) -> Words {
    let (asked, grant) = (permit.destination(), permit.request());
    let (until, left) = (clock(to, now), left(to, now));
    Words::say(format!("{grant} was extended: this session on {asked} lasts until {until} ({left} left)"))
}

/// What became of a request for more time that will not be granted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum NotExtended {
    /// A reviewer said no.
    Denied,
    /// Nobody decided in time.
    Undecided,
}

/// That a session does not go on for longer.
pub(crate) fn not_extended(why: NotExtended, ends: Timestamp, permit: &Permit) -> Words {
    let (asked, grant) = (permit.destination(), permit.request());
    let why = match why {
        NotExtended::Denied => "was denied",
        NotExtended::Undecided => "was not decided in time",
    };
    Words::say(format!("more time for {grant} {why}: this session on {asked} ends at {}", minute(ends))).hint(format!(
        "to see why, run {}; to ask again, {}",
        by(permit, "requests"),
        longer(permit)
    ))
}

/// That the grant's path lacks what something needs.
pub(crate) fn not_permitted(what: &str, needs: CertificateExtension, permit: &Permit) -> Words {
    let (asked, grant) = (permit.destination(), permit.request());
    Words::say(format!("{what} is refused: the policy's path of {grant} does not have {needs}"))
        .hint(format!("to see which paths there are, and what each has, run portcullis policy explain {asked}"))
}

/// That no end of a forward that the grant's path has is this one.
pub(crate) fn no_such_end(what: &str, annotation: &str, permit: &Permit) -> Words {
    let (asked, grant) = (permit.destination(), permit.request());
    Words::say(format!("{what} is refused: the {annotation} of the policy's path of {grant} does not have it"))
        .hint(format!("to see which paths there are, and what each has, run portcullis policy explain {asked}"))
}

/// That nothing may pass that is not recorded.
pub(crate) fn only_recorded(what: &str, permit: &Permit) -> Words {
    let grant = permit.request();
    Words::say(format!("{what} is refused: under {grant} only what is recorded may pass, and a forward is not"))
}

/// That a grant is for one exact command, and this is not it.
pub(crate) fn one_command(what: &str, command: &str, permit: &Permit) -> Words {
    let grant = permit.request();
    Words::say(format!("{what} is refused: {grant} allows one exact command: {command}"))
        .hint(format!("for anything else, {}", once_more(permit)))
}

/// What a channel asks to run.
pub(crate) fn run(kind: &ChannelKind) -> String {
    match kind {
        ChannelKind::Shell => "shell".to_owned(),
        ChannelKind::Exec { command } => format!("exec {command}"),
        ChannelKind::Subsystem { name } => format!("subsystem {name}"),
        ChannelKind::Forward(forward) => forward.to_string(),
    }
}

/// That the grant's path lets no session run this, which may be a command of the old scp.
pub(crate) fn not_run(kind: &ChannelKind, scp: bool, permit: &Permit) -> Words {
    let (asked, grant, channels) = (permit.destination(), permit.request(), &permit.obligations().carriage.channels);
    let rights: Vec<String> = channels.iter().map(ToString::to_string).collect();
    let rights = if rights.is_empty() { "nothing".to_owned() } else { rights.join(", ") };
    let sftp = ChannelKind::Subsystem { name: "sftp".to_owned() };
    let by_sftp = channels.iter().any(|right| right.covers(&sftp));
    let by_scp = channels.contains(&ChannelRight::Scp);
    let words =
        Words::say(format!("{} is refused: the policy's path of {grant} lets a session run {rights}", run(kind)));
    match kind {
        ChannelKind::Exec { .. } if scp && by_sftp => words.hint("leave out -O: scp works here as sftp does"),
        ChannelKind::Subsystem { name } if name == "sftp" && by_scp => words.hint("use scp -O"),
        ChannelKind::Shell | ChannelKind::Exec { .. } if by_sftp => words.hint("to copy files, use scp or sftp"),
        ChannelKind::Shell | ChannelKind::Exec { .. } if by_scp => words.hint("to copy files, use scp -O"),
        ChannelKind::Shell | ChannelKind::Exec { .. } | ChannelKind::Subsystem { .. } | ChannelKind::Forward(_) => {
            words
                .hint(format!("to see which paths there are, and what each has, run portcullis policy explain {asked}"))
        }
    }
}

/// Hours and minutes; the day too, when it is another.
pub(crate) fn clock(at: Timestamp, now: Timestamp) -> String {
    let day = |at: Timestamp| at.seconds() / 86_400;
    if day(at) == day(now) { minute(at) } else { format!("{} on {}", minute(at), part(at, 0..10)) }
}

/// Hours and minutes. The proxy does not know where the person's clock stands.
fn minute(at: Timestamp) -> String {
    format!("{} UTC", part(at, 11..16))
}

/// A part of the time as RFC 3339 writes it.
fn part(at: Timestamp, range: std::ops::Range<usize>) -> String {
    at.to_string().get(range).unwrap_or_default().to_owned()
}

/// What is left, in whole minutes as long as there are some.
pub(crate) fn left(ends: Timestamp, now: Timestamp) -> Span {
    rounded(u32::try_from(ends.since(now).as_secs()).unwrap_or(u32::MAX))
}

/// So many seconds at most, in whole minutes as long as there are some.
pub(crate) fn rounded(seconds: u32) -> Span {
    Span::from_seconds(if seconds < 120 { seconds } else { seconds / 60 * 60 })
}

fn who(actor: &Actor) -> String {
    match actor {
        Actor::Identity(name) | Actor::Through { identity: name, .. } => name.to_string(),
        Actor::Proxy(_) | Actor::System => actor.to_string(),
    }
}

/// What reaches a terminal never holds a control character, wherever it came from, and never has no end.
pub(crate) fn plain(text: &str) -> String {
    let text = recordings::plain(text).replace('\t', " ");
    match text.char_indices().nth(LIMIT) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stands_on_its_own_lines() {
        let words = Words::say("no").hint("do this");
        assert_eq!(words.bytes(false), b"portcullis: no\nportcullis: do this\n");
        assert_eq!(words.bytes(true), b"\r\nportcullis: no\r\nportcullis: do this\r\n");
        assert_eq!(words.first(), "portcullis: no");
    }

    #[test]
    fn what_others_wrote_is_text_and_has_an_end() {
        let words = Words::say("a\u{1b}[2J\u{9b}2J\r\nb\u{202e}c\td");
        assert_eq!(words.text(), "portcullis: a\u{fffd}[2J\u{fffd}2J\u{fffd}\u{fffd}b\u{fffd}c d");
        let words = Words::say("ä".repeat(LIMIT + 1));
        assert_eq!(words.text(), format!("portcullis: {}...", "ä".repeat(LIMIT)));
    }

    #[test]
    fn the_key_for_help_stands_on_the_line_where_there_is_room() {
        let greeting = |text: &str, key: &str| with_help(Words::say(text), key.parse().unwrap()).text();
        assert_eq!(greeting("a@b until 14:32 UTC", "^]"), "portcullis: a@b until 14:32 UTC; ctrl-] ? for help");
        let long = "x".repeat(COLUMNS - "portcullis: ".len() - "; ctrl-] ? for help".len());
        assert_eq!(greeting(&long, "^]").chars().count(), COLUMNS);
        assert!(greeting(&format!("{long}x"), "^]").ends_with("x\nportcullis: ctrl-] ? for help"));
        assert_eq!(greeting("a@b", "none"), "portcullis: a@b");
    }

    #[test]
    fn what_more_time_takes_is_one_line_in_words_that_can_be_typed() {
        let path = |lacks: &[&str]| PathGap {
            policy: "p".to_owned(),
            lacks: lacks.iter().map(|lack| (*lack).to_owned()).collect(),
            approvals: 0,
            groups: Vec::new(),
        };
        let approval = path(&["1 approval by approvers"]);
        assert_eq!(takes(&[approval.clone(), approval.clone()]), "1 approval by approvers");
        let short = path(&["a time of at most 15m"]);
        assert_eq!(takes(&[approval, short]), "1 approval by approvers, or no approval for at most 15m");
        let both = path(&["2 approvals", "a time of at most 1h"]);
        assert_eq!(takes(&[both]), "2 approvals for at most 1h");
    }

    #[test]
    fn times_are_as_short_as_they_can_be() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let now = at("2026-11-21T14:03:10Z");
        assert_eq!(clock(at("2026-11-21T14:32:59Z"), now), "14:32 UTC");
        assert_eq!(clock(at("2026-11-22T00:00:00Z"), now), "00:00 UTC on 2026-11-22");
        let left = |ends: &str| left(at(ends), now).to_string();
        assert_eq!(left("2026-11-21T14:32:59Z"), "29m");
        assert_eq!(left("2026-11-21T15:33:10Z"), "1h30m");
        assert_eq!(left("2026-11-21T14:05:09Z"), "1m59s");
        assert_eq!(left("2026-11-21T14:00:00Z"), "0s");
    }

    #[test]
    fn a_refusal_without_advice_gets_some() {
        let asked = Destination { login: "root".parse().unwrap(), target: "web1".parse().unwrap() };
        let error = ControlError::Refused {
            code: "no-grant".into(),
            sentence: "no active grant for root@web1".into(),
            hint: None,
        };
        assert_eq!(
            refused(&error, &asked).text(),
            "portcullis: no active grant for root@web1\nportcullis: run portcullis request root@web1 --for 30m"
        );
    }
}
