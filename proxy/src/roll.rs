//! The roll: now and then the CA is told which sessions this proxy carries, so that it ends those that it counts as
//! live and that nobody carries. Such a one is left when the answer to an opening is lost: the CA has let somebody in,
//! and no proxy knows of it.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::wire::Recovered;
use tracing::{debug, warn};

use crate::control::ControlError;
use crate::gate::Gate;

/// Tells the roll for ever.
pub(crate) async fn call(gate: Arc<Gate>) {
    loop {
        tokio::time::sleep(gate.config.roll_call.to_std()).await;
        // A session leaves the registry behind its last report, so in this order none is missed.
        let mut live: BTreeSet<_> = gate.registry.ids().into_iter().collect();
        live.extend(gate.reporter.waiting());
        // From its opening on, a session may take so long to be entered here: the CA's answer, and a fresh feed.
        let spare = gate.config.ca_timeout.seconds().saturating_mul(2).saturating_add(gate.config.roll_call.seconds());
        let roll = Recovered { live: live.into_iter().collect(), spare, ..Recovered::default() };
        match gate.control.recovered(&roll).await {
            Ok(()) => {}
            Err(ControlError::Unavailable(why)) => debug!("the roll waits for the CA: {why}"),
            Err(ControlError::Refused { code, sentence, .. }) => warn!(code, "the CA refuses the roll: {sentence}"),
        }
    }
}
