//! What is refused, where it points, and what it says to write instead.

use portcullis_policy::{Diagnostic, EXAMPLE, Policies};
use proptest::prelude::*;

use crate::world::wrong;

const REQUEST: &str = r#"@id("a") permit (principal, action == Action::"request", resource)"#;

/// A diagnostic: its place, what it says, and its hint.
type Expected = (&'static str, &'static str, &'static str);

/// Texts, and what is wrong with each.
fn table() -> Vec<(String, Vec<Expected>)> {
    let when = |condition: &str| format!("{REQUEST}\nwhen {{ {condition} }};");
    let any = |before: &str| format!("{before}\npermit (principal, action, resource);");
    let scope = |scope: &str| format!("@id(\"a\")\npermit ({scope});");
    let one = |place, message, hint| vec![(place, message, hint)];
    vec![
        // Cedar's syntax.
        (REQUEST.to_owned(), one("1:67", "a semicolon is missing after this policy", "ends with `;`")),
        (scope("principal action, resource"), one("2:18", "a comma is missing after `principal`", "(principal, action, resource)")),
        (scope("principal in Group::\"sre\" action, resource"), one("2:34", "a comma is missing after `\"sre\"`", "")),
        (
            scope("principal, action in [Action::\"lock\" Action::\"administer\"], resource"),
            one("2:45", "a comma is missing after `\"lock\"`", "items of a list"),
        ),
        (format!("{REQUEST}\n{REQUEST};"), one("1:67", "a semicolon is missing after this policy", "")),
        (format!("{REQUEST};\n@id(\"b\")\n"), one("2:9", "these annotations belong to no policy", "")),
        ("permit (principal, action, resource".to_owned(), one("1:36", "`)` is missing after `resource`", "the `(` at 1:8")),
        ("permit (principal, action, resource when { true };".to_owned(), one("1:36", "`)` is missing after `resource`", "the `(` at 1:8")),
        (format!("{REQUEST}\nwhen {{ context.touch;\n"), one("2:21", "`}` is missing after `touch`", "the `{` at 2:6")),
        (format!("{REQUEST}\nwhere {{ context.touch }};"), one("2:1", "invalid policy condition: where", "`when` or `unless`")),
        (when("context.touch resource.name == \"x\""), one("2:21", "an operator is missing after `touch`", "`&&`")),
        (when("context.touch and context.duration < 3"), one("2:22", "`and` joins nothing here", "`&&`")),
        (when("resource.name = \"x\""), one("2:8", "'=' is not a valid operator", "'=='")),
        (scope("principal = Identity::\"alice\", action, resource"), one("2:9", "'=' is not a valid operator", "'=='")),
        (when("context.tоuch"), one("2:17", "invalid token", "'о' is U+043E: it only looks like")),
        (scope("principal == ?principal, action, resource"), one("2:1", "has a slot", "write the entity itself")),
        (any("@id(\"a\") @id(\"b\")"), one("1:10", "duplicate annotation: @id", "keep one of them")),
        // The schema.
        (scope("principal, action == Action::\"requst\", resource"), one("2:30", "unrecognized action `Action::\"requst\"`", "did you mean `Action::\"request\"`?")),
        (scope("principal in Grop::\"sre\", action, resource"), one("2:22", "unrecognized entity type `Grop`", "did you mean `Group`?")),
        (scope("principal, action == Action::\"connect\", resource is Target"), one("2:1", "unable to find an applicable action", "are about a Login")),
        (scope("principal, action, resource == System::\"portculis\""), one("2:40", "is not declared as a valid eid", "valid entity eids: \"portcullis\"")),
        (when("context.duraton < 3"), one("2:8", "attribute `duraton` in context for Action::\"request\" not found", "did you mean `duration`?")),
        (when("principal.nme like \"x*\""), one("2:8", "attribute `nme` on entity type `Identity` not found", "did you mean `name`?")),
        (when("context.ticket == \"x\""), one("2:8", "optional attribute `ticket`", "context has ticket")),
        (when("resource.target.labels.env == \"x\""), one("2:8", "attribute `labels` on entity type `Target` not found", "labels are tags")),
        (when("resource.target.getTag(\"env\") == \"x\""), one("2:8", "access to tag `\"env\"`", ".hasTag(\"env\")")),
        (when("context.duration == \"x\""), one("2:8", "the types Long and String are not compatible", "both operands")),
        (when("context.duration < duration(\"1h\")"), one("2:27", "unexpected type", "")),
        (when("ip(\"10.0.0.0/33\").isLoopback()"), one("2:8", "failed to parse as IP address", "valid IP strings")),
        (when("false"), one("1:10", "policy is impossible", "")),
        (when("context has tiket"), one("1:10", "policy is impossible", "")),
        ("@id(\"a\") permit (principal, action, resource)\nwhen { context.duration < 3 };".to_owned(), one("2:8", "attribute `duration` in context", "only request and review have context.duration")),
        // Letters that look like others.
        (when("context has command && context.command == \"\u{202e}x\""), one("2:50", "contains BIDI control characters", "")),
        (
            scope("principal == Identity::\"аlice\", action, resource"),
            vec![
                ("2:1", "identifier `аlice` contains mixed scripts", ""),
                ("2:22", "the identity name \"аlice\" has 'а' at byte 0", ""),
            ],
        ),
        // Names that nothing can have.
        (scope("principal == Identity::\"Alice\", action, resource"), one("2:22", "the identity name \"Alice\" has 'A'", "")),
        (scope("principal in Group::\"s r e\", action, resource"), one("2:22", "the group name \"s r e\"", "")),
        (scope("principal, action, resource in Target::\"WEB1\""), one("2:40", "the target name \"WEB1\"", "")),
        (scope("principal, action, resource == Login::\"root\""), one("2:40", "is on no target", "resource.name == \"root\"")),
        // Annotations.
        (any(""), one("2:1", "this permit has no @id", "write @id(")),
        (format!("{}\n{}", any("@id(\"a\")"), any("@id(\"a\")")), one("3:6", "the id \"a\" is taken by the policy at line 2", "each policy has its own")),
        (any("@id(\"a b\")"), one("1:6", "\"a b\" cannot be an id", "1 to 64")),
        (any("@id(\"\")"), one("1:6", "\"\" cannot be an id", "1 to 64")),
        (any("@id(\"a\") @description(\"\\u{1b}[2J\")"), one("1:24", "this cannot be a description", "plain text")),
        (any("@id(\"a\") @max_durtion(\"30m\")"), one("1:11", "there is no annotation @max_durtion", "did you mean \"max_duration\"?")),
        (any("@id(\"a\") @colour(\"red\")"), one("1:11", "there is no annotation @colour", "known are @id")),
        (any("@id(\"a\") @max_duration(\"30\")"), one("1:25", "\"30\" is not a length of time: expected numbers with the units", "\"4h\"")),
        (any("@id(\"a\") @max_duration(\"4 hours\")"), one("1:25", "\"4 hours\" is not a length of time", "write it as \"4h\"")),
        (any("@id(\"a\") @max_duration"), one("1:11", "@max_duration takes a value", "@max_duration(\"4h\")")),
        (any("@id(\"a\") @max_duration(\"0s\")"), one("1:25", "\"0s\" is no time at all", "30m")),
        (any("@id(\"a\") @approvals(\"17\")"), one("1:22", "\"17\" is no number of approvals: expected 0 to 16", "\"0\" grants at once")),
        (any("@id(\"a\") @approvals(\"-1\")"), one("1:22", "\"-1\" is no number of approvals: expected 0 to 16", "\"1\"")),
        (any("@id(\"a\") @approvals(\"+1\")"), one("1:22", "\"+1\" is no number of approvals", "")),
        (any("@id(\"a\") @approvals(\"two\")"), one("1:22", "\"two\" is no number of approvals", "")),
        (any("@id(\"a\") @approvers(\"sre, SRE\")"), one("1:27", "the group name \"SRE\"", "several with commas")),
        (any("@id(\"a\") @approvers(\"\")"), one("1:22", "the group name is empty", "write a group")),
        (any("@id(\"a\") @approvers(\"sre,sre\")"), one("1:26", "\"sre\" is there twice", "once")),
        (any("@id(\"a\") @approvers(\"sre,,ops\")"), one("1:26", "the group name is empty", "write a group")),
        (any("@id(\"a\") @recording(\"off\") @record_input"), one("1:29", "what is typed shall be recorded", "leave @record_input out")),
        (any("@id(\"a\") @approvals(\"0\") @approvers(\"sre\")"), one("1:27", "approvers are named, and no approval is asked for", "leave @approvers out")),
        (any("@id(\"a\") @recording(\"of\")"), one("1:22", "\"of\" is no way to record", "did you mean \"off\"?")),
        (any("@id(\"a\") @record_input(\"yes\")"), one("1:25", "\"yes\" is neither true nor false", "\"true\"")),
        (any("@id(\"a\") @output_limit(\"1MB\")"), one("1:25", "\"1MB\" is not a size", "1MiB")),
        (any("@id(\"a\") @output_limit(\"99999999GiB\")"), one("1:25", "is not a size", "1MiB")),
        (any("@id(\"a\") @idle_limit(\"never\")"), one("1:23", "\"never\" is not a length of time", "30m")),
        (any("@id(\"a\") @extensions(\"permit-ptty\")"), one("1:23", "\"permit-ptty\" is no certificate extension", "did you mean \"permit-pty\"?")),
        (any("@id(\"a\") @extensions(\"permit-pty, permit-pty\")"), one("1:35", "\"permit-pty\" is there twice", "once")),
        (any("@id(\"a\") @channels(\"shell, sftp\")"), one("1:28", "\"sftp\" is nothing that a channel runs", "write shell")),
        (any("@id(\"a\") @channels(\"none\")"), one("1:21", "\"none\" is nothing that a channel runs", "write shell")),
        (any("@id(\"a\") @accept_env(\"LANG, *\")"), one("1:29", "\"*\" names no environment variable", "write a name")),
        (any("@id(\"a\") @permit_open(\"db1\")"), one("1:24", "\"db1\" is no end of a forward", "host:port")),
        (any("@id(\"a\") @permit_open(\"db1:0\")"), one("1:24", "ports are 1 to 65535", "host:port")),
        (any("@id(\"a\") @permit_listen(\"10.0.0.1/8:80\")"), one("1:26", "the network of 10.0.0.1/8 is 10.0.0.0/8", "host:port")),
        (any("@id(\"a\") @upload(\"srv/www\")"), one("1:19", "write it from the root", "write a path")),
        (any("@id(\"a\") @download(\"/srv/../etc/**\")"), one("1:21", "without //, /./ and /../", "write a path")),
        (any("@id(\"a\") @extensions(\"permit-port-forwarding\")"), one("1:11", "no end of a forward is", "@permit_open")),
        (any("@id(\"a\") @recording(\"only\") @permit_open(\"db1:5432\")"), one("1:11", "a forward is not recorded", "leave the forwards out")),
        (any("@id(\"a\") @recording(\"only\") @extensions(\"permit-agent-forwarding\")"), one("1:11", "a forward is not recorded", "leave the forwards out")),
        (any("@id(\"a\") @touch(\"\")"), one("1:18", "\"\" is neither true nor false", "\"true\"")),
        (any("@id(\"a\") @touch(\"1\")"), one("1:18", "\"1\" is neither true nor false", "\"true\"")),
        (any("@id(\"a\") @factor(\"touch\")"), one("1:19", "\"touch\" is no second factor", "@touch")),
        (any("@id(\"a\") @factor(\"sms\")"), one("1:19", "\"sms\" is no second factor", "\"any\"")),
        (any("@id(\"a\") @factor"), one("1:11", "@factor takes a value", "@factor(\"any\")")),
        (any("@id(\"a\") @touch @factor(\"any\")"), one("1:18", "would do for @factor", "\"totp\"")),
        (
            "@id(\"a\") @approvals(\"1\") permit (principal, action == Action::\"connect\", resource);\n@ticket forbid (principal, action, resource);".to_owned(),
            vec![
                ("1:11", "@approvals means nothing on this permit", "Action::\"request\""),
                ("2:2", "@ticket means nothing on this forbid", "a forbid is absolute"),
            ],
        ),
    ]
}

#[test]
fn each_fault_is_found_where_it_is() {
    let mut missed = Vec::new();
    for (text, expected) in table() {
        let found = Policies::parse(&text).expect_err(&text);
        let shown = wrong(&text);
        let fits = |(diagnostic, (place, message, hint)): (&Diagnostic, &Expected)| {
            format!("{}:{}", diagnostic.line, diagnostic.column) == *place
                && diagnostic.message.contains(message)
                && diagnostic.hint.as_deref().unwrap_or_default().contains(hint)
        };
        if found.len() != expected.len() || !found.iter().zip(&expected).all(fits) {
            missed.push(format!("{text}\n-- expected\n{expected:?}\n-- found\n{shown}"));
        }
        for Diagnostic { line, column, length, source, message, .. } in &found {
            assert!(!message.contains("policy0"), "it is shown where it is: {shown}");
            assert_eq!(text.lines().nth(line - 1).unwrap_or_default(), source, "{shown}");
            assert!(column + length <= source.chars().count() + 2, "{shown}");
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n\n"));
}

#[test]
fn a_diagnostic_shows_its_line() {
    let text = "// one\n\t@id(\"ä\") @max_durtion(\"30m\")\npermit (principal, action, resource);";
    let expected = [
        "2:7: \"ä\" cannot be an id",
        "     @id(\"ä\") @max_durtion(\"30m\")",
        "          ^",
        "hint: write 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'",
        "2:12: there is no annotation @max_durtion",
        "     @id(\"ä\") @max_durtion(\"30m\")",
        "               ^^^^^^^^^^^",
        "hint: did you mean \"max_duration\"?",
    ];
    assert_eq!(wrong(text), expected.join("\n"));
}

#[test]
fn everything_wrong_is_said_at_once() {
    let text = "permit (principal, action, resource);\n@id(\"b\") @touch(\"x\") forbid (principal, action, resource) when { context.foo };";
    let found = Policies::parse(text).unwrap_err();
    let lines: Vec<_> = found.iter().map(|diagnostic| diagnostic.line).collect();
    assert_eq!(lines, [1, 2, 2], "{}", wrong(text));
}

#[test]
fn a_text_without_end_is_refused_before_it_is_read() {
    assert!(wrong(&" ".repeat((4 << 20) + 1)).contains("the limit is"));
}

#[test]
fn no_policies_are_valid_policies() {
    assert!(Policies::parse("// nothing yet\n").unwrap().is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]

    /// Whatever is done to the example, it is read or refused with places that are in it.
    #[test]
    fn no_text_makes_it_panic(at in any::<prop::sample::Index>(), gone in 0..40usize, put in "(\\PC|[@(){};\"\\\\\n]){0,8}") {
        let start = EXAMPLE.len() / 3;
        let text = &EXAMPLE[EXAMPLE.char_indices().map(|(at, _)| at).find(|at| *at >= start).unwrap()..];
        let boundaries: Vec<_> = text.char_indices().map(|(at, _)| at).collect();
        let from = at.index(boundaries.len());
        let to = (from + gone).min(boundaries.len() - 1);
        let text = format!("{}{put}{}", &text[..boundaries[from]], &text[boundaries[to]..]);
        if let Err(found) = Policies::parse(&text) {
            prop_assert!(!found.is_empty());
            for diagnostic in found {
                let line = text.split('\n').nth(diagnostic.line - 1);
                prop_assert_eq!(line.map(|line| line.trim_end_matches('\r')), Some(diagnostic.source.as_str()));
            }
        }
    }
}
