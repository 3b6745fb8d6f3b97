//! Whether the server lives and keeps up, what it has counted, and what it offers.

use axum::extract::State;
use axum::response::{IntoResponse, Response};
use http::{HeaderValue, StatusCode, Uri, header};
use postrider_core::token::Scope;
use serde::Serialize;

use super::{json, json_text};
use crate::app::App;
use crate::auth::Caller;
use crate::openapi;
use crate::problem::Problem;
use crate::query::Query;

/// How the server is.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(examples(json!({"ok": true, "checks": [{"name": "store", "ok": true}]})))]
pub(super) struct Health {
    /// Whether everything is as it should be.
    ok: bool,
    /// What was looked at.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    checks: Vec<Check>,
}

/// One thing that was looked at.
#[derive(Serialize, utoipa::ToSchema)]
pub(super) struct Check {
    /// What.
    name: &'static str,
    /// Whether it is as it should be.
    ok: bool,
    /// What is wrong with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    detail: Option<String>,
}

/// Whether the process answers at all.
#[utoipa::path(get, path = "/healthz", tag = "health", operation_id = "getLiveness", security(()), responses(
    (status = 200, description = "It does", body = Health),
))]
pub(super) async fn healthz() -> Response {
    json_text(StatusCode::OK, r#"{"ok":true}"#)
}

/// Whether the store commits and due work is delivered in time.
#[utoipa::path(get, path = "/readyz", tag = "health", operation_id = "getReadiness", security(()), responses(
    (status = 200, description = "Ready", body = Health),
    (status = 503, body = Health, description = "Not ready: a check says why"),
))]
pub(super) async fn readyz(State(app): State<App>) -> Response {
    let readiness = app.engine().readiness();
    let checks = readiness
        .checks
        .into_iter()
        .map(|(name, result)| Check { name, ok: result.is_ok(), detail: result.err() })
        .collect();
    let status = if readiness.ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE };
    json(status, &Health { ok: readiness.ready, checks })
}

/// Counts and durations in the Prometheus text format. For operators.
#[utoipa::path(get, path = "/metrics", tag = "health", operation_id = "getMetrics",
    security(("token" = ["admin"])), responses(
    (status = 200, description = "The figures", body = String, content_type = "text/plain"),
    (status = 404, description = "The server does not count."),
))]
pub(super) async fn metrics(State(app): State<App>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    Query::none(&uri)?;
    let handle = app.metrics().ok_or_else(|| Problem::not_found("the list of metrics"))?;
    app.engine().record_metrics();
    let mut response = handle.render().into_response();
    let text = HeaderValue::from_static("text/plain; version=0.0.4; charset=utf-8");
    response.headers_mut().insert(header::CONTENT_TYPE, text);
    Ok(response)
}

/// This document.
#[utoipa::path(get, path = "/openapi.json", tag = "health", operation_id = "getOpenApi", security(()), responses(
    (status = 200, body = serde_json::Value, description = "OpenAPI 3.1"),
))]
pub(super) async fn openapi() -> Response {
    json_text(StatusCode::OK, openapi::text())
}
