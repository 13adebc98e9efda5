//! Which files a grant lets pass, and in which words it refuses the others.
//!
//! A path is judged by its text, as far as that says where it leads: where not everything is allowed, one that does not
//! begin at the root, or goes up again behind a name, is refused. Whatever gives a file another name (a link, a rename)
//! must not make of it what it is not under its first name.

use model::{Below, Carriage, PathPattern, PathRule};
use sftp::{Action, Judge, Look, RemotePath, Verdict};

/// So many patterns are named in a refusal.
const NAMED: usize = 4;

/// What of files may pass.
#[derive(Debug)]
pub(super) struct Rules {
    upload: Rule,
    download: Rule,
    /// The target's links mean what OpenSSH's do.
    openssh: bool,
}

/// One direction.
#[derive(Debug)]
struct Rule {
    paths: PathRule,
    patterns: Vec<String>,
}

impl Rules {
    /// What a path of the policy says.
    ///
    /// # Errors
    /// Its patterns together are beyond what can be prepared.
    pub(super) fn new(carriage: &Carriage, openssh: bool) -> Result<Self, String> {
        let rule = |patterns| {
            let paths = PathRule::new(patterns).map_err(|error| error.to_string())?;
            Ok::<_, String>(Rule { paths, patterns: patterns.iter().map(PathPattern::to_string).collect() })
        };
        Ok(Self { upload: rule(&carriage.upload)?, download: rule(&carriage.download)?, openssh })
    }

    fn judge(&self, action: &Action) -> Result<(), String> {
        let Self { upload, download, openssh } = self;
        match action {
            Action::Open { mode, .. } => action.paths().try_for_each(|path| {
                if mode.changes() {
                    upload.wants(path, "uploaded")?;
                }
                if mode.read || !mode.changes() { download.wants(path, "downloaded") } else { Ok(()) }
            }),
            // The names in a folder are of those who may read what is in it.
            Action::List { path, .. } => download.wants(path, "listed or downloaded"),
            // The draft has the two paths the other way round, and a server that follows it would make another link than
            // the one that was judged.
            Action::Symlink { .. } if !(*openssh || upload.paths.covers_all() && download.paths.covers_all()) => {
                Err("a link can only be judged where the server is OpenSSH's, and the grant lets not all files pass"
                    .to_owned())
            }
            Action::Rename { path, to }
            | Action::PosixRename { path, to }
            | Action::Symlink { path, to }
            | Action::Hardlink { path, to } => {
                upload.wants(path, "changed or uploaded")?;
                upload.wants(to, "changed or uploaded")?;
                upload.keeps(path, to, "changed or uploaded")?;
                download.keeps(path, to, "downloaded")
            }
            // Both were judged when they were opened; a handle is worth no more than that.
            Action::CopyData { path, to, .. } => {
                download.wants(path, "downloaded")?;
                upload.wants(to, "uploaded")
            }
            Action::Remove { .. } | Action::Rmdir { .. } | Action::Mkdir { .. } | Action::Setstat { .. } => {
                action.paths().try_for_each(|path| upload.wants(path, "changed or uploaded"))
            }
            // No client begins without, and it tells a name and whether it is there.
            Action::Look { how: Look::Realpath | Look::ExpandPath, .. } => Ok(()),
            Action::Look { path, how: Look::Stat | Look::Lstat | Look::Fstat | Look::Statvfs | Look::Fstatvfs }
            | Action::Readlink { path } => self.seen(path),
            // Nothing of these is asked: they go through a handle that was judged, or go nowhere.
            Action::Close { .. }
            | Action::Fsync { .. }
            | Action::BadHandle { .. }
            | Action::Extended { .. }
            | Action::Unknown { .. } => Ok(()),
        }
    }

    /// Whoever may move a file either way may look at it, and at the folders on the way to it: clients do, before they
    /// write anything.
    fn seen(&self, path: &RemotePath) -> Result<(), String> {
        let rules = [&self.upload, &self.download];
        if rules.iter().any(|rule| rule.paths.covers_all()) {
            return Ok(());
        }
        let near = |rule: &&Rule| rule.covers(path) || rule.below(path) != Below::Nothing;
        if is_plain(path) && rules.iter().any(near) {
            return Ok(());
        }
        let mut patterns: Vec<&str> = rules.iter().flat_map(|rule| &rule.patterns).map(String::as_str).collect();
        patterns.sort_unstable();
        patterns.dedup();
        Err(format!("{}{}", advice(path), limit("seen", &patterns)))
    }
}

impl Judge for Rules {
    fn allow(&mut self, action: &Action) -> Verdict {
        self.judge(action).map_or_else(Verdict::Refuse, |()| Verdict::Allow)
    }
}

impl Rule {
    /// That the path is covered.
    fn wants(&self, path: &RemotePath, done: &str) -> Result<(), String> {
        if self.paths.covers_all() || self.covers(path) {
            return Ok(());
        }
        // Where nothing is allowed, no way of writing it helps.
        let advice = if self.patterns.is_empty() { "" } else { advice(path) };
        Err(format!("{advice}{}", self.limit(done)))
    }

