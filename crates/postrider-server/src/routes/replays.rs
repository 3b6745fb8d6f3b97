//! Replays: many deliveries of an endpoint again, as a job that is read and ended.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode, Uri};
use postrider_core::record::Status;
use postrider_core::replay::{ReplayRequest, ReplayState};
use postrider_core::subscription::Pattern;
use postrider_core::time::Timestamp;
use postrider_core::token::Scope;
use postrider_engine::replays::StoredReplay;
use serde::Serialize;
use serde_json::json;
use utoipa::ToSchema;

use super::path::Path;
use super::{Page, json as answer, nothing};
use crate::app::App;
use crate::auth::Caller;
use crate::cursor::{self, List};
use crate::openapi::Overloaded;
use crate::problem::Problem;
use crate::query::Query;
use crate::{body, schema, view};

/// A replay, and how far it has come.
#[derive(Serialize, ToSchema)]
#[schema(as = Replay, examples(json!({
    "id": "rpl_01m7yvxk2pe008kg00000003ad", "tenant": "acme", "endpoint": "ep_01m7yvxdkne5hr0mvpeyw4b0w2",
    "state": "running", "reason": null, "matched": 1_204, "done": 300, "skipped": 0, "expired": 2, "per_second": 100,
    "since": "2026-11-20T00:00:00.000Z", "until": null, "sequence_from": null, "sequence_to": null,
    "statuses": ["failed", "cancelled", "skipped"], "types": null,
    "created_at": "2026-11-21T10:54:59.090Z", "updated_at": "2026-11-21T10:55:02.104Z", "finished_at": null
})))]
pub(super) struct ReplayBody<'a> {
    /// Its id.
    #[schema(value_type = schema::ReplayId)]
    id: &'a str,
    /// Whose it is.
    #[schema(value_type = schema::TenantId)]
    tenant: &'a str,
    /// The endpoint's id.
    #[schema(value_type = schema::EndpointId)]
    endpoint: &'a str,
    /// Whether it goes on.
    #[schema(value_type = schema::ReplayState)]
    state: &'static str,
    /// Why it could not go on.
    #[schema(required, value_type = Option<schema::ReplayReason>)]
    reason: Option<&'static str>,
    /// Deliveries that were covered when it was made.
    matched: u64,
    /// Deliveries that were let go: each is pending again, with a new run.
    done: u64,
    /// Once it is done: deliveries that were passed over, since somebody retried them before their turn came, or they
    /// are not kept any more.
    skipped: u64,
    /// Deliveries that were passed over, since their events have expired.
    expired: u64,
    /// Deliveries that are let go a second, at most.
    #[schema(minimum = 1, maximum = 10_000)]
    per_second: u32,
    /// Accepted at this time or later.
    #[schema(required, value_type = Option<schema::Time>)]
    since: Option<String>,
    /// Accepted before this time.
    #[schema(required, value_type = Option<schema::Time>)]
    until: Option<String>,
    /// With this sequence number or a later one.
    #[schema(required, minimum = 1)]
    sequence_from: Option<u64>,
    /// With this sequence number or an earlier one.
    #[schema(required, minimum = 1)]
    sequence_to: Option<u64>,
    /// With one of these verdicts.
    #[schema(value_type = Vec<schema::Verdict>)]
    statuses: Vec<&'static str>,
    /// Of these types; null: of any.
    #[schema(required, value_type = Option<Vec<schema::TypePattern>>)]
    types: Option<Vec<String>>,
    /// When it was made.
    #[schema(value_type = schema::Time)]
    created_at: String,
    /// When it last went on.
    #[schema(value_type = schema::Time)]
    updated_at: String,
    /// When it ended.
    #[schema(required, value_type = Option<schema::Time>)]
    finished_at: Option<String>,
}

impl<'a> ReplayBody<'a> {
    fn new(tenant: &'a str, endpoint: &'a str, stored: &'a StoredReplay) -> Self {
        let (replay, progress) = (&stored.replay, &stored.progress);
        let filter = &replay.filter;
        let types: Vec<String> = filter.types.iter().map(Pattern::to_string).collect();
        // Never before it was made, though the two are told by different clocks.
        let updated_at = progress.updated_at.max(replay.created_at).rfc3339();
        Self {
            id: &replay.id,
            tenant,
            endpoint,
            state: progress.state.as_str(),
            reason: progress.state.reason().map(|reason| reason.as_str()),
            matched: replay.span.matched,
            done: progress.done,
            skipped: progress.skipped,
            expired: progress.expired,
            per_second: replay.per_second,
            since: filter.since.map(Timestamp::rfc3339),
            until: filter.until.map(Timestamp::rfc3339),
            sequence_from: filter.sequence_from,
            sequence_to: filter.sequence_to,
            statuses: filter.statuses.iter().map(Status::as_str).collect(),
            types: (!types.is_empty()).then_some(types),
            created_at: replay.created_at.rfc3339(),
            finished_at: (progress.state != ReplayState::Running).then(|| updated_at.clone()),
            updated_at,
        }
    }
}

