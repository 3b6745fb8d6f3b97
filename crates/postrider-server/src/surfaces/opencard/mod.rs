//! OpenCard: webhooks of the organizations of an account, with flags for what they take, headers and groups beneath them,
//! and the log of what was sent.
//!
//! The paths, fields and codes are those of OpenCard's published documentation. Our choices: what a `PUT` leaves out of the
//! authentication stays; the numbers of headers and groups follow from what they are; pages have at most 100 rows.

mod flags;
mod groups;
mod headers;
mod log;
mod page;
mod token;
mod webhook;
mod webhooks;

use std::sync::Arc;

use axum::body::Body;
use http::{Request, StatusCode};
use postrider_core::fault::Fault;
use postrider_core::token::Scope;
use postrider_engine::error::ServiceError;
use postrider_engine::{EndpointView, Tenant};
use serde_json::{Value, json};
use utoipa::OpenApi;
use utoipa_axum::router::OpenApiRouter;
use utoipa_axum::routes;

use super::change::Fields;
use super::ids;
use super::partner::tenant_named;
use super::told::sentence;
use crate::app::App;
use crate::auth::Caller;
use crate::problem::{Kind, Problem};

pub(super) const NAME: &str = "opencard";

/// Where everything but tokens is found too.
const APPLICATION: &str = "/api/v1/application";

#[derive(OpenApi)]
#[openapi(info(
    title = "OpenCard's webhooks on Postrider",
    version = "1",
    description = "Webhooks and their log, as OpenCard's partners know them. All paths below /accounts are found below \
                   /api/v1/application/accounts too."
))]
struct Document;

pub(super) fn routes() -> OpenApiRouter<App> {
    let described = below_accounts();
    let again = below_accounts().split_for_parts().0;
    let again = OpenApiRouter::from(axum::Router::new().nest(APPLICATION, again));
    OpenApiRouter::with_openapi(Document::openapi())
        .routes(routes!(token::issue))
        .merge(described)
        .merge(again)
}

fn below_accounts() -> OpenApiRouter<App> {
    OpenApiRouter::new()
        .routes(routes!(webhooks::list, webhooks::create))
        .routes(routes!(webhooks::get, webhooks::put, webhooks::patch, webhooks::delete))
        .routes(routes!(headers::list, headers::add))
        .routes(routes!(headers::remove))
        .routes(routes!(groups::list, groups::add))
        .routes(routes!(groups::remove))
        .routes(routes!(log::test))
        .routes(routes!(log::list))
}

/// Errors are `{"error": "..."}`: 400 for what is not valid, 422 for what a rule forbids.
pub(super) fn written(problem: &Problem) -> (StatusCode, Value) {
    // What is said of a webhook as a whole is that there is no room for it.
    let is_rule = |fault: &Fault| fault.pointer.is_empty() || fault.detail == flags::LACKS_PRODUCT;
    let is_invalid = problem.kind() == Kind::Invalid && !problem.faults().iter().all(is_rule);
    let status = if is_invalid { StatusCode::BAD_REQUEST } else { problem.kind().status() };
    (status, json!({ "error": sentence(problem) }))
}

/// Reads a request's body, of which nothing can be a rule's business.
///
/// # Errors
/// As [`Fields::of`], with 400 in place of 422.
async fn fields(request: Request<Body>) -> Result<Fields, Problem> {
    Fields::of(request).await.map_err(|problem| match problem.kind() {
        Kind::Invalid => {
            Problem::new(Kind::Malformed, problem.detail().to_owned()).with(problem.faults().to_vec())
        }
        _ => problem,
    })
}

/// The tenant of an organization: `{account}:{organization}`, of which neither part holds a colon, so that no two paths lead
/// to one tenant.
fn organization(
    app: &App,
    caller: &Caller,
    account: &str,
    organization: &str,
    scope: Scope,
) -> Result<Arc<Tenant>, Problem> {
    if [account, organization].iter().any(|part| part.contains(':')) {
        return Err(Problem::not_found("the account"));
    }
    tenant_named(app, caller, NAME, &format!("{account}:{organization}"), scope)
}

/// A webhook of a tenant by its number.
fn found(app: &App, tenant: &Tenant, number: &str) -> Result<EndpointView, Problem> {
    let none = || Problem::not_found("the webhook");
    let number = ids::read_number(number).ok_or_else(none)?;
    let found = app.engine().endpoint_where(tenant.no, |endpoint| ids::number(endpoint) == number);
    found.map_err(|error| match error {
        ServiceError::NotFound(_) => none(),
        other => other.into(),
    })
}

/// The path of a webhook: account, organization, webhook.
type OfWebhook = (String, String, String);
/// The path of something beneath a webhook.
type BelowWebhook = (String, String, String, String);
