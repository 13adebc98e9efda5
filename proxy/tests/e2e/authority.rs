//! A CA in the test: grants in a list, facts in a list, real signatures.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use api::Heard;
use api::wire::{
    BuyPass, CaKeys, Credential, EnterByPass, Extend, ExtensionOffer, HostSubject, OpenSession, OpenedSession, Pass,
    PathGap, Presence, Recovered, Request, RequestState, SessionReport, SignForTarget, TellProxyStatus,
};
use async_trait::async_trait;
use model::{
    Actor, Asked, Correlation, Entry, Fact, GrantEnd, IdentityName, Lock, LockId, Login, Obligations, Principal,
    Record, RequestId, RequestSpec, Seq, SessionId, Span, TargetName, Timestamp, WayIn,
};
use portcullis_proxy::{Ambient, Control, ControlError, Feed, HostCertificate};
use ssh_key::certificate::{Builder, CertType};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::public::KeyData;
use ssh_key::{Certificate, PrivateKey, PublicKey, Signature, SigningKey};
use tokio::sync::Notify;
use zeroize::Zeroizing;

/// The machine's clock, set back by so many seconds, and its random source, as the edge would read them.
#[derive(Clone, Default)]
pub struct Machine(pub Arc<AtomicU64>);

impl Ambient for Machine {
    fn now(&self) -> Timestamp {
        now().minus(Span::from_seconds(u32::try_from(self.0.load(Ordering::SeqCst)).unwrap()))
    }

    fn fill(&self, bytes: &mut [u8]) {
        random(bytes);
    }
}

#[allow(clippy::disallowed_methods, reason = "the test stands in for the edge")]
pub fn now() -> Timestamp {
    let micros = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_micros();
    Timestamp::from_micros(u64::try_from(micros).unwrap())
}

pub fn random(bytes: &mut [u8]) {
    use std::io::Read;
    std::fs::File::open("/dev/urandom").unwrap().read_exact(bytes).unwrap();
}

pub fn random_bits() -> u64 {
    let mut bytes = [0; 8];
    random(&mut bytes);
    u64::from_le_bytes(bytes)
}

/// A fresh Ed25519 key.
pub fn new_key() -> PrivateKey {
    let mut seed = [0; 32];
    random(&mut seed);
    PrivateKey::new(KeypairData::Ed25519(Ed25519Keypair::from_seed(&seed)), "").unwrap()
}

/// One grant.
#[derive(Clone)]
pub struct Grant {
    pub id: RequestId,
    pub identity: IdentityName,
    pub target: TargetName,
    pub login: Login,
    pub ends: Timestamp,
    pub command: Option<String>,
    pub obligations: Obligations,
}

#[derive(Clone)]
pub struct TargetEntry {
    pub addresses: Vec<String>,
    pub host_keys: Vec<String>,
}

/// What the CA does when it is asked to sign with a target's key.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Signs {
    Rightly,
    /// Another connection's log-in.
    Otherwise,
    Never,
    /// Not before the proxy has given up.
    Late,
}

/// The CA.
pub struct Authority {
    /// The keys of targets that know no certificates.
    target_keys: Mutex<BTreeMap<String, (PrivateKey, Signs)>>,
    /// The sessions that are opened by one, with their targets.
    keyed: Mutex<BTreeMap<SessionId, String>>,
    pub user_ca: PrivateKey,
    pub host_ca: PrivateKey,
    pub front_ca: PrivateKey,
    grants: Mutex<Vec<Grant>>,
    targets: Mutex<BTreeMap<String, TargetEntry>>,
    facts: Mutex<Vec<Record>>,
    more: Notify,
    reports: Mutex<Vec<(SessionId, SessionReport)>>,
    reported: Notify,
    /// What was told of an earlier run, and the rolls.
    rolls: Mutex<Vec<Recovered>>,
    /// What the proxy said of itself.
    statuses: Mutex<Vec<TellProxyStatus>>,
    /// Sessions that were opened and of which nobody heard.
    unheard: Mutex<Vec<SessionId>>,
    /// The answer to `open` is lost.
    deaf: AtomicBool,
    serial: AtomicU64,
    /// The CA does not answer calls, and its feed is silent.
    dead: AtomicBool,
    /// The CA answers calls, and its feed is broken.
    mute: AtomicBool,
    /// Extra time before an answer to `open`.
    slow: Mutex<Duration>,
    /// How often somebody wanted to know how much more time there could be.
    offers: std::sync::atomic::AtomicUsize,
    asked: AtomicU64,
    /// The log-ins that have opened a session.
    spent: Mutex<BTreeSet<String>>,
    /// Those that were shown, as they were.
    shown: Mutex<Vec<Presence>>,
    /// Whose the registered keys are.
    keys: Mutex<Vec<(PublicKey, IdentityName)>>,
    /// The passes in force, and how many keys were asked about.
    passes: Mutex<BTreeMap<String, (IdentityName, String)>>,
    looked_up: AtomicU64,
    /// Whose session is under which grant.
    under: Mutex<BTreeMap<SessionId, Grant>>,
    /// What was asked for in live sessions; and why nothing more is.
    extensions: Mutex<Vec<(SessionId, Extend)>>,
    no_more: Mutex<Option<&'static str>>,
    /// The one-time code that is good, where one is wanted.
    code: Mutex<Option<String>>,
    /// The codes that were passed on, in order, and the passes that a good one came with.
    codes: Mutex<Vec<String>>,
    raised: Mutex<BTreeSet<String>>,
}

