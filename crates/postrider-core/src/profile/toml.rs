//! Declarations in TOML: read by the same readers as API objects, with every fault at its key and line.

use std::fmt::{self, Write as _};

use serde::Serialize;
use serde_json::value::RawValue;
use toml_edit::{Array, ArrayOfTables, ImDocument, Item, TableLike, Value as Toml};

use crate::fault::{Fault, ParseError};
use crate::json::Object;

/// The longest declaration, in bytes.
pub const MAX_DECLARATION_BYTES: usize = 4 << 20;

/// One thing wrong with a declaration.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Misdeclared {
    /// The line, from 1, where it is known: of the key, or of the table that lacks it.
    pub line: Option<usize>,
    /// The key, such as `signatures.v1.over`; empty for the whole.
    pub key: String,
    /// The fault and its remedy.
    pub detail: String,
}

impl fmt::Display for Misdeclared {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(line) = self.line {
            write!(f, "line {line}: ")?;
        }
        if !self.key.is_empty() {
            write!(f, "{} ", self.key)?;
        }
        f.write_str(&self.detail)
    }
}

/// Reads a document by a reader of objects.
///
/// # Errors
/// All that is wrong with it.
pub(super) fn read<T>(
    text: &str,
    read: impl FnOnce(&mut Object<'_>) -> Option<T>,
) -> Result<T, Vec<Misdeclared>> {
    let document = Document::parse(text)?;
    document.judge(|json| {
        let mut object = Object::parse(json)?;
        let value = read(&mut object);
        object.end(value)
    })
}

/// A TOML document with its places.
pub(super) struct Document<'a> {
    text: &'a str,
    toml: ImDocument<&'a str>,
    /// The same as JSON, members in their order.
    pub(super) json: String,
}

impl<'a> Document<'a> {
    pub(super) fn parse(text: &'a str) -> Result<Self, Vec<Misdeclared>> {
        let whole = |detail: String| vec![Misdeclared { line: None, key: String::new(), detail }];
        if text.len() > MAX_DECLARATION_BYTES {
            return Err(whole(format!("is longer than {MAX_DECLARATION_BYTES} bytes")));
        }
        let toml = ImDocument::parse(text).map_err(|error| {
            let line = error.span().map(|span| line_at(text, span.start));
            let detail = format!("is not TOML: {}", error.message().lines().collect::<Vec<_>>().join(", "));
            vec![Misdeclared { line, key: String::new(), detail }]
        })?;
        let mut writer = Writer::default();
        writer.table(toml.as_table());
        let document = Self { text, toml, json: writer.out };
        if writer.dates.is_empty() {
            return Ok(document);
        }
        let detail = "is written as a date, and none is expected; put it in quotes";
        Err(writer.dates.into_iter().map(|pointer| document.at(&Fault::new(pointer, detail))).collect())
    }

    /// What a reader of the document as JSON makes of it; its faults come with key and line.
    fn judge<T>(&self, read: impl FnOnce(&str) -> Result<T, ParseError>) -> Result<T, Vec<Misdeclared>> {
        read(&self.json).map_err(|error| match error {
            ParseError::Faults(faults) => faults.iter().map(|fault| self.at(fault)).collect(),
            other => vec![Misdeclared { line: None, key: String::new(), detail: other.to_string() }],
        })
    }

    /// A fault with its key and line.
    pub(super) fn at(&self, fault: &Fault) -> Misdeclared {
        let (mut key, mut offset) = (String::new(), None);
        let mut place = Some(Place::Table(self.toml.as_table()));
        for segment in fault.pointer.split('/').skip(1) {
            let name = segment.replace("~1", "/").replace("~0", "~");
            let bare =
                !name.is_empty() && name.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'_' || b == b'-');
            let dot = if key.is_empty() { "" } else { "." };
            // Writing to a string cannot fail.
            let _ = match place {
                Some(Place::Tables(_) | Place::Array(_)) => write!(key, "[{name}]"),
                _ if bare => write!(key, "{dot}{name}"),
                _ => write!(key, "{dot}{name:?}"),
            };
            let (next, span) = place.map_or((None, None), |place| place.step(&name));
            offset = span.or(offset);
            place = next;
        }
        let line = offset.map(|offset| line_at(self.text, offset));
        Misdeclared { line, key, detail: fault.detail.clone().into_owned() }
    }
}

