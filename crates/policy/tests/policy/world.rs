//! People, targets and questions.

use std::collections::{BTreeMap, BTreeSet};

use model::{Factors, GroupName, IdentityName, Login, Span, Target, Timestamp};
use portcullis_policy::{Action, Asker, Context, Judgement, Policies, Question, Requester, Way};

pub(crate) fn noon() -> Timestamp {
    "2026-11-20T12:00:00.123456Z".parse().unwrap()
}

pub(crate) fn target(name: &str, labels: &[(&str, &str)]) -> Target {
    Target {
        name: name.parse().unwrap(),
        addresses: vec![],
        labels: labels
            .iter()
            .map(|(label, value)| ((*label).to_owned(), (*value).to_owned()))
            .collect::<BTreeMap<_, _>>(),
        logins: BTreeSet::from(["root".parse().unwrap()]),
        auth: model::TargetAuth::default(),
        host_keys: vec![],
    }
}

/// A question that owns what it speaks of: alice of the engineers asks for root@web1 for half an hour at noon.
#[derive(Clone)]
pub(crate) struct Case {
    pub(crate) name: IdentityName,
    pub(crate) groups: BTreeSet<GroupName>,
    pub(crate) touch: bool,
    pub(crate) totp: bool,
    pub(crate) action: Action,
    pub(crate) target: Option<Target>,
    pub(crate) login: Option<Login>,
    pub(crate) now: Timestamp,
    pub(crate) duration: Span,
    pub(crate) command: Option<String>,
    pub(crate) ticket: Option<String>,
    pub(crate) address: Option<std::net::IpAddr>,
    pub(crate) way: Way,
    pub(crate) requester: Option<(IdentityName, BTreeSet<GroupName>)>,
}

pub(crate) fn case(action: Action) -> Case {
    Case {
        name: "alice".parse().unwrap(),
        groups: groups(&["engineers"]),
        touch: false,
        totp: false,
        action,
        target: Some(target("web1", &[("env", "prod")])),
        login: Some("root".parse().unwrap()),
        now: noon(),
        duration: Span::from_minutes(30),
        command: None,
        ticket: None,
        address: None,
        way: Way::Api,
        requester: None,
    }
}

pub(crate) fn groups(names: &[&str]) -> BTreeSet<GroupName> {
    names.iter().map(|name| name.parse().unwrap()).collect()
}

impl Case {
    pub(crate) fn who(mut self, name: &str, of: &[&str]) -> Self {
        self.name = name.parse().unwrap();
        self.groups = groups(of);
        self
    }

    pub(crate) fn on(mut self, name: &str, labels: &[(&str, &str)]) -> Self {
        self.target = Some(target(name, labels));
        self
    }

    pub(crate) fn about(mut self, requester: &str, of: &[&str]) -> Self {
        self.requester = Some((requester.parse().unwrap(), groups(of)));
        self
    }

    pub(crate) fn ask<T>(&self, with: impl FnOnce(&Question<'_>) -> T) -> T {
        with(&Question {
            asker: Asker {
                name: &self.name,
                groups: &self.groups,
                shown: Factors { touch: self.touch, totp: self.totp },
            },
            action: self.action,
            target: self.target.as_ref(),
            login: self.login.as_ref(),
            context: Context {
                now: self.now,
                duration: self.duration,
                command: self.command.as_deref(),
                ticket: self.ticket.as_deref(),
                address: self.address,
                way: self.way,
                requester: self.requester.as_ref().map(|(name, groups)| Requester { name, groups }),
            },
        })
    }

    pub(crate) fn judge(&self, policies: &Policies) -> Judgement {
        self.ask(|question| policies.judge(question))
    }

    /// "yes: a, b", "no", or "forbidden: c".
    pub(crate) fn said(&self, policies: &Policies) -> String {
        match self.judge(policies) {
            Judgement::Permitted { paths, .. } => {
                let ids: Vec<_> = paths.into_iter().map(|path| path.policy).collect();
                format!("yes: {}", ids.join(", "))
            }
            Judgement::Forbidden { by } => {
                let ids: Vec<_> = by.into_iter().map(|forbid| forbid.policy).collect();
                format!("forbidden: {}", ids.join(", "))
            }
            Judgement::NothingMatches { .. } => "no".to_owned(),
        }
    }
}

pub(crate) fn parse(text: &str) -> Policies {
    Policies::parse(text)
        .unwrap_or_else(|wrong| panic!("{}", wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")))
}

/// The diagnostics of a text, as they are shown.
pub(crate) fn wrong(text: &str) -> String {
    let wrong = Policies::parse(text).expect_err("it should be refused");
    wrong.iter().map(ToString::to_string).collect::<Vec<_>>().join("\n")
}
