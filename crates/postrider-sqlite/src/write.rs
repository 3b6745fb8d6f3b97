//! The writer: one transaction a group, made durable before memory hears of it.

use std::sync::Arc;

use postrider_core::id::Position;
use postrider_core::record::{Accepted, Disposition, Group, PendingRow, Place, Start, Update};
use postrider_store::{Maintenance, StoreError, Writer};
use rusqlite::{Connection, params};
use rustc_hash::FxHashSet;

use crate::checkpoint::{self, Checkpointer};
use crate::codec;
use crate::edits;
use crate::error::{Fault, Res};
use crate::journal::Journal;
use crate::memory::{Indexed, Memory, Shared};
use crate::merge::Merge;
use crate::open::{self, Lock};
use crate::overlay::{self, Open};
use crate::retention::Sweeper;
use crate::rows::{self, int};
use crate::settle::{self, Caps, Lagging};
use crate::{load, runs};

/// Bytes of data after which a journal row is full, so that reading one event does not read thousands.
const ROW_BYTES: usize = 32 * 1024;
/// Positions after which a journal row is full.
const ROW_POSITIONS: u64 = 128;

/// The one writer of a database.
#[derive(Debug)]
pub struct SqliteWriter {
    pub(crate) shared: Arc<Shared>,
    /// `None` after a result that is not known, until [`Writer::reopen`].
    pub(crate) conn: Option<Connection>,
    pub(crate) checkpointer: Checkpointer,
    pub(crate) merge: Option<Merge>,
    pub(crate) sweeper: Sweeper,
    pub(crate) next_run: i64,
    /// The kind of background work whose turn it is.
    pub(crate) turn: u8,
    pub(crate) lock: Lock,
    row_data: Vec<u8>,
}

impl SqliteWriter {
    pub(crate) fn new(shared: Arc<Shared>, conn: Connection, lock: Lock, next_run: i64) -> Self {
        let checkpointer = Checkpointer::start(&shared);
        Self {
            shared,
            conn: Some(conn),
            checkpointer,
            merge: None,
            sweeper: Sweeper::default(),
            next_run,
            turn: 0,
            lock,
            row_data: Vec::with_capacity(2 * ROW_BYTES),
        }
    }

    /// Runs a transaction. An error before its end leaves nothing behind; one that leaves the end in doubt closes the handle.
    pub(crate) fn transaction<T>(
        &mut self,
        body: impl FnOnce(&Connection, &mut Self) -> Res<T>,
    ) -> Result<T, StoreError> {
        let Some(conn) = self.conn.take() else {
            return Err(StoreError::Unknown("an earlier result is not settled; reopen first".into()));
        };
        let done = (|| -> Res<T> {
            conn.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
            let value = body(&conn, self)?;
            conn.prepare_cached("COMMIT")?.execute([])?;
            Ok(value)
        })();
        let error = match done {
            Ok(value) => {
                self.conn = Some(conn);
                return Ok(value);
            }
            Err(fault) => StoreError::from(fault),
        };
        let rolled_back = conn.is_autocommit() || conn.execute_batch("ROLLBACK").is_ok();
        match error {
            StoreError::Unknown(_) => drop(conn),
            other if rolled_back => {
                self.conn = Some(conn);
                return Err(other);
            }
            other => {
                drop(conn);
                return Err(StoreError::Unknown(other.to_string()));
            }
        }
        Err(error)
    }

    fn write_group(&mut self, conn: &Connection, memory: &Memory, group: &Group) -> Res<FxHashSet<Position>> {
        edits::apply(conn, &group.edits, group.at)?;
        self.write_journal(conn, group)?;
        write_skipped(conn, group)?;
        for test in &group.tests {
            conn.prepare_cached("INSERT OR REPLACE INTO tests VALUES (?1, ?2, ?3, ?4, ?5, ?6)")?.execute(
                params![
                    int(test.position.0),
                    test.tenant.0,
                    test.endpoint.0,
                    &*test.event_type,
                    &test.data[..],
                    test.at.as_micros()
                ],
            )?;
            rows::insert_attempt(conn, test.position, &test.attempt)?;
        }
        write_updates(conn, memory, &group.updates)
    }