/// Deliver many again.
///
/// What did not arrive in a range of time or of sequence numbers goes out at a pace of its own, below what is accepted meanwhile. With
/// `dry_run` it is only counted.
#[utoipa::path(post, path = "/v1/tenants/{tenant}/endpoints/{id}/replays", tag = "replays", operation_id = "createReplay",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfEndpoint), request_body = schema::ReplaySpec, responses(
    (status = 200, description = "With `dry_run`: how many there are", body = schema::ReplayCount),
    (status = 202, description = "It has begun, which is durable", body = ReplayBody),
    (status = 409, description = "The endpoint is disabled, four of its replays run, or sixteen of the tenant's."),
    Overloaded,
))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    request: Request<Body>,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(request.uri())?;
    app.engine().endpoint(tenant.no, &id)?;
    let asked = ReplayRequest::parse(&body::document(request).await?)?;
    if asked.dry_run {
        let matched = app.engine().count_replay(tenant.no, &id, asked.filter).await?;
        return Ok(answer(StatusCode::OK, &json!({"matched": matched})));
    }
    let begun = app.engine().start_replay(tenant.no, &id, asked).await?;
    Ok(answer(StatusCode::ACCEPTED, &ReplayBody::new(tenant.id.as_str(), &id, &begun)))
}

/// List an endpoint's replays, newest first.
///
/// The last hundred that ended are kept, for 30 days.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/endpoints/{id}/replays", tag = "replays", operation_id = "listReplays",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfEndpoint, schema::Paging), responses(
    (status = 200, description = "A page of replays", body = Page<ReplayBody>),
    Overloaded,
))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id)): Path<(String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    let mut query = Query::of(&uri)?;
    // A cursor leads on in the list of one endpoint alone.
    let scope = format!("{}/{id}", tenant.id.as_str());
    let page = query.page(List::Replays, &scope);
    query.finish()?;
    let before = page.after_text().map(str::to_owned);
    let found = app.engine().replays(tenant.no, &id, before, page.limit + 1).await?;
    let next_cursor = view::next(&found, page.limit, |last| {
        cursor::write(List::Replays, &scope, last.replay.id.as_bytes())
    });
    let data: Vec<_> =
        found.iter().take(page.limit).map(|r| ReplayBody::new(tenant.id.as_str(), &id, r)).collect();
    Ok(answer(StatusCode::OK, &Page { data, next_cursor }))
}

/// Read a replay: how far it has come.
#[utoipa::path(get, path = "/v1/tenants/{tenant}/endpoints/{id}/replays/{replay}", tag = "replays", operation_id = "getReplay",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfEndpoint, schema::OfReplay), responses(
    (status = 200, description = "The replay", body = ReplayBody),
    Overloaded,
))]
pub(super) async fn get(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id, replay)): Path<(String, String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(&uri)?;
    let found = app.engine().replay(tenant.no, &id, &replay).await?;
    Ok(answer(StatusCode::OK, &ReplayBody::new(tenant.id.as_str(), &id, &found)))
}

/// Cancel a replay: it lets nothing more go. What it let go before goes on.
#[utoipa::path(delete, path = "/v1/tenants/{tenant}/endpoints/{id}/replays/{replay}", tag = "replays", operation_id = "cancelReplay",
    security(("token" = ["webhooks-write"])),
    params(schema::InTenant, schema::OfEndpoint, schema::OfReplay), responses(
    (status = 204, description = "It is cancelled, which is durable"),
    (status = 409, description = "It has come to its end."),
    Overloaded,
))]
pub(super) async fn cancel(
    State(app): State<App>,
    caller: Caller,
    Path((tenant, id, replay)): Path<(String, String, String)>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = caller.tenant(&app, &tenant, Scope::WebhooksWrite)?;
    Query::none(&uri)?;
    app.engine().cancel_replay(tenant.no, &id, &replay).await?;
    Ok(nothing())
}
