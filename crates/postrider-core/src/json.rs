//! Reading API objects: every fault of a document at once, each with its pointer.
//!
//! ```
//! use postrider_core::json::{self, Object};
//! let mut object = Object::parse(r#"{"limit": "many", "colour": 1}"#).unwrap();
//! let limit = object.required("limit", |v| json::integer(v, 1..=250));
//! let name = object.required("name", json::string);
//! assert!(limit.is_none() && name.is_none());
//! let pointers: Vec<String> = object.finish().into_iter().map(|f| f.pointer).collect();
//! assert_eq!(pointers, ["/limit", "/name", "/colour"]);
//! ```

use std::borrow::Cow;
use std::collections::BTreeSet;
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

use crate::fault::{Fault, MAX_FAULTS, ParseError};

mod depth;
mod patch;

pub use depth::{MAX_DEPTH, is_too_deep};
pub(crate) use patch::parse_own;
pub use patch::{merge_patch, parse_object};

/// What a field's reader says of a value that it does not take.
pub type Detail = Cow<'static, str>;

/// The longest name of a field that a fault repeats, in bytes.
const MAX_ECHO: usize = 128;

const DUPLICATE: &str = "is given twice; keep one";

/// A string that is borrowed where it has no escapes.
#[derive(PartialEq, Eq, PartialOrd, Ord, Debug)]
pub(crate) struct Text<'a>(pub(crate) Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Text<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl<'de> Visitor<'de> for Visit {
            type Value = Text<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Borrowed(text)))
            }
            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(Text(Cow::Owned(text.to_owned())))
            }
        }
        deserializer.deserialize_str(Visit)
    }
}

/// Says that a text is not JSON. What the parser says names a place, never a value.
pub(crate) fn syntax(text: &str, error: &serde_json::Error) -> ParseError {
    let detail = if text.bytes().all(|b| b.is_ascii_whitespace()) {
        "the body is empty; it must be JSON".to_owned()
    } else if error.is_data() {
        // Only reached for values of the wrong kind, whose description might repeat them.
        format!("the body is not what was expected at line {} column {}", error.line(), error.column())
    } else {
        format!("the body is not JSON: {error}")
    };
    ParseError::Syntax(detail)
}

/// Reads a body as UTF-8 (RFC 8259, section 8.1).
///
/// # Errors
/// [`ParseError::Syntax`] with the place of the first byte that is wrong.
pub fn utf8(body: &[u8]) -> Result<&str, ParseError> {
    std::str::from_utf8(body)
        .map_err(|e| ParseError::Syntax(format!("the body is not UTF-8 at byte {}", e.valid_up_to())))
}

/// Refuses what nests deeper than [`MAX_DEPTH`].
pub(crate) fn check_depth(text: &str) -> Result<(), ParseError> {
    if is_too_deep(text) {
        return Err(ParseError::Syntax(format!(
            "the body is nested too deep; {MAX_DEPTH} levels are allowed"
        )));
    }
    Ok(())
}

/// Appends a name to a JSON pointer (RFC 6901, section 3). A very long name is cut.
pub(crate) fn escape_into(pointer: &mut String, name: &str) {
    pointer.push('/');
    let end = (0..=name.len().min(MAX_ECHO)).rev().find(|&i| name.is_char_boundary(i)).unwrap_or(0);
    for c in name[..end].chars() {
        match c {
            '~' => pointer.push_str("~0"),
            '/' => pointer.push_str("~1"),
            c => pointer.push(c),
        }
    }
    if end < name.len() {
        pointer.push('…');
    }
}

/// The members of an object; what they hold is not looked into.
struct Members<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Members<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<'a>(PhantomData<&'a ()>);
        impl<'de> Visitor<'de> for Visit<'de> {
            type Value = Members<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Visit(PhantomData))
    }
}

/// The members of an object in their order, with duplicates.
pub(crate) fn members(raw: &RawValue) -> Result<Vec<(Text<'_>, &RawValue)>, serde_json::Error> {
    serde_json::from_str(raw.get()).map(|Members(members)| members)
}

/// At most so many items of an array; reading stops at the first one too many.
struct Items<'a> {
    items: Vec<&'a RawValue>,
    too_many: bool,
}

