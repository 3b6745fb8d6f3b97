//! Bringing the lagging indexes up: open deliveries get rows in `pending`, tails become chunks, open runs are written out.

use std::sync::Arc;

use postrider_core::id::Position;
use postrider_core::time::Timestamp;
use rusqlite::{Connection, params};

use crate::chunks::{self, CHUNK};
use crate::error::Res;
use crate::memory::Memory;
use crate::overlay::Open;
use crate::rows::{self, int};
use crate::runs::{Builder, FAMILIES, Family, OPEN_KEYS, Run};
use crate::schema::{self, Meta};
use crate::write::next_run_id;

/// Open deliveries that memory holds before commits settle the oldest themselves.
pub(crate) const OPEN_BOUND: usize = 32_768;
/// Deliveries that one commit settles when the bound is passed, beside those that it opens.
const SETTLED_A_COMMIT: usize = 8_192;
/// Chunks that one commit writes, beside as many as its events and deliveries fill in the long run.
const CHUNKS_A_COMMIT: usize = 256;
/// Places in the orders that may be unwritten before a round of writing out begins: at least, and for each tail.
const SWEEP_EVERY: u64 = 2 * 65_536;
const SWEEP_PER_TAIL: u64 = 32;
/// And at most.
const SWEEP_AT_MOST: u64 = 2_000_000;

/// How much one transaction does.
pub(crate) struct Caps {
    /// Settle groups built before this.
    pub(crate) older_than: Timestamp,
    pub(crate) bound: usize,
    pub(crate) settled: usize,
    pub(crate) chunks: usize,
    /// The families whose open run is written out.
    pub(crate) runs: [bool; FAMILIES.len()],
}

impl Caps {
    /// What a commit of so many events and deliveries does by the way: more than it leaves to do, so that memory does not grow
    /// without end. Each of them takes a place in one order.
    pub(crate) fn in_commit(memory: &Memory, events: usize, deliveries: usize) -> Self {
        Self {
            older_than: Timestamp::from_micros(i64::MIN),
            bound: OPEN_BOUND,
            settled: SETTLED_A_COMMIT + deliveries,
            chunks: CHUNKS_A_COMMIT + (events + deliveries) / CHUNK,
            runs: due_runs(memory),
        }
    }
}

/// The open runs to be written out: full ones, and all that hold something when a round is under way.
pub(crate) fn due_runs(memory: &Memory) -> [bool; FAMILIES.len()] {
    let sweeping = memory.tails.sweeping();
    FAMILIES.map(|f| {
        let open = memory.runs[f as usize].open.len();
        open >= OPEN_KEYS
            || (sweeping && open > 0 && memory.marks.runs_from[f as usize] <= memory.marks.chunks_from)
    })
}

/// What was written, for [`apply`].
pub(crate) struct Lagging {
    settled: Vec<Open>,
    chunks: usize,
    runs: Vec<(Family, Run)>,
    marks_written: bool,
}

impl Lagging {
    /// Whether nothing was to do.
    pub(crate) fn is_nothing(&self) -> bool {
        self.settled.is_empty() && self.chunks == 0 && self.runs.is_empty() && !self.marks_written
    }
}

/// Writes what is due. Memory is changed by [`apply`], once this is committed.
pub(crate) fn write(
    conn: &Connection,
    memory: &Memory,
    caps: &Caps,
    next_run: &mut i64,
    except: impl Fn(Position) -> bool,
) -> Res<Lagging> {
    let settled = memory.overlay.to_settle(caps.older_than, caps.bound, caps.settled, except);
    for open in &settled {
        rows::insert_pending(conn, &open.row(), None)?;
    }
    let to_write = memory.tails.to_write(caps.chunks);
    for (owner, chunk) in &to_write {
        let (Some(first), Some(last)) = (chunk.positions.first(), chunk.positions.last()) else { continue };
        conn.prepare_cached("INSERT OR REPLACE INTO chunks VALUES (?1, ?2, ?3, ?4, ?5)")?.execute(
            params![owner.0, int(first.0), int(last.0), int(chunk.sequence), chunks::pack(&chunk.positions)],
        )?;
    }
    let mut runs = Vec::new();
    for family in FAMILIES.into_iter().filter(|f| caps.runs[*f as usize]) {
        runs.push((family, write_open_run(conn, memory, family, next_run)?));
    }
    let marks_written = memory.marks_moved || !runs.is_empty();
    if marks_written {
        write_marks(conn, memory, &runs)?;
    }
    let chunks = if to_write.is_empty() && !memory.tails.sweeping() { 0 } else { caps.chunks };
    Ok(Lagging { settled, chunks, runs, marks_written })
}

