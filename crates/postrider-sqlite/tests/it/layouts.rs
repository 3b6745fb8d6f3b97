//! Databases of released versions: each is opened by this one, and answers what the program of its version said of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use postrider_core::id::{EndpointNo, TenantNo};
use postrider_core::record::Start;
use postrider_sqlite::{SqliteConfig, SqliteStore, SqliteWriter, open};
use postrider_store::conformance::build::{Builder, Draft};
use postrider_store::{EventQuery, LogQuery, LogRow, PageLimit, Recovery, Store, Writer};
use rusqlite::{Connection, params};
use serde_json::Value;

const TENANTS: [&str; 2] = ["acme", "acme:shop"];

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(name)
}

/// A copy that may be changed, and what the program of its version said of it.
fn first_layout() -> (tempfile::TempDir, PathBuf, Value) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("postrider.db");
    std::fs::copy(fixture("v1.db"), &path).unwrap();
    let said = serde_json::from_slice(&std::fs::read(fixture("v1.json")).unwrap()).unwrap();
    (directory, path, said)
}

/// A database with the names that its records have outside.
struct Opened {
    store: std::sync::Arc<SqliteStore>,
    writer: SqliteWriter,
    recovery: Recovery,
    endpoints: BTreeMap<EndpointNo, String>,
}

impl Opened {
    fn at(path: &Path) -> Self {
        let (store, writer) = open(path, SqliteConfig::default()).unwrap();
        let recovery = store.recover().unwrap();
        let there = recovery.endpoints.iter().map(|e| (e.no, e.id.clone()));
        let removed = recovery.removed.iter().map(|e| (e.no, e.id.clone()));
        let endpoints = there.chain(removed).collect();
        Self { store, writer, recovery, endpoints }
    }

    fn tenant(&self, id: &str) -> TenantNo {
        self.recovery.tenants.iter().find(|t| t.id == id).unwrap().no
    }

    /// The whole log, page by page, newest first.
    fn log(&self, mut query: LogQuery) -> Vec<LogRow> {
        let mut all = Vec::new();
        loop {
            let page = self.store.log(&query).unwrap();
            all.extend(page.rows);
            match page.next {
                Some(next) => query.before = Some(next),
                None => return all,
            }
        }
    }

    /// The ids of a tenant's events, page by page, newest first.
    fn events(&self, tenant: TenantNo, limit: usize) -> Vec<String> {
        let mut query = EventQuery { tenant, limit, ..EventQuery::default() };
        let mut all = Vec::new();
        loop {
            let page = self.store.events(&query).unwrap();
            all.extend(page.rows.iter().map(|r| r.event.id()));
            match page.next {
                Some(next) => query.before = Some(next),
                None => return all,
            }
        }
    }

    /// A row as [`fixture`] has it.
    fn told(&self, row: &LogRow) -> Value {
        let time = |at: Option<postrider_core::time::Timestamp>| at.map(|at| at.rfc3339());
        serde_json::json!([
            row.event.delivery_id(row.delivery.position).to_string(),
            row.event.id(),
            self.endpoints[&row.delivery.endpoint],
            &*row.event.event_type,
            row.event.key.as_deref(),
            row.delivery.sequence,
            row.status.as_str(),
            row.reason.map(|r| r.as_str()),
            row.progress.attempts,
            row.last_status_code,
            row.event.accepted_at.rfc3339(),
            time(row.finished_at),
        ])
    }

    /// Compares every order in which the deliveries that were there then can be read.
    fn answers(&self, said: &Value) {
        for id in TENANTS {
            let tenant = self.tenant(id);
            let rows = said[id]["deliveries"].as_array().unwrap();
            for limit in [1, 7, 250] {
                let query = LogQuery { tenant: Some(tenant), limit, ..LogQuery::default() };
                let log: Vec<_> = self.log(query).iter().map(|r| self.told(r)).collect();
                let then = log.len() - rows.len();
                assert_eq!(&log[then..], rows, "{id} by {limit}");
                let mut events: Vec<_> = log.iter().map(|r| r[1].as_str().unwrap().to_owned()).collect();
                events.dedup();
                assert_eq!(self.events(tenant, limit), events, "{id} by {limit}");
            }
        }
        for (no, id) in &self.endpoints {
            let of_it = |row: &&Value| row[2].as_str() == Some(id);
            let rows: Vec<_> = TENANTS
                .iter()
                .flat_map(|t| said[t]["deliveries"].as_array().unwrap().iter().rev())
                .filter(of_it)
                .collect();
            for after in [0, rows.len() as u64 / 2] {
                let (mut sequence, mut feed) = (after, Vec::new());
                while let Some(last) = {
                    let limit = PageLimit { entries: 40, bytes: 100_000 };
                    feed.extend(self.store.feed(*no, sequence, limit).unwrap().entries);
                    feed.last().map(|e| e.delivery.sequence).filter(|s| *s > sequence)
                } {
                    sequence = last;
                }
                let told = |e: &postrider_store::FeedEntry| {
                    serde_json::json!([e.delivery.sequence, e.event.id(), e.status.as_str()])
                };
                let feed: Vec<_> = feed.iter().map(told).collect();
                let want: Vec<_> = rows[usize::try_from(after).unwrap()..]
                    .iter()
                    .map(|r| serde_json::json!([r[5], r[1], r[6]]))
                    .collect();
                assert_eq!(&feed[..want.len()], want, "{id} after {after}");
            }
        }
    }
}

fn version(path: &Path) -> u32 {
    let conn = Connection::open(path).unwrap();
    conn.pragma_query_value(None, "user_version", |r| r.get(0)).unwrap()
}

