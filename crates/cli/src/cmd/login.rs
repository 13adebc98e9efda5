//! `portcullis login`: say once where the CA is and who we are; prove it with an SSH key.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use identity::Subject;
use identity::agent::{Agent, HeldKey};
use identity::files::{self, Access};

use crate::code;
use crate::context::Context;
use crate::credentials::{KeyCredentials, Prompt, public_beside};
use crate::error::{CliError, Kind, chain};
use crate::home::{Home, expand};
use crate::output::Tone;
use crate::profile::{self, KeySource, Profile, unwritten};
use crate::show::{field, moment};
use crate::token::StoredToken;
use crate::words::listed;

/// Log in with an SSH key; the first time, say where the CA is and who you are
#[derive(Debug, clap::Args)]
#[command(after_help = "\
The first time:
  portcullis login --api https://ca.example.org:7443 --root root.pem \\
      --identity alice --key ~/.ssh/id_ed25519
What is given is kept in client.toml, so later it is:
  portcullis login

The key stays where it is. A sealed key file asks for its passphrase (or takes
PORTCULLIS_KEY_PASSPHRASE); a key in the ssh-agent (--agent) is never seen.")]
pub(crate) struct Args {
    /// The API's address: https:// with host and port
    #[arg(long, value_name = "URL")]
    api: Option<String>,
    /// The CA's TLS root certificate; nothing else is trusted
    #[arg(long, value_name = "FILE")]
    root: Option<PathBuf>,
    /// Your name in the CA's directory
    #[arg(long, short, visible_alias = "as", value_name = "NAME", value_parser = profile::subject)]
    identity: Option<Subject>,
    /// Your private key file; or a .pub file, whose private half the ssh-agent holds
    #[arg(long, short, value_name = "FILE", conflicts_with = "agent")]
    key: Option<PathBuf>,
    /// Use the ssh-agent's key with this fingerprint; without one, its only key
    #[arg(long, value_name = "SHA256:…", num_args = 0..=1, default_missing_value = "")]
    agent: Option<String>,
    /// Give a one-time code as well (asked for on a terminal, else the next line of the input): it counts for 15 minutes
    #[arg(long)]
    code: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let home = context.home()?;
    let old = Profile::read(&home)?;
    let (profile, root) = choose(&home, old.as_ref(), args).await?;
    let credentials = KeyCredentials::new(&profile, Prompt::Ask);
    let client = context.anonymous(&probe(&profile, root.as_deref()))?.with_credentials(Arc::new(credentials));
    let answer = client.login().await?;

    // Only what has worked is kept.
    if let Some(root) = root {
        let pem = files::read_text(&root, 1 << 20).map_err(|error| unread(&error))?;
        home.create()?;
        files::write_atomic(&home.root(), pem.as_bytes(), Access::Public).map_err(unwritten)?;
    }
    profile.write(&home)?;
    StoredToken::write(&home, &profile, &answer)?;
    let moved = old.as_ref().is_none_or(|old| old.api() != profile.api());
    pin_ledger_key(context, &home, &client.ca().await?.ledger_key, moved)?;

    if args.code {
        code::give(context, &client).await?;
    }
    let me = client.whoami().await?;
    if context.output.is_json() {
        return context.output.json(&me);
    }
    let name = context.output.tone(Tone::Strong, &me.subject);
    context.output.line(format_args!("{name} is logged in at {}", client.url()))?;
    field(context, "groups", if me.groups.is_empty() { "none".to_owned() } else { listed(&me.groups) })?;
    if let Some(until) = me.code_until {
        field(context, "code", format_args!("counts until {}", moment(context.now(), until.0)))?;
    }
    field(context, "until", moment(context.now(), answer.expires.0))
}

/// The profile to try, and the root certificate that is to be copied once it worked.
async fn choose(home: &Home, old: Option<&Profile>, args: &Args) -> Result<(Profile, Option<PathBuf>), CliError> {
    let missing = |what: &str| {
        CliError::usage(
            format!("this is the first login: {what} is needed"),
            "portcullis login --api https://HOST:7443 --root root.pem --identity NAME --key FILE",
        )
    };
    let api = match (&args.api, old) {
        (Some(url), _) if url.starts_with("https://") => url.trim_end_matches('/').to_owned(),
        (Some(url), _) => {
            return Err(CliError::usage(
                format!("{url:?} is no https:// address"),
                "the API speaks TLS only: --api https://HOST:7443",
            ));
        }
        (None, Some(old)) => old.api().to_owned(),
        (None, None) => return Err(missing("--api")),
    };
    let (root, copied) = match (&args.root, old) {
        (Some(path), _) => (home.root(), Some(expand(path))),
        (None, Some(old)) => (old.root().to_owned(), None),
        (None, None) => return Err(missing("--root")),
    };
    let identity = match (&args.identity, old) {
        (Some(name), _) => name.clone(),
        (None, Some(old)) => old.identity().clone(),
        (None, None) => return Err(missing("--identity")),
    };
    let key = match (&args.key, &args.agent, old) {
        (Some(path), _, _) => key_file(&expand(path))?,
        (None, Some(fingerprint), _) => agent_key(fingerprint).await?,
        (None, None, Some(old)) => old.key().clone(),
        (None, None, None) => usual_key().await.ok_or_else(|| missing("--key or --agent"))?,
    };
    Ok((Profile::new(api, root, identity, key), copied))
}

