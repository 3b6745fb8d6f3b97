//! Events as they are looked up: a tenant's list, and one event with its data and the verdict of each endpoint.

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use postrider_core::record::Event;
use postrider_core::token::Scope;
use postrider_engine::events::{EventDetail, EventFilter};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::deliveries::{DeliveryBody, time};
use super::path::Path;
use super::{Page, json};
use crate::app::App;
use crate::auth::Caller;
use crate::cursor::{self, List};
use crate::openapi::Overloaded;
use crate::problem::Problem;
use crate::query::Query;
use crate::{schema, view};

/// An event in a list.
#[derive(Serialize, ToSchema)]
#[schema(as = Event, examples(json!({
    "id": "evt_01m7yvxg0je008kg00000007et", "tenant": "acme", "type": "card.transaction.authorized", "key": "card-f9e8d7c6",
    "subject": null, "attributes": {"country": "SE"}, "occurred_at": "2026-11-21T10:54:58.031Z",
    "created_at": "2026-11-21T10:54:59.090Z", "expires_at": null, "deliveries": 1
})))]
pub(super) struct EventBody<'a> {
    /// Its id.
    #[schema(value_type = schema::EventId)]
    id: String,
    /// Whose it is.
    #[schema(value_type = schema::TenantId)]
    tenant: &'a str,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(value_type = schema::TypeName)]
    event_type: &'a str,
    /// The ordering key.
    #[schema(required, value_type = Option<schema::OrderingKey>)]
    key: Option<&'a str>,
    /// What it is about.
    #[schema(required, value_type = Option<schema::SubjectId>)]
    subject: Option<&'a str>,
    /// What is told about it, as it was published.
    #[schema(value_type = schema::Attributes)]
    attributes: &'a RawValue,
    /// When it happened.
    #[schema(value_type = schema::Time)]
    occurred_at: String,
    /// When it was accepted.
    #[schema(value_type = schema::Time)]
    created_at: String,
    /// From when on nobody wants it.
    #[schema(required, value_type = Option<schema::Time>)]
    expires_at: Option<String>,
    /// How many deliveries it owed when it was accepted, as its receipt said: skipped ones are not counted.
    deliveries: usize,
}

/// One event with its data and its deliveries.
#[derive(Serialize, ToSchema)]
#[schema(as = EventDetail, examples(json!({
    "id": "evt_01m7yvxg0je008kg00000007et", "tenant": "acme", "type": "card.transaction.authorized", "key": "card-f9e8d7c6",
    "subject": null, "attributes": {"country": "SE"}, "occurred_at": "2026-11-21T10:54:58.031Z",
    "created_at": "2026-11-21T10:54:59.090Z", "expires_at": null, "data": {"amount": 42.50, "currency": "USD"},
    "deliveries": [{
        "id": "dlv_01m7yvxg0je008kg00000008ac", "tenant": "acme", "event": "evt_01m7yvxg0je008kg00000007et",
        "endpoint": "ep_01m7yvxdkne5hr0mvpeyw4b0w2", "type": "card.transaction.authorized", "key": "card-f9e8d7c6",
        "sequence": 4_711, "status": "succeeded", "reason": null, "attempts": 1, "last_status_code": 200,
        "next_attempt_at": null, "created_at": "2026-11-21T10:54:59.090Z", "finished_at": "2026-11-21T10:54:59.114Z"
    }],
    "more": null
})))]
pub(super) struct DetailBody<'a> {
    /// Its id.
    #[schema(value_type = schema::EventId)]
    id: String,
    /// Whose it is.
    #[schema(value_type = schema::TenantId)]
    tenant: &'a str,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(value_type = schema::TypeName)]
    event_type: &'a str,
    /// The ordering key.
    #[schema(required, value_type = Option<schema::OrderingKey>)]
    key: Option<&'a str>,
    /// What it is about.
    #[schema(required, value_type = Option<schema::SubjectId>)]
    subject: Option<&'a str>,
    /// What is told about it, as it was published.
    #[schema(value_type = schema::Attributes)]
    attributes: &'a RawValue,
    /// When it happened.
    #[schema(value_type = schema::Time)]
    occurred_at: String,
    /// When it was accepted.
    #[schema(value_type = schema::Time)]
    created_at: String,
    /// From when on nobody wants it.
    #[schema(required, value_type = Option<schema::Time>)]
    expires_at: Option<String>,
    /// What happened, byte for byte as it was published.
    #[schema(value_type = serde_json::Value)]
    data: &'a RawValue,
    /// Its deliveries as the log tells them, newest first: one for each endpoint that subscribed to it, skipped ones too; at
    /// most 1,000.
    #[schema(max_items = 1_000)]
    deliveries: Vec<DeliveryBody<'a>>,
    /// Where there are more deliveries: the path of the list that goes on behind these.
    #[schema(required)]
    more: Option<String>,
}

