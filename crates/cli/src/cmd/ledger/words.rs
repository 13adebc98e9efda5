//! What a fact says, in words: one sentence whose subject is the actor that stands in front of it.

use model::{ChannelEnd, ChannelKind, ExitReport, Fact, GrantEnd, RecordingStatus, RequestSpec, Verdict};

use crate::words::{bytes, clock, count, listed, short};

/// What happened, as a sentence behind its actor: "asks for root@web1 for 30m: deploy 4.2".
pub(super) fn sentence(fact: &Fact) -> String {
    match fact {
        Fact::LedgerOpened { origin, .. } => format!("opens the ledger {origin}"),
        Fact::SystemStarted { version } => format!("starts, version {version}"),
        Fact::FrontCaLoaded { key } => format!("takes up the front CA {key}"),
        Fact::CaStaged { ca, key, .. } => format!("has {key} trusted as the next key of the {ca} CA"),
        Fact::CaActivated { ca, key, before } => format!("has {key} sign for the {ca} CA, in the place of {before}"),
        Fact::CaRetired { ca, key } => format!("retires {key}: it is no key of the {ca} CA any more"),
        Fact::CaCancelled { ca, key, signs } => format!("gives {key} up: {signs} signs for the {ca} CA"),
        Fact::SystemStopped {} => "stops in order".to_owned(),
        Fact::PolicyLoaded { sha256, policies } => {
            format!("loads the policy {}: {policies} policies", brief(sha256))
        }
        Fact::PolicyRefused { sha256, error } => {
            format!("refuses the policy {}, and keeps the old one: {}", brief(sha256), first_line(error))
        }
        Fact::DirectoryLoaded { sha256, identities, targets } => {
            format!("loads the directory {}: {identities} identities, {targets} targets", brief(sha256))
        }
        Fact::DirectoryRefused { sha256, error } => {
            format!("refuses the directory {}, and keeps the old one: {}", brief(sha256), first_line(error))
        }
        Fact::TargetRegistered { target, host_keys } => {
            format!("registers the target {target} with {}", count(host_keys.len(), "pinned host key"))
        }
        Fact::TargetRemoved { target } => format!("takes the target {target} out of the directory"),
        Fact::TargetKeyMade { target, key, .. } => format!("makes the key of the target {target}: {key}"),
        Fact::TargetKeyDestroyed { target, key } => format!("destroys the key of the target {target}: {key}"),
        Fact::TargetKeyUsed { session, target, login, .. } => {
            format!("signs the log-in of {session} as {login}@{target} with the key of that target")
        }
        Fact::IdentityLoggedIn { address, touch, presence, .. } => {
            let touched = if *touch { ", a security key touched" } else { "" };
            let by = match presence.as_ref().map(|presence| presence.certificate) {
                Some(Some(_)) => " by certificate",
                Some(None) => " by plain key",
                None => "",
            };
            format!("logs in{by} from {address}{touched}")
        }
        Fact::IdentityLoginRefused { identity, reason, address } => {
            format!("refuses the login of {identity} from {address}: {reason}")
        }
        Fact::FactorAdded { identity, factor, .. } => format!("adds the authenticator {factor} of {identity}"),
        Fact::FactorRemoved { identity, factor, reason } => {
            format!("removes the authenticator {factor} of {identity}{}", behind(reason.as_ref()))
        }
        Fact::FactorUsed { factor, address, .. } => format!("gives a one-time code of {factor} from {address}"),
        Fact::FactorRefused { identity, reason, address } => {
            format!("gives a one-time code of {identity}'s from {address}, and it is refused: {reason}")
        }
        Fact::RequestFiled { spec, .. } => format!("asks for {}", wish(spec)),
        Fact::RequestRefused { spec, reason } => format!("is refused {}, because {reason}", wish(spec)),
        Fact::RequestReviewed { verdict, comment, .. } => {
            let verdict = match verdict {
                Verdict::Approve { duration: Some(duration) } => format!("approves for {duration}"),
                Verdict::Approve { duration: None } => "approves".to_owned(),
                Verdict::Deny => "denies".to_owned(),
            };
            format!("{verdict}{}", behind(comment.as_ref()))
        }
        Fact::ReviewWithdrawn { .. } => "takes the own review back".to_owned(),
        Fact::RequestApproved { path, approvers, starts, ends, .. } => {
            let by = match approvers.is_empty() {
                true => "which needs nobody".to_owned(),
                false => format!("approved by {}", listed(approvers)),
            };
            let (starts, ends) = (clock(*starts), clock(*ends));
            format!("makes it a grant, {by} (path {}): {starts} until {ends}", path.policy)
        }
        Fact::RequestDenied { .. } => "ends the request by that denial".to_owned(),
        Fact::RequestCancelled { .. } => "cancels the own request".to_owned(),
        Fact::RequestExpired { .. } => "lets the request expire: nobody decided in time".to_owned(),
        Fact::GrantActivated { .. } => "begins the grant".to_owned(),
        Fact::GrantExtended { by, from, to, .. } => {
            format!("extends the grant by {by}: until {} instead of {}", clock(*to), clock(*from))
        }
        Fact::GrantEnded { end, reason, .. } => {
            let how = match end {
                GrantEnd::Expired => "ends the grant: its time was up",
                GrantEnd::Revoked => "revokes the grant",
                GrantEnd::Released => "releases the own grant",
            };
            format!("{how}{}", behind(reason.as_ref()))
        }
        Fact::CertificateIntended { certificate, .. } => format!(
            "is about to sign the {} certificate {} for {}, until {}",
            certificate.profile,
            certificate.serial,
            listed(&certificate.principals),
            clock(certificate.valid_before)
        ),
        Fact::CertificateIssued { serial, .. } => format!("hands the certificate {serial} out"),
        Fact::CertificateFailed { serial, error } => format!("does not hand the certificate {serial} out: {error}"),
        Fact::SessionOpened { session, identity, target, login, address, proxy, .. } => {
            format!("opens {session} through {proxy}: {identity} from {address} as {login}@{target}")
        }
        Fact::SessionRefused { identity, target, login, address, reason } => {
            format!("refuses {identity} from {address} a session as {login}@{target}: {reason}")
        }
        Fact::SessionCut { session, reason } => format!("orders {session} to be cut: {reason}"),
        Fact::SessionEnded { session, end, .. } => format!("ends {session}: {end}"),
        Fact::ChannelOpened { session, channel, channel_kind, pty } => {
            let terminal = if pty.is_some() { " with a terminal" } else { "" };
            format!("opens channel {channel} of {session}: {}{terminal}", carried(channel_kind))
        }
        Fact::ChannelRefused { session, asked, reason } => format!("refuses {asked} in {session}: {reason}"),
        Fact::ChannelClosed { session, channel, end } => {
            format!("closes channel {channel} of {session}: {}", passed(end))
        }
        Fact::RecordingStarted { recording, session, channel } => {
            format!("begins {recording} of channel {channel} of {session}")
        }
        Fact::RecordingClosed { recording, closed, .. } => {
            let whole = match closed.status {
                RecordingStatus::Complete => "complete",
                RecordingStatus::Truncated => "truncated at the policy's limit",
                RecordingStatus::Recovered => "recovered after a crash",
            };
            let length = short(closed.milliseconds.div_ceil(1000));
            format!("closes {recording}: {length}, {}, {whole}, sha256 {}", bytes(closed.bytes), brief(&closed.sha256))
        }
        Fact::RecordingFailed { recording, error, .. } => format!("cannot write {recording}: {error}"),
        Fact::RecordingReplayed { recording, .. } => format!("reads {recording}"),
        Fact::LockPlaced { lock } => {
            let until = lock.until.map(|until| format!(" until {}", clock(until))).unwrap_or_default();
            format!("locks {}{until}: {}", lock.subject, lock.reason)
        }
        Fact::LockLifted { lock, reason } => format!("lifts {lock}{}", behind(reason.as_ref())),
    }
}

