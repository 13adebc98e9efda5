//! Nonces out, proofs in, tokens out. All of it lives in memory and dies with the process: the server's word.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::net::{IpAddr, Ipv6Addr};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use model::{ProxyName, Span, Timestamp};

use crate::pass::{Bearer, PassError, Passes};
use crate::token::TokenHash;
use crate::{
    CertificateAsk, Directory, Nonce, Proof, ProofError, Raised, Statement, Subject, Token, TokenError, TokenInfo,
};

/// How much may be outstanding, and how long it lives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// A nonce must be used within this time.
    pub nonce_life: Span,
    /// The most unused nonces of one address (of one /64 in IPv6); the oldest gives way.
    pub nonces_per_source: usize,
    /// The most unused nonces in all; the address with the most gives way.
    pub nonces: usize,
    /// A token lives this long.
    pub token_life: Span,
    /// The most tokens of one subject; the oldest gives way.
    pub tokens_per_subject: usize,
    /// A pass lives this long at most; it dies with its connection.
    pub pass_life: Span,
    /// The most passes of one person; the oldest gives way.
    pub passes_per_person: usize,
}

impl Default for Limits {
    /// Nonces for a minute, 64 of an address and 65,536 in all; tokens for 8 hours, 32 of a subject; passes for half an
    /// hour, 256 of a person.
    fn default() -> Self {
        Self {
            nonce_life: Span::from_seconds(60),
            nonces_per_source: 64,
            nonces: 65_536,
            token_life: Span::from_hours(8),
            tokens_per_subject: 32,
            pass_life: Span::from_minutes(30),
            passes_per_person: 256,
        }
    }
}

/// A nonce on its way to a client.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Challenge {
    /// What must be in the signed statement.
    pub nonce: Nonce,
    /// From this moment on it is worth nothing.
    pub expires: Timestamp,
}

/// What a client sends to log in.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LoginAttempt {
    /// Who they say they are.
    pub subject: Subject,
    /// The nonce that they were given.
    pub nonce: Nonce,
    /// The armored SSHSIG over [`Statement::login`].
    pub signature: String,
}

/// A login that succeeded.
#[derive(Clone, Debug)]
pub struct Login {
    /// The token, to be sent once and forgotten.
    pub token: Token,
    /// What it stands for.
    pub info: Arc<TokenInfo>,
}

/// Why a login is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LoginError {
    /// The nonce was never issued, was used before, or is too old.
    #[error("the login took too long, or its nonce was used before: log in again")]
    Nonce,
    /// Nobody of that name is in the directory. It reads as [`LoginError::Key`] does, so that names cannot be tried.
    #[error("nobody of that name may log in with that key: an administrator must enter the key in the directory")]
    Unknown,
    /// The directory does not have this key for this subject.
    #[error("nobody of that name may log in with that key: an administrator must enter the key in the directory")]
    Key {
        /// The key's fingerprint, for the ledger.
        fingerprint: String,
    },
    /// The signature proves nothing.
    #[error("the login's signature is refused")]
    Proof(#[source] ProofError),
}

/// Why a proof of possession is refused.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum PossessionError {
    /// The nonce was never issued, was used before, or is too old.
    #[error("the request took too long, or its nonce was used before: ask again")]
    Nonce,
    /// Another key signed than the one to be certified.
    #[error("the signature is not by the key that is to be certified")]
    Key,
    /// The signature proves nothing.
    #[error("the proof of possession is refused")]
    Proof(#[source] ProofError),
}

/// Issues nonces, takes proofs, and issues and knows tokens.
#[derive(Debug)]
pub struct Authenticator {
    server: String,
    limits: Limits,
    nonces: Mutex<Nonces>,
    tokens: Mutex<Tokens>,
    passes: Mutex<Passes>,
}

impl Authenticator {
    /// For the server that names itself `server` in every statement.
    #[must_use]
    pub fn new(server: impl Into<String>, limits: Limits) -> Self {
        Self {
            server: server.into(),
            limits,
            nonces: Mutex::default(),
            tokens: Mutex::default(),
            passes: Mutex::default(),
        }
    }

    /// The name that statements carry.
    #[must_use]
    pub fn server(&self) -> &str {
        &self.server
    }

