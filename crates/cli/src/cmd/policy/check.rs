//! `portcullis policy check`: mistakes, and what is valid and does less than it seems to.

use std::path::{Path, PathBuf};

use policy::{Diagnostic, Policies};
use serde_json::{Value, json};

use crate::context::Context;
use crate::error::CliError;
use crate::output::{Tone, clean, clean_lines};
use crate::words::count;

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// The files; without any, the policy that portcullis.toml names
    #[arg(value_name = "FILE")]
    files: Vec<PathBuf>,
    /// Look names up in this directory; without it, in the one that portcullis.toml names
    #[arg(long, value_name = "FILE")]
    directory: Option<PathBuf>,
    /// Take warnings for mistakes
    #[arg(long)]
    strict: bool,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let paths = match args.files.as_slice() {
        [] => vec![context.config()?.ca()?.policy().to_owned()],
        given => given.to_vec(),
    };
    let directory = super::directory(context, args.directory.as_deref())?;
    let known = directory.as_ref().map(ca::names);
    let mut results = Vec::new();
    let (mut mistakes, mut warnings) = (0, 0);
    for path in &paths {
        match Policies::parse(&super::read_policy(path)?) {
            Ok(policies) => {
                let found = policies.findings(known.as_ref());
                warnings += found.len();
                for finding in &found {
                    results.push(show(context, path, finding, "warning")?);
                }
                let number = policies.len();
                results.push(json!({ "file": path, "valid": true, "policies": number, "warnings": found.len() }));
                if !context.output.is_json() {
                    let word = context.output.tone(Tone::Good, "valid");
                    let policies = if number == 1 { "1 policy".to_owned() } else { format!("{number} policies") };
                    let found = match found.len() {
                        0 => String::new(),
                        number => format!(", {}", count(number, "warning")),
                    };
                    context.output.line(format_args!("{}: {word}, {policies}{found}", path.display()))?;
                }
            }
            Err(found) => {
                mistakes += found.len();
                for mistake in &found {
                    results.push(show(context, path, mistake, "error")?);
                }
            }
        }
    }
    if context.output.is_json() {
        context.output.json(&results)?;
    }
    if known.is_none() && mistakes == 0 {
        context.output.note("names were not looked up: name a directory with --directory FILE");
    }
    let files = count(paths.len(), "file");
    match (mistakes, warnings) {
        (0, warnings) if warnings > 0 && args.strict => Err(CliError::configuration(
            format!("{} in {files}, and --strict takes them for mistakes", count(warnings, "warning")),
            "correct them; without --strict they are only told",
        )),
        (0, _) => Ok(()),
        (mistakes, _) => Err(CliError::configuration(
            format!("{} in {files}", count(mistakes, "mistake")),
            "correct them; the CA keeps the policy that it has until a file is right as a whole",
        )),
    }
}

/// Shows one finding, and returns it as JSON.
fn show(context: &Context, path: &Path, found: &Diagnostic, level: &str) -> Result<Value, CliError> {
    let output = &context.output;
    if !output.is_json() {
        let word = output.tone(if level == "error" { Tone::Bad } else { Tone::Waiting }, level);
        let Diagnostic { line, column, message, .. } = found;
        output.line(format_args!("{}:{line}:{column}: {word}: {}", path.display(), clean(message)))?;
        output.line(clean_lines(&found.excerpt()))?;
    }
    Ok(json!({
        "file": path, "valid": level != "error", "level": level, "message": found.message, "line": found.line,
        "column": found.column, "length": found.length, "hint": found.hint,
    }))
}
