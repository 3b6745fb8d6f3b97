//! The order of deliveries per endpoint, and of events per tenant: positions in rows of 64, the open tail of each in memory.
//!
//! A full tail is written with a later commit, the others at intervals, so that a start has little to read again.
//!
//! In databases of layout 1 tenants' rows hold the positions of deliveries instead. They stay as they are: whoever reads a
//! tenant's order goes from each entry to its event, and passes over an event that it has seen.

use std::collections::VecDeque;

use postrider_core::id::{EndpointNo, Position, TenantNo};
use rusqlite::{Connection, OptionalExtension, params};
use rustc_hash::FxHashMap;

use crate::codec::{self, Malformed, Reader};
use crate::error::Res;
use crate::rows::int;

/// Positions in a full row.
pub(crate) const CHUNK: usize = 64;

/// Whose order it is: twice the number of an endpoint, or twice that of a tenant and one.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Owner(pub(crate) i64);

impl From<EndpointNo> for Owner {
    fn from(no: EndpointNo) -> Self {
        Self(i64::from(no.0) * 2)
    }
}

impl From<TenantNo> for Owner {
    fn from(no: TenantNo) -> Self {
        Self(i64::from(no.0) * 2 + 1)
    }
}

/// Positions of one owner, in order; also what one row holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Chunk {
    pub(crate) positions: Vec<Position>,
    /// The highest sequence in it.
    pub(crate) sequence: u64,
}

/// Packs positions: the first whole, then the steps.
pub(crate) fn pack(positions: &[Position]) -> Vec<u8> {
    let mut out = Vec::with_capacity(positions.len() * 2 + 8);
    let mut before = 0;
    for p in positions {
        codec::put(&mut out, p.0 - before);
        before = p.0;
    }
    out
}

/// Reads what [`pack`] wrote.
pub(crate) fn unpack(data: &[u8]) -> Result<Vec<Position>, Malformed> {
    let mut r = Reader { rest: data };
    let mut before = 0_u64;
    let mut positions = Vec::with_capacity(data.len().min(CHUNK));
    while !r.rest.is_empty() {
        before = before.checked_add(r.varint()?).ok_or(Malformed)?;
        positions.push(Position(before));
    }
    Ok(positions)
}

/// The next written positions of an owner behind a position, in order; none at the end.
pub(crate) fn above(conn: &Connection, owner: Owner, after: Position) -> Res<Vec<Position>> {
    let next = int(after.0 + 1);
    for sql in [
        "SELECT data FROM chunks WHERE owner = ?1 AND first <= ?2 ORDER BY first DESC LIMIT 1",
        "SELECT data FROM chunks WHERE owner = ?1 AND first > ?2 ORDER BY first LIMIT 1",
    ] {
        let data: Option<Vec<u8>> =
            conn.prepare_cached(sql)?.query_row(params![owner.0, next], |r| r.get(0)).optional()?;
        let mut found = data.map(|data| unpack(&data)).transpose()?.unwrap_or_default();
        found.retain(|position| *position > after);
        if !found.is_empty() {
            return Ok(found);
        }
    }
    Ok(Vec::new())
}

/// What is not written out yet.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    tails: FxHashMap<Owner, Chunk>,
    /// Full ones, to be written with the next commit.
    full: VecDeque<(Owner, Chunk)>,
    /// Places taken since the last round began.
    taken: u64,
    sweep: Option<Sweep>,
}

/// A round in which every tail is written out, a few owners at a time.
#[derive(Debug)]
struct Sweep {
    owners: Vec<Owner>,
    upto: Position,
}

impl Tails {
    /// Adds an event or a delivery to its owner's order.
    pub(crate) fn push(&mut self, owner: Owner, position: Position, sequence: u64) {
        self.taken += 1;
        let tail = self.tails.entry(owner).or_default();
        debug_assert!(tail.positions.last().is_none_or(|p| *p < position), "in order");
        tail.positions.push(position);
        tail.sequence = tail.sequence.max(sequence);
        if tail.positions.len() >= CHUNK {
            let chunk = std::mem::take(tail);
            self.tails.remove(&owner);
            self.full.push_back((owner, chunk));
        }
    }

    /// How many places were taken since the last round of writing everything out began.
    pub(crate) fn since_sweep(&self) -> u64 {
        self.taken
    }

    /// Whether full ones are left to be written.
    pub(crate) fn any_full(&self) -> bool {
        !self.full.is_empty()
    }

    /// How many owners have a tail.
    pub(crate) fn owners(&self) -> usize {
        self.tails.len()
    }