    /// A new nonce for a client at `source`, from 256 random bits.
    pub fn challenge(&self, source: IpAddr, random: [u8; 32], now: Timestamp) -> Challenge {
        let nonce = Nonce::from_random(random);
        let expires = now.plus(self.limits.nonce_life);
        lock(&self.nonces).add(nonce, network(source), expires, now, &self.limits);
        Challenge { nonce, expires }
    }

    /// Takes a login: the nonce is used up whatever comes of it, the signature must be by a key that `directory` has
    /// for the subject. `random` becomes the token.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn login(
        &self,
        directory: &Directory,
        attempt: &LoginAttempt,
        source: IpAddr,
        random: [u8; 32],
        now: Timestamp,
    ) -> Result<Login, LoginError> {
        if !lock(&self.nonces).take(attempt.nonce, now) {
            return Err(LoginError::Nonce);
        }
        let statement = Statement::login(&self.server, &attempt.subject, &attempt.nonce);
        let proof = Proof::verify(&attempt.signature, &statement).map_err(LoginError::Proof)?;
        if !directory.knows(&attempt.subject) {
            return Err(LoginError::Unknown);
        }
        if directory.owner(proof.key()) != Some(&attempt.subject) {
            return Err(LoginError::Key { fingerprint: proof.fingerprint() });
        }
        let token = Token::from_random(random);
        let info = Arc::new(TokenInfo {
            subject: attempt.subject.clone(),
            key: proof.fingerprint(),
            touch: proof.touched(),
            verification: proof.verified_person(),
            address: source,
            issued: now,
            expires: now.plus(self.limits.token_life),
            raised: None,
            through: None,
        });
        lock(&self.tokens).add(token.hash(), Arc::clone(&info), self.limits.tokens_per_subject, now);
        Ok(Login { token, info })
    }

    /// Takes a proof that the asker holds the key that is to be certified. The nonce in `ask` is used up.
    ///
    /// # Errors
    /// Why it is refused. `ask.server` is ignored in favour of this server's own name.
    pub fn possession(
        &self,
        ask: &CertificateAsk<'_>,
        signature: &str,
        now: Timestamp,
    ) -> Result<Proof, PossessionError> {
        if !lock(&self.nonces).take(ask.nonce, now) {
            return Err(PossessionError::Nonce);
        }
        let statement = Statement::certificate(&CertificateAsk { server: &self.server, ..*ask });
        let proof = Proof::verify(signature, &statement).map_err(PossessionError::Proof)?;
        if proof.key() != ask.key.key_data() {
            return Err(PossessionError::Key);
        }
        Ok(proof)
    }

    /// Whose token this is.
    ///
    /// The look-up goes by the SHA-256 of the token: how long it takes can depend on the hash alone, and no hash
    /// leads back to 256 random bits.
    ///
    /// # Errors
    /// Why it is refused.
    pub fn authenticate(&self, token: &str, now: Timestamp) -> Result<Arc<TokenInfo>, TokenError> {
        let hash = Token::from_text(token)?.hash();
        let mut tokens = lock(&self.tokens);
        let info = tokens.by_hash.get(&hash).cloned().ok_or(TokenError::Unknown)?;
        if now >= info.expires {
            tokens.remove(&hash);
            return Err(TokenError::Expired);
        }
        Ok(info)
    }

    /// Gives a pass for a log-in that was verified. `random` becomes its token.
    ///
    /// # Errors
    /// [`PassError::Spent`].
    pub fn pass(&self, shown: Bearer, random: [u8; 32], now: Timestamp) -> Result<Login, PassError> {
        lock(&self.passes).add(shown, random, &self.limits, now)
    }

    /// Whose pass this is, when that proxy shows it.
    ///
    /// # Errors
    /// Why it is refused. To another proxy it is one that does not exist.
    pub fn authenticate_pass(
        &self,
        token: &str,
        proxy: &ProxyName,
        now: Timestamp,
    ) -> Result<Arc<TokenInfo>, TokenError> {
        lock(&self.passes).find(token, proxy, now)
    }

    /// Makes more of a token, or of a pass, that a one-time code was given with. `None`: there is none.
    ///
    /// A token is exchanged for a new one, `random`, which is the answer's; a copy of the old one that somebody else has
    /// is worth nothing from then on. A pass is good for its own proxy only, and stays.
    pub fn raise(&self, token: &str, raised: &Raised, random: [u8; 32]) -> Option<(Arc<TokenInfo>, Option<Token>)> {
        let hash = Token::from_text(token).ok()?.hash();
        let new = Token::from_random(random);
        if let Some(info) = lock(&self.tokens).exchange(&hash, new.hash(), raised) {
            return Some((info, Some(new)));
        }
        lock(&self.passes).raise(token, raised).map(|info| (info, None))
    }

    /// Ends one pass: its connection is closed. Whether there was one.
    pub fn revoke_pass(&self, token: &str) -> bool {
        lock(&self.passes).remove(token)
    }

    /// Ends one token (a logout). Whether there was one.
    pub fn revoke(&self, token: &str) -> bool {
        Token::from_text(token).is_ok_and(|token| lock(&self.tokens).remove(&token.hash()).is_some())
    }

    /// Ends every token of a subject; how many.
    pub fn revoke_subject(&self, subject: &Subject) -> usize {
        self.retain(|info| info.subject != *subject)
    }

    /// Ends every token; how many.
    pub fn revoke_all(&self) -> usize {
        self.retain(|_| false)
    }

    /// Ends every token whose key `directory` no longer has for its subject; how many. To be called when a directory
    /// was loaded: who leaves it is out at once.
    pub fn reconcile(&self, directory: &Directory) -> usize {
        self.retain(|info| directory.has_fingerprint(&info.subject, &info.key))
    }

    /// Ends the tokens and passes for which `keep` says no; how many.
    pub fn retain(&self, keep: impl Fn(&TokenInfo) -> bool) -> usize {
        lock(&self.tokens).retain(&keep) + lock(&self.passes).retain(&keep)
    }

    /// Forgets what has expired. Calling it now and then keeps the memory small; nothing else depends on it.
    pub fn sweep(&self, now: Timestamp) {
        lock(&self.nonces).expire(now);
        self.retain(|info| now < info.expires);
        lock(&self.passes).sweep(now);
    }

    /// How many tokens are in force, expired ones included until they are swept.
    #[must_use]
    pub fn tokens(&self) -> usize {
        lock(&self.tokens).by_hash.len()
    }

    /// How many nonces are outstanding, expired ones included until they are swept.
    #[must_use]
    pub fn nonces(&self) -> usize {
        lock(&self.nonces).issued.len()
    }
}

