//! The HTTP API: calls in, use cases, answers out; one file a noun.
//!
//! Wire types and domain types are kept apart here and nowhere else. No right is checked here: the use cases do.

mod authorities;
mod certificates;
mod events;
mod extract;
mod factors;
mod gate;
mod grants;
mod ledger;
mod listener;
mod locks;
mod login;
mod passes;
mod plain;
mod policy;
mod problem;
mod proxies;
mod recordings;
mod requests;
mod server;
mod sessions;
mod status;
mod targets;
mod view;

use std::sync::Arc;

use api::ProblemCode;
use axum::extract::DefaultBodyLimit;
use axum::http::{Method, Uri};
use axum::middleware;
use utoipa::OpenApi as _;
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityScheme};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

pub(crate) use server::Server;

use crate::app::App;
use crate::config::Limits;
use gate::Gate;
use problem::Fault;

/// What every route is given.
pub(crate) type Shared = Arc<App>;

/// The largest body of a call.
const BODY: usize = 64 << 10;
/// The largest body of what a proxy reports: many things at once.
const REPORT: usize = 1 << 20;

#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Portcullis",
        description = "The API of a Portcullis CA. Every error is a problem document (RFC 9457) with a stable code. \
            A session token is bought with an SSH signature: POST /v1/login/challenge, then POST /v1/login.",
    ),
    components(schemas(api::Problem)),
    tags(
        (name = "login", description = "Proofs of identity and session tokens"),
        (name = "requests", description = "Asking, and answering"),
        (name = "grants", description = "What an approved request becomes"),
        (name = "certificates", description = "OpenSSH certificates"),
        (name = "sessions", description = "Connections through a proxy"),
        (name = "factors", description = "Authenticators, and the one-time codes that they make"),
        (name = "locks", description = "Denies that hold at once"),
        (name = "recordings", description = "What happened in sessions"),
        (name = "targets", description = "Servers"),
        (name = "policy", description = "What policy would say"),
        (name = "ledger", description = "Facts and their proofs"),
        (name = "system", description = "How the CA does"),
    )
)]
struct Document;

/// The OpenAPI document of the API, as `/v1/openapi.json` serves it.
#[must_use]
pub fn openapi() -> utoipa::openapi::OpenApi {
    routes().split_for_parts().1
}

fn routes() -> OpenApiRouter<Shared> {
    let mut document = Document::openapi();
    let token = SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer));
    document.components.get_or_insert_default().add_security_scheme("token", token);
    let reports = OpenApiRouter::new()
        .routes(routes!(sessions::report))
        .routes(routes!(sessions::recovered))
        .layer(DefaultBodyLimit::max(REPORT));
    OpenApiRouter::with_openapi(document)
        .routes(routes!(login::challenge))
        .routes(routes!(login::login))
        .routes(routes!(login::logout))
        .routes(routes!(login::whoami))
        .routes(routes!(certificates::ca))
        .routes(routes!(authorities::list))
        .routes(routes!(authorities::rotate))
        .routes(routes!(requests::list, requests::file))
        .routes(routes!(requests::get))
        .routes(routes!(requests::reviewers))
        .routes(routes!(requests::approve))
        .routes(routes!(requests::deny))
        .routes(routes!(requests::withdraw))
        .routes(routes!(requests::cancel))
        .routes(routes!(grants::list))
        .routes(routes!(grants::get))
        .routes(routes!(grants::revoke))
        .routes(routes!(grants::release))
        .routes(routes!(grants::extend))
        .routes(routes!(certificates::list, certificates::issue))
        .routes(routes!(certificates::issue_host))
        .routes(routes!(sessions::list, sessions::open))
        .routes(routes!(passes::buy))
        .routes(routes!(passes::enter))
        .routes(routes!(sessions::get))
        .routes(routes!(sessions::kill))
        .routes(routes!(sessions::sign_for_target))
        .routes(routes!(sessions::offer_extension, sessions::extend))
        .routes(routes!(factors::list, factors::begin))
        .routes(routes!(factors::confirm))
        .routes(routes!(factors::remove))
        .routes(routes!(factors::verify))
        .routes(routes!(locks::list, locks::place))
        .routes(routes!(locks::lift))
        .routes(routes!(recordings::list))
        .routes(routes!(recordings::get))
        .routes(routes!(recordings::content))
        .routes(routes!(targets::list))
        .routes(routes!(targets::register, targets::remove))
        .routes(routes!(targets::key, targets::make_key, targets::destroy_key))
        .routes(routes!(policy::explain))
        .routes(routes!(ledger::records))
        .routes(routes!(ledger::checkpoint))
        .routes(routes!(ledger::proof))
        .routes(routes!(events::events))
        .routes(routes!(proxies::tell))
        .routes(routes!(status::status))
        .routes(routes!(status::healthz))
        .routes(routes!(status::document))
        .layer(DefaultBodyLimit::max(BODY))
        .merge(reports)
}

/// The whole service, with its gate in front.
fn service(app: Shared, limits: Limits) -> (axum::Router, Arc<Gate>) {
    let gate = Arc::new(Gate::new(Arc::clone(&app), limits));
    let (router, _) = routes().split_for_parts();
    let router = router
        .route_layer(middleware::from_fn(gate::finish))
        .route_layer(middleware::from_fn_with_state(Arc::clone(&gate), gate::enter))
        .fallback(nothing_there)
        .method_not_allowed_fallback(not_with_this)
        .with_state(app);
    (router, gate)
}

async fn nothing_there(uri: Uri) -> Fault {
    Fault::new(ProblemCode::NotFound, format!("There is nothing at {}", short(uri.path())))
}

async fn not_with_this(method: Method, uri: Uri) -> Fault {
    Fault::new(ProblemCode::MethodNotAllowed, format!("{} does not go with {method}", short(uri.path())))
}

fn short(path: &str) -> String {
    path.chars().take(128).flat_map(char::escape_default).collect()
}
