//! Keys that lead to events, as sorted runs: an open one in memory, the others in pages with a filter in memory each.
//!
//! A key is kept as 64 bits of its hash and a position; a hit is checked against the event that it leads to. New keys are
//! only ever added at the end, runs are merged eight at a time into larger ones, and dropped whole.

use std::collections::BTreeSet;
use std::sync::Arc;

use postrider_core::id::Position;
use postrider_core::record::KeyHash;
use postrider_core::time::Timestamp;

use crate::filter::Filter;

/// Keys of the open run before it is written out.
pub(crate) const OPEN_KEYS: usize = 16_384;
/// Runs of one level that are merged into one of the next.
pub(crate) const FAN_IN: usize = 8;
/// The level of the largest runs (about 2^20 keys), which are not merged further.
pub(crate) const TOP_LEVEL: u8 = 2;
/// Bytes of one entry: 8 of the hash, 6 of the position.
pub(crate) const ENTRY: usize = 14;
/// Entries of a page, so that its row fills one database page.
pub(crate) const PAGE_KEYS: usize = 288;
/// Bits of a page row's id that number the page in its run.
pub(crate) const PAGE_BITS: u32 = 20;

/// What the keys are for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Family {
    /// Idempotency keys: dropped when the newest of a run is 24 hours old.
    Idempotency = 0,
    /// Own ids and ordering keys: dropped when all events of a run are gone.
    Index = 1,
}

/// Both, in the order of their numbers.
pub(crate) const FAMILIES: [Family; 2] = [Family::Idempotency, Family::Index];

/// The bits of a hash that are kept.
#[allow(clippy::cast_possible_truncation, reason = "the upper half is taken")]
pub(crate) fn short(key: KeyHash) -> u64 {
    (key.0 >> 64) as u64
}

/// A key as kept.
pub(crate) type Entry = (u64, Position);

/// A run in the database.
#[derive(Debug)]
pub(crate) struct Run {
    pub(crate) id: i64,
    pub(crate) level: u8,
    pub(crate) keys: usize,
    /// The lowest and highest position in it.
    pub(crate) first: Position,
    pub(crate) last: Position,
    /// The time of its newest key.
    pub(crate) newest: Timestamp,
    /// The first key of each page.
    pub(crate) fences: Vec<u64>,
    pub(crate) filter: Filter,
}

impl Run {
    /// The pages that may hold a key, as a range.
    pub(crate) fn pages(&self, key: u64) -> std::ops::Range<usize> {
        let from = self.fences.partition_point(|f| *f < key).saturating_sub(1);
        let to = self.fences.partition_point(|f| *f <= key);
        from..to.max(from)
    }

    /// The id of a page's row.
    #[allow(clippy::cast_possible_wrap, reason = "a run has fewer than 2^20 pages")]
    pub(crate) fn page_id(run: i64, page: usize) -> i64 {
        (run << PAGE_BITS) | page as i64
    }
}

/// Reads the entry at an index of a page.
pub(crate) fn entry(page: &[u8], index: usize) -> Option<Entry> {
    let bytes = page.get(index * ENTRY..(index + 1) * ENTRY)?;
    let key = u64::from_be_bytes(bytes[..8].try_into().ok()?);
    let mut position = [0; 8];
    position[2..].copy_from_slice(&bytes[8..]);
    Some((key, Position(u64::from_be_bytes(position))))
}

/// The positions that a page has for a key, ascending.
pub(crate) fn find(page: &[u8], key: u64) -> Vec<Position> {
    let count = page.len() / ENTRY;
    let (mut low, mut high) = (0, count);
    while low < high {
        let middle = low.midpoint(high);
        if entry(page, middle).is_some_and(|e| e.0 < key) { low = middle + 1 } else { high = middle }
    }
    (low..count).map_while(|i| entry(page, i)).take_while(|e| e.0 == key).map(|e| e.1).collect()
}

/// Builds a run from entries in order, page by page.
#[derive(Debug)]
pub(crate) struct Builder {
    pub(crate) id: i64,
    level: u8,
    keys: usize,
    first: Position,
    last: Position,
    newest: Timestamp,
    fences: Vec<u64>,
    filter: Filter,
    page: Vec<u8>,
}

impl Builder {
    pub(crate) fn new(id: i64, level: u8, expected: usize, newest: Timestamp) -> Self {
        Self {
            id,
            level,
            keys: 0,
            first: Position::MAX,
            last: Position::ZERO,
            newest,
            fences: Vec::new(),
            filter: Filter::for_keys(expected),
            page: Vec::with_capacity(PAGE_KEYS * ENTRY),
        }
    }

