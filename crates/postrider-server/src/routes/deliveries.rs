//! Deliveries: the log, one delivery with its attempts, retry and cancel.

use std::collections::BTreeMap;

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use postrider_core::id::{IdKind, PublicId};
use postrider_core::record::Status;
use postrider_core::time::Timestamp;
use postrider_core::token::Scope;
use postrider_engine::log::{Attempt, Delivery, DeliveryDetail, LogFilter, LogPage};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::path::Path;
use super::{Page, json, nothing};
use crate::app::App;
use crate::auth::Caller;
use crate::cursor::{self, List};
use crate::openapi::Overloaded;
use crate::problem::Problem;
use crate::query::Query;
use crate::{schema, view};

/// A line of the delivery log.
#[derive(Serialize, ToSchema)]
#[schema(as = Delivery, examples(json!({
    "id": "dlv_01m7yvxg0je008kg00000008ac", "tenant": "acme", "event": "evt_01m7yvxg0je008kg00000007et",
    "endpoint": "ep_01m7yvxdkne5hr0mvpeyw4b0w2", "type": "card.transaction.authorized", "key": "card-f9e8d7c6",
    "sequence": 4_711, "status": "pending", "reason": null,
    "attempts": 3, "last_status_code": 500, "next_attempt_at": "2026-11-21T11:06:59.425Z",
    "created_at": "2026-11-21T10:54:59.090Z", "finished_at": null
})))]
pub(super) struct DeliveryBody<'a> {
    /// Its id.
    #[schema(value_type = schema::DeliveryId)]
    id: String,
    /// Whose it is.
    #[schema(value_type = schema::TenantId)]
    tenant: &'a str,
    /// The event's id.
    #[schema(value_type = schema::EventId)]
    event: String,
    /// The endpoint's id.
    #[schema(value_type = schema::EndpointId)]
    endpoint: &'a str,
    /// The event type.
    #[serde(rename = "type")]
    #[schema(value_type = schema::TypeName)]
    event_type: &'a str,
    /// The ordering key.
    #[schema(required, value_type = Option<schema::OrderingKey>)]
    key: Option<&'a str>,
    /// What the event is about; absent unless it was published with a subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::SubjectId)]
    subject: Option<&'a str>,
    /// From when on nobody wants the event; absent unless it was published with an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Time)]
    expires_at: Option<String>,
    /// The endpoint's gapless number for it; null for a test.
    #[schema(required, minimum = 1)]
    sequence: Option<u64>,
    /// What became of it.
    #[schema(value_type = schema::Status)]
    status: &'static str,
    /// Why it failed, was cancelled or skipped.
    #[schema(required, value_type = Option<schema::Reason>)]
    reason: Option<&'static str>,
    /// Attempts made, over all runs.
    attempts: u32,
    /// The status code of the last answer.
    #[schema(required, minimum = 100, maximum = 999)]
    last_status_code: Option<u16>,
    /// When it is tried next, if a time is set.
    #[schema(required, value_type = Option<schema::Time>)]
    next_attempt_at: Option<String>,
    /// When it was accepted.
    #[schema(value_type = schema::Time)]
    created_at: String,
    /// When it got its verdict.
    #[schema(required, value_type = Option<schema::Time>)]
    finished_at: Option<String>,
}

