//! What endpoints want of an event beside its type: conditions on its attributes and its data.
//!
//! Conditions are read once, when an endpoint is set, and hold their numbers as exact decimals. Of an event only the
//! values that some condition asks for are looked at; see [`Facts`]. What all endpoints of a tenant ask is made ready
//! together, as a [`Screen`].

use std::borrow::Cow;
use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::decimal::Decimal;
use crate::subscription::Pattern;

mod facts;
mod places;
mod pointer;
mod read;
mod screen;

pub use facts::Facts;
pub use pointer::{MAX_POINTER_BYTES, MAX_POINTER_LEVELS, Pointer};
pub use read::{
    MAX_CONDITIONS, MAX_FILTER_ATTRIBUTES, MAX_FILTER_TYPES, MAX_FILTER_VALUES, MAX_LISTED, MAX_VALUE_BYTES,
};
pub use screen::{Entrant, Judged, Screen};

/// The conditions of an endpoint; an event passes where all of them hold. Never empty.
///
/// ```
/// use postrider_core::filter::{Facts, Filters};
/// let filters = Filters::parse(
///     r#"{"attributes": {"buyer_party": ["5561234567"]}, "data": [{"pointer": "/amount", "op": "gte", "value": 100}]}"#,
/// );
/// let filters = filters.unwrap().unwrap();
/// let passes = |attributes: &str, data: &str| {
///     filters.check(&Facts::of([&filters], attributes.as_bytes(), data.as_bytes())).map_err(|unmet| unmet.to_string())
/// };
/// assert_eq!(passes(r#"{"buyer_party": "5561234567"}"#, r#"{"amount": 100.00}"#), Ok(()));
/// assert_eq!(passes(r#"{"buyer_party": "5561234567"}"#, r#"{"amount": 99.99}"#), Err("/amount is not gte".into()));
/// assert_eq!(passes("", r#"{"amount": 1e3}"#), Err("the attribute buyer_party is missing".into()));
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Filters {
    /// The types that they ask something of, those of all others pass; all types where there is none.
    event_types: Vec<Pattern>,
    /// Each of an attribute, by a pointer of one level.
    attributes: Vec<Condition>,
    data: Vec<Condition>,
}

/// One condition: where, and what must hold there.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Condition {
    /// Shared with the screens that it is part of.
    pointer: Arc<Pointer>,
    test: Test,
}

