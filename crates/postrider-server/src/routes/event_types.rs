//! Event types: the catalogue of each profile.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use bytes::Bytes;
use http::{Request, StatusCode, Uri};
use postrider_core::event_type::EventTypeConfig;
use postrider_core::json;
use postrider_core::profile::{ProfileName, STANDARD};
use postrider_core::subscription::is_type_name;
use postrider_core::time::Timestamp;
use postrider_core::token::Scope;
use postrider_engine::EventType;
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::path::Path;
use super::{Page, json as answer, nothing};
use crate::app::App;
use crate::auth::Caller;
use crate::cursor::{self, List};
use crate::openapi::Overloaded;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::{body, schema, view};

/// Bytes of a page, roughly: one that would be longer ends before.
const MAX_PAGE_BYTES: usize = 4 << 20;

/// An event type as read back.
#[derive(Serialize, ToSchema)]
#[schema(as = EventType, examples(json!({
    "type": "card.transaction.authorized", "profile": "standard", "description": "A card was used",
    "schema": {"type": "object", "required": ["amount"]}, "example": {"amount": 42.50}, "integrations": [],
    "kind": "notification", "bundled": false, "created_at": "2026-11-21T10:54:56.310Z", "updated_at": "2026-11-21T10:54:56.310Z"
})))]
pub(super) struct EventTypeBody<'a> {
    /// Its name.
    #[serde(rename = "type")]
    #[schema(value_type = schema::TypeName)]
    name: &'a str,
    /// Whose catalogue it is in.
    #[schema(value_type = schema::Profile)]
    profile: &'a str,
    /// What happened when such an event comes.
    #[schema(required, value_type = Option<schema::Description>)]
    description: Option<&'a str>,
    /// The JSON Schema that its data must fit, as it was given.
    #[schema(required, value_type = Option<serde_json::Value>)]
    schema: Option<&'a RawValue>,
    /// Data as it may be, as it was given.
    #[schema(required, value_type = Option<serde_json::Value>)]
    example: Option<&'a RawValue>,
    /// The integrations that may subscribe to it; empty for all.
    #[schema(value_type = Vec<schema::Integration>)]
    integrations: &'a [Box<str>],
    #[schema(value_type = schema::EventKind)]
    kind: &'static str,
    /// Whether its profile brings it with it: then it is not changed and not removed.
    bundled: bool,
    /// When it was made; null for one that is bundled.
    #[schema(required, value_type = Option<schema::Time>)]
    created_at: Option<String>,
    /// When it was last changed; null for one that is bundled.
    #[schema(required, value_type = Option<schema::Time>)]
    updated_at: Option<String>,
}

impl<'a> EventTypeBody<'a> {
    fn of(profile: &'a ProfileName, event_type: &'a EventType) -> Self {
        let raw = |text: &'a [u8]| serde_json::from_slice(text).ok();
        let config = &event_type.config;
        Self {
            name: &event_type.name,
            profile: profile.as_str(),
            description: config.description.as_deref(),
            schema: config.schema.as_ref().and_then(|schema| raw(schema.text())),
            example: config.example.as_deref().and_then(raw),
            integrations: &config.integrations,
            kind: config.kind.as_str(),
            bundled: event_type.is_bundled(),
            created_at: event_type.created_at.map(Timestamp::rfc3339),
            updated_at: event_type.updated_at.map(Timestamp::rfc3339),
        }
    }
}

/// Register an event type, or replace what is said of it.
///
/// The schema is JSON Schema 2020-12 and stands alone: a reference that leads out of it is an error, and nothing is
/// fetched. Events of the type whose data does not fit are refused from then on. `format` is an annotation and checks
/// nothing. Patterns take linear time, without look-around and references back. Types that a profile brings with it stay as
/// they are: 409.
#[utoipa::path(put, path = "/v1/event-types/{type}", tag = "event types", operation_id = "putEventType",
    security(("token" = ["admin"])),
    request_body = schema::EventTypeSpec,
    params(schema::OfType, schema::OfProfile), responses(
    (status = 200, body = EventTypeBody, description = "Replaced"),
    (status = 201, body = EventTypeBody, description = "Made"),
    Overloaded,
))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    let profile = profile(&app, Query::of(request.uri())?)?;
    let body = body::document(request).await?;
    if !is_type_name(&name) {
        return Err(Problem::fault("/type", "must be an event type such as card.frozen"));
    }
    let (event_type, made) = app.engine().put_event_type(&profile, &name, read(body).await?).await?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, &EventTypeBody::of(&profile, &event_type)))
}

