//! Attempts: what must hold when one starts, and how one ends.

use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::EndpointNo;
use postrider_core::node::Input;
use postrider_core::node::{Attempt, Effects, Finished, Reply, What};
use postrider_core::policy::Policy;
use postrider_core::publication::Refusal;
use postrider_core::record::{AttemptRecord, ErrorKind, Trigger};
use postrider_core::time::Timestamp;

use super::{Answer, Due, FOREVER, InFlight, World, runs, secs};
use crate::guarantee::Guarantee;
use crate::mutant::Mutant;
use crate::situation::Situation;

/// A receiver's `Retry-After` holds its endpoint for at most so long.
const WISH_MAX: Duration = secs(3_600);

impl World {
    pub(super) fn carry_out(&mut self, effects: Effects<u64>) {
        for (call, reply) in effects.replies {
            self.reply(call, reply);
        }
        for attempt in effects.attempts {
            self.start(attempt);
        }
        for load in effects.loads {
            self.loads += 1;
            self.note(|| format!("  load {:?} {:?} x{}", load.endpoint, load.what, load.entries));
            if load.entries == 0 && load.what != What::Count {
                self.fail(Guarantee::Alive, "a page of nothing");
            }
            let after = self.soon(self.habits.read_us);
            self.at(after, Due::Snapshot(load));
        }
        self.check();
        self.begin();
    }

    fn reply(&mut self, call: u64, reply: Reply) {
        self.note(|| format!("  reply {call}: {reply:?}"));
        if !self.open.remove(&call) {
            self.fail(Guarantee::Sense, "an answer to nobody, or a second one");
        }
        if let Reply::Published(answers) = &reply {
            for answer in answers {
                match answer {
                    Ok(receipt) if !self.store.ids.contains(&receipt.id) => {
                        self.fail(Guarantee::Durable, "acknowledged, and not durable");
                    }
                    Ok(receipt) if receipt.deliveries == 0 => self.saw(Situation::OwedToNobody),
                    Ok(_) => {}
                    Err(Refusal::Conflict(_)) => self.saw(Situation::KeyConflict),
                    Err(Refusal::OverQuota { .. }) => self.saw(Situation::QuotaUsedUp),
                    Err(_) => {}
                }
            }
        }
        self.replies.insert(call, reply);
    }

    fn start(&mut self, attempt: Attempt) {
        let delivery = attempt.delivery;
        let (position, no) = (delivery.position, delivery.endpoint);
        let place = self.store.rows.get(&position).map(|row| row.place);
        self.note(|| {
            format!(
                "  start {position:?} -> {no:?} n{} run {} {:?} key {:?} at {place:?}",
                attempt.number, attempt.run, attempt.trigger, attempt.event.key
            )
        });
        let Some(row) = self.store.rows.get(&position) else {
            self.fail(Guarantee::NotBeforeDurable, "attempted before it is durable")
        };
        if !row.pending() {
            self.fail(Guarantee::Once, &format!("attempted after it ended as {:?}", row.status));
        }
        if !self.airborne.insert(position) {
            self.fail(Guarantee::Once, "two attempts of one delivery at once");
        }
        let row = &self.store.rows[&position];
        let known = self.known.get(&position).cloned().unwrap_or_default();
        if attempt.number != known.attempts + 1 {
            self.fail(Guarantee::Once, &format!("attempt {} after {}", attempt.number, known.attempts));
        }
        if known.succeeded_run == Some(attempt.run) {
            self.fail(Guarantee::Once, "attempted after its success");
        }
        if attempt.run != row.progress.run {
            self.fail(Guarantee::NotBeforeDurable, &format!("run {} of {:?}", attempt.run, row.progress));
        }
        if *attempt.event != *row.event {
            self.fail(Guarantee::Once, "the event of another delivery");
        }
        self.check_order(&attempt);
        self.check_wishes(&attempt);
        self.check_limits(no, attempt.trigger);
        self.starts.push((self.now, attempt.clone()));
        self.fairness.started(no);
        let answer = self.answer(&attempt);
        self.serial += 1;
        let id = self.serial;
        let after = answer.after;
        self.flying.insert(id, InFlight { attempt, answer, started: self.now });
        if after < FOREVER {
            self.at(after, Due::Finish(id));
        }
    }

