//! Events as their publishers send them: one, an array, or lines of JSON.
//!
//! A good event is read in one pass; `data` and `attributes` stay the bytes that came, as slices of the body. Only a
//! bad one is read again, to tell everything that is wrong with it.

use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::fault::ParseError;
use crate::fields::is_plain;
use crate::id::{SubjectId, TenantId};
use crate::json::{self, Detail, Object, Text};
use crate::subscription::is_type_name;
use crate::time::Timestamp;

mod attributes;
mod batch;
mod sample;

pub use attributes::{MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTE_NAME, MAX_ATTRIBUTES};
pub use batch::{Batch, MAX_BATCH_ITEMS, parse_batch, parse_ndjson};
pub use sample::Sample;

/// The longest id of a publisher's own, in bytes.
pub const MAX_OWN_ID: usize = 128;
/// The longest ordering key, in characters.
pub const MAX_KEY_CHARS: usize = 256;

/// An event as its publisher sent it. It has a tenant or a subject, or both.
///
/// ```
/// use bytes::Bytes;
/// use postrider_core::event::NewEvent;
/// let body = Bytes::from(r#"{"tenant": "acme", "type": "card.frozen", "data": {"amount": 42.50}}"#);
/// let event = NewEvent::parse(&body, 256 * 1024).unwrap();
/// assert_eq!((event.tenant, &*event.event_type), (Some("acme".parse().unwrap()), "card.frozen"));
/// assert_eq!(event.data, r#"{"amount": 42.50}"#);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct NewEvent {
    /// Whose; `None` for all tenants that the subject belongs to.
    pub tenant: Option<TenantId>,
    /// What it is about.
    pub subject: Option<SubjectId>,
    /// The event type's name; see [`is_type_name`].
    pub event_type: Arc<str>,
    /// The data, any JSON value: exactly the bytes that came, a slice of the body.
    pub data: Bytes,
    /// The publisher's own id: 1 to [`MAX_OWN_ID`] of `A-Za-z0-9_:-`.
    pub own_id: Option<Box<str>>,
    /// The ordering key: 1 to [`MAX_KEY_CHARS`] characters without control characters.
    pub key: Option<Box<str>>,
    /// The attributes, a JSON object of strings, numbers and booleans: exactly the bytes that came; empty for none.
    pub attributes: Bytes,
    /// When it happened, if the publisher says so.
    pub occurred_at: Option<Timestamp>,
    /// From when on it is of no use any more.
    pub expires_at: Option<Timestamp>,
}

/// The fields as they stand in the text. The fast path only: a fault of any kind leads to the slow one.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Wire<'a> {
    #[serde(borrow, default)]
    tenant: Option<Text<'a>>,
    #[serde(borrow, default)]
    subject: Option<Text<'a>>,
    #[serde(borrow, rename = "type")]
    event_type: Text<'a>,
    #[serde(borrow)]
    data: &'a RawValue,
    #[serde(borrow, default)]
    id: Option<Text<'a>>,
    #[serde(borrow, default)]
    key: Option<Text<'a>>,
    #[serde(borrow, default)]
    attributes: Option<&'a RawValue>,
    #[serde(borrow, default)]
    occurred_at: Option<Text<'a>>,
    #[serde(borrow, default)]
    expires_at: Option<Text<'a>>,
}

impl NewEvent {
    /// Reads the body of a request that publishes one event of at most `max_bytes` bytes, everything included.
    ///
    /// # Errors
    /// [`ParseError::TooLarge`] above `max_bytes`; else [`ParseError::Syntax`], or all faults at once.
    pub fn parse(body: &Bytes, max_bytes: usize) -> Result<Self, ParseError> {
        if body.len() > max_bytes {
            return Err(ParseError::TooLarge { limit: max_bytes });
        }
        Self::parse_text(body, json::utf8(body)?, max_bytes)
    }

