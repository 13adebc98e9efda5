//! Carrying an enrolment out over stock ssh, as the operator who already has access.
//!
//! The host key is read over that authenticated connection: the operator's own ssh vouches for the server, so nothing
//! is trusted on first use by the proxy.

use std::fmt::Write as _;
use std::io::Write as _;
use std::process::{Command, Stdio};

use super::Enrolment;
use super::destination::Destination;
use super::port::Port;
use crate::error::{CliError, Kind};
use crate::words::shell_word;

const PROBE: &str = include_str!("probe.sh");
const APPLY: &str = include_str!("apply.sh");
/// The script's exit status that says that the account may not do it.
const NOT_ROOT: i32 = 77;

/// How to reach a server as somebody who may change its sshd.
#[derive(Clone, Debug)]
pub(crate) struct Remote {
    destination: Destination,
    options: Vec<String>,
    config: String,
    reload: String,
}

/// A host key as the server's sshd names it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct HostKey {
    /// The private key's path on the server.
    pub(crate) path: String,
    /// The public key, in the OpenSSH one-line form.
    pub(crate) line: String,
}

impl Remote {
    /// `destination` is `user@host` or `user@host:port`; `options` go to ssh as `-o`.
    pub(crate) fn new(
        destination: &str,
        options: &[String],
        config: Option<&str>,
        reload: Option<&str>,
    ) -> Result<Self, CliError> {
        let config = config.unwrap_or("/etc/ssh/sshd_config");
        if !config.starts_with('/') || config.contains(['\n', '\'']) {
            return Err(CliError::usage(
                format!("{config:?} is no absolute path"),
                "write it as on the server: --sshd-config /etc/ssh/sshd_config",
            ));
        }
        Ok(Self {
            destination: Destination::parse(destination)?,
            options: options.to_vec(),
            config: config.to_owned(),
            reload: reload.unwrap_or_default().to_owned(),
        })
    }

    /// ssh's arguments that lead there.
    pub(crate) fn way(&self) -> Vec<String> {
        let options = self.options.iter().flat_map(|option| ["-o".to_owned(), option.clone()]);
        // The first value counts, so whoever wants to wait longer says so. A port that takes connections and never says a
        // word would otherwise hold ssh for ever.
        let patience = ["-o", "ConnectTimeout=20"].map(str::to_owned);
        options.chain(patience).chain(self.destination.arguments()).collect()
    }

    /// Reads the server's best host key.
    pub(crate) fn host_key(&self) -> Result<HostKey, CliError> {
        let answer = self.run(&format!("config={}\n{PROBE}", word(&self.config)))?;
        let (path, line) = answer.trim().split_once('\n').ok_or_else(|| {
            CliError::failed(
                format!("{} did not say which host key it has", self.destination),
                "give the key yourself: --host-key FILE, from /etc/ssh/ssh_host_ed25519_key.pub",
            )
        })?;
        if !path.starts_with('/') || path.contains(|c: char| c.is_control() || c == '\'') {
            return Err(CliError::failed(
                format!("{} names a host key at {path:?}, which is no plain path", self.destination),
                "give the key yourself: --host-key FILE",
            ));
        }
        Ok(HostKey { path: path.to_owned(), line: line.trim().to_owned() })
    }

    /// Writes the files, has sshd check them, reloads it; puts everything back when something fails.
    pub(crate) fn apply(&self, enrolment: &Enrolment) -> Result<(), CliError> {
        let answer = self.run(&self.script(enrolment))?;
        match answer.lines().any(|line| line == "enrolled") {
            true => Ok(()),
            false => Err(CliError::failed(
                format!("{} did not finish its enrolment", self.destination),
                "run portcullis target enrol again; what it prints can also be done by hand",
            )),
        }
    }

    fn script(&self, enrolment: &Enrolment) -> String {
        let folder = self.config.rsplit_once('/').map_or("", |(folder, _)| folder);
        let mut text = String::new();
        for (name, value) in [
            ("config", self.config.as_str()),
            ("folder", folder),
            ("reload", self.reload.as_str()),
            ("lines", enrolment.lines(folder).trim_end()),
        ] {
            let _ = writeln!(text, "{name}={}", word(value));
        }
        text.push_str("files() {\n");
        for file in enrolment.files(folder) {
            let _ = writeln!(text, "printf '%s' {} | put {}", word(&file.text), word(&file.path));
        }
        text.push_str("}\n");
        text.push_str(APPLY);
        text
    }

