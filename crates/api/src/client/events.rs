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
    buffer: Vec<u8>,
    url: String,
}

/// What a feed says.
#[derive(Debug)]
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
        Ok(EventStream { response, buffer: Vec::new(), url: self.url.to_string() })
    }
}

impl EventStream {
    /// The next thing that the feed says. After an error, open a new feed from behind the last fact that was heard.
    ///
    /// # Errors
    /// The connection broke, fell silent, or said something that is no event.
    pub async fn next(&mut self) -> Result<Heard, ClientError> {
        loop {
            if let Some(block) = self.take_block() {
                if let Some(heard) = self.read_block(&block)? {
                    return Ok(heard);
                }
                continue;
            }
            if self.buffer.len() > EVENT_LIMIT {
                return Err(self.unreadable(format!("an event is longer than {EVENT_LIMIT} bytes")));
            }
            match tokio::time::timeout(SILENCE, self.response.chunk()).await {
                Err(_) => return Err(ClientError::Timeout { url: self.url.clone(), timeout: SILENCE }),
                Ok(Err(source)) => return Err(ClientError::Unreachable { url: self.url.clone(), source }),
                Ok(Ok(None)) => return Err(self.unreadable("the feed ended".to_owned())),
                Ok(Ok(Some(chunk))) => self.buffer.extend_from_slice(&chunk),
            }
        }
    }

    /// Takes the bytes up to the next blank line.
    fn take_block(&mut self) -> Option<Vec<u8>> {
        let end = self.buffer.windows(2).position(|pair| pair == b"\n\n")?;
        let mut block: Vec<u8> = self.buffer.drain(..end + 2).collect();
        block.truncate(end);
        Some(block)
    }

    fn read_block(&self, block: &[u8]) -> Result<Option<Heard>, ClientError> {
        let text = std::str::from_utf8(block).map_err(|error| self.unreadable(error.to_string()))?;
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
        let record = serde_json::from_str(&data).map_err(|error| self.unreadable(error.to_string()))?;
        Ok(Some(Heard::Fact(Box::new(record))))
    }

    fn unreadable(&self, what: String) -> ClientError {
        ClientError::Answer { url: self.url.clone(), what }
    }
}
