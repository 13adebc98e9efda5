//! Sessions, as bytes in both directions.

use super::*;

/// What happens at a terminal: `In` is typed, `Out` is drawn, `Wait` passes milliseconds.
#[derive(Clone, Copy)]
enum Step<'a> {
    In(&'a str),
    Out(&'a str),
    Wait(u64),
}
use Step::{In, Out, Wait};

fn run(steps: &[Step<'_>]) -> Vec<String> {
    let mut gate = EchoGate::new(80);
    let mut now = Duration::ZERO;
    let mut typed = Vec::new();
    for step in steps {
        match *step {
            In(text) => typed.extend(gate.input(text.as_bytes(), now)),
            Out(text) => typed.extend(gate.output(text, now)),
            Wait(millis) => now += Duration::from_millis(millis),
        }
    }
    typed.extend(gate.finish());
    typed
        .into_iter()
        .map(|typed| match typed {
            Typed::Echoed(line) => line,
            Typed::Hidden => "hidden".to_owned(),
        })
        .collect()
}

/// Types `text` key by key, with an answer of the target to each.
fn keys<'a>(text: &'a str, answer: impl Fn(&'a str) -> &'a str) -> Vec<Step<'a>> {
    let chars = text.char_indices().map(|(at, c)| &text[at..at + c.len_utf8()]);
    chars.flat_map(|key| [In(key), Wait(30), Out(answer(key)), Wait(80)]).collect()
}

#[test]
fn a_shell_that_echoes_key_by_key() {
    let mut steps = vec![Out("\x1b[?2004h$ ")];
    steps.extend(keys("ls -l /tmp", |key| key));
    steps.extend([In("\r"), Out("\r\n\x1b[?2004l\r"), Out("total 0\r\n"), Out("\x1b[?2004h$ ")]);
    steps.extend(keys("é", |key| key));
    steps.extend([In("\r"), Out("\r\n")]);
    assert_eq!(run(&steps), ["ls -l /tmp\r", "é\r"]);
}

#[test]
fn the_kernel_echoes_a_line_at_once() {
    assert_eq!(run(&[In("hello\r"), Out("hello\r\n"), Out("hello\r\n")]), ["hello\r"]);
    assert_eq!(run(&[In("hello\n"), Out("hello\r\n")]), ["hello\n"]);
    let erase = [In("helxo"), Out("helxo"), In("\x7f\x7f"), Out("\x08 \x08\x08 \x08"), In("lo\r"), Out("lo\r\n")];
    assert_eq!(run(&erase), ["hello\r"]);
}

#[test]
fn a_password_is_never_written() {
    let prompt = "[sudo] password for alice: ";
    let mut steps = vec![Out("$ ")];
    steps.extend(keys("sudo id", |key| key));
    steps.extend([In("\r"), Out("\r\n"), Out(prompt)]);
    steps.extend(keys("hunter2", |_| ""));
    steps.extend([In("\r"), Out("\r\n"), Out("Sorry, try again.\r\n"), Out(prompt)]);
    steps.extend(keys("s3cret", |_| ""));
    steps.extend([In("\r"), Out("\r\n"), Out("uid=0(root) gid=0(root)\r\n$ ")]);
    steps.extend(keys("exit", |key| key));
    steps.extend([In("\r"), Out("\r\n")]);
    assert_eq!(run(&steps), ["sudo id\r", "hidden", "hidden", "exit\r"]);
}

#[test]
fn a_password_in_one_packet_is_never_written() {
    for password in ["hunter2", ":", " ", "d: ", "password for alice:", "\u{e9}", "x"] {
        let typed = format!("{password}\r");
        let steps =
            [Out("[sudo] password for alice: "), In(&typed), Wait(20), Out("\r\n"), Out("# "), Wait(5000), Out("$ ")];
        assert_eq!(run(&steps), ["hidden"], "{password:?}");
    }
}

#[test]
fn stars_prove_nothing() {
    let mut steps = vec![Out("Password: ")];
    steps.extend(keys("*hunter*", |_| "*"));
    steps.extend([In("\r"), Out("\r\n")]);
    assert_eq!(run(&steps), ["hidden"]);
}

#[test]
fn a_password_with_corrections_is_never_written() {
    for typed in ["hunx\x7fter2\r", "wrong\x15hunter2\r", "hun\x1b[Dter2\r", "\x1b[200~hunter2\x1b[201~\r", "hunter2\n"]
    {
        let steps = [Out("Password: "), In(typed), Out("\r\n"), Out("ok\r\n")];
        assert_eq!(run(&steps), ["hidden"], "{typed:?}");
    }
    assert!(run(&[Out("Password: "), In("hunter2"), In("\x03"), Out("\r\n"), Out("$ ")]).is_empty());
}

#[test]
fn keys_read_one_by_one_do_not_leak_into_the_next_line() {
    // Four digits without Enter and without echo; then a shell, where the person clears the line by habit or not.
    let pin = [Out("PIN: "), In("1234"), Wait(100), Out("\r\nwelcome\r\n$ ")];
    let cleared = [&pin[..], &[In("\x15"), In("ls\r"), Out("ls\r\n")]].concat();
    assert_eq!(run(&cleared), ["ls\r"]);
    let not_cleared = [&pin[..], &[In("ls\r"), Out("ls\r\n"), In("pwd\r"), Out("$ pwd\r\n")]].concat();
    assert_eq!(run(&not_cleared), ["hidden", "pwd\r"]);
}

#[test]
fn output_in_between_does_not_prove_a_password() {
    // A background job writes lines while the password is typed; some begin or end like it.
    let steps = [
        Out("Password: "),
        In("h"),
        Out("hundreds of lines\r\n"),
        In("un"),
        Out("un\r\n"),
        In("ter2\r"),
        Out("\r\n"),
        Out("value 2\r\nter2 \r\nhunter22\r\nxhunter2x\r\n"),
    ];
    assert_eq!(run(&steps), ["hidden"]);
}

#[test]
fn readline_redraws_are_understood() {
    // Insertion in the middle; recall of a line and typing behind it; completion.
    let middle =
        [Out("$ "), In("s"), Out("s"), In("\x1b[D"), Out("\x08"), In("l"), Out("ls\x08"), In("\r"), Out("\r\n")];
    assert_eq!(run(&middle), ["ls\r"]);
    let recall = [Out("$ "), In("\x1b[A"), Out("cat notes"), In(" -n"), Out(" -n"), In("\r"), Out("\r\n")];
    assert_eq!(run(&recall), ["\x1b[A -n\r"]);
    let complete = [Out("$ "), In("cat /etc/pas"), Out("cat /etc/pas"), In("\t"), Out("swd "), In("-\r"), Out("-\r\n")];
    assert_eq!(run(&complete), ["cat /etc/pas\t-\r"]);
    // A shell that repaints its prompt with every key, in colours.
    let repaint = [
        Out("$ "),
        In("l"),
        Out("\r\x1b[K\x1b[1m$ \x1b[31ml"),
        In("s"),
        Out("\r\x1b[K$ \x1b[32mls\x1b[0m"),
        In("\r"),
        Out("\r\r\n"),
    ];
    assert_eq!(run(&repaint), ["ls\r"]);
}

#[test]
fn pasted_lines_are_proven_one_by_one() {
    let steps = [
        Out("$ "),
        In("cd /tmp\rls\rpwd\r"),
        Out("cd /tmp\r\n$ "),
        Out("ls\r\nfile1 file2\r\n"),
        Out("$ pwd\r\n/tmp\r\n$ "),
    ];
    assert_eq!(run(&steps), ["cd /tmp\r", "ls\r", "pwd\r"]);
    let bracketed = [
        Out("\x1b[?2004h$ "),
        In("\x1b[200~echo a\recho b\x1b[201~"),
        Out("\x1b[7mecho a\r\necho b\x1b[27m"),
        In("\r"),
        Out("\r\n"),
    ];
    assert_eq!(run(&bracketed), ["echo a\r", "echo b\r"]);
}

#[test]
fn a_password_among_pasted_lines_is_dropped_alone() {
    let steps = [
        Out("$ "),
        In("sudo -k id\rhunter2\rpwd\r"),
        Out("sudo -k id\r\n[sudo] password for alice: "),
        Out("\r\nuid=0(root)\r\n$ "),
        Out("pwd\r\n/root\r\n$ "),
    ];
    assert_eq!(run(&steps), ["sudo -k id\r", "hidden", "pwd\r"]);
}

#[test]
fn a_full_screen_program_is_left_alone() {
    let steps = [
        Out("$ "),
        In("vim\r"),
        Out("vim\r\n"),
        Out("\x1b[?1049h\x1b[2J"),
        In("ihello\r"),
        Out("hello\r\n"),
        In("\x1b:wq\r"),
        Out("\x1b[?1049l$ "),
        In("id\r"),
        Out("id\r\n"),
    ];
    assert_eq!(run(&steps), ["vim\r", "id\r"]);
}

#[test]
fn a_late_echo_proves_nothing() {
    let late = WINDOW.as_millis() as u64 + 1;
    assert_eq!(run(&[In("secret\r"), Wait(late), Out("secret\r\n")]), ["hidden"]);
    assert_eq!(run(&[In("secret\r"), Wait(late - 2), Out("secret\r\n")]), ["secret\r"]);
}

#[test]
fn what_has_no_content_leaves_no_trace() {
    assert!(
        run(&[Out("Password: "), In("\r"), Out("\r\n"), In("\x1b[A\r"), Out("ls\r\n"), In("\x04"), Out("logout\r\n")])
            .is_empty()
    );
}

#[test]
fn a_hostile_target_makes_only_shown_input_be_recorded() {
    // It echoes the password on purpose: then it is in the output as well.
    assert_eq!(run(&[Out("Password: "), In("hunter2\r"), Out("hunter2\r\n")]), ["hunter2\r"]);
    // It echoes a part of it: that proves nothing.
    assert_eq!(run(&[Out("Password: "), In("hunter2\r"), Out("hunter\r\n2\r\nunter2\r\n")]), ["hidden"]);
}

#[test]
fn memory_is_bounded() {
    let mut gate = EchoGate::new(80);
    let mut hidden = 0;
    for _ in 0..200 {
        hidden += gate.input(&b"some typed line\r".repeat(100), Duration::ZERO).len();
        assert!(gate.entered.len() <= LINES && gate.waiting <= CHARACTERS);
    }
    hidden += gate.finish().len();
    assert_eq!((hidden, gate.waiting), (20_000, 0));
}

proptest::proptest! {
    #[test]
    fn what_is_written_was_drawn(
        script in proptest::collection::vec((proptest::bool::ANY, "[ab]{0,3}|\r|\r\n|\x7f|\x15|\t|\x08|\x1b\\[[CDK]"), 0..40)
    ) {
        let mut gate = EchoGate::new(80);
        let (mut drawn, mut typed) = (String::new(), Vec::new());
        for (index, (input, text)) in script.iter().enumerate() {
            let now = Duration::from_millis(index as u64);
            if *input {
                typed.extend(gate.input(text.as_bytes(), now));
            } else {
                drawn.push_str(text);
                typed.extend(gate.output(text, now));
            }
        }
        for line in typed {
            if let Typed::Echoed(line) = line {
                proptest::prop_assert!(line.chars().filter(|c| matches!(c, 'a' | 'b')).all(|c| drawn.contains(c)));
            }
        }
    }

    #[test]
    fn a_target_that_draws_no_typed_character_proves_nothing(
        typed in proptest::collection::vec("[a-m]{1,5}[\r\t\x7f]?", 1..20),
        drawn in proptest::collection::vec("[n-z ]{0,5}(\r\n|\x08|\x1b\\[[0-9]?[CDGKPX@])?", 1..20),
    ) {
        let mut gate = EchoGate::new(80);
        let mut seen = Vec::new();
        for index in 0..20 {
            let now = Duration::from_millis(index as u64);
            if let Some(text) = typed.get(index) {
                seen.extend(gate.input(text.as_bytes(), now));
            }
            if let Some(text) = drawn.get(index) {
                seen.extend(gate.output(text, now));
            }
        }
        proptest::prop_assert!(seen.iter().all(|line| *line == Typed::Hidden), "{:?}", seen);
    }
}
