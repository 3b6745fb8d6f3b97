//! The publishers of the bench: connections that send a prebuilt request, wait for its answer, and send the next.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use parking_lot::Mutex;

use super::figures::Latencies;
use super::link::{Answer, Http, Link};
use super::pace::Pace;
use super::pool::Pool;
use super::record::{Clock, Run};
use super::request::Template;

/// New connections that a publisher makes before it gives up.
const MAX_RECONNECTS: u32 = 100;
/// How long publishers may go on after the window for their last answers.
const ANSWER_TIMEOUT: Duration = Duration::from_secs(30);
/// How long a publisher in a closed loop waits after the server said that it is overloaded.
const OVERLOAD_PAUSE: Duration = Duration::from_millis(20);

/// What is sent where, and for how long.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) address: SocketAddr,
    pub(super) template: Template,
    pub(super) connections: usize,
    pub(super) http: Http,
    /// Requests a second over all connections; a closed loop without.
    pub(super) rate: Option<f64>,
    /// Before the window is opened, in nanoseconds.
    pub(super) warmup_ns: u64,
    /// For how long it is open, in nanoseconds.
    pub(super) window_ns: u64,
}

/// What the publishers saw.
#[derive(Debug)]
pub(super) struct Published {
    /// The window, in nanoseconds of the clock.
    pub(super) window: Range<u64>,
    /// Events accepted in the window.
    pub(super) accepted_in_window: u64,
    /// Events accepted at any time.
    pub(super) accepted: u64,
    /// From the intended sending of a request to its answer.
    pub(super) latencies: Latencies,
    /// Events that were not accepted, by status code; 0 where a connection broke.
    pub(super) refused: BTreeMap<u16, u64>,
}

#[derive(Debug)]
struct Seen {
    accepted_in_window: u64,
    accepted: u64,
    latencies: Latencies,
    refused: BTreeMap<u16, u64>,
}

/// Sends until the window is over.
///
/// # Errors
/// When a connection cannot be made, or what answers is not HTTP.
pub(super) async fn publish(
    pool: &Pool,
    clock: Clock,
    run: &Arc<Run>,
    plan: &Plan,
) -> anyhow::Result<Published> {
    // What is seen is kept per thread: the lock is never contended, and there are few histograms to touch.
    let seen: Vec<Arc<Mutex<Seen>>> = (0..pool.len())
        .map(|_| {
            Arc::new(Mutex::new(Seen {
                accepted_in_window: 0,
                accepted: 0,
                latencies: Latencies::new(),
                refused: BTreeMap::new(),
            }))
        })
        .collect();
    let start = clock.now();
    let window = start + plan.warmup_ns..start + plan.warmup_ns + plan.window_ns;
    let tasks: Vec<_> = (0..plan.connections)
        .map(|number| {
            let publisher = Publisher {
                clock,
                run: run.clone(),
                seen: seen[number % pool.len()].clone(),
                address: plan.address,
                http: plan.http,
                template: plan.template.clone(),
                window: window.clone(),
                paced: plan.rate.is_some(),
            };
            let (rate, connections) = (plan.rate, plan.connections);
            pool.spawn(number, async move {
                let pace = match rate {
                    Some(rate) => Pace::open(rate, number, connections, start)?,
                    None => Pace::Closed,
                };
                publisher.run(pace).await
            })
        })
        .collect();
    // One bound for all: a timer for each answer would cost as much as reading it.
    let bound = Duration::from_nanos(plan.warmup_ns + plan.window_ns) + ANSWER_TIMEOUT;
    let aborts: Vec<_> = tasks.iter().map(tokio::task::JoinHandle::abort_handle).collect();
    let joined = tokio::time::timeout(bound, async {
        for task in tasks {
            task.await.context("a publisher ended early")??;
        }
        anyhow::Ok(())
    });
    let ended = joined.await;
    aborts.iter().for_each(tokio::task::AbortHandle::abort);
    ended.with_context(|| format!("{} did not answer within {ANSWER_TIMEOUT:?}", plan.address))??;
    let mut all = Published {
        window,
        accepted_in_window: 0,
        accepted: 0,
        latencies: Latencies::new(),
        refused: BTreeMap::new(),
    };
    for seen in seen {
        let seen = seen.lock();
        all.accepted_in_window += seen.accepted_in_window;
        all.accepted += seen.accepted;
        all.latencies.add(&seen.latencies);
        for (status, count) in &seen.refused {
            *all.refused.entry(*status).or_default() += count;
        }
    }
    Ok(all)
}

