//! Names, ids, times and addresses: what reads shows as what was read.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_identity::Nonce;
use portcullis_model::{
    Authority, CertificateExtension, IdentityName, LockSubject, Login, Principal, Reason, RequestId, Span,
    TargetAddress, TargetName, Timestamp,
};

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
    if let Ok(at) = text.parse::<Timestamp>() {
        assert_eq!(at.to_string().parse::<Timestamp>().unwrap(), at);
    }
    if let Ok(authority) = text.parse::<Authority>() {
        assert_eq!(authority.to_string(), text);
    }
    if let Ok(extension) = text.parse::<CertificateExtension>() {
        assert_eq!(extension.to_string(), text);
    }
    if let Ok(nonce) = text.parse::<Nonce>() {
        assert_eq!(nonce.to_string(), text);
    }
    if let Ok(id) = text.parse::<RequestId>() {
        assert_eq!(id.to_string().parse::<RequestId>().unwrap(), id);
    }
    if let Ok(reason) = text.parse::<Reason>() {
        assert_eq!(reason.to_string().parse::<Reason>().unwrap(), reason);
    }
});
