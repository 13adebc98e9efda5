//! The control plane as its clients see it: a real CA on a loopback port, driven over HTTPS.

mod edges;
mod faults;
mod flow;
mod lists;
mod matrix;
mod rules;
mod sessions;
mod site;
