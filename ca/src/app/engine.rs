//! The engine: the one place that sequences decide → enqueue → apply → await durability.
//!
//! One mutex holds the state and the number of the next record. A command is decided under it, its facts are put in
//! line for the disk and applied at once, and the mutex is let go; so commands follow each other without waiting for
//! the disk, which takes the facts of many in one write. Nobody hears an answer before the facts that it rests upon
//! are durable: not the one who commanded, nor one who only looked.
//!
//! When an append fails, what was applied ahead of it is thrown away and the state is built again from the durable
//! records. From then on the engine is careful: one command at a time, applied only once it is durable, until the
//! first one succeeds. So a full disk costs one rebuild, not one for each attempt.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use access::{Command, Permit, State};
use model::{Actor, Entry, Record, RequestId, Seq, Timestamp};
use store::{Append, Clock, Store, StoreError};
use tokio::sync::{Notify, watch};
use tokio::task::JoinHandle;

use super::AppError;
use super::replay::{SNAPSHOT, build};
use super::seal::Seal;
use super::timekeeper::Timekeeper;

/// How many times a command is decided again when the ledger moved under it.
const ATTEMPTS: usize = 8;
/// How long a careful command waits for what an earlier one left on its way to the disk.
const PAUSE: Duration = Duration::from_millis(20);

/// See the module.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

struct Inner {
    store: Arc<dyn Store>,
    seal: Arc<Seal>,
    core: Mutex<Core>,
    /// Up to where what was applied is durable.
    settled: watch::Sender<Settled>,
    /// Somebody changed what is due next.
    due: Notify,
    /// Held by a command while the engine is careful.
    careful: tokio::sync::Mutex<()>,
}

struct Core {
    state: State,
    next: Seq,
    /// Counts the rebuilds: what was applied before one may never have happened.
    generation: u64,
    /// Facts never go back in time, whatever the clock does.
    time: Timekeeper,
    /// Why the engine is careful.
    careful: Option<String>,
    /// The state refused a fact that was decided on it: a fault of ours, after which nothing more is decided.
    broken: Option<String>,
}

#[derive(Clone, Copy)]
struct Settled {
    next: Seq,
    generation: u64,
}

/// What a command brought about.
pub struct Applied {
    /// The records, in order; empty when the command asked for what was so already.
    pub records: Vec<Record>,
    /// The permit, when the command was to open a session.
    pub permit: Option<Permit>,
    /// The request that the command was about, where the decider names it.
    pub request: Option<RequestId>,
    /// The moment for which it was decided.
    pub now: Timestamp,
}

impl Engine {
    /// Builds the state from the latest snapshot, if `seal` is on it, and the records behind it. Blocking: it reads the
    /// disk.
    ///
    /// # Errors
    /// The store cannot be read, or its records cannot follow from each other.
    pub fn start(store: Arc<dyn Store>, clock: Arc<dyn Clock>, seal: Seal) -> Result<Self, AppError> {
        let (state, next, latest) = build(store.as_ref(), &seal)?;
        let time = Timekeeper::start(clock, latest);
        let settled = watch::Sender::new(Settled { next, generation: 0 });
        let core = Core { state, next, generation: 0, time, careful: None, broken: None };
        Ok(Self {
            inner: Arc::new(Inner {
                store,
                seal: Arc::new(seal),
                core: Mutex::new(core),
                settled,
                due: Notify::new(),
                careful: tokio::sync::Mutex::new(()),
            }),
        })
    }

    /// Decides and records what `build` asks for, and answers with what `view` sees right afterwards, once it is
    /// durable. `build` runs under the engine's lock, so what it looks at cannot change before the decision; it runs
    /// again when the ledger moved meanwhile.
    ///
    /// # Errors
    /// What `build` or the decider refuses; [`AppError::Unavailable`] when the facts could not be made durable, and
    /// then none of them happened.
    pub async fn execute<R: Send>(
        &self,
        actor: &Actor,
        mut build: impl FnMut(&State, Timestamp) -> Result<Command, AppError> + Send,
        view: impl Fn(&State, &Applied) -> R + Send,
    ) -> Result<R, AppError> {
        for _ in 0..ATTEMPTS {
            let (answer, settling) = self.begin(actor, &mut build, &view).await?;
            if self.settled(settling).await? {
                return Ok(answer);
            }
        }
        Err(restless())
    }

