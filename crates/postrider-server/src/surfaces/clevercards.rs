//! CleverCards: webhooks of a company account, each for some types of event.
//!
//! That one logs in, what a caller then sends and what webhooks are for is said by CleverCards' published documentation. Our choices: the paths
//! and fields, codes and form of errors, that what a `PUT` leaves out of the security scheme stays, and that event types must be
//! of the list.

use std::sync::Arc;
use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http::{HeaderMap, Request, StatusCode};
use postrider_core::token::{Scope, TenantPattern, TokenKind};
use postrider_engine::error::ServiceError;
use postrider_engine::{Denied, EndpointView, Tenant};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::{OpenApi, ToSchema};
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::change::{Asked, Fields, as_v1, change_by};
use super::ids;
use super::partner::{self, authorization, tenant_named, unauthorized};
use super::told::sentence;
use crate::app::App;
use crate::auth::{API_KEY, Caller};
use crate::problem::{Kind, Problem};
use crate::routes::path::Path;
use crate::routes::{json as answer, nothing, secret_json};

pub(super) const NAME: &str = "clevercards";

/// The header with the API key that belongs to a login.
/// The header that names the company account.
const ACCOUNT: &str = "companyaccountid";
/// How long an access token lives.
const LIFE: Duration = Duration::from_secs(3_600);

#[derive(OpenApi)]
#[openapi(info(
    title = "CleverCards' webhooks on Postrider",
    version = "1",
    description = "Webhooks of a company account, as CleverCards' partners know them."
))]
struct Document;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(login))
        .routes(routes!(list, create))
        .routes(routes!(event_types))
        .routes(routes!(get, put, delete))
}

/// Errors are `{"message": "..."}`, with the fields that are at fault.
pub(super) fn written(problem: &Problem) -> (StatusCode, Value) {
    let fields: Vec<Value> = problem
        .faults()
        .iter()
        .map(|fault| json!({"field": fault.pointer.trim_start_matches('/'), "message": fault.detail}))
        .collect();
    (problem.kind().status(), json!({"message": sentence(problem), "errors": fields}))
}

/// What a partner logs in with, beside its API key.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
struct LoginSpec {
    username: String,
    password: String,
}

/// An access token.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Session<'a> {
    access_token: &'a str,
}

/// Log in: user name and password, with the API key in `X-API-Key`.
#[utoipa::path(post, path = "/login", tag = "login", request_body = LoginSpec, responses(
    (status = 200, description = "A token for an hour", body = Session<'static>),
    (status = 401, description = "They do not belong together"),
))]
async fn login(State(app): State<App>, request: Request<Body>) -> Result<Response, Problem> {
    const WRONG: &str = "user name, password and X-API-Key do not belong together";
    let api_key = partner::one(request.headers(), API_KEY)?.map(str::to_owned);
    let mut given = Fields::of(request).await?;
    let (username, password) = (given.text("username"), given.text("password"));
    for (name, value) in [("username", &username), ("password", &password)] {
        if value.is_none() {
            given.fault_unless_told(name, "is missing");
        }
    }
    let (Some(username), Some(password)) = (username, password) else {
        return Err(Problem::invalid(given.faults()));
    };
    let exchanged = api_key
        .ok_or(Denied::Credentials)
        .and_then(|api_key| app.engine().exchange_login(&username, &password, &api_key, LIFE));
    let (token, _) = exchanged.map_err(|denied| match denied {
        Denied::Credentials | Denied::Scope(_) => Problem::wrong_credentials(WRONG),
        Denied::Service(error) => error.into(),
    })?;
    Ok(secret_json(StatusCode::OK, &Session { access_token: token.reveal() }))
}

/// Who calls: `Authorization` with a token, bare or as bearer. The token of a login comes with the API key of that login; of
/// others an API key can only be the token once more.
fn caller(app: &App, headers: &HeaderMap) -> Result<Caller, Problem> {
    const HOW: &str =
        "send Authorization with a token that is neither revoked nor expired, and the X-API-Key of its login";
    let (token, api_key) = (authorization(headers, true)?, partner::one(headers, API_KEY)?);
    let found = token.and_then(|token| {
        let caller = Caller::with_token(app, token, api_key)?;
        let agrees = match (caller.token().config.kind, api_key) {
            (TokenKind::Login, _) | (_, None) => true,
            (_, Some(key)) => key == token,
        };
        agrees.then_some(caller)
    });
    found.ok_or_else(|| unauthorized(HOW))
}

