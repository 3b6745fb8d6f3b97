//! From keys to events: filters first, and only for what they do not rule out the pages and the events themselves.

use std::sync::Arc;

use postrider_core::id::Position;
use postrider_core::record::KeyHash;
use postrider_store::KeyHit;
use rusqlite::Connection;

use crate::codec::HeadEvent;
use crate::error::Res;
use crate::journal::Journal;
use crate::memory::{Memory, Shared};
use crate::merge;
use crate::pool::For;
use crate::runs::{FAMILIES, Family, Run, short};

/// Events looked at for one idempotency key or own id: more share 64 bits of a hash by malice alone.
const LOOKED_AT: usize = 64;

/// What memory has for a key: positions in the open run, and the runs that may have more, newest first.
pub(crate) struct Candidates {
    open: Vec<Position>,
    runs: Vec<Arc<Run>>,
}

impl Candidates {
    /// As of the state of memory, below a position.
    pub(crate) fn of(memory: &Memory, family: Family, key: KeyHash, before: Position) -> Self {
        let runs = &memory.runs[family as usize];
        Self { open: runs.open_below(short(key), before), runs: runs.candidates(short(key)) }
    }

    /// The positions that the key may lead to, newest first, at most `limit`.
    pub(crate) fn positions(
        &self,
        conn: &Connection,
        key: KeyHash,
        before: Position,
        limit: usize,
    ) -> Res<Vec<Position>> {
        let mut found: Vec<Position> = self.open.iter().copied().take(limit).collect();
        if found.len() < limit {
            let below = found.last().copied().unwrap_or(before);
            found.extend(merge::positions(conn, &self.runs, short(key), below, limit - found.len())?);
        }
        Ok(found)
    }
}

/// What each key was used for.
pub(crate) fn find(shared: &Shared, keys: &[KeyHash]) -> Res<Vec<Option<KeyHit>>> {
    let mut hits = vec![None; keys.len()];
    let possible: Vec<usize> = {
        let memory = shared.memory.read();
        let may_hold = |key: KeyHash| memory.runs.iter().any(|r| r.may_hold(short(key)));
        (0..keys.len()).filter(|&i| may_hold(keys[i])).collect()
    };
    if possible.is_empty() {
        return Ok(hits);
    }
    let (view, candidates) = shared.view(For::Keys, |memory| {
        let each =
            possible.iter().map(|&i| FAMILIES.map(|f| Candidates::of(memory, f, keys[i], Position::MAX)));
        each.collect::<Vec<_>>()
    })?;
    let mut journal = Journal::new(view.conn());
    for (&i, families) in possible.iter().zip(&candidates) {
        view.check()?;
        for family in families {
            for position in family.positions(view.conn(), keys[i], Position::MAX, LOOKED_AT)? {
                let Some(row) = journal.row(position)? else { continue };
                if let Some(event) = row.event_at(position).filter(|e| e.event.position == position) {
                    hits[i] = hits[i].take().or_else(|| hit(event, keys[i]));
                }
            }
        }
    }
    Ok(hits)
}

fn hit(event: &HeadEvent, key: KeyHash) -> Option<KeyHit> {
    if event.own_id != Some(key) && event.idempotency.is_none_or(|(k, _)| k != key) {
        return None;
    }
    Some(KeyHit {
        position: event.event.position,
        id: event.event.id(),
        deliveries: event.owed(),
        idempotency: event.idempotency,
        own_id: event.own_id,
    })
}
