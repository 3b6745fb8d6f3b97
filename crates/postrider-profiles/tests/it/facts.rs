//! What is known of each platform's webhooks, fact by fact. Expected signatures were computed apart, with Python's `hmac`.

use std::time::Duration;

use postrider_core::challenge::Proof;
use postrider_core::endpoint::Auth;
use postrider_core::profile::{BearerForm, IdForm, Profile, Rotates};
use postrider_core::secret::{Secret, SigningSecret};
use postrider_profiles::built_in;

use crate::requests::{event, message};

/// No hex, no base64 and no ASCII: the bytes of the text are the key.
const SECRET: &str = "hush é";
/// With white space, an exponent, a doubled name and an escape, which tell whether bytes stay.
const DATA: &str = "{ \"total\" :\t42.50, \"total\": 1e2, \"note\": \"é\\u00e9\" }";

/// Headers in their order, and the body, signed under a secret if there is one.
fn rendered(profile: &Profile, event_type: &str, secret: Option<&str>) -> (Vec<(String, String)>, String) {
    let keys = secret.map(|text| {
        let secret = profile.secret().parse(Secret::new(text)).unwrap();
        profile.keys(&secret).unwrap()
    });
    let event = event(event_type, DATA.as_bytes());
    let message = message(&event);
    let body = profile.wire().render_body(&message);
    let names: Vec<&str> = profile.wire().header_names().collect();
    let mut headers = Vec::new();
    profile.wire().render_headers(&message, &body, keys.iter(), |at, value, _| {
        headers.push((names[at].to_owned(), value));
    });
    (headers, String::from_utf8(body.to_vec()).unwrap())
}

