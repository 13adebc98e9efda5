//! What holds whatever happens, in whatever order.

use std::collections::BTreeSet;

use model::{
    Actor, CertificateProfile, Entry, Fact, Factors, GrantEnd, Principal, Record, RequestSpec, SecondFactor, Seq,
    SessionEnd, Span, Timestamp, Verdict,
};
use portcullis_access as access;
use portcullis_access::{Command, RequestState, Standing, State, decide};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree as _;

use crate::world::*;

const PEOPLE: [&str; 3] = ["alice", "bob", "carol"];
const GROUPS: [&str; 2] = ["sre", "db"];

fn person() -> impl Strategy<Value = &'static str> {
    prop::sample::select(PEOPLE.as_slice())
}

fn actors() -> impl Strategy<Value = Actor> {
    prop_oneof![
        6 => person().prop_map(identity),
        3 => prop::sample::select(["proxy1", "proxy2"].as_slice()).prop_map(proxy),
        2 => Just(Actor::System),
    ]
}

fn groups() -> impl Strategy<Value = Vec<&'static str>> {
    prop::sample::subsequence(GROUPS.as_slice(), 0..=2)
}

fn paths() -> impl Strategy<Value = Vec<model::PolicyPath>> {
    let one = (0..3u32, 1..4u32, groups(), any::<bool>(), any::<bool>()).prop_map(
        |(approvals, tens, approvers, ticket, touch)| {
            let name = format!("p{approvals}-{tens}");
            let mut path = path(&name, tens * 10, approvals, &approvers);
            path.obligations.ticket = ticket && touch;
            path.obligations.touch = touch && !ticket;
            path.obligations.factor = (touch && ticket).then_some(SecondFactor::Totp);
            path
        },
    );
    vec(one, 1..4)
}

fn specs() -> impl Strategy<Value = RequestSpec> {
    let start = prop::option::weighted(0.2, (0..6000u64).prop_map(at));
    (person(), 0..2u8, 0..2u8, 1..40u32, start, any::<bool>()).prop_map(
        |(who, target, login, minutes, start, ticket)| RequestSpec {
            identity: who.parse().unwrap(),
            target: if target == 0 { "web1" } else { "web2" }.parse().unwrap(),
            login: if login == 0 { "root" } else { "admin" }.parse().unwrap(),
            duration: Span::from_minutes(minutes),
            start,
            ticket: ticket.then(|| "OPS-1".to_owned()),
            ..spec()
        },
    )
}

fn subjects() -> impl Strategy<Value = String> {
    prop_oneof![
        person().prop_map(|name| format!("identity:{name}")),
        Just("target:web1".to_owned()),
        Just("login:root".to_owned()),
        Just("login:root@web1".to_owned()),
        (1..60u64).prop_map(|n| format!("grant:{}", req(n))),
        Just("everything".to_owned()),
    ]
}

fn verdicts() -> impl Strategy<Value = Verdict> {
    prop_oneof![
        3 => Just(Verdict::Approve { duration: None }),
        2 => (0..40u32).prop_map(|n| Verdict::Approve { duration: Some(Span::from_minutes(n)) }),
        1 => Just(Verdict::Deny),
    ]
}

/// A step before it knows the world: what to do, to which of the things that are there, and what to get wrong.
#[derive(Clone, Debug)]
struct Step {
    deed: Deed,
    pick: prop::sample::Index,
    /// Take a random id, another actor, another target: things that must be refused.
    odd: bool,
    anyone: Actor,
    later: u64,
}

#[derive(Clone, Debug)]
enum Deed {
    File {
        spec: RequestSpec,
        key: Option<String>,
        touch: bool,
        paths: Vec<model::PolicyPath>,
        ttl: u32,
    },
    Extend {
        minutes: u32,
        paths: Vec<model::PolicyPath>,
    },
    Review {
        by: &'static str,
        verdict: Verdict,
        groups: Vec<&'static str>,
        may: bool,
        paths: Option<Vec<model::PolicyPath>>,
    },
    Withdraw,
    Cancel,
    Release,
    Revoke,
    Lock {
        subject: String,
        until: Option<u64>,
    },
    Unlock,
    Open {
        judged: bool,
        limit: u32,
    },
    Session {
        which: u8,
        channel: u32,
    },
    Recording {
        which: u8,
    },
    Certify {
        session: bool,
        until: u64,
    },
    Settle {
        good: bool,
    },
    TargetKey {
        which: u8,
        target: bool,
    },
    Tick,
}

