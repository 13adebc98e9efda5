//! Sessions and their channels, as their proxies report them.

use model::{Actor, Entry, Fact, ProxyName, SessionId, Timestamp};

use super::{Decision, Desk};
use crate::command::{ChannelClosed, ChannelOpened, ChannelRefused, CutSession, EndSession, OpenSession, Reported};
use crate::limits::MAX_CHANNELS;
use crate::state::{Session, SessionState};
use crate::{Command, Permit, Refusal};

/// Where sessions are that one cannot do anything about any more.
const ENDED: &str = "portcullis sessions --all shows what became of it";

impl<'a> Desk<'a> {
    pub(super) fn open_session(&self, open: OpenSession) -> Result<Decision, Refusal> {
        let OpenSession { session, request: id, identity, target, login, address, proxy, way, .. } = open;
        let OpenSession { presence, certified, bought_with, paths, sessions_limit, .. } = open;
        self.is_proxy(&proxy, "open a session")?;
        if self.state.session(&session).is_some() {
            return Err(
                Refusal::new("id-taken", format!("there is already a session {session}")).with_hint("try again")
            );
        }
        if self.state.session_by(&presence.sha256).is_some() {
            return Err(Refusal::presence_spent());
        }
        let place = format!("{login}@{target}");
        let none = || {
            Refusal::new("no-active-grant", format!("no active grant for {place}"))
                .with_hint(format!("run: portcullis request {place} --for 30m"))
        };
        let known = self.state.request(&id).ok_or_else(none)?;
        if known.spec.identity != identity {
            return Err(none());
        }
        if (&known.spec.target, &known.spec.login) != (&target, &login) {
            // Where no certificate names the grant, it was looked for by its place.
            let sentence = format!("the certificate is for {}, not for {place}", super::place(known));
            return Err(Refusal::new("no-active-grant", sentence)
                .with_hint(format!("run: portcullis request {place} --for 30m")));
        }
        let (request, grant, activated) = self.active_grant(&id)?;
        self.unlocked(&identity, &target, &login, Some(&id))?;
        // A certificate is not bought without the touch that a path wants; a plain key has to bring it itself.
        if presence.certificate.is_none() && grant.path.obligations.touch && !presence.touch {
            let sentence = format!("{id} wants a touched security key, and this log-in was by none");
            return Err(Refusal::new("touch-needed", sentence)
                .with_hint("log in with your security key, or with the certificate that it bought"));
        }
        if presence.certificate.is_none()
            && let Some(wanted) = grant.path.obligations.factor_lacking(presence.factors())
        {
            return Err(Refusal::new("factor-needed", format!("{id} wants {wanted}, and this log-in gave none"))
                .with_hint("connect again and give a code; portcullis factor add sets an authenticator up"));
        }
        if self.state.locked_at(&identity).is_some_and(|at| certified <= at) {
            let (what, hint) = match presence.certificate {
                Some(_) => ("certificate", format!("for a new one, run: portcullis cert {place}")),
                None => ("log-in", "connect again".to_owned()),
            };
            let sentence = format!("the {what} is from before {identity} was locked, and stays dead");
            return Err(Refusal::new("certificate-locked", sentence).with_hint(hint));
        }
        if paths.is_empty() {
            return Err(Refusal::new(
                "policy-forbids",
                format!("policy does not let {identity} connect to {place} now"),
            )
            .with_hint(format!("run: portcullis policy explain {place} --action connect")));
        }
        if self.state.live_count(&identity) >= usize::try_from(sessions_limit).unwrap_or(usize::MAX) {
            let sentence = format!("{identity} has {sessions_limit} sessions, which is the limit");
            return Err(Refusal::new("too-many-sessions", sentence).with_hint("close one first"));
        }
        let permit = Permit {
            session: session.clone(),
            request: id.clone(),
            identity: identity.clone(),
            target: target.clone(),
            login: login.clone(),
            obligations: grant.path.obligations.clone(),
            ends: grant.ends,
            command: request.spec.command.clone(),
        };
        let request = id.clone();
        let presence = Some(presence);
        let opened = Fact::SessionOpened {
            session,
            request,
            identity,
            target,
            login,
            address,
            proxy,
            way,
            bought_with,
            presence,
        };
        let facts = activated.into_iter().chain([self.entry(&id, opened)]).collect();
        Ok(Decision { facts, permit: Some(permit), request: Some(id), gaps: Vec::new() })
    }

    pub(super) fn cut_session(&self, cut: &CutSession) -> Result<Vec<Entry>, Refusal> {
        let session = self.live(&cut.session, "cut")?;
        let own = self.actor.identity() == Some(&session.identity);
        if !own {
            self.allowed(cut.may_cut, &format!("cut {}", cut.session), "--action lock")?;
        }
        match session.state {
            SessionState::Live => {}
            SessionState::Cut(_) | SessionState::Ended(_) => {
                let sentence = format!("session {} is being cut already", cut.session);
                return Err(Refusal::new("session-not-live", sentence).with_hint(ENDED));
            }
        }
        let reason = cut.reason.as_str().to_owned();
        Ok(vec![self.entry(&session.request, Fact::SessionCut { session: cut.session.clone(), reason })])
    }

