//! Closes what is still open when the time for last words is over.
//!
//! Each session closes itself as soon as its words are said. But when thousands are cut at once, the tasks that would do
//! so wait for each other; so a thread of its own, which waits for nothing but the clock, sweeps up behind them.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::{Duration, Instant};

use crate::crowd;
use crate::registry::Live;
use crate::signal::{RaiseOnDrop, Signal};

/// The thread's queue. The thread ends when this is dropped.
#[derive(Debug)]
pub(crate) struct Sweeper {
    notice: Duration,
    queue: Sender<Swept>,
}

/// Sessions that were cut together, and when they must be gone. A session is cut once, so there are never more of them
/// in the queue than were live.
struct Swept {
    until: Instant,
    sessions: Vec<Arc<Live>>,
    /// Raised when they are all gone, whatever becomes of this.
    gone: RaiseOnDrop,
}

impl Sweeper {
    /// Starts the thread. Last words may take as long as `notice`.
    ///
    /// # Errors
    /// The system refuses a thread.
    pub(crate) fn start(notice: Duration) -> io::Result<Self> {
        let (queue, swept) = channel();
        std::thread::Builder::new().name("sweeper".to_owned()).spawn(move || sweep(&swept))?;
        Ok(Self { notice, queue })
    }

    /// How long last words may take.
    pub(crate) const fn notice(&self) -> Duration {
        self.notice
    }

    /// Has sessions that were cut now closed when their time is over, and then raises `gone`.
    pub(crate) fn sweep(&self, sessions: Vec<Arc<Live>>, gone: Signal) {
        // The thread lives as long as this does.
        let _ = self.queue.send(Swept { until: Instant::now() + self.notice, sessions, gone: RaiseOnDrop(gone) });
    }
}

fn sweep(queue: &Receiver<Swept>) {
    // All wait equally long, so the first in the queue is the first to be due.
    while let Ok(Swept { until, sessions, gone }) = queue.recv() {
        std::thread::sleep(until.saturating_duration_since(Instant::now()));
        // All are closed before the first task is woken by it: those would take the processor.
        crowd::in_parts(&sessions, |part| {
            part.iter().for_each(|live| live.sever_person());
            Vec::<()>::new()
        });
        sessions.iter().for_each(|live| live.rouse_person());
        drop(gone);
    }
}
