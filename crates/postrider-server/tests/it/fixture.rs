//! A server on a port of its own, with its engine, and what is needed to call it.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, Method, Request, header};
use http_body_util::{BodyExt, Full};
use hyper_util::client::legacy::Client;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::TokioExecutor;
use metrics_exporter_prometheus::PrometheusHandle;
use postrider_core::profile::Profiles;
use postrider_core::seal::DataKey;
use postrider_dispatch::{DispatchConfig, Dispatcher, HickoryResolver, TcpDial, UrlPolicy};
use postrider_engine::{Engine, EngineConfig, WriterConfig};
use postrider_server::{ServerConfig, Surface};
use serde_json::Value;
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use crate::contract;

/// The operator's token.
pub(crate) const ADMIN: &str = "operator-token-of-thirty-two-characters";
/// Bytes of one event, and of a batch, at most.
pub(crate) const MAX_EVENT: usize = 64 * 1024;
pub(crate) const MAX_BATCH: usize = 256 * 1024;

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    engine: Engine,
    client: Client<HttpConnector, Full<Bytes>>,
    stop: oneshot::Sender<()>,
    serving: JoinHandle<std::io::Result<()>>,
    directory: TempDir,
    kind: Kind,
}

/// What differs between servers.
#[derive(Clone, Default)]
pub(crate) struct Kind {
    /// How webhooks may look.
    pub(crate) profiles: Arc<Profiles>,
    /// The platform that it stands in for.
    pub(crate) surface: Option<Surface>,
    /// Requests may not go to loopback.
    pub(crate) is_strict: bool,
}

/// An answer, read whole.
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) headers: HeaderMap,
    pub(crate) bytes: Bytes,
}

impl Answer {
    /// The body as JSON; null if it is none.
    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.bytes).unwrap_or_default()
    }

    /// A header; empty if it is absent.
    pub(crate) fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.to_str().unwrap())
    }

    /// The pointers of a problem's errors.
    pub(crate) fn pointers(&self) -> Vec<String> {
        let errors = self.json()["errors"].as_array().cloned().unwrap_or_default();
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }
}

impl Server {
    pub(crate) async fn start() -> Self {
        Self::start_with(ServerConfig::default()).await
    }

    /// The engine behind the API.
    pub(crate) fn engine(&self) -> &Engine {
        &self.engine
    }

    pub(crate) async fn start_with(config: ServerConfig) -> Self {
        Self::start_measured(config, None).await
    }

