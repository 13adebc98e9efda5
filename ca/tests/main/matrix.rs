//! Who may call what: every route of the OpenAPI document, for every kind of caller. An endpoint without a row fails.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Method;
use serde_json::{Value, json};

use crate::site::{Site, key_of};

/// A kind of caller, and as whom it logs in.
const CALLERS: [(&str, Option<&str>); 6] = [
    ("anonymous", None),
    ("person", Some("erin")),
    ("owner", Some("alice")),
    ("reviewer", Some("bob")),
    ("admin", Some("adam")),
    ("proxy", Some("proxy:proxy1")),
];

/// What each caller is answered, in the order of [`CALLERS`]. 401: log in. 403: no right. 404: not for your eyes.
/// What is past these was let in: 200, 204, or 400 and 409 for what the body of the row asks.
const ROWS: &[(&str, &str, [u16; 6])] = &[
    ("POST", "/v1/login/challenge", [200, 200, 200, 200, 200, 200]),
    ("POST", "/v1/login", [401, 401, 401, 401, 401, 401]),
    ("GET", "/v1/ca", [200, 200, 200, 200, 200, 200]),
    ("GET", "/v1/ca/keys", [401, 403, 403, 403, 200, 403]),
    ("POST", "/v1/ca/{name}/rotate", [401, 403, 403, 403, 409, 403]),
    ("GET", "/healthz", [200, 200, 200, 200, 200, 200]),
    ("GET", "/v1/openapi.json", [200, 200, 200, 200, 200, 200]),
    ("GET", "/v1/whoami", [401, 200, 200, 200, 200, 200]),
    ("GET", "/v1/requests", [401, 200, 200, 200, 200, 403]),
    ("POST", "/v1/requests", [401, 200, 200, 404, 403, 403]),
    ("GET", "/v1/requests/{id}", [401, 404, 200, 200, 200, 404]),
    ("GET", "/v1/requests/{id}/reviewers", [401, 404, 200, 200, 200, 404]),
    ("POST", "/v1/requests/{id}/approve", [401, 404, 403, 200, 403, 403]),
    ("POST", "/v1/requests/{id}/deny", [401, 404, 403, 200, 403, 403]),
    ("POST", "/v1/requests/{id}/withdraw", [401, 404, 409, 409, 409, 403]),
    ("POST", "/v1/requests/{id}/cancel", [401, 404, 200, 403, 403, 403]),
    ("GET", "/v1/grants", [401, 200, 200, 200, 200, 403]),
    ("GET", "/v1/grants/{id}", [401, 404, 200, 200, 200, 404]),
    ("POST", "/v1/grants/{id}/revoke", [401, 404, 403, 200, 200, 403]),
    ("POST", "/v1/grants/{id}/release", [401, 404, 200, 403, 403, 403]),
    ("POST", "/v1/grants/{id}/extend", [401, 404, 200, 403, 403, 403]),
    ("GET", "/v1/certificates", [401, 200, 200, 200, 200, 403]),
    ("POST", "/v1/certificates", [401, 404, 401, 403, 403, 403]),
    ("POST", "/v1/host-certificates", [401, 403, 403, 403, 200, 403]),
    ("GET", "/v1/sessions", [401, 200, 200, 200, 200, 403]),
    ("POST", "/v1/sessions", [401, 403, 403, 403, 403, 422]),
    ("POST", "/v1/passes", [401, 403, 403, 403, 403, 404]),
    ("POST", "/v1/passes/session", [401, 403, 403, 403, 403, 403]),
    ("GET", "/v1/sessions/{id}", [401, 404, 200, 404, 200, 403]),
    ("POST", "/v1/sessions/{id}/reports", [401, 403, 403, 403, 403, 200]),
    ("POST", "/v1/sessions/{id}/kill", [401, 404, 200, 404, 200, 403]),
    ("POST", "/v1/sessions/{id}/target-signature", [401, 403, 403, 403, 403, 409]),
    ("GET", "/v1/sessions/{id}/extension", [401, 403, 403, 403, 403, 200]),
    ("POST", "/v1/sessions/{id}/extension", [401, 403, 403, 403, 403, 200]),
    ("POST", "/v1/recovered", [401, 403, 403, 403, 403, 204]),
    ("GET", "/v1/factors", [401, 200, 200, 200, 200, 403]),
    ("POST", "/v1/factors", [401, 200, 200, 200, 200, 403]),
    ("POST", "/v1/factors/{id}/confirm", [401, 404, 404, 404, 404, 403]),
    ("POST", "/v1/factors/{id}/remove", [401, 403, 404, 403, 404, 403]),
    ("POST", "/v1/factors/verify", [401, 404, 404, 404, 404, 403]),
    ("GET", "/v1/locks", [401, 200, 200, 200, 200, 403]),
    ("POST", "/v1/locks", [401, 403, 403, 403, 200, 403]),
    ("POST", "/v1/locks/{id}/lift", [401, 403, 403, 403, 204, 403]),
    ("GET", "/v1/recordings", [401, 200, 200, 200, 200, 403]),
    ("GET", "/v1/recordings/{id}", [401, 404, 200, 404, 200, 403]),
    ("GET", "/v1/recordings/{id}/content", [401, 404, 404, 404, 403, 403]),
    ("GET", "/v1/targets", [401, 200, 200, 200, 200, 403]),
    ("PUT", "/v1/targets/{name}", [401, 403, 403, 403, 200, 403]),
    ("DELETE", "/v1/targets/{name}", [401, 403, 403, 403, 204, 403]),
    ("GET", "/v1/targets/{name}/key", [401, 403, 403, 403, 409, 403]),
    ("POST", "/v1/targets/{name}/key", [401, 403, 403, 403, 409, 403]),
    ("DELETE", "/v1/targets/{name}/key", [401, 403, 403, 403, 404, 403]),
    ("POST", "/v1/policy/explain", [401, 403, 200, 403, 200, 403]),
    ("GET", "/v1/ledger/records", [401, 403, 403, 403, 200, 403]),
    ("GET", "/v1/ledger/checkpoint", [401, 200, 200, 200, 200, 403]),
    ("GET", "/v1/ledger/proof", [401, 403, 403, 403, 200, 403]),
    ("GET", "/v1/events", [401, 200, 200, 200, 200, 200]),
    ("POST", "/v1/proxies/status", [401, 403, 403, 403, 403, 204]),
    ("GET", "/v1/status", [401, 200, 200, 200, 200, 200]),
    ("POST", "/v1/logout", [401, 204, 204, 204, 204, 204]),
];

