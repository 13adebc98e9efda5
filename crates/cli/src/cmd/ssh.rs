//! `portcullis ssh`: stock ssh, with the right certificate and the right host keys.

use std::ffi::OsString;
use std::os::unix::process::CommandExt as _;
use std::path::Path;

use api::Client;
use api::wire::{self, CaKeys, Grant, GrantState};
use identity::files::{self, Access};
use model::Span;

use crate::cmd::request::certificate;
use crate::context::Context;
use crate::error::CliError;
use crate::home::Home;
use crate::keyring::{self, Place};
use crate::profile::unwritten;
use crate::words::clock;
use crate::{ask, code, decision, ids, ssh_files, words};

/// Connect with stock ssh, with the right certificate; asks for a grant when --reason is given
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  portcullis ssh root@web1
  portcullis ssh root@web1 --for 30m --reason \"look at the disk\"
  portcullis ssh root@web1 --wait  # it is pending: connect once it is approved
  portcullis ssh root@web1 -- -L 8080:localhost:80
  portcullis ssh root@web1 uptime

What stands behind LOGIN@TARGET is passed on to ssh: options first (behind --),
then the command.")]
pub(crate) struct Args {
    /// The account and the server, as root@web1
    #[arg(value_name = "LOGIN@TARGET")]
    place: words::Place,
    /// Why; asks for a grant when there is none
    #[arg(long, short, value_name = "TEXT")]
    reason: Option<String>,
    /// For how long to ask
    #[arg(long = "for", value_name = "TIME", default_value = "30m", requires = "reason")]
    duration: Span,
    /// A ticket in another system
    #[arg(long, value_name = "ID", requires = "reason")]
    ticket: Option<String>,
    /// Wait for the decision when a request for it is pending already
    #[arg(long)]
    wait: bool,
    /// Go through ssh -J: two connections, one in the other; also keeps the proxy from being named in the login
    #[arg(long, short = 'J')]
    jump: bool,
    /// Through this proxy
    #[arg(long, value_name = "NAME")]
    proxy: Option<String>,
    /// Print the ssh command instead of running it
    #[arg(long)]
    print: bool,
    /// For ssh: options, then the command
    #[arg(value_name = "SSH ARGS", trailing_var_arg = true, allow_hyphen_values = true)]
    ssh: Vec<OsString>,
}

/// Runs the verb. On success it does not return: the process becomes ssh.
pub(crate) async fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let client = context.client().await?;
    let grant = grant(context, &client, args).await?;
    let identity_file = match keyring::kept(context, &grant).await {
        Some(path) => path,
        None => certificate(context, &client, &grant, &Place::Best).await?.identity_file,
    };
    let keys = client.ca().await?;
    let home = context.home()?;
    let mut words = match args.jump {
        true => through_jump(context, &client, &home, &keys, args).await?,
        false => through_login(&home, &keys, args, &identity_file)?,
    };
    // A grant for one exact command allows nothing else, so that is what an empty command line means.
    if let (Some(command), true) = (&grant.command, split(&args.ssh).1.is_empty()) {
        words.push(command.into());
    }
    if args.print || context.output.is_json() {
        let words: Vec<_> = words.iter().map(|word| word.to_string_lossy().into_owned()).collect();
        return match context.output.is_json() {
            true => context.output.json(&words),
            false => {
                context.output.line(words.iter().map(|word| words::shell_word(word)).collect::<Vec<_>>().join(" "))
            }
        };
    }
    let mut command = std::process::Command::new("ssh");
    command.args(words.iter().skip(1));
    let error = command.exec();
    Err(CliError::failed(format!("ssh cannot be run: {error}"), "install the OpenSSH client"))
}

