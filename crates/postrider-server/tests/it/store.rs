//! A store in memory, for tests of the API alone: it forgets everything with the process.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use postrider_core::id::{EndpointNo, Position};
use postrider_core::record::*;
use postrider_core::time::Timestamp;
use postrider_store::*;

#[derive(Default)]
struct State {
    committed: Position,
    events: BTreeMap<Position, Arc<Event>>,
    deliveries: BTreeMap<Position, LogEntry>,
    keys: BTreeMap<KeyHash, KeyHit>,
    tests: BTreeMap<Position, TestRecord>,
    versions: BTreeMap<(EndpointNo, u32), EndpointVersion>,
    key_of: BTreeMap<Position, KeyHash>,
}

#[derive(Clone, Default)]
pub(crate) struct Memory(Arc<Mutex<State>>);

impl Memory {
    fn state(&self) -> MutexGuard<'_, State> {
        self.0.lock().unwrap()
    }

    fn page(&self, entries: impl Iterator<Item = Loaded>, limit: PageLimit, watermark: Position) -> Page {
        let mut entries: Vec<_> = entries.take(limit.entries + 1).collect();
        let complete = entries.len() <= limit.entries;
        entries.truncate(limit.entries);
        Page { entries, complete, watermark }
    }
}

fn loaded(entry: &LogEntry) -> Option<Loaded> {
    let row = &entry.row;
    let place = row.place.filter(|_| row.status == Status::Pending)?;
    Some(Loaded { delivery: row.delivery, place, progress: row.progress, event: row.event.clone() })
}

fn pending_row(entry: &LogEntry) -> Option<PendingRow> {
    loaded(entry).map(|l| PendingRow {
        delivery: l.delivery,
        place: l.place,
        progress: l.progress,
        lane: None,
    })
}

impl Store for Memory {
    fn recover(&self) -> Result<Recovery, StoreError> {
        Ok(Recovery { next_position: Position(1), next_tenant: 1, next_endpoint: 1, ..Recovery::default() })
    }

    fn committed(&self) -> Position {
        self.state().committed
    }

    fn due(&self, endpoint: EndpointNo, after: Position, limit: PageLimit) -> Result<Page, StoreError> {
        let state = self.state();
        let due = state.deliveries.values().filter_map(loaded).filter(|l| l.delivery.endpoint == endpoint);
        let due = due.filter(|l| matches!(l.place, Place::Due(rank) if rank > after));
        Ok(self.page(due, limit, state.committed))
    }

    fn retries(
        &self,
        endpoint: EndpointNo,
        after: (Timestamp, Position),
        until: Timestamp,
        limit: PageLimit,
    ) -> Result<Page, StoreError> {
        let state = self.state();
        let mut found: Vec<_> = state
            .deliveries
            .values()
            .filter_map(loaded)
            .filter(|l| l.delivery.endpoint == endpoint)
            .filter_map(|l| match l.place {
                Place::Retry(at) if (at, l.delivery.position) > after && at <= until => Some((at, l)),
                _ => None,
            })
            .collect();
        found.sort_by_key(|(at, l)| (*at, l.delivery.position));
        Ok(self.page(found.into_iter().map(|(_, l)| l), limit, state.committed))
    }

    fn next_retry(
        &self,
        endpoint: EndpointNo,
        after: (Timestamp, Position),
    ) -> Result<Option<Timestamp>, StoreError> {
        let page = self.retries(
            endpoint,
            after,
            Timestamp::FAR_FUTURE,
            PageLimit { entries: usize::MAX - 1, bytes: usize::MAX },
        )?;
        Ok(page.entries.first().and_then(|l| if let Place::Retry(at) = l.place { Some(at) } else { None }))
    }

    fn held(&self, _: EndpointNo, _: LaneKey, _: Position, _: PageLimit) -> Result<Page, StoreError> {
        Ok(Page { complete: true, watermark: self.committed(), ..Page::default() })
    }

    fn pending(
        &self,
        endpoint: EndpointNo,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<PendingRow>, StoreError> {
        let state = self.state();
        let early = |e: &&LogEntry| before.is_none_or(|before| e.row.event.accepted_at < before);
        let rows = state.deliveries.values().filter(early).filter_map(pending_row);
        Ok(rows.filter(|row| row.delivery.endpoint == endpoint).take(limit).collect())
    }

    fn pending_one(&self, delivery: Position) -> Result<Option<Loaded>, StoreError> {
        Ok(self.state().deliveries.get(&delivery).and_then(loaded))
    }

    fn count_pending(&self, endpoint: EndpointNo, at_most: u64) -> Result<u64, StoreError> {
        Ok((self.pending(endpoint, None, usize::MAX)?.len() as u64).min(at_most))
    }

    fn find_keys(&self, keys: &[KeyHash]) -> Result<Vec<Option<KeyHit>>, StoreError> {
        let state = self.state();
        Ok(keys.iter().map(|key| state.keys.get(key).cloned()).collect())
    }

    fn event(&self, _: Position) -> Result<Option<StoredEvent>, StoreError> {
        Ok(None)
    }

    fn log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        let state = self.state();
        let fits = |row: &LogRow| {
            query.tenant.is_none_or(|tenant| row.delivery.tenant == tenant)
                && query.endpoint.is_none_or(|endpoint| row.delivery.endpoint == endpoint)
                && query.status.is_none_or(|status| row.status == status)
                && query.event_type.as_ref().is_none_or(|t| **t == *row.event.event_type)
                && query.key.is_none_or(|key| state.key_of.get(&row.event.position) == Some(&key))
                && query.event.is_none_or(|event| row.delivery.event == event)
                && query.since.is_none_or(|since| row.event.accepted_at >= since)
                && query.until.is_none_or(|until| row.event.accepted_at < until)
                && query.before.is_none_or(|before| row.delivery.position < before)
        };
        let mut rows: Vec<LogRow> = state
            .deliveries
            .values()
            .rev()
            .map(|e| e.row.clone())
            .filter(fits)
            .take(query.limit + 1)
            .collect();
        let more = rows.len() > query.limit;
        rows.truncate(query.limit);
        let next = if more { rows.last().map(|row| row.delivery.position) } else { None };
        Ok(LogPage { rows, next })
    }