/// List a tenant's events, newest first.
///
/// All conditions hold at once. By id, key or subject events are looked up; a type is found by reading on, at most 5,000 events a
/// page, so that a page may be short, or empty, and still have a next one.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events", tag = "events", operation_id = "listEvents",
    security(("token" = ["events-read"])),
    params(schema::InTenant, schema::EventQuery, schema::Paging), responses(
    (status = 200, description = "A page of events", body = Page<EventBody>),
    Overloaded,
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::EventsRead)?;
    let owner = tenant.id.as_str();
    let mut query = Query::of(&uri)?;
    let filter = filter(&mut query, owner);
    query.finish()?;
    let page = app.engine().events(tenant.no, filter).await?;
    let next_cursor = page.next.map(|next| cursor::before(List::Events, owner, next));
    let data: Vec<_> = page.rows.iter().map(|row| EventBody::of(&row.event, owner, row.deliveries)).collect();
    Ok(json(StatusCode::OK, &Page { data, next_cursor }))
}

/// Read one event, by the publisher's own id or by ours, with the verdict of each endpoint.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/events/{id}", tag = "events", operation_id = "getEvent",
    security(("token" = ["events-read"])),
    params(schema::InTenant, schema::OfEvent), responses(
    (status = 200, description = "The event", body = DetailBody),
    Overloaded,
))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::EventsRead)?;
    Query::none(&uri)?;
    let detail = app.engine().event(tenant.no, &id).await?;
    Ok(json(StatusCode::OK, &DetailBody::of(&detail, tenant.id.as_str())))
}

/// Reads which events are asked for.
fn filter(query: &mut Query, tenant: &str) -> EventFilter {
    let (id, event_type) = (query.name("id"), query.event_type());
    let (key, subject) = (query.name("key"), query.name("subject"));
    let (since, until) = query.window();
    let page = query.page(List::Events, tenant);
    EventFilter { id, event_type, key, subject, since, until, before: page.before(), limit: page.limit }
}

impl<'a> EventBody<'a> {
    fn of(event: &'a Event, tenant: &'a str, deliveries: usize) -> Self {
        Self {
            id: event.id(),
            tenant,
            event_type: &event.event_type,
            key: event.key.as_deref(),
            subject: event.subject.as_deref(),
            attributes: view::attributes(event),
            occurred_at: event.occurred_at.rfc3339(),
            created_at: event.accepted_at.rfc3339(),
            expires_at: time(event.expires_at),
            deliveries,
        }
    }
}

impl<'a> DetailBody<'a> {
    fn of(detail: &'a EventDetail, tenant: &'a str) -> Self {
        let line = EventBody::of(&detail.event, tenant, detail.deliveries.len());
        let more = detail.next.map(|next| {
            let cursor = cursor::before(List::Deliveries, tenant, next);
            // Neither a tenant's nor an event's id has a character that an address would have to escape.
            format!("/v1/tenants/{tenant}/deliveries?event={}&cursor={cursor}", line.id)
        });
        Self {
            id: line.id,
            tenant,
            event_type: line.event_type,
            key: line.key,
            subject: line.subject,
            attributes: line.attributes,
            occurred_at: line.occurred_at,
            created_at: line.created_at,
            expires_at: line.expires_at,
            data: view::raw(&detail.event.data),
            deliveries: detail.deliveries.iter().map(DeliveryBody::from).collect(),
            more,
        }
    }
}

#[cfg(test)]
mod tests {
    use postrider_core::id::Position;

    use super::*;
    use crate::problem::Kind;

    fn read(query: &str) -> Result<EventFilter, Kind> {
        let uri: Uri = format!("/x?{query}").parse().unwrap();
        let mut query = Query::of(&uri).map_err(|p| p.kind())?;
        let filter = filter(&mut query, "acme");
        query.finish().map(|()| filter).map_err(|p| p.kind())
    }

    #[test]
    fn abuse_a13_a14_questions_for_events_that_make_no_sense_are_refused() {
        let good =
            read("id=e1&type=card.frozen&key=a%20b&subject=s&since=2025-01-01T00:00:00Z&limit=3").unwrap();
        assert_eq!((good.id.as_deref(), good.key.as_deref(), good.limit), (Some("e1"), Some("a b"), 3));
        let own = cursor::before(List::Events, "acme", Position(77));
        assert_eq!(read(&format!("cursor={own}")).unwrap().before, Some(Position(77)));
        let foreign = cursor::before(List::Events, "acme2", Position(77));
        let of_deliveries = cursor::before(List::Deliveries, "acme", Position(77));
        for bad in [
            "id=",
            "type=*",
            "key=",
            "subject=",
            "status=failed",
            "endpoint=ep_1",
            "since=2025-01-02T00:00:00Z&until=2025-01-01T00:00:00Z",
            "until=99999-01-01T00:00:00Z",
            "limit=0",
            &format!("cursor={foreign}"),
            &format!("cursor={of_deliveries}"),
        ] {
            assert_eq!(read(bad).err(), Some(Kind::Invalid), "{bad}");
        }
    }
}
