//! Replacing the key of a CA, step by step, so that everybody who trusts it has time to trust the next one.

use model::{Correlation, Entry, Fact};

use super::Desk;
use crate::Refusal;
use crate::command::{CaStep, RotateCa};
use crate::state::Beside;

impl Desk<'_> {
    pub(super) fn rotate(&self, rotate: &RotateCa) -> Result<Vec<Entry>, Refusal> {
        let RotateCa { ca, step, may_rotate, shown } = rotate;
        let ca = *ca;
        let identity = self.person("replace a key of the CA")?;
        // What a proxy passes on can never move what proxies are judged by.
        let may = *may_rotate && self.actor.through().is_none();
        self.allowed(may, &format!("replace the key of the {ca} CA"), "--action administer")?;
        // A stolen token alone must not close every server to its house.
        self.with_code(identity, *shown, &format!("to replace the key of the {ca} CA"))?;
        let known = self.state.ca_keys(ca);
        let wrong = |sentence: String, next: &str| {
            let run = format!("run: portcullis ca rotate {ca} {next}");
            Err(Refusal::new("wrong-step", sentence).with_hint(run.trim_end()))
        };
        let fact = match (step, known.map(|keys| (&keys.signs, &keys.beside))) {
            (CaStep::Stage { signs, .. }, Some((known, None))) if known != signs => {
                return wrong(format!("the ledger says that {known} signs for the {ca} CA, and not {signs}"), "");
            }
            (CaStep::Stage { key, signs }, None | Some((_, None))) => {
                if key == signs {
                    return wrong(format!("{key} is the key of the {ca} CA already"), "--stage");
                }
                Fact::CaStaged { ca, key: key.clone(), signs: signs.clone() }
            }
            (CaStep::Stage { .. }, Some((_, Some(Beside::Next(next))))) => {
                return wrong(format!("{next} is staged for the {ca} CA already"), "--activate, or --cancel");
            }
            (CaStep::Stage { .. }, Some((_, Some(Beside::Previous(previous))))) => {
                return wrong(format!("{previous}, from before, is still trusted for the {ca} CA"), "--retire");
            }
            (CaStep::Activate, Some((signs, Some(Beside::Next(next))))) => {
                Fact::CaActivated { ca, key: next.clone(), before: signs.clone() }
            }
            (CaStep::Retire, Some((_, Some(Beside::Previous(previous))))) => {
                Fact::CaRetired { ca, key: previous.clone() }
            }
            (CaStep::Retire, Some((_, Some(Beside::Next(next))))) => {
                return wrong(format!("{next} is staged for the {ca} CA and signs nothing yet"), "--activate");
            }
            (CaStep::Cancel, Some((signs, Some(Beside::Next(next))))) => {
                Fact::CaCancelled { ca, key: next.clone(), signs: signs.clone() }
            }
            (CaStep::Cancel, Some((signs, Some(Beside::Previous(previous))))) => {
                Fact::CaCancelled { ca, key: signs.clone(), signs: previous.clone() }
            }
            (CaStep::Activate, Some((signs, Some(Beside::Previous(_))))) => {
                return wrong(format!("{signs} signs for the {ca} CA already"), "--retire");
            }
            (CaStep::Activate | CaStep::Retire | CaStep::Cancel, None | Some((_, None))) => {
                return wrong(format!("no key is staged for the {ca} CA"), "--stage");
            }
        };
        Ok(vec![self.entry(Correlation::named("ca"), fact)])
    }
}
