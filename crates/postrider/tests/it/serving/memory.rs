//! Memory holds what is worked on, not what waits.

use std::time::Duration;

use serde_json::{Value, json};

use crate::harness::{Receiver, Setup, within};

const MIB: u64 = 1 << 20;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_does_not_grow_with_the_backlog() {
    let server = Setup::default().set("WINDOW_ENTRIES", "1024").start().await;
    let receiver = Receiver::start().await;
    let acme = server.tenant("acme").await;
    let endpoint = acme.endpoint(json!({"url": receiver.url(), "enabled": false})).await;
    let filling = "x".repeat(1_000);
    let event = |n: usize| json!({"tenant": "acme", "type": "t", "key": format!("k{}", n % 100), "data": {"n": n, "x": filling}});
    let publish = async |from: usize, count: usize| {
        for start in (from..from + count).step_by(1_000) {
            let batch: Vec<Value> = (start..start + 1_000).map(event).collect();
            acme.api.publish_text(&Value::from(batch).to_string()).await.ok(202);
        }
    };
    // Caches fill with the first of it; what comes after may add nothing of its own size.
    publish(0, 20_000).await;
    let before = server.resident();
    publish(20_000, 40_000).await;
    let grown = server.resident().saturating_sub(before);
    eprintln!("{} MiB with 20,000 pending, {} KiB more with 60,000", before / MIB, grown / 1_024);
    assert!(grown < 16 * MIB, "40 MiB more pending took {grown} bytes");

    acme.patch(&endpoint, json!({"enabled": true})).await;
    within(Duration::from_secs(60), "everything arrives", async || {
        (receiver.count() >= 60_000).then_some(())
    })
    .await;
    let grown = server.resident().saturating_sub(before);
    assert!(grown < 32 * MIB, "delivering it took {grown} bytes");
}
