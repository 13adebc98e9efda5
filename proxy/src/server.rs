//! The server's side of a connection: who may log in, and what they may open.
//!
//! A callback here runs inside of the connection's loop, so none of them waits for anything but the loop's own queues; but
//! for a plain key's log-in, and the one-time code behind it.

mod channels;

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use api::wire::Presence;
use model::{TargetName, WayIn};
use russh::server::{
    self, Auth, CertificateProof, ChannelOpenHandle, GlobalRequestReply, Msg, PublicKeyOffer, Response, Session,
    VerifiedPublicKey,
};
use russh::{Channel, ChannelId, ChannelOpenFailure, Disconnect, MethodKind, MethodSet};
use ssh_key::Certificate;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::task::JoinSet;
use tracing::debug;

use crate::advice::advice;
use crate::auth::{self, CertificateRefused, Person};
use crate::code::{self, Answered, HalfWay};
use crate::cut::{Cuttable, Cutter};
use crate::destination::{Asked, Destination, read_target};
use crate::forward::End;
use crate::gate::Gate;
use crate::inner::{self, Outer};
use crate::limits::Place;
use crate::pass::{self, Unknown};
use crate::session::{self, Visit, Wish};
use crate::signal::{RaiseOnDrop, Signal};
use crate::words::Words;

use channels::OpenChannel;

/// How many wishes of a person may wait while their session is opened.
const WISHES: usize = 64;
/// How many connections one connection may carry.
const INNERS: usize = 64;
/// How long one waits for the clock at a stretch.
const STRETCH: Duration = Duration::from_secs(5);

/// Where a connection stands.
#[derive(Clone, Debug)]
pub(crate) enum Position {
    /// At the front door.
    Front,
    /// Inside of another, under the name of a target.
    Behind {
        /// The target that this connection takes itself to have reached.
        target: TargetName,
        /// The connection that carries it.
        outer: Arc<Outer>,
    },
}

/// Serves one connection until it ends.
pub(crate) async fn serve<S>(
    gate: Arc<Gate>,
    config: Arc<server::Config>,
    stream: Cuttable<S>,
    cutter: Cutter,
    position: Position,
    address: IpAddr,
    waiting: Option<Place<IpAddr>>,
) where
    S: AsyncRead + AsyncWrite + Unpin + Send + 'static,
{
    let inside = Signal::default();
    let gone = Signal::default();
    let grace = gate.config.login_grace.to_std();
    let door = Door {
        gate,
        position,
        address,
        cutter: cutter.clone(),
        inside: inside.clone(),
        gone: gone.clone(),
        _guard: RaiseOnDrop(gone),
        probes: 0,
        refused: None,
        why: None,
        half_way: None,
        user: String::new(),
        person: None,
        presence: None,
        wishes: None,
        outer: None,
        channels: HashMap::new(),
        no_more_sessions: false,
        tasks: JoinSet::new(),
    };
    let running = async {
        match server::run_stream(config, stream, door).await {
            Ok(session) => session.await,
            Err(error) => Err(error),
        }
    };
    tokio::pin!(running);
    let ended = tokio::select! {
        ended = &mut running => Some(ended),
        () = inside.raised() => None,
        () = tokio::time::sleep(grace) => {
            debug!(%address, "no log-in in time");
            cutter.cut();
            None
        }
    };
    drop(waiting);
    let ended = match ended {
        Some(ended) => ended,
        None => running.await,
    };
    if let Err(error) = ended {
        debug!(%address, "the connection ended: {error}");
    }
    cutter.close();
}

/// Ends a connection that may carry others with the certificate that opened it.
async fn expire(gate: Arc<Gate>, outer: Arc<Outer>) {
    loop {
        let left = outer.person().valid_before.micros().saturating_sub(gate.now().micros());
        if left == 0 {
            break;
        }
        // The clock of the machine may be set while one waits.
        tokio::time::sleep(Duration::from_micros(left).min(STRETCH)).await;
    }
    debug!(person = %outer.person().identity, "a connection ends with its certificate");
    outer.dismiss();
}