impl Authority {
    pub fn new() -> Arc<Self> {
        Arc::new(Self {
            user_ca: new_key(),
            host_ca: new_key(),
            front_ca: new_key(),
            target_keys: Mutex::default(),
            keyed: Mutex::default(),
            grants: Mutex::default(),
            targets: Mutex::default(),
            facts: Mutex::default(),
            more: Notify::new(),
            reports: Mutex::default(),
            reported: Notify::new(),
            rolls: Mutex::default(),
            statuses: Mutex::default(),
            unheard: Mutex::default(),
            deaf: AtomicBool::new(false),
            serial: AtomicU64::new(1),
            dead: AtomicBool::new(false),
            mute: AtomicBool::new(false),
            slow: Mutex::default(),
            offers: std::sync::atomic::AtomicUsize::default(),
            asked: AtomicU64::new(0),
            spent: Mutex::default(),
            shown: Mutex::default(),
            keys: Mutex::default(),
            passes: Mutex::default(),
            looked_up: AtomicU64::new(0),
            under: Mutex::default(),
            extensions: Mutex::default(),
            no_more: Mutex::default(),
            code: Mutex::default(),
            codes: Mutex::default(),
            raised: Mutex::default(),
        })
    }

    pub fn add_target(&self, name: &str, addresses: &[String], host_keys: &[String]) {
        let entry = TargetEntry { addresses: addresses.to_vec(), host_keys: host_keys.to_vec() };
        lock(&self.targets).insert(name.to_owned(), entry);
    }

    /// Lets proxies in to a target with a key that the CA holds.
    pub fn hold_key(&self, name: &str, key: &PrivateKey, signs: Signs) {
        lock(&self.target_keys).insert(name.to_owned(), (key.clone(), signs));
    }

    async fn sign_for_target(&self, session: &SessionId, ask: &SignForTarget) -> Result<Vec<u8>, ControlError> {
        let target = lock(&self.keyed).remove(session).expect("one signature a session");
        let (key, signs) = lock(&self.target_keys)[&target].clone();
        let mut session_id = hex::decode(&ask.session_id).unwrap();
        match signs {
            Signs::Rightly => {}
            Signs::Otherwise => session_id[0] ^= 1,
            Signs::Never => {
                let (sentence, hint) = ("the key is away".to_owned(), Some("bring it back".to_owned()));
                return Err(ControlError::Refused { code: "no-target-key".into(), sentence, hint });
            }
            Signs::Late => std::future::pending().await,
        }
        let blob = key.public_key().to_bytes().unwrap();
        let request = identity::publickey_request(&session_id, &ask.login, "ssh-ed25519", &blob).unwrap();
        Ok(Vec::try_from(sign_with(&key, &request)).unwrap())
    }

    /// Grants `login@target` to a person.
    pub fn grant(&self, identity: &str, login: &str, target: &str, time: Duration) -> Grant {
        self.grant_with(identity, login, target, time, |_| {})
    }

