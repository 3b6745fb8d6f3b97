//! With ordering by key, what has the same key leaves one at a time; a failing one holds back its own key, not for ever.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Received, Receiver, Reply, Server, Setup, eventually};

fn number(request: &Received) -> u64 {
    request.json()["data"]["n"].as_u64().unwrap()
}

#[tokio::test]
async fn a_failing_key_holds_back_itself_alone_and_keeps_its_order() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[0.4, 0.4, 0.4]").start().await;
    let receiver = Receiver::start().await;
    // The first of key `bad` fails twice; everything takes a while, so that overlap would show.
    let mut failures = 2;
    receiver.script(move |request| {
        let data = request.json()["data"].clone();
        let reply = if data["key"] == "bad" && data["n"] == 0 && failures > 0 {
            failures -= 1;
            Reply::status(500)
        } else {
            Reply::status(204)
        };
        reply.after(Duration::from_millis(5))
    });
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url(), "ordering": "key", "max_in_flight": 50})).await;
    for n in 0..8 {
        for key in ["bad", "good", "fair"] {
            acme.publish(json!({"id": format!("{key}-{n}"), "key": key, "data": {"key": key, "n": n}})).await;
        }
    }
    acme.publish(json!({"id": "free", "data": {"n": 0}})).await;
    acme.wait_for_status("bad-7", "succeeded").await;
    let all = receiver.all();
    let of = |key: &str| all.iter().filter(|r| r.json()["data"]["key"] == key).collect::<Vec<_>>();
    for key in ["good", "fair"] {
        assert_eq!(of(key).into_iter().map(number).collect::<Vec<_>>(), (0..8).collect::<Vec<_>>(), "{key}");
    }
    let bad = of("bad");
    assert_eq!(bad.iter().map(|r| number(r)).collect::<Vec<_>>(), [0, 0, 0, 1, 2, 3, 4, 5, 6, 7]);
    // The others were through before the failing one was.
    for request in of("good").into_iter().chain(of("fair")).chain(all.iter().filter(|r| r.event() == "free"))
    {
        assert!(request.at < bad[2].at, "{} waited for another key", request.event());
    }
    // One at a time: the answer to one comes after 5 ms, the next does not leave before.
    for pair in bad.windows(2) {
        assert!(pair[1].at - pair[0].at >= Duration::from_millis(5));
    }
}

#[tokio::test]
async fn a_key_is_held_for_hold_max_s_at_most_then_its_delivery_is_overtaken() {
    let server =
        Setup::default().set("RETRY_SCHEDULE_S", "[0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3, 0.3]").start().await;
    let receiver = Receiver::start().await;
    receiver.script(|request| {
        let refused = request.event() == "first" && request.attempt() < 8;
        Reply::status(if refused { 500 } else { 204 })
    });
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url(), "ordering": "key", "hold_max_s": 1})).await;
    for id in ["first", "second", "third"] {
        acme.publish(json!({"id": id, "key": "k"})).await;
    }
    acme.wait_for_status("third", "succeeded").await;
    let first = receiver.of("first");
    let (second, third) = (receiver.of("second"), receiver.of("third"));
    let held = second[0].at - first[0].at;
    assert!(held >= Duration::from_millis(950) && held < Duration::from_millis(1_700), "{held:?}");
    assert!(second[0].at < third[0].at);
    // It goes on by its own schedule.
    let delivery = acme.wait_for_status("first", "succeeded").await;
    assert_eq!(delivery["overtaken"], true, "{delivery}");
    assert_eq!(delivery["attempts"].as_array().unwrap().len(), 8);
    assert!(acme.delivery_of("second").await.get("overtaken").is_none_or(|o| *o == false));
}

#[tokio::test]
async fn what_waits_behind_a_key_does_not_crowd_out_others_and_is_not_lost_by_a_crash() {
    let mut server = Setup::default()
        .set("WINDOW_ENTRIES", "64")
        .set("RETRY_SCHEDULE_S", "[0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5, 0.5]")
        .start()
        .await;
    let receiver = Receiver::start().await;
    receiver.script(|request| Reply::status(if request.event() == "b0" { 500 } else { 204 }));
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url(), "ordering": "key"})).await;
    let blocked = 300;
    let events: Vec<Value> = (0..blocked)
        .map(|n| json!({"tenant": "acme", "type": "t", "id": format!("b{n}"), "key": "blocked", "data": {"n": n}}))
        .collect();
    for part in events.chunks(100) {
        acme.api.publish_text(&Value::from(part).to_string()).await.ok(202);
    }
    acme.publish(json!({"id": "free", "key": "other"})).await;
    receiver.wait_for_event("free", 1).await;
    assert!(receiver.of("b1").is_empty());

    server.kill();
    receiver.answer(Reply::status(204));
    server.start_again().await;
    let acme = acme.at(server.api());
    eventually("everything behind the key arrives", async || {
        acme.log("status=pending&limit=1").await.is_empty().then_some(())
    })
    .await;
    let mut seen: Vec<u64> =
        receiver.all().iter().filter(|r| r.event().starts_with('b')).map(number).collect();
    seen.dedup();
    assert_eq!(seen, (0..blocked).collect::<Vec<u64>>(), "in order, and none missing");
}

#[tokio::test]
async fn without_a_key_or_without_ordering_nothing_waits_for_another() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    receiver.script(|request| Reply::status(if request.event() == "first" { 500 } else { 204 }));
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url_of("/none"), "event_types": ["none"]})).await;
    acme.endpoint(json!({"url": receiver.url_of("/key"), "event_types": ["key"], "ordering": "key"})).await;
    acme.publish(json!({"id": "first", "type": "none", "key": "k"})).await;
    acme.publish(json!({"id": "second", "type": "none", "key": "k"})).await;
    acme.wait_for_status("second", "succeeded").await;
    for id in ["a", "b", "c"] {
        acme.publish(json!({"id": id, "type": "key"})).await;
    }
    for id in ["a", "b", "c"] {
        acme.wait_for_status(id, "succeeded").await;
    }
}
