//! Every client that people come with, through every way in: a command with its exit status and both streams, 64 MiB
//! each way, and the end when the grant is revoked. What is said in here is in docs/clients.md for people to read.

mod agent;
mod dropbear;
mod dropbear_target;
mod editor;
mod forwards;
mod keys;
mod openssh;
mod putty;
mod rekey;
mod scripted;
mod sshuttle;
mod with_ssh;

pub(crate) use rekey::rekeying;
pub(crate) use scripted::{Scripted, direct_key};

use std::fs;
use std::iter;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use portcullis_tests::{Background, Site, Way, run, wait_for};

/// The longest that one command of a client may take, on a machine that is busy with other tests.
const LIMIT: Duration = Duration::from_secs(120);
/// The longest that a client may go on when its grant was revoked.
const BOUND: Duration = Duration::from_secs(20);
/// What every client moves each way, by one transfer at least.
const MANY: usize = 64 << 20;
/// What it moves by its further ones.
const SOME: usize = 8 << 20;

/// A client that reaches `root@web1`.
trait Client {
    /// Has this run there.
    fn run(&self, way: Way, command: &str) -> Result<Command>;

    /// Its own ways to move a file, the first of which moves many bytes.
    fn transfers(&self) -> &'static [&'static str];

    /// Moves a file there.
    fn put(&self, transfer: &str, way: Way, from: &Path, to: &Path) -> Result<Command>;

    /// Moves a file here.
    fn get(&self, transfer: &str, way: Way, from: &Path, to: &Path) -> Result<Command>;
}

/// The whole row of the matrix for one client; the grant is revoked at its end.
fn carries_everything(site: &Site, grant: &str, client: &dyn Client) -> Result<()> {
    let (many, some) = (many(site)?, site.path("some"));
    fs::write(&some, noise(SOME))?;
    for way in Way::BOTH {
        commands(client, way).with_context(|| format!("a command, {way:?}"))?;
        for (transfer, file) in client.transfers().iter().zip(iter::once(&many).chain(iter::repeat(&some))) {
            moves(site, client, transfer, way, file).with_context(|| format!("{transfer}, {way:?}"))?;
        }
    }
    ends(site, grant, client)
}

fn commands(client: &dyn Client, way: Way) -> Result<()> {
    let ran = run(&mut client.run(way, "echo out; echo err >&2; exit 7")?, LIMIT)?;
    ensure!(ran.status.code() == Some(7), "{ran:?}");
    ensure!(ran.text() == "out\n" && ran.stderr.contains("err\n") && !ran.stderr.contains("out"), "{ran:?}");
    let ran = run(&mut client.run(way, "cat; echo $(id -un)")?, LIMIT)?.ok()?;
    ensure!(ran.text() == "root\n", "{ran:?}");
    let ran = run(&mut client.run(way, "exec >&- 2>&-; sleep 0.3; exit 9")?, LIMIT)?;
    ensure!(ran.status.code() == Some(9), "the status behind the end of the output: {ran:?}");
    Ok(())
}

fn moves(site: &Site, client: &dyn Client, transfer: &str, way: Way, file: &Path) -> Result<()> {
    let (there, back) = (site.path("there"), site.path("back"));
    run(&mut client.put(transfer, way, file, &there)?, LIMIT)?.ok().context("up")?;
    same(file, &there).context("up")?;
    run(&mut client.get(transfer, way, &there, &back)?, LIMIT)?.ok().context("down")?;
    same(file, &back).context("down")?;
    fs::remove_file(there)?;
    Ok(fs::remove_file(back)?)
}

/// Through both ways at once, since both sessions are under one grant.
fn ends(site: &Site, grant: &str, client: &dyn Client) -> Result<()> {
    let mut live = Vec::new();
    for way in Way::BOTH {
        // It ends by itself when nobody hears it any more.
        let mut command = client.run(way, "while echo begun; do sleep 1; done")?;
        let mut session = Background::start(&format!("{way:?}"), &mut command, &site.path(&format!("{way:?}.log")))?;
        wait_for("the session", LIMIT, || {
            session.check()?;
            Ok(session.log().contains("begun").then_some(()))
        })?;
        live.push(session);
    }
    site.bob.portcullis(&["revoke", grant, "--reason", "enough"])?.ok()?;
    for mut session in live {
        ensure!(!session.end(BOUND)?.success(), "the client ended well:\n{}", session.log());
    }
    for way in Way::BOTH {
        let refused = run(&mut client.run(way, "echo in")?, LIMIT)?;
        ensure!(!refused.status.success() && !refused.text().contains("in"), "{way:?} is in again: {refused:?}");
    }
    Ok(())
}

/// 64 MiB that nothing compresses.
fn many(site: &Site) -> Result<PathBuf> {
    let file = site.path("many");
    fs::write(&file, noise(MANY))?;
    Ok(file)
}

/// Bytes that repeat nowhere (Marsaglia's xorshift64*).
pub(crate) fn noise(length: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut next = || {
        state ^= state >> 12;
        state ^= state << 25;
        state ^= state >> 27;
        state.wrapping_mul(0x2545_f491_4f6c_dd1d).to_le_bytes()
    };
    let mut bytes = Vec::with_capacity(length + 8);
    while bytes.len() < length {
        bytes.extend(next());
    }
    bytes.truncate(length);
    bytes
}

/// Whether two files have the same bytes.
pub(crate) fn same(one: &Path, other: &Path) -> Result<()> {
    run(Command::new("cmp").arg(one).arg(other), LIMIT)?.ok()?;
    Ok(())
}

/// The same command, reading one file and writing another.
pub(crate) fn redirected(command: &Command, from: &Path, to: &Path) -> Command {
    let mut shell = Command::new("sh");
    shell.args(["-c", "from=$1 to=$2; shift 2; exec \"$@\" < \"$from\" > \"$to\"", "sh"]).arg(from).arg(to);
    shell.arg(command.get_program()).args(command.get_args());
    for (name, value) in command.get_envs() {
        match value {
            Some(value) => shell.env(name, value),
            None => shell.env_remove(name),
        };
    }
    shell
}

/// A path as an argument.
fn text(path: &Path) -> String {
    path.display().to_string()
}
