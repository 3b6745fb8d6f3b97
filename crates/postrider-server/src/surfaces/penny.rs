//! Penny: webhooks with their events, the look-up of an event, and access tokens for its partners.
//!
//! The bodies of the calls that make and change webhooks, the authentication of partners, the page of a hundred and the look-up by
//! `event_id` are those of Penny's public documentation. Our choices: the form of errors and of a page, that `PUT` changes no more
//! than `PATCH` does, the fields of an event that is looked up, `wallet_id` as a filter on the attribute of that name, and that
//! wildcards are taken.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, HeaderValue, Request, StatusCode, Uri, header};
use postrider_core::record::Status;
use postrider_core::subscription::Pattern;
use postrider_core::time::Timestamp;
use postrider_core::token::Scope;
use postrider_engine::error::ServiceError;
use postrider_engine::log::Delivery;
use postrider_engine::{Denied, EndpointView, Tenant};
use serde::Serialize;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::change::{Asked, Fields, as_v1, change_by};
use super::ids::{uuid, uuid_named};
use super::partner::{authorization, own_tenant, told, unauthorized};
use super::seen::{Only, Seen, pass_only};
use crate::app::App;
use crate::auth::Caller;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::routes::path::Path;
use crate::routes::{json as answer, nothing};
use crate::view::raw;

pub(super) const NAME: &str = "penny";

/// How long an access token lives.
const TOKEN_LIFE: Duration = Duration::from_secs(24 * 3_600);
/// Webhooks of a page.
const PER_PAGE: usize = 100;
/// The last page that may be asked for; a tenant has fewer.
const MAX_PAGE: u64 = 1_000_000;
/// The type by which a webhook is asked in real time.
const TRIGGER: &str = "transaction.authorization.pending";
/// The field that says so.
const TRIGGERED_BY: &str = "trigger_event_identifier";
/// The attribute of events that a webhook may want to have one value alone, and the field that names it.
const WALLET: &str = "wallet_id";

/// Said of an endpoint that is more than a webhook here.
const HINT: &str = "this webhook was not made here and is for several wallets, which one wallet_id cannot say: it can be read \
                    here, and changed where it was made";

#[derive(OpenApi)]
#[openapi(info(
    title = "Penny's webhooks on Postrider",
    version = "1",
    description = "Webhooks and events, as Penny's partners know them."
))]
struct Document;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(token))
        .routes(routes!(create, list))
        .routes(routes!(get, put, patch, delete))
        .routes(routes!(event))
}

/// Errors are `{"message": "...", "errors": [{"field": "...", "message": "..."}]}`.
pub(super) fn written(problem: &Problem) -> (StatusCode, Value) {
    let faults = problem.faults();
    let message = match faults {
        [] => problem.detail().to_owned(),
        _ => faults.iter().map(told).collect::<Vec<_>>().join("; "),
    };
    let errors: Vec<Value> = faults
        .iter()
        .map(|fault| json!({"field": fault.pointer.trim_start_matches('/'), "message": fault.detail}))
        .collect();
    (problem.kind().status(), json!({"message": message, "errors": errors}))
}

fn business(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Arc<Tenant>, Problem> {
    const HOW: &str = "send Authorization: Bearer and an access token that is not expired; POST /v1/oauth/token gives one out";
    let token = authorization(headers, false)?;
    let caller =
        token.and_then(|token| Caller::with_token(app, token, None)).ok_or_else(|| unauthorized(HOW))?;
    own_tenant(app, &caller, NAME, scope)
}

/// What a client shows.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
struct TokenRequest {
    /// `client_credentials`.
    grant_type: String,
    /// The client's id.
    client_id: String,
    /// The client's secret.
    client_secret: String,
}

/// Get an access token, which is valid for 24 hours.
#[utoipa::path(post, path = "/v1/oauth/token", tag = "authentication", request_body = TokenRequest, responses(
    (status = 200, description = "The token, at `data.access_token`"),
    (status = 401, description = "The credentials are not valid"),
    (status = 422, description = "What is wrong with the request"),
))]
async fn token(State(app): State<App>, request: Request<Body>) -> Result<Response, Problem> {
    let mut given = Fields::of(request).await?;
    let mut required = |name: &str| {
        let text = given.filled(name);
        if text.is_none() {
            given.fault_unless_told(name, "is missing");
        }
        text.unwrap_or_default()
    };
    let (grant, id, secret) = (required("grant_type"), required("client_id"), required("client_secret"));
    if grant != "client_credentials" {
        given.fault_unless_told("grant_type", "must be client_credentials");
    }
    let faults = given.faults();
    if !faults.is_empty() {
        return Err(Problem::invalid(faults));
    }
    let made = app.engine().exchange_client(&id, &secret, None, TOKEN_LIFE);
    let (token, life) = made.map_err(|denied| match denied {
        Denied::Service(error) => error.into(),
        denied => Problem::wrong_credentials(denied.to_string()),
    })?;
    let data = json!({
        "access_token": token.reveal(), "token_type": "Bearer", "expires_in": life.as_secs(),
    });
    let mut response = answer(StatusCode::OK, &json!({ "data": data }));
    response.headers_mut().insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    Ok(response)
}

