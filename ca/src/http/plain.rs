//! What those hear who speak no TLS to the API's port: one sentence in their own protocol, and the end.
//!
//! A TLS client speaks first, with a record of type 22 (RFC 8446, section 5.1). ssh says its version first too, and an HTTP
//! client its method. Without a word they would see a connection that closes, and look for the fault anywhere but in
//! the port. Nothing that they send is used for anything else.

use std::io;
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;
use tokio::time::timeout;

/// The type of a TLS record with a handshake.
const TLS: u8 = 22;
/// How long somebody may take to hear it.
const FAREWELL: Duration = Duration::from_secs(1);
/// How much of what they still send is read away, so that the system does not reset the connection over their answer.
const AWAY: u64 = 64 << 10;

const TO_SSH: &str = "this is the API of Portcullis, which speaks HTTPS: ssh goes to the proxy's port, and portcullis ssh \
                      LOGIN@TARGET knows which that is";
const TO_HTTP: &str = "This is the API of Portcullis, which speaks HTTPS only: begin the address with https://\n";

/// Lets whoever begins with TLS pass, and says to everybody else that they are wrong here.
///
/// # Errors
/// It was no TLS, or nothing came within `patience`.
pub(super) async fn turn_away(stream: &mut TcpStream, patience: Duration) -> io::Result<()> {
    let mut first = [0; 4];
    let seen = timeout(patience, stream.peek(&mut first)).await.map_err(|_| io::ErrorKind::TimedOut)??;
    let words = match first.get(..seen).unwrap_or_default() {
        // An end without a word is for the TLS layer to judge, like everything that is no text.
        [] | [TLS, ..] => return Ok(()),
        begun if b"SSH-".starts_with(begun) => to_ssh(),
        [letter, ..] if letter.is_ascii_uppercase() => to_http(),
        [..] => return Ok(()),
    };
    // Whoever does not listen is not waited for.
    let _ = timeout(FAREWELL, say(stream, &words)).await;
    Err(io::Error::new(io::ErrorKind::InvalidData, "not TLS"))
}

async fn say(stream: &mut TcpStream, words: &[u8]) -> io::Result<()> {
    stream.write_all(words).await?;
    stream.shutdown().await?;
    tokio::io::copy(&mut stream.take(AWAY), &mut tokio::io::sink()).await?;
    Ok(())
}

/// A version, and SSH_MSG_DISCONNECT in the clear, as it may be sent before any key (RFC 4253, sections 4.2, 6 and 11.1).
fn to_ssh() -> Vec<u8> {
    const DISCONNECT: u8 = 1;
    const BY_APPLICATION: u32 = 11;
    const BLOCK: usize = 8;
    let string = |text: &str| [&length(text.len())[..], text.as_bytes()].concat();
    let payload = [&[DISCONNECT][..], &BY_APPLICATION.to_be_bytes(), &string(TO_SSH), &string("")].concat();
    let bare = 4 + 1 + payload.len();
    // At least four bytes of padding, up to a whole number of blocks.
    let padding = (bare + 4).next_multiple_of(BLOCK) - bare;
    let framed = length(1 + payload.len() + padding);
    let padding = vec![0; padding];
    let count = u8::try_from(padding.len()).unwrap_or(u8::MAX);
    [&b"SSH-2.0-portcullis_api\r\n"[..], &framed, &[count], &payload, &padding].concat()
}

fn to_http() -> Vec<u8> {
    format!(
        "HTTP/1.1 400 Bad Request\r\nconnection: close\r\ncontent-type: text/plain; charset=utf-8\r\n\
         content-length: {}\r\n\r\n{TO_HTTP}",
        TO_HTTP.len()
    )
    .into_bytes()
}

fn length(of: usize) -> [u8; 4] {
    u32::try_from(of).unwrap_or(u32::MAX).to_be_bytes()
}

#[cfg(test)]
mod tests {
    use tokio::net::TcpListener;

    use super::*;

    const LONG: Duration = Duration::from_secs(20);

    /// Somebody who says this first; what becomes of it, and what they hear until the connection ends.
    async fn met(said: &[u8], patience: Duration) -> (io::Result<()>, Vec<u8>) {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let mut peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
        let (mut stream, _) = listener.accept().await.unwrap();
        peer.write_all(said).await.unwrap();
        let met = turn_away(&mut stream, patience).await;
        drop(stream);
        let mut heard = Vec::new();
        let _ = timeout(LONG, peer.read_to_end(&mut heard)).await.unwrap();
        (met, heard)
    }

    #[tokio::test]
    async fn who_speaks_tls_or_nothing_that_we_know_passes_without_a_word() {
        for said in [&[TLS, 3, 1, 2, 0][..], &[TLS], &[0, 1, 2], b"\xff", b"get / http"] {
            let (met, heard) = met(said, LONG).await;
            assert!(met.is_ok() && heard.is_empty(), "{said:?}: {met:?} {heard:?}");
        }
    }

    #[tokio::test]
    async fn ssh_and_http_hear_one_sentence_in_their_own_words() {
        let (refused, heard) = met(b"SSH-2.0-OpenSSH_9.2\r\n", LONG).await;
        assert_eq!(refused.unwrap_err().kind(), io::ErrorKind::InvalidData);
        let text = String::from_utf8_lossy(&heard);
        assert!(
            text.starts_with("SSH-2.0-portcullis_api\r\n") && text.contains("ssh goes to the proxy's port"),
            "{text}"
        );
        // The packet is as long as it says, and in whole blocks.
        let packet = &heard[24..];
        let says = usize::try_from(u32::from_be_bytes(packet[..4].try_into().unwrap())).unwrap();
        assert_eq!((says + 4, packet.len() % 8), (packet.len(), 0));

        let (refused, heard) = met(b"GET /v1/status HTTP/1.1\r\nhost: ca\r\n\r\n", LONG).await;
        assert!(refused.is_err());
        let text = String::from_utf8_lossy(&heard);
        assert!(text.starts_with("HTTP/1.1 400 ") && text.ends_with(TO_HTTP), "{text}");
    }

    #[tokio::test]
    async fn who_says_nothing_is_not_waited_for() {
        let (met, heard) = met(b"", Duration::from_millis(50)).await;
        assert_eq!(met.unwrap_err().kind(), io::ErrorKind::TimedOut);
        assert!(heard.is_empty());
    }
}
