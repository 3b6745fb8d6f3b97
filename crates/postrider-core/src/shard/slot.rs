//! What a shard keeps of one endpoint: a bounded window of what is due, its lanes, its health.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::lane::Lane;
use super::outcome::NEAR;
use super::page::LOW_WATER;
use super::pending::{Pending, Total};
use super::replay::Replays;
use crate::breaker::Breaker;
use crate::id::{EndpointNo, Position, TenantNo};
use crate::mutation::{self, Mutation};
use crate::node::What;
use crate::node::common::Common;
use crate::pace::{Concurrency, Pacer};
use crate::policy::Policy;
use crate::record::{DeliveryRef, Event, Health, LaneKey, Loaded, Place, Progress, Reason, Status};
use crate::time::Timestamp;

/// A pending delivery in memory.
#[derive(Debug, Clone)]
pub(crate) struct Entry {
    pub(crate) delivery: DeliveryRef,
    pub(crate) event: Arc<Event>,
    pub(crate) place: Place,
    pub(crate) progress: Progress,
    /// The lane that it takes part in: none without a key, without ordering, or once overtaken.
    pub(crate) lane: Option<LaneKey>,
    /// Withdrawn while it waited in its lane; it stands there until that is durable.
    pub(crate) gone: bool,
}

impl Entry {
    pub(crate) fn position(&self) -> Position {
        self.delivery.position
    }

    pub(crate) fn loaded(loaded: Loaded, lane: Option<LaneKey>) -> Self {
        Self {
            delivery: loaded.delivery,
            event: loaded.event,
            place: loaded.place,
            progress: loaded.progress,
            lane,
            gone: false,
        }
    }
}

/// The lane of an event's ordering key.
pub(crate) fn lane_of(event: &Event, ordered: bool) -> Option<LaneKey> {
    let key = event.key.as_deref().filter(|_| ordered)?;
    Some(crate::record::KeyHash::ordering(event.tenant, key).lane())
}

/// Due work that is only in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Spill {
    /// Everything up to this rank is in memory or done.
    pub(crate) cursor: Position,
    /// Nothing after this position is in the store only.
    pub(crate) last: Position,
}

/// Pages of an endpoint that are wanted or being read.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Loading {
    pub(crate) due: bool,
    pub(crate) retries: bool,
    pub(crate) held: u32,
    pub(crate) drain: bool,
    pub(crate) expired: bool,
    pub(crate) beyond: bool,
}

impl Loading {
    pub(crate) fn any(self) -> bool {
        self.due || self.retries || self.held > 0 || self.drain || self.expired || self.beyond
    }
}

/// See the module.
#[derive(Debug)]
pub(crate) struct Slot {
    pub(crate) no: EndpointNo,
    pub(crate) tenant: TenantNo,
    pub(crate) policy: Arc<Policy>,
    /// The last sequence number given.
    pub(crate) sequence: u64,
    pub(crate) pending: Pending,
    /// What was pending at the start is counted, or being counted.
    pub(crate) counted: bool,

    /// Asked for by a person: passes over schedule and breaker.
    pub(crate) urgent: VecDeque<Entry>,
    /// Due now; of each lane at most the head.
    pub(crate) fresh: VecDeque<Entry>,
    pub(crate) retries: BTreeMap<(Timestamp, Position), Entry>,
    pub(crate) lanes: FxHashMap<LaneKey, Lane>,
    pub(crate) blocked_lanes: usize,
    /// Lanes without a head whose next deliveries have to be paged in.
    pub(crate) idle_lanes: BTreeSet<LaneKey>,
    /// When blocked lanes give way, on the clock that runs while the endpoint can be attempted.
    pub(crate) holds: BTreeSet<(Duration, LaneKey)>,
    pub(crate) spill: Option<Spill>,
    /// When the first retry that is only in the store is due.
    pub(crate) stored_retry: Option<Timestamp>,
    /// Retries up to here are in memory or done.
    pub(crate) retry_cursor: (Timestamp, Position),
    /// Lanes whose next held delivery was accepted later than due work that is in the store only, and how far that has to
    /// be in memory first: an older one of the same key may be among it.
    pub(crate) after_spill: BTreeSet<(Position, LaneKey)>,
    /// Pages of work wait for a group after this one: the last page showed a delivery whose update was not durable.
    pub(crate) reread_after: Position,
    /// What was accepted before this is to be looked for and ended.
    pub(crate) expiring: Option<Timestamp>,
    /// Retries due after this are to be looked for and brought forward to it, from this group on: no schedule reaches so far.
    pub(crate) misdated: Option<(Timestamp, Position)>,
    /// Retries that became durable while a page of retries was being read.
    pub(crate) stored_while_loading: Option<Timestamp>,
    pub(crate) loading: Loading,
    pub(crate) replays: Replays,

