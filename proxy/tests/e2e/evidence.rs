//! What is on record of a session, whatever the person does.

use std::process::Stdio;

use api::wire::SessionReport;
use base64::Engine as _;
use model::{RecordingMode, SessionEnd};
use tokio::io::AsyncWriteExt;

use crate::client::{Way, shown, text, wait};
use crate::world::{HOUR, Person, World};

/// Types this into a shell without a terminal.
async fn type_in(person: &Person, input: &str) -> std::process::Output {
    let mut child = person.ssh(Way::Plus, "root", "web1", &["-T"]).stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let input = input.to_owned();
    let typing = tokio::spawn(async move {
        // The session may end before all is taken.
        let _ = stdin.write_all(input.as_bytes()).await;
    });
    let output = wait(child).await;
    typing.await.unwrap();
    output
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_typed_into_a_shell_without_a_terminal_is_on_record() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let commands = "x=un; echo ${x}seen >/dev/null\nexit\n";
    let output = type_in(&alice, commands).await;
    assert!(output.status.success(), "{}", shown(&output));
    let recording = world.only_recording().await;
    let typed: Vec<u8> = recording
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap())
        .filter(|event| event["s"] == "in")
        .flat_map(|event| base64::engine::general_purpose::STANDARD.decode(event["b64"].as_str().unwrap()).unwrap())
        .collect();
    assert_eq!(text(&typed), commands);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_shell_without_a_terminal_ends_where_its_recording_does() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| grant.obligations.output_limit = 1000);
    let output = type_in(&alice, "head -c 100000 /dev/zero\nsleep 60\n").await;
    assert!(!output.status.success(), "{}", shown(&output));
    assert!(output.stdout.len() <= 1000, "{} bytes are shown", output.stdout.len());
    assert!(text(&output.stderr).contains("the limit of what is kept"), "{}", shown(&output));
    let (end, _) = world.authority.ended().await;
    assert!(matches!(end, SessionEnd::Recording { .. }), "{end:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_strict_command_goes_on_beyond_its_limit() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| grant.obligations.output_limit = 1000);
    let output = alice.run(Way::Plus, "root@web1", "head -c 100000 /dev/zero").await;
    assert!(output.status.success() && output.stdout.len() == 100_000, "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_recording_that_cannot_start_is_a_fact() {
    for mode in [RecordingMode::BestEffort, RecordingMode::Strict] {
        let world = World::new().await;
        let alice = world.person("alice");
        world.authority.grant_with("alice", "root", "web1", HOUR, |grant| grant.obligations.recording = mode);
        let folder = world.folder.path().join("recordings/open");
        std::fs::remove_dir(&folder).unwrap();
        std::fs::write(&folder, "in the way").unwrap();
        let output = alice.run(Way::Plus, "root@web1", "echo ran").await;
        assert_eq!(text(&output.stdout) == "ran\n", mode == RecordingMode::BestEffort, "{}", shown(&output));
        world.authority.ended().await;
        let mut story = world.authority.reports().into_iter().filter_map(|report| match report {
            SessionReport::RecordingStarted { recording, .. } => Some(("started", recording)),
            SessionReport::RecordingFailed { recording, .. } => Some(("failed", recording)),
            _ => None,
        });
        let (first, started) = story.next().unwrap();
        let (second, failed) = story.next().unwrap();
        assert_eq!((first, second), ("started", "failed"), "in the order that the ledger takes");
        assert_eq!(started, failed);
    }
}
