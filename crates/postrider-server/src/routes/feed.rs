//! The feed of an endpoint: everything it is owed, by sequence; whoever has all of it may wait for more.

use std::time::{Duration, Instant};

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use postrider_core::id::Position;
use postrider_core::token::Scope;
use postrider_engine::{FeedEntry, FeedPage, Tenant};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::json;
use super::path::Path;
use crate::app::App;
use crate::auth::Caller;
use crate::openapi::Overloaded;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::{schema, view};

/// The longest that a caller may wait, in seconds.
const MAX_WAIT: u64 = 30;
/// How often a caller who waits is looked at: whether it still may, and whether what it waits for is still there.
const LOOK_EVERY: Duration = Duration::from_millis(250);

/// A part of a feed.
#[derive(Serialize, ToSchema)]
#[schema(as = Feed, examples(json!({
    "data": [{
        "sequence": 4_711, "delivery": "dlv_01m7yvxg0je008kg00000008ac", "status": "pending",
        "event": {
            "id": "evt_01m7yvxg0je008kg00000007et", "type": "card.transaction.authorized",
            "occurred_at": "2026-11-21T10:54:58.031Z", "key": "card-f9e8d7c6", "attributes": {"country": "SE"},
            "data": {"amount": 42.50, "currency": "USD"}
        }
    }],
    "last_sequence": 4_711
})))]
pub(super) struct FeedBody<'a> {
    /// What comes after the sequence that was asked for, oldest first: what retention has removed is not there. It goes on
    /// after the last of these; empty when there is nothing further.
    #[schema(max_items = 250)]
    data: Vec<EntryBody<'a>>,
    /// The last sequence that the endpoint was given: whoever has come to it has everything.
    last_sequence: u64,
}

/// A delivery in a feed.
#[derive(Serialize, ToSchema)]
#[schema(as = FeedEntry)]
pub(super) struct EntryBody<'a> {
    /// The endpoint's gapless number for it.
    #[schema(minimum = 1)]
    sequence: u64,
    /// The delivery's id.
    #[schema(value_type = schema::DeliveryId)]
    delivery: String,
    /// What has become of it so far.
    #[schema(value_type = schema::Status)]
    status: &'static str,
    /// What is delivered.
    event: EventBody<'a>,
}

/// An event in a feed.
#[derive(Serialize, ToSchema)]
#[schema(as = FeedEvent)]
pub(super) struct EventBody<'a> {
    /// Its id, as deliveries carry it in `webhook-id`.
    #[schema(value_type = schema::EventId)]
    id: String,
    /// Its type.
    #[serde(rename = "type")]
    #[schema(value_type = schema::TypeName)]
    event_type: &'a str,
    /// When it happened.
    #[schema(value_type = schema::Time)]
    occurred_at: String,
    /// The ordering key.
    #[schema(required, value_type = Option<schema::OrderingKey>)]
    key: Option<&'a str>,
    /// What it is about; absent unless it was published with a subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(value_type = schema::SubjectId)]
    subject: Option<&'a str>,
    /// What is told about it, as it was published.
    #[schema(value_type = schema::Attributes)]
    attributes: &'a RawValue,
    /// What happened, byte for byte as it was published.
    #[schema(value_type = serde_json::Value)]
    data: &'a RawValue,
}

/// What is asked for.
#[derive(Debug)]
struct Asked {
    after: u64,
    limit: usize,
    wait: Duration,
}

impl Asked {
    fn read(uri: &Uri) -> Result<Self, Problem> {
        let mut query = Query::of(uri)?;
        let after = query.number("after", 0..=Position::MAX.0).unwrap_or(0);
        let limit = query.limit();
        let wait = Duration::from_secs(query.number("wait_s", 0..=MAX_WAIT).unwrap_or(0));
        query.finish()?;
        Ok(Self { after, limit, wait })
    }
}