/// The server's side of one connection.
struct Door {
    gate: Arc<Gate>,
    position: Position,
    address: IpAddr,
    cutter: Cutter,
    /// Raised when somebody has logged in.
    inside: Signal,
    gone: Signal,
    _guard: RaiseOnDrop,
    /// How many keys and certificates were offered.
    probes: usize,
    /// Why the last certificate was refused.
    refused: Option<CertificateRefused>,
    /// Why the last plain key was refused, where its holder may know it.
    why: Option<Words>,
    /// Somebody whose key was good, and who is asked for a one-time code.
    half_way: Option<HalfWay>,
    /// The user name of the connection.
    user: String,
    person: Option<Person>,
    /// Their log-in, until a session is asked for with it.
    presence: Option<Presence>,
    wishes: Option<mpsc::Sender<Wish>>,
    /// Set on a connection that may carry others.
    outer: Option<Arc<Outer>>,
    channels: HashMap<ChannelId, OpenChannel>,
    /// The person opens no further session channel, and whoever got hold of their client must not either.
    no_more_sessions: bool,
    /// What runs on behalf of this connection and dies with it.
    tasks: JoinSet<()>,
}

impl Door {
    fn asked(&self, user: &str) -> Asked {
        match &self.position {
            Position::Front => Asked::at_the_front(user),
            Position::Behind { target, .. } => Asked::behind(user, target),
        }
    }

    fn judge(&mut self, certificate: &Certificate) -> Option<Person> {
        let judged = auth::check(certificate, &self.gate.authorities(), self.gate.now(), self.address);
        match judged {
            Ok(person) => self.is_same(&person).then_some(person),
            Err(refused) => {
                debug!(address = %self.address, key_id = certificate.key_id(), "a certificate is refused: {refused}");
                self.refused = Some(refused);
                None
            }
        }
    }

    /// Whoever opened the outer connection answers for what runs inside of it.
    fn is_same(&self, person: &Person) -> bool {
        match &self.position {
            Position::Behind { outer, .. } if outer.person().identity != person.identity => {
                debug!(outer = %outer.person().identity, inner = %person.identity, "two people in one connection");
                false
            }
            Position::Front | Position::Behind { .. } => true,
        }
    }

    /// Asks who is half-way in for a code, or takes the answer.
    async fn go_on(&mut self, mut half_way: HalfWay, user: &str, response: Option<Response<'_>>) -> Auth {
        let Some(mut response) = response else {
            let words = Words::say("a one-time code is asked for here: type the one that your authenticator app shows")
                .hint("or press enter to go on without one; what takes one is refused then");
            self.half_way = Some(half_way);
            return code::prompt(&words);
        };
        match half_way.answer(&self.gate, response.next().as_deref()).await {
            Answered::In => {
                user.clone_into(&mut self.user);
                self.person = Some(half_way.person);
                self.presence = None;
                Auth::Accept
            }
            Answered::Again(words) => {
                self.half_way = Some(half_way);
                code::prompt(&words)
            }
            // Said in a round without a question; the next one turns them away.
            Answered::Out(words) => {
                Auth::Partial { name: "".into(), instructions: words.text().into(), prompts: Vec::new().into() }
            }
        }
    }

    fn start(&mut self, person: Person, presence: Option<Presence>, destination: Destination, session: &Session) {
        let (wishes, receiver) = mpsc::channel(WISHES);
        self.wishes = Some(wishes);
        let (way, outer) = match &self.position {
            Position::Front => (WayIn::Plus, None),
            Position::Behind { outer, .. } => (WayIn::Jump, Some(outer.clone())),
        };
        let visit = Visit {
            gate: self.gate.clone(),
            person,
            presence,
            destination,
            address: self.address,
            way,
            cutter: self.cutter.clone(),
            handle: session.handle(),
            gone: self.gone.clone(),
            outer,
        };
        // It outlives this connection: the ledger is told how it ended.
        tokio::spawn(session::run(visit, receiver));
    }

