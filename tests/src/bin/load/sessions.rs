//! Many live sessions from one process, and the gate that drops on them.
//!
//! Everything that is said of the drop is read from the facts of the ledger: when it was ordered, when nothing passed any
//! more, and when each socket was closed. That the sockets are gone is looked at on this side as well.

use std::collections::{HashMap, HashSet};
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result, bail, ensure};
use api::wire::{LiftLock, PlaceLock, Revoke};
use api::{EventStream, Heard};
use model::{Fact, LockId, RequestId, SessionEnd, SessionId, Timestamp};
use portcullis_tests::Caller;
use russh::keys::PublicKeyOrCertificate;
use russh::{ChannelMsg, client};
use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::{Value, json};
use ssh_key::{Certificate, PrivateKey};
use tokio::net::TcpStream;
use tokio::task::JoinSet;

use crate::Options;

/// How long any one step may take. It ends by itself, whatever comes.
const LIMIT: Duration = Duration::from_secs(300);
/// How long buffers are given to come to rest before memory is measured.
const REST: Duration = Duration::from_secs(3);

/// Opens the sessions, measures, gives the order, and counts.
pub(crate) async fn measure(options: &Options) -> Result<Value> {
    raise_files()?;
    let proxy: SocketAddr = options.value("proxy")?;
    ensure!(proxy.ip().is_loopback(), "nobody else's proxy is put under load");
    let holder = options.log_in("identity", "key").await?;
    let reviewer = options.log_in("reviewer", "reviewer-key").await?;
    let server: u32 = options.value("pid")?;
    let asked = parts(options.text("grants")?)?;
    let order = Order::parse(options.text("order")?)?;
    let hit: usize = asked.iter().filter(|(grant, _)| order.hits(grant)).map(|(_, count)| count).sum();
    let all: usize = asked.iter().map(|(_, count)| count).sum();

    let mut story = Story::follow(&reviewer).await?;
    let before = resident(server)?;
    let start = Instant::now();
    let crowd = tokio::time::timeout(LIMIT, gather(options, &holder, proxy, &asked)).await??;
    let elapsed = start.elapsed().as_secs_f64();
    let setups: Vec<f64> = crowd.iter().map(|held| held.setup.as_secs_f64() * 1000.0).collect();
    tokio::time::sleep(REST).await;
    let after = resident(server)?;

    let lock = order.give(&reviewer).await?;
    tokio::time::timeout(LIMIT, story.until_ended(hit)).await.context("not every session has its receipt")??;
    let (cuts, drops) = story.times()?;
    for held in &crowd {
        if order.hits(&held.grant) {
            tokio::time::timeout(LIMIT, held.gone()).await.context("a session that was to be dropped is open")?;
        } else {
            ensure!(!held.handle.is_closed(), "a session was dropped that nobody wanted to drop");
        }
    }
    drop(crowd);
    tokio::time::timeout(LIMIT, story.until_ended(all)).await.context("not every session has ended")??;
    let left = holder.client.sessions(true, None).await?.items.len();
    ensure!(left == 0, "{left} sessions are left");
    if let Some(lock) = lock {
        reviewer.client.unlock(&lock, &LiftLock::default()).await?;
    }
    Ok(json!({
        "per_second": all as f64 / elapsed,
        "memory_mib": after as f64 / 1024.0,
        "memory_per_session_kib": after.saturating_sub(before) as f64 / all as f64,
        "setup_ms": setups,
        "cut_ms": cuts,
        "drop_ms": drops,
    }))
}

/// Lets this process have as many files open as it may: thousands of sessions are as many sockets.
pub(crate) fn raise_files() -> Result<()> {
    let Rlimit { maximum, .. } = getrlimit(Resource::Nofile);
    setrlimit(Resource::Nofile, Rlimit { current: maximum, maximum }).context("the limit of open files stays")
}

/// What makes the gate drop.
enum Order {
    Revoke(RequestId),
    LockEverything,
}

impl Order {
    fn parse(text: &str) -> Result<Self> {
        match text.split_once(':') {
            Some(("revoke", grant)) => Ok(Self::Revoke(grant.parse()?)),
            None if text == "lock" => Ok(Self::LockEverything),
            _ => bail!("--order is revoke:GRANT or lock"),
        }
    }

    fn hits(&self, grant: &RequestId) -> bool {
        match self {
            Self::Revoke(revoked) => revoked == grant,
            Self::LockEverything => true,
        }
    }

    async fn give(&self, by: &Caller) -> Result<Option<LockId>> {
        match self {
            Self::Revoke(grant) => {
                by.client.revoke(grant, &Revoke { reason: Some("bench".to_owned()) }).await?;
                Ok(None)
            }
            Self::LockEverything => {
                let lock = PlaceLock { subject: "everything".into(), reason: "bench".into(), duration: Some(3600) };
                Ok(Some(by.client.lock(&lock).await?.id))
            }
        }
    }
}

/// `GRANT:COUNT,GRANT:COUNT`
fn parts(text: &str) -> Result<Vec<(RequestId, usize)>> {
    text.split(',')
        .map(|part| {
            let (grant, count) = part.split_once(':').context("--grants is GRANT:COUNT,…")?;
            Ok((grant.parse()?, count.parse()?))
        })
        .collect()
}

