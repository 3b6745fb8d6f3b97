//! A client of the API that shows everything of an answer, and short ways to what most tests begin with.

use std::collections::BTreeSet;
use std::io;
use std::net::{IpAddr, Ipv4Addr, SocketAddr};

use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::net::{TcpSocket, TcpStream};

use super::wire::{Message, read_message};
use super::{PATIENCE, eventually};

/// An answer of the server.
#[derive(Debug, Clone)]
pub(crate) struct Answer {
    pub(crate) status: u16,
    pub(crate) message: Message,
}

impl Answer {
    /// Reads an answer's first line.
    pub(crate) fn new(message: Message) -> Self {
        let status = message.first_line.split(' ').nth(1).and_then(|code| code.parse().ok());
        Self { status: status.unwrap_or_else(|| panic!("no status: {message:?}")), message }
    }

    pub(crate) fn text(&self) -> String {
        String::from_utf8_lossy(&self.message.body).into_owned()
    }

    pub(crate) fn json(&self) -> Value {
        serde_json::from_slice(&self.message.body).unwrap_or_else(|e| panic!("{e}: {self:?}"))
    }

    /// The body, of an answer with this status.
    #[track_caller]
    pub(crate) fn ok(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        if self.message.body.is_empty() { Value::Null } else { self.json() }
    }

    /// The problem document, of an answer with this status (RFC 9457).
    #[track_caller]
    pub(crate) fn problem(&self, status: u16) -> Value {
        assert_eq!(self.status, status, "{}", self.text());
        assert_eq!(self.header("content-type"), Some("application/problem+json"), "{self:?}");
        let problem = self.json();
        assert_eq!(problem["status"], status, "{problem}");
        for field in ["type", "title", "detail", "request_id"] {
            assert!(problem[field].as_str().is_some_and(|text| !text.is_empty()), "{field}: {problem}");
        }
        problem
    }

    /// Where the faults of a 422 lie.
    #[track_caller]
    pub(crate) fn pointers(&self) -> BTreeSet<String> {
        let problem = self.problem(422);
        let errors = problem["errors"].as_array().unwrap_or_else(|| panic!("no errors: {problem}"));
        errors.iter().map(|error| error["pointer"].as_str().unwrap().to_owned()).collect()
    }

    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.message.header(name)
    }
}

/// A connection that is used again and again.
pub(crate) struct Connection {
    stream: TcpStream,
    buffer: Vec<u8>,
    head: String,
}

impl Connection {
    /// Sends a request and reads its answer.
    pub(crate) async fn send(
        &mut self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> io::Result<Answer> {
        let mut bytes =
            format!("{method} {path} HTTP/1.1\r\n{}content-length: {}\r\n", self.head, body.len());
        for (name, value) in headers {
            bytes.push_str(&format!("{name}: {value}\r\n"));
        }
        bytes.push_str("\r\n");
        self.stream.write_all(&[bytes.as_bytes(), body].concat()).await?;
        let read = read_message(&mut self.stream, &mut self.buffer);
        match tokio::time::timeout(PATIENCE, read).await {
            Ok(Ok(Some(message))) => Ok(Answer::new(message)),
            Ok(Ok(None)) => Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(Err(error)) => Err(error),
            Err(_) => panic!("no answer within {PATIENCE:?}: {method} {path}"),
        }
    }

    /// Publishes; the answer of the server, or what happened to the connection.
    pub(crate) async fn publish(&mut self, event: &Value) -> io::Result<Answer> {
        let json = [("content-type", "application/json")];
        self.send("POST", "/v1/events", &json, event.to_string().as_bytes()).await
    }
}

/// The API of a server with a token.
#[derive(Debug, Clone)]
pub(crate) struct Api {
    address: SocketAddr,
    token: String,
    /// The address that calls come from.
    from: IpAddr,
}

impl Api {
    pub(crate) fn new(address: SocketAddr, token: &str) -> Self {
        Self { address, token: token.into(), from: Ipv4Addr::LOCALHOST.into() }
    }