    /// Entries in memory: due, waiting in lanes, or being attempted.
    pub(crate) entries: usize,
    pub(crate) in_flight: u32,
    pub(crate) settling: u32,
    pub(crate) breaker: Breaker,
    pub(crate) concurrency: Concurrency,
    pub(crate) pacer: Option<Pacer>,
    /// The receiver's `Retry-After`.
    pub(crate) hold_until: Timestamp,
    pub(crate) failing_since: Option<Timestamp>,
    pub(crate) disabled: Option<Box<str>>,
    pub(crate) deleted: bool,
    /// All pending work has been ended after the endpoint was disabled or deleted.
    pub(crate) drained: bool,
    pub(crate) recorded_health: Health,
    /// Its last attempt to end succeeded.
    pub(crate) proven: bool,
    /// When an attempt last succeeded.
    pub(crate) succeeded_at: Timestamp,
    /// A change of ordering that waits until nothing is in flight.
    pub(crate) ordered: bool,

    pub(crate) queued: bool,
    /// Since when it waits for its turn, if `queued`.
    pub(crate) queued_at: Timestamp,
    pub(crate) retry_turn: bool,
    pub(crate) wake_at: Option<Timestamp>,
    /// A fault of ours keeps it from being attempted.
    pub(crate) dead: bool,
    attemptable: Duration,
    attemptable_since: Option<Timestamp>,
}

impl Slot {
    pub(crate) fn new(
        no: EndpointNo,
        tenant: TenantNo,
        policy: Policy,
        owed: &Total,
        now: Timestamp,
    ) -> Self {
        let pacer = policy.per_second.map(|n| Pacer::new(n, now));
        let ordered = policy.ordered;
        let mut slot = Self {
            no,
            tenant,
            policy: Arc::new(policy),
            sequence: 0,
            pending: Pending::part_of(owed),
            counted: true,
            urgent: VecDeque::new(),
            fresh: VecDeque::new(),
            retries: BTreeMap::new(),
            lanes: FxHashMap::default(),
            blocked_lanes: 0,
            idle_lanes: BTreeSet::new(),
            holds: BTreeSet::new(),
            spill: None,
            stored_retry: None,
            retry_cursor: (Timestamp::EPOCH, Position::ZERO),
            stored_while_loading: None,
            after_spill: BTreeSet::new(),
            reread_after: Position::ZERO,
            expiring: None,
            misdated: None,
            loading: Loading::default(),
            replays: Replays::default(),
            entries: 0,
            in_flight: 0,
            settling: 0,
            breaker: Breaker::default(),
            concurrency: Concurrency::start(),
            pacer,
            hold_until: Timestamp::EPOCH,
            failing_since: None,
            disabled: None,
            deleted: false,
            drained: false,
            recorded_health: Health::default(),
            proven: false,
            succeeded_at: Timestamp::EPOCH,
            ordered,
            queued: false,
            queued_at: Timestamp::EPOCH,
            retry_turn: false,
            wake_at: None,
            dead: false,
            attemptable: Duration::ZERO,
            attemptable_since: None,
        };
        slot.set_clock(now);
        slot
    }

    pub(crate) fn tripped(&self) -> bool {
        self.breaker.tripped_at().is_some()
    }

    /// Its work is over: what is pending is being ended.
    pub(crate) fn ended(&self) -> Option<(Status, Reason)> {
        if self.deleted {
            Some((Status::Cancelled, Reason::EndpointDeleted))
        } else if self.disabled.is_some() {
            Some((Status::Failed, Reason::EndpointDisabled))
        } else {
            None
        }
    }

    /// Whether its owner wants deliveries now, and it is known to be its owner.
    pub(crate) fn running(&self) -> bool {
        let enabled = self.policy.enabled || mutation::has(Mutation::PauseIgnored);
        enabled && self.policy.verified && self.ended().is_none() && self.ordered == self.policy.ordered
    }

    /// Whether what is due soon can be used soon: not while it is paused or tripped, or asked to be left alone.
    pub(crate) fn usable(&self, now: Timestamp) -> bool {
        self.running() && !self.tripped() && self.hold_until <= now + NEAR
    }

    /// When the next probe may leave; `None` while closed, or while one is under way.
    pub(crate) fn next_probe(&self) -> Option<Timestamp> {
        self.breaker.next_probe().map(|at| at.max(self.hold_until))
    }

    /// Whether anything of its pending work is in the store only.
    pub(crate) fn has_stored(&self) -> bool {
        self.spill.is_some()
            || self.stored_retry.is_some()
            || !self.idle_lanes.is_empty()
            || !self.after_spill.is_empty()
    }

