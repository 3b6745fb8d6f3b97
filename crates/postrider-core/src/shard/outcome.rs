//! What an attempt's end means: for its delivery, its lane, and its endpoint.

use super::lane::{Blocked, millis};
use super::slot::{Entry, Slot};
use super::{Flight, Shard};
use crate::breaker::Breaker;
use crate::id::Position;
use crate::mutation::{self, Mutation};
use crate::node::common::Common;
use crate::node::outbox::Case;
use crate::node::{Directive, Finished};
use crate::operational::Kind;
use crate::record::{Disposition, ErrorKind, Place, Reason, Status, Trigger, Update};
use crate::time::Timestamp;

/// A receiver's `Retry-After` holds its endpoint for at most so long (the delivery for up to 24 h).
const HOLD_MAX: std::time::Duration = std::time::Duration::from_secs(3_600);
/// Retries due within this time stay in memory, if there is room.
pub(crate) const NEAR: std::time::Duration = std::time::Duration::from_secs(10);

impl Shard {
    /// An attempt ended.
    pub(crate) fn finish(&mut self, finished: Finished, now: Timestamp, common: &mut Common) {
        let Some(Flight { mut entry, unproven }) = self.flights.remove(&finished.delivery.position) else {
            return;
        };
        let Some(slot) = self.slots.get_mut(&entry.delivery.endpoint) else {
            common.let_go(&entry);
            return;
        };
        slot.in_flight = slot.in_flight.saturating_sub(1);
        common.in_flight = common.in_flight.saturating_sub(1);
        if unproven {
            common.unproven_in_flight = common.unproven_in_flight.saturating_sub(1);
        }
        if finished.record.trigger == Trigger::Probe {
            slot.breaker.probe_ended();
        }
        let error = finished.record.error.as_ref().map(|(kind, _)| *kind);
        if error == Some(ErrorKind::Local) {
            slot.take_back(entry, &finished, now, common);
            slot.settle_ordering(now, common);
            return;
        }
        entry.progress.attempts += 1;
        if entry.progress.trigger != Trigger::Replay {
            // A replayed run stays one to its end, so that it is known for one after a restart too.
            entry.progress.trigger = Trigger::Schedule;
        }
        match error {
            None => slot.succeeded(entry, finished, now, common),
            Some(kind) => slot.failed(entry, finished, kind, now, common),
        }
        slot.settle_ordering(now, common);
    }
}

impl Slot {
    /// A fault of ours: as if nothing had been tried.
    fn take_back(&mut self, mut entry: Entry, finished: &Finished, now: Timestamp, common: &mut Common) {
        common.own_fault(now);
        entry.progress.step += u16::from(mutation::has(Mutation::OwnFaultCharged));
        if finished.record.trigger == Trigger::Retry {
            entry.progress.trigger = Trigger::Retry;
        }
        if self.ended().is_some()
            || !self.running()
            || (!self.usable(now) && finished.record.trigger != Trigger::Probe)
        {
            self.let_go(&entry, common);
            self.put_back_blocked(&entry, now, common);
            // With the rest of the window, so that the page that brings it back brings nothing twice.
            self.drop_window(common);
            self.forget(&entry, common);
            return;
        }
        self.put_back_blocked(&entry, now, common);
        if self.comes_by_page(&entry) {
            self.let_go(&entry, common);
            self.forget(&entry, common);
            return;
        }
        match entry.place {
            Place::Retry(at) => {
                self.retries.insert((at, entry.position()), entry);
            }
            _ => self.fresh.push_front(entry),
        }
    }

    /// Whether a page will bring a delivery that was attempted while the window was dropped.
    fn comes_by_page(&self, entry: &Entry) -> bool {
        match entry.place {
            // Pages pass over what was asked for by hand while it is in memory.
            Place::Due(_) if entry.progress.trigger == Trigger::Retry => false,
            Place::Due(rank) => self.spill.is_some_and(|spill| spill.cursor < rank),
            // These pages know what is in memory.
            Place::Held(_) | Place::Retry(_) => false,
        }
    }

    /// A lane's head that waited for a retry, and was not really tried, blocks its lane again.
    fn put_back_blocked(&mut self, entry: &Entry, now: Timestamp, common: &mut Common) {
        if let Some(key) = entry.lane
            && entry.progress.blocking
        {
            let deadline = self.deadline(entry, now);
            let blocked =
                Blocked { delivery: entry.delivery, place: entry.place, progress: entry.progress, deadline };
            self.block(key, blocked, now, common);
        }
    }

