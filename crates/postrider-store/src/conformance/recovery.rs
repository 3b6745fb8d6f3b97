//! What a start finds after a crash, a close, or a result that was in doubt.

use postrider_core::id::EndpointNo;
use postrider_core::record::{KeyHash, Progress, Start};

use super::Harness;
use super::build::{Builder, Draft, TENANT, to_retry};
use super::configuration::put;
use crate::StoreError;

/// In: found. Another: not found. Afterwards the handle works.
pub fn a_marker_tells_whether_a_group_is_in(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    b.event(Draft::default());
    let group = b.commit(&mut *writer, store.committed());
    assert!(writer.reopen(group.writer, group.number).unwrap());
    assert!(!writer.reopen(group.writer, group.number + 1).unwrap());
    assert!(!writer.reopen(group.writer + 1, group.number).unwrap());
    assert_eq!(store.count_pending(EndpointNo(1), 9).unwrap().0, 1);
    b.event(Draft::default());
    b.commit(&mut *writer, store.committed());
    assert_eq!(store.count_pending(EndpointNo(1), 9).unwrap().0, 2);
}

/// Nothing of it is stored.
pub fn a_group_that_does_not_follow_is_refused(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    b.event(Draft::default());
    let group = b.commit(&mut *writer, store.committed());
    assert!(matches!(writer.commit(&group), Err(StoreError::Other(_))));
    assert_eq!(store.committed(), group.last);
}

/// Blocking retries with their lanes, held lanes, pending or not.
pub fn what_blocks_and_what_is_held_is_told_at_a_start(harness: &dyn Harness) {
    let mut b = Builder::default();
    let lane = KeyHash::ordering(TENANT, "k").lane();
    let other = KeyHash::ordering(TENANT, "l").lane();
    let first;
    {
        let (store, mut writer) = harness.open();
        [put(1, 1), put(2, 1)].into_iter().flatten().for_each(|e| b.edit(e));
        let keyed = |key: &str, start| Draft {
            key: Some(key.into()),
            deliveries: vec![(1, start)],
            ..Draft::default()
        };
        first = b.event(keyed("k", Start::Due))[0];
        b.event(keyed("k", Start::Held(lane)));
        b.event(keyed("l", Start::Held(other)));
        b.commit(&mut *writer, store.committed());
        let mut update = to_retry(first, b.now, b.now);
        update.progress = Progress { blocking: true, held_ms: 12, ..update.progress };
        b.update(update);
        b.commit(&mut *writer, store.committed());
    }
    let (store, _writer) = harness.open();
    let recovery = store.recover().unwrap();
    let [one, two] = &recovery.endpoints[..] else { panic!("two endpoints") };
    assert_eq!(one.blocking.iter().map(|r| (r.delivery, r.lane)).collect::<Vec<_>>(), [(first, Some(lane))]);
    assert_eq!(one.blocking[0].progress.held_ms, 12);
    let mut lanes = vec![lane, other];
    lanes.sort_unstable();
    assert_eq!((&one.held, one.has_pending, one.last_sequence), (&lanes, true, 3));
    assert!(!two.has_pending && two.held.is_empty() && two.last_sequence == 0);
    assert_eq!(recovery.next_position, store.committed().plus(1));
}

/// Many lanes of one endpoint, each with a head that blocks and a successor that is held: none is left out.
pub fn every_lane_is_told_at_a_start_however_many(harness: &dyn Harness) {
    const LANES: usize = 4_500;
    let mut b = Builder::default();
    {
        let (store, mut writer) = harness.open();
        put(1, 1).into_iter().for_each(|e| b.edit(e));
        let mut heads = Vec::new();
        for i in 0..LANES {
            let key = i.to_string();
            let lane = KeyHash::ordering(TENANT, &key).lane();
            let draft = Draft { key: Some(key), ..Draft::default() };
            heads.extend(b.event(draft.clone()));
            b.event(Draft { deliveries: vec![(1, Start::Held(lane))], ..draft });
        }
        b.commit(&mut *writer, store.committed());
        for head in heads {
            let mut update = to_retry(head, b.now, b.now);
            update.progress.blocking = true;
            b.update(update);
        }
        b.commit(&mut *writer, store.committed());
        // So that the held ones are found where they are kept for long.
        writer.close().unwrap();
    }
    let (store, _writer) = harness.open();
    let endpoint = &store.recover().unwrap().endpoints[0];
    assert_eq!((endpoint.blocking.len(), endpoint.held.len()), (LANES, LANES));
}

/// Closed, opened, crashed, opened.
pub fn sequences_go_on_after_a_close(harness: &dyn Harness) {
    let mut b = Builder::default();
    {
        let (store, mut writer) = harness.open();
        put(1, 1).into_iter().for_each(|e| b.edit(e));
        (0..130).for_each(|_| drop(b.event(Draft::default())));
        b.commit(&mut *writer, store.committed());
        writer.close().unwrap();
    }
    {
        let (store, mut writer) = harness.open();
        assert_eq!(store.recover().unwrap().endpoints[0].last_sequence, 130);
        b.event(Draft::default());
        b.commit(&mut *writer, store.committed());
    }
    let (store, _writer) = harness.open();
    assert_eq!(store.recover().unwrap().endpoints[0].last_sequence, 131);
}
