//! What several resources need to show themselves.

use postrider_core::record::Event;
use serde_json::value::RawValue;

/// A part of what is stored as it was published, byte for byte.
pub(crate) fn raw(part: &[u8]) -> &RawValue {
    serde_json::from_slice(part).unwrap_or(RawValue::NULL)
}

/// An event's attributes as they were published; an empty object where it has none.
pub(crate) fn attributes(event: &Event) -> &RawValue {
    raw(if event.attributes.is_empty() { b"{}" } else { &event.attributes })
}

/// The cursor of the page after this one. `entries` were read one beyond `limit`, to see whether there is one.
pub(crate) fn next<T>(entries: &[T], limit: usize, write: impl FnOnce(&T) -> String) -> Option<String> {
    if entries.len() <= limit {
        return None;
    }
    entries.get(limit.checked_sub(1)?).map(write)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_has_a_next_one_only_where_more_was_found() {
        let write = |n: &i32| n.to_string();
        assert_eq!(next(&[1, 2, 3], 2, write), Some("2".into()));
        assert_eq!(next(&[1, 2], 2, write), None);
        assert_eq!(next(&[], 2, write), None);
    }
}
