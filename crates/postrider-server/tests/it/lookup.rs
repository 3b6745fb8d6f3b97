//! Looking events and their deliveries up: what is told of them, and what they are found by.

use postrider_core::publication::Publication;
use postrider_core::time::Timestamp;
use serde_json::{Value, json};

use crate::fixture::Server;

#[tokio::test(flavor = "multi_thread")]
async fn an_event_owed_to_very_many_says_where_the_rest_of_its_deliveries_is() {
    const ENDPOINTS: usize = 1_005;
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/a", r#"{"quotas":{"endpoints":2000}}"#, 201).await;
    let endpoint = r#"{"url":"http://localhost:9999/x","enabled":false}"#;
    for _ in 0..ENDPOINTS {
        server.operator("POST", "/v1/tenants/a/endpoints", endpoint, 201).await;
    }
    server.operator("POST", "/v1/events", r#"{"tenant":"a","type":"t","id":"e","data":1}"#, 202).await;
    let event = server.operator("GET", "/v1/tenants/a/events/e", "", 200).await;
    let rows = event["deliveries"].as_array().unwrap();
    assert_eq!(rows.len(), 1_000);
    let rest = server.operator("GET", event["more"].as_str().unwrap(), "", 200).await;
    assert_eq!(rest["next_cursor"], Value::Null);
    let all = rows.iter().chain(rest["data"].as_array().unwrap());
    let endpoints: std::collections::BTreeSet<_> = all.map(|row| row["endpoint"].as_str().unwrap()).collect();
    assert_eq!(endpoints.len(), ENDPOINTS);
    let listed = server.operator("GET", "/v1/tenants/a/events", "", 200).await;
    assert_eq!(listed["data"][0]["deliveries"], ENDPOINTS);
}

#[tokio::test(flavor = "multi_thread")]
async fn what_an_event_is_about_and_when_it_ends_is_told_everywhere_and_found_by() {
    let server = Server::start().await;
    for tenant in ["a", "b"] {
        server.operator("PUT", &format!("/v1/tenants/{tenant}"), "{}", 201).await;
    }
    let endpoint = r#"{"url":"http://localhost:9999/x","enabled":false}"#;
    let endpoint = server.operator("POST", "/v1/tenants/a/endpoints", endpoint, 201).await;
    let end = "2100-01-02T03:04:05.678Z";
    let publication = |id: &str, subject: Option<&str>| Publication {
        tenant: server.engine().tenant_no("a").unwrap(),
        entitled: true,
        event_type: "t".into(),
        own_id: Some(id.into()),
        key: None,
        subject: subject.map(Into::into),
        expires_at: subject.and_then(|_| Timestamp::parse(end).ok()),
        attributes: bytes::Bytes::new(),
        occurred_at: None,
        data: bytes::Bytes::from_static(b"1"),
        idempotency: None,
        body: None,
        unfit: Vec::new(),
        judged: None,
    };
    let published =
        [("one", Some("card-1")), ("two", Some("card-2")), ("three", None), ("four", Some("card-1"))];
    let receipts = server.engine().publish(published.map(|(id, of)| publication(id, of)).into()).await;
    assert!(receipts.iter().all(Result::is_ok), "{receipts:?}");
    let ids = |page: &Value, name: &str| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|row| row[name].as_str().unwrap().to_owned()).collect()
    };
    let about = |row: &Value| (row.get("subject").cloned(), row.get("expires_at").cloned());
    for path in ["/v1/tenants/a/deliveries?", "/v1/deliveries?tenant=a&"] {
        let page = server.operator("GET", &format!("{path}subject=card-1"), "", 200).await;
        assert_eq!(ids(&page, "event"), ["four", "one"]);
        assert_eq!(about(&page["data"][0]), (Some(json!("card-1")), Some(json!(end))));
        let detail = format!("/v1/tenants/a/deliveries/{}", page["data"][0]["id"].as_str().unwrap());
        let detail = server.operator("GET", &detail, "", 200).await;
        assert_eq!(about(&detail), (Some(json!("card-1")), Some(json!(end))));
    }
    let page = server.operator("GET", "/v1/tenants/a/deliveries?event=three", "", 200).await;
    assert_eq!(about(&page["data"][0]), (None, None), "only where set");
    for (query, found) in [
        ("subject=card-1", &["four", "one"][..]),
        ("subject=card-1&limit=1", &["four"]),
        ("subject=card-2", &["two"]),
        ("subject=card-3", &[]),
        ("subject=card-1&id=one", &["one"]),
    ] {
        let page = server.operator("GET", &format!("/v1/tenants/a/events?{query}"), "", 200).await;
        assert_eq!(ids(&page, "id"), found, "{query}");
        let elsewhere = server.operator("GET", &format!("/v1/tenants/b/events?{query}"), "", 200).await;
        assert_eq!(elsewhere["data"], json!([]));
    }
    let event = server.operator("GET", "/v1/tenants/a/events/one", "", 200).await;
    assert_eq!(about(&event), (Some(json!("card-1")), Some(json!(end))));
    let feed = format!("/v1/tenants/a/endpoints/{}/feed", endpoint["id"].as_str().unwrap());
    let feed = server.operator("GET", &feed, "", 200).await;
    let subjects: Vec<_> =
        feed["data"].as_array().unwrap().iter().map(|e| e["event"].get("subject").cloned()).collect();
    assert_eq!(subjects, [Some(json!("card-1")), Some(json!("card-2")), None, Some(json!("card-1"))]);
}
