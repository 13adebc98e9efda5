//! Canonical encoding, hash chain, Merkle tree, signed checkpoints, proofs and the verifier.
#![forbid(unsafe_code)]