    /// The same with another token; an empty one is not sent.
    pub(crate) fn with_token(&self, token: &str) -> Self {
        Self { token: token.into(), ..self.clone() }
    }

    /// The same from another address of this machine: all of 127.0.0.0/8 is its own.
    pub(crate) fn from(&self, from: Ipv4Addr) -> Self {
        Self { from: from.into(), ..self.clone() }
    }

    pub(crate) async fn connect(&self) -> io::Result<Connection> {
        let socket = TcpSocket::new_v4()?;
        socket.bind((self.from, 0).into())?;
        let stream = socket.connect(self.address).await?;
        stream.set_nodelay(true)?;
        let mut head = format!("host: {}\r\n", self.address);
        if !self.token.is_empty() {
            head.push_str(&format!("authorization: Bearer {}\r\n", self.token));
        }
        Ok(Connection { stream, buffer: Vec::new(), head })
    }

    /// Sends a request on a connection of its own.
    pub(crate) async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: &[u8],
    ) -> Answer {
        let mut connection = self.connect().await.unwrap();
        let sent = connection.send(method, path, headers, body).await;
        sent.unwrap_or_else(|e| panic!("{method} {path}: {e}"))
    }

    pub(crate) async fn json(&self, method: &str, path: &str, body: &Value) -> Answer {
        let headers = [("content-type", "application/json")];
        self.send(method, path, &headers, body.to_string().as_bytes()).await
    }

    pub(crate) async fn get(&self, path: &str) -> Answer {
        self.send("GET", path, &[], b"").await
    }

    pub(crate) async fn post(&self, path: &str, body: &Value) -> Answer {
        self.json("POST", path, body).await
    }

    pub(crate) async fn delete(&self, path: &str) -> Answer {
        self.send("DELETE", path, &[], b"").await
    }

    /// All entries of a list, over pages of so many.
    pub(crate) async fn whole(&self, path: &str, limit: usize) -> Vec<Value> {
        let joint = if path.contains('?') { '&' } else { '?' };
        let mut all = Vec::new();
        let mut cursor = String::new();
        loop {
            let page = self.get(&format!("{path}{joint}limit={limit}{cursor}")).await.ok(200);
            let data = page["data"].as_array().unwrap();
            assert!(data.len() <= limit, "{path}");
            all.extend(data.iter().cloned());
            match page["next_cursor"].as_str() {
                Some(next) => cursor = format!("&cursor={next}"),
                None => return all,
            }
        }
    }

    /// Publishes a body as it is.
    pub(crate) async fn publish_text(&self, body: &str) -> Answer {
        self.send("POST", "/v1/events", &[("content-type", "application/json")], body.as_bytes()).await
    }

    /// Publishes lines of JSON.
    pub(crate) async fn publish_lines(&self, lines: &str, headers: &[(&str, &str)]) -> Answer {
        let mut all = vec![("content-type", "application/x-ndjson")];
        all.extend_from_slice(headers);
        self.send("POST", "/v1/events", &all, lines.as_bytes()).await
    }

    /// Makes a tenant.
    pub(crate) async fn tenant(&self, id: &str) -> Tenant {
        self.json("PUT", &format!("/v1/tenants/{id}"), &json!({"name": id})).await.ok(201);
        Tenant { api: self.clone(), id: id.into() }
    }

    /// Makes a token.
    pub(crate) async fn token(&self, token: &Value) -> Self {
        let made = self.post("/v1/tokens", token).await.ok(201);
        self.with_token(made["token"].as_str().unwrap())
    }
}

/// A tenant as its operator sees it.
#[derive(Debug, Clone)]
pub(crate) struct Tenant {
    pub(crate) api: Api,
    pub(crate) id: String,
}

