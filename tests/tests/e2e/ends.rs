//! Both ends of a forward: a server that speaks first, and who talks to it; and a path that lets everything through.

use std::io::{self, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::thread;

use anyhow::{Context as _, Result, anyhow, ensure};
use portcullis_tests::wait_for;

use crate::stock::LIMIT;

/// A policy whose only path has forwards of every kind, to and on this machine.
pub(crate) const EVERY_FORWARD: &str = r#"
    @id("asks")
    @permit_open("127.0.0.1:*, localhost:*, /**")
    @permit_listen("127.0.0.1:*, localhost:*, /**")
    @extensions("permit-pty, permit-agent-forwarding, permit-X11-forwarding")
    permit (principal, action == Action::"request", resource);
    @id("reviews")
    permit (principal in Group::"approvers", action == Action::"review", resource);
    @id("connects")
    permit (principal, action == Action::"connect", resource);
    @id("administers")
    permit (principal in Group::"admins", action in [Action::"lock", Action::"administer"], resource);
    @id("looks")
    permit (principal in Group::"security", action in [Action::"replay", Action::"administer"], resource);
"#;

/// One end of a connection, of either kind.
pub(crate) trait End: Read + Write + Send + Sized + 'static {
    /// The same end once more.
    fn twin(&self) -> io::Result<Self>;
    /// Says that nothing more comes from here.
    fn finish(&self) -> io::Result<()>;
    /// Waits for the other end no longer than any step of a test may take.
    fn bounded(&self) -> io::Result<()>;
}

impl End for TcpStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }

    fn bounded(&self) -> io::Result<()> {
        self.set_read_timeout(Some(LIMIT)).and_then(|()| self.set_write_timeout(Some(LIMIT)))
    }
}

impl End for UnixStream {
    fn twin(&self) -> io::Result<Self> {
        self.try_clone()
    }

    fn finish(&self) -> io::Result<()> {
        self.shutdown(std::net::Shutdown::Write)
    }

    fn bounded(&self) -> io::Result<()> {
        self.set_read_timeout(Some(LIMIT)).and_then(|()| self.set_write_timeout(Some(LIMIT)))
    }
}

/// A server that speaks first, echoes what it is sent, and says at the end how much that was. It listens on a port and on
/// a socket, for as long as the process of the tests lives.
pub(crate) struct Greeter {
    /// Its port on the loopback.
    pub(crate) port: u16,
    /// Its socket.
    pub(crate) socket: PathBuf,
}

impl Greeter {
    /// Starts it.
    pub(crate) fn start(socket: PathBuf) -> Result<Self> {
        let (tcp, unix) = (TcpListener::bind(("127.0.0.1", 0))?, UnixListener::bind(&socket)?);
        let port = tcp.local_addr()?.port();
        thread::spawn(move || tcp.incoming().flatten().for_each(serve));
        thread::spawn(move || unix.incoming().flatten().for_each(serve));
        Ok(Self { port, socket })
    }
}

fn serve(stream: impl End) {
    thread::spawn(move || greet(stream));
}

fn greet(mut stream: impl End) -> io::Result<()> {
    stream.write_all(b"hello\n")?;
    let mut count = 0;
    let mut buffer = vec![0; 1 << 16];
    loop {
        let taken = stream.read(&mut buffer)?;
        if taken == 0 {
            break;
        }
        count += taken;
        stream.write_all(buffer.get(..taken).unwrap_or_default())?;
    }
    stream.write_all(format!("bye {count}\n").as_bytes())?;
    stream.finish()
}

/// Is greeted before it says anything, sends, ends its own direction, and reads to the end: all that was sent comes back,
/// and the farewell behind it.
pub(crate) fn converse(mut stream: impl End, bytes: &[u8]) -> Result<()> {
    stream.bounded()?;
    let mut hello = [0; 6];
    stream.read_exact(&mut hello).context("the server's first bytes")?;
    ensure!(&hello == b"hello\n", "it says {hello:?}");
    let mut all = Vec::new();
    thread::scope(|scope| {
        let mut twin = stream.twin()?;
        let sending = scope.spawn(move || twin.write_all(bytes).and_then(|()| twin.finish()));
        stream.read_to_end(&mut all).with_context(|| format!("behind {} bytes", all.len()))?;
        sending.join().map_err(|_| anyhow!("the sender panicked"))?.context("sending")
    })?;
    let farewell = format!("bye {}\n", bytes.len());
    ensure!(all.len() == bytes.len() + farewell.len(), "{} bytes of {}", all.len(), bytes.len() + farewell.len());
    ensure!(all.starts_with(bytes) && all.ends_with(farewell.as_bytes()), "other bytes came back");
    Ok(())
}

/// Connects as soon as somebody listens.
pub(crate) fn dial(port: u16) -> Result<TcpStream> {
    wait_for(&format!("somebody on port {port}"), LIMIT, || Ok(TcpStream::connect(("127.0.0.1", port)).ok()))
}

/// The same, to a socket.
pub(crate) fn dial_socket(path: &Path) -> Result<UnixStream> {
    wait_for(&format!("somebody on {}", path.display()), LIMIT, || Ok(UnixStream::connect(path).ok()))
}

/// A connection through a SOCKS5 proxy (RFC 1928) to a named host.
pub(crate) fn dial_socks(proxy: u16, host: &str, port: u16) -> Result<TcpStream> {
    let mut stream = dial(proxy)?;
    stream.bounded()?;
    // No log-in.
    stream.write_all(&[5, 1, 0])?;
    let mut method = [0; 2];
    stream.read_exact(&mut method)?;
    ensure!(method == [5, 0], "it wants {method:?}");
    let mut ask = vec![5, 1, 0, 3, u8::try_from(host.len())?];
    ask.extend_from_slice(host.as_bytes());
    ask.extend_from_slice(&port.to_be_bytes());
    stream.write_all(&ask)?;
    let mut reply = [0; 4];
    stream.read_exact(&mut reply)?;
    let [version, verdict, _, kind] = reply;
    ensure!((version, verdict) == (5, 0), "it says {reply:?}");
    // An address, or a name, and a port.
    let mut rest = match kind {
        1 => vec![0; 4 + 2],
        _ => {
            let mut length = [0];
            stream.read_exact(&mut length)?;
            vec![0; usize::from(length[0]) + 2]
        }
    };
    stream.read_exact(&mut rest)?;
    Ok(stream)
}
