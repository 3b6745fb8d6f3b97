//! Changes of a text that leave everything else as it is, byte for byte.

use std::borrow::Cow;
use std::ops::Range;

/// Changes that are to be made in a text, each in a place of its own or within that of another.
#[derive(Debug, Default)]
pub(super) struct Edits(Vec<(Range<usize>, Cow<'static, str>)>);

impl Edits {
    /// Replaces a part of the text.
    pub(super) fn replace(&mut self, part: Range<usize>, by: impl Into<Cow<'static, str>>) {
        self.0.push((part, by.into()));
    }

    /// The text with the changes, if there are any; one within another goes with it.
    pub(super) fn apply(mut self, text: &[u8]) -> Option<Vec<u8>> {
        if self.0.is_empty() {
            return None;
        }
        self.0.sort_by_key(|(part, _)| (part.start, std::cmp::Reverse(part.end)));
        let mut out = Vec::with_capacity(text.len() + 16);
        let mut at = 0;
        for (part, by) in self.0 {
            if part.start >= at && part.end > at {
                out.extend_from_slice(text.get(at..part.start).unwrap_or_default());
                out.extend_from_slice(by.as_bytes());
                at = part.end;
            }
        }
        out.extend_from_slice(text.get(at..).unwrap_or_default());
        Some(out)
    }
}

/// How often a text is changed until it is given up: once is the rule, and more than twice an attempt to keep us busy.
const MAX_PASSES: usize = 16;

/// A text in which every change gave reason for another one.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) struct NeverDone;

/// Changes a text until nothing is left to change: what stays of one number may make up another with what stands beside it.
/// What it becomes, if it changes.
pub(super) fn until_nothing_changes(
    text: &[u8],
    mut change: impl FnMut(&[u8]) -> Edits,
) -> Result<Option<Vec<u8>>, NeverDone> {
    let mut changed: Option<Vec<u8>> = None;
    for _ in 0..MAX_PASSES {
        let present = changed.as_deref().unwrap_or(text);
        match change(present).apply(present) {
            Some(next) => changed = Some(next),
            None => return Ok(changed),
        }
    }
    Err(NeverDone)
}

/// Takes members out of an object, with the commas that go with them, so that what stays is an object again whichever go.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Removal {
    /// Where the member before ended, once one stays.
    before: Option<usize>,
    /// From where to where a member goes that none stays before: what parts it from the next one goes with it.
    gone: Option<(usize, usize)>,
}

impl Removal {
    /// A member begins with its name. What went because of the members before it.
    pub(super) fn begin(&mut self, name: usize) -> Option<Range<usize>> {
        self.gone.take().map(|(start, _)| start..name)
    }

    /// A member ended that stays.
    pub(super) fn keep(&mut self, end: usize) {
        self.before = Some(end);
    }

    /// A member goes that began with its name. What goes with it, where that is known by now.
    pub(super) fn remove(&mut self, name: usize, end: usize) -> Option<Range<usize>> {
        if let Some(before) = self.before.replace(end) {
            return Some(before..end);
        }
        (self.before, self.gone) = (None, Some((name, end)));
        None
    }

    /// The object ends. What went because of its last members.
    pub(super) fn end(&mut self) -> Option<Range<usize>> {
        self.gone.take().map(|(start, end)| start..end)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_leave_the_rest_and_swallow_what_lies_within_them() {
        let mut edits = Edits::default();
        edits.replace(4..6, "*");
        edits.replace(1..2, "");
        edits.replace(4..5, "x");
        edits.replace(5..6, "y");
        assert_eq!(edits.apply(b"abcdefg").unwrap(), b"acd*g");
        assert!(Edits::default().apply(b"abc").is_none());
    }
}
