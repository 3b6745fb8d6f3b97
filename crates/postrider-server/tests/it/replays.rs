//! Replays through their calls, and what is refused.

use serde_json::{Value, json};

use crate::fixture::{ADMIN, Server, eventually, receiver};

/// A server with a tenant and an endpoint of it to which so many deliveries have failed; the path of the endpoint.
async fn with_failed(count: usize) -> (Server, String) {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/acme", "{}", 201).await;
    let (url, _told) = receiver(400).await;
    let spec = json!({"url": url, "retry": {"schedule_s": []}}).to_string();
    let made = server.operator("POST", "/v1/tenants/acme/endpoints", spec, 201).await;
    let path = format!("/v1/tenants/acme/endpoints/{}", made["id"].as_str().unwrap());
    for n in 0..count {
        let event = json!({"tenant": "acme", "type": format!("card.n{n}"), "data": n}).to_string();
        server.operator("POST", "/v1/events", event, 202).await;
    }
    eventually(|| async {
        let failed = server.operator("GET", "/v1/tenants/acme/deliveries?status=failed", "", 200).await;
        (failed["data"].as_array().unwrap().len() == count).then_some(())
    })
    .await;
    (server, path)
}

async fn ended(server: &Server, path: &str, id: &Value) -> Value {
    let path = format!("{path}/replays/{}", id.as_str().unwrap());
    eventually(|| async {
        let read = server.operator("GET", &path, "", 200).await;
        (read["state"] != "running").then_some(read)
    })
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_counted_begun_read_and_listed() {
    let (server, path) = with_failed(5).await;
    let replays = format!("{path}/replays");
    let count = |body: Value| server.operator("POST", &replays, body.to_string(), 200);
    let hour_ago = "2020-01-01T00:00:00Z";
    assert_eq!(count(json!({"since": hour_ago, "dry_run": true})).await, json!({"matched": 5}));
    let some =
        json!({"sequence_from": 2, "sequence_to": 4, "types": ["card.n1", "card.n2"], "dry_run": true});
    assert_eq!(count(some).await, json!({"matched": 2}));
    assert_eq!(
        count(json!({"since": hour_ago, "statuses": ["succeeded"], "dry_run": true})).await["matched"],
        0
    );
    assert_eq!(server.operator("GET", &replays, "", 200).await["data"], json!([]));

    let body = json!({"since": hour_ago, "sequence_to": 3, "per_second": 500}).to_string();
    let begun = server.operator("POST", &replays, body, 202).await;
    assert!(begun["id"].as_str().unwrap().starts_with("rpl_"), "{begun}");
    assert_eq!(
        (&begun["state"], &begun["matched"], &begun["per_second"]),
        (&json!("running"), &json!(3), &json!(500))
    );
    assert_eq!(begun["statuses"], json!(["failed", "cancelled", "skipped"]));
    let done = ended(&server, &path, &begun["id"]).await;
    assert_eq!(
        (&done["state"], &done["done"], &done["skipped"], &done["expired"]),
        (&json!("done"), &json!(3), &json!(0), &json!(0))
    );
    assert!(done["finished_at"].is_string() && done["reason"].is_null(), "{done}");
    // Nothing to be had is done at once.
    let body = json!({"sequence_from": 1_000, "per_second": 1}).to_string();
    let nothing = server.operator("POST", &replays, body, 202).await;
    assert_eq!((&nothing["state"], &nothing["matched"]), (&json!("done"), &json!(0)));
    let mut listed = Vec::new();
    let mut cursor = String::new();
    loop {
        let page = server.operator("GET", &format!("{replays}?limit=1{cursor}"), "", 200).await;
        listed.extend(page["data"].as_array().unwrap().iter().map(|replay| replay["id"].clone()));
        match page["next_cursor"].as_str() {
            Some(next) => cursor = format!("&cursor={next}"),
            None => break,
        }
    }
    assert_eq!(listed, [nothing["id"].clone(), begun["id"].clone()]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_replay_is_cancelled_once_and_an_ended_one_never() {
    let (server, path) = with_failed(8).await;
    let replays = format!("{path}/replays");
    let slow = json!({"sequence_from": 1, "per_second": 1}).to_string();
    let begun = server.operator("POST", &replays, slow, 202).await;
    let one = format!("{replays}/{}", begun["id"].as_str().unwrap());
    server.operator("DELETE", &one, "", 204).await;
    server.operator("DELETE", &one, "", 204).await;
    let cancelled = server.operator("GET", &one, "", 200).await;
    assert_eq!(cancelled["state"], "cancelled");
    assert!(cancelled["done"].as_u64().unwrap() < 8, "{cancelled}");
    let fast = json!({"sequence_from": 1, "sequence_to": 2}).to_string();
    let begun = server.operator("POST", &replays, fast, 202).await;
    ended(&server, &path, &begun["id"]).await;
    let one = format!("{replays}/{}", begun["id"].as_str().unwrap());
    assert_eq!(server.call(ADMIN, "DELETE", &one, "").await.status, 409);
    assert_eq!(server.call(ADMIN, "DELETE", &format!("{replays}/rpl_0"), "").await.status, 404);
    // No more than four of an endpoint at once.
    let slow = json!({"sequence_from": 3, "per_second": 1}).to_string();
    for _ in 0..4 {
        server.operator("POST", &replays, slow.clone(), 202).await;
    }
    let fifth = server.call(ADMIN, "POST", &replays, slow).await;
    assert_eq!(fifth.status, 409, "{}", fifth.json());
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a02_a21_a22_odd_replays_are_refused_and_others_are_not_seen() {
    let (server, path) = with_failed(1).await;
    let replays = format!("{path}/replays");
    let answer = server.call(ADMIN, "POST", &replays, r#"{"statuses":["pending"],"per_second":0}"#).await;
    assert_eq!(
        (answer.status, answer.pointers()),
        (422, ["/statuses/0", "/per_second", "/since"].map(str::to_owned).to_vec())
    );
    assert_eq!(server.call(ADMIN, "POST", &replays, "{}").await.pointers(), ["/since"]);
    let begun = server.operator("POST", &replays, r#"{"sequence_from":1}"#, 202).await;
    let one = format!("{replays}/{}", begun["id"].as_str().unwrap());
    server.operator("PUT", "/v1/tenants/other", "{}", 201).await;
    let other = server.token("other", &["webhooks-write", "webhooks-read"]).await;
    let reader = server.token("acme", &["webhooks-read", "webhook-events-read"]).await;
    let elsewhere = one.replace("/acme/", "/other/");
    for (token, method, path, status) in [
        (&other, "GET", &one, 404),
        (&other, "GET", &elsewhere, 404),
        (&other, "DELETE", &one, 404),
        (&other, "POST", &replays, 404),
        (&reader, "GET", &one, 403),
        (&reader, "POST", &replays, 403),
    ] {
        assert_eq!(server.call(token, method, path, "").await.status, status, "{method} {path}");
    }
    // The cursor of another endpoint's list leads nowhere.
    let spec = json!({"url": "https://partner.example/"}).to_string();
    let second = server.operator("POST", "/v1/tenants/acme/endpoints", spec, 201).await;
    server.operator("POST", &replays, r#"{"sequence_from":1}"#, 202).await;
    let page = server.operator("GET", &format!("{replays}?limit=1"), "", 200).await;
    let cursor = page["next_cursor"].as_str().unwrap();
    let path =
        format!("/v1/tenants/acme/endpoints/{}/replays?cursor={cursor}", second["id"].as_str().unwrap());
    assert_eq!(server.call(ADMIN, "GET", &path, "").await.status, 422);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_disabled_endpoint_is_tested_before_it_is_replayed_to() {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/acme", "{}", 201).await;
    let (url, _told) = receiver(410).await;
    let spec = json!({"url": url}).to_string();
    let made = server.operator("POST", "/v1/tenants/acme/endpoints", spec, 201).await;
    let path = format!("/v1/tenants/acme/endpoints/{}", made["id"].as_str().unwrap());
    server.operator("POST", "/v1/events", r#"{"tenant":"acme","type":"a","data":1}"#, 202).await;
    eventually(|| async {
        (server.operator("GET", &path, "", 200).await["state"] == "disabled").then_some(())
    })
    .await;
    let replays = format!("{path}/replays");
    let refused = server.call(ADMIN, "POST", &replays, r#"{"sequence_from":1}"#).await;
    assert_eq!(refused.status, 409);
    assert!(refused.json()["detail"].as_str().unwrap().contains("test it"), "{}", refused.json());
    // Counting is free.
    eventually(|| async {
        let count = r#"{"sequence_from":1,"dry_run":true}"#;
        (server.operator("POST", &replays, count, 200).await["matched"] == 1).then_some(())
    })
    .await;
}