    pub(crate) async fn start_measured(config: ServerConfig, metrics: Option<PrometheusHandle>) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), config, metrics, Kind::default()).await
    }

    pub(crate) async fn start_as(kind: Kind) -> Self {
        Self::start_in(tempfile::tempdir().unwrap(), ServerConfig::default(), None, kind).await
    }

    async fn start_in(
        directory: TempDir,
        config: ServerConfig,
        metrics: Option<PrometheusHandle>,
        kind: Kind,
    ) -> Self {
        let policy = UrlPolicy { allow_loopback: !kind.is_strict, ..UrlPolicy::default() };
        let path = directory.path().join("postrider.db");
        let (store, writer) =
            postrider_sqlite::open(&path, postrider_sqlite::SqliteConfig::default()).unwrap();
        let resolver = Arc::new(HickoryResolver::from_system().unwrap());
        let dispatch = DispatchConfig { policy: policy.clone(), ..DispatchConfig::default() };
        let dispatcher = Dispatcher::new(dispatch, resolver, Arc::new(TcpDial)).unwrap();
        let engine_config = EngineConfig {
            profiles: Arc::clone(&kind.profiles),
            signing_keys: Default::default(),
            url_policy: policy,
            default_schedule: [Duration::from_millis(50)].into(),
            disable_after: Duration::from_secs(432_000),
            cards: Default::default(),
            max_event_bytes: MAX_EVENT,
            max_batch_bytes: MAX_BATCH,
            node: Default::default(),
            writer: WriterConfig { retention: Duration::from_secs(86_400), disk_reserve: 0, directory: None },
            workers: postrider_engine::Workers::here(),
        };
        let engine =
            Engine::start(engine_config, store, Box::new(writer), dispatcher, DataKey::new(&[7; 32]))
                .await
                .unwrap();
        engine.ensure_operator().await.unwrap();
        engine.ensure_admin_token(Some(ADMIN), std::path::Path::new("/nonexistent")).await.unwrap();
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (stop, stopped) = oneshot::channel::<()>();
        // Dropped with the server, which then goes on until the test's runtime ends.
        let shutdown = async move {
            if stopped.await.is_err() {
                std::future::pending::<()>().await;
            }
        };
        let serving = tokio::spawn(postrider_server::serve(
            listener,
            engine.clone(),
            metrics,
            kind.surface,
            config,
            shutdown,
        ));
        let client = Client::builder(TokioExecutor::new()).build_http();
        Self { address, engine, client, stop, serving, directory, kind }
    }

    /// Tells the server to shut down, and waits for its end.
    pub(crate) async fn shut_down(self) {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
    }

    /// Ends server and engine, and starts them on the same database.
    pub(crate) async fn restart(self) -> Self {
        let kind = self.kind.clone();
        self.restart_as(kind).await
    }

    /// The same, as another kind of server.
    pub(crate) async fn restart_as(self, kind: Kind) -> Self {
        self.stop.send(()).unwrap();
        self.serving.await.unwrap().unwrap();
        self.engine.stop(Duration::from_secs(10)).await;
        drop(self.engine);
        Self::start_in(self.directory, ServerConfig::default(), None, kind).await
    }

    /// Calls the API with a token (empty: none), and a body of JSON (empty: none).
    pub(crate) async fn call(&self, token: &str, method: &str, path: &str, body: impl Into<Bytes>) -> Answer {
        self.call_with(token, method, path, body, &[]).await
    }

    /// The same with headers, which come in place of ours.
    pub(crate) async fn call_with(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
        headers: &[(&str, &str)],
    ) -> Answer {
        let body: Bytes = body.into();
        let mut request = Request::new(Full::new(body.clone()));
        *request.method_mut() = Method::from_bytes(method.as_bytes()).unwrap();
        *request.uri_mut() = format!("http://{}{path}", self.address).parse().unwrap();
        if !token.is_empty() {
            request.headers_mut().insert(header::AUTHORIZATION, format!("Bearer {token}").parse().unwrap());
        }
        if !body.is_empty() {
            request.headers_mut().insert(header::CONTENT_TYPE, "application/json".parse().unwrap());
        }
        for (name, value) in headers {
            request.headers_mut().insert(http::HeaderName::try_from(*name).unwrap(), value.parse().unwrap());
        }
        let (parts, body) = self.client.request(request).await.unwrap().into_parts();
        let bytes = body.collect().await.unwrap().to_bytes();
        let answer = Answer { status: parts.status.as_u16(), headers: parts.headers, bytes };
        contract::check(method, path, &answer);
        answer
    }

    /// Calls as the operator, and expects a status.
    pub(crate) async fn operator(
        &self,
        method: &str,
        path: &str,
        body: impl Into<Bytes>,
        status: u16,
    ) -> Value {
        let answer = self.call(ADMIN, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path}: {}", String::from_utf8_lossy(&answer.bytes));
        answer.json()
    }

    /// A token with these scopes, bound to a tenant.
    pub(crate) async fn token(&self, tenant: &str, scopes: &[&str]) -> String {
        let body = serde_json::json!({"tenant": tenant, "scopes": scopes}).to_string();
        let made = self.operator("POST", "/v1/tokens", body, 201).await;
        made["token"].as_str().unwrap().to_owned()
    }
}

/// Asks until the answer fits, for at most ten seconds.
pub(crate) async fn eventually<F: Future<Output = Option<T>>, T>(mut ask: impl FnMut() -> F) -> T {
    let deadline = tokio::time::Instant::now() + Duration::from_secs(10);
    loop {
        if let Some(found) = ask().await {
            return found;
        }
        assert!(tokio::time::Instant::now() < deadline, "it never came");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

/// A receiver that answers with a status and tells how many requests came.
pub(crate) async fn receiver(status: u16) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    answering(move |_| format!("HTTP/1.1 {status} X\r\nContent-Length: 2\r\nX-Seen: 1\r\n\r\nok")).await
}

/// A receiver that gives the answer that a function has for the text of each request, and tells of them.
pub(crate) async fn answering(
    answer: impl Fn(&str) -> String + Clone + Send + Sync + 'static,
) -> (String, tokio::sync::mpsc::UnboundedReceiver<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}/hook", listener.local_addr().unwrap());
    let (tell, told) = tokio::sync::mpsc::unbounded_channel();
    tokio::spawn(async move {
        while let Ok((mut stream, _)) = listener.accept().await {
            let (tell, answer) = (tell.clone(), answer.clone());
            tokio::spawn(async move {
                let mut seen = Vec::new();
                let mut buffer = [0; 8192];
                while let Ok(n @ 1..) = stream.read(&mut buffer).await {
                    seen.extend_from_slice(&buffer[..n]);
                    let text = String::from_utf8_lossy(&seen).into_owned();
                    let Some((head, body)) = text.split_once("\r\n\r\n") else { continue };
                    let length = head
                        .lines()
                        .find_map(|line| {
                            line.to_ascii_lowercase().strip_prefix("content-length: ")?.parse::<usize>().ok()
                        })
                        .unwrap_or(0);
                    if body.len() >= length {
                        let _ = tell.send(format!("{}\r\n\r\n{body}", head.to_ascii_lowercase()));
                        seen.clear();
                        if stream.write_all(answer(&text).as_bytes()).await.is_err() {
                            return;
                        }
                    }
                }
            });
        }
    });
    (url, told)
}
