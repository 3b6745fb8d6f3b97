//! A node: all shards of a process, and what is global to them. It decides what is stored, attempted and answered; its
//! driver does it.
//!
//! The shape is that of a state machine without I/O. The driver calls [`Node::handle`] with what happened and the time,
//! carries out the [`Effects`], and wakes it at [`Node::next_wake`]. Commits go in three steps, one group at a time:
//! [`Node::begin`] takes what is waiting and names the keys to look up, [`Node::build`] makes the group, and after the
//! store has it, [`Node::committed`] lets it take effect. A group is immutable: after a failure the driver commits the
//! very same again, so nothing is ever rolled back in memory.

mod commit;
pub(crate) mod common;
mod input;
pub(crate) mod outbox;
mod recent;

use std::collections::VecDeque;
use std::time::Duration;

pub use self::commit::{Begun, Known};
pub use self::common::NodeConfig;
use self::common::{Common, Owner};
pub use self::input::{
    Attempt, Change, Counts, Directive, Effects, Finished, Input, Load, PageRead, ReplayAsk, Reply, Restored,
    Standing, State, Wanted, What,
};
pub use crate::shard::{CHANGING, NOT_RUNNING, UNVERIFIED};

use self::commit::Intake;
use crate::id::{EndpointNo, Position, SHARDS, ShardNo, TenantNo};
use crate::matching::Candidate;
use crate::mutation::{self, Mutation};
use crate::record::ErrorKind;
use crate::shard::{Readiness, Shard};
use crate::tenant::Quotas;
use crate::time::Timestamp;

/// Attempts that one endpoint may start in its turn.
const QUANTUM: usize = 8;
/// The share of attempts in flight (as a divisor) that endpoints without a recent success may take together: hanging
/// ones cannot take the places of the healthy.
const UNPROVEN_SHARE: usize = 2;
/// With more than this share of attempts in flight (as a divisor), an endpoint without a success in the last [`QUIET`] may
/// have one under way: those that have just begun to hang cannot take all places either.
const BUSY_SHARE: usize = 4;
/// See [`BUSY_SHARE`].
const QUIET: Duration = Duration::from_secs(2);
/// How often pending work is looked over for what has expired, at most and at least.
const EXPIRY_EVERY: (Duration, Duration) = (Duration::from_millis(200), Duration::from_secs(3_600));
/// Pages being read at once.
pub(crate) const LOADS_IN_FLIGHT: usize = 16;
/// Of these, pages that [may wait](What::may_wait): they leave room for those that deliveries wait for.
const PATIENT_LOADS_IN_FLIGHT: usize = 4;
/// Wanted pages that are looked at in one go for one that there is room for.
const LOADS_LOOKED_AT: usize = 16;
/// How long what replays let go may wait for a group to ride with: while others write, they cost no commits of their own.
const RELEASE_DELAY: Duration = Duration::from_millis(5);
/// Deliveries that replays let go with one group, at most.
const RELEASED_AT_ONCE: usize = 1_000;
/// Looks at endpoints with filters, and at conditions that were not judged before, after which a group takes no further event,
/// so that building it keeps nobody waiting for long.
const FILTER_LOOKS: usize = 65_536;
/// How long until pages that could not be read are tried again.
const PAGE_RETRY: Duration = Duration::from_secs(1);

/// See the module. `R` is the driver's handle for whoever waits for an answer.
pub struct Node<R> {
    shards: Vec<Shard>,
    common: Common,
    intake: Intake<R>,
    next_expiry: Timestamp,
    failed_pages: Vec<(Timestamp, Load)>,
}

impl<R> Node<R> {
    /// An empty node; positions up to `committed` are taken.
    pub fn new(config: NodeConfig, committed: Position, now: Timestamp) -> Self {
        let mut common = Common::new(config);
        common.committed = committed;
        common.building = committed.plus(1);
        let intake = Intake::new(committed);
        let mut node = Self {
            shards: (0..SHARDS).map(|_| Shard::default()).collect(),
            common,
            intake,
            next_expiry: now,
            failed_pages: Vec::new(),
        };
        node.next_expiry = now + node.expiry_interval();
        node
    }

