//! The wrapped key of a database; and secrets that an older version kept in clear: sealed all at once, and wiped from
//! wherever they lay.

use std::path::Path;

use bytes::Bytes;
use postrider_core::id::EndpointNo;
use postrider_core::seal::{Fingerprint, WrappedKey};
use postrider_store::StoreError;
use rusqlite::{Connection, OptionalExtension, Row, TransactionBehavior, params};

use crate::error::Res;
use crate::schema::{self, Meta};
use crate::{checkpoint, open};

/// Seals the secrets of an endpoint's version.
pub type Seal<'a> = dyn FnMut(EndpointNo, u32, &[u8]) -> Result<Bytes, StoreError> + 'a;

/// The key that a database has; `None` where its secrets lie in clear still, or there are none.
pub(crate) fn key(conn: &Connection) -> Res<Option<WrappedKey>> {
    let mut table = conn.prepare("SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'keys'")?;
    if !table.exists([])? {
        return Ok(None);
    }
    let found = conn
        .query_row("SELECT database, wrapped_by, sealed FROM keys", [], |r| Ok(read_key(r)))
        .optional()?;
    found.transpose()
}

fn read_key(r: &Row<'_>) -> Res<WrappedKey> {
    let damaged = |_| StoreError::Unusable("the stored data key is damaged".into());
    let blob = |column| r.get_ref(column)?.as_blob().map_err(rusqlite::Error::from);
    Ok(WrappedKey {
        database: blob(0)?.try_into().map_err(damaged)?,
        wrapped_by: Fingerprint(blob(1)?.try_into().map_err(damaged)?),
        sealed: Bytes::copy_from_slice(blob(2)?),
    })
}

/// Sees to it that a database has this key, that its secrets are sealed, and that nothing is left of clear ones. Each step
/// is done or not, and a start that was cut off between two of them is simply repeated.
pub(crate) fn settle(path: &Path, wanted: &WrappedKey, seal: &mut Seal<'_>) -> Res<()> {
    // Of its own, so that no setting made here outlives it.
    let mut conn = open::checkpoint_connection(path)?;
    let stored = key(&conn)?;
    if stored.as_ref() != Some(wanted) {
        conn.pragma_update(None, "secure_delete", true)?;
        let transaction = conn.transaction_with_behavior(TransactionBehavior::Immediate)?;
        if stored.is_none() {
            seal_all(&transaction, seal)?;
            // Also where no endpoint is left: what was changed or removed lies in free places.
            if schema::get(&transaction, Meta::NextEndpoint as i64)? > 0 {
                schema::set(&transaction, Meta::Unwiped as i64, 1)?;
            }
        }
        transaction.execute(
            "INSERT OR REPLACE INTO keys VALUES (1, ?1, ?2, ?3)",
            params![wanted.database, wanted.wrapped_by.0, &wanted.sealed[..]],
        )?;
        transaction.commit()?;
    }
    if schema::get(&conn, Meta::Unwiped as i64)? != 0 {
        wipe(&conn);
    } else if stored.is_some_and(|stored| stored != *wanted) {
        // The key as it was wrapped before leaves the log too.
        checkpoint::checkpoint(&conn, "TRUNCATE");
    }
    Ok(())
}

fn seal_all(conn: &Connection, seal: &mut Seal<'_>) -> Res<()> {
    let mut all = conn.prepare("SELECT no FROM endpoints WHERE length(secrets) > 0 ORDER BY no")?;
    let numbers: Vec<u32> = all.query_map([], |r| r.get(0))?.collect::<Result<_, _>>()?;
    let mut read = conn.prepare("SELECT version, secrets FROM endpoints WHERE no = ?1")?;
    let mut write = conn.prepare("UPDATE endpoints SET secrets = ?2 WHERE no = ?1")?;
    for no in numbers {
        let sealed =
            read.query_row([no], |r| Ok(seal(EndpointNo(no), r.get(0)?, r.get_ref(1)?.as_blob()?)))?;
        write.execute(params![no, &sealed?[..]])?;
    }
    Ok(())
}

