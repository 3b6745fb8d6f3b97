//! The feed: what is owed to an endpoint, by sequence, in one scan of its order.

use postrider_core::id::{EndpointNo, Position};
use postrider_core::record::{DeliveryRef, Status};
use postrider_store::{FeedEntry, FeedPage, PageLimit};
use rusqlite::{Connection, OptionalExtension, params};

use crate::chunks::Owner;
use crate::error::Res;
use crate::journal::Journal;
use crate::memory::Shared;
use crate::order::BySequence;
use crate::pool::For;
use crate::recover;
use crate::rows::int;

/// What comes after a sequence number, oldest first.
pub(crate) fn page(shared: &Shared, endpoint: EndpointNo, after: u64, limit: PageLimit) -> Res<FeedPage> {
    let owner = Owner::from(endpoint);
    let most = limit.entries.max(1);
    let (view, (pieces, remembered)) = shared.view(For::Answers, |memory| {
        (memory.tails.oldest_beyond(owner, after, most), memory.tails.sequence(owner))
    })?;
    let conn = view.conn();
    let last_sequence = match remembered {
        0 => recover::written_sequence(conn, endpoint)?,
        known => known,
    };
    let mut page = FeedPage { entries: Vec::new(), last_sequence };
    if last_sequence <= after {
        return Ok(page);
    }
    let mut order = BySequence::after(conn, owner, after, pieces)?;
    let mut journal = Journal::new(conn);
    let mut bytes = 0;
    while page.entries.len() < most
        && let Some(position) = order.next(conn)?
    {
        view.check()?;
        let Some(row) = journal.row(position)? else {
            // Removed, and with it what lies before the next row that is left.
            let Some(left) = journal.first_from(position)? else { break };
            order.skip_to(left);
            continue;
        };
        let found = row.event_at(position).and_then(|event| Some((event, event.delivery(position)?)));
        let Some((event, owed)) = found else { continue };
        bytes += event.attributes + event.data;
        if bytes > limit.bytes && !page.entries.is_empty() {
            break;
        }
        let delivery = DeliveryRef {
            position,
            event: event.event.position,
            tenant: event.event.tenant,
            endpoint,
            sequence: owed.sequence,
        };
        let status = status(conn, position)?;
        page.entries.push(FeedEntry { delivery, status, event: journal.full(&row, event)? });
    }
    Ok(page)
}

/// The state of a delivery of which something is left: pending, unless the log says otherwise.
fn status(conn: &Connection, position: Position) -> Res<Status> {
    let status: Option<u8> = conn
        .prepare_cached("SELECT status FROM log WHERE position = ?1")?
        .query_row(params![int(position.0)], |r| r.get(0))
        .optional()?;
    Ok(status.and_then(Status::from_u8).unwrap_or(Status::Pending))
}
