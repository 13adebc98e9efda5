//! What would the CA say? The question is put to the same policies and the same decider as the real one, and nothing
//! is appended.

use std::net::IpAddr;

use access::{PathGap, State, decide};
use model::{
    Actor, Fact, Factors, IdentityName, Login, PolicyPath, RequestId, RequestSpec, Span, TargetName, Timestamp,
};
use policy::{Action, Explanation, Way};

use super::rights::{ANY_TICKET, How, Matter, Rules, Stance, Want};
use super::sight::Sight;
use super::{App, AppError, Caller};

/// For how long, when a question does not say: as long as `portcullis request` asks.
const USUAL: Span = Span::from_minutes(30);

/// A question to be explained. What it leaves out is as the caller calls.
#[derive(Clone, Debug)]
pub struct Riddle {
    /// Who would ask; `None`: the caller.
    pub identity: Option<IdentityName>,
    /// For what.
    pub action: Action,
    /// Where.
    pub target: Option<TargetName>,
    /// As whom.
    pub login: Option<Login>,
    /// For how long.
    pub duration: Option<Span>,
    /// Which one exact command.
    pub command: Option<String>,
    /// With which ticket.
    pub ticket: Option<String>,
    /// Whose request would be reviewed, or whose session replayed.
    pub requester: Option<IdentityName>,
    /// From where; for others than the caller, `None`: from nowhere that is known.
    pub address: Option<IpAddr>,
    /// Whether a security key was touched at login; for others than the caller, `None`: no.
    pub touch: Option<bool>,
    /// Whether a one-time code was given of late; for others than the caller, `None`: no.
    pub totp: Option<bool>,
    /// When; `None`: now.
    pub at: Option<Timestamp>,
}

/// What the CA would say.
#[derive(Clone, Debug)]
pub struct Explained {
    /// Whether it is a yes.
    pub yes: bool,
    /// The answer as a sentence without a full stop.
    pub answer: String,
    /// What would help, or what comes next.
    pub hints: Vec<String>,
    /// What policy says, and the part that each policy has in it.
    pub explanation: Explanation,
    /// The paths that policy offers with what each lacks, least burden first.
    pub paths: Vec<OpenPath>,
    /// The name of the policy file, without its folder.
    pub file: String,
}

/// A path that policy offers.
#[derive(Clone, Debug)]
pub struct OpenPath {
    /// The path.
    pub path: PolicyPath,
    /// What the request would still lack.
    pub gap: PathGap,
    /// Whether it is the one that is taken, or that waits for reviews only.
    pub taken: bool,
}

/// The answer before it is dressed up.
struct Answer {
    yes: bool,
    sentence: String,
    hint: Option<String>,
    paths: Vec<OpenPath>,
}