    /// Hands a script to the server's sh, as root. ssh may ask the operator on the terminal.
    fn run(&self, script: &str) -> Result<String, CliError> {
        const AS_ROOT: &str = "if [ \"$(id -u)\" = 0 ]; then exec sh -s; else exec sudo -n sh -s; fi";
        // The script's first word: without it the account may not run it, whatever sudo's exit status was.
        const BEGUN: &str = "portcullis begins\n";
        let child = Command::new("ssh")
            .arg("-T")
            .args(self.way())
            .arg(AS_ROOT)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::inherit())
            .spawn();
        let mut child = child
            .map_err(|error| CliError::failed(format!("ssh cannot be run: {error}"), "install the OpenSSH client"))?;
        if let Some(mut stdin) = child.stdin.take() {
            // A server that hangs up early says why by its exit status.
            let _ = stdin.write_all(format!("echo {BEGUN}{script}").as_bytes());
        }
        let broken = |error: std::io::Error| CliError::failed(format!("ssh cannot be heard: {error}"), "try again");
        let output = child.wait_with_output().map_err(broken)?;
        let said = String::from_utf8_lossy(&output.stdout);
        // What a shell greets with stands in front.
        let said = said.split_once(BEGUN).map(|(_, said)| said.to_owned());
        match (output.status.code(), said) {
            (Some(0), Some(said)) => Ok(said),
            (Some(255), _) => Err(self.unreachable()),
            (Some(NOT_ROOT), _) | (_, None) => Err(CliError::failed(
                format!("{} may do nothing there as root; it has said why above", self.destination),
                "the account must be root, or one that may run sudo without a password",
            )),
            (_, Some(_)) => Err(CliError::failed(
                format!("the enrolment failed on {}; it has said why above", self.destination),
                "correct that and run it again; without --apply it is printed, to be done by hand",
            )),
        }
    }

    /// ssh has said why it did not get in; here is what it did not look at.
    fn unreachable(&self) -> CliError {
        let options = self.options.iter().map(|option| format!("-o {} ", shell_word(option))).collect::<String>();
        let by_hand = format!("try it by hand: ssh {options}{}", self.destination.typed());
        let way = Command::new("ssh").arg("-G").args(self.way()).stdin(Stdio::null()).output();
        let way = way.ok().and_then(|output| direct(&String::from_utf8_lossy(&output.stdout)));
        let found = way.map(|(host, port)| (Port::look(&host, port), host, port));
        match found {
            Some((found @ (Port::Dead(_) | Port::Silent | Port::Other), host, port)) => CliError::new(
                Kind::Unreachable,
                format!("{} cannot be reached by ssh: port {port} of {host}: {found}", self.destination),
                "name the port of its sshd: --apply root@HOST:PORT",
            ),
            Some((Port::Ssh, ..)) => CliError::new(
                Kind::Unreachable,
                format!("{} does not let ssh in; it has said why above", self.destination),
                by_hand,
            ),
            None => CliError::new(Kind::Unreachable, format!("{} cannot be reached by ssh", self.destination), by_hand),
        }
    }
}

/// What `ssh -G` says of its way: host name and port, unless a proxy or a jump host stands between.
pub(crate) fn direct(said: &str) -> Option<(String, u16)> {
    let value = |name: &str| said.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    if value("proxyjump").or_else(|| value("proxycommand")).is_some_and(|way| way != "none") {
        return None;
    }
    Some((value("hostname")?.to_owned(), value("port")?.parse().ok()?))
}

/// A text as one word of a shell.
pub(crate) fn word(text: &str) -> String {
    format!("'{}'", text.replace('\'', "'\\''"))
}

#[cfg(test)]
mod tests {
    use std::path::Path;

    use super::*;
    use crate::enrolment::HostCertificate;

    /// A folder with a real sshd configuration and host key; the scripts run in sh without any ssh.
    struct Server(tempfile::TempDir);

    impl Server {
        fn new(extra: &str) -> Self {
            let folder = tempfile::tempdir().unwrap();
            let key = folder.path().join("ssh_host_ed25519_key");
            let made =
                Command::new("ssh-keygen").args(["-q", "-t", "ed25519", "-N", "", "-f"]).arg(&key).status().unwrap();
            assert!(made.success());
            let config = format!("HostKey {}\nPort 2200\n{extra}", key.display());
            std::fs::write(folder.path().join("sshd_config"), config).unwrap();
            Self(folder)
        }

        fn path(&self, name: &str) -> String {
            self.0.path().join(name).display().to_string()
        }

        fn read(&self, name: &str) -> Option<String> {
            std::fs::read_to_string(self.0.path().join(name)).ok()
        }

        fn remote(&self, reload: &str) -> Remote {
            Remote::new("root@web1", &[], Some(&self.path("sshd_config")), Some(reload)).unwrap()
        }

        fn enrolment(&self, host: Option<HostCertificate>) -> Enrolment {
            let user_ca = self.read("ssh_host_ed25519_key.pub").unwrap();
            Enrolment::new("web1".parse().unwrap(), ["root".parse().unwrap()], &user_ca, host)
        }

        fn files(&self) -> Vec<String> {
            let mut names = Vec::new();
            let mut open = vec![self.0.path().to_owned()];
            while let Some(folder) = open.pop() {
                for entry in std::fs::read_dir(folder).unwrap() {
                    let path = entry.unwrap().path();
                    if path.is_dir() {
                        open.push(path.clone());
                    } else {
                        names.push(path.strip_prefix(self.0.path()).unwrap().display().to_string());
                    }
                }
            }
            names.sort();
            names
        }
    }

