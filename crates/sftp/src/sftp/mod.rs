//! SFTP, version 3 (draft-ietf-secsh-filexfer-02), with OpenSSH's extensions.
//!
//! A packet is judged as soon as all of it is there, and a packet with a file's content as soon as what precedes the
//! content is; then the content passes as it comes. An answer from here is only ever put between two packets.

mod answer;
mod ask;
mod frame;
mod request;
mod state;
mod wire;

use std::collections::VecDeque;

use bytes::Bytes;

use self::ask::Ruling;
use self::frame::Frame;
use self::state::{Kind, State};
use self::wire::Fields;
use crate::cut::{Cutter, Waiting};
use crate::{Broken, Judge, Limits, Passed, Problem, Side, Watch};

/// The one version that is passed on.
const SPOKEN: u32 = 3;

/// Watches an SFTP channel.
///
/// Relative paths are resolved against the folder that the target names when the client asks for the real path of `.`,
/// which OpenSSH's client does first of all. Until then they stay relative.
#[derive(Debug)]
pub struct SftpWatch<J> {
    judge: J,
    phase: Phase,
    client: Frame,
    server: Frame,
    state: State,
    /// What the client sent and that has to wait.
    waiting: Waiting,
    /// A whole request is there and has to wait.
    stuck: bool,
    /// Answers to refused requests that wait for the end of the target's packet.
    answers: VecDeque<Bytes>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// Nothing was said.
    Start,
    /// The client has told its version. What it goes on to say waits for the target's.
    Greeted,
    /// Both speak version 3.
    Agreed,
}

impl<J: Judge> SftpWatch<J> {
    /// A watch over a channel that has just been opened.
    pub const fn new(limits: Limits, judge: J) -> Self {
        Self {
            judge,
            phase: Phase::Start,
            client: Frame::new(Side::Client, limits.packet),
            server: Frame::new(Side::Server, limits.packet),
            state: State::new(limits),
            waiting: Waiting::new(),
            stuck: false,
            answers: VecDeque::new(),
        }
    }

    /// Tells of looking, too: of stat, lstat, fstat, realpath and their like.
    #[must_use]
    pub const fn with_looks(mut self) -> Self {
        self.state.looks = true;
        self
    }

    /// Whether the client's next request has to wait.
    fn must_wait(&self) -> bool {
        self.phase == Phase::Greeted || self.state.is_full(self.answers.len())
    }

    /// Judges what the client has sent, as far as that is possible now.
    fn run_client(&mut self, passed: &mut Passed) -> Result<(), Broken> {
        loop {
            let mut cut = Cutter::new(self.waiting.pop().unwrap_or_default());
            self.stuck = false;
            let result = self.client_packets(&mut cut, passed);
            self.waiting.put_back(cut.finish(&mut passed.to_server));
            result?;
            if self.stuck || self.waiting.is_empty() {
                return Ok(());
            }
        }
    }

    /// Returns when the piece is used up, or has to wait.
    fn client_packets(&mut self, cut: &mut Cutter, passed: &mut Passed) -> Result<(), Broken> {
        loop {
            if let Some(body) = self.client.body {
                let count = cut.rest().len().min(body.left);
                if count == 0 {
                    return Ok(());
                }
                if let Some(sink) = body.sink {
                    if let Some((open, budget)) = self.state.with_budget(sink.slot)
                        && let Kind::File { written, .. } = &mut open.kind
                    {
                        written.push(sink.offset, cut.rest().get(..count).unwrap_or_default(), budget);
                    }
                    cut.pass(count);
                } else {
                    cut.skip(count, &mut passed.to_server);
                }
                self.client.carried(count);
                continue;
            }
            let Some(head) = self.client.head(cut, &mut passed.to_server)? else { return Ok(()) };
            if self.must_wait() {
                self.client.put_back(head);
                self.stuck = true;
                return Ok(());
            }
            let bytes = head.bytes(cut.rest());
            let (length, content) = (bytes.len(), frame::content(bytes));
            let ruling = match self.phase {
                Phase::Start => greeting(bytes, wire::INIT).map(|()| Ruling::Pass(None)),
                Phase::Greeted | Phase::Agreed if bytes.get(4) == Some(&wire::INIT) => Err(Problem::Again),
                Phase::Greeted | Phase::Agreed => {
                    ask::ask(&mut self.state, &mut self.judge, bytes, content, &mut passed.operations)
                }
            };
            match ruling.map_err(|problem| self.client.broken(problem))? {
                Ruling::Pass(sink) => {
                    head.pass(cut, &mut passed.to_server);
                    self.client.judged(length, content, sink);
                }
                Ruling::Answer(packet) => {
                    head.skip(cut, &mut passed.to_server);
                    self.client.judged(length, content, None);
                    self.answers.push_back(packet.into());
                    self.send_answers(passed);
                }
            }
            if self.phase == Phase::Start {
                self.phase = Phase::Greeted;
            }
        }
    }

