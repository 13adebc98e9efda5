//! Annotations: the id of a policy, its description, and the obligations of a path.

use std::collections::BTreeSet;
use std::ops::Range;

use model::{CertificateExtension, Obligations, RecordingMode, SecondFactor};

use crate::{nearest, values};

/// The annotations that a permit for `request` may have; the first two are for every policy.
const KNOWN: [&str; 19] = [
    "id",
    "description",
    "max_duration",
    "approvals",
    "approvers",
    "recording",
    "record_input",
    "output_limit",
    "idle_limit",
    "extensions",
    "channels",
    "accept_env",
    "permit_open",
    "permit_listen",
    "upload",
    "download",
    "touch",
    "factor",
    "ticket",
];

/// What is wrong with an annotation, and what to write instead.
pub(crate) struct Wrong {
    pub(crate) part: Part,
    pub(crate) message: String,
    pub(crate) hint: Option<String>,
}

/// The part of an annotation that something is wrong with.
pub(crate) enum Part {
    Name,
    Value,
    /// These bytes of the value.
    Within(Range<usize>),
}

/// What an annotation is for.
pub(crate) enum Purpose {
    Id,
    Description,
    Obligation,
}

/// What the annotation of this name is for.
pub(crate) fn purpose(name: &str) -> Result<Purpose, Wrong> {
    match name {
        "id" => Ok(Purpose::Id),
        "description" => Ok(Purpose::Description),
        known if KNOWN.contains(&known) => Ok(Purpose::Obligation),
        unknown => {
            let hint = nearest::hint(unknown, KNOWN);
            let hint =
                hint.unwrap_or_else(|| format!("known are {}", KNOWN.map(|known| format!("@{known}")).join(", ")));
            let message = format!("there is no annotation @{unknown}");
            Err(Wrong { part: Part::Name, message, hint: Some(hint) })
        }
    }
}

/// Refuses an id that could not be named in a certificate or a command.
pub(crate) fn check_id(id: &str) -> Result<(), Wrong> {
    let good = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    if !id.is_empty() && id.len() <= 64 && id.chars().all(good) {
        return Ok(());
    }
    Err(values::wrong(format!("{id:?} cannot be an id"), "write 1 to 64 of a-z, A-Z, 0-9, '-', '_' and '.'"))
}

