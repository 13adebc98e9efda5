//! The API's TLS: a root of our own that clients pin, and a leaf that lives in memory.
//!
//! The root's key is sealed with the other keys. Its certificate is the one file that clients get. The leaf's key is
//! made at each start and never touches the disk, so a copy of the data directory without its passphrase cannot pose
//! as the API.

use std::path::{Path, PathBuf};
use std::sync::{Arc, PoisonError, RwLock};

use identity::files::{self, Access, FileError};
use model::{Span, Timestamp};
use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer,
    KeyUsagePurpose, PublicKeyData, SignatureAlgorithm, SigningKey,
};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::crypto::CryptoProvider;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, PrivatePkcs8KeyDer, ServerName, UnixTime};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{RootCertStore, ServerConfig};
use ssh_key::Mpint;
use ssh_key::encoding::Decode;

use crate::keys::{CaSigner, Keys, SealedKey};

/// The file in the data directory that clients pin.
pub const ROOT_FILE: &str = "tls-root.pem";

/// The API's side of TLS: hands out the leaf in force, and a new one when it is renewed.
#[derive(Debug)]
pub struct Tls {
    names: Vec<String>,
    root_pem: String,
    root: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
    leaf: Arc<Leaf>,
    expires: RwLock<Timestamp>,
}

/// Why TLS cannot be had.
#[derive(Debug, thiserror::Error)]
pub enum TlsError {
    /// The root's file.
    #[error("the TLS root certificate cannot be used")]
    File(#[from] FileError),
    /// The root's file is no certificate.
    #[error("{} is no certificate in PEM: make it anew with portcullis init --tls-root", .0.display())]
    Malformed(PathBuf),
    /// The leaf does not verify against the root's file.
    #[error("{} is not the certificate of the sealed TLS root key", path.display())]
    Root {
        /// The file.
        path: PathBuf,
        /// What the verifier said.
        #[source]
        error: rustls::Error,
    },
    /// No name for the API.
    #[error("the API needs a name or an address for its certificate")]
    NoName,
    /// A name that no certificate can hold.
    #[error("{name:?} is neither a host name nor an address")]
    Name {
        /// The name.
        name: String,
    },
    /// A certificate cannot be made.
    #[error("a TLS certificate cannot be made")]
    Making(#[source] rcgen::Error),
    /// rustls refused.
    #[error("TLS cannot be set up")]
    Rustls(#[source] rustls::Error),
}

/// Ten years. rustls does not look at the dates of a root that it was given; other clients do.
const ROOT_LIFE: Span = Span::from_hours(10 * 366 * 24);
/// The leaf lives a month and is renewed when a third of that is left.
const LEAF_LIFE: Span = Span::from_hours(30 * 24);
const RENEW_BEFORE: Span = Span::from_hours(10 * 24);
/// For clients whose clocks are behind ours.
const BACKDATE: Span = Span::from_hours(1);

impl Tls {
    /// Makes the root's certificate and writes it to `data`; `portcullis init` does it once.
    ///
    /// # Errors
    /// There is one already, or it cannot be made or written.
    pub fn create_root(data: &Path, keys: &Keys, now: Timestamp) -> Result<(), TlsError> {
        let key = RootKey::new(keys.tls_root());
        let mut params = root_params();
        set_dates(&mut params, now.minus(BACKDATE), now.plus(ROOT_LIFE));
        let certificate = params.self_signed(&key).map_err(TlsError::Making)?;
        files::create_new(&data.join(ROOT_FILE), certificate.pem().as_bytes(), Access::Public)?;
        Ok(())
    }

    /// Reads the root's certificate from `data`, makes a leaf for `names` (host names and addresses), and checks the
    /// one against the other.
    ///
    /// # Errors
    /// The file is missing, is not the sealed key's, or a name is none.
    pub fn open(data: &Path, keys: &Keys, names: &[String], now: Timestamp) -> Result<Self, TlsError> {
        let path = data.join(ROOT_FILE);
        let root_pem = files::read_text(&path, 64 * 1024)?;
        let root =
            CertificateDer::from_pem_slice(root_pem.as_bytes()).map_err(|_| TlsError::Malformed(path.clone()))?;
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let (certified, expires) = make_leaf(keys.tls_root(), names, &provider, now)?;
        let verified = verify(&root, &certified, names, &provider, now);
        verified.map_err(|error| TlsError::Root { path, error })?;
        Ok(Self {
            names: names.to_vec(),
            root_pem,
            root,
            provider,
            leaf: Arc::new(Leaf(RwLock::new(Arc::new(certified)))),
            expires: RwLock::new(expires),
        })
    }

    /// For the listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1. It follows renewals by itself.
    ///
    /// # Errors
    /// rustls refused its own defaults.
    pub fn server_config(&self) -> Result<ServerConfig, TlsError> {
        let mut config = ServerConfig::builder_with_provider(Arc::clone(&self.provider))
            .with_safe_default_protocol_versions()
            .map_err(TlsError::Rustls)?
            .with_no_client_auth()
            .with_cert_resolver(Arc::clone(&self.leaf) as Arc<dyn ResolvesServerCert>);
        config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(config)
    }

    /// What clients pin.
    #[must_use]
    pub fn root_pem(&self) -> &str {
        &self.root_pem
    }

    /// The leaf in force ends then.
    #[must_use]
    pub fn expires(&self) -> Timestamp {
        *self.expires.read().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes a new leaf when the one in force ends within ten days; whether it did. Live connections go on.
    ///
    /// # Errors
    /// It cannot be made; the old one stays in force.
    pub fn renew(&self, keys: &Keys, now: Timestamp) -> Result<bool, TlsError> {
        if now.plus(RENEW_BEFORE) < self.expires() {
            return Ok(false);
        }
        let (certified, expires) = make_leaf(keys.tls_root(), &self.names, &self.provider, now)?;
        verify(&self.root, &certified, &self.names, &self.provider, now).map_err(TlsError::Rustls)?;
        *self.leaf.0.write().unwrap_or_else(PoisonError::into_inner) = Arc::new(certified);
        *self.expires.write().unwrap_or_else(PoisonError::into_inner) = expires;
        Ok(true)
    }
}

/// The leaf in force.
struct Leaf(RwLock<Arc<CertifiedKey>>);

impl ResolvesServerCert for Leaf {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.0.read().unwrap_or_else(PoisonError::into_inner)))
    }
}

impl std::fmt::Debug for Leaf {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Leaf")
    }
}

