//! `cargo xtask demo`: the whole story on this machine, with real programs on both ends.
