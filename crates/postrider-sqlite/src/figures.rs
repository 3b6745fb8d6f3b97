//! What an endpoint's newest deliveries tell of it, read from their rows of the log by position: no head of the journal is
//! unpacked for them.

use std::time::Duration;

use postrider_core::id::{EndpointNo, Position};
use postrider_core::record::Status;
use postrider_core::time::Timestamp;
use postrider_store::EndpointFigures;
use rusqlite::{Connection, OptionalExtension, Statement, params};
use rustc_hash::FxHashSet;

use crate::chunks::Owner;
use crate::error::Res;
use crate::journal::{self, Journal};
use crate::memory::Shared;
use crate::order::Newest;
use crate::pool::For;
use crate::rows::int;

/// Attempts whose durations are told.
const DURATIONS: usize = 50_000;
/// Of one delivery, the last so many: more come of replays alone.
const DURATIONS_EACH: i64 = 100;

/// The figures of what an endpoint was owed since a time: the newest deliveries, at most `at_most`.
pub(crate) fn of(
    shared: &Shared,
    endpoint: EndpointNo,
    since: Timestamp,
    at_most: usize,
) -> Res<EndpointFigures> {
    let owner = Owner::from(endpoint);
    let (view, (tail, open, committed)) = shared.view(For::Counts, |memory| {
        let open = memory.overlay.of_endpoint(endpoint, Position::ZERO).map(|o| o.delivery.position);
        let tail = memory.tails.newest_below(owner, Position::MAX);
        (tail, open.collect::<Vec<_>>(), memory.committed)
    })?;
    let conn = view.conn();
    let from = journal::first_at(conn, committed, since)?;
    let mut figures = EndpointFigures {
        oldest_pending: oldest_pending(conn, endpoint, open.first().copied())?,
        ..EndpointFigures::default()
    };
    let open: FxHashSet<Position> = open.into_iter().collect();
    let mut logged = conn.prepare_cached("SELECT status, duration_us FROM log WHERE position = ?1")?;
    let mut pending = conn.prepare_cached("SELECT 1 FROM pending WHERE endpoint = ?1 AND position = ?2")?;
    let mut attempts = conn.prepare_cached(
        "SELECT duration_us FROM attempts WHERE position = ?1 ORDER BY number DESC LIMIT ?2",
    )?;
    let mut order = Newest::new(owner, Position::MAX, tail);
    let mut looked_at = 0;
    let mut last = None;
    while let Some(position) = order.next(conn)?.filter(|p| *p >= from) {
        view.check()?;
        if looked_at >= at_most {
            figures.complete_from = last.map(|p| accepted_at(conn, p)).transpose()?.flatten();
            break;
        }
        looked_at += 1;
        let row = logged
            .query_row(params![int(position.0)], |r| Ok((r.get::<_, u8>(0)?, r.get::<_, Option<i64>>(1)?)))
            .optional()?;
        let status = match row {
            Some((status, _)) => Status::from_u8(status).unwrap_or(Status::Failed),
            None if open.contains(&position) => Status::Pending,
            None if pending.exists(params![endpoint.0, int(position.0)])? => Status::Pending,
            // Removed.
            None => continue,
        };
        last = Some(position);
        figures.counts[status as usize] += 1;
        match row {
            _ if figures.durations.len() >= DURATIONS => {}
            Some((_, Some(micros))) => figures.durations.push(duration(micros)),
            Some((_, None)) => durations(&mut attempts, position, &mut figures.durations)?,
            None => {}
        }
    }
    figures.durations.truncate(DURATIONS);
    Ok(figures)
}

fn duration(micros: i64) -> Duration {
    Duration::from_micros(micros.unsigned_abs())
}

fn durations(statement: &mut Statement<'_>, position: Position, found: &mut Vec<Duration>) -> Res<()> {
    for micros in statement.query_map(params![int(position.0), DURATIONS_EACH], |r| r.get(0))? {
        found.push(duration(micros?));
    }
    Ok(())
}

/// When the oldest pending delivery was accepted; `open` is the oldest of those that have no row of their own.
fn oldest_pending(conn: &Connection, endpoint: EndpointNo, open: Option<Position>) -> Res<Option<Timestamp>> {
    let written: Option<i64> = conn
        .prepare_cached(
            "SELECT min(position) FROM pending INDEXED BY pending_by_position WHERE endpoint = ?1",
        )?
        .query_row(params![endpoint.0], |r| r.get(0))?;
    let written = written.map(|position| Position(position.cast_unsigned()));
    match written.into_iter().chain(open).min() {
        Some(oldest) => accepted_at(conn, oldest),
        None => Ok(None),
    }
}

fn accepted_at(conn: &Connection, position: Position) -> Res<Option<Timestamp>> {
    let row = Journal::new(conn).row(position)?;
    Ok(row.and_then(|row| row.event_at(position).map(|event| event.event.accepted_at)))
}
