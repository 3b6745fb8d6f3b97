//! The feed of an endpoint, and its figures: everything that it was owed and that is left.

use postrider_core::id::EndpointNo;
use postrider_core::record::{Disposition, Edit, KeyHash, Reason, Start, Status, Update};
use postrider_core::time::Timestamp;

use super::Harness;
use super::build::{ALL, Builder, Draft, TENANT, succeeded, to_retry};
use super::configuration::put;
use super::retention::{DAY, forget};
use crate::{PageLimit, Store};

const ONE: EndpointNo = EndpointNo(1);

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

/// What was never to be sent has its number too, and a removed endpoint's feed is read to its end.
pub fn a_feed_tells_every_state_and_outlives_its_endpoint(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    put(1, 1).into_iter().for_each(|edit| b.edit(edit));
    let lane = KeyHash::ordering(TENANT, "k").lane();
    let starts = [Start::Due, Start::Skipped(Reason::Paused), Start::Held(lane), Start::Due, Start::Due];
    let owed: Vec<_> = starts
        .into_iter()
        .flat_map(|start| {
            b.event(Draft { key: Some("k".into()), deliveries: vec![(1, start)], ..Draft::default() })
        })
        .collect();
    b.commit(&mut *writer, store.committed());
    b.update(succeeded(owed[0], b.now));
    let cancelled = Disposition::Ended(Status::Cancelled, Some(Reason::Requested));
    b.update(Update { to: cancelled, attempt: None, ..succeeded(owed[3], b.now) });
    b.update(to_retry(owed[4], b.now, b.now));
    b.commit(&mut *writer, store.committed());
    let told = || {
        let page = store.feed(ONE, 0, ALL).unwrap();
        assert_eq!(page.last_sequence, 5);
        page.entries.iter().map(|e| (e.delivery.sequence, e.status)).collect::<Vec<_>>()
    };
    let expected = [
        (1, Status::Succeeded),
        (2, Status::Skipped),
        (3, Status::Pending),
        (4, Status::Cancelled),
        (5, Status::Pending),
    ];
    assert_eq!(told(), expected);
    b.edit(Edit::DeleteEndpoint { no: ONE });
    b.commit(&mut *writer, store.committed());
    assert_eq!(told(), expected);
}
