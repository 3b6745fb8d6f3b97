//! Documents through the whole guard: what is found where, what becomes of it, and that the first look misses nothing.

use bytes::Bytes;
use proptest::prelude::*;

use super::policy::{AuthenticationData, CardPolicy, Numbers};
use super::*;
use crate::id::TenantNo;
use crate::publication::Publication;

mod kinds;

fn event(data: &str) -> Publication {
    Publication {
        tenant: TenantNo(1),
        entitled: true,
        event_type: "card.transaction".into(),
        own_id: None,
        key: None,
        subject: None,
        expires_at: None,
        attributes: Bytes::new(),
        occurred_at: None,
        data: Bytes::copy_from_slice(data.as_bytes()),
        idempotency: None,
        body: None,
        unfit: Vec::new(),
        judged: None,
    }
}

/// The pointers of what is refused by default.
fn refused(data: &str) -> Vec<String> {
    let faults = CardPolicy::default().admit(&mut event(data)).err().unwrap_or_default();
    for fault in &faults {
        let told = fault.to_string();
        assert!(told.bytes().filter(u8::is_ascii_digit).nth(12).is_none(), "{told}");
    }
    assert!(faults.is_empty() || is_suspicious(&event(data)), "the first look missed {data}");
    faults.into_iter().map(|fault| fault.pointer).collect()
}

/// What becomes of data where numbers are masked and authentication data is stripped.
fn cleaned(data: &str) -> String {
    let mut event = event(data);
    CardPolicy::new(Numbers::Mask, AuthenticationData::Strip).admit(&mut event).unwrap();
    String::from_utf8(event.data.to_vec()).unwrap()
}

