//! How records are laid out in columns: places, progress, attempts.

use std::net::IpAddr;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{
    AttemptRecord, DeliveryRef, Disposition, ErrorKind, LaneKey, PendingRow, Place, Progress, Status,
    Trigger, Update,
};
use postrider_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, Row, Statement, params};

use crate::codec;
use crate::error::Res;

/// A position as stored. Positions are below 2^44.
pub(crate) fn int(n: u64) -> i64 {
    n.cast_signed()
}

/// The lane and rank of a place.
pub(crate) fn place_columns(place: Place) -> (i64, i64) {
    match place {
        Place::Due(rank) => (0, int(rank.0)),
        Place::Retry(at) => (1, at.as_micros()),
        Place::Held(lane) => (2, int(lane.0)),
    }
}

/// The place of a lane and rank.
pub(crate) fn place_of(lane: i64, rank: i64) -> Place {
    match lane {
        0 => Place::Due(Position(rank.cast_unsigned())),
        1 => Place::Retry(Timestamp::from_micros(rank)),
        _ => Place::Held(LaneKey(rank.cast_unsigned())),
    }
}

/// The columns that [`pending_row`] reads.
pub(crate) const PENDING: &str = "endpoint, lane, rank, position, ordinal, tenant, sequence, key_lane, run, attempts, step, blocking, overtaken, held_ms, cause";

/// Reads a row of `pending`.
pub(crate) fn pending_row(r: &Row<'_>) -> rusqlite::Result<PendingRow> {
    let position = r.get::<_, i64>(3)?.cast_unsigned();
    let ordinal = r.get::<_, i64>(4)?.cast_unsigned();
    Ok(PendingRow {
        delivery: DeliveryRef {
            position: Position(position),
            event: Position(position.saturating_sub(ordinal)),
            tenant: TenantNo(r.get(5)?),
            endpoint: EndpointNo(r.get(0)?),
            sequence: r.get::<_, i64>(6)?.cast_unsigned(),
        },
        place: place_of(r.get(1)?, r.get(2)?),
        lane: r.get::<_, Option<i64>>(7)?.map(|l| LaneKey(l.cast_unsigned())),
        progress: Progress {
            run: r.get(8)?,
            attempts: r.get(9)?,
            step: r.get(10)?,
            blocking: r.get(11)?,
            overtaken: r.get(12)?,
            held_ms: r.get::<_, i64>(13)?.cast_unsigned(),
            trigger: trigger(r.get(14)?),
        },
    })
}

/// The trigger of a number; the schedule for one that is unknown.
pub(crate) fn trigger(number: u8) -> Trigger {
    Trigger::from_u8(number).unwrap_or_default()
}

/// Writes a row of `pending`. `begun`: the rank at which the delivery's run began, if it is not its first.
pub(crate) fn insert_pending(
    conn: &Connection,
    row: &PendingRow,
    begun: Option<Position>,
) -> rusqlite::Result<()> {
    let (lane, rank) = place_columns(row.place);
    let (d, p) = (&row.delivery, &row.progress);
    conn.prepare_cached(
        "INSERT OR REPLACE INTO pending VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16)",
    )?
    .execute(params![
        d.endpoint.0,
        lane,
        rank,
        int(d.position.0),
        int(d.position.0 - d.event.0),
        d.tenant.0,
        int(d.sequence),
        row.lane.map(|l| int(l.0)),
        p.run,
        p.attempts,
        p.step,
        p.blocking,
        p.overtaken,
        int(p.held_ms),
        p.trigger as u8,
        int(begun.unwrap_or_default().0),
    ])
    .map(drop)
}

/// When the run of a pending delivery began, if it is not its first.
pub(crate) fn begun(conn: &Connection, d: &DeliveryRef) -> rusqlite::Result<Option<Position>> {
    conn.prepare_cached("SELECT begun FROM pending WHERE endpoint = ?1 AND position = ?2")?
        .query_row(params![d.endpoint.0, int(d.position.0)], |r| r.get::<_, i64>(0))
        .optional()
        .map(|begun| begun.map(|begun| Position(begun.cast_unsigned())))
}

/// Removes a row of `pending`: by its place, or wherever it is.
pub(crate) fn delete_pending(conn: &Connection, d: &DeliveryRef, from: Place) -> rusqlite::Result<()> {
    let (lane, rank) = place_columns(from);
    let gone = conn
        .prepare_cached(
            "DELETE FROM pending WHERE endpoint = ?1 AND lane = ?2 AND rank = ?3 AND position = ?4",
        )?
        .execute(params![d.endpoint.0, lane, rank, int(d.position.0)])?;
    if gone == 0 {
        conn.prepare_cached("DELETE FROM pending WHERE endpoint = ?1 AND position = ?2")?
            .execute(params![d.endpoint.0, int(d.position.0)])?;
    }
    Ok(())
}