impl App {
    /// Explains what the CA would say. Asking for oneself is free.
    ///
    /// # Errors
    /// It is about somebody else and the caller may not administer, or it cannot be asked.
    pub fn explain(&self, caller: &Caller, riddle: &Riddle) -> Result<Explained, AppError> {
        let me = caller.person()?;
        let rules = self.rules();
        let now = self.engine.now();
        let name = riddle.identity.as_ref().unwrap_or(me);
        let own = name == me;
        let administers = rules.may(caller, Action::Administer, now);
        if !own && !administers {
            return Err(for_others(&format!("what {name} may do is not for {me} to ask")));
        }
        let now = riddle.at.unwrap_or(now);
        let mut spec = spec(riddle, name)?;
        let mut sight = Sight::new(self, caller);
        if let Some(spec) = spec.as_ref().filter(|spec| spec.identity != *me && !administers)
            && !sight.request(self, spec)
        {
            return Err(for_others(&format!("what {} does is not for {me} to see", spec.identity)));
        }
        let supposed = |shown: Factors| Factors {
            touch: riddle.touch.unwrap_or(shown.touch),
            totp: riddle.totp.unwrap_or(shown.totp),
        };
        let mut shown = supposed(if own { caller.factors() } else { Factors::default() });
        let mut grant = None;
        let address = riddle.address.or(own.then(|| caller.address()));
        let way = if own { caller.way() } else { Way::Api };
        if let Some(spec) = &mut spec {
            let known = rules.target(&spec.target, &spec.login).map(|_| ());
            if rules.directory.identity(&spec.identity).is_none() {
                known?;
                return Err(AppError::not_found("identity", &spec.identity));
            }
            if riddle.action == Action::Connect {
                grant = self.engine.peek(|state, _| active_grant(state, spec, now));
            }
            // A session is judged by how its grant was asked for.
            if let Some(grant) = &grant {
                // With a plain key it is judged by the log-in that there is.
                let entering = own && caller.through().is_some();
                shown = supposed(if entering { caller.factors() } else { grant.shown });
                spec.command = spec.command.take().or_else(|| grant.command.clone());
            }
            let who = Stance { name, shown, from: address, way, now };
            if !sight.is_all() && grant.is_none() && !knows(&rules, who, want(riddle.action, Some(spec))) {
                return Err(AppError::not_found("target", &spec.target));
            }
            known?;
        }
        let who = Stance { name, shown, from: address, way, now };
        let want = want(riddle.action, spec.as_ref());
        let explanation = rules.explain(who, want).ok_or_else(|| AppError::not_found("identity", name))?;
        let permitted = explanation.judgement.is_permitted();
        // To connect is mostly permitted to everybody, and the grant is what lets in.
        let tells = permitted
            && match want {
                Want::Connect(of, _) => grant.is_some() || rules.judge(who, Want::Anything(of, None)).is_permitted(),
                Want::Request(_) | Want::Anything(..) | Want::Review(_) | Want::Replay(_) | Want::System(_) => true,
            };
        let answer = match (self.locked(&sight, tells, who, want), want) {
            (Some(sentence), _) => Answer::no(sentence),
            (None, Want::Request(spec)) => self.would_file(&rules, who, spec),
            (None, _) if !permitted => Answer::no(explanation.judgement.sentence()),
            (None, Want::Review(spec)) => would_review(&rules, who, spec),
            (None, Want::Connect(of, _)) => would_connect(of, grant.as_ref()),
            (None, Want::Anything(..) | Want::Replay(_) | Want::System(_)) => {
                Answer::yes(explanation.judgement.sentence())
            }
        };
        let file = self.policies.path().file_name().unwrap_or_default().to_string_lossy().into_owned();
        let mut hints: Vec<String> = answer.hint.into_iter().collect();
        if !permitted {
            hints.extend(would_help(&rules, who, want));
            hints.extend(explanation.nearest().into_iter().map(|account| {
                format!("{} ({file}:{}) comes nearest: {}", account.policy, account.line, account.wants())
            }));
        }
        Ok(Explained { yes: answer.yes, answer: answer.sentence, hints, explanation, paths: answer.paths, file })
    }

    /// Why a lock forbids it: told where policy's own answer is yes (`tells`), and otherwise of locks in their sight.
    fn locked(&self, sight: &Sight, tells: bool, who: Stance<'_>, want: Want<'_>) -> Option<String> {
        self.engine.peek(|state, _| {
            if let Err(refusal) = state.check_unlocked(who.name, who.now) {
                return Some(refusal.sentence);
            }
            let of = match want {
                Want::Request(spec) | Want::Review(spec) => Matter::of(spec),
                Want::Connect(of, _) => of,
                Want::Anything(..) | Want::Replay(_) | Want::System(_) => return None,
            };
            let placed = state.lock_over(of.owner, of.target, of.login, None, who.now)?;
            let told = tells || sight.lock(&placed.lock.subject);
            told.then(|| format!("{} is locked: {}", placed.lock.subject, placed.lock.reason))
        })
    }

    /// What filing a request would lead to: decided as a real one is, and not appended.
    fn would_file(&self, rules: &Rules, who: Stance<'_>, spec: &RequestSpec) -> Answer {
        let how = How { shown: who.shown, from: who.from, way: who.way };
        let id = RequestId::from_random(self.entropy.u64());
        let file = match self.filing(rules, id, spec, how, who.now) {
            Ok(file) => file,
            // The hint sends people here.
            Err(error) => return Answer::no(error.to_string()),
        };
        let offered = file.paths.clone();
        let asker = Actor::Identity(spec.identity.clone());
        let place = format!("{} for {}", place(Matter::of(spec)), spec.duration);
        let decision = match self.engine.peek(|state, _| decide(state, &asker, file.into(), who.now)) {
            Ok(decision) => decision,
            Err(refusal) => {
                // What each path lacks is worth as much here as where the answer is yes.
                let gaps = PathGap::all(&offered, spec, who.shown, None, who.now);
                let hint = refusal.hint.filter(|hint| !hint.contains("policy explain"));
                return Answer { hint, paths: open(&offered, gaps, None), ..Answer::no(refusal.sentence) };
            }
        };
        let granted = decision.facts.iter().find_map(|entry| {
            if let Fact::RequestApproved { path, .. } = &entry.fact { Some(path.policy.clone()) } else { None }
        });
        let waits = decision.gaps.iter().find(|gap| gap.longest.is_none() && !gap.needs_asker());
        let (sentence, taken) = match (granted, waits) {
            (Some(policy), _) => (format!("{place} is granted at once, by {policy}"), Some(policy)),
            (None, Some(gap)) => (format!("{place} can be asked for; then {gap}"), Some(gap.policy.clone())),
            (None, None) => (format!("{place} can be asked for"), None),
        };
        Answer { paths: open(&offered, decision.gaps, taken.as_deref()), ..Answer::yes(sentence) }
    }
}

