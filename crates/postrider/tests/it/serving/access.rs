//! Who may do what, what nobody gets to see, and what everybody may look at.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;

use serde_json::json;

use crate::harness::server::TOKEN;
use crate::harness::{Receiver, Reply, Server, eventually};

#[tokio::test]
async fn tenants_are_made_read_replaced_listed_and_removed() {
    let mut server = Server::start().await;
    let api = server.api();
    let spec = json!({"name": "Acme", "profile": "standard", "metadata": {"crm": "7"}});
    let made = api.json("PUT", "/v1/tenants/acme:shop-1", &spec).await.ok(201);
    assert_eq!(
        (&made["id"], &made["name"], &made["metadata"]),
        (&json!("acme:shop-1"), &json!("Acme"), &json!({"crm": "7"}))
    );
    assert_eq!(api.get("/v1/tenants/acme:shop-1").await.ok(200), made);
    let replaced = api.json("PUT", "/v1/tenants/acme:shop-1", &json!({"name": "New"})).await.ok(200);
    assert_eq!(
        (&replaced["name"], &replaced["metadata"], &replaced["created_at"]),
        (&json!("New"), &json!({}), &made["created_at"])
    );
    server.kill();
    server.start_again().await;
    let api = server.api();
    assert_eq!(api.get("/v1/tenants/acme:shop-1").await.ok(200), replaced);
    api.delete("/v1/tenants/acme:shop-1").await.ok(204);
    api.get("/v1/tenants/acme:shop-1").await.problem(404);
    api.delete("/v1/tenants/acme:shop-1").await.problem(404);
    // The operator's own tenant exists from the first start.
    api.get("/v1/tenants/_operator").await.ok(200);
}

#[tokio::test]
async fn abuse_a75_a_tenant_made_again_under_its_id_inherits_nothing() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url()})).await;
    let token = acme.api.token(&json!({"tenant": "acme", "scopes": ["webhooks-read", "events-write"]})).await;
    let event = acme.publish(json!({"id": "own"})).await;
    let delivery = acme.wait_for_status(&event, "succeeded").await;
    acme.api.delete("/v1/tenants/acme").await.ok(204);
    acme.publish_refused().await;
    let acme = server.tenant("acme").await;
    token.get("/v1/tenants/acme/endpoints").await.problem(401);
    acme.api.get(&endpoint.path).await.problem(404);
    acme.api.get(&acme.path(&format!("deliveries/{}", delivery["id"].as_str().unwrap()))).await.problem(404);
    assert!(acme.log("").await.is_empty());
    // The old event's id is free again: this is another event, not the first answer.
    let again = acme
        .api
        .post("/v1/events", &json!({"tenant": "acme", "type": "t", "id": "own", "data": "other"}))
        .await;
    assert_eq!(again.ok(202), json!({"id": "own", "deliveries": 0}));
}

#[tokio::test]
async fn abuse_a75_an_endpoint_made_again_under_its_id_is_another_one() {
    let server = Server::start().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(500));
    let acme = server.tenant("acme").await;
    let path = acme.path("endpoints/till");
    let spec = json!({"url": receiver.url(), "retry": {"schedule_s": [600]}});
    let put = async || acme.api.json("PUT", &path, &spec).await.ok(201);
    let secret = async || acme.api.get(&format!("{path}/secret")).await.ok(200);
    put().await;
    let first = secret().await;
    acme.publish(json!({"id": "old"})).await;
    receiver.wait_for(1).await;
    acme.api.delete(&path).await.ok(204);
    acme.api.get(&path).await.problem(404);
    let made = put().await;
    assert_eq!((&made["sequence"], &made["state"]), (&json!(0), &json!("active")));
    assert_ne!(secret().await, first);
    let old = acme.wait_for_status("old", "cancelled").await;
    assert_eq!(old["reason"], "endpoint_deleted");
    receiver.answer(Reply::status(204));
    acme.publish(json!({"id": "new"})).await;
    assert_eq!(acme.wait_for_status("new", "succeeded").await["sequence"], json!(1));
    // What the old one was owed cannot be had from the new one.
    let retry = acme.path(&format!("deliveries/{}/retry", old["id"].as_str().unwrap()));
    acme.api.send("POST", &retry, &[], b"").await.problem(409);
    assert_eq!(receiver.of("old").len(), 1);
}

