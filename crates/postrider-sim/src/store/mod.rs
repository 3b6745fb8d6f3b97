//! A model of the store: what is pending, in which order, and what became of it. It refuses what a real one would corrupt itself with.

mod read;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::node::Known;
use postrider_core::policy::Policy;
use postrider_core::record::{
    DeliveryRef, Disposition, Edit, ErrorKind, Event, Group, Health, KeyHash, LaneKey, Place, Progress,
    Reason, Start, Status, Trigger, Update,
};
use postrider_core::replay::{Replay, ReplayProgress, ReplayState};
use postrider_core::time::Timestamp;

use crate::guarantee::Guarantee;

/// What is wrong with a group.
pub type Wrong = (Guarantee, String);

fn wrong<T>(guarantee: Guarantee, why: String) -> Result<T, Wrong> {
    Err((guarantee, why))
}

/// A delivery.
pub struct Row {
    /// Which.
    pub delivery: DeliveryRef,
    /// Its event.
    pub event: Arc<Event>,
    /// Its verdict, or that it is pending.
    pub status: Status,
    /// Why it ended so.
    pub reason: Option<Reason>,
    /// Where it is pending, or was last.
    pub place: Place,
    /// How far it has come.
    pub progress: Progress,
    /// The lane of its event's key.
    pub lane: Option<LaneKey>,
    /// Its turn in its lane: acceptance, or the start of a later run.
    pub order: Position,
    /// Of each recorded attempt its run, and what brought it about.
    pub triggers: Vec<(u16, Trigger)>,
    /// When its last run began: acceptance for the first.
    pub begun_at: Timestamp,
    /// When it ended last.
    pub ended_at: Timestamp,
    /// How often replays let it go.
    pub replayed: u32,
}

impl Row {
    /// Whether it is owed.
    pub fn pending(&self) -> bool {
        self.status == Status::Pending
    }
}

/// An endpoint.
pub struct Endpoint {
    /// Whose.
    pub tenant: TenantNo,
    /// The version in force.
    pub version: u32,
    /// It was removed.
    pub deleted: bool,
    /// Its health as recorded.
    pub health: Health,
    /// The last sequence number given.
    pub last_sequence: u64,
}

/// Class (due, retry, held), then rank, time or lane, then position.
type PlaceKey = (u8, u64, Position);

fn place_key(place: Place, position: Position) -> PlaceKey {
    match place {
        Place::Due(rank) => (0, rank.0, position),
        Place::Retry(at) => (1, u64::try_from(at.as_micros()).unwrap_or(0), position),
        Place::Held(lane) => (2, lane.0, position),
    }
}

/// See the module.
#[derive(Default)]
pub struct Store {
    /// Deliveries.
    pub rows: BTreeMap<Position, Row>,
    /// Events in order of acceptance.
    pub events: Vec<Arc<Event>>,
    /// Groups in the order in which they became durable.
    pub groups: Vec<Arc<Group>>,
    /// What is pending.
    pub pending: BTreeMap<EndpointNo, BTreeSet<Position>>,
    /// What is pending by where it is kept, in the order of pages.
    places: BTreeMap<EndpointNo, BTreeSet<PlaceKey>>,
    /// What is pending by its key.
    pub lanes: BTreeMap<(EndpointNo, LaneKey), BTreeSet<Position>>,
    /// What stands in its key's way.
    pub blocking: BTreeSet<Position>,
    /// Endpoints, removed ones too.
    pub endpoints: BTreeMap<EndpointNo, Endpoint>,
    /// What keys were used for.
    pub keys: BTreeMap<KeyHash, Known>,
    /// Public ids of events.
    pub ids: BTreeSet<String>,
    /// The last position taken.
    pub committed: Position,
    /// The marker of the last group.
    pub number: (u64, u64),
    /// Replays by their ids.
    pub replays: BTreeMap<Box<str>, (Arc<Replay>, ReplayProgress)>,
    /// What the operator is still to be told, by when it is due and its place.
    pub notices: BTreeMap<(Timestamp, Position), Bytes>,
    /// When the last group was built.
    pub at: Timestamp,
    /// Every policy that was ever put, by endpoint and version: what a real store has as a document.
    pub policies: BTreeMap<(EndpointNo, u32), Policy>,
}

