//! The body of a delivery: the event's data as they are, in an envelope, or with one field more.

use std::borrow::Cow;
use std::fmt;
use std::ops::RangeInclusive;

use bytes::Bytes;
use serde::de::{DeserializeSeed, Deserializer, IgnoredAny, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::Message;
use super::template::Value;
use crate::event_type::MAX_EXAMPLE_BYTES;
use crate::fault::Fault;
use crate::fields::one_of;
use crate::json::{self, Detail, Object, Text};

/// How many fields an envelope has.
const FIELDS: RangeInclusive<usize> = 1..=32;
/// The longest name of a field, in characters.
const MAX_FIELD_NAME: usize = 128;
/// Room for a value of an envelope, in bytes.
const VALUE_BYTES: usize = 48;

/// What the body is made of.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Body {
    /// The data, byte for byte.
    Raw,
    /// An object with these fields.
    Envelope(Box<[Piece]>),
    /// The data, an object, with a field that names the event's type, added in front where they lack it.
    Flat {
        /// The field.
        name: Box<str>,
        /// `"name":` as it is written.
        head: Box<[u8]>,
    },
}

/// A piece of an envelope.
#[derive(Clone, PartialEq, Eq, Debug)]
pub(crate) enum Piece {
    /// As it stands: braces, names, constants.
    Bytes(Box<[u8]>),
    /// A value as JSON; `null` where there is none.
    Value(Value),
    /// The data, byte for byte.
    Data,
    /// The attributes, byte for byte.
    Attributes,
}

#[derive(Clone, Copy)]
enum Shape {
    Raw,
    Envelope,
    Flat,
}

impl Body {
    /// Reads `{shape, fields?, field?}`.
    pub(crate) fn read(object: &mut Object<'_>) -> Option<Self> {
        let shapes = [("raw", Shape::Raw), ("envelope", Shape::Envelope), ("flat", Shape::Flat)];
        match object.required("shape", |v| one_of(v, &shapes)) {
            Some(Shape::Raw) => Some(Self::Raw),
            Some(Shape::Envelope) => {
                let mut names: Vec<Box<str>> = Vec::new();
                object.required_list("fields", FIELDS, |_| Ok(()))?;
                let fields = object.objects("fields", *FIELDS.end(), |field| {
                    let (name, content) = (field.required("name", field_name), content(field));
                    if let Some(name) = &name {
                        if names.contains(name) {
                            field.fault("name", "is the name of two fields; keep one");
                        }
                        names.push(name.clone());
                    }
                    name.zip(content)
                })?;
                Some(Self::Envelope(envelope(fields)))
            }
            Some(Shape::Flat) => {
                let name = object.required("field", field_name)?;
                Some(Self::Flat { head: [quoted(&name), b":".to_vec()].concat().into(), name })
            }
            None => {
                // Which fields belong to it cannot be known.
                object.optional("fields", |_| Ok(()));
                object.optional("field", |_| Ok(()));
                None
            }
        }
    }

    /// The body of a delivery; the data are not copied where they are all of it.
    pub(crate) fn render(&self, message: &Message<'_>) -> Bytes {
        let data = &message.event.data;
        match self {
            Self::Raw => data.clone(),
            Self::Envelope(pieces) => render_envelope(pieces, message),
            Self::Flat { name, head } => {
                // What is no object, or says something else, was published before the tenant had this profile, or goes to an
                // endpoint that chose it: it goes out as it is.
                let Ok(None) = named(data, name) else { return data.clone() };
                let Some(open) = data.iter().position(|byte| *byte == b'{') else { return data.clone() };
                let rest = &data[open + 1..];
                let empty = rest.iter().find(|byte| !byte.is_ascii_whitespace()) == Some(&b'}');
                let event_type = &message.event.event_type;
                let mut body = Vec::with_capacity(data.len() + head.len() + event_type.len() + 3);
                body.extend_from_slice(&data[..=open]);
                body.extend_from_slice(head);
                write_text(&mut body, event_type);
                if !empty {
                    body.push(b',');
                }
                body.extend_from_slice(rest);
                body.into()
            }
        }
    }

