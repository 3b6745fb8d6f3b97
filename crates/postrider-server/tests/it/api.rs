//! Each resource through its calls, and what is refused.

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use crate::fixture::{ADMIN, MAX_BATCH, MAX_EVENT, Server, eventually, receiver};

#[tokio::test(flavor = "multi_thread")]
async fn an_event_is_delivered_signed_and_seen_in_the_log() {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/acme", r#"{"name":"Acme"}"#, 201).await;
    let (url, mut told) = receiver(200).await;
    let endpoint = server
        .operator(
            "POST",
            "/v1/tenants/acme/endpoints",
            json!({"url": url, "auth": {"type": "bearer", "token": "hush"}}).to_string(),
            201,
        )
        .await;
    assert_eq!((endpoint["state"].as_str(), endpoint["secret_set"].as_bool()), (Some("active"), Some(true)));
    assert!(!endpoint.to_string().contains("hush"));
    let published = server
        .operator(
            "POST",
            "/v1/events",
            r#"{"tenant":"acme","type":"card.frozen","data":{"amount": 42.50},"id":"e-1"}"#,
            202,
        )
        .await;
    assert_eq!(published, json!({"id": "e-1", "deliveries": 1}));
    let request = told.recv().await.unwrap();
    assert!(request.ends_with(r#""data":{"amount": 42.50}}"#), "{request}");
    assert!(request.contains("webhook-signature: v1,") && request.contains("webhook-id: e-1"), "{request}");
    let path = "/v1/tenants/acme/deliveries?status=succeeded&type=card.frozen&event=e-1";
    let row = eventually(|| async {
        let page = server.operator("GET", path, "", 200).await;
        page["data"].get(0).cloned()
    })
    .await;
    assert_eq!((row["endpoint"].clone(), row["attempts"].clone()), (endpoint["id"].clone(), json!(1)));
    let id = row["id"].as_str().unwrap();
    let detail = server.operator("GET", &format!("/v1/tenants/acme/deliveries/{id}"), "", 200).await;
    assert_eq!(detail["payload"]["data"]["amount"], json!(42.5));
    let attempt = &detail["attempts"][0];
    assert_eq!((attempt["status_code"].clone(), attempt["trigger"].clone()), (json!(200), json!("schedule")));
    assert_eq!(attempt["request_headers"]["authorization"], "***");
    assert_eq!(attempt["request_headers"]["webhook-signature"], "v1,***");
    server.operator("POST", &format!("/v1/tenants/acme/deliveries/{id}/retry"), "", 202).await;
    assert!(told.recv().await.unwrap().contains("webhook-attempt: 2"));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_failed_attempt_shows_what_came_back() {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/acme", "{}", 201).await;
    let (url, _told) = receiver(500).await;
    let body = json!({"url": url, "retry": {"schedule_s": []}}).to_string();
    server.operator("POST", "/v1/tenants/acme/endpoints", body, 201).await;
    server.operator("POST", "/v1/events", r#"{"tenant":"acme","type":"a","data":1}"#, 202).await;
    let row = eventually(|| async {
        let page = server.operator("GET", "/v1/tenants/acme/deliveries?status=failed", "", 200).await;
        page["data"].get(0).cloned()
    })
    .await;
    assert_eq!(
        (row["reason"].clone(), row["last_status_code"].clone()),
        (json!("schedule_exhausted"), json!(500))
    );
    let detail = server
        .operator("GET", &format!("/v1/tenants/acme/deliveries/{}", row["id"].as_str().unwrap()), "", 200)
        .await;
    let attempt = &detail["attempts"][0];
    assert_eq!(
        (attempt["error"]["kind"].clone(), attempt["response_body"].clone()),
        (json!("status"), json!("ok"))
    );
    assert_eq!(attempt["response_headers"]["x-seen"], "1");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_test_is_sent_now_and_answered_with_the_attempt() {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/acme", "{}", 201).await;
    let (url, mut told) = receiver(204).await;
    let endpoint =
        server.operator("POST", "/v1/tenants/acme/endpoints", json!({"url": url}).to_string(), 201).await;
    let path = format!("/v1/tenants/acme/endpoints/{}/test", endpoint["id"].as_str().unwrap());
    let attempt = server.operator("POST", &path, r#"{"type":"card.frozen"}"#, 200).await;
    assert_eq!((attempt["status_code"].clone(), attempt["trigger"].clone()), (json!(204), json!("test")));
    assert!(told.recv().await.unwrap().contains(r#""type":"card.frozen""#));
    let delivery = attempt["id"].as_str().unwrap();
    assert!(delivery.starts_with("att_"));
    assert_eq!(server.call(ADMIN, "POST", &path, r#"{"type":"a..b"}"#).await.pointers(), ["/type"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn tenants_and_endpoints_are_made_changed_listed_and_removed() {
    let server = Server::start().await;
    for tenant in ["a", "b", "c"] {
        server.operator("PUT", &format!("/v1/tenants/{tenant}"), "{}", 201).await;
    }
    server.operator("PUT", "/v1/tenants/a", r#"{"name":"A"}"#, 200).await;
    let first = server.operator("GET", "/v1/tenants?limit=2", "", 200).await;
    let cursor = first["next_cursor"].as_str().unwrap();
    let rest = server.operator("GET", &format!("/v1/tenants?limit=2&cursor={cursor}"), "", 200).await;
    let ids = |page: &Value| -> Vec<String> {
        page["data"].as_array().unwrap().iter().map(|t| t["id"].as_str().unwrap().to_owned()).collect()
    };
    assert_eq!(
        (ids(&first), ids(&rest)),
        (vec!["_operator".into(), "a".into()], vec!["b".into(), "c".into()])
    );
    assert_eq!(rest["next_cursor"], Value::Null);

    let made = server
        .operator(
            "POST",
            "/v1/tenants/a/endpoints",
            r#"{"url":"http://localhost:9999/x","name":"n","event_types":["card.*"]}"#,
            201,
        )
        .await;
    let path = format!("/v1/tenants/a/endpoints/{}", made["id"].as_str().unwrap());
    let secret = server.operator("GET", &format!("{path}/secret"), "", 200).await;
    assert!(secret["secret"].as_str().unwrap().starts_with("whsec_"));
    let changed = server.operator("PATCH", &path, r#"{"name":null,"enabled":false}"#, 200).await;
    assert_eq!((changed["name"].clone(), changed["state"].clone()), (Value::Null, json!("paused")));
    assert_eq!(server.operator("GET", &path, "", 200).await["enabled"], false);
    assert_eq!(server.operator("GET", &format!("{path}/secret"), "", 200).await, secret);
    assert_eq!(server.operator("GET", "/v1/tenants/a/endpoints", "", 200).await["data"][0]["id"], made["id"]);
    server.operator("DELETE", &path, "", 204).await;
    server.operator("GET", &path, "", 404).await;

    let token = server.token("a", &["webhooks-read"]).await;
    server.operator("POST", "/v1/tenants/a/endpoints", r#"{"url":"http://localhost:9999/x"}"#, 201).await;
    server.operator("DELETE", "/v1/tenants/a", "", 204).await;
    server.operator("GET", "/v1/tenants/a", "", 404).await;
    server.operator("PUT", "/v1/tenants/a", "{}", 201).await;
    assert_eq!(server.operator("GET", "/v1/tenants/a/endpoints", "", 200).await["data"], json!([]));
    assert_eq!(server.call(&token, "GET", "/v1/tenants/a/endpoints", "").await.status, 401, "abuse A75");
    server.operator("DELETE", "/v1/tenants/_operator", "", 409).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn tokens_are_shown_once_listed_and_revoked() {
    let server = Server::start().await;
    let made = server.operator("POST", "/v1/tokens", r#"{"scopes":["events-write"]}"#, 201).await;
    let text = made["token"].as_str().unwrap();
    let listed = server.operator("GET", "/v1/tokens", "", 200).await;
    assert!(!listed.to_string().contains(text) && listed.to_string().contains(made["id"].as_str().unwrap()));
    assert_eq!(server.call(text, "GET", "/v1/tenants", "").await.status, 403);
    server.operator("DELETE", &format!("/v1/tokens/{}", made["id"].as_str().unwrap()), "", 204).await;
    assert_eq!(server.call(text, "GET", "/v1/tenants", "").await.status, 401);
    server.operator("DELETE", "/v1/tokens/tok_operator", "", 409).await;
}

/// Every operation of the OpenAPI document: method and path.
async fn operations(server: &Server) -> Vec<(String, String)> {
    let document = server.call("", "GET", "/openapi.json", "").await.json();
    let paths = document["paths"].as_object().unwrap().iter();
    paths
        .flat_map(|(path, operations)| {
            let methods = operations.as_object().unwrap().keys();
            methods.map(|method| (method.to_ascii_uppercase(), path.clone())).collect::<Vec<_>>()
        })
        .collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a20_every_operation_but_health_asks_for_a_token() {
    let server = Server::start().await;
    for (method, path) in operations(&server).await {
        let open = ["/healthz", "/readyz", "/openapi.json"].contains(&path.as_str());
        let answer = server.call("", &method, &path.replace("{tenant}", "a").replace("{id}", "b"), "").await;
        assert_eq!(answer.status, if open { 200 } else { 401 }, "{method} {path}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a20_a21_a22_a23_nobody_gets_further_than_the_token_reaches() {
    let server = Server::start().await;
    for tenant in ["acme:x", "acme2:x", "b"] {
        server.operator("PUT", &format!("/v1/tenants/{tenant}"), "{}", 201).await;
    }
    for token in ["", "garbage", "tok_operator"] {
        let answer = server.call(token, "GET", "/v1/tenants/b", "").await;
        assert_eq!((answer.status, answer.header("www-authenticate")), (401, "Bearer"));
    }
    let reader = server.token("acme:*", &["webhooks-read"]).await;
    assert_eq!(server.call(&reader, "GET", "/v1/tenants/acme:x/endpoints", "").await.status, 200);
    let refused = server.call(&reader, "POST", "/v1/tenants/acme:x/endpoints", "{}").await;
    assert_eq!(refused.status, 403);
    assert!(refused.json()["detail"].as_str().unwrap().contains("webhooks-write"));
    for (method, path) in operations(&server).await {
        if !path.contains("{tenant}") {
            continue;
        }
        for tenant in ["acme2:x", "nobody"] {
            let path = path.replace("{tenant}", tenant).replace("{id}", "ep_1");
            let answer = server.call(&reader, &method, &path, "").await;
            // What is done with a tenant as a whole is the operator's, whatever the path.
            let expected = if path.ends_with(tenant) { 403 } else { 404 };
            assert_eq!(answer.status, expected, "{method} {path}");
            if expected == 404 {
                assert_eq!(answer.json()["detail"], "the tenant does not exist");
            }
        }
    }
    let writer = server.token("b", &["events-write"]).await;
    for tenant in ["acme:x", "nobody"] {
        let event = json!({"tenant": tenant, "type": "a", "data": 1}).to_string();
        assert_eq!(server.call(&writer, "POST", "/v1/events", event).await.status, 404);
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a01_a02_a04_a07_a08_a12_bad_bodies_are_told_all_their_faults() {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/a", "{}", 201).await;
    for (body, status) in [
        ("", 415),
        ("{", 400),
        ("nonsense", 400),
        (r#"{"tenant":"a","type":"t","data":1}x"#, 400),
        ("{}", 422),
        (r#"{"tenant":"a","type":"t","data":1,"extra":2}"#, 422),
        (r#"{"tenant":"a","tenant":"a","type":"t","data":1}"#, 422),
        (r#"{"tenant":"a","type":"t","data":1,"id":"a.b"}"#, 422),
        ("null", 422),
    ] {
        assert_eq!(server.call(ADMIN, "POST", "/v1/events", body).await.status, status, "{body}");
    }
    let deep = format!(r#"{{"tenant":"a","type":"t","data":{}{}}}"#, "[".repeat(10_000), "]".repeat(10_000));
    assert_eq!(server.call(ADMIN, "POST", "/v1/events", deep).await.status, 400);
    let faults = server
        .call(
            ADMIN,
            "POST",
            "/v1/tenants/a/endpoints",
            r#"{"url":"ftp://x","timeout_ms":1,"what":1,"headers":{"Host":"x"}}"#,
        )
        .await;
    assert_eq!(faults.status, 422);
    assert!(
        faults.pointers().contains(&"/timeout_ms".to_owned())
            && faults.pointers().contains(&"/what".to_owned())
    );
    let url = server.call(ADMIN, "POST", "/v1/tenants/a/endpoints", r#"{"url":"https://10.0.0.1/"}"#).await;
    assert_eq!((url.status, url.pointers()), (422, vec!["/url".to_owned()]));
    for tenant in ["a%2Fb", "..%2F", "%00", "a%20b", "%e2%80%ae"] {
        assert_eq!(
            server.call(ADMIN, "PUT", &format!("/v1/tenants/{tenant}"), "{}").await.status,
            422,
            "{tenant}"
        );
    }
    let event = r#"{"tenant":"a","type":"t","data":1}"#;
    for headers in
        [("content-encoding", "gzip"), ("content-type", "text/plain"), ("content-type", "application/xml")]
    {
        assert_eq!(
            server.call_with(ADMIN, "POST", "/v1/events", event, &[headers]).await.status,
            415,
            "{headers:?}"
        );
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a03_bodies_over_the_limit_are_refused() {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/a", "{}", 201).await;
    let event = |n: usize| format!(r#"{{"tenant":"a","type":"t","data":"{}"}}"#, "x".repeat(n));
    assert_eq!(server.call(ADMIN, "POST", "/v1/events", event(MAX_EVENT / 2)).await.status, 202);
    assert_eq!(server.call(ADMIN, "POST", "/v1/events", event(MAX_EVENT)).await.status, 413);
    let batch = format!("[{},{}]", event(MAX_EVENT / 2), event(MAX_EVENT));
    let answer = server.call(ADMIN, "POST", "/v1/events", batch).await.json();
    assert_eq!(
        (answer["data"][0]["deliveries"].clone(), answer["data"][1]["error"]["status"].clone()),
        (json!(0), json!(413))
    );
    let batch = format!("[{}]", vec![event(MAX_EVENT / 2); 2 * MAX_BATCH / MAX_EVENT + 1].join(","));
    assert_eq!(server.call(ADMIN, "POST", "/v1/events", batch).await.status, 413);
    // Announced, and never sent: the answer comes all the same.
    let mut stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\nContent-Length: 99999999\r\n\r\n{{"
    );
    stream.write_all(head.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 413") && answer.contains("connection: close"), "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a09_a70_one_key_stands_for_one_event() {
    let server = Server::start().await;
    for tenant in ["a", "b"] {
        server.operator("PUT", &format!("/v1/tenants/{tenant}"), "{}", 201).await;
    }
    let publish = async |body: &'static str| {
        let answer = server.call_with(ADMIN, "POST", "/v1/events", body, &[("idempotency-key", "k")]).await;
        (answer.status, answer.json()["id"].clone())
    };
    let first = publish(r#"{"tenant":"a","type":"t","data":1}"#).await;
    assert_eq!(first.0, 202);
    assert_eq!(publish(r#"{"tenant":"a","type":"t","data":1}"#).await, first);
    assert_eq!(publish(r#"{"tenant":"a","type":"t","data":2}"#).await.0, 409);
    let other = publish(r#"{"tenant":"b","type":"t","data":1}"#).await;
    assert!(other.0 == 202 && other.1 != first.1);
    let own = r#"{"tenant":"a","type":"t","data":1,"id":"own"}"#;
    let answers =
        futures_util::future::join_all((0..100).map(|_| server.call(ADMIN, "POST", "/v1/events", own))).await;
    assert!(answers.iter().all(|answer| answer.status == 202 && answer.json()["id"] == "own"));
    let changed = r#"{"tenant":"a","type":"t","data":2,"id":"own"}"#;
    assert_eq!(server.call(ADMIN, "POST", "/v1/events", changed).await.status, 409);
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a10_a11_one_bad_item_spoils_no_other() {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/a", "{}", 201).await;
    let mut items: Vec<String> =
        (0..100).map(|n| json!({"tenant": "a", "type": "t", "data": n}).to_string()).collect();
    items[41] = json!({"tenant": "a", "data": 1}).to_string();
    let answer = server.operator("POST", "/v1/events", format!("[{}]", items.join(",")), 202).await;
    let data = answer["data"].as_array().unwrap();
    assert_eq!(data.iter().filter(|item| item["id"].is_string()).count(), 99);
    assert_eq!(data[41]["error"]["errors"][0]["pointer"], "/41/type");
    let ndjson = [("content-type", "application/x-ndjson")];
    let lines = server.call_with(ADMIN, "POST", "/v1/events", items.join("\n"), &ndjson).await;
    assert_eq!((lines.status, lines.json()["data"][41]["error"]["status"].clone()), (202, json!(422)));
    let cut = format!("{}\n{{\"tenant\":\"a\"", items[0]);
    assert_eq!(server.call_with(ADMIN, "POST", "/v1/events", cut, &ndjson).await.status, 400);
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a16_paths_and_methods_that_are_not_there_are_told_so() {
    let server = Server::start().await;
    let missing = server.call(ADMIN, "GET", "/v1/nothing", "").await;
    assert_eq!((missing.status, missing.header("content-type")), (404, "application/problem+json"));
    let wrong = server.call(ADMIN, "DELETE", "/v1/events", "").await;
    assert_eq!(
        (wrong.status, wrong.header("allow"), wrong.json()["status"].clone()),
        (405, "POST", json!(405))
    );
    let options = server.call("", "OPTIONS", "/v1/tenants", "").await;
    assert_eq!((options.status, options.header("allow")), (204, "GET,HEAD"));
    let head = server.call("", "HEAD", "/healthz", "").await;
    assert_eq!((head.status, head.bytes.len()), (200, 0));
    assert_eq!(server.call("", "GET", "/readyz", "").await.status, 200);
    let document = server.call("", "GET", "/openapi.json", "").await.json();
    assert!(document["paths"]["/v1/events"]["post"].is_object());
    assert_eq!(server.call(ADMIN, "GET", "/metrics", "").await.status, 404);
    assert_eq!(server.call(ADMIN, "GET", "/v1/tenants?what=1", "").await.pointers(), ["/what"]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_request_s_id_is_echoed_and_stands_in_problems() {
    let server = Server::start().await;
    let answer = server.call_with("", "GET", "/v1/tenants", "", &[("x-request-id", "abc-1")]).await;
    assert_eq!(
        (answer.header("x-request-id"), answer.json()["request_id"].clone()),
        ("abc-1", json!("abc-1"))
    );
    assert!(!server.call("", "GET", "/healthz", "").await.header("x-request-id").is_empty());
}

#[tokio::test(flavor = "multi_thread")]
async fn metrics_are_for_the_operator_alone() {
    let metrics = metrics_exporter_prometheus::PrometheusBuilder::new().install_recorder().unwrap();
    let server = Server::start_measured(postrider_server::ServerConfig::default(), Some(metrics)).await;
    server.operator("PUT", "/v1/tenants/a", "{}", 201).await;
    server.operator("POST", "/v1/events", r#"{"tenant":"a","type":"t","data":1}"#, 202).await;
    assert_eq!(server.call("", "GET", "/metrics", "").await.status, 401);
    let reader = server.token("a", &["webhooks-read"]).await;
    assert_eq!(server.call(&reader, "GET", "/metrics", "").await.status, 403);
    let answer = server.call(ADMIN, "GET", "/metrics", "").await;
    let text = String::from_utf8_lossy(&answer.bytes).into_owned();
    assert!(answer.status == 200 && text.contains("postrider_events_accepted_total 1"), "{text}");
}

/// Without the times of changes: the store's are those of the commit, a few milliseconds later or earlier.
fn timeless(mut value: Value) -> Value {
    match &mut value {
        Value::Object(members) => {
            members.remove("created_at");
            members.remove("updated_at");
            members.values_mut().for_each(|member| *member = timeless(member.take()));
        }
        Value::Array(items) => items.iter_mut().for_each(|item| *item = timeless(item.take())),
        _ => {}
    }
    value
}

#[tokio::test(flavor = "multi_thread")]
async fn what_is_configured_is_the_same_after_a_restart() {
    let server = Server::start().await;
    server.operator("PUT", "/v1/tenants/a", r#"{"name":"A"}"#, 201).await;
    server.operator("PUT", "/v1/tenants/a", r#"{"name":"A","metadata":{"k":"v"}}"#, 200).await;
    let endpoint = server
        .operator(
            "POST",
            "/v1/tenants/a/endpoints",
            r#"{"url":"http://localhost:9999/x","enabled":false}"#,
            201,
        )
        .await;
    let path = format!("/v1/tenants/a/endpoints/{}", endpoint["id"].as_str().unwrap());
    server.operator("PATCH", &path, r#"{"name":"n"}"#, 200).await;
    let token = server.token("a", &["webhooks-read"]).await;
    server.operator("POST", "/v1/events", r#"{"tenant":"a","type":"t","data":{"n":1.0}}"#, 202).await;
    let paths = ["/v1/tenants".to_owned(), path.clone(), format!("{path}/secret"), "/v1/tokens".to_owned()];
    let mut before = Vec::new();
    for path in &paths {
        before.push(timeless(server.operator("GET", path, "", 200).await));
    }
    let server = server.restart().await;
    for (path, before) in paths.iter().zip(before) {
        assert_eq!(timeless(server.operator("GET", path, "", 200).await), before, "{path}");
    }
    assert_eq!(server.call(&token, "GET", &path, "").await.status, 200);
    let page = server.operator("GET", "/v1/tenants/a/deliveries?status=pending", "", 200).await;
    assert_eq!(page["data"].as_array().unwrap().len(), 1);
    server.operator("DELETE", "/v1/tenants/a", "", 204).await;
    server.operator("PUT", "/v1/tenants/a", "{}", 201).await;
    let page = server.operator("GET", "/v1/tenants/a/deliveries", "", 200).await;
    assert_eq!(page["data"], json!([]), "abuse A75");
}

#[tokio::test(flavor = "multi_thread")]
async fn the_log_is_paged_newest_first_without_gaps_or_repeats() {
    let server = Server::start().await;
    for tenant in ["a", "b"] {
        server.operator("PUT", &format!("/v1/tenants/{tenant}"), "{}", 201).await;
    }
    let endpoint = r#"{"url":"http://localhost:9999/x","enabled":false}"#;
    let endpoint = server.operator("POST", "/v1/tenants/a/endpoints", endpoint, 201).await;
    let events: Vec<_> = (0..7).map(|n| json!({"tenant": "a", "type": "t", "data": n, "key": "k"})).collect();
    server.operator("POST", "/v1/events", Value::from(events).to_string(), 202).await;
    let filter = format!("endpoint={}&key=k&status=pending&limit=3", endpoint["id"].as_str().unwrap());
    let (mut seen, mut cursor) = (Vec::new(), String::new());
    for _ in 0..10 {
        let page =
            server.operator("GET", &format!("/v1/tenants/a/deliveries?{filter}{cursor}"), "", 200).await;
        let rows = page["data"].as_array().unwrap();
        assert!(rows.len() <= 3);
        seen.extend(rows.iter().map(|row| row["sequence"].as_u64().unwrap()));
        let Some(next) = page["next_cursor"].as_str() else { break };
        let elsewhere =
            server.call(ADMIN, "GET", &format!("/v1/tenants/b/deliveries?cursor={next}"), "").await;
        assert_eq!((elsewhere.status, elsewhere.pointers()), (422, vec!["/cursor".to_owned()]), "abuse A13");
        cursor = format!("&cursor={next}");
    }
    assert_eq!(seen, [7, 6, 5, 4, 3, 2, 1]);
    let other = server.operator("GET", "/v1/tenants/a/deliveries?key=other", "", 200).await;
    assert_eq!(other, json!({"data": [], "next_cursor": null}));
    let row = server.operator("GET", "/v1/tenants/a/deliveries?limit=1", "", 200).await["data"][0].clone();
    let path = format!("/v1/tenants/a/deliveries/{}", row["id"].as_str().unwrap());
    server.operator("POST", &format!("{path}/cancel"), "", 204).await;
    let ended = server.operator("GET", &path, "", 200).await;
    assert_eq!((ended["status"].clone(), ended["reason"].clone()), (json!("cancelled"), json!("requested")));
    server.operator("POST", &format!("{path}/cancel"), "", 409).await;
    let foreign = path.replace("/tenants/a/", "/tenants/b/");
    server.operator("GET", &foreign, "", 404).await;
}
