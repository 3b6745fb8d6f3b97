//! The same exchanges through hyper, as an ordinary client and an ordinary service make them.

use std::convert::Infallible;

use anyhow::{Context, bail};
use http_body_util::{BodyExt, Empty, Full, Limited};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1::SendRequest;
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use tokio::net::TcpStream;

use super::link::{Answer, MAX_ANSWER_BYTES, MAX_HEADERS};
use super::record::{Arrival, Recorder};

/// A connection of a publisher.
#[derive(Debug)]
pub(super) struct Connection {
    sender: SendRequest<Full<Bytes>>,
    answer: Bytes,
}

impl Connection {
    pub(super) async fn open(stream: TcpStream) -> anyhow::Result<Self> {
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream)).await?;
        // It ends with the sender; what breaks it is told to the request under way.
        drop(tokio::spawn(connection));
        Ok(Self { sender, answer: Bytes::new() })
    }

    pub(super) async fn exchange(&mut self, request: &[u8]) -> anyhow::Result<Answer<'_>> {
        self.sender.ready().await?;
        let response = self.sender.send_request(build(request)?).await?;
        let status = response.status().as_u16();
        let body = Limited::new(response.into_body(), MAX_ANSWER_BYTES).collect().await;
        self.answer = body.map_err(|e| anyhow::anyhow!("the answer broke off: {e}"))?.to_bytes();
        Ok(Answer { status, body: &self.answer })
    }
}

/// The request that the bytes stand for.
fn build(bytes: &[u8]) -> anyhow::Result<Request<Full<Bytes>>> {
    let mut headers = [httparse::EMPTY_HEADER; MAX_HEADERS];
    let mut parsed = httparse::Request::new(&mut headers);
    let httparse::Status::Complete(head) = parsed.parse(bytes)? else {
        bail!("the request has no whole head")
    };
    let mut request =
        Request::builder().method(parsed.method.unwrap_or("POST")).uri(parsed.path.unwrap_or("/"));
    for header in parsed.headers.iter() {
        request = request.header(header.name, header.value);
    }
    request.body(Full::new(Bytes::copy_from_slice(&bytes[head..]))).context("the request is not HTTP")
}

/// Answers the requests of one connection to the receiver.
pub(super) async fn serve(stream: TcpStream, recorder: &Recorder) -> hyper::Result<()> {
    let service = service_fn(|request: Request<Incoming>| async move {
        let (head, body) = request.into_parts();
        // A body that broke off did not arrive.
        if body.collect().await.is_ok()
            && let (Some(run), Some(id)) = (recorder.run.load().as_ref(), head.headers.get("webhook-id"))
        {
            let arrival = Arrival { id: id.as_bytes(), path: head.uri.path() };
            run.arrive(arrival, recorder.clock.now());
        }
        Ok::<_, Infallible>(Response::new(Empty::<Bytes>::new()))
    });
    hyper::server::conn::http1::Builder::new().serve_connection(TokioIo::new(stream), service).await
}
