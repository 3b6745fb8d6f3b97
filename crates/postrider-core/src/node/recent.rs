//! Which deliveries changed lately, and in which group: what tells a page that shows them as they were from one that is current.

use std::collections::VecDeque;

use rustc_hash::FxHashMap;

use crate::id::Position;

/// Changes remembered; what was read before the oldest of them counts as out of date.
const REMEMBERED: usize = 16_384;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Recent {
    /// By delivery: the end of the last group that changed it.
    changed: FxHashMap<Position, Position>,
    order: VecDeque<(Position, Position)>,
    /// Changes up to the group that ends here may be forgotten.
    floor: Position,
}

impl Recent {
    /// A delivery changed in the group that ends at `last`, which is durable.
    pub(crate) fn note(&mut self, delivery: Position, last: Position) {
        self.changed.insert(delivery, last);
        self.order.push_back((delivery, last));
        if self.order.len() > REMEMBERED
            && let Some((old, at)) = self.order.pop_front()
        {
            self.floor = at;
            if self.changed.get(&old) == Some(&at) {
                self.changed.remove(&old);
            }
        }
    }

    /// Whether a delivery may have changed since it was read with everything up to `read` in place.
    pub(crate) fn since(&self, delivery: Position, read: Position) -> bool {
        read < self.floor || self.changed.get(&delivery).is_some_and(|last| *last > read)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_change_is_seen_by_who_read_before_it_and_the_forgotten_count_as_changed() {
        let mut recent = Recent::default();
        recent.note(Position(7), Position(20));
        assert!(recent.since(Position(7), Position(19)));
        assert!(!recent.since(Position(7), Position(20)));
        assert!(!recent.since(Position(8), Position(19)));
        for n in 0..REMEMBERED as u64 {
            recent.note(Position(1_000 + n), Position(10_000 + n));
        }
        assert!(recent.since(Position(8), Position(19)));
        assert!(!recent.since(Position(7), Position(20)));
        assert_eq!(recent.changed.len(), REMEMBERED);
    }
}