/// Splits an array into its items, unread. `Ok(None)`: there are more than `max`.
///
/// # Errors
/// As `serde_json` finds them.
pub(crate) fn split_array(text: &str, max: usize) -> Result<Option<Vec<&RawValue>>, serde_json::Error> {
    struct Visit<'s, 'a>(usize, &'s mut Items<'a>);
    impl<'de> Visitor<'de> for Visit<'_, 'de> {
        type Value = ();
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an array")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
            while let Some(item) = seq.next_element()? {
                if self.1.items.len() == self.0 {
                    self.1.too_many = true;
                    return Err(serde::de::Error::custom("too many items"));
                }
                self.1.items.push(item);
            }
            Ok(())
        }
    }
    let mut found = Items { items: Vec::new(), too_many: false };
    let mut reader = serde_json::Deserializer::from_str(text);
    let result = reader.deserialize_seq(Visit(max, &mut found)).and_then(|()| reader.end());
    match result {
        Ok(()) => Ok(Some(found.items)),
        Err(_) if found.too_many => Ok(None),
        Err(e) => Err(e),
    }
}

/// An object that is being read. What is wrong with it collects until [`Object::finish`].
///
/// `null` counts as absent, as it would be after a merge patch.
#[derive(Debug)]
pub struct Object<'a> {
    pointer: String,
    members: Vec<(Cow<'a, str>, &'a RawValue)>,
    known: Vec<&'static str>,
    faults: Vec<Fault>,
}

impl<'a> Object<'a> {
    /// Begins to read a document.
    ///
    /// # Errors
    /// [`ParseError::Syntax`] for what is not JSON or nests too deep, one fault for what is not an object.
    pub fn parse(text: &'a str) -> Result<Self, ParseError> {
        check_depth(text)?;
        let raw: &RawValue = serde_json::from_str(text).map_err(|e| syntax(text, &e))?;
        if !raw.get().starts_with('{') {
            return Err(ParseError::fault("", "must be a JSON object"));
        }
        Self::open(raw, String::new()).map_err(|detail| ParseError::Syntax(detail.into_owned()))
    }

    fn open(raw: &'a RawValue, pointer: String) -> Result<Self, Detail> {
        if !raw.get().starts_with('{') {
            return Err("must be an object".into());
        }
        let members = members(raw)
            .map_err(|_| "has a field whose name is not a valid string (an unpaired surrogate)")?;
        let mut object = Self { pointer, members: Vec::new(), known: Vec::new(), faults: Vec::new() };
        let (mut seen, mut doubled) = (BTreeSet::new(), Vec::new());
        for (n, (name, _)) in members.iter().enumerate() {
            if !seen.insert(&*name.0) {
                doubled.push(n);
            }
        }
        for n in doubled {
            object.fault(&members[n].0.0, DUPLICATE);
        }
        object.members = members.into_iter().map(|(name, value)| (name.0, value)).collect();
        Ok(object)
    }

    /// Notes a fault of one field.
    pub fn fault(&mut self, name: &str, detail: impl Into<Detail>) {
        let mut pointer = self.pointer.clone();
        escape_into(&mut pointer, name);
        self.push(Fault::new(pointer, detail));
    }

