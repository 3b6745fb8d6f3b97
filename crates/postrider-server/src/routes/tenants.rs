//! Tenants: whoever owns webhooks.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode, Uri};
use postrider_core::id::TenantId;
use postrider_core::json;
use postrider_core::tenant::TenantConfig;
use postrider_core::token::Scope;
use postrider_engine::error::ServiceError;
use postrider_engine::{OPERATOR, Tenant};
use serde_json::{Map, Value};

use super::path::Path;
use super::{Page, nothing};
use crate::app::App;
use crate::auth::Caller;
use crate::cursor::{self, List};
use crate::openapi::Overloaded;
use crate::problem::Problem;
use crate::query::Query;
use crate::{body, schema, view};

/// Make a tenant, or replace what it is set to.
///
/// What is not given goes back to its default. The operator's own tenant, `_operator`, is there from the first start.
#[utoipa::path(put, path = "/v1/tenants/{tenant}", tag = "tenants", operation_id = "putTenant",
    security(("token" = ["admin"])),
    request_body = schema::TenantSpec,
    params(schema::InTenant), responses(
    (status = 200, body = schema::Tenant, description = "Replaced"),
    (status = 201, body = schema::Tenant, description = "Made"),
    Overloaded,
))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    Query::none(request.uri())?;
    let body = body::document(request).await?;
    let id: TenantId = tenant.parse().map_err(|fault| Problem::fault("/tenant", fault))?;
    let config = TenantConfig::parse(json::utf8(&body)?, app.engine().profiles())?;
    let (tenant, made) = app.engine().put_tenant(id, &config).await?;
    Ok(super::json(if made { StatusCode::CREATED } else { StatusCode::OK }, &shown(&tenant)?))
}

/// Read a tenant.
#[utoipa::path(get, path = "/v1/tenants/{tenant}", tag = "tenants", operation_id = "getTenant",
    security(("token" = ["admin"])),
    params(schema::InTenant), responses(
    (status = 200, description = "The tenant", body = schema::Tenant),
))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    // A call of the operator's, which tells nobody else whether the tenant is there.
    caller.may(Scope::Admin)?;
    let tenant = caller.tenant(&app, &tenant, Scope::Admin)?;
    Query::none(&uri)?;
    Ok(super::json(StatusCode::OK, &shown(&tenant)?))
}

/// Remove a tenant with its endpoints and tokens.
///
/// What is still owed is cancelled. Nothing of it revives where a tenant is made again under its id.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}", tag = "tenants", operation_id = "deleteTenant",
    security(("token" = ["admin"])),
    params(schema::InTenant), responses(
    (status = 204, description = "It is removed"),
    (status = 409, description = "It is the operator's own tenant, which stays."),
    Overloaded,
))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(tenant): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    // A call of the operator's, which tells nobody else whether the tenant is there.
    caller.may(Scope::Admin)?;
    let tenant = caller.tenant(&app, &tenant, Scope::Admin)?;
    Query::none(&uri)?;
    app.engine().delete_tenant(tenant.no).await?;
    Ok(nothing())
}

/// List the tenants by id.
#[utoipa::path(get, path = "/v1/tenants", tag = "tenants", operation_id = "listTenants",
    security(("token" = ["admin"])),
    params(schema::Paging), responses(
    (status = 200, description = "A page of tenants", body = Page<schema::Tenant>),
))]
pub(super) async fn list(State(app): State<App>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    let mut query = Query::of(&uri)?;
    let page = query.page(List::Tenants, "");
    query.finish()?;
    let tenants = app.engine().tenants_after(page.after_text(), page.limit + 1);
    let next = view::next(&tenants, page.limit, |last| {
        cursor::write(List::Tenants, "", last.id.as_str().as_bytes())
    });
    let data = tenants.iter().take(page.limit).map(|tenant| shown(tenant)).collect::<Result<_, _>>()?;
    Ok(super::json(StatusCode::OK, &Page { data, next_cursor: next }))
}

fn shown(tenant: &Tenant) -> Result<Map<String, Value>, Problem> {
    let config = TenantConfig::from_stored(&tenant.doc).map_err(|error| {
        tracing::error!(tenant = tenant.id.as_str(), %error, "a stored tenant cannot be read");
        Problem::from(ServiceError::Internal)
    })?;
    let mut shown = config.public_view();
    if tenant.id.as_str() == OPERATOR {
        // It has none.
        shown.insert("quotas".into(), Value::Null);
    }
    shown.insert("id".into(), tenant.id.as_str().into());
    shown.insert("created_at".into(), tenant.created_at.rfc3339().into());
    shown.insert("updated_at".into(), tenant.updated_at.rfc3339().into());
    Ok(shown)
}
