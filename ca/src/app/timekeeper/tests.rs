use std::io::Write;
use std::sync::Mutex;

use model::Span;
use store::ManualClock;
use tracing_subscriber::fmt::MakeWriter;

use super::*;

/// What is logged meanwhile.
#[derive(Clone, Default)]
struct Log(Arc<Mutex<Vec<u8>>>);

impl Write for Log {
    fn write(&mut self, bytes: &[u8]) -> std::io::Result<usize> {
        self.0.lock().unwrap().extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}

impl<'a> MakeWriter<'a> for Log {
    type Writer = Self;

    fn make_writer(&'a self) -> Self {
        self.clone()
    }
}

fn logged<R>(work: impl FnOnce() -> R) -> (R, String) {
    let log = Log::default();
    let subscriber = tracing_subscriber::fmt().with_writer(log.clone()).with_ansi(false).finish();
    let done = tracing::subscriber::with_default(subscriber, work);
    let text = String::from_utf8(log.0.lock().unwrap().clone()).unwrap();
    (done, text)
}

const fn at(minutes: u64) -> Timestamp {
    Timestamp::from_seconds(1_700_000_000 + minutes * 60)
}

fn started(minute: u64, latest: Timestamp) -> (Arc<ManualClock>, Timekeeper, String) {
    let clock = Arc::new(ManualClock::new(at(minute)));
    let (time, text) = logged(|| Timekeeper::start(Arc::clone(&clock) as Arc<dyn Clock>, latest));
    (clock, time, text)
}

#[test]
fn a_start_says_when_the_clock_does_not_go_with_the_ledger() {
    let (_, _, text) = started(60, at(66));
    assert!(text.contains("ERROR") && text.contains("THE CLOCK IS WRONG") && text.contains("360 s behind"), "{text}");
    let (_, _, text) = started(60, at(40));
    assert!(text.contains("WARN") && text.contains("the last fact is 1200 s old"), "{text}");
    for quiet in [at(60), at(56), at(64), Timestamp::default()] {
        let (_, _, text) = started(60, quiet);
        assert_eq!(text, "", "{quiet}");
    }
}

#[test]
fn time_goes_on_from_the_last_fact_and_does_not_stand_still() {
    let (clock, mut time, _) = started(60, at(120));
    assert_eq!(time.now(), at(120));
    clock.advance(Span::from_minutes(30));
    assert_eq!(time.now(), at(150));
    time.reach(at(200));
    clock.advance(Span::from_minutes(1));
    assert_eq!(time.now(), at(201));
}

#[test]
fn a_clock_that_is_set_back_is_reported_once_and_lengthens_nothing() {
    let (clock, mut time, _) = started(60, at(59));
    clock.set(at(0));
    clock.advance(Span::from_minutes(10));
    let (now, text) = logged(|| time.now());
    assert_eq!(now, at(70), "a grant until minute 70 is over");
    assert!(text.contains("ERROR") && text.contains("THE CLOCK WAS SET BACK by 3600 s"), "{text}");
    let (now, text) = logged(|| time.now());
    assert_eq!((now, text.as_str()), (at(70), ""));
}

#[test]
fn a_clock_that_is_set_forward_ends_what_is_due() {
    let (clock, mut time, _) = started(60, at(59));
    clock.set(at(600));
    let (now, text) = logged(|| time.now());
    assert_eq!(now, at(600));
    assert!(text.contains("WARN") && text.contains("went forward by 32400 s"), "{text}");
    // Set right again: what has ended stays ended.
    clock.set(at(60));
    assert_eq!(time.now(), at(600));
}

#[test]
fn a_clock_that_is_adjusted_by_less_than_a_second_is_no_news() {
    let (clock, mut time, _) = started(60, at(59));
    clock.set(Timestamp::from_micros(at(60).micros() - 900_000));
    let (now, text) = logged(|| time.now());
    assert_eq!((now, text.as_str()), (at(60), ""));
}
