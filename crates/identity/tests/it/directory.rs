use portcullis_identity::{Desk, Directory, EXAMPLE, StrictError, Subject, fingerprint};
use proptest::prelude::*;

use crate::support::{line, public};

fn parse(text: &str) -> Result<Directory, StrictError> {
    Directory::parse(text, "directory.toml")
}

fn identity(name: &str, seed: u8) -> String {
    format!("[[identity]]\nname = \"{name}\"\nkeys = [\"{}\"]\n", line(seed))
}

const TARGET: &str = "[[target]]\nname = \"web1\"\naddresses = [\"10.0.0.1\"]\nlogins = [\"root\"]\n";

#[test]
fn a_whole_directory_reads() {
    let text = format!(
        r#"
[[identity]]
name = "alice"
keys = ["{}", "{}"]
groups = ["sre", "db"]

[[identity]]
name = "bob"
keys = ["{}"]

[[proxy]]
name = "proxy1"
keys = ["{}"]

[[target]]
name = "web1"
addresses = ["10.0.0.1", "[::1]:2222"]
logins = ["root", "deploy"]
labels = {{ env = "prod" }}
host-keys = ["{}"]

[[group]]
name = "sre"
description = "On call"

[[group]]
name = "db"
"#,
        line(1),
        line(2),
        line(3),
        line(4),
        line(5)
    );
    let directory = parse(&text).unwrap();
    let alice = directory.identity(&"alice".parse().unwrap()).unwrap();
    assert_eq!((alice.keys.len(), alice.groups.len()), (2, 2));
    assert_eq!(alice.keys[0].fingerprint, fingerprint(public(1).key_data()));
    assert_eq!(directory.identities().len(), 2);
    assert_eq!(directory.proxies().len(), 1);
    assert_eq!(directory.groups().collect::<Vec<_>>()[1].1, "On call");
    let web1 = directory.target(&"web1".parse().unwrap()).unwrap();
    assert_eq!((web1.addresses.len(), web1.logins.len(), web1.host_keys.len()), (2, 2, 1));
    let owner = |seed: u8| directory.owner(public(seed).key_data()).map(ToString::to_string);
    assert_eq!(owner(2).as_deref(), Some("alice"));
    assert_eq!(owner(4).as_deref(), Some("proxy:proxy1"));
    assert_eq!(owner(5), None, "a host key proves nobody");
    assert!(directory.knows(&Subject::Proxy("proxy1".parse().unwrap())));
    assert!(!directory.knows(&Subject::Identity("proxy1".parse().unwrap())));
}

#[test]
fn the_example_is_valid_and_its_commented_entries_are_too() {
    assert_eq!(parse(EXAMPLE).unwrap().identities().len(), 0);
    // Every commented line of TOML, uncommented and with real keys.
    let mut seed = 0;
    let live: String = EXAMPLE
        .lines()
        .filter_map(|line| line.strip_prefix("# "))
        .filter(|line| line.starts_with("[[") || line.contains(" = "))
        .map(|text| {
            seed += 1;
            let key = line(seed);
            format!("{}\n", text.replace("ssh-ed25519 AAAA…", key.split(" a comment").next().unwrap()))
        })
        .collect();
    let directory = parse(&live).unwrap_or_else(|error| panic!("{error}"));
    assert_eq!((directory.identities().len(), directory.targets().len(), directory.proxies().len()), (1, 1, 1));
}

