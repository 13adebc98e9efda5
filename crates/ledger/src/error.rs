//! What can be wrong with an encoding.

/// A value that has no canonical encoding.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum EncodeError {
    /// A number that is not an integer of at most 2^53 in size.
    #[error("{0} is not an integer between -2^53 and 2^53, so it cannot be in a fact")]
    Number(String),
    /// A null inside of an array; null members of objects are left out.
    #[error("a list holds a null, so it cannot be in a fact")]
    Null,
    /// Too many objects and arrays inside one another.
    #[error("values are nested more than {limit} deep")]
    Deep {
        /// The limit.
        limit: usize,
    },
    /// The value did not turn itself into JSON.
    #[error("the value cannot be written as JSON: {0}")]
    Json(String),
}

/// Bytes that are not canonical JSON, with the place of the first offence.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("byte {at}: {what}")]
pub struct NotCanonical {
    /// Offset of the offending byte from the beginning of the record.
    pub at: usize,
    /// What is wrong there.
    pub what: &'static str,
}

/// Bytes that are not a record of this ledger.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// Not the one canonical form.
    #[error("not in canonical form")]
    NotCanonical(#[from] NotCanonical),
    /// Canonical, but no record that this version knows.
    #[error("not a record that this version knows: {0}")]
    NotARecord(String),
    /// A record with members that this version would drop in silence.
    #[error("the record holds a member that this version does not know; use the version that wrote it, or a later one")]
    Unknown,
}
