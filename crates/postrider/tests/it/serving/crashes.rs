//! Stops and crashes under load: what was acknowledged is delivered, and nothing twice without a crash between.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;

use crate::harness::{Api, Receiver, Reply, Server, Setup, Tenant, within};

/// What the publishers know.
#[derive(Default)]
struct Account {
    next: AtomicU64,
    /// Events whose 202 came.
    acknowledged: Mutex<BTreeSet<String>>,
    /// Every event that was sent at least once.
    sent: Mutex<BTreeSet<String>>,
    refused: AtomicU64,
    stop: AtomicBool,
}

impl Account {
    fn acknowledged(&self) -> usize {
        self.acknowledged.lock().unwrap().len()
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
            json!({"tenant": "acme", "type": "t", "id": id, "key": format!("k{}", n % 50), "data": {"n": n}});
        let Ok(answer) = connection.publish(&event).await else { return };
        match answer.status {
            202 => {
                account.acknowledged.lock().unwrap().insert(id);
            }
            // Stopping or overloaded: not acknowledged, so nothing was promised.
            503 => {
                account.refused.fetch_add(1, SeqCst);
            }
            other => panic!("{other}: {}", answer.text()),
        }
        if answer.header("connection") == Some("close") {
            return;
        }
    }
}

fn start_publishers(api: &Api, account: &Arc<Account>) -> Vec<tokio::task::JoinHandle<()>> {
    (0..8).map(|_| tokio::spawn(publisher(api.clone(), account.clone()))).collect()
}

async fn finish(publishers: Vec<tokio::task::JoinHandle<()>>) {
    for publisher in publishers {
        publisher.await.unwrap();
    }
}

async fn everything_settles(acme: &Tenant) {
    within(Duration::from_secs(30), "nothing is pending any more", async || {
        let page = acme.api.get(&acme.path("deliveries?status=pending&limit=1")).await.ok(200);
        (page["data"].as_array().unwrap().is_empty() && page["next_cursor"].is_null()).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a60_twenty_kills_under_load_lose_nothing_acknowledged_and_repeat_nothing_without_a_crash_between()
 {
    let mut server =
        Setup::default().set("RETRY_SCHEDULE_S", "[0.05, 0.05, 0.05, 0.05, 0.05, 0.05]").start().await;
    let receiver = Receiver::start().await;
    // Some fail at first, so that retries are under way when it dies.
    receiver.script(|r| Reply::status(if r.attempt() == 1 && r.event().ends_with('7') { 500 } else { 204 }));
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url_of("/plain"), "max_in_flight": 32})).await;
    acme.endpoint(json!({"url": receiver.url_of("/ordered"), "max_in_flight": 32, "ordering": "key"})).await;
    let account = Arc::new(Account::default());
    let mut crashes = Vec::new();
    for round in 0..20_usize {
        let publishers = start_publishers(&server.api(), &account);
        let enough = account.acknowledged() + 60 + 13 * round;
        within(Duration::from_secs(20), "some are acknowledged", async || {
            (account.acknowledged() >= enough).then_some(())
        })
        .await;
        server.kill();
        // What it had sent may still be on its way to the receiver: that came before the crash too.
        receiver.drained().await;
        crashes.push(Instant::now());
        finish(publishers).await;
        server.start_again().await;
    }
    let acme = acme.at(server.api());
    everything_settles(&acme).await;

    let acknowledged = account.acknowledged.lock().unwrap().clone();
    let sent = account.sent.lock().unwrap().clone();
    let mut successes: BTreeMap<(String, String), Vec<Instant>> = BTreeMap::new();
    let arrived = receiver.all();
    for request in &arrived {
        assert!(sent.contains(request.event()), "{} was never published", request.event());
        if request.attempt() > 1 || !request.event().ends_with('7') {
            let key = (request.event().to_owned(), request.path.clone());
            successes.entry(key).or_default().push(request.at);
        }
    }
    let mut lost = Vec::new();
    for event in &acknowledged {
        for path in ["/plain", "/ordered"] {
            if !successes.contains_key(&(event.clone(), path.to_owned())) {
                lost.push((event.clone(), path));
            }
        }
    }
    let mut repeated = 0;
    let mut unexplained = Vec::new();
    for (delivery, times) in &successes {
        for pair in times.windows(2) {
            repeated += 1;
            // The first answer must have been on its way when the crash came.
            let explained = crashes.iter().any(|crash| pair[0] <= *crash && *crash <= pair[1]);
            if !explained {
                unexplained.push(delivery.clone());
            }
        }
    }
    eprintln!(
        "20 kills: {} sent, {} acknowledged, {} requests, {} repeated after a crash, {} lost, {} repeated without one",
        sent.len(),
        acknowledged.len(),
        arrived.len(),
        repeated,
        lost.len(),
        unexplained.len()
    );
    assert!(lost.is_empty() && unexplained.is_empty(), "lost: {lost:?}, repeated: {unexplained:?}");
    // The sequence numbers of what arrived are the same for each delivery, and no two deliveries share one.
    let mut numbers: BTreeMap<(String, u64), BTreeSet<String>> = BTreeMap::new();
    for request in &arrived {
        numbers
            .entry((request.path.clone(), request.sequence()))
            .or_default()
            .insert(request.event().to_owned());
    }
    assert!(numbers.values().all(|events| events.len() == 1), "a number was given twice");
    // Within a key each is first tried in the order of acceptance, whatever was repeated between.
    let mut reached: BTreeMap<String, u64> = BTreeMap::new();
    let mut seen: BTreeSet<u64> = BTreeSet::new();
    for request in arrived.iter().filter(|r| r.path == "/ordered") {
        if seen.insert(request.sequence()) {
            let number: u64 = request.event()[1..].parse().unwrap();
            let last = reached.insert(format!("k{}", number % 50), request.sequence());
            assert!(last.is_none_or(|last| last < request.sequence()), "{} came too early", request.event());
        }
    }
    let log = acme.whole_log("").await;
    assert!(log.iter().all(|row| row["status"] == "succeeded"), "each has its verdict");
    let plain: BTreeSet<u64> = numbers.keys().filter(|(path, _)| path == "/plain").map(|(_, n)| *n).collect();
    assert_eq!(plain.len() as u64, plain.iter().max().copied().unwrap(), "the sequence has no gaps");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a67_sigterm_under_load_ends_well_and_loses_and_repeats_nothing() {
    let mut server = Setup::default().set("SHUTDOWN_GRACE_S", "5").start().await;
    let receiver = Receiver::start().await;
    receiver.answer(Reply::status(204).after(Duration::from_millis(5)));
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url(), "max_in_flight": 32})).await;
    let account = Arc::new(Account::default());
    for round in 1..=5 {
        let publishers = start_publishers(&server.api(), &account);
        within(Duration::from_secs(20), "some are acknowledged", async || {
            (account.acknowledged() >= 200 * round).then_some(())
        })
        .await;
        let asked = Instant::now();
        let status = server.stop().await;
        assert_eq!(status.code(), Some(0), "{}", server.log());
        assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
        finish(publishers).await;
        server.start_again().await;
    }
    let acme = acme.at(server.api());
    everything_settles(&acme).await;
    let mut seen: BTreeMap<String, u32> = BTreeMap::new();
    for request in receiver.all() {
        *seen.entry(request.event().to_owned()).or_default() += 1;
    }
    let acknowledged = account.acknowledged.lock().unwrap().clone();
    let lost: Vec<_> = acknowledged.iter().filter(|id| !seen.contains_key(*id)).collect();
    let repeated: Vec<_> = seen.iter().filter(|(_, count)| **count > 1).collect();
    assert!(lost.is_empty() && repeated.is_empty(), "lost {lost:?}, repeated {repeated:?}");
}