    /// When a blocking entry is overtaken, by the endpoint's clock.
    fn deadline(&self, entry: &Entry, now: Timestamp) -> std::time::Duration {
        if let Some(blocked) = entry.lane.and_then(|key| self.lanes.get(&key)?.blocked) {
            return blocked.deadline;
        }
        let held = std::time::Duration::from_millis(entry.progress.held_ms);
        self.clock(now) + self.policy.hold_max.saturating_sub(held)
    }

    fn succeeded(&mut self, entry: Entry, finished: Finished, now: Timestamp, common: &mut Common) {
        common.counts.succeeded += 1;
        self.concurrency.grow(self.policy.max_in_flight);
        self.proven = true;
        self.succeeded_at = now;
        if self.breaker.close() {
            self.recover("delivery_succeeded", now, common);
        } else if self.failing_since.take().is_some() {
            self.record_health(now, common);
        }
        self.end(entry, Some(finished), Status::Succeeded, None, now, common);
    }

    fn failed(
        &mut self,
        mut entry: Entry,
        finished: Finished,
        kind: ErrorKind,
        now: Timestamp,
        common: &mut Common,
    ) {
        common.counts.failed += 1;
        let status_code = finished.record.status_code;
        let probe = finished.record.trigger == Trigger::Probe;
        // A replay says nothing of how the endpoint fares with what comes now; a probe asks just that.
        let charged = probe || entry.progress.trigger != Trigger::Replay;
        self.proven = false;
        if kind == ErrorKind::Timeout {
            self.concurrency.halve();
        }
        if !probe || mutation::has(Mutation::ProbeCharged) {
            entry.progress.step = entry.progress.step.saturating_add(1);
        }
        if let Some(wait) = finished.retry_after.filter(|_| !mutation::has(Mutation::WishIgnored)) {
            self.read_clock(now);
            self.hold_until = self.hold_until.max(now + wait.min(HOLD_MAX));
            if self.hold_until > now + NEAR && !self.tripped() {
                // Memory is for what can be used soon.
                self.drop_window(common);
            }
        }
        if charged {
            self.failing_since.get_or_insert(now);
        }
        let gone = status_code == Some(410) && self.policy.gone_disables;
        let case = |reason| Case { reason, delivery: Some(entry.position()), replay: None };
        if gone {
            self.disable(case("gone"), now, common);
        } else if finished.directive == Some(Directive::Disable) {
            self.disable(case("requested_by_receiver"), now, common);
        } else if charged && self.has_failed_for_too_long(now) {
            self.disable(case("failing"), now, common);
        }
        if charged && self.ended().is_none() {
            let not_now = Breaker::says_not_now(kind, status_code);
            let config = common.config.breaker;
            if self.breaker.failed(now, entry.position(), not_now, probe, &config) {
                self.tripped_now(case(kind.as_str()), now, common);
            } else {
                self.record_health(now, common);
            }
        }
        if let Some((status, reason)) = self.ended() {
            self.end(entry, Some(finished), status, Some(reason), now, common);
        } else if finished.directive == Some(Directive::AbortMessage) {
            self.end(entry, Some(finished), Status::Failed, Some(Reason::AbortedByReceiver), now, common);
        } else if probe {
            self.probed_in_vain(entry, finished, now, common);
        } else {
            self.schedule_retry(entry, finished, now, common);
        }
    }

    fn has_failed_for_too_long(&self, now: Timestamp) -> bool {
        let since = self.failing_since.map(|since| now.since(since));
        self.policy.disable_after.zip(since).is_some_and(|(after, since)| since >= after)
    }

    /// A failed probe uses up no step: the delivery stays where it was, behind the others.
    fn probed_in_vain(&mut self, entry: Entry, finished: Finished, now: Timestamp, common: &mut Common) {
        self.put_back_blocked(&entry, now, common);
        self.update(&entry, Some(finished), Disposition::Pending(entry.place), now, common);
        match entry.place {
            Place::Due(_) | Place::Held(_) if self.running() => self.fresh.push_back(entry),
            _ => {
                self.let_go(&entry, common);
                self.forget(&entry, common);
            }
        }
    }

