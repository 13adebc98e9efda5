//! Who is asking: the directory of identities, groups and targets, and proofs by SSH key.
//!
//! A person proves who they are by an SSHSIG over a [`Statement`] that holds a single-use nonce of the server
//! ([`Authenticator`]); the [`Directory`] says whose key it is. The same crate holds the other end, the signing with
//! a key file or an ssh-agent ([`Signer`]), so that both ends are tested against each other.
//!
//! Time and randomness come in as arguments. What waits for a peer (the agent) has a time-out and a bounded frame.
#![forbid(unsafe_code)]

pub mod agent;
pub mod files;
pub mod strict;

mod authenticator;
mod directory;
mod edit;
mod key;
mod log_in;
mod nonce;
mod pass;
mod presence;
mod proof;
mod security_key;
mod signer;
mod statement;
mod subject;
mod token;
mod totp;
mod watched;

pub use authenticator::{Authenticator, Challenge, Limits, Login, LoginAttempt, LoginError, PossessionError};
pub use directory::{Desk, Directory, EXAMPLE, Identity, Proxy, RegisteredKey};
pub use edit::EditError;
pub use key::{KeyError, check_key, fingerprint, parse_certificate, parse_public_key, public_key_from_blob};
pub use log_in::{is_session_id, publickey_request};
pub use nonce::{Nonce, NonceError};
pub use pass::{Bearer, PassError};
pub use presence::{Claim, Presence, PresenceError, Shown};
pub use proof::{Demand, Proof, ProofError};
pub use signer::{FileKey, SignError, Signer};
pub use statement::{CertificateAsk, Statement};
pub use strict::StrictError;
pub use subject::Subject;
pub use token::{Raised, Through, Token, TokenError, TokenInfo};
pub use totp::{OtpauthError, TotpSecret};
pub use watched::{Candidate, Change, WatchError, Watched};
