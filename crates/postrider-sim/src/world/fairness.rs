//! Whether an endpoint that is ready gets its turn, however busy the others are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use postrider_core::id::EndpointNo;
use postrider_core::node::State;
use postrider_core::record::ErrorKind;
use postrider_core::time::Timestamp;

use super::{World, ms, runs};
use crate::guarantee::Guarantee;

/// Attempts that each other endpoint may start while one that is ready waits: three turns of theirs.
const STARTS: u64 = 3 * 8;
/// How long it takes at most until what is due is in memory: before that an endpoint is not ready.
const IN_MEMORY: Duration = ms(200);
/// How long it may take until a page that could not be read has been read.
const PAGE_AGAIN: Duration = ms(1_500);
/// Inputs between two looks.
const EVERY: u64 = 16;
/// Deliveries looked at for one that could go.
const LOOKED_AT: usize = 4;

/// See the module.
#[derive(Default)]
pub(super) struct Fairness {
    started: u64,
    looked: u64,
    /// Endpoints whose last attempt succeeded.
    healthy: BTreeSet<EndpointNo>,
    waiting: BTreeMap<EndpointNo, Wait>,
    page_failed: Option<Timestamp>,
}

/// Since when one could start, and how many had started when it was surely ready.
struct Wait {
    since: Timestamp,
    started: Option<u64>,
}

impl Fairness {
    pub(super) fn started(&mut self, no: EndpointNo) {
        self.started += 1;
        self.waiting.remove(&no);
    }

    pub(super) fn page_failed(&mut self, now: Timestamp) {
        self.page_failed = Some(now);
    }

    pub(super) fn ended(&mut self, no: EndpointNo, error: Option<ErrorKind>) {
        match error {
            None => self.healthy.insert(no),
            Some(_) => self.healthy.remove(&no),
        };
    }
}

impl World {
    /// Looks now and then; a start in between ends a wait.
    pub(super) fn check_fairness(&mut self) {
        if self.inputs < self.fairness.looked + EVERY {
            return;
        }
        self.fairness.looked = self.inputs;
        let others = self.policies.len().saturating_sub(1) as u64;
        let healthy: Vec<EndpointNo> = self.fairness.healthy.iter().copied().collect();
        for no in healthy {
            if !self.could_start(no) {
                self.fairness.waiting.remove(&no);
                continue;
            }
            let (now, started) = (self.now, self.fairness.started);
            let wait = self.fairness.waiting.entry(no).or_insert(Wait { since: now, started: None });
            if now.since(wait.since) < IN_MEMORY {
                continue;
            }
            let before = started - *wait.started.get_or_insert(started);
            if before > STARTS * others {
                let since = now.since(wait.since);
                let due = self.store.due(no).next().map(|row| row.delivery.position);
                let why = format!("{no:?} waits for {since:?} with {due:?}, {before} started");
                self.fail(Guarantee::Fairness, &why);
            }
        }
    }

    /// Whether nothing but its turn keeps an endpoint from starting.
    fn could_start(&self, no: EndpointNo) -> bool {
        let Some(policy) = self.policies.get(&no) else { return false };
        let pages_come = self.fairness.page_failed.is_none_or(|at| self.now.since(at) > PAGE_AGAIN);
        let store_works = self.habits.commit_fails == 0 && pages_come;
        if !runs(policy) || policy.per_second.is_some() || !store_works || self.node.own_fault() {
            return false;
        }
        let endpoint = &self.store.endpoints[&no];
        let left_alone = self.held_until(no) > self.now;
        let active = || self.node.standing(endpoint.tenant, no).is_some_and(|s| s.state == State::Active);
        if left_alone || self.airborne_to(no) > 0 || !active() {
            return false;
        }
        self.store.due(no).take(LOOKED_AT).any(|row| self.eligible(row, policy.ordered, self.now))
    }
}