#[test]
fn every_mistake_has_its_line() {
    let alice = identity("alice", 1);
    let cases: Vec<(String, usize, &str)> = vec![
        (format!("{alice}[[identity]]\nname = \"alice\"\nkeys = [\"{}\"]\n", line(2)), 5, "declared twice"),
        (
            format!("{alice}[[identity]]\nname = \"bob\"\nkeys = [\n  \"{}\",\n  \"{}\",\n]\n", line(2), line(1)),
            8,
            "alice's already (line 3)",
        ),
        (format!("{alice}[[proxy]]\nname = \"p\"\nkeys = [\"{}\"]\n", line(1)), 6, "alice's already"),
        (format!("{alice}groups = [\"sre\"]\n"), 4, "there is no group sre"),
        ("[[identity]]\nname = \"alice\"\nkeys = []\n".into(), 3, "no way to log in"),
        ("[[identity]]\nname = \"Alice\"\nkeys = []\n".into(), 2, "'A' at byte 0"),
        ("[[identity]]\nname = \"alice\"\nkeys = [\"x\"]\n".into(), 3, "no public key"),
        ("[[identity]]\nname = \"alice\"\nkey = []\n".into(), 3, "unknown key \"key\""),
        ("[[identity]]\nname = \"alice\"\n".into(), 1, "the key \"keys\" is missing"),
        ("[[group]]\nname = \"g\"\n[[group]]\nname = \"g\"\n".into(), 4, "declared twice"),
        (format!("{TARGET}{TARGET}"), 5, "declared twice"),
        (TARGET.replace("[\"10.0.0.1\"]", "[]"), 1, "no address"),
        (TARGET.replace("[\"10.0.0.1\"]", "[\"a\", \"a:22\"]"), 1, "an address twice"),
        (TARGET.replace("[\"root\"]", "[]"), 1, "no login"),
        (TARGET.replace("root", "ro ot"), 4, "' ' at byte 2"),
        (TARGET.replace("10.0.0.1", "10.0.0.1:0"), 3, "address"),
        (format!("{TARGET}host-keys = [\"ssh-ed25519-cert-v01@openssh.com AAAA\"]\n"), 1, "this is a certificate"),
        (format!("{TARGET}labels = {{ \"\" = \"x\" }}\n"), 1, "label"),
        (format!("{TARGET}auth = \"target-key\"\n"), 1, "no pinned host key"),
        (format!("{TARGET}auth = \"password\"\n"), 5, "target-key"),
        (format!("{TARGET}hostkeys = []\n"), 5, "unknown key \"hostkeys\""),
        ("[identities]\n".into(), 1, "unknown key \"identities\""),
    ];
    for (text, at, says) in cases {
        let error = parse(&text).expect_err(&text);
        assert!(error.to_string().contains(says), "{text}\n{error}");
        assert_eq!(error.line(), at, "{text}\n{error}");
    }
}

#[test]
fn a_key_that_is_not_good_enough_is_refused_with_advice() {
    let keys = crate::support::Keys::new();
    let short = keys.make("short", &["-t", "rsa", "-b", "1024"]);
    let short = std::fs::read_to_string(short.with_extension("pub")).unwrap();
    let error = parse(&format!("[[identity]]\nname = \"alice\"\nkeys = [\"{}\"]\n", short.trim())).unwrap_err();
    assert!(error.message().contains("1024 bits") && error.message().contains("ed25519"), "{error}");
}

#[test]
fn near_misses_are_named() {
    let text = format!("[[group]]\nname = \"sre\"\n{}groups = [\"sree\"]\n", identity("alice", 1));
    assert_eq!(parse(&text).unwrap_err().hint(), Some("did you mean \"sre\"?"));
    let error = parse("[[identty]]\nname = \"a\"\n").unwrap_err();
    assert_eq!(error.hint(), Some("did you mean \"identity\"? Known here: group, identity, proxy, target"));
}

proptest! {
    #[test]
    fn no_text_makes_it_panic(text in "((\\[\\[)?(identity|target|group|name|keys|labels|=|\"|\\[|\\]|\\{|\\}|\n| |a|ä|\\.){1})(\\PC|\n){0,60}") {
        let _ = parse(&text).map_err(|error| error.to_string());
    }
}

#[test]
fn a_proxy_passes_no_reviews_on_unless_it_is_written() {
    let proxy = format!("[[proxy]]\nname = \"proxy1\"\nkeys = [\"{}\"]\n", line(1));
    let desk = |more: &str| {
        let directory = parse(&format!("{proxy}{more}"))?;
        Ok::<_, StrictError>(directory.proxy(&"proxy1".parse().unwrap()).unwrap().desk)
    };
    assert_eq!(desk("").unwrap(), Desk::Ask);
    for (name, expected) in [("sessions", Desk::Sessions), ("ask", Desk::Ask), ("review", Desk::Review)] {
        assert_eq!(desk(&format!("desk = \"{name}\"\n")).unwrap(), expected);
    }
    assert!(desk("desk = \"all\"\n").is_err());
    assert!(Desk::Sessions < Desk::Ask && Desk::Ask < Desk::Review);
}
