//! Hosts and the keys that speak for them: enrolment of a real server, and what people's and proxies' ssh believes.

use std::fs;
use std::net::TcpStream;
use std::path::PathBuf;
use std::process::Command;
use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_tests::{Background, Finished, PLACE, Site, Sshd, text, wait_for};

const SOON: Duration = Duration::from_secs(30);

/// A server that nobody has enrolled: carol is let in as root by her key.
struct Fresh {
    process: Background,
    folder: PathBuf,
    port: u16,
}

impl Fresh {
    fn start(site: &Site) -> Result<Self> {
        let folder = site.path("web2");
        Sshd::host_key(&folder)?;
        let port = Sshd::free_port()?;
        fs::write(folder.join("operator_keys"), format!("{}\n", site.carol.public_key()?))?;
        fs::create_dir_all("/run/sshd")?;
        let at = folder.display();
        fs::write(
            folder.join("sshd_config"),
            format!(
                "ListenAddress 127.0.0.1:{port}\nHostKey {at}/host_key\nPidFile {at}/sshd.pid\nUsePAM no\nStrictModes no\n\
                 PermitRootLogin yes\nAuthorizedKeysFile {at}/operator_keys\nPasswordAuthentication no\n"
            ),
        )?;
        let mut command = Command::new("/usr/sbin/sshd");
        command.args(["-D", "-e", "-f"]).arg(folder.join("sshd_config"));
        let mut process = Background::start("web2", &mut command, &folder.join("log"))?;
        wait_for("web2 to listen", SOON, || {
            process.check()?;
            Ok(TcpStream::connect(("127.0.0.1", port)).ok().map(drop))
        })?;
        Ok(Self { process, folder, port })
    }

    /// carol enrols it over ssh, at this port.
    fn enrol(&self, site: &Site, words: &[&str], port: &str, reload: &str) -> Result<Finished> {
        let options = [
            format!("IdentityFile={}", site.carol.key().display()),
            format!("UserKnownHostsFile={}", self.folder.join("known_hosts").display()),
            "IdentitiesOnly=yes".to_owned(),
            "StrictHostKeyChecking=accept-new".to_owned(),
        ];
        let (there, config) = (format!("root@127.0.0.1:{port}"), self.folder.join("sshd_config").display().to_string());
        let mut all = words.to_vec();
        all.extend(["--apply", &there, "--sshd-config", &config, "--reload", reload]);
        all.extend(options.iter().flat_map(|option| ["--ssh-option", option]));
        site.carol.portcullis(&all)
    }

    fn reload(&self) -> String {
        format!("kill -HUP $(cat {}/sshd.pid)", self.folder.display())
    }
}