    /// Somebody who gets nothing here is told so, and does not stay.
    fn end_soon(&mut self) {
        let (cutter, grace) = (self.cutter.clone(), self.gate.config.login_grace.to_std());
        self.tasks.spawn(async move {
            tokio::time::sleep(grace).await;
            cutter.cut();
        });
    }
}

fn tcp(host: &str, port: u32) -> End {
    End::Tcp { host: host.to_owned(), port }
}

impl server::Handler for Door {
    type Error = russh::Error;

    async fn auth_publickey_offered(&mut self, _: &str, offer: PublicKeyOffer<'_>) -> Result<Auth, Self::Error> {
        self.probes += 1;
        if self.probes > self.gate.config.max_auth_tries {
            debug!(address = %self.address, "too many keys");
            return Err(russh::Error::Disconnect);
        }
        let may_sign = match offer.certificate {
            Some(certificate) => self.judge(certificate).is_some(),
            // Whose it is, nobody is told before it has signed.
            None => auth::may_sign(offer.public_key.key_data(), offer.algorithm),
        };
        Ok(if may_sign { Auth::Accept } else { Auth::reject() })
    }

    /// The one callback that waits for somebody else, the CA, for as long as a log-in may: a client offers its next key
    /// when this one is refused, and not later. There is nothing yet on this connection that it could hold up.
    async fn auth_publickey(&mut self, user: &str, key: VerifiedPublicKey<'_>) -> Result<Auth, Self::Error> {
        self.why = None;
        if auth::check_touch(key.proof.signature).is_err() {
            let words = Words::say("your security key was not touched");
            self.why = Some(words.hint("come back, and touch the key when it blinks"));
            return Ok(Auth::reject());
        }
        self.half_way = None;
        let asked = self.asked(user);
        let place = if let Asked::Session(place) = &asked { Some(place) } else { None };
        let bought = pass::buy(&self.gate, user, place, key, self.address).await;
        match bought {
            Ok(person) if self.is_same(&person) => {
                self.half_way = HalfWay::of(&person, user);
                if self.half_way.is_some() {
                    let rest = MethodSet::from(&[MethodKind::KeyboardInteractive][..]);
                    return Ok(Auth::Reject { proceed_with_methods: Some(rest), partial_success: true });
                }
                user.clone_into(&mut self.user);
                self.person = Some(person);
                self.presence = None;
                return Ok(Auth::Accept);
            }
            Ok(_) => {}
            Err(Unknown::Key) => debug!(address = %self.address, "a key that nobody knows"),
            Err(Unknown::Because(words)) => self.why = Some(words),
        }
        Ok(Auth::reject())
    }

    async fn auth_openssh_certificate(
        &mut self,
        user: &str,
        certificate: &Certificate,
        proof: CertificateProof<'_>,
    ) -> Result<Auth, Self::Error> {
        if let Err(refused) = auth::check_touch(proof.signature) {
            debug!(address = %self.address, key_id = certificate.key_id(), "a certificate is refused: {refused}");
            self.refused = Some(refused);
            return Ok(Auth::reject());
        }
        match self.judge(certificate) {
            Some(person) => {
                user.clone_into(&mut self.user);
                self.person = Some(person);
                self.presence = Some(Presence {
                    user: user.to_owned(),
                    session_id: hex::encode(proof.session_id),
                    signature: hex::encode(proof.signature),
                });
                Ok(Auth::Accept)
            }
            None => Ok(Auth::reject()),
        }
    }

