//! The feed: everything owed to an endpoint by sequence, whatever became of it; and waiting for what comes next.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::harness::api::Endpoint;
use crate::harness::{Answer, Api, Receiver, Reply, Server, Setup, Tenant, eventually};

/// Whoever waits is let go within a second, and a little for the machine that runs the tests.
const LET_GO: Duration = Duration::from_secs(3);

impl Tenant {
    /// All of a feed after a sequence, page by page.
    pub(super) async fn whole_feed(&self, endpoint: &str, after: u64) -> Vec<Value> {
        let mut all: Vec<Value> = Vec::new();
        loop {
            let after = all.last().map_or(after, |entry| entry["sequence"].as_u64().unwrap());
            let path = self.path(&format!("endpoints/{endpoint}/feed?after={after}&limit=40"));
            let answer = self.api.get(&path).await;
            assert_eq!(answer.status, 200, "{}", answer.text());
            let page: Value = serde_json::from_str(&super::layouts::readable(&answer.text())).unwrap();
            match page["data"].as_array().unwrap() {
                data if data.is_empty() => return all,
                data => all.extend(data.iter().cloned()),
            }
        }
    }
}

fn feed(endpoint: &Endpoint, query: &str) -> String {
    format!("{}/feed?{query}", endpoint.path)
}

fn sequences(page: &Value) -> Vec<u64> {
    page["data"].as_array().unwrap().iter().map(|entry| entry["sequence"].as_u64().unwrap()).collect()
}

/// Asks in a task of its own; the answer, and how long it took.
fn asked(api: &Api, path: String) -> tokio::task::JoinHandle<(Answer, Duration)> {
    let api = api.clone();
    tokio::spawn(async move {
        let begun = Instant::now();
        (api.get(&path).await, begun.elapsed())
    })
}

type Waiting = Vec<tokio::task::JoinHandle<(Answer, Duration)>>;

/// As many as may wait for one feed, all of them waiting: one more is refused, which tells that the others are there.
async fn a_full_house(api: &Api, endpoint: &Endpoint) -> (Waiting, Answer) {
    let mut all: Waiting = (0..17).map(|_| asked(api, feed(endpoint, "after=1000&wait_s=30"))).collect();
    let refused =
        eventually("one is refused", async || all.iter().position(|asked| asked.is_finished())).await;
    let (answer, _) = all.remove(refused).await.unwrap();
    (all, answer)
}

#[tokio::test]
async fn everything_owed_comes_by_sequence_whatever_became_of_it() {
    let mut server = Setup::default().set("RETRY_SCHEDULE_S", "[]").set("BACKLOG_MAX", "2").start().await;
    let receiver = Receiver::start().await;
    receiver.script(|r| Reply::status(if r.event() == "failed" { 500 } else { 204 }));
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "event_types": ["card.*"]})).await;
    let text = r#"{"tenant":"acme","type":"card.created","id":"done","key":"k","attributes":{"n":1.50},"data":{"amount": 42.50,"big":123456789012345678901234567890}}"#;
    acme.api.publish_text(text).await.ok(202);
    acme.wait_for_status("done", "succeeded").await;
    acme.publish(json!({"id": "failed"})).await;
    acme.wait_for_status("failed", "failed").await;
    acme.publish(json!({"id": "elsewhere", "type": "account.topup"})).await;
    acme.patch(&endpoint, json!({"enabled": false})).await;
    for id in ["cancelled", "pending", "skipped"] {
        acme.publish(json!({"id": id})).await;
    }
    let delivery = acme.delivery_of("cancelled").await["id"].as_str().unwrap().to_owned();
    acme.api.send("POST", &acme.path(&format!("deliveries/{delivery}/cancel")), &[], b"").await.ok(204);
    let expected =
        ["done succeeded", "failed failed", "cancelled cancelled", "pending pending", "skipped skipped"];
    for round in 0..3 {
        let acme = acme.at(server.api());
        let answer = acme.api.get(&feed(&endpoint, "")).await;
        let page = answer.ok(200);
        let told: Vec<_> = page["data"]
            .as_array()
            .unwrap()
            .iter()
            .map(|e| format!("{} {}", e["event"]["id"].as_str().unwrap(), e["status"].as_str().unwrap()))
            .collect();
        assert_eq!(told, expected, "in round {round}");
        assert_eq!((sequences(&page), &page["last_sequence"]), (vec![1, 2, 3, 4, 5], &json!(5)));
        // Byte for byte, as it was published.
        assert!(
            answer.text().contains(r#""data":{"amount": 42.50,"big":123456789012345678901234567890}"#),
            "{}",
            answer.text()
        );
        assert!(answer.text().contains(r#""attributes":{"n":1.50}"#), "{}", answer.text());
        for (query, wanted) in [
            ("after=0", &[1, 2, 3, 4, 5][..]),
            ("after=3", &[4, 5]),
            ("after=5", &[]),
            ("after=17592186044415", &[]),
            ("after=1&limit=2", &[2, 3]),
            ("limit=1", &[1]),
        ] {
            let page = acme.api.get(&feed(&endpoint, query)).await.ok(200);
            assert_eq!((sequences(&page), &page["last_sequence"]), (wanted.to_vec(), &json!(5)), "{query}");
        }
        match round {
            0 => server.kill(),
            1 => drop(server.stop().await),
            _ => break,
        }
        server.start_again().await;
    }
    let page = server.api().get(&feed(&endpoint, "limit=1")).await.ok(200);
    let keys = |value: &Value| value.as_object().unwrap().keys().cloned().collect::<BTreeSet<_>>();
    let names = |names: &str| names.split(' ').map(str::to_owned).collect::<BTreeSet<_>>();
    let entry = &page["data"][0];
    assert_eq!(keys(entry), names("sequence delivery status event"));
    assert_eq!(keys(&entry["event"]), names("id type occurred_at key attributes data"));
    assert!(entry["delivery"].as_str().unwrap().starts_with("dlv_"));
}

#[tokio::test]
async fn a_page_of_the_feed_is_bounded_in_bytes_too_and_holds_one_at_least() {
    let server =
        Setup::default().set("MAX_EVENT_BYTES", 6 << 20).set("MAX_BATCH_BYTES", 6 << 20).start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "enabled": false})).await;
    for size in [1 << 20, 5 << 20, 1 << 20, 1 << 20, 1 << 20, 1 << 20] {
        acme.publish(json!({"data": "x".repeat(size)})).await;
    }
    let mut after = 0;
    for wanted in [&[1][..], &[2], &[3, 4, 5], &[6], &[]] {
        let page = acme.api.get(&feed(&endpoint, &format!("after={after}"))).await.ok(200);
        assert_eq!(sequences(&page), wanted);
        after = *sequences(&page).last().unwrap_or(&after);
    }
}