fn steps() -> impl Strategy<Value = Vec<Step>> {
    let key = prop::option::weighted(0.3, (0..3u8).prop_map(|n| format!("k{n}")));
    let filing = (specs(), key, any::<bool>(), paths(), 0..5000u32)
        .prop_map(|(spec, key, touch, paths, ttl)| Deed::File { spec, key, touch, paths, ttl });
    let review = (person(), verdicts(), groups(), prop::bool::weighted(0.9), prop::option::weighted(0.2, paths()))
        .prop_map(|(by, verdict, groups, may, paths)| Deed::Review { by, verdict, groups, may, paths });
    let deed = prop_oneof![
        8 => filing,
        4 => (1..20u32, paths()).prop_map(|(minutes, paths)| Deed::Extend { minutes, paths }),
        10 => review,
        1 => Just(Deed::Withdraw),
        1 => Just(Deed::Cancel),
        1 => Just(Deed::Release),
        1 => Just(Deed::Revoke),
        1 => (subjects(), prop::option::weighted(0.8, 0..6000u64)).prop_map(|(subject, until)| Deed::Lock { subject, until }),
        4 => Just(Deed::Unlock),
        10 => (prop::bool::weighted(0.9), 0..6u32).prop_map(|(judged, limit)| Deed::Open { judged, limit }),
        6 => (0..6u8, 0..3u32).prop_map(|(which, channel)| Deed::Session { which, channel }),
        3 => (0..2u8).prop_map(|which| Deed::Recording { which }),
        4 => (any::<bool>(), 0..400u64).prop_map(|(session, until)| Deed::Certify { session, until }),
        3 => any::<bool>().prop_map(|good| Deed::Settle { good }),
        8 => (0..16u8, any::<bool>()).prop_map(|(which, target)| Deed::TargetKey { which, target }),
        3 => Just(Deed::Tick),
    ];
    // Some things follow each other at once.
    let later = (0..300u64).prop_map(|seconds| seconds.saturating_sub(100));
    let step = (deed, any::<prop::sample::Index>(), prop::bool::weighted(0.08), actors(), later)
        .prop_map(|(deed, pick, odd, anyone, later)| Step { deed, pick, odd, anyone, later });
    vec(step, 1..200)
}

fn nth<T>(things: impl Iterator<Item = T>, pick: prop::sample::Index) -> Option<T> {
    let mut things: Vec<T> = things.collect();
    if things.is_empty() { None } else { Some(things.swap_remove(pick.index(things.len()))) }
}

