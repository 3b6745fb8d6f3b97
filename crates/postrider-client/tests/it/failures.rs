//! Refusals, silence and nonsense are told apart.

use std::time::Duration;

use postrider_client::{Client, Error, Options, PageRequest};

use crate::server::Server;

#[tokio::test]
async fn a_refusal_carries_the_whole_problem_and_when_to_try_again() {
    let server = Server::with_headers(
        503,
        vec![("retry-after", "7"), ("content-type", "application/problem+json")],
        r#"{"type":"https://postrider.dev/problems/overloaded","title":"Overloaded","status":503,"detail":"the commit queue is full","request_id":"r1","errors":[{"pointer":"/a","detail":"b"}]}"#,
    )
    .await;
    let error = server.client().get_tenant("acme").await.unwrap_err();
    let api = error.as_api().unwrap();
    assert_eq!((api.status, api.retry_after), (503, Some(Duration::from_secs(7))));
    assert_eq!(api.problem.request_id.as_deref(), Some("r1"));
    assert_eq!(error.to_string(), "Overloaded (503): the commit queue is full; /a: b");
}

#[tokio::test]
async fn a_failed_health_check_is_an_answer() {
    let server = Server::answering(503, "store does not commit").await;
    let health = server.client().readyz().await.unwrap();
    assert!(!health.ok);
    assert_eq!((health.status, health.body.as_str()), (503, "store does not commit"));
    assert_eq!(server.last().line, "GET /readyz");
    server.client().healthz().await.unwrap();
    assert_eq!(server.last().line, "GET /healthz");
}

#[tokio::test]
async fn a_redirect_or_an_answer_of_another_shape_is_unexpected() {
    let server = Server::with_headers(302, vec![("location", "http://127.0.0.1:9/")], "").await;
    let error = server.client().get_tenant("acme").await.unwrap_err();
    assert!(matches!(error, Error::Unexpected { status: 302, .. }), "{error}");
    let server = Server::answering(200, "<html>").await;
    let error = server.client().list_tenants(&PageRequest::default()).await.unwrap_err();
    assert!(matches!(error, Error::Unexpected { status: 200, .. }), "{error}");
}

#[tokio::test]
async fn nobody_listening_is_unreachable() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    drop(listener);
    let client = Client::new(&format!("http://{address}"), "").unwrap();
    let error = client.healthz().await.unwrap_err();
    assert!(matches!(error, Error::Unreachable { .. }), "{error}");
}

#[tokio::test]
async fn a_server_that_never_answers_is_given_up_within_the_bound() {
    // The kernel completes the handshake from the backlog; nobody ever reads.
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let options = Options { call_timeout: Duration::from_millis(50), ..Options::default() };
    let client =
        Client::with_options(&format!("http://{}", listener.local_addr().unwrap()), "", options).unwrap();
    let error = client.healthz().await.unwrap_err();
    assert!(matches!(error, Error::Timeout { .. }), "{error}");
}

#[tokio::test]
async fn a_connection_cut_in_the_answer_is_a_failed_exchange() {
    let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    tokio::spawn(async move {
        use tokio::io::{AsyncReadExt, AsyncWriteExt};
        let (mut stream, _) = listener.accept().await.unwrap();
        let _ = stream.read(&mut [0; 1024]).await.unwrap();
        stream.write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\n{").await.unwrap();
    });
    let client = Client::new(&format!("http://{address}"), "").unwrap();
    let error = client.get_tenant("acme").await.unwrap_err();
    assert!(matches!(error, Error::Exchange { .. }), "{error}");
}
