//! The further headers of a webhook's deliveries, each with a number.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode, Uri};
use postrider_core::endpoint::headers::{check_name, check_value};
use postrider_core::token::Scope;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::page::{Page, Wanted};
use super::webhook::changeable;
use super::{BelowWebhook, OfWebhook, fields, found, organization};
use crate::app::App;
use crate::auth::Caller;
use crate::problem::{Kind, Problem};
use crate::routes::path::Path;
use crate::routes::{json as answer, nothing};
use crate::surfaces::change::{Asked, as_v1, change_by};
use crate::surfaces::ids;

/// A header.
#[derive(Serialize, ToSchema)]
pub(super) struct Header {
    /// Follows from its name.
    id: u32,
    key: String,
    value: String,
}

/// A header that a partner adds.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct HeaderSpec {
    key: String,
    value: String,
}

/// Names that differ only in case are one.
fn number(key: &str) -> u32 {
    ids::part(&key.to_ascii_lowercase())
}

fn of(v1: &Value) -> Vec<Header> {
    let all = v1["headers"].as_object().into_iter().flatten();
    let shown = |(key, value): (&String, &Value)| Header {
        id: number(key),
        key: key.clone(),
        value: value.as_str().unwrap_or_default().to_owned(),
    };
    all.map(shown).collect()
}

/// What is left to be said once name and value are headers is that the name is taken.
fn named(pointer: &str) -> String {
    if pointer.starts_with("/headers") { "/key".into() } else { pointer.into() }
}

/// List a webhook's headers.
#[utoipa::path(get, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}/headers", tag = "headers",
    operation_id = "listHeaders",
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
        ("page" = Option<u64>, Query, description = "Which page, from 1"),
        ("per_page" = Option<u64>, Query, description = "Rows of a page, at most 100; 15 unless given"),
    ),
    responses((status = 200, description = "A page of headers", body = Page<Header>)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path((account, of_account, webhook)): Path<OfWebhook>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of_account, Scope::WebhookHeadersRead)?;
    let wanted = Wanted::of(&uri)?;
    let view = found(&app, &tenant, &webhook)?;
    Ok(answer(StatusCode::OK, &wanted.cut(of(&as_v1(&view)))))
}

/// Add a header to a webhook's deliveries.
#[utoipa::path(post, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}/headers", tag = "headers",
    operation_id = "addHeader", request_body = HeaderSpec,
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
    ),
    responses(
        (status = 201, description = "The header", body = Header),
        (status = 400, description = "What is wrong with it"),
        (status = 409, description = "There is one of that name"),
    ))]
pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    Path((account, of_account, webhook)): Path<OfWebhook>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of_account, Scope::WebhookHeadersWrite)?;
    let id = found(&app, &tenant, &webhook)?.endpoint.id.clone();
    let mut given = fields(request).await?;
    let (key, value) = (given.text("key"), given.text("value"));
    let checks = [("key", key.as_deref().map(check_name)), ("value", value.as_deref().map(check_value))];
    for (name, checked) in checks {
        match checked {
            None => given.fault_unless_told(name, "is missing"),
            Some(Err(detail)) => given.fault(name, detail),
            Some(Ok(())) => {}
        }
    }
    let faults = given.faults();
    let (Some(key), Some(value)) = (key, value) else { return Err(Problem::invalid(faults)) };
    let header = Header { id: number(&key), key, value };
    let asks = |v1: &Value| {
        changeable(v1)?;
        if of(v1).iter().any(|present| present.id == header.id) {
            return Err(Problem::new(Kind::Conflict, "the webhook has a header of that name"));
        }
        let headers = json!({ header.key.clone(): header.value });
        Ok(Asked { fields: Map::from_iter([("headers".to_owned(), headers)]), faults })
    };
    change_by(&app, &tenant, id.as_str(), named, asks).await?;
    Ok(answer(StatusCode::CREATED, &header))
}

/// Take a header off a webhook's deliveries.
#[utoipa::path(delete, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}/headers/{header}",
    tag = "headers", operation_id = "deleteHeader",
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
        ("header" = u32, Path, description = "The header"),
    ),
    responses((status = 204, description = "It is taken off")))]
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((account, of_account, webhook, header)): Path<BelowWebhook>,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of_account, Scope::WebhookHeadersDelete)?;
    let id = found(&app, &tenant, &webhook)?.endpoint.id.clone();
    let asks = |v1: &Value| {
        let wanted = ids::read_number(&header);
        let header = of(v1).into_iter().find(|present| Some(present.id) == wanted);
        let header = header.ok_or_else(|| Problem::not_found("the header"))?;
        changeable(v1)?;
        let headers = json!({ header.key: null });
        Ok(Asked { fields: Map::from_iter([("headers".to_owned(), headers)]), faults: Vec::new() })
    };
    change_by(&app, &tenant, id.as_str(), named, asks).await?;
    Ok(nothing())
}
