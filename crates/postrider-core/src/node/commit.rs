//! Group commit: what waits becomes one group, and a durable group takes effect.

use std::collections::VecDeque;
use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::common::Owner;
use super::input::{Change, Effects, ReplayAsk, Reply, Wanted};
use super::outbox::Case;
use super::{FILTER_LOOKS, Node, RELEASED_AT_ONCE};
use crate::id::{Position, ShardNo};
use crate::operational::Kind;
use crate::publication::{Publication, Receipt, Refusal};
use crate::record::{
    Accepted, DeliveryRef, Edit, Group, KeyHash, LaneKey, Place, Progress, Reason, Start, TestRecord, Trigger,
};
use crate::shard::{Entry, Slot, lane_of};
use crate::tenant::OPERATOR;
use crate::time::Timestamp;

/// What is said while the store cannot write.
const NOT_WRITING: &str = "the store cannot write at the moment";
/// What is said when too much waits for a commit.
const INBOX_FULL: &str = "too many events wait to be stored";
/// The two ways in which keys can disagree.
const OTHER_BODY: &str = "the idempotency key or event id was used before with another body";
const TWO_EVENTS: &str = "the idempotency key and the event id belong to different events";

/// What a key is known to have been used for, as a store tells it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Known {
    /// The event's public id.
    pub id: String,
    /// How many deliveries it owed.
    pub deliveries: usize,
    /// The idempotency key and body hash that it came with.
    pub idempotency: Option<(KeyHash, KeyHash)>,
    /// The hash of its own id.
    pub own_id: Option<KeyHash>,
}

/// A call that publishes: answered when all its items are.
struct Call<R> {
    reply: R,
    answers: Vec<Option<Result<Receipt, Refusal>>>,
    open: usize,
}

/// An item of a call on its way into a group.
struct Item {
    call: u64,
    index: usize,
    publication: Publication,
}

/// What [`Node::begin`] took.
#[derive(Debug, PartialEq, Eq)]
pub struct Begun {
    /// Keys to look up, in the order in which [`Node::build`] wants the answers.
    pub keys: Vec<KeyHash>,
}

/// What waits for the next group, and the one in flight.
pub(super) struct Intake<R> {
    inbox: VecDeque<Item>,
    inbox_bytes: usize,
    calls: FxHashMap<u64, Call<R>>,
    next_call: u64,
    pub(super) edits: Vec<(Vec<Change>, R)>,
    pub(super) tests: Vec<(TestRecord, R)>,
    pub(super) retries: Vec<(Wanted, R)>,
    pub(super) replays: Vec<(ReplayAsk, R)>,
    /// Answered with [`Reply::Done`] when the next group is durable.
    pub(super) waiting: Vec<R>,
    taken: Vec<Item>,
    flight: Option<Flight<R>>,
    next: Position,
    number: u64,
    /// The store refuses to write: nothing more is taken in.
    failing: bool,
}

/// The group being committed.
struct Flight<R> {
    group: Arc<Group>,
    /// For each item: the index of the event that answers it.
    members: Vec<(u64, usize, usize)>,
    done: Vec<R>,
    tested: Vec<(Position, R)>,
    releases: Vec<(Owner, LaneKey, Position)>,
    arrivals: Vec<Entry>,
}

impl<R> Intake<R> {
    pub(super) fn new(committed: Position) -> Self {
        Self {
            inbox: VecDeque::new(),
            inbox_bytes: 0,
            calls: FxHashMap::default(),
            next_call: 0,
            edits: Vec::new(),
            tests: Vec::new(),
            retries: Vec::new(),
            replays: Vec::new(),
            waiting: Vec::new(),
            taken: Vec::new(),
            flight: None,
            next: committed.plus(1),
            number: 0,
            failing: false,
        }
    }

    /// When the group being committed was built, if there is one.
    pub(super) fn in_flight_since(&self) -> Option<Timestamp> {
        self.flight.as_ref().map(|f| f.group.at)
    }

    /// Updates in the group being committed.
    pub(super) fn undurable(&self) -> usize {
        self.flight.as_ref().map_or(0, |f| f.group.updates.len())
    }

