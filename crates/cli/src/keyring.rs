//! Certificates in the person's hands: a fresh key for each, in the ssh-agent or in files that only they can read.
//!
//! The agent holds the private key; beside it lie `root@web1.pub` and `root@web1-cert.pub`, by which stock ssh finds
//! the right one (`IdentityFile …/%r@%n`). Without an agent the private key lies there too, as `root@web1`.

use std::path::{Path, PathBuf};

use api::Client;
use api::wire::{self, Grant, Purpose};
use identity::agent::{Agent, HeldKey};
use identity::files::{self, Access};
use identity::{CertificateAsk, FileKey, Statement, Subject};
use model::{CertificateProfile, Span};
use ssh_key::private::{Ed25519Keypair, KeypairData};
use ssh_key::{Certificate, LineEnding, PrivateKey};
use store::{Entropy, SystemEntropy};
use zeroize::Zeroizing;

use crate::code;
use crate::context::Context;
use crate::error::{CliError, Kind, chain};
use crate::home::{Home, make_private};
use crate::profile::unwritten;

/// Where the key of a certificate goes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Place {
    /// Into the agent when there is one, else into files.
    Best,
    /// Into the agent, or fail.
    Agent,
    /// Into files in the person's directory.
    Files,
    /// Into `FILE` and `FILE-cert.pub`.
    File(PathBuf),
}

/// A certificate that was obtained.
#[derive(Debug)]
pub(crate) struct Obtained {
    /// As the API described it.
    pub(crate) wire: wire::Certificate,
    /// What stock ssh takes as `IdentityFile`.
    pub(crate) identity_file: PathBuf,
    /// Whether the agent holds the private key.
    pub(crate) in_agent: bool,
}

/// Obtains a certificate under an active grant, for a key that is made for it.
pub(crate) async fn obtain(
    context: &Context,
    client: &Client,
    grant: &Grant,
    place: &Place,
) -> Result<Obtained, CliError> {
    let subject = context.profile()?.identity().clone();
    let key = fresh_key(grant)?;
    let wire = code::with(context, client, || issue(client, &subject, grant, &key)).await?;
    let line = wire.certificate.as_deref().unwrap_or_default();
    let certificate = identity::parse_certificate(line).map_err(|error| mangled(&chain(&error)))?;
    if certificate.public_key() != key.public_key().key_data() {
        return Err(mangled("it certifies another key"));
    }
    let agent = match place {
        Place::Best => Agent::from_env().ok(),
        Place::Agent => Some(Agent::from_env().map_err(|error| unreachable_agent(&error))?),
        Place::Files | Place::File(_) => None,
    };
    let in_agent = match agent {
        None => false,
        Some(agent) => match load(context, &agent, &key, &certificate, grant).await {
            Ok(()) => true,
            // An agent that cannot be reached is what files are for, unless somebody insists.
            Err(error) if *place == Place::Best => {
                context.output.note(format_args!("the ssh-agent did not take the key ({error}): it goes into a file"));
                false
            }
            Err(error) => return Err(unreachable_agent(&error)),
        },
    };
    if in_agent && !matches!(place, Place::File(_)) {
        // What an earlier run loaded for the same login is replaced.
        unload(&context.home()?.certificates().join(name(grant))).await;
    }
    let identity_file = match place {
        Place::File(path) => path.clone(),
        Place::Best | Place::Agent | Place::Files => {
            let directory = context.home()?.certificates();
            make_private(&directory)?;
            directory.join(name(grant))
        }
    };
    write(&identity_file, &key, line, in_agent)?;
    if !matches!(place, Place::File(_)) {
        point_latest(&context.home()?, &name(grant))?;
    }
    Ok(Obtained { wire, identity_file, in_agent })
}

