//! What happens when a receiver does not acknowledge: the schedule, what the receiver asks for, and what people do by hand.

use std::time::{Duration, SystemTime};

use serde_json::{Value, json};

use crate::harness::{Received, Receiver, Reply, Server, Setup, eventually, throughout};

/// What a busy machine may add to a delay.
const SLACK: Duration = Duration::from_millis(400);

fn waits(arrived: &[Received]) -> Vec<Duration> {
    arrived.windows(2).map(|pair| pair[1].at - pair[0].at).collect()
}

fn assert_between(waited: Duration, least: Duration) {
    // The schedule counts from the end of an attempt, the receiver from its beginning.
    assert!(
        waited + Duration::from_millis(20) >= least && waited < least + SLACK,
        "{waited:?} instead of {least:?}"
    );
}

#[tokio::test]
async fn a_failing_delivery_follows_the_schedule_and_ends_as_failed() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[0.2, 0.5, 1.0]").start().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(500).with("x-said", "no").body("kaputt: \u{fc}".as_bytes()));
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let event = acme.publish(json!({})).await;
    let pending = eventually("a second attempt is due", async || {
        Some(acme.delivery_of(&event).await).filter(|d| d["attempts"].as_array().unwrap().len() == 1)
    })
    .await;
    assert_eq!(pending["status"], "pending");
    assert!(pending["next_attempt_at"].is_string(), "{pending}");

    let arrived = receiver.wait_for(4).await;
    for (waited, step) in waits(&arrived).into_iter().zip([200, 500, 1_000]) {
        assert_between(waited, Duration::from_millis(step));
    }
    let delivery = acme.wait_for_status(&event, "failed").await;
    assert_eq!(
        (&delivery["reason"], &delivery["last_status_code"]),
        (&json!("schedule_exhausted"), &json!(500))
    );
    assert!(delivery["finished_at"].is_string() && delivery["next_attempt_at"].is_null(), "{delivery}");
    let attempts = delivery["attempts"].as_array().unwrap();
    assert_eq!(attempts.len(), 4);
    for (i, attempt) in attempts.iter().enumerate() {
        assert_eq!((&attempt["number"], &attempt["trigger"]), (&json!(i + 1), &json!("schedule")));
        assert_eq!((&attempt["status_code"], &attempt["error"]["kind"]), (&json!(500), &json!("status")));
        assert_eq!(
            (&attempt["response_body"], &attempt["response_headers"]["x-said"]),
            (&json!("kaputt: ü"), &json!("no"))
        );
    }
    throughout(Duration::from_millis(300), "nothing follows", async || receiver.count() == 4).await;
}

#[tokio::test]
async fn an_endpoints_own_schedule_replaces_the_default() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(500));
    let acme = server.tenant("acme").await;
    let none = acme
        .endpoint(
            json!({"url": receiver.url_of("/never"), "retry": {"schedule_s": []}, "event_types": ["never"]}),
        )
        .await;
    acme.endpoint(
        json!({"url": receiver.url_of("/once"), "retry": {"schedule_s": [1]}, "event_types": ["once"]}),
    )
    .await;
    let never = acme.publish(json!({"type": "never"})).await;
    let once = acme.publish(json!({"type": "once"})).await;
    acme.wait_for_status(&never, "failed").await;
    acme.wait_for_status(&once, "failed").await;
    assert_eq!(receiver.of(&never).len(), 1);
    let arrived = receiver.of(&once);
    assert_eq!(arrived.len(), 2);
    assert_between(waits(&arrived)[0], Duration::from_secs(1));
    assert_eq!(acme.read(&none).await["retry"], json!({"schedule_s": []}));
}

#[tokio::test]
async fn abuse_a45_retry_after_is_honoured_as_seconds_and_as_a_date_where_it_is_later_than_the_schedule() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let mut all = Vec::new();
    for name in ["seconds", "date", "short", "negative", "nonsense", "far"] {
        // Retry-After holds back the endpoint too: each case has its own.
        acme.endpoint(json!({"url": receiver.url_of(&format!("/{name}")), "event_types": [name]})).await;
        all.push(name);
    }
    receiver.script(|request| {
        if request.attempt() > 1 {
            return Reply::status(204);
        }
        // A date has whole seconds: two from now are at least one and at most two.
        let date = httpdate_of(SystemTime::now() + Duration::from_secs(2));
        let value = match request.path.as_str() {
            "/seconds" => "1",
            "/date" => &date,
            "/short" => "0",
            "/negative" => "-5",
            "/nonsense" => "soon",
            _ => "Fri, 31 Dec 9999 23:59:59 GMT",
        };
        Reply::status(503).with("retry-after", value)
    });
    for name in &all {
        acme.publish(json!({"type": name, "id": name})).await;
    }
    for (name, least, most) in [
        ("seconds", 1_000, 1_000),
        ("date", 1_000, 2_000),
        ("short", 200, 200),
        ("negative", 200, 200),
        ("nonsense", 200, 200),
    ] {
        acme.wait_for_status(name, "succeeded").await;
        let waited = waits(&receiver.of(name))[0];
        let (least, most) = (Duration::from_millis(least), Duration::from_millis(most));
        assert!(waited + Duration::from_millis(20) >= least && waited < most + SLACK, "{name}: {waited:?}");
    }
    let far = acme.delivery_of("far").await;
    let next = far["next_attempt_at"].as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let hours = (next.as_second() - jiff::Timestamp::now().as_second()) / 3_600;
    assert!((0..=24).contains(&hours), "a day at most: {far}");
    assert_eq!(receiver.of("far").len(), 1);
}

