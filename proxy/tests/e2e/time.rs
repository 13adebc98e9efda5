//! Time: the end of a grant, its extension, warnings, idleness.

use std::process::Stdio;
use std::time::Duration;

use api::wire::SessionReport;
use model::{SessionEnd, Span};
use tokio::io::AsyncWriteExt;

use crate::client::{LINGER, WAYS, Way, shown, text, wait};
use crate::world::{HOUR, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_session_ends_when_its_grant_does() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let grant = world.authority.grant("alice", "root", "web1", Duration::from_secs(3));
        let output = alice.run(way, "root@web1", LINGER).await;
        assert_eq!(output.status.code(), Some(255), "{}", shown(&output));
        let said = text(&output.stderr);
        assert!(said.contains(&format!("the time of {} is up", grant.id)), "{way:?}: {said}");
        assert!(said.contains("run portcullis request root@web1 --for 30m"), "{way:?}: {said}");
        let (end, dropped) = world.authority.ended().await;
        assert_eq!(end, SessionEnd::Expired);
        assert!(dropped >= grant.ends);
        assert!(dropped.since(grant.ends) < Duration::from_millis(500), "{:?}", dropped.since(grant.ends));
        // What is promised, by the ledger's own stamps and with room for a busy machine; the bench has the percentile.
        let cut = |report: &SessionReport| match report {
            SessionReport::Ended { cut, .. } => Some(cut.expect("when nothing passed any more").0),
            _ => None,
        };
        let cut = world.authority.wait_for("the cut", cut).await;
        assert!(cut >= grant.ends && cut.since(grant.ends) < Duration::from_millis(250), "{:?}", cut.since(grant.ends));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_extended_grant_carries_the_live_session_on() {
    let world = World::new().await;
    let alice = world.person("alice");
    let grant = world.authority.grant("alice", "root", "web1", Duration::from_secs(3));
    let child = alice.ssh(Way::Plus, "root", "web1", &[]).arg("sleep 5; echo still here").spawn().unwrap();
    world.authority.wait_for("the channel", |r| matches!(r, SessionReport::ChannelOpened { .. }).then_some(())).await;
    world.authority.extend(&grant.id, grant.ends.plus(Span::from_seconds(60)));
    let output = wait(child).await;
    assert_eq!(text(&output.stdout), "still here\n", "{}", shown(&output));
    assert_eq!(output.status.code(), Some(0));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_person_with_a_terminal_is_warned_and_the_recording_says_so() {
    let world = World::with(|config| config.warnings = vec![Span::from_seconds(2)]).await;
    let alice = world.person("alice");
    let grant = world.authority.grant("alice", "root", "web1", Duration::from_secs(5));
    let mut command = alice.ssh(Way::Jump, "root", "web1", &["-tt"]);
    let output = wait(command.arg(LINGER).spawn().unwrap()).await;
    let said = text(&output.stderr) + &text(&output.stdout);
    assert!(said.contains("portcullis: this session on root@web1 ends in 2s, at "), "{said:?}");
    assert!(said.contains(&format!("run portcullis extend {} --for 30m", grant.id)), "{said:?}");
    assert!(said.contains("is up"), "{said:?}");
    let recorded = world.only_recording().await;
    assert!(recorded.contains("\"m\"") && recorded.contains("ends in 2s"), "{recorded}");

    // Without a terminal nothing is mixed into what a program reads.
    world.authority.grant("alice", "root", "web1", Duration::from_secs(9));
    let output = alice.run(Way::Plus, "root@web1", "sleep 7").await;
    assert_eq!((text(&output.stderr), output.status.code()), (String::new(), Some(0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_idle_session_ends_and_a_busy_one_does_not() {
    let world = World::new().await;
    let alice = world.person("alice");
    let limited = |grant: &mut crate::authority::Grant| grant.obligations.idle_limit = Some(Span::from_seconds(2));
    world.authority.grant_with("alice", "root", "web1", HOUR, limited);
    let output = alice.run(Way::Plus, "root@web1", "for i in 1 2 3 4 5 6; do echo $i; sleep 0.7; done").await;
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));

    let mut child = alice.ssh(Way::Plus, "root", "web1", &[]).arg("cat").stdin(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    stdin.write_all(b"one line\n").await.unwrap();
    let output = wait(child).await;
    assert_eq!(text(&output.stdout), "one line\n");
    assert!(text(&output.stderr).contains("nothing passed for 2s"), "{}", shown(&output));
    let idle = |r: &SessionReport| matches!(r, SessionReport::Ended { end: SessionEnd::Idle, .. }).then_some(());
    world.authority.wait_for("the end", idle).await;
}
