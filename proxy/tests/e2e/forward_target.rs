//! Targets that open what nobody asked for, and clients that ask in ways that no stock client does.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use model::{CertificateExtension, Forward};
use russh::keys::PublicKeyOrCertificate;
use russh::server::{self, Auth, ChannelOpenHandle, GlobalRequestReply, Msg, Session};
use russh::{Channel, ChannelMsg, ChannelOpenFailure, client};
use ssh_key::{Certificate, PrivateKey};
use tokio::net::TcpListener;
use tokio::sync::{mpsc, oneshot};
use tokio::time::timeout;

use crate::authority::{Grant, new_key};
use crate::client::until;
use crate::forward::{SOON, forwards, opens, refusals, refused};
use crate::world::{HOUR, World};

/// A target that says yes to everything, and whose end of the connection the test holds.
#[derive(Clone)]
struct Hostile {
    handles: mpsc::UnboundedSender<server::Handle>,
    /// Listeners that wait for the test's word.
    slow: Arc<Mutex<Vec<oneshot::Receiver<()>>>>,
}

impl server::Handler for Hostile {
    type Error = russh::Error;

    async fn auth_openssh_certificate(
        &mut self,
        _: &str,
        _: &Certificate,
        _: server::CertificateProof<'_>,
    ) -> Result<Auth, russh::Error> {
        Ok(Auth::Accept)
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), russh::Error> {
        let _ = self.handles.send(session.handle());
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), russh::Error> {
        reply.accept().await;
        let handle = session.handle();
        tokio::spawn(async move {
            let mut channel = channel;
            while let Some(msg) = channel.wait().await {
                if let ChannelMsg::AgentForward { .. } | ChannelMsg::RequestX11 { .. } = msg {
                    let _ = handle.channel_success(channel.id()).await;
                }
            }
        });
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        _: &str,
        port: u32,
        reply: GlobalRequestReply,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        let slow = self.slow.lock().unwrap().pop();
        tokio::spawn(async move {
            if let Some(slow) = slow {
                let _ = slow.await;
            }
            reply.accept((port == 0).then_some(7777));
        });
        Ok(())
    }

    async fn cancel_tcpip_forward(
        &mut self,
        _: &str,
        _: u32,
        reply: GlobalRequestReply,
        _: &mut Session,
    ) -> Result<(), russh::Error> {
        // It listens on, whatever it says.
        reply.accept(None);
        Ok(())
    }
}

/// A client that takes whatever is opened.
struct Guest(mpsc::UnboundedSender<String>);

impl client::Handler for Guest {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }

    async fn server_channel_open_forwarded_tcpip(
        &mut self,
        channel: Channel<client::Msg>,
        address: &str,
        port: u32,
        from: &str,
        from_port: u32,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        let _ = self.0.send(format!("{address}:{port} from {from}:{from_port}"));
        reply.accept().await;
        echo(channel);
        Ok(())
    }

    async fn server_channel_open_agent_forward(
        &mut self,
        channel: Channel<client::Msg>,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        let _ = self.0.send("agent".into());
        reply.accept().await;
        echo(channel);
        Ok(())
    }

    async fn server_channel_open_x11(
        &mut self,
        channel: Channel<client::Msg>,
        _: &str,
        _: u32,
        reply: client::ChannelOpenHandle,
        _: &mut client::Session,
    ) -> Result<(), russh::Error> {
        let _ = self.0.send("x11".into());
        reply.accept().await;
        echo(channel);
        Ok(())
    }
}

fn echo(mut channel: Channel<client::Msg>) {
    tokio::spawn(async move {
        while let Some(msg) = channel.wait().await {
            if let ChannelMsg::Data { data } = msg {
                let _ = channel.data_bytes(data).await;
            }
        }
    });
}

struct Stage {
    world: World,
    guest: client::Handle<Guest>,
    /// What reached the person.
    reached: mpsc::UnboundedReceiver<String>,
    target: server::Handle,
    slow: Arc<Mutex<Vec<oneshot::Receiver<()>>>>,
}

