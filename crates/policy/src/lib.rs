//! Cedar policies: a question in, a verdict with obligations and reasons out.
#![forbid(unsafe_code)]
