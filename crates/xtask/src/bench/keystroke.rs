//! How long a keystroke takes to its echo: stock ssh in a pseudo-terminal, which is what a person types into.
//!
//! The client is the same program each way, so what it takes itself is in every number and falls out of the difference.
//! All ways are connected at once and are typed into in turn, so that what the machine does besides hits all alike.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::Child;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use rustix::event::{PollFd, PollFlags, Timespec, poll};

use super::field::Ground;
use super::row::{Row, Times, compared};
use super::sizes::Sizes;
use super::way::{USUAL_CIPHER, Way, in_turn};
use crate::site::{Site, launch};

/// Longer than anything takes that a keystroke sets off, and shorter than between two of a person.
const PAUSE: Duration = Duration::from_millis(5);
const LIMIT: Timespec = Timespec { tv_sec: 20, tv_nsec: 0 };
/// Typed before it counts: the first keystrokes of a connection meet cold caches.
const WARM_UP: usize = 10;
/// `cat` answers each byte, because nothing else does: the terminal passes bytes as they come and echoes none.
const COMMAND: &str = "stty raw -echo && echo ready && exec cat";

/// The time from a keystroke to its echo.
pub(crate) fn keystroke(ground: &Ground, sizes: Sizes) -> Result<Vec<Row>> {
    let mut times = Way::ALL.map(|way| (way, Vec::new()));
    for _ in 0..sizes.typists {
        let typists = Way::ALL.into_iter().map(|way| Typist::sit_down(&ground.site, way));
        let mut typists = typists.collect::<Result<Vec<_>>>()?;
        for index in 0..WARM_UP + sizes.keys {
            for (typist, (_, times)) in in_turn(typists.iter_mut().zip(&mut times), index) {
                thread::sleep(PAUSE);
                ensure!(!ground.site.stage.interrupted(), "interrupted while typing");
                let echo = typist.press()?;
                if index >= WARM_UP {
                    times.push(echo.as_secs_f64() * 1e6);
                }
            }
        }
    }
    Ok(rows(&times))
}

/// The rows: the percentiles, and by how much each is above the same of direct ssh.
pub(crate) fn rows(times: &Times) -> Vec<Row> {
    let mut rows = Vec::new();
    for (word, percent) in [("p50", 50.0), ("p99", 99.0)] {
        let measured = compared("keystroke", "µs", percent, times, |way| format!("{way}, {word}"));
        let added = compared("keystroke", "µs", percent, times, |way| format!("{way}, added {word}"));
        let added = added
            .into_iter()
            .filter_map(|row| Some(Row { value: row.value - row.baseline?, baseline: None, proxy_jump: None, ..row }));
        rows.extend(measured.into_iter().chain(added.collect::<Vec<_>>()));
    }
    rows
}

/// Hands on a terminal with ssh in it.
struct Typist {
    way: Way,
    hands: File,
    ssh: Child,
}

impl Typist {
    /// Connects, and waits until `cat` is about to run.
    fn sit_down(site: &Site, way: Way) -> Result<Self> {
        let mut ssh = way.ssh(site, USUAL_CIPHER);
        let (hands, ssh) = launch(ssh.args(["-tt", COMMAND]), 80, 24)?;
        let mut typist = Self { way, hands, ssh };
        let mut shown = Vec::new();
        while !(shown.ends_with(b"\n") && shown.trim_ascii_end().ends_with(b"ready")) {
            let read = typist.read();
            shown.extend(read.with_context(|| String::from_utf8_lossy(&shown).into_owned())?);
        }
        Ok(typist)
    }

    /// Types a byte and waits until it is shown.
    fn press(&mut self) -> Result<Duration> {
        let start = Instant::now();
        self.hands.write_all(b"x")?;
        let shown = self.read()?;
        let taken = start.elapsed();
        ensure!(shown == b"x", "by {} «{}» came for a keystroke", self.way, String::from_utf8_lossy(&shown));
        Ok(taken)
    }

    fn read(&mut self) -> Result<Vec<u8>> {
        if poll(&mut [PollFd::new(&self.hands, PollFlags::IN)], Some(&LIMIT))? == 0 {
            bail!("by {} nothing came", self.way);
        }
        let mut buffer = [0; 4096];
        let read = self.hands.read(&mut buffer).with_context(|| format!("ssh by {} ended", self.way))?;
        Ok(buffer.get(..read).unwrap_or_default().to_vec())
    }
}

impl Drop for Typist {
    fn drop(&mut self) {
        let _ = self.ssh.kill();
        let _ = self.ssh.wait();
    }
}

#[cfg(test)]
mod tests {
    use super::rows;
    use crate::bench::way::{Recording, Way};

    #[test]
    fn what_is_added_is_the_difference_of_the_percentiles() {
        let login = Way::Login(Recording::Strict);
        let times = [(Way::Direct, vec![500.0, 510.0, 520.0]), (login, vec![600.0, 640.0, 900.0])];
        let rows = rows(&times);
        let found: Vec<_> = rows.iter().map(|row| (row.case.as_str(), row.value, row.baseline)).collect();
        assert_eq!(
            found,
            [
                ("login+target, p50", 640.0, Some(510.0)),
                ("login+target, added p50", 130.0, None),
                ("login+target, p99", 900.0, Some(520.0)),
                ("login+target, added p99", 380.0, None),
            ]
        );
    }
}