#[tokio::test]
async fn what_retention_removed_is_not_there_and_the_feed_begins_with_the_oldest_that_is_left() {
    // About two seconds.
    let server = Setup::default().set("RETENTION_DAYS", "0.000025").start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    for n in 0..150 {
        acme.publish(json!({"data": n})).await;
    }
    receiver.wait_for(150).await;
    eventually("nothing is left", async || acme.whole_feed(&endpoint.id, 0).await.is_empty().then_some(()))
        .await;
    let page = acme.api.get(&feed(&endpoint, "")).await.ok(200);
    assert_eq!(page["last_sequence"], 150, "that it was there is known");
    acme.patch(&endpoint, json!({"enabled": false})).await;
    acme.publish(json!({})).await;
    let left = acme.whole_feed(&endpoint.id, 0).await;
    assert_eq!(left.len(), 1);
    assert_eq!((&left[0]["sequence"], &left[0]["status"]), (&json!(151), &json!("pending")));
}

#[tokio::test]
async fn whoever_waits_gets_what_comes_as_soon_as_it_is_durable() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "event_types": ["card.*"]})).await;
    // Nothing comes: the time passes.
    let (answer, took) = asked(&acme.api, feed(&endpoint, "wait_s=1")).await.unwrap();
    assert_eq!((sequences(&answer.ok(200)), answer.ok(200)["last_sequence"].as_u64()), (vec![], Some(0)));
    assert!((Duration::from_secs(1)..Duration::from_secs(5)).contains(&took), "{took:?}");
    // Something comes: to all who wait for it, whatever else is published.
    let waiting: Vec<_> = (0..5).map(|_| asked(&acme.api, feed(&endpoint, "wait_s=30"))).collect();
    for n in 0..20 {
        acme.publish(json!({"type": "account.topup", "data": n})).await;
    }
    assert!(waiting.iter().all(|asked| !asked.is_finished()), "what is another's wakes nobody");
    acme.publish(json!({"id": "e"})).await;
    for answer in waiting {
        let (answer, took) = answer.await.unwrap();
        assert_eq!(answer.ok(200)["data"][0]["event"]["id"], "e");
        assert!(took < Duration::from_secs(15), "{took:?}");
    }
    // What is there already is not waited for.
    let (answer, took) = asked(&acme.api, feed(&endpoint, "wait_s=30")).await.unwrap();
    assert_eq!(sequences(&answer.ok(200)), [1]);
    assert!(took < Duration::from_secs(15), "{took:?}");
    // One after the other, without a gap, while they come.
    let reader = {
        let (api, endpoint) = (acme.api.clone(), endpoint.clone());
        tokio::spawn(async move {
            let mut seen = vec![1];
            while seen.len() < 101 {
                let after = seen.last().unwrap();
                let page = api.get(&feed(&endpoint, &format!("after={after}&wait_s=30&limit=7"))).await;
                seen.extend(sequences(&page.ok(200)));
            }
            seen
        })
    };
    for n in 0..100 {
        acme.publish(json!({"data": n})).await;
    }
    assert_eq!(reader.await.unwrap(), (1..=101).collect::<Vec<_>>());
}

