//! What happened to files, as the log of a session keeps it.

use serde::{Deserialize, Serialize};

use crate::{Direction, Moved, RemotePath};

/// One line of the file log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// What was asked.
    #[serde(flatten)]
    pub action: Action,
    /// What became of it.
    pub result: Outcome,
}

/// What became of a request.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Outcome {
    /// The target did it.
    Done,
    /// The target did not.
    Failed {
        /// The status code (draft-ietf-secsh-filexfer-02, section 7); `None` in the old scp, which has none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        code: Option<u32>,
        /// The target's words, cut to a sensible length.
        text: String,
    },
    /// It never reached the target.
    Refused {
        /// Why.
        reason: String,
    },
    /// The channel ended first.
    Unanswered,
}

/// What was asked. A path is where it happens; where there are two, `to` is what comes out of it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "op", rename_all = "kebab-case", rename_all_fields = "kebab-case")]
pub enum Action {
    /// A file is opened, and made where the mode says so.
    Open {
        /// The file.
        path: RemotePath,
        /// The old scp was told this folder or file and does not say which: if it is a folder, the file is in there,
        /// and `path` is what it is then; if not, this is the file.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        or: Option<RemotePath>,
        /// What for.
        #[serde(flatten)]
        mode: OpenMode,
        /// The size that was announced, in bytes; only the old scp does.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        size: Option<u64>,
        /// The permissions that a new file gets.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "octal")]
        permissions: Option<u32>,
    },
    /// A file is closed: what was moved.
    Close {
        /// The file.
        path: RemotePath,
        /// As with [`Action::Open`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        or: Option<RemotePath>,
        /// Towards the person.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        read: Option<Moved>,
        /// Towards the target.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        written: Option<Moved>,
    },
    /// A directory was listed.
    List {
        /// The directory.
        path: RemotePath,
        /// How many names the target told, `.` and `..` among them.
        entries: u64,
    },
    /// A file or directory gets another name; what has that name is not replaced.
    Rename {
        /// The old name.
        path: RemotePath,
        /// The new one.
        to: RemotePath,
    },
    /// The same with `posix-rename@openssh.com`: what has that name is replaced.
    PosixRename {
        /// The old name.
        path: RemotePath,
        /// The new one.
        to: RemotePath,
    },
    /// A file is removed.
    Remove {
        /// Which.
        path: RemotePath,
    },
    /// A directory is made.
    Mkdir {
        /// Which.
        path: RemotePath,
        /// As with [`Action::Open`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        or: Option<RemotePath>,
        /// Its permissions.
        #[serde(default, skip_serializing_if = "Option::is_none", with = "octal")]
        permissions: Option<u32>,
    },
    /// A directory is removed.
    Rmdir {
        /// Which.
        path: RemotePath,
    },
    /// Size, owner, permissions or times are set.
    Setstat {
        /// Of what.
        path: RemotePath,
        /// As with [`Action::Open`].
        #[serde(default, skip_serializing_if = "Option::is_none")]
        or: Option<RemotePath>,
        /// Whether a symbolic link is meant and not what it leads to (`lsetstat@openssh.com`).
        #[serde(default, skip_serializing_if = "is_false")]
        link: bool,
        /// To what.
        #[serde(flatten)]
        attributes: Attributes,
    },
    /// A symbolic link is made. The two paths of the packet are read in OpenSSH's order, which is not the draft's.
    Symlink {
        /// What it leads to, seen from the link's folder.
        path: RemotePath,
        /// The link.
        to: RemotePath,
    },
    /// A hard link is made (`hardlink@openssh.com`).
    Hardlink {
        /// The file.
        path: RemotePath,
        /// Its new name.
        to: RemotePath,
    },
    /// A part of one file is copied into another on the target (`copy-data`).
    CopyData {
        /// From where.
        path: RemotePath,
        /// To where.
        to: RemotePath,
        /// How many bytes; 0 means to the end.
        length: u64,
    },
    /// A file is written through to the disk (`fsync@openssh.com`).
    Fsync {
        /// Which.
        path: RemotePath,
    },
    /// A symbolic link is read.
    Readlink {
        /// Which.
        path: RemotePath,
    },
    /// Something is looked at. Told only where asked for, or refused.
    Look {
        /// At what.
        path: RemotePath,
        /// How.
        how: Look,
    },
    /// A request names a handle that stands for nothing, or not for what the request needs.
    BadHandle {
        /// Which request.
        request: String,
    },
    /// An extension that is not known, and so not passed on.
    Extended {
        /// Its name.
        name: String,
    },
    /// A request of a type that is not known, and so not passed on.
    Unknown {
        /// The packet's type.
        kind: u8,
    },
}

