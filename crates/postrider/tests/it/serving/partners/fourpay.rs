//! A merchant of 4pay, by its text alone: sets its webhook, checks each kind of event in Python, reads the log, pauses, leaves.

use std::process::Command;

use serde_json::{Value, json};

use super::{SECRET, packages, program, publish};
use crate::harness::{Server, Tenant, eventually};
use crate::serving::receivers::Partner;

const CONFIG: &str = "/fourpay/api/v2/webhooks/config";
const EVENTS: &str = "/fourpay/api/v2/webhooks/events";

#[tokio::test]
async fn a_merchant_of_4pay_lives_by_the_text_of_its_platform() {
    let server = Server::start().await;
    let api = server.api();
    api.json("PUT", "/v1/tenants/m1", &json!({"profile": "fourpay"})).await.ok(201);
    let tenant = Tenant { api: api.clone(), id: "m1".into() };
    let scopes = ["webhooks-read", "webhooks-write", "webhook-events-read"];
    let made = api.post("/v1/tokens", &json!({"tenant": "m1", "scopes": scopes})).await.ok(201);
    let token = made["token"].as_str().unwrap();
    let bare = api.with_token("");
    let call = async |method: &str, path: &str, body: &str, status: u16| {
        let headers = [("x-api-token", token), ("content-type", "application/json")];
        bare.send(method, path, &headers, body.as_bytes()).await.ok(status)
    };
    let mut command = Command::new(packages().join(".venv/bin/python"));
    command.arg(program("partner.py"));
    let environment = [("PLATFORM", "fourpay"), ("SECRET", SECRET), ("USERNAME", ""), ("PASSWORD", "")];
    let partner = Partner::start(command, &environment, &std::env::temp_dir()).await;
    let url = format!("http://127.0.0.1:{}/webhooks/incoming", partner.port);

    call("GET", CONFIG, "", 404).await;
    let spec = json!({"url": url, "secret": SECRET, "colour": "unknown fields are passed over"});
    let set = call("PUT", CONFIG, &spec.to_string(), 200).await;
    assert_eq!(set, json!({"url": url, "secret_set": true, "event_types": null, "is_active": true}));
    let types = ["card_transaction", "account_transaction", "account_topup", "card_state"];
    for (nth, event_type) in (1..).zip(types) {
        let event = publish(&tenant, event_type).await;
        let line = partner.line().await;
        assert!(line.starts_with(&format!("200 {event} {event_type} {nth} ")), "{line}");
    }
    let log = eventually("the log has them all", async || {
        let log = call("GET", &format!("{EVENTS}?status=delivered&limit=50"), "", 200).await;
        (log.as_array().unwrap().len() == types.len()).then_some(log)
    })
    .await;
    let logged: Vec<&Value> = log.as_array().unwrap().iter().map(|row| &row["event_type"]).rev().collect();
    assert_eq!(logged, types, "newest first");
    assert!(log[0]["payload"].is_object() && log[0]["delivery_response_code"] == 200, "{log}");

    // The secret is not repeated, and stays; what comes while it is paused is kept.
    let paused = json!({"url": url, "is_active": false});
    let set = call("PUT", CONFIG, &paused.to_string(), 200).await;
    assert_eq!((&set["secret_set"], &set["is_active"]), (&json!(true), &json!(false)));
    let kept = publish(&tenant, "card_state").await;
    let log = call("GET", &format!("{EVENTS}?status=pending"), "", 200).await;
    assert_eq!((log.as_array().unwrap().len(), &log[0]["delivery_attempts"]), (1, &json!(0)), "{log}");
    call("PUT", CONFIG, &json!({"url": url}).to_string(), 200).await;
    let line = partner.line().await;
    assert!(line.starts_with(&format!("200 {kept} card_state 5 ")), "{line}");

    let headers = [("x-api-token", token)];
    assert_eq!(bare.send("DELETE", CONFIG, &headers, b"").await.status, 204);
    call("GET", CONFIG, "", 404).await;
}
