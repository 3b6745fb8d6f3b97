//! Rotating a signing secret: for a while the old one signs beside the new one, and then no more.

use serde_json::json;

use crate::harness::{Receiver, Server, eventually};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn old_secrets_sign_beside_the_new_one_until_their_time_is_over() {
    let mut server = Server::start().await;
    let receiver = Receiver::start().await;
    let mut acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let rotate = format!("{}/secret/rotate", endpoint.path);
    let mut secrets = vec![endpoint.secret.clone()];
    // The newest first, and how many of the older ones sign with it.
    for (overlap_s, signing) in [(3_600, 2), (2, 3), (3_600, 4), (3_600, 4), (3_600, 4)] {
        let rotated = acme.api.post(&rotate, &json!({"overlap_s": overlap_s})).await.ok(200);
        secrets.insert(0, rotated["secret"].as_str().unwrap().to_owned());
        let event = acme.publish(json!({})).await;
        let arrived = &receiver.wait_for_event(&event, 1).await[0];
        assert_eq!(arrived.header("webhook-signature").split(' ').count(), signing);
        for (age, secret) in secrets.iter().enumerate() {
            assert_eq!(
                arrived.is_signed_with(secret),
                age < signing,
                "{age} rotations ago of {}",
                secrets.len()
            );
        }
        // A log that shows it tells no signature.
        let delivery = acme.wait_for_status(&event, "succeeded").await;
        assert_eq!(delivery["attempts"][0]["request_headers"]["webhook-signature"], "v1,***");
    }
    // What is changed otherwise changes nothing of it, nor does a restart.
    acme.api.json("PUT", &endpoint.path, &json!({"url": receiver.url()})).await.ok(200);
    acme.patch(&endpoint, json!({"name": "till"})).await;
    server.stop().await;
    server.start_again().await;
    acme = acme.at(server.api());
    let event = acme.publish(json!({})).await;
    let arrived = &receiver.wait_for_event(&event, 1).await[0];
    assert!(secrets[..4].iter().all(|secret| arrived.is_signed_with(secret)));

    // One whose time is over while nothing happens signs no more; without overlap it ends at once.
    acme.api.post(&rotate, &json!({"overlap_s": 1})).await.ok(200);
    let before = secrets[0].clone();
    eventually("the overlap is over", async || {
        let event = acme.publish(json!({})).await;
        let arrived = receiver.wait_for_event(&event, 1).await.remove(0);
        (!arrived.is_signed_with(&before)).then_some(())
    })
    .await;
    let last = acme.api.post(&rotate, &json!({"overlap_s": 0})).await.ok(200);
    let event = acme.publish(json!({})).await;
    let arrived = &receiver.wait_for_event(&event, 1).await[0];
    assert_eq!(arrived.header("webhook-signature").split(' ').count(), 1);
    arrived.verify(last["secret"].as_str().unwrap());
    let shown = acme.api.get(&format!("{}/secret", endpoint.path)).await.ok(200);
    assert_eq!(shown, last);
}