    /// Cuts the events into rows; the last one carries the marker.
    fn write_journal(&mut self, conn: &Connection, group: &Group) -> Res<()> {
        let mut statement = conn.prepare_cached(
            "INSERT INTO journal (first, last, at, writer, number, head, data) VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7)",
        )?;
        let mut first = group.first;
        let mut rest = &group.accepted[..];
        loop {
            let (now, later) = rest.split_at(row_length(first, rest));
            rest = later;
            let last = later.first().map_or(group.last, |next| Position(next.event.position.0 - 1));
            let marker = rest.is_empty().then_some((group.writer.cast_signed(), int(group.number)));
            let head = (!now.is_empty()).then(|| codec::encode(group.at, first, now));
            self.row_data.clear();
            for a in now {
                self.row_data.extend_from_slice(&a.event.attributes);
                self.row_data.extend_from_slice(&a.event.data);
            }
            let data = (!self.row_data.is_empty()).then_some(&self.row_data[..]);
            statement.execute(params![
                int(first.0),
                int(last.0),
                group.at.as_micros(),
                marker.map(|m| m.0),
                marker.map(|m| m.1),
                head,
                data
            ])?;
            if rest.is_empty() {
                return Ok(());
            }
            first = last.plus(1);
        }
    }
}

/// How many of the events belong into the next row: one at least, if there are any.
fn row_length(first: Position, events: &[Accepted]) -> usize {
    let mut bytes = 0;
    for (i, a) in events.iter().enumerate() {
        if i > 0 && (bytes >= ROW_BYTES || a.last_position().0 - first.0 >= ROW_POSITIONS) {
            return i;
        }
        bytes += a.event.data.len() + a.event.attributes.len();
    }
    events.len()
}

/// The first position of the last row that a group leaves.
fn last_row(group: &Group) -> Position {
    let mut first = group.first;
    let mut rest = &group.accepted[..];
    loop {
        rest = &rest[row_length(first, rest)..];
        match rest.first() {
            Some(next) => first = next.event.position,
            None => return first,
        }
    }
}

/// What is skipped has its row in the log from the beginning.
fn write_skipped(conn: &Connection, group: &Group) -> Res<()> {
    let mut statement = None;
    for a in &group.accepted {
        for (i, d) in (1..).zip(&a.deliveries) {
            let Start::Skipped(reason) = d.start else { continue };
            let statement = match &mut statement {
                Some(s) => s,
                none => none.insert(conn.prepare_cached(rows::LOG_INSERT)?),
            };
            let update = Update {
                delivery: postrider_core::record::DeliveryRef {
                    position: a.event.position.plus(i),
                    event: a.event.position,
                    tenant: a.event.tenant,
                    endpoint: d.endpoint,
                    sequence: d.sequence,
                },
                from: None,
                to: Disposition::Ended(postrider_core::record::Status::Skipped, Some(reason)),
                progress: postrider_core::record::Progress::default(),
                attempt: None,
                at: a.event.accepted_at,
            };
            rows::write_log(statement, false, &update)?;
        }
    }
    Ok(())
}

/// Writes how deliveries went on; returns those that are not open any more.
fn write_updates(conn: &Connection, memory: &Memory, updates: &[Update]) -> Res<FxHashSet<Position>> {
    let mut closed = FxHashSet::default();
    if updates.is_empty() {
        return Ok(closed);
    }
    closed.reserve(updates.len());
    let mut journal = Journal::new(conn);
    let mut insert = conn.prepare_cached(rows::LOG_INSERT)?;
    let mut upsert = conn.prepare_cached(rows::LOG_UPSERT)?;
    for u in updates {
        let position = u.delivery.position;
        let open = memory.overlay.get(position);
        let fresh = open.is_some() && closed.insert(position);
        let begun = begun(conn, u)?;
        if !fresh && let Some(from) = u.from {
            rows::delete_pending(conn, &u.delivery, from)?;
        }
        let ended = matches!(u.to, Disposition::Ended(..));
        if ended || u.attempt.is_some() {
            if !fresh && u.attempt.is_some() {
                rows::unpack_first_try(conn, position)?;
            }
            rows::write_log(if fresh { &mut insert } else { &mut upsert }, !fresh, u)?;
        } else {
            let p = &u.progress;
            conn.prepare_cached(rows::LOG_MOVE)?.execute(params![
                int(position.0),
                p.run,
                p.attempts,
                p.step,
                u8::from(p.blocking) | (u8::from(p.overtaken) << 1),
                int(p.held_ms),
                p.trigger as u8
            ])?;
        }
        if let Some(attempt) = u.attempt.as_ref().filter(|_| !rows::fits_log_row(u)) {
            rows::insert_attempt(conn, position, attempt)?;
        }
        if let Disposition::Pending(place) = u.to {
            let lane = match open {
                Some(open) => open.lane,
                None => load::key_lane(&mut journal, position)?,
            };
            rows::insert_pending(
                conn,
                &PendingRow { delivery: u.delivery, place, progress: u.progress, lane },
                begun,
            )?;
        }
    }
    Ok(closed)
}

