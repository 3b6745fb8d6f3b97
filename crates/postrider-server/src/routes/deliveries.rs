//! Deliveries: the log, one delivery with its attempts, retry and cancel.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use postrider_core::id::Position;
use postrider_core::record::Status;
use postrider_core::subscription::is_type_name;
use postrider_core::time::Timestamp;
use postrider_core::token::Scope;
use postrider_engine::log::{Attempt, Delivery, DeliveryDetail, LogFilter};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::path::Path;
use super::{Page, json, nothing};
use crate::app::App;
use crate::auth::Caller;
use crate::cursor::{self, List};
use crate::problem::{Problem, ProblemDocument};
use crate::query::Query;
use crate::schema;

/// The longest ordering key, event id or endpoint id that is looked for, in bytes.
const MAX_NAME: usize = 1_024;

/// A line of the delivery log.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery)]
pub(super) struct DeliveryBody<'a> {
    /// Its id, `dlv_…`.
    id: String,
    /// Whose it is.
    tenant: &'a str,
    /// The event's id: the publisher's own, or `evt_…`.
    event: String,
    /// The endpoint's id.
    endpoint: &'a str,
    /// The event type.
    #[serde(rename = "type")]
    event_type: &'a str,
    /// The ordering key.
    key: Option<&'a str>,
    /// The endpoint's gapless number for it; null for a test.
    sequence: Option<u64>,
    /// What became of it.
    #[schema(value_type = schema::Status)]
    status: &'static str,
    /// Why it failed, was cancelled or skipped.
    reason: Option<&'static str>,
    /// Attempts made, over all runs.
    attempts: u32,
    /// The status code of the last answer.
    last_status_code: Option<u16>,
    /// When it is tried next, if a time is set.
    next_attempt_at: Option<String>,
    /// When it was accepted.
    created_at: String,
    /// When it got its verdict.
    finished_at: Option<String>,
}

/// One delivery with the payload as sent and every attempt.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryDetail)]
pub(super) struct DetailBody<'a> {
    /// Its id, `dlv_…`.
    id: String,
    /// Whose it is.
    tenant: &'a str,
    /// The event's id: the publisher's own, or `evt_…`.
    event: String,
    /// The endpoint's id.
    endpoint: &'a str,
    /// The event type.
    #[serde(rename = "type")]
    event_type: &'a str,
    /// The ordering key.
    key: Option<&'a str>,
    /// The endpoint's gapless number for it; null for a test.
    sequence: Option<u64>,
    /// What became of it.
    #[schema(value_type = schema::Status)]
    status: &'static str,
    /// Why it failed, was cancelled or skipped.
    reason: Option<&'static str>,
    /// The status code of the last answer.
    last_status_code: Option<u16>,
    /// When it is tried next, if a time is set.
    next_attempt_at: Option<String>,
    /// When it was accepted.
    created_at: String,
    /// When it got its verdict.
    finished_at: Option<String>,
    /// When it was first acknowledged, also if a later run failed.
    first_succeeded_at: Option<String>,
    /// Whether successors of its ordering key went past it; absent where not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    overtaken: bool,
    /// The body as sent.
    #[schema(value_type = serde_json::Value)]
    payload: &'a RawValue,
    /// The attempts, oldest first, at most the last 1,000.
    attempts: Vec<AttemptBody<'a>>,
}

/// One HTTP request made for a delivery, and what came back.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(super) struct AttemptBody<'a> {
    /// Its id, `att_…`.
    id: String,
    /// Which passage through the schedule, from 0.
    run: u16,
    /// Which attempt of the delivery, from 1, over all runs.
    number: u32,
    /// When it began.
    started_at: String,
    /// How long it took, in milliseconds.
    duration_ms: f64,
    /// The status code of the answer, if one came.
    status_code: Option<u16>,
    /// What went wrong; null for a success.
    error: Option<ErrorBody<'a>>,
    /// The address that was connected to.
    remote_address: Option<String>,
    /// As sent, secrets and signatures masked.
    request_headers: &'a BTreeMap<String, String>,
    /// As received; empty for a first-try success.
    response_headers: &'a BTreeMap<String, String>,
    /// The first 4 KiB as received, as text; empty for a first-try success.
    response_body: &'a str,
    /// Why it was made.
    #[schema(value_type = schema::Trigger)]
    trigger: &'static str,
}

