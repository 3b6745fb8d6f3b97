//! 4pay's API as its merchants know it.

use serde_json::{Value, json};

use super::{body, header_text, hex_hmac};
use crate::fixture::{ADMIN, Answer, Kind, Server, eventually, receiver};

const CONFIG: &str = "/fourpay/api/v2/webhooks/config";
const EVENTS: &str = "/fourpay/api/v2/webhooks/events";
const SCOPES: [&str; 3] = ["webhooks-read", "webhooks-write", "webhook-events-read"];

struct Merchant {
    server: Server,
    token: String,
}

async fn merchant(surface: Option<&str>) -> Merchant {
    let surface = surface.map(|name| postrider_server::Surface::named(name).unwrap());
    let profiles = std::sync::Arc::new(postrider_profiles::built_in());
    let server = Server::start_as(Kind { profiles, surface, ..Kind::default() }).await;
    for tenant in ["m1", "m2"] {
        server.operator("PUT", &format!("/v1/tenants/{tenant}"), r#"{"profile":"fourpay"}"#, 201).await;
    }
    server.operator("PUT", "/v1/tenants/other", "{}", 201).await;
    let token = server.token("m1", &SCOPES).await;
    Merchant { server, token }
}

impl Merchant {
    async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.server.call_with("", method, path, body.to_owned(), &[("x-api-token", &self.token)]).await
    }

    async fn ok(&self, method: &str, path: &str, body: Value, status: u16) -> Value {
        let body = if body.is_null() { String::new() } else { body.to_string() };
        let answer = self.call(method, path, &body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", String::from_utf8_lossy(&answer.bytes));
        answer.json()
    }

    async fn publish(&self, event_type: &str, data: &str) {
        let event = format!(r#"{{"tenant":"m1","type":"{event_type}","data":{data}}}"#);
        self.server.operator("POST", "/v1/events", event, 202).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_merchant_sets_reads_and_removes_its_one_configuration() {
    let m = merchant(None).await;
    let none = m.ok("GET", CONFIG, Value::Null, 404).await;
    assert_eq!(none, json!({"detail": "the webhook configuration does not exist"}));
    m.ok("DELETE", CONFIG, Value::Null, 404).await;
    let (url, _told) = receiver(200).await;
    let set = m.ok("PUT", CONFIG, json!({"url": url, "colour": "blue"}), 200).await;
    let all = json!({"url": url, "secret_set": false, "event_types": null, "is_active": true});
    assert_eq!(set, all, "unknown fields are passed over");
    let some = json!({"url": url, "secret": "hush", "event_types": ["card_state"], "is_active": false});
    let set = m.ok("PUT", CONFIG, some, 200).await;
    assert_eq!(
        set,
        json!({"url": url, "secret_set": true, "event_types": ["card_state"], "is_active": false})
    );
    assert_eq!(m.ok("GET", CONFIG, Value::Null, 200).await, set);
    // What is absent goes to its default; the secret alone stays, until it is cleared.
    let set = m.ok("PUT", CONFIG, json!({"url": url}), 200).await;
    assert_eq!(
        (&set["secret_set"], &set["event_types"], &set["is_active"]),
        (&json!(true), &Value::Null, &json!(true))
    );
    let nulled = m.ok("PUT", CONFIG, json!({"url": url, "event_types": null}), 200).await;
    assert_eq!(nulled["event_types"], Value::Null);
    for clearing in [json!(null), json!("")] {
        m.ok("PUT", CONFIG, json!({"url": url, "secret": "hush"}), 200).await;
        let set = m.ok("PUT", CONFIG, json!({"url": url, "secret": clearing}), 200).await;
        assert_eq!(set["secret_set"], false);
    }
    m.ok("DELETE", CONFIG, Value::Null, 204).await;
    m.ok("GET", CONFIG, Value::Null, 404).await;
    let beside = m.server.operator("GET", "/v1/tenants/m1/endpoints", "", 200).await;
    assert_eq!(beside["data"], json!([]));
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a02_bad_configurations_are_refused_by_the_names_that_merchants_know() {
    let m = merchant(None).await;
    for (body, status, named) in [
        ("{}", 422, "url is missing"),
        (r#"{"url":7}"#, 422, "url must be a string"),
        (r#"{"url":"ftp://x.example"}"#, 422, "url "),
        (
            r#"{"url":"https://a.example","is_active":"yes","secret":1}"#,
            422,
            "is_active must be true or false",
        ),
        (r#"{"url":"https://a.example","event_types":["Not A Type"]}"#, 422, "event_types/0"),
        (
            r#"{"url":"https://a.example","event_types":["card_state","nonsense"]}"#,
            422,
            "event_types/1 is not a type",
        ),
        (
            r#"{"url":"https://a.example","event_types":"card_state"}"#,
            422,
            "event_types must be a list of strings",
        ),
        ("[]", 422, "must be"),
        ("{", 400, ""),
        (r#"{"url":"https://a.example","url":"https://b.example"}"#, 422, ""),
    ] {
        let answer = m.call("PUT", CONFIG, body).await;
        assert_eq!(answer.status, status, "{body}");
        let shown = answer.json();
        let detail = shown["detail"].as_str().unwrap();
        assert!(detail.contains(named), "{body}: {detail}");
        assert_eq!(shown.as_object().unwrap().len(), 1, "{shown}");
    }
    m.ok("GET", CONFIG, Value::Null, 404).await;
    assert_eq!(m.call("POST", CONFIG, "{}").await.status, 405);
    assert!(m.call("GET", "/fourpay/nothing", "").await.json()["detail"].is_string());
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a77_credentials_that_disagree_are_none_and_nobody_sees_another_merchant_s() {
    let m = merchant(None).await;
    let (url, _told) = receiver(200).await;
    m.ok("PUT", CONFIG, json!({"url": url}), 200).await;
    let with =
        async |headers: &[(&str, &str)]| m.server.call_with("", "GET", CONFIG, "", headers).await.status;
    let bearer = format!("Bearer {}", m.token);
    assert_eq!(with(&[("authorization", &bearer)]).await, 200);
    assert_eq!(with(&[("authorization", &bearer), ("x-api-token", &m.token)]).await, 200);
    assert_eq!(with(&[("authorization", &bearer), ("x-api-token", ADMIN)]).await, 401);
    assert_eq!(with(&[("authorization", "Basic abc"), ("x-api-token", &m.token)]).await, 401);
    assert_eq!(with(&[("cookie", "session=1")]).await, 401);
    assert_eq!(with(&[("x-api-token", "prt_wrong")]).await, 401);
    let refused = m.server.call_with("", "GET", CONFIG, "", &[]).await;
    assert_eq!((refused.status, refused.header("www-authenticate")), (401, "Bearer"));
    assert!(refused.json()["detail"].as_str().unwrap().contains("X-API-Token"));
    let second = m.server.token("m2", &SCOPES).await;
    assert_eq!(with(&[("x-api-token", &second)]).await, 404);
    let reading = m.server.token("m1", &["webhooks-read"]).await;
    let put = m.server.call(&reading, "PUT", CONFIG, json!({"url": url}).to_string()).await;
    assert_eq!(put.status, 403);
    assert_eq!(put.json(), json!({"detail": "the token lacks the scope webhooks-write"}));
    // Of another profile, or for more than one merchant.
    let other = m.server.token("other", &SCOPES).await;
    assert_eq!(with(&[("x-api-token", &other)]).await, 404);
    assert_eq!(with(&[("x-api-token", ADMIN)]).await, 403);
}

#[tokio::test(flavor = "multi_thread")]
async fn events_go_out_byte_for_byte_under_the_merchant_s_secret_and_are_listed() {
    let m = merchant(Some("fourpay")).await;
    let (url, mut told) = receiver(200).await;
    // Stands in for the platform: its API is at / too, and the native one beside it.
    m.ok("PUT", "/api/v2/webhooks/config", json!({"url": url, "secret": "hush"}), 200).await;
    let data = r#"{"id":"t-1",  "amount":"12.50","status":"é","n":1.0}"#;
    m.publish("card_transaction", data).await;
    let request = told.recv().await.unwrap();
    assert_eq!(body(&request), data);
    assert_eq!(header_text(&request, "x-webhook-signature"), hex_hmac("hush", data));
    assert_eq!(header_text(&request, "x-webhook-event"), "card_transaction");
    m.publish("card_state", r#"{"status":"active"}"#).await;
    told.recv().await.unwrap();
    let rows = eventually(|| async {
        let rows = m.ok("GET", "/api/v2/webhooks/events", Value::Null, 200).await;
        (rows[0]["delivery_status"] == "delivered" && rows[1]["delivery_status"] == "delivered")
            .then_some(rows)
    })
    .await;
    assert_eq!(rows.as_array().unwrap().len(), 2);
    assert_eq!(
        (&rows[0]["event_type"], &rows[0]["payload"], &rows[1]["event_type"]),
        (&json!("card_state"), &json!({"status": "active"}), &json!("card_transaction"))
    );
    assert_eq!((&rows[1]["delivery_attempts"], &rows[1]["delivery_response_code"]), (&json!(1), &json!(200)));
    assert_eq!(rows[1]["delivery_error"], Value::Null);
    let at = rows[1]["created_at"].as_str().unwrap();
    assert!(at.ends_with("+00:00") && at.len() == "2025-03-15T14:22:31+00:00".len(), "{at}");
    assert!(rows[1]["id"].is_string());
    assert_eq!(rows[1].as_object().unwrap().len(), 8);
    let page = m.ok("GET", &format!("{EVENTS}?limit=1&offset=1"), Value::Null, 200).await;
    assert_eq!(page, json!([rows[1]]));
    let typed =
        m.ok("GET", &format!("{EVENTS}?event_type=card_state&status=delivered"), Value::Null, 200).await;
    assert_eq!(typed, json!([rows[0]]));
    for bad in ["limit=0", "limit=201", "offset=-1", "offset=10001", "status=lost", "limit=1&limit=2"] {
        assert_eq!(m.call("GET", &format!("{EVENTS}?{bad}"), "").await.status, 422, "{bad}");
    }
    assert_eq!(
        m.call("GET", &format!("{EVENTS}?page=2"), "").await.status,
        200,
        "unknown ones are passed over"
    );
    // Whose an event is can be found from what it is about.
    m.server.operator("PUT", "/v1/subjects/card:1", r#"{"tenants":["m1"]}"#, 201).await;
    let about = r#"{"subject":"card:1","type":"card_state","data":{"n":1}}"#;
    m.server.operator("POST", "/v1/events", about, 202).await;
    assert_eq!(body(&told.recv().await.unwrap()), r#"{"n":1}"#);
    // Without a configuration nothing is forwarded; without a secret the platform's own key signs, which is made where none is set.
    m.ok("DELETE", CONFIG, Value::Null, 204).await;
    m.publish("card_state", r#"{"status":"closed"}"#).await;
    m.ok("PUT", CONFIG, json!({"url": url}), 200).await;
    m.publish("card_state", r#"{"status":"frozen"}"#).await;
    let request = told.recv().await.unwrap();
    assert_eq!(body(&request), r#"{"status":"frozen"}"#);
    assert_eq!(header_text(&request, "x-webhook-signature").len(), 64);
    m.ok("PUT", CONFIG, json!({"url": url, "is_active": false}), 200).await;
    let batch = vec![json!({"tenant": "m1", "type": "account_topup", "data": {}}); 51];
    m.server.operator("POST", "/v1/events", json!(batch).to_string(), 202).await;
    for (query, n) in [("", 50), ("&limit=200", 51), ("&offset=50", 1)] {
        let rows = m.ok("GET", &format!("{EVENTS}?event_type=account_topup{query}"), Value::Null, 200).await;
        assert_eq!(rows.as_array().unwrap().len(), n, "{query}");
        let shown = (&rows[0]["delivery_status"], &rows[0]["delivery_response_code"]);
        assert_eq!(shown, (&json!("pending"), &Value::Null));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_at_once_make_one_configuration_and_what_v1_made_beside_stays_out_of_it() {
    let m = merchant(None).await;
    let puts = (0..16).map(|n| m.ok("PUT", CONFIG, json!({"url": format!("https://a{n}.example/")}), 200));
    futures_util::future::join_all(puts).await;
    let all = m.server.operator("GET", "/v1/tenants/m1/endpoints", "", 200).await;
    assert_eq!(all["data"].as_array().unwrap().len(), 1);
    let beside = json!({"url": "https://beside.example/"});
    m.server.operator("PUT", "/v1/tenants/m1/endpoints/aaa", beside.to_string(), 201).await;
    let read = m.ok("GET", CONFIG, Value::Null, 200).await;
    assert_ne!(read["url"], "https://beside.example/");
    m.ok("PUT", CONFIG, json!({"url": "https://mine.example/"}), 200).await;
    let beside = m.server.operator("GET", "/v1/tenants/m1/endpoints/aaa", "", 200).await;
    assert_eq!(beside["url"], "https://beside.example/");
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a24_wrong_tokens_are_counted_in_whichever_header_they_come() {
    let m = merchant(None).await;
    let mut slowed = 0;
    for _ in 0..100 {
        let answer = m.server.call_with("", "GET", CONFIG, "", &[("x-api-token", "prt_wrong")]).await;
        slowed += u32::from(answer.status == 429);
    }
    assert!(slowed > 50, "{slowed}");
    m.ok("GET", CONFIG, Value::Null, 404).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_delivery_says_what_the_merchant_s_server_answered() {
    let m = merchant(None).await;
    let (url, mut told) = receiver(500).await;
    m.ok("PUT", CONFIG, json!({"url": url, "secret": "hush"}), 200).await;
    m.publish("account_topup", "{}").await;
    told.recv().await.unwrap();
    let row = eventually(|| async {
        let rows = m.ok("GET", EVENTS, Value::Null, 200).await;
        (rows[0]["delivery_status"] == "failed").then(|| rows[0].clone())
    })
    .await;
    assert_eq!(row["delivery_response_code"], 500);
    assert!(row["delivery_error"].as_str().unwrap().contains("500"), "{row}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a92_a_secret_goes_along_to_another_host_and_the_operator_is_told_of_credentials() {
    let m = merchant(None).await;
    let made =
        json!({"url": "https://a.example/hook", "auth": {"type": "bearer", "token": "hush"}, "secret": "s3"});
    m.server.operator("POST", "/v1/tenants/m1/endpoints", made.to_string(), 201).await;
    m.ok("PUT", CONFIG, json!({"url": "https://b.example/hook"}), 200).await;
    let read = m.server.operator("GET", "/v1/tenants/m1/endpoints", "", 200).await;
    assert_eq!(
        (&read["data"][0]["auth"]["token_set"], &read["data"][0]["secret_set"]),
        (&json!(true), &json!(true))
    );
    let moved = eventually(|| async {
        let events =
            m.server.operator("GET", "/v1/tenants/_operator/events?type=endpoint.moved", "", 200).await;
        events["data"].get(0).cloned()
    })
    .await;
    let id = moved["id"].as_str().unwrap();
    let event = m.server.operator("GET", &format!("/v1/tenants/_operator/events/{id}"), "", 200).await;
    assert_eq!(
        (&event["data"]["from_host"], &event["data"]["to_host"]),
        (&json!("a.example"), &json!("b.example"))
    );
}
