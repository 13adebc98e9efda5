//! The rules, one by one.

use std::collections::BTreeSet;

use model::{
    Actor, CertificateProfile, Correlation, Fact, GrantEnd, Principal, RequestSpec, Seq, SessionEnd, Span, Timestamp,
    Verdict,
};
use portcullis_access as access;
use portcullis_access::{Command, CutCause, Problem, RequestState, SessionState, Standing, State, decide};

use crate::world::*;

fn kinds(decision: &access::Decision) -> Vec<String> {
    let kind = |fact: &Fact| serde_json::to_value(fact).unwrap()["kind"].as_str().unwrap().to_owned();
    decision.facts.iter().map(|entry| kind(&entry.fact)).collect()
}

fn ends(world: &World, n: u64) -> Timestamp {
    world.state.grant(&req(n)).unwrap().1.ends
}

#[test]
fn a_path_without_approvals_is_granted_when_it_is_asked_for() {
    let mut world = World::default();
    let decision = world.must("alice", file(req(1), spec(), vec![path("free", 60, 0, &[])]), at(5));
    assert_eq!(kinds(&decision), ["request.filed", "request.approved"]);
    assert!(decision.facts.iter().all(|entry| entry.correlation == Correlation::from(&req(1))));
    assert_eq!(decision.facts[1].actor, Actor::System);
    assert_eq!(ends(&world, 1), at(5).plus(minutes(30)), "the clock starts at approval");
    let permit = world.must("proxy1", open(ses(1), req(1)), at(6)).permit.unwrap();
    assert_eq!((permit.session(), permit.request(), permit.ends()), (&ses(1), &req(1), at(1805)));
    assert_eq!(permit.obligations(), &path("free", 60, 0, &[]).obligations, "those of the grant's own path");
}

#[test]
fn the_clock_of_a_grant_starts_at_approval() {
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![path("one", 60, 1, &[])]), at(0));
    let decision = world.must("bob", approve(req(1), &[]), at(900));
    assert_eq!(kinds(&decision), ["request.reviewed", "request.approved"]);
    assert_eq!(ends(&world, 1), at(900 + 1800));
    let later = RequestSpec { start: Some(at(5000)), ..spec() };
    world.must("alice", file(req(2), later, vec![path("one", 60, 1, &[])]), at(900));
    world.must("bob", approve(req(2), &[]), at(1000));
    assert_eq!((world.status(&req(2)), ends(&world, 2)), ("scheduled", at(5000 + 1800)));
}

#[test]
fn nobody_reviews_their_own_request() {
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![path("one", 60, 1, &["sre"])]), at(0));
    assert_eq!(world.refused("alice", approve(req(1), &["sre"]), at(1)).code, "self-review");
    assert_eq!(world.refused("alice", deny(req(1)), at(1)).code, "self-review");
    let mut world = World::granted(1);
    let more = RequestSpec { extends: Some(req(1)), ..spec() };
    world.must("alice", file(req(2), more, vec![path("one", 60, 1, &[])]), at(100));
    assert_eq!(world.refused("alice", approve(req(2), &[]), at(101)).code, "self-review");
}

#[test]
fn nobody_asks_in_the_name_of_another() {
    let mut world = World::default();
    let filing = file(req(1), spec(), vec![path("free", 60, 0, &[])]);
    assert_eq!(world.refused("bob", filing.clone(), at(0)).code, "not-the-asker");
    assert_eq!(world.refused("proxy1", filing, at(0)).code, "not-a-person");
}

#[test]
fn one_denial_ends_the_request() {
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![path("two", 60, 2, &[])]), at(0));
    world.must("bob", approve(req(1), &[]), at(1));
    let decision = world.must("carol", deny(req(1)), at(2));
    assert_eq!(kinds(&decision), ["request.reviewed", "request.denied"]);
    let refusal = world.refused("dave", approve(req(1), &[]), at(3));
    let sentence = format!("request {} was denied by carol at {}: it cannot be approved", req(1), at(2));
    assert_eq!(refusal.sentence, sentence);
}

#[test]
fn who_comes_too_late_hears_who_was_first_and_what_to_do() {
    let pending = |world: &mut World, n: u64| {
        world.must("alice", file(req(n), spec(), vec![path("one", 60, 1, &[])]), at(0));
    };
    let mut world = World::default();
    for n in 1..=4 {
        pending(&mut world, n);
    }
    world.must("bob", approve(req(1), &[]), at(1));
    world.must("bob", deny(req(2)), at(1));
    world.must("alice", access::Cancel { request: req(3) }, at(1));
    let ask = "to ask again, run: portcullis request root@web1 --for 30m";
    let late = |world: &mut World, command: Command| {
        let refusal = world.refused("carol", command, at(3600));
        (refusal.sentence, refusal.hint.unwrap())
    };
    for (n, became, next) in [
        (2, format!("was denied by bob at {}", at(1)), ask.to_owned()),
        (3, format!("was cancelled by alice at {}", at(1)), ask.to_owned()),
        (4, format!("expired at {}, because nobody decided in time", at(3600)), ask.to_owned()),
        (1, format!("is over since {}", at(1801)), ask.to_owned()),
    ] {
        for command in [approve(req(n), &[]).into(), deny(req(n)).into()] {
            let (sentence, hint) = late(&mut world, command);
            assert!(sentence.contains(&became) && hint.contains(&next), "{sentence}: {hint}");
        }
        let (sentence, hint) = late(&mut world, revoke(req(n)).into());
        assert!(sentence.contains(&became) && hint.contains(&next), "{sentence}: {hint}");
    }
    let early = world.refused("carol", deny(req(1)), at(2));
    assert!(early.sentence.contains(&format!("was approved by bob at {}", at(1))), "{early}");
    assert!(early.hint.unwrap().contains(&format!("portcullis revoke {}", req(1))));
    world.must("carol", revoke(req(1)), at(3));
    let late = world.refused("bob", revoke(req(1)), at(4));
    assert!(late.sentence.contains(&format!("was revoked by carol at {}", at(3))), "{late}");
}

