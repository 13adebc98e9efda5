//! The keys of the three CAs, of which each may have a second one while it takes the place of the first.
//!
//! Which of two signs is the ledger's word and not that of their files: so nothing is renamed when another key begins to
//! sign, and no crash leaves it open which one does. Only once the first is retired does the second take its file.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLockReadGuard, RwLockWriteGuard};

use identity::files;
use model::{Authority, Timestamp};
use ssh_key::public::KeyData;
use store::Entropy;

use super::file::{Kind, SealedKey};
use super::{CaSigner as _, FRONT_CA, HOST_CA, Keys, KeysError, USER_CA, make};
use crate::aside;

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
    /// The second was made by this process: until the ledger knows it, nobody can miss it.
    made: bool,
}

impl Ring {
    pub(super) fn new(user: SealedKey, host: SealedKey, front: SealedKey) -> Self {
        let pair = |key| Pair { first: Arc::new(key), second: None, made: false };
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
    pub fn stage(&self, ca: Authority, entropy: &dyn Entropy, now: Timestamp) -> Result<Arc<SealedKey>, KeysError> {
        self.drop_second(ca, false, now)?;
        let key = Arc::new(make(&self.folder, next_name(ca), Kind::Ed25519, &self.passphrase, entropy)?);
        let mut ring = self.ring_mut();
        ring.add(ca, Arc::clone(&key));
        ring.pair_mut(ca).made = true;
        Ok(key)
    }

    /// The second key of a CA, by its fingerprint, where it is none of these.
    #[must_use]
    pub fn stranger(&self, ca: Authority, signs: &str, beside: Option<&str>) -> Option<String> {
        let second = self.ring().pair(ca).second.as_ref().map(|key| key.fingerprint());
        second.filter(|key| ![Some(signs), beside].contains(&Some(key.as_str())))
    }

    /// Keeps these keys of a CA, by their fingerprints, of which the first signs, takes back what was put aside of them, and
    /// destroys another, when it is one of `gone` or was made by this process. A second key that nothing explains is put
    /// aside: an older ledger does not know what is newer than it. One that is left alone gets the CA's own file.
    ///
    /// # Errors
    /// The one that signs is not here: then nothing is changed. Or the files cannot be changed: what is to be destroyed may be there still, and
    /// another call goes on.
    pub fn keep(
        &self,
        ca: Authority,
        (signs, beside): (&str, Option<&str>),
        gone: &BTreeSet<String>,
        now: Timestamp,
    ) -> Result<(), KeysError> {
        if self.of_ca(ca, signs).is_none() && !aside::has(&self.folder, &swept_name(ca, signs)) {
            let (path, found) = (self.folder.join(name(ca)), self.first_of(ca));
            return Err(KeysError::Lost { ca, path, wanted: signs.to_owned(), found });
        }
        if let Some(stranger) = self.stranger(ca, signs, beside) {
            self.drop_second(ca, gone.contains(&stranger), now)?;
        }
        for wanted in [Some(signs), beside].into_iter().flatten() {
            self.take_back(ca, wanted)?;
        }
        aside::tidy(&self.folder, now)?;
        let first = self.first(ca);
        let kept = |key: &SealedKey| [Some(signs), beside].contains(&Some(key.fingerprint().as_str()));
        if kept(&first) { Ok(()) } else { self.promote(ca) }
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
        pair.made = false;
        Ok(())
    }

    /// Destroys the second key when it is `gone`, or was made by this process; else puts it aside.
    fn drop_second(&self, ca: Authority, gone: bool, now: Timestamp) -> Result<(), KeysError> {
        let (second, made) = {
            let ring = self.ring();
            let pair = ring.pair(ca);
            (pair.second.clone(), pair.made)
        };
        let path = self.folder.join(next_name(ca));
        let public = path.with_extension("pub");
        match second {
            Some(key) if !(gone || made) => {
                let name = swept_name(ca, &key.fingerprint());
                let to = aside::put_as(&path, &name, now)?;
                if public.exists() {
                    aside::put_as(&public, format!("{name}.pub"), now)?;
                }
                tracing::warn!(path = %to.display(), "no fact explains this key of the {ca} CA: it is put aside");
            }
            Some(_) | None => {
                files::destroy(&path)?;
                files::destroy(&public)?;
            }
        }
        // Only now: without a second key here, its file would be what a stage broke off.
        let mut ring = self.ring_mut();
        let pair = ring.pair_mut(ca);
        (pair.second, pair.made) = (None, false);
        Ok(())
    }

    /// Takes a key back that was put aside, when it is not here and its place is free.
    fn take_back(&self, ca: Authority, fingerprint: &str) -> Result<(), KeysError> {
        if self.of_ca(ca, fingerprint).is_some() || self.ring().pair(ca).second.is_some() {
            return Ok(());
        }
        let (path, name) = (self.folder.join(next_name(ca)), swept_name(ca, fingerprint));
        aside::take_back_from(format!("{name}.pub"), &path.with_extension("pub"))?;
        if aside::take_back_from(&name, &path)? {
            let key = SealedKey::open(&path, &self.passphrase)?;
            if key.fingerprint() != fingerprint {
                return Err(KeysError::Other(path));
            }
            tracing::warn!(path = %path.display(), "the ledger knows a key of the {ca} CA again: its file is back");
            self.ring_mut().add(ca, Arc::new(key));
        }
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

/// The name of a key that was put aside: which one it is, for there may be several of one CA.
fn swept_name(ca: Authority, fingerprint: &str) -> String {
    // Base64 has slashes.
    let which = fingerprint.replace(|c: char| !c.is_ascii_alphanumeric(), "-");
    format!("{}-{which}", name(ca))
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
