//! Every error as a problem document (RFC 9457), those of the framework included.

use api::{Problem, ProblemCode};
use axum::extract::rejection::{JsonRejection, PathRejection, QueryRejection};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};

use crate::app::AppError;

/// A problem on its way out.
#[derive(Debug)]
pub(crate) struct Fault(pub(crate) Problem);

impl Fault {
    pub(crate) fn new(code: ProblemCode, detail: impl Into<String>) -> Self {
        Self(Problem::new(code, detail))
    }
}

impl IntoResponse for Fault {
    fn into_response(self) -> Response {
        let status = StatusCode::from_u16(self.0.status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
        let body = serde_json::to_vec(&self.0).unwrap_or_default();
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        if status == StatusCode::UNAUTHORIZED {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if status == StatusCode::TOO_MANY_REQUESTS || status == StatusCode::SERVICE_UNAVAILABLE {
            headers.insert(header::RETRY_AFTER, HeaderValue::from_static("1"));
        }
        response
    }
}

impl From<AppError> for Fault {
    fn from(error: AppError) -> Self {
        let sentence = error.to_string();
        match error {
            AppError::Refused(refusal) => {
                Self(Problem::refused(refusal.code, refused_status(refusal.code), sentence, refusal.hint))
            }
            AppError::Forbidden { hint, .. } => {
                let problem = Problem::new(ProblemCode::Forbidden, sentence);
                Self(Problem { hint, ..problem })
            }
            AppError::NotFound { near, .. } => {
                let hint = near.map(|near| format!("did you mean {near}?"));
                Self(Problem { hint, ..Problem::new(ProblemCode::NotFound, sentence) })
            }
            AppError::Invalid(_) => Self::new(ProblemCode::BadRequest, sentence),
            AppError::Unauthenticated => {
                Self(Problem::new(ProblemCode::Unauthenticated, sentence).with_hint("run: portcullis login"))
            }
            AppError::LoginRefused(_) => Self::new(ProblemCode::LoginRefused, sentence),
            AppError::Certificate(_) => Self::new(ProblemCode::CertificateRefused, sentence),
            AppError::TooMany(_) => Self::new(ProblemCode::TooMany, sentence),
            AppError::Unavailable(_) => Self(Problem::new(ProblemCode::Unavailable, sentence).with_hint(
                "nothing was changed; try again once the operator of the CA has looked at its disk and its log",
            )),
            AppError::FactorUnreadable => Self(
                Problem::new(ProblemCode::FactorUnreadable, sentence)
                    .with_hint("tell who runs the CA: its log names the file; it counts as no wrong code"),
            ),
            AppError::Internal(_) => {
                tracing::error!(%error, "a fault of Portcullis");
                Self::new(ProblemCode::Internal, "Something went wrong inside the CA; its log has the details")
            }
        }
    }
}

impl From<JsonRejection> for Fault {
    fn from(rejection: JsonRejection) -> Self {
        Self::new(code_of(rejection.status()), rejection.body_text())
    }
}

impl From<QueryRejection> for Fault {
    fn from(rejection: QueryRejection) -> Self {
        Self::new(ProblemCode::BadRequest, rejection.body_text())
    }
}

impl From<PathRejection> for Fault {
    fn from(rejection: PathRejection) -> Self {
        Self::new(code_of(rejection.status()), rejection.body_text())
    }
}

/// 403 where the asker lacks a right, 404 where there is nothing, 400 where the ask makes no sense;
/// otherwise 409: the state does not allow it.
fn refused_status(code: &str) -> u16 {
    match code {
        "certificate-key-gone"
        | "certificate-locked"
        | "code-refused"
        | "code-used"
        | "factor-needed"
        | "locked"
        | "not-a-person"
        | "not-a-reviewer"
        | "not-allowed"
        | "not-its-proxy"
        | "not-the-asker"
        | "not-the-system"
        | "no-path"
        | "pass-over"
        | "policy-forbids"
        | "presence-refused"
        | "self-review"
        | "ticket-needed"
        | "too-long"
        | "touch-needed" => 403,
        _ if code.starts_with("unknown-") => 404,
        _ if code.starts_with("bad-") => 400,
        _ => 409,
    }
}

fn code_of(status: StatusCode) -> ProblemCode {
    match status {
        StatusCode::PAYLOAD_TOO_LARGE => ProblemCode::TooLarge,
        StatusCode::UNSUPPORTED_MEDIA_TYPE => ProblemCode::UnsupportedMedia,
        status if status.is_server_error() => ProblemCode::Internal,
        _ => ProblemCode::BadRequest,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_refusal_has_its_status() {
        let of = |status: u16| -> Vec<&str> {
            access::Refusal::CODES.iter().copied().filter(|code| refused_status(code) == status).collect()
        };
        let mut forbidden = of(403);
        forbidden.sort_unstable();
        assert_eq!(
            forbidden,
            [
                "certificate-locked",
                "code-used",
                "factor-needed",
                "locked",
                "no-path",
                "not-a-person",
                "not-a-reviewer",
                "not-allowed",
                "not-its-proxy",
                "not-the-asker",
                "not-the-system",
                "policy-forbids",
                "self-review",
                "ticket-needed",
                "too-long",
                "touch-needed",
            ]
        );
        assert!(of(404).iter().all(|code| code.starts_with("unknown-")));
        assert!(of(400).iter().all(|code| code.starts_with("bad-")));
        assert!(of(409).contains(&"no-active-grant"));
        assert_eq!(of(400).len() + of(403).len() + of(404).len() + of(409).len(), access::Refusal::CODES.len());
    }

    #[test]
    fn a_fault_of_ours_tells_nothing_of_itself() {
        let fault = Fault::from(AppError::Internal("the secret path /x".to_owned()));
        assert!(!fault.0.detail.contains("secret"), "{}", fault.0.detail);
    }
}