/// What somebody asks for.
fn wish(spec: &RequestSpec) -> String {
    let what = match &spec.extends {
        Some(grant) => format!("{} more of {grant} ({}@{})", spec.duration, spec.login, spec.target),
        None => format!("{}@{} for {}", spec.login, spec.target, spec.duration),
    };
    let command = spec.command.as_ref().map(|command| format!(" to run {command:?}")).unwrap_or_default();
    let start = spec.start.map(|start| format!(" from {}", clock(start))).unwrap_or_default();
    let ticket = spec.ticket.as_ref().map(|ticket| format!(" ({ticket})")).unwrap_or_default();
    format!("{what}{command}{start}{ticket}: {}", spec.reason)
}

fn carried(kind: &ChannelKind) -> String {
    match kind {
        ChannelKind::Shell => "a shell".to_owned(),
        ChannelKind::Exec { command } => format!("the command {command:?}"),
        ChannelKind::Subsystem { name } => name.clone(),
        ChannelKind::Forward(forward) => forward.to_string(),
    }
}

fn passed(end: &ChannelEnd) -> String {
    let exit = match &end.exit {
        Some(ExitReport::Status(status)) => format!(", exit status {status}"),
        Some(ExitReport::Signal(signal)) => format!(", ended by SIG{signal}"),
        None => String::new(),
    };
    let by = end.closed_by.map(|by| format!(", by {by}")).unwrap_or_default();
    format!("{} in, {} out{exit}{by}", bytes(end.bytes_in), bytes(end.bytes_out))
}