    pub fn grant_with(
        &self,
        identity: &str,
        login: &str,
        target: &str,
        time: Duration,
        change: impl FnOnce(&mut Grant),
    ) -> Grant {
        let mut grant = Grant {
            id: RequestId::from_random(random_bits()),
            identity: identity.parse().unwrap(),
            target: target.parse().unwrap(),
            login: login.parse().unwrap(),
            ends: Timestamp::from_micros(now().micros() + u64::try_from(time.as_micros()).unwrap()),
            command: None,
            obligations: Obligations::default(),
        };
        change(&mut grant);
        lock(&self.grants).push(grant.clone());
        grant
    }

    /// Ends a grant, and says so in the feed; returns the moment.
    pub fn end_grant(&self, id: &RequestId, end: GrantEnd, by: &str) -> Timestamp {
        lock(&self.grants).retain(|grant| grant.id != *id);
        let actor = Actor::Identity(by.parse().unwrap());
        self.tell(actor, Fact::GrantEnded { request: id.clone(), end, reason: None })
    }

    pub fn extend(&self, id: &RequestId, to: Timestamp) {
        let mut grants = lock(&self.grants);
        let grant = grants.iter_mut().find(|grant| grant.id == *id).unwrap();
        let from = std::mem::replace(&mut grant.ends, to);
        drop(grants);
        let by = RequestId::from_random(random_bits());
        self.tell(Actor::System, Fact::GrantExtended { request: id.clone(), by, from, to });
    }

    /// Says that a request for more time was filed, and denied.
    pub fn deny_extension(&self, grant: &Grant) {
        let request = self.file_extension(grant);
        self.deny(request);
    }

    pub fn deny(&self, request: RequestId) {
        self.tell(Actor::Identity("bob".parse().unwrap()), Fact::RequestDenied { request });
    }

    /// What was asked for in live sessions.
    pub fn extensions(&self) -> Vec<(SessionId, Extend)> {
        lock(&self.extensions).clone()
    }

    /// Refuses more time from now on, in these words.
    pub fn set_no_more(&self, why: Option<&'static str>) {
        *lock(&self.no_more) = why;
    }

    /// Says that a request for more time was filed.
    pub fn file_extension(&self, grant: &Grant) -> RequestId {
        let request = RequestId::from_random(random_bits());
        let spec = RequestSpec {
            identity: grant.identity.clone(),
            target: grant.target.clone(),
            login: grant.login.clone(),
            duration: Span::from_minutes(30),
            reason: "more".parse().unwrap(),
            ticket: None,
            command: None,
            start: None,
            extends: Some(grant.id.clone()),
        };
        let asked = Asked {
            idempotency_key: None,
            touch: false,
            totp: false,
            address: None,
            through: None,
            expires: grant.ends,
        };
        let filed = Fact::RequestFiled { request: request.clone(), spec, asked, paths: Vec::new() };
        self.tell(Actor::Identity(grant.identity.clone()), filed);
        request
    }

    fn more(&self) -> Result<Vec<PathGap>, ControlError> {
        self.alive()?;
        if let Some(why) = *lock(&self.no_more) {
            let hint = Some("ask somebody".into());
            return Err(ControlError::Refused { code: "forbidden".into(), sentence: why.into(), hint });
        }
        let lacks = vec!["1 approval by approvers".into()];
        Ok(vec![PathGap { policy: "prod-root".into(), lacks, approvals: 1, groups: Vec::new() }])
    }

    /// How often somebody wanted to know how much more time there could be.
    pub fn offers(&self) -> usize {
        self.offers.load(std::sync::atomic::Ordering::SeqCst)
    }

    pub fn place_lock(&self, subject: &str) -> LockId {
        let id = LockId::from_random(random_bits());
        let lock = Lock { id: id.clone(), subject: subject.parse().unwrap(), reason: "drill".into(), until: None };
        self.tell(Actor::Identity("bob".parse().unwrap()), Fact::LockPlaced { lock });
        id
    }

    pub fn cut(&self, session: &SessionId, reason: &str) {
        let fact = Fact::SessionCut { session: session.clone(), reason: reason.to_owned() };
        self.tell(Actor::Identity("bob".parse().unwrap()), fact);
    }

