//! The faces of the proxy: its host key, certified by the front CA for its own name and for every target that it stands
//! in for behind `ssh -J`.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::wire::HostSubject;
use model::{ProxyName, Span, TargetName, Timestamp};
use russh::{MethodKind, MethodSet, server};
use ssh_key::{Certificate, PrivateKey};
use tracing::{debug, warn};

use crate::algorithms;
use crate::ambient::Ambient;
use crate::auth::Authorities;
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

    /// The settings of a server that is the proxy itself (`None`) or stands in for a target. A certificate that is
    /// still good is never waited for; it is renewed in the background.
    ///
    /// # Errors
    /// The CA gives no certificate for it.
    pub(crate) async fn face(
        self: &Arc<Self>,
        target: Option<&TargetName>,
    ) -> Result<Arc<server::Config>, ControlError> {
        let now = self.ambient.now();
        let wanted = target.cloned();
        if let Some((ssh, renew)) = self.kept(&wanted, now) {
            if renew {
                let hosts = self.clone();
                tokio::spawn(async move {
                    if let Err(error) = hosts.ask(wanted).await {
                        warn!("the old host certificate is kept: {error}");
                    }
                });
            }
            return Ok(ssh);
        }
        self.ask(wanted).await
    }

    /// Forgets what another key than these has signed: when the front CA's key is replaced, people trust the new one.
    pub(crate) fn keep_signed_by(&self, front_ca: &Authorities) {
        let ours = |face: &Face| face.ssh.certificates.iter().all(|shown| front_ca.contains(shown.signature_key()));
        self.lock().retain(|_, face| ours(face));
    }

    /// What is kept and still good, and whether it is time to renew it, which is said to one caller only.
    fn kept(&self, wanted: &Option<TargetName>, now: Timestamp) -> Option<(Arc<server::Config>, bool)> {
        let mut faces = self.lock();
        let face = faces.get_mut(wanted).filter(|face| now < face.valid_before)?;
        let renew = now >= face.renew;
        if renew {
            face.renew = now.plus(RETRY);
        }
        Some((face.ssh.clone(), renew))
    }

    async fn ask(&self, wanted: Option<TargetName>) -> Result<Arc<server::Config>, ControlError> {
        let subject = match &wanted {
            None => HostSubject::Proxy { name: self.name.clone() },
            Some(name) => HostSubject::StandIn { name: name.clone() },
        };
        let issued = self.control.host_certificate(subject, &self.public_key).await?;
        let unreadable = |error| ControlError::Unavailable(format!("its host certificate cannot be read: {error}"));
        let certificate = Certificate::from_openssh(&issued.certificate).map_err(unreadable)?;
        debug!(target = wanted.as_ref().map(TargetName::as_str), "have a host certificate");
        let now = self.ambient.now();
        // One that lives shorter than that is renewed when half of its life is over.
        let left = issued.valid_before.since(now).as_secs() / 2;
        let half = now.plus(Span::from_seconds(u32::try_from(left).unwrap_or(u32::MAX)));
        let renew = issued.valid_before.minus(RENEW).max(half.min(issued.valid_before));
        let ssh = Arc::new(self.server(certificate));
        self.lock().insert(wanted, Face { ssh: ssh.clone(), valid_before: issued.valid_before, renew });
        Ok(ssh)
    }

    fn server(&self, certificate: Certificate) -> server::Config {
        server::Config {
            // OpenSSH tells that it takes no more output, which ends `ssh … | head`, only to those whose version says so.
            server_id: russh::SshId::Standard("SSH-2.0-OpenSSH_Portcullis".into()),
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
            keepalive_max: crate::KEEPALIVES,
            ..server::Config::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, HashMap<Option<TargetName>, Face>> {
        self.faces.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

    use api::wire::{CaKeys, OpenSession, OpenedSession, Recovered, SessionReport};
    use async_trait::async_trait;
    use model::SessionId;
    use ssh_key::PublicKey;
    use ssh_key::certificate::{Builder, CertType};
    use ssh_key::private::{Ed25519Keypair, KeypairData};

    use crate::control::{Feed, HostCertificate};

    use super::*;

    /// A CA whose host certificates live for two hours, until it goes away.
    #[derive(Default)]
    struct Ca {
        now: Arc<AtomicU64>,
        asked: AtomicUsize,
        away: std::sync::atomic::AtomicBool,
    }

    struct Clock(Arc<AtomicU64>);

    impl Ambient for Clock {
        fn now(&self) -> Timestamp {
            Timestamp::from_seconds(self.0.load(Ordering::SeqCst))
        }

        fn fill(&self, _: &mut [u8]) {}
    }

    fn key() -> PrivateKey {
        PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[1; 32])), "").unwrap()
    }

    #[async_trait]
    impl Control for Ca {
        async fn keys(&self) -> Result<CaKeys, ControlError> {
            Err(ControlError::Unavailable(String::new()))
        }

        async fn open(&self, _: &OpenSession) -> Result<OpenedSession, ControlError> {
            Err(ControlError::Unavailable(String::new()))
        }

        async fn report(&self, _: &SessionId, _: Option<u64>, _: Vec<SessionReport>) -> Result<usize, ControlError> {
            Ok(0)
        }

        async fn host_certificate(&self, _: HostSubject, public: &str) -> Result<HostCertificate, ControlError> {
            self.asked.fetch_add(1, Ordering::SeqCst);
            if self.away.load(Ordering::SeqCst) {
                return Err(ControlError::Unavailable("away".to_owned()));
            }
            let now = self.now.load(Ordering::SeqCst);
            let public = PublicKey::from_openssh(public).unwrap();
            let mut builder = Builder::new(vec![1; 32], public.key_data().clone(), now, now + 7200).unwrap();
            builder.cert_type(CertType::Host).unwrap().valid_principal("proxy").unwrap();
            let certificate = builder.sign(&key()).unwrap().to_openssh().unwrap();
            Ok(HostCertificate { certificate, valid_before: Timestamp::from_seconds(now + 7200) })
        }

        async fn recovered(&self, _: &Recovered) -> Result<(), ControlError> {
            Ok(())
        }

        async fn position(&self) -> Result<u64, ControlError> {
            Ok(0)
        }

        async fn follow(&self, _: u64) -> Result<Box<dyn Feed>, ControlError> {
            Err(ControlError::Unavailable(String::new()))
        }
    }

    #[tokio::test]
    async fn a_clock_that_is_set_back_keeps_no_ended_certificate() {
        let ca = Arc::new(Ca::default());
        ca.now.store(1_700_000_000, Ordering::SeqCst);
        let ambient = Arc::new(crate::ambient::Timekeeper::new(Arc::new(Clock(ca.now.clone()))));
        let hosts = Hosts::new(ca.clone(), ambient.clone(), "proxy1".parse().unwrap(), key(), Config::default());
        let hosts = Arc::new(hosts.unwrap());
        hosts.face(None).await.unwrap();
        ca.now.fetch_add(7200, Ordering::SeqCst);
        ambient.now();
        ca.now.fetch_sub(7000, Ordering::SeqCst);
        ca.away.store(true, Ordering::SeqCst);
        assert!(hosts.face(None).await.is_err(), "it has ended, whatever the clock says now");
    }

    #[tokio::test]
    async fn a_certificate_is_asked_for_once_renewed_in_time_and_kept_while_the_ca_is_away() {
        let ca = Arc::new(Ca::default());
        ca.now.store(1_700_000_000, Ordering::SeqCst);
        let ambient = Arc::new(Clock(ca.now.clone()));
        let name = "proxy1".parse().unwrap();
        let hosts = Arc::new(Hosts::new(ca.clone(), ambient, name, key(), Config::default()).unwrap());
        let asked = || ca.asked.load(Ordering::SeqCst);
        let later = |seconds: u64| ca.now.fetch_add(seconds, Ordering::SeqCst);
        let settle = || async {
            for _ in 0..10 {
                tokio::task::yield_now().await
            }
        };

        for _ in 0..3 {
            hosts.face(None).await.unwrap();
        }
        assert_eq!(asked(), 1);
        later(5500);
        hosts.face(None).await.unwrap();
        hosts.face(None).await.unwrap();
        settle().await;
        assert_eq!(asked(), 2, "renewed half an hour before its end, once");

        ca.away.store(true, Ordering::SeqCst);
        later(7000);
        hosts.face(None).await.unwrap();
        hosts.face(None).await.unwrap();
        settle().await;
        assert_eq!(asked(), 3, "the old one is kept, and the CA is left alone for a minute");
        later(60);
        hosts.face(None).await.unwrap();
        settle().await;
        assert_eq!(asked(), 4);
        let authorities = |key: &PrivateKey| Authorities::parse(&key.public_key().to_openssh().unwrap()).unwrap();
        hosts.keep_signed_by(&authorities(&key()));
        assert!(hosts.face(None).await.is_ok(), "the front CA is the same");
        let other = PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&[2; 32])), "").unwrap();
        hosts.keep_signed_by(&authorities(&other));
        assert!(hosts.face(None).await.is_err(), "people would not know it any more");
        ca.away.store(false, Ordering::SeqCst);
        hosts.face(None).await.unwrap();
        ca.away.store(true, Ordering::SeqCst);
        later(7200);
        assert!(hosts.face(None).await.is_err(), "its time is up");
    }
}