    fn expiry_interval(&self) -> Duration {
        (self.common.config.pending_max / 50).clamp(EXPIRY_EVERY.0, EXPIRY_EVERY.1)
    }

    /// Takes an endpoint as a start finds it. Before anything else.
    pub fn restore(&mut self, restored: Restored, now: Timestamp) {
        let owner = (restored.tenant, restored.no);
        self.shards[usize::from(ShardNo::of(owner.0).0)].restore(restored, now, &mut self.common);
        self.poke(owner, now);
    }

    /// Limits what a tenant may take up, from now on; one that was never limited has no bounds.
    pub fn set_quotas(&mut self, tenant: TenantNo, quotas: Quotas, now: Timestamp) {
        self.shards[usize::from(ShardNo::of(tenant).0)].set_quotas(tenant, quotas, now);
    }

    /// When the last group was built: what is written from now on bears a later time, also where the clock was set back
    /// meanwhile. Before anything else.
    pub fn set_last_commit(&mut self, at: Timestamp) {
        self.common.built_at = at;
    }

    /// The operator's tenant, which is told what befalls the endpoints of others. Before anything else.
    pub fn set_operator(&mut self, operator: TenantNo) {
        self.common.outbox.operator = Some(operator);
    }

    /// Something happened.
    pub fn handle(&mut self, now: Timestamp, input: Input<R>, effects: &mut Effects<R>) {
        match input {
            Input::Publish(items, reply) => self.publish(items, reply, effects),
            Input::Edit(changes, reply) => self.intake.edits.push((changes, reply)),
            Input::Tested(record, reply) => self.intake.tests.push((*record, reply)),
            Input::Finished(finished) => {
                let owner = (finished.delivery.tenant, finished.delivery.endpoint);
                let ours = finished.record.error.as_ref().is_some_and(|(kind, _)| *kind == ErrorKind::Local);
                let was_dead = self.common.fault_until.is_some();
                if was_dead && !ours {
                    self.common.network_works();
                    // Before the end of this attempt sets a deadline by their clocks.
                    self.set_dead(false, now);
                }
                self.shard(owner.0).finish(*finished, now);
                self.poke(owner, now);
                if ours && !was_dead {
                    self.set_dead(true, now);
                }
            }
            Input::Page(page) => {
                let owner = (page.load.tenant, page.load.endpoint);
                self.common.load_ended(&page.load.what);
                self.shard(owner.0).page(*page, now);
                self.poke(owner, now);
            }
            Input::PageFailed(load) => {
                self.common.load_ended(&load.what);
                self.failed_pages.push((now + PAGE_RETRY, load));
            }
            Input::Retry(wanted, reply) => self.intake.retries.push((*wanted, reply)),
            Input::Replay(ask, reply) => self.intake.replays.push((ask, reply)),
            Input::Cancel(wanted, reply) => {
                let owner = (wanted.delivery.tenant, wanted.delivery.endpoint);
                match self.shard(owner.0).cancel(*wanted, now) {
                    Ok(()) => {
                        self.common.urgent_commit = true;
                        self.intake.waiting.push(reply);
                    }
                    Err(why) => effects.replies.push((reply, Reply::Conflict(why))),
                }
                self.poke(owner, now);
            }
            Input::Tick => {}
        }
        self.tick(now);
        self.flush(now, effects);
    }

    /// A fault of ours keeps all endpoints from being attempted, or does so no longer.
    fn set_dead(&mut self, dead: bool, now: Timestamp) {
        let mut held_back: Vec<Owner> = Vec::new();
        for slot in self.shards.iter_mut().flat_map(|shard| shard.slots.values_mut()) {
            slot.dead = dead;
            slot.set_clock(now);
            if !slot.holds.is_empty() {
                held_back.push((slot.tenant, slot.no));
            }
        }
        // In order of their numbers, not of the map.
        held_back.sort_unstable();
        for owner in held_back {
            self.poke(owner, now);
        }
    }

