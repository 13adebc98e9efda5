//! One-time codes (RFC 6238) as every authenticator app makes them: HMAC-SHA-1, six digits, a step of thirty seconds.

use std::fmt;

use model::Timestamp;
use totp_rs::{Builder, Secret, Totp, TotpError};
use zeroize::Zeroizing;

/// How many bytes a secret has (RFC 4226, section 4: 160 bits).
const BYTES: usize = 20;
/// The length of a step, in seconds.
const STEP: u64 = 30;

/// What an authenticator and the server share. It is wiped when it is dropped, and never shown.
#[derive(Clone, PartialEq, Eq)]
pub struct TotpSecret(Zeroizing<[u8; BYTES]>);

/// Why there is no text for an authenticator.
#[derive(Debug, thiserror::Error)]
#[error("the address for an authenticator cannot be written")]
pub struct OtpauthError(#[source] TotpError);

impl TotpSecret {
    /// How many random bytes it takes.
    pub const LENGTH: usize = BYTES;

    /// From so many random bytes.
    #[must_use]
    pub const fn from_random(bytes: Zeroizing<[u8; BYTES]>) -> Self {
        Self(bytes)
    }

    /// As it was kept; `None` when it is of another length.
    #[must_use]
    pub fn from_bytes(bytes: &[u8]) -> Option<Self> {
        bytes.try_into().ok().map(|bytes| Self(Zeroizing::new(bytes)))
    }

    /// As somebody typed it into an app; `None` when it is none.
    #[must_use]
    pub fn from_base32(text: &str) -> Option<Self> {
        Secret::try_from_base32(text).ok().and_then(|secret| Self::from_bytes(secret.as_bytes()))
    }

    /// For the one place that keeps it.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.0.as_slice()
    }

    /// The time step whose code this is, at `now`, one step before or one after it: clocks differ, and people type.
    /// What is no code of six digits is none of a step. Codes are compared in constant time.
    #[must_use]
    pub fn step_of(&self, code: &str, now: Timestamp) -> Option<u64> {
        self.totp(None).ok()?.check(code, now.seconds())
    }

    /// What an app reads, as a QR code or typed: `otpauth://totp/ISSUER:ACCOUNT?secret=…&issuer=ISSUER`.
    ///
    /// # Errors
    /// The names cannot stand in one.
    pub fn otpauth(&self, issuer: &str, account: &str) -> Result<Zeroizing<String>, OtpauthError> {
        // What separates the two can stand in neither.
        let (issuer, account) = (issuer.replace(':', " "), account.replace(':', " "));
        let text = self.totp(Some((issuer, account))).and_then(|totp| totp.to_url());
        text.map(Zeroizing::new).map_err(OtpauthError)
    }

    /// What people type where no picture can be read.
    #[must_use]
    pub fn base32(&self) -> Zeroizing<String> {
        Zeroizing::new(self.secret().to_base32())
    }

    /// The code of a moment: an authenticator's part, for tests and for who has no app.
    ///
    /// # Errors
    /// Never, with a secret of this length.
    pub fn code(&self, at: Timestamp) -> Result<String, OtpauthError> {
        self.totp(None).map(|totp| totp.generate(at.seconds()).to_string()).map_err(OtpauthError)
    }

    fn secret(&self) -> Secret {
        Secret::new(self.0.to_vec().into_boxed_slice())
    }

    fn totp(&self, names: Option<(String, String)>) -> Result<Totp, TotpError> {
        let builder = Builder::new().with_secret(self.secret()).with_step_duration(STEP).with_skew(1);
        match names {
            Some((issuer, account)) => builder.with_issuer(Some(issuer)).with_account_name(account).build(),
            None => builder.build(),
        }
    }
}

impl fmt::Debug for TotpSecret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("TotpSecret(…)")
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn of_the_rfc() -> TotpSecret {
        TotpSecret::from_bytes(b"12345678901234567890").unwrap()
    }

    /// RFC 6238, appendix B; the last six of its eight digits.
    #[test]
    fn the_codes_are_those_of_the_rfc() {
        for (second, code) in [
            (59, "287082"),
            (1_111_111_109, "081804"),
            (1_111_111_111, "050471"),
            (1_234_567_890, "005924"),
            (2_000_000_000, "279037"),
        ] {
            let at = Timestamp::from_seconds(second);
            assert_eq!(of_the_rfc().code(at).unwrap(), code, "{second}");
            assert_eq!(of_the_rfc().step_of(code, at), Some(second / 30), "{second}");
        }
    }

    #[test]
    fn one_step_to_either_side_is_near_enough() {
        let secret = of_the_rfc();
        let code = secret.code(Timestamp::from_seconds(3000)).unwrap();
        let step = |second| secret.step_of(&code, Timestamp::from_seconds(second));
        assert_eq!(
            [2969, 2970, 3000, 3029, 3059, 3060].map(step),
            [None, Some(100), Some(100), Some(100), Some(100), None]
        );
        assert_eq!(
            secret.step_of(&secret.code(Timestamp::from_seconds(0)).unwrap(), Timestamp::from_seconds(0)),
            Some(0)
        );
    }

    #[test]
    fn what_is_no_code_is_none_of_any_step() {
        let at = Timestamp::from_seconds(59);
        for text in ["", "28708", "2870820", "+87082", " 287082", "287 082", "２８７０８２", "287082\n", "-87082"]
        {
            assert_eq!(of_the_rfc().step_of(text, at), None, "{text:?}");
        }
    }

    #[test]
    fn an_app_can_read_it() {
        let text = of_the_rfc().otpauth("ca:7443", "alice").unwrap();
        assert_eq!(
            text.as_str(),
            "otpauth://totp/ca%207443:alice?secret=GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ&issuer=ca%207443"
        );
        assert_eq!(of_the_rfc().base32().as_str(), "GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ");
        assert_eq!(TotpSecret::from_base32("GEZDGNBVGY3TQOJQGEZDGNBVGY3TQOJQ"), Some(of_the_rfc()));
        assert_eq!(TotpSecret::from_base32("GEZDGNB"), None);
        assert_eq!(format!("{:?}", of_the_rfc()), "TotpSecret(…)");
        assert_eq!(TotpSecret::from_bytes(b"short"), None);
    }

    proptest! {
        #[test]
        fn no_text_makes_it_fall_over(text: String, second in 0..u64::MAX / 2) {
            let _ = of_the_rfc().step_of(&text, Timestamp::from_seconds(second / 2_000_000));
        }
    }
}