fn write_marks(conn: &Connection, memory: &Memory, runs: &[(Family, Run)]) -> Res<()> {
    schema::set(conn, Meta::OpenFrom as i64, int(memory.overlay.open_from(memory.committed).0))?;
    schema::set(conn, Meta::ChunksFrom as i64, int(memory.marks.chunks_from.0))?;
    for family in FAMILIES {
        let written = runs.iter().any(|(f, _)| *f == family);
        let from = if written { memory.committed.plus(1) } else { memory.marks.runs_from[family as usize] };
        schema::set(conn, Meta::RunsFrom as i64 + family as i64, int(from.0))?;
    }
    Ok(())
}

fn write_open_run(conn: &Connection, memory: &Memory, family: Family, next_run: &mut i64) -> Res<Run> {
    let runs = &memory.runs[family as usize];
    let mut builder = Builder::new(next_run_id(next_run), 0, runs.open.len(), runs.open_newest);
    for entry in &runs.open {
        if let Some(page) = builder.push(*entry) {
            write_page(conn, page)?;
        }
    }
    let (page, run) = builder.finish();
    if let Some(page) = page {
        write_page(conn, page)?;
    }
    write_run(conn, family, &run)?;
    Ok(run)
}

/// Writes a page of a run.
pub(crate) fn write_page(conn: &Connection, (id, data): (i64, Vec<u8>)) -> Res<()> {
    conn.prepare_cached("INSERT INTO run_pages VALUES (?1, ?2)")?.execute(params![id, data])?;
    Ok(())
}

/// Writes the row of a run whose pages are written.
pub(crate) fn write_run(conn: &Connection, family: Family, run: &Run) -> Res<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO runs VALUES (?1, ?2, ?3, 1, ?4, ?5, ?6, ?7, ?8, ?9)")?
        .execute(params![
            run.id,
            family as i64,
            run.level,
            int(run.keys as u64),
            int(run.first.0),
            int(run.last.0),
            run.newest.as_micros(),
            crate::runs::fences_to_bytes(&run.fences),
            run.filter.to_bytes()
        ])?;
    Ok(())
}

/// Brings memory up to what [`write`] wrote. `committed` is the last position that memory knew then.
pub(crate) fn apply(memory: &mut Memory, lagging: Lagging, committed: Position) {
    if lagging.marks_written {
        memory.marks_moved = false;
    }
    for open in &lagging.settled {
        memory.overlay.close(open.delivery.position);
    }
    for (family, run) in lagging.runs {
        let runs = memory.family(family);
        runs.open.clear();
        runs.runs.push(Arc::new(run));
        memory.marks.runs_from[family as usize] = committed.plus(1);
    }
    if lagging.chunks > 0
        && let Some(upto) = memory.tails.written(lagging.chunks)
    {
        memory.marks.chunks_from = upto.plus(1);
        for family in FAMILIES {
            if memory.runs[family as usize].open.is_empty() {
                memory.marks.runs_from[family as usize] = committed.plus(1);
            }
        }
        memory.marks_moved = true;
    }
}

/// Begins a round of writing everything out when enough has come since the last.
pub(crate) fn begin_when_due(memory: &mut Memory) {
    let every = SWEEP_EVERY.max(memory.tails.owners() as u64 * SWEEP_PER_TAIL).min(SWEEP_AT_MOST);
    if memory.tails.since_sweep() >= every {
        memory.tails.begin_sweep(memory.committed);
    }
}

/// A bound that no tail passes: its rows hold 64 positions.
const _: () = assert!(CHUNK == 64, "the layout of chunks is fixed");
