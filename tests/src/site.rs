//! A whole site: data directory, CA and proxy, a server that trusts them, and people.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::LazyLock;
use std::time::Duration;

use anyhow::{Context as _, Result, bail};
use tempfile::TempDir;

use crate::person::Person;
use crate::process::{Background, run, wait_for};
use crate::sshd::Sshd;

/// The longest that any step of the set-up may take: the machine may be busy with other tests.
const LIMIT: Duration = Duration::from_secs(90);
/// What seals the keys of a test's site.
pub const PASSPHRASE: &str = "only for this test";

/// The login that tests use on `web1`: `sshd` runs as root, and every machine has root.
pub const PLACE: &str = "root@web1";

/// How CA and proxy run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    /// `portcullis up`: both in one process.
    Together,
    /// `portcullis ca` and `portcullis proxy`.
    Apart,
}

/// A running site. alice is an engineer, bob approves, carol administers, dana is in security.
pub struct Site {
    // Dropped in this order: processes first, their folder last.
    servers: Vec<Background>,
    /// The server `web1`.
    pub web1: Sshd,
    /// An engineer.
    pub alice: Person,
    /// An approver.
    pub bob: Person,
    /// The administrator.
    pub carol: Person,
    /// A security analyst.
    pub dana: Person,
    layout: Layout,
    api_port: u16,
    proxy_port: u16,
    folder: TempDir,
}

impl Site {
    /// Sets everything up with the policy that `init` writes, and lets everyone log in.
    ///
    /// # Errors
    /// A step fails; the error has its output.
    pub fn start() -> Result<Self> {
        Self::with(Layout::Together, None)
    }

    /// Sets everything up with CA and proxy in this layout, and with this policy.
    ///
    /// # Errors
    /// A step fails; the error has its output.
    pub fn with(layout: Layout, policy: Option<&str>) -> Result<Self> {
        let folder = tempfile::Builder::new().prefix("portcullis-e2e-").tempdir()?;
        let person = |name| Person::new(folder.path(), name);
        let (alice, bob, carol, dana) = (person("alice")?, person("bob")?, person("carol")?, person("dana")?);
        let (api_port, proxy_port, web1_port) = (Sshd::free_port()?, Sshd::free_port()?, Sshd::free_port()?);
        let site = folder.path().join("site");
        let mut init = server(&["init"]);
        init.arg(&site).args(["--admin", "carol", "--admin-key"]).arg(carol.key().with_extension("pub"));
        init.args(["--listen", &format!("127.0.0.1:{api_port}"), "--proxy-listen", &format!("127.0.0.1:{proxy_port}")]);
        init.args(["--source-address", "127.0.0.1"]);
        run(&mut init, LIMIT)?.ok().context("portcullis init")?;
        add_people(&site.join("directory.toml"), &[(&alice, "engineers"), (&bob, "approvers"), (&dana, "security")])?;
        if let Some(policy) = policy {
            fs::write(site.join("policy.cedar"), policy)?;
        }
        let servers = start_servers(layout, folder.path())?;

        // carol registers web1 with the host key that she holds, and gets its host certificate and its sshd lines.
        let web1_folder = folder.path().join("web1");
        let host_key = Sshd::host_key(&web1_folder)?;
        let root = site.join("data").join("tls-root.pem");
        let api = format!("https://127.0.0.1:{api_port}");
        for person in [&alice, &bob, &carol, &dana] {
            person.login(&api, &root)?;
        }
        let certificate = add_target(&carol, "web1", web1_port, &host_key)?;
        let user_ca = fs::read_to_string(site.join("data").join("keys").join("user-ca.pub"))?;
        let web1 = Sshd::start(&web1_folder, web1_port, "web1", "root", &user_ca, Some(&certificate))?;
        Ok(Self { servers, web1, alice, bob, carol, dana, layout, api_port, proxy_port, folder })
    }