    fn answer(
        &mut self,
        call: u64,
        index: usize,
        answer: Result<Receipt, Refusal>,
        effects: &mut Effects<R>,
    ) {
        let Some(open) = self.calls.get_mut(&call) else { return };
        if open.answers[index].replace(answer).is_none() {
            open.open -= 1;
        }
        if open.open == 0
            && let Some(call) = self.calls.remove(&call)
        {
            effects
                .replies
                .push((call.reply, Reply::Published(call.answers.into_iter().flatten().collect())));
        }
    }
}

impl<R> Node<R> {
    pub(super) fn publish(&mut self, items: Vec<Publication>, reply: R, effects: &mut Effects<R>) {
        let intake = &mut self.intake;
        let refusal = if intake.failing {
            Some(NOT_WRITING)
        } else if intake.inbox_bytes >= self.common.config.inbox_bytes {
            Some(INBOX_FULL)
        } else {
            None
        };
        if let Some(why) = refusal {
            effects.replies.push((reply, Reply::Overloaded(why)));
            return;
        }
        let call = intake.next_call;
        intake.next_call += 1;
        let open = items.len();
        for (index, publication) in items.into_iter().enumerate() {
            intake.inbox_bytes += publication.weight();
            intake.inbox.push_back(Item { call, index, publication });
        }
        if open == 0 {
            effects.replies.push((reply, Reply::Published(Vec::new())));
            return;
        }
        intake.calls.insert(call, Call { reply, answers: vec![None; open], open });
    }

    /// When a commit should begin at the latest; `None` if there is nothing to write or one is under way.
    pub fn commit_due(&self, now: Timestamp) -> Option<Timestamp> {
        let i = &self.intake;
        if i.flight.is_some() || !i.taken.is_empty() {
            return None;
        }
        let at_once = !i.inbox.is_empty()
            || !i.edits.is_empty()
            || !i.tests.is_empty()
            || !i.retries.is_empty()
            || !i.replays.is_empty()
            || !i.waiting.is_empty()
            || !self.common.arrivals.is_empty()
            || self.common.urgent_commit
            || self.common.updates.len() >= self.common.config.undurable_max / 2;
        if at_once {
            return Some(now);
        }
        let outcomes = self.common.first_update_at.map(|at| at + self.common.config.outcome_delay);
        [outcomes, self.common.replay_due].into_iter().flatten().min()
    }

    /// Takes what the next group is to hold. `None` if there is nothing.
    pub fn begin(&mut self, now: Timestamp) -> Option<Begun> {
        self.commit_due(now)?;
        let rows = self.common.config.group_rows.saturating_sub(self.common.updates.len()).max(1);
        let mut bytes = 0;
        while let Some(item) = self.intake.inbox.front() {
            let weight = item.publication.weight();
            let full = self.intake.taken.len() >= rows || bytes + weight > self.common.config.group_bytes;
            if full && !self.intake.taken.is_empty() {
                break;
            }
            bytes += weight;
            self.intake.inbox_bytes = self.intake.inbox_bytes.saturating_sub(weight);
            self.intake.taken.extend(self.intake.inbox.pop_front());
        }
        let keys = self.intake.taken.iter().flat_map(|item| keys_of(&item.publication)).flatten().collect();
        Some(Begun { keys })
    }