#[tokio::test]
async fn abuse_a67_attempts_in_flight_are_finished_within_the_grace_time_and_resumed_beyond_it() {
    let mut server = Setup::default().set("SHUTDOWN_GRACE_S", "3").start().await;
    let receiver = Receiver::start().await;
    receiver.script(|r| match r.event() {
        "short" => Reply::status(204).after(Duration::from_millis(600)),
        _ if r.attempt() > 1 => Reply::status(204),
        _ => Reply::Hang,
    });
    let acme = server.tenant("acme").await;
    acme.endpoint(json!({"url": receiver.url(), "timeout_ms": 60_000})).await;
    acme.publish(json!({"id": "short"})).await;
    receiver.wait_for(1).await;
    assert_eq!(server.stop().await.code(), Some(0));
    server.start_again().await;
    let acme = acme.at(server.api());
    let short = acme.delivery_of("short").await;
    assert_eq!((&short["status"], short["attempts"].as_array().unwrap().len()), (&json!("succeeded"), 1));

    // One that hangs is given up after the grace time, and goes again after the start.
    acme.publish(json!({"id": "hanging"})).await;
    receiver.wait_for_event("hanging", 1).await;
    receiver.answer(Reply::status(204));
    let asked = Instant::now();
    assert_eq!(server.stop().await.code(), Some(0));
    assert!(asked.elapsed() < Duration::from_secs(4), "{:?}", asked.elapsed());
    server.start_again().await;
    let acme = acme.at(server.api());
    acme.wait_for_status("hanging", "succeeded").await;
    assert_eq!((receiver.of("short").len(), receiver.of("hanging").len()), (1, 2));
}

#[tokio::test]
async fn an_interrupt_stops_as_a_termination_does() {
    let mut server = Server::start().await;
    server.signal(Signal::INT);
    assert_eq!(server.ended().await.code(), Some(0));
    server.start_again().await;
    server.api().get("/readyz").await.ok(200);
}
