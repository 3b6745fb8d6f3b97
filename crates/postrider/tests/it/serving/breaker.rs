//! The circuit of an endpoint that is not there: it opens, probes, and closes again, and nobody else notices.

use std::time::Duration;

use serde_json::json;

use crate::harness::{Receiver, Reply, Setup, eventually};

#[tokio::test]
async fn the_circuit_opens_probes_at_growing_intervals_and_everything_arrives_after_recovery() {
    let server = Setup::default()
        .set("RETRY_SCHEDULE_S", "[0.3, 0.3]")
        .set("BREAKER__FAILURES", "5")
        .set("BREAKER__PROBE_INITIAL_S", "0.2")
        .set("BREAKER__PROBE_MAX_S", "0.8")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(503));
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let healthy = Receiver::start().await;
    acme.endpoint(json!({"url": healthy.url()})).await;
    for i in 0..30 {
        acme.publish(json!({"id": format!("e{i}")})).await;
    }
    let tripped = acme.wait_for_state(&endpoint, "tripped").await;
    assert!(tripped["retry_at"].is_string(), "{tripped}");
    healthy.wait_for(30).await;
    let before = eventually("nothing is under way but probes", async || {
        let probes = probes(&acme, &endpoint.id).await;
        (probes.len() >= 4).then(|| receiver.count())
    })
    .await;
    // Fewer than all thirty were tried before it opened, and since then one at a time.
    assert!(before < 30, "{before}");
    let late: Vec<_> = receiver.all().into_iter().rev().take(3).collect();
    for pair in late.windows(2) {
        let waited = pair[0].at - pair[1].at;
        assert!(waited >= Duration::from_millis(350), "probes come too fast: {waited:?}");
    }

    receiver.answer(Reply::status(204));
    for i in 0..30 {
        acme.wait_for_status_at(&format!("e{i}"), &endpoint, "succeeded").await;
    }
    assert_eq!(acme.read(&endpoint).await["state"], "active");
    let probed = probes(&acme, &endpoint.id).await;
    assert!(probed.iter().any(|(_, status)| *status == json!(204)), "{probed:?}");
}

#[tokio::test]
async fn probes_use_up_no_step_of_the_schedule() {
    let server = Setup::default()
        .set("RETRY_SCHEDULE_S", "[1]")
        .set("BREAKER__FAILURES", "1")
        .set("BREAKER__PROBE_INITIAL_S", "0.1")
        .set("BREAKER__PROBE_MAX_S", "0.1")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(503));
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let event = acme.publish(json!({})).await;
    // One step would have been used up long before.
    receiver.wait_for(8).await;
    let delivery = acme.delivery_of(&event).await;
    assert_eq!(delivery["status"], "pending", "{delivery}");
    receiver.answer(Reply::status(204));
    let delivery = acme.wait_for_status(&event, "succeeded").await;
    let triggers: Vec<_> =
        delivery["attempts"].as_array().unwrap().iter().map(|a| a["trigger"].clone()).collect();
    assert_eq!(triggers[0], "schedule");
    assert!(triggers[1..].iter().all(|trigger| trigger == "probe"), "{triggers:?}");
    acme.wait_for_state(&endpoint, "active").await;
}

#[tokio::test]
async fn an_open_circuit_outlives_a_restart() {
    let mut server = Setup::default()
        .set("BREAKER__FAILURES", "1")
        .set("BREAKER__PROBE_INITIAL_S", "60")
        .set("BREAKER__PROBE_MAX_S", "60")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(503));
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let event = acme.publish(json!({})).await;
    acme.wait_for_state(&endpoint, "tripped").await;
    server.stop().await;
    server.start_again().await;
    let acme = acme.at(server.api());
    assert_eq!(acme.read(&endpoint).await["state"], "tripped");
    // After a restart it looks soon whether the endpoint is back, and otherwise waits on.
    receiver.wait_for(2).await;
    assert_eq!(acme.read(&endpoint).await["state"], "tripped");
    server.kill();
    receiver.answer(Reply::status(204));
    server.start_again().await;
    let acme = acme.at(server.api());
    acme.wait_for_status(&event, "succeeded").await;
    acme.wait_for_state(&endpoint, "active").await;
}

#[tokio::test]
async fn a_change_of_the_url_closes_the_circuit() {
    let server = Setup::default()
        .set("BREAKER__FAILURES", "1")
        .set("BREAKER__PROBE_INITIAL_S", "60")
        .set("BREAKER__PROBE_MAX_S", "60")
        .start()
        .await;
    let (old, new) = (Receiver::start().await, Receiver::start().await);
    old.answer(Reply::status(503));
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": old.url()})).await;
    acme.publish(json!({"id": "one"})).await;
    acme.wait_for_state(&endpoint, "tripped").await;
    acme.publish(json!({"id": "two"})).await;
    let patched = acme.patch(&endpoint, json!({"url": new.url()})).await;
    assert_eq!(patched["state"], "active");
    acme.wait_for_status("two", "succeeded").await;
    acme.wait_for_status("one", "succeeded").await;
    assert_eq!(old.count(), 1);
}

/// The probes of an endpoint: event and status.
async fn probes(acme: &crate::harness::Tenant, endpoint: &str) -> Vec<(String, serde_json::Value)> {
    let mut found = Vec::new();
    for row in acme.whole_log(&format!("endpoint={endpoint}")).await {
        if row["attempts"] == json!(0) {
            continue;
        }
        let delivery = acme.delivery(row["id"].as_str().unwrap()).await;
        for attempt in delivery["attempts"].as_array().unwrap() {
            if attempt["trigger"] == "probe" {
                found.push((row["event"].as_str().unwrap().to_owned(), attempt["status_code"].clone()));
            }
        }
    }
    found
}
