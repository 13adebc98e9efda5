//! The bounds that keep the state small and a single person from filling it.

use model::Span;

/// How many ended requests, ended sessions, closed recordings and certificates are kept for views, of each the last
/// so many. The ledger has the rest.
pub const RETENTION: usize = 10_000;

/// How many requests one identity may have pending.
pub const MAX_PENDING: usize = 50;

/// How many scheduled and active grants one identity may hold.
pub const MAX_GRANTS: usize = 200;

/// How many paths policy may offer for one request.
pub const MAX_PATHS: usize = 64;

/// How many reviews one request may collect, withdrawn ones included.
pub const MAX_REVIEWS: usize = 64;

/// How many times one reviewer may review one request, withdrawn reviews included: nobody fills it up alone.
pub const MAX_REVIEWS_EACH: usize = 4;

/// How many locks may be in force.
pub const MAX_LOCKS: usize = 10_000;

/// How many authenticators one identity may have.
pub const MAX_FACTORS: usize = 4;

/// How many channels one session may have open, forwards and listeners included.
pub const MAX_CHANNELS: usize = 128;

/// The most bytes of a ticket.
pub const MAX_TICKET: usize = 256;

/// The most bytes of the one exact command.
pub const MAX_COMMAND: usize = 16 * 1024;

/// The most bytes of an idempotency key.
pub const MAX_KEY: usize = 128;

/// How far ahead a request may ask to start.
pub const MAX_AHEAD: Span = Span::from_hours(30 * 24);

/// How far in the past a request's start may lie: clocks differ, and people type.
pub(crate) const START_TOLERANCE: Span = Span::from_minutes(5);

/// How many facts one [`Tick`](crate::Command::Tick) yields at most.
pub const BATCH: usize = 1_000;

/// The longest life of a session certificate.
pub const SESSION_CERTIFICATE: Span = Span::from_minutes(2);
