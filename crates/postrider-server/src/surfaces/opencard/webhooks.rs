//! Webhooks: made, read, changed and removed.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode, Uri};
use postrider_core::token::Scope;

use super::page::{Page, Wanted};
use super::webhook::{Change, Webhook, WebhookSpec, changeable, named, shown};
use super::{OfWebhook, fields, found, organization};
use crate::app::App;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::routes::path::Path;
use crate::routes::{json, nothing, secret_json};
use crate::surfaces::change::change_by;
use crate::surfaces::ids;

/// List an organization's webhooks.
#[utoipa::path(get, path = "/accounts/{account}/organizations/{organization}/webhooks", tag = "webhooks",
    operation_id = "listWebhooks",
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("page" = Option<u64>, Query, description = "Which page, from 1"),
        ("per_page" = Option<u64>, Query, description = "Rows of a page, at most 100; 15 unless given"),
    ),
    responses((status = 200, description = "A page of webhooks", body = Page<Webhook>)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path((account, of)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of, Scope::WebhooksRead)?;
    let wanted = Wanted::of(&uri)?;
    let mut all = app.engine().endpoints_after(tenant.no, None, usize::MAX)?;
    all.sort_unstable_by_key(|view| ids::number(&view.endpoint));
    let all = all.iter().map(|view| shown(view, &of, None)).collect();
    Ok(json(StatusCode::OK, &wanted.cut(all)))
}

/// Make a webhook. It is asked to prove that it knows its secret as soon as the answer is out.
#[utoipa::path(post, path = "/accounts/{account}/organizations/{organization}/webhooks", tag = "webhooks",
    operation_id = "createWebhook", request_body = WebhookSpec,
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
    ),
    responses(
        (status = 201, description = "The webhook, this once with its secret", body = Webhook),
        (status = 400, description = "What is wrong with it"),
        (status = 422, description = "A product that the organization does not have, or too many webhooks"),
    ))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path((account, of)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of, Scope::WebhooksWrite)?;
    let entitled = |name: &str| app.engine().is_entitled(tenant.no, name);
    let given = fields(request).await?;
    let asked = Change { present: None, whole: true, entitled: &entitled }.read(given);
    let (view, secret) = asked.make_with_secret(&app, &tenant, named).await?;
    Ok(secret_json(StatusCode::CREATED, &shown(&view, &of, secret.as_ref().map(|secret| secret.reveal()))))
}

/// Read a webhook.
#[utoipa::path(get, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}", tag = "webhooks",
    operation_id = "getWebhook",
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
    ),
    responses((status = 200, description = "The webhook", body = Webhook)))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((account, of, webhook)): Path<OfWebhook>,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of, Scope::WebhooksRead)?;
    Ok(json(StatusCode::OK, &shown(&found(&app, &tenant, &webhook)?, &of, None)))
}

/// Set a webhook anew. What is absent goes to its default, save for the secret and the authentication, which stay.
#[utoipa::path(put, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}", tag = "webhooks",
    operation_id = "putWebhook", request_body = WebhookSpec,
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
    ),
    responses(
        (status = 200, description = "The webhook as it is now", body = Webhook),
        (status = 400, description = "What is wrong with it"),
        (status = 409, description = "It cannot be said in this form"),
        (status = 422, description = "A product that the organization does not have"),
    ))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<OfWebhook>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    change(&app, &caller, path, request, true).await
}

/// Change some fields of a webhook.
#[utoipa::path(patch, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}", tag = "webhooks",
    operation_id = "patchWebhook", request_body = WebhookSpec,
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
    ),
    responses(
        (status = 200, description = "The webhook as it is now", body = Webhook),
        (status = 400, description = "What is wrong with it"),
        (status = 409, description = "It cannot be said in this form"),
        (status = 422, description = "A product that the organization does not have"),
    ))]
pub(super) async fn patch(
    State(app): State<App>,
    caller: Caller,
    Path(path): Path<OfWebhook>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    change(&app, &caller, path, request, false).await
}

async fn change(
    app: &App,
    caller: &Caller,
    (account, of, webhook): OfWebhook,
    request: Request<Body>,
    whole: bool,
) -> Result<Response, Problem> {
    let tenant = organization(app, caller, &account, &of, Scope::WebhooksWrite)?;
    let id = found(app, &tenant, &webhook)?.endpoint.id.clone();
    let given = fields(request).await?;
    let asks = |v1: &serde_json::Value| {
        changeable(v1)?;
        let entitled = |name: &str| app.engine().is_entitled(tenant.no, name);
        Ok(Change { present: Some(v1), whole, entitled: &entitled }.read(given))
    };
    let view = change_by(app, &tenant, id.as_str(), named, asks).await?;
    Ok(json(StatusCode::OK, &shown(&view, &of, None)))
}

/// Remove a webhook; what it is still owed is not sent any more.
#[utoipa::path(delete, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}", tag = "webhooks",
    operation_id = "deleteWebhook",
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
    ),
    responses((status = 204, description = "It is removed")))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path((account, of, webhook)): Path<OfWebhook>,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of, Scope::WebhooksWrite)?;
    let view = found(&app, &tenant, &webhook)?;
    app.engine().delete_endpoint(tenant.no, view.endpoint.id.as_str()).await?;
    Ok(nothing())
}
