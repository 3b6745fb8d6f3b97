//! How deliveries look on the wire: a format that a profile declares, compiled once to pieces that are written one after the
//! other for each attempt.

use std::collections::BTreeSet;

use bytes::Bytes;

use crate::endpoint::headers as rules;
use crate::fault::Fault;
use crate::json::{self, Object};
use crate::record::Event;
use crate::time::Timestamp;

mod body;
mod receive;
mod sign;
mod template;

pub use receive::Received;
pub use sign::Keys;
pub use template::MAX_TEMPLATE_BYTES;

use body::Body;
use sign::Signature;
use template::Part;

/// In a response: what the receiver wants to become of the delivery; see [`parse_directive`](crate::retry::parse_directive).
pub const WEBHOOK_DELIVERY: &str = "webhook-delivery";
/// The media type of every body.
pub const CONTENT_TYPE: &str = "application/json";
/// What requests say that they come from.
pub const USER_AGENT: &str = concat!("Postrider/", env!("CARGO_PKG_VERSION"));
/// The most headers of a format.
pub const MAX_HEADERS: usize = 32;
/// Room for the value of a header, in bytes; signatures make their own.
const HEADER_BYTES: usize = 32;
/// The most signatures of a format.
pub const MAX_SIGNATURES: usize = 4;

/// What one attempt tells of a delivery.
#[derive(Clone, Copy, Debug)]
pub struct Message<'a> {
    /// The event.
    pub event: &'a Event,
    /// The event's id: [`Event::id`].
    pub id: &'a str,
    /// The endpoint's number for the delivery; a test has none.
    pub sequence: Option<u64>,
    /// The number of the attempt, from 1.
    pub attempt: u32,
    /// The time of the attempt.
    pub at: Timestamp,
    /// The endpoint's id.
    pub endpoint: &'a str,
    /// Its tenant's id.
    pub tenant: &'a str,
}

/// A wire format, compiled.
///
/// ```
/// # use bytes::Bytes;
/// # use postrider_core::{id::*, record::Event, time::Timestamp};
/// use postrider_core::profile::Profile;
/// use postrider_core::wire::Message;
/// let format = Profile::standard().wire();
/// let at = Timestamp::from_millis(1_763_000_000_123);
/// let event = Event {
///     event_type: "card.frozen".into(),
///     occurred_at: at,
///     data: Bytes::from(r#"{"amount": 42.50}"#),
///     // ...
/// #   position: Position(1), tenant: TenantNo(1), accepted_at: at, own_id: None, key: None, attributes: Bytes::new(),
/// #   subject: None, expires_at: None,
/// };
/// let message = Message { event: &event, id: "evt_1", sequence: Some(7), attempt: 1, at, endpoint: "ep_1", tenant: "acme" };
/// let body = format.render_body(&message);
/// assert_eq!(body, r#"{"type":"card.frozen","timestamp":"2025-11-13T02:13:20.123Z","data":{"amount": 42.50}}"#);
/// let mut headers = Vec::new();
/// format.render_headers(&message, &body, std::iter::empty(), |at, value, _| {
///     headers.push(format!("{}: {value}", format.header_names().nth(at).unwrap()));
/// });
/// assert_eq!(headers[..2], ["webhook-id: evt_1", "webhook-timestamp: 1763000000"]);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct WireFormat {
    body: Body,
    headers: Box<[Header]>,
    signatures: Box<[Signature]>,
}

#[derive(Clone, PartialEq, Eq, Debug)]
struct Header {
    name: Box<str>,
    /// A special part is a signature, by its place.
    value: Box<[Part<usize>]>,
    /// Whether there is a signature in it, which a log does not show.
    signs: bool,
}

impl WireFormat {
    /// Reads `{body, headers?, signatures?}` out of a profile's declaration.
    pub(crate) fn read(object: &mut Object<'_>) -> Option<Self> {
        let body = if object.has("body") {
            object.object("body", Body::read)
        } else {
            object.fault("body", "is missing; the smallest is shape = \"raw\"");
            None
        };
        let signatures =
            object.named_objects("signatures", MAX_SIGNATURES, Signature::read).unwrap_or_default();
        let mut used = BTreeSet::new();
        let mut seen: Vec<String> = Vec::new();
        let headers = object.map("headers", MAX_HEADERS, |name, value| {
            rules::check_profile_name(name)?;
            let lower = name.to_ascii_lowercase();
            if seen.contains(&lower) {
                return Err("is set twice; names differ in more than case".into());
            }
            seen.push(lower);
            let text = json::string(value)?;
            if text.is_empty()
                || !text.bytes().all(|b| (0x20..0x7f).contains(&b))
                || text.trim().len() != text.len()
            {
                return Err("must be visible ASCII characters and spaces, none of them first or last".into());
            }
            let value = template::parse(&text, |place| {
                let name = place.strip_prefix("signatures.")?;
                let at = signatures.iter().position(|signature| *signature.name == *name);
                Some(at.ok_or_else(|| format!("names the signature {name}, which is not declared").into()))
            })?;
            let places =
                value.iter().filter_map(|part| if let Part::Special(at) = part { Some(*at) } else { None });
            let signs = places.clone().next().is_some();
            used.extend(places);
            Ok(Header { name: name.into(), value: value.into(), signs })
        });
        for (at, signature) in signatures.iter().enumerate() {
            if !used.contains(&at) {
                let detail = format!(
                    "is sent in no header; name it in one as {{signatures.{}}}, or drop it",
                    signature.name
                );
                object.faults_below("signatures", vec![Fault::new(format!("/{}", signature.name), detail)]);
            }
        }
        Some(Self { body: body?, headers: headers.unwrap_or_default().into(), signatures: signatures.into() })
    }

