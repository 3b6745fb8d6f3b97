//! A partner of mCards, by its text alone: signs its calls, registers one type each, checks them in Python, pauses, rotates, leaves.

use aws_lc_rs::hmac;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::{PASSWORD, SECRET, USERNAME, accepted, publish, python};
use crate::harness::{Server, Tenant};

const WEBHOOKS: &str = "/mcards/webhooks";

#[tokio::test]
async fn a_partner_of_mcards_lives_by_the_text_of_its_platform() {
    let server = Server::start().await;
    let api = server.api();
    let spec = json!({"profile": "mcards", "integrations": ["card_distribution"]});
    api.json("PUT", "/v1/tenants/loyal", &spec).await.ok(201);
    let tenant = Tenant { api: api.clone(), id: "loyal".into() };
    let scopes = ["webhooks-read", "webhooks-write"];
    let made =
        api.post("/v1/tokens", &json!({"kind": "hmac", "tenant": "loyal", "scopes": scopes})).await.ok(201);
    let (key, api_secret) = (made["key"].as_str().unwrap(), made["secret"].as_str().unwrap());
    let bare = api.with_token("");
    let call = async |method: &str, path: &str, body: &Value, status: u16| {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let signed = if body.is_empty() { "null" } else { &body };
        let tag = hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, api_secret.as_bytes()), signed.as_bytes());
        let proof = format!("HMAC_256 {key};{}", HEXLOWER.encode(tag.as_ref()));
        let headers = [("authorization", &*proof), ("content-type", "application/json")];
        bare.send(method, path, &headers, body.as_bytes()).await.ok(status)
    };
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    std::fs::write(&secret, SECRET).unwrap();
    let partner = python("mcards", &secret).await;
    let url = format!("http://127.0.0.1:{}/hook", partner.port);

    let registration = |event_type: &str| {
        json!({
            "webhook_url": url, "webhook_name": "Loyalty", "webhook_event_type": event_type, "status": "active",
            "basic_auth_username": USERNAME, "basic_auth_secret": PASSWORD, "hmac_secret": SECRET, "colour": "unknown",
        })
    };
    // Payments are for payment gateways.
    call("POST", WEBHOOKS, &registration("payment"), 403).await;
    let mut paths = Vec::new();
    for event_type in ["transaction", "location", "claimed_offer"] {
        let made = call("POST", WEBHOOKS, &registration(event_type), 201).await;
        paths.push(format!("{WEBHOOKS}/{}", made["webhook_uuid"].as_str().unwrap()));
        let event = publish(&tenant, event_type).await;
        accepted(&partner, &event, event_type).await;
    }

    // A payment gateway of the same platform has the general payment event instead.
    let gateway = json!({"profile": "mcards", "integrations": ["card_distribution", "payment_gateway"]});
    api.json("PUT", "/v1/tenants/loyal", &gateway).await.ok(200);
    let made = call("POST", WEBHOOKS, &registration("payment"), 201).await;
    paths.push(format!("{WEBHOOKS}/{}", made["webhook_uuid"].as_str().unwrap()));
    let event = publish(&tenant, "payment").await;
    accepted(&partner, &event, "payment").await;

    // Neither user name nor secrets are repeated, and stay. What comes while it is inactive is skipped.
    call("PATCH", &paths[1], &json!({"status": "inactive"}), 200).await;
    let skipped = publish(&tenant, "location").await;
    tenant.wait_for_status(&skipped, "skipped").await;
    call("PATCH", &paths[1], &json!({"status": "active"}), 200).await;
    let event = publish(&tenant, "location").await;
    accepted(&partner, &event, "location").await;

    // Another secret, from now on.
    std::fs::write(&secret, "another").unwrap();
    call("PATCH", &paths[1], &json!({"hmac_secret": "another"}), 200).await;
    let event = publish(&tenant, "location").await;
    accepted(&partner, &event, "location").await;

    for path in &paths {
        call("DELETE", path, &Value::Null, 204).await;
    }
    assert_eq!(call("GET", WEBHOOKS, &Value::Null, 200).await, json!([]));
}
