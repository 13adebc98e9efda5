//! Ids as people type them: whole, as a unique beginning ("req-x7", or "x7"), or as `LOGIN@TARGET` for a grant.

use api::Client;
use api::ids::{Unclear, beginning};
use api::wire::{self, GrantState};
use identity::strict::nearest;
use model::{LockId, LockSubject, RecordingId, RequestId, SessionId};

use crate::error::{CliError, Kind};
use crate::pages;
use crate::words::Place;

/// The request that `text` means.
pub(crate) async fn request(client: &Client, text: &str) -> Result<RequestId, CliError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let all = pages::requests(client, None, false).await?;
    unique(text, RequestId::PREFIX, "request", "portcullis requests --all", all.into_iter().map(|item| item.id))
}

/// The grant that `text` means; `LOGIN@TARGET` means the active or scheduled one of the caller.
pub(crate) async fn grant(client: &Client, text: &str) -> Result<RequestId, CliError> {
    match Place::typed(text) {
        Some(place) => match own_grant(client, &place).await? {
            Some(grant) => Ok(grant.id),
            None => Err(no_grant(client, &place).await),
        },
        None => grant_by_id(client, text).await,
    }
}

/// The grant that `text` means; `LOGIN@TARGET` means the only open one there, whoever holds it.
pub(crate) async fn anyones_grant(client: &Client, text: &str) -> Result<RequestId, CliError> {
    let Some(place) = Place::typed(text) else { return grant_by_id(client, text).await };
    let open = open_grants(client, &place, false).await?;
    match open.as_slice() {
        [only] => Ok(only.id.clone()),
        [] => Err(CliError::new(
            Kind::NotFound,
            format!("no grant for {place} is open"),
            "portcullis grants lists those that are",
        )),
        many => {
            let each = crate::words::listed(many.iter().map(|grant| format!("{} ({})", grant.id, grant.identity)));
            Err(CliError::usage(format!("{} grants for {place} are open: {each}", many.len()), "name one by its id"))
        }
    }
}

async fn grant_by_id(client: &Client, text: &str) -> Result<RequestId, CliError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let all = pages::grants(client, None, false).await?;
    unique(text, RequestId::PREFIX, "grant", "portcullis grants --all", all.into_iter().map(|item| item.id))
}

/// The session that `text` means.
pub(crate) async fn session(client: &Client, text: &str) -> Result<SessionId, CliError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let all = pages::sessions(client, false).await?;
    unique(text, SessionId::PREFIX, "session", "portcullis sessions --all", all.into_iter().map(|item| item.id))
}

/// The lock that `text` means.
pub(crate) async fn lock(client: &Client, text: &str) -> Result<LockId, CliError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    let all = client.locks().await?.items;
    let matching: Vec<_> = all.iter().filter(|lock| lock.subject == text).collect();
    match matching.as_slice() {
        [] if text.parse::<LockSubject>().is_ok() => {
            let message = format!("{text} is not locked, as far as you may see");
            return Err(CliError::new(Kind::NotFound, message, "portcullis locks shows what is"));
        }
        [] => {}
        [only] => return Ok(only.id.clone()),
        many => {
            let each = crate::words::listed(many.iter().map(|lock| lock.id.to_string()));
            let message = format!("{} locks hold {text}: {each}", many.len());
            return Err(CliError::usage(message, "name one by its id; it is free once all are lifted"));
        }
    }
    unique(text, LockId::PREFIX, "lock", "portcullis locks", all.into_iter().map(|item| item.id))
}

/// The recording that `text` means; a session's id means its only recording.
pub(crate) async fn recording(client: &Client, text: &str) -> Result<RecordingId, CliError> {
    if let Ok(id) = text.parse() {
        return Ok(id);
    }
    if text.starts_with(SessionId::PREFIX) {
        let id = session(client, text).await?;
        let recordings = client.get_session(&id).await?.recordings;
        return match recordings.as_slice() {
            [only] => Ok(only.clone()),
            [] => Err(CliError::new(
                Kind::NotFound,
                format!("{id} has no recording"),
                "portcullis recordings lists what there is",
            )),
            many => Err(CliError::usage(
                format!("{id} has {} recordings: {}", many.len(), crate::words::listed(many)),
                "name one of them",
            )),
        };
    }
    let all = pages::recordings(client, &api::RecordingFilter::default()).await?;
    unique(text, RecordingId::PREFIX, "recording", "portcullis recordings", all.into_iter().map(|item| item.id))
}

/// Whether somebody meant a file: no id holds a slash or a dot.
pub(crate) fn names_a_file(text: &str) -> bool {
    text.contains('/') || text.contains('.')
}

/// The caller's own grant for a place: the active one that ends last, else a scheduled one.
pub(crate) async fn own_grant(client: &Client, place: &Place) -> Result<Option<wire::Grant>, CliError> {
    Ok(own_grants(client, place).await?.pop())
}

/// The caller's own open grants for a place; the best one, which is active and ends last, stands last.
pub(crate) async fn own_grants(client: &Client, place: &Place) -> Result<Vec<wire::Grant>, CliError> {
    let mut found = open_grants(client, place, true).await?;
    found.sort_by_key(|grant| (grant.state == GrantState::Active, grant.ends));
    Ok(found)
}

