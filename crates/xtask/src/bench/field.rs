//! Where it is measured: a site with raised limits, people with and without recording, and a jump host beside it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};

use super::jump::Jump;
use super::sizes::Sizes;
use super::way::{Recording, USUAL_CIPHER, Way, configure};
use crate::site::json::{id, list};
use crate::site::{Limits, Person, Site, Stage};

const SOON: Duration = Duration::from_secs(30);

/// The field, which is built when the first benchmark asks for it.
pub(crate) struct Field {
    binaries: PathBuf,
    sizes: Sizes,
    stage: Option<Stage>,
    ground: Option<Ground>,
}

/// What stands on it.
pub(crate) struct Ground {
    // Fields are dropped in this order: the site's folder last.
    /// The jump host, which lets alice's plain key in.
    pub(crate) jump: Jump,
    /// The site, with web1 enrolled, alice's plain key let in for comparison, and ssh configured for each way.
    pub(crate) site: Site,
}

impl Field {
    /// A field with nothing on it yet.
    pub(crate) fn new(binaries: PathBuf, sizes: Sizes, stage: Stage) -> Self {
        Self { binaries, sizes, stage: Some(stage), ground: None }
    }

    /// Where the binaries are.
    pub(crate) fn binaries(&self) -> &Path {
        &self.binaries
    }

    /// How much is measured.
    pub(crate) fn sizes(&self) -> Sizes {
        self.sizes
    }

    /// The site alone.
    pub(crate) fn site(&mut self) -> Result<&Site> {
        Ok(&self.ground()?.site)
    }

    /// Everything.
    pub(crate) fn ground(&mut self) -> Result<&mut Ground> {
        if self.ground.is_none() {
            let stage = self.stage.take().context("the field could not be built before")?;
            self.ground = Some(Ground::build(stage, &self.binaries.join("portcullis"))?);
        }
        self.ground.as_mut().context("the field is empty")
    }
}

impl Ground {
    /// The process between the person and web1, whose time counts.
    pub(crate) fn process(&self, way: Way) -> Option<u32> {
        match way {
            Way::Direct => None,
            Way::ProxyJump => Some(self.jump.process()),
            Way::Login(_) | Way::Jump(_) => Some(self.site.process()),
        }
    }

    fn build(stage: Stage, binary: &Path) -> Result<Self> {
        let mut site = Site::build(stage, binary, Limits::Raised)?;
        site.enrol()?;
        let key = site.alice.public_key()?;
        site.web1.let_in(&site.stage, &key)?;
        let erin = site.join(binary, "erin", "unrecorded", UNRECORDED)?;
        let jump = Jump::start(&site.stage, &site.alice)?;
        let alice = site.alice.clone();
        for (person, recording) in [(&alice, Recording::Strict), (&erin, Recording::Off)] {
            person.run(&site.stage, &["ssh-config", "--write"])?;
            configure(&site, &jump, person, recording)?;
            let grant = grant_for(&site, person, "demo@web1")?;
            person.run(&site.stage, &["cert", &grant])?;
        }
        check_recording(&site)?;
        Ok(Self { jump, site })
    }
}

/// A person whose only path to anything is not recorded.
const UNRECORDED: &str = r#"
@id("unrecorded")
@max_duration("4h")
@approvals("1")
@approvers("approvers")
@recording("off")
permit (
    principal in Group::"unrecorded",
    action == Action::"request",
    resource
);
"#;

/// Gives someone a grant for a place such as demo@web1; returns its id.
pub(crate) fn grant_for(site: &Site, person: &Person, place: &str) -> Result<String> {
    let Site { bob, stage, .. } = site;
    let filed = person.json(stage, &["request", place, "--for", "4h", "--reason", "bench", "--no-wait"])?;
    let grant = id(&filed).context("the request has no id")?;
    bob.run(stage, &["approve", &grant])?;
    Ok(grant)
}

/// What is called recorded must be, and what is called unrecorded must not: else a row would say what it did not measure.
fn check_recording(site: &Site) -> Result<()> {
    let recordings = || Ok::<_, anyhow::Error>(list(&site.dana.json(&site.stage, &["recordings"])?).len());
    for recording in [Recording::Off, Recording::Strict] {
        let mut ssh = Way::Login(recording).ssh(site, USUAL_CIPHER);
        let ran = site.stage.finish(ssh.arg("true"), b"", SOON)?;
        ensure!(ran.status.success(), "ssh failed\n{}", ran.text());
    }
    // The second session was reported after the first.
    let found =
        site.stage.wait("the recording of a session", SOON, || Ok(Some(recordings()?).filter(|count| *count > 0)))?;
    ensure!(found == 1, "one of two sessions was to be recorded, and {found} were");
    Ok(())
}
