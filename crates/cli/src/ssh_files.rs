//! What stock ssh needs: a `Host` block for the proxy, one for the targets, and the `known_hosts` lines of the front CA.

use std::fmt::Write as _;
use std::path::Path;

use api::wire::{CaKeys, ProxyAddress, TargetView};

use crate::error::{CliError, Kind};
use crate::home::Home;
use crate::profile::Profile;

/// The lines of `known_hosts`: the front CA speaks for the proxies, under their own names and under those of the targets
/// that they stand in for. The host CA is not named: what a target shows is for proxies.
pub(crate) fn known_hosts(keys: &CaKeys, targets: &[TargetView]) -> String {
    let proxies = keys.proxies.iter().map(|proxy| match proxy.port {
        22 => proxy.host.clone(),
        port => format!("[{}]:{port}", proxy.host),
    });
    let mut names: Vec<String> = proxies.chain(targets.iter().map(|target| target.name.to_string())).collect();
    names.sort();
    names.dedup();
    let mut text = String::new();
    // ssh reads at most 8 KiB of a line in some versions: a line for every few dozen names.
    // Two keys while one takes the place of the other: ssh is content with either.
    for names in names.chunks(32) {
        for key in keys.front_ca.lines() {
            let _ = writeln!(text, "@cert-authority {} {}", names.join(","), key.trim());
        }
    }
    text
}

/// The `Host` blocks.
pub(crate) fn ssh_config(home: &Home, profile: &Profile, keys: &CaKeys, targets: &[TargetView]) -> String {
    let certificates = home.certificates();
    let mut text = String::from("# Written by portcullis ssh-config; a new run replaces it.\n");
    let common = |text: &mut String, identity: &str| {
        let _ = writeln!(text, "    UserKnownHostsFile {}", quoted(&home.known_hosts()));
        let _ = writeln!(text, "    StrictHostKeyChecking yes");
        let _ = writeln!(text, "    IdentitiesOnly yes");
        let _ = writeln!(text, "    IdentityFile {}", quoted(&certificates.join(identity)));
    };
    for proxy in &keys.proxies {
        let _ = writeln!(text, "\nHost {}", alias(proxy));
        let _ = writeln!(text, "    HostName {}\n    Port {}", proxy.host, proxy.port);
        // The proxy does not care; but what a client signs here must not do for a login on a target, and no login has an
        // equals sign.
        let _ = writeln!(text, "    User jump={}", profile.identity());
        common(&mut text, "latest");
    }
    if let (Some(proxy), false) = (keys.proxies.first(), targets.is_empty()) {
        let names: Vec<_> = targets.iter().map(|target| target.name.as_str()).collect();
        let _ = writeln!(text, "\nHost {}", names.join(" "));
        let _ = writeln!(text, "    ProxyJump {}", alias(proxy));
        common(&mut text, "%r@%n");
    }
    text
}

/// The proxy that `portcullis ssh` takes: the named one, else the first.
pub(crate) fn proxy<'a>(keys: &'a CaKeys, name: Option<&str>) -> Result<&'a ProxyAddress, CliError> {
    let found = match name {
        Some(name) => keys.proxies.iter().find(|proxy| proxy.name.as_str() == name),
        None => keys.proxies.first(),
    };
    found.ok_or_else(|| {
        let known = crate::words::listed(keys.proxies.iter().map(|proxy| &proxy.name));
        match name {
            Some(name) => {
                CliError::new(Kind::NotFound, format!("there is no proxy {name:?}"), format!("known: {known}"))
            }
            None => CliError::new(
                Kind::NotFound,
                "the CA knows no proxy",
                "its portcullis.toml lists them: [[ca.proxies]] with name, host and port",
            ),
        }
    })
}

/// What the proxy is called in the configuration: a name that no server of the person has by chance.
fn alias(proxy: &ProxyAddress) -> String {
    format!("portcullis-{}", proxy.name)
}

/// A path as `ssh_config` takes it. Percent signs are tokens there, so they are doubled.
pub(crate) fn quoted(path: &Path) -> String {
    // The last part may be "%r@%n" on purpose; only the directory is the person's.
    let shown = match (path.parent(), path.file_name()) {
        (Some(parent), Some(name)) => {
            format!("{}/{}", parent.display().to_string().replace('%', "%%"), name.to_string_lossy())
        }
        (Some(_), None) | (None, _) => path.display().to_string(),
    };
    match shown.contains([' ', '\t', '"', '#', '\'']) {
        true => format!("\"{}\"", shown.replace('\\', "\\\\").replace('"', "\\\"")),
        false => shown,
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use super::*;
    use crate::profile::KeySource;

    fn keys() -> CaKeys {
        let proxy =
            |name: &str, port| ProxyAddress { name: name.parse().unwrap(), host: format!("{name}.example.org"), port };
        CaKeys {
            user_ca: "ssh-ed25519 AAAAuser".to_owned(),
            host_ca: "ssh-ed25519 AAAAhost".to_owned(),
            front_ca: "ssh-ed25519 AAAAfront".to_owned(),
            ledger_key: String::new(),
            proxies: vec![proxy("proxy1", 2222), proxy("proxy2", 22)],
        }
    }

    fn target(name: &str) -> TargetView {
        TargetView {
            name: name.parse().unwrap(),
            addresses: Vec::new(),
            labels: BTreeMap::new(),
            logins: Vec::new(),
            host_keys: Vec::new(),
            auth: model::TargetAuth::default(),
            target_key: None,
        }
    }

    #[test]
    fn known_hosts_names_proxies_and_targets_and_nothing_else() {
        let text = known_hosts(&keys(), &[target("web1")]);
        assert_eq!(text, "@cert-authority [proxy1.example.org]:2222,proxy2.example.org,web1 ssh-ed25519 AAAAfront\n");
        let many: Vec<_> = (0..100).map(|number| target(&format!("w{number}"))).collect();
        assert_eq!(known_hosts(&keys(), &many).lines().count(), 4);
        let two = CaKeys { front_ca: "ssh-ed25519 AAAAfront\nssh-ed25519 AAAAnext".to_owned(), ..keys() };
        let text = known_hosts(&two, &[]);
        assert!(text.lines().count() == 2 && text.ends_with(",proxy2.example.org ssh-ed25519 AAAAnext\n"), "{text}");
    }

    #[test]
    fn stock_ssh_reads_the_blocks() {
        let directory = tempfile::Builder::new().prefix("a b%c").tempdir().unwrap();
        let home = Home::find(Some(directory.path())).unwrap();
        let identity = identity::Subject::Identity("alice@example.org".parse().unwrap());
        let profile = Profile::new("https://x".to_owned(), home.root(), identity, KeySource::Agent(String::new()));
        let text = ssh_config(&home, &profile, &keys(), &[target("web1"), target("db.prod")]);
        std::fs::write(home.ssh_config(), &text).unwrap();
        let ask = |host: &str| {
            let file = home.ssh_config();
            let done = std::process::Command::new("ssh").arg("-F").arg(file).args(["-G", host]).output().unwrap();
            assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
            String::from_utf8(done.stdout).unwrap()
        };
        let web1 = ask("root@web1");
        assert!(web1.contains("\nproxyjump portcullis-proxy1\n"), "{web1}");
        assert!(web1.contains("/certificates/%r@%n\n") || web1.contains("/certificates/root@web1\n"), "{web1}");
        let proxy = ask("portcullis-proxy1");
        for line in ["hostname proxy1.example.org", "port 2222", "user jump=alice@example.org"] {
            assert!(proxy.contains(&format!("\n{line}\n")), "{line}: {proxy}");
        }
    }
}
