//! An owner's order as one read sees it: newest first, or by sequence, over what memory has and what is in chunks.

use std::collections::VecDeque;

use postrider_core::id::Position;
use rusqlite::{Connection, OptionalExtension, params};

use crate::chunks::{self, Chunk, Owner};
use crate::error::Res;
use crate::rows::int;

/// An owner's order, newest first.
#[derive(Debug)]
pub(crate) struct Newest {
    owner: Owner,
    entries: VecDeque<Position>,
    /// Chunks are read from below this on.
    below: Position,
    /// No chunk is left.
    ended: bool,
}

impl Newest {
    /// What lies before a position; `tail` is what memory has of that, newest first.
    pub(crate) fn new(owner: Owner, before: Position, tail: Vec<Position>) -> Self {
        Self { owner, entries: tail.into(), below: before, ended: false }
    }

    /// The next entry.
    pub(crate) fn next(&mut self, conn: &Connection) -> Res<Option<Position>> {
        while self.entries.is_empty() && !self.ended {
            let data: Option<Vec<u8>> = conn
                .prepare_cached(
                    "SELECT data FROM chunks WHERE owner = ?1 AND first < ?2 ORDER BY first DESC LIMIT 1",
                )?
                .query_row(params![self.owner.0, int(self.below.0)], |r| r.get(0))
                .optional()?;
            match data {
                Some(data) => {
                    let found = chunks::unpack(&data)?;
                    self.entries.extend(found.into_iter().rev().filter(|p| *p < self.below));
                }
                None => self.ended = true,
            }
        }
        let next = self.entries.pop_front();
        self.below = next.unwrap_or(self.below);
        Ok(next)
    }
}

/// An endpoint's order by sequence.
#[derive(Debug)]
pub(crate) struct BySequence {
    owner: Owner,
    /// Nothing up to this sequence is given.
    after: u64,
    entries: VecDeque<Position>,
    /// The next chunk is the first that ends here or later; `None` when no more is to be read.
    from: Option<Position>,
    /// What memory has beyond the chunks, oldest first.
    pieces: VecDeque<Chunk>,
}

impl BySequence {
    /// What comes after a sequence; `pieces` is what memory has of that.
    pub(crate) fn after(conn: &Connection, owner: Owner, after: u64, pieces: Vec<Chunk>) -> Res<Self> {
        let from = first_beyond(conn, owner, after)?;
        Ok(Self { owner, after, entries: VecDeque::new(), from, pieces: pieces.into() })
    }

    /// The next entry.
    pub(crate) fn next(&mut self, conn: &Connection) -> Res<Option<Position>> {
        while self.entries.is_empty() {
            let chunk = match self.next_chunk(conn)? {
                Some(chunk) => chunk,
                None => match self.pieces.pop_front() {
                    Some(piece) => piece,
                    None => return Ok(None),
                },
            };
            let skipped = chunk.positions.len().saturating_sub(beyond(&chunk, self.after));
            self.entries.extend(chunk.positions.into_iter().skip(skipped));
        }
        Ok(self.entries.pop_front())
    }

    /// Passes over what lies before a position: at least the entries that are at hand.
    pub(crate) fn skip_to(&mut self, position: Position) {
        self.entries.retain(|p| *p >= position);
        self.from = self.from.map(|from| from.max(position));
    }

    fn next_chunk(&mut self, conn: &Connection) -> Res<Option<Chunk>> {
        let Some(from) = self.from else { return Ok(None) };
        // The one that begins at or before it may reach beyond it.
        let reaching = one(conn, self.owner, "first <= ?2 ORDER BY first DESC", from)?;
        let chunk = match reaching.filter(|c| last(c) >= from) {
            Some(chunk) => Some(chunk),
            None => one(conn, self.owner, "first > ?2 ORDER BY first", from)?,
        };
        self.from = chunk.as_ref().map(|c| last(c).plus(1));
        Ok(chunk)
    }
}

fn first(chunk: &Chunk) -> Position {
    chunk.positions.first().copied().unwrap_or_default()
}

fn last(chunk: &Chunk) -> Position {
    chunk.positions.last().copied().unwrap_or_default()
}

/// How many of a chunk's entries lie beyond a sequence, or more than it has: an endpoint's sequence has no gaps.
fn beyond(chunk: &Chunk, sequence: u64) -> usize {
    usize::try_from(chunk.sequence.saturating_sub(sequence)).unwrap_or(usize::MAX)
}

/// The first chunk that a condition on its first position finds.
fn one(conn: &Connection, owner: Owner, which: &str, position: Position) -> Res<Option<Chunk>> {
    let row: Option<(i64, Vec<u8>)> = conn
        .prepare_cached(&format!("SELECT sequence, data FROM chunks WHERE owner = ?1 AND {which} LIMIT 1"))?
        .query_row(params![owner.0, int(position.0)], |r| Ok((r.get(0)?, r.get(1)?)))
        .optional()?;
    let Some((sequence, data)) = row else { return Ok(None) };
    Ok(Some(Chunk { positions: chunks::unpack(&data)?, sequence: sequence.cast_unsigned() }))
}