    /// As [`Engine::execute`], but without waiting for the disk: the answer must not leave the house before
    /// [`Engine::settled`] says so. Commands that belong together begin one after the other and settle at once.
    pub(super) async fn begin<R: Send>(
        &self,
        actor: &Actor,
        build: &mut (impl FnMut(&State, Timestamp) -> Result<Command, AppError> + Send),
        view: &(impl Fn(&State, &Applied) -> R + Send),
    ) -> Result<(R, Settling), AppError> {
        for _ in 0..ATTEMPTS {
            match self.inner.step(actor, build, view)? {
                Step::Speculated { answer, append, end, generation } => {
                    self.inner.due.notify_one();
                    return Ok((answer, Settling::Append(self.settle(append, end, generation))));
                }
                Step::Nothing { answer, end, generation } => return Ok((answer, Settling::Until { end, generation })),
                Step::Moved { generation } => {
                    self.rebuild("the ledger moved by itself".to_owned(), generation).await?;
                }
                Step::Careful => {
                    if let Some(answer) = self.execute_carefully(actor, build, view).await? {
                        return Ok((answer, Settling::Done));
                    }
                }
            }
        }
        Err(restless())
    }

    /// Waits until what was begun is durable. False: what the answer rested upon never happened; decide again.
    pub(super) async fn settled(&self, settling: Settling) -> Result<bool, AppError> {
        match settling {
            Settling::Done => Ok(true),
            Settling::Append(settling) => {
                settling.await.map_err(|error| AppError::Internal(error.to_string()))??;
                Ok(true)
            }
            Settling::Until { end, generation } => Ok(self.inner.wait_settled(end, generation).await),
        }
    }

    /// What `look` sees, once all that it rests upon is durable.
    ///
    /// # Errors
    /// The ledger failed again and again meanwhile.
    pub async fn read<R: Send>(&self, look: impl Fn(&State, Timestamp) -> R + Send) -> Result<R, AppError> {
        for _ in 0..ATTEMPTS {
            let (answer, end, generation) = {
                let mut core = self.inner.lock();
                let now = core.time.now();
                (look(&core.state, now), core.next, core.generation)
            };
            if self.inner.wait_settled(end, generation).await {
                return Ok(answer);
            }
        }
        Err(restless())
    }

    /// What `look` sees now, durable or not: for decisions whose own facts will wait for it, and for filters.
    pub fn peek<R>(&self, look: impl FnOnce(&State, Timestamp) -> R) -> R {
        let mut core = self.inner.lock();
        let now = core.time.now();
        look(&core.state, now)
    }

