//! What runs on top of OpenSSH: rsync, git, sshfs, Ansible with pipelining and ControlPersist.

use std::fs;
use std::os::unix::fs::symlink;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Background, Finished, Site, Way, run, tool, wait_for};

use super::{BOUND, LIMIT, many, noise, same, text};

#[test]
fn rsync() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    for way in Way::BOTH {
        mirrors(&site, way).with_context(|| format!("{way:?}"))?;
    }
    // Slow enough to be caught in the middle.
    let slow = site.path("slow");
    fs::create_dir(&slow)?;
    let file = many(&site)?;
    let to = format!("{}:{}/", Way::Plus.destination(&site)?, slow.display());
    let mut live = Background::start(
        "rsync",
        with_rsync(&site).args(["--bwlimit=200", &text(&file), &to]),
        &site.path("rsync.log"),
    )?;
    wait_for("the beginning of the file", LIMIT, || {
        live.check()?;
        Ok(fs::read_dir(&slow)?.next().map(drop))
    })?;
    revoked(&site, &grant, &mut live)
}

/// A tree there and back, changed in between, with `--delete`.
fn mirrors(site: &Site, way: Way) -> Result<()> {
    let place = |name: &str| site.path(&format!("{name}-{way:?}"));
    let (from, there, back) = (place("from"), place("there"), place("back"));
    fs::create_dir_all(from.join("a/b c/ü"))?;
    fs::write(from.join("a/b c/ü/many"), noise(super::MANY))?;
    fs::write(from.join("a/empty"), b"")?;
    fs::write(from.join("gone soon"), b"x")?;
    symlink("a/empty", from.join("link"))?;
    for number in 0..200 {
        fs::write(from.join(format!("small-{number}")), noise(number))?;
    }
    let remote = format!("{}:{}/", way.destination(site)?, there.display());
    let up = [format!("{}/", from.display()), remote.clone()];
    let down = [remote, format!("{}/", back.display())];
    sync(site, &up, &from, &there).context("up")?;
    sync(site, &down, &there, &back).context("down")?;
    fs::remove_file(from.join("gone soon"))?;
    fs::write(from.join("small-7"), b"changed")?;
    sync(site, &up, &from, &there).context("up again")?;
    sync(site, &down, &there, &back).context("down again")?;
    for folder in [from, there, back] {
        fs::remove_dir_all(folder)?;
    }
    Ok(())
}

fn with_rsync(site: &Site) -> Command {
    let mut rsync = Command::new("rsync");
    rsync.env("HOME", site.alice.home()).env_remove("SSH_AUTH_SOCK").arg("-e").arg(remote_shell(site));
    rsync
}

fn sync(site: &Site, words: &[String; 2], one: &Path, other: &Path) -> Result<()> {
    run(with_rsync(site).args(["--archive", "--delete"]).args(words), LIMIT)?.ok()?;
    run(Command::new("diff").args(["--recursive", "--no-dereference"]).arg(one).arg(other), LIMIT)?.ok()?;
    Ok(())
}

#[test]
fn git() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    for way in Way::BOTH {
        clones_and_pushes(&site, way).with_context(|| format!("{way:?}"))?;
    }
    // A push whose hook at the other end takes its time.
    let (repository, clone, hooked) = (site.path("Plus.git"), site.path("Plus"), site.path("hooked"));
    let hook = repository.join("hooks").join("pre-receive");
    fs::write(&hook, format!("#!/bin/sh\n: > {0}\nwhile test -e {0}; do sleep 0.1; done\n", hooked.display()))?;
    fs::set_permissions(&hook, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
    with_git(&site, &clone, &["commit", "--quiet", "--allow-empty", "--message", "more"])?.ok()?;
    let mut live =
        Background::start("git", in_git(&site, &clone).args(["push", "origin", "HEAD"]), &site.path("git.log"))?;
    wait_for("the hook", LIMIT, || {
        live.check()?;
        Ok(hooked.exists().then_some(()))
    })?;
    let revoked = revoked(&site, &grant, &mut live);
    fs::remove_file(hooked)?;
    revoked
}

