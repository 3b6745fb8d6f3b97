//! The account of a run with crashes: what publishers were promised, against what arrived.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use serde_json::json;
use tokio::task::JoinHandle;

use crate::harness::{Api, Received, Tenant, within};

/// Publishers at once.
const PUBLISHERS: usize = 8;
/// Ordering keys, which the events take in turn.
const KEYS: u64 = 50;
/// What arrived so long before a crash is durable, or the disk is slower than anything that is planned for.
const UNDURABLE: Duration = Duration::from_secs(5);

/// What the publishers know.
#[derive(Default)]
pub(super) struct Account {
    next: AtomicU64,
    /// Events whose 202 came.
    acknowledged: Mutex<BTreeSet<String>>,
    /// Every event that was sent at least once.
    sent: Mutex<BTreeSet<String>>,
    stop: AtomicBool,
}

/// What became of it.
pub(super) struct Outcome {
    /// Events that were acknowledged.
    pub(super) acknowledged: usize,
    /// Those of them that arrived at each endpoint.
    pub(super) delivered: usize,
    /// Events that arrived though their publisher never heard that they would.
    pub(super) unasked: usize,
    /// Requests that repeat one that was answered well.
    pub(super) repeated: usize,
    /// Acknowledged events that did not arrive, with the endpoint.
    pub(super) lost: Vec<(String, String)>,
    /// Repeated without a crash that explains it.
    pub(super) unexplained: Vec<(String, String)>,
}

impl Account {
    /// How many events were acknowledged so far.
    pub(super) fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
    }

    /// Waits until so many are.
    pub(super) async fn reaches(&self, enough: usize) {
        within(Duration::from_secs(20), "enough are acknowledged", async || {
            (self.acknowledged() >= enough).then_some(())
        })
        .await;
    }

    /// Has events published until the server is gone, or [`Self::stop`].
    pub(super) fn publish(self: &Arc<Self>, api: &Api) -> Vec<JoinHandle<()>> {
        (0..PUBLISHERS).map(|_| tokio::spawn(publisher(api.clone(), self.clone()))).collect()
    }

    /// Ends the publishers after what they are at.
    pub(super) fn stop(&self) {
        self.stop.store(true, SeqCst);
    }

    /// The key of an event.
    pub(super) fn key(event: &str) -> String {
        let number: u64 = event[1..].parse().unwrap();
        format!("k{}", number % KEYS)
    }

    /// Holds what arrived at some paths against what was promised. `succeeded` tells whether a request was answered well;
    /// `crashes` are the moments at which one side died.
    pub(super) fn close(
        &self,
        arrived: &[Received],
        paths: &[&str],
        succeeded: impl Fn(&Received) -> bool,
        crashes: &[Instant],
    ) -> Outcome {
        let (acknowledged, sent) = (self.acknowledged.lock().unwrap(), self.sent.lock().unwrap());
        let mut successes: BTreeMap<(String, String), Vec<Instant>> = BTreeMap::new();
        for request in arrived {
            assert!(sent.contains(request.event()), "{} was never published", request.event());
            if succeeded(request) {
                let delivery = (request.event().to_owned(), request.path.clone());
                successes.entry(delivery).or_default().push(request.at);
            }
        }
        let deliveries =
            |event: &String| paths.iter().map(|path| (event.clone(), (*path).to_owned())).collect::<Vec<_>>();
        let lost: Vec<_> = acknowledged
            .iter()
            .flat_map(deliveries)
            .filter(|delivery| !successes.contains_key(delivery))
            .collect();
        let lost_events: BTreeSet<&String> = lost.iter().map(|(event, _)| event).collect();
        let arrived: BTreeSet<&String> = successes.keys().map(|(event, _)| event).collect();
        let mut repeated = 0;
        let mut unexplained = Vec::new();
        for (delivery, times) in &successes {
            for pair in times.windows(2) {
                repeated += 1;
                // The first answer must have been on its way, or not yet written down, when a crash came.
                let explains = |crash: &&Instant| {
                    pair[0] <= **crash && **crash <= pair[1] && **crash - pair[0] <= UNDURABLE
                };
                if !crashes.iter().any(|crash| explains(&crash)) {
                    unexplained.push(delivery.clone());
                }
            }
        }
        Outcome {
            acknowledged: acknowledged.len(),
            delivered: acknowledged.len() - lost_events.len(),
            unasked: arrived.into_iter().filter(|event| !acknowledged.contains(*event)).count(),
            repeated,
            lost,
            unexplained,
        }
    }
}

impl Outcome {
    /// Tells it, and fails where it is not as promised.
    pub(super) fn tell(&self, what: &str) {
        eprintln!(
            "{what}: {} acknowledged, {} of them delivered, {} lost; {} delivered without an acknowledgement that came \
             through; {} repeated around a crash, {} without one",
            self.acknowledged,
            self.delivered,
            self.lost.len(),
            self.unasked,
            self.repeated - self.unexplained.len(),
            self.unexplained.len()
        );
        assert!(self.lost.is_empty(), "lost: {:?}", self.lost);
        assert!(self.unexplained.is_empty(), "repeated: {:?}", self.unexplained);
    }
}

/// Publishes events of its own ids, one after the other on one connection, until it breaks or is told to stop.
async fn publisher(api: Api, account: Arc<Account>) {
    let Ok(mut connection) = api.connect().await else { return };
    while !account.stop.load(SeqCst) {
        let n = account.next.fetch_add(1, SeqCst);
        let id = format!("e{n}");
        account.sent.lock().unwrap().insert(id.clone());
        let event =
            json!({"tenant": "acme", "type": "t", "id": id, "key": Account::key(&id), "data": {"n": n}});
        let Ok(answer) = connection.publish(&event).await else { return };
        match answer.status {
            202 => {
                account.acknowledged.lock().unwrap().insert(id);
            }
            // Stopping or overloaded: not acknowledged, so nothing was promised.
            503 => {}
            other => panic!("{other}: {}", answer.text()),
        }
        if answer.header("connection") == Some("close") {
            return;
        }
    }
}

/// Waits until publishers have ended.
pub(super) async fn finish(publishers: Vec<JoinHandle<()>>) {
    for publisher in publishers {
        publisher.await.unwrap();
    }
}

/// Waits until every delivery has its verdict.
pub(super) async fn everything_settles(acme: &Tenant) {
    within(Duration::from_secs(30), "nothing is pending any more", async || {
        let page = acme.api.get(&acme.path("deliveries?status=pending&limit=1")).await.ok(200);
        (page["data"].as_array().unwrap().is_empty() && page["next_cursor"].is_null()).then_some(())
    })
    .await;
}

/// The sequence numbers of what arrived are the same for each delivery, and no two deliveries share one. Gives them.
pub(super) fn one_number_each(arrived: &[Received]) -> BTreeSet<(String, u64)> {
    let mut numbers: BTreeMap<(String, u64), &str> = BTreeMap::new();
    for request in arrived {
        let number = (request.path.clone(), request.sequence());
        let event = *numbers.entry(number).or_insert(request.event());
        assert_eq!(event, request.event(), "a number was given twice");
    }
    numbers.into_keys().collect()
}

/// Within a key each is first tried in the order of acceptance, whatever was repeated between.
pub(super) fn in_order_of_acceptance<'a>(arrived: impl Iterator<Item = &'a Received>) {
    let mut reached: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    for request in arrived {
        if seen.insert(request.sequence()) {
            let last = reached.insert(Account::key(request.event()), request.sequence());
            assert!(last.is_none_or(|last| last < request.sequence()), "{} came too early", request.event());
        }
    }
}
