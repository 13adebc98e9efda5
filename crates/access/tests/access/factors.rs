//! Authenticators and their codes: each once, whatever comes in between.

use model::{Actor, FactorId, Factors, SecondFactor};
use portcullis_access as access;
use portcullis_access::{MAX_FACTORS, State};

use crate::world::*;

fn fac(n: u64) -> FactorId {
    FactorId::from_random(n)
}

fn add(n: u64, step: u64) -> access::AddFactor {
    access::AddFactor { factor: fac(n), step, shown: false }
}

fn using(n: u64, step: u64) -> access::UseFactor {
    access::UseFactor { factor: fac(n), step, address: "192.0.2.7".to_owned() }
}

fn remove(n: u64) -> access::RemoveFactor {
    let identity = "alice".parse().unwrap();
    access::RemoveFactor { identity, factor: fac(n), reason: None, may_administer: false, shown: false }
}

#[test]
fn a_code_is_good_once_and_none_before_it_ever_again() {
    let mut world = World::default();
    world.must("alice", add(1, 100), at(0));
    assert_eq!(world.refused("alice", using(1, 100), at(1)).code, "code-used", "the first code confirmed it");
    assert_eq!(world.refused("alice", using(1, 99), at(1)).code, "code-used");
    world.must("alice", using(1, 102), at(2));
    for step in [100, 101, 102] {
        assert_eq!(world.refused("alice", using(1, step), at(3)).code, "code-used", "{step}");
    }
    assert_eq!(world.refused("bob", using(1, 103), at(3)).code, "unknown-factor", "another's");
    // Whatever is stored and read again, it stays used.
    let kept = serde_json::to_string(&world.state).unwrap();
    world.state = serde_json::from_str::<State>(&kept).unwrap();
    assert_eq!(world.refused("alice", using(1, 102), at(4)).code, "code-used");
    world.must("alice", using(1, 103), at(5));
}

#[test]
fn the_second_authenticator_takes_a_code_of_the_first() {
    let mut world = World::default();
    world.must("alice", add(1, 100), at(0));
    assert_eq!(world.refused("alice", add(1, 100), at(0)).code, "id-taken");
    assert_eq!(world.refused("alice", add(2, 100), at(1)).code, "factor-needed");
    for n in 2..=MAX_FACTORS as u64 {
        world.must("alice", access::AddFactor { shown: true, ..add(n, 100) }, at(2));
    }
    let more = access::AddFactor { shown: true, ..add(9, 100) };
    assert_eq!(world.refused("alice", more, at(3)).code, "too-many-factors");
    assert_eq!(world.refused("proxy1", add(9, 100), at(3)).code, "not-a-person");
}

#[test]
fn nobody_gets_rid_of_it_with_the_key_alone() {
    let mut world = World::default();
    world.must("alice", add(1, 100), at(0));
    assert_eq!(world.refused("alice", remove(1), at(1)).code, "factor-needed");
    let as_admin = access::RemoveFactor { may_administer: true, ..remove(1) };
    assert_eq!(world.refused("alice", as_admin.clone(), at(1)).code, "factor-needed", "an administrator, too");
    assert_eq!(world.refused("bob", remove(1), at(1)).code, "not-allowed");
    world.must("carol", lock(lock_id(1), "identity:alice"), at(2));
    let shown = access::RemoveFactor { shown: true, ..remove(1) };
    assert_eq!(world.refused("alice", shown, at(3)).code, "locked");
    assert_eq!(world.refused("alice", using(1, 101), at(3)).code, "locked");
    world.must("carol", as_admin.clone(), at(4));
    assert_eq!(world.refused("carol", as_admin, at(5)).code, "unknown-factor");
    assert_eq!(world.state.factors().count(), 0);
}

#[test]
fn an_administrators_token_alone_takes_nobodys_authenticator_and_replaces_no_key() {
    let mut world = World::default();
    world.must("alice", add(1, 100), at(0));
    let step = access::CaStep::Stage { key: "SHA256:new".to_owned(), signs: "SHA256:old".to_owned() };
    let stage = access::RotateCa { shown: false, ..crate::matrix::rotate(step) };
    let remove = access::RemoveFactor { may_administer: true, ..remove(1) };
    world.must("carol", add(2, 100), at(1));
    assert_eq!(world.refused("carol", remove.clone(), at(2)).code, "factor-needed");
    assert_eq!(world.refused("carol", stage.clone(), at(2)).code, "factor-needed");
    world.must("carol", access::RotateCa { shown: true, ..stage }, at(3));
    world.must("carol", access::RemoveFactor { shown: true, ..remove }, at(3));
}

#[test]
fn no_proxy_changes_what_its_people_prove_themselves_with() {
    let mut world = World::default();
    let through = Actor::Through { identity: "alice".parse().unwrap(), proxy: "proxy1".parse().unwrap() };
    assert_eq!(world.act(&through, add(1, 100), at(0)).unwrap_err().code, "not-allowed");
    world.must("alice", add(1, 100), at(1));
    let shown = access::RemoveFactor { shown: true, may_administer: true, ..remove(1) };
    assert_eq!(world.act(&through, shown, at(2)).unwrap_err().code, "not-allowed");
    world.act(&through, using(1, 101), at(3)).unwrap();
}

#[test]
fn a_path_that_wants_a_code_is_taken_with_one() {
    let wants = |factor| {
        let mut path = path("factor", 60, 0, &[]);
        path.obligations.factor = Some(factor);
        vec![path]
    };
    let (touch, totp) = (Factors { touch: true, totp: false }, Factors { touch: false, totp: true });
    let mut world = World::default();
    for (n, factor, shown, refused) in [
        (1, SecondFactor::Totp, Factors::default(), true),
        (2, SecondFactor::Totp, touch, true),
        (3, SecondFactor::Totp, totp, false),
        (4, SecondFactor::Any, Factors::default(), true),
        (5, SecondFactor::Any, touch, false),
        (6, SecondFactor::Any, totp, false),
    ] {
        let ask = access::FileRequest { shown, ..file(req(n), spec(), wants(factor)) };
        match refused {
            true => assert_eq!(world.refused("alice", ask, at(0)).code, "factor-needed", "{n}"),
            false => drop(world.must("alice", ask, at(0))),
        }
    }
    // A certificate was bought with it; a plain key brings it itself.
    let by_key = |totp| access::OpenSession {
        presence: model::Presence { certificate: None, key: Some("SHA256:k".to_owned()), totp, ..presence(&ses(1)) },
        ..open(ses(1), req(3))
    };
    let proxy: Actor = proxy("proxy1");
    assert_eq!(world.act(&proxy, by_key(false), at(1)).unwrap_err().code, "factor-needed");
    assert!(world.act(&proxy, by_key(true), at(1)).unwrap().permit.is_some());
}

#[test]
fn less_is_asked_first() {
    let mut any = path("any", 60, 0, &[]);
    any.obligations.factor = Some(SecondFactor::Any);
    let one = path("one", 60, 1, &[]);
    let mut world = World::default();
    let decision = world.must("alice", file(req(1), spec(), vec![one.clone(), any.clone()]), at(0));
    let lacks: Vec<String> = decision.gaps.iter().map(ToString::to_string).collect();
    assert_eq!(lacks, ["any lacks a one-time code or a touched security key", "one lacks 1 approval"]);
    let shown = Factors { touch: false, totp: true };
    world.must("alice", access::FileRequest { shown, ..file(req(2), spec(), vec![one, any]) }, at(0));
    assert_eq!((world.status(&req(1)), world.status(&req(2))), ("pending", "active"));
}
