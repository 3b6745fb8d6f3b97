//! A rendered request of each profile.

use bytes::Bytes;
use postrider_core::id::{Position, TenantNo};
use postrider_core::profile::Profile;
use postrider_core::record::Event;
use postrider_core::secret::{Secret, SigningSecret};
use postrider_core::time::Timestamp;
use postrider_core::wire::Message;

const AT: Timestamp = Timestamp::from_millis(1_763_000_000_123);

pub(crate) fn event(event_type: &str, data: &[u8]) -> Event {
    Event {
        position: Position(7),
        tenant: TenantNo(1),
        accepted_at: AT,
        occurred_at: AT,
        event_type: event_type.into(),
        own_id: Some("order-7".into()),
        key: None,
        subject: None,
        expires_at: None,
        attributes: Bytes::new(),
        data: Bytes::copy_from_slice(data),
    }
}

pub(crate) fn message(event: &Event) -> Message<'_> {
    Message {
        event,
        id: "order-7",
        sequence: Some(41),
        attempt: 2,
        at: AT,
        endpoint: "ep_till",
        tenant: "acme",
    }
}

/// Headers and body as they are sent.
fn request(profile: &Profile, event: &Event) -> String {
    // 24 bytes in base64, so that it is a secret of every profile.
    let secret = SigningSecret::of_text(Secret::new("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX")).unwrap();
    let keys = profile.keys(&secret).unwrap();
    let message = message(event);
    let body = profile.wire().render_body(&message);
    let names: Vec<&str> = profile.wire().header_names().collect();
    let mut text = String::new();
    profile.wire().render_headers(&message, &body, std::iter::once(&keys), |at, value, _| {
        text.push_str(&format!("{}: {value}\n", names[at]));
    });
    text + "\n" + std::str::from_utf8(&body).unwrap()
}

#[test]
fn each_profile_sends_what_its_partners_expect() {
    for (profile, event_type) in [
        ("standard", "card.transaction.authorized"),
        ("clevercards", "CARD_ACCOUNT_FUNDED"),
        ("penny", "transaction.authorized"),
        ("fourpay", "card_transaction"),
        ("mcards", "transaction"),
        ("opencard", "card.transaction.authorized"),
    ] {
        let profiles = postrider_profiles::built_in();
        let profile = profiles.get(profile).unwrap();
        let example = profile.types().get(event_type).and_then(|found| found.example.as_deref());
        let event = event(event_type, example.unwrap_or(br#"{"amount": 42.50}"#));
        insta::assert_snapshot!(profile.name().as_str(), request(profile, &event));
    }
}

#[test]
fn data_goes_out_byte_for_byte_where_there_is_no_envelope() {
    let data = b"{ \"z\" :\t[ ], \"a\":1e999999, \"a\":\"\\ud800\" }\n";
    for profile in ["fourpay", "opencard"] {
        let profiles = postrider_profiles::built_in();
        let event = event("card_transaction", data);
        let body = profiles.get(profile).unwrap().wire().render_body(&message(&event));
        assert_eq!(body, &data[..]);
        assert_eq!(body.as_ptr(), event.data.as_ptr(), "{profile} copies nothing");
    }
}

#[test]
fn flat_data_get_their_event_type_and_nothing_else_is_touched() {
    let profiles = postrider_profiles::built_in();
    let mcards = profiles.get("mcards").unwrap();
    for (data, expected) in [
        ("{}", Ok(r#"{"webhook_event_type":"location"}"#)),
        (" { } ", Ok(r#" {"webhook_event_type":"location" } "#)),
        ("{ \"a\" : 1.50 }", Ok(r#"{"webhook_event_type":"location", "a" : 1.50 }"#)),
        (r#"{"a":1,"webhook_event_type":"location"}"#, Ok(r#"{"a":1,"webhook_event_type":"location"}"#)),
        (r#"{"webhook\u005fevent_type":"location"}"#, Ok(r#"{"webhook\u005fevent_type":"location"}"#)),
        (
            r#"{"in":{"webhook_event_type":"other"}}"#,
            Ok(r#"{"webhook_event_type":"location","in":{"webhook_event_type":"other"}}"#),
        ),
        (r#"{"webhook_event_type":"transaction"}"#, Err("/webhook_event_type")),
        (r#"{"webhook_event_type":null}"#, Err("/webhook_event_type")),
        (r#"{"webhook_event_type":"location","webhook_event_type":"x"}"#, Err("/webhook_event_type")),
        ("[]", Err("")),
        ("\"location\"", Err("")),
        ("null", Err("")),
    ] {
        let event = event("location", data.as_bytes());
        let checked = mcards.check_data("location", data.as_bytes());
        assert_eq!(checked.as_ref().err().map(|fault| &*fault.pointer), expected.err(), "{data}");
        // What is refused and comes all the same, by another profile's publication, goes out as it is.
        assert_eq!(mcards.wire().render_body(&message(&event)), expected.unwrap_or(data), "{data}");
    }
}

#[test]
fn abuse_a12_no_value_of_an_event_breaks_a_header() {
    let text = r#"
        body = { shape = "raw" }
        headers = { X-Key = "k={event.key};", X-Subject = "{event.subject}", X-Both = "{event.id}/{tenant.id}/{endpoint.id}" }
    "#;
    let profile = Profile::parse("own".parse().unwrap(), text).unwrap();
    let mut event = event("card.frozen", b"1");
    event.key = Some("a\r\nX-Evil: 1 é%".into());
    let mut seen = Vec::new();
    profile.wire().render_headers(&message(&event), b"1", std::iter::empty(), |at, value, signs| {
        assert!(!signs);
        seen.push((at, value));
    });
    // Without a subject there is no header of it.
    let expected = [(0, "k=a%0D%0AX-Evil:%201%20%C3%A9%25;"), (2, "order-7/acme/ep_till")];
    assert_eq!(seen, expected.map(|(at, value)| (at, value.to_owned())));
}
