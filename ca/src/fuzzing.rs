//! What the fuzz targets in `tests/fuzz` reach, and no API: it is built for them alone.

use crate::app::Cursor;

/// A place in a list, read and written again.
pub fn place(text: &str) -> Option<(Cursor, String)> {
    let cursor = Cursor::parse(text).ok()?;
    let text = cursor.text();
    Some((cursor, text))
}
