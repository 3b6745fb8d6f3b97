//! Starting attempts: which delivery of an endpoint is next, and whether one may leave now.

use super::outcome::NEAR;
use super::slot::{Entry, Slot};
use super::{Flight, Shard};
use crate::id::EndpointNo;
use crate::mutation::{self, Mutation};
use crate::node::Attempt;
use crate::node::common::Common;
use crate::record::{Reason, Status, Trigger};
use crate::time::Timestamp;

/// Whether an endpoint can start an attempt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Readiness {
    Now,
    /// Not before.
    At(Timestamp),
    /// Something has to happen first.
    Idle,
}

impl Slot {
    pub(crate) fn readiness(&self, now: Timestamp) -> Readiness {
        let full = self.in_flight >= self.concurrency.limit(self.policy.max_in_flight);
        if !self.running() || (full && !mutation::has(Mutation::PlacesUnlimited)) {
            return Readiness::Idle;
        }
        let mut at = Timestamp::EPOCH;
        if self.urgent.is_empty() {
            let due = if !self.fresh.is_empty() {
                Timestamp::EPOCH
            } else if let Some(((due, _), _)) = self.retries.first_key_value() {
                *due
            } else {
                return self.waits_for_probe(now);
            };
            at = if self.tripped() {
                match self.next_probe() {
                    Some(probe) => probe,
                    None => return Readiness::Idle,
                }
            } else {
                due.max(self.hold_until)
            };
        }
        if let Some(pacer) = &self.pacer {
            at = at.max(pacer.ready_at());
        }
        if at <= now { Readiness::Now } else { Readiness::At(at) }
    }

    /// With nothing in memory, a tripped endpoint wakes for its probe, to page a candidate in.
    fn waits_for_probe(&self, now: Timestamp) -> Readiness {
        match self.next_probe() {
            Some(at) if self.has_stored() && at > now => Readiness::At(at),
            _ => Readiness::Idle,
        }
    }

    /// When it has to be looked at again, whatever its readiness: for retries to page in, and lanes to let pass.
    pub(crate) fn next_duty(&self, now: Timestamp) -> Option<Timestamp> {
        let retry = self.stored_retry.filter(|_| self.running() && !self.tripped() && !self.loading.retries);
        let retry = retry.map(|at| at - NEAR / 2).filter(|at| *at > now);
        let hold = self.holds.first().and_then(|(deadline, _)| self.clock_time(*deadline, now));
        // Nothing is paged in while the receiver asked to be left alone.
        let again = self.hold_until - NEAR / 2;
        let again = (again > now && self.running() && self.has_stored()).then_some(again);
        [retry, hold, again].into_iter().flatten().min()
    }

    /// Takes the next delivery to attempt; the caller made sure that one may leave.
    fn take_next(&mut self, now: Timestamp) -> Option<(Entry, Trigger)> {
        if let Some(entry) = self.urgent.pop_front() {
            return Some((entry, Trigger::Retry));
        }
        let probe = self.tripped();
        let retry_due = self.retries.first_key_value().is_some_and(|((due, _), _)| *due <= now || probe);
        let retry_first = retry_due && (self.retry_turn || self.fresh.is_empty());
        self.retry_turn = !retry_first;
        let entry = if retry_first {
            self.retries.pop_first().map(|(_, entry)| entry)
        } else {
            self.fresh.pop_front()
        }?;
        let trigger = if probe { Trigger::Probe } else { entry.progress.trigger };
        Some((entry, trigger))
    }

    /// Ends what is next instead of attempting it: nobody wants it any more.
    fn expire(&mut self, entry: Entry, now: Timestamp, common: &mut Common) {
        if let Some(key) = entry.lane {
            self.stop_hold(key);
        }
        self.end(entry, None, Status::Cancelled, Some(Reason::Expired), now, common);
    }

    fn start(&mut self, now: Timestamp, common: &mut Common) -> Option<(Entry, Attempt)> {
        let (entry, trigger) = self.take_next(now)?;
        if entry.event.has_expired(now) && !mutation::has(Mutation::ExpiredSent) {
            self.expire(entry, now, common);
            return None;
        }
        if trigger == Trigger::Probe && !mutation::has(Mutation::ProbesAtOnce) {
            self.breaker.probe_started();
        }
        if let Some(pacer) = self.pacer.as_mut().filter(|_| !mutation::has(Mutation::PaceForgotten)) {
            pacer.started(now);
        }
        if let Some(key) = entry.lane {
            self.stop_hold(key);
        }
        self.in_flight += 1;
        common.in_flight += 1;
        if !self.proven {
            common.unproven_in_flight += 1;
        }
        let attempt = Attempt {
            delivery: entry.delivery,
            event: entry.event.clone(),
            number: entry.progress.attempts + 1,
            run: entry.progress.run,
            trigger,
            endpoint_version: self.policy.version,
        };
        Some((entry, attempt))
    }
}

impl Shard {
    /// Starts the next attempt of an endpoint that is ready.
    pub(crate) fn start(&mut self, no: EndpointNo, now: Timestamp, common: &mut Common) {
        let Some(slot) = self.slots.get_mut(&no) else { return };
        let unproven = !slot.proven;
        if let Some((entry, attempt)) = slot.start(now, common) {
            self.flights.insert(entry.delivery.position, Flight { entry, unproven });
            common.attempts.push(attempt);
        }
    }
}
