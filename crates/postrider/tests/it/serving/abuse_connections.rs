//! Callers that hold on to connections: others are served all the same.

use std::time::{Duration, Instant};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;

use crate::harness::{Server, within};

/// Connections of this test need as many open files.
fn allow_open_files(wanted: u64) {
    let limit = getrlimit(Resource::Nofile);
    if limit.current.is_some_and(|now| now < wanted) {
        setrlimit(Resource::Nofile, Rlimit { current: Some(wanted), maximum: limit.maximum }).unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a15_ten_thousand_idle_connections_and_slow_requests_keep_nobody_else_out() {
    const IDLE: usize = 10_000;
    allow_open_files(IDLE as u64 + 500);
    let server = Server::start().await;
    let acme = server.tenant("acme").await;
    let before = server.resident();
    let mut held = Vec::with_capacity(IDLE);
    for n in 0..IDLE {
        let mut stream = TcpStream::connect(server.address()).await.unwrap();
        // Every tenth begins a request and never ends it.
        if n % 10 == 0 {
            let _ = stream.write_all(b"POST /v1/events HTTP/1.1\r\nhost: x\r\nx-slow: ").await;
        }
        held.push(stream);
    }
    // Idle ones have to go within a bound where so many crowd in; then whoever has something to say gets through.
    let asked = Instant::now();
    within(Duration::from_secs(12), "a request is answered", async || {
        let mut connection = acme.api.connect().await.ok()?;
        let event = json!({"tenant": "acme", "type": "t", "data": 1});
        connection.publish(&event).await.ok().filter(|answer| answer.status == 202)
    })
    .await;
    eprintln!("answered {:?} after {IDLE} connections", asked.elapsed());
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 200 << 20, "memory grew by {grown} bytes");
    // All of them end by the server's doing, the slow ones too.
    let mut slow = held.swap_remove(0);
    within(Duration::from_secs(15), "a slow request is cut off", async || {
        let mut buffer = [0; 1_024];
        match tokio::time::timeout(Duration::from_millis(100), slow.read(&mut buffer)).await {
            Ok(Ok(0) | Err(_)) => Some(()),
            _ => None,
        }
    })
    .await;
}