/// Refuses a description that would not read in a terminal as it reads here.
pub(crate) fn check_description(text: &str) -> Result<(), Wrong> {
    let hostile = |c: char| {
        c.is_control() || matches!(c, '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    if !text.trim().is_empty() && text.len() <= 256 && !text.chars().any(hostile) {
        return Ok(());
    }
    Err(values::wrong("this cannot be a description".to_owned(), "write one line of plain text of at most 256 bytes"))
}

/// Reads one obligation into `obligations`. `text` is `None` when the annotation has no value, as in `@touch`.
pub(crate) fn read(obligations: &mut Obligations, name: &str, text: Option<&str>) -> Result<(), Wrong> {
    match (name, text) {
        ("record_input", text) => obligations.record_input = values::flag(text)?,
        ("touch", text) => obligations.touch = values::flag(text)?,
        ("ticket", text) => obligations.ticket = values::flag(text)?,
        ("factor", Some(text)) => obligations.factor = Some(values::factor(text)?),
        ("max_duration", Some(text)) => obligations.max_duration = values::span(text)?,
        ("approvals", Some(text)) => obligations.approvals = values::approvals(text)?,
        ("approvers", Some(text)) => obligations.approvers = values::list(text, "a group")?,
        ("recording", Some(text)) => obligations.recording = values::recording(text)?,
        ("output_limit", Some(text)) => obligations.output_limit = values::bytes(text)?,
        ("idle_limit", Some("none")) => obligations.idle_limit = None,
        ("idle_limit", Some(text)) => obligations.idle_limit = Some(values::span(text)?),
        ("extensions", Some("none")) => obligations.extensions = BTreeSet::new(),
        ("extensions", Some(text)) => obligations.extensions = values::extensions(text)?,
        ("channels", Some(text)) => obligations.carriage.channels = values::list(text, "shell")?,
        ("accept_env", Some(text)) => obligations.carriage.accept_env = values::list_or_none(text, "a name")?,
        ("permit_open", Some(text)) => obligations.carriage.permit_open = values::list_or_none(text, "host:port")?,
        ("permit_listen", Some(text)) => obligations.carriage.permit_listen = values::list_or_none(text, "host:port")?,
        ("upload", Some(text)) => obligations.carriage.upload = values::list_or_none(text, "a path")?,
        ("download", Some(text)) => obligations.carriage.download = values::list_or_none(text, "a path")?,
        (other, Some(_)) => return purpose(other).map(|_| ()),
        (other, None) => {
            let message = format!("@{other} takes a value");
            let hint = Some(format!("write it as {}", example(other)));
            return Err(Wrong { part: Part::Name, message, hint });
        }
    }
    Ok(())
}

/// Refuses obligations that contradict each other: the annotation to point at, what is wrong, and a hint.
pub(crate) fn check(obligations: &Obligations) -> Result<(), (&'static str, String, &'static str)> {
    if obligations.approvals == 0 && !obligations.approvers.is_empty() {
        let message = "approvers are named, and no approval is asked for".to_owned();
        return Err(("approvers", message, "leave @approvers out, or ask for @approvals(\"1\")"));
    }
    if obligations.touch && obligations.factor == Some(SecondFactor::Any) {
        let message = "a touched security key is asked for, and would do for @factor(\"any\") as well".to_owned();
        return Err(("factor", message, "leave @factor out, or write @factor(\"totp\") to ask for both"));
    }
    if obligations.recording == RecordingMode::Off && obligations.record_input {
        let message = "what is typed shall be recorded, and nothing is recorded".to_owned();
        return Err(("record_input", message, "leave @record_input out, or write @recording(\"strict\")"));
    }
    check_carriage(obligations)
}

fn check_carriage(obligations: &Obligations) -> Result<(), (&'static str, String, &'static str)> {
    let carriage = &obligations.carriage;
    let forwarding = obligations.extensions.contains(&CertificateExtension::PortForwarding);
    if forwarding && !carriage.forwards() {
        let message = "forwarding is permitted, and no end of a forward is".to_owned();
        return Err(("extensions", message, "write @permit_open(\"db1:5432\") or @permit_listen(\"localhost:8080\")"));
    }
    if obligations.recording == RecordingMode::Only {
        let beside = [CertificateExtension::AgentForwarding, CertificateExtension::X11Forwarding];
        if carriage.forwards() || beside.iter().any(|extension| obligations.extensions.contains(extension)) {
            let message = "only what is recorded may pass, and a forward is not recorded".to_owned();
            return Err(("recording", message, "leave the forwards out, or write @recording(\"strict\")"));
        }
    }
    Ok(())
}

/// What follows from other obligations and is not written twice: sshd asks for the extension where a forward is
/// permitted.
pub(crate) fn complete(obligations: &mut Obligations) {
    if obligations.carriage.forwards() {
        obligations.extensions.insert(CertificateExtension::PortForwarding);
    }
}

/// How an annotation is written.
fn example(name: &str) -> &'static str {
    match name {
        "id" => "@id(\"engineers-prod\")",
        "description" => "@description(\"engineers get production\")",
        "max_duration" => "@max_duration(\"4h\")",
        "approvals" => "@approvals(\"1\")",
        "approvers" => "@approvers(\"sre\")",
        "recording" => "@recording(\"strict\")",
        "factor" => "@factor(\"any\")",
        "output_limit" => "@output_limit(\"1MiB\")",
        "idle_limit" => "@idle_limit(\"15m\")",
        "channels" => "@channels(\"shell, exec, subsystem:sftp\")",
        "accept_env" => "@accept_env(\"LANG, LC_*\")",
        "permit_open" => "@permit_open(\"db1:5432\")",
        "permit_listen" => "@permit_listen(\"localhost:8080\")",
        "upload" => "@upload(\"/srv/www/**\")",
        "download" => "@download(\"/var/log/**\")",
        _ => "@extensions(\"permit-pty\")",
    }
}