    /// The rows to be written next: full ones, and a piece of the round under way.
    pub(crate) fn to_write(&self, limit: usize) -> Vec<(Owner, &Chunk)> {
        let full = self.full.iter().map(|(o, c)| (*o, c)).take(limit);
        let part = self.sweep.iter().flat_map(|s| s.owners.iter().rev());
        let part = part.filter_map(|o| self.tails.get(o).map(|c| (*o, c)));
        full.chain(part).take(limit).collect()
    }

    /// After what [`Self::to_write`] gave with the same limit was committed: forgets it. Returns the position up to which all is written,
    /// when a round has ended.
    pub(crate) fn written(&mut self, limit: usize) -> Option<Position> {
        let full = self.full.len().min(limit);
        self.full.drain(..full);
        let mut left = limit - full;
        let sweep = self.sweep.as_mut()?;
        while left > 0 {
            let Some(owner) = sweep.owners.pop() else { break };
            if self.tails.remove(&owner).is_some() {
                left -= 1;
            }
        }
        if !sweep.owners.is_empty() || !self.full.is_empty() {
            return None;
        }
        self.sweep.take().map(|s| s.upto)
    }

    /// Begins a round, unless one is under way.
    pub(crate) fn begin_sweep(&mut self, committed: Position) {
        if self.sweep.is_none() {
            self.sweep = Some(Sweep { owners: self.tails.keys().copied().collect(), upto: committed });
            self.taken = 0;
        }
    }

    /// Whether a round is under way.
    pub(crate) fn sweeping(&self) -> bool {
        self.sweep.is_some()
    }

    /// What memory holds of an owner's order, newest first.
    pub(crate) fn newest_below(&self, owner: Owner, before: Position) -> Vec<Position> {
        let tail = self.tails.get(&owner).into_iter();
        let full = self.full.iter().rev().filter(|(o, _)| *o == owner).map(|(_, c)| c);
        tail.chain(full).flat_map(|c| c.positions.iter().rev().copied()).filter(|p| *p < before).collect()
    }

    /// The pieces that memory holds of an owner's order and that reach beyond a sequence, oldest first, at most `limit`.
    pub(crate) fn oldest_beyond(&self, owner: Owner, sequence: u64, limit: usize) -> Vec<Chunk> {
        let full = self.full.iter().filter(|(o, _)| *o == owner).map(|(_, c)| c);
        let pieces = full.chain(self.tails.get(&owner)).filter(|c| c.sequence > sequence);
        pieces.take(limit).cloned().collect()
    }

    /// The highest sequence that memory holds of an owner's order; 0 if none.
    pub(crate) fn sequence(&self, owner: Owner) -> u64 {
        let full = self.full.iter().rev().find(|(o, _)| *o == owner).map(|(_, c)| c);
        self.tails.get(&owner).or(full).map_or(0, |c| c.sequence)
    }

    /// The highest sequence in each piece that memory holds.
    pub(crate) fn sequences(&self) -> impl Iterator<Item = (Owner, u64)> + '_ {
        let tails = self.tails.iter().map(|(o, c)| (*o, c.sequence));
        tails.chain(self.full.iter().map(|(o, c)| (*o, c.sequence)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn the_order_is_that_of_a_plain_list(steps in proptest::collection::vec((0_i64..4, 1_u64..500, 0_usize..9), 1..400)) {
            let mut tails = Tails::default();
            let mut rows: Vec<(Owner, Chunk)> = Vec::new();
            let mut model: Vec<(Owner, Position)> = Vec::new();
            let mut position = Position(0);
            for (owner, step, flush) in steps {
                position = position.plus(step);
                tails.push(Owner(owner), position, position.0);
                model.push((Owner(owner), position));
                if flush == 0 { tails.begin_sweep(position); }
                if flush < 3 {
                    rows.extend(tails.to_write(flush).into_iter().map(|(o, c)| (o, c.clone())));
                    if let Some(upto) = tails.written(flush) {
                        prop_assert!(model.iter().filter(|m| m.1 <= upto).all(|m| rows.iter().any(|r| r.0 == m.0 && r.1.positions.contains(&m.1))));
                    }
                }
            }
            for owner in (0..4).map(Owner) {
                let mut got = tails.newest_below(owner, Position::MAX);
                for (_, row) in rows.iter().rev().filter(|r| r.0 == owner) {
                    let packed = unpack(&pack(&row.positions)).unwrap();
                    got.extend(packed.into_iter().rev());
                }
                let want: Vec<Position> = model.iter().rev().filter(|m| m.0 == owner).map(|m| m.1).collect();
                prop_assert_eq!(got, want);
            }
        }
    }
}
