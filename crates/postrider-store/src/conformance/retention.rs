//! Removal of what ended long ago.

use std::time::Duration;

use postrider_core::id::{EndpointNo, Position};

use super::Harness;
use super::build::{ALL, Builder, Draft, succeeded};
use super::configuration::put;
use crate::{LogQuery, Maintenance, Writer};

/// A day.
pub(super) const DAY: Duration = Duration::from_secs(86_400);

/// Finished groups are gone after a while; a group with pending work stays whole, and sequences go on.
pub fn finished_work_goes_and_pending_work_stays(harness: &dyn Harness) {
    let mut b = Builder::default();
    let (store, mut writer) = harness.open();
    put(1, 1).into_iter().for_each(|e| b.edit(e));
    let mut groups = Vec::new();
    for i in 0..10 {
        let own = Draft { own_id: Some(format!("own-{i}")), ..Draft::default() };
        groups.push([b.event(own.clone())[0], b.event(Draft { own_id: None, ..own })[0]]);
        b.commit(&mut *writer, store.committed());
    }
    for pair in &groups {
        b.update(succeeded(pair[0], b.now));
        if pair[1].sequence != 8 {
            b.update(succeeded(pair[1], b.now));
        }
    }
    b.commit(&mut *writer, store.committed());
    b.now = b.now + DAY * 40;
    let fresh = b.event(Draft::default())[0];
    b.commit(&mut *writer, store.committed());
    forget(&mut *writer, &b);
    let kept: Vec<u64> = store
        .log(&LogQuery { limit: 100, ..LogQuery::default() })
        .unwrap()
        .rows
        .iter()
        .map(|r| r.delivery.sequence)
        .collect();
    assert_eq!(kept, [fresh.sequence, 8, 7]);
    assert_eq!(store.delivery(groups[0][0].position).unwrap(), None);
    let due = store.due(EndpointNo(1), Position::ZERO, ALL).unwrap().entries;
    assert_eq!(due.iter().map(|e| e.delivery.sequence).collect::<Vec<_>>(), [8, 21]);
    drop((store, writer));
    let (store, _writer) = harness.open();
    assert_eq!(store.recover().unwrap().endpoints[0].last_sequence, 21);
    assert_eq!(store.count_pending(EndpointNo(1), 9).unwrap().0, 2);
}

/// When everything of an endpoint is gone, its next number still follows the last, and its feed says which that was.
pub fn sequences_go_on_when_nothing_is_left(harness: &dyn Harness) {
    let mut b = Builder::default();
    {
        let (store, mut writer) = harness.open();
        put(1, 1).into_iter().for_each(|e| b.edit(e));
        for _ in 0..5 {
            let owed = b.event(Draft::default())[0];
            b.commit(&mut *writer, store.committed());
            b.update(succeeded(owed, b.now));
            b.commit(&mut *writer, store.committed());
        }
        b.now = b.now + DAY * 40;
        b.event(Draft { deliveries: Vec::new(), ..Draft::default() });
        b.commit(&mut *writer, store.committed());
        forget(&mut *writer, &b);
        assert!(store.feed(EndpointNo(1), 0, ALL).unwrap().entries.is_empty());
    }
    for _ in 0..2 {
        let (store, writer) = harness.open();
        assert_eq!(store.recover().unwrap().endpoints[0].last_sequence, 5);
        assert_eq!(store.feed(EndpointNo(1), 0, ALL).unwrap().last_sequence, 5);
        drop(store);
        writer.close().unwrap();
    }
}

/// Removes what is older than thirty days.
pub(super) fn forget(writer: &mut dyn Writer, b: &Builder) {
    maintain(writer, b, DAY * 30);
}

/// Does what is to be done in the background, as far as it is due within the next minutes.
pub(super) fn maintain(writer: &mut dyn Writer, b: &Builder, retention: Duration) {
    for pass in 0..8 {
        let now = b.now + Duration::from_secs(120 * pass);
        let how = Maintenance { now, retention, budget: Duration::from_secs(1) };
        let steps = (0..1_000).take_while(|_| writer.maintain(how).unwrap()).count();
        assert!(steps < 1_000, "maintenance does not end");
    }
}
