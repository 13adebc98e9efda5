//! `portcullis target`: the servers that people may ask for, and what their sshd must know.

mod key;

use std::collections::BTreeMap;
use std::io::Read as _;
use std::path::{Path, PathBuf};

use api::Client;
use api::wire::{self, GrantState, HostSubject, IssueHostCertificate, RegisterTarget};
use identity::files;
use model::{Login, Target, TargetAddress, TargetAuth, TargetName};

use crate::context::Context;
use crate::enrolment::{self, Enrolment, Expected, HostCertificate, HostKey, Port, Remote};
use crate::error::{CliError, Kind, chain};
use crate::pages;
use crate::words::{Pair, clock, listed, shell_word};

/// Register servers, and enrol them: make their sshd trust the CA
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis target add web1 --address 10.1.2.3:22 --login root \\
      --login deploy --label env=prod --apply admin@10.1.2.3
  portcullis target add db1 --address db1:22 --login dba \\
      --host-key ssh_host_ed25519_key.pub
  portcullis target add router1 --address 10.1.2.9:22 --login root \\
      --target-key --host-key router1_host_key.pub  # dropbear
  portcullis target list
  portcullis target enrol web1 --apply root@web1  # again: its logins changed")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Register a server; print its enrolment, or carry it out with --apply
    Add(Add),
    /// Print the enrolment of a registered server, or carry it out with --apply
    Enrol(Enrol),
    /// Print the key of a server that knows no certificates, for its authorized_keys
    Key(key::Args),
    /// List the servers
    List,
    /// Take a server off the list; what its sshd trusts stays until you remove it there
    Remove {
        /// The server
        name: TargetName,
    },
}

#[derive(Debug, clap::Args)]
struct Add {
    /// What people type behind the @
    name: TargetName,
    /// Where it listens, as host or host:port; several are tried in order
    #[arg(long, value_name = "HOST:PORT", required = true)]
    address: Vec<TargetAddress>,
    /// An account that may be asked for
    #[arg(long, value_name = "LOGIN", required = true)]
    login: Vec<Login>,
    /// What policies look at
    #[arg(long, value_name = "KEY=VALUE")]
    label: Vec<Pair>,
    /// Replace a server of that name
    #[arg(long)]
    replace: bool,
    /// Pin the host key, for a server that cannot be given a host certificate
    #[arg(long)]
    pin: bool,
    /// Its server knows no certificates, as dropbear does not: the CA keeps a key for it, and signs each log-in
    #[arg(long, conflicts_with = "apply")]
    target_key: bool,
    /// With --target-key: leave out the options that forbid forwards there
    #[arg(long, requires = "target_key")]
    forwards: bool,
    #[command(flatten)]
    enrolment: EnrolmentArgs,
}

#[derive(Debug, clap::Args)]
struct Enrol {
    /// The server
    name: TargetName,
    #[command(flatten)]
    enrolment: EnrolmentArgs,
}

#[derive(Debug, clap::Args)]
struct EnrolmentArgs {
    /// Its public host key, for its host certificate: a .pub file, or - for standard input
    #[arg(long, value_name = "FILE")]
    host_key: Option<PathBuf>,
    /// Carry it out over ssh, as somebody who is root there or may sudo without a password; then look at what it shows
    #[arg(long, value_name = "USER@HOST[:PORT]")]
    apply: Option<String>,
    /// An option for that ssh, as IdentityFile=~/.ssh/ops
    #[arg(long, value_name = "OPTION", requires = "apply")]
    ssh_option: Vec<String>,
    /// Where its sshd configuration is
    #[arg(long, value_name = "PATH", requires = "apply")]
    sshd_config: Option<String>,
    /// How its sshd is reloaded
    #[arg(long, value_name = "COMMAND", requires = "apply")]
    reload: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    match &args.action {
        Action::Add(args) => add(context, args).await,
        Action::Enrol(args) => {
            let client = context.client().await?;
            let target = find(&client, &args.name).await?;
            if target.auth == TargetAuth::TargetKey {
                return key::instead(context, &client, &target, args.enrolment.apply.is_some()).await;
            }
            let (remote, host_key) = reach(context, &args.enrolment)?;
            enrol(context, &client, &target, remote.as_ref(), host_key.as_ref()).await
        }
        Action::Key(args) => key::run(context, args).await,
        Action::List => list(context).await,
        Action::Remove { name } => {
            let client = context.client().await?;
            // Looked at before: afterwards the CA may show them to nobody. What fails here must not stand in the way.
            let grants = pages::grants(&client, None, false).await.unwrap_or_default();
            let open = grants.into_iter().filter(|grant| still_opens(grant, name));
            client.remove_target(name).await?;
            for grant in open {
                context.output.note(format_args!(
                    "careful: {} still has {} for {}@{name} until {}; take it back with: portcullis revoke {}",
                    grant.identity,
                    grant.id,
                    grant.login,
                    clock(grant.ends.0),
                    grant.id
                ));
            }
            match context.output.is_json() {
                true => context.output.json(&serde_json::json!({ "name": name, "removed": true })),
                false => context.output.line(format_args!("{name} is off the list")),
            }
        }
    }
}

