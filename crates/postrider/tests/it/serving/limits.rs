//! Rate and concurrency limits of an endpoint are never passed, seen from the receiver.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Received, Receiver, Reply, Server, Setup, Tenant, eventually};

async fn publish_many(acme: &Tenant, count: usize) {
    let events: Vec<Value> = (0..count).map(|n| json!({"tenant": acme.id, "type": "t", "data": n})).collect();
    for part in events.chunks(500) {
        acme.api.publish_text(&Value::from(part).to_string()).await.ok(202);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_rate_limit_is_never_passed_within_any_one_second_also_across_a_restart() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url(), "rate_limit": {"per_second": 20}, "max_in_flight": 50}))
        .await;
    publish_many(&acme, 70).await;
    receiver.wait_for(25).await;
    server.stop().await;
    server.start_again().await;
    eventually("all arrive", async || (receiver.count() >= 70).then_some(())).await;
    let at: Vec<_> = receiver.all().iter().map(|r| r.at).collect();
    // The limit counts the start of sending; what arrives may be bunched by a few milliseconds of scheduling.
    let second = Duration::from_millis(970);
    for (i, start) in at.iter().enumerate() {
        let within = at[i..].iter().take_while(|t| **t - *start < second).count();
        assert!(within <= 20, "{within} within a second, from the {i}th on");
    }
    // Nor is it a crawl: seventy at twenty a second take three and a half seconds.
    let took = at[69] - at[0];
    assert!(took < Duration::from_secs(6), "{took:?}");
    // Paced, not in bursts: within a tenth of a second two are due, and a late one may follow.
    for (i, start) in at.iter().enumerate() {
        let within = at[i..].iter().take_while(|t| **t - *start < Duration::from_millis(100)).count();
        assert!(within <= 4, "{within} within a tenth of a second");
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn never_more_attempts_than_max_in_flight_are_under_way_and_a_healthy_endpoint_reaches_it() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(204).after(Duration::from_millis(10)));
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "max_in_flight": 7})).await;
    publish_many(&acme, 300).await;
    receiver.wait_for(300).await;
    assert_eq!(receiver.most_in_flight(), 7);
    acme.patch(&endpoint, json!({"max_in_flight": 1})).await;
    let single = Receiver::start().await;
    single.answer(Reply::status(204).after(Duration::from_millis(5)));
    acme.patch(&endpoint, json!({"url": single.url()})).await;
    publish_many(&acme, 50).await;
    single.wait_for(50).await;
    assert_eq!(single.most_in_flight(), 1);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backlog_larger_than_the_windows_arrives_whole_and_in_order_of_sequence_by_key() {
    let server = Setup::default().set("WINDOW_ENTRIES", "64").start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let mut endpoints = Vec::new();
    for n in 0..3 {
        let spec = json!({"url": receiver.url_of(&format!("/{n}")), "enabled": false, "max_in_flight": 4});
        endpoints.push(acme.endpoint(spec).await);
    }
    publish_many(&acme, 1_000).await;
    for endpoint in &endpoints {
        acme.patch(endpoint, json!({"enabled": true})).await;
    }
    // While the backlog drains, new work comes in.
    publish_many(&acme, 100).await;
    receiver.wait_for(3_300).await;
    let all = receiver.all();
    for n in 0..3 {
        let mut numbers: Vec<u64> =
            all.iter().filter(|r| r.path == format!("/{n}")).map(Received::sequence).collect();
        numbers.sort_unstable();
        assert_eq!(numbers, (1..=1_100).collect::<Vec<_>>(), "each once, none missing");
    }
}