    /// The time, never earlier than a time that was used before.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.peek(|_, now| now)
    }

    /// Why the ledger takes no facts, when the last attempt failed.
    #[must_use]
    pub fn trouble(&self) -> Option<String> {
        let core = self.inner.lock();
        core.broken.clone().or_else(|| core.careful.clone())
    }

    /// Whether the state has all that the ledger has taken, so far as anybody can tell.
    #[must_use]
    pub fn caught_up(&self) -> bool {
        let core = self.inner.lock();
        core.broken.is_none() && core.careful.is_none() && self.inner.store.tail() == core.next
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> &Arc<dyn Store> {
        &self.inner.store
    }

    /// The number of the next record, durable or not yet.
    #[must_use]
    pub fn tail(&self) -> Seq {
        self.inner.lock().next
    }

    /// Waits until somebody changed what is due next.
    pub(super) async fn due_changed(&self) {
        self.inner.due.notified().await;
    }

    /// Saves what is durable of the state as a snapshot, and says up to which record.
    ///
    /// # Errors
    /// The store would not take it. Nothing is lost: the next start only takes longer.
    pub(super) async fn snapshot(&self) -> Result<Seq, AppError> {
        let (state, next) = self.read(|state, _| (state.clone(), state.next())).await?;
        let (store, seal) = (Arc::clone(&self.inner.store), Arc::clone(&self.inner.seal));
        blocking(move || {
            let bytes = serde_json::to_vec(&state).map_err(|error| AppError::Internal(error.to_string()))?;
            let sealed = seal.close(SNAPSHOT, next, &bytes);
            let sealed = sealed.ok_or_else(|| AppError::Internal("there is no key to seal it with".to_owned()))?;
            store.save_snapshot(SNAPSHOT, next, &sealed).map_err(|error| unavailable(&error))?;
            Ok(next)
        })
        .await
    }

    /// Waits for the append on a task of its own: a caller who hangs up must not leave the engine in the dark.
    fn settle(&self, append: Append, end: Seq, generation: u64) -> JoinHandle<Result<(), AppError>> {
        let engine = self.clone();
        tokio::spawn(async move {
            match append.await {
                Ok(_) => {
                    engine.inner.settled.send_if_modified(|settled| {
                        let further = settled.generation == generation && settled.next < end;
                        if further {
                            settled.next = end;
                        }
                        further
                    });
                    Ok(())
                }
                Err(error) => {
                    tracing::error!(%error, "the ledger did not take new facts");
                    let refusal = unavailable(&error);
                    engine.rebuild(error.to_string(), generation).await?;
                    Err(refusal)
                }
            }
        })
    }

    /// One command at a time, applied only once it is durable. `None`: the engine is not careful any more.
    async fn execute_carefully<R: Send>(
        &self,
        actor: &Actor,
        build: &mut (impl FnMut(&State, Timestamp) -> Result<Command, AppError> + Send),
        view: &(impl Fn(&State, &Applied) -> R + Send),
    ) -> Result<Option<R>, AppError> {
        let _turn = self.inner.careful.lock().await;
        let (append, applied) = match self.inner.step_carefully(actor, build, view)? {
            Careful::Over => return Ok(None),
            Careful::Nothing(answer) => return Ok(Some(answer)),
            Careful::Appending(append, applied) => (append, applied),
            Careful::Moved { generation } => {
                // What an earlier turn left on its way is let arrive first.
                tokio::time::sleep(PAUSE).await;
                self.rebuild("the ledger moved by itself".to_owned(), generation).await?;
                return Ok(None);
            }
        };
        // A turn that is given up here leaves its facts on the way to the disk; the next turn's append conflicts with
        // them, and the rebuild that follows finds them.
        append.await.map_err(|error| {
            let sentence = error.to_string();
            self.inner.lock().careful = Some(sentence.clone());
            AppError::Unavailable(sentence)
        })?;
        let mut core = self.inner.lock();
        core.apply(&applied.records)?;
        core.careful = None;
        let settled = Settled { next: core.next, generation: core.generation };
        self.inner.settled.send_replace(settled);
        tracing::info!("the ledger takes new facts again");
        let answer = view(&core.state, &applied);
        drop(core);
        self.inner.due.notify_one();
        Ok(Some(answer))
    }

    /// Throws away what was applied ahead of the disk, builds the state from what is durable, and is careful.
    /// Does nothing when somebody else did so since `generation`.
    async fn rebuild(&self, why: String, generation: u64) -> Result<(), AppError> {
        let inner = Arc::clone(&self.inner);
        blocking(move || {
            let mut core = inner.lock();
            if core.generation != generation {
                return Ok(());
            }
            let (state, next, latest) = build(inner.store.as_ref(), &inner.seal)?;
            core.state = state;
            core.next = next;
            core.time.reach(latest);
            core.generation += 1;
            core.careful = Some(why);
            inner.settled.send_replace(Settled { next, generation: core.generation });
            Ok(())
        })
        .await
    }
}

/// What an answer still waits for.
pub(super) enum Settling {
    /// Nothing.
    Done,
    /// Its own facts.
    Append(JoinHandle<Result<(), AppError>>),
    /// The facts of others that it rests upon.
    Until {
        /// All before this one.
        end: Seq,
        /// As counted when it was looked at.
        generation: u64,
    },
}

enum Step<R> {
    Speculated { answer: R, append: Append, end: Seq, generation: u64 },
    Nothing { answer: R, end: Seq, generation: u64 },
    Moved { generation: u64 },
    Careful,
}

