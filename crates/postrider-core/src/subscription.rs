//! Which endpoints of a tenant want an event: exact type names, prefixes ending in `.*`, or everything.

use std::collections::BTreeMap;
use std::fmt;

use crate::id::EndpointNo;

/// What an endpoint subscribes to: `*`, `card.*` (every type that begins with `card.`, not `card` itself), or a type's name.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Pattern {
    /// Everything.
    All,
    /// Every type that begins with this text, which ends in a dot.
    Prefix(Box<str>),
    /// One type.
    Exact(Box<str>),
}

impl Pattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence for anything that is neither `*`, nor a type name, nor a type name followed by `.*`.
    ///
    /// ```
    /// use postrider_core::subscription::Pattern;
    /// let cards = Pattern::parse("card.*").unwrap();
    /// assert!(cards.matches("card.frozen") && !cards.matches("card"));
    /// assert!(Pattern::parse("card*").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        if text == "*" {
            return Ok(Self::All);
        }
        let name = text.strip_suffix(".*").unwrap_or(text);
        if !is_type_name(name) {
            return Err("must be *, a type name such as card.frozen, or a prefix such as card.*");
        }
        Ok(if name.len() == text.len() {
            Self::Exact(text.into())
        } else {
            Self::Prefix(text[..text.len() - 1].into())
        })
    }

    /// Whether it covers a type.
    pub fn matches(&self, event_type: &str) -> bool {
        match self {
            Self::All => true,
            Self::Prefix(prefix) => event_type.len() > prefix.len() && event_type.starts_with(&**prefix),
            Self::Exact(name) => **name == *event_type,
        }
    }
}

impl fmt::Display for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::All => f.write_str("*"),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
            Self::Exact(name) => f.write_str(name),
        }
    }
}

/// Whether one of some patterns is the name of a type.
pub(crate) fn names(patterns: &[Pattern], event_type: &str) -> bool {
    patterns.iter().any(|pattern| matches!(pattern, Pattern::Exact(name) if **name == *event_type))
}

/// Whether a text is an event type's name: 1 to 128 of `A-Za-z0-9_-` in segments parted by single dots.
pub fn is_type_name(text: &str) -> bool {
    text.len() <= 128
        && text.split('.').all(|segment| {
            !segment.is_empty()
                && segment.bytes().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'_' | b'-'))
        })
}

/// The subscriptions of one tenant, found by type: the cost of a look-up depends on the matches and on the segments of
/// the type's name, not on how many endpoints there are.
#[derive(Debug, Default)]
pub struct Subscriptions {
    all: Vec<EndpointNo>,
    prefixes: BTreeMap<Box<str>, Vec<EndpointNo>>,
    exact: BTreeMap<Box<str>, Vec<EndpointNo>>,
}

impl Subscriptions {
    /// Adds an endpoint with its patterns.
    pub fn insert(&mut self, endpoint: EndpointNo, patterns: &[Pattern]) {
        for pattern in patterns {
            let list = match pattern {
                Pattern::All => &mut self.all,
                Pattern::Prefix(prefix) => self.prefixes.entry(prefix.clone()).or_default(),
                Pattern::Exact(name) => self.exact.entry(name.clone()).or_default(),
            };
            if let Err(at) = list.binary_search(&endpoint) {
                list.insert(at, endpoint);
            }
        }
    }

    /// Removes an endpoint with the patterns that it was added with.
    pub fn remove(&mut self, endpoint: EndpointNo, patterns: &[Pattern]) {
        let without = |list: &mut Vec<EndpointNo>| {
            if let Ok(at) = list.binary_search(&endpoint) {
                list.remove(at);
            }
            list.is_empty()
        };
        for pattern in patterns {
            match pattern {
                Pattern::All => {
                    without(&mut self.all);
                }
                Pattern::Prefix(prefix) => {
                    if self.prefixes.get_mut(prefix).is_some_and(without) {
                        self.prefixes.remove(prefix);
                    }
                }
                Pattern::Exact(name) => {
                    if self.exact.get_mut(name).is_some_and(without) {
                        self.exact.remove(name);
                    }
                }
            }
        }
    }

