//! Lanes: the deliveries of one endpoint with one ordering key leave one at a time, and a failing one holds back only
//! its own key, for a bounded time.
//!
//! A lane exists while one of its deliveries is on its way (the head) or others wait behind it. A few successors wait in
//! memory; the rest is `held` in the store, outside the due order, so that a blocked key cannot fill the window. While
//! anything is held, everything newer is held too: that keeps the order.

use std::collections::VecDeque;
use std::time::Duration;

use super::slot::{Entry, Slot};
use crate::id::Position;
use crate::mutation::{self, Mutation};
use crate::node::common::{BLOCKED_KEYS_NODE, Common};
use crate::record::{DeliveryRef, Disposition, LaneKey, Place, Progress, Update};
use crate::time::Timestamp;

/// Successors of a blocked head that wait in memory.
const WAITING_BLOCKED: usize = 16;
/// With more blocked keys than this, or half of the memory in use, nothing waits in memory behind another one.
const BLOCKED_WITH_WAITING: usize = 4;
/// Successors of a head that is on its way that wait in memory (while there is plenty of room, while there is room, and
/// without any): one busy key may not fill the window either.
const WAITING: [usize; 3] = [64, 16, 1];
/// Blocked keys of one endpoint, beyond which it trips.
const BLOCKED_KEYS_ENDPOINT: usize = 4_096;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Lane {
    /// The delivery on its way: due, being attempted, waiting for its retry, or for its outcome to become durable.
    pub(crate) head: Option<Position>,
    /// In memory, in order; not due before the head is through.
    pub(crate) waiting: VecDeque<Entry>,
    /// Set while the head waits for a retry.
    pub(crate) blocked: Option<Blocked>,
    /// Set while deliveries of this lane are held in the store.
    pub(crate) held: Option<Held>,
}

/// A head that failed and waits for its retry.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Blocked {
    pub(crate) delivery: DeliveryRef,
    pub(crate) place: Place,
    pub(crate) progress: Progress,
    /// When it is overtaken, by the endpoint's clock.
    pub(crate) deadline: Duration,
}

/// What of a lane is held in the store.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Held {
    /// Everything up to this position is in memory or done.
    pub(crate) cursor: Position,
    /// A page read at or after this position shows all that is held.
    pub(crate) last: Position,
    /// The end of the last group that moved one to the held order: a page read before it lacks that one.
    pub(crate) moved: Position,
    /// Moves to the held order that are not durable yet.
    pub(crate) undurable: u32,
    pub(crate) loading: bool,
}

impl Held {
    pub(crate) fn from(cursor: Position, last: Position) -> Self {
        Self { cursor, last, moved: Position::ZERO, undurable: 0, loading: false }
    }
}

impl Slot {
    /// Whether a delivery accepted now goes to the held order at once.
    pub(crate) fn holds_new(&self, lane: LaneKey) -> bool {
        // With due work in the store only, something older of the same key may still be among it: due order then.
        self.spill.is_none() && self.lanes.get(&lane).is_some_and(|l| l.held.is_some())
    }

    /// Brings a due entry into memory: to be attempted, or behind its lane's head.
    pub(crate) fn enqueue(&mut self, entry: Entry, now: Timestamp, common: &mut Common) {
        let Some(key) = entry.lane else {
            self.hold(&entry, common);
            self.fresh.push_back(entry);
            return;
        };
        let lane = self.lanes.entry(key).or_default();
        let idle = lane.head.is_none() && lane.waiting.is_empty() && lane.held.is_none();
        if idle || lane.head == Some(entry.position()) {
            lane.head = Some(entry.position());
            self.hold(&entry, common);
            self.fresh.push_back(entry);
            return;
        }
        let room = waiting_room(lane.blocked.is_some(), self.blocked_lanes, common);
        let full = lane.held.is_some() || lane.waiting.len() >= room;
        if full {
            self.move_to_held(key, entry, now, common);
        } else {
            if lane.blocked.is_some() {
                self.replays.park(entry.position());
            }
            self.entries += 1;
            common.hold(&entry);
            lane.waiting.push_back(entry);
        }
    }

    /// Takes an entry that is not in memory's accounts out of the due order, into the held order.
    fn move_to_held(&mut self, key: LaneKey, entry: Entry, now: Timestamp, common: &mut Common) {
        self.replays.park(entry.position());
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let before = Position(entry.position().0 - 1);
        let held = lane.held.get_or_insert(Held::from(before, common.committed));
        held.cursor = held.cursor.min(before);
        if entry.place == Place::Held(key) {
            return;
        }
        held.undurable += 1;
        self.settling += 1;
        common.push_update(Update {
            delivery: entry.delivery,
            from: Some(entry.place),
            to: Disposition::Pending(Place::Held(key)),
            progress: entry.progress,
            attempt: None,
            at: now,
        });
    }

    /// A delivery accepted as held became durable at `last`.
    pub(crate) fn held_accepted(
        &mut self,
        key: LaneKey,
        entry: Entry,
        last: Position,
        now: Timestamp,
        common: &mut Common,
    ) {
        let live = self.spill.is_none() && self.usable(now);
        match self.lanes.get_mut(&key).and_then(|l| l.held.as_mut()) {
            Some(held) => held.last = held.last.max(last),
            // The lane got free in the meantime, and nothing older of it can be in the store only.
            None if live => self.enqueue(entry, now, common),
            None => self.forget(&entry, common),
        }
    }

