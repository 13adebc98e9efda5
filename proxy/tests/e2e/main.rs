//! The proxy with real `ssh` clients in front, a real `sshd` behind, and a CA that signs in the test itself.
#![allow(
    missing_docs,
    unreachable_pub,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout,
    clippy::wildcard_enum_match_arm,
    reason = "helpers of tests stop the test, and nobody else uses them"
)]

mod authority;
mod basics;
mod bounds;
mod child;
mod client;
mod code;
mod cut;
mod door;
mod escape;
mod evidence;
mod files;
mod flow;
mod forward;
mod forward_flow;
mod forward_listen;
mod forward_target;
mod fronts;
mod garbled;
mod host_key;
mod kill;
mod plain;
mod presence;
mod relay;
mod rights;
mod sshd;
mod target_key;
mod terminal;
mod time;
mod told;
mod trust;
mod wire;
mod world;