/// Nonces by value, by age within an address, and addresses by how many they have.
#[derive(Debug, Default)]
struct Nonces {
    issued: HashMap<Nonce, Issued>,
    by_source: HashMap<IpAddr, BTreeMap<u64, Nonce>>,
    fullest: BTreeSet<(usize, IpAddr)>,
    /// By number, which is by age, because all live equally long.
    by_age: BTreeMap<u64, Nonce>,
    next: u64,
}

#[derive(Clone, Copy, Debug)]
struct Issued {
    source: IpAddr,
    number: u64,
    expires: Timestamp,
}

impl Nonces {
    fn add(&mut self, nonce: Nonce, source: IpAddr, expires: Timestamp, now: Timestamp, limits: &Limits) {
        self.expire(now);
        if self.by_source.get(&source).is_some_and(|own| own.len() >= limits.nonces_per_source) {
            self.drop_oldest_of(source);
        }
        if self.issued.len() >= limits.nonces
            && let Some(&(_, fullest)) = self.fullest.last()
        {
            self.drop_oldest_of(fullest);
        }
        let number = self.next;
        self.next += 1;
        self.issued.insert(nonce, Issued { source, number, expires });
        self.by_age.insert(number, nonce);
        let own = self.by_source.entry(source).or_default();
        self.fullest.remove(&(own.len(), source));
        own.insert(number, nonce);
        self.fullest.insert((own.len(), source));
    }

    /// Uses a nonce up; whether it was good.
    fn take(&mut self, nonce: Nonce, now: Timestamp) -> bool {
        self.remove(nonce).is_some_and(|issued| now < issued.expires)
    }

