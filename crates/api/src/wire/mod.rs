//! The bodies of the API, one file a noun. Times are RFC 3339 text, lengths of time are whole seconds.

mod authority;
mod certificate;
mod factor;
mod ledger;
mod lock;
mod login;
mod pass;
mod policy;
mod recording;
mod request;
mod secret;
mod session;
mod status;
mod target;

pub use authority::*;
pub use certificate::*;
pub use factor::*;
pub use ledger::*;
pub use lock::*;
pub use login::*;
pub use pass::*;
pub use policy::*;
pub use recording::*;
pub use request::*;
pub use secret::Secret;
pub use session::*;
pub use status::*;
pub use target::*;

use model::Timestamp;
use serde::{Deserialize, Serialize};

/// A point in time on the wire: RFC 3339 text in UTC.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub struct Time(pub Timestamp);

impl From<Timestamp> for Time {
    fn from(at: Timestamp) -> Self {
        Self(at)
    }
}

impl From<Time> for String {
    fn from(time: Time) -> Self {
        time.0.to_string()
    }
}

impl TryFrom<String> for Time {
    type Error = model::TimeError;

    fn try_from(text: String) -> Result<Self, model::TimeError> {
        text.parse().map(Self)
    }
}

impl std::fmt::Display for Time {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.fmt(f)
    }
}

/// A list, newest first, with the place where the next page begins.
#[derive(Clone, Debug, Serialize, Deserialize, utoipa::ToSchema)]
pub struct Page<T> {
    /// The items.
    pub items: Vec<T>,
    /// Pass as `after` to get the next page; absent on the last one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub next: Option<String>,
}
