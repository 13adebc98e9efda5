use std::sync::atomic::{AtomicUsize, Ordering};

use api::wire::{CaKeys, HostSubject, OpenSession, OpenedSession, Recovered};
use async_trait::async_trait;

use super::*;
use crate::control::{Feed, HostCertificate};

/// A CA with a body limit and a memory.
#[derive(Default)]
struct Strict {
    taken: Mutex<Vec<String>>,
    calls: AtomicUsize,
    /// Refuses reports of this kind of request, with this code.
    refuses: Option<(&'static str, &'static str)>,
    /// Keeps what the first call brings, and loses the answer.
    forgetful: bool,
}

fn refusal(code: &str) -> ControlError {
    ControlError::Refused { code: code.to_owned(), sentence: code.to_owned(), hint: None }
}

#[async_trait]
impl Control for Strict {
    async fn report(&self, _: &SessionId, reports: Vec<SessionReport>) -> Result<(), ControlError> {
        let first = self.calls.fetch_add(1, Ordering::SeqCst) == 0;
        if serde_json::to_vec(&reports).unwrap().len() > 1 << 20 {
            return Err(refusal("too-large"));
        }
        let mut answer = Ok(());
        let mut taken = self.taken.lock().unwrap();
        for report in reports {
            let text = json(&report);
            match (&report, self.refuses) {
                (SessionReport::ChannelRefused { asked, .. }, Some((what, code))) if asked == what => {
                    answer = Err(refusal(code));
                }
                (SessionReport::ChannelOpened { .. }, _) if taken.contains(&text) => answer = Err(refusal("id-taken")),
                _ => taken.push(text),
            }
        }
        if first && self.forgetful {
            return Err(ControlError::Unavailable("the answer is lost".to_owned()));
        }
        answer
    }

    async fn keys(&self) -> Result<CaKeys, ControlError> {
        Err(refusal("unused"))
    }

    async fn open(&self, _: &OpenSession) -> Result<OpenedSession, ControlError> {
        Err(refusal("unused"))
    }

    async fn host_certificate(&self, _: HostSubject, _: &str) -> Result<HostCertificate, ControlError> {
        Err(refusal("unused"))
    }

    async fn recovered(&self, _: &Recovered) -> Result<(), ControlError> {
        Err(refusal("unused"))
    }

    async fn position(&self) -> Result<u64, ControlError> {
        Err(refusal("unused"))
    }

    async fn follow(&self, _: u64) -> Result<Box<dyn Feed>, ControlError> {
        Err(refusal("unused"))
    }
}

/// Sends these, and returns what the CA has and what was said of refusals.
async fn send(authority: Strict, reports: Vec<SessionReport>) -> (Vec<String>, Vec<String>) {
    let authority = Arc::new(authority);
    let refused = Arc::new(Mutex::new(Vec::new()));
    let said = refused.clone();
    let reporter = Reporter::new(authority.clone(), |_, _| {}, move |_, why| said.lock().unwrap().push(why));
    let session = SessionId::from_random(1);
    for report in reports {
        reporter.send(&session, report).unwrap();
    }
    tokio::time::timeout(Duration::from_secs(20), reporter.drained()).await.expect("all is sent");
    (authority.taken.lock().unwrap().clone(), refused.lock().unwrap().clone())
}

fn json(report: &SessionReport) -> String {
    serde_json::to_string(report).unwrap()
}

fn opened(channel: u32, command: &str) -> SessionReport {
    let channel_kind = ChannelKind::Exec { command: command.to_owned() };
    SessionReport::ChannelOpened { channel, channel_kind, pty: None }
}

fn asked(what: &str) -> SessionReport {
    SessionReport::ChannelRefused { asked: what.to_owned(), reason: "no".to_owned() }
}

#[tokio::test]
async fn no_command_is_too_long_for_the_ledger() {
    let long = "\u{1}".repeat(200_000);
    let all: Vec<_> = (0..64).map(|channel| opened(channel, &long)).collect();
    let (taken, refused) = send(Strict::default(), all).await;
    assert_eq!(taken.len(), 64, "every one is known");
    assert!(refused.is_empty());
    let SessionReport::ChannelOpened { channel_kind: ChannelKind::Exec { command }, .. } =
        serde_json::from_str(&taken[63]).unwrap()
    else {
        panic!("{}", taken[63])
    };
    let digest = hex::encode(Sha256::digest(long.as_bytes()));
    assert!(command.starts_with(&long[..TEXT]) && command.len() < TEXT + 200, "{}", command.len());
    assert!(command.ends_with(&format!("… (200000 bytes, sha256 {digest})")), "{command}");
}

#[tokio::test]
async fn batches_are_cut_by_their_size() {
    let text = "\u{1}".repeat(TEXT);
    let (taken, _) = send(Strict::default(), (0..64).map(|n| opened(n, &text)).collect()).await;
    assert_eq!(taken.len(), 64);
    let inner = Inner {
        control: Arc::new(Strict::default()),
        delivered: Box::new(|_, _| {}),
        refused: Box::new(|_, _| {}),
        calls: Semaphore::new(1),
        queues: Mutex::default(),
        empty: Mutex::default(),
    };
    let session = SessionId::from_random(1);
    inner.lock().insert(session.clone(), (0..64).map(|n| opened(n, &text)).collect());
    let batch = inner.next(&session, BATCH).unwrap();
    assert!(batch.len() > 1 && serde_json::to_vec(&batch).unwrap().len() <= BATCH_BYTES + 2);
}

#[tokio::test]
async fn one_refusal_takes_nothing_with_it_and_is_not_silent() {
    let authority = Strict { refuses: Some(("bad", "invalid")), ..Strict::default() };
    let (taken, refused) = send(authority, vec![asked("a"), asked("bad"), opened(1, "id"), asked("b")]).await;
    for report in [asked("a"), opened(1, "id"), asked("b")] {
        assert!(taken.contains(&json(&report)), "{report:?} is missing of {taken:?}");
    }
    assert_eq!(taken.iter().filter(|report| **report == json(&opened(1, "id"))).count(), 1);
    assert_eq!(refused.len(), 1, "{refused:?}");
    assert!(refused[0].contains("invalid"));
}

#[tokio::test]
async fn a_fact_that_is_there_already_counts_as_delivered() {
    let authority = Strict { forgetful: true, ..Strict::default() };
    let (taken, refused) = send(authority, vec![opened(1, "id"), opened(2, "id")]).await;
    assert_eq!(taken, [json(&opened(1, "id")), json(&opened(2, "id"))]);
    assert!(refused.is_empty(), "{refused:?}");
}

#[test]
fn a_cut_text_stays_text() {
    let text = format!("{}€{}", "a".repeat(TEXT - 1), "b".repeat(10));
    assert!(clip(text).starts_with(&format!("{}… (", "a".repeat(TEXT - 1))));
    assert_eq!(clip("short".to_owned()), "short");
}
