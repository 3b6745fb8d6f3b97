//! Partners of each platform check what they are sent with code that is not ours: Python's `hmac` and Node's `crypto`.

mod clevercards;
mod fourpay;
mod mcards;
mod opencard;
mod penny;
mod receiver;

use std::path::Path;
use std::process::Command;

use aws_lc_rs::digest;
use data_encoding::HEXLOWER;
use serde_json::{Value, json};

use super::receivers::{Partner, packages};
use crate::harness::{Api, Server, Tenant, eventually};

/// The bytes of its text are the key, whatever they are.
const SECRET: &str = "hush é";
const USERNAME: &str = "partner";
const PASSWORD: &str = "pass-word-1";
/// With white space, an exponent, a doubled name and an escape, which tell whether bytes stay.
const DATA: &str = "{ \"total\" :\t42.50, \"total\": 1e2,\n \"note\": \"é\\u00e9\" }";

/// A platform, one of its event types, and how requests to its partners authenticate.
fn platforms() -> [(&'static str, &'static str, Value); 5] {
    let basic = || json!({"type": "basic", "username": USERNAME, "password": PASSWORD});
    [
        ("clevercards", "CARD_CREATED", basic()),
        ("penny", "transaction.authorized", json!({"type": "bearer", "token": PASSWORD})),
        ("fourpay", "card_state", json!({"type": "none"})),
        ("mcards", "location", basic()),
        ("opencard", "tpa.signed", basic()),
    ]
}

/// A tenant of a platform with an endpoint that deliveries may go to, and the endpoint's path.
async fn made_for(api: &Api, platform: &str, url: &str, secret: &str, auth: Value) -> (Tenant, String) {
    // mCards' event types are for partners with an integration that has them.
    let integrations = if platform == "mcards" { json!(["full_webhook_access"]) } else { json!([]) };
    let spec = json!({"profile": platform, "integrations": integrations});
    api.json("PUT", &format!("/v1/tenants/{platform}"), &spec).await.ok(201);
    let tenant = Tenant { api: api.clone(), id: platform.into() };
    let mut spec = json!({"url": url, "auth": auth});
    if platform != "penny" {
        spec["secret"] = json!(secret);
    }
    let made = api.post(&tenant.path("endpoints"), &spec).await.ok(201);
    let path = tenant.path(&format!("endpoints/{}", made["id"].as_str().unwrap()));
    eventually("the endpoint has proven whose it is, where it must", async || {
        (api.get(&path).await.ok(200)["verified"] == true).then_some(())
    })
    .await;
    (tenant, path)
}

/// Publishes data byte for byte.
async fn publish(tenant: &Tenant, event_type: &str) -> String {
    let text = format!(r#"{{"tenant":"{}","type":"{event_type}","data":{DATA}}}"#, tenant.id);
    tenant.api.publish_text(&text).await.ok(202)["id"].as_str().unwrap().to_owned()
}

fn digest_of(body: &str) -> String {
    HEXLOWER.encode(digest::digest(&digest::SHA256, body.as_bytes()).as_ref())
}

async fn accept_what_they_are_sent(command: impl Fn() -> Command) {
    let server = Server::start().await;
    let api = server.api();
    for (platform, event_type, auth) in platforms() {
        let environment =
            [("PLATFORM", platform), ("SECRET", SECRET), ("USERNAME", USERNAME), ("PASSWORD", PASSWORD)];
        let partner = Partner::start(command(), &environment, &std::env::temp_dir()).await;
        let url = format!("http://127.0.0.1:{}/hook", partner.port);
        let (tenant, path) = made_for(&api, platform, &url, SECRET, auth).await;
        if platform == "opencard" {
            assert_eq!(partner.line().await, "200 challenge");
        }
        let event = publish(&tenant, event_type).await;
        tenant.wait_for_status(&event, "succeeded").await;
        let line = partner.line().await;
        assert!(line.starts_with(&format!("200 {event} {event_type} 1 ")), "{platform}: {line}");
        if matches!(platform, "fourpay" | "opencard") {
            assert!(line.ends_with(&digest_of(DATA)), "{platform}: the data byte for byte: {line}");
        }

        // With another secret, or token, it does not: it does look at them. Nothing of the old one is left after a rotation.
        if platform == "penny" {
            api.json("PATCH", &path, &json!({"auth": {"token": "another"}})).await.ok(200);
        } else {
            let rotation = json!({"secret": "another", "overlap_s": 600});
            api.post(&format!("{path}/secret/rotate"), &rotation).await.ok(200);
        }
        publish(&tenant, event_type).await;
        let line = partner.line().await;
        let why = if platform == "penny" { "not the authorization token" } else { "not the signature" };
        assert!(line.starts_with(&format!("401 {why}")), "{platform}: {line}");
    }
}

/// A partner's program, whose secret stands in a file that the test writes.
async fn python(platform: &str, secret: &Path) -> Partner {
    let mut command = Command::new(packages().join(".venv/bin/python"));
    command.arg(program("partner.py"));
    with_secret_in(command, platform, secret).await
}

async fn with_secret_in(command: Command, platform: &str, secret: &Path) -> Partner {
    let file = secret.to_str().unwrap();
    let environment =
        [("PLATFORM", platform), ("SECRET_FILE", file), ("USERNAME", USERNAME), ("PASSWORD", PASSWORD)];
    Partner::start(command, &environment, &std::env::temp_dir()).await
}

/// Calls a platform's API with the headers that its partners send.
async fn call(
    api: &Api,
    headers: &[(&str, &str)],
    method: &str,
    path: &str,
    body: &Value,
    status: u16,
) -> Value {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let json = [("content-type", "application/json")];
    let headers: Vec<_> =
        headers.iter().copied().chain(json.into_iter().filter(|_| !body.is_empty())).collect();
    api.with_token("").send(method, path, &headers, body.as_bytes()).await.ok(status)
}

/// A delivery that the partner's program accepted.
async fn accepted(partner: &Partner, event: &str, event_type: &str) {
    let line = partner.line().await;
    assert!(line.starts_with(&format!("200 {event} {event_type} ")), "{line}");
}

fn program(name: &str) -> std::path::PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/it/serving/partners").join(name)
}

#[tokio::test]
async fn partners_of_each_platform_accept_what_they_are_sent_in_python() {
    let python = packages().join(".venv/bin/python");
    accept_what_they_are_sent(|| {
        let mut command = Command::new(&python);
        command.arg(program("partner.py"));
        command
    })
    .await;
}

#[tokio::test]
async fn partners_of_each_platform_accept_what_they_are_sent_in_node() {
    accept_what_they_are_sent(|| {
        let mut command = Command::new("node");
        command.arg(program("partner.mjs"));
        command
    })
    .await;
}
