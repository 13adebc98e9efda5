//! One-time codes, asked for in a terminal.

use api::ClientError;
use api::wire::Code;
use zeroize::Zeroizing;

use super::terminal::Terminal;
use super::{Desk, run};
use crate::prompt::Left;

/// How often somebody may mistype it.
const TRIES: usize = 3;

/// Asks for a code and passes it on. Whether a good one came; an empty line is none.
///
/// # Errors
/// They left instead.
pub(super) async fn ask(desk: &Desk, terminal: &mut Terminal) -> Result<bool, Left> {
    if !desk.authenticator {
        terminal.complain(missing(desk)).await;
        return Ok(false);
    }
    for _ in 0..TRIES {
        // Apps show it with a gap in the middle.
        let typed = Zeroizing::new(terminal.hidden("authentication code: ").await?);
        let code = Zeroizing::new(typed.split_whitespace().collect::<String>());
        if code.is_empty() {
            return Ok(false);
        }
        match desk.client.verify_code(&Code { code: code.into() }).await {
            Ok(_) => return Ok(true),
            Err(error) => {
                run::complain(terminal, &error).await;
                if !matches!(error.code(), Some("code-refused" | "code-used")) {
                    return Ok(false);
                }
            }
        }
    }
    Ok(false)
}

/// What somebody can do who lacks a code.
pub(super) const fn missing(desk: &Desk) -> &'static str {
    if desk.authenticator {
        "in a terminal the code is asked for here: ssh -t"
    } else {
        "you had no authenticator when you logged in here: portcullis factor add sets one up, with a login at the CA; then \
         come again"
    }
}

/// Whether a one-time code is all that was missing, and somebody is there to be asked.
pub(super) fn would_do(desk: &Desk, terminal: &Terminal, error: &ClientError) -> bool {
    error.code() == Some("factor-needed") && desk.authenticator && terminal.is_one()
}
