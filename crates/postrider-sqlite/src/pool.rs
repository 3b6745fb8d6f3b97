//! Connections for reading: a few for each purpose, each bounded in time, and views in which tables and memory belong to the same commit.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};
use postrider_store::StoreError;
use rusqlite::Connection;

use crate::error::Res;
use crate::memory::{Generation, Memory, Shared};
use crate::open;

/// What is said to whoever waited for a connection for as long as a read may take.
const NO_CONNECTION: &str = "all connections for such reads are taken";
/// Operations of SQLite's machine between two looks at the clock.
const OPERATIONS_A_LOOK: i32 = 2_000;

/// Idle connections, and how many there are.
#[derive(Debug, Default)]
struct Inner {
    idle: Vec<Reader>,
    opened: usize,
    /// Raised when all connections are to be closed; those in use follow when they come back.
    epoch: u64,
}

/// What is read for. Each has connections of its own, so that slow questions to the log keep neither commits nor
/// deliveries waiting.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum For {
    /// Answers to people: the log, deliveries, the feed.
    Answers,
    /// Counts and figures for people, each of which may look through very much.
    Counts,
    /// What the engine goes through without haste: replays, how much is pending, notices.
    Background,
    /// Pages of pending work.
    Work,
    /// Keys of publications, which a commit waits for.
    Keys,
    /// Subjects of publications, which a publisher waits for.
    Subjects,
}

/// Connections that look up keys: one for the writer, one for questions that begin with a key.
const KEY_READERS: usize = 2;
/// Connections that look up subjects; opened only where events have some.
const SUBJECT_READERS: usize = 2;
/// Connections that count, and that read in the background.
const COUNT_READERS: usize = 1;
const BACKGROUND_READERS: usize = 1;

/// The readers of a database, by what they read for.
#[derive(Debug)]
pub(crate) struct Pools {
    answers: Pool,
    counts: Pool,
    background: Pool,
    work: Pool,
    keys: Pool,
    subjects: Pool,
}

impl Pools {
    /// `readers` are shared out between answers and work, one for each at least; those for everything else come on top.
    pub(crate) fn new(readers: usize) -> Self {
        let answers = readers / 2;
        Self {
            answers: Pool::new(answers),
            counts: Pool::new(COUNT_READERS),
            background: Pool::new(BACKGROUND_READERS),
            work: Pool::new(readers - answers),
            keys: Pool::new(KEY_READERS),
            subjects: Pool::new(SUBJECT_READERS),
        }
    }

    fn of(&self, what: For) -> &Pool {
        match what {
            For::Answers => &self.answers,
            For::Counts => &self.counts,
            For::Background => &self.background,
            For::Work => &self.work,
            For::Keys => &self.keys,
            For::Subjects => &self.subjects,
        }
    }

    /// Closes all connections: idle ones now, the others when they come back.
    pub(crate) fn close_all(&self) {
        let Self { answers, counts, background, work, keys, subjects } = self;
        [answers, counts, background, work, keys, subjects].into_iter().for_each(Pool::close_all);
    }
}

/// The readers for one purpose.
#[derive(Debug)]
struct Pool {
    inner: Mutex<Inner>,
    returned: Condvar,
    most: usize,
    started: Instant,
}

/// A connection that only reads, with the time at which it is cut off.
#[derive(Debug)]
struct Reader {
    conn: Connection,
    /// Milliseconds after the pool's start.
    deadline: Arc<AtomicU64>,
    epoch: u64,
}

impl Pool {
    /// At most so many connections, none open yet.
    fn new(most: usize) -> Self {
        Self { inner: Mutex::default(), returned: Condvar::new(), most: most.max(1), started: Instant::now() }
    }

    fn take(&self, path: &Path, until: Option<Instant>) -> Res<Reader> {
        let mut inner = self.inner.lock();
        loop {
            if let Some(reader) = inner.idle.pop() {
                return Ok(reader);
            }
            if inner.opened < self.most {
                inner.opened += 1;
                let epoch = inner.epoch;
                drop(inner);
                return self.open(path, epoch).inspect_err(|_| self.inner.lock().opened -= 1);
            }
            match until {
                None => self.returned.wait(&mut inner),
                Some(until) if self.returned.wait_until(&mut inner, until).timed_out() => {
                    return Err(StoreError::Busy(NO_CONNECTION.to_owned()).into());
                }
                Some(_) => {}
            }
        }
    }

    fn open(&self, path: &Path, epoch: u64) -> Res<Reader> {
        let mut conn = open::reading_connection(path)?;
        let deadline = Arc::new(AtomicU64::new(u64::MAX));
        let (seen, started) = (Arc::clone(&deadline), self.started);
        conn.progress_handler(
            OPERATIONS_A_LOOK,
            Some(move || started.elapsed().as_millis() >= u128::from(seen.load(Ordering::Relaxed))),
        )?;
        Ok(Reader { conn, deadline, epoch })
    }

    fn give_back(&self, reader: Reader) {
        let mut inner = self.inner.lock();
        if reader.epoch == inner.epoch && reader.conn.is_autocommit() {
            inner.idle.push(reader);
        } else {
            inner.opened -= 1;
            drop(reader);
        }
        drop(inner);
        self.returned.notify_one();
    }

    fn close_all(&self) {
        let mut inner = self.inner.lock();
        inner.epoch += 1;
        inner.opened -= inner.idle.len();
        inner.idle.clear();
        drop(inner);
        self.returned.notify_all();
    }
}

/// A state of the database that does not change while it is read.
#[derive(Debug)]
pub(crate) struct View<'a> {
    pool: &'a Pool,
    reader: Option<Reader>,
    /// `None` for a read that is not cut off.
    until: Option<Instant>,
}

