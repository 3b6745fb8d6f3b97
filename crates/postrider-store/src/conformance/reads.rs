//! What is read beside the delivery log: events, tests, feeds, figures of endpoints.

use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{KeyHash, Reason, Start, Status, TestRecord, Trigger};
use postrider_core::time::Timestamp;

use super::Harness;
use super::build::{ALL, Builder, Draft, TENANT, attempt, succeeded};
use super::configuration::put;
use crate::{EventQuery, LogQuery, Maintenance, PageLimit, Store, Writer};

const ONE: EndpointNo = EndpointNo(1);
const DAY: Duration = Duration::from_secs(86_400);

/// Newest first, by every name; those of other tenants are not among them.
pub fn events_are_told_whether_they_are_owed_to_somebody_or_not(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let text = |text: &str| Some(text.to_owned());
    b.event(Draft { key: text("k"), deliveries: Vec::new(), ..Draft::default() });
    let skipped = Start::Skipped(Reason::Paused);
    let deliveries = vec![(1, Start::Due), (2, skipped), (3, Start::Due)];
    let subject = text("card-1");
    b.event(Draft { subject, expires_at: Some(Timestamp::FAR_FUTURE), deliveries, ..Draft::default() });
    b.event(Draft { tenant: TenantNo(2), key: text("k"), ..Draft::default() });
    b.event(Draft { event_type: "card.frozen", key: text("k"), ..Draft::default() });
    let accepted = b.commit(&mut *writer, store.committed()).accepted;
    let query = EventQuery { tenant: TENANT, limit: 9, ..EventQuery::default() };
    let told = |query: EventQuery| {
        let rows = store.events(&query).unwrap().rows;
        rows.into_iter().map(|r| (r.event.position, r.deliveries)).collect::<Vec<_>>()
    };
    let [first, second, _, last] = &accepted[..] else { panic!("{accepted:?}") };
    let [first, second, last] = [first, second, last].map(|a| a.event.position);
    assert_eq!(told(query.clone()), [(last, 1), (second, 2), (first, 0)]);
    assert_eq!(told(EventQuery { before: Some(second), ..query.clone() }), [(first, 0)]);
    assert_eq!(told(EventQuery { event: Some(second), ..query.clone() }), [(second, 2)]);
    let k = Some(KeyHash::ordering(TENANT, "k"));
    assert_eq!(told(EventQuery { key: k, ..query.clone() }), [(last, 1), (first, 0)]);
    let card = Some(KeyHash::subject(TENANT, "card-1"));
    assert_eq!(told(EventQuery { subject: card, ..query.clone() }), [(second, 2)]);
    let frozen =
        EventQuery { event_type: text("card.frozen"), tenant: TENANT, limit: 9, ..EventQuery::default() };
    assert_eq!(told(frozen), [(last, 1)]);
    let row = store.events(&EventQuery { event: Some(second), ..query }).unwrap().rows.remove(0);
    let event = &accepted[1].event;
    assert_eq!((&row.event.attributes, &row.event.data), (&event.attributes, &Bytes::new()));
    assert_eq!((&row.event.subject, row.event.expires_at), (&event.subject, event.expires_at));
}

/// Where their positions are; asked for by what they have, and for nothing else.
pub fn tests_lie_between_the_deliveries_of_the_log(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let (mut tests, mut owed) = (Vec::new(), Vec::new());
    for (endpoint, code) in [(1, 204), (2, 500), (1, 503)] {
        owed.extend(b.event(Draft { subject: Some("s".into()), ..Draft::default() }));
        let test = TestRecord {
            position: b.spare_position(),
            tenant: TENANT,
            endpoint: EndpointNo(endpoint),
            event_type: "card.opened".into(),
            data: Bytes::from_static(b"{}"),
            at: b.now,
            attempt: attempt(1, 0, Trigger::Test, code, b.now),
        };
        b.test(test.clone());
        tests.insert(0, test);
        b.commit(&mut *writer, store.committed());
    }
    let all = LogQuery { tenant: Some(TENANT), tests: true, limit: 9, ..LogQuery::default() };
    let found = |query: LogQuery| store.log(&query).unwrap().tests;
    assert_eq!(found(all.clone()), tests);
    assert_eq!(found(LogQuery { tenant: None, ..all.clone() }), tests);
    assert_eq!(found(LogQuery { tests: false, ..all.clone() }), []);
    assert_eq!(found(LogQuery { tenant: Some(TenantNo(2)), ..all.clone() }), []);
    let of_one = [tests[0].clone(), tests[2].clone()];
    assert_eq!(found(LogQuery { endpoint: Some(ONE), ..all.clone() }), of_one);
    let failed = LogQuery { status: Some(Status::Failed), ..all.clone() };
    assert_eq!(found(failed), tests[..2]);
    assert_eq!(found(LogQuery { status: Some(Status::Pending), ..all.clone() }), []);
    let opened =
        LogQuery { event_type: Some("card.opened".into()), tests: true, limit: 9, ..LogQuery::default() };
    assert_eq!(found(opened), tests);
    let (since, until) = (Some(tests[1].at), Some(tests[0].at));
    assert_eq!(found(LogQuery { since, until, ..all.clone() }), tests[1..2]);
    let key = Some(KeyHash::subject(TENANT, "s"));
    assert_eq!(found(LogQuery { subject: key, ..all.clone() }), []);
    assert_eq!(found(LogQuery { event: Some(Position(1)), ..all.clone() }), []);
    // Three rows and three tests, two by two: rows and tests take turns.
    let mut query = LogQuery { limit: 2, ..all };
    for test in &tests {
        let page = store.log(&query).unwrap();
        assert_eq!((page.rows.len(), &page.tests[..]), (1, std::slice::from_ref(test)));
        query.before = page.next;
    }
    // They go with what was accepted beside them.
    owed.iter().for_each(|d| b.update(succeeded(*d, b.now)));
    b.commit(&mut *writer, store.committed());
    b.now = b.now + DAY * 40;
    b.event(Draft::default());
    b.commit(&mut *writer, store.committed());
    forget(&mut *writer, &b);
    query.before = None;
    assert_eq!(found(query), []);
    for test in &tests {
        assert_eq!(store.test(test.position).unwrap(), None);
    }
}