    fn sh(script: &str) -> std::process::Output {
        let mut child = Command::new("sh")
            .arg("-s")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()
            .unwrap();
        child.stdin.take().unwrap().write_all(script.as_bytes()).unwrap();
        child.wait_with_output().unwrap()
    }

    fn has_sshd() -> bool {
        ["/usr/sbin/sshd", "/usr/local/sbin/sshd"].iter().any(|path| Path::new(path).exists())
    }

    #[test]
    fn an_enrolled_server_trusts_the_ca_for_its_own_principals() {
        assert!(has_sshd(), "this test needs openssh-server; cargo xtask setup installs it");
        let server = Server::new("PermitRootLogin no\n");
        let reloaded = server.path("reloaded");
        let script = server.remote(&format!("touch {reloaded}")).script(&server.enrolment(None));
        for _ in 0..2 {
            let done = sh(&script);
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            assert_eq!(done.stdout, b"enrolled\n");
        }
        let config = server.read("sshd_config").unwrap();
        assert_eq!(config.matches("TrustedUserCAKeys").count(), 1, "{config}");
        assert!(config.starts_with("# portcullis begin\n") && config.contains("PermitRootLogin no\n"), "{config}");
        assert_eq!(server.read("portcullis_principals/root").unwrap(), "root@web1\n");
        assert!(server.read("reloaded").is_some());
        assert!(!server.files().iter().any(|name| name.contains(".portcullis")), "{:?}", server.files());
    }

    #[test]
    fn what_fails_leaves_everything_as_it_was() {
        assert!(has_sshd(), "this test needs openssh-server; cargo xtask setup installs it");
        // sshd refuses the configuration; an earlier line wins over ours; the reload fails.
        let earlier = Server::new("");
        let earlier_line = format!("Include {}/first.conf\n", earlier.0.path().display());
        for (server, extra, reload, word) in [
            (Server::new("NoSuchOption yes\n"), "", "true", "does not take"),
            (Server::new(""), "", "false", "could not be reloaded"),
            (earlier, earlier_line.as_str(), "true", ""),
        ] {
            let path = server.path("sshd_config");
            if !extra.is_empty() {
                // Without a drop-in folder ours are at the very top, so even an earlier Include cannot win.
                std::fs::write(server.path("first.conf"), "TrustedUserCAKeys /dev/null\n").unwrap();
                std::fs::write(&path, format!("{extra}{}", server.read("sshd_config").unwrap())).unwrap();
            }
            let (before, files) = (server.read("sshd_config").unwrap(), server.files());
            let done = sh(&server.remote(reload).script(&server.enrolment(None)));
            if word.is_empty() {
                assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
                continue;
            }
            let said = String::from_utf8_lossy(&done.stderr).into_owned();
            assert!(!done.status.success() && said.contains(word), "{said}");
            assert_eq!(server.read("sshd_config").unwrap(), before);
            assert_eq!(server.files(), files);
        }
    }

    #[test]
    fn a_line_that_overrides_ours_is_found() {
        assert!(has_sshd(), "this test needs openssh-server; cargo xtask setup installs it");
        let server = Server::new("");
        let folder = server.0.path().display().to_string();
        std::fs::create_dir(server.path("sshd_config.d")).unwrap();
        let config = format!("TrustedUserCAKeys none\nInclude {folder}/sshd_config.d/*.conf\n");
        let old = server.read("sshd_config").unwrap();
        std::fs::write(server.path("sshd_config"), format!("{config}{old}")).unwrap();
        let files = server.files();
        let done = sh(&server.remote("true").script(&server.enrolment(None)));
        let said = String::from_utf8_lossy(&done.stderr).into_owned();
        assert!(!done.status.success() && said.contains("overrides ours"), "{said}");
        assert_eq!(server.files(), files);
    }

    #[test]
    fn the_probe_reads_the_key_that_sshd_names() {
        assert!(has_sshd(), "this test needs openssh-server; cargo xtask setup installs it");
        let server = Server::new("");
        let done = sh(&format!("config={}\n{PROBE}", word(&server.path("sshd_config"))));
        let said = String::from_utf8(done.stdout).unwrap();
        let (path, line) = said.trim().split_once('\n').unwrap();
        assert_eq!(path, server.path("ssh_host_ed25519_key"));
        assert_eq!(line, server.read("ssh_host_ed25519_key.pub").unwrap().trim());
    }

    #[test]
    fn nothing_that_is_typed_becomes_an_option_or_a_command() {
        for destination in ["-oProxyCommand=x", "", "a b"] {
            assert!(Remote::new(destination, &[], None, None).is_err(), "{destination}");
        }
        let options = ["Port=23".to_owned()];
        let way = Remote::new("root@web1:22", &options, None, None).unwrap().way();
        assert_eq!(way, ["-o", "Port=23", "-o", "ConnectTimeout=20", "-p", "22", "--", "root@web1"]);
        assert_eq!(word("a'b; rm -rf /"), "'a'\\''b; rm -rf /'");
    }
}
