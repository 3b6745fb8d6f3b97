//! Figures of an endpoint: how its deliveries went lately, and how it stands.

use std::collections::BTreeMap;
use std::time::Duration;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use postrider_core::token::Scope;
use postrider_engine::{EndpointState, EndpointStats};
use serde::Serialize;
use utoipa::ToSchema;

use super::deliveries::time;
use super::json;
use super::path::Path;
use crate::app::App;
use crate::auth::Caller;
use crate::openapi::Overloaded;
use crate::problem::Problem;
use crate::query::Query;
use crate::schema;

/// The figures of an endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = EndpointStats, examples(json!({
    "since": "2026-11-20T10:54:59.000Z", "complete_from": "2026-11-20T10:54:59.000Z",
    "counts": {"pending": 1, "succeeded": 4_700, "failed": 10, "cancelled": 0, "skipped": 0}, "success_rate": 0.9979,
    "latency_ms": {"p50": 18.2, "p95": 41.7, "p99": 120.4}, "backlog": 1, "oldest_pending_at": "2026-11-21T10:54:59.090Z",
    "state": "active", "retry_at": null, "reason": null, "failing_since": null, "sequence": 4_711
})))]
pub(super) struct StatsBody<'a> {
    /// Where the window begins that counts, rate and latency are of: deliveries accepted since then.
    #[schema(value_type = schema::Time)]
    since: String,
    /// From when on they are complete: later than `since` where more than 10,000 deliveries were accepted since then, of which
    /// they tell the newest.
    #[schema(value_type = schema::Time)]
    complete_from: String,
    /// Deliveries by what has become of them: `pending`, `succeeded`, `failed`, `cancelled`, `skipped`.
    counts: BTreeMap<&'static str, u64>,
    /// The part of those that succeeded among those that succeeded or failed; null if there is none.
    #[schema(required, minimum = 0, maximum = 1)]
    success_rate: Option<f64>,
    /// How long attempts took, from sending to the end of the answer or to giving up; null without an attempt.
    #[schema(required)]
    latency_ms: Option<LatencyBody>,
    /// All deliveries that are pending, as far as known, whenever they were accepted.
    backlog: u64,
    /// When the oldest of them was accepted.
    #[schema(required, value_type = Option<schema::Time>)]
    oldest_pending_at: Option<String>,
    /// How the endpoint stands.
    #[schema(value_type = schema::State)]
    state: &'static str,
    /// While tripped: when it is looked at again.
    #[schema(required, value_type = Option<schema::Time>)]
    retry_at: Option<String>,
    /// While disabled: why.
    #[schema(required)]
    reason: Option<&'a str>,
    /// Since when every attempt has failed, if the last one did.
    #[schema(required, value_type = Option<schema::Time>)]
    failing_since: Option<String>,
    /// The sequence number of the last delivery that it was given.
    sequence: u64,
}

/// Durations that so many of a hundred attempts did not exceed, in milliseconds.
#[derive(Serialize, ToSchema)]
#[schema(as = Latency)]
pub(super) struct LatencyBody {
    /// Half of them.
    p50: f64,
    /// 95 of a hundred.
    p95: f64,
    /// 99 of a hundred.
    p99: f64,
}

/// Read how an endpoint's deliveries went since a time, or in the last 24 hours, and how it stands.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/endpoints/{id}/stats", tag = "endpoints", operation_id = "getEndpointStats",
    security(("token" = ["webhooks-read"])),
    params(schema::InTenant, schema::OfEndpoint, schema::StatsQuery), responses(
    (status = 200, description = "The figures", body = StatsBody),
    Overloaded,
))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksRead)?;
    let mut query = Query::of(&uri)?;
    let since = query.time("since");
    query.finish()?;
    let stats = app.engine().endpoint_stats(tenant.no, &id, since).await?;
    Ok(json(StatusCode::OK, &StatsBody::from(&stats)))
}

fn millis(duration: Duration) -> f64 {
    u32::try_from(duration.as_micros()).map_or(f64::MAX, f64::from) / 1_000.0
}

impl<'a> From<&'a EndpointStats> for StatsBody<'a> {
    fn from(stats: &'a EndpointStats) -> Self {
        let standing = &stats.standing;
        let (retry_at, reason) = match &standing.state {
            EndpointState::Tripped { retry_at } => (Some(*retry_at), None),
            EndpointState::Disabled { reason } => (None, Some(&**reason)),
            EndpointState::Active | EndpointState::Unverified | EndpointState::Paused => (None, None),
        };
        Self {
            since: stats.since.rfc3339(),
            complete_from: stats.complete_from.rfc3339(),
            counts: stats.counts.iter().map(|(status, count)| (status.as_str(), *count)).collect(),
            success_rate: stats.success_rate(),
            latency_ms: stats.latency.map(|found| {
                let [p50, p95, p99] = found.map(millis);
                LatencyBody { p50, p95, p99 }
            }),
            backlog: standing.pending,
            oldest_pending_at: time(stats.oldest_pending),
            state: standing.state.as_str(),
            retry_at: time(retry_at),
            reason,
            failing_since: time(standing.failing_since),
            sequence: standing.sequence,
        }
    }
}
