//! The story: ask, approve, certificate, session, recording, replay, revoke. Each scene checks what it shows.

use std::fs;
use std::process::Command;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use super::narrator::Narrator;
use crate::site::json::{first, id, list};
use crate::site::{Person, Ran, Site, Terminal};

const SOON: Duration = Duration::from_secs(30);
const PLACE: &str = "demo@web1";

/// Plays every scene in turn.
pub(crate) fn tell(site: &mut Site, narrator: &mut Narrator) -> Result<()> {
    enrolment(site, narrator)?;
    let mut scenes = Scenes { site, narrator };
    let grant = scenes.asking()?;
    scenes.command()?;
    scenes.terminal()?;
    scenes.copy()?;
    scenes.replay()?;
    scenes.revocation(&grant)?;
    scenes.refusal()?;
    scenes.proof(&grant)
}

fn enrolment(site: &mut Site, narrator: &mut Narrator) -> Result<()> {
    narrator.scene("A server joins: carol enrols web1, a real sshd, over the access that she has there so far");
    let (typed, ran) = site.enrol()?;
    narrator.types(site.carol.name(), &typed);
    narrator.sees(&ran.text());
    narrator.notes("web1's sshd_config has these lines now, and carol's own key is taken off it:");
    narrator.sees(&site.web1.enrolled_lines()?);
    Ok(())
}

struct Scenes<'a> {
    site: &'a Site,
    narrator: &'a mut Narrator,
}