    /// Whether anything may be pending.
    pub(crate) fn may_owe(&self) -> bool {
        self.pending.get() > 0 || self.has_stored() || !self.lanes.is_empty()
    }

    /// Entries in memory that are of use before those of a page would be; not those that wait behind others.
    pub(crate) fn runnable(&self, what: &What) -> usize {
        if let What::Retries(..) = what {
            let first_stored = (self.stored_retry.unwrap_or(Timestamp::FAR_FUTURE), Position::ZERO);
            // Of those that are due at one time some may be here and others in the store only.
            let here = self.retries.range(..=first_stored.max(self.retry_cursor));
            return here.take(LOW_WATER).count();
        }
        self.fresh.len() + self.urgent.len() + self.in_flight as usize
    }

    /// How many entries it may keep in memory: no more than its rate limit lets it use soon.
    pub(crate) fn room(&self, common: &Common) -> usize {
        if mutation::has(Mutation::WindowUnlimited) {
            return usize::MAX;
        }
        let soon = |n: u32| usize::try_from(n).unwrap_or(usize::MAX).saturating_mul(10).max(16);
        common.share(self.proven).min(self.policy.per_second.map_or(usize::MAX, soon))
    }

    /// The lane of a delivery that a page shows.
    pub(crate) fn lane_of(&self, loaded: &Loaded) -> Option<LaneKey> {
        if loaded.progress.overtaken {
            return None;
        }
        let key = lane_of(&loaded.event, true)?;
        // The head of a lane stays in it when ordering is switched off: others wait behind it.
        let head = self.lanes.get(&key).is_some_and(|l| l.head == Some(loaded.delivery.position));
        (self.ordered || head).then_some(key)
    }

    /// Counts an entry that comes into memory.
    pub(crate) fn hold(&mut self, entry: &Entry, common: &mut Common) {
        self.entries += 1;
        common.hold(entry);
    }

    /// Counts an entry that leaves memory.
    pub(crate) fn let_go(&mut self, entry: &Entry, common: &mut Common) {
        self.entries = self.entries.saturating_sub(1);
        common.let_go(entry);
    }

    /// The clock of `hold_max`: it runs while the endpoint can be attempted, and stands while its receiver asked to be left
    /// alone, or a fault of ours lasts.
    pub(crate) fn clock(&self, now: Timestamp) -> Duration {
        let since = self.attemptable_since.map(|since| now.since(since.max(self.hold_until)));
        self.attemptable + since.unwrap_or_default()
    }

    /// Reads that clock before its receiver's wish changes.
    pub(crate) fn read_clock(&mut self, now: Timestamp) {
        if self.attemptable_since.is_some() {
            self.attemptable = self.clock(now);
            self.attemptable_since = Some(now);
        }
    }

    /// Starts or stops that clock after a change of state.
    pub(crate) fn set_clock(&mut self, now: Timestamp) {
        let tripped = self.tripped() && !mutation::has(Mutation::HoldRunsWhileTripped);
        let runs = self.running() && !tripped && !self.dead;
        if runs == self.attemptable_since.is_some() {
            return;
        }
        self.attemptable = self.clock(now);
        self.attemptable_since = runs.then_some(now);
    }

    /// When that clock will show `deadline`; `None` while it stands.
    pub(crate) fn clock_time(&self, deadline: Duration, now: Timestamp) -> Option<Timestamp> {
        self.attemptable_since.map(|_| now.max(self.hold_until) + deadline.saturating_sub(self.clock(now)))
    }

    pub(crate) fn health(&self) -> Health {
        Health {
            tripped_at: self.breaker.tripped_at(),
            failing_since: self.failing_since,
            disabled: self.disabled.clone(),
        }
    }

    /// Remembers that due work from `rank` on is in the store only, up to `last`.
    pub(crate) fn spill_from(&mut self, rank: Position, last: Position) {
        let cursor = Position(rank.0.saturating_sub(1));
        match &mut self.spill {
            Some(spill) => {
                spill.cursor = spill.cursor.min(cursor);
                spill.last = spill.last.max(last);
            }
            None => self.spill = Some(Spill { cursor, last }),
        }
    }

    /// Remembers that a retry due at `at` is in the store only.
    pub(crate) fn store_retry(&mut self, at: Timestamp) {
        let earlier = |old: Option<Timestamp>| Some(old.map_or(at, |old| old.min(at)));
        self.stored_retry = earlier(self.stored_retry);
        if self.loading.retries {
            self.stored_while_loading = earlier(self.stored_while_loading);
        }
        if at <= self.retry_cursor.0 {
            self.retry_cursor = (Timestamp::from_micros(at.as_micros() - 1), Position::MAX);
        }
    }
}
