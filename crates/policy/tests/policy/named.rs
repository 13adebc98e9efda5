//! Names that the directory does not know, and paths that nobody can fulfil.

use std::collections::BTreeSet;

use model::{GroupName, IdentityName, Target};
use portcullis_policy::{EXAMPLE, Known, Policies};
use proptest::prelude::*;

use crate::world::{groups, parse, target};

/// A directory: its groups, its people with theirs, its targets.
struct Book {
    groups: BTreeSet<GroupName>,
    people: Vec<(IdentityName, BTreeSet<GroupName>)>,
    targets: Vec<Target>,
}

impl Book {
    fn known(&self) -> Known<'_> {
        Known::new(&self.groups, self.people.iter().map(|(name, groups)| (name, groups)), &self.targets)
    }

    fn find(&self, text: &str) -> Vec<String> {
        parse(text).findings(Some(&self.known())).iter().map(ToString::to_string).collect()
    }
}

fn book() -> Book {
    let people = [("alice", &["engineers"][..]), ("bob", &["ops", "approvers"]), ("carol", &["approvers"])];
    Book {
        groups: groups(&["engineers", "ops", "approvers", "empty"]),
        people: people.into_iter().map(|(name, of)| (name.parse().unwrap(), groups(of))).collect(),
        targets: vec![target("web1", &[("env", "prod")]), target("db1", &[("env", "test"), ("role", "db")])],
    }
}

/// What makes a policy whole: who reviews, and who connects.
const REST: &str = "@id(\"r\") permit (principal, action in [Action::\"review\", Action::\"connect\"], resource);\n";

fn path(scope: &str, rest: &str) -> String {
    format!("{REST}@id(\"a\") permit ({scope}, action == Action::\"request\", resource){rest};")
}

