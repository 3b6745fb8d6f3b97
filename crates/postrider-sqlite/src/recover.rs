//! What a start needs to know of what is configured, and of endpoints what is found by skipping through the order of pending work.

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{Health, LaneKey, PendingRow};
use postrider_core::time::Timestamp;
use postrider_store::{
    Recovery, RemovedEndpoint, StoreError, StoredEndpoint, StoredEventType, StoredTenant, StoredToken,
};
use rusqlite::{Connection, OptionalExtension, Row, params};
use rustc_hash::FxHashMap;

use crate::chunks::Owner;
use crate::ended::last_commit;
use crate::error::Res;
use crate::memory::{Memory, Shared};
use crate::rows::{self, PENDING};
use crate::schema::{self, Meta};

/// What memory knows of an endpoint that tables do not.
#[derive(Default)]
struct Known {
    sequence: u64,
    open: bool,
    held: Vec<LaneKey>,
}

fn known(memory: &Memory) -> FxHashMap<EndpointNo, Known> {
    let mut all: FxHashMap<EndpointNo, Known> = FxHashMap::default();
    for open in memory.overlay.newest_below(Position::MAX) {
        let known = all.entry(open.delivery.endpoint).or_default();
        known.open = true;
        known.held.extend(open.held);
    }
    // Endpoints have even owners.
    for (owner, sequence) in memory.tails.sequences().filter(|(o, _)| o.0 % 2 == 0) {
        if let Ok(no) = u32::try_from(owner.0 / 2) {
            let known = all.entry(EndpointNo(no)).or_default();
            known.sequence = known.sequence.max(sequence);
        }
    }
    all
}

/// Everything.
pub(crate) fn recovery(shared: &Shared) -> Res<Recovery> {
    // A start cannot do with less than everything, however many endpoints there are.
    let (view, (known, committed)) = shared.view_without_limit(|m| (known(m), m.committed))?;
    let conn = view.conn();
    let (mut endpoints, mut removed) = (Vec::new(), Vec::new());
    let mut statement = conn.prepare(
        "SELECT no, tenant, id, version, doc, secrets, created_at, updated_at, deleted, tripped_at, failing_since, disabled,
           (SELECT v.doc FROM verifications v WHERE v.endpoint = no)
         FROM endpoints ORDER BY no",
    )?;
    let mut rows = statement.query([])?;
    let nothing = Known::default();
    while let Some(r) = rows.next()? {
        let mut endpoint = stored(r)?;
        let known = known.get(&endpoint.no).unwrap_or(&nothing);
        if endpoint.deleted {
            let (no, tenant, id) = (endpoint.no, endpoint.tenant, endpoint.id.clone());
            removed.push(RemovedEndpoint { no, tenant, id });
        }
        endpoint.has_pending = known.open || in_table(conn, endpoint.no)?;
        if endpoint.deleted && !endpoint.has_pending {
            continue;
        }
        endpoint.last_sequence = known.sequence.max(written_sequence(conn, endpoint.no)?);
        if endpoint.has_pending {
            endpoint.blocking = blocking(conn, endpoint.no)?;
            endpoint.held = held(conn, endpoint.no, &known.held)?;
        }
        endpoints.push(endpoint);
    }
    let number = |key: Meta| -> Res<u32> {
        let next = schema::get(conn, key as i64)?.max(1);
        Ok(u32::try_from(next).map_err(|_| StoreError::Unusable("a number is out of range".into()))?)
    };
    let last_commit = last_commit(conn)?;
    Ok(Recovery {
        last_commit,
        next_position: committed.plus(1),
        next_tenant: number(Meta::NextTenant)?,
        next_endpoint: number(Meta::NextEndpoint)?,
        tenants: tenants(conn)?,
        endpoints,
        removed,
        tokens: tokens(conn)?,
        replays: crate::replays::running(conn)?,
        event_types: event_types(conn)?,
    })
}

fn bytes(r: &Row<'_>, column: usize) -> rusqlite::Result<Bytes> {
    r.get::<_, Vec<u8>>(column).map(Bytes::from)
}

fn time(r: &Row<'_>, column: usize) -> rusqlite::Result<Timestamp> {
    r.get(column).map(Timestamp::from_micros)
}

