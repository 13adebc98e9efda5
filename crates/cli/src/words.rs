//! Times, states and names in words, the same in every verb.

use std::str::FromStr;

use api::wire::{GrantState, RequestState};
use model::{Login, Span, TargetName, Timestamp};

use crate::output::{Output, Tone};

/// `LOGIN@TARGET` as people type it: "root@web1".
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    /// The account.
    pub(crate) login: Login,
    /// The server.
    pub(crate) target: TargetName,
}

impl Place {
    /// The place that `text` names, when it is meant to be one: no id holds an `@`.
    pub(crate) fn typed(text: &str) -> Option<Self> {
        text.contains('@').then(|| text.parse().ok()).flatten()
    }
}

impl FromStr for Place {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let shown: String = text.chars().take(64).collect();
        let Some((login, target)) = text.split_once('@').or_else(|| text.split_once('+')) else {
            return Err(format!("{shown:?} has no login: write LOGIN@TARGET, as root@web1"));
        };
        Ok(Self {
            login: login.parse().map_err(|error: model::NameError| error.to_string())?,
            target: target.parse().map_err(|error: model::NameError| error.to_string())?,
        })
    }
}

impl std::fmt::Display for Place {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.login, self.target)
    }
}

/// `KEY=VALUE`, as labels are typed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Pair {
    /// In front of the `=`.
    pub(crate) key: String,
    /// Behind it.
    pub(crate) value: String,
}

impl FromStr for Pair {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            Some((key, value)) if !key.is_empty() => Ok(Self { key: key.to_owned(), value: value.to_owned() }),
            Some(_) | None => Err(format!("{text:?} is no label: write KEY=VALUE, as env=prod")),
        }
    }
}

/// A length of time in seconds, in words.
pub(crate) fn span(seconds: u32) -> String {
    Span::from_seconds(seconds).to_string()
}

/// A moment in UTC and to the second, as the CA writes it in its sentences and as `--at` takes it: "2026-11-20T18:00:00Z".
pub(crate) fn clock(at: Timestamp) -> String {
    at.to_second().to_string()
}

/// How far off a moment is: "in 12m", "3h ago", "now". Two units at most, because nobody reads the third.
pub(crate) fn distance(now: Timestamp, at: Timestamp) -> String {
    let (later, seconds) = match at >= now {
        true => (true, at.since(now).as_secs()),
        false => (false, now.since(at).as_secs()),
    };
    if seconds == 0 {
        return "now".to_owned();
    }
    let text = short(seconds);
    match later {
        true => format!("in {text}"),
        false => format!("{text} ago"),
    }
}

/// How long it is until a moment: "12m", "none" once it has passed.
pub(crate) fn left(now: Timestamp, at: Timestamp) -> String {
    match at.since(now).as_secs() {
        0 => "none".to_owned(),
        seconds => short(seconds),
    }
}

/// A number of seconds in at most two units.
pub(crate) fn short(seconds: u64) -> String {
    let coarse = match seconds {
        0..3600 => seconds,
        3600..86_400 => seconds / 60 * 60,
        _ => seconds / 3600 * 3600,
    };
    span(u32::try_from(coarse).unwrap_or(u32::MAX))
}

/// A number of bytes in words.
pub(crate) fn bytes(count: u64) -> String {
    const UNITS: [(&str, u64); 3] = [("GiB", 1 << 30), ("MiB", 1 << 20), ("KiB", 1 << 10)];
    for (unit, size) in UNITS {
        if count >= size {
            return format!("{}.{} {unit}", count / size, count % size * 10 / size);
        }
    }
    format!("{count} B")
}

/// Words with commas between them.
pub(crate) fn listed<T: std::fmt::Display>(items: impl IntoIterator<Item = T>) -> String {
    items.into_iter().map(|item| item.to_string()).collect::<Vec<_>>().join(", ")
}

