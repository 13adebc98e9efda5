//! Mistakes of notation in plain words. Cedar says which token it stumbled over; what is wrong stands in front of it.

use std::ops::Range;

use crate::Diagnostic;
use crate::scan::{Token, tokens};

/// What Cedar's complaint about the token at `at` means, where that is certain. `expected` is Cedar's own list.
pub(crate) fn plain(text: &str, at: usize, message: &str, expected: &str) -> Option<Diagnostic> {
    let spot = Spot::find(text, at)?;
    let expects = |token: &str| expected.contains(&format!("`{token}`"));
    if message == "unexpected end of input" {
        return match spot.open.last() {
            Some(open) => Some(spot.unclosed(open)),
            None if expects(";") => Some(spot.semicolon()),
            None if expects("@") => {
                let message = "the text ends here, and these annotations belong to no policy";
                Some(spot.behind(message).with_hint("write the permit or the forbid that they are for"))
            }
            None => None,
        };
    }
    let token = message.strip_prefix("unexpected token `")?.strip_suffix('`')?;
    let begins_anew = matches!(token, ";" | "@" | "when" | "unless" | "permit" | "forbid");
    match (spot.open.last(), token) {
        (Some(open), _) if begins_anew => Some(spot.unclosed(open)),
        (None, "@" | "permit" | "forbid") if expects(";") => Some(spot.semicolon()),
        (Some(_), word) if expects("&&") && joined(word).is_some() => {
            let message = format!("`{word}` joins nothing here");
            let hint = format!("write `{}`", joined(word).unwrap_or_default());
            Some(Diagnostic::at(text, at, at.saturating_add(word.len()), message).with_hint(hint))
        }
        (Some(open), _) if expects(",") && (open.scope || open.sign == '[') && spot.begins_operand => {
            let hint = if open.scope {
                "the three parts of a policy stand apart: (principal, action, resource)"
            } else {
                "items of a list stand apart: [Action::\"lock\", Action::\"administer\"]"
            };
            Some(spot.behind(&format!("a comma is missing after `{}`", spot.before)).with_hint(hint))
        }
        (Some(open), _) if expects("&&") && !open.scope && open.sign != '[' && spot.begins_operand => {
            let message = format!("an operator is missing after `{}`", spot.before);
            Some(spot.behind(&message).with_hint("`&&`: both must hold; `||`: one is enough"))
        }
        (Some(_) | None, _) => None,
    }
}

/// The surroundings of a place in a text.
struct Spot<'a> {
    text: &'a str,
    /// The token in front of it.
    before: &'a str,
    /// Where that ends.
    end: usize,
    /// The brackets that are open there, the innermost last.
    open: Vec<Open>,
    /// Whether what stands there is a word or a string.
    begins_operand: bool,
}

/// A bracket that is not closed.
struct Open {
    sign: char,
    span: Range<usize>,
    /// Whether it is that of a scope: the first one behind `permit` or `forbid`.
    scope: bool,
}

impl<'a> Spot<'a> {
    fn find(text: &'a str, at: usize) -> Option<Self> {
        let mut open: Vec<Open> = Vec::new();
        let mut before: Option<Range<usize>> = None;
        let mut begins_operand = false;
        for (token, span) in tokens(text) {
            if span.start >= at {
                begins_operand = token == Token::Word || token == Token::Text;
                break;
            }
            match token {
                Token::Sign(sign @ ('(' | '[' | '{')) => {
                    let behind = before.as_ref().and_then(|span| text.get(span.clone()));
                    let scope = open.is_empty() && matches!(behind, Some("permit" | "forbid"));
                    open.push(Open { sign, span: span.clone(), scope });
                }
                Token::Sign(')' | ']' | '}') => _ = open.pop(),
                Token::Sign(_) | Token::Word | Token::Text => {}
            }
            before = Some(span);
        }
        let before = before?;
        Some(Self { text, before: text.get(before.clone())?, end: before.end, open, begins_operand })
    }

    /// A diagnostic right behind the token in front.
    fn behind(&self, message: &str) -> Diagnostic {
        Diagnostic::at(self.text, self.end, self.end, message)
    }

    fn semicolon(&self) -> Diagnostic {
        self.behind("a semicolon is missing after this policy").with_hint("each policy ends with `;`")
    }

    fn unclosed(&self, open: &Open) -> Diagnostic {
        let close = match open.sign {
            '(' => ')',
            '[' => ']',
            _ => '}',
        };
        let place = Diagnostic::at(self.text, open.span.start, open.span.end, "");
        let message = format!("`{close}` is missing after `{}`", self.before);
        self.behind(&message).with_hint(format!("it closes the `{}` at {}:{}", open.sign, place.line, place.column))
    }
}

fn joined(word: &str) -> Option<&'static str> {
    match word {
        "and" | "AND" | "&" => Some("&&"),
        "or" | "OR" | "|" => Some("||"),
        _ => None,
    }
}
