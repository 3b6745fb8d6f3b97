//! Background work between commits, one bounded step after the other: settling, merging, removing, and the end.
//!
//! Its transactions are not flushed one by one: the next commit flushes the log with all that is in it, and what a crash
//! takes away is done again.

use std::sync::Arc;
use std::time::{Duration, Instant};

use postrider_core::id::Position;
use postrider_core::time::Timestamp;
use postrider_store::{Maintenance, StoreError};
use rusqlite::Connection;

use crate::checkpoint;
use crate::error::Res;
use crate::memory::Memory;
use crate::merge::{self, Merge};
use crate::retention;
use crate::runs::{FAMILIES, Family, Run};
use crate::schema::{self, Meta};
use crate::settle::{self, Caps, Lagging};
use crate::write::{SqliteWriter, next_run_id};

/// What stays open for longer gets rows of its own.
const OPEN_FOR: Duration = Duration::from_secs(1);
/// Deliveries settled, and chunks written, in one step.
const STEP: usize = 2_048;

/// What a step changed, for memory to follow.
enum Done {
    Nothing,
    Lagging(Lagging),
    Merged(Family, Vec<i64>, Run),
    Dropped(Vec<(Family, i64)>),
    /// Tables only.
    Tables,
}

/// Steps until the time is used up or nothing is left to do; says whether something is.
pub(crate) fn step(writer: &mut SqliteWriter, how: Maintenance) -> Result<bool, StoreError> {
    if let Err(e) = writer.lock.check() {
        writer.conn = None;
        return Err(e);
    }
    writer.checkpointer.before_commit(writer.conn.as_ref());
    let until = Instant::now() + how.budget;
    // Each kind of work gets its turn, so that none starves behind one that always has something.
    let mut idle = 0;
    while idle < KINDS {
        let worked = one(writer, &how)?;
        writer.turn = (writer.turn + 1) % KINDS;
        idle = if worked { 0 } else { idle + 1 };
        if worked && Instant::now() >= until {
            return Ok(true);
        }
    }
    Ok(false)
}

/// Kinds of background work.
const KINDS: u8 = 4;

fn one(writer: &mut SqliteWriter, how: &Maintenance) -> Result<bool, StoreError> {
    match writer.turn {
        0 => lagging(writer, how.now - OPEN_FOR),
        1 => merging(writer),
        2 => clearing(writer),
        _ => removing(writer, how),
    }
}

fn lagging(writer: &mut SqliteWriter, older_than: Timestamp) -> Result<bool, StoreError> {
    let caps = {
        let memory = writer.shared.memory.read();
        let runs = settle::due_runs(&memory);
        let open = !memory.overlay.to_settle(older_than, settle::OPEN_BOUND, 1, |_| false).is_empty();
        let due = memory.tails.sweeping() || memory.tails.any_full() || memory.marks_moved;
        if !open && !due && !runs.contains(&true) {
            return Ok(false);
        }
        Caps { older_than, bound: settle::OPEN_BOUND, settled: STEP, chunks: STEP, runs }
    };
    run(writer, |conn, writer, memory| {
        let lagging = settle::write(conn, memory, &caps, &mut writer.next_run, |_| false)?;
        Ok(if lagging.is_nothing() { Done::Nothing } else { Done::Lagging(lagging) })
    })
}

fn merging(writer: &mut SqliteWriter) -> Result<bool, StoreError> {
    if writer.merge.is_none() {
        let found = {
            let memory = writer.shared.memory.read();
            FAMILIES.into_iter().find_map(|f| memory.runs[f as usize].mergeable().map(|runs| (f, runs)))
        };
        let Some((family, inputs)) = found else { return Ok(false) };
        return run(writer, |conn, writer, _| {
            let id = next_run_id(&mut writer.next_run);
            writer.merge = Some(Merge::begin(conn, family, inputs, id)?);
            Ok(Done::Tables)
        });
    }
    let result = run(writer, |conn, writer, _| {
        let Some(merge) = &mut writer.merge else { return Ok(Done::Nothing) };
        let Some(run) = merge.step(conn)? else { return Ok(Done::Tables) };
        let (family, inputs) = (merge.family, std::mem::take(&mut merge.inputs));
        writer.merge = None;
        writer.sweeper.dead_runs = true;
        Ok(Done::Merged(family, inputs, run))
    });
    // What a failed step wrote is gone, and with it the merge: it begins anew.
    result.inspect_err(|_| {
        writer.merge = None;
        writer.sweeper.dead_runs = true;
    })
}

