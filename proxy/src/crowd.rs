//! Doing something to many sessions at once, in several threads.

use std::sync::Arc;

use crate::registry::Live;

/// From this many sessions on there are several threads: dissolving a connection takes microseconds each.
const CROWD: usize = 256;
/// So many, however few processors there are: they compete with everything that a cut wakes.
const THREADS: usize = 4;

/// Does something to every session, part by part; what comes of the parts. Returns when all of it is done.
pub(crate) fn in_parts<T: Send>(sessions: &[Arc<Live>], work: impl Fn(&[Arc<Live>]) -> Vec<T> + Sync) -> Vec<T> {
    let (own, others) = match sessions.len() {
        crowd if crowd >= CROWD => sessions.split_at(crowd.div_ceil(THREADS)),
        _ => (sessions, &[][..]),
    };
    let work = &work;
    std::thread::scope(|scope| {
        let parts = others.chunks(own.len().max(1)).map(|part| {
            let started = std::thread::Builder::new().spawn_scoped(scope, move || work(part));
            started.map_err(|_| part)
        });
        let parts: Vec<_> = parts.collect();
        let mut all = work(own);
        for part in parts {
            match part {
                Ok(thread) => all.extend(thread.join().unwrap_or_default()),
                // The system refuses a thread.
                Err(part) => all.extend(work(part)),
            }
        }
        all
    })
}
