//! Removal of what ended long ago.

use std::time::Duration;

use postrider_core::id::{EndpointNo, Position};
use postrider_core::record::KeyHash;

use super::Harness;
use super::build::{ALL, Builder, Draft, TENANT, succeeded};
use super::configuration::put;
use crate::{LogQuery, Maintenance};

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
    b.now = b.now + Duration::from_secs(40 * 86_400);
    let fresh = b.event(Draft::default())[0];
    b.commit(&mut *writer, store.committed());
    for pass in 0..6 {
        let now = b.now + Duration::from_secs(120 * pass);
        let how =
            Maintenance { now, retention: Duration::from_secs(30 * 86_400), budget: Duration::from_secs(1) };
        for _ in 0..100 {
            if !writer.maintain(how).unwrap() {
                break;
            }
        }
    }
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

/// Also when finished work is kept for less.
pub fn idempotency_keys_are_known_for_a_day_however_short_the_retention(harness: &dyn Harness) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let deliveries = Vec::new();
    let keyed = Draft { idempotency: Some("k".into()), deliveries: deliveries.clone(), ..Draft::default() };
    b.event(keyed);
    b.commit(&mut *writer, store.committed());
    let plain = store.committed().plus(1);
    b.event(Draft { deliveries, ..Draft::default() });
    b.commit(&mut *writer, store.committed());
    let begun = b.now;
    let key = KeyHash::idempotency(TENANT, "k");
    for (hours, known) in [(2, true), (23, true), (26, false)] {
        b.now = begun + HOUR * hours;
        b.spare_position();
        b.commit(&mut *writer, store.committed());
        for pass in 0..4 {
            let now = b.now + Duration::from_secs(120 * pass);
            let how = Maintenance { now, retention: HOUR, budget: Duration::from_secs(1) };
            for _ in 0..100 {
                if !writer.maintain(how).unwrap() {
                    break;
                }
            }
        }
        assert_eq!(store.find_keys(&[key]).unwrap()[0].is_some(), known, "after {hours} hours");
        assert_eq!(store.event(plain).unwrap(), None, "after {hours} hours");
    }
}
