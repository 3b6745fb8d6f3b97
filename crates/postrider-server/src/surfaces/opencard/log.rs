//! What was sent to a webhook: every attempt, newest first; and one more at once, to test it.

use axum::extract::State;
use axum::response::Response;
use http::{StatusCode, Uri};
use postrider_core::id::TenantNo;
use postrider_core::token::Scope;
use postrider_engine::error::ServiceError;
use postrider_engine::log::{Attempt, DeliveryDetail, LogFilter};
use serde::Serialize;
use serde_json::value::RawValue;
use utoipa::ToSchema;

use super::flags::FLAGS;
use super::page::{Page, Wanted};
use super::{BelowWebhook, OfWebhook, found, organization};
use crate::app::App;
use crate::auth::Caller;
use crate::problem::Problem;
use crate::routes::json;
use crate::routes::path::Path;
use crate::surfaces::history::{MAX_OFFSET, MAX_STEPS};

/// Deliveries that are read at once on the way through the log.
const STEP: usize = 250;

/// An attempt.
#[derive(Serialize, ToSchema)]
pub(super) struct Logged {
    id: u64,
    /// The event's type.
    event: String,
    /// The HTTP status that came back; null where none came.
    #[schema(required)]
    status: Option<u16>,
    /// What was sent.
    #[schema(value_type = Object)]
    payload: Box<RawValue>,
    /// Which attempt at this event it was, from 1.
    attempt: u32,
    created_at: String,
}

/// What came back when a webhook was tested.
#[derive(Serialize, ToSchema)]
pub(super) struct Tested {
    /// The type of which an example was sent.
    event: String,
    /// The HTTP status that came back; null where none came.
    #[schema(required)]
    status: Option<u16>,
    /// What came with it.
    response: String,
    /// What went wrong; null where nothing did.
    #[schema(required)]
    error: Option<String>,
    created_at: String,
}

/// Send an example of a type now.
#[utoipa::path(post, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}/test/{event}",
    tag = "log", operation_id = "testWebhook",
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
        ("event" = String, Path, description = "The type, such as card.transaction.cleared"),
    ),
    responses(
        (status = 200, description = "What came back", body = Tested),
        (status = 409, description = "The webhook is not active"),
        (status = 429, description = "Too many tests"),
    ))]
pub(super) async fn test(
    State(app): State<App>,
    caller: Caller,
    Path((account, of, webhook, event)): Path<BelowWebhook>,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of, Scope::WebhooksWrite)?;
    let view = found(&app, &tenant, &webhook)?;
    if !FLAGS.iter().any(|(_, name)| *name == event) {
        return Err(Problem::not_found("the event"));
    }
    let (position, _) = app.engine().test_endpoint(tenant.no, view.endpoint.no, &event).await?;
    let attempt = app.engine().shown_attempt_of_test(tenant.no, position).await?;
    let tested = Tested {
        event,
        status: attempt.status_code,
        response: attempt.response_body,
        error: attempt.error.map(|(_, detail)| detail.into()),
        created_at: attempt.started_at.rfc3339(),
    };
    Ok(json(StatusCode::OK, &tested))
}

/// List the attempts at a webhook: by event, the newest first, and of each event the newest first; those of the newest 10,000 events.
#[utoipa::path(get, path = "/accounts/{account}/organizations/{organization}/webhooks/{webhook}/events", tag = "log",
    operation_id = "listAttempts",
    params(
        ("account" = String, Path, description = "The account"),
        ("organization" = String, Path, description = "The organization"),
        ("webhook" = u32, Path, description = "The webhook"),
        ("page" = Option<u64>, Query, description = "Which page, from 1"),
        ("per_page" = Option<u64>, Query, description = "Rows of a page, at most 100; 15 unless given"),
    ),
    responses((status = 200, description = "A page of attempts", body = Page<Logged>)))]
pub(super) async fn list(
    State(app): State<App>,
    caller: Caller,
    Path((account, of, webhook)): Path<OfWebhook>,
    uri: Uri,
) -> Result<Response, Problem> {
    let tenant = organization(&app, &caller, &account, &of, Scope::WebhookEventsRead)?;
    let wanted = Wanted::of(&uri)?;
    let view = found(&app, &tenant, &webhook)?;
    let counted = counted(&app, tenant.no, view.endpoint.id.as_str()).await?;
    let total = counted.iter().map(|(_, attempts)| attempts).sum();
    let (mut skip, mut rows) = (wanted.offset(), Vec::with_capacity(wanted.limit()));
    for (id, attempts) in counted {
        if rows.len() >= wanted.limit() {
            break;
        }
        if skip >= attempts {
            skip -= attempts;
            continue;
        }
        match app.engine().delivery(tenant.no, &id).await {
            Ok(detail) => {
                let newest_first = detail.attempts.iter().rev().skip(skip).take(wanted.limit() - rows.len());
                rows.extend(newest_first.filter_map(|attempt| logged(&detail, attempt)));
            }
            // Cleaned up a moment ago.
            Err(ServiceError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
        skip = 0;
    }
    Ok(json(StatusCode::OK, &wanted.page(rows, total)))
}

/// The newest deliveries to an endpoint that were tried, tests left out, and how often each was.
async fn counted(app: &App, tenant: TenantNo, endpoint: &str) -> Result<Vec<(String, usize)>, Problem> {
    let most = usize::try_from(MAX_OFFSET).unwrap_or(usize::MAX);
    let filter = LogFilter {
        tenant: Some(tenant),
        endpoint: Some(endpoint.to_owned()),
        limit: STEP,
        ..LogFilter::default()
    };
    let (mut counted, mut before) = (Vec::new(), None);
    for _ in 0..MAX_STEPS {
        let page = app.engine().log(LogFilter { before, ..filter.clone() }).await?;
        for row in page.rows.iter().filter(|row| row.sequence.is_some() && row.attempts > 0) {
            counted.push((row.id.to_string(), usize::try_from(row.attempts).unwrap_or(usize::MAX)));
        }
        before = page.next;
        if before.is_none() || counted.len() >= most {
            break;
        }
    }
    counted.truncate(most);
    Ok(counted)
}

fn logged(detail: &DeliveryDetail, attempt: &Attempt) -> Option<Logged> {
    Some(Logged {
        id: (attempt.id.position.0 << 12) | u64::from(attempt.id.ordinal),
        event: detail.delivery.event.event_type.to_string(),
        status: attempt.status_code,
        payload: serde_json::from_slice(&detail.payload).ok()?,
        attempt: attempt.number,
        created_at: attempt.started_at.rfc3339(),
    })
}