/// One delivery with the payload as sent and every attempt.
#[derive(Serialize, ToSchema)]
#[schema(as = DeliveryDetail, examples(json!({
    "id": "dlv_01m7yvxg0je008kg00000008ac", "tenant": "acme", "event": "evt_01m7yvxg0je008kg00000007et",
    "endpoint": "ep_01m7yvxdkne5hr0mvpeyw4b0w2", "type": "card.transaction.authorized", "key": "card-f9e8d7c6",
    "sequence": 4_711, "status": "pending", "reason": null,
    "last_status_code": 500, "next_attempt_at": "2026-11-21T11:06:59.425Z",
    "created_at": "2026-11-21T10:54:59.090Z", "finished_at": null,
    "first_succeeded_at": null,
    "payload": {"type": "card.transaction.authorized", "timestamp": "2026-11-21T10:54:58.031Z", "data": {"amount": 42.50}},
    "attempts": [{
        "id": "att_01m7yvxg0je018kg00000008pt", "run": 0, "number": 1, "started_at": "2026-11-21T10:54:59.094Z",
        "duration_ms": 2.152, "status_code": 500, "error": {"kind": "status", "detail": "the receiver answered 500"},
        "remote_address": "203.0.113.7",
        "request_headers": {"webhook-id": "evt_01m7yvxg0je008kg00000007et", "webhook-signature": "***"},
        "response_headers": {"content-length": "5"}, "response_body": "sorry", "trigger": "schedule"
    }]
})))]
pub(super) struct DetailBody<'a> {
    /// Its id.
    #[schema(value_type = schema::DeliveryId)]
    id: String,
    /// Whose it is.
    #[schema(value_type = schema::TenantId)]
    tenant: &'a str,
    /// The event's id.
    #[schema(value_type = schema::EventId)]
    event: String,
    /// The endpoint's id.
    #[schema(value_type = schema::EndpointId)]
    endpoint: &'a str,
    /// The event type.
    #[serde(rename = "type")]
    #[schema(value_type = schema::TypeName)]
    event_type: &'a str,
    /// The ordering key.
    #[schema(required, value_type = Option<schema::OrderingKey>)]
    key: Option<&'a str>,
    /// What the event is about; absent unless it was published with a subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::SubjectId)]
    subject: Option<&'a str>,
    /// From when on nobody wants the event; absent unless it was published with an end.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::Time)]
    expires_at: Option<String>,
    /// The endpoint's gapless number for it; null for a test.
    #[schema(required, minimum = 1)]
    sequence: Option<u64>,
    /// What became of it.
    #[schema(value_type = schema::Status)]
    status: &'static str,
    /// Why it failed, was cancelled or skipped.
    #[schema(required, value_type = Option<schema::Reason>)]
    reason: Option<&'static str>,
    /// The status code of the last answer.
    #[schema(required, minimum = 100, maximum = 999)]
    last_status_code: Option<u16>,
    /// When it is tried next, if a time is set.
    #[schema(required, value_type = Option<schema::Time>)]
    next_attempt_at: Option<String>,
    /// When it was accepted.
    #[schema(value_type = schema::Time)]
    created_at: String,
    /// When it got its verdict.
    #[schema(required, value_type = Option<schema::Time>)]
    finished_at: Option<String>,
    /// When it was first acknowledged, also if a later run failed.
    #[schema(required, value_type = Option<schema::Time>)]
    first_succeeded_at: Option<String>,
    /// Whether successors of its ordering key went past it; absent where not.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    overtaken: bool,
    /// The body as sent.
    #[schema(value_type = serde_json::Value)]
    payload: &'a RawValue,
    /// The attempts, oldest first, at most the last 1,000.
    #[schema(max_items = 1_000)]
    attempts: Vec<AttemptBody<'a>>,
}

/// One HTTP request made for a delivery, and what came back.
#[derive(Serialize, ToSchema)]
#[schema(as = Attempt)]
pub(super) struct AttemptBody<'a> {
    /// Its id.
    #[schema(value_type = schema::AttemptId)]
    id: String,
    /// Which passage through the schedule, from 0.
    run: u16,
    /// Which attempt of the delivery, from 1, over all runs.
    number: u32,
    /// When it began.
    #[schema(value_type = schema::Time)]
    started_at: String,
    /// How long it took, in milliseconds.
    duration_ms: f64,
    /// The status code of the answer, if one came.
    #[schema(required, minimum = 100, maximum = 999)]
    status_code: Option<u16>,
    /// What went wrong; null for a success.
    #[schema(required)]
    error: Option<ErrorBody<'a>>,
    /// The address that was connected to.
    #[schema(required, examples("203.0.113.7"))]
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
    #[schema(value_type = schema::FailureKind)]
    kind: &'static str,
    /// What happened, in a sentence.
    detail: &'a str,
}

/// List a tenant's deliveries and the tests of its endpoints, newest first.
///
/// Tests have no sequence, key or subject, and are of no event: a filter by one of these finds none.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/deliveries", tag = "deliveries", operation_id = "listDeliveries",
    security(("token" = ["webhook-events-read"])),
    params(schema::InTenant, schema::DeliveryQuery, schema::Paging), responses(
    (status = 200, description = "A page of the log", body = Page<DeliveryBody>),
    Overloaded,
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhookEventsRead)?;
    let mut query = Query::of(&uri)?;
    let filter = filter(&mut query, List::Deliveries, tenant.id.as_str());
    query.finish()?;
    let page = app.engine().log(LogFilter { tenant: Some(tenant.no), ..filter }).await?;
    Ok(listed(&page, List::Deliveries, tenant.id.as_str()))
}

/// List deliveries and tests over all tenants, newest first.
///
/// Keys, subjects and publishers' own event ids are a tenant's own: to look for one, name the tenant too.
#[utoipa::path(get, path = "/v1/deliveries", tag = "deliveries", operation_id = "listAllDeliveries",
    security(("token" = ["admin"])),
    params(schema::OfTenant, schema::DeliveryQuery, schema::Paging), responses(
    (status = 200, description = "A page of the log", body = Page<DeliveryBody>),
    Overloaded,
))]
pub(super) async fn list_all(State(app): State<App>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    let mut query = Query::of(&uri)?;
    let tenant = query.name("tenant");
    let owner = tenant.as_deref().unwrap_or("");
    let filter = filter(&mut query, List::AllDeliveries, owner);
    if tenant.is_none() {
        let ours = |id: &String| PublicId::parse(IdKind::Event, id).is_ok();
        for (name, is_own) in [
            ("key", filter.key.is_some()),
            ("subject", filter.subject.is_some()),
            ("event", filter.event.as_ref().is_some_and(|id| !ours(id))),
        ] {
            if is_own {
                query.fault(name, "is known of one tenant at a time: name the tenant too");
            }
        }
    }
    query.finish()?;
    let page = match &tenant {
        None => app.engine().log(filter).await?,
        Some(id) => match app.engine().tenant_no(id) {
            Some(no) => app.engine().log(LogFilter { tenant: Some(no), ..filter }).await?,
            // What nobody has gets nothing.
            None => LogPage::default(),
        },
    };
    Ok(listed(&page, List::AllDeliveries, owner))
}

