//! Escapes: what a person with a terminal wants of the proxy in the middle of a session, and who cannot forge it.

use std::time::Duration;

use api::wire::SessionReport;
use model::{GrantEnd, RequestId, SessionEnd, Span};
use portcullis_proxy::EscapeKey;

use crate::client::{WAYS, Way, shown};
use crate::terminal::Terminal;
use crate::world::{HOUR, Person, World};

/// A shell without echo that shows the bytes of each line that it reads. It begins with a prompt.
const ECHO: &str = "stty -echo -icrnl -icanon; printf '$ '; while IFS= read -r line; do printf '%s' \"$line\" | od -An -c; printf '$ '; done";

fn in_terminal(person: &Person, way: Way, command: &str) -> Terminal {
    let mut ssh = person.ssh(way, "root", "web1", &["-t"]);
    ssh.env("TERM", "xterm").arg(command);
    Terminal::start(&mut ssh, 80, 24)
}

/// Waits until a shell shows its prompt.
async fn shell(person: &Person, way: Way) -> Terminal {
    let terminal = in_terminal(person, way, ECHO);
    terminal.shows("$ ").await;
    terminal
}

#[tokio::test(flavor = "multi_thread")]
async fn the_time_that_is_left_is_shown_and_the_prompt_comes_back() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let grant = world.authority.grant("alice", "root", "web1", HOUR);
        let mut terminal = shell(&alice, way).await;
        terminal.type_in("\x1dt");
        terminal.shows("portcullis: root@web1 has 59m left: it ends at ").await;
        terminal.shows(&format!(" with {}, or when nothing has passed for 15m\x1b[0m\r\n$ \x07", grant.id)).await;
        let request = world.authority.file_extension(&grant);
        world.authority.extend(&grant.id, grant.ends.plus(Span::from_minutes(1)));
        terminal.shows("was extended: this session on root@web1 lasts until ").await;
        terminal.type_in("\x1dt");
        terminal.shows(&format!("; more was asked for, and {request} is pending")).await;
        terminal.type_in("\x1d?");
        terminal.shows("portcullis: ctrl-] twice sends one ctrl-]; anything else").await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_no_escape_reaches_the_target_as_it_was_typed() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let mut terminal = shell(&alice, Way::Plus).await;
    // Doubled, in the middle of a line, with another letter, in a paste, within what a terminal answers.
    for (typed, shown) in [
        ("\x1d\x1dt\n", " 035   t"),
        ("a\x1dt\n", "   a 035   t"),
        ("\x1dx\n", " 035   x"),
        ("\x1b[200~\x1dt\x1b[201~\n", " 033   [   2   0   0   ~ 035   t 033   [   2   0   1   ~"),
        ("\x1b[5;1R\x1dt\n", " 033   [   5   ;   1   R 035   t"),
        ("\x1b]0;\r\x1dt\x1b\\\n", " 033   ]   0   ;  \\r 035   t 033   \\"),
    ] {
        terminal.type_in(typed);
        terminal.shows(&format!("{shown}\r\n$ ")).await;
    }
    assert!(!terminal.said().contains(" left: it ends at"), "{:?}", terminal.said());
}

