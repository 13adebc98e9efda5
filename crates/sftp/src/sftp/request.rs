//! What a client can ask, as it is in the packet: paths and handles are not looked up yet.

use super::wire::{self, Fields};
use crate::{Attributes, OpenMode, Problem};

/// A request behind its id.
#[derive(Clone, Copy, Debug)]
pub(super) enum Request<'a> {
    Open {
        path: &'a [u8],
        flags: u32,
        attributes: Attributes,
    },
    Close(&'a [u8]),
    Read {
        handle: &'a [u8],
        offset: u64,
        length: u32,
    },
    Write {
        handle: &'a [u8],
        offset: u64,
        length: u32,
    },
    Lstat(&'a [u8]),
    Fstat(&'a [u8]),
    Setstat {
        path: &'a [u8],
        attributes: Attributes,
        link: bool,
    },
    Fsetstat {
        handle: &'a [u8],
        attributes: Attributes,
    },
    Opendir(&'a [u8]),
    Readdir(&'a [u8]),
    Remove(&'a [u8]),
    Mkdir {
        path: &'a [u8],
        attributes: Attributes,
    },
    Rmdir(&'a [u8]),
    Realpath(&'a [u8]),
    Stat(&'a [u8]),
    Rename {
        from: &'a [u8],
        to: &'a [u8],
        replace: bool,
    },
    Readlink(&'a [u8]),
    Symlink {
        content: &'a [u8],
        link: &'a [u8],
    },
    Hardlink {
        from: &'a [u8],
        to: &'a [u8],
    },
    Statvfs(&'a [u8]),
    Fstatvfs(&'a [u8]),
    Fsync(&'a [u8]),
    ExpandPath(&'a [u8]),
    CopyData {
        from: &'a [u8],
        length: u64,
        to: &'a [u8],
    },
    /// `limits@openssh.com` and `users-groups-by-id@openssh.com`, which are about no file.
    Facts,
    /// `home-directory`: where somebody's home is.
    HomeDirectory,
    UnknownExtension(&'a [u8]),
    Unknown(u8),
}

impl<'a> Request<'a> {
    /// Reads what stands behind a packet's type and id. `packet` is its length in bytes without the content of a write,
    /// which is not in `fields`, and `body` the length of that.
    pub(super) fn read(kind: u8, mut fields: Fields<'a>, body: usize, path: usize) -> Result<Self, Problem> {
        let f = &mut fields;
        let request = match kind {
            wire::OPEN => Self::Open { path: f.path(path)?, flags: f.u32("flags")?, attributes: f.attributes()? },
            wire::CLOSE => Self::Close(f.handle()?),
            wire::READ => Self::Read { handle: f.handle()?, offset: f.u64("offset")?, length: f.u32("length")? },
            wire::WRITE => {
                let (handle, offset, length) = (f.handle()?, f.u64("offset")?, f.u32("data")?);
                match usize::try_from(length).unwrap_or(usize::MAX) {
                    announced if announced > body => return Err(Problem::Short { field: "data" }),
                    announced if announced < body => {
                        return Err(Problem::Trailing { count: body.saturating_sub(announced) });
                    }
                    _ => {}
                }
                Self::Write { handle, offset, length }
            }
            wire::LSTAT => Self::Lstat(f.path(path)?),
            wire::FSTAT => Self::Fstat(f.handle()?),
            wire::SETSTAT => Self::Setstat { path: f.path(path)?, attributes: f.attributes()?, link: false },
            wire::FSETSTAT => Self::Fsetstat { handle: f.handle()?, attributes: f.attributes()? },
            wire::OPENDIR => Self::Opendir(f.path(path)?),
            wire::READDIR => Self::Readdir(f.handle()?),
            wire::REMOVE => Self::Remove(f.path(path)?),
            wire::MKDIR => Self::Mkdir { path: f.path(path)?, attributes: f.attributes()? },
            wire::RMDIR => Self::Rmdir(f.path(path)?),
            wire::REALPATH => Self::Realpath(f.path(path)?),
            wire::STAT => Self::Stat(f.path(path)?),
            wire::RENAME => Self::Rename { from: f.path(path)?, to: f.path(path)?, replace: false },
            wire::READLINK => Self::Readlink(f.path(path)?),
            // OpenSSH's order (PROTOCOL, section 4.1), which servers of others follow.
            wire::SYMLINK => Self::Symlink { content: f.path(path)?, link: f.path(path)? },
            wire::EXTENDED => return Self::extended(fields, path),
            _ => return Ok(Self::Unknown(kind)),
        };
        fields.end().map(|()| request)
    }

    /// OpenSSH's extensions (PROTOCOL, section 4).
    fn extended(mut fields: Fields<'a>, path: usize) -> Result<Self, Problem> {
        let f = &mut fields;
        let name = f.string("extension's name")?;
        wire::within("extension's name", name.len(), path)?;
        let request = match name {
            b"posix-rename@openssh.com" => Self::Rename { from: f.path(path)?, to: f.path(path)?, replace: true },
            b"statvfs@openssh.com" => Self::Statvfs(f.path(path)?),
            b"fstatvfs@openssh.com" => Self::Fstatvfs(f.handle()?),
            b"hardlink@openssh.com" => Self::Hardlink { from: f.path(path)?, to: f.path(path)? },
            b"fsync@openssh.com" => Self::Fsync(f.handle()?),
            b"lsetstat@openssh.com" => Self::Setstat { path: f.path(path)?, attributes: f.attributes()?, link: true },
            b"limits@openssh.com" => Self::Facts,
            b"users-groups-by-id@openssh.com" => {
                for _ in 0..2 {
                    f.string("list of ids")?;
                }
                Self::Facts
            }
            b"expand-path@openssh.com" => Self::ExpandPath(f.path(path)?),
            b"home-directory" => {
                f.path(path)?;
                Self::HomeDirectory
            }
            b"copy-data" => {
                let from = f.handle()?;
                f.u64("offset")?;
                let length = f.u64("length")?;
                let to = f.handle()?;
                f.u64("offset")?;
                Self::CopyData { from, length, to }
            }
            // What follows the name is for those who know it.
            _ => return Ok(Self::UnknownExtension(name)),
        };
        fields.end().map(|()| request)
    }
}

/// The flags of an open; `None` if there are some that version 3 does not have.
pub(super) const fn open_mode(flags: u32) -> Option<OpenMode> {
    if flags & !0x3f != 0 {
        return None;
    }
    let write = flags & 2 != 0;
    Some(OpenMode {
        // OpenSSH opens for reading when it is told neither.
        read: flags & 1 != 0 || !write,
        write,
        append: flags & 4 != 0,
        create: flags & 8 != 0,
        truncate: flags & 16 != 0,
        exclusive: flags & 32 != 0,
    })
}
