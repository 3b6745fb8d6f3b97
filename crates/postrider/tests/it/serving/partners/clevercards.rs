//! A partner of CleverCards, by its text alone: logs in, registers for several types, checks each in Python, pauses, rotates, leaves.

use serde_json::{Value, json};

use super::{PASSWORD, USERNAME, accepted, call, publish, python};
use crate::harness::{Server, Tenant};

const WEBHOOKS: &str = "/clevercards/webhooks";

#[tokio::test]
async fn a_partner_of_clevercards_lives_by_the_text_of_its_platform() {
    let server = Server::start().await;
    let api = server.api();
    api.json("PUT", "/v1/tenants/cc:one", &json!({"profile": "clevercards"})).await.ok(201);
    let tenant = Tenant { api: api.clone(), id: "cc:one".into() };
    let scopes = ["webhooks-read", "webhooks-write"];
    let login =
        api.post("/v1/tokens", &json!({"kind": "login", "tenant": "cc:*", "scopes": scopes})).await.ok(201);
    let api_key = login["api_key"].as_str().unwrap();
    let who = json!({"username": login["username"], "password": login["password"]});
    let session = call(&api, &[("x-api-key", api_key)], "POST", "/clevercards/login", &who, 200).await;
    let token = session["accessToken"].as_str().unwrap();
    let headers = [("authorization", token), ("x-api-key", api_key), ("companyaccountid", "one")];
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    let partner = python("clevercards", &secret).await;
    let url = format!("http://127.0.0.1:{}/hook", partner.port);

    let known = call(&api, &headers, "GET", &format!("{WEBHOOKS}/events"), &Value::Null, 200).await;
    let types: Vec<String> = known
        .as_array()
        .unwrap()
        .iter()
        .map(|kind| kind["eventType"].as_str().unwrap_or_else(|| kind.as_str().unwrap()).to_owned())
        .collect();
    assert!(types.len() >= 11, "{known}");
    let spec = json!({
        "url": url, "eventTypes": types, "colour": "unknown fields are passed over",
        "securityScheme": {"type": "BASIC", "username": USERNAME, "password": PASSWORD},
    });
    let made = call(&api, &headers, "POST", WEBHOOKS, &spec, 201).await;
    std::fs::write(&secret, made["signingSecret"].as_str().unwrap()).unwrap();
    for event_type in &types {
        let event = publish(&tenant, event_type).await;
        accepted(&partner, &event, event_type).await;
    }

    // It repeats no secret; what comes while it is paused is kept.
    let path = format!("{WEBHOOKS}/{}", made["id"].as_str().unwrap());
    let mut put = call(&api, &headers, "GET", &path, &Value::Null, 200).await;
    put["active"] = json!(false);
    call(&api, &headers, "PUT", &path, &put, 200).await;
    let kept = publish(&tenant, &types[0]).await;
    put["active"] = json!(true);
    call(&api, &headers, "PUT", &path, &put, 200).await;
    accepted(&partner, &kept, &types[0]).await;

    // A change made here is there in /v1, and the reverse: its operator rotates the secret.
    let all = api.get(&tenant.path("endpoints")).await.ok(200);
    let endpoint = tenant.path(&format!("endpoints/{}", all["data"][0]["id"].as_str().unwrap()));
    let rotated = api.post(&format!("{endpoint}/secret/rotate"), &json!({})).await.ok(200);
    std::fs::write(&secret, rotated["secret"].as_str().unwrap()).unwrap();
    let event = publish(&tenant, &types[1]).await;
    accepted(&partner, &event, &types[1]).await;

    call(&api, &headers, "DELETE", &path, &Value::Null, 204).await;
    assert_eq!(call(&api, &headers, "GET", WEBHOOKS, &Value::Null, 200).await, json!([]));
}