impl Store {
    /// Applies a group.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn apply(&mut self, group: &Arc<Group>) -> Result<(), Wrong> {
        if group.first.0 != self.committed.0 + 1 || group.last < group.first {
            return wrong(
                Guarantee::Sense,
                format!("group {:?}-{:?} after {:?}", group.first, group.last, self.committed),
            );
        }
        let done = |store: &Self| store.replays.values().map(|(_, progress)| progress.done).sum::<u64>();
        let done_before = done(self);
        for edit in &group.edits {
            if let Edit::PutNotice { due, position, .. } = edit
                && *position < group.first
                && (*due <= group.at || !self.notices.contains_key(&(*due, *position)))
            {
                return wrong(
                    Guarantee::Told,
                    format!("the notice at {position:?} changes after it was due"),
                );
            }
            self.edit(edit)?;
        }
        let let_go =
            group.updates.iter().filter(|u| u.from.is_none() && u.progress.trigger == Trigger::Replay);
        if done(self) - done_before != let_go.count() as u64 {
            return wrong(
                Guarantee::Replays,
                "replays let go what they do not tell of, or tell of what they did not let go".into(),
            );
        }
        let mut next = group.first;
        for accepted in &group.accepted {
            if accepted.event.position != next {
                return wrong(
                    Guarantee::Sense,
                    format!("event at {:?}, expected {next:?}", accepted.event.position),
                );
            }
            next = accepted.last_position().plus(1);
            self.events.push(accepted.event.clone());
            let mut owed_count = 0;
            for (n, owed) in accepted.deliveries.iter().enumerate() {
                let endpoint = self
                    .endpoints
                    .get_mut(&owed.endpoint)
                    .ok_or_else(|| (Guarantee::Sense, "delivery to an unknown endpoint".to_owned()))?;
                if endpoint.deleted || owed.sequence != endpoint.last_sequence + 1 {
                    return wrong(
                        Guarantee::Sequence,
                        format!(
                            "{:?}: sequence {} after {}",
                            owed.endpoint, owed.sequence, endpoint.last_sequence
                        ),
                    );
                }
                endpoint.last_sequence = owed.sequence;
                let position = accepted.event.position.plus(1 + n as u64);
                let (status, reason, place) = match owed.start {
                    Start::Due => (Status::Pending, None, Place::Due(position)),
                    Start::Held(lane) => (Status::Pending, None, Place::Held(lane)),
                    Start::Skipped(reason) => (Status::Skipped, Some(reason), Place::Due(position)),
                };
                let delivery = DeliveryRef {
                    position,
                    event: accepted.event.position,
                    tenant: accepted.event.tenant,
                    endpoint: owed.endpoint,
                    sequence: owed.sequence,
                };
                self.rows.insert(
                    position,
                    Row {
                        delivery,
                        event: accepted.event.clone(),
                        status,
                        reason,
                        place,
                        progress: Progress::default(),
                        lane: accepted.key.map(KeyHash::lane),
                        order: position,
                        triggers: Vec::new(),
                        begun_at: accepted.event.accepted_at,
                        ended_at: accepted.event.accepted_at,
                        replayed: 0,
                    },
                );
                if status == Status::Pending {
                    owed_count += 1;
                    self.index(position);
                }
            }
            let known = Known {
                id: accepted.event.id(),
                deliveries: owed_count,
                idempotency: accepted.idempotency,
                own_id: accepted.own_id,
            };
            self.ids.insert(known.id.clone());
            for key in accepted.idempotency.map(|(key, _)| key).into_iter().chain(accepted.own_id) {
                if let Some(old) = self.keys.insert(key, known.clone())
                    && old.id != known.id
                {
                    return wrong(
                        Guarantee::Idempotency,
                        format!("one key for two events: {old:?} and {known:?}"),
                    );
                }
            }
        }
        for update in &group.updates {
            self.update(update, group.first)?;
        }
        self.groups.push(group.clone());
        self.committed = group.last;
        self.at = group.at;
        self.number = (group.writer, group.number);
        Ok(())
    }

    fn index(&mut self, position: Position) {
        let row = &self.rows[&position];
        let no = row.delivery.endpoint;
        self.pending.entry(no).or_default().insert(position);
        self.places.entry(no).or_default().insert(place_key(row.place, position));
        if let Some(lane) = row.lane {
            self.lanes.entry((no, lane)).or_default().insert(position);
        }
        if row.progress.blocking {
            self.blocking.insert(position);
        }
    }

    fn forget(&mut self, position: Position) {
        let row = &self.rows[&position];
        let no = row.delivery.endpoint;
        self.pending.entry(no).or_default().remove(&position);
        self.places.entry(no).or_default().remove(&place_key(row.place, position));
        if let Some(lane) = row.lane {
            self.lanes.entry((no, lane)).or_default().remove(&position);
        }
        self.blocking.remove(&position);
    }

    fn edit(&mut self, edit: &Edit) -> Result<(), Wrong> {
        match edit {
            Edit::PutEndpoint { no, tenant, version, .. } => {
                let endpoint = self.endpoints.entry(*no).or_insert(Endpoint {
                    tenant: *tenant,
                    version: *version,
                    deleted: false,
                    health: Health::default(),
                    last_sequence: 0,
                });
                endpoint.version = *version;
            }
            Edit::DeleteEndpoint { no } => {
                if let Some(endpoint) = self.endpoints.get_mut(no) {
                    endpoint.deleted = true;
                }
            }
            Edit::PutHealth { no, health } => {
                if let Some(endpoint) = self.endpoints.get_mut(no) {
                    endpoint.health = health.clone();
                }
            }
            Edit::PutReplay { replay, progress } => {
                let entry = (Arc::clone(replay), *progress);
                let Some((_, before)) = self.replays.insert(replay.id.clone(), entry) else { return Ok(()) };
                if before.state != ReplayState::Running
                    || progress.cursor < before.cursor
                    || progress.done < before.done
                    || progress.expired < before.expired
                {
                    return wrong(Guarantee::Replays, format!("{}: {before:?} then {progress:?}", replay.id));
                }
            }
            Edit::PutNotice { due, position, doc } => {
                self.notices.insert((*due, *position), doc.clone());
            }
            Edit::RemoveNotice { due, position } => {
                self.notices
                    .remove(&(*due, *position))
                    .ok_or_else(|| (Guarantee::Told, "a notice was told twice".to_owned()))?;
            }
            _ => {}
        }
        Ok(())
    }

    fn update(&mut self, update: &Update, first: Position) -> Result<(), Wrong> {
        let position = update.delivery.position;
        if self.rows.get(&position).is_some_and(Row::pending) {
            self.forget(position);
        }
        let result = self.update_row(update, first);
        if self.rows.get(&position).is_some_and(Row::pending) {
            self.index(position);
        }
        result
    }

    fn update_row(&mut self, update: &Update, first: Position) -> Result<(), Wrong> {
        let position = update.delivery.position;
        if position >= first {
            return wrong(
                Guarantee::Sense,
                format!("an update of {position:?} in the group that accepts it"),
            );
        }
        let row = self
            .rows
            .get_mut(&position)
            .ok_or_else(|| (Guarantee::Sense, "an update of nothing".to_owned()))?;
        let place = row.pending().then_some(row.place);
        if place != update.from {
            return wrong(
                Guarantee::Sense,
                format!("{position:?} is at {place:?} ({:?}), not {:?}: {update:?}", row.status, update.from),
            );
        }
        if row.delivery != update.delivery {
            return wrong(Guarantee::Sense, format!("{:?} is not {:?}", update.delivery, row.delivery));
        }
        if let Some(attempt) = &update.attempt {
            if attempt.error.as_ref().is_some_and(|(kind, _)| *kind == ErrorKind::Local) {
                return wrong(Guarantee::OwnFaults, format!("a fault of ours is recorded for {position:?}"));
            }
            row.triggers.push((attempt.run, attempt.trigger));
            if attempt.number != update.progress.attempts {
                return wrong(
                    Guarantee::Once,
                    format!("attempt {} recorded as {}", attempt.number, update.progress.attempts),
                );
            }
        }
        if update.progress.attempts != row.progress.attempts + u32::from(update.attempt.is_some()) {
            return wrong(
                Guarantee::Once,
                format!("attempts of {position:?}: {:?} then {:?}", row.progress, update.progress),
            );
        }
        let run = if place.is_some() { row.progress.run } else { row.progress.run + 1 };
        if update.progress.run != run {
            return wrong(
                Guarantee::Verdict,
                format!("run of {position:?}: {:?} then {:?}", row.progress, update.progress),
            );
        }
        row.progress = update.progress;
        match update.to {
            Disposition::Pending(place) => {
                if !row.pending() {
                    row.status = Status::Pending;
                    row.reason = None;
                    let Place::Due(rank) = place else {
                        return wrong(Guarantee::Verdict, format!("a run that begins at {place:?}"));
                    };
                    row.order = rank;
                    row.begun_at = update.at;
                    row.replayed += u32::from(update.progress.trigger == Trigger::Replay);
                }
                row.place = place;
            }
            Disposition::Ended(status, reason) => {
                row.status = status;
                row.reason = reason;
                row.ended_at = update.at;
                if (status == Status::Succeeded) == reason.is_some() {
                    return wrong(Guarantee::Verdict, format!("{status:?} with reason {reason:?}"));
                }
            }
        }
        Ok(())
    }
}
