//! The directory of identities, groups and targets: every refusal can be shown, and what is added and taken away again
//! leaves everything else as it was.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_identity::{Directory, EditError};
use portcullis_model::{Target, TargetAuth};

fuzz_target!(|text: &str| {
    let before = match Directory::parse(text, "directory.toml") {
        Ok(directory) => directory,
        Err(error) => return assert!(!error.to_string().is_empty()),
    };
    let target = Target {
        name: "added".parse().unwrap(),
        addresses: vec!["added.example.org:22".parse().unwrap()],
        labels: [("env".to_owned(), "\"'#".to_owned())].into(),
        logins: ["root".parse().unwrap()].into(),
        auth: TargetAuth::default(),
        host_keys: Vec::new(),
    };
    let added = match Directory::add_target(text, &target) {
        Ok(added) => added,
        Err(EditError::Exists { .. }) => return assert!(before.target(&target.name).is_some()),
        Err(EditError::Inline(_)) => return,
        Err(error) => panic!("{error:?}"),
    };
    let with = Directory::parse(&added, "directory.toml").unwrap();
    assert_eq!(with.target(&target.name), Some(&target));
    let without = Directory::remove_target(&added, &target.name).unwrap();
    let without = Directory::parse(&without, "directory.toml").unwrap();
    for directory in [&with, &without] {
        assert!(directory.identities().eq(before.identities()) && directory.proxies().eq(before.proxies()));
        assert!(directory.groups().eq(before.groups()));
    }
    assert!(without.targets().eq(before.targets()));
});
