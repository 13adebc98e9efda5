//! `portcullis policy`: is it right, and what does it say?

use std::path::PathBuf;

use api::wire::ExplainRequest;
use identity::files;
use model::{IdentityName, Span};

use crate::context::Context;
use crate::error::{CliError, chain};
use crate::output::{Tone, clean_lines};
use crate::words::{Place, count};

/// Check a policy file offline, or ask the CA what its policy says and why
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis policy check policy.cedar
  portcullis policy explain root@web1 --for 4h
  portcullis policy explain root@web1 --action review --identity bob
  portcullis policy example > policy.cedar")]
pub(crate) struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Check files against the schema; needs no CA
    Check {
        /// The files; without any, the policy that portcullis.toml names
        #[arg(value_name = "FILE")]
        files: Vec<PathBuf>,
    },
    /// Say what the policy in force decides, and which policies decide it
    Explain(Explain),
    /// Print a commented policy to begin with
    Example,
    /// Print the schema that policies are checked against
    Schema,
}

#[derive(Debug, clap::Args)]
struct Explain {
    /// The account and the server, as root@web1; needed for all but lock and administer
    #[arg(value_name = "LOGIN@TARGET")]
    place: Option<Place>,
    /// What would be done
    #[arg(long, default_value = "request",
        value_parser = ["request", "review", "connect", "replay", "lock", "administer"])]
    action: String,
    /// Who would do it; without it, you
    #[arg(long, value_name = "NAME")]
    identity: Option<IdentityName>,
    /// For how long
    #[arg(long = "for", value_name = "TIME")]
    duration: Option<Span>,
    /// One exact command
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// A ticket in another system
    #[arg(long, value_name = "ID")]
    ticket: Option<String>,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    match &args.action {
        Action::Check { files } => check(context, files),
        Action::Explain(args) => explain(context, args).await,
        Action::Example => context.output.bytes(policy::EXAMPLE.as_bytes()),
        Action::Schema => context.output.bytes(policy::SCHEMA.as_bytes()),
    }
}

fn check(context: &Context, given: &[PathBuf]) -> Result<(), CliError> {
    let paths = match given {
        [] => vec![context.config()?.ca()?.policy().to_owned()],
        given => given.to_vec(),
    };
    let mut results = Vec::new();
    let mut wrong = 0;
    for path in &paths {
        let text = files::read_text(path, 16 << 20).map_err(|error| {
            CliError::new(
                crate::error::Kind::NotFound,
                chain(&error),
                "portcullis policy example prints one to begin with",
            )
        })?;
        match policy::Policies::parse(&text) {
            Ok(policies) => {
                let number = policies.len();
                results.push(serde_json::json!({ "file": path, "valid": true, "policies": number }));
                if !context.output.is_json() {
                    let word = context.output.tone(Tone::Good, "valid");
                    let policies = count(number, "polic").replace("polics", "policies").replace("1 polic", "1 policy");
                    context.output.line(format_args!("{}: {word}, {policies}", path.display()))?;
                }
            }
            Err(diagnostics) => {
                wrong += diagnostics.len();
                for found in &diagnostics {
                    results.push(serde_json::json!({
                        "file": path, "valid": false, "message": found.message, "line": found.line,
                        "column": found.column, "length": found.length, "hint": found.hint,
                    }));
                    if !context.output.is_json() {
                        context.output.line(format_args!("{}:{}", path.display(), clean_lines(&found.to_string())))?;
                    }
                }
            }
        }
    }
    if context.output.is_json() {
        context.output.json(&results)?;
    }
    match wrong {
        0 => Ok(()),
        wrong => Err(CliError::configuration(
            format!("{} in {}", count(wrong, "mistake"), count(paths.len(), "file")),
            "correct them; the CA keeps the policy that it has until a file is right as a whole",
        )),
    }
}

async fn explain(context: &Context, args: &Explain) -> Result<(), CliError> {
    let about_login = args.action.parse().is_ok_and(policy::Action::is_about_login);
    if about_login && args.place.is_none() {
        return Err(CliError::usage(
            format!("{} is about a login on a server, and none is named", args.action),
            format!("name it: portcullis policy explain root@web1 --action {}", args.action),
        ));
    }
    let body = ExplainRequest {
        identity: args.identity.as_ref().map(ToString::to_string),
        action: args.action.clone(),
        target: args.place.as_ref().map(|place| place.target.clone()),
        login: args.place.as_ref().map(|place| place.login.clone()),
        duration: args.duration.map(Span::seconds),
        command: args.command.clone(),
        ticket: args.ticket.clone(),
    };
    let explanation = context.client().await?.explain(&body).await?;
    let output = &context.output;
    if output.is_json() {
        return output.json(&explanation);
    }
    let tone = match explanation.verdict.as_str() {
        "permitted" => Tone::Good,
        _ => Tone::Bad,
    };
    output.line(output.tone(tone, explanation.verdict.replace('-', " ")))?;
    for path in &explanation.paths {
        output.line(format_args!(
            "  by {}: {}",
            output.tone(Tone::Strong, &path.policy),
            path.obligations.join(", ")
        ))?;
    }
    for reason in &explanation.reasons {
        output.line(clean_lines(reason))?;
    }
    Ok(())
}
