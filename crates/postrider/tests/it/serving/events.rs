//! Events as they are looked up: every filter, every page, and one event with the verdict of each endpoint.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::harness::{Receiver, Reply, Server, Setup, Tenant, another_millisecond, eventually};

fn ids(rows: &[Value]) -> Vec<String> {
    rows.iter().map(|row| row["id"].as_str().unwrap().to_owned()).collect()
}

impl Tenant {
    async fn events(&self, query: &str) -> Vec<Value> {
        self.api.whole(&self.path(&format!("events?{query}")), 250).await
    }
}

#[tokio::test]
async fn every_filter_finds_what_fits_it_alone_and_with_others_newest_first() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let other = server.tenant("other").await;
    // Owed to somebody or to nobody: the event is there.
    acme.endpoint(json!({"url": receiver.url(), "event_types": ["card.*"]})).await;
    acme.endpoint(json!({"url": receiver.url(), "event_types": ["card.frozen"]})).await;
    for (id, kind, key) in [
        ("a", "card.created", Some("k1")),
        ("b", "card.frozen", Some("k1")),
        ("c", "account.topup", None),
        ("d", "card.created", Some("k2")),
        ("e", "account.topup", Some("k2")),
    ] {
        acme.publish(json!({"id": id, "type": kind, "key": key.unwrap_or("k0")})).await;
        other.publish(json!({"id": id, "type": kind, "key": "k1"})).await;
        another_millisecond().await;
    }
    let ours = acme.publish(json!({"type": "card.created"})).await;
    let all = acme.events("").await;
    let at =
        |id: &str| all.iter().find(|e| e["id"] == id).unwrap()["created_at"].as_str().unwrap().to_owned();
    let cases = [
        (String::new(), vec![&*ours, "e", "d", "c", "b", "a"]),
        ("type=card.created".into(), vec![&ours, "d", "a"]),
        ("type=card".into(), vec![]),
        ("key=k1".into(), vec!["b", "a"]),
        ("key=K1".into(), vec![]),
        ("key=k2&type=card.created".into(), vec!["d"]),
        ("id=c".into(), vec!["c"]),
        ("id=c&type=card.created".into(), vec![]),
        (format!("id={ours}"), vec![&ours]),
        ("id=unknown".into(), vec![]),
        (format!("since={}", at("d")), vec![&ours, "e", "d"]),
        (format!("until={}", at("b")), vec!["a"]),
        (format!("since={}&until={}", at("b"), at("e")), vec!["d", "c", "b"]),
        (format!("key=k1&since={}", at("b")), vec!["b"]),
    ];
    let compare = async |acme: &Tenant| {
        for (query, wanted) in &cases {
            for limit in [1, 2, 250] {
                let found = acme.api.whole(&acme.path(&format!("events?{query}")), limit).await;
                assert_eq!(ids(&found), *wanted, "{query} by {limit}");
            }
        }
    };
    compare(&acme).await;
    let owed: Vec<_> = all.iter().map(|e| e["deliveries"].as_u64().unwrap()).collect();
    assert_eq!(owed, [1, 0, 1, 0, 2, 1], "as the receipts said");
    // After a crash, and after a stop, it is all the same.
    server.kill();
    server.start_again().await;
    compare(&acme.at(server.api())).await;
    server.stop().await;
    server.start_again().await;
    compare(&acme.at(server.api())).await;
}

