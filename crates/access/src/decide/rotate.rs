//! Replacing the key of a CA, step by step, so that everybody who trusts it has time to trust the next one.

use std::collections::BTreeSet;

use model::{Authority, Correlation, Entry, Fact};

use super::Desk;
use crate::Refusal;
use crate::command::{CaStep, RotateCa};
use crate::state::{Beside, LastCertificate};

/// How many names a refusal has.
const NAMED: usize = 5;

impl Desk<'_> {
    pub(super) fn rotate(&self, rotate: &RotateCa) -> Result<Vec<Entry>, Refusal> {
        let RotateCa { ca, step, may_rotate, shown, .. } = rotate;
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
                rotate.means(next, "begin to sign")?;
                rotate.learnt(next)?;
                Fact::CaActivated { ca, key: next.clone(), before: signs.clone() }
            }
            (CaStep::Retire, Some((_, Some(Beside::Previous(previous))))) => {
                rotate.means(previous, "be trusted no more")?;
                self.unused(rotate, previous)?;
                Fact::CaRetired { ca, key: previous.clone() }
            }
            (CaStep::Retire, Some((_, Some(Beside::Next(next))))) => {
                return wrong(format!("{next} is staged for the {ca} CA and signs nothing yet"), "--activate");
            }
            (CaStep::Cancel, Some((signs, Some(Beside::Next(next))))) => {
                rotate.means(next, "be given up")?;
                Fact::CaCancelled { ca, key: next.clone(), signs: signs.clone() }
            }
            (CaStep::Cancel, Some((signs, Some(Beside::Previous(previous))))) => {
                rotate.means(signs, "be given up")?;
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

    /// Refuses to have a key trusted no more by whose certificates somebody still gets in, or is believed.
    fn unused(&self, rotate: &RotateCa, previous: &str) -> Result<(), Refusal> {
        if rotate.force {
            return Ok(());
        }
        let good = |last: Option<&LastCertificate>| last.filter(|last| last.is_good(previous, self.now)).cloned();
        let held: Vec<(String, LastCertificate)> = match rotate.ca {
            // Of a grant that goes on, under which nothing was fetched since.
            Authority::User => {
                let held = self.state.grants().map(|(request, grant)| {
                    good(grant.certificate.as_ref()).map(|last| (request.spec.identity.to_string(), last))
                });
                held.flatten().collect()
            }
            Authority::Host => {
                let left = rotate.left.iter();
                left.filter_map(|name| Some((name.to_string(), good(self.state.host_certificate(name))?))).collect()
            }
            // Proxies show the next key's by themselves, and people trust both keys.
            Authority::Front => Vec::new(),
        };
        let Some(until) = held.iter().map(|(_, last)| last.valid_before).max() else { return Ok(()) };
        let whose: BTreeSet<String> = held.into_iter().map(|(whose, _)| whose).collect();
        let sentence = format!(
            "{previous} has signed what is still in use, until {} at the latest: by {}",
            until.to_second(),
            some(whose.into_iter())
        );
        let hint = match rotate.ca {
            Authority::User => {
                "wait until then, or have them fetch new ones (portcullis cert LOGIN@TARGET); --force shuts them out"
            }
            Authority::Host | Authority::Front => {
                "enrol them again: portcullis target enrol NAME --apply USER@HOST; --force leaves them out of reach"
            }
        };
        Err(Refusal::new("old-key-in-use", sentence).with_hint(hint))
    }
}

impl RotateCa {
    /// Refuses a step that would be about another key than its actor means.
    fn means(&self, key: &str, what: &str) -> Result<(), Refusal> {
        let Some(meant) = self.key.as_deref().filter(|meant| *meant != key) else { return Ok(()) };
        let sentence = format!("{key} would {what}, and not {meant}");
        let hint = format!("look how it stands: portcullis ca rotate {}", self.ca);
        Err(Refusal::new("another-key", sentence).with_hint(hint))
    }

    /// Refuses to have a key sign for people that a proxy would send away.
    fn learnt(&self, next: &str) -> Result<(), Refusal> {
        if self.force || self.behind.is_empty() {
            return Ok(());
        }
        let names = some(self.behind.iter().map(ToString::to_string));
        let sentence =
            format!("{next} is not trusted yet by {names}: people with its certificates would be refused there");
        let hint = "try again in a few seconds (portcullis status shows how proxies do), or leave them behind: --force";
        Err(Refusal::new("proxies-behind", sentence).with_hint(hint))
    }
}

fn some(names: impl ExactSizeIterator<Item = String>) -> String {
    let more = names.len().saturating_sub(NAMED);
    let listed = names.take(NAMED).collect::<Vec<_>>().join(", ");
    if more == 0 { listed } else { format!("{listed} and {more} more") }
}
