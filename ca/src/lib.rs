//! The control plane: keys, certificate profiles, signing, use cases and the HTTP API.
//!
//! [`Ca::start`] puts it all together. `app` holds the use cases, one file a verb, and sequences their steps; `http`
//! turns calls into them and back. Neither knows where facts are stored: that is the [`store::Store`] they are given.
#![forbid(unsafe_code)]

pub mod app;
pub mod certificate;
pub mod config;
pub mod keys;
pub mod tls;

mod aside;
mod factors;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod http;
mod start;

pub use app::names;
pub use config::{Config, ConfigError, RawConfig, RawLimits, RawProxy};
pub use http::openapi;
pub use start::{Ca, Parts, Running, StartError};
