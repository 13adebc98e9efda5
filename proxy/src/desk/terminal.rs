//! A person's channel as the desk uses it: lines out, lines in. What is typed is echoed here, because their terminal is in
//! raw mode; only what prints is taken.

use std::collections::VecDeque;

use russh::{Channel, ChannelMsg, server};

use crate::prompt::{Asks, Editor, Left, Step};
use crate::words::plain;

/// The extended data type of standard error (RFC 4254, section 5.2).
const STDERR: u32 = 1;
/// The columns of a terminal that does not say.
const COLUMNS: usize = 80;
/// The fewest and the most columns that are believed.
const NARROWEST: usize = 20;
const WIDEST: usize = 400;
/// The most bytes that are typed ahead.
const AHEAD: usize = 4096;

/// A person's channel.
pub(super) struct Terminal {
    channel: Channel<server::Msg>,
    raw: bool,
    columns: Option<u32>,
    typed: VecDeque<u8>,
    /// Nothing more comes from there.
    over: bool,
    /// The terminal's latest size, when it has changed: columns, rows, and both in pixels.
    pub(super) resized: Option<(u32, u32, u32, u32)>,
}

impl Terminal {
    /// `columns` when it is one; else lines end as in a file.
    pub(super) fn new(channel: Channel<server::Msg>, columns: Option<u32>) -> Self {
        Self { channel, raw: columns.is_some(), columns, typed: VecDeque::new(), over: false, resized: None }
    }

    /// How many columns it has now: 80 when nobody said.
    pub(super) fn columns(&self) -> usize {
        let now = self.resized.map(|(columns, ..)| columns).or(self.columns).filter(|columns| *columns > 0);
        now.and_then(|columns| usize::try_from(columns).ok()).unwrap_or(COLUMNS).clamp(NARROWEST, WIDEST)
    }

    /// A line of ours, in which others' words were made harmless already; and once more here, because it costs little.
    pub(super) async fn say(&self, line: &str) {
        let text = format!("{}{}", plain(line), if self.raw { "\r\n" } else { "\n" });
        let _ = self.channel.data_bytes(text.into_bytes()).await;
    }

    /// A line on standard error; in a terminal among the others, because a client may show what comes on two streams in
    /// another order.
    pub(super) async fn complain(&self, line: &str) {
        let line = format!("portcullis: {}", plain(line));
        if self.raw {
            return self.say(&line).await;
        }
        let _ = self.channel.extended_data_bytes(STDERR, format!("{line}\n").into_bytes()).await;
    }

    /// For programs: ASCII as it is.
    pub(super) async fn data(&self, text: String) {
        let _ = self.channel.data_bytes(text.into_bytes()).await;
    }

    /// Ends the channel.
    pub(super) async fn end(self) {
        let _ = self.channel.eof().await;
        let _ = self.channel.close().await;
    }

    /// The channel itself, for what comes after.
    pub(super) fn into_channel(self) -> Channel<server::Msg> {
        self.channel
    }

    /// Waits for something, unless they leave before: `Ctrl-C`, or a closed channel.
    ///
    /// # Errors
    /// They left.
    pub(super) async fn meanwhile<T>(&mut self, waiting: impl Future<Output = T>) -> Result<T, Left> {
        tokio::pin!(waiting);
        loop {
            if let Some(at) = self.typed.iter().position(|byte| *byte == 0x03) {
                self.typed.drain(..=at);
                self.show("^C\r\n").await;
                return Err(Left::Interrupted);
            }
            tokio::select! {
                biased;
                found = &mut waiting => return Ok(found),
                more = Self::receive(&mut self.channel, &mut self.typed, &mut self.resized), if !self.over => {
                    if !more {
                        self.over = true;
                        return Err(Left::Gone);
                    }
                }
            }
        }
    }

    /// Reads a line that nobody may see.
    ///
    /// # Errors
    /// They left instead.
    pub(super) async fn hidden(&mut self, prompt: &str) -> Result<String, Left> {
        self.read(prompt, false).await
    }

    /// Whether it is a terminal.
    pub(super) const fn is_one(&self) -> bool {
        self.raw
    }

    async fn read(&mut self, prompt: &str, shown: bool) -> Result<String, Left> {
        self.show(&plain(prompt)).await;
        let mut editor = Editor::default();
        loop {
            let Some(byte) = self.typed.pop_front() else {
                self.more().await?;
                continue;
            };
            let mut echo = String::new();
            let step = editor.feed(byte, &mut echo);
            // Of what is hidden, only that it has ended is seen.
            if !echo.is_empty() && (shown || !matches!(step, Step::More)) {
                self.show(&echo).await;
            }
            match step {
                Step::More => {}
                Step::Line(line) => return Ok(line),
                Step::Left(left) => return Err(left),
            }
        }
    }

    async fn more(&mut self) -> Result<(), Left> {
        let more = !self.over && Self::receive(&mut self.channel, &mut self.typed, &mut self.resized).await;
        self.over |= !more;
        if more { Ok(()) } else { Err(Left::Gone) }
    }

    /// Takes what comes next; `false` when nothing more does.
    async fn receive(
        channel: &mut Channel<server::Msg>,
        typed: &mut VecDeque<u8>,
        resized: &mut Option<(u32, u32, u32, u32)>,
    ) -> bool {
        match channel.wait().await {
            Some(ChannelMsg::Data { data }) => {
                let room = AHEAD.saturating_sub(typed.len());
                typed.extend(data.iter().take(room));
                true
            }
            Some(ChannelMsg::WindowChange { col_width, row_height, pix_width, pix_height }) => {
                *resized = Some((col_width, row_height, pix_width, pix_height));
                true
            }
            Some(ChannelMsg::Eof | ChannelMsg::Close) | None => false,
            Some(_) => true,
        }
    }

    /// Characters of our own, as they are.
    async fn show(&self, text: &str) {
        if self.raw {
            let _ = self.channel.data_bytes(text.to_owned().into_bytes()).await;
        }
    }
}

impl Asks for Terminal {
    async fn line(&mut self, prompt: &str) -> Result<String, Left> {
        self.read(prompt, true).await
    }

    async fn remark(&mut self, line: &str) {
        self.say(line).await;
    }
}
