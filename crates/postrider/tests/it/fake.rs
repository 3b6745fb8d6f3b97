//! As much of a server as the commands need: endpoints in memory, events delivered at once, faults on demand.

use std::collections::HashMap;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Path, State};
use axum::http::HeaderMap;
use axum::response::Response;
use axum::routing::{any, post, put};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

/// When everything here was made.
const TIME: &str = "2026-01-01T00:00:00.000Z";

/// What is done to the deliveries.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Faults {
    /// Every so many are not made.
    pub(crate) lose: Option<u64>,
    /// Every so many are made twice.
    pub(crate) repeat: Option<u64>,
    /// Every so many events are refused.
    pub(crate) refuse: Option<u64>,
}

#[derive(Debug, Default)]
struct Inner {
    faults: Faults,
    endpoints: Mutex<HashMap<String, Vec<String>>>,
    deliveries: AtomicU64,
    events: AtomicU64,
    answer: Mutex<Option<(u16, String)>>,
    seen: Mutex<Vec<(String, String)>>,
}

/// The server.
#[derive(Debug, Clone)]
pub(crate) struct Fake {
    pub(crate) url: String,
    inner: Arc<Inner>,
}

impl Fake {
    pub(crate) async fn start(faults: Faults) -> Self {
        let inner = Arc::new(Inner { faults, ..Inner::default() });
        let app = Router::new()
            .route("/v1/tenants/{tenant}", put(tenant).delete(tenant))
            .route("/v1/tenants/{tenant}/endpoints", post(endpoint).get(scripted))
            .route("/v1/events", post(events))
            .fallback(any(scripted))
            .with_state(inner.clone());
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { url, inner }
    }

    /// What every call without a meaning of its own here answers.
    pub(crate) fn answer(&self, status: u16, body: &str) {
        *self.inner.answer.lock().unwrap() = Some((status, body.to_owned()));
    }

    /// Method, path and query of the last such call, and its token.
    pub(crate) fn last(&self) -> (String, String) {
        self.inner.seen.lock().unwrap().last().cloned().unwrap_or_default()
    }
}

type Shared = State<Arc<Inner>>;

fn reply(status: u16, body: String) -> Response {
    Response::builder()
        .status(status)
        .header("content-type", "application/json")
        .body(Body::from(body))
        .unwrap()
}

async fn tenant(Path(tenant): Path<String>) -> Response {
    let made = json!({"id": tenant, "name": tenant, "profile": "standard", "metadata": {}, "created_at": TIME, "updated_at": TIME});
    reply(200, made.to_string())
}

async fn endpoint(State(inner): Shared, Path(tenant): Path<String>, body: Bytes) -> Response {
    let body: Value = serde_json::from_slice(&body).unwrap();
    let url = body["url"].as_str().unwrap().to_owned();
    inner.endpoints.lock().unwrap().entry(tenant.clone()).or_default().push(url.clone());
    let made = json!({
        "id": "ep_1", "tenant": tenant, "url": url, "event_types": ["*"], "enabled": true, "auth": {"type": "none"},
        "headers": {}, "secret_set": true, "profile": "standard", "ordering": "none", "hold_max_s": 3600,
        "timeout_ms": 15000, "max_in_flight": 16, "metadata": {}, "state": "active", "verified": true, "sequence": 0,
        "created_at": TIME, "updated_at": TIME,
    });
    reply(201, made.to_string())
}

async fn scripted(State(inner): Shared, request: axum::extract::Request) -> Response {
    let token = request.headers().get("authorization").map_or("", |value| value.to_str().unwrap());
    let line = format!("{} {}", request.method(), request.uri());
    inner.seen.lock().unwrap().push((line, token.to_owned()));
    let (status, body) = inner.answer.lock().unwrap().clone().unwrap_or((404, "{}".into()));
    reply(status, body)
}

async fn events(State(inner): Shared, headers: HeaderMap, body: Bytes) -> Response {
    if headers["content-type"] == "application/x-ndjson" {
        let items: Vec<Value> = body
            .split(|byte| *byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| match serde_json::from_slice::<Value>(line) {
                Ok(event) => json!({"id": event["id"], "deliveries": 1}),
                Err(_) => {
                    json!({"error": {"type": "t", "title": "Invalid", "status": 400, "detail": "not JSON\u{1b}[2J"}})
                }
            })
            .collect();
        return reply(202, json!({"data": items}).to_string());
    }
    match serde_json::from_slice::<Value>(&body).unwrap() {
        Value::Array(items) => {
            let mut answers = Vec::new();
            for item in &items {
                answers.push(publish(&inner, item).await.unwrap_or_else(|problem| json!({"error": problem})));
            }
            reply(202, json!({"data": answers}).to_string())
        }
        event => match publish(&inner, &event).await {
            Ok(receipt) => reply(202, receipt.to_string()),
            Err(problem) => reply(422, problem.to_string()),
        },
    }
}

fn every(count: &AtomicU64, nth: Option<u64>) -> bool {
    nth.is_some_and(|nth| count.load(Relaxed).is_multiple_of(nth))
}

/// Delivers before it answers, so that a closed loop cannot run ahead of it. A receipt, or the problem.
async fn publish(inner: &Arc<Inner>, event: &Value) -> Result<Value, Value> {
    inner.events.fetch_add(1, Relaxed);
    if every(&inner.events, inner.faults.refuse) {
        return Err(json!({"type": "t", "title": "Invalid", "status": 422}));
    }
    let id = event["id"].as_str().unwrap_or("evt_1").to_owned();
    let tenant = event["tenant"].as_str().unwrap_or_default();
    let urls = inner.endpoints.lock().unwrap().get(tenant).cloned().unwrap_or_default();
    for url in &urls {
        inner.deliveries.fetch_add(1, Relaxed);
        if every(&inner.deliveries, inner.faults.lose) {
            continue;
        }
        let times = if every(&inner.deliveries, inner.faults.repeat) { 2 } else { 1 };
        deliver(url, &id, times).await;
    }
    Ok(json!({"id": id, "deliveries": urls.len()}))
}

async fn deliver(url: &str, id: &str, times: u32) {
    let rest = url.strip_prefix("http://").unwrap();
    let (host, path) = rest.split_at(rest.find('/').unwrap());
    let address: SocketAddr = host.parse().unwrap();
    let request =
        format!("POST {path} HTTP/1.1\r\nhost: {host}\r\nwebhook-id: {id}\r\ncontent-length: 2\r\n\r\n{{}}");
    let Ok(mut stream) = TcpStream::connect(address).await else { return };
    for _ in 0..times {
        if stream.write_all(request.as_bytes()).await.is_err() {
            return;
        }
        let mut answer = [0; 256];
        let Ok(1..) = stream.read(&mut answer).await else { return };
    }
}
