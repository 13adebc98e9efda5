//! What is judged, and how.

use std::collections::BTreeSet;

use model::{Carriage, CertificateExtension, Obligations, RecordingMode, SecondFactor, Span};
use portcullis_policy::{Action, EXAMPLE, Judgement, Policies, Way};
use proptest::prelude::*;

use crate::world::*;

#[test]
fn the_example_does_what_its_comments_say() {
    let policies = parse(EXAMPLE);
    let request = || case(Action::Request);
    let table = [
        (request().on("web1", &[("env", "prod")]), "yes: engineers-prod"),
        (request().on("web1", &[("env", "test")]), "yes: engineers-nonprod, engineers-prod"),
        (request().on("web1", &[]), "yes: engineers-prod"),
        (request().on("web1", &[("Env", "test")]), "yes: engineers-prod"),
        (request().who("mallory", &[]), "no"),
        (case(Action::Review).who("bob", &["approvers"]).about("alice", &["engineers"]), "yes: approvers-review"),
        (case(Action::Review).who("carol", &["engineers"]).about("alice", &["engineers"]), "no"),
        (case(Action::Connect), "yes: grants-connect"),
        (case(Action::Replay).who("sam", &["security"]).about("alice", &[]), "yes: security-replay"),
        (case(Action::Replay).who("alice", &[]).about("alice", &[]), "yes: own-replay"),
        (case(Action::Replay).who("bob", &[]).about("alice", &[]), "no"),
        (case(Action::Lock).who("root", &["admins"]), "yes: admins"),
        (case(Action::Lock).who("sam", &["security"]), "yes: security-lock"),
        (case(Action::Lock), "no"),
        (case(Action::Administer).who("root", &["admins"]), "yes: admins"),
        (case(Action::Administer).who("sam", &["security"]), "no"),
    ];
    for (case, expected) in table {
        let question = case.ask(|question| policies.explain(question)).question;
        assert_eq!(case.said(&policies), expected, "{question}");
    }
    let paths = request().on("web1", &[("env", "test")]).judge(&policies).paths();
    assert_eq!((paths[0].obligations.max_duration, paths[0].obligations.approvals), (Span::from_hours(1), 0));
    assert_eq!((paths[1].obligations.max_duration, paths[1].obligations.approvals), (Span::from_hours(4), 1));
    assert_eq!(paths[1].obligations.approvers, groups(&["approvers"]));
}

#[test]
fn what_the_example_leaves_switched_off_is_valid_too() {
    let switched: Vec<_> = EXAMPLE
        .lines()
        .skip_while(|line| !line.starts_with("// What must hold"))
        .skip(2)
        .map(|line| line.strip_prefix("// ").or(line.strip_prefix("//")).unwrap_or(line))
        .collect();
    let policies = parse(&format!("{EXAMPLE}\n{}", switched.join("\n")));
    assert_eq!(policies.ids().last(), Some("prod-by-day"));
    assert_eq!(case(Action::Connect).said(&policies), "forbidden: root-by-security-key");
    let mut connect = case(Action::Connect);
    connect.touch = true;
    assert_eq!(connect.said(&policies), "yes: grants-connect", "at noon");
    connect.now = "2026-11-20T19:00:00Z".parse().unwrap();
    assert_eq!(connect.said(&policies), "forbidden: prod-by-day");
    let sentence = connect.judge(&policies).sentence();
    assert_eq!(sentence, "policy forbids it: prod-by-day (production opens from 7 to 19 UTC)");
}