    fn server_packets(&mut self, cut: &mut Cutter, passed: &mut Passed) -> Result<(), Broken> {
        loop {
            if let Some(body) = self.server.body {
                let count = cut.rest().len().min(body.left);
                if count == 0 {
                    return Ok(());
                }
                let slot = body.sink.map(|sink| sink.slot);
                if let Some(sink) = body.sink
                    && let Some((open, budget)) = self.state.with_budget(sink.slot)
                    && let Kind::File { read, .. } = &mut open.kind
                {
                    read.push(sink.offset, cut.rest().get(..count).unwrap_or_default(), budget);
                }
                cut.pass(count);
                if self.server.carried(count) {
                    if let Some(slot) = slot {
                        self.state.landed(slot, &mut passed.operations);
                    }
                    cut.flush(&mut passed.to_client);
                    self.send_answers(passed);
                    self.go_on(passed)?;
                }
                continue;
            }
            let Some(head) = self.server.head(cut, &mut passed.to_client)? else { return Ok(()) };
            let bytes = head.bytes(cut.rest());
            let (length, content) = (bytes.len(), frame::content(bytes));
            let answer = match (self.phase, bytes.get(4)) {
                (Phase::Agreed, Some(&wire::VERSION)) => Err(Problem::Again),
                (Phase::Agreed, _) => answer::answer(&mut self.state, bytes, content, &mut passed.operations),
                (Phase::Greeted, _) => greeting(bytes, wire::VERSION).map(|()| None),
                (Phase::Start, kind) => {
                    Err(Problem::First { expected: "the client's", got: kind.copied().unwrap_or_default() })
                }
            };
            let sink = answer.map_err(|problem| self.server.broken(problem))?;
            head.pass(cut, &mut passed.to_client);
            self.server.judged(length, content, sink);
            self.phase = Phase::Agreed;
            // At once, so that it does not matter how much more came with this packet.
            if self.stuck && !self.must_wait() {
                cut.flush(&mut passed.to_client);
                self.go_on(passed)?;
            }
        }
    }

    /// Judges the client's requests that had to wait, as soon as they need not.
    fn go_on(&mut self, passed: &mut Passed) -> Result<(), Broken> {
        if self.stuck && !self.must_wait() { self.run_client(passed) } else { Ok(()) }
    }

    /// Sends the answers that wait, unless the target is in the middle of a packet.
    fn send_answers(&mut self, passed: &mut Passed) {
        if self.server.body.is_none() {
            passed.to_client.extend(self.answers.drain(..));
        }
    }
}

impl<J: Judge> Watch for SftpWatch<J> {
    fn client(&mut self, bytes: Bytes, passed: &mut Passed) -> Result<(), Broken> {
        self.waiting.push(bytes);
        self.run_client(passed)?;
        let limit = self.state.limits.held;
        if self.waiting.bytes > limit { Err(self.client.broken(Problem::Held { limit })) } else { Ok(()) }
    }

    fn server(&mut self, bytes: Bytes, passed: &mut Passed) -> Result<(), Broken> {
        let mut cut = Cutter::new(bytes);
        let result = self.server_packets(&mut cut, passed);
        cut.finish(&mut passed.to_client);
        result
    }

    fn holds_client(&self) -> bool {
        self.must_wait()
    }

    fn holds_server(&self) -> bool {
        false
    }

    fn keeps_client(&self) -> bool {
        !self.waiting.is_empty() || self.stuck
    }

    fn keeps_server(&self) -> bool {
        false
    }

    fn held(&self) -> usize {
        let answers: usize = self.answers.iter().map(Bytes::len).sum();
        [self.client.held(), self.server.held(), self.waiting.bytes, self.state.held(), answers].iter().sum()
    }

    fn finish(&mut self, passed: &mut Passed) {
        self.state.finish(&mut passed.operations);
    }
}

/// The first packet of a side: `SSH_FXP_INIT` or `SSH_FXP_VERSION` (section 4), with names and data of extensions.
fn greeting(packet: &[u8], kind: u8) -> Result<(), Problem> {
    let mut fields = Fields::of(packet);
    let got = fields.u8("type")?;
    if got != kind {
        let expected = if kind == wire::INIT { "the client's version" } else { "the server's version" };
        return Err(Problem::First { expected, got });
    }
    let version = fields.u32("version")?;
    // A client names the highest that it speaks; a server the one that will be spoken.
    if version != SPOKEN && (kind == wire::VERSION || version < SPOKEN) {
        return Err(Problem::Version { version });
    }
    while !fields.is_empty() {
        fields.string("extension")?;
        fields.string("extension")?;
    }
    Ok(())
}

#[cfg(test)]
mod tests;
