//! Policy.

use std::collections::BTreeSet;
use std::fmt::Display;

use api::{Problem, wire};
use axum::extract::State;
use model::{Carriage, GroupName, NameError, Obligations, RecordingMode, Span};
use policy::{Account, Judgement, Outcome};

use super::extract::{Json, Who};
use super::problem::Fault;
use super::{Shared, view};
use crate::app::{AppError, Explained, OpenPath, Riddle};

/// What would the CA say, and why? Asking for oneself is free; for others it takes the right to administer.
#[utoipa::path(post, path = "/v1/policy/explain", tag = "policy", request_body = wire::ExplainRequest,
    security(("token" = [])),
    responses((status = 200, body = wire::Explanation), (status = "default", body = Problem)))]
pub(super) async fn explain(
    State(app): State<Shared>,
    Who(caller): Who,
    Json(body): Json<wire::ExplainRequest>,
) -> Result<Json<wire::Explanation>, Fault> {
    let identity = body.identity.map(|name| name.parse()).transpose();
    let riddle = Riddle {
        identity: identity.map_err(|error: NameError| AppError::Invalid(error.to_string()))?,
        action: body.action.parse().map_err(AppError::Invalid)?,
        target: body.target,
        login: body.login,
        duration: body.duration.map(Span::from_seconds),
        command: body.command,
        ticket: body.ticket,
        requester: body.requester,
        address: body.address,
        touch: body.touch,
        totp: body.totp,
        at: body.at.map(|at| at.0),
    };
    Ok(Json(explained(&app.explain(&caller, &riddle)?)))
}

fn explained(explained: &Explained) -> wire::Explanation {
    let Explained { yes, answer, hints, explanation, paths, file } = explained;
    let verdict = match &explanation.judgement {
        Judgement::Permitted { .. } => "permitted",
        Judgement::Forbidden { .. } => "forbidden",
        Judgement::NothingMatches { .. } => "nothing-matches",
    };
    let place = |policy: &str| {
        let line = explanation.policies.iter().find(|account| account.policy == policy).map_or(0, |found| found.line);
        format!("{file}:{line}")
    };
    let path = |open: &OpenPath| wire::ExplainedPath {
        policy: open.path.policy.clone(),
        place: place(&open.path.policy),
        longest: open.path.obligations.max_duration.seconds(),
        ticket: open.path.obligations.ticket,
        obligations: obligations(&open.path.obligations),
        lacks: view::lacks(&open.gap),
        code: open.gap.factor.is_some(),
        taken: open.taken,
    };
    wire::Explanation {
        yes: *yes,
        verdict: verdict.to_owned(),
        question: explanation.question.clone(),
        answer: answer.clone(),
        hints: hints.clone(),
        paths: paths.iter().map(path).collect(),
        policies: explanation.policies.iter().map(|account| policy(account, file)).collect(),
    }
}

fn policy(account: &Account, file: &str) -> wire::ExplainedPolicy {
    let (decides, concerned) = match &account.outcome {
        Outcome::Matched { decides } => (*decides, true),
        Outcome::Condition { .. } | Outcome::Error { .. } => (false, true),
        Outcome::Elsewhere { .. } => (false, false),
    };
    wire::ExplainedPolicy {
        policy: account.policy.clone(),
        effect: if account.permit { "permit" } else { "forbid" }.to_owned(),
        place: format!("{file}:{}", account.line),
        description: account.description.clone(),
        decides,
        concerned,
        outcome: account.outcome.to_string(),
    }
}

/// What a path asks in return, in words.
fn obligations(asks: &Obligations) -> Vec<String> {
    let mut words = vec![format!("at most {}", asks.max_duration)];
    let groups = asks.approvers.iter().map(GroupName::as_str).collect::<Vec<_>>().join(" and ");
    words.push(match (asks.approvals, asks.approvers.is_empty()) {
        (0, true) => "no approval".to_owned(),
        (count, true) => view::approvals_in_words(count),
        (count, false) => format!("{} by {groups}", view::approvals_in_words(count.max(1))),
    });
    words.push(match asks.recording {
        RecordingMode::Only => "recorded, and nothing else passes; without its recording the session ends".to_owned(),
        RecordingMode::Strict => "recorded; without its recording the session ends".to_owned(),
        RecordingMode::BestEffort => "recorded where possible".to_owned(),
        RecordingMode::Off => "not recorded".to_owned(),
    });
    if asks.record_input {
        words.push("what is typed is recorded".to_owned());
    }
    if let Some(idle) = asks.idle_limit {
        words.push(format!("ends after {idle} without traffic"));
    }
    if asks.touch {
        words.push("a touched security key".to_owned());
    }
    words.extend(asks.factor.map(|wanted| wanted.to_string()));
    if asks.ticket {
        words.push("a ticket".to_owned());
    }
    words.extend(carriage(&asks.carriage));
    words
}

/// What may pass, as far as it is not what usually may.
fn carriage(carries: &Carriage) -> Vec<String> {
    let usual = Carriage::default();
    let mut words = Vec::new();
    if carries.channels != usual.channels {
        words.push(format!("runs only {}", listed(&carries.channels)));
    }
    if !carries.permit_open.is_empty() {
        words.push(format!("connects to {}", listed(&carries.permit_open)));
    }
    if !carries.permit_listen.is_empty() {
        words.push(format!("listens at {}", listed(&carries.permit_listen)));
    }
    for (patterns, all, verb) in
        [(&carries.upload, &usual.upload, "uploads"), (&carries.download, &usual.download, "downloads")]
    {
        if patterns.is_empty() {
            words.push(format!("no {verb}"));
        } else if patterns != all {
            words.push(format!("{verb} of {} only", listed(patterns)));
        }
    }
    words
}

fn listed<T: Display>(items: &BTreeSet<T>) -> String {
    items.iter().map(T::to_string).collect::<Vec<_>>().join(", ")
}