#[test]
fn abuse_a68_a_database_of_the_first_layout_opens_and_answers_what_it_did() {
    let (_directory, path, said) = first_layout();
    assert_eq!(version(&path), 1);
    for _ in 0..2 {
        let opened = Opened::at(&path);
        let names: Vec<_> = opened.recovery.tenants.iter().map(|t| t.id.as_str()).collect();
        assert_eq!(names, ["_operator", "acme", "acme:shop", "empty"]);
        for endpoint in said["acme"]["endpoints"].as_array().unwrap() {
            let found = opened.recovery.endpoints.iter().find(|e| e.id == endpoint["id"]).unwrap();
            assert_eq!(found.last_sequence, endpoint["sequence"]);
            assert_eq!(found.health.disabled.is_some(), endpoint["state"] == "disabled");
        }
        assert_eq!(opened.recovery.removed[0].id, said["removed"]);
        // Three that were made, and the operator's own.
        assert_eq!(opened.recovery.tokens.len(), 4);
        opened.answers(&said);
        let tests = LogQuery { tests: true, limit: 250, ..LogQuery::default() };
        assert_eq!(opened.store.log(&tests).unwrap().tests.len(), 2);
        Box::new(opened.writer).close().unwrap();
        assert!(version(&path) > 1);
    }
}

#[test]
fn abuse_a68_new_events_follow_those_of_the_first_layout_in_every_order() {
    let (_directory, path, said) = first_layout();
    for round in 0..3 {
        let mut opened = Opened::at(&path);
        let (acme, committed) = (opened.tenant("acme"), opened.store.committed());
        let two = opened.endpoints.iter().find(|(_, id)| **id == said["acme"]["endpoints"][1]["id"]);
        let two = *two.unwrap().0;
        let last = opened.recovery.endpoints.iter().find(|e| e.no == two).unwrap().last_sequence;
        let mut b = Builder::after(committed, &[(two, last)]);
        for i in 0..40 {
            let owed = if i % 4 == 0 { vec![] } else { vec![(two.0, Start::Due)] };
            b.event(Draft {
                tenant: acme,
                own_id: Some(format!("new-{round}-{i}")),
                deliveries: owed,
                ..Draft::default()
            });
        }
        b.commit(&mut opened.writer, committed);
        let new = (0..=round).rev().flat_map(|r| (0..40).rev().map(move |i| format!("new-{r}-{i}")));
        let new: Vec<_> = new.collect();
        for limit in [3, 250] {
            let events = opened.events(acme, limit);
            assert_eq!(events[..new.len()], new);
            assert!(!events[new.len()..].iter().any(|id| id.starts_with("new")));
        }
        // After a close everything is in chunks, after a crash the newest is not.
        if round == 1 {
            Box::new(opened.writer).close().unwrap();
        }
    }
    let opened = Opened::at(&path);
    let query = LogQuery { tenant: Some(opened.tenant("acme")), limit: 9, ..LogQuery::default() };
    let log: Vec<_> = opened.log(query).iter().map(|r| opened.told(r)).collect();
    let rows = said["acme"]["deliveries"].as_array().unwrap();
    assert_eq!(log.len(), 3 * 30 + rows.len());
    assert_eq!(&log[90..], rows);
}

/// A crash of the first version may leave a tenant's last row ending amid the deliveries of one event.
#[test]
fn abuse_a68_a_first_layout_that_ends_amid_an_event_loses_and_doubles_nothing() {
    for cut in 1..=12 {
        let (_directory, path, said) = first_layout();
        let conn = Connection::open(&path).unwrap();
        let acme: i64 = conn.query_row("SELECT no FROM tenants WHERE id = 'acme'", [], |r| r.get(0)).unwrap();
        let chunks: Vec<(i64, Vec<u8>)> = conn
            .prepare("SELECT first, data FROM chunks WHERE owner = ?1 ORDER BY first DESC LIMIT 2")
            .unwrap()
            .query_map(params![acme * 2 + 1], |r| Ok((r.get(0)?, r.get(1)?)))
            .unwrap()
            .map(Result::unwrap)
            .collect();
        // The last row is gone, the one before it shorter; what follows is left to be found in the journal.
        conn.execute(
            "DELETE FROM chunks WHERE owner = ?1 AND first = ?2",
            params![acme * 2 + 1, chunks[0].0],
        )
        .unwrap();
        let (data, last) = shortened(&chunks[1].1, 64 - cut);
        conn.execute(
            "UPDATE chunks SET data = ?3, last = ?4 WHERE owner = ?1 AND first = ?2",
            params![acme * 2 + 1, chunks[1].0, data, last],
        )
        .unwrap();
        conn.execute("UPDATE meta SET value = 1 WHERE key = 3", []).unwrap();
        drop(conn);
        let opened = Opened::at(&path);
        opened.answers(&said);
        Box::new(opened.writer).close().unwrap();
        Opened::at(&path).answers(&said);
    }
}

/// The first positions of a row of chunks, which is packed as numbers of seven bits a byte; and the last of them.
fn shortened(data: &[u8], keep: usize) -> (Vec<u8>, i64) {
    let (mut kept, mut position, mut number, mut shift, mut count) = (Vec::new(), 0, 0, 0, 0);
    for byte in data {
        if count == keep {
            break;
        }
        kept.push(*byte);
        number |= i64::from(byte & 0x7F) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            position += number;
            (number, shift, count) = (0, 0, count + 1);
        }
    }
    (kept, position)
}
