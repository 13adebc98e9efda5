//! One-time codes: an authenticator's own code is taken, what is none never, and an app reads what it is shown. The input
//! is a secret, a moment, and what is typed.
#![no_main]

use libfuzzer_sys::fuzz_target;
use portcullis_identity::TotpSecret;
use portcullis_model::Timestamp;

fuzz_target!(|input: &[u8]| {
    let Some((secret, rest)) = input.split_at_checked(TotpSecret::LENGTH) else { return };
    let Some((moment, typed)) = rest.split_first_chunk::<8>() else { return };
    let secret = TotpSecret::from_bytes(secret).unwrap();
    let at = Timestamp::from_seconds(u64::from_le_bytes(*moment));
    let step = at.seconds() / 30;

    let code = secret.code(at).unwrap();
    assert!(code.len() == 6 && code.bytes().all(|digit| digit.is_ascii_digit()));
    // Two steps may have the same code.
    assert!(secret.step_of(&code, at).is_some_and(|taken| taken.abs_diff(step) <= 1));
    assert_eq!(TotpSecret::from_base32(&secret.base32()).as_ref(), Some(&secret));

    let Ok(typed) = std::str::from_utf8(typed) else { return };
    if let Some(taken) = secret.step_of(typed, at) {
        assert!(typed.len() == 6 && taken.abs_diff(step) <= 1);
        assert_eq!(secret.code(Timestamp::from_seconds(taken * 30)).unwrap(), typed);
    }
    if let Some(read) = TotpSecret::from_base32(typed) {
        assert_eq!(TotpSecret::from_base32(&read.base32()), Some(read));
    }
    let (issuer, account) = typed.split_once('\n').unwrap_or((typed, "alice"));
    if let Ok(address) = secret.otpauth(issuer, account) {
        assert!(address.starts_with("otpauth://totp/") && address.bytes().all(|byte| byte.is_ascii_graphic()));
        // One of each, whatever the names are.
        assert_eq!(address.matches("?secret=").count(), 1, "{}", *address);
        assert!(address.contains(&format!("?secret={}", *secret.base32())) && address.matches('&').count() <= 1);
    }
});
