//! Connections: reuse, age, what a request looks like on the wire.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use http::{HeaderMap, HeaderValue, Method};
use postrider_dispatch::{DispatchConfig, Dispatcher, Request};
use tokio::io::AsyncWriteExt as _;
use tokio::sync::mpsc;
use tokio::time::timeout;

use crate::support::{
    LONG, dev_policy, loopback, loopback_with, post, post_to, read_request, receive, wait_for_close,
};

const OK: &[u8] = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n";

#[test]
fn a_send_may_move_between_threads() {
    fn is_send<T: Send>(_: &T) {}
    fn check(dispatcher: &Dispatcher, request: Request) {
        is_send(&dispatcher.send(request));
    }
    let _ = check;
}

#[tokio::test]
async fn a_connection_is_used_again() {
    let connections = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&connections);
    let receiver = receive(move |mut stream, _| {
        counted.fetch_add(1, Ordering::Relaxed);
        async move {
            while read_request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let dispatcher = loopback();
    for _ in 0..20 {
        let report = post_to(&dispatcher, receiver, LONG).await;
        assert_eq!(report.remote_address, Some(receiver));
        assert_eq!(report.result.unwrap().status, 200);
    }
    assert_eq!(connections.load(Ordering::Relaxed), 1);
}

#[tokio::test]
async fn abuse_a42_a_connection_closed_at_the_moment_of_reuse_is_replaced_and_the_request_leaves_once() {
    const ROUNDS: usize = 50;
    let (closed, mut was_closed) = mpsc::channel(1);
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let receiver = receive(move |mut stream, _| {
        let (closed, counted) = (closed.clone(), Arc::clone(&counted));
        async move {
            if read_request(&mut stream).await.is_some() {
                counted.fetch_add(1, Ordering::Relaxed);
                stream.write_all(OK).await.unwrap();
            }
            drop(stream);
            closed.send(()).await.unwrap();
        }
    })
    .await;
    let dispatcher = loopback();
    for _ in 0..ROUNDS {
        // The receiver says keep-alive, closes, and the next request follows at once: the dispatcher still
        // believes that the connection lives.
        let report = post_to(&dispatcher, receiver, LONG).await;
        assert_eq!(report.result.unwrap().status, 200);
        timeout(LONG, was_closed.recv()).await.unwrap().unwrap();
    }
    assert_eq!(requests.load(Ordering::Relaxed), ROUNDS, "each request arrived exactly once");
}

#[tokio::test]
async fn an_old_connection_gets_no_new_requests_and_is_closed() {
    let (opened, mut was_opened) = mpsc::channel(64);
    let (closed, mut was_closed) = mpsc::channel(64);
    let receiver = receive(move |mut stream, _| {
        let (opened, closed) = (opened.clone(), closed.clone());
        async move {
            opened.send(()).await.unwrap();
            while read_request(&mut stream).await.is_some() {
                stream.write_all(OK).await.unwrap();
            }
            wait_for_close(&mut stream).await;
            let _ = closed.send(()).await;
        }
    })
    .await;
    let config =
        DispatchConfig { max_connection_age: Duration::from_millis(100), ..DispatchConfig::default() };
    let dispatcher = loopback_with(config);
    let replaced = async {
        while was_opened.len() < 2 {
            assert_eq!(post_to(&dispatcher, receiver, LONG).await.result.unwrap().status, 200);
        }
    };
    timeout(LONG, replaced).await.unwrap();
    assert!(was_opened.try_recv().is_ok());
    timeout(LONG, was_closed.recv()).await.unwrap().unwrap();
}

#[tokio::test]
async fn a_request_arrives_as_it_was_given_with_title_case_names() {
    let (seen, mut requests) = mpsc::channel(2);
    let receiver = receive(move |mut stream, _| {
        let seen = seen.clone();
        async move {
            while let Some(request) = read_request(&mut stream).await {
                seen.send(request).await.unwrap();
                stream.write_all(OK).await.unwrap();
            }
        }
    })
    .await;
    let dispatcher = loopback();
    let mut headers = HeaderMap::new();
    headers.insert("webhook-id", HeaderValue::from_static("msg_1"));
    headers.insert("content-type", HeaderValue::from_static("application/json"));
    let url = format!("http://{receiver}/hook?a=b&c");
    let request = Request { headers, ..post(&url, &dev_policy(), LONG) };
    dispatcher.send(request.clone()).await.result.unwrap();
    assert_eq!(
        requests.recv().await.unwrap(),
        format!(
            "POST /hook?a=b&c HTTP/1.1\r\nWebhook-Id: msg_1\r\nContent-Type: application/json\r\n\
             Host: {receiver}\r\nContent-Length: 11\r\n\r\n{{\"hello\":1}}"
        )
    );
    let get =
        Request { method: Method::GET, headers: HeaderMap::new(), body: bytes::Bytes::new(), ..request };
    dispatcher.send(get).await.result.unwrap();
    assert_eq!(
        requests.recv().await.unwrap(),
        format!("GET /hook?a=b&c HTTP/1.1\r\nHost: {receiver}\r\n\r\n")
    );
}