    /// Does what is due by now.
    fn tick(&mut self, now: Timestamp) {
        while let Some(&(at, owner)) = self.common.timers.first() {
            if at > now {
                break;
            }
            self.common.timers.pop_first();
            let shard = &mut self.shards[usize::from(ShardNo::of(owner.0).0)];
            if let Some(slot) = shard.slots.get_mut(&owner.1) {
                slot.wake_at = None;
                self.poke(owner, now);
            }
        }
        if self.failed_pages.iter().any(|(at, _)| *at <= now) {
            let due: Vec<Load> =
                self.failed_pages.extract_if(.., |(at, _)| *at <= now).map(|(_, load)| load).collect();
            for load in due {
                self.shards[usize::from(ShardNo::of(load.tenant).0)].page_failed(&load);
                self.poke((load.tenant, load.endpoint), now);
            }
        }
        if self.next_expiry <= now {
            self.next_expiry = now + self.expiry_interval();
            let before = now - self.common.config.pending_max;
            let mut owners: Vec<Owner> = Vec::new();
            for shard in &mut self.shards {
                for slot in shard.slots.values_mut().filter(|s| s.may_owe() && s.ended().is_none()) {
                    slot.expiring = Some(before);
                    owners.push((slot.tenant, slot.no));
                }
            }
            // In order of their numbers, not of the map.
            owners.sort_unstable();
            for owner in owners {
                self.poke(owner, now);
            }
        }
    }

    /// Looks at an endpoint after something about it changed.
    fn poke(&mut self, owner: Owner, now: Timestamp) {
        let shard = &mut self.shards[usize::from(ShardNo::of(owner.0).0)];
        let Some(slot) = shard.slots.get_mut(&owner.1) else { return };
        if slot.deleted && slot.drained && slot.in_flight == 0 && slot.settling == 0 && !slot.loading.any() {
            if let Some(at) = slot.wake_at.take() {
                self.common.timers.remove(&(at, owner));
            }
            shard.slots.remove(&owner.1);
            return;
        }
        slot.overtake(now, &mut self.common);
        slot.want_pages(now, &mut self.common);
        let mut wake = slot.next_duty(now);
        match slot.next_release(&self.common) {
            Some(at) if at > now => wake = Some(wake.map_or(at, |w| w.min(at))),
            Some(_) if !slot.replays.queued => {
                slot.replays.queued = true;
                self.common.replaying.push_back(owner);
                self.common.replay_due.get_or_insert(now + RELEASE_DELAY);
            }
            Some(_) | None => {}
        }
        match slot.readiness(now) {
            Readiness::Now if !slot.queued => {
                slot.queued = true;
                slot.queued_at = now;
                if mutation::has(Mutation::TurnsUnfair) {
                    self.common.ready.push_front(owner);
                } else {
                    self.common.ready.push_back(owner);
                }
            }
            Readiness::At(at) => wake = Some(wake.map_or(at, |w| w.min(at))),
            Readiness::Now | Readiness::Idle => {}
        }
        // Never now again: a turn that changes nothing would repeat itself.
        let wake = wake.map(|at| at.max(now + Duration::from_micros(1)));
        if slot.wake_at != wake {
            let old = std::mem::replace(&mut slot.wake_at, wake);
            if let Some(at) = old {
                self.common.timers.remove(&(at, owner));
            }
            if let Some(at) = wake {
                self.common.timers.insert((at, owner));
            }
        }
    }

