//! From where a certificate may be used: the CA's list reads back, and the proxy lets in whom it lists and nobody else.
//! The input is a list, and in the next line an address.
#![no_main]

use std::net::IpAddr;

use libfuzzer_sys::fuzz_target;
use portcullis_ca::certificate::SourceAddresses;
use portcullis_proxy::fuzzing::allows;

fuzz_target!(|text: &str| {
    let (list, address) = text.split_once('\n').unwrap_or((text, text));
    let address = address.parse::<IpAddr>();
    if let Ok(address) = address {
        let own = SourceAddresses::from_addresses([address]).unwrap().to_string();
        assert!(allows(&own, address), "{own} {address}");
        let _ = allows(list, address);
    }
    let Ok(sources) = list.parse::<SourceAddresses>() else { return };
    let shown = sources.to_string();
    assert_eq!(shown.parse::<SourceAddresses>().as_ref(), Ok(&sources));
    if let Ok(address) = address {
        assert_eq!(allows(&shown, address), allows(list, address), "{shown} {address}");
    }
    for entry in shown.split(',') {
        let (first, _) = entry.split_once('/').expect("each has its prefix");
        let first: IpAddr = first.parse().unwrap();
        assert!(allows(&shown, first), "{shown} {first}");
    }
});
