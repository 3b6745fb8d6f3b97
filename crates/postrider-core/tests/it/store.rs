//! A model of the store: what is pending, in which order, and what became of it. It refuses what a real one would corrupt itself with.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::node::{Known, Load, PageRead, Restored, Wanted, What};
use postrider_core::policy::Policy;
use postrider_core::record::{
    DeliveryRef, Disposition, Edit, Ended, ErrorKind, Event, Group, Health, KeyHash, LaneKey, Loaded,
    PendingRow, Place, Progress, Reason, Start, Status, Trigger, Update,
};
use postrider_core::replay::{Replay, ReplayFilter, ReplayProgress, ReplaySpan, ReplayState};
use postrider_core::time::Timestamp;

pub(crate) struct Row {
    pub(crate) delivery: DeliveryRef,
    pub(crate) event: Arc<Event>,
    pub(crate) status: Status,
    pub(crate) reason: Option<Reason>,
    pub(crate) place: Place,
    pub(crate) progress: Progress,
    pub(crate) lane: Option<LaneKey>,
    /// Its turn in its lane: acceptance, or the start of a later run.
    pub(crate) order: Position,
    pub(crate) triggers: Vec<(u16, Trigger)>,
    /// When its last run began: acceptance for the first.
    pub(crate) begun_at: Timestamp,
    pub(crate) ended_at: Timestamp,
    /// How often replays let it go.
    pub(crate) replayed: u32,
}

impl Row {
    pub(crate) fn pending(&self) -> bool {
        self.status == Status::Pending
    }
}

pub(crate) struct Endpoint {
    pub(crate) tenant: TenantNo,
    pub(crate) version: u32,
    pub(crate) deleted: bool,
    pub(crate) health: Health,
    pub(crate) last_sequence: u64,
}

/// Class (due, retry, held), then rank, time or lane, then position.
type PlaceKey = (u8, u64, Position);

fn place_key(place: Place, position: Position) -> PlaceKey {
    match place {
        Place::Due(rank) => (0, rank.0, position),
        Place::Retry(at) => (1, u64::try_from(at.as_micros()).unwrap(), position),
        Place::Held(lane) => (2, lane.0, position),
    }
}

#[derive(Default)]
pub(crate) struct Store {
    pub(crate) rows: BTreeMap<Position, Row>,
    /// Events in order of acceptance.
    pub(crate) events: Vec<Arc<Event>>,
    /// Groups in the order in which they became durable.
    pub(crate) groups: Vec<Arc<Group>>,
    pub(crate) pending: BTreeMap<EndpointNo, BTreeSet<Position>>,
    /// What is pending by where it is kept, in the order of pages.
    places: BTreeMap<EndpointNo, BTreeSet<PlaceKey>>,
    /// What is pending by its key.
    pub(crate) lanes: BTreeMap<(EndpointNo, LaneKey), BTreeSet<Position>>,
    /// What stands in its key's way.
    pub(crate) blocking: BTreeSet<Position>,
    pub(crate) endpoints: BTreeMap<EndpointNo, Endpoint>,
    pub(crate) keys: BTreeMap<KeyHash, Known>,
    pub(crate) ids: BTreeSet<String>,
    pub(crate) committed: Position,
    pub(crate) number: (u64, u64),
    pub(crate) replays: BTreeMap<Box<str>, (Arc<Replay>, ReplayProgress)>,
    /// What the operator is still to be told, by when it is due and its place.
    pub(crate) notices: BTreeMap<(Timestamp, Position), Bytes>,
    /// When the last group was built.
    at: Timestamp,
    /// Every policy that was ever put, by endpoint and version: what a real store has as a document.
    pub(crate) policies: BTreeMap<(EndpointNo, u32), Policy>,
}

