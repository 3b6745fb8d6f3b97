//! A server of the test: one scripted answer for every request, and a record of the requests.

use std::net::SocketAddr;
use std::sync::{Arc, Mutex};

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request, State};
use axum::response::Response;
use postrider_client::Client;

#[derive(Debug, Clone)]
pub(crate) struct Seen {
    pub(crate) line: String,
    pub(crate) headers: axum::http::HeaderMap,
    pub(crate) body: String,
}

#[derive(Clone)]
pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    seen: Arc<Mutex<Vec<Seen>>>,
}

type Script = (Arc<Mutex<Vec<Seen>>>, u16, Vec<(&'static str, &'static str)>, &'static str);

impl Server {
    pub(crate) async fn answering(status: u16, body: &'static str) -> Self {
        Self::with_headers(status, vec![("content-type", "application/json")], body).await
    }

    pub(crate) async fn with_headers(
        status: u16,
        headers: Vec<(&'static str, &'static str)>,
        body: &'static str,
    ) -> Self {
        let seen = Arc::new(Mutex::new(Vec::new()));
        let script: Script = (seen.clone(), status, headers, body);
        let app = Router::new().fallback(answer).with_state(script);
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        tokio::spawn(async move { axum::serve(listener, app).await });
        Self { address, seen }
    }

    pub(crate) fn client(&self) -> Client {
        Client::new(&format!("http://{}", self.address), "tok-1").unwrap()
    }

    pub(crate) fn last(&self) -> Seen {
        self.seen.lock().unwrap().last().cloned().expect("a request was made")
    }
}

async fn answer(State((seen, status, headers, body)): State<Script>, request: Request) -> Response {
    let (parts, sent) = request.into_parts();
    let sent = to_bytes(sent, 1 << 20).await.unwrap();
    seen.lock().unwrap().push(Seen {
        line: format!("{} {}", parts.method, parts.uri),
        headers: parts.headers,
        body: String::from_utf8(sent.to_vec()).unwrap(),
    });
    let mut response = Response::builder().status(status);
    for (name, value) in headers {
        response = response.header(name, value);
    }
    response.body(Body::from(body)).unwrap()
}
