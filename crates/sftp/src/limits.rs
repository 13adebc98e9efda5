//! Every bound of a watch.

/// The longest handle that a server may give out, in bytes (draft-ietf-secsh-filexfer-02, section 6.2).
pub(crate) const HANDLE: usize = 256;

/// What a watch accepts at most. The defaults are what OpenSSH's client and server live with.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Limits {
    /// The longest packet in bytes, without the four bytes that tell its length. OpenSSH takes 256 KiB.
    pub packet: usize,
    /// How many requests may wait for their answers. Beyond it the client waits; nothing is refused for it.
    pub requests: usize,
    /// How many files and directories may be open. Beyond it opening is refused with a status.
    pub handles: usize,
    /// The longest path or name, in bytes.
    pub path: usize,
    /// How many bytes are kept of a side that has to wait. One piece that is fed must not be longer.
    pub held: usize,
    /// How many bytes the paths of all requests that wait may take, and as many again those of all open files. Beyond it
    /// the client waits, or opening is refused.
    pub paths: usize,
    /// How many bytes of memory are taken by what came out of order, for the digests of all files together: half as many
    /// bytes of content. Beyond it a digest is left out; nothing is refused for it.
    pub reorder: usize,
    /// The longest file that the old scp may move, in bytes.
    pub file: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            packet: 256 * 1024,
            requests: 1024,
            handles: 1024,
            path: 4096,
            held: 512 * 1024,
            paths: 1024 * 1024,
            reorder: 4 * 1024 * 1024,
            file: i64::MAX.unsigned_abs(),
        }
    }
}

impl Limits {
    /// How many bytes [`Watch::held`](crate::Watch::held) can come to at most.
    #[must_use]
    pub const fn worst(&self) -> usize {
        // The half of a packet from each side, what waits of either, and answers to what was refused.
        let sides = self.packet.saturating_add(4).saturating_add(self.held).saturating_mul(2);
        // The request that goes beyond the limit of all paths has two of its own.
        let paths = self.paths.saturating_add(self.path.saturating_mul(4)).saturating_mul(2);
        let answers = self.requests.saturating_mul(300);
        sides.saturating_add(paths).saturating_add(answers).saturating_add(self.reorder)
    }
}
