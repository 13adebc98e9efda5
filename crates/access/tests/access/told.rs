//! What a proxy tells twice is entered once.

use portcullis_access as access;
use portcullis_access::Command;

use crate::world::*;

fn numbered(number: u64, command: impl Into<Command>) -> access::Reported {
    access::Reported { session: ses(1), number, command: command.into() }
}

fn refused() -> access::ChannelRefused {
    access::ChannelRefused { session: ses(1), asked: "x11".to_owned(), reason: "no".to_owned() }
}

fn live() -> World {
    let mut world = World::granted(1);
    world.must("proxy1", open(ses(1), req(1)), at(1));
    world
}

#[test]
fn a_refusal_that_is_told_again_is_one_fact() {
    let mut world = live();
    for _ in 0..3 {
        world.must("proxy1", numbered(0, refused()), at(2));
    }
    world.must("proxy1", numbered(1, refused()), at(3));
    assert_eq!(world.log.iter().filter(|record| record.entry.fact.kind() == "channel.refused").count(), 2);
    // Without a number nobody knows whether it is the same.
    world.must("proxy1", refused(), at(4));
    assert_eq!(world.log.iter().filter(|record| record.entry.fact.kind() == "channel.refused").count(), 3);
}

#[test]
fn an_end_that_is_told_again_is_one_fact() {
    let mut world = live();
    world.must("proxy1", numbered(0, refused()), at(2));
    world.must("proxy1", numbered(1, end(ses(1))), at(3));
    let decision = world.must("proxy1", numbered(1, end(ses(1))), at(4));
    assert!(decision.facts.is_empty());
    assert_eq!(world.refused("proxy1", numbered(2, refused()), at(5)).code, "session-not-live");
}

/// The roll-call ends a session without a number, and in its proxy's name.
fn lost() -> access::EndSession {
    let end = model::SessionEnd::Proxy { reason: "its proxy knows nothing of it".to_owned() };
    access::EndSession { session: ses(1), end, cut: None, dropped: at(2) }
}

#[test]
fn an_end_that_nobody_told_makes_nothing_told() {
    for before in 0..2 {
        let mut world = live();
        for number in 0..before {
            world.must("proxy1", numbered(number, refused()), at(2));
        }
        world.must("proxy1", lost(), at(2));
        // What comes next is not in the ledger, and its proxy must hear that: the session is over.
        for next in [channel(ses(1), 0).into(), Command::from(refused()), end(ses(1)).into()] {
            assert_eq!(world.refused("proxy1", numbered(before, next), at(3)).code, "session-not-live");
        }
        // What it had told is.
        for number in 0..before {
            assert!(world.must("proxy1", numbered(number, refused()), at(3)).facts.is_empty());
        }
        assert_eq!(world.refused("proxy2", numbered(before, lost()), at(3)).code, "not-its-proxy");
    }
}

#[test]
fn what_was_refused_does_not_count() {
    let mut world = live();
    assert_eq!(world.refused("proxy1", numbered(0, channel_closed(ses(1), 7)), at(2)).code, "unknown-channel");
    world.must("proxy1", numbered(0, channel(ses(1), 0)), at(3));
    assert_eq!(world.state.session(&ses(1)).unwrap().told, 1);
}

#[test]
fn nobody_else_learns_what_was_told() {
    let mut world = live();
    world.must("proxy1", numbered(0, refused()), at(2));
    assert_eq!(world.refused("proxy2", numbered(0, refused()), at(3)).code, "not-its-proxy");
    assert_eq!(world.refused("proxy2", numbered(1, refused()), at(3)).code, "not-its-proxy");
}

/// What a proxy has to tell, in its order, from the opening of a channel to the end.
fn story() -> Vec<Command> {
    vec![
        access::RecordingStarted { recording: rec(1), session: ses(1), channel: 0 }.into(),
        channel(ses(1), 0).into(),
        refused().into(),
        refused().into(),
        access::RecordingFailed { recording: rec(1), error: "no room".to_owned() }.into(),
        recording_closed(rec(1)).into(),
        channel_closed(ses(1), 0).into(),
        end(ses(1)).into(),
    ]
}

proptest::proptest! {
    /// Each call tells some of the rest, and of what it told any part may have been kept when its answer was lost.
    #[test]
    fn lost_answers_double_nothing(calls in proptest::collection::vec((1_usize..5, 0_usize..5, proptest::bool::ANY), 0..20)) {
        let story = story();
        let mut once = live();
        for command in story.clone() {
            once.must("proxy1", command, at(2));
        }
        let mut world = live();
        let mut heard = 0;
        let tell = |world: &mut World, from: usize, count: usize| {
            for (number, command) in story.iter().enumerate().skip(from).take(count) {
                world.must("proxy1", numbered(number as u64, command.clone()), at(2));
            }
        };
        for (count, kept, lost) in calls {
            if lost {
                tell(&mut world, heard, kept.min(count));
            } else {
                tell(&mut world, heard, count);
                heard = story.len().min(heard + count);
            }
        }
        tell(&mut world, heard, story.len());
        proptest::prop_assert_eq!(world.log, once.log);
    }
}
