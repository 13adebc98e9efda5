//! Who may move which files, and who moved which.

use std::fs;
use std::time::Duration;

use anyhow::{Result, ensure};
use portcullis_tests::{Layout, PLACE, Site, wait_for};

const SOON: Duration = Duration::from_secs(60);

/// A place to drop files, and nothing else. The folder is each test's own.
const DROP: &str = r#"
@id("drop")
@channels("scp, subsystem:sftp")
@upload("TMP/portcullis-e2e-*/in/**")
@download("none")
permit (principal in Group::"engineers", action == Action::"request", resource);
@id("review")
permit (principal in Group::"approvers", action == Action::"review", resource);
@id("connect")
permit (principal, action == Action::"connect", resource);
@id("replay")
permit (principal in Group::"security", action == Action::"replay", resource);
@id("admins")
permit (principal in Group::"admins", action in [Action::"lock", Action::"administer"], resource);
"#;

#[test]
fn a_drop_box_takes_files_gives_none_and_tells_who_put_what_there() -> Result<()> {
    let policy = DROP.replace("TMP", &std::env::temp_dir().display().to_string());
    let site = Site::with(Layout::Together, Some(&policy))?;
    let explained = site.alice.portcullis(&["policy", "explain", PLACE])?;
    for words in ["runs only scp, subsystem:sftp", "no downloads"] {
        ensure!(explained.text().contains(words), "{words}: {explained:?}");
    }
    site.grant("30m")?;
    fs::create_dir(site.path("in"))?;
    fs::create_dir(site.path("secret"))?;
    fs::write(site.path("here"), "content")?;
    let here = site.path("here").display().to_string();
    let copy = |mode: &str, from: &str, to: &str| site.alice.stock("scp", &[mode, from, to]).output();
    let remote = |path: &str| format!("{PLACE}:{}", site.path(path).display());
    for mode in ["-s", "-O"] {
        let up = copy(mode, &here, &remote(&format!("in/by{mode}")))?;
        ensure!(up.status.success() && fs::read(site.path(&format!("in/by{mode}")))? == b"content", "{mode}: {up:?}");
        let outside = copy(mode, &here, &remote("secret/x"))?;
        let said = String::from_utf8_lossy(&outside.stderr).into_owned();
        ensure!(!outside.status.success() && !site.path("secret/x").exists(), "{mode}: {outside:?}");
        ensure!(said.contains("the grant lets nothing be uploaded outside of"), "{mode}: {said}");
        let down = copy(mode, &remote(&format!("in/by{mode}")), &site.path("back").display().to_string())?;
        ensure!(!down.status.success() && !site.path("back").exists(), "{mode}: {down:?}");
    }
    let shell = site.alice.ssh(&[PLACE, "id"])?;
    ensure!(!shell.status.success() && shell.stderr.contains("exec id is refused"), "{shell:?}");

    // An analyst finds who it was by the place, and by the content.
    let pattern = format!("{}/**", site.path("in").display());
    for sought in
        [["--path", &pattern], ["--sha256", "ed7002b439e9ac845f22357d822bac1444730fbdb6016d3ec9432297b9ec9f73"]]
    {
        wait_for("both uploads", SOON, || {
            let found = site.dana.json(&[&["recordings", "files", "--uploads"][..], &sought].concat())?;
            let found = found.as_array().cloned().unwrap_or_default();
            let closed = found.iter().filter(|one| one["op"] == "close" && one["identity"] == "alice");
            Ok((closed.count() == 2).then_some(()))
        })?;
    }
    let refused = site.dana.portcullis(&["recordings", "files", "--refused", "--identity", "alice"])?.ok()?;
    ensure!(refused.text().contains("REFUSED: the grant lets nothing be uploaded outside of"), "{refused:?}");
    let forbidden = site.bob.portcullis(&["recordings", "files"])?;
    ensure!(!forbidden.text().contains("/in/"), "bob reads what he may not: {forbidden:?}");
    Ok(())
}
