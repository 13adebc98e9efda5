//! How things look at the desk: a line each, and no more lines than a screen has. What others wrote is text.

use api::wire::{Grant, PathGap, Request, TargetView};
use model::{IdentityName, Span, Timestamp};
use serde::Serialize;

use crate::words::{clock, plain};

/// The most items of a list: what is beyond is counted.
pub(super) const SCREEN: usize = 20;
/// The most characters of somebody's words within a line.
const WORDS: usize = 60;

/// A request in one line: "req-… alice root@web1 30m: the disk is full".
pub(super) fn request(request: &Request) -> String {
    let Request { id, identity, login, target, .. } = request;
    let duration = Span::from_seconds(request.duration);
    let more = if request.extends.is_some() { " more" } else { "" };
    let command = request.command.as_ref().map(|command| format!(" [{}]", short(command))).unwrap_or_default();
    let ticket = request.ticket.as_ref().map(|ticket| format!(" ({})", short(ticket))).unwrap_or_default();
    format!("{id}  {identity}  {login}@{target}  {duration}{more}{command}{ticket}: {}", short(&request.reason))
}

/// A request in full: a reviewer sees every word of it, and the very command.
///
/// What others wrote is broken to these columns here, and the lines that go on are marked: a terminal that broke them by
/// itself would let them write what looks like a line of ours.
pub(super) fn in_full(request: &Request, now: Timestamp, columns: usize) -> Vec<String> {
    let pieces = |label: &str, text: &str| pieces(label, &blank(text), columns);
    let Request { id, identity, login, target, state, .. } = request;
    let mut lines = vec![
        format!("{id}: {identity} asks for {login}@{target} for {}", Span::from_seconds(request.duration)),
        format!("state    {state}"),
    ];
    lines.extend(pieces("reason   ", &request.reason));
    if let Some(command) = &request.command {
        lines.extend(self::pieces("command  ", &exact(command), columns));
    }
    if let Some(ticket) = &request.ticket {
        lines.extend(pieces("ticket   ", ticket));
    }
    if let Some(extends) = &request.extends {
        lines.push(format!("extends  {extends}"));
    }
    lines.push(format!("filed    {}", clock(request.filed.0, now)));
    lines.extend(request.paths.iter().flat_map(|path| pieces("lacks    ", &lacks(path))));
    for review in &request.reviews {
        let verdict = match (review.approved, review.duration) {
            (true, Some(seconds)) => format!("approved for {} by", Span::from_seconds(seconds)),
            (true, None) => "approved by".to_owned(),
            (false, _) => "denied by".to_owned(),
        };
        let comment = review.comment.as_ref().map(|comment| format!(": {comment}")).unwrap_or_default();
        lines.extend(pieces("", &format!("{verdict} {}{comment}", review.reviewer)));
    }
    if let Some(open) = &request.grant {
        lines.push(format!("grant    {} until {}", open.state, clock(open.ends.0, now)));
    }
    lines
}

/// For how long a grant is, where that is less than what was asked for.
pub(super) fn shorter(grant: &Grant, asked: Span) -> Option<Span> {
    let seconds = u32::try_from(grant.ends.0.since(grant.starts.0).as_secs()).unwrap_or(u32::MAX);
    Some(Span::from_seconds(seconds)).filter(|given| *given < asked)
}

/// A grant in one line; somebody else's says whose it is, and how many sessions are live.
pub(super) fn grant(grant: &Grant, me: &IdentityName, now: Timestamp) -> String {
    let Grant { id, identity, login, target, state, sessions, .. } = grant;
    let whose = if identity == me { String::new() } else { format!("{identity}  ") };
    let live = match sessions {
        _ if identity == me => String::new(),
        1 => ", 1 session live".to_owned(),
        live => format!(", {live} sessions live"),
    };
    let command = grant.command.as_ref().map(|command| format!(" [{}]", short(command))).unwrap_or_default();
    format!("{id}  {whose}{login}@{target}  {state} until {}{live}{command}", clock(grant.ends.0, now))
}

/// A target in one line, with the logins that one may ask for.
pub(super) fn target(target: &TargetView) -> String {
    let places: Vec<String> = target.logins.iter().map(|login| format!("{login}@{}", target.name)).collect();
    places.join("  ")
}

/// What one path still waits for.
pub(super) fn lacks(path: &PathGap) -> String {
    crate::words::lacks(std::slice::from_ref(path))
}

/// For programs: JSON in ASCII. A program prints it as it is, so not even a C1 control or an embedded direction passes.
pub(super) fn json<T: Serialize>(value: &T) -> String {
    let text = serde_json::to_string(value).unwrap_or_else(|_| "null".to_owned());
    let mut ascii = String::with_capacity(text.len() + 1);
    for c in text.chars() {
        if matches!(c, ' '..='~') {
            ascii.push(c);
        } else {
            let mut units = [0; 2];
            for unit in c.encode_utf16(&mut units) {
                ascii.push_str(&format!("\\u{unit:04x}"));
            }
        }
    }
    ascii.push('\n');
    ascii
}

