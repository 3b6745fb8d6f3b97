//! A published event arrives, signed, in the form that was promised, with its data byte for byte.

use serde_json::json;

use crate::harness::{Received, Receiver, Reply, Server, eventually};

#[tokio::test]
async fn an_event_arrives_signed_with_its_headers_in_title_case() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint =
        acme.endpoint(json!({"url": receiver.url_of("/hooks/cards?a=1"), "event_types": ["card.*"]})).await;
    let text = r#"{"tenant":"acme","type":"card.created","occurred_at":"2025-11-13T02:13:20.5+01:00","data":{"card":"c-1"}}"#;
    let accepted = acme.api.publish_text(text).await.ok(202);
    assert_eq!(accepted["deliveries"], 1);
    let id = accepted["id"].as_str().unwrap();
    assert!(id.starts_with("evt_"), "{id}");

    let arrived = &receiver.wait_for(1).await[0];
    assert_eq!(arrived.message.first_line, "POST /hooks/cards?a=1 HTTP/1.1");
    arrived.verify(&endpoint.secret);
    assert_eq!(arrived.event(), id);
    assert_eq!((arrived.attempt(), arrived.sequence()), (1, 1));
    assert_eq!(arrived.header("content-type"), "application/json");
    assert!(arrived.header("user-agent").starts_with("Postrider/"), "{arrived:?}");
    assert_eq!(arrived.header("host"), receiver.address().to_string());
    let body = r#"{"type":"card.created","timestamp":"2025-11-13T01:13:20.500Z","data":{"card":"c-1"}}"#;
    assert_eq!(String::from_utf8_lossy(&arrived.message.body), body);
    let names: Vec<&str> = arrived.message.headers.iter().map(|(name, _)| name.as_str()).collect();
    for name in [
        "Webhook-Id",
        "Webhook-Timestamp",
        "Webhook-Signature",
        "Webhook-Sequence",
        "Webhook-Attempt",
        "Content-Type",
        "User-Agent",
        "Host",
        "Content-Length",
    ] {
        assert_eq!(names.iter().filter(|n| **n == name).count(), 1, "{name} in {names:?}");
    }
    let log = acme.wait_for_status(id, "succeeded").await;
    assert_eq!((&log["reason"], &log["sequence"]), (&json!(null), &json!(1)));
}

/// What JSON lets stand in different ways, and what does not fit a double.
const EXACT: [&str; 14] = [
    r#"{"amount":42.50,"rate":1.0,"zero":-0.0}"#,
    r#"{"big":123456789012345678901234567890,"bigger":-0.123456789012345678901234567890}"#,
    r#"{"a":1,"a":2,"a":{"a":3}}"#,
    r#"{"z":1,"a":2,"m":3}"#,
    r#"{"lone":"\ud800","other":"\udc00x","pair":"\ud83d\ude00"}"#,
    r#"{"nul":"\u0000","escape":"\u001b[31m","slash":"\/","same":"/"}"#,
    r#"{"space" :   [ 1 ,	2 ] }"#,
    r#"1e999999"#,
    r#"[1E+2,1e2,100]"#,
    "\"é 😀 \u{202e}\"",
    "null",
    "{}",
    r#""""#,
    r#"{"100 digits":1234567890123456789012345678901234567890123456789012345678901234567890123456789012345678901234567890}"#,
];

#[tokio::test]
async fn abuse_a05_a06_a07_data_arrives_byte_for_byte_one_by_one_in_arrays_and_in_lines() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let event = |form: &str, i: usize, data: &str| {
        format!(r#"{{"tenant":"acme","type":"t","id":"{form}-{i}","data":{data}}}"#)
    };
    let all = |form: &'static str| EXACT.iter().enumerate().map(move |(i, data)| event(form, i, data));
    for text in all("one") {
        acme.api.publish_text(&text).await.ok(202);
    }
    let array = format!("[{}]", all("array").collect::<Vec<_>>().join(" , "));
    acme.api.publish_text(&array).await.ok(202);
    acme.api.publish_lines(&all("line").collect::<Vec<_>>().join("\n"), &[]).await.ok(202);

    let arrived = receiver.wait_for(3 * EXACT.len()).await;
    for form in ["one", "array", "line"] {
        for (i, data) in EXACT.iter().enumerate() {
            let arrived = arrived.iter().find(|r| r.event() == format!("{form}-{i}")).unwrap();
            arrived.verify(&endpoint.secret);
            let body = String::from_utf8(arrived.message.body.clone()).unwrap();
            let (_, rest) = body.split_once(r#","data":"#).unwrap();
            assert_eq!(rest, format!("{data}}}"), "{form}");
        }
    }
    // The log shows it as it was sent, too.
    let entry = acme.log("event=one-0").await;
    let path = acme.path(&format!("deliveries/{}", entry[0]["id"].as_str().unwrap()));
    let shown = acme.api.get(&path).await.text();
    assert!(shown.contains(EXACT[0]), "{shown}");
}

#[tokio::test]
async fn an_event_goes_to_each_endpoint_of_its_tenant_that_subscribes_and_to_no_other() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let other = server.tenant("other").await;
    let mut secrets = Vec::new();
    for (path, types) in [
        ("/all", json!(["*"])),
        ("/cards", json!(["card.*"])),
        ("/frozen", json!(["card.frozen", "account.topup"])),
        ("/accounts", json!(["account.*"])),
        ("/none", json!([])),
    ] {
        let spec = json!({"url": receiver.url_of(path), "event_types": types});
        secrets.push((path, acme.endpoint(spec).await.secret));
    }
    other.endpoint(json!({"url": receiver.url_of("/other")})).await;

    let mut expected = Vec::new();
    for (kind, paths) in [
        ("card.frozen", &["/all", "/cards", "/frozen"][..]),
        ("card.a.b", &["/all", "/cards"]),
        ("card", &["/all"]),
        ("cards.x", &["/all"]),
        ("account.topup", &["/all", "/frozen", "/accounts"]),
    ] {
        let accepted =
            acme.api.post("/v1/events", &json!({"tenant": "acme", "type": kind, "data": 1})).await.ok(202);
        assert_eq!(accepted["deliveries"], paths.len(), "{kind}");
        expected.extend(paths.iter().map(|path| ((*path).to_owned(), kind.to_owned())));
    }
    let arrived = receiver.wait_for(expected.len()).await;
    for request in &arrived {
        let (_, secret) = secrets.iter().find(|(path, _)| *path == request.path).unwrap();
        request.verify(secret);
    }
    let mut found: Vec<_> =
        arrived.iter().map(|r| (r.path.clone(), r.json()["type"].as_str().unwrap().to_owned())).collect();
    found.sort();
    expected.sort();
    assert_eq!(found, expected);
    // An endpoint's sequence counts what is owed to it, without gaps.
    let mut numbers: Vec<u64> = arrived.iter().filter(|r| r.path == "/all").map(Received::sequence).collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [1, 2, 3, 4, 5]);
}

