//! 4pay: one webhook configuration a merchant, and the log of its events.
//!
//! The paths, fields and forms of answers are those of 4pay's published documentation. Our choices: the filters of the log, and that what a
//! merchant has beside its one configuration (made through `/v1`) is left out here.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode, Uri};
use postrider_core::record::Status;
use postrider_core::subscription::Pattern;
use postrider_core::time::Timestamp;
use postrider_core::token::Scope;
use postrider_engine::error::ServiceError;
use postrider_engine::log::{Delivery, DeliveryDetail, LogFilter};
use postrider_engine::{EndpointView, Tenant};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use std::sync::Arc;
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::change::{Asked, Fields};
use super::history::{self, MAX_OFFSET};
use super::partner::{self, authorization, own_tenant, unauthorized};
use super::told::sentence;
use crate::app::App;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::query::Query;
use crate::routes::{json as answer, nothing};

pub(super) const NAME: &str = "fourpay";

/// The header that partners send their token in.
const TOKEN: &str = "x-api-token";

#[derive(OpenApi)]
#[openapi(info(
    title = "4pay's webhooks on Postrider",
    version = "2",
    description = "Webhook configuration and event log, as 4pay's merchants know them."
))]
struct Document;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi()).routes(routes!(get, put, delete)).routes(routes!(events))
}

/// Errors are `{"detail": "..."}`.
pub(super) fn written(problem: &Problem) -> (StatusCode, Value) {
    (problem.kind().status(), json!({ "detail": sentence(problem) }))
}

/// Who calls: `X-API-Token: <token>`, or `Authorization: Bearer <token>`; if both, they must be the same.
fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    const HOW: &str = "send X-API-Token with a token that is neither revoked nor expired";
    let (own, bearer) = (partner::one(headers, TOKEN)?, authorization(headers, false)?);
    let token = match (own, bearer) {
        (Some(own), Some(bearer)) if own != bearer => None,
        (own, bearer) => own.or(bearer),
    };
    // What Authorization holds beside must not be passed over.
    let foreign = bearer.is_none() && headers.contains_key(http::header::AUTHORIZATION);
    let found = token.filter(|_| !foreign).and_then(|token| Caller::with_token(app, token, None));
    found.ok_or_else(|| unauthorized(HOW))
}

fn merchant(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Arc<Tenant>, Problem> {
    own_tenant(app, &caller(app, headers)?, NAME, scope)
}

/// The id of the configuration that a merchant makes here, so that it makes one however many calls there are at once.
const ID: &str = "fourpay";

/// The merchant's one configuration: what it made here; else, of what was made through `/v1` and looks as 4pay's webhooks do, the oldest.
fn configured(app: &App, tenant: &Tenant) -> Result<Option<EndpointView>, Problem> {
    match app.engine().endpoint(tenant.no, ID) {
        Err(ServiceError::NotFound(_)) => {}
        found => return Ok(Some(found?)),
    }
    let all = app.engine().endpoints_after(tenant.no, None, usize::MAX)?;
    let alike = all.into_iter().filter(|view| view.config.profile().as_str() == NAME);
    Ok(alike.min_by_key(|view| view.endpoint.no))
}

/// A webhook configuration.
#[derive(Serialize, ToSchema)]
struct Config {
    /// Where events go.
    url: String,
    /// Whether the merchant set a secret. Without one, events are signed with the platform's own key.
    secret_set: bool,
    /// The types of event that are forwarded; null for all.
    #[schema(required)]
    event_types: Option<Vec<String>>,
    /// Whether events are forwarded. While they are not, they are kept.
    is_active: bool,
}

/// What a merchant sets.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
struct ConfigSpec {
    /// Where events go.
    url: String,
    /// What events are signed with; stays where it is absent, null or "" clears it.
    secret: Option<String>,
    /// The types of event that are forwarded; all unless given.
    event_types: Option<Vec<String>>,
    /// Whether events are forwarded; true unless given.
    is_active: Option<bool>,
}

fn shown(view: &EndpointView) -> Response {
    let policy = view.config.view();
    let text = |name: &str| policy.get(name).map(|value| serde_json::to_value(value).unwrap_or_default());
    let types: Vec<String> =
        text("event_types").and_then(|types| serde_json::from_value(types).ok()).unwrap_or_default();
    let all = types.iter().any(|pattern| pattern == &Pattern::All.to_string());
    answer(
        StatusCode::OK,
        &Config {
            url: view.config.url().to_owned(),
            secret_set: text("secret_set") == Some(Value::Bool(true)),
            event_types: (!all).then_some(types),
            is_active: text("enabled") == Some(Value::Bool(true)),
        },
    )
}

/// Read the webhook configuration.
#[utoipa::path(get, path = "/api/v2/webhooks/config", tag = "webhooks", responses(
    (status = 200, description = "The configuration", body = Config),
    (status = 404, description = "There is none"),
))]
async fn get(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let tenant = merchant(&app, &headers, Scope::WebhooksRead)?;
    configured(&app, &tenant)?.as_ref().map(shown).ok_or_else(none)
}

/// Set the webhook configuration.
#[utoipa::path(put, path = "/api/v2/webhooks/config", tag = "webhooks", request_body = ConfigSpec, responses(
    (status = 200, description = "The configuration as it is now", body = Config),
    (status = 422, description = "What is wrong with it"),
))]
async fn put(State(app): State<App>, request: Request<Body>) -> Result<Response, Problem> {
    let tenant = merchant(&app, request.headers(), Scope::WebhooksWrite)?;
    let is_type = |name: &str| app.engine().event_type(&tenant.profile, name).is_some();
    let asked = asked(Fields::of(request).await?, &is_type);
    let view = match configured(&app, &tenant)? {
        Some(present) => asked.change(&app, &tenant, present.endpoint.id.as_str(), named).await?,
        None => asked.make_as(&app, &tenant, ID, named).await?,
    };
    Ok(shown(&view))
}

