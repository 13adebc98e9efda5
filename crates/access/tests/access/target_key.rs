//! The keys of targets that know no certificates: what a session certificate may do, such a key may do, and no more.

use model::{Actor, Fact};
use portcullis_access as access;

use crate::world::*;

fn make(number: u8) -> access::MakeTargetKey {
    access::MakeTargetKey {
        target: "web1".parse().unwrap(),
        key: format!("SHA256:{number}"),
        public_key: format!("ssh-ed25519 AAAA{number}"),
        may_administer: true,
    }
}

fn destroy() -> access::DestroyTargetKey {
    access::DestroyTargetKey { target: "web1".parse().unwrap(), may_administer: true }
}

fn use_it(session: u64) -> access::UseTargetKey {
    access::UseTargetKey {
        session: ses(session),
        login: "root".parse().unwrap(),
        connection: "00".repeat(32),
        takes_key: true,
    }
}

/// alice's session through proxy1, opened in the tenth second, on a target with a key.
fn opened() -> World {
    let mut world = World::granted(1);
    world.must("carol", make(1), at(1));
    world.must("proxy1", open(ses(1), req(1)), at(10));
    world
}

#[test]
fn one_log_in_a_session_within_two_minutes() {
    let mut world = opened();
    let mut late = world.clone();
    assert_eq!(late.refused("proxy1", use_it(1), at(130)).code, "target-key-late");
    let decision = world.must("proxy1", use_it(1), at(129));
    let [entry] = decision.facts.as_slice() else { panic!("{decision:?}") };
    assert_eq!(entry.correlation.as_str(), req(1).as_str());
    let Fact::TargetKeyUsed { key, login, target, .. } = &entry.fact else { panic!("{entry:?}") };
    assert_eq!((key.as_str(), login.as_str(), target.as_str()), ("SHA256:1", "root", "web1"));
    assert_eq!(world.refused("proxy1", use_it(1), at(129)).code, "target-key-spent");
    // What the snapshot keeps, it keeps too.
    let snapshot = serde_json::to_vec(&world.state).unwrap();
    world.state = serde_json::from_slice(&snapshot).unwrap();
    assert_eq!(world.refused("proxy1", use_it(1), at(129)).code, "target-key-spent");
}

#[test]
fn only_its_proxy_and_only_for_its_login_on_its_target() {
    let mut world = opened();
    for who in ["proxy2", "alice", "carol"] {
        assert_eq!(world.refused(who, use_it(1), at(11)).code, "not-its-proxy", "{who}");
    }
    assert_eq!(world.act(&Actor::System, use_it(1), at(11)).unwrap_err().code, "not-its-proxy");
    let other = access::UseTargetKey { login: "admin".parse().unwrap(), ..use_it(1) };
    assert_eq!(world.refused("proxy1", other, at(11)).code, "bad-login");
    let certified = access::UseTargetKey { takes_key: false, ..use_it(1) };
    assert_eq!(world.refused("proxy1", certified, at(11)).code, "no-target-key");
    assert_eq!(world.refused("proxy1", use_it(2), at(11)).code, "unknown-session");
    world.must("carol", destroy(), at(11));
    assert_eq!(world.refused("proxy1", use_it(1), at(12)).code, "no-target-key");
}

#[test]
fn nothing_is_signed_for_what_has_ended() {
    let mut cut = opened();
    cut.must("carol", revoke(req(1)), at(11));
    assert_eq!(cut.refused("proxy1", use_it(1), at(12)).code, "session-not-live");
    let mut ended = opened();
    ended.must("proxy1", end(ses(1)), at(11));
    assert_eq!(ended.refused("proxy1", use_it(1), at(12)).code, "session-not-live");
    for subject in ["identity:alice", "target:web1", "login:root", "everything"] {
        let mut locked = opened();
        locked.must("carol", lock(lock_id(1), subject), at(11));
        assert_eq!(locked.refused("proxy1", use_it(1), at(12)).code, "session-not-live", "{subject}");
    }
    // The clock was first, and nobody has said so yet.
    let mut over = World::default();
    let short = model::RequestSpec { duration: minutes(1), ..spec() };
    over.must("alice", file(req(1), short, vec![path("free", 60, 0, &[])]), at(0));
    over.must("carol", make(1), at(1));
    over.must("proxy1", open(ses(1), req(1)), at(10));
    assert_eq!(over.refused("proxy1", use_it(1), at(61)).code, "no-active-grant");
}

#[test]
fn a_new_key_takes_the_place_of_the_old_one_in_one_step() {
    let mut world = World::default();
    assert_eq!(world.refused("carol", destroy(), at(0)).code, "no-target-key");
    for may in [make(1).may_administer, false] {
        let made = access::MakeTargetKey { may_administer: may, ..make(1) };
        match may {
            true => assert_eq!(world.must("carol", made, at(1)).facts.len(), 1),
            false => assert_eq!(world.refused("carol", made, at(1)).code, "not-allowed"),
        }
    }
    let kinds: Vec<_> = world.must("carol", make(2), at(2)).facts.iter().map(|entry| entry.fact.kind()).collect();
    assert_eq!(kinds, ["target.key-destroyed", "target.key-made"]);
    let key = world.state.target_key(&"web1".parse().unwrap()).unwrap();
    assert_eq!((key.key.as_str(), key.made), ("SHA256:2", at(2)));
    let refused = access::DestroyTargetKey { may_administer: false, ..destroy() };
    assert_eq!(world.refused("carol", refused, at(3)).code, "not-allowed");
    world.must("carol", destroy(), at(3));
    assert_eq!(world.state.target_keys().count(), 0);
}