#[tokio::test]
async fn retry_after_holds_back_the_whole_endpoint_and_no_other() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    receiver.script(|r| match (r.path.as_str(), r.event(), r.attempt()) {
        ("/asks", "first", 1) => Reply::status(429).with("retry-after", "1"),
        _ => Reply::status(204),
    });
    let acme = server.tenant("acme").await;
    let asks = acme.endpoint(json!({"url": receiver.url_of("/asks")})).await;
    let other = acme.endpoint(json!({"url": receiver.url_of("/other")})).await;
    acme.publish(json!({"id": "first"})).await;
    eventually("it was asked to wait", async || {
        let log = acme.log(&format!("event=first&endpoint={}", asks.id)).await;
        (log[0]["attempts"] == json!(1)).then_some(())
    })
    .await;
    acme.publish(json!({"id": "second"})).await;
    acme.wait_for_status_at("second", &other, "succeeded").await;
    assert!(!receiver.of("second").iter().any(|r| r.path == "/asks"), "it was asked for a second of peace");
    acme.wait_for_status_at("second", &asks, "succeeded").await;
    acme.wait_for_status_at("first", &asks, "succeeded").await;
    let first = receiver.all().into_iter().find(|r| r.path == "/asks").unwrap();
    for later in receiver.all().iter().filter(|r| r.path == "/asks").skip(1) {
        assert_between(later.at - first.at, Duration::from_secs(1));
    }
}

fn httpdate_of(at: SystemTime) -> String {
    let at = jiff::Timestamp::try_from(at).unwrap();
    at.strftime("%a, %d %b %Y %H:%M:%S GMT").to_string()
}