/// What must hold of a value.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Test {
    Equal(Scalar<'static>),
    Different(Scalar<'static>),
    OneOf(Listed),
    Ordered(Order, Decimal<'static>),
    Prefix(Box<str>),
    Exists(bool),
}

/// Values of which one is to be met: shown as they were written, and found by their order.
#[derive(Clone, PartialEq, Eq, Debug)]
struct Listed {
    values: Box<[Scalar<'static>]>,
    /// Their indices, by value.
    order: Box<[u8]>,
}

/// On which side of a number another one must lie.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Order {
    Greater,
    GreaterOrEqual,
    Less,
    LessOrEqual,
}

/// A value that can be compared. Values of different kinds are different.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Debug)]
enum Scalar<'a> {
    Text(Cow<'a, str>),
    Number(Decimal<'a>),
    Boolean(bool),
}

/// What an event has at a place.
#[derive(Clone, PartialEq, Eq, Debug)]
enum Fact<'a> {
    Missing,
    Scalar(Scalar<'a>),
    /// Something that equals no value of a condition: `null`, an object, an array, a string with an unpaired surrogate.
    Other,
}

impl Test {
    /// The name used in the API.
    const fn op(&self) -> &'static str {
        match self {
            Self::Equal(_) => "eq",
            Self::Different(_) => "ne",
            Self::OneOf(_) => "in",
            Self::Ordered(Order::Greater, _) => "gt",
            Self::Ordered(Order::GreaterOrEqual, _) => "gte",
            Self::Ordered(Order::Less, _) => "lt",
            Self::Ordered(Order::LessOrEqual, _) => "lte",
            Self::Prefix(_) => "prefix",
            Self::Exists(_) => "exists",
        }
    }

    /// How many values it compares with.
    fn values(&self) -> usize {
        match self {
            Self::OneOf(listed) => listed.values.len(),
            _ => 1,
        }
    }

    fn holds(&self, fact: &Fact<'_>) -> bool {
        let equals = |value: &Scalar<'_>| matches!(fact, Fact::Scalar(found) if found == value);
        match self {
            Self::Equal(value) => equals(value),
            Self::Different(value) => !equals(value),
            Self::OneOf(listed) => matches!(fact, Fact::Scalar(found) if listed.contains(found)),
            Self::Ordered(order, bound) => {
                matches!(fact, Fact::Scalar(Scalar::Number(found)) if order.allows(found.cmp(bound)))
            }
            Self::Prefix(prefix) => {
                matches!(fact, Fact::Scalar(Scalar::Text(found)) if found.starts_with(&**prefix))
            }
            Self::Exists(wanted) => (*fact != Fact::Missing) == *wanted,
        }
    }
}

impl Listed {
    /// At most [`MAX_LISTED`] of them.
    fn new(values: Vec<Scalar<'static>>) -> Self {
        let mut order: Vec<u8> = (0..=u8::MAX).take(values.len()).collect();
        order.sort_unstable_by(|a, b| values[usize::from(*a)].cmp(&values[usize::from(*b)]));
        Self { values: values.into(), order: order.into() }
    }

    fn contains(&self, found: &Scalar<'_>) -> bool {
        self.order.binary_search_by(|at| self.values[usize::from(*at)].cmp(found)).is_ok()
    }
}

impl Order {
    fn allows(self, found: Ordering) -> bool {
        match self {
            Self::Greater => found.is_gt(),
            Self::GreaterOrEqual => found.is_ge(),
            Self::Less => found.is_lt(),
            Self::LessOrEqual => found.is_le(),
        }
    }
}

impl Filters {
    /// How many values they compare with: what a tenant may have of them is limited.
    pub fn values(&self) -> usize {
        self.attributes.iter().chain(&self.data).map(|condition| condition.test.values()).sum()
    }

    /// How many conditions they have.
    pub fn conditions(&self) -> usize {
        self.attributes.len() + self.data.len()
    }

    /// Whether they ask anything of events of this type; those of which they do not pass.
    ///
    /// ```
    /// use postrider_core::filter::Filters;
    /// let text = r#"{"event_types": ["card.*"], "attributes": {"buyer_party": ["5561234567"]}}"#;
    /// let filters = Filters::parse(text).unwrap().unwrap();
    /// assert!(filters.ask_of("card.used") && !filters.ask_of("receipt.fetched"));
    /// ```
    pub fn ask_of(&self, event_type: &str) -> bool {
        self.event_types.is_empty() || self.event_types.iter().any(|pattern| pattern.matches(event_type))
    }

    /// Whether an event of a type that they [ask something of](Self::ask_of) passes, by its facts, which were gathered for these filters among others.
    ///
    /// # Errors
    /// The first condition that does not hold; those on attributes come first.
    pub fn check<'a>(&'a self, facts: &'a Facts<'_>) -> Result<(), Unmet<'a>> {
        let of = |condition: &'a Condition, fact: &'a Fact<'_>, attribute: bool| {
            if condition.test.holds(fact) { Ok(()) } else { Err(Unmet { condition, fact, attribute }) }
        };
        for condition in &self.attributes {
            of(condition, facts.attribute(&condition.pointer), true)?;
        }
        for condition in &self.data {
            of(condition, facts.data(&condition.pointer), false)?;
        }
        Ok(())
    }
}

/// A condition that does not hold. Its text names the place, never a value.
#[derive(Clone, Copy, Debug)]
pub struct Unmet<'a> {
    condition: &'a Condition,
    fact: &'a Fact<'a>,
    attribute: bool,
}

impl fmt::Display for Unmet<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.attribute, self.condition.pointer.as_str()) {
            (true, name) => write!(f, "the attribute {name} ")?,
            (false, "") => f.write_str("the data ")?,
            (false, pointer) => write!(f, "{pointer} ")?,
        }
        match (&self.condition.test, self.fact) {
            (Test::Exists(false), _) => f.write_str("is there"),
            (_, Fact::Missing) => f.write_str("is missing"),
            (Test::OneOf(_), _) => f.write_str("has none of the values"),
            (test, _) => write!(f, "is not {}", test.op()),
        }
    }
}

#[cfg(test)]
mod tests;
