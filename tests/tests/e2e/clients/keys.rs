//! Keys of every type: people's, with certificates and without, by each client that has them; and targets'.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, anyhow, ensure};
use portcullis_tests::{Caller, Layout, PLACE, Site, Way, run, wait_for};
use ssh_key::PublicKey;

use super::dropbear::Dropbear;
use super::openssh::OpenSsh;
use super::putty::Putty;
use super::scripted::Scripted;
use super::{Client, LIMIT, text};

/// The software security key of Debian's package openssh-tests.
const SK_DUMMY: &str = "/usr/lib/openssh/regress/misc/sk-dummy/sk-dummy.so";

/// A type of key, by the options of ssh-keygen.
type Kind = (&'static str, &'static [&'static str]);

/// What every client has.
const COMMON: [Kind; 5] = [
    ("ed25519", &["-t", "ed25519"]),
    ("ecdsa256", &["-t", "ecdsa", "-b", "256"]),
    ("ecdsa384", &["-t", "ecdsa", "-b", "384"]),
    ("ecdsa521", &["-t", "ecdsa", "-b", "521"]),
    ("rsa3072", &["-t", "rsa", "-b", "3072"]),
];

/// What OpenSSH has besides.
const SECURITY_KEYS: [Kind; 2] =
    [("ed25519-sk", &["-t", "ed25519-sk", "-w", SK_DUMMY]), ("ecdsa-sk", &["-t", "ecdsa-sk", "-w", SK_DUMMY])];

#[test]
fn certificates_of_every_type_open_sessions_with_every_client() -> Result<()> {
    ensure!(Path::new(SK_DUMMY).exists(), "{SK_DUMMY} is missing: run cargo xtask setup");
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    let keys = certified(&site, &grant)?;
    for (kind, key) in &keys {
        let settings: &[&str] = match kind.as_str() {
            "rsa3072" => &[
                "PubkeyAcceptedAlgorithms rsa-sha2-256-cert-v01@openssh.com,rsa-sha2-256",
                "PubkeyAcceptedAlgorithms rsa-sha2-512-cert-v01@openssh.com,rsa-sha2-512",
            ],
            _ => &[""],
        };
        for setting in settings {
            let ssh = OpenSsh { site: &site, config: Some(with_key(&site, key, setting)?) };
            opens(&ssh).with_context(|| format!("OpenSSH, {kind}, {setting}"))?;
        }
    }
    for (kind, key) in keys.iter().filter(|(kind, _)| !kind.ends_with("-sk")) {
        opens(&Putty::with_key(&site, key)?).with_context(|| format!("PuTTY, {kind}"))?;
        opens(&Scripted::asyncssh(&site).with_key(key)?).with_context(|| format!("asyncssh, {kind}"))?;
        opens(&Scripted::paramiko(&site)?.with_key(key)?).with_context(|| format!("paramiko, {kind}"))?;
    }
    Ok(())
}

/// Without certificates: keys that the directory has.
#[test]
fn registered_keys_of_every_type_open_sessions_with_clients_that_know_no_certificates() -> Result<()> {
    let site = Site::start()?;
    site.grant("30m")?;
    let keys: Vec<_> = COMMON.iter().map(|kind| made(&site, kind)).collect::<Result<_>>()?;
    let mut lines = format!("keys = [\"{}\"", site.alice.public_key()?);
    let only = format!("{lines}]");
    for (_, key) in &keys {
        lines.push_str(&format!(", \"{}\"", fs::read_to_string(key.with_extension("pub"))?.trim()));
    }
    let directory = site.folder().join("directory.toml");
    let before = fs::read_to_string(&directory)?;
    ensure!(before.contains(&only), "{before}");
    fs::write(&directory, before.replace(&only, &format!("{lines}]")))?;
    for (kind, key) in &keys {
        let dropbear = Dropbear::with_key(&site, key)?;
        // The directory is read again soon.
        wait_for("the directory", LIMIT, || {
            let ran = run(&mut dropbear.run(Way::Plus, "true")?, LIMIT)?;
            Ok(ran.status.success().then_some(()))
        })?;
        opens(&dropbear).with_context(|| format!("dbclient, {kind}"))?;
        opens(&Scripted::ssh2(&site)?.with_key(key)?).with_context(|| format!("ssh2, {kind}"))?;
    }
    Ok(())
}

/// The proxy goes to targets with host keys of every type, certified and pinned; an RSA key signs with SHA-2 only.
#[test]
fn targets_have_host_keys_of_every_type() -> Result<()> {
    // Nobody has to approve, so that it does not take longer than it must.
    let policy = r#"
        @id("asks") @approvals("0") permit (principal, action == Action::"request", resource);
        @id("connects") permit (principal, action == Action::"connect", resource);
        @id("administers") permit (principal in Group::"admins", action in [Action::"lock", Action::"administer"], resource);
    "#;
    let site = Site::with(Layout::Together, Some(policy))?;
    let mut targets = Vec::new();
    for (kind, options) in COMMON {
        let signs: &[&str] = match kind {
            "rsa3072" => &["rsa-sha2-256", "rsa-sha2-512"],
            _ => &[""],
        };
        for algorithm in signs {
            let only = match *algorithm {
                "" => String::new(),
                name => format!("HostKeyAlgorithms {name}-cert-v01@openssh.com,{name}\n"),
            };
            let name = |proof: &str| format!("{kind}{algorithm}-{proof}");
            let (certified, pinned) = (name("certified"), name("pinned"));
            targets.push((certified.clone(), site.server(&certified, options, &only)?));
            targets.push((pinned.clone(), site.pinned_server(&pinned, options, &only)?));
        }
    }
    for (name, server) in &targets {
        // Through the proxy's own name goes the certificate that one got last.
        let asked = ["request", &format!("root@{name}"), "--for", "10m", "--reason", "a test"];
        site.alice.portcullis(&asked)?.ok().with_context(|| name.clone())?;
        site.alice.portcullis(&["ssh-config", "--write"])?.ok()?;
        for way in Way::BOTH {
            let place = match way {
                Way::Jump => format!("root@{name}"),
                Way::Plus => way.destination(&site)?.replace("root+web1", &format!("root+{name}")),
            };
            let ran = site.alice.ssh(&[&place, "echo in; exit 3"])?;
            let ended = (ran.text().as_str() == "in\n", ran.status.code());
            ensure!(ended == (true, Some(3)), "{name}, {way:?}: {ran:?}\n{}\n{}", server.log(), site.log());
        }
    }
    Ok(())
}

/// Both ways lead there.
fn opens(client: &dyn Client) -> Result<()> {
    for way in Way::BOTH {
        let ran = run(&mut client.run(way, "echo in; exit 3")?, LIMIT)?;
        ensure!(ran.text() == "in\n" && ran.status.code() == Some(3), "{way:?}: {ran:?}");
    }
    Ok(())
}

/// A new key.
fn made(site: &Site, (name, options): &Kind) -> Result<(String, PathBuf)> {
    let key = site.path(&format!("key-{name}"));
    run(Command::new("ssh-keygen").args(["-q", "-N", "", "-f"]).arg(&key).args(*options), LIMIT)?.ok()?;
    Ok(((*name).to_owned(), key))
}

/// A key of each type with its certificate beside it. Each signs its own request, in the hands of ssh-keygen.
fn certified(site: &Site, grant: &str) -> Result<Vec<(String, PathBuf)>> {
    let keys: Vec<_> = COMMON.iter().chain(&SECURITY_KEYS).map(|kind| made(site, kind)).collect::<Result<_>>()?;
    let root = site.data().join("tls-root.pem");
    tokio::runtime::Builder::new_current_thread().enable_all().build()?.block_on(async {
        let alice = Caller::log_in(&site.api(), &root, site.alice.name().parse()?, &site.alice.key()).await?;
        for (kind, key) in &keys {
            let public = PublicKey::from_openssh(&fs::read_to_string(key.with_extension("pub"))?)?;
            let signed = |ask: &identity::Statement| {
                let (what, proof) = (key.with_extension("ask"), key.with_extension("ask.sig"));
                fs::write(&what, ask.text())?;
                let mut sign = Command::new("ssh-keygen");
                sign.args(["-q", "-Y", "sign", "-n", ask.namespace(), "-f"]).arg(key).arg(&what);
                run(sign.env("SSH_SK_PROVIDER", SK_DUMMY).env_remove("SSH_AUTH_SOCK"), LIMIT)?.ok()?;
                Ok(fs::read_to_string(proof)?)
            };
            let issued = alice.certificate_for(&grant.parse()?, &public, signed).await;
            let line = issued.with_context(|| kind.clone())?.certificate.context("no certificate")?;
            fs::write(format!("{}-cert.pub", text(key)), format!("{}\n", line.trim()))?;
        }
        Ok::<_, anyhow::Error>(())
    })?;
    Ok(keys)
}

/// The configuration that `portcullis ssh-config --write` wrote, with this key instead, and one setting more.
fn with_key(site: &Site, key: &Path, setting: &str) -> Result<PathBuf> {
    let written = fs::read_to_string(site.alice.folder().join("ssh_config"))?;
    let others = written.lines().filter(|line| !line.contains("IdentityFile") && !line.contains("CertificateFile"));
    let mut lines: Vec<_> = others.collect();
    let name = key.file_name().ok_or_else(|| anyhow!("no file"))?.to_string_lossy();
    let ours = format!(
        "Host *\n    IdentityFile {key}\n    CertificateFile {key}-cert.pub\n    IdentityAgent none\n    \
         SecurityKeyProvider {SK_DUMMY}\n    {setting}\n",
        key = text(key)
    );
    lines.push(&ours);
    let config = site.path(&format!("ssh_config.{name}"));
    fs::write(&config, lines.join("\n"))?;
    ensure!(!fs::read_to_string(&config)?.contains(&text(&site.alice.certified_key(PLACE))), "the old key is left");
    Ok(config)
}