#[tokio::test]
async fn gone_disables_the_endpoint_its_pending_work_fails_and_a_test_enables_it_again() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[5]").start().await;
    let receiver = Receiver::start().await;
    receiver.script(|r| Reply::status(if r.event() == "gone" { 410 } else { 500 }));
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    acme.publish(json!({"id": "waiting"})).await;
    eventually("the first one waits for its schedule", async || {
        (!acme.delivery_of("waiting").await["attempts"].as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    acme.publish(json!({"id": "gone"})).await;
    let disabled = acme.wait_for_state(&endpoint, "disabled").await;
    assert!(disabled["reason"].as_str().is_some_and(|why| !why.is_empty()), "{disabled}");
    for event in ["waiting", "gone"] {
        assert_eq!(acme.wait_for_status(event, "failed").await["reason"], "endpoint_disabled", "{event}");
    }
    acme.publish(json!({"id": "late"})).await;
    let late = acme.delivery_of("late").await;
    assert_eq!(
        (&late["status"], &late["reason"], &late["sequence"]),
        (&json!("skipped"), &json!("endpoint_disabled"), &json!(3))
    );

    let test = format!("{}/test", endpoint.path);
    acme.api.post(&test, &json!({"type": "t"})).await.ok(200);
    assert_eq!(acme.read(&endpoint).await["state"], "disabled", "a failed test enables nothing");
    receiver.answer(Reply::status(204));
    acme.api.post(&test, &json!({"type": "t"})).await.ok(200);
    acme.wait_for_state(&endpoint, "active").await;
    acme.publish(json!({"id": "again"})).await;
    acme.wait_for_status("again", "succeeded").await;
    // What failed or was skipped meanwhile can be had by hand.
    for event in ["gone", "late"] {
        retry(&acme, event).await;
        let delivery = acme.wait_for_status(event, "succeeded").await;
        assert_eq!(delivery["attempts"].as_array().unwrap().last().unwrap()["trigger"], "retry");
    }
}

async fn retry(acme: &crate::harness::Tenant, event: &str) {
    let id = acme.delivery_of(event).await["id"].as_str().unwrap().to_owned();
    acme.api.send("POST", &acme.path(&format!("deliveries/{id}/retry")), &[], b"").await.ok(202);
}

#[tokio::test]
async fn a_receiver_can_end_the_retries_of_one_delivery_or_disable_its_endpoint() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    receiver.script(|request| {
        let reply = Reply::status(500);
        match request.event() {
            "abort" => reply.with("Webhook-Delivery", "abort-message"),
            "disable" => reply.with("webhook-delivery", "disable"),
            _ => Reply::status(204),
        }
    });
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    acme.publish(json!({"id": "abort"})).await;
    assert_eq!(acme.wait_for_status("abort", "failed").await["reason"], "aborted_by_receiver");
    assert_eq!(acme.read(&endpoint).await["state"], "active");
    acme.publish(json!({"id": "fine"})).await;
    acme.wait_for_status("fine", "succeeded").await;
    acme.publish(json!({"id": "disable"})).await;
    acme.wait_for_state(&endpoint, "disabled").await;
    assert_eq!(acme.wait_for_status("disable", "failed").await["reason"], "endpoint_disabled");
    assert_eq!((receiver.of("abort").len(), receiver.of("disable").len()), (1, 1));
}

#[tokio::test]
async fn a_manual_retry_starts_a_new_run_of_the_same_delivery() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[0.1]").start().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(500));
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let event = acme.publish(json!({})).await;
    acme.wait_for_status(&event, "failed").await;
    retry(&acme, &event).await;
    eventually("the new run fails too", async || {
        let delivery = acme.delivery_of(&event).await;
        (delivery["status"] == "failed" && delivery["attempts"].as_array().unwrap().len() == 4).then_some(())
    })
    .await;
    receiver.answer(Reply::status(204));
    retry(&acme, &event).await;
    let delivery = acme.wait_for_status(&event, "succeeded").await;
    let shape = |a: &Value| {
        (a["run"].as_u64().unwrap(), a["number"].as_u64().unwrap(), a["trigger"].as_str().unwrap().to_owned())
    };
    let attempts: Vec<_> = delivery["attempts"].as_array().unwrap().iter().map(shape).collect();
    let expected =
        [(0, 1, "schedule"), (0, 2, "schedule"), (1, 3, "retry"), (1, 4, "schedule"), (2, 5, "retry")];
    assert_eq!(attempts, expected.map(|(run, number, trigger)| (run, number, trigger.to_owned())));
    for request in receiver.all() {
        request.verify(&endpoint.secret);
        assert_eq!((request.event(), request.sequence()), (event.as_str(), 1));
    }
    // One that succeeded can be sent again, and keeps when it first did.
    let first = delivery["first_succeeded_at"].clone();
    retry(&acme, &event).await;
    receiver.wait_for(6).await;
    assert_eq!(acme.wait_for_status(&event, "succeeded").await["first_succeeded_at"], first);
}

#[tokio::test]
async fn a_manual_retry_of_a_pending_delivery_brings_its_next_attempt_forward() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[600]").start().await;
    let receiver = Receiver::start().await;
    receiver.for_each_event(vec![Reply::status(500), Reply::status(204)]);
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let event = acme.publish(json!({})).await;
    eventually("the first attempt has failed", async || {
        (!acme.delivery_of(&event).await["attempts"].as_array().unwrap().is_empty()).then_some(())
    })
    .await;
    retry(&acme, &event).await;
    let delivery = acme.wait_for_status(&event, "succeeded").await;
    let runs: Vec<_> = delivery["attempts"].as_array().unwrap().iter().map(|a| a["run"].clone()).collect();
    assert_eq!(runs, [0, 0]);
}

#[tokio::test]
async fn a_pending_delivery_can_be_cancelled_by_hand_and_a_finished_one_cannot() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[600]").start().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(500));
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let event = acme.publish(json!({})).await;
    let id = eventually("the first attempt has failed", async || {
        let delivery = acme.delivery_of(&event).await;
        (!delivery["attempts"].as_array().unwrap().is_empty())
            .then(|| delivery["id"].as_str().unwrap().to_owned())
    })
    .await;
    let path = acme.path(&format!("deliveries/{id}/cancel"));
    acme.api.send("POST", &path, &[], b"").await.ok(204);
    let delivery = acme.wait_for_status(&event, "cancelled").await;
    assert_eq!(delivery["reason"], "requested");
    assert!(delivery["finished_at"].is_string(), "{delivery}");
    acme.api.send("POST", &path, &[], b"").await.problem(409);
    let unknown = acme.path("deliveries/dlv_0000000000000000000000000000/cancel");
    acme.api.send("POST", &unknown, &[], b"").await.problem(404);
    // Taken back, it goes out after all.
    receiver.answer(Reply::status(204));
    retry(&acme, &event).await;
    acme.wait_for_status(&event, "succeeded").await;
}
