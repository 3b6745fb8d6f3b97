//! What becomes of deliveries that cannot go out now: held, skipped, expired, and in the end removed.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Receiver, Reply, Server, Setup, eventually, throughout};

#[tokio::test]
async fn a_paused_endpoint_keeps_what_comes_and_gets_it_in_order_when_it_resumes() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "enabled": false, "ordering": "key"})).await;
    assert_eq!(acme.read(&endpoint).await["state"], "paused");
    for n in 0..10 {
        acme.publish(json!({"id": format!("e{n}"), "key": "k"})).await;
    }
    throughout(Duration::from_millis(200), "nothing goes out", async || receiver.count() == 0).await;
    assert_eq!(acme.log("status=pending").await.len(), 10);
    // A restart changes nothing of it.
    server.kill();
    server.start_again().await;
    let acme = acme.at(server.api());
    assert_eq!(acme.read(&endpoint).await["state"], "paused");
    throughout(Duration::from_millis(200), "nothing goes out", async || receiver.count() == 0).await;

    assert_eq!(acme.patch(&endpoint, json!({"enabled": true})).await["state"], "active");
    let arrived = receiver.wait_for(10).await;
    let events: Vec<_> = arrived.iter().map(|r| r.event().to_owned()).collect();
    assert_eq!(events, (0..10).map(|n| format!("e{n}")).collect::<Vec<_>>());
    let numbers: Vec<_> = arrived.iter().map(crate::harness::Received::sequence).collect();
    assert_eq!(numbers, (1..=10).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_full_backlog_skips_further_deliveries_and_says_so() {
    let server = Setup::default().set("BACKLOG_MAX", "5").start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let full = acme.endpoint(json!({"url": receiver.url_of("/full"), "enabled": false})).await;
    let healthy = acme.endpoint(json!({"url": receiver.url_of("/healthy")})).await;
    for n in 0..8 {
        acme.publish(json!({"id": format!("e{n}")})).await;
        acme.wait_for_status_at(&format!("e{n}"), &healthy, "succeeded").await;
    }
    let of = |status: &str| format!("endpoint={}&status={status}", full.id);
    assert_eq!(acme.log(&of("pending")).await.len(), 5);
    let skipped = acme.log(&of("skipped")).await;
    assert_eq!(skipped.len(), 3);
    for (row, sequence) in skipped.iter().zip([8, 7, 6]) {
        assert_eq!((&row["reason"], &row["sequence"]), (&json!("backlog_full"), &json!(sequence)));
        assert!(row["finished_at"].is_string(), "{row}");
    }
    acme.patch(&full, json!({"enabled": true})).await;
    eventually("the backlog is delivered", async || acme.log(&of("pending")).await.is_empty().then_some(()))
        .await;
    // With room again, what was skipped can be had by hand.
    let path = acme.path(&format!("deliveries/{}/retry", skipped[0]["id"].as_str().unwrap()));
    acme.api.send("POST", &path, &[], b"").await.ok(202);
    acme.wait_for_status_at("e7", &full, "succeeded").await;
}

#[tokio::test]
async fn what_stays_pending_too_long_ends_as_cancelled_and_expired() {
    // About two seconds.
    let server =
        Setup::default().set("PENDING_MAX_DAYS", "0.000025").set("RETRY_SCHEDULE_S", "[600]").start().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(500));
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url_of("/paused"), "enabled": false, "event_types": ["paused"]}))
        .await;
    acme.endpoint(json!({"url": receiver.url_of("/waiting"), "event_types": ["waiting"]})).await;
    let paused = acme.publish(json!({"type": "paused"})).await;
    let waiting = acme.publish(json!({"type": "waiting"})).await;
    for event in [&paused, &waiting] {
        let delivery = acme.wait_for_status(event, "cancelled").await;
        assert_eq!(delivery["reason"], "expired", "{delivery}");
    }
    assert_eq!((receiver.of(&paused).len(), receiver.of(&waiting).len()), (0, 1));
}

#[tokio::test]
async fn retention_removes_finished_work_and_never_pending_work() {
    // About two seconds.
    let mut server =
        Setup::default().set("RETENTION_DAYS", "0.000025").set("RETRY_SCHEDULE_S", "[]").start().await;
    let receiver = Receiver::start().await;
    receiver.script(|r| Reply::status(if r.event() == "failed" { 500 } else { 204 }));
    let acme = server.tenant("acme").await;
    let paused = acme
        .endpoint(json!({"url": receiver.url_of("/paused"), "enabled": false, "event_types": ["paused"]}))
        .await;
    let active = acme.endpoint(json!({"url": receiver.url_of("/active"), "event_types": ["active"]})).await;
    acme.publish(json!({"id": "kept", "type": "paused"})).await;
    let mut ids = Vec::new();
    for id in ["done", "failed"] {
        acme.publish(json!({"id": id, "type": "active"})).await;
        let status = if id == "done" { "succeeded" } else { "failed" };
        ids.push(acme.wait_for_status(id, status).await["id"].as_str().unwrap().to_owned());
    }
    for id in &ids {
        let path = acme.path(&format!("deliveries/{id}"));
        eventually("a finished delivery is removed", async || {
            (acme.api.get(&path).await.status == 404).then_some(())
        })
        .await;
    }
    eventually("the log does not list it any more", async || {
        (acme.whole_log("").await.len() == 1).then_some(())
    })
    .await;
    assert_eq!(acme.delivery_of("kept").await["status"], "pending");

    // Numbers go on where they were, also after a restart: the removed ones are not given again.
    server.stop().await;
    server.start_again().await;
    let acme = acme.at(server.api());
    let event = acme.publish(json!({"type": "active"})).await;
    assert_eq!(receiver.wait_for_event(&event, 1).await[0].sequence(), 3);
    acme.patch(&paused, json!({"enabled": true})).await;
    let kept = receiver.wait_for_event("kept", 1).await;
    assert_eq!(kept[0].json()["data"], json!({"card": "c-1"}));
    assert_eq!(acme.read(&active).await["state"], "active");
}

#[tokio::test]
async fn a_deleted_endpoint_gets_nothing_more_and_what_it_was_owed_is_cancelled() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "enabled": false})).await;
    for n in 0..3 {
        acme.publish(json!({"id": format!("e{n}")})).await;
    }
    acme.api.delete(&endpoint.path).await.ok(204);
    acme.api.get(&endpoint.path).await.problem(404);
    acme.api.delete(&endpoint.path).await.problem(404);
    for n in 0..3 {
        let delivery = acme.wait_for_status(&format!("e{n}"), "cancelled").await;
        assert_eq!(delivery["reason"], "endpoint_deleted", "{delivery}");
    }
    let accepted =
        acme.api.post("/v1/events", &json!({"tenant": "acme", "type": "t", "data": 1})).await.ok(202);
    assert_eq!(accepted["deliveries"], 0);
    assert_eq!(receiver.count(), 0);
}

#[tokio::test]
async fn an_endpoint_that_only_fails_for_long_is_disabled() {
    // About two seconds.
    let server = Setup::default().set("DISABLE_AFTER_DAYS", "0.000025").start().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(503));
    let acme = server.tenant("acme").await;
    let endpoint =
        acme.endpoint(json!({"url": receiver.url(), "retry": {"schedule_s": [1, 1, 1, 1, 1, 1, 1]}})).await;
    let event = acme.publish(json!({})).await;
    let disabled = acme.wait_for_state(&endpoint, "disabled").await;
    assert!(disabled["reason"].is_string(), "{disabled}");
    assert_eq!(acme.wait_for_status(&event, "failed").await["reason"], "endpoint_disabled");
}
