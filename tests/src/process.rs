//! Processes that never outlive their test, and waits that never outlive their limit.

use std::fmt;
use std::io::Read;
use std::net::{SocketAddr, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail};

/// A command that has ended.
pub struct Finished {
    /// How.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error, as text.
    pub stderr: String,
}

impl fmt::Debug for Finished {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { status, stderr, .. } = self;
        write!(f, "{status}, stdout {:?}, stderr {stderr:?}", self.text())
    }
}

impl Finished {
    /// Standard output as text.
    #[must_use]
    pub fn text(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// The same, when it succeeded.
    ///
    /// # Errors
    /// It failed: both streams are in the error.
    pub fn ok(self) -> Result<Self> {
        if self.status.success() {
            return Ok(self);
        }
        bail!("it failed with {}:\n{}{}", self.status, self.text(), self.stderr)
    }
}

/// Runs a command to its end, which must come within `limit`.
///
/// # Errors
/// It cannot be started, or does not end in time; then it is killed.
pub fn run(command: &mut Command, limit: Duration) -> Result<Finished> {
    let mut child = command
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .with_context(|| format!("cannot start {command:?}"))?;
    let stdout = drain(child.stdout.take());
    let stderr = drain(child.stderr.take());
    let started = Instant::now();
    let status = loop {
        if let Some(status) = child.try_wait()? {
            break status;
        }
        if started.elapsed() > limit {
            let _ = child.kill();
            let _ = child.wait();
            let said = String::from_utf8_lossy(&stderr.join().unwrap_or_default()).into_owned();
            bail!("{command:?} did not end within {} s:\n{said}", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(3));
    };
    let stdout = stdout.join().unwrap_or_default();
    let stderr = String::from_utf8_lossy(&stderr.join().unwrap_or_default()).into_owned();
    Ok(Finished { status, stdout, stderr })
}

/// Asks again and again until there is an answer or the limit is reached.
///
/// # Errors
/// No answer within the limit, or the probe failed.
pub fn wait_for<T>(what: &str, limit: Duration, mut probe: impl FnMut() -> Result<Option<T>>) -> Result<T> {
    let started = Instant::now();
    loop {
        if let Some(answer) = probe()? {
            return Ok(answer);
        }
        if started.elapsed() > limit {
            bail!("{what}: not within {} s", limit.as_secs());
        }
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// A process in the background, killed when it is dropped. What it writes goes into a file.
pub struct Background {
    child: Child,
    log: PathBuf,
    name: String,
}

impl Background {
    /// Starts it.
    ///
    /// # Errors
    /// It cannot be started.
    pub fn start(name: &str, command: &mut Command, log: &Path) -> Result<Self> {
        let file = std::fs::OpenOptions::new().create(true).append(true).open(log)?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone()?)
            .stderr(file)
            .spawn()
            .with_context(|| format!("cannot start {name}"))?;
        Ok(Self { child, log: log.to_owned(), name: name.to_owned() })
    }

    /// What it wrote so far.
    #[must_use]
    pub fn log(&self) -> String {
        std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).unwrap_or_default()
    }

    /// Its process id.
    #[must_use]
    pub fn id(&self) -> u32 {
        self.child.id()
    }

    /// Fails when it has ended.
    ///
    /// # Errors
    /// It has ended; its log is in the error.
    pub fn check(&mut self) -> Result<()> {
        match self.child.try_wait()? {
            None => Ok(()),
            Some(status) => bail!("{} ended with {status}:\n{}", self.name, self.log()),
        }
    }

    /// Waits until it listens.
    ///
    /// # Errors
    /// It has ended, or does not listen within the limit.
    pub fn listens(&mut self, address: SocketAddr, limit: Duration) -> Result<()> {
        wait_for(&format!("{} to listen", self.name.clone()), limit, || {
            self.check()?;
            Ok(TcpStream::connect_timeout(&address, Duration::from_millis(200)).ok().map(drop))
        })
    }

    /// Waits for its end.
    ///
    /// # Errors
    /// It does not end within the limit.
    pub fn end(&mut self, limit: Duration) -> Result<ExitStatus> {
        let child = &mut self.child;
        let name = self.name.clone();
        wait_for(&format!("the end of {name}"), limit, || Ok(child.try_wait()?)).with_context(|| self.log())
    }

    /// Sends it a signal.
    ///
    /// # Errors
    /// It is gone.
    pub fn signal(&self, signal: rustix::process::Signal) -> Result<()> {
        let pid = rustix::process::Pid::from_child(&self.child);
        Ok(rustix::process::kill_process(pid, signal)?)
    }

    /// `kill -9`, and waits for it.
    pub fn kill(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Drop for Background {
    fn drop(&mut self) {
        self.kill();
    }
}

fn drain(pipe: Option<impl Read + Send + 'static>) -> std::thread::JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut pipe) = pipe {
            let _ = pipe.read_to_end(&mut bytes);
        }
        bytes
    })
}
