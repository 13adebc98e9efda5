//! A small site on this machine for the demo and the benchmarks: people, a server, and Portcullis between them.

mod background;
pub(crate) mod json;
mod person;
mod pty;
mod server;
#[expect(clippy::module_inception, reason = "the site as a whole, beside its parts")]
mod site;
mod stage;
mod web1;

pub(crate) use background::Background;
pub(crate) use person::Person;
pub(crate) use pty::{Terminal, launch};
pub(crate) use server::Server;
pub(crate) use site::{Limits, Site};
pub(crate) use stage::{Ran, Stage, free_port};
