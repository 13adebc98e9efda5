//! The feed of facts as server-sent events (WHATWG HTML, section 9.2).

use std::convert::Infallible;

use api::Problem;
use axum::extract::{Extension, State};
use axum::http::{HeaderMap, HeaderName};
use axum::response::sse::{Event, Sse};
use axum::response::{IntoResponse, Response};
use futures_util::stream;
use model::Seq;
use serde::Deserialize;
use std::sync::Arc;

use super::Shared;
use super::extract::{Query, Who};
use super::gate::{Bearer, FeedPlace, Feeds};
use super::problem::Fault;
use crate::app::{AppError, Feed, Told};

/// Where to begin.
#[derive(Deserialize, utoipa::IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub(super) struct From {
    /// From this place of the ledger on; absent: what comes from now on.
    from: Option<u64>,
}

/// Every fact that the caller may see, in the order of the ledger and live. The id of an event is the place of its
/// fact; the header `Last-Event-ID` goes on behind one. A comment comes at least every five seconds and says up to
/// where all was told.
#[utoipa::path(get, path = "/v1/events", tag = "ledger", security(("token" = [])),
    params(From, ("Last-Event-ID" = Option<u64>, Header, description = "The id of the last event that was heard")),
    responses((status = 200, content_type = "text/event-stream"), (status = "default", body = Problem)))]
pub(super) async fn events(
    State(app): State<Shared>,
    Who(caller): Who,
    Extension(Bearer(token)): Extension<Bearer>,
    Extension(feeds): Extension<Arc<Feeds>>,
    headers: HeaderMap,
    Query(from): Query<From>,
) -> Result<Response, Fault> {
    let from = match last_event(&headers)? {
        Some(last) => Some(last.next()),
        None => from.from.map(Seq),
    };
    let place = feeds.take(caller.subject())?;
    let feed = app.events(&caller, &token, from)?;
    let events = stream::unfold(Some((feed, place)), |open| async {
        let (mut feed, place) = open?;
        next(&mut feed).await.map(|event| (Ok::<_, Infallible>(event), Some::<(Feed, FeedPlace)>((feed, place))))
    });
    // A proxy in front of the API must not hold events back.
    let headers = [(HeaderName::from_static("x-accel-buffering"), "no")];
    Ok((headers, Sse::new(events)).into_response())
}

/// The next event; `None` ends the feed, and the client goes on with a new one.
async fn next(feed: &mut Feed) -> Option<Event> {
    match feed.next().await {
        Ok(Some(Told::Fact(record))) => match ledger::encode(&record) {
            Ok(bytes) => {
                let data = String::from_utf8_lossy(&bytes).into_owned();
                Some(Event::default().id(record.seq.to_string()).event("fact").data(data))
            }
            Err(error) => {
                tracing::error!(%error, seq = %record.seq, "a recorded fact has no canonical form");
                None
            }
        },
        Ok(Some(Told::Quiet(seq))) => Some(Event::default().comment(format!("all before {seq} was told"))),
        Ok(None) => None,
        Err(error) => {
            tracing::error!(%error, "a feed of events broke off");
            None
        }
    }
}

fn last_event(headers: &HeaderMap) -> Result<Option<Seq>, AppError> {
    let Some(value) = headers.get("last-event-id") else { return Ok(None) };
    let read = value.to_str().ok().and_then(|text| text.trim().parse().ok());
    read.map(|seq| Some(Seq(seq))).ok_or_else(|| AppError::Invalid("the Last-Event-ID is no number".to_owned()))
}
