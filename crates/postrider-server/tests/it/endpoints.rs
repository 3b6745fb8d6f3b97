//! What an owner does with endpoints: replaces them, rotates their secrets, asks whom an event would reach.

use serde_json::{Value, json};

use crate::fixture::{ADMIN, Server};

const URL: &str = "http://localhost:9999/x";

async fn with_tenant() -> Server {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/a", "{}", 201).await;
    server
}

#[tokio::test(flavor = "multi_thread")]
async fn an_endpoint_is_put_under_an_id_of_its_owner_s() {
    let server = with_tenant().await;
    let path = "/v1/tenants/a/endpoints/till:4";
    let full = json!({
        "url": URL, "name": "till", "auth": {"type": "bearer", "token": "hush"}, "timeout_ms": 500, "event_types": ["card.*"],
    });
    let made = server.operator("PUT", path, full.to_string(), 201).await;
    assert_eq!(
        (&made["id"], &made["name"], &made["timeout_ms"]),
        (&json!("till:4"), &json!("till"), &json!(500))
    );
    let secret = server.operator("GET", &format!("{path}/secret"), "", 200).await;
    let body = json!({"url": URL, "auth": {"type": "bearer"}}).to_string();
    let replaced = server.operator("PUT", path, body, 200).await;
    assert_eq!(
        (&replaced["name"], &replaced["timeout_ms"], &replaced["event_types"], &replaced["auth"]),
        (&Value::Null, &json!(15_000), &json!(["*"]), &json!({"type": "bearer", "token_set": true}))
    );
    assert_eq!(replaced["created_at"], made["created_at"]);
    assert_eq!(server.operator("GET", &format!("{path}/secret"), "", 200).await, secret, "it stayed");
    assert_eq!(server.operator("GET", path, "", 200).await, replaced);
    for (id, body, status, pointer) in [
        ("b%2Fc", json!({"url": URL}), 422, "/id"),
        ("b", json!({"url": "ftp://x"}), 422, "/url"),
        ("b", json!({}), 422, "/url"),
        ("till:4", json!({"url": "http://localhost:9998/x", "auth": {"type": "bearer"}}), 422, "/auth"),
        ("ep_1", json!({"url": URL}), 404, ""),
        ("match", json!({"url": URL}), 405, ""),
    ] {
        let answer =
            server.call(ADMIN, "PUT", &format!("/v1/tenants/a/endpoints/{id}"), body.to_string()).await;
        assert_eq!(answer.status, status, "{id}: {}", answer.json());
        assert!(pointer.is_empty() || answer.pointers() == [pointer], "{id}: {}", answer.json());
    }
    // An id of ours is replaced as well.
    let ours = server.operator("POST", "/v1/tenants/a/endpoints", json!({"url": URL}).to_string(), 201).await;
    let ours = format!("/v1/tenants/a/endpoints/{}", ours["id"].as_str().unwrap());
    server.operator("PUT", &ours, json!({"url": URL, "name": "x"}).to_string(), 200).await;
    server.operator("DELETE", &ours, "", 204).await;
    server.operator("PUT", &ours, json!({"url": URL}).to_string(), 404).await;
    let listed = server.operator("GET", "/v1/tenants/a/endpoints", "", 200).await;
    assert_eq!(listed["data"].as_array().unwrap().len(), 1, "what was refused is not there");
}