    fn push(&mut self, fault: Fault) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(fault);
        }
    }

    /// The value of a field, which is known from now on; `null` is none.
    fn take(&mut self, name: &'static str) -> Option<&'a RawValue> {
        self.find(name).filter(|v| v.get() != "null")
    }

    fn find(&mut self, name: &'static str) -> Option<&'a RawValue> {
        if !self.known.contains(&name) {
            self.known.push(name);
        }
        self.members.iter().find(|(n, _)| n == name).map(|(_, value)| *value)
    }

    /// Reads a field that must be there. `None` leads to a fault, so that other fields are still read.
    pub fn required<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a RawValue) -> Result<T, Detail>,
    ) -> Option<T> {
        let Some(value) = self.take(name) else {
            self.fault(name, "is missing");
            return None;
        };
        self.noting(name, read(value))
    }

    /// Reads a field of which every value counts, `null` too.
    pub fn required_raw(&mut self, name: &'static str) -> Option<&'a RawValue> {
        let found = self.find(name);
        if found.is_none() {
            self.fault(name, "is missing");
        }
        found
    }

    /// Reads a field if it is there.
    pub fn optional<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&'a RawValue) -> Result<T, Detail>,
    ) -> Option<T> {
        let value = self.take(name)?;
        self.noting(name, read(value))
    }

    fn noting<T>(&mut self, name: &str, result: Result<T, Detail>) -> Option<T> {
        result.map_err(|detail| self.fault(name, detail)).ok()
    }

    /// Reads an object inside, if it is there.
    pub fn object<T>(
        &mut self,
        name: &'static str,
        read: impl FnOnce(&mut Object<'a>) -> Option<T>,
    ) -> Option<T> {
        let value = self.take(name)?;
        let mut inner = self.open_inner(name, value)?;
        let result = read(&mut inner);
        for fault in inner.finish() {
            self.push(fault);
        }
        result
    }

    fn open_inner(&mut self, name: &str, value: &'a RawValue) -> Option<Object<'a>> {
        let mut pointer = self.pointer.clone();
        escape_into(&mut pointer, name);
        let opened = Object::open(value, pointer);
        self.noting(name, opened)
    }

    /// Whether a field is there, and not `null`.
    pub fn has(&self, name: &str) -> bool {
        self.members.iter().any(|(n, value)| n == name && value.get() != "null")
    }

    /// Reads an array of at most `max` items, if it is there; a bad item is a fault at its index.
    pub fn list<T>(
        &mut self,
        name: &'static str,
        max: usize,
        read: impl FnMut(&'a RawValue) -> Result<T, Detail>,
    ) -> Option<Vec<T>> {
        let value = self.take(name)?;
        self.items(name, value, 0..=max, read)
    }

    /// Reads an array that must be there, with as many items as `count` allows.
    pub fn required_list<T>(
        &mut self,
        name: &'static str,
        count: RangeInclusive<usize>,
        read: impl FnMut(&'a RawValue) -> Result<T, Detail>,
    ) -> Option<Vec<T>> {
        let value = self.required(name, Ok)?;
        self.items(name, value, count, read)
    }

    fn items<T>(
        &mut self,
        name: &str,
        value: &'a RawValue,
        count: RangeInclusive<usize>,
        mut read: impl FnMut(&'a RawValue) -> Result<T, Detail>,
    ) -> Option<Vec<T>> {
        let (min, max) = count.into_inner();
        let split = match split_array(value.get(), max) {
            Ok(Some(items)) if items.len() < min => Err(format!("must have {min} to {max} items").into()),
            Ok(Some(items)) => Ok(items),
            Ok(None) => Err(format!("has more than {max} items; {max} are allowed").into()),
            Err(_) => Err(Detail::from("must be an array")),
        };
        let items = self.noting(name, split)?;
        let mut pointer = self.pointer.clone();
        escape_into(&mut pointer, name);
        let mut out = Vec::with_capacity(items.len());
        for (i, item) in items.into_iter().enumerate() {
            match read(item) {
                Ok(item) => out.push(item),
                Err(detail) => self.push(Fault::new(format!("{pointer}/{i}"), detail)),
            }
        }
        Some(out)
    }

    /// Reads an object whose names are free, of at most `max` members, if it is there.
    pub fn map<T>(
        &mut self,
        name: &'static str,
        max: usize,
        mut read: impl FnMut(&str, &'a RawValue) -> Result<T, Detail>,
    ) -> Option<Vec<T>> {
        let value = self.take(name)?;
        let mut inner = self.open_inner(name, value)?;
        if inner.members.len() > max {
            self.fault(name, format!("has more than {max} members; {max} are allowed"));
            return None;
        }
        let mut out = Vec::with_capacity(inner.members.len());
        for (name, value) in std::mem::take(&mut inner.members) {
            match read(&name, value) {
                Ok(member) => out.push(member),
                Err(detail) => inner.fault(&name, detail),
            }
        }
        for fault in inner.faults {
            self.push(fault);
        }
        Some(out)
    }

    /// All faults, those of unknown fields last; empty for a good object.
    pub fn finish(mut self) -> Vec<Fault> {
        let unknown: Vec<Cow<'a, str>> = std::mem::take(&mut self.members)
            .into_iter()
            .map(|(name, _)| name)
            .filter(|name| !self.known.contains(&&**name))
            .take(MAX_FAULTS)
            .collect();
        for name in unknown {
            let detail = format!("is not a known field; known are {}", self.known.join(", "));
            self.fault(&name, detail);
        }
        self.faults
    }

    /// The value that was read, or the faults that prevented it.
    ///
    /// # Errors
    /// The faults, if there are any.
    pub fn end<T>(self, value: Option<T>) -> Result<T, ParseError> {
        let faults = self.finish();
        match value {
            Some(value) if faults.is_empty() => Ok(value),
            _ if faults.is_empty() => Err(ParseError::fault("", "is not complete")),
            _ => Err(ParseError::Faults(faults)),
        }
    }
}

/// Reads a string.
///
/// # Errors
/// For anything else, and for a string with an unpaired surrogate.
pub fn string(value: &RawValue) -> Result<Cow<'_, str>, Detail> {
    if !value.get().starts_with('"') {
        return Err("must be a string".into());
    }
    serde_json::from_str(value.get())
        .map(|Text(text)| text)
        .map_err(|_| "is not a valid string (an unpaired surrogate)".into())
}

/// Reads `true` or `false`.
///
/// # Errors
/// For anything else.
pub fn boolean(value: &RawValue) -> Result<bool, Detail> {
    match value.get() {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("must be true or false".into()),
    }
}

/// Reads a whole number within a range; `50.0` is one, `50.5` is not.
///
/// # Errors
/// For anything else, naming the range.
pub fn integer(value: &RawValue, range: RangeInclusive<u32>) -> Result<u32, Detail> {
    let text = value.get();
    let number = text.parse::<u32>().ok().or_else(|| {
        let number: f64 = serde_json::from_str(text).ok()?;
        let whole = number.fract() == 0.0 && (0.0..=f64::from(u32::MAX)).contains(&number);
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "whole and in range")]
        whole.then_some(number as u32)
    });
    number
        .filter(|n| range.contains(n))
        .ok_or_else(|| format!("must be a whole number from {} to {}", range.start(), range.end()).into())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(faults: &[Fault]) -> Vec<&str> {
        faults.iter().map(|f| f.pointer.as_str()).collect()
    }

    #[test]
    fn abuse_a01_what_is_not_json_is_a_syntax_error() {
        for text in [
            "",
            "  \n",
            "{",
            "{\"a\":1",
            "{\"a\":1}x",
            "{}{}",
            "{'a':1}",
            "{\"a\":01}",
            "nul",
            "{\"a\":\u{1}}",
        ] {
            assert!(matches!(Object::parse(text), Err(ParseError::Syntax(_))), "{text:?}");
        }
        assert!(matches!(utf8(b"{\"a\":\"\xff\"}"), Err(ParseError::Syntax(_))));
        for text in ["[]", "null", "1", "\"a\""] {
            assert!(matches!(Object::parse(text), Err(ParseError::Faults(_))), "{text:?}");
        }
    }

    #[test]
    fn abuse_a02_all_faults_come_at_once_with_escaped_pointers() {
        let text =
            r#"{"n":true,"list":[1,"x",3],"map":{"a/b":1,"c":"d","c":"d"},"in":{"what":1},"a~b":0,"n":2}"#;
        let mut object = Object::parse(text).unwrap();
        object.optional("n", |v| integer(v, 1..=9));
        object.list("list", 9, |v| integer(v, 1..=2));
        object.map("map", 9, |_, v| string(v));
        object.object("in", |inner| inner.required("url", string));
        object.required("missing", string);
        let faults = object.finish();
        assert_eq!(
            pointers(&faults),
            [
                "/n",
                "/n",
                "/list/1",
                "/list/2",
                "/map/c",
                "/map/a~1b",
                "/in/url",
                "/in/what",
                "/missing",
                "/a~0b"
            ]
        );
        assert!(faults[9].detail.contains("n, list, map, in, missing"), "{}", faults[9].detail);
    }

    #[test]
    fn whole_numbers_have_a_range_and_may_be_written_with_a_point() {
        for (text, expected) in [
            ("50", Some(50)),
            ("50.0", Some(50)),
            ("5e1", Some(50)),
            ("50.5", None),
            ("0", None),
            ("101", None),
            ("-1", None),
            ("1e999999", None),
            ("\"50\"", None),
            ("[]", None),
            ("99999999999999999999", None),
        ] {
            let raw: &RawValue = serde_json::from_str(text).unwrap();
            assert_eq!(integer(raw, 1..=100).ok(), expected, "{text}");
        }
    }

    #[test]
    fn abuse_a12_a_long_name_is_not_echoed_whole_and_faults_are_bounded() {
        let text = format!("{{{:?}:1}}", "é".repeat(1_000_000));
        let faults = Object::parse(&text).unwrap().finish();
        assert!(faults[0].pointer.len() < 2 * MAX_ECHO);
        let many: Vec<String> = (0..1_000).map(|n| format!("\"f{n}\":1")).collect();
        let text = format!("{{{}}}", many.join(","));
        assert_eq!(Object::parse(&text).unwrap().finish().len(), MAX_FAULTS);
    }

    #[test]
    fn an_array_is_split_up_to_a_bound() {
        assert_eq!(split_array("[1, [2], {\"a\":3} ]", 3).unwrap().map(|v| v.len()), Some(3));
        assert!(split_array("[1,2,3", 2).unwrap().is_none());
        for text in ["", "{}", "[1", "[1]]", "1"] {
            assert!(split_array(text, 3).is_err(), "{text}");
        }
    }
}
