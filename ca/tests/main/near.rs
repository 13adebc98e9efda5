//! Who mistypes hears what they may have meant, and nothing of what they may not see.

use api::{ClientError, Problem, wire};
use model::Fact;

use crate::site::{Site, ask, eventually, hear, ledger, unique};

fn problem<T: std::fmt::Debug>(answer: Result<T, ClientError>) -> Problem {
    let error = answer.unwrap_err();
    let ClientError::Problem(problem) = error else { panic!("{error}") };
    problem
}

/// A policy under which alice may ask for web1 and nothing else.
const NARROW: &str = r#"
@id("web") @max_duration("1h") @approvals("0")
permit (principal, action == Action::"request", resource)
when { resource in Target::"web1" };
@id("connect")
permit (principal, action == Action::"connect", resource);
@id("admins")
permit (principal in Group::"admins", action in [Action::"lock", Action::"administer"], resource);
"#;

/// Once the policy is in force.
async fn narrowed(site: &Site) {
    site.write_policy(NARROW);
    let alice = site.client("alice");
    eventually("the policy is taken up", async || {
        let seen = alice.targets().await.unwrap().items;
        matches!(seen.as_slice(), [only] if only.name.as_str() == "web1").then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_place_names_the_nearest_that_may_be_asked_for() {
    let site = Site::start().await;
    let alice = site.client("alice");
    for (login, target, near) in [("root", "wbe1", "root@web1"), ("rooot", "web1", "root@web1")] {
        let refused = problem(alice.file_request(&ask(login, target, 600), &unique()).await);
        assert_eq!((refused.status, refused.hint), (404, Some(format!("did you mean {near}?"))), "{login}@{target}");
    }
    let far = problem(alice.file_request(&ask("root", "quite-another", 600), &unique()).await);
    assert_eq!(far.hint, None);
}

#[tokio::test(flavor = "multi_thread")]
async fn the_door_names_the_nearest_and_does_not_tell_the_hidden_from_the_absent() {
    let site = Site::start().await;
    narrowed(&site).await;
    let grant = site.grant("root", "web1", 30).await;
    let certificate = site.certificate("alice", &grant).await.unwrap().certificate.unwrap();
    let proxy = site.client("proxy:proxy1");
    let knock =
        async |login: &str, target: &str| problem(proxy.open_session(&Site::knock(&certificate, login, target)).await);
    let mistyped = knock("root", "wbe1").await;
    assert_eq!(
        (mistyped.code.as_str(), mistyped.hint.as_deref()),
        ("no-active-grant", Some("did you mean root@web1?"))
    );
    // dev1 is in the directory and hidden from alice; dec1, which is as far from web1, is not in it.
    let (hidden, absent) = (knock("root", "dev1").await, knock("root", "dec1").await);
    assert_eq!(hidden.detail.replace("dev1", "dec1"), absent.detail);
    assert_eq!(hidden.hint.map(|hint| hint.replace("dev1", "dec1")), absent.hint);
    assert_eq!((hidden.code, hidden.status), (absent.code, absent.status));
    // A slip away from the hidden one does not name it either.
    let near_hidden = knock("root", "dve1").await;
    assert!(!format!("{near_hidden:?}").contains("dev1"), "{near_hidden:?}");
    // Where nothing is near, she is not told to ask for what is not there.
    let far = knock("root", "quite-another").await.hint.unwrap();
    assert!(far.contains("portcullis target list") && far.contains("ssh PROXY targets"), "{far}");
    assert!(!far.contains("quite-another"), "{far}");
    // What she may ask for, and has no grant for, is asked for and not mistyped.
    let deploy = knock("deploy", "web1").await;
    assert!(deploy.hint.unwrap().contains("portcullis request deploy@web1"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_mistyped_id_names_the_nearest_that_one_may_see() {
    let site = Site::start().await;
    narrowed(&site).await;
    let grant = site.grant("root", "web1", 30).await;
    let slip = if grant.as_str().ends_with('0') { "1" } else { "0" };
    let text = grant.as_str();
    let mistyped: model::RequestId = format!("{}{slip}", &text[..text.len() - 1]).parse().unwrap();
    let near = format!("did you mean {grant}?");
    let alice = site.client("alice");
    assert_eq!(problem(alice.get_request(&mistyped).await).hint.as_deref(), Some(near.as_str()));
    assert_eq!(problem(alice.get_grant(&mistyped).await).hint.as_deref(), Some(near.as_str()));
    // Erin may not see alice's, and learns nothing from a slip.
    let erin = site.client("erin");
    assert_eq!(problem(erin.get_request(&mistyped).await).hint, None);
    assert_eq!(problem(erin.get_request(&grant).await).hint, None);
}

/// A question about a login on a target.
fn question(action: &str, login: &str, target: &str) -> wire::ExplainRequest {
    wire::ExplainRequest {
        action: action.to_owned(),
        target: Some(target.parse().unwrap()),
        login: Some(login.parse().unwrap()),
        ..wire::ExplainRequest::default()
    }
}

/// What a problem says, in the words for another target.
fn said_of(problem: &Problem, target: &str, other: &str) -> (u16, String, String, Option<String>) {
    let hint = problem.hint.as_ref().map(|hint| hint.replace(target, other));
    (problem.status, problem.code.clone(), problem.detail.replace(target, other), hint)
}

#[tokio::test(flavor = "multi_thread")]
async fn a_hidden_target_is_asked_for_and_explained_like_an_absent_one() {
    let site = Site::start().await;
    narrowed(&site).await;
    let (alice, adam) = (site.client("alice"), site.client("adam"));
    // dev1 is in the directory, with root only, and hidden from alice; dec1 is not in it.
    for login in ["root", "deploy"] {
        let asked = async |target: &str| problem(alice.file_request(&ask(login, target, 600), &unique()).await);
        let (hidden, absent) = (asked("dev1").await, asked("dec1").await);
        assert_eq!((absent.status, said_of(&hidden, "dev1", "dec1")), (404, said_of(&absent, "dec1", "dec1")));
        // Policy permits everybody to connect; only the grant is missing.
        for action in ["request", "connect", "replay", "review"] {
            let asked = async |target: &str| {
                let requester = Some("alice".parse().unwrap());
                problem(alice.explain(&wire::ExplainRequest { requester, ..question(action, login, target) }).await)
            };
            let (hidden, absent) = (asked("dev1").await, asked("dec1").await);
            let expected = (404, said_of(&absent, "dec1", "dec1"));
            assert_eq!((absent.status, said_of(&hidden, "dev1", "dec1")), expected, "{action} {login}");
        }
    }
    // What she sees is refused in policy's words, and so is what an administrator names.
    let wrong = problem(alice.explain(&question("request", "nobody", "web1")).await);
    assert_eq!((wrong.status, wrong.detail.as_str()), (404, "there is no login nobody@web1"));
    let known = question("request", "root", "dev1");
    let told = adam.explain(&wire::ExplainRequest { identity: Some("alice".to_owned()), ..known }).await.unwrap();
    assert!(!told.yes && !told.hints.is_empty(), "{told:?}");
    assert_eq!(problem(adam.file_request(&ask("root", "dev1", 600), &unique()).await).status, 403);
    // The ledger keeps who tried which names, in the words that they heard.
    let mut refused = Vec::new();
    for record in ledger(&site).await {
        if let Fact::RequestRefused { spec, reason } = record.entry.fact {
            refused.push((spec.target.to_string(), reason));
        }
    }
    for target in ["dev1", "dec1"] {
        assert!(refused.contains(&(target.to_owned(), format!("there is no target {target}"))), "{refused:?}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whoever_a_freeze_stops_hears_of_the_freeze() {
    let site = Site::start().await;
    let adam = site.client("adam");
    let mut feed = adam.events(site.end().await).await.unwrap();
    let freeze = "@id(\"freeze\") @description(\"no changes until Monday\") forbid (principal, action == Action::\"request\", resource);";
    site.write_policy(&format!("{}\n{freeze}", policy::EXAMPLE));
    hear(&mut feed, |fact| matches!(fact, Fact::PolicyLoaded { .. })).await;
    let refused = problem(site.client("alice").file_request(&ask("root", "dev1", 600), &unique()).await);
    assert_eq!(refused.status, 403);
    assert!(refused.detail.contains("no changes until Monday"), "{refused:?}");
}

/// A policy under which anybody may ask for deploy on web1, and nobody for root.
const LOCKED: &str = r#"
@id("web") @max_duration("1h") @approvals("0")
permit (principal, action == Action::"request", resource == Login::"deploy@web1");
@id("connect")
permit (principal, action == Action::"connect", resource);
@id("admins")
permit (principal in Group::"admins", action in [Action::"lock", Action::"administer"], resource);
"#;

#[tokio::test(flavor = "multi_thread")]
async fn why_a_login_is_locked_is_for_those_who_may_ask_for_it() {
    let site = Site::start().await;
    let adam = site.client("adam");
    let before = adam.status().await.unwrap().policy;
    site.write_policy(LOCKED);
    eventually("the policy", async || (adam.status().await.unwrap().policy != before).then_some(())).await;
    for login in ["root", "deploy"] {
        let (subject, reason) = (format!("login:{login}@web1"), format!("{login} was broken into"));
        adam.lock(&wire::PlaceLock { subject, reason, duration: None }).await.unwrap();
    }
    let alice = site.client("alice");
    for action in ["request", "connect"] {
        let told = alice.explain(&question(action, "deploy", "web1")).await.unwrap();
        assert!(!told.yes && told.answer.ends_with("is locked: deploy was broken into"), "{told:?}");
        let hidden = alice.explain(&question(action, "root", "web1")).await.unwrap();
        assert!(!hidden.yes && !format!("{hidden:?}").contains("broken into"), "{hidden:?}");
        assert!(!hidden.answer.contains("locked"), "{hidden:?}");
        let all = adam.explain(&question(action, "root", "web1")).await.unwrap();
        assert!(all.answer.contains("root was broken into"), "{all:?}");
    }
}
