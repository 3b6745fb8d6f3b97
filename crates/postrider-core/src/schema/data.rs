//! Data as it came, read into a tree that borrows from it: nothing is rounded, and nothing that JSON allows is refused.

use std::borrow::Cow;
use std::fmt;

use serde::de::{Deserialize, Deserializer, Visitor};
use serde_json::Value;

use super::MAX_DATA_DEPTH;
use super::number::Number;
use crate::decimal::Decimal;

/// A JSON value.
#[derive(Debug, Default)]
pub(super) enum Data<'a> {
    #[default]
    Null,
    Boolean(bool),
    Number(Number<'a>),
    String(Cow<'a, str>),
    Array(Vec<Data<'a>>),
    /// In order of the names, which are strings. Of a name that comes twice the last value counts.
    Object(Vec<(Data<'a>, Data<'a>)>),
}

impl<'a> Data<'a> {
    /// Reads a text that is known to be JSON.
    ///
    /// # Errors
    /// For any other, and for one that nests deeper than [`MAX_DATA_DEPTH`].
    pub(super) fn parse(text: &'a str) -> Result<Self, Unread> {
        let mut reader = Reader { text, at: 0, too_deep: false };
        match reader.value(0) {
            Some(data) if reader.peek().is_none() => Ok(data),
            _ if reader.too_deep => Err(Unread::TooDeep),
            _ => Err(Unread::NotJson),
        }
    }

    pub(super) fn as_str(&self) -> Option<&str> {
        match self {
            Self::String(text) => Some(text),
            _ => None,
        }
    }

    /// Whether it is the same as a value of a schema, numbers by their value.
    pub(super) fn equals(&self, value: &Value) -> bool {
        match (self, value) {
            (Self::Null, Value::Null) => true,
            (Self::Boolean(a), Value::Bool(b)) => a == b,
            (Self::Number(a), Value::Number(b)) => a.equals(b),
            (Self::String(a), Value::String(b)) => a == b,
            (Self::Array(a), Value::Array(b)) => {
                a.len() == b.len() && a.iter().zip(b).all(|(a, b)| a.equals(b))
            }
            // Both are in order of their names.
            (Self::Object(a), Value::Object(b)) => {
                a.len() == b.len()
                    && a.iter()
                        .zip(b)
                        .all(|((name, a), (other, b))| name.as_str() == Some(other.as_str()) && a.equals(b))
            }
            _ => false,
        }
    }

    /// Writes it in a form that only what is the same shares.
    pub(super) fn write_canonical(&self, out: &mut Vec<u8>) {
        let sized = |out: &mut Vec<u8>, kind: u8, size: usize| {
            out.push(kind);
            out.extend_from_slice(&size.to_be_bytes());
        };
        match self {
            Self::Null => out.push(b'n'),
            Self::Boolean(boolean) => out.push(if *boolean { b't' } else { b'f' }),
            Self::Number(number) => match Decimal::parse(number.0) {
                Some(number) => number.write_canonical(out),
                // It was read as JSON before.
                None => out.extend(number.0.bytes()),
            },
            Self::String(text) => {
                sized(out, b's', text.len());
                out.extend_from_slice(text.as_bytes());
            }
            Self::Array(items) => {
                sized(out, b'a', items.len());
                items.iter().for_each(|item| item.write_canonical(out));
            }
            Self::Object(members) => {
                sized(out, b'o', members.len());
                for (name, value) in members {
                    name.write_canonical(out);
                    value.write_canonical(out);
                }
            }
        }
    }
}

/// Why data is not read.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Unread {
    NotJson,
    TooDeep,
}

/// Reads JSON that somebody else has checked.
struct Reader<'a> {
    text: &'a str,
    at: usize,
    too_deep: bool,
}

