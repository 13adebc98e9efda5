//! A CA with a directory of people, to be tried.

use std::collections::BTreeMap;
use std::io;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::{Client, ClientError, ClientOptions, Credentials, EventStream, Heard, LedgerFilter, wire};
use base64::Engine as _;
use identity::{CertificateAsk, FileKey, Nonce, Statement, Subject};
use model::{CertificateProfile, Fact, Record, RequestId, Span, Timestamp};
use portcullis_ca::keys::{Keys, Passphrase, TargetKeys};
use portcullis_ca::tls::{ROOT_FILE, Tls};
use portcullis_ca::{Ca, Config, Parts, RawConfig, RawProxy, Running};
use sha2::{Digest as _, Sha256};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{PrivateKey, Signature, SigningKey};
use store::{Clock, Disk, DiskFile, Embedded, Options, SimulatedDisk, Store, SystemClock, SystemEntropy};
use tempfile::TempDir;

use crate::doubt::Doubtful;

/// The longest that a test waits for anything.
pub(crate) const PATIENCE: Duration = Duration::from_secs(20);

/// Everybody in the directory, with their groups.
pub(crate) const PEOPLE: [(&str, &str); 6] = [
    ("alice", "engineers"),
    ("erin", "engineers"),
    ("bob", "approvers"),
    ("carol", "approvers"),
    ("sam", "security"),
    ("adam", "admins"),
];

/// The proxies in the directory; the configuration knows the first only.
pub(crate) const PROXIES: [&str; 2] = ["proxy1", "proxy2"];

/// What seals the keys of every site.
const PASSPHRASE: &str = "a passphrase for tests";

pub(crate) const TARGETS: &str = r#"
[[target]]
name = "web1"
addresses = ["10.0.0.1:22"]
logins = ["root", "deploy"]
labels = { env = "prod" }
host-keys = ["ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAILM+rvN+ot98qgEN796jTiQfZfG1KaT0PtFDJ/XFSqti"]

[[target]]
name = "dev1"
addresses = ["10.0.0.2"]
logins = ["root"]
labels = { env = "dev" }
"#;

/// The system's clock, and what a test adds to it.
#[derive(Default)]
pub(crate) struct Shifted(AtomicI64);

impl Clock for Shifted {
    fn now(&self) -> Timestamp {
        Timestamp::from_micros(SystemClock.now().micros().saturating_add_signed(self.0.load(Ordering::SeqCst)))
    }
}

impl Shifted {
    pub(crate) fn advance(&self, span: Span) {
        self.0.fetch_add(i64::from(span.seconds()) * 1_000_000, Ordering::SeqCst);
    }

    pub(crate) fn set_back(&self, span: Span) {
        self.0.fetch_sub(i64::from(span.seconds()) * 1_000_000, Ordering::SeqCst);
    }
}

/// A CA that runs, and all that it stands on.
pub(crate) struct Site {
    pub(crate) dir: TempDir,
    pub(crate) clock: Arc<Shifted>,
    pub(crate) disk: SimulatedDisk,
    pub(crate) running: Option<Running>,
    delay: Arc<AtomicU64>,
    /// The next facts are taken, and the CA is told that they were not.
    pub(crate) denies: Arc<AtomicBool>,
    raw: RawConfig,
    /// Keys of its own, in its folder; else those of the house, in memory only.
    own_keys: bool,
}

/// A disk whose writes take as long as a test says.
#[derive(Debug)]
struct SlowDisk {
    disk: SimulatedDisk,
    delay: Arc<AtomicU64>,
}

struct SlowFile {
    file: Box<dyn DiskFile>,
    delay: Arc<AtomicU64>,
}

impl SlowDisk {
    fn slowly(&self, file: Box<dyn DiskFile>) -> Box<dyn DiskFile> {
        Box::new(SlowFile { file, delay: Arc::clone(&self.delay) })
    }
}

impl Disk for SlowDisk {
    fn path(&self) -> &Path {
        self.disk.path()
    }

    fn list(&self) -> io::Result<Vec<String>> {
        self.disk.list()
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.open(name).map(|file| self.slowly(file))
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn DiskFile>> {
        self.disk.create(name).map(|file| self.slowly(file))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        self.disk.remove(name)
    }

    fn sync(&self) -> io::Result<()> {
        self.disk.sync()
    }
}

impl DiskFile for SlowFile {
    fn length(&self) -> io::Result<u64> {
        self.file.length()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        self.file.read_at(buffer, offset)
    }

