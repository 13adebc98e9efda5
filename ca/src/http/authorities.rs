//! The keys of the CAs, and how one takes the place of another.

use access::Beside;
use api::{Problem, wire};
use axum::extract::State;
use model::Authority;

use super::Shared;
use super::extract::{Json, Path, Who};
use super::problem::Fault;
use crate::app::{CaState, Step, Turn};

/// The keys of the CAs, and how far a replacement is.
#[utoipa::path(get, path = "/v1/ca/keys", tag = "certificates", security(("token" = [])),
    responses((status = 200, body = wire::Page<wire::CaKeyState>), (status = "default", body = Problem)))]
pub(super) async fn list(
    State(app): State<Shared>,
    Who(caller): Who,
) -> Result<Json<wire::Page<wire::CaKeyState>>, Fault> {
    let items = app.ca_keys(&caller).await?.into_iter().map(view).collect();
    Ok(Json(wire::Page { items, next: None }))
}

/// Takes the next step in replacing the key of a CA.
#[utoipa::path(post, path = "/v1/ca/{name}/rotate", tag = "certificates", params(("name" = String, Path)),
    request_body = wire::RotateCa, security(("token" = [])),
    responses((status = 200, body = wire::CaKeyState), (status = "default", body = Problem)))]
pub(super) async fn rotate(
    State(app): State<Shared>,
    Who(caller): Who,
    Path(ca): Path<Authority>,
    Json(body): Json<wire::RotateCa>,
) -> Result<Json<wire::CaKeyState>, Fault> {
    let step = match body.step {
        wire::CaStep::Stage => Step::Stage,
        wire::CaStep::Activate => Step::Activate,
        wire::CaStep::Retire => Step::Retire,
        wire::CaStep::Cancel => Step::Cancel,
    };
    let turn = Turn { ca, step, key: body.key, force: body.force };
    Ok(Json(view(app.rotate_ca(&caller, &turn).await?)))
}

fn view(state: CaState) -> wire::CaKeyState {
    let CaState { ca, signs, beside, since, left } = state;
    let (next, previous) = match beside {
        None => (None, None),
        Some(Beside::Next(key)) => (Some(key), None),
        Some(Beside::Previous(key)) => (None, Some(key)),
    };
    wire::CaKeyState { ca, signs, next, previous, since: since.map(Into::into), left }
}
