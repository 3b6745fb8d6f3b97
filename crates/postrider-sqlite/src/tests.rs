//! Tests of endpoints: rows beside the log, found by whose they are.

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::TestRecord;
use postrider_core::time::Timestamp;
use rusqlite::{Connection, OptionalExtension, params};

use crate::error::Res;
use crate::log::positions;
use crate::rows::{self, int};

/// Tests found at a time.
const BATCH: i64 = 256;

/// One test with its attempt.
pub(crate) fn one(conn: &Connection, position: Position) -> Res<Option<TestRecord>> {
    let Some(attempt) = rows::attempts(conn, position, 1)?.pop() else { return Ok(None) };
    let mut statement =
        conn.prepare_cached("SELECT tenant, endpoint, event_type, data, at FROM tests WHERE position = ?1")?;
    let test = statement.query_row(params![int(position.0)], |r| {
        Ok(TestRecord {
            position,
            tenant: TenantNo(r.get(0)?),
            endpoint: EndpointNo(r.get(1)?),
            event_type: r.get::<_, String>(2)?.into(),
            data: Bytes::from(r.get::<_, Vec<u8>>(3)?),
            at: Timestamp::from_micros(r.get(4)?),
            attempt: attempt.clone(),
        })
    });
    Ok(test.optional()?)
}

/// The next tests below a position, newest first: of an endpoint, of a tenant, or all.
pub(crate) fn below(
    conn: &Connection,
    tenant: Option<TenantNo>,
    endpoint: Option<EndpointNo>,
    below: Position,
) -> Res<Vec<Position>> {
    let (whose, no) = match (endpoint, tenant) {
        (Some(endpoint), _) => ("tests INDEXED BY tests_by_endpoint WHERE endpoint = ?3", endpoint.0),
        (None, Some(tenant)) => ("tests INDEXED BY tests_by_tenant WHERE tenant = ?3", tenant.0),
        (None, None) => ("tests WHERE ?3 = 0", 0),
    };
    let sql = format!("SELECT position FROM {whose} AND position < ?1 ORDER BY position DESC LIMIT ?2");
    let mut statement = conn.prepare_cached(&sql)?;
    positions(&mut statement, params![int(below.0), BATCH, no])
}