#[test]
fn a_server_is_enrolled_when_it_shows_its_certificate_and_not_before() -> Result<()> {
    let site = Site::start()?;
    let web2 = Fresh::start(&site)?;
    let (port, reload) = (web2.port.to_string(), web2.reload());
    let address = format!("127.0.0.1:{port}");
    let add = ["target", "add", "web2", "--address", &address, "--login", "root", "--label", "env=prod"];

    let done = web2.enrol(&site, &add, &port, &reload)?.ok()?;
    ensure!(done.text().contains("web2 is enrolled"), "{done:?}");
    ensure!(!done.stderr.contains("careful"), "{done:?}");
    let asked = site.alice.json(&["request", "root@web2", "--for", "10m", "--reason", "a test", "--no-wait"])?;
    let id = text(&asked, "id")?;
    site.bob.portcullis(&["approve", &id])?.ok()?;
    site.certify(&id)?;
    let ran = site.alice.ssh(&["root@web2", "echo in"])?;
    ensure!(ran.text() == "in\n", "{ran:?}\n{}", web2.process.log());

    // A later line of its configuration wins over ours: it goes on to show the old certificate.
    let again = ["target", "enrol", "web2"];
    let (config, old) = (web2.folder.join("sshd_config"), web2.folder.join("old-cert.pub"));
    fs::copy(web2.folder.join("host_key-cert.pub"), &old)?;
    let before = fs::read_to_string(&config)?;
    fs::write(&config, format!("{before}HostCertificate {}\n", old.display()))?;
    let stale = web2.enrol(&site, &again, &port, &reload)?;
    ensure!(!stale.status.success() && !stale.text().contains("enrolled"), "{stale:?}");
    ensure!(stale.stderr.contains("does not show its host certificate: it shows another certificate"), "{stale:?}");
    fs::write(&config, before)?;
    web2.enrol(&site, &again, &port, &reload)?.ok()?;

    // What fails there is no matter of the account; the second try is another verb.
    let unloaded = web2.enrol(&site, &again, &port, "false")?;
    ensure!(unloaded.stderr.contains("could not be reloaded") && !unloaded.stderr.contains("sudo"), "{unloaded:?}");
    let add_again = [&add[..], &["--replace"]].concat();
    let unloaded = web2.enrol(&site, &add_again, &port, "false")?;
    ensure!(unloaded.stderr.contains("portcullis target enrol web2 --apply root@127.0.0.1"), "{unloaded:?}");
    let there = web2.enrol(&site, &add, &port, &reload)?;
    ensure!(there.stderr.contains("portcullis target enrol web2 --apply"), "{there:?}");

    // Ports where no sshd is.
    let dead = web2.enrol(&site, &again, &Sshd::free_port()?.to_string(), "true")?;
    ensure!(dead.status.code() == Some(5) && dead.stderr.contains("nothing answers there"), "{dead:?}");
    let api = site.api();
    let tls = web2.enrol(&site, &again, api.rsplit(':').next().unwrap_or_default(), "true")?;
    ensure!(tls.status.code() == Some(5) && tls.stderr.contains("is it a TLS port?"), "{tls:?}");
    let none = web2.enrol(&site, &again, "70000", "true")?;
    ensure!(none.status.code() == Some(2) && none.stderr.contains("ports go from 1 to 65535"), "{none:?}");

    // Where another key is pinned, this server is not certified at all.
    let other = site.path("other");
    let other = Sshd::host_key(&other)?.display().to_string();
    let pin = [&add[..], &["--replace", "--pin", "--host-key", &other]].concat();
    site.carol.portcullis(&pin)?.ok()?;
    let pinned = web2.enrol(&site, &again, &port, &reload)?;
    ensure!(!pinned.status.success() && pinned.stderr.contains("another one is pinned"), "{pinned:?}");
    let refused = site.alice.ssh(&["root@web2", "echo in"])?;
    ensure!(refused.stderr.contains("and not the pinned SHA256:"), "{refused:?}");
    ensure!(refused.stderr.contains("portcullis target add web2 --replace --pin"), "{refused:?}");
    Ok(())
}

#[test]
fn a_persons_known_hosts_trusts_the_front_ca_and_no_target() -> Result<()> {
    let site = Site::start()?;
    site.grant("10m")?;
    ensure!(site.alice.ssh(&[PLACE, "echo in"])?.text() == "in\n");
    let known_hosts = fs::read_to_string(site.alice.folder().join("known_hosts"))?;
    let key = |name: &str| -> Result<String> {
        let line = fs::read_to_string(site.data().join("keys").join(name))?;
        Ok(line.split(' ').nth(1).unwrap_or_default().to_owned())
    };
    ensure!(
        known_hosts.contains(&key("front-ca.pub")?) && !known_hosts.contains(&key("host-ca.pub")?),
        "{known_hosts}"
    );
    // web1 itself, with its good certificate, in the proxy's place.
    let port = site.web1.address().port().to_string();
    let direct =
        ["-o", "ProxyJump=none", "-o", "HostName=127.0.0.1", "-o", "HostKeyAlias=web1", "-p", &port, PLACE, "id"];
    let refused = site.alice.ssh(&direct)?;
    ensure!(refused.stderr.contains("Host key verification failed"), "{refused:?}");
    Ok(())
}

#[test]
fn a_site_from_before_the_front_ca_gets_one_at_its_next_start() -> Result<()> {
    let mut site = Site::start()?;
    site.grant("10m")?;
    site.kill_servers();
    let keys = site.data().join("keys");
    fs::remove_file(keys.join("front-ca"))?;
    let lost = site.restart_servers().err().map(|error| format!("{error:#}")).unwrap_or_default();
    ensure!(lost.contains("front-ca is gone, and its public half is there"), "{lost}");

    fs::remove_file(keys.join("front-ca.pub"))?;
    site.restart_servers()?;
    ensure!(site.log().contains("this site had no key for what proxies show to people"), "{}", site.log());
    let said = site.dana.json(&["ledger", "show", "--kind", "front-ca.loaded"])?.to_string();
    ensure!(said.matches("front-ca.loaded").count() == 2, "{said}");

    let refused = site.alice.ssh(&[PLACE, "echo in"])?;
    ensure!(refused.stderr.contains("Host key verification failed"), "{refused:?}");
    site.alice.portcullis(&["ssh-config", "--write"])?.ok()?;
    let ran = site.alice.ssh(&[PLACE, "echo in"])?;
    ensure!(ran.text() == "in\n", "{ran:?}");
    Ok(())
}
