//! One shard: tenants, their subscriptions, and all that is decided about their endpoints' deliveries.
//!
//! A [`Shard`] is fully deterministic: it does no I/O, reads no clock, draws no randomness of its own. Its node hands it
//! inputs and the time, and collects what is to be done.

mod drop;
mod judge;
mod lane;
mod outcome;
mod page;
mod pending;
mod replay;
mod request;
mod slot;
mod start;
mod tenant;

use rustc_hash::FxHashMap;

pub(crate) use lane::Held;
pub use replay::NOT_RUNNING;
pub use request::{CHANGING, UNVERIFIED};
pub(crate) use slot::{Entry, Slot, Spill, lane_of};
pub(crate) use start::Readiness;

use crate::breaker::Breaker;
use crate::id::{EndpointNo, Position, TenantNo};
use crate::node::common::Common;
use crate::node::{Restored, Standing, State};
use crate::policy::Policy;
use crate::publication::{Publication, Refusal};
use crate::record::{Accepted, Event, KeyHash, LaneKey, Owed, Place, Reason, Start};
use crate::tenant::Quotas;
use crate::time::Timestamp;

use self::tenant::Tenant;

/// A delivery that is being attempted.
pub(crate) struct Flight {
    entry: Entry,
    /// It counts against the places of endpoints without a recent success.
    unproven: bool,
}

/// Deliveries that are being attempted.
type Flights = FxHashMap<Position, Flight>;

/// See the module.
#[derive(Default)]
pub(crate) struct Shard {
    tenants: FxHashMap<TenantNo, Tenant>,
    pub(crate) slots: FxHashMap<EndpointNo, Slot>,
    /// Deliveries that are being attempted.
    pub(crate) flights: Flights,
    matching: Vec<EndpointNo>,
}

impl Shard {
    /// Takes an endpoint as a start finds it.
    pub(crate) fn restore(&mut self, restored: Restored, now: Timestamp, common: &mut Common) {
        let Restored {
            no,
            tenant,
            policy,
            deleted,
            health,
            last_sequence,
            has_pending,
            blocking,
            held,
            replays,
        } = restored;
        let owner = self.tenants.entry(tenant).or_default();
        if !deleted {
            owner.insert(no, &policy);
        }
        let mut slot = Slot::new(no, tenant, policy, &owner.pending, now);
        slot.sequence = last_sequence;
        slot.deleted = deleted;
        if let Some(at) = health.tripped_at {
            slot.breaker = Breaker::restored(at, now, &common.config.breaker);
        }
        slot.failing_since = health.failing_since;
        slot.disabled.clone_from(&health.disabled);
        slot.recorded_health = health;
        slot.drained = !has_pending;
        slot.set_clock(now);
        if has_pending {
            slot.counted = false;
            slot.pending.count_awaited();
            slot.misdated = Some((now + slot.longest_wait(common), Position::ZERO));
            slot.spill = Some(Spill { cursor: Position::ZERO, last: common.committed });
            slot.stored_retry = Some(Timestamp::EPOCH);
        }
        for key in held {
            slot.lanes.entry(key).or_default().held = Some(Held::from(Position::ZERO, common.committed));
        }
        for (delivery, place, progress, key) in blocking {
            let lane = slot.lanes.entry(key).or_default();
            if lane.head.is_some() {
                continue;
            }
            lane.head = Some(delivery.position);
            let left =
                slot.policy.hold_max.saturating_sub(std::time::Duration::from_millis(progress.held_ms));
            let deadline = slot.clock(now) + left;
            slot.block(key, lane::Blocked { delivery, place, progress, deadline }, now, common);
        }
        let idle: Vec<LaneKey> =
            slot.lanes.iter().filter(|(_, l)| l.head.is_none()).map(|(k, _)| *k).collect();
        slot.idle_lanes.extend(idle);
        slot.restore_replays(replays, now);
        self.slots.insert(no, slot);
    }

    /// Makes or changes an endpoint; in force for what is accepted from now on.
    pub(crate) fn put_endpoint(
        &mut self,
        no: EndpointNo,
        tenant: TenantNo,
        policy: Policy,
        now: Timestamp,
        common: &mut Common,
    ) {
        let owner = self.tenants.entry(tenant).or_default();
        let Some(slot) = self.slots.get_mut(&no) else {
            owner.insert(no, &policy);
            self.slots.insert(no, Slot::new(no, tenant, policy, &owner.pending, now));
            return;
        };
        owner.remove(no, &slot.policy);
        owner.insert(no, &policy);
        slot.change(policy, now, common);
    }

    /// Removes an endpoint; its pending work is ended in steps.
    pub(crate) fn delete_endpoint(&mut self, no: EndpointNo, now: Timestamp, common: &mut Common) {
        let Some(slot) = self.slots.get_mut(&no).filter(|slot| !slot.deleted) else { return };
        if let Some(owner) = self.tenants.get_mut(&slot.tenant) {
            owner.remove(no, &slot.policy);
        }
        slot.deleted = true;
        slot.drained = false;
        slot.fail_replays(Reason::EndpointDeleted, now, common);
        slot.drop_window(common);
        slot.set_clock(now);
    }

    /// Removes a tenant with its endpoints. Returns them.
    pub(crate) fn delete_tenant(
        &mut self,
        tenant: TenantNo,
        now: Timestamp,
        common: &mut Common,
    ) -> Vec<EndpointNo> {
        let mut gone: Vec<EndpointNo> =
            self.slots.values().filter(|s| s.tenant == tenant && !s.deleted).map(|s| s.no).collect();
        gone.sort_unstable();
        for &no in &gone {
            self.delete_endpoint(no, now, common);
        }
        self.tenants.remove(&tenant);
        gone
    }