    /// A move to the held order became durable at `last`.
    pub(crate) fn held_durable(&mut self, key: LaneKey, last: Position) {
        if let Some(held) = self.lanes.get_mut(&key).and_then(|l| l.held.as_mut()) {
            held.undurable = held.undurable.saturating_sub(1);
            held.moved = held.moved.max(last);
            held.last = held.last.max(last);
            // An idle lane waited for that.
            let idle = held.undurable == 0 && !held.loading;
            if idle && self.lanes.get(&key).is_some_and(|l| l.head.is_none()) {
                self.idle_lanes.insert(key);
            }
        }
    }

    /// The head failed and waits: what is behind it may not fill the window.
    pub(crate) fn block(&mut self, key: LaneKey, mut blocked: Blocked, now: Timestamp, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if let Some(old) = lane.blocked {
            blocked.deadline = old.deadline;
        } else {
            self.blocked_lanes += 1;
            common.blocked_keys += 1;
        }
        self.holds.insert((blocked.deadline, key));
        lane.blocked = Some(blocked);
        let keep = waiting_room(true, self.blocked_lanes, common).min(lane.waiting.len());
        let further = lane.waiting.split_off(keep);
        lane.waiting.iter().for_each(|entry| self.replays.park(entry.position()));
        for entry in further {
            self.let_go(&entry, common);
            if !entry.gone {
                self.move_to_held(key, entry, now, common);
            }
        }
        if self.blocked_lanes > BLOCKED_KEYS_ENDPOINT || common.blocked_keys > BLOCKED_KEYS_NODE {
            let config = common.config.breaker;
            self.trip(now, &config, common);
        }
    }

    /// The head does not wait any more: it is being attempted, has ended, or was overtaken.
    pub(crate) fn unblock(&mut self, key: LaneKey, common: &mut Common) -> Option<Blocked> {
        let blocked = self.lanes.get_mut(&key)?.blocked.take()?;
        self.holds.remove(&(blocked.deadline, key));
        self.blocked_lanes = self.blocked_lanes.saturating_sub(1);
        common.blocked_keys = common.blocked_keys.saturating_sub(1);
        Some(blocked)
    }

    /// The head is through, and that is durable: the next one may leave.
    pub(crate) fn advance(&mut self, key: LaneKey, head: Position, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if lane.head.is_some_and(|h| h != head) {
            // One that was withdrawn while it waited.
            if let Some(at) = lane.waiting.iter().position(|e| e.gone && e.position() == head)
                && let Some(entry) = lane.waiting.remove(at)
            {
                self.let_go(&entry, common);
            }
            return;
        }
        lane.head = None;
        self.unblock(key, common);
        self.fill(key, common);
    }

    /// Gives an idle lane its next head, from memory or (by a page that is asked for later) from the store.
    pub(crate) fn fill(&mut self, key: LaneKey, common: &mut Common) {
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        if lane.head.is_some() {
            return;
        }
        if let Some(next) = lane.waiting.pop_front() {
            lane.head = Some(next.position());
            if next.gone {
                // The one after it leaves when that is durable.
                self.let_go(&next, common);
            } else {
                self.fresh.push_front(next);
            }
        } else if lane.held.is_none() {
            self.lanes.remove(&key);
        } else {
            self.idle_lanes.insert(key);
        }
    }

    /// The head of a blocked lane is attempted: it cannot be overtaken meanwhile.
    pub(crate) fn stop_hold(&mut self, key: LaneKey) {
        if let Some(blocked) = self.lanes.get(&key).and_then(|l| l.blocked) {
            self.holds.remove(&(blocked.deadline, key));
        }
    }

    /// A head that waits (not one that is being attempted), if it is in memory.
    fn in_memory(&mut self, place: Place, position: Position) -> Option<&mut Entry> {
        if let Place::Retry(at) = place
            && self.retries.contains_key(&(at, position))
        {
            return self.retries.get_mut(&(at, position));
        }
        self.urgent.iter_mut().chain(&mut self.fresh).find(|e| e.position() == position)
    }

    /// Lets the successors of heads pass whose time is over and which are not being attempted.
    pub(crate) fn overtake(&mut self, now: Timestamp, common: &mut Common) {
        if self.hold_until > now || mutation::has(Mutation::NeverOvertaken) {
            return;
        }
        while let Some(&(deadline, key)) = self.holds.first() {
            if deadline > self.clock(now) {
                return;
            }
            self.holds.pop_first();
            let Some(mut blocked) = self.unblock(key, common) else { continue };
            blocked.progress.overtaken = true;
            blocked.progress.blocking = false;
            blocked.progress.held_ms = millis(self.policy.hold_max);
            if let Some(entry) = self.in_memory(blocked.place, blocked.delivery.position) {
                entry.progress = blocked.progress;
                entry.lane = None;
            }
            self.settling += 1;
            common.releases.push(((self.tenant, self.no), key, blocked.delivery.position));
            common.urgent_commit = true;
            common.push_update(Update {
                delivery: blocked.delivery,
                from: Some(blocked.place),
                to: Disposition::Pending(blocked.place),
                progress: blocked.progress,
                attempt: None,
                at: now,
            });
        }
    }
}

/// How many successors of one head wait in memory.
fn waiting_room(blocked: bool, blocked_lanes: usize, common: &Common) -> usize {
    let free = common.free_entries();
    let plenty = free > common.config.window_entries / 2;
    match (blocked, plenty) {
        (true, true) if blocked_lanes <= BLOCKED_WITH_WAITING => WAITING_BLOCKED,
        (true, _) => 0,
        (false, true) => WAITING[0],
        (false, false) if free > 0 => WAITING[1],
        (false, false) => WAITING[2],
    }
}

pub(crate) fn millis(duration: Duration) -> u64 {
    u64::try_from(duration.as_millis()).unwrap_or(u64::MAX)
}
