//! The operator's list of endpoints over all tenants.

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use postrider_core::token::Scope;
use postrider_engine::EndpointState;
use postrider_engine::overview::EndpointFilter;

use super::endpoints::shown;
use super::{Page, json};
use crate::app::App;
use crate::auth::Caller;
use crate::cursor::{self, List};
use crate::problem::Problem;
use crate::query::Query;
use crate::schema;

/// What parts the tenant's id from the endpoint's in a cursor: neither has it.
const PART: char = '/';

/// List endpoints over all tenants by tenant and id.
///
/// A page may be short, or empty, and still have a next one.
#[utoipa::path(get, path = "/v1/endpoints", tag = "endpoints", operation_id = "listAllEndpoints",
    security(("token" = ["admin"])),
    params(schema::OfTenant, schema::EndpointQuery, schema::Paging), responses(
    (status = 200, description = "A page of endpoints", body = Page<schema::Endpoint>),
))]
pub(super) async fn endpoints(State(app): State<App>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    let mut query = Query::of(&uri)?;
    let tenant = query.name("tenant");
    let owner = tenant.clone().unwrap_or_default();
    let state = query.take("state", |text| {
        if EndpointState::NAMES.contains(&text) {
            Ok(text.to_owned())
        } else {
            Err(format!("must be one of {}", EndpointState::NAMES.join(", ")).into())
        }
    });
    let page = query.page(List::AllEndpoints, &owner);
    query.finish()?;
    let after = page.after_text().and_then(|text| text.split_once(PART));
    let after = after.map(|(tenant, endpoint)| (tenant.to_owned(), endpoint.to_owned()));
    let filter = EndpointFilter { tenant, state, after, limit: page.limit };
    let page = app.engine().endpoints_over_all(&filter)?;
    let next_cursor = page.next.map(|(tenant, endpoint)| {
        cursor::write(List::AllEndpoints, &owner, format!("{tenant}{PART}{endpoint}").as_bytes())
    });
    let data: Vec<_> = page.rows.iter().map(|(tenant, endpoint)| shown(tenant, endpoint)).collect();
    Ok(json(StatusCode::OK, &Page { data, next_cursor }))
}
