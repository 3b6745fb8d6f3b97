//! What the operator is told: that every case is counted, whatever crashes.

use std::collections::{BTreeMap, BTreeSet};

use postrider_core::id::{EndpointNo, TenantNo};
use postrider_core::operational::{Kind, Notice};
use postrider_core::record::{Disposition, Edit, Reason, Start};
use postrider_core::replay::ReplayState;

use crate::guarantee::Guarantee;
use crate::world::World;

/// The tenant that is told.
pub const OPERATOR: TenantNo = TenantNo(9);

type Counts = BTreeMap<(Kind, Option<EndpointNo>), u64>;

/// What was published for the operator, in order.
pub fn told(world: &World) -> Vec<Notice> {
    let mut ids = BTreeSet::new();
    let events = world.store.events.iter().filter(|event| event.tenant == OPERATOR);
    events
        .map(|event| {
            if !ids.insert(event.own_id.clone()) {
                world.fail(Guarantee::Told, &format!("{:?} was told twice", event.own_id));
            }
            read(world, &event.data)
        })
        .collect()
}

fn told_ids(world: &World) -> impl Iterator<Item = &str> {
    let events = world.store.events.iter().filter(|event| event.tenant == OPERATOR);
    events.filter_map(|event| event.own_id.as_deref())
}

fn read(world: &World, doc: &[u8]) -> Notice {
    match Notice::from_stored(doc) {
        Ok(notice) => notice,
        Err(_) => world.fail(Guarantee::Told, "a notice that cannot be read"),
    }
}

/// How often each thing was told of, or is about to be.
fn counted(world: &World) -> Counts {
    let mut counts = Counts::new();
    let known: BTreeSet<_> = told_ids(world).collect();
    let waiting = world.store.notices.iter().filter_map(|((_, position), doc)| {
        // After a crash one may wait that was published already, and will be again, to no effect.
        let notice = read(world, doc);
        (!known.contains(&*notice.event_id(*position))).then_some(notice)
    });
    let waiting: Vec<Notice> = waiting.collect();
    for notice in told(world).into_iter().chain(waiting) {
        *counts.entry((notice.kind, notice.endpoint)).or_default() += notice.count;
    }
    counts
}

/// How often each thing happened that leaves a trace in what is stored.
fn happened(world: &World) -> Counts {
    let mut counts = Counts::new();
    let mut count = |kind, endpoint| *counts.entry((kind, Some(endpoint))).or_default() += 1;
    for group in &world.store.groups {
        for update in &group.updates {
            let kind = match update.to {
                Disposition::Ended(_, Some(Reason::ScheduleExhausted | Reason::AbortedByReceiver)) => {
                    Kind::DeliveryFailed
                }
                Disposition::Ended(_, Some(Reason::Expired)) => Kind::DeliveryExpired,
                _ => continue,
            };
            if update.delivery.tenant != OPERATOR {
                count(kind, update.delivery.endpoint);
            }
        }
        for owed in group.accepted.iter().flat_map(|accepted| &accepted.deliveries) {
            if owed.start == Start::Skipped(Reason::BacklogFull) {
                count(Kind::DeliverySkipped, owed.endpoint);
            }
        }
        for edit in &group.edits {
            if let Edit::PutReplay { replay, progress } = edit
                && progress.state != ReplayState::Running
                && replay.tenant != OPERATOR
            {
                count(Kind::ReplayFinished, replay.endpoint);
            }
        }
    }
    counts
}

/// Everything that happened was told, and nothing that did not; what of endpoints' states was told is left out.
pub fn check(world: &World) {
    let mut counted = counted(world);
    counted.retain(|(kind, _), _| {
        !matches!(kind, Kind::EndpointDisabled | Kind::EndpointTripped | Kind::EndpointRecovered)
    });
    let happened = happened(world);
    if counted != happened {
        world.fail(Guarantee::Told, &format!("told {counted:?} of {happened:?}"));
    }
}
