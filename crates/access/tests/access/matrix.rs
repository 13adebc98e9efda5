//! Every state × command, as one table. `ok` or the refusal's code.

use std::fmt::Write as _;

use model::{RequestId, Timestamp};
use portcullis_access as access;
use portcullis_access::Command;

use crate::world::*;

const NOW: u64 = 600;

fn now() -> Timestamp {
    at(NOW)
}

/// A request in each state. bob has approved it where that is possible; it needs two approvals or none.
fn requests() -> Vec<(&'static str, World)> {
    let two = vec![path("two", 60, 2, &[])];
    let free = vec![path("free", 60, 0, &[])];
    let later = model::RequestSpec { start: Some(at(7200)), ..spec() };
    let mut states = vec![("absent", World::default())];
    let pending = || {
        let mut world = World::default();
        world.must("alice", file(req(1), spec(), two.clone()), at(0));
        world.must("bob", approve(req(1), &[]), at(1));
        world
    };
    let filed = |spec| {
        let mut world = World::default();
        world.must("alice", file(req(1), spec, free.clone()), at(0));
        world
    };
    states.push(("pending", pending()));
    let mut world = pending();
    world.must("carol", deny(req(1)), at(2));
    states.push(("denied", world));
    let mut world = pending();
    world.must("alice", access::Cancel { request: req(1) }, at(2));
    states.push(("cancelled", world));
    let mut world = pending();
    let record = model::Entry {
        time: at(2),
        actor: model::Actor::System,
        correlation: (&req(1)).into(),
        fact: model::Fact::RequestExpired { request: req(1) },
    };
    world.record(record);
    states.push(("expired", world));
    states.push(("scheduled", filed(later)));
    states.push(("active", filed(spec())));
    let mut world = filed(model::RequestSpec { duration: minutes(5), ..spec() });
    states.push(("over, not ticked", world.clone()));
    world.tick(at(301));
    states.push(("over", world));
    let mut world = filed(spec());
    world.must("carol", revoke(req(1)), at(2));
    states.push(("revoked", world));
    let mut world = filed(spec());
    world.must("alice", access::Release { request: req(1) }, at(2));
    states.push(("released", world));
    let mut world = World::granted(9);
    let more = model::RequestSpec { duration: minutes(5), extends: Some(req(9)), ..spec() };
    world.must("alice", file(req(1), more, free.clone()), at(2));
    states.push(("extended", world));
    let mut world = filed(spec());
    world.must("carol", lock(lock_id(1), "target:web1"), at(2));
    states.push(("active, locked", world));
    let mut world = pending();
    world.must("carol", lock(lock_id(1), "identity:alice"), at(2));
    states.push(("pending, locked", world));
    for (name, world) in &states {
        let word = name.split(',').next().unwrap();
        let status = world.status(&req(1));
        assert!(status == word || (status == "active" && *name == "over, not ticked"), "{name} is {status}");
    }
    states
}

fn request_commands(id: &RequestId) -> Vec<(&'static str, &'static str, Command)> {
    let more = model::RequestSpec { duration: minutes(5), extends: Some(id.clone()), ..spec() };
    vec![
        ("approve", "carol", approve(id.clone(), &[]).into()),
        ("deny", "carol", deny(id.clone()).into()),
        ("withdraw", "bob", access::WithdrawReview { request: id.clone() }.into()),
        ("cancel", "alice", access::Cancel { request: id.clone() }.into()),
        ("revoke", "carol", revoke(id.clone()).into()),
        ("release", "alice", access::Release { request: id.clone() }.into()),
        ("extend", "alice", file(req(2), more, vec![path("free", 60, 0, &[])]).into()),
        ("same id", "alice", file(id.clone(), spec(), vec![path("free", 60, 0, &[])]).into()),
        ("open", "proxy1", open(ses(1), id.clone()).into()),
        ("certify", "alice", certificate(serial(1), id.clone(), at(NOW + 60)).into()),
        ("lock", "carol", lock(lock_id(7), &format!("grant:{id}")).into()),
    ]
}

/// A session in each state, of alice under `req(1)` through proxy1.
fn sessions() -> Vec<(&'static str, World)> {
    let live = || {
        let mut world = World::granted(1);
        let (target, may_administer) = ("web1".parse().unwrap(), true);
        let (key, public_key) = ("SHA256:1".to_owned(), "ssh-ed25519 AAAA".to_owned());
        world.must("carol", access::MakeTargetKey { target, key, public_key, may_administer }, at(0));
        // Not long ago: what a target's key signs for is two minutes old at most.
        world.must("proxy1", open(ses(1), req(1)), at(NOW - 60));
        world.must("proxy1", channel(ses(1), 0), at(NOW - 59));
        world
    };
    let then = at(NOW - 58);
    let mut cut = live();
    cut.must("carol", order(), then);
    let mut revoked = live();
    revoked.must("carol", revoke(req(1)), then);
    let mut locked = live();
    locked.must("carol", lock(lock_id(1), "everything"), then);
    let mut ended = live();
    ended.must("proxy1", end(ses(1)), then);
    vec![
        ("absent", World::granted(1)),
        ("live", live()),
        ("cut", cut),
        ("revoked", revoked),
        ("locked", locked),
        ("ended", ended),
    ]
}