/// When the run began that an update belongs to, if it stays pending in a later one.
fn begun(conn: &Connection, u: &Update) -> Res<Option<Position>> {
    match (u.from, u.to) {
        (None, Disposition::Pending(Place::Due(rank))) => Ok(Some(rank)),
        (Some(_), Disposition::Pending(_)) if u.progress.run > 0 => Ok(rows::begun(conn, &u.delivery)?),
        _ => Ok(None),
    }
}

/// What a group opened.
fn opened(group: &Group) -> Vec<Open> {
    let mut all = Vec::with_capacity(group.accepted.len());
    for a in &group.accepted {
        let lane = a.key.map(postrider_core::record::KeyHash::lane);
        all.extend((1..).zip(&a.deliveries).filter_map(|(i, d)| {
            overlay::open(a.event.position, a.event.tenant, a.event.position.plus(i), d, lane)
        }));
    }
    all
}

/// Brings memory up to a commit.
fn apply(
    memory: &mut Memory,
    group: &Group,
    closed: &FxHashSet<Position>,
    opened: Vec<Open>,
    lagging: Lagging,
) {
    let before = memory.committed;
    settle::apply(memory, lagging, before);
    for position in closed {
        memory.overlay.close(*position);
    }
    memory.overlay.push(group.first, group.last, group.at, opened);
    let marks = crate::memory::Marks::default();
    for a in &group.accepted {
        let indexed = Indexed::from(a);
        memory.index(&indexed, &marks, group.at);
        for (owner, position, sequence) in indexed.places() {
            memory.tails.push(owner, position, sequence);
        }
    }
    memory.committed = group.last;
    memory.generation.row = int(last_row(group).0);
    settle::begin_when_due(memory);
}

impl Writer for SqliteWriter {
    fn commit(&mut self, group: &Group) -> Result<(), StoreError> {
        let shared = Arc::clone(&self.shared);
        if group.first <= shared.memory.read().committed || group.last < group.first {
            return Err(StoreError::Other("a group must begin after the last position committed".into()));
        }
        self.checkpointer.before_commit(self.conn.as_ref());
        let (closed, lagging) = self.transaction(|conn, writer| {
            let memory = shared.memory.read();
            let closed = writer.write_group(conn, &memory, group)?;
            let deliveries = group.accepted.iter().map(|a| a.deliveries.len()).sum();
            let caps = Caps::in_commit(&memory, group.accepted.len(), deliveries);
            let lagging = settle::write(conn, &memory, &caps, &mut writer.next_run, |p| closed.contains(&p))?;
            Ok((closed, lagging))
        })?;
        let opened = opened(group);
        apply(&mut shared.memory.write(), group, &closed, opened, lagging);
        self.checkpointer.after_commit();
        Ok(())
    }

