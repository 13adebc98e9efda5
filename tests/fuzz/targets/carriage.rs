//! What a policy lets a session carry: patterns show as they were read, cover what they name, and nothing below a folder
//! of which they are said to cover nothing. The input is a pattern, and in the next line what it is held against.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_model::{Below, ChannelKind, ChannelRight, Endpoint, PathPattern, PathRule, Peer, VariablePattern};

fuzz_target!(|text: &str| {
    let (pattern, name) = text.split_once('\n').unwrap_or((text, text));
    if let Ok(right) = pattern.parse::<ChannelRight>() {
        assert_eq!(right.to_string(), pattern);
        let named = ChannelKind::Subsystem { name: name.to_owned() };
        let covered = pattern == "subsystem" || pattern.strip_prefix("subsystem:") == Some(name);
        assert_eq!(right.covers(&named), covered);
    }
    if let Ok(variables) = pattern.parse::<VariablePattern>() {
        assert_eq!(variables.to_string(), pattern);
        let covered = pattern.strip_suffix('*').map_or(name == pattern, |start| name.starts_with(start));
        assert_eq!(variables.matches(name), covered);
        assert!(!variables.matches(""), "nothing passes on what has no name");
    }
    if let Ok(endpoint) = pattern.parse::<Endpoint>() {
        ends(&endpoint, name);
    }
    if let Ok(path) = pattern.parse::<PathPattern>() {
        assert_eq!(path.to_string(), pattern);
        paths(pattern, &PathRule::new(&[path].into()).unwrap(), name);
    }
});

fn ends(endpoint: &Endpoint, name: &str) {
    let shown = endpoint.to_string();
    assert_eq!(shown.parse::<Endpoint>().as_ref(), Ok(endpoint));
    assert_eq!(shown.parse::<Endpoint>().unwrap().to_string(), shown);
    for peer in [Peer::Tcp { host: name, port: 80 }, Peer::Socket(name)] {
        let bad = name.chars().any(char::is_control) || name.len() > 255;
        assert!(!(bad && endpoint.matches(&peer)), "{peer} is beyond what is judged");
    }
    let Some((host, port)) = shown.rsplit_once(':').filter(|_| !shown.starts_with('/')) else { return };
    let first = port.split('-').next().and_then(|port| port.parse().ok()).unwrap_or(0);
    if !host.contains(['*', '/']) {
        assert!(endpoint.matches(&Peer::Tcp { host, port: first }), "{shown} is not itself");
        assert!(!endpoint.matches(&Peer::Tcp { host: &format!("{host}x"), port: first }));
    }
}

fn paths(pattern: &str, rule: &PathRule, path: &str) {
    let plain = path.starts_with('/') && !path.split('/').skip(1).any(|part| matches!(part, "" | "." | ".."));
    if !plain {
        return;
    }
    let covered = rule.covers(path.as_bytes());
    if !pattern.contains(['*', '?', '[']) {
        assert_eq!(covered, path == pattern);
    }
    let parts = path.split('/').count();
    if !pattern.contains("**") {
        assert!(!covered || pattern.split('/').count() == parts, "a wildcard stays within a name");
    }
    for (at, _) in path.match_indices('/') {
        let folder = if at == 0 { "/" } else { &path[..at] };
        match rule.below(folder.as_bytes()) {
            Below::Nothing => assert!(!covered, "nothing below {folder} is covered"),
            Below::Some => {}
            Below::All => assert!(covered, "all below {folder} is covered"),
        }
    }
}