    fn remove(&mut self, nonce: Nonce) -> Option<Issued> {
        let issued = self.issued.remove(&nonce)?;
        self.by_age.remove(&issued.number);
        if let Some(own) = self.by_source.get_mut(&issued.source) {
            self.fullest.remove(&(own.len(), issued.source));
            own.remove(&issued.number);
            if own.is_empty() {
                self.by_source.remove(&issued.source);
            } else {
                self.fullest.insert((own.len(), issued.source));
            }
        }
        Some(issued)
    }

    fn drop_oldest_of(&mut self, source: IpAddr) {
        let oldest = self.by_source.get(&source).and_then(|own| own.values().next().copied());
        if let Some(nonce) = oldest {
            self.remove(nonce);
        }
    }

    fn expire(&mut self, now: Timestamp) {
        while let Some((_, &oldest)) = self.by_age.first_key_value()
            && self.issued.get(&oldest).is_none_or(|issued| issued.expires <= now)
        {
            self.by_age.pop_first();
            self.remove(oldest);
        }
    }
}

#[derive(Debug, Default)]
pub(crate) struct Tokens {
    by_hash: HashMap<TokenHash, Arc<TokenInfo>>,
    by_subject: HashMap<Subject, Vec<TokenHash>>,
}

impl Tokens {
    pub(crate) fn get(&self, hash: &TokenHash) -> Option<&Arc<TokenInfo>> {
        self.by_hash.get(hash)
    }

    pub(crate) fn add(&mut self, hash: TokenHash, info: Arc<TokenInfo>, per_subject: usize, now: Timestamp) {
        let own = self.by_subject.entry(info.subject.clone()).or_default();
        // In order of their making; the expired and, over the limit, the oldest go.
        own.retain(|hash| self.by_hash.get(hash).is_some_and(|known| now < known.expires));
        let surplus = (own.len() + 1).saturating_sub(per_subject.max(1));
        let dropped: Vec<_> = own.drain(..surplus.min(own.len())).collect();
        own.push(hash);
        for hash in dropped {
            self.by_hash.remove(&hash);
        }
        self.by_hash.insert(hash, info);
    }

    pub(crate) fn raise(&mut self, hash: &TokenHash, raised: &Raised) -> Option<Arc<TokenInfo>> {
        let known = self.by_hash.get_mut(hash)?;
        *known = Arc::new(TokenInfo { raised: Some(raised.clone()), ..TokenInfo::clone(known) });
        Some(Arc::clone(known))
    }

    /// The same under another name.
    pub(crate) fn exchange(&mut self, old: &TokenHash, new: TokenHash, raised: &Raised) -> Option<Arc<TokenInfo>> {
        let known = self.remove(old)?;
        let info = Arc::new(TokenInfo { raised: Some(raised.clone()), ..TokenInfo::clone(&known) });
        self.by_subject.entry(info.subject.clone()).or_default().push(new);
        self.by_hash.insert(new, Arc::clone(&info));
        Some(info)
    }

    pub(crate) fn remove(&mut self, hash: &TokenHash) -> Option<Arc<TokenInfo>> {
        let info = self.by_hash.remove(hash)?;
        if let Some(own) = self.by_subject.get_mut(&info.subject) {
            own.retain(|known| known != hash);
            if own.is_empty() {
                self.by_subject.remove(&info.subject);
            }
        }
        Some(info)
    }

    pub(crate) fn retain(&mut self, keep: impl Fn(&TokenInfo) -> bool) -> usize {
        let before = self.by_hash.len();
        self.by_hash.retain(|_, info| keep(info));
        let by_hash = &self.by_hash;
        self.by_subject.retain(|_, own| {
            own.retain(|hash| by_hash.contains_key(hash));
            !own.is_empty()
        });
        before - self.by_hash.len()
    }
}

/// One client is one IPv4 address or one IPv6 /64: whoever has one address of a /64 has all of them.
fn network(address: IpAddr) -> IpAddr {
    match address.to_canonical() {
        address @ IpAddr::V4(_) => address,
        IpAddr::V6(address) => IpAddr::V6(Ipv6Addr::from_bits(address.to_bits() >> 64 << 64)),
    }
}

/// A panic elsewhere under the lock leaves maps that are at worst too small, which refuses and never permits.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