/// A webhook.
#[derive(Serialize, ToSchema)]
struct Webhook {
    /// Its id.
    #[schema(format = "uuid")]
    id: String,
    /// The same.
    #[schema(format = "uuid")]
    webhook_id: String,
    /// Where events go.
    url: String,
    /// The events that it is notified of; of none where there are none.
    events: Vec<String>,
    /// The event on which it is asked in real time.
    #[schema(required)]
    trigger_event_identifier: Option<&'static str>,
    /// Where one is set, only events whose attribute `wallet_id` is this arrive.
    #[schema(required)]
    wallet_id: Option<String>,
    /// When it was made.
    created_at: String,
    /// When it was last changed.
    updated_at: String,
    /// Why it cannot be changed here, for one that is more than can be said here.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

/// What a partner sets.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
struct WebhookSpec {
    /// Where events go; needed where a webhook is made.
    url: Option<String>,
    /// The events that it is notified of; null or none: of none.
    events: Option<Vec<String>>,
    /// What each request authenticates with, as a bearer token unless it begins with a scheme; null or "" clears it.
    authorization_token: Option<String>,
    /// `transaction.authorization.pending` for a webhook that is asked in real time; null or "" clears it.
    trigger_event_identifier: Option<String>,
    /// Only events whose attribute `wallet_id` is this arrive; null or "" clears it.
    wallet_id: Option<String>,
}

impl Webhook {
    fn of(view: &EndpointView) -> Self {
        let seen = Seen::of(as_v1(view));
        let id = uuid(&view.endpoint);
        Self {
            webhook_id: id.clone(),
            id,
            url: view.config.url().to_owned(),
            events: events_of(&seen),
            trigger_event_identifier: is_triggered(&seen).then_some(TRIGGER),
            wallet_id: seen.only_text(WALLET).map(str::to_owned),
            created_at: view.endpoint.created_at.rfc3339(),
            updated_at: view.endpoint.updated_at.rfc3339(),
            hint: (!is_changeable(&seen)).then_some(HINT),
        }
    }
}

fn events_of(seen: &Seen) -> Vec<String> {
    seen.event_types().filter(|name| *name != TRIGGER).map(str::to_owned).collect()
}

fn is_triggered(seen: &Seen) -> bool {
    seen.event_types().any(|name| name == TRIGGER)
}

fn is_changeable(seen: &Seen) -> bool {
    seen.only(WALLET) != Only::Other
}

/// Whether an endpoint may be changed here.
///
/// # Errors
/// 409 for one that says more: that would be lost.
fn changeable(seen: &Seen) -> Result<(), Problem> {
    if is_changeable(seen) { Ok(()) } else { Err(Problem::new(Kind::Conflict, HINT)) }
}

/// Reads a webhook into an endpoint. What is absent stays.
fn asked(app: &App, tenant: &Tenant, mut given: Fields, before: Option<&Seen>) -> Asked {
    let mut fields = Map::new();
    if before.is_none() || given.has("url") {
        let url = given.filled("url");
        if url.is_none() {
            given.fault_unless_told("url", "is missing");
        }
        fields.insert("url".into(), json!(url));
    }
    if before.is_none() || given.has("events") || given.has(TRIGGERED_BY) {
        fields.insert("event_types".into(), json!(event_types(app, tenant, &mut given, before)));
    }
    if given.has("authorization_token") {
        let is_bearer = before.is_some_and(|before| before.text("/auth/type") == Some("bearer"));
        match given.filled("authorization_token") {
            Some(token) => fields.insert("auth".into(), json!({"type": "bearer", "token": token})),
            None if is_bearer => fields.insert("auth".into(), json!({"type": "none"})),
            None => None,
        };
    }
    if given.has(WALLET) {
        let wallet = given.filled(WALLET);
        pass_only(&mut fields, before, WALLET, wallet);
    }
    Asked { fields, faults: given.faults() }
}

/// What it is to be notified of, the trigger last.
fn event_types(app: &App, tenant: &Tenant, given: &mut Fields, before: Option<&Seen>) -> Vec<String> {
    let present = before.map(events_of).unwrap_or_default();
    let mut types =
        if given.has("events") { given.texts("events").unwrap_or_default() } else { present.clone() };
    for (n, name) in types.iter().enumerate() {
        let place = format!("events/{n}");
        if name == TRIGGER {
            given.fault(&place, format!("asks in real time: give it as {TRIGGERED_BY}"));
        } else if !present.contains(name)
            && let Ok(Pattern::Exact(_)) = Pattern::parse(name)
            && app.engine().event_type(&tenant.profile, name).is_none()
        {
            given.fault(&place, "is no event of this platform");
        }
    }
    let triggered = match given.has(TRIGGERED_BY) {
        true => {
            given.filled(TRIGGERED_BY).and_then(|_| given.one_of(TRIGGERED_BY, &[(TRIGGER, ())])).is_some()
        }
        false => before.is_some_and(is_triggered),
    };
    types.extend(triggered.then(|| TRIGGER.to_owned()));
    types
}

/// The name here of a field of `/v1`, both as JSON pointers.
fn named(pointer: &str) -> String {
    if let Some(rest) = pointer.strip_prefix("/event_types") {
        format!("/events{rest}")
    } else if pointer.starts_with("/auth") {
        "/authorization_token".into()
    } else if pointer.starts_with("/filters") {
        format!("/{WALLET}")
    } else {
        pointer.into()
    }
}

fn found(app: &App, tenant: &Tenant, id: &str) -> Result<EndpointView, Problem> {
    let id = id.to_ascii_lowercase();
    let found = app.engine().endpoint_where(tenant.no, |endpoint| uuid(endpoint) == id);
    found.map_err(|error| match error {
        ServiceError::NotFound(_) => Problem::not_found("the webhook"),
        other => other.into(),
    })
}

/// Create a webhook.
#[utoipa::path(post, path = "/v1/webhooks", tag = "webhooks", request_body = WebhookSpec, responses(
    (status = 201, description = "The webhook", body = Webhook),
    (status = 422, description = "What is wrong with it"),
))]
async fn create(State(app): State<App>, request: Request<Body>) -> Result<Response, Problem> {
    let tenant = business(&app, request.headers(), Scope::WebhooksWrite)?;
    let asked = asked(&app, &tenant, Fields::of(request).await?, None);
    let view = asked.make(&app, &tenant, named).await?;
    Ok(answer(StatusCode::CREATED, &Webhook::of(&view)))
}

