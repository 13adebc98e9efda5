//! The fields of a packet (draft-ietf-secsh-filexfer-02, sections 3 and 5).

use crate::limits::HANDLE;
use crate::{Attributes, Problem};

// The types of packets that matter here.
pub(super) const INIT: u8 = 1;
pub(super) const VERSION: u8 = 2;
pub(super) const OPEN: u8 = 3;
pub(super) const CLOSE: u8 = 4;
pub(super) const READ: u8 = 5;
pub(super) const WRITE: u8 = 6;
pub(super) const LSTAT: u8 = 7;
pub(super) const FSTAT: u8 = 8;
pub(super) const SETSTAT: u8 = 9;
pub(super) const FSETSTAT: u8 = 10;
pub(super) const OPENDIR: u8 = 11;
pub(super) const READDIR: u8 = 12;
pub(super) const REMOVE: u8 = 13;
pub(super) const MKDIR: u8 = 14;
pub(super) const RMDIR: u8 = 15;
pub(super) const REALPATH: u8 = 16;
pub(super) const STAT: u8 = 17;
pub(super) const RENAME: u8 = 18;
pub(super) const READLINK: u8 = 19;
pub(super) const SYMLINK: u8 = 20;
pub(super) const STATUS: u8 = 101;
pub(super) const HANDLE_REPLY: u8 = 102;
pub(super) const DATA: u8 = 103;
pub(super) const NAME: u8 = 104;
pub(super) const ATTRS: u8 = 105;
pub(super) const EXTENDED: u8 = 200;
pub(super) const EXTENDED_REPLY: u8 = 201;

// Status codes (section 7).
pub(super) const OK: u32 = 0;
pub(super) const EOF: u32 = 1;
pub(super) const PERMISSION_DENIED: u32 = 3;
pub(super) const FAILURE: u32 = 4;
pub(super) const OP_UNSUPPORTED: u32 = 8;

/// Reads the fields of one packet in turn.
#[derive(Clone, Copy, Debug)]
pub(super) struct Fields<'a> {
    rest: &'a [u8],
}

impl<'a> Fields<'a> {
    /// Of a packet with its length in front.
    pub(super) fn of(packet: &'a [u8]) -> Self {
        Self { rest: packet.get(4..).unwrap_or_default() }
    }

    pub(super) fn u8(&mut self, field: &'static str) -> Result<u8, Problem> {
        self.array::<1>(field).map(|[byte]| byte)
    }

    pub(super) fn u32(&mut self, field: &'static str) -> Result<u32, Problem> {
        self.array(field).map(u32::from_be_bytes)
    }

    pub(super) fn u64(&mut self, field: &'static str) -> Result<u64, Problem> {
        self.array(field).map(u64::from_be_bytes)
    }

    /// A string within the packet, whatever is in it.
    pub(super) fn string(&mut self, field: &'static str) -> Result<&'a [u8], Problem> {
        let length = usize::try_from(self.u32(field)?).unwrap_or(usize::MAX);
        self.take(length, field)
    }

    /// A path as programs in C read it.
    pub(super) fn path(&mut self, limit: usize) -> Result<&'a [u8], Problem> {
        let path = self.string("path")?;
        within("path", path.len(), limit)?;
        if path.contains(&0) { Err(Problem::Zero) } else { Ok(path) }
    }

    pub(super) fn handle(&mut self) -> Result<&'a [u8], Problem> {
        let handle = self.string("handle")?;
        within("handle", handle.len(), HANDLE).map(|()| handle)
    }

    /// Attributes (section 5).
    pub(super) fn attributes(&mut self) -> Result<Attributes, Problem> {
        const KNOWN: u32 = 0x8000_000f;
        let flags = self.u32("attributes")?;
        if flags & !KNOWN != 0 {
            return Err(Problem::Attributes { flags });
        }
        let mut read = Attributes::default();
        if flags & 1 != 0 {
            read.size = Some(self.u64("size")?);
        }
        if flags & 2 != 0 {
            read.uid = Some(self.u32("owner")?);
            read.gid = Some(self.u32("group")?);
        }
        if flags & 4 != 0 {
            read.permissions = Some(self.u32("permissions")?);
        }
        if flags & 8 != 0 {
            read.accessed = Some(u64::from(self.u32("times")?));
            read.modified = Some(u64::from(self.u32("times")?));
        }
        if flags & 0x8000_0000 != 0 {
            for _ in 0..self.u32("extended attributes")? {
                self.string("extended attributes")?;
                self.string("extended attributes")?;
            }
        }
        Ok(read)
    }

    /// Whether all was read.
    pub(super) const fn is_empty(&self) -> bool {
        self.rest.is_empty()
    }

    /// Nothing may follow. What one program passes over, another reads.
    pub(super) const fn end(self) -> Result<(), Problem> {
        if self.rest.is_empty() { Ok(()) } else { Err(Problem::Trailing { count: self.rest.len() }) }
    }

    fn take(&mut self, count: usize, field: &'static str) -> Result<&'a [u8], Problem> {
        let (taken, rest) = self.rest.split_at_checked(count).ok_or(Problem::Short { field })?;
        self.rest = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self, field: &'static str) -> Result<[u8; N], Problem> {
        let (taken, rest) = self.rest.split_first_chunk().ok_or(Problem::Short { field })?;
        self.rest = rest;
        Ok(*taken)
    }
}

/// A field's length against its limit.
pub(super) const fn within(field: &'static str, length: usize, limit: usize) -> Result<(), Problem> {
    if length > limit { Err(Problem::Long { field, length, limit }) } else { Ok(()) }
}

/// The longest text of a status, in bytes: what clients show on one line.
pub(super) const TEXT: usize = 256;

/// A whole `SSH_FXP_STATUS` packet.
pub(super) fn status(id: u32, code: u32, text: &str) -> Vec<u8> {
    let text = text.get(..text.floor_char_boundary(TEXT)).unwrap_or_default();
    let text_length = u32::try_from(text.len()).unwrap_or(0);
    let mut packet = Vec::with_capacity(21_usize.saturating_add(text.len()));
    packet.extend_from_slice(&17_u32.saturating_add(text_length).to_be_bytes());
    packet.push(STATUS);
    for number in [id, code, text_length] {
        packet.extend_from_slice(&number.to_be_bytes());
    }
    packet.extend_from_slice(text.as_bytes());
    // No language is named.
    packet.extend_from_slice(&0_u32.to_be_bytes());
    packet
}
