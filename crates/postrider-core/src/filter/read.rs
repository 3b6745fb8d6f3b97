//! Filters as their owners write them, and as they are shown again.

use std::borrow::Cow;
use std::sync::Arc;

use serde::ser::{Serialize, SerializeMap, Serializer};
use serde_json::value::RawValue;

use super::{Condition, Filters, Listed, Order, Pointer, Scalar, Test};
use crate::decimal::Decimal;
use crate::event::MAX_ATTRIBUTE_NAME;
use crate::fault::ParseError;
use crate::fields::{is_plain, one_of};
use crate::json::{self, Detail, Document, Members, Object};
use crate::subscription::Pattern;

/// The most types that filters are limited to.
pub const MAX_FILTER_TYPES: usize = 20;
/// The most attributes that filters name.
pub const MAX_FILTER_ATTRIBUTES: usize = 20;
/// The most values that filters give one attribute.
pub const MAX_FILTER_VALUES: usize = 50;
/// The most conditions on data.
pub const MAX_CONDITIONS: usize = 20;
/// The most values of one `in`.
pub const MAX_LISTED: usize = 100;
/// The longest value of a condition, in bytes.
pub const MAX_VALUE_BYTES: usize = 1_024;

#[derive(Clone, Copy)]
enum Op {
    Equal,
    Different,
    OneOf,
    Ordered(Order),
    Prefix,
    Exists,
}

const OPS: [(&str, Op); 9] = [
    ("eq", Op::Equal),
    ("ne", Op::Different),
    ("in", Op::OneOf),
    ("gt", Op::Ordered(Order::Greater)),
    ("gte", Op::Ordered(Order::GreaterOrEqual)),
    ("lt", Op::Ordered(Order::Less)),
    ("lte", Op::Ordered(Order::LessOrEqual)),
    ("prefix", Op::Prefix),
    ("exists", Op::Exists),
];

impl Filters {
    /// Reads `{"event_types": [...], "attributes": {...}, "data": [...]}`; `None` where that asks for nothing.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse(text: &str) -> Result<Option<Self>, ParseError> {
        let mut object = Object::parse(text)?;
        let filters = Self::read(&mut object);
        object.end(Some(filters))
    }

    /// Reads the filters of an endpoint; `None` where they ask for nothing.
    pub(crate) fn read(object: &mut Object<'_>) -> Option<Self> {
        let pattern = |v: &RawValue| Ok(Pattern::parse(&json::string(v)?)?);
        let event_types = object.list("event_types", MAX_FILTER_TYPES, pattern).unwrap_or_default();
        let attributes = object.map("attributes", MAX_FILTER_ATTRIBUTES, attribute).unwrap_or_default();
        let data = object.objects("data", MAX_CONDITIONS, condition).unwrap_or_default();
        (!attributes.is_empty() || !data.is_empty()).then_some(Self { event_types, attributes, data })
    }

    /// As [`Self::read`] reads them, attributes by name, so that a patch can change one of them.
    pub(crate) fn to_document(&self) -> Document {
        let values =
            |condition: &Condition| (condition.pointer.as_str().to_owned(), Document::of(&condition.test));
        let attributes = Document::Object(self.attributes.iter().map(values).collect());
        let mut members = Members::from([
            ("attributes".to_owned(), attributes),
            ("data".to_owned(), Document::of(&self.data)),
        ]);
        if !self.event_types.is_empty() {
            let types: Vec<String> = self.event_types.iter().map(ToString::to_string).collect();
            members.insert("event_types".to_owned(), Document::of(&types));
        }
        Document::Object(members)
    }
}

fn attribute(name: &str, value: &RawValue) -> Result<Condition, Detail> {
    if name.is_empty() || name.len() > MAX_ATTRIBUTE_NAME || !is_plain(name) {
        return Err(format!("must have a name of 1 to {MAX_ATTRIBUTE_NAME} bytes, as attributes have").into());
    }
    let test = Test::OneOf(scalars(value, MAX_FILTER_VALUES)?);
    Ok(Condition { pointer: Arc::new(Pointer::member(name)), test })
}

fn condition(object: &mut Object<'_>) -> Option<Condition> {
    let pointer = object.required("pointer", |v| Pointer::parse(&json::string(v)?));
    let Some(op) = object.required("op", |v| one_of(v, &OPS)) else {
        // What it must be cannot be known.
        object.optional("value", |_| Ok(()));
        return None;
    };
    let test = object.required("value", |value| {
        Ok(match op {
            Op::Equal => Test::Equal(scalar(value)?),
            Op::Different => Test::Different(scalar(value)?),
            Op::OneOf => Test::OneOf(scalars(value, MAX_LISTED)?),
            Op::Ordered(order) => match scalar(value)? {
                Scalar::Number(bound) => Test::Ordered(order, bound),
                _ => return Err("must be a number, as all that is greater or less".into()),
            },
            Op::Prefix => match scalar(value)? {
                Scalar::Text(prefix) => Test::Prefix(prefix.into()),
                _ => return Err("must be a string, as all that begins with something".into()),
            },
            Op::Exists => Test::Exists(json::boolean(value)?),
        })
    });
    pointer.zip(test).map(|(pointer, test)| Condition { pointer: Arc::new(pointer), test })
}

fn scalars(value: &RawValue, max: usize) -> Result<Listed, Detail> {
    let range = || Detail::from(format!("must be an array of 1 to {max} strings, numbers or booleans"));
    let items = json::split_array(value.get(), max).ok().flatten().filter(|items| !items.is_empty());
    items.ok_or_else(range)?.into_iter().map(scalar).collect::<Result<_, _>>().map(Listed::new)
}

fn scalar(value: &RawValue) -> Result<Scalar<'static>, Detail> {
    let too_long = || Detail::from(format!("must not be longer than {MAX_VALUE_BYTES} bytes"));
    let text = value.get();
    match text.as_bytes().first() {
        Some(b'"') => {
            let text = json::string(value)?;
            if text.len() > MAX_VALUE_BYTES {
                Err(too_long())
            } else {
                Ok(Scalar::Text(Cow::Owned(text.into_owned())))
            }
        }
        Some(b't' | b'f') => json::boolean(value).map(Scalar::Boolean),
        Some(b'-' | b'0'..=b'9') if text.len() > MAX_VALUE_BYTES => Err(too_long()),
        _ => Decimal::parse(text)
            .map(|number| Scalar::Number(number.into_owned()))
            .ok_or_else(|| "must be a string, a number, true or false".into()),
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut map = serializer.serialize_map(Some(3))?;
        map.serialize_entry("pointer", self.pointer.as_str())?;
        map.serialize_entry("op", self.test.op())?;
        map.serialize_entry("value", &self.test)?;
        map.end()
    }
}

/// The value that it compares with.
impl Serialize for Test {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Equal(value) | Self::Different(value) => value.serialize(serializer),
            Self::OneOf(listed) => listed.values.serialize(serializer),
            Self::Ordered(_, bound) => number(bound, serializer),
            Self::Prefix(prefix) => serializer.serialize_str(prefix),
            Self::Exists(wanted) => serializer.serialize_bool(*wanted),
        }
    }
}

impl Serialize for Scalar<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Text(text) => serializer.serialize_str(text),
            Self::Number(value) => number(value, serializer),
            Self::Boolean(value) => serializer.serialize_bool(*value),
        }
    }
}

/// As it was written.
fn number<S: Serializer>(value: &Decimal<'_>, serializer: S) -> Result<S::Ok, S::Error> {
    let raw: &RawValue = serde_json::from_str(value.as_str()).map_err(serde::ser::Error::custom)?;
    raw.serialize(serializer)
}
