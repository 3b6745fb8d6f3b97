//! Many events in one body: split once, each read on its own, so that a bad one spoils no other.

use bytes::Bytes;
use serde::de::IgnoredAny;

use super::NewEvent;
use crate::fault::ParseError;
use crate::json;

/// The most events of one body.
pub const MAX_BATCH_ITEMS: usize = 1_000;

/// The events of one body in order, each with what is wrong with it. Pointers begin with the index: `/3/type`.
pub type Batch = Vec<Result<NewEvent, ParseError>>;

/// Reads a JSON array of at most [`MAX_BATCH_ITEMS`] events, each of at most `max_event_bytes` bytes.
///
/// # Errors
/// [`ParseError::Syntax`] if the body as a whole is not JSON, a fault if it is no array or has too many items.
pub fn parse_batch(body: &Bytes, max_event_bytes: usize) -> Result<Batch, ParseError> {
    let text = json::utf8(body)?;
    let items = match json::split_array(text, MAX_BATCH_ITEMS) {
        Ok(Some(items)) => items,
        Ok(None) => return Err(too_many("items")),
        Err(e) if e.is_data() => return Err(ParseError::fault("", "must be an array of events")),
        Err(e) => return Err(json::syntax(text, &e)),
    };
    let read = |(i, item): (usize, &serde_json::value::RawValue)| {
        NewEvent::parse_text(body, item.get(), max_event_bytes).map_err(|e| e.under(&format!("/{i}")))
    };
    Ok(items.into_iter().enumerate().map(read).collect())
}

/// Reads lines of JSON, at most [`MAX_BATCH_ITEMS`] events, one a line; lines without anything are passed over, and do
/// not count in pointers.
///
/// # Errors
/// [`ParseError::Syntax`] if the last line neither ends nor is JSON: then the body was cut off, and nothing of it counts.
pub fn parse_ndjson(body: &Bytes, max_event_bytes: usize) -> Result<Batch, ParseError> {
    let text = json::utf8(body)?;
    if text.trim_ascii().is_empty() {
        return Err(ParseError::Syntax("the body is empty; it must be lines of JSON".into()));
    }
    let last = text.rsplit('\n').next().unwrap_or_default();
    if !last.trim_ascii().is_empty() && serde_json::from_str::<IgnoredAny>(last).is_err() {
        return Err(ParseError::Syntax(
            "the body is cut off: its last line is not JSON and does not end".into(),
        ));
    }
    let mut events = Vec::new();
    for line in text.split('\n').map(str::trim_ascii).filter(|line| !line.is_empty()) {
        if events.len() == MAX_BATCH_ITEMS {
            return Err(too_many("lines"));
        }
        let event = NewEvent::parse_text(body, line, max_event_bytes);
        events.push(event.map_err(|e| e.under(&format!("/{}", events.len()))));
    }
    Ok(events)
}

fn too_many(what: &str) -> ParseError {
    ParseError::fault(
        "",
        format!("has more than {MAX_BATCH_ITEMS} {what}; send at most {MAX_BATCH_ITEMS} at once"),
    )
}
