//! Opening: one process at a time, nothing written before the file is known to be ours and its key to be at hand, nobody
//! else can read it.

use std::fs::{File, OpenOptions};
use std::io::{Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicI32;

use postrider_core::seal::WrappedKey;
use postrider_store::StoreError;
use rusqlite::{Connection, OpenFlags};

use crate::SqliteConfig;
use crate::error::{Fault, Res};
use crate::{checkpoint, load, schema, sealed};

/// SQLite below this can corrupt a write-ahead log that is checkpointed by two connections at once.
const OLDEST_SQLITE: i32 = 3_051_003;
/// What follows the name of a database while it is made.
const DRAFT: &str = ".new";
/// Prepared statements kept by a connection.
const STATEMENTS: usize = 96;
/// How long the writer waits for the end of a checkpoint that holds the file.
pub(crate) const BUSY: std::time::Duration = std::time::Duration::from_secs(5);

/// The lock file, held as long as the database is open.
#[derive(Debug)]
pub(crate) struct Lock {
    _file: File,
    /// Device and inode of the database file.
    identity: (u64, u64),
    path: PathBuf,
}

impl Lock {
    /// # Errors
    /// [`StoreError::Unusable`] when the file at the path is not the one that was opened.
    pub(crate) fn check(&self) -> Result<(), StoreError> {
        match std::fs::metadata(&self.path) {
            Ok(m) if (m.dev(), m.ino()) == self.identity => Ok(()),
            _ => Err(StoreError::Unusable(format!(
                "{} was replaced or removed while it was open; nothing more is written to it",
                self.path.display()
            ))),
        }
    }
}

/// The path with something appended to its last part.
pub(crate) fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

/// The path without symbolic links, where it leads to something.
pub(crate) fn resolved(path: &Path) -> PathBuf {
    std::fs::canonicalize(path).unwrap_or_else(|_| path.to_owned())
}

fn unusable(path: &Path, what: impl std::fmt::Display) -> StoreError {
    StoreError::Unusable(format!("{}: {what}", path.display()))
}

/// Whether the SQLite that is linked in is new enough.
pub(crate) fn check_sqlite(version: i32) -> Result<(), StoreError> {
    if version >= OLDEST_SQLITE {
        return Ok(());
    }
    Err(StoreError::Unusable(format!("SQLite 3.51.3 or later is needed, this is {}", rusqlite::version())))
}

/// A database that is locked and was looked at. Nothing of it is changed before it is opened.
#[derive(Debug)]
pub struct Found {
    lock: File,
    pub(crate) path: PathBuf,
    is_new: bool,
    key: Option<WrappedKey>,
}

impl Found {
    /// Takes the lock, and checks the file.
    pub(crate) fn look(path: &Path) -> Result<Self, StoreError> {
        check_sqlite(rusqlite::version_number())?;
        // Under its own name, so that whoever comes by a link meets the same lock.
        let path = resolved(path);
        let lock = lock(&path)?;
        let is_new = inspect(&path)?;
        let key = if is_new { None } else { look_inside(&path)? };
        Ok(Self { lock, path, is_new, key })
    }

    /// The key that its secrets are sealed with, as it is wrapped; `None` for a database that has none yet: one that is yet
    /// to be made, or of a version that kept secrets in clear.
    pub fn key(&self) -> Option<&WrappedKey> {
        self.key.as_ref()
    }

    /// Makes the file if there is none, and brings it to the newest layout. Gives the lock and the writer's connection.
    pub(crate) fn prepare(
        self,
        config: &SqliteConfig,
        frames: &Arc<AtomicI32>,
    ) -> Result<(Lock, Connection), StoreError> {
        let path = &self.path;
        if self.is_new {
            make(path, config)?;
        }
        restrict(path)?;
        check_file_system(path)?;
        let mut conn = writing_connection(path, config, frames).map_err(|f| explain(path, f))?;
        prepare(&mut conn).map_err(|e| unusable(path, e))?;
        let meta = std::fs::metadata(path).map_err(|e| unusable(path, e))?;
        Ok((Lock { _file: self.lock, identity: (meta.dev(), meta.ino()), path: self.path }, conn))
    }
}

fn explain(path: &Path, fault: Fault) -> StoreError {
    match StoreError::from(fault) {
        StoreError::Unusable(what) => unusable(path, what),
        other => other,
    }
}

/// Makes a database under another name, and gives it its own when it is whole and on the disk: of a start that is cut
/// off nothing is left that the next one would take for a database of somebody else, or for a damaged one.
fn make(path: &Path, config: &SqliteConfig) -> Result<(), StoreError> {
    let draft = beside(path, DRAFT);
    for file in [&draft, path] {
        // A log that was left behind by an earlier file would be taken for this one's.
        for suffix in ["-wal", "-shm", "-journal"] {
            remove(&beside(file, suffix))?;
        }
    }
    remove(&draft)?;
    create(&draft)?;
    check_file_system(&draft)?;
    let mut conn = writing_connection(&draft, config, &Arc::default()).map_err(|f| explain(path, f))?;
    let named = conn.pragma_update(None, "application_id", schema::APPLICATION_ID);
    named.map_err(|e| unusable(path, e))?;
    prepare(&mut conn).map_err(|e| unusable(path, e))?;
    conn.close().map_err(|(_, e)| unusable(path, e))?;
    let synced = File::open(&draft).and_then(|file| file.sync_all());
    synced.and_then(|()| std::fs::rename(&draft, path)).map_err(|e| unusable(path, e))?;
    let directory = path.parent().filter(|directory| !directory.as_os_str().is_empty());
    let named = File::open(directory.unwrap_or(Path::new("."))).and_then(|directory| directory.sync_all());
    named.map_err(|e| unusable(path, e))
}

/// Removes a file, if it is there.
fn remove(file: &Path) -> Result<(), StoreError> {
    match std::fs::remove_file(file) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(unusable(file, e)),
        _ => Ok(()),
    }
}

