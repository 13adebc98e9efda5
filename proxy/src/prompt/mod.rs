//! Questions that a person answers in their terminal: at the desk, and in the middle of a session.

mod editor;

use model::Span;

pub(crate) use editor::{Editor, Step};

/// How often somebody may answer the same question.
const TRIES: usize = 3;

/// How a wait for a person ended without what was waited for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// Ctrl-C.
    Interrupted,
    /// Ctrl-D on an empty line.
    Done,
    /// They hung up.
    Gone,
}

/// A terminal in which somebody answers.
pub(crate) trait Asks {
    /// Reads one line behind a prompt.
    ///
    /// # Errors
    /// They left instead.
    async fn line(&mut self, prompt: &str) -> Result<String, Left>;

    /// Says something about the answer.
    async fn remark(&mut self, line: &str);
}

/// Asks for a text that is not empty.
///
/// # Errors
/// They left, or give none.
pub(crate) async fn needed(terminal: &mut impl Asks, prompt: &str) -> Result<String, Left> {
    for _ in 0..TRIES {
        let text = terminal.line(prompt).await?;
        if !text.is_empty() {
            return Ok(text);
        }
    }
    Err(Left::Done)
}

/// Asks for a length of time of at most `longest`; an empty answer is `usual`.
///
/// # Errors
/// They left, or give none that makes sense.
pub(crate) async fn duration(terminal: &mut impl Asks, prompt: &str, usual: Span, longest: Span) -> Result<Span, Left> {
    for _ in 0..TRIES {
        let text = terminal.line(&format!("{prompt} [{usual}] ")).await?;
        if text.is_empty() {
            return Ok(usual);
        }
        match text.parse::<Span>() {
            Ok(span) if span > Span::ZERO && span <= longest => return Ok(span),
            Ok(_) => terminal.remark(&format!("at most {longest}")).await,
            Err(_) => terminal.remark("write it as 30m or 1h30m").await,
        }
    }
    Err(Left::Done)
}
