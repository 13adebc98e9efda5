//! Extractors whose errors are problem documents.

use axum::extract::{FromRequest, FromRequestParts};
use axum::http::request::Parts;
use axum::response::{IntoResponse, Response};
use serde::Serialize;

use super::problem::Fault;
use crate::app::{AppError, Caller};

/// A JSON body, in or out.
#[derive(FromRequest)]
#[from_request(via(axum::Json), rejection(Fault))]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: Serialize> IntoResponse for Json<T> {
    fn into_response(self) -> Response {
        axum::Json(self.0).into_response()
    }
}

/// The parameters behind the question mark.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Query), rejection(Fault))]
pub(crate) struct Query<T>(pub(crate) T);

/// The names in the path.
#[derive(FromRequestParts)]
#[from_request(via(axum::extract::Path), rejection(Fault))]
pub(crate) struct Path<T>(pub(crate) T);

/// Who is calling. The gate has put it there; a route that it lets through without a token has none.
pub(crate) struct Who(pub(crate) Caller);

impl<S: Send + Sync> FromRequestParts<S> for Who {
    type Rejection = Fault;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Fault> {
        parts.extensions.get::<Caller>().cloned().map(Self).ok_or_else(|| AppError::Unauthenticated.into())
    }
}
