//! The API as seen from outside: wire types, problem codes and the client.
#![forbid(unsafe_code)]
