//! A relay in front of a peer of the proxy, which can stop taking what the proxy sends, and says how much of it is there.

use std::sync::{Arc, OnceLock};
use std::time::Duration;

use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

const SOON: Duration = Duration::from_secs(20);

/// Which of its two sides the proxy is on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxy {
    /// It connects to the relay.
    Before,
    /// The relay connects to it.
    Behind,
}

/// Carries the first connection that comes.
pub struct Relay {
    pub port: u16,
    held: watch::Sender<bool>,
    from_proxy: Arc<OnceLock<Arc<TcpStream>>>,
}

impl Relay {
    pub async fn start(to: u16, proxy: Proxy) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let port = listener.local_addr().unwrap().port();
        let (held, hold) = watch::channel(false);
        let from_proxy = Arc::<OnceLock<Arc<TcpStream>>>::default();
        let ours = from_proxy.clone();
        tokio::spawn(async move {
            let (accepted, _) = listener.accept().await.unwrap();
            let onward = TcpStream::connect(("127.0.0.1", to)).await.unwrap();
            let (source, peer) = match proxy {
                Proxy::Before => (Arc::new(accepted), Arc::new(onward)),
                Proxy::Behind => (Arc::new(onward), Arc::new(accepted)),
            };
            ours.set(source.clone()).unwrap();
            tokio::spawn(copy(peer.clone(), source.clone(), watch::channel(false).1));
            copy(source, peer, hold).await;
        });
        Self { port, held, from_proxy }
    }

    /// From now on nothing that the proxy sends is taken.
    pub fn hold(&self) {
        self.held.send_replace(true);
    }

    /// How many bytes have come from the proxy and were not taken.
    pub fn waiting(&self) -> u64 {
        rustix::io::ioctl_fionread(self.from_proxy.get().unwrap()).unwrap()
    }

    /// Waits until the proxy can send no more.
    pub async fn full(&self) {
        let look = async {
            let mut before = 0;
            loop {
                tokio::time::sleep(Duration::from_millis(300)).await;
                match self.waiting() {
                    now if now > 0 && now == before => return,
                    now => before = now,
                }
            }
        };
        tokio::time::timeout(SOON, look).await.expect("the proxy fills the socket");
    }

    /// Takes everything that there is and that still comes, until the connection ends.
    pub async fn rest(&self) -> u64 {
        let stream = self.from_proxy.get().unwrap();
        let mut buffer = vec![0; 1 << 16];
        let mut taken = 0;
        let read = async {
            loop {
                if stream.readable().await.is_err() {
                    return;
                }
                match stream.try_read(&mut buffer) {
                    Ok(0) => return,
                    Ok(more) => taken += more as u64,
                    Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                    Err(_) => return,
                }
            }
        };
        tokio::time::timeout(SOON, read).await.expect("the connection ends");
        taken
    }
}

async fn copy(from: Arc<TcpStream>, to: Arc<TcpStream>, mut hold: watch::Receiver<bool>) {
    let mut buffer = vec![0; 1 << 16];
    loop {
        tokio::select! {
            biased;
            Ok(_) = hold.wait_for(|held| *held) => return,
            readable = from.readable() => readable.unwrap(),
        }
        match from.try_read(&mut buffer) {
            Ok(0) => break,
            Ok(read) => {
                let mut rest = &buffer[..read];
                while !rest.is_empty() {
                    if to.writable().await.is_err() {
                        return;
                    }
                    match to.try_write(rest) {
                        Ok(written) => rest = &rest[written..],
                        Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
                        Err(_) => return,
                    }
                }
            }
            Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => {}
            Err(_) => break,
        }
    }
    let _ = rustix::net::shutdown(&to, rustix::net::Shutdown::Write);
}
