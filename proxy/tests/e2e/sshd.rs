//! A real `sshd` on a free port, which trusts the CA key and nothing else.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;
use std::time::Duration;

use ssh_key::{LineEnding, PrivateKey};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

use crate::authority::{Authority, new_key};

pub struct Sshd {
    pub port: u16,
    pub host_key: PrivateKey,
    _child: Child,
}

/// How the host proves who it is.
pub enum Proof {
    /// By a certificate for this name.
    Certificate(&'static str),
    /// By one that a proxy would show to people.
    Front(&'static str),
    /// By one that ended a minute ago.
    Expired(&'static str),
    /// By its bare key.
    Key,
}

impl Sshd {
    /// Starts it. `logins` are the principals of each account, as AuthorizedPrincipalsFile has them.
    pub async fn start(folder: &Path, authority: &Authority, proof: Proof, target: &str, more: &str) -> Self {
        let folder = folder.join(format!("sshd-{target}-{}", crate::authority::random_bits()));
        let principals = folder.join("principals");
        fs::create_dir_all(&principals).unwrap();
        // sshd wants its directory of privilege separation even for a loopback test.
        let _ = fs::create_dir_all("/run/sshd");
        let host_key = new_key();
        write(&folder.join("host"), host_key.to_openssh(LineEnding::LF).unwrap().as_str(), 0o600);
        write(&folder.join("ca.pub"), &authority.user_ca.public_key().to_openssh().unwrap(), 0o644);
        write(&principals.join("root"), &format!("root@{target}\n"), 0o644);
        let certificate = match proof {
            Proof::Certificate(name) => Some(authority.host(name, host_key.public_key())),
            Proof::Front(name) => Some(authority.front(name, host_key.public_key())),
            Proof::Expired(name) => Some(authority.expired_host(name, host_key.public_key())),
            Proof::Key => None,
        };
        let certificate = certificate.map_or_else(String::new, |certificate| {
            write(&folder.join("host-cert.pub"), &certificate.to_openssh().unwrap(), 0o644);
            format!("HostCertificate {}/host-cert.pub\n", folder.display())
        });
        for _ in 0..20 {
            let port = std::net::TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
            let at = folder.display();
            // With SHLVL bash is not the outermost shell, and leaves root's own .bashrc alone.
            let config = format!(
                "Port {port}\nListenAddress 127.0.0.1\nHostKey {at}/host\n{certificate}TrustedUserCAKeys {at}/ca.pub\n\
                 AuthorizedPrincipalsFile {at}/principals/%u\nAuthorizedKeysFile none\nPermitRootLogin yes\nUsePAM no\n\
                 StrictModes no\nPidFile none\nPasswordAuthentication no\nKbdInteractiveAuthentication no\n\
                 AcceptEnv LANG LC_*\nSetEnv SHLVL=1\nSubsystem sftp internal-sftp\nMaxSessions 100\nMaxStartups 100\nLogLevel ERROR\n{more}"
            );
            write(&folder.join("config"), &config, 0o644);
            let mut child = Command::new("/usr/sbin/sshd")
                .args(["-D", "-e", "-f"])
                .arg(folder.join("config"))
                .stdin(Stdio::null())
                .stderr(fs::File::create(folder.join("log")).unwrap())
                .kill_on_drop(true)
                .spawn()
                .expect("sshd starts: is openssh-server installed?");
            for _ in 0..500 {
                if TcpStream::connect(("127.0.0.1", port)).await.is_ok() {
                    return Self { port, host_key, _child: child };
                }
                if child.try_wait().unwrap().is_some() {
                    break;
                }
                tokio::time::sleep(Duration::from_millis(10)).await;
            }
        }
        panic!("sshd does not start");
    }
}

pub fn write(path: &Path, text: &str, mode: u32) {
    fs::write(path, text).unwrap();
    fs::set_permissions(path, fs::Permissions::from_mode(mode)).unwrap();
}
