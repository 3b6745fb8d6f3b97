//! What people ask for by hand: a delivery again, or not at all.

use super::Shard;
use super::slot::{Entry, lane_of};
use crate::id::Position;
use crate::mutation::{self, Mutation};
use crate::node::Wanted;
use crate::node::common::Common;
use crate::record::{Disposition, PendingRow, Place, Progress, Reason, Status, Trigger, Update};
use crate::time::Timestamp;

/// The answer where what the caller read is not up to date any more; reading again helps.
pub const CHANGING: &str = "the delivery is changing right now: try again";

/// The answer where it is not proven whose the endpoint is.
pub const UNVERIFIED: &str = "the endpoint is not verified: run its challenge first";

/// The answer where a key's order would be broken.
const WAITS: &str = "the delivery waits for an earlier one with its key";

impl Shard {
    /// Brings a delivery's next attempt forward, or starts a new run of one that has ended. It takes the rank `rank`
    /// in the due order. `Ok(false)`: there is nothing to do, because it is being attempted right now.
    ///
    /// # Errors
    /// Why it cannot be attempted.
    pub(crate) fn retry(
        &mut self,
        wanted: Wanted,
        rank: Position,
        now: Timestamp,
        common: &mut Common,
    ) -> Result<bool, &'static str> {
        let position = wanted.delivery.position;
        let slot = self
            .slots
            .get_mut(&wanted.delivery.endpoint)
            .filter(|s| !s.deleted)
            .ok_or("the endpoint does not exist any more")?;
        if slot.disabled.is_some() {
            return Err("the endpoint is disabled: test it successfully first");
        }
        if !slot.policy.verified {
            return Err(UNVERIFIED);
        }
        if !slot.policy.enabled {
            return Err("the endpoint is paused: enable it first");
        }
        if wanted.event.has_expired(now) {
            return Err("the event has expired: publish it anew if it still matters");
        }
        if self.flights.contains_key(&position) {
            return Ok(false);
        }
        if common.stale(position, wanted.as_of) {
            return Err(CHANGING);
        }
        let mut progress = wanted.progress;
        progress.trigger = Trigger::Retry;
        let key = lane_of(&wanted.event, true);
        let head = key.and_then(|key| slot.lanes.get(&key)?.head) == Some(position);
        let ordered = slot.ordered && !progress.overtaken;
        let (lane, place) = match wanted.place {
            Some(Place::Held(_)) if !head => return Err(WAITS),
            Some(place) => {
                // Of a key in order only the head may go; what is not in memory may have older ones before it.
                let retries = matches!(place, Place::Retry(_));
                if !head && ordered && key.is_some() && (!retries || progress.blocking) {
                    return Err(WAITS);
                }
                let place = if let Place::Retry(at) = place { Place::Retry(at.min(now)) } else { place };
                slot.take_from_memory(position, common);
                let lane = key.filter(|_| head && !progress.overtaken);
                if let Some(blocked) = lane.and_then(|key| slot.lanes.get_mut(&key)?.blocked.as_mut()) {
                    blocked.place = place;
                    blocked.progress = progress;
                }
                (lane, place)
            }
            None => {
                slot.pending.begin(common.building);
                progress = Progress {
                    run: progress.run.saturating_add(1),
                    attempts: progress.attempts,
                    trigger: Trigger::Retry,
                    ..Progress::default()
                };
                (key.filter(|_| slot.ordered), Place::Due(rank))
            }
        };
        let entry =
            Entry { delivery: wanted.delivery, event: wanted.event, place, progress, lane, gone: false };
        slot.settling += 1;
        common.push_update(Update {
            delivery: entry.delivery,
            from: wanted.place,
            to: Disposition::Pending(place),
            progress,
            attempt: None,
            at: now,
        });
        if mutation::has(Mutation::SentBeforeDurable) {
            self.arrive_by_hand(entry, now, common);
        } else {
            common.arrivals.push(entry);
        }
        Ok(true)
    }

    /// A delivery that was asked for by hand is durable: it goes first, but never over its lane.
    pub(crate) fn arrive_by_hand(&mut self, mut entry: Entry, now: Timestamp, common: &mut Common) {
        let Some(slot) = self.slots.get_mut(&entry.delivery.endpoint) else { return };
        // Ordering may have been switched on meanwhile: then it comes back in its lane.
        let lane = lane_of(&entry.event, slot.ordered && !entry.progress.overtaken);
        let misplaced = matches!(entry.place, Place::Due(_)) && entry.lane.is_none() && lane.is_some();
        if !slot.running() || misplaced {
            // With the rest of the window, so that the page that brings it back brings nothing twice.
            slot.drop_window(common);
            slot.forget(&entry, common);
            return;
        }
        let blocked = entry.lane.and_then(|key| slot.lanes.get(&key)?.blocked).map(|b| b.delivery.position);
        if entry.progress.blocking && blocked != Some(entry.position()) {
            // It was overtaken while the request became durable.
            entry.progress.blocking = false;
            entry.progress.overtaken = true;
            entry.lane = None;
        }
        if let Some(key) = entry.lane {
            let lane = slot.lanes.entry(key).or_default();
            let mine = lane.head == Some(entry.position());
            let idle = lane.head.is_none() && lane.waiting.is_empty() && lane.held.is_none();
            if !mine && (!idle || slot.spill.is_some()) {
                slot.arrive(entry, None, common.committed, now, common);
                return;
            }
            lane.head = Some(entry.position());
        }
        slot.hold(&entry, common);
        slot.urgent.push_back(entry);
    }

    /// Withdraws a pending delivery.
    ///
    /// # Errors
    /// Why it cannot be withdrawn.
    pub(crate) fn cancel(
        &mut self,
        wanted: Wanted,
        now: Timestamp,
        common: &mut Common,
    ) -> Result<(), &'static str> {
        let position = wanted.delivery.position;
        let Some(place) = wanted.place else { return Err("the delivery is not pending") };
        let slot =
            self.slots.get_mut(&wanted.delivery.endpoint).ok_or("the endpoint does not exist any more")?;
        if self.flights.contains_key(&position) {
            return Err("the delivery is being attempted right now: try again");
        }
        // It may have been read before the node heard that its group is durable.
        if position > common.committed || common.stale(position, wanted.as_of) {
            return Err(CHANGING);
        }
        let lane = lane_of(&wanted.event, true);
        let row = PendingRow { delivery: wanted.delivery, place, progress: wanted.progress, lane };
        slot.withdraw(row, Status::Cancelled, Reason::Requested, now, common);
        Ok(())
    }
}
