//! One folder for everything that a run makes, one flag for Ctrl-C, and no wait without a bound.

use std::fs;
use std::io::Read;
use std::net::TcpListener;
use std::ops::Range;
use std::os::unix::fs::PermissionsExt as _;
use std::path::PathBuf;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};
use signal_hook::consts::{SIGHUP, SIGINT, SIGTERM};
use tempfile::TempDir;

use crate::run::shown;

const POLL: Duration = Duration::from_millis(2);

/// Where free ports are looked for.
const PORTS: Range<u16> = 12_000..32_000;

/// Where a run takes place. Dropping it removes the folder.
pub(crate) struct Stage {
    folder: TempDir,
    interrupted: Arc<AtomicBool>,
}

/// A command that has ended.
pub(crate) struct Ran {
    pub(crate) status: ExitStatus,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    pub(crate) took: Duration,
}

impl Ran {
    /// What it wrote, both streams, as text: notes first, the answer last.
    pub(crate) fn text(&self) -> String {
        let mut text = String::from_utf8_lossy(&self.stderr).into_owned();
        text.push_str(&self.out());
        text
    }

    /// What it wrote to standard output, as text.
    pub(crate) fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }
}

impl Stage {
    /// Makes the folder and takes Ctrl-C over: from now on it ends waits instead of the program, so that everything is
    /// cleaned up on the way out.
    pub(crate) fn set() -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("portcullis-").tempdir()?;
        // The server's own user passes through it.
        fs::set_permissions(folder.path(), fs::Permissions::from_mode(0o711))?;
        let interrupted = Arc::new(AtomicBool::new(false));
        for signal in [SIGINT, SIGTERM, SIGHUP] {
            signal_hook::flag::register(signal, Arc::clone(&interrupted))?;
        }
        Ok(Self { folder, interrupted })
    }

    /// A path on the stage.
    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// A folder on the stage, made.
    pub(crate) fn folder(&self, name: &str) -> Result<PathBuf> {
        let path = self.path(name);
        fs::create_dir_all(&path).with_context(|| format!("cannot make {}", path.display()))?;
        Ok(path)
    }

    /// Whether someone wants this to end.
    pub(crate) fn interrupted(&self) -> bool {
        self.interrupted.load(Ordering::SeqCst)
    }

    /// Asks again and again until there is an answer, the limit is reached, or someone interrupts.
    pub(crate) fn wait<T>(
        &self,
        what: &str,
        limit: Duration,
        mut probe: impl FnMut() -> Result<Option<T>>,
    ) -> Result<T> {
        let start = Instant::now();
        loop {
            if let Some(answer) = probe()? {
                return Ok(answer);
            }
            if self.interrupted() {
                bail!("interrupted while waiting for {what}");
            }
            if start.elapsed() > limit {
                bail!("{what}: not within {} s", limit.as_secs());
            }
            thread::sleep(POLL);
        }
    }

    /// Runs a command to its end and keeps what it writes. One that fails is a result, not an error; one that does not
    /// end within the limit is killed, and an error.
    pub(crate) fn finish(&self, command: &mut Command, input: &[u8], limit: Duration) -> Result<Ran> {
        let line = shown(command);
        let start = Instant::now();
        let mut child = command
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .with_context(|| format!("cannot start `{line}`"))?;
        let feeder = feed(child.stdin.take(), input.to_vec());
        let stdout = collect(child.stdout.take());
        let stderr = collect(child.stderr.take());
        let status = match self.wait(&format!("`{line}`"), limit, || Ok(child.try_wait()?)) {
            Ok(status) => status,
            Err(error) => {
                end(&mut child);
                let written = stderr.join().unwrap_or_default();
                let written = String::from_utf8_lossy(&written);
                return Err(if written.is_empty() { error } else { error.context(written.into_owned()) });
            }
        };
        let took = start.elapsed();
        let stdout = stdout.join().unwrap_or_default();
        let stderr = stderr.join().unwrap_or_default();
        drop(feeder);
        Ok(Ran { status, stdout, stderr, took })
    }
}

/// A TCP port of the loopback that is free now, and none of those that the kernel gives to outgoing connections (from
/// 32,768): one of them would take it before its server does.
pub(crate) fn free_port() -> Result<u16> {
    static CALLS: AtomicU32 = AtomicU32::new(0);
    (0..PORTS.len())
        .find_map(|_| {
            // Runs side by side begin at different places.
            let place = std::process::id().wrapping_mul(97).wrapping_add(CALLS.fetch_add(1, Ordering::Relaxed));
            let port = PORTS.start + u16::try_from(place % u32::from(PORTS.end - PORTS.start)).ok()?;
            TcpListener::bind(("127.0.0.1", port)).is_ok().then_some(port)
        })
        .context("no port is free")
}

fn feed(pipe: Option<impl std::io::Write + Send + 'static>, input: Vec<u8>) -> JoinHandle<()> {
    thread::spawn(move || {
        if let Some(mut pipe) = pipe {
            // A command that does not read its input to the end is nobody's error.
            let _ = pipe.write_all(&input);
        }
    })
}

fn collect(pipe: Option<impl Read + Send + 'static>) -> JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}

fn end(child: &mut Child) {
    let _ = child.kill();
    let _ = child.wait();
}

#[cfg(test)]
mod tests {
    use std::process::Command;
    use std::time::Duration;

    use super::Stage;

    #[test]
    fn a_command_gets_its_input_and_gives_its_output() {
        let stage = Stage::set().unwrap();
        let ran = stage.finish(&mut Command::new("cat"), b"hello", Duration::from_secs(10)).unwrap();
        assert!(ran.status.success());
        assert_eq!(ran.out(), "hello");
    }

    #[test]
    fn a_command_that_does_not_end_is_killed() {
        let stage = Stage::set().unwrap();
        let error = stage.finish(Command::new("sleep").arg("600"), b"", Duration::from_millis(50));
        assert!(format!("{:#}", error.err().unwrap()).contains("sleep 600"));
    }
}
