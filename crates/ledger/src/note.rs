//! Signed notes (C2SP signed-note): text, a blank line, and one line per signature. Ed25519 keys only.

use std::fmt;
use std::str::FromStr;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use ed25519_dalek::Signer as _;
use sha2::Digest as _;

/// The signature type of Ed25519 in C2SP signed-note.
const ED25519: u8 = 1;
/// The most bytes of a note; the text of a checkpoint is three lines.
const LIMIT: usize = 64 * 1024;

/// Signs notes with an Ed25519 key. The key is wiped from memory when it is dropped, and never shown.
#[derive(Clone)]
pub struct Signer {
    verifier: VerifierKey,
    key: ed25519_dalek::SigningKey,
}

/// Checks the signatures of one key. Written "name+keyid+base64", as C2SP and Go's sumdb write it.
#[derive(Clone, PartialEq, Eq)]
pub struct VerifierKey {
    name: String,
    id: [u8; 4],
    key: ed25519_dalek::VerifyingKey,
}

/// A note: its text, and signatures that are not checked yet.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Note {
    /// The text, with its final newline.
    pub text: String,
    /// The signatures, in the order in which they stand.
    pub signatures: Vec<NoteSignature>,
}

/// One signature line.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NoteSignature {
    /// The name of the key.
    pub name: String,
    /// The first four bytes of a hash over the key.
    pub id: [u8; 4],
    /// The signature; 64 bytes for Ed25519.
    pub signature: Vec<u8>,
}

/// A note, or a note key, that is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum NoteError {
    /// Not in the form of a signed note.
    #[error("not a signed note: {0}")]
    Form(&'static str),
    /// Not a verifier key.
    #[error("not a verifier key (name+keyid+base64): {0}")]
    Key(&'static str),
    /// No signature is by a key that is trusted here.
    #[error("the note is not signed by {}", .0.join(" or "))]
    Unsigned(Vec<String>),
    /// A signature names a trusted key but does not verify.
    #[error("the signature of {0} does not verify: the note was changed, or another key signed it")]
    Signature(String),
}

impl Signer {
    /// From a key name and the 32 bytes of an Ed25519 secret key (RFC 8032).
    ///
    /// # Errors
    /// A name that is empty, or has a space, a plus or a control character.
    pub fn new(name: &str, secret: &[u8; 32]) -> Result<Self, NoteError> {
        let key = ed25519_dalek::SigningKey::from_bytes(secret);
        let verifier = VerifierKey::new(name, key.verifying_key().as_bytes())?;
        Ok(Self { verifier, key })
    }

    /// The key that checks what this one signs.
    #[must_use]
    pub const fn verifier(&self) -> &VerifierKey {
        &self.verifier
    }

    /// Signs a text.
    ///
    /// # Errors
    /// A text that does not end in a newline, or holds another control character.
    pub fn sign(&self, text: &str) -> Result<Note, NoteError> {
        check_text(text)?;
        let signature = NoteSignature {
            name: self.verifier.name.clone(),
            id: self.verifier.id,
            signature: self.key.sign(text.as_bytes()).to_bytes().to_vec(),
        };
        Ok(Note { text: text.to_owned(), signatures: vec![signature] })
    }
}

impl fmt::Debug for Signer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Signer").field("verifier", &self.verifier).finish_non_exhaustive()
    }
}

impl VerifierKey {
    /// From a key name and the 32 bytes of an Ed25519 public key (RFC 8032).
    ///
    /// # Errors
    /// A name that cannot be in a signature line, or bytes that are no usable public key.
    pub fn new(name: &str, public: &[u8; 32]) -> Result<Self, NoteError> {
        if !good_name(name) {
            return Err(NoteError::Key("the name is empty, or has a space, a plus or a control character"));
        }
        let key = ed25519_dalek::VerifyingKey::from_bytes(public).map_err(|_| NoteError::Key("no Ed25519 key"))?;
        if key.is_weak() {
            return Err(NoteError::Key("a weak Ed25519 key"));
        }
        let hash: [u8; 32] = sha2::Sha256::new()
            .chain_update(name)
            .chain_update([b'\n', ED25519])
            .chain_update(public)
            .finalize()
            .into();
        let [a, b, c, d, ..] = hash;
        Ok(Self { name: name.to_owned(), id: [a, b, c, d], key })
    }

