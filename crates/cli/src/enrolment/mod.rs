//! Enrolling a server: the files that make its sshd trust the user CA, for principals that name it, and nothing else.
//!
//! The same files are printed for people and carried out over ssh; the shell script that does so is in `apply.sh`.

pub(crate) mod destination;
mod port;
pub(crate) mod remote;
pub(crate) mod served;

use std::fmt::Write as _;

use model::{Login, TargetName};

pub(crate) use port::Port;
pub(crate) use remote::{HostKey, Remote};
pub(crate) use served::{Expected, look, settle};

/// Everything that one server's enrolment needs.
#[derive(Clone, Debug)]
pub(crate) struct Enrolment {
    target: TargetName,
    logins: Vec<Login>,
    user_ca: String,
    host: Option<HostCertificate>,
}

/// The certificate of the server's own host key, and where it belongs.
#[derive(Clone, Debug)]
pub(crate) struct HostCertificate {
    /// The certificate, in the OpenSSH one-line form.
    pub(crate) line: String,
    /// Its serial.
    pub(crate) serial: u64,
    /// Where sshd finds it: beside the key.
    pub(crate) path: String,
}

/// One file on the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct File {
    /// Where.
    pub(crate) path: String,
    /// What it holds, with its final newline.
    pub(crate) text: String,
}

/// Where sshd's files are, unless somebody says otherwise.
const FOLDER: &str = "/etc/ssh";

impl Enrolment {
    /// The enrolment of a target.
    pub(crate) fn new(
        target: TargetName,
        logins: impl IntoIterator<Item = Login>,
        user_ca: &str,
        host: Option<HostCertificate>,
    ) -> Self {
        let logins = logins.into_iter().collect();
        Self { target, logins, user_ca: user_ca.trim().to_owned(), host }
    }

    /// The files below sshd's folder, without the lines of its configuration.
    pub(crate) fn files(&self, folder: &str) -> Vec<File> {
        let mut files =
            vec![File { path: format!("{folder}/portcullis_user_ca.pub"), text: format!("{}\n", self.user_ca) }];
        for login in &self.logins {
            files.push(File {
                path: format!("{folder}/portcullis_principals/{login}"),
                text: format!("{login}@{}\n", self.target),
            });
        }
        if let Some(host) = &self.host {
            files.push(File { path: host.path.clone(), text: format!("{}\n", host.line.trim()) });
        }
        files
    }

    /// The lines of sshd's configuration.
    pub(crate) fn lines(&self, folder: &str) -> String {
        // Without the second line a certificate whose principal is a login's name would open that login.
        let mut text = format!(
            "TrustedUserCAKeys {folder}/portcullis_user_ca.pub\n\
             AuthorizedPrincipalsFile {folder}/portcullis_principals/%u\n"
        );
        if let Some(host) = &self.host {
            let _ = writeln!(text, "HostCertificate {}", host.path);
        }
        text
    }

    /// What a person does by hand, as a text that is also a shell script.
    pub(crate) fn by_hand(&self) -> String {
        let mut text = format!("# On {}, as root:\nmkdir -p {FOLDER}/portcullis_principals\n", self.target);
        for file in self.files(FOLDER) {
            let _ = writeln!(text, "cat > {} <<'END'\n{}END", file.path, file.text);
        }
        let _ = writeln!(
            text,
            "cat > {FOLDER}/sshd_config.d/00-portcullis.conf <<'END'\n{}END\nsshd -t && systemctl reload ssh",
            self.lines(FOLDER)
        );
        text
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_lines_always_stand_together() {
        let enrolment = Enrolment::new(
            "web1".parse().unwrap(),
            ["root", "deploy"].map(|login| login.parse().unwrap()),
            "ssh-ed25519 AAAA\n",
            None,
        );
        let lines = enrolment.lines("/etc/ssh");
        assert!(lines.contains("TrustedUserCAKeys ") && lines.contains("AuthorizedPrincipalsFile "), "{lines}");
        assert!(!lines.contains("HostCertificate"), "{lines}");
        let files = enrolment.files("/x");
        let root = files.iter().find(|file| file.path == "/x/portcullis_principals/root").unwrap();
        assert_eq!(root.text, "root@web1\n");
    }
}