    /// Adds the next entry; returns a full page with its row's id.
    pub(crate) fn push(&mut self, (key, position): Entry) -> Option<(i64, Vec<u8>)> {
        if self.page.is_empty() {
            self.fences.push(key);
        }
        self.page.extend_from_slice(&key.to_be_bytes());
        self.page.extend_from_slice(&position.0.to_be_bytes()[2..]);
        self.filter.insert(key);
        self.keys += 1;
        self.first = self.first.min(position);
        self.last = self.last.max(position);
        if self.page.len() == PAGE_KEYS * ENTRY { self.take_page() } else { None }
    }

    fn take_page(&mut self) -> Option<(i64, Vec<u8>)> {
        if self.page.is_empty() {
            return None;
        }
        let page = std::mem::replace(&mut self.page, Vec::with_capacity(PAGE_KEYS * ENTRY));
        Some((Run::page_id(self.id, self.fences.len() - 1), page))
    }

    /// Ends the run: the last page and what is kept in memory.
    pub(crate) fn finish(mut self) -> (Option<(i64, Vec<u8>)>, Run) {
        let page = self.take_page();
        let run = Run {
            id: self.id,
            level: self.level,
            keys: self.keys,
            first: self.first,
            last: self.last,
            newest: self.newest,
            fences: self.fences,
            filter: self.filter,
        };
        (page, run)
    }
}

/// The runs of one family.
#[derive(Debug, Default)]
pub(crate) struct Runs {
    /// What came since the last run was written out.
    pub(crate) open: BTreeSet<Entry>,
    /// The time of the newest key in it.
    pub(crate) open_newest: Timestamp,
    /// In order of age: positions of a run all lie before those of the next.
    pub(crate) runs: Vec<Arc<Run>>,
}

impl Runs {
    /// Adds a key.
    pub(crate) fn push(&mut self, key: KeyHash, position: Position, at: Timestamp) {
        self.open.insert((short(key), position));
        self.open_newest = self.open_newest.max(at);
    }

    /// Whether it may hold the key: no disk is read.
    pub(crate) fn may_hold(&self, key: u64) -> bool {
        self.open.range((key, Position::ZERO)..=(key, Position::MAX)).next().is_some()
            || self.runs.iter().any(|r| r.filter.contains(key))
    }

    /// What the open run has for a key below a position, newest first.
    pub(crate) fn open_below(&self, key: u64, before: Position) -> Vec<Position> {
        self.open.range((key, Position::ZERO)..(key, before)).rev().map(|e| e.1).collect()
    }

    /// The runs that may hold a key, newest first.
    pub(crate) fn candidates(&self, key: u64) -> Vec<Arc<Run>> {
        self.runs.iter().rev().filter(|r| r.filter.contains(key)).map(Arc::clone).collect()
    }

    /// Eight neighbours of one level that can become one of the next.
    pub(crate) fn mergeable(&self) -> Option<Vec<Arc<Run>>> {
        (0..TOP_LEVEL).find_map(|level| {
            self.runs.windows(FAN_IN).find(|w| w.iter().all(|r| r.level == level)).map(<[Arc<Run>]>::to_vec)
        })
    }

    /// Puts a merged run in the place of those that it was made from.
    pub(crate) fn replace(&mut self, inputs: &[i64], merged: Arc<Run>) {
        let at = self.runs.iter().position(|r| inputs.contains(&r.id)).unwrap_or(self.runs.len());
        self.runs.retain(|r| !inputs.contains(&r.id));
        self.runs.insert(at.min(self.runs.len()), merged);
    }
}

/// Fences as stored.
pub(crate) fn fences_to_bytes(fences: &[u64]) -> Vec<u8> {
    fences.iter().flat_map(|f| f.to_be_bytes()).collect()
}

/// Reads what [`fences_to_bytes`] wrote.
pub(crate) fn fences_from_bytes(bytes: &[u8]) -> Vec<u64> {
    bytes.chunks_exact(8).filter_map(|b| b.try_into().ok().map(u64::from_be_bytes)).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn a_run_finds_what_a_sorted_list_finds(mut keys in proptest::collection::vec((0_u64..60, 1_u64..100_000), 1..2_000)) {
            keys.sort_unstable();
            keys.dedup();
            let mut builder = Builder::new(3, 0, keys.len(), Timestamp::EPOCH);
            let mut pages = Vec::new();
            for (key, position) in &keys {
                pages.extend(builder.push((*key << 57, Position(*position))));
            }
            let (last, run) = builder.finish();
            pages.extend(last);
            for (i, (id, _)) in pages.iter().enumerate() {
                prop_assert_eq!(*id, Run::page_id(3, i));
            }
            prop_assert_eq!(&fences_from_bytes(&fences_to_bytes(&run.fences)), &run.fences);
            for key in 0..62 {
                let want: Vec<u64> = keys.iter().filter(|k| k.0 == key && key < 60).map(|k| k.1).collect();
                let got: Vec<u64> = run.pages(key << 57).flat_map(|p| find(&pages[p].1, key << 57)).map(|p| p.0).collect();
                prop_assert!(want.is_empty() || run.filter.contains(key << 57));
                prop_assert_eq!(got, want);
            }
        }
    }
}
