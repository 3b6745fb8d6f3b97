//! An API object read whole, in the form in which it can be patched: objects are opened, everything else stays the text
//! that came, so that no number passes through a float. It may hold secrets: what it is made of is wiped when it is dropped.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::{fmt, io};

use serde::{Serialize, Serializer};
use serde_json::Value;
use serde_json::value::RawValue;
use zeroize::Zeroizing;

use super::{DUPLICATE, Text, check_depth, escape_into, members, split_array, string, syntax};
use crate::fault::{Fault, MAX_FAULTS, ParseError};

/// The members of an object, by name.
pub type Members = BTreeMap<String, Document>;

/// A JSON value; see the module. Its `Debug` shows nothing of it.
#[derive(Clone, PartialEq, Eq)]
pub enum Document {
    /// An object.
    Object(Members),
    /// Anything else.
    Other(Leaf),
}

/// JSON text of a value that is no object, as it was written.
#[derive(Clone, PartialEq, Eq)]
pub struct Leaf(Zeroizing<Box<str>>);

impl Leaf {
    fn raw(&self) -> &RawValue {
        serde_json::from_str(&self.0).expect("it is only made of JSON")
    }
}

impl Document {
    /// What a value of our own is written as; not opened, even if it is an object.
    pub(crate) fn of(value: &impl Serialize) -> Self {
        let mut text = in_one_place(|out| Ok(serde_json::to_writer(out, value)?));
        Self::Other(Leaf(Zeroizing::new(std::mem::take(&mut *text).into_boxed_str())))
    }

    fn read(raw: &RawValue) -> Self {
        Self::Other(Leaf(Zeroizing::new(raw.get().into())))
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        match self {
            Self::Object(members) => members.get(name),
            Self::Other(_) => None,
        }
    }

    /// The text of a string.
    pub fn as_str(&self) -> Option<Cow<'_, str>> {
        match self {
            Self::Object(_) => None,
            Self::Other(text) => string(text.raw()).ok(),
        }
    }

    /// It as JSON; `None` for an object.
    pub(crate) fn as_json(&self) -> Option<&str> {
        match self {
            Self::Object(_) => None,
            Self::Other(text) => Some(&text.0),
        }
    }

    /// Whether it is `null`.
    pub fn is_null(&self) -> bool {
        self.as_json() == Some("null")
    }
}

impl fmt::Debug for Document {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Document(…)")
    }
}

impl Serialize for Document {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            Self::Object(members) => members.serialize(serializer),
            Self::Other(text) => text.raw().serialize(serializer),
        }
    }
}

/// A value of our own making. Numbers in it are written as `serde_json` writes them.
impl From<Value> for Document {
    fn from(value: Value) -> Self {
        match value {
            Value::Object(members) => {
                Self::Object(members.into_iter().map(|(name, value)| (name, value.into())).collect())
            }
            other => Self::of(&other),
        }
    }
}

/// Members as JSON text, in one place in memory.
pub fn to_text(members: &Members) -> Zeroizing<String> {
    in_one_place(|out| write_members(members, out))
}

fn write_members(members: &Members, out: &mut dyn io::Write) -> io::Result<()> {
    let mut between: &[u8] = b"{";
    for (name, value) in members {
        out.write_all(between)?;
        serde_json::to_writer(&mut *out, name)?;
        out.write_all(b":")?;
        match value {
            Document::Object(members) => write_members(members, out)?,
            Document::Other(leaf) => out.write_all(leaf.0.as_bytes())?,
        }
        between = b",";
    }
    out.write_all(if members.is_empty() { b"{}" } else { b"}" })
}

/// What is written, as a text in one place in memory: one that grows leaves copies behind.
fn in_one_place(write: impl Fn(&mut dyn io::Write) -> io::Result<()>) -> Zeroizing<String> {
    let mut length = Length(0);
    let mut bytes = Zeroizing::new(Vec::new());
    let written = write(&mut length).and_then(|()| {
        bytes.reserve_exact(length.0);
        write(&mut *bytes)
    });
    written.expect("names are strings, and all else can be written as JSON");
    let text = String::from_utf8(std::mem::take(&mut *bytes));
    Zeroizing::new(text.expect("JSON is written as UTF-8"))
}

/// Counts what would be written.
struct Length(usize);