    /// The endpoints that want a type, each once, in order of their numbers, into `out` (which is cleared first).
    pub fn matching(&self, event_type: &str, out: &mut Vec<EndpointNo>) {
        out.clear();
        out.extend_from_slice(&self.all);
        let mut lists = usize::from(!self.all.is_empty());
        let mut add = |list: Option<&Vec<EndpointNo>>| {
            if let Some(list) = list {
                out.extend_from_slice(list);
                lists += 1;
            }
        };
        if !self.exact.is_empty() {
            add(self.exact.get(event_type));
        }
        if !self.prefixes.is_empty() {
            for (dot, _) in event_type.match_indices('.') {
                if dot + 1 < event_type.len() {
                    add(self.prefixes.get(&event_type[..=dot]));
                }
            }
        }
        if lists > 1 {
            out.sort_unstable();
            out.dedup();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn patterns_are_told_apart() {
        for (text, good) in [
            ("*", true),
            ("card.*", true),
            ("card", true),
            ("card.a-b.c_d", true),
            ("a.b.*", true),
            ("", false),
            (".*", false),
            ("card.", false),
            ("card*", false),
            ("*.card", false),
            ("a..b", false),
            ("card.**", false),
            ("a b", false),
            ("a\u{e9}", false),
        ] {
            assert_eq!(Pattern::parse(text).is_ok(), good, "{text}");
        }
        assert_eq!(Pattern::parse("card.*").unwrap().to_string(), "card.*");
    }

    /// Segment by segment, as the documentation says it.
    fn naive(pattern: &str, event_type: &str) -> bool {
        let (mut wanted, mut given) = (pattern.split('.'), event_type.split('.'));
        loop {
            match (wanted.next(), given.next()) {
                (Some("*"), Some(_)) => return true,
                (Some(wanted), Some(given)) if wanted == given => {}
                (wanted, given) => return wanted.is_none() && given.is_none(),
            }
        }
    }

    proptest! {
        #[test]
        fn a_pattern_matches_what_it_does_segment_by_segment(
            pattern in "\\*|[ab]{1,2}(\\.[ab]{1,2}){0,2}(\\.\\*)?", event_type in "[ab]{1,2}(\\.[ab]{1,2}){0,3}",
        ) {
            prop_assert_eq!(Pattern::parse(&pattern).unwrap().matches(&event_type), naive(&pattern, &event_type));
        }

        #[test]
        fn any_text_is_a_pattern_that_is_written_the_same_or_none(text in "[a.*-]{0,8}|\\PC{0,12}") {
            if let Ok(pattern) = Pattern::parse(&text) {
                prop_assert_eq!(pattern.to_string(), text);
            }
        }

        #[test]
        fn the_index_agrees_with_asking_every_endpoint(
            subscribed in prop::collection::vec(prop::collection::vec("\\*|[ab](\\.[ab]){0,2}(\\.\\*)?", 0..4), 0..12),
            removed in prop::collection::vec(any::<prop::sample::Index>(), 0..4),
            event_type in "[ab](\\.[ab]){0,3}",
        ) {
            let mut endpoints: Vec<Vec<Pattern>> =
                subscribed.iter().map(|p| p.iter().map(|t| Pattern::parse(t).unwrap()).collect()).collect();
            let mut index = Subscriptions::default();
            for (n, patterns) in endpoints.iter().enumerate() {
                index.insert(EndpointNo(n as u32), patterns);
            }
            for r in removed {
                if !endpoints.is_empty() {
                    let n = r.index(endpoints.len());
                    index.remove(EndpointNo(n as u32), &endpoints[n]);
                    endpoints[n].clear();
                }
            }
            let naive: Vec<EndpointNo> = endpoints.iter().enumerate()
                .filter(|(_, p)| p.iter().any(|p| p.matches(&event_type)))
                .map(|(n, _)| EndpointNo(n as u32)).collect();
            let mut found = Vec::new();
            index.matching(&event_type, &mut found);
            prop_assert_eq!(found, naive);
        }
    }
}
