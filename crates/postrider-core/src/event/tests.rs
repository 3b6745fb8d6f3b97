use super::*;
use crate::json::MAX_DEPTH;

const LIMIT: usize = 256 * 1_024;

fn parse(text: &str) -> Result<NewEvent, ParseError> {
    NewEvent::parse(&Bytes::copy_from_slice(text.as_bytes()), LIMIT)
}

fn with_data(data: &str) -> String {
    format!(r#"{{"tenant":"acme","type":"card.frozen","data": {data} ,"id":"e-1"}}"#)
}

fn with(field: &str) -> String {
    format!(r#"{{"tenant":"acme","type":"card.frozen","data":{{}},{field}}}"#)
}

fn pointers(error: &ParseError) -> Vec<&str> {
    error.faults().iter().map(|f| f.pointer.as_str()).collect()
}

#[test]
fn a_whole_event_is_read_with_slices_of_its_body() {
    let body = Bytes::from_static(
        br#" {"type":"card.transaction.authorized", "tenant":"acme:eu", "data":[1, 2], "id":"a:B_c-1", "key":"card 4",
             "subject":"card:4", "expires_at":"2025-03-15T14:23:00Z",
             "attributes":{"country":"SE","amount":1e999999,"online":true}, "occurred_at":"2025-03-15T15:22:31.5+01:00"} "#,
    );
    let event = NewEvent::parse(&body, LIMIT).unwrap();
    assert_eq!(event.tenant.unwrap().as_str(), "acme:eu");
    assert_eq!(event.subject.unwrap().as_str(), "card:4");
    assert_eq!(&*event.event_type, "card.transaction.authorized");
    assert_eq!(event.own_id.as_deref(), Some("a:B_c-1"));
    assert_eq!(event.key.as_deref(), Some("card 4"));
    assert_eq!(event.attributes, r#"{"country":"SE","amount":1e999999,"online":true}"#);
    assert_eq!(event.occurred_at.unwrap().rfc3339(), "2025-03-15T14:22:31.500Z");
    assert_eq!(event.expires_at.unwrap().rfc3339(), "2025-03-15T14:23:00.000Z");
    assert_eq!(event.data, "[1, 2]");
    assert!(body.as_ptr_range().contains(&event.data.as_ptr()), "not a copy");
}

#[test]
fn null_is_as_good_as_absent_save_for_data() {
    let nulls =
        r#""id":null,"key":null,"attributes":null,"occurred_at":null,"subject":null,"expires_at":null"#;
    let event = parse(&with(nulls)).unwrap();
    assert_eq!((event.own_id, event.key, event.occurred_at, event.attributes.len()), (None, None, None, 0));
    assert_eq!((event.subject, event.expires_at), (None, None));
    assert_eq!(parse(&with_data("null")).unwrap().data, "null");
    assert_eq!(pointers(&parse(r#"{"tenant":null,"type":"a","data":null}"#).unwrap_err()), ["/tenant"]);
}

#[test]
fn an_event_has_a_tenant_or_a_subject_or_both() {
    let of = |owner: &str| parse(&format!(r#"{{{owner}"type":"a","data":1}}"#));
    let both = of(r#""tenant":"acme","subject":"card-1","#).unwrap();
    assert!(both.tenant.is_some() && both.subject.is_some());
    let subject = of(r#""subject":"card-1","tenant":null,"#).unwrap();
    assert!(subject.tenant.is_none() && subject.subject.is_some());
    for owner in ["", r#""tenant":null,"subject":null,"#] {
        let error = of(owner).unwrap_err();
        assert_eq!(pointers(&error), ["/tenant"], "{owner}");
        assert!(error.faults()[0].detail.contains("subject"));
    }
    let odd = of(r#""tenant":"../x","subject":"a b","#).unwrap_err();
    assert_eq!(pointers(&odd), ["/tenant", "/subject"]);
}

#[test]
fn abuse_a01_what_is_not_json_is_a_syntax_error() {
    for text in [
        "",
        " ",
        "{",
        r#"{"tenant":"acme""#,
        r#"{"tenant":"acme","type":"a","data":{}} x"#,
        r#"{"tenant":"acme","type":"a","data":{]}"#,
        r#"{"tenant":"acme","type":"a","data":tru}"#,
        "\u{feff}{}",
    ] {
        assert!(matches!(parse(text), Err(ParseError::Syntax(_))), "{text:?}");
    }
}

#[test]
fn abuse_a02_all_faults_of_an_event_come_at_once() {
    let error = parse(r#"{"typ":"a","type":"*","id":"a.b","key":5,"attributes":{"a":{},"b":null},"occurred_at":"now","data":1,"data":2}"#)
        .unwrap_err();
    assert_eq!(
        pointers(&error),
        [
            "/data",
            "/tenant",
            "/type",
            "/id",
            "/key",
            "/attributes/a",
            "/attributes/b",
            "/occurred_at",
            "/typ"
        ]
    );
}

#[test]
fn abuse_a03_an_event_over_the_limit_is_told_apart() {
    let text = with_data("1");
    let body = Bytes::from(text.clone());
    assert!(NewEvent::parse(&body, text.len()).is_ok());
    assert_eq!(NewEvent::parse(&body, text.len() - 1), Err(ParseError::TooLarge { limit: text.len() - 1 }));
}

#[test]
fn abuse_a04_deep_nesting_is_refused_in_data_too() {
    let nested = |n: usize| with_data(&format!("{}1{}", "[".repeat(n), "]".repeat(n)));
    assert!(parse(&nested(MAX_DEPTH - 1)).is_ok());
    for text in [nested(MAX_DEPTH), nested(10_000), with_data(&"{\"a\":".repeat(10_000)), "[".repeat(100_000)]
    {
        let Err(ParseError::Syntax(detail)) = parse(&text) else { panic!("accepted") };
        assert!(detail.contains("nested too deep"), "{detail}");
    }
}

#[test]
fn abuse_a05_a06_a07_data_is_carried_byte_for_byte() {
    let hundred_digits = "9".repeat(100);
    for data in [
        "1e999999",
        "-1E-999999",
        "42.50",
        "100.00",
        &hundred_digits,
        r#"{"b":1,"a":{"z":2,"y":3}}"#,
        r#"{"a":1,"a":2,"a":{"b":1,"b":1}}"#,
        r#""\ud800""#,
        r#""\udc00\ud800""#,
        r#""\u0000""#,
        r#""\u00e9é\/\u002f""#,
        "\"\u{202e}\u{fffd}\"",
        r#"{"":{"":[]}}"#,
        "{ \"a\" :\t[ 1 ,\r\n2 ] }",
        "true",
        "null",
        "\"\"",
        "[]",
        "-0",
        "-0.0",
        r#"{"\ud800":1,"data":{"tenant":"x"}}"#,
    ] {
        assert_eq!(parse(&with_data(data)).unwrap().data, data, "{data}");
    }
}

#[test]
fn abuse_a06_invalid_utf8_is_refused_wherever_it_stands() {
    for bad in [&b"\xff"[..], b"\xc0\x80", b"\xed\xa0\x80", b"\xf4\x90\x80\x80", b"\xe2\x82"] {
        for place in ["data", "key"] {
            let mut body = format!(r#"{{"tenant":"acme","type":"a","data":1,"{place}":""#).into_bytes();
            body.extend_from_slice(bad);
            body.extend_from_slice(b"\"}");
            assert!(
                matches!(NewEvent::parse(&body.into(), LIMIT), Err(ParseError::Syntax(_))),
                "{bad:x?} in {place}"
            );
        }
    }
}

#[test]
fn abuse_a06_a_lone_surrogate_in_a_field_of_ours_is_a_fault_of_that_field() {
    for (field, pointer) in [
        (r#""key":"\ud800""#, "/key"),
        (r#""id":"\udfff""#, "/id"),
        (r#""attributes":{"a":"\ud800"}"#, "/attributes/a"),
        (r#""attributes":{"\ud800":"a"}"#, "/attributes"),
        (r#""occurred_at":"\ud800""#, "/occurred_at"),
        (r#""expires_at":"\ud800""#, "/expires_at"),
        (r#""subject":"\ud800""#, "/subject"),
    ] {
        assert_eq!(pointers(&parse(&with(field)).unwrap_err()), [pointer], "{field}");
    }
}

#[test]
fn abuse_a07_a_duplicate_key_is_a_fault_in_what_we_read() {
    for (field, pointer) in [
        (r#""id":"a","id":"a""#, "/id"),
        (r#""tenant":"b""#, "/tenant"),
        (r#""attributes":{"a":1,"a":1}"#, "/attributes/a"),
        (r#""attributes":{},"attributes":{}"#, "/attributes"),
        (r#""key":null,"key":null"#, "/key"),
        (r#""subject":"a","subject":"a""#, "/subject"),
    ] {
        assert_eq!(pointers(&parse(&with(field)).unwrap_err()), [pointer], "{field}");
    }
}

#[test]
fn abuse_a12_odd_ids_names_and_keys_are_refused() {
    let long = |n: usize| "x".repeat(n);
    for (field, text) in [
        ("id", "a.b"),
        ("id", ""),
        ("id", "../x"),
        ("id", "a b"),
        ("id", "é"),
        ("id", "%00"),
        ("id", "a\\u0000"),
        ("id", &long(129)),
        ("subject", ""),
        ("subject", ".."),
        ("subject", "a/b"),
        ("subject", "é"),
        ("subject", &long(129)),
        ("id", &long(100_000)),
        ("key", ""),
        ("key", "a\\nb"),
        ("key", "\\u0000"),
        ("key", "\\u202e"),
        ("key", &long(257)),
        ("key", "\\u007f"),
    ] {
        let error = parse(&with(&format!(r#""{field}":"{text}""#))).unwrap_err();
        assert_eq!(pointers(&error), [format!("/{field}")], "{field} {:?}", &text[..text.len().min(20)]);
    }
    for bad in ["", "*", "card.*", "card..x", ".card", "card.", "a/b", "a b", "é", &long(129)] {
        let text = format!(r#"{{"tenant":"acme","type":"{bad}","data":1}}"#);
        assert_eq!(pointers(&parse(&text).unwrap_err()), ["/type"], "{bad}");
    }
    assert!(parse(&with(&format!(r#""id":"{}","key":"{}""#, long(128), "é".repeat(256)))).is_ok());
}

#[test]
fn abuse_a12_attributes_are_bounded() {
    let pairs = |n: usize| (0..n).map(|i| format!("\"a{i}\":{i}")).collect::<Vec<_>>().join(",");
    let attributes = |inner: &str| with(&format!(r#""attributes":{{{inner}}}"#));
    assert!(parse(&attributes(&pairs(MAX_ATTRIBUTES))).is_ok());
    assert!(parse(&attributes("")).is_ok());
    for (bad, pointer) in [
        (pairs(MAX_ATTRIBUTES + 1), "/attributes"),
        (format!("\"a\":\"{}\"", "x".repeat(MAX_ATTRIBUTE_BYTES)), "/attributes"),
        ("\"\":1".into(), "/attributes/"),
        ("\"a\\nb\":1".into(), "/attributes/a\nb"),
        ("\"a\":[1]".into(), "/attributes/a"),
    ] {
        assert_eq!(pointers(&parse(&attributes(&bad)).unwrap_err()), [pointer]);
    }
    assert_eq!(pointers(&parse(&with(r#""attributes":[]"#)).unwrap_err()), ["/attributes"]);
}

#[test]
fn abuse_a14_odd_dates_are_refused() {
    for text in [
        "",
        "0000-01-01T00:00:00Z",
        "99999-01-01T00:00:00Z",
        "2025-03-15T14:22:31",
        "2025-03-15",
        "1742048551",
    ] {
        for field in ["occurred_at", "expires_at"] {
            let error = parse(&with(&format!(r#""{field}":"{text}""#))).unwrap_err();
            assert_eq!(pointers(&error), [format!("/{field}")], "{text}");
        }
    }
    assert_eq!(pointers(&parse(&with(r#""occurred_at":1742048551"#)).unwrap_err()), ["/occurred_at"]);
}

#[test]
fn abuse_a10_one_bad_item_among_a_hundred_is_told_at_its_index() {
    let items: Vec<String> = (0..100)
        .map(|n| if n == 42 { with(r#""id":"a.b","typo":1"#) } else { with_data(&n.to_string()) })
        .collect();
    for (name, body, parse) in [
        (
            "array",
            format!("[{}]", items.join(" ,\n")),
            parse_batch as fn(&Bytes, usize) -> Result<Batch, ParseError>,
        ),
        ("lines", items.join("\r\n\n"), parse_ndjson),
    ] {
        let batch = parse(&body.into(), LIMIT).unwrap();
        assert_eq!(batch.len(), 100, "{name}");
        for (n, item) in batch.iter().enumerate() {
            match item {
                Ok(event) => assert_eq!(event.data, n.to_string()),
                Err(error) => assert_eq!((n, pointers(error)), (42, vec!["/42/id", "/42/typo"]), "{name}"),
            }
        }
    }
}

#[test]
fn a_batch_is_an_array_of_bounded_length() {
    let batch = |text: &str| parse_batch(&Bytes::copy_from_slice(text.as_bytes()), LIMIT);
    assert_eq!(batch("[]").unwrap(), []);
    assert_eq!(batch(&format!("[{}1]", "1,".repeat(MAX_BATCH_ITEMS - 1))).unwrap().len(), MAX_BATCH_ITEMS);
    for (bad, syntax) in [
        ("", true),
        ("[", true),
        ("[1", true),
        ("[1]]", true),
        ("[1,]", true),
        ("{}", false),
        ("null", false),
    ] {
        assert_eq!(matches!(batch(bad).unwrap_err(), ParseError::Syntax(_)), syntax, "{bad}");
    }
    assert_eq!(pointers(&batch(&format!("[{}", "1,".repeat(1_000_000))).unwrap_err()), [""]);
    let items = batch("[1, null, []]").unwrap();
    assert_eq!(pointers(items[1].as_ref().unwrap_err()), ["/1"]);
    let large = format!("[{}]", with_data(&"1".repeat(100)));
    let items = parse_batch(&large.into(), 100).unwrap();
    assert_eq!(items, [Err(ParseError::TooLarge { limit: 100 })]);
}

#[test]
fn abuse_a11_lines_that_stop_in_the_middle_store_nothing() {
    let lines = |text: &str| parse_ndjson(&Bytes::copy_from_slice(text.as_bytes()), LIMIT);
    let good = with_data("1");
    let whole = format!("{good}\n{good}\n");
    assert_eq!(lines(&whole).unwrap().len(), 2);
    assert_eq!(lines(whole.trim_end()).unwrap().len(), 2, "the last line need not end");
    for cut in good.len() + 2..whole.len() - 2 {
        assert!(matches!(lines(&whole[..cut]), Err(ParseError::Syntax(_))), "{}", &whole[..cut]);
    }
    // A line that ends is whole, so that its fault is its own.
    let mixed = lines(&format!("{good}\n{{\n{good}\n")).unwrap();
    assert!(mixed[0].is_ok() && matches!(mixed[1], Err(ParseError::Syntax(_))) && mixed[2].is_ok());
    // Also where the line would be too long for an event.
    let long = format!("{good}\n{{\"tenant\":\"{}", "x".repeat(LIMIT + 1));
    assert!(matches!(lines(&long), Err(ParseError::Syntax(_))));
    for empty in ["", "\n\n", " \r\n"] {
        assert!(matches!(lines(empty), Err(ParseError::Syntax(_))), "{empty:?}");
    }
    let many = format!("{good}\n").repeat(MAX_BATCH_ITEMS + 1);
    assert_eq!(pointers(&lines(&many).unwrap_err()), [""]);
}

mod properties {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn reading_never_panics_and_faults_are_never_empty(text in r#"[\[\]{}",:\\a-c0-9 tenantypd\n]{0,80}"#) {
            for result in [parse(&text).map(|_| ()), parse(&with_data(&text)).map(|_| ())] {
                if let Err(ParseError::Faults(faults)) = result {
                    prop_assert!(!faults.is_empty());
                }
            }
        }

        #[test]
        fn both_paths_agree_on_good_events(
            key in proptest::option::of("[a-z é]{1,20}"), id in proptest::option::of("[a-zA-Z0-9_:-]{1,128}"),
            number in any::<i64>(), subject in proptest::option::of("[a-z]{1,9}"), secs in proptest::option::of(0..9_i64),
        ) {
            let expires_at = secs.map(|secs| Timestamp::from_secs(secs).rfc3339());
            let text = serde_json::json!({
                "tenant": "t", "type": "a.b", "data": number, "key": key, "id": id, "subject": subject, "expires_at": expires_at
            }).to_string();
            let body = Bytes::from(text);
            let slow = NewEvent::parse_slowly(&body, json::utf8(&body).unwrap()).unwrap();
            prop_assert_eq!(NewEvent::parse(&body, LIMIT).unwrap(), slow);
        }
    }
}
