//! The platform's side: publishes card traffic at a steady rate through the API.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use anyhow::{Context as _, bail};
use postrider_client::{Accepted, Client, NewEvent};
use tokio::time::{Instant, sleep_until};

use super::cast::TENANTS;
use super::traffic::Happening;

/// Events in one call at most, when a publisher has fallen behind.
const MAX_BATCH: usize = 50;

/// What has been published so far.
#[derive(Debug, Default)]
pub(super) struct Progress {
    published: AtomicU64,
    accepted: AtomicU64,
    owed: AtomicU64,
}

impl Progress {
    /// Events sent to the server.
    pub(super) fn published(&self) -> u64 {
        self.published.load(Relaxed)
    }

    /// Events that the server answered with 202.
    pub(super) fn accepted(&self) -> u64 {
        self.accepted.load(Relaxed)
    }

    /// Deliveries of them, as the server said.
    pub(super) fn owed(&self) -> u64 {
        self.owed.load(Relaxed)
    }

    fn accept(&self, event: &Accepted) {
        self.accepted.fetch_add(1, Relaxed);
        self.owed.fetch_add(event.deliveries, Relaxed);
    }
}

/// Publishes the events of one tenant among the first `total` of a run, each when it is due. One call at a time, so that
/// events of one key are accepted in their order.
///
/// # Errors
/// When a call fails or an event is refused.
pub(super) async fn publish(
    client: &Client,
    tenant: usize,
    total: u64,
    rate: u32,
    progress: &Progress,
) -> anyhow::Result<()> {
    let start = Instant::now();
    let due_at = |number: u64| start + Duration::from_secs_f64(number as f64 / f64::from(rate));
    let mut next = tenant as u64;
    while next < total {
        sleep_until(due_at(next)).await;
        let now = Instant::now();
        let mut events: Vec<NewEvent> = Vec::new();
        while next < total && events.len() < MAX_BATCH && due_at(next) <= now {
            events.push(Happening::new(next).event(TENANTS[tenant])?);
            next += TENANTS.len() as u64;
        }
        progress.published.fetch_add(events.len() as u64, Relaxed);
        if let [event] = events.as_slice() {
            let answer = client.publish(event, None).await.context("an event could not be published")?;
            progress.accept(&answer);
            continue;
        }
        let answer = client.publish_many(&events, None).await.context("events could not be published")?;
        for item in answer.iter() {
            match item.outcome() {
                Ok(events) => events.iter().for_each(|event| progress.accept(event)),
                Err(problem) => bail!("an event was refused: {} ({})", problem.title, problem.status),
            }
        }
    }
    Ok(())
}