    /// Gives each value that a body tells to `learn`. `false` where it has another shape.
    pub(crate) fn receive(&self, body: &[u8], mut learn: impl FnMut(Value, &str)) -> bool {
        match self {
            Self::Raw => serde_json::from_slice::<&RawValue>(body).is_ok(),
            Self::Envelope(pieces) => read_envelope(pieces, body, learn).is_some(),
            Self::Flat { name, .. } => match named(body, name) {
                Ok(Some(Some(event_type))) => {
                    learn(Value::EventType, &event_type);
                    true
                }
                Ok(_) | Err(_) => false,
            },
        }
    }

    /// Whether an event's data can be sent in this shape.
    ///
    /// # Errors
    /// What stands in the way, with a pointer that begins at the data.
    pub(crate) fn check_data(&self, event_type: &str, data: &[u8]) -> Result<(), Fault> {
        let Self::Flat { name, .. } = self else { return Ok(()) };
        match named(data, name) {
            Ok(None) => Ok(()),
            Ok(Some(named)) if named.as_deref() == Some(event_type) => Ok(()),
            Ok(Some(_)) => {
                let mut pointer = String::new();
                json::escape_into(&mut pointer, name);
                Err(Fault::new(
                    pointer,
                    "is not the event's type, which the profile writes there; leave it out, or give the same",
                ))
            }
            Err(_) => Err(Fault::new("", format!("must be an object, since the profile adds {name} to it"))),
        }
    }
}

fn field_name(value: &RawValue) -> Result<Box<str>, Detail> {
    let text = json::string(value)?;
    if text.is_empty() || text.chars().nth(MAX_FIELD_NAME).is_some() {
        return Err(format!("must be 1 to {MAX_FIELD_NAME} characters").into());
    }
    Ok(text.into())
}

/// What a field holds: something known of the delivery, or a constant.
fn content(field: &mut Object<'_>) -> Option<Piece> {
    let from = field.optional("from", |v| match &*json::string(v)? {
        "event.data" => Ok(Piece::Data),
        "event.attributes" => Ok(Piece::Attributes),
        other => match Value::parse(other) {
            Ok(value) if value.varies() => {
                Err("differs from attempt to attempt; the body is the same on all of them, so it belongs in a header".into())
            }
            Ok(value) => Ok(Piece::Value(value)),
            Err(detail) => Err(format!("{detail}, event.data and event.attributes").into()),
        },
    });
    let constant = field.optional("constant", |v| {
        if v.get().len() > MAX_EXAMPLE_BYTES {
            return Err(format!("must not be longer than {MAX_EXAMPLE_BYTES} bytes").into());
        }
        Ok(Piece::Bytes(v.get().as_bytes().into()))
    });
    match (field.has("from"), field.has("constant")) {
        (true, true) => field.fault("constant", "comes beside from; a field has one of them"),
        (false, false) => field.fault("from", "is missing; a field has it, or constant"),
        _ => {}
    }
    from.or(constant)
}

fn envelope(fields: Vec<(Box<str>, Piece)>) -> Box<[Piece]> {
    let mut pieces = Vec::new();
    let mut fixed = b"{".to_vec();
    for (index, (name, piece)) in fields.into_iter().enumerate() {
        if index > 0 {
            fixed.push(b',');
        }
        fixed.extend_from_slice(&quoted(&name));
        fixed.push(b':');
        match piece {
            Piece::Bytes(constant) => fixed.extend_from_slice(&constant),
            piece => {
                pieces.push(Piece::Bytes(std::mem::take(&mut fixed).into()));
                pieces.push(piece);
            }
        }
    }
    fixed.push(b'}');
    pieces.push(Piece::Bytes(fixed.into()));
    pieces.into()
}