/// An endpoint with what only its maker knows.
#[derive(Debug, Clone)]
pub(crate) struct Endpoint {
    pub(crate) id: String,
    pub(crate) path: String,
    pub(crate) secret: String,
}

impl Tenant {
    /// The same after a new start.
    pub(crate) fn at(&self, api: Api) -> Self {
        Self { api, id: self.id.clone() }
    }

    pub(crate) fn path(&self, rest: &str) -> String {
        format!("/v1/tenants/{}/{rest}", self.id)
    }

    /// Makes an endpoint.
    pub(crate) async fn endpoint(&self, spec: Value) -> Endpoint {
        let made = self.api.post(&self.path("endpoints"), &spec).await.ok(201);
        let id = made["id"].as_str().unwrap().to_owned();
        let path = self.path(&format!("endpoints/{id}"));
        let secret = self.api.get(&format!("{path}/secret")).await.ok(200);
        Endpoint { id, path, secret: secret["secret"].as_str().unwrap().to_owned() }
    }

    pub(crate) async fn read(&self, endpoint: &Endpoint) -> Value {
        self.api.get(&endpoint.path).await.ok(200)
    }

    pub(crate) async fn patch(&self, endpoint: &Endpoint, patch: Value) -> Value {
        self.api.json("PATCH", &endpoint.path, &patch).await.ok(200)
    }

    /// Waits until an endpoint is in a state.
    pub(crate) async fn wait_for_state(&self, endpoint: &Endpoint, state: &str) -> Value {
        eventually(&format!("{} is {state}", endpoint.id), async || {
            Some(self.read(endpoint).await).filter(|read| read["state"] == state)
        })
        .await
    }

    /// Publishes an event, whose tenant is filled in; its id.
    pub(crate) async fn publish(&self, mut event: Value) -> String {
        event["tenant"] = json!(self.id);
        if event.get("type").is_none() {
            event["type"] = json!("card.created");
        }
        if event.get("data").is_none() {
            event["data"] = json!({"card": "c-1"});
        }
        let accepted = self.api.publish_text(&event.to_string()).await.ok(202);
        accepted["id"].as_str().unwrap().to_owned()
    }

    /// A page of the log.
    pub(crate) async fn log(&self, query: &str) -> Vec<Value> {
        let page = self.api.get(&self.path(&format!("deliveries?{query}"))).await.ok(200);
        page["data"].as_array().unwrap().clone()
    }

    /// The whole log that fits a query, over all pages.
    pub(crate) async fn whole_log(&self, query: &str) -> Vec<Value> {
        self.api.whole(&self.path(&format!("deliveries?{query}")), 250).await
    }

    /// The only delivery of an event.
    pub(crate) async fn delivery_of(&self, event: &str) -> Value {
        let log = self.log(&format!("event={event}")).await;
        assert_eq!(log.len(), 1, "{log:?}");
        self.delivery(log[0]["id"].as_str().unwrap()).await
    }

    /// One delivery with its attempts.
    pub(crate) async fn delivery(&self, id: &str) -> Value {
        self.api.get(&self.path(&format!("deliveries/{id}"))).await.ok(200)
    }

    /// Waits until the only delivery of an event has a status; it with its attempts.
    pub(crate) async fn wait_for_status(&self, event: &str, status: &str) -> Value {
        eventually(&format!("{event} has {status}"), async || {
            Some(self.delivery_of(event).await).filter(|delivery| delivery["status"] == status)
        })
        .await
    }

    /// Waits until the delivery of an event to an endpoint has a status; its line of the log.
    pub(crate) async fn wait_for_status_at(&self, event: &str, endpoint: &Endpoint, status: &str) -> Value {
        eventually(&format!("{event} to {} has {status}", endpoint.id), async || {
            let log = self.log(&format!("event={event}&endpoint={}", endpoint.id)).await;
            log.into_iter().next().filter(|delivery| delivery["status"] == status)
        })
        .await
    }
}
