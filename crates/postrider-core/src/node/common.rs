//! What all shards of a node share: budgets, the ring of endpoints that are ready, timers, and what the next commit holds.

use std::collections::{BTreeSet, VecDeque};
use std::time::Duration;

use rustc_hash::FxHashMap;

use super::LOADS_IN_FLIGHT;
use super::input::{Attempt, Counts, Load, What};
use super::outbox::{Case, Outbox};
use super::recent::Recent;
use crate::breaker::BreakerConfig;
use crate::id::{EndpointNo, Position, TenantNo};
use crate::operational::Kind;
use crate::record::{Edit, Event, LaneKey, Update};
use crate::shard::Entry;
use crate::time::Timestamp;

/// The numbers that bound a node.
#[derive(Debug, Clone)]
pub struct NodeConfig {
    /// Marks this start's groups; drawn at random by the driver.
    pub writer: u64,
    /// Seed of the jitter.
    pub seed: u64,
    /// The breakers'.
    pub breaker: BreakerConfig,
    /// How far a retry's delay may lie off its schedule, in thousandths (200: ±20 %).
    pub jitter_permille: u32,
    /// Deliveries in memory, over all endpoints.
    pub window_entries: usize,
    /// Bytes of events in memory, over all endpoints.
    pub window_bytes: usize,
    /// Attempts under way at once.
    pub max_in_flight: usize,
    /// Pending deliveries of one endpoint beyond which new ones are skipped.
    pub backlog_max: u64,
    /// Pending deliveries older than this are cancelled as expired.
    pub pending_max: Duration,
    /// Rows of a group: events, deliveries and updates.
    pub group_rows: usize,
    /// Bytes of a group, unless a single event is larger.
    pub group_bytes: usize,
    /// Bytes of events that wait for a commit, beyond which publications are refused.
    pub inbox_bytes: usize,
    /// Outcomes that are not durable, beyond which no attempt starts.
    pub undurable_max: usize,
    /// How long an outcome may wait for a commit to ride with.
    pub outcome_delay: Duration,
}

impl Default for NodeConfig {
    fn default() -> Self {
        Self {
            writer: 1,
            seed: 1,
            breaker: BreakerConfig::default(),
            jitter_permille: 200,
            window_entries: 65_536,
            window_bytes: 64 << 20,
            max_in_flight: 2_048,
            backlog_max: 10_000_000,
            pending_max: Duration::from_secs(14 * 86_400),
            group_rows: 4_096,
            group_bytes: 4 << 20,
            inbox_bytes: 16 << 20,
            undurable_max: 4_096,
            outcome_delay: Duration::from_millis(20),
        }
    }
}

/// Blocked ordering keys over all endpoints, beyond which an endpoint that adds one trips.
pub(crate) const BLOCKED_KEYS_NODE: usize = 65_536;
/// Entries of a page, at most.
const PAGE_ENTRIES: usize = 256;
/// Deliveries that every endpoint may have ready in memory however full it is, so that none starves because of others.
const RUNNABLE_MIN: usize = 4;

pub(crate) type Owner = (TenantNo, EndpointNo);

/// See the module.
pub(crate) struct Common {
    pub(crate) config: NodeConfig,
    pub(crate) entries: usize,
    pub(crate) bytes: usize,
    pub(crate) in_flight: usize,
    pub(crate) unproven_in_flight: usize,
    pub(crate) blocked_keys: usize,
    /// Endpoints that may start an attempt now, in turn.
    pub(crate) ready: VecDeque<Owner>,
    /// Endpoints without a recent success that wait for one of the places that these may take together.
    pub(crate) parked: VecDeque<Owner>,
    /// When endpoints are looked at again: one time each.
    pub(crate) timers: BTreeSet<(Timestamp, Owner)>,
    /// Pages to read, and those that [may wait](What::may_wait).
    pub(crate) wanted: VecDeque<Load>,
    pub(crate) wanted_patiently: VecDeque<Load>,
    /// Pages being read, and how many of them may wait.
    pub(crate) loading: usize,
    pub(crate) loading_patiently: usize,
    pub(crate) committed: Position,
    /// The first position of the group that is being built, or is built next.
    pub(crate) building: Position,
    /// For the next group.
    pub(crate) updates: Vec<Update>,
    pub(crate) edits: Vec<Edit>,
    pub(crate) first_update_at: Option<Timestamp>,
    /// The time of the last group, and of the latest update: what happens after a group was built bears a later time than it.
    pub(crate) built_at: Timestamp,
    pub(crate) latest_update: Timestamp,
    /// A successor waits for an outcome of the next group.
    pub(crate) urgent_commit: bool,
    /// Lanes to advance when the next group is durable.
    pub(crate) releases: Vec<(Owner, LaneKey, Position)>,
    /// Endpoints whose replays let something go with the next group, and until when that may wait.
    pub(crate) replaying: VecDeque<Owner>,
    pub(crate) replay_due: Option<Timestamp>,
    /// Entries to bring into memory when the next group is durable.
    pub(crate) arrivals: Vec<Entry>,
    /// Deliveries with updates that are not durable yet, and how many.
    pub(crate) settling: FxHashMap<Position, u32>,
    pub(crate) recent: Recent,
    pub(crate) outbox: Outbox,
    /// Until when nothing is attempted because of a fault of ours, and how long the next such pause is.
    pub(crate) fault_until: Option<Timestamp>,
    pub(crate) fault_pause: Duration,
    pub(crate) attempts: Vec<Attempt>,
    pub(crate) counts: Counts,
    random: u64,
}