/// Remove the webhook configuration; forwarding stops at once.
#[utoipa::path(delete, path = "/api/v2/webhooks/config", tag = "webhooks", responses(
    (status = 204, description = "It is removed"),
    (status = 404, description = "There is none"),
))]
async fn delete(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let tenant = merchant(&app, &headers, Scope::WebhooksWrite)?;
    let present = configured(&app, &tenant)?.ok_or_else(none)?;
    app.engine().delete_endpoint(tenant.no, present.endpoint.id.as_str()).await?;
    Ok(nothing())
}

fn none() -> Problem {
    Problem::not_found("the webhook configuration")
}

/// Reads a configuration into an endpoint. What is absent goes to its default, the secret alone stays.
fn asked(mut given: Fields, is_type: &dyn Fn(&str) -> bool) -> Asked {
    let mut fields = Map::new();
    let url = given.text("url");
    if url.is_none() {
        given.fault_unless_told("url", "is missing");
    }
    fields.insert("url".into(), json!(url));
    if given.has("secret") {
        fields.insert("secret".into(), json!(given.filled("secret")));
    }
    let types = given.texts("event_types");
    for (n, name) in types.iter().flatten().enumerate() {
        if !is_type(name) {
            given.fault(
                &format!("event_types/{n}"),
                "is not a type of event; leave event_types out for all of them",
            );
        }
    }
    let types = types.unwrap_or_else(|| vec![Pattern::All.to_string()]);
    fields.insert("event_types".into(), json!(types));
    fields.insert("enabled".into(), json!(given.boolean("is_active").unwrap_or(true)));
    Asked { fields, faults: given.faults() }
}

fn named(pointer: &str) -> String {
    if pointer == "/enabled" { "/is_active".into() } else { pointer.into() }
}

/// One event in the log.
#[derive(Serialize, ToSchema)]
struct Logged<'a> {
    /// The id of its delivery.
    id: String,
    /// Its type.
    event_type: &'a str,
    /// Whether it was delivered.
    #[schema(pattern = "^(delivered|failed|pending)$")]
    delivery_status: &'static str,
    /// How often it was tried.
    delivery_attempts: u32,
    /// The status of the last answer, if one came.
    #[schema(required)]
    delivery_response_code: Option<u16>,
    /// What went wrong at the last try.
    #[schema(required)]
    delivery_error: Option<String>,
    /// What was sent.
    #[schema(value_type = Object)]
    payload: &'a RawValue,
    /// When it came in.
    created_at: String,
}

/// List the events, newest first.
#[utoipa::path(get, path = "/api/v2/webhooks/events", tag = "webhooks",
    params(
        ("limit" = Option<u64>, Query, description = "Events at most, 1 to 200; 50 unless given"),
        ("offset" = Option<u64>, Query, description = "How many to pass over, at most 10,000"),
        ("status" = Option<String>, Query, description = "delivered, failed or pending"),
        ("event_type" = Option<String>, Query, description = "Of this type"),
    ),
    responses((status = 200, description = "The events", body = Vec<Logged<'static>>)))]
async fn events(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let tenant = merchant(&app, &headers, Scope::WebhookEventsRead)?;
    let mut query = Query::of(&uri)?;
    let limit = query.number("limit", 1..=200).unwrap_or(50);
    let offset = query.number("offset", 0..=MAX_OFFSET).unwrap_or(0);
    let status = query.take("status", |text| match text {
        "delivered" | "failed" | "pending" => Ok(text.to_owned()),
        _ => Err("must be delivered, failed or pending".into()),
    });
    let event_type = query.take("event_type", |text| Ok(text.to_owned()));
    // Others are passed over, as 4pay's partners expect.
    query.finish_leniently()?;
    let (limit, offset) = (usize::try_from(limit).unwrap_or(50), usize::try_from(offset).unwrap_or(0));
    let filter = LogFilter { tenant: Some(tenant.no), event_type, ..LogFilter::default() };
    let fits = |row: &Delivery| status.as_deref().is_none_or(|status| status_of(row.status) == status);
    let rows = history::rows(&app, filter, fits, offset, limit).await?;
    let details = history::details(&app, tenant.no, rows).await?;
    let rows: Vec<Logged<'_>> = details.iter().filter_map(logged).collect();
    Ok(answer(StatusCode::OK, &rows))
}

fn logged(detail: &DeliveryDetail) -> Option<Logged<'_>> {
    let delivery = &detail.delivery;
    let last = detail.attempts.last();
    let error = last.and_then(|attempt| attempt.error.as_ref()).map(|(_, detail)| detail.to_string());
    let reason = || delivery.reason.map(|reason| reason.as_str().to_owned());
    Some(Logged {
        id: delivery.id.to_string(),
        event_type: &delivery.event.event_type,
        delivery_status: status_of(delivery.status),
        delivery_attempts: delivery.attempts,
        delivery_response_code: last.and_then(|attempt| attempt.status_code),
        delivery_error: error.or_else(reason),
        payload: serde_json::from_slice(&detail.payload).ok()?,
        created_at: seconds(delivery.event.accepted_at),
    })
}

fn status_of(status: Status) -> &'static str {
    match status {
        Status::Pending => "pending",
        Status::Succeeded => "delivered",
        Status::Failed | Status::Cancelled | Status::Skipped => "failed",
    }
}

/// A time to the second, with the offset `+00:00`.
fn seconds(at: Timestamp) -> String {
    let text = at.rfc3339();
    let whole = text.split(['.', 'Z']).next().unwrap_or_default();
    format!("{whole}+00:00")
}
