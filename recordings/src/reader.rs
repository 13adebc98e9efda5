//! A recording, read from a file.

use std::fs::File;
use std::io::{BufReader, Read};

use crate::{Event, FileHeader, Item, ParseError, Parser};

/// Reads the events of a recording one by one.
#[derive(Debug)]
pub struct Reader<R = BufReader<File>> {
    input: R,
    parser: Parser,
    header: FileHeader,
    ended: bool,
}

impl<R: Read> Reader<R> {
    /// Reads the header.
    ///
    /// # Errors
    /// When there is none, or it does not read.
    pub fn new(mut input: R) -> Result<Self, ParseError> {
        let mut parser = Parser::default();
        let mut ended = false;
        let header = loop {
            match parser.next_item()? {
                Some(Item::Header(header)) => break header,
                Some(Item::Event(_)) => {}
                None if ended => return Err(parser.finish().err().unwrap_or(ParseError::Empty)),
                None => ended = fill(&mut input, &mut parser)?,
            }
        };
        Ok(Self { input, parser, header, ended })
    }

    /// What the recording says about itself.
    pub const fn header(&self) -> &FileHeader {
        &self.header
    }

    /// The next event; `None` at the end.
    ///
    /// # Errors
    /// A line that does not read, or the file cannot be read. A last line that is cut off is
    /// [`ParseError::Torn`]: all events before it have been read by then.
    pub fn next_event(&mut self) -> Result<Option<Event>, ParseError> {
        loop {
            match self.parser.next_item()? {
                Some(Item::Event(event)) => return Ok(Some(event)),
                Some(Item::Header(_)) => {}
                None if self.ended => return self.parser.finish().map(|()| None),
                None => self.ended = fill(&mut self.input, &mut self.parser)?,
            }
        }
    }
}

impl<R: Read> Iterator for Reader<R> {
    type Item = Result<Event, ParseError>;

    /// The next event. The iteration ends behind an error only when the file does: stop at the first.
    fn next(&mut self) -> Option<Self::Item> {
        self.next_event().transpose()
    }
}

/// Reads on; whether the end is reached.
fn fill(input: &mut impl Read, parser: &mut Parser) -> Result<bool, ParseError> {
    let mut piece = [0; 16 * 1024];
    loop {
        match input.read(&mut piece) {
            Ok(count) => {
                parser.push(piece.get(..count).unwrap_or_default());
                return Ok(count == 0);
            }
            Err(error) if error.kind() == std::io::ErrorKind::Interrupted => {}
            Err(source) => return Err(ParseError::Io { line: parser.lines().saturating_add(1), source }),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_torn_tail_is_told_after_everything_before_it() {
        let text = "{\"version\":2,\"width\":80,\"height\":24}\n[1,\"o\",\"a\"]\n[2,\"o\",\"b";
        let mut reader = Reader::new(text.as_bytes()).unwrap();
        assert_eq!(reader.header().columns, 80);
        assert!(reader.next_event().unwrap().is_some());
        assert!(matches!(reader.next_event(), Err(ParseError::Torn { line: 3 })));
    }

    #[test]
    fn a_recording_without_header_is_no_recording() {
        assert!(matches!(Reader::new(&b""[..]), Err(ParseError::Empty)));
        assert!(matches!(Reader::new(&b"{\"version\""[..]), Err(ParseError::Torn { line: 1 })));
    }
}