#[test]
fn abuse_a50_a104_a_number_is_found_and_masked_in_every_form() {
    for (data, pointer, masked) in [
        (r#"{"pan":"4111111111111111"}"#, "/data/pan", r#"{"pan":"411111******1111"}"#),
        (r#"{"pan":4111111111111111}"#, "/data/pan", r#"{"pan":"411111******1111"}"#),
        (r#"{"pan": 4222222222222 , "x":1}"#, "/data/pan", r#"{"pan": "*********2222" , "x":1}"#),
        (r#"{"pan":-4111111111111111}"#, "/data/pan", r#"{"pan":"411111******1111"}"#),
        (r#"{"pan":4111111111111111.00}"#, "/data/pan", r#"{"pan":"411111******1111"}"#),
        (r#"{"pan":4.111111111111111e15}"#, "/data/pan", r#"{"pan":"411111******1111"}"#),
        (r#"{"pan":41111111111111110E-1}"#, "/data/pan", r#"{"pan":"411111******1111"}"#),
        (r#"{"pan":0.4000000000000002e+16}"#, "/data/pan", r#"{"pan":"400000******0002"}"#),
        (r#"{"pan":4.2e15}"#, "/data/pan", r#"{"pan":"420000******0000"}"#),
        (r#"{"pan":"4.111111111111111e15"}"#, "/data/pan", r#"{"pan":"411111******1111"}"#),
        (r#"[1 , 4.111111111111111e15 ]"#, "/data/1", r#"[1 , "411111******1111" ]"#),
        (r#"{"pan":"\n4.111111111111111e15 "}"#, "/data/pan", r#"{"pan":"411111******1111"}"#),
        (r#"{"pan":"4111111111111111.0"}"#, "/data/pan", r#"{"pan":"411111******1111"}"#),
        (r#"{"pan":"\u0034111111111111111"}"#, "/data/pan", r#"{"pan":"\u003411111******1111"}"#),
        (r#"{"pan":"411111\u00311111111\u00311"}"#, "/data/pan", r#"{"pan":"411111******11\u00311"}"#),
        (
            r#"{"pan":"4111\u00a01111\u00201111\u002d1111"}"#,
            "/data/pan",
            r#"{"pan":"4111\u00a011**\u0020****\u002d1111"}"#,
        ),
        (
            r#"{"pan":"\u2019\ud83d\ude004111111111111111"}"#,
            "/data/pan",
            r#"{"pan":"\u2019\ud83d\ude00411111******1111"}"#,
        ),
        (
            r#"{"pan":"４１１１１１１１１１１１１１１１"}"#,
            "/data/pan",
            r#"{"pan":"４１１１１１******１１１１"}"#,
        ),
        (
            r#"{"pan":"\uff14１１１１１１１１１１１１１１１"}"#,
            "/data/pan",
            r#"{"pan":"\uff14１１１１１******１１１１"}"#,
        ),
        (
            r#"{"note":"card 4111 1111 1111 1111, é"}"#,
            "/data/note",
            r#"{"note":"card 4111 11** **** 1111, é"}"#,
        ),
        (
            r#"["a",{"b":["x","4111-1111-1111-1111"]}]"#,
            "/data/1/b/1",
            r#"["a",{"b":["x","4111-11**-****-1111"]}]"#,
        ),
        (r#""4111111111111111""#, "/data", r#""411111******1111""#),
        ("4111111111111111", "/data", r#""411111******1111""#),
        (r#"{"a/b~":"378282246310005"}"#, "/data/a~1b~0", r#"{"a/b~":"378282*****0005"}"#),
        // In the name of a member: the pointer is its object's.
        (r#"{"x":{"4111111111111111":1}}"#, "/data/x", r#"{"x":{"411111******1111":1}}"#),
        // JSON within a string, once and twice, with escapes of its own.
        (
            r#"{"raw":"{\"pan\":\"4111111111111111\"}"}"#,
            "/data/raw",
            r#"{"raw":"{\"pan\":\"411111******1111\"}"}"#,
        ),
        (
            r#"{"raw":"{\"pan\":4111111111111111}"}"#,
            "/data/raw",
            r#"{"raw":"{\"pan\":\"411111******1111\"}"}"#,
        ),
        (
            r#"{"raw":"{\"pan\":\"\\u0034111111111111111\"}"}"#,
            "/data/raw",
            r#"{"raw":"{\"pan\":\"\\u003411111******1111\"}"}"#,
        ),
        (r#"{"raw":"[4.2e15]"}"#, "/data/raw", r#"{"raw":"[\"420000******0000\"]"}"#),
        (
            r#"{"raw":"{\"in\":\"{\\\"pan\\\":4111111111111111}\"}"}"#,
            "/data/raw",
            r#"{"raw":"{\"in\":\"{\\\"pan\\\":\\\"411111******1111\\\"}\"}"}"#,
        ),
        (r#"{"raw":"\"4111111111111111\""}"#, "/data/raw", r#"{"raw":"\"411111******1111\""}"#),
        (
            r#"{"raw":"line\n4111111111111111\nline"}"#,
            "/data/raw",
            r#"{"raw":"line\n411111******1111\nline"}"#,
        ),
        // Tracks: what follows the number is hidden too.
        (
            r#"{"t":";4111111111111111=25121010000012345678?"}"#,
            "/data/t",
            r#"{"t":";411111******1111=********************?"}"#,
        ),
        (
            r#"{"t":"4111111111111111=25121010000012345678"}"#,
            "/data/t",
            r#"{"t":"411111******1111=********************"}"#,
        ),
        (
            r#"{"t":"%B4111111111111111^DOE/J^2512101100000?"}"#,
            "/data/t",
            r#"{"t":"%B411111******1111^DOE/J^*************?"}"#,
        ),
    ] {
        assert_eq!(refused(data), [pointer], "{data}");
        let cleaned = cleaned(data);
        assert_eq!(cleaned, masked, "{data}");
        assert_eq!(refused(&cleaned), [""; 0], "{cleaned}");
    }
}

#[test]
fn abuse_a50_every_place_is_told_once() {
    let data = r#"{"a":"4111111111111111 5555555555554444","b":[4111111111111111,1,"x 378282246310005"],"cvv":"123"}"#;
    assert_eq!(refused(data), ["/data/a", "/data/b/0", "/data/b/2", "/data/cvv"]);
    // Also where some are masked, and the document is looked at again.
    let data = r#"{"cvv":"123","pin":"1234","pan":"4111111111111111"}"#;
    let faults =
        CardPolicy::new(Numbers::Mask, AuthenticationData::Reject).admit(&mut event(data)).unwrap_err();
    assert_eq!(faults.iter().map(|fault| &*fault.pointer).collect::<Vec<_>>(), ["/data/cvv", "/data/pin"]);
    let many = format!("[{}1]", "4111111111111111,".repeat(1_000));
    assert_eq!(refused(&many).len(), MAX_FAULTS);
    assert!(!cleaned(&many).contains("4111111111111111"));
}

#[test]
fn abuse_a50_a_pointer_never_shows_the_digits() {
    let inner = r#"{"4111111111111111":{"x":"5555555555554444"}}"#;
    assert_eq!(refused(inner), ["/data", "/data/****************/x"]);
    let deep =
        format!("{}{}{}", r#"{"name-of-some-length":"#.repeat(100), "4111111111111111", "}".repeat(100));
    let pointer = refused(&deep).remove(0);
    assert!(pointer.len() < 2 * MAX_POINTER && pointer.ends_with('…'), "{pointer}");
}

#[test]
fn abuse_a51_what_only_looks_like_a_number_is_let_through() {
    for data in [
        r#"{"id":"a1b2c3d4-e5f6-7890-abcd-ef1234567890","amount":42.50,"at":"2025-03-15T14:22:31.000Z"}"#,
        r#"{"iban":"DE89 3704 0044 0532 0130 00","bic":"COBADEFFXXX"}"#,
        r#"{"ms":1742048551000,"us":1742048551000000,"ns":1742048551000000000,"s":1742048551.123456}"#,
        r#"{"rate":4.111111111111111,"half":4111111111111111.5,"lat":40.71277612345678}"#,
        r#"{"phone":"4915112345678","mobile":["4222222222222"],"msisdn":4222222222222}"#,
        r#"{"masked":"411111******1111","last4":"1111","bin":"411111"}"#,
        r#"{"pin":"Main Street","cid":"c-123-abc","track":"Bohemian Rhapsody","cvv":null,"cvc":"","pin_block":{}}"#,
        r#"{"memo":"terminal 12e15 approved 4.111111111111111e15 contactless"}"#,
        r#"{"ref":"TX4111111111111111","hash":"4111111111111111d2f4"}"#,
        "1e999999",
        "[1E400, -0.0, 100000000000000000000000000000000000000000000000000]",
        r#""\ud800""#,
        "[]",
    ] {
        assert_eq!(refused(data), [""; 0], "{data}");
        assert_eq!(cleaned(data), data);
    }
}

#[test]
fn abuse_a52_authentication_data_is_refused_or_taken_out() {
    for (data, pointers, stripped) in [
        (r#"{"cvv":"123"}"#, &["/data/cvv"][..], "{}"),
        (r#"{"cvv":123,"a":1}"#, &["/data/cvv"], r#"{"a":1}"#),
        (r#"{"a":1, "CVC2" : "1234"}"#, &["/data/CVC2"], r#"{"a":1}"#),
        (r#"{"a":1,"c_v_v":"123","b":2}"#, &["/data/c_v_v"], r#"{"a":1,"b":2}"#),
        (r#"{"cvv":"123","pin":"1234"}"#, &["/data/cvv", "/data/pin"], "{}"),
        (r#"{ "cvv":"123", "pin":"1234", "b":2 }"#, &["/data/cvv", "/data/pin"], r#"{ "b":2 }"#),
        (r#"{"a":{},"cvv":"123","pin":"1234"}"#, &["/data/cvv", "/data/pin"], r#"{"a":{}}"#),
        (
            r#"{"a":[],"cvv":"123","b":1,"pin":"1234","c":2}"#,
            &["/data/cvv", "/data/pin"],
            r#"{"a":[],"b":1,"c":2}"#,
        ),
        (r#"[{"cid":"123"},{"cid":"x"}]"#, &["/data/0/cid"], r#"[{},{"cid":"x"}]"#),
        (r#"{"cvv":["123","x",456]}"#, &["/data/cvv/0", "/data/cvv/2"], r#"{"cvv":[null,"x",null]}"#),
        (r#"{"card":{"pin_block":"0412AC89ABCDEF67"}}"#, &["/data/card/pin_block"], r#"{"card":{}}"#),
        (r#"{"cvv":"\u0031２3"}"#, &["/data/cvv"], "{}"),
        (r#"{"\u0063vv":"123"}"#, &["/data/cvv"], "{}"),
        (r#"{"track2":";4111111111111111=2512101?"}"#, &["/data/track2"], "{}"),
        (r#"{"Track-1":"%B4111111111111112^DOE/J^2512101?"}"#, &["/data/Track-1"], "{}"),
        (r#"{"raw":"{\"cvv\":\"123\",\"a\":1}"}"#, &["/data/raw"], r#"{"raw":"{\"a\":1}"}"#),
        (r#"{"raw":"{\"a\":[\"{\\\"pin\\\":1234}\"]}"}"#, &["/data/raw"], r#"{"raw":"{\"a\":[\"{}\"]}"}"#),
        ("{\"a\":1,\n \"cvv\" \n:\t\"123\" }", &["/data/cvv"], "{\"a\":1 }"),
    ] {
        assert_eq!(refused(data), pointers, "{data}");
        assert_eq!(cleaned(data), stripped, "{data}");
        for numbers in [Numbers::Mask, Numbers::Allow] {
            let strict = CardPolicy::new(numbers, AuthenticationData::Reject);
            assert!(strict.admit(&mut event(data)).is_err(), "{data}");
        }
    }
}

#[test]
fn abuse_a52_a_track_is_never_let_through() {
    let data = r#"{"a":1,"note":";4111111111111111=2512101000?","pan":"4111111111111111"}"#;
    let mut allowed = event(data);
    CardPolicy::new(Numbers::Allow, AuthenticationData::Strip).admit(&mut allowed).unwrap();
    assert_eq!(allowed.data, r#"{"a":1,"pan":"4111111111111111"}"#);
    let faults =
        CardPolicy::new(Numbers::Allow, AuthenticationData::Reject).admit(&mut event(data)).unwrap_err();
    assert_eq!(faults[0].pointer, "/data/note");
}

#[test]
fn abuse_a104_what_names_something_is_refused_and_never_masked() {
    let mut named = event("{}");
    named.own_id = Some("evt-4111111111111111".into());
    named.key = Some("4111 1111 1111 1111".into());
    named.subject = Some("4111-1111-1111-1111".into());
    named.event_type = "card.4111111111111111".into();
    named.attributes = Bytes::from_static(br#"{"pan":"4111111111111111","4222222222222":1}"#);
    assert!(is_suspicious(&named));
    let pointers = |numbers| {
        let faults = CardPolicy::new(numbers, AuthenticationData::Reject)
            .admit(&mut named.clone())
            .err()
            .unwrap_or_default();
        faults.into_iter().map(|fault| fault.pointer).collect::<Vec<_>>()
    };
    let names = ["/type", "/id", "/key", "/subject"];
    assert_eq!(pointers(Numbers::Reject), [&names[..], &["/attributes/pan", "/attributes"]].concat());
    assert_eq!(pointers(Numbers::Mask), names);
    // The first look sees what stands there percent-encoded.
    for hidden in
        ["k %34111111111111111", "4111 1111 1111 1%311%31", "4%31%31%31%31%31%31%31%31%31%31%31%31%31%31%31"]
    {
        for name in [
            |event: &mut Publication, text| event.key = text,
            |event: &mut Publication, text| event.subject = text,
        ] {
            let mut named = event("{}");
            name(&mut named, Some(hidden.into()));
            assert!(is_suspicious(&named), "{hidden}");
            assert!(CardPolicy::default().admit(&mut named).is_err(), "{hidden}");
        }
    }
    assert_eq!(pointers(Numbers::Allow), [""; 0]);
    let mut track = event("{}");
    track.key = Some(";4111111111111111=2512101000?".into());
    let allowing = CardPolicy::new(Numbers::Allow, AuthenticationData::Strip);
    assert_eq!(allowing.admit(&mut track).unwrap_err()[0].pointer, "/key", "it cannot be taken out of a key");
    (named.own_id, named.key, named.subject, named.event_type) = (None, None, None, "t".into());
    CardPolicy::new(Numbers::Mask, AuthenticationData::Reject).admit(&mut named).unwrap();
    assert_eq!(named.attributes, r#"{"pan":"411111******1111","*********2222":1}"#);
}

fn settings(text: &str) -> Result<CardSettings, Vec<String>> {
    let text = format!(r#"{{"card_policy":{text}}}"#);
    let mut object = crate::json::Object::parse(&text).unwrap();
    let read = object.object("card_policy", |policy| Some(CardSettings::read(policy)));
    let faults = object.finish();
    if faults.is_empty() {
        Ok(read.unwrap())
    } else {
        Err(faults.into_iter().map(|fault| fault.pointer).collect())
    }
}

#[test]
fn a_place_is_exempt_by_type_and_pointer() {
    let settings = settings(
        r#"{"exempt":[{"type":"card.*","pointers":["/data/reference","/data/items/*/no","/data/a~1b","/key","/data/map"]}]}"#,
    )
    .unwrap();
    let policy = settings.over(&CardPolicy::default());
    for (event_type, data, pointers) in [
        ("card.frozen", r#"{"reference":"4111111111111111"}"#, &[][..]),
        ("account.x", r#"{"reference":"4111111111111111"}"#, &["/data/reference"]),
        ("card.frozen", r#"{"reference":{"x":"4111111111111111"}}"#, &["/data/reference/x"]),
        (
            "card.frozen",
            r#"{"items":[{"no":1},{"no":4111111111111111,"nn":4111111111111111}]}"#,
            &["/data/items/1/nn"],
        ),
        ("card.frozen", r#"{"items":{"no":{"no":4111111111111111}}}"#, &["/data/items/no/no"]),
        ("card.frozen", r#"{"a/b":"4111111111111111","b":4111111111111111}"#, &["/data/b"]),
        (
            "card.frozen",
            r#"{"map":{"4111111111111111":"4111111111111111"}}"#,
            &["/data/map/****************"],
        ),
        // What authenticates a card is exempt nowhere.
        ("card.frozen", r#"{"reference":";4111111111111111=2512101000"}"#, &["/data/reference"]),
    ] {
        let mut event = event(data);
        event.event_type = event_type.into();
        event.key = event_type.starts_with("card.").then(|| "4111111111111111".into());
        let faults = policy.admit(&mut event).err().unwrap_or_default();
        assert_eq!(faults.iter().map(|fault| &*fault.pointer).collect::<Vec<_>>(), pointers, "{data}");
    }
}

#[test]
fn settings_are_read_with_all_their_faults_and_written_again() {
    let text = r#"{"numbers":"mask","authentication_data":"strip","exempt":[{"type":"card.*","pointers":["/data/x","/id"]}]}"#;
    let read = settings(text).unwrap();
    assert_eq!(settings(&read.to_json().to_string()).unwrap(), read);
    assert_eq!(settings("{}").unwrap().to_json(), serde_json::Value::Null);
    let bad = r#"{"numbers":"hide","authentication_data":"allow","exmpt":[],
        "exempt":[{"type":"card*","pointers":[]},{"pointers":["data","/secret","/data/x","/"]},1]}"#;
    assert_eq!(
        settings(bad).unwrap_err(),
        [
            "/card_policy/numbers",
            "/card_policy/authentication_data",
            "/card_policy/exempt/0/type",
            "/card_policy/exempt/0/pointers",
            "/card_policy/exempt/1/type",
            "/card_policy/exempt/1/pointers/0",
            "/card_policy/exempt/1/pointers/1",
            "/card_policy/exempt/1/pointers/3",
            "/card_policy/exempt/2",
            "/card_policy/exmpt",
        ]
    );
}

#[test]
fn abuse_a104_a_configuration_that_holds_a_number_is_told_where() {
    let faults = faults_of_configuration(
        br#"{"url":"https://a.example/%34111%201111%201111%201111?x=1","name":"4111 1111 1111 1111","headers":{"X-A":"4111111111111111"},
            "metadata":{"4111111111111111":"x","crm":"42","cid":"1234"},"timeout_ms":15000}"#,
    );
    let pointers: Vec<&str> = faults.iter().map(|fault| &*fault.pointer).collect();
    assert_eq!(pointers, ["/url", "/name", "/headers/X-A", "/metadata"]);
    assert_eq!(faults_of_configuration(br#"{"url":"https://a.example/1742048551000"}"#), []);
}

#[test]
fn abuse_a50_what_receivers_answer_is_masked_in_every_encoding() {
    let utf16: Vec<u8> = "card 4111 1111 1111 1111".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let masked16: Vec<u8> = "card 4111 11** **** 1111".encode_utf16().flat_map(u16::to_le_bytes).collect();
    for (body, cut, masked) in [
        (&b"declined: 4111111111111111"[..], false, Some(&b"declined: 411111******1111"[..])),
        (
            br#"{"pan":4111111111111111,"cvv":"123"}"#,
            false,
            Some(br#"{"pan":"411111******1111","cvv":"***"}"#),
        ),
        (br#"{"pin":[1234]}"#, false, Some(br#"{"pin":["***"]}"#)),
        (
            br#"{"pan":"\u0034111111111111111","cvv":"123","x":"y"#,
            true,
            Some(br#"{"pan":"\u003411111******1111","cvv":"***","x":"y"#),
        ),
        (
            br#"{"pan":4111111111111111,"x":4.2e15,"y"#,
            true,
            Some(br#"{"pan":411111******1111,"x":420000******0000,"y"#),
        ),
        (b"[error] \xff 4111 1111 1111 1111", false, Some(b"[error] \xff 4111 11** **** 1111")),
        (&utf16, false, Some(&masked16)),
        (b"pan=4111%201111%201111%201111&x=1", false, Some(b"pan=4111%2011**%20****%201111&x=1")),
        (b"a=1&b=%34111111111111111", false, Some(b"a=1&b=%3411111******1111")),
        (b"<pan>4111111111111111</pan>", false, Some(b"<pan>411111******1111</pan>")),
        (b"... 411111111111", true, Some(b"... 411111******")),
        (b"... 4111-1111-111", true, Some(b"... 4111-11**-***")),
        (b"... 411111111111", false, None),
        (b"ok 1742048551", true, None),
        (b"100% ok", false, None),
        (b"", true, None),
    ] {
        let shown = String::from_utf8_lossy(body);
        assert_eq!(mask_body(body, cut).as_deref(), masked, "{shown}");
    }
    assert_eq!(mask_header(b"/card/4111111111111111?x=1").unwrap(), "/card/411111******1111?x=1");
    assert_eq!(mask_header(b"/%34111111111111111").unwrap(), "/%3411111******1111");
    assert!(mask_header(b"application/json").is_none());
}

/// Texts in which each number has as much behind it as there is, or leaves another one behind when it is masked. What takes
/// time by the square of the length takes minutes with these, and the runner ends it.
#[test]
fn abuse_a50_what_is_made_to_keep_the_guard_busy_is_done_in_time() {
    const LENGTH: usize = 256 * 1_024;
    for part in [
        "4111111111111111=",
        "4111111111111111^",
        "4111 1111 1111 1111 ",
        "4222222222222 2222 ",
        "4 1 1 1 ",
        "{\\\"cvv\\\":\\\"",
        "\\\\u0034",
        "1e1",
        "字",
        "\u{a0}4",
    ] {
        let text = part.repeat(LENGTH / part.len());
        let mut event = event(&format!(r#"{{"{text}":"{text}"}}"#));
        let _ = CardPolicy::new(Numbers::Mask, AuthenticationData::Strip).admit(&mut event);
        let _ = without_numbers(&text);
        let _ = mask_body(&text.as_bytes()[..4_096], true);
    }
}

#[test]
fn names_in_pointers_show_no_number() {
    assert_eq!(without_numbers("x 4111 1111 1111 1111 y 12"), "x **** **** **** **** y 12");
    assert_eq!(without_numbers("4111111111111111=2512101000"), "****************=**********");
    assert_eq!(without_numbers("4111111111111112"), "4111111111111112");
    let mut pointer = String::new();
    escape_into(&mut pointer, "4111111111111111");
    assert_eq!(pointer, "/****************");
}

/// A generator of texts that come near to card data in any of the forms that are looked for.
fn near() -> impl Strategy<Value = String> {
    let part = prop_oneof![
        4 => "[0-9]{1,4}",
        3 => Just("4111111111111111".to_owned()),
        2 => Just("4111 1111 1111 1111".to_owned()),
        1 => Just("41".to_owned()),
        1 => Just("5555555555554444".to_owned()),
        2 => "[ .,:=^;%?/+-]",
        1 => "[eEdDbB]",
        1 => "[{}\\[\\]\"\\\\]",
        1 => Just("\\\"".to_owned()),
        1 => Just("\\u0034".to_owned()),
        1 => Just("\\u00a0".to_owned()),
        1 => Just("\\u2019".to_owned()),
        1 => Just("\\u00e9".to_owned()),
        1 => Just("\\ud835\\udfdc".to_owned()),
        1 => Just("\\\\u0034".to_owned()),
        1 => Just("\\n".to_owned()),
        1 => Just("\u{a0}".to_owned()),
        1 => Just("４１".to_owned()),
        1 => Just("é".to_owned()),
        1 => Just("字".to_owned()),
        2 => Just("\"cvv\":".to_owned()),
        1 => Just("\"p\\/in\" : ".to_owned()),
        1 => Just("\"123\"".to_owned()),
        1 => Just("e15".to_owned()),
        1 => Just(".0".to_owned()),
        1 => any::<char>().prop_map(String::from),
    ];
    proptest::collection::vec(part, 0..12).prop_map(|parts| parts.concat())
}

/// Valid JSON of such texts, of numbers near card numbers, and of JSON in strings.
fn near_json() -> impl Strategy<Value = String> {
    let text = near().prop_map(|text| serde_json::to_string(&text).unwrap());
    // As it is where that is JSON, escapes and all.
    let raw = near().prop_map(|text| {
        let raw = format!("\"{text}\"");
        if is_json(&raw) { raw } else { serde_json::to_string(&text).unwrap() }
    });
    let number = prop_oneof![
        Just("4111111111111111".to_owned()),
        Just("4222222222222.0".to_owned()),
        Just("4.111111111111111e15".to_owned()),
        Just("42e14".to_owned()),
        "-?[1-9][0-9]{0,18}(\\.[0-9]{1,4})?([eE][+-]?[0-9]{1,2})?",
        "[1-9][0-9]{2,3}",
    ];
    let leaf = prop_oneof![3 => text, 2 => raw, 3 => number, 1 => Just("null".to_owned()), 1 => Just("true".to_owned())];
    let name = prop_oneof![
        Just("cvv".to_owned()),
        Just("Pin_Block".to_owned()),
        Just("pin".to_owned()),
        Just("track2".to_owned()),
        Just("phone".to_owned()),
        near(),
        "[a-z]{1,4}",
    ];
    leaf.prop_recursive(4, 24, 4, move |inner| {
        let member = (name.clone(), "[ \n]{0,2}", inner.clone()).prop_map(|(name, space, value)| {
            format!("{}{space}:{space}{value}", serde_json::to_string(&name).unwrap())
        });
        prop_oneof![
            proptest::collection::vec(inner.clone(), 0..4)
                .prop_map(|items| format!("[{}]", items.join(" , "))),
            proptest::collection::vec(member, 0..4).prop_map(|members| format!("{{{}}}", members.join(","))),
            inner.prop_map(|inner| serde_json::to_string(&inner).unwrap()),
        ]
    })
}

fn is_json(text: &str) -> bool {
    serde_json::from_str::<serde::de::IgnoredAny>(text).is_ok()
}

fn has_finding(text: &str) -> bool {
    let mut found = false;
    Walk::new(|_: Place<'_>, _| {
        found = true;
        Verdict::Pass
    })
    .document(&Layer::of(text));
    found
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2_048, ..ProptestConfig::default() })]

    #[test]
    fn the_first_look_never_misses_what_the_walk_finds(text in near(), json in near_json()) {
        prop_assert!(!has_finding(&text) || quick::is_suspicious_text(&text), "{}", text);
        prop_assert!(!has_finding(&json) || quick::is_suspicious(&json), "{}", json);
    }

    #[test]
    fn no_bytes_make_the_guard_fail(bytes in proptest::collection::vec(any::<u8>(), 0..200), text in near(), cut in any::<bool>()) {
        for body in [&bytes[..], text.as_bytes()] {
            let masked = mask_body(body, cut);
            let again = mask_body(masked.as_deref().unwrap_or(body), false);
            prop_assert!(again.is_none() || cut, "{:?}", again);
            let _ = (mask_header(body), faults_of_configuration(body));
        }
        let _ = (without_numbers(&text), holds_number(&text));
    }

    #[test]
    fn what_was_cleaned_is_json_holds_nothing_and_stays_as_it_is(data in near_json()) {
        let cleaned = cleaned(&data);
        prop_assert!(is_json(&cleaned), "{} became {}", data, cleaned);
        prop_assert!(!has_finding(&cleaned), "{} became {}", data, cleaned);
        prop_assert_eq!(&self::cleaned(&cleaned), &cleaned);
        prop_assert!(has_finding(&data) || cleaned == data);
    }

    #[test]
    fn masking_changes_nothing_but_the_number(before in "[a-z é,:/]{0,20}", after in "[a-z é,:/]{0,20}", n in 0..4_usize) {
        let (number, masked) = [
            ("4111111111111111", "411111******1111"),
            ("4111 1111 1111 1111", "4111 11** **** 1111"),
            ("3782-822463-10005", "3782-82****-*0005"),
            ("４２２２２２２２２２２２２", "*********２２２２"),
        ][n];
        let (before, after) = (format!("{before},"), format!(",{after}"));
        let data = |number: &str| format!(r#"{{"a": [1.50, "{before}{number}{after}"],"n":"{number}" , "z":null }}"#);
        prop_assert_eq!(cleaned(&data(number)), data(masked));
    }
}
