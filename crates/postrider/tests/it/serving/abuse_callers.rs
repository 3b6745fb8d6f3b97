//! Callers who try what they should not: tokens by the thousand, others' hosts through our tests, the log against a partner.

use std::net::Ipv4Addr;

use serde_json::json;

use crate::harness::wire::Message;
use crate::harness::{Received, Receiver, Server};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a24_a_flood_of_wrong_tokens_is_slowed_and_right_ones_from_there_are_served() {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let right = acme.api.token(&json!({"tenant": "acme", "scopes": ["webhooks-read"]})).await;
    let path = acme.path("endpoints");
    let mut wrong = acme.api.with_token("wrong").connect().await.unwrap();
    let (mut told, mut slowed) = (0, 0);
    for _ in 0..1_000 {
        let answer = wrong.send("GET", &path, &[], b"").await.unwrap();
        match answer.status {
            401 => told += 1,
            429 => {
                slowed += 1;
                assert_eq!(answer.header("retry-after"), Some("1"));
                assert_eq!(answer.problem(429)["title"], "Too many requests");
            }
            other => panic!("{other}"),
        }
        if slowed == 500 {
            right.get(&path).await.ok(200);
        }
    }
    // Twenty, and five for each second that it took.
    assert!(told >= 20 && slowed >= 500, "{told} told, {slowed} slowed");
    acme.api.get("/v1/tenants").await.ok(200);
    // Others are not concerned, nor is who sends none.
    acme.api.with_token("wrong").from(Ipv4Addr::new(127, 0, 0, 9)).get(&path).await.problem(401);
    acme.api.with_token("").get(&path).await.problem(401);
    assert_eq!(acme.api.with_token("wrong").get("/healthz").await.status, 200);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a89_tests_cannot_be_made_a_weapon_against_a_host() {
    let server = Server::start().await;
    let (victim, other) = (Receiver::start().await, Receiver::start().await);
    let acme = server.tenant("acme").await;
    let test = async |endpoint: &str| {
        let answer =
            acme.api.post(&acme.path(&format!("endpoints/{endpoint}/test")), &json!({"type": "t"})).await;
        if answer.status == 429 {
            let wait: u64 = answer.header("retry-after").unwrap().parse().unwrap();
            assert!((1..=2).contains(&wait), "{wait}");
            assert!(answer.problem(429)["detail"].as_str().unwrap().contains("by hand"));
        } else {
            answer.ok(200);
        }
        answer.status
    };
    // Many endpoints at one host, also one that is moved there and back.
    for n in 0..20 {
        let spec = json!({"url": victim.url_of(&format!("/{n}"))});
        acme.api.json("PUT", &acme.path(&format!("endpoints/e-{n}")), &spec).await.ok(201);
    }
    for round in 0..5 {
        for n in 0..20 {
            test(&format!("e-{n}")).await;
        }
        let url = if round % 2 == 0 { other.url() } else { victim.url_of("/0") };
        acme.api.json("PATCH", &acme.path("endpoints/e-0"), &json!({"url": url})).await.ok(200);
    }
    let sent = victim.count() + other.count();
    assert!((10..=20).contains(&sent), "{sent} of a hundred");
    // Other tenants' tests elsewhere go on, and so do the deliveries.
    let calm = server.tenant("calm").await;
    let endpoint = calm.endpoint(json!({"url": Receiver::start().await.url()})).await;
    calm.api.post(&format!("{}/test", endpoint.path), &json!({"type": "t"})).await.ok(200);
    acme.publish(json!({"id": "delivered"})).await;
    victim.wait_for_event("delivered", 19).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a99_what_a_reader_of_the_log_can_see_does_not_pass_for_a_webhook() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme
        .endpoint(json!({"url": receiver.url(), "auth": {"type": "bearer", "token": "hidden"}, "headers": {"X-Key": "hidden"}}))
        .await;
    let event = acme.publish(json!({"data": {"amount": 42.50}})).await;
    let genuine = receiver.wait_for_event(&event, 1).await.remove(0);
    genuine.verify(&endpoint.secret);
    let id = acme.wait_for_status(&event, "succeeded").await["id"].as_str().unwrap().to_owned();

    // All that a read-only token can see of it.
    let scopes = ["webhook-events-read", "webhooks-read", "events-read"];
    let reader = acme.api.token(&json!({"tenant": "acme", "scopes": scopes})).await;
    let seen = reader.get(&acme.path(&format!("deliveries/{id}"))).await.ok(200);
    for path in [&endpoint.path, &acme.path("endpoints"), &acme.path("deliveries")] {
        let text = reader.get(path).await.text();
        assert!(!text.contains("whsec_") && !text.contains("Bearer"), "{text}");
    }
    reader.get(&format!("{}/secret", endpoint.path)).await.problem(403);
    reader.post(&format!("{}/secret/rotate", endpoint.path), &json!({})).await.problem(403);
    let shown = seen["attempts"][0]["request_headers"].as_object().unwrap();
    let mut headers: Vec<(String, String)> =
        shown.iter().map(|(name, value)| (name.clone(), value.as_str().unwrap().to_owned())).collect();
    assert_eq!(headers.iter().filter(|(_, value)| value.contains("***")).count(), 3, "{shown:?}");

    // Sent to the partner once more: body and headers as they are shown, with whatever stands for the signature.
    let body = genuine.message.body.clone();
    let forged = |headers: &[(String, String)]| Received {
        message: Message {
            first_line: "POST /hook HTTP/1.1".into(),
            headers: headers.to_vec(),
            body: body.clone(),
        },
        ..genuine.clone()
    };
    let passes = |headers: &[(String, String)]| forged(headers).is_signed_with(&endpoint.secret);
    assert!(passes(&genuine.message.headers), "what was sent would");
    assert!(!passes(&headers));
    for guess in ["v1,", "v1,AAAA", &seen["payload"].to_string()] {
        headers
            .iter_mut()
            .filter(|(name, _)| name == "webhook-signature")
            .for_each(|(_, value)| *value = guess.into());
        assert!(!passes(&headers), "{guess}");
    }
}
