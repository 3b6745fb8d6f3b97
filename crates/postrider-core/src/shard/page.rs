//! Paging: when an endpoint wants work from the store, and what is made of a page that was read.
//!
//! A page shows the store as it was when it was read. Four rules keep it from bringing anything twice, losing it, or
//! bringing it too early: what is being attempted is passed over (its end decides about it); a page ends before a delivery
//! that may have changed since it was read (it is read again); what was accepted after the last group that the node knows
//! to be committed is left for that group's own arrival; and what was held comes in only after the due work that is older.

use std::time::Duration;

use super::outcome::NEAR;
use super::slot::{Entry, Slot, lane_of};
use super::{Flights, Shard};
use crate::id::Position;
use crate::mutation::{self, Mutation};
use crate::node::common::Common;
use crate::node::{Load, PageRead, What};
use crate::record::{Disposition, LaneKey, Loaded, PendingRow, Place, Reason, Status, Trigger, Update};
use crate::retry::MAX_RETRY_AFTER;
use crate::time::Timestamp;

/// Below so many entries ready in memory an endpoint with spilled work wants more.
pub(super) const LOW_WATER: usize = 32;
/// Candidates that a tripped endpoint's probe chooses from.
const PROBE_CANDIDATES: usize = 16;
/// Entries that a page is asked for.
const PAGE_ENTRIES: usize = 256;
/// Entries that a page of one lane is asked for.
const LANE_ENTRIES: usize = 64;
/// With so many entries in memory, ready or not, no more are paged in.
const ENTRIES_MAX: usize = 4 * PAGE_ENTRIES;
/// With so many updates not durable, no more due work is paged in: it may have to be moved behind blocked keys.
const SETTLING_MAX: u32 = 512;
/// Bytes of data that a page is asked for.
const PAGE_BYTES: usize = 1 << 20;
/// Deliveries ended by one step of an endpoint's removal, at most.
pub(crate) const DRAIN_STEP: usize = 1_000;

impl Slot {
    /// Asks for the pages that it can use now.
    pub(crate) fn want_pages(&mut self, now: Timestamp, common: &mut Common) {
        if self.ended().is_some() {
            let quiet = self.in_flight == 0 && self.settling == 0 && self.reread_after <= common.committed;
            if !self.drained && !self.loading.any() && quiet {
                self.loading.drain = true;
                self.want(What::Any, DRAIN_STEP, common);
            }
            return;
        }
        if !self.counted && !self.loading.drain {
            self.counted = true;
            self.want(What::Count, 0, common);
        }
        if self.settling == 0
            && !self.loading.expired
            && let Some(before) = self.expiring.take()
        {
            self.loading.expired = true;
            self.want(What::Before(before), DRAIN_STEP, common);
        }
        if let Some((after, from)) = self.misdated
            && from <= common.committed
            && !self.loading.beyond
            && self.reread_after <= common.committed
        {
            self.loading.beyond = true;
            self.want(What::Beyond(after), PAGE_ENTRIES, common);
        }
        self.want_replays(common);
        if !self.running() || self.reread_after > common.committed {
            return;
        }
        if self.tripped() {
            let due = self.next_probe().is_some_and(|at| at <= now);
            if due && self.fresh.is_empty() && self.retries.is_empty() {
                self.want_due(PROBE_CANDIDATES, common);
                self.want_retries(Timestamp::FAR_FUTURE, PROBE_CANDIDATES, common);
                // One of each lane, so that probes go round.
                self.want_held(PROBE_CANDIDATES, 1, common);
            }
        } else if self.hold_until <= now + NEAR / 2 {
            self.want_due(PAGE_ENTRIES.min(self.room(common).max(1)), common);
            if self.stored_retry.is_some_and(|at| at <= now + NEAR / 2) {
                self.want_retries(now + NEAR, PAGE_ENTRIES, common);
            }
            self.want_held(usize::MAX, LANE_ENTRIES, common);
        }
    }

