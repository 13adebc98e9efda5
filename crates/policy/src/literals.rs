//! Names in policies: where they stand, and those that nothing can be called. Such a name would never match, and its
//! author would not find out.

use std::ops::Range;

use cedar_policy::EntityUid;
use model::{GroupName, IdentityName, Login, NameError, TargetName};

use crate::Diagnostic;
use crate::scan::{Place, Token, tokens};

/// A name of the directory's that a policy mentions.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Mention {
    pub(crate) name: Name,
    /// The bytes of the text that it is written in.
    pub(crate) span: Range<usize>,
    /// Whether it stands in the scope: the policy then matches nothing without it.
    pub(crate) scope: bool,
}

/// What is mentioned.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Name {
    Identity(IdentityName),
    Group(GroupName),
    Target(TargetName),
    /// `Login::"root@web1"`
    Place(Login, TargetName),
    /// `resource.name == "root"`
    Login(Login),
    /// `resource.target.hasTag("env")`
    Label(String),
    /// `resource.target.getTag("env") == "prod"`
    Value(String, String),
}

/// The names that a policy mentions behind its annotations; those that cannot be names are said to be wrong.
pub(crate) fn mentions(text: &str, place: &Place) -> (Vec<Mention>, Vec<Diagnostic>) {
    let body = text.get(place.effect.start..place.whole.end).unwrap_or_default();
    let at = place.effect.start;
    let moved = |span: Range<usize>| at.saturating_add(span.start)..at.saturating_add(span.end);
    let tokens: Vec<_> = tokens(body).map(|(token, span)| (token, moved(span))).collect();
    let scope_ends = scope_end(&tokens);
    let (mut found, mut wrong) = (Vec::new(), Vec::new());
    for place in 0..tokens.len() {
        let rest = tokens.get(place..).unwrap_or_default();
        let Some((name, span)) = entity(text, rest).or_else(|| compared(text, rest)) else { continue };
        match name {
            Ok(name) => {
                let scope = span.end <= scope_ends;
                found.push(Mention { name, span, scope });
            }
            Err((message, hint)) => {
                wrong.push(Diagnostic::at(text, span.start, span.end, message).with_hint_if(hint));
            }
        }
    }
    (found, wrong)
}

type Spanned = (Token, Range<usize>);

/// What is wrong, and a hint.
type Wrong = (String, Option<String>);

/// `Group::"sre"`
fn entity(text: &str, tokens: &[Spanned]) -> Option<(Result<Name, Wrong>, Range<usize>)> {
    let [(Token::Word, kind), (Token::Sign(':'), _), (Token::Sign(':'), _), (Token::Text, id), ..] = tokens else {
        return None;
    };
    let span = kind.start..id.end;
    let literal = text.get(span.clone())?;
    let id = unquoted(text, id)?;
    Some((named(literal, text.get(kind.clone())?, &id)?, span))
}

fn named(literal: &str, kind: &str, id: &str) -> Option<Result<Name, Wrong>> {
    let plain = |error: NameError| (error.to_string(), None);
    Some(match kind {
        "Identity" => id.parse().map(Name::Identity).map_err(plain),
        "Group" => id.parse().map(Name::Group).map_err(plain),
        "Target" => id.parse().map(Name::Target).map_err(plain),
        "Login" => match id.split_once('@') {
            Some((login, target)) => {
                let login = login.parse().map_err(plain);
                login.and_then(|login| Ok(Name::Place(login, target.parse().map_err(plain)?)))
            }
            None => {
                let hint = format!("write Login::\"{id}@web1\", or `resource.name == \"{id}\"` in a condition");
                Err((format!("{literal} is on no target"), Some(hint)))
            }
        },
        // The validator knows the rest.
        _ => return None,
    })
}

/// `principal.name == "alice"` and its like. What is written in another way is not looked at.
fn compared(text: &str, tokens: &[Spanned]) -> Option<(Result<Name, Wrong>, Range<usize>)> {
    let words: Vec<&str> = tokens.iter().take(12).filter_map(|(_, span)| text.get(span.clone())).collect();
    let at = |place: usize| tokens.get(place).map(|(_, span)| span.clone());
    let string = |place: usize| match tokens.get(place) {
        Some((Token::Text, span)) => unquoted(text, span),
        Some((Token::Word | Token::Sign(_), _)) | None => None,
    };
    let plain = |error: NameError| (error.to_string(), None);
    match words.as_slice() {
        ["principal", ".", "name", "=" | "!", "=", ..] => {
            Some((string(5)?.parse().map(Name::Identity).map_err(plain), at(5)?))
        }
        ["requester", ".", "name", "=" | "!", "=", ..] => {
            Some((string(5)?.parse().map(Name::Identity).map_err(plain), at(5)?))
        }
        ["resource", ".", "name", "=" | "!", "=", ..] => {
            Some((string(5)?.parse().map(Name::Login).map_err(plain), at(5)?))
        }
        ["target", ".", "name", "=" | "!", "=", ..] => {
            Some((string(5)?.parse().map(Name::Target).map_err(plain), at(5)?))
        }
        ["hasTag", "(", ..] => Some((Ok(Name::Label(string(2)?)), at(2)?)),
        ["getTag", "(", _, ")", "=" | "!", "=", ..] => Some((Ok(Name::Value(string(2)?, string(6)?)), at(6)?)),
        _ => None,
    }
}

/// A text without its quotes, as Cedar reads it.
fn unquoted(text: &str, span: &Range<usize>) -> Option<String> {
    let quoted = text.get(span.clone())?;
    // Cedar keeps its unescaping to itself, except in the ids of entities.
    match format!("Group::{quoted}").parse::<EntityUid>() {
        Ok(uid) => Some(uid.id().unescaped().to_owned()),
        Err(_) => Some(quoted.trim_matches('"').to_owned()),
    }
}

/// The end of the parenthesis behind `permit` or `forbid`.
fn scope_end(tokens: &[Spanned]) -> usize {
    let mut depth = 0_usize;
    for (token, span) in tokens {
        match token {
            Token::Sign('(') => depth = depth.saturating_add(1),
            Token::Sign(')') if depth <= 1 => return span.end,
            Token::Sign(')') => depth = depth.saturating_sub(1),
            Token::Sign(_) | Token::Word | Token::Text => {}
        }
    }
    0
}
