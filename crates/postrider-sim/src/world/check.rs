//! What must hold at every step, and whenever nothing is going on.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::id::{EndpointNo, TenantNo};
use postrider_core::node::State;
use postrider_core::record::{Disposition, Group, Place, Reason, Start, Status, Trigger};
use postrider_core::replay::ReplayState;
use postrider_core::time::Timestamp;

use super::{Due, WITHDRAWN, World, ms, runs, secs};
use crate::guarantee::Guarantee;
use crate::situation::Situation;
use crate::store::Row;

/// Inputs between two looks at what takes a while to look at.
const LOOK_CLOSER_EVERY: u64 = 16;
/// How much sooner than we counted a key may be let go: it was held back before that was durable.
const HELD_SLACK: Duration = secs(5);

impl World {
    pub(super) fn check(&mut self) {
        let (entries, bytes) = self.node.memory();
        self.most_memory = self.most_memory.max(entries);
        // However full it is, each endpoint gets a few, and one behind each of its heads.
        if entries > self.config.window_entries + 24 * self.store.endpoints.len().max(2) {
            self.fail(Guarantee::Memory, &format!("{entries} entries in memory"));
        }
        if (entries == 0) != (bytes == 0) {
            self.fail(Guarantee::Memory, &format!("{entries} entries with {bytes} bytes"));
        }
        if self.node.in_flight() != self.flying.len() {
            let why = format!("{} in flight, it says {}", self.flying.len(), self.node.in_flight());
            self.fail(Guarantee::Sense, &why);
        }
        if self.inputs.is_multiple_of(LOOK_CLOSER_EVERY) {
            self.check_pending();
            self.look_round();
        }
    }

    fn look_round(&mut self) {
        let window = self.config.window_entries;
        for position in &self.store.blocking {
            let row = &self.store.rows[position];
            let lane = row.lane.and_then(|lane| self.store.lanes.get(&(row.delivery.endpoint, lane)));
            if lane.is_some_and(|lane| lane.len() > window) {
                self.situations.saw(Situation::KeyLargerThanWindow);
            }
        }
        if self.flying.len() >= self.config.undurable_max {
            self.saw(Situation::UndurableFull);
        }
    }

    /// A group is in the store. (Schedules are not edited in a run, so the longest of an endpoint is its only one.)
    pub(super) fn check_applied(&mut self, group: &Arc<Group>) {
        for update in &group.updates {
            let position = update.delivery.position;
            let no = update.delivery.endpoint;
            let row = &self.store.rows[&position];
            if update.attempt.is_some() {
                let run = update.progress.run;
                let charged = row.triggers.iter().filter(|(r, t)| *r == run && *t != Trigger::Probe).count();
                let longest = self.longest.get(&no).copied().unwrap_or(0);
                if charged > longest + 1 {
                    let why = format!("{charged} attempts in run {run} of {:?}", row.delivery);
                    self.fail(Guarantee::Schedule, &why);
                }
                let exhausted = Disposition::Ended(Status::Failed, Some(Reason::ScheduleExhausted));
                if update.to == exhausted && charged < longest + 1 {
                    let why = format!("{:?} has failed after {charged} of {longest} + 1", row.delivery);
                    self.fail(Guarantee::Schedule, &why);
                }
            }
            if !update.progress.blocking {
                self.holding.remove(&position);
            }
            if let Disposition::Ended(status, reason) = update.to {
                match (status, reason) {
                    (_, Some(Reason::ScheduleExhausted)) => self.saw(Situation::ScheduleExhausted),
                    (_, Some(Reason::Expired)) => self.saw(Situation::Expired),
                    (Status::Cancelled, Some(Reason::Requested)) => self.saw(Situation::CancelledByHand),
                    _ => {}
                }
            }
            if update.progress.trigger == Trigger::Retry && update.attempt.is_none() {
                self.saw(Situation::RetriedByHand);
            }
            let begins = update.from.is_none() && update.progress.trigger == Trigger::Replay;
            if begins && self.store.pending.get(&no).is_some_and(|pending| pending.len() > 8) {
                self.saw(Situation::ReplayDuringBacklog);
            }
        }
        for accepted in &group.accepted {
            let withdrawn = *accepted.event.event_type == *WITHDRAWN;
            for owed in &accepted.deliveries {
                match owed.start {
                    Start::Skipped(Reason::BacklogFull) => self.saw(Situation::BacklogFull),
                    Start::Skipped(Reason::Unverified) => self.saw(Situation::SkippedUnverified),
                    Start::Skipped(Reason::NotEntitled) => self.saw(Situation::SkippedNotEntitled),
                    _ => {}
                }
                if withdrawn && owed.start != Start::Skipped(Reason::NotEntitled) {
                    self.fail(Guarantee::Wishes, "owed though its tenant may not have it");
                }
            }
        }
    }

