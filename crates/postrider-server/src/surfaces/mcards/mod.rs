//! mCards: registrations, each of one event type.
//!
//! The fields, the form of errors and how partners sign their calls are those of mCards' published documentation. Our choices:
//! the paths, that the list is a bare array, that a registration may do without authentication and signature, that
//! `originator_identifier` lets events pass that have it as their attribute, and that an endpoint which is no registration
//! (made through `/v1`, with several types or a wildcard) is shown, and left as it is.

mod caller;
mod registration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode};
use postrider_core::token::Scope;
use postrider_engine::{EndpointView, Tenant};
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use self::caller::called;
use self::registration::{Registration, RegistrationSpec, Writing, asked, changeable, named};
use super::change::{Fields, as_v1, change_by};
use super::ids::uuid;
use super::partner::told;
use super::seen::Seen;
use crate::app::App;
use crate::problem::Problem;
use crate::routes::path::Path;
use crate::routes::{json as answer, nothing};

pub(super) const NAME: &str = "mcards";

#[derive(OpenApi)]
#[openapi(info(
    title = "mCards' webhooks on Postrider",
    version = "1",
    description = "Webhook registrations, as mCards' partners know them."
))]
struct Document;

pub(super) fn routes() -> OpenApiRouter<App> {
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(create, list))
        .routes(routes!(get, put, patch, delete))
}

/// Errors are `{"errors": [{"detail": "...", "source": {"pointer": "..."}}]}`; 403 where it is the type that the partner may
/// not have.
pub(super) fn written(problem: &Problem) -> (StatusCode, Value) {
    let error = |detail: String, pointer: &str| json!({"detail": detail, "source": {"pointer": pointer}});
    let faults = problem.faults();
    let errors: Vec<Value> = if faults.is_empty() {
        vec![error(problem.detail().to_owned(), "")]
    } else {
        faults.iter().map(|fault| error(told(fault), &fault.pointer)).collect()
    };
    let is_refused = faults.iter().any(|fault| fault.is_refusal);
    let status = if is_refused { StatusCode::FORBIDDEN } else { problem.kind().status() };
    (status, json!({ "errors": errors }))
}

/// The endpoint behind a registration's id.
fn found(app: &App, tenant: &Tenant, id: &str) -> Result<EndpointView, Problem> {
    let id = id.to_ascii_lowercase();
    let found = app.engine().endpoint_where(tenant.no, |endpoint| uuid(endpoint) == id);
    found.map_err(|error| match error {
        postrider_engine::error::ServiceError::NotFound(_) => Problem::not_found("the webhook"),
        other => other.into(),
    })
}

/// Register a webhook.
#[utoipa::path(post, path = "/webhooks", tag = "webhooks", request_body = RegistrationSpec, responses(
    (status = 201, description = "The registration", body = Registration),
    (status = 403, description = "The event type is not available to the partner"),
    (status = 422, description = "What is wrong with it"),
))]
async fn create(State(app): State<App>, request: Request<Body>) -> Result<Response, Problem> {
    let (tenant, request) = called(&app, request, Scope::WebhooksWrite).await?;
    let asked = asked(&app, &tenant, Fields::of(request).await?, &Writing::New);
    let view = asked.make(&app, &tenant, named).await?;
    Ok(answer(StatusCode::CREATED, &Registration::of(&view)))
}

/// List the registrations.
#[utoipa::path(get, path = "/webhooks", tag = "webhooks", responses(
    (status = 200, description = "All of them", body = Vec<Registration>),
))]
async fn list(State(app): State<App>, request: Request<Body>) -> Result<Response, Problem> {
    let (tenant, _) = called(&app, request, Scope::WebhooksRead).await?;
    // As many as the tenant's quota allows.
    let all = app.engine().endpoints_after(tenant.no, None, usize::MAX)?;
    let all: Vec<Registration> = all.iter().map(Registration::of).collect();
    Ok(answer(StatusCode::OK, &all))
}

/// Read a registration.
#[utoipa::path(get, path = "/webhooks/{webhook_uuid}", tag = "webhooks",
    params(("webhook_uuid" = String, Path, description = "Its id")), responses(
    (status = 200, description = "The registration", body = Registration),
    (status = 404, description = "There is none of that id"),
))]
async fn get(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (tenant, _) = called(&app, request, Scope::WebhooksRead).await?;
    Ok(answer(StatusCode::OK, &Registration::of(&found(&app, &tenant, &id)?)))
}

/// Set a registration anew; what authenticates and signs stays where it is not given.
#[utoipa::path(put, path = "/webhooks/{webhook_uuid}", tag = "webhooks", request_body = RegistrationSpec,
    params(("webhook_uuid" = String, Path, description = "Its id")), responses(
    (status = 200, description = "The registration as it is now", body = Registration),
    (status = 403, description = "The event type is not available to the partner"),
    (status = 404, description = "There is none of that id"),
    (status = 409, description = "It was not made here, and is more than a registration can say"),
    (status = 422, description = "What is wrong with it"),
))]
async fn put(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    changed(&app, &id, request, Writing::Whole).await
}

/// Change a registration; what is not given stays.
#[utoipa::path(patch, path = "/webhooks/{webhook_uuid}", tag = "webhooks", request_body = RegistrationSpec,
    params(("webhook_uuid" = String, Path, description = "Its id")), responses(
    (status = 200, description = "The registration as it is now", body = Registration),
    (status = 403, description = "The event type is not available to the partner"),
    (status = 404, description = "There is none of that id"),
    (status = 409, description = "It was not made here, and is more than a registration can say"),
    (status = 422, description = "What is wrong with it"),
))]
async fn patch(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    changed(&app, &id, request, Writing::Parts).await
}

async fn changed(
    app: &App,
    id: &str,
    request: Request<Body>,
    writing: fn(Seen) -> Writing,
) -> Result<Response, Problem> {
    let (tenant, request) = called(app, request, Scope::WebhooksWrite).await?;
    let id = found(app, &tenant, id)?.endpoint.id.clone();
    let given = Fields::of(request).await?;
    let view = change_by(app, &tenant, id.as_str(), named, |before| {
        let before = Seen::of(before.clone());
        changeable(&before)?;
        Ok(asked(app, &tenant, given, &writing(before)))
    });
    Ok(answer(StatusCode::OK, &Registration::of(&view.await?)))
}

/// Remove a registration.
#[utoipa::path(delete, path = "/webhooks/{webhook_uuid}", tag = "webhooks",
    params(("webhook_uuid" = String, Path, description = "Its id")), responses(
    (status = 204, description = "It is removed"),
    (status = 404, description = "There is none of that id"),
    (status = 409, description = "It was not made here, and is more than a registration can say"),
))]
async fn delete(
    State(app): State<App>,
    Path(id): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let (tenant, _) = called(&app, request, Scope::WebhooksWrite).await?;
    let view = found(&app, &tenant, &id)?;
    changeable(&Seen::of(as_v1(&view)))?;
    app.engine().delete_endpoint(tenant.no, view.endpoint.id.as_str()).await?;
    Ok(nothing())
}