/// Writes the database anew without what lies in free pages and in the free parts of others, and empties the log. Where
/// that fails (it needs as much room again, beside the database and where temporary files go), the next start tries again.
fn wipe(conn: &Connection) {
    tracing::info!(
        "the database kept secrets in clear; they are encrypted now, and this once the file is written anew to wipe what is left"
    );
    let wiped = (|| -> Res<()> {
        conn.execute_batch("VACUUM")?;
        checkpoint::empty_log(conn)?;
        schema::set(conn, Meta::Unwiped as i64, 0)?;
        Ok(())
    })();
    if let Err(fault) = wiped {
        tracing::warn!(
            error = %StoreError::from(fault),
            "old secrets may still lie in clear in free parts of the database; the next start tries again to wipe them"
        );
    }
}

#[cfg(test)]
mod tests {
    use std::path::PathBuf;

    use postrider_core::seal::{Binding, DataKey, MasterKey};
    use postrider_store::Store as _;

    use super::*;
    use crate::SqliteConfig;

    /// What every secret of these tests begins with.
    const NEEDLE: &str = "whsec_planted";
    const ENDPOINTS: u32 = 300;

    fn data_key() -> DataKey {
        DataKey::new(&[7; 32])
    }

    fn wrapped(master: u8) -> WrappedKey {
        data_key().wrap(&MasterKey::new(&[master; 32]), [1; 16], [master; 12])
    }

    fn clear(no: u32, version: u32) -> String {
        format!("{{\"secret\":\"{NEEDLE}-{no}-{version}-{}\"}}", "x".repeat(200))
    }

    /// A database of the first layout with secrets in clear: in rows, in free pages, and in a log that a crash left.
    fn old(directory: &Path) -> PathBuf {
        let live = directory.join("live.db");
        let conn = schema::make(&live, 1);
        let put = |no: u32, version: u32| {
            conn.execute(
                "INSERT INTO endpoints VALUES (?1, 1, 'ep_' || ?1, ?2, x'7b7d', ?3, 0, 0, 0, NULL, NULL, NULL)
                 ON CONFLICT (no) DO UPDATE SET version = excluded.version, secrets = excluded.secrets",
                params![no, version, clear(no, version).as_bytes()],
            )
            .unwrap();
        };
        (1..=ENDPOINTS).for_each(|no| put(no, 1));
        schema::set(&conn, Meta::NextEndpoint as i64, i64::from(ENDPOINTS) + 1).unwrap();
        checkpoint::empty_log(&conn).unwrap();
        // Half of them go, which leaves pages of them free; the others change.
        conn.execute("DELETE FROM endpoints WHERE no <= ?1", [ENDPOINTS / 2]).unwrap();
        conn.execute("UPDATE endpoints SET deleted = 1, secrets = x'' WHERE no = ?1", [ENDPOINTS]).unwrap();
        checkpoint::empty_log(&conn).unwrap();
        (ENDPOINTS / 2 + 1..ENDPOINTS).for_each(|no| put(no, 2));
        let path = directory.join("postrider.db");
        for suffix in ["", "-wal"] {
            std::fs::copy(open::beside(&live, suffix), open::beside(&path, suffix)).unwrap();
        }
        drop(conn);
        std::fs::remove_file(live).unwrap();
        path
    }

    /// How often the secrets are found in the files of a directory.
    fn found(directory: &Path) -> usize {
        let files =
            std::fs::read_dir(directory).unwrap().map(|entry| std::fs::read(entry.unwrap().path()).unwrap());
        files.map(|bytes| bytes.windows(NEEDLE.len()).filter(|at| *at == NEEDLE.as_bytes()).count()).sum()
    }

    fn seal(no: EndpointNo, version: u32, clear: &[u8]) -> Result<Bytes, StoreError> {
        Ok(data_key().seal(Binding::endpoint(no, version), clear, [9; 12]))
    }

    fn opened(path: &Path, key: &WrappedKey, seal: &mut Seal<'_>) -> Result<(), StoreError> {
        crate::look(path)?.open_sealed(SqliteConfig::default(), key, seal).map(drop)
    }