    fn write_at(&self, bytes: &[u8], offset: u64) -> io::Result<()> {
        std::thread::sleep(Duration::from_millis(self.delay.load(Ordering::SeqCst)));
        self.file.write_at(bytes, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.file.sync()
    }

    fn truncate(&self, length: u64) -> io::Result<()> {
        self.file.truncate(length)
    }

    fn forget(&self) {
        self.file.forget();
    }
}

impl Site {
    pub(crate) async fn start() -> Self {
        Self::start_with(|_| {}).await
    }

    pub(crate) async fn start_with(change: impl FnOnce(&mut RawConfig)) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), false, change).await
    }

    /// With keys of its own, which may be replaced.
    pub(crate) async fn start_with_keys() -> Self {
        house();
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::create(dir.path(), &passphrase(), &SystemEntropy).unwrap();
        Tls::create_root(dir.path(), &keys, SystemClock.now()).unwrap();
        Self::start_in(dir, true, |_| {}).await
    }

    async fn start_in(dir: TempDir, own_keys: bool, change: impl FnOnce(&mut RawConfig)) -> Self {
        std::fs::write(dir.path().join("policy.cedar"), policy::EXAMPLE).unwrap();
        std::fs::write(dir.path().join("directory.toml"), directory(&PEOPLE)).unwrap();
        if !own_keys {
            std::fs::write(dir.path().join(ROOT_FILE), &house().root_pem).unwrap();
        }
        let disk = SimulatedDisk::new(dir.path().join("segments"));
        let mut raw = RawConfig {
            listen: "127.0.0.1:0".to_owned(),
            server: "ca.test".to_owned(),
            proxy: vec![RawProxy {
                name: PROXIES[0].to_owned(),
                host: "ssh.test".to_owned(),
                port: 2222,
                names: vec!["localhost".to_owned()],
                source_addresses: vec!["127.0.0.1/32".to_owned()],
            }],
            ..RawConfig::default()
        };
        raw.limits.calls_per_address = 10_000;
        raw.limits.calls_per_identity = 10_000;
        raw.limits.logins_per_identity = 100_000;
        change(&mut raw);
        let mut site = Self {
            dir,
            clock: Arc::default(),
            disk,
            running: None,
            delay: Arc::default(),
            denies: Arc::default(),
            raw,
            own_keys,
        };
        site.up().await;
        site
    }

    /// Starts the CA on what is there.
    pub(crate) async fn up(&mut self) {
        let store = Arc::new(Doubtful { store: self.store(), denies: Arc::clone(&self.denies) });
        let keys = match self.own_keys {
            true => Arc::new(Keys::open(self.dir.path(), &passphrase()).unwrap()),
            false => Arc::clone(&house().keys),
        };
        let tls = Tls::open(self.dir.path(), &keys, &["127.0.0.1".to_owned()], self.clock.now()).unwrap();
        let parts = Parts {
            config: Config::new(self.raw.clone(), self.dir.path()).unwrap(),
            store,
            keys,
            target_keys: Arc::new(TargetKeys::new(self.dir.path(), passphrase())),
            data: self.dir.path().to_owned(),
            tls: Arc::new(tls),
            clock: Arc::clone(&self.clock) as Arc<dyn Clock>,
            entropy: Arc::new(SystemEntropy),
        };
        self.running = Some(Ca::start(parts).await.unwrap());
    }

    /// Stops the CA in order.
    pub(crate) async fn down(&mut self) {
        self.running.take().unwrap().stop().await;
    }

    /// Ends the CA without its last words and its snapshot, as after `kill -9`.
    pub(crate) async fn kill(&mut self) {
        self.disk = self.disk.cut_power(1);
        drop(self.running.take());
        // The old process's threads let go of the directory when its last task ends.
        eventually("the lock", || async {
            let disk = Arc::new(self.disk.clone());
            Embedded::open_on(disk, self.dir.path(), Options::default(), &mut |_| {}).ok().map(drop)
        })
        .await;
    }

    /// Lets each write to the disk take so long.
    pub(crate) fn slow(&self, by: Duration) {
        self.delay.store(u64::try_from(by.as_millis()).unwrap(), Ordering::SeqCst);
    }

    pub(crate) fn store(&self) -> Arc<dyn Store> {
        let disk = Arc::new(SlowDisk { disk: self.disk.clone(), delay: Arc::clone(&self.delay) });
        Arc::new(Embedded::open_on(disk, self.dir.path(), Options::default(), &mut |_| {}).unwrap())
    }

    pub(crate) fn running(&self) -> &Running {
        self.running.as_ref().unwrap()
    }

    /// A client that nobody is logged in with.
    pub(crate) fn anonymous(&self) -> Client {
        let options = ClientOptions {
            url: format!("https://{}", self.running().address()),
            root_pem: std::fs::read_to_string(self.dir.path().join(ROOT_FILE)).unwrap(),
            timeout: PATIENCE,
        };
        Client::new(options).unwrap()
    }

    /// A client that logs in as somebody by itself: "alice", or "proxy:proxy1".
    pub(crate) fn client(&self, subject: &str) -> Client {
        let key = key_of(subject);
        self.anonymous().with_credentials(Arc::new(Key { subject: subject.to_owned(), key }))
    }

    /// A client of HTTP itself, for calls that no client of ours makes.
    pub(crate) fn raw(&self) -> (reqwest::Client, String) {
        house();
        let roots = reqwest::Certificate::from_pem_bundle(house().root_pem.as_bytes()).unwrap();
        let http = reqwest::Client::builder().tls_certs_only(roots).no_proxy().timeout(PATIENCE).build().unwrap();
        (http, format!("https://{}", self.running().address()))
    }

    /// The number of the next record.
    pub(crate) async fn end(&self) -> u64 {
        self.client("adam").status().await.unwrap().records
    }

    /// The token of somebody who logs in now.
    pub(crate) async fn token(&self, subject: &str) -> String {
        self.client(subject).login().await.unwrap().token
    }

    pub(crate) fn write_policy(&self, text: &str) {
        write_whole(&self.dir.path().join("policy.cedar"), text);
    }

    pub(crate) fn write_directory(&self, people: &[(&str, &str)]) {
        write_whole(&self.dir.path().join("directory.toml"), &directory(people));
    }

    /// An approved grant of alice's.
    pub(crate) async fn grant(&self, login: &str, target: &str, minutes: u32) -> RequestId {
        let alice = self.client("alice");
        let filed = alice.file_request(&ask(login, target, minutes * 60), &unique()).await.unwrap();
        if filed.state == wire::RequestState::Pending {
            self.client("bob").approve(&filed.id, &wire::Approve::default()).await.unwrap();
        }
        filed.id
    }

    /// A person certificate for somebody's own key under a grant.
    pub(crate) async fn certificate(&self, subject: &str, grant: &RequestId) -> Result<wire::Certificate, ClientError> {
        let client = self.client(subject);
        client.login().await?;
        issue(&client, subject, grant, &key_of(subject)).await
    }

    /// What proxy1 asks to let alice in.
    pub(crate) fn knock(certificate: &str, login: &str, target: &str) -> wire::OpenSession {
        Self::knock_with(&key_of("alice"), certificate, login, target)
    }

    /// The same for a certificate of this key.
    pub(crate) fn knock_with(key: &PrivateKey, certificate: &str, login: &str, target: &str) -> wire::OpenSession {
        wire::OpenSession {
            certificate: certificate.to_owned(),
            target: target.to_owned(),
            login: login.to_owned(),
            address: "192.0.2.7".to_owned(),
            way: model::WayIn::Jump,
            public_key: key_of(&unique()).public_key().to_openssh().unwrap(),
            presence: log_in(key, certificate, login, unique().as_bytes()),
        }
    }

    /// A live session of alice's: her grant, her certificate, and what the proxy was told.
    pub(crate) async fn session(&self, login: &str, target: &str) -> (RequestId, String, wire::OpenedSession) {
        let grant = self.grant(login, target, 30).await;
        let certificate = self.certificate("alice", &grant).await.unwrap().certificate.unwrap();
        let opened = self.client("proxy:proxy1").open_session(&Self::knock(&certificate, login, target)).await.unwrap();
        (grant, certificate, opened)
    }
}

