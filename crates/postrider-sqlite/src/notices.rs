//! What the operator is still to be told, and what could not be.

use bytes::Bytes;
use postrider_core::id::Position;
use postrider_core::time::Timestamp;
use postrider_store::{NoticePage, StoredNotice};
use rusqlite::{Connection, params};

use crate::error::Res;
use crate::memory::Shared;
use crate::pool::For;
use crate::rows::int;

/// For how long what was set aside is kept, for somebody to look at.
const ASIDE_FOR: std::time::Duration = std::time::Duration::from_secs(30 * 86_400);

/// Writes one, or what has become of it.
pub(crate) fn put(conn: &Connection, due: Timestamp, position: Position, doc: &[u8]) -> Res<()> {
    conn.prepare_cached("INSERT OR REPLACE INTO outbox VALUES (?1, ?2, ?3)")?.execute(params![
        due.as_micros(),
        int(position.0),
        doc
    ])?;
    Ok(())
}

/// Removes one.
pub(crate) fn remove(conn: &Connection, due: Timestamp, position: Position) -> Res<()> {
    conn.prepare_cached("DELETE FROM outbox WHERE due = ?1 AND position = ?2")?
        .execute(params![due.as_micros(), int(position.0)])?;
    Ok(())
}

/// Keeps one apart from the others.
pub(crate) fn set_aside(conn: &Connection, due: Timestamp, position: Position, fault: &str) -> Res<()> {
    conn.prepare_cached(
        "INSERT OR REPLACE INTO outbox_aside SELECT position, due, doc, ?3 FROM outbox WHERE due = ?1 AND position = ?2",
    )?
    .execute(params![due.as_micros(), int(position.0), fault])?;
    remove(conn, due, position)
}

/// Removes what was set aside long ago.
pub(crate) fn remove_old(conn: &Connection, now: Timestamp) -> Res<()> {
    conn.prepare_cached("DELETE FROM outbox_aside WHERE due < ?1")?
        .execute(params![(now - ASIDE_FOR).as_micros()])?;
    Ok(())
}

/// What is due.
pub(crate) fn page(shared: &Shared, until: Timestamp, limit: usize) -> Res<NoticePage> {
    let (view, ()) = shared.view(For::Background, |_| ())?;
    let mut statement = view
        .conn()
        .prepare_cached("SELECT due, position, doc FROM outbox ORDER BY due, position LIMIT ?1")?;
    let mut rows = statement.query(params![int(limit as u64 + 1)])?;
    let mut page = NoticePage::default();
    while let Some(r) = rows.next()? {
        let due = Timestamp::from_micros(r.get(0)?);
        if due > until || page.notices.len() == limit {
            page.next = Some(due);
            break;
        }
        let position = Position(r.get::<_, i64>(1)?.cast_unsigned());
        page.notices.push(StoredNotice { due, position, doc: Bytes::from(r.get::<_, Vec<u8>>(2)?) });
    }
    Ok(page)
}