impl Store {
    /// Applies a group, or says why it makes no sense.
    pub(crate) fn apply(&mut self, group: &Arc<Group>) -> Result<(), String> {
        if group.first.0 != self.committed.0 + 1 || group.last < group.first {
            return Err(format!("group {:?}-{:?} after {:?}", group.first, group.last, self.committed));
        }
        let done = |store: &Self| store.replays.values().map(|(_, progress)| progress.done).sum::<u64>();
        let done_before = done(self);
        for edit in &group.edits {
            if let Edit::PutNotice { due, position, .. } = edit
                && *position < group.first
                && (*due <= group.at || !self.notices.contains_key(&(*due, *position)))
            {
                return Err(format!("the notice at {position:?} changes after it was due"));
            }
            self.edit(edit)?;
        }
        let let_go =
            group.updates.iter().filter(|u| u.from.is_none() && u.progress.trigger == Trigger::Replay);
        if done(self) - done_before != let_go.count() as u64 {
            return Err("replays let go what they do not tell of, or tell of what they did not let go".into());
        }
        let mut next = group.first;
        for accepted in &group.accepted {
            if accepted.event.position != next {
                return Err(format!("event at {:?}, expected {next:?}", accepted.event.position));
            }
            next = accepted.last_position().plus(1);
            self.events.push(accepted.event.clone());
            let mut owed_count = 0;
            for (n, owed) in accepted.deliveries.iter().enumerate() {
                let endpoint =
                    self.endpoints.get_mut(&owed.endpoint).ok_or("delivery to an unknown endpoint")?;
                if endpoint.deleted || owed.sequence != endpoint.last_sequence + 1 {
                    return Err(format!(
                        "{:?}: sequence {} after {}",
                        owed.endpoint, owed.sequence, endpoint.last_sequence
                    ));
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
                    return Err(format!("one key for two events: {old:?} and {known:?}"));
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

    fn edit(&mut self, edit: &Edit) -> Result<(), String> {
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
                    return Err(format!("{}: {before:?} then {progress:?}", replay.id));
                }
            }
            Edit::PutNotice { due, position, doc } => {
                self.notices.insert((*due, *position), doc.clone());
            }
            Edit::RemoveNotice { due, position } => {
                self.notices.remove(&(*due, *position)).ok_or("a notice was told twice")?;
            }
            _ => {}
        }
        Ok(())
    }

    fn update(&mut self, update: &Update, first: Position) -> Result<(), String> {
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

    fn update_row(&mut self, update: &Update, first: Position) -> Result<(), String> {
        let position = update.delivery.position;
        if position >= first {
            return Err(format!("an update of {position:?} in the group that accepts it"));
        }
        let row = self.rows.get_mut(&position).ok_or("an update of nothing")?;
        let place = row.pending().then_some(row.place);
        if place != update.from {
            return Err(format!(
                "{position:?} is at {place:?} ({:?}), not {:?}: {update:?}",
                row.status, update.from
            ));
        }
        if row.delivery != update.delivery {
            return Err(format!("{:?} is not {:?}", update.delivery, row.delivery));
        }
        if let Some(attempt) = &update.attempt {
            if attempt.error.as_ref().is_some_and(|(kind, _)| *kind == ErrorKind::Local) {
                return Err(format!("a fault of ours is recorded for {position:?}"));
            }
            row.triggers.push((attempt.run, attempt.trigger));
            if attempt.number != update.progress.attempts {
                return Err(format!("attempt {} recorded as {}", attempt.number, update.progress.attempts));
            }
        }
        if update.progress.attempts != row.progress.attempts + u32::from(update.attempt.is_some()) {
            return Err(format!("attempts of {position:?}: {:?} then {:?}", row.progress, update.progress));
        }
        if update.progress.run < row.progress.run
            || (place.is_some() && update.progress.run != row.progress.run)
        {
            return Err(format!("run of {position:?}: {:?} then {:?}", row.progress, update.progress));
        }
        row.progress = update.progress;
        match update.to {
            Disposition::Pending(place) => {
                if !row.pending() {
                    row.status = Status::Pending;
                    row.reason = None;
                    let Place::Due(rank) = place else {
                        return Err(format!("a run that begins at {place:?}"));
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
                    return Err(format!("{status:?} with reason {reason:?}"));
                }
            }
        }
        Ok(())
    }

    fn pending_rows(&self, endpoint: EndpointNo) -> impl Iterator<Item = &Row> {
        self.pending.get(&endpoint).into_iter().flatten().map(|position| &self.rows[position])
    }

    /// Reads a page as it is now.
    pub(crate) fn read(&self, load: Load) -> PageRead {
        let mut page = PageRead {
            load,
            entries: Vec::new(),
            rows: Vec::new(),
            complete: true,
            watermark: self.committed,
            next: None,
            count: 0,
            ended: Vec::new(),
            upto: Position::ZERO,
        };
        if let What::Replay(replay, after) = &page.load.what {
            let (replay, after) = (Arc::clone(replay), *after);
            self.read_replay(&replay, after, &mut page);
            return page;
        }
        let load = page.load.clone();
        let all = BTreeSet::new();
        let places = self.places.get(&load.endpoint).unwrap_or(&all);
        let max = Position(u64::MAX);
        let found = match load.what {
            What::Due(after) => places.range((0, after.0 + 1, Position::ZERO)..(1, 0, Position::ZERO)),
            What::Retries((at, after), until) => {
                let from = place_key(Place::Retry(at), after.plus(1));
                places.range(from..=place_key(Place::Retry(until), max))
            }
            What::Held(lane, after) => places.range((2, lane.0, after.plus(1))..=(2, lane.0, max)),
            _ => all.range((0, 0, Position::ZERO)..),
        };
        let mut bytes = 0;
        for (n, (_, _, position)) in found.enumerate() {
            let row = &self.rows[position];
            bytes += row.event.data.len() + row.event.attributes.len();
            if n > 0 && (n >= load.entries || bytes > load.bytes) {
                page.complete = false;
                break;
            }
            page.entries.push(Loaded {
                delivery: row.delivery,
                place: row.place,
                progress: row.progress,
                event: row.event.clone(),
            });
        }
        match load.what {
            What::Any | What::Before(_) => {
                let before = if let What::Before(time) = load.what { time } else { Timestamp::FAR_FUTURE };
                let rows = self.pending_rows(load.endpoint).filter(|row| row.begun_at < before);
                page.rows = rows.take(load.entries).map(pending_row).collect();
            }
            What::Count => page.count = self.pending_rows(load.endpoint).count() as u64,
            _ => {}
        }
        page
    }

    /// The second question that goes with a page of retries, maybe asked a little later.
    pub(crate) fn next_retry(&self, page: &PageRead) -> Option<Timestamp> {
        let What::Retries(after, until) = page.load.what else { return None };
        let last = page.entries.last().map(|l| (retry_time(l.place), l.delivery.position));
        let last = if page.complete { last.max(Some((until, Position::MAX))) } else { last };
        let last = last.unwrap_or(after);
        let from = place_key(Place::Retry(last.0), Position(last.1.0.saturating_add(1)));
        let (_, at, _) = self.places.get(&page.load.endpoint)?.range(from..(2, 0, Position::ZERO)).next()?;
        Some(Timestamp::from_micros(i64::try_from(*at).unwrap()))
    }

    /// What a filter covers now.
    pub(crate) fn span(&self, endpoint: EndpointNo, filter: &ReplayFilter) -> ReplaySpan {
        let within = |row: &&Row| {
            let (at, sequence) = (row.event.accepted_at, row.delivery.sequence);
            row.delivery.endpoint == endpoint
                && filter.since.is_none_or(|since| at >= since)
                && filter.until.is_none_or(|until| at < until)
                && filter.sequence_from.is_none_or(|from| sequence >= from)
                && filter.sequence_to.is_none_or(|to| sequence <= to)
        };
        let rows: Vec<&Row> = self.rows.values().filter(within).collect();
        ReplaySpan {
            after: rows.first().map_or(self.committed, |row| Position(row.delivery.position.0 - 1)),
            through: rows.last().map_or(self.committed, |row| row.delivery.position),
            as_of: self.at,
            matched: rows.iter().filter(|row| covers(filter, row)).count() as u64,
        }
    }

    /// A few of what a replay covers, after a position.
    fn read_replay(&self, replay: &Replay, after: Position, page: &mut PageRead) {
        const LOOKED_AT: usize = 20;
        let rows = self.rows.range(after.plus(1)..=replay.span.through.max(after.plus(1)));
        let rows = rows.map(|(_, row)| row).filter(|row| row.delivery.endpoint == replay.endpoint);
        page.upto = replay.span.through;
        for (looked_at, row) in rows.enumerate() {
            if looked_at == LOOKED_AT || page.ended.len() == page.load.entries {
                page.complete = false;
                return;
            }
            if row.delivery.position <= replay.span.through
                && covers(&replay.filter, row)
                && row.ended_at <= replay.span.as_of
            {
                page.ended.push(Ended {
                    delivery: row.delivery,
                    run: row.progress.run,
                    attempts: row.progress.attempts,
                    event: row.event.clone(),
                });
            }
            page.upto = row.delivery.position;
        }
        page.upto = replay.span.through;
    }

    /// What somebody who names a delivery reads of it.
    pub(crate) fn wanted(&self, position: Position) -> Option<Wanted> {
        let row = self.rows.get(&position)?;
        Some(Wanted {
            delivery: row.delivery,
            event: row.event.clone(),
            progress: row.progress,
            place: row.pending().then_some(row.place),
            as_of: self.committed,
        })
    }

    /// What a start finds.
    pub(crate) fn recover(&self) -> Vec<Restored> {
        let mut all = Vec::new();
        for (no, endpoint) in &self.endpoints {
            let has_pending = self.pending.get(no).is_some_and(|p| !p.is_empty());
            if endpoint.deleted && !has_pending {
                continue;
            }
            let mut held: Vec<LaneKey> = self
                .pending_rows(*no)
                .filter_map(|row| if let Place::Held(key) = row.place { Some(key) } else { None })
                .collect();
            held.sort_unstable();
            held.dedup();
            let blocking = self
                .pending_rows(*no)
                .filter(|row| row.progress.blocking)
                .filter_map(|row| Some((row.delivery, row.place, row.progress, row.lane?)))
                .collect();
            all.push(Restored {
                no: *no,
                tenant: endpoint.tenant,
                policy: self.policies[&(*no, endpoint.version)].clone(),
                deleted: endpoint.deleted,
                health: endpoint.health.clone(),
                last_sequence: endpoint.last_sequence,
                has_pending,
                blocking,
                held,
                replays: self.running_replays(*no),
            });
        }
        all
    }

    pub(crate) fn running_replays(&self, endpoint: EndpointNo) -> Vec<(Arc<Replay>, ReplayProgress)> {
        let running = |(replay, p): &&(Arc<Replay>, ReplayProgress)| {
            replay.endpoint == endpoint && p.state == ReplayState::Running
        };
        self.replays.values().filter(running).cloned().collect()
    }

    pub(crate) fn find_keys(&self, keys: &[KeyHash]) -> Vec<Option<Known>> {
        keys.iter().map(|key| self.keys.get(key).cloned()).collect()
    }
}

fn covers(filter: &ReplayFilter, row: &Row) -> bool {
    filter.statuses.contains(row.status) && filter.takes_type(&row.event.event_type)
}

fn pending_row(row: &Row) -> PendingRow {
    PendingRow { delivery: row.delivery, place: row.place, progress: row.progress, lane: row.lane }
}

fn retry_time(place: Place) -> Timestamp {
    if let Place::Retry(at) = place { at } else { Timestamp::EPOCH }
}