/// The grant to use: an active one, one whose request is pending already, or one that is asked for now.
async fn grant(context: &Context, client: &Client, args: &Args) -> Result<Grant, CliError> {
    let own = ids::own_grants(client, &args.place).await?;
    let command = typed_command(&args.ssh);
    // A grant for one exact command serves that command; for anything else one without is better.
    let fit = |grant: &Grant| match &grant.command {
        Some(only) => u8::from(command.as_ref() == Some(only)) * 2,
        None => 1,
    };
    let scheduled = own.iter().find(|grant| grant.state == GrantState::Scheduled).cloned();
    if let Some(grant) = own.into_iter().filter(|grant| grant.state == GrantState::Active).max_by_key(fit) {
        // --for and --ticket need --reason.
        if args.reason.is_some() {
            context.output.note(format_args!(
                "{} until {} is used, and nothing is asked for; for more time: portcullis extend {} --for {}",
                grant.id,
                clock(grant.ends.0),
                grant.id,
                args.duration
            ));
        }
        return Ok(grant);
    }
    // Whoever asked already waits for that answer: a second request would only be in the reviewers' way.
    let pending = ids::own_pending(client, &args.place).await?;
    let pending = pending.filter(|request| request.command.is_none() || request.command == command);
    let approved = match (pending, &args.reason) {
        (Some(pending), reason) => {
            let again = format!("portcullis ssh {}", args.place);
            decision::offer(context, client, pending, args.wait || reason.is_some(), &again).await?
        }
        (None, Some(reason)) => {
            let body = wire::FileRequest {
                target: args.place.target.clone(),
                login: args.place.login.clone(),
                duration: args.duration.seconds(),
                reason: ask::given_reason(reason)?,
                ticket: args.ticket.clone(),
                command: None,
                start: None,
            };
            code::offer(context, client, &body).await;
            let key = context.idempotency_key();
            let filed = code::with(context, client, || async { Ok(client.file_request(&body, &key).await?) }).await?;
            decision::wait(context, client, filed, None).await?
        }
        (None, None) => {
            return match scheduled {
                Some(grant) => decision::active(context, &grant).map(|()| grant),
                None => Err(ids::no_grant(client, &args.place).await),
            };
        }
    };
    let grant = approved.grant.ok_or_else(|| {
        CliError::failed(
            format!("{} is approved, but the answer holds no grant", approved.id),
            format!("portcullis grants {} shows it", approved.id),
        )
    })?;
    decision::active(context, &grant).map(|()| grant)
}

/// `ssh -p PORT root+web1@proxy`: one layer of encryption.
fn through_login(home: &Home, keys: &CaKeys, args: &Args, identity: &Path) -> Result<Vec<OsString>, CliError> {
    let proxy = ssh_files::proxy(keys, args.proxy.as_deref())?;
    write_known_hosts(home, &ssh_files::known_hosts(keys, &[]), "known_hosts.proxy")?;
    let known_hosts = home.path().join("known_hosts.proxy");
    let mut words: Vec<OsString> = vec!["ssh".into()];
    for option in [
        format!("UserKnownHostsFile={}", ssh_files::quoted(&known_hosts)),
        "StrictHostKeyChecking=yes".to_owned(),
        "IdentitiesOnly=yes".to_owned(),
        format!("IdentityFile={}", ssh_files::quoted(identity)),
        "ProxyJump=none".to_owned(),
    ] {
        words.extend(["-o".into(), option.into()]);
    }
    words.extend(["-p".into(), proxy.port.to_string().into()]);
    words.extend(["-l".into(), format!("{}+{}", args.place.login, args.place.target).into()]);
    let (options, command) = split(&args.ssh);
    words.extend(options);
    words.push(proxy.host.clone().into());
    words.extend(command);
    Ok(words)
}

