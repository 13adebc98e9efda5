//! Terminates SSH, opens targets, bridges channels, enforces time, kills.
#![forbid(unsafe_code)]
