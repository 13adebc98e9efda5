//! Cutting pieces of a stream without copying them.

use std::collections::VecDeque;

use bytes::Bytes;

use crate::Operation;

/// What came of feeding a watch, in order. The caller sends it, empties it and may use it again.
#[derive(Debug, Default)]
pub struct Passed {
    /// What goes on to the target.
    pub to_server: Vec<Bytes>,
    /// What goes on to the person's client, answers to refused requests among it.
    pub to_client: Vec<Bytes>,
    /// What belongs into the file log.
    pub operations: Vec<Operation>,
}

/// A piece of a stream, of which parts are passed on and parts are left out.
#[derive(Debug)]
pub(crate) struct Cutter {
    piece: Bytes,
    /// Where the part begins that will be passed on next.
    from: usize,
    /// Up to where the piece was looked at.
    at: usize,
}

impl Cutter {
    pub(crate) const fn new(piece: Bytes) -> Self {
        Self { piece, from: 0, at: 0 }
    }

    /// What was not looked at yet.
    pub(crate) fn rest(&self) -> &[u8] {
        self.piece.get(self.at..).unwrap_or_default()
    }

    /// Takes so many bytes, to be passed on.
    pub(crate) fn pass(&mut self, count: usize) {
        self.at = self.at.saturating_add(count).min(self.piece.len());
    }

    /// Takes so many bytes out of the stream.
    pub(crate) fn skip(&mut self, count: usize, out: &mut Vec<Bytes>) {
        self.flush(out);
        self.pass(count);
        self.from = self.at;
    }

    /// Passes on what was taken for it. Neighbours go as one.
    pub(crate) fn flush(&mut self, out: &mut Vec<Bytes>) {
        if self.at > self.from {
            out.push(self.piece.slice(self.from..self.at));
        }
        self.from = self.at;
    }

    /// Passes on what was taken for it, and gives back what was not looked at.
    pub(crate) fn finish(mut self, out: &mut Vec<Bytes>) -> Bytes {
        self.flush(out);
        self.piece.split_off(self.at)
    }
}

/// What of one side has to wait, whole pieces that were not looked at.
#[derive(Debug)]
pub(crate) struct Waiting {
    pieces: VecDeque<Bytes>,
    pub(crate) bytes: usize,
}

impl Waiting {
    pub(crate) const fn new() -> Self {
        Self { pieces: VecDeque::new(), bytes: 0 }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.pieces.is_empty()
    }

    /// Behind the others.
    pub(crate) fn push(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.bytes = self.bytes.saturating_add(piece.len());
            self.pieces.push_back(piece);
        }
    }

    /// Back to where it was taken from.
    pub(crate) fn put_back(&mut self, piece: Bytes) {
        if !piece.is_empty() {
            self.bytes = self.bytes.saturating_add(piece.len());
            self.pieces.push_front(piece);
        }
    }

    pub(crate) fn pop(&mut self) -> Option<Bytes> {
        let piece = self.pieces.pop_front()?;
        self.bytes = self.bytes.saturating_sub(piece.len());
        Some(piece)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn neighbours_go_on_as_one_piece_without_a_copy() {
        let piece = Bytes::from_static(b"abcdefgh");
        let (mut cut, mut out) = (Cutter::new(piece.clone()), Vec::new());
        cut.pass(2);
        cut.pass(1);
        cut.skip(2, &mut out);
        cut.pass(1);
        assert_eq!(cut.rest(), b"gh");
        assert_eq!(cut.finish(&mut out), "gh");
        assert_eq!(out, ["abc", "f"]);
        assert_eq!(out[0].as_ptr(), piece.as_ptr());
    }
}
