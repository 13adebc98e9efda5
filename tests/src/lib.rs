//! End to end: a whole site on this machine, started by each test for itself on free loopback ports and in its own
//! temporary folder, with the real `portcullis`, the real OpenSSH client and a real `sshd`.
#![forbid(unsafe_code)]

mod caller;
mod dropbear;
mod person;
mod process;
mod site;
mod sshd;
mod way;

pub use caller::Caller;
pub use dropbear::Dropbear;
pub use person::Person;
pub use process::{Background, Finished, run, wait_for};
pub use site::{Layout, PASSPHRASE, PLACE, Site, text};
pub use sshd::Sshd;
pub use way::{Way, route, tool};
