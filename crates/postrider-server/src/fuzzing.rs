//! The private readers of this crate, for whoever tries bytes on them: each function panics where a promise breaks.
#![allow(clippy::panic, clippy::unwrap_used, reason = "a panic is how a fuzzer hears of it")]

use http::{HeaderMap, HeaderValue, Uri, header};

use crate::body::MediaType;
use crate::cursor::{self, List};
use crate::query::Query;
use crate::{auth, connection, request_id, routes};

/// Bytes of a connection through the strict framing.
pub fn framing(bytes: &[u8]) {
    connection::check_framing(bytes);
}

/// A cursor that somebody sends, and one that leads to these bytes, sound and tampered with.
pub fn cursor(bytes: &[u8]) {
    if let Ok(text) = std::str::from_utf8(bytes)
        && let Ok(at) = cursor::read(List::Deliveries, "acme", text)
    {
        assert_eq!(cursor::write(List::Deliveries, "acme", &at), text, "a place has one cursor");
    }
    // Longer ones are never made.
    if bytes.len() > 256 {
        return;
    }
    let sound = cursor::write(List::Deliveries, "acme", bytes);
    assert_eq!(cursor::read(List::Deliveries, "acme", &sound).unwrap(), bytes);
    assert!(cursor::read(List::Events, "acme", &sound).is_err(), "it fits another list");
    assert!(cursor::read(List::Deliveries, "acme:1", &sound).is_err(), "it fits another tenant");
    for (at, original) in sound.char_indices() {
        let other = if original == 'A' { "B" } else { "A" };
        let mut tampered = sound.clone();
        tampered.replace_range(at..=at, other);
        assert!(cursor::read(List::Deliveries, "acme", &tampered).is_err(), "{tampered} passes");
    }
}

/// A query string, with every kind of parameter.
pub fn query(bytes: &[u8]) {
    let address = [b"/v1/tenants/acme/deliveries?", bytes].concat();
    let Ok(uri) = Uri::try_from(address) else { return };
    let Ok(mut query) = Query::of(&uri) else { return };
    let page = query.page(List::Deliveries, "acme");
    assert!((1..=250).contains(&page.limit), "a page is bounded");
    let _ = (page.before(), page.after_text());
    let window = query.window();
    let (kind, key) = (query.event_type(), query.name("key"));
    if query.finish().is_ok() {
        assert!(window.0.zip(window.1).is_none_or(|(since, until)| since <= until), "a window has a length");
        let texts = kind.iter().chain(&key);
        texts.for_each(|text| assert!(!postrider_core::card::holds_number(text), "a card number passes"));
    }
}

/// A value of each header that is read.
pub fn headers(bytes: &[u8]) {
    let Ok(value) = HeaderValue::from_bytes(bytes) else { return };
    let mut headers = HeaderMap::new();
    headers.insert(header::CONTENT_TYPE, value.clone());
    if MediaType::of(&headers).is_ok() {
        let lower = bytes.to_ascii_lowercase();
        let named =
            [&b"json"[..], b"x-ndjson"].iter().any(|name| memchr::memmem::find(&lower, name).is_some());
        assert!(named, "a type passes that is not ours");
    }
    headers.insert(request_id::HEADER, value.clone());
    let id = request_id::of(&headers);
    assert!((1..=128).contains(&id.len()) && id.as_bytes().iter().all(u8::is_ascii_graphic), "{id:?}");
    headers.insert("idempotency-key", value);
    if let Ok(Some(key)) = routes::idempotency_key(&headers) {
        assert_eq!(key.as_bytes(), bytes, "a key is what came");
    }
    if let Some(token) = auth::bearer(bytes) {
        assert!(bytes.ends_with(token.as_bytes()) || bytes.trim_ascii_end().ends_with(token.as_bytes()));
    }
}