#[test]
fn a_reviewer_needs_the_right_and_answers_once() {
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![path("two", 60, 2, &[])]), at(0));
    let without = access::Review { standing: Standing::default(), ..approve(req(1), &[]) };
    let refusal = world.refused("bob", without, at(1));
    assert_eq!((refusal.code, refusal.sentence.contains("bob may not review")), ("not-a-reviewer", true));
    world.must("bob", approve(req(1), &[]), at(2));
    assert_eq!(world.refused("bob", approve(req(1), &[]), at(3)).code, "already-reviewed");
    assert_eq!(world.refused("bob", deny(req(1)), at(3)).code, "already-reviewed");
    world.must("bob", access::WithdrawReview { request: req(1) }, at(4));
    assert_eq!(world.refused("bob", access::WithdrawReview { request: req(1) }, at(5)).code, "no-review");
    world.must("carol", approve(req(1), &[]), at(6));
    assert_eq!(world.status(&req(1)), "pending", "a withdrawn review does not count");
    world.must("bob", approve(req(1), &[]), at(7));
    assert_eq!(world.status(&req(1)), "active");
    let refusal = world.refused("bob", access::WithdrawReview { request: req(1) }, at(8));
    assert!(refusal.sentence.contains("was approved by bob and carol at"), "{refusal}");
}

#[test]
fn each_listed_group_must_approve_and_only_they_count() {
    let paths = vec![path("both", 60, 2, &["sre", "db"])];
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), paths.clone()), at(0));
    world.must("bob", approve(req(1), &["sre"]), at(1));
    world.must("carol", approve(req(1), &["sre", "staff"]), at(2));
    let missing = world.state.missing(&req(1), at(2));
    assert_eq!(missing[0].to_string(), "both lacks 1 approval (by db)");
    world.must("dave", approve(req(1), &["staff"]), at(3));
    assert_eq!(world.status(&req(1)), "pending", "dave answers for no listed group");
    world.must("erin", approve(req(1), &["db"]), at(4));
    let approvers = world.state.request(&req(1)).unwrap().approvers().unwrap().clone();
    assert_eq!(approvers, ["bob", "carol", "erin"].map(|name| name.parse().unwrap()).into());

    let mut world = World::default();
    world.must("alice", file(req(1), spec(), paths), at(0));
    world.must("bob", approve(req(1), &["sre", "db"]), at(1));
    assert_eq!(world.status(&req(1)), "pending", "one person of both groups is still one person");
}

#[test]
fn the_least_burden_is_taken_and_obligations_never_mix() {
    let long = path("long", 240, 1, &[]);
    let short = path("short", 30, 0, &[]);
    let mut world = World::default();
    let decision = world.must("alice", file(req(1), spec(), vec![long.clone(), short.clone()]), at(0));
    assert_eq!(world.state.grant(&req(1)).unwrap().1.path, short);
    assert_eq!(decision.gaps.iter().map(|gap| gap.policy.as_str()).collect::<Vec<_>>(), ["short", "long"]);
    assert!(decision.gaps[0].is_empty());
    assert_eq!(decision.gaps[1].to_string(), "long lacks 1 approval");

    let longer = RequestSpec { duration: minutes(120), ..spec() };
    let decision = world.must("alice", file(req(2), longer.clone(), vec![long.clone(), short.clone()]), at(0));
    assert_eq!(world.status(&req(2)), "pending");
    assert_eq!(decision.gaps[0].to_string(), "short lacks a time of at most 30m");
    world.must("bob", approve(req(2), &[]), at(1));
    assert_eq!(world.state.grant(&req(2)).unwrap().1.path, long, "two hours are the long path's");

    world.must("alice", file(req(3), longer, vec![long, short.clone()]), at(2));
    let shorter = access::Review { verdict: Verdict::Approve { duration: Some(minutes(20)) }, ..approve(req(3), &[]) };
    world.must("bob", shorter, at(3));
    assert_eq!(world.state.grant(&req(3)).unwrap().1.path, short, "shortened, it fits the lighter path");
    assert_eq!(ends(&world, 3), at(3).plus(minutes(20)));
}

#[test]
fn among_equal_burdens_the_closer_watch_wins() {
    let mut loose = path("a-loose", 60, 0, &[]);
    loose.obligations.recording = model::RecordingMode::Off;
    let strict = path("b-strict", 60, 0, &[]);
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![loose, strict.clone()]), at(0));
    assert_eq!(world.state.grant(&req(1)).unwrap().1.path, strict);
}

#[test]
fn the_shortest_approver_decides_how_long() {
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![path("two", 60, 2, &[])]), at(0));
    let of =
        |duration| access::Review { verdict: Verdict::Approve { duration: Some(duration) }, ..approve(req(1), &[]) };
    assert_eq!(world.refused("bob", of(minutes(31)), at(1)).code, "bad-duration");
    assert_eq!(world.refused("bob", of(Span::ZERO), at(1)).code, "bad-duration");
    world.must("bob", of(minutes(10)), at(1));
    world.must("carol", of(minutes(20)), at(2));
    assert_eq!(ends(&world, 1), at(2).plus(minutes(10)));
}

#[test]
fn what_no_path_can_give_is_refused_at_once() {
    let mut world = World::default();
    let refusal = world.refused("alice", file(req(1), spec(), vec![]), at(0));
    assert_eq!(refusal.code, "no-path");
    let refusal = world.refused("alice", file(req(1), spec(), vec![path("short", 20, 0, &[])]), at(0));
    assert_eq!((refusal.code, refusal.hint.as_deref()), ("too-long", Some("ask --for 20m")));
    let mut ticket = path("ticket", 60, 0, &[]);
    ticket.obligations.ticket = true;
    let mut touch = path("touch", 60, 0, &[]);
    touch.obligations.touch = true;
    assert_eq!(world.refused("alice", file(req(1), spec(), vec![ticket.clone()]), at(0)).code, "ticket-needed");
    assert_eq!(world.refused("alice", file(req(1), spec(), vec![touch.clone()]), at(0)).code, "touch-needed");
    let named = RequestSpec { ticket: Some("OPS-7".to_owned()), ..spec() };
    world.must("alice", file(req(1), named, vec![ticket]), at(0));
    world.must(
        "alice",
        access::FileRequest { shown: model::Factors { touch: true, totp: false }, ..file(req(2), spec(), vec![touch]) },
        at(0),
    );
    assert_eq!((world.status(&req(1)), world.status(&req(2))), ("active", "active"));
}

