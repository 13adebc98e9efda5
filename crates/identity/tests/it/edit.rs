use model::Target;
use portcullis_identity::{Directory, EXAMPLE, EditError};
use proptest::prelude::*;

use crate::support::line;

fn target(name: &str, address: &str) -> Target {
    Target {
        name: name.parse().unwrap(),
        addresses: vec![address.parse().unwrap()],
        labels: [("env".to_owned(), "prod \"quoted\" \\ ü".to_owned())].into(),
        logins: ["root".parse().unwrap(), "deploy".parse().unwrap()].into(),
        auth: model::TargetAuth::default(),
        host_keys: vec![line(5)],
    }
}

fn read(text: &str, name: &str) -> Option<Target> {
    Directory::parse(text, "f").unwrap().target(&name.parse().unwrap()).cloned()
}

#[test]
fn a_target_is_added_below_everything_and_every_comment_stays() {
    let web1 = target("web1", "10.0.0.1");
    let text = Directory::add_target(EXAMPLE, &web1).unwrap();
    assert_eq!(read(&text, "web1"), Some(web1.clone()));
    for comment in EXAMPLE.lines() {
        assert!(text.lines().any(|line| line == comment), "lost: {comment}");
    }
    let web2 = target("web2", "10.0.0.2:2222");
    let text = Directory::add_target(&text, &web2).unwrap();
    assert_eq!((read(&text, "web1"), read(&text, "web2")), (Some(web1.clone()), Some(web2)));
    let error = Directory::add_target(&text, &web1).unwrap_err();
    assert_eq!(error, EditError::Exists { kind: "target", name: "web1".to_owned() });
}

#[test]
fn a_target_is_replaced_in_its_place() {
    let text = "# first\n[[target]]\nname = \"web1\" # the old one\naddresses = [\"10.0.0.1\"]\nlogins = [\"root\"]\n\n# second\n[[target]]\nname = \"web2\"\naddresses = [\"10.0.0.2\"]\nlogins = [\"root\"]\n";
    let new = target("web1", "10.9.9.9");
    let replaced = Directory::replace_target(text, &new).unwrap();
    assert_eq!(read(&replaced, "web1"), Some(new.clone()));
    assert!(replaced.starts_with("# first\n[[target]]\nname = \"web1\" # the old one\n"), "{replaced}");
    assert!(replaced.contains("# second\n[[target]]\nname = \"web2\""), "{replaced}");
    let keyed = Target { auth: model::TargetAuth::TargetKey, ..new };
    let replaced = Directory::replace_target(&replaced, &keyed).unwrap();
    assert_eq!(read(&replaced, "web1"), Some(keyed.clone()));
    let bare = Target { labels: Default::default(), auth: Default::default(), host_keys: vec![], ..keyed };
    let shrunk = Directory::replace_target(&replaced, &bare).unwrap();
    assert_eq!(read(&shrunk, "web1"), Some(bare));
    let missing = Directory::replace_target(text, &target("web9", "a")).unwrap_err();
    assert_eq!(missing, EditError::Missing { kind: "target", name: "web9".to_owned() });
}

#[test]
fn a_target_is_removed_and_the_others_stay() {
    let text = Directory::add_target("# top\n", &target("web1", "a")).unwrap();
    let text = Directory::add_target(&text, &target("web2", "b")).unwrap();
    let removed = Directory::remove_target(&text, &"web1".parse().unwrap()).unwrap();
    assert_eq!((read(&removed, "web1").is_some(), read(&removed, "web2").is_some()), (false, true));
    assert!(matches!(Directory::remove_target(&removed, &"web1".parse().unwrap()), Err(EditError::Missing { .. })));
}

#[test]
fn a_proxy_is_added_with_its_key() {
    let text = Directory::add_proxy(EXAMPLE, &"proxy1".parse().unwrap(), &line(9)).unwrap();
    let directory = Directory::parse(&text, "f").unwrap();
    assert_eq!(directory.proxy(&"proxy1".parse().unwrap()).unwrap().keys.len(), 1);
    assert!(matches!(
        Directory::add_proxy(&text, &"proxy1".parse().unwrap(), &line(8)),
        Err(EditError::Exists { kind: "proxy", .. })
    ));
    assert!(matches!(Directory::add_proxy(&text, &"proxy2".parse().unwrap(), &line(9)), Err(EditError::Invalid(_))));
}

#[test]
fn what_would_not_be_valid_is_not_written() {
    let bad = Target { logins: Default::default(), ..target("web1", "a") };
    assert!(matches!(Directory::add_target("", &bad), Err(EditError::Invalid(_))));
    assert!(matches!(Directory::add_target("nonsense", &target("web1", "a")), Err(EditError::Invalid(_))));
    let inline = "target = [{ name = \"w\", addresses = [\"a\"], logins = [\"root\"] }]\n";
    assert_eq!(Directory::add_target(inline, &target("web1", "a")), Err(EditError::Inline("target")));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    #[test]
    fn whatever_is_added_reads_back(
        names in prop::collection::btree_set("[a-z][a-z0-9.-]{0,12}", 1..6),
        label in "\\PC{1,20}",
        port in 1u16..,
    ) {
        let mut text = EXAMPLE.to_owned();
        let targets: Vec<Target> = names.iter().map(|name| Target {
            labels: [("l".to_owned(), label.clone())].into(),
            ..target(name, &format!("h:{port}"))
        }).collect();
        for target in &targets {
            text = Directory::add_target(&text, target).unwrap();
        }
        for target in &targets {
            let found = read(&text, target.name.as_str());
            prop_assert_eq!(found.as_ref(), Some(target));
        }
        for target in &targets {
            text = Directory::remove_target(&text, &target.name).unwrap();
        }
        prop_assert_eq!(Directory::parse(&text, "f").unwrap().targets().len(), 0);
    }
}
