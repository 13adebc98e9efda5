use std::convert::Infallible;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpListener;

use super::*;

const SHORT: Duration = Duration::from_millis(100);
const LONG: Duration = Duration::from_secs(20);
/// Nobody's patience ends.
const ENDLESS: Patience = Patience { first: LONG, stall: LONG, stranger: LONG, idle: LONG };

/// Both ends of a connection, ours guarded.
async fn pair(guard: &Guard, standing: Standing) -> (Guarded, TcpStream) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let peer = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    (guard.admit(stream, standing).unwrap(), peer)
}

/// The standing of somebody who has asked for something with a good token.
fn known() -> Standing {
    let standing = Standing::new();
    standing.ask();
    standing.prove();
    standing
}

/// Sends a byte now and then for as long as the other side takes it.
fn trickle(mut peer: TcpStream) -> tokio::task::JoinHandle<()> {
    tokio::spawn(async move {
        while peer.write_all(b"G").await.is_ok() {
            tokio::time::sleep(SHORT / 10).await;
        }
    })
}

/// A service that believes everybody.
struct Prover;

impl Service<Request<()>> for Prover {
    type Response = ();
    type Error = Infallible;
    type Future = std::future::Ready<Result<(), Infallible>>;

    fn poll_ready(&mut self, _: &mut Context<'_>) -> Poll<Result<(), Infallible>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, request: Request<()>) -> Self::Future {
        request.extensions().get::<Standing>().unwrap().prove();
        std::future::ready(Ok(()))
    }
}

async fn times_out(ours: &mut Guarded) {
    let mut sink = Vec::new();
    let error = tokio::time::timeout(LONG, ours.read_to_end(&mut sink)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn trickling_bytes_win_no_time_for_the_first_request() {
    let guard = Guard::new(4, Patience { first: SHORT, ..ENDLESS });
    let (mut ours, peer) = pair(&guard, Standing::new()).await;
    let trickle = trickle(peer);
    times_out(&mut ours).await;
    drop(ours);
    trickle.await.unwrap();
}

#[tokio::test]
async fn somebody_without_a_token_does_not_stay_however_many_bytes_come() {
    let guard = Guard::new(4, Patience { first: SHORT, stranger: SHORT, ..ENDLESS });
    let standing = Standing::new();
    standing.ask();
    let (mut ours, peer) = pair(&guard, standing).await;
    let trickle = trickle(peer);
    times_out(&mut ours).await;
    drop(ours);
    trickle.await.unwrap();
}

#[tokio::test(start_paused = true)]
async fn what_came_before_the_end_is_not_read_behind_it() {
    let guard = Guard::new(4, Patience { first: SHORT, stranger: SHORT, ..ENDLESS });
    let standing = Standing::new();
    standing.ask();
    let (mut ours, mut peer) = pair(&guard, standing).await;
    peer.write_all(b"two").await.unwrap();
    assert_eq!(ours.read_u8().await.unwrap(), b't');
    tokio::time::advance(SHORT * 2).await;
    let mut rest = Vec::new();
    assert_eq!(ours.read_to_end(&mut rest).await.unwrap_err().kind(), io::ErrorKind::TimedOut);
    assert!(rest.is_empty());
}

/// With a clock of the test's own: requests put the end off, and nothing else does.
#[tokio::test(start_paused = true)]
async fn each_request_gives_somebody_without_a_token_the_same_time_again() {
    let minute = Duration::from_secs(60);
    let patience = Patience { first: Duration::from_secs(15), stranger: minute, stall: minute, idle: minute * 30 };
    let guard = Guard::new(4, patience);
    let standing = Standing::new();
    standing.ask();
    let (mut ours, _peer) = pair(&guard, standing.clone()).await;
    let began = Instant::now();
    for _ in 0..3 {
        assert!(tokio::time::timeout(minute * 2 / 3, ours.read_u8()).await.is_err(), "it still waits");
        standing.ask();
    }
    let error = ours.read_u8().await.unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    let stayed = began.elapsed();
    assert!(stayed >= minute * 3 && stayed < minute * 3 + Duration::from_secs(1), "{stayed:?}");
}

#[tokio::test(start_paused = true)]
async fn somebody_with_a_token_may_be_quiet_for_long() {
    let guard = Guard::new(4, Patience::default());
    let (mut ours, _peer) = pair(&guard, known()).await;
    assert!(tokio::time::timeout(Duration::from_secs(29 * 60), ours.read_u8()).await.is_err(), "it still waits");
    assert_eq!(ours.read_u8().await.unwrap_err().kind(), io::ErrorKind::TimedOut);
}

#[tokio::test]
async fn the_service_notes_each_request_and_hands_the_standing_on() {
    let standing = Standing::new();
    let mut service = Seen { service: Prover, standing: standing.clone() };
    assert!(standing.asked().is_none() && !standing.is_known());
    service.call(Request::new(())).await.unwrap();
    assert!(standing.asked().is_some() && standing.is_known());
}

#[tokio::test]
async fn after_a_request_silence_is_allowed_and_not_reading_is_not() {
    let guard = Guard::new(4, Patience { first: SHORT, stall: SHORT, stranger: SHORT, idle: LONG });
    let (mut ours, peer) = pair(&guard, known()).await;
    let mut byte = [0];
    assert!(tokio::time::timeout(SHORT * 3, ours.read(&mut byte)).await.is_err(), "it still waits");
    let much = vec![0; 64 << 20];
    let error = tokio::time::timeout(LONG, ours.write_all(&much)).await.unwrap().unwrap_err();
    assert_eq!(error.kind(), io::ErrorKind::TimedOut);
    drop(peer);
}

#[tokio::test]
async fn a_connection_on_which_nothing_moves_ends() {
    let guard = Guard::new(4, Patience { idle: SHORT, ..ENDLESS });
    let (mut ours, _peer) = pair(&guard, known()).await;
    times_out(&mut ours).await;
}

#[tokio::test]
async fn places_are_given_back() {
    let guard = Guard::new(1, Patience::default());
    let (first, _peer) = pair(&guard, Standing::new()).await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let _second = TcpStream::connect(listener.local_addr().unwrap()).await.unwrap();
    let (stream, _) = listener.accept().await.unwrap();
    assert!(guard.admit(stream, Standing::new()).is_err());
    drop(first);
    pair(&guard, Standing::new()).await;
}

#[test]
fn one_household_of_ipv6_is_one_peer() {
    let at = |text: &str| network(text.parse().unwrap());
    assert_eq!(at("2001:db8:1:2::1"), at("2001:db8:1:2:ffff:ffff:ffff:ffff"));
    assert_ne!(at("2001:db8:1:2::1"), at("2001:db8:1:3::1"));
    assert_eq!(at("::ffff:192.0.2.1"), at("192.0.2.1"));
    assert_ne!(at("192.0.2.1"), at("192.0.2.2"));
    assert!(at("::1").is_loopback() && at("::ffff:127.0.0.1").is_loopback());
}

#[test]
fn a_household_does_not_take_every_place() {
    let guard = Guard::new(8, Patience::default());
    let take = |text: &str| guard.take(text.parse().unwrap());
    let _first = take("2001:db8::1").unwrap();
    let _second = take("2001:db8::2").unwrap();
    assert!(take("2001:db8::3").is_err(), "a quarter for one household");
    assert!(take("2001:db8:0:1::3").is_ok());
}
