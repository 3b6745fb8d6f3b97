//! The places in a document that conditions look at, each once, in order, so that those through one place stand together.

use std::ops::Range;
use std::sync::Arc;

use super::Pointer;

/// See the module. Of those through one place, the one that ends there stands first.
#[derive(Debug)]
pub(super) struct Places(Vec<Arc<Pointer>>);

impl Places {
    pub(super) fn of(mut pointers: Vec<Arc<Pointer>>) -> Self {
        pointers.sort_unstable_by(|a, b| a.names().cmp(b.names()));
        pointers.dedup_by(|a, b| a.names() == b.names());
        Self(pointers)
    }

    pub(super) fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    pub(super) fn all(&self) -> Range<usize> {
        0..self.0.len()
    }

    pub(super) fn find(&self, pointer: &Pointer) -> Option<usize> {
        self.0.binary_search_by(|known| known.names().cmp(pointer.names())).ok()
    }

    /// Whether a place lies no deeper than this level.
    pub(super) fn end_at(&self, place: usize, level: usize) -> bool {
        self.0[place].names().len() == level
    }

    /// Those of some places, all deeper than `level`, whose name on that level is this one.
    pub(super) fn through(&self, range: &Range<usize>, level: usize, name: &str) -> Range<usize> {
        let places = &self.0[range.clone()];
        let from = places.partition_point(|place| *place.names()[level] < *name);
        let length = places[from..].partition_point(|place| *place.names()[level] == *name);
        range.start + from..range.start + from + length
    }
}
