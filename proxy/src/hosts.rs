//! The faces of the proxy: its host key, certified by the front CA for its own name and for every target that it stands
//! in for behind `ssh -J`.
//!
//! The key may be replaced while the proxy runs. Who comes from then on is shown the new one; who is there already keeps
//! what they were shown, also in later key exchanges, because each connection has settings of its own.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use api::wire::HostSubject;
use model::{ProxyName, Span, TargetName, Timestamp};
use russh::{MethodKind, MethodSet, server};
use ssh_key::{Certificate, HashAlg, PrivateKey};
use tokio::sync::Notify;
use tracing::{debug, error, info, warn};

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
    config: Config,
    own: Mutex<Own>,
    /// Told when the key was replaced, or another was refused.
    key_changed: Notify,
}

/// What the proxy shows at present.
struct Own {
    key: Arc<Key>,
    /// All of them for this key.
    faces: HashMap<Option<TargetName>, Face>,
    /// Why and when another key was refused, while this one is kept.
    refused: Option<(String, Timestamp)>,
}

struct Key {
    private: PrivateKey,
    public: String,
    fingerprint: String,
}

impl Key {
    fn new(private: PrivateKey) -> Result<Self, ssh_key::Error> {
        let public = private.public_key();
        let (public, fingerprint) = (public.to_openssh()?, public.fingerprint(HashAlg::Sha256).to_string());
        Ok(Self { private, public, fingerprint })
    }
}

/// The host key of a running proxy.
#[derive(Clone)]
pub struct HostKey(Arc<Hosts>);

impl HostKey {
    pub(crate) const fn of(hosts: Arc<Hosts>) -> Self {
        Self(hosts)
    }

    /// Shows another key to who comes from now on. The CA certifies it first: a key that it does not certify would shut
    /// everybody out.
    ///
    /// # Errors
    /// The CA refuses it, or cannot be asked. The old key is then kept.
    pub async fn replace(&self, key: PrivateKey) -> Result<(), ControlError> {
        self.0.replace(key).await
    }

