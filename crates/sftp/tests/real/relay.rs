//! Two pipes between a client and a server, with a watch between them.
//!
//! A client starts a script in the place of `ssh` or `sftp-server`; the script copies its standard input and output
//! from and to two named pipes, at whose other ends the watch sits. It ends when the server's side does.

use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::mpsc::{self, Receiver, Sender};
use std::thread;

use bytes::Bytes;
use sftp::{Broken, Operation, Passed, Side, Watch};

/// What was fed to the watch, in order, and what came of it.
#[derive(Default)]
pub(crate) struct Transcript {
    pub(crate) fed: Vec<(Side, Bytes)>,
    pub(crate) operations: Vec<Operation>,
    pub(crate) broken: Option<Broken>,
    pub(crate) most_held: usize,
}

/// The script and its pipes.
pub(crate) struct Door {
    pub(crate) script: PathBuf,
    up: PathBuf,
    down: PathBuf,
    command: PathBuf,
}

impl Door {
    pub(crate) fn new(folder: &Path) -> Self {
        let [script, up, down, command] = ["door", "up", "down", "command"].map(|name| folder.join(name));
        let made = Command::new("mkfifo").args([&up, &down]).status().unwrap();
        assert!(made.success());
        let text = format!(
            "#!/bin/sh\nprintf '%s' \"$*\" >'{command}'\nexec 3<&0\ncat <&3 >'{up}' &\ncat '{down}'\nkill $! 2>/dev/null || true\n",
            command = command.display(),
            up = up.display(),
            down = down.display(),
        );
        fs::write(&script, text).unwrap();
        fs::set_permissions(&script, fs::Permissions::from_mode(0o700)).unwrap();
        Self { script, up, down, command }
    }

    /// Waits for the client to come, and gives both ends and the words with which it started the script.
    pub(crate) fn open(&self) -> (File, File, String) {
        let from_client = File::open(&self.up).unwrap();
        let to_client = OpenOptions::new().write(true).open(&self.down).unwrap();
        (from_client, to_client, fs::read_to_string(&self.command).unwrap())
    }
}

/// Carries bytes until both sides have ended. Who has to wait is not read from, as the trait asks.
pub(crate) fn carry(
    watch: impl Watch + Send + 'static,
    (from_client, to_client): (File, File),
    server: &mut Child,
) -> Transcript {
    let (to_server, from_server) = (server.stdin.take().unwrap(), server.stdout.take().unwrap());
    let (server_queue, to_server) = writer(to_server);
    let (client_queue, to_client) = writer(to_client);
    let (events, next) = mpsc::sync_channel(1);
    let (client_go, client_gate) = mpsc::channel();
    let (server_go, server_gate) = mpsc::channel();
    let readers = [
        reader(from_client, Side::Client, events.clone(), client_gate),
        reader(from_server, Side::Server, events, server_gate),
    ];
    let mut queues = (Some(server_queue), Some(client_queue));
    let mut watch = watch;
    let mut transcript = Transcript::default();
    let mut passed = Passed::default();
    let (mut client_waits, mut server_waits) = (true, true);
    let _ = (client_go.send(()), server_go.send(()));
    while let Ok((side, piece)) = next.recv() {
        match (side, piece) {
            (Side::Client, None) => queues.0 = None,
            (Side::Server, None) => queues.1 = None,
            (side, Some(piece)) => {
                transcript.fed.push((side, piece.clone()));
                let result = match side {
                    Side::Client => watch.client(piece, &mut passed),
                    Side::Server => watch.server(piece, &mut passed),
                };
                transcript.broken = transcript.broken.or(result.err());
                if side == Side::Client { client_waits = false } else { server_waits = false }
            }
        }
        transcript.most_held = transcript.most_held.max(watch.held());
        for (queue, pieces) in [(&queues.0, &mut passed.to_server), (&queues.1, &mut passed.to_client)] {
            for piece in pieces.drain(..) {
                if let Some(queue) = queue {
                    let _ = queue.send(piece);
                }
            }
        }
        if transcript.broken.is_some() {
            break;
        }
        if !client_waits && !watch.holds_client() {
            client_waits = client_go.send(()).is_ok();
        }
        if !server_waits && !watch.holds_server() {
            server_waits = server_go.send(()).is_ok();
        }
    }
    watch.finish(&mut passed);
    transcript.operations = passed.operations;
    drop((queues, client_go, server_go, next));
    if transcript.broken.is_some() {
        let _ = server.kill();
    }
    let _ = (to_server.join(), to_client.join());
    for reader in readers {
        // A client that was cut off may keep its pipe for a moment; nobody waits for that.
        if transcript.broken.is_none() {
            reader.join().unwrap();
        }
    }
    server.wait().unwrap();
    transcript
}

type Event = (Side, Option<Bytes>);

fn reader(
    mut from: impl Read + Send + 'static,
    side: Side,
    events: mpsc::SyncSender<Event>,
    gate: Receiver<()>,
) -> thread::JoinHandle<()> {
    thread::spawn(move || {
        let mut piece = vec![0; 32 * 1024];
        loop {
            if gate.recv().is_err() {
                return;
            }
            let count = from.read(&mut piece).unwrap_or(0);
            let event = (count > 0).then(|| Bytes::copy_from_slice(&piece[..count]));
            let last = event.is_none();
            if events.send((side, event)).is_err() || last {
                return;
            }
        }
    })
}

fn writer(mut to: impl Write + Send + 'static) -> (Sender<Bytes>, thread::JoinHandle<io::Result<()>>) {
    let (queue, pieces) = mpsc::channel::<Bytes>();
    let thread = thread::spawn(move || {
        for piece in pieces {
            to.write_all(&piece)?;
        }
        Ok(())
    });
    (queue, thread)
}

/// A server on pipes.
pub(crate) fn server(command: &mut Command) -> Child {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::null()).spawn().unwrap()
}