async fn add(context: &Context, args: &Add) -> Result<(), CliError> {
    let client = context.client().await?;
    let (remote, host_key) = reach(context, &args.enrolment)?;
    let pinned = match (&host_key, args.pin || args.target_key) {
        (Some(key), true) => vec![key.line.clone()],
        (None, true) if args.target_key => {
            return Err(CliError::usage(
                "--target-key needs the host key, because such a server shows no host certificate",
                "give it with --host-key FILE; dropbearkey -y -f HOST_KEY prints it there",
            ));
        }
        (None, true) => {
            return Err(CliError::usage("--pin needs the host key", "give it with --host-key FILE, or use --apply"));
        }
        (_, false) => Vec::new(),
    };
    let target = Target {
        name: args.name.clone(),
        addresses: args.address.clone(),
        labels: labels(&args.label)?,
        logins: args.login.iter().cloned().collect(),
        auth: if args.target_key { TargetAuth::TargetKey } else { TargetAuth::Certificate },
        host_keys: pinned,
    };
    let view = client.register_target(&RegisterTarget { target, replace: args.replace }).await?;
    if !context.output.is_json() {
        context.output.note(format_args!("{} is registered, with the logins {}", view.name, listed(&view.logins)));
    }
    if args.target_key {
        return key::show(context, &client, &view, key::Which::Any, args.forwards).await;
    }
    let enrolled = enrol(context, &client, &view, remote.as_ref(), host_key.as_ref()).await;
    enrolled.map_err(|error| match args.enrolment.apply {
        // Whoever types the same again is told that it is there already.
        Some(_) => error.and_hint(format_args!(
            "{} is registered and not enrolled; once that is corrected: {}",
            view.name,
            args.enrolment.again(&view.name)
        )),
        None => error,
    })
}

impl EnrolmentArgs {
    /// The command that enrols a server in this very way.
    fn again(&self, name: &TargetName) -> String {
        let host_key = self.host_key.as_ref().map(|path| path.display().to_string());
        let one = |option, value: &Option<String>| value.clone().map(|value| (option, value));
        let ssh_options = self.ssh_option.iter().map(|value| ("--ssh-option", value.clone()));
        let front = [one("--host-key", &host_key), one("--apply", &self.apply)];
        let back = [one("--sshd-config", &self.sshd_config), one("--reload", &self.reload)];
        let mut text = format!("portcullis target enrol {name}");
        for (option, value) in front.into_iter().flatten().chain(ssh_options).chain(back.into_iter().flatten()) {
            text.push_str(&format!(" {option} {}", shell_word(&value)));
        }
        text
    }
}

/// The way to the server, and its host key: from the file that was given, else read over that way.
fn reach(context: &Context, args: &EnrolmentArgs) -> Result<(Option<Remote>, Option<HostKey>), CliError> {
    let remote = args.apply.as_deref().map(|destination| {
        Remote::new(destination, &args.ssh_option, args.sshd_config.as_deref(), args.reload.as_deref())
    });
    let remote = remote.transpose()?;
    let host_key = match (&args.host_key, &remote) {
        (Some(path), _) => Some(read_host_key(path)?),
        (None, Some(remote)) => {
            if !context.output.is_json() {
                context.output.note("reading the host key over ssh");
            }
            Some(remote.host_key()?)
        }
        (None, None) => None,
    };
    if let Some(key) = &host_key {
        identity::parse_public_key(&key.line).map_err(|error| {
            CliError::failed(
                format!("the host key cannot be used: {}", chain(&error)),
                "it is one line, as in /etc/ssh/ssh_host_ed25519_key.pub",
            )
        })?;
    }
    Ok((remote, host_key))
}