impl crate::harness::Tenant {
    async fn publish_refused(&self) {
        let event = json!({"tenant": self.id, "type": "t", "data": 1});
        self.api.publish_text(&event.to_string()).await.problem(404);
    }
}

#[tokio::test]
async fn abuse_a73_a74_tokens_that_would_be_more_than_they_may_be_cannot_be_made() {
    let server = Server::start().await;
    let api = server.api();
    for (pointer, token) in [
        ("/scopes", json!({"tenant": "acme", "scopes": ["admin"]})),
        ("/tenant", json!({"tenant": "ac*", "scopes": ["events-write"]})),
        ("/tenant", json!({"tenant": "*", "scopes": ["events-write"]})),
        ("/tenant", json!({"tenant": "..", "scopes": ["events-write"]})),
        ("/scopes", json!({"tenant": "acme", "scopes": []})),
        ("/scopes/0", json!({"tenant": "acme", "scopes": ["everything"]})),
        ("/expires_at", json!({"tenant": "acme", "scopes": ["events-write"], "expires_at": "tomorrow"})),
        ("/expires_at", json!({"scopes": ["events-write"], "expires_at": "2020-01-01T00:00:00Z"})),
    ] {
        assert_eq!(
            api.post("/v1/tokens", &token).await.pointers().into_iter().collect::<Vec<_>>(),
            [pointer],
            "{token}"
        );
    }
}

#[tokio::test]
async fn abuse_a76_a_revoked_token_is_refused_on_a_connection_that_is_open() {
    let mut server = Server::start().await;
    let api = server.api();
    let made = api.post("/v1/tokens", &json!({"scopes": ["admin"]})).await.ok(201);
    let mut connection = api.with_token(made["token"].as_str().unwrap()).connect().await.unwrap();
    assert_eq!(connection.send("GET", "/v1/tenants", &[], b"").await.unwrap().status, 200);
    api.delete(&format!("/v1/tokens/{}", made["id"].as_str().unwrap())).await.ok(204);
    assert_eq!(connection.send("GET", "/v1/tenants", &[], b"").await.unwrap().status, 401);
    server.stop().await;
    server.start_again().await;
    server.api().with_token(made["token"].as_str().unwrap()).get("/v1/tenants").await.problem(401);
}

#[tokio::test]
async fn a_token_expires_at_its_time() {
    let server = Server::start().await;
    let at = jiff::Timestamp::now() + jiff::SignedDuration::from_secs(1);
    let short = server.api().token(&json!({"scopes": ["admin"], "expires_at": at.to_string()})).await;
    short.get("/v1/tenants").await.ok(200);
    eventually("the token has expired", async || {
        (short.get("/v1/tenants").await.status == 401).then_some(())
    })
    .await;
    assert!(jiff::Timestamp::now() >= at);
}

