//! Groups on their way into the store, and what a crash leaves of them.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use postrider_core::id::{EndpointNo, Position};
use postrider_core::node::{Effects, Input, Node, State};
use postrider_core::policy::Policy;
use postrider_core::record::{Edit, Group, Health, KeyHash};
use postrider_core::time::Timestamp;

use super::{Due, Held, Known, World, ms};
use crate::guarantee::Guarantee;
use crate::mutant::Mutant;
use crate::situation::Situation;

/// How long until a group that could not be committed is tried again.
const AGAIN: Duration = ms(200);
/// Failures of an endpoint since its last success without which no breaker trips.
const FAILURES_TO_TRIP: u32 = 5;

impl World {
    pub(super) fn begin(&mut self) {
        if self.committing || self.node.commit_due(self.now).is_none_or(|due| due > self.now) {
            return;
        }
        self.inputs += 1;
        let Some(begun) = self.node.begin(self.now) else {
            self.fail(Guarantee::Alive, "nothing to begin though a commit is due")
        };
        self.committing = true;
        self.commit_begun = self.now;
        if begun.keys.is_empty() {
            self.build(&[]);
        } else {
            let after = self.soon(self.habits.commit_us);
            self.at(after, Due::Build(begun.keys));
        }
    }

    pub(super) fn build(&mut self, keys: &[KeyHash]) {
        let mut known = self.store.find_keys(keys);
        if self.has(Mutant::KeyNotFound) {
            known.iter_mut().for_each(|known| *known = None);
        }
        if known.iter().any(Option::is_some) {
            self.saw(Situation::KnownKey);
        }
        let mut effects = Effects::default();
        self.inputs += 1;
        let group = self.node.build(self.now, &known, &mut effects);
        self.note(|| {
            format!(
                "  group {:?}-{:?}: {} accepted, {:?}, {:?}",
                group.first,
                group.last,
                group.accepted.len(),
                group.edits.iter().filter(|e| matches!(e, Edit::PutHealth { .. })).collect::<Vec<_>>(),
                group.updates.iter().map(|u| (u.delivery.position.0, u.from, u.to)).collect::<Vec<_>>()
            )
        });
        for edit in &group.edits {
            match edit {
                Edit::PutEndpoint { no, version, .. } => self.policy_in_force(*no, *version, group.first),
                Edit::PutHealth { no, health } => self.check_health(*no, health),
                _ => {}
            }
        }
        self.failures.values_mut().for_each(|(failures, most)| *most = *failures);
        self.writing = Some(group.clone());
        self.groups.push(group.clone());
        let after = self.soon(self.habits.commit_us);
        if self.has(Mutant::AcknowledgedEarly) {
            self.at(Duration::ZERO, Due::Committed);
        }
        self.at(after, Due::Write(group));
        self.carry_out(effects);
    }

    fn policy_in_force(&mut self, no: EndpointNo, version: u32, first: Position) {
        let policy = self.store.policies[&(no, version)].clone();
        let flying = self.airborne_to(no) > 0;
        let old = self.policies.insert(no, policy.clone());
        if !policy.ordered {
            self.ordered_since.remove(&no);
        } else if old.as_ref().is_none_or(|o| !o.ordered) {
            self.ordered_since.insert(no, first);
        }
        if old.as_ref().is_none_or(|o| o.per_second != policy.per_second) {
            self.paced.remove(&no);
        }
        let Some(old) = old else { return };
        if old.target != policy.target {
            self.wishes.remove(&no);
        }
        let owes = self.store.pending.get(&no).is_some_and(|pending| pending.len() > 4);
        if flying {
            self.saw(Situation::EditInFlight);
        }
        if owes && old.ordered != policy.ordered {
            self.saw(Situation::OrderingSwitched);
        }
        if owes && old.enabled && !policy.enabled {
            self.saw(Situation::PausedWithBacklog);
        }
    }

