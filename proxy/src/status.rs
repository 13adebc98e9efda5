//! Every few seconds the CA is told how this proxy does: how old its knowledge of revocations is, which host key it shows,
//! and which keys of the user CA it trusts. Who asks the CA sees a proxy that has not heard a revocation, or does not take
//! a new key up; and no key of the CA begins to sign for people whom a proxy would send away.

use std::sync::Arc;
use std::time::Duration;

use api::wire::TellProxyStatus;
use tracing::debug;

use crate::gate::Gate;

/// How often.
const EVERY: Duration = Duration::from_secs(5);

/// Tells it for ever.
pub(crate) async fn tell(gate: Arc<Gate>) {
    loop {
        let status = now(&gate);
        if let Err(why) = gate.control.tell_status(&status).await {
            debug!("how this proxy does is not told: {why}");
        }
        // What has changed with a key is told at once.
        tokio::select! {
            () = tokio::time::sleep(EVERY) => {}
            () = gate.hosts.key_changed() => {}
            () = gate.trusts_others.notified() => {}
        }
    }
}

fn now(gate: &Gate) -> TellProxyStatus {
    let millis = |span: Duration| u64::try_from(span.as_millis()).unwrap_or(u64::MAX);
    let (host_key, refused) = gate.hosts.key();
    let (host_key_error, at) = refused.unzip();
    TellProxyStatus {
        feed_age: gate.revocations.age().map(millis),
        feed_limit: millis(gate.config.feed_freshness.to_std()),
        host_key,
        host_key_error,
        host_key_refused: at.map(Into::into),
        user_ca: gate.authorities().fingerprints(),
    }
}
