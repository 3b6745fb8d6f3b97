//! The lives of deliveries, one situation each.

use std::time::Duration;

use postrider_core::id::{EndpointNo, Position};
use postrider_core::record::{
    Disposition, KeyHash, LaneKey, Place, Progress, Reason, Start, Status, Trigger, Update,
};
use postrider_core::time::Timestamp;

use super::Harness;
use super::build::{ALL, Builder, Draft, TENANT, attempt, succeeded, to_retry};
use crate::LogQuery;

const ONE: EndpointNo = EndpointNo(1);

/// Failure, retry, success: each step as the log tells it.
pub fn a_delivery_goes_from_retry_to_success(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let d = b.event(Draft::default())[0];
    b.commit(&mut *writer, store.committed());
    let again = b.now + Duration::from_secs(5);
    b.update(to_retry(d, b.now, again));
    b.commit(&mut *writer, store.committed());
    assert!(store.due(ONE, Position::ZERO, ALL).unwrap().entries.is_empty());
    let start = (Timestamp::EPOCH, Position::ZERO);
    assert!(store.retries(ONE, start, again - Duration::from_secs(1), ALL).unwrap().entries.is_empty());
    assert_eq!(store.retries(ONE, start, again, ALL).unwrap().entries[0].delivery, d);
    assert_eq!(store.next_retry(ONE, start).unwrap(), Some(again));
    assert_eq!(store.next_retry(ONE, (again, d.position)).unwrap(), None);
    let row = store.delivery(d.position).unwrap().unwrap().row;
    assert_eq!(
        (row.status, row.last_status_code, row.next_attempt_at),
        (Status::Pending, Some(503), Some(again))
    );
    let at = b.now;
    let second = attempt(2, 0, Trigger::Schedule, 200, at);
    b.update(Update {
        from: Some(Place::Retry(again)),
        progress: Progress { attempts: 2, step: 2, ..Progress::default() },
        attempt: Some(second.clone()),
        ..succeeded(d, at)
    });
    b.commit(&mut *writer, store.committed());
    let entry = store.delivery(d.position).unwrap().unwrap();
    assert_eq!(
        (entry.row.status, entry.row.finished_at, entry.row.first_succeeded_at),
        (Status::Succeeded, Some(at), Some(at))
    );
    assert_eq!(entry.attempts.len(), 2);
    assert_eq!(entry.attempts[1], second);
    assert_eq!(store.pending_one(d.position).unwrap(), None);
    assert_eq!(store.count_pending(ONE, 9).unwrap().0, 0);
}

/// Held from the beginning, held later, released.
pub fn held_work_stays_outside_the_due_order(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let lane = KeyHash::ordering(TENANT, "k").lane();
    let keyed = |start| Draft { key: Some("k".into()), deliveries: vec![(1, start)], ..Draft::default() };
    let first = b.event(keyed(Start::Due))[0];
    let second = b.event(keyed(Start::Held(lane)))[0];
    let third = b.event(keyed(Start::Due))[0];
    b.commit(&mut *writer, store.committed());
    let step = |d, from, to, at| Update {
        from: Some(from),
        to: Disposition::Pending(to),
        attempt: None,
        progress: Progress::default(),
        ..succeeded(d, at)
    };
    b.update(step(third, Place::Due(third.position), Place::Held(lane), b.now));
    b.commit(&mut *writer, store.committed());
    let held = || {
        store
            .held(ONE, lane, Position::ZERO, ALL)
            .unwrap()
            .entries
            .iter()
            .map(|e| e.delivery)
            .collect::<Vec<_>>()
    };
    let due = || {
        store.due(ONE, Position::ZERO, ALL).unwrap().entries.iter().map(|e| e.delivery).collect::<Vec<_>>()
    };
    assert_eq!((held(), due()), (vec![second, third], vec![first]));
    assert!(store.held(ONE, LaneKey(lane.0 ^ 1), Position::ZERO, ALL).unwrap().entries.is_empty());
    b.update(succeeded(first, b.now));
    b.update(step(second, Place::Held(lane), Place::Due(second.position), b.now));
    b.commit(&mut *writer, store.committed());
    assert_eq!((held(), due()), (vec![third], vec![second]));
    let rows = store.pending(ONE, None, 10).unwrap();
    assert!(rows.iter().all(|r| r.lane == Some(lane)));
    assert_eq!(rows.len(), 2);
}

