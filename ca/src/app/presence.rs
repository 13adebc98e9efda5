//! That a person is there: the proxy passes their own log-in on, and it is verified here once more. A proxy is not
//! taken at its word, because whoever has it in their hands has every certificate that was ever shown to it.

use access::Refusal;
use identity::Claim;
use model::{IdentityName, Presence, Seq, Subject, WayIn};
use store::Query;

use super::engine::blocking;
use super::ledger::unreadable;
use super::open_session::{Knock, Shown};
use super::{App, AppError};

/// A person's log-in to the proxy, as the proxy tells it.
#[derive(Clone, Debug)]
pub struct LogIn {
    /// The user name.
    pub user: String,
    /// The connection's session identifier.
    pub session_id: Vec<u8>,
    /// The signature in its wire form.
    pub signature: Vec<u8>,
}

impl App {
    /// Verifies that the certificate's own key logged in, for the login and target that the proxy asks for, and that
    /// the log-in has opened nothing yet.
    ///
    /// # Errors
    /// A refusal that says what is wrong; or the ledger cannot be read.
    pub(super) async fn present(&self, knock: &Knock, shown: &Shown) -> Result<Presence, AppError> {
        let LogIn { user, session_id, signature } = &knock.log_in;
        let Shown { identity, serial, certificate, .. } = shown;
        meant_for(knock.way, user, &knock.login, &knock.target, identity)?;
        let claim = Claim { user, session_id, signature };
        let presence = identity::Presence::verify(&claim, identity::Shown::Certificate(certificate))
            .map_err(|error| absent(identity, &error.to_string()))?;
        self.unspent(presence.sha256()).await?;
        let sha256 = presence.sha256().to_owned();
        Ok(Presence { sha256, certificate: Some(*serial), key: None, touch: presence.touched(), totp: false })
    }

    /// That nothing was ever opened or bought with this log-in. The decider asks the state, which knows the last few
    /// thousand sessions; the ledger knows them all.
    pub(super) async fn unspent(&self, sha256: &str) -> Result<(), AppError> {
        self.nothing_by(sha256, None).await
    }

    /// That no session was ever opened with this log-in: it has bought a pass, and a pass opens one session.
    pub(super) async fn opened_nothing(&self, sha256: &str) -> Result<(), AppError> {
        self.nothing_by(sha256, Some("session.opened")).await
    }

    async fn nothing_by(&self, sha256: &str, kind: Option<&str>) -> Result<(), AppError> {
        let subject = Some(Subject::from_text(format!("presence:{sha256}")));
        let query = Query { subject, kind: kind.map(str::to_owned), ..Query::default() };
        let store = self.store();
        let found = blocking(move || store.find(&query, Seq(0), 1).map_err(|error| unreadable(&error))).await?;
        if found.is_empty() { Ok(()) } else { Err(Refusal::presence_spent().into()) }
    }
}

/// That nothing shows that somebody is there.
pub(super) fn absent(identity: &IdentityName, why: &str) -> Refusal {
    tracing::warn!(%identity, why, "a proxy asked for something without its person");
    Refusal::new("presence-refused", format!("nothing shows that {identity} is there: {why}"))
        .with_hint("connect again; if that does not help, tell those who run the proxy")
}

/// That the user name of a log-in asks for this login on this target.
///
/// # Errors
/// A refusal.
pub(super) fn meant_for(
    way: WayIn,
    user: &str,
    login: &str,
    target: &str,
    identity: &IdentityName,
) -> Result<(), Refusal> {
    let meant = means(way, user, login, target);
    if meant { Ok(()) } else { Err(absent(identity, "the log-in was for another login or target")) }
}

/// Whether a user name asks for this login on this target. Behind `-J` it is the login alone: the target is then what
/// the certificate's grant is for, or, with a plain key, what the proxy says.
fn means(way: WayIn, user: &str, login: &str, target: &str) -> bool {
    match way {
        WayIn::Jump => user == login,
        WayIn::Plus => user
            .split_once('+')
            .is_some_and(|(as_whom, where_to)| as_whom == login && where_to.eq_ignore_ascii_case(target)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_name_asks_for_one_login_on_one_target() {
        assert!(means(WayIn::Plus, "root+web1", "root", "web1") && means(WayIn::Plus, "root+WEB1", "root", "web1"));
        assert!(means(WayIn::Jump, "root", "root", "web1"));
        for user in ["root", "Root+web1", "root+web2", "root+", "+web1", "root+web1+", "root+web1 ", ""] {
            assert!(!means(WayIn::Plus, user, "root", "web1"), "{user}");
        }
        for user in ["root+web1", "Root", "admin", ""] {
            assert!(!means(WayIn::Jump, user, "root", "web1"), "{user}");
        }
    }
}
