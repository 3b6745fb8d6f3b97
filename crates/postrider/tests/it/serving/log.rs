//! The delivery log: every filter, every page, and one delivery with all that is known of it.

use serde_json::{Value, json};
use std::collections::BTreeSet;

use crate::harness::{Receiver, Reply, Server, Setup, Tenant, eventually};

/// A tenant with a log in which every filter has something to find and something to leave out.
async fn filled(server: &Server, receiver: &Receiver) -> (Tenant, [String; 2]) {
    receiver.script(|r| match r.event() {
        event if event.starts_with("bad") => Reply::status(500),
        _ => Reply::status(204),
    });
    let acme = server.tenant("acme").await;
    let one = acme.endpoint(json!({"url": receiver.url_of("/1"), "event_types": ["card.*"]})).await;
    let two = acme.endpoint(json!({"url": receiver.url_of("/2"), "enabled": false})).await;
    for (id, kind, key) in [
        ("good-1", "card.created", Some("k1")),
        ("bad-1", "card.frozen", Some("k1")),
        ("good-2", "card.created", None),
        ("bad-2", "card.created", Some("k2")),
        ("good-3", "account.topup", Some("k2")),
    ] {
        let mut event = json!({"id": id, "type": kind});
        if let Some(key) = key {
            event["key"] = json!(key);
        }
        acme.publish(event).await;
        // One after the other, so that times tell them apart.
        crate::harness::another_millisecond().await;
    }
    eventually("the first endpoint has settled", async || {
        acme.log(&format!("endpoint={}&status=pending", one.id)).await.is_empty().then_some(())
    })
    .await;
    (acme, [one.id, two.id])
}

#[tokio::test]
async fn every_filter_finds_what_fits_it_alone_and_with_others_newest_first() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let receiver = Receiver::start().await;
    let (acme, [one, two]) = filled(&server, &receiver).await;
    let all = acme.log("").await;
    let line = |row: &Value| {
        format!("{}@{}", row["event"].as_str().unwrap(), if row["endpoint"] == one { 1 } else { 2 })
    };
    let lines = |rows: &[Value]| rows.iter().map(line).collect::<Vec<_>>();
    let newest_first: Vec<_> = all.iter().map(|row| row["created_at"].as_str().unwrap().to_owned()).collect();
    assert!(newest_first.is_sorted_by(|a, b| a >= b), "{newest_first:?}");
    let at = |event: &str| {
        all.iter().find(|r| r["event"] == event).unwrap()["created_at"].as_str().unwrap().to_owned()
    };
    let set = |rows: Vec<String>| rows.into_iter().collect::<BTreeSet<_>>();
    let everything = [
        "good-1@1", "good-1@2", "bad-1@1", "bad-1@2", "good-2@1", "good-2@2", "bad-2@1", "bad-2@2",
        "good-3@2",
    ];
    let fits = |wanted: &[&str]| wanted.iter().map(|w| (*w).to_owned()).collect::<BTreeSet<_>>();
    assert_eq!(set(lines(&all)), fits(&everything));
    for (query, wanted) in [
        ("status=succeeded".to_owned(), &["good-1@1", "good-2@1"][..]),
        ("status=failed".into(), &["bad-1@1", "bad-2@1"]),
        ("status=pending".into(), &["good-1@2", "bad-1@2", "good-2@2", "bad-2@2", "good-3@2"]),
        ("status=skipped".into(), &[]),
        ("status=cancelled".into(), &[]),
        ("type=card.created".into(), &["good-1@1", "good-1@2", "good-2@1", "good-2@2", "bad-2@1", "bad-2@2"]),
        ("type=card".into(), &[]),
        (format!("endpoint={one}"), &["good-1@1", "bad-1@1", "good-2@1", "bad-2@1"]),
        ("endpoint=ep_unknown".into(), &[]),
        ("key=k1".into(), &["good-1@1", "good-1@2", "bad-1@1", "bad-1@2"]),
        ("key=K1".into(), &[]),
        ("event=bad-1".into(), &["bad-1@1", "bad-1@2"]),
        ("event=unknown".into(), &[]),
        (format!("since={}", at("bad-2")), &["bad-2@1", "bad-2@2", "good-3@2"]),
        (format!("until={}", at("bad-1")), &["good-1@1", "good-1@2"]),
        (
            format!("since={}&until={}", at("bad-1"), at("bad-2")),
            &["bad-1@1", "bad-1@2", "good-2@1", "good-2@2"],
        ),
        (format!("endpoint={two}&key=k2"), &["bad-2@2", "good-3@2"]),
        (format!("endpoint={one}&status=failed&type=card.frozen"), &["bad-1@1"]),
        (
            format!(
                "key=k1&status=failed&event=bad-1&endpoint={one}&type=card.frozen&since={}",
                at("good-1")
            ),
            &["bad-1@1"],
        ),
        (format!("key=k2&since={}", at("good-3")), &["good-3@2"]),
    ] {
        assert_eq!(set(lines(&acme.log(&query).await)), fits(wanted), "{query}");
        // Page by page it is the same, without gap or repetition.
        let mut paged = Vec::new();
        let mut cursor = String::new();
        for _ in 0..100 {
            let page = acme.api.get(&acme.path(&format!("deliveries?limit=1&{query}{cursor}"))).await.ok(200);
            assert!(page["data"].as_array().unwrap().len() <= 1);
            paged.extend(lines(page["data"].as_array().unwrap()));
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => break,
            }
        }
        assert_eq!(paged, lines(&acme.log(&query).await), "{query}");
    }
}