    pub(super) fn want(&self, what: What, entries: usize, common: &mut Common) {
        let (tenant, endpoint) = (self.tenant, self.no);
        common.want(Load { tenant, endpoint, what, entries, bytes: PAGE_BYTES });
    }

    fn want_due(&mut self, entries: usize, common: &mut Common) {
        if let Some(spill) = self.spill
            && !self.loading.due
            && self.fresh.len() < LOW_WATER
            && self.entries < ENTRIES_MAX
            && self.settling < SETTLING_MAX
            && spill.cursor < common.committed
        {
            self.loading.due = true;
            self.want(What::Due(spill.cursor), entries, common);
        }
    }

    fn want_retries(&mut self, until: Timestamp, entries: usize, common: &mut Common) {
        if self.stored_retry.is_some() && !self.loading.retries && self.retries.len() < PAGE_ENTRIES {
            self.loading.retries = true;
            self.stored_while_loading = None;
            self.want(What::Retries(self.retry_cursor, until), entries, common);
        }
    }

    /// Pages for lanes without a head: `lanes` of them at most.
    fn want_held(&mut self, lanes: usize, entries: usize, common: &mut Common) {
        let reach = self.spill.map_or(Position::MAX, |s| s.cursor);
        while let Some(&(position, key)) = self.after_spill.first() {
            if position > reach {
                break;
            }
            self.after_spill.pop_first();
            self.idle_lanes.insert(key);
        }
        for _ in 0..lanes {
            if self.entries >= ENTRIES_MAX {
                return;
            }
            let Some(key) = self.idle_lanes.pop_first() else { return };
            let Some(lane) = self.lanes.get_mut(&key).filter(|l| l.head.is_none()) else { continue };
            let Some(held) = &mut lane.held else {
                self.fill(key, common);
                continue;
            };
            // With moves that are not durable yet it is asked for when they are.
            if !held.loading && held.undurable == 0 {
                held.loading = true;
                self.loading.held += 1;
                let after = held.cursor;
                self.want(What::Held(key, after), entries, common);
            }
        }
    }

    /// Whether a delivery that a page shows may have changed since; if its change is not durable, pages wait for that.
    fn stale(&mut self, position: Position, page: Position, common: &mut Common) -> bool {
        if mutation::has(Mutation::StalePageTaken) {
            return false;
        }
        if common.settling.contains_key(&position) {
            self.reread_after = common.committed.plus(1);
            common.urgent_commit |= !common.updates.is_empty();
            return true;
        }
        common.stale(position, page)
    }

    /// Whether a delivery is in memory already because somebody asked for it by hand.
    fn asked_for(&self, loaded: &Loaded) -> bool {
        let position = loaded.delivery.position;
        loaded.progress.trigger == Trigger::Retry
            && (self.urgent.iter().chain(&self.fresh).any(|e| e.position() == position)
                || self.lanes.values().any(|l| l.waiting.iter().any(|e| e.position() == position)))
    }

    fn due_page(&mut self, page: PageRead, flights: &Flights, now: Timestamp, common: &mut Common) {
        self.loading.due = false;
        let Some(spill) = self.spill else { return };
        let What::Due(asked) = page.load.what else { return };
        let too_wide = self.tripped() && page.load.entries > PROBE_CANDIDATES;
        if spill.cursor != asked || !self.running() || too_wide {
            // Something changed meanwhile: another page will tell.
            return;
        }
        let mut complete = page.complete;
        let watermark = page.watermark.min(common.committed);
        let mut cursor = spill.cursor;
        for loaded in page.entries {
            let Place::Due(rank) = loaded.place else { continue };
            if rank > common.committed {
                // It, and all after it, comes by itself when the node hears of its group.
                complete = true;
                break;
            }
            if self.stale(loaded.delivery.position, page.watermark, common) {
                complete = false;
                break;
            }
            cursor = rank;
            if !flights.contains_key(&loaded.delivery.position) && !self.asked_for(&loaded) {
                let lane = self.lane_of(&loaded);
                self.enqueue(Entry::loaded(loaded, lane), now, common);
            }
        }
        // `enqueue` may have tripped the endpoint and dropped what came.
        let Some(spill) = &mut self.spill else { return };
        if spill.cursor != asked {
            return;
        }
        spill.cursor = cursor;
        if complete {
            spill.cursor = cursor.max(watermark);
            if spill.last <= watermark {
                self.spill = None;
            }
        }
    }

