//! Migrations, and the numbers in the `meta` table.

use rusqlite::{Connection, OptionalExtension, params};

/// "PRdr": what the database file says it is.
pub(crate) const APPLICATION_ID: u32 = 0x5052_6472;
/// The newest layout that this program knows; also the file's `user_version`.
pub(crate) const VERSION: u32 = 2;

#[allow(unreachable_pub, missing_docs, reason = "the macro writes this module")]
mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Brings a database to the newest layout.
pub(crate) fn migrate(conn: &mut Connection) -> Result<(), refinery::Error> {
    embedded::migrations::runner().run(conn).map(drop)
}

/// Makes a database of an earlier layout, as a program of that time would have left it.
#[cfg(test)]
pub(crate) fn make(path: &std::path::Path, version: u32) -> Connection {
    let mut conn = Connection::open(path).unwrap();
    conn.pragma_update(None, "journal_mode", "WAL").unwrap();
    let target = refinery::Target::Version(version.try_into().unwrap());
    embedded::migrations::runner().set_target(target).run(&mut conn).unwrap();
    conn.pragma_update(None, "application_id", APPLICATION_ID).unwrap();
    conn.pragma_update(None, "user_version", version).unwrap();
    conn
}

/// A number in `meta`.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Meta {
    /// Counts the changes that maintenance made: what a reader compares with memory.
    Maintained = 1,
    /// The first position that may be open.
    OpenFrom = 2,
    /// The first position that chunks may lack.
    ChunksFrom = 3,
    /// The first position that the runs of a family may lack; the family's number is added.
    RunsFrom = 4,
    /// The next numbers of tenants and endpoints: never used twice.
    NextTenant = 6,
    /// See `NextTenant`.
    NextEndpoint = 7,
    /// 1: secrets that lay here in clear are sealed, but may still be found in free parts of the file.
    Unwiped = 8,
}

/// Reads a number; 0 if it was never set.
pub(crate) fn get(conn: &Connection, key: i64) -> rusqlite::Result<i64> {
    conn.prepare_cached("SELECT value FROM meta WHERE key = ?1")?
        .query_row(params![key], |r| r.get(0))
        .optional()
        .map(Option::unwrap_or_default)
}

/// Sets a number.
pub(crate) fn set(conn: &Connection, key: i64, value: i64) -> rusqlite::Result<()> {
    conn.prepare_cached(
        "INSERT INTO meta (key, value) VALUES (?1, ?2) ON CONFLICT (key) DO UPDATE SET value = excluded.value",
    )?
    .execute(params![key, value])
    .map(drop)
}
