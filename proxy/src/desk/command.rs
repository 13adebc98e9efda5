//! What one can say at the desk.

use api::ids::beginning;
use model::{Login, RequestId, Span, TargetName};

use super::line::words;

/// One command.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Command {
    Help,
    WhoAmI,
    Grants { all: bool, json: bool },
    Requests { json: bool },
    Targets { json: bool },
    Show { id: Id, json: bool },
    Request { login: Login, target: TargetName, duration: Span, reason: String, ticket: Option<String> },
    Approve { id: Id, duration: Option<Span>, comment: Option<String> },
    Deny { id: Id, reason: String },
    Withdraw { id: Id },
    Cancel { id: Id },
    Extend { id: Id, duration: Span, reason: String },
    Release { id: Id },
    Revoke { id: Id, reason: String },
    Quit,
}

/// An id as it was typed: whole, or a beginning.
pub(crate) type Id = String;

/// How others' requests are answered where the proxy passes no answers on.
pub(super) const NO_REVIEWS: &str = "to answer somebody else's: portcullis approve ID; this proxy passes no answers on";

/// What somebody may read: all commands, but for answers where none is passed on.
pub(super) fn help(reviews: bool) -> impl Iterator<Item = &'static str> {
    let answers = |line: &&str| ["approve ", "deny ", "withdraw ", "revoke "].iter().any(|verb| line.starts_with(verb));
    let shown = HELP.iter().copied().filter(move |line| reviews || !answers(line));
    shown.chain((!reviews).then_some(NO_REVIEWS))
}

const HELP: &[&str] = &[
    "requests [--json]                      what waits for you, and what you asked for",
    "requests ID [--json]                   one of them",
    "grants [--all] [--json]                what is open for you, or for others as far as you may see it",
    "targets [--json]                       what you may ask for",
    "request LOGIN@TARGET --for 30m --reason WHY [--ticket T]",
    "approve ID [--for 20m] [--comment C]   the answer to somebody else's",
    "deny ID --reason WHY",
    "withdraw ID                            take your own answer back",
    "cancel ID                              take your own request back",
    "extend ID [TIME] --reason WHY          ask for more time on your own grant, 30m unless you say",
    "release ID                             give your own grant back",
    "revoke ID --reason WHY                 take somebody else's back: their sessions are dropped",
    "whoami, help or ?, quit",
    "The beginning of an ID is enough.",
];

/// The options that there are: those with a value take the words up to the next option.
const VALUED: [&str; 4] = ["--for", "--reason", "--comment", "--ticket"];

/// A command line, taken apart.
struct Line {
    verb: String,
    rest: Vec<String>,
    json: bool,
    all: bool,
    options: Vec<(String, String)>,
}

impl Command {
    /// Reads a command line.
    ///
    /// # Errors
    /// A sentence for the person.
    pub(crate) fn read(text: &str) -> Result<Self, String> {
        let mut line = Line::read(text)?;
        let json = line.json;
        let command = match line.verb.as_str() {
            "" | "help" | "--help" | "-h" | "?" => Self::Help,
            "whoami" => Self::WhoAmI,
            "grants" => Self::Grants { all: std::mem::take(&mut line.all), json },
            "requests" if line.rest.is_empty() => Self::Requests { json },
            "requests" | "show" => Self::Show { id: line.id()?, json },
            "targets" => Self::Targets { json },
            "request" => {
                let place = line.rest.pop().ok_or("say what you want: request LOGIN@TARGET --for 30m --reason WHY")?;
                let (login, target) = place.split_once('@').ok_or_else(|| format!("{place} is no LOGIN@TARGET"))?;
                let unreadable = |error: model::NameError| error.to_string();
                Self::Request {
                    login: login.parse().map_err(unreadable)?,
                    target: target.to_ascii_lowercase().parse().map_err(unreadable)?,
                    duration: line.span()?.unwrap_or(Span::from_minutes(30)),
                    reason: line.take("--reason").ok_or("say why: --reason WHY")?,
                    ticket: line.take("--ticket"),
                }
            }
            "approve" => Self::Approve { id: line.id()?, duration: line.span()?, comment: line.take("--comment") },
            "deny" => Self::Deny { id: line.id()?, reason: line.take("--reason").ok_or("say why: --reason WHY")? },
            "withdraw" => Self::Withdraw { id: line.id()? },
            "cancel" => Self::Cancel { id: line.id()? },
            "extend" => {
                let more = if line.rest.len() > 1 { line.rest.pop() } else { None };
                let (more, named) = (more.as_deref().map(read_span).transpose()?, line.span()?);
                Self::Extend {
                    duration: more.or(named).unwrap_or(Span::from_minutes(30)),
                    id: line.id()?,
                    reason: line.take("--reason").ok_or("say why: --reason WHY")?,
                }
            }
            "release" => Self::Release { id: line.id()? },
            "revoke" => Self::Revoke { id: line.id()?, reason: line.take("--reason").ok_or("say why: --reason WHY")? },
            "quit" | "exit" | "q" => Self::Quit,
            other => return Err(format!("there is no command {other}")),
        };
        line.used_up()?;
        Ok(command)
    }
}