#[test]
fn a_touch_that_was_missing_at_filing_is_not_forgotten_at_review() {
    let mut touch = path("touch", 60, 0, &[]);
    touch.obligations.touch = true;
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![touch.clone(), path("one", 60, 1, &["sre"])]), at(0));
    assert_eq!(world.status(&req(1)), "pending");
    world.must("bob", access::Review { paths: Some(vec![touch]), ..approve(req(1), &["sre"]) }, at(1));
    assert_eq!(world.status(&req(1)), "pending", "the touch path is all that is left, and alice did not touch");
}

#[test]
fn what_policy_says_at_review_beats_what_it_said_at_filing() {
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![path("one", 60, 1, &[])]), at(0));
    let gone = access::Review { paths: Some(vec![]), ..approve(req(1), &[]) };
    assert_eq!(world.refused("bob", gone, at(1)).code, "no-path");
    let stricter = access::Review { paths: Some(vec![path("one", 60, 2, &[])]), ..approve(req(1), &[]) };
    world.must("bob", stricter.clone(), at(1));
    assert_eq!(world.status(&req(1)), "pending");
    world.must("carol", stricter, at(2));
    assert_eq!(world.status(&req(1)), "active");
}

#[test]
fn the_same_key_is_the_same_request() {
    let keyed = |n, key: &str, spec| access::FileRequest {
        idempotency_key: Some(key.to_owned()),
        ..file(req(n), spec, vec![path("one", 60, 1, &[])])
    };
    let mut world = World::default();
    world.must("alice", keyed(1, "k", spec()), at(0));
    let again = world.must("alice", keyed(2, "k", spec()), at(1));
    assert_eq!((again.request, again.facts.len(), again.gaps.len()), (Some(req(1)), 0, 1));
    let other = RequestSpec { duration: minutes(5), ..spec() };
    assert_eq!(world.refused("alice", keyed(3, "k", other), at(2)).code, "idempotency-key-reused");
    let bobs = RequestSpec { identity: "bob".parse().unwrap(), ..spec() };
    assert_eq!(world.must("bob", keyed(4, "k", bobs), at(3)).request, Some(req(4)), "keys are per person");
    world.must("carol", deny(req(1)), at(4));
    world.must("carol", lock(lock_id(1), "everything"), at(4));
    let late = world.must("alice", keyed(5, "k", spec()), at(5));
    assert_eq!((late.request, late.facts.len()), (Some(req(1)), 0), "a repeat asks for nothing new");
    for bad in ["", "a b", "ä", &"x".repeat(129)] {
        assert_eq!(world.refused("alice", keyed(6, bad, spec()), at(6)).code, "bad-idempotency-key", "{bad:?}");
    }
}

#[test]
fn text_that_reviewers_read_is_plain() {
    let mut world = World::default();
    let paths = || vec![path("free", 60, 0, &[])];
    let ticket = |text: &str| RequestSpec { ticket: Some(text.to_owned()), ..spec() };
    let command = |text: &str| RequestSpec { command: Some(text.to_owned()), ..spec() };
    for text in ["", " ", "a\nb", "\u{202e}x", &"x".repeat(257)] {
        assert_eq!(world.refused("alice", file(req(1), ticket(text), paths()), at(0)).code, "bad-ticket", "{text:?}");
    }
    for text in ["", "a\0b", "ls \u{1b}[2J", "\u{2066}x", &"x".repeat(16 * 1024 + 1)] {
        assert_eq!(world.refused("alice", file(req(1), command(text), paths()), at(0)).code, "bad-command", "{text:?}");
    }
    let decision = world.must("alice", file(req(1), command("df -h\n\tls"), paths()), at(0));
    assert_eq!(decision.facts.len(), 2);
    let permit = world.must("proxy1", open(ses(1), req(1)), at(1)).permit.unwrap();
    assert_eq!(permit.command(), Some("df -h\n\tls"));
}

#[test]
fn a_pending_request_dies_after_its_time() {
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![path("one", 60, 1, &[])]), at(0));
    assert_eq!(world.state.next_deadline(), Some(at(3600)));
    let refusal = world.refused("bob", approve(req(1), &[]), at(3600));
    assert!(refusal.sentence.contains("expired at"), "before any tick: {refusal}");
    assert_eq!(world.tick(at(3599)), []);
    assert_eq!(world.tick(at(3600)), [Fact::RequestExpired { request: req(1) }]);
    assert_eq!(world.state.next_deadline(), None);
}

#[test]
fn a_grant_ends_on_time_even_when_nobody_has_said_so() {
    let mut world = World::granted(1);
    world.must("proxy1", open(ses(1), req(1)), at(1799));
    let refusal = world.refused("proxy1", open(ses(2), req(1)), at(1800));
    assert_eq!(refusal.code, "no-active-grant");
    assert_eq!(refusal.hint.as_deref(), Some("run: portcullis request root@web1 --for 30m"));
    assert_eq!(
        world.state.active_grant(
            &"alice".parse().unwrap(),
            &"web1".parse().unwrap(),
            &"root".parse().unwrap(),
            at(1800)
        ),
        None
    );
    let ended = Fact::GrantEnded { request: req(1), end: GrantEnd::Expired, reason: None };
    assert_eq!(world.tick(at(1800)), [ended]);
    let SessionState::Cut(cut) = &world.state.session(&ses(1)).unwrap().state else { panic!() };
    assert_eq!(cut.cause, CutCause::Grant(GrantEnd::Expired));
}

