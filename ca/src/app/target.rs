//! Targets: see, register, remove.

use std::collections::BTreeSet;

use access::{Note, Refusal, State};
use identity::files::{self, Access};
use identity::{Directory, EditError};
use model::{Fact, Login, Target, TargetAuth, TargetName, Timestamp};
use policy::Action;

use super::rights::Rules;
use super::rules::Waiting;
use super::{App, AppError, Caller};

/// A target as the caller may see it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TargetView {
    /// The target.
    pub target: Target,
    /// Fingerprint of the key that is held for it.
    pub key: Option<String>,
}

/// The largest directory file that is edited here.
const LIMIT: u64 = 16 << 20;

impl App {
    /// The targets: all for those who may administer; for others those that they may ask for, with the logins that
    /// they may ask for and without addresses and host keys.
    ///
    /// # Errors
    /// A proxy asked.
    pub fn targets(&self, caller: &Caller) -> Result<Vec<TargetView>, AppError> {
        caller.person()?;
        let rules = self.rules();
        if rules.may(caller, Action::Administer, self.engine.now()) {
            return Ok(rules.directory.targets().cloned().map(|target| self.with_key(target)).collect());
        }
        let seen = rules.directory.targets().filter_map(|target| {
            let logins: BTreeSet<Login> =
                target.logins.iter().filter(|login| self.may_ask(&rules, caller, target, login)).cloned().collect();
            let (name, labels) = (target.name.clone(), target.labels.clone());
            let shown =
                Target { name, addresses: Vec::new(), labels, logins, auth: target.auth, host_keys: Vec::new() };
            (!shown.logins.is_empty()).then_some(TargetView { target: shown, key: None })
        });
        Ok(seen.collect())
    }

    /// Enters a target in the directory's file, or replaces it there, and puts it in force.
    ///
    /// # Errors
    /// The caller may not administer, there is one already, or the file cannot be changed.
    pub async fn register_target(
        &self,
        caller: &Caller,
        target: &Target,
        replace: bool,
    ) -> Result<TargetView, AppError> {
        self.rules().demand(caller, Action::Administer, self.engine.now())?;
        let edit = |text: &str| {
            let there = self.directory.current().target(&target.name).is_some();
            if there && replace { Directory::replace_target(text, target) } else { Directory::add_target(text, target) }
        };
        let mut waiting = self.waiting.lock().await;
        self.keeps_its_key(target).await?;
        let fact = Fact::TargetRegistered { target: target.name.clone(), host_keys: fingerprints(target) };
        self.edit_directory(&mut waiting, caller, edit, fact).await?;
        let entered = self.directory.current().target(&target.name).cloned().map(|target| self.with_key(target));
        entered.ok_or_else(|| AppError::Unavailable("the directory's file changed meanwhile; try again".to_owned()))
    }

    /// Takes a target out of the directory; its sessions are dropped, and the key that is held for it is destroyed.
    ///
    /// # Errors
    /// The caller may not administer, there is none, or the file cannot be changed.
    pub async fn remove_target(&self, caller: &Caller, name: &TargetName) -> Result<(), AppError> {
        self.rules().demand(caller, Action::Administer, self.engine.now())?;
        let mut waiting = self.waiting.lock().await;
        let fact = Fact::TargetRemoved { target: name.clone() };
        self.edit_directory(&mut waiting, caller, |text| Directory::remove_target(text, name), fact).await?;
        self.bury_target_key(caller, name).await
    }

    /// Refuses to make a target whose key is held one that takes certificates: its server would let nobody in any more, and
    /// whoever only wanted to change its address would have lost the key.
    async fn keeps_its_key(&self, target: &Target) -> Result<(), AppError> {
        let held = self.engine.read(|state, _| state.target_key(&target.name).is_some()).await?;
        match (target.auth, held) {
            (TargetAuth::TargetKey, _) | (TargetAuth::Certificate, false) => Ok(()),
            (TargetAuth::Certificate, true) => {
                let name = &target.name;
                let refusal = Refusal::new("target-key-held", format!("a target key is held for {name}"));
                Err(refusal
                    .with_hint(format!(
                        "say --target-key again; if its server knows certificates now, first run: portcullis target \
                         key {name} --destroy"
                    ))
                    .into())
            }
        }
    }

    fn with_key(&self, target: Target) -> TargetView {
        let key = self.engine.peek(|state, _| state.target_key(&target.name).map(|key| key.key.clone()));
        TargetView { target, key }
    }

    /// Says in the ledger what is about to be done, changes the directory's file, and takes it up at once. When the
    /// ledger cannot take the change, the file is as it was before.
    async fn edit_directory(
        &self,
        waiting: &mut Waiting,
        caller: &Caller,
        edit: impl Fn(&str) -> Result<String, EditError>,
        fact: Fact,
    ) -> Result<(), AppError> {
        let path = self.directory.path().to_owned();
        let unwritable = |error: files::FileError| {
            tracing::error!(%error, "the directory's file cannot be changed");
            AppError::Unavailable(format!("the directory's file cannot be changed: {error}"))
        };
        let old = files::read_text(&path, LIMIT).map_err(unwritable)?;
        let new = edit(&old).map_err(edit_refused)?;
        let actor = caller.actor();
        let build = |_: &State, now: Timestamp| {
            // It may have taken its turn since it was let in: what holds now counts.
            self.rules().demand(caller, Action::Administer, now)?;
            Ok(Note { fact: fact.clone(), request: None }.into())
        };
        self.engine.execute(&actor, build, |_, _| ()).await?;
        write(&path, &new).map_err(unwritable)?;
        let entered = self.look_at_directory(waiting, &actor).await;
        if entered.is_err() {
            waiting.drop_directory();
            write(&path, &old).map_err(unwritable)?;
        }
        entered
    }

    fn may_ask(&self, rules: &Rules, caller: &Caller, target: &Target, login: &Login) -> bool {
        let Ok(name) = caller.person() else { return false };
        rules.may_ask(name, caller.factors(), target, login, caller.address(), self.engine.now())
    }
}

fn write(path: &std::path::Path, text: &str) -> Result<(), files::FileError> {
    use std::os::unix::fs::PermissionsExt as _;
    // Whoever could read it can still, and nobody else.
    let mode = std::fs::metadata(path).map(|known| known.permissions().mode()).unwrap_or(0o600);
    let access = match (mode & 0o004, mode & 0o040) {
        (0, 0) => Access::Private,
        (0, _) => Access::Group,
        _ => Access::Public,
    };
    files::write_atomic(path, text.as_bytes(), access)
}

fn edit_refused(error: EditError) -> AppError {
    match error {
        EditError::Exists { kind, name } => {
            let refusal = Refusal::new("target-exists", format!("the {kind} {name} is in the directory already"));
            let enrol = format!("to enrol it, or again: portcullis target enrol {name} --apply USER@HOST");
            refusal.with_hint(format!("{enrol}; to change what it is, say that it may be replaced: --replace")).into()
        }
        EditError::Missing { kind, name } => AppError::not_found(kind, name),
        EditError::Invalid(source) => AppError::Invalid(format!("the directory would not be valid: {source}")),
        error @ EditError::Inline(_) => AppError::Invalid(error.to_string()),
    }
}

fn fingerprints(target: &Target) -> Vec<String> {
    let keys = target.host_keys.iter().filter_map(|line| identity::parse_public_key(line).ok());
    keys.map(|key| identity::fingerprint(key.key_data())).collect()
}