/// Where the first chunk begins that reaches beyond a sequence.
///
/// Sequences rise with positions, so it is searched for between the first chunk and the last, by turns where it would lie if
/// they rose evenly, and half-way. An index of sequences would find it at once, but each chunk written would have to be
/// entered in it, on a page of its own.
fn first_beyond(conn: &Connection, owner: Owner, sequence: u64) -> Res<Option<Position>> {
    let Some(newest) = one(conn, owner, "first <= ?2 ORDER BY first DESC", Position::MAX)? else {
        return Ok(None);
    };
    let Some(oldest) = one(conn, owner, "first >= ?2 ORDER BY first", Position::ZERO)? else {
        return Ok(None);
    };
    if newest.sequence <= sequence {
        return Ok(None);
    }
    if oldest.sequence > sequence {
        return Ok(Some(first(&oldest)));
    }
    // Chunks that begin below `low` do not reach beyond it, the one that begins at `high` does.
    let (mut low, mut low_sequence) = (first(&oldest).0 + 1, oldest.sequence);
    let (mut high, mut high_sequence) = (first(&newest).0, newest.sequence);
    let mut evenly = false;
    while low < high {
        evenly = !evenly;
        let middle = if evenly {
            let part = u128::from(high - low) * u128::from(sequence - low_sequence);
            let part = part / u128::from(high_sequence - low_sequence).max(1);
            low + u64::try_from(part).unwrap_or(u64::MAX).min(high - low - 1)
        } else {
            low.midpoint(high)
        };
        let Some(found) = one(conn, owner, "first <= ?2 ORDER BY first DESC", Position(middle))? else {
            break;
        };
        if found.sequence <= sequence {
            (low, low_sequence) = (middle + 1, found.sequence);
            continue;
        }
        (high, high_sequence) = (first(&found).0, found.sequence);
        if found.positions.len() >= beyond(&found, sequence) {
            break;
        }
    }
    Ok(Some(Position(high)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn table(rows: &[Chunk]) -> Connection {
        let conn = Connection::open_in_memory().unwrap();
        conn.execute_batch(include_str!("../migrations/V1__first_layout.sql")).unwrap();
        for (owner, chunk) in rows.iter().flat_map(|c| [(4, c), (6, c)]) {
            conn.execute(
                "INSERT INTO chunks VALUES (?1, ?2, ?3, ?4, ?5)",
                params![
                    owner,
                    int(first(chunk).0),
                    int(last(chunk).0),
                    int(chunk.sequence),
                    chunks::pack(&chunk.positions)
                ],
            )
            .unwrap();
        }
        conn
    }

    proptest! {
        /// Chunks of any length and any distance, some of them gone, the newest in memory.
        #[test]
        fn the_order_by_sequence_is_that_of_a_plain_list(
            lengths in proptest::collection::vec((1_usize..9, 1_u64..5_000, any::<bool>()), 1..60),
            gone in 0_usize..20, in_memory in 0_usize..9, asked in proptest::collection::vec(0_u64..400, 1..20),
        ) {
            let (mut position, mut sequence, mut chunks) = (0, 0, Vec::new());
            for (length, step, sparse) in lengths {
                let positions = (0..length).map(|_| { position += if sparse { step } else { 1 }; Position(position) }).collect();
                sequence += length as u64;
                chunks.push(Chunk { positions, sequence });
            }
            let stored = chunks.len().saturating_sub(in_memory);
            let gone = gone.min(stored);
            let (chunks, memory) = chunks.split_at(stored);
            let conn = table(&chunks[gone..]);
            for after in asked {
                let pieces = memory.iter().filter(|c| c.sequence > after).cloned().collect();
                let mut order = BySequence::after(&conn, Owner(4), after, pieces).unwrap();
                let all = chunks[gone..].iter().chain(memory).flat_map(|c| {
                    let from = c.sequence + 1 - c.positions.len() as u64;
                    (from..).zip(c.positions.iter().copied())
                });
                let want: Vec<_> = all.filter(|(s, _)| *s > after).map(|(_, p)| p).collect();
                let got: Vec<_> = std::iter::from_fn(|| order.next(&conn).unwrap()).collect();
                prop_assert_eq!(&got, &want, "after {}", after);
                if let Some(at) = want.get(want.len() / 2) {
                    let mut order = BySequence::after(&conn, Owner(4), after, memory.to_vec()).unwrap();
                    order.next(&conn).unwrap();
                    order.skip_to(*at);
                    let got: Vec<_> = std::iter::from_fn(|| order.next(&conn).unwrap()).filter(|p| p >= at).collect();
                    let want: Vec<_> = want[1..].iter().copied().filter(|p| p >= at).collect();
                    prop_assert_eq!(got, want);
                }
            }
        }
    }
}
