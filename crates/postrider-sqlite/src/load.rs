//! Memory from the tables: what a start reads of the journal behind the marks.

use std::sync::Arc;

use postrider_core::id::Position;
use postrider_core::record::LaneKey;
use postrider_core::time::Timestamp;
use postrider_store::StoreError;
use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::{FxHashMap, FxHashSet};

use crate::chunks::Owner;
use crate::error::Res;
use crate::filter::Filter;
use crate::journal::{self, Journal, Row};
use crate::memory::{Indexed, Marks, Memory};
use crate::overlay;
use crate::pool;
use crate::rows::int;
use crate::runs::{FAMILIES, Run, fences_from_bytes};
use crate::schema::{self, Meta};

/// Journal rows looked at for a marker: a group in doubt is the last one.
const MARKERS: i64 = 64;

fn mark(conn: &Connection, key: i64) -> Res<Position> {
    Ok(Position(schema::get(conn, key)?.unsigned_abs()))
}

/// Reads everything that is kept in memory; also the number of the next run.
pub(crate) fn memory(conn: &Connection) -> Res<(Memory, i64)> {
    let mut memory = Memory { generation: pool::generation(conn)?, ..Memory::default() };
    memory.committed = conn
        .query_row("SELECT last FROM journal ORDER BY first DESC LIMIT 1", [], |r| r.get::<_, i64>(0))
        .optional()?
        .map_or(Position::ZERO, |last| Position(last.cast_unsigned()));
    let mut runs_from = [Position::ZERO; FAMILIES.len()];
    for family in FAMILIES {
        runs_from[family as usize] = mark(conn, Meta::RunsFrom as i64 + family as i64)?;
    }
    let marks = Marks {
        open_from: mark(conn, Meta::OpenFrom as i64)?,
        chunks_from: mark(conn, Meta::ChunksFrom as i64)?,
        runs_from,
    };
    memory.marks = marks;
    let next_run = load_runs(conn, &mut memory)?;
    let from = runs_from.into_iter().chain([marks.open_from, marks.chunks_from]).min().unwrap_or_default();
    let mut written = FxHashMap::default();
    let mut statement = conn.prepare(
        "SELECT first, last, at, head FROM journal WHERE last >= ?1 AND first >= ?2 ORDER BY first",
    )?;
    let begin: i64 = conn
        .query_row("SELECT max(first) FROM journal WHERE first <= ?1", params![int(from.0)], |r| {
            r.get::<_, Option<i64>>(0)
        })?
        .unwrap_or(0);
    let mut rows = statement.query(params![int(from.0), begin])?;
    while let Some(r) = rows.next()? {
        take_row(conn, &mut memory, &marks, &mut written, &journal::read_row(r)?)?;
    }
    Ok((memory, next_run))
}

fn take_row(
    conn: &Connection,
    memory: &mut Memory,
    marks: &Marks,
    written: &mut FxHashMap<Owner, Position>,
    row: &Row,
) -> Res<()> {
    let mut opened = Vec::new();
    let logged = if row.last >= marks.open_from && !row.events.is_empty() {
        logged(conn, row)?
    } else {
        FxHashSet::default()
    };
    for event in &row.events {
        let indexed = Indexed::from(event);
        memory.index(&indexed, marks, row.at);
        for (owner, position, sequence) in indexed.places().filter(|p| p.1 >= marks.chunks_from) {
            let upto = match written.get(&owner) {
                Some(upto) => *upto,
                None => last_written(conn, owner, written)?,
            };
            if position > upto {
                memory.tails.push(owner, position, sequence);
            }
        }
        for (i, owed) in (1..).zip(&event.deliveries) {
            let position = event.event.position.plus(i);
            if position < marks.open_from || logged.contains(&position) {
                continue;
            }
            let Some(open) =
                overlay::open(event.event.position, event.event.tenant, position, owed, event.lane())
            else {
                continue;
            };
            if !is_pending(conn, &open.delivery)? {
                opened.push(open);
            }
        }
    }
    memory.overlay.push(row.first, row.last, row.at, opened);
    Ok(())
}

