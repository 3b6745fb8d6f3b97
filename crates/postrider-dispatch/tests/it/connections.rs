//! Connections: reuse, age, what a request looks like on the wire.

use std::io::{Read as _, Write as _};
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

/// Sends requests one after the other; after each, the receiver does `mischief` to the idle connection and
/// closes it. It runs on a thread of its own, and this task blocks the only other one meanwhile, so that the
/// dispatcher cannot be told before it takes the next request.
async fn reuse_after(mischief: fn(&mut std::net::TcpStream)) {
    const ROUNDS: usize = 20;
    let listener = std::net::TcpListener::bind("127.0.0.1:0").unwrap();
    let receiver = listener.local_addr().unwrap();
    let (go, may_go) = std::sync::mpsc::channel();
    let (gone, was_gone) = std::sync::mpsc::channel();
    let requests = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&requests);
    let thread = std::thread::spawn(move || {
        let mut before = None;
        for _ in 0..ROUNDS {
            let (mut stream, _) = listener.accept().unwrap();
            drop(before.take());
            let mut read = Vec::new();
            while !read.ends_with(b"{\"hello\":1}") {
                let mut chunk = [0; 4096];
                let length = stream.read(&mut chunk).unwrap();
                read.extend_from_slice(&chunk[..length]);
            }
            counted.fetch_add(1, Ordering::Relaxed);
            stream.write_all(OK).unwrap();
            may_go.recv().unwrap();
            mischief(&mut stream);
            before = Some(stream);
            gone.send(()).unwrap();
        }
    });
    let dispatcher = loopback();
    for round in 1..=ROUNDS {
        let report = post_to(&dispatcher, receiver, LONG).await;
        assert_eq!(report.result.unwrap().status, 200);
        assert_eq!(requests.load(Ordering::Relaxed), round, "each request arrives exactly once");
        // Lets the dispatcher put the connection into its pool.
        for _ in 0..20 {
            tokio::task::yield_now().await;
        }
        go.send(()).unwrap();
        was_gone.recv_timeout(LONG).unwrap();
    }
    thread.join().unwrap();
}

#[tokio::test]
async fn abuse_a42_a_connection_closed_at_the_moment_of_reuse_is_replaced_and_the_request_leaves_once() {
    reuse_after(|stream| stream.shutdown(std::net::Shutdown::Both).unwrap()).await;
}

#[tokio::test]
async fn abuse_a91_an_answer_sent_ahead_at_the_moment_of_reuse_is_dropped_with_its_connection() {
    reuse_after(|stream| {
        stream.write_all(b"HTTP/1.1 299 Ahead\r\nContent-Length: 0\r\n\r\n").unwrap();
    })
    .await;
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