    pub(super) fn write(&mut self, group: Arc<Group>) {
        if self.rng.chance(self.habits.commit_fails) {
            let known = !self.rng.chance(self.habits.commit_unknown);
            let there = !known && self.rng.chance(500);
            self.note(|| format!("  the commit fails: known {known}, there {there}"));
            if known {
                self.saw(Situation::CommitFailed);
                self.at(AGAIN, Due::Write(group));
            } else if there {
                // The result is unknown, and it turns out that the group is in.
                self.saw(Situation::CommitUnknownThere);
                self.apply(&group);
                if self.has(Mutant::CommittedTwice) {
                    self.at(AGAIN, Due::Write(group));
                } else {
                    self.at(AGAIN, Due::Committed);
                }
            } else {
                self.saw(Situation::CommitUnknownLost);
                if self.has(Mutant::UnknownTakenForDone) {
                    self.at(AGAIN, Due::Committed);
                } else {
                    self.at(AGAIN, Due::Write(group));
                }
            }
            let mut effects = Effects::default();
            self.inputs += 1;
            self.node.commit_failing(&mut effects);
            self.carry_out(effects);
            return;
        }
        self.apply(&group);
        if !self.has(Mutant::AcknowledgedEarly) {
            let after = self.soon(self.habits.commit_us / 2);
            self.at(after, Due::Committed);
        }
    }

    fn apply(&mut self, group: &Arc<Group>) {
        self.check_overtaken(group);
        if self.has(Mutant::UpdateLost) && group.updates.len() > 1 {
            let updates = group.updates[1..].to_vec();
            let group = Arc::new(Group { updates, ..(**group).clone() });
            self.store_it(&group);
        } else {
            self.store_it(group);
        }
        self.writing = None;
        self.check_applied(group);
    }

    fn store_it(&mut self, group: &Arc<Group>) {
        if let Err((guarantee, why)) = self.store.apply(group) {
            self.fail(guarantee, &why);
        }
    }

    pub(super) fn committed(&mut self) {
        self.note(|| "  committed".to_owned());
        self.committing = false;
        self.longest_commit = self.longest_commit.max(self.now.since(self.commit_begun));
        let mut effects = Effects::default();
        self.inputs += 1;
        self.node.committed(self.now, &mut effects);
        self.carry_out(effects);
    }

    /// A breaker trips, and an endpoint gives up, for what its receiver did.
    fn check_health(&mut self, no: EndpointNo, health: &Health) {
        let failures = self.failures.get(&no).map_or(0, |(_, most)| *most);
        let before = self.store.endpoints.get(&no).map(|endpoint| &endpoint.health);
        let tripped = health.tripped_at.is_some() && before.is_none_or(|h| h.tripped_at.is_none());
        let disabled = health.disabled.is_some() && before.is_none_or(|h| h.disabled.is_none());
        if tripped && failures < FAILURES_TO_TRIP {
            self.fail(Guarantee::OwnFaults, &format!("{no:?} trips after {failures} failures of its own"));
        }
        if disabled && failures == 0 {
            self.fail(Guarantee::OwnFaults, &format!("{no:?} gives up and has not failed"));
        }
        if tripped {
            self.saw(Situation::Tripped);
        }
    }

    /// The process dies, and starts again at once with what is durable.
    pub fn crash(&mut self) {
        self.crash_at(self.now + ms(1));
    }

