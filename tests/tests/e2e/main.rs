//! The product as its people use it. Each test starts a site of its own; see `portcullis_tests`.
#![forbid(unsafe_code)]

mod abuse;
mod attacks;
mod channels;
mod clients;
mod crash;
mod desk;
mod ends;
mod escape;
mod factor;
mod files;
mod forwards;
mod host_key;
mod hosts;
mod mux;
mod rekey;
mod rotate;
mod rules;
mod stock;
mod story;
mod time;
mod verbs;