fn prepare(conn: &mut Connection) -> Result<(), String> {
    schema::migrate(conn).map_err(|e| e.to_string())?;
    let version: u32 =
        conn.pragma_query_value(None, "user_version", |r| r.get(0)).map_err(|e| e.to_string())?;
    if version != schema::VERSION {
        conn.pragma_update(None, "user_version", schema::VERSION).map_err(|e| e.to_string())?;
        // The header in the file itself says from now on what it is: the next start looks there first.
        checkpoint::checkpoint(conn, "TRUNCATE");
    }
    Ok(())
}

fn lock(path: &Path) -> Result<File, StoreError> {
    let lock_path = beside(path, ".lock");
    let mut file = OpenOptions::new()
        .create(true)
        .truncate(false)
        .write(true)
        .read(true)
        .mode(0o600)
        .open(&lock_path)
        .map_err(|e| unusable(&lock_path, format_args!("the lock file cannot be written: {e}")))?;
    match file.try_lock() {
        Ok(()) => {
            // Only for people who wonder who holds it.
            let written = file.set_len(0).and_then(|()| writeln!(file, "{}", std::process::id()));
            written.map_err(|e| unusable(&lock_path, e))?;
            Ok(file)
        }
        Err(std::fs::TryLockError::WouldBlock) => {
            let mut holder = String::new();
            let holder = file.read_to_string(&mut holder).map_or("", |_| holder.trim());
            Err(StoreError::InUse(format!("{} (process {holder})", path.display())))
        }
        Err(std::fs::TryLockError::Error(e)) => Err(unusable(&lock_path, e)),
    }
}

/// Looks at the first 100 bytes (the format is in SQLite's file format document, section 1.3). Says whether there is no database yet.
fn inspect(path: &Path) -> Result<bool, StoreError> {
    let mut file = match File::open(path) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(true),
        Err(e) => return Err(unusable(path, format_args!("cannot be read: {e}"))),
    };
    let meta = file.metadata().map_err(|e| unusable(path, e))?;
    if !meta.is_file() {
        return Err(unusable(path, "is not a file"));
    }
    if meta.permissions().readonly() {
        let mode = meta.permissions().mode() & 0o777;
        return Err(unusable(
            path,
            format_args!("is read-only (permissions {mode:04o}); it must be writable"),
        ));
    }
    if let Err(e) = OpenOptions::new().write(true).open(path) {
        return Err(unusable(path, format_args!("cannot be written, check its permissions: {e}")));
    }
    if meta.len() == 0 {
        return Ok(true);
    }
    let mut header = [0; 100];
    if file.read_exact(&mut header).is_err() || &header[..16] != b"SQLite format 3\0" {
        return Err(unusable(path, "is not a database, or is damaged; it was not touched"));
    }
    let number = |at: usize| u32::from_be_bytes([header[at], header[at + 1], header[at + 2], header[at + 3]]);
    if number(68) != schema::APPLICATION_ID {
        return Err(unusable(path, "is a database of another program; it was not touched"));
    }
    let version = number(60);
    if version > schema::VERSION {
        return Err(unusable(
            path,
            format_args!(
                "has layout {version}, this program knows {} at most: use the newer program; it was not touched",
                schema::VERSION
            ),
        ));
    }
    Ok(false)
}

