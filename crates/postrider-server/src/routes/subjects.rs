//! Subjects: whose a card or an account is.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode, Uri};
use postrider_core::id::{SubjectId, TenantId};
use postrider_core::json;
use postrider_core::subject::SubjectConfig;
use postrider_core::token::Scope;
use postrider_engine::Subject;
use serde::Serialize;
use utoipa::ToSchema;

use super::path::Path;
use super::{json as answer, nothing};
use crate::app::App;
use crate::auth::Caller;
use crate::openapi::Overloaded;
use crate::problem::Problem;
use crate::query::Query;
use crate::{body, schema};

/// A card or an account, and whose it is.
#[derive(Serialize, ToSchema)]
#[schema(as = Subject, examples(json!({
    "id": "card-f9e8d7c6", "tenants": ["acme", "loyalty-club"], "created_at": "2026-11-21T10:54:56.310Z",
    "updated_at": "2026-11-21T10:54:56.310Z"
})))]
pub(super) struct SubjectBody<'a> {
    /// Its id.
    #[schema(value_type = schema::SubjectId)]
    id: &'a str,
    /// The tenants that it belongs to, and that are there.
    #[schema(value_type = Vec<schema::TenantId>)]
    tenants: Vec<&'a str>,
    /// When it was made.
    #[schema(value_type = schema::Time)]
    created_at: String,
    /// When it was last changed.
    #[schema(value_type = schema::Time)]
    updated_at: String,
}

impl<'a> From<&'a Subject> for SubjectBody<'a> {
    fn from(subject: &'a Subject) -> Self {
        Self {
            id: subject.id.as_str(),
            tenants: subject.tenants.iter().map(|tenant| tenant.id.as_str()).collect(),
            created_at: subject.created_at.rfc3339(),
            updated_at: subject.updated_at.rfc3339(),
        }
    }
}

/// Make a subject, or give it to other tenants. Events that are published by it go to all of them.
#[utoipa::path(put, path = "/v1/subjects/{subject}", tag = "subjects", operation_id = "putSubject",
    security(("token" = ["admin"])),
    request_body = schema::SubjectSpec,
    params(schema::OfSubject), responses(
    (status = 200, body = SubjectBody, description = "Replaced"),
    (status = 201, body = SubjectBody, description = "Made"),
    Overloaded,
))]
pub(super) async fn put(
    State(app): State<App>,
    caller: Caller,
    Path(subject): Path<String>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    Query::none(request.uri())?;
    let body = body::document(request).await?;
    let id: SubjectId = subject.parse().map_err(|fault| Problem::fault("/subject", fault))?;
    let exists = |tenant: &TenantId| app.engine().tenant_no(tenant.as_str()).is_some();
    let config = SubjectConfig::parse(json::utf8(&body)?, exists)?;
    let (subject, made) = app.engine().put_subject(id, &config).await?;
    Ok(answer(if made { StatusCode::CREATED } else { StatusCode::OK }, &SubjectBody::from(&subject)))
}

/// Read a subject.
#[utoipa::path(get, path = "/v1/subjects/{subject}", tag = "subjects", operation_id = "getSubject",
    security(("token" = ["admin"])),
    params(schema::OfSubject), responses(
    (status = 200, description = "The subject", body = SubjectBody),
    Overloaded,
))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path(subject): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    Query::none(&uri)?;
    Ok(answer(StatusCode::OK, &SubjectBody::from(&app.engine().subject(&subject).await?)))
}

/// Remove a subject. Its events stay; no more are published by it.
#[utoipa::path(delete, path = "/v1/subjects/{subject}", tag = "subjects", operation_id = "deleteSubject",
    security(("token" = ["admin"])),
    params(schema::OfSubject), responses(
    (status = 204, description = "It is removed"),
    Overloaded,
))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(subject): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    Query::none(&uri)?;
    app.engine().delete_subject(&subject).await?;
    Ok(nothing())
}
