use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::fault::ParseError;
use crate::id::EndpointNo;
use crate::subscription::Pattern;

fn filters(filters: &Value) -> Filters {
    Filters::parse(&filters.to_string()).unwrap().unwrap()
}

fn pointers(filters: &str) -> Vec<String> {
    match Filters::parse(filters) {
        Err(ParseError::Faults(faults)) => faults.into_iter().map(|fault| fault.pointer).collect(),
        other => panic!("{other:?}"),
    }
}

/// Whether one condition on data holds, or in which words it does not.
fn holds(pointer: &str, op: &str, value: &str, data: &str) -> Result<(), String> {
    let text = format!(r#"{{"data": [{{"pointer": {}, "op": "{op}", "value": {value}}}]}}"#, json!(pointer));
    let filters = Filters::parse(&text).unwrap_or_else(|e| panic!("{text}: {e}")).unwrap();
    filters.check(&Facts::of([&filters], b"", data.as_bytes())).map_err(|unmet| unmet.to_string())
}

#[test]
fn each_condition_holds_as_it_says() {
    let data = r#"{ "n": 100.0, "big": 9007199254740993, "s": "Åbc", "t": true, "z": null, "o": {"x": 1}, "l": [5, "a"] }"#;
    for (pointer, op, value, expected) in [
        ("/n", "eq", "1e2", true),
        ("/n", "eq", "\"100.0\"", false),
        ("/n", "ne", "100", false),
        ("/n", "ne", "\"100\"", true),
        ("/n", "in", "[1, 100, \"x\"]", true),
        ("/n", "in", "[1, 2]", false),
        ("/n", "gt", "99.999999999999999999999", true),
        ("/n", "gt", "100", false),
        ("/n", "gte", "100.000", true),
        ("/n", "lt", "1e999999", true),
        ("/n", "lte", "-1e999999", false),
        ("/big", "eq", "9007199254740992", false),
        ("/big", "gt", "9007199254740992", true),
        ("/s", "eq", "\"\\u00c5bc\"", true),
        ("/s", "eq", "\"åbc\"", false),
        ("/s", "prefix", "\"Åb\"", true),
        ("/s", "prefix", "\"b\"", false),
        ("/n", "prefix", "\"1\"", false),
        ("/s", "gt", "0", false),
        ("/s", "lt", "0", false),
        ("/t", "eq", "true", true),
        ("/t", "eq", "\"true\"", false),
        ("/t", "in", "[false]", false),
        ("/z", "exists", "true", true),
        ("/z", "eq", "false", false),
        ("/z", "ne", "false", true),
        ("/o", "exists", "true", true),
        ("/o", "ne", "1", true),
        ("/o", "eq", "\"{}\"", false),
        ("/o/x", "eq", "1", true),
        ("/l/0", "eq", "5", true),
        ("/l/1", "eq", "\"a\"", true),
        ("/l/00", "exists", "true", false),
        ("/l/-", "exists", "true", false),
        ("/l/2", "exists", "false", true),
        ("", "exists", "true", true),
        // What is missing.
        ("/m", "exists", "false", true),
        ("/m", "exists", "true", false),
        ("/m", "ne", "1", true),
        ("/m", "eq", "1", false),
        ("/m", "in", "[1]", false),
        ("/m", "lt", "1", false),
        ("/m", "prefix", "\"\"", false),
        ("/n/x", "exists", "true", false),
        ("/o/x/y", "exists", "false", true),
        ("/O", "exists", "true", false),
    ] {
        assert_eq!(holds(pointer, op, value, data).is_ok(), expected, "{pointer} {op} {value}");
    }
}

#[test]
fn names_are_compared_as_what_they_stand_for_and_the_last_of_a_double_counts() {
    for (pointer, data, expected) in [
        ("/a~1b", r#"{"a/b": 1}"#, true),
        ("/a~0b", r#"{"a~b": 1}"#, true),
        ("/a~01", r#"{"a~1": 1}"#, true),
        ("/a~01", r#"{"a/": 1}"#, false),
        ("/é", r#"{"\u00e9": 1}"#, true),
        ("/a\"b", r#"{"a\"b": 1}"#, true),
        ("/", r#"{"": 1}"#, true),
        ("/a/", r#"{"a": {"": 1}}"#, true),
        ("/a", r#"{"a": 2, "a": 1}"#, true),
        ("/a", r#"{"a": 1, "a": 2}"#, false),
        ("/a/b", r#"{"a": {"b": 1}, "a": {}}"#, false),
        ("/a/b", r#"{"a": {"b": 1}, "a": 7}"#, false),
        ("/a/b", r#"{"a": [], "a": {"c": {}, "b": 1, "d": [[]]}, "e": "}"}"#, true),
        ("/a", r#"{"x": "\"a\": 1, {", "\ud800": 2, "a" :	1 }"#, true),
        ("/0", r#"{"0": 1}"#, true),
        ("/1/0", "[[0], [1], {}]", true),
        ("/10", "[0,0,0,0,0,0,0,0,0,0,1]", true),
        ("", "1", true),
        ("", " 1\n", true),
    ] {
        assert_eq!(holds(pointer, "eq", "1", data).is_ok(), expected, "{pointer} in {data}");
    }
    assert!(
        holds("/a", "exists", "true", r#"{"a": "\ud800"}"#).is_ok(),
        "a text that stands for nothing is there"
    );
    assert!(holds("/a", "ne", "\"x\"", r#"{"a": "\ud800"}"#).is_ok());
}

#[test]
fn what_is_no_json_has_nothing_and_harms_nothing() {
    for data in [
        "",
        " ",
        "{",
        "[",
        "{\"a\"",
        "{\"a\":",
        "{\"a\":1",
        "{\"a\":{",
        "{\"b\":[{\"",
        "{,}",
        "[,]",
        "\"",
        "\"\\",
        "{\"b\" 1}",
    ] {
        for pointer in ["", "/a", "/a/b", "/0", "/b/0/c"] {
            let _ = holds(pointer, "exists", "true", data);
        }
    }
    assert!(holds("/a", "exists", "true", "{\"b\":1}}{\"a\":1}").is_err());
    let all =
        filters(&json!({"attributes": {"a": [1]}, "data": [{"pointer": "/a", "op": "eq", "value": 1}]}));
    assert!(all.check(&Facts::of([&all], b"\xff", b"{\"a\":\xff1}")).is_err());
}

#[test]
fn every_named_attribute_must_have_one_of_its_values() {
    let all = filters(&json!({"attributes": {"party": ["556", 7, true], "kind": ["a"]}}));
    let passes = |attributes: &str| {
        all.check(&Facts::of([&all], attributes.as_bytes(), b"")).map_err(|unmet| unmet.to_string())
    };
    for good in [
        r#"{"party":"556","kind":"a"}"#,
        r#"{"kind":"a","party":7.0,"more":1}"#,
        r#"{"party":true,"kind":"a"}"#,
    ] {
        assert_eq!(passes(good), Ok(()), "{good}");
    }
    for (bad, why) in [
        ("", "the attribute kind is missing"),
        (r#"{"kind":"a"}"#, "the attribute party is missing"),
        (r#"{"party":"556"}"#, "the attribute kind is missing"),
        (r#"{"party":"7","kind":"a"}"#, "the attribute party has none of the values"),
        (r#"{"party":false,"kind":"a"}"#, "the attribute party has none of the values"),
    ] {
        assert_eq!(passes(bad), Err(why.to_owned()), "{bad}");
    }
}

#[test]
fn one_look_at_an_event_serves_all_endpoints() {
    let condition = |pointer: &str, value: u32| {
        filters(&json!({"data": [{"pointer": pointer, "op": "eq", "value": value}]}))
    };
    let all = [
        condition("/a", 1),
        condition("/a/b", 1),
        condition("/a/b", 2),
        condition("/a/b/c", 1),
        condition("/z", 3),
        filters(&json!({"attributes": {"k": [1]}})),
    ];
    let facts = Facts::of(&all, br#"{"k":1}"#, br#"{"z":3,"a":{"c":1,"b":2}}"#);
    let passing: Vec<bool> = all.iter().map(|filters| filters.check(&facts).is_ok()).collect();
    assert_eq!(passing, [false, false, true, false, true, true]);
}

#[test]
fn why_an_event_does_not_pass_names_the_place_and_no_value() {
    let data = r#"{"a": {"b": "hidden"}}"#;
    for (pointer, op, value, why) in [
        ("/a/b", "eq", "\"secret\"", "/a/b is not eq"),
        ("/a/b", "in", "[\"secret\"]", "/a/b has none of the values"),
        ("/a/c", "gt", "1", "/a/c is missing"),
        ("/a", "exists", "false", "/a is there"),
        ("/b", "exists", "true", "/b is missing"),
        ("", "eq", "1", "the data is not eq"),
    ] {
        assert_eq!(holds(pointer, op, value, data), Err(why.to_owned()), "{pointer} {op}");
    }
}

#[test]
fn filters_are_shown_as_they_were_written() {
    let text = r#"{"attributes":{"a":["x",1.50,true],"b":[1e999999]},"data":[{"pointer":"/a~1b","op":"in","value":[12345678901234567890.5,"\"é"]},{"pointer":"","op":"exists","value":false},{"pointer":"/n","op":"lte","value":-0.10}]}"#;
    let filters = Filters::parse(text).unwrap().unwrap();
    let shown = serde_json::to_string(&filters.to_document()).unwrap();
    assert_eq!(shown, text);
    assert_eq!(Filters::parse("{}").unwrap(), None);
    assert_eq!(Filters::parse(r#"{"attributes": {}, "data": []}"#).unwrap(), None);
}

#[test]
fn abuse_a02_all_faults_of_filters_come_at_once() {
    let text = r#"{"attributes": {"a": "x", "b": [], "c": [[]], "": [1], "d": [null]}, "more": 1, "data": [
        {"pointer": "a", "op": "eq", "value": 1}, {"pointer": "/a~", "op": "like", "value": 1}, 7,
        {"op": "gt", "value": "1"}, {"pointer": "/a", "op": "exists"}, {"pointer": "/a", "op": "prefix", "value": 1},
        {"pointer": "/a", "op": "in", "value": 1}, {"pointer": "/a", "op": "eq", "value": {}, "extra": 1},
        {"pointer": "/a", "pointer": "/b", "op": "eq", "value": 1}
    ]}"#;
    assert_eq!(
        pointers(text),
        [
            "/attributes/a",
            "/attributes/b",
            "/attributes/c",
            "/attributes/",
            "/attributes/d",
            "/data/0/pointer",
            "/data/1/pointer",
            "/data/1/op",
            "/data/2",
            "/data/3/pointer",
            "/data/3/value",
            "/data/4/value",
            "/data/5/value",
            "/data/6/value",
            "/data/7/value",
            "/data/7/extra",
            "/data/8/pointer",
            "/more",
        ]
    );
}

#[test]
fn abuse_a84_filters_are_bounded_and_their_faults_name_the_range() {
    let names = |n: usize| -> Value {
        (0..n).map(|i| (format!("a{i}"), json!([1]))).collect::<serde_json::Map<_, _>>().into()
    };
    let conditions = |n: usize| json!(vec![json!({"pointer": "/a", "op": "eq", "value": 1}); n]);
    let one = |pointer: String, op: &str, value: Value| json!({"data": [{"pointer": pointer, "op": op, "value": value}]});
    let long = |n: usize| json!("x".repeat(n));
    for (good, bad, pointer, range) in [
        (json!({"attributes": names(20)}), json!({"attributes": names(10_000)}), "/attributes", "20"),
        (
            json!({"attributes": {"a": vec![1; 50]}}),
            json!({"attributes": {"a": vec![1; 51]}}),
            "/attributes/a",
            "1 to 50",
        ),
        (
            json!({"attributes": {"a": [long(1_024)]}}),
            json!({"attributes": {"a": [long(1_025)]}}),
            "/attributes/a",
            "1024",
        ),
        (
            json!({"attributes": {"a".repeat(128): [1]}}),
            json!({"attributes": {"a".repeat(129): [1]}}),
            "/attributes/",
            "128",
        ),
        (json!({"data": conditions(20)}), json!({"data": conditions(10_000)}), "/data", "20"),
        (
            one("/a".into(), "in", json!(vec![1; 100])),
            one("/a".into(), "in", json!(vec![1; 101])),
            "/data/0/value",
            "1 to 100",
        ),
        (one("/a".into(), "in", json!([1])), one("/a".into(), "in", json!([])), "/data/0/value", "1 to 100"),
        (one("/a".repeat(16), "eq", json!(1)), one("/a".repeat(17), "eq", json!(1)), "/data/0/pointer", "16"),
        (
            one(format!("/{}", "a".repeat(255)), "eq", json!(1)),
            one(format!("/{}", "a".repeat(256)), "eq", json!(1)),
            "/data/0/pointer",
            "256",
        ),
        (
            one("/a".into(), "prefix", long(1_024)),
            one("/a".into(), "prefix", long(1_025)),
            "/data/0/value",
            "1024",
        ),
    ] {
        let shown: String = bad.to_string().chars().take(80).collect();
        assert!(Filters::parse(&good.to_string()).is_ok(), "{shown}");
        let error = Filters::parse(&bad.to_string()).unwrap_err();
        let fault = &error.faults()[0];
        assert!(fault.pointer.starts_with(pointer) && fault.detail.contains(range), "{shown}: {fault}");
    }
    let digits = format!(r#"{{"data": [{{"pointer": "", "op": "gt", "value": {}}}]}}"#, "1".repeat(1_025));
    assert_eq!(pointers(&digits), ["/data/0/value"]);
}

#[test]
fn one_of_many_values_is_met_by_its_value_however_it_is_written() {
    let values: Vec<Value> = (0..30)
        .flat_map(|n| [json!(n * 3), json!(format!("{}", n * 3)), json!(n % 2 == 0)])
        .take(MAX_LISTED)
        .collect();
    let values = Value::from(values).to_string();
    for (data, expected) in [
        ("87", true),
        ("8.70e1", true),
        ("87.0000000000000000000000000001", false),
        ("86", false),
        ("-87", false),
        ("\"87\"", true),
        ("\"87.0\"", false),
        ("\"\\u0038\\u0037\"", true),
        ("true", true),
        ("null", false),
        ("[87]", false),
    ] {
        assert_eq!(holds("", "in", &values, data).is_ok(), expected, "{data}");
    }
    assert!(holds("", "in", "[true]", "false").is_err());
    // Shown as it was given.
    let text = r#"{"attributes":{},"data":[{"pointer":"/a","op":"in","value":[3,1.0,"b","a",2e0]}]}"#;
    let shown = Filters::parse(text).unwrap().unwrap().to_document();
    assert_eq!(serde_json::to_string(&shown).unwrap(), text);
}

#[test]
fn abuse_a82_a_name_that_comes_again_and_again_leaves_what_its_last_one_has() {
    let many: Vec<Filters> = (0..200)
        .flat_map(|n| [format!("/a/{n}"), format!("/a/x{n}")])
        .map(|pointer| filters(&json!({"data": [{"pointer": pointer, "op": "exists", "value": true}]})))
        .collect();
    let mut text = String::from("{");
    for _ in 0..5_000 {
        text.push_str(r#""a":[1,2],"a":{"x1":1},"#);
    }
    text.push_str(r#""a":[0,0,0]}"#);
    let facts = Facts::of(&many, b"", text.as_bytes());
    let there = many.iter().filter(|filters| filters.check(&facts).is_ok()).count();
    assert_eq!(there, 3);
}

/// JSON as a text, with white space, escapes and double names.
fn any_json() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        Just("null".to_owned()),
        any::<bool>().prop_map(|b| b.to_string()),
        (-5..5_i32).prop_map(|n| n.to_string()),
        prop::sample::select(vec!["\"a\"", "\"\\u0061\"", "\"{[\\\"\\\\\"", "\"\""]).prop_map(str::to_owned),
    ];
    let name =
        prop::sample::select(vec!["\"a\"", "\"b\"", "\"\\u0061\"", "\"0\"", "\"~\"", "\"/\"", "\"\\\"\""]);
    leaf.prop_recursive(4, 40, 5, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..5)
                .prop_map(|items| format!("[ {} ]", items.join(" ,\n"))),
            prop::collection::vec((name.clone(), inner), 0..5).prop_map(|members| {
                let members: Vec<String> =
                    members.into_iter().map(|(name, value)| format!("{name}\t: {value}")).collect();
                format!("{{{} }}", members.join(", "))
            }),
        ]
    })
}

/// A condition on data.
fn any_condition() -> impl Strategy<Value = Value> {
    let pointer = "(/(a|b|0|1|~1)){0,3}";
    let scalar = prop_oneof![
        any::<bool>().prop_map(|b| json!(b)),
        (-5..5_i32).prop_map(|n| json!(n)),
        prop::sample::select(vec![json!("a"), json!("")]),
    ];
    let test = prop_oneof![
        (prop::sample::select(vec!["eq", "ne"]), scalar.clone()),
        (Just("in"), prop::collection::vec(scalar, 1..6).prop_map(Value::from)),
        (prop::sample::select(vec!["gt", "gte", "lt", "lte"]), (-5..5_i32).prop_map(|n| json!(n))),
        (Just("prefix"), Just(json!("a"))),
        (Just("exists"), any::<bool>().prop_map(|b| json!(b))),
    ];
    (pointer, test).prop_map(|(pointer, (op, value))| json!({"pointer": pointer, "op": op, "value": value}))
}

#[test]
fn conditions_may_be_for_some_types_alone() {
    let text = r#"{"event_types": ["card.transaction.*", "tpa.signed"], "attributes": {"k": ["a"]}}"#;
    let some = Filters::parse(text).unwrap().unwrap();
    for (event_type, expected) in [
        ("card.transaction.cleared", true),
        ("tpa.signed", true),
        ("card.transaction", false),
        ("tpa.signed.again", false),
        ("receipt.fetched", false),
    ] {
        assert_eq!(some.ask_of(event_type), expected, "{event_type}");
    }
    let shown = serde_json::to_string(&some.to_document()).unwrap();
    assert_eq!(Filters::parse(&shown).unwrap(), Some(some));
    assert!(filters(&json!({"event_types": null, "attributes": {"k": ["a"]}})).ask_of("receipt.fetched"));
    // Without conditions there is nothing to ask.
    assert_eq!(Filters::parse(r#"{"event_types": ["card.*"]}"#).unwrap(), None);
    assert_eq!(
        pointers(r#"{"event_types": ["card*", "card.*", 7], "data": 1}"#),
        ["/event_types/0", "/event_types/2", "/data",]
    );
}

proptest! {
    #[test]
    fn a_screen_says_of_each_endpoint_what_its_filters_say(
        text in any_json(),
        attribute in prop::sample::select(vec![r#"{"k":"a"}"#, r#"{"k":1}"#, ""]),
        asked in prop::collection::vec(
            (prop::collection::vec(any_condition(), 0..4), any::<bool>(), any::<bool>(), any::<bool>()), 1..8,
        ),
    ) {
        let entrants: Vec<Entrant> = (1..).zip(&asked).filter_map(|(no, (data, on_attribute, subscribed, others))| {
            let attributes = if *on_attribute { json!({"k": ["a", 2]}) } else { json!({}) };
            let types = if *others { json!(["account.*", "card.lost"]) } else { Value::Null };
            let filters = json!({"event_types": types, "attributes": attributes, "data": data}).to_string();
            Some(Entrant {
                no: EndpointNo(no),
                version: 1,
                patterns: [Pattern::parse(if *subscribed { "card.*" } else { "account.*" }).unwrap()].into(),
                filters: Arc::new(Filters::parse(&filters).unwrap()?),
            })
        }).collect();
        let screen = Arc::new(Screen::of(entrants.iter().rev().cloned().collect()));
        let judged = screen.judge("card.used", attribute.as_bytes(), text.as_bytes());
        let all = entrants.iter().map(|entrant| &*entrant.filters);
        let facts = Facts::of(all, attribute.as_bytes(), text.as_bytes());
        for entrant in &entrants {
            let subscribed = entrant.patterns[0].matches("card.used");
            let asked = entrant.filters.ask_of("card.used");
            let expected = subscribed && (!asked || entrant.filters.check(&facts).is_ok());
            prop_assert_eq!(judged.verdict(entrant.no, 1), Some(expected));
            prop_assert_eq!(judged.verdict(entrant.no, 2), None);
        }
        prop_assert_eq!(judged.verdict(EndpointNo(99), 1), None);
    }

    #[test]
    fn what_is_found_is_what_a_tree_of_the_document_has(
        text in any_json(), pointers in prop::collection::vec("(/(a|b|0|1|2|~0|~1|\")){0,4}", 1..8),
    ) {
        let tree: Value = serde_json::from_str(&text).unwrap();
        let filters: Vec<Filters> = pointers.iter().map(|pointer| {
            filters(&json!({"data": [{"pointer": pointer, "op": "exists", "value": true}]}))
        }).collect();
        let facts = Facts::of(&filters, b"", text.as_bytes());
        for (pointer, filters) in pointers.iter().zip(&filters) {
            let expected = match tree.pointer(pointer) {
                None => Fact::Missing,
                Some(Value::Bool(b)) => Fact::Scalar(Scalar::Boolean(*b)),
                Some(Value::String(s)) => Fact::Scalar(Scalar::Text(s.into())),
                Some(Value::Number(n)) => {
                    Fact::Scalar(Scalar::Number(Decimal::parse(&n.to_string()).unwrap().into_owned()))
                }
                Some(_) => Fact::Other,
            };
            prop_assert_eq!(facts.data(&filters.data[0].pointer), &expected, "{} in {}", pointer, text);
        }
    }

    #[test]
    fn no_text_whatever_makes_it_fail(text in "[\\[\\]{}\",:0a\\\\ ]{0,30}", pointer in "(/(a|0)){0,3}") {
        let _ = holds(&pointer, "exists", "true", &text);
    }
}