#[tokio::test]
async fn pages_of_all_lists_can_be_walked_to_their_end() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let api = server.api();
    for n in 0..7 {
        server.tenant(&format!("t{n}")).await;
        api.token(&json!({"tenant": format!("t{n}"), "scopes": ["events-write"]})).await;
    }
    let acme = server.tenant("acme").await;
    for _ in 0..7 {
        acme.endpoint(json!({"url": receiver.url()})).await;
    }
    let mut events = Vec::new();
    for n in 0..11 {
        events.push(json!({"tenant": "acme", "type": "t", "id": format!("e{n}"), "data": n}));
    }
    api.publish_text(&Value::from(events).to_string()).await.ok(202);
    for (path, most, least) in [
        ("/v1/tenants", 9, 8),
        ("/v1/tokens", 8, 7),
        ("/v1/tenants/acme/endpoints", 7, 7),
        ("/v1/tenants/acme/deliveries", 77, 77),
    ] {
        for limit in [1, 3, 250] {
            let mut ids = Vec::new();
            let mut cursor = String::new();
            for _ in 0..100 {
                let page = api.get(&format!("{path}?limit={limit}{cursor}")).await.ok(200);
                let data = page["data"].as_array().unwrap();
                assert!(data.len() <= limit, "{path}");
                ids.extend(data.iter().map(|entry| entry["id"].as_str().unwrap().to_owned()));
                match page["next_cursor"].as_str() {
                    Some(next) => cursor = format!("&cursor={next}"),
                    None => break,
                }
            }
            let distinct: BTreeSet<_> = ids.iter().collect();
            assert_eq!(distinct.len(), ids.len(), "{path} repeats");
            assert!((least..=most).contains(&ids.len()), "{path}: {} at {limit}", ids.len());
        }
    }
    // What is published while somebody reads on changes nothing of the pages that are left.
    let first = api.get("/v1/tenants/acme/deliveries?limit=70").await.ok(200);
    acme.publish(json!({"id": "later"})).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = api.get(&format!("/v1/tenants/acme/deliveries?limit=250&cursor={cursor}")).await.ok(200);
    assert_eq!(rest["data"].as_array().unwrap().len(), 7);
}

#[tokio::test]
async fn tests_of_endpoints_stand_in_the_log_where_they_were_made() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    receiver.script(|r| Reply::status(if r.path == "/bad" { 500 } else { 204 }));
    let acme = server.tenant("acme").await;
    let good = acme.endpoint(json!({"url": receiver.url_of("/good"), "event_types": ["a.b"]})).await;
    let bad = acme.endpoint(json!({"url": receiver.url_of("/bad"), "event_types": ["c.d"]})).await;
    let test = async |endpoint: &crate::harness::api::Endpoint| {
        acme.api.post(&format!("{}/test", endpoint.path), &json!({"type": "a.b"})).await.ok(200);
        crate::harness::another_millisecond().await;
    };
    acme.publish(json!({"id": "first", "type": "a.b", "key": "k"})).await;
    test(&good).await;
    test(&bad).await;
    acme.publish(json!({"id": "last", "type": "a.b", "key": "k"})).await;
    acme.wait_for_status("last", "succeeded").await;
    let told = |rows: &[Value]| -> Vec<String> {
        let name = |row: &Value| match row["sequence"].as_u64() {
            Some(_) => row["event"].as_str().unwrap().to_owned(),
            None => format!("test {}", row["status"].as_str().unwrap()),
        };
        rows.iter().map(name).collect()
    };
    let all = acme.log("").await;
    let (since, until) = (all[2]["created_at"].as_str().unwrap(), all[1]["created_at"].as_str().unwrap());
    let cases = [
        (String::new(), &["last", "test failed", "test succeeded", "first"][..]),
        (format!("endpoint={}", good.id), &["last", "test succeeded", "first"]),
        (format!("endpoint={}", bad.id), &["test failed"]),
        ("status=failed".into(), &["test failed"]),
        ("status=succeeded".into(), &["last", "test succeeded", "first"]),
        ("status=pending".into(), &[]),
        ("type=a.b".into(), &["last", "test failed", "test succeeded", "first"]),
        ("type=c.d".into(), &[]),
        (format!("since={since}&until={until}"), &["test succeeded"]),
        ("key=k".into(), &["last", "first"]),
        ("event=first".into(), &["first"]),
        (format!("event={}", all[1]["event"].as_str().unwrap()), &[]),
    ];
    for round in 0..2 {
        let acme = acme.at(server.api());
        for (query, wanted) in &cases {
            for limit in [1, 2, 250] {
                let found = acme.api.whole(&acme.path(&format!("deliveries?{query}")), limit).await;
                assert_eq!(told(&found), *wanted, "{query} by {limit} in round {round}");
            }
        }
        let shown = acme.delivery(all[1]["id"].as_str().unwrap()).await;
        for (name, value) in all[1].as_object().unwrap().iter().filter(|(name, _)| *name != "attempts") {
            assert_eq!(shown[name], *value, "{name}");
        }
        assert_eq!((&all[1]["attempts"], &all[1]["last_status_code"]), (&json!(1), &json!(500)));
        server.kill();
        server.start_again().await;
    }
}

