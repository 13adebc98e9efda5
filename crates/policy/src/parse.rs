//! Reading a policy text: Cedar's syntax, the schema, and what Portcullis asks of annotations and names.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cedar_policy::ffi::DetailedError;
use cedar_policy::{
    ActionConstraint, Effect, EntityUid, Policy, PolicyId, PolicySet, Schema, ValidationMode, ValidationWarning,
    Validator,
};
use model::{GroupName, Obligations};

use crate::annotations::{self, Part, Purpose, Wrong};
use crate::policies::{Effectual, Entry};
use crate::scan::{self, Annotation, Place};
use crate::{Action, Diagnostic, SCHEMA, foreign, literals, values};

/// The most bytes of a policy text.
const MAX_TEXT: usize = 4 << 20;

/// Reads a text into policies, or says everything that is wrong with it.
pub(crate) fn parse(text: &str) -> Result<(Schema, Vec<Entry>), Vec<Diagnostic>> {
    let fail = |message: String| vec![Diagnostic::at(text, 0, 0, message)];
    if text.len() > MAX_TEXT {
        return Err(fail(format!("the text is {} bytes long; the limit is {MAX_TEXT}", text.len())));
    }
    let (schema, _) = Schema::from_cedarschema_str(SCHEMA).map_err(|error| fail(format!("the schema: {error}")))?;
    let set = text.parse::<PolicySet>().map_err(|errors| {
        errors.iter().map(|error| foreign::diagnostic(text, &DetailedError::from(error), None)).collect::<Vec<_>>()
    })?;
    let places = scan::places(text);
    if let Some(slot) = set.templates().next() {
        let place = number(slot.id()).and_then(|n| places.get(n)).map_or(0..0, |place| place.effect.clone());
        let message = "this policy has a slot (`?principal` or `?resource`), and nothing fills it";
        return Err(vec![Diagnostic::at(text, place.start, place.end, message).with_hint("write the entity itself")]);
    }
    let mut policies: Vec<(usize, &Policy)> =
        set.policies().filter_map(|policy| Some((number(policy.id())?, policy))).collect();
    policies.sort_by_key(|(n, _)| *n);
    if policies.len() != places.len() {
        return Err(fail(format!("{} policies were parsed and {} found in the text", policies.len(), places.len())));
    }

    let mut diagnostics = validate(text, &schema, &set, &places);
    let mut entries = Vec::new();
    let mut lines = BTreeMap::new();
    for ((_, policy), place) in policies.into_iter().zip(&places) {
        match read(text, policy, place) {
            Ok(entry) => {
                if let Some(first) = lines.insert(entry.id.clone(), entry.line) {
                    let place = id_of(text, place);
                    let message = format!("the id {:?} is taken by the policy at line {first}", entry.id);
                    let hint = "each policy has its own, so that the ledger can name it";
                    diagnostics.push(Diagnostic::at(text, place.start, place.end, message).with_hint(hint));
                }
                entries.push(entry);
            }
            Err(wrong) => diagnostics.extend(wrong),
        }
    }
    if diagnostics.is_empty() {
        return Ok((schema, entries));
    }
    diagnostics.sort_by_key(|diagnostic| (diagnostic.line, diagnostic.column));
    diagnostics.dedup();
    Err(diagnostics)
}

/// Cedar numbers the policies of a text: "policy0", "policy1", …
fn number(id: &PolicyId) -> Option<usize> {
    id.to_string().strip_prefix("policy")?.parse().ok()
}

/// What Cedar's validator says. Its warnings are policies that can never match, and letters that look like others:
/// nobody wants either in here, so they are errors, unless they only follow from an error in the same policy.
fn validate(text: &str, schema: &Schema, set: &PolicySet, places: &[Place]) -> Vec<Diagnostic> {
    let result = Validator::new(schema.clone()).validate(set, ValidationMode::Strict);
    let mut broken = BTreeSet::new();
    let mut diagnostics = Vec::new();
    let errors = result.validation_errors().map(DetailedError::from);
    let (scopes, others): (Vec<_>, Vec<_>) = result
        .validation_warnings()
        .partition(|warning| matches!(warning, ValidationWarning::InvalidActionApplication(_)));
    let warnings = scopes.into_iter().chain(others).map(DetailedError::from);
    for (error, last) in errors.map(|error| (error, false)).chain(warnings.map(|warning| (warning, true))) {
        let policy = policy_of(&error.message);
        if last && policy.is_some_and(|policy| broken.contains(&policy)) {
            continue;
        }
        broken.extend(policy);
        diagnostics.push(foreign::diagnostic(text, &error, policy.and_then(|policy| places.get(policy))));
    }
    // The validator looks at a policy once for each action: once is enough.
    diagnostics.sort_by(|one, other| {
        let key = |d: &Diagnostic| (d.line, d.column, d.length, d.message.clone());
        key(one).cmp(&key(other))
    });
    diagnostics.dedup_by_key(|diagnostic| (diagnostic.line, diagnostic.column, diagnostic.length));
    diagnostics
}

/// The number of the policy that a message of Cedar's is about.
fn policy_of(message: &str) -> Option<usize> {
    message.strip_prefix("for policy `policy")?.split_once('`')?.0.parse().ok()
}