    /// Ends a session as the real CA does when it takes it for lost: in the name of its proxy.
    pub fn lose(&self, session: &SessionId) {
        let end = model::SessionEnd::Proxy { reason: "its proxy knows nothing of it".to_owned() };
        let fact = Fact::SessionEnded { session: session.clone(), end, cut: None, dropped: now() };
        self.tell(Actor::Proxy("proxy1".parse().unwrap()), fact);
    }

    fn tell(&self, actor: Actor, fact: Fact) -> Timestamp {
        let mut facts = lock(&self.facts);
        let seq = Seq(facts.len() as u64);
        let time = now();
        facts.push(Record { seq, entry: Entry { time, actor, correlation: Correlation::named("test"), fact } });
        drop(facts);
        self.more.notify_waiters();
        time
    }

    /// Waits until a session runs something.
    pub async fn wait_for_session(&self) -> SessionId {
        self.wait_for("a channel", |r| matches!(r, SessionReport::ChannelOpened { .. }).then_some(())).await;
        self.sessions().remove(0)
    }

    /// Waits for a report.
    pub async fn wait_for<T>(&self, what: &str, pick: impl Fn(&SessionReport) -> Option<T>) -> T {
        let look = async {
            loop {
                let more = self.reported.notified();
                tokio::pin!(more);
                more.as_mut().enable();
                if let Some(found) = lock(&self.reports).iter().find_map(|(_, report)| pick(report)) {
                    return found;
                }
                more.await;
            }
        };
        match tokio::time::timeout(Duration::from_secs(20), look).await {
            Ok(found) => found,
            Err(_) => panic!("{what} was never reported: {:#?}", lock(&self.reports)),
        }
    }

    pub async fn ended(&self) -> (model::SessionEnd, Timestamp) {
        let (end, _, dropped) = self.receipt().await;
        (end, dropped)
    }

    /// Why a session ended, when nothing passed any more, and when its person's socket was closed.
    pub async fn receipt(&self) -> (model::SessionEnd, Option<Timestamp>, Timestamp) {
        self.wait_for("the end", |report| match report {
            SessionReport::Ended { end, cut, dropped } => Some((end.clone(), cut.map(|cut| cut.0), dropped.0)),
            _ => None,
        })
        .await
    }

    pub fn ended_sessions(&self) -> Vec<SessionId> {
        let ended = |report: &SessionReport| matches!(report, SessionReport::Ended { .. });
        lock(&self.reports).iter().filter(|(_, report)| ended(report)).map(|(id, _)| id.clone()).collect()
    }

    /// Takes this long for each answer.
    pub fn set_slow(&self, time: Duration) {
        *lock(&self.slow) = time;
    }

    /// Neither answers nor tells facts.
    pub fn set_dead(&self, dead: bool) {
        self.dead.store(dead, Ordering::SeqCst);
        self.more.notify_waiters();
    }

    /// Tells no facts, and still answers.
    pub fn set_mute(&self, mute: bool) {
        self.mute.store(mute, Ordering::SeqCst);
        self.more.notify_waiters();
    }

    /// Opens sessions, and loses the answers.
    pub fn set_deaf(&self, deaf: bool) {
        self.deaf.store(deaf, Ordering::SeqCst);
    }

    /// The sessions that were opened while the answers were lost.
    pub fn unheard(&self) -> Vec<SessionId> {
        lock(&self.unheard).clone()
    }

    /// What was told of an earlier run, and the rolls since.
    pub fn rolls(&self) -> Vec<Recovered> {
        lock(&self.rolls).clone()
    }

    /// What the proxy said last of itself.
    pub fn status(&self) -> Option<TellProxyStatus> {
        lock(&self.statuses).last().cloned()
    }

    /// How often a session was asked for.
    pub fn asked(&self) -> u64 {
        self.asked.load(Ordering::SeqCst)
    }

    /// Says in the feed that a grant was revoked, and still answers as if it were not.
    pub fn say_grant_ended(&self, id: &RequestId) {
        let end = GrantEnd::Revoked;
        let bob = Actor::Identity("bob".parse().unwrap());
        self.tell(bob, Fact::GrantEnded { request: id.clone(), end, reason: None });
    }

    pub fn reports(&self) -> Vec<SessionReport> {
        lock(&self.reports).iter().map(|(_, report)| report.clone()).collect()
    }

