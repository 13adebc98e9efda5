//! A one-time code before somebody is in: asked for by keyboard-interactive (RFC 4256) behind their key, where the CA says
//! that they have an authenticator and that the place takes a code. `scp` and the like can be asked in no other way.
//!
//! An empty answer lets them in without: the CA is who refuses the session then, and says why. What the pass was bought
//! with is the log-in of their key, before anything is asked here.

use std::sync::Arc;

use russh::server::Auth;
use zeroize::Zeroizing;

use crate::auth::{Person, Shown};
use crate::control::ControlError;
use crate::gate::Gate;
use crate::words::Words;

/// How often somebody may mistype it on one connection.
const TRIES: usize = 3;
/// The most bytes of an answer that are looked at.
const LONGEST: usize = 64;

/// Somebody whose key was good and who is not in yet.
pub(crate) struct HalfWay {
    pub(crate) person: Person,
    /// As whom they log in: another user begins anew.
    user: String,
    tries: usize,
}

/// What an answer led to.
pub(crate) enum Answered {
    /// They may come in.
    In,
    /// They may try again; why.
    Again(Words),
    /// They stay out; why.
    Out(Words),
}

impl HalfWay {
    /// `None` where nothing is to be asked, and the person with it.
    pub(crate) fn of(person: &Person, user: &str) -> Option<Self> {
        match &person.shown {
            Shown::Key(pass) if pass.wants_code() => {
                Some(Self { person: person.clone(), user: user.to_owned(), tries: 0 })
            }
            Shown::Key(_) | Shown::Certificate(_) => None,
        }
    }

    /// Whether it is they who ask.
    pub(crate) fn is(&self, user: &str) -> bool {
        self.user == user
    }

    /// Takes an answer: passed on to the CA, which alone knows whether it is good.
    pub(crate) async fn answer(&mut self, gate: &Arc<Gate>, answer: Option<&[u8]>) -> Answered {
        let code = answer.and_then(|bytes| std::str::from_utf8(bytes.get(..LONGEST).unwrap_or(bytes)).ok());
        // Apps show it with a gap in the middle.
        let code = Zeroizing::new(code.unwrap_or_default().chars().filter(|c| !c.is_whitespace()).collect::<String>());
        if code.is_empty() {
            return Answered::In;
        }
        let Shown::Key(pass) = &self.person.shown else { return Answered::In };
        let (control, pass) = (gate.control.clone(), pass.clone());
        // A task of its own, so that what the CA does with it is heard by somebody also when this connection breaks.
        let call = tokio::spawn(async move { control.verify_code(pass.token(), &code).await });
        let error = match tokio::time::timeout(gate.config.ca_timeout.to_std(), call).await {
            Ok(Ok(Ok(()))) => return Answered::In,
            Ok(Ok(Err(error))) => error,
            Ok(Err(_)) => ControlError::Unavailable("the call was given up".to_owned()),
            Err(_) => ControlError::Unavailable(format!("no answer within {}", gate.config.ca_timeout)),
        };
        self.tries += 1;
        match error {
            ControlError::Refused { code, sentence, hint } => {
                let mistake = matches!(code.as_str(), "code-refused" | "code-used");
                let words = hint.into_iter().fold(Words::say(sentence), Words::hint);
                if mistake && self.tries < TRIES { Answered::Again(words) } else { Answered::Out(words) }
            }
            ControlError::Unavailable(why) => Answered::Out(Words::say(why).hint("try again in a moment")),
        }
    }
}

/// Asks for a code, behind these words.
pub(crate) fn prompt(words: &Words) -> Auth {
    Auth::Partial {
        name: "".into(),
        instructions: words.text().into(),
        prompts: vec![("authentication code: ".into(), false)].into(),
    }
}