    /// Makes the group. `known` answers the keys of [`Begun`] one by one.
    pub fn build(&mut self, now: Timestamp, known: &[Option<Known>], effects: &mut Effects<R>) -> Arc<Group> {
        let first = self.intake.next;
        let mut done = std::mem::take(&mut self.intake.waiting);
        for (changes, reply) in std::mem::take(&mut self.intake.edits) {
            for change in changes {
                self.apply(change, now);
            }
            done.push(reply);
        }
        let (accepted, members) = self.accept_all(now, known, effects);
        for (wanted, reply) in std::mem::take(&mut self.intake.retries) {
            let rank = self.intake.next;
            let shard = &mut self.shards[usize::from(ShardNo::of(wanted.delivery.tenant).0)];
            match shard.retry(wanted, rank, now, &mut self.common) {
                Ok(true) => {
                    self.intake.next = rank.plus(1);
                    done.push(reply);
                }
                Ok(false) => effects.replies.push((reply, Reply::Done)),
                Err(why) => effects.replies.push((reply, Reply::Conflict(why))),
            }
        }
        for (ask, reply) in std::mem::take(&mut self.intake.replays) {
            match self.ask_for_replay(ask, now) {
                Ok(()) => done.push(reply),
                Err(why) => effects.replies.push((reply, Reply::Conflict(why))),
            }
        }
        self.let_go_replayed(now);
        let mut tests = Vec::new();
        let mut tested = Vec::new();
        for (mut record, reply) in std::mem::take(&mut self.intake.tests) {
            record.position = self.intake.next;
            self.intake.next = self.intake.next.plus(1);
            tested.push((record.position, reply));
            self.test_ended(&record, now);
            tests.push(record);
        }
        let at = now.max(self.common.latest_update).max(self.common.built_at);
        self.common.outbox.write(&mut self.intake.next, at, &mut self.common.edits);
        if self.intake.next == first {
            // Every group takes a position: its row is the marker by which an unknown result is settled.
            self.intake.next = first.plus(1);
        }
        self.intake.number += 1;
        self.common.built_at = at;
        self.common.building = self.intake.next;
        let group = Arc::new(Group {
            writer: self.common.config.writer,
            number: self.intake.number,
            at,
            first,
            last: Position(self.intake.next.0 - 1),
            edits: std::mem::take(&mut self.common.edits),
            accepted,
            updates: std::mem::take(&mut self.common.updates),
            tests,
        });
        self.common.first_update_at = None;
        self.common.urgent_commit = false;
        let releases = std::mem::take(&mut self.common.releases);
        let arrivals = std::mem::take(&mut self.common.arrivals);
        self.intake.flight = Some(Flight { group: group.clone(), members, done, tested, releases, arrivals });
        group
    }