/// The certificate in the person's directory for this grant, when it lives at least a minute more.
pub(crate) async fn kept(context: &Context, grant: &Grant) -> Option<PathBuf> {
    let path = context.home().ok()?.certificates().join(name(grant));
    let certificate = read_certificate(&path)?;
    let now = context.now();
    let names_grant = certificate.key_id().contains(grant.id.as_str());
    let lives = certificate.valid_before() > now.plus(Span::from_minutes(1)).seconds()
        && certificate.valid_after() <= now.seconds();
    // An extended grant outlives the certificate that was made before.
    let whole = certificate.valid_before() + 60 >= grant.ends.0.seconds();
    let usable = path.exists() || held_by_agent(&certificate).await;
    (names_grant && lives && whole && usable).then_some(path)
}

/// Takes back what was obtained under a grant: out of the agent and out of the directory.
pub(crate) async fn forget(context: &Context, grant: &Grant) {
    let Ok(home) = context.home() else { return };
    let path = home.certificates().join(name(grant));
    unload(&path).await;
    for file in [path.clone(), beside(&path, ".pub"), beside(&path, "-cert.pub")] {
        // Those that are not there were never written.
        let _ = std::fs::remove_file(file);
    }
    if let Some(next) = longest(&home) {
        let _ = point_latest(&home, &next);
    }
}

/// Takes the key and the certificate of these files out of the agent, which would drop them later by itself.
async fn unload(path: &Path) {
    let Some(certificate) = read_certificate(path) else { return };
    let Ok(agent) = Agent::from_env() else { return };
    let Ok(mut connection) = agent.connect().await else { return };
    let plain = HeldKey::Plain(certificate.public_key().clone());
    for key in [HeldKey::Certificate(Box::new(certificate)), plain] {
        let _ = connection.remove(&key).await;
    }
}

/// The name of the certificate that lives longest among those that are left.
fn longest(home: &Home) -> Option<String> {
    let entries = std::fs::read_dir(home.certificates()).ok()?;
    let names = entries.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let names =
        names.filter_map(|name| name.strip_suffix("-cert.pub").map(str::to_owned)).filter(|name| name != "latest");
    names
        .filter_map(|name| Some((read_certificate(&home.certificates().join(&name))?.valid_before(), name)))
        .max()
        .map(|(_, name)| name)
}

/// Obtains a new certificate for a grant whose old one is in the person's directory; does nothing without one.
pub(crate) async fn renew(context: &Context, client: &Client, grant: &Grant) -> Result<(), CliError> {
    let path = context.home()?.certificates().join(name(grant));
    if read_certificate(&path).is_none() {
        return Ok(());
    }
    let place = if path.exists() { Place::Files } else { Place::Best };
    obtain(context, client, grant, &place).await.map(|_| ())
}

/// `path` with more at its end.
pub(crate) fn beside(path: &Path, end: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(end);
    PathBuf::from(name)
}

/// What the files of a grant are called: "root@web1".
fn name(grant: &Grant) -> String {
    format!("{}@{}", grant.login, grant.target)
}

fn fresh_key(grant: &Grant) -> Result<PrivateKey, CliError> {
    let mut seed = Zeroizing::new([0; 32]);
    SystemEntropy.fill(seed.as_mut());
    let pair = KeypairData::from(Ed25519Keypair::from_seed(&seed));
    PrivateKey::new(pair, format!("portcullis {} {}", name(grant), grant.id))
        .map_err(|error| CliError::failed(format!("no key could be made: {error}"), "try again"))
}

async fn issue(
    client: &Client,
    subject: &Subject,
    grant: &Grant,
    key: &PrivateKey,
) -> Result<wire::Certificate, CliError> {
    let challenge = client.challenge(Purpose::Certificate).await?;
    let nonce = challenge.nonce.parse().map_err(|error: identity::NonceError| mangled(&error.to_string()))?;
    let statement = Statement::certificate(&CertificateAsk {
        server: &challenge.server,
        subject,
        nonce,
        profile: CertificateProfile::Person,
        grant: Some(&grant.id),
        key: key.public_key(),
    });
    let unsigned = |error: &dyn std::error::Error| CliError::failed(chain(error), "try again");
    let public_key = key.public_key().to_openssh().map_err(|error| unsigned(&error))?;
    let proof =
        FileKey::from_private(key.clone(), PathBuf::new()).sign(&statement).map_err(|error| unsigned(&error))?;
    let body = wire::IssueCertificate { request: grant.id.clone(), public_key, nonce: challenge.nonce, proof };
    Ok(client.issue_certificate(&body).await?)
}