/// Reads what is said of a type, on a thread that may take its time: schemas are compiled.
async fn read(body: Bytes) -> Result<EventTypeConfig, Problem> {
    let read = tokio::task::spawn_blocking(move || EventTypeConfig::parse(json::utf8(&body)?));
    let read = read.await.map_err(|error| {
        tracing::error!(%error, "an event type could not be read");
        Problem::new(Kind::Internal, "the server's log has the details")
    });
    Ok(read??)
}

/// Whose catalogue a call is about: `profile`, which is its only parameter.
fn profile(app: &App, mut query: Query) -> Result<ProfileName, Problem> {
    let profile = query.take("profile", |text| app.engine().profiles().name(text));
    query.finish()?;
    Ok(profile.unwrap_or_default())
}

/// What tells the cursors of catalogues apart; nothing for the one that had none yet.
fn cursor_of(profile: &ProfileName) -> &str {
    if profile.as_str() == STANDARD { "" } else { profile.as_str() }
}

/// Read an event type. Any token may.
#[utoipa::path(get, path = "/v1/event-types/{type}", tag = "event types", operation_id = "getEventType",
    security(("token" = [])),
    params(schema::OfType, schema::OfProfile), responses(
    (status = 200, description = "The event type", body = EventTypeBody),
))]
pub(super) async fn get(
    State(app): State<App>,
    _: Caller,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let profile = profile(&app, Query::of(&uri)?)?;
    let event_type = app.engine().event_type(&profile, &name);
    let event_type = event_type.ok_or_else(|| Problem::not_found("the event type"))?;
    Ok(answer(StatusCode::OK, &EventTypeBody::of(&profile, &event_type)))
}

/// Remove an event type with its schema. Its events are still accepted, unless its profile's catalogue is closed.
#[utoipa::path(delete, path = "/v1/event-types/{type}", tag = "event types", operation_id = "deleteEventType",
    security(("token" = ["admin"])),
    params(schema::OfType, schema::OfProfile), responses(
    (status = 204, description = "It is removed"),
    Overloaded,
))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(name): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    let profile = profile(&app, Query::of(&uri)?)?;
    app.engine().delete_event_type(&profile, &name).await?;
    Ok(nothing())
}

/// List the event types of a profile by name. Any token may.
#[utoipa::path(get, path = "/v1/event-types", tag = "event types", operation_id = "listEventTypes",
    security(("token" = [])),
    params(schema::Paging, schema::OfProfile), responses(
    (status = 200, description = "A page of event types", body = Page<EventTypeBody>),
))]
pub(super) async fn list(State(app): State<App>, _: Caller, uri: Uri) -> Result<Response, Problem> {
    let mut query = Query::of(&uri)?;
    let profile = query.take("profile", |text| app.engine().profiles().name(text)).unwrap_or_default();
    let page = query.page(List::EventTypes, cursor_of(&profile));
    query.finish()?;
    let event_types = app.engine().event_types_after(&profile, page.after_text(), page.limit + 1);
    let mut room = MAX_PAGE_BYTES;
    let fitting = event_types.iter().take_while(|event_type| {
        let before = room;
        room = room.saturating_sub(event_type.bytes());
        before > 0
    });
    let limit = page.limit.min(fitting.count());
    let next_cursor = view::next(&event_types, limit, |last| {
        cursor::write(List::EventTypes, cursor_of(&profile), last.name.as_bytes())
    });
    let data: Vec<_> =
        event_types.iter().take(limit).map(|event_type| EventTypeBody::of(&profile, event_type)).collect();
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}
