//! What is signed to log in: its parts read back out of it, so no two log-ins are the same bytes, and a signature by nobody
//! shows nobody's presence. The input is the lengths of three parts, and then the four.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_identity::{
    Claim, Presence, Shown, fingerprint, parse_public_key, public_key_from_blob, publickey_request,
};
use ssh_key::PublicKey;

const KEYS: [&str; 2] = [
    "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIBD5bDXxZ6LAEB99qyWymeyr2/xos7i3tViGmiAhIIBy",
    "ecdsa-sha2-nistp256 AAAAE2VjZHNhLXNoYTItbmlzdHAyNTYAAAAIbmlzdHAyNTYAAABBBErftBf7mcFaLk/IGbbY1OjmHPBD54kWForXI0hyNZB913mSn6bnEpQQlNKYbNx2koOFNbJKJk4oOeOodhSsnBk=",
];

fuzz_target!(|input: &[u8]| {
    let Some(([first, second, third], rest)) = input.split_first_chunk() else { return };
    let cut = |rest: &'_ [u8], at: u8| usize::from(at).min(rest.len());
    let (session_id, rest) = rest.split_at(cut(rest, *first));
    let (user, rest) = rest.split_at(cut(rest, *second));
    let (algorithm, blob) = rest.split_at(cut(rest, *third));
    let (Ok(user), Ok(algorithm)) = (std::str::from_utf8(user), std::str::from_utf8(algorithm)) else { return };

    let request = publickey_request(session_id, user, algorithm, blob).unwrap();
    let mut rest = request.as_slice();
    assert_eq!(string(&mut rest), session_id);
    rest = rest.strip_prefix(&[50]).unwrap();
    assert_eq!(string(&mut rest), user.as_bytes());
    assert_eq!(string(&mut rest), b"ssh-connection");
    assert_eq!(string(&mut rest), b"publickey");
    rest = rest.strip_prefix(&[1]).unwrap();
    assert_eq!(string(&mut rest), algorithm.as_bytes());
    assert_eq!(string(&mut rest), blob);
    assert!(rest.is_empty());

    for key in KEYS {
        let key = parse_public_key(key).unwrap();
        let claim = Claim { user, session_id, signature: blob };
        assert!(Presence::verify(&claim, Shown::Key(key.key_data())).is_err());
    }
    if let Ok(key) = public_key_from_blob(blob) {
        assert!(fingerprint(&key).starts_with("SHA256:"));
        assert_eq!(PublicKey::from(key).to_bytes().unwrap(), blob, "one key, one form");
    }
});

fn string<'a>(rest: &mut &'a [u8]) -> &'a [u8] {
    let (length, behind) = rest.split_first_chunk().unwrap();
    let (string, behind) = behind.split_at(usize::try_from(u32::from_be_bytes(*length)).unwrap());
    *rest = behind;
    string
}