    pub(super) fn end_session(&self, end: EndSession) -> Result<Vec<Entry>, Refusal> {
        let EndSession { session, end, cut, dropped } = end;
        let request = &self.own(&session, "ended")?.request;
        let cut = no_later(cut, dropped);
        Ok(vec![self.entry(request, Fact::SessionEnded { session, end, cut, dropped })])
    }

    pub(super) fn channel_opened(&self, opened: ChannelOpened) -> Result<Vec<Entry>, Refusal> {
        let ChannelOpened { session, channel, channel_kind, pty } = opened;
        let live = self.own(&session, "given a channel")?;
        if live.channels.get(&channel).is_some_and(|known| known.end.is_none()) {
            return Err(Refusal::new("id-taken", format!("channel {channel} of {session} is open already")));
        }
        if live.open_channels() >= MAX_CHANNELS {
            let sentence = format!("{session} has {MAX_CHANNELS} open channels, which is the limit");
            return Err(Refusal::new("too-many-channels", sentence));
        }
        Ok(vec![self.entry(&live.request, Fact::ChannelOpened { session, channel, channel_kind, pty })])
    }

    pub(super) fn channel_refused(&self, refused: ChannelRefused) -> Result<Vec<Entry>, Refusal> {
        let ChannelRefused { session, asked, reason } = refused;
        let request = &self.own(&session, "refused a channel")?.request;
        Ok(vec![self.entry(request, Fact::ChannelRefused { session, asked, reason })])
    }

    pub(super) fn channel_closed(&self, closed: ChannelClosed) -> Result<Vec<Entry>, Refusal> {
        let ChannelClosed { session, channel, end } = closed;
        let live = self.own(&session, "relieved of a channel")?;
        if live.channels.get(&channel).is_none_or(|known| known.end.is_some()) {
            return Err(Refusal::new("unknown-channel", format!("{session} has no open channel {channel}")));
        }
        Ok(vec![self.entry(&live.request, Fact::ChannelClosed { session, channel, end })])
    }

    /// What a proxy tells again changes nothing.
    pub(super) fn reported(&self, reported: Reported) -> Result<Decision, Refusal> {
        let Reported { session, number, command } = reported;
        match self.state.session(&session) {
            Some(known) if known.told > number || is_end_of(known, &command) => {
                self.reports_on(&known.proxy, &format!("session {session}"))?;
                Ok(Decision::default())
            }
            Some(_) | None => super::decide(self.state, self.actor, command, self.now),
        }
    }

    /// A session whose sockets may be open.
    fn live(&self, id: &SessionId, cannot: &str) -> Result<&'a Session, Refusal> {
        let session = self
            .state
            .session(id)
            .ok_or_else(|| Refusal::new("unknown-session", format!("there is no session {id}")))?;
        if session.is_live() {
            return Ok(session);
        }
        let sentence = format!("session {id} is {}: it cannot be {cannot}", session.status());
        Err(Refusal::new("session-not-live", sentence).with_hint(ENDED))
    }

    /// A live session that the actor may report on.
    pub(super) fn own(&self, id: &SessionId, cannot: &str) -> Result<&'a Session, Refusal> {
        let session = self.live(id, cannot)?;
        self.reports_on(&session.proxy, &format!("session {id}"))?;
        Ok(session)
    }

    /// Refuses anyone but the proxy itself and the system.
    pub(super) fn reports_on(&self, proxy: &ProxyName, what: &str) -> Result<(), Refusal> {
        match self.actor {
            Actor::System => Ok(()),
            Actor::Proxy(name) if name == proxy => Ok(()),
            Actor::Proxy(_) | Actor::Identity(_) | Actor::Through { .. } => {
                let sentence = format!("{what} is proxy:{proxy}'s: {} cannot report on it", self.actor);
                Err(Refusal::new("not-its-proxy", sentence))
            }
        }
    }

    pub(super) fn is_proxy(&self, proxy: &ProxyName, what: &str) -> Result<(), Refusal> {
        match self.actor {
            Actor::Proxy(name) if name == proxy => Ok(()),
            Actor::Proxy(_) | Actor::Identity(_) | Actor::Through { .. } | Actor::System => {
                let sentence = format!("{} cannot {what} through proxy:{proxy}", self.actor);
                Err(Refusal::new("not-its-proxy", sentence))
            }
        }
    }
}

/// An end is never refused; and a proxy's clock that was set back in between makes no receipt that contradicts itself.
fn no_later(cut: Option<Timestamp>, dropped: Timestamp) -> Option<Timestamp> {
    cut.map(|cut| cut.min(dropped))
}

/// Whether this tells the very end that the session has. Another one, which the CA entered because it took the session
/// for lost, is not what the proxy told: it must hear that its session is over.
fn is_end_of(known: &Session, command: &Command) -> bool {
    let (Command::EndSession(told), SessionState::Ended(ended)) = (command, &known.state) else { return false };
    (&told.end, no_later(told.cut, told.dropped), told.dropped) == (&ended.end, ended.cut, ended.dropped)
}