async fn enrol(
    context: &Context,
    client: &Client,
    target: &wire::TargetView,
    remote: Option<&Remote>,
    host_key: Option<&HostKey>,
) -> Result<(), CliError> {
    let output = &context.output;
    let host = match host_key {
        None => None,
        Some(key) => {
            fits_the_pin(target, key)?;
            let body = IssueHostCertificate {
                host: HostSubject::Target { name: target.name.clone() },
                public_key: key.line.clone(),
            };
            let certificate = client.issue_host_certificate(&body).await?;
            let path = format!("{}-cert.pub", key.path);
            certificate.certificate.map(|line| HostCertificate { line, serial: certificate.serial, path })
        }
    };
    let serial = host.as_ref().map(|host| host.serial);
    let keys = client.ca().await?;
    let enrolment = Enrolment::new(target.name.clone(), target.logins.iter().cloned(), &keys.user_ca, host);
    let mut seen = Vec::new();
    if let Some(remote) = remote {
        remote.apply(&enrolment)?;
        if let Some(serial) = serial {
            let expected = Expected { target: target.name.clone(), host_ca: keys.host_ca.clone(), serial };
            seen = verify(remote, target, &expected).await?;
        }
    }
    if output.is_json() {
        let files: Vec<_> = enrolment
            .files("/etc/ssh")
            .into_iter()
            .map(|file| serde_json::json!({ "path": file.path, "text": file.text }))
            .collect();
        return output.json(&serde_json::json!({
            "target": target,
            "applied": remote.is_some(),
            "warnings": seen,
            "files": files,
            "sshd-config": enrolment.lines("/etc/ssh"),
        }));
    }
    if remote.is_some() {
        for warning in seen {
            output.note(format_args!("careful: {warning}"));
        }
        return output.line(format_args!(
            "{} is enrolled: its sshd is set up to trust the user CA for {}, and shows a host certificate",
            target.name,
            listed(target.logins.iter().map(|login| format!("{login}@{}", target.name)))
        ));
    }
    output.bytes(enrolment.by_hand().as_bytes())?;
    if serial.is_none() && target.host_keys.is_empty() {
        output.note(format_args!(
            "no host key was given: unless {name} has a certificate of the host CA already, sessions there are refused.\n\
             Get one with: portcullis target enrol {name} --host-key ssh_host_ed25519_key.pub   (or --apply root@{name})",
            name = target.name
        ));
    }
    Ok(())
}

/// Where a key is pinned, no other is let through: certifying another would enrol a server that nobody reaches.
fn fits_the_pin(target: &wire::TargetView, key: &HostKey) -> Result<(), CliError> {
    let shown = identity::parse_public_key(&key.line).map(|key| identity::fingerprint(key.key_data()));
    let shown = shown.map_err(|error| CliError::failed(chain(&error), "give one line, as in a .pub file"))?;
    if target.host_keys.is_empty() || target.host_keys.contains(&shown) {
        return Ok(());
    }
    Err(CliError::failed(
        format!(
            "the host key is {shown}, and for {} another one is pinned: {}",
            target.name,
            listed(&target.host_keys)
        ),
        format!(
            "is it the right server? If its key was replaced: portcullis target add {} --replace, with --pin for the new \
             key or without for a host certificate",
            target.name
        ),
    ))
}

/// Looks at what the server really shows now, on the way that the operator came and where the proxy will look for it.
/// The first must be right. The second may look different from here than from the proxy, so it only makes warnings.
async fn verify(remote: &Remote, target: &wire::TargetView, expected: &Expected) -> Result<Vec<String>, CliError> {
    if let Err(why) = enrolment::settle(&remote.way(), expected).await? {
        return Err(CliError::failed(
            format!("{} took its new files, and does not show its host certificate: {why}", target.name),
            "look for another HostCertificate or HostKey line in its sshd configuration (sshd -T), and whether its sshd \
             was reloaded; then run portcullis target enrol again",
        ));
    }
    let mut warnings = Vec::new();
    for text in &target.addresses {
        let Ok(address) = text.parse::<TargetAddress>() else { continue };
        let found = Port::look(address.host(), address.port());
        if found != Port::Ssh {
            warnings.push(format!("the proxy will look for {} at {address}; from here, {found}", target.name));
            continue;
        }
        let way = ["-F", "none", "-p", &address.port().to_string(), "--", address.host()].map(str::to_owned);
        if let Err(why) = enrolment::look(&way, expected).await? {
            let name = &target.name;
            warnings
                .push(format!("the proxy will look for {name} at {address}, and what answers there is not it: {why}"));
        }
    }
    Ok(warnings)
}