/// Read what an endpoint is owed, by sequence, whatever its state and that of the deliveries.
///
/// With `wait_s` an answer that would be empty is waited for: until there is something, or the time is over. Where more than 16
/// wait for an endpoint or 64 for those of a tenant, it is given at once.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/endpoints/{id}/feed", tag = "endpoints", operation_id = "readFeed",
    security(("token" = ["webhook-events-read"])),
    params(schema::InTenant, schema::OfEndpoint, schema::FeedQuery), responses(
    (status = 200, description = "What comes next; empty where there is nothing", body = FeedBody),
    Overloaded,
))]
pub(super) async fn read(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhookEventsRead)?;
    let asked = Asked::read(&uri)?;
    let mut page = app.engine().feed(tenant.no, &id, asked.after, asked.limit).await?;
    if page.entries.is_empty() && !asked.wait.is_zero() {
        page = wait(&app, &caller, &tenant, &id, &asked, page).await?;
    }
    // Megabytes are not written by those who serve others.
    let written = tokio::task::spawn_blocking(move || json(StatusCode::OK, &FeedBody::from(&page)));
    written.await.map_err(|_| Problem::new(Kind::Internal, "the server's log has the details"))
}

/// Waits until there is something, the time is over, or the server stops. Where too many wait already, what was `read` is the
/// answer.
async fn wait(
    app: &App,
    caller: &Caller,
    tenant: &Tenant,
    id: &str,
    asked: &Asked,
    read: FeedPage,
) -> Result<FeedPage, Problem> {
    let until = Instant::now() + asked.wait;
    let engine = app.engine();
    let Some(mut waiter) = engine.wait_for_feed(tenant.no, id)? else { return Ok(read) };
    loop {
        let page = engine.feed(tenant.no, id, asked.after, asked.limit).await?;
        if !page.entries.is_empty() {
            return Ok(page);
        }
        loop {
            let left = until.saturating_duration_since(Instant::now());
            if left.is_zero() || app.is_stopping() {
                return Ok(page);
            }
            tokio::select! {
                () = waiter.news() => break,
                () = tokio::time::sleep(left.min(LOOK_EVERY)) => {}
            }
            caller.still(app)?;
            engine.is_there(tenant.no, id)?;
        }
    }
}

impl<'a> From<&'a FeedPage> for FeedBody<'a> {
    fn from(page: &'a FeedPage) -> Self {
        Self { data: page.entries.iter().map(EntryBody::from).collect(), last_sequence: page.last_sequence }
    }
}

impl<'a> From<&'a FeedEntry> for EntryBody<'a> {
    fn from(entry: &'a FeedEntry) -> Self {
        let event = &entry.event;
        Self {
            sequence: entry.delivery.sequence,
            delivery: event.delivery_id(entry.delivery.position).to_string(),
            status: entry.status.as_str(),
            event: EventBody {
                id: event.id(),
                event_type: &event.event_type,
                occurred_at: event.occurred_at.rfc3339(),
                key: event.key.as_deref(),
                subject: event.subject.as_deref(),
                attributes: view::attributes(event),
                data: view::raw(&event.data),
            },
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a13_a_place_in_the_feed_is_a_sequence_and_nothing_else() {
        let read = |query: &str| Asked::read(&format!("/x?{query}").parse().unwrap()).map_err(|p| p.kind());
        let asked = read("after=7&limit=9&wait_s=30").unwrap();
        assert_eq!((asked.after, asked.limit, asked.wait), (7, 9, Duration::from_secs(30)));
        let asked = read("").unwrap();
        assert_eq!((asked.after, asked.limit, asked.wait), (0, 50, Duration::ZERO));
        // No sequence is above the last position.
        assert_eq!(read("after=17592186044415").unwrap().after, Position::MAX.0);
        for bad in [
            "after=-1",
            "after=",
            "after=1.5",
            "after=17592186044416",
            "after=18446744073709551616",
            "after=evt_1",
            "limit=0",
            "limit=251",
            "wait_s=31",
            "wait_s=-1",
            "wait_s=0.5",
            "cursor=x",
            "after=1&after=2",
        ] {
            assert_eq!(read(bad).unwrap_err(), Kind::Invalid, "{bad}");
        }
    }
}
