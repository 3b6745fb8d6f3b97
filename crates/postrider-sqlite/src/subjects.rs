//! Subjects: found one by one, since there may be tens of millions.

use postrider_core::id::TenantNo;
use postrider_core::time::Timestamp;
use postrider_store::{StoreError, StoredSubject};
use rusqlite::{OptionalExtension, params};

use crate::error::Res;
use crate::memory::Shared;
use crate::pool::For;

/// The subject of that id.
pub(crate) fn find(shared: &Shared, id: &str) -> Res<Option<StoredSubject>> {
    let (view, ()) = shared.view(For::Subjects, |_| ())?;
    let mut statement =
        view.conn().prepare_cached("SELECT tenants, created_at, updated_at FROM subjects WHERE id = ?1")?;
    let found = statement
        .query_row(params![id], |r| Ok((r.get::<_, String>(0)?, r.get(1)?, r.get(2)?)))
        .optional()?;
    let Some((tenants, created_at, updated_at)) = found else { return Ok(None) };
    Ok(Some(StoredSubject {
        tenants: from_text(&tenants)?,
        created_at: Timestamp::from_micros(created_at),
        updated_at: Timestamp::from_micros(updated_at),
    }))
}

/// The numbers of tenants as stored: for people with `sqlite3` too.
pub(crate) fn to_text(tenants: &[TenantNo]) -> String {
    tenants.iter().map(|tenant| tenant.0.to_string()).collect::<Vec<_>>().join(",")
}

fn from_text(text: &str) -> Res<Vec<TenantNo>> {
    let numbers: Result<Vec<TenantNo>, _> =
        text.split(',').map(|number| number.parse().map(TenantNo)).collect();
    Ok(numbers.map_err(|_| StoreError::Unusable("the tenants of a subject are damaged".into()))?)
}