/// A person who is logged in to a hostile target.
async fn stage(change: impl FnOnce(&mut Grant)) -> Stage {
    let world = World::new().await;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (port, key) = (listener.local_addr().unwrap().port(), new_key());
    let pinned = key.public_key().to_openssh().unwrap();
    let config = Arc::new(server::Config { keys: vec![key], ..server::Config::default() });
    let (handles, mut opened) = mpsc::unbounded_channel();
    let slow = Arc::<Mutex<Vec<_>>>::default();
    let hostile = Hostile { handles, slow: slow.clone() };
    tokio::spawn(async move {
        while let Ok((stream, _)) = listener.accept().await {
            let (config, hostile) = (config.clone(), hostile.clone());
            tokio::spawn(async move {
                if let Ok(running) = server::run_stream(config, stream, hostile).await {
                    let _ = running.await;
                }
            });
        }
    });
    world.authority.add_target("web1", &[format!("127.0.0.1:{port}")], &[pinned]);
    world.authority.grant_with("alice", "root", "web1", HOUR, change);
    let alice = world.person("alice");
    let key = PrivateKey::read_openssh_file(&alice.key).unwrap();
    let certificate = std::fs::read_to_string(format!("{}-cert.pub", alice.key.display())).unwrap();
    let certificate = Certificate::from_openssh(&certificate).unwrap();
    let (sender, reached) = mpsc::unbounded_channel();
    let config = Arc::new(client::Config::default());
    let mut guest = client::connect(config, ("127.0.0.1", world.port), Guest(sender)).await.unwrap();
    assert!(guest.authenticate_openssh_cert("root+web1", Arc::new(key), certificate).await.unwrap().success());
    let target = timeout(SOON, opened.recv()).await.unwrap().unwrap();
    Stage { world, guest, reached, target, slow }
}

fn all(grant: &mut Grant) {
    opens(grant, &["*:*"]);
    grant.obligations.carriage.permit_listen.insert("*:*".parse().unwrap());
    grant.obligations.extensions.extend(CertificateExtension::ALL);
}

/// Whether the target gets a channel open, and an echo through it.
async fn gets_through(opening: impl Future<Output = Result<Channel<Msg>, russh::Error>>) -> bool {
    let Ok(mut channel) = timeout(SOON, opening).await.expect("an answer") else { return false };
    channel.data_bytes(&b"secret"[..]).await.unwrap();
    while let Some(msg) = timeout(SOON, channel.wait()).await.expect("an echo") {
        if let ChannelMsg::Data { data } = msg {
            assert_eq!(&data[..], b"secret");
            return true;
        }
    }
    false
}

