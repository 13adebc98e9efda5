//! Names, ids, times and addresses: what reads shows as what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_model::{IdentityName, LockSubject, Login, Principal, Reason, RequestId, Span, TargetAddress, TargetName};

fuzz_target!(|text: &str| {
    if let Ok(name) = text.parse::<TargetName>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(name) = text.parse::<IdentityName>() {
        assert_eq!(name.as_str(), text);
    }
    if let Ok(login) = text.parse::<Login>() {
        assert_eq!(login.as_str(), text);
    }
    if let Ok(principal) = text.parse::<Principal>() {
        assert_eq!(principal.to_string(), text);
    }
    if let Ok(subject) = text.parse::<LockSubject>() {
        assert_eq!(subject.to_string(), text);
    }
    if let Ok(address) = text.parse::<TargetAddress>() {
        assert_eq!(address.to_string().parse::<TargetAddress>().unwrap(), address);
    }
    if let Ok(span) = text.parse::<Span>() {
        assert_eq!(span.to_string().parse::<Span>().unwrap(), span);
    }
    let _ = text.parse::<RequestId>();
    let _ = text.parse::<Reason>();
});
