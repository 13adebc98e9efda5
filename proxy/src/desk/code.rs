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
        terminal.complain("you have no authenticator; portcullis factor add sets one up").await;
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

/// Whether a one-time code is all that was missing, and somebody is there to be asked.
pub(super) fn would_do(desk: &Desk, terminal: &Terminal, error: &ClientError) -> bool {
    error.code() == Some("factor-needed") && desk.authenticator && terminal.is_one()
}
