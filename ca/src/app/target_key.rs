//! The keys of targets whose servers know no certificates: made, made anew, destroyed.
//!
//! A key is destroyed by a command and never because a file changed: a directory that was saved half must not cost the
//! way into a server.

use access::{DestroyTargetKey, MakeTargetKey, Refusal, State, TargetKey};
use model::{Actor, Fact, Seq, Subject, TargetAuth, TargetName, Timestamp};
use policy::Action;
use ssh_key::public::KeyData;
use store::{Query, Store};

use super::engine::blocking;
use super::ledger::{told, unreadable};
use super::{App, AppError, Caller};
use crate::keys::KeysError;

/// How many keys of one target are looked through for the last that was destroyed.
const DESTROYED: usize = 1_000;

impl App {
    /// The key of a target that knows no certificates, as it is: who looks makes none.
    ///
    /// # Errors
    /// The caller may not administer, there is no such target or it takes certificates, or there is no key: then whether
    /// there was one.
    pub async fn target_key(&self, caller: &Caller, name: &TargetName) -> Result<TargetKey, AppError> {
        self.rules().demand(caller, Action::Administer, self.engine.now())?;
        self.must_take_key(name)?;
        if let Some(key) = self.engine.read(|state, _| state.target_key(name).cloned()).await? {
            return Ok(key);
        }
        let sentence = match self.last_key_destroyed(name).await? {
            Some(at) => format!("the key of {name} was destroyed at {}", at.to_second()),
            None => format!("no key was made for {name} yet"),
        };
        let hint = format!("to make one: portcullis target key {name} --new");
        Err(Refusal::new("no-target-key", sentence).with_hint(hint).into())
    }

    /// The key of a target that knows no certificates. It is made when there is none, and with `rotate` in the place of
    /// the one that there is, which is destroyed.
    ///
    /// # Errors
    /// The caller may not administer, there is no such target or it takes certificates, or the key cannot be made.
    pub async fn make_target_key(
        &self,
        caller: &Caller,
        name: &TargetName,
        rotate: bool,
    ) -> Result<TargetKey, AppError> {
        self.rules().demand(caller, Action::Administer, self.engine.now())?;
        // One at a time: else two would be made for one target, and one of them be lost.
        let _turn = self.waiting.lock().await;
        self.must_take_key(name)?;
        let old = self.engine.read(|state, _| state.target_key(name).cloned()).await?;
        match old {
            Some(key) if !rotate => Ok(key),
            old => self.new_target_key(&caller.actor(), caller, name, old).await,
        }
    }

    /// Destroys the key of a target, be it in the directory or not. Nobody gets in there until there is another.
    ///
    /// # Errors
    /// The caller may not administer, there is no key, or its file cannot be removed.
    pub async fn destroy_target_key(&self, caller: &Caller, name: &TargetName) -> Result<(), AppError> {
        self.rules().demand(caller, Action::Administer, self.engine.now())?;
        let _turn = self.waiting.lock().await;
        self.drop_target_key(caller, name).await
    }

    /// Destroys the key of a target that was just removed, if it had one. The caller holds the turn.
    ///
    /// # Errors
    /// As [`App::destroy_target_key`].
    pub(super) async fn bury_target_key(&self, caller: &Caller, name: &TargetName) -> Result<(), AppError> {
        match self.engine.read(|state, _| state.target_key(name).is_some()).await? {
            true => self.drop_target_key(caller, name).await,
            false => Ok(()),
        }
    }

    /// Puts the files of keys aside that the ledger does not know, and destroys those that it knows to be destroyed.
    ///
    /// # Errors
    /// The ledger cannot be read. What cannot be moved is only told to the log: it signs nothing.
    pub(crate) async fn sweep_target_keys(&self) -> Result<(), AppError> {
        let known = self.engine.read(|state, _| state.target_keys().cloned().collect::<Vec<_>>()).await?;
        for key in known.iter().filter(|key| self.takes_key(&key.target) != Some(true)) {
            let name = &key.target;
            tracing::warn!(
                "{name} does not take its target key {}: run portcullis target key {name} --destroy",
                key.key
            );
        }
        let (keys, store, now) = (self.target_keys.clone(), self.store(), self.engine.now());
        blocking(move || {
            let public: Vec<KeyData> = known.iter().map(public_half).collect::<Result<_, _>>()?;
            let swept = keys.strangers(&public).map_err(|error| unmade(&error)).and_then(|strangers| {
                let gone = if strangers.is_empty() { Vec::new() } else { destroyed(store.as_ref())? };
                keys.sweep(strangers, gone.iter().map(String::as_str), now).map_err(|error| unmade(&error))
            });
            if let Err(error) = swept {
                tracing::error!(%error, "target keys that the ledger does not know cannot be put aside");
            }
            Ok(())
        })
        .await
    }

