//! Whether the grant has a forward.

use model::{CertificateExtension, RecordingMode};

use crate::permit::Permit;
use crate::words::{self, Words};

use super::End;

/// Why the person may not connect there; `None` when they may.
pub(super) fn bars_open(permit: &Permit, to: &End) -> Option<Words> {
    let what = format!("a connection to {}", to.shown());
    bars_any(permit, &what).or_else(|| {
        let may = permit.obligations().carriage.may_open(&to.peer());
        (!may).then(|| words::no_such_end(&what, "@permit_open", permit))
    })
}

/// Why the target may not listen there for the person; `None` when it may.
pub(super) fn bars_listen(permit: &Permit, at: &End) -> Option<Words> {
    let what = format!("a listener on {}", at.shown());
    bars_any(permit, &what).or_else(|| {
        let may = permit.obligations().carriage.may_listen(&at.peer());
        (!may).then(|| words::no_such_end(&what, "@permit_listen", permit))
    })
}

/// Why the target may not ask the person's agent; `None` when it may.
pub(crate) fn bars_agent(permit: &Permit) -> Option<Words> {
    bars_extension(permit, "agent forwarding", CertificateExtension::AgentForwarding)
}

/// Why the target may not show windows on the person's screen; `None` when it may.
pub(crate) fn bars_x11(permit: &Permit) -> Option<Words> {
    bars_extension(permit, "X11 forwarding", CertificateExtension::X11Forwarding)
}

fn bars_extension(permit: &Permit, what: &str, needs: CertificateExtension) -> Option<Words> {
    bars_any(permit, what).or_else(|| {
        let has = permit.obligations().extensions.contains(&needs);
        (!has).then(|| words::not_permitted(what, needs, permit))
    })
}

/// What bars a forward of any kind.
fn bars_any(permit: &Permit, what: &str) -> Option<Words> {
    // A reviewer saw one command and nothing else.
    if let Some(command) = permit.command() {
        return Some(words::one_command(what, command, permit));
    }
    match permit.obligations().recording {
        RecordingMode::Only => Some(words::only_recorded(what, permit)),
        RecordingMode::Strict | RecordingMode::BestEffort | RecordingMode::Off => None,
    }
}
