//! What an event has where conditions look, found in one pass over its JSON, of which nothing else is read.

use std::borrow::Cow;
use std::ops::Range;

use super::{Fact, Filters, Pointer, Scalar};
use crate::decimal::Decimal;

/// The facts about an event that some filters ask for.
///
/// Where a name stands twice in an object, the last one counts. Attributes and data are the bytes that were accepted; what
/// lies behind a place at which they are no JSON is missing.
#[derive(Debug)]
pub struct Facts<'f, 'e> {
    attributes: Found<'f, 'e>,
    data: Found<'f, 'e>,
}

impl<'f, 'e> Facts<'f, 'e> {
    /// Gathers them.
    pub fn of(filters: impl IntoIterator<Item = &'f Filters>, attributes: &'e [u8], data: &'e [u8]) -> Self {
        let (mut of_attributes, mut of_data) = (Vec::new(), Vec::new());
        for filters in filters {
            of_attributes.extend(filters.attributes.iter().map(|condition| &condition.pointer));
            of_data.extend(filters.data.iter().map(|condition| &condition.pointer));
        }
        Self { attributes: Found::of(of_attributes, attributes), data: Found::of(of_data, data) }
    }

    pub(super) fn attribute(&self, pointer: &Pointer) -> &Fact<'e> {
        self.attributes.at(pointer)
    }

    pub(super) fn data(&self, pointer: &Pointer) -> &Fact<'e> {
        self.data.at(pointer)
    }
}

/// What a document has at some places.
#[derive(Debug)]
struct Found<'f, 'e> {
    /// In order and each once: those through one place stand together, the one that ends there first.
    pointers: Vec<&'f Pointer>,
    /// One for each.
    facts: Vec<Fact<'e>>,
}

impl<'f, 'e> Found<'f, 'e> {
    fn of(mut pointers: Vec<&'f Pointer>, document: &'e [u8]) -> Self {
        pointers.sort_unstable_by(|a, b| a.names().cmp(b.names()));
        pointers.dedup_by(|a, b| a.names() == b.names());
        let facts = vec![Fact::Missing; pointers.len()];
        let mut found = Self { pointers, facts };
        if !found.pointers.is_empty() {
            let text = std::str::from_utf8(document).unwrap_or_default();
            let all = 0..found.pointers.len();
            // It ends early only where the text is no JSON.
            let _ = Walk { text, at: 0, found: &mut found }.value(all, 0);
        }
        found
    }

    fn at(&self, pointer: &Pointer) -> &Fact<'e> {
        let at = self.pointers.binary_search_by(|known| known.names().cmp(pointer.names()));
        at.ok().map_or(&Fact::Missing, |at| &self.facts[at])
    }

    /// Those of some pointers, all longer than `level`, whose name on that level is this one.
    fn through(&self, range: &Range<usize>, level: usize, name: &str) -> Range<usize> {
        let pointers = &self.pointers[range.clone()];
        let from = pointers.partition_point(|pointer| *pointer.names()[level] < *name);
        let length = pointers[from..].partition_point(|pointer| *pointer.names()[level] == *name);
        range.start + from..range.start + from + length
    }

    /// Those of some pointers, all longer than `level`, that lead into an array, by index and in order of it.
    fn through_items(&self, range: &Range<usize>, level: usize) -> Vec<(usize, Range<usize>)> {
        let mut items = Vec::new();
        let mut from = range.start;
        while from < range.end {
            let name = &self.pointers[from].names()[level];
            let same = self.through(&(from..range.end), level, name);
            // Written without sign and leading zeros (RFC 6901, section 4).
            if let Some(index) = name.parse::<usize>().ok().filter(|index| index.to_string() == **name) {
                items.push((index, same.clone()));
            }
            from = same.end;
        }
        items.sort_unstable_by_key(|(index, _)| *index);
        items
    }
}

/// One pass over a document. Every step gives `None` where the text is not what JSON has there.
struct Walk<'f, 'e, 's> {
    text: &'e str,
    at: usize,
    found: &'s mut Found<'f, 'e>,
}