/// Why an attempt did not succeed.
#[derive(Serialize, ToSchema)]
#[schema(as = AttemptError)]
pub(super) struct ErrorBody<'a> {
    /// `dns`, `connect`, `tls`, `timeout`, `reset`, `guard`, `status` or `local`.
    kind: &'static str,
    /// What happened, in a sentence.
    detail: &'a str,
}

/// List a tenant's deliveries, newest first.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/deliveries", tag = "deliveries", operation_id = "listDeliveries",
    params(("tenant" = String, Path), schema::DeliveryQuery, schema::Paging), responses(
    (status = 200, body = Page<DeliveryBody>),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhookEventsRead)?;
    let filter = filter(Query::of(&uri)?, tenant.id.as_str())?;
    let page = app.engine().log(tenant.no, filter).await?;
    let next_cursor =
        page.next.map(|next| cursor::write(List::Deliveries, tenant.id.as_str(), &next.0.to_be_bytes()));
    let data: Vec<_> = page.rows.iter().map(|row| DeliveryBody::new(tenant.id.as_str(), row)).collect();
    Ok(json(StatusCode::OK, &Page { data, next_cursor }))
}

/// Read one delivery with its attempts.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/deliveries/{id}", tag = "deliveries", operation_id = "getDelivery",
    params(("tenant" = String, Path), ("id" = String, Path)), responses(
    (status = 200, body = DetailBody),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhookEventsRead)?;
    Query::none(&uri)?;
    let detail = app.engine().delivery(tenant.no, &id).await?;
    let payload = serde_json::from_slice::<&RawValue>(&detail.payload).unwrap_or(RawValue::NULL);
    Ok(json(StatusCode::OK, &DetailBody::new(tenant.id.as_str(), &detail, payload)))
}

/// Try a delivery again: a new run, or the next attempt at once while it is pending.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/deliveries/{id}/retry", tag = "deliveries", operation_id = "retryDelivery",
    params(("tenant" = String, Path), ("id" = String, Path)), responses(
    (status = 202),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(super) async fn retry(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(&uri)?;
    app.engine().retry_delivery(tenant.no, &id).await?;
    let mut response = nothing();
    *response.status_mut() = StatusCode::ACCEPTED;
    Ok(response)
}

/// Withdraw a pending delivery.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/deliveries/{id}/cancel", tag = "deliveries", operation_id = "cancelDelivery",
    params(("tenant" = String, Path), ("id" = String, Path)), responses(
    (status = 204),
    (status = "4XX", body = ProblemDocument, content_type = "application/problem+json"),
    (status = "5XX", body = ProblemDocument, content_type = "application/problem+json"),
))]
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(&uri)?;
    app.engine().cancel_delivery(tenant.no, &id).await?;
    Ok(nothing())
}

fn filter(mut query: Query, tenant: &str) -> Result<LogFilter, Problem> {
    let status = query.take("status", |text| {
        Status::parse(text).ok_or_else(|| {
            let names: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
            format!("must be one of {}", names.join(", ")).into()
        })
    });
    let event_type = query.take("type", |text| {
        if is_type_name(text) {
            Ok(text.to_owned())
        } else {
            Err("must be an event type such as card.frozen".into())
        }
    });
    let name = |text: &str| match text.len() {
        1..=MAX_NAME => Ok(text.to_owned()),
        _ => Err("must be neither empty nor longer than 1024 bytes".into()),
    };
    let endpoint = query.take("endpoint", name);
    let key = query.take("key", name);
    let event = query.take("event", name);
    let (since, until) = (query.time("since"), query.time("until"));
    if since.zip(until).is_some_and(|(since, until)| until < since) {
        query.fault("until", "must not lie before since");
    }
    let page = query.page(List::Deliveries, tenant);
    query.finish()?;
    let before =
        page.after.and_then(|at| <[u8; 8]>::try_from(at).ok()).map(|at| Position(u64::from_be_bytes(at)));
    Ok(LogFilter { endpoint, status, event_type, key, event, since, until, before, limit: page.limit })
}

fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(Timestamp::rfc3339)
}

impl<'a> DeliveryBody<'a> {
    fn new(tenant: &'a str, row: &'a Delivery) -> Self {
        Self {
            id: row.id.to_string(),
            tenant,
            event: row.event.id(),
            endpoint: &row.endpoint,
            event_type: &row.event.event_type,
            key: row.event.key.as_deref(),
            sequence: row.sequence,
            status: row.status.as_str(),
            reason: row.reason.map(|reason| reason.as_str()),
            attempts: row.attempts,
            last_status_code: row.last_status_code,
            next_attempt_at: time(row.next_attempt_at),
            created_at: row.event.accepted_at.rfc3339(),
            finished_at: time(row.finished_at),
        }
    }
}

impl<'a> DetailBody<'a> {
    fn new(tenant: &'a str, detail: &'a DeliveryDetail, payload: &'a RawValue) -> Self {
        let row = &detail.delivery;
        let line = DeliveryBody::new(tenant, row);
        Self {
            id: line.id,
            tenant,
            event: line.event,
            endpoint: line.endpoint,
            event_type: line.event_type,
            key: line.key,
            sequence: line.sequence,
            status: line.status,
            reason: line.reason,
            last_status_code: line.last_status_code,
            next_attempt_at: line.next_attempt_at,
            created_at: line.created_at,
            finished_at: line.finished_at,
            first_succeeded_at: time(row.first_succeeded_at),
            overtaken: row.overtaken,
            payload,
            attempts: detail.attempts.iter().map(AttemptBody::from).collect(),
        }
    }
}

impl<'a> From<&'a Attempt> for AttemptBody<'a> {
    fn from(attempt: &'a Attempt) -> Self {
        let error = attempt.error.as_ref();
        Self {
            id: attempt.id.to_string(),
            run: attempt.run,
            number: attempt.number,
            started_at: attempt.started_at.rfc3339(),
            duration_ms: u32::try_from(attempt.duration.as_micros()).map_or(f64::MAX, f64::from) / 1_000.0,
            status_code: attempt.status_code,
            error: error.map(|(kind, detail)| ErrorBody { kind: kind.as_str(), detail }),
            remote_address: attempt.remote_address.map(|address| address.to_string()),
            request_headers: &attempt.request_headers,
            response_headers: &attempt.response_headers,
            response_body: &attempt.response_body,
            trigger: attempt.trigger.as_str(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Kind;

    fn read(query: &str) -> Result<LogFilter, Kind> {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        filter(Query::of(&uri).map_err(|p| p.kind())?, "acme").map_err(|p| p.kind())
    }

    #[test]
    fn abuse_a13_a14_filters_that_make_no_sense_are_refused() {
        let good = read(
            "status=failed&type=card.frozen&endpoint=ep_1&key=a%20b&event=e1&since=2025-01-01T00:00:00Z",
        );
        assert_eq!(good.unwrap().key.as_deref(), Some("a b"));
        assert!(read("since=2025-01-01T00:00:00Z&until=2025-01-01T00:00:00Z").is_ok());
        for bad in [
            "status=done",
            "status=",
            "type=card..x",
            "type=*",
            "endpoint=",
            "key=",
            "since=2025-01-01",
            "since=2025-01-02T00:00:00Z&until=2025-01-01T00:00:00Z",
            "until=99999-01-01T00:00:00Z",
            "since=0000-01-01T00:00:00Z",
            "limit=0",
            "cursor=x",
            "subject=card_1",
            "status=failed&status=pending",
        ] {
            assert_eq!(read(bad).err(), Some(Kind::Invalid), "{bad}");
        }
    }

    #[test]
    fn a_cursor_leads_to_the_position_it_was_made_of() {
        let cursor = cursor::write(List::Deliveries, "acme", &77_u64.to_be_bytes());
        assert_eq!(read(&format!("cursor={cursor}")).unwrap().before, Some(Position(77)));
        let elsewhere = cursor::write(List::Deliveries, "acme2", &77_u64.to_be_bytes());
        assert_eq!(read(&format!("cursor={elsewhere}")).err(), Some(Kind::Invalid));
    }
}