#[tokio::test(flavor = "multi_thread")]
async fn a_target_opens_nothing_that_nobody_asked_for() {
    // The path has everything; the person has asked for nothing.
    let mut stage = stage(all).await;
    let target = stage.target.clone();
    assert!(!gets_through(target.channel_open_forwarded_tcpip("localhost", 7777, "1.2.3.4", 5)).await);
    assert!(!gets_through(target.channel_open_forwarded_streamlocal("/run/x.sock")).await);
    assert!(!gets_through(target.channel_open_agent()).await);
    assert!(!gets_through(target.channel_open_x11("1.2.3.4", 5)).await);
    assert!(!gets_through(target.channel_open_session()).await);
    assert!(!gets_through(target.channel_open_direct_tcpip("localhost", 22, "1.2.3.4", 5)).await);
    assert!(!gets_through(target.channel_open_direct_streamlocal("/run/x.sock")).await);
    let why = "nobody here asked for it";
    refused(&stage.world, "a connection from 1.2.3.4:5 through the listener on localhost:7777", why).await;
    for what in ["listener on /run/x.sock", "a connection to the agent", "an X11 connection from 1.2.3.4:5"] {
        refused(&stage.world, what, why).await;
    }
    assert!(stage.reached.try_recv().is_err(), "nothing of it reached the person");
    assert_eq!(forwards(&stage.world), []);
    // And the session goes on.
    assert!(stage.guest.channel_open_session().await.is_ok());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_listener_lets_in_what_comes_to_it_and_only_while_it_is_there() {
    let mut stage = stage(all).await;
    assert_eq!(stage.guest.tcpip_forward("localhost", 0).await.unwrap(), 7777);
    let target = stage.target.clone();
    assert!(gets_through(target.channel_open_forwarded_tcpip("localhost", 7777, "1.2.3.4", 5)).await);
    assert_eq!(stage.reached.recv().await.unwrap(), "localhost:7777 from 1.2.3.4:5");
    for (host, port) in [("localhost", 7778), ("", 7777), ("127.0.0.1", 7777)] {
        assert!(!gets_through(target.channel_open_forwarded_tcpip(host, port, "1.2.3.4", 5)).await, "{host}:{port}");
    }
    stage.guest.cancel_tcpip_forward("localhost", 7777).await.unwrap();
    assert!(!gets_through(target.channel_open_forwarded_tcpip("localhost", 7777, "1.2.3.4", 5)).await);
    assert!(stage.guest.cancel_tcpip_forward("localhost", 7777).await.is_err(), "there is none any more");
    assert!(stage.reached.try_recv().is_err());
    let forward = Forward::Forwarded { at: "localhost:7777".into(), from: Some("1.2.3.4:5".into()) };
    assert_eq!(forwards(&stage.world)[1], (1, forward));
}

#[tokio::test(flavor = "multi_thread")]
async fn an_agent_and_a_screen_are_open_to_whom_they_were_given_and_no_longer() {
    let mut stage = stage(all).await;
    let target = stage.target.clone();
    let channel = stage.guest.channel_open_session().await.unwrap();
    channel.agent_forward(true).await.unwrap();
    channel.request_x11(true, true, "MIT-MAGIC-COOKIE-1", "00", 0).await.unwrap();
    // From when on, only the target's side of the connection could say; one window was asked for.
    let opened = async {
        while !gets_through(target.channel_open_agent()).await {}
        while !gets_through(target.channel_open_x11("1.2.3.4", 5)).await {}
    };
    timeout(SOON, opened).await.expect("both are let in");
    assert_eq!(stage.reached.recv().await.unwrap(), "agent");
    assert_eq!(stage.reached.recv().await.unwrap(), "x11");
    assert!(!gets_through(target.channel_open_x11("1.2.3.4", 5)).await, "a single one is used up");
    assert!(stage.reached.try_recv().is_err());
}

#[tokio::test(flavor = "multi_thread")]
async fn a_flood_of_channels_from_the_target_is_bounded_and_counted() {
    let stage = stage(all).await;
    assert_eq!(stage.guest.tcpip_forward("localhost", 0).await.unwrap(), 7777);
    let mut open = Vec::new();
    let mut tasks = tokio::task::JoinSet::new();
    for _ in 0..300 {
        let target = stage.target.clone();
        tasks.spawn(async move { target.channel_open_forwarded_tcpip("localhost", 7777, "1.2.3.4", 5).await });
    }
    while let Some(opened) = timeout(SOON, tasks.join_next()).await.expect("each is answered") {
        open.extend(opened.unwrap().ok());
    }
    assert!((1..=32).contains(&open.len()), "{} are open", open.len());
    until("the ledger has them", || forwards(&stage.world).len() == open.len() + 1).await;
    assert!(refusals(&stage.world).len() <= 60, "the rest is counted");
    assert!(stage.guest.channel_open_session().await.is_ok(), "and the person goes on");
}

#[tokio::test(flavor = "multi_thread")]
async fn replies_come_in_the_order_of_the_requests() {
    let mut stage = stage(all).await;
    let (go, wait) = oneshot::channel();
    stage.slow.lock().unwrap().push(wait);
    let guest = &stage.guest;
    let slow = guest.tcpip_forward("localhost", 0);
    // Known at once, and all the same behind it: whoever asks knows answers by their order alone.
    let unknown = guest.send_global_request("who-is-there@example.org", b"", true);
    let after = guest.tcpip_forward("localhost", 8080);
    let target = stage.target.clone();
    let early = target.channel_open_forwarded_tcpip("localhost", 7777, "1.2.3.4", 5);
    let release = async {
        tokio::time::sleep(Duration::from_millis(200)).await;
        assert!(stage.reached.try_recv().is_err(), "nobody knows yet that somebody listens there");
        go.send(()).unwrap();
    };
    let (slow, unknown, after, early, ()) =
        timeout(SOON, async { tokio::join!(slow, unknown, after, gets_through(early), release) }).await.unwrap();
    assert_eq!(slow.unwrap(), 7777);
    assert!(matches!(unknown, Err(russh::Error::RequestDenied)), "{unknown:?}");
    assert_eq!(after.unwrap(), 0);
    assert!(early, "what came in too early is let in when it is known");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_has_no_name_here_is_refused_and_the_session_goes_on() {
    let stage = stage(all).await;
    let refused = stage.guest.channel_open_x11("1.2.3.4", 5).await;
    assert!(matches!(refused, Err(russh::Error::ChannelOpenFailure(ChannelOpenFailure::Other { .. }))), "{refused:?}");
    let unknown = stage.guest.send_global_request("tun@openssh.com", b"\0\0\0\x01", true).await;
    assert!(matches!(unknown, Err(russh::Error::RequestDenied)), "{unknown:?}");
    assert!(stage.guest.channel_open_session().await.is_ok());
    stage.guest.no_more_sessions(true).await.unwrap();
    assert!(stage.guest.channel_open_session().await.is_err(), "it said that there would be none");
}

#[tokio::test(flavor = "multi_thread")]
async fn listeners_have_a_number() {
    let stage = stage(all).await;
    let mut granted = 0;
    for port in 10_000..10_100 {
        granted += usize::from(stage.guest.tcpip_forward("localhost", port).await.is_ok());
    }
    assert_eq!(granted, 32);
    refused(&stage.world, "a listener on localhost:10032", "which is the limit").await;
    assert!(stage.guest.tcpip_forward("localhost", 10_000).await.is_err(), "it is there already");
    stage.guest.cancel_tcpip_forward("localhost", 10_000).await.unwrap();
    assert!(stage.guest.tcpip_forward("localhost", 10_099).await.is_ok(), "a place is free again");
}
