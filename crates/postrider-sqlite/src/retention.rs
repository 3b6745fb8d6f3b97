//! Removing what has ended long ago, in small steps; what is pending stays, with its whole row of the journal.

use std::time::Duration;

use postrider_core::id::Position;
use postrider_core::time::Timestamp;
use postrider_store::Maintenance;
use rusqlite::{Connection, OptionalExtension, params};

use crate::codec::HeadEvent;
use crate::error::Res;
use crate::journal::{self, Row};
use crate::memory::{Indexed, Memory};
use crate::merge;
use crate::rows::int;
use crate::runs::{FAMILIES, Family};
use crate::{notices, replays};

/// Rows of the journal that one step looks at.
const ROWS: i64 = 16;
/// Chunks that one step looks at.
const CHUNKS: i64 = 1_024;
/// Between two passes; with a shorter retention, as long as that.
const EVERY: Duration = Duration::from_secs(60);
/// Idempotency keys are known for so long at least.
const KEYS_KEPT: Duration = Duration::from_secs(24 * 3_600);
/// Attempts may begin with a version so long after it was replaced.
const IN_FLIGHT: Duration = Duration::from_secs(600);

/// Where the removal stands.
#[derive(Debug, Default)]
pub(crate) struct Sweeper {
    /// There may be runs whose pages are to be removed.
    pub(crate) dead_runs: bool,
    stage: Stage,
    next_pass: Timestamp,
}

#[derive(Debug, Default, Clone, Copy)]
enum Stage {
    /// Between passes.
    #[default]
    Idle,
    /// Rows of the journal after this position.
    Journal(Position),
    /// Chunks after this owner and position.
    Chunks(i64, i64),
    /// What belongs to endpoints.
    Endpoints,
}

impl Sweeper {
    /// Whether a pass is under way, or the next is due.
    pub(crate) fn is_due(&self, now: Timestamp) -> bool {
        !matches!(self.stage, Stage::Idle) || now >= self.next_pass
    }

    /// After a failed step.
    pub(crate) fn start_over(&mut self) {
        self.stage = Stage::Idle;
    }
}

/// What a step did.
#[derive(Default)]
pub(crate) struct Step {
    pub(crate) worked: bool,
    /// Old rows are left only because the orders of their deliveries are not written out yet.
    pub(crate) wants_sweep: bool,
    pub(crate) dropped: Vec<(Family, i64)>,
}

/// One step.
pub(crate) fn step(
    conn: &Connection,
    sweeper: &mut Sweeper,
    memory: &Memory,
    how: &Maintenance,
) -> Res<Step> {
    let mut step = Step { worked: true, ..Step::default() };
    match sweeper.stage {
        Stage::Idle => sweeper.stage = Stage::Journal(Position::ZERO),
        Stage::Journal(after) => match remove_rows(conn, memory, how, after, &mut step)? {
            Some(next) => sweeper.stage = Stage::Journal(next),
            None => {
                drop_runs(conn, memory, how.now, &mut step)?;
                sweeper.stage = Stage::Chunks(-1, 0);
            }
        },
        Stage::Chunks(owner, first) => {
            sweeper.stage =
                remove_chunks(conn, owner, first)?.map_or(Stage::Endpoints, |(o, f)| Stage::Chunks(o, f));
        }
        Stage::Endpoints => {
            remove_endpoints(conn)?;
            replays::remove_old(conn, how.now)?;
            notices::remove_old(conn, how.now)?;
            sweeper.dead_runs = true;
            sweeper.next_pass = how.now + EVERY.min(how.retention);
            sweeper.stage = Stage::Idle;
            step.worked = false;
        }
    }
    Ok(step)
}

/// The oldest row that is left: its position and time.
fn oldest(conn: &Connection) -> Res<Option<(Position, Timestamp)>> {
    Ok(conn
        .prepare_cached("SELECT first, at FROM journal ORDER BY first LIMIT 1")?
        .query_row([], |r| {
            Ok((Position(r.get::<_, i64>(0)?.cast_unsigned()), Timestamp::from_micros(r.get(1)?)))
        })
        .optional()?)
}

fn remove_rows(
    conn: &Connection,
    memory: &Memory,
    how: &Maintenance,
    after: Position,
    step: &mut Step,
) -> Res<Option<Position>> {
    let (cutoff, keys_from) = (how.now - how.retention, how.now - KEYS_KEPT);
    let mut statement = conn.prepare_cached(
        "SELECT first, last, at, head FROM journal WHERE first > ?1 ORDER BY first LIMIT ?2",
    )?;
    let mut rows = statement.query(params![int(after.0), ROWS])?;
    let mut reached = None;
    while let Some(r) = rows.next()? {
        let row = journal::read_row(r)?;
        if row.at >= cutoff || int(row.first.0) == memory.generation.row {
            return Ok(None);
        }
        reached = Some(row.first);
        let has_key = |e: &HeadEvent| Indexed::from(e).idempotency.is_some();
        if row.at >= keys_from && row.events.iter().any(has_key) {
            // With a retention below that of keys: an entry for a key is worth nothing without the event it leads to.
            continue;
        }
        if is_needed(conn, memory, &row, cutoff)? {
            continue;
        }
        if row.last >= memory.marks.chunks_from && !row.events.is_empty() {
            step.wants_sweep = true;
            return Ok(None);
        }
        remove_row(conn, &row)?;
    }
    Ok(reached)
}