    fn schedule_retry(&mut self, mut entry: Entry, finished: Finished, now: Timestamp, common: &mut Common) {
        let step = usize::from(entry.progress.step);
        let Some(delay) = step.checked_sub(1).and_then(|s| self.policy.schedule.get(s)).copied() else {
            self.end(entry, Some(finished), Status::Failed, Some(Reason::ScheduleExhausted), now, common);
            return;
        };
        let delay = common.jittered(delay);
        let due = now + delay.max(finished.retry_after.unwrap_or_default());
        if entry.event.has_expired(due) {
            self.end(entry, Some(finished), Status::Cancelled, Some(Reason::Expired), now, common);
            return;
        }
        let from = entry.place;
        entry.place = Place::Retry(due);
        let mut overtaken = None;
        if let Some(key) = entry.lane {
            let first = !entry.progress.blocking;
            let deadline = self.deadline(&entry, now);
            if mutation::has(Mutation::KeyLetGo) {
                entry.lane = None;
                overtaken = Some(key);
            } else if !first && deadline <= self.clock(now) {
                entry.progress.overtaken = true;
                entry.progress.blocking = false;
                entry.lane = None;
                overtaken = Some(key);
            } else {
                entry.progress.blocking = true;
                let blocked = Blocked {
                    delivery: entry.delivery,
                    place: entry.place,
                    progress: entry.progress,
                    deadline,
                };
                self.block(key, blocked, now, common);
            }
        }
        let to = Disposition::Pending(entry.place);
        let placed = std::mem::replace(&mut entry.place, from);
        self.update(&entry, Some(finished), to, now, common);
        entry.place = placed;
        if let Some(key) = overtaken {
            common.releases.push(((self.tenant, self.no), key, entry.position()));
            common.urgent_commit = true;
        }
        // It is counted in already.
        let stays = due.since(now) <= NEAR && self.usable(now) && self.entries <= self.room(common);
        if stays {
            self.retries.insert((due, entry.position()), entry);
        } else {
            self.let_go(&entry, common);
            // Its row counts as stored once the update is durable; see `updated`.
        }
    }

    /// Ends a delivery.
    pub(crate) fn end(
        &mut self,
        entry: Entry,
        finished: Option<Finished>,
        status: Status,
        reason: Option<Reason>,
        now: Timestamp,
        common: &mut Common,
    ) {
        self.pending.end(common.building);
        self.tell_end(entry.position(), reason, now, common);
        if let Some(key) = entry.lane.filter(|_| !mutation::has(Mutation::SuccessorForgotten)) {
            common.releases.push(((self.tenant, self.no), key, entry.position()));
            common.urgent_commit |=
                self.lanes.get(&key).is_some_and(|l| !l.waiting.is_empty() || l.held.is_some());
        }
        self.update(&entry, finished, Disposition::Ended(status, reason), now, common);
        self.let_go(&entry, common);
    }

    /// Tells the operator of an end that its endpoint's own state does not tell.
    pub(crate) fn tell_end(
        &self,
        delivery: Position,
        reason: Option<Reason>,
        now: Timestamp,
        common: &mut Common,
    ) {
        let Some(reason) = reason else { return };
        if reason == Reason::Expired && mutation::has(Mutation::NoticeLost) {
            return;
        }
        let kind = match reason {
            Reason::ScheduleExhausted | Reason::AbortedByReceiver => Kind::DeliveryFailed,
            Reason::Expired => Kind::DeliveryExpired,
            _ => return,
        };
        let case = Case { reason: reason.as_str(), delivery: Some(delivery), replay: None };
        common.happened(kind, (self.tenant, self.no), case, now);
    }

    fn update(
        &mut self,
        entry: &Entry,
        finished: Option<Finished>,
        to: Disposition,
        now: Timestamp,
        common: &mut Common,
    ) {
        if to != Disposition::Pending(entry.place) {
            self.replays.tried(entry.position());
        }
        let mut progress = entry.progress;
        if progress.blocking {
            progress.held_ms = self.held_ms(entry, now);
        }
        self.settling += 1;
        common.push_update(Update {
            delivery: entry.delivery,
            from: Some(entry.place),
            to,
            progress,
            attempt: finished.map(|f| f.record),
            at: now,
        });
    }

    fn held_ms(&self, entry: &Entry, now: Timestamp) -> u64 {
        let deadline = entry.lane.and_then(|key| self.lanes.get(&key)?.blocked).map(|b| b.deadline);
        deadline.map_or(entry.progress.held_ms, |deadline| {
            millis(self.policy.hold_max.saturating_sub(deadline.saturating_sub(self.clock(now))))
        })
    }
}