    fn ask_for_replay(&mut self, ask: ReplayAsk, now: Timestamp) -> Result<(), &'static str> {
        let tenant = match &ask {
            ReplayAsk::Start(replay) => replay.tenant,
            ReplayAsk::Cancel { tenant, .. } => *tenant,
        };
        self.shards[usize::from(ShardNo::of(tenant).0)].ask_for_replay(ask, now, &mut self.common)
    }

    /// Lets go what replays have waiting for a group, endpoint by endpoint in turn.
    fn let_go_replayed(&mut self, now: Timestamp) {
        let mut room =
            self.common.config.group_rows.saturating_sub(self.common.updates.len()).min(RELEASED_AT_ONCE);
        for _ in 0..self.common.replaying.len() {
            if room == 0 {
                break;
            }
            let Some(owner) = self.common.replaying.pop_front() else { break };
            let shard = &mut self.shards[usize::from(ShardNo::of(owner.0).0)];
            shard.let_go_replayed(owner.1, &mut self.intake.next, &mut room, now, &mut self.common);
            self.poke(owner, now);
        }
        self.common.replay_due = (!self.common.replaying.is_empty()).then_some(now);
    }

    fn apply(&mut self, change: Change, now: Timestamp) {
        let common = &mut self.common;
        match (&change.edit, change.policy) {
            (Edit::PutEndpoint { no, tenant, .. }, Some(policy)) => {
                self.shards[usize::from(ShardNo::of(*tenant).0)]
                    .put_endpoint(*no, *tenant, policy, now, common);
                self.poke((*tenant, *no), now);
            }
            (Edit::PutVerification { no, tenant, .. }, Some(policy)) => {
                let shard = &mut self.shards[usize::from(ShardNo::of(*tenant).0)];
                if shard.slots.get(no).is_some_and(|slot| !slot.deleted) {
                    shard.put_endpoint(*no, *tenant, policy, now, common);
                    self.poke((*tenant, *no), now);
                }
            }
            (Edit::DeleteEndpoint { no }, _) => {
                // The edit does not name the tenant; numbers are unique over all shards.
                for shard in &mut self.shards {
                    if shard.slots.contains_key(no) {
                        shard.delete_endpoint(*no, now, common);
                    }
                }
            }
            (Edit::PutTenant { no, id, .. }, _) if **id == *OPERATOR => {
                common.outbox.operator = Some(*no);
            }
            (Edit::DeleteTenant { no }, _) => {
                let gone = self.shards[usize::from(ShardNo::of(*no).0)].delete_tenant(*no, now, common);
                self.common.edits.extend(gone.into_iter().map(|no| Edit::DeleteEndpoint { no }));
            }
            _ => {}
        }
        self.common.edits.push(change.edit);
    }

    /// Decides about every item that was taken: new, known, or in conflict.
    #[allow(clippy::type_complexity, reason = "the members of one group, used in one place")]
    fn accept_all(
        &mut self,
        now: Timestamp,
        known: &[Option<Known>],
        effects: &mut Effects<R>,
    ) -> (Vec<Accepted>, Vec<(u64, usize, usize)>) {
        let taken = std::mem::take(&mut self.intake.taken);
        let mut accepted: Vec<Accepted> = Vec::with_capacity(taken.len());
        let mut members = Vec::with_capacity(taken.len());
        let mut here: FxHashMap<KeyHash, usize> = FxHashMap::default();
        let mut known = known.iter();
        let (mut rows, mut looks) = (self.common.updates.len(), 0);
        let mut taken = taken.into_iter();
        while let Some(Item { call, index, publication }) = taken.next() {
            // What an event owes, and what it took to find out, is known only now: the rest waits for the next group.
            let full = rows >= self.common.config.group_rows || looks >= FILTER_LOOKS;
            if full && !accepted.is_empty() {
                let rest = std::iter::once(Item { call, index, publication }).chain(taken);
                for item in rest.collect::<Vec<_>>().into_iter().rev() {
                    self.intake.inbox_bytes += item.publication.weight();
                    self.intake.inbox.push_front(item);
                }
                break;
            }
            let keys = keys_of(&publication);
            let found = keys.map(|key| key.and_then(|_| known.next().and_then(Option::as_ref)));
            if let Some(answer) = judge(&publication, keys, found) {
                self.intake.answer(call, index, answer, effects);
                continue;
            }
            let twins = keys.map(|key| key.and_then(|key| here.get(&key).copied()));
            if let Some(twin) = twins[0].or(twins[1]) {
                let same = same_event(&publication, keys, accepted[twin].idempotency, accepted[twin].own_id);
                if same.is_ok() && (twins[0].is_none() || twins[1].is_none() || twins[0] == twins[1]) {
                    members.push((call, index, twin));
                } else {
                    self.intake.answer(
                        call,
                        index,
                        Err(Refusal::Conflict(same.err().unwrap_or(TWO_EVENTS))),
                        effects,
                    );
                }
                continue;
            }
            if !publication.unfit.is_empty() {
                self.common.counts.refused += 1;
                self.intake.answer(call, index, Err(Refusal::Unfit(publication.unfit)), effects);
                continue;
            }
            let position = self.intake.next;
            let shard = &mut self.shards[usize::from(ShardNo::of(publication.tenant).0)];
            let backlog_max = self.common.config.backlog_max;
            let event = match shard.accept(publication, position, now, backlog_max, &mut looks) {
                Ok(event) => event,
                Err(refusal) => {
                    self.common.counts.refused += 1;
                    self.intake.answer(call, index, Err(refusal), effects);
                    continue;
                }
            };
            for key in keys.into_iter().flatten() {
                here.insert(key, accepted.len());
            }
            self.intake.next = event.last_position().plus(1);
            self.common.counts.accepted += 1;
            self.common.counts.owed += event.deliveries.len() as u64;
            rows += 1 + event.deliveries.len();
            self.tell_skipped(&event, now);
            members.push((call, index, accepted.len()));
            accepted.push(event);
        }
        (accepted, members)
    }

    /// Tells of deliveries that an endpoint could not take because it owes too much.
    fn tell_skipped(&mut self, accepted: &Accepted, now: Timestamp) {
        for (i, owed) in (1..).zip(&accepted.deliveries) {
            if owed.start == Start::Skipped(Reason::BacklogFull) {
                let delivery = Some(accepted.event.position.plus(i));
                let case = Case { reason: Reason::BacklogFull.as_str(), delivery, replay: None };
                let owner = (accepted.event.tenant, owed.endpoint);
                self.common.happened(Kind::DeliverySkipped, owner, case, now);
            }
        }
    }

    fn test_ended(&mut self, record: &TestRecord, now: Timestamp) {
        if record.attempt.error.is_some() {
            return;
        }
        let shard = &mut self.shards[usize::from(ShardNo::of(record.tenant).0)];
        let Some(slot) = shard.slots.get_mut(&record.endpoint).filter(|s| !s.deleted) else { return };
        if slot.disabled.is_some() || slot.tripped() {
            slot.disabled = None;
            slot.drained = true;
            slot.recover("test_succeeded", now, &mut self.common);
        }
        self.poke((record.tenant, record.endpoint), now);
    }

    /// The group being committed is durable.
    pub fn committed(&mut self, now: Timestamp, effects: &mut Effects<R>) {
        let Some(flight) = self.intake.flight.take() else { return };
        self.intake.failing = false;
        let group = flight.group;
        self.common.committed = group.last;
        self.common.counts.groups += 1;
        for update in &group.updates {
            let tenant = update.delivery.tenant;
            let shard = &mut self.shards[usize::from(ShardNo::of(tenant).0)];
            shard.updated(update, group.last, now, &mut self.common);
        }
        for (owner, key, head) in flight.releases {
            let shard = &mut self.shards[usize::from(ShardNo::of(owner.0).0)];
            if let Some(slot) = shard.slots.get_mut(&owner.1) {
                slot.advance(key, head, &mut self.common);
            }
        }
        for accepted in &group.accepted {
            self.arrive(accepted, group.last, now);
        }
        for entry in flight.arrivals {
            let owner = (entry.delivery.tenant, entry.delivery.endpoint);
            let shard = &mut self.shards[usize::from(ShardNo::of(owner.0).0)];
            if entry.progress.trigger == Trigger::Replay {
                shard.arrive_replayed(entry, group.last, now, &mut self.common);
            } else {
                shard.arrive_by_hand(entry, now, &mut self.common);
            }
            self.poke(owner, now);
        }
        let mut touched: Vec<Owner> =
            group.updates.iter().map(|u| (u.delivery.tenant, u.delivery.endpoint)).collect();
        touched.extend(group.edits.iter().filter_map(|edit| match edit {
            Edit::PutEndpoint { no, tenant, .. } | Edit::PutVerification { no, tenant, .. } => {
                Some((*tenant, *no))
            }
            Edit::PutReplay { replay, .. } => Some((replay.tenant, replay.endpoint)),
            _ => None,
        }));
        let removed = group.edits.iter().filter_map(|edit| match edit {
            Edit::DeleteEndpoint { no } | Edit::PutHealth { no, .. } => Some(*no),
            _ => None,
        });
        for no in removed {
            touched.extend(self.shards.iter().find_map(|s| s.slots.get(&no)).map(|s| (s.tenant, no)));
        }
        touched.sort_unstable();
        touched.dedup();
        for owner in touched {
            self.poke(owner, now);
        }
        for (call, index, event) in flight.members {
            let accepted = &group.accepted[event];
            let owed = accepted.deliveries.iter().filter(|d| !matches!(d.start, Start::Skipped(_))).count();
            let receipt = Receipt { id: accepted.event.id(), deliveries: owed };
            self.intake.answer(call, index, Ok(receipt), effects);
        }
        effects.replies.extend(flight.done.into_iter().map(|reply| (reply, Reply::Done)));
        effects
            .replies
            .extend(flight.tested.into_iter().map(|(position, reply)| (reply, Reply::Tested(position))));
        self.tick(now);
        self.flush(now, effects);
    }

    fn arrive(&mut self, accepted: &Accepted, last: Position, now: Timestamp) {
        let event = &accepted.event;
        let shard = usize::from(ShardNo::of(event.tenant).0);
        for (n, owed) in accepted.deliveries.iter().enumerate() {
            let held = match owed.start {
                Start::Skipped(_) => continue,
                Start::Held(lane) => Some(lane),
                Start::Due => None,
            };
            let Some(slot) = self.shards[shard].slots.get_mut(&owed.endpoint) else { continue };
            let position = event.position.plus(1 + n as u64);
            let delivery = DeliveryRef {
                position,
                event: event.position,
                tenant: event.tenant,
                endpoint: owed.endpoint,
                sequence: owed.sequence,
            };
            let entry = Entry {
                delivery,
                event: event.clone(),
                place: held.map_or(Place::Due(position), Place::Held),
                progress: Progress::default(),
                lane: held.or_else(|| lane_of(event, slot.ordered)),
                gone: false,
            };
            Slot::arrive(slot, entry, held, last, now, &mut self.common);
            self.poke((event.tenant, owed.endpoint), now);
        }
    }

    /// The store cannot write the group now: whoever waits is told, and the group is committed again later, unchanged.
    pub fn commit_failing(&mut self, effects: &mut Effects<R>) {
        self.intake.failing = true;
        let calls: Vec<u64> = self.intake.calls.keys().copied().collect();
        for call in calls {
            if let Some(call) = self.intake.calls.remove(&call) {
                effects.replies.push((call.reply, Reply::Overloaded(NOT_WRITING)));
            }
        }
        self.intake.inbox.clear();
        self.intake.inbox_bytes = 0;
        let waiting = std::mem::take(&mut self.intake.edits).into_iter().map(|(_, reply)| reply);
        let waiting =
            waiting.chain(std::mem::take(&mut self.intake.retries).into_iter().map(|(_, reply)| reply));
        let waiting =
            waiting.chain(std::mem::take(&mut self.intake.replays).into_iter().map(|(_, reply)| reply));
        let waiting = waiting.chain(std::mem::take(&mut self.intake.waiting));
        effects.replies.extend(waiting.map(|reply| (reply, Reply::Overloaded(NOT_WRITING))));
        if let Some(flight) = &mut self.intake.flight {
            // Whoever asked for a change in the group itself waits on: memory has it already, and it will be durable.
            flight.members.clear();
        }
    }

    /// Whether nothing waits to be written.
    pub fn is_settled(&self) -> bool {
        let i = &self.intake;
        i.flight.is_none()
            && i.inbox.is_empty()
            && i.taken.is_empty()
            && self.common.updates.is_empty()
            && self.common.edits.is_empty()
            && self.common.outbox.is_written()
    }
}

