//! A disk in memory that loses what was not synced, runs full, and fails on demand.

use std::collections::{BTreeMap, BTreeSet};
use std::io;
use std::ops::Range;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use super::{Disk, DiskFile};
use crate::sync::lock;
use crate::{Entropy, SeededEntropy};

/// What survives a power cut by itself, and what can be torn.
const SECTOR: usize = 512;

/// A disk for tests. Clones are the same disk, as one running system sees it.
#[derive(Clone, Debug)]
pub struct SimulatedDisk {
    path: PathBuf,
    state: Arc<Mutex<State>>,
    /// Which run of the system; after a power cut the earlier ones reach nothing.
    life: u64,
}

/// How the disk fails from now on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fault {
    /// Every write fails, halfway through.
    Write,
    /// Every sync fails as on Linux: what was not synced stays readable, but is taken for clean and never reaches the
    /// device.
    Sync,
}

#[derive(Debug, Default)]
struct State {
    /// Names as a running system sees them.
    names: BTreeMap<String, usize>,
    /// Names as they are after a power cut.
    durable_names: BTreeMap<String, usize>,
    files: Vec<Contents>,
    /// Bytes that still fit; `None` is no limit.
    room: Option<u64>,
    fault: Option<Fault>,
    /// The power goes with the last of so many changes.
    fuse: Option<u64>,
    /// The run of the system that is on.
    life: u64,
}

#[derive(Debug, Default)]
struct Contents {
    /// As a running system reads it.
    bytes: Vec<u8>,
    /// As it is on the device.
    durable: Vec<u8>,
    /// What the next sync writes to the device.
    dirty: Vec<Range<usize>>,
}

impl SimulatedDisk {
    /// An empty disk that calls itself `path` in messages.
    #[must_use]
    pub fn new(path: impl Into<PathBuf>) -> Self {
        Self { path: path.into(), state: Arc::default(), life: 0 }
    }

    /// Cuts the power, and returns the disk as it is found afterwards; this one and its files reach nothing any more.
    ///
    /// Names that were not synced may be gone or there. Of what was written and not synced any set of sectors
    /// survives, and files are as long as the last of them, or as long as they were going to be.
    #[must_use]
    pub fn cut_power(&self, seed: u64) -> Self {
        let random = SeededEntropy::new(seed);
        let mut state = lock(&self.state);
        state.life += 1;
        state.fault = None;
        state.fuse = None;
        let all: BTreeSet<String> = state.names.keys().chain(state.durable_names.keys()).cloned().collect();
        let mut names = BTreeMap::new();
        for name in all {
            let (now, durable) = (state.names.get(&name).copied(), state.durable_names.get(&name).copied());
            let kept = if now == durable || random.u64() & 1 == 0 { durable } else { now };
            if let Some(file) = kept {
                names.insert(name, file);
            }
        }
        for file in &mut state.files {
            file.lose(&random);
        }
        state.durable_names.clone_from(&names);
        state.names = names;
        Self { path: self.path.clone(), state: Arc::clone(&self.state), life: state.life }
    }

    /// Lets the power go in the middle of the last of so many changes (a write, a sync, a name). What is left then
    /// says [`Self::cut_power`].
    pub fn set_fuse(&self, changes: u64) {
        lock(&self.state).fuse = Some(changes);
    }

    /// Leaves room for `bytes` more, or as much as one likes.
    pub fn set_room(&self, bytes: Option<u64>) {
        lock(&self.state).room = bytes;
    }

    /// Makes the disk fail, or work again.
    pub fn set_fault(&self, fault: Option<Fault>) {
        lock(&self.state).fault = fault;
    }

    /// Changes stored bytes behind the store's back, as a failing device does.
    pub fn tamper(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut state = lock(&self.state);
        let place = state.names.get(name).copied();
        if let Some(file) = place.and_then(|place| state.files.get_mut(place)) {
            change(&mut file.bytes);
            file.durable.clone_from(&file.bytes);
        }
    }

    fn handle(&self, place: usize) -> Box<dyn DiskFile> {
        Box::new(SimulatedFile { state: Arc::clone(&self.state), place, life: self.life })
    }

    fn state(&self) -> io::Result<MutexGuard<'_, State>> {
        alive(lock(&self.state), self.life)
    }
}

impl Contents {
    /// Keeps of the unsynced changes a random set of sectors.
    fn lose(&mut self, random: &SeededEntropy) {
        let mode = random.u64() % 4;
        let length = self.bytes.len().max(self.durable.len());
        let mut survivor = self.durable.clone();
        for start in (0..length).step_by(SECTOR) {
            let range = start..(start + SECTOR).min(length);
            let now = self.bytes.get(start..range.end.min(self.bytes.len())).unwrap_or_default();
            let before = self.durable.get(start..range.end.min(self.durable.len())).unwrap_or_default();
            let kept = match mode {
                0 => false,
                1 => true,
                _ => random.u64() & 1 == 0,
            };
            if now != before && kept {
                let end = start + now.len();
                if survivor.len() < end {
                    survivor.resize(end, 0);
                }
                if let Some(to) = survivor.get_mut(start..end) {
                    to.copy_from_slice(now);
                }
            }
        }
        // Some file systems grow the file before the data is there.
        if mode == 3 && survivor.len() < self.bytes.len() {
            survivor.resize(self.bytes.len(), 0);
        }
        self.bytes.clone_from(&survivor);
        self.durable = survivor;
        self.dirty.clear();
    }