    fn assert_sealed(path: &Path) {
        let (store, _writer) = crate::open(path, SqliteConfig::default()).unwrap();
        let endpoints = store.recover().unwrap().endpoints;
        assert_eq!(endpoints.len() as u32, ENDPOINTS / 2 - 1);
        for endpoint in endpoints {
            let secrets =
                data_key().open(Binding::endpoint(endpoint.no, endpoint.version), &endpoint.secrets);
            assert_eq!(&**secrets.unwrap(), clear(endpoint.no.0, 2).as_bytes());
        }
    }

    #[test]
    fn abuse_a106_secrets_in_clear_are_sealed_at_the_first_opening_and_leave_nothing_behind() {
        let directory = tempfile::tempdir().unwrap();
        let path = old(directory.path());
        assert!(
            found(directory.path()) > ENDPOINTS as usize,
            "they lie in rows, in free places and in the log"
        );
        assert_eq!(crate::look(&path).unwrap().key(), None);
        let (store, writer) =
            crate::look(&path).unwrap().open_sealed(SqliteConfig::default(), &wrapped(1), &mut seal).unwrap();
        // While it is open, and so before the log is done away with.
        assert_eq!(found(directory.path()), 0);
        drop((store, writer));
        assert_eq!(crate::look(&path).unwrap().key(), Some(&wrapped(1)));
        assert_sealed(&path);
        // Sealed ones are left as they are.
        opened(&path, &wrapped(1), &mut |_, _, _| panic!("sealed twice")).unwrap();
        assert_sealed(&path);
    }

    #[test]
    fn abuse_a106_sealing_that_was_cut_off_anywhere_is_repeated() {
        let directory = tempfile::tempdir().unwrap();
        let path = old(directory.path());
        // In the middle of it: none of it counts.
        let mut left = 9;
        let failed = opened(&path, &wrapped(1), &mut |no, version, clear| {
            left -= 1;
            if left == 0 { Err(StoreError::Other("cut off".into())) } else { seal(no, version, clear) }
        });
        assert!(matches!(failed, Err(StoreError::Other(_))), "{failed:?}");
        assert_eq!(crate::look(&path).unwrap().key(), None);
        assert!(found(directory.path()) > 0);
        // Before it, after the layout was changed.
        drop(crate::open(&path, SqliteConfig::default()).unwrap());
        assert_eq!(crate::look(&path).unwrap().key(), None);
        // After it, before what lay in free places was wiped.
        opened(&path, &wrapped(1), &mut seal).unwrap();
        let conn = Connection::open(&path).unwrap();
        let plant = "CREATE TABLE planted (secret TEXT); INSERT INTO planted VALUES (?1)";
        conn.execute_batch(&plant.replace("?1", &format!("'{}'", clear(1, 1)))).unwrap();
        conn.execute_batch("DROP TABLE planted").unwrap();
        schema::set(&conn, Meta::Unwiped as i64, 1).unwrap();
        drop(conn);
        assert!(found(directory.path()) > 0);
        opened(&path, &wrapped(1), &mut |_, _, _| panic!("sealed twice")).unwrap();
        assert_eq!(found(directory.path()), 0);
        assert_sealed(&path);
    }

    #[test]
    fn a_key_that_is_wrapped_anew_replaces_the_old_one_without_a_trace() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("postrider.db");
        opened(&path, &wrapped(1), &mut seal).unwrap();
        opened(&path, &wrapped(2), &mut seal).unwrap();
        assert_eq!(crate::look(&path).unwrap().key(), Some(&wrapped(2)));
        let bytes = std::fs::read(&path).unwrap();
        let holds = |key: &WrappedKey| bytes.windows(key.sealed.len()).any(|at| at == key.sealed);
        assert!(holds(&wrapped(2)) && !holds(&wrapped(1)));
    }

    #[test]
    fn a_database_is_not_written_to_when_it_is_only_looked_at() {
        let directory = tempfile::tempdir().unwrap();
        let path = old(directory.path());
        let all = || ["", "-wal"].map(|suffix| std::fs::read(open::beside(&path, suffix)).unwrap());
        let before = all();
        for _ in 0..2 {
            assert_eq!(crate::look(&path).unwrap().key(), None);
        }
        assert_eq!(all(), before);
    }
}