/// It is in the log with its reason, and may be asked for later.
pub fn a_skipped_delivery_is_never_pending(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let d = b.event(Draft { deliveries: vec![(1, Start::Skipped(Reason::Paused))], ..Draft::default() })[0];
    b.commit(&mut *writer, store.committed());
    assert_eq!(store.count_pending(ONE, 9).unwrap().0, 0);
    let query = LogQuery { status: Some(Status::Skipped), limit: 9, ..LogQuery::default() };
    let row = store.log(&query).unwrap().rows.pop().unwrap();
    assert_eq!((row.delivery, row.reason, row.place), (d, Some(Reason::Paused), None));
    let rank = b.spare_position();
    let update = Update {
        from: None,
        to: Disposition::Pending(Place::Due(rank)),
        progress: Progress { run: 1, trigger: Trigger::Replay, ..Progress::default() },
        attempt: None,
        ..succeeded(d, b.now)
    };
    b.update(update);
    b.commit(&mut *writer, store.committed());
    let entry = store.pending_one(d.position).unwrap().unwrap();
    assert_eq!((entry.place, entry.progress.run), (Place::Due(rank), 1));
    assert!(store.log(&query).unwrap().rows.is_empty());
}

/// Success, replay, failure: `first_succeeded_at` and the first attempt stay.
pub fn a_replay_keeps_the_first_success(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let d = b.event(Draft::default())[0];
    b.commit(&mut *writer, store.committed());
    let first = succeeded(d, b.now);
    b.update(first.clone());
    b.commit(&mut *writer, store.committed());
    let rank = b.spare_position();
    let progress = Progress { run: 1, attempts: 1, trigger: Trigger::Replay, ..Progress::default() };
    b.update(Update {
        from: None,
        to: Disposition::Pending(Place::Due(rank)),
        progress,
        attempt: None,
        at: b.now,
        ..first
    });
    b.commit(&mut *writer, store.committed());
    let row = store.delivery(d.position).unwrap().unwrap().row;
    assert_eq!(
        (row.status, row.finished_at, row.first_succeeded_at),
        (Status::Pending, None, Some(first.at))
    );
    let failed = attempt(2, 1, Trigger::Replay, 500, b.now);
    b.update(Update {
        from: Some(Place::Due(rank)),
        to: Disposition::Ended(Status::Failed, Some(Reason::ScheduleExhausted)),
        progress: Progress { run: 1, attempts: 2, step: 1, ..Progress::default() },
        attempt: Some(failed.clone()),
        at: b.now,
        ..first
    });
    b.commit(&mut *writer, store.committed());
    let entry = store.delivery(d.position).unwrap().unwrap();
    assert_eq!((entry.row.status, entry.row.first_succeeded_at), (Status::Failed, Some(first.at)));
    assert_eq!(entry.attempts, [first.attempt.unwrap(), failed]);
}

/// Failure and success in the same commit.
pub fn several_steps_in_one_group(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let d = b.event(Draft::default())[0];
    b.commit(&mut *writer, store.committed());
    let again = b.now + Duration::from_millis(1);
    b.update(to_retry(d, b.now, again));
    b.update(Update {
        from: Some(Place::Retry(again)),
        progress: Progress { attempts: 2, step: 2, ..Progress::default() },
        attempt: Some(attempt(2, 0, Trigger::Schedule, 204, again)),
        ..succeeded(d, again)
    });
    b.commit(&mut *writer, store.committed());
    assert_eq!(store.count_pending(ONE, 9).unwrap().0, 0);
    let entry = store.delivery(d.position).unwrap().unwrap();
    assert_eq!(
        (entry.row.status, entry.row.last_status_code, entry.attempts.len()),
        (Status::Succeeded, Some(204), 2)
    );
}
