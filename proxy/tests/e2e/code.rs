//! One-time codes behind a plain key: asked for by keyboard-interactive, in rounds, before anybody is in.

use std::process::{Output, Stdio};
use std::sync::Arc;
use std::time::Duration;

use russh::client::{self, AuthResult, KeyboardInteractiveAuthResponse as Answer};
use russh::keys::PrivateKeyWithHashAlg;
use russh::{ChannelMsg, MethodKind};
use ssh_key::PrivateKey;
use tokio::process::Command;

use crate::client::{WAYS, Way, finish, place, shown, text, until};
use crate::fronts::Guest;
use crate::sshd::write;
use crate::world::{HOUR, Person, World};

const GOOD: &str = "123456";

/// A client of our own whose key was good, and which is asked for more.
async fn half_way(world: &World, alice: &Person) -> client::Handle<Guest> {
    let key = PrivateKey::read_openssh_file(&alice.key).unwrap();
    let mut guest = client::connect(Arc::default(), ("127.0.0.1", world.port), Guest).await.unwrap();
    let answer =
        guest.authenticate_publickey("root+web1", PrivateKeyWithHashAlg::new(Arc::new(key), None)).await.unwrap();
    let AuthResult::Failure { remaining_methods, partial_success } = answer else { panic!("in without a code") };
    assert!(partial_success, "the key was good");
    assert_eq!(remaining_methods.iter().collect::<Vec<_>>(), [&MethodKind::KeyboardInteractive]);
    guest
}

/// What is asked: the instructions, and the prompts with whether they may be shown.
fn asked(answer: Answer) -> (String, Vec<(String, bool)>) {
    match answer {
        Answer::InfoRequest { instructions, prompts, .. } => {
            (instructions, prompts.into_iter().map(|prompt| (prompt.prompt, prompt.echo)).collect())
        }
        other => panic!("{other:?}"),
    }
}

fn prompt() -> Vec<(String, bool)> {
    vec![("authentication code: ".to_owned(), false)]
}

async fn start(guest: &mut client::Handle<Guest>, user: &str) -> Answer {
    guest.authenticate_keyboard_interactive_start(user, None).await.unwrap()
}

async fn respond(guest: &mut client::Handle<Guest>, code: &str) -> Answer {
    guest.authenticate_keyboard_interactive_respond(vec![code.to_owned()]).await.unwrap()
}

/// What a command says, on both streams.
async fn said(guest: &client::Handle<Guest>, command: &str) -> String {
    let mut channel = guest.channel_open_session().await.unwrap();
    channel.exec(true, command).await.unwrap();
    let mut said = Vec::new();
    let reading = async {
        while let Some(msg) = channel.wait().await {
            if let ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. } = msg {
                said.extend_from_slice(&data);
            }
        }
    };
    tokio::time::timeout(Duration::from_secs(20), reading).await.expect("it ends");
    text(&said)
}

