//! Lists, page by page, up to a limit: nobody reads ten thousand lines, and a script has `ledger export`.

use api::wire::{self, Page};
use api::{Client, ClientError, RecordingFilter};

use crate::error::CliError;

/// The most items that one list shows.
const LIMIT: usize = 10_000;

/// Collects the pages that a call answers with.
macro_rules! every {
    ($after:ident => $call:expr) => {{
        let mut items = Vec::new();
        let mut next: Option<String> = None;
        loop {
            let page: Result<Page<_>, ClientError> = {
                let $after = next.as_deref();
                $call.await
            };
            let page = page?;
            let empty = page.items.is_empty();
            items.extend(page.items);
            next = page.next;
            if next.is_none() || empty || items.len() >= LIMIT {
                break Ok(items);
            }
        }
    }};
}

/// Requests, newest first.
pub(crate) async fn requests(client: &Client, state: Option<&str>, mine: bool) -> Result<Vec<wire::Request>, CliError> {
    every!(after => client.requests(state, mine, after))
}

/// Grants, newest first.
pub(crate) async fn grants(client: &Client, state: Option<&str>, mine: bool) -> Result<Vec<wire::Grant>, CliError> {
    every!(after => client.grants(state, mine, after))
}

/// Sessions, newest first.
pub(crate) async fn sessions(client: &Client, live: bool) -> Result<Vec<wire::Session>, CliError> {
    every!(after => client.sessions(live, after))
}

/// Recordings, newest first.
pub(crate) async fn recordings(
    client: &Client,
    filter: &RecordingFilter<'_>,
) -> Result<Vec<wire::Recording>, CliError> {
    every!(after => client.recordings(&RecordingFilter { after, ..*filter }))
}

/// Certificates, newest first.
pub(crate) async fn certificates(client: &Client) -> Result<Vec<wire::Certificate>, CliError> {
    every!(after => client.certificates(after))
}