/// Removes what is older than thirty days.
fn forget(writer: &mut dyn Writer, b: &Builder) {
    for pass in 0..8 {
        let now = b.now + Duration::from_secs(120 * pass);
        let how = Maintenance { now, retention: DAY * 30, budget: Duration::from_secs(1) };
        for _ in 0..1_000 {
            if !writer.maintain(how).unwrap() {
                break;
            }
        }
    }
}

/// By sequence, from the oldest on that is left; the last sequence is told when nothing is.
pub fn a_feed_begins_with_the_oldest_that_is_left(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    [put(1, 1), put(2, 1)].into_iter().flatten().for_each(|edit| b.edit(edit));
    let mut owed = Vec::new();
    for i in 0..150 {
        let deliveries =
            if i % 3 == 0 { vec![(1, Start::Due), (2, Start::Due)] } else { vec![(1, Start::Due)] };
        owed.push(b.event(Draft { deliveries, ..Draft::default() }));
        b.commit(&mut *writer, store.committed());
    }
    let sequences = |store: &dyn Store, after, limit| {
        let page = store.feed(ONE, after, limit).unwrap();
        let entries = page.entries.iter().map(|e| e.delivery.sequence);
        (entries.collect::<Vec<_>>(), page.last_sequence)
    };
    assert_eq!(sequences(&*store, 0, ALL), ((1..=150).collect(), 150));
    assert_eq!(sequences(&*store, 148, ALL), (vec![149, 150], 150));
    assert_eq!(sequences(&*store, 150, ALL), (vec![], 150));
    assert_eq!(sequences(&*store, u64::MAX, ALL), (vec![], 150));
    assert_eq!(sequences(&*store, 7, PageLimit { entries: 2, ..ALL }), (vec![8, 9], 150));
    assert_eq!(sequences(&*store, 7, PageLimit { bytes: 1, ..ALL }), (vec![8], 150));
    let nobody = store.feed(EndpointNo(9), 0, ALL).unwrap();
    assert_eq!((nobody.entries.len(), nobody.last_sequence), (0, 0));
    // One of the other endpoint stays pending here and there, and keeps its row alone.
    for deliveries in &owed {
        for d in deliveries {
            if d.endpoint == ONE || d.sequence % 9 != 0 {
                b.update(succeeded(*d, b.now));
            }
        }
        b.commit(&mut *writer, store.committed());
    }
    b.now = b.now + DAY * 40;
    b.event(Draft::default());
    b.commit(&mut *writer, store.committed());
    forget(&mut *writer, &b);
    let left = |store: &dyn Store| {
        let there = owed.iter().filter(|d| store.delivery(d[0].position).unwrap().is_some());
        there.map(|d| d[0].sequence).chain([151]).collect::<Vec<_>>()
    };
    let remaining = left(&*store);
    assert!((5..75).contains(&remaining.len()), "{remaining:?}");
    assert_eq!(sequences(&*store, 0, ALL), (remaining.clone(), 151));
    let figures = store.figures(ONE, Timestamp::EPOCH, 1_000).unwrap();
    assert_eq!(figures.counts.iter().sum::<u64>(), remaining.len() as u64);
    for sequence in &remaining {
        let first = sequences(&*store, sequence - 1, PageLimit { entries: 1, ..ALL });
        assert_eq!(first, (vec![*sequence], 151));
    }
    drop((store, writer));
    let (store, _writer) = harness.open();
    assert_eq!(sequences(&*store, 0, ALL), (remaining, 151));
}