#[test]
fn every_annotation_is_read_and_none_leaks_into_another_path() {
    let policies = parse(
        r#"
        @id("all") @description("everything set") @max_duration("2h30m") @approvals("2") @approvers("sre, db-admins")
        @recording("best-effort") @record_input("true") @output_limit("2 MiB") @idle_limit("none")
        @extensions("permit-pty, permit-agent-forwarding") @touch @factor("totp") @ticket("true")
        @channels("exec, subsystem:sftp") @accept_env("LANG, LC_*") @permit_open("db1:5432, *.lan:443")
        @permit_listen("localhost:8000-8999") @upload("none") @download("/var/log/**")
        permit (principal, action == Action::"request", resource);
        @id("none") permit (principal, action == Action::"request", resource);
        @id("some") @recording("off") @extensions("none") @idle_limit("1h") @output_limit("0B") @touch("false")
        permit (principal, action in [Action::"request", Action::"connect"], resource);
        "#,
    );
    let paths = case(Action::Request).judge(&policies).paths();
    let ids: Vec<_> = paths.iter().map(|path| path.policy.as_str()).collect();
    assert_eq!(ids, ["all", "none", "some"]);
    let all = Obligations {
        max_duration: Span::from_minutes(150),
        approvals: 2,
        approvers: groups(&["sre", "db-admins"]),
        recording: RecordingMode::BestEffort,
        record_input: true,
        output_limit: 2 << 20,
        idle_limit: None,
        // A forward needs sshd's permission, too.
        extensions: BTreeSet::from([
            CertificateExtension::Pty,
            CertificateExtension::PortForwarding,
            CertificateExtension::AgentForwarding,
        ]),
        carriage: Carriage {
            channels: set(&["exec", "subsystem:sftp"]),
            accept_env: set(&["LANG", "LC_*"]),
            permit_open: set(&["db1:5432", "*.lan:443"]),
            permit_listen: set(&["localhost:8000-8999"]),
            upload: BTreeSet::new(),
            download: set(&["/var/log/**"]),
        },
        touch: true,
        factor: Some(SecondFactor::Totp),
        ticket: true,
    };
    assert_eq!(paths[0].obligations, all);
    assert_eq!(paths[1].obligations, Obligations::default());
    let some = Obligations {
        recording: RecordingMode::Off,
        extensions: BTreeSet::new(),
        idle_limit: Some(Span::from_hours(1)),
        output_limit: 0,
        ..Obligations::default()
    };
    assert_eq!(paths[2].obligations, some);
}

