//! Log in and out; whose a token is.

use std::net::IpAddr;
use std::sync::Arc;

use access::Note;
use identity::{Challenge, LoginAttempt, LoginError, Subject, Token, TokenInfo};
use model::{Actor, Fact};

use super::factor::raised_until;
use super::{App, AppError, Caller};

/// A login that succeeded.
pub struct LoggedIn {
    /// The token, to be sent once.
    pub token: Token,
    /// What it stands for.
    pub info: Arc<TokenInfo>,
}

impl App {
    /// A single-use nonce for a client at `address`.
    pub fn challenge(&self, address: IpAddr) -> Challenge {
        self.authenticator.challenge(address, self.random(), self.engine.now())
    }

    /// The name that is part of what is signed.
    #[must_use]
    pub fn server(&self) -> &str {
        self.authenticator.server()
    }

    /// Takes a proof of identity and gives a session token for it.
    ///
    /// # Errors
    /// The proof fails; the identity is locked; or the ledger cannot take the login, and then nobody is logged in.
    pub async fn login(&self, attempt: &LoginAttempt, address: IpAddr) -> Result<LoggedIn, AppError> {
        let directory = self.directory.current();
        let login = self.authenticator.login(&directory, attempt, address, self.random(), self.engine.now());
        let login = match login {
            Ok(login) => login,
            Err(error) => return Err(self.login_refused(attempt, &error, address).await),
        };
        let Subject::Identity(identity) = &login.info.subject else {
            // Proxies log in at every start and after every break; what they do is in the ledger anyway.
            return Ok(LoggedIn { token: login.token, info: login.info });
        };
        if let Err(error) = self.notes.admit_login(&login.info.subject) {
            self.authenticator.revoke(login.token.expose());
            return Err(error);
        }
        let fact = Fact::IdentityLoggedIn {
            identity: identity.clone(),
            key: login.info.key.clone(),
            address: address.to_string(),
            touch: login.info.touch,
            presence: None,
        };
        let actor = Actor::Identity(identity.clone());
        let build = |_: &_, _| Ok(Note { fact: fact.clone(), request: None }.into());
        if let Err(error) = self.engine.execute(&actor, build, |_, _| ()).await {
            self.authenticator.revoke(login.token.expose());
            if let AppError::Refused(refusal) = &error {
                let (identity, reason) = (identity.clone(), refusal.sentence.clone());
                let fact = Fact::IdentityLoginRefused { identity, reason, address: address.to_string() };
                self.note(&attempt.subject, &Actor::System, fact, None).await;
            }
            return Err(error);
        }
        Ok(LoggedIn { token: login.token, info: login.info })
    }

    /// Ends a session token.
    pub(super) fn logout(&self, token: &str) {
        self.authenticator.revoke(token);
    }

    /// Whose token this is. Who, or whose key, left the directory is out at once; who is locked is known as such, and
    /// refused by whatever they call for.
    ///
    /// # Errors
    /// [`AppError::Unauthenticated`].
    pub fn authenticate(&self, token: &str, address: IpAddr) -> Result<Caller, AppError> {
        // The clock that the token was made by: one that never goes back.
        let (info, locked, raised) = self.engine.peek(|state, now| {
            let info = self.authenticator.authenticate(token, now).map_err(|_| AppError::Unauthenticated)?;
            let locked = info.subject.identity().and_then(|name| state.check_unlocked(name, now).err());
            let raised = raised_until(state, &info, now);
            Ok::<_, AppError>((info, locked, raised))
        })?;
        if !self.directory.current().has_fingerprint(&info.subject, &info.key) {
            self.authenticator.revoke(token);
            return Err(AppError::Unauthenticated);
        }
        Ok(Caller::new(info, address, locked).raised(raised))
    }

    /// The caller's groups.
    #[must_use]
    pub fn groups(&self, caller: &Caller) -> Vec<model::GroupName> {
        let rules = self.rules();
        caller.subject().identity().map(|name| rules.groups(name).iter().cloned().collect()).unwrap_or_default()
    }

    async fn login_refused(&self, attempt: &LoginAttempt, error: &LoginError, address: IpAddr) -> AppError {
        let mut reason = error.to_string();
        if let LoginError::Proof(source) = error {
            reason = format!("{reason}: {source}");
        }
        let known = self.directory.current().knows(&attempt.subject);
        // A stale nonce is a slow person, not an attack, and anybody could fill the ledger with them.
        let worth = match error {
            LoginError::Nonce | LoginError::Unknown => false,
            LoginError::Key { .. } | LoginError::Proof(_) => true,
        };
        if let (Subject::Identity(identity), true, true) = (&attempt.subject, known, worth) {
            let fact = Fact::IdentityLoginRefused {
                identity: identity.clone(),
                reason: match error {
                    LoginError::Key { fingerprint } => format!("the directory does not have the key {fingerprint}"),
                    LoginError::Nonce | LoginError::Unknown | LoginError::Proof(_) => reason.clone(),
                },
                address: address.to_string(),
            };
            self.note(&attempt.subject, &Actor::System, fact, None).await;
        }
        AppError::LoginRefused(reason)
    }
}