#[test]
fn each_request_is_the_one_that_its_platform_documents_byte_for_byte() {
    let envelope = format!(
        r#"{{"eventId":"order-7","eventType":"CARD_CREATED","occurredAt":"2025-11-13T02:13:20.123Z","data":{DATA}}}"#
    );
    let penny =
        format!(r#"{{"event_id":"order-7","event_identifier":"transaction.authorized","data":{DATA}}}"#);
    let flat = format!(r#"{{"webhook_event_type":"location",{}"#, &DATA[1..]);
    let standard =
        format!(r#"{{"type":"card.created","timestamp":"2025-11-13T02:13:20.123Z","data":{DATA}}}"#);
    for (profile, event_type, secret, own, body) in [
        (
            "clevercards",
            "CARD_CREATED",
            Some(SECRET),
            &[
                ("X-Signature", "a2dd1fcd15ffa8d9a479a2fb1672e491dc2e8665c9abfdb5c7d82db0172dc5e7"),
                ("Idempotency-Key", "order-7"),
            ][..],
            &*envelope,
        ),
        ("penny", "transaction.authorized", None, &[], &penny),
        (
            "fourpay",
            "card_state",
            Some(SECRET),
            &[
                ("X-Webhook-Signature", "0942a49bcdc01f1dda412e9ce783d579520cf8f636117567d0cd2183f5a2ec87"),
                ("X-Webhook-Event", "card_state"),
            ],
            DATA,
        ),
        (
            "mcards",
            "location",
            Some(SECRET),
            &[("X-Hmac-Signature", "d3b33f1ae1f3d595ab06a60c607dbd021fdaafa5b63124a25fc147bd1f37f3fe")],
            &flat,
        ),
        (
            "opencard",
            "tpa.signed",
            Some(SECRET),
            &[
                ("X-Event", "tpa.signed"),
                ("X-Version", "1"),
                ("X-Data-Signature", "0942a49bcdc01f1dda412e9ce783d579520cf8f636117567d0cd2183f5a2ec87"),
            ],
            DATA,
        ),
        (
            "standard",
            "card.created",
            Some("whsec_AAECAwQFBgcICQoLDA0ODxAREhMUFRYX"),
            &[
                ("webhook-id", "order-7"),
                ("webhook-signature", "v1,JutSUAc3/OB3fOTwcAEIcjTNhWqdPYBLHi8e4cSpLf4="),
                ("webhook-timestamp", "1763000000"),
                ("webhook-sequence", "41"),
                ("webhook-attempt", "2"),
            ],
            &standard,
        ),
    ] {
        let (headers, sent) = rendered(built_in().get(profile).unwrap(), event_type, secret);
        // What none of the platforms documents, and no partner minds.
        let added = [("X-Webhook-Id", "order-7"), ("X-Webhook-Sequence", "41")];
        let added = if profile == "standard" { &[][..] } else { &added };
        let expected = own.iter().chain(added).map(|&(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(headers, expected.collect::<Vec<_>>(), "{profile}");
        assert_eq!(sent, body, "{profile}");
    }
}

#[test]
fn without_a_secret_there_is_no_signature_and_all_else_stays() {
    for profile in built_in().iter() {
        let event_type = profile.types().keys().next().map_or("card.created", |name| name);
        let (headers, _) = rendered(profile, event_type, None);
        let signed = headers.iter().any(|(name, _)| name.to_ascii_lowercase().ends_with("signature"));
        let signatures = usize::from(profile.wire().signs());
        assert!(!signed && headers.len() + signatures == profile.wire().header_names().len(), "{headers:?}");
    }
}

#[test]
fn what_becomes_of_deliveries_is_as_each_platform_has_it() {
    for (profile, timeout, pause_skips, disables, ids) in [
        ("clevercards", 10, false, false, IdForm::Uuid),
        ("penny", 10, false, false, IdForm::Uuid),
        ("fourpay", 10, false, false, IdForm::Native),
        ("mcards", 10, true, false, IdForm::Uuid),
        ("opencard", 10, true, false, IdForm::Integer),
        ("standard", 15, false, true, IdForm::Native),
    ] {
        let profiles = built_in();
        let profile = profiles.get(profile).unwrap();
        let rules = profile.delivery();
        assert_eq!(rules.timeout, Duration::from_secs(timeout), "{}", profile.name());
        assert_eq!((rules.pause_skips, profile.ids()), (pause_skips, ids), "{}", profile.name());
        assert_eq!(
            (rules.gone_disables, rules.failing_disables, rules.directives),
            (disables, disables, disables)
        );
        assert_eq!(rules.schedule, None, "the server's own");
        for status in [200, 201, 202, 204, 299] {
            assert!(rules.acknowledged.by(status, b"whatever"), "{} {status}", profile.name());
        }
        for status in [101, 199, 300, 302, 400, 410, 500] {
            assert!(!rules.acknowledged.by(status, b"whatever"), "{} {status}", profile.name());
        }
    }
}

#[test]
fn secrets_are_what_each_platform_takes_for_one() {
    for (profile, made, fallback, readable, rotates) in [
        ("clevercards", Some(60), false, false, Rotates::AtOnce),
        ("penny", None, false, false, Rotates::AtOnce),
        ("fourpay", None, true, false, Rotates::AtOnce),
        ("mcards", None, false, false, Rotates::AtOnce),
        ("opencard", Some(60), false, false, Rotates::AtOnce),
        ("standard", Some(38), false, true, Rotates::Overlapping),
    ] {
        let profiles = built_in();
        let profile = profiles.get(profile).unwrap();
        let rule = profile.secret();
        let generated = rule.generate(&[7; SigningSecret::MIN_BYTES]);
        assert_eq!(generated.map(|secret| secret.reveal().len()), made, "{}", profile.name());
        assert_eq!((rule.generates(), rule.required), (made.is_some(), made.is_some()), "{}", profile.name());
        assert_eq!((rule.fallback, rule.readable, rule.rotates), (fallback, readable, rotates));
        if profile.name().as_str() != "standard" {
            for text in ["a", SECRET, "whsec_", &"0".repeat(512)] {
                assert!(rule.parse(Secret::new(text)).is_ok(), "{} {text}", profile.name());
            }
            assert!(rule.parse(Secret::new("")).is_err());
        }
    }
}

#[test]
fn a_token_that_names_its_scheme_stays_as_it_is_for_penny_alone() {
    for profile in built_in().iter() {
        let sent = |token: &str| {
            let auth = Auth::Bearer { token: Secret::new(token) };
            auth.header_in(profile.bearer()).map(|(name, value)| format!("{name}: {}", value.reveal()))
        };
        let penny = profile.name().as_str() == "penny";
        assert_eq!(profile.bearer() == BearerForm::UnlessSchemed, penny);
        assert_eq!(sent("tok-1").unwrap(), "authorization: Bearer tok-1");
        let schemed = if penny { "authorization: Token tok-1" } else { "authorization: Bearer Token tok-1" };
        assert_eq!(sent("Token tok-1").unwrap(), schemed, "{}", profile.name());
    }
}

#[test]
fn opencard_alone_asks_for_a_proof() {
    for profile in built_in().iter().filter(|profile| profile.name().as_str() != "opencard") {
        assert_eq!(profile.challenge(), None, "{}", profile.name());
    }
    let profiles = built_in();
    let form = profiles.get("opencard").unwrap().challenge().unwrap();
    assert_eq!((form.method, &*form.query, form.characters), ("GET", "challenge", 20));
    assert_eq!(form.headers, [("X-Event".into(), "challenge".into())]);
    assert_eq!((form.status, form.retry_for), (200, Duration::from_secs(600)));
    // HMAC-SHA256 in hex.
    assert_eq!(form.proof, Proof { header: "X-Verify-Token".into(), sha512: false, base64: false });
}
