//! A partner of Penny, by its text alone: gets a token, registers, names events later, checks them in Python, looks one up, leaves.

use serde_json::{Value, json};

use super::{PASSWORD, accepted, call, publish, python};
use crate::harness::{Server, Tenant, eventually};

#[tokio::test]
async fn a_partner_of_penny_lives_by_the_text_of_its_platform() {
    let server = Server::start().await;
    let api = server.api();
    api.json("PUT", "/v1/tenants/shop", &json!({"profile": "penny"})).await.ok(201);
    let tenant = Tenant { api: api.clone(), id: "shop".into() };
    let scopes = ["webhooks-read", "webhooks-write", "webhook-events-read", "events-read"];
    let client =
        api.post("/v1/tokens", &json!({"kind": "client", "tenant": "shop", "scopes": scopes})).await.ok(201);
    let ask = json!({
        "grant_type": "client_credentials", "client_id": client["client_id"], "client_secret": client["client_secret"],
    });
    let told = call(&api, &[], "POST", "/penny/v1/oauth/token", &ask, 200).await;
    let token = format!("Bearer {}", told["data"]["access_token"].as_str().unwrap());
    let headers = [("authorization", token.as_str())];
    let home = tempfile::tempdir().unwrap();
    let partner = python("penny", &home.path().join("none")).await;
    let url = format!("http://127.0.0.1:{}/hook", partner.port);

    // Without events it gets none; they are named later.
    let spec =
        json!({"url": url, "authorization_token": PASSWORD, "colour": "unknown fields are passed over"});
    let made = call(&api, &headers, "POST", "/penny/v1/webhooks", &spec, 201).await;
    let path = format!("/penny/v1/webhooks/{}", made["webhook_id"].as_str().unwrap());
    publish(&tenant, "transaction.authorized").await;
    let types = [
        "transaction.authorized",
        "transaction.declined",
        "transaction.cleared",
        "transaction.reversed",
        "card.created",
        "card.updated",
    ];
    call(&api, &headers, "PATCH", &path, &json!({"events": types}), 200).await;
    let mut last = String::new();
    for event_type in types {
        last = publish(&tenant, event_type).await;
        accepted(&partner, &last, event_type).await;
    }
    let found = eventually("the event is told as delivered", async || {
        let found = call(&api, &headers, "GET", &format!("/penny/v1/events/{last}"), &Value::Null, 200).await;
        (!found["deliveries"][0].is_null()).then_some(found)
    })
    .await;
    assert_eq!((&found["event_id"], &found["event_identifier"]), (&json!(last), &json!("card.updated")));

    // Another authorization token, which the partner does not take.
    call(&api, &headers, "PUT", &path, &json!({"url": url, "authorization_token": "another"}), 200).await;
    publish(&tenant, "card.created").await;
    let line = partner.line().await;
    assert!(line.starts_with("401 not the authorization token"), "{line}");
    call(&api, &headers, "PATCH", &path, &json!({"authorization_token": PASSWORD}), 200).await;
    // Its own token is not repeated, and stays.
    call(&api, &headers, "PATCH", &path, &json!({"events": ["card.created"]}), 200).await;
    let all = api.get(&tenant.path("endpoints")).await.ok(200);
    assert_eq!(all["data"][0]["event_types"], json!(["card.created"]), "as /v1 has it");

    call(&api, &headers, "DELETE", &path, &Value::Null, 204).await;
    call(&api, &headers, "GET", &path, &Value::Null, 404).await;
}
