//! What a caller is told when something is not done: one error type, one rendering (RFC 9457).

use std::borrow::Cow;
use std::time::Duration;

use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, header};
use postrider_core::fault::{Fault, ParseError};
use postrider_core::publication::Refusal;
use postrider_engine::error::ServiceError;
use serde::Serialize;

/// How long a caller should wait when an overload does not say.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// The kinds of problem: status, the last part of the `type` URN, and title belong together.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) enum Kind {
    Malformed,
    Unauthorized,
    Forbidden,
    NotFound,
    MethodNotAllowed,
    Timeout,
    Conflict,
    TooLarge,
    UnsupportedMedia,
    Invalid,
    TooMany,
    Overloaded,
    Internal,
}

impl Kind {
    const fn parts(self) -> (StatusCode, &'static str, &'static str) {
        match self {
            Self::Malformed => (StatusCode::BAD_REQUEST, "malformed", "The request cannot be read"),
            Self::Unauthorized => (StatusCode::UNAUTHORIZED, "unauthorized", "No valid token"),
            Self::Forbidden => (StatusCode::FORBIDDEN, "forbidden", "This is not allowed"),
            Self::NotFound => (StatusCode::NOT_FOUND, "not-found", "Not found"),
            Self::MethodNotAllowed => {
                (StatusCode::METHOD_NOT_ALLOWED, "method-not-allowed", "Method not allowed")
            }
            Self::Timeout => (StatusCode::REQUEST_TIMEOUT, "timeout", "The request took too long"),
            Self::Conflict => (StatusCode::CONFLICT, "conflict", "Conflict"),
            Self::TooLarge => (StatusCode::PAYLOAD_TOO_LARGE, "too-large", "The request is too large"),
            Self::UnsupportedMedia => {
                (StatusCode::UNSUPPORTED_MEDIA_TYPE, "unsupported-media-type", "Unsupported media type")
            }
            Self::Invalid => (StatusCode::UNPROCESSABLE_ENTITY, "invalid", "The request is not valid"),
            Self::TooMany => (StatusCode::TOO_MANY_REQUESTS, "too-many-requests", "Too many requests"),
            Self::Overloaded => (StatusCode::SERVICE_UNAVAILABLE, "overloaded", "No room now"),
            Self::Internal => (StatusCode::INTERNAL_SERVER_ERROR, "internal", "An internal fault"),
        }
    }

    pub(crate) const fn status(self) -> StatusCode {
        self.parts().0
    }
}

/// A problem on its way to the caller. The server adds the request's id when it writes it.
#[derive(Clone, Debug)]
pub(crate) struct Problem {
    kind: Kind,
    detail: Cow<'static, str>,
    errors: Vec<Fault>,
    retry_after: Option<Duration>,
    is_guess: bool,
}

/// How a management API writes a problem: a JSON document, and the status where that differs.
pub(crate) type Form = fn(&Problem) -> (StatusCode, serde_json::Value);

/// Left with an answer by the management API that it comes from.
#[derive(Clone, Copy)]
pub(crate) struct WrittenAs(pub(crate) Form);

impl Problem {
    pub(crate) fn new(kind: Kind, detail: impl Into<Cow<'static, str>>) -> Self {
        Self { kind, detail: detail.into(), errors: Vec::new(), retry_after: None, is_guess: false }
    }

    /// Credentials in a body that are not valid: counted like a wrong token.
    pub(crate) fn wrong_credentials(detail: impl Into<Cow<'static, str>>) -> Self {
        Self { is_guess: true, ..Self::new(Kind::Unauthorized, detail) }
    }

    pub(crate) const fn is_guess(&self) -> bool {
        self.is_guess
    }

    pub(crate) fn detail(&self) -> &str {
        &self.detail
    }

    pub(crate) fn faults(&self) -> &[Fault] {
        &self.errors
    }

    /// The same, with the fields named as another API has them.
    pub(crate) fn renamed(mut self, name: impl Fn(&str) -> String) -> Self {
        for fault in &mut self.errors {
            fault.pointer = name(&fault.pointer);
        }
        self
    }

    pub(crate) fn not_found(what: &str) -> Self {
        Self::new(Kind::NotFound, format!("{what} does not exist"))
    }

