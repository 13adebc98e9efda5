//! End to end: real ssh clients, real sshd, faults.
#![forbid(unsafe_code)]