/// `ssh -J proxy root@web1`, through a configuration of its own: `-o` does not reach the connection to the proxy.
async fn through_jump(
    context: &Context,
    client: &Client,
    home: &Home,
    keys: &CaKeys,
    args: &Args,
) -> Result<Vec<OsString>, CliError> {
    let mut keys = keys.clone();
    let wanted = ssh_files::proxy(&keys, args.proxy.as_deref())?.clone();
    keys.proxies.retain(|proxy| proxy.name == wanted.name);
    let targets = client.targets().await?.items;
    let profile = context.profile()?;
    home.create()?;
    write_known_hosts(home, &ssh_files::known_hosts(&keys, &targets), "known_hosts")?;
    let mut config = ssh_files::ssh_config(home, &profile, &keys, &targets);
    // The person's own settings still hold, behind ours: the first value wins.
    config.push_str("\nMatch all\n    Include ~/.ssh/config\n    Include /etc/ssh/ssh_config\n");
    let path = home.path().join("ssh_config.jump");
    files::write_atomic(&path, config.as_bytes(), Access::Private).map_err(unwritten)?;
    let mut words: Vec<OsString> = vec!["ssh".into(), "-F".into(), path.into()];
    words.extend(["-l".into(), args.place.login.to_string().into()]);
    let (options, command) = split(&args.ssh);
    words.extend(options);
    words.push(args.place.target.to_string().into());
    words.extend(command);
    Ok(words)
}

fn write_known_hosts(home: &Home, text: &str, name: &str) -> Result<(), CliError> {
    home.create()?;
    files::write_atomic(&home.path().join(name), text.as_bytes(), Access::Public).map_err(unwritten)
}

/// What begins with a dash is ssh's, with the words that its options take; the command is the rest.
fn split(words: &[OsString]) -> (Vec<OsString>, Vec<OsString>) {
    // The options of ssh(1) that take a word of their own.
    const WITH_VALUE: &str = "BbcDEeFIiJLlmOoPpQRSWw";
    let mut options = Vec::new();
    let mut rest = words.iter().peekable();
    while let Some(word) = rest.peek() {
        let text = word.to_string_lossy();
        if text == "--" {
            rest.next();
            break;
        }
        let Some(letters) = text.strip_prefix('-').filter(|letters| !letters.is_empty()) else { break };
        // In "-vvL" the last letter takes the next word; in "-L8080:x:80" the rest of this one is the value.
        let takes_next = letters.chars().position(|letter| WITH_VALUE.contains(letter)).map(|at| at + 1)
            == Some(letters.chars().count());
        options.extend(rest.next().cloned());
        if takes_next {
            options.extend(rest.next().cloned());
        }
    }
    (options, rest.cloned().collect())
}

/// The command as ssh sends it: its words with single spaces between them.
fn typed_command(words: &[OsString]) -> Option<String> {
    let (_, command) = split(words);
    let words: Vec<_> = command.iter().map(|word| word.to_string_lossy()).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(words: &[&str]) -> (Vec<String>, Vec<String>) {
        let words: Vec<OsString> = words.iter().map(OsString::from).collect();
        let (options, command) = split(&words);
        let text = |words: Vec<OsString>| words.into_iter().map(|word| word.into_string().unwrap()).collect();
        (text(options), text(command))
    }

    #[test]
    fn options_and_command_come_apart() {
        for (words, options, command) in [
            (vec!["uptime"], vec![], vec!["uptime"]),
            (vec!["-L", "8080:x:80"], vec!["-L", "8080:x:80"], vec![]),
            (vec!["-L8080:x:80", "ls", "-l"], vec!["-L8080:x:80"], vec!["ls", "-l"]),
            (vec!["-vtL", "1:x:2", "sh"], vec!["-vtL", "1:x:2"], vec!["sh"]),
            (vec!["-t", "--", "-x"], vec!["-t"], vec!["-x"]),
            (vec!["-"], vec![], vec!["-"]),
            (vec!["-o"], vec!["-o"], vec![]),
        ] {
            let found = parts(&words);
            assert_eq!(found.0, options, "{words:?}");
            assert_eq!(found.1, command, "{words:?}");
        }
    }
}
