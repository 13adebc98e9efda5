//! Seals on snapshots of the state. A snapshot is not covered by the ledger's chain, and a start believes it: so it
//! carries a tag that only the holder of the ledger's key can make (HMAC-SHA256, RFC 2104).

use hmac::{Hmac, KeyInit as _, Mac as _};
use model::Seq;
use sha2::Sha256;
use zeroize::Zeroizing;

/// The length of a tag in bytes.
const TAG: usize = 32;

/// The key of the seals; without one nothing is sealed and nothing is believed.
pub struct Seal(Option<Zeroizing<[u8; 32]>>);

impl Seal {
    /// With a key that is used for nothing else.
    #[must_use]
    pub const fn new(key: Option<Zeroizing<[u8; 32]>>) -> Self {
        Self(key)
    }

    /// The snapshot with its tag in front; `None` without a key.
    #[must_use]
    pub fn close(&self, name: &str, seq: Seq, snapshot: &[u8]) -> Option<Vec<u8>> {
        let tag = self.mac(name, seq, snapshot)?.finalize().into_bytes();
        Some([tag.as_slice(), snapshot].concat())
    }

    /// The snapshot, when it is ours, of this name and of this place.
    #[must_use]
    pub fn open<'a>(&self, name: &str, seq: Seq, sealed: &'a [u8]) -> Option<&'a [u8]> {
        let (tag, snapshot) = sealed.split_at_checked(TAG)?;
        self.mac(name, seq, snapshot)?.verify_slice(tag).ok()?;
        Some(snapshot)
    }

    fn mac(&self, name: &str, seq: Seq, snapshot: &[u8]) -> Option<Hmac<Sha256>> {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.0.as_ref()?.as_slice()).ok()?;
        mac.update(name.as_bytes());
        mac.update(&[0]);
        mac.update(&seq.0.to_be_bytes());
        mac.update(snapshot);
        Some(mac)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_seal_holds_for_its_key_its_name_its_place_and_its_bytes() {
        let seal = Seal::new(Some(Zeroizing::new([7; 32])));
        let sealed = seal.close("state", Seq(5), b"snapshot").unwrap();
        assert_eq!(seal.open("state", Seq(5), &sealed), Some(b"snapshot".as_slice()));
        assert_eq!(seal.open("other", Seq(5), &sealed), None);
        assert_eq!(seal.open("state", Seq(6), &sealed), None);
        assert_eq!(Seal::new(Some(Zeroizing::new([8; 32]))).open("state", Seq(5), &sealed), None);
        assert_eq!(Seal::new(None).open("state", Seq(5), &sealed), None);
        assert_eq!(seal.open("state", Seq(5), b"short"), None);
        for at in 0..sealed.len() {
            let mut changed = sealed.clone();
            changed[at] ^= 1;
            assert_eq!(seal.open("state", Seq(5), &changed), None, "byte {at}");
        }
    }
}
