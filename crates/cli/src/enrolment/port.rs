//! What answers at a port, for somebody who gets no answer there.

use std::fmt;
use std::io::Read as _;
use std::net::{TcpStream, ToSocketAddrs as _};
use std::time::Duration;

/// The longest wait for a connection, and for a greeting.
const WAIT: Duration = Duration::from_secs(3);
/// An SSH server may say other lines before its own (RFC 4253, section 4.2); more than this is none.
const MOST: usize = 8 * 1024;

/// What was found at a port.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Port {
    /// An SSH server.
    Ssh,
    /// Something that takes connections and says nothing, as a TLS server does.
    Silent,
    /// Something that says something else, or hangs up.
    Other,
    /// Nothing that takes a connection, in the system's words.
    Dead(String),
}

impl Port {
    /// Connects and listens, without a word.
    pub(crate) fn look(host: &str, port: u16) -> Self {
        let mut why = "the name has no address".to_owned();
        let addresses = match (host, port).to_socket_addrs() {
            Ok(addresses) => addresses,
            Err(error) => return Self::Dead(error.to_string()),
        };
        for address in addresses.take(4) {
            match TcpStream::connect_timeout(&address, WAIT) {
                Ok(stream) => return greeting(stream),
                Err(error) => why = error.to_string(),
            }
        }
        Self::Dead(why)
    }
}

impl fmt::Display for Port {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Ssh => f.write_str("an SSH server answers there"),
            Self::Silent => {
                f.write_str("something answers there and does not greet as SSH servers do: is it a TLS port?")
            }
            Self::Other => f.write_str("what answers there is no SSH server"),
            Self::Dead(why) => write!(f, "nothing answers there ({why})"),
        }
    }
}

fn greeting(mut stream: TcpStream) -> Port {
    if stream.set_read_timeout(Some(WAIT)).is_err() {
        return Port::Other;
    }
    let mut said = Vec::new();
    let mut block = [0; 512];
    while said.len() < MOST {
        match stream.read(&mut block) {
            Ok(0) => break,
            Ok(count) => said.extend(block.iter().take(count)),
            Err(_) if said.is_empty() => return Port::Silent,
            Err(_) => break,
        }
        if said.split(|byte| *byte == b'\n').any(|line| line.starts_with(b"SSH-")) {
            return Port::Ssh;
        }
    }
    Port::Other
}

#[cfg(test)]
mod tests {
    use std::io::Write as _;
    use std::net::TcpListener;

    use super::*;

    fn found(serve: impl FnOnce(TcpStream) + Send + 'static) -> Port {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let serving = std::thread::spawn(move || serve(listener.accept().unwrap().0));
        let found = Port::look("127.0.0.1", port);
        serving.join().unwrap();
        found
    }

    #[test]
    fn what_answers_is_told_apart() {
        assert_eq!(found(|mut stream| stream.write_all(b"hello\r\nSSH-2.0-x\r\n").unwrap()), Port::Ssh);
        assert_eq!(found(|mut stream| stream.write_all(b"220 smtp ready\r\n").unwrap()), Port::Other);
        assert_eq!(found(drop), Port::Other);
        // A TLS server waits for its client, which waits as well: until the client gives up and hangs up.
        assert_eq!(found(|mut stream| drop(stream.read(&mut [0]))), Port::Silent);
        let free = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port();
        assert!(matches!(Port::look("127.0.0.1", free), Port::Dead(_)));
    }
}
