//! What a client signs to log in with a key (RFC 4252, section 7): the session identifier of the connection, and its
//! request up to the signature.

use ssh_key::encoding::Encode;

/// SSH_MSG_USERAUTH_REQUEST (RFC 4252, section 6).
const USERAUTH_REQUEST: u8 = 50;

/// Whether a session identifier can have so many bytes: SHA-256 is the shortest hash of a key exchange that is offered,
/// SHA-512 the longest that there is.
#[must_use]
pub fn is_session_id(bytes: &[u8]) -> bool {
    (32..=64).contains(&bytes.len())
}

/// The bytes that are signed to log in as `user` to the connection of this session identifier, for the service
/// `ssh-connection`, with the key or certificate in `blob` under the name `algorithm`. Every part has its length in front
/// of it, so none can pass for another.
///
/// # Errors
/// A part is too long to have a length.
pub fn publickey_request(
    session_id: &[u8],
    user: &str,
    algorithm: &str,
    blob: &[u8],
) -> Result<Vec<u8>, ssh_key::Error> {
    let mut bytes = Vec::new();
    session_id.encode(&mut bytes)?;
    USERAUTH_REQUEST.encode(&mut bytes)?;
    user.encode(&mut bytes)?;
    "ssh-connection".encode(&mut bytes)?;
    "publickey".encode(&mut bytes)?;
    1u8.encode(&mut bytes)?;
    algorithm.encode(&mut bytes)?;
    blob.encode(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_request_is_as_rfc_4252_has_it() {
        let bytes = publickey_request(&[7; 32], "root", "ssh-ed25519", b"blob").unwrap();
        let mut expected = vec![0, 0, 0, 32];
        expected.extend([7; 32]);
        expected.extend(b"\x32\0\0\0\x04root\0\0\0\x0essh-connection\0\0\0\x09publickey\x01");
        expected.extend(b"\0\0\0\x0bssh-ed25519\0\0\0\x04blob");
        assert_eq!(bytes, expected);
    }

    #[test]
    fn a_session_identifier_is_a_hash() {
        for (length, good) in [(0, false), (20, false), (31, false), (32, true), (48, true), (64, true), (65, false)] {
            assert_eq!(is_session_id(&vec![0; length]), good, "{length}");
        }
    }
}