impl Step {
    /// The command in this world, and who gives it. `fresh` is an id that nothing has yet.
    fn command(&self, world: &World, fresh: u64, now: Timestamp) -> (Actor, Command) {
        let state = &world.state;
        let nobody = self.odd && fresh.is_multiple_of(2);
        let fresh = if nobody { fresh / 2 } else { fresh };
        let request = nth(state.requests(), self.pick).filter(|_| !nobody);
        let granted = nth(state.grants().map(|(request, _)| request), self.pick).or(request);
        let pending = nth(state.pending(), self.pick).or(request);
        let session = nth(state.live_sessions(), self.pick).filter(|_| !nobody);
        let id = |one: Option<&access::Request>| one.map_or(req(777), |one| one.id.clone());
        let holder = |one: Option<&access::Request>| {
            one.map_or_else(|| identity("alice"), |one| Actor::Identity(one.spec.identity.clone()))
        };
        let session_id = session.map_or(ses(777), |session| session.id.clone());
        let (sensible, command): (Actor, Command) = match self.deed.clone() {
            Deed::File { spec, key, touch, paths, ttl } => {
                let asker = Actor::Identity(spec.identity.clone());
                let ttl = Span::from_seconds(ttl);
                let request = req(fresh);
                let shown = Factors { touch, totp: touch };
                let filed =
                    access::FileRequest { request, spec, idempotency_key: key, shown, address: None, paths, ttl };
                (asker, filed.into())
            }
            Deed::Extend { minutes, paths } => {
                let base = granted.map_or_else(spec, |granted| granted.spec.clone());
                let duration = Span::from_minutes(minutes);
                let more = RequestSpec { extends: Some(id(granted)), start: None, duration, ..base };
                (holder(granted), file(req(fresh), more, paths).into())
            }
            Deed::Review { by, verdict, groups, may, paths } => {
                let standing = Standing { may_review: may, ..standing(&groups) };
                let request = id(pending);
                let (comment, shown, address, others) = (None, Factors::default(), None, None);
                let review = access::Review { request, verdict, comment, standing, shown, address, paths, others };
                (identity(by), review.into())
            }
            Deed::Withdraw => {
                let by = pending.and_then(|pending| pending.reviews().last()).map(|review| review.by.clone());
                let by = by.map_or_else(|| identity("bob"), Actor::Identity);
                (by, access::WithdrawReview { request: id(pending) }.into())
            }
            Deed::Cancel => (holder(pending), access::Cancel { request: id(pending) }.into()),
            Deed::Release => (holder(granted), access::Release { request: id(granted) }.into()),
            Deed::Revoke => (identity("carol"), access::Revoke { may_revoke: !self.odd, ..revoke(id(granted)) }.into()),
            Deed::Lock { subject, until } => {
                let mut set = lock(lock_id(fresh), &subject);
                set.lock.until = until.map(at);
                (identity("carol"), set.into())
            }
            Deed::Unlock => {
                let placed = nth(state.locks(), self.pick);
                let command = unlock(placed.map_or(lock_id(777), |placed| placed.lock.id.clone()));
                (Actor::System, command.into())
            }
            Deed::Open { judged, limit } => {
                let of = granted.map_or_else(spec, |granted| granted.spec.clone());
                let identity = if self.odd { "bob".parse().unwrap() } else { of.identity };
                let paths = if judged { vec![path("connect", 30, 0, &[])] } else { vec![] };
                let base = open(ses(fresh), id(granted));
                let (target, login) = (of.target, of.login);
                let open = access::OpenSession { identity, target, login, paths, sessions_limit: limit, ..base };
                (proxy("proxy1"), open.into())
            }
            Deed::Session { which, channel: number } => {
                let command: Command = match which {
                    0 => end(session_id).into(),
                    1 | 2 => channel(session_id, number).into(),
                    3 => channel_closed(session_id, number).into(),
                    4 => {
                        access::RecordingStarted { recording: rec(fresh), session: session_id, channel: number }.into()
                    }
                    _ => {
                        let reason = "strange".parse().unwrap();
                        let cut = access::CutSession { session: session_id, reason, may_cut: false };
                        return (Actor::System, cut.into());
                    }
                };
                (proxy("proxy1"), command)
            }
            Deed::Recording { which } => {
                let recording = nth(state.recordings(), self.pick).map_or(rec(777), |known| known.id.clone());
                let command: Command = match which {
                    0 => recording_closed(recording).into(),
                    _ => access::RecordingFailed { recording, error: "no room".to_owned() }.into(),
                };
                (proxy("proxy1"), command)
            }
            Deed::Certify { session, until } => {
                let until = now.plus(Span::from_seconds(until as u32));
                let mut intend = certificate(serial(fresh), id(granted), until);
                let of = granted.map_or_else(spec, |granted| granted.spec.clone());
                intend.certificate.principals = BTreeSet::from([Principal::Identity(of.identity)]);
                if session {
                    intend.certificate.profile = CertificateProfile::Session;
                    intend.certificate.principals = BTreeSet::from([Principal::Login(of.login, of.target)]);
                }
                (if session { proxy("proxy1") } else { holder(granted) }, intend.into())
            }
            Deed::Settle { good } => {
                let known = nth(state.certificates(), self.pick).map_or(serial(777), |known| known.body.serial);
                let command: Command = if good {
                    access::CertificateIssued { serial: known, sha256: "00".to_owned() }.into()
                } else {
                    access::CertificateFailed { serial: known, error: "no key".to_owned() }.into()
                };
                (Actor::System, command)
            }
            Deed::TargetKey { which, target } => {
                let target: model::TargetName = if target { "web1" } else { "web2" }.parse().unwrap();
                let may_administer = !self.odd;
                let live = state.live_sessions().filter(|live| live.state == access::SessionState::Live);
                let newest = live.max_by_key(|live| live.opened);
                let target = newest.map_or(target, |newest| newest.target.clone());
                match which {
                    0..=2 => {
                        let (key, public_key) = (format!("SHA256:{fresh}"), format!("ssh-ed25519 {fresh}"));
                        let make = access::MakeTargetKey { target, key, public_key, may_administer };
                        (identity("carol"), make.into())
                    }
                    3 => (identity("carol"), access::DestroyTargetKey { target, may_administer }.into()),
                    _ => {
                        // The others are older than two minutes, as steps go here.
                        let newest = newest.or(session);
                        let login = newest.map_or_else(|| "root".parse().unwrap(), |newest| newest.login.clone());
                        let session = newest.map_or(session_id, |newest| newest.id.clone());
                        let connection = format!("{fresh}");
                        let used = access::UseTargetKey { session, login, connection, takes_key: !self.odd };
                        (proxy("proxy1"), used.into())
                    }
                }
            }
            Deed::Tick => (Actor::System, Command::Tick),
        };
        (if self.odd { self.anyone.clone() } else { sensible }, command)
    }
}

