//! A target that is no sshd: it holds thousands of sessions in one process, where sshd takes three a session.
//!
//! It lets in whom an sshd would that was enrolled: a certificate of the user CA, in force, with the one principal
//! `login@target`, from the address that it is pinned to. What it runs is nothing: a command is answered with "up".

use std::net::{IpAddr, SocketAddr};
use std::path::Path;
use std::sync::Arc;

use anyhow::{Context as _, Result, ensure};
use russh::server::{self, Auth, CertificateProof, ChannelOpenHandle, Msg, Session};
use russh::{Channel, ChannelId};
use serde_json::{Value, json};
use ssh_key::certificate::CertType;
use ssh_key::{Certificate, HashAlg, PrivateKey, PublicKey};
use store::{Clock as _, SystemClock};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpListener;

use crate::Options;
use crate::sessions::raise_files;

/// Serves until standard input ends.
pub(crate) async fn serve(options: &Options) -> Result<Value> {
    raise_files()?;
    let listen: SocketAddr = options.value("listen")?;
    ensure!(listen.ip().is_loopback(), "a target for benchmarks listens on the loopback only");
    let user_ca = options.text("user-ca")?;
    let user_ca = std::fs::read_to_string(user_ca).with_context(|| format!("cannot read {user_ca}"))?;
    let trust =
        Trust { user_ca: PublicKey::from_openssh(user_ca.trim())?, principal: options.text("principal")?.into() };
    let trust = Arc::new(trust);
    let config = server::Config {
        keys: vec![PrivateKey::read_openssh_file(Path::new(options.text("host-key")?))?],
        auth_rejection_time: std::time::Duration::ZERO,
        ..server::Config::default()
    };
    let config = Arc::new(config);
    let listener = TcpListener::bind(listen).await?;
    let mut input = tokio::io::stdin();
    let mut sink = [0; 64];
    let mut sessions: u64 = 0;
    loop {
        tokio::select! {
            read = input.read(&mut sink) => if !matches!(read, Ok(1..)) { return Ok(json!({ "connections": sessions })) },
            accepted = listener.accept() => {
                let (stream, peer) = accepted?;
                stream.set_nodelay(true)?;
                sessions += 1;
                let door = Door { trust: trust.clone(), login: String::new(), peer: peer.ip() };
                let config = config.clone();
                tokio::spawn(async move {
                    // Whoever is cut off ends with an error.
                    if let Ok(running) = server::run_stream(config, stream, door).await {
                        let _ = running.await;
                    }
                });
            }
        }
    }
}

/// What is in `TrustedUserCAKeys` and `AuthorizedPrincipalsFile`.
struct Trust {
    user_ca: PublicKey,
    principal: String,
}

impl Trust {
    fn allows(&self, certificate: &Certificate, peer: IpAddr) -> bool {
        let now = SystemClock.now().seconds();
        let pinned = certificate.critical_options().iter().all(|(name, value)| {
            name == "source-address" && value.split(',').any(|from| from.split('/').next() == Some(&peer.to_string()))
        });
        certificate.cert_type() == CertType::User
            && certificate.signature_key() == self.user_ca.key_data()
            && certificate.validate_at(now, [&self.user_ca.fingerprint(HashAlg::Sha256)]).is_ok()
            && certificate.valid_principals() == [self.principal.as_str()]
            && pinned
    }
}

struct Door {
    trust: Arc<Trust>,
    login: String,
    peer: IpAddr,
}

impl server::Handler for Door {
    type Error = russh::Error;

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
        _: CertificateProof<'_>,
    ) -> Result<Auth, russh::Error> {
        user.clone_into(&mut self.login);
        let right = self.trust.principal.split_once('@').is_some_and(|(login, _)| login == user);
        Ok(if right && self.trust.allows(certificate, self.peer) { Auth::Accept } else { Auth::reject() })
    }

    async fn channel_open_session(
        &mut self,
        _: Channel<Msg>,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        Ok(())
    }

    async fn exec_request(&mut self, id: ChannelId, _: &[u8], session: &mut Session) -> Result<(), russh::Error> {
        session.channel_success(id)?;
        session.data(id, &b"up\n"[..])
    }
}