impl io::Write for Length {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0 += bytes.len();
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// Reads an API object whole, at every depth without duplicate keys.
///
/// # Errors
/// [`ParseError::Syntax`] for what is not JSON; faults for duplicate keys, and for anything but an object.
pub fn parse_object(text: &str) -> Result<Members, ParseError> {
    check_depth(text)?;
    let mut reader = Reader::default();
    let read = match members(text) {
        Ok(found) => reader.open(found),
        // What is wrong is found by looking again.
        Err(_) => reader.read(serde_json::from_str(text).map_err(|e| syntax(text, &e))?),
    };
    match read {
        Document::Object(members) if reader.faults.is_empty() => Ok(members),
        Document::Object(_) => Err(ParseError::Faults(reader.faults)),
        Document::Other(_) => Err(ParseError::fault("", "must be a JSON object")),
    }
}

/// Opens a value, and notes each key that comes twice.
#[derive(Default)]
struct Reader {
    pointer: String,
    faults: Vec<Fault>,
}

impl Reader {
    fn read(&mut self, raw: &RawValue) -> Document {
        match raw.get().as_bytes().first() {
            Some(b'{') => self.object(raw),
            Some(b'[') => {
                // Only looked over for duplicate keys: a patch replaces it whole.
                let items = split_array(raw.get(), usize::MAX).ok().flatten().unwrap_or_default();
                for (index, item) in items.into_iter().enumerate() {
                    self.within(&index.to_string(), |reader| reader.read(item));
                }
                Document::read(raw)
            }
            _ => Document::read(raw),
        }
    }

    fn object(&mut self, raw: &RawValue) -> Document {
        let Ok(found) = members(raw.get()) else {
            self.fault("has a field whose name is not a valid string (an unpaired surrogate)");
            return Document::Object(Members::new());
        };
        self.open(found)
    }

    fn open(&mut self, found: Vec<(Text<'_>, &RawValue)>) -> Document {
        let mut opened = Members::new();
        for (name, value) in found {
            self.within(&name.0, |reader| {
                if opened.contains_key(&*name.0) {
                    reader.fault(DUPLICATE);
                }
                let value = reader.read(value);
                opened.insert(name.0.as_ref().to_owned(), value);
            });
        }
        Document::Object(opened)
    }

    fn within<T>(&mut self, name: &str, read: impl FnOnce(&mut Self) -> T) -> T {
        let end = self.pointer.len();
        escape_into(&mut self.pointer, name);
        let result = read(self);
        self.pointer.truncate(end);
        result
    }

    fn fault(&mut self, detail: &'static str) {
        if self.faults.len() < MAX_FAULTS {
            self.faults.push(Fault::new(self.pointer.clone(), detail));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a07_a_duplicate_key_is_found_at_any_depth() {
        let error = parse_object(r#"{"a":1,"b":[{"c":{},"c":{}}],"a":2,"x/y~":0,"x/y~":1}"#).unwrap_err();
        let pointers: Vec<&str> = error.faults().iter().map(|f| f.pointer.as_str()).collect();
        assert_eq!(pointers, ["/b/0/c", "/a", "/x~1y~0"]);
    }

    #[test]
    fn abuse_a05_numbers_stay_as_they_were_written() {
        let text = r#"{"a":{"b":1e999999,"c":[0.10,12345678901234567890.5]},"d":-0}"#;
        assert_eq!(*to_text(&parse_object(text).unwrap()), text);
    }

    #[test]
    fn a_text_is_written_in_one_place() {
        let text = r#"{"auth":{"password":""},"secret":"with \"quotes\" \u0001 and ü"}"#;
        let members = parse_object(text).unwrap();
        let written = to_text(&members);
        assert_eq!((written.capacity(), &**written), (text.len(), text));
        assert_eq!(members["secret"].as_str().unwrap(), "with \"quotes\" \u{1} and ü");
        let secret = Document::of(&"with \"quotes\"");
        assert_eq!(secret.as_json(), Some(r#""with \"quotes\"""#));
        assert!(!format!("{members:?} {secret:?}").contains("quotes"));
    }

    #[test]
    fn what_is_no_object_is_told_from_what_is_no_json() {
        for text in ["", "{", "{}x", "{'a':1}", "{\"a\":01}"] {
            assert!(matches!(parse_object(text), Err(ParseError::Syntax(_))), "{text}");
        }
        for text in ["[]", "1", "\"a\"", "null", r#"{"\ud800":1}"#] {
            assert!(matches!(parse_object(text), Err(ParseError::Faults(_))), "{text}");
        }
    }
}