#[test]
fn a_scheduled_grant_begins_by_the_clock_or_with_its_first_session() {
    let later = RequestSpec { start: Some(at(100)), ..spec() };
    let mut world = World::default();
    world.must("alice", file(req(1), later, vec![path("free", 60, 0, &[])]), at(0));
    let refusal = world.refused("proxy1", open(ses(1), req(1)), at(99));
    assert!(refusal.code == "no-active-grant" && refusal.sentence.contains("begins at"), "{refusal}");
    let mut ticked = world.clone();
    assert_eq!(ticked.tick(at(100)), [Fact::GrantActivated { request: req(1) }]);
    let decision = world.must("proxy1", open(ses(1), req(1)), at(100));
    assert_eq!(kinds(&decision), ["grant.activated", "session.opened"]);
    let mut missed = World::default();
    let later = RequestSpec { start: Some(at(100)), ..spec() };
    missed.must("alice", file(req(1), later, vec![path("free", 60, 0, &[])]), at(0));
    let ended = Fact::GrantEnded { request: req(1), end: GrantEnd::Expired, reason: None };
    assert_eq!(missed.tick(at(9000)), [ended], "a grant that nobody could use was never active");
}

#[test]
fn too_far_ahead_is_refused() {
    let mut world = World::default();
    let far = RequestSpec { start: Some(at(0).plus(Span::from_hours(24 * 31))), ..spec() };
    assert_eq!(world.refused("alice", file(req(1), far, vec![path("free", 60, 0, &[])]), at(0)).code, "bad-start");
    for (start, now, refused) in [(0, 300, false), (0, 301, true), (299, 600, true), (600, 600, false)] {
        let mut world = World::default();
        let past = file(req(1), RequestSpec { start: Some(at(start)), ..spec() }, vec![path("free", 60, 0, &[])]);
        match refused {
            true => {
                let refusal = world.refused("alice", past, at(now));
                assert_eq!(refusal.code, "bad-start");
                assert!(refusal.sentence.contains("in the past") && refusal.hint.is_some(), "{refusal}");
            }
            false => _ = world.must("alice", past, at(now)),
        }
    }
    let past = RequestSpec { start: Some(at(0)), ..spec() };
    world.must("alice", file(req(1), past, vec![path("free", 60, 0, &[])]), at(50));
    assert_eq!(ends(&world, 1), at(50).plus(minutes(30)), "a start in the past is now");
}

#[test]
fn an_extension_gives_its_holder_more_of_the_same() {
    let more = RequestSpec { duration: minutes(20), extends: Some(req(1)), ..spec() };
    let paths = || vec![path("free", 40, 0, &[])];
    let mut world = World::granted(1);
    world.must("proxy1", open(ses(1), req(1)), at(1));
    let decision = world.must("alice", file(req(2), more.clone(), paths()), at(600));
    assert_eq!(kinds(&decision), ["request.filed", "request.approved", "grant.extended"]);
    let correlations: Vec<_> = decision.facts.iter().map(|entry| entry.correlation.as_str()).collect();
    assert_eq!(correlations, [req(2).as_str(), req(2).as_str(), req(1).as_str()]);
    assert_eq!((ends(&world, 1), world.status(&req(2))), (at(3000), "extended"));
    assert!(world.state.session(&ses(1)).unwrap().is_live());
    let refusal = world.refused("alice", file(req(3), more.clone(), paths()), at(1000));
    assert_eq!((refusal.code, refusal.hint.as_deref()), ("too-long", Some("ask --for 6m40s")), "{refusal}");

    let bobs = RequestSpec { identity: "bob".parse().unwrap(), ..more.clone() };
    assert_eq!(world.refused("bob", file(req(3), bobs, paths()), at(1000)).code, "cannot-extend");
    for other in [
        RequestSpec { login: "admin".parse().unwrap(), ..more.clone() },
        RequestSpec { target: "web2".parse().unwrap(), ..more.clone() },
        RequestSpec { command: Some("id".to_owned()), ..more.clone() },
        RequestSpec { start: Some(at(2000)), ..more.clone() },
        RequestSpec { extends: Some(req(2)), ..more.clone() },
    ] {
        let code = world.refused("alice", file(req(3), other, paths()), at(1000)).code;
        assert!(["cannot-extend", "no-active-grant"].contains(&code), "{code}");
    }
    assert_eq!(world.refused("alice", file(req(3), more, paths()), at(3000)).code, "no-active-grant");
}

#[test]
fn one_extension_waits_at_a_time_and_ends_with_its_grant() {
    let more = RequestSpec { duration: minutes(20), extends: Some(req(1)), ..spec() };
    let paths = || vec![path("one", 60, 1, &[])];
    let mut world = World::granted(1);
    world.must("alice", file(req(2), more.clone(), paths()), at(10));
    assert_eq!(world.refused("alice", file(req(3), more, paths()), at(11)).code, "extension-pending");
    let mut revoked = world.clone();
    let decision = revoked.must("carol", revoke(req(1)), at(20));
    assert_eq!(kinds(&decision), ["grant.ended", "request.expired"]);
    let facts = world.tick(at(5000));
    assert_eq!(facts.len(), 2, "both were due, and the extension ends once: {facts:?}");
    assert_eq!((world.status(&req(1)), world.status(&req(2))), ("over", "expired"));
}

#[test]
fn an_approved_extension_counts_from_the_old_end() {
    let more = RequestSpec { duration: minutes(20), extends: Some(req(1)), ..spec() };
    let mut world = World::granted(1);
    world.must("alice", file(req(2), more, vec![path("one", 60, 1, &[])]), at(10));
    world.must("bob", approve(req(2), &[]), at(1700));
    assert_eq!(ends(&world, 1), at(1800 + 1200));
    assert_eq!(world.tick(at(2999)), []);
}

#[test]
fn only_the_right_people_revoke_release_and_cancel() {
    let mut world = World::granted(1);
    let without = access::Revoke { may_revoke: false, ..revoke(req(1)) };
    assert_eq!(world.refused("bob", without, at(1)).code, "not-allowed");
    assert_eq!(world.refused("bob", access::Release { request: req(1) }, at(1)).code, "not-the-asker");
    world.must("alice", file(req(2), spec(), vec![path("one", 60, 1, &[])]), at(1));
    assert_eq!(world.refused("bob", access::Cancel { request: req(2) }, at(1)).code, "not-the-asker");
    world.must("alice", access::Release { request: req(1) }, at(2));
    let RequestState::Granted(grant) = &world.state.request(&req(1)).unwrap().state else { panic!() };
    assert!(!grant.is_live());
    assert_eq!(world.state.next_deadline(), Some(at(3601)), "only the pending request is left to the clock");
}

