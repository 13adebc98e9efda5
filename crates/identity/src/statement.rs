//! What is signed: a text that says everything that the signature is good for, and nothing else.

use std::fmt::Write as _;

use model::{CertificateProfile, RequestId};
use ssh_key::PublicKey;

use crate::{Nonce, Subject};

/// A text to be signed, with the SSHSIG namespace that keeps its kind apart from every other (PROTOCOL.sshsig).
///
/// Both sides build it from what they know by themselves; it never travels. So a signature that verifies agrees with
/// the server about each line of it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    namespace: &'static str,
    text: String,
}

/// A request for a certificate, as its key's holder signs it.
#[derive(Clone, Copy, Debug)]
pub struct CertificateAsk<'a> {
    /// The server, as it names itself.
    pub server: &'a str,
    /// Who asks, as their token says.
    pub subject: &'a Subject,
    /// The server's single-use nonce.
    pub nonce: Nonce,
    /// Which kind of certificate.
    pub profile: CertificateProfile,
    /// Under which grant; `None` for what needs none.
    pub grant: Option<&'a RequestId>,
    /// The key to be certified, which signs this.
    pub key: &'a PublicKey,
}

impl Statement {
    /// The namespace of a login.
    pub const LOGIN: &'static str = "portcullis-login@v1";
    /// The namespace of a request for a certificate. Not the login's, so that one can never serve as the other.
    pub const CERTIFICATE: &'static str = "portcullis-certificate@v1";

    /// "I am `subject`, and I want a session token of `server`."
    #[must_use]
    pub fn login(server: &str, subject: &Subject, nonce: &Nonce) -> Self {
        let subject = subject.to_string();
        let nonce = nonce.to_string();
        Self::build(
            Self::LOGIN,
            "portcullis login",
            &[("server", server), ("subject", &subject), ("nonce", &nonce), ("purpose", "a session token")],
        )
    }

    /// "I hold this key, and I want a certificate for it."
    #[must_use]
    pub fn certificate(ask: &CertificateAsk<'_>) -> Self {
        let subject = ask.subject.to_string();
        let nonce = ask.nonce.to_string();
        let profile = ask.profile.to_string();
        let grant = ask.grant.map_or_else(|| "none".to_owned(), ToString::to_string);
        let key = crate::fingerprint(ask.key.key_data());
        Self::build(
            Self::CERTIFICATE,
            "portcullis certificate",
            &[
                ("server", ask.server),
                ("subject", &subject),
                ("nonce", &nonce),
                ("profile", &profile),
                ("grant", &grant),
                ("key", &key),
            ],
        )
    }

    /// The SSHSIG namespace.
    #[must_use]
    pub const fn namespace(&self) -> &'static str {
        self.namespace
    }

    /// The text that is signed.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    fn build(namespace: &'static str, title: &str, fields: &[(&str, &str)]) -> Self {
        let mut text = format!("{title}\n");
        for (name, value) in fields {
            // Escaped, so that no value can hold a line end and pass for another field.
            let _ = writeln!(text, "{name}: {}", value.escape_default());
        }
        Self { namespace, text }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const KEY: &str = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti";

    #[test]
    fn a_login_says_who_where_and_once() {
        let subject = Subject::Identity("alice".parse().unwrap());
        let statement = Statement::login("ca.example.org", &subject, &Nonce::from_random([7; 32]));
        let nonce = "07".repeat(32);
        assert_eq!(
            statement.text(),
            format!(
                "portcullis login\nserver: ca.example.org\nsubject: alice\nnonce: {nonce}\npurpose: a session token\n"
            )
        );
        assert_eq!(statement.namespace(), "portcullis-login@v1");
    }

    #[test]
    fn every_part_of_a_certificate_request_changes_its_text() {
        let key = crate::parse_public_key(KEY).unwrap();
        let (alice, proxy) = (Subject::Identity("alice".parse().unwrap()), Subject::Proxy("alice".parse().unwrap()));
        let grant = RequestId::from_random(1);
        let ask = CertificateAsk {
            server: "ca",
            subject: &alice,
            nonce: Nonce::from_random([1; 32]),
            profile: CertificateProfile::Person,
            grant: Some(&grant),
            key: &key,
        };
        let other_key =
            crate::parse_public_key("ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJ2LYfkdUNZMSyTY0FqMKcQl1Hm4hkm2bEDvIrqvXWoR")
                .unwrap();
        let texts = [
            ask,
            CertificateAsk { server: "cb", ..ask },
            CertificateAsk { subject: &proxy, ..ask },
            CertificateAsk { nonce: Nonce::from_random([2; 32]), ..ask },
            CertificateAsk { profile: CertificateProfile::Session, ..ask },
            CertificateAsk { grant: None, ..ask },
            CertificateAsk { key: &other_key, ..ask },
        ]
        .map(|ask| Statement::certificate(&ask).text().to_owned());
        let different: std::collections::BTreeSet<_> = texts.iter().collect();
        assert_eq!(different.len(), texts.len());
    }

    #[test]
    fn no_value_can_add_a_line() {
        let subject = Subject::Identity("alice".parse().unwrap());
        let statement = Statement::login("ca\nsubject: root", &subject, &Nonce::from_random([0; 32]));
        assert_eq!(statement.text().lines().count(), 5, "{}", statement.text());
    }
}
