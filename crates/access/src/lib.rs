//! The lifecycle decider: state, command and time in, facts out.
#![forbid(unsafe_code)]
