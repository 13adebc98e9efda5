//! Where in the tree of what is moved the sender stands.

use super::ScpCommand;
use crate::{Problem, RemotePath};

/// Folders deeper than this are not real.
const DEPTH: usize = 128;

/// A path, and the other that it could be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Place {
    pub(super) path: RemotePath,
    pub(super) or: Option<RemotePath>,
}

/// The folders that the sender is in.
#[derive(Debug)]
pub(super) struct Tree {
    upload: bool,
    /// What the command names.
    root: RemotePath,
    /// What the command names is a folder, as far as one can know.
    folder: bool,
    /// Whether something was sent at the top of a download.
    begun: bool,
    open: Vec<(Place, u64)>,
    /// The longest path.
    limit: usize,
}

impl Tree {
    /// `limit` is that of a name.
    pub(super) fn new(command: &ScpCommand, limit: usize) -> Self {
        let raw = command.path.as_slice();
        // The last part is a folder for sure if a slash or a dot follows.
        let last = raw.rsplit(|&byte| byte == b'/').next().unwrap_or_default();
        let folder = command.directory || matches!(last, b"" | b"." | b"..");
        let root = RemotePath::resolve(None, raw);
        Self { upload: command.upload, root, folder, begun: false, open: Vec::new(), limit: limit.saturating_mul(2) }
    }

    /// Where something with this name belongs.
    pub(super) fn place(&mut self, name: &[u8]) -> Result<Place, Problem> {
        if let Some((folder, entries)) = self.open.last_mut() {
            *entries = entries.saturating_add(1);
            let within = |folder: &RemotePath| RemotePath::resolve(Some(folder), name);
            let path = within(&folder.path);
            if path.as_bytes().len() > self.limit {
                return Err(Problem::Long { field: "path", length: path.as_bytes().len(), limit: self.limit });
            }
            return Ok(Place { path, or: folder.or.as_ref().map(within) });
        }
        if !self.upload {
            // One path without wildcards was asked for; whoever sends more picks what the person gets.
            if std::mem::replace(&mut self.begun, true) {
                return Err(Problem::Second);
            }
            return Ok(Place { path: self.root.clone(), or: None });
        }
        let path = RemotePath::resolve(Some(&self.root), name);
        Ok(Place { path, or: (!self.folder).then(|| self.root.clone()) })
    }

    /// Into a folder.
    pub(super) fn down(&mut self, place: Place) -> Result<(), Problem> {
        if self.open.len() >= DEPTH {
            return Err(Problem::Depth { limit: DEPTH });
        }
        self.open.push((place, 0));
        Ok(())
    }

    /// Out of a folder: which, and how much was in it.
    pub(super) fn up(&mut self) -> Result<(Place, u64), Problem> {
        self.open.pop().ok_or(Problem::Line { expected: "in a folder that it could leave" })
    }

    /// The folder at hand, or what the command names.
    pub(super) fn folder(&self) -> RemotePath {
        self.open.last().map_or(&self.root, |(place, _)| &place.path).clone()
    }

    /// How many bytes its paths take.
    pub(super) fn held(&self) -> usize {
        let length = |path: &RemotePath| path.as_bytes().len();
        let places =
            self.open.iter().map(|(place, _)| length(&place.path).saturating_add(place.or.as_ref().map_or(0, length)));
        places.sum()
    }
}
