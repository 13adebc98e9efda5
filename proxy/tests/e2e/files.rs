//! Files that are moved: which may be, what is on record of them, and what the person is told.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::process::{Output, Stdio};

use api::wire::SessionReport;
use model::{PathPattern, RecordingMode};
use serde_json::Value;
use sha2::{Digest, Sha256};
use tokio::io::AsyncWriteExt;
use tokio::process::Command;

use crate::authority::{Grant, random};
use crate::client::{WAYS, Way, place, run, shown, text, until, wait};
use crate::world::{HOUR, World};

/// A world with a folder for what comes in, one for what goes out, and one for neither.
struct Site {
    world: World,
    config: String,
}

impl Site {
    /// `IN`, `OUT` and `SECRET` stand for the folders in the rules.
    async fn new(upload: &[&str], download: &[&str]) -> Self {
        Self::with(upload, download, |_| {}).await
    }

    async fn with(upload: &[&str], download: &[&str], change: impl FnOnce(&mut Grant)) -> Self {
        Self::of(World::new().await, upload, download, change).await
    }

    async fn of(world: World, upload: &[&str], download: &[&str], change: impl FnOnce(&mut Grant)) -> Self {
        let alice = world.person("alice");
        let config = alice.config("").display().to_string();
        for folder in ["in", "out", "secret", "here"] {
            std::fs::create_dir(world.folder.path().join(folder)).unwrap();
        }
        std::fs::write(world.folder.path().join("secret/key"), "the secret").unwrap();
        std::fs::write(world.folder.path().join("out/report"), "the report").unwrap();
        std::fs::write(world.folder.path().join("here/a"), "content").unwrap();
        let site = Self { world, config };
        let rules = |texts: &[&str]| -> BTreeSet<PathPattern> {
            texts.iter().map(|text| site.named(text).parse().unwrap()).collect()
        };
        let (upload, download) = (rules(upload), rules(download));
        site.world.authority.grant_with("alice", "root", "web1", HOUR, |grant| {
            grant.obligations.carriage.upload = upload;
            grant.obligations.carriage.download = download;
            change(grant);
        });
        site
    }

    fn at(&self, path: &str) -> PathBuf {
        self.world.folder.path().join(path)
    }

    fn named(&self, text: &str) -> String {
        let at = |path| self.at(path).display().to_string();
        text.replace("IN", &at("in"))
            .replace("OUT", &at("out"))
            .replace("SECRET", &at("secret"))
            .replace("HERE", &at("here"))
    }

    /// `sftp -b`, with these lines.
    async fn sftp(&self, way: Way, batch: &str) -> Output {
        let mut command = Command::new("sftp");
        command.args(["-F", &self.config, "-b", "-"]).arg(place(way, "root", "web1"));
        command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
        let mut child = command.spawn().unwrap();
        child.stdin.take().unwrap().write_all(self.named(batch).as_bytes()).await.unwrap();
        wait(child).await
    }

    /// `scp`, `-s` or `-O`; what begins with a colon is on the target.
    async fn scp(&self, way: Way, options: &[&str], from: &str, to: &str) -> Output {
        let full = |end: &str| match self.named(end).strip_prefix(':') {
            Some(path) => format!("{}:{path}", place(way, "root", "web1")),
            None => self.named(end),
        };
        let (from, to) = (full(from), full(to));
        run("scp", ["-F", &self.config].iter().chain(options).copied().chain([from.as_str(), to.as_str()])).await
    }

    /// The file logs of all recordings, once there are so many.
    async fn logs(&self, count: usize) -> Vec<Value> {
        until("the recordings are filed", || self.world.recordings().len() >= count).await;
        let files = self.world.recordings();
        assert_eq!(files.len(), count);
        files.iter().flat_map(|file| operations(file)).collect()
    }
}

/// What a recording says was done to files.
fn operations(recording: &Path) -> Vec<Value> {
    let text = std::fs::read_to_string(recording).unwrap();
    let lines = text.lines().map(|line| serde_json::from_str::<Value>(line).unwrap());
    lines.filter(|line| line.get("file").is_some()).map(|mut line| line["file"].take()).collect()
}