fn clones_and_pushes(site: &Site, way: Way) -> Result<()> {
    let (there, here, again) =
        (site.path(&format!("{way:?}.git")), site.path(&format!("{way:?}")), site.path(&format!("{way:?}-again")));
    run(Command::new("git").args(["init", "--quiet", "--bare", "--initial-branch=main"]).arg(&there), LIMIT)?.ok()?;
    // Both ways to write an address.
    let destination = way.destination(site)?;
    let addresses = [format!("{destination}:{}", there.display()), format!("ssh://{destination}{}", there.display())];
    with_git(site, site.folder().as_path(), &["clone", "--quiet", &addresses[0], &text(&here)])?.ok()?;
    fs::write(here.join("many"), noise(super::MANY))?;
    for words in
        [&["add", "."][..], &["commit", "--quiet", "--message", "all"], &["push", "--quiet", "origin", "HEAD:main"]]
    {
        with_git(site, &here, words)?.ok()?;
    }
    with_git(site, site.folder().as_path(), &["clone", "--quiet", &addresses[1], &text(&again)])?.ok()?;
    same(&here.join("many"), &again.join("many"))?;
    Ok(fs::remove_dir_all(again)?)
}

fn in_git(site: &Site, folder: &Path) -> Command {
    let mut git = Command::new("git");
    git.current_dir(folder).env("HOME", site.alice.home()).env("GIT_SSH_COMMAND", remote_shell(site));
    git.env("GIT_CONFIG_NOSYSTEM", "1").env("GIT_TERMINAL_PROMPT", "0").env_remove("SSH_AUTH_SOCK");
    // Noise cannot be made smaller, and trying takes long.
    git.args(["-c", "user.name=alice", "-c", "user.email=alice@example.org", "-c", "core.compression=0"]);
    git
}

fn with_git(site: &Site, folder: &Path, words: &[&str]) -> Result<Finished> {
    run(in_git(site, folder).args(words), LIMIT)
}

#[test]
fn sshfs() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    let file = many(&site)?;
    for way in Way::BOTH {
        let mut mount = Mount::new(&site, way)?;
        let (inside, there) = (mount.folder.join("many"), mount.there.join("many"));
        run(Command::new("cp").arg(&file).arg(&inside), LIMIT)?.ok()?;
        same(&file, &there).with_context(|| format!("up, {way:?}"))?;
        run(Command::new("cp").arg(&inside).arg(site.path("back")), LIMIT)?.ok()?;
        same(&file, &site.path("back")).with_context(|| format!("down, {way:?}"))?;
        fs::rename(&inside, mount.folder.join("more"))?;
        symlink("more", mount.folder.join("link"))?;
        ensure!(mount.there.join("link").read_link()? == Path::new("more"), "{way:?}");
        fs::remove_file(mount.folder.join("more"))?;
        ensure!(!mount.there.join("more").exists(), "{way:?}");
        if way == Way::Jump {
            revoked(&site, &grant, &mut mount.process)?;
        }
    }
    Ok(())
}

/// What is there seen here; gone when it is dropped, whatever became of the process.
struct Mount {
    process: Background,
    folder: PathBuf,
    there: PathBuf,
}

impl Mount {
    fn new(site: &Site, way: Way) -> Result<Self> {
        let (folder, there) = (site.path(&format!("mount-{way:?}")), site.path(&format!("there-{way:?}")));
        fs::create_dir(&folder)?;
        fs::create_dir(&there)?;
        let mut sshfs = Command::new("sshfs");
        sshfs.env("HOME", site.alice.home()).env_remove("SSH_AUTH_SOCK").arg("-f").arg("-F");
        sshfs.arg(site.alice.folder().join("ssh_config")).args(["-o", "BatchMode=yes"]);
        sshfs.arg(format!("{}:{}", way.destination(site)?, there.display())).arg(&folder);
        let process = Background::start("sshfs", &mut sshfs, &site.path("sshfs.log"))?;
        let mut mount = Self { process, folder, there };
        wait_for("the mount", LIMIT, || {
            mount.process.check()?;
            let mounts = fs::read_to_string("/proc/self/mounts")?;
            Ok(mounts.contains(&text(&mount.folder)).then_some(()))
        })?;
        Ok(mount)
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = run(Command::new("fusermount3").args(["-u", "-z", "-q"]).arg(&self.folder), LIMIT);
    }
}

