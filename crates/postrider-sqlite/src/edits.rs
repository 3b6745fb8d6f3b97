//! Changes of what is configured.

use postrider_core::record::Edit;
use postrider_core::time::Timestamp;
use rusqlite::{Connection, params};

use crate::error::Res;
use crate::schema::{self, Meta};
use crate::{notices, replays, subjects};

/// Applies the edits of a group in their order.
pub(crate) fn apply(conn: &Connection, edits: &[Edit], at: Timestamp) -> Res<()> {
    for edit in edits {
        one(conn, edit, at.as_micros())?;
    }
    Ok(())
}

fn one(conn: &Connection, edit: &Edit, at: i64) -> Res<()> {
    match edit {
        Edit::PutTenant { no, id, doc, at } => {
            conn.execute(
                "INSERT INTO tenants VALUES (?1, ?2, ?3, ?4, ?4)
                 ON CONFLICT (no) DO UPDATE SET id = excluded.id, doc = excluded.doc, updated_at = excluded.updated_at",
                params![no.0, &**id, &doc[..], at.as_micros()],
            )?;
            raise(conn, Meta::NextTenant, no.0)?;
        }
        Edit::DeleteTenant { no } => {
            conn.execute("DELETE FROM tenants WHERE no = ?1", params![no.0])?;
            conn.execute(
                "UPDATE endpoints SET deleted = 1, secrets = x'', updated_at = ?2 WHERE tenant = ?1 AND deleted = 0",
                params![no.0, at],
            )?;
        }
        Edit::PutEndpoint { no, tenant, id, version, doc, secrets, at: put_at } => {
            conn.execute(
                "INSERT INTO endpoints VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?7, 0, NULL, NULL, NULL)
                 ON CONFLICT (no) DO UPDATE SET tenant = excluded.tenant, id = excluded.id, version = excluded.version,
                   doc = excluded.doc, secrets = excluded.secrets, updated_at = excluded.updated_at, deleted = 0",
                params![no.0, tenant.0, &**id, version, &doc[..], &secrets[..], put_at.as_micros()],
            )?;
            conn.execute(
                "UPDATE endpoint_versions SET replaced_at = ?3 WHERE endpoint = ?1 AND version < ?2 AND replaced_at IS NULL",
                params![no.0, version, at],
            )?;
            conn.execute(
                "INSERT OR REPLACE INTO endpoint_versions VALUES (?1, ?2, ?3, NULL)",
                params![no.0, version, &doc[..]],
            )?;
            raise(conn, Meta::NextEndpoint, no.0)?;
        }
        Edit::DeleteEndpoint { no } => {
            conn.execute(
                "UPDATE endpoints SET deleted = 1, secrets = x'', updated_at = ?2 WHERE no = ?1",
                params![no.0, at],
            )?;
            conn.execute("DELETE FROM verifications WHERE endpoint = ?1", params![no.0])?;
        }
        Edit::PutHealth { no, health } => {
            conn.execute(
                "UPDATE endpoints SET tripped_at = ?2, failing_since = ?3, disabled = ?4 WHERE no = ?1",
                params![
                    no.0,
                    health.tripped_at.map(Timestamp::as_micros),
                    health.failing_since.map(Timestamp::as_micros),
                    health.disabled.as_deref()
                ],
            )?;
        }
        Edit::PutVerification { no, doc, .. } if doc.is_empty() => {
            conn.execute("DELETE FROM verifications WHERE endpoint = ?1", params![no.0])?;
        }
        Edit::PutVerification { no, doc, .. } => {
            conn.execute("INSERT OR REPLACE INTO verifications VALUES (?1, ?2)", params![no.0, &doc[..]])?;
        }
        Edit::PutToken { id, hash, doc, at } => {
            conn.execute(
                "INSERT OR REPLACE INTO tokens VALUES (?1, ?2, ?3, ?4)",
                params![&**id, &hash[..], &doc[..], at.as_micros()],
            )?;
        }
        Edit::DeleteToken { id } => {
            conn.execute("DELETE FROM tokens WHERE id = ?1", params![&**id])?;
        }
        Edit::PutReplay { replay, progress } => replays::put(conn, replay, progress)?,
        Edit::PutNotice { due, position, doc } => notices::put(conn, *due, *position, doc)?,
        Edit::RemoveNotice { due, position } => notices::remove(conn, *due, *position)?,
        Edit::SetNoticeAside { due, position, fault } => notices::set_aside(conn, *due, *position, fault)?,
        Edit::PutEventType { profile, name, doc, at } => {
            conn.execute(
                "INSERT INTO event_types VALUES (?1, ?2, ?3, ?4, ?4)
                 ON CONFLICT (profile, name) DO UPDATE SET doc = excluded.doc, updated_at = excluded.updated_at",
                params![&**profile, &**name, &doc[..], at.as_micros()],
            )?;
        }
        Edit::DeleteEventType { profile, name } => {
            conn.execute(
                "DELETE FROM event_types WHERE profile = ?1 AND name = ?2",
                params![&**profile, &**name],
            )?;
        }
        Edit::PutSubject { id, tenants, created_at, at } => {
            // There may be very many of them, and of these edits.
            conn.prepare_cached("INSERT OR REPLACE INTO subjects VALUES (?1, ?2, ?3, ?4)")?.execute(
                params![&**id, subjects::to_text(tenants), created_at.as_micros(), at.as_micros()],
            )?;
        }
        Edit::DeleteSubject { id } => {
            conn.prepare_cached("DELETE FROM subjects WHERE id = ?1")?.execute(params![&**id])?;
        }
    }
    Ok(())
}

/// Numbers are never used twice, even when nothing else remembers them.
fn raise(conn: &Connection, meta: Meta, used: u32) -> Res<()> {
    let next = i64::from(used) + 1;
    if schema::get(conn, meta as i64)? < next {
        schema::set(conn, meta as i64, next)?;
    }
    Ok(())
}
