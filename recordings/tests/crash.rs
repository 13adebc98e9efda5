//! A writer killed with SIGKILL: what was flushed is there, is whole, and is entered at the next start.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stop the test"
)]

mod common;

use std::io::{BufRead as _, BufReader, Write as _};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use common::{header, output_of};
use model::RecordingStatus;
use portcullis_recordings::Vault;

const DIRECTORY: &str = "PORTCULLIS_TEST_RECORDINGS";

/// How old something recorded must be to count as promised. A second is the promise; the other is for a test on a
/// loaded machine.
const PROMISED: Duration = Duration::from_secs(2);

/// The child that the other test kills. It records numbered lines on two channels, and says which number it has
/// reached.
#[tokio::test]
#[ignore = "no test of its own: the other one runs it"]
async fn child() {
    let vault = Vault::open(std::env::var_os(DIRECTORY).unwrap()).unwrap();
    let recorders = [vault.create(header(1, true)).await.unwrap(), vault.create(header(2, false)).await.unwrap()];
    for number in 0.. {
        for recorder in &recorders {
            recorder.output(format!("line {number:06} €\n").as_bytes()).await.unwrap();
        }
        // Unlike the macro, this is not kept by the test harness.
        writeln!(std::io::stdout(), "\nreached {number}").unwrap();
        if number % 10 == 0 {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }
}

/// Lets a child run for so long, kills it, and looks at what it left.
fn round(life: Duration) {
    let dir = tempfile::tempdir().unwrap();
    let mut child = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "child", "--ignored", "--nocapture"])
        .env(DIRECTORY, dir.path())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut said = BufReader::new(child.stdout.take().unwrap());
    let watch = std::thread::spawn(move || {
        let (mut reached, mut line) = (Vec::new(), String::new());
        while said.read_line(&mut line).unwrap() > 0 {
            if let Some(number) = line.trim().strip_prefix("reached ") {
                reached.push((Instant::now(), number.parse::<usize>().unwrap()));
            }
            line.clear();
        }
        reached
    });
    std::thread::sleep(life);
    child.kill().unwrap();
    let killed = Instant::now();
    child.wait().unwrap();
    let reached = watch.join().unwrap();
    let promised = reached.iter().rev().find(|(at, _)| *at + PROMISED < killed).map(|(_, number)| *number);

    let vault = Vault::open(dir.path()).unwrap();
    let recovered = vault.recover().unwrap();
    assert_eq!(recovered.len(), 2);
    for (header, recovered) in [header(1, true), header(2, false)].into_iter().zip(recovered) {
        assert_eq!((&recovered.recording, &recovered.session), (&header.recording, &header.session));
        let closed = recovered.outcome.unwrap();
        assert_eq!(closed.status, RecordingStatus::Recovered);
        assert_eq!(vault.archive().examine(&header.session, &header.recording).unwrap(), closed);
        vault.entered(&header.session, &header.recording).unwrap();
        let output = String::from_utf8(output_of(&vault.archive(), &header)).unwrap();
        for (number, line) in output.lines().enumerate() {
            assert_eq!(line, format!("line {number:06} €"));
        }
        let kept = output.lines().count();
        assert!(promised.is_none_or(|promised| kept > promised), "{kept} lines are left of {promised:?} promised");
        assert!(kept > 0 || life < PROMISED, "nothing is left after {life:?}");
    }
    assert!(vault.recover().unwrap().is_empty());
}

#[test]
fn what_was_flushed_survives_a_kill() {
    let rounds: Vec<_> = [150, 700, 1300, 2400, 2600, 3100, 3400, 3700]
        .map(|millis| std::thread::spawn(move || round(Duration::from_millis(millis))))
        .into();
    for round in rounds {
        round.join().unwrap();
    }
}
