//! Replays as records: what was asked for, and how far each has come.

use std::sync::Arc;

use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::Reason;
use postrider_core::replay::{Replay, ReplayFilter, ReplayProgress, ReplaySpan, ReplayState};
use postrider_core::time::Timestamp;
use postrider_store::{StoreError, StoredReplay};
use rusqlite::{Connection, Params, Row, params};

use crate::error::Res;
use crate::memory::Shared;
use crate::pool::For;
use crate::rows::int;

/// Replays of one endpoint that have ended and are kept.
const KEPT: i64 = 100;
/// For how long they are kept.
const KEPT_FOR: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);
/// Records that one step of the background work removes.
const REMOVED: i64 = 256;

const COLUMNS: &str = "endpoint, id, tenant, filter, after, through, as_of, matched, per_second, created_at,
    cursor, done, skipped, expired, state, reason, updated_at";

fn state_number(state: ReplayState) -> u8 {
    match state {
        ReplayState::Running => 0,
        ReplayState::Done => 1,
        ReplayState::Cancelled => 2,
        ReplayState::Failed(_) => 3,
    }
}

/// Writes a replay, or how far it has come.
pub(crate) fn put(conn: &Connection, replay: &Replay, progress: &ReplayProgress) -> Res<()> {
    let (span, p) = (&replay.span, progress);
    conn.prepare_cached(
        "INSERT INTO replays VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17)
         ON CONFLICT (endpoint, id) DO UPDATE SET cursor = excluded.cursor, done = excluded.done, skipped = excluded.skipped,
           expired = excluded.expired, state = excluded.state, reason = excluded.reason, updated_at = excluded.updated_at",
    )?
    .execute(params![
        replay.endpoint.0,
        &*replay.id,
        replay.tenant.0,
        &replay.filter.to_doc()[..],
        int(span.after.0),
        int(span.through.0),
        span.as_of.as_micros(),
        int(span.matched),
        replay.per_second,
        replay.created_at.as_micros(),
        int(p.cursor.0),
        int(p.done),
        int(p.skipped),
        int(p.expired),
        state_number(p.state),
        p.state.reason().map(|reason| reason as u8),
        p.updated_at.as_micros(),
    ])?;
    if p.state != ReplayState::Running {
        conn.prepare_cached(
            "DELETE FROM replays WHERE endpoint = ?1 AND state > 0 AND id <= (SELECT id FROM replays
             WHERE endpoint = ?1 AND state > 0 ORDER BY id DESC LIMIT 1 OFFSET ?2)",
        )?
        .execute(params![replay.endpoint.0, KEPT])?;
    }
    Ok(())
}

/// Removes some of those that ended long ago.
pub(crate) fn remove_old(conn: &Connection, now: Timestamp) -> Res<()> {
    conn.prepare_cached(
        "DELETE FROM replays WHERE (endpoint, id) IN
         (SELECT endpoint, id FROM replays WHERE state > 0 AND updated_at < ?1 ORDER BY updated_at LIMIT ?2)",
    )?
    .execute(params![(now - KEPT_FOR).as_micros(), REMOVED])?;
    Ok(())
}

fn read(conn: &Connection, filter: &str, params: impl Params) -> Res<Vec<StoredReplay>> {
    let mut statement = conn.prepare_cached(&format!("SELECT {COLUMNS} FROM replays {filter}"))?;
    let mut rows = statement.query(params)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next()? {
        found.push(stored(row)?);
    }
    Ok(found)
}

fn stored(r: &Row<'_>) -> Res<StoredReplay> {
    let number = |column| r.get::<_, i64>(column).map(i64::cast_unsigned);
    let time = |column| r.get(column).map(Timestamp::from_micros);
    let id: String = r.get(1)?;
    let damaged = || StoreError::Unusable(format!("replay {id} cannot be read"));
    let doc: Vec<u8> = r.get(3)?;
    let reason = r.get::<_, Option<u8>>(15)?.and_then(Reason::from_u8);
    let state = match (r.get::<_, u8>(14)?, reason) {
        (0, _) => ReplayState::Running,
        (1, _) => ReplayState::Done,
        (2, _) => ReplayState::Cancelled,
        (3, Some(reason)) => ReplayState::Failed(reason),
        _ => return Err(damaged().into()),
    };
    let replay = Replay {
        filter: ReplayFilter::from_stored(&doc).map_err(|_| damaged())?,
        tenant: TenantNo(r.get(2)?),
        endpoint: EndpointNo(r.get(0)?),
        span: ReplaySpan {
            after: Position(number(4)?),
            through: Position(number(5)?),
            as_of: time(6)?,
            matched: number(7)?,
        },
        per_second: r.get(8)?,
        created_at: time(9)?,
        id: id.into(),
    };
    let progress = ReplayProgress {
        cursor: Position(number(10)?),
        done: number(11)?,
        skipped: number(12)?,
        expired: number(13)?,
        state,
        updated_at: time(16)?,
    };
    Ok(StoredReplay { replay: Arc::new(replay), progress })
}

/// Those that have not ended.
pub(crate) fn running(conn: &Connection) -> Res<Vec<StoredReplay>> {
    read(conn, "INDEXED BY replays_running WHERE state = 0 ORDER BY endpoint, id", [])
}

/// Those of an endpoint, newest first, before the given one.
pub(crate) fn list(
    shared: &Shared,
    endpoint: EndpointNo,
    before: Option<&str>,
    limit: usize,
) -> Res<Vec<StoredReplay>> {
    let (view, ()) = shared.view(For::Answers, |_| ())?;
    let limit = int(limit as u64);
    match before {
        Some(id) => read(
            view.conn(),
            "WHERE endpoint = ?1 AND id < ?2 ORDER BY id DESC LIMIT ?3",
            params![endpoint.0, id, limit],
        ),
        None => {
            read(view.conn(), "WHERE endpoint = ?1 ORDER BY id DESC LIMIT ?2", params![endpoint.0, limit])
        }
    }
}

/// One of an endpoint.
pub(crate) fn one(shared: &Shared, endpoint: EndpointNo, id: &str) -> Res<Option<StoredReplay>> {
    let (view, ()) = shared.view(For::Answers, |_| ())?;
    Ok(read(view.conn(), "WHERE endpoint = ?1 AND id = ?2", params![endpoint.0, id])?.pop())
}
