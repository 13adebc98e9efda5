//! That a person is there: the proxy passes their own log-in on, and it is verified here once more. A proxy is not
//! taken at its word, because whoever has it in their hands has every certificate that was ever shown to it.

use access::Refusal;
use identity::Claim;
use model::{IdentityName, Presence, Seq, Serial, Subject, WayIn};
use ssh_key::Certificate;
use store::Query;

use super::engine::blocking;
use super::ledger::unreadable;
use super::open_session::Knock;
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
    pub(super) async fn present(
        &self,
        knock: &Knock,
        identity: &IdentityName,
        serial: Serial,
        certificate: &Certificate,
    ) -> Result<Presence, AppError> {
        let LogIn { user, session_id, signature } = &knock.log_in;
        let refuse = |why: &str| {
            tracing::warn!(%identity, %serial, why, "a proxy asked for a session without its person");
            Refusal::new("presence-refused", format!("nothing shows that {identity} is there: {why}"))
                .with_hint("connect again; if that does not help, tell those who run the proxy")
        };
        if !means(knock.way, user, &knock.login, &knock.target) {
            return Err(refuse("the log-in was for another login or target").into());
        }
        let claim = Claim { user, session_id, signature };
        let presence = identity::Presence::verify(&claim, certificate).map_err(|error| refuse(&error.to_string()))?;
        self.unspent(presence.sha256()).await?;
        Ok(Presence { sha256: presence.sha256().to_owned(), certificate: serial, touch: presence.touched() })
    }

    /// That no session was ever opened with this log-in. The decider asks the state, which knows the last few
    /// thousand sessions; the ledger knows them all.
    async fn unspent(&self, sha256: &str) -> Result<(), AppError> {
        let query = Query { subject: Some(Subject::from_text(format!("presence:{sha256}"))), ..Query::default() };
        let store = self.store();
        let found = blocking(move || store.find(&query, Seq(0), 1).map_err(|error| unreadable(&error))).await?;
        if found.is_empty() { Ok(()) } else { Err(Refusal::presence_spent().into()) }
    }
}

/// Whether a user name asks for this login on this target. Behind `-J` it is the login alone: the target is then what
/// the certificate's grant is for.
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
