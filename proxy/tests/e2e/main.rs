//! The proxy with real `ssh` clients in front, a real `sshd` behind, and a CA that signs in the test itself.

mod authority;
mod basics;
mod child;
mod client;
mod door;
mod flow;
mod kill;
mod sshd;
mod terminal;
mod time;
mod world;
