//! What keeps one person, and a long life, from filling the memory.

use model::{Actor, RequestSpec};
use portcullis_access as access;
use portcullis_access::{BATCH, Command, MAX_PENDING, MAX_REVIEWS_EACH, RETENTION};

use crate::world::*;

#[test]
fn pending_requests_are_limited_per_person() {
    let mut world = World::default();
    let one = || vec![path("one", 60, 1, &[])];
    for n in 0..MAX_PENDING as u64 {
        world.must("alice", file(req(n), spec(), one()), at(0));
    }
    assert_eq!(world.refused("alice", file(req(999), spec(), one()), at(0)).code, "too-many-requests");
    let bobs = RequestSpec { identity: "bob".parse().unwrap(), ..spec() };
    world.must("bob", file(req(999), bobs, one()), at(0));
}

#[test]
fn grants_are_limited_per_person() {
    let mut world = World::default();
    for n in 0..access::MAX_GRANTS as u64 {
        world.must("alice", file(req(n), spec(), vec![path("free", 60, 0, &[])]), at(0));
    }
    let refusal = world.refused("alice", file(req(999), spec(), vec![path("free", 60, 0, &[])]), at(0));
    assert_eq!(refusal.code, "too-many-grants");
}

#[test]
fn paths_are_limited() {
    let mut world = World::default();
    let many = vec![path("free", 60, 0, &[]); access::MAX_PATHS + 1];
    assert_eq!(world.refused("alice", file(req(1), spec(), many), at(0)).code, "too-many-paths");
}

#[test]
fn nobody_fills_a_request_with_reviews() {
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![path("many", 60, 90, &[])]), at(0));
    for _ in 0..MAX_REVIEWS_EACH {
        world.must("bob", approve(req(1), &[]), at(1));
        world.must("bob", access::WithdrawReview { request: req(1) }, at(2));
    }
    assert_eq!(world.refused("bob", approve(req(1), &[]), at(3)).code, "too-many-reviews");
    world.must("carol", approve(req(1), &[]), at(4));
}

#[test]
fn a_tick_comes_in_batches() {
    let mut world = World::default();
    for n in 0..(BATCH as u64 + 10) {
        let name = format!("user{n}");
        let theirs = RequestSpec { identity: name.parse().unwrap(), ..spec() };
        world.must(&name, file(req(n), theirs, vec![path("free", 60, 0, &[])]), at(0));
    }
    assert_eq!(world.tick(at(9000)).len(), BATCH);
    assert!(world.state.next_deadline().unwrap() <= at(9000));
    assert_eq!(world.tick(at(9000)).len(), 10);
    assert_eq!(world.state.next_deadline(), None);
}

#[test]
fn what_is_over_is_forgotten_beyond_the_last_ten_thousand() {
    let mut world = World::granted(0);
    world.must("proxy1", open(ses(0), req(0)), at(1));
    let total = RETENTION as u64 + 20;
    for n in 1..=total {
        let mut filing = file(req(n), spec(), vec![path("one", 60, 1, &[])]);
        filing.idempotency_key = Some(format!("key-{n}"));
        world.must("alice", filing, at(2));
        world.must("alice", access::Cancel { request: req(n) }, at(2));
        world.must("alice", certificate(serial(n), req(0), at(1800)), at(2));
        world.log.clear();
    }
    assert_eq!(world.state.requests().count(), RETENTION + 1, "and what is alive stays");
    assert_eq!(world.state.certificates().count(), RETENTION);
    assert_eq!((world.status(&req(20)), world.status(&req(21))), ("absent", "cancelled"));
    assert_eq!(world.status(&req(0)), "active");
    let again = access::FileRequest {
        idempotency_key: Some("key-1".to_owned()),
        ..file(req(99_999), spec(), vec![path("one", 60, 1, &[])])
    };
    assert_eq!(world.must("alice", again, at(3)).request, Some(req(99_999)), "its key is forgotten with it");
    let text = serde_json::to_vec(&world.state).unwrap();
    assert_eq!(serde_json::from_slice::<access::State>(&text).unwrap(), world.state);
    world.act(&Actor::System, Command::Tick, at(2000)).unwrap();
    assert!(world.state.session(&ses(0)).unwrap().is_live(), "a session is kept until its proxy says that it is over");
}
