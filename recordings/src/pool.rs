//! The few threads that write all recordings of a vault.
//!
//! A session costs no thread and no timer of its own: a recorder with something to write queues itself, either to be
//! written at once or within [`DELAY`].

use std::collections::VecDeque;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

/// How long something written may stay in memory. Half of what is promised, to leave the disk the other half.
const DELAY: Duration = Duration::from_millis(500);

/// How many threads write. More than one, so that a slow sync of one file does not hold up the others.
const WRITERS: usize = 4;

/// Something that has data to write.
pub(crate) trait Job: Send + Sync {
    /// Writes what there is. `timed` says that the delay has passed, and may be asked for anew.
    fn run(&self, timed: bool);
}

/// A queue with its threads, which end when the last handle is dropped and the queue is empty.
pub(crate) struct Pool(Arc<Inner>);

struct Inner {
    queue: Mutex<Queue>,
    wake: Condvar,
}

#[derive(Default)]
struct Queue {
    now: VecDeque<Arc<dyn Job>>,
    /// With equal delays, the order of arrival is that of the deadlines.
    later: VecDeque<(Instant, Arc<dyn Job>)>,
    stopped: bool,
}

impl Pool {
    /// Starts the threads.
    pub(crate) fn start() -> std::io::Result<Self> {
        let pool = Self(Arc::new(Inner { queue: Mutex::default(), wake: Condvar::new() }));
        for _ in 0..WRITERS {
            let inner = Arc::clone(&pool.0);
            std::thread::Builder::new().name("recordings".to_owned()).spawn(move || inner.work())?;
        }
        Ok(pool)
    }

    /// Has the job run at once.
    pub(crate) fn now(&self, job: Arc<dyn Job>) {
        self.0.lock().now.push_back(job);
        self.0.wake.notify_one();
    }

    /// Has the job run within [`DELAY`].
    pub(crate) fn later(&self, job: Arc<dyn Job>) {
        let mut queue = self.0.lock();
        let first = queue.later.is_empty();
        queue.later.push_back((Instant::now() + DELAY, job));
        drop(queue);
        // Otherwise a thread waits for an earlier deadline already.
        if first {
            self.0.wake.notify_one();
        }
    }
}

impl std::fmt::Debug for Pool {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pool").finish_non_exhaustive()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        self.0.lock().stopped = true;
        self.0.wake.notify_all();
    }
}

impl Inner {
    fn lock(&self) -> MutexGuard<'_, Queue> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn work(&self) {
        let mut queue = self.lock();
        loop {
            if let Some(job) = queue.now.pop_front() {
                queue = self.run(queue, &job, false);
                continue;
            }
            let wait = match queue.later.front() {
                Some(&(due, _)) if !queue.stopped => due.saturating_duration_since(Instant::now()),
                Some(_) => Duration::ZERO,
                None if queue.stopped => return,
                None => Duration::MAX,
            };
            if wait.is_zero() {
                if let Some((_, job)) = queue.later.pop_front() {
                    queue = self.run(queue, &job, true);
                }
            } else if wait == Duration::MAX {
                queue = self.wake.wait(queue).unwrap_or_else(PoisonError::into_inner);
            } else {
                queue = self.wake.wait_timeout(queue, wait).unwrap_or_else(PoisonError::into_inner).0;
            }
        }
    }

    fn run<'a>(&'a self, queue: MutexGuard<'a, Queue>, job: &Arc<dyn Job>, timed: bool) -> MutexGuard<'a, Queue> {
        let more = !queue.now.is_empty() || !queue.later.is_empty();
        drop(queue);
        // This thread may be gone for long, so another one takes over the watch.
        if more {
            self.wake.notify_one();
        }
        job.run(timed);
        self.lock()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::mpsc::{Receiver, Sender, channel};

    struct Tell(Mutex<Sender<(bool, Instant)>>, Mutex<Option<Receiver<()>>>);

    impl Job for Tell {
        fn run(&self, timed: bool) {
            self.0.lock().unwrap().send((timed, Instant::now())).unwrap();
            if let Some(hold) = self.1.lock().unwrap().take() {
                let _ = hold.recv();
            }
        }
    }

    fn tell(hold: Option<Receiver<()>>) -> (Arc<Tell>, Receiver<(bool, Instant)>) {
        let (send, receive) = channel();
        (Arc::new(Tell(Mutex::new(send), Mutex::new(hold))), receive)
    }

    #[test]
    fn jobs_run_now_and_later() {
        let pool = Pool::start().unwrap();
        let (job, told) = tell(None);
        let begin = Instant::now();
        pool.later(job.clone());
        pool.now(job);
        assert!(!told.recv_timeout(Duration::from_secs(20)).unwrap().0);
        let (timed, at) = told.recv_timeout(Duration::from_secs(20)).unwrap();
        assert!(timed && at - begin >= DELAY);
    }

    #[test]
    fn a_thread_that_is_held_up_holds_up_no_other_job() {
        let pool = Pool::start().unwrap();
        let (release, hold) = channel();
        let (slow, slow_told) = tell(Some(hold));
        let (quick, quick_told) = tell(None);
        pool.later(slow);
        pool.later(quick.clone());
        slow_told.recv_timeout(Duration::from_secs(20)).unwrap();
        quick_told.recv_timeout(Duration::from_secs(20)).unwrap();
        pool.now(quick);
        quick_told.recv_timeout(Duration::from_secs(20)).unwrap();
        release.send(()).unwrap();
    }

    #[test]
    fn what_is_queued_runs_before_the_threads_end() {
        let pool = Pool::start().unwrap();
        let (job, told) = tell(None);
        for _ in 0..100 {
            pool.later(job.clone());
        }
        drop((pool, job));
        let mut count = 0;
        while told.recv_timeout(Duration::from_secs(20)).is_ok() {
            count += 1;
        }
        assert_eq!(count, 100);
    }
}
