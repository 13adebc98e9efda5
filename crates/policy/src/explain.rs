//! Taking a judgement apart: which part of each policy did not fit.

use cedar_policy::{Authorizer, Decision, Policy, PolicyId, PolicySet, PrincipalConstraint};
use serde_json::{Value, json};

use crate::ask::Ask;
use crate::policies::{Effectual, Entry};
use crate::{Account, Explanation, Judgement, Outcome, Question};

/// Says what each policy had to do with a judgement.
pub(crate) fn explain(question: &Question<'_>, entries: &[Entry], judgement: Judgement, ask: &Ask) -> Explanation {
    let decides = |entry: &Entry| match &judgement {
        Judgement::Permitted { paths, .. } => paths.iter().any(|path| path.policy == entry.id),
        Judgement::Forbidden { by } => by.iter().any(|forbid| forbid.policy == entry.id),
        Judgement::NothingMatches { .. } => false,
    };
    let account = |entry: &Entry| Account {
        policy: entry.id.clone(),
        line: entry.line,
        permit: match entry.effect {
            Effectual::Permit(_) => true,
            Effectual::Forbid => false,
        },
        description: entry.description.clone(),
        principal: principal(&entry.policy),
        outcome: outcome(entry, decides(entry), ask),
    };
    let policies = entries.iter().map(account).collect();
    Explanation { question: words(question), judgement, policies }
}

/// The question in words.
pub(crate) fn words(question: &Question<'_>) -> String {
    let groups: Vec<_> = question.asker.groups.iter().map(model::GroupName::as_str).collect();
    let who = match groups.as_slice() {
        [] => format!("{} (no groups)", question.asker.name),
        some => format!("{} ({})", question.asker.name, some.join(", ")),
    };
    match (question.login, question.target) {
        (Some(login), Some(target)) => format!("{who}: {} {login}@{}", question.action, target.name),
        (Some(_), None) | (None, Some(_) | None) => format!("{who}: {}", question.action),
    }
}

fn principal(policy: &Policy) -> Option<String> {
    match policy.principal_constraint() {
        PrincipalConstraint::Any => None,
        PrincipalConstraint::In(uid) => Some(format!("principal in {uid}")),
        PrincipalConstraint::Eq(uid) => Some(format!("principal == {uid}")),
        PrincipalConstraint::Is(kind) => Some(format!("principal is {kind}")),
        PrincipalConstraint::IsIn(kind, uid) => Some(format!("principal is {kind} in {uid}")),
    }
}

fn outcome(entry: &Entry, decides: bool, ask: &Ask) -> Outcome {
    match holds(&entry.policy, ask) {
        Err(error) => Outcome::Error { error },
        Ok(true) => Outcome::Matched { decides },
        Ok(false) => {
            let Ok(whole) = entry.policy.to_json() else { return Outcome::Condition { failed: Vec::new() } };
            let parts = misfits(&whole, ask);
            if parts.is_empty() {
                Outcome::Condition { failed: failed(&whole, ask) }
            } else {
                Outcome::Elsewhere { parts }
            }
        }
    }
}

/// The parts of the scope that do not fit.
fn misfits(whole: &Value, ask: &Ask) -> Vec<&'static str> {
    let fits = |part: &str| {
        let mut alone = blank();
        set(&mut alone, part, whole.get(part).cloned().unwrap_or_default());
        piece(alone).is_some_and(|policy| holds(&policy, ask) == Ok(true))
    };
    ["principal", "action", "resource"].into_iter().filter(|part| !fits(part)).collect()
}

/// The conditions that do not hold: each `when` in its conjuncts, each `unless` in its disjuncts.
fn failed(whole: &Value, ask: &Ask) -> Vec<String> {
    let mut failed = Vec::new();
    let conditions = whole.get("conditions").and_then(Value::as_array).into_iter().flatten();
    for condition in conditions {
        let unless = condition.get("kind").and_then(Value::as_str) == Some("unless");
        let body = condition.get("body").cloned().unwrap_or_default();
        for part in split(&body, if unless { "||" } else { "&&" }) {
            let mut alone = blank();
            set(&mut alone, "conditions", json!([{ "kind": "when", "body": part }]));
            let Some(policy) = piece(alone) else { continue };
            let kind = if unless { "unless" } else { "when" };
            match holds(&policy, ask) {
                Ok(holds) if holds != unless => {}
                Ok(_) => failed.push(shown(&policy, kind)),
                // What stands behind a test that failed, as in `context has ticket && context.ticket == …`.
                Err(_) if !failed.is_empty() => {}
                Err(error) => failed.push(format!("{} ({error})", shown(&policy, kind))),
            }
        }
    }
    failed
}

/// `a && b && c` as its parts.
fn split<'a>(body: &'a Value, operator: &str) -> Vec<&'a Value> {
    match body.get(operator).map(|both| (both.get("left"), both.get("right"))) {
        Some((Some(left), Some(right))) => {
            let mut parts = split(left, operator);
            parts.extend(split(right, operator));
            parts
        }
        Some(_) | None => vec![body],
    }
}

/// A policy that matches everything.
fn blank() -> Value {
    json!({
        "effect": "permit",
        "principal": { "op": "All" },
        "action": { "op": "All" },
        "resource": { "op": "All" },
        "conditions": [],
    })
}

fn set(policy: &mut Value, field: &str, value: Value) {
    if let Some(fields) = policy.as_object_mut() {
        fields.insert(field.to_owned(), value);
    }
}

fn piece(policy: Value) -> Option<Policy> {
    Policy::from_json(Some(PolicyId::new("piece")), policy).ok()
}

/// Whether a policy alone matches, whatever its effect.
fn holds(policy: &Policy, ask: &Ask) -> Result<bool, String> {
    let set = PolicySet::from_policies([policy.clone()]).map_err(|error| error.to_string())?;
    let response = Authorizer::new().is_authorized(&ask.request, &set, &ask.entities);
    if let Some(error) = response.diagnostics().errors().next() {
        return Err(match error {
            cedar_policy::AuthorizationError::PolicyEvaluationError(error) => error.inner().to_string(),
        });
    }
    Ok(response.decision() == Decision::Allow || response.diagnostics().reason().next().is_some())
}

/// The condition of a policy with one `when`, in Cedar's own words.
fn shown(policy: &Policy, kind: &str) -> String {
    let text = policy.to_cedar().unwrap_or_default();
    let body = text.split_once("when {").and_then(|(_, rest)| rest.rsplit_once('}'));
    let body = body.map_or(text.as_str(), |(body, _)| body);
    let words: Vec<_> = body.split_whitespace().collect();
    format!("{kind} {{ {} }}", words.join(" "))
}
