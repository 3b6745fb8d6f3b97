//! What the operator is told, as events of its own tenant.

use std::collections::BTreeSet;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::Position;
use postrider_core::record::{Edit, Group};
use postrider_core::time::Timestamp;
use postrider_store::{Store as _, Writer as _};
use serde_json::{Value, json};

use crate::harness::{Receiver, Reply, Server, Setup, Tenant, eventually, throughout};

fn operator(server: &Server) -> Tenant {
    Tenant { api: server.api(), id: "_operator".into() }
}

/// What arrived at the operator's receiver: type and data.
fn told(receiver: &Receiver) -> Vec<(String, Value)> {
    let told = receiver.all().into_iter().map(|request| {
        let body = request.json();
        (body["type"].as_str().unwrap().to_owned(), body["data"].clone())
    });
    told.collect()
}

#[tokio::test]
async fn what_befalls_endpoints_is_told_to_the_operator_without_payloads_and_secrets() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let (receiver, listener) = (Receiver::start().await, Receiver::start().await);
    receiver.script(|request| match request.event() {
        "gone" => Reply::status(410),
        _ => Reply::status(400),
    });
    let operator = operator(&server);
    let types = ["endpoint.*", "delivery.failed", "replay.finished"];
    operator.endpoint(json!({"url": listener.url(), "event_types": types, "ordering": "key"})).await;
    let acme = server.tenant("acme").await;
    let auth = json!({"type": "bearer", "token": "planted-secret"});
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "auth": auth})).await;
    let failed = acme.publish(json!({"data": {"pan": "planted-payload"}})).await;
    let delivery = acme.wait_for_status(&failed, "failed").await;
    listener.wait_for(1).await;
    let (kind, data) = told(&listener).remove(0);
    assert_eq!(kind, "delivery.failed");
    let fields: BTreeSet<&str> = data.as_object().unwrap().keys().map(String::as_str).collect();
    assert_eq!(
        fields,
        BTreeSet::from(["tenant", "endpoint", "reason", "count", "since", "until", "delivery"])
    );
    assert_eq!(
        (&data["tenant"], &data["endpoint"], &data["delivery"]),
        (&json!("acme"), &json!(endpoint.id), &delivery["id"])
    );
    assert_eq!((&data["reason"], &data["count"]), (&json!("schedule_exhausted"), &json!(1)));

    acme.publish(json!({"id": "gone"})).await;
    acme.wait_for_state(&endpoint, "disabled").await;
    receiver.answer(Reply::status(204));
    acme.api.post(&format!("{}/test", endpoint.path), &json!({"type": "t"})).await.ok(200);
    let replays = format!("{}/replays", endpoint.path);
    let replay = acme.api.post(&replays, &json!({"sequence_from": 1})).await.ok(202);
    let all = listener.wait_for(4).await;
    let rest: Vec<_> =
        told(&listener)[1..].iter().map(|(kind, data)| (kind.clone(), data["reason"].clone())).collect();
    assert_eq!(
        rest,
        [
            ("endpoint.disabled".to_owned(), json!("gone")),
            ("endpoint.recovered".to_owned(), json!("test_succeeded")),
            ("replay.finished".to_owned(), json!("done")),
        ]
    );
    let finished = &told(&listener)[3].1["replay"];
    assert_eq!((&finished["id"], &finished["done"]), (&replay["id"], &json!(2)));
    for request in &all {
        let text = String::from_utf8_lossy(&request.message.body).into_owned();
        assert!(!text.contains("planted"), "{text}");
    }
    // They are events like others, with the endpoint as their ordering key.
    let key = format!("acme%2F{}", endpoint.id);
    assert_eq!(operator.log(&format!("key={key}")).await.len(), 4);
}