/// Asks for a certificate of `key` under a grant, with a fresh proof.
pub(crate) async fn issue(
    client: &Client,
    subject: &str,
    grant: &RequestId,
    key: &PrivateKey,
) -> Result<wire::Certificate, ClientError> {
    let challenge = client.challenge(wire::Purpose::Certificate).await?;
    let proof = prove(&challenge, subject, grant, key);
    let public_key = key.public_key().to_openssh().unwrap();
    let body = wire::IssueCertificate { request: grant.clone(), public_key, nonce: challenge.nonce, proof };
    client.issue_certificate(&body).await
}

/// The proof of possession of a key.
pub(crate) fn prove(challenge: &wire::Challenge, subject: &str, grant: &RequestId, key: &PrivateKey) -> String {
    let ask = CertificateAsk {
        server: &challenge.server,
        subject: &subject_of(subject),
        nonce: challenge.nonce.parse::<Nonce>().unwrap(),
        profile: CertificateProfile::Person,
        grant: Some(grant),
        key: key.public_key(),
    };
    FileKey::from_private(key.clone(), "test".into()).sign(&Statement::certificate(&ask)).unwrap()
}

pub(crate) fn ask(login: &str, target: &str, seconds: u32) -> wire::FileRequest {
    wire::FileRequest {
        target: target.parse().unwrap(),
        login: login.parse().unwrap(),
        duration: seconds,
        reason: "the disk of web1 is full".to_owned(),
        ticket: None,
        command: None,
        start: None,
    }
}

