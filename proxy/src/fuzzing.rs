//! What the fuzz targets in `tests/fuzz` reach, and no API: it is built for them alone.

use std::net::IpAddr;

use bytes::Bytes;
use model::TargetName;

use crate::bridge::escape::{Escapes, Piece, Wish};
use crate::desk::command::Command;
use crate::destination::Asked;
use crate::prompt::{Editor, Step};

/// A login and a target, or why there is none; nothing for a jump.
pub type Destination = Option<Result<(String, String), String>>;

/// What a user name at the front door asks for.
pub fn at_the_front(user: &str) -> Destination {
    destination(Asked::at_the_front(user))
}

/// What a user name asks for behind `-J`.
pub fn behind(user: &str, target: &TargetName) -> Destination {
    destination(Asked::behind(user, target))
}

fn destination(asked: Asked) -> Destination {
    match asked {
        Asked::Session(to) => Some(Ok((to.login.to_string(), to.target.to_string()))),
        Asked::Jump => None,
        Asked::Nonsense(why) => Some(Err(why)),
    }
}

/// A command line of the desk: what is to be done, for comparing, or why not.
pub fn command(line: &str) -> Result<String, String> {
    Command::read(line).map(|command| format!("{command:?}"))
}

/// The words of a command line.
pub fn words(line: &str) -> Vec<String> {
    crate::desk::line::words(line)
}

/// What comes of keys: bytes that go on, and the letters of wishes with how many bytes went on before each.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Typed {
    /// What goes on to the target.
    pub on: Vec<u8>,
    /// What the proxy takes.
    pub wishes: Vec<(usize, u8)>,
}

/// Keys that come in these pieces, with a pause behind each or only behind the last.
pub fn keys<'a>(key: u8, pieces: impl IntoIterator<Item = &'a [u8]>, pauses: bool) -> Typed {
    let (mut escapes, mut typed) = (Escapes::new(key), Typed::default());
    for piece in pieces {
        let mut piece = Bytes::copy_from_slice(piece);
        while let Some(piece) = escapes.next(&mut piece) {
            let letter = match piece {
                Piece::On(bytes) => {
                    typed.on.extend_from_slice(&bytes);
                    continue;
                }
                Piece::Wish(Wish::Time) => b't',
                Piece::Wish(Wish::Extend) => b'e',
                Piece::Wish(Wish::Help) => b'?',
            };
            typed.wishes.push((typed.on.len(), letter));
        }
        assert!(piece.is_empty(), "what was typed is taken");
        if pauses {
            typed.on.extend(escapes.settle().unwrap_or_default());
        }
    }
    typed.on.extend(escapes.settle().unwrap_or_default());
    typed
}

/// What somebody types into a question: the lines that they end, and all that is shown for it. `None` stands for leaving.
pub fn lines(bytes: &[u8]) -> (Vec<Option<String>>, String) {
    let (mut editor, mut lines, mut echo) = (Editor::default(), Vec::new(), String::new());
    for byte in bytes {
        match editor.feed(*byte, &mut echo) {
            Step::More => {}
            Step::Line(line) => lines.push(Some(line)),
            Step::Left(_) => lines.push(None),
        }
    }
    lines.push(Some(editor.text().to_owned()));
    (lines, echo)
}

/// Whether a certificate's `source-address` lets it be used from an address.
pub fn allows(list: &str, address: IpAddr) -> bool {
    crate::auth::allows(list, address)
}
