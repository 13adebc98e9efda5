//! User names at the front door: what leads somewhere is what was typed, and what does not can be shown.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_proxy::fuzzing::{at_the_front, behind};

fn shown(why: &str) {
    assert!(!why.is_empty() && why.len() < 2048, "{} bytes", why.len());
    assert!(!why.chars().any(char::is_control), "{why:?}");
}

fuzz_target!(|user: &str| {
    match at_the_front(user) {
        None => assert!(!user.contains('+')),
        Some(Ok((login, target))) => {
            assert!(user.eq_ignore_ascii_case(&format!("{login}+{target}")));
            assert!(user.starts_with(&login), "logins tell capitals from small letters");
            assert_eq!(at_the_front(&format!("{login}+{target}")), Some(Ok((login, target))));
        }
        Some(Err(why)) => shown(&why),
    }
    match behind(user, &"web1".parse().unwrap()) {
        None => panic!("whoever is inside has arrived"),
        Some(Ok((login, target))) => assert_eq!((login.as_str(), target.as_str()), (user, "web1")),
        Some(Err(why)) => shown(&why),
    }
});