impl<'a> Reader<'a> {
    /// The next byte that is no white space.
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        let blank = rest.iter().take_while(|b| matches!(b, b' ' | b'\t' | b'\n' | b'\r')).count();
        self.at += blank;
        rest.get(blank).copied()
    }

    fn eat(&mut self, byte: u8) -> Option<()> {
        (self.peek()? == byte).then(|| self.at += 1)
    }

    fn value(&mut self, depth: usize) -> Option<Data<'a>> {
        match self.peek()? {
            b'"' => self.string().map(Data::String),
            b'[' => self.array(depth + 1),
            b'{' => self.object(depth + 1),
            b't' => self.word("true", Data::Boolean(true)),
            b'f' => self.word("false", Data::Boolean(false)),
            b'n' => self.word("null", Data::Null),
            _ => self.number(),
        }
    }

    /// Whether one more array or object may be opened.
    fn enter(&mut self, depth: usize) -> Option<()> {
        self.too_deep |= depth > MAX_DATA_DEPTH;
        (!self.too_deep).then_some(())
    }

    fn word(&mut self, word: &str, data: Data<'a>) -> Option<Data<'a>> {
        self.text.get(self.at..)?.starts_with(word).then(|| self.at += word.len())?;
        Some(data)
    }

    fn number(&mut self) -> Option<Data<'a>> {
        let rest = self.text.get(self.at..)?;
        let of_number = |b: &u8| matches!(b, b'0'..=b'9' | b'+' | b'-' | b'.' | b'e' | b'E');
        let length = rest.bytes().take_while(|b| of_number(b)).count();
        self.at += length;
        (length > 0).then(|| Data::Number(Number(&rest[..length])))
    }

    fn string(&mut self) -> Option<Cow<'a, str>> {
        self.eat(b'"')?;
        let (rest, mut escaped, mut at) = (self.text.get(self.at..)?, false, 0);
        loop {
            match rest.as_bytes().get(at)? {
                b'"' => break,
                b'\\' => {
                    escaped = true;
                    at += 2;
                }
                _ => at += 1,
            }
        }
        let quoted = self.text.get(self.at - 1..self.at + at + 1)?;
        self.at += at + 1;
        if escaped { Lossy::read(quoted).map(Cow::Owned) } else { rest.get(..at).map(Cow::Borrowed) }
    }

    fn array(&mut self, depth: usize) -> Option<Data<'a>> {
        self.enter(depth)?;
        self.eat(b'[')?;
        let mut items = Vec::new();
        if self.peek()? == b']' {
            self.at += 1;
            return Some(Data::Array(items));
        }
        loop {
            items.push(self.value(depth)?);
            if self.eat(b',').is_none() {
                self.eat(b']')?;
                return Some(Data::Array(items));
            }
        }
    }

    fn object(&mut self, depth: usize) -> Option<Data<'a>> {
        self.enter(depth)?;
        self.eat(b'{')?;
        let mut members: Vec<(Data<'a>, Data<'a>)> = Vec::new();
        if self.peek()? == b'}' {
            self.at += 1;
            return Some(Data::Object(members));
        }
        loop {
            self.peek()?;
            let name = Data::String(self.string()?);
            self.eat(b':')?;
            members.push((name, self.value(depth)?));
            if self.eat(b',').is_none() {
                self.eat(b'}')?;
                break;
            }
        }
        // The order of equal ones stays, and of these the first after a reversal was the last.
        members.reverse();
        members.sort_by(|(a, _), (b, _)| a.as_str().cmp(&b.as_str()));
        members.dedup_by(|(a, _), (b, _)| a.as_str() == b.as_str());
        Some(Data::Object(members))
    }
}

/// A string with escapes; half a surrogate pair becomes a replacement character.
struct Lossy(String);

impl Lossy {
    fn read(quoted: &str) -> Option<String> {
        serde_json::from_str(quoted).ok().map(|Self(text)| text)
    }
}

