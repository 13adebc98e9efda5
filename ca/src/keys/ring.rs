//! The keys of the three CAs, of which each may have a second one while it takes the place of the first.
//!
//! Which of two signs is the ledger's word and not that of their files: so nothing is renamed when another key begins to
//! sign, and no crash leaves it open which one does. Only once the first is retired does the second take its file.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use identity::files;
use model::Authority;
use ssh_key::public::KeyData;
use store::Entropy;

use super::file::{Kind, SealedKey};
use super::{CaSigner as _, FRONT_CA, HOST_CA, Keys, KeysError, USER_CA, make};

/// The keys of the CAs.
#[derive(Debug)]
pub(super) struct Ring {
    user: Pair,
    host: Pair,
    front: Pair,
}

#[derive(Debug)]
struct Pair {
    first: Arc<SealedKey>,
    second: Option<Arc<SealedKey>>,
}

impl Ring {
    pub(super) fn new(user: SealedKey, host: SealedKey, front: SealedKey) -> Self {
        let pair = |key| Pair { first: Arc::new(key), second: None };
        Self { user: pair(user), host: pair(host), front: pair(front) }
    }

    pub(super) fn add(&mut self, ca: Authority, key: Arc<SealedKey>) {
        self.pair_mut(ca).second = Some(key);
    }

    const fn pair(&self, ca: Authority) -> &Pair {
        match ca {
            Authority::User => &self.user,
            Authority::Host => &self.host,
            Authority::Front => &self.front,
        }
    }

    const fn pair_mut(&mut self, ca: Authority) -> &mut Pair {
        match ca {
            Authority::User => &mut self.user,
            Authority::Host => &mut self.host,
            Authority::Front => &mut self.front,
        }
    }

    /// Every key by its file.
    pub(super) fn named(&self) -> Vec<(&'static str, KeyData)> {
        let of = |ca| {
            let pair = self.pair(ca);
            let second = pair.second.as_ref().map(|key| (next_name(ca), key.public_key().clone()));
            [Some((name(ca), pair.first.public_key().clone())), second].into_iter().flatten()
        };
        Authority::ALL.into_iter().flat_map(of).collect()
    }
}

impl Keys {
    /// The key that was there first.
    pub(super) fn first(&self, ca: Authority) -> Arc<SealedKey> {
        Arc::clone(&self.ring().pair(ca).first)
    }

    /// Fingerprint of the key that was there first: the one that signs where the ledger says nothing.
    #[must_use]
    pub fn first_of(&self, ca: Authority) -> String {
        self.first(ca).fingerprint()
    }

    /// The key of a CA with this fingerprint, if it is here.
    #[must_use]
    pub fn of_ca(&self, ca: Authority, fingerprint: &str) -> Option<Arc<SealedKey>> {
        let ring = self.ring();
        let pair = ring.pair(ca);
        let mut held = [Some(&pair.first), pair.second.as_ref()].into_iter().flatten();
        held.find(|key| key.fingerprint() == fingerprint).cloned()
    }

    /// Makes another key for a CA and seals it beside the one that it has. What is left there of an earlier attempt, which
    /// nobody was told of, is destroyed.
    ///
    /// # Errors
    /// It cannot be made or written.
    pub fn stage(&self, ca: Authority, entropy: &dyn Entropy) -> Result<Arc<SealedKey>, KeysError> {
        self.drop_second(ca)?;
        let key = Arc::new(make(&self.folder, next_name(ca), Kind::Ed25519, &self.passphrase, entropy)?);
        self.ring_mut().add(ca, Arc::clone(&key));
        Ok(key)
    }

    /// Keeps these keys of a CA, by their fingerprints, of which the first signs, and destroys another. One that is left
    /// alone gets the CA's own file.
    ///
    /// # Errors
    /// The one that signs is not here: then nothing is destroyed. Or the files cannot be changed: what is to be destroyed
    /// may be there still, and another call goes on.
    pub fn keep(&self, ca: Authority, signs: &str, beside: Option<&str>) -> Result<(), KeysError> {
        let first = self.first(ca);
        if self.of_ca(ca, signs).is_none() {
            let path = self.folder.join(name(ca));
            return Err(KeysError::Lost { ca, path, wanted: signs.to_owned(), found: first.fingerprint() });
        }
        let kept = |key: &SealedKey| [Some(signs), beside].contains(&Some(key.fingerprint().as_str()));
        if !kept(&first) {
            return self.promote(ca);
        }
        let second = self.ring().pair(ca).second.clone();
        match second {
            Some(second) if !kept(&second) => self.drop_second(ca),
            Some(_) | None => Ok(()),
        }
    }

    /// Destroys the first key; the second takes its place.
    fn promote(&self, ca: Authority) -> Result<(), KeysError> {
        let path = self.folder.join(name(ca));
        if path.exists() && next_of(&self.folder, ca).is_some() {
            files::rename(&path, &self.folder.join(old_name(ca)))?;
        }
        finish(&self.folder)?;
        let mut ring = self.ring_mut();
        let pair = ring.pair_mut(ca);
        if let Some(second) = pair.second.take() {
            pair.first = second;
        }
        Ok(())
    }

    fn drop_second(&self, ca: Authority) -> Result<(), KeysError> {
        self.ring_mut().pair_mut(ca).second = None;
        let path = self.folder.join(next_name(ca));
        files::destroy(&path)?;
        files::destroy(&path.with_extension("pub"))?;
        Ok(())
    }

    pub(super) fn ring(&self) -> RwLockReadGuard<'_, Ring> {
        self.ring.read().unwrap_or_else(PoisonError::into_inner)
    }

    fn ring_mut(&self) -> RwLockWriteGuard<'_, Ring> {
        self.ring.write().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Goes on with what a crash broke off: a key that was retired is put aside first, then the next one takes its file, and then
/// the old one is destroyed.
pub(super) fn finish(folder: &Path) -> Result<(), KeysError> {
    for ca in Authority::ALL {
        let (path, old) = (folder.join(name(ca)), folder.join(old_name(ca)));
        if !old.exists() {
            continue;
        }
        let next = folder.join(next_name(ca));
        if !path.exists() && next.exists() {
            files::rename(&next, &path)?;
        }
        let public = next.with_extension("pub");
        if path.exists() && !next.exists() && public.exists() {
            files::rename(&public, &path.with_extension("pub"))?;
        }
        if path.exists() {
            files::destroy(&old)?;
        }
    }
    Ok(())
}

/// The file of a CA's second key, when there is one.
pub(super) fn next_of(folder: &Path, ca: Authority) -> Option<&'static str> {
    let at: PathBuf = folder.join(next_name(ca));
    at.exists().then(|| next_name(ca))
}

const fn name(ca: Authority) -> &'static str {
    match ca {
        Authority::User => USER_CA,
        Authority::Host => HOST_CA,
        Authority::Front => FRONT_CA,
    }
}

const fn next_name(ca: Authority) -> &'static str {
    match ca {
        Authority::User => "user-ca-next",
        Authority::Host => "host-ca-next",
        Authority::Front => "front-ca-next",
    }
}

const fn old_name(ca: Authority) -> &'static str {
    match ca {
        Authority::User => "user-ca-old",
        Authority::Host => "host-ca-old",
        Authority::Front => "front-ca-old",
    }
}