    /// The process dies, and starts again with a clock that shows this.
    pub fn crash_at(&mut self, now: Timestamp) {
        self.note(|| format!("CRASH, until {}", now.as_micros()));
        self.saw_crash(now);
        if let Some(group) = self.writing.take()
            && self.rng.chance(500)
        {
            self.apply(&group);
        }
        self.writing = None;
        self.committing = false;
        self.crashes += 1;
        self.agenda.clear();
        self.flying.clear();
        self.airborne.clear();
        self.wishes.clear();
        self.fairness = super::Fairness::default();
        self.crashed_calls.append(&mut self.open);
        self.known = self
            .store
            .rows
            .iter()
            .map(|(position, row)| {
                let known = Known { attempts: row.progress.attempts, succeeded_run: None };
                (*position, known)
            })
            .collect();
        self.holding = self.held_before();
        if now < self.now {
            // What was asked for by the old clock means nothing by the new one.
            self.paced.clear();
            self.retry_after.clear();
        }
        self.now = now;
        self.config.writer += 1;
        let back = u64::from(self.has(Mutant::PositionsAgain));
        self.node =
            Node::new(self.config.clone(), Position(self.store.committed.0.saturating_sub(back)), now);
        self.node.set_last_commit(self.store.at);
        for (tenant, quotas) in &self.quotas {
            self.node.set_quotas(*tenant, *quotas, now);
        }
        self.telling = None;
        if let Some(operator) = self.operator {
            self.tell(operator);
        }
        self.restore();
        self.input(Input::Tick);
    }

    /// How long what blocks a key has done so, as far as that is durable.
    fn held_before(&self) -> BTreeMap<Position, Held> {
        let held = |position| {
            let held = ms(self.store.rows[position].progress.held_ms);
            (*position, Held { surely: held, perhaps: held })
        };
        self.store.blocking.iter().map(held).collect()
    }

    fn restore(&mut self) {
        self.policies.clear();
        for mut restored in self.store.recover() {
            self.policies.insert(restored.no, restored.policy.clone());
            if let Some(mutant) = self.mutant {
                mutant.spoil_start(&mut restored, &self.store);
            }
            self.node.restore(restored, self.now);
        }
        let stored: Vec<(EndpointNo, bool)> = self.policies.iter().map(|(no, p)| (*no, p.ordered)).collect();
        for (no, ordered) in stored {
            if !ordered {
                self.ordered_since.remove(&no);
            } else {
                self.ordered_since.entry(no).or_insert(self.store.committed.plus(1));
            }
        }
        for (no, endpoint) in self.store.endpoints.iter().filter(|(_, endpoint)| !endpoint.deleted) {
            let state = self.node.standing(endpoint.tenant, *no).map(|standing| standing.state);
            let disabled = endpoint.health.disabled.is_some();
            let tripped = endpoint.health.tripped_at.is_some();
            let as_before = match state {
                Some(State::Disabled { .. }) => disabled,
                Some(State::Tripped { .. }) => !disabled && tripped,
                Some(State::Active) => !disabled && !tripped,
                Some(State::Paused | State::Unverified) => !disabled,
                None => false,
            };
            if !as_before {
                self.fail(Guarantee::Verdict, &format!("{no:?} was {:?}, it is {state:?}", endpoint.health));
            }
        }
    }

    fn saw_crash(&mut self, now: Timestamp) {
        if self.writing.is_some() {
            self.saw(Situation::CrashWhileCommitting);
        }
        if !self.flying.is_empty() {
            self.saw(Situation::CrashInFlight);
        }
        if self.store.endpoints.values().any(|e| !e.deleted && e.health.tripped_at.is_some()) {
            self.saw(Situation::CrashWhileTripped);
        }
        if !self.store.blocking.is_empty() {
            self.saw(Situation::CrashWhileKeyHeld);
        }
        if self.policies.keys().any(|no| !self.store.running_replays(*no).is_empty()) {
            self.saw(Situation::ReplayThroughCrash);
        }
        if now < self.now {
            self.saw(Situation::ClockBack);
        } else if now.since(self.now) > super::secs(60) {
            self.saw(Situation::ClockForward);
        }
    }

    /// The policy that is stored of an endpoint, if it was not removed.
    pub fn stored_policy(&self, no: EndpointNo) -> Option<&Policy> {
        let endpoint = self.store.endpoints.get(&no).filter(|endpoint| !endpoint.deleted)?;
        self.store.policies.get(&(no, endpoint.version))
    }
}
