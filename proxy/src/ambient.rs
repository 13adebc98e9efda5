//! The clock and the random source, which come from the edge.

use model::Timestamp;

/// What the proxy takes from the machine that it runs on.
pub trait Ambient: Send + Sync + 'static {
    /// The time of day.
    fn now(&self) -> Timestamp;

    /// Fills `bytes` with random bytes fit for keys.
    fn fill(&self, bytes: &mut [u8]);
}

/// 64 random bits, for an id.
pub(crate) fn random_bits(ambient: &dyn Ambient) -> u64 {
    let mut bytes = [0; 8];
    ambient.fill(&mut bytes);
    u64::from_le_bytes(bytes)
}