/// A page of webhooks.
#[derive(Serialize, ToSchema)]
struct Page {
    /// The webhooks.
    #[schema(max_items = 100)]
    data: Vec<Webhook>,
    /// Which page it is, from 1.
    page: u64,
    /// How many a page has.
    per_page: usize,
    /// How many there are over all pages.
    total: usize,
}

/// List the webhooks, a hundred a page.
#[utoipa::path(get, path = "/v1/webhooks", tag = "webhooks",
    params(("page" = Option<u64>, Query, description = "Which page, from 1")),
    responses((status = 200, description = "A page", body = Page)))]
async fn list(State(app): State<App>, headers: HeaderMap, uri: Uri) -> Result<Response, Problem> {
    let tenant = business(&app, &headers, Scope::WebhooksRead)?;
    let mut query = Query::of(&uri)?;
    let page = query.number("page", 1..=MAX_PAGE).unwrap_or(1);
    query.finish_leniently()?;
    // As many as the tenant's quota allows.
    let all = app.engine().endpoints_after(tenant.no, None, usize::MAX)?;
    let skipped = usize::try_from(page - 1).unwrap_or(usize::MAX).saturating_mul(PER_PAGE);
    let data = all.iter().skip(skipped).take(PER_PAGE).map(Webhook::of).collect();
    Ok(answer(StatusCode::OK, &Page { data, page, per_page: PER_PAGE, total: all.len() }))
}

/// Read a webhook.
#[utoipa::path(get, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "The webhook", body = Webhook),
    (status = 404, description = "There is none of that id"),
))]
async fn get(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let tenant = business(&app, &headers, Scope::WebhooksRead)?;
    Ok(answer(StatusCode::OK, &Webhook::of(&found(&app, &tenant, &id)?)))
}