/// The tenant of the company account that a caller means: its own, or of those that begin with its prefix the one that ends so.
fn account(app: &App, headers: &HeaderMap, scope: Scope) -> Result<Arc<Tenant>, Problem> {
    let caller = caller(app, headers)?;
    let named = partner::one(headers, ACCOUNT)?;
    let tenant = match (&caller.token().config.tenant, named) {
        (Some(TenantPattern::Exact(own)), None) => own.as_str().to_owned(),
        (Some(TenantPattern::Exact(own)), Some(named)) => {
            let own = own.as_str();
            let is_own = named == own || own.rsplit(':').next() == Some(named);
            if is_own { own.to_owned() } else { return Err(Problem::not_found("the account")) }
        }
        (_, None) => {
            return Err(Problem::new(Kind::Malformed, "say in CompanyAccountId which account is meant"));
        }
        (Some(TenantPattern::Prefix(prefix)), Some(named)) => format!("{prefix}{named}"),
        (None, Some(named)) => named.to_owned(),
    };
    tenant_named(app, &caller, NAME, &tenant, scope)
}

/// A webhook.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct Webhook {
    #[schema(format = "uuid")]
    id: String,
    /// Where events go.
    url: String,
    event_types: Vec<String>,
    /// How requests authenticate, without what is secret of it.
    #[schema(value_type = Object)]
    security_scheme: Value,
    /// Whether events are sent. While they are not, they are kept.
    active: bool,
    /// What deliveries are signed with, shown when the webhook is made, and not again.
    #[serde(skip_serializing_if = "Option::is_none")]
    signing_secret: Option<String>,
    /// Why it can be removed here, but not changed; absent where it can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<&'static str>,
    created_at: String,
    updated_at: String,
}

/// What a partner sets.
#[derive(ToSchema)]
#[schema(rename_all = "camelCase")]
#[expect(dead_code, reason = "describes a body that is read field by field")]
struct WebhookSpec {
    /// Where events go.
    url: String,
    event_types: Vec<String>,
    /// `{"type": "API_KEY", "headerName", "apiKey"}`, `{"type": "BEARER", "token"}`, `{"type": "BASIC", "username", "password"}`,
    /// `{"type": "BASIC", "credentials"}` with both in base64, or `{"type": "NONE"}`. In a change it stays where it is absent, and of one of the
    /// same type what is secret.
    #[schema(value_type = Object)]
    security_scheme: Option<Value>,
    /// Whether events are sent; true unless given.
    active: Option<bool>,
}

/// A type of event.
#[derive(Serialize, ToSchema)]
#[serde(rename_all = "camelCase")]
struct EventType {
    event_type: String,
    #[schema(required)]
    description: Option<String>,
}

fn types(v1: &Value) -> Vec<&str> {
    v1["event_types"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Why an endpoint that was set through `/v1` cannot be said in this form, if so.
fn unsaid(v1: &Value) -> Option<&'static str> {
    if v1["profile"] != NAME {
        return Some("its deliveries are not CleverCards'; change it through /v1");
    }
    if types(v1).iter().any(|name| name.ends_with('*')) {
        return Some("it takes events by a wildcard; change it through /v1");
    }
    (v1["auth"]["type"] == "oauth2")
        .then_some("it fetches tokens, which no scheme says; change it through /v1")
}

fn shown(view: &EndpointView, secret: Option<&str>) -> Webhook {
    let v1 = as_v1(view);
    let security_scheme = match v1["auth"]["type"].as_str() {
        Some("basic") => json!({"type": "BASIC", "username": v1["auth"]["username"]}),
        Some("bearer") => json!({"type": "BEARER"}),
        Some("api_key") => json!({"type": "API_KEY", "headerName": v1["auth"]["header"]}),
        Some("oauth2") => json!({"type": "OAUTH2"}),
        _ => json!({"type": "NONE"}),
    };
    Webhook {
        id: ids::uuid(&view.endpoint),
        url: view.config.url().to_owned(),
        event_types: types(&v1).into_iter().map(str::to_owned).collect(),
        security_scheme,
        active: v1["enabled"] == true,
        signing_secret: secret.map(str::to_owned),
        read_only: unsaid(&v1),
        created_at: view.endpoint.created_at.rfc3339(),
        updated_at: view.endpoint.updated_at.rfc3339(),
    }
}

/// A webhook of a tenant by its id.
fn found(app: &App, tenant: &Tenant, id: &str) -> Result<EndpointView, Problem> {
    let id = id.to_ascii_lowercase();
    let found = app.engine().endpoint_where(tenant.no, |endpoint| ids::uuid(endpoint) == id);
    found.map_err(|error| match error {
        ServiceError::NotFound(_) => Problem::not_found("the webhook"),
        other => other.into(),
    })
}

/// List the webhooks, in order of their making.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", responses(
    (status = 200, description = "All of them", body = Vec<Webhook>),
))]
async fn list(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let tenant = account(&app, &headers, Scope::WebhooksRead)?;
    let mut all = app.engine().endpoints_after(tenant.no, None, usize::MAX)?;
    all.sort_unstable_by_key(|view| view.endpoint.no);
    let all: Vec<Webhook> = all.iter().map(|view| shown(view, None)).collect();
    Ok(answer(StatusCode::OK, &all))
}