/// Somebody's words, as far as a line has room.
fn short(text: &str) -> String {
    let text = plain(&blank(text));
    match text.char_indices().nth(WORDS) {
        Some((end, _)) => format!("{}...", text.get(..end).unwrap_or_default()),
        None => text,
    }
}

/// Long words over several lines, none of them left out; all lines but the first begin with "| ". What is not ASCII may
/// take two columns.
pub(super) fn pieces(label: &str, text: &str, columns: usize) -> Vec<String> {
    let (mut lines, mut line, mut left) = (Vec::new(), label.to_owned(), columns.saturating_sub(label.len()));
    for c in recordings::plain(text).chars() {
        let width = if c.is_ascii() { 1 } else { 2 };
        if left < width {
            lines.push(std::mem::replace(&mut line, "| ".to_owned()));
            left = columns.saturating_sub(2);
        }
        line.push(c);
        left = left.saturating_sub(width);
    }
    lines.push(line);
    lines
}

/// Whether a character shows as nothing but room.
fn is_blank(c: char) -> bool {
    let odd = matches!(c, '\u{a0}' | '\u{115f}' | '\u{1160}' | '\u{2800}' | '\u{3164}' | '\u{ffa0}');
    odd || c.is_whitespace() && !c.is_control() || c == '\t'
}

/// Words with one blank between them: nobody draws with blanks.
fn blank(text: &str) -> String {
    text.split(is_blank).filter(|word| !word.is_empty()).collect::<Vec<_>>().join(" ")
}

/// A command as it is, blanks and all; what only looks like a blank is shown to be something else.
fn exact(command: &str) -> String {
    let shown = |c: char| if c != ' ' && is_blank(c) { char::REPLACEMENT_CHARACTER } else { c };
    command.chars().map(shown).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn hostile() -> Request {
        serde_json::from_value(serde_json::json!({
            "id": "req-000000000001", "identity": "mallory", "target": "web1", "login": "root", "duration": 1800,
            "reason": "\u{1b}]0;pwned\u{7}\u{1b}[2J\u{9b}31m\r\nreq-000000000002  approved\u{202e}",
            "ticket": "\u{1b}[A", "command": "\u{1b}c\u{0}rm", "state": "pending",
            "filed": "2026-11-21T14:03:10Z", "expires": "2026-11-21T15:03:10Z",
            "reviews": [{ "reviewer": "bob", "approved": false, "comment": "\u{1b}[8m no", "at": "2026-11-21T14:03:10Z" }],
        }))
        .unwrap()
    }

    /// An approver's terminal is a target: whoever asks chooses the words.
    #[test]
    fn no_word_of_others_acts_upon_a_terminal() {
        let request = hostile();
        let mut lines = in_full(&request, request.filed.0, 80);
        lines.push(super::request(&request));
        for line in &lines {
            let shown = plain(line);
            let harmless = |c: char| !c.is_control() && !('\u{200b}'..='\u{200f}').contains(&c) && c != '\u{202e}';
            assert!(shown.chars().all(harmless), "{shown:?}");
        }
        let json = json(&vec![request]);
        assert!(json.trim_end().bytes().all(|byte| (b' '..=b'~').contains(&byte)), "{json:?}");
        let back: Vec<Request> = serde_json::from_str(&json).unwrap();
        assert_eq!(back[0].reason, hostile().reason);
    }

    #[test]
    fn a_command_is_shown_to_its_end() {
        let mut request = hostile();
        request.command = Some(format!("{}; rm -rf /", "x".repeat(1000)));
        let shown = in_full(&request, request.filed.0, 80).join("\n").replace("\n| ", "");
        assert!(shown.contains("; rm -rf /"), "{shown}");
        assert!(super::request(&request).len() < 300);
    }

    /// Whoever chooses the words chooses where a terminal breaks them.
    #[test]
    fn nobody_draws_a_line_of_ours() {
        for (blanks, columns) in [(" ".repeat(300), 80), ("\u{2800}".repeat(71), 80), ("\u{3164}\u{a0}".repeat(90), 40)]
        {
            let mut request = hostile();
            request.reason = format!("x{blanks}approved by bob{}approved by carol", "\u{fffd}".repeat(63));
            request.ticket = Some("\u{5b57}".repeat(200));
            let lines = in_full(&request, request.filed.0, columns);
            assert!(!lines.iter().any(|line| line.starts_with("approved by")), "{lines:?}");
            let width = |line: &str| line.chars().map(|c| if c.is_ascii() { 1 } else { 2 }).sum::<usize>();
            let others =
                |line: &&String| line.starts_with("reason") || line.starts_with("ticket") || line.starts_with("| ");
            assert!(lines.iter().filter(others).all(|line| width(line) <= columns), "{lines:?}");
            assert!(lines.iter().any(|line| line.starts_with("reason   x approved by bob")), "{lines:?}");
        }
        assert_eq!(exact("rm  a\u{a0}b"), "rm  a\u{fffd}b");
    }
}