    /// Whether a target takes a key, by the directory in force; `None` when it is not there.
    pub(super) fn takes_key(&self, name: &TargetName) -> Option<bool> {
        let directory = self.directory.current();
        directory.target(name).map(|target| match target.auth {
            TargetAuth::TargetKey => true,
            TargetAuth::Certificate => false,
        })
    }

    fn must_take_key(&self, name: &TargetName) -> Result<(), AppError> {
        if self.takes_key(name).ok_or_else(|| AppError::not_found("target", name))? {
            return Ok(());
        }
        let refusal = Refusal::new("no-target-key", format!("{name} takes certificates, and so needs no key"));
        let hint = format!("if its server knows none: portcullis target add {name} --replace --target-key …");
        Err(refusal.with_hint(hint).into())
    }

    /// When the last key of a target was destroyed, if there ever was one: the state has forgotten it.
    async fn last_key_destroyed(&self, name: &TargetName) -> Result<Option<Timestamp>, AppError> {
        let kind = Some("target.key-destroyed".to_owned());
        let query = Query { subject: Some(Subject::from_text(format!("target:{name}"))), kind, ..Query::default() };
        let store = self.store();
        let found = blocking(move || store.find(&query, Seq(0), DESTROYED).map_err(|error| unreadable(&error))).await?;
        Ok(found.last().map(|record| record.entry.time))
    }

    async fn new_target_key(
        &self,
        actor: &Actor,
        caller: &Caller,
        name: &TargetName,
        old: Option<TargetKey>,
    ) -> Result<TargetKey, AppError> {
        let (keys, entropy, target) = (self.target_keys.clone(), self.entropy.clone(), name.clone());
        let public = blocking(move || keys.create(&target, entropy.as_ref()).map_err(|error| unmade(&error))).await?;
        let written = public.to_openssh().map_err(|error| AppError::Internal(error.to_string()))?;
        let build = |_: &State, now: Timestamp| {
            let may_administer = self.rules().may(caller, Action::Administer, now);
            let key = identity::fingerprint(public.key_data());
            let (target, public_key) = (name.clone(), written.clone());
            Ok(MakeTargetKey { target, key, public_key, may_administer }.into())
        };
        let made = self.engine.execute(actor, build, |state, _| state.target_key(name).cloned()).await;
        match made {
            Ok(Some(key)) => {
                if let Some(old) = old {
                    self.remove(public_half(&old)?).await?;
                }
                Ok(key)
            }
            Ok(None) => Err(AppError::Internal("a target key was made and is not there".to_owned())),
            Err(error) => {
                self.remove(public.key_data().clone()).await?;
                Err(error)
            }
        }
    }

    async fn drop_target_key(&self, caller: &Caller, name: &TargetName) -> Result<(), AppError> {
        let build = |state: &State, now: Timestamp| {
            let may_administer = self.rules().may(caller, Action::Administer, now);
            state.target_key(name).ok_or_else(|| AppError::not_found("target key", name))?;
            Ok(DestroyTargetKey { target: name.clone(), may_administer }.into())
        };
        let known = self.engine.read(|state, _| state.target_key(name).cloned()).await?;
        self.engine.execute(&caller.actor(), build, |_, _| ()).await?;
        match known {
            Some(key) => self.remove(public_half(&key)?).await,
            None => Ok(()),
        }
    }

    /// Removes a key's files. If that fails the next start does it: the ledger does not know the key any more.
    async fn remove(&self, public: KeyData) -> Result<(), AppError> {
        let keys = self.target_keys.clone();
        blocking(move || {
            keys.destroy(&public).map_err(|error| {
                tracing::error!(%error, "the files of a target key cannot be removed");
                AppError::Unavailable(format!("the key signs nothing any more, and its file is still there: {error}"))
            })
        })
        .await
    }
}

/// Fingerprints of the keys that were destroyed.
fn destroyed(store: &dyn Store) -> Result<Vec<String>, AppError> {
    told(
        store,
        "target.key-destroyed",
        |fact| {
            if let Fact::TargetKeyDestroyed { key, .. } = fact { Some(key) } else { None }
        },
    )
}

/// The key as the ledger has it.
pub(super) fn public_half(key: &TargetKey) -> Result<KeyData, AppError> {
    let public = identity::parse_public_key(&key.public_key);
    public.map(|public| public.key_data().clone()).map_err(|error| AppError::Internal(error.to_string()))
}

fn unmade(error: &KeysError) -> AppError {
    tracing::error!(%error, "a target key cannot be made");
    AppError::Unavailable(format!("the key cannot be made: {error}"))
}
