use serde_json::json;

use super::*;

fn compile(schema: &Value) -> Schema {
    Schema::compile(&schema.to_string()).unwrap_or_else(|faults| panic!("{schema}: {faults:?}"))
}

fn refused(schema: &str) -> Vec<String> {
    let faults = Schema::compile(schema).err().unwrap_or_else(|| panic!("taken: {schema}"));
    faults.iter().map(|fault| format!("{} {}", fault.pointer, fault.detail)).collect()
}

fn pointers(schema: &Value, data: &str) -> Vec<String> {
    let checked = compile(schema).check(data.as_bytes());
    checked.err().unwrap_or_default().into_iter().map(|fault| fault.pointer).collect()
}

#[test]
fn every_keyword_has_its_say_at_the_place_of_the_fault() {
    let transaction = json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema", "$id": "https://example.com/transaction",
        "type": "object", "required": ["id", "amount"], "additionalProperties": false,
        "properties": {
            "id": {"type": "string", "format": "uuid", "minLength": 3},
            "amount": {"$ref": "#/$defs/money"},
            "items": {"type": "array", "uniqueItems": true, "maxItems": 3, "items": {"enum": [1, "a", {"b": 1.0}]}},
            "currency": {"pattern": "^[A-Z]{3}$"},
            "~a/b": {"const": null},
        },
        "$defs": {"money": {"type": "number", "minimum": 0, "multipleOf": 0.01}},
    });
    for (data, expected) in [
        (r#"{"id":"abc","amount":42.50,"items":[1,"a",{"b":1}],"currency":"EUR","~a/b":null}"#, vec![]),
        (r#"{"id":"abc","amount":42.505}"#, vec!["/amount"]),
        (r#"{"id":"abc","amount":-0.01}"#, vec!["/amount"]),
        (r#"{"id":"ab","amount":"1"}"#, vec!["/amount", "/id"]),
        (r#"{"surplus":1,"other":2}"#, vec!["/id", "/amount", "/other", "/surplus"]),
        (r#"{"id":"abc","amount":0,"items":[1,1.0]}"#, vec!["/items"]),
        (r#"{"id":"abc","amount":0,"items":[2,{"b":2},"a"]}"#, vec!["/items/0", "/items/1"]),
        (r#"{"id":"abc","amount":0,"currency":"eur","~a/b":0}"#, vec!["/currency", "/~0a~1b"]),
        ("[]", vec![""]),
    ] {
        assert_eq!(pointers(&transaction, data), expected, "{data}");
    }
}

#[test]
fn abuse_a53_a_fault_never_tells_a_value() {
    let schema = json!({
        "properties": {
            "a": {"type": "integer"}, "b": {"enum": ["x"]}, "c": {"const": 1}, "d": {"maxLength": 3}, "e": {"pattern": "^a$"},
            "f": {"anyOf": [{"type": "null"}, {"maxLength": 1}]}, "g": {"oneOf": [{"type": "null"}]}, "h": {"not": {}},
            "i": false, "j": {"uniqueItems": true}, "k": {"contains": {"type": "null"}}, "l": {"propertyNames": {"maxLength": 1}},
            "m": {"unevaluatedItems": false}, "n": {"multipleOf": 7}, "o": {"maximum": 1}, "p": {"maxItems": 0}
        }
    });
    let names = "abcdefghij".chars().chain("klmnop".chars());
    let data: Map<String, Value> = names
        .map(|name| {
            let value = match name {
                'j' | 'k' | 'm' | 'p' => json!(["planted", "planted"]),
                'l' => json!({"planted": "planted"}),
                'n' | 'o' => json!(4_242_424_242.5),
                _ => json!("planted"),
            };
            (name.to_string(), value)
        })
        .collect();
    let faults = compile(&schema).check(Value::Object(data).to_string().as_bytes()).unwrap_err();
    assert_eq!(faults.len(), 16, "{faults:?}");
    for fault in faults {
        assert!(!fault.detail.contains("planted") && !fault.detail.contains("4242"), "{fault}");
    }
}

#[test]
fn abuse_a05_any_number_is_judged_by_its_value() {
    let long = "9".repeat(100);
    for (schema, number, fits) in [
        (json!({"multipleOf": 0.01}), "42.50", true),
        (json!({"multipleOf": 0.01}), "42.505", false),
        (json!({"multipleOf": 0.01}), "1070468.14", true),
        (json!({"multipleOf": 0.01}), "0.1", true),
        (json!({"multipleOf": 0.01, "minimum": 42.5}), "42.50", true),
        (json!({"exclusiveMinimum": 42.5}), "42.50", false),
        (json!({"minimum": 42.51}), "42.50", false),
        (json!({"multipleOf": 0.01}), "1e999999", true),
        (json!({"maximum": 1}), "1e999999", false),
        (json!({"minimum": 1}), "1e999999", true),
        (json!({"minimum": 1}), "-1e999999", false),
        (json!({"type": "integer"}), "1e999999", true),
        (json!({"type": "integer"}), "1e-999999", false),
        (json!({"type": "integer"}), &long, true),
        (json!({"maximum": 1e100}), &long, true),
        (json!({"maximum": 1e99}), &long, false),
        (json!({"multipleOf": 3}), &long, true),
        (json!({"type": "integer"}), "100.00", true),
        (json!({"const": 100}), "100.00", true),
        (json!({"enum": [0.1]}), "0.10000000000000001", false),
        (json!({"type": "string"}), "1", false),
    ] {
        assert_eq!(compile(&schema).check(number.as_bytes()).is_ok(), fits, "{schema} {number}");
    }
    for odd in [
        "-0",
        "0e0",
        "1E+400",
        "-1e-400",
        "0.000000000000000000001",
        &format!("0.{long}"),
        &format!("{long}e{long}"),
    ] {
        for schema in
            [json!({"multipleOf": 0.3}), json!({"multipleOf": 7}), json!({"minimum": 0.1, "maximum": 1e300})]
        {
            drop(compile(&schema).check(odd.as_bytes()));
        }
    }
}

#[test]
fn abuse_a06_a07_texts_and_names_that_are_odd_are_checked_all_the_same() {
    let schema = json!({"properties": {"a": {"type": "integer"}}, "patternProperties": {"^\\u0000": {"maxLength": 2}}});
    assert!(pointers(&schema, r#"{"a":"x","a":1,"\ud800":1,"\u0000":"ab"}"#).is_empty());
    assert_eq!(pointers(&schema, r#"{"a":1,"a":"x"}"#), ["/a"]);
    assert_eq!(pointers(&schema, r#"{"\u0000":"abc"}"#), ["/\u{0}"]);
}

#[test]
fn abuse_a81_what_lies_outside_is_neither_fetched_nor_read() {
    for (schema, pointer) in [
        (r#"{"$ref":"http://127.0.0.1:9/card.json"}"#, "/$ref"),
        (r#"{"$ref":"file:///etc/passwd"}"#, "/$ref"),
        (r#"{"$ref":"card.json#/a"}"#, "/$ref"),
        (r#"{"$ref":""}"#, "/$ref"),
        (
            r#"{"properties":{"a/b":{"$dynamicRef":"https://example.com/x#y"}}}"#,
            "/properties/a~1b/$dynamicRef",
        ),
        (r#"{"$id":"https://a.example/x","$ref":"https://a.example/x#/$defs/a","$defs":{"a":{}}}"#, "/$ref"),
        (r#"{"$defs":{"a":{"allOf":[{"$ref":"urn:x"}]}}}"#, "/$defs/a/allOf/0/$ref"),
        (r##"{"$ref":"#/odd/place","odd":{"place":{"items":{"$ref":"urn:x"}}}}"##, "/odd/place/items/$ref"),
        (r#"{"$schema":"http://127.0.0.1:9/meta"}"#, "/$schema"),
        (r#"{"$schema":"http://json-schema.org/draft-07/schema#"}"#, "/$schema"),
        (r#"{"items":{"$schema":"https://json-schema.org/draft/2020-12/schema"}}"#, "/items/$schema"),
        (r#"{"items":{"$id":"inner"}}"#, "/items/$id"),
        (r##"{"$ref":"#/$defs/none"}"##, "/$ref"),
        (r##"{"$ref":"#none"}"##, "/$ref"),
        (r##"{"$ref":"#%zz"}"##, "/$ref"),
        (r#"{"$defs":{"a":{"$anchor":"x"},"b":{"$anchor":"x"}}}"#, "/$defs/b/$anchor"),
    ] {
        let faults = refused(schema);
        assert!(faults.len() == 1 && faults[0].starts_with(&format!("{pointer} ")), "{schema}: {faults:?}");
    }
    // What only looks like a reference is data.
    for schema in [
        json!({"const": {"$ref": "http://127.0.0.1:9/"}}),
        json!({"properties": {"$ref": {"type": "string"}, "$id": {}}}),
        json!({"examples": [{"$schema": "urn:x"}], "default": {"$id": "urn:x"}}),
        json!({"$id": "http://127.0.0.1:9/self", "$ref": "#/$defs/a%20b", "$defs": {"a b": {"$ref": "#c"}, "c": {"$anchor": "c"}}}),
    ] {
        compile(&schema);
    }
}

#[test]
fn abuse_a81_what_goes_round_in_a_circle_is_refused_and_recursion_is_not() {
    for (schema, pointer) in [
        (json!({"$ref": "#"}), "/$ref"),
        (json!({"$dynamicRef": "#"}), "/$dynamicRef"),
        (json!({"allOf": [{"$ref": "#"}]}), "/allOf/0/$ref"),
        (json!({"not": {"anyOf": [{"$ref": "#/not"}]}}), "/not/anyOf/0/$ref"),
        (json!({"if": {"then": {"$ref": "#"}}}), ""),
        (json!({"dependentSchemas": {"a": {"$ref": "#"}}}), "/dependentSchemas/a/$ref"),
        (json!({"dependencies": {"a": {"$ref": "#"}}}), "/dependencies/a/$ref"),
        (json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"oneOf": [{"$ref": "#/$defs/a"}]}}}), "/$defs/"),
        (json!({"properties": {"a": {"$anchor": "a", "else": {"$ref": "#a"}}}}), "/properties/a/else/$ref"),
    ] {
        let faults = refused(&schema.to_string());
        assert!(
            faults.len() == 1 && faults[0].starts_with(pointer) && faults[0].contains("leads back"),
            "{schema}: {faults:?}"
        );
    }
    let tree = json!({"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "additionalProperties": false});
    assert!(pointers(&tree, r#"{"left":{"right":{}},"right":{}}"#).is_empty());
    assert_eq!(pointers(&tree, r#"{"left":{"right":{"up":1}}}"#), ["/left/right/up"]);
}

#[test]
fn abuse_a81_patterns_are_linear_and_bounded() {
    let schema = compile(&json!({"pattern": "(a+)+$", "maxLength": 1_000_000}));
    assert!(schema.check(format!("\"{}!\"", "a".repeat(200_000)).as_bytes()).is_err());
    for (schema, pointer) in [
        (json!({"properties": {"a": {"pattern": "a(?=b)"}}}), "/properties/a/pattern"),
        (json!({"patternProperties": {"(a)\\1": {}}}), "/patternProperties/(a)\\1"),
        (json!({"pattern": "(?<!a)b"}), "/pattern"),
        (json!({"pattern": "a{1000}{1000}"}), "/pattern"),
        (json!({"pattern": "["}), "/pattern"),
    ] {
        let faults = refused(&schema.to_string());
        assert!(
            faults.len() == 1 && faults[0].starts_with(&format!("{pointer} is a pattern")),
            "{schema}: {faults:?}"
        );
    }
    let many: Vec<Value> =
        (0..=structure::MAX_PATTERNS).map(|n| json!({"pattern": format!("^{n}$")})).collect();
    assert!(refused(&json!({"anyOf": many}).to_string())[0].contains("one pattern too many"));
}

#[test]
fn abuse_a81_what_a_schema_asks_of_one_value_is_bounded() {
    let chain = |length: usize| {
        let link = |n: usize| (format!("d{n}"), json!({"$ref": format!("#/$defs/d{}", n + 1)}));
        let mut links: Map<String, Value> = (0..length).map(link).collect();
        links.insert(format!("d{length}"), true.into());
        json!({"items": {"$ref": "#/$defs/d0"}, "$defs": links})
    };
    compile(&chain(structure::MAX_CHAIN - 1));
    assert!(refused(&chain(structure::MAX_CHAIN).to_string())[0].contains("inside one another"));
    assert!(refused(&chain(1_500).to_string())[0].contains("inside one another"));
    // Each level doubles what is applied.
    let level = |n: usize| {
        (format!("d{n}"), json!({"allOf": vec![json!({"$ref": format!("#/$defs/d{}", n + 1)}); 40]}))
    };
    let mut levels: Map<String, Value> = (0..6).map(level).collect();
    levels.insert("d6".into(), json!({"type": "string"}));
    assert!(
        refused(&json!({"$ref": "#/$defs/d0", "$defs": levels}).to_string())[0]
            .contains("schemas to one value")
    );
}

#[test]
fn abuse_a81_data_that_would_take_for_ever_is_cut_off() {
    let nested = |depth: usize, inner: &str| format!("{}{inner}{}", "[".repeat(depth), "]".repeat(depth));
    for branches in ["allOf", "anyOf", "oneOf"] {
        let schema = json!({
            "type": "array", branches: [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}, "minItems": 1}, {"items": {"$ref": "#"}}]
        });
        let schema = compile(&schema);
        for data in
            [nested(60, ""), nested(60, "1"), nested(60, "1,[]"), format!("[{}[]]", "[],".repeat(60_000))]
        {
            let verdict = schema.check(data.as_bytes());
            assert!(verdict.is_ok() || !verdict.unwrap_err().is_empty());
        }
    }
    let faults = compile(&json!({})).check(nested(MAX_DATA_DEPTH + 1, "").as_bytes()).unwrap_err();
    assert!(faults[0].detail.contains("nests deeper"), "{faults:?}");
    let wrong = format!("[{}1]", "1,".repeat(100_000));
    let faults = compile(&json!({"items": {"type": "string"}})).check(wrong.as_bytes()).unwrap_err();
    assert!(!faults.is_empty() && faults.len() <= MAX_FAULTS);
}

#[test]
fn abuse_a81_neither_deep_schemas_nor_deep_data_exhaust_the_stack() {
    let check = || {
        for step in ["anyOf", "oneOf", "allOf", "then", "not", "dependentSchemas"] {
            let wrap = |inner: Value| match step {
                "then" => json!({"if": true, "then": inner}),
                "not" => json!({"not": {"not": inner}}),
                "dependentSchemas" => json!({"dependentSchemas": {"a": inner}}),
                list => json!({list: [inner, false]}),
            };
            let steps = if step == "not" { structure::MAX_CHAIN / 4 } else { structure::MAX_CHAIN / 2 - 1 };
            for (part, kind) in
                [("items", "array"), ("properties", "object"), ("unevaluatedProperties", "object")]
            {
                let inner =
                    if part == "properties" { json!({"a": {"$ref": "#"}}) } else { json!({"$ref": "#"}) };
                let mut defs = Map::new();
                for n in 0..steps {
                    defs.insert(format!("d{n}"), wrap(json!({"$ref": format!("#/$defs/d{}", n + 1)})));
                }
                defs.insert(format!("d{steps}"), json!({"type": kind, part: inner}));
                let Ok(schema) = Schema::compile(&json!({"$ref": "#/$defs/d0", "$defs": defs}).to_string())
                else {
                    panic!("{step} {part}");
                };
                let (open, close) = if kind == "array" { ("[", "]") } else { ("{\"a\":", "}") };
                let data =
                    format!("{}1{}", open.repeat(MAX_DATA_DEPTH - 1), close.repeat(MAX_DATA_DEPTH - 1));
                drop(schema.check(data.as_bytes()));
            }
        }
        let mut deep = json!({"type": "string"});
        for n in 0..60 {
            deep = match n % 4 {
                0 => json!({"properties": {"a": deep}}),
                1 => json!({"items": deep, "unevaluatedItems": false}),
                2 => json!({"additionalProperties": {"anyOf": [deep]}}),
                _ => json!({"contains": deep, "unevaluatedProperties": {"$ref": "#/$defs/x"}}),
            };
        }
        deep["$defs"] = json!({"x": {"type": "null"}});
        assert!(deep.to_string().len() < MAX_SCHEMA_BYTES);
        compile(&deep);
    };
    // A thread of the server has 2 MiB. Frames that were not optimized are several times as large.
    let stack = if cfg!(debug_assertions) { 4 << 20 } else { 1 << 20 };
    std::thread::Builder::new().stack_size(stack).spawn(check).unwrap().join().unwrap();
}

#[test]
fn all_faults_of_a_schema_come_at_once() {
    let schema = json!({"type": "strin", "minLength": -1, "properties": {"a": {"$ref": "urn:x"}, "b": {"required": "b"}}});
    let faults = Schema::compile(&schema.to_string()).unwrap_err();
    let pointers: Vec<&str> = faults.iter().map(|fault| fault.pointer.as_str()).collect();
    for pointer in ["/type", "/minLength", "/properties/b/required", "/properties/a/$ref"] {
        assert!(pointers.contains(&pointer), "{pointer}: {faults:?}");
    }
    for (schema, pointer) in [
        ("[]", ""),
        ("true", ""),
        (r#"{"type":"string","type":"string"}"#, "/type"),
        (r#"{"maximum":1e999999}"#, ""),
        (r#"{"const":"\ud800"}"#, ""),
        (r##"{"$ref":"#/odd","odd":{"type":5}}"##, "/odd/type"),
        (&format!(r#"{{"description":"{}"}}"#, "x".repeat(MAX_SCHEMA_BYTES)), ""),
    ] {
        let faults = Schema::compile(schema).unwrap_err();
        assert_eq!(faults[0].pointer, pointer, "{}: {faults:?}", &schema[..schema.len().min(60)]);
    }
}

mod against_the_crate {
    use proptest::prelude::*;

    use super::*;

    /// Values that have much in common.
    fn any_value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            (-2..9_i8).prop_map(Value::from),
            prop_oneof![Just(1.0), Just(0.5), Just(2.5), Just(1e30)].prop_map(Value::from),
            "[ab]{0,3}".prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::btree_map("[abc]", inner, 0..4)
                    .prop_map(|m| Value::Object(m.into_iter().collect())),
            ]
        })
    }

    fn any_schema() -> impl Strategy<Value = Value> {
        let types =
            prop::sample::select(vec!["null", "boolean", "integer", "number", "string", "array", "object"]);
        let leaf = prop_oneof![
            Just(json!({})),
            Just(json!(false)),
            types.clone().prop_map(|name| json!({"type": name})),
            (0..4_u8).prop_map(|n| json!({"minimum": n, "maxLength": n, "minItems": n, "maxProperties": n})),
            any_value().prop_map(|value| json!({"const": value})),
            prop::collection::vec(any_value(), 1..4).prop_map(|values| json!({"enum": values})),
            Just(json!({"uniqueItems": true, "pattern": "^a+$", "multipleOf": 0.5})),
            Just(json!({"required": ["a"], "propertyNames": {"enum": ["a", "b"]}})),
        ];
        leaf.prop_recursive(3, 16, 3, |inner| {
            let list = prop::collection::vec(inner.clone(), 1..4);
            let named = prop::collection::btree_map("[abc]", inner.clone(), 1..3).prop_map(|m| json!(m));
            prop_oneof![
                list.clone().prop_map(|l| json!({"allOf": l})),
                list.clone().prop_map(|l| json!({"anyOf": l})),
                list.clone().prop_map(|l| json!({"oneOf": l})),
                list.prop_map(|l| json!({"prefixItems": l, "items": {"type": "number"}})),
                (named.clone(), inner.clone())
                    .prop_map(|(p, i)| json!({"properties": p, "additionalProperties": i})),
                (named, inner.clone())
                    .prop_map(|(p, i)| json!({"patternProperties": {"^[ab]": i}, "dependentSchemas": p})),
                (inner.clone(), inner.clone())
                    .prop_map(|(a, b)| json!({"contains": a, "unevaluatedItems": b})),
                (inner.clone(), inner.clone())
                    .prop_map(|(a, b)| json!({"if": a, "then": b, "unevaluatedProperties": false})),
                inner.prop_map(|i| json!({"not": i})),
            ]
        })
    }

    proptest! {
        #[test]
        fn the_verdict_is_the_one_on_the_crate_s_own_values(schema in any_schema(), data in any_value()) {
            prop_assume!(schema.is_object());
            let expected = jsonschema::draft202012::options().should_validate_formats(false).build(&schema).unwrap();
            let checked = compile(&schema).check(data.to_string().as_bytes());
            prop_assert_eq!(checked.is_ok(), expected.is_valid(&data), "{} {}", schema, data);
            prop_assert!(checked.is_ok() || !checked.unwrap_err().is_empty());
        }

        #[test]
        fn no_number_makes_a_check_panic(number in r"-?(0|[1-9][0-9]{0,40})(\.[0-9]{1,40})?([eE][+-]?[0-9]{1,6})?") {
            let schema = json!({"multipleOf": 0.01, "minimum": -1e9, "exclusiveMaximum": 1e9, "not": {"multipleOf": 7}});
            drop(compile(&schema).check(number.as_bytes()));
        }
    }
}

mod examples {
    use super::*;

    fn made(schema: &Value) -> Option<Value> {
        compile(schema).example().map(|example| serde_json::from_slice(&example).unwrap())
    }

    #[test]
    fn an_example_has_what_its_schema_asks_for() {
        for schema in [
            json!({}),
            json!({"type": "null"}),
            json!({"type": ["null", "boolean"]}),
            json!({"type": "integer", "minimum": 10, "multipleOf": 7}),
            json!({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}),
            json!({"minimum": 0.01, "multipleOf": 0.01, "maximum": 0.5}),
            json!({"maximum": -5}),
            json!({"type": "string", "minLength": 30, "maxLength": 40}),
            json!({"maxLength": 3, "type": "string"}),
            json!({"pattern": "^[A-Z]{3}-\\d{4}(x|y)?$"}),
            json!({"format": "uuid", "minLength": 36}),
            json!({"enum": ["a", "b"]}),
            json!({"const": {"a": [1]}}),
            json!({"type": "array", "minItems": 3, "uniqueItems": true, "items": {"type": "string"}}),
            json!({"prefixItems": [{"const": 1}, {"type": "boolean"}], "items": false}),
            json!({"contains": {"const": 5}, "items": {"type": "integer"}}),
            json!({"required": ["a", "b"], "properties": {"a": {"$ref": "#/$defs/x"}}, "$defs": {"x": {"type": "integer"}}}),
            json!({"allOf": [{"type": "object", "required": ["a"]}, {"properties": {"a": {"maximum": 3}}}]}),
            json!({"oneOf": [false, {"required": ["kind"], "properties": {"kind": {"const": "b"}}}]}),
            json!({"type": "object", "properties": {"next": {"$ref": "#"}, "n": {"type": "integer"}}, "required": ["n"]}),
            json!({"examples": [7], "type": "integer"}),
        ] {
            assert!(made(&schema).is_some(), "{schema}");
        }
        let transaction = made(&json!({
            "type": "object", "required": ["id", "amount", "at"], "properties": {
                "id": {"type": "string", "format": "uuid"}, "at": {"type": "string", "format": "date-time"},
                "amount": {"type": "number", "minimum": 0, "multipleOf": 0.01}, "currency": {"examples": ["EUR"]},
                "merchant": {"type": "object", "properties": {"mcc": {"pattern": "^[0-9]{4}$"}}}
            }
        }));
        assert_eq!(
            transaction,
            Some(json!({
                "id": "018f3c5e-7b1a-7c3d-9e2f-012345678900", "at": "2026-01-31T12:00:00Z", "amount": 1, "currency": "EUR",
                "merchant": {"mcc": "0000"}
            }))
        );
    }

    #[test]
    fn abuse_a81_an_example_that_would_be_endless_is_not_made() {
        for schema in [
            json!({"minItems": 1e9, "type": "array"}),
            json!({"minItems": 1_000_000_000, "items": {"minItems": 1_000_000_000}}),
            json!({"type": "string", "minLength": 1_000_000_000}),
            json!({"pattern": "^(((a{100}){100}){100})$"}),
            json!({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}),
            json!({"type": "array", "minItems": 16, "items": {"$ref": "#"}}),
            json!({"not": {}}),
            json!({"$ref": "#x", "$defs": {"x": {"$anchor": "x", "const": 1}}}),
        ] {
            let Ok(schema) = Schema::compile(&schema.to_string()) else { continue };
            assert_eq!(schema.example(), None, "{}", String::from_utf8_lossy(schema.text()));
        }
        let wide: Map<String, Value> = (0..1_000).map(|n| (format!("p{n}"), json!({"$ref": "#"}))).collect();
        drop(made(&json!({"type": "object", "properties": wide})));
        let texts: Map<String, Value> =
            (0..900).map(|n| (format!("p{n}"), json!({"minLength": 250, "type": "string"}))).collect();
        assert!(
            made(&json!({"type": "object", "properties": texts}))
                .is_none_or(|made| made.to_string().len() < 64 << 10)
        );
    }
}