/// What must hold of a fact that was just decided, in the state before it.
#[expect(clippy::wildcard_enum_match_arm, reason = "only these facts carry a promise")]
fn check(state: &State, entry: &Entry, now: Timestamp) {
    match &entry.fact {
        Fact::SessionOpened { request, identity, target, login, .. } => {
            let (known, grant) = state.grant(request).expect("a grant");
            assert!(grant.starts <= now && now < grant.ends, "the grant is not active at {now}");
            assert!(grant.is_active(now) && known.status() == "active");
            assert_eq!((&known.spec.identity, &known.spec.target, &known.spec.login), (identity, target, login));
            let covers = |placed: &access::PlacedLock| {
                placed.lock.until.is_none_or(|until| now < until)
                    && placed.lock.subject.covers(identity, target, login, Some(request))
            };
            assert!(!state.locks().any(covers), "a locked session was opened");
        }
        Fact::TargetKeyUsed { session, target, login, key, .. } => {
            let session = state.session(session).expect("a session");
            assert_eq!(session.state, access::SessionState::Live);
            assert_eq!((&session.target, &session.login), (target, login));
            assert_eq!(entry.actor, Actor::Proxy(session.proxy.clone()), "not by its own proxy");
            assert!(session.target_log_in.is_none() && now < session.opened.plus(Span::from_minutes(2)));
            assert!(state.grant(&session.request).is_some_and(|(_, grant)| grant.is_active(now)));
            assert_eq!(state.target_key(target).map(|known| &known.key), Some(key));
        }
        Fact::RequestReviewed { request, .. } => {
            let asker = &state.request(request).unwrap().spec.identity;
            assert_ne!(entry.actor.identity(), Some(asker), "a self-review");
        }
        Fact::RequestApproved { request, path, approvers, starts, ends } => {
            let known = state.request(request).unwrap();
            assert!(!approvers.contains(&known.spec.identity), "a self-approval");
            assert!(approvers.len() >= path.obligations.approvals as usize);
            let reviews = known.reviews().iter().filter(|review| review.withdrawn.is_none());
            let groups: BTreeSet<_> = reviews.flat_map(|review| &review.groups).collect();
            assert!(path.obligations.approvers.iter().all(|group| groups.contains(group)));
            assert!(*ends <= starts.plus(path.obligations.max_duration), "longer than its path allows");
            assert!(*starts >= now);
            assert!(!path.obligations.ticket || known.spec.ticket.is_some());
            assert!(path.obligations.are_met_by(known.asked.factors()));
        }
        Fact::GrantExtended { request, by, from, to } => {
            let (known, grant) = state.grant(request).unwrap();
            assert!(grant.is_active(now) && grant.ends == *from && from < to);
            let extension = state.request(by).unwrap();
            assert_eq!(extension.spec.identity, known.spec.identity, "only its holder extends a grant");
            let RequestState::Extended(extension) = &extension.state else { panic!("not approved") };
            assert!(*to <= now.plus(extension.path.obligations.max_duration), "more is left than its path allows");
        }
        _ => {}
    }
}