async fn list(context: &Context) -> Result<(), CliError> {
    let targets = context.client().await?.targets().await?.items;
    if context.output.is_json() {
        return context.output.json(&targets);
    }
    let rows = targets.iter().map(|target| {
        [
            target.name.to_string(),
            listed(&target.logins),
            listed(target.labels.iter().map(|(key, value)| format!("{key}={value}"))),
            listed(&target.addresses),
            match target.host_keys.is_empty() {
                true => "certificate".to_owned(),
                false => listed(&target.host_keys),
            },
            key::how(target),
        ]
    });
    let nothing = "no server that you may see (portcullis target add registers one)";
    context.output.table(["NAME", "LOGINS", "LABELS", "ADDRESSES", "HOST KEY", "LOG-IN BY"], rows.collect(), nothing)
}

/// Whether a grant lets somebody in there, now or later.
fn still_opens(grant: &wire::Grant, name: &TargetName) -> bool {
    match grant.state {
        GrantState::Scheduled | GrantState::Active => grant.target == *name,
        GrantState::Expired | GrantState::Revoked | GrantState::Released => false,
    }
}

async fn find(client: &Client, name: &TargetName) -> Result<wire::TargetView, CliError> {
    let targets = client.targets().await?.items;
    let near = identity::strict::nearest(name.as_str(), targets.iter().map(|target| target.name.as_str()));
    let hint = match near {
        Some(near) => format!("did you mean {near}? portcullis target list shows all"),
        None => "portcullis target list shows all; portcullis target add registers one".to_owned(),
    };
    match targets.iter().find(|target| target.name == *name) {
        Some(target) => Ok(target.clone()),
        None => Err(CliError::new(Kind::NotFound, format!("there is no target {name}"), hint)),
    }
}

fn read_host_key(path: &Path) -> Result<HostKey, CliError> {
    let text = if path.as_os_str() == "-" {
        let mut text = String::new();
        let read = std::io::stdin().lock().take(64 * 1024).read_to_string(&mut text);
        read.map_err(|error| CliError::failed(format!("standard input cannot be read: {error}"), "pipe the key in"))?;
        text
    } else {
        files::read_text(path, 64 * 1024).map_err(|error| {
            CliError::new(Kind::NotFound, chain(&error), "fetch it from the server: /etc/ssh/ssh_host_ed25519_key.pub")
        })?
    };
    let line = text.trim().to_owned();
    let name = match line.split_whitespace().next().unwrap_or_default() {
        "ssh-rsa" => "ssh_host_rsa_key",
        kind if kind.starts_with("ecdsa-") => "ssh_host_ecdsa_key",
        _ => "ssh_host_ed25519_key",
    };
    Ok(HostKey { path: format!("/etc/ssh/{name}"), line })
}

fn labels(pairs: &[Pair]) -> Result<BTreeMap<String, String>, CliError> {
    let mut labels = BTreeMap::new();
    for pair in pairs {
        if labels.insert(pair.key.clone(), pair.value.clone()).is_some() {
            return Err(CliError::usage(format!("the label {} is given twice", pair.key), "a label has one value"));
        }
    }
    Ok(labels)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_second_try_is_typed_with_every_option_of_the_first() {
        let text = |text: &str| Some(text.to_owned());
        let args = EnrolmentArgs {
            host_key: None,
            apply: text("root@web1:2222"),
            ssh_option: vec!["IdentityFile=~/.ssh/ops key".to_owned(), "ProxyJump=none".to_owned()],
            sshd_config: text("/opt/sshd_config"),
            reload: text("kill -HUP 1"),
        };
        assert_eq!(
            args.again(&"web1".parse().unwrap()),
            "portcullis target enrol web1 --apply root@web1:2222 --ssh-option 'IdentityFile=~/.ssh/ops key' \
             --ssh-option ProxyJump=none --sshd-config /opt/sshd_config --reload 'kill -HUP 1'"
        );
    }
}
