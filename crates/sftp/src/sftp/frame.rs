//! Finding the packets in one side's stream.

use bytes::Bytes;

use super::wire::{DATA, WRITE};
use crate::cut::Cutter;
use crate::limits::HANDLE;
use crate::{Broken, Problem, Side};

/// What precedes the content of a file: of these packets no more is needed before they go on.
const DATA_HEAD: usize = 13;
const WRITE_HEAD: usize = 13;

/// Where a side's stream stands.
#[derive(Debug)]
pub(super) struct Frame {
    side: Side,
    limit: usize,
    /// The beginning of a packet that cannot be judged yet.
    head: Vec<u8>,
    /// Where in the stream the current packet begins.
    at: u64,
    /// The content of a file that is under way.
    pub(super) body: Option<Body>,
}

/// The content of a file that is under way.
#[derive(Clone, Copy, Debug)]
pub(super) struct Body {
    /// How many bytes are to come; never 0.
    pub(super) left: usize,
    /// Where it belongs; `None` is a packet that goes nowhere.
    pub(super) sink: Option<Sink>,
}

/// A place in an open file.
#[derive(Clone, Copy, Debug)]
pub(super) struct Sink {
    pub(super) slot: u64,
    pub(super) offset: u64,
}

/// As much of a packet as has to be looked at before it may go on.
#[derive(Debug)]
pub(super) enum Head {
    /// It lies in the piece, with this length.
    Inline(usize),
    /// It came in several pieces and was collected.
    Collected(Vec<u8>),
}

impl Head {
    /// Its bytes, in the piece or on their own.
    pub(super) fn bytes<'a>(&'a self, piece: &'a [u8]) -> &'a [u8] {
        match self {
            Self::Inline(length) => piece.get(..*length).unwrap_or_default(),
            Self::Collected(bytes) => bytes,
        }
    }

    /// Sends it on.
    pub(super) fn pass(self, cut: &mut Cutter, out: &mut Vec<Bytes>) {
        match self {
            Self::Inline(length) => cut.pass(length),
            Self::Collected(bytes) => {
                cut.flush(out);
                out.push(bytes.into());
            }
        }
    }

    /// Leaves it out.
    pub(super) fn skip(self, cut: &mut Cutter, out: &mut Vec<Bytes>) {
        match self {
            Self::Inline(length) => cut.skip(length, out),
            Self::Collected(_) => {}
        }
    }
}

impl Frame {
    pub(super) const fn new(side: Side, limit: usize) -> Self {
        Self { side, limit, head: Vec::new(), at: 0, body: None }
    }

    /// How many bytes are kept.
    pub(super) fn held(&self) -> usize {
        self.head.len()
    }

    /// The next packet's beginning, if it is all there. What is not enough is kept.
    pub(super) fn head(&mut self, cut: &mut Cutter, out: &mut Vec<Bytes>) -> Result<Option<Head>, Broken> {
        if self.head.is_empty() {
            let rest = cut.rest();
            let need = self.need(rest)?;
            if rest.len() >= need {
                return Ok(Some(Head::Inline(need)));
            }
        }
        loop {
            let need = self.need(&self.head)?;
            let missing = need.saturating_sub(self.head.len());
            if missing == 0 {
                return Ok(Some(Head::Collected(std::mem::take(&mut self.head))));
            }
            let part = cut.rest();
            let part = part.get(..missing).unwrap_or(part);
            if part.is_empty() {
                return Ok(None);
            }
            self.head.extend_from_slice(part);
            let count = part.len();
            cut.skip(count, out);
        }
    }

    /// Puts a beginning back, because it has to wait.
    pub(super) fn put_back(&mut self, head: Head) {
        if let Head::Collected(head) = head {
            self.head = head;
        }
    }

    /// A packet was judged by its head; the rest of it is content.
    pub(super) fn judged(&mut self, head: usize, content: usize, sink: Option<Sink>) {
        let total = u64::try_from(head.saturating_add(content)).unwrap_or(u64::MAX);
        self.at = self.at.saturating_add(total);
        self.body = (content > 0).then_some(Body { left: content, sink });
    }

    /// So much of the content is done with; returns whether that was the last of it.
    pub(super) fn carried(&mut self, count: usize) -> bool {
        let Some(body) = &mut self.body else { return false };
        body.left = body.left.saturating_sub(count);
        if let Some(sink) = &mut body.sink {
            sink.offset = sink.offset.saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        let last = body.left == 0;
        if last {
            self.body = None;
        }
        last
    }

    /// An error in the current packet.
    pub(super) const fn broken(&self, problem: Problem) -> Broken {
        Broken { side: self.side, at: self.at, problem }
    }

    /// How many bytes of a packet have to be there before it can be judged, as far as these tell.
    fn need(&self, head: &[u8]) -> Result<usize, Broken> {
        let Some((&length, rest)) = head.split_first_chunk() else { return Ok(5) };
        let total = total(length, self.limit).map_err(|problem| self.broken(problem))?;
        let Some(&kind) = rest.first() else { return Ok(5) };
        match (self.side, kind) {
            (Side::Server, DATA) => Ok(total.min(DATA_HEAD)),
            (Side::Client, WRITE) => {
                // Behind a packet that is too short the next begins.
                let own = head.get(..total).unwrap_or(head);
                let Some(&handle) = own.get(9..).and_then(|rest| rest.first_chunk()) else {
                    return Ok(total.min(WRITE_HEAD));
                };
                let length = usize::try_from(u32::from_be_bytes(handle)).unwrap_or(usize::MAX);
                if length > HANDLE {
                    return Err(self.broken(Problem::Long { field: "handle", length, limit: HANDLE }));
                }
                // The handle, the offset and the length of the content.
                Ok(total.min(WRITE_HEAD.saturating_add(length).saturating_add(12)))
            }
            (Side::Client | Side::Server, _) => Ok(total),
        }
    }
}

/// How much of a packet that was not malformed is behind its head.
pub(super) fn content(head: &[u8]) -> usize {
    let length = head.first_chunk().map_or(0, |&length| u32::from_be_bytes(length));
    usize::try_from(length).unwrap_or(usize::MAX).saturating_add(4).saturating_sub(head.len())
}

/// A whole packet's length, from the four bytes at its start.
fn total(length: [u8; 4], limit: usize) -> Result<usize, Problem> {
    let length = u32::from_be_bytes(length);
    match usize::try_from(length) {
        Ok(count) if count >= 1 && count <= limit => Ok(count.saturating_add(4)),
        _ => Err(Problem::Length { length, limit }),
    }
}
