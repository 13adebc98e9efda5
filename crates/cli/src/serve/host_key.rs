//! The proxy's host key, taken up anew when its file changes.

use std::time::Duration;

use ::proxy::{ControlError, HostKey};
use identity::{Candidate, Change, FileKey, Watched};

use crate::error::{CliError, chain};

/// How long to wait before the CA is asked again to certify a new key.
const AGAIN: Duration = Duration::from_secs(5);

/// The key in a file, which is followed from here on. It is unsealed: a proxy that starts by itself has no passphrase.
pub(super) fn open(path: &std::path::Path) -> Result<Watched<FileKey>, CliError> {
    let named = path.to_owned();
    let parse = move |text: &str| FileKey::parse(&named, text, || None).map_err(|error| chain(&error));
    Watched::open_secret(path, parse).map_err(|error| {
        CliError::configuration(
            format!("the proxy's host key: {}", chain(&error)),
            "portcullis init makes it; ssh-keygen -t ed25519 too",
        )
    })
}

/// Hands each good change on, for ever. What is no good key, or is none that the CA certifies, changes nothing and is said.
pub(super) async fn follow(watched: Watched<FileKey>, shown: HostKey) {
    let mut waiting: Option<Candidate<FileKey>> = None;
    loop {
        let changed = tokio::select! {
            changed = watched.changed() => Some(changed),
            () = tokio::time::sleep(AGAIN), if waiting.is_some() => None,
        };
        match changed {
            Some(Change::Loaded(candidate)) => waiting = Some(candidate),
            Some(Change::Refused { error, .. }) => {
                waiting = None;
                shown.refused(error);
            }
            None => {}
        }
        let Some(candidate) = waiting.take() else { continue };
        match shown.replace(candidate.value().private().clone()).await {
            Ok(()) => drop(watched.install(candidate)),
            Err(error @ ControlError::Refused { .. }) => shown.refused(format!("the CA does not certify it: {error}")),
            Err(ControlError::Unavailable(why)) => {
                tracing::warn!("a new host key waits for its certificate: {why}");
                waiting = Some(candidate);
            }
        }
    }
}
