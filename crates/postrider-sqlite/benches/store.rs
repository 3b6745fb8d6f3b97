//! What a delivery costs in the store: whole-process CPU, rate, and bytes written, beside a plain layout in the same run.
//!
//! `cargo bench -p postrider-sqlite --bench store -- [--events N] [--preload N] [--dir PATH] [--only store|plain|reads]`
//!
//! With `--only reads` it is what answers to people cost, each at a random place among the preloaded deliveries.
#![allow(clippy::unwrap_used, clippy::print_stdout, missing_docs, reason = "a measurement, run by hand")]

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{
    Accepted, AttemptRecord, DeliveryRef, Disposition, Event, Group, KeyHash, Owed, Place, Progress, Start,
    Status, Trigger, Update,
};
use postrider_core::time::Timestamp;
use postrider_sqlite::{SqliteConfig, open};
use postrider_store::{EventQuery, LogQuery, Maintenance, PageLimit, Store, Writer};
use rusqlite::{Connection, params};

const ENDPOINTS: u64 = 200;
const PAYLOAD: usize = 1_024;

/// A seeded generator (SplitMix64): the same run everywhere.
struct Random(u64);

impl Random {
    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let x = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        let x = (x ^ (x >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        x ^ (x >> 31)
    }

    fn hash(&mut self) -> KeyHash {
        KeyHash((u128::from(self.next()) << 64) | u128::from(self.next()))
    }
}

fn payload(random: &mut Random, length: usize) -> Bytes {
    let mut text = String::with_capacity(length + 64);
    text.push_str("{\"type\":\"card.transaction.authorized\"");
    while text.len() < length - 1 {
        text.push_str(&format!(",\"f{}\":\"{:016x}\"", text.len() % 97, random.next()));
    }
    text.truncate(length - 2);
    text.push_str("\"}");
    Bytes::from(text)
}

#[derive(Clone, Copy)]
struct Usage {
    cpu: Duration,
    written: u64,
    at: Instant,
}

/// CPU of the whole process and what the kernel wrote for it.
fn usage() -> Usage {
    let cpu = rustix::time::clock_gettime(rustix::time::ClockId::ProcessCPUTime);
    let io = std::fs::read_to_string("/proc/self/io").unwrap();
    let written = io.lines().find_map(|l| l.strip_prefix("write_bytes: ")).unwrap().parse().unwrap();
    Usage { cpu: Duration::new(cpu.tv_sec.unsigned_abs(), cpu.tv_nsec as u32), written, at: Instant::now() }
}

fn print(name: &str, size: usize, events: u64, from: Usage, to: Usage) -> f64 {
    let cpu = (to.cpu - from.cpu).as_secs_f64() * 1e6 / events as f64;
    let rate = events as f64 / (to.at - from.at).as_secs_f64();
    let bytes = (to.written - from.written) as f64 / (events as f64 * PAYLOAD as f64);
    println!("| {name} | {size} | {rate:.0} | {cpu:.1} | {bytes:.2} |");
    cpu
}

struct Feed {
    random: Random,
    position: u64,
    number: u64,
    sequences: Vec<u64>,
    owed: Vec<Update>,
    template: Bytes,
}

impl Feed {
    fn new(seed: u64, length: usize) -> Self {
        let mut random = Random(seed);
        let template = payload(&mut random, length);
        Self {
            random,
            position: 0,
            number: 0,
            sequences: vec![0; ENDPOINTS as usize],
            owed: Vec::new(),
            template,
        }
    }