fn make_leaf(
    root: &SealedKey,
    names: &[String],
    provider: &CryptoProvider,
    now: Timestamp,
) -> Result<(CertifiedKey, Timestamp), TlsError> {
    let expires = now.plus(LEAF_LIFE);
    let first = names.first().ok_or(TlsError::NoName)?;
    for name in names {
        ServerName::try_from(name.as_str()).map_err(|_| TlsError::Name { name: name.clone() })?;
    }
    let mut params = CertificateParams::new(names).map_err(TlsError::Making)?;
    params.distinguished_name = named(first);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    set_dates(&mut params, now.minus(BACKDATE), expires);
    let key = rcgen::KeyPair::generate().map_err(TlsError::Making)?;
    let issuer = Issuer::new(root_params(), RootKey::new(root));
    let certificate = params.signed_by(&key, &issuer).map_err(TlsError::Making)?;
    let key = PrivateKeyDer::Pkcs8(PrivatePkcs8KeyDer::from(key.serialize_der()));
    let key = provider.key_provider.load_private_key(key).map_err(TlsError::Rustls)?;
    Ok((CertifiedKey::new(vec![certificate.der().clone()], key), expires))
}

/// As a client that has pinned the root would.
fn verify(
    root: &CertificateDer<'static>,
    leaf: &CertifiedKey,
    names: &[String],
    provider: &Arc<CryptoProvider>,
    now: Timestamp,
) -> Result<(), rustls::Error> {
    let mut roots = RootCertStore::empty();
    roots.add(root.clone())?;
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| rustls::Error::General(error.to_string()))?;
    let leaf = leaf.end_entity_cert()?;
    let now = UnixTime::since_unix_epoch(now.since(Timestamp::default()));
    for name in names {
        let name = ServerName::try_from(name.as_str()).map_err(|error| rustls::Error::General(error.to_string()))?;
        verifier.verify_server_cert(leaf, &[], &name, &[], now)?;
    }
    Ok(())
}

/// The root says the same of itself each time, so that a leaf signed today fits the certificate of years ago.
fn root_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name = named("Portcullis API root");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::DigitalSignature];
    params
}

fn named(name: &str) -> DistinguishedName {
    let mut distinguished = DistinguishedName::new();
    distinguished.push(DnType::CommonName, name);
    distinguished
}

fn set_dates(params: &mut CertificateParams, from: Timestamp, to: Timestamp) {
    let epoch = rcgen::date_time_ymd(1970, 1, 1);
    params.not_before = epoch + std::time::Duration::from_secs(from.seconds());
    params.not_after = epoch + std::time::Duration::from_secs(to.seconds());
}

/// The sealed P-256 key as rcgen wants to see it.
struct RootKey<'a> {
    key: &'a SealedKey,
    point: Vec<u8>,
}

impl<'a> RootKey<'a> {
    fn new(key: &'a SealedKey) -> Self {
        let point = key.public_key().ecdsa().map(|key| key.as_ref().to_vec()).unwrap_or_default();
        Self { key, point }
    }
}

impl PublicKeyData for RootKey<'_> {
    fn der_bytes(&self) -> &[u8] {
        &self.point
    }

    fn algorithm(&self) -> &'static SignatureAlgorithm {
        &rcgen::PKCS_ECDSA_P256_SHA256
    }
}

impl SigningKey for RootKey<'_> {
    fn sign(&self, message: &[u8]) -> Result<Vec<u8>, rcgen::Error> {
        let signature = self.key.sign(message).map_err(|_| rcgen::Error::RemoteKeyError)?;
        ecdsa_der(signature.as_bytes()).ok_or(rcgen::Error::RemoteKeyError)
    }
}

/// From SSH's two mpints (RFC 5656, section 3.1.2) to ASN.1's two INTEGERs (RFC 3279, section 2.2.3). Both are in
/// two's complement with the fewest bytes, so only what stands around them changes.
pub(crate) fn ecdsa_der(mut signature: &[u8]) -> Option<Vec<u8>> {
    let mut integers = Vec::new();
    for _ in 0..2 {
        let number = Mpint::decode(&mut signature).ok()?;
        integers.push(0x02);
        integers.push(u8::try_from(number.as_bytes().len()).ok()?);
        integers.extend_from_slice(number.as_bytes());
    }
    // A length below 128 is one byte; two numbers of 256 bits stay far below it.
    let length = u8::try_from(integers.len()).ok().filter(|length| *length < 0x80)?;
    let mut der = vec![0x30, length];
    der.extend(integers);
    Some(der)
}

#[cfg(test)]
mod tests;
