//! A naive store in memory: what every read has to answer, computed the slow way.

use std::collections::BTreeMap;
use std::sync::Arc;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position};
use postrider_core::record::{
    Accepted, AttemptRecord, DeliveryRef, Disposition, Event, Group, KeyHash, LaneKey, Place, Progress,
    Reason, Start, Status, TestRecord,
};
use postrider_core::replay::ReplayFilter;
use postrider_core::time::Timestamp;

use crate::{EndpointFigures, EventQuery, EventRow, FeedEntry, LogQuery, LogRow};

/// A delivery with all that is known of it.
#[derive(Debug, Clone)]
pub struct Life {
    /// As in the log, with the whole event.
    pub row: LogRow,
    /// The hash of its event's ordering key.
    pub key: Option<KeyHash>,
    /// The hash of its event's subject.
    pub subject: Option<KeyHash>,
    /// Its attempts.
    pub attempts: Vec<AttemptRecord>,
    /// When its last run began.
    pub begun_at: Timestamp,
}

/// Everything that was committed.
#[derive(Debug, Default)]
pub struct Model {
    /// Deliveries by position.
    pub lives: BTreeMap<Position, Life>,
    /// Events by position.
    pub events: BTreeMap<Position, Accepted>,
    /// Tests by position.
    pub tests: BTreeMap<Position, TestRecord>,
    /// The last position.
    pub committed: Position,
    /// When the last group was built.
    pub at: Timestamp,
}

impl Model {
    /// Takes a group in.
    pub fn commit(&mut self, group: &Group) {
        self.committed = group.last;
        self.at = group.at;
        self.tests.extend(group.tests.iter().map(|t| (t.position, t.clone())));
        for a in &group.accepted {
            self.events.insert(a.event.position, a.clone());
            for (i, owed) in (1..).zip(&a.deliveries) {
                let position = a.event.position.plus(i);
                let (status, reason, place): (_, Option<Reason>, _) = match owed.start {
                    Start::Due => (Status::Pending, None, Some(Place::Due(position))),
                    Start::Held(lane) => (Status::Pending, None, Some(Place::Held(lane))),
                    Start::Skipped(reason) => (Status::Skipped, Some(reason), None),
                };
                let row = LogRow {
                    delivery: DeliveryRef {
                        position,
                        event: a.event.position,
                        tenant: a.event.tenant,
                        endpoint: owed.endpoint,
                        sequence: owed.sequence,
                    },
                    event: Arc::clone(&a.event),
                    status,
                    reason,
                    progress: Progress::default(),
                    last_status_code: None,
                    next_attempt_at: None,
                    finished_at: reason.map(|_| a.event.accepted_at),
                    first_succeeded_at: None,
                    place,
                };
                let (key, subject, begun_at) = (a.key, a.subject, group.at);
                self.lives.insert(position, Life { row, key, subject, attempts: Vec::new(), begun_at });
            }
        }
        for u in &group.updates {
            let life = self.lives.get_mut(&u.delivery.position).unwrap();
            let row = &mut life.row;
            row.progress = u.progress;
            if let Some(attempt) = &u.attempt {
                row.last_status_code = attempt.status_code;
                life.attempts.push(attempt.clone());
            }
            match u.to {
                Disposition::Pending(place) => {
                    if row.place.is_none() {
                        life.begun_at = group.at;
                    }
                    (row.status, row.reason, row.finished_at, row.place) =
                        (Status::Pending, None, None, Some(place));
                    row.next_attempt_at = if let Place::Retry(at) = place { Some(at) } else { None };
                }
                Disposition::Ended(status, reason) => {
                    (row.status, row.reason, row.finished_at, row.place) = (status, reason, Some(u.at), None);
                    row.next_attempt_at = None;
                    if status == Status::Succeeded {
                        row.first_succeeded_at = row.first_succeeded_at.or(Some(u.at));
                    }
                }
            }
        }
    }

    /// Pending deliveries of an endpoint.
    pub fn pending(&self, endpoint: EndpointNo) -> impl Iterator<Item = &Life> {
        self.lives.values().filter(move |l| l.row.place.is_some() && l.row.delivery.endpoint == endpoint)
    }

    /// Those in the due order, by rank.
    pub fn due(&self, endpoint: EndpointNo) -> Vec<(Position, DeliveryRef)> {
        let mut due: Vec<_> = self
            .pending(endpoint)
            .filter_map(|l| {
                if let Some(Place::Due(rank)) = l.row.place { Some((rank, l.row.delivery)) } else { None }
            })
            .collect();
        due.sort_unstable_by_key(|d| (d.0, d.1.position));
        due
    }

    /// Those that wait for a time, by it.
    pub fn retries(&self, endpoint: EndpointNo) -> Vec<(Timestamp, DeliveryRef)> {
        let mut retries: Vec<_> = self
            .pending(endpoint)
            .filter_map(|l| {
                if let Some(Place::Retry(at)) = l.row.place { Some((at, l.row.delivery)) } else { None }
            })
            .collect();
        retries.sort_unstable_by_key(|d| (d.0, d.1.position));
        retries
    }

    /// Those held in a lane, by position.
    pub fn held(&self, endpoint: EndpointNo, lane: LaneKey) -> Vec<DeliveryRef> {
        self.pending(endpoint)
            .filter(|l| l.row.place == Some(Place::Held(lane)))
            .map(|l| l.row.delivery)
            .collect()
    }

