//! How a judgement is explained.

use portcullis_policy::{Action, EXAMPLE, Outcome};

use crate::world::*;

#[test]
fn a_yes_names_what_decides() {
    let policies = parse(EXAMPLE);
    let shown = case(Action::Request).ask(|question| policies.explain(question)).to_string();
    let lines: Vec<_> = shown.lines().take(4).collect();
    assert_eq!(
        lines,
        [
            "alice (engineers): request root@web1",
            "yes: policy permits it by engineers-prod",
            "  permit engineers-nonprod (line 33): does not hold: when { !(resource.target.getTag(\"env\") == \"prod\") }",
            "  permit engineers-prod (line 45): matches, and decides",
        ],
        "{shown}"
    );
    assert!(shown.contains("permit admins (line 85): is about another principal and another action"), "{shown}");
    assert!(!shown.contains("nearest"));
}

#[test]
fn a_no_names_what_came_nearest() {
    let policies = parse(
        r#"
        @id("sre") permit (principal in Group::"sre", action == Action::"request", resource);
        @id("short") permit (principal in Group::"engineers", action == Action::"request", resource)
        when { context.duration <= 600 && context.touch && resource.name == "root" }
        unless { context has command || resource.name == "root" };
        "#,
    );
    let explained = case(Action::Request).ask(|question| policies.explain(question));
    let Outcome::Condition { failed } = &explained.policies[1].outcome else { panic!("{explained}") };
    assert_eq!(
        failed,
        &["when { context.duration <= 600 }", "when { context.touch }", "unless { resource.name == \"root\" }"]
    );
    assert_eq!(explained.policies[0].outcome, Outcome::Elsewhere { parts: vec!["principal"] });
    assert!(explained.to_string().ends_with("\nnearest: short"), "{explained}");
    let stranger = case(Action::Request).who("mallory", &[]).ask(|question| policies.explain(question));
    assert!(stranger.to_string().starts_with("mallory (no groups): request root@web1\nno: no policy permits it\n"));
    assert!(stranger.to_string().ends_with("\nnearest: sre, short"), "{stranger}");
    let wants: Vec<_> = stranger.nearest().into_iter().map(portcullis_policy::Account::wants).collect();
    assert_eq!(wants, ["it is for principal in Group::\"sre\"", "it is for principal in Group::\"engineers\""]);
    let wants = explained.nearest()[0].wants();
    assert!(wants.starts_with("it does not hold: when { context.duration <= 600 }"), "{wants}");
}

#[test]
fn a_guarded_test_is_blamed_on_its_guard() {
    let policies = parse(
        r#"@id("t") permit (principal, action == Action::"request", resource)
           when { context has ticket && context.ticket like "OPS-*" };"#,
    );
    let explained = case(Action::Request).ask(|question| policies.explain(question));
    assert_eq!(
        explained.policies[0].outcome,
        Outcome::Condition { failed: vec!["when { context has ticket }".to_owned()] }
    );
}

#[test]
fn a_forbid_that_decides_is_told_from_a_permit_that_is_beaten() {
    let policies = parse(
        r#"@id("yes") permit (principal, action, resource);
           @id("stop") @description("change freeze") forbid (principal, action, resource) when { resource is Login };"#,
    );
    let explained = case(Action::Request).ask(|question| policies.explain(question));
    assert_eq!(explained.policies[0].outcome, Outcome::Matched { decides: false });
    assert_eq!(explained.policies[1].outcome, Outcome::Matched { decides: true });
    assert_eq!(
        explained.to_string(),
        "alice (engineers): request root@web1\nno: policy forbids it: stop (change freeze)\n  permit yes (line 1): matches, and is beaten by a forbid\n  forbid stop (line 2): matches, and decides"
    );
}

#[test]
fn what_cannot_be_evaluated_says_why() {
    let policies = parse(
        r#"@id("over") forbid (principal, action == Action::"request", resource)
           when { context.duration * 9223372036854775807 > 0 };"#,
    );
    let explained = case(Action::Request).ask(|question| policies.explain(question)).to_string();
    assert!(explained.contains("forbid over (line 1): could not be evaluated: "), "{explained}");
    assert!(explained.contains("no: policy forbids it: over could not be evaluated and so forbids"), "{explained}");
}