/// Update a webhook, for example to associate events with it; what is not given stays.
#[utoipa::path(put, path = "/v1/webhooks/{id}", tag = "webhooks", request_body = WebhookSpec,
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "The webhook as it is now", body = Webhook),
    (status = 404, description = "There is none of that id"),
    (status = 409, description = "It was not made here, and is more than can be said here"),
    (status = 422, description = "What is wrong with it"),
))]
async fn put(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    changed(&app, &id, request).await
}

/// The same.
#[utoipa::path(patch, path = "/v1/webhooks/{id}", tag = "webhooks", request_body = WebhookSpec,
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 200, description = "The webhook as it is now", body = Webhook),
    (status = 404, description = "There is none of that id"),
    (status = 409, description = "It was not made here, and is more than can be said here"),
    (status = 422, description = "What is wrong with it"),
))]
async fn patch(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    changed(&app, &id, request).await
}

async fn changed(app: &App, id: &str, request: Request<Body>) -> Result<Response, Problem> {
    let tenant = business(app, request.headers(), Scope::WebhooksWrite)?;
    let id = found(app, &tenant, id)?.endpoint.id.clone();
    let given = Fields::of(request).await?;
    let view = change_by(app, &tenant, id.as_str(), named, |before| {
        let before = Seen::of(before.clone());
        changeable(&before)?;
        Ok(asked(app, &tenant, given, Some(&before)))
    });
    Ok(answer(StatusCode::OK, &Webhook::of(&view.await?)))
}

/// Delete a webhook.
#[utoipa::path(delete, path = "/v1/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "Its id")), responses(
    (status = 204, description = "It is removed"),
    (status = 404, description = "There is none of that id"),
    (status = 409, description = "It was not made here, and is more than can be said here"),
))]
async fn delete(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let tenant = business(&app, &headers, Scope::WebhooksWrite)?;
    let view = found(&app, &tenant, &id)?;
    changeable(&Seen::of(as_v1(&view)))?;
    app.engine().delete_endpoint(tenant.no, view.endpoint.id.as_str()).await?;
    Ok(nothing())
}

/// An event that is looked up.
#[derive(Serialize, ToSchema)]
struct Looked<'a> {
    /// Its id, as webhooks are told.
    event_id: String,
    /// Its type.
    event_identifier: &'a str,
    /// What webhooks are told of it.
    #[schema(value_type = Value)]
    data: &'a RawValue,
    /// When it came in.
    created_at: String,
    /// What became of it at each webhook, newest first; at most 1,000.
    #[schema(max_items = 1_000)]
    deliveries: Vec<Delivered>,
}

/// What became of an event at a webhook.
#[derive(Serialize, ToSchema)]
struct Delivered {
    /// The webhook.
    #[schema(format = "uuid")]
    webhook_id: String,
    /// How it stands.
    #[schema(pattern = "^(pending|delivered|failed|cancelled|skipped)$")]
    status: &'static str,
    /// How often it was tried.
    attempts: u32,
    /// The status of the last answer, if one came.
    #[schema(required)]
    response_status: Option<u16>,
    /// When it is tried again, if a time is set.
    #[schema(required)]
    next_attempt_at: Option<String>,
    /// When it ended.
    #[schema(required)]
    finished_at: Option<String>,
}

impl From<&Delivery> for Delivered {
    fn from(delivery: &Delivery) -> Self {
        Self {
            webhook_id: uuid_named(&delivery.endpoint),
            status: match delivery.status {
                Status::Pending => "pending",
                Status::Succeeded => "delivered",
                Status::Failed => "failed",
                Status::Cancelled => "cancelled",
                Status::Skipped => "skipped",
            },
            attempts: delivery.attempts,
            response_status: delivery.last_status_code,
            next_attempt_at: delivery.next_attempt_at.map(Timestamp::rfc3339),
            finished_at: delivery.finished_at.map(Timestamp::rfc3339),
        }
    }
}

/// Look an event up.
#[utoipa::path(get, path = "/v1/events/{event_id}", tag = "events",
    params(("event_id" = String, Path, description = "Its id, as webhooks are told")), responses(
    (status = 200, description = "The event", body = Looked<'static>),
    (status = 404, description = "There is none of that id"),
))]
async fn event(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let tenant = business(&app, &headers, Scope::WebhookEventsRead)?;
    let detail = app.engine().event(tenant.no, &id).await?;
    let looked = Looked {
        event_id: detail.event.id(),
        event_identifier: &detail.event.event_type,
        data: raw(&detail.event.data),
        created_at: detail.event.accepted_at.rfc3339(),
        deliveries: detail.deliveries.iter().map(Delivered::from).collect(),
    };
    Ok(answer(StatusCode::OK, &looked))
}