fn last_written(conn: &Connection, owner: Owner, written: &mut FxHashMap<Owner, Position>) -> Res<Position> {
    let upto = conn
        .prepare_cached("SELECT last FROM chunks WHERE owner = ?1 ORDER BY first DESC LIMIT 1")?
        .query_row(params![owner.0], |r| r.get::<_, i64>(0))
        .optional()?
        .map_or(Position::ZERO, |last| Position(last.cast_unsigned()));
    written.insert(owner, upto);
    Ok(upto)
}

/// The deliveries of a row that the log has.
fn logged(conn: &Connection, row: &Row) -> Res<FxHashSet<Position>> {
    let mut statement = conn.prepare_cached("SELECT position FROM log WHERE position BETWEEN ?1 AND ?2")?;
    let found = statement
        .query_map(params![int(row.first.0), int(row.last.0)], |r| r.get::<_, i64>(0))?
        .map(|p| p.map(|p| Position(p.cast_unsigned())))
        .collect::<Result<_, _>>()?;
    Ok(found)
}

fn is_pending(conn: &Connection, d: &postrider_core::record::DeliveryRef) -> Res<bool> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM pending WHERE endpoint = ?1 AND position = ?2")?
        .exists(params![d.endpoint.0, int(d.position.0)])?)
}

fn load_runs(conn: &Connection, memory: &mut Memory) -> Res<i64> {
    let mut statement = conn.prepare(
        "SELECT id, family, level, keys, first, last, newest, fences, filter FROM runs WHERE state = 1 ORDER BY last, id",
    )?;
    let mut rows = statement.query([])?;
    while let Some(r) = rows.next()? {
        let family = usize::from(r.get::<_, u8>(1)?);
        let filter = Filter::from_bytes(r.get_ref(8)?.as_blob().map_err(rusqlite::Error::from)?)
            .ok_or_else(|| StoreError::Unusable("a filter of keys is damaged".into()))?;
        let run = Run {
            id: r.get(0)?,
            level: r.get(2)?,
            keys: usize::try_from(r.get::<_, u32>(3)?).unwrap_or(0),
            first: Position(r.get::<_, i64>(4)?.cast_unsigned()),
            last: Position(r.get::<_, i64>(5)?.cast_unsigned()),
            newest: Timestamp::from_micros(r.get(6)?),
            fences: fences_from_bytes(r.get_ref(7)?.as_blob().map_err(rusqlite::Error::from)?),
            filter,
        };
        if let Some(runs) = memory.runs.get_mut(family) {
            runs.runs.push(Arc::new(run));
        }
    }
    let rows: i64 = conn.query_row("SELECT COALESCE(max(id), 0) FROM runs", [], |r| r.get(0))?;
    let pages: i64 = conn.query_row("SELECT COALESCE(max(id), 0) FROM run_pages", [], |r| r.get(0))?;
    Ok(rows.max(pages >> crate::runs::PAGE_BITS) + 1)
}

/// Whether a commit is in the database.
pub(crate) fn has_marker(conn: &Connection, writer: u64, number: u64) -> Res<bool> {
    let mut statement = conn.prepare(
        "SELECT writer, number FROM journal WHERE number IS NOT NULL ORDER BY first DESC LIMIT ?1",
    )?;
    let mut rows = statement.query(params![MARKERS])?;
    while let Some(r) = rows.next()? {
        if (r.get::<_, i64>(0)?, r.get::<_, i64>(1)?) == (writer.cast_signed(), int(number)) {
            return Ok(true);
        }
    }
    Ok(false)
}

/// The lane of the ordering key of a delivery's event. What a commit asks for lies together more often than not.
pub(crate) fn key_lane(journal: &mut Journal<'_>, delivery: Position) -> Res<Option<LaneKey>> {
    let row = journal.row(delivery)?;
    Ok(row.and_then(|r| r.event_at(delivery).and_then(crate::codec::HeadEvent::lane)))
}

/// Reads a little of each table that a start needs, to see whether the file is whole.
pub(crate) fn check(conn: &Connection) -> Res<()> {
    for table in ["journal", "log", "pending", "chunks", "runs", "endpoints", "tenants", "meta"] {
        let mut statement = conn.prepare(&format!("SELECT * FROM {table} LIMIT 1"))?;
        let mut rows = statement.query([])?;
        rows.next()?;
    }
    pool::generation(conn).map(drop)
}