    /// The next group: `size` events, and the outcomes of those before.
    fn group(&mut self, size: usize) -> Group {
        self.number += 1;
        let at = Timestamp::from_micros(1_760_000_000_000_000 + self.position.cast_signed() * 20);
        let first = Position(self.position + 1);
        let mut accepted = Vec::with_capacity(size);
        let updates = std::mem::take(&mut self.owed);
        for _ in 0..size {
            let position = Position(self.position + 1);
            self.position += 2;
            let endpoint = self.random.next() % ENDPOINTS;
            self.sequences[endpoint as usize] += 1;
            let sequence = self.sequences[endpoint as usize];
            let tenant = TenantNo(1 + (endpoint / 10) as u32);
            let endpoint = EndpointNo(1 + endpoint as u32);
            let event = Event {
                position,
                tenant,
                accepted_at: at,
                occurred_at: at - Duration::from_millis(3),
                event_type: "card.transaction.authorized".into(),
                own_id: None,
                key: None,
                subject: None,
                expires_at: None,
                attributes: Bytes::new(),
                data: self.template.clone(),
            };
            let attempt = AttemptRecord {
                number: 1,
                run: 0,
                trigger: Trigger::Schedule,
                started_at: at + Duration::from_micros(400),
                duration: Duration::from_micros(700 + self.random.next() % 500),
                status_code: Some(200),
                error: None,
                remote_address: Some([127, 0, 0, 1].into()),
                endpoint_version: 1,
                signed_at: at.as_secs(),
                response_headers: Vec::new(),
                response_body: Bytes::new(),
            };
            let delivery =
                DeliveryRef { position: position.plus(1), event: position, tenant, endpoint, sequence };
            self.owed.push(Update {
                delivery,
                from: Some(Place::Due(delivery.position)),
                to: Disposition::Ended(Status::Succeeded, None),
                progress: Progress { attempts: 1, step: 1, ..Progress::default() },
                attempt: Some(attempt),
                at: at + Duration::from_micros(1_500),
            });
            accepted.push(Accepted {
                event: Arc::new(event),
                deliveries: vec![Owed { endpoint, sequence, start: Start::Due }],
                idempotency: Some((self.random.hash(), self.random.hash())),
                own_id: None,
                key: None,
                subject: None,
            });
        }
        // Outcomes come back in another order than they went.
        let mut updates = updates;
        let count = updates.len();
        for i in 0..count {
            let j = (i + (self.random.next() % 16) as usize).min(count - 1);
            updates.swap(i, j);
        }
        Group {
            writer: 1,
            number: self.number,
            at,
            first,
            last: Position(self.position),
            edits: Vec::new(),
            accepted,
            updates,
            tests: Vec::new(),
        }
    }
}

fn commit(feed: &mut Feed, store: &dyn Store, writer: &mut dyn Writer, size: usize) {
    let group = feed.group(size);
    let keys: Vec<KeyHash> = group.accepted.iter().filter_map(|a| a.idempotency.map(|i| i.0)).collect();
    let hits = store.find_keys(&keys).unwrap();
    assert!(hits.iter().all(Option::is_none));
    writer.commit(&group).unwrap();
    let how = Maintenance {
        now: group.at,
        retention: Duration::from_secs(30 * 86_400),
        budget: Duration::from_micros(1),
    };
    writer.maintain(how).unwrap();
}

fn ours(dir: &Path, sizes: &[usize], events: u64, preload: u64) -> Vec<f64> {
    let path = dir.join("store.db");
    let mut found = Vec::new();
    let mut feed = Feed::new(7, 64);
    let (mut store, mut writer) = open(&path, SqliteConfig::default()).unwrap();
    if preload > 0 {
        let begin = Instant::now();
        while feed.position < preload * 2 {
            commit(&mut feed, &*store, &mut writer, 2_048);
        }
        println!("(preloaded {preload} events and keys of 64 bytes in {:.0?})", begin.elapsed());
        Box::new(writer).close().unwrap();
        let begin = Instant::now();
        (store, writer) = open(&path, SqliteConfig::default()).unwrap();
        let recovery = store.recover().unwrap();
        println!("(opened again in {:.0?}, next position {})", begin.elapsed(), recovery.next_position.0);
        let keys: Vec<KeyHash> = (0..100_000).map(|_| feed.random.hash()).collect();
        let begin = Instant::now();
        assert!(store.find_keys(&keys).unwrap().iter().all(Option::is_none));
        println!("(a new key is looked up in {:.2} µs)", begin.elapsed().as_secs_f64() * 1e6 / 100_000.0);
    }
    feed.template = payload(&mut feed.random, PAYLOAD);
    for &size in sizes {
        for _ in 0..4 {
            commit(&mut feed, &*store, &mut writer, size);
        }
        let count = events.min(size as u64 * 8_000);
        let before = usage();
        for _ in 0..count / size as u64 {
            commit(&mut feed, &*store, &mut writer, size);
        }
        // The last checkpoint counts: the database is closed with it, and opened again for the next size.
        Box::new(writer).close().unwrap();
        found.push(print("store", size, count, before, usage()));
        (store, writer) = open(&path, SqliteConfig::default()).unwrap();
    }
    found
}

/// How long an answer takes, at random places: the median and what one of a hundred exceeds.
fn answers(dir: &Path, preload: u64) {
    const TIMES: usize = 500;
    let path = dir.join("store.db");
    let mut feed = Feed::new(7, 1_024);
    let (store, mut writer) = open(&path, SqliteConfig::default()).unwrap();
    let begin = Instant::now();
    while feed.position < preload * 2 {
        commit(&mut feed, &*store, &mut writer, 2_048);
    }
    println!("(preloaded {preload} events of 1 KiB in {:.0?}, {ENDPOINTS} endpoints)", begin.elapsed());
    let (last, each) = (feed.position, preload / ENDPOINTS);
    let end = Timestamp::from_micros(1_760_000_000_000_000 + last.cast_signed() * 20);
    let mut measure = |what: &str, ask: &mut dyn FnMut(&mut Random) -> usize| {
        let mut found = 0;
        let mut took: Vec<Duration> = (0..TIMES)
            .map(|_| {
                let begin = Instant::now();
                found += ask(&mut feed.random);
                begin.elapsed()
            })
            .collect();
        took.sort_unstable();
        println!(
            "| {what} | {} | {:.2} | {:.2} |",
            found / TIMES,
            took[TIMES / 2].as_secs_f64() * 1e3,
            took[TIMES * 99 / 100].as_secs_f64() * 1e3
        );
    };
    let endpoint = |random: &mut Random| EndpointNo(1 + (random.next() % ENDPOINTS) as u32);
    let tenant = |random: &mut Random| TenantNo(1 + (random.next() % (ENDPOINTS / 10)) as u32);
    let before = |random: &mut Random| Some(Position(1 + random.next() % last));
    println!("| read | entries | ms, median | ms, 99 % |");
    println!("| --- | --- | --- | --- |");
    measure("log of a tenant, 50", &mut |r| {
        let query = LogQuery {
            tenant: Some(tenant(r)),
            before: before(r),
            limit: 50,
            tests: true,
            ..LogQuery::default()
        };
        store.log(&query).unwrap().rows.len()
    });
    measure("log of an endpoint, 50", &mut |r| {
        let query =
            LogQuery { endpoint: Some(endpoint(r)), before: before(r), limit: 50, ..LogQuery::default() };
        store.log(&query).unwrap().rows.len()
    });
    measure("events of a tenant, 50", &mut |r| {
        let query = EventQuery { tenant: tenant(r), before: before(r), limit: 50, ..EventQuery::default() };
        store.events(&query).unwrap().rows.len()
    });
    for entries in [1, 50, 250] {
        measure(&format!("feed, {entries}"), &mut |r| {
            let limit = PageLimit { entries, bytes: 4 << 20 };
            store.feed(endpoint(r), r.next() % each, limit).unwrap().entries.len()
        });
    }
    measure("figures of the last 10,000", &mut |r| {
        let figures = store.figures(endpoint(r), end - Duration::from_secs(86_400), 10_000).unwrap();
        figures.durations.len()
    });
    Box::new(writer).close().unwrap();
}

/// Event, delivery and attempt tables keyed by random ids, two indexes, the status updated.
fn plain(dir: &Path, sizes: &[usize], events: u64) -> Vec<f64> {
    let conn = Connection::open(dir.join("plain.db")).unwrap();
    conn.execute_batch(
        "PRAGMA journal_mode=WAL; PRAGMA synchronous=FULL; PRAGMA cache_size=-16384; PRAGMA wal_autocheckpoint=6000;
         CREATE TABLE events (id BLOB PRIMARY KEY, tenant INTEGER, type TEXT, at INTEGER, idempotency BLOB, body BLOB, data BLOB) WITHOUT ROWID;
         CREATE UNIQUE INDEX events_key ON events (idempotency);
         CREATE TABLE deliveries (id BLOB PRIMARY KEY, event BLOB, endpoint INTEGER, sequence INTEGER, status INTEGER, next_at INTEGER, attempts INTEGER, finished_at INTEGER) WITHOUT ROWID;
         CREATE INDEX deliveries_endpoint ON deliveries (endpoint, sequence);
         CREATE TABLE attempts (id BLOB PRIMARY KEY, delivery BLOB, number INTEGER, started_at INTEGER, duration INTEGER, code INTEGER, address BLOB) WITHOUT ROWID;",
    )
    .unwrap();
    let mut random = Random(11);
    let data = payload(&mut random, PAYLOAD);
    let mut sequences = vec![0_i64; ENDPOINTS as usize];
    let mut owed: Vec<[u8; 16]> = Vec::new();
    let mut found = Vec::new();
    let id = |random: &mut Random| random.hash().0.to_be_bytes();
    for &size in sizes {
        let count = events.min(size as u64 * 2_000);
        let before = usage();
        for _ in 0..count / size as u64 {
            conn.execute_batch("BEGIN IMMEDIATE").unwrap();
            for delivery in std::mem::take(&mut owed) {
                conn.prepare_cached(
                    "INSERT INTO attempts VALUES (?1, ?2, 1, 1760000000000000, 700, 200, ?3)",
                )
                .unwrap()
                .execute(params![id(&mut random), delivery, [127_u8, 0, 0, 1]])
                .unwrap();
                conn.prepare_cached("UPDATE deliveries SET status = 1, attempts = 1, finished_at = 1760000000000000 WHERE id = ?1")
                    .unwrap()
                    .execute(params![delivery])
                    .unwrap();
            }
            for _ in 0..size {
                let (event, key, delivery) = (id(&mut random), id(&mut random), id(&mut random));
                let known = conn
                    .prepare_cached("SELECT 1 FROM events WHERE idempotency = ?1")
                    .unwrap()
                    .exists(params![key]);
                assert!(!known.unwrap());
                let endpoint = random.next() % ENDPOINTS;
                sequences[endpoint as usize] += 1;
                conn.prepare_cached("INSERT INTO events VALUES (?1, 1, 'card.transaction.authorized', 1760000000000000, ?2, ?3, ?4)")
                    .unwrap()
                    .execute(params![event, key, key, &data[..]])
                    .unwrap();
                conn.prepare_cached(
                    "INSERT INTO deliveries VALUES (?1, ?2, ?3, ?4, 0, 1760000000000000, 0, NULL)",
                )
                .unwrap()
                .execute(params![delivery, event, endpoint.cast_signed(), sequences[endpoint as usize]])
                .unwrap();
                owed.push(delivery);
            }
            conn.execute_batch("COMMIT").unwrap();
        }
        conn.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).unwrap();
        found.push(print("plain", size, count, before, usage()));
    }
    found
}

