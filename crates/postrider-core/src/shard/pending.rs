//! How much is pending, for an endpoint and for its tenant: counted in one place, so that neither drifts from the other.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use crate::id::Position;

/// How much a tenant owes: the sum over its endpoints.
#[derive(Debug, Default)]
pub(crate) struct Total(Arc<AtomicU64>);

impl Total {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How much an endpoint owes; each change of it is one of its tenant's total. With it goes what it counts there.
///
/// After a start the store counts what was pending. Such a count shows the groups up to its watermark, so what changes
/// meanwhile is remembered with its place among the groups, and the sum of both is exact.
#[derive(Debug)]
pub(crate) struct Pending {
    own: u64,
    /// Shared with the tenant. One thread at a time changes it, whoever holds the node.
    total: Arc<AtomicU64>,
    /// While the store's count is awaited.
    meanwhile: Option<Meanwhile>,
}

/// What changed since a start, until the store's count is there.
#[derive(Debug, Default)]
struct Meanwhile {
    /// A position of each group, and how many more are pending with it.
    changes: VecDeque<(Position, i64)>,
    /// Changes up to here are forgotten: a count has to show them.
    forgotten: Position,
}

/// Groups whose changes are remembered while a count is awaited.
const CHANGES: usize = 1_024;

impl Pending {
    pub(crate) fn part_of(total: &Total) -> Self {
        Self { own: 0, total: Arc::clone(&total.0), meanwhile: None }
    }

    pub(crate) const fn get(&self) -> u64 {
        self.own
    }

    /// What was pending before is going to be counted.
    pub(crate) fn count_awaited(&mut self) {
        self.meanwhile = Some(Meanwhile::default());
    }

    /// A delivery more, by the group that this position belongs to.
    pub(crate) fn begin(&mut self, group: Position) {
        self.set(self.own + 1);
        self.change(group, 1);
    }

    /// One has ended, by the group that this position belongs to. It may be one that was not counted yet.
    pub(crate) fn end(&mut self, group: Position) {
        self.set(self.own.saturating_sub(1));
        self.change(group, -1);
    }

    fn change(&mut self, group: Position, by: i64) {
        let Some(meanwhile) = &mut self.meanwhile else { return };
        match meanwhile.changes.back_mut() {
            Some((last, sum)) if *last == group => *sum += by,
            _ => meanwhile.changes.push_back((group, by)),
        }
        if meanwhile.changes.len() > CHANGES
            && let Some((group, _)) = meanwhile.changes.pop_front()
        {
            meanwhile.forgotten = meanwhile.forgotten.max(group);
        }
    }

    /// So many were found in the store, with everything up to `read` in place. Says whether that tells how many are pending
    /// now; else they have to be counted again.
    pub(crate) fn found(&mut self, count: u64, read: Position) -> bool {
        let Some(meanwhile) = &self.meanwhile else { return true };
        if read < meanwhile.forgotten {
            return false;
        }
        let since = meanwhile.changes.iter().filter(|(group, _)| *group > read).map(|(_, by)| by).sum();
        self.set(count.saturating_add_signed(since));
        self.meanwhile = None;
        true
    }

    fn set(&mut self, own: u64) {
        let (before, total) = (std::mem::replace(&mut self.own, own), self.total.load(Relaxed));
        debug_assert!(total >= before, "a tenant owes what its endpoints owe");
        self.total.store(total.saturating_sub(before) + own, Relaxed);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GROUP: Position = Position(1);

    #[test]
    fn a_tenant_owes_what_its_endpoints_owe() {
        let total = Total::default();
        let (mut a, mut b) = (Pending::part_of(&total), Pending::part_of(&total));
        a.begin(GROUP);
        b.end(GROUP);
        b.begin(GROUP);
        b.begin(GROUP);
        assert_eq!((a.get(), b.get(), total.get()), (1, 2, 3));
        drop(b);
        assert_eq!(total.get(), 1);
        a.end(GROUP);
        assert_eq!(total.get(), 0);
    }

    #[test]
    fn a_count_and_what_changed_since_it_was_taken_are_exact_together() {
        // Seven were pending at 100; then one ended and two began with the group from 101 on, and two ended with that from 110 on.
        for (read, count) in [(100, 7), (109, 8), (120, 6)] {
            let mut pending = Pending::part_of(&Total::default());
            pending.count_awaited();
            for (group, begins) in [(101, false), (101, true), (104, true), (110, false), (110, false)] {
                if begins { pending.begin(Position(group)) } else { pending.end(Position(group)) }
            }
            assert!(pending.found(count, Position(read)), "{read}");
            assert_eq!(pending.get(), 6, "{read}");
        }
    }

    #[test]
    fn a_count_that_lacks_what_is_forgotten_is_taken_again() {
        let mut pending = Pending::part_of(&Total::default());
        pending.count_awaited();
        for group in 0..=CHANGES as u64 {
            pending.begin(Position(1_000 + group));
        }
        assert!(!pending.found(5, Position(999)));
        assert!(pending.found(6, Position(1_000)));
        assert_eq!(pending.get(), 6 + CHANGES as u64);
    }
}