/// Something that has parts.
#[derive(Clone, Copy)]
enum Place<'i> {
    Table(&'i dyn TableLike),
    Tables(&'i ArrayOfTables),
    Array(&'i Array),
}

impl<'i> Place<'i> {
    fn of_value(value: &'i Toml) -> Option<Self> {
        match value {
            Toml::Array(array) => Some(Self::Array(array)),
            Toml::InlineTable(table) => Some(Self::Table(table)),
            _ => None,
        }
    }

    fn of(item: &'i Item) -> Option<Self> {
        match item {
            Item::None => None,
            Item::Value(value) => Self::of_value(value),
            Item::Table(table) => Some(Self::Table(table)),
            Item::ArrayOfTables(tables) => Some(Self::Tables(tables)),
        }
    }

    /// A part of it, and where that begins.
    fn step(self, name: &str) -> (Option<Self>, Option<usize>) {
        let index = || name.parse::<usize>().ok();
        let (next, span) = match self {
            Self::Table(table) => match table.get_key_value(name) {
                Some((key, item)) => (Self::of(item), key.span().or_else(|| item.span())),
                None => (None, None),
            },
            Self::Tables(tables) => match index().and_then(|index| tables.get(index)) {
                Some(table) => (Some(Self::Table(table)), table.span()),
                None => (None, None),
            },
            Self::Array(array) => match index().and_then(|index| array.get(index)) {
                Some(value) => (Self::of_value(value), value.span()),
                None => (None, None),
            },
        };
        (next, span.map(|span| span.start))
    }
}

fn line_at(text: &str, offset: usize) -> usize {
    text.as_bytes().iter().take(offset).filter(|byte| **byte == b'\n').count() + 1
}

/// Writes TOML as JSON.
#[derive(Default)]
struct Writer {
    out: String,
    pointer: String,
    dates: Vec<String>,
}

impl Writer {
    fn put(&mut self, value: &impl Serialize) {
        self.out.push_str(&serde_json::to_string(value).expect("texts and numbers are written to memory"));
    }

    /// Writes a part, whose place is noted meanwhile.
    fn part(&mut self, name: &str, write: impl FnOnce(&mut Self)) {
        let length = self.pointer.len();
        // Not as `escape_into` does it, which hides what may be a card number.
        let _ = write!(self.pointer, "/{}", name.replace('~', "~0").replace('/', "~1"));
        write(self);
        self.pointer.truncate(length);
    }

    fn table(&mut self, table: &dyn TableLike) {
        self.out.push('{');
        for (index, (name, item)) in table.iter().enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.put(&name);
            self.out.push(':');
            self.part(name, |writer| match item {
                Item::None => writer.out.push_str("null"),
                Item::Value(value) => writer.value(value),
                Item::Table(inner) => writer.table(inner),
                Item::ArrayOfTables(tables) => {
                    writer.list(tables.iter(), |writer, inner| writer.table(inner))
                }
            });
        }
        self.out.push('}');
    }

    fn list<T>(&mut self, items: impl Iterator<Item = T>, write: impl Fn(&mut Self, T)) {
        self.out.push('[');
        for (index, item) in items.enumerate() {
            if index > 0 {
                self.out.push(',');
            }
            self.part(&index.to_string(), |writer| write(writer, item));
        }
        self.out.push(']');
    }

    fn value(&mut self, value: &Toml) {
        match value {
            Toml::String(text) => self.put(text.value()),
            Toml::Integer(number) => self.put(number.value()),
            // Infinities, which JSON has not, become null, and so count as absent.
            Toml::Float(number) => self.put(number.value()),
            Toml::Boolean(flag) => self.put(flag.value()),
            Toml::Datetime(_) => {
                self.dates.push(self.pointer.clone());
                self.out.push_str("null");
            }
            Toml::Array(items) => self.list(items.iter(), Self::value),
            Toml::InlineTable(inner) => self.table(inner),
        }
    }
}

/// JSON in a text of a declaration.
pub(super) fn raw(text: &str) -> Result<Box<RawValue>, String> {
    serde_json::from_str(text).map_err(|error| format!("is not JSON: {error}"))
}