impl<'e> Walk<'_, 'e, '_> {
    /// Passes over a value to which the pointers of `range` lead on `level` levels. With each level that goes on it calls
    /// itself, so that it nests no deeper than the longest pointer.
    fn value(&mut self, mut range: Range<usize>, level: usize) -> Option<()> {
        // What an earlier member of the same name had does not count.
        self.found.facts[range.clone()].fill(Fact::Missing);
        let ends_here =
            range.clone().next().filter(|first| self.found.pointers[*first].names().len() == level);
        if ends_here.is_some() {
            range.start += 1;
        }
        let fact = match self.next()? {
            b'{' | b'[' if range.is_empty() => {
                self.pass_container()?;
                Fact::Other
            }
            b'{' => {
                self.object(range, level)?;
                Fact::Other
            }
            b'[' => {
                self.array(range, level)?;
                Fact::Other
            }
            b'"' => {
                let (raw, escaped) = self.string()?;
                // Most strings are only passed over.
                if ends_here.is_some() { text_fact(raw, escaped) } else { Fact::Other }
            }
            _ => match self.word()? {
                "true" => Fact::Scalar(Scalar::Boolean(true)),
                "false" => Fact::Scalar(Scalar::Boolean(false)),
                number if ends_here.is_some() => {
                    Decimal::parse(number).map_or(Fact::Other, |number| Fact::Scalar(Scalar::Number(number)))
                }
                _ => Fact::Other,
            },
        };
        if let Some(at) = ends_here {
            self.found.facts[at] = fact;
        }
        Some(())
    }

    fn object(&mut self, range: Range<usize>, level: usize) -> Option<()> {
        self.at += 1;
        if self.ends(b'}')? {
            return Some(());
        }
        loop {
            self.next().filter(|byte| *byte == b'"')?;
            let (raw, escaped) = self.string()?;
            self.next().filter(|byte| *byte == b':')?;
            self.at += 1;
            let through = decoded(raw, escaped).map(|name| self.found.through(&range, level, &name));
            self.value(through.unwrap_or_default(), level + 1)?;
            if self.ends(b'}')? {
                return Some(());
            }
            self.next().filter(|byte| *byte == b',')?;
            self.at += 1;
        }
    }

    fn array(&mut self, range: Range<usize>, level: usize) -> Option<()> {
        let items = self.found.through_items(&range, level);
        let mut wanted = items.into_iter().peekable();
        self.at += 1;
        if self.ends(b']')? {
            return Some(());
        }
        for index in 0.. {
            let through = wanted.next_if(|(wanted, _)| *wanted == index).map(|(_, through)| through);
            self.value(through.unwrap_or_default(), level + 1)?;
            if self.ends(b']')? {
                return Some(());
            }
            self.next().filter(|byte| *byte == b',')?;
            self.at += 1;
        }
        None
    }

    /// The next byte that is no white space; it stays the next.
    fn next(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let blank = rest.iter().position(|byte| !matches!(byte, b' ' | b'\n' | b'\r' | b'\t'))?;
        self.at += blank;
        Some(rest[blank])
    }

    /// Whether this byte is next; then it is passed.
    fn ends(&mut self, with: u8) -> Option<bool> {
        let ends = self.next()? == with;
        self.at += usize::from(ends);
        Some(ends)
    }

    /// A string with its quotes, and whether there are escapes in it.
    fn string(&mut self) -> Option<(&'e str, bool)> {
        let from = self.at;
        let mut escaped = false;
        self.at += 1;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let found = memchr::memchr2(b'"', b'\\', rest)?;
            if rest[found] == b'"' {
                self.at += found + 1;
                return self.text.get(from..self.at).map(|raw| (raw, escaped));
            }
            escaped = true;
            self.at += found + 2;
        }
    }

    /// A number, or `true`, `false`, `null`.
    fn word(&mut self) -> Option<&'e str> {
        let rest = self.text.get(self.at..)?;
        let in_word = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.');
        let end = rest.bytes().position(|byte| !in_word(byte)).unwrap_or(rest.len());
        self.at += end;
        Some(&rest[..end]).filter(|word| !word.is_empty())
    }

    /// Passes over an object or array of which nothing is wanted.
    fn pass_container(&mut self) -> Option<()> {
        let mut open = 0_usize;
        loop {
            let rest = self.text.as_bytes().get(self.at..)?;
            let telling = rest.iter().position(|byte| matches!(byte, b'"' | b'{' | b'}' | b'[' | b']'))?;
            self.at += telling;
            match rest[telling] {
                b'"' => {
                    self.string()?;
                    continue;
                }
                b'{' | b'[' => open += 1,
                _ => open -= 1,
            }
            self.at += 1;
            if open == 0 {
                return Some(());
            }
        }
    }
}

fn text_fact(raw: &str, escaped: bool) -> Fact<'_> {
    decoded(raw, escaped).map_or(Fact::Other, |text| Fact::Scalar(Scalar::Text(text)))
}

/// The text that a string with its quotes stands for; `None` with an unpaired surrogate, which stands for no text.
fn decoded(raw: &str, escaped: bool) -> Option<Cow<'_, str>> {
    if escaped {
        return serde_json::from_str::<String>(raw).ok().map(Cow::Owned);
    }
    raw.get(1..raw.len() - 1).map(Cow::Borrowed)
}
