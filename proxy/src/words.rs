//! What people are told: one line that says what happened, and one that says what to do.

use model::{Actor, SessionEnd, Span, Timestamp};

use crate::control::ControlError;
use crate::destination::Destination;
use crate::permit::Permit;

/// A message to a person, in lines without line ends.
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
            .hint(format!("to go on, {}", request(asked))),
        SessionEnd::Idle => {
            let limit = permit.obligations().idle_limit.map_or_else(String::new, |limit| format!(" for {limit}"));
            Words::say(format!("the session on {asked} ended: nothing passed{limit}"))
        }
        SessionEnd::Revoked { by, reason, .. } => {
            let why = because(reason.as_deref());
            Words::say(format!("the session on {asked} was ended: {grant} was revoked by {}{why}", who(by)))
                .hint(format!("to ask again, {}", request(asked)))
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
pub(crate) fn warning(left: Span, at: Timestamp, permit: &Permit) -> Words {
    let (asked, grant) = (permit.destination(), permit.request());
    Words::say(format!("this session on {asked} ends in {left}, at {}", at.seconds_text()))
        .hint(format!("to go on, run portcullis extend {grant} --for 30m"))
}

trait SecondsText {
    fn seconds_text(self) -> String;
}

impl SecondsText for Timestamp {
    /// The time without its fraction of a second.
    fn seconds_text(self) -> String {
        Timestamp::from_seconds(self.seconds()).to_string()
    }
}

fn who(actor: &Actor) -> String {
    match actor {
        Actor::Identity(name) => name.to_string(),
        Actor::Proxy(_) | Actor::System => actor.to_string(),
    }
}

/// What reaches a terminal never holds a control character, wherever it came from.
fn plain(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_message_stands_on_its_own_lines() {
        let words = Words::say("no").hint("do\u{1b}[2J this");
        assert_eq!(words.bytes(false), b"portcullis: no\nportcullis: do [2J this\n");
        assert_eq!(words.bytes(true), b"\r\nportcullis: no\r\nportcullis: do [2J this\r\n");
        assert_eq!(words.first(), "portcullis: no");
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
