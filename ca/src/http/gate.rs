//! The gate: whose call it is, how many calls they make, and that what was begun is finished.

use std::collections::HashMap;
use std::net::{IpAddr, SocketAddr};
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use api::ProblemCode;
use axum::extract::{ConnectInfo, Request, State};
use axum::http::{HeaderMap, HeaderValue, Method, header};
use axum::middleware::Next;
use axum::response::{IntoResponse, Response};
use governor::{DefaultKeyedRateLimiter, Quota, RateLimiter};
use identity::Subject;
use zeroize::Zeroizing;

use super::listener::{Standing, network};
use super::problem::Fault;
use crate::app::{App, AppError};
use crate::config::Limits;

/// The longest that a call may take to be answered; what it streams afterwards may take longer.
const ANSWER: Duration = Duration::from_secs(30);
/// How many calls may come at once, as a multiple of those in a second.
const BURST: u32 = 4;

/// Where passes are bought.
const PASSES: &str = "/v1/passes";
/// Which part of a proxy's calls it may make for them besides.
const SHARE: u32 = 50;

/// What anybody may call.
const OPEN: [&str; 5] = ["/v1/ca", "/v1/login", "/v1/login/challenge", "/v1/openapi.json", "/healthz"];

/// Counts calls.
pub(super) struct Gate {
    app: Arc<App>,
    by_address: DefaultKeyedRateLimiter<IpAddr>,
    by_identity: DefaultKeyedRateLimiter<Subject>,
    by_proxy: DefaultKeyedRateLimiter<Subject>,
    /// Purchases of passes, which strangers can cause.
    passes: DefaultKeyedRateLimiter<Subject>,
    feeds: Arc<Feeds>,
}

/// The session token that a call came with.
#[derive(Clone)]
pub(super) struct Bearer(pub(super) Arc<Zeroizing<String>>);

/// Where a call came from.
#[derive(Clone, Copy)]
pub(super) struct Peer(pub(super) IpAddr);

/// Whether the caller has hung up.
#[derive(Clone, Default)]
pub(super) struct Presence(Arc<AtomicBool>);

impl Presence {
    pub(super) fn is_gone(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }
}

struct Leaving(Presence);

impl Drop for Leaving {
    fn drop(&mut self) {
        self.0.0.store(true, Ordering::Release);
    }
}

impl Gate {
    pub(super) fn new(app: Arc<App>, limits: Limits) -> Self {
        let quota = |per_second: NonZeroU32| {
            let burst = per_second.saturating_mul(NonZeroU32::MIN.saturating_add(BURST - 1));
            Quota::per_second(per_second).allow_burst(burst)
        };
        Self {
            app,
            by_address: RateLimiter::keyed(quota(limits.per_address)),
            by_identity: RateLimiter::keyed(quota(limits.per_identity)),
            by_proxy: RateLimiter::keyed(quota(limits.per_proxy)),
            passes: RateLimiter::keyed(quota(per_share(limits.per_proxy))),
            feeds: Arc::new(Feeds { most: limits.feeds, open: Mutex::default() }),
        }
    }

    /// Forgets who has been quiet.
    pub(super) fn sweep(&self) {
        self.by_address.retain_recent();
        self.by_identity.retain_recent();
        self.by_proxy.retain_recent();
        self.passes.retain_recent();
    }

    /// Lets a call in, or says why not.
    fn admit(&self, request: &mut Request) -> Result<(), Fault> {
        let peer = request.extensions().get::<ConnectInfo<SocketAddr>>().map(|ConnectInfo(peer)| peer.ip());
        // Without an address there is nothing to count by; that is no call from the network.
        let peer = peer.ok_or_else(|| Fault::from(AppError::Internal("a call without an address".to_owned())))?;
        let peer = peer.to_canonical();
        request.extensions_mut().insert(Peer(peer));
        let token = bearer(request.headers());
        let known = token.as_ref().map(|token| self.app.authenticate(token, peer));
        match (known, token) {
            (Some(Ok(caller)), Some(token)) => {
                // A proxy passes on what a person does there: it is theirs from here on, and counts as theirs.
                let (caller, token) = match passed(request.headers()) {
                    Some(pass) => (self.app.admit_pass(&caller, &pass)?, pass),
                    None => (caller, token),
                };
                let limiter = match caller.subject() {
                    Subject::Identity(_) => &self.by_identity,
                    // What strangers cause must not stand in the way of sessions and reports.
                    Subject::Proxy(_) if request.uri().path() == PASSES => &self.passes,
                    Subject::Proxy(_) => &self.by_proxy,
                };
                if limiter.check_key(caller.subject()).is_err() {
                    return Err(too_many(caller.subject()));
                }
                if let Some(standing) = request.extensions().get::<Standing>() {
                    standing.prove();
                }
                request.extensions_mut().insert(caller);
                request.extensions_mut().insert(Bearer(Arc::new(token)));
                request.extensions_mut().insert(Arc::clone(&self.feeds));
            }
            _ => {
                if self.by_address.check_key(&network(peer)).is_err() {
                    return Err(too_many(peer));
                }
                if !OPEN.contains(&request.uri().path()) {
                    return Err(AppError::Unauthenticated.into());
                }
            }
        }
        Ok(())
    }
}