#[test]
fn a_name_that_the_directory_lacks_is_found_where_it_stands() {
    let when = |condition: &str| path("principal", &format!("\nwhen {{ {condition} }}"));
    let table = [
        (
            path("principal in Group::\"opss\"", ""),
            "2:31: the directory has no group \"opss\", so this permits nothing",
            "did you mean \"ops\"?",
        ),
        (path("principal in Group::\"leads\"", ""), "no group \"leads\"", "[[group]] with name = \"leads\""),
        (
            path("principal == Identity::\"alise\"", ""),
            "2:31: the directory has no identity \"alise\", so this permits nothing",
            "did you mean \"alice\"?",
        ),
        (when("principal in Group::\"opss\""), "3:21: the directory has no group \"opss\"\n", "did you mean \"ops\"?"),
        (when("principal.name == \"bobb\""), "3:26: the directory has no identity \"bobb\"\n", "did you mean \"bob\"?"),
        (
            when("resource in Target::\"web2\""),
            "3:20: the directory has no target \"web2\"\n",
            "did you mean \"web1\"?",
        ),
        (when("resource.target.name == \"web2\""), "the directory has no target \"web2\"\n", "did you mean \"web1\"?"),
        (
            when("resource == Login::\"rot@web1\""),
            "the target \"web1\" has no login \"rot\"\n",
            "did you mean \"root\"?",
        ),
        (when("resource == Login::\"www@web1\""), "the target \"web1\" has no login \"www\"\n", "its logins are root"),
        (when("resource == Login::\"root@wbe1\""), "the directory has no target \"wbe1\"\n", "did you mean \"web1\"?"),
        (when("resource.name != \"rot\""), "no target has a login \"rot\"\n", "did you mean \"root\"?"),
        (when("resource.target.hasTag(\"evn\")"), "3:31: no target has a label \"evn\"\n", "did you mean \"env\"?"),
        (
            when("resource.target.hasTag(\"env\") && resource.target.getTag(\"env\") == \"prd\""),
            "3:74: no target has the label env = \"prd\"\n",
            "did you mean \"prod\"?",
        ),
        (
            format!("{REST}forbid (principal in Group::\"opss\", action, resource);"),
            "2:22: the directory has no group \"opss\", so this forbids nothing",
            "did you mean \"ops\"?",
        ),
        (
            path("principal", "")
                .replace("permit (principal, action ==", "@approvers(\"ops, aprovers\") permit (principal, action =="),
            "2:27: the directory has no group \"aprovers\", so no request can ever be approved on this path",
            "did you mean \"approvers\"?",
        ),
        (
            path("principal", "")
                .replace("permit (principal, action ==", "@approvers(\"empty\") permit (principal, action =="),
            "2:22: nobody is in the group \"empty\", so no request can ever be approved on this path",
            "groups = [\"empty\"]",
        ),
        (
            path("principal", "").replace(
                "permit (principal, action ==",
                "@approvals(\"2\") @approvers(\"ops\") permit (principal, action ==",
            ),
            "2 people must approve, and ops has 1 person, so no request can ever be approved",
            "fewer @approvals",
        ),
    ];
    let mut wrong = Vec::new();
    for (text, message, hint) in table {
        let found = book().find(&text);
        if found.len() != 1 || !found[0].contains(message) || !found[0].contains(hint) {
            wrong.push(format!("{text}\n-- expected\n{message} {hint}\n-- found\n{}", found.join("\n")));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n\n"));
}

#[test]
fn what_the_directory_knows_or_may_yet_know_is_no_finding() {
    for text in [
        path("principal in Group::\"empty\"", "\nwhen { resource.target.hasTag(\"role\") }"),
        path(
            "principal",
            "\nwhen { resource.target.hasTag(\"env\") && resource.target.getTag(\"env\") == \"staging\" }",
        ),
        path("principal", "\nwhen { resource == Login::\"root@web1\" || principal == Identity::\"bob\" }"),
        path(
            "principal",
            "\n// Group::\"nobody\" in a comment\nwhen { context has command && context.command == \"Group::\\\"nobody\\\"\" }",
        ),
    ] {
        assert_eq!(book().find(&text), Vec::<String>::new(), "{text}");
    }
    // Without any target, what they are called says nothing; without a directory, nothing of it does.
    let bare = Book { targets: Vec::new(), ..book() };
    assert_eq!(
        bare.find(&path("principal", "\nwhen { resource.target.hasTag(\"env\") && resource.name == \"root\" }")),
        Vec::<String>::new()
    );
    assert!(parse(&path("principal in Group::\"opss\"", "")).findings(None).is_empty());
}

#[test]
fn an_action_that_something_rests_on_must_be_permitted_to_somebody() {
    let request = "@id(\"a\") permit (principal, action == Action::\"request\", resource);\n";
    let connect = "@id(\"c\") permit (principal, action == Action::\"connect\", resource);\n";
    let found = |text: &str| parse(text).findings(None).iter().map(ToString::to_string).collect::<Vec<_>>().concat();
    assert!(found(request).contains("1:10: no permit is for Action::\"connect\": a grant of this path opens nothing"));
    assert!(
        found(&format!("{connect}{request}")).contains("2:10: no permit is for Action::\"review\": nobody can approve")
    );
    assert_eq!(found(&format!("{connect}@approvals(\"0\")\n{request}")), "");
    assert_eq!(found(connect), "");
    assert_eq!(found(EXAMPLE), "");
}

#[test]
fn the_example_in_an_empty_directory_names_its_groups() {
    let empty = Book { groups: BTreeSet::new(), people: Vec::new(), targets: Vec::new() };
    let found = empty.find(EXAMPLE).concat();
    for group in ["engineers", "approvers", "security", "admins"] {
        assert!(found.contains(&format!("no group \"{group}\"")), "{found}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, ..ProptestConfig::default() })]

    /// A finding is in the text, and nothing that is known is found.
    #[test]
    fn findings_point_at_what_they_are_about(names in proptest::collection::vec("[a-c]{1,3}", 1..6)) {
        let text: String = REST.to_owned() + &names.iter().enumerate().map(|(n, name)| format!(
            "@id(\"p{n}\") permit (principal in Group::\"{name}\", action == Action::\"request\", resource);\n"
        )).collect::<String>();
        let declared = groups(&["a", "bb", "ccc"]);
        let book = Book { groups: declared.clone(), people: Vec::new(), targets: Vec::new() };
        let found = Policies::parse(&text).unwrap().findings(Some(&book.known()));
        let unknown: Vec<_> = names.iter().filter(|name| !declared.contains(&name.parse().unwrap())).collect();
        prop_assert_eq!(found.len(), unknown.len());
        for (finding, name) in found.iter().zip(unknown) {
            let marked: String = finding.source.chars().skip(finding.column - 1).take(finding.length).collect();
            prop_assert_eq!(marked, format!("Group::\"{name}\""));
        }
    }
}

#[test]
fn files_that_a_shell_moves_past_their_limits_are_told_of() {
    let found = |annotations: &str| {
        let text = format!(
            "@id(\"a\") @approvals(\"0\") {annotations} permit (principal, action in [Action::\"request\", Action::\"connect\"], resource);"
        );
        parse(&text).findings(None).iter().map(ToString::to_string).collect::<Vec<_>>().concat()
    };
    assert!(found("@upload(\"none\")").contains("any file can be moved by \"shell\""));
    assert!(found("@download(\"/srv/**\") @channels(\"exec, subsystem:sftp\")").contains("moved by \"exec\""));
    assert_eq!(found("@download(\"/srv/**\") @channels(\"scp, subsystem:sftp\")"), "");
    assert!(found("@download(\"none\") @channels(\"subsystem:netconf\")").contains("moved by \"subsystem:netconf\""));
    assert_eq!(found("@channels(\"exec\")"), "");
}

/// As on a site that was made a minute ago: nothing is there to be approved yet.
#[test]
fn groups_that_are_still_empty_are_no_finding_before_there_is_a_target() {
    let mut fresh = book();
    fresh.people.clear();
    fresh.groups = groups(&["engineers", "approvers", "security", "admins"]);
    let with_a_target = fresh.find(EXAMPLE);
    assert!(with_a_target.len() == 1 && with_a_target[0].contains("nobody is in the group"), "{with_a_target:?}");
    fresh.targets.clear();
    assert_eq!(fresh.find(EXAMPLE), Vec::<String>::new());
    fresh.groups = groups(&["engineers", "security", "admins"]);
    let undeclared = fresh.find(EXAMPLE);
    assert!(undeclared.iter().all(|found| found.contains("no group \"approvers\"")), "{undeclared:?}");
    assert!(!undeclared.is_empty());
}