#[test]
fn every_endpoint_has_a_row() {
    let rows: BTreeSet<(String, String)> =
        ROWS.iter().map(|(method, path, _)| ((*method).to_owned(), (*path).to_owned())).collect();
    assert_eq!(rows.len(), ROWS.len(), "a row stands twice");
    let document = serde_json::to_value(portcullis_ca::openapi()).unwrap();
    let mut served = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys().filter(|key| *key != "parameters") {
            served.insert((method.to_uppercase(), path.clone()));
        }
    }
    assert_eq!(served, rows);
}

#[tokio::test(flavor = "multi_thread")]
async fn everybody_may_do_what_is_theirs_and_nothing_else() {
    let site = Site::start_with(|raw| raw.limits.feeds_per_subject = 1000).await;
    let (http, url) = site.raw();
    let mut wrong = Vec::new();
    for (at, (kind, subject)) in CALLERS.iter().enumerate() {
        for (method, path, expected) in ROWS {
            // Each row finds everything as it was: what one call used up is made anew.
            let things = Things::make(&site).await;
            let token = match subject {
                Some(subject) => Some(site.token(subject).await),
                None => None,
            };
            let (path_now, body) = things.call(method, path);
            let mut request = http.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{url}{path_now}"));
            if let Some(token) = token {
                request = request.bearer_auth(token);
            }
            if let Some(body) = body {
                request = request.json(&body);
            }
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            if !answer.status().is_success() {
                assert_eq!(answer.headers()["content-type"], "application/problem+json", "{method} {path}");
            }
            if status != expected[at] {
                let text = if status == 200 { String::new() } else { answer.text().await.unwrap() };
                wrong.push(format!("{kind}: {method} {path}: {status} instead of {} {text}", expected[at]));
            }
            things.clear(&site).await;
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// A lock stops even an administrator, at every endpoint that asks who calls.
#[tokio::test(flavor = "multi_thread")]
async fn the_locked_may_ask_who_they_are_and_nothing_else() {
    const FREE: [&str; 3] = ["/v1/whoami", "/v1/status", "/v1/logout"];
    let site = Site::start().await;
    let (http, url) = site.raw();
    let things = Things::make(&site).await;
    let token = site.token("adam").await;
    let lock = api::wire::PlaceLock {
        subject: "identity:adam".to_owned(),
        reason: "under suspicion".to_owned(),
        duration: None,
    };
    site.client("sam").lock(&lock).await.unwrap();
    let me = http.get(format!("{url}/v1/whoami")).bearer_auth(&token).send().await.unwrap();
    let me = me.json::<Value>().await.unwrap();
    assert!(me["locked"].as_str().is_some_and(|why| why.contains("under suspicion")), "{me}");
    for (method, path, expected) in ROWS {
        let (path_now, body) = things.call(method, path);
        let mut request = http.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{url}{path_now}"));
        request = request.bearer_auth(&token);
        if let Some(body) = body {
            request = request.json(&body);
        }
        let answer = request.send().await.unwrap();
        let status = answer.status().as_u16();
        // What anybody may call, and what is for proxies, is as it is for everybody.
        if FREE.contains(path) || expected[0] != 401 || *path == "/v1/login" {
            assert_eq!(status, expected[4], "{method} {path}");
            continue;
        }
        assert_eq!(status, 403, "{method} {path}");
        let code = answer.json::<Value>().await.unwrap()["code"].as_str().unwrap().to_owned();
        let extension = "/v1/sessions/{id}/extension";
        let for_proxies = [
            "/v1/sessions",
            "/v1/sessions/{id}/reports",
            "/v1/sessions/{id}/target-signature",
            "/v1/recovered",
            "/v1/passes",
            "/v1/proxies/status",
            extension,
        ];
        let for_proxies = for_proxies.contains(path);
        let wanted = if for_proxies && (*method == "POST" || *path == extension) { "forbidden" } else { "locked" };
        assert_eq!(code, wanted, "{method} {path}");
    }
}

/// What a proxy may call in the name of a person who logged in there; each row of the matrix that is not here is refused.
const DESK: [(&str, &str); 20] = [
    ("GET", "/v1/whoami"),
    ("GET", "/v1/status"),
    ("GET", "/v1/requests"),
    ("POST", "/v1/requests"),
    ("GET", "/v1/requests/{id}"),
    ("GET", "/v1/requests/{id}/reviewers"),
    ("POST", "/v1/requests/{id}/approve"),
    ("POST", "/v1/requests/{id}/deny"),
    ("POST", "/v1/requests/{id}/withdraw"),
    ("POST", "/v1/requests/{id}/cancel"),
    ("GET", "/v1/grants"),
    ("GET", "/v1/grants/{id}"),
    ("POST", "/v1/grants/{id}/release"),
    ("POST", "/v1/grants/{id}/revoke"),
    ("POST", "/v1/grants/{id}/extend"),
    ("GET", "/v1/targets"),
    ("POST", "/v1/policy/explain"),
    ("POST", "/v1/factors/verify"),
    ("POST", "/v1/passes/session"),
    ("POST", "/v1/logout"),
];

#[tokio::test(flavor = "multi_thread")]
async fn a_pass_is_for_the_desk_and_for_nothing_else() {
    let site = Site::start().await;
    let (http, url) = site.raw();
    let mut wrong = Vec::new();
    // alice, whose things they are; and adam, who may do everything when he calls by himself.
    for (name, column) in [("alice", 2), ("adam", 4)] {
        for (method, path, expected) in ROWS {
            let things = Things::make(&site).await;
            let visitor = crate::pass::visitor(&key_of(name), "root+web1");
            let pass = site.client("proxy:proxy1").buy_pass(&visitor).await.unwrap();
            let proxy = site.token("proxy:proxy1").await;
            let (path_now, body) = things.call(method, path);
            let mut request = http.request(Method::from_bytes(method.as_bytes()).unwrap(), format!("{url}{path_now}"));
            request = request.bearer_auth(&proxy).header(api::wire::PASS_HEADER, &pass.token);
            if let Some(body) = body {
                request = request.json(&body);
            }
            let answer = request.send().await.unwrap();
            let status = answer.status().as_u16();
            let good = match (method, path) {
                _ if expected[0] != 401 || *path == "/v1/login" => status == expected[0],
                _ if !DESK.contains(&(method, path)) => status == 403,
                (_, &"/v1/passes/session") => status == if name == "alice" { 200 } else { 409 },
                // An administrator is none here: he sees what is his, and what he may review.
                _ if name == "adam" => status == expected[column] || [403, 404].contains(&status),
                _ => status == expected[column],
            };
            if !good {
                wrong.push(format!("{name}: {method} {path}: {status} {}", answer.text().await.unwrap()));
            }
            things.clear(&site).await;
        }
    }
    assert!(wrong.is_empty(), "\n{}", wrong.join("\n"));
}

/// Things of alice's that a call can be about.
struct Things {
    pending: String,
    grant: String,
    session: String,
    recording: String,
    lock: String,
    target: String,
}

impl Things {
    async fn make(site: &Site) -> Self {
        let alice = site.client("alice");
        let pending =
            alice.file_request(&crate::site::ask("deploy", "web1", 60), &crate::site::unique()).await.unwrap();
        let (grant, _, opened) = site.session("root", "web1").await;
        let recording = model::RecordingId::from_random(store::Entropy::u64(&store::SystemEntropy));
        let reports = vec![
            api::wire::SessionReport::ChannelOpened { channel: 0, channel_kind: model::ChannelKind::Shell, pty: None },
            api::wire::SessionReport::RecordingStarted { recording: recording.clone(), channel: 0 },
        ];
        let proxy = site.client("proxy:proxy1");
        proxy.report(&opened.session, &api::wire::SessionReports { told: None, reports }).await.unwrap();
        let lock = api::wire::PlaceLock {
            subject: "login:nobody".to_owned(),
            reason: "left the company".to_owned(),
            duration: None,
        };
        let adam = site.client("adam");
        let lock = adam.lock(&lock).await.unwrap();
        let target = crate::site::unique();
        let register =
            api::wire::RegisterTarget { target: serde_json::from_value(target_body(&target)).unwrap(), replace: false };
        adam.register_target(&register).await.unwrap();
        Self {
            pending: pending.id.to_string(),
            grant: grant.to_string(),
            session: opened.session.to_string(),
            recording: recording.to_string(),
            lock: lock.id.to_string(),
            target,
        }
    }

    /// What is left of them, so that nobody reaches a limit. Some of it the call has ended already.
    async fn clear(&self, site: &Site) {
        let alice = site.client("alice");
        let _ = alice.cancel(&self.pending.parse().unwrap()).await;
        let _ = alice.release(&self.grant.parse().unwrap()).await;
        let end = api::wire::SessionReport::Ended {
            end: model::SessionEnd::Client,
            cut: None,
            dropped: store::Clock::now(&*site.clock).into(),
        };
        let reports = api::wire::SessionReports { told: None, reports: vec![end] };
        let _ = site.client("proxy:proxy1").report(&self.session.parse().unwrap(), &reports).await;
    }

    /// The path with its names, and a body that is good.
    fn call(&self, method: &str, path: &str) -> (String, Option<Value>) {
        let id = match path {
            path if path.starts_with("/v1/requests") => &self.pending,
            path if path.starts_with("/v1/grants") => &self.grant,
            path if path.starts_with("/v1/sessions") => &self.session,
            path if path.starts_with("/v1/recordings") => &self.recording,
            path if path.starts_with("/v1/factors") => "fac-000000000000",
            _ => &self.lock,
        };
        let name = if path.starts_with("/v1/ca/") { "user" } else { &self.target };
        let mut full = path.replace("{id}", id).replace("{name}", name);
        let key = key_of("a key").public_key().to_openssh().unwrap();
        let nonce = "07".repeat(32);
        let body = match (method, path) {
            ("POST", "/v1/login/challenge") => Some(json!({ "purpose": "login" })),
            ("POST", "/v1/login") => Some(json!({ "subject": "alice", "nonce": nonce, "signature": "none" })),
            ("POST", "/v1/requests") => {
                Some(json!({ "target": "dev1", "login": "root", "duration": 60, "reason": "a look" }))
            }
            ("POST", "/v1/requests/{id}/approve" | "/v1/requests/{id}/deny") => Some(json!({})),
            ("POST", "/v1/grants/{id}/revoke" | "/v1/sessions/{id}/kill" | "/v1/locks/{id}/lift") => {
                Some(json!({ "reason": "because" }))
            }
            ("POST", "/v1/grants/{id}/extend" | "/v1/sessions/{id}/extension") => {
                Some(json!({ "duration": 60, "reason": "a little more" }))
            }
            ("POST", "/v1/factors/{id}/confirm" | "/v1/factors/verify") => Some(json!({ "code": "000000" })),
            ("POST", "/v1/factors/{id}/remove") => Some(json!({ "identity": "alice" })),
            ("POST", "/v1/certificates") => {
                Some(json!({ "request": self.grant, "public_key": key, "nonce": nonce, "proof": "none" }))
            }
            ("POST", "/v1/host-certificates") => {
                Some(json!({ "host": { "target": { "name": "web1" } }, "public_key": key }))
            }
            ("POST", "/v1/sessions") => Some(json!({
                "certificate": "none", "target": "web1", "login": "root", "address": "192.0.2.1",
                "way": "jump", "public_key": key,
                "presence": { "user": "root", "session_id": nonce, "signature": "00" },
            })),
            ("POST", "/v1/passes") => Some(json!({
                "public_key": key, "address": "192.0.2.1",
                "presence": { "user": "root", "session_id": nonce, "signature": "00" },
            })),
            ("POST", "/v1/passes/session") => {
                Some(json!({ "target": "web1", "login": "root", "way": "plus", "public_key": key }))
            }
            ("POST", "/v1/sessions/{id}/reports") => {
                Some(json!({ "reports": [{ "report": "channel-refused", "asked": "x11", "reason": "no" }] }))
            }
            ("POST", "/v1/sessions/{id}/target-signature") => Some(json!({ "login": "root", "session_id": nonce })),
            ("POST", "/v1/targets/{name}/key") => Some(json!({})),
            ("POST", "/v1/recovered") => Some(json!({ "live": [], "recordings": [] })),
            ("POST", "/v1/ca/{name}/rotate") => Some(json!({ "step": "retire" })),
            ("POST", "/v1/proxies/status") => Some(json!({ "feed_limit": 30_000, "host_key": "SHA256:none" })),
            ("POST", "/v1/locks") => Some(json!({ "subject": "login:nobody", "reason": "on fire" })),
            ("PUT", "/v1/targets/{name}") => Some(json!({ "target": target_body(&self.target), "replace": true })),
            ("POST", "/v1/policy/explain") => Some(json!({
                "identity": "alice", "action": "request", "target": "web1", "login": "root", "duration": 60,
            })),
            _ => None,
        };
        match path {
            "/v1/ledger/proof" => full.push_str("?seq=0"),
            "/v1/ledger/records" => full.push_str("?limit=1"),
            _ => {}
        }
        (full, body)
    }
}

fn target_body(name: &str) -> Value {
    json!({ "name": name, "addresses": ["10.0.0.9:22"], "logins": ["root"] })
}

#[test]
fn the_document_names_every_schema_that_it_uses() {
    let document = serde_json::to_value(portcullis_ca::openapi()).unwrap();
    let schemas: BTreeMap<String, Value> = serde_json::from_value(document["components"]["schemas"].clone()).unwrap();
    let text = document.to_string();
    let mut used = BTreeSet::new();
    for part in text.split("#/components/schemas/").skip(1) {
        used.insert(part.split('"').next().unwrap().to_owned());
    }
    assert!(used.len() > 20, "{used:?}");
    for name in used {
        assert!(schemas.contains_key(&name), "{name} is not in the document");
    }
}