/// The smallest step of time.
const TICK: Duration = Duration::from_micros(1);
/// The first and the longest pause after a fault of ours.
const FAULT_PAUSE: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

impl Common {
    pub(crate) fn new(config: NodeConfig) -> Self {
        let random = config.seed;
        Self {
            config,
            entries: 0,
            bytes: 0,
            in_flight: 0,
            unproven_in_flight: 0,
            blocked_keys: 0,
            ready: VecDeque::new(),
            parked: VecDeque::new(),
            timers: BTreeSet::new(),
            wanted: VecDeque::new(),
            wanted_patiently: VecDeque::new(),
            loading: 0,
            loading_patiently: 0,
            committed: Position::ZERO,
            building: Position::ZERO,
            updates: Vec::new(),
            edits: Vec::new(),
            first_update_at: None,
            built_at: Timestamp::EPOCH,
            latest_update: Timestamp::EPOCH,
            urgent_commit: false,
            releases: Vec::new(),
            replaying: VecDeque::new(),
            replay_due: None,
            arrivals: Vec::new(),
            settling: FxHashMap::default(),
            recent: Recent::default(),
            outbox: Outbox::default(),
            fault_until: None,
            fault_pause: FAULT_PAUSE.0,
            attempts: Vec::new(),
            counts: Counts::default(),
            random,
        }
    }

    /// A pseudo-random number (SplitMix64 by Steele, Lea and Flood, 2014), the same for the same seed.
    pub(crate) fn random(&mut self) -> u64 {
        self.random = self.random.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = self.random;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        z ^ (z >> 31)
    }

    /// A retry's delay with its jitter.
    pub(crate) fn jittered(&mut self, delay: Duration) -> Duration {
        let spread = u64::from(self.config.jitter_permille.min(1_000));
        if spread == 0 {
            return delay;
        }
        let permille = 1_000 - spread + self.random() % (2 * spread + 1);
        Duration::from_micros(u64::try_from(delay.as_micros()).unwrap_or(u64::MAX) / 1_000 * permille)
    }

    /// Entries that still find room.
    pub(crate) fn free_entries(&self) -> usize {
        if self.bytes >= self.config.window_bytes {
            return 0;
        }
        self.config.window_entries.saturating_sub(self.entries)
    }

    pub(crate) fn hold(&mut self, entry: &Entry) {
        self.hold_event(&entry.event);
    }

    pub(crate) fn let_go(&mut self, entry: &Entry) {
        self.let_go_event(&entry.event);
    }

    /// Counts an event in memory that is no entry of a window.
    pub(crate) fn hold_event(&mut self, event: &Event) {
        self.entries += 1;
        self.bytes += event.weight();
    }

    /// See [`Self::hold_event`].
    pub(crate) fn let_go_event(&mut self, event: &Event) {
        debug_assert!(self.entries > 0);
        self.entries = self.entries.saturating_sub(1);
        self.bytes = self.bytes.saturating_sub(event.weight());
    }

    /// Entries that still find room, for an endpoint whose last attempt succeeded or another: the latter leave half of the
    /// memory to the former, so that a thousand hanging ones cannot fill it.
    fn free_for(&self, proven: bool) -> usize {
        let kept = if proven { 0 } else { self.config.window_entries / 2 };
        self.free_entries().saturating_sub(kept)
    }

