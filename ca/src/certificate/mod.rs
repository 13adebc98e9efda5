//! OpenSSH certificates (PROTOCOL.certkeys; draft-ietf-sshm-cert): what may be said in one, and how it is signed.
//!
//! The order is the point. A profile turns a question into a [`Draft`] → the linter looks at the very bytes that are
//! to be signed → the caller makes the intent durable ([`Prepared::body`], [`Prepared::tbs_sha256`]) →
//! [`Prepared::sign`] signs, reads back what came of it with another parser, and compares it → only then is there a
//! text to hand out. Nothing skips a step: a [`Prepared`] comes from a profile alone and is used up by signing.

mod draft;
mod lint;
mod profile;
mod sign;
mod source;

pub use draft::{Draft, DraftError};
pub use lint::{Finding, LintError, PrincipalFault, Rules, lint};
pub use profile::{Authorities, Fresh, HostAsk, PersonAsk, ProfileError, Profiles, SessionAsk};
pub use sign::{Prepared, SignError, Signed};
pub use source::{SourceAddresses, SourceError};

/// How far a certificate's begin lies in the past, for clocks that are behind ours.
pub const BACKDATE: model::Span = model::Span::from_seconds(60);

#[cfg(test)]
mod tests;
