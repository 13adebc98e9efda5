//! Logs in to a target that knows no certificates. Its key is the CA's; the proxy tells the CA the session identifier of
//! its connection, and gets the one signature that logs this connection in.

use std::time::Duration;

use api::wire::SignForTarget;
use russh::Signer;
use russh::keys::agent::AgentIdentity;
use russh::keys::{HashAlg, PublicKey};
use ssh_key::encoding::{Decode, Encode};

use crate::control::{Control, ControlError};
use crate::permit::Permit;

/// SSH_MSG_USERAUTH_REQUEST (RFC 4252, section 6).
const USERAUTH_REQUEST: u8 = 50;

/// Asks the CA for the signature of one log-in.
pub(crate) struct Asks<'a> {
    pub(crate) permit: &'a Permit,
    /// The key that the target knows.
    pub(crate) key: &'a PublicKey,
    pub(crate) control: &'a dyn Control,
    /// The longest that the CA may take.
    pub(crate) patience: Duration,
}

/// Why a log-in was not signed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum NotSigned {
    #[error(transparent)]
    Refused(#[from] ControlError),
    #[error("it is not the log-in that this session may do")]
    Strange,
    #[error(transparent)]
    Broken(#[from] russh::Error),
}

impl NotSigned {
    /// What a person can do about it.
    pub(crate) fn hint(&self) -> String {
        match self {
            Self::Refused(ControlError::Refused { hint: Some(hint), .. }) => hint.clone(),
            Self::Refused(ControlError::Refused { hint: None, .. } | ControlError::Unavailable(_))
            | Self::Strange
            | Self::Broken(_) => "try again; if it lasts, the CA's log says more".to_owned(),
        }
    }
}

impl From<russh::SendError> for NotSigned {
    fn from(_: russh::SendError) -> Self {
        Self::Broken(russh::Error::SendError)
    }
}

impl Signer for Asks<'_> {
    type Error = NotSigned;

    async fn auth_sign(
        &mut self,
        _: &AgentIdentity,
        _: Option<HashAlg>,
        mut to_sign: Vec<u8>,
    ) -> Result<Vec<u8>, NotSigned> {
        let login = self.permit.destination().login.as_str();
        let session_id = session_id(&to_sign, login, self.key).ok_or(NotSigned::Strange)?;
        let ask = SignForTarget { login: login.to_owned(), session_id: hex::encode(session_id) };
        let asked = self.control.sign_for_target(self.permit.session(), &ask);
        let late = |_| ControlError::Unavailable(format!("no answer within {} s", self.patience.as_secs()));
        let signature = tokio::time::timeout(self.patience, asked).await.map_err(late)??;
        signature.as_slice().encode(&mut to_sign).map_err(|_| NotSigned::Strange)?;
        Ok(to_sign)
    }
}

/// The session identifier in what is to be signed, if all that stands behind it is the request to log in as this user with
/// this key (RFC 4252, section 7), and nothing more. The CA puts together the same bytes: were they others, its signature
/// would log nobody in.
fn session_id(to_sign: &[u8], user: &str, key: &PublicKey) -> Option<Vec<u8>> {
    let mut rest = to_sign;
    let session_id = Vec::<u8>::decode(&mut rest).ok()?;
    (rest == request(user, key)?).then_some(session_id)
}

fn request(user: &str, key: &PublicKey) -> Option<Vec<u8>> {
    let mut bytes = vec![USERAUTH_REQUEST];
    user.encode(&mut bytes).ok()?;
    "ssh-connection".encode(&mut bytes).ok()?;
    "publickey".encode(&mut bytes).ok()?;
    1u8.encode(&mut bytes).ok()?;
    key.algorithm().as_str().encode(&mut bytes).ok()?;
    key.to_bytes().ok()?.as_slice().encode(&mut bytes).ok()?;
    Some(bytes)
}

#[cfg(test)]
mod tests {
    use ssh_key::PrivateKey;
    use ssh_key::private::{Ed25519Keypair, KeypairData};

    use super::*;

    fn key(seed: u8) -> PublicKey {
        let pair = KeypairData::Ed25519(Ed25519Keypair::from_seed(&[seed; 32]));
        PrivateKey::new(pair, "").unwrap().public_key().clone()
    }

    fn to_sign(user: &str, key: &PublicKey) -> Vec<u8> {
        let mut bytes = Vec::new();
        [7_u8; 32].as_slice().encode(&mut bytes).unwrap();
        bytes.extend(request(user, key).unwrap());
        bytes
    }

    #[test]
    fn a_log_in_is_read_whole_or_not_at_all() {
        let good = to_sign("root", &key(1));
        assert_eq!(session_id(&good, "root", &key(1)), Some(vec![7; 32]));
        assert_eq!(session_id(&good, "admin", &key(1)), None);
        assert_eq!(session_id(&good, "root", &key(2)), None);
        assert_eq!(session_id(&[good.as_slice(), b"\0"].concat(), "root", &key(1)), None);
        for end in 0..good.len() {
            assert_eq!(session_id(&good[..end], "root", &key(1)), None, "{end}");
        }
        for at in 36..good.len() {
            let mut other = good.clone();
            other[at] ^= 1;
            assert_eq!(session_id(&other, "root", &key(1)), None, "{at}");
        }
        // Another kind of request, or another use of the key.
        let text = String::from_utf8_lossy(&good).replace("publickey", "hostbased");
        assert_eq!(session_id(text.as_bytes(), "root", &key(1)), None);
    }
}
