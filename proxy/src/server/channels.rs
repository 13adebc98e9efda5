//! What a person opens on their connection, on its way to their session.

use russh::server::{ChannelOpenHandle, GlobalRequestReply, Handle, Msg};
use russh::{Channel, ChannelId, ChannelOpenFailure};
use tokio::sync::mpsc::error::TrySendError;

use crate::bridge::{self, Opened};
use crate::desk;
use crate::destination::Asked;
use crate::forward::{self, End, ListenAsked};
use crate::inner;
use crate::session::Wish;
use crate::signal::{RaiseOnDrop, Signal};
use crate::words::Words;

use super::Door;

/// A channel that the person opened on this connection.
pub(super) struct OpenChannel {
    /// Raised when the person has closed it.
    pub(super) closed: Signal,
    /// Raised when it has ended here.
    done: Signal,
}

impl Door {
    /// A session channel of the person's.
    pub(super) async fn open_session(&mut self, channel: Channel<Msg>, reply: ChannelOpenHandle, handle: Handle) {
        if self.no_more_sessions {
            reply.reject(ChannelOpenFailure::AdministrativelyProhibited).await;
            return;
        }
        let Some((closed, done)) = self.place(channel.id()) else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return;
        };
        let opened = Opened { channel, handle, closed, done, before: Vec::new() };
        let Some(wishes) = &self.wishes else {
            let words = match self.asked(&self.user) {
                Asked::Nonsense(why) => Words::say(why).hint("write login+target, as in root+web1"),
                Asked::Jump | Asked::Session(_) => Words::say("this is a proxy; it has no shell of its own")
                    .hint("run ssh -J with it to LOGIN@TARGET, or ssh LOGIN+TARGET@ it"),
            };
            match (&self.person, self.asked(&self.user)) {
                (Some(person), Asked::Jump) => {
                    self.tasks.spawn(desk::serve(self.gate.clone(), person.clone(), opened, words));
                }
                _ => {
                    let patience = self.gate.config.login_grace.to_std();
                    self.tasks.spawn(async move { bridge::refuse(opened, &words, patience).await });
                }
            }
            reply.accept().await;
            return;
        };
        match wishes.try_send(Wish::Channel(Box::new(opened))) {
            Ok(()) => reply.accept().await,
            Err(_) => reply.reject(ChannelOpenFailure::ResourceShortage).await,
        }
    }

    /// Takes a place for a channel that the person opens; `None` when they have too many open.
    fn place(&mut self, id: ChannelId) -> Option<(Signal, RaiseOnDrop)> {
        while self.tasks.try_join_next().is_some() {}
        self.channels.retain(|_, channel| !(channel.closed.is_raised() && channel.done.is_raised()));
        let open = self.channels.values().filter(|channel| !channel.done.is_raised()).count();
        // A client that never answers our close has fewer channels to itself.
        let most = self.gate.config.max_channels;
        if open >= most || self.channels.len() >= most.saturating_mul(4) {
            return None;
        }
        let (closed, done) = (Signal::default(), Signal::default());
        self.channels.insert(id, OpenChannel { closed: closed.clone(), done: done.clone() });
        Some((closed, RaiseOnDrop(done)))
    }

    /// A forward of the person's, on its way to the session.
    pub(super) async fn forward(
        &mut self,
        to: End,
        from: Option<End>,
        channel: Channel<Msg>,
        reply: ChannelOpenHandle,
    ) {
        let Some(wishes) = self.wishes.clone() else {
            let reason = Words::say("this is a proxy; nothing is forwarded from here").line();
            reply.reject(ChannelOpenFailure::Other { code: inner::PROHIBITED, reason }).await;
            return;
        };
        let Some((closed, done)) = self.place(channel.id()) else {
            reply.reject(ChannelOpenFailure::ResourceShortage).await;
            return;
        };
        let asked = Box::new(forward::Asked { to, from, channel, reply, closed, done });
        if let Err(TrySendError::Full(Wish::Forward(asked)) | TrySendError::Closed(Wish::Forward(asked))) =
            wishes.try_send(Wish::Forward(asked))
        {
            let reason = Words::say("too much is asked for at a time").line();
            asked.refuse(inner::SHORTAGE, reason).await;
        }
    }

    /// What a person wants done about a listener, on its way to the session. It is refused when its reply is dropped.
    pub(super) fn listen(&self, at: End, cancel: bool, reply: GlobalRequestReply) {
        if let Some(wishes) = &self.wishes {
            let _ = wishes.try_send(Wish::Listen(Box::new(ListenAsked { at, cancel, reply })));
        }
    }
}
