//! The session token between two commands: a file for its owner alone, bound to the API and the name that bought it.

use api::wire::{LoginResponse, Time};
use identity::files::{self, Access};
use model::{Span, Timestamp};
use serde::{Deserialize, Serialize};
use zeroize::Zeroizing;

use crate::error::CliError;
use crate::home::Home;
use crate::profile::{Profile, unwritten};

/// A token that is about to die is not worth a call.
const MARGIN: Span = Span::from_seconds(10);

/// The file `token`.
#[derive(Serialize, Deserialize)]
pub(crate) struct StoredToken {
    api: String,
    subject: String,
    expires: Time,
    token: String,
}

impl StoredToken {
    /// The token for this profile, when there is one that lives. A file that cannot be read counts as none: the next
    /// login replaces it.
    pub(crate) fn read(home: &Home, profile: &Profile, now: Timestamp) -> Option<String> {
        let text: Zeroizing<String> = files::read_secret(&home.token()).ok()?;
        let stored: Self = serde_json::from_str(&text).ok()?;
        let ours = stored.api == profile.api() && stored.subject == profile.identity().to_string();
        (ours && stored.expires.0 > now.plus(MARGIN)).then_some(stored.token)
    }

    /// Keeps a token.
    pub(crate) fn write(home: &Home, profile: &Profile, answer: &LoginResponse) -> Result<(), CliError> {
        let stored = Self {
            api: profile.api().to_owned(),
            subject: profile.identity().to_string(),
            expires: answer.expires,
            token: answer.token.clone(),
        };
        let text = serde_json::to_string(&stored)
            .map(Zeroizing::new)
            .map_err(|error| CliError::failed(error, "report this: a token that is no JSON"))?;
        home.create()?;
        files::write_atomic(&home.token(), text.as_bytes(), Access::Private).map_err(unwritten)
    }

    /// Forgets the token; `false` when there was none.
    pub(crate) fn forget(home: &Home) -> Result<bool, CliError> {
        match std::fs::remove_file(home.token()) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(CliError::file("remove", &home.token(), &error)),
        }
    }
}

#[cfg(test)]
mod tests {
    use identity::Subject;

    use super::*;
    use crate::profile::KeySource;

    #[test]
    fn a_token_serves_the_api_and_the_name_that_bought_it_until_it_dies() {
        let directory = tempfile::tempdir().unwrap();
        let home = Home::find(Some(directory.path())).unwrap();
        let profile = |api: &str, name: &str| {
            let subject = Subject::Identity(name.parse().unwrap());
            Profile::new(api.to_owned(), home.root(), subject, KeySource::Agent("SHA256:x".to_owned()))
        };
        let alice = profile("https://a", "alice");
        let answer = LoginResponse { token: "secret".to_owned(), expires: Time(Timestamp::from_seconds(1000)) };
        StoredToken::write(&home, &alice, &answer).unwrap();

        let at = Timestamp::from_seconds;
        assert_eq!(StoredToken::read(&home, &alice, at(900)).as_deref(), Some("secret"));
        assert_eq!(StoredToken::read(&home, &alice, at(995)), None);
        assert_eq!(StoredToken::read(&home, &profile("https://b", "alice"), at(900)), None);
        assert_eq!(StoredToken::read(&home, &profile("https://a", "bob"), at(900)), None);
        assert!(StoredToken::forget(&home).unwrap() && !StoredToken::forget(&home).unwrap());
    }

    #[test]
    fn a_token_that_others_can_read_is_not_used() {
        use std::os::unix::fs::PermissionsExt as _;
        let directory = tempfile::tempdir().unwrap();
        let home = Home::find(Some(directory.path())).unwrap();
        let subject = Subject::Identity("alice".parse().unwrap());
        let profile =
            Profile::new("https://a".to_owned(), home.root(), subject, KeySource::Agent("SHA256:x".to_owned()));
        let answer = LoginResponse { token: "secret".to_owned(), expires: Time(Timestamp::from_seconds(1000)) };
        StoredToken::write(&home, &profile, &answer).unwrap();
        std::fs::set_permissions(home.token(), std::fs::Permissions::from_mode(0o644)).unwrap();
        assert_eq!(StoredToken::read(&home, &profile, Timestamp::from_seconds(1)), None);
    }
}
