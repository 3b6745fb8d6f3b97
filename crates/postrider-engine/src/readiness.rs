//! Whether the engine does its work, and the figures that it shows of itself.

use std::sync::atomic::Ordering;
use std::time::Duration;

use crate::Engine;

/// A due delivery of an endpoint that can be attempted may wait for its turn for so long before the node is not ready.
const TURN_BOUND: Duration = Duration::from_secs(30);
/// Pages that may fail to be read in a row.
const FAILED_READS: u32 = 5;

/// The answer of `/readyz`.
#[derive(Debug, Clone)]
pub struct Readiness {
    /// Whether every check passed.
    pub ready: bool,
    /// Each check with what is wrong.
    pub checks: Vec<(&'static str, Result<(), String>)>,
}

impl Engine {
    /// Whether the store commits, every loop runs, and due deliveries do not wait too long.
    pub fn readiness(&self) -> Readiness {
        let shared = &self.driver().0;
        let health = &shared.health;
        let dead = health.dead_loops.lock().clone();
        let (waiting, own_fault, stopping) = {
            let machine = shared.machine.lock();
            (machine.node.longest_wait(shared.clock.now()), machine.node.own_fault(), machine.stopping)
        };
        let check = |bad: bool, why: &str| if bad { Err(why.to_owned()) } else { Ok(()) };
        let checks = vec![
            ("loops", if dead.is_empty() { Ok(()) } else { Err(format!("ended: {}", dead.join(", "))) }),
            ("store", check(health.failing.load(Ordering::Relaxed), "the store cannot write")),
            (
                "reads",
                check(health.failed_reads.load(Ordering::Relaxed) > FAILED_READS, "the store cannot be read"),
            ),
            ("disk", check(health.disk_low.load(Ordering::Relaxed), "the disk is nearly full")),
            ("network", check(own_fault, "dispatch pauses: a fault of our own network or resources")),
            ("dispatch", check(waiting > TURN_BOUND, "due deliveries wait too long for their turn")),
            ("running", check(stopping, "stopping")),
        ];
        Readiness { ready: checks.iter().all(|(_, result)| result.is_ok()), checks }
    }

    /// Brings the process's metrics up to date; called when they are read, so that the hot path records nothing.
    pub fn record_metrics(&self) {
        let (counts, in_flight, (entries, bytes)) = self.driver().counts();
        metrics::counter!("postrider_events_accepted_total").absolute(counts.accepted);
        metrics::counter!("postrider_events_over_quota_total").absolute(counts.refused);
        metrics::counter!("postrider_deliveries_owed_total").absolute(counts.owed);
        metrics::counter!("postrider_attempts_total", "result" => "succeeded").absolute(counts.succeeded);
        metrics::counter!("postrider_attempts_total", "result" => "failed").absolute(counts.failed);
        metrics::counter!("postrider_attempts_total", "result" => "local_fault")
            .absolute(counts.local_faults);
        metrics::counter!("postrider_breakers_tripped_total").absolute(counts.tripped);
        metrics::counter!("postrider_commits_total").absolute(counts.groups);
        gauge("postrider_attempts_in_flight", in_flight);
        gauge("postrider_window_entries", entries);
        gauge("postrider_window_bytes", bytes);
        gauge("postrider_ready", usize::from(self.readiness().ready));
    }

    /// Ends when the process cannot go on: a loop died or the store is beyond repair.
    pub async fn failed(&self) {
        let health = &self.driver().0.health;
        while !health.fatal.load(Ordering::Acquire) {
            health.fatal_wake.notified().await;
        }
    }
}

#[allow(clippy::cast_precision_loss, reason = "far below 2^52")]
fn gauge(name: &'static str, value: usize) {
    metrics::gauge!(name).set(value as f64);
}
