//! Endpoints: the webhooks of a tenant.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode, Uri};
use postrider_core::endpoint::EndpointConfig;
use postrider_core::event::Sample;
use postrider_core::id::EndpointId;
use postrider_core::json::{Members, Object};
use postrider_core::subscription::is_type_name;
use postrider_core::token::Scope;
use postrider_engine::{EndpointState, EndpointView, Tenant};
use serde_json::json;

use super::deliveries::AttemptBody;
use super::path::Path;
use super::{Page, json as answer, nothing};
use crate::app::App;
use crate::auth::Caller;
use crate::body::{MAX_DOCUMENT, MediaType};
use crate::cursor::{self, List};
use crate::openapi::Overloaded;
use crate::problem::{Kind, Problem};
use crate::query::Query;
use crate::{body, schema, view};

/// Make an endpoint under an id of the server's making.
///
/// It takes what is accepted from then on. Its signing secret is made too, unless one is given; it is read by
/// `GET .../secret`.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/endpoints", tag = "endpoints", operation_id = "createEndpoint",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant), request_body = schema::EndpointSpec, responses(
    (status = 201, description = "The endpoint, which is durable", body = schema::Endpoint),
    Overloaded,
))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(request.uri())?;
    let body = body::document(request).await?;
    let (engine, judge) = (app.engine(), |url: &str| app.engine().judge_url(url));
    let terms = engine.terms(&tenant, &judge);
    let config = EndpointConfig::parse_create_judged(&body, engine.fresh_secret()?, &terms)?;
    let endpoint = engine.create_endpoint(tenant.no, config).await?;
    Ok(answer(StatusCode::CREATED, &shown(&tenant, &endpoint)))
}

/// List a tenant's endpoints by id.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/endpoints", tag = "endpoints", operation_id = "listEndpoints",
    security(("token" = ["webhooks-read"])),
    params(schema::InTenant, schema::Paging), responses(
    (status = 200, description = "A page of endpoints", body = Page<schema::Endpoint>),
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksRead)?;
    let mut query = Query::of(&uri)?;
    let page = query.page(List::Endpoints, tenant.id.as_str());
    query.finish()?;
    let endpoints = app.engine().endpoints_after(tenant.no, page.after_text(), page.limit + 1)?;
    let next_cursor = view::next(&endpoints, page.limit, |last| {
        cursor::write(List::Endpoints, tenant.id.as_str(), last.endpoint.id.as_str().as_bytes())
    });
    let data: Vec<_> = endpoints.iter().take(page.limit).map(|endpoint| shown(&tenant, endpoint)).collect();
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Read an endpoint: how it is set, and how it stands.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/endpoints/{id}", tag = "endpoints", operation_id = "getEndpoint",
    security(("token" = ["webhooks-read"])),
    params(schema::InTenant, schema::OfEndpoint), responses(
    (status = 200, description = "The endpoint", body = schema::Endpoint),
))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksRead)?;
    Query::none(&uri)?;
    Ok(answer(StatusCode::OK, &shown(&tenant, &app.engine().endpoint(tenant.no, &id)?)))
}

/// Make an endpoint under an id of the caller's own, or replace the one that has it.
///
/// Of one that is replaced, absent fields go to their defaults, save for secrets: the signing secret stays, and so does the
/// credential where `auth` has the same `type`. Where the URL moves to another host, the credential must come with it. Ids
/// that begin with `ep_` are the server's to give: under them an endpoint is replaced, and never made (404); `match` is the
/// name of a call, and no id (405). An endpoint that is made under the id of a removed one is another one: its sequence begins
/// anew.
#[utoipa::path(put, path = "/v1/tenants/{tenant}/endpoints/{id}", tag = "endpoints", operation_id = "putEndpoint",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfEndpoint),
    request_body = schema::EndpointReplacement, responses(
    (status = 200, body = schema::Endpoint, description = "Replaced"),
    (status = 201, body = schema::Endpoint, description = "Made"),
    (status = 405, description = "`match` is the name of a call, and no id."),
    Overloaded,
))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(request.uri())?;
    let body = body::document(request).await?;
    let id: EndpointId = id.parse().map_err(|fault| Problem::fault("/id", fault))?;
    let (engine, judge) = (app.engine(), |url: &str| app.engine().judge_url(url));
    let (fresh, terms) = (engine.fresh_secret()?, engine.terms(&tenant, &judge));
    let change = |before: Option<&EndpointConfig>| match before {
        Some(before) => before.replace_judged(&body, &terms).map_err(Problem::from),
        None => EndpointConfig::parse_create_judged(&body, fresh, &terms).map_err(Problem::from),
    };
    let (endpoint, made) = engine.put_endpoint(tenant.no, id, change).await?;
    let status = if made { StatusCode::CREATED } else { StatusCode::OK };
    Ok(answer(status, &shown(&tenant, &endpoint)))
}