#[test]
fn any_forbid_beats_every_permit() {
    let text = |forbid: &str| format!("{EXAMPLE}\n{forbid}");
    let policies = parse(&text(r#"@id("stop") @description("frozen") forbid (principal, action, resource);"#));
    for action in Action::ALL {
        let case = case(action).who("alice", &["engineers", "approvers", "security", "admins"]).about("alice", &[]);
        assert_eq!(case.said(&policies), "forbidden: stop", "{action}");
    }
    let unnamed = parse("forbid (principal, action, resource);");
    assert_eq!(case(Action::Connect).said(&unnamed), "forbidden: forbid:1");
}

/// Adding 1 to the largest number overflows, which no validator can see.
const OVERFLOW: &str = "context.duration + 9223372036854775807 > 0";

#[test]
fn a_forbid_that_cannot_be_evaluated_forbids() {
    let policies = parse(&format!(
        "{EXAMPLE}\n@id(\"broken\") forbid (principal, action == Action::\"request\", resource) when {{ {OVERFLOW} }};"
    ));
    let Judgement::Forbidden { by } = case(Action::Request).judge(&policies) else { panic!("it was let through") };
    assert_eq!(by[0].policy, "broken");
    assert!(by[0].error.as_deref().unwrap().contains("overflow"), "{by:?}");
    assert_eq!(case(Action::Connect).said(&policies), "yes: grants-connect", "it is about requests only");
}

#[test]
fn a_permit_that_cannot_be_evaluated_does_not_count() {
    let broken =
        format!("@id(\"broken\") permit (principal, action == Action::\"request\", resource) when {{ {OVERFLOW} }};");
    let judgement = case(Action::Request).judge(&parse(&broken));
    let Judgement::NothingMatches { skipped } = &judgement else { panic!("it counted") };
    assert_eq!(skipped[0].policy, "broken");
    assert!(judgement.sentence().contains("broken could not be evaluated and so does not count"), "{judgement:?}");
    let both = parse(&format!("{broken} @id(\"good\") permit (principal, action, resource);"));
    let Judgement::Permitted { paths, skipped } = case(Action::Request).judge(&both) else { panic!("no path") };
    assert_eq!((paths.len(), paths[0].policy.as_str(), skipped.len()), (1, "good", 1));
}

#[test]
fn circumstances_are_seen() {
    let permit = |condition: &str| {
        parse(&format!(
            "@id(\"p\") permit (principal, action == Action::\"request\", resource) when {{ {condition} }};"
        ))
    };
    let plain = case(Action::Request);
    let mut full = plain.clone();
    full.touch = true;
    full.totp = true;
    full.command = Some("df -h".to_owned());
    full.ticket = Some("OPS-7".to_owned());
    full.address = Some("10.1.2.3".parse().unwrap());
    for (condition, without, with) in [
        ("context.touch", false, true),
        ("context.totp", false, true),
        ("context has command && context.command == \"df -h\"", false, true),
        ("context has ticket && context.ticket like \"OPS-*\"", false, true),
        ("context has address && context.address.isInRange(ip(\"10.0.0.0/8\"))", false, true),
        ("context.duration <= 1800", true, true),
        ("context.duration < 1800", false, false),
        ("context.now == datetime(\"2026-11-20T12:00:00Z\")", true, true),
        ("context.now.toTime() >= duration(\"9h\") && context.now.toTime() < duration(\"17h\")", true, true),
        ("resource.name == \"root\" && resource.target.name == \"web1\"", true, true),
        ("resource in Target::\"web1\" && resource == Login::\"root@web1\"", true, true),
        ("resource in Target::\"web2\"", false, false),
        ("principal.name == \"alice\" && principal == Identity::\"alice\"", true, true),
        ("principal in Group::\"engineers\" && !(principal in Group::\"sre\")", true, true),
    ] {
        let policies = permit(condition);
        assert_eq!(plain.judge(&policies).is_permitted(), without, "{condition}");
        assert_eq!(full.judge(&policies).is_permitted(), with, "{condition}");
    }
}

#[test]
fn the_one_who_asked_is_seen_at_review() {
    let policies = parse(
        r#"@id("r") permit (principal in Group::"leads", action == Action::"review", resource)
           unless { context.requester in Group::"leads" || context.requester == principal };"#,
    );
    let by = |name: &str, of: &[&str]| case(Action::Review).who("bob", &["leads"]).about(name, of).said(&policies);
    assert_eq!(by("alice", &["engineers"]), "yes: r");
    assert_eq!(by("carol", &["leads"]), "no");
    assert_eq!(by("bob", &[]), "no");
}

/// Whoever does not want approvals over ssh writes a forbid.
#[test]
fn the_way_is_seen_at_request_review_and_connect() {
    let text = "@id(\"p\") permit (principal, action in [Action::\"request\", Action::\"review\", Action::\"connect\"], resource);\n\
        @id(\"not-over-ssh\") forbid (principal, action in [Action::\"review\", Action::\"connect\"], resource) when { context.way == \"ssh\" };";
    let policies = parse(text);
    for (action, way, said) in [
        (Action::Request, Way::Ssh, "yes: p"),
        (Action::Review, Way::Api, "yes: p"),
        (Action::Review, Way::Ssh, "forbidden: not-over-ssh"),
        (Action::Connect, Way::Api, "yes: p"),
        (Action::Connect, Way::Ssh, "forbidden: not-over-ssh"),
    ] {
        let asked = Case { way, ..case(action).about("bob", &[]) };
        assert_eq!(asked.said(&policies), said, "{action} {way:?}");
    }
    // Where nobody has a way, it is a mistake to ask for one.
    let wrong =
        "@id(\"p\") permit (principal, action == Action::\"replay\", resource) when { context.way == \"ssh\" };";
    assert!(Policies::parse(wrong).is_err());
}

#[test]
fn a_question_that_lacks_something_is_answered_no() {
    let policies = parse(r#"@id("all") permit (principal, action, resource);"#);
    let mut nowhere = case(Action::Request);
    nowhere.target = None;
    let judgement = nowhere.judge(&policies);
    assert_eq!(judgement.sentence(), "no policy permits it (to ask for request takes a target and a login)");
    let judgement = case(Action::Review).judge(&policies);
    assert_eq!(judgement.sentence(), "no policy permits it (to ask for review takes a requester)");
    let mut system = case(Action::Lock);
    (system.target, system.login) = (None, None);
    assert_eq!(system.said(&policies), "yes: all", "the system needs neither");
}

#[test]
fn no_policy_permits_nothing() {
    let policies = parse("");
    for action in Action::ALL {
        assert_eq!(case(action).about("alice", &[]).said(&policies), "no", "{action}");
    }
}

#[test]
fn a_thousand_policies_are_judged_alike() {
    let one = |n: usize| {
        format!(
            "@id(\"p{n}\") @max_duration(\"{}s\") permit (principal in Group::\"g{n}\", action == Action::\"request\", resource in Target::\"t{n}\") when {{ context.duration <= {} }};\n",
            n + 1,
            n + 1
        )
    };
    let policies = parse(&(0..1000).map(one).collect::<String>());
    assert_eq!(policies.len(), 1000);
    for n in [0, 1, 499, 998, 999] {
        let mut question = case(Action::Request).who("alice", &[&format!("g{n}")]).on(&format!("t{n}"), &[]);
        question.duration = Span::from_seconds(n as u32 + 1);
        let paths = question.judge(&policies).paths();
        assert_eq!((paths.len(), paths[0].policy.clone()), (1, format!("p{n}")));
        assert_eq!(paths[0].obligations.max_duration.seconds() as usize, n + 1);
        question.duration = Span::from_seconds(n as u32 + 2);
        assert_eq!(question.said(&policies), "no");
    }
}

/// A policy of a small language that is easy to judge by hand.
#[derive(Clone, Debug)]
struct Simple {
    permit: bool,
    group: Option<usize>,
    actions: Vec<Action>,
    label: Option<bool>,
    touch: bool,
}

const GROUPS: [&str; 3] = ["a", "b", "c"];

impl Simple {
    fn text(&self, n: usize) -> String {
        let effect = if self.permit { "permit" } else { "forbid" };
        let principal = self.group.map_or("principal".to_owned(), |g| format!("principal in Group::\"{}\"", GROUPS[g]));
        let actions: Vec<_> = self.actions.iter().map(|action| format!("Action::\"{action}\"")).collect();
        let label = self.label.map_or(String::new(), |prod| {
            let tag = "resource.target.getTag(\"env\") == \"prod\"";
            let not = if prod { "" } else { "!" };
            format!("when {{ resource.target.hasTag(\"env\") && {not}({tag}) }}")
        });
        let touch = if self.touch { "unless { !context.touch }" } else { "" };
        format!(
            "@id(\"p{n}\") {effect} ({principal}, action in [{}], resource is Login) {label} {touch};\n",
            actions.join(", ")
        )
    }

    fn matches(&self, case: &Case) -> bool {
        let label = case.target.as_ref().and_then(|target| target.labels.get("env"));
        let label = self.label.is_none_or(|prod| label.is_some_and(|env| (env == "prod") == prod));
        let group = self.group.is_none_or(|group| case.groups.contains(&GROUPS[group].parse().unwrap()));
        group && label && self.actions.contains(&case.action) && (!self.touch || case.touch)
    }
}

fn simple() -> impl Strategy<Value = Simple> {
    let actions = prop::sample::subsequence(vec![Action::Request, Action::Connect, Action::Replay], 1..=3);
    (prop::bool::weighted(0.7), prop::option::of(0..3usize), actions, prop::option::of(any::<bool>()), any::<bool>())
        .prop_map(|(permit, group, actions, label, touch)| Simple { permit, group, actions, label, touch })
}

/// Annotations of a path, any of which may be left out.
fn annotations() -> impl Strategy<Value = String> {
    let maybe = |texts: &'static [&'static str]| prop::option::of(prop::sample::select(texts));
    let parts = (
        maybe(&["@max_duration(\"5m\")", "@max_duration(\"8h\")"]),
        maybe(&["@approvals(\"0\")", "@approvals(\"2\")", "@approvals(\"1\") @approvers(\"a, b\")"]),
        maybe(&["@recording(\"off\")", "@recording(\"best-effort\")"]),
        maybe(&["@idle_limit(\"none\")", "@idle_limit(\"1m\")"]),
        maybe(&["@extensions(\"none\")", "@extensions(\"permit-agent-forwarding\")"]),
        maybe(&["@output_limit(\"0B\")", "@output_limit(\"1GiB\")"]),
        maybe(&["@touch", "@touch @ticket", "@ticket"]),
    );
    parts.prop_map(|(a, b, c, d, e, f, g)| [a, b, c, d, e, f, g].into_iter().flatten().collect::<Vec<_>>().join(" "))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// Judged by Cedar and by hand: a forbid beats every permit, permits are alternatives, nothing means no; and an
    /// explanation tells the same story.
    #[test]
    fn it_judges_as_one_would_by_hand(
        policies in proptest::collection::vec(simple(), 0..8),
        groups in prop::sample::subsequence(GROUPS.as_slice(), 0..=3),
        action in prop::sample::select(vec![Action::Request, Action::Connect, Action::Replay]),
        label in prop::sample::select(vec![None, Some("prod"), Some("test"), Some("prοd")]),
        touch: bool,
    ) {
        let text: String = policies.iter().enumerate().map(|(n, policy)| policy.text(n)).collect();
        let parsed = Policies::parse(&text).unwrap();
        let labels: Vec<_> = label.map(|env| ("env", env)).into_iter().collect();
        let mut case = case(action).who("alice", &groups).on("web1", &labels).about("bob", &[]);
        case.touch = touch;
        let of = |permit: bool| -> Vec<String> {
            let matching = policies.iter().enumerate().filter(|(_, policy)| policy.permit == permit && policy.matches(&case));
            matching.map(|(n, _)| format!("p{n}")).collect()
        };
        let expected = match (of(false), of(true)) {
            (forbids, _) if !forbids.is_empty() => format!("forbidden: {}", forbids.join(", ")),
            (_, permits) if !permits.is_empty() => format!("yes: {}", permits.join(", ")),
            _ => "no".to_owned(),
        };
        prop_assert_eq!(case.said(&parsed), expected, "{}", text);
        let explained = case.ask(|question| parsed.explain(question));
        prop_assert_eq!(&explained.judgement, &case.judge(&parsed));
        for (account, policy) in explained.policies.iter().zip(&policies) {
            let matched = matches!(account.outcome, portcullis_policy::Outcome::Matched { .. });
            prop_assert_eq!(matched, policy.matches(&case), "{}", account);
        }
    }

    /// Paths are alternatives and never mix: each path of many asks exactly what its permit asks when it stands alone.
    #[test]
    fn a_path_asks_what_its_permit_asks_alone(
        permits in proptest::collection::vec((annotations(), prop::option::of(0..3usize)), 1..6),
        groups in prop::sample::subsequence(GROUPS.as_slice(), 0..=3),
    ) {
        let one = |n: usize, annotations: &str, group: Option<usize>| {
            let principal = group.map_or("principal".to_owned(), |g| format!("principal in Group::\"{}\"", GROUPS[g]));
            format!("@id(\"p{n}\") {annotations} permit ({principal}, action == Action::\"request\", resource);\n")
        };
        let case = case(Action::Request).who("alice", &groups);
        let texts: Vec<_> = permits.iter().enumerate().map(|(n, (with, group))| one(n, with, *group)).collect();
        let together = case.judge(&parse(&texts.concat())).paths();
        let alone: Vec<_> = texts.iter().flat_map(|text| case.judge(&parse(text)).paths()).collect();
        prop_assert_eq!(&together, &alone, "{}", texts.concat());
        // The order of the text changes nothing but the order of the paths.
        let mut turned = case.judge(&parse(&texts.iter().rev().cloned().collect::<String>())).paths();
        turned.reverse();
        prop_assert_eq!(turned, together);
        // One forbid, wherever it stands, beats them all.
        let stop = "@id(\"stop\") forbid (principal, action == Action::\"request\", resource);\n";
        for text in [format!("{stop}{}", texts.concat()), format!("{}{stop}", texts.concat())] {
            prop_assert_eq!(case.said(&parse(&text)), "forbidden: stop");
        }
    }
}

fn set<T: std::str::FromStr<Err: std::fmt::Debug> + Ord>(texts: &[&str]) -> BTreeSet<T> {
    texts.iter().map(|text| text.parse().unwrap()).collect()
}
