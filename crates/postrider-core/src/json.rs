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
use std::fmt;
use std::marker::PhantomData;
use std::ops::RangeInclusive;

use serde::de::{Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;
use zeroize::Zeroize;

use crate::card::without_numbers;
use crate::fault::ParseError;
use crate::secret::Secret;

mod depth;
mod document;
mod object;
mod patch;

pub use depth::{MAX_DEPTH, is_too_deep};
pub use document::{Document, Members, parse_object, to_text};
pub use object::Object;
pub use patch::{merge_members, merge_patch};

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

/// Appends a name to a JSON pointer (RFC 6901, section 3). A very long name is cut, and a card number in one is hidden.
pub(crate) fn escape_into(pointer: &mut String, name: &str) {
    let name = &*without_numbers(name);
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
struct Opened<'a>(Vec<(Text<'a>, &'a RawValue)>);

impl<'de> Deserialize<'de> for Opened<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit<'a>(PhantomData<&'a ()>);
        impl<'de> Visitor<'de> for Visit<'de> {
            type Value = Opened<'de>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Opened(members))
            }
        }
        deserializer.deserialize_map(Visit(PhantomData))
    }
}

/// The members of an object in their order, with duplicates.
pub(crate) fn members(text: &str) -> Result<Vec<(Text<'_>, &RawValue)>, serde_json::Error> {
    serde_json::from_str(text).map(|Opened(members)| members)
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

/// Reads a string that is a secret.
///
/// # Errors
/// As [`string`].
pub(crate) fn secret(value: &RawValue) -> Result<Secret, Detail> {
    let mut text = string(value)?;
    let secret = Secret::of(&[&text]);
    if let Cow::Owned(copy) = &mut text {
        copy.zeroize();
    }
    Ok(secret)
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
    fn an_array_is_split_up_to_a_bound() {
        assert_eq!(split_array("[1, [2], {\"a\":3} ]", 3).unwrap().map(|v| v.len()), Some(3));
        assert!(split_array("[1,2,3", 2).unwrap().is_none());
        for text in ["", "{}", "[1", "[1]]", "1"] {
            assert!(split_array(text, 3).is_err(), "{text}");
        }
    }
}
