//! Where a person wants to go, as they typed it.

use model::{Login, NameError, TargetName};

/// The one separator that every client and every URI form takes between login and target.
const SEPARATOR: char = '+';
/// The most bytes of a user name that are looked at.
const LIMIT: usize = Login::LIMIT + 1 + TargetName::LIMIT;

/// A login on a target.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Destination {
    /// As whom.
    pub(crate) login: Login,
    /// Where.
    pub(crate) target: TargetName,
}

/// What a user name at the front door asks for.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Asked {
    /// `root+web1`: a session on a target.
    Session(Destination),
    /// A name without a `+`: a jump host, whose own user name means nothing.
    Jump,
    /// A name that cannot be read.
    Nonsense(String),
}

impl Asked {
    /// Reads the user name of a connection at the front door.
    pub(crate) fn at_the_front(user: &str) -> Self {
        if user.len() > LIMIT {
            return Self::Nonsense(format!("the user name is {} bytes long; the limit is {LIMIT}", user.len()));
        }
        match user.split_once(SEPARATOR) {
            None => Self::Jump,
            Some((login, target)) => match Destination::read(login, target) {
                Ok(destination) => Self::Session(destination),
                Err(error) => Self::Nonsense(error.to_string()),
            },
        }
    }

    /// Reads the user name of a connection that ends inside, under the name of `target`.
    pub(crate) fn behind(user: &str, target: &TargetName) -> Self {
        match user.parse() {
            Ok(login) => Self::Session(Destination { login, target: target.clone() }),
            Err(error) => Self::Nonsense(NameError::to_string(&error)),
        }
    }
}

impl Destination {
    fn read(login: &str, target: &str) -> Result<Self, NameError> {
        Ok(Self { login: login.parse()?, target: read_target(target)? })
    }
}

/// Reads a target's name. Host names do not tell capitals from small letters, and clients pass on what was typed.
pub(crate) fn read_target(text: &str) -> Result<TargetName, NameError> {
    text.to_ascii_lowercase().parse()
}

impl std::fmt::Display for Destination {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}@{}", self.login, self.target)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_plus_separates_login_and_target() {
        for (user, shown) in [("root+web1", "root@web1"), ("deploy+DB.example.org", "deploy@db.example.org")] {
            let Asked::Session(destination) = Asked::at_the_front(user) else { panic!("{user}") };
            assert_eq!(destination.to_string(), shown);
        }
    }

    #[test]
    fn a_name_without_plus_is_a_jump() {
        for user in ["alice", "", "root", "alice@example.org", "root%web1"] {
            assert_eq!(Asked::at_the_front(user), Asked::Jump, "{user}");
        }
    }

    #[test]
    fn what_cannot_be_a_destination_is_said_to_be_none() {
        let long = format!("root+{}", "a".repeat(64 * 1024));
        for user in ["+web1", "root+", "root+we b1", "root+web%1", "root+web@1", "root+a+b", "root+\u{1b}[2J", &long] {
            let Asked::Nonsense(why) = Asked::at_the_front(user) else { panic!("{user:?}") };
            assert!(why.len() < 1024 && !why.contains('\u{1b}'), "{why}");
        }
        let web1 = "web1".parse().unwrap();
        assert!(matches!(Asked::behind("ro ot", &web1), Asked::Nonsense(_)));
    }

    proptest::proptest! {
        #[test]
        fn nothing_that_a_client_sends_makes_it_fall_over(user: String) {
            match Asked::at_the_front(&user) {
                Asked::Session(destination) => {
                    let back = format!("{}+{}", destination.login, destination.target);
                    proptest::prop_assert!(user.eq_ignore_ascii_case(&back));
                }
                Asked::Jump => proptest::prop_assert!(!user.contains('+')),
                Asked::Nonsense(_) => proptest::prop_assert!(user.contains('+') || user.len() > LIMIT),
            }
        }
    }
}