/// Lets it all happen, and looks at each fact before it is applied.
fn play(steps: Vec<Step>) -> World {
    let mut world = World::default();
    let mut now = at(0);
    for (fresh, step) in (1..).zip(steps) {
        now = now.plus(Span::from_seconds(step.later as u32));
        let (actor, command) = step.command(&world, fresh, now);
        let Ok(decision) = decide(&world.state, &actor, command.clone(), now) else { continue };
        for entry in &decision.facts {
            check(&world.state, entry, now);
            assert_eq!(entry.time, now);
            world.record(entry.clone());
        }
        let sessions = decision.facts.iter().filter(|entry| matches!(entry.fact, Fact::SessionOpened { .. }));
        assert_eq!(decision.permit.is_some(), sessions.count() == 1, "a permit and its fact come together");
        if let Command::FileRequest(file) = &command
            && file.idempotency_key.is_some()
        {
            let again = decide(&world.state, &actor, command.clone(), now).expect("a repeat");
            assert!(again.facts.is_empty());
            assert_eq!(again.request, decision.request);
        }
    }
    world
}

/// The generator is worth nothing when it is refused all the time: every kind of fact that changes the state comes up.
#[test]
fn the_generator_reaches_every_kind_of_fact() {
    let mut runner = proptest::test_runner::TestRunner::deterministic();
    let mut seen = std::collections::BTreeMap::new();
    for _ in 0..400 {
        let steps = steps().new_tree(&mut runner).unwrap().current();
        for record in play(steps).log {
            let kind = serde_json::to_value(&record.entry.fact).unwrap()["kind"].as_str().unwrap().to_owned();
            *seen.entry(kind).or_insert(0) += 1;
        }
    }
    let decided = 25;
    assert!(seen.len() >= decided && seen.values().all(|count| *count >= 5), "{} kinds: {seen:#?}", seen.len());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    /// The one test of the whole: whatever is asked by whomever, what is decided can be applied, and is right.
    #[test]
    fn no_sequence_of_commands_breaks_a_promise(steps in steps()) {
        let world = play(steps);
        // The ledger alone makes the same state, and so does a snapshot.
        let mut replayed = State::new();
        for record in &world.log {
            replayed.apply(record).unwrap();
        }
        prop_assert_eq!(&replayed, &world.state);
        let text = serde_json::to_string(&world.state).unwrap();
        prop_assert_eq!(&serde_json::from_str::<State>(&text).unwrap(), &world.state);
        // No session of an ended grant passes for one that may go on.
        for session in world.state.live_sessions() {
            let (_, grant) = world.state.grant(&session.request).expect("its grant is kept");
            prop_assert!(session.status() == "cut" || grant.is_live());
        }
    }

    /// Whatever a ledger says, it is applied or named as corrupt, and a corrupt record changes nothing.
    #[test]
    fn no_record_makes_apply_panic(facts in vec((facts(), actors(), prop::bool::weighted(0.02)), 1..60)) {
        let mut state = State::new();
        for (fact, actor, gap) in facts {
            let seq = if gap { Seq(state.next().0 + 1) } else { state.next() };
            let record = Record { seq, entry: Entry { time: at(0), actor, correlation: (&req(0)).into(), fact } };
            let before = state.clone();
            if let Err(corruption) = state.apply(&record) {
                prop_assert_eq!(corruption.seq, seq);
                prop_assert_eq!(&state, &before);
            } else {
                prop_assert_eq!(state.next(), before.next().next());
            }
        }
        let text = serde_json::to_string(&state).unwrap();
        prop_assert_eq!(&serde_json::from_str::<State>(&text).unwrap(), &state);
    }
}

fn web1() -> model::TargetName {
    "web1".parse().unwrap()
}