/// A name that no other has.
pub(crate) fn unique() -> String {
    static COUNT: AtomicU64 = AtomicU64::new(0);
    format!("unique-{}", COUNT.fetch_add(1, Ordering::Relaxed))
}

/// What a person's key signs to log in to a connection (RFC 4252, section 7), whose session identifier is made of this.
pub(crate) fn log_in(key: &PrivateKey, certificate: &str, user: &str, connection: &[u8]) -> wire::Presence {
    log_in_by(&|message| sign_with(key, message), certificate, user, connection)
}

/// The same of whatever can sign.
pub(crate) fn log_in_by(
    sign: &dyn Fn(&[u8]) -> Signature,
    certificate: &str,
    user: &str,
    connection: &[u8],
) -> wire::Presence {
    let (name, blob) = certificate.split_once(' ').unwrap_or_default();
    let blob = base64::engine::general_purpose::STANDARD.decode(blob.split(' ').next().unwrap()).unwrap_or_default();
    log_in_with(sign, name, &blob, user, connection)
}

/// The same with a plain key.
pub(crate) fn log_in_plainly(key: &PrivateKey, user: &str, connection: &[u8]) -> wire::Presence {
    let public = key.public_key();
    let (name, blob) = (public.algorithm(), public.to_bytes().unwrap());
    log_in_with(&|message| sign_with(key, message), name.as_str(), &blob, user, connection)
}

/// The same with what is shown, under the name of its algorithm.
pub(crate) fn log_in_with(
    sign: &dyn Fn(&[u8]) -> Signature,
    name: &str,
    blob: &[u8],
    user: &str,
    connection: &[u8],
) -> wire::Presence {
    let session_id = Sha256::digest(connection);
    let mut signed = Vec::new();
    let mut string = |bytes: &[u8], kind: &[u8]| {
        signed.extend(u32::try_from(bytes.len()).unwrap().to_be_bytes());
        signed.extend(bytes);
        signed.extend(kind);
    };
    string(&session_id, &[50]);
    string(user.as_bytes(), &[]);
    string(b"ssh-connection", &[]);
    string(b"publickey", &[1]);
    string(name.as_bytes(), &[]);
    string(blob, &[]);
    let signature = sign(&signed);
    wire::Presence {
        user: user.to_owned(),
        session_id: hex::encode(session_id),
        signature: hex::encode(Vec::try_from(signature).unwrap()),
    }
}

/// The signature of a key over bytes.
pub(crate) fn sign_with<K: SigningKey>(key: &K, bytes: &[u8]) -> Signature {
    key.try_sign(bytes).unwrap()
}

/// The code of a call's problem.
pub(crate) fn code<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> String {
    answer.unwrap_err().code().expect("a problem").to_owned()
}

/// Hears a feed until a fact fits.
pub(crate) async fn hear(feed: &mut EventStream, mut fits: impl FnMut(&Fact) -> bool) -> Record {
    let heard = async {
        loop {
            if let Heard::Fact(record) = feed.next().await.unwrap()
                && fits(&record.entry.fact)
            {
                return *record;
            }
        }
    };
    tokio::time::timeout(PATIENCE, heard).await.expect("the fact did not come")
}

