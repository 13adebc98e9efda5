//! Before anybody has said who they are.

use std::io::{Read as _, Write as _};
use std::net::{Ipv4Addr, Shutdown, SocketAddr, TcpStream};
use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use portcullis_tests::{PLACE, wait_for};
use tokio::io::AsyncReadExt as _;
use tokio::net::TcpSocket;

use super::Siege;

const SOON: Duration = Duration::from_secs(60);
const VERSION: &str = "SSH-2.0-abuse\r\n";

/// Says this, and then one byte after the other, until it is shown out.
fn drip(port: u16, first: &[u8], rest: &[u8]) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.write_all(first)?;
    for byte in rest.iter().cycle().take(1200) {
        if stream.write_all(&[*byte]).is_err() {
            return Ok(());
        }
        std::thread::sleep(Duration::from_millis(50));
    }
    bail!("it may go on for ever")
}

#[test]
fn whoever_drips_is_shown_out_before_and_during_the_log_in() -> Result<()> {
    let siege = Siege::with("login-grace = \"3s\"", &[])?;
    let port = siege.site.proxy_port();
    // The longest KEXINIT that may be: it would take half an hour and more.
    let packet = [VERSION.as_bytes(), &[0, 0, 0x80, 0, 4, 20]].concat();
    // Whole packets that say nothing.
    let ignored = [VERSION.as_bytes(), &[0, 0, 0, 12, 6, 2, 0, 0, 0, 0, 0, 0]].concat();
    std::thread::scope(|scope| {
        let mut drips = Vec::new();
        for _ in 0..10 {
            drips.push(scope.spawn(|| drip(port, b"S", b"S")));
            drips.push(scope.spawn(|| drip(port, &packet, b"x")));
            drips.push(scope.spawn(|| drip(port, &ignored, &[0, 0, 0, 12, 6, 2, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])));
        }
        let logging_in = scope.spawn(|| siege.abuse("web1", "drip_at_the_door"));
        for drip in drips {
            drip.join().expect("no panic")?;
        }
        let said = logging_in.join().expect("no panic")?;
        ensure!(said.text() == "dripping\nclosed\n", "{said:?}");
        Ok(())
    })?;
    siege.stands()
}

#[test]
fn whoever_asks_for_the_log_in_without_end_is_answered_as_often_as_there_are_attempts() -> Result<()> {
    let siege = Siege::with("max-auth-tries = 7", &[])?;
    let said = siege.abuse("web1", "services")?;
    ensure!(said.text() == "PermissionDenied 7\n", "{said:?}");
    siege.stands()
}

/// Connects from one of the loopback's many addresses; whether one may stay.
async fn knock(from: u8, port: u16) -> Result<Option<tokio::net::TcpStream>> {
    let socket = TcpSocket::new_v4()?;
    socket.bind(SocketAddr::from((Ipv4Addr::new(127, 0, 0, from), 0)))?;
    let mut stream = socket.connect(SocketAddr::from((Ipv4Addr::LOCALHOST, port))).await?;
    let mut first = [0; 4];
    tokio::time::timeout(SOON, stream.read_exact(&mut first)).await.context("no word")??;
    Ok((&first == b"SSH-").then_some(stream))
}

#[test]
fn thousands_that_never_log_in_cost_little_and_keep_out_only_their_own_address() -> Result<()> {
    let siege = Siege::with("login-grace = \"10m\"", &[])?;
    let port = siege.site.proxy_port();
    let runtime = tokio::runtime::Runtime::new()?;
    let knocks = |from: u8, times: usize| {
        runtime.block_on(async {
            let mut inside = Vec::new();
            for _ in 0..times {
                inside.extend(knock(from, port).await?);
            }
            anyhow::Ok(inside)
        })
    };
    let one = knocks(2, 1000)?;
    ensure!(one.len() == 64, "{} from one address", one.len());
    siege.stands()?;

    let mut all = vec![one];
    for from in 3..14 {
        all.push(knocks(from, 200)?);
    }
    let waiting: usize = all.iter().map(Vec::len).sum();
    ensure!(waiting == 512, "{waiting} in all");
    let refused = siege.site.alice.ssh(&[PLACE, "echo in"])?;
    ensure!(!refused.status.success(), "{refused:?}");
    drop(all);
    wait_for("the places are free again", SOON, || {
        Ok(siege.site.alice.ssh(&[PLACE, "echo in"])?.status.success().then_some(()))
    })?;
    siege.stands()
}

/// Says this, hangs up its own half if asked to, and waits until the proxy has hung up.
fn shown_out(port: u16, said: &[u8], half: bool) -> Result<()> {
    let mut stream = TcpStream::connect((Ipv4Addr::LOCALHOST, port))?;
    stream.set_read_timeout(Some(SOON))?;
    stream.set_write_timeout(Some(SOON))?;
    // Whoever is shown out in the middle of a word gets an error.
    let _ = stream.write_all(said);
    if half {
        let _ = stream.shutdown(Shutdown::Write);
    }
    let mut heard = Vec::new();
    match stream.take(1 << 20).read_to_end(&mut heard) {
        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => bail!("it is still there"),
        Ok(_) | Err(_) => Ok(()),
    }
}

#[test]
fn what_is_no_ssh_is_shown_out_at_once() -> Result<()> {
    // Far beyond the time in which all of them must be gone.
    let siege = Siege::with("login-grace = \"10m\"", &[])?;
    let port = siege.site.proxy_port();
    let packet = |bytes: &[u8]| [VERSION.as_bytes(), bytes].concat();
    let mut list = vec![0, 0, 4, 0, 4, 20];
    list.extend([7; 16]);
    list.extend([0xff; 1024]);
    let noise = crate::clients::noise(100_000);
    for (what, said) in [
        ("another protocol", b"GET / HTTP/1.1\r\nHost: proxy\r\n\r\n".to_vec()),
        ("an old version", b"SSH-1.5-abuse\r\n".to_vec()),
        ("a line without an end", vec![b'x'; 1 << 20]),
        ("a version without an end", [b"SSH-2.0-".as_slice(), &vec![b'x'; 1 << 20]].concat()),
        ("lines without an end", b"hello\r\n".repeat(100_000)),
        ("a length of 4 GiB", packet(&[0xff; 1024])),
        ("a length of 1 MiB", packet(&[[0, 0x10, 0, 0, 4, 20].as_slice(), &vec![0; 1 << 20]].concat())),
        ("a length of nothing", packet(&[0; 1024])),
        ("more padding than packet", packet(&[[0, 0, 0, 12, 0xff, 20].as_slice(), &[0; 1024]].concat())),
        ("a list beyond its packet", packet(&list)),
        ("noise", packet(&noise)),
        ("new keys first", packet(&[0, 0, 0, 12, 10, 21, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("a log-in first", packet(&[0, 0, 0, 12, 10, 50, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
        ("a channel first", packet(&[0, 0, 0, 12, 10, 90, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0])),
    ] {
        shown_out(port, &said, false).with_context(|| what.to_owned())?;
    }
    for said in [b"S".to_vec(), VERSION.into(), packet(&[0, 0]), packet(&[0, 0, 4, 0, 4, 20, 0, 0])] {
        shown_out(port, &said, true).with_context(|| format!("cut off: {said:?}"))?;
    }
    siege.stands()
}
