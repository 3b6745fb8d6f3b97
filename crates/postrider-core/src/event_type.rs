//! Event types as the operator describes them: what their data looks like, an example, and who may have them.

use bytes::Bytes;
use serde::Serialize;
use serde_json::value::RawValue;

use crate::fault::{Fault, ParseError};
use crate::fields::{MAX_DESCRIPTION_CHARS, integrations, one_of, plain_text};
use crate::json::{Object, utf8};
use crate::schema::Schema;

/// The longest example, in bytes.
pub const MAX_EXAMPLE_BYTES: usize = 64 * 1_024;

/// What is said of an event type. Nothing of it is secret.
///
/// ```
/// use postrider_core::event_type::EventTypeConfig;
/// let text = r#"{"schema": {"required": ["card"]}, "example": {"card": "c-1", "amount": 42.50}}"#;
/// let event_type = EventTypeConfig::parse(text).unwrap();
/// assert_eq!(event_type.example.as_deref(), Some(&br#"{"card": "c-1", "amount": 42.50}"#[..]));
/// assert!(event_type.schema.as_ref().unwrap().check(b"{}").is_err());
/// assert_eq!(EventTypeConfig::from_stored(&event_type.to_doc()).unwrap(), event_type);
/// ```
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct EventTypeConfig {
    /// What happened when such an event comes.
    pub description: Option<Box<str>>,
    /// What its data must fit.
    pub schema: Option<Schema>,
    /// Data as it may be, byte for byte as it was given; fits the schema.
    pub example: Option<Bytes>,
    /// The kinds of partner that may subscribe to it, each once; all of them where none is named.
    pub integrations: Vec<Box<str>>,
    /// What its events are.
    pub kind: Kind,
}

/// What the events of a type are.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum Kind {
    /// Something that happened.
    #[default]
    Notification,
    /// A question that waits for its answer.
    Decision,
}

impl Kind {
    const NAMES: [(&'static str, Self); 2] =
        [("notification", Self::Notification), ("decision", Self::Decision)];

    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Notification => "notification",
            Self::Decision => "decision",
        }
    }
}

/// The document as stored.
#[derive(Serialize)]
struct Doc<'a> {
    #[serde(skip_serializing_if = "Option::is_none")]
    description: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    schema: Option<&'a RawValue>,
    #[serde(skip_serializing_if = "Option::is_none")]
    example: Option<&'a RawValue>,
    integrations: &'a [Box<str>],
    kind: &'static str,
}

impl EventTypeConfig {
    /// Reads one, and compiles its schema.
    ///
    /// # Errors
    /// See [`ParseError`]; faults of the schema lie below `/schema`, and below `/example` those of an example that does not
    /// fit it.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        let mut object = Object::parse(text)?;
        let description =
            object.optional("description", |v| plain_text(v, MAX_DESCRIPTION_CHARS)).map(Box::from);
        let schema = object.optional("schema", Ok).map(|raw| Schema::compile(raw.get()));
        let schema = below(&mut object, "schema", schema);
        let example = object.optional("example", |v| {
            if v.get().len() > MAX_EXAMPLE_BYTES {
                return Err(format!("must not be longer than {MAX_EXAMPLE_BYTES} bytes").into());
            }
            Ok(Bytes::copy_from_slice(v.get().as_bytes()))
        });
        let fits = schema.as_ref().zip(example.as_ref()).map(|(schema, example)| schema.check(example));
        below(&mut object, "example", fits);
        let integrations = integrations(&mut object);
        let kind = object.optional("kind", |v| one_of(v, &Kind::NAMES)).unwrap_or_default();
        object.end(Some(Self { description, schema, example, integrations, kind }))
    }

    /// Whether a tenant with these integrations may have events of it: where it names any, one of them is enough.
    ///
    /// ```
    /// use postrider_core::event_type::EventTypeConfig;
    /// let payment = EventTypeConfig::parse(r#"{"integrations": ["payment_gateway", "full_access"]}"#).unwrap();
    /// assert!(payment.is_open_to(&["card_distribution".into(), "full_access".into()]));
    /// assert!(!payment.is_open_to(&["card_distribution".into()]) && !payment.is_open_to(&[]));
    /// assert!(EventTypeConfig::default().is_open_to(&[]));
    /// ```
    pub fn is_open_to(&self, integrations: &[Box<str>]) -> bool {
        self.integrations.is_empty() || self.integrations.iter().any(|named| integrations.contains(named))
    }

    /// The document for the store, as JSON; schema and example byte for byte.
    pub fn to_doc(&self) -> Bytes {
        let doc = Doc {
            description: self.description.as_deref(),
            schema: self.schema.as_ref().and_then(|schema| raw(schema.text())),
            example: self.example.as_deref().and_then(raw),
            integrations: &self.integrations,
            kind: self.kind.as_str(),
        };
        serde_json::to_vec(&doc).expect("texts and JSON are written to memory").into()
    }

    /// What [`Self::to_doc`] wrote.
    ///
    /// # Errors
    /// [`ParseError`] for a document that was damaged, or written by a later version.
    pub fn from_stored(doc: &[u8]) -> Result<Self, ParseError> {
        Self::parse(utf8(doc)?)
    }
}