    fn check_wishes(&mut self, attempt: &Attempt) {
        let no = attempt.delivery.endpoint;
        if !runs(&self.policies[&no]) {
            self.fail(Guarantee::Wishes, "attempted while paused or unverified");
        }
        if attempt.endpoint_version != self.policies[&no].version {
            self.fail(Guarantee::Wishes, "attempted as another version of its endpoint asks for");
        }
        if attempt.endpoint_version != self.policies[&no].version {
            self.fail(Guarantee::Wishes, "attempted as another version of its endpoint asks for");
        }
        if self.store.endpoints[&no].deleted {
            self.fail(Guarantee::Wishes, "attempted after its endpoint was removed");
        }
        if attempt.event.has_expired(self.now) {
            self.fail(Guarantee::Wishes, "attempted after it expired");
        }
        let held = self.wishes.get(&no).is_some_and(|until| *until > self.now);
        // Who asks by hand passes over it.
        if held && attempt.trigger != Trigger::Retry {
            self.fail(Guarantee::Wishes, "attempted while its receiver asked to be left alone");
        }
    }

    /// Attempts under way to an endpoint.
    pub(super) fn airborne_to(&self, no: EndpointNo) -> usize {
        self.flying.values().filter(|f| f.attempt.delivery.endpoint == no).count()
    }

    fn check_limits(&mut self, no: EndpointNo, trigger: Trigger) {
        let Policy { max_in_flight, per_second, .. } = self.policies[&no];
        let probes = |f: &&InFlight| f.attempt.trigger == Trigger::Probe && f.attempt.delivery.endpoint == no;
        if trigger == Trigger::Probe && self.flying.values().any(|f| probes(&f)) {
            self.fail(Guarantee::Limits, &format!("two probes of {no:?} at once"));
        }
        let at_once = self.airborne_to(no) + 1;
        if at_once > max_in_flight as usize {
            self.fail(Guarantee::Limits, &format!("{at_once} at once to {no:?}"));
        }
        if self.flying.len() + 1 > self.config.max_in_flight {
            self.fail(Guarantee::Limits, "too many at once on the node");
        }
        if self.flying.len() + 1 == self.config.max_in_flight {
            self.saw(Situation::PlacesFull);
        }
        let Some(limit) = per_second else { return };
        let now = self.now;
        let starts = self.paced.entry(no).or_default();
        while starts.front().is_some_and(|at| now.since(*at) >= secs(1)) {
            starts.pop_front();
        }
        starts.push_back(now);
        let within = starts.len();
        if within > limit as usize {
            self.fail(Guarantee::Limits, &format!("{within} starts within a second, {limit} allowed"));
        }
    }

    fn check_order(&self, attempt: &Attempt) {
        let no = attempt.delivery.endpoint;
        if !self.policies[&no].ordered {
            return;
        }
        let row = &self.store.rows[&attempt.delivery.position];
        let since = self.ordered_since.get(&no).copied().unwrap_or_default();
        let Some(lane) = row.lane else { return };
        if row.progress.overtaken || row.order < since {
            return;
        }
        for flying in self.flying.values() {
            let other = &self.store.rows[&flying.attempt.delivery.position];
            if other.delivery.endpoint == no
                && other.lane == Some(lane)
                && !other.progress.overtaken
                && other.order >= since
            {
                let why = format!("two of one key at once: {:?} is under way", other.delivery.position);
                self.fail(Guarantee::Order, &why);
            }
        }
        for position in self.store.lanes.get(&(no, lane)).into_iter().flatten() {
            if *position >= row.delivery.position {
                break;
            }
            let other = &self.store.rows[position];
            if !other.progress.overtaken
                && other.order >= since
                && other.order < row.order
                // A later run takes its turn anywhere behind the lane's head.
                && other.progress.run == 0
            {
                let why = format!("{position:?} of the same key is still owed ({:?})", other.place);
                self.fail(Guarantee::Order, &why);
            }
        }
    }

