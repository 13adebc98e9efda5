//! Log a session in to a target that knows no certificates: lint → record the intent → sign → compare → hand out.
//!
//! What is signed is put together here, from the session's own login and the key of its own target. Of what the proxy says
//! nothing goes into it but the session identifier of its connection, behind its length.

use std::sync::Arc;

use access::{Refusal, State, TargetKey, UseTargetKey};
use model::{Login, SessionId, TargetName, Timestamp};
use sha2::{Digest as _, Sha256};
use signature::Verifier as _;
use ssh_key::{Algorithm, PublicKey};

use super::engine::blocking;
use super::target_key::public_half;
use super::{App, AppError, Caller};
use crate::keys::{CaSigner as _, KeysError, TargetKeys};

impl App {
    /// The signature that logs a session's connection in to its target, in its wire form. One for each session.
    ///
    /// # Errors
    /// The caller is not the session's proxy, asks for another login, too late or a second time; the session or its grant
    /// does not go on; or its target takes certificates or has no key.
    pub async fn sign_for_target(
        &self,
        caller: &Caller,
        id: &SessionId,
        login: &str,
        session_id: &[u8],
    ) -> Result<Vec<u8>, AppError> {
        let proxy = caller.proxy()?;
        if !identity::is_session_id(session_id) {
            let sentence = format!("a session identifier has 32 to 64 bytes, not {}", session_id.len());
            return Err(AppError::Invalid(sentence));
        }
        let login: Login = login
            .parse()
            .map_err(|error: model::NameError| AppError::Invalid(format!("the login is none: {error}")))?;
        let connection = hex::encode(Sha256::digest(session_id));
        let build = |state: &State, _: Timestamp| {
            let takes_key = state.session(id).is_some_and(|session| self.takes_key(&session.target) == Some(true));
            let (session, login, connection) = (id.clone(), login.clone(), connection.clone());
            Ok(UseTargetKey { session, login, connection, takes_key }.into())
        };
        let key = |state: &State, _: &_| state.session(id).and_then(|of| state.target_key(&of.target)).cloned();
        let key = match self.engine.execute(&caller.actor(), build, key).await {
            Ok(key) => key.ok_or_else(|| AppError::Internal("a target key was used that is not there".to_owned()))?,
            Err(error) => {
                if let AppError::Refused(refusal) = &error {
                    let reason = format!("the target's key does not sign: {}", refusal.sentence);
                    self.note_in_session(proxy, id, reason).await;
                }
                return Err(error);
            }
        };
        let (keys, session_id) = (Arc::clone(&self.target_keys), session_id.to_vec());
        blocking(move || sign(&keys, &key, &login, &session_id)).await
    }

    /// Unlocks a key ahead of its use: that takes a tenth of a second, and the proxy dials meanwhile.
    pub(super) fn warm_target_key(&self, key: &TargetKey) {
        let (keys, public) = (Arc::clone(&self.target_keys), public_half(key));
        // What is wrong with it is said when it is to sign.
        tokio::task::spawn_blocking(move || public.map(|public| keys.open(&public).map(drop)));
    }
}

/// Signs the log-in, and holds what was signed against what was meant.
fn sign(keys: &TargetKeys, key: &TargetKey, login: &Login, session_id: &[u8]) -> Result<Vec<u8>, AppError> {
    let public = public_half(key)?;
    let internal = |error: ssh_key::Error| AppError::Internal(error.to_string());
    let blob = PublicKey::from(public.clone()).to_bytes().map_err(internal)?;
    let algorithm = Algorithm::Ed25519;
    let request = identity::publickey_request(session_id, login.as_str(), algorithm.as_str(), &blob);
    let request = request.map_err(internal)?;
    let signed = keys.open(&public).map_err(|error| unusable(&key.target, &error))?.sign(&request);
    let signature = signed.map_err(|error| AppError::Internal(error.to_string()))?;
    if signature.algorithm() != algorithm || public.verify(&request, &signature).is_err() {
        return Err(AppError::Internal(format!("the key of {} signed something else", key.target)));
    }
    Vec::try_from(signature).map_err(internal)
}

fn unusable(target: &TargetName, error: &KeysError) -> AppError {
    tracing::error!(%target, %error, "a target key cannot be used");
    let refusal = Refusal::new("target-key-unusable", format!("the key of {target} cannot be unlocked"));
    refusal.with_hint(format!("the CA's log says why; portcullis target key {target} --rotate makes another")).into()
}
