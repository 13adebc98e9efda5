//! `portcullis policy who-can`: everybody in the directory is put to the policy, one after the other.

use std::net::IpAddr;
use std::path::PathBuf;

use identity::{Directory, Identity};
use model::{Factors, IdentityName, PolicyPath, Span, Timestamp};
use policy::{Action, Asker, Context as Circumstances, Policies, Question, Requester};

use super::ACTIONS;
use crate::context::Context;
use crate::error::{CliError, Kind};
use crate::words::{Place, listed};

#[derive(Debug, clap::Args)]
pub(super) struct Args {
    /// What would be done
    #[arg(value_name = "ACTION", value_parser = ACTIONS)]
    action: String,
    /// The account and the server, as root@web1; needed for all but lock and administer
    #[arg(value_name = "LOGIN@TARGET")]
    place: Option<Place>,
    /// Whose request would be reviewed, or whose session replayed
    #[arg(long, value_name = "NAME")]
    requester: Option<IdentityName>,
    /// For how long
    #[arg(long = "for", value_name = "TIME", default_value = "30m")]
    duration: Span,
    /// One exact command
    #[arg(long, value_name = "COMMAND")]
    command: Option<String>,
    /// A ticket in another system
    #[arg(long, value_name = "ID")]
    ticket: Option<String>,
    /// From which address
    #[arg(long, value_name = "ADDRESS")]
    address: Option<IpAddr>,
    /// As if everybody had touched a security key at login
    #[arg(long)]
    touch: bool,
    /// As if everybody had given a one-time code of late
    #[arg(long)]
    totp: bool,
    /// As if it were this moment, as 2026-11-21T22:00:00Z
    #[arg(long, value_name = "TIME")]
    at: Option<Timestamp>,
    /// The policy; without it, the one that portcullis.toml names
    #[arg(long, value_name = "FILE")]
    policy: Option<PathBuf>,
    /// The directory; without it, the one that portcullis.toml names
    #[arg(long, value_name = "FILE")]
    directory: Option<PathBuf>,
}

pub(super) fn run(context: &Context, args: &Args) -> Result<(), CliError> {
    let action = args.action.parse::<Action>().map_err(|error| CliError::usage(error, "name one of them"))?;
    let path = match &args.policy {
        Some(path) => path.clone(),
        None => context.config()?.ca()?.policy().to_owned(),
    };
    let policies = Policies::parse(&super::read_policy(&path)?).map_err(|wrong| {
        let first = wrong.first().map(ToString::to_string).unwrap_or_default();
        CliError::configuration(format!("{}:{first}", path.display()), "portcullis policy check shows every mistake")
    })?;
    let directory = super::directory(context, args.directory.as_deref())?.ok_or_else(|| {
        CliError::new(Kind::NotFound, "there is no directory to look people up in", "name one with --directory FILE")
    })?;
    let asked = Asked::new(args, action, &directory, args.at.unwrap_or_else(|| context.now()))?;
    let mut rows = Vec::new();
    let mut values = Vec::new();
    for identity in directory.identities() {
        let paths = asked.paths(&policies, identity);
        if paths.is_empty() {
            continue;
        }
        let by = listed(paths.iter().map(|path| &path.policy));
        let groups = listed(&identity.groups);
        values.push(serde_json::json!({ "identity": identity.name, "groups": identity.groups, "paths": paths }));
        rows.push([identity.name.to_string(), groups, by]);
    }
    match context.output.is_json() {
        true => context.output.json(&values),
        false => {
            let nobody = match (args.touch, args.totp) {
                (true, true) => "nobody can",
                _ => "nobody can as things are; --touch and --totp ask as if everybody had shown a second factor",
            };
            context.output.table(["WHO", "GROUPS", "BY"], rows, nobody)
        }
    }
}

/// A question that is put to everybody.
struct Asked<'a> {
    args: &'a Args,
    action: Action,
    target: Option<&'a model::Target>,
    requester: Option<&'a Identity>,
    now: Timestamp,
}

impl<'a> Asked<'a> {
    fn new(args: &'a Args, action: Action, directory: &'a Directory, now: Timestamp) -> Result<Self, CliError> {
        let not_found = |what: String| CliError::new(Kind::NotFound, what, "the names are those of the directory");
        let target = match &args.place {
            _ if !action.is_about_login() => None,
            None => {
                return Err(CliError::usage(
                    format!("{action} is about a login on a server, and none is named"),
                    format!("name it: portcullis policy who-can {action} root@web1"),
                ));
            }
            Some(place) => {
                let target = directory.target(&place.target).filter(|target| target.logins.contains(&place.login));
                Some(target.ok_or_else(|| not_found(format!("the directory has no {place}")))?)
            }
        };
        let requester = match (action, &args.requester) {
            (Action::Review | Action::Replay, Some(name)) => {
                Some(directory.identity(name).ok_or_else(|| not_found(format!("the directory has no {name}")))?)
            }
            (Action::Review | Action::Replay, None) => {
                return Err(CliError::usage(
                    format!("{action} is about somebody's request or session, and nobody is named"),
                    format!("name them: portcullis policy who-can {action} root@web1 --requester NAME"),
                ));
            }
            (Action::Request | Action::Connect | Action::Lock | Action::Administer, _) => None,
        };
        Ok(Self { args, action, target, requester, now })
    }

    /// By which policies somebody can; for a request, those that give it.
    fn paths(&self, policies: &Policies, identity: &Identity) -> Vec<PolicyPath> {
        let Args { duration, command, ticket, address, place, .. } = self.args;
        let shown = Factors { touch: self.args.touch, totp: self.args.totp };
        // Nobody reviews their own request, whatever policy says.
        if self.action == Action::Review && self.requester.is_some_and(|requester| requester.name == identity.name) {
            return Vec::new();
        }
        let question = Question {
            asker: Asker { name: &identity.name, groups: &identity.groups, shown },
            action: self.action,
            target: self.target,
            login: self.target.and(place.as_ref().map(|place| &place.login)),
            context: Circumstances {
                duration: *duration,
                command: command.as_deref(),
                ticket: ticket.as_deref(),
                address: *address,
                requester: self.requester.map(|identity| Requester { name: &identity.name, groups: &identity.groups }),
                ..Circumstances::at(self.now)
            },
        };
        let mut paths = policies.judge(&question).paths();
        if self.action == Action::Request {
            paths.retain(|PolicyPath { obligations, .. }| {
                obligations.max_duration >= *duration
                    && obligations.are_met_by(shown)
                    && (ticket.is_some() || !obligations.ticket)
            });
        }
        paths
    }
}
