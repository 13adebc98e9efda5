//! One connection that others go through, with all that stock ssh asks of it; and clients without a session of their own.

use std::fs;
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use portcullis_tests::{Background, Layout, Site, Sshd, Way, run, wait_for};
use store::{Entropy as _, SystemEntropy};

use crate::clients::noise;
use crate::ends::{EVERY_FORWARD, Greeter, converse, dial, dial_socks};
use crate::stock::{LIMIT, Master, facts_where, site, socket, ssh};

/// Commands at a time, and how many each of those who give them gives.
const GIVERS: usize = 12;
const COMMANDS: usize = 8;

#[test]
fn forwards_come_and_go_while_the_connection_stays() -> Result<()> {
    let site = Site::with(Layout::Together, Some(EVERY_FORWARD))?;
    let grant = site.grant("30m")?;
    let greeter = Greeter::start(site.path("greeter"))?;
    for (number, way) in (1..).zip(Way::BOTH) {
        let mut master = Master::start(&site, way)?;
        let there = format!("127.0.0.1:{}", greeter.port);
        let (local, dynamic) = (Sshd::free_port()?, Sshd::free_port()?);
        let (local_forward, dynamic_forward) = (format!("-L127.0.0.1:{local}:{there}"), format!("-D{dynamic}"));
        let remote_forward = format!("-R0:{there}");
        master.order(&["-Oforward", &local_forward])?;
        master.order(&["-Oforward", &dynamic_forward])?;
        // The port that the target chose comes back to whoever asked.
        let remote: u16 = master.order(&["-Oforward", &remote_forward])?.trim().parse()?;
        let bytes = noise(100_000);
        converse(dial(local)?, &bytes).context("-L")?;
        converse(dial_socks(dynamic, "localhost", greeter.port)?, &bytes).context("-D")?;
        converse(dial(remote)?, &bytes).context("-R")?;
        // One that is in the middle of a talk outlives its forward, as it does with sshd.
        let open = dial(local)?;
        master.order(&["-Ocancel", &local_forward])?;
        master.order(&["-Ocancel", &remote_forward])?;
        for port in [local, remote] {
            wait_for("the end of a forward", LIMIT, || Ok(TcpStream::connect(("127.0.0.1", port)).err()))?;
        }
        converse(open, &bytes).with_context(|| format!("behind -O cancel, {way:?}"))?;
        let listener = |fact: &serde_json::Value| fact.to_string().contains("\"listener\"");
        facts_where(&site, &grant, "channel.opened", number, listener)?;
        // Four talks and the listener; and what ran on the connection before this one.
        facts_where(&site, &grant, "channel.closed", number * 6 - 1, |_| true)?;
        let ran = run(&mut master.muxed(&["echo in; exit 3"])?, LIMIT)?;
        ensure!(ran.text() == "in\n" && ran.status.code() == Some(3), "{way:?}: {ran:?}");
        run(&mut master.muxed(&["-Oexit"])?, LIMIT)?.ok()?;
        master.process.end(LIMIT)?;
        ensure!(!run(&mut master.muxed(&["-Ocheck"])?, LIMIT)?.status.success(), "{way:?}: it is still there");
        facts_where(&site, &grant, "session.ended", number, |_| true)?;
    }
    Ok(())
}

/// `ssh -f -N` goes to the background once all stands, and is ended from there; `-W` alone is one forward and nothing else.
#[test]
fn a_client_needs_no_session_channel() -> Result<()> {
    let site = Site::with(Layout::Together, Some(EVERY_FORWARD))?;
    let grant = site.grant("30m")?;
    let greeter = Greeter::start(site.path("greeter"))?;
    let there = format!("127.0.0.1:{}", greeter.port);
    for way in Way::BOTH {
        let local = Sshd::free_port()?;
        let forward = format!("-L127.0.0.1:{local}:{there}");
        let mut command =
            ssh(&site, way, &["-f", "-N", "-M", &socket(&site, way), "-oExitOnForwardFailure=yes", &forward])?;
        let mut front = Background::start("ssh -f", &mut command, &site.path("f.log"))?;
        ensure!(front.end(LIMIT)?.success(), "{way:?}: {}", front.log());
        // No wait: it listens when it has gone to the background.
        converse(TcpStream::connect(("127.0.0.1", local))?, &noise(1000)).with_context(|| format!("{way:?}"))?;
        run(&mut ssh(&site, way, &[&socket(&site, way), "-Oexit"])?, LIMIT)?.ok()?;

        let mut direct = ssh(&site, way, &[&format!("-W{there}")])?;
        let mut direct = direct.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        std::io::Write::write_all(&mut direct.stdin.take().context("its input")?, b"ping")?;
        let ran = direct.wait_with_output()?;
        ensure!(ran.stdout == b"hello\npingbye 4\n", "{way:?}: {:?}", String::from_utf8_lossy(&ran.stdout));
    }
    facts_where(&site, &grant, "session.ended", 4, |_| true)?;
    facts_where(&site, &grant, "channel.opened", 4, |_| true)?;
    Ok(())
}