    fn reopen(&mut self, writer: u64, number: u64) -> Result<bool, StoreError> {
        self.lock.check()?;
        self.conn = None;
        self.merge = None;
        self.shared.pools.close_all();
        let conn = open::writing_connection(&self.shared.path, &self.shared.config, &self.shared.frames)
            .map_err(StoreError::from)?;
        // Commits of background work are not flushed one by one, so unflushed frames may lie in the log before the ones
        // that could not be flushed, and after a failed fsync the kernel may take their pages for clean: a later fsync
        // would succeed without writing them, and a loss of power would cut the log before everything acknowledged since.
        // So nothing is built on this log any more: what can be read of it is copied into the database, which is flushed
        // on its own, and the log begins anew. Until that has succeeded, the handle stays closed.
        conn.busy_timeout(self.shared.config.read_limit.min(open::BUSY))
            .map_err(|e| StoreError::from(Fault::from(e)))?;
        checkpoint::empty_log(&conn).map_err(StoreError::from)?;
        conn.busy_timeout(open::BUSY).map_err(|e| StoreError::from(Fault::from(e)))?;
        let (memory, next_run) = load::memory(&conn).map_err(StoreError::from)?;
        let known = load::has_marker(&conn, writer, number).map_err(StoreError::from)?;
        *self.shared.memory.write() = memory;
        self.next_run = next_run;
        self.conn = Some(conn);
        Ok(known)
    }

    fn maintain(&mut self, how: Maintenance) -> Result<bool, StoreError> {
        crate::maintain::step(self, how)
    }

    fn close(mut self: Box<Self>) -> Result<(), StoreError> {
        crate::maintain::close(&mut self)
    }
}

/// The id of the next run that is written.
pub(crate) fn next_run_id(next: &mut i64) -> i64 {
    let id = *next;
    *next += 1;
    debug_assert!(id < 1 << (62 - runs::PAGE_BITS), "runs are numbered from one upwards");
    id
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use postrider_store::Store as _;
    use postrider_store::conformance::build::{Builder, Draft};

    use super::*;
    use crate::SqliteConfig;

    #[test]
    fn commits_that_open_more_than_a_step_settles_do_not_fill_memory_without_end() {
        const EACH: usize = 20_000;
        let directory = tempfile::tempdir().unwrap();
        let (store, mut writer) =
            crate::open(&directory.path().join("p.db"), SqliteConfig::default()).unwrap();
        let mut b = Builder::default();
        for _ in 0..5 {
            for _ in 0..EACH / 1_000 {
                let deliveries = (1..=1_000).map(|no| (no, Start::Due)).collect();
                b.event(Draft { deliveries, ..Draft::default() });
            }
            b.commit(&mut writer, store.committed());
        }
        let memory = writer.shared.memory.read();
        assert!(memory.overlay.len() <= settle::OPEN_BOUND + EACH, "{}", memory.overlay.len());
    }

    #[test]
    fn a_database_that_somebody_else_holds_is_busy_and_takes_the_group_later() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.db");
        let (store, mut writer) = crate::open(&path, SqliteConfig::default()).unwrap();
        writer.conn.as_ref().unwrap().busy_timeout(Duration::ZERO).unwrap();
        let other = Connection::open(&path).unwrap();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        let mut b = Builder::default();
        b.event(Draft::default());
        let group = b.group(store.committed().plus(1));
        assert!(matches!(writer.commit(&group), Err(StoreError::Busy(_))));
        other.execute_batch("ROLLBACK").unwrap();
        writer.commit(&group).unwrap();
    }

    #[test]
    fn abuse_a107_after_an_unknown_result_nothing_is_answered_before_the_log_is_empty() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("p.db");
        let config = SqliteConfig { read_limit: Duration::from_millis(20), ..SqliteConfig::default() };
        let (store, mut writer) = crate::open(&path, config).unwrap();
        let mut b = Builder::default();
        b.event(Draft::default());
        let group = b.commit(&mut writer, store.committed());
        // Somebody reads an older state, which is in the database alone: the log cannot begin anew.
        let shared = Arc::clone(&writer.shared);
        let (view, ()) = shared.view(crate::pool::For::Answers, |_| ()).unwrap();
        b.event(Draft::default());
        let next = b.commit(&mut writer, store.committed());
        assert!(matches!(writer.reopen(group.writer, group.number), Err(StoreError::Unknown(_))));
        b.event(Draft::default());
        let refused = b.group(store.committed().plus(1));
        assert!(matches!(writer.commit(&refused), Err(StoreError::Unknown(_))));
        drop(view);
        assert!(writer.reopen(next.writer, next.number).unwrap());
        assert_eq!(std::fs::metadata(open::beside(&shared.path, "-wal")).unwrap().len(), 0);
        writer.commit(&refused).unwrap();
    }
}
