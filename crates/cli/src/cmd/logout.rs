//! `portcullis logout`: the token dies, here and at the CA.

use crate::context::Context;
use crate::error::CliError;
use crate::profile::KeySource;
use crate::token::StoredToken;

/// End your session with the CA; certificates stay valid until their grant ends
#[derive(Debug, clap::Args)]
pub(crate) struct Args {}

/// Runs the verb.
pub(crate) async fn run(context: &Context, _: &Args) -> Result<(), CliError> {
    let home = context.home()?;
    let profile = context.profile()?;
    let token = StoredToken::read(&home, &profile, context.now());
    let forgotten = StoredToken::forget(&home)?;
    if let Some(token) = token {
        // The file is gone whatever the CA says; a token that it no longer knows is as dead as one can wish.
        match context.anonymous(&profile)?.with_token(token).logout().await {
            Ok(()) => {}
            Err(api::ClientError::Problem(problem)) if problem.status == 401 => {}
            Err(error) => return Err(error.into()),
        }
    }
    match (context.output.is_json(), forgotten) {
        (true, _) => context.output.json(&serde_json::json!({ "logged-out": forgotten })),
        (false, true) => {
            context.output.line(format_args!("{} is logged out", profile.identity()))?;
            if matches!(profile.key(), KeySource::File(_)) {
                context.output.note("a key file without a passphrase logs in again by itself with the next command");
            }
            Ok(())
        }
        (false, false) => context.output.line("nobody was logged in"),
    }
}
