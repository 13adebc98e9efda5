//! A terminal with a program in it, and hands that type.

use std::fs::File;
use std::io::{Read as _, Write as _};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};
use rustix::fs::{Mode, OFlags};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{Winsize, tcsetwinsize};

use super::stage::Stage;
use crate::run::shown;

/// A pseudo-terminal whose foreground program was started here. Dropping it hangs up.
pub(crate) struct Terminal {
    line: String,
    hands: File,
    child: Child,
    screen: Arc<Mutex<Screen>>,
}

#[derive(Default)]
struct Screen {
    bytes: Vec<u8>,
    ended: Option<Instant>,
}

impl Terminal {
    /// Starts the command with a terminal of that size as its controlling one.
    pub(crate) fn start(command: &Command, columns: u16, rows: u16) -> Result<Self> {
        let (hands, child) = launch(command, columns, rows)?;
        let screen = Arc::new(Mutex::new(Screen::default()));
        watch(hands.try_clone()?, Arc::clone(&screen));
        Ok(Self { line: shown(command), hands, child, screen })
    }

    /// Types.
    pub(crate) fn type_text(&mut self, text: &str) -> Result<()> {
        self.hands.write_all(text.as_bytes()).with_context(|| format!("cannot type into `{}`", self.line))
    }

    /// Changes the window's size.
    pub(crate) fn resize(&self, columns: u16, rows: u16) -> Result<()> {
        Ok(tcsetwinsize(&self.hands, size(columns, rows))?)
    }

    /// Everything that was shown so far.
    pub(crate) fn shown(&self) -> String {
        String::from_utf8_lossy(&self.screen.lock().unwrap_or_else(PoisonError::into_inner).bytes).into_owned()
    }

    /// Waits until the text is shown.
    pub(crate) fn expect(&mut self, stage: &Stage, text: &str, limit: Duration) -> Result<()> {
        let what = format!("«{text}» on the terminal of `{}`", self.line);
        let seen = stage.wait(&what, limit, || {
            // Asked first: once it has ended, everything that it showed is there.
            let ended = self.ended().is_some();
            if self.shown().contains(text) {
                return Ok(Some(true));
            }
            Ok(ended.then_some(false))
        });
        match seen {
            Ok(true) => Ok(()),
            Ok(false) => Err(anyhow::anyhow!("{what}: it ended first\n{}", self.shown())),
            Err(error) => Err(error.context(self.shown())),
        }
    }

    /// Waits until the program is gone, and says when its last word came.
    pub(crate) fn wait_end(&mut self, stage: &Stage, limit: Duration) -> Result<(Instant, ExitStatus)> {
        let what = format!("the end of `{}`", self.line);
        let status = stage.wait(&what, limit, || Ok(self.child.try_wait()?))?;
        let ended = stage.wait(&what, limit, || Ok(self.ended()))?;
        Ok((ended, status))
    }

    fn ended(&self) -> Option<Instant> {
        self.screen.lock().unwrap_or_else(PoisonError::into_inner).ended
    }
}

impl Drop for Terminal {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Starts the command with a terminal of that size as its controlling one; returns the side that types and looks.
pub(crate) fn launch(command: &Command, columns: u16, rows: u16) -> Result<(File, Child)> {
    let hands = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC)?;
    grantpt(&hands)?;
    unlockpt(&hands)?;
    let name = ptsname(&hands, Vec::new())?;
    let far = rustix::fs::open(name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty())?;
    tcsetwinsize(&hands, size(columns, rows))?;
    // `setsid --ctty` makes the terminal the controlling one; doing it here would take unsafe code.
    let mut setsid = Command::new("setsid");
    setsid.arg("--ctty").arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => setsid.env(name, value),
            None => setsid.env_remove(name),
        };
    }
    let child = setsid
        .env("TERM", "xterm-256color")
        .stdin(Stdio::from(far.try_clone()?))
        .stdout(Stdio::from(far.try_clone()?))
        .stderr(Stdio::from(far))
        .spawn()
        .with_context(|| format!("cannot start `{}`", shown(command)))?;
    Ok((File::from(hands), child))
}

/// Reads the terminal to its end; reading fails once the last program has closed it.
fn watch(mut eyes: File, screen: Arc<Mutex<Screen>>) {
    thread::spawn(move || {
        let mut buffer = [0; 4096];
        loop {
            let read = eyes.read(&mut buffer).ok().filter(|read| *read > 0);
            let mut screen = screen.lock().unwrap_or_else(PoisonError::into_inner);
            let Some(bytes) = read.and_then(|read| buffer.get(..read)) else {
                screen.ended = Some(Instant::now());
                return;
            };
            screen.bytes.extend_from_slice(bytes);
        }
    });
}

fn size(columns: u16, rows: u16) -> Winsize {
    Winsize { ws_col: columns, ws_row: rows, ws_xpixel: 0, ws_ypixel: 0 }
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::Terminal;
    use crate::site::Stage;

    const SOON: Duration = Duration::from_secs(20);

    #[test]
    fn a_program_has_a_controlling_terminal_of_the_size_that_was_set() {
        let stage = Stage::set().unwrap();
        let mut command = Command::new("sh");
        command.args(["-c", "read line </dev/tty; stty size; echo got-$line"]);
        let mut terminal = Terminal::start(&command, 80, 24).unwrap();
        terminal.resize(101, 33).unwrap();
        terminal.type_text("word\n").unwrap();
        terminal.expect(&stage, "33 101", SOON).unwrap();
        terminal.expect(&stage, "got-word", SOON).unwrap();
        assert!(terminal.wait_end(&stage, SOON).unwrap().1.success());
    }
}
