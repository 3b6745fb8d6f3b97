//! How much is pending, for an endpoint and for its tenant: counted in one place, so that neither drifts from the other.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

/// How much a tenant owes: the sum over its endpoints.
#[derive(Debug, Default)]
pub(crate) struct Total(Arc<AtomicU64>);

impl Total {
    pub(crate) fn get(&self) -> u64 {
        self.0.load(Relaxed)
    }
}

/// How much an endpoint owes; each change of it is one of its tenant's total. With it goes what it counts there.
#[derive(Debug)]
pub(crate) struct Pending {
    own: u64,
    /// Shared with the tenant. One thread at a time changes it, whoever holds the node.
    total: Arc<AtomicU64>,
}

impl Pending {
    pub(crate) fn part_of(total: &Total) -> Self {
        Self { own: 0, total: Arc::clone(&total.0) }
    }

    pub(crate) const fn get(&self) -> u64 {
        self.own
    }

    /// A delivery more.
    pub(crate) fn begin(&mut self) {
        self.set(self.own + 1);
    }

    /// One has ended. It may be one that was not counted yet.
    pub(crate) fn end(&mut self) {
        self.set(self.own.saturating_sub(1));
    }

    /// So many were found in the store.
    pub(crate) fn found(&mut self, count: u64) {
        self.set(self.own.max(count));
    }

    /// It turned out that nothing is pending.
    pub(crate) fn clear(&mut self) {
        self.set(0);
    }

    fn set(&mut self, own: u64) {
        let (before, total) = (std::mem::replace(&mut self.own, own), self.total.load(Relaxed));
        debug_assert!(total >= before, "a tenant owes what its endpoints owe");
        self.total.store(total.saturating_sub(before) + own, Relaxed);
    }
}

impl Drop for Pending {
    fn drop(&mut self) {
        self.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_tenant_owes_what_its_endpoints_owe() {
        let total = Total::default();
        let (mut a, mut b) = (Pending::part_of(&total), Pending::part_of(&total));
        a.begin();
        b.end();
        b.begin();
        b.begin();
        b.found(5);
        b.found(1);
        b.end();
        assert_eq!((a.get(), b.get(), total.get()), (1, 4, 5));
        drop(b);
        assert_eq!(total.get(), 1);
        a.clear();
        assert_eq!(total.get(), 0);
    }
}