/// Writes a row of `log` that is known to be new.
pub(crate) const LOG_INSERT: &str = "INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)";

/// Writes a row of `log`, or brings it up to date. Parameter 22: whether there was an attempt.
pub(crate) const LOG_UPSERT: &str = "INSERT INTO log VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21)
    ON CONFLICT (position) DO UPDATE SET
      status = excluded.status, reason = excluded.reason, run = excluded.run, attempts = excluded.attempts,
      step = excluded.step, flags = excluded.flags, held_ms = excluded.held_ms, cause = excluded.cause,
      status_code = CASE WHEN ?22 THEN excluded.status_code ELSE status_code END,
      finished_at = excluded.finished_at,
      first_succeeded_at = COALESCE(first_succeeded_at, CASE WHEN status = 1 THEN finished_at END),
      lead_us = CASE WHEN ?22 THEN excluded.lead_us ELSE lead_us END,
      duration_us = CASE WHEN ?22 THEN excluded.duration_us ELSE duration_us END,
      address = CASE WHEN ?22 THEN excluded.address ELSE address END,
      endpoint_version = CASE WHEN ?22 THEN excluded.endpoint_version ELSE endpoint_version END,
      signed_lag = CASE WHEN ?22 THEN excluded.signed_lag ELSE signed_lag END";

/// Brings a row of `log` up to date if there is one: for a delivery that moves without an attempt.
pub(crate) const LOG_MOVE: &str = "UPDATE log SET status = 0, reason = NULL, run = ?2, attempts = ?3, step = ?4, flags = ?5, held_ms = ?6, cause = ?7,
      first_succeeded_at = COALESCE(first_succeeded_at, CASE WHEN status = 1 THEN finished_at END), finished_at = NULL
    WHERE position = ?1";

/// Gives a first-try success a row of its own among the attempts, before a later one takes its place in the log's row.
const LOG_UNPACK: &str = "INSERT OR IGNORE INTO attempts
    SELECT position, 1, 0, 0, COALESCE(first_succeeded_at, finished_at) - lead_us, duration_us, status_code, NULL, NULL,
           address, endpoint_version, (COALESCE(first_succeeded_at, finished_at) - lead_us) / 1000000 - signed_lag, NULL, NULL
    FROM log WHERE position = ?1 AND lead_us IS NOT NULL";

/// See [`LOG_UNPACK`].
pub(crate) fn unpack_first_try(conn: &Connection, position: Position) -> rusqlite::Result<()> {
    conn.prepare_cached(LOG_UNPACK)?.execute(params![int(position.0)]).map(drop)
}

/// Whether the delivery's own row says all about this update's attempt.
pub(crate) fn fits_log_row(u: &Update) -> bool {
    matches!(u.to, Disposition::Ended(Status::Succeeded, _))
        && u.attempt.as_ref().is_some_and(|a| {
            a.is_first_try_success()
                && a.run == 0
                && a.response_headers.is_empty()
                && a.response_body.is_empty()
        })
}

/// Writes the row of `log` that an update leaves, with [`LOG_INSERT`] or [`LOG_UPSERT`].
pub(crate) fn write_log(statement: &mut Statement<'_>, upsert: bool, u: &Update) -> rusqlite::Result<()> {
    let (d, p) = (&u.delivery, &u.progress);
    let (status, reason, finished) = match u.to {
        Disposition::Pending(_) => (Status::Pending, None, None),
        Disposition::Ended(status, reason) => (status, reason, Some(u.at)),
    };
    statement.raw_bind_parameter(1, int(d.position.0))?;
    statement.raw_bind_parameter(2, int(d.position.0 - d.event.0))?;
    statement.raw_bind_parameter(3, d.tenant.0)?;
    statement.raw_bind_parameter(4, d.endpoint.0)?;
    statement.raw_bind_parameter(5, int(d.sequence))?;
    statement.raw_bind_parameter(6, status as u8)?;
    statement.raw_bind_parameter(7, reason.map(|r| r as u8))?;
    statement.raw_bind_parameter(8, p.run)?;
    statement.raw_bind_parameter(9, p.attempts)?;
    statement.raw_bind_parameter(10, p.step)?;
    statement.raw_bind_parameter(11, u8::from(p.blocking) | (u8::from(p.overtaken) << 1))?;
    statement.raw_bind_parameter(12, int(p.held_ms))?;
    statement.raw_bind_parameter(13, p.trigger as u8)?;
    statement.raw_bind_parameter(14, u.attempt.as_ref().and_then(|a| a.status_code))?;
    statement.raw_bind_parameter(15, finished.map(Timestamp::as_micros))?;
    statement.raw_bind_parameter(16, None::<i64>)?;
    let own = u.attempt.as_ref().filter(|_| fits_log_row(u));
    let lead = own.map(|a| u.at.as_micros().wrapping_sub(a.started_at.as_micros()));
    statement.raw_bind_parameter(17, lead)?;
    statement.raw_bind_parameter(18, own.map(|a| micros(a.duration)))?;
    match own.and_then(|a| a.remote_address) {
        Some(IpAddr::V4(v4)) => statement.raw_bind_parameter(19, &v4.octets()[..])?,
        Some(IpAddr::V6(v6)) => statement.raw_bind_parameter(19, &v6.octets()[..])?,
        None => statement.raw_bind_parameter(19, None::<i64>)?,
    }
    statement.raw_bind_parameter(20, own.map(|a| a.endpoint_version))?;
    statement.raw_bind_parameter(21, own.map(|a| a.started_at.as_secs().wrapping_sub(a.signed_at)))?;
    if upsert {
        statement.raw_bind_parameter(22, u.attempt.is_some())?;
    }
    statement.raw_execute().map(drop)
}

