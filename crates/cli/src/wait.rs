//! Waiting for people: until a request is decided, by the feed of events, or by asking again where there is none.

use std::time::{Duration, Instant};

use api::wire::{Request, RequestState};
use api::{Client, ClientError, EventStream, Heard};
use model::RequestId;

use crate::error::{CliError, Kind};

/// How often to ask when the feed is not to be had.
const POLL: Duration = Duration::from_secs(2);
/// A feed is trusted to wake us, and checked this often all the same.
const CHECK: Duration = Duration::from_secs(30);

/// How many calls in a row may fail while the CA restarts.
const PATIENCE: u32 = 60;

/// How a wait ended.
pub(crate) enum Waited {
    /// The request is no longer pending.
    Decided(Box<Request>),
    /// Ctrl-C.
    Interrupted,
}

/// Waits until the request is no longer pending. `seen` is told each state of it that is new.
///
/// # Errors
/// The limit passed, or the API failed for good.
pub(crate) async fn decided(
    client: &Client,
    id: &RequestId,
    limit: Option<Duration>,
    mut seen: impl FnMut(&Request),
) -> Result<Waited, CliError> {
    let interrupted = tokio::signal::ctrl_c();
    tokio::pin!(interrupted);
    let until = limit.map(|limit| Instant::now() + limit);
    // The feed begins where the ledger ends now, and only then is the request read: nothing falls between the two.
    let mut feed = open(client).await;
    let mut failures = 0_u32;
    loop {
        match client.get_request(id).await {
            Ok(request) => {
                failures = 0;
                seen(&request);
                if request.state != RequestState::Pending {
                    return Ok(Waited::Decided(Box::new(request)));
                }
            }
            // A CA that restarts is no reason to give up a request that waits for a person.
            Err(error) if passing(&error) && failures < PATIENCE => {
                failures += 1;
                feed = None;
            }
            Err(error) => return Err(error.into()),
        }
        let news = async {
            match feed.as_mut() {
                Some(feed) => heard(feed, id).await,
                None => {
                    tokio::time::sleep(POLL).await;
                    true
                }
            }
        };
        let left = until.map_or(CHECK, |until| until.saturating_duration_since(Instant::now()));
        if left.is_zero() {
            return Err(CliError::new(
                Kind::TimedOut,
                format!("{id} is still pending"),
                format!(
                    "it stays so: portcullis requests {id} shows it, portcullis cert {id} --wait goes on once approved"
                ),
            ));
        }
        tokio::select! {
            alive = news => if !alive { feed = None; },
            () = tokio::time::sleep(left.min(CHECK)) => {}
            _ = &mut interrupted => return Ok(Waited::Interrupted),
        }
        if feed.is_none() && failures == 0 {
            feed = open(client).await;
        }
    }
}

/// Whether an error may be gone at the next try.
fn passing(error: &ClientError) -> bool {
    match error {
        ClientError::Problem(problem) => problem.status >= 500 || problem.status == 429,
        ClientError::Unreachable { .. } | ClientError::Timeout { .. } => true,
        ClientError::Answer { .. } | ClientError::Credentials(_) | ClientError::Options(_) => false,
    }
}

/// The feed from the end of the ledger on, when it is to be had.
async fn open(client: &Client) -> Option<EventStream> {
    let from = client.status().await.ok()?.records;
    client.events(from).await.ok()
}

/// Whether the feed lives; returns once it says something about the request.
async fn heard(feed: &mut EventStream, id: &RequestId) -> bool {
    loop {
        match feed.next().await {
            Ok(Heard::Fact(record)) if record.entry.correlation.as_str() == id.as_str() => return true,
            Ok(Heard::Fact(_) | Heard::Alive) => {}
            Err(_) => return false,
        }
    }
}
