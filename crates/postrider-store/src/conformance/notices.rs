//! What the operator is to be told.

use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::Position;
use postrider_core::record::Edit;
use postrider_core::time::Timestamp;

use super::Harness;
use super::build::Builder;

/// In order, up to a time and a number; the last text of each; after a crash too. One that is set aside stands in nobody's way.
pub fn notices_come_when_they_are_due_and_go_when_they_are_told(harness: &dyn Harness) {
    let mut b = Builder::default();
    let begun = b.now;
    let due = |secs| begun + Duration::from_secs(secs);
    let mut places = Vec::new();
    {
        let (store, mut writer) = harness.open();
        for (secs, doc) in [(60, "rest"), (0, "odd"), (0, "second"), (61, "later"), (0, "third")] {
            let position = b.spare_position();
            places.push(position);
            b.edit(Edit::PutNotice { due: due(secs), position, doc: Bytes::from(doc) });
        }
        b.commit(&mut *writer, store.committed());
        b.edit(Edit::PutNotice { due: due(60), position: places[0], doc: Bytes::from("grown") });
        b.commit(&mut *writer, store.committed());
    }
    let (store, mut writer) = harness.open();
    let told = |until: Timestamp, limit| {
        let page = store.notices(until, limit).unwrap();
        let rows = page.notices.into_iter();
        let docs: Vec<String> = rows.map(|row| String::from_utf8_lossy(&row.doc).into_owned()).collect();
        (docs, page.next)
    };
    let docs = |all: &[&str]| all.iter().map(ToString::to_string).collect::<Vec<_>>();
    assert_eq!(told(due(0), 2), (docs(&["odd", "second"]), Some(due(0))));
    assert_eq!(told(due(59), 9), (docs(&["odd", "second", "third"]), Some(due(60))));
    assert_eq!(told(due(99), 9), (docs(&["odd", "second", "third", "grown", "later"]), None));
    let row = &store.notices(due(0), 9).unwrap().notices[1];
    assert_eq!((row.due, row.position), (due(0), places[2]));
    b.edit(Edit::SetNoticeAside { due: due(0), position: places[1], fault: "is odd".into() });
    b.edit(Edit::RemoveNotice { due: due(0), position: places[2] });
    // Of what is not there nothing is removed.
    b.edit(Edit::RemoveNotice { due: due(0), position: Position(9_999) });
    b.commit(&mut *writer, store.committed());
    assert_eq!(told(due(60), 9), (docs(&["third", "grown"]), Some(due(61))));
    assert_eq!(told(due(0) - Duration::from_secs(1), 9), (Vec::new(), Some(due(0))));
}
