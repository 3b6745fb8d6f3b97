//! Event types that not every tenant may have.

use serde_json::{Value, json};

use crate::harness::{Receiver, Server, Tenant};

async fn integrations(acme: &Tenant, names: &[&str]) {
    let spec = json!({"name": "Acme", "integrations": names});
    let put = acme.api.json("PUT", "/v1/tenants/acme", &spec).await.ok(200);
    assert_eq!(put["integrations"], json!(names));
}

async fn register(acme: &Tenant, name: &str, integrations: &[&str]) {
    let spec = json!({ "integrations": integrations });
    acme.api.json("PUT", &format!("/v1/event-types/{name}"), &spec).await.ok(201);
}

/// A server with types that are for card distributors, for payment gateways, for both, and for all.
async fn start() -> (Server, Receiver, Tenant) {
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    register(&acme, "location", &["card_distribution"]).await;
    register(&acme, "payment.hold", &["payment_gateway", "full_access"]).await;
    register(&acme, "transaction", &["card_distribution", "payment_gateway"]).await;
    register(&acme, "news", &[]).await;
    (server, Receiver::start().await, acme)
}

#[tokio::test]
async fn a_tenant_subscribes_to_the_union_of_what_its_integrations_allow() {
    let (_server, receiver, acme) = start().await;
    let subscribe = async |types: &[&str]| {
        let spec = json!({"url": receiver.url(), "event_types": types});
        acme.api.post(&acme.path("endpoints"), &spec).await
    };
    let all = ["location", "payment.hold", "transaction", "news", "not.registered"];
    for (names, refused) in [
        (&[][..], vec!["/event_types/0", "/event_types/1", "/event_types/2"]),
        (&["card_distribution"], vec!["/event_types/1"]),
        (&["payment_gateway"], vec!["/event_types/0"]),
        (&["full_access", "other"], vec!["/event_types/0", "/event_types/2"]),
        (&["card_distribution", "full_access"], vec![]),
    ] {
        integrations(&acme, names).await;
        let answer = subscribe(&all).await;
        if refused.is_empty() {
            answer.ok(201);
        } else {
            assert_eq!(answer.pointers().into_iter().collect::<Vec<_>>(), refused, "{names:?}");
            assert!(answer.text().contains("have the operator add the integration"), "{}", answer.text());
        }
    }
    integrations(&acme, &[]).await;
    subscribe(&["*", "payment.*", "news"]).await.ok(201);
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "event_types": ["news"]})).await;
    let refused = acme.api.json("PATCH", &endpoint.path, &json!({"event_types": ["news", "location"]})).await;
    assert_eq!(refused.pointers().into_iter().collect::<Vec<_>>(), ["/event_types/1"]);
    let test = acme.api.post(&format!("{}/test", endpoint.path), &json!({"type": "location"})).await;
    assert_eq!(test.pointers().into_iter().collect::<Vec<_>>(), ["/type"]);
}

#[tokio::test]
async fn what_is_withdrawn_later_is_skipped_where_it_is_named_and_wildcards_cover_what_is_allowed() {
    let (mut server, receiver, acme) = start().await;
    integrations(&acme, &["card_distribution"]).await;
    let named = acme.endpoint(json!({"url": receiver.url_of("/named"), "event_types": ["location"]})).await;
    let wild = acme.endpoint(json!({"url": receiver.url_of("/wild")})).await;
    let before = acme.publish(json!({"type": "location"})).await;
    for endpoint in [&named, &wild] {
        acme.wait_for_status_at(&before, endpoint, "succeeded").await;
    }
    integrations(&acme, &["payment_gateway"]).await;
    server.stop().await;
    server.start_again().await;
    let acme = acme.at(server.api());
    let after = acme.publish(json!({"type": "location"})).await;
    let log = acme.log(&format!("event={after}")).await;
    let told: Vec<_> = log.iter().map(|row| (&row["endpoint"], &row["status"], &row["reason"])).collect();
    assert_eq!(told, [(&json!(named.id), &json!("skipped"), &json!("not_entitled"))]);
    let allowed = acme.publish(json!({"type": "payment.hold"})).await;
    acme.wait_for_status_at(&allowed, &wild, "succeeded").await;
    // Asked in advance it is told, too.
    let asked = acme.api.post(&acme.path("endpoints/match"), &json!({"type": "location"})).await.ok(200);
    for row in asked["data"].as_array().unwrap() {
        let reason = row["reason"].as_str().unwrap();
        if row["endpoint"] == named.id {
            assert!(row["matches"] == true && reason.ends_with("skipped: not_entitled"), "{reason}");
        } else {
            assert!(row["matches"] == false && reason.contains("no integration"), "{reason}");
        }
    }
    // Everything else of the endpoint can be changed, and what was skipped is had when it is allowed again.
    acme.patch(&named, json!({"name": "renamed"})).await;
    integrations(&acme, &["card_distribution"]).await;
    let skipped = log[0]["id"].as_str().unwrap();
    acme.api.post(&acme.path(&format!("deliveries/{skipped}/retry")), &Value::Null).await.ok(202);
    acme.wait_for_status_at(&after, &named, "succeeded").await;
    assert_eq!(receiver.of(&after).len(), 1);
}
