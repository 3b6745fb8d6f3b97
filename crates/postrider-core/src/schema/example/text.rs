//! A text of the format, pattern and length that its schemas ask for.

use serde_json::Value;

use super::{MAX_CHARS, Wishes, largest, pattern, smallest};

/// What a text is unless its schemas say otherwise.
const USUAL: &str = "example";

/// A text; `nth` tells it apart from its neighbours. `None` where one would be too long.
pub(super) fn of(wishes: &Wishes<'_>, nth: u64) -> Option<String> {
    let named = |keyword: &str| wishes.iter().find_map(|wish| wish.get(keyword)).and_then(Value::as_str);
    if let Some(pattern) = named("pattern") {
        return pattern::sample(pattern);
    }
    if let Some(text) = named("format").and_then(|format| of_format(format, nth)) {
        return Some(text);
    }
    let (at_least, at_most) =
        (largest(wishes, "minLength").unwrap_or(0), smallest(wishes, "maxLength").unwrap_or(u64::MAX));
    if at_least > MAX_CHARS {
        return None;
    }
    let mut text = if nth == 0 { USUAL.to_owned() } else { format!("{nth} {USUAL}") };
    // Both bounds are below `MAX_CHARS`, or too far away to matter; the text is ASCII.
    let (at_least, at_most) =
        (usize::try_from(at_least).ok()?, usize::try_from(at_most).unwrap_or(usize::MAX));
    text.truncate(at_most);
    while text.len() < at_least {
        text.push('x');
    }
    Some(text)
}

/// A text of one of the formats of the standard (validation, section 7.3).
fn of_format(format: &str, nth: u64) -> Option<String> {
    let nth = nth % 60;
    Some(match format {
        "uuid" => format!("018f3c5e-7b1a-7c3d-9e2f-0123456789{nth:02x}"),
        "date-time" => format!("2026-01-31T12:00:{nth:02}Z"),
        "date" => "2026-01-31".to_owned(),
        "time" => format!("12:00:{nth:02}Z"),
        "duration" => "PT1H".to_owned(),
        "email" => format!("person{nth}@example.com"),
        "hostname" => "example.com".to_owned(),
        "ipv4" => format!("192.0.2.{nth}"),
        "ipv6" => format!("2001:db8::{nth:x}"),
        "uri" | "uri-reference" | "iri" | "iri-reference" => format!("https://example.com/{nth}"),
        _ => return None,
    })
}
