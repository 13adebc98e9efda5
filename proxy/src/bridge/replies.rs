//! Replies to requests, in the order of the requests (RFC 4254, section 5.4).
//!
//! A client may send its next request before the last is answered, and some are answered here while others wait for
//! the target. So each takes its place in a line.

use std::collections::VecDeque;

use model::ChannelKind;
use russh::{ChannelId, ChannelMsg, server};
use tokio::sync::{Mutex, watch};

/// The requests of one channel that wait for their replies.
#[derive(Debug, Default)]
pub(super) struct Replies {
    /// Held while a reply is sent, so that replies leave in their order.
    line: Mutex<VecDeque<Slot>>,
    ptys: watch::Sender<usize>,
}

#[derive(Debug)]
struct Slot {
    want_reply: bool,
    state: State,
}

#[derive(Debug)]
enum State {
    /// The target is asked.
    Asked(Request),
    /// The answer is known, and waits for those before it.
    Known(bool),
}

/// What the target was asked for.
#[derive(Debug)]
pub(super) enum Request {
    /// A terminal.
    Pty,
    /// To run something.
    Start(ChannelKind),
    /// Anything else.
    Other,
}

/// How many requests may wait for their replies. A client has a handful; a target that answers none must not make the
/// line grow for as long as one asks.
const MOST: usize = 256;

impl Replies {
    /// Whether nothing more may be asked for.
    pub(super) async fn is_full(&self) -> bool {
        self.line.lock().await.len() >= MOST
    }

    /// The target is about to be asked.
    pub(super) async fn expect(&self, want_reply: bool, request: Request) {
        if matches!(request, Request::Pty) {
            self.ptys.send_modify(|waiting| *waiting += 1);
        }
        self.line.lock().await.push_back(Slot { want_reply, state: State::Asked(request) });
    }

    /// Answers a request without asking the target.
    pub(super) async fn answer(&self, want_reply: bool, granted: bool, handle: &server::Handle, id: ChannelId) {
        let mut line = self.line.lock().await;
        line.push_back(Slot { want_reply, state: State::Known(granted) });
        advance(&mut line, handle, id).await;
    }

    /// The target has answered; returns what it was asked for.
    pub(super) async fn answered(&self, granted: bool, handle: &server::Handle, id: ChannelId) -> Option<Request> {
        let mut line = self.line.lock().await;
        let first = line.iter_mut().find(|slot| matches!(slot.state, State::Asked(_)))?;
        let State::Asked(request) = std::mem::replace(&mut first.state, State::Known(granted)) else { return None };
        advance(&mut line, handle, id).await;
        Some(request)
    }

    /// A terminal's answer has been dealt with.
    pub(super) fn pty_settled(&self) {
        self.ptys.send_modify(|waiting| *waiting = waiting.saturating_sub(1));
    }

    /// Waits until no terminal's answer is outstanding: whether there is one decides how the channel is recorded.
    pub(super) async fn ptys_settled(&self) {
        // The sender lives as long as this does.
        let _ = self.ptys.subscribe().wait_for(|waiting| *waiting == 0).await;
    }

    /// Grants whatever waits, so that the client reads on.
    pub(super) async fn grant_all(&self, handle: &server::Handle, id: ChannelId) {
        let mut line = self.line.lock().await;
        for slot in line.iter_mut() {
            if matches!(slot.state, State::Asked(_)) {
                slot.state = State::Known(true);
            }
        }
        advance(&mut line, handle, id).await;
    }
}

/// Sends the replies at the front of the line that are known.
async fn advance(line: &mut VecDeque<Slot>, handle: &server::Handle, id: ChannelId) {
    while let Some(Slot { want_reply, state: State::Known(granted) }) = line.front() {
        // A connection that is gone needs no reply.
        let _ = match (*want_reply, *granted) {
            (false, _) => Ok(()),
            (true, true) => handle.channel_success(id).await,
            (true, false) => handle.channel_failure(id).await,
        };
        line.pop_front();
    }
}

/// Whether a message asks for something: does it want a reply, does it start something, does it ask for a terminal.
pub(crate) fn asks(msg: &ChannelMsg) -> Option<(bool, bool, bool)> {
    match msg {
        ChannelMsg::RequestPty { want_reply, .. } => Some((*want_reply, false, true)),
        ChannelMsg::RequestShell { want_reply }
        | ChannelMsg::Exec { want_reply, .. }
        | ChannelMsg::RequestSubsystem { want_reply, .. } => Some((*want_reply, true, false)),
        ChannelMsg::RequestX11 { want_reply, .. }
        | ChannelMsg::SetEnv { want_reply, .. }
        | ChannelMsg::AgentForward { want_reply }
        | ChannelMsg::Request { want_reply, .. } => Some((*want_reply, false, false)),
        ChannelMsg::Open { .. }
        | ChannelMsg::Data { .. }
        | ChannelMsg::ExtendedData { .. }
        | ChannelMsg::Eof
        | ChannelMsg::Close
        | ChannelMsg::Signal { .. }
        | ChannelMsg::WindowChange { .. }
        | ChannelMsg::XonXoff { .. }
        | ChannelMsg::ExitStatus { .. }
        | ChannelMsg::ExitSignal { .. }
        | ChannelMsg::WindowAdjusted { .. }
        | ChannelMsg::Success
        | ChannelMsg::Failure
        | ChannelMsg::OpenFailure(_)
        | _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn what_a_target_never_answers_is_not_asked_for_without_end() {
        let replies = Replies::default();
        for _ in 0..MOST {
            assert!(!replies.is_full().await);
            replies.expect(true, Request::Other).await;
        }
        assert!(replies.is_full().await);
    }
}
