//! The command line: one binary, one verb a file.

use std::path::PathBuf;

use clap::{Parser, Subcommand};

use crate::cmd;
use crate::context::Context;
use crate::error::CliError;
use crate::output::ColorChoice;

/// Just-in-time SSH access: ask, get approved, connect; recorded, and dropped the moment the grant ends
#[derive(Debug, Parser)]
#[command(
    name = "portcullis",
    version,
    max_term_width = 110,
    subcommand_required = true,
    arg_required_else_help = true
)]
#[command(after_help = "\
A day with it:
  portcullis request root@web1 --for 30m --reason \"deploy 4.2\"
  portcullis requests; portcullis approve req-x7
  portcullis ssh root@web1
  portcullis recordings; portcullis play rec-k2
  portcullis revoke req-x7 --reason \"that is enough\"

Exit codes:
  0 done            4 not found       8 wrong configuration
  1 refused         5 unreachable     9 cannot be read
  2 usage           6 timed out     130 interrupted
  3 not logged in   7 does not verify")]
pub(crate) struct Cli {
    // The environment is read in Context and not by clap, which would count a set variable as something that was typed
    // and show it in the usage line of every mistake.
    /// The server's configuration, or PORTCULLIS_CONFIG (default: portcullis.toml here, then
    /// /etc/portcullis/portcullis.toml)
    #[arg(long, global = true, value_name = "FILE", help_heading = "Global options")]
    pub(crate) config: Option<PathBuf>,
    /// Your own directory, or PORTCULLIS_HOME (default: ~/.config/portcullis)
    #[arg(long, global = true, value_name = "DIR", help_heading = "Global options")]
    pub(crate) home: Option<PathBuf>,
    /// Answer in JSON, errors too
    #[arg(long, global = true, help_heading = "Global options")]
    pub(crate) json: bool,
    /// Say more in the log; twice for everything
    #[arg(long, short, global = true, action = clap::ArgAction::Count, help_heading = "Global options")]
    pub(crate) verbose: u8,
    /// When to colour
    #[arg(
        long,
        global = true,
        value_name = "WHEN",
        default_value = "auto",
        help_heading = "Global options",
        hide_possible_values = false
    )]
    pub(crate) color: ColorChoice,
    /// What to do
    #[command(subcommand)]
    pub(crate) verb: Verb,
}

/// The verbs, in the order in which people meet them.
#[derive(Debug, Subcommand)]
pub(crate) enum Verb {
    /// Log in with an SSH key; the first time, say where the CA is and who you are
    Login(cmd::login::Args),
    /// End your session with the CA; certificates stay valid until their grant ends
    Logout(cmd::logout::Args),
    /// Show who you are to the CA, with which key, and until when
    Whoami(cmd::whoami::Args),
    /// Set up an authenticator app for one-time codes; list and remove authenticators
    Factor(cmd::factor::Args),
    /// Ask for access; waits for the decision and then gets the certificate
    Request(cmd::request::Args),
    /// List requests that wait for reviews, or show one in full
    Requests(cmd::requests::Args),
    /// Approve a request
    Approve(cmd::approve::Args),
    /// Deny a request
    Deny(cmd::deny::Args),
    /// Take your review of a pending request back
    Withdraw(cmd::withdraw::Args),
    /// Cancel your own pending request
    Cancel(cmd::cancel::Args),
    /// List the grants that are active or scheduled, or show one in full
    Grants(cmd::grants::Args),
    /// Give your grant back before its time; its live sessions end
    Release(cmd::release::Args),
    /// Ask for more time on an active grant; waits until it is decided
    Extend(cmd::extend::Args),
    /// Revoke a grant: its live sessions are dropped at once
    Revoke(cmd::revoke::Args),
    /// Get the certificate of an active grant, into the ssh-agent or a file
    Cert(cmd::cert::Args),
    /// Connect with stock ssh and the right certificate; asks for a grant first with --reason
    Ssh(cmd::ssh::Args),
    /// Print the ssh configuration and known_hosts lines for the proxy and its targets
    SshConfig(cmd::ssh_config::Args),
    /// List the live sessions, or show one in full
    Sessions(cmd::sessions::Args),
    /// Cut one live session; its grant stays (revoke takes that back too)
    Kill(cmd::kill::Args),
    /// Lock an identity, a target, a login, a grant or everything: drops the live, too
    Lock(cmd::lock::Args),
    /// Lift a lock
    Unlock(cmd::unlock::Args),
    /// List the locks in force
    Locks(cmd::locks::Args),
    /// List recordings, export them, and verify them against the ledger
    Recordings(cmd::recordings::Args),
    /// Play a recording in its own time, follow a live one, or read it as text
    Play(cmd::play::Args),
    /// Read the ledger, export it, prove what is in it, and verify it offline
    Ledger(cmd::ledger::Args),
    /// Register servers, and enrol them: make their sshd trust the CA
    Target(cmd::target::Args),
    /// Check a policy file offline, or ask the CA what its policy says and why
    Policy(cmd::policy::Args),
    /// Show how the CA is: version, ledger, policy, directory, what is open
    Status(cmd::status::Args),
    /// Make a new site: keys, TLS, configuration, policy and directory; overwrites nothing
    Init(cmd::init::Args),
    /// Run CA and proxy in one process, until SIGTERM or Ctrl-C
    Up(cmd::up::Args),
    /// Run the CA by itself, until SIGTERM or Ctrl-C
    Ca(cmd::ca::Args),
    /// Run a session proxy by itself, until SIGTERM or Ctrl-C
    Proxy(cmd::proxy::Args),
    /// Print the completions for a shell
    Completions(cmd::completions::Args),
    /// Write the man pages into a directory
    Man(cmd::man::Args),
}