async fn world() -> (World, Person) {
    let world = World::new().await;
    let alice = world.plain("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    world.authority.want_code(GOOD);
    (world, alice)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_good_code_lets_in_also_behind_wrong_ones() {
    let (world, alice) = world().await;
    let mut guest = half_way(&world, &alice).await;
    let (words, prompts) = asked(start(&mut guest, "root+web1").await);
    assert!(
        words.contains("a one-time code is asked for here")
            && words.contains("press enter to go on without one")
            && prompts == prompt(),
        "{words} {prompts:?}"
    );
    let (words, prompts) = asked(respond(&mut guest, "000001").await);
    assert!(words.contains("code-refused") && prompts == prompt(), "{words} {prompts:?}");
    // Apps show a gap in the middle.
    assert!(matches!(respond(&mut guest, " 123 456").await, Answer::Success));
    assert_eq!(said(&guest, "echo in").await, "in\n");
    assert_eq!(world.authority.codes(), ["000001", GOOD]);
}

#[tokio::test(flavor = "multi_thread")]
async fn three_wrong_codes_and_one_is_out() {
    let (world, alice) = world().await;
    let mut guest = half_way(&world, &alice).await;
    start(&mut guest, "root+web1").await;
    for wrong in ["1", "2"] {
        assert_eq!(asked(respond(&mut guest, wrong).await).1, prompt());
    }
    // The reason, and nothing is asked any more.
    assert_eq!(asked(respond(&mut guest, "3").await), ("portcullis: code-refused".to_owned(), Vec::new()));
    let last = guest.authenticate_keyboard_interactive_respond(Vec::new()).await.unwrap();
    assert!(matches!(last, Answer::Failure { partial_success: false, .. }), "{last:?}");
    // Nor is a good one taken then: it begins with the key again.
    let (_, prompts) = asked(start(&mut guest, "root+web1").await);
    assert!(prompts.is_empty(), "{prompts:?}");
    assert_eq!(world.authority.codes().len(), 3);
    drop(guest);
    until("the pass is given back", || world.authority.passes() == 0).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn without_an_answer_one_is_in_and_told_what_is_missing() {
    let (world, alice) = world().await;
    let mut guest = half_way(&world, &alice).await;
    start(&mut guest, "root+web1").await;
    assert!(matches!(respond(&mut guest, "").await, Answer::Success));
    let said = said(&guest, "echo in").await;
    assert!(said.contains("factor-needed") && !said.contains("in\n"), "{said}");
    assert!(world.authority.codes().is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_code_is_for_who_showed_the_key_and_for_nobody_before_it() {
    let (world, alice) = world().await;
    // Without a key there is advice, and no question.
    let mut guest = client::connect(Arc::default(), ("127.0.0.1", world.port), Guest).await.unwrap();
    let (words, prompts) = asked(start(&mut guest, "root+web1").await);
    assert!(words.contains("registered") && prompts.is_empty(), "{words}");
    // Another user name begins anew: what was signed was the first.
    let mut guest = half_way(&world, &alice).await;
    let (_, prompts) = asked(start(&mut guest, "deploy+web1").await);
    assert!(prompts.is_empty(), "{prompts:?}");
    let answer = respond(&mut guest, GOOD).await;
    assert!(matches!(answer, Answer::Failure { .. }), "{answer:?}");
    assert!(world.authority.codes().is_empty(), "it was passed on");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ca_that_says_nothing_lets_nobody_in() {
    let world = World::with(|config| config.ca_timeout = model::Span::from_seconds(1)).await;
    let alice = world.plain("alice");
    world.authority.grant("alice", "root", "web1", HOUR);
    world.authority.want_code(GOOD);
    let mut guest = half_way(&world, &alice).await;
    start(&mut guest, "root+web1").await;
    world.authority.set_slow(Duration::from_secs(5));
    let (words, prompts) = asked(respond(&mut guest, GOOD).await);
    assert!(words.contains("no answer within 1s") && prompts.is_empty(), "{words}");
    let last = guest.authenticate_keyboard_interactive_respond(Vec::new()).await.unwrap();
    assert!(matches!(last, Answer::Failure { .. }), "{last:?}");
}

/// A stock program that types this when it is asked.
async fn typing(
    world: &World,
    alice: &Person,
    program: &str,
    settings: &str,
    code: &str,
    arguments: &[&str],
) -> Output {
    let script = world.folder.path().join(format!("askpass-{}", crate::authority::random_bits()));
    write(&script, &format!("#!/bin/sh\necho \"$1\" >&2\necho {code}\n"), 0o700);
    let mut command = Command::new(program);
    command.arg("-F").arg(alice.config(settings)).args(arguments);
    command.env("SSH_ASKPASS", &script).env("SSH_ASKPASS_REQUIRE", "force").env("DISPLAY", ":0");
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).kill_on_drop(true);
    finish(&mut command).await
}

#[tokio::test(flavor = "multi_thread")]
async fn stock_ssh_and_scp_ask_both_ways() {
    let (world, alice) = world().await;
    let (from, to) = (world.folder.path().join("from"), world.folder.path().join("to"));
    write(&from, "precious", 0o600);
    for way in WAYS {
        let place = place(way, "root", "web1");
        let output = typing(&world, &alice, "ssh", "", GOOD, &[&place, "echo in"]).await;
        assert_eq!(text(&output.stdout), "in\n", "{way:?} {}", shown(&output));
        assert!(text(&output.stderr).contains("authentication code:"), "{way:?} {}", shown(&output));
        let (from, to) = (from.display().to_string(), format!("{place}:{}", to.display()));
        let output = typing(&world, &alice, "scp", "", GOOD, &[&from, &to]).await;
        assert!(output.status.success(), "{way:?} {}", shown(&output));
        assert_eq!(std::fs::read_to_string(world.folder.path().join("to")).unwrap(), "precious");
        std::fs::remove_file(world.folder.path().join("to")).unwrap();
    }
    // Who cannot be asked is not in; and whose certificate was bought with one is not asked.
    let output =
        typing(&world, &alice, "ssh", "BatchMode yes", GOOD, &[&place(Way::Plus, "root", "web1"), "true"]).await;
    assert!(text(&output.stderr).contains("keyboard-interactive"), "{}", shown(&output));
    let asked = world.authority.codes().len();
    let certified = world.person("alice");
    let output = typing(&world, &certified, "ssh", "", GOOD, &[&place(Way::Plus, "root", "web1"), "echo in"]).await;
    assert_eq!((text(&output.stdout).as_str(), world.authority.codes().len()), ("in\n", asked), "{}", shown(&output));
}