#[test]
fn ansible() -> Result<()> {
    let site = Site::start()?;
    let grant = site.grant("30m")?;
    let play = Ansible::new(&site)?;
    let pinged = play.run("all", &["-m", "ping"])?.ok()?;
    ensure!(pinged.text().matches("\"pong\"").count() == 2, "{pinged:?}");
    let ran = play.run("all", &["-m", "command", "-a", "id -un"])?.ok()?;
    ensure!(ran.text().matches("\nroot\n").count() == 2, "{ran:?}");
    let failed = play.run("all", &["-m", "shell", "-a", "echo out; echo err >&2; exit 7"])?;
    ensure!(failed.status.code() == Some(2) && failed.text().matches("rc=7").count() == 2, "{failed:?}");

    let file = many(&site)?;
    let there = site.path("there");
    for host in ["plus", "jump"] {
        let to = there.join(host);
        play.run(host, &["-m", "copy", "-a", &format!("src={} dest={}/", text(&file), text(&to))])?.ok()?;
        same(&file, &to.join("many")).with_context(|| format!("up, {host}"))?;
        let back = site.path("back");
        let words = format!("src={} dest={} flat=yes", text(&to.join("many")), text(&back));
        play.run(host, &["-m", "fetch", "-a", &words])?.ok()?;
        same(&file, &back).with_context(|| format!("down, {host}"))?;
        fs::remove_file(&back)?;
    }

    // With ControlPersist all that was one session a host.
    let opened = site.dana.json(&["ledger", "show", "--request", &grant, "--kind", "session.opened"])?;
    ensure!(opened.as_array().map(Vec::len) == Some(2), "{opened}");

    let busy = site.path("busy");
    let command = format!(": > {0}; while test -e {0}; do sleep 0.1; done", busy.display());
    let mut live = Background::start(
        "ansible",
        play.command("all").args(["-m", "shell", "-a", &command]),
        &site.path("ansible.log"),
    )?;
    wait_for("the command", LIMIT, || {
        live.check()?;
        Ok(busy.exists().then_some(()))
    })?;
    let revoked = revoked(&site, &grant, &mut live);
    fs::remove_file(busy)?;
    revoked?;
    ensure!(live.log().matches("UNREACHABLE").count() == 2, "{}", live.log());
    Ok(())
}

struct Ansible<'a> {
    site: &'a Site,
}

impl<'a> Ansible<'a> {
    fn new(site: &'a Site) -> Result<Self> {
        let plus = Way::Plus.destination(site)?;
        let (user, host) = plus.split_once('@').context("a user")?;
        fs::write(
            site.path("inventory"),
            format!(
                "plus ansible_host={host} ansible_user={user}\njump ansible_host=web1 ansible_user=root\n\
                 [all:vars]\nansible_python_interpreter=python3\n"
            ),
        )?;
        fs::write(
            site.path("ansible.cfg"),
            format!(
                "[defaults]\nlocal_tmp={tmp}\nremote_tmp={tmp}-remote\nretry_files_enabled=False\n\
                 [ssh_connection]\npipelining=True\ncontrol_path_dir={tmp}\n\
                 ssh_args=-F {config} -o BatchMode=yes -o ControlMaster=auto -o ControlPersist=60s\n",
                tmp = site.path("cp").display(),
                config = site.alice.folder().join("ssh_config").display(),
            ),
        )?;
        Ok(Self { site })
    }

    fn command(&self, hosts: &str) -> Command {
        let mut command = Command::new(tool("python/bin/ansible").unwrap_or_else(|error| error.to_string().into()));
        command.env("HOME", self.site.alice.home()).env("ANSIBLE_CONFIG", self.site.path("ansible.cfg"));
        command.env("LC_ALL", "C.UTF-8").env("ANSIBLE_NOCOLOR", "1").env_remove("SSH_AUTH_SOCK");
        command.arg("-i").arg(self.site.path("inventory")).arg(hosts);
        command
    }

    fn run(&self, hosts: &str, words: &[&str]) -> Result<Finished> {
        run(self.command(hosts).args(words), LIMIT)
    }
}

/// The `ssh` that another program is told to use.
fn remote_shell(site: &Site) -> String {
    format!("ssh -F {} -o BatchMode=yes", site.alice.folder().join("ssh_config").display())
}

/// The grant is revoked, and what ran under it ends, and not well.
fn revoked(site: &Site, grant: &str, live: &mut Background) -> Result<()> {
    let revoked = site.bob.json(&["revoke", grant, "--reason", "enough"])?;
    ensure!(!live.end(BOUND)?.success(), "it ended well after {revoked}:\n{}", live.log());
    let ended = site.record(grant, "session.ended")?;
    ensure!(ended.to_string().contains("revoked"), "{ended}");
    Ok(())
}
