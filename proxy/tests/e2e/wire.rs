//! What the patch to russh promises: russh against russh, over a pipe that is small on purpose.

use std::sync::Arc;
use std::time::Duration;

use russh::keys::PublicKeyOrCertificate;
use russh::server::{Auth, ChannelOpenHandle, Msg, Session};
use russh::{Channel, ChannelMsg, Pty, client, server};
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::authority::new_key;

const SOON: Duration = Duration::from_secs(20);
const WINDOW: u32 = 256 * 1024;
/// What each end writes when both write at once.
const ALL: usize = 8 << 20;

struct Door(mpsc::UnboundedSender<(Channel<Msg>, server::Handle)>);

impl server::Handler for Door {
    type Error = russh::Error;

    async fn auth_none(&mut self, _: &str) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        let _ = self.0.send((channel, session.handle()));
        reply.accept().await;
        Ok(())
    }
}

struct Guest;

impl client::Handler for Guest {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

struct Pair {
    guest: client::Handle<Guest>,
    opened: mpsc::UnboundedReceiver<(Channel<Msg>, server::Handle)>,
}

impl Pair {
    /// Both ends of a connection over a pipe of this many bytes.
    async fn new(pipe: usize) -> Self {
        let (ours, theirs) = tokio::io::duplex(pipe);
        let config = server::Config {
            keys: vec![new_key()],
            window_size: WINDOW,
            channel_buffer_size: 64,
            auth_rejection_time: Duration::ZERO,
            ..server::Config::default()
        };
        let (sender, opened) = mpsc::unbounded_channel();
        let serving = tokio::spawn(server::run_stream(Arc::new(config), theirs, Door(sender)));
        let config = client::Config { window_size: WINDOW, ..client::Config::default() };
        let mut guest = client::connect_stream(Arc::new(config), ours, Guest).await.unwrap();
        assert!(guest.authenticate_none("anyone").await.unwrap().success());
        drop(serving.await.unwrap().unwrap());
        Self { guest, opened }
    }