    /// The name in its signature lines.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// The first four bytes of a hash over the key.
    #[must_use]
    pub const fn id(&self) -> [u8; 4] {
        self.id
    }
}

impl fmt::Display for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut bytes = vec![ED25519];
        bytes.extend_from_slice(self.key.as_bytes());
        write!(f, "{}+{}+{}", self.name, hex::encode(self.id), STANDARD.encode(bytes))
    }
}

impl fmt::Debug for VerifierKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl FromStr for VerifierKey {
    type Err = NoteError;

    fn from_str(text: &str) -> Result<Self, NoteError> {
        let mut parts = text.trim().splitn(3, '+');
        let (Some(name), Some(id), Some(key)) = (parts.next(), parts.next(), parts.next()) else {
            return Err(NoteError::Key("it has no two plus signs"));
        };
        let bytes = STANDARD.decode(key).map_err(|_| NoteError::Key("the key is not base64"))?;
        let public = match bytes.split_first() {
            Some((&ED25519, public)) => {
                <&[u8; 32]>::try_from(public).map_err(|_| NoteError::Key("an Ed25519 key has 32 bytes"))?
            }
            _ => return Err(NoteError::Key("it is not of type Ed25519")),
        };
        let key = Self::new(name, public)?;
        if hex::encode(key.id) == id { Ok(key) } else { Err(NoteError::Key("the key id does not fit the key")) }
    }
}

impl Note {
    /// Checks the note against trusted keys and returns its text.
    ///
    /// Signatures by other keys are passed over, as C2SP asks; one by a trusted key that does not verify refuses the note.
    ///
    /// # Errors
    /// No signature by a trusted key, or a wrong one.
    pub fn verify(&self, keys: &[VerifierKey]) -> Result<&str, NoteError> {
        let mut signed = false;
        for line in &self.signatures {
            let Some(key) = keys.iter().find(|key| key.name == line.name && key.id == line.id) else { continue };
            let refused = || NoteError::Signature(key.name.clone());
            let signature = ed25519_dalek::Signature::from_slice(&line.signature).map_err(|_| refused())?;
            key.key.verify_strict(self.text.as_bytes(), &signature).map_err(|_| refused())?;
            signed = true;
        }
        if signed {
            Ok(&self.text)
        } else {
            Err(NoteError::Unsigned(keys.iter().map(|key| key.name.clone()).collect()))
        }
    }
}

impl FromStr for Note {
    type Err = NoteError;

    fn from_str(note: &str) -> Result<Self, NoteError> {
        if note.len() > LIMIT {
            return Err(NoteError::Form("it is longer than 64 KiB"));
        }
        let (before, lines) = note.rsplit_once("\n\n").ok_or(NoteError::Form("there is no blank line"))?;
        let text = format!("{before}\n");
        check_text(&text)?;
        let lines = lines.strip_suffix('\n').ok_or(NoteError::Form("it does not end in a newline"))?;
        let signatures = lines.split('\n').map(read_signature).collect::<Result<Vec<_>, _>>()?;
        Ok(Self { text, signatures })
    }
}

impl fmt::Display for Note {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.text)?;
        for line in &self.signatures {
            let mut bytes = line.id.to_vec();
            bytes.extend_from_slice(&line.signature);
            writeln!(f, "— {} {}", line.name, STANDARD.encode(bytes))?;
        }
        Ok(())
    }
}

fn read_signature(line: &str) -> Result<NoteSignature, NoteError> {
    let rest = line.strip_prefix("— ").ok_or(NoteError::Form("a signature line begins with an em dash and a space"))?;
    let (name, bytes) = rest.split_once(' ').ok_or(NoteError::Form("a signature line has a name and a signature"))?;
    if !good_name(name) {
        return Err(NoteError::Form("a signature line has a bad key name"));
    }
    let bytes = STANDARD.decode(bytes).map_err(|_| NoteError::Form("a signature is not base64"))?;
    match bytes.split_first_chunk::<4>() {
        Some((id, signature)) if !signature.is_empty() => {
            Ok(NoteSignature { name: name.to_owned(), id: *id, signature: signature.to_vec() })
        }
        _ => Err(NoteError::Form("a signature is too short")),
    }
}