/// The keys under which a publication may be known: its idempotency key, its own id.
fn keys_of(publication: &Publication) -> [Option<KeyHash>; 2] {
    let own = publication.own_id.as_deref().map(|id| KeyHash::own_id(publication.tenant, id));
    [publication.idempotency, own]
}

/// Whether a publication is the event that came with these keys.
fn same_event(
    publication: &Publication,
    keys: [Option<KeyHash>; 2],
    idempotency: Option<(KeyHash, KeyHash)>,
    own_id: Option<KeyHash>,
) -> Result<(), &'static str> {
    if keys[1].is_some() && keys[1] != own_id {
        return Err(TWO_EVENTS);
    }
    let (key, body) = idempotency.unzip();
    if keys[0].is_some() && keys[0] != key {
        return Err(TWO_EVENTS);
    }
    if publication.body != body { Err(OTHER_BODY) } else { Ok(()) }
}

/// The answer to a publication whose key or id was used before; `None` if it is new.
fn judge(
    publication: &Publication,
    keys: [Option<KeyHash>; 2],
    found: [Option<&Known>; 2],
) -> Option<Result<Receipt, Refusal>> {
    let first = found[0].or(found[1])?;
    if let [Some(a), Some(b)] = found
        && a.id != b.id
    {
        return Some(Err(Refusal::Conflict(TWO_EVENTS)));
    }
    Some(match same_event(publication, keys, first.idempotency, first.own_id) {
        Ok(()) => Ok(Receipt { id: first.id.clone(), deliveries: first.deliveries }),
        Err(why) => Err(Refusal::Conflict(why)),
    })
}