enum Careful<R> {
    Over,
    Nothing(R),
    Appending(Append, Box<Applied>),
    Moved { generation: u64 },
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Core> {
        // A panic under the lock would be a fault of ours; `broken` and the decider's own checks guard the state.
        self.core.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn step<R>(
        &self,
        actor: &Actor,
        build: &mut impl FnMut(&State, Timestamp) -> Result<Command, AppError>,
        view: &impl Fn(&State, &Applied) -> R,
    ) -> Result<Step<R>, AppError> {
        let mut core = self.lock();
        if core.careful.is_some() {
            return Ok(Step::Careful);
        }
        let applied = self.decide(&mut core, actor, build)?;
        let generation = core.generation;
        if applied.records.is_empty() {
            return Ok(Step::Nothing { answer: view(&core.state, &applied), end: core.next, generation });
        }
        let append = match self.store.enqueue(core.next, entries(&applied.records)) {
            Ok(append) => append,
            Err(StoreError::Conflict { .. }) => return Ok(Step::Moved { generation }),
            Err(error) => return Err(unavailable(&error)),
        };
        core.apply(&applied.records)?;
        Ok(Step::Speculated { answer: view(&core.state, &applied), append, end: core.next, generation })
    }

    fn step_carefully<R>(
        &self,
        actor: &Actor,
        build: &mut impl FnMut(&State, Timestamp) -> Result<Command, AppError>,
        view: &impl Fn(&State, &Applied) -> R,
    ) -> Result<Careful<R>, AppError> {
        let mut core = self.lock();
        if core.careful.is_none() {
            return Ok(Careful::Over);
        }
        let applied = self.decide(&mut core, actor, build)?;
        if applied.records.is_empty() {
            return Ok(Careful::Nothing(view(&core.state, &applied)));
        }
        match self.store.enqueue(core.next, entries(&applied.records)) {
            Ok(append) => Ok(Careful::Appending(append, Box::new(applied))),
            Err(StoreError::Conflict { .. }) => Ok(Careful::Moved { generation: core.generation }),
            Err(error) => Err(unavailable(&error)),
        }
    }

    fn decide(
        &self,
        core: &mut Core,
        actor: &Actor,
        build: &mut impl FnMut(&State, Timestamp) -> Result<Command, AppError>,
    ) -> Result<Applied, AppError> {
        if let Some(fault) = &core.broken {
            return Err(AppError::Internal(fault.clone()));
        }
        let now = core.time.now();
        let command = build(&core.state, now)?;
        let decision = access::decide(&core.state, actor, command, now)?;
        let records = numbered(core.next, decision.facts);
        Ok(Applied { records, permit: decision.permit, request: decision.request, now })
    }

    /// Whether all before `end` became durable; false when a rebuild came first.
    async fn wait_settled(&self, end: Seq, generation: u64) -> bool {
        let mut settled = self.settled.subscribe();
        let reached =
            settled.wait_for(|settled| settled.generation != generation || settled.next >= end).await.map(|s| *s);
        reached.is_ok_and(|settled| settled.generation == generation)
    }
}

impl Core {
    fn apply(&mut self, records: &[Record]) -> Result<(), AppError> {
        for record in records {
            if let Err(corruption) = self.state.apply(record) {
                tracing::error!(%corruption, "a decided fact does not fit the state it was decided on");
                self.broken = Some(corruption.to_string());
                return Err(AppError::Internal(corruption.to_string()));
            }
            self.next = record.seq.next();
        }
        Ok(())
    }
}

fn entries(records: &[Record]) -> Vec<Entry> {
    records.iter().map(|record| record.entry.clone()).collect()
}

fn numbered(next: Seq, entries: Vec<Entry>) -> Vec<Record> {
    let places = std::iter::successors(Some(next), |seq| Some(seq.next()));
    places.zip(entries).map(|(seq, entry)| Record { seq, entry }).collect()
}

fn restless() -> AppError {
    AppError::Unavailable("it kept failing while this was decided".to_owned())
}

pub(super) fn unavailable(error: &StoreError) -> AppError {
    AppError::Unavailable(error.to_string())
}

/// Runs what waits for the disk where it holds up nobody.
pub(super) async fn blocking<R: Send + 'static>(
    work: impl FnOnce() -> Result<R, AppError> + Send + 'static,
) -> Result<R, AppError> {
    tokio::task::spawn_blocking(work).await.map_err(|error| AppError::Internal(error.to_string()))?
}