#[tokio::test]
async fn an_event_is_shown_with_its_data_and_the_verdict_of_each_endpoint() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let receiver = Receiver::start().await;
    receiver.script(|r| Reply::status(if r.path == "/bad" { 500 } else { 204 }));
    let acme = server.tenant("acme").await;
    let (good, bad) = (receiver.url_of("/good"), receiver.url_of("/bad"));
    let endpoints = [
        acme.endpoint(json!({"url": good})).await.id,
        acme.endpoint(json!({"url": bad})).await.id,
        acme.endpoint(json!({"url": good, "enabled": false})).await.id,
    ];
    acme.endpoint(json!({"url": good, "event_types": ["other"]})).await;
    let text = r#"{"tenant":"acme","type":"card.created","id":"e","key":"k","occurred_at":"2026-01-02T03:04:05.678+01:00",
        "attributes":{"n":1.50,"ok":true},"data":{"amount": 42.50,"big":1e999999,"s":"\ud800","a":1,"a":2}}"#;
    let receipt = acme.api.publish_text(text).await.ok(202);
    eventually("it has its verdicts", async || (acme.log("status=pending").await.len() == 1).then_some(()))
        .await;
    let answer = acme.api.get(&acme.path("events/e")).await;
    let shown = answer.text();
    // Byte for byte, as it came.
    assert!(shown.contains(r#""data":{"amount": 42.50,"big":1e999999,"s":"\ud800","a":1,"a":2}"#), "{shown}");
    assert!(shown.contains(r#""attributes":{"n":1.50,"ok":true}"#), "{shown}");
    let listed = acme.api.get(&acme.path("events")).await.text();
    assert!(listed.contains(r#""attributes":{"n":1.50,"ok":true}"#) && !listed.contains("42.50"), "{listed}");
    let shown: Value = serde_json::from_str(&shown.replace("1e999999", "1").replace("\\ud800", "")).unwrap();
    let names: BTreeSet<_> = shown.as_object().unwrap().keys().map(String::as_str).collect();
    let documented =
        "id tenant type key subject attributes occurred_at created_at expires_at data deliveries more";
    assert_eq!(names, documented.split(' ').collect());
    assert_eq!(
        (
            &shown["id"],
            &shown["tenant"],
            &shown["type"],
            &shown["key"],
            &shown["subject"],
            &shown["expires_at"]
        ),
        (&json!("e"), &json!("acme"), &json!("card.created"), &json!("k"), &json!(null), &json!(null))
    );
    assert_eq!((&shown["occurred_at"], &shown["more"]), (&json!("2026-01-02T02:04:05.678Z"), &json!(null)));
    let rows = shown["deliveries"].as_array().unwrap();
    assert_eq!(*rows, acme.log("event=e").await, "as the log tells them");
    let verdict = |id: &String| {
        rows.iter().find(|r| r["endpoint"] == *id).unwrap()["status"].as_str().unwrap().to_owned()
    };
    assert_eq!(endpoints.each_ref().map(verdict), ["succeeded", "failed", "pending"]);
    assert_eq!(receipt["deliveries"], 3);
    // Under the id that we gave it too; nowhere else.
    let generated = acme.log("event=e").await[0]["id"].as_str().unwrap().replace("dlv_", "evt_");
    acme.api.get(&acme.path(&format!("events/{generated}"))).await.problem(404);
    let unnamed = acme.publish(json!({"data": [1.0]})).await;
    assert!(unnamed.starts_with("evt_"));
    let shown = acme.api.get(&acme.path(&format!("events/{unnamed}"))).await;
    assert_eq!(shown.ok(200)["attributes"], json!({}));
    assert!(shown.text().contains(r#""data":[1.0]"#));
    let other = server.tenant("other").await;
    for id in ["e", &*unnamed, "E", "evt_", "unknown", "..%2f..", "%00"] {
        other.api.get(&other.path(&format!("events/{id}"))).await.problem(404);
    }
    assert!(other.events(&format!("id={unnamed}")).await.is_empty());
    assert!(acme.events("id=e&key=other").await.is_empty());
}

#[tokio::test]
async fn an_id_of_another_installation_is_a_publisher_s_own_like_any_other() {
    let (first, second) = (Server::start().await, Server::start().await);
    let (here, there) = (first.tenant("acme").await, second.tenant("acme").await);
    let relayed = here.publish(json!({"data": "here"})).await;
    there.publish(json!({"data": "a stranger at the same place"})).await;
    there.publish(json!({"id": relayed, "data": "relayed"})).await;
    let shown = there.api.get(&there.path(&format!("events/{relayed}"))).await.ok(200);
    assert_eq!((&shown["id"], &shown["data"]), (&json!(relayed), &json!("relayed")));
    assert_eq!(there.events(&format!("id={relayed}")).await.len(), 1);
}

#[tokio::test]
async fn abuse_a13_cursors_of_events_fit_their_list_and_tenant_alone() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let (acme, other) = (server.tenant("acme").await, server.tenant("other").await);
    acme.endpoint(json!({"url": receiver.url()})).await;
    for n in 0..3 {
        acme.publish(json!({"data": n})).await;
        other.publish(json!({"data": n})).await;
    }
    let page = acme.api.get(&acme.path("events?limit=1")).await.ok(200);
    let cursor = page["next_cursor"].as_str().unwrap();
    acme.api.get(&acme.path(&format!("events?cursor={cursor}"))).await.ok(200);
    let forged = format!("{}{}", if cursor.starts_with('A') { 'B' } else { 'A' }, &cursor[1..]);
    for path in [
        other.path(&format!("events?cursor={cursor}")),
        acme.path(&format!("deliveries?cursor={cursor}")),
        format!("/v1/deliveries?cursor={cursor}"),
        acme.path(&format!("events?cursor={forged}")),
        acme.path("events?cursor="),
    ] {
        let pointers: Vec<_> = acme.api.get(&path).await.pointers().into_iter().collect();
        assert_eq!(pointers, ["/cursor"], "{path}");
    }
    for query in ["limit=0", "limit=251", "wat=1", "status=failed", "since=yesterday", "type=*", "id="] {
        acme.api.get(&acme.path(&format!("events?{query}"))).await.problem(422);
    }
}
