//! Quotas: what a tenant may take up, and what others notice of one that takes up all of it.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::{Receiver, Reply, Server, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a82_a_tenant_that_takes_all_it_can_get_leaves_others_unharmed() {
    let mut server = Server::start().await;
    let (dead, alive) = (Receiver::start().await, Receiver::start().await);
    dead.answer(Reply::Hang);
    let api = server.api();
    let quotas = json!({"quotas": {"endpoints": 5, "pending": 400, "events_per_second": 200}});
    api.json("PUT", "/v1/tenants/greedy", &quotas).await.ok(201);
    let calm = server.tenant("calm").await;
    calm.endpoint(json!({"url": alive.url()})).await;

    // Endpoints up to the quota.
    let spec = json!({"url": dead.url(), "timeout_ms": 500, "retry": {"schedule_s": [600]}});
    let path = "/v1/tenants/greedy/endpoints";
    for _ in 0..5 {
        api.post(path, &spec).await.ok(201);
    }
    for (method, path) in [("POST", path.to_owned()), ("PUT", format!("{path}/own"))] {
        let refused = api.json(method, &path, &spec).await;
        assert_eq!(refused.pointers().into_iter().collect::<Vec<_>>(), [""]);
        assert!(refused.text().contains("quota endpoints (5)"), "{}", refused.text());
    }

    // A flood beyond its rate, from several connections, with batches among it.
    let greedy = api.token(&json!({"tenant": "greedy", "scopes": ["events-write"]})).await;
    let flood: Vec<_> = (0..4)
        .map(|_| {
            let greedy = greedy.clone();
            tokio::spawn(async move {
                let mut answers = (0, 0, String::new());
                let end = Instant::now() + Duration::from_secs(3);
                let event = json!({"tenant": "greedy", "type": "t", "data": "x".repeat(1_000)});
                let batch = Value::from(vec![event; 20]);
                while Instant::now() < end {
                    let answer = greedy.post("/v1/events", &batch).await;
                    match answer.status {
                        202 => {
                            let items = answer.json()["data"].as_array().unwrap().clone();
                            answers.0 += items.iter().filter(|item| item["id"].is_string()).count();
                        }
                        429 => {
                            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
                            assert!((1..=5).contains(&wait), "{wait}");
                            answers.1 += 1;
                            answers.2 = answer.problem(429)["detail"].as_str().unwrap().to_owned();
                        }
                        other => panic!("{other}: {}", answer.text()),
                    }
                }
                answers
            })
        })
        .collect();
    // Meanwhile the other one's events go through.
    let mut slowest = Duration::ZERO;
    let mut published = 0;
    while flood.iter().any(|task| !task.is_finished()) {
        let begun = Instant::now();
        calm.publish(json!({"data": published})).await;
        slowest = slowest.max(begun.elapsed());
        published += 1;
    }
    let (mut accepted, mut refused) = (0, 0);
    let mut last = String::new();
    for task in flood {
        let (some, other, detail) = task.await.unwrap();
        (accepted, refused, last) = (accepted + some, refused + other, detail);
    }
    alive.wait_for(published).await;
    assert!(slowest < Duration::from_secs(2), "{slowest:?}");
    // Each event owes five deliveries: eighty of them are four hundred.
    assert_eq!(accepted, 80, "what is pending is bounded");
    assert!(refused > 10 && last == "the tenant's quota pending (400) is used up", "{refused} {last}");

    // After a crash it is as before; what ends makes room again.
    server.kill();
    server.start_again().await;
    let api = server.api();
    let event = json!({"tenant": "greedy", "type": "t", "data": 1});
    eventually("what is pending is counted again", async || {
        (api.post("/v1/events", &event).await.status == 429).then_some(())
    })
    .await;
    dead.answer(Reply::status(204));
    eventually("there is room again", async || {
        (api.post("/v1/events", &event).await.status == 202).then_some(())
    })
    .await;
    calm.at(api).publish(json!({})).await;
    alive.wait_for(published + 1).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn events_beyond_the_rate_of_their_tenant_are_refused_and_come_through_when_they_come_again() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let set = async |quotas: Value| {
        acme.api.json("PUT", "/v1/tenants/acme", &json!({"quotas": quotas})).await.ok(200)
    };
    set(json!({"events_per_second": 20})).await;
    let begun = Instant::now();
    for n in 0..50 {
        let event = json!({"tenant": "acme", "type": "t", "data": n, "id": format!("e-{n}")});
        eventually("the event is accepted", async || {
            let answer = acme.api.post("/v1/events", &event).await;
            assert!(matches!(answer.status, 202 | 429), "{}", answer.text());
            (answer.status == 202).then_some(())
        })
        .await;
    }
    // Twenty at once, and thirty at twenty a second.
    assert!(begun.elapsed() > Duration::from_millis(1_400), "{:?}", begun.elapsed());
    receiver.wait_for(50).await;
    // A known id costs nothing however often it comes, and another quota is in force at once.
    for _ in 0..60 {
        acme.api
            .post("/v1/events", &json!({"tenant": "acme", "type": "t", "data": 1, "id": "e-1"}))
            .await
            .ok(202);
    }
    set(json!({})).await;
    let batch: Vec<Value> = (0..100).map(|n| json!({"tenant": "acme", "type": "t", "data": n})).collect();
    let answers = acme.api.publish_text(&Value::from(batch).to_string()).await.ok(202);
    assert!(answers["data"].as_array().unwrap().iter().all(|item| item["id"].is_string()), "{answers}");
}
