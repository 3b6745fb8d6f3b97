//! Events: read back as they came, and listed newest first.

use bytes::Bytes;
use postrider_core::id::{Position, TenantNo};
use postrider_core::record::{KeyHash, Reason, Start};
use postrider_core::time::Timestamp;

use super::Harness;
use super::build::{Builder, Draft, TENANT};
use crate::EventQuery;

/// Odd bytes, large and empty data.
pub fn an_event_is_read_back_byte_for_byte(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    for data in [Bytes::new(), Bytes::from_static(b"\0\xff"), Bytes::from(vec![b'x'; 300_000])] {
        b.event(Draft { data, own_id: Some("own-1".into()), deliveries: Vec::new(), ..Draft::default() });
    }
    let group = b.commit(&mut *writer, store.committed());
    for a in &group.accepted {
        let stored = store.event(a.event.position).unwrap().unwrap();
        assert_eq!((stored.event, stored.deliveries), (a.event.clone(), a.deliveries.clone()));
    }
    assert_eq!(store.event(Position(99)).unwrap(), None);
    assert_eq!(store.committed(), group.last);
}

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