    /// Reads one event out of `text`, which is a part of `body`.
    fn parse_text(body: &Bytes, text: &str, max_bytes: usize) -> Result<Self, ParseError> {
        if text.len() > max_bytes {
            return Err(ParseError::TooLarge { limit: max_bytes });
        }
        json::check_depth(text)?;
        match serde_json::from_str::<Wire<'_>>(text).ok().and_then(|wire| Self::from_wire(body, &wire)) {
            Some(event) => Ok(event),
            None => Self::parse_slowly(body, text),
        }
    }

    fn from_wire(body: &Bytes, wire: &Wire<'_>) -> Option<Self> {
        if wire.tenant.is_none() && wire.subject.is_none() {
            return None;
        }
        let time = |text: &Option<Text<'_>>| text.as_ref().map(|at| Timestamp::parse(&at.0)).transpose().ok();
        Some(Self {
            tenant: wire.tenant.as_ref().map(|id| id.0.parse()).transpose().ok()?,
            subject: wire.subject.as_ref().map(|id| id.0.parse()).transpose().ok()?,
            event_type: event_type(&wire.event_type.0).ok()?.into(),
            data: slice(body, wire.data),
            own_id: wire.id.as_ref().map(|id| own_id(&id.0).map(Box::from)).transpose().ok()?,
            key: wire.key.as_ref().map(|key| ordering_key(&key.0).map(Box::from)).transpose().ok()?,
            attributes: match wire.attributes {
                Some(raw) => {
                    attributes::are_good(raw).then_some(())?;
                    slice(body, raw)
                }
                None => Bytes::new(),
            },
            occurred_at: time(&wire.occurred_at)?,
            expires_at: time(&wire.expires_at)?,
        })
    }

    fn parse_slowly(body: &Bytes, text: &str) -> Result<Self, ParseError> {
        let mut object = Object::parse(text)?;
        if !object.has("tenant") && !object.has("subject") {
            object.fault("tenant", "is missing; name the tenant, or the subject that the event is about");
        }
        let tenant = object.optional("tenant", |v| Ok(json::string(v)?.parse::<TenantId>()?));
        let subject = object.optional("subject", |v| Ok(json::string(v)?.parse::<SubjectId>()?));
        let event_type = object.required("type", |v| Ok(Arc::from(event_type(&json::string(v)?)?)));
        let data = object.required_raw("data").map(|raw| slice(body, raw));
        let own_id = object.optional("id", |v| Ok(own_id(&json::string(v)?)?.into()));
        let key = object.optional("key", |v| Ok(ordering_key(&json::string(v)?)?.into()));
        let attributes = attributes::read(&mut object).map(|raw| slice(body, raw)).unwrap_or_default();
        let time = |v| Ok(Timestamp::parse(&json::string(v)?)?);
        let occurred_at = object.optional("occurred_at", time);
        let expires_at = object.optional("expires_at", time);
        let event = event_type.zip(data).map(|(event_type, data)| Self {
            tenant,
            subject,
            event_type,
            data,
            own_id,
            key,
            attributes,
            occurred_at,
            expires_at,
        });
        object.end(event)
    }
}

fn slice(body: &Bytes, raw: &RawValue) -> Bytes {
    body.slice_ref(raw.get().as_bytes())
}

fn event_type(text: &str) -> Result<&str, &'static str> {
    if is_type_name(text) {
        return Ok(text);
    }
    Err("must be 1 to 128 of A-Z a-z 0-9 _ - in segments parted by single dots, such as card.frozen")
}

fn own_id(text: &str) -> Result<&str, &'static str> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'_' | b':' | b'-');
    if (1..=MAX_OWN_ID).contains(&text.len()) && text.bytes().all(allowed) {
        return Ok(text);
    }
    Err("must be 1 to 128 of A-Z a-z 0-9 _ : - (no dot)")
}

fn ordering_key(text: &str) -> Result<&str, Detail> {
    if !text.is_empty() && text.chars().nth(MAX_KEY_CHARS).is_none() && is_plain(text) {
        return Ok(text);
    }
    Err(format!(
        "must be 1 to {MAX_KEY_CHARS} characters without control characters, line breaks or direction marks"
    )
    .into())
}

#[cfg(test)]
mod tests;
