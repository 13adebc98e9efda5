use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;

use super::*;

const SOON: Duration = Duration::from_secs(5);

async fn pair() -> (TcpStream, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let ours = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    (ours, listener.accept().await.unwrap().0)
}

#[tokio::test]
async fn a_waiting_reader_ends_at_once() {
    let (ours, _theirs) = pair().await;
    let (mut stream, cutter) = Cuttable::tcp(ours);
    let reading = tokio::spawn(async move { stream.read_u8().await });
    tokio::task::yield_now().await;
    cutter.cut();
    let read = tokio::time::timeout(SOON, reading).await.unwrap().unwrap();
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
}

#[tokio::test]
async fn a_writer_to_a_peer_that_does_not_read_ends_at_once_and_the_peer_sees_a_reset() {
    let (ours, mut theirs) = pair().await;
    let (mut stream, cutter) = Cuttable::tcp(ours);
    let writing = tokio::spawn(async move {
        let block = vec![0u8; 1 << 20];
        loop {
            if let Err(error) = stream.write_all(&block).await {
                return error.kind();
            }
        }
    });
    let full = async {
        while !cutter.is_blocked() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, full).await.expect("the socket fills up");
    cutter.cut();
    assert_eq!(tokio::time::timeout(SOON, writing).await.unwrap().unwrap(), io::ErrorKind::ConnectionAborted);
    let mut sink = vec![0; 1 << 16];
    let end = loop {
        match tokio::time::timeout(SOON, theirs.read(&mut sink)).await.expect("the peer learns of it") {
            Ok(0) => break io::ErrorKind::UnexpectedEof,
            Ok(_) => {}
            Err(error) => break error.kind(),
        }
    };
    assert!(matches!(end, io::ErrorKind::ConnectionReset | io::ErrorKind::UnexpectedEof), "{end:?}");
}

#[tokio::test]
async fn a_closed_stream_still_delivers_what_was_written() {
    let (ours, mut theirs) = pair().await;
    let (mut stream, cutter) = Cuttable::tcp(ours);
    stream.write_all(b"farewell").await.unwrap();
    cutter.close();
    drop(stream);
    let mut said = Vec::new();
    tokio::time::timeout(SOON, theirs.read_to_end(&mut said)).await.unwrap().unwrap();
    assert_eq!(said, b"farewell");
    cutter.finished().await;
}

#[tokio::test]
async fn a_stream_that_is_no_socket_can_be_cut_too() {
    let (ours, _theirs) = tokio::io::duplex(16);
    let (mut stream, cutter) = Cuttable::new(ours);
    let writing = tokio::spawn(async move { stream.write_all(&[0; 64]).await });
    tokio::task::yield_now().await;
    cutter.cut();
    assert!(tokio::time::timeout(SOON, writing).await.unwrap().unwrap().is_err());
}

#[tokio::test]
async fn what_waits_in_the_kernel_never_arrives_behind_a_cut() {
    let (ours, mut theirs) = pair().await;
    let (mut stream, cutter) = Cuttable::tcp(ours);
    let writing = tokio::spawn(async move { stream.write_all(&vec![0; 64 << 20]).await });
    let full = async {
        while !cutter.is_blocked() {
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(SOON, full).await.expect("the socket fills up");
    cutter.cut();
    assert!(cutter.ended_for().is_some());
    // What is in the reader's own buffer has arrived before; reading it makes room for what must not come.
    let arrived = rustix::io::ioctl_fionread(&theirs).unwrap();
    let mut sink = vec![0; 1 << 16];
    let mut read = 0;
    loop {
        match tokio::time::timeout(SOON, theirs.read(&mut sink)).await.expect("the peer learns of it") {
            Ok(0) | Err(_) => break,
            Ok(more) => read += more as u64,
        }
    }
    assert!(read <= arrived, "{read} bytes were read, and {arrived} had arrived");
    writing.await.unwrap().unwrap_err();
}

#[tokio::test]
async fn nothing_passes_a_hushed_stream_and_only_its_own_words_a_speaking_one() {
    let (ours, mut theirs) = pair().await;
    let (stream, cutter) = Cuttable::tcp(ours);
    let (mut reading, mut writing) = tokio::io::split(stream);
    theirs.write_all(b"before").await.unwrap();
    let mut taken = [0; 6];
    reading.read_exact(&mut taken).await.unwrap();
    assert!(cutter.hush(), "nothing waits");
    cutter.rouse();
    theirs.write_all(b"behind").await.unwrap();
    let reader = tokio::spawn(async move {
        let mut rest = Vec::new();
        reading.read_to_end(&mut rest).await.map(|_| rest)
    });
    assert!(cutter.settled().await, "nobody wanted to write");
    let writer = tokio::spawn(async move { writing.write_all(b"farewell").await.map(|()| writing) });
    tokio::task::yield_now().await;
    assert_eq!(rustix::io::ioctl_fionread(&theirs).unwrap(), 0);
    cutter.speak();
    let writing = tokio::time::timeout(SOON, writer).await.unwrap().unwrap().unwrap();
    cutter.leave();
    assert_eq!(tokio::time::timeout(SOON, reader).await.unwrap().unwrap().unwrap(), b"", "not what came behind");
    drop(writing);
    cutter.finished().await;
    cutter.close();
    let mut said = [0; 8];
    tokio::time::timeout(SOON, theirs.read_exact(&mut said)).await.unwrap().unwrap();
    assert_eq!(&said, b"farewell");
}

#[tokio::test]
async fn who_wants_to_write_while_hushed_is_not_settled() {
    let (ours, _theirs) = pair().await;
    let (stream, cutter) = Cuttable::tcp(ours);
    let (mut reading, mut writing) = tokio::io::split(stream);
    cutter.hush();
    cutter.rouse();
    let writer = tokio::spawn(async move { writing.write_all(b"late").await });
    let reader = tokio::spawn(async move { reading.read_u8().await });
    let held = async {
        while !cutter.shared.held.load(Ordering::SeqCst) {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(SOON, held).await.unwrap();
    assert!(!tokio::time::timeout(SOON, cutter.settled()).await.unwrap());
    cutter.cut();
    assert!(writer.await.unwrap().is_err() && reader.await.unwrap().is_err());
}

#[tokio::test]
async fn who_uses_a_severed_stream_learns_of_it_when_roused() {
    let (ours, mut theirs) = pair().await;
    let (mut stream, cutter) = Cuttable::tcp(ours);
    let reading = tokio::spawn(async move { stream.read_u8().await });
    tokio::task::yield_now().await;
    cutter.sever();
    assert!(tokio::time::timeout(SOON, theirs.read_u8()).await.unwrap().is_err(), "the peer learns of it at once");
    assert!(!reading.is_finished());
    cutter.rouse();
    let read = tokio::time::timeout(SOON, reading).await.unwrap().unwrap();
    assert_eq!(read.unwrap_err().kind(), io::ErrorKind::ConnectionAborted);
    assert!(!tokio::time::timeout(SOON, cutter.settled()).await.unwrap(), "nobody is there to speak");
}
