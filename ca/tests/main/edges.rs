//! Calls that no client of ours makes: every answer is a problem document, and nobody holds the API up.

use std::time::{Duration, Instant};

use api::Problem;
use reqwest::{Method, StatusCode};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::task::JoinSet;

use crate::site::{Site, ask, code, unique};

#[tokio::test(flavor = "multi_thread")]
async fn every_error_is_a_problem_document() {
    let site = Site::start().await;
    let (http, url) = site.raw();
    let token = site.token("alice").await;
    let json = "application/json";
    let large = format!("{{\"target\":\"{}\"}}", "x".repeat(70 << 10));
    let cases: [(&str, Method, &str, &str, String); 10] = [
        ("not-found", Method::GET, "/v1/nothing", json, String::new()),
        ("not-found", Method::GET, "/", json, String::new()),
        ("method-not-allowed", Method::DELETE, "/v1/requests", json, String::new()),
        ("too-large", Method::POST, "/v1/requests", json, large),
        ("unsupported-media", Method::POST, "/v1/requests", "text/plain", "{}".to_owned()),
        ("bad-request", Method::POST, "/v1/requests", json, "{".to_owned()),
        ("bad-request", Method::POST, "/v1/requests", json, "{\"target\":\"we b1\"}".to_owned()),
        ("bad-request", Method::POST, "/v1/requests", json, "{\"nonsense\":1}".to_owned()),
        ("bad-request", Method::GET, "/v1/requests/not-an-id", json, String::new()),
        ("bad-request", Method::GET, "/v1/requests?mine=maybe", json, String::new()),
    ];
    for (code, method, path, content_type, body) in cases {
        let request = http.request(method.clone(), format!("{url}{path}")).bearer_auth(&token);
        let answer = request.header("content-type", content_type).body(body).send().await.unwrap();
        assert_eq!(answer.headers()["content-type"], "application/problem+json", "{method} {path}");
        let status = answer.status().as_u16();
        let problem: Problem = answer.json().await.unwrap();
        assert_eq!((problem.code.as_str(), problem.status), (code, status), "{method} {path}: {problem:?}");
        assert!(!problem.detail.is_empty() && problem.kind == format!("urn:portcullis:problem:{code}"));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn who_calls_too_often_is_told_to_wait() {
    let site = Site::start_with(|raw| {
        raw.limits.calls_per_address = 2;
        raw.limits.calls_per_identity = 3;
    })
    .await;
    let (http, url) = site.raw();
    let token = site.token("alice").await;
    let mut refused = 0;
    for _ in 0..40 {
        let answer = http.get(format!("{url}/v1/whoami")).bearer_auth(&token).send().await.unwrap();
        if answer.status() == StatusCode::TOO_MANY_REQUESTS {
            assert_eq!(answer.headers()["retry-after"], "1");
            assert_eq!(answer.json::<Problem>().await.unwrap().code, "too-many");
            refused += 1;
        }
    }
    assert!(refused >= 20, "{refused}");
    // Guessing tokens counts as a stranger's calls, whatever is guessed.
    let mut strangers = 0;
    for at in 0..20 {
        let guess = format!("pct_{at:0>43}");
        let answer = http.get(format!("{url}/v1/whoami")).bearer_auth(guess).send().await.unwrap();
        strangers += u32::from(answer.status() == StatusCode::TOO_MANY_REQUESTS);
    }
    assert!(strangers >= 8, "{strangers}");
}

#[tokio::test(flavor = "multi_thread")]
async fn feeds_are_counted() {
    let site = Site::start_with(|raw| raw.limits.feeds_per_subject = 2).await;
    let alice = site.client("alice");
    let first = alice.events(0).await.unwrap();
    let _second = alice.events(0).await.unwrap();
    assert_eq!(alice.events(0).await.err().unwrap().code(), Some("too-many"));
    drop(first);
    crate::site::eventually("a place", || async { alice.events(0).await.ok().map(drop) }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_are_counted_and_given_back() {
    let site = Site::start_with(|raw| raw.limits.connections = 4).await;
    let address = site.running().address();
    let mut held = JoinSet::new();
    for _ in 0..5 {
        let mut one = tokio::net::TcpStream::connect(address).await.unwrap();
        held.spawn(async move { one.read(&mut [0]).await });
    }
    // One of them is closed without a word; they are taken in any order, so it need not be the fifth.
    let read = tokio::time::timeout(Duration::from_secs(5), held.join_next()).await.expect("closed at once");
    assert!(matches!(read, Some(Ok(Ok(0) | Err(_)))));
    assert!(held.try_join_next().is_none(), "more than one was closed");
    drop(held);
    crate::site::eventually("a place", || async { site.client("alice").whoami().await.ok() }).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_connection_that_says_nothing_is_closed() {
    let site = Site::start().await;
    let address = site.running().address();
    let mut silent = tokio::net::TcpStream::connect(address).await.unwrap();
    let (_, url) = site.raw();
    assert!(url.contains(&address.to_string()));
    // After a handshake that never ends: a first byte of TLS and nothing more.
    silent.write_all(&[22]).await.unwrap();
    let started = Instant::now();
    let mut rest = Vec::new();
    let closed = tokio::time::timeout(Duration::from_secs(20), silent.read_to_end(&mut rest)).await;
    closed.expect("the API hangs up").ok();
    assert!(started.elapsed() < Duration::from_secs(18), "{:?}", started.elapsed());
}

#[tokio::test(flavor = "multi_thread")]
async fn both_versions_of_http_are_spoken() {
    let site = Site::start().await;
    let roots = reqwest::Certificate::from_pem_bundle(crate::site::house().root_pem.as_bytes()).unwrap();
    let url = format!("https://{}/healthz", site.running().address());
    for (old, version) in [(true, reqwest::Version::HTTP_11), (false, reqwest::Version::HTTP_2)] {
        let builder = reqwest::Client::builder().tls_certs_only(roots.clone()).no_proxy();
        let http = if old { builder.http1_only() } else { builder }.build().unwrap();
        let answer = http.get(&url).send().await.unwrap();
        assert_eq!((answer.version(), answer.status()), (version, StatusCode::OK));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stop_lets_calls_finish_and_ends_feeds() {
    let mut site = Site::start().await;
    let alice = site.client("alice");
    let mut feed = alice.events(0).await.unwrap();
    alice.file_request(&ask("root", "dev1", 60), &unique()).await.unwrap();
    let started = Instant::now();
    site.down().await;
    assert!(started.elapsed() < Duration::from_secs(8), "{:?}", started.elapsed());
    let ended = tokio::time::timeout(crate::site::PATIENCE, async { while feed.next().await.is_ok() {} });
    ended.await.expect("a feed ends with its server");
    assert!(alice.whoami().await.is_err());
    site.up().await;
    assert_eq!(code(site.anonymous().whoami().await), "unauthenticated");
}
