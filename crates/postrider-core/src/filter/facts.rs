//! What an event has where conditions look, found in one pass over its JSON, of which nothing else is read.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::ops::Range;
use std::sync::Arc;

use super::places::Places;
use super::{Fact, Filters, Pointer, Scalar};
use crate::decimal::Decimal;

/// The facts about an event that some filters ask for.
///
/// Where a name stands twice in an object, the last one counts. Attributes and data are the bytes that were accepted; what
/// lies behind a place at which they are no JSON is missing.
#[derive(Debug)]
pub struct Facts<'e> {
    attributes: (Places, Found<'e>),
    data: (Places, Found<'e>),
}

impl<'e> Facts<'e> {
    /// Gathers them.
    pub fn of<'f>(
        filters: impl IntoIterator<Item = &'f Filters>,
        attributes: &'e [u8],
        data: &'e [u8],
    ) -> Self {
        let (of_attributes, of_data) = places(filters);
        let (in_attributes, in_data) = (Found::of(&of_attributes, attributes), Found::of(&of_data, data));
        Self { attributes: (of_attributes, in_attributes), data: (of_data, in_data) }
    }

    pub(super) fn attribute(&self, pointer: &Pointer) -> &Fact<'e> {
        let (places, found) = &self.attributes;
        places.find(pointer).map_or(&Fact::Missing, |place| found.at(place))
    }

    pub(super) fn data(&self, pointer: &Pointer) -> &Fact<'e> {
        let (places, found) = &self.data;
        places.find(pointer).map_or(&Fact::Missing, |place| found.at(place))
    }
}

/// The places that some filters look at: in attributes, in data.
pub(super) fn places<'f>(filters: impl IntoIterator<Item = &'f Filters>) -> (Places, Places) {
    let (mut of_attributes, mut of_data) = (Vec::new(), Vec::new());
    for filters in filters {
        of_attributes.extend(filters.attributes.iter().map(|condition| Arc::clone(&condition.pointer)));
        of_data.extend(filters.data.iter().map(|condition| Arc::clone(&condition.pointer)));
    }
    (Places::of(of_attributes), Places::of(of_data))
}

/// What a document has at some places: only those where there is something, so that what is found costs no more than the
/// document is long, however many places are asked about.
#[derive(Debug, Default)]
pub(super) struct Found<'e>(BTreeMap<usize, Fact<'e>>);

impl<'e> Found<'e> {
    pub(super) fn of(places: &Places, document: &'e [u8]) -> Self {
        let mut found = Self::default();
        if !places.is_empty() {
            let text = std::str::from_utf8(document).unwrap_or_default();
            // It ends early only where the text is no JSON.
            let _ = Walk { text, at: 0, places, found: &mut found }.value(places.all(), 0);
        }
        found
    }

    pub(super) fn at(&self, place: usize) -> &Fact<'e> {
        self.0.get(&place).unwrap_or(&Fact::Missing)
    }

    /// Forgets what was found at some places.
    fn forget(&mut self, places: Range<usize>) {
        while let Some((&place, _)) = self.0.range(places.clone()).next() {
            self.0.remove(&place);
        }
    }
}

/// One pass over a document. Every step gives `None` where the text is not what JSON has there.
struct Walk<'e, 's> {
    text: &'e str,
    at: usize,
    places: &'s Places,
    found: &'s mut Found<'e>,
}

impl<'e> Walk<'e, '_> {
    /// Passes over a value to which the places of `range` lead on `level` levels. With each level that goes on it calls
    /// itself, so that it nests no deeper than the longest pointer.
    fn value(&mut self, mut range: Range<usize>, level: usize) -> Option<()> {
        // What an earlier member of the same name had does not count.
        self.found.forget(range.clone());
        let ends_here = range.clone().next().filter(|first| self.places.end_at(*first, level));
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
            self.found.0.insert(at, fact);
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
            let through = decoded(raw, escaped).map(|name| self.places.through(&range, level, &name));
            self.value(through.unwrap_or_default(), level + 1)?;
            if self.ends(b'}')? {
                return Some(());
            }
            self.next().filter(|byte| *byte == b',')?;
            self.at += 1;
        }
    }

    fn array(&mut self, range: Range<usize>, level: usize) -> Option<()> {
        self.at += 1;
        if self.ends(b']')? {
            return Some(());
        }
        for index in 0_usize.. {
            // Written without sign and leading zeros (RFC 6901, section 4).
            let through = if range.is_empty() {
                Range::default()
            } else {
                self.places.through(&range, level, &index.to_string())
            };
            self.value(through, level + 1)?;
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