    /// That something, and everything in it, is not covered under another name when it is not under this.
    fn keeps(&self, path: &RemotePath, to: &RemotePath, done: &str) -> Result<(), String> {
        if self.paths.covers_all() || self.patterns.is_empty() {
            return Ok(());
        }
        let gains = !is_plain(to)
            || (self.covers(to) && !self.covers(path))
            || (self.below(to) != Below::Nothing && self.below(path) != Below::All);
        if gains { Err(format!("that would make more of it: {}", self.limit(done))) } else { Ok(()) }
    }

    fn covers(&self, path: &RemotePath) -> bool {
        is_plain(path) && self.paths.covers(path.as_bytes())
    }

    fn below(&self, path: &RemotePath) -> Below {
        if is_plain(path) { self.paths.below(path.as_bytes()) } else { Below::Nothing }
    }

    fn limit(&self, done: &str) -> String {
        limit(done, &self.patterns.iter().map(String::as_str).collect::<Vec<_>>())
    }
}

/// Whether a path's text says where it leads, links aside that were there before.
fn is_plain(path: &RemotePath) -> bool {
    path.is_absolute() && !path.winds()
}

/// What to do about a path that is not.
fn advice(path: &RemotePath) -> &'static str {
    if !path.is_absolute() {
        "write the path from the root: "
    } else if path.winds() {
        "write the path without ..: "
    } else {
        ""
    }
}