fn order() -> access::CutSession {
    access::CutSession { session: ses(1), reason: "strange".parse().unwrap(), may_cut: true }
}

fn session_commands() -> Vec<(&'static str, &'static str, Command)> {
    let refused = access::ChannelRefused { session: ses(1), asked: "x11".to_owned(), reason: "not granted".to_owned() };
    let started = access::RecordingStarted { recording: rec(1), session: ses(1), channel: 1 };
    let (login, connection) = ("root".parse().unwrap(), "00".repeat(32));
    let log_in = access::UseTargetKey { session: ses(1), login, connection, takes_key: true };
    vec![
        ("log in", "proxy1", log_in.clone().into()),
        ("log in as proxy2", "proxy2", log_in.clone().into()),
        ("log in as alice", "alice", log_in.into()),
        ("open same", "proxy1", open(ses(1), req(1)).into()),
        ("cut", "carol", order().into()),
        ("cut own", "alice", access::CutSession { may_cut: false, ..order() }.into()),
        ("cut other's", "bob", access::CutSession { may_cut: false, ..order() }.into()),
        ("end", "proxy1", end(ses(1)).into()),
        ("open channel", "proxy1", channel(ses(1), 1).into()),
        ("again", "proxy1", channel(ses(1), 0).into()),
        ("close channel", "proxy1", channel_closed(ses(1), 0).into()),
        ("refuse channel", "proxy1", refused.into()),
        ("record", "proxy1", started.clone().into()),
        ("record as proxy2", "proxy2", started.into()),
        ("end as proxy2", "proxy2", end(ses(1)).into()),
        ("end as alice", "alice", end(ses(1)).into()),
    ]
}

/// A recording in each state.
fn recordings() -> Vec<(&'static str, World)> {
    let open = || {
        let mut world = World::granted(1);
        world.must("proxy1", open(ses(1), req(1)), at(1));
        let started = access::RecordingStarted { recording: rec(1), session: ses(1), channel: 0 };
        world.must("proxy1", started, at(2));
        world
    };
    let mut orphan = open();
    orphan.must("proxy1", end(ses(1)), at(3));
    let mut failed = open();
    failed.must("proxy1", access::RecordingFailed { recording: rec(1), error: "no room".to_owned() }, at(3));
    let mut closed = open();
    closed.must("proxy1", recording_closed(rec(1)), at(3));
    vec![
        ("absent", World::granted(1)),
        ("open", open()),
        ("open, session ended", orphan),
        ("failed", failed),
        ("closed", closed),
    ]
}

fn recording_commands() -> Vec<(&'static str, &'static str, Command)> {
    let failed = access::RecordingFailed { recording: rec(1), error: "no room".to_owned() };
    let replayed = access::RecordingReplayed { recording: rec(1), session: ses(1), request: req(1), may_replay: true };
    vec![
        ("close", "proxy1", recording_closed(rec(1)).into()),
        ("close as proxy2", "proxy2", recording_closed(rec(1)).into()),
        ("fail", "proxy1", failed.into()),
        ("replay", "carol", replayed.clone().into()),
        ("replay without right", "carol", access::RecordingReplayed { may_replay: false, ..replayed.clone() }.into()),
        ("replay as proxy", "proxy1", replayed.into()),
    ]
}

/// A certificate in each state.
fn certificates() -> Vec<(&'static str, World)> {
    let intended = || {
        let mut world = World::granted(1);
        world.must("alice", certificate(serial(1), req(1), at(1800)), at(1));
        world
    };
    let mut issued = intended();
    issued.must("alice", access::CertificateIssued { serial: serial(1), sha256: "00".to_owned() }, at(2));
    let mut failed = intended();
    failed.must("alice", access::CertificateFailed { serial: serial(1), error: "no key".to_owned() }, at(2));
    vec![("absent", World::granted(1)), ("intended", intended()), ("issued", issued), ("failed", failed)]
}

fn certificate_commands() -> Vec<(&'static str, &'static str, Command)> {
    let issued = access::CertificateIssued { serial: serial(1), sha256: "00".to_owned() };
    let failed = access::CertificateFailed { serial: serial(1), error: "no key".to_owned() };
    vec![
        ("intend", "alice", certificate(serial(1), req(1), at(1800)).into()),
        ("issue", "alice", issued.clone().into()),
        ("issue as bob", "bob", issued.into()),
        ("fail", "alice", failed.into()),
    ]
}