struct Publisher {
    clock: Clock,
    run: Arc<Run>,
    seen: Arc<Mutex<Seen>>,
    address: SocketAddr,
    http: Http,
    template: Template,
    window: Range<u64>,
    paced: bool,
}

impl Publisher {
    async fn run(mut self, mut pace: Pace) -> anyhow::Result<()> {
        let batch = self.template.events();
        let tenants = self.run.tenants();
        let mut link = Link::open(self.http, self.address).await?;
        let mut reconnects = 0;
        loop {
            let intended = pace.next(self.clock).await?;
            if intended >= self.window.end {
                return Ok(());
            }
            let Some(first) = self.run.take(batch) else { bail!("more events than a run can record") };
            self.run.sent(first, batch, intended);
            let request = self.template.fill(first, tenants);
            match link.exchange(request).await {
                Ok(answer) => {
                    let status = self.note(first, batch, intended, &answer);
                    if matches!(status, 429 | 503) && !self.paced {
                        tokio::time::sleep(OVERLOAD_PAUSE).await;
                    }
                }
                Err(error) => {
                    *self.seen.lock().refused.entry(0).or_default() += batch;
                    reconnects += 1;
                    if reconnects > MAX_RECONNECTS {
                        return Err(error.context("the connection broke again and again"));
                    }
                    link = Link::open(self.http, self.address).await?;
                }
            }
        }
    }

    fn note(&self, first: u64, batch: u64, intended: u64, answer: &Answer<'_>) -> u16 {
        let now = self.clock.now();
        let mut seen = self.seen.lock();
        if !(200..300).contains(&answer.status) {
            *seen.refused.entry(answer.status).or_default() += batch;
            return answer.status;
        }
        let accepted = if batch == 1 {
            self.run.accepted(first);
            1
        } else {
            let items = items(answer.body, batch as usize);
            items.iter().zip(first..).filter(|(ok, _)| **ok).for_each(|(_, n)| self.run.accepted(n));
            items.iter().filter(|ok| **ok).count() as u64
        };
        seen.accepted += accepted;
        if accepted < batch {
            *seen.refused.entry(422).or_default() += batch - accepted;
        }
        if self.window.contains(&now) {
            seen.accepted_in_window += accepted;
        }
        if self.window.contains(&intended) {
            seen.latencies.record(now.saturating_sub(intended));
        }
        answer.status
    }
}

/// Which items of a batch were accepted.
fn items(body: &[u8], batch: usize) -> Vec<bool> {
    // Counting is enough as long as nothing was refused; reading JSON would cost as much as the request.
    if memchr::memmem::find_iter(body, b"\"deliveries\"").count() == batch {
        return vec![true; batch];
    }
    #[derive(serde::Deserialize)]
    struct Items {
        data: Vec<postrider_client::BatchItem>,
    }
    let mut accepted: Vec<bool> = serde_json::from_slice::<Items>(body)
        .map(|items| items.data.iter().map(|item| item.outcome().is_ok()).collect())
        .unwrap_or_default();
    accepted.resize(batch, false);
    accepted
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn refused_items_of_a_batch_are_not_counted_as_accepted() {
        let all = br#"{"data":[{"id":"a","deliveries":1},{"id":"b","deliveries":0}]}"#;
        assert_eq!(items(all, 2), [true, true]);
        let some =
            br#"{"data":[{"error":{"type":"t","title":"Invalid","status":422}},{"id":"b","deliveries":1}]}"#;
        assert_eq!(items(some, 2), [false, true]);
        assert_eq!(items(b"nonsense", 2), [false, false]);
    }
}
