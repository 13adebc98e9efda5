//! Input of real programs on a real terminal: what is typed to a shell is recorded, what is typed to a password
//! prompt is not, in any form.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    reason = "helpers of tests stop the test"
)]

mod common;

use std::io::{Read as _, Write as _};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use common::shell;
use portcullis_recordings::{ECHO_MARKER, Recorder, Vault, What};
use tokio::sync::mpsc::{UnboundedReceiver, unbounded_channel};

/// A program on a terminal, with the recorder between it and the test as the proxy has it.
struct Session {
    child: Child,
    stdin: ChildStdin,
    output: UnboundedReceiver<Vec<u8>>,
    recorder: Arc<Recorder>,
    seen: String,
}

impl Session {
    fn start(recorder: Arc<Recorder>, command: &str) -> Self {
        let mut child = Command::new("script")
            .args(["-qfE", "always", "-c", command, "/dev/null"])
            .env_clear()
            .envs([
                ("PATH", "/usr/bin:/bin"),
                ("TERM", "xterm"),
                ("PS1", "$ "),
                ("LC_ALL", "C.UTF-8"),
                ("HISTFILE", "/dev/null"),
            ])
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (stdin, mut stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (send, output) = unbounded_channel();
        std::thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(count @ 1..) = stdout.read(&mut buffer) {
                if send.send(buffer[..count].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { child, stdin, output, recorder, seen: String::new() }
    }

    /// Waits until the program has drawn this, behind all that was waited for before.
    async fn until(&mut self, text: &str) {
        while !self.seen.contains(text) {
            let bytes = tokio::time::timeout(Duration::from_secs(30), self.output.recv()).await;
            let bytes = bytes.unwrap_or_else(|_| panic!("{text:?} does not come behind {:?}", self.seen)).unwrap();
            self.recorder.output(&bytes).await.unwrap();
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        let behind = self.seen.find(text).unwrap() + text.len();
        self.seen.drain(..behind);
    }

    async fn send(&mut self, keys: &str) {
        self.recorder.input(keys.as_bytes()).await.unwrap();
        self.stdin.write_all(keys.as_bytes()).unwrap();
    }

    /// Types as a person does: key by key.
    async fn keys(&mut self, keys: &str) {
        for key in keys.chars() {
            self.send(key.encode_utf8(&mut [0; 4])).await;
            // Only so that keys come in packets of their own; nothing waits for it.
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

impl Drop for Session {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Runs a session, and returns what of its input was recorded, and the whole file.
async fn recorded(command: &str, script: impl AsyncFnOnce(&mut Session)) -> (Vec<String>, String) {
    let dir = tempfile::tempdir().unwrap();
    let vault = Vault::open(dir.path()).unwrap();
    let mut header = shell(1);
    header.record_input = true;
    let recorder = Arc::new(vault.create(header.clone()).await.unwrap());
    let mut session = Session::start(Arc::clone(&recorder), command);
    script(&mut session).await;
    drop(session);
    recorder.finish(None).await.unwrap();
    let archive = vault.archive();
    let typed =
        archive.reader(&header.session, &header.recording).unwrap().filter_map(|event| match event.unwrap().what {
            What::Input(line) => Some(line),
            What::Marker(label) => Some(label),
            What::Output(_) | What::Resize { .. } | What::Bytes { .. } | What::File(_) | What::End(_) | What::Other => {
                None
            }
        });
    let typed = typed.collect();
    let path = archive.find(&header.session, &header.recording).unwrap().path;
    (typed, std::fs::read_to_string(path).unwrap())
}

const BASH: &str = "bash --norc --noprofile -i";

#[tokio::test]
async fn a_shell_s_lines_are_recorded_and_its_passwords_are_not() {
    let (typed, file) = recorded(BASH, async |session| {
        session.until("$ ").await;
        session.keys("echo one\r").await;
        session.until("\rone\r").await;
        session.until("$ ").await;
        session.keys("ecko\x7f\x7fho t\x1b[D").await;
        session.keys("-n \x05wo;echo\r").await;
        session.until("\rtwo\r").await;
        session.until("$ ").await;
        session.keys("read -s -p Password: x\r").await;
        session.until("\rPassword:").await;
        session.keys("hunter2\r").await;
        session.until("$ ").await;
        session.keys("stty -echo; echo silent; read y; stty echo; echo read\r").await;
        session.until("\rsilent\r").await;
        session.keys("swordfish\r").await;
        session.until("read\r\n").await;
        session.until("$ ").await;
        session.keys("echo /etc/host\tna\t | cat\r").await;
        session.until("\r/etc/hostname").await;
        session.until("$ ").await;
        session.keys("\x1b[A\x1b[A").await;
        session.until("read y").await;
        session.keys("\x03").await;
        session.until("$ ").await;
        session.keys("exit 0\r").await;
        session.until("exit").await;
        session.until("\n").await;
    })
    .await;
    let lines: Vec<&str> = typed.iter().map(String::as_str).filter(|line| *line != ECHO_MARKER).collect();
    assert_eq!(
        lines,
        [
            "echo one\r",
            "echo -n two;echo\r",
            "read -s -p Password: x\r",
            "stty -echo; echo silent; read y; stty echo; echo read\r",
            "echo /etc/host\tna\t | cat\r",
            "exit 0\r",
        ],
        "{file}"
    );
    assert_eq!(typed.len() - lines.len(), 2, "one marker for each password: {typed:?}");
    for secret in ["hunter", "swordfish"] {
        assert!(!file.contains(secret), "{file}");
    }
}

#[tokio::test]
async fn a_paste_is_recorded_line_by_line() {
    let (typed, file) = recorded(BASH, async |session| {
        session.until("$ ").await;
        session.send("\x1b[200~echo a\x1b[201~\r").await;
        session.until("\ra\r").await;
        session.until("$ ").await;
        session.send("echo b\rread -s -p Silent: z\r").await;
        session.until("\rb\r").await;
        session.until("\rSilent:").await;
        session.send("hunter2\r").await;
        session.until("$ ").await;
        session.send("echo d\r").await;
        session.until("\rd\r").await;
    })
    .await;
    assert_eq!(typed, ["echo a\r", "echo b\r", "read -s -p Silent: z\r", ECHO_MARKER, "echo d\r"], "{file}");
    assert!(!file.contains("hunter"), "{file}");
}

#[tokio::test]
async fn the_kernel_s_own_echo_is_understood() {
    let (typed, file) = recorded("cat", async |session| {
        session.send("first line\r").await;
        session.until("first line\r\nfirst line\r\n").await;
        session.keys("secomd\x7f\x7fnd\r").await;
        session.until("\nsecond\r\n").await;
        session.send("third\rfourth\r").await;
        session.until("fourth\r\n").await;
        session.until("fourth\r\n").await;
    })
    .await;
    assert_eq!(typed, ["first line\r", "second\r", "third\r", "fourth\r"], "{file}");
}

#[tokio::test]
async fn python_s_password_prompt_is_understood() {
    let program = "python3 -c 'import getpass; getpass.getpass(); print(\"done\", input(\"name: \"))'";
    let (typed, file) = recorded(program, async |session| {
        session.until("Password: ").await;
        session.keys("hunter2\x7f2\r").await;
        session.until("name: ").await;
        session.keys("alice\r").await;
        session.until("done alice").await;
    })
    .await;
    assert_eq!(typed, [ECHO_MARKER, "alice\r"], "{file}");
    assert!(!file.contains("hunter"), "{file}");
}
