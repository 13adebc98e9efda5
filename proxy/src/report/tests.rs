use model::ChannelKind;
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
    /// Keeps so many reports of the calls with these numbers, and loses their answers.
    loses: Vec<(usize, usize)>,
}

fn refusal(code: &str) -> ControlError {
    ControlError::Refused { code: code.to_owned(), sentence: code.to_owned(), hint: None }
}

#[async_trait]
impl Control for Strict {
    async fn report(
        &self,
        _: &SessionId,
        told: Option<u64>,
        reports: Vec<SessionReport>,
    ) -> Result<usize, ControlError> {
        let call = self.calls.fetch_add(1, Ordering::SeqCst);
        if serde_json::to_vec(&reports).unwrap().len() > 1 << 20 {
            return Err(refusal("too-large"));
        }
        let lost = self.loses.iter().find(|(lost, _)| *lost == call).map(|(_, kept)| *kept);
        let mut taken = self.taken.lock().unwrap();
        let told = usize::try_from(told.unwrap()).unwrap();
        assert!(told <= taken.len(), "it believes in more than there is");
        for (place, report) in reports.iter().take(lost.unwrap_or(usize::MAX)).enumerate() {
            if taken.len() > told + place {
                assert_eq!(taken[told + place], json(report), "in the same place");
                continue;
            }
            match (report, self.refuses) {
                (SessionReport::ChannelRefused { asked, .. }, Some((what, code))) if asked == what && place == 0 => {
                    return Err(refusal(code));
                }
                (SessionReport::ChannelRefused { asked, .. }, Some((what, _))) if asked == what => return Ok(place),
                _ => taken.push(json(report)),
            }
        }
        match lost {
            Some(_) => Err(ControlError::Unavailable("the answer is lost".to_owned())),
            None => Ok(reports.len()),
        }
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
    let reports = (0..64).map(|n| opened(n, &text)).collect();
    inner.lock().insert(session.clone(), Queue { reports, ..Queue::default() });
    let (_, batch) = inner.next(&session, BATCH).unwrap();
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
async fn a_lost_answer_doubles_nothing() {
    // The same thing refused twice is two facts, told apart by nothing but their places.
    let all = vec![opened(1, "id"), asked("x11"), asked("x11"), opened(2, "id"), asked("x11")];
    for kept in 0..=all.len() {
        let authority = Strict { loses: vec![(0, kept), (1, kept + 1)], ..Strict::default() };
        let (taken, refused) = send(authority, all.clone()).await;
        assert_eq!(taken, all.iter().map(json).collect::<Vec<_>>(), "{kept} were kept");
        assert!(refused.is_empty(), "{refused:?}");
    }
}

#[tokio::test]
async fn a_partly_refused_batch_whose_answer_is_lost_doubles_nothing() {
    let all = vec![asked("a"), asked("a"), asked("bad"), asked("a"), asked("b")];
    for lost in 0..4 {
        let authority = Strict { refuses: Some(("bad", "invalid")), loses: vec![(lost, 2)], ..Strict::default() };
        let (taken, refused) = send(authority, all.clone()).await;
        assert_eq!(taken, [asked("a"), asked("a"), asked("a"), asked("b")].map(|report| json(&report)));
        assert_eq!(refused.len(), 1, "{refused:?}");
    }
}

#[tokio::test]
async fn places_are_counted_from_one_burst_to_the_next_and_forgotten_with_the_session() {
    let authority = Arc::new(Strict { loses: vec![(1, 1)], ..Strict::default() });
    let reporter = Reporter::new(authority.clone(), |_, _| {}, |_, why| panic!("{why}"));
    let session = SessionId::from_random(1);
    let ended =
        SessionReport::Ended { end: SessionEnd::Client, cut: None, dropped: model::Timestamp::default().into() };
    for report in [asked("x11"), asked("x11"), ended] {
        reporter.send(&session, report).unwrap();
        tokio::time::timeout(Duration::from_secs(20), reporter.drained()).await.expect("all is sent");
        assert!(reporter.waiting().is_empty());
    }
    assert_eq!(authority.taken.lock().unwrap().len(), 3);
    assert!(reporter.0.lock().is_empty(), "nothing is kept of what is over");
}

#[test]
fn a_cut_text_stays_text() {
    let text = format!("{}€{}", "a".repeat(TEXT - 1), "b".repeat(10));
    assert!(clip(text).starts_with(&format!("{}… (", "a".repeat(TEXT - 1))));
    assert_eq!(clip("short".to_owned()), "short");
}