/// Whether something of a row is pending, or ended only lately.
fn is_needed(conn: &Connection, memory: &Memory, row: &Row, cutoff: Timestamp) -> Res<bool> {
    if memory.overlay.any_within(row.first, row.last) {
        return Ok(true);
    }
    let mut pending = conn.prepare_cached("SELECT 1 FROM pending WHERE endpoint = ?1 AND position = ?2")?;
    for event in &row.events {
        for (i, d) in (1..).zip(&event.deliveries) {
            if pending.exists(params![d.endpoint.0, int(event.event.position.0 + i)])? {
                return Ok(true);
            }
        }
    }
    let range = params![int(row.first.0), int(row.last.0)];
    let ended: Option<i64> = conn
        .prepare_cached("SELECT max(finished_at) FROM log WHERE position BETWEEN ?1 AND ?2")?
        .query_row(range, |r| r.get(0))?;
    let tested: Option<i64> = conn
        .prepare_cached("SELECT max(at) FROM tests WHERE position BETWEEN ?1 AND ?2")?
        .query_row(range, |r| r.get(0))?;
    Ok(ended.max(tested).is_some_and(|t| t >= cutoff.as_micros()))
}

fn remove_row(conn: &Connection, row: &Row) -> Res<()> {
    let range = params![int(row.first.0), int(row.last.0)];
    conn.prepare_cached("DELETE FROM log WHERE position BETWEEN ?1 AND ?2")?.execute(range)?;
    conn.prepare_cached("DELETE FROM attempts WHERE position BETWEEN ?1 AND ?2")?.execute(range)?;
    conn.prepare_cached("DELETE FROM tests WHERE position BETWEEN ?1 AND ?2")?.execute(range)?;
    conn.prepare_cached("DELETE FROM journal WHERE first = ?1")?.execute(params![int(row.first.0)])?;
    Ok(())
}

fn drop_runs(conn: &Connection, memory: &Memory, now: Timestamp, step: &mut Step) -> Res<()> {
    let floor = oldest(conn)?.map_or(Position::MAX, |o| o.0);
    for family in FAMILIES {
        for run in &memory.runs[family as usize].runs {
            let over = match family {
                Family::Idempotency => run.newest < now - KEYS_KEPT,
                Family::Index => run.last < floor,
            };
            if over {
                merge::retire(conn, run.id)?;
                step.dropped.push((family, run.id));
            }
        }
    }
    Ok(())
}

/// Removes chunks that lie before the oldest row, but never an owner's last: it knows the last sequence. Gives where to go on.
fn remove_chunks(conn: &Connection, owner: i64, first: i64) -> Res<Option<(i64, i64)>> {
    let floor = oldest(conn)?.map_or(i64::MAX, |o| int(o.0.0));
    let mut statement = conn.prepare_cached(
        "SELECT owner, first, last FROM chunks WHERE (owner, first) > (?1, ?2) ORDER BY owner, first LIMIT ?3",
    )?;
    let rows = statement
        .query_map(params![owner, first, CHUNKS], |r| {
            Ok((r.get::<_, i64>(0)?, r.get::<_, i64>(1)?, r.get::<_, i64>(2)?))
        })?
        .collect::<Result<Vec<_>, _>>()?;
    let mut remove = conn.prepare_cached("DELETE FROM chunks WHERE owner = ?1 AND first = ?2")?;
    for pair in rows.windows(2) {
        if pair[0].0 == pair[1].0 && pair[0].2 < floor {
            remove.execute(params![pair[0].0, pair[0].1])?;
        }
    }
    // The last of the batch is looked at again beside its successor.
    Ok(match &rows[..] {
        [.., before, _] if rows.len() as i64 == CHUNKS => Some((before.0, before.1)),
        _ => None,
    })
}

/// Removes versions that nothing refers to, and removed endpoints of which nothing is left.
fn remove_endpoints(conn: &Connection) -> Res<()> {
    let Some((_, at)) = oldest(conn)? else { return Ok(()) };
    let before = (at - IN_FLIGHT).as_micros();
    conn.prepare_cached("DELETE FROM endpoint_versions WHERE replaced_at < ?1")?.execute(params![before])?;
    let gone = conn
        .prepare_cached(
            "SELECT no FROM endpoints e WHERE deleted = 1 AND updated_at < ?1
             AND NOT EXISTS (SELECT 1 FROM pending p WHERE p.endpoint = e.no) LIMIT 256",
        )?
        .query_map(params![before], |r| r.get::<_, i64>(0))?
        .collect::<Result<Vec<_>, _>>()?;
    for no in gone {
        conn.prepare_cached("DELETE FROM endpoint_versions WHERE endpoint = ?1")?.execute(params![no])?;
        conn.prepare_cached("DELETE FROM chunks WHERE owner = ?1")?.execute(params![no * 2])?;
        conn.prepare_cached("DELETE FROM replays WHERE endpoint = ?1")?.execute(params![no])?;
        conn.prepare_cached("DELETE FROM endpoints WHERE no = ?1")?.execute(params![no])?;
    }
    Ok(())
}
