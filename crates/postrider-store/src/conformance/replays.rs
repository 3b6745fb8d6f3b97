//! Replays: what they cover, and how far they have come.

use std::sync::Arc;
use std::time::Duration;

use postrider_core::id::EndpointNo;
use postrider_core::record::{
    DeliveryRef, Disposition, Edit, Place, Progress, Reason, Start, Status, Trigger, Update,
};
use postrider_core::replay::{Replay, ReplayFilter, ReplayProgress, ReplaySpan, ReplayState, Statuses};
use postrider_core::subscription::Pattern;
use postrider_core::time::Timestamp;

use super::Harness;
use super::build::{ALL, Builder, Draft, TENANT, succeeded};
use super::configuration::put;
use crate::{Maintenance, StoredReplay};

const ONE: EndpointNo = EndpointNo(1);

fn missed() -> ReplayFilter {
    ReplayFilter {
        since: None,
        until: None,
        sequence_from: Some(1),
        sequence_to: None,
        statuses: Statuses::MISSED,
        types: Vec::new(),
    }
}

fn replay(id: &str, filter: ReplayFilter, span: ReplaySpan) -> Arc<Replay> {
    let created_at = Timestamp::from_millis(1_760_000_000_123);
    Arc::new(Replay { id: id.into(), tenant: TENANT, endpoint: ONE, filter, span, per_second: 7, created_at })
}

fn failed(delivery: DeliveryRef, at: Timestamp) -> Update {
    Update {
        to: Disposition::Ended(Status::Failed, Some(Reason::EndpointDisabled)),
        attempt: None,
        progress: Progress::default(),
        ..succeeded(delivery, at)
    }
}

/// A new run of a delivery that has ended.
fn again(b: &mut Builder, delivery: DeliveryRef) -> Update {
    Update {
        from: None,
        to: Disposition::Pending(Place::Due(b.spare_position())),
        progress: Progress { run: 1, trigger: Trigger::Replay, ..Progress::default() },
        attempt: None,
        ..succeeded(delivery, b.now)
    }
}

/// After a crash too: what was asked for, and the last that was written of how far it has come.
pub fn a_replay_is_found_again_as_it_was(harness: &dyn Harness) {
    let mut b = Builder::default();
    let (job, other, progress);
    {
        let (store, mut writer) = harness.open();
        put(1, 1).into_iter().for_each(|e| b.edit(e));
        let d =
            b.event(Draft { deliveries: vec![(1, Start::Skipped(Reason::Paused))], ..Draft::default() })[0];
        b.commit(&mut *writer, store.committed());
        let filter = ReplayFilter {
            since: Some(Timestamp::from_millis(1_700_000_000_001)),
            statuses: Statuses::of([Status::Skipped, Status::Succeeded]),
            types: vec![Pattern::parse("card.*").unwrap()],
            ..missed()
        };
        let span = store.replay_span(ONE, &filter).unwrap();
        assert_eq!(span.matched, 1);
        (job, other) = (replay("rpl_a", filter, span), replay("rpl_b", missed(), span));
        for job in [&job, &other] {
            b.edit(Edit::PutReplay { replay: Arc::clone(job), progress: ReplayProgress::begun(span, b.now) });
        }
        b.commit(&mut *writer, store.committed());
        assert_eq!(store.recover().unwrap().replays.len(), 2);
        // How far it has come is durable with what it let go.
        let update = again(&mut b, d);
        b.update(update);
        let begun = ReplayProgress::begun(span, b.now);
        progress = ReplayProgress { cursor: d.position, done: 1, expired: 5, skipped: 2, ..begun };
        b.edit(Edit::PutReplay { replay: Arc::clone(&job), progress });
        let failed = ReplayProgress { state: ReplayState::Failed(Reason::EndpointDisabled), ..begun };
        b.edit(Edit::PutReplay { replay: Arc::clone(&other), progress: failed });
        b.commit(&mut *writer, store.committed());
    }
    let (store, _writer) = harness.open();
    let stored = StoredReplay { replay: job, progress };
    assert_eq!(store.recover().unwrap().replays, std::slice::from_ref(&stored));
    assert_eq!(store.replay(ONE, "rpl_a").unwrap(), Some(stored));
    assert_eq!(
        store.replay(ONE, "rpl_b").unwrap().unwrap().progress.state,
        ReplayState::Failed(Reason::EndpointDisabled)
    );
    assert_eq!(
        (store.replay(EndpointNo(2), "rpl_a").unwrap(), store.replay(ONE, "rpl_c").unwrap()),
        (None, None)
    );
}

