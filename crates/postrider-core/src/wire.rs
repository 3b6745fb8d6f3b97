//! How a delivery looks on the wire in profile `standard`: the names of its headers, and its body.

use bytes::Bytes;

use crate::record::Event;

/// The event's id, the same on every attempt.
pub const WEBHOOK_ID: &str = "webhook-id";
/// The time of the attempt, whole seconds since 1970.
pub const WEBHOOK_TIMESTAMP: &str = "webhook-timestamp";
/// The signatures of the attempt; see [`SigningKey`](crate::signature::SigningKey).
pub const WEBHOOK_SIGNATURE: &str = "webhook-signature";
/// The endpoint's gapless number for the delivery. Not signed.
pub const WEBHOOK_SEQUENCE: &str = "webhook-sequence";
/// The number of the attempt, from 1. Not signed.
pub const WEBHOOK_ATTEMPT: &str = "webhook-attempt";
/// In a response: what the receiver wants to become of the delivery; see [`parse_directive`](crate::retry::parse_directive).
pub const WEBHOOK_DELIVERY: &str = "webhook-delivery";
/// The media type of every body.
pub const CONTENT_TYPE: &str = "application/json";
/// What requests say that they come from.
pub const USER_AGENT: &str = concat!("Postrider/", env!("CARGO_PKG_VERSION"));

/// The body that every endpoint gets for an event: `{"type":…,"timestamp":…,"data":…}`, the data byte for byte as it was
/// published, the timestamp that of the occurrence. One allocation.
///
/// ```
/// # use std::sync::Arc;
/// # use bytes::Bytes;
/// # use postrider_core::{id::*, record::Event, time::Timestamp, wire::render_body};
/// # let at = Timestamp::from_millis(1_763_000_000_123);
/// let event = Event {
///     event_type: "card.frozen".into(),
///     occurred_at: at,
///     data: Bytes::from(r#"{"amount": 42.50}"#),
///     // ...
/// #   position: Position(1), tenant: TenantNo(1), accepted_at: at, own_id: None, key: None, attributes: Bytes::new(),
/// #   subject: None, expires_at: None,
/// };
/// let body = r#"{"type":"card.frozen","timestamp":"2025-11-13T02:13:20.123Z","data":{"amount": 42.50}}"#;
/// assert_eq!(render_body(&event), body);
/// ```
pub fn render_body(event: &Event) -> Bytes {
    use std::io::Write;
    // A type's name has no character that JSON escapes, and a time has 24 characters.
    let mut body = Vec::with_capacity(58 + event.event_type.len() + event.data.len());
    body.extend_from_slice(b"{\"type\":");
    serde_json::to_writer(&mut body, &*event.event_type).expect("a string is written to memory");
    write!(body, ",\"timestamp\":\"{}\",\"data\":", event.occurred_at).expect("a time is written to memory");
    body.extend_from_slice(&event.data);
    body.push(b'}');
    Bytes::from(body)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Position, TenantNo};
    use crate::time::Timestamp;

    fn event(event_type: &str, at: Timestamp, data: &'static [u8]) -> Event {
        Event {
            position: Position(1),
            tenant: TenantNo(1),
            accepted_at: Timestamp::EPOCH,
            occurred_at: at,
            event_type: event_type.into(),
            own_id: None,
            key: None,
            subject: None,
            expires_at: None,
            attributes: Bytes::new(),
            data: Bytes::from_static(data),
        }
    }

    #[test]
    fn abuse_a05_a06_a07_data_goes_out_byte_for_byte() {
        let at = Timestamp::parse("0001-01-01T00:00:00.0009Z").unwrap();
        for data in [
            &b"1e999999"[..],
            br#"{"b":42.50,"a":1,"a":2}"#,
            br#""\ud800\u0000""#,
            b"{ \"z\" :\t[ ] }",
            "\"é\u{202e}\"".as_bytes(),
            b"null",
        ] {
            let body = render_body(&event("a", at, data));
            let head = br#"{"type":"a","timestamp":"0001-01-01T00:00:00.000Z","data":"#;
            assert_eq!(body, [head, data, b"}"].concat());
        }
    }

    #[test]
    fn a_body_fits_its_allocation_and_is_json_for_any_type() {
        let event_type = "x".repeat(128);
        for (event_type, at) in [(&*event_type, Timestamp::FAR_FUTURE), ("a\"\\\n", Timestamp::EPOCH)] {
            let body = render_body(&event(event_type, at, b"{}"));
            let parsed: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert_eq!(
                (parsed["type"].as_str(), &parsed["data"]),
                (Some(event_type), &serde_json::json!({}))
            );
        }
        assert_eq!(58 + 1 + 2, render_body(&event("a", Timestamp::EPOCH, b"{}")).len());
    }
}
