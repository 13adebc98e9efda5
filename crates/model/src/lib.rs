//! The words of Portcullis as types: names, ids, times, requests, grants, sessions and the facts that record them.
//!
//! This crate is pure. It knows no clock, no random source, no file and no socket: time and randomness come in as
//! arguments, and its `Cargo.toml` is the proof.
#![forbid(unsafe_code)]

mod actor;
mod authority;
mod carriage;
mod certificate;
mod channel;
mod fact;
mod factor;
mod id;
mod key_id;
mod lock;
mod name;
mod obligations;
mod presence;
mod request;
mod session;
mod steady;
mod target;
mod time;

pub use actor::Actor;
pub use authority::{Authority, NoAuthority};
pub use carriage::{Below, Carriage, ChannelRight, Endpoint, PathPattern, PathRule, Peer, VariablePattern};
pub use certificate::{CertificateBody, CertificateProfile, Principal, Serial};
pub use channel::{ChannelEnd, ChannelKind, ClosedBy, ExitReport, Forward, Pty};
pub use fact::{Correlation, Entry, Fact, Record, RecordingClosed, RecordingStatus, Seq, Subject};
pub use factor::{Factors, SecondFactor};
pub use id::{FactorId, IdError, LockId, RecordingId, RequestId, SessionId};
pub use key_id::{KeyId, KeyIdError, Listed};
pub use lock::{Lock, LockSubject};
pub use name::{GroupName, IdentityName, Login, NameError, ProxyName, TargetName};
pub use obligations::{CertificateExtension, Obligations, PolicyPath, RecordingMode};
pub use presence::Presence;
pub use request::{Asked, GrantEnd, Reason, RequestSpec, Verdict};
pub use session::{SessionEnd, WayIn};
pub use steady::{Jump, Steady};
pub use target::{Target, TargetAddress, TargetAuth};
pub use time::{Span, TimeError, Timestamp};