    pub fn sessions(&self) -> Vec<SessionId> {
        let ids: BTreeSet<_> = lock(&self.reports).iter().map(|(id, _)| id.clone()).collect();
        ids.into_iter().collect()
    }

    /// A person certificate.
    pub fn person(&self, identity: &str, key: &PublicKey, time: Duration) -> Certificate {
        let principal = Principal::Identity(identity.parse().unwrap()).to_string();
        self.sign(&self.user_ca, key.key_data(), CertType::User, &[&principal], time, "req-000000000001")
    }

    /// A person certificate that names its grant, as the CA's do.
    pub fn person_under(&self, identity: &str, key: &PublicKey, grant: &RequestId) -> Certificate {
        let principal = Principal::Identity(identity.parse().unwrap()).to_string();
        let key_id = format!("portcullis person {grant} identity={identity} approvers=bob serial=42");
        self.sign(&self.user_ca, key.key_data(), CertType::User, &[&principal], Duration::from_secs(3600), &key_id)
    }

    /// What a proxy shows to people.
    pub fn front(&self, name: &str, key: &PublicKey) -> Certificate {
        self.sign(&self.front_ca, key.key_data(), CertType::Host, &[name], Duration::from_secs(3600), name)
    }

    /// A target's own certificate.
    pub fn host(&self, name: &str, key: &PublicKey) -> Certificate {
        self.sign(&self.host_ca, key.key_data(), CertType::Host, &[name], Duration::from_secs(3600), name)
    }

    /// One that was valid for two hours, until a minute ago.
    pub fn expired_host(&self, name: &str, key: &PublicKey) -> Certificate {
        let now = now().seconds();
        let mut builder = Builder::new(vec![9; 32], key.key_data().clone(), now - 7200, now - 60).unwrap();
        builder.cert_type(CertType::Host).unwrap().key_id(name).unwrap().valid_principal(name).unwrap();
        builder.sign(&self.host_ca).unwrap()
    }

    pub fn sign(
        &self,
        ca: &PrivateKey,
        key: &KeyData,
        kind: CertType,
        principals: &[&str],
        time: Duration,
        key_id: &str,
    ) -> Certificate {
        let mut nonce = vec![0; 32];
        random(&mut nonce);
        let now = now().seconds();
        let mut builder = Builder::new(nonce, key.clone(), now - 60, now + time.as_secs()).unwrap();
        builder.serial(self.serial.fetch_add(1, Ordering::Relaxed)).unwrap();
        builder.cert_type(kind).unwrap().key_id(key_id).unwrap();
        for principal in principals {
            builder.valid_principal(*principal).unwrap();
        }
        if kind == CertType::User {
            builder.extension("permit-pty", "").unwrap();
        }
        builder.sign(ca).unwrap()
    }

    /// The certificate of one session, with what the grant's path has.
    fn session(&self, key: &KeyData, grant: &Grant, time: Duration) -> Certificate {
        let principal = Principal::Login(grant.login.clone(), grant.target.clone()).to_string();
        let mut nonce = vec![0; 32];
        random(&mut nonce);
        let now = now().seconds();
        let mut builder = Builder::new(nonce, key.clone(), now - 60, now + time.as_secs()).unwrap();
        builder.serial(self.serial.fetch_add(1, Ordering::Relaxed)).unwrap();
        builder.cert_type(CertType::User).unwrap().key_id("session").unwrap();
        builder.valid_principal(principal).unwrap();
        for extension in &grant.obligations.extensions {
            builder.extension(extension.as_str(), "").unwrap();
        }
        builder.sign(&self.user_ca).unwrap()
    }

    /// Enters a key in the directory.
    pub fn register(&self, identity: &str, key: &PublicKey) {
        lock(&self.keys).push((key.clone(), identity.parse().unwrap()));
    }

    /// From now on a session by plain key takes this code.
    pub fn want_code(&self, code: &str) {
        *lock(&self.code) = Some(code.to_owned());
    }

    /// The codes that were passed on, in order.
    pub fn codes(&self) -> Vec<String> {
        lock(&self.codes).clone()
    }

    /// How many passes nobody has given back.
    pub fn passes(&self) -> usize {
        lock(&self.passes).len()
    }

    /// How many keys were asked about.
    pub fn looked_up(&self) -> u64 {
        self.looked_up.load(Ordering::SeqCst)
    }

