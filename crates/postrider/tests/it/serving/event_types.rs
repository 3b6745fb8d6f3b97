//! The catalogue of event types: what is registered, what events must fit, what a test sends.

use serde_json::{Value, json};

use crate::harness::api::Answer;
use crate::harness::{Api, Receiver, Server, Setup, another_millisecond};

const JSON: [(&str, &str); 1] = [("content-type", "application/json")];

/// A schema of a transaction, and an example of one, with white space and numbers that tell whether bytes stay.
const SCHEMA: &str = r#"{ "type": "object", "required": ["card", "amount"], "additionalProperties": false, "properties": {
    "card": {"type": "string", "maxLength": 16}, "amount": {"type": "number", "minimum": 0, "multipleOf": 0.01},
    "items": {"type": "array", "items": {"type": "object", "required": ["sku"]}}, "note": {"enum": ["a", "b"]} } }"#;
const EXAMPLE: &str = r#"{ "card" : "c-1", "amount": 42.50 }"#;

async fn put(api: &Api, name: &str, body: &str) -> Answer {
    api.send("PUT", &format!("/v1/event-types/{name}"), &JSON, body.as_bytes()).await
}

fn with_schema() -> String {
    format!(r#"{{"schema":{SCHEMA},"example":{EXAMPLE}}}"#)
}

#[tokio::test]
async fn a_type_is_registered_read_changed_listed_and_removed_and_survives_a_restart() {
    let mut server = Server::start().await;
    let api = server.api();
    let body = format!(
        r#"{{"description":"A card was used","schema":{SCHEMA},"example":{EXAMPLE},"integrations":["gateway"],"kind":"decision"}}"#
    );
    let made = put(&api, "card.used", &body).await;
    assert!(made.text().contains(SCHEMA) && made.text().contains(EXAMPLE), "byte for byte: {}", made.text());
    let made = made.ok(201);
    for (field, value) in [
        ("type", json!("card.used")),
        ("profile", json!("standard")),
        ("description", json!("A card was used")),
        ("integrations", json!(["gateway"])),
        ("kind", json!("decision")),
    ] {
        assert_eq!(made[field], value, "{field}");
    }
    another_millisecond().await;
    let changed = put(&api, "card.used", "{}").await.ok(200);
    assert_eq!(
        (&changed["schema"], &changed["example"], &changed["kind"], &changed["integrations"]),
        (&Value::Null, &Value::Null, &json!("notification"), &json!([]))
    );
    assert_eq!(changed["created_at"], made["created_at"]);
    assert!(changed["updated_at"].as_str() > made["updated_at"].as_str(), "{changed}");
    put(&api, "card.used", &body).await.ok(200);
    put(&api, "card.b", "{}").await.ok(201);
    put(&api, "card.a", "{}").await.ok(201);

    // Whoever has a token may read, and nobody else.
    server.tenant("acme").await;
    let reader = api.token(&json!({"tenant": "acme", "scopes": ["events-write"]})).await;
    let first = reader.get("/v1/event-types?limit=2").await.ok(200);
    let rest = format!("/v1/event-types?limit=2&cursor={}", first["next_cursor"].as_str().unwrap());
    let rest = reader.get(&rest).await.ok(200);
    let names = |page: &Value| -> Vec<Value> {
        page["data"].as_array().unwrap().iter().map(|one| one["type"].clone()).collect()
    };
    assert_eq!(
        (names(&first), names(&rest)),
        (vec![json!("card.a"), json!("card.b")], vec![json!("card.used")])
    );
    assert_eq!(rest["next_cursor"], Value::Null);
    api.with_token("").get("/v1/event-types").await.problem(401);
    api.with_token("").get("/v1/event-types/card.a").await.problem(401);
    for (method, body) in [("PUT", "{}"), ("DELETE", "")] {
        let refused =
            reader.send(method, "/v1/event-types/card.a", &JSON, body.as_bytes()).await.problem(403);
        assert!(refused["detail"].as_str().unwrap().contains("admin"), "{refused}");
    }

    server.kill();
    server.start_again().await;
    let api = server.api();
    let read = api.get("/v1/event-types/card.used").await;
    assert!(read.text().contains(SCHEMA) && read.text().contains(EXAMPLE), "{}", read.text());
    assert_eq!(
        (&read.ok(200)["created_at"], names(&api.get("/v1/event-types").await.ok(200)).len()),
        (&made["created_at"], 3)
    );
    api.delete("/v1/event-types/card.used").await.ok(204);
    api.get("/v1/event-types/card.used").await.problem(404);
    api.delete("/v1/event-types/card.used").await.problem(404);
}

#[tokio::test]
async fn abuse_a02_a12_a13_every_fault_of_a_type_is_told_and_nothing_of_it_is_stored() {
    let server = Server::start().await;
    let api = server.api();
    for (body, pointers) in [
        (r#"{"descripton":"x"}"#.to_owned(), vec!["/descripton"]),
        (
            r#"{"description":"a\nb","kind":"question","integrations":["a","a","a/b"]}"#.into(),
            vec!["/description", "/integrations/1", "/integrations/2", "/kind"],
        ),
        (r#"{"schema":[]}"#.into(), vec!["/schema"]),
        (r#"{"schema":{"type":"strin","minimum":"1"}}"#.into(), vec!["/schema/minimum", "/schema/type"]),
        (r#"{"schema":{"type":"object","type":"array"}}"#.into(), vec!["/schema/type"]),
        (
            r#"{"schema":{"properties":{"a":{"pattern":"(?=a)b"}}}}"#.into(),
            vec!["/schema/properties/a/pattern"],
        ),
        (
            format!(r#"{{"schema":{SCHEMA},"example":{{"card":1,"amount":1.001}}}}"#),
            vec!["/example/amount", "/example/card"],
        ),
        (format!(r#"{{"example":"{}"}}"#, "x".repeat(64 << 10)), vec!["/example"]),
        (format!(r#"{{"schema":{{"title":"{}"}}}}"#, "x".repeat(64 << 10)), vec!["/schema"]),
        ("[]".into(), vec![""]),
    ] {
        let answer = put(&api, "card.used", &body).await;
        assert!(answer.text().len() < 4_096);
        assert_eq!(
            answer.pointers().into_iter().collect::<Vec<_>>(),
            pointers,
            "{}",
            &body[..body.len().min(80)]
        );
    }
    put(&api, "card.used", "{").await.problem(400);
    put(&api, "card.used", &format!(r#"{{"example":{}}}"#, "[".repeat(10_000))).await.problem(400);
    for name in ["card.*", "*", "a..b", ".a", "a%20b", "%2e%2e", "%C3%A9", &"x".repeat(129)] {
        assert_eq!(
            put(&api, name, "{}").await.pointers().into_iter().collect::<Vec<_>>(),
            ["/type"],
            "{name}"
        );
        api.get(&format!("/v1/event-types/{name}")).await.problem(404);
    }
    // A catalogue is a profile's.
    for (method, path) in [
        ("GET", "/v1/event-types?profile=nobody"),
        ("GET", "/v1/event-types/a?profile="),
        ("PUT", "/v1/event-types/a?profile=nobody"),
        ("DELETE", "/v1/event-types/a?profile=standard&profile=standard"),
    ] {
        assert!(
            api.send(method, path, &JSON, b"{}").await.pointers().contains("/profile"),
            "{method} {path}"
        );
    }
    let tenants = api.get("/v1/tenants?limit=1").await.ok(200);
    assert_eq!(tenants["next_cursor"], Value::Null);
    server.tenant("acme").await;
    let foreign = api.get("/v1/tenants?limit=1").await.ok(200)["next_cursor"].as_str().unwrap().to_owned();
    assert!(api.get(&format!("/v1/event-types?cursor={foreign}")).await.pointers().contains("/cursor"));
    assert_eq!(api.get("/v1/event-types").await.ok(200)["data"], json!([]));
}

#[tokio::test]
async fn data_must_fit_the_schema_of_its_type_one_by_one_and_in_batches() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    put(&acme.api, "card.used", &with_schema()).await.ok(201);
    put(&acme.api, "card.lost", r#"{"description":"without a schema"}"#).await.ok(201);
    let event = |kind: &str, data: &str| format!(r#"{{"tenant":"acme","type":"{kind}","data":{data}}}"#);
    let good = [
        event("card.used", r#"{"card":"c-1","amount":42.50,"items":[{"sku":1}],"note":"a"}"#),
        event("card.used", r#"{"amount":1e2,"card":""}"#),
        event("card.lost", "5"),
        event("card.unheard.of", "null"),
    ];
    for event in &good {
        acme.api.publish_text(event).await.ok(202);
    }
    let bad = event("card.used", r#"{"amount":42.505,"items":[{"sku":1},{},7],"note":"c","surplus":1}"#);
    let pointers =
        ["/data/amount", "/data/card", "/data/items/1/sku", "/data/items/2", "/data/note", "/data/surplus"];
    assert_eq!(acme.api.publish_text(&bad).await.pointers().into_iter().collect::<Vec<_>>(), pointers);
    let huge = event("card.used", r#"{"card":"c","amount":1e999999}"#);
    acme.api.publish_text(&huge).await.ok(202);
    acme.api.publish_text(&event("card.used", r#"{"card":"c","amount":-1e999999}"#)).await.problem(422);
    acme.api
        .publish_text(&event("card.used", &format!("{}1{}", "[".repeat(100), "]".repeat(100))))
        .await
        .problem(422);
    for lines in [false, true] {
        let items = [&*good[0], &*bad, &*good[3]];
        let answer = if lines {
            acme.api.publish_lines(&items.join("\n"), &[]).await
        } else {
            acme.api.publish_text(&format!("[{}]", items.join(","))).await
        };
        let answer = answer.ok(202);
        assert!(answer["data"][0]["id"].is_string() && answer["data"][2]["id"].is_string(), "{answer}");
        let error = &answer["data"][1]["error"];
        let found: Vec<_> =
            error["errors"].as_array().unwrap().iter().map(|e| e["pointer"].as_str().unwrap()).collect();
        assert_eq!(error["status"], 422);
        assert!(pointers.iter().all(|pointer| found.contains(&&*format!("/1{pointer}"))), "{found:?}");
    }
    receiver.wait_for(9).await;
    assert_eq!(acme.whole_log("").await.len(), 9, "nothing of what was refused");

    // Another schema is in force at once; none after the type was removed, and publication goes on.
    put(&acme.api, "card.used", r#"{"schema":{"type":"string"}}"#).await.ok(200);
    assert_eq!(acme.api.publish_text(&good[0]).await.pointers().into_iter().collect::<Vec<_>>(), ["/data"]);
    acme.api.delete("/v1/event-types/card.used").await.ok(204);
    acme.api.publish_text(&bad).await.ok(202);
    receiver.wait_for(10).await;
}

#[tokio::test]
async fn abuse_a53_what_does_not_fit_is_told_without_its_values() {
    let server = Setup::default().set("LOG", "debug").start().await;
    let acme = server.tenant("acme").await;
    let schema = r#"{"schema":{"properties":{"a":{"type":"integer"},"b":{"enum":[1]},"c":{"pattern":"^x$"},"d":{"const":1},
        "e":{"anyOf":[{"type":"null"},{"maxLength":1}]},"f":{"maximum":1},"g":{"uniqueItems":true},"h":{"not":{}}}}}"#;
    put(&acme.api, "card.used", schema).await.ok(201);
    let event = r#"{"tenant":"acme","type":"card.used","data":{"a":"planted","b":"planted","c":"planted","d":"planted",
        "e":"planted","f":424242,"g":["planted","planted"],"h":"planted"}}"#;
    let one = acme.api.publish_text(event).await;
    assert_eq!(one.pointers().len(), 8);
    let many = acme.api.publish_text(&format!("[{event}]")).await;
    assert_eq!(many.status, 202);
    for text in [one.text(), many.text(), server.log()] {
        assert!(!text.contains("planted") && !text.contains("424242"), "{text}");
    }
}

#[tokio::test]
async fn a_test_sends_the_example_of_its_type_or_one_made_from_the_schema() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let test = async |kind: &str| {
        let before = receiver.count();
        acme.api.post(&format!("{}/test", endpoint.path), &json!({"type": kind})).await.ok(200);
        let request = receiver.wait_for(before + 1).await.pop().unwrap();
        request.verify(&endpoint.secret);
        assert_eq!(request.json()["type"], kind);
        String::from_utf8(request.message.body).unwrap()
    };
    put(&acme.api, "card.used", &with_schema()).await.ok(201);
    assert!(test("card.used").await.ends_with(&format!(r#""data":{EXAMPLE}}}"#)), "byte for byte");
    let schema = r#"{"schema":{"type":"object","required":["id","at","amount"],"properties":{"id":{"type":"string","format":"uuid"},
        "at":{"type":"string","format":"date-time"},"amount":{"type":"integer","minimum":5},"currency":{"pattern":"^[A-Z]{3}$"}}}}"#;
    put(&acme.api, "card.made", schema).await.ok(201);
    let made: Value = serde_json::from_str(&test("card.made").await).unwrap();
    let data = &made["data"];
    assert!(data["amount"].as_u64() >= Some(5) && data["id"].as_str().unwrap().len() == 36, "{data}");
    data["at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let event = json!({"tenant": "acme", "type": "card.made", "data": data});
    acme.api.publish_text(&event.to_string()).await.ok(202);
    receiver.wait_for(3).await;
    // Where none can be made, and where nothing is known: the one that says what it is.
    put(&acme.api, "card.odd", r#"{"schema":{"not":{}}}"#).await.ok(201);
    for kind in ["card.odd", "card.unheard.of"] {
        assert!(test(kind).await.contains("This is a test from Postrider"), "{kind}");
    }
}

#[tokio::test]
async fn abuse_a81_a_schema_reaches_nothing_and_ends_however_it_is_made() {
    let server = Server::start().await;
    let (victim, receiver) = (Receiver::start().await, Receiver::start().await);
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let file = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(file.path(), r#"{"const":"planted"}"#).unwrap();
    let outside = [
        victim.url(),
        format!("{}#/a", victim.url()),
        format!("file://{}", file.path().display()),
        "other.json".into(),
    ];
    for target in &outside {
        for (body, pointer) in [
            (json!({"schema": {"$ref": target}}), "/schema/$ref"),
            (json!({"schema": {"$schema": target}}), "/schema/$schema"),
            (
                json!({"schema": {"$defs": {"a/b": {"items": {"$dynamicRef": target}}}}}),
                "/schema/$defs/a~1b/items/$dynamicRef",
            ),
            (json!({"schema": {"properties": {"a": {"$id": target}}}}), "/schema/properties/a/$id"),
        ] {
            let answer = put(&acme.api, "card.used", &body.to_string()).await;
            assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), [pointer], "{body}");
            assert!(!answer.text().contains("planted"));
        }
    }
    for circle in [
        json!({"$ref": "#"}),
        json!({"allOf": [{"anyOf": [{"$ref": "#"}]}]}),
        json!({"$defs": {"a": {"$ref": "#/$defs/b"}, "b": {"if": {"$ref": "#/$defs/a"}}}, "$ref": "#/$defs/a"}),
    ] {
        let answer = put(&acme.api, "card.used", &json!({"schema": circle}).to_string()).await;
        assert!(answer.text().contains("would never end"), "{}", answer.text());
    }
    assert_eq!(victim.connections(), 0);

    let schema = json!({
        "type": "array", "anyOf": [{"items": {"$ref": "#"}}, {"items": {"$ref": "#"}, "minItems": 1}, {"items": {"type": "string", "pattern": "(a+)+$"}}]
    });
    put(&acme.api, "card.nested", &json!({"schema": schema}).to_string()).await.ok(201);
    let nested = format!("{}\"{}!\"{}", "[".repeat(40), "a".repeat(100_000), "]".repeat(40));
    let event = format!(r#"{{"tenant":"acme","type":"card.nested","data":{nested}}}"#);
    acme.api.publish_text(&event).await.problem(422);
    for schema in [
        json!({"type": "array", "minItems": 1e9}),
        json!({"type": "string", "minLength": 1e9}),
        json!({"type": "object", "required": ["a"], "properties": {"a": {"$ref": "#"}}}),
    ] {
        put(&acme.api, "card.endless", &json!({"schema": schema}).to_string()).await;
        acme.api.post(&format!("{}/test", endpoint.path), &json!({"type": "card.endless"})).await.ok(200);
    }
    let sent = receiver.wait_for(3).await;
    assert!(sent.iter().all(|request| request.message.body.len() < 1_024));
    acme.publish(json!({})).await;
}

#[tokio::test]
async fn a_repetition_gets_its_first_answer_whatever_its_type_asks_for_by_now() {
    let server = Server::start().await;
    server.tenant("acme").await;
    let api = server.api();
    let by_key = [("content-type", "application/json"), ("idempotency-key", "k")];
    let old = br#"{"tenant": "acme", "type": "t", "data": {"amount": 1}}"#;
    let own = json!({"tenant": "acme", "type": "t", "id": "own", "data": {"amount": 1}});
    let first = api.send("POST", "/v1/events", &by_key, old).await.ok(202);
    let first_own = api.post("/v1/events", &own).await.ok(202);
    put(&api, "t", r#"{"schema": {"type": "object", "required": ["currency"]}}"#).await.ok(201);
    assert_eq!(api.send("POST", "/v1/events", &by_key, old).await.ok(202), first);
    assert_eq!(api.post("/v1/events", &own).await.ok(202), first_own);
    let batch = api.post("/v1/events", &json!([own])).await.ok(202);
    assert_eq!(batch["data"][0], first_own);
    // Whatever is new must fit, with or without a key; so must another body under an old one be told as what it is.
    let other = br#"{"tenant": "acme", "type": "t", "data": {"amount": 2}}"#;
    api.send("POST", "/v1/events", &by_key, other).await.problem(409);
    let fresh = [("content-type", "application/json"), ("idempotency-key", "fresh")];
    for answer in [
        api.send("POST", "/v1/events", &fresh, old).await,
        api.send("POST", "/v1/events", &by_key[..1], old).await,
    ] {
        assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), ["/data/currency"]);
    }
    let batch = api
        .post("/v1/events", &json!([{"tenant": "acme", "type": "t", "id": "new", "data": {}}]))
        .await
        .ok(202);
    assert_eq!(batch["data"][0]["error"]["errors"][0]["pointer"], "/0/data/currency");
}