fn limit(done: &str, patterns: &[&str]) -> String {
    if patterns.is_empty() {
        return format!("the grant lets nothing be {done}");
    }
    let named = patterns.iter().take(NAMED).copied().collect::<Vec<_>>().join(", ");
    let more = patterns.len().saturating_sub(NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    format!("the grant lets nothing be {done} outside of {named}{more}")
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use sftp::{Attributes, OpenMode};

    use super::*;

    fn rules(upload: &[&str], download: &[&str]) -> Rules {
        let patterns = |texts: &[&str]| texts.iter().map(|text| text.parse().unwrap()).collect::<BTreeSet<_>>();
        let carriage = Carriage { upload: patterns(upload), download: patterns(download), ..Carriage::default() };
        Rules::new(&carriage, true).unwrap()
    }

    fn path(raw: &str) -> RemotePath {
        RemotePath::resolve(None, raw.as_bytes())
    }

    fn open(raw: &str, read: bool, write: bool) -> Action {
        let mode = OpenMode { read, write, ..OpenMode::default() };
        Action::Open { path: path(raw), or: None, mode, size: None, permissions: None }
    }

    fn allowed(rules: &mut Rules, action: &Action) -> bool {
        rules.allow(action) == Verdict::Allow
    }

    fn why(rules: &mut Rules, action: &Action) -> String {
        match rules.allow(action) {
            Verdict::Refuse(why) => why,
            Verdict::Allow => panic!("{action:?} is allowed"),
        }
    }

    /// What gives a file another name, each way.
    fn renamings(from: &str, to: &str) -> [Action; 4] {
        let (from, to) = (path(from), path(to));
        [
            Action::Rename { path: from.clone(), to: to.clone() },
            Action::PosixRename { path: from.clone(), to: to.clone() },
            Action::Symlink { path: from.clone(), to: to.clone() },
            Action::Hardlink { path: from, to },
        ]
    }

    #[test]
    fn a_refusal_names_the_rule() {
        let mut www = rules(&["/srv/www/**"], &[]);
        assert_eq!(
            why(&mut www, &open("/etc/passwd", false, true)),
            "the grant lets nothing be uploaded outside of /srv/www/**"
        );
        assert_eq!(why(&mut www, &open("/srv/www/a", true, false)), "the grant lets nothing be downloaded");
        assert_eq!(
            why(&mut www, &open("x", false, true)),
            "write the path from the root: the grant lets nothing be uploaded outside of /srv/www/**"
        );
        assert_eq!(
            why(&mut www, &open("/srv/www/a/../b", false, true)),
            "write the path without ..: the grant lets nothing be uploaded outside of /srv/www/**"
        );
        let mut many = rules(&["/a", "/b", "/c", "/d", "/e"], &[]);
        assert!(why(&mut many, &open("/f", false, true)).ends_with("outside of /a, /b, /c, /d and 1 more"));
    }

    #[test]
    fn each_direction_has_its_rule_and_both_need_both() {
        let mut rules = rules(&["/in/**", "/both/**"], &["/out/**", "/both/**"]);
        for (raw, read, write) in [("/in/x", false, true), ("/out/x", true, false), ("/both/x", true, true)] {
            assert!(allowed(&mut rules, &open(raw, read, write)), "{raw}");
        }
        for (raw, read, write) in [
            ("/in/x", true, false),
            ("/in/x", true, true),
            ("/out/x", false, true),
            ("/out/x", true, true),
            ("/etc/x", true, false),
            // Neither is the default of old clients, and reads.
            ("/in/x", false, false),
        ] {
            assert!(!allowed(&mut rules, &open(raw, read, write)), "{raw}");
        }
        let list = |raw| Action::List { path: path(raw), entries: 0 };
        assert!(allowed(&mut rules, &list("/out")) && !allowed(&mut rules, &list("/in")));
    }

    #[test]
    fn a_change_needs_the_right_to_upload() {
        let mut rules = rules(&["/in/**"], &["/**"]);
        let changes = |raw: &str| {
            let at = path(raw);
            [
                Action::Remove { path: at.clone() },
                Action::Rmdir { path: at.clone() },
                Action::Mkdir { path: at.clone(), or: None, permissions: None },
                Action::Setstat { path: at, or: None, link: false, attributes: Attributes::default() },
            ]
        };
        assert!(changes("/in/x").iter().all(|action| allowed(&mut rules, action)));
        assert!(changes("/etc/x").iter().all(|action| !allowed(&mut rules, action)));
    }

    #[test]
    fn what_scp_does_not_say_must_hold_both_ways() {
        let mut rules = rules(&["/srv/in/x"], &[]);
        let mode = OpenMode { write: true, ..OpenMode::default() };
        let or = |or: Option<&str>| Action::Open {
            path: path("/srv/in/x"),
            or: or.map(path),
            mode,
            size: None,
            permissions: None,
        };
        assert!(allowed(&mut rules, &or(None)) && !allowed(&mut rules, &or(Some("/srv/in"))));
    }

    #[test]
    fn another_name_makes_nothing_more_of_a_file() {
        let mut one = rules(&["/srv/**"], &["/srv/out/**", "/srv/logs/*.log"]);
        for (from, to) in [
            ("/srv/in/x.part", "/srv/in/x"),
            ("/srv/out/x.part", "/srv/out/x"),
            ("/srv/out/d", "/srv/in/d"),
            ("/srv/logs/a.log", "/srv/logs/b.log"),
        ] {
            for action in renamings(from, to) {
                assert!(allowed(&mut one, &action), "{action:?}");
            }
        }
        for (from, to) in [
            // What may not be downloaded, to where it may.
            ("/srv/in/x", "/srv/out/x"),
            ("/srv/in", "/srv/out"),
            ("/srv/logs/a", "/srv/logs/a.log"),
            // A folder, of whose files some would be named by a pattern.
            ("/srv/in", "/srv/logs"),
            ("/srv", "/srv/out/all"),
            // Out of the rule, and in.
            ("/etc/passwd", "/srv/in/x"),
            ("/srv/in/x", "/etc/passwd"),
            // Where the text does not say where it leads.
            ("/srv/in/x", "out/x"),
            ("/srv/in/x", "/srv/in/../out/x"),
            ("/srv/out/a/../../in/x", "/srv/out/x"),
        ] {
            for action in renamings(from, to) {
                assert!(!allowed(&mut one, &action), "{action:?}");
            }
        }
        // Where everything may be written, it is no way to read.
        let mut all = rules(&["/**"], &["/pub/**"]);
        for (from, to) in [("/secret/x", "/pub/x"), ("/secret/x", "pub/x"), ("/secret", "/pub")] {
            for action in renamings(from, to) {
                assert!(!allowed(&mut all, &action), "{action:?}");
            }
        }
        assert!(renamings("a", "b").iter().all(|action| allowed(&mut rules(&["/**"], &["/**"]), action)));
    }

    #[test]
    fn a_link_on_a_server_of_unknown_order_is_made_only_where_all_files_pass() {
        let carriage =
            |text: &str| Carriage { download: BTreeSet::from([text.parse().unwrap()]), ..Carriage::default() };
        let link = Action::Symlink { path: path("/srv/in/x"), to: path("/srv/in/y") };
        for (pattern, openssh, made) in [("/srv/**", false, false), ("/srv/**", true, true), ("/**", false, true)] {
            let mut rules = Rules::new(&carriage(pattern), openssh).unwrap();
            assert_eq!(allowed(&mut rules, &link), made, "{pattern} {openssh}");
        }
    }

    #[test]
    fn whoever_may_move_a_file_may_look_at_it_and_on_the_way_to_it() {
        let mut rules = rules(&["/srv/in/**"], &["/var/log/*.log"]);
        let look = |raw: &str, how| Action::Look { path: path(raw), how };
        for raw in ["/", "/srv", "/srv/in/x", "/var/log", "/var/log/a.log"] {
            assert!(allowed(&mut rules, &look(raw, Look::Stat)), "{raw}");
        }
        for raw in ["/etc/passwd", "/var/log/secret", ".", "/srv/in/x/../.."] {
            assert!(!allowed(&mut rules, &look(raw, Look::Lstat)), "{raw}");
            assert!(!allowed(&mut rules, &Action::Readlink { path: path(raw) }), "{raw}");
            assert!(allowed(&mut rules, &look(raw, Look::Realpath)), "{raw}");
        }
    }
}