    /// Nobody gets in by this alone: it is how a person whose key was good is asked for a one-time code, which the CA looks
    /// at, and how one without key and certificate is told what to do.
    async fn auth_keyboard_interactive<'a>(
        &'a mut self,
        user: &str,
        _: &str,
        response: Option<Response<'a>>,
    ) -> Result<Auth, Self::Error> {
        if let Some(half_way) = self.half_way.take_if(|half_way| half_way.is(user)) {
            return Ok(self.go_on(half_way, user, response).await);
        }
        if response.is_some() {
            let rest = MethodSet::from(&[MethodKind::PublicKey][..]);
            return Ok(Auth::Reject { proceed_with_methods: Some(rest), partial_success: false });
        }
        Ok(Auth::Partial {
            name: "".into(),
            instructions: advice(self.refused.as_ref(), self.why.as_ref(), &self.asked(user)).text().into(),
            prompts: Vec::new().into(),
        })
    }

    async fn auth_succeeded(&mut self, session: &mut Session) -> Result<(), Self::Error> {
        self.inside.raise();
        let Some(person) = self.person.clone() else { return Err(russh::Error::NotAuthenticated) };
        // Taken whatever comes: one that opens no session is kept nowhere.
        let presence = self.presence.take();
        debug!(person = %person.identity, address = %self.address, "logged in");
        match self.asked(&self.user) {
            Asked::Session(destination) => self.start(person, presence, destination, session),
            Asked::Jump => match self.gate.jumps.take(person.identity.clone()) {
                Some(place) => {
                    let outer = Outer::new(person, self.cutter.clone(), self.gone.clone(), place);
                    self.gate.registry.enter_front(&outer);
                    self.tasks.spawn(expire(self.gate.clone(), outer.clone()));
                    self.outer = Some(outer);
                }
                None => {
                    let words = Words::say(format!("{} has too many connections already", person.identity));
                    session.disconnect(Disconnect::TooManyConnections, &words.line(), "")?;
                    self.end_soon();
                }
            },
            Asked::Nonsense(_) => self.end_soon(),
        }
        Ok(())
    }

    async fn channel_open_session(
        &mut self,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
        session: &mut Session,
    ) -> Result<(), Self::Error> {
        self.open_session(channel, reply, session.handle()).await;
        Ok(())
    }

    async fn channel_close(&mut self, channel: ChannelId, _: &mut Session) -> Result<(), Self::Error> {
        // It keeps its place until it has ended here too: its recording may still wait for the disk.
        if let Some(channel) = self.channels.get(&channel) {
            channel.closed.raise();
        }
        Ok(())
    }

    async fn channel_open_direct_tcpip(
        &mut self,
        channel: Channel<Msg>,
        host: &str,
        port: u32,
        from: &str,
        from_port: u32,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        let Some(outer) = &self.outer else {
            self.forward(tcp(host, port), Some(tcp(from, from_port)), channel, reply).await;
            return Ok(());
        };
        // Taken here and not in its task: a client may ask for many before the first task runs.
        let Some(carried) = outer.carry(INNERS) else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return Ok(());
        };
        match read_target(host) {
            Ok(target) => {
                tokio::spawn(inner::enter(self.gate.clone(), carried, target, self.address, channel, reply));
            }
            Err(error) => {
                let reason = format!("portcullis: {error}");
                reply.reject(ChannelOpenFailure::Other { code: inner::PROHIBITED, reason }).await;
            }
        }
        Ok(())
    }

    async fn channel_open_direct_streamlocal(
        &mut self,
        channel: Channel<Msg>,
        path: &str,
        reply: ChannelOpenHandle,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.forward(End::Socket(path.to_owned()), None, channel, reply).await;
        Ok(())
    }

    async fn tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        reply: GlobalRequestReply,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.listen(tcp(address, port), false, reply);
        Ok(())
    }

    async fn cancel_tcpip_forward(
        &mut self,
        address: &str,
        port: u32,
        reply: GlobalRequestReply,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.listen(tcp(address, port), true, reply);
        Ok(())
    }

    async fn streamlocal_forward(
        &mut self,
        path: &str,
        reply: GlobalRequestReply,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.listen(End::Socket(path.to_owned()), false, reply);
        Ok(())
    }

    async fn cancel_streamlocal_forward(
        &mut self,
        path: &str,
        reply: GlobalRequestReply,
        _: &mut Session,
    ) -> Result<(), Self::Error> {
        self.listen(End::Socket(path.to_owned()), true, reply);
        Ok(())
    }

    async fn no_more_sessions(&mut self, reply: GlobalRequestReply, _: &mut Session) -> Result<(), Self::Error> {
        self.no_more_sessions = true;
        reply.accept(None);
        Ok(())
    }
}
