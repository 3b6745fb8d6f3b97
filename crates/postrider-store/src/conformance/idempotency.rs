//! Keys: what they lead to, and for how long.

use std::time::Duration;

use postrider_core::id::TenantNo;
use postrider_core::record::{KeyHash, Reason, Start};

use super::Harness;
use super::build::{Builder, Draft, TENANT};
use super::retention::maintain;

/// By idempotency key and by own id; an ordering key is not a hit.
pub fn keys_lead_to_their_events(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    b.event(Draft {
        idempotency: Some("idem".into()),
        own_id: Some("mine".into()),
        key: Some("order".into()),
        deliveries: vec![(1, Start::Due), (2, Start::Skipped(Reason::Paused))],
        ..Draft::default()
    });
    let group = b.commit(&mut *writer, store.committed());
    let accepted = &group.accepted[0];
    let keys = [
        KeyHash::idempotency(TENANT, "idem"),
        KeyHash::own_id(TENANT, "mine"),
        KeyHash::ordering(TENANT, "order"),
        KeyHash::idempotency(TENANT, "new"),
    ];
    let hits = store.find_keys(&keys).unwrap();
    for hit in &hits[..2] {
        let hit = hit.as_ref().unwrap();
        assert_eq!((hit.position, &*hit.id, hit.deliveries), (accepted.event.position, "mine", 1));
        assert_eq!((hit.idempotency, hit.own_id), (accepted.idempotency, accepted.own_id));
    }
    assert_eq!((&hits[2], &hits[3]), (&None, &None));
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
        maintain(&mut *writer, &b, HOUR);
        assert_eq!(store.find_keys(&[key]).unwrap()[0].is_some(), known, "after {hours} hours");
        assert_eq!(store.event(plain).unwrap(), None, "after {hours} hours");
    }
}

/// The same text under another tenant is another key; and one whose time is over leads to what it is used for next.
pub fn a_key_is_its_tenant_s_and_may_be_used_again_when_its_time_is_over(harness: &dyn Harness) {
    const HOUR: Duration = Duration::from_secs(3_600);
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let keyed = |tenant, own_id: &str| Draft {
        tenant,
        idempotency: Some("k".into()),
        own_id: Some(own_id.into()),
        deliveries: Vec::new(),
        ..Draft::default()
    };
    let (one, other) = (KeyHash::idempotency(TENANT, "k"), KeyHash::idempotency(TenantNo(2), "k"));
    let found = |keys: &[KeyHash]| -> Vec<_> {
        store.find_keys(keys).unwrap().into_iter().map(|hit| hit.map(|hit| hit.id)).collect()
    };
    let id = |id: &str| Some(id.to_owned());
    b.event(keyed(TENANT, "first"));
    b.commit(&mut *writer, store.committed());
    assert_eq!(found(&[other, one, other]), [None, id("first"), None]);
    b.event(keyed(TenantNo(2), "second"));
    b.commit(&mut *writer, store.committed());
    assert_eq!(found(&[other, one]), [id("second"), id("first")]);
    b.now = b.now + HOUR * 26;
    b.event(keyed(TENANT, "third"));
    b.commit(&mut *writer, store.committed());
    maintain(&mut *writer, &b, HOUR);
    assert_eq!(found(&[other, one]), [None, id("third")]);
}

/// Many of them, in whatever is merged in the background, and after a crash and a close.
pub fn keys_survive_merges_crashes_and_closes(harness: &dyn Harness) {
    const GROUPS: usize = 12;
    const KEYS: usize = 3_000;
    let mut b = Builder::default();
    let text = |group: usize, key: usize| format!("{group}-{key}");
    for group in 0..GROUPS {
        let (store, mut writer) = harness.open();
        for key in 0..KEYS {
            let idempotency = Some(text(group, key));
            b.event(Draft { idempotency, deliveries: Vec::new(), ..Draft::default() });
        }
        let committed = b.commit(&mut *writer, store.committed());
        maintain(&mut *writer, &b, Duration::from_secs(86_400));
        for earlier in 0..=group {
            let keys: Vec<_> =
                (0..KEYS).step_by(97).map(|key| KeyHash::idempotency(TENANT, &text(earlier, key))).collect();
            let hits = store.find_keys(&keys).unwrap();
            assert!(hits.iter().all(Option::is_some), "keys of group {earlier} after group {group}");
            let latest = hits.iter().flatten().all(|hit| hit.position >= committed.first);
            assert_eq!(latest, earlier == group, "they lead to their own events");
        }
        let unknown: Vec<_> = (0..KEYS).map(|key| KeyHash::idempotency(TENANT, &text(GROUPS, key))).collect();
        assert!(store.find_keys(&unknown).unwrap().iter().all(Option::is_none));
        drop(store);
        if group % 2 == 0 {
            writer.close().unwrap();
        }
    }
}