    fn retry_page(&mut self, page: PageRead, flights: &Flights, common: &mut Common) {
        self.loading.retries = false;
        let What::Retries(asked, until) = page.load.what else { return };
        let since = self.stored_while_loading.take();
        let too_wide = self.tripped() && page.load.entries > PROBE_CANDIDATES;
        if !self.running() || self.retry_cursor != asked || too_wide {
            self.stored_retry = self.stored_retry.or(since).or(Some(Timestamp::EPOCH));
            return;
        }
        let mut cursor = asked;
        let mut complete = page.complete && until != Timestamp::FAR_FUTURE;
        let mut next = page.next;
        for loaded in page.entries {
            let Place::Retry(at) = loaded.place else { continue };
            let key = (at, loaded.delivery.position);
            if self.stale(key.1, page.watermark, common) {
                complete = false;
                next = Some(at);
                break;
            }
            cursor = key;
            if flights.contains_key(&key.1) || self.retries.contains_key(&key) || self.asked_for(&loaded) {
                continue;
            }
            // A retry from before ordering was turned on has no lane to hold.
            let lane = self.lane_of(&loaded).filter(|_| loaded.progress.blocking);
            let entry = Entry::loaded(loaded, lane);
            self.hold(&entry, common);
            self.retries.insert(key, entry);
        }
        self.retry_cursor = if complete { cursor.max((until, Position::MAX)) } else { cursor };
        self.stored_retry = match (next, since) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        if let Some(at) = since {
            self.store_retry(at);
        }
    }

    fn held_page(&mut self, key: LaneKey, page: PageRead, flights: &Flights, common: &mut Common) {
        self.loading.held = self.loading.held.saturating_sub(1);
        let What::Held(_, asked) = page.load.what else { return };
        let too_wide = self.tripped() && page.load.entries > PROBE_CANDIDATES;
        let running = self.running() && !too_wide;
        let reach = self.spill.map_or(Position::MAX, |s| s.cursor);
        let mut complete = page.complete;
        let mut usable = Vec::with_capacity(page.entries.len());
        for loaded in page.entries {
            let position = loaded.delivery.position;
            if position > common.committed {
                // It, and all after it, comes by itself when the node hears of its group.
                complete = true;
                break;
            }
            if self.stale(position, page.watermark, common) {
                complete = false;
                break;
            }
            if position > reach {
                self.after_spill.insert((position, key));
                complete = false;
                break;
            }
            usable.push(loaded);
        }
        let Some(lane) = self.lanes.get_mut(&key) else { return };
        let Some(held) = &mut lane.held else { return };
        held.loading = false;
        if !running || held.cursor != asked || held.undurable > 0 || page.watermark < held.moved {
            self.idle_lanes.insert(key);
            return;
        }
        for loaded in usable {
            let position = loaded.delivery.position;
            held.cursor = position;
            // A later run, which may have any position, takes the cursor back to before what is in memory.
            let here = lane.head == Some(position) || lane.waiting.iter().any(|e| e.position() == position);
            if !here && !flights.contains_key(&position) {
                let entry = Entry::loaded(loaded, Some(key));
                self.entries += 1;
                common.hold(&entry);
                lane.waiting.push_back(entry);
            }
        }
        if complete && held.last <= page.watermark.min(common.committed) {
            lane.held = None;
        }
        let waits = lane.waiting.is_empty() && self.after_spill.iter().any(|(_, k)| *k == key);
        if !waits {
            self.fill(key, common);
        }
    }