    /// Hands out attempts in turn, and pages where there is room.
    fn flush(&mut self, now: Timestamp, effects: &mut Effects<R>) {
        self.schedule(now);
        effects.attempts.append(&mut self.common.attempts);
        while let Some(load) = self.next_load() {
            effects.loads.push(load);
        }
    }

    /// The next page to read, if one is wanted and there is room for it: of those that may wait only when no other one is.
    fn next_load(&mut self) -> Option<Load> {
        if self.common.loading >= LOADS_IN_FLIGHT {
            return None;
        }
        let patient = self.common.loading_patiently < PATIENT_LOADS_IN_FLIGHT;
        let load = self.next_of(|common| &mut common.wanted);
        let load =
            load.or_else(|| patient.then(|| self.next_of(|common| &mut common.wanted_patiently))?)?;
        self.common.load_begun(&load.what);
        Some(load)
    }

    /// The first of a queue of wanted pages for which there is room.
    fn next_of(&mut self, queue: impl Fn(&mut Common) -> &mut VecDeque<Load>) -> Option<Load> {
        for _ in 0..queue(&mut self.common).len().min(LOADS_LOOKED_AT) {
            let load = queue(&mut self.common).pop_front()?;
            let shard = &self.shards[usize::from(ShardNo::of(load.tenant).0)];
            let Some(slot) = shard.slots.get(&load.endpoint) else { continue };
            if let Some(load) = self.common.grant(&load, slot.proven, slot.runnable(&load.what)) {
                return Some(load);
            }
            queue(&mut self.common).push_back(load);
        }
        None
    }

    fn schedule(&mut self, now: Timestamp) {
        let config = &self.common.config;
        let (max, unproven_max, undurable_max) =
            (config.max_in_flight, config.max_in_flight / UNPROVEN_SHARE, config.undurable_max);
        let places =
            unproven_max.saturating_sub(self.common.unproven_in_flight).min(self.common.parked.len());
        self.common.ready.extend(self.common.parked.drain(..places));
        let mut turns = self.common.ready.len();
        while turns > 0 {
            // After a fault of ours one attempt shows whether the network is back; its end decides about the others.
            let trial = match self.common.fault_until {
                Some(until) if until > now || self.common.in_flight > 0 => return,
                Some(_) => true,
                None => false,
            };
            let undurable = self.undurable();
            if self.common.in_flight >= max || undurable + self.common.in_flight >= undurable_max {
                return;
            }
            let Some(owner) = self.common.ready.pop_front() else { return };
            turns -= 1;
            let shard = &mut self.shards[usize::from(ShardNo::of(owner.0).0)];
            let Some(slot) = shard.slots.get(&owner.1) else { continue };
            if !slot.proven && self.common.unproven_in_flight >= unproven_max {
                self.common.parked.push_back(owner);
                continue;
            }
            let busy = self.common.in_flight >= max / BUSY_SHARE && now.since(slot.succeeded_at) > QUIET;
            let quantum = match (trial, busy) {
                (true, _) => 1,
                // The end of the one under way brings it back.
                (false, true) => 1_usize.saturating_sub(slot.in_flight as usize),
                (false, false) => QUANTUM,
            };
            for _ in 0..quantum {
                let ready = shard.slots.get(&owner.1).is_some_and(|s| s.readiness(now) == Readiness::Now);
                let full = self.common.in_flight >= max || undurable + self.common.in_flight >= undurable_max;
                if !ready || full {
                    break;
                }
                shard.start(owner.1, now, &mut self.common);
            }
            if let Some(slot) = shard.slots.get_mut(&owner.1) {
                slot.queued = false;
            }
            if quantum == 0 {
                continue;
            }
            let before = self.common.ready.len();
            self.poke(owner, now);
            // What is still ready goes on when the others have had their turn.
            turns += self.common.ready.len() - before;
        }
    }

