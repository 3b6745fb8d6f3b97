//! What the contract says of single fields, filters and errors, where no promise of another module does.

use serde_json::{Value, json};

use crate::harness::{Receiver, Server};

#[tokio::test]
async fn every_operator_of_a_filter_decides_as_it_is_named_and_match_says_where_it_does_not() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": "http://127.0.0.1:9999/"})).await;
    for (op, value, passes, fails) in [
        ("eq", json!("SE"), json!("SE"), json!("se")),
        ("eq", json!(100), json!(100), json!("100")),
        ("ne", json!("SE"), json!("NO"), json!("SE")),
        ("in", json!(["SE", 7]), json!(7), json!("NO")),
        ("gt", json!(100), json!(101), json!(100)),
        ("gte", json!(100), json!(100), json!(99)),
        ("lt", json!(100), json!(99), json!(100)),
        ("lte", json!(100), json!(100), json!(101)),
        ("prefix", json!("55"), json!("5561"), json!("4455")),
        ("exists", json!(true), json!(null), Value::Null),
    ] {
        let filters = json!({"data": [{"pointer": "/amount", "op": op, "value": value}]});
        acme.patch(&endpoint, json!({"filters": filters})).await;
        let ask = async |data: Value| {
            let asked = json!({"type": "card.used", "data": data});
            acme.api.post(&acme.path("endpoints/match"), &asked).await.ok(200)["data"][0].clone()
        };
        let told = ask(json!({"amount": passes})).await;
        assert_eq!(
            (&told["endpoint"], &told["matches"]),
            (&json!(endpoint.id), &json!(true)),
            "{op}: {told}"
        );
        // What is not there at all fails `exists`, and the others a value of theirs.
        let failing = if op == "exists" { json!({}) } else { json!({"amount": fails}) };
        let told = ask(failing).await;
        assert_eq!(told["matches"], false, "{op}: {told}");
        assert!(told["reason"].as_str().unwrap().contains("/amount"), "{op}: {told}");
    }
}

#[tokio::test]
async fn what_was_published_with_a_subject_is_found_by_it_in_each_list() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    acme.api.json("PUT", "/v1/subjects/card-1", &json!({"tenants": ["acme"]})).await.ok(201);
    acme.publish(json!({"id": "about-it", "subject": "card-1"})).await;
    acme.publish(json!({"id": "about-nothing"})).await;
    acme.wait_for_status("about-it", "succeeded").await;
    for (list, id) in [
        ("/v1/tenants/acme/events?", "id"),
        ("/v1/tenants/acme/deliveries?", "event"),
        ("/v1/deliveries?tenant=acme&", "event"),
    ] {
        for (subject, found) in [("card-1", vec!["about-it"]), ("card-2", vec![]), ("CARD-1", vec![])] {
            let listed = acme.api.whole(&format!("{list}subject={subject}"), 50).await;
            let ids: Vec<_> = listed.iter().map(|one| one[id].as_str().unwrap()).collect();
            assert_eq!(ids, found, "{list}{subject}");
        }
    }
}

#[tokio::test]
async fn a_request_s_id_is_echoed_or_made_and_stands_in_problems() {
    let server = Server::start().await;
    let api = server.api();
    let with_id = async |id: &str| api.send("GET", "/v1/tenants/nobody", &[("x-request-id", id)], b"").await;
    let answer = with_id("order-4711").await;
    assert_eq!(answer.header("x-request-id"), Some("order-4711"));
    assert_eq!(answer.problem(404)["request_id"], "order-4711");
    let longest = "x".repeat(128);
    assert_eq!(with_id(&longest).await.header("x-request-id"), Some(&*longest));
    for odd in ["", "two words", &"x".repeat(129)] {
        let answer = with_id(odd).await;
        let made = answer.header("x-request-id").unwrap();
        assert!(!made.is_empty() && made != odd, "{odd}: {made}");
        assert_eq!(answer.problem(404)["request_id"], made);
    }
    let one = api.get("/healthz").await;
    let other = api.get("/healthz").await;
    assert_ne!(one.header("x-request-id").unwrap(), other.header("x-request-id").unwrap());
}

#[tokio::test]
async fn tokens_are_listed_without_their_texts_over_pages_and_what_the_server_lives_by_stays() {
    let server = Server::start().await;
    server.tenant("acme").await;
    let api = server.api();
    let mut made = Vec::new();
    for scope in ["webhooks-read", "events-write", "events-read"] {
        let spec = json!({"tenant": "acme", "scopes": [scope], "kind": "bearer", "expires_at": "2999-01-01T00:00:00Z"});
        made.push(api.post("/v1/tokens", &spec).await.ok(201));
    }
    let listed = api.whole("/v1/tokens", 1).await;
    for token in &made {
        let shown = listed.iter().find(|shown| shown["id"] == token["id"]).unwrap();
        assert_eq!(
            (&shown["tenant"], &shown["scopes"], &shown["expires_at"], shown.get("token")),
            (&json!("acme"), &token["scopes"], &json!("2999-01-01T00:00:00.000Z"), None)
        );
        api.delete(&format!("/v1/tokens/{}", token["id"].as_str().unwrap())).await.ok(204);
        api.delete(&format!("/v1/tokens/{}", token["id"].as_str().unwrap())).await.problem(404);
    }
    api.delete("/v1/tokens/tok_operator").await.problem(409);
    api.delete("/v1/tenants/_operator").await.problem(409);
    api.get("/v1/tenants/_operator").await.ok(200);
    let odd = json!({"tenant": "acme", "scopes": ["webhooks-read"], "kind": "basic"});
    assert_eq!(api.post("/v1/tokens", &odd).await.pointers(), ["/kind".to_owned()].into());
}
