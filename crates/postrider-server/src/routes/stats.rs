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
use crate::problem::{Problem, ProblemDocument};
use crate::query::Query;
use crate::schema;

/// The figures of an endpoint.
#[derive(Serialize, ToSchema)]
#[schema(as = EndpointStats)]
pub(super) struct StatsBody<'a> {
    /// Where the window begins that counts, rate and latency are of: deliveries accepted since then.
    since: String,
    /// From when on they are complete: later than `since` where more than 10,000 deliveries were accepted since then, of which
    /// they tell the newest.
    complete_from: String,
    /// Deliveries by what has become of them: `pending`, `succeeded`, `failed`, `cancelled`, `skipped`.
    counts: BTreeMap<&'static str, u64>,
    /// The part of those that succeeded among those that succeeded or failed; null if there is none.
    success_rate: Option<f64>,
    /// How long attempts took, from sending to the end of the answer or to giving up; null without an attempt.
    latency_ms: Option<LatencyBody>,
    /// All deliveries that are pending, as far as known, whenever they were accepted.
    backlog: u64,
    /// When the oldest of them was accepted.
    oldest_pending_at: Option<String>,
    /// How the endpoint stands.
    #[schema(value_type = schema::State)]
    state: &'static str,
    /// While tripped: when it is looked at again.
    retry_at: Option<String>,
    /// While disabled: why.
    reason: Option<&'a str>,
    /// Since when every attempt has failed, if the last one did.
    failing_since: Option<String>,
    /// The sequence number of the last delivery that it was given.
    sequence: u64,
}

/// Durations that so many of a hundred attempts did not exceed, in milliseconds.
#[derive(Serialize, ToSchema)]
#[schema(as = Latency)]
pub(super) struct LatencyBody {
    p50: f64,
    p95: f64,
    p99: f64,
}

/// Read how an endpoint's deliveries went since a time, or in the last 24 hours, and how it stands.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/endpoints/{id}/stats", tag = "endpoints", operation_id = "getEndpointStats",
    params(("tenant" = String, Path), ("id" = String, Path), schema::StatsQuery), responses(
    (status = 200, body = StatsBody),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
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
            EndpointState::Active | EndpointState::Paused => (None, None),
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
