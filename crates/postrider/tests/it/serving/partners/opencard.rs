//! A partner of OpenCard, by its text alone, in Node: gets a token, registers with a made secret, passes the challenge, checks each
//! type of event, reads the log, pauses, rotates, leaves.

use std::process::Command;

use serde_json::{Value, json};

use super::{PASSWORD, USERNAME, accepted, call, program, publish, with_secret_in};
use crate::harness::{Server, Tenant, eventually};

const WEBHOOKS: &str = "/opencard/accounts/acc/organizations/org/webhooks";

#[tokio::test]
async fn a_partner_of_opencard_lives_by_the_text_of_its_platform() {
    let server = Server::start().await;
    let api = server.api();
    api.json("PUT", "/v1/tenants/acc:org", &json!({"profile": "opencard"})).await.ok(201);
    let tenant = Tenant { api: api.clone(), id: "acc:org".into() };
    let scopes = ["webhooks-read", "webhooks-write", "webhook-events-read"];
    let client =
        api.post("/v1/tokens", &json!({"kind": "client", "tenant": "acc:*", "scopes": scopes})).await.ok(201);
    let form = format!(
        "grant_type=client_credentials&client_id={}&client_secret={}&scope=*",
        client["client_id"].as_str().unwrap(),
        client["client_secret"].as_str().unwrap()
    );
    let form_type = [("content-type", "application/x-www-form-urlencoded")];
    let told =
        api.with_token("").send("POST", "/opencard/oauth/token", &form_type, form.as_bytes()).await.ok(200);
    let token = format!("Bearer {}", told["access_token"].as_str().unwrap());
    let headers = [("authorization", token.as_str())];
    let home = tempfile::tempdir().unwrap();
    let secret = home.path().join("secret");
    let mut node = Command::new("node");
    node.arg(program("partner.mjs"));
    let partner = with_secret_in(node, "opencard", &secret).await;
    let url = format!("http://127.0.0.1:{}/hook", partner.port);

    let flags = [
        ("card_transaction_authorized", "card.transaction.authorized"),
        ("card_transaction_cleared", "card.transaction.cleared"),
        ("card_transaction_deleted", "card.transaction.deleted"),
        ("card_transaction_invoiced", "card.transaction.invoiced"),
        ("card_holder_created", "card_holder.created"),
        ("card_holder_identified", "card_holder.identified"),
        ("card_holder_signed_pdpc", "card_holder.signed.pdpc"),
        ("card_holder_deleted", "card_holder.deleted"),
        ("receipt_fetched", "receipt.fetched"),
        ("transaction_true_vat", "transaction.true.vat"),
        ("transaction_line_items", "transaction.line.items"),
        ("card_holder_email_delivered", "card_holder.email.delivered"),
        ("card_holder_email_failed", "card_holder.email.failed"),
        ("aland_index", "environmental.impact.aland_index"),
        ("deedster", "environmental.impact.deedster"),
        ("tpa_signed", "tpa.signed"),
    ];
    let mut spec = json!({
        "url": url, "colour": "unknown fields are passed over", "authentication_type": "basic",
        "basic_username": USERNAME, "basic_password": PASSWORD,
    });
    for (flag, _) in flags {
        spec[flag] = json!(true);
    }
    let made = call(&api, &headers, "POST", WEBHOOKS, &spec, 201).await;
    assert_eq!((made["secret"].as_str().unwrap().len(), &made["active"]), (60, &json!(false)));
    std::fs::write(&secret, made["secret"].as_str().unwrap()).unwrap();
    let path = format!("{WEBHOOKS}/{}", made["id"]);
    eventually("it is active", async || {
        let read = call(&api, &headers, "GET", &path, &Value::Null, 200).await;
        (read["active"] == true).then_some(())
    })
    .await;
    // Those that came before it knew the secret it could not answer.
    eventually("it answered a challenge", async || (partner.line().await == "200 challenge").then_some(()))
        .await;
    for (_, event_type) in flags {
        let event = publish(&tenant, event_type).await;
        accepted(&partner, &event, event_type).await;
    }
    let log = eventually("the log has them all", async || {
        let log = call(&api, &headers, "GET", &format!("{path}/events?per_page=50"), &Value::Null, 200).await;
        (log["total"] == json!(flags.len())).then_some(log)
    })
    .await;
    assert_eq!((&log["data"][0]["event"], &log["data"][0]["status"]), (&json!("tpa.signed"), &json!(200)));

    // It repeats no secret; what comes while it is off is skipped.
    call(&api, &headers, "PATCH", &path, &json!({"enabled": false}), 200).await;
    let skipped = publish(&tenant, "tpa.signed").await;
    tenant.wait_for_status(&skipped, "skipped").await;
    call(&api, &headers, "PATCH", &path, &json!({"enabled": true, "secret": "another"}), 200).await;
    std::fs::write(&secret, "another").unwrap();
    let event = publish(&tenant, "tpa.signed").await;
    accepted(&partner, &event, "tpa.signed").await;
    let all = api.get(&tenant.path("endpoints")).await.ok(200);
    assert_eq!(all["data"][0]["verified"], true, "as /v1 has it");

    call(&api, &headers, "DELETE", &path, &Value::Null, 204).await;
    call(&api, &headers, "GET", &path, &Value::Null, 404).await;
}