    /// Ends what a page shows.
    fn end_page(&mut self, page: PageRead, flights: &Flights, now: Timestamp, common: &mut Common) {
        let ending = match page.load.what {
            What::Any => self.ended(),
            _ => Some((Status::Cancelled, Reason::Expired)),
        };
        let Some((status, reason)) = ending else { return };
        for row in page.rows {
            let position = row.delivery.position;
            if position > common.committed {
                // The node has yet to hear of its group.
                self.reread_after = common.committed.plus(1);
            } else if !flights.contains_key(&position) && !common.stale(position, page.watermark) {
                self.withdraw(row, status, reason, now, common);
            }
        }
    }

    /// The longest that a delivery may have to wait for its next attempt.
    pub(super) fn longest_wait(&self, common: &Common) -> Duration {
        let step = self.policy.schedule.iter().max().copied().unwrap_or_default();
        let jitter = step / 1_000 * common.config.jitter_permille.min(1_000);
        (step + jitter).max(MAX_RETRY_AFTER)
    }

    /// Brings forward what is due later than any schedule reaches: the clock was wrong when that was decided.
    fn bring_forward(
        &mut self,
        page: PageRead,
        after: Timestamp,
        flights: &Flights,
        now: Timestamp,
        common: &mut Common,
    ) {
        if page.complete {
            self.misdated = None;
        }
        for loaded in page.entries {
            let Place::Retry(at) = loaded.place else { continue };
            let position = loaded.delivery.position;
            if flights.contains_key(&position) {
                // Its end decides about it, or leaves it as it was: looked at again after the next group.
                self.misdated = Some((after, common.committed.plus(1)));
                break;
            }
            if self.stale(position, page.watermark, common) {
                self.misdated = Some((after, Position::ZERO));
                break;
            }
            let place = Place::Retry(after);
            if let Some(mut entry) = self.retries.remove(&(at, position)) {
                entry.place = place;
                self.retries.insert((after, position), entry);
            }
            let lane = lane_of(&loaded.event, true).and_then(|key| self.lanes.get_mut(&key));
            if let Some(blocked) = lane.and_then(|lane| lane.blocked.as_mut())
                && blocked.delivery.position == position
            {
                blocked.place = place;
            }
            self.settling += 1;
            common.push_update(Update {
                delivery: loaded.delivery,
                from: Some(loaded.place),
                to: Disposition::Pending(place),
                progress: loaded.progress,
                attempt: None,
                at: now,
            });
        }
    }

    /// Ends a pending delivery that is not being attempted, whether it is in memory or not.
    pub(crate) fn withdraw(
        &mut self,
        row: PendingRow,
        status: Status,
        reason: Reason,
        now: Timestamp,
        common: &mut Common,
    ) {
        let position = row.delivery.position;
        let waiting = row
            .lane
            .and_then(|key| self.lanes.get_mut(&key)?.waiting.iter_mut().find(|e| e.position() == position));
        let waits = waiting.is_some();
        if let Some(entry) = waiting {
            entry.gone = true;
        } else {
            self.take_from_memory(position, common);
        }
        self.replays.tried(position);
        self.tell_end(position, Some(reason), now, common);
        if !mutation::has(Mutation::CountDrifts) {
            self.pending.end(common.building);
        }
        self.settling += 1;
        if let Some(key) = row.lane
            && (waits || self.lanes.get(&key).is_some_and(|l| l.head == Some(position)))
        {
            common.releases.push(((self.tenant, self.no), key, position));
            common.urgent_commit = true;
            if !waits {
                // It cannot be overtaken any more.
                self.unblock(key, common);
            }
        }
        common.push_update(Update {
            delivery: row.delivery,
            from: Some(row.place),
            to: Disposition::Ended(status, Some(reason)),
            progress: row.progress,
            attempt: None,
            at: now,
        });
    }