    /// How many entries an endpoint may keep in memory now: less as the node fills up, so that a few with a backlog do
    /// not take it all, but always a few.
    pub(crate) fn share(&self, proven: bool) -> usize {
        match self.free_for(proven) {
            0 => self.least(),
            free => (free / 8).clamp(16, 4_096),
        }
    }

    /// What every endpoint may have in memory.
    fn least(&self) -> usize {
        match self.bytes {
            bytes if bytes < self.config.window_bytes => RUNNABLE_MIN,
            bytes if bytes < self.config.window_bytes * 2 => 1,
            _ => 0,
        }
    }

    /// Bounds a wanted page by the room there is; `None` if it has to wait. `runnable`: what the endpoint has in memory
    /// that is not stuck behind something else.
    pub(crate) fn grant(&self, load: &Load, proven: bool, runnable: usize) -> Option<Load> {
        let mut load = load.clone();
        match load.what {
            What::Due(_) | What::Retries(..) | What::Held(..) => {
                let room = (self.free_for(proven) / LOADS_IN_FLIGHT).min(PAGE_ENTRIES);
                let room = room.max(self.least().saturating_sub(runnable));
                if room == 0 {
                    return None;
                }
                load.entries = load.entries.min(room);
                let bytes_free = self.config.window_bytes.saturating_sub(self.bytes);
                load.bytes = load.bytes.min(bytes_free / LOADS_IN_FLIGHT);
            }
            // A replay reads on when there is room beside what has to go out anyway.
            What::Replay(..) => {
                let room = (self.free_for(proven) / LOADS_IN_FLIGHT).min(load.entries);
                if room == 0 {
                    return None;
                }
                load.entries = room;
                let bytes_free = self.config.window_bytes.saturating_sub(self.bytes);
                load.bytes = load.bytes.min(bytes_free / LOADS_IN_FLIGHT);
            }
            // What ends whole pages of deliveries waits for the updates before it.
            What::Any | What::Before(_) | What::Beyond(_)
                if self.updates.len() >= self.config.undurable_max =>
            {
                return None;
            }
            What::Any | What::Before(_) | What::Beyond(_) | What::Count => {}
        }
        Some(load)
    }

    /// A page is to be read when there is room for it.
    pub(crate) fn want(&mut self, load: Load) {
        let wanted = if load.what.may_wait() { &mut self.wanted_patiently } else { &mut self.wanted };
        wanted.push_back(load);
    }

    /// A page began to be read.
    pub(crate) fn load_begun(&mut self, what: &What) {
        self.loading += 1;
        self.loading_patiently += usize::from(what.may_wait());
    }

    /// See [`Self::load_begun`].
    pub(crate) fn load_ended(&mut self, what: &What) {
        self.loading = self.loading.saturating_sub(1);
        self.loading_patiently = self.loading_patiently.saturating_sub(usize::from(what.may_wait()));
    }

    /// Whether what was read of a delivery, with everything up to `read` in place, may be out of date.
    pub(crate) fn stale(&self, delivery: Position, read: Position) -> bool {
        self.settling.contains_key(&delivery) || self.recent.since(delivery, read)
    }

    pub(crate) fn push_update(&mut self, mut update: Update) {
        self.first_update_at.get_or_insert(update.at);
        update.at = update.at.max(self.built_at + TICK);
        self.latest_update = self.latest_update.max(update.at);
        *self.settling.entry(update.delivery.position).or_default() += 1;
        self.updates.push(update);
    }

    /// Something happened that the operator is told.
    pub(crate) fn happened(&mut self, kind: Kind, owner: Owner, case: Case, now: Timestamp) {
        if self.outbox.happened(kind, owner, case, now) {
            self.first_update_at.get_or_insert(now);
        }
    }

    pub(crate) fn own_fault(&mut self, now: Timestamp) {
        self.counts.local_faults += 1;
        if self.fault_until.is_none_or(|until| until <= now) {
            self.fault_until = Some(now + self.fault_pause);
            self.fault_pause = (self.fault_pause * 2).min(FAULT_PAUSE.1);
        }
    }

    /// An attempt came through: a fault of ours is over.
    pub(crate) fn network_works(&mut self) {
        self.fault_until = None;
        self.fault_pause = FAULT_PAUSE.0;
    }
}