fn micros(d: Duration) -> i64 {
    i64::try_from(d.as_micros()).unwrap_or(i64::MAX)
}

/// The bytes of an address.
pub(crate) fn address_bytes(address: IpAddr) -> Vec<u8> {
    match address {
        IpAddr::V4(v4) => v4.octets().to_vec(),
        IpAddr::V6(v6) => v6.octets().to_vec(),
    }
}

/// The address of 4 or 16 bytes.
pub(crate) fn address(bytes: &[u8]) -> Option<IpAddr> {
    if let Ok(v4) = <[u8; 4]>::try_from(bytes) {
        return Some(v4.into());
    }
    <[u8; 16]>::try_from(bytes).ok().map(IpAddr::from)
}

/// Writes a row of `attempts`.
pub(crate) fn insert_attempt(
    conn: &Connection,
    position: Position,
    a: &AttemptRecord,
) -> rusqlite::Result<()> {
    let headers = (!a.response_headers.is_empty()).then(|| codec::encode_headers(&a.response_headers));
    conn.prepare_cached(
        "INSERT OR REPLACE INTO attempts VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)",
    )?
    .execute(params![
        int(position.0),
        a.number,
        a.run,
        a.trigger as u8,
        a.started_at.as_micros(),
        micros(a.duration),
        a.status_code,
        a.error.as_ref().map(|(kind, _)| *kind as u8),
        a.error.as_ref().map(|(_, text)| &**text),
        a.remote_address.map(address_bytes),
        a.endpoint_version,
        a.signed_at,
        headers,
        (!a.response_body.is_empty()).then_some(&a.response_body[..]),
    ])
    .map(drop)
}

/// The attempts of a delivery that have rows of their own: the last `limit`, newest first.
pub(crate) fn attempts(conn: &Connection, position: Position, limit: usize) -> Res<Vec<AttemptRecord>> {
    let mut statement = conn.prepare_cached(
        "SELECT number, run, cause, started_at, duration_us, status_code, error, error_text, address,
                endpoint_version, signed_at, headers, body
         FROM attempts WHERE position = ?1 ORDER BY number DESC LIMIT ?2",
    )?;
    let mut rows = statement.query(params![int(position.0), int(limit as u64)])?;
    let mut attempts = Vec::new();
    while let Some(r) = rows.next()? {
        let error: Option<u8> = r.get(6)?;
        let text: Option<String> = r.get(7)?;
        let headers: Option<Vec<u8>> = r.get(11)?;
        attempts.push(AttemptRecord {
            number: r.get(0)?,
            run: r.get(1)?,
            trigger: trigger(r.get(2)?),
            started_at: Timestamp::from_micros(r.get(3)?),
            duration: Duration::from_micros(r.get::<_, i64>(4)?.unsigned_abs()),
            status_code: r.get(5)?,
            error: error.and_then(ErrorKind::from_u8).map(|kind| (kind, text.unwrap_or_default().into())),
            remote_address: r.get::<_, Option<Vec<u8>>>(8)?.and_then(|b| address(&b)),
            endpoint_version: r.get(9)?,
            signed_at: r.get(10)?,
            response_headers: codec::decode_headers(&headers.unwrap_or_default())?,
            response_body: Bytes::from(r.get::<_, Option<Vec<u8>>>(12)?.unwrap_or_default()),
        });
    }
    Ok(attempts)
}