    /// Where a key's successors pass its head, it is time. Before the group is applied.
    pub(super) fn check_overtaken(&mut self, group: &Arc<Group>) {
        for update in group.updates.iter().filter(|update| update.progress.overtaken) {
            let (position, no) = (update.delivery.position, update.delivery.endpoint);
            let Some(row) = self.store.rows.get(&position).filter(|row| !row.progress.overtaken) else {
                continue;
            };
            // One that is withdrawn in its lane may be told of as it was read.
            let Some(policy) = self.policies.get(&no).filter(|_| row.pending()) else { continue };
            let held = self.holding.get(&position).copied().unwrap_or_default().perhaps;
            if held + HELD_SLACK + self.longest_commit * 2 < policy.hold_max {
                let why = format!("{position:?} is overtaken after {held:?} of {:?}", policy.hold_max);
                self.fail(Guarantee::Hold, &why);
            }
            self.situations.saw(Situation::KeyOvertaken);
        }
    }

    /// What a tenant owes is what its endpoints owe.
    fn check_pending(&self) {
        // Some may be on their way to the store.
        let all_known = self.policies.keys().all(|no| self.store.endpoints.contains_key(no));
        let mut sums: BTreeMap<TenantNo, (u64, bool)> = BTreeMap::new();
        for (no, endpoint) in &self.store.endpoints {
            let (sum, exact) = sums.entry(endpoint.tenant).or_insert((0, all_known));
            match self.node.standing(endpoint.tenant, *no) {
                Some(standing) => *sum += standing.pending,
                // A removed one owes on until that is cancelled.
                None => *exact = false,
            }
        }
        for (tenant, (sum, exact)) in sums {
            let total = self.node.pending(tenant);
            if total < sum || (exact && total != sum) {
                self.fail(Guarantee::Counts, &format!("{tenant:?} owes {total}, its endpoints {sum}"));
            }
        }
    }

    /// Nothing is under way: then what is counted as pending is pending in the store.
    pub fn check_counts(&self) {
        for (no, pending) in &self.store.pending {
            let endpoint = &self.store.endpoints[no];
            let counted = self.node.standing(endpoint.tenant, *no).map(|standing| standing.pending);
            let stored = pending.len() as u64;
            if counted.is_some_and(|counted| counted != stored) {
                self.fail(Guarantee::Counts, &format!("{no:?} owes {stored}, counted are {counted:?}"));
            }
        }
    }

    /// Whether a delivery could be attempted if its endpoint can.
    pub(super) fn eligible(&self, row: &Row, ordered: bool, at: Timestamp) -> bool {
        if let Place::Retry(due) = row.place
            && due > at
        {
            return false;
        }
        let Some(lane) = row.lane.filter(|_| !row.progress.overtaken) else { return true };
        !self.store.lanes[&(row.delivery.endpoint, lane)].iter().any(|p| {
            let other = &self.store.rows[p];
            // Lanes that exist when ordering is switched off empty in their order; a later run of an old delivery may block
            // newer ones.
            *p != row.delivery.position
                && !other.progress.overtaken
                && (other.progress.blocking || (ordered && other.order < row.order))
        })
    }

