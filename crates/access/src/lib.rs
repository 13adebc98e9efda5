//! The lifecycle decider: state, command and time in, facts out.
//!
//! Two functions carry this crate. [`decide`] looks at a [`State`], at who acts, at what they want and at the time,
//! and answers with the facts that make it so, or with a [`Refusal`]. [`State::apply`] adds one recorded fact to the
//! state. Nothing else changes a state, so what the ledger holds is what is so.
//!
//! A [`Permit`] is the proof that a session was allowed. Only [`decide`] can build one.
//!
//! This crate is pure. It knows no clock, no random source, no file and no socket: time and ids come in as arguments.
#![forbid(unsafe_code)]

mod command;
mod corruption;
mod decide;
mod limits;
mod paths;
mod permit;
mod refusal;
mod state;

pub use command::{
    AddFactor, CaStep, Cancel, CertificateFailed, CertificateIssued, ChannelClosed, ChannelOpened, ChannelRefused,
    Command, CutSession, DestroyTargetKey, EndSession, FileRequest, IntendCertificate, MakeTargetKey, Note,
    OpenSession, RecordingClosed, RecordingFailed, RecordingReplayed, RecordingStarted, Release, RemoveFactor,
    Reported, Review, Revoke, RotateCa, SetLock, Standing, Unlock, UseFactor, UseTargetKey, WithdrawReview,
};
pub use corruption::{Corruption, Problem};
pub use decide::{Decision, decide};
pub use limits::{
    BATCH, MAX_AHEAD, MAX_CHANNELS, MAX_COMMAND, MAX_FACTORS, MAX_GRANTS, MAX_KEY, MAX_LOCKS, MAX_PATHS, MAX_PENDING,
    MAX_REVIEWS, MAX_REVIEWS_EACH, MAX_TICKET, RETENTION, SESSION_CERTIFICATE,
};
pub use paths::PathGap;
pub use permit::Permit;
pub use refusal::Refusal;
pub use state::{
    Beside, CaKeys, Certificate, CertificateState, Channel, Closed, Cut, CutCause, Denied, Ended, Extension, Factor,
    Grant, GrantState, LastCertificate, Pending, PlacedLock, Recording, RecordingState, Request, RequestState,
    Reviewed, Session, SessionEnded, SessionState, State, TargetKey,
};