    /// The body of a delivery: the same on every attempt, and not copied where it is the data alone.
    pub fn render_body(&self, message: &Message<'_>) -> Bytes {
        self.body.render(message)
    }

    /// The names of its headers, in the order in which they are sent.
    pub fn header_names(&self) -> impl ExactSizeIterator<Item = &str> {
        self.headers.iter().map(|header| &*header.name)
    }

    /// Gives each header of one attempt to `put`: its place among [`Self::header_names`], its value, and whether it holds a
    /// signature. One that holds a value which this delivery does not have is left out, and so are signatures without keys.
    /// Values are visible ASCII, whatever the event holds.
    pub fn render_headers<'k>(
        &self,
        message: &Message<'_>,
        body: &[u8],
        keys: impl Iterator<Item = &'k Keys> + Clone,
        mut put: impl FnMut(usize, String, bool),
    ) {
        for (index, header) in self.headers.iter().enumerate() {
            let mut value = String::with_capacity(if header.signs { 0 } else { HEADER_BYTES });
            let whole = template::write(&header.value, message, &mut value, |at, out| {
                self.signatures[*at].write(*at, message, body, keys.clone(), out)
            });
            if whole {
                put(index, value, header.signs);
            }
        }
    }

    /// Headers as a log shows them, which has no keys: signatures are `mask`.
    pub fn masked_headers(&self, message: &Message<'_>, mask: &str, mut put: impl FnMut(&str, String)) {
        for header in &self.headers {
            let mut value = String::new();
            let whole = template::write(&header.value, message, &mut value, |at, out| {
                out.push_str(self.signatures[*at].prefix());
                out.push_str(mask);
                true
            });
            if whole {
                put(&header.name, value);
            }
        }
    }

    /// Makes the key of a secret ready for its signatures.
    pub(crate) fn keys(&self, key: &[u8]) -> Keys {
        Keys::of(&self.signatures, key)
    }

    /// Whether both set a header of that name, in lower case, to the same: then a request that carries both has it once.
    pub(crate) fn agrees(&self, other: &Self, name: &str) -> bool {
        let unsigned = |format: &'_ Self| {
            let header = format.headers.iter().find(|header| header.name.eq_ignore_ascii_case(name));
            header.filter(|header| !header.signs).map(|header| header.value.clone())
        };
        unsigned(self).is_some_and(|value| unsigned(other) == Some(value))
    }

    /// Whether it signs anything.
    pub fn signs(&self) -> bool {
        !self.signatures.is_empty()
    }

    /// Whether an event's data can be sent in this format.
    ///
    /// # Errors
    /// What stands in the way, with a pointer that begins at the data.
    pub fn check_data(&self, event_type: &str, data: &[u8]) -> Result<(), Fault> {
        self.body.check_data(event_type, data)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::id::{Position, TenantNo};
    use crate::profile::{Misdeclared, Profile};
    use crate::secret::SigningSecret;

    const AT: Timestamp = Timestamp::from_millis(1_763_000_000_123);

    fn event(event_type: &str, data: &[u8]) -> Event {
        Event {
            position: Position(1),
            tenant: TenantNo(1),
            accepted_at: AT,
            occurred_at: AT,
            event_type: event_type.into(),
            own_id: None,
            key: None,
            subject: None,
            expires_at: None,
            attributes: Bytes::new(),
            data: Bytes::copy_from_slice(data),
        }
    }

    fn message(event: &Event) -> Message<'_> {
        Message { event, id: "e-1", sequence: Some(7), attempt: 2, at: AT, endpoint: "till", tenant: "acme" }
    }

    fn own(text: &str) -> Result<Profile, Vec<Misdeclared>> {
        Profile::parse("own".parse().unwrap(), text)
    }

    fn body_of(profile: &Profile, event: &Event) -> String {
        String::from_utf8(profile.wire().render_body(&message(event)).to_vec()).unwrap()
    }

    #[test]
    fn abuse_a05_a06_a07_data_goes_out_byte_for_byte() {
        for data in [
            &b"1e999999"[..],
            br#"{"b":42.50,"a":1,"a":2}"#,
            br#""\ud800\u0000""#,
            b"{ \"z\" :\t[ ] }",
            "\"é\u{202e}\"".as_bytes(),
            b"null",
        ] {
            let event = Event {
                occurred_at: Timestamp::parse("0001-01-01T00:00:00.0009Z").unwrap(),
                ..event("a", data)
            };
            let body = Profile::standard().wire().render_body(&message(&event));
            let head = br#"{"type":"a","timestamp":"0001-01-01T00:00:00.000Z","data":"#;
            assert_eq!(body, [head, data, b"}"].concat());
        }
    }

    #[test]
    fn an_envelope_is_json_for_any_values() {
        let profile = own(r#"
            [body]
            shape = "envelope"
            fields = [
                { name = "a\"b", from = "event.type" },
                { name = "key", from = "event.key" },
                { name = "subject", from = "event.subject" },
                { name = "at", from = "event.occurred_at" },
                { name = "s", from = "event.occurred_at:rfc3339_s" },
                { name = "unix", from = "event.accepted_at:unix_s" },
                { name = "ms", from = "event.accepted_at:unix_ms" },
                { name = "attributes", from = "event.attributes" },
                { name = "constant", constant = { b = [1, 2.5, "x"], a = true } },
                { name = "sequence", from = "sequence" },
                { name = "who", from = "endpoint.id" },
            ]
        "#)
        .unwrap();
        let event = Event { key: Some("k\"\\\n".into()), ..event("a\"\\\n", b"1") };
        let expected = r#"{"a\"b":"a\"\\\n","key":"k\"\\\n","subject":null,"at":"2025-11-13T02:13:20.123Z","s":"2025-11-13T02:13:20Z","unix":1763000000,"ms":1763000000123,"attributes":{},"constant":{"b":[1,2.5,"x"],"a":true},"sequence":7,"who":"till"}"#;
        assert_eq!(body_of(&profile, &event), expected);
        serde_json::from_str::<serde_json::Value>(expected).unwrap();
        let test = Message { sequence: None, ..message(&event) };
        let body = profile.wire().render_body(&test);
        assert!(body.windows(15).any(|part| part == b"\"sequence\":null"), "{body:?}");
    }

    #[test]
    fn what_a_header_needs_and_a_delivery_has_not_leaves_it_out() {
        let profile = own(r#"
            body = { shape = "raw" }
            headers = { X-A = "{{{event.type}}}", X-Key = "{event.key}", X-Sig = "t={timestamp:unix_s},{signatures.a}" }
            signatures.a = { encoding = "base64", over = "{event.subject}.{body}" }
        "#)
        .unwrap();
        let keys = profile.keys(&SigningSecret::generate([1; 24])).unwrap();
        let sent = |event: &Event, keys: &[Keys]| {
            let mut sent = Vec::new();
            let put = |at, value: String, signs| sent.push((at, value, signs));
            profile.wire().render_headers(&message(event), &event.data, keys.iter(), put);
            sent
        };
        let keys = [keys];
        let bare = event("card.frozen", b"1");
        assert_eq!(sent(&bare, &keys), [(0, "{card.frozen}".to_owned(), false)]);
        let about = Event { subject: Some("card-1".into()), key: Some("k".into()), ..bare };
        let whole = sent(&about, &keys);
        assert_eq!(whole.len(), 3);
        assert!(whole[2].1.starts_with("t=1763000000,") && whole[2].1.len() == 13 + 44 && whole[2].2);
        assert_eq!(sent(&about, &[]).len(), 2, "nothing signs without a key");
    }

    #[test]
    fn signatures_are_those_of_rfc_4231() {
        // Test case 2.
        for (algorithm, expected) in [
            ("hmac-sha256", "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
            (
                "hmac-sha512",
                "164b7a7bfcf819e2e395fbe73b56e0a387bd64222e831fd610270cd7ea2505549758bf75c05a994a6d034f65f8f0e6fdcaeab1a34d4a6b4b636e070a38bce737",
            ),
        ] {
            let text = format!(
                "body = {{ shape = \"raw\" }}\nheaders = {{ X = \"{{signatures.a}}\" }}\n\
                 signatures.a = {{ algorithm = \"{algorithm}\", encoding = \"hex\", over = \"{{body}}\" }}"
            );
            let profile = own(&text).unwrap();
            let secret = SigningSecret::of_text(crate::secret::Secret::new("Jefe")).unwrap();
            let keys = profile.keys(&secret).unwrap();
            let event = event("a", b"what do ya want for nothing?");
            let mut sent = Vec::new();
            let both = [keys.clone(), keys];
            profile
                .wire()
                .render_headers(&message(&event), &event.data, both.iter(), |_, value, _| sent.push(value));
            assert_eq!(sent, [format!("{expected} {expected}")]);
        }
    }
}