/// SSH has no way to refuse a tunnel by name: it is an unknown kind of channel, and the command runs on.
#[test]
fn a_tunnel_is_refused_and_the_command_runs() -> Result<()> {
    let (site, _) = site()?;
    for way in Way::BOTH {
        let ran = run(&mut ssh(&site, way, &["-oLogLevel=INFO", "-wany:any", "echo in; exit 3"])?, LIMIT)?;
        ensure!(ran.text() == "in\n" && ran.status.code() == Some(3), "{way:?}: {ran:?}");
        ensure!(ran.stderr.contains("open failed"), "{way:?}: {ran:?}");
    }
    Ok(())
}

/// Whatever the lengths of the two streams, all of both is there at the end, with the status, and nothing of a neighbour.
#[test]
fn nothing_is_lost_or_mixed_up_at_the_end_of_many_commands() -> Result<()> {
    let (site, _) = site()?;
    let all = noise(1 << 20);
    fs::write(site.path("all"), &all)?;
    let mut seed = [0; 8];
    SystemEntropy.fill(&mut seed);
    let seed = u64::from_le_bytes(seed);
    for way in Way::BOTH {
        let master = Master::start(&site, way)?;
        thread::scope(|scope| {
            let givers: Vec<_> = (0..GIVERS as u64)
                .map(|giver| {
                    let (site, master, all) = (&site, &master, &all);
                    scope.spawn(move || {
                        let mut draw = Draw(seed ^ (giver + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15));
                        (0..COMMANDS).try_for_each(|_| one_of_many(site, master, all, &mut draw))
                    })
                })
                .collect();
            for giver in givers {
                giver.join().map_err(|_| anyhow!("a panic"))?.with_context(|| format!("{way:?}, seed {seed}"))?;
            }
            Ok::<_, anyhow::Error>(())
        })?;
    }
    Ok(())
}

/// A command with so much on each stream, in any order, and any status.
fn one_of_many(site: &Site, master: &Master<'_>, all: &[u8], draw: &mut Draw) -> Result<()> {
    let mut piece = || {
        // Most are short; some are longer than a packet, and a few as long as a window is not.
        let most = [1, 100, 5_000, 40_000, 400_000].get(draw.below(5)).copied().unwrap_or(1);
        let (length, start) = (draw.below(most), draw.below(all.len() / 2));
        (start, length)
    };
    let ((out, out_length), (err, err_length)) = (piece(), piece());
    let status = draw.below(250);
    let file = site.path("all").display().to_string();
    let cut = |start: usize, length: usize| format!("tail -c +{} {file} | head -c {length}", start + 1);
    let (stdout, stderr) = (cut(out, out_length), format!("({}) >&2", cut(err, err_length)));
    let line = match draw.below(3) {
        0 => format!("{stdout}; {stderr}; exit {status}"),
        1 => format!("{stderr}; {stdout}; exit {status}"),
        _ => format!("{stderr} & {stdout}; wait; exit {status}"),
    };
    let mut command: Command = master.muxed(&[&line])?;
    // The streams are bytes, and not text.
    let ran = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).output()?;
    let piece = |start: usize, length: usize| all.get(start..start + length).unwrap_or_default();
    ensure!(ran.stdout == piece(out, out_length), "{line}: {} bytes of {out_length}", ran.stdout.len());
    let tail = String::from_utf8_lossy(ran.stderr.get(err_length..).unwrap_or_default());
    ensure!(
        ran.stderr == piece(err, err_length),
        "{line}: {} bytes of {err_length} on stderr {tail}",
        ran.stderr.len()
    );
    ensure!(ran.status.code() == i32::try_from(status).ok(), "{line}: {:?}", ran.status);
    Ok(())
}

/// Numbers that follow from a seed (Steele's splitmix64), so that a failure can be seen again.
struct Draw(u64);

impl Draw {
    fn below(&mut self, most: usize) -> usize {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = self.0;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        usize::try_from((mixed ^ (mixed >> 31)) % (most.max(1) as u64)).unwrap_or_default()
    }
}