    /// Ends an attempt now.
    pub fn finish(&mut self, id: u64) {
        let Some(flying) = self.flying.remove(&id) else { return };
        let InFlight { attempt, answer, started } = flying;
        let (position, no) = (attempt.delivery.position, attempt.delivery.endpoint);
        self.airborne.remove(&position);
        self.note(|| format!("end {position:?} of {no:?}: {:?} {:?}", answer.error, answer.status));
        if answer.error != Some(ErrorKind::Local) {
            let known = self.known.entry(position).or_default();
            known.attempts += 1;
            if answer.error.is_none() {
                known.succeeded_run = Some(attempt.run);
                self.failures.entry(no).or_default().0 = 0;
                self.wishes.remove(&no);
            } else {
                let (failures, most) = self.failures.entry(no).or_default();
                *failures += 1;
                *most = (*failures).max(*most);
            }
            if let Some(wait) = answer.retry_after.filter(|_| answer.error.is_some()) {
                self.saw(Situation::RetryAfter);
                let until = self.now + wait.min(WISH_MAX);
                for wishes in [&mut self.retry_after, &mut self.wishes] {
                    let held = wishes.entry(no).or_default();
                    *held = until.max(*held);
                }
            }
        }
        self.fairness.ended(no, answer.error);
        self.saw_end(&attempt, &answer);
        if self.has(Mutant::OutcomeLost) && self.rng.chance(20) {
            return;
        }
        let finished = Finished {
            delivery: attempt.delivery,
            record: record(&attempt, &self.told(&answer), started, self.now),
            retry_after: answer.retry_after.filter(|_| !self.has(Mutant::RetryAfterDropped)),
            directive: answer.directive,
        };
        self.input(Input::Finished(Box::new(finished)));
    }

    /// The answer as the node is told of it.
    fn told(&self, answer: &Answer) -> Answer {
        let blamed = self.has(Mutant::OwnFaultBlamed) && answer.error == Some(ErrorKind::Local);
        if blamed { Answer::error(ErrorKind::Connect) } else { answer.clone() }
    }

    fn saw_end(&mut self, attempt: &Attempt, answer: &Answer) {
        let error = answer.error;
        match (attempt.trigger, error) {
            (_, Some(ErrorKind::Local)) => {}
            (Trigger::Probe, None) => self.saw(Situation::ProbeSucceeded),
            (Trigger::Probe, Some(_)) => self.saw(Situation::ProbeFailed),
            _ => {}
        }
        if error == Some(ErrorKind::Timeout) {
            self.saw(Situation::Hang);
        }
        if answer.status == Some(410) {
            self.saw(Situation::Gone);
        }
        if answer.directive.is_some() {
            self.saw(Situation::AbortedByReceiver);
        }
        if error == Some(ErrorKind::Local) && self.habits.network_down {
            self.saw(Situation::OwnNetworkDead);
        }
    }
}

/// The record of an attempt that ended as it did.
pub(super) fn record(
    attempt: &Attempt,
    answer: &Answer,
    started: Timestamp,
    now: Timestamp,
) -> AttemptRecord {
    AttemptRecord {
        number: attempt.number,
        run: attempt.run,
        trigger: attempt.trigger,
        started_at: started,
        duration: now.since(started),
        status_code: answer.status,
        error: answer.error.map(|kind| (kind, kind.as_str().into())),
        remote_address: None,
        endpoint_version: 1,
        signed_at: started.as_secs(),
        response_headers: Vec::new(),
        response_body: Bytes::new(),
    }
}