fn stored(r: &Row<'_>) -> rusqlite::Result<StoredEndpoint> {
    Ok(StoredEndpoint {
        no: EndpointNo(r.get(0)?),
        tenant: TenantNo(r.get(1)?),
        id: r.get(2)?,
        version: r.get(3)?,
        doc: bytes(r, 4)?,
        secrets: bytes(r, 5)?,
        created_at: time(r, 6)?,
        updated_at: time(r, 7)?,
        deleted: r.get(8)?,
        health: Health {
            tripped_at: r.get::<_, Option<i64>>(9)?.map(Timestamp::from_micros),
            failing_since: r.get::<_, Option<i64>>(10)?.map(Timestamp::from_micros),
            disabled: r.get::<_, Option<String>>(11)?.map(Into::into),
        },
        verification: r.get::<_, Option<Vec<u8>>>(12)?.unwrap_or_default().into(),
        last_sequence: 0,
        has_pending: false,
        blocking: Vec::new(),
        held: Vec::new(),
    })
}

fn in_table(conn: &Connection, endpoint: EndpointNo) -> Res<bool> {
    Ok(conn
        .prepare_cached("SELECT 1 FROM pending WHERE endpoint = ?1 LIMIT 1")?
        .exists(params![endpoint.0])?)
}

/// The last sequence in an endpoint's chunks; 0 if there are none.
pub(crate) fn written_sequence(conn: &Connection, endpoint: EndpointNo) -> Res<u64> {
    let sequence: Option<i64> = conn
        .prepare_cached("SELECT sequence FROM chunks WHERE owner = ?1 ORDER BY first DESC LIMIT 1")?
        .query_row(params![Owner::from(endpoint).0], |r| r.get(0))
        .optional()?;
    Ok(sequence.unwrap_or(0).cast_unsigned())
}

/// All that block: whoever missed one would let successors of its key go past it.
fn blocking(conn: &Connection, endpoint: EndpointNo) -> Res<Vec<PendingRow>> {
    let mut statement = conn.prepare_cached(&format!(
        "SELECT {PENDING} FROM pending INDEXED BY pending_blocking
         WHERE endpoint = ?1 AND blocking ORDER BY position"
    ))?;
    let rows = statement.query_map(params![endpoint.0], rows::pending_row)?.collect::<Result<_, _>>()?;
    Ok(rows)
}

/// All lanes that hold something, one step through the order for each: of what is missed here nobody would ever ask again.
fn held(conn: &Connection, endpoint: EndpointNo, open: &[LaneKey]) -> Res<Vec<LaneKey>> {
    let mut lanes = open.to_vec();
    let mut statement = conn.prepare_cached(
        "SELECT rank FROM pending WHERE endpoint = ?1 AND lane = 2 AND rank > ?2 ORDER BY rank LIMIT 1",
    )?;
    let mut first = conn.prepare_cached("SELECT min(rank) FROM pending WHERE endpoint = ?1 AND lane = 2")?;
    let mut next: Option<i64> = first.query_row(params![endpoint.0], |r| r.get(0))?;
    while let Some(rank) = next {
        lanes.push(LaneKey(rank.cast_unsigned()));
        next = statement.query_row(params![endpoint.0, rank], |r| r.get(0)).optional()?;
    }
    lanes.sort_unstable();
    lanes.dedup();
    Ok(lanes)
}

fn tenants(conn: &Connection) -> Res<Vec<StoredTenant>> {
    let mut statement =
        conn.prepare("SELECT no, id, doc, created_at, updated_at FROM tenants ORDER BY no")?;
    let rows = statement.query_map([], |r| {
        Ok(StoredTenant {
            no: TenantNo(r.get(0)?),
            id: r.get(1)?,
            doc: bytes(r, 2)?,
            created_at: time(r, 3)?,
            updated_at: time(r, 4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn tokens(conn: &Connection) -> Res<Vec<StoredToken>> {
    let mut statement =
        conn.prepare("SELECT id, hash, doc, created_at FROM tokens ORDER BY created_at, id")?;
    let rows = statement.query_map([], |r| {
        Ok(StoredToken { id: r.get(0)?, hash: r.get(1)?, doc: bytes(r, 2)?, created_at: time(r, 3)? })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn event_types(conn: &Connection) -> Res<Vec<StoredEventType>> {
    let mut statement = conn.prepare(
        "SELECT profile, name, doc, created_at, updated_at FROM event_types ORDER BY profile, name",
    )?;
    let rows = statement.query_map([], |r| {
        Ok(StoredEventType {
            profile: r.get(0)?,
            name: r.get(1)?,
            doc: bytes(r, 2)?,
            created_at: time(r, 3)?,
            updated_at: time(r, 4)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}