/// A hundred of an endpoint, for 30 days; those that run stay.
pub fn replays_that_ended_are_kept_for_a_while(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let span =
        ReplaySpan { after: b.spare_position(), through: b.spare_position(), as_of: b.now, matched: 1 };
    let put_replay = |b: &mut Builder, id: &str, state| {
        let progress = ReplayProgress { state, ..ReplayProgress::begun(span, b.now) };
        b.edit(Edit::PutReplay { replay: replay(id, missed(), span), progress });
    };
    put_replay(&mut b, "rpl_000", ReplayState::Running);
    (1..=120).for_each(|n| put_replay(&mut b, &format!("rpl_{n:03}"), ReplayState::Done));
    b.commit(&mut *writer, store.committed());
    let ids = |before: Option<&str>, limit| -> Vec<String> {
        store.replays(ONE, before, limit).unwrap().iter().map(|r| r.replay.id.to_string()).collect()
    };
    let all = ids(None, 1_000);
    assert_eq!((all.len(), &*all[0], &*all[99], &*all[100]), (101, "rpl_120", "rpl_021", "rpl_000"));
    assert_eq!(ids(Some("rpl_050"), 2), ["rpl_049", "rpl_048"]);
    assert!(store.replays(EndpointNo(2), None, 10).unwrap().is_empty());
    b.now = b.now + Duration::from_secs(31 * 86_400);
    put_replay(&mut b, "rpl_121", ReplayState::Cancelled);
    b.event(Draft::default());
    b.commit(&mut *writer, store.committed());
    for pass in 0..4 {
        let now = b.now + Duration::from_secs(120 * pass);
        let how = Maintenance { now, retention: Duration::from_secs(86_400), budget: Duration::from_secs(1) };
        while writer.maintain(how).unwrap() {}
    }
    assert_eq!(ids(None, 1_000), ["rpl_121", "rpl_000"]);
}

/// Neither what is pending by then, nor what ended since; a verdict of before stays covered.
pub fn what_ends_after_a_count_is_not_on_its_pages(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let all: Vec<DeliveryRef> = (0..6).map(|_| b.event(Draft::default())[0]).collect();
    b.commit(&mut *writer, store.committed());
    all[..4].iter().for_each(|d| b.update(failed(*d, b.now)));
    b.commit(&mut *writer, store.committed());
    let span = store.replay_span(ONE, &missed()).unwrap();
    assert_eq!((span.matched, span.through), (4, store.committed()));
    // One is taken up again, one of those fails again, one that was pending fails, another comes.
    let (first, second) = (again(&mut b, all[0]), again(&mut b, all[1]));
    b.update(first.clone());
    b.update(second);
    b.update(failed(all[4], b.now));
    b.commit(&mut *writer, store.committed());
    let Disposition::Pending(from) = first.to else { panic!("{first:?}") };
    b.update(Update { from: Some(from), progress: first.progress, ..failed(all[0], b.now) });
    b.event(Draft { deliveries: vec![(1, Start::Skipped(Reason::Paused))], ..Draft::default() });
    b.commit(&mut *writer, store.committed());
    let page = store.replay_page(&replay("rpl", missed(), span), span.after, ALL).unwrap();
    let found: Vec<DeliveryRef> = page.entries.iter().map(|e| e.delivery).collect();
    assert_eq!((&found[..], page.complete, page.upto), (&all[2..4], true, span.through));
    assert_eq!(store.replay_span(ONE, &missed()).unwrap().matched, 5);
}

/// It is as old as its beginning, wherever it is kept.
pub fn a_later_run_has_an_age_of_its_own(harness: &dyn Harness) {
    let (store, mut writer) = harness.open();
    let mut b = Builder::default();
    let (old, late) = (b.event(Draft::default())[0], b.event(Draft::default())[0]);
    b.commit(&mut *writer, store.committed());
    b.update(failed(late, b.now));
    b.commit(&mut *writer, store.committed());
    b.now = b.now + Duration::from_secs(1_000);
    let between = b.now - Duration::from_secs(500);
    let update = again(&mut b, late);
    b.update(update.clone());
    b.commit(&mut *writer, store.committed());
    let older = |than| -> Vec<DeliveryRef> {
        store.pending(ONE, Some(than), 9).unwrap().iter().map(|row| row.delivery).collect()
    };
    assert_eq!(older(between), [old]);
    let Disposition::Pending(from) = update.to else { panic!("{update:?}") };
    let to = Disposition::Pending(Place::Retry(b.now - Duration::from_secs(900)));
    b.update(Update { from: Some(from), to, at: b.now, ..update });
    b.commit(&mut *writer, store.committed());
    assert_eq!(older(between), [old]);
    assert_eq!(older(b.now), [old, late]);
}