#[tokio::test(flavor = "multi_thread")]
async fn the_key_by_itself_waits_for_a_second_one_and_not_for_ever() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let mut terminal = in_terminal(&alice, Way::Plus, "stty raw -echo; printf 'in '; exec cat -v");
    terminal.shows("in ").await;
    terminal.type_in("\x1d");
    terminal.shows("in ^]").await;
    terminal.type_in("t");
    terminal.shows("in ^]t").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_site_chooses_the_key_or_none() {
    for (key, typed) in [("^A", "\x01t"), ("none", "\x1dt\n")] {
        let world = World::with(|config| {
            config.escape = key.parse::<EscapeKey>().unwrap();
            config.warnings = vec![Span::from_minutes(59)];
        })
        .await;
        let alice = world.person("alice");
        world.authority.grant("alice", "root", "web1", Duration::from_secs(59 * 60 + 5));
        let mut terminal = shell(&alice, Way::Plus).await;
        terminal.type_in(typed);
        terminal.shows("to go on, ").await;
        if key == "none" {
            terminal.shows(" 035   t\r\n").await;
            assert!(!terminal.said().contains("press enter"), "{:?}", terminal.said());
        } else {
            terminal.shows(" left: it ends at ").await;
            terminal.shows("to go on, press enter, ctrl-a and e, or run portcullis extend req-").await;
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn more_time_is_asked_for_while_the_session_goes_on() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let grant = world.authority.grant("alice", "root", "web1", HOUR);
        let mut terminal = shell(&alice, way).await;
        terminal.type_in("before\n\x1de");
        let takes = format!(
            "portcullis: more time for {}, which has 59m left, takes 1 approval by approvers; at most 1h; ctrl-c",
            grant.id
        );
        terminal.shows(&takes).await;
        terminal.shows("for how much longer? [30m] ").await;
        terminal.type_in("2h\r");
        terminal.shows("at most 1h\r\nfor how much longer? [30m] ").await;
        terminal.type_in("4\x7f50m\x15\x1b[A45m\r");
        terminal.shows("why? ").await;
        terminal.type_in("the backup \x1dt still runs\r");
        let asked = format!("portcullis: 45m more for {} was asked for: req-", grant.id);
        terminal.shows(&asked).await;
        // The prompt is there again, and what is typed is the target's again.
        terminal.shows("\x1b[0m\r\n$ ").await;
        let (_, ask) = world.authority.extensions().pop().unwrap();
        assert_eq!((ask.duration, ask.reason.as_str()), (45 * 60, "the backup t still runs"));
        terminal.type_in("behind\n");
        terminal.shows("   b   e   h   i   n   d\r\n$ ").await;
        world.authority.extend(&grant.id, grant.ends.plus(Span::from_minutes(45)));
        terminal.shows(&format!("portcullis: {} was extended: this session on root@web1 lasts until ", grant.id)).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_recording_has_that_it_was_asked_for_and_not_what_was_typed() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant_with("alice", "root", "web1", HOUR, |grant| grant.obligations.record_input = true);
    let mut terminal = in_terminal(&alice, Way::Plus, "echo in; exec cat");
    terminal.shows("in\r\n").await;
    terminal.type_in("before\n\x1de");
    terminal.shows("for how much longer? ").await;
    terminal.type_in("17m\rthe reason\r");
    terminal.shows("17m more for req-").await;
    terminal.type_in("behind\n");
    terminal.shows("behind\r\nbehind\r\n").await;
    terminal.type_in("\x04");
    terminal.end().await;
    let recording = world.only_recording().await;
    let marker = recording.lines().find(|line| line.contains("was asked for")).unwrap();
    assert!(marker.contains("\"m\"") && marker.contains("17m more"), "{marker}");
    let input: String = recording.lines().filter(|line| line.contains("\"i\"")).collect();
    assert!(input.contains("before") && input.contains("behind"), "{input}");
    assert!(!recording.contains("the reason") && !recording.contains("how much longer"), "{recording}");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_answer_is_told_when_it_comes_and_a_refusal_at_once() {
    let world = World::new().await;
    let alice = world.person("alice");
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    let mut terminal = shell(&alice, Way::Plus).await;
    terminal.type_in("\x1de\rlonger\r");
    terminal.shows("to take it back, run portcullis cancel req-").await;
    terminal.shows("\x1b[0m\r\n$ ").await;
    let said = terminal.said();
    let (_, id) = said.rsplit_once("portcullis cancel ").unwrap();
    let id: RequestId = id.split('\x1b').next().unwrap().parse().unwrap();
    world.authority.deny(id);
    terminal.shows(&format!("portcullis: more time for {} was denied", grant.id)).await;
    world.authority.set_no_more(Some("this proxy may not pass requests on"));
    terminal.type_in("\x1de");
    terminal.shows("portcullis: no more time: this proxy may not pass requests on\x1b[0m\r\n").await;
    terminal.shows("portcullis: ask somebody\x1b[0m\r\n$ ").await;
    world.authority.set_dead(true);
    terminal.type_in("\x1de");
    terminal.shows("portcullis: more time cannot be asked for now: the CA is away").await;
    terminal.type_in("on\n");
    terminal.shows("   o   n\r\n$ ").await;
    assert_eq!(world.authority.extensions().len(), 1);
}

/// Who came with a plain key may have nothing but ssh.
#[tokio::test(flavor = "multi_thread")]
async fn who_came_with_a_plain_key_is_told_the_way_of_ssh() {
    let world = World::with(|config| config.warnings = vec![Span::from_minutes(59)]).await;
    let alice = world.plain("alice");
    let grant = world.authority.grant("alice", "root", "web1", Duration::from_secs(59 * 60 + 5));
    let mut terminal = shell(&alice, Way::Plus).await;
    terminal.shows(&format!("or run ssh PROXY extend {} --for 30m --reason WHY", grant.id)).await;
    terminal.type_in("\x1de\rlonger\r");
    terminal.shows("to take it back, run ssh PROXY cancel req-").await;
    let id = world.authority.extensions().len();
    assert_eq!(id, 1);
    world.authority.deny_extension(&grant);
    terminal.shows("to see why, run ssh PROXY requests; to ask again, ssh PROXY extend ").await;
    world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
    terminal.shows("to ask again, run ssh PROXY request root@web1 --for 30m --reason WHY").await;
    terminal.end().await;
    assert!(!terminal.said().contains("run portcullis"), "{:?}", terminal.said());
}

/// What a target draws is no key, also where it looks like one.
#[tokio::test(flavor = "multi_thread")]
async fn a_target_forges_nothing() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let forged =
        "printf '\\r\\n\\035e\\r\\nfor how much longer? [30m] '; read -r it; echo got $it; read -r it; echo got $it";
    let mut terminal = in_terminal(&alice, Way::Plus, forged);
    terminal.shows("for how much longer? [30m] ").await;
    // What is typed into a question that a target draws goes to the target, and nowhere else.
    terminal.type_in("1h\r");
    terminal.shows("got 1h").await;
    terminal.type_in("because\r");
    terminal.shows("got because").await;
    terminal.end().await;
    assert!(world.authority.extensions().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_target_says_meanwhile_waits_and_none_of_it_is_lost() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let count = "read -r x; i=0; while [ $i -lt 3000 ]; do echo line$i.; i=$((i+1)); done; echo all of it";
    for answer in ["\x03", "10m\rfor a good reason\r"] {
        let mut terminal = in_terminal(&alice, Way::Plus, &format!("stty -echo; echo in; {count}"));
        terminal.shows("in\r\n").await;
        terminal.type_in("\r\x1de");
        terminal.shows("for how much longer? [30m] ").await;
        let standing = terminal.said();
        terminal.type_in(answer);
        terminal.shows("all of it").await;
        assert!(terminal.end().await.success());
        let said = terminal.said();
        let (_, question) = said.split_once("more time for req-").unwrap();
        let (question, _) = question.split_once(if answer == "\x03" { "^C" } else { "was asked for" }).unwrap();
        assert!(!question.contains("line"), "{question}");
        assert!(standing.ends_with("[30m] "), "nothing is shown while it stands: {standing:?}");
        let lines: Vec<usize> =
            said.split("line").skip(1).map(|line| line.split_once('.').unwrap().0.parse().unwrap()).collect();
        // The line under way is drawn again behind the question.
        let mut once = lines.clone();
        once.dedup();
        assert_eq!(once, (0..3000).collect::<Vec<_>>());
    }
    assert_eq!(world.authority.extensions().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_full_screen_program_is_asked_over_and_draws_itself_anew() {
    let world = World::new().await;
    let alice = world.person("alice");
    let grant = world.authority.grant("alice", "root", "web1", HOUR);
    let heard = world.folder.path().join("heard");
    let trap = format!("trap 'stty size; stty size > {}' WINCH", heard.display());
    let draw = "printf '\\033[?1049h\\033[?25l\\033[2J\\033[5;5Hpicture'";
    let program = format!("stty -echo; {trap}; {draw}; while :; do sleep 0.05; done");
    let mut terminal = in_terminal(&alice, Way::Jump, &program);
    terminal.shows("picture").await;
    terminal.type_in("\x1de");
    terminal.shows("\x1b7\x1b[?6l\x1b(B\x0f\x1b[?25h\x1b[24;1H\x1b[0;7m").await;
    terminal.shows("gives up; for how much longer? [30m] ").await;
    crate::client::until("the program hears of another size", || {
        std::fs::read_to_string(&heard).is_ok_and(|size| size == "23 80\n")
    })
    .await;
    terminal.type_in("20m\r");
    terminal.shows("why? ").await;
    terminal.type_in("because\r");
    terminal.shows(&format!("20m more for {} was asked for", grant.id)).await;
    assert!(!terminal.said().contains("23 80"), "it waits: {:?}", terminal.said());
    terminal.type_in("x");
    terminal.shows("\x1b[0m\x1b[?25l\x1b8").await;
    terminal.shows("23 80").await;
    terminal.shows("24 80").await;
    assert_eq!(world.authority.extensions().len(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_question_holds_up_neither_a_kill_nor_a_hang_up() {
    for way in WAYS {
        let world = World::new().await;
        let alice = world.person("alice");
        let grant = world.authority.grant("alice", "root", "web1", HOUR);
        let mut terminal = shell(&alice, way).await;
        terminal.type_in("\x1de");
        terminal.shows("for how much longer? [30m] ").await;
        world.authority.end_grant(&grant.id, GrantEnd::Revoked, "bob");
        terminal.end().await;
        assert!(terminal.said().contains(&format!("{} was revoked by bob", grant.id)), "{:?}", terminal.said());
        world.authority.grant("alice", "root", "web1", HOUR);
        let mut terminal = shell(&alice, way).await;
        terminal.type_in("\x1de");
        terminal.shows("for how much longer? [30m] ").await;
        drop(terminal);
        let hung_up =
            |r: &SessionReport| matches!(r, SessionReport::Ended { end: SessionEnd::Client, .. }).then_some(());
        world.authority.wait_for("the end", hung_up).await;
        assert!(world.authority.extensions().is_empty());
    }
}

/// Without a terminal the key is a byte like any other.
#[tokio::test(flavor = "multi_thread")]
async fn a_program_sends_what_it_likes() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let bytes = b"\x1de\n\x1dt\n\x1d\x1d\n";
    let file = world.folder.path().join("it");
    let output = alice.feed(Way::Plus, "root@web1", &format!("cat > {}", file.display()), bytes).await;
    assert_eq!(output.status.code(), Some(0), "{}", shown(&output));
    assert_eq!(std::fs::read(file).unwrap(), bytes);
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_without_end_does_not_reach_the_ca_each_time() {
    let world = World::new().await;
    let alice = world.person("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    let mut terminal = in_terminal(&alice, Way::Plus, "stty raw -echo; printf 'in '; exec cat -v");
    terminal.shows("in ").await;
    let begin = std::time::Instant::now();
    let refused = async {
        while !terminal.said().contains("portcullis: that was asked too often") {
            // Begun and given up; what comes too fast for a question goes to the target.
            terminal.type_in("\r\x1de\x03");
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(Duration::from_secs(30), refused).await.expect("it is refused");
    let most = 21 + usize::try_from(begin.elapsed().as_secs()).unwrap();
    assert!((1..=most).contains(&world.authority.offers()), "{}", world.authority.offers());
}
