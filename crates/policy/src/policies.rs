//! Policies: read, and asked.

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use cedar_policy::{Authorizer, Effect, Policy, PolicyId, PolicySet, Response, Schema};
use model::{GroupName, Obligations, PolicyPath};

use crate::ask::{self, Ask, Names};
use crate::literals::Mention;
use crate::{
    Action, Diagnostic, Explanation, Failed, Forbid, Judgement, Known, Question, explain, names as directory, parse,
};

/// A set of policies that are valid against the schema.
#[derive(Debug)]
pub struct Policies {
    text: String,
    schema: Schema,
    names: Names,
    /// In the order of the text.
    entries: Vec<Entry>,
    places: BTreeMap<String, usize>,
    /// The policies that can matter for an action, so that the others cost nothing.
    permits: BTreeMap<Action, PolicySet>,
    forbids: BTreeMap<Action, PolicySet>,
}

/// One policy.
#[derive(Debug)]
pub(crate) struct Entry {
    pub(crate) policy: Policy,
    pub(crate) id: String,
    /// The line of its `permit` or `forbid`.
    pub(crate) line: usize,
    /// Its `permit` or `forbid` in the text.
    pub(crate) span: Range<usize>,
    pub(crate) description: Option<String>,
    pub(crate) effect: Effectual,
    /// What its scope says that it is about.
    pub(crate) actions: Vec<Action>,
    /// The names of the directory's behind its annotations.
    pub(crate) mentions: Vec<Mention>,
    /// The groups that its `@approvers` names, and where.
    pub(crate) approvers: Vec<(GroupName, Range<usize>)>,
}

/// What a policy does.
#[derive(Debug)]
pub(crate) enum Effectual {
    Permit(Box<Obligations>),
    Forbid,
}

impl Policies {
    /// Reads a policy text, and checks it strictly against the schema.
    ///
    /// # Errors
    /// Everything that is wrong with it, in the order of the text.
    pub fn parse(text: &str) -> Result<Self, Vec<Diagnostic>> {
        let (schema, entries) = parse::parse(text)?;
        let set = |action: Action, effect: Effect| {
            let chosen = entries.iter().filter(|entry| entry.actions.contains(&action));
            let chosen = chosen.map(|entry| &entry.policy).filter(|policy| policy.effect() == effect);
            PolicySet::from_policies(chosen.cloned())
                .map(|set| (action, set))
                .map_err(|error| vec![Diagnostic::at(text, 0, 0, error.to_string())])
        };
        let permits = Action::ALL.into_iter().map(|action| set(action, Effect::Permit)).collect::<Result<_, _>>()?;
        let forbids = Action::ALL.into_iter().map(|action| set(action, Effect::Forbid)).collect::<Result<_, _>>()?;
        let places = entries.iter().enumerate().map(|(place, entry)| (entry.id.clone(), place)).collect();
        let names = Names::new().map_err(|error| vec![Diagnostic::at(text, 0, 0, error)])?;
        Ok(Self { text: text.to_owned(), schema, names, entries, places, permits, forbids })
    }

    /// What is valid and does less than it seems to, in the order of the text: names that the directory does not know,
    /// paths that nobody can ever fulfil, actions that something rests on and no permit is for. Without a directory,
    /// the last only.
    ///
    /// None of it is a mistake: a name may be entered tomorrow.
    #[must_use]
    pub fn findings(&self, known: Option<&Known<'_>>) -> Vec<Diagnostic> {
        directory::findings(&self.text, &self.entries, known)
    }

    /// How many policies there are.
    #[must_use]
    pub const fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether there is none; then the answer to everything is no.
    #[must_use]
    pub const fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The ids of the policies, in the order of the text.
    pub fn ids(&self) -> impl Iterator<Item = &str> {
        self.entries.iter().map(|entry| entry.id.as_str())
    }

    /// Judges a question.
    #[must_use]
    pub fn judge(&self, question: &Question<'_>) -> Judgement {
        match ask::build(question, &self.schema, &self.names) {
            Ok(ask) => self.judge_ask(question.action, &ask),
            Err(error) => Judgement::NothingMatches { skipped: vec![Failed { policy: String::new(), error }] },
        }
    }

    /// Whether some permit matches, whatever the forbids say: somebody whom a freeze stops may hear that it does.
    #[must_use]
    pub fn offers(&self, question: &Question<'_>) -> bool {
        ask::build(question, &self.schema, &self.names).is_ok_and(|ask| {
            let answers = self.answers(self.permits.get(&question.action), &ask);
            answers.iter().any(|(_, error)| error.is_none())
        })
    }

    /// Judges a question and says what each policy had to do with the answer.
    #[must_use]
    pub fn explain(&self, question: &Question<'_>) -> Explanation {
        match ask::build(question, &self.schema, &self.names) {
            Ok(ask) => {
                let judgement = self.judge_ask(question.action, &ask);
                explain::explain(question, &self.entries, judgement, &ask)
            }
            Err(error) => {
                let judgement = Judgement::NothingMatches { skipped: vec![Failed { policy: String::new(), error }] };
                Explanation { question: explain::words(question), judgement, policies: Vec::new() }
            }
        }
    }

    fn judge_ask(&self, action: Action, ask: &Ask) -> Judgement {
        let by = self.answers(self.forbids.get(&action), ask);
        if !by.is_empty() {
            let forbid = |(entry, error): (&Entry, Option<String>)| Forbid {
                policy: entry.id.clone(),
                description: entry.description.clone(),
                error,
            };
            return Judgement::Forbidden { by: by.into_iter().map(forbid).collect() };
        }
        let mut paths = Vec::new();
        let mut skipped = Vec::new();
        for (entry, error) in self.answers(self.permits.get(&action), ask) {
            match (error, &entry.effect) {
                (Some(error), _) => skipped.push(Failed { policy: entry.id.clone(), error }),
                (None, Effectual::Permit(obligations)) => {
                    paths.push(PolicyPath { policy: entry.id.clone(), obligations: Obligations::clone(obligations) });
                }
                (None, Effectual::Forbid) => {}
            }
        }
        if paths.is_empty() { Judgement::NothingMatches { skipped } } else { Judgement::Permitted { paths, skipped } }
    }

    /// The policies of a set that match, and those that could not be evaluated with the reason, in the order of the
    /// text. A set holds policies of one effect only, so that neither hides the other.
    fn answers(&self, set: Option<&PolicySet>, ask: &Ask) -> Vec<(&Entry, Option<String>)> {
        let Some(set) = set.filter(|set| !set.is_empty()) else { return Vec::new() };
        let response = Authorizer::new().is_authorized(&ask.request, set, &ask.entities);
        let place = |id: &PolicyId| self.places.get(AsRef::<str>::as_ref(id)).copied();
        let mut found = BTreeSet::new();
        found.extend(response.diagnostics().reason().filter_map(|id| Some((place(id)?, None))));
        found.extend(errors(&response).filter_map(|(id, error)| Some((place(id)?, Some(error)))));
        found.into_iter().filter_map(|(place, error)| Some((self.entries.get(place)?, error))).collect()
    }
}

fn errors(response: &Response) -> impl Iterator<Item = (&PolicyId, String)> {
    response.diagnostics().errors().map(|error| match error {
        cedar_policy::AuthorizationError::PolicyEvaluationError(error) => {
            (error.policy_id(), error.inner().to_string())
        }
    })
}
