//! What an enrolled server really shows: asked by stock ssh, which exchanges keys with it, holds its certificate against
//! the host CA and the target's name, and goes no further.

use std::io::Write as _;
use std::process::Stdio;
use std::time::Duration;

use model::TargetName;
use tokio::process::Command;
use tokio::time::Instant;

use crate::error::CliError;

/// What a server should show.
#[derive(Clone, Debug)]
pub(crate) struct Expected {
    /// Its name, which the certificate must be for.
    pub(crate) target: TargetName,
    /// The host CA, in the OpenSSH one-line form; two lines while its key is replaced.
    pub(crate) host_ca: String,
    /// The serial of the certificate that it was given.
    pub(crate) serial: u64,
}

/// The longest that one look may take.
const LOOK: Duration = Duration::from_secs(20);
/// How long a server may take until it shows the new certificate: a reload is not over when its command is.
const RELOADED: Duration = Duration::from_secs(10);
/// Between two looks.
const PAUSE: Duration = Duration::from_millis(300);
/// As the proxy asks for them, so that what is looked at is what it will see.
const ALGORITHMS: &str = "ssh-ed25519-cert-v01@openssh.com,ecdsa-sha2-nistp256-cert-v01@openssh.com,\
ecdsa-sha2-nistp384-cert-v01@openssh.com,ecdsa-sha2-nistp521-cert-v01@openssh.com,\
rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-256-cert-v01@openssh.com";

/// Looks until the server shows what it should, for as long as a reload may take.
///
/// `way` are ssh's arguments that lead there.
///
/// # Errors
/// What it shows instead, in words; or ssh cannot be run.
pub(crate) async fn settle(way: &[String], expected: &Expected) -> Result<Result<(), String>, CliError> {
    let until = Instant::now() + RELOADED;
    loop {
        let seen = look(way, expected).await?;
        if seen.is_ok() || Instant::now() >= until {
            return Ok(seen);
        }
        tokio::time::sleep(PAUSE).await;
    }
}

/// Looks once.
///
/// # Errors
/// As [`settle`].
pub(crate) async fn look(way: &[String], expected: &Expected) -> Result<Result<(), String>, CliError> {
    let unwritable = |error: std::io::Error| {
        CliError::failed(format!("a file for ssh cannot be written: {error}"), "look at the folder for temporary files")
    };
    let mut known = tempfile::NamedTempFile::new().map_err(unwritable)?;
    for key in expected.host_ca.lines() {
        writeln!(known, "@cert-authority {} {}", expected.target, key.trim()).map_err(unwritable)?;
    }
    let known_hosts = format!("UserKnownHostsFile={}", crate::ssh_files::quoted(known.path()));
    let alias = format!("HostKeyAlias={}", expected.target);
    let algorithms = format!("HostKeyAlgorithms={ALGORITHMS}");
    // The first value counts, so these win over what leads there and over the operator's own configuration.
    let mut command = Command::new("ssh");
    for option in [
        known_hosts.as_str(),
        alias.as_str(),
        algorithms.as_str(),
        "GlobalKnownHostsFile=/dev/null",
        "StrictHostKeyChecking=yes",
        "CheckHostIP=no",
        "UpdateHostKeys=no",
        "ControlMaster=no",
        "ControlPath=none",
        "BatchMode=yes",
        "PreferredAuthentications=none",
        "PubkeyAuthentication=no",
        "ConnectTimeout=10",
        "LogLevel=DEBUG1",
    ] {
        command.args(["-o", option]);
    }
    command.arg("-T").args(way).arg("true").env("LC_ALL", "C");
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    match tokio::time::timeout(LOOK, command.output()).await {
        Ok(Ok(output)) => Ok(verdict(&String::from_utf8_lossy(&output.stderr), expected)),
        Ok(Err(error)) => Err(CliError::failed(format!("ssh cannot be run: {error}"), "install the OpenSSH client")),
        Err(_) => Ok(Err(format!("it did not answer within {} s", LOOK.as_secs()))),
    }
}

/// What ssh said while it looked. A jump host's words may stand in front, so the last ones count.
pub(crate) fn verdict(said: &str, expected: &Expected) -> Result<(), String> {
    let last = |part: &str| said.lines().rev().find(|line| line.contains(part));
    // ssh says that it knows the CA before it looks at what the certificate says.
    if let Some(line) = said.lines().find(|line| line.starts_with("Certificate invalid: ")) {
        return Err(format!(
            "its certificate is not good: {}",
            plain(line.trim_start_matches("Certificate invalid: "))
        ));
    }
    let known = format!("debug1: Host '{}' is known and matches the ", expected.target);
    let matched = said.lines().any(|line| line.starts_with(&known) && line.ends_with(" host certificate."))
        && !said.lines().any(|line| line.starts_with("Host key verification failed"));
    let served = last("Server host certificate: ");
    if matched && let Some(served) = served {
        let is_new = served.contains(&format!(" serial {} ", expected.serial));
        return if is_new { Ok(()) } else { Err(format!("it shows another certificate: {}", plain(served))) };
    }
    if last("no matching host key type found").is_some() {
        return Err("it shows no host certificate".to_owned());
    }
    if let Some(served) = served {
        return Err(format!("the host CA did not sign what it shows: {}", plain(served)));
    }
    let words = said.lines().rev().find(|line| !line.starts_with("debug") && !line.trim().is_empty());
    Err(words.map_or_else(|| "ssh did not say what it shows".to_owned(), plain))
}