/// JSON that was read before.
fn raw(text: &[u8]) -> Option<&RawValue> {
    serde_json::from_slice(text).ok()
}

/// What came of a field; its faults are noted below it.
fn below<T>(object: &mut Object<'_>, name: &str, result: Option<Result<T, Vec<Fault>>>) -> Option<T> {
    result?.map_err(|faults| object.faults_below(name, faults)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fields::MAX_INTEGRATIONS;

    fn faults(text: &str) -> Vec<String> {
        let error = EventTypeConfig::parse(text).unwrap_err();
        error.faults().iter().map(|fault| fault.pointer.clone()).collect()
    }

    #[test]
    fn nothing_of_a_type_is_required_and_what_is_given_stays_as_it_is() {
        let empty = EventTypeConfig::parse("{}").unwrap();
        assert_eq!(empty, EventTypeConfig::default());
        assert_eq!(EventTypeConfig::from_stored(&empty.to_doc()).unwrap(), empty);
        let text = r#"{"description":"A card was used","schema":{ "type" : "object", "minProperties":1.0 },
            "example":{ "z":1.0, "a":1e999999 , "b":"\ud800"},"integrations":["gateway","card:distributor"],"kind":"decision"}"#;
        let full = EventTypeConfig::parse(text).unwrap();
        assert_eq!(full.schema.as_ref().unwrap().text(), br#"{ "type" : "object", "minProperties":1.0 }"#);
        assert_eq!(full.example.as_deref(), Some(&br#"{ "z":1.0, "a":1e999999 , "b":"\ud800"}"#[..]));
        let stored = EventTypeConfig::from_stored(&full.to_doc()).unwrap();
        assert_eq!((stored.kind.as_str(), &stored), ("decision", &full));
    }

    #[test]
    fn abuse_a02_a12_all_faults_of_a_type_come_at_once() {
        let text = r#"{"description":"a\nb","schema":{"type":"strin","properties":{"a":{"$ref":"urn:x"}}},"example":1,
            "integrations":["a","a","..","é",1],"kind":"question","exmaple":2}"#;
        assert_eq!(
            faults(text),
            [
                "/description",
                "/schema/type",
                "/schema/properties/a/$ref",
                "/integrations/1",
                "/integrations/2",
                "/integrations/3",
                "/integrations/4",
                "/kind",
                "/exmaple"
            ]
        );
        let text = r#"{"schema":{"properties":{"a":{"type":"string"}},"required":["b"]},"example":{"a":1}}"#;
        assert_eq!(faults(text), ["/example/b", "/example/a"]);
        let long = format!(r#"{{"example":"{}"}}"#, "x".repeat(MAX_EXAMPLE_BYTES));
        assert_eq!(faults(&long), ["/example"]);
        let many: Vec<String> = (0..=MAX_INTEGRATIONS).map(|n| format!("\"i{n}\"")).collect();
        assert_eq!(faults(&format!(r#"{{"integrations":[{}]}}"#, many.join(","))), ["/integrations"]);
        assert_eq!(faults(r#"{"schema":true}"#), ["/schema"]);
    }
}