    /// A channel from both sides.
    async fn channel(&mut self) -> (Channel<client::Msg>, Channel<Msg>, server::Handle) {
        let ours = timeout(SOON, self.guest.channel_open_session()).await.expect("opened").unwrap();
        let (theirs, handle) = timeout(SOON, self.opened.recv()).await.unwrap().unwrap();
        (ours, theirs, handle)
    }
}

async fn next_data(channel: &mut Channel<Msg>) -> Vec<u8> {
    loop {
        match timeout(SOON, channel.wait()).await.expect("something arrives") {
            Some(ChannelMsg::Data { data }) => return data.to_vec(),
            Some(_) => {}
            None => panic!("the channel ended"),
        }
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn an_unread_channel_takes_one_window_and_stops_nobody() {
    let mut pair = Pair::new(16 * 1024).await;
    let (ours, mut unread, _) = pair.channel().await;
    let (sender, mut accepted) = mpsc::unbounded_channel();
    let feeding = tokio::spawn(async move {
        loop {
            ours.data_bytes(vec![1; 1024]).await.unwrap();
            sender.send(1024).unwrap();
        }
    });
    let mut taken = 0;
    // Whatever is accepted beyond the window lies in no queue: there are ten places in one, and the window.
    while let Ok(Some(bytes)) = timeout(Duration::from_millis(300), accepted.recv()).await {
        taken += bytes;
    }
    assert_eq!(taken, WINDOW as usize, "the peer may send a window and no more");

    for round in 0..3 {
        let (ours, mut theirs, handle) = pair.channel().await;
        ours.data_bytes(format!("hello {round}")).await.unwrap();
        assert_eq!(next_data(&mut theirs).await, format!("hello {round}").into_bytes());
        handle.data(theirs.id(), "answer").await.unwrap();
        let mut ours = ours;
        assert!(matches!(timeout(SOON, ours.wait()).await, Ok(Some(ChannelMsg::Data { .. }))));
    }

    // Once it is read it goes on, and nothing is missing.
    let mut read = 0;
    while read < 4 * WINDOW as usize {
        read += next_data(&mut unread).await.len();
    }
    feeding.abort();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_channel_whose_reader_is_gone_still_lets_its_peer_finish() {
    let mut pair = Pair::new(16 * 1024).await;
    let (ours, theirs, _) = pair.channel().await;
    let (reader, writer) = theirs.split();
    ours.data_bytes(vec![1; WINDOW as usize]).await.unwrap();
    drop(reader);
    let much = timeout(SOON, ours.data_bytes(vec![2; 8 * WINDOW as usize])).await;
    much.expect("thrown away, not held up").unwrap();
    writer.data_bytes("still open").await.unwrap();
    let mut ours = ours;
    let heard = async {
        loop {
            if let Some(ChannelMsg::Data { data }) = ours.wait().await {
                return data;
            }
        }
    };
    assert_eq!(&timeout(SOON, heard).await.unwrap()[..], b"still open");
}

#[tokio::test(flavor = "multi_thread")]
async fn small_packets_arrive_whole_and_in_order() {
    let mut pair = Pair::new(16 * 1024).await;
    let (ours, mut theirs, _) = pair.channel().await;
    let sending = tokio::spawn(async move {
        for byte in 0..200_000u32 {
            ours.data_bytes(vec![(byte % 251) as u8]).await.unwrap();
            if byte % 1000 == 0 {
                ours.set_env(false, "N", byte.to_string()).await.unwrap();
            }
        }
        ours.eof().await.unwrap();
        ours
    });
    let mut read = 0u32;
    loop {
        match timeout(SOON, theirs.wait()).await.unwrap() {
            Some(ChannelMsg::Data { data }) => {
                for byte in data {
                    assert_eq!(byte, (read % 251) as u8, "at {read}");
                    read += 1;
                }
            }
            Some(ChannelMsg::SetEnv { variable_value, .. }) => {
                assert_eq!(variable_value, (read - 1).to_string(), "requests keep their place in the data");
            }
            Some(ChannelMsg::Eof) => break,
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(read, 200_000);
    drop(sending.await.unwrap());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_requests_costs_the_channel_and_nothing_else() {
    let mut pair = Pair::new(16 * 1024).await;
    let (flood, mut flooded, _) = pair.channel().await;
    for n in 0..2000 {
        flood.set_env(false, "X".repeat(1000), n.to_string()).await.unwrap();
    }
    let (ours, mut theirs, _) = pair.channel().await;
    ours.data_bytes("alive").await.unwrap();
    assert_eq!(next_data(&mut theirs).await, b"alive");
    assert!(timeout(SOON, flooded.wait()).await.unwrap().is_none(), "its queue was thrown away");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_pair_up_with_requests_that_were_sent_in_one_go() {
    let mut pair = Pair::new(16 * 1024).await;
    let (mut ours, mut theirs, handle) = pair.channel().await;
    ours.request_pty(true, "dumb", 80, 24, 0, 0, &[(Pty::ECHO, 0)]).await.unwrap();
    ours.set_env(false, "A", "B").await.unwrap();
    ours.set_env(true, "C", "D").await.unwrap();
    ours.request_shell(true).await.unwrap();
    let mut wanted = Vec::new();
    while wanted.len() < 4 {
        match timeout(SOON, theirs.wait()).await.unwrap().unwrap() {
            ChannelMsg::RequestPty { want_reply, terminal_modes, .. } => {
                assert_eq!(terminal_modes, [(Pty::ECHO, 0)]);
                wanted.push(want_reply);
            }
            ChannelMsg::SetEnv { want_reply, .. } | ChannelMsg::RequestShell { want_reply } => wanted.push(want_reply),
            _ => {}
        }
    }
    assert_eq!(wanted, [true, false, true, true]);
    handle.channel_failure(theirs.id()).await.unwrap();
    handle.channel_failure(theirs.id()).await.unwrap();
    handle.channel_success(theirs.id()).await.unwrap();
    // One too many is not sent.
    handle.channel_success(theirs.id()).await.unwrap();
    theirs.close().await.unwrap();
    let mut heard = Vec::new();
    while let Some(msg) = timeout(SOON, ours.wait()).await.unwrap() {
        match msg {
            ChannelMsg::Success => heard.push(true),
            ChannelMsg::Failure => heard.push(false),
            _ => {}
        }
    }
    assert_eq!(heard, [false, false, true]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_without_a_name_of_its_own_is_handed_on() {
    let mut pair = Pair::new(16 * 1024).await;
    let (ours, mut theirs, handle) = pair.channel().await;
    let (mut ours, write) = ours.split();
    write.request(true, "break", vec![0, 0, 1, 244]).await.unwrap();
    match timeout(SOON, theirs.wait()).await.unwrap() {
        Some(ChannelMsg::Request { want_reply: true, name, data }) => {
            assert_eq!((name.as_str(), &data[..]), ("break", &[0, 0, 1, 244][..]));
        }
        other => panic!("{other:?}"),
    }
    handle.channel_success(theirs.id()).await.unwrap();
    assert!(matches!(timeout(SOON, ours.wait()).await, Ok(Some(ChannelMsg::Success))));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_local_close_ends_the_wait() {
    let mut pair = Pair::new(16 * 1024).await;
    let (ours, mut theirs, _) = pair.channel().await;
    theirs.close().await.unwrap();
    let ended = async { while theirs.wait().await.is_some() {} };
    timeout(SOON, ended).await.expect("the wait ends");
    drop(ours);
}

#[tokio::test(flavor = "multi_thread")]
async fn two_ends_that_write_at_once_do_not_wait_for_each_other() {
    // Far less room than either wants to write before it reads.
    let mut pair = Pair::new(1024).await;
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..4 {
        let (ours, theirs, _) = pair.channel().await;
        let ((our_read, our_write), (their_read, their_write)) = (ours.split(), theirs.split());
        tasks.spawn(async move { our_write.data_bytes(vec![1; ALL]).await.unwrap() });
        tasks.spawn(async move { their_write.data_bytes(vec![2; ALL]).await.unwrap() });
        for mut reader in [our_read, their_read] {
            tasks.spawn(async move {
                let mut read = 0;
                while read < ALL {
                    match reader.wait().await {
                        Some(ChannelMsg::Data { data }) => read += data.len(),
                        Some(_) => {}
                        None => panic!("ended after {read} bytes"),
                    }
                }
            });
        }
    }
    let all = async {
        while let Some(done) = tasks.join_next().await {
            done.unwrap();
        }
    };
    timeout(Duration::from_secs(60), all).await.expect("both get everything");
}
