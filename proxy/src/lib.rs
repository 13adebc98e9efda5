//! Terminates SSH, opens targets, bridges channels, enforces time, kills.
//!
//! ```text
//! listener → server (who may log in) ─┬─ login+target ──→ session ─→ bridge ⇄ target
//!                                     └─ -J → inner server ─↗  ↑  ↘ forward ⇄ target
//!                                                     feed → registry (ends sessions, out of band)
//! ```
//!
//! - Nothing here holds a CA key. What a session may do is a [`permit`] that only the CA's answer makes.
//! - No queue is without a bound, and no wait for a peer is without an end.
//! - Ending a session waits for nobody.
#![forbid(unsafe_code)]

mod advice;
mod algorithms;
mod ambient;
mod auth;
mod bridge;
mod ca;
mod clock;
mod code;
mod config;
mod control;
mod crowd;
mod cut;
mod desk;
mod destination;
mod dial;
mod escape_key;
mod extensions;
mod feed;
mod forward;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod gate;
mod hosts;
mod inner;
mod limits;
mod pass;
mod permit;
mod prompt;
mod proxy;
mod record;
mod refusals;
mod registry;
mod report;
mod roll;
mod server;
mod session;
mod signal;
mod status;
mod strangers;
mod sweeper;
mod target_key;
mod trust;
mod usher;
mod words;

pub use ambient::Ambient;
pub use ca::Api;
pub use config::{Config, Greeting, Millis};
pub use control::{Control, ControlError, Feed, HostCertificate};
pub use escape_key::{EscapeKey, EscapeKeyError};
pub use hosts::HostKey;
pub use proxy::{Parts, Proxy, ProxyError};

/// How many requests on one channel may wait for their turn; who sends more loses the channel.
const REQUESTS: usize = 256;

/// How many times a silent peer is asked for a sign of life.
const KEEPALIVES: usize = 10;