#[test]
fn a_lock_refuses_the_new_and_cuts_the_live() {
    for subject in
        ["identity:alice", "target:web1", "login:root", "login:root@web1", &format!("grant:{}", req(1)), "everything"]
    {
        let mut world = World::granted(1);
        world.must("proxy1", open(ses(1), req(1)), at(1));
        world.must("alice", file(req(2), spec(), vec![path("one", 60, 1, &[])]), at(1));
        world.must("carol", lock(lock_id(1), subject), at(2));
        assert_eq!(world.state.session(&ses(1)).unwrap().status(), "cut", "{subject}");
        let refusal = world.refused("proxy1", open(ses(2), req(1)), at(3));
        assert_eq!(refusal.code, "locked", "{subject}");
        assert!(refusal.sentence.ends_with("is locked: stolen laptop"), "{refusal}");
        let certificate = certificate(serial(1), req(1), at(1800));
        assert_eq!(world.refused("alice", certificate, at(3)).code, "locked", "{subject}");
        if !subject.starts_with("grant") {
            let again = file(req(3), spec(), vec![path("free", 60, 0, &[])]);
            assert_eq!(world.refused("alice", again, at(3)).code, "locked", "{subject}");
            assert_eq!(world.refused("bob", approve(req(2), &[]), at(3)).code, "locked", "{subject}");
        }
        world.must("carol", unlock(lock_id(1)), at(4));
        let fresh = access::OpenSession { certified: at(4), ..open(ses(3), req(1)) };
        world.must("proxy1", fresh, at(5));
        assert_eq!(world.state.session(&ses(1)).unwrap().status(), "cut", "lifting a lock revives nothing");
    }
    let mut world = World::granted(1);
    world.must("proxy1", open(ses(1), req(1)), at(1));
    for subject in ["identity:bob", "target:web2", "login:admin", "login:root@web2", "grant:req-00000000000z"] {
        let set = lock(lock_id(subject.len() as u64), subject);
        let _ = world.act(&identity("carol"), set, at(2));
    }
    assert_eq!(world.state.session(&ses(1)).unwrap().status(), "live", "none of these is alice's");
}

#[test]
fn someone_locked_reviews_revokes_locks_and_unlocks_nothing() {
    let mut world = World::granted(1);
    world.must("alice", file(req(2), spec(), vec![path("one", 60, 1, &[])]), at(1));
    world.must("carol", lock(lock_id(1), "identity:bob"), at(2));
    assert_eq!(world.refused("bob", approve(req(2), &[]), at(3)).code, "locked");
    assert_eq!(world.refused("bob", deny(req(2)), at(3)).code, "locked");
    assert_eq!(world.refused("bob", revoke(req(1)), at(3)).code, "locked");
    assert_eq!(world.refused("bob", lock(lock_id(2), "everything"), at(3)).code, "locked");
    assert_eq!(world.refused("bob", unlock(lock_id(1)), at(3)).code, "locked");
    let login = |name: &str| access::Note {
        fact: Fact::IdentityLoggedIn {
            identity: name.parse().unwrap(),
            key: "SHA256:key".to_owned(),
            address: "192.0.2.7".to_owned(),
            touch: false,
            presence: None,
        },
        request: None,
    };
    assert_eq!(world.refused("bob", login("bob"), at(3)).code, "locked");
    let asked = model::RequestSpec { identity: "bob".parse().unwrap(), ..spec() };
    assert_eq!(world.refused("bob", file(req(3), asked, vec![path("one", 60, 1, &[])]), at(3)).code, "locked");
    world.must("carol", lock(lock_id(3), "everything"), at(4));
    world.must("carol", login("carol"), at(4));
    world.must("carol", unlock(lock_id(3)), at(5));
}

#[test]
fn a_lock_lifts_itself() {
    let mut world = World::default();
    let mut short = lock(lock_id(1), "everything");
    short.lock.until = Some(at(100));
    let mut past = short.clone();
    past.lock.until = Some(at(1));
    assert_eq!(world.refused("carol", past, at(1)).code, "bad-until");
    world.must("carol", short, at(1));
    assert_eq!(world.state.next_deadline(), Some(at(100)));
    assert_eq!(world.tick(at(100)), [Fact::LockLifted { lock: lock_id(1), reason: None }]);
    assert_eq!(world.state.locks().count(), 0);
}

#[test]
fn one_log_in_opens_one_session_whatever_else_is_new() {
    let mut world = World::granted(1);
    world.must("alice", file(req(2), spec(), vec![path("free", 60, 0, &[])]), at(0));
    world.must("proxy1", open(ses(1), req(1)), at(1));
    let replayed = |session| access::OpenSession { presence: presence(&ses(1)), ..open(ses(session), req(1)) };
    let under_another = access::OpenSession { request: req(2), ..replayed(3) };
    let elsewhere = access::OpenSession { proxy: "proxy2".parse().unwrap(), ..replayed(4) };
    let with_another = access::OpenSession {
        presence: model::Presence { certificate: Some(serial(9)), touch: true, ..presence(&ses(1)) },
        ..open(ses(5), req(1))
    };
    for ended in [false, true] {
        assert_eq!(world.refused("proxy1", replayed(2), at(2)).code, "presence-spent");
        assert_eq!(world.refused("proxy1", under_another.clone(), at(2)).code, "presence-spent");
        assert_eq!(world.refused("proxy2", elsewhere.clone(), at(2)).code, "presence-spent");
        assert_eq!(world.refused("proxy1", with_another.clone(), at(2)).code, "presence-spent");
        if !ended {
            world.must("proxy1", end(ses(1)), at(2));
        }
    }
    // As a snapshot and as facts it is the same.
    let stored: State = serde_json::from_str(&serde_json::to_string(&world.state).unwrap()).unwrap();
    assert_eq!(stored, world.state);
    world.must("proxy1", open(ses(6), req(1)), at(3));
}

#[test]
fn a_ledger_in_which_one_log_in_opens_two_sessions_is_corrupt() {
    let mut world = World::granted(1);
    let first = world.must("proxy1", open(ses(1), req(1)), at(1));
    let mut entry = first.facts.into_iter().next_back().unwrap();
    let Fact::SessionOpened { session, .. } = &mut entry.fact else { panic!() };
    *session = ses(2);
    let record = model::Record { seq: world.state.next(), entry };
    assert!(world.state.apply(&record).unwrap_err().to_string().contains("session.opened"));
}