/// An active grant, as far as policy looks at it.
struct ActiveGrant {
    id: RequestId,
    shown: Factors,
    command: Option<String>,
    ends: Timestamp,
}

impl Answer {
    fn yes(sentence: impl Into<String>) -> Self {
        Self { yes: true, sentence: sentence.into(), hint: None, paths: Vec::new() }
    }

    fn no(sentence: impl Into<String>) -> Self {
        Self { yes: false, ..Self::yes(sentence) }
    }

    fn with_hint(self, hint: impl Into<String>) -> Self {
        Self { hint: Some(hint.into()), ..self }
    }
}

/// Whether they may know of the place that they ask about. It must not be enough that everybody may connect to where
/// they have a grant, or replay what is their own.
fn knows(rules: &Rules, who: Stance<'_>, want: Want<'_>) -> bool {
    let (of, counts) = match want {
        Want::Request(spec) | Want::Review(spec) => (Matter::of(spec), true),
        Want::Replay(of) => (of, of.owner != who.name),
        Want::Connect(of, _) | Want::Anything(of, _) => (of, false),
        Want::System(_) => return true,
    };
    rules.may_know(who, of.target) || (counts && rules.judge(who, want).is_permitted())
}

fn for_others(sentence: &str) -> AppError {
    AppError::Forbidden {
        sentence: format!("{sentence}: that takes the right to administer"),
        hint: Some("ask about yourself, without --as and --requester; or let an administrator ask".to_owned()),
    }
}

/// The request that a question about a login is about; a question about the system is about none.
fn spec(riddle: &Riddle, name: &IdentityName) -> Result<Option<RequestSpec>, AppError> {
    let invalid = |sentence: String| Err(AppError::Invalid(sentence));
    let identity = match (riddle.action, &riddle.requester) {
        (Action::Lock | Action::Administer, _) => return Ok(None),
        (Action::Request | Action::Connect, _) => name,
        (Action::Review | Action::Replay, Some(requester)) => requester,
        (Action::Review, None) => return invalid("whose request would be reviewed? Name the requester".to_owned()),
        (Action::Replay, None) => return invalid("whose session would be replayed? Name the requester".to_owned()),
    };
    let (Some(target), Some(login)) = (&riddle.target, &riddle.login) else {
        return invalid(format!("the action {} is about a target and a login", riddle.action));
    };
    let spec = supposed(identity, login, target)?;
    let duration = riddle.duration.unwrap_or(spec.duration);
    Ok(Some(RequestSpec { duration, ticket: riddle.ticket.clone(), command: riddle.command.clone(), ..spec }))
}

/// A request as somebody would file it who says nothing more than where.
///
/// # Errors
/// Never: its reason is one.
pub(super) fn supposed(identity: &IdentityName, login: &Login, target: &TargetName) -> Result<RequestSpec, AppError> {
    let reason = "to have it explained".parse();
    Ok(RequestSpec {
        identity: identity.clone(),
        target: target.clone(),
        login: login.clone(),
        duration: USUAL,
        reason: reason.map_err(|_| AppError::Internal("a reason is no reason".to_owned()))?,
        ticket: None,
        command: None,
        start: None,
        extends: None,
    })
}

fn want(action: Action, spec: Option<&RequestSpec>) -> Want<'_> {
    let Some(spec) = spec else { return Want::System(action) };
    match action {
        Action::Request => Want::Request(spec),
        Action::Review => Want::Review(spec),
        Action::Connect => Want::Connect(Matter::of(spec), spec.command.as_deref()),
        Action::Replay => Want::Replay(Matter::of(spec)),
        Action::Lock | Action::Administer => Want::System(action),
    }
}

