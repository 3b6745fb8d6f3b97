//! Penny's webhooks.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use super::host;
use super::partners::{body, header, moved, receiver, server};
use crate::fixture::{ADMIN, Answer, Server, eventually};

/// Where nothing is delivered to.
const ELSEWHERE: &str = "http://127.0.0.1:9999/hook";
const PENDING: &str = "transaction.authorization.pending";

/// A partner with an access token, at a server where the surface is found under `mount`.
struct Partner {
    server: Server,
    mount: &'static str,
    token: String,
}

impl Partner {
    async fn at(mount: &'static str) -> Self {
        let server = server(mount.is_empty().then_some("penny")).await;
        server.operator("PUT", "/v1/tenants/shop", r#"{"profile":"penny"}"#, 201).await;
        let client = client_of(&server, "shop").await;
        let body = asking(&client).to_string();
        let answer = server.call("", "POST", &format!("{mount}/v1/oauth/token"), body).await;
        assert_eq!((answer.status, answer.header("cache-control")), (200, "no-store"), "{}", answer.json());
        let data = &answer.json()["data"];
        assert_eq!((&data["token_type"], &data["expires_in"]), (&json!("Bearer"), &json!(86_400)));
        let token = data["access_token"].as_str().unwrap().to_owned();
        Self { server, mount, token }
    }

    async fn call(&self, method: &str, path: &str, body: &str) -> Answer {
        self.server.call(&self.token, method, &format!("{}/v1{path}", self.mount), body.to_owned()).await
    }

    async fn made(&self, body: &Value) -> (String, Value) {
        let made = self.call("POST", "/webhooks", &body.to_string()).await;
        assert_eq!(made.status, 201, "{}", made.json());
        (format!("/webhooks/{}", made.json()["id"].as_str().unwrap()), made.json())
    }

    async fn endpoint(&self) -> Value {
        let all = self.server.operator("GET", "/v1/tenants/shop/endpoints", "", 200).await;
        all["data"][0].clone()
    }

    async fn publish(&self, event: &Value) {
        self.server.operator("POST", "/v1/events", event.to_string(), 202).await;
    }
}

async fn client_of(server: &Server, tenant: &str) -> Value {
    let scopes = ["webhooks-read", "webhooks-write", "webhook-events-read"];
    let body = json!({"kind": "client", "tenant": tenant, "scopes": scopes});
    server.operator("POST", "/v1/tokens", body.to_string(), 201).await
}

fn asking(client: &Value) -> Value {
    json!({
        "grant_type": "client_credentials", "client_id": client["client_id"], "client_secret": client["client_secret"],
    })
}

fn fields(answer: &Answer) -> Vec<String> {
    let errors = answer.json()["errors"].as_array().cloned().unwrap();
    errors.iter().map(|error| error["field"].as_str().unwrap().to_owned()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_is_made_gets_events_and_is_removed_at_either_mount() {
    for mount in ["/penny", ""] {
        let partner = Partner::at(mount).await;
        let (path, made) = partner.made(&json!({"url": ELSEWHERE, "unknown": [1]})).await;
        let id = made["id"].as_str().unwrap();
        assert_eq!((id.len(), &id[14..15]), (36, "7"), "{id}");
        let expected = json!({
            "id": id, "webhook_id": id, "url": ELSEWHERE, "events": [], "trigger_event_identifier": null,
            "wallet_id": null, "created_at": made["created_at"], "updated_at": made["updated_at"],
        });
        assert_eq!(made, expected);
        assert_eq!(partner.call("GET", &path, "").await.json(), expected);
        let listed = json!({"data": [expected], "page": 1, "per_page": 100, "total": 1});
        assert_eq!(partner.call("GET", "/webhooks", "").await.json(), listed);
        for (method, events) in [
            ("PATCH", json!(["transaction.authorized", "card.created"])),
            ("PUT", json!(["transaction.authorized"])),
            ("PATCH", json!(["*"])),
            ("PATCH", json!([])),
            ("PUT", json!(["card.*"])),
            ("PUT", Value::Null),
        ] {
            let answer = partner.call(method, &path, &json!({ "events": events }).to_string()).await;
            let shown = if events.is_null() { json!([]) } else { events };
            assert_eq!((answer.status, &answer.json()["events"]), (200, &shown), "{}", answer.json());
            assert_eq!(answer.json()["url"], ELSEWHERE);
            assert_eq!(partner.endpoint().await["event_types"], shown);
        }
        let removed = partner.call("DELETE", &path, "").await;
        assert_eq!((removed.status, removed.bytes.len()), (204, 0));
        for (method, body) in [("GET", ""), ("PUT", "{}"), ("PATCH", "{}"), ("DELETE", "")] {
            let gone = partner.call(method, &path, body).await;
            assert_eq!(gone.status, 404, "{method}");
            assert_eq!(gone.json(), json!({"message": "the webhook does not exist", "errors": []}));
        }
        let document = partner.server.call("", "GET", "/penny/openapi.json", "").await;
        assert!(document.json()["paths"]["/v1/events/{event_id}"]["get"].is_object(), "{mount}");
        // Beside it, `/v1` is what it was.
        partner.server.operator("GET", "/v1/tenants", "", 200).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn whatever_is_wrong_is_told_by_the_names_that_partners_know() {
    let partner = Partner::at("/penny").await;
    for (body, status, told) in [
        ("{", 400, vec![]),
        ("[]", 422, vec![""]),
        ("{}", 422, vec!["url"]),
        (r#"{"url":""}"#, 422, vec!["url"]),
        (
            r#"{"url":1,"events":"x","authorization_token":1,"wallet_id":1}"#,
            422,
            vec!["url", "events", "authorization_token", "wallet_id"],
        ),
        (r#"{"url":"ftp://x/"}"#, 422, vec!["url"]),
        (r#"{"url":"U","events":["transaction.authorised","card.created"]}"#, 422, vec!["events/0"]),
        (r#"{"url":"U","events":["card.created","no such"]}"#, 422, vec!["events/1"]),
        (r#"{"url":"U","events":["transaction.authorization.pending"]}"#, 422, vec!["events/0"]),
        (r#"{"url":"U","trigger_event_identifier":"card.created"}"#, 422, vec!["trigger_event_identifier"]),
        (r#"{"url":"U","authorization_token":"a\nb"}"#, 422, vec!["authorization_token"]),
    ] {
        let body = body.replace("\"U\"", &format!("{ELSEWHERE:?}"));
        let answer = partner.call("POST", "/webhooks", &body).await;
        assert_eq!(
            (answer.status, fields(&answer)),
            (status, told.iter().map(|&f| f.into()).collect()),
            "{body}: {}",
            answer.json()
        );
        assert!(answer.json()["message"].as_str().unwrap().len() > 5);
        assert_eq!(answer.header("content-type"), "application/json");
    }
    let answer = partner.call("GET", "/webhooks?page=0", "").await;
    assert_eq!((answer.status, fields(&answer)), (422, vec!["page".into()]));
    assert_eq!(partner.call("GET", "/webhooks?colour=red", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn access_tokens_are_for_clients_with_their_secret() {
    let server = server(None).await;
    server.operator("PUT", "/v1/tenants/shop", r#"{"profile":"penny"}"#, 201).await;
    let client = client_of(&server, "shop").await;
    let with = |field: &str, value: Value| {
        let mut body = asking(&client);
        body[field] = value;
        body
    };
    for (body, status, told) in [
        (asking(&client), 200, vec![]),
        (with("client_secret", json!("wrong")), 401, vec![]),
        (with("client_id", json!("tok_nobody")), 401, vec![]),
        (with("grant_type", json!("password")), 422, vec!["grant_type"]),
        (with("client_secret", json!(5)), 422, vec!["client_secret"]),
        (json!({}), 422, vec!["grant_type", "client_id", "client_secret"]),
    ] {
        let answer = server.call("", "POST", "/penny/v1/oauth/token", body.to_string()).await;
        assert_eq!(answer.status, status, "{}", answer.json());
        if status != 200 {
            assert_eq!(fields(&answer), told);
        }
    }
    // The client's secret is no token itself, and with the client its access tokens end.
    let body = asking(&client).to_string();
    let answer = server.call("", "POST", "/penny/v1/oauth/token", body).await.json();
    let token = answer["data"]["access_token"].as_str().unwrap();
    let secret = client["client_secret"].as_str().unwrap();
    for (credential, status) in [(token, 200), (secret, 401), ("x", 401), ("", 401)] {
        assert_eq!(
            server.call(credential, "GET", "/penny/v1/webhooks", "").await.status,
            status,
            "{credential}"
        );
    }
    server.operator("DELETE", &format!("/v1/tokens/{}", client["id"].as_str().unwrap()), "", 204).await;
    assert_eq!(server.call(token, "GET", "/penny/v1/webhooks", "").await.status, 401);
}

#[tokio::test(flavor = "multi_thread")]
async fn guessed_client_secrets_are_slowed_down() {
    let server = server(None).await;
    let body =
        json!({"grant_type": "client_credentials", "client_id": "a", "client_secret": "b"}).to_string();
    let mut statuses = Vec::new();
    for _ in 0..200 {
        statuses.push(server.call("", "POST", "/penny/v1/oauth/token", body.clone()).await.status);
        if statuses.last() == Some(&429) {
            return;
        }
    }
    panic!("never slowed down: {statuses:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_another_tenants_is_not_there() {
    let partner = Partner::at("/penny").await;
    let server = &partner.server;
    let (path, _) = partner.made(&json!({"url": ELSEWHERE})).await;
    partner.publish(&json!({"tenant": "shop", "type": "card.created", "id": "e1", "data": {}})).await;
    server.operator("PUT", "/v1/tenants/other", r#"{"profile":"penny"}"#, 201).await;
    server.operator("PUT", "/v1/tenants/plain", "{}", 201).await;
    let scopes = ["webhooks-read", "webhooks-write", "webhook-events-read"];
    let other = server.token("other", &scopes).await;
    let path = format!("/penny/v1{path}");
    for (method, body) in [("GET", ""), ("PUT", "{}"), ("PATCH", "{}"), ("DELETE", "")] {
        assert_eq!(server.call(&other, method, &path, body).await.status, 404, "{method}");
    }
    assert_eq!(server.call(&other, "GET", "/penny/v1/events/e1", "").await.status, 404);
    assert_eq!(server.call(&other, "GET", "/penny/v1/webhooks", "").await.json()["total"], 0);
    let plain = server.token("plain", &scopes).await;
    assert_eq!(server.call(&plain, "GET", "/penny/v1/webhooks", "").await.status, 404);
    let reader = server.token("shop", &["webhooks-read"]).await;
    for (method, path, body) in [
        ("POST", "/penny/v1/webhooks", "{}"),
        ("PATCH", &*path, "{}"),
        ("DELETE", &path, ""),
        ("GET", "/penny/v1/events/e1", ""),
    ] {
        let answer = server.call(&reader, method, path, body).await;
        assert_eq!((answer.status, fields(&answer)), (403, vec![]), "{method}");
    }
    assert_eq!(server.call(ADMIN, "GET", "/penny/v1/webhooks", "").await.status, 403);
    assert_eq!(partner.call("GET", "/events/e1", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a77_two_credentials_that_disagree_are_refused() {
    let partner = Partner::at("/penny").await;
    let token = &partner.token;
    let mut answers = Vec::new();
    for lines in [
        format!("Authorization: Bearer {token}\r\nAuthorization: Bearer x\r\n"),
        format!("Authorization: Bearer {token}\r\nAuthorization: Bearer {token}\r\n"),
        format!("Cookie: session={token}\r\n"),
        format!("Authorization: {token}\r\n"),
        format!("Authorization: Bearer {token}\r\nCookie: session=x\r\nOrigin: https://evil.example\r\n"),
    ] {
        let mut stream = TcpStream::connect(partner.server.address).await.unwrap();
        let head = format!("GET /penny/v1/webhooks HTTP/1.1\r\nHost: a\r\nConnection: close\r\n{lines}\r\n");
        stream.write_all(head.as_bytes()).await.unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).await.unwrap();
        assert!(!answer.to_ascii_lowercase().contains("access-control"), "{answer}");
        answers.push(answer[9..12].to_owned());
    }
    assert_eq!(answers, ["401", "401", "401", "401", "200"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_delivery_is_what_partners_of_penny_check_and_its_event_is_looked_up() {
    let partner = Partner::at("/penny").await;
    let (url, mut told) = receiver().await;
    let wanted = json!({"url": url, "events": ["transaction.authorized"], "authorization_token": "hush"});
    let (path, made) = partner.made(&wanted).await;
    assert!(!made.to_string().contains("hush"));
    let event =
        r#"{"tenant":"shop","type":"transaction.authorized","id":"evt-1","data":{"amount":42.50, "x":null}}"#;
    partner.server.operator("POST", "/v1/events", event, 202).await;
    let request = told.recv().await.unwrap();
    assert!(request.starts_with("POST /hook HTTP/1.1\r\n"), "{request}");
    let sent = r#"{"event_id":"evt-1","event_identifier":"transaction.authorized","data":{"amount":42.50, "x":null}}"#;
    assert_eq!(body(&request), sent);
    for (name, value) in [
        ("content-type", "application/json"),
        ("authorization", "Bearer hush"),
        ("x-webhook-id", "evt-1"),
        ("x-webhook-sequence", "1"),
    ] {
        assert_eq!(header(&request, name), Some(value), "{request}");
    }
    let looked = eventually(|| async {
        let looked = partner.call("GET", "/events/evt-1", "").await;
        (looked.json()["deliveries"][0]["status"] == "delivered").then_some(looked)
    })
    .await;
    let told_raw = r#""data":{"amount":42.50, "x":null}"#;
    assert!(String::from_utf8_lossy(&looked.bytes).contains(told_raw));
    let looked = looked.json();
    assert_eq!(looked["event_identifier"], "transaction.authorized");
    assert_eq!(looked["deliveries"][0]["webhook_id"], made["id"]);
    assert_eq!(looked["deliveries"][0]["attempts"], 1);
    assert_eq!(looked["deliveries"][0]["response_status"], 200);
    let missing = partner.call("GET", "/events/nobody", "").await;
    assert_eq!((missing.status, fields(&missing)), (404, vec![]));

    // A token that names its scheme is sent as it is; null or "" clears it.
    for (token, sent) in [
        (json!("Basic YTpi"), Some("Basic YTpi")),
        (json!("plain"), Some("Bearer plain")),
        (json!(""), None),
        (Value::Null, None),
    ] {
        let patched =
            partner.call("PATCH", &path, &json!({ "authorization_token": token }).to_string()).await;
        assert_eq!(patched.status, 200, "{}", patched.json());
        let event = json!({"tenant": "shop", "type": "transaction.authorized", "data": {}});
        partner.publish(&event).await;
        assert_eq!(header(&told.recv().await.unwrap(), "authorization"), sent, "{token}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a92_the_token_stays_where_it_is_not_given_and_the_operator_hears_of_a_move() {
    let partner = Partner::at("/penny").await;
    let wanted = json!({"url": ELSEWHERE, "events": ["card.created"], "authorization_token": "hush"});
    let (path, _) = partner.made(&wanted).await;
    let (url, mut told) = receiver().await;
    for method in ["PATCH", "PUT"] {
        let answer = partner.call(method, &path, &json!({ "url": url }).to_string()).await;
        assert_eq!((answer.status, &answer.json()["events"]), (200, &json!(["card.created"])));
    }
    let told_of = moved(&partner.server).await;
    assert_eq!((&told_of["tenant"], &told_of["to_host"]), (&json!("shop"), &json!(host(&url))));
    partner.publish(&json!({"tenant": "shop", "type": "card.created", "data": {}})).await;
    assert_eq!(header(&told.recv().await.unwrap(), "authorization"), Some("Bearer hush"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_webhook_without_events_gets_nothing_and_one_for_a_wallet_gets_its_own() {
    let partner = Partner::at("/penny").await;
    let (url, mut told) = receiver().await;
    let (path, _) = partner.made(&json!({ "url": url })).await;
    let event = |id: &str, wallet: &str| json!({"tenant": "shop", "type": "card.created", "id": id, "data": {}, "attributes": {"wallet_id": wallet}});
    partner.publish(&event("e1", "w1")).await;
    assert_eq!(partner.call("GET", "/events/e1", "").await.json()["deliveries"], json!([]));
    let change = json!({"events": ["card.created"], "wallet_id": "w1"}).to_string();
    assert_eq!(partner.call("PATCH", &path, &change).await.json()["wallet_id"], "w1");
    partner.publish(&event("e2", "w2")).await;
    partner.publish(&event("e3", "w1")).await;
    assert_eq!(header(&told.recv().await.unwrap(), "x-webhook-id"), Some("e3"));
    assert_eq!(partner.call("PUT", &path, r#"{"wallet_id":null}"#).await.json()["wallet_id"], Value::Null);
    partner.publish(&event("e4", "w2")).await;
    assert_eq!(header(&told.recv().await.unwrap(), "x-webhook-id"), Some("e4"));
}

#[tokio::test(flavor = "multi_thread")]
async fn the_trigger_is_kept_beside_the_events() {
    let partner = Partner::at("/penny").await;
    let (path, made) = partner.made(&json!({"url": ELSEWHERE, "trigger_event_identifier": PENDING})).await;
    assert_eq!((&made["events"], &made["trigger_event_identifier"]), (&json!([]), &json!(PENDING)));
    for (change, events, trigger) in [
        (json!({"events": ["card.created"]}), json!(["card.created"]), json!(PENDING)),
        (json!({"trigger_event_identifier": ""}), json!(["card.created"]), Value::Null),
        (json!({"trigger_event_identifier": PENDING}), json!(["card.created"]), json!(PENDING)),
        (json!({"events": null}), json!([]), json!(PENDING)),
        (json!({"trigger_event_identifier": null}), json!([]), Value::Null),
    ] {
        let answer = partner.call("PATCH", &path, &change.to_string()).await.json();
        assert_eq!((&answer["events"], &answer["trigger_event_identifier"]), (&events, &trigger), "{change}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn lists_have_a_hundred_a_page() {
    let partner = Partner::at("/penny").await;
    for n in 0..101 {
        let path = format!("/v1/tenants/shop/endpoints/h{n:03}");
        partner.server.operator("PUT", &path, json!({ "url": ELSEWHERE }).to_string(), 201).await;
    }
    for (query, rows, page) in
        [("", 100, 1), ("?page=1", 100, 1), ("?page=2", 1, 2), ("?page=1000000", 0, 1_000_000)]
    {
        let list = partner.call("GET", &format!("/webhooks{query}"), "").await.json();
        assert_eq!(list["data"].as_array().unwrap().len(), rows, "{query}");
        assert_eq!((&list["page"], &list["total"]), (&json!(page), &json!(101)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_said_here_is_shown_with_a_hint_and_all_else_is_kept() {
    let partner = Partner::at("/penny").await;
    let own = "/v1/tenants/shop/endpoints/own";
    let mut body = json!({
        "url": ELSEWHERE, "event_types": ["card.created"], "description": "d", "headers": {"X-Own": "1"},
        "metadata": {"owner": "o"}, "auth": {"type": "basic", "username": "u", "password": "p"},
        "filters": {"attributes": {"wallet_id": ["w1", "w2"]}},
    });
    partner.server.operator("PUT", own, body.to_string(), 201).await;
    let before = partner.endpoint().await;
    let listed = partner.call("GET", "/webhooks", "").await.json()["data"][0].clone();
    assert!(listed["hint"].as_str().unwrap().contains("several wallets") && listed["wallet_id"].is_null());
    let path = format!("/webhooks/{}", listed["id"].as_str().unwrap());
    for (method, body) in [("PUT", r#"{"events":[]}"#), ("PATCH", r#"{"wallet_id":"w1"}"#), ("DELETE", "")] {
        let answer = partner.call(method, &path, body).await;
        assert_eq!((answer.status, fields(&answer)), (409, vec![]), "{method}");
    }
    assert_eq!(partner.endpoint().await, before);

    body["filters"] = json!({"attributes": {"country": ["SE"]}});
    partner.server.operator("PUT", own, body.to_string(), 200).await;
    let change = r#"{"events":["card.updated"],"wallet_id":"w1","authorization_token":null}"#;
    assert_eq!(partner.call("PUT", &path, change).await.status, 200);
    let after = partner.endpoint().await;
    assert_eq!(after["filters"]["attributes"], json!({"country": ["SE"], "wallet_id": ["w1"]}));
    for field in ["description", "headers", "metadata"] {
        assert_eq!(after[field], body[field], "{field}");
    }
    // What authenticates otherwise than by a token is not this field's to clear.
    assert_eq!((&after["auth"]["type"], &after["auth"]["password_set"]), (&json!("basic"), &json!(true)));
}
