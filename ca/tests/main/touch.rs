//! Security keys: what policy asks of them, and where it is held to.

use std::sync::Arc;

use api::{Client, ClientError, Credentials, wire};
use identity::{CertificateAsk, Nonce, Statement};
use model::{CertificateProfile, RequestId};
use sha2::{Digest as _, Sha256};
use ssh_key::public::{KeyData, SkEd25519};
use ssh_key::{Algorithm, HashAlg, LineEnding, PublicKey, Signature, SshSig};

use crate::site::{Site, ask, code, eventually, issue, key_of, sign_with, subject_of, unique};

/// alice's security key, which is touched when it should be.
pub(crate) struct SecurityKey {
    pub(crate) touched: bool,
}

impl SecurityKey {
    pub(crate) fn public() -> PublicKey {
        let ed25519 = key_of("alice's security key").public_key().key_data().ed25519().copied().unwrap();
        PublicKey::from(KeyData::SkEd25519(SkEd25519::new(ed25519, "ssh:")))
    }

    fn sign_statement(&self, statement: &Statement) -> String {
        let text = statement.text().as_bytes();
        let message = SshSig::signed_data(statement.namespace(), HashAlg::Sha512, text).unwrap();
        let signature = self.sign(&message);
        let key = Self::public().key_data().clone();
        SshSig::new(key, statement.namespace(), HashAlg::Sha512, signature).unwrap().to_pem(LineEnding::LF).unwrap()
    }

    /// As PROTOCOL.u2f says: over the application, the flags, the counter and the message.
    pub(crate) fn sign(&self, message: &[u8]) -> Signature {
        let flags = u8::from(self.touched);
        let mut signed = Sha256::digest(b"ssh:").to_vec();
        signed.extend([flags, 0, 0, 0, 1]);
        signed.extend(Sha256::digest(message));
        let signature = sign_with(&key_of("alice's security key"), &signed);
        let mut bytes = signature.as_bytes().to_vec();
        bytes.extend([flags, 0, 0, 0, 1]);
        Signature::new(Algorithm::SkEd25519, bytes).unwrap()
    }
}

#[async_trait::async_trait]
impl Credentials for SecurityKey {
    fn subject(&self) -> String {
        "alice".to_owned()
    }

    async fn sign(&self, challenge: &wire::Challenge) -> Result<String, String> {
        let nonce: Nonce = challenge.nonce.parse().unwrap();
        Ok(self.sign_statement(&Statement::login(&challenge.server, &subject_of("alice"), &nonce)))
    }
}

fn alice(site: &Site, touched: bool) -> Client {
    site.anonymous().with_credentials(Arc::new(SecurityKey { touched }))
}

/// Has the security key itself certified.
pub(crate) async fn certify(
    client: &Client,
    grant: &RequestId,
    touched: bool,
) -> Result<wire::Certificate, ClientError> {
    let challenge = client.challenge(wire::Purpose::Certificate).await?;
    let key = SecurityKey::public();
    let ask = CertificateAsk {
        server: &challenge.server,
        subject: &subject_of("alice"),
        nonce: challenge.nonce.parse().unwrap(),
        profile: CertificateProfile::Person,
        grant: Some(grant),
        key: &key,
    };
    let proof = SecurityKey { touched }.sign_statement(&Statement::certificate(&ask));
    let public_key = key.to_openssh().unwrap();
    let body = wire::IssueCertificate { request: grant.clone(), public_key, nonce: challenge.nonce, proof };
    client.issue_certificate(&body).await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_path_that_wants_a_touch_gets_one_at_each_step() {
    let site = Site::start().await;
    let directory = site.dir.path().join("directory.toml");
    let text = std::fs::read_to_string(&directory).unwrap();
    let plain = key_of("alice").public_key().to_openssh().unwrap();
    let both = format!("{plain}\", \"{}", SecurityKey::public().to_openssh().unwrap());
    std::fs::write(&directory, text.replace(&plain, &both)).unwrap();
    site.write_policy(&policy::EXAMPLE.replace("@approvals(\"0\")", "@approvals(\"0\")\n@touch(\"true\")"));
    let touched = alice(&site, true);
    eventually("her security key", || async { touched.login().await.ok() }).await;
    eventually("the policy", || async {
        let explained = touched.explain(&explain()).await.unwrap();
        let words = &explained.paths[0].obligations;
        words.contains(&"a touched security key".to_owned()).then_some(())
    })
    .await;
    assert!(touched.whoami().await.unwrap().touch);
    let untouched = alice(&site, false);
    assert!(!untouched.whoami().await.unwrap().touch);
    let filed = untouched.file_request(&ask("root", "dev1", 60), &unique()).await.unwrap();
    assert_eq!(filed.paths.len(), 2, "without a touch only the path with an approval is open: {filed:?}");
    assert_eq!(filed.state, wire::RequestState::Pending);
    let grant = touched.file_request(&ask("root", "dev1", 600), &unique()).await.unwrap();
    assert_eq!(grant.state, wire::RequestState::Approved);
    // Her plain key, under a token that was bought without a touch: no certificate.
    let plainly = site.client("alice");
    assert_eq!(code(issue(&plainly, "alice", &grant.id, &key_of("alice")).await), "forbidden");
    assert_eq!(code(certify(&plainly, &grant.id, false).await), "forbidden");
    // Under a touched token, or with a touched proof, there is one.
    issue(&touched, "alice", &grant.id, &key_of("alice")).await.unwrap();
    let certificate = certify(&plainly, &grant.id, true).await.unwrap();
    assert!(certificate.certificate.unwrap().starts_with("sk-ssh-ed25519-cert-v01@openssh.com "));
}

/// Anybody can make a "security key" in software and say that it was touched.
#[tokio::test(flavor = "multi_thread")]
async fn a_touch_of_a_key_that_is_not_hers_counts_for_nothing() {
    let site = Site::start().await;
    let directory = site.dir.path().join("directory.toml");
    let text = std::fs::read_to_string(&directory).unwrap();
    let plain = key_of("alice").public_key().to_openssh().unwrap();
    let both = format!("{plain}\", \"{}", SecurityKey::public().to_openssh().unwrap());
    std::fs::write(&directory, text.replace(&plain, &both)).unwrap();
    site.write_policy(&policy::EXAMPLE.replace("@approvals(\"0\")", "@approvals(\"0\")\n@touch(\"true\")"));
    let touched = alice(&site, true);
    eventually("her security key", || async { touched.login().await.ok() }).await;
    let grant = eventually("the policy", || async {
        let filed = touched.file_request(&ask("root", "dev1", 600), &unique()).await.unwrap();
        let path = &touched.explain(&explain()).await.unwrap().paths[0];
        path.obligations.contains(&"a touched security key".to_owned()).then_some(filed)
    })
    .await;
    let grant = touched.file_request(&ask("root", "dev1", 600), &grant.id.to_string()).await.unwrap();
    // The key leaves the directory; what is left is a key like any other.
    std::fs::write(&directory, &text).unwrap();
    eventually("the key's end", || async { touched.login().await.err() }).await;
    let plainly = site.client("alice");
    assert_eq!(code(certify(&plainly, &grant.id, true).await), "forbidden");
}

fn explain() -> wire::ExplainRequest {
    wire::ExplainRequest {
        action: "request".to_owned(),
        target: Some("dev1".parse().unwrap()),
        login: Some("root".parse().unwrap()),
        duration: Some(60),
        ..wire::ExplainRequest::default()
    }
}
