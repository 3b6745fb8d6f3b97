//! Postrider's embedded store: one SQLite file that is appended to, and nothing else on the hot path.
//!
//! A commit leaves rows in the **journal** (events, what they owe, their bytes) and in the **log** (how deliveries went).
//! Everything else is an index that may lag behind the journal and is brought up in the background, or again at a start:
//! the *overlay* (what is owed and not written down yet), *chunks* (the order of deliveries per endpoint and of events per tenant) and
//! *runs* (keys that lead to events).
#![forbid(unsafe_code)]

mod checkpoint;
mod chunks;
mod codec;
mod edits;
mod ended;
mod error;
mod events;
mod feed;
mod figures;
mod filter;
mod journal;
mod keys;
mod load;
mod log;
mod maintain;
mod memory;
mod merge;
mod notices;
mod open;
mod order;
mod overlay;
mod pending;
mod pool;
mod read;
mod recover;
mod replays;
mod retention;
mod rows;
mod runs;
mod schema;
mod sealed;
mod settle;
mod subjects;
mod tests;
mod write;

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::RwLock;
use postrider_core::seal::WrappedKey;
use postrider_store::StoreError;

pub use open::Found;
pub use read::SqliteStore;
pub use sealed::Seal;
pub use write::SqliteWriter;

/// How the database is opened.
#[derive(Debug, Clone)]
pub struct SqliteConfig {
    /// Connections for reading, at most; half of them for pages of pending work alone. Two more look up keys, two look up
    /// subjects, one counts, and one reads in the background.
    pub readers: usize,
    /// A read that takes longer is cut off, so that the write-ahead log can begin again.
    pub read_limit: Duration,
    /// Length of the write-ahead log from which a checkpoint is made.
    pub checkpoint_bytes: u64,
    /// Length to which the write-ahead log's file is cut when it begins again.
    pub wal_bytes: u64,
    /// The writer's page cache.
    pub cache_kib: u32,
    /// Pages that the database may have; no bound but the disk if `None`.
    pub max_pages: Option<u32>,
}

impl Default for SqliteConfig {
    fn default() -> Self {
        Self {
            readers: 4,
            read_limit: pool::READ_LIMIT,
            checkpoint_bytes: 24 << 20,
            wal_bytes: 64 << 20,
            cache_kib: 16 << 10,
            max_pages: None,
        }
    }
}

/// Looks at a database, or at the place for a new one, and keeps others out from now on.
///
/// # Errors
/// [`StoreError::InUse`] when another process has it open; [`StoreError::Unusable`] when the file is damaged, of another
/// program, of a newer version, or read-only. It is not touched, whatever comes of it.
pub fn look(path: &Path) -> Result<Found, StoreError> {
    Found::look(path)
}

/// Opens a database, or makes it, with secrets as they are: whether they are sealed is not this crate's to know.
///
/// # Errors
/// As [`look`] and [`Found::open`].
pub fn open(path: &Path, config: SqliteConfig) -> Result<(Arc<SqliteStore>, SqliteWriter), StoreError> {
    look(path)?.open(config)
}

impl Found {
    /// Opens it, or makes it.
    ///
    /// # Errors
    /// [`StoreError::Unusable`] on a network file system; else as the disk fails.
    pub fn open(self, config: SqliteConfig) -> Result<(Arc<SqliteStore>, SqliteWriter), StoreError> {
        self.open_then(config, |_| Ok(()))
    }

    /// Opens it, or makes it, with this key; what lies in it in clear is sealed with `seal` before anything else, in one
    /// transaction. The first time, the file is then written anew once, so that nothing of what was clear is left in it:
    /// this needs as much room again, and time where the file is large.
    ///
    /// # Errors
    /// As [`Self::open`], and what `seal` says.
    pub fn open_sealed(
        self,
        config: SqliteConfig,
        key: &WrappedKey,
        seal: &mut Seal<'_>,
    ) -> Result<(Arc<SqliteStore>, SqliteWriter), StoreError> {
        self.open_then(config, |path| sealed::settle(path, key, seal).map_err(StoreError::from))
    }

    fn open_then(
        self,
        config: SqliteConfig,
        then: impl FnOnce(&Path) -> Result<(), StoreError>,
    ) -> Result<(Arc<SqliteStore>, SqliteWriter), StoreError> {
        let frames = Arc::default();
        let path = self.path.clone();
        let (lock, conn) = self.prepare(&config, &frames)?;
        then(&path)?;
        let (memory, next_run) = load::memory(&conn).map_err(StoreError::from)?;
        let pools = pool::Pools::new(config.readers);
        let shared = Arc::new(memory::Shared { path, config, memory: RwLock::new(memory), pools, frames });
        let writer = SqliteWriter::new(Arc::clone(&shared), conn, lock, next_run);
        Ok((Arc::new(SqliteStore { shared }), writer))
    }
}