impl Scenes<'_> {
    /// Alice asks and waits; bob sees it and agrees. Returns the grant's id.
    fn asking(&mut self) -> Result<String> {
        let Site { alice, bob, stage, .. } = self.site;
        self.narrator.scene("alice asks for demo@web1, and her command waits; bob approves");
        let mut ask = alice.portcullis(&["request", PLACE, "--for", "10m", "--reason", "see why the disk is full"]);
        self.narrator.types(alice.name(), &ask);
        let answer = thread::scope(|scope| -> Result<Ran> {
            let waiting = scope.spawn(move || alice.finish(stage, &mut ask));
            let id = stage.wait("alice's request", SOON, || {
                let pending = bob.json(stage, &["requests"])?;
                Ok(first(&pending, |request| request["identity"] == "alice").and_then(id))
            })?;
            self.run(bob, &["requests"])?;
            self.run(bob, &["approve", &id, "--comment", "go ahead"])?;
            waiting.join().map_err(|_| anyhow::anyhow!("alice's command broke down"))?
        })?;
        self.narrator.notes("and alice's command returns:");
        self.narrator.sees(&answer.text());
        self.run(alice, &["ssh-config", "--write"])?;
        let grants = alice.json(stage, &["grants"])?;
        first(&grants, |grant| grant["target"] == "web1" && grant["state"] == "active")
            .and_then(id)
            .context("alice has no active grant")
    }

    fn command(&mut self) -> Result<()> {
        let Site { alice, stage, .. } = self.site;
        self.narrator.scene("Stock ssh runs a command: through ProxyJump, and by login+target");
        let script = "echo \"$(id -un) on web1\"; echo to stderr >&2; exit 7";
        let ran = stage.finish(&mut self.typed(alice, alice.ssh("ssh", &[PLACE, script])), b"", SOON)?;
        self.narrator.sees(&ran.text());
        ensure!(ran.out() == "demo on web1\n", "standard output is not what the command wrote");
        ensure!(String::from_utf8_lossy(&ran.stderr).contains("to stderr"), "standard error is lost");
        ensure!(ran.status.code() == Some(7), "the exit status is {}, not 7", ran.status);
        self.narrator.notes(&format!("exit status 7, as the command said; {} ms in all", ran.took.as_millis()));
        let ran = self.run(alice, &["ssh", PLACE, "echo the other way"])?;
        ensure!(ran.out() == "the other way\n", "login+target does not work");
        Ok(())
    }

    /// An interactive session in a real terminal.
    fn terminal(&mut self) -> Result<()> {
        let Site { alice, stage, .. } = self.site;
        self.narrator.scene("An interactive session in a real terminal");
        let command = self.typed(alice, alice.ssh("ssh", &[PLACE]));
        let mut terminal = Terminal::start(&command, 80, 24)?;
        terminal.expect(stage, "demo@web1:", SOON)?;
        terminal.type_text("echo forty-two is $((6 * 7))\n")?;
        terminal.expect(stage, "forty-two is 42", SOON)?;
        terminal.resize(100, 30)?;
        terminal.type_text("stty size\n")?;
        terminal.expect(stage, "30 100", SOON)?;
        terminal.type_text("exit 3\n")?;
        let (_, status) = terminal.wait_end(stage, SOON)?;
        self.narrator.sees(&terminal.shown());
        ensure!(status.code() == Some(3), "the exit status is {status}, not 3");
        Ok(())
    }

    fn copy(&mut self) -> Result<()> {
        let Site { alice, stage, web1, .. } = self.site;
        self.narrator.scene("A file there and back with scp");
        let here = alice.home().join("there.bin");
        let back = alice.home().join("back.bin");
        let bytes: Vec<u8> = (0..3_000_000_u32).map(|n| (n.wrapping_mul(2_654_435_761) >> 24) as u8).collect();
        fs::write(&here, &bytes)?;
        for (from, to) in [(text(&here), "demo@web1:copy.bin".into()), ("demo@web1:copy.bin".into(), text(&back))] {
            let mut scp = self.typed(alice, alice.ssh("scp", &["-q", &from, &to]));
            alice.finish(stage, &mut scp)?;
        }
        ensure!(fs::read(web1.home().join("copy.bin"))? == bytes, "the copy on web1 differs");
        ensure!(fs::read(&back)? == bytes, "the copy that came back differs");
        self.narrator.notes("3 MB, the same bytes on both sides");
        Ok(())
    }

    /// Carol replays the interactive session as text.
    fn replay(&mut self) -> Result<()> {
        let Site { dana, stage, .. } = self.site;
        self.narrator.scene("dana, a security analyst, replays the terminal session as text");
        self.run(dana, &["recordings"])?;
        let recordings = dana.json(stage, &["recordings"])?;
        for id in list(&recordings).iter().filter_map(id) {
            let played = dana.run(stage, &["play", &id, "--text"])?;
            if played.out().contains("forty-two is 42") {
                self.run(dana, &["play", &id, "--text"])?;
                return Ok(());
            }
        }
        bail!("no recording shows what alice typed")
    }

    /// Bob revokes while alice is in.
    fn revocation(&mut self, grant: &str) -> Result<()> {
        let Site { alice, bob, stage, .. } = self.site;
        self.narrator.scene("bob revokes the grant while alice is in the middle of something");
        let command = self.typed(alice, alice.ssh("ssh", &[PLACE]));
        let mut terminal = Terminal::start(&command, 80, 24)?;
        terminal.expect(stage, "demo@web1:", SOON)?;
        terminal.type_text("echo still-$((1 + 1))-here; sleep 600\n")?;
        terminal.expect(stage, "still-2-here", SOON)?;
        self.run(bob, &["sessions"])?;
        let live = bob.json(stage, &["sessions"])?;
        let session = first(&live, |_| true).and_then(id).context("bob sees no live session")?;
        let start = Instant::now();
        self.run(bob, &["revoke", grant, "--reason", "that is enough"])?;
        let (gone, status) = terminal.wait_end(stage, SOON)?;
        self.narrator.notes("alice's terminal:");
        self.narrator.sees(&terminal.shown());
        ensure!(!status.success(), "alice's ssh ended as if nothing had happened");
        let micros = stage.wait("the receipt of the drop", SOON, || {
            Ok(bob.json(stage, &["sessions", &session])?.get("drop_micros").and_then(Value::as_f64))
        })?;
        self.narrator.notes(&format!(
            "dropped {:.1} ms after the revocation was decided (the receipt in the ledger); alice's ssh was gone {} ms \
             after bob pressed enter",
            micros / 1000.0,
            gone.saturating_duration_since(start).as_millis()
        ));
        Ok(())
    }

    fn refusal(&mut self) -> Result<()> {
        let Site { alice, stage, .. } = self.site;
        self.narrator.scene("alice tries again, and is told why not, and what to do");
        let ran = stage.finish(&mut self.typed(alice, alice.ssh("ssh", &[PLACE, "true"])), b"", SOON)?;
        self.narrator.sees(&ran.text());
        ensure!(!ran.status.success(), "alice got in without a grant");
        ensure!(ran.text().contains("portcullis request"), "the refusal does not say what to do");
        Ok(())
    }

    fn proof(&mut self, grant: &str) -> Result<()> {
        let Site { dana, carol, stage, .. } = self.site;
        self.narrator.scene("The ledger holds all of it, and proves it");
        let shown = self.run(carol, &["ledger", "show", "--request", grant])?;
        ensure!(shown.text().contains("revokes the grant"), "the ledger does not show the revocation");
        let (export, note) = (text(&stage.path("carol/ledger.jsonl")), text(&stage.path("carol/ledger.note")));
        self.run(carol, &["ledger", "export", "--out", &export, "--checkpoint", &note])?;
        self.run(carol, &["ledger", "verify", &export, "--checkpoint", &note])?;
        self.run(dana, &["recordings", "verify", "--all"])?;
        self.narrator.notes("and offline, from the data directory itself:");
        self.run(carol, &["ledger", "verify", &text(&self.site.server.data())])?;
        Ok(())
    }

    /// Shows what someone types and what they see.
    fn run(&mut self, person: &Person, words: &[&str]) -> Result<Ran> {
        let mut command = self.typed(person, person.portcullis(words));
        let ran = person.finish(&self.site.stage, &mut command)?;
        self.narrator.sees(&ran.text());
        Ok(ran)
    }

    fn typed(&self, person: &Person, command: Command) -> Command {
        self.narrator.types(person.name(), &command);
        command
    }
}

fn text(path: &std::path::Path) -> String {
    path.display().to_string()
}