    /// Keeps in mind, for who asks how the proxy does, that another key is there and cannot be used, and why.
    pub fn refused(&self, why: String) {
        self.0.refuse_key(why);
    }
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
        let own = Own { key: Arc::new(Key::new(key)?), faces: HashMap::new(), refused: None };
        Ok(Self { control, ambient, name, config, own: Mutex::new(own), key_changed: Notify::new() })
    }

    /// Fingerprint of the host key; why and when another was refused since.
    pub(crate) fn key(&self) -> (String, Option<(String, Timestamp)>) {
        let own = self.lock();
        (own.key.fingerprint.clone(), own.refused.clone())
    }

    /// Waits until the host key was replaced, or another was refused.
    pub(crate) async fn key_changed(&self) {
        self.key_changed.notified().await;
    }

    async fn replace(&self, private: PrivateKey) -> Result<(), ControlError> {
        let unwritable = |error| ControlError::Unavailable(format!("the host key cannot be written down: {error}"));
        let key = Arc::new(Key::new(private).map_err(unwritable)?);
        if key.public == self.lock().key.public {
            // What stood there meanwhile was refused, and is gone.
            self.lock().refused = None;
            self.key_changed.notify_one();
            return Ok(());
        }
        let face = self.certify(&key, None).await?;
        info!(key = key.fingerprint, "there is another host key: who comes from now on is shown it");
        let mut own = self.lock();
        *own = Own { key, faces: HashMap::from([(None, face)]), refused: None };
        drop(own);
        self.key_changed.notify_one();
        Ok(())
    }

    fn refuse_key(&self, why: String) {
        error!("the host key's file was changed and is refused; the old key stays: {why}");
        self.lock().refused = Some((why, self.ambient.now()));
        self.key_changed.notify_one();
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

    /// Forgets what another key than these has signed: people do not trust it any more. What one of them has signed that
    /// signs no more, because another takes its place, is renewed before people forget it.
    pub(crate) fn keep_signed_by(&self, front_ca: &Authorities) {
        let now = self.ambient.now();
        self.lock().faces.retain(|_, face| {
            let mut by = face.ssh.certificates.iter().map(Certificate::signature_key);
            if by.clone().any(|key| !front_ca.signs(key)) {
                face.renew = face.renew.min(now);
            }
            by.all(|key| front_ca.contains(key))
        });
    }

    /// What is kept and still good, and whether it is time to renew it, which is said to one caller only.
    fn kept(&self, wanted: &Option<TargetName>, now: Timestamp) -> Option<(Arc<server::Config>, bool)> {
        let mut own = self.lock();
        let face = own.faces.get_mut(wanted).filter(|face| now < face.valid_before)?;
        let renew = now >= face.renew;
        if renew {
            face.renew = now.plus(RETRY);
        }
        Some((face.ssh.clone(), renew))
    }

    async fn ask(&self, wanted: Option<TargetName>) -> Result<Arc<server::Config>, ControlError> {
        let key = self.lock().key.clone();
        let face = self.certify(&key, wanted.as_ref()).await?;
        let ssh = face.ssh.clone();
        let mut own = self.lock();
        // The key may have been replaced while the CA was asked. Who asked before that is shown the old one.
        if Arc::ptr_eq(&own.key, &key) {
            own.faces.insert(wanted, face);
        }
        Ok(ssh)
    }

    /// Has the CA certify a key for the proxy's own name, or for a target.
    async fn certify(&self, key: &Key, wanted: Option<&TargetName>) -> Result<Face, ControlError> {
        let subject = match wanted {
            None => HostSubject::Proxy { name: self.name.clone() },
            Some(name) => HostSubject::StandIn { name: name.clone() },
        };
        let issued = self.control.host_certificate(subject, &key.public).await?;
        let unreadable = |error| ControlError::Unavailable(format!("its host certificate cannot be read: {error}"));
        let certificate = Certificate::from_openssh(&issued.certificate).map_err(unreadable)?;
        debug!(target = wanted.map(TargetName::as_str), "have a host certificate");
        let now = self.ambient.now();
        // One that lives shorter than that is renewed when half of its life is over.
        let left = issued.valid_before.since(now).as_secs() / 2;
        let half = now.plus(Span::from_seconds(u32::try_from(left).unwrap_or(u32::MAX)));
        let renew = issued.valid_before.minus(RENEW).max(half.min(issued.valid_before));
        let ssh = Arc::new(self.server(key.private.clone(), certificate));
        Ok(Face { ssh, valid_before: issued.valid_before, renew })
    }

    fn server(&self, key: PrivateKey, certificate: Certificate) -> server::Config {
        server::Config {
            // OpenSSH tells that it takes no more output, which ends `ssh … | head`, only to those whose version says so.
            server_id: russh::SshId::Standard("SSH-2.0-OpenSSH_Portcullis".into()),
            methods: MethodSet::from(&[MethodKind::PublicKey, MethodKind::KeyboardInteractive][..]),
            // What is refused is not secret: there are no passwords to guess.
            auth_rejection_time: std::time::Duration::ZERO,
            auth_rejection_time_initial: Some(std::time::Duration::ZERO),
            keys: vec![key],
            certificates: vec![certificate],
            window_size: self.config.window,
            maximum_packet_size: 32 * 1024,
            channel_buffer_size: crate::REQUESTS,
            limits: self.config.rekey(),
            preferred: algorithms::for_people(),
            max_auth_attempts: self.config.max_auth_tries,
            inactivity_timeout: None,
            keepalive_interval: Some(self.config.keepalive.to_std()),
            keepalive_max: crate::KEEPALIVES,
            ..server::Config::default()
        }
    }

    fn lock(&self) -> MutexGuard<'_, Own> {
        self.own.lock().unwrap_or_else(PoisonError::into_inner)
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