impl View<'_> {
    /// The connection, inside a read transaction.
    pub(crate) fn conn(&self) -> &Connection {
        &self.reader.as_ref().expect("a view has its reader until it is dropped").conn
    }

    /// # Errors
    /// [`StoreError::Slow`] when the time for this read is over.
    pub(crate) fn check(&self) -> Res<()> {
        if self.until.is_none_or(|until| Instant::now() < until) {
            Ok(())
        } else {
            Err(StoreError::Slow.into())
        }
    }
}

impl Drop for View<'_> {
    fn drop(&mut self) {
        if let Some(reader) = self.reader.take() {
            reader.deadline.store(u64::MAX, Ordering::Relaxed);
            if let Err(error) = reader.conn.execute_batch("ROLLBACK") {
                tracing::warn!(%error, "a read could not be ended");
            }
            self.pool.give_back(reader);
        }
    }
}

impl Shared {
    /// Begins a read: a view of the tables, and what `take` copies from memory as of the same commit.
    ///
    /// Memory changes just after its commit becomes visible in the tables, under the write lock. So under the read lock a
    /// snapshot is either of the commit that memory knows, or of the next one; in the second case it is taken again.
    pub(crate) fn view<T>(&self, what: For, take: impl Fn(&Memory) -> T) -> Res<(View<'_>, T)> {
        self.view_within(what, Some(self.config.read_limit), take)
    }

    /// As [`Self::view`], but never cut off: for a start, which has nothing to answer before it is done.
    pub(crate) fn view_without_limit<T>(&self, take: impl Fn(&Memory) -> T) -> Res<(View<'_>, T)> {
        self.view_within(For::Answers, None, take)
    }

    fn view_within<T>(
        &self,
        what: For,
        limit: Option<Duration>,
        take: impl Fn(&Memory) -> T,
    ) -> Res<(View<'_>, T)> {
        let until = limit.map(|limit| Instant::now() + limit);
        let pool = self.pools.of(what);
        let reader = pool.take(&self.path, until)?;
        let deadline = limit.map(|limit| (pool.started.elapsed() + limit).as_millis());
        let deadline = deadline.and_then(|at| u64::try_from(at).ok()).unwrap_or(u64::MAX);
        reader.deadline.store(deadline, Ordering::Relaxed);
        let view = View { pool, reader: Some(reader), until };
        loop {
            view.conn().prepare_cached("BEGIN")?.execute([])?;
            let memory = self.memory.read();
            if generation(view.conn())? == memory.generation {
                let taken = take(&memory);
                return Ok((view, taken));
            }
            drop(memory);
            view.conn().prepare_cached("ROLLBACK")?.execute([])?;
            if let Err(e) = view.check() {
                view.conn().prepare_cached("BEGIN")?.execute([])?;
                return Err(e);
            }
            std::thread::yield_now();
        }
    }
}

/// The state that a connection sees.
pub(crate) fn generation(conn: &Connection) -> Res<Generation> {
    let mut statement = conn
        .prepare_cached("SELECT (SELECT max(first) FROM journal), (SELECT value FROM meta WHERE key = 1)")?;
    Ok(statement.query_row([], |r| {
        Ok(Generation {
            row: r.get::<_, Option<i64>>(0)?.unwrap_or(0),
            maintained: r.get::<_, Option<i64>>(1)?.unwrap_or(0),
        })
    })?)
}

/// The longest that a read may wait and work, unless configured otherwise.
pub(crate) const READ_LIMIT: Duration = Duration::from_secs(5);

#[cfg(test)]
mod tests {
    use postrider_core::id::{EndpointNo, Position};
    use postrider_core::record::KeyHash;
    use postrider_core::time::Timestamp;
    use postrider_store::conformance::build::{ALL, Builder, Draft, TENANT};
    use postrider_store::{LogQuery, Store as _};

    use super::*;
    use crate::SqliteConfig;

    #[test]
    fn slow_questions_to_the_log_keep_neither_commits_nor_deliveries_waiting() {
        let directory = tempfile::tempdir().unwrap();
        let config =
            SqliteConfig { readers: 2, read_limit: Duration::from_millis(100), ..SqliteConfig::default() };
        let (store, mut writer) = crate::open(&directory.path().join("p.db"), config).unwrap();
        let mut b = Builder::default();
        b.event(Draft { own_id: Some("a".into()), ..Draft::default() });
        b.commit(&mut writer, store.committed());
        let (slow, ()) = store.shared.view(For::Answers, |_| ()).unwrap();
        let query = LogQuery { limit: 1, ..LogQuery::default() };
        // That others are in the way is told from a question that takes too long itself.
        assert!(matches!(store.log(&query), Err(StoreError::Busy(_))));
        assert!(store.find_keys(&[KeyHash::own_id(TENANT, "a")]).unwrap()[0].is_some());
        assert_eq!(store.due(EndpointNo(1), Position::ZERO, ALL).unwrap().entries.len(), 1);
        assert_eq!(store.pending(EndpointNo(1), None, 9).unwrap().len(), 1);
        assert_eq!(store.subject("card").unwrap(), None);
        let count = || store.figures(EndpointNo(1), Timestamp::EPOCH, 9);
        assert!(count().is_ok() && store.notices(Timestamp::EPOCH, 9).is_ok());
        drop(slow);
        assert_eq!(store.log(&query).unwrap().rows.len(), 1);
        // Nor do counts keep any of them waiting.
        let (_slow, ()) = store.shared.view(For::Counts, |_| ()).unwrap();
        assert!(matches!(count(), Err(StoreError::Busy(_))));
        assert_eq!(store.log(&query).unwrap().rows.len(), 1);
        assert_eq!(store.count_pending(EndpointNo(1), 9).unwrap().0, 1);
    }
}
