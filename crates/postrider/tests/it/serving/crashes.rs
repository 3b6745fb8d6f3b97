//! Stops and crashes under load, of the server and of its receiver: what was acknowledged is delivered, and nothing twice
//! without a crash between.
//!
//! A kill leaves the kernel's page cache behind: that what is acknowledged is on the disk is shown by `durability` and, for
//! the store, by power cuts put together from a trace.

use std::sync::Arc;
use std::time::{Duration, Instant};

use rustix::process::Signal;
use serde_json::json;
use tokio::net::TcpListener;

use super::account::{Account, everything_settles, finish, in_order_of_acceptance, one_number_each};
use crate::harness::{PATIENCE, Received, Receiver, Reply, Server, Setup};

/// Kills unless `POSTRIDER_TEST_KILLS` says otherwise: `make crash KILLS=100`.
const KILLS: u64 = 20;

/// What a test is told by its environment, or this.
fn told(name: &str, otherwise: u64) -> u64 {
    std::env::var(name).map_or(otherwise, |text| text.parse().unwrap())
}

/// A number below `n` by chance (SplitMix64).
fn below(state: &mut u64, n: u64) -> u64 {
    *state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let x = (*state ^ (*state >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    (x ^ (x >> 31)) % n
}

/// A seed for the moments of crashes, printed so that a run can be told what another one did.
fn seed() -> u64 {
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).unwrap();
    let seed = told("POSTRIDER_TEST_SEED", now.as_nanos() as u64);
    eprintln!("POSTRIDER_TEST_SEED={seed}");
    seed
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn abuse_a60_kills_under_load_lose_nothing_acknowledged_and_repeat_nothing_without_a_crash_between() {
    let (kills, mut chance) = (told("POSTRIDER_TEST_KILLS", KILLS), seed());
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
    for _ in 0..kills {
        let publishers = account.publish(&server.api());
        account.reaches(account.acknowledged() + 1 + below(&mut chance, 250) as usize).await;
        // Not always as soon as an answer came: the moment is to be any.
        tokio::time::sleep(Duration::from_micros(below(&mut chance, 20_000))).await;
        server.kill();
        // What it had sent may still be on its way to the receiver: that came before the crash too.
        receiver.drained().await;
        crashes.push(Instant::now());
        finish(publishers).await;
        server.start_again().await;
    }
    let acme = acme.at(server.api());
    everything_settles(&acme).await;

    let arrived = receiver.all();
    let succeeded = |r: &Received| r.attempt() > 1 || !r.event().ends_with('7');
    account.close(&arrived, &["/plain", "/ordered"], succeeded, &crashes).tell(&format!("{kills} kills"));
    let numbers = one_number_each(&arrived);
    in_order_of_acceptance(arrived.iter().filter(|r| r.path == "/ordered"));
    let log = acme.whole_log("").await;
    assert!(log.iter().all(|row| row["status"] == "succeeded"), "each has its verdict");
    for path in ["/plain", "/ordered"] {
        let own: Vec<u64> = numbers.iter().filter(|(at, _)| at == path).map(|(_, n)| *n).collect();
        assert_eq!(own.len() as u64, own.iter().max().copied().unwrap(), "{path}: the sequence has gaps");
    }
}

/// A receiver on a runtime of its own, which can be ended with everything that it holds.
struct Mortal {
    runtime: Option<tokio::runtime::Runtime>,
    receiver: Receiver,
}

impl Mortal {
    /// Starts, or starts again at the address of before.
    async fn start(address: std::net::SocketAddr) -> Self {
        let runtime =
            tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
        let started = runtime.spawn(async move { Receiver::on(TcpListener::bind(address).await.unwrap()) });
        Self { receiver: started.await.unwrap(), runtime: Some(runtime) }
    }

    /// Ends amid whatever it is at. When this returns nothing more is read, noted or answered.
    async fn die(&mut self) {
        let Some(runtime) = self.runtime.take() else { return };
        tokio::task::spawn_blocking(move || runtime.shutdown_timeout(PATIENCE)).await.unwrap();
    }
}

impl Drop for Mortal {
    fn drop(&mut self) {
        if let Some(runtime) = self.runtime.take() {
            runtime.shutdown_background();
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_dies_again_and_again_under_load_gets_everything_and_repeats_come_from_its_deaths() {
    const DEATHS: u64 = 8;
    let mut chance = seed();
    // Few failures trip the circuit, and probes ask soon.
    let server =
        Setup::default().set("RETRY_SCHEDULE_S", "[0.1, 0.1, 0.2, 0.2, 0.5, 0.5, 1, 1, 1, 1]").start().await;
    let mut mortal = Mortal::start("127.0.0.1:0".parse().unwrap()).await;
    let (address, mut lives) = (mortal.receiver.address(), vec![mortal.receiver.clone()]);
    let acme = server.tenant("acme").await;
    let url = mortal.receiver.url_of("/ordered");
    acme.endpoint(json!({"url": url, "max_in_flight": 16, "ordering": "key"})).await;
    let account = Arc::new(Account::default());
    let publishers = account.publish(&server.api());
    let mut deaths = Vec::new();
    for _ in 0..DEATHS {
        let alive = lives.last().unwrap().clone();
        alive.wait_for(1 + below(&mut chance, 300) as usize).await;
        mortal.die().await;
        let promised = account.acknowledged();
        deaths.push(Instant::now());
        // Publishing goes on all the while.
        account.reaches(promised + 20 + below(&mut chance, 100) as usize).await;
        mortal = Mortal::start(address).await;
        lives.push(mortal.receiver.clone());
    }
    account.stop();
    finish(publishers).await;
    everything_settles(&acme).await;
    let arrived: Vec<_> = lives.iter().flat_map(Receiver::all).collect();
    // One that noted a request and died before the answer left is asked again.
    account.close(&arrived, &["/ordered"], |_| true, &deaths).tell(&format!("{DEATHS} deaths of a receiver"));
    one_number_each(&arrived);
    in_order_of_acceptance(arrived.iter());
    let log = acme.whole_log("").await;
    assert!(log.iter().all(|row| row["status"] == "succeeded"), "no death used a schedule up");
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
        let publishers = account.publish(&server.api());
        account.reaches(200 * round).await;
        let asked = Instant::now();
        let status = server.stop().await;
        assert_eq!(status.code(), Some(0), "{}", server.log());
        assert!(asked.elapsed() < Duration::from_secs(6), "{:?}", asked.elapsed());
        finish(publishers).await;
        server.start_again().await;
    }
    let acme = acme.at(server.api());
    everything_settles(&acme).await;
    let outcome = account.close(&receiver.all(), &["/hook"], |_| true, &[]);
    outcome.tell("5 stops");
    assert_eq!(outcome.repeated, 0);
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