/// A lock in each state.
fn locks() -> Vec<(&'static str, World)> {
    let mut placed = World::default();
    placed.must("carol", lock(lock_id(1), "target:web1"), at(1));
    let mut lapsed = World::default();
    let mut short = lock(lock_id(1), "target:web1");
    short.lock.until = Some(at(100));
    lapsed.must("carol", short, at(1));
    let mut lifted = placed.clone();
    lifted.must("carol", unlock(lock_id(1)), at(2));
    vec![("absent", World::default()), ("placed", placed), ("lapsed, not ticked", lapsed), ("lifted", lifted)]
}

fn lock_commands() -> Vec<(&'static str, &'static str, Command)> {
    vec![
        ("lock", "carol", lock(lock_id(1), "target:web1").into()),
        ("lock without right", "carol", access::SetLock { may_lock: false, ..lock(lock_id(1), "everything") }.into()),
        ("unlock", "carol", unlock(lock_id(1)).into()),
        ("unlock without right", "carol", access::Unlock { may_lock: false, ..unlock(lock_id(1)) }.into()),
        ("request", "alice", file(req(1), spec(), vec![path("free", 60, 0, &[])]).into()),
    ]
}

/// The user CA's keys at each step of a replacement.
fn authorities() -> Vec<(&'static str, World)> {
    let act = |mut world: World, step: access::CaStep| {
        world.must("carol", rotate(step), at(1));
        world
    };
    let staged = act(World::default(), stage());
    let activated = act(staged.clone(), access::CaStep::Activate);
    vec![
        ("never", World::default()),
        ("staged", staged.clone()),
        ("activated", activated.clone()),
        ("retired", act(activated.clone(), access::CaStep::Retire)),
        ("cancelled", act(staged, access::CaStep::Cancel)),
        ("cancelled late", act(activated, access::CaStep::Cancel)),
    ]
}

fn stage() -> access::CaStep {
    access::CaStep::Stage { key: "SHA256:new".to_owned(), signs: "SHA256:old".to_owned() }
}

pub(crate) fn rotate(step: access::CaStep) -> access::RotateCa {
    access::RotateCa {
        ca: model::Authority::User,
        step,
        key: None,
        behind: Vec::new(),
        left: Vec::new(),
        force: false,
        may_rotate: true,
        shown: false,
    }
}

fn authority_commands() -> Vec<(&'static str, &'static str, Command)> {
    let idle = access::CaStep::Stage { key: "SHA256:old".to_owned(), signs: "SHA256:old".to_owned() };
    vec![
        ("stage", "carol", rotate(stage()).into()),
        ("stage the same", "carol", rotate(idle).into()),
        ("stage without right", "carol", access::RotateCa { may_rotate: false, ..rotate(stage()) }.into()),
        ("stage as proxy1", "proxy1", rotate(stage()).into()),
        ("activate", "carol", rotate(access::CaStep::Activate).into()),
        ("retire", "carol", rotate(access::CaStep::Retire).into()),
        ("cancel", "carol", rotate(access::CaStep::Cancel).into()),
    ]
}

/// An administrator's word that a proxy passes on moves no key, whatever policy says.
#[test]
fn no_proxy_passes_a_step_on() {
    let through = model::Actor::Through { identity: "carol".parse().unwrap(), proxy: "proxy1".parse().unwrap() };
    let refused = World::default().act(&through, rotate(stage()), now()).unwrap_err();
    assert_eq!(refused.code, "not-allowed");
}

fn table(title: &str, states: &[(&'static str, World)], commands: &[(&'static str, &'static str, Command)]) -> String {
    let mut text = format!("{title}\n");
    for (name, who, command) in commands {
        for (state, world) in states {
            let mut world = world.clone();
            let before = world.state.clone();
            let actor = if who.starts_with("proxy") { proxy(who) } else { identity(who) };
            let said = match world.act(&actor, command.clone(), now()) {
                Ok(_) => "ok",
                Err(refusal) => {
                    assert_eq!(world.state, before, "{name} on {state}: a refusal changes nothing");
                    assert!(!refusal.sentence.ends_with('.') && !refusal.sentence.is_empty(), "{refusal}");
                    refusal.code
                }
            };
            writeln!(text, "{name:<20} {state:<20} {said}").unwrap();
        }
    }
    text
}

#[test]
fn every_state_answers_every_command_as_the_table_says() {
    let id = req(1);
    let actual = [
        table("REQUESTS", &requests(), &request_commands(&id)),
        table("SESSIONS", &sessions(), &session_commands()),
        table("RECORDINGS", &recordings(), &recording_commands()),
        table("CERTIFICATES", &certificates(), &certificate_commands()),
        table("LOCKS", &locks(), &lock_commands()),
        table("AUTHORITIES", &authorities(), &authority_commands()),
    ]
    .join("\n");
    let expected = include_str!("matrix.txt");
    if actual != expected {
        let differing = actual.lines().zip(expected.lines()).find(|(one, other)| one != other);
        panic!("the table differs, first at {differing:?}; it is now:\n{actual}");
    }
}
