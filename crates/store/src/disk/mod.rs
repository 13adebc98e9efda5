//! The few things that the store asks of a file system, so that tests can take their place and fail.

mod real;
mod simulated;

use std::io;
use std::path::{Path, PathBuf};

pub use real::RealDisk;
pub(crate) use real::sync_dir;
pub use simulated::{Fault, SimulatedDisk};

/// One directory of files.
pub trait Disk: Send + Sync + std::fmt::Debug {
    /// Where it is; for messages.
    fn path(&self) -> &Path;

    /// The names of its files, in no order.
    ///
    /// # Errors
    /// As the system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Opens a file for reading and writing; for reading only where writing is not allowed.
    ///
    /// # Errors
    /// As the system says.
    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Creates a file, or empties the one that is there.
    ///
    /// # Errors
    /// As the system says.
    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>>;

    /// Removes a file.
    ///
    /// # Errors
    /// As the system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes created and removed names durable.
    ///
    /// # Errors
    /// As the system says.
    fn sync(&self) -> io::Result<()>;

    /// The whole path of a file; for messages.
    fn path_of(&self, name: &str) -> PathBuf {
        self.path().join(name)
    }
}

/// One open file.
pub trait DiskFile: Send + Sync {
    /// Its length in bytes.
    ///
    /// # Errors
    /// As the system says.
    fn length(&self) -> io::Result<u64>;

    /// Reads at `offset` until `buffer` is full or the file ends; says how much.
    ///
    /// # Errors
    /// As the system says.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;

    /// Writes all of `bytes` at `offset`. After an error, any part of them may have been written.
    ///
    /// # Errors
    /// As the system says.
    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()>;

    /// Makes what was written durable (`fdatasync`).
    ///
    /// # Errors
    /// As the system says. Afterwards nothing that was written since the last good one can be trusted.
    fn sync(&self) -> io::Result<()>;

    /// Cuts the file to `length`, durably.
    ///
    /// # Errors
    /// As the system says.
    fn truncate(&self, length: u64) -> io::Result<()>;

    /// Asks the system to forget what it holds of the file in memory, so that reads come from the device.
    fn forget(&self);
}