    /// The program under test. Cargo does not know that these tests need it, so the first test brings it up to date.
    #[must_use]
    pub fn binary() -> &'static Path {
        static BINARY: LazyLock<PathBuf> = LazyLock::new(|| {
            let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
            build
                .args(["build", "--quiet", "--locked", "--package", "portcullis-cli"])
                .current_dir(env!("CARGO_MANIFEST_DIR"));
            if !cfg!(debug_assertions) {
                build.arg("--release");
            }
            let built = run(&mut build, Duration::from_secs(1800)).and_then(crate::process::Finished::ok);
            // Without it every test fails at its first command, and says why.
            let mut path = std::env::current_exe().unwrap_or_default();
            path.pop();
            if path.ends_with("deps") {
                path.pop();
            }
            match built {
                Ok(_) => path.join("portcullis"),
                Err(error) => PathBuf::from(format!("portcullis, which does not build: {error}")),
            }
        });
        &BINARY
    }

    /// The API's address.
    #[must_use]
    pub fn api(&self) -> String {
        format!("https://127.0.0.1:{}", self.api_port)
    }

    /// The proxy's port on the loopback.
    #[must_use]
    pub const fn proxy_port(&self) -> u16 {
        self.proxy_port
    }

    /// The folder of `portcullis.toml`, `policy.cedar` and `directory.toml`.
    #[must_use]
    pub fn folder(&self) -> PathBuf {
        self.folder.path().join("site")
    }

    /// The data directory.
    #[must_use]
    pub fn data(&self) -> PathBuf {
        self.folder().join("data")
    }

    /// A path of this test's own.
    #[must_use]
    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// carol registers one more server on this machine, with the host key that she holds, and gets its host certificate.
    ///
    /// # Errors
    /// It is refused.
    pub fn add_target(&self, name: &str, port: u16, host_key: &Path) -> Result<String> {
        add_target(&self.carol, name, port, host_key)
    }

    /// One more server on this machine, registered, with a host key of the type that these options of `ssh-keygen` name, a
    /// host certificate for it, and more lines of configuration in front.
    ///
    /// # Errors
    /// A step is refused, or `sshd` does not come up.
    pub fn server(&self, name: &str, key: &[&str], more: &str) -> Result<Sshd> {
        let (folder, port) = (self.path(name), Sshd::free_port()?);
        let host_key = Sshd::host_key_of(&folder, key)?;
        let certificate = self.add_target(name, port, &host_key)?;
        Sshd::start_with(&folder, port, name, "root", &self.user_ca()?, Some(&certificate), more)
    }

    /// The same without a host certificate: the key itself is pinned.
    ///
    /// # Errors
    /// A step is refused, or `sshd` does not come up.
    pub fn pinned_server(&self, name: &str, key: &[&str], more: &str) -> Result<Sshd> {
        let (folder, port) = (self.path(name), Sshd::free_port()?);
        let host_key = Sshd::host_key_of(&folder, key)?.display().to_string();
        let address = format!("127.0.0.1:{port}");
        let words = ["target", "add", name, "--login", "root", "--label", "env=prod", "--address", &address];
        self.carol.portcullis(&[&words[..], &["--host-key", &host_key, "--pin"]].concat())?.ok()?;
        Sshd::start_with(&folder, port, name, "root", &self.user_ca()?, None, more)
    }

    fn user_ca(&self) -> Result<String> {
        Ok(fs::read_to_string(self.data().join("keys").join("user-ca.pub"))?)
    }

    /// alice asks for `root@web1`, bob approves, and alice holds the certificate and the ssh configuration. Returns the
    /// grant's id.
    ///
    /// # Errors
    /// A step is refused.
    pub fn grant(&self, duration: &str) -> Result<String> {
        self.grant_for(PLACE, duration)
    }

    /// The same for another place.
    ///
    /// # Errors
    /// A step is refused.
    pub fn grant_for(&self, place: &str, duration: &str) -> Result<String> {
        let asked = self.alice.json(&["request", place, "--for", duration, "--reason", "a test", "--no-wait"])?;
        let id = text(&asked, "id")?;
        self.bob.portcullis(&["approve", &id])?.ok().context("bob approves")?;
        self.certify(&id)?;
        Ok(id)
    }

    /// alice gets the certificate of a grant, and the ssh configuration.
    ///
    /// # Errors
    /// A step is refused.
    pub fn certify(&self, id: &str) -> Result<()> {
        self.alice.portcullis(&["cert", id])?.ok().context("alice gets the certificate")?;
        self.alice.portcullis(&["ssh-config", "--write"])?.ok().context("alice writes the ssh configuration")?;
        Ok(())
    }

    /// `kill -9` for CA and proxy.
    pub fn kill_servers(&mut self) {
        for server in &mut self.servers {
            server.kill();
        }
        self.servers.clear();
        let _ = fs::remove_file(self.path("ready-0"));
        let _ = fs::remove_file(self.path("ready-1"));
    }

    /// Starts CA and proxy again.
    ///
    /// # Errors
    /// They do not come up.
    pub fn restart_servers(&mut self) -> Result<()> {
        self.servers = start_servers(self.layout, self.folder.path())?;
        Ok(())
    }

    /// Stops a server in its tracks, or lets it go on; the second is the proxy where there are two.
    ///
    /// # Errors
    /// There is none.
    pub fn freeze(&self, number: usize, frozen: bool) -> Result<()> {
        use rustix::process::Signal;
        let server = self.servers.get(number).context("no such server")?;
        server.signal(if frozen { Signal::STOP } else { Signal::CONT })
    }

    /// What CA and proxy logged.
    #[must_use]
    pub fn log(&self) -> String {
        self.servers.iter().map(Background::log).collect()
    }

    /// A session of alice's that lasts, once it has begun.
    ///
    /// # Errors
    /// It does not begin.
    pub fn live_session(&self) -> Result<Background> {
        let mut ssh = self.alice.stock("ssh", &[PLACE, "echo begun; sleep 600"]);
        let mut live = Background::start("ssh", &mut ssh, &self.path("ssh.log"))?;
        wait_for("the session", LIMIT, || {
            live.check()?;
            Ok(live.log().contains("begun").then_some(()))
        })?;
        Ok(live)
    }

    /// Waits until the ledger has a record of this kind under this grant, and returns it.
    ///
    /// # Errors
    /// It does not come in time.
    pub fn record(&self, grant: &str, kind: &str) -> Result<serde_json::Value> {
        wait_for(&format!("a record {kind}"), LIMIT, || {
            let page = self.dana.json(&["ledger", "show", "--request", grant, "--kind", kind])?;
            let records = page.as_array().cloned().or_else(|| page.get("records")?.as_array().cloned());
            Ok(records.unwrap_or_default().into_iter().next_back())
        })
        .with_context(|| self.log())
    }
}