#[test]
fn a_session_opens_only_for_what_its_grant_says() {
    let mut world = World::granted(1);
    let opened = open(ses(1), req(1));
    for wrong in [
        access::OpenSession { identity: "bob".parse().unwrap(), ..opened.clone() },
        access::OpenSession { login: "admin".parse().unwrap(), ..opened.clone() },
        access::OpenSession { target: "web2".parse().unwrap(), ..opened.clone() },
        access::OpenSession { request: req(7), ..opened.clone() },
    ] {
        let refusal = world.refused("proxy1", wrong, at(1));
        assert_eq!(refusal.code, "no-active-grant");
        assert!(refusal.hint.unwrap().starts_with("run: portcullis request "));
    }
    let unjudged = access::OpenSession { paths: vec![], ..opened.clone() };
    assert_eq!(world.refused("proxy1", unjudged, at(1)).code, "policy-forbids");
    assert_eq!(world.refused("proxy2", opened.clone(), at(1)).code, "not-its-proxy");
    assert_eq!(world.refused("alice", opened, at(1)).code, "not-its-proxy");
    let one = |n| access::OpenSession { sessions_limit: 1, ..open(ses(n), req(1)) };
    world.must("proxy1", one(1), at(1));
    assert_eq!(world.refused("proxy1", one(2), at(2)).code, "too-many-sessions");
    let cut = access::CutSession { session: ses(1), reason: "policy changed".parse().unwrap(), may_cut: false };
    world.act(&Actor::System, cut, at(3)).unwrap();
    assert_eq!(world.refused("proxy1", one(2), at(4)).code, "too-many-sessions", "cut is not yet dropped");
    world.must("proxy1", end(ses(1)), at(5));
    world.must("proxy1", one(2), at(6));
}

#[test]
fn the_receipt_of_a_kill_is_kept() {
    let mut world = World::granted(1);
    world.must("proxy1", open(ses(1), req(1)), at(1));
    world.must("carol", revoke(req(1)), at(10));
    let SessionState::Cut(cut) = &world.state.session(&ses(1)).unwrap().state else { panic!() };
    assert_eq!((&cut.by, cut.at), (&identity("carol"), at(10)));
    let why = SessionEnd::Revoked { by: identity("carol"), at: at(10), reason: None };
    let end = access::EndSession { session: ses(1), end: why.clone(), cut: Some(at(11)), dropped: at(12) };
    world.must("proxy1", end, at(12));
    let SessionState::Ended(ended) = &world.state.session(&ses(1)).unwrap().state else { panic!() };
    assert_eq!((&ended.end, ended.cut, ended.dropped), (&why, Some(at(11)), at(12)));
    assert_eq!(world.state.live_sessions().count(), 0);
}

#[test]
fn a_receipt_never_says_that_something_passed_through_a_closed_socket() {
    let mut world = World::granted(1);
    world.must("proxy1", open(ses(1), req(1)), at(1));
    // The proxy's clock was set back between the two.
    let end = access::EndSession { session: ses(1), end: SessionEnd::Client, cut: Some(at(12)), dropped: at(11) };
    world.must("proxy1", end, at(13));
    let SessionState::Ended(ended) = &world.state.session(&ses(1)).unwrap().state else { panic!() };
    assert_eq!((ended.cut, ended.dropped), (Some(at(11)), at(11)));
}

#[test]
fn a_dead_proxys_sessions_are_ended_by_the_system() {
    let mut world = World::granted(1);
    world.must("proxy1", open(ses(1), req(1)), at(1));
    let why = SessionEnd::Proxy { reason: "not heard of".to_owned() };
    world
        .act(&Actor::System, access::EndSession { session: ses(1), end: why, cut: None, dropped: at(9) }, at(9))
        .unwrap();
    assert_eq!(world.state.session(&ses(1)).unwrap().status(), "ended");
}

#[test]
fn channels_add_up() {
    let mut world = World::granted(1);
    world.must("proxy1", open(ses(1), req(1)), at(1));
    for n in 0..40 {
        world.must("proxy1", channel(ses(1), n), at(2));
        world.must("proxy1", channel_closed(ses(1), n), at(3));
    }
    world.must("proxy1", channel(ses(1), 40), at(4));
    let session = world.state.session(&ses(1)).unwrap();
    assert_eq!((session.channels_opened, session.bytes_in, session.bytes_out), (41, 120, 200));
    assert_eq!((session.open_channels(), session.channels.len()), (1, 17), "the open one and the last sixteen");
    for n in 41..168 {
        world.must("proxy1", channel(ses(1), n), at(5));
    }
    assert_eq!(world.refused("proxy1", channel(ses(1), 168), at(6)).code, "too-many-channels");
    world.must("proxy1", end(ses(1)), at(7));
    assert_eq!(world.state.session(&ses(1)).unwrap().channels.len(), 16);
}

#[test]
fn a_recording_outlives_its_session_and_its_own_failure() {
    let mut world = World::granted(1);
    world.must("proxy1", open(ses(1), req(1)), at(1));
    world.must("proxy1", access::RecordingStarted { recording: rec(1), session: ses(1), channel: 0 }, at(2));
    world.must("proxy1", access::RecordingFailed { recording: rec(1), error: "no room".to_owned() }, at(3));
    world.must("proxy1", end(ses(1)), at(4));
    world.must("proxy1", recording_closed(rec(1)), at(5));
    let access::RecordingState::Closed { failure, .. } = &world.state.recording(&rec(1)).unwrap().state else {
        panic!()
    };
    assert_eq!(failure.as_deref(), Some("no room"));
    let wrong = access::RecordingReplayed { recording: rec(1), session: ses(2), request: req(1), may_replay: true };
    assert_eq!(world.refused("carol", wrong, at(6)).code, "wrong-recording");
}

