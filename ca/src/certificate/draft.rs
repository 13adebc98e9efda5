//! A certificate before it is signed, as bytes and as fields.

use ssh_key::Algorithm;
use ssh_key::certificate::CertType;
use ssh_key::encoding::{Decode, Encode, Reader};
use ssh_key::public::KeyData;

/// Every field of a certificate up to its signature, in the order of PROTOCOL.certkeys, with nothing assumed of any.
///
/// It can say what no certificate of ours may say; that is the linter's to refuse.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Draft {
    /// Random bytes against attacks by collision.
    pub nonce: Vec<u8>,
    /// The key to be certified.
    pub key: KeyData,
    /// Its serial.
    pub serial: u64,
    /// For a user or for a host.
    pub kind: CertType,
    /// The key id.
    pub key_id: String,
    /// The principals.
    pub principals: Vec<String>,
    /// Seconds since the epoch, inclusive.
    pub valid_after: u64,
    /// Seconds since the epoch, exclusive.
    pub valid_before: u64,
    /// Name and value, in the order of the wire.
    pub critical_options: Vec<(String, String)>,
    /// Name and value, in the order of the wire.
    pub extensions: Vec<(String, String)>,
    /// The CA's public key.
    pub ca: KeyData,
}

/// A draft that cannot be written, or bytes that are none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the certificate's bytes cannot be {what}")]
pub struct DraftError {
    what: &'static str,
}

impl Draft {
    /// The bytes that the CA signs.
    ///
    /// # Errors
    /// A field is longer than the wire can say, or the key is of a type that cannot be certified.
    pub fn encode(&self) -> Result<Vec<u8>, DraftError> {
        self.write().map_err(|_| DraftError { what: "written" })
    }

    /// Reads the bytes that a CA signs.
    ///
    /// # Errors
    /// They are no certificate without a signature, and nothing else.
    pub fn decode(bytes: &[u8]) -> Result<Self, DraftError> {
        let mut rest = bytes;
        let draft = Self::read(&mut rest).map_err(|_| DraftError { what: "read" })?;
        if rest.is_empty() { Ok(draft) } else { Err(DraftError { what: "read" }) }
    }

    fn write(&self) -> Result<Vec<u8>, ssh_key::Error> {
        let mut out = Vec::with_capacity(1024);
        self.key.algorithm().to_certificate_type().encode(&mut out)?;
        self.nonce.encode(&mut out)?;
        // The key's fields follow without the name of its type, which the certificate's own type says already.
        let key = self.key.encode_vec()?;
        let mut fields = key.as_slice();
        Vec::<u8>::decode(&mut fields)?;
        out.extend_from_slice(fields);
        self.serial.encode(&mut out)?;
        self.kind.encode(&mut out)?;
        self.key_id.encode(&mut out)?;
        self.principals.encode(&mut out)?;
        self.valid_after.encode(&mut out)?;
        self.valid_before.encode(&mut out)?;
        write_options(&self.critical_options)?.encode(&mut out)?;
        write_options(&self.extensions)?.encode(&mut out)?;
        Vec::<u8>::new().encode(&mut out)?;
        self.ca.encode_vec()?.encode(&mut out)?;
        Ok(out)
    }

    fn read(rest: &mut &[u8]) -> Result<Self, ssh_key::Error> {
        let algorithm = Algorithm::new_certificate(&String::decode(rest)?)?;
        let draft = Self {
            nonce: Vec::decode(rest)?,
            key: KeyData::decode_as(rest, algorithm)?,
            serial: u64::decode(rest)?,
            kind: CertType::decode(rest)?,
            key_id: String::decode(rest)?,
            principals: Vec::decode(rest)?,
            valid_after: u64::decode(rest)?,
            valid_before: u64::decode(rest)?,
            critical_options: read_options(rest)?,
            extensions: read_options(rest)?,
            ca: {
                if !Vec::<u8>::decode(rest)?.is_empty() {
                    return Err(ssh_key::Error::FormatEncoding);
                }
                let blob = Vec::<u8>::decode(rest)?;
                identity::public_key_from_blob(&blob).map_err(|_| ssh_key::Error::FormatEncoding)?
            },
        };
        Ok(draft)
    }
}

/// Name, and the value as a string within a string; a flag's value is an empty outer string.
fn write_options(options: &[(String, String)]) -> Result<Vec<u8>, ssh_key::Error> {
    let mut out = Vec::new();
    for (name, value) in options {
        name.encode(&mut out)?;
        let inner = if value.is_empty() { Vec::new() } else { value.encode_vec()? };
        inner.encode(&mut out)?;
    }
    Ok(out)
}

fn read_options(rest: &mut &[u8]) -> Result<Vec<(String, String)>, ssh_key::Error> {
    let block = Vec::<u8>::decode(rest)?;
    let mut block = block.as_slice();
    let mut options = Vec::new();
    while !block.is_finished() {
        let name = String::decode(&mut block)?;
        let outer = Vec::<u8>::decode(&mut block)?;
        let mut outer = outer.as_slice();
        let value = if outer.is_finished() { String::new() } else { String::decode(&mut outer)? };
        if !outer.is_finished() {
            return Err(ssh_key::Error::FormatEncoding);
        }
        options.push((name, value));
    }
    Ok(options)
}
