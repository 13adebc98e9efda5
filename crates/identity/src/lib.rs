//! Who is asking: the directory of identities, groups and targets, and proofs by SSH key.
#![forbid(unsafe_code)]
