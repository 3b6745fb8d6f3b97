//! What comes off the wire before it is a request: framing, slowness, size, the end.

use std::time::Duration;

use postrider_server::ServerConfig;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::{Instant, timeout};

use crate::fixture::{ADMIN, Server};

/// Bounds short enough to be reached in a test.
fn impatient() -> ServerConfig {
    ServerConfig {
        head_timeout: Duration::from_millis(200),
        idle_timeout: Duration::from_millis(400),
        ..ServerConfig::default()
    }
}

/// Sends bytes and reads until the server closes, for at most ten seconds.
async fn talk(server: &Server, bytes: &[u8]) -> String {
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    // The server may close before it has read everything.
    let _ = stream.write_all(bytes).await;
    read_to_end(&mut stream).await
}

async fn read_to_end(stream: &mut TcpStream) -> String {
    let mut answer = Vec::new();
    // A reset after the answer is an end as well.
    let _ = timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await.expect("it never closed");
    String::from_utf8_lossy(&answer).into_owned()
}

fn answers(text: &str) -> usize {
    text.matches("HTTP/1.1 ").count()
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a79_a_message_that_two_parsers_could_read_differently_is_refused_and_closed() {
    let server = Server::start().await;
    let behind = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    for head in [
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n",
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\nContent-Length: 5\r\n\r\n",
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nContent-Length: +5\r\n\r\nhello",
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
        "GET /healthz HTTP/1.1\nHost: a\n\n",
        "GET /healthz HTTP/1.1\r\nHost: a\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nX: a\r\n b\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost : a\r\n\r\n",
        "GET /healthz HTTP/1.1\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n",
        "GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n",
    ] {
        let answer = talk(&server, format!("{head}{behind}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answers(&answer) == 1, "{head:?}: {answer}");
    }
    // In a body the head is already on its way; what is behind the fault is still no request.
    let chunked = format!(
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\n\
         Transfer-Encoding: chunked\r\n\r\n"
    );
    for body in
        ["5\nhello\r\n0\r\n\r\n", "5;".to_owned().as_str(), "5 \r\nhello\r\n0\r\n\r\n", "0\r\nX: y\r\n\r\n"]
    {
        let body = if body == "5;" {
            format!("5;{}\r\nhello\r\n0\r\n\r\n", "x".repeat(1_000))
        } else {
            body.to_owned()
        };
        let answer = talk(&server, format!("{chunked}{body}{behind}").as_bytes()).await;
        assert!(answer.starts_with("HTTP/1.1 400") && answers(&answer) == 1, "{body:?}: {answer}");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a79_what_is_left_of_a_refused_body_never_becomes_a_request() {
    let server = Server::start().await;
    let smuggled = "GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let head = format!(
        "POST /v1/events HTTP/1.1\r\nHost: a\r\nAuthorization: Bearer {ADMIN}\r\nContent-Type: application/json\r\n\
         Content-Length: 99999999\r\n\r\n"
    );
    let answer = talk(&server, format!("{head}{smuggled}").as_bytes()).await;
    assert!(answer.starts_with("HTTP/1.1 413") && answers(&answer) == 1, "{answer}");
}

#[tokio::test(flavor = "multi_thread")]
async fn abuse_a15_slow_idle_and_oversized_heads_are_cut_off_and_others_served() {
    let server = Server::start_with(impatient()).await;
    let started = Instant::now();
    // One byte now and then: the time for a whole head runs all the same.
    let mut slow = TcpStream::connect(server.address).await.unwrap();
    let dripping = tokio::spawn(async move {
        for byte in b"GET /healthz HTTP/1.1\r\nX: aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa" {
            if slow.write_all(&[*byte]).await.is_err() {
                break;
            }
            tokio::time::sleep(Duration::from_millis(50)).await;
        }
        read_to_end(&mut slow).await
    });
    assert_eq!(talk(&server, b"").await, "");
    let half = talk(&server, b"PRI * HTTP/2.0\r\n\r\nSM").await;
    assert!(half.is_empty() || half.starts_with("HTTP/1.1 400"), "{half}");
    let idle = talk(&server, b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await;
    assert!(idle.starts_with("HTTP/1.1 200"), "{idle}");
    assert_eq!(dripping.await.unwrap(), "");
    assert!(started.elapsed() < Duration::from_secs(9));
    let huge = format!("GET /healthz HTTP/1.1\r\nX: {}\r\n\r\n", "x".repeat(1 << 20));
    let answer = talk(&server, huge.as_bytes()).await;
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 4"), "{answer}");
    let many = format!("GET /healthz HTTP/1.1\r\nHost: a\r\n{}\r\n", "X: y\r\n".repeat(101));
    assert!(talk(&server, many.as_bytes()).await.starts_with("HTTP/1.1 431"));
    assert_eq!(server.call("", "GET", "/healthz", "").await.status, 200);
}

#[tokio::test(flavor = "multi_thread")]
async fn connections_beyond_the_bound_are_refused_until_one_ends() {
    let server = Server::start_with(ServerConfig { max_connections: 2, ..ServerConfig::default() }).await;
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n";
    let mut held = Vec::new();
    for _ in 0..2 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request).await.unwrap();
        assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
        held.push(stream);
    }
    assert_eq!(talk(&server, request).await, "");
    held.pop();
    let request = b"GET /healthz HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n";
    let deadline = Instant::now() + Duration::from_secs(10);
    while !talk(&server, request).await.starts_with("HTTP/1.1 200") {
        assert!(Instant::now() < deadline, "the place was never free again");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn http_2_is_served_on_the_same_port() {
    let server = Server::start().await;
    let client = hyper_util::client::legacy::Client::builder(hyper_util::rt::TokioExecutor::new())
        .http2_only(true)
        .build_http::<http_body_util::Empty<bytes::Bytes>>();
    let answer = client.get(format!("http://{}/healthz", server.address).parse().unwrap()).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.version()), (200, http::Version::HTTP_2));
}

#[tokio::test(flavor = "multi_thread")]
async fn a_shutdown_closes_idle_connections_and_ends_the_server() {
    let server = Server::start().await;
    let mut stream = TcpStream::connect(server.address).await.unwrap();
    stream.write_all(b"GET /healthz HTTP/1.1\r\nHost: a\r\n\r\n").await.unwrap();
    assert!(stream.read(&mut [0; 1024]).await.unwrap() > 0);
    let address = server.address;
    timeout(Duration::from_secs(10), server.shut_down()).await.expect("it ends");
    assert_eq!(read_to_end(&mut stream).await, "");
    assert!(TcpStream::connect(address).await.is_err());
}
