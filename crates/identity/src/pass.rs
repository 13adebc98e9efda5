//! Passes: what the log-in of a person to a proxy's connection buys. A pass is a token that only that proxy can use,
//! for what the application lets it do, and one log-in buys one.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;

use model::{IdentityName, ProxyName, Timestamp};

use crate::Subject;
use crate::authenticator::{Limits, Login, Tokens};
use crate::token::{Raised, Through, Token, TokenError, TokenInfo};

/// Somebody whose log-in to a proxy's connection was verified.
#[derive(Clone, Debug)]
pub struct Bearer {
    /// Who.
    pub identity: IdentityName,
    /// SHA-256 fingerprint of the key that logged in, or that bought the certificate which did.
    pub key: String,
    /// Whether a security key had verified its person for it.
    pub verification: bool,
    /// From where, as the proxy says.
    pub address: IpAddr,
    /// Through which proxy, and how.
    pub through: Through,
}

/// Why there is no pass.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PassError {
    /// The log-in has bought one already.
    #[error("this log-in has bought a pass already, and buys one only")]
    Spent,
}

/// The passes in force.
#[derive(Debug, Default)]
pub(crate) struct Passes {
    tokens: Tokens,
    /// The log-ins that bought one, by the SHA-256 of their connection, until their pass would have expired: by then
    /// the ledger has long said so.
    bought: HashMap<String, Timestamp>,
}

impl Passes {
    pub(crate) fn add(
        &mut self,
        shown: Bearer,
        random: [u8; 32],
        limits: &Limits,
        now: Timestamp,
    ) -> Result<Login, PassError> {
        let Bearer { identity, key, verification, address, through } = shown;
        let expires = now.plus(limits.pass_life);
        if self.bought.contains_key(&through.presence.sha256) {
            return Err(PassError::Spent);
        }
        self.bought.insert(through.presence.sha256.clone(), expires);
        let token = Token::from_random(random);
        let info = Arc::new(TokenInfo {
            subject: Subject::Identity(identity),
            key,
            touch: through.presence.touch,
            verification,
            address,
            issued: now,
            expires,
            raised: None,
            through: Some(through),
        });
        self.tokens.add(token.hash(), Arc::clone(&info), limits.passes_per_person, now);
        Ok(Login { token, info })
    }

    pub(crate) fn find(
        &mut self,
        token: &str,
        proxy: &ProxyName,
        now: Timestamp,
    ) -> Result<Arc<TokenInfo>, TokenError> {
        let hash = Token::from_text(token)?.hash();
        let info = self.tokens.get(&hash).cloned().ok_or(TokenError::Unknown)?;
        if info.through.as_ref().is_none_or(|through| through.proxy != *proxy) {
            return Err(TokenError::Unknown);
        }
        if now >= info.expires {
            self.tokens.remove(&hash);
            return Err(TokenError::Expired);
        }
        Ok(info)
    }

    pub(crate) fn raise(&mut self, token: &str, raised: &Raised) -> Option<Arc<TokenInfo>> {
        self.tokens.raise(&Token::from_text(token).ok()?.hash(), raised)
    }

    pub(crate) fn remove(&mut self, token: &str) -> bool {
        Token::from_text(token).is_ok_and(|token| self.tokens.remove(&token.hash()).is_some())
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&TokenInfo) -> bool) -> usize {
        self.tokens.retain(keep)
    }

    pub(crate) fn sweep(&mut self, now: Timestamp) {
        self.bought.retain(|_, until| now < *until);
    }
}

#[cfg(test)]
mod tests {
    use model::Presence;

    use super::*;

    fn bearer(connection: &str) -> Bearer {
        let presence = Presence {
            sha256: connection.to_owned(),
            certificate: None,
            key: Some("SHA256:k".to_owned()),
            touch: false,
            totp: false,
        };
        Bearer {
            identity: "alice".parse().unwrap(),
            key: "SHA256:k".to_owned(),
            verification: false,
            address: "192.0.2.7".parse().unwrap(),
            through: Through { proxy: "proxy1".parse().unwrap(), user: "root+web1".to_owned(), presence },
        }
    }

    #[test]
    fn one_log_in_buys_one_pass_and_only_its_proxy_can_use_it() {
        let (mut passes, limits) = (Passes::default(), Limits::default());
        let now = Timestamp::from_seconds(1_000);
        let (own, other) = ("proxy1".parse().unwrap(), "proxy2".parse().unwrap());
        let pass = passes.add(bearer("one"), [1; 32], &limits, now).unwrap();
        assert_eq!(passes.add(bearer("one"), [2; 32], &limits, now).unwrap_err(), PassError::Spent);
        assert_eq!(passes.find(pass.token.expose(), &own, now).unwrap(), pass.info);
        assert_eq!(passes.find(pass.token.expose(), &other, now), Err(TokenError::Unknown));
        assert!(passes.remove(pass.token.expose()));
        assert_eq!(passes.find(pass.token.expose(), &own, now), Err(TokenError::Unknown));
        assert_eq!(passes.add(bearer("one"), [3; 32], &limits, now).unwrap_err(), PassError::Spent, "still");
        let pass = passes.add(bearer("two"), [4; 32], &limits, now).unwrap();
        let late = now.plus(limits.pass_life);
        assert_eq!(passes.find(pass.token.expose(), &own, late), Err(TokenError::Expired));
        assert_eq!(passes.find(pass.token.expose(), &own, now), Err(TokenError::Unknown), "and never again");
    }

    #[test]
    fn the_oldest_pass_of_a_person_gives_way() {
        let limits = Limits { passes_per_person: 2, ..Limits::default() };
        let (mut passes, now, own) = (Passes::default(), Timestamp::from_seconds(1_000), "proxy1".parse().unwrap());
        let bought: Vec<Login> =
            (0..3_u8).map(|at| passes.add(bearer(&at.to_string()), [at; 32], &limits, now).unwrap()).collect();
        let known: Vec<bool> = bought.iter().map(|pass| passes.find(pass.token.expose(), &own, now).is_ok()).collect();
        assert_eq!(known, [false, true, true]);
    }
}