#[tokio::test(flavor = "multi_thread")]
async fn filters_are_read_as_they_were_written_and_patched() {
    let server = with_tenant().await;
    let filters =
        r#"{"attributes":{"party":["556",1.50]},"data":[{"op":"gte","pointer":"/amount","value":1e999999}]}"#;
    let body = format!(r#"{{"url":"{URL}","filters":{filters}}}"#);
    server.operator("PUT", "/v1/tenants/a/endpoints/f", body, 201).await;
    let read = server.call(ADMIN, "GET", "/v1/tenants/a/endpoints/f", "").await;
    let text = String::from_utf8(read.bytes.to_vec()).unwrap();
    assert!(text.contains("1.50") && text.contains("1e999999"), "{text}");
    let patch = r#"{"filters":{"attributes":{"party":null,"kind":["a"]},"data":[]}}"#;
    let patched = server.operator("PATCH", "/v1/tenants/a/endpoints/f", patch, 200).await;
    assert_eq!(patched["filters"], json!({"attributes": {"kind": ["a"]}, "data": []}));
    let cleared = server.operator("PATCH", "/v1/tenants/a/endpoints/f", r#"{"filters":null}"#, 200).await;
    assert_eq!(cleared["filters"], Value::Null);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_rotated_secret_is_shown_and_can_be_the_owner_s() {
    let server = with_tenant().await;
    let path = "/v1/tenants/a/endpoints/e";
    server.operator("PUT", path, json!({"url": URL}).to_string(), 201).await;
    let rotate = format!("{path}/secret/rotate");
    let read = || server.operator("GET", "/v1/tenants/a/endpoints/e/secret", "", 200);
    let before = read().await;
    let answer = server.call(ADMIN, "POST", &rotate, "").await;
    assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"));
    assert_eq!(read().await, answer.json());
    assert_ne!(answer.json(), before);
    let own = json!({"secret": "whsec_MDEyMzQ1Njc4OTAxMjM0NTY3ODkwMTIzNDU2Nzg5MDE=", "overlap_s": 0});
    assert_eq!(server.operator("POST", &rotate, own.to_string(), 200).await["secret"], own["secret"]);
    for (body, pointer) in [
        (own, "/secret"),
        (json!({"secret": "whsec_"}), "/secret"),
        (json!({"overlap_s": 604_801}), "/overlap_s"),
        (json!({"overlap": 1}), "/overlap"),
    ] {
        assert_eq!(
            server.call(ADMIN, "POST", &rotate, body.to_string()).await.pointers(),
            [pointer],
            "{body}"
        );
    }
    server.operator("POST", "/v1/tenants/a/endpoints/f/secret/rotate", "", 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn who_asks_is_told_which_endpoints_an_event_would_reach_page_by_page() {
    let server = with_tenant().await;
    server.operator("PUT", "/v1/tenants/b", "{}", 201).await;
    for (id, more) in [
        ("a", json!({"event_types": ["card.*"]})),
        ("b", json!({"event_types": ["account.*"]})),
        ("c", json!({"filters": {"data": [{"pointer": "/n", "op": "gt", "value": 5}]}})),
        ("d", json!({"enabled": false})),
    ] {
        let mut body = more.clone();
        body["url"] = json!(URL);
        server.operator("PUT", &format!("/v1/tenants/a/endpoints/{id}"), body.to_string(), 201).await;
    }
    server.operator("PUT", "/v1/tenants/b/endpoints/z", json!({"url": URL}).to_string(), 201).await;
    let path = "/v1/tenants/a/endpoints/match";
    let sample = json!({"type": "card.used", "data": {"n": 5}}).to_string();
    let all = server.operator("POST", path, sample.clone(), 200).await;
    assert_eq!(
        all,
        json!({"data": [
            {"endpoint": "a", "matches": true, "reason": "card.* covers card.used"},
            {"endpoint": "b", "matches": false, "reason": "no event type of it covers card.used"},
            {"endpoint": "c", "matches": false, "reason": "/n is not gt"},
            {"endpoint": "d", "matches": true, "reason": "* covers card.used; it would be held until the endpoint is enabled"},
        ], "next_cursor": null})
    );
    let first = server.operator("POST", &format!("{path}?limit=3"), sample.clone(), 200).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = server.operator("POST", &format!("{path}?limit=3&cursor={cursor}"), sample.clone(), 200).await;
    assert_eq!(rest, json!({"data": [all["data"][3]], "next_cursor": null}));
    let elsewhere = server
        .call(ADMIN, "POST", &format!("/v1/tenants/b/endpoints/match?cursor={cursor}"), sample.clone())
        .await;
    assert_eq!(elsewhere.pointers(), ["/cursor"]);
    for (body, pointers) in [
        (json!({}), vec!["/type"]),
        (
            json!({"type": "a..b", "attributes": {"x": []}, "key": "k"}),
            vec!["/type", "/attributes/x", "/key"],
        ),
    ] {
        assert_eq!(server.call(ADMIN, "POST", path, body.to_string()).await.pointers(), pointers, "{body}");
    }
    let reader = server.token("a", &["webhooks-read"]).await;
    assert_eq!(server.call(&reader, "POST", path, sample.clone()).await.status, 200);
    let writer = server.token("a", &["webhooks-write"]).await;
    assert_eq!(server.call(&writer, "POST", path, sample).await.status, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a82_quotas_answer_422_and_429_and_name_what_is_used_up() {
    let server = Server::start().await;
    let quotas = json!({"quotas": {"endpoints": 2, "pending": 3, "events_per_second": 4}}).to_string();
    let made = server.operator("PUT", "/v1/tenants/a", quotas.clone(), 201).await;
    let shown = json!({"endpoints": 2, "filter_values": 10_000, "pending": 3, "events_per_second": 4});
    assert_eq!(made["quotas"], shown);
    let endpoint = json!({"url": URL, "enabled": false}).to_string();
    for id in ["x", "y"] {
        server.operator("PUT", &format!("/v1/tenants/a/endpoints/{id}"), endpoint.clone(), 201).await;
    }
    server.operator("PUT", "/v1/tenants/a/endpoints/x", endpoint.clone(), 200).await;
    for (method, path) in [("POST", "/v1/tenants/a/endpoints"), ("PUT", "/v1/tenants/a/endpoints/z")] {
        let answer = server.call(ADMIN, method, path, endpoint.clone()).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec![String::new()]));
        let detail = answer.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("endpoints (2)"), "{detail}");
    }
    let event = |n: u32| json!({"tenant": "a", "type": "t", "data": n, "id": format!("e-{n}")});
    server.operator("POST", "/v1/events", event(0).to_string(), 202).await;
    server.operator("POST", "/v1/events", event(1).to_string(), 202).await;
    // Four are owed: beyond the three that are allowed, which the second event reached.
    let refused = server.call(ADMIN, "POST", "/v1/events", event(2).to_string()).await;
    assert_eq!((refused.status, refused.header("retry-after")), (429, "5"));
    assert_eq!(refused.json()["detail"], "the tenant's quota pending (3) is used up");
    assert_eq!(refused.json()["type"], "urn:postrider:problem:too-many-requests");
    let again = server.operator("POST", "/v1/events", event(0).to_string(), 202).await;
    assert_eq!(again, json!({"id": "e-0", "deliveries": 2}));
    let batch = json!([event(3), event(4)]).to_string();
    assert_eq!(server.call(ADMIN, "POST", "/v1/events", batch).await.status, 429, "as a whole");
    let mixed = server.operator("POST", "/v1/events", json!([event(3), event(1)]).to_string(), 202).await;
    assert_eq!((&mixed["data"][0]["error"]["status"], &mixed["data"][1]["id"]), (&json!(429), &json!("e-1")));
    // Room again: now the rate decides.
    for id in ["x", "y"] {
        server.operator("DELETE", &format!("/v1/tenants/a/endpoints/{id}"), "", 204).await;
    }
    let other = json!({"quotas": {"events_per_second": 4}}).to_string();
    server.operator("PUT", "/v1/tenants/a", other, 200).await;
    let many: Vec<Value> = (10..30).map(event).collect();
    let answers = server.operator("POST", "/v1/events", Value::from(many).to_string(), 202).await;
    let accepted = answers["data"].as_array().unwrap().iter().filter(|item| item["id"].is_string()).count();
    assert!((1..=5).contains(&accepted), "{accepted}");
    assert_eq!(answers["data"][19]["error"]["detail"], "the tenant's quota events_per_second (4) is used up");
    // After a restart they hold as before.
    server.operator("PUT", "/v1/tenants/a", quotas, 200).await;
    let server = server.restart().await;
    let many: Vec<Value> = (30..50).map(event).collect();
    let answers = server.operator("POST", "/v1/events", Value::from(many).to_string(), 202).await;
    let accepted = answers["data"].as_array().unwrap().iter().filter(|item| item["id"].is_string()).count();
    assert!((4..=5).contains(&accepted), "{accepted}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a82_filters_of_all_endpoints_together_are_bounded_by_a_quota() {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/a", r#"{"quotas":{"filter_values":6}}"#, 201).await;
    let wants = |values: usize| {
        let values: Vec<usize> = (0..values).collect();
        json!({"url": URL, "filters": {"data": [{"pointer": "/n", "op": "in", "value": values}]}}).to_string()
    };
    let path = |id: &str| format!("/v1/tenants/a/endpoints/{id}");
    server.operator("PUT", &path("x"), wants(4), 201).await;
    for (method, path) in [("POST", "/v1/tenants/a/endpoints".to_owned()), ("PUT", path("y"))] {
        let answer = server.call(ADMIN, method, &path, wants(3)).await;
        assert_eq!((answer.status, answer.pointers()), (422, vec!["/filters".to_owned()]));
        let detail = answer.json()["errors"][0]["detail"].as_str().unwrap().to_owned();
        assert!(detail.contains("filter_values (6)"), "{detail}");
    }
    server.operator("PUT", &path("y"), wants(2), 201).await;
    assert_eq!(server.call(ADMIN, "PUT", &path("x"), wants(5)).await.pointers(), ["/filters"]);
    // What is there stays, also where the quota is lowered, and less is always allowed.
    server.operator("PUT", "/v1/tenants/a", r#"{"quotas":{"filter_values":1}}"#, 200).await;
    let server = server.restart().await;
    server.operator("PATCH", &path("x"), r#"{"name":"still"}"#, 200).await;
    server.operator("PUT", &path("x"), wants(3), 200).await;
    assert_eq!(server.call(ADMIN, "PUT", &path("x"), wants(4)).await.pointers(), ["/filters"]);
    server.operator("DELETE", &path("y"), "", 204).await;
    server.operator("PUT", &path("x"), json!({"url": URL}).to_string(), 200).await;
    server.operator("PUT", &path("z"), wants(1), 201).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_operator_s_own_tenant_has_no_quotas_and_gets_none() {
    let server = Server::start().await;
    let path = "/v1/tenants/_operator";
    assert_eq!(server.operator("GET", path, "", 200).await["quotas"], Value::Null);
    let answer = server.call(ADMIN, "PUT", path, r#"{"quotas":{"endpoints":1}}"#).await;
    assert_eq!(answer.pointers(), ["/quotas"]);
    server.operator("PUT", path, r#"{"name":"Us"}"#, 200).await;
    let shown = server.operator("PUT", "/v1/tenants/a", "{}", 201).await;
    assert_eq!(
        shown["quotas"],
        json!({
            "endpoints": 1_000, "filter_values": 10_000, "pending": 20_000_000, "events_per_second": null
        })
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a24_wrong_tokens_are_slowed_and_right_ones_are_served() {
    let server = with_tenant().await;
    let call = async |token: &str| server.call(token, "GET", "/v1/tenants/a", "").await;
    let mut slowed = 0;
    for n in 0..60 {
        let answer = call(&format!("wrong-{n}")).await;
        match answer.status {
            401 => assert_eq!(answer.header("www-authenticate"), "Bearer"),
            429 => {
                slowed += 1;
                assert_eq!(answer.header("retry-after"), "1");
                assert_eq!(call(ADMIN).await.status, 200, "the right one is served");
            }
            other => panic!("{other}"),
        }
    }
    assert!(slowed >= 20, "{slowed}");
    // Without a token there is nothing to guess.
    assert_eq!(call("").await.status, 401);
}