fn sha256(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_put_into_a_drop_box_is_on_record_and_nothing_else_passes() {
    let copying = ["scp", "subsystem:sftp"].map(|right| right.parse().unwrap());
    let site = Site::with(&["IN/**"], &[], |grant| grant.obligations.carriage.channels = copying.into()).await;
    for (count, way) in WAYS.into_iter().enumerate() {
        let up = site.sftp(way, "put HERE/a IN/by-sftp\n").await;
        assert!(up.status.success(), "{way:?} {}", shown(&up));
        for mode in ["-s", "-O"] {
            let up = site.scp(way, &[mode], "HERE/a", &format!(":IN/by-scp{mode}")).await;
            assert!(up.status.success(), "{way:?} {mode} {}", shown(&up));
            assert_eq!(std::fs::read(site.at(&format!("in/by-scp{mode}"))).unwrap(), b"content");
            let outside = site.scp(way, &[mode], "HERE/a", ":SECRET/a").await;
            assert!(!outside.status.success(), "{way:?} {mode} {}", shown(&outside));
            let rule = site.named("the grant lets nothing be uploaded outside of IN/**");
            assert!(text(&outside.stderr).contains(&rule), "{way:?} {mode} {}", shown(&outside));
            let down = site.scp(way, &[mode], ":IN/by-sftp", "HERE/back").await;
            assert!(!down.status.success() && !site.at("here/back").exists(), "{way:?} {mode} {}", shown(&down));
            assert!(text(&down.stderr).contains("the grant lets nothing be "), "{way:?} {mode} {}", shown(&down));
        }
        assert!(!site.at("secret/a").exists());
        let logs = site.logs((count + 1) * 7).await;
        let closed: Vec<_> = logs.iter().filter(|op| op["op"] == "close" && op["written"].is_object()).collect();
        assert_eq!(closed.len(), (count + 1) * 3, "{logs:#?}");
        for op in closed {
            assert_eq!(op["written"]["sha256"], sha256(b"content"), "{op}");
            assert_eq!((op["written"]["bytes"].as_u64(), op["result"].as_str()), (Some(7), Some("done")));
        }
        let refused = logs.iter().filter(|op| op["result"]["refused"].is_object());
        assert!(refused.clone().any(|op| op["path"] == site.named("SECRET/a")), "{logs:#?}");
        assert!(refused.clone().any(|op| op["path"] == site.named("IN/by-sftp")), "{logs:#?}");
    }
    let told = site.world.authority.reports().into_iter().any(|report| match report {
        SessionReport::ChannelRefused { asked, reason } => {
            asked.starts_with("sftp: open ") && reason.contains("the grant lets nothing be uploaded outside of")
        }
        _ => false,
    });
    assert!(told, "the ledger knows, too");
}

#[tokio::test(flavor = "multi_thread")]
async fn no_other_name_leads_round_the_rule() {
    let site = Site::new(&["IN/**", "OUT/**"], &["OUT/**"]).await;
    std::fs::write(site.at("in/mine"), "mine").unwrap();
    std::fs::create_dir_all(site.at("out/a/b")).unwrap();
    for (batch, words) in [
        // To where it could be read, or out of the rule.
        ("rename IN/mine OUT/mine\n", "that would make more of it"),
        ("rename -l IN/mine OUT/mine\n", "that would make more of it"),
        ("ln IN/mine OUT/mine\n", "that would make more of it"),
        ("symlink IN/mine OUT/mine\n", "that would make more of it"),
        ("rename SECRET OUT/all\n", "changed or uploaded outside of"),
        ("ln SECRET/key OUT/key\n", "changed or uploaded outside of"),
        ("symlink SECRET OUT/all\n", "changed or uploaded outside of"),
        ("symlink ../secret OUT/all\n", "write the path without .."),
        ("rename OUT/report SECRET/report\n", "changed or uploaded outside of"),
        ("copy SECRET/key OUT/key\n", "lets nothing be "),
        ("copy OUT/report SECRET/report\n", "uploaded outside of"),
        // Where it leads is not what it says.
        ("symlink OUT OUT/a/b/up\nget OUT/a/b/up/../secret/key HERE/key\n", "write the path without .."),
        ("get OUT/../secret/key HERE/key\n", "write the path without .."),
        ("put HERE/a IN/../secret/a\n", "write the path without .."),
        ("get SECRET/key HERE/key\n", "lets nothing be "),
        ("put HERE/a SECRET/a\n", "uploaded outside of"),
        ("rm SECRET/key\n", "lets nothing be "),
        ("mkdir SECRET/d\n", "changed or uploaded outside of"),
        ("chmod 777 SECRET/key\n", "lets nothing be "),
        ("ls SECRET\n", "lets nothing be "),
        ("ls IN\n", "listed or downloaded outside of"),
    ] {
        let output = site.sftp(Way::Plus, batch).await;
        assert!(!output.status.success(), "{batch} {}", shown(&output));
        assert!(text(&output.stderr).contains(words), "{batch} {}", shown(&output));
    }
    for gone in ["out/mine", "out/all", "out/key", "here/key", "secret/a", "secret/d", "secret/report"] {
        assert!(!site.at(gone).exists(), "{gone}");
    }
    assert_eq!(std::fs::read_to_string(site.at("secret/key")).unwrap(), "the secret");
    // What the rule lets be done works as ever.
    let batch = "put HERE/a IN/a.part\nrename IN/a.part IN/a\nput HERE/a OUT/b\nsymlink OUT/b OUT/c\nget OUT/c HERE/c\n\
                 ls -l OUT\ncd OUT\nget report HERE/report\nmkdir IN/d\nrm IN/a\nrmdir IN/d\n";
    let output = site.sftp(Way::Jump, batch).await;
    assert!(output.status.success(), "{}", shown(&output));
    assert_eq!(std::fs::read_to_string(site.at("here/report")).unwrap(), "the report");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_old_scp_does_not_leave_the_rule_either() {
    let site = Site::new(&["IN/**"], &["OUT/**"]).await;
    std::fs::create_dir(site.at("here/tree")).unwrap();
    std::fs::write(site.at("here/tree/x"), "x").unwrap();
    for (from, to, words) in [
        ("HERE/a", ":a", "write the path from the root"),
        ("HERE/a", ":~/a", "write the path from the root"),
        ("HERE/a", ":IN/../secret/a", "write the path without .."),
        ("HERE/a", ":SECRET", "uploaded outside of"),
        ("HERE/tree", ":SECRET", "changed or uploaded outside of"),
        (":SECRET/key", "HERE/key", "downloaded outside of"),
        (":SECRET", "HERE", "downloaded outside of"),
        (":OUT/../secret/key", "HERE/key", "write the path without .."),
    ] {
        let output = site.scp(Way::Plus, &["-O", "-r"], from, to).await;
        assert!(!output.status.success(), "{from} {to} {}", shown(&output));
        assert!(text(&output.stderr).contains(words), "{from} {to} {}", shown(&output));
    }
    assert!(!site.at("secret/a").exists() && !site.at("here/key").exists() && !site.at("secret/tree").exists());
    let output = site.scp(Way::Plus, &["-O", "-r", "-p"], "HERE/tree", ":IN").await;
    assert!(output.status.success() && site.at("in/tree/x").exists(), "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn names_with_spaces_and_quotes_and_whole_trees_pass() {
    let site = Site::new(&["/**"], &["/**"]).await;
    let odd = ["two words", "it's", "a\"b", "größe", "-dash"];
    std::fs::create_dir(site.at("here/tree")).unwrap();
    for name in odd {
        std::fs::write(site.at("here/tree").join(name), name).unwrap();
    }
    for (count, mode) in ["-s", "-O"].into_iter().enumerate() {
        let there = format!("in/t{count}");
        std::fs::create_dir(site.at(&there)).unwrap();
        let up = site.scp(Way::Plus, &[mode, "-r", "-p"], "HERE/tree", &format!(":IN/t{count}")).await;
        assert!(up.status.success(), "{mode} {}", shown(&up));
        let down =
            site.scp(Way::Plus, &[mode, "-r"], &format!(":IN/t{count}/tree"), &format!("HERE/back{count}")).await;
        assert!(down.status.success(), "{mode} {}", shown(&down));
        for name in odd {
            assert_eq!(std::fs::read_to_string(site.at(&there).join("tree").join(name)).unwrap(), name, "{mode}");
            let back = site.at(&format!("here/back{count}")).join(name);
            assert_eq!(std::fs::read_to_string(back).unwrap(), name, "{mode}");
        }
    }
    // A shell of the target's sees these words, so they must be quoted for it.
    let quoted = site.scp(Way::Plus, &["-O"], "HERE/a", ":'IN/two words'").await;
    assert!(quoted.status.success() && site.at("in/two words").exists(), "{}", shown(&quoted));
    let logs = site.logs(5).await;
    for name in odd {
        let moved = |way: &str| {
            let fits = |op: &&Value| op[way]["sha256"] == sha256(name.as_bytes()) && op["result"] == "done";
            logs.iter().filter(fits).count()
        };
        assert_eq!((moved("written"), moved("read")), (2, 2), "{name}");
    }
    assert!(logs.iter().any(|op| op["op"] == "close" && op["or"] == site.named("IN/two words")), "{logs:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_large_arrives_whole_and_its_digest_is_on_record() {
    let site = Site::new(&["/**"], &["/**"]).await;
    let mut data = vec![0; 64 << 20];
    random(&mut data);
    std::fs::write(site.at("here/large"), &data).unwrap();
    let mut recordings = 0;
    for (count, (way, mode)) in WAYS.into_iter().flat_map(|way| ["-s", "-O"].map(|mode| (way, mode))).enumerate() {
        let up = site.scp(way, &[mode, "-q"], "HERE/large", &format!(":IN/{count}")).await;
        assert!(up.status.success(), "{way:?} {mode} {}", shown(&up));
        assert!(std::fs::read(site.at(&format!("in/{count}"))).unwrap() == data, "{way:?} {mode}");
        let down = site.scp(way, &[mode, "-q"], &format!(":IN/{count}"), &format!("HERE/{count}")).await;
        assert!(down.status.success(), "{way:?} {mode} {}", shown(&down));
        assert!(std::fs::read(site.at(&format!("here/{count}"))).unwrap() == data, "{way:?} {mode}");
        recordings += 2;
        let logs = site.logs(recordings).await;
        let path = site.named(&format!("IN/{count}"));
        for moved in ["written", "read"] {
            // The old scp is told a name, and not whether it is a folder.
            let named = |op: &&Value| op["op"] == "close" && (op["path"] == path || op["or"] == path);
            let found = logs.iter().filter(named).any(|op| op[moved]["sha256"] == sha256(&data));
            assert!(found, "{way:?} {mode} {moved}: {logs:#?}");
        }
        std::fs::remove_file(site.at(&format!("in/{count}"))).unwrap();
        std::fs::remove_file(site.at(&format!("here/{count}"))).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rules_hold_where_nothing_is_recorded() {
    let off = |grant: &mut Grant| grant.obligations.recording = RecordingMode::Off;
    let site = Site::with(&["IN/**"], &["OUT/**"], off).await;
    for mode in ["-s", "-O"] {
        let output = site.scp(Way::Plus, &[mode], "HERE/a", ":SECRET/a").await;
        assert!(!output.status.success() && !site.at("secret/a").exists(), "{}", shown(&output));
        let output = site.scp(Way::Plus, &[mode], "HERE/a", ":IN/a").await;
        assert!(output.status.success(), "{}", shown(&output));
    }
    assert!(site.world.recordings().is_empty());
    let off = |grant: &mut Grant| grant.obligations.recording = RecordingMode::Off;
    let site = Site::with(&["/**"], &["/**"], off).await;
    let output = site.scp(Way::Plus, &["-s"], "HERE/a", ":SECRET/a").await;
    assert!(output.status.success() && site.at("secret/a").exists(), "{}", shown(&output));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_session_whose_file_log_is_full_ends_unless_the_path_says_otherwise() {
    for mode in [RecordingMode::Only, RecordingMode::Strict, RecordingMode::BestEffort] {
        let world = World::with(|config| config.recording_limit = 20_000).await;
        let site = Site::of(world, &["IN/**"], &[], |grant| grant.obligations.recording = mode).await;
        let batch: String = (0..300).map(|number| format!("mkdir IN/{number}\n")).collect();
        let output = site.sftp(Way::Plus, &batch).await;
        assert_eq!(output.status.success(), mode == RecordingMode::BestEffort, "{mode:?} {}", shown(&output));
        assert_eq!(site.at("in/299").exists(), mode == RecordingMode::BestEffort, "{mode:?}");
        if mode != RecordingMode::BestEffort {
            assert!(text(&output.stderr).contains("it must be recorded"), "{mode:?} {}", shown(&output));
            let (end, _) = site.world.authority.ended().await;
            assert!(matches!(end, model::SessionEnd::Recording { .. }), "{mode:?} {end:?}");
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn rsync_is_a_command_like_any_other() {
    let site = Site::new(&["IN/**"], &["OUT/**"]).await;
    let shell = format!("ssh -F {}", site.config);
    let (here, there) = (site.named("HERE/"), site.named(&format!("{}:SECRET/", place(Way::Plus, "root", "web1"))));
    let output = run("rsync", ["-a", "-e", &shell, &here, &there]).await;
    assert!(output.status.success() && site.at("secret/a").exists(), "{}", shown(&output));
    assert!(site.logs(1).await.is_empty(), "no file rule holds for a command, and no file log is kept of it");
}

#[tokio::test(flavor = "multi_thread")]
async fn only_so_many_channels_that_move_files_for_one_person() {
    let world = World::with(|config| config.max_transfers_per_person = 1).await;
    let site = Site::of(world, &["IN/**"], &[], |_| {}).await;
    let mut held = Command::new("sftp");
    held.args(["-F", &site.config, "-b", "-"]).arg(place(Way::Plus, "root", "web1"));
    held.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut held = held.spawn().unwrap();
    held.stdin.as_mut().unwrap().write_all(site.named("mkdir IN/held\n").as_bytes()).await.unwrap();
    until("the first is there", || site.at("in/held").exists()).await;
    for way in WAYS {
        let second = site.sftp(way, "mkdir IN/second\n").await;
        assert!(!second.status.success() && !site.at("in/second").exists(), "{way:?} {}", shown(&second));
        assert!(text(&second.stderr).contains("alice moves files on 1 channels already"), "{}", shown(&second));
    }
    assert!(wait(held).await.status.success());
    let again = async { while !site.sftp(Way::Plus, "mkdir IN/again\n").await.status.success() {} };
    tokio::time::timeout(std::time::Duration::from_secs(20), again).await.expect("the place is free again");
}