/// Make a webhook.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = WebhookSpec, responses(
    (status = 201, description = "The webhook, this once with its secret", body = Webhook),
    (status = 422, description = "What is wrong with it"),
))]
async fn create(State(app): State<App>, request: Request<Body>) -> Result<Response, Problem> {
    let tenant = account(&app, request.headers(), Scope::WebhooksWrite)?;
    let asked = asked(&app, &tenant, Fields::of(request).await?, None);
    let (view, secret) = asked.make_with_secret(&app, &tenant, named).await?;
    Ok(secret_json(StatusCode::CREATED, &shown(&view, secret.as_ref().map(|secret| secret.reveal()))))
}

/// Read a webhook.
#[utoipa::path(get, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")), responses(
    (status = 200, description = "The webhook", body = Webhook),
    (status = 404, description = "There is none"),
))]
async fn get(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let tenant = account(&app, &headers, Scope::WebhooksRead)?;
    Ok(answer(StatusCode::OK, &shown(&found(&app, &tenant, &id)?, None)))
}

/// Set a webhook anew. What is absent goes to its default, save for the security scheme and the secret, which stay.
#[utoipa::path(put, path = "/webhooks/{id}", tag = "webhooks", request_body = WebhookSpec,
    params(("id" = String, Path, description = "The webhook")), responses(
    (status = 200, description = "The webhook as it is now", body = Webhook),
    (status = 404, description = "There is none"),
    (status = 409, description = "It cannot be said in this form"),
    (status = 422, description = "What is wrong with it"),
))]
async fn put(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let tenant = account(&app, request.headers(), Scope::WebhooksWrite)?;
    let id = found(&app, &tenant, &id)?.endpoint.id.clone();
    let given = Fields::of(request).await?;
    let asks = |v1: &Value| match unsaid(v1) {
        None => Ok(asked(&app, &tenant, given, Some(v1))),
        Some(why) => Err(Problem::new(Kind::Conflict, format!("the webhook is read-only here: {why}"))),
    };
    Ok(answer(StatusCode::OK, &shown(&change_by(&app, &tenant, id.as_str(), named, asks).await?, None)))
}

/// Remove a webhook; what it is still owed is not sent any more.
#[utoipa::path(delete, path = "/webhooks/{id}", tag = "webhooks",
    params(("id" = String, Path, description = "The webhook")), responses(
    (status = 204, description = "It is removed"),
    (status = 404, description = "There is none"),
))]
async fn delete(
    State(app): State<App>,
    headers: HeaderMap,
    Path(id): Path<String>,
) -> Result<Response, Problem> {
    let tenant = account(&app, &headers, Scope::WebhooksWrite)?;
    let present = found(&app, &tenant, &id)?;
    app.engine().delete_endpoint(tenant.no, present.endpoint.id.as_str()).await?;
    Ok(nothing())
}

/// List the types of event that the account may have.
#[utoipa::path(get, path = "/webhooks/events", tag = "webhooks", responses(
    (status = 200, description = "The types", body = Vec<EventType>),
))]
async fn event_types(State(app): State<App>, headers: HeaderMap) -> Result<Response, Problem> {
    let tenant = account(&app, &headers, Scope::WebhooksRead)?;
    let all = app.engine().event_types_after(&tenant.profile, None, usize::MAX);
    let entitled = all.iter().filter(|found| app.engine().is_entitled(tenant.no, &found.name));
    let shown = entitled.map(|found| EventType {
        event_type: found.name.to_string(),
        description: found.config.description.as_deref().map(str::to_owned),
    });
    Ok(answer(StatusCode::OK, &shown.collect::<Vec<_>>()))
}

