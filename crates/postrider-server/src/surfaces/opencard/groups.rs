//! The groups of a webhook: with any, it takes card transactions of these buyer parties alone, and everything else as before.
//!
//! They are a filter of the endpoint on the attribute `buyer_party`, for the types of card transactions.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode, Uri};
use postrider_core::fault::Fault;
use postrider_core::token::Scope;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::flags::TRANSACTIONS;
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

/// The attribute of events that holds the buyer party, and the field of a group that does.
const BUYER_PARTY: &str = "buyer_party";

/// A group.
#[derive(Serialize, ToSchema)]
pub(super) struct Group {
    /// Follows from its buyer party.
    id: u32,
    buyer_party: String,
}

/// A group that a partner adds.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct GroupSpec {
    /// Whose card transactions the webhook takes.
    buyer_party: String,
}

impl Group {
    fn new(buyer_party: &str) -> Self {
        Self { id: ids::part(buyer_party), buyer_party: buyer_party.to_owned() }
    }
}

/// The groups that an endpoint's filters are; `None` where they are more or something else.
fn of(v1: &Value) -> Option<Vec<Group>> {
    let filters = &v1["filters"];
    if filters.is_null() {
        return Some(Vec::new());
    }
    let for_transactions = filters["event_types"] == json!([TRANSACTIONS]);
    let attributes = filters["attributes"].as_object().filter(|attributes| attributes.len() == 1)?;
    let no_others = filters["data"].as_array().is_none_or(Vec::is_empty);
    let parties = attributes.get(BUYER_PARTY).filter(|_| for_transactions && no_others)?.as_array()?;
    parties.iter().map(|party| party.as_str().map(Group::new)).collect()
}

/// A change that leaves these groups.
fn leaving(groups: &[Group], faults: Vec<Fault>) -> Asked {
    let parties: Vec<&str> = groups.iter().map(|group| &*group.buyer_party).collect();
    let filters = match parties.is_empty() {
        true => Value::Null,
        false => json!({"event_types": [TRANSACTIONS], "attributes": { BUYER_PARTY: parties }}),
    };
    Asked { fields: Map::from_iter([("filters".to_owned(), filters)]), faults }
}

fn named(pointer: &str) -> String {
    if pointer.starts_with("/filters") { format!("/{BUYER_PARTY}") } else { pointer.into() }
}

fn filtered_otherwise() -> Problem {
    Problem::new(Kind::Conflict, "the webhook has filters that are no groups; change them through /v1")
}

/// List a webhook's groups.
#[utoipa::path(get, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}/groups", tag = "groups",
    operation_id = "listGroups",
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
        ("page" = Option<u64>, Query, description = "Which page, from 1"),
        ("per_page" = Option<u64>, Query, description = "Rows of a page, at most 100; 15 unless given"),
    ),
    responses((status = 200, description = "A page of groups", body = Page<Group>)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path((account, of_account, webhook)): Path<OfWebhook>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of_account, Scope::WebhookGroupsRead)?;
    let wanted = Wanted::of(&uri)?;
    let view = found(&app, &tenant, &webhook)?;
    Ok(answer(StatusCode::OK, &wanted.cut(of(&as_v1(&view)).unwrap_or_default())))
}

/// Add a group: card transactions of its buyer party are wanted, beside those of the other groups.
#[utoipa::path(post, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}/groups", tag = "groups",
    operation_id = "addGroup", request_body = GroupSpec,
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
    ),
    responses(
        (status = 201, description = "The group", body = Group),
        (status = 400, description = "What is wrong with it"),
        (status = 409, description = "There is one for that buyer party, or the webhook has filters that are no groups"),
    ))]
pub(super) async fn add(
    State(app): State<App>,
    caller: Caller,
    Path((account, of_account, webhook)): Path<OfWebhook>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of_account, Scope::WebhookGroupsWrite)?;
    let id = found(&app, &tenant, &webhook)?.endpoint.id.clone();
    let mut given = fields(request).await?;
    let party = given.filled(BUYER_PARTY);
    if party.is_none() {
        given.fault_unless_told(BUYER_PARTY, "is missing");
    }
    let faults = given.faults();
    let Some(party) = party else { return Err(Problem::invalid(faults)) };
    let asks = |v1: &Value| {
        changeable(v1)?;
        let mut groups = of(v1).ok_or_else(filtered_otherwise)?;
        let group = Group::new(&party);
        if groups.iter().any(|present| present.id == group.id) {
            return Err(Problem::new(Kind::Conflict, "the webhook has a group for that buyer party"));
        }
        groups.push(group);
        Ok(leaving(&groups, faults))
    };
    change_by(&app, &tenant, id.as_str(), named, asks).await?;
    Ok(answer(StatusCode::CREATED, &Group::new(&party)))
}

/// Take a group off a webhook; without any, it takes all card transactions.
#[utoipa::path(delete, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}/groups/{group}",
    tag = "groups", operation_id = "deleteGroup",
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
        ("group" = u32, Path, description = "The group"),
    ),
    responses((status = 204, description = "It is taken off")))]
pub(super) async fn remove(
    State(app): State<App>,
    caller: Caller,
    Path((account, of_account, webhook, group)): Path<BelowWebhook>,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of_account, Scope::WebhookGroupsDelete)?;
    let id = found(&app, &tenant, &webhook)?.endpoint.id.clone();
    let asks = |v1: &Value| {
        let mut groups = of(v1).unwrap_or_default();
        let before = groups.len();
        let wanted = ids::read_number(&group);
        groups.retain(|present| Some(present.id) != wanted);
        if groups.len() == before {
            return Err(Problem::not_found("the group"));
        }
        changeable(v1)?;
        Ok(leaving(&groups, Vec::new()))
    };
    change_by(&app, &tenant, id.as_str(), named, asks).await?;
    Ok(nothing())
}
