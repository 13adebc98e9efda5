//! Checkpoints (C2SP tlog-checkpoint): what a ledger was at one size, in three lines that can be signed.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use crate::{Digest, Note, NoteError, Signer, VerifierKey};

/// The size and the root of a ledger at some moment.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Checkpoint {
    /// Which ledger: the first line, and the name of its key.
    pub origin: String,
    /// How many records it has.
    pub size: u64,
    /// The root of their Merkle tree (RFC 6962, section 2.1).
    pub root: Digest,
}

impl Checkpoint {
    /// Signs the checkpoint.
    ///
    /// # Errors
    /// An origin that cannot be a line of a note.
    pub fn sign(&self, signer: &Signer) -> Result<Note, NoteError> {
        // Reading it back refuses an origin that would break the lines.
        let text = self.to_string();
        if text.parse::<Self>().as_ref() != Ok(self) {
            return Err(NoteError::Form("the origin is empty, or not one line"));
        }
        signer.sign(&text)
    }

    /// Checks a signed checkpoint against trusted keys and reads it.
    ///
    /// # Errors
    /// Not a note, not signed by one of the keys, or not a checkpoint.
    pub fn open(note: &str, keys: &[VerifierKey]) -> Result<Self, NoteError> {
        note.parse::<Note>()?.verify(keys)?.parse()
    }
}

impl fmt::Display for Checkpoint {
    /// The text that is signed: origin, size and root, each with its newline.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}\n{}\n{}", self.origin, self.size, STANDARD.encode(self.root.as_bytes()))
    }
}

impl FromStr for Checkpoint {
    type Err = NoteError;

    /// Reads the text. Extension lines are passed over, as they are opaque.
    fn from_str(text: &str) -> Result<Self, NoteError> {
        const SHORT: NoteError = NoteError::Form("a checkpoint has an origin, a size and a root");
        let body = text.strip_suffix('\n').ok_or(SHORT)?;
        let mut lines = body.split('\n');
        let (Some(origin), Some(size), Some(root)) = (lines.next(), lines.next(), lines.next()) else {
            return Err(SHORT);
        };
        if origin.is_empty() || lines.any(str::is_empty) {
            return Err(NoteError::Form("a checkpoint has no empty line"));
        }
        let number: u64 = size.parse().map_err(|_| NoteError::Form("the size is not a number"))?;
        // No plus, no leading zeros: one text for one checkpoint.
        if number.to_string() != size {
            return Err(NoteError::Form("the size is not a plain number"));
        }
        let root = STANDARD.decode(root).map_err(|_| NoteError::Form("the root is not base64"))?;
        let root = root.try_into().map_err(|_| NoteError::Form("the root has not 32 bytes"))?;
        Ok(Self { origin: origin.to_owned(), size: number, root: Digest(root) })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_example_of_the_specification_reads() {
        let text = "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n";
        let checkpoint: Checkpoint = text.parse().unwrap();
        assert_eq!((checkpoint.origin.as_str(), checkpoint.size), ("example.com/behind-the-sofa", 20_852_163));
        assert_eq!(checkpoint.to_string(), text);
        let extended: Checkpoint = format!("{text}an extension\n").parse().unwrap();
        assert_eq!(extended, checkpoint);
    }

    #[test]
    fn a_signed_checkpoint_opens_with_its_key_only() {
        let signer = Signer::new("ledger.example.org", &[3; 32]).unwrap();
        let checkpoint =
            Checkpoint { origin: "ledger.example.org".to_owned(), size: 3, root: Digest::of(b"three records") };
        let note = checkpoint.sign(&signer).unwrap().to_string();
        assert_eq!(Checkpoint::open(&note, &[signer.verifier().clone()]).unwrap(), checkpoint);
        let other = Signer::new("ledger.example.org", &[4; 32]).unwrap();
        assert!(Checkpoint::open(&note, &[other.verifier().clone()]).is_err());
        assert!(Checkpoint::open(&note.replace("\n3\n", "\n4\n"), &[signer.verifier().clone()]).is_err());
    }

    #[test]
    fn what_is_no_checkpoint_is_refused() {
        let root = STANDARD.encode([0; 32]);
        for text in [
            String::new(),
            format!("o\n1\n{root}"),
            format!("\n1\n{root}\n"),
            format!("o\n01\n{root}\n"),
            format!("o\n+1\n{root}\n"),
            format!("o\n-1\n{root}\n"),
            "o\n1\nAAAA\n".to_owned(),
            format!("o\n1\n{root}\n\n"),
            "o\n1\n".to_owned(),
        ] {
            assert!(text.parse::<Checkpoint>().is_err(), "{text:?}");
        }
        let broken = Checkpoint { origin: "a\n5".to_owned(), size: 1, root: Digest::ZERO };
        assert!(broken.sign(&Signer::new("a", &[1; 32]).unwrap()).is_err());
    }
}