/// Reads a webhook into an endpoint. `present`: the one that is changed, as `/v1` shows it.
fn asked(app: &App, tenant: &Tenant, mut given: Fields, present: Option<&Value>) -> Asked {
    let mut fields = Map::new();
    let (url, wanted) = (given.text("url"), given.texts("eventTypes"));
    for (name, is_there) in [("url", url.is_some()), ("eventTypes", wanted.is_some())] {
        if !is_there {
            given.fault_unless_told(name, "is missing");
        }
    }
    let before = present.map(types).unwrap_or_default();
    for (n, name) in wanted.iter().flatten().enumerate() {
        // What it has already may stay.
        if !before.contains(&name.as_str()) && app.engine().event_type(&tenant.profile, name).is_none() {
            given.fault(&format!("eventTypes/{n}"), "is no type of event; see GET /webhooks/events");
        }
    }
    fields.insert("url".into(), json!(url));
    fields.insert("event_types".into(), json!(wanted));
    fields.insert("enabled".into(), json!(given.boolean("active").unwrap_or(true)));
    if given.has("securityScheme") {
        let scheme = given.raw("securityScheme").cloned().unwrap_or_default();
        match auth(&scheme) {
            Ok(auth) => drop(fields.insert("auth".into(), auth)),
            Err((name, detail)) => given.fault(&format!("securityScheme{name}"), detail),
        }
    }
    Asked { fields, faults: given.faults() }
}

/// How requests authenticate, of a security scheme; what is wrong with one, and where.
fn auth(scheme: &Value) -> Result<Value, (&'static str, &'static str)> {
    if scheme.is_null() {
        return Ok(json!({"type": "none"}));
    }
    let scheme = scheme.as_object().ok_or(("", "must be an object"))?;
    let (kind, names): (_, &[(&str, &str)]) = match scheme.get("type").and_then(Value::as_str) {
        Some("NONE") => ("none", &[]),
        Some("API_KEY") => ("api_key", &[("headerName", "header"), ("apiKey", "value")]),
        Some("BEARER") => ("bearer", &[("token", "token")]),
        Some("BASIC") => ("basic", &[("username", "username"), ("password", "password")]),
        _ => return Err(("/type", "must be one of API_KEY, BEARER, BASIC, NONE")),
    };
    let mut auth = Map::from_iter([("type".to_owned(), json!(kind))]);
    for (name, field) in names {
        if let Some(value) = scheme.get(*name) {
            // An empty password is one.
            let value = if *name == "password" && value.is_null() { json!("") } else { value.clone() };
            auth.insert((*field).to_owned(), value);
        }
    }
    if let (Some(credentials), "basic") = (scheme.get("credentials").filter(|it| !it.is_null()), kind) {
        const FORM: (&str, &str) = ("/credentials", "must be base64 of a user name, a colon and a password");
        let decoded = credentials.as_str().and_then(|text| STANDARD.decode(text).ok());
        let pair = decoded.and_then(|pair| String::from_utf8(pair).ok()).ok_or(FORM)?;
        let (username, password) = pair.split_once(':').ok_or(FORM)?;
        let says_otherwise = |field: &str, text: &str| auth.get(field).is_some_and(|given| given != text);
        if says_otherwise("username", username) || says_otherwise("password", password) {
            return Err(("/credentials", "says another user name or password; give them once"));
        }
        auth.insert("username".into(), json!(username));
        auth.insert("password".into(), json!(password));
    }
    Ok(Value::Object(auth))
}

/// The name of a field of `/v1`.
fn named(pointer: &str) -> String {
    match pointer {
        "/auth/header" => "/securityScheme/headerName".into(),
        "/auth/value" => "/securityScheme/apiKey".into(),
        "/enabled" => "/active".into(),
        other => match (other.strip_prefix("/auth"), other.strip_prefix("/event_types")) {
            (Some(below), _) => format!("/securityScheme{below}"),
            (_, Some(below)) => format!("/eventTypes{below}"),
            _ => other.into(),
        },
    }
}