    /// Where the deliveries of a range lie: behind the first position, up to the second.
    fn bounds(&self, endpoint: EndpointNo, filter: &ReplayFilter) -> (Position, Position) {
        let rows = self.lives.values().map(|l| &l.row).filter(|row| {
            let (at, sequence) = (row.event.accepted_at, row.delivery.sequence);
            row.delivery.endpoint == endpoint
                && filter.since.is_none_or(|since| at >= since)
                && filter.until.is_none_or(|until| at < until)
                && filter.sequence_from.is_none_or(|from| sequence >= from)
                && filter.sequence_to.is_none_or(|to| sequence <= to)
        });
        let positions: Vec<u64> = rows.map(|row| row.delivery.position.0).collect();
        let first = positions.first().copied().unwrap_or(1);
        (Position(first - 1), Position(positions.last().copied().unwrap_or(0)))
    }

    /// What a filter covers that had ended by a time, oldest first.
    pub fn covered(&self, endpoint: EndpointNo, filter: &ReplayFilter, as_of: Timestamp) -> Vec<&Life> {
        let (after, through) = self.bounds(endpoint, filter);
        if through <= after {
            return Vec::new();
        }
        let range = self.lives.range(after.plus(1)..=through).map(|(_, life)| life);
        range
            .filter(|life| {
                life.row.delivery.endpoint == endpoint
                    && filter.statuses.contains(life.row.status)
                    && filter.takes_type(&life.row.event.event_type)
                    && life.row.finished_at.is_some_and(|ended| ended <= as_of)
            })
            .collect()
    }

    /// All rows that answer a query, newest first, whatever its limit; without the events' bytes.
    pub fn log(&self, q: &LogQuery) -> Vec<LogRow> {
        self.lives
            .values()
            .rev()
            .filter(|l| {
                let (d, e) = (&l.row.delivery, &l.row.event);
                q.tenant.is_none_or(|t| t == d.tenant)
                    && q.endpoint.is_none_or(|n| n == d.endpoint)
                    && q.status.is_none_or(|s| s == l.row.status)
                    && q.event_type.as_deref().is_none_or(|t| t == &*e.event_type)
                    && q.key.is_none_or(|k| Some(k) == l.key)
                    && q.subject.is_none_or(|s| Some(s) == l.subject)
                    && q.event.is_none_or(|p| p == d.event)
                    && q.since.is_none_or(|t| e.accepted_at >= t)
                    && q.until.is_none_or(|t| e.accepted_at < t)
                    && q.before.is_none_or(|p| d.position < p)
            })
            .map(|l| LogRow { event: bare(&l.row.event), ..l.row.clone() })
            .collect()
    }

    /// All tests that answer a query, newest first, whatever its limit.
    pub fn log_tests(&self, q: &LogQuery) -> Vec<TestRecord> {
        let none = !q.tests || q.key.is_some() || q.subject.is_some() || q.event.is_some();
        let all = self.tests.values().rev().filter(|t| {
            !none
                && q.tenant.is_none_or(|n| n == t.tenant)
                && q.endpoint.is_none_or(|n| n == t.endpoint)
                && q.status.is_none_or(|s| s == t.status())
                && q.event_type.as_deref().is_none_or(|k| k == &*t.event_type)
                && q.since.is_none_or(|at| t.at >= at)
                && q.until.is_none_or(|at| t.at < at)
                && q.before.is_none_or(|p| t.position < p)
        });
        all.cloned().collect()
    }

    /// All events that answer a query, newest first, whatever its limit.
    pub fn events(&self, q: &EventQuery) -> Vec<EventRow> {
        let all = self.events.values().rev().filter(|a| {
            let e = &a.event;
            q.tenant == e.tenant
                && q.event.is_none_or(|p| p == e.position)
                && q.event_type.as_deref().is_none_or(|t| t == &*e.event_type)
                && q.key.is_none_or(|k| Some(k) == a.key)
                && q.subject.is_none_or(|s| Some(s) == a.subject)
                && q.since.is_none_or(|t| e.accepted_at >= t)
                && q.until.is_none_or(|t| e.accepted_at < t)
                && q.before.is_none_or(|p| e.position < p)
        });
        all.map(|a| EventRow {
            event: Arc::new(Event { data: Bytes::new(), ..(*a.event).clone() }),
            deliveries: a.deliveries.iter().filter(|d| !matches!(d.start, Start::Skipped(_))).count(),
        })
        .collect()
    }

    /// What an endpoint is owed after a sequence, oldest first.
    pub fn feed(&self, endpoint: EndpointNo, after: u64) -> Vec<FeedEntry> {
        let owed = self.lives.values().map(|l| &l.row).filter(|r| r.delivery.endpoint == endpoint);
        owed.filter(|r| r.delivery.sequence > after)
            .map(|r| FeedEntry { delivery: r.delivery, status: r.status, event: Arc::clone(&r.event) })
            .collect()
    }

    /// The figures of the newest deliveries of an endpoint since a time, durations in order of length.
    pub fn figures(&self, endpoint: EndpointNo, since: Timestamp, at_most: usize) -> EndpointFigures {
        let mut figures = EndpointFigures {
            oldest_pending: self.pending(endpoint).next().map(|l| l.row.event.accepted_at),
            ..EndpointFigures::default()
        };
        let owed = self.lives.values().rev().filter(|l| l.row.delivery.endpoint == endpoint);
        let mut last = None;
        for (i, life) in owed.take_while(|l| l.row.event.accepted_at >= since).enumerate() {
            if i == at_most {
                figures.complete_from = last;
                break;
            }
            figures.counts[life.row.status as usize] += 1;
            figures.durations.extend(life.attempts.iter().map(|a| a.duration));
            last = Some(life.row.event.accepted_at);
        }
        figures.durations.sort_unstable();
        figures
    }
}

/// An event without its bytes, as lists show it.
pub fn bare(event: &Event) -> Arc<Event> {
    Arc::new(Event { data: Bytes::new(), attributes: Bytes::new(), ..event.clone() })
}