/// Change an endpoint by a JSON merge patch (RFC 7396).
///
/// Fields that are not given stay, secrets too; null goes back to the default. Where the URL moves to another host, the credential must
/// come with it. URL, credentials and secret are in force for the next attempt, also of what is pending; filters and types for what is
/// accepted from then on.
#[utoipa::path(patch, path = "/v1/tenants/{tenant}/endpoints/{id}", tag = "endpoints", operation_id = "patchEndpoint",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfEndpoint),
    request_body(content((schema::EndpointPatch = "application/merge-patch+json"), (schema::EndpointPatch = "application/json"))),
    responses(
    (status = 200, description = "The endpoint as it is now", body = schema::Endpoint),
    Overloaded,
))]
pub(super) async fn patch(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(request.uri())?;
    if MediaType::of(request.headers())? == MediaType::NdJson {
        return Err(Problem::new(Kind::UnsupportedMedia, "the body must be application/merge-patch+json"));
    }
    let body = body::collect(request, MAX_DOCUMENT).await?;
    let judge = |url: &str| app.engine().judge_url(url);
    let terms = app.engine().terms(&tenant, &judge);
    let change = |before: &EndpointConfig| before.apply_patch_judged(&body, &terms).map_err(Problem::from);
    let changed = app.engine().change_endpoint(tenant.no, &id, change).await?;
    Ok(answer(StatusCode::OK, &shown(&tenant, &changed)))
}

/// Remove an endpoint. What it is still owed is cancelled; its deliveries stay in the log.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/endpoints/{id}", tag = "endpoints", operation_id = "deleteEndpoint",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfEndpoint), responses(
    (status = 204, description = "It is removed"),
    Overloaded,
))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(&uri)?;
    app.engine().delete_endpoint(tenant.no, &id).await?;
    Ok(nothing())
}

/// Read the signing secret in clear, where the endpoint's profile shows it again: 403 where it does not.
///
/// During a rotation it is the new one.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/endpoints/{id}/secret", tag = "endpoints", operation_id = "getEndpointSecret",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfEndpoint), responses(
    (status = 200, description = "The secret; not to be cached", body = schema::Secret),
))]
pub(super) async fn secret(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(&uri)?;
    let secret = app.engine().endpoint_secret(tenant.no, &id)?;
    Ok(super::secret_json(StatusCode::OK, &json!({"secret": secret.reveal()})))
}

/// Change the signing secret, and show the new one. The old one goes on signing beside it for a while.
///
/// Rotating again within that time keeps those that still sign, the newest three of them at most. Where the endpoint's profile
/// has one signature that receivers compare for equality, `overlap_s` means nothing: the new secret signs alone from the moment
/// of rotation. A body is not needed, unless the profile makes no secrets.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/endpoints/{id}/secret/rotate", tag = "endpoints",
    operation_id = "rotateEndpointSecret",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfEndpoint),
    request_body = Option<schema::RotationSpec>, responses(
    (status = 200, description = "The new secret; not to be cached", body = schema::Secret),
    Overloaded,
))]
pub(super) async fn rotate(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(request.uri())?;
    let body = body::optional_document(request).await?;
    let secret = app.engine().rotate_secret::<Problem>(tenant.no, &id, &body).await?;
    Ok(super::secret_json(StatusCode::OK, &json!({"secret": secret.reveal()})))
}