    /// When it wants an [`Input::Tick`] at the latest.
    pub fn next_wake(&self) -> Timestamp {
        let timer = self.common.timers.first().map(|(at, _)| *at);
        let fault = self.common.fault_until.filter(|_| {
            self.common.in_flight == 0 && !self.common.ready.is_empty() && self.undurable() < self.may_start()
        });
        let pages = self.failed_pages.iter().map(|(at, _)| *at).min();
        [timer, fault, pages, Some(self.next_expiry)]
            .into_iter()
            .flatten()
            .min()
            .unwrap_or(Timestamp::FAR_FUTURE)
    }

    /// Outcomes and other updates that are not durable.
    fn undurable(&self) -> usize {
        self.common.updates.len() + self.intake.undurable()
    }

    /// With fewer outcomes undurable, an attempt may start while none is under way.
    fn may_start(&self) -> usize {
        if self.common.config.max_in_flight == 0 { 0 } else { self.common.config.undurable_max }
    }

    /// Up to when notices are due that no group changes any more, neither one under way nor a later one.
    pub fn notices_until(&self, now: Timestamp) -> Timestamp {
        self.intake.in_flight_since().unwrap_or(now)
    }

    /// How an endpoint stands.
    pub fn standing(&self, tenant: TenantNo, endpoint: EndpointNo) -> Option<Standing> {
        self.shards[usize::from(ShardNo::of(tenant).0)].standing(endpoint)
    }

    /// How many deliveries of a tenant are pending, over all its endpoints, as far as known.
    pub fn pending(&self, tenant: TenantNo) -> u64 {
        self.shards[usize::from(ShardNo::of(tenant).0)].pending(tenant)
    }

    /// Some endpoints of a tenant as they stand to an event of this type, by what decides when one is accepted; `None` for an
    /// endpoint that does not exist (any more).
    pub fn candidates(
        &self,
        tenant: TenantNo,
        event_type: &str,
        endpoints: &[EndpointNo],
    ) -> Vec<Option<Candidate>> {
        let shard = &self.shards[usize::from(ShardNo::of(tenant).0)];
        shard.candidates(tenant, event_type, endpoints, self.common.config.backlog_max)
    }

    /// How long the endpoint at the head of the ring has waited for its turn.
    pub fn longest_wait(&self, now: Timestamp) -> Duration {
        let head = self.common.ready.front();
        let slot =
            head.and_then(|(tenant, no)| self.shards[usize::from(ShardNo::of(*tenant).0)].slots.get(no));
        slot.map_or(Duration::ZERO, |slot| now.since(slot.queued_at))
    }

    /// Counts since the start.
    pub fn counts(&self) -> Counts {
        self.common.counts
    }

    /// Attempts under way.
    pub fn in_flight(&self) -> usize {
        self.common.in_flight
    }

    /// Deliveries and bytes of events in memory.
    pub fn memory(&self) -> (usize, usize) {
        (self.common.entries, self.common.bytes)
    }

    /// Whether dispatch pauses because of a fault of ours.
    pub fn own_fault(&self) -> bool {
        self.common.fault_until.is_some()
    }

    /// Stops starting attempts: what is pending stays for the next start.
    pub fn stop_dispatch(&mut self) {
        self.common.config.max_in_flight = 0;
    }

    fn shard(&mut self, tenant: TenantNo) -> ShardWith<'_> {
        ShardWith { shard: &mut self.shards[usize::from(ShardNo::of(tenant).0)], common: &mut self.common }
    }
}

/// A shard with what it shares with the others, so that a call names both once.
struct ShardWith<'a> {
    shard: &'a mut Shard,
    common: &'a mut Common,
}

impl ShardWith<'_> {
    fn finish(self, finished: Finished, now: Timestamp) {
        self.shard.finish(finished, now, self.common);
    }

    fn page(self, page: PageRead, now: Timestamp) {
        self.shard.page(page, now, self.common);
    }

    fn cancel(self, wanted: Wanted, now: Timestamp) -> Result<(), &'static str> {
        self.shard.cancel(wanted, now, self.common)
    }
}
