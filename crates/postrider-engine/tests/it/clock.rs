//! A wall clock that is set: schedules go on as if nothing had been.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant};

use postrider_core::node::NodeConfig;
use postrider_core::record::Status;
use postrider_core::time::Timestamp;
use postrider_engine::WallClock;
use postrider_engine::log::LogFilter;
use postrider_sqlite::SqliteConfig;

use crate::stand::{Stand, eventually};

const EVENTS: usize = 15;
/// The step of the schedule.
const STEP: Duration = Duration::from_secs(2);
const HOUR: i64 = 3_600_000_000;

/// The system's clock, and by how much it was set forward or back, in microseconds.
fn settable() -> (WallClock, Arc<AtomicI64>) {
    let by = Arc::new(AtomicI64::new(0));
    let told = by.clone();
    let begun = Instant::now();
    let wall = WallClock::of(move || {
        let elapsed = Timestamp::from_secs(1_760_000_000) + begun.elapsed();
        Timestamp::from_micros(elapsed.as_micros() + told.load(Ordering::SeqCst))
    });
    (wall, by)
}

async fn retries_keep_their_time_when_the_clock_is_set(by: i64) {
    let directory = tempfile::tempdir().unwrap();
    let (wall, set_by) = settable();
    // Without jitter.
    let node = NodeConfig { jitter_permille: 0, ..NodeConfig::default() };
    let stand = Stand::start_by(directory.path(), node, SqliteConfig::default(), STEP, wall).await;
    stand.refusing.store(true, Ordering::SeqCst);
    let ids: Vec<String> = (0..EVENTS).map(|n| format!("e{n}")).collect();
    for id in &ids {
        stand.publish(id).await.unwrap();
    }
    let all = |count| ids.iter().all(|id| stand.arrivals(id) >= count);
    eventually("each was attempted once", || all(1)).await;
    let failed = Instant::now();
    stand.refusing.store(false, Ordering::SeqCst);
    set_by.store(by, Ordering::SeqCst);
    eventually("each was attempted again", || all(2)).await;
    // Two seconds are what they are; a tenth may be made up for, and the last had failed a little after the first.
    let waited = failed.elapsed();
    assert!(waited >= STEP * 6 / 10, "a storm after {waited:?}");
    assert!(ids.iter().all(|id| stand.arrivals(id) == 2), "twice for one step");
    let filter = LogFilter { tenant: Some(stand.tenant), limit: EVENTS, ..LogFilter::default() };
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let rows = stand.engine.log(filter.clone()).await.unwrap().rows;
        if rows.iter().filter(|row| row.status == Status::Succeeded).count() == EVENTS {
            break;
        }
        assert!(Instant::now() < until, "each has its verdict: {rows:?}");
        tokio::task::yield_now().await;
    }
    stand.engine.stop(Duration::from_secs(5)).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a63_a_clock_that_is_set_an_hour_forward_starts_no_storm() {
    retries_keep_their_time_when_the_clock_is_set(HOUR).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a63_a_clock_that_is_set_an_hour_back_loses_no_retry() {
    retries_keep_their_time_when_the_clock_is_set(-HOUR).await;
}