fn clearing(writer: &mut SqliteWriter) -> Result<bool, StoreError> {
    if !writer.sweeper.dead_runs {
        return Ok(false);
    }
    run(writer, |conn, writer, _| {
        let writing = writer.merge.as_ref().and_then(Merge::output);
        writer.sweeper.dead_runs = merge::clear(conn, writing)?;
        Ok(if writer.sweeper.dead_runs { Done::Tables } else { Done::Nothing })
    })
}

fn removing(writer: &mut SqliteWriter, how: &Maintenance) -> Result<bool, StoreError> {
    if !writer.sweeper.is_due(how.now) {
        return Ok(false);
    }
    let mut dropped = Vec::new();
    let mut wants_sweep = false;
    let result = run(writer, |conn, writer, memory| {
        let step = retention::step(conn, &mut writer.sweeper, memory, how)?;
        wants_sweep = step.wants_sweep;
        dropped = step.dropped;
        if !dropped.is_empty() {
            return Ok(Done::Dropped(std::mem::take(&mut dropped)));
        }
        Ok(if step.worked { Done::Tables } else { Done::Nothing })
    })
    .inspect_err(|_| writer.sweeper.start_over())?;
    if wants_sweep {
        let mut memory = writer.shared.memory.write();
        let committed = memory.committed;
        memory.tails.begin_sweep(committed);
        return Ok(true);
    }
    Ok(result)
}

/// One transaction of maintenance, after which memory follows. Says whether anything was done.
fn run(
    writer: &mut SqliteWriter,
    body: impl FnOnce(&Connection, &mut SqliteWriter, &Memory) -> Res<Done>,
) -> Result<bool, StoreError> {
    let shared = Arc::clone(&writer.shared);
    set_synchronous(writer, "NORMAL")?;
    let done = writer.transaction(|conn, writer| {
        let memory = shared.memory.read();
        let done = body(conn, writer, &memory)?;
        if !matches!(done, Done::Nothing) {
            schema::set(conn, Meta::Maintained as i64, memory.generation.maintained + 1)?;
        }
        Ok(done)
    });
    let worked = done.map(|done| follow(&mut shared.memory.write(), done));
    if writer.conn.is_some() {
        set_synchronous(writer, "FULL")?;
    }
    worked
}

fn set_synchronous(writer: &mut SqliteWriter, how: &str) -> Result<(), StoreError> {
    let set = match &writer.conn {
        Some(conn) => conn.pragma_update(None, "synchronous", how),
        None => Ok(()),
    };
    // A connection that would not flush its commits must not be used again.
    set.map_err(|e| {
        writer.conn = None;
        StoreError::Unknown(e.to_string())
    })
}

fn follow(memory: &mut Memory, done: Done) -> bool {
    let committed: Position = memory.committed;
    match done {
        Done::Nothing => return false,
        Done::Lagging(lagging) => settle::apply(memory, lagging, committed),
        Done::Merged(family, inputs, run) => memory.family(family).replace(&inputs, Arc::new(run)),
        Done::Dropped(runs) => {
            for (family, id) in runs {
                memory.family(family).runs.retain(|r| r.id != id);
            }
        }
        Done::Tables => {}
    }
    memory.generation.maintained += 1;
    true
}

/// Writes out all that a start would have to read again, then closes.
pub(crate) fn close(writer: &mut SqliteWriter) -> Result<(), StoreError> {
    let (owners, open) = {
        let mut memory = writer.shared.memory.write();
        let committed = memory.committed;
        memory.tails.begin_sweep(committed);
        (memory.tails.owners(), memory.overlay.len())
    };
    // Each step writes at least one tail or settles one delivery; the marks follow in a last one.
    for _ in 0..owners + open + 16 {
        if !lagging(writer, Timestamp::FAR_FUTURE)? {
            break;
        }
    }
    writer.shared.pools.close_all();
    if let Some(conn) = writer.conn.take() {
        checkpoint::checkpoint(&conn, "TRUNCATE");
    }
    Ok(())
}
