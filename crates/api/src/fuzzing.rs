//! What the fuzz targets in `tests/fuzz` reach, and no API: it is built for them alone.

use crate::Heard;
use crate::client::Blocks;

/// All that a feed says whose bytes come in these pieces, and why it broke off.
pub fn feed<'a>(pieces: impl IntoIterator<Item = &'a [u8]>) -> (Vec<Heard>, Option<String>) {
    let (mut blocks, mut all) = (Blocks::default(), Vec::new());
    for piece in pieces {
        blocks.push(piece);
        loop {
            match blocks.next() {
                Ok(Some(heard)) => all.push(heard),
                Ok(None) => break,
                Err(why) => return (all, Some(why)),
            }
        }
    }
    (all, None)
}
