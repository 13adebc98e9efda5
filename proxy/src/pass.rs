//! Who logged in with a plain key: only the CA knows whose it is. Its answer is a pass, which dies with the connection.

use std::net::IpAddr;
use std::sync::Arc;

use api::wire::{BuyPass, Presence};
use model::{IdentityName, Span};
use russh::server::VerifiedPublicKey;
use tracing::debug;
use zeroize::Zeroizing;

use crate::auth::{Person, Shown};
use crate::control::{Control, ControlError};
use crate::destination::Destination;
use crate::gate::Gate;
use crate::words::Words;

/// How long a connection that carries others may last when no certificate says it. What it carries ends with its grants.
const STAY: Span = Span::from_hours(24);

/// What a log-in bought: the CA's word who it is, and what they may do here. Given back when nobody needs it any more.
pub(crate) struct Pass {
    control: Arc<dyn Control>,
    token: Arc<Zeroizing<String>>,
    /// Whether a security key was touched.
    touch: bool,
    /// Whether its person has an authenticator.
    authenticator: bool,
    /// Whether a one-time code is to be asked for before they are in.
    wants_code: bool,
    /// Whether their answers to others' requests are passed on.
    reviews: bool,
}

/// Why nobody is known by a key.
#[derive(Clone, Debug)]
pub(crate) enum Unknown {
    /// The CA knows nobody with this key; the client may have another.
    Key,
    /// There is a reason, which the holder of the key may know.
    Because(Words),
}

impl Pass {
    pub(crate) const fn token(&self) -> &Arc<Zeroizing<String>> {
        &self.token
    }

    /// Whether a security key was touched for it.
    pub(crate) const fn touch(&self) -> bool {
        self.touch
    }

    /// Whether its person has an authenticator.
    pub(crate) const fn authenticator(&self) -> bool {
        self.authenticator
    }

    /// Whether a one-time code is to be asked for before they are in.
    pub(crate) const fn wants_code(&self) -> bool {
        self.wants_code
    }

    /// Whether their answers to others' requests are passed on.
    pub(crate) const fn reviews(&self) -> bool {
        self.reviews
    }
}

impl std::fmt::Debug for Pass {
    /// The token is a secret and never shown.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Pass").finish_non_exhaustive()
    }
}

impl Drop for Pass {
    fn drop(&mut self) {
        // Without a runtime the process is going down, and the pass dies of old age.
        let Ok(runtime) = tokio::runtime::Handle::try_current() else { return };
        let (control, token) = (self.control.clone(), self.token.clone());
        runtime.spawn(async move {
            if let Err(error) = control.end_pass(&token).await {
                debug!("a pass is not given back: {error}");
            }
        });
    }
}

/// Asks the CA whose key this is, for as long as a person may wait for it. A pass that comes too late is given back.
///
/// # Errors
/// Nobody's; or it cannot be found out now.
pub(crate) async fn buy(
    gate: &Arc<Gate>,
    user: &str,
    place: Option<&Destination>,
    key: VerifiedPublicKey<'_>,
    address: IpAddr,
) -> Result<Person, Unknown> {
    let busy = || {
        let words = Words::say("too many keys that nobody knows came from your address");
        Unknown::Because(
            words.hint("wait a minute, and have ssh offer the right one: ssh -i KEY -o IdentitiesOnly=yes"),
        )
    };
    let public_key = key.public_key.to_openssh().map_err(|_| Unknown::Key)?;
    let presence = Presence {
        user: user.to_owned(),
        session_id: hex::encode(key.proof.session_id),
        signature: hex::encode(key.proof.signature),
    };
    let (login, target) = place.map(|place| (place.login.to_string(), place.target.to_string())).unzip();
    let ask = BuyPass { public_key, address: address.to_string(), login, target, presence };
    let limit = gate.config.ca_timeout.to_std();
    // Who hangs up while they wait for a place gives theirs up.
    let Ok(place) = tokio::time::timeout(limit, gate.asking.clone().acquire_owned()).await else {
        let words = Words::say("too many keys are being asked about at once");
        return Err(Unknown::Because(words.hint("try again in a moment")));
    };
    let Some(counted) = gate.strangers.count(address) else { return Err(busy()) };
    let control = gate.control.clone();
    let call = tokio::spawn(async move {
        let _place = place;
        let bought = control.buy_pass(&ask).await?;
        let (token, touch) = (Arc::new(Zeroizing::new(bought.token)), bought.touch);
        let (authenticator, wants_code, reviews) = (bought.authenticator, bought.code, bought.reviews);
        let pass = Pass { control, token, touch, authenticator, wants_code, reviews };
        Ok((bought.identity, Arc::new(pass)))
    });
    let answer: Result<(IdentityName, Arc<Pass>), ControlError> = match tokio::time::timeout(limit, call).await {
        Ok(Ok(answer)) => answer,
        Ok(Err(_)) => Err(ControlError::Unavailable("the call was given up".to_owned())),
        Err(_) => Err(ControlError::Unavailable(format!("no answer within {}", gate.config.ca_timeout))),
    };
    match answer {
        Ok((identity, pass)) => {
            gate.strangers.give_back(&counted);
            let valid_before = gate.now().plus(STAY);
            Ok(Person { identity, shown: Shown::Key(pass), valid_before, grant: None })
        }
        Err(ControlError::Refused { code, .. }) if code == "unknown-key" => Err(Unknown::Key),
        Err(ControlError::Refused { code, sentence, hint }) => {
            if code != "too-many" {
                gate.strangers.give_back(&counted);
            }
            let words = Words::say(sentence);
            Err(Unknown::Because(match hint {
                Some(hint) => words.hint(hint),
                None => words,
            }))
        }
        Err(ControlError::Unavailable(why)) => {
            let words = Words::say(format!("whose key this is cannot be found out now: {why}"));
            Err(Unknown::Because(words.hint("try again in a moment")))
        }
    }
}