fn main() {
    let arguments: Vec<String> = std::env::args().collect();
    let value = |name: &str| {
        let at = arguments.iter().position(|a| a == name)?;
        arguments.get(at + 1).cloned()
    };
    let number = |name: &str, default: u64| value(name).map_or(default, |v| v.parse().unwrap());
    let events = number("--events", 400_000);
    let preload = number("--preload", 0);
    let only = value("--only");
    let root = value("--dir").map_or_else(std::env::temp_dir, Into::into);
    let dir = root.join(format!("postrider-store-bench-{}", std::process::id()));
    std::fs::create_dir_all(&dir).unwrap();
    if only.as_deref() == Some("reads") {
        answers(&dir, preload.max(100_000));
        std::fs::remove_dir_all(&dir).unwrap();
        return;
    }
    let sizes = [16, 64, 256, 1_024];
    println!("| layout | N | events/s | CPU µs/event | bytes written / payload |");
    println!("| --- | --- | --- | --- | --- |");
    let store =
        if only.as_deref() == Some("plain") { Vec::new() } else { ours(&dir, &sizes, events, preload) };
    let plain = if only.as_deref() == Some("store") { Vec::new() } else { plain(&dir, &sizes, events) };
    for ((size, ours), theirs) in sizes.iter().zip(&store).zip(&plain) {
        println!("N = {size}: plain costs {:.1} times the CPU", theirs / ours);
    }
    std::fs::remove_dir_all(&dir).unwrap();
}
