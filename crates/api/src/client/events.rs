//! The feed of facts: server-sent events (WHATWG HTML, section 9.2) with resumable ids.

use std::time::Duration;

use model::Record;

use super::{Client, ClientError};

/// The longest silence before a feed counts as dead; the API sends a comment at least every five seconds.
const SILENCE: Duration = Duration::from_secs(15);
/// The longest event that is accepted, in bytes.
const EVENT_LIMIT: usize = 4 << 20;

/// An open feed.
pub struct EventStream {
    response: reqwest::Response,
    blocks: Blocks,
    url: String,
}

/// What a feed says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Heard {
    /// A fact, in the order of the ledger.
    Fact(Box<Record>),
    /// The API is alive and has nothing new.
    Alive,
}

impl Client {
    /// `GET /v1/events`: every fact that the caller may see, from `from` on, then live.
    ///
    /// # Errors
    /// Any error of a call.
    pub async fn events(&self, from: u64) -> Result<EventStream, ClientError> {
        if self.current_token().is_none() && self.credentials.is_some() {
            self.login().await?;
        }
        let open = || async {
            let request = self
                .request(reqwest::Method::GET, &format!("/v1/events?from={from}"))
                .header("Accept", "text/event-stream");
            let answer = tokio::time::timeout(self.timeout, request.send()).await;
            let sent = answer
                .map_err(|_| ClientError::Timeout { url: self.url.to_string(), timeout: self.timeout })?
                .map_err(|error| self.failed(error))?;
            self.checked(sent).await
        };
        let response = match open().await {
            Err(ClientError::Problem(problem)) if problem.status == 401 && self.credentials.is_some() => {
                self.login().await?;
                open().await?
            }
            answer => answer?,
        };
        Ok(EventStream { response, blocks: Blocks::default(), url: self.url.to_string() })
    }
}

impl EventStream {
    /// The next thing that the feed says. After an error, open a new feed from behind the last fact that was heard.
    ///
    /// # Errors
    /// The connection broke, fell silent, or said something that is no event.
    pub async fn next(&mut self) -> Result<Heard, ClientError> {
        loop {
            if let Some(heard) = self.blocks.next().map_err(|what| self.unreadable(what))? {
                return Ok(heard);
            }
            match tokio::time::timeout(SILENCE, self.response.chunk()).await {
                Err(_) => return Err(ClientError::Timeout { url: self.url.clone(), timeout: SILENCE }),
                Ok(Err(source)) => return Err(ClientError::Unreachable { url: self.url.clone(), source }),
                Ok(Ok(None)) => return Err(self.unreadable("the feed ended".to_owned())),
                Ok(Ok(Some(chunk))) => self.blocks.push(&chunk),
            }
        }
    }

    fn unreadable(&self, what: String) -> ClientError {
        ClientError::Answer { url: self.url.clone(), what }
    }
}

/// The bytes of a feed, cut at blank lines and read. Pure.
#[derive(Debug, Default)]
pub(crate) struct Blocks {
    buffer: Vec<u8>,
    /// No blank line begins before here.
    looked: usize,
}

impl Blocks {
    /// Takes what came, however it was cut.
    pub(crate) fn push(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// The next thing that the feed says; `None` until more has come.
    ///
    /// # Errors
    /// What it says is no event, or too long for one.
    pub(crate) fn next(&mut self) -> Result<Option<Heard>, String> {
        while let Some(block) = self.take() {
            if let Some(heard) = read(&block)? {
                return Ok(Some(heard));
            }
        }
        match self.buffer.len() > EVENT_LIMIT {
            true => Err(format!("an event is longer than {EVENT_LIMIT} bytes")),
            false => Ok(None),
        }
    }

    /// Takes the bytes up to the next blank line.
    fn take(&mut self) -> Option<Vec<u8>> {
        let fresh = self.buffer.get(self.looked..).unwrap_or_default();
        let Some(end) = fresh.windows(2).position(|pair| pair == b"\n\n").map(|at| at + self.looked) else {
            // The last byte may be the first half of one. What was looked at once is not looked at again: an event of
            // megabytes comes in very many pieces.
            self.looked = self.buffer.len().saturating_sub(1);
            return None;
        };
        self.looked = 0;
        let mut block: Vec<u8> = self.buffer.drain(..end + 2).collect();
        block.truncate(end);
        Some(block)
    }
}

fn read(block: &[u8]) -> Result<Option<Heard>, String> {
    let text = std::str::from_utf8(block).map_err(|error| error.to_string())?;
    let mut data = String::new();
    let mut comment = false;
    for line in text.lines() {
        if let Some(rest) = line.strip_prefix("data:") {
            if !data.is_empty() {
                data.push('\n');
            }
            data.push_str(rest.strip_prefix(' ').unwrap_or(rest));
        } else if line.starts_with(':') {
            comment = true;
        }
    }
    if data.is_empty() {
        return Ok(comment.then_some(Heard::Alive));
    }
    let record = serde_json::from_str(&data).map_err(|error| error.to_string())?;
    Ok(Some(Heard::Fact(Box::new(record))))
}

#[cfg(test)]
mod tests {
    use super::*;

    const FEED: &str = concat!(
        ": alive\n\n",
        "id: 7\ndata: {\"seq\":7,\"time\":1,\"actor\":{\"identity\":\"alice\"},\"correlation\":\"req-000000000007\",\"fact\":{\"kind\":\"request.cancelled\",\"request\":\"req-000000000007\"}}\n\n",
        "retry: 1000\n\n: alive\n\n",
    );

    fn heard(pieces: &[&[u8]]) -> Result<Vec<Heard>, String> {
        let (mut blocks, mut all) = (Blocks::default(), Vec::new());
        for piece in pieces {
            blocks.push(piece);
            while let Some(heard) = blocks.next()? {
                all.push(heard);
            }
        }
        Ok(all)
    }

    #[test]
    fn a_feed_says_the_same_however_it_is_cut() {
        let whole = heard(&[FEED.as_bytes()]).unwrap();
        assert!(matches!(whole.as_slice(), [Heard::Alive, Heard::Fact(_), Heard::Alive]), "{whole:?}");
        for size in 1..FEED.len() {
            assert_eq!(heard(&FEED.as_bytes().chunks(size).collect::<Vec<_>>()).as_ref(), Ok(&whole), "{size}");
        }
    }

    #[test]
    fn what_is_no_event_is_said_to_be_none_and_nothing_grows_without_end() {
        for feed in ["data: {}\n\n", "data: x\n\n"] {
            assert!(heard(&[feed.as_bytes()]).is_err(), "{feed}");
        }
        assert!(heard(&[b"data: \xff\n\n"]).is_err());
        let endless = vec![b'x'; EVENT_LIMIT + 1];
        assert!(heard(&[&endless]).unwrap_err().contains("longer"));
    }
}