    /// Nothing is going on for a while: then nothing may be due that could be attempted.
    pub(super) fn check_stall(&self, until: Timestamp) {
        let idle = self.flying.is_empty()
            && !self.committing
            && self.agenda.values().all(|due| matches!(due, Due::Notices))
            && !self.node.own_fault()
            && self.config.max_in_flight > 0;
        if !idle {
            return;
        }
        let by = until - ms(1_400);
        self.check_replays(by);
        for (no, positions) in &self.store.pending {
            if positions.is_empty() {
                continue;
            }
            let endpoint = &self.store.endpoints[no];
            if endpoint.deleted {
                self.fail(
                    Guarantee::Alive,
                    &format!("{no:?} is deleted, and {} are pending", positions.len()),
                );
            }
            let Some(standing) = self.node.standing(endpoint.tenant, *no) else {
                self.fail(Guarantee::Alive, &format!("{no:?} is unknown"))
            };
            let policy = &self.policies[no];
            let held = self.held_until(*no);
            match standing.state {
                State::Disabled { .. } => self.fail(
                    Guarantee::Alive,
                    &format!("{no:?} is disabled, and {} are pending", positions.len()),
                ),
                State::Tripped { retry_at } if runs(policy) && retry_at < by => {
                    self.fail(Guarantee::Alive, &format!("{no:?} is not probed"));
                }
                State::Active if held <= self.now => {
                    for position in positions {
                        let row = &self.store.rows[position];
                        if self.eligible(row, policy.ordered, self.now) {
                            self.fail(
                                Guarantee::Alive,
                                &format!(
                                    "{position:?} of {no:?} could be attempted: {:?} {:?}",
                                    row.place, row.progress
                                ),
                            );
                        }
                    }
                }
                _ => {}
            }
        }
    }

    /// Nothing is going on: then no replay may have something to let go.
    fn check_replays(&self, by: Timestamp) {
        for (replay, progress) in self.store.replays.values() {
            if progress.state != ReplayState::Running {
                continue;
            }
            let no = replay.endpoint;
            let waiting = self.store.pending.get(&no).is_some_and(|pending| !pending.is_empty());
            let state = self.node.standing(replay.tenant, no).map(|standing| standing.state);
            // It reads on when there is room for it, also for one whose last attempt failed.
            let free = self.config.window_entries.saturating_sub(self.node.memory().0);
            let room = free >= self.config.window_entries / 2 + 16;
            // Where something waits, it may be what the replay let go.
            if state == Some(State::Active) && !waiting && room && progress.updated_at < by {
                self.fail(Guarantee::Alive, &format!("{} stands still: {progress:?}", replay.id));
            }
            if state.is_none_or(|state| matches!(state, State::Disabled { .. })) {
                self.fail(Guarantee::Alive, &format!("{} runs without an endpoint: {progress:?}", replay.id));
            }
        }
    }

    /// Until when a receiver asked not to be called; as long as nothing succeeded since.
    pub(super) fn held_until(&self, no: EndpointNo) -> Timestamp {
        self.retry_after.get(&no).copied().unwrap_or(Timestamp::EPOCH)
    }

    pub(super) fn check_holds(&mut self, passed: Duration) {
        let mut over = None;
        for position in &self.store.blocking {
            let row = &self.store.rows[position];
            let no = row.delivery.endpoint;
            let (Some(policy), endpoint) = (self.policies.get(&no), &self.store.endpoints[&no]) else {
                continue;
            };
            let active = || self.node.standing(endpoint.tenant, no).is_some_and(|s| s.state == State::Active);
            if !runs(policy) || row.progress.overtaken || !active() {
                continue;
            }
            // Time in which it could not be attempted does not count: the receiver's wish, or a fault of ours.
            let dead = self.node.own_fault();
            let wished = |wishes: &BTreeMap<EndpointNo, Timestamp>| {
                wishes.get(&no).is_some_and(|until| *until + passed > self.now)
            };
            let (surely, perhaps) = (!dead && policy.ordered && !wished(&self.retry_after), !dead);
            let held = self.holding.entry(*position).or_default();
            if dead {
                self.situations.saw(Situation::KeyHeldWhileDead);
            }
            if perhaps {
                let until = self.wishes.get(&no).copied().unwrap_or_default();
                held.perhaps += passed.min((self.now + passed).since(until.max(self.now)));
            }
            if surely {
                held.surely += passed;
                if held.surely > policy.hold_max + self.hold_slack {
                    over = Some((*position, held.surely));
                }
            }
        }
        if let Some((position, held)) = over {
            self.fail(Guarantee::Hold, &format!("{position:?} has held back its key for {held:?}"));
        }
    }
}