#[tokio::test]
async fn an_event_without_endpoints_is_accepted_and_owed_to_nobody() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let accepted =
        acme.api.post("/v1/events", &json!({"tenant": "acme", "type": "t", "data": 1})).await.ok(202);
    assert_eq!(accepted["deliveries"], 0);
    assert!(acme.log("").await.is_empty());
}

#[tokio::test]
async fn every_attempt_carries_the_same_id_sequence_and_body_and_is_signed_anew() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    receiver.for_each_event(vec![
        Reply::status(500),
        Reply::status(302).with("location", "/"),
        Reply::Reset,
        Reply::status(200),
    ]);
    let event = acme.publish(json!({"id": "own:id-1"})).await;
    assert_eq!(event, "own:id-1");
    let arrived = receiver.wait_for_event(&event, 4).await;
    for (i, request) in arrived.iter().enumerate() {
        request.verify(&endpoint.secret);
        assert_eq!((request.attempt() as usize, request.sequence()), (i + 1, 1));
        assert_eq!(request.message.body, arrived[0].message.body);
    }
    let delivery = acme.wait_for_status(&event, "succeeded").await;
    let errors: Vec<_> =
        delivery["attempts"].as_array().unwrap().iter().map(|a| a["error"]["kind"].clone()).collect();
    assert_eq!(errors, [json!("status"), json!("status"), json!("reset"), json!(null)]);
    assert_eq!(receiver.count(), 4, "a redirect is not followed");
}

#[tokio::test]
async fn a_test_sends_an_example_and_answers_with_the_attempt() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "headers": {"X-Key": "hidden-value"}})).await;
    let path = format!("{}/test", endpoint.path);
    let attempt = acme.api.post(&path, &json!({"type": "card.created"})).await.ok(200);
    assert_eq!(
        (&attempt["status_code"], &attempt["trigger"], &attempt["error"]),
        (&json!(204), &json!("test"), &json!(null))
    );
    assert_eq!(attempt["remote_address"], "127.0.0.1");
    let arrived = &receiver.all()[0];
    arrived.verify(&endpoint.secret);
    assert_eq!(arrived.json()["type"], "card.created");
    assert!(arrived.message.header("webhook-sequence").is_none(), "a test has no sequence");

    receiver.answer(Reply::status(500).body(b"no"));
    let attempt = acme.api.post(&path, &json!({"type": "card.created"})).await.ok(200);
    assert_eq!((&attempt["error"]["kind"], &attempt["response_body"]), (&json!("status"), &json!("no")));
    assert!(!attempt.to_string().contains("hidden-value"), "{attempt}");
    assert_eq!(acme.api.post(&path, &json!({"type": "not a type"})).await.pointers().len(), 1);
    // A test is no delivery: the next event has the first sequence number.
    receiver.answer(Reply::status(204));
    let event = acme.publish(json!({})).await;
    assert_eq!(receiver.wait_for_event(&event, 1).await[0].sequence(), 1);
}

#[tokio::test]
async fn connections_to_a_receiver_are_used_again() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url(), "max_in_flight": 2})).await;
    for n in 1..=20 {
        acme.publish(json!({})).await;
        receiver.wait_for(n).await;
    }
    eventually("all are acknowledged", async || {
        (acme.log("status=succeeded").await.len() == 20).then_some(())
    })
    .await;
    assert!(receiver.connections() <= 2, "{} connections", receiver.connections());
}