    /// Takes an entry out of memory, wherever it is.
    pub(crate) fn take_from_memory(&mut self, position: Position, common: &mut Common) -> Option<Entry> {
        if self.entries <= self.in_flight as usize {
            return None;
        }
        let from = |queue: &mut std::collections::VecDeque<Entry>| {
            let at = queue.iter().position(|e| e.position() == position)?;
            queue.remove(at)
        };
        let retry = || self.retries.keys().find(|(_, p)| *p == position).copied();
        let mut found = from(&mut self.fresh).or_else(|| from(&mut self.urgent));
        if found.is_none()
            && let Some(key) = retry()
        {
            found = self.retries.remove(&key);
        }
        if found.is_none() {
            found = self.lanes.values_mut().find_map(|l| from(&mut l.waiting));
        }
        if let Some(entry) = &found {
            self.let_go(entry, common);
        }
        found
    }
}

impl Shard {
    /// A page was read.
    pub(crate) fn page(&mut self, page: PageRead, now: Timestamp, common: &mut Common) {
        let flights = &self.flights;
        let Some(slot) = self.slots.get_mut(&page.load.endpoint) else { return };
        match page.load.what {
            What::Due(_) => slot.due_page(page, flights, now, common),
            What::Retries(..) => slot.retry_page(page, flights, common),
            What::Held(key, _) => slot.held_page(key, page, flights, common),
            What::Any => {
                slot.loading.drain = false;
                slot.drained = page.rows.is_empty();
                slot.end_page(page, flights, now, common);
            }
            What::Before(before) => {
                slot.loading.expired = false;
                // A full page: there may be more.
                slot.expiring = slot.expiring.or((page.rows.len() >= page.load.entries).then_some(before));
                slot.end_page(page, flights, now, common);
            }
            What::Beyond(after) => {
                slot.loading.beyond = false;
                slot.bring_forward(page, after, flights, now, common);
            }
            What::Count => slot.counted = slot.pending.found(page.count, page.watermark),
            What::Replay(..) => slot.replay_page(page, common),
        }
    }

    /// A page could not be read.
    pub(crate) fn page_failed(&mut self, load: &Load) {
        let Some(slot) = self.slots.get_mut(&load.endpoint) else { return };
        match &load.what {
            What::Due(_) => slot.loading.due = false,
            What::Retries(..) => {
                slot.loading.retries = false;
                if let Some(at) = slot.stored_while_loading.take() {
                    slot.store_retry(at);
                }
            }
            What::Held(key, _) => {
                slot.loading.held = slot.loading.held.saturating_sub(1);
                if let Some(held) = slot.lanes.get_mut(key).and_then(|l| l.held.as_mut()) {
                    held.loading = false;
                    slot.idle_lanes.insert(*key);
                }
            }
            What::Any => slot.loading.drain = false,
            What::Before(before) => {
                slot.loading.expired = false;
                slot.expiring = slot.expiring.or(Some(*before));
            }
            What::Beyond(_) => slot.loading.beyond = false,
            What::Count => slot.counted = false,
            What::Replay(replay, _) => slot.replay_page_failed(replay),
        }
    }

    /// An update became durable, in the group that ends at `last`.
    pub(crate) fn updated(&mut self, update: &Update, last: Position, now: Timestamp, common: &mut Common) {
        let position = update.delivery.position;
        let open = match common.settling.get_mut(&position) {
            Some(count) if *count > 1 => {
                *count -= 1;
                true
            }
            _ => {
                common.settling.remove(&position);
                false
            }
        };
        common.recent.note(position, last);
        let flying = self.flights.contains_key(&position);
        let Some(slot) = self.slots.get_mut(&update.delivery.endpoint) else { return };
        slot.settling = slot.settling.saturating_sub(1);
        match update.to {
            Disposition::Pending(Place::Held(key)) if update.from != Some(Place::Held(key)) => {
                slot.held_durable(key, last);
            }
            Disposition::Pending(Place::Retry(at))
                if !open && !flying && !slot.retries.contains_key(&(at, position)) =>
            {
                slot.store_retry(at);
            }
            _ => {}
        }
        slot.settle_ordering(now, common);
    }
}