fn behind(text: Option<&String>) -> String {
    text.map(|text| format!(": {text}")).unwrap_or_default()
}

/// Enough of a digest to tell it from another.
fn brief(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

fn first_line(text: &str) -> &str {
    text.lines().next().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use model::{ClosedBy, Forward, Lock, Timestamp};

    use super::*;

    #[test]
    fn a_fact_reads_as_a_sentence() {
        let spec = RequestSpec {
            identity: "alice".parse().unwrap(),
            target: "web1".parse().unwrap(),
            login: "root".parse().unwrap(),
            duration: "30m".parse().unwrap(),
            reason: "deploy 4.2".parse().unwrap(),
            ticket: Some("OPS-7".to_owned()),
            command: Some("uptime".to_owned()),
            start: None,
            extends: None,
        };
        let refused = Fact::RequestRefused { spec, reason: "policy says no".to_owned() };
        assert_eq!(
            sentence(&refused),
            "is refused root@web1 for 30m to run \"uptime\" (OPS-7): deploy 4.2, because policy says no"
        );
        let lock = Lock {
            id: "lock-000000000000".parse().unwrap(),
            subject: "identity:alice".parse().unwrap(),
            reason: "laptop stolen".to_owned(),
            until: Some(Timestamp::from_seconds(0)),
        };
        assert_eq!(
            sentence(&Fact::LockPlaced { lock }),
            "locks identity:alice until 1970-01-01T00:00:00Z: laptop stolen"
        );
        let end = ChannelEnd { bytes_in: 5, bytes_out: 2048, exit: Some(ExitReport::Status(1)), closed_by: None };
        let closed = Fact::ChannelClosed { session: "ses-000000000000".parse().unwrap(), channel: 0, end };
        assert_eq!(sentence(&closed), "closes channel 0 of ses-000000000000: 5 B in, 2.0 KiB out, exit status 1");
        let forward = Forward::Direct { to: "db1:5432".to_owned(), from: Some("127.0.0.1:40000".to_owned()) };
        let opened = Fact::ChannelOpened {
            session: "ses-000000000000".parse().unwrap(),
            channel: 1,
            channel_kind: ChannelKind::Forward(forward),
            pty: None,
        };
        assert_eq!(sentence(&opened), "opens channel 1 of ses-000000000000: a connection to db1:5432");
        let end = ChannelEnd { bytes_in: 5, closed_by: Some(ClosedBy::Person), ..ChannelEnd::default() };
        let closed = Fact::ChannelClosed { session: "ses-000000000000".parse().unwrap(), channel: 1, end };
        assert_eq!(sentence(&closed), "closes channel 1 of ses-000000000000: 5 B in, 0 B out, by the person");
    }
}
