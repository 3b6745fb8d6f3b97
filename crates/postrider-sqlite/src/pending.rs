//! Pending work: rows of `pending` and open deliveries of the overlay, merged into one order.

use postrider_core::id::{EndpointNo, Position};
use postrider_core::record::{LaneKey, Loaded, PendingRow};
use postrider_core::time::Timestamp;
use postrider_store::{Page, PageLimit, StoreError};
use rusqlite::{Connection, OptionalExtension, Params, params};

use crate::error::Res;
use crate::journal::{self, Journal};
use crate::memory::Shared;
use crate::overlay::Open;
use crate::pool::{For, View};
use crate::rows::{self, PENDING, int, place_columns};

/// Rows that a count takes at once, so that what it has is not lost when its time is over.
const COUNTED_AT_ONCE: u64 = 4_096;

/// Rows that a statement gives, at most.
fn rows_of(conn: &Connection, filter: &str, params: impl Params) -> Res<Vec<PendingRow>> {
    let mut statement = conn.prepare_cached(&format!("SELECT {PENDING} FROM pending {filter}"))?;
    let rows = statement.query_map(params, rows::pending_row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// Due deliveries whose rank lies after `after`.
pub(crate) fn due(shared: &Shared, endpoint: EndpointNo, after: Position, limit: PageLimit) -> Res<Page> {
    let most = limit.entries.max(1) + 1;
    let (view, (open, watermark)) = shared.view(For::Work, |memory| {
        let open = memory.overlay.of_endpoint(endpoint, after).filter(|o| o.held.is_none());
        (open.take(most).collect::<Vec<_>>(), memory.committed)
    })?;
    let rows = rows_of(
        view.conn(),
        "WHERE endpoint = ?1 AND lane = 0 AND rank > ?2 ORDER BY rank, position LIMIT ?3",
        params![endpoint.0, int(after.0), int(most as u64)],
    )?;
    page(&view, merged(rows, &open, most), watermark, limit)
}

/// Held deliveries of a lane after a position.
pub(crate) fn held(
    shared: &Shared,
    endpoint: EndpointNo,
    lane: LaneKey,
    after: Position,
    limit: PageLimit,
) -> Res<Page> {
    let most = limit.entries.max(1) + 1;
    let (view, (open, watermark)) = shared.view(For::Work, |memory| {
        let open = memory.overlay.of_endpoint(endpoint, after).filter(|o| o.held == Some(lane));
        (open.take(most).collect::<Vec<_>>(), memory.committed)
    })?;
    let rows = rows_of(
        view.conn(),
        "WHERE endpoint = ?1 AND lane = 2 AND rank = ?2 AND position > ?3 ORDER BY position LIMIT ?4",
        params![endpoint.0, int(lane.0), int(after.0), int(most as u64)],
    )?;
    page(&view, merged(rows, &open, most), watermark, limit)
}

/// Retries after (time, position), due by `until`. None are in the overlay.
pub(crate) fn retries(
    shared: &Shared,
    endpoint: EndpointNo,
    after: (Timestamp, Position),
    until: Timestamp,
    limit: PageLimit,
) -> Res<Page> {
    let most = limit.entries.max(1) + 1;
    let (view, watermark) = shared.view(For::Work, |memory| memory.committed)?;
    let rows = rows_of(
        view.conn(),
        "WHERE endpoint = ?1 AND lane = 1 AND (rank, position) > (?2, ?3) AND rank <= ?4 ORDER BY rank, position LIMIT ?5",
        params![endpoint.0, after.0.as_micros(), int(after.1.0), until.as_micros(), int(most as u64)],
    )?;
    page(&view, rows, watermark, limit)
}

/// The time of the first retry after the given one.
pub(crate) fn next_retry(
    shared: &Shared,
    endpoint: EndpointNo,
    after: (Timestamp, Position),
) -> Res<Option<Timestamp>> {
    let (view, ()) = shared.view(For::Work, |_| ())?;
    let time = view
        .conn()
        .prepare_cached(
            "SELECT rank FROM pending WHERE endpoint = ?1 AND lane = 1 AND (rank, position) > (?2, ?3)
             ORDER BY rank, position LIMIT 1",
        )?
        .query_row(params![endpoint.0, after.0.as_micros(), int(after.1.0)], |r| r.get(0))
        .optional()?;
    Ok(time.map(Timestamp::from_micros))
}

fn rank(row: &PendingRow) -> (i64, Position) {
    (place_columns(row.place).1, row.delivery.position)
}

fn merged(mut rows: Vec<PendingRow>, open: &[Open], most: usize) -> Vec<PendingRow> {
    if !open.is_empty() {
        rows.extend(open.iter().map(Open::row));
        rows.sort_unstable_by_key(rank);
        rows.truncate(most);
    }
    rows
}

/// Loads the events of a page; the rows hold one entry more than it, if there are so many.
fn page(view: &View<'_>, rows: Vec<PendingRow>, watermark: Position, limit: PageLimit) -> Res<Page> {
    let mut journal = Journal::new(view.conn());
    let mut page = Page { entries: Vec::with_capacity(rows.len()), complete: false, watermark };
    let mut bytes = 0;
    for row in rows {
        let full = page.entries.len() >= limit.entries.max(1) || bytes >= limit.bytes;
        if full && !page.entries.is_empty() {
            return Ok(page);
        }
        view.check()?;
        let loaded = load(&mut journal, &row)?;
        let weight = loaded.event.data.len() + loaded.event.attributes.len();
        if !page.entries.is_empty() && bytes + weight > limit.bytes {
            return Ok(page);
        }
        bytes += weight;
        page.entries.push(loaded);
    }
    page.complete = true;
    Ok(page)
}

fn load(journal: &mut Journal<'_>, row: &PendingRow) -> Res<Loaded> {
    let d = row.delivery;
    let lost = || StoreError::Unusable(format!("the event of pending delivery {} is missing", d.position.0));
    let journal_row = journal.row(d.position)?.ok_or_else(lost)?;
    let event = journal_row.event_at(d.position).ok_or_else(lost)?;
    let event = journal.full(&journal_row, event)?;
    Ok(Loaded { delivery: d, place: row.place, progress: row.progress, event })
}

/// Any pending deliveries of an endpoint; with `before` the oldest of those accepted before it.
pub(crate) fn any(
    shared: &Shared,
    endpoint: EndpointNo,
    before: Option<Timestamp>,
    limit: usize,
) -> Res<Vec<PendingRow>> {
    let (view, (open, committed)) = shared.view(For::Work, |memory| {
        let open = memory.overlay.of_endpoint(endpoint, Position::ZERO).take(limit);
        (open.collect::<Vec<_>>(), memory.committed)
    })?;
    let below = match before {
        Some(time) => journal::first_at(view.conn(), committed, time)?,
        None => Position::MAX,
    };
    let mut rows = rows_of(
        view.conn(),
        "INDEXED BY pending_by_position WHERE endpoint = ?1 AND position < ?2 AND begun < ?2 ORDER BY position LIMIT ?3",
        params![endpoint.0, int(below.0), int(limit as u64)],
    )?;
    rows.extend(open.iter().filter(|o| o.delivery.position < below).map(Open::row));
    rows.sort_unstable_by_key(|r| r.delivery.position);
    rows.truncate(limit);
    Ok(rows)
}

/// The row of a delivery in `pending`, if it has one.
pub(crate) fn row_of(conn: &Connection, endpoint: EndpointNo, position: Position) -> Res<Option<PendingRow>> {
    let rows = rows_of(conn, "WHERE endpoint = ?1 AND position = ?2", params![endpoint.0, int(position.0)])?;
    Ok(rows.into_iter().next())
}

/// One pending delivery.
pub(crate) fn one(shared: &Shared, position: Position) -> Res<Option<Loaded>> {
    let (view, open) = shared.view(For::Work, |memory| memory.overlay.get(position))?;
    let mut journal = Journal::new(view.conn());
    let row = match open {
        Some(open) => Some(open.row()),
        None => {
            let Some(row) = journal.row(position)? else { return Ok(None) };
            match row.event_at(position).and_then(|e| e.delivery(position)) {
                Some(owed) => row_of(view.conn(), owed.endpoint, position)?,
                None => None,
            }
        }
    };
    row.map(|row| load(&mut journal, &row)).transpose()
}

/// How many are pending, at most `at_most`. Where that takes too long, as many as were counted until then.
pub(crate) fn count(shared: &Shared, endpoint: EndpointNo, at_most: u64) -> Res<(u64, Position)> {
    let (view, (open, committed)) =
        shared.view(For::Background, |memory| (memory.overlay.count(endpoint), memory.committed))?;
    let mut counted = u64::from(open);
    let mut after = -1_i64;
    while counted < at_most {
        match count_after(&view, endpoint, after, COUNTED_AT_ONCE.min(at_most - counted)) {
            Ok((rows, Some(last))) => {
                counted += rows;
                after = last;
            }
            Ok((_, None)) => break,
            Err(fault) => match StoreError::from(fault) {
                StoreError::Slow => break,
                other => return Err(other.into()),
            },
        }
    }
    Ok((counted.min(at_most), committed))
}

/// How many of the next `limit` rows there are, and the position of the last.
fn count_after(view: &View<'_>, endpoint: EndpointNo, after: i64, limit: u64) -> Res<(u64, Option<i64>)> {
    view.check()?;
    let mut statement = view.conn().prepare_cached(
        "SELECT count(*), max(position) FROM (SELECT position FROM pending INDEXED BY pending_by_position
         WHERE endpoint = ?1 AND position > ?2 ORDER BY position LIMIT ?3)",
    )?;
    Ok(statement.query_row(params![endpoint.0, after, int(limit)], |r| {
        Ok((r.get::<_, i64>(0)?.cast_unsigned(), r.get(1)?))
    })?)
}