fn listed(page: &LogPage, list: List, owner: &str) -> Response {
    let next_cursor = page.next.map(|next| cursor::before(list, owner, next));
    let data: Vec<_> = page.rows.iter().map(DeliveryBody::from).collect();
    json(StatusCode::OK, &Page { data, next_cursor })
}

/// Read one delivery with its attempts: what was sent, when, and what came back.
///
/// The payload is rendered as it was sent; credentials and signatures in the headers are masked.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/deliveries/{id}", tag = "deliveries", operation_id = "getDelivery",
    security(("token" = ["webhook-events-read"])),
    params(schema::InTenant, schema::OfDelivery), responses(
    (status = 200, description = "The delivery", body = DetailBody),
    Overloaded,
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
    Ok(json(StatusCode::OK, &DetailBody::from(&detail)))
}

/// Try a delivery again, at once.
///
/// One that is pending is attempted now, whatever its schedule and the endpoint's circuit; one that has ended begins a new run, also
/// where it has succeeded. Id and sequence stay.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/deliveries/{id}/retry", tag = "deliveries", operation_id = "retryDelivery",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfDelivery), responses(
    (status = 202, description = "It is pending again, which is durable"),
    (status = 409, description = "It cannot be tried now: its endpoint is disabled or paused, the event has expired, or another \
        delivery of its ordering key comes first."),
    Overloaded,
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

/// Withdraw a pending delivery: no attempt is made for it any more.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/deliveries/{id}/cancel", tag = "deliveries", operation_id = "cancelDelivery",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfDelivery), responses(
    (status = 204, description = "It is withdrawn, which is durable"),
    (status = 409, description = "It has ended, or is being attempted right now."),
    Overloaded,
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

/// Reads which deliveries are asked for; the tenant is not among it.
fn filter(query: &mut Query, list: List, owner: &str) -> LogFilter {
    let status = query.take("status", |text| {
        Status::parse(text).ok_or_else(|| {
            let names: Vec<_> = Status::ALL.iter().map(|status| status.as_str()).collect();
            format!("must be one of {}", names.join(", ")).into()
        })
    });
    let event_type = query.event_type();
    let endpoint = query.name("endpoint");
    let (key, subject, event) = (query.name("key"), query.name("subject"), query.name("event"));
    let (since, until) = query.window();
    let page = query.page(list, owner);
    let (before, limit) = (page.before(), page.limit);
    LogFilter { tenant: None, endpoint, status, event_type, key, subject, event, since, until, before, limit }
}

pub(super) fn time(at: Option<Timestamp>) -> Option<String> {
    at.map(Timestamp::rfc3339)
}

impl<'a> From<&'a Delivery> for DeliveryBody<'a> {
    fn from(row: &'a Delivery) -> Self {
        Self {
            id: row.id.to_string(),
            tenant: &row.tenant,
            event: row.event.id(),
            endpoint: &row.endpoint,
            event_type: &row.event.event_type,
            key: row.event.key.as_deref(),
            subject: row.event.subject.as_deref(),
            expires_at: time(row.event.expires_at),
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

impl<'a> From<&'a DeliveryDetail> for DetailBody<'a> {
    fn from(detail: &'a DeliveryDetail) -> Self {
        let row = &detail.delivery;
        let line = DeliveryBody::from(row);
        Self {
            id: line.id,
            tenant: line.tenant,
            event: line.event,
            endpoint: line.endpoint,
            event_type: line.event_type,
            key: line.key,
            subject: line.subject,
            expires_at: line.expires_at,
            sequence: line.sequence,
            status: line.status,
            reason: line.reason,
            last_status_code: line.last_status_code,
            next_attempt_at: line.next_attempt_at,
            created_at: line.created_at,
            finished_at: line.finished_at,
            first_succeeded_at: time(row.first_succeeded_at),
            overtaken: row.overtaken,
            payload: view::raw(&detail.payload),
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
    use postrider_core::id::Position;

    use super::*;
    use crate::problem::Kind;

    fn read(query: &str) -> Result<LogFilter, Kind> {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        let mut query = Query::of(&uri).map_err(|p| p.kind())?;
        let filter = filter(&mut query, List::Deliveries, "acme");
        query.finish().map(|()| filter).map_err(|p| p.kind())
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
            "subject=",
            "tenant=acme",
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