#[test]
fn certificates_say_what_their_grant_says() {
    let mut world = World::granted(1);
    world.must("proxy1", open(ses(1), req(1)), at(1));
    let good = certificate(serial(1), req(1), at(1800));
    let bad = |world: &mut World, who: &str, change: &dyn Fn(&mut access::IntendCertificate)| {
        let mut intend = good.clone();
        change(&mut intend);
        world.refused(who, intend, at(2)).code
    };
    assert_eq!(bad(&mut world, "alice", &|c| c.certificate.valid_before = at(1801)), "bad-certificate");
    assert_eq!(bad(&mut world, "alice", &|c| c.certificate.valid_before = at(0).minus(minutes(2))), "bad-certificate");
    assert_eq!(bad(&mut world, "alice", &|c| c.certificate.principals.clear()), "bad-certificate");
    let both = Principal::Login("root".parse().unwrap(), "web1".parse().unwrap());
    assert_eq!(bad(&mut world, "alice", &|c| c.certificate.principals = [both.clone()].into()), "bad-certificate");
    assert_eq!(bad(&mut world, "alice", &|c| _ = c.certificate.principals.insert(both.clone())), "bad-certificate");
    assert_eq!(bad(&mut world, "alice", &|c| c.request = None), "bad-certificate");
    assert_eq!(bad(&mut world, "alice", &|c| c.certificate.profile = CertificateProfile::Host), "bad-certificate");
    assert_eq!(bad(&mut world, "bob", &|_| ()), "not-the-asker");
    assert_eq!(bad(&mut world, "proxy1", &|_| ()), "not-the-asker");

    let session = |until| {
        let mut intend = certificate(serial(2), req(1), until);
        intend.certificate.profile = CertificateProfile::Session;
        intend.certificate.principals = BTreeSet::from([both.clone()]);
        intend
    };
    assert_eq!(world.refused("proxy1", session(at(123)), at(2)).code, "bad-certificate", "two minutes and a second");
    assert_eq!(world.refused("proxy2", session(at(100)), at(2)).code, "session-not-live");
    assert_eq!(world.refused("alice", session(at(100)), at(2)).code, "session-not-live");
    world.must("proxy1", session(at(122)), at(2));

    let mut host = certificate(serial(3), req(1), at(99_999));
    host.certificate.profile = CertificateProfile::Host;
    host.certificate.principals = BTreeSet::from([Principal::Host("web1".parse().unwrap())]);
    host.request = None;
    assert_eq!(world.refused("carol", host.clone(), at(2)).code, "not-allowed");
    host.may_issue_host = true;
    let decision = world.must("carol", host.clone(), at(2));
    assert_eq!(decision.facts[0].correlation.as_str(), "host-certificates");
    host.certificate.serial = serial(4);
    // A proxy that could have a target's own would be that target to every other proxy.
    assert_eq!(world.refused("proxy1", host.clone(), at(2)).code, "bad-certificate");
    let mut front = host.clone();
    front.certificate.profile = CertificateProfile::Front;
    for nobody in ["alice", "carol"] {
        assert_eq!(world.refused(nobody, front.clone(), at(2)).code, "bad-certificate");
    }
    front.may_issue_host = false;
    world.must("proxy1", front.clone(), at(2));
    for mut mixed in [host, front] {
        mixed.certificate.serial = serial(5);
        mixed.certificate.principals.insert(Principal::Identity("alice".parse().unwrap()));
        let who = if mixed.may_issue_host { "carol" } else { "proxy1" };
        assert_eq!(world.refused(who, mixed, at(2)).code, "bad-certificate");
    }
}

#[test]
fn notes_change_nothing_and_nothing_else_passes_for_one() {
    let mut world = World::default();
    let opened = Fact::LedgerOpened {
        origin: "o".to_owned(),
        user_ca: "u".to_owned(),
        host_ca: "h".to_owned(),
        ledger_key: "k".to_owned(),
    };
    let note = |fact| access::Note { fact, request: None };
    world.act(&Actor::System, note(opened.clone()), at(0)).unwrap();
    assert_eq!(world.act(&Actor::System, note(opened), at(1)).unwrap_err().code, "not-a-note");
    let refused = Fact::RequestRefused { spec: spec(), reason: "no".to_owned() };
    let decision = world.act(&identity("alice"), access::Note { fact: refused, request: Some(req(1)) }, at(1)).unwrap();
    assert_eq!(decision.facts[0].correlation, Correlation::from(&req(1)));
    let smuggled = Fact::GrantActivated { request: req(1) };
    assert_eq!(world.act(&Actor::System, note(smuggled), at(2)).unwrap_err().code, "not-a-note");
    assert_eq!(world.state.requests().count(), 0);
}

#[test]
fn time_belongs_to_the_system() {
    let world = World::granted(1);
    let refusal = decide(&world.state, &identity("alice"), Command::Tick, at(9999)).unwrap_err();
    assert_eq!(refusal.code, "not-the-system");
}

#[test]
fn what_cannot_have_happened_is_named() {
    let mut world = World::granted(1);
    let before = world.state.clone();
    let entry = |fact| model::Entry { time: at(5), actor: identity("alice"), correlation: (&req(1)).into(), fact };
    let mut apply = |seq: u64, fact| {
        let record = model::Record { seq: Seq(seq), entry: entry(fact) };
        let corruption = world.state.apply(&record).unwrap_err();
        assert_eq!(world.state, before, "{corruption}");
        corruption
    };
    let next = before.next().0;
    let gap = apply(next + 1, Fact::SystemStopped {});
    assert_eq!((gap.seq, gap.problem), (Seq(next + 1), Problem::Gap { expected: Seq(next) }));
    let unknown = apply(next, Fact::RequestDenied { request: req(5) });
    assert_eq!(
        unknown.to_string(),
        format!("record {next} (request.denied) cannot be: there is no request {}", req(5))
    );
    let ended = apply(next, Fact::RequestDenied { request: req(1) });
    assert!(ended.to_string().ends_with(&format!("request {} is active", req(1))), "{ended}");
    let unborn =
        apply(next, Fact::SessionEnded { session: ses(1), end: SessionEnd::Client, cut: None, dropped: at(1) });
    assert!(matches!(unborn.problem, Problem::Unknown { what: "session", .. }));
    let approval = Fact::RequestApproved {
        request: req(1),
        path: path("two", 60, 2, &[]),
        approvers: BTreeSet::new(),
        starts: at(5),
        ends: at(6),
    };
    assert!(matches!(apply(next, approval).problem, Problem::State { .. }));

    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![path("one", 60, 1, &[])]), at(0));
    let own = Fact::RequestReviewed {
        request: req(1),
        verdict: Verdict::Approve { duration: None },
        groups: BTreeSet::new(),
        comment: None,
        touch: false,
        totp: false,
        address: None,
    };
    let record = model::Record { seq: world.state.next(), entry: entry(own) };
    assert!(matches!(world.state.apply(&record).unwrap_err().problem, Problem::Actor { .. }), "a self-approval");
    let nobody = Fact::RequestApproved {
        request: req(1),
        path: path("one", 60, 1, &[]),
        approvers: BTreeSet::from(["bob".parse().unwrap()]),
        starts: at(5),
        ends: at(6),
    };
    let record = model::Record { seq: world.state.next(), entry: entry(nobody) };
    assert_eq!(world.state.apply(&record).unwrap_err().problem, Problem::Approvers);
}