    /// Writes to the device what is dirty, and only that.
    fn flush(&mut self) {
        self.durable.resize(self.bytes.len(), 0);
        for range in std::mem::take(&mut self.dirty) {
            if let (Some(to), Some(from)) = (self.durable.get_mut(range.clone()), self.bytes.get(range)) {
                to.copy_from_slice(from);
            }
        }
    }
}

impl Disk for SimulatedDisk {
    fn path(&self) -> &Path {
        &self.path
    }

    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.state()?.names.keys().cloned().collect())
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let state = self.state()?;
        let place = state.names.get(name).copied().ok_or(io::ErrorKind::NotFound)?;
        Ok(self.handle(place))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        let mut state = self.state()?;
        if state.room == Some(0) {
            return Err(io::ErrorKind::StorageFull.into());
        }
        let place = state.files.len();
        state.files.push(Contents::default());
        state.names.insert(name.to_owned(), place);
        state.burn()?;
        Ok(self.handle(place))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut state = self.state()?;
        let place = state.names.remove(name).ok_or(io::ErrorKind::NotFound)?;
        state.burn()?;
        let freed = state.files.get(place).map_or(0, |file| file.bytes.len() as u64);
        state.room = state.room.map(|room| room.saturating_add(freed));
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut state = self.state()?;
        if state.fault == Some(Fault::Sync) {
            return Err(io::Error::other("simulated: the directory cannot be synced"));
        }
        state.burn()?;
        state.durable_names = state.names.clone();
        Ok(())
    }
}

struct SimulatedFile {
    state: Arc<Mutex<State>>,
    place: usize,
    life: u64,
}

impl SimulatedFile {
    fn with<T>(&self, run: impl FnOnce(&mut State, usize) -> io::Result<T>) -> io::Result<T> {
        let mut state = alive(lock(&self.state), self.life)?;
        run(&mut state, self.place)
    }
}

impl State {
    /// Counts a change, and says whether it is the one with which the power goes.
    fn burn(&mut self) -> io::Result<()> {
        match &mut self.fuse {
            None => Ok(()),
            Some(0) => Err(io::Error::other("simulated: the power is gone")),
            Some(left) => {
                *left -= 1;
                if *left == 0 { Err(io::Error::other("simulated: the power goes")) } else { Ok(()) }
            }
        }
    }
}

fn alive(state: MutexGuard<'_, State>, life: u64) -> io::Result<MutexGuard<'_, State>> {
    if state.life == life { Ok(state) } else { Err(io::Error::other("simulated: the power was cut")) }
}

fn gone() -> io::Error {
    io::ErrorKind::NotFound.into()
}

impl DiskFile for SimulatedFile {
    fn length(&self) -> io::Result<u64> {
        self.with(|state, place| Ok(state.files.get(place).ok_or_else(gone)?.bytes.len() as u64))
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.with(|state, place| {
            let bytes = &state.files.get(place).ok_or_else(gone)?.bytes;
            let from = usize::try_from(offset).unwrap_or(usize::MAX).min(bytes.len());
            let rest = bytes.get(from..).unwrap_or_default();
            let count = rest.len().min(buffer.len());
            for (to, byte) in buffer.iter_mut().zip(rest) {
                *to = *byte;
            }
            Ok(count)
        })
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        self.with(|state, place| {
            let start = usize::try_from(offset).map_err(io::Error::other)?;
            let length = state.files.get(place).ok_or_else(gone)?.bytes.len();
            let grows = (start + bytes.len()).saturating_sub(length);
            let fits = state.room.map_or(grows, |room| usize::try_from(room).unwrap_or(usize::MAX).min(grows));
            let mut count = bytes.len() - (grows - fits);
            if state.fault == Some(Fault::Write) {
                count /= 2;
            }
            let grown = (start + count).saturating_sub(length);
            state.room = state.room.map(|room| room.saturating_sub(grown as u64));
            let file = state.files.get_mut(place).ok_or_else(gone)?;
            if file.bytes.len() < start + count {
                file.bytes.resize(start + count, 0);
            }
            if let (Some(to), Some(from)) = (file.bytes.get_mut(start..start + count), bytes.get(..count)) {
                to.copy_from_slice(from);
                file.dirty.push(start..start + count);
            }
            state.burn()?;
            match (state.fault, count == bytes.len()) {
                (Some(Fault::Write), _) => Err(io::Error::other("simulated: the write failed")),
                (_, false) => Err(io::ErrorKind::StorageFull.into()),
                (_, true) => Ok(()),
            }
        })
    }

    fn sync(&self) -> io::Result<()> {
        self.with(|state, place| {
            state.burn()?;
            let fault = state.fault;
            let file = state.files.get_mut(place).ok_or_else(gone)?;
            if fault == Some(Fault::Sync) {
                file.dirty.clear();
                return Err(io::Error::other("simulated: the sync failed"));
            }
            file.flush();
            Ok(())
        })
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.with(|state, place| {
            if state.fault.is_some() {
                return Err(io::Error::other("simulated: the file cannot be cut"));
            }
            state.burn()?;
            let length = usize::try_from(length).map_err(io::Error::other)?;
            let file = state.files.get_mut(place).ok_or_else(gone)?;
            let freed = file.bytes.len().saturating_sub(length) as u64;
            file.bytes.resize(length, 0);
            file.flush();
            state.room = state.room.map(|room| room.saturating_add(freed));
            Ok(())
        })
    }

    fn forget(&self) {
        let Ok(mut state) = alive(lock(&self.state), self.life) else { return };
        if let Some(file) = state.files.get_mut(self.place).filter(|file| file.dirty.is_empty()) {
            file.bytes.clone_from(&file.durable);
        }
    }
}