fn read(text: &str, policy: &Policy, place: &Place) -> Result<Entry, Vec<Diagnostic>> {
    let mut wrong = Vec::new();
    let mut id = None;
    let mut description = None;
    let mut approvers = Vec::new();
    let mut obligations = Obligations::default();
    let paths = is_path(policy);
    for annotation in &place.annotations {
        let name = text.get(annotation.name.clone()).unwrap_or_default();
        let value = policy.annotation(name).unwrap_or_default();
        let given = annotation.value.as_ref().map(|_| value);
        let result = annotations::purpose(name).and_then(|purpose| match purpose {
            Purpose::Id => annotations::check_id(value).map(|()| id = Some(value.to_owned())),
            Purpose::Description => {
                annotations::check_description(value).map(|()| description = Some(value.to_owned()))
            }
            Purpose::Obligation => {
                paths.map_err(|hint| misplaced(name, policy.effect(), hint))?;
                annotations::read(&mut obligations, name, given)
            }
        });
        if let Err(Wrong { part, message, hint }) = result {
            let span = part_of(text, annotation, value, &part);
            wrong.push(Diagnostic::at(text, span.start, span.end, message).with_hint_if(hint));
        } else if name == "approvers" {
            let groups = values::items(value).filter_map(|(at, item)| Some((item.parse::<GroupName>().ok()?, at)));
            approvers.extend(groups.map(|(group, at)| (group, part_of(text, annotation, value, &Part::Within(at)))));
        }
    }
    if let Err((name, message, hint)) = annotations::check(&obligations) {
        let there = place.annotations.iter().find(|a| text.get(a.name.clone()) == Some(name));
        let span = there.map_or(place.effect.clone(), |annotation| annotation.name.clone());
        wrong.push(Diagnostic::at(text, span.start, span.end, message).with_hint(hint));
    }
    annotations::complete(&mut obligations);
    let (mentions, impossible) = literals::mentions(text, place);
    wrong.extend(impossible);
    let line = Diagnostic::at(text, place.effect.start, place.effect.end, "").line;
    let named = place.annotations.iter().any(|a| text.get(a.name.clone()) == Some("id"));
    let id = match (id, policy.effect()) {
        (Some(id), _) => id,
        // No id of a person's making has a colon.
        (None, Effect::Forbid) => format!("forbid:{line}"),
        (None, Effect::Permit) => {
            if !named {
                let message = "this permit has no @id, and a grant names the permit that it rests on";
                let span = &place.effect;
                let hint = "write @id(\"a-name-of-your-own\") before it";
                wrong.push(Diagnostic::at(text, span.start, span.end, message).with_hint(hint));
            }
            String::new()
        }
    };
    if !wrong.is_empty() {
        return Err(wrong);
    }
    let effect = match policy.effect() {
        Effect::Permit => Effectual::Permit(Box::new(obligations)),
        Effect::Forbid => Effectual::Forbid,
    };
    let (actions, span) = (actions(policy), place.effect.clone());
    let policy = policy.new_id(PolicyId::new(&id));
    Ok(Entry { policy, id, line, span, description, effect, actions, mentions, approvers })
}

/// The actions that a policy is about.
fn actions(policy: &Policy) -> Vec<Action> {
    let known = |uid: &EntityUid| uid.id().unescaped().parse::<Action>().ok();
    match policy.action_constraint() {
        ActionConstraint::Any => Action::ALL.to_vec(),
        ActionConstraint::In(uids) => uids.iter().filter_map(known).collect(),
        ActionConstraint::Eq(uid) => known(&uid).into_iter().collect(),
    }
}

/// Whether obligations have a meaning on a policy; if not, why.
fn is_path(policy: &Policy) -> Result<(), &'static str> {
    match policy.effect() {
        Effect::Forbid => Err("only a permit has obligations; a forbid is absolute"),
        Effect::Permit if actions(policy).contains(&Action::Request) => Ok(()),
        Effect::Permit => Err("obligations belong to the permits of Action::\"request\""),
    }
}

fn misplaced(name: &str, effect: Effect, hint: &str) -> Wrong {
    let effect = match effect {
        Effect::Permit => "permit",
        Effect::Forbid => "forbid",
    };
    Wrong { part: Part::Name, message: format!("@{name} means nothing on this {effect}"), hint: Some(hint.to_owned()) }
}

fn id_of(text: &str, place: &Place) -> Range<usize> {
    let id = place.annotations.iter().find(|annotation| text.get(annotation.name.clone()) == Some("id"));
    id.and_then(|annotation| annotation.value.clone()).unwrap_or_else(|| place.effect.clone())
}

/// The bytes of the text that a part of an annotation is written in.
fn part_of(text: &str, annotation: &Annotation, value: &str, part: &Part) -> Range<usize> {
    let Some(whole) = &annotation.value else { return annotation.name.clone() };
    match part {
        Part::Name => annotation.name.clone(),
        // With an escape in it, places in the value are not places in the text.
        Part::Within(at) if text.get(whole.clone()) == Some(value) => {
            whole.start.saturating_add(at.start)..whole.start.saturating_add(at.end)
        }
        Part::Within(_) | Part::Value => whole.clone(),
    }
}