/// A word as a shell takes it.
pub(crate) fn shell_word(word: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "-_./@%+=:,~".contains(c);
    // At the beginning, a tilde is somebody's home.
    match !word.is_empty() && !word.starts_with('~') && word.chars().all(plain) {
        true => word.to_owned(),
        false => format!("'{}'", word.replace('\'', "'\\''")),
    }
}

/// "1 session", "2 sessions".
pub(crate) fn count(number: usize, one: &str) -> String {
    match number {
        1 => format!("1 {one}"),
        _ => match one.strip_suffix("xy") {
            Some(stem) => format!("{number} {stem}xies"),
            None => format!("{number} {one}s"),
        },
    }
}

/// So many microseconds as milliseconds: "0.912 ms".
pub(crate) fn milliseconds(micros: u64) -> String {
    format!("{}.{:03} ms", micros / 1000, micros % 1000)
}

/// A request's state in its colour.
pub(crate) fn request_state(output: &Output, state: RequestState) -> String {
    let tone = match state {
        RequestState::Pending => Tone::Waiting,
        RequestState::Approved => Tone::Good,
        RequestState::Denied => Tone::Bad,
        RequestState::Cancelled | RequestState::Expired => Tone::Dim,
    };
    output.tone(tone, state)
}

/// A grant's state in its colour.
pub(crate) fn grant_state(output: &Output, state: GrantState) -> String {
    let tone = match state {
        GrantState::Scheduled => Tone::Waiting,
        GrantState::Active => Tone::Good,
        GrantState::Revoked => Tone::Bad,
        GrantState::Expired | GrantState::Released => Tone::Dim,
    };
    output.tone(tone, state)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn places_read_as_people_type_them() {
        for text in ["root@web1", "root+web1"] {
            let place: Place = text.parse().unwrap();
            assert_eq!((place.login.as_str(), place.target.as_str()), ("root", "web1"), "{text}");
        }
        assert_eq!("deploy@db.prod.example.org".parse::<Place>().unwrap().target.as_str(), "db.prod.example.org");
    }

    #[test]
    fn what_is_no_place_says_why() {
        for (text, word) in [
            ("web1", "LOGIN@TARGET"),
            ("", "LOGIN@TARGET"),
            ("@web1", "login is empty"),
            ("root@", "target name is empty"),
            ("-oProxyCommand=x@web1", "login"),
            ("root@web1 ", "' '"),
            ("root@a@b", "'@'"),
            ("root@-w", "'-'"),
        ] {
            let error = text.parse::<Place>().unwrap_err();
            assert!(error.contains(word), "{text}: {error}");
        }
    }

    #[test]
    fn labels_read() {
        let pair: Pair = "env=prod=x".parse().unwrap();
        assert_eq!((pair.key.as_str(), pair.value.as_str()), ("env", "prod=x"));
        assert!("env".parse::<Pair>().is_err());
        assert!("=x".parse::<Pair>().is_err());
    }

    #[test]
    fn distances_have_a_direction_and_two_units() {
        let now = Timestamp::from_seconds(1_000_000);
        let at = |seconds: u64| Timestamp::from_seconds(seconds);
        assert_eq!(distance(now, at(1_000_720)), "in 12m");
        assert_eq!(distance(now, at(1_000_000 - 3_723)), "1h2m ago");
        assert_eq!(distance(now, at(1_000_000 + 90_061)), "in 1d1h");
        assert_eq!(distance(now, now), "now");
        assert_eq!(clock(at(0)), "1970-01-01T00:00:00Z");
    }

    #[test]
    fn sizes_have_one_digit_behind_the_point() {
        assert_eq!(bytes(999), "999 B");
        assert_eq!(bytes(1536), "1.5 KiB");
        assert_eq!(bytes(3 << 30), "3.0 GiB");
    }

    #[test]
    fn a_printed_command_survives_a_shell() {
        assert_eq!(shell_word("root+web1"), "root+web1");
        assert_eq!(shell_word("it's \"x\""), "'it'\\''s \"x\"'");
        assert_eq!((shell_word(""), shell_word("~bob"), shell_word("a~")), ("''".into(), "'~bob'".into(), "a~".into()));
    }
}
