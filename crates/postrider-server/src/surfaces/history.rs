//! The delivery log as the platforms page through it: by offset, newest first.

use postrider_core::id::TenantNo;
use postrider_engine::log::{Delivery, DeliveryDetail, LogFilter};

use crate::app::App;
use crate::problem::Problem;

/// How far back an offset reaches: what lies behind is found by the log of `/v1`, which pages by place.
pub(super) const MAX_OFFSET: u64 = 10_000;
/// Pages of the log that one request has read, at most: what fits but lies further back is not shown.
pub(super) const MAX_STEPS: usize = 100;
/// Bytes of payloads that one answer shows, at most.
const MAX_SHOWN: usize = 32 << 20;
/// Rows that are read at once on the way to an offset.
const STEP: usize = 250;

/// The deliveries at an offset among those of the log that fit, `limit` at most, tests left out.
///
/// # Errors
/// As the store fails.
pub(super) async fn rows(
    app: &App,
    filter: LogFilter,
    fits: impl Fn(&Delivery) -> bool,
    mut offset: usize,
    limit: usize,
) -> Result<Vec<Delivery>, Problem> {
    let mut rows = Vec::with_capacity(limit);
    let mut before = None;
    for _ in 0..MAX_STEPS {
        let page = app.engine().log(LogFilter { before, limit: STEP, ..filter.clone() }).await?;
        for row in page.rows.into_iter().filter(|row| row.sequence.is_some() && fits(row)) {
            if offset > 0 {
                offset -= 1;
            } else if rows.len() < limit {
                rows.push(row);
            }
        }
        before = page.next;
        if before.is_none() || rows.len() >= limit {
            break;
        }
    }
    Ok(rows)
}

/// Each of these with its payload and its last attempt. What was cleaned up meanwhile is left out.
///
/// # Errors
/// 422 where the payloads are too large to be shown together; else as the store fails.
pub(super) async fn details(
    app: &App,
    tenant: TenantNo,
    rows: Vec<Delivery>,
) -> Result<Vec<DeliveryDetail>, Problem> {
    let (mut details, mut shown) = (Vec::with_capacity(rows.len()), 0);
    for row in rows {
        match app.engine().delivery(tenant, &row.id.to_string()).await {
            Ok(mut detail) => {
                let last = detail.attempts.len().saturating_sub(1);
                detail.attempts.drain(..last);
                shown += detail.payload.len();
                if shown > MAX_SHOWN {
                    return Err(Problem::fault(
                        "/limit",
                        "asks for more than 32 MiB of payloads; ask for fewer at once",
                    ));
                }
                details.push(detail);
            }
            Err(postrider_engine::error::ServiceError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(details)
}
