//! Where facts live: append-only segments, indexed by sled.
//!
//! [`Store`] is what the rest of Portcullis sees. [`Embedded`] is the engine for one node: the facts are in segment
//! files in the data directory, and what can be rebuilt from them (look-up indexes, tree nodes, snapshots) is in an
//! index beside them that is thrown away whenever it is not right.
//!
//! ```text
//! DATA/lock                 held by the one process that writes; says its id
//! DATA/segments/N.seg       facts from number N on; the only copy of the truth
//! DATA/index/               sled and tree nodes; may be deleted while nothing runs
//! ```
//!
//! [`verify`], [`prove`] and [`export`] read the segments without opening the store, also beside a running process.
#![forbid(unsafe_code)]

mod ambient;
mod append;
mod disk;
mod embedded;
mod error;
mod follow;
#[cfg(fuzzing)]
#[doc(hidden)]
pub mod fuzzing;
mod index;
mod lock;
mod offline;
mod query;
mod segments;
mod shared;
mod store;
mod sync;
mod writer;

pub use ambient::{Clock, Entropy, ManualClock, SeededEntropy, SystemClock, SystemEntropy};
pub use append::Append;
pub use disk::{Disk, DiskFile, Fault, RealDisk, SimulatedDisk};
pub use embedded::{Embedded, IndexReport, Options, Progress, Report};
pub use error::StoreError;
pub use follow::Follower;
pub use offline::{Checked, Proved, export, prove, verify};
pub use query::Query;
pub use segments::open::Cut;
pub use store::{Head, Store, fill};
