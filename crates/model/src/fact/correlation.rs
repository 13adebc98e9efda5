//! What ties facts together.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::{LockId, RequestId};

/// What ties facts together: the request's id, or the id of what stands alone (a lock, "policy", "directory").
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Correlation(String);

impl Correlation {
    /// Facts about the system itself: start, stop.
    #[must_use]
    pub fn system() -> Self {
        Self("system".to_owned())
    }

    /// Facts about the policy, the directory, and the like.
    #[must_use]
    pub fn named(name: &'static str) -> Self {
        Self(name.to_owned())
    }

    /// As it is read from a stored record or a query.
    #[must_use]
    pub fn from_text(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&RequestId> for Correlation {
    fn from(id: &RequestId) -> Self {
        Self(id.as_str().to_owned())
    }
}

impl From<&LockId> for Correlation {
    fn from(id: &LockId) -> Self {
        Self(id.as_str().to_owned())
    }
}

impl fmt::Display for Correlation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(&self.0)
    }
}