    pub(crate) fn invalid(errors: Vec<Fault>) -> Self {
        Self::new(Kind::Invalid, "see errors for each fault").with(errors)
    }

    /// More than is allowed now.
    pub(crate) fn too_many(detail: impl Into<Cow<'static, str>>, retry_after: Duration) -> Self {
        Self { retry_after: Some(retry_after), ..Self::new(Kind::TooMany, detail) }
    }

    /// A single fault.
    pub(crate) fn fault(pointer: &str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::invalid(vec![Fault::new(pointer, detail)])
    }

    /// The same, with what else is to be known of it.
    pub(crate) fn explained(mut self, more: &str) -> Self {
        self.detail = format!("{}: {more}", self.detail).into();
        self
    }

    /// The same, seen from a body in which what is at fault stands at `prefix` (a JSON pointer).
    pub(crate) fn under(mut self, prefix: &str) -> Self {
        for fault in &mut self.errors {
            fault.pointer.insert_str(0, prefix);
        }
        self
    }

    /// The same with these faults.
    pub(crate) fn with(self, errors: Vec<Fault>) -> Self {
        Self { errors, ..self }
    }

    pub(crate) const fn kind(&self) -> Kind {
        self.kind
    }

    /// The document; `request_id` is left out where the item of a batch is at fault, not the request.
    pub(crate) fn document<'a>(&'a self, request_id: Option<&'a str>) -> ProblemDocument<'a> {
        let (status, slug, title) = self.kind.parts();
        ProblemDocument {
            kind: format!("urn:postrider:problem:{slug}"),
            title,
            status: status.as_u16(),
            detail: &self.detail,
            request_id,
            errors: self
                .errors
                .iter()
                .map(|fault| FieldError { pointer: &fault.pointer, detail: &fault.detail })
                .collect(),
        }
    }

    /// The whole answer.
    pub(crate) fn render(&self, request_id: &str) -> Response {
        let body = serde_json::to_vec(&self.document(Some(request_id))).unwrap_or_default();
        self.answer(self.kind.status(), body, "application/problem+json")
    }

    /// The whole answer, as another API writes it.
    pub(crate) fn render_as(&self, form: Form) -> Response {
        let (status, body) = form(self);
        self.answer(status, body.to_string().into(), "application/json")
    }

    fn answer(&self, status: StatusCode, body: Vec<u8>, content_type: &'static str) -> Response {
        let mut response = (status, body).into_response();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        match self.kind {
            Kind::Unauthorized => {
                headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
            }
            Kind::Overloaded | Kind::TooMany => {
                let wait = self.retry_after.unwrap_or(RETRY_AFTER);
                // Rounded up: whoever comes again then should not come too early.
                let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
                headers.insert(header::RETRY_AFTER, seconds.max(1).into());
            }
            // Parts of the body may not have been read: what follows on this connection is not a request.
            Kind::TooLarge | Kind::Timeout | Kind::UnsupportedMedia => {
                headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
            }
            _ => {}
        }
        response
    }
}

/// An answer that the server fills in when it knows the request's id.
impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = self.kind.status().into_response();
        response.extensions_mut().insert(self);
        response
    }
}

impl From<ParseError> for Problem {
    fn from(error: ParseError) -> Self {
        match error {
            ParseError::Syntax(detail) => Self::new(Kind::Malformed, detail),
            ParseError::Faults(faults) => Self::invalid(faults),
            ParseError::TooLarge { .. } => Self::new(Kind::TooLarge, error.to_string()),
        }
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::NotFound(what) => Self::not_found(what),
            ServiceError::Forbidden(detail) => Self::new(Kind::Forbidden, detail),
            ServiceError::Conflict(detail) => Self::new(Kind::Conflict, detail),
            ServiceError::Invalid(faults) => Self::invalid(faults),
            ServiceError::TooMany { reason, retry_after } => Self::too_many(reason, retry_after),
            ServiceError::Overloaded { reason, retry_after } => {
                Self { retry_after: Some(retry_after), ..Self::new(Kind::Overloaded, reason) }
            }
            ServiceError::Internal => Self::new(Kind::Internal, "the server's log has the details"),
        }
    }
}