#[tokio::test]
async fn abuse_a53_planted_secrets_come_back_nowhere_and_stand_in_no_log() {
    let server = crate::harness::Setup::default().set("LOG", "debug").start().await;
    let receiver = Receiver::start().await;
    receiver.for_each_event(vec![Reply::status(500), Reply::status(204)]);
    let acme = server.tenant("acme").await;
    let secret = "whsec_cGxhbnRlZC1wbGFudGVkLXBsYW50ZWQtcGxhbnRlZA==";
    let endpoint = acme
        .endpoint(json!({
            "url": receiver.url(), "secret": secret, "auth": {"type": "bearer", "token": "planted-token"},
            "headers": {"X-Key": "hidden-header"}
        }))
        .await;
    let token =
        acme.api.post("/v1/tokens", &json!({"tenant": "acme", "scopes": ["webhooks-read"]})).await.ok(201);
    let event = acme.publish(json!({"data": {"name": "planted-payload"}})).await;
    acme.wait_for_status(&event, "succeeded").await;
    // A header of the owner's own is no secret to whoever may read the endpoint; the log is for more eyes.
    for text in [acme.delivery_of(&event).await.to_string(), server.log()] {
        assert!(!text.contains("hidden-header"), "{text}");
    }
    let texts = [
        acme.api.get("/v1/tokens").await.text(),
        acme.api.get(&endpoint.path).await.text(),
        acme.api.get(&acme.path("endpoints")).await.text(),
        acme.api.json("PATCH", &endpoint.path, &json!({"name": "n", "auth": {"token": ""}})).await.text(),
        acme.api
            .json(
                "PATCH",
                &endpoint.path,
                &json!({"secret": "whsec_planted", "headers": {"X-Key": "planted\n"}}),
            )
            .await
            .text(),
        acme.delivery_of(&event).await.to_string().replace("planted-payload", ""),
        server.log(),
    ];
    for text in &texts {
        for planted in ["planted", "cGxhbnRlZC", token["token"].as_str().unwrap(), TOKEN] {
            assert!(!text.contains(planted), "{planted} in {text}");
        }
    }
}

#[tokio::test]
async fn without_a_configured_token_the_first_start_makes_one_in_a_file_that_only_its_owner_reads() {
    let mut server = crate::harness::Setup::default().without("ADMIN_TOKEN").start().await;
    let file = server.database().with_extension("db.admin-token");
    let token = std::fs::read_to_string(&file).unwrap().trim().to_owned();
    assert!(token.len() >= 32);
    assert_eq!(std::fs::metadata(&file).unwrap().permissions().mode() & 0o777, 0o600);
    assert!(!server.log().contains(&token), "it is shown to a terminal alone");
    server.api().with_token(&token).get("/v1/tenants").await.ok(200);
    server.api().with_token("").get("/v1/tenants").await.problem(401);
    let database = std::fs::metadata(server.database()).unwrap().permissions().mode() & 0o777;
    assert_eq!(database, 0o600);
    server.stop().await;
    server.start_again().await;
    server.api().with_token(&token).get("/v1/tenants").await.ok(200);
    assert!(server.log().contains("POSTRIDER_ADMIN_TOKEN replaces one that is lost"), "{}", server.log());
    assert_eq!(std::fs::read_to_string(&file).unwrap().trim(), token, "the file stays as it is");
}

#[tokio::test]
async fn health_readiness_and_the_openapi_document_are_open_to_all() {
    let server = Server::start().await;
    let nobody = server.api().with_token("");
    assert_eq!(nobody.get("/healthz").await.ok(200)["ok"], true);
    let ready = nobody.get("/readyz").await.ok(200);
    assert_eq!(ready["ok"], true, "{ready}");
    assert!(ready["checks"].as_array().unwrap().iter().all(|check| check["ok"] == true), "{ready}");
    let document = nobody.get("/openapi.json").await.ok(200);
    assert!(document["openapi"].as_str().unwrap().starts_with("3.1"), "{}", document["openapi"]);
    let operations: BTreeMap<_, _> = document["paths"].as_object().unwrap().iter().collect();
    for path in [
        "/v1/events",
        "/v1/tenants/{tenant}/endpoints/{id}",
        "/v1/tenants/{tenant}/deliveries/{id}/retry",
        "/v1/tokens",
    ] {
        assert!(operations.contains_key(&path.to_owned()), "{path}");
    }
    // Figures are the operator's.
    nobody.get("/metrics").await.problem(401);
    let figures = server.api().get("/metrics").await;
    assert_eq!(figures.status, 200);
    assert!(figures.text().lines().any(|line| line.starts_with("postrider_")), "{}", figures.text());
}
