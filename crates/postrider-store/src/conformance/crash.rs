//! What a start finds after a crash, a close, or a result that was in doubt.
//!
//! A [`travel`] is a way through the store that depends on a seed alone, so that whoever finds the store after a crash can
//! tell whether what is there is what was there at some step of it: [`arrive`]. The cases here crash by dropping the
//! handles. An engine whose files or connections can be cut off for real runs a travel in a process of its own, ends it
//! as the world would (a kill, a power cut), and asks [`arrive`] about what is left.

use postrider_core::id::EndpointNo;
use postrider_core::record::{KeyHash, Progress, Start};

use super::Harness;
use super::build::{Builder, Draft, TENANT, to_retry};
use super::configuration::put;
use super::random::{Journey, Random, compare};
use crate::{Store, StoreError, Writer};

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

/// Groups of a journey that is cut off.
const STEPS: u64 = 60;

/// Commits the groups of a seed, with maintenance between, and tells each when it is acknowledged: by its number, from 1.
pub fn travel(
    seed: u64,
    groups: u64,
    store: &dyn Store,
    writer: &mut dyn Writer,
    mut acknowledged: impl FnMut(u64),
) {
    let mut journey = Journey::begin(seed);
    for number in 1..=groups {
        let group = journey.group();
        writer.commit(&group).unwrap();
        assert_eq!(store.committed(), group.last);
        acknowledged(number);
        if let Some(how) = journey.maintenance() {
            (0..20).any(|_| !writer.maintain(how).unwrap());
        }
    }
}

/// Looks at what is left of a travel: all of its groups up to some number, and nothing of those behind. Gives the number.
pub fn arrive(seed: u64, store: &dyn Store) -> u64 {
    let mut journey = Journey::begin(seed);
    let (found, mut number) = (store.committed(), 0);
    while journey.model.committed < found {
        journey.group();
        journey.maintenance();
        number += 1;
    }
    assert_eq!(journey.model.committed, found, "it ends between two groups");
    if number > 0 {
        compare(store, &journey.model, &mut Random(seed), journey.now());
    }
    number
}

/// At any step: everything acknowledged is there, and the next travel goes on from it.
pub fn what_was_acknowledged_is_there_wherever_it_is_cut_off(harness: &dyn Harness) {
    const SEED: u64 = 7;
    let mut journey = Journey::begin(SEED);
    let mut random = Random(SEED);
    let mut left = STEPS;
    let mut acknowledged = 0;
    while left > 0 {
        let (store, mut writer) = harness.open();
        assert_eq!(arrive(SEED, &*store), acknowledged);
        let steps = (1 + random.below(9)).min(left);
        for _ in 0..steps {
            writer.commit(&journey.group()).unwrap();
            acknowledged += 1;
            if let Some(how) = journey.maintenance() {
                // Cut off amid it as well.
                (0..random.below(4)).any(|_| !writer.maintain(how).unwrap());
            }
        }
        left -= steps;
    }
}

/// A group whose result is in doubt is committed once, whether it is there or not.
pub fn a_group_in_doubt_is_committed_once(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    for in_doubt in [true, false, true] {
        b.event(Draft::default());
        let group = b.group(store.committed().plus(1));
        if in_doubt {
            writer.commit(&group).unwrap();
        }
        let found = writer.reopen(group.writer, group.number).unwrap();
        assert_eq!(found, in_doubt);
        if !found {
            writer.commit(&group).unwrap();
        }
        assert_eq!(store.committed(), group.last);
    }
    assert_eq!(store.count_pending(EndpointNo(1), 9).unwrap().0, 3);
}