    /// Limits what a tenant may take up.
    pub(crate) fn set_quotas(&mut self, tenant: TenantNo, quotas: Quotas, now: Timestamp) {
        self.tenants.entry(tenant).or_default().set_quotas(quotas, now);
    }

    /// How many deliveries of a tenant are pending, as far as known.
    pub(crate) fn pending(&self, tenant: TenantNo) -> u64 {
        self.tenants.get(&tenant).map_or(0, |tenant| tenant.pending.get())
    }

    /// Decides whom an event is owed to. Sequence numbers are given here. `looks` grows by what asking filters took.
    ///
    /// # Errors
    /// Why its tenant may not have another one accepted now.
    pub(crate) fn accept(
        &mut self,
        publication: Publication,
        position: Position,
        now: Timestamp,
        backlog_max: u64,
        looks: &mut usize,
    ) -> Result<Accepted, Refusal> {
        let tenant = self.tenants.get_mut(&publication.tenant);
        let tenant = tenant.map(|tenant| tenant.admit(now).map(|()| &*tenant)).transpose()?;
        let event = Event {
            position,
            tenant: publication.tenant,
            accepted_at: now,
            occurred_at: publication.occurred_at.unwrap_or(now),
            event_type: publication.event_type,
            own_id: publication.own_id,
            key: publication.key,
            subject: publication.subject,
            expires_at: publication.expires_at,
            attributes: publication.attributes,
            data: publication.data,
        };
        let key = event.key.as_deref().map(|key| KeyHash::ordering(event.tenant, key));
        let subject = event.subject.as_deref().map(|subject| KeyHash::subject(event.tenant, subject));
        let own_id = event.own_id.as_deref().map(|id| KeyHash::own_id(event.tenant, id));
        let mut deliveries = Vec::new();
        if let Some(tenant) = tenant {
            tenant.subscriptions.matching(&event.event_type, &mut self.matching);
            if !publication.entitled {
                judge::keep_naming(&mut self.matching, &self.slots, &event.event_type);
            }
            if tenant.filters() {
                let (attributes, data) = (&event.attributes, &event.data);
                *looks += judge::keep_passing(
                    &mut self.matching,
                    &self.slots,
                    publication.judged.as_ref(),
                    &event.event_type,
                    attributes,
                    data,
                );
            }
            deliveries.reserve_exact(self.matching.len());
            for no in &self.matching {
                let Some(slot) = self.slots.get_mut(no) else { continue };
                slot.sequence += 1;
                deliveries.push(Owed {
                    endpoint: *no,
                    sequence: slot.sequence,
                    start: if publication.entitled {
                        slot.receive(key, position, backlog_max)
                    } else {
                        Start::Skipped(Reason::NotEntitled)
                    },
                });
            }
        }
        let idempotency = publication.idempotency.or(own_id).zip(publication.body);
        Ok(Accepted { event: std::sync::Arc::new(event), deliveries, idempotency, own_id, key, subject })
    }

    /// How an endpoint stands.
    pub(crate) fn standing(&self, no: EndpointNo) -> Option<Standing> {
        let slot = self.slots.get(&no).filter(|s| !s.deleted)?;
        let state = match (&slot.disabled, slot.breaker.retry_at().map(|at| at.max(slot.hold_until))) {
            (Some(reason), _) => State::Disabled { reason: reason.to_string() },
            (None, _) if !slot.policy.verified => State::Unverified,
            (None, _) if !slot.policy.enabled => State::Paused,
            (None, Some(retry_at)) => State::Tripped { retry_at },
            (None, None) => State::Active,
        };
        Some(Standing {
            state,
            sequence: slot.sequence,
            pending: slot.pending.get(),
            failing_since: slot.failing_since,
        })
    }
}

impl Slot {
    /// Why it does not take what comes now.
    fn skips(&self, backlog_max: u64) -> Option<Reason> {
        if self.disabled.is_some() {
            Some(Reason::EndpointDisabled)
        } else if !self.policy.verified {
            Some(Reason::Unverified)
        } else if !self.policy.enabled && self.policy.pause_skips {
            Some(Reason::Paused)
        } else if self.pending.get() >= backlog_max {
            Some(Reason::BacklogFull)
        } else {
            None
        }
    }

    /// How a delivery begins that is accepted now.
    fn receive(&mut self, key: Option<KeyHash>, group: Position, backlog_max: u64) -> Start {
        if let Some(reason) = self.skips(backlog_max) {
            return Start::Skipped(reason);
        }
        self.pending.begin(group);
        match key.map(KeyHash::lane).filter(|_| self.ordered) {
            Some(lane) if self.holds_new(lane) => Start::Held(lane),
            _ => Start::Due,
        }
    }

    /// A delivery of an accepted event became durable: into memory if there is room, else the store keeps it.
    pub(crate) fn arrive(
        &mut self,
        entry: Entry,
        held: Option<LaneKey>,
        last: Position,
        now: Timestamp,
        common: &mut Common,
    ) {
        // An endpoint that is given up has more to end now.
        self.drained &= self.ended().is_none();
        if let Some(key) = held {
            self.held_accepted(key, entry, last, now, common);
            return;
        }
        let live = self.spill.is_none() && self.usable(now) && self.entries < self.room(common);
        if live {
            self.enqueue(entry, now, common);
        } else {
            let rank = if let Place::Due(rank) = entry.place { rank } else { entry.position() };
            self.spill_from(rank, rank);
        }
    }
}