impl Line {
    fn read(text: &str) -> Result<Self, String> {
        let mut words = words(text).into_iter().peekable();
        let verb = words.next().unwrap_or_default();
        let (mut json, mut all) = (false, false);
        let (mut rest, mut options) = (Vec::new(), Vec::<(String, String)>::new());
        while let Some(word) = words.next() {
            match word.as_str() {
                "--json" => json = true,
                "--all" => all = true,
                option if VALUED.contains(&option) => {
                    let mut value = Vec::new();
                    while let Some(word) = words.next_if(|word| !word.starts_with("--")) {
                        value.push(word);
                    }
                    if value.is_empty() {
                        return Err(format!("{option} needs a value"));
                    }
                    options.push((word, value.join(" ")));
                }
                option if option.starts_with("--") => return Err(format!("there is no option {option}")),
                _ => rest.push(word),
            }
        }
        Ok(Self { verb, rest, json, all, options })
    }

    fn take(&mut self, option: &str) -> Option<String> {
        let at = self.options.iter().position(|(name, _)| name == option)?;
        Some(self.options.remove(at).1)
    }

    fn span(&mut self) -> Result<Option<Span>, String> {
        self.take("--for").as_deref().map(read_span).transpose()
    }

    fn id(&mut self) -> Result<Id, String> {
        let id = self.rest.pop().ok_or("say which: its id is in requests and grants")?;
        match beginning(&id, RequestId::PREFIX) {
            Some(_) => Ok(id),
            None => Err(format!("{id} is no id of a request")),
        }
    }

    fn used_up(&self) -> Result<(), String> {
        if let Some(more) = self.rest.first() {
            return Err(format!("what is {more} for?"));
        }
        if self.all {
            return Err(format!("--all means nothing for {}", self.verb));
        }
        match self.options.first() {
            Some((option, _)) => Err(format!("{option} means nothing for {}", self.verb)),
            None => Ok(()),
        }
    }
}

fn read_span(text: &str) -> Result<Span, String> {
    text.parse().map_err(|_| format!("{text} is no time: write it as 30m or 1h30m"))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn commands_are_read_as_ssh_sends_them() {
        let id = RequestId::from_random(7).to_string();
        let read = |text: &str| Command::read(&text.replace("ID", &id));
        assert_eq!(read("requests --json"), Ok(Command::Requests { json: true }));
        let denied = Command::Deny { id: id.clone(), reason: "not on a Friday".to_owned() };
        assert_eq!(read("deny ID --reason not on a Friday"), Ok(denied.clone()));
        assert_eq!(
            read("deny --reason 'not on a Friday' ID"),
            Err("say which: its id is in requests and grants".into())
        );
        assert_eq!(read("deny ID --reason 'not on a Friday'"), Ok(denied));
        let approved =
            Command::Approve { id: id.clone(), duration: Some(Span::from_minutes(20)), comment: Some("go on".into()) };
        assert_eq!(read("approve ID --for 20m --comment go on"), Ok(approved));
        let more = |duration| Command::Extend { id: id.clone(), duration, reason: "not done".to_owned() };
        assert_eq!(read("extend ID --reason not done"), Ok(more(Span::from_minutes(30))));
        for text in ["extend ID 1h --reason not done", "extend ID --for 1h --reason 'not done'"] {
            assert_eq!(read(text), Ok(more(Span::from_hours(1))), "{text}");
        }
        let revoked = Command::Revoke { id: id.clone(), reason: "that is enough".to_owned() };
        assert_eq!(read("revoke ID --reason that is enough"), Ok(revoked));
        assert_eq!(read("grants --all"), Ok(Command::Grants { all: true, json: false }));
        assert_eq!(read("cancel x7"), Ok(Command::Cancel { id: "x7".to_owned() }));
        let asked = read("request root@WEB1 --for 1h --reason the disk is full").unwrap();
        let Command::Request { login, target, duration, reason, ticket } = asked else { panic!() };
        assert_eq!((login.as_str(), target.as_str(), duration), ("root", "web1", Span::from_hours(1)));
        assert_eq!((reason.as_str(), ticket), ("the disk is full", None));
    }

    #[test]
    fn a_question_mark_is_help() {
        assert_eq!(Command::read("?"), Ok(Command::Help));
        assert_eq!(Command::read("help"), Ok(Command::Help));
    }

    #[test]
    fn where_no_reviews_are_passed_on_the_help_says_so() {
        let said = |reviews| help(reviews).collect::<Vec<_>>().join("\n");
        assert!(["approve ID", "deny ID", "revoke ID"].iter().all(|verb| said(true).contains(verb)));
        assert!(
            !said(false).contains("\ndeny ID")
                && !said(false).contains("revoke ID")
                && said(false).contains(NO_REVIEWS),
            "{}",
            said(false)
        );
        assert!(said(false).contains("request LOGIN@TARGET"));
    }

    #[test]
    fn what_cannot_be_meant_is_said() {
        for (text, why) in [
            ("rm -rf /", "no command rm"),
            ("approve", "say which"),
            ("approve ../me", "no id"),
            ("extend req-x7 ever --reason x", "no time"),
            ("extend req-x7", "say why"),
            ("extend --reason x", "say which"),
            ("approve req-000000000001 --reason x", "means nothing"),
            ("grants --everything", "no option --everything"),
            ("requests --all", "--all means nothing"),
            ("revoke req-x7", "say why"),
            ("deny req-000000000001", "say why"),
            ("request root --reason x", "no LOGIN@TARGET"),
            ("request root@web1 --for", "needs a value"),
            ("request root@web1 --for ever --reason x", "no time"),
            ("grants more", "what is more for"),
        ] {
            let said = Command::read(text).unwrap_err();
            assert!(said.contains(why), "{text}: {said}");
        }
    }

    proptest! {
        #[test]
        fn nothing_makes_it_fall_over(text: String) {
            let _ = Command::read(&text);
        }
    }
}
