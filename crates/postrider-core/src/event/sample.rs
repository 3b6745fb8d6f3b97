//! An event that nobody published: what an event is like of which somebody wants to know who would get it.

use std::sync::Arc;

use bytes::Bytes;

use super::{attributes, event_type};
use crate::fault::ParseError;
use crate::json::{self, Object};

/// What matching looks at of an event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Sample {
    /// The event type's name.
    pub event_type: Arc<str>,
    /// The attributes, a JSON object; empty for none.
    pub attributes: Bytes,
    /// The data, any JSON value; empty for none.
    pub data: Bytes,
}

impl Sample {
    /// Reads `{type, attributes?, data?}`, with what is allowed in an event.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse(body: &[u8]) -> Result<Self, ParseError> {
        let mut object = Object::parse(json::utf8(body)?)?;
        let event_type = object.required("type", |v| Ok(Arc::from(event_type(&json::string(v)?)?)));
        let bytes = |raw: &serde_json::value::RawValue| Bytes::copy_from_slice(raw.get().as_bytes());
        let attributes = attributes::read(&mut object).map(bytes).unwrap_or_default();
        let data = object.optional_raw("data").map(bytes).unwrap_or_default();
        object.end(event_type.map(|event_type| Self { event_type, attributes, data }))
    }
}
