//! A proxy, a target, a CA and a person.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use model::RequestId;
use portcullis_proxy::{Config, HostKey, Millis, Parts, Proxy};
use recordings::Vault;
use ssh_key::{Certificate, LineEnding, PublicKey};
use tempfile::TempDir;
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::authority::{Authority, Line, Machine, new_key};
use crate::sshd::{Proof, Sshd, write};

pub const HOUR: Duration = Duration::from_secs(3600);

pub struct World {
    pub folder: TempDir,
    pub authority: Arc<Authority>,
    pub sshd: Sshd,
    pub port: u16,
    pub host_key: HostKey,
    /// Whose clock the proxy reads.
    pub machine: Machine,
    stop: Option<oneshot::Sender<()>>,
    proxy: Option<JoinHandle<()>>,
}

impl World {
    /// A world with `web1`, its sshd, and nobody in it.
    pub async fn new() -> Self {
        Self::with(|_| {}).await
    }

    pub async fn with(change: impl FnOnce(&mut Config)) -> Self {
        Self::in_folder(TempDir::new().unwrap(), change).await
    }

    /// Everything in this folder, the recordings in one of that name.
    pub async fn in_folder(folder: TempDir, change: impl FnOnce(&mut Config)) -> Self {
        let _ = tracing_subscriber::fmt()
            .with_env_filter(tracing_subscriber::EnvFilter::from_default_env())
            .with_writer(std::io::stderr)
            .try_init();
        let authority = Authority::new();
        let sshd = Sshd::start(folder.path(), &authority, Proof::Certificate("web1"), "web1", "").await;
        authority.add_target("web1", &[format!("127.0.0.1:{}", sshd.port)], &[]);
        // What people are told is tested here on machines that have much else to do; how long it may take is benched.
        let mut config = Config { notice: Millis(2000), ..Config::default() };
        change(&mut config);
        let machine = Machine::default();
        let parts = Parts {
            name: "proxy1".parse().unwrap(),
            config,
            control: Arc::new(Line(authority.clone())),
            vault: Vault::open(folder.path().join("recordings")).unwrap(),
            host_key: new_key(),
            ambient: Arc::new(machine.clone()),
        };
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Proxy::start(parts).await.unwrap();
        let host_key = proxy.host_key();
        let (stop, stopped) = oneshot::channel();
        let proxy = tokio::spawn(proxy.serve(listener, async move {
            let _ = stopped.await;
        }));
        let known = format!("@cert-authority * {}\n", authority.front_ca.public_key().to_openssh().unwrap());
        write(&folder.path().join("known_hosts"), &known, 0o644);
        Self { folder, authority, sshd, port, host_key, machine, stop: Some(stop), proxy: Some(proxy) }
    }

    /// A person with a certificate.
    pub fn person(&self, name: &str) -> Person {
        self.person_for(name, HOUR)
    }

    pub fn person_for(&self, name: &str, time: Duration) -> Person {
        self.person_with(name, |key| self.authority.person(name, key, time))
    }

    /// A person without a certificate, whose key the directory knows.
    pub fn plain(&self, name: &str) -> Person {
        let person = self.person(name);
        let key = std::fs::read_to_string(with(&person.key, ".pub")).unwrap();
        self.authority.register(name, &PublicKey::from_openssh(&key).unwrap());
        std::fs::remove_file(with(&person.key, "-cert.pub")).unwrap();
        person
    }

    /// A person whose certificate names a grant.
    pub fn person_under(&self, name: &str, grant: &RequestId) -> Person {
        self.person_with(name, |key| self.authority.person_under(name, key, grant))
    }

    fn person_with(&self, name: &str, certify: impl FnOnce(&PublicKey) -> Certificate) -> Person {
        let key = new_key();
        let at = self.folder.path().join(format!("{name}-{}", crate::authority::random_bits()));
        write(&at, key.to_openssh(LineEnding::LF).unwrap().as_str(), 0o600);
        let certificate = certify(key.public_key());
        write(&with(&at, "-cert.pub"), &certificate.to_openssh().unwrap(), 0o644);
        write(&with(&at, ".pub"), &key.public_key().to_openssh().unwrap(), 0o644);
        Person { key: at, port: self.port, folder: self.folder.path().to_owned() }
    }

    /// The text of the one recording that there is, once it is closed and entered.
    pub async fn only_recording(&self) -> String {
        let mut found = Vec::new();
        crate::client::until("a recording is filed", || {
            found = self.recordings();
            !found.is_empty()
        })
        .await;
        assert_eq!(found.len(), 1, "{found:?}");
        std::fs::read_to_string(&found[0]).unwrap()
    }

    /// The files of recordings that are closed and entered.
    pub fn recordings(&self) -> Vec<PathBuf> {
        let list = |folder: &Path| -> Vec<PathBuf> {
            std::fs::read_dir(folder).into_iter().flatten().map(|entry| entry.unwrap().path()).collect()
        };
        let days = list(&self.folder.path().join("recordings"));
        let days = days.iter().filter(|day| !day.ends_with("open"));
        days.flat_map(|day| list(day)).flat_map(|session| list(&session)).collect()
    }

    /// Whether the vault still closes or files something.
    fn is_busy(&self) -> bool {
        let open = self.folder.path().join("recordings/open");
        std::fs::read_dir(open).is_ok_and(|mut entries| entries.next().is_some())
    }

    /// Stops the proxy in order.
    pub async fn stop(&mut self) {
        let _ = self.stop.take().unwrap().send(());
        self.proxy.take().unwrap().await.unwrap();
    }
}

impl Drop for World {
    /// Stops the proxy before its folder goes, so that nothing is written into it again.
    fn drop(&mut self) {
        let (Some(stop), Some(proxy)) = (self.stop.take(), self.proxy.take()) else { return };
        let _ = stop.send(());
        let end = async {
            let _ = tokio::time::timeout(Duration::from_secs(20), proxy).await;
            for _ in 0..100 {
                if !self.is_busy() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        };
        tokio::task::block_in_place(|| tokio::runtime::Handle::current().block_on(end));
    }
}

/// A person: a key, a certificate, and the settings of their `ssh`.
#[derive(Clone)]
pub struct Person {
    pub key: PathBuf,
    pub port: u16,
    pub folder: PathBuf,
}

fn with(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    name.into()
}