async fn load(
    context: &Context,
    agent: &Agent,
    key: &PrivateKey,
    certificate: &Certificate,
    grant: &Grant,
) -> Result<(), identity::agent::AgentError> {
    let left = certificate.valid_before().saturating_sub(context.now().seconds());
    let lifetime = Span::from_seconds(u32::try_from(left).unwrap_or(u32::MAX).max(1));
    let comment = format!("portcullis {} {}", name(grant), grant.id);
    let mut connection = agent.connect().await?;
    // The key by itself too, as ssh-add does: stock ssh signs for a certificate that it read from a file with the
    // plain key of the same name, and does not find the agent's certificate then. By itself the key opens nothing.
    connection.add(key, None, &comment, Some(lifetime)).await?;
    connection.add(key, Some(certificate), &comment, Some(lifetime)).await
}

fn write(path: &Path, key: &PrivateKey, certificate: &str, in_agent: bool) -> Result<(), CliError> {
    let unwritable = |error: &dyn std::error::Error| CliError::failed(chain(error), "check the directory");
    let public = key.public_key().to_openssh().map_err(|error| unwritable(&error))?;
    if in_agent {
        // A private key left by an earlier run without an agent would win over the agent's.
        let _ = std::fs::remove_file(path);
    } else {
        let private = key.to_openssh(LineEnding::LF).map_err(|error| unwritable(&error))?;
        files::write_atomic(path, private.as_bytes(), Access::Private).map_err(unwritten)?;
    }
    files::write_atomic(&beside(path, ".pub"), format!("{public}\n").as_bytes(), Access::Public).map_err(unwritten)?;
    let line = format!("{}\n", certificate.trim());
    files::write_atomic(&beside(path, "-cert.pub"), line.as_bytes(), Access::Public).map_err(unwritten)
}

/// `latest` names the newest certificate: behind `ssh -J` the proxy itself takes any that lives.
fn point_latest(home: &Home, name: &str) -> Result<(), CliError> {
    for end in ["", ".pub", "-cert.pub"] {
        let link = home.certificates().join(format!("latest{end}"));
        let next = home.certificates().join(format!(".latest{end}.{}", std::process::id()));
        let made =
            std::os::unix::fs::symlink(format!("{name}{end}"), &next).and_then(|()| std::fs::rename(&next, &link));
        made.map_err(|error| CliError::file("write", &link, &error))?;
    }
    Ok(())
}

fn read_certificate(path: &Path) -> Option<Certificate> {
    let line = files::read_text(&beside(path, "-cert.pub"), 64 * 1024).ok()?;
    identity::parse_certificate(&line).ok()
}

async fn held_by_agent(certificate: &Certificate) -> bool {
    let Ok(agent) = Agent::from_env() else { return false };
    let Ok(mut connection) = agent.connect().await else { return false };
    let Ok(held) = connection.list().await else { return false };
    // Not compared whole: the file's has a comment, the agent's has none.
    held.iter().any(|held| match &held.key {
        HeldKey::Certificate(held) => {
            held.serial() == certificate.serial() && held.public_key() == certificate.public_key()
        }
        HeldKey::Plain(_) => false,
    })
}

fn mangled(why: &str) -> CliError {
    CliError::integrity(
        format!("the CA's certificate cannot be used: {why}"),
        "the log of the CA says more; nothing was stored",
    )
}

fn unreachable_agent(error: &identity::agent::AgentError) -> CliError {
    CliError::new(
        Kind::Unreachable,
        chain(error),
        "start one with eval $(ssh-agent), or write to a file with --out FILE",
    )
}