/// The resident memory of a process, in KiB.
fn resident(process: u32) -> Result<u64> {
    let status = std::fs::read_to_string(format!("/proc/{process}/status"))?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
    Ok(line.trim().trim_end_matches("kB").trim().parse()?)
}

/// A live session.
struct Held {
    grant: RequestId,
    handle: client::Handle<Trusting>,
    setup: Duration,
    _channel: russh::Channel<client::Msg>,
}

impl Held {
    async fn gone(&self) {
        while !self.handle.is_closed() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    }
}

async fn gather(
    options: &Options,
    holder: &Caller,
    proxy: SocketAddr,
    asked: &[(RequestId, usize)],
) -> Result<Vec<Held>> {
    let at_once: usize = options.value("at-once")?;
    let config = Arc::new(client::Config::default());
    let mut tasks = JoinSet::new();
    let mut crowd = Vec::new();
    for (grant, count) in asked {
        let (key, certificate) = holder.certificate(grant).await?;
        let certificate = Certificate::from_openssh(&certificate.certificate.context("no certificate came")?)?;
        let ticket = Arc::new(Ticket {
            grant: grant.clone(),
            user: options.text("user")?.to_owned(),
            command: options.text("command")?.to_owned(),
            key: Arc::new(key),
            certificate,
        });
        for _ in 0..*count {
            if tasks.len() >= at_once {
                crowd.push(tasks.join_next().await.context("no task")???);
            }
            tasks.spawn(connect(config.clone(), proxy, ticket.clone()));
        }
    }
    while let Some(held) = tasks.join_next().await {
        crowd.push(held??);
    }
    Ok(crowd)
}

/// What opens a session.
struct Ticket {
    grant: RequestId,
    user: String,
    command: String,
    key: Arc<PrivateKey>,
    certificate: Certificate,
}

async fn connect(config: Arc<client::Config>, proxy: SocketAddr, ticket: Arc<Ticket>) -> Result<Held> {
    let begin = Instant::now();
    let stream = TcpStream::connect(proxy).await?;
    stream.set_nodelay(true)?;
    let mut handle = client::connect_stream(config, stream, Trusting).await?;
    let login = handle.authenticate_openssh_cert(&ticket.user, ticket.key.clone(), ticket.certificate.clone());
    ensure!(login.await?.success(), "the proxy does not let {} in", ticket.user);
    let mut channel = handle.channel_open_session().await?;
    channel.exec(true, ticket.command.as_str()).await?;
    let mut said = Vec::new();
    loop {
        match channel.wait().await {
            Some(ChannelMsg::Data { data } | ChannelMsg::ExtendedData { data, .. }) => said.extend_from_slice(&data),
            Some(_) => {}
            None => bail!("a session did not begin: {}", String::from_utf8_lossy(&said)),
        }
        if said.ends_with(b"up\n") {
            break;
        }
    }
    Ok(Held { grant: ticket.grant.clone(), handle, setup: begin.elapsed(), _channel: channel })
}

/// A client that believes every host: there is one, on this machine.
struct Trusting;

impl client::Handler for Trusting {
    type Error = russh::Error;

    async fn check_server_key(&mut self, _: &PublicKeyOrCertificate) -> Result<bool, russh::Error> {
        Ok(true)
    }
}

/// What the ledger says of the sessions.
struct Story {
    feed: EventStream,
    opened: HashSet<SessionId>,
    ended: HashMap<SessionId, (SessionEnd, Option<Timestamp>, Timestamp)>,
}

impl Story {
    async fn follow(caller: &Caller) -> Result<Self> {
        let from = caller.client.status().await?.records;
        let feed = caller.client.events(from).await?;
        Ok(Self { feed, opened: HashSet::new(), ended: HashMap::new() })
    }

    async fn until_ended(&mut self, count: usize) -> Result<()> {
        while self.ended.len() < count {
            let Heard::Fact(record) = self.feed.next().await? else { continue };
            if let Fact::SessionOpened { session, .. } = record.entry.fact {
                self.opened.insert(session);
            } else if let Fact::SessionEnded { session, end, cut, dropped } = record.entry.fact
                && self.opened.contains(&session)
            {
                self.ended.insert(session, (end, cut, dropped));
            }
        }
        Ok(())
    }

    /// From the order to the cut and to the drop, in milliseconds.
    fn times(&self) -> Result<(Vec<f64>, Vec<f64>)> {
        let mut times = (Vec::new(), Vec::new());
        for (session, (end, cut, dropped)) in &self.ended {
            let (SessionEnd::Revoked { at, .. } | SessionEnd::Locked { at, .. }) = end else {
                bail!("{session} ended in another way: {end}");
            };
            let cut = cut.with_context(|| format!("the receipt of {session} has no cut"))?;
            times.0.push(cut.since(*at).as_secs_f64() * 1000.0);
            times.1.push(dropped.since(*at).as_secs_f64() * 1000.0);
        }
        Ok(times)
    }
}