impl<'de> Deserialize<'de> for Lossy {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Visit;
        impl Visitor<'_> for Visit {
            type Value = Lossy;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a string")
            }
            fn visit_bytes<E>(self, bytes: &[u8]) -> Result<Lossy, E> {
                Ok(Lossy(String::from_utf8_lossy(bytes).into_owned()))
            }
        }
        deserializer.deserialize_bytes(Visit)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn shown(data: &Data<'_>) -> Value {
        match data {
            Data::Null => Value::Null,
            Data::Boolean(boolean) => Value::Bool(*boolean),
            Data::Number(number) => serde_json::from_str(number.0).unwrap(),
            Data::String(text) => Value::String(text.to_string()),
            Data::Array(items) => items.iter().map(shown).collect(),
            Data::Object(members) => {
                let members = members.iter().map(|(name, v)| (name.as_str().unwrap().to_owned(), shown(v)));
                Value::Object(members.collect())
            }
        }
    }

    #[test]
    fn what_json_allows_is_read_as_it_is() {
        for text in [
            "null",
            " true ",
            "[]",
            "{}",
            r#"{"a" : [ 1 , -2.5e+3,"x"], "" : {} }"#,
            r#""\u00e9\n\"\\\/ 🦀""#,
            r#""\ud83e\udd80""#,
            "[[[[]]],{\"a\":{\"b\":[null,false]}}]",
        ] {
            let value: Value = serde_json::from_str(text).unwrap();
            let data = Data::parse(text).unwrap();
            assert_eq!(shown(&data), value, "{text}");
            assert!(data.equals(&value), "{text}");
        }
        for text in
            ["", "[", "[1", "{\"a\":1", "{\"a\"}", "\"a", "\"\\", "[1,]", "{} {}", "tru", "[1 2]", "x"]
        {
            assert_eq!(Data::parse(text).err(), Some(Unread::NotJson), "{text}");
        }
    }

    #[test]
    fn abuse_a05_a06_a07_odd_numbers_strings_and_names_are_read_too() {
        let digits = "9".repeat(100);
        for text in ["1e999999", "-1E-999999", &digits] {
            assert!(matches!(Data::parse(text), Ok(Data::Number(Number(read))) if read == text));
        }
        assert!(Data::parse(r#""a\ud800z""#).unwrap().as_str().is_some_and(|text| text.starts_with('a')));
        let doubled = Data::parse(r#"{"b":0,"a":1,"a":2,"a":{"b":1,"b":3}}"#).unwrap();
        assert!(doubled.equals(&serde_json::json!({"a": {"b": 3}, "b": 0})));
        for (depth, read) in [
            (MAX_DATA_DEPTH, None),
            (MAX_DATA_DEPTH + 1, Some(Unread::TooDeep)),
            (100_000, Some(Unread::TooDeep)),
        ] {
            let deep = format!("{}{}", "[".repeat(depth), "]".repeat(depth));
            assert_eq!(Data::parse(&deep).err(), read, "{depth}");
        }
    }

    #[test]
    fn only_what_is_the_same_has_the_same_canonical_form() {
        let canonical = |text: &str| {
            let mut out = Vec::new();
            Data::parse(text).unwrap().write_canonical(&mut out);
            out
        };
        let texts = [
            "null",
            "false",
            "true",
            "1",
            "-1",
            "10",
            "1.5",
            "\"1\"",
            "\"\"",
            "[]",
            "[[]]",
            "[1]",
            "[1,0]",
            "[10]",
            "{}",
            r#"{"a":1}"#,
            r#"{"b":1}"#,
            r#"{"a":[1]}"#,
        ];
        for a in texts {
            for b in texts {
                assert_eq!(canonical(a) == canonical(b), a == b, "{a} {b}");
            }
        }
        assert_eq!(canonical(r#"{"a":1.0,"b":[1e2]}"#), canonical(r#"{"b":[100],"a":1}"#));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_panic(text in r#"[\[\]{}",:\\a-c0-9 .eE+\-tfn\n]{0,60}"#) {
            let read = Data::parse(&text);
            if serde_json::from_str::<Value>(&text).is_ok() {
                prop_assert!(read.is_ok(), "{}", text);
            }
        }
    }
}