    fn delivery(&self, position: Position) -> Result<Option<LogEntry>, StoreError> {
        Ok(self.state().deliveries.get(&position).cloned())
    }

    fn test(&self, position: Position) -> Result<Option<TestRecord>, StoreError> {
        Ok(self.state().tests.get(&position).cloned())
    }

    fn endpoint_version(
        &self,
        endpoint: EndpointNo,
        version: u32,
    ) -> Result<Option<EndpointVersion>, StoreError> {
        Ok(self.state().versions.get(&(endpoint, version)).cloned())
    }
}

impl Writer for Memory {
    fn commit(&mut self, group: &Group) -> Result<(), StoreError> {
        let mut state = self.state();
        for edit in &group.edits {
            if let Edit::PutEndpoint { no, version, doc, .. } = edit {
                state.versions.insert((*no, *version), EndpointVersion { doc: doc.clone() });
            }
        }
        for accepted in &group.accepted {
            accept(&mut state, accepted);
        }
        for update in &group.updates {
            let Some(entry) = state.deliveries.get_mut(&update.delivery.position) else { continue };
            entry.row.progress = update.progress;
            entry.row.place = None;
            entry.row.next_attempt_at = None;
            match update.to {
                Disposition::Pending(place) => {
                    entry.row.status = Status::Pending;
                    entry.row.place = Some(place);
                    entry.row.next_attempt_at = if let Place::Retry(at) = place { Some(at) } else { None };
                }
                Disposition::Ended(status, reason) => {
                    (entry.row.status, entry.row.reason) = (status, reason);
                    entry.row.finished_at = Some(update.at);
                    if status == Status::Succeeded {
                        entry.row.first_succeeded_at.get_or_insert(update.at);
                    }
                }
            }
            if let Some(attempt) = &update.attempt {
                entry.row.last_status_code = attempt.status_code;
                entry.attempts.push(attempt.clone());
            }
        }
        for test in &group.tests {
            state.tests.insert(test.position, test.clone());
        }
        state.committed = group.last;
        Ok(())
    }

    fn reopen(&mut self, _: u64, _: u64) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn maintain(&mut self, _: Maintenance) -> Result<bool, StoreError> {
        Ok(false)
    }

    fn close(self: Box<Self>) -> Result<(), StoreError> {
        Ok(())
    }
}

fn accept(state: &mut State, accepted: &Accepted) {
    let event = &accepted.event;
    state.events.insert(event.position, event.clone());
    let hit = KeyHit {
        position: event.position,
        id: event.id(),
        deliveries: accepted
            .deliveries
            .iter()
            .filter(|owed| !matches!(owed.start, Start::Skipped(_)))
            .count(),
        idempotency: accepted.idempotency,
        own_id: accepted.own_id,
    };
    let keys = [accepted.idempotency.map(|(key, _)| key), accepted.own_id];
    state.keys.extend(keys.into_iter().flatten().map(|key| (key, hit.clone())));
    state.key_of.extend(accepted.key.map(|key| (event.position, key)));
    for (i, owed) in accepted.deliveries.iter().enumerate() {
        let position = event.position.plus(1 + i as u64);
        let (status, reason, place) = match owed.start {
            Start::Due => (Status::Pending, None, Some(Place::Due(position))),
            Start::Held(lane) => (Status::Pending, None, Some(Place::Held(lane))),
            Start::Skipped(reason) => (Status::Skipped, Some(reason), None),
        };
        let delivery = DeliveryRef {
            position,
            event: event.position,
            tenant: event.tenant,
            endpoint: owed.endpoint,
            sequence: owed.sequence,
        };
        let row = LogRow {
            delivery,
            event: event.clone(),
            status,
            reason,
            progress: Progress::default(),
            last_status_code: None,
            next_attempt_at: None,
            finished_at: None,
            first_succeeded_at: None,
            place,
        };
        state.deliveries.insert(position, LogEntry { row, attempts: Vec::new() });
    }
}
