//! The public halves, which anyone may read.

use model::{Actor, Authority, Fact, ProxyName, Seq};
use ssh_key::PublicKey;
use ssh_key::public::KeyData;
use store::Query;

use super::engine::blocking;
use super::ledger::unreadable;
use super::rotate::House;
use super::{App, AppError};

/// How many changes of the front CA's key are looked through. It has changed once or twice in a lifetime.
const CHANGES: usize = 10_000;

/// What everybody may know of the CA.
#[derive(Clone, Debug)]
pub struct PublicKeys {
    /// For `TrustedUserCAKeys`. This and the next two have a line for each key that is trusted, the one that signs first.
    pub user_ca: String,
    /// Signs what targets show to proxies.
    pub host_ca: String,
    /// Signs what proxies show to people: for their `@cert-authority` lines.
    pub front_ca: String,
    /// The ledger's key, as a signed-note verifier key.
    pub ledger_key: String,
    /// Name, host name and port of each proxy.
    pub proxies: Vec<(ProxyName, String, u16)>,
}

impl App {
    /// The public keys, and where the proxies are.
    ///
    /// # Errors
    /// A key that cannot be written, which is a fault of ours.
    pub async fn public_keys(&self) -> Result<PublicKeys, AppError> {
        let house = self.engine.read(|state, _| self.house(state)).await??;
        let proxies = self.settings.proxies.iter();
        Ok(PublicKeys {
            user_ca: trusted(&house, Authority::User)?,
            host_ca: trusted(&house, Authority::Host)?,
            front_ca: trusted(&house, Authority::Front)?,
            ledger_key: self.ledger_key(),
            proxies: proxies.map(|(name, at)| (name.clone(), at.host.to_string(), at.port)).collect(),
        })
    }

    /// Says in the ledger which key signs what proxies show to people, when it is another than the ledger knows: at the
    /// first start, and when an operator had a new one made.
    ///
    /// # Errors
    /// The ledger cannot be read, or does not take the fact.
    pub(crate) async fn enter_front_ca(&self) -> Result<(), AppError> {
        if self.engine.peek(|state, _| state.ca_keys(Authority::Front).is_some()) {
            // Replaced in the ledger, which knows it therefore.
            return Ok(());
        }
        let house = self.engine.peek(|state, _| self.house(state))?;
        let key = identity::fingerprint(house.signs(Authority::Front));
        let query = Query { kind: Some("front-ca.loaded".to_owned()), ..Query::default() };
        let store = self.store();
        let look = move || store.find(&query, Seq(0), CHANGES).map_err(|error| unreadable(&error));
        let known = blocking(look).await?.pop().map(|record| record.entry.fact);
        if let Some(Fact::FrontCaLoaded { key: known }) = known {
            if known == key {
                return Ok(());
            }
            tracing::warn!(%key, before = %known, "the front CA has another key: people run portcullis ssh-config --write again");
        }
        self.keep(&Actor::System, Fact::FrontCaLoaded { key }).await
    }

    /// The host CA's public keys, each in the OpenSSH one-line form.
    ///
    /// # Errors
    /// The ledger failed meanwhile, or one cannot be written, which is a fault of ours.
    pub async fn host_ca(&self) -> Result<String, AppError> {
        let mut house = self.engine.peek(|state, _| self.house(state))?;
        if house.trusted(Authority::Host).count() > 1 {
            // A key more than one is a fact, and told only once that is durable. Else no session waits for it.
            house = self.engine.read(|state, _| self.house(state)).await??;
        }
        trusted(&house, Authority::Host)
    }
}

fn trusted(house: &House, ca: Authority) -> Result<String, AppError> {
    let comment = format!("portcullis {ca}-ca");
    let lines: Result<Vec<_>, _> = house.trusted(ca).map(|key| line(key, &comment)).collect();
    Ok(lines?.join("\n"))
}

fn line(key: &KeyData, comment: &str) -> Result<String, AppError> {
    PublicKey::new(key.clone(), comment).to_openssh().map_err(|error| AppError::Internal(error.to_string()))
}