/// A way of looking at something.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Look {
    /// Attributes, following links.
    Stat,
    /// Attributes of a link.
    Lstat,
    /// Attributes of an open file.
    Fstat,
    /// The path in its final form.
    Realpath,
    /// The path with `~` resolved.
    ExpandPath,
    /// The file system.
    Statvfs,
    /// The file system of an open file.
    Fstatvfs,
}

/// What a file is opened for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenMode {
    /// It can be read.
    #[serde(default, skip_serializing_if = "is_false")]
    pub read: bool,
    /// It can be written.
    #[serde(default, skip_serializing_if = "is_false")]
    pub write: bool,
    /// Everything written goes to its end.
    #[serde(default, skip_serializing_if = "is_false")]
    pub append: bool,
    /// It is made if it is not there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub create: bool,
    /// It is emptied.
    #[serde(default, skip_serializing_if = "is_false")]
    pub truncate: bool,
    /// It must not be there.
    #[serde(default, skip_serializing_if = "is_false")]
    pub exclusive: bool,
}

impl OpenMode {
    /// Whether anything about the target can change by it.
    #[must_use]
    pub const fn changes(self) -> bool {
        self.write || self.append || self.create || self.truncate || self.exclusive
    }
}

/// Attributes that are set; what is `None` stays as it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Attributes {
    /// The size in bytes.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub size: Option<u64>,
    /// The owner's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub uid: Option<u32>,
    /// The group's number.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub gid: Option<u32>,
    /// The permissions.
    #[serde(default, skip_serializing_if = "Option::is_none", with = "octal")]
    pub permissions: Option<u32>,
    /// When it was last read, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub accessed: Option<u64>,
    /// When it was last changed, in seconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<u64>,
}

impl Action {
    /// Which way it moves something.
    #[must_use]
    pub const fn direction(&self) -> Direction {
        match self {
            Self::Open { mode, .. } => match (mode.read, mode.changes()) {
                (true, true) => Direction::Both,
                (false, true) => Direction::Upload,
                (_, false) => Direction::Download,
            },
            Self::Close { read, written, .. } => match (read, written) {
                (Some(_), Some(_)) => Direction::Both,
                (Some(_), None) => Direction::Download,
                (None, Some(_)) => Direction::Upload,
                (None, None) => Direction::Look,
            },
            Self::Rename { .. }
            | Self::PosixRename { .. }
            | Self::Remove { .. }
            | Self::Mkdir { .. }
            | Self::Rmdir { .. }
            | Self::Setstat { .. }
            | Self::Symlink { .. }
            | Self::Hardlink { .. }
            | Self::CopyData { .. }
            | Self::Extended { .. }
            | Self::Unknown { .. } => Direction::Change,
            Self::List { .. }
            | Self::Fsync { .. }
            | Self::Readlink { .. }
            | Self::Look { .. }
            | Self::BadHandle { .. } => Direction::Look,
        }
    }

    /// Every path that it is about. A judge that goes by paths must allow all of them.
    pub fn paths(&self) -> impl Iterator<Item = &RemotePath> {
        let (first, second) = match self {
            Self::Open { path, or, .. }
            | Self::Close { path, or, .. }
            | Self::Mkdir { path, or, .. }
            | Self::Setstat { path, or, .. } => (Some(path), or.as_ref()),
            Self::List { path, .. }
            | Self::Remove { path }
            | Self::Rmdir { path }
            | Self::Fsync { path }
            | Self::Readlink { path }
            | Self::Look { path, .. } => (Some(path), None),
            Self::Rename { path, to }
            | Self::PosixRename { path, to }
            | Self::Symlink { path, to }
            | Self::Hardlink { path, to }
            | Self::CopyData { path, to, .. } => (Some(path), Some(to)),
            Self::BadHandle { .. } | Self::Extended { .. } | Self::Unknown { .. } => (None, None),
        };
        first.into_iter().chain(second)
    }

