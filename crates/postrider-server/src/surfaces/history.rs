//! The delivery log as the platforms page through it: by offset, newest first.

use postrider_core::id::TenantNo;
use postrider_engine::log::{Delivery, DeliveryDetail, LogFilter};

use crate::app::App;
use crate::problem::Problem;

/// How far back an offset reaches: what lies behind is found by the log of `/v1`, which pages by place.
pub(super) const MAX_OFFSET: u64 = 10_000;
/// Rows that are read at once on the way to an offset.
const STEP: usize = 250;

/// The deliveries at an offset in the log, `limit` at most, tests left out.
///
/// # Errors
/// As the store fails.
pub(super) async fn rows(
    app: &App,
    filter: LogFilter,
    mut offset: usize,
    limit: usize,
) -> Result<Vec<Delivery>, Problem> {
    let mut rows = Vec::with_capacity(limit);
    let mut before = None;
    // Bounded: pages that show nothing that fits are short, but each leads further back.
    while rows.len() < limit {
        let page = app.engine().log(LogFilter { before, limit: STEP, ..filter.clone() }).await?;
        for row in page.rows.into_iter().filter(|row| row.sequence.is_some()) {
            if offset > 0 {
                offset -= 1;
            } else if rows.len() < limit {
                rows.push(row);
            }
        }
        before = page.next;
        if before.is_none() {
            break;
        }
    }
    Ok(rows)
}

/// Each of these with its payload and attempts. What was cleaned up meanwhile is left out.
///
/// # Errors
/// As the store fails.
pub(super) async fn details(
    app: &App,
    tenant: TenantNo,
    rows: Vec<Delivery>,
) -> Result<Vec<DeliveryDetail>, Problem> {
    let mut details = Vec::with_capacity(rows.len());
    for row in rows {
        match app.engine().delivery(tenant, &row.id.to_string()).await {
            Ok(detail) => details.push(detail),
            Err(postrider_engine::error::ServiceError::NotFound(_)) => {}
            Err(error) => return Err(error.into()),
        }
    }
    Ok(details)
}
