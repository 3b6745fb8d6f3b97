//! The same publication twice is one event, however it is repeated; another one under its key is refused.

use serde_json::{Value, json};

use crate::harness::{Api, Receiver, Server, eventually};

async fn publish(api: &Api, key: Option<&str>, body: &Value) -> crate::harness::Answer {
    let mut headers = vec![("content-type", "application/json")];
    headers.extend(key.map(|key| ("idempotency-key", key)));
    api.send("POST", "/v1/events", &headers, body.to_string().as_bytes()).await
}

async fn at_once(api: &Api, count: usize, key: Option<&str>, body: &Value) -> Vec<Value> {
    let tasks: Vec<_> = (0..count)
        .map(|_| {
            let (api, key, body) = (api.clone(), key.map(str::to_owned), body.clone());
            tokio::spawn(async move { publish(&api, key.as_deref(), &body).await.ok(202) })
        })
        .collect();
    let mut answers = Vec::new();
    for task in tasks {
        answers.push(task.await.unwrap());
    }
    answers
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_hundred_concurrent_duplicates_become_one_event_by_header_and_by_own_id() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let by_header = json!({"tenant": "acme", "type": "t", "data": {"amount": 1.0}});
    let by_id = json!({"tenant": "acme", "type": "t", "id": "own-1", "data": {"amount": 1.0}});
    let headers = at_once(&acme.api, 100, Some("key-1"), &by_header).await;
    let ids = at_once(&acme.api, 100, None, &by_id).await;
    for answers in [&headers, &ids] {
        assert!(answers.iter().all(|answer| *answer == answers[0]), "{answers:?}");
        assert_eq!(answers[0]["deliveries"], 1);
    }
    receiver.wait_for(2).await;

    // Another body under either is a conflict, and nothing comes of it.
    let other = json!({"tenant": "acme", "type": "t", "data": {"amount": 1.00001}});
    publish(&acme.api, Some("key-1"), &other).await.problem(409);
    let other_id = json!({"tenant": "acme", "type": "t", "id": "own-1", "data": {"amount": 2}});
    publish(&acme.api, None, &other_id).await.problem(409);
    // Key and own id that lead to different events are a conflict too.
    publish(&acme.api, Some("key-1"), &by_id).await.problem(409);

    // The first answer is still known after a crash.
    server.kill();
    server.start_again().await;
    let api = server.api();
    assert_eq!(publish(&api, Some("key-1"), &by_header).await.ok(202), headers[0]);
    assert_eq!(publish(&api, None, &by_id).await.ok(202), ids[0]);
    publish(&api, Some("key-1"), &other).await.problem(409);
    let acme = acme.at(api);
    eventually("both are delivered", async || (acme.log("status=succeeded").await.len() == 2).then_some(()))
        .await;
    assert_eq!(acme.whole_log("").await.len(), 2, "no second delivery");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a09_a_thousand_duplicates_at_once_are_one_event() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let body = json!({"tenant": "acme", "type": "t", "data": 1});
    let answers = at_once(&acme.api, 1_000, Some("same"), &body).await;
    assert!(answers.iter().all(|answer| *answer == answers[0]));
    let id = answers[0]["id"].as_str().unwrap();
    acme.wait_for_status(id, "succeeded").await;
    assert_eq!((receiver.count(), acme.whole_log("").await.len()), (1, 1));
}

#[tokio::test]
async fn abuse_a70_the_same_key_and_the_same_id_of_two_tenants_are_two_events() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    for tenant in ["acme", "other"] {
        server.tenant(tenant).await.endpoint(json!({"url": receiver.url_of(&format!("/{tenant}"))})).await;
    }
    let api = server.api();
    for tenant in ["acme", "other"] {
        let body = json!({"tenant": tenant, "type": "t", "id": "same-id", "data": tenant});
        publish(&api, Some("same-key"), &body).await.ok(202);
    }
    let mut paths: Vec<_> = receiver.wait_for(2).await.iter().map(|r| r.path.clone()).collect();
    paths.sort();
    assert_eq!(paths, ["/acme", "/other"]);
}

#[tokio::test]
async fn a_key_on_a_batch_stands_for_each_item_by_its_index() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let item = |n: u32| json!({"tenant": "acme", "type": "t", "data": {"n": n}});
    let batch = json!([item(0), item(1), item(2)]);
    let first = publish(&acme.api, Some("batch"), &batch).await.ok(202);
    assert_eq!(publish(&acme.api, Some("batch"), &batch).await.ok(202), first);
    // Item by item under the keys that the header stood for, and as lines in another layout.
    for n in 0..3 {
        let again = publish(&acme.api, Some(&format!("batch#{n}")), &item(n)).await.ok(202);
        assert_eq!(again, first["data"][n as usize]);
    }
    let lines = "{\"type\":\"t\",\"data\":{\"n\":0},\"tenant\":\"acme\"}\n\n {\"tenant\":\"acme\", \"type\":\"t\", \"data\":{\"n\":1}}\n";
    let again = acme.api.publish_lines(lines, &[("idempotency-key", "batch")]).await.ok(202);
    assert_eq!(again["data"].as_array().unwrap()[..], first["data"].as_array().unwrap()[..2]);
    // With one changed, only that one is a conflict.
    let changed = publish(&acme.api, Some("batch"), &json!([item(0), item(9), item(2)])).await.ok(202);
    assert_eq!((&changed["data"][0], &changed["data"][2]), (&first["data"][0], &first["data"][2]));
    assert_eq!(changed["data"][1]["error"]["status"], 409);
    receiver.wait_for(3).await;
    assert_eq!(acme.whole_log("").await.len(), 3);
}