/// What a server has written passes through here.
fn plain(text: &str) -> String {
    let text = text.strip_prefix("debug1: ").unwrap_or(text);
    let text = text.strip_prefix("Server host certificate: ").unwrap_or(text);
    text.trim().chars().take(300).map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use std::net::{TcpListener, TcpStream};
    use std::path::Path;
    use std::process::{Child, Command};

    use super::*;

    /// A real sshd that shows what is asked of it.
    struct Sshd {
        child: Child,
        port: u16,
        folder: tempfile::TempDir,
    }

    impl Drop for Sshd {
        fn drop(&mut self) {
            let _ = self.child.kill();
            let _ = self.child.wait();
        }
    }

    fn keygen(arguments: &[&str]) {
        let done = Command::new("ssh-keygen").arg("-q").args(arguments).stdin(Stdio::null()).status().unwrap();
        assert!(done.success(), "{arguments:?}");
    }

    fn key(at: &Path) {
        keygen(&["-t", "ed25519", "-N", "", "-f", &at.display().to_string()]);
    }

    /// Starts one whose certificate for `name` has this serial and life; without a name it has none.
    fn sshd(name: Option<&str>, serial: u64, life: &str) -> Sshd {
        let sshd = Path::new("/usr/sbin/sshd");
        assert!(sshd.exists(), "this test needs openssh-server; cargo xtask setup installs it");
        let _ = std::fs::create_dir_all("/run/sshd");
        let folder = tempfile::tempdir().unwrap();
        let at = |name: &str| folder.path().join(name).display().to_string();
        key(&folder.path().join("ca"));
        key(&folder.path().join("host"));
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let mut config = format!("ListenAddress 127.0.0.1:{port}\nHostKey {}\nPidFile none\nUsePAM no\n", at("host"));
        if let Some(name) = name {
            let serial = serial.to_string();
            keygen(&["-s", &at("ca"), "-h", "-I", "x", "-n", name, "-z", &serial, "-V", life, &at("host.pub")]);
            config.push_str(&format!("HostCertificate {}\n", at("host-cert.pub")));
        }
        std::fs::write(at("config"), config).unwrap();
        let child = Command::new(sshd).args(["-D", "-e", "-f", &at("config")]).stderr(Stdio::null()).spawn().unwrap();
        let started = Sshd { child, port, folder };
        for _ in 0..500 {
            if TcpStream::connect(("127.0.0.1", port)).is_ok() {
                return started;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        panic!("sshd does not listen");
    }

    impl Sshd {
        async fn shows(&self, ca: &str, serial: u64) -> Result<(), String> {
            let host_ca = std::fs::read_to_string(self.folder.path().join(ca)).unwrap();
            let expected = Expected { target: "web1".parse().unwrap(), host_ca, serial };
            let way = ["-F", "none", "-p", &self.port.to_string(), "--", "root@127.0.0.1"].map(str::to_owned);
            look(&way, &expected).await.unwrap()
        }
    }

    #[tokio::test]
    async fn only_the_new_certificate_for_this_name_by_the_host_ca_counts() {
        let good = sshd(Some("web1"), 7, "-1m:+1h");
        assert_eq!(good.shows("ca.pub", 7).await, Ok(()));
        let old = good.shows("ca.pub", 8).await.unwrap_err();
        assert!(old.contains("it shows another certificate") && old.contains("serial 7"), "{old}");
        let other_ca = good.shows("host.pub", 7).await.unwrap_err();
        assert!(other_ca.contains("the host CA did not sign what it shows"), "{other_ca}");

        let none = sshd(None, 0, "").shows("ca.pub", 7).await.unwrap_err();
        assert_eq!(none, "it shows no host certificate");
        let name = sshd(Some("web2"), 7, "-1m:+1h").shows("ca.pub", 7).await.unwrap_err();
        assert!(name.contains("its certificate is not good") && name.contains("principal"), "{name}");
        let expired = sshd(Some("web1"), 7, "-2h:-1h").shows("ca.pub", 7).await.unwrap_err();
        assert!(expired.contains("its certificate is not good: expired"), "{expired}");
    }

    #[tokio::test]
    async fn whoever_is_not_there_is_named() {
        let port = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        let expected = Expected { target: "web1".parse().unwrap(), host_ca: "ssh-ed25519 AAAA".to_owned(), serial: 1 };
        let way = ["-F", "none", "-p", &port.to_string(), "--", "127.0.0.1"].map(str::to_owned);
        let seen = look(&way, &expected).await.unwrap().unwrap_err();
        assert!(seen.contains("Connection refused"), "{seen}");
    }

    #[test]
    fn a_jump_hosts_words_do_not_count() {
        let expected =
            |serial| Expected { target: "web1".parse().unwrap(), host_ca: "ssh-ed25519 AAAA".to_owned(), serial };
        let verdict = |said: &str, serial| verdict(said, &expected(serial));
        let jump = "debug1: Server host certificate: x, serial 9 ID \"a\"\ndebug1: Host 'jump' is known and matches the ED25519-CERT host certificate.\n";
        let target = "debug1: Server host certificate: y, serial 7 ID \"b\"\ndebug1: Host 'web1' is known and matches the ED25519-CERT host certificate.\n";
        assert_eq!(verdict(&format!("{jump}{target}"), 7), Ok(()));
        assert!(verdict(&format!("{jump}{target}"), 9).is_err());
        let unknown = target.lines().next().unwrap();
        assert!(verdict(&format!("{jump}{unknown}\n"), 7).is_err(), "only the jump host is who it should be");
        let evil = verdict("debug1: Server host certificate: \u{1b}[2J", 7).unwrap_err();
        assert!(!evil.contains('\u{1b}'), "{evil:?}");
    }
}