/// Asks again and again until the answer is there.
pub(crate) async fn eventually<T, F: Future<Output = Option<T>>>(what: &str, mut ask: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + PATIENCE;
    loop {
        if let Some(answer) = ask().await {
            return answer;
        }
        assert!(tokio::time::Instant::now() < deadline, "{what} did not come about");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

/// The session certificate of a session that was let in.
pub(crate) fn certificate_of(opened: &wire::OpenedSession) -> &str {
    match &opened.credential {
        wire::Credential::Certificate(line) => line,
        wire::Credential::TargetKey(_) => panic!("its target takes a key"),
    }
}

/// The key of somebody; the same name has the same key.
pub(crate) fn key_of(name: &str) -> PrivateKey {
    let mut seed = [7_u8; 32];
    for (at, byte) in name.bytes().enumerate() {
        seed[at % 32] = seed[at % 32].wrapping_mul(31).wrapping_add(byte);
    }
    PrivateKey::new(KeypairData::from(Ed25519Keypair::from_seed(&seed)), name).unwrap()
}

pub(crate) fn subject_of(name: &str) -> Subject {
    match name.strip_prefix("proxy:") {
        Some(proxy) => Subject::Proxy(proxy.parse().unwrap()),
        None => Subject::Identity(name.parse().unwrap()),
    }
}

/// Somebody who signs with a key.
pub(crate) struct Key {
    pub(crate) subject: String,
    pub(crate) key: PrivateKey,
}

#[async_trait::async_trait]
impl Credentials for Key {
    fn subject(&self) -> String {
        self.subject.clone()
    }

    async fn sign(&self, challenge: &wire::Challenge) -> Result<String, String> {
        let nonce: Nonce = challenge.nonce.parse().map_err(|_| "no nonce")?;
        let statement = Statement::login(&challenge.server, &subject_of(&self.subject), &nonce);
        FileKey::from_private(self.key.clone(), "test".into()).sign(&statement).map_err(|error| error.to_string())
    }
}

fn directory(people: &[(&str, &str)]) -> String {
    let mut text = String::new();
    for group in ["engineers", "approvers", "security", "admins"] {
        text += &format!("[[group]]\nname = \"{group}\"\n");
    }
    for (name, group) in people {
        let key = key_of(name).public_key().to_openssh().unwrap();
        text += &format!("[[identity]]\nname = \"{name}\"\nkeys = [\"{key}\"]\ngroups = [\"{group}\"]\n");
    }
    for name in PROXIES {
        let key = key_of(&format!("proxy:{name}")).public_key().to_openssh().unwrap();
        text += &format!("[[proxy]]\nname = \"{name}\"\nkeys = [\"{key}\"]\n");
        if name == PROXIES[0] {
            text += "desk = \"review\"\n";
        }
    }
    text + TARGETS
}

/// A reader never sees half a file.
fn write_whole(path: &Path, text: &str) {
    let beside = path.with_extension("new");
    std::fs::write(&beside, text).unwrap();
    std::fs::rename(beside, path).unwrap();
}

/// Keys take a second to make, and every test can have the same.
pub(crate) struct House {
    pub(crate) keys: Arc<Keys>,
    pub(crate) root_pem: String,
}

fn passphrase() -> Passphrase {
    Passphrase::new(PASSPHRASE).unwrap()
}

pub(crate) fn house() -> &'static House {
    static HOUSE: OnceLock<House> = OnceLock::new();
    HOUSE.get_or_init(|| {
        rustls::crypto::aws_lc_rs::default_provider().install_default().unwrap();
        let dir = tempfile::tempdir().unwrap();
        let keys = Keys::create(dir.path(), &passphrase(), &SystemEntropy).unwrap();
        Tls::create_root(dir.path(), &keys, SystemClock.now()).unwrap();
        let root_pem = std::fs::read_to_string(dir.path().join(ROOT_FILE)).unwrap();
        House { keys: Arc::new(keys), root_pem }
    })
}

/// Every record of a site's ledger.
pub(crate) async fn ledger(site: &Site) -> Vec<Record> {
    let adam = site.client("adam");
    let mut all = Vec::new();
    loop {
        let filter = LedgerFilter { from: all.len() as u64, limit: 1000, ..LedgerFilter::default() };
        let page = adam.ledger_records(&filter).await.unwrap();
        if page.records.is_empty() {
            return all;
        }
        all.extend(page.records);
    }
}

/// The kinds of a site's facts, counted.
pub(crate) fn kinds(records: &[Record]) -> BTreeMap<&'static str, usize> {
    let mut kinds = BTreeMap::new();
    for record in records {
        *kinds.entry(record.entry.fact.kind()).or_default() += 1;
    }
    kinds
}
