//! What every session needs.

use crate::client::{WAYS, Way, shown, text};
use crate::world::{HOUR, World};

#[tokio::test(flavor = "multi_thread")]
async fn a_command_runs_both_ways_with_its_exit_status_and_stderr_apart() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    for way in WAYS {
        let output = alice.run(way, "root@web1", "echo out; echo err >&2; exit 7").await;
        assert_eq!(output.status.code(), Some(7), "{way:?} {}", shown(&output));
        assert_eq!(text(&output.stdout), "out\n", "{way:?}");
        assert_eq!(text(&output.stderr), "err\n", "{way:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn input_reaches_a_command_and_its_end_too() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let input: Vec<u8> = (0..3_000_000u32).map(|n| (n % 251) as u8).collect();
    for way in WAYS {
        let output = alice.feed(way, "root@web1", "cat; echo -n done", &input).await;
        assert_eq!(output.status.code(), Some(0), "{way:?} {}", text(&output.stderr));
        assert!(output.stdout.strip_suffix(b"done").unwrap() == input, "{way:?}: {} bytes", output.stdout.len());
    }
    let _ = Way::Plus;
}