#[test]
fn a_denial_that_a_crash_cut_in_two_still_ends_the_request() {
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![path("two", 60, 2, &[])]), at(0));
    let decision = decide(&world.state, &identity("bob"), deny(req(1)).into(), at(1)).unwrap();
    world.record(decision.facts[0].clone());
    assert_eq!(world.refused("carol", approve(req(1), &[]), at(2)).code, "request-not-pending");
    let decision = world.act(&Actor::System, Command::Tick, at(3)).unwrap();
    assert_eq!(decision.facts[0].fact, Fact::RequestDenied { request: req(1) });
    assert_eq!(decision.facts[0].actor, identity("bob"));
    assert_eq!(world.status(&req(1)), "denied");
}

#[test]
fn a_snapshot_reads_back_whole() {
    let mut world = World::granted(1);
    world.must("proxy1", open(ses(1), req(1)), at(1));
    world.must("alice", certificate(serial(1), req(1), at(1800)), at(1));
    world.must("carol", lock(lock_id(1), "target:web2"), at(2));
    let text = serde_json::to_string(&world.state).unwrap();
    assert_eq!(serde_json::from_str::<State>(&text).unwrap(), world.state);
    assert!(serde_json::from_str::<State>(&text.replacen("\"next\"", "\"nxet\"", 1)).is_err());
}

#[test]
fn every_code_is_listed() {
    fn codes(folder: &std::path::Path, found: &mut BTreeSet<String>) {
        for entry in std::fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                codes(&path, found);
                continue;
            }
            let text = std::fs::read_to_string(&path).unwrap();
            for call in text.split("Refusal::new(").skip(1) {
                if let Some(code) = call.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"')) {
                    found.insert(code.0.to_owned());
                }
            }
        }
    }
    let mut found = BTreeSet::new();
    codes(&std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), &mut found);
    assert_eq!(found.iter().map(String::as_str).collect::<Vec<_>>(), access::Refusal::CODES);
}

#[test]
fn a_certificate_from_before_a_lock_is_dead_for_ever() {
    let mut world = World::granted(1);
    let session = std::cell::Cell::new(0);
    let bought = |seconds| {
        session.set(session.get() + 1);
        access::OpenSession { certified: at(seconds), ..open(ses(session.get()), req(1)) }
    };
    world.must("proxy1", bought(1), at(1));
    world.must("carol", lock(lock_id(1), "identity:alice"), at(5));
    world.must("carol", unlock(lock_id(1)), at(6));
    for before in [1, 5] {
        let refusal = world.refused("proxy1", bought(before), at(7));
        assert_eq!(refusal.code, "certificate-locked");
        assert!(refusal.hint.unwrap().contains("portcullis cert root@web1"));
    }
    world.must("proxy1", bought(6), at(7));
    // A lock on somebody else, or on the target, ends no certificate for good.
    for (n, subject) in [(2, "identity:bob"), (3, "target:web1"), (4, "everything")] {
        world.must("carol", lock(lock_id(n), subject), at(8));
        world.must("carol", unlock(lock_id(n)), at(8));
    }
    world.must("proxy1", bought(6), at(9));
}

#[test]
fn what_is_forgotten_of_locks_permits_nothing() {
    let mut world = World::granted(1);
    world.must("carol", lock(lock_id(1), "identity:alice"), at(5));
    world.must("carol", unlock(lock_id(1)), at(5));
    for n in 0..access::RETENTION as u64 {
        world.must("carol", lock(lock_id(2), &format!("identity:somebody-{n}")), at(6));
        world.must("carol", unlock(lock_id(2)), at(6));
    }
    assert_eq!(world.state.locked_at(&"alice".parse().unwrap()), Some(at(5)));
    assert_eq!(world.state.locked_at(&"nobody".parse().unwrap()), Some(at(5)), "it stands for all who are not listed");
    let late = access::OpenSession { certified: at(6), ..open(ses(2), req(1)) };
    world.must("proxy1", late, at(7));
}

#[test]
fn an_approval_counts_only_while_its_approver_stands() {
    let mut world = World::default();
    world.must("alice", file(req(1), spec(), vec![path("two", 60, 2, &["sre"])]), at(0));
    world.must("bob", approve(req(1), &["sre"]), at(1));
    let with = |others: &[(&str, access::Standing)]| {
        let others = others.iter().map(|(name, standing)| (name.parse().unwrap(), standing.clone())).collect();
        access::Review { others: Some(others), ..approve(req(1), &["sre"]) }
    };
    let forbidden = access::Standing { may_review: false, ..standing(&["sre"]) };
    for others in [vec![], vec![("bob", standing(&["ops"]))], vec![("bob", forbidden)]] {
        let mut world = world.clone();
        world.must("carol", with(&others), at(2));
        assert_eq!(world.status(&req(1)), "pending", "{others:?}");
    }
    let mut locked = world.clone();
    locked.must("dave", lock(lock_id(1), "identity:bob"), at(2));
    locked.must("carol", with(&[("bob", standing(&["sre"]))]), at(2));
    assert_eq!(locked.status(&req(1)), "pending");
    world.must("carol", with(&[("bob", standing(&["sre"]))]), at(2));
    assert_eq!(world.status(&req(1)), "active");
}