/// Made with mode 0600 before SQLite sees it; the log and its index get the database's mode.
fn create(path: &Path) -> Result<(), StoreError> {
    let made = OpenOptions::new().create(true).append(true).mode(0o600).open(path);
    made.map_err(|e| unusable(path, format_args!("cannot be made: {e}")))?;
    restrict(path)
}

fn restrict(path: &Path) -> Result<(), StoreError> {
    for file in [path.to_owned(), beside(path, "-wal"), beside(path, "-shm")] {
        let Ok(meta) = std::fs::metadata(&file) else { continue };
        if meta.permissions().mode() & 0o077 != 0 {
            let mode = std::fs::Permissions::from_mode(0o600);
            std::fs::set_permissions(&file, mode).map_err(|e| unusable(&file, e))?;
        }
    }
    Ok(())
}

/// Reads what every start reads, on a connection that cannot write: damage is found before anything is changed. Gives the
/// wrapped key.
fn look_inside(path: &Path) -> Result<Option<WrappedKey>, StoreError> {
    let damaged = |f: Fault| match StoreError::from(f) {
        StoreError::Unusable(e) => unusable(path, format_args!("is damaged ({e}); it was not touched")),
        other => other,
    };
    let conn = reading_connection(path).map_err(damaged)?;
    load::check(&conn).map_err(damaged)?;
    sealed::key(&conn).map_err(damaged)
}

/// File systems on which locks and shared memory cannot be relied on (numbers of statfs(2)).
pub(crate) fn is_network(kind: i64) -> bool {
    const NFS: i64 = 0x6969;
    const SMB: i64 = 0x517B;
    const CIFS: i64 = 0xFF53_4D42;
    const SMB2: i64 = 0xFE53_4D42;
    const CEPH: i64 = 0x00C3_6400;
    const AFS: i64 = 0x5346_414F;
    [NFS, SMB, CIFS, SMB2, CEPH, AFS].contains(&(kind & 0xFFFF_FFFF))
}

fn check_file_system(path: &Path) -> Result<(), StoreError> {
    let stat = rustix::fs::statfs(path).map_err(|e| unusable(path, e))?;
    if is_network(stat.f_type) {
        return Err(unusable(path, "is on a network file system; use a local disk"));
    }
    Ok(())
}

fn connection(path: &Path, flags: OpenFlags) -> Res<Connection> {
    let conn = Connection::open_with_flags(path, flags | OpenFlags::SQLITE_OPEN_NO_MUTEX)?;
    conn.set_prepared_statement_cache_capacity(STATEMENTS);
    conn.busy_timeout(BUSY)?;
    conn.pragma_update(None, "mmap_size", 0)?;
    Ok(conn)
}

/// The writer's connection.
pub(crate) fn writing_connection(
    path: &Path,
    config: &SqliteConfig,
    frames: &Arc<AtomicI32>,
) -> Res<Connection> {
    let mut conn = connection(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.pragma_update(None, "journal_mode", "WAL")?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "journal_size_limit", i64::try_from(config.wal_bytes).unwrap_or(i64::MAX))?;
    conn.pragma_update(None, "cache_size", -i64::from(config.cache_kib))?;
    conn.pragma_update(None, "temp_store", "MEMORY")?;
    if let Some(pages) = config.max_pages {
        conn.pragma_update(None, "max_page_count", pages)?;
    }
    checkpoint::count_frames(&mut conn, frames)?;
    Ok(conn)
}

/// A connection that only reads.
pub(crate) fn reading_connection(path: &Path) -> Res<Connection> {
    let conn = connection(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    conn.pragma_update(None, "query_only", true)?;
    conn.pragma_update(None, "cache_size", -2_048)?;
    Ok(conn)
}

/// A connection for checkpoints.
pub(crate) fn checkpoint_connection(path: &Path) -> Res<Connection> {
    let conn = connection(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    conn.pragma_update(None, "synchronous", "FULL")?;
    conn.pragma_update(None, "wal_autocheckpoint", 0)?;
    conn.pragma_update(None, "cache_size", -256)?;
    Ok(conn)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a107_an_old_sqlite_and_a_network_file_system_are_refused() {
        assert!(check_sqlite(rusqlite::version_number()).is_ok());
        assert!(matches!(check_sqlite(3_051_002), Err(StoreError::Unusable(_))));
        assert!(is_network(0x6969) && is_network(0xFF53_4D42) && !is_network(0xEF53));
    }
}