fn render_envelope(pieces: &[Piece], message: &Message<'_>) -> Bytes {
    let event = message.event;
    let room = |piece: &Piece| match piece {
        Piece::Bytes(bytes) => bytes.len(),
        Piece::Value(_) => VALUE_BYTES,
        Piece::Data => event.data.len(),
        Piece::Attributes => event.attributes.len().max(2),
    };
    let mut body = Vec::with_capacity(pieces.iter().map(room).sum());
    for piece in pieces {
        match piece {
            Piece::Bytes(bytes) => body.extend_from_slice(bytes),
            Piece::Data => body.extend_from_slice(&event.data),
            Piece::Attributes if event.attributes.is_empty() => body.extend_from_slice(b"{}"),
            Piece::Attributes => body.extend_from_slice(&event.attributes),
            Piece::Value(value) => write_value(&mut body, *value, message),
        }
    }
    body.into()
}

fn read_envelope(pieces: &[Piece], body: &[u8], mut learn: impl FnMut(Value, &str)) -> Option<()> {
    let mut rest = body;
    for piece in pieces {
        if let Piece::Bytes(bytes) = piece {
            rest = rest.strip_prefix(&**bytes)?;
            continue;
        }
        let mut values = serde_json::Deserializer::from_slice(rest).into_iter::<&RawValue>();
        let raw = values.next()?.ok()?;
        rest = rest.get(values.byte_offset()..)?;
        match (piece, raw.get()) {
            (Piece::Value(_), "null") | (Piece::Bytes(_) | Piece::Data | Piece::Attributes, _) => {}
            (Piece::Value(value), plain) => learn(*value, json::string(raw).as_deref().unwrap_or(plain)),
        }
    }
    rest.is_empty().then_some(())
}

fn write_value(body: &mut Vec<u8>, value: Value, message: &Message<'_>) {
    use std::io::Write as _;
    // Times and numbers have nothing to escape, and are written in place.
    let _ = match value {
        Value::OccurredAt(format) | Value::AcceptedAt(format) => {
            let at = if matches!(value, Value::OccurredAt(_)) {
                message.event.occurred_at
            } else {
                message.event.accepted_at
            };
            let quote: &[u8] = if format.is_number() { b"" } else { b"\"" };
            body.extend_from_slice(quote);
            format.write_to(at, body);
            body.extend_from_slice(quote);
            Ok(())
        }
        Value::Sequence => match message.sequence {
            Some(sequence) => write!(body, "{sequence}"),
            None => body.write_all(b"null"),
        },
        _ => match value.text(message, &mut String::new()) {
            Some(text) => {
                write_text(body, text);
                Ok(())
            }
            None => body.write_all(b"null"),
        },
    };
}

fn write_text(body: &mut Vec<u8>, text: &str) {
    serde_json::to_writer(body, text).expect("a string is written to memory");
}

fn quoted(text: &str) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len() + 2);
    write_text(&mut out, text);
    out
}

/// What the field of that name holds in an object: `None` where it has none, `Some(None)` for what is no text, or differs where
/// it is there twice.
///
/// # Errors
/// For what is no object.
fn named<'a>(data: &'a [u8], name: &str) -> Result<Option<Option<Cow<'a, str>>>, serde_json::Error> {
    struct Find<'n>(&'n str);
    impl<'de> Visitor<'de> for Find<'_> {
        type Value = Option<Option<Cow<'de, str>>>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }
        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut found = None;
            while let Some(Text(name)) = map.next_key()? {
                if name == self.0 {
                    let raw: &'de RawValue = map.next_value()?;
                    let text = json::string(raw).ok();
                    let differs = found.as_ref().is_some_and(|before| *before != text);
                    found = Some(text.filter(|_| !differs));
                } else {
                    map.next_value::<IgnoredAny>()?;
                }
            }
            Ok(found)
        }
    }
    impl<'de> DeserializeSeed<'de> for Find<'_> {
        type Value = Option<Option<Cow<'de, str>>>;
        fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Self::Value, D::Error> {
            deserializer.deserialize_map(self)
        }
    }
    let mut reader = serde_json::Deserializer::from_slice(data);
    Find(name).deserialize(&mut reader)
}