    /// With what became of it.
    pub(crate) const fn with(self, result: Outcome) -> Operation {
        Operation { action: self, result }
    }
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
const fn is_false(flag: &bool) -> bool {
    !*flag
}

/// Permissions as everybody writes them: `"0644"`.
mod octal {
    use serde::de::Error as _;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[allow(clippy::ref_option, reason = "serde passes a reference")]
    pub(super) fn serialize<S: Serializer>(mode: &Option<u32>, serializer: S) -> Result<S::Ok, S::Error> {
        match mode {
            Some(mode) => serializer.serialize_some(&format!("{mode:04o}")),
            None => serializer.serialize_none(),
        }
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
        let text = Option::<String>::deserialize(deserializer)?;
        text.map(|text| u32::from_str_radix(&text, 8).map_err(|_| D::Error::custom("permissions are an octal number")))
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{Absent, Digest};

    fn path(raw: &str) -> RemotePath {
        RemotePath::resolve(None, raw.as_bytes())
    }

    #[test]
    fn a_line_of_the_log_reads_back() {
        let write = OpenMode { write: true, create: true, ..OpenMode::default() };
        let moved = |digest| Some(Moved { bytes: 5, from: 0, to: 5, digest });
        let failed = Outcome::Failed { code: Some(3), text: "Permission denied".into() };
        for (operation, line) in [
            (
                Action::Open { path: path("/a"), or: None, mode: write, size: None, permissions: Some(0o644) }
                    .with(Outcome::Done),
                r#"{"op":"open","path":"/a","write":true,"create":true,"permissions":"0644","result":"done"}"#,
            ),
            (
                Action::Close { path: path("/a"), or: None, read: None, written: moved(Digest::Sha256("ab".into())) }
                    .with(Outcome::Done),
                r#"{"op":"close","path":"/a","written":{"bytes":5,"from":0,"to":5,"sha256":"ab"},"result":"done"}"#,
            ),
            (
                Action::Close { path: path("/a"), or: None, read: moved(Digest::Absent(Absent::Gap)), written: None }
                    .with(Outcome::Unanswered),
                r#"{"op":"close","path":"/a","read":{"bytes":5,"from":0,"to":5,"no-digest":"gap"},"result":"unanswered"}"#,
            ),
            (
                Action::PosixRename { path: path("/a"), to: path("/b") }.with(failed),
                r#"{"op":"posix-rename","path":"/a","to":"/b","result":{"failed":{"code":3,"text":"Permission denied"}}}"#,
            ),
            (
                Action::Setstat {
                    path: path("/a"),
                    or: None,
                    link: false,
                    attributes: Attributes { uid: Some(0), permissions: Some(0o4755), ..Attributes::default() },
                }
                .with(Outcome::Refused { reason: "no".into() }),
                r#"{"op":"setstat","path":"/a","uid":0,"permissions":"4755","result":{"refused":{"reason":"no"}}}"#,
            ),
        ] {
            assert_eq!(serde_json::to_string(&operation).unwrap(), line);
            assert_eq!(serde_json::from_str::<Operation>(line).unwrap(), operation);
        }
    }

    #[test]
    fn whatever_can_change_a_file_is_an_upload() {
        let open = |mode| Action::Open { path: path("/a"), or: None, mode, size: None, permissions: None }.direction();
        let none = OpenMode::default();
        assert_eq!(open(OpenMode { read: true, ..none }), Direction::Download);
        assert_eq!(open(OpenMode { write: true, ..none }), Direction::Upload);
        assert_eq!(open(OpenMode { read: true, truncate: true, ..none }), Direction::Both);
        assert_eq!(open(OpenMode { read: true, create: true, ..none }), Direction::Both);
        assert_eq!(open(OpenMode { append: true, ..none }), Direction::Upload);
    }
}