    /// The log-ins that proxies showed, in order.
    pub fn shown(&self) -> Vec<Presence> {
        lock(&self.shown).clone()
    }

    /// Judges a log-in as the real CA does, and takes each but once.
    fn see(&self, ask: &OpenSession, certificate: &Certificate) -> Result<(), ControlError> {
        let Presence { user, session_id, signature } = &ask.presence;
        lock(&self.shown).push(ask.presence.clone());
        let wanted = match ask.way {
            WayIn::Jump => ask.login.clone(),
            WayIn::Plus => format!("{}+{}", ask.login, ask.target),
        };
        let (session_id, signature) = (hex::decode(session_id).unwrap(), hex::decode(signature).unwrap());
        let claim = identity::Claim { user, session_id: &session_id, signature: &signature };
        let refused = |sentence: String| ControlError::Refused { code: "presence".into(), sentence, hint: None };
        let seen = identity::Presence::verify(&claim, identity::Shown::Certificate(certificate))
            .map_err(|error| refused(error.to_string()))?;
        if !user.eq_ignore_ascii_case(&wanted) || !lock(&self.spent).insert(seen.sha256().to_owned()) {
            return Err(refused(format!("{user} is not {wanted}, or was here before")));
        }
        Ok(())
    }

    fn let_in(
        &self,
        identity: IdentityName,
        login: &str,
        target: &str,
        public_key: &str,
        seq: u64,
    ) -> Result<OpenedSession, ControlError> {
        let grants = lock(&self.grants);
        let found = grants.iter().find(|grant| {
            grant.identity == identity
                && grant.target.as_str() == target
                && grant.login.as_str() == login
                && grant.ends > now()
        });
        let Some(grant) = found.cloned() else {
            return Err(ControlError::Refused {
                code: "no-grant".into(),
                sentence: format!("no active grant for {}@{}", login, target),
                hint: Some(format!("run portcullis request {}@{} --for 30m", login, target)),
            });
        };
        drop(grants);
        let entry = lock(&self.targets)[grant.target.as_str()].clone();
        let key = PublicKey::from_openssh(public_key).unwrap();
        // It does not outlive the grant, and ends with a whole second.
        let time = Duration::from_secs(grant.ends.seconds().saturating_sub(now().seconds()).min(120));
        let certificate = self.session(key.key_data(), &grant, time);
        let session = SessionId::from_random(random_bits());
        lock(&self.under).insert(session.clone(), grant.clone());
        if self.deaf.load(Ordering::SeqCst) {
            lock(&self.unheard).push(session);
            return Err(ControlError::Unavailable("the connection broke".into()));
        }
        let credential = match lock(&self.target_keys).get(grant.target.as_str()) {
            Some((key, _)) => {
                lock(&self.keyed).insert(session.clone(), grant.target.to_string());
                Credential::TargetKey(line(key))
            }
            None => Credential::Certificate(certificate.to_openssh().unwrap()),
        };
        Ok(OpenedSession {
            session,
            request: grant.id,
            identity,
            target: grant.target,
            login: grant.login,
            addresses: entry.addresses,
            host_keys: entry.host_keys,
            host_ca: line(&self.host_ca),
            credential,
            deadline: grant.ends.into(),
            command: grant.command,
            obligations: grant.obligations,
            seq,
        })
    }

