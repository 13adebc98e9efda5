//! A small site on this machine for the demo and the benchmarks: people, a server, and Portcullis between them.

mod background;
mod pty;
mod stage;
mod web1;

pub(crate) use background::Background;
pub(crate) use pty::Terminal;
pub(crate) use stage::{Ran, Stage};
pub(crate) use web1::Web1;
