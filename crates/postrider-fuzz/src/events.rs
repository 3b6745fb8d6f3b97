//! Events as publishers send them: what is read is what stands there, alone or among others.

use bytes::Bytes;
use postrider_core::event::{MAX_BATCH_ITEMS, NewEvent, parse_batch, parse_ndjson};
use postrider_core::fault::{MAX_FAULTS, ParseError};
use serde_json::Value;
use serde_json::value::RawValue;

/// Small, so that inputs are found that are larger.
const MAX_EVENT: usize = 2_048;

pub(crate) fn event(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    match NewEvent::parse(&body, MAX_EVENT) {
        Ok(event) => agrees(&event, bytes),
        Err(error) => is_told(&error),
    }
}

/// What was read against a plain reading of the same text.
fn agrees(event: &NewEvent, bytes: &[u8]) {
    assert!(event.tenant.is_some() || event.subject.is_some(), "it is somebody's");
    // A number without bounds, or half a pair of surrogates, is data to us, and nothing to this reader.
    let Ok(plain) = serde_json::from_slice::<Value>(bytes) else { return };
    let text = |name: &str| plain[name].as_str();
    assert_eq!(text("type"), Some(&*event.event_type));
    assert_eq!(text("id"), event.own_id.as_deref());
    assert_eq!(text("key"), event.key.as_deref());
    assert_eq!(text("tenant"), event.tenant.as_ref().map(|id| id.as_str()));
    assert_eq!(text("subject"), event.subject.as_ref().map(|id| id.as_str()));
    assert_eq!(serde_json::from_slice::<Value>(&event.data).unwrap(), plain["data"]);
    if !event.attributes.is_empty() {
        assert_eq!(serde_json::from_slice::<Value>(&event.attributes).unwrap(), plain["attributes"]);
    }
}

/// A refusal says what is wrong, and not too much.
pub(crate) fn is_told(error: &ParseError) {
    match error {
        ParseError::Faults(faults) => {
            assert!((1..=MAX_FAULTS).contains(&faults.len()), "{} faults", faults.len());
            for fault in faults {
                assert!(fault.pointer.is_empty() || fault.pointer.starts_with('/'), "{fault:?}");
            }
        }
        ParseError::Syntax(text) => assert!(!text.is_empty()),
        ParseError::TooLarge { .. } => {}
    }
}

pub(crate) fn batch(bytes: &[u8]) {
    let body = Bytes::copy_from_slice(bytes);
    let alone = |text: &[u8], at: usize| {
        let event = NewEvent::parse(&Bytes::copy_from_slice(text), MAX_EVENT);
        event.map_err(|error| error.under(&format!("/{at}")))
    };
    if let Ok(batch) = parse_batch(&body, MAX_EVENT) {
        let items: Vec<&RawValue> = serde_json::from_slice(bytes).unwrap();
        assert!(items.len() == batch.len() && batch.len() <= MAX_BATCH_ITEMS);
        for (at, (item, read)) in items.into_iter().zip(batch).enumerate() {
            assert_eq!(read, alone(item.get().as_bytes(), at));
        }
    }
    if let Ok(batch) = parse_ndjson(&body, MAX_EVENT) {
        let lines =
            bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii).filter(|line| !line.is_empty());
        let expected: Vec<_> = lines.enumerate().map(|(at, line)| alone(line, at)).collect();
        assert_eq!(batch, expected);
    }
}