fn active_grant(state: &State, spec: &RequestSpec, now: Timestamp) -> Option<ActiveGrant> {
    let mut active = state.grants_of(&spec.identity).filter(|(_, grant)| grant.is_active(now));
    let same = |known: &RequestSpec| (&known.target, &known.login) == (&spec.target, &spec.login);
    active.find(|(request, _)| same(&request.spec)).map(|(request, grant)| ActiveGrant {
        id: request.id.clone(),
        shown: request.asked.factors(),
        command: request.spec.command.clone(),
        ends: grant.ends,
    })
}

/// What approving a request would be worth; policy permits it.
fn would_review(rules: &Rules, who: Stance<'_>, spec: &RequestSpec) -> Answer {
    let asker = &spec.identity;
    if asker == who.name {
        return Answer::no("nobody reviews their own request, whatever policy says");
    }
    let yes = format!("{} may review what {asker} asks for on {}", who.name, place(Matter::of(spec)));
    // How the asker will have logged in is not known; what they would be offered without anything is a beginning.
    let offered = rules.request(spec, How::default(), who.now).paths();
    let groups = rules.groups(who.name);
    let counts = |path: &&PolicyPath| {
        let listed = &path.obligations.approvers;
        path.obligations.approvals > 0 && (listed.is_empty() || !listed.is_disjoint(groups))
    };
    let names: Vec<_> = offered.iter().filter(counts).map(|path| path.policy.as_str()).collect();
    if names.is_empty() {
        let hint =
            format!("what {asker} could ask for: portcullis policy explain {} --as {asker}", place(Matter::of(spec)));
        return Answer::yes(format!("{yes}; no path waits for their approval")).with_hint(hint);
    }
    Answer::yes(format!("{yes}; an approval counts for {}", names.join(", ")))
}

/// Whether a session would open; policy permits it.
fn would_connect(of: Matter<'_>, grant: Option<&ActiveGrant>) -> Answer {
    match grant {
        Some(grant) => {
            Answer::yes(format!("grant {} for {} is active until {}", grant.id, place(of), grant.ends.to_second()))
        }
        None => Answer::no(format!("policy permits it, and {} has no active grant for {}", of.owner, place(of)))
            .with_hint(format!("ask for one: portcullis request {} --for 30m", place(of))),
    }
}

/// What would turn policy's no into a yes, by asking it again.
fn would_help(rules: &Rules, who: Stance<'_>, want: Want<'_>) -> Vec<String> {
    let mut help = Vec::new();
    let with = |shown: Factors| rules.judge(Stance { shown, ..who }, want).is_permitted();
    if !who.shown.touch && with(Factors { touch: true, ..who.shown }) {
        help.push("a touched security key would do: portcullis login with one".to_owned());
    }
    if !who.shown.totp && with(Factors { totp: true, ..who.shown }) {
        help.push("a one-time code would do: portcullis login --code".to_owned());
    }
    let Want::Request(spec) = want else { return help };
    let with = |spec: &RequestSpec| rules.judge(who, Want::Request(spec)).is_permitted();
    if spec.ticket.is_none() && with(&RequestSpec { ticket: Some(ANY_TICKET.to_owned()), ..spec.clone() }) {
        help.push("a ticket would do: --ticket ID".to_owned());
    }
    let shorter = [240, 120, 60, 30, 15, 5, 1].map(Span::from_minutes);
    let shorter = shorter.into_iter().filter(|span| *span < spec.duration);
    let mut shorter = shorter.filter(|span| with(&RequestSpec { duration: *span, ..spec.clone() }));
    help.extend(shorter.next().map(|span| format!("a shorter time would do: --for {span}")));
    help
}

fn open(offered: &[PolicyPath], gaps: Vec<PathGap>, taken: Option<&str>) -> Vec<OpenPath> {
    let one = |gap: PathGap| {
        let path = offered.iter().find(|path| path.policy == gap.policy)?.clone();
        Some(OpenPath { taken: taken == Some(gap.policy.as_str()), path, gap })
    };
    gaps.into_iter().filter_map(one).collect()
}

fn place(of: Matter<'_>) -> String {
    format!("{}@{}", of.login, of.target)
}