fn check_text(text: &str) -> Result<(), NoteError> {
    if !text.ends_with('\n') {
        return Err(NoteError::Form("its text does not end in a newline"));
    }
    if text.bytes().any(|b| b < 0x20 && b != b'\n') {
        return Err(NoteError::Form("its text holds a control character"));
    }
    Ok(())
}

fn good_name(name: &str) -> bool {
    !name.is_empty() && !name.chars().any(|c| c.is_whitespace() || c.is_control() || c == '+')
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The example of the documentation of Go's `golang.org/x/mod/sumdb/note`.
    const KEY: &str = "PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW";
    const NOTE: &str = "If you think cryptography is the answer to your problem,\n\
        then you don't know what your problem is.\n\n\
        — PeterNeumann x08go/ZJkuBS9UG/SffcvIAQxVBtiFupLLr8pAcElZInNIuGUgYN1FFYC2pZSNXgKvqfqdngotpRZb6KE6RyyBwJnAM=\n";
    /// The secret half of [`KEY`], from the same page.
    const SECRET: &str = "AYEKFALVFGyNhPJEMzD1QIDr+Y7hfZx09iUvxdXHKDFz";

    #[test]
    fn a_note_of_another_implementation_verifies_and_is_made_the_same() {
        let key: VerifierKey = KEY.parse().unwrap();
        assert_eq!(key.to_string(), KEY);
        let note: Note = NOTE.parse().unwrap();
        assert_eq!(note.to_string(), NOTE);
        let text = note.verify(std::slice::from_ref(&key)).unwrap();

        let secret: [u8; 32] = STANDARD.decode(SECRET).unwrap()[1..].try_into().unwrap();
        let signer = Signer::new("PeterNeumann", &secret).unwrap();
        assert_eq!(signer.verifier(), &key);
        assert_eq!(signer.sign(text).unwrap().to_string(), NOTE);
        assert!(!format!("{signer:?}").contains("810a1402"), "a debug print must not show the secret");
    }

    #[test]
    fn a_changed_text_or_signature_is_refused() {
        let key: VerifierKey = KEY.parse().unwrap();
        let changed: Note = NOTE.replace("answer", "cause").parse().unwrap();
        assert_eq!(changed.verify(std::slice::from_ref(&key)), Err(NoteError::Signature("PeterNeumann".to_owned())));
        let mut short: Note = NOTE.parse().unwrap();
        short.signatures[0].signature.pop();
        assert!(matches!(short.verify(&[key]), Err(NoteError::Signature(_))));
    }

    #[test]
    fn unknown_signatures_are_passed_over_and_one_known_is_needed() {
        let signer = Signer::new("ours", &[7; 32]).unwrap();
        let other = Signer::new("ours", &[8; 32]).unwrap();
        let mut note = other.sign("text\n").unwrap();
        assert!(matches!(note.verify(&[signer.verifier().clone()]), Err(NoteError::Unsigned(_))));
        assert!(matches!(note.verify(&[]), Err(NoteError::Unsigned(_))));
        note.signatures.extend(signer.sign("text\n").unwrap().signatures);
        assert_eq!(note.verify(&[signer.verifier().clone()]).unwrap(), "text\n");
    }

    #[test]
    fn other_forms_are_refused() {
        for text in [
            "",
            "text\n",
            "text\n\n",
            "text\n\nx\n",
            "text\n\n— a\n",
            "text\n\n— a AAAA\n",
            "te\txt\n\n— a AAAAAAA=\n",
            "text\n\n— a+b AAAAAAA=\n",
            "text\n\n— a AAAAAAA=",
        ] {
            assert!(text.parse::<Note>().is_err(), "{text:?}");
        }
        assert!("text\n\n— a AAAAAAA=\n".parse::<Note>().is_ok());
        for key in ["", "a+b", "PeterNeumann+c74f20a4+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW", "a+00000000+AQ=="]
        {
            assert!(key.parse::<VerifierKey>().is_err(), "{key}");
        }
        assert!(Signer::new("two words", &[1; 32]).is_err());
        assert!(Signer::new("a", &[1; 32]).unwrap().sign("no newline").is_err());
    }
}