/// A text field of an answer.
///
/// # Errors
/// It is not there.
pub fn text(value: &serde_json::Value, field: &str) -> Result<String> {
    match value.get(field).and_then(serde_json::Value::as_str) {
        Some(text) => Ok(text.to_owned()),
        None => bail!("no text {field:?} in {value}"),
    }
}

fn add_target(carol: &Person, name: &str, port: u16, host_key: &Path) -> Result<String> {
    let (address, host_key) = (format!("127.0.0.1:{port}"), host_key.display().to_string());
    let words = ["target", "add", name, "--login", "root", "--label", "env=prod", "--address", &address];
    let added = carol.json(&[&words[..], &["--host-key", &host_key]].concat())?;
    find_text(&added, "-cert-v01@openssh.com").context("target add gave no host certificate")
}

fn server(words: &[&str]) -> Command {
    let mut command = Command::new(Site::binary());
    command.args(words).env("PORTCULLIS_PASSPHRASE", PASSPHRASE).env("NO_COLOR", "1").env_remove("SSH_AUTH_SOCK");
    command
}

fn start_servers(layout: Layout, folder: &Path) -> Result<Vec<Background>> {
    let config = folder.join("site").join("portcullis.toml");
    let verbs: &[&str] = match layout {
        Layout::Together => &["up"],
        Layout::Apart => &["ca", "proxy"],
    };
    let mut servers = Vec::new();
    for (number, verb) in verbs.iter().enumerate() {
        let ready = folder.join(format!("ready-{number}"));
        let mut command = server(&[verb, "--ready-file"]);
        command.arg(&ready).arg("--config").arg(&config);
        let mut server = Background::start(verb, &mut command, &folder.join(format!("{verb}.log")))?;
        wait_for(&format!("portcullis {verb}"), LIMIT, || {
            server.check()?;
            Ok(ready.exists().then_some(()))
        })
        .with_context(|| server.log())?;
        servers.push(server);
    }
    Ok(servers)
}

/// The first text in an answer that has this in it.
fn find_text(value: &serde_json::Value, part: &str) -> Option<String> {
    match value {
        serde_json::Value::String(text) if text.contains(part) => Some(text.clone()),
        serde_json::Value::Array(values) => values.iter().find_map(|value| find_text(value, part)),
        serde_json::Value::Object(fields) => fields.values().find_map(|value| find_text(value, part)),
        serde_json::Value::Null
        | serde_json::Value::Bool(_)
        | serde_json::Value::Number(_)
        | serde_json::Value::String(_) => None,
    }
}

/// Adds people with their keys and groups to the directory that `init` wrote.
fn add_people(file: &Path, people: &[(&Person, &str)]) -> Result<()> {
    let mut directory = fs::read_to_string(file)?;
    // The proxy is what stands last. People approve over ssh here, and that must be written.
    directory.push_str("desk = \"review\"\n");
    for (person, group) in people {
        let (name, key) = (person.name(), person.public_key()?);
        directory.push_str(&format!("\n[[identity]]\nname = \"{name}\"\nkeys = [\"{key}\"]\ngroups = [\"{group}\"]\n"));
    }
    Ok(fs::write(file, directory)?)
}