/// The caller's own request for a place that still waits for its decision: the newest one.
pub(crate) async fn own_pending(client: &Client, place: &Place) -> Result<Option<wire::Request>, CliError> {
    let pending = pages::requests(client, Some("pending"), true).await?;
    let here = |request: &wire::Request| request.login == place.login && request.target == place.target;
    // One for more time belongs to a grant, which was looked for first.
    Ok(pending.into_iter().find(|request| here(request) && request.extends.is_none()))
}

async fn open_grants(client: &Client, place: &Place, mine: bool) -> Result<Vec<wire::Grant>, CliError> {
    let mut grants = pages::grants(client, None, mine).await?;
    grants.retain(|grant| {
        let here = grant.login == place.login && grant.target == place.target;
        here && matches!(grant.state, GrantState::Active | GrantState::Scheduled)
    });
    Ok(grants)
}

/// That there is no grant, and how to get one: for the place itself, or for the nearest one that may be asked for.
pub(crate) async fn no_grant(client: &Client, place: &Place) -> CliError {
    let targets = client.targets().await.map(|page| page.items).unwrap_or_default();
    let open =
        targets.iter().flat_map(|target| target.logins.iter().map(move |login| format!("{login}@{}", target.name)));
    let open: Vec<String> = open.collect();
    let typed = place.to_string();
    let near = nearest(&typed, open.iter().map(String::as_str)).filter(|near| *near != typed);
    let hint = match near {
        Some(near) if !open.contains(&typed) => format!("did you mean {near}? portcullis target list shows the others"),
        Some(_) | None => format!("ask for one: portcullis request {place} --for 30m --reason \"why\""),
    };
    CliError::new(Kind::NotFound, format!("you have no active grant for {place}"), hint)
}

/// The one id that begins with `text`, with or without its kind in front.
fn unique<I: std::fmt::Display>(
    text: &str,
    prefix: &str,
    kind: &str,
    list: &str,
    ids: impl Iterator<Item = I>,
) -> Result<I, CliError> {
    let shown: String = text.chars().take(64).collect();
    let lead = format!("{prefix}-");
    let ids: Vec<I> = ids.collect();
    let all: Vec<String> = ids.iter().map(ToString::to_string).collect();
    match api::ids::unique(text, prefix, ids) {
        Ok(only) => Ok(only),
        Err(Unclear::Nonsense) => Err(CliError::usage(
            format!("{shown:?} is no {kind} id"),
            format!("ids read {lead}…, and the beginning of one is enough: {list} shows them"),
        )),
        Err(Unclear::Several(matching)) => {
            let few = matching.iter().take(5).map(ToString::to_string).collect::<Vec<_>>().join(", ");
            Err(CliError::usage(
                format!("{} {kind} ids begin with {shown:?}: {few}", matching.len()),
                "type one more character",
            ))
        }
        Err(Unclear::Unknown) => {
            let begin = beginning(text, prefix).unwrap_or_default();
            // The beginning of each, as long as what was typed: a slip of the finger is near one of them. What is shorter
            // than this is near everything.
            let short = |id: &String| id.strip_prefix(&lead).map(|rest| rest.chars().take(begin.len()).collect());
            let known: Vec<String> = all.iter().filter_map(short).filter(|_| begin.len() >= 4).collect();
            let near = nearest(&begin, known.iter().map(String::as_str)).map(|near| format!("{lead}{near}"));
            let fits = |id: &&String| near.as_ref().is_some_and(|near| id.starts_with(near));
            let meant: Vec<&String> = all.iter().filter(fits).collect();
            let hint = match meant.as_slice() {
                [only] => format!("did you mean {only}? {list} shows them"),
                [] | [..] => format!("{list} shows them"),
            };
            let message = format!("no {kind} that you may see has an id that begins with {shown:?}");
            Err(CliError::new(Kind::NotFound, message, hint))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(text: &str) -> Result<String, CliError> {
        let ids = ["req-x70000000000", "req-x71111111111", "req-y00000000000"].map(str::to_owned);
        unique(text, "req", "request", "portcullis requests", ids.into_iter())
    }

    #[test]
    fn the_beginning_of_an_id_is_enough_when_it_is_unique() {
        for text in ["req-y", "y", "Y0", "req-y00000000000"] {
            assert_eq!(find(text).unwrap(), "req-y00000000000", "{text}");
        }
        assert_eq!(find("x71").unwrap(), "req-x71111111111");
    }

    #[test]
    fn two_that_begin_alike_are_named() {
        let error = find("x7").unwrap_err();
        assert_eq!(error.kind(), Kind::Usage);
        assert!(error.message().contains("req-x70000000000, req-x71111111111"), "{error}");
    }

    #[test]
    fn a_slip_of_the_finger_names_the_nearest() {
        let error = find("req-y01000000000").unwrap_err();
        assert_eq!(error.kind(), Kind::NotFound);
        assert!(error.hint().starts_with("did you mean req-y00000000000?"), "{}", error.hint());
        // So little is near everything.
        assert!(!find("z").unwrap_err().hint().contains("did you mean"));
    }

    #[test]
    fn nothing_and_nonsense_differ() {
        assert_eq!(find("z").unwrap_err().kind(), Kind::NotFound);
        for text in ["", "req-", "a b", "0123456789abcdef", "../x"] {
            assert_eq!(find(text).unwrap_err().kind(), Kind::Usage, "{text:?}");
        }
    }
}
