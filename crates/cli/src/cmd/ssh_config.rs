//! `portcullis ssh-config`: what stock ssh needs to know, once.

use std::path::Path;

use identity::files::{self, Access};

use crate::context::Context;
use crate::error::CliError;
use crate::home::expand;
use crate::profile::unwritten;
use crate::ssh_files;

/// Print the ssh configuration and known_hosts lines for the proxy and its targets
#[derive(Debug, clap::Args)]
#[command(after_help = "\
With --write, stock ssh needs one line more at the top of ~/.ssh/config, which
is printed; or let --include add it.
Run it again when targets were added.")]
pub(crate) struct Args {
    /// Write ssh_config and known_hosts into your directory instead of printing them
    #[arg(long)]
    write: bool,
    /// And add the Include line to ~/.ssh/config when it is not there
    #[arg(long, requires = "write")]
    include: bool,
    /// Print only the known_hosts lines
    #[arg(long, conflicts_with = "write")]
    known_hosts: bool,
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let (home, profile) = (context.home()?, context.profile()?);
    let keys = client.ca().await?;
    ssh_files::proxy(&keys, None)?;
    let targets = client.targets().await?.items;
    let known_hosts = ssh_files::known_hosts(&keys, &targets);
    let config = ssh_files::ssh_config(&home, &profile, &keys, &targets);
    let output = &context.output;
    if output.is_json() {
        return output.json(&serde_json::json!({ "ssh-config": config, "known-hosts": known_hosts }));
    }
    if args.known_hosts {
        return output.bytes(known_hosts.as_bytes());
    }
    if !args.write {
        output.bytes(config.as_bytes())?;
        output.line(format_args!("\n# The lines of {}:", home.known_hosts().display()))?;
        for line in known_hosts.lines() {
            output.line(format_args!("# {line}"))?;
        }
        output.note("portcullis ssh-config --write puts both in their place");
        return Ok(());
    }
    home.create()?;
    crate::home::make_private(&home.certificates())?;
    files::write_atomic(&home.known_hosts(), known_hosts.as_bytes(), Access::Public).map_err(unwritten)?;
    files::write_atomic(&home.ssh_config(), config.as_bytes(), Access::Public).map_err(unwritten)?;
    output.line(home.ssh_config().display())?;
    output.line(home.known_hosts().display())?;
    let include = format!("Include {}", ssh_files::quoted(&home.ssh_config()));
    let path = expand(Path::new("~/.ssh/config"));
    let old = std::fs::read_to_string(&path).unwrap_or_default();
    if old.lines().any(|line| line.trim() == include) {
        return Ok(());
    }
    if !args.include {
        output.note(format_args!("add this line to the top of {}: {include}", path.display()));
        return Ok(());
    }
    if let Some(parent) = path.parent() {
        crate::home::make_private(parent)?;
    }
    files::write_atomic(&path, format!("{include}\n{old}").as_bytes(), Access::Private).map_err(unwritten)?;
    output.line(format_args!("{} includes it now", path.display()))
}