/// The profile as it is tried: with the root where it lies now.
fn probe(profile: &Profile, root: Option<&Path>) -> Profile {
    let root = root.unwrap_or_else(|| profile.root()).to_owned();
    Profile::new(profile.api().to_owned(), root, profile.identity().clone(), profile.key().clone())
}

fn key_file(path: &Path) -> Result<KeySource, CliError> {
    if path.extension().is_some_and(|extension| extension == "pub") {
        let key = public_beside(path)
            .map_err(|error| CliError::usage(error, "name a key file, or its .pub file when the agent holds it"))?;
        return Ok(KeySource::Agent(identity::fingerprint(key.key_data())));
    }
    let absolute = std::path::absolute(path).map_err(|error| CliError::file("find", path, &error))?;
    let made = "make one with ssh-keygen -t ed25519, and have its .pub file entered in the CA's directory";
    if !absolute.exists() {
        return Err(CliError::new(Kind::NotFound, format!("there is no key file {}", path.display()), made));
    }
    if !absolute.is_file() {
        return Err(CliError::usage(format!("{} is no key file", path.display()), "name the private key itself"));
    }
    match files::read_secret(&absolute) {
        Ok(text) if text.contains("-----BEGIN OPENSSH PRIVATE KEY-----") => Ok(KeySource::File(absolute)),
        Ok(text) if text.contains("PRIVATE KEY-----") => Err(CliError::usage(
            format!("{} is a private key, and not in OpenSSH's own form", path.display()),
            format!("convert a copy of it: ssh-keygen -p -f {}", path.display()),
        )),
        Ok(_) => Err(CliError::usage(format!("{} is no private key", path.display()), made)),
        Err(files::FileError::Open { mode, .. }) => Err(too_open(path, mode)),
        Err(error) => Err(CliError::failed(chain(&error), "check the path and its permissions")),
    }
}

/// A key file that others can read. A public key is meant to be read, and is no mistake of permissions.
fn too_open(path: &Path, mode: u32) -> CliError {
    if files::read_text(path, 64 * 1024).is_ok_and(|text| identity::parse_public_key(&text).is_ok()) {
        return CliError::usage(
            format!("{} is a public key", path.display()),
            "name the private key beside it, or a file that ends in .pub when the ssh-agent holds the private half",
        );
    }
    CliError::failed(
        format!("{} can be read by others than its owner (mode {mode:04o})", path.display()),
        format!("chmod 600 {}", path.display()),
    )
}

async fn agent_key(fingerprint: &str) -> Result<KeySource, CliError> {
    if !fingerprint.is_empty() {
        return match fingerprint.starts_with("SHA256:") {
            true => Ok(KeySource::Agent(fingerprint.to_owned())),
            false => Err(CliError::usage(
                format!("{fingerprint:?} is no fingerprint"),
                "ssh-add -l shows them: they begin with SHA256:",
            )),
        };
    }
    let keys = agent_keys().await.map_err(|error| {
        CliError::new(
            Kind::Unreachable,
            chain(&error),
            "start one with eval $(ssh-agent), or name a key file with --key",
        )
    })?;
    match keys.as_slice() {
        [only] => Ok(KeySource::Agent(only.clone())),
        [] => Err(CliError::new(Kind::NotFound, "the ssh-agent holds no key", "load one with ssh-add")),
        many => Err(CliError::usage(
            format!("the ssh-agent holds {} keys: {}", many.len(), listed(many)),
            "name one: --agent SHA256:…",
        )),
    }
}

/// The agent's only key, else the first of the usual files.
async fn usual_key() -> Option<KeySource> {
    if let Ok(keys) = agent_keys().await
        && let [only] = keys.as_slice()
    {
        return Some(KeySource::Agent(only.clone()));
    }
    let names = ["id_ed25519", "id_ecdsa", "id_rsa"];
    names.iter().map(|name| expand(&Path::new("~/.ssh").join(name))).find(|path| path.exists()).map(KeySource::File)
}

async fn agent_keys() -> Result<Vec<String>, identity::agent::AgentError> {
    let held = Agent::from_env()?.connect().await?.list().await?;
    let plain = held.into_iter().filter_map(|held| match held.key {
        HeldKey::Plain(key) => Some(identity::fingerprint(&key)),
        HeldKey::Certificate(_) => None,
    });
    Ok(plain.collect())
}

/// The ledger key is taken over the pinned TLS connection at the first login, and may not change behind our back.
fn pin_ledger_key(context: &Context, home: &Home, key: &str, moved: bool) -> Result<(), CliError> {
    let path = home.ledger_key();
    match files::read_text(&path, 4096) {
        Ok(known) if known.trim() == key.trim() => return Ok(()),
        Ok(known) if !moved => {
            context.output.note(format_args!(
                "warning: the CA's ledger key changed from {} to {key}; proofs are still checked against the old one. \
                 If that change was announced, remove {}",
                known.trim(),
                path.display()
            ));
            return Ok(());
        }
        Ok(_) | Err(_) => {}
    }
    files::write_atomic(&path, format!("{key}\n").as_bytes(), Access::Public).map_err(unwritten)
}

fn unread(error: &files::FileError) -> CliError {
    CliError::configuration(chain(error), "name the CA's root certificate with --root FILE")
}
