//! The faces of the proxy: its host key, certified for its own name and for every target that it stands in for behind
//! `ssh -J`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::wire::HostSubject;
use model::{ProxyName, Span, TargetName, Timestamp};
use russh::{MethodKind, MethodSet, server};
use ssh_key::{Certificate, PrivateKey};
use tracing::{debug, warn};

use crate::algorithms;
use crate::ambient::Ambient;
use crate::config::Config;
use crate::control::{Control, ControlError};

/// A certificate is renewed when it has less than this to live.
const RENEW: Span = Span::from_minutes(30);
/// A failed renewal is not tried again for this long while the old certificate is good.
const RETRY: Span = Span::from_minutes(1);

/// Host certificates, asked for when they are first needed and kept while they are good.
pub(crate) struct Hosts {
    control: Arc<dyn Control>,
    ambient: Arc<dyn Ambient>,
    name: ProxyName,
    key: PrivateKey,
    public_key: String,
    config: Config,
    faces: Mutex<HashMap<Option<TargetName>, Face>>,
}

#[derive(Clone)]
struct Face {
    ssh: Arc<server::Config>,
    valid_before: Timestamp,
    renew: Timestamp,
}

impl Hosts {
    /// # Errors
    /// The host key has no public half that can be written down.
    pub(crate) fn new(
        control: Arc<dyn Control>,
        ambient: Arc<dyn Ambient>,
        name: ProxyName,
        key: PrivateKey,
        config: Config,
    ) -> Result<Self, ssh_key::Error> {
        let public_key = key.public_key().to_openssh()?;
        Ok(Self { control, ambient, name, key, public_key, config, faces: Mutex::default() })
    }

    /// The settings of a server that is the proxy itself (`None`) or stands in for a target.
    ///
    /// # Errors
    /// The CA gives no certificate for it.
    pub(crate) async fn face(&self, target: Option<&TargetName>) -> Result<Arc<server::Config>, ControlError> {
        let now = self.ambient.now();
        let wanted = target.cloned();
        let kept = self.lock().get(&wanted).cloned();
        if let Some(face) = kept.as_ref().filter(|face| now < face.renew) {
            return Ok(face.ssh.clone());
        }
        match self.ask(target, now).await {
            Ok(face) => {
                let ssh = face.ssh.clone();
                self.lock().insert(wanted, face);
                Ok(ssh)
            }
            Err(error) => match kept.filter(|face| now < face.valid_before) {
                Some(mut face) => {
                    warn!("the old host certificate is kept: {error}");
                    let ssh = face.ssh.clone();
                    face.renew = now.plus(RETRY);
                    self.lock().insert(wanted, face);
                    Ok(ssh)
                }
                None => Err(error),
            },
        }
    }

    async fn ask(&self, target: Option<&TargetName>, now: Timestamp) -> Result<Face, ControlError> {
        let subject = match target {
            None => HostSubject::Proxy { name: self.name.clone() },
            Some(name) => HostSubject::Target { name: name.clone() },
        };
        let issued = self.control.host_certificate(subject, &self.public_key).await?;
        let unreadable = |error| ControlError::Unavailable(format!("its host certificate cannot be read: {error}"));
        let certificate = Certificate::from_openssh(&issued.certificate).map_err(unreadable)?;
        debug!(target = target.map(TargetName::as_str), "have a host certificate");
        // One that lives shorter than that is renewed when half of its life is over.
        let left = issued.valid_before.since(now).as_secs() / 2;
        let half = now.plus(Span::from_seconds(u32::try_from(left).unwrap_or(u32::MAX)));
        Ok(Face {
            ssh: Arc::new(self.server(certificate)),
            valid_before: issued.valid_before,
            renew: issued.valid_before.minus(RENEW).max(half.min(issued.valid_before)),
        })
    }

    fn server(&self, certificate: Certificate) -> server::Config {
        server::Config {
            server_id: russh::SshId::Standard("SSH-2.0-Portcullis".into()),
            methods: MethodSet::from(&[MethodKind::PublicKey, MethodKind::KeyboardInteractive][..]),
            // What is refused is not secret: there are no passwords to guess.
            auth_rejection_time: std::time::Duration::ZERO,
            auth_rejection_time_initial: Some(std::time::Duration::ZERO),
            keys: vec![self.key.clone()],
            certificates: vec![certificate],
            window_size: self.config.window,
            maximum_packet_size: 32 * 1024,
            channel_buffer_size: crate::REQUESTS,
            preferred: algorithms::for_people(),
            max_auth_attempts: self.config.max_auth_tries,
            inactivity_timeout: None,
            keepalive_interval: Some(self.config.keepalive.to_std()),
            keepalive_max: 3,
            ..server::Config::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<TargetName>, Face>> {
        self.faces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