/// Tell of each endpoint whether an event would be owed to it, and why (not).
///
/// Nothing is published. The body may be as large as an event.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/endpoints/match", tag = "endpoints", operation_id = "matchEndpoints",
    security(("token" = ["webhooks-read"])),
    params(schema::InTenant, schema::Paging), request_body = schema::EventSample, responses(
    (status = 200, description = "A page of endpoints, each with its verdict", body = Page<schema::Match>),
))]
pub(super) async fn find_matches(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksRead)?;
    let mut query = Query::of(request.uri())?;
    let page = query.page(List::Matches, tenant.id.as_str());
    query.finish()?;
    let body = body::document_within(request, app.engine().config().max_event_bytes).await?;
    let sample = Sample::parse(&body)?;
    let found = app.engine().match_endpoints(tenant.no, &sample, page.after_text(), page.limit + 1);
    let next_cursor = view::next(&found, page.limit, |(last, _)| {
        cursor::write(List::Matches, tenant.id.as_str(), last.as_str().as_bytes())
    });
    let data: Vec<_> = found
        .iter()
        .take(page.limit)
        .map(|(id, judged)| json!({"endpoint": id.as_str(), "matches": judged.matches, "reason": judged.reason}))
        .collect();
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Send an example of an event type now, and answer with the attempt.
///
/// Tests are bounded: ten at once and then one every two seconds for a tenant, and for a host and port, whoever asks, twenty
/// at once and then one a second.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/endpoints/{id}/test", tag = "endpoints", operation_id = "testEndpoint",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfEndpoint), request_body = schema::TestSpec, responses(
    (status = 200, description = "The attempt, whatever came of it", body = AttemptBody),
    (status = 409, description = "The endpoint cannot be made ready, or is not verified, `detail` says which."),
    (status = 429, description = "Too many tests were asked for by this tenant, or for this host and port; or too many wrong \
        tokens come from this address."),
    Overloaded,
))]
pub(super) async fn test(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(request.uri())?;
    let endpoint = app.engine().endpoint(tenant.no, &id)?.endpoint;
    let body = body::document(request).await?;
    let mut object = Object::parse(postrider_core::json::utf8(&body)?)?;
    let event_type = object.required("type", |value| {
        let text = postrider_core::json::string(value)?;
        if is_type_name(&text) {
            Ok(text.into_owned())
        } else {
            Err("must be an event type such as card.frozen".into())
        }
    });
    let event_type = object.end(event_type)?;
    let (position, _) = app.engine().test_endpoint(tenant.no, endpoint.no, &event_type).await?;
    let attempt = app.engine().shown_attempt_of_test(tenant.no, position).await?;
    Ok(answer(StatusCode::OK, &AttemptBody::from(&attempt)))
}

/// Run the endpoint's ownership challenge now, and answer with the endpoint as it stands then.
///
/// Only where its profile has one (409). What was proven stays so where the challenge fails; what was not is asked for again
/// at growing intervals, as after a change. Bounded as tests are, and together with them.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/endpoints/{id}/challenge", tag = "endpoints",
    operation_id = "challengeEndpoint", security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfEndpoint), responses(
    (status = 200, description = "The endpoint, whatever came of the challenge", body = schema::Endpoint),
    (status = 409, description = "The endpoint's profile has no challenge, or the endpoint was changed meanwhile, `detail` says \
        which."),
    (status = 429, description = "Too many challenges and tests were asked for by this tenant, or for this host and port; or too \
        many wrong tokens come from this address."),
    Overloaded,
))]
pub(super) async fn challenge(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(&uri)?;
    Ok(answer(StatusCode::OK, &shown(&tenant, &app.engine().challenge_endpoint(tenant.no, &id).await?)))
}

pub(super) fn shown(tenant: &Tenant, view: &EndpointView) -> Members {
    let mut shown = view.config.view();
    let (state, retry_at, reason) = match &view.standing.state {
        EndpointState::Active => ("active", None, None),
        EndpointState::Unverified => ("unverified", None, None),
        EndpointState::Paused => ("paused", None, None),
        EndpointState::Tripped { retry_at } => ("tripped", Some(retry_at.rfc3339()), None),
        EndpointState::Disabled { reason } => ("disabled", None, Some(reason.to_string())),
    };
    let challenge = view.ownership.as_ref().map(|ownership| {
        let last = ownership.known.last();
        json!({
            "last_at": last.map(|last| last.at.rfc3339()),
            "error": last.and_then(|last| last.fault.as_deref()),
            "next_at": ownership.due.map(|due| due.rfc3339()),
        })
    });
    let verified = view.ownership.as_ref().is_none_or(|ownership| ownership.known.is_verified());
    let further = [
        ("id", json!(view.endpoint.id.as_str())),
        ("tenant", json!(tenant.id.as_str())),
        ("created_at", json!(view.endpoint.created_at.rfc3339())),
        ("updated_at", json!(view.endpoint.updated_at.rfc3339())),
        ("verified", json!(verified)),
        ("challenge", json!(challenge)),
        ("sequence", json!(view.standing.sequence)),
        ("state", json!(state)),
        ("retry_at", json!(retry_at)),
        ("reason", json!(reason)),
    ];
    shown.extend(further.map(|(name, value)| (name.to_owned(), value.into())));
    shown
}