/// Runs the verb.
pub(crate) async fn run(context: &Context, verb: &Verb) -> Result<(), CliError> {
    match verb {
        Verb::Login(args) => cmd::login::run(context, args).await,
        Verb::Logout(args) => cmd::logout::run(context, args).await,
        Verb::Whoami(args) => cmd::whoami::run(context, args).await,
        Verb::Factor(args) => cmd::factor::run(context, args).await,
        Verb::Request(args) => cmd::request::run(context, args).await,
        Verb::Requests(args) => cmd::requests::run(context, args).await,
        Verb::Approve(args) => cmd::approve::run(context, args).await,
        Verb::Deny(args) => cmd::deny::run(context, args).await,
        Verb::Withdraw(args) => cmd::withdraw::run(context, args).await,
        Verb::Cancel(args) => cmd::cancel::run(context, args).await,
        Verb::Grants(args) => cmd::grants::run(context, args).await,
        Verb::Release(args) => cmd::release::run(context, args).await,
        Verb::Extend(args) => cmd::extend::run(context, args).await,
        Verb::Revoke(args) => cmd::revoke::run(context, args).await,
        Verb::Cert(args) => cmd::cert::run(context, args).await,
        Verb::Ssh(args) => cmd::ssh::run(context, args).await,
        Verb::SshConfig(args) => cmd::ssh_config::run(context, args).await,
        Verb::Sessions(args) => cmd::sessions::run(context, args).await,
        Verb::Kill(args) => cmd::kill::run(context, args).await,
        Verb::Lock(args) => cmd::lock::run(context, args).await,
        Verb::Unlock(args) => cmd::unlock::run(context, args).await,
        Verb::Locks(args) => cmd::locks::run(context, args).await,
        Verb::Recordings(args) => cmd::recordings::run(context, args).await,
        Verb::Play(args) => cmd::play::run(context, args).await,
        Verb::Ledger(args) => cmd::ledger::run(context, args).await,
        Verb::Target(args) => cmd::target::run(context, args).await,
        Verb::Policy(args) => cmd::policy::run(context, args).await,
        Verb::Status(args) => cmd::status::run(context, args).await,
        Verb::Init(args) => cmd::init::run(context, args),
        Verb::Up(args) => cmd::up::run(context, args).await,
        Verb::Ca(args) => cmd::ca::run(context, args).await,
        Verb::Proxy(args) => cmd::proxy::run(context, args).await,
        Verb::Completions(args) => cmd::completions::run(context, args),
        Verb::Man(args) => cmd::man::run(context, args),
    }
}