#[tokio::test]
async fn no_more_wait_than_there_is_room_for_and_those_who_go_away_make_room() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let other = acme.endpoint(json!({"url": receiver.url()})).await;
    let (waiting, refused) = a_full_house(&acme.api, &endpoint).await;
    assert_eq!(refused.ok(200)["data"], json!([]), "it gets what there is, at once");
    // Who does not wait is served, and who waits for another.
    acme.api.get(&feed(&endpoint, "")).await.ok(200);
    acme.api.get(&feed(&other, "wait_s=1")).await.ok(200);
    // Their connections are closed.
    waiting.iter().for_each(tokio::task::JoinHandle::abort);
    eventually("there is room to wait again", async || {
        let asked = std::time::Instant::now();
        acme.api.get(&feed(&endpoint, "after=1000&wait_s=1")).await.ok(200);
        (asked.elapsed() >= std::time::Duration::from_secs(1)).then_some(())
    })
    .await;
}

#[tokio::test]
async fn abuse_a76_who_waits_is_let_go_when_its_token_endpoint_tenant_or_server_goes() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let operator = server.api();
    let (acme, gone) = (server.tenant("acme").await, server.tenant("gone").await);
    let endpoints = [
        acme.endpoint(json!({"url": receiver.url()})).await,
        acme.endpoint(json!({"url": receiver.url()})).await,
        acme.endpoint(json!({"url": receiver.url()})).await,
        gone.endpoint(json!({"url": receiver.url()})).await,
        acme.endpoint(json!({"url": receiver.url()})).await,
    ];
    let path = |i: usize| feed(&endpoints[i], "after=1000&wait_s=30");
    let scopes = json!(["webhook-events-read"]);
    // A token that is revoked.
    let made = operator.post("/v1/tokens", &json!({"tenant": "acme", "scopes": scopes})).await.ok(201);
    let revoked = operator.with_token(made["token"].as_str().unwrap());
    let (waiting, _) = a_full_house(&revoked, &endpoints[0]).await;
    operator.delete(&format!("/v1/tokens/{}", made["id"].as_str().unwrap())).await.ok(204);
    all_let_go(waiting, 401).await;
    // One that expires.
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(2);
    let expires =
        operator.token(&json!({"tenant": "acme", "scopes": scopes, "expires_at": at.to_string()})).await;
    let (answer, took) = asked(&expires, path(1)).await.unwrap();
    answer.problem(401);
    assert!(took < Duration::from_secs(2) + LET_GO, "{took:?}");
    // An endpoint that is removed, and a tenant with all that is its own.
    let (waiting, _) = a_full_house(&operator, &endpoints[2]).await;
    operator.delete(&endpoints[2].path).await.ok(204);
    all_let_go(waiting, 404).await;
    let (waiting, _) = a_full_house(&operator, &endpoints[3]).await;
    operator.delete("/v1/tenants/gone").await.ok(204);
    all_let_go(waiting, 404).await;
    // The server itself.
    let (waiting, _) = a_full_house(&operator, &endpoints[4]).await;
    let begun = Instant::now();
    assert!(server.stop().await.success());
    assert!(begun.elapsed() < LET_GO, "{:?}", begun.elapsed());
    all_let_go(waiting, 200).await;
}

/// All answered so, within the time that they may be kept.
async fn all_let_go(waiting: Waiting, status: u16) {
    let begun = Instant::now();
    for answer in waiting {
        let (answer, _) = answer.await.unwrap();
        assert_eq!(answer.status, status, "{}", answer.text());
    }
    assert!(begun.elapsed() < LET_GO, "{:?}", begun.elapsed());
}

#[tokio::test]
async fn abuse_a13_a_question_to_a_feed_that_makes_no_sense_is_refused() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    for (query, pointer) in [
        ("after=-1", "/after"),
        ("after=x", "/after"),
        ("limit=0", "/limit"),
        ("limit=251", "/limit"),
        ("wait_s=31", "/wait_s"),
        ("cursor=x", "/cursor"),
    ] {
        let pointers: Vec<_> = acme.api.get(&feed(&endpoint, query)).await.pointers().into_iter().collect();
        assert_eq!(pointers, [pointer], "{query}");
    }
    acme.api.get(&acme.path("endpoints/ep_unknown/feed")).await.problem(404);
    acme.api.get(&acme.path("endpoints/ep_unknown/stats")).await.problem(404);
}