#[tokio::test]
async fn one_delivery_is_shown_with_its_payload_and_attempts_as_documented() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let long = "ü".repeat(5_000);
    receiver.for_each_event(vec![
        Reply::status(500).with("X-Why", "a").with("x-why", "b").body(long.as_bytes()),
        Reply::status(200).body(b"thanks"),
    ]);
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "headers": {"X-Mine": "v"}})).await;
    let event = acme.publish(json!({"key": "k", "data": {"amount": 1}})).await;
    let delivery = acme.wait_for_status(&event, "succeeded").await;
    let row = acme.log(&format!("event={event}")).await[0].clone();
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let names = |names: &str| names.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    let line = "id tenant event endpoint type key sequence status reason attempts last_status_code next_attempt_at created_at finished_at";
    assert_eq!(keys(&row), names(line));
    assert!(keys(&delivery).is_superset(&names(&format!("{line} payload"))), "{delivery}");
    for name in names(line).iter().filter(|name| *name != "attempts") {
        assert_eq!(row[name], delivery[name], "{name}");
    }
    assert_eq!(
        (&row["attempts"], &row["key"], &row["endpoint"]),
        (&json!(2), &json!("k"), &json!(endpoint.id))
    );
    assert!(row["id"].as_str().unwrap().starts_with("dlv_"));
    let sent: Value = serde_json::from_slice(&receiver.all()[0].message.body).unwrap();
    assert_eq!(delivery["payload"], sent);
    let attempts = delivery["attempts"].as_array().unwrap();
    for attempt in attempts {
        assert_eq!(
            keys(attempt),
            names(
                "id run number started_at duration_ms status_code error remote_address request_headers response_headers response_body trigger"
            )
        );
        assert!(attempt["id"].as_str().unwrap().starts_with("att_"));
        let headers = &attempt["request_headers"];
        assert_eq!((&headers["webhook-id"], &headers["webhook-sequence"]), (&json!(event), &json!("1")));
        assert_eq!(
            (&headers["x-mine"], &headers["webhook-attempt"]),
            (&json!("***"), &json!(attempt["number"].to_string()))
        );
        assert_eq!(attempt["remote_address"], "127.0.0.1");
        assert!(attempt["duration_ms"].as_f64().unwrap() > 0.0);
    }
    assert_eq!(attempts[0]["response_headers"]["x-why"], "a, b");
    let kept = attempts[0]["response_body"].as_str().unwrap();
    assert!(kept.len() <= 4_096 + 3 && long.starts_with(&kept[..4_000]), "the first 4 KiB: {}", kept.len());
    assert_eq!(
        (&attempts[1]["status_code"], &attempts[1]["error"], &attempts[1]["response_body"]),
        (&json!(200), &json!(null), &json!("thanks"))
    );

    // A success at first try keeps neither headers nor body of the answer.
    receiver.answer(Reply::status(200).with("x-why", "c").body(b"thanks"));
    let event = acme.publish(json!({})).await;
    let delivery = acme.wait_for_status(&event, "succeeded").await;
    let attempt = &delivery["attempts"][0];
    assert_eq!(
        (&attempt["status_code"], &attempt["number"], &attempt["trigger"]),
        (&json!(200), &json!(1), &json!("schedule"))
    );
    assert_eq!((&attempt["response_headers"], &attempt["response_body"]), (&json!({}), &json!("")));
}

#[tokio::test]
async fn the_log_is_the_same_after_a_restart() {
    let mut server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let receiver = Receiver::start().await;
    let (acme, _) = filled(&server, &receiver).await;
    let before = acme.whole_log("").await;
    let details = async |acme: &Tenant| {
        let mut details = Vec::new();
        for row in &before {
            details.push(acme.delivery(row["id"].as_str().unwrap()).await);
        }
        details
    };
    let detailed = details(&acme).await;
    server.stop().await;
    server.start_again().await;
    let acme = acme.at(server.api());
    assert_eq!(acme.whole_log("").await, before);
    assert_eq!(details(&acme).await, detailed);
}
