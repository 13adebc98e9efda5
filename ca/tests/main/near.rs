//! Who mistypes hears what they may have meant, and nothing of what they may not see.

use api::{ClientError, Problem};

use crate::site::{Site, ask, eventually, unique};

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