    fn alive(&self) -> Result<(), ControlError> {
        match self.dead.load(Ordering::SeqCst) {
            true => Err(ControlError::Unavailable("the CA is away".into())),
            false => Ok(()),
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap()
}

fn sign_with<K: SigningKey>(key: &K, bytes: &[u8]) -> Signature {
    key.try_sign(bytes).unwrap()
}

fn line(key: &PrivateKey) -> String {
    key.public_key().to_openssh().unwrap()
}

/// The CA as the proxy sees it.
pub struct Line(pub Arc<Authority>);

#[async_trait]
impl Control for Line {
    async fn keys(&self) -> Result<CaKeys, ControlError> {
        self.0.alive()?;
        Ok(CaKeys {
            user_ca: line(&self.0.user_ca),
            host_ca: line(&self.0.host_ca),
            front_ca: line(&self.0.front_ca),
            ledger_key: String::new(),
            proxies: Vec::new(),
        })
    }

    async fn open(&self, ask: &OpenSession) -> Result<OpenedSession, ControlError> {
        let seq = lock(&self.0.facts).len() as u64;
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        let slow = *lock(&self.0.slow);
        tokio::time::sleep(slow).await;
        self.0.alive()?;
        let certificate = Certificate::from_openssh(&ask.certificate).unwrap();
        self.0.see(ask, &certificate)?;
        let Principal::Identity(identity) = certificate.valid_principals()[0].parse().unwrap() else { panic!() };
        self.0.let_in(identity, &ask.login, &ask.target, &ask.public_key, seq)
    }

    async fn sign_for_target(&self, session: &SessionId, ask: &SignForTarget) -> Result<Vec<u8>, ControlError> {
        self.0.alive()?;
        self.0.sign_for_target(session, ask).await
    }

    async fn buy_pass(&self, ask: &BuyPass) -> Result<Pass, ControlError> {
        self.0.looked_up.fetch_add(1, Ordering::SeqCst);
        let slow = *lock(&self.0.slow);
        tokio::time::sleep(slow).await;
        self.0.alive()?;
        let refused = |code: &str| ControlError::Refused { code: code.into(), sentence: code.into(), hint: None };
        let key = PublicKey::from_openssh(&ask.public_key).unwrap();
        let owner = lock(&self.0.keys).iter().find(|(known, _)| known.key_data() == key.key_data()).cloned();
        let (_, identity) = owner.ok_or_else(|| refused("unknown-key"))?;
        let Presence { user, session_id, signature } = &ask.presence;
        let (session_id, signature) = (hex::decode(session_id).unwrap(), hex::decode(signature).unwrap());
        let claim = identity::Claim { user, session_id: &session_id, signature: &signature };
        let seen = identity::Presence::verify(&claim, identity::Shown::Key(key.key_data()))
            .map_err(|error| refused(&error.to_string()))?;
        if !lock(&self.0.spent).insert(seen.sha256().to_owned()) {
            return Err(refused("presence-spent"));
        }
        let token = format!("pct_{}", random_bits());
        lock(&self.0.passes).insert(token.clone(), (identity.clone(), user.clone()));
        let expires = Timestamp::from_micros(now().micros() + 1_800_000_000).into();
        let authenticator = lock(&self.0.code).is_some();
        let code = authenticator && ask.target.is_some();
        Ok(Pass { token, identity, touch: seen.touched(), authenticator, code, reviews: true, expires })
    }

    async fn verify_code(&self, pass: &Arc<Zeroizing<String>>, code: &Zeroizing<String>) -> Result<(), ControlError> {
        lock(&self.0.codes).push(code.to_string());
        let slow = *lock(&self.0.slow);
        tokio::time::sleep(slow).await;
        self.0.alive()?;
        let refused = |code: &str| ControlError::Refused { code: code.into(), sentence: code.into(), hint: None };
        if lock(&self.0.code).as_deref() != Some(code.as_str()) {
            return Err(refused("code-refused"));
        }
        lock(&self.0.raised).insert(pass.to_string());
        Ok(())
    }

    async fn enter(&self, pass: &Arc<Zeroizing<String>>, ask: &EnterByPass) -> Result<OpenedSession, ControlError> {
        let seq = lock(&self.0.facts).len() as u64;
        self.0.asked.fetch_add(1, Ordering::SeqCst);
        self.0.alive()?;
        let known = lock(&self.0.passes).get(pass.as_str()).cloned();
        let (identity, user) = known.expect("a pass that is in force");
        let wanted = match ask.way {
            WayIn::Jump => ask.login.clone(),
            WayIn::Plus => format!("{}+{}", ask.login, ask.target),
        };
        assert!(user.eq_ignore_ascii_case(&wanted), "{user} is not {wanted}");
        if lock(&self.0.code).is_some() && !lock(&self.0.raised).contains(pass.as_str()) {
            let (code, sentence) = ("factor-needed".into(), "factor-needed".into());
            return Err(ControlError::Refused { code, sentence, hint: None });
        }
        self.0.let_in(identity, &ask.login, &ask.target, &ask.public_key, seq)
    }

    async fn offer_extension(&self, _: &SessionId) -> Result<ExtensionOffer, ControlError> {
        self.0.offers.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
        let slow = *lock(&self.0.slow);
        tokio::time::sleep(slow).await;
        Ok(ExtensionOffer { usual: 1800, longest: 3600, paths: self.0.more()? })
    }

    async fn extend(&self, session: &SessionId, ask: &Extend, _: &str) -> Result<Request, ControlError> {
        let paths = self.0.more()?;
        lock(&self.0.extensions).push((session.clone(), ask.clone()));
        let grant = lock(&self.0.under)[session].clone();
        let id = self.0.file_extension(&grant);
        Ok(Request {
            id,
            identity: grant.identity,
            target: grant.target,
            login: grant.login,
            duration: ask.duration,
            reason: ask.reason.clone(),
            ticket: None,
            command: None,
            extends: Some(grant.id),
            state: RequestState::Pending,
            filed: now().into(),
            expires: grant.ends.into(),
            reviews: Vec::new(),
            paths,
            grant: None,
        })
    }

    async fn end_pass(&self, pass: &Arc<Zeroizing<String>>) -> Result<(), ControlError> {
        lock(&self.0.passes).remove(pass.as_str());
        Ok(())
    }

    async fn report(
        &self,
        session: &SessionId,
        told: Option<u64>,
        reports: Vec<SessionReport>,
    ) -> Result<usize, ControlError> {
        self.0.alive()?;
        let count = reports.len();
        let mut known = lock(&self.0.reports);
        let held = known.iter().filter(|(id, _)| id == session).count();
        let there = told.map_or(0, |told| held - usize::try_from(told).unwrap());
        known.extend(reports.into_iter().skip(there).map(|report| (session.clone(), report)));
        drop(known);
        self.0.reported.notify_waiters();
        Ok(count)
    }

    async fn host_certificate(&self, host: HostSubject, key: &str) -> Result<HostCertificate, ControlError> {
        self.0.alive()?;
        let name = match host {
            HostSubject::Proxy { .. } => "proxy.test".to_owned(),
            HostSubject::StandIn { name } if lock(&self.0.targets).contains_key(name.as_str()) => name.to_string(),
            HostSubject::Target { name } => panic!("a proxy never asks for what is {name}'s own"),
            HostSubject::StandIn { name } => {
                return Err(ControlError::Refused {
                    code: "not-found".into(),
                    sentence: format!("there is no target {name}"),
                    hint: None,
                });
            }
        };
        let certificate = self.0.front(&name, &PublicKey::from_openssh(key).unwrap());
        let valid_before = Timestamp::from_seconds(certificate.valid_before());
        Ok(HostCertificate { certificate: certificate.to_openssh().unwrap(), valid_before })
    }

    async fn recovered(&self, found: &Recovered) -> Result<(), ControlError> {
        self.0.alive()?;
        lock(&self.0.rolls).push(found.clone());
        self.0.reported.notify_waiters();
        Ok(())
    }

    async fn tell_status(&self, status: &TellProxyStatus) -> Result<(), ControlError> {
        self.0.alive()?;
        lock(&self.0.statuses).push(status.clone());
        Ok(())
    }

    async fn position(&self) -> Result<u64, ControlError> {
        self.0.alive()?;
        Ok(lock(&self.0.facts).len() as u64)
    }

    async fn follow(&self, from: u64) -> Result<Box<dyn Feed>, ControlError> {
        self.0.alive()?;
        Ok(Box::new(Follower { authority: self.0.clone(), next: from }))
    }
}

struct Follower {
    authority: Arc<Authority>,
    next: u64,
}

#[async_trait]
impl Feed for Follower {
    async fn next(&mut self) -> Result<Heard, ControlError> {
        let beat = tokio::time::sleep(Duration::from_millis(200));
        tokio::pin!(beat);
        loop {
            let more = self.authority.more.notified();
            tokio::pin!(more);
            more.as_mut().enable();
            self.authority.alive()?;
            if self.authority.mute.load(Ordering::SeqCst) {
                return Err(ControlError::Unavailable("the feed is broken".into()));
            }
            let found = lock(&self.authority.facts).get(self.next as usize).cloned();
            if let Some(record) = found {
                self.next += 1;
                return Ok(Heard::Fact(Box::new(record)));
            }
            tokio::select! {
                () = &mut beat => return Ok(Heard::Alive),
                () = more => {}
            }
        }
    }
}
