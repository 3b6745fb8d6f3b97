//! Pages: whatever their size, together they are the whole, once and in order.

use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position};
use postrider_core::record::{DeliveryRef, KeyHash, Start};
use postrider_core::time::Timestamp;

use super::Harness;
use super::build::{Builder, Draft, TENANT, to_retry};
use crate::{EventQuery, LogQuery, Page, PageLimit};

const ONE: EndpointNo = EndpointNo(1);

/// Pages by entries and by bytes.
pub fn due_work_comes_in_order_in_pages_with_a_watermark(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    for _ in 0..3 {
        for _ in 0..4 {
            b.event(Draft { deliveries: vec![(1, Start::Due), (2, Start::Due)], ..Draft::default() });
        }
        b.commit(&mut *writer, store.committed());
    }
    let (mut after, mut seen) = (Position::ZERO, Vec::new());
    loop {
        let page = store.due(ONE, after, PageLimit { entries: 5, bytes: usize::MAX }).unwrap();
        assert_eq!(page.watermark, store.committed());
        seen.extend(page.entries.iter().map(|e| e.delivery.sequence));
        after = page.entries.last().map_or(after, |e| e.delivery.position);
        if page.complete {
            break;
        }
    }
    assert_eq!(seen, (1..=12).collect::<Vec<_>>());
    let small = store.due(ONE, Position::ZERO, PageLimit { entries: 100, bytes: 1 }).unwrap();
    assert_eq!((small.entries.len(), small.complete), (1, false));
    assert_eq!(store.count_pending(ONE, 1_000).unwrap().0, 12);
    assert_eq!(store.count_pending(ONE, 7).unwrap().0, 7);
}

/// Held work and retries that are due at the same moment: cut anywhere, nothing is missing and nothing comes twice.
pub fn what_shares_a_moment_or_a_lane_is_paged_by_its_position(harness: &dyn Harness) {
    const COUNT: usize = 25;
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let lane = KeyHash::ordering(TENANT, "k").lane();
    let keyed = Draft { key: Some("k".into()), deliveries: vec![(1, Start::Held(lane))], ..Draft::default() };
    let held: Vec<_> = (0..COUNT).flat_map(|_| b.event(keyed.clone())).collect();
    let retried: Vec<_> = (0..COUNT).flat_map(|_| b.event(Draft::default())).collect();
    b.commit(&mut *writer, store.committed());
    let due = b.now + Duration::from_secs(9);
    // In no order, so that it is not their commit that orders them.
    retried.iter().rev().for_each(|d| b.update(to_retry(*d, b.now, due)));
    b.commit(&mut *writer, store.committed());
    for entries in [1, 7, COUNT, COUNT + 1] {
        let limit = PageLimit { entries, bytes: usize::MAX };
        let of_lane =
            whole(Position::ZERO, |after| store.held(ONE, lane, *after, limit).unwrap(), |d| d.position);
        assert_eq!(of_lane, held, "{entries} a page");
        let begin = (Timestamp::EPOCH, Position::ZERO);
        let of_moment =
            whole(begin, |after| store.retries(ONE, *after, due, limit).unwrap(), |d| (due, d.position));
        assert_eq!(of_moment, retried, "{entries} a page");
    }
    let after = (due, retried[COUNT - 1].position);
    assert_eq!(store.next_retry(ONE, after).unwrap(), None);
    assert_eq!(store.next_retry(ONE, (due, retried[COUNT - 2].position)).unwrap(), Some(due));
}

/// All pages of something, one after the other.
fn whole<A>(begin: A, read: impl Fn(&A) -> Page, behind: impl Fn(&DeliveryRef) -> A) -> Vec<DeliveryRef> {
    let (mut after, mut found) = (begin, Vec::new());
    for _ in 0..1_000 {
        let page = read(&after);
        let deliveries = page.entries.iter().map(|loaded| loaded.delivery);
        found.extend(deliveries);
        if page.complete {
            return found;
        }
        after = behind(found.last().unwrap());
    }
    panic!("the pages do not end");
}

/// A log in which next to nothing fits is not read through at once: its pages are short, and lead on to the end.
pub fn a_page_looks_at_a_bounded_number_of_rows_and_leads_on(harness: &dyn Harness) {
    const ROWS: usize = 12_000;
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let rare = b.event(Draft { event_type: "card.rare", ..Draft::default() })[0];
    b.commit(&mut *writer, store.committed());
    for _ in 0..ROWS / 3_000 {
        (0..3_000).for_each(|_| drop(b.event(Draft { data: Bytes::new(), ..Draft::default() })));
        b.commit(&mut *writer, store.committed());
    }
    let event_type = Some("card.rare".to_owned());
    let mut log =
        LogQuery { tenant: Some(TENANT), event_type: event_type.clone(), limit: 50, ..LogQuery::default() };
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = store.log(&log).unwrap();
        found.extend(page.rows.iter().map(|row| row.delivery));
        pages += 1;
        let Some(next) = page.next else { break };
        log.before = Some(next);
    }
    assert_eq!((found, pages >= ROWS / 5_000), (vec![rare], true), "{pages} pages");
    let mut events = EventQuery { tenant: TENANT, event_type, limit: 50, ..EventQuery::default() };
    let (mut found, mut pages) = (Vec::new(), 0);
    loop {
        let page = store.events(&events).unwrap();
        found.extend(page.rows.iter().map(|row| row.event.position));
        pages += 1;
        let Some(next) = page.next else { break };
        events.before = Some(next);
    }
    assert_eq!((found, pages >= ROWS / 5_000), (vec![rare.event], true), "{pages} pages");
}
