//! Receivers that misbehave, seen from everybody else: nothing is lost, nothing grows, nobody waits.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::harness::{Receiver, Reply, Server, Setup, Tenant};

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a41_a_body_of_ten_gibibytes_is_cut_and_memory_stays_flat() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    acme.publish(json!({"id": "first"})).await;
    acme.wait_for_status("first", "succeeded").await;
    let before = server.resident();
    let head = b"HTTP/1.1 500 no\r\ncontent-type: text/plain\r\ncontent-length: 10737418240\r\n\r\n".to_vec();
    receiver.answer(Reply::Raw { first: head, then: vec![b'x'; 64 << 10], times: (10 << 30) / (64 << 10) });
    for n in 0..5 {
        acme.publish(json!({"id": format!("large-{n}")})).await;
    }
    for n in 0..5 {
        let delivery = acme.wait_for_status(&format!("large-{n}"), "failed").await;
        let attempt = &delivery["attempts"][0];
        assert_eq!(
            (&attempt["status_code"], &attempt["response_body"]),
            (&json!(500), &json!("x".repeat(4_096)))
        );
    }
    // What lies in the buffers of sockets was sent too, and no more.
    assert!(receiver.written() < 5 * (16 << 20), "{} bytes were taken", receiver.written());
    let endless = b"HTTP/1.1 200 ok\r\n".to_vec();
    receiver.answer(Reply::Raw {
        first: endless,
        then: b"x-more: and more and more\r\n".repeat(1_000),
        times: 100_000,
    });
    acme.publish(json!({"id": "headers"})).await;
    let delivery = acme.wait_for_status("headers", "failed").await;
    assert!(delivery["attempts"][0]["error"]["kind"].is_string(), "{delivery}");
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 16 * MIB, "memory grew by {grown} bytes");
}

#[tokio::test]
async fn abuse_a46_answers_with_escapes_nuls_and_no_text_at_all_are_shown_harmlessly() {
    let server = Setup::default().set("RETRY_SCHEDULE_S", "[]").start().await;
    let receiver = Receiver::start().await;
    receiver.answer(
        Reply::status(500)
            .with("x-odd", "a\u{fc}")
            .body(b"\x1b[2J\x1b]0;owned\x07 \x00 \xff\xfe <script> \xc3\xbc"),
    );
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url()})).await;
    let event = acme.publish(json!({})).await;
    let delivery = acme.wait_for_status(&event, "failed").await;
    assert_eq!(
        delivery["attempts"][0]["response_body"],
        "\u{1b}[2J\u{1b}]0;owned\u{7} \0 \u{fffd}\u{fffd} <script> ü"
    );
    let answer = acme.api.get(&acme.path(&format!("deliveries/{}", delivery["id"].as_str().unwrap()))).await;
    assert!(!answer.message.body.iter().any(|byte| byte.is_ascii_control()), "{}", answer.text());
    assert_eq!(answer.header("content-type"), Some("application/json"));
    // On a terminal, too.
    let shown = crate::program::Program::new(&[
        "deliveries",
        "show",
        "--tenant",
        "acme",
        delivery["id"].as_str().unwrap(),
    ])
    .env("POSTRIDER_URL", &format!("http://{}", server.address()))
    .env("POSTRIDER_TOKEN", crate::harness::server::TOKEN)
    .run()
    .await;
    assert_eq!(shown.code, 0, "{shown:?}");
    assert!(!shown.out.contains('\u{1b}') && !shown.out.contains('\0'), "{shown:?}");
    assert!(!server.log().contains("\u{1b}[2J"));
}

/// How long events took from before their publication to their arrival, sorted.
async fn latencies(tenant: &Tenant, receiver: &Receiver, count: usize) -> Vec<Duration> {
    let mut connection = tenant.api.connect().await.unwrap();
    let mut taken = Vec::new();
    for _ in 0..count {
        let begun = Instant::now();
        let event = json!({"tenant": tenant.id, "type": "t", "data": 1});
        let accepted = connection.publish(&event).await.unwrap().ok(202);
        let arrived = receiver.wait_for_event(accepted["id"].as_str().unwrap(), 1).await;
        taken.push(arrived[0].at - begun);
    }
    taken.sort_unstable();
    taken
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a40_a47_a_thousand_hanging_endpoints_harm_nobody_elses_latency_and_stay_bounded() {
    const HANGING: usize = 1_000;
    let server = Server::start().await;
    let (hanging, healthy) = (Receiver::start().await, Receiver::start().await);
    hanging.answer(Reply::Hang);
    let good = server.tenant("good").await;
    good.endpoint(json!({"url": healthy.url()})).await;
    let alone = latencies(&good, &healthy, 100).await;

    let bad = server.tenant("bad").await;
    let mut connection = bad.api.connect().await.unwrap();
    for n in 0..HANGING {
        let spec = json!({"url": hanging.url_of(&format!("/{n}")), "timeout_ms": 60_000}).to_string();
        let media = [("content-type", "application/json")];
        connection.send("POST", &bad.path("endpoints"), &media, spec.as_bytes()).await.unwrap().ok(201);
    }
    // Each has more waiting than it can have under way.
    for _ in 0..4 {
        let accepted =
            bad.api.post("/v1/events", &json!({"tenant": "bad", "type": "t", "data": 1})).await.ok(202);
        assert_eq!(accepted["deliveries"], HANGING);
    }
    hanging.wait_for(500).await;
    let beside = latencies(&good, &healthy, 100).await;
    let (middle, last) = (alone.len() / 2, alone.len() - 1);
    eprintln!(
        "median {:?} alone, {:?} beside {HANGING} hanging ones; longest {:?} and {:?}",
        alone[middle], beside[middle], alone[last], beside[last]
    );
    assert!(
        beside[middle] <= alone[middle] * 2 + Duration::from_millis(5),
        "{:?} after {:?}",
        beside[middle],
        alone[middle]
    );
    assert!(beside[last] < alone[last] + Duration::from_millis(500), "{:?}", beside[last]);
    assert!(hanging.connections() <= 2_048, "{} connections", hanging.connections());
    assert!(server.resident() < 256 * MIB, "{} bytes", server.resident());
    server.api().get("/readyz").await.ok(200);
}
