//! Which commands are the old scp, and nothing else.

/// A command that starts the remote end of the old scp and does nothing besides.
///
/// A login shell reads the command, so what merely begins like scp can do anything: `scp -t x; bash` is a shell. Only
/// the exact words that scp's clients send are taken for scp: the word `scp`, known flags of one letter, and one path
/// that means the same to every shell, either plain or in single quotes. Whatever else there is (wildcards, `$`, a
/// second path, a program's full path, an assignment in front) is some command, to be judged as one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScpCommand {
    /// Whether the target receives (`-t`); otherwise it sends (`-f`).
    pub(super) upload: bool,
    /// Whether the path must be a directory (`-d`).
    pub(super) directory: bool,
    /// The path as it was given. What began with `~/` begins in the person's home, as relative paths do.
    pub(super) path: Vec<u8>,
}

impl ScpCommand {
    /// Reads a command as it stands in an exec request; `None` if it is anything else than the old scp.
    #[must_use]
    pub fn parse(command: &[u8]) -> Option<Self> {
        let mut rest = std::str::from_utf8(command).ok()?.strip_prefix("scp ")?;
        let (mut receive, mut send, mut directory, mut dashes) = (false, false, false, false);
        while !dashes && rest.starts_with('-') {
            let (flags, after) = rest.split_once(' ')?;
            rest = after;
            if flags == "--" {
                dashes = true;
                continue;
            }
            let flags = flags.strip_prefix('-').filter(|flags| !flags.is_empty())?;
            for flag in flags.chars() {
                match flag {
                    't' => receive = true,
                    'f' => send = true,
                    'd' => directory = true,
                    // Recursive, with times, talkative, silent: what comes of them is seen in the stream.
                    'r' | 'p' | 'v' | 'q' => {}
                    _ => return None,
                }
            }
        }
        if receive == send {
            return None;
        }
        let path = match rest.strip_prefix('\'') {
            Some(quoted) => quoted
                .strip_suffix('\'')
                .filter(|path| path.chars().all(is_literal))
                // The shell takes the quotes away, and scp takes what is left for a flag.
                .filter(|path| dashes || !path.starts_with('-'))?,
            None => {
                let path = if matches!(rest, "~" | "~/") { "." } else { rest.strip_prefix("~/").unwrap_or(rest) };
                // Behind the home, a second slash would begin at the root.
                let path = if rest.starts_with("~/") { path.trim_start_matches('/') } else { path };
                path.chars().all(is_plain).then_some(path)?
            }
        };
        let path = if path.is_empty() && rest.starts_with("~/") { "." } else { path };
        if path.is_empty() {
            return None;
        }
        Some(Self { upload: receive, directory, path: path.as_bytes().to_vec() })
    }

    /// Whether the target receives.
    #[must_use]
    pub const fn is_upload(&self) -> bool {
        self.upload
    }
}

/// Whether a character outside of quotes means itself to every shell.
fn is_plain(c: char) -> bool {
    c.is_alphanumeric() || matches!(c, '/' | '.' | '_' | '-' | '+' | ',' | ':' | '@' | '%')
}

/// Whether a character in single quotes means itself to every shell; fish has an opinion about backslashes, and csh
/// about exclamation marks.
fn is_literal(c: char) -> bool {
    !c.is_control() && !matches!(c, '\'' | '\\' | '!')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_clients_send_is_scp() {
        for (command, upload, path) in [
            ("scp -t /tmp/x", true, "/tmp/x"),
            ("scp -f /tmp/x", false, "/tmp/x"),
            ("scp -v -r -p -d -t .", true, "."),
            ("scp -qrpt files", true, "files"),
            ("scp -p -f -- -odd", false, "-odd"),
            ("scp -t ~/x", true, "x"),
            ("scp -t ~//etc/x", true, "etc/x"),
            ("scp -t ~", true, "."),
            ("scp -t ~/", true, "."),
            ("scp -f 'two words; $(ok) *'", false, "two words; $(ok) *"),
            ("scp -f /tmp/größe", false, "/tmp/größe"),
            ("scp -t ../a", true, "../a"),
        ] {
            let read = ScpCommand::parse(command.as_bytes()).unwrap_or_else(|| panic!("{command}"));
            assert_eq!((read.upload, String::from_utf8(read.path).unwrap().as_str()), (upload, path), "{command}");
        }
    }

    #[test]
    fn what_only_begins_like_scp_is_not() {
        for command in [
            "scp -t x; bash",
            "scp -t x;bash",
            "scp -t x\nbash",
            "scp -t x&",
            "scp -t x|sh",
            "scp -t `sh`",
            "scp -t $(sh)",
            "scp -t $HOME",
            "scp -t x>y",
            "scp -t x<y",
            "scp -f *.txt",
            "scp -f a?",
            "scp -f [ab]",
            "scp -f {a,b}",
            "scp -t ~root/x",
            "scp -t x y",
            "scp -t x ",
            "scp  -t x",
            " scp -t x",
            "scp\t-t x",
            "scp -t",
            "scp -t ",
            "scp -t --",
            "scp x",
            "scp -t -f x",
            "scp -tf x",
            "scp -S /bin/sh -t x",
            "scp -o ProxyCommand=sh -t x",
            "scp -oProxyCommand=sh x y",
            "scp -t -o",
            "scp - -t x",
            "scp -t 'x'; bash",
            "scp -t '-oX'",
            "scp -f '-S/tmp/x'",
            "scp -t 'x'y",
            "scp -t 'x' 'y'",
            "scp -t 'x\\'y'",
            "scp -t 'x!y'",
            "scp -t 'x\ny'",
            "scp -t \"x\"",
            "scp -t 'x",
            "scp -t ''",
            "scp -t x\\ y",
            "scp -t #x",
            "scp -t =ls",
            "scp -t x^y",
            "scp -t !x",
            "scp -t a\u{a0}b",
            "/usr/bin/scp -t x",
            "PATH=. scp -t x",
            "sudo scp -t x",
            "scpx -t x",
            "scp",
            "",
        ] {
            assert_eq!(ScpCommand::parse(command.as_bytes()), None, "{command:?}");
        }
        assert_eq!(ScpCommand::parse(b"scp -t \xff"), None);
        assert_eq!(ScpCommand::parse(b"scp -t x\0y"), None);
    }

    proptest::proptest! {
        #[test]
        fn no_path_with_anything_for_a_shell_in_it_is_taken(path in "[ -~]{1,12}") {
            let plain = path.chars().all(|c| c.is_ascii_alphanumeric() || "/._-+,:@%~".contains(c));
            let quoted = path.starts_with('\'') && path.ends_with('\'');
            if let Some(command) = ScpCommand::parse(format!("scp -t {path}").as_bytes()) {
                proptest::prop_assert!(plain || quoted || path.starts_with('-'));
                proptest::prop_assert!(!command.path.contains(&b'\''));
            }
        }
    }
}