/// The part of a proxy's limit that is for passes.
fn per_share(limit: NonZeroU32) -> NonZeroU32 {
    NonZeroU32::new(limit.get() / SHARE).unwrap_or(NonZeroU32::MIN)
}

/// Counts the call and finds out whose it is.
pub(super) async fn enter(State(gate): State<Arc<Gate>>, mut request: Request, next: Next) -> Response {
    match gate.admit(&mut request) {
        Ok(()) => next.run(request).await,
        Err(fault) => fault.into_response(),
    }
}

/// Bounds the time to the answer. What changes something is finished even when the caller hangs up half-way.
pub(super) async fn finish(mut request: Request, next: Next) -> Response {
    let reads = matches!(*request.method(), Method::GET | Method::HEAD);
    let presence = Presence::default();
    request.extensions_mut().insert(presence.clone());
    let _leaving = Leaving(presence);
    let answer = async {
        if reads {
            return Ok(next.run(request).await);
        }
        tokio::spawn(next.run(request)).await
    };
    match tokio::time::timeout(ANSWER, answer).await {
        Ok(Ok(mut response)) => {
            // Tokens, certificates, and what only this caller may see.
            let headers = response.headers_mut();
            headers.entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
            response
        }
        Ok(Err(died)) => {
            tracing::error!(error = %died, "a call died");
            Fault::from(AppError::Internal(died.to_string())).into_response()
        }
        Err(_) => {
            let detail =
                format!("There was no answer within {} s; the call may still have its effect", ANSWER.as_secs());
            Fault::new(ProblemCode::Timeout, detail).into_response()
        }
    }
}

/// How many feeds of events each subject has open.
pub(super) struct Feeds {
    most: usize,
    open: Mutex<HashMap<Subject, usize>>,
}

/// A place for one feed; given back when it is dropped.
pub(super) struct FeedPlace {
    feeds: Arc<Feeds>,
    subject: Subject,
}

impl Feeds {
    pub(super) fn take(self: &Arc<Self>, subject: &Subject) -> Result<FeedPlace, AppError> {
        let mut open = self.open.lock().unwrap_or_else(PoisonError::into_inner);
        let count = open.entry(subject.clone()).or_default();
        if *count >= self.most {
            return Err(AppError::TooMany(format!("{subject} has {count} feeds of events open, which is the limit")));
        }
        *count += 1;
        Ok(FeedPlace { feeds: Arc::clone(self), subject: subject.clone() })
    }
}

impl Drop for FeedPlace {
    fn drop(&mut self) {
        let mut open = self.feeds.open.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(count) = open.get_mut(&self.subject) {
            *count = count.saturating_sub(1);
            if *count == 0 {
                open.remove(&self.subject);
            }
        }
    }
}

/// `Authorization: Bearer …` (RFC 6750, section 2.1).
fn bearer(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| Zeroizing::new(token.trim().to_owned()))
}

/// The pass that a call came with.
fn passed(headers: &HeaderMap) -> Option<Zeroizing<String>> {
    let value = headers.get(api::wire::PASS_HEADER)?;
    // What is no text is no pass of ours, and is refused as such.
    Some(Zeroizing::new(value.to_str().unwrap_or_default().to_owned()))
}

fn too_many(who: impl std::fmt::Display) -> Fault {
    Fault::from(AppError::TooMany(format!("too many calls from {who}; wait a moment")))
}
