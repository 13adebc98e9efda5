//! One-time codes: asked for at the terminal, where one is all that is missing.

use std::io::{BufRead as _, Read as _};

use api::Client;
use api::wire::{Code, CodeTaken, ExplainRequest, FileRequest, Time};
use zeroize::Zeroizing;

use crate::context::Context;
use crate::error::CliError;
use crate::token::StoredToken;

/// How often somebody may mistype it.
const TRIES: usize = 3;

/// What somebody does first who has no authenticator.
const SET_UP: &str = "to set an authenticator up: portcullis factor add";

/// What is asked in front of a code.
const PROMPT: &str = "authentication code: ";

/// Makes a call; and when all that is missing is a one-time code and somebody can be asked for one, makes it again
/// with it.
///
/// # Errors
/// Those of the call, or of the code.
pub(crate) async fn with<T, F: Future<Output = Result<T, CliError>>>(
    context: &Context,
    client: &Client,
    call: impl Fn() -> F,
) -> Result<T, CliError> {
    match call().await {
        Err(error) if error.api_code() == Some("factor-needed") && context.output.can_ask() => {
            if !could_give(client).await {
                return Err(error.with_hint(SET_UP));
            }
            context.output.note(error);
            asked_for(context, client, None).await?;
            call().await
        }
        answer => answer,
    }
}

/// Asks for a code, and has the CA look at it. Until when it counts.
///
/// # Errors
/// There is no authenticator, or no good code came.
pub(crate) async fn give(context: &Context, client: &Client) -> Result<Time, CliError> {
    if !could_give(client).await {
        return Err(CliError::failed("you have no authenticator, and so no one-time code", SET_UP));
    }
    asked_for(context, client, None).await
}

/// Whether the caller has an authenticator: nobody is asked for what they cannot have. Where that cannot be looked up, the
/// CA says so once a code came.
async fn could_give(client: &Client) -> bool {
    client.factors(None).await.map_or(true, |own| !own.items.is_empty())
}

/// Asks for a code, unless one is given, and has the CA look at it. Until when it counts.
async fn asked_for(context: &Context, client: &Client, first: Option<Zeroizing<String>>) -> Result<Time, CliError> {
    let mut first = first;
    for _ in 1..TRIES {
        let code = first.take().map_or_else(|| typed(context, PROMPT), Ok)?;
        match verify(context, client, &code).await {
            Err(error) if is_mistake(&error) && context.output.can_ask() => context.output.note(error),
            answer => return answer,
        }
    }
    verify(context, client, &typed(context, PROMPT)?).await
}

/// Offers to give a code before a request is filed that has a way with one which is shorter than any other. Who has no
/// authenticator is told so, and an empty line goes on without. What fails here must not stand in the way: it is only an
/// offer.
pub(crate) async fn offer(context: &Context, client: &Client, ask: &FileRequest) {
    if !context.output.can_ask() {
        return;
    }
    let question = ExplainRequest {
        action: "request".to_owned(),
        target: Some(ask.target.clone()),
        login: Some(ask.login.clone()),
        duration: Some(ask.duration),
        command: ask.command.clone(),
        ticket: ask.ticket.clone(),
        ..ExplainRequest::default()
    };
    let Ok(explained) = client.explain(&question).await else { return };
    let at_once = explained.paths.iter().any(|path| path.taken && path.lacks.is_empty());
    let short = explained.paths.iter().find(|path| path.code && path.lacks.len() == 1);
    let (Some(path), true, false) = (short, explained.yes, at_once) else { return };
    let policy = &path.policy;
    if !could_give(client).await {
        context.output.note(format_args!("{policy} gives it at once with a one-time code; {SET_UP}"));
        return;
    }
    context.output.note(format_args!("{policy} gives it at once with a one-time code; press enter to ask without one"));
    match typed(context, PROMPT) {
        Ok(code) if code.is_empty() => {}
        Ok(code) => {
            if let Err(error) = asked_for(context, client, Some(code)).await {
                context.output.note(error);
            }
        }
        Err(error) => context.output.note(error),
    }
}

/// A code as it is typed: not shown at a terminal, else the next line of the input.
pub(crate) fn typed(context: &Context, prompt: &str) -> Result<Zeroizing<String>, CliError> {
    let unread = |error: std::io::Error| {
        CliError::failed(format!("no code can be read: {error}"), "type it at a terminal, or give it on standard input")
    };
    let line = if context.output.can_ask() {
        Zeroizing::new(rpassword::prompt_password(prompt).map_err(unread)?)
    } else {
        let mut line = Zeroizing::new(String::with_capacity(64));
        std::io::stdin().lock().take(64).read_line(&mut line).map_err(unread)?;
        line
    };
    // Apps show it with a gap in the middle.
    Ok(Zeroizing::new(line.chars().filter(|c| !c.is_whitespace()).collect()))
}

/// Whether another code may do.
pub(crate) fn is_mistake(error: &CliError) -> bool {
    matches!(error.api_code(), Some("code-refused" | "code-used"))
}

async fn verify(context: &Context, client: &Client, code: &Zeroizing<String>) -> Result<Time, CliError> {
    let taken = client.verify_code(&Code { code: code.clone().into() }).await?;
    keep(context, &taken)?;
    Ok(taken.until)
}

/// Keeps the session token that takes the place of the one that a code was given with.
///
/// # Errors
/// It cannot be written.
pub(crate) fn keep(context: &Context, taken: &CodeTaken) -> Result<(), CliError> {
    match &taken.login {
        Some(login) => StoredToken::write(&context.home()?, &context.profile()?, login),
        None => Ok(()),
    }
}
