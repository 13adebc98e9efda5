//! The control plane: keys, certificate profiles, signing, use cases and the HTTP API.
#![forbid(unsafe_code)]