impl From<Refusal> for Problem {
    fn from(refusal: Refusal) -> Self {
        match refusal {
            Refusal::Conflict(detail) => Self::new(Kind::Conflict, detail),
            Refusal::Overloaded(detail) => Self::new(Kind::Overloaded, detail),
            Refusal::OverQuota { retry_after, .. } => Self::too_many(refusal.to_string(), retry_after),
            Refusal::Unfit(faults) | Refusal::CardData(faults) => Self::invalid(faults),
        }
    }
}

/// A problem document (RFC 9457).
#[derive(Debug, Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemDocument<'a> {
    /// A URN for the kind of problem: `urn:postrider:problem:` and `malformed`, `unauthorized`, `forbidden`,
    /// `not-found`, `method-not-allowed`, `timeout`, `conflict`, `too-large`, `unsupported-media-type`, `invalid`,
    /// `too-many-requests`, `overloaded` or `internal`.
    #[serde(rename = "type")]
    #[schema(format = "uri", pattern = "^urn:postrider:problem:[a-z-]+$")]
    kind: String,
    /// The kind of problem in a few words.
    title: &'a str,
    /// The HTTP status.
    #[schema(minimum = 400, maximum = 599)]
    status: u16,
    /// What is wrong with this request.
    detail: &'a str,
    /// The id under which the server knows the request; absent for an item of a batch.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(nullable = false)]
    request_id: Option<&'a str>,
    /// The bad fields, all of them; only of an invalid request.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    errors: Vec<FieldError<'a>>,
}

/// What is wrong with one field.
#[derive(Debug, Serialize, utoipa::ToSchema)]
pub(crate) struct FieldError<'a> {
    /// A JSON pointer (RFC 6901) into the body; for the query `/` and the parameter's name.
    pointer: &'a str,
    /// The fault and its remedy.
    detail: &'a str,
}

#[cfg(test)]
mod tests {
    use super::*;
    use http_body_util::BodyExt;

    async fn rendered(problem: Problem) -> (u16, http::HeaderMap, serde_json::Value) {
        let (parts, body) = problem.render("req-1").into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        (parts.status.as_u16(), parts.headers, serde_json::from_slice(&bytes).unwrap())
    }

    #[tokio::test]
    async fn a_problem_names_every_bad_field() {
        let faults = vec![Fault::new("/url", "is missing"), Fault::new("/x", "is not a known field")];
        let (status, headers, body) = rendered(ServiceError::Invalid(faults).into()).await;
        assert_eq!(
            (status, headers[header::CONTENT_TYPE].to_str().unwrap()),
            (422, "application/problem+json")
        );
        assert_eq!(
            body,
            serde_json::json!({
                "type": "urn:postrider:problem:invalid", "title": "The request is not valid", "status": 422,
                "detail": "see errors for each fault", "request_id": "req-1",
                "errors": [{"pointer": "/url", "detail": "is missing"}, {"pointer": "/x", "detail": "is not a known field"}],
            })
        );
    }

    #[tokio::test]
    async fn each_failure_has_its_status_and_headers() {
        let overloaded =
            ServiceError::Overloaded { reason: "full".into(), retry_after: Duration::from_secs(7) };
        let over_quota =
            Refusal::OverQuota { quota: "pending", allowed: 5, retry_after: Duration::from_millis(2_001) };
        for (problem, status, header, value) in [
            (Problem::new(Kind::Unauthorized, "x"), 401, header::WWW_AUTHENTICATE, "Bearer"),
            (overloaded.into(), 503, header::RETRY_AFTER, "7"),
            (Refusal::Overloaded("full").into(), 503, header::RETRY_AFTER, "1"),
            (over_quota.into(), 429, header::RETRY_AFTER, "3"),
            (ParseError::TooLarge { limit: 5 }.into(), 413, header::CONNECTION, "close"),
            (ParseError::Syntax("no".into()).into(), 400, header::CACHE_CONTROL, "no-store"),
            (ServiceError::NotFound("the endpoint").into(), 404, header::CACHE_CONTROL, "no-store"),
            (ServiceError::Conflict("no".into()).into(), 409, header::CACHE_CONTROL, "no-store"),
            (ServiceError::Internal.into(), 500, header::CACHE_CONTROL, "no-store"),
        ] {
            let (got, headers, _) = rendered(problem).await;
            assert_eq!((got, headers[&header].to_str().unwrap()), (status, value));
        }
    }
}