/// Facts about a few ids, in no sensible order.
fn facts() -> impl Strategy<Value = Fact> {
    let path_of = |n: u64| path("p", 30, (n % 3) as u32, &[]);
    let approvers = prop::sample::subsequence(PEOPLE.as_slice(), 0..=3);
    let few = 0..3u64;
    let requests = (few.clone(), specs(), 0..9u8, verdicts(), approvers, 0..50u64, 0..50u64).prop_map(
        move |(n, spec, which, verdict, approvers, from, to)| {
            let request = req(n);
            match which {
                0..=2 => Fact::RequestFiled {
                    request,
                    spec,
                    asked: model::Asked {
                        idempotency_key: None,
                        touch: false,
                        totp: false,
                        address: None,
                        through: None,
                        expires: at(to),
                    },
                    paths: vec![path_of(n)],
                },
                3 => {
                    let (groups, comment) = (BTreeSet::new(), None);
                    let (touch, totp, address) = (false, false, None);
                    Fact::RequestReviewed { request, verdict, groups, comment, touch, totp, address }
                }
                4 => Fact::ReviewWithdrawn { request },
                5 => Fact::RequestApproved {
                    request,
                    path: path_of(n),
                    approvers: approvers.iter().map(|name| name.parse().unwrap()).collect(),
                    starts: at(from),
                    ends: at(to),
                },
                6 => Fact::RequestDenied { request },
                7 => Fact::RequestExpired { request },
                _ => Fact::RequestCancelled { request },
            }
        },
    );
    let grants = (few.clone(), few.clone(), 0..3u8, 0..50u64, 0..50u64).prop_map(|(n, by, which, from, to)| {
        let request = req(n);
        match which {
            0 => Fact::GrantActivated { request },
            1 => Fact::GrantExtended { request, by: req(by), from: at(from), to: at(to) },
            _ => Fact::GrantEnded { request, end: GrantEnd::Revoked, reason: None },
        }
    });
    let sessions = (few.clone(), few.clone(), 0..6u8, specs()).prop_map(|(s, n, which, spec)| {
        let session = ses(s);
        let channel = n as u32;
        match which {
            0 | 1 => Fact::SessionOpened {
                session,
                request: req(n),
                identity: spec.identity,
                target: spec.target,
                login: spec.login,
                address: String::new(),
                proxy: "proxy1".parse().unwrap(),
                way: model::WayIn::Jump,
                bought_with: None,
                presence: Some(presence(&ses(s))),
            },
            2 => Fact::SessionCut { session, reason: "x".to_owned() },
            3 => Fact::SessionEnded { session, end: SessionEnd::Client, cut: None, dropped: at(0) },
            4 => Fact::ChannelOpened { session, channel, channel_kind: model::ChannelKind::Shell, pty: None },
            _ => Fact::ChannelClosed { session, channel, end: model::ChannelEnd::default() },
        }
    });
    let others = (few.clone(), few, 0..10u8, subjects()).prop_map(|(n, s, which, subject)| match which {
        0 => Fact::RecordingStarted { recording: rec(n), session: ses(s), channel: 0 },
        1 => {
            let closed = recording_closed(rec(n)).closed;
            Fact::RecordingClosed { recording: rec(n), session: ses(s), closed }
        }
        2 => Fact::RecordingFailed { recording: rec(n), session: ses(s), error: String::new() },
        3 => Fact::CertificateIssued { serial: serial(n), sha256: String::new() },
        4 => {
            let intend = certificate(serial(n), req(s), at(9));
            Fact::CertificateIntended {
                certificate: intend.certificate,
                request: intend.request,
                tbs_sha256: String::new(),
                bought_with: None,
            }
        }
        7 => Fact::TargetKeyMade { target: web1(), key: format!("SHA256:{n}"), public_key: String::new() },
        8 => Fact::TargetKeyDestroyed { target: web1(), key: format!("SHA256:{n}") },
        9 => Fact::TargetKeyUsed {
            session: ses(s),
            target: web1(),
            login: "root".parse().unwrap(),
            key: format!("SHA256:{n}"),
            connection: String::new(),
        },
        5 => Fact::LockPlaced { lock: lock(lock_id(n), &subject).lock },
        _ => Fact::LockLifted { lock: lock_id(n), reason: None },
    });
    prop_oneof![4 => requests, 1 => grants, 2 => sessions, 2 => others]
}
