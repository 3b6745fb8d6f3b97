//! Letting go of memory: what is dropped is in the store, and is paged in again when it can be used.

use super::lane::Held;
use super::slot::{Entry, Slot};
use crate::breaker::BreakerConfig;
use crate::id::Position;
use crate::node::common::Common;
use crate::node::outbox::Case;
use crate::operational::Kind;
use crate::pace::{Concurrency, Pacer};
use crate::policy::Policy;
use crate::record::{Edit, Place, Reason};
use crate::time::Timestamp;

/// How often a long row of failures is written down again: at its beginning it may be over in a moment.
const FAILING_RECORDED_AFTER: std::time::Duration = std::time::Duration::from_secs(60);

impl Slot {
    /// Drops everything that is in memory and not being attempted.
    pub(crate) fn drop_window(&mut self, common: &mut Common) {
        self.replays.forget_read(common);
        let fresh = std::mem::take(&mut self.fresh);
        let urgent = std::mem::take(&mut self.urgent);
        let retries = std::mem::take(&mut self.retries);
        for entry in fresh.into_iter().chain(urgent).chain(retries.into_values()) {
            self.let_go(&entry, common);
            self.forget(&entry, common);
        }
        let keys: Vec<_> =
            self.lanes.iter().filter(|(_, l)| !l.waiting.is_empty()).map(|(k, _)| *k).collect();
        for key in keys {
            let waiting =
                self.lanes.get_mut(&key).map(|l| std::mem::take(&mut l.waiting)).unwrap_or_default();
            for entry in waiting {
                self.let_go(&entry, common);
                if !entry.gone {
                    self.forget(&entry, common);
                }
            }
        }
    }

    /// Remembers where in the store an entry is found that memory does not hold any more.
    pub(super) fn forget(&mut self, entry: &Entry, common: &Common) {
        match entry.place {
            Place::Due(rank) => self.spill_from(rank, common.committed.max(rank)),
            Place::Retry(at) => self.store_retry(at),
            Place::Held(key) => {
                let before = Position(entry.position().0 - 1);
                let lane = self.lanes.entry(key).or_default();
                let held = lane.held.get_or_insert(Held::from(before, common.committed));
                held.cursor = held.cursor.min(before);
                if lane.head == Some(entry.position()) {
                    lane.head = None;
                }
                if lane.head.is_none() {
                    self.idle_lanes.insert(key);
                }
            }
        }
    }

    /// Opens the breaker: nothing but probes from now on.
    pub(crate) fn trip(&mut self, now: Timestamp, config: &BreakerConfig, common: &mut Common) {
        if self.tripped() {
            return;
        }
        self.breaker.trip(now, config);
        self.tripped_now(Case { reason: "too_many_keys_held_back", ..Case::default() }, now, common);
    }

    /// The breaker has just opened.
    pub(crate) fn tripped_now(&mut self, case: Case, now: Timestamp, common: &mut Common) {
        common.counts.tripped += 1;
        common.happened(Kind::EndpointTripped, (self.tenant, self.no), case, now);
        self.drop_window(common);
        self.set_clock(now);
        self.record_health(now, common);
    }

    /// Gives the endpoint up: its pending work ends as failed, what comes is skipped.
    pub(crate) fn disable(&mut self, case: Case, now: Timestamp, common: &mut Common) {
        if self.disabled.is_some() {
            return;
        }
        self.disabled = Some(case.reason.into());
        common.happened(Kind::EndpointDisabled, (self.tenant, self.no), case, now);
        self.drained = false;
        self.fail_replays(Reason::EndpointDisabled, now, common);
        self.drop_window(common);
        self.set_clock(now);
        self.record_health(now, common);
    }

    /// A success, or a new address: everything begins afresh.
    pub(crate) fn recover(&mut self, reason: &'static str, now: Timestamp, common: &mut Common) {
        if self.recorded_health.tripped_at.is_some() || self.recorded_health.disabled.is_some() {
            let case = Case { reason, ..Case::default() };
            common.happened(Kind::EndpointRecovered, (self.tenant, self.no), case, now);
        }
        self.breaker.close();
        self.concurrency = Concurrency::start();
        self.failing_since = None;
        self.read_clock(now);
        self.hold_until = Timestamp::EPOCH;
        self.set_clock(now);
        self.record_health(now, common);
    }

    /// Writes the health down where it changed in a way that a restart must know.
    pub(crate) fn record_health(&mut self, now: Timestamp, common: &mut Common) {
        let mut health = self.health();
        if health.tripped_at.is_none()
            && health.disabled.is_none()
            && health.failing_since.is_some_and(|since| now.since(since) < FAILING_RECORDED_AFTER)
        {
            health.failing_since = None;
        }
        if health != self.recorded_health {
            self.recorded_health = health.clone();
            common.first_update_at.get_or_insert(now);
            common.edits.push(Edit::PutHealth { no: self.no, health });
        }
    }

    /// Takes a new version of the configuration.
    pub(crate) fn change(&mut self, policy: Policy, now: Timestamp, common: &mut Common) {
        let ran = self.running();
        let old = std::mem::replace(&mut self.policy, std::sync::Arc::new(policy));
        if old.per_second != self.policy.per_second {
            self.pacer = self.policy.per_second.map(|n| Pacer::new(n, now));
        }
        if old.target != self.policy.target && self.disabled.is_none() {
            self.recover("url_changed", now, common);
        }
        if self.policy.enabled && !old.enabled {
            // In a pause nothing was tried: what failed before it says nothing about now.
            self.failing_since = None;
        }
        if !self.policy.ordered {
            // Lanes that exist empty in their order; nothing new enters them.
            self.ordered = false;
        }
        if ran && !self.running() {
            // Paused, or ordering is about to be switched on: what comes meanwhile is found in the store with all the rest.
            self.drop_window(common);
        }
        self.settle_ordering(now, common);
        self.set_clock(now);
    }

    /// Turns ordering on once nothing is in flight, so that no delivery overtakes one that left before.
    pub(crate) fn settle_ordering(&mut self, now: Timestamp, common: &mut Common) {
        if self.policy.ordered && !self.ordered && self.in_flight == 0 && self.settling == 0 {
            self.drop_window(common);
            self.ordered = true;
            self.set_clock(now);
        }
    }
}