#[tokio::test]
async fn what_was_not_told_before_a_crash_is_told_after_it_and_once() {
    let mut server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let (receiver, listener) = (Receiver::start().await, Receiver::start().await);
    receiver.answer(Reply::status(400));
    let endpoint = json!({"url": listener.url_of("/told"), "event_types": ["delivery.failed"]});
    operator(&server).endpoint(endpoint).await;
    for tenant in 0..5 {
        let acme = server.tenant(&format!("acme{tenant}")).await;
        acme.endpoint(json!({"url": receiver.url()})).await;
        let event = acme.publish(json!({})).await;
        acme.wait_for_status(&event, "failed").await;
        server.kill();
        server.start_again().await;
    }
    eventually("each tenant was told of", async || {
        let tenants: BTreeSet<String> =
            told(&listener).iter().map(|(_, data)| data["tenant"].to_string()).collect();
        (tenants.len() == 5).then_some(())
    })
    .await;
    eventually("they are delivered", async || {
        operator(&server).log("status=pending").await.is_empty().then_some(())
    })
    .await;
    assert_eq!(operator(&server).log("").await.len(), 5, "one event for each");
}

#[tokio::test]
async fn abuse_a88_an_operator_s_endpoint_that_fails_on_what_it_is_told_causes_nothing_further() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let (receiver, listener) = (Receiver::start().await, Receiver::start().await);
    receiver.answer(Reply::status(400));
    listener.answer(Reply::status(500));
    let operator = operator(&server);
    operator.endpoint(json!({"url": listener.url()})).await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let event = acme.publish(json!({})).await;
    acme.wait_for_status(&event, "failed").await;
    eventually("what it is told has failed too", async || {
        (operator.log("status=failed").await.len() == 1).then_some(())
    })
    .await;
    throughout(Duration::from_millis(500), "nothing follows", async || {
        operator.log("").await.len() == 1 && listener.count() == 1
    })
    .await;
}

#[tokio::test]
async fn abuse_a108_a_malformed_row_is_set_aside_with_its_fault_and_those_behind_it_flow() {
    let mut server = Server::start().await;
    let listener = Receiver::start().await;
    operator(&server).endpoint(json!({"url": listener.url()})).await;
    assert_eq!(server.stop().await.code(), Some(0));
    let good = |n: u64| {
        let doc = json!({"kind": "delivery.failed", "tenant": null, "endpoint": null, "reason": "x", "count": n,
            "since": 0, "until": 0, "delivery": null, "replay": null});
        Bytes::from(doc.to_string())
    };
    let docs = [
        Bytes::from_static(b"\xff\0 no notice"),
        good(1),
        Bytes::from_static(b"{}"),
        Bytes::from_static(br#"{"kind":"endpoint.exploded","tenant":1}"#),
        Bytes::new(),
        good(2),
    ];
    {
        let (store, mut writer) =
            postrider_sqlite::open(&server.database(), postrider_sqlite::SqliteConfig::default()).unwrap();
        let first = store.committed().plus(1);
        let edits = docs.iter().zip(0..).map(|(doc, n)| Edit::PutNotice {
            due: Timestamp::from_secs(1),
            position: first.plus(n),
            doc: doc.clone(),
        });
        let group = Group {
            writer: 1,
            number: 1,
            at: Timestamp::from_millis(jiff::Timestamp::now().as_millisecond()),
            first,
            last: Position(first.0 + docs.len() as u64),
            edits: edits.collect(),
            accepted: Vec::new(),
            updates: Vec::new(),
            tests: Vec::new(),
        };
        writer.commit(&group).unwrap();
        Box::new(writer).close().unwrap();
    }
    server.start_again().await;
    listener.wait_for(2).await;
    let counts: BTreeSet<u64> =
        told(&listener).iter().filter_map(|(_, data)| data["count"].as_u64()).collect();
    assert_eq!(counts, BTreeSet::from([1, 2]));
    assert_eq!(server.log().matches("it is set aside").count(), 4, "{}", server.log());
    eventually("both are through", async || {
        (operator(&server).log("status=succeeded").await.len() == 2).then_some(())
    })
    .await;
    // Neither is tried again, nor told again.
    server.kill();
    server.start_again().await;
    operator(&server).publish(json!({"type": "t", "id": "after"})).await;
    operator(&server).wait_for_status("after", "succeeded").await;
    assert_eq!((listener.count(), server.log().matches("it is set aside").count()), (3, 4));
}
