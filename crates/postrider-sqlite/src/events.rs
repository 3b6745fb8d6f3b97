//! A tenant's events: found by a key, or read in the tenant's order.

use std::collections::VecDeque;

use postrider_core::id::Position;
use postrider_store::{EventPage, EventQuery, EventRow};
use rusqlite::Connection;

use crate::chunks::Owner;
use crate::codec::HeadEvent;
use crate::error::Res;
use crate::journal::{self, Journal};
use crate::keys::Candidates;
use crate::log::{LOOKED_AT, SLACK};
use crate::memory::{Memory, Shared};
use crate::order::Newest;
use crate::pool::For;
use crate::runs::Family;

/// Where candidates come from, newest first.
enum Source {
    /// All known already.
    Known(VecDeque<Position>),
    /// The tenant's order.
    Tenant(Newest),
}

impl Source {
    fn next(&mut self, conn: &Connection) -> Res<Option<Position>> {
        match self {
            Self::Known(events) => Ok(events.pop_front()),
            Self::Tenant(order) => order.next(conn),
        }
    }
}

/// What memory adds.
struct Remembered {
    tail: Vec<Position>,
    keys: Option<Candidates>,
    committed: Position,
}

fn remember(memory: &Memory, query: &EventQuery, before: Position) -> Remembered {
    Remembered {
        tail: memory.tails.newest_below(Owner::from(query.tenant), before),
        keys: query.key.or(query.subject).map(|k| Candidates::of(memory, Family::Index, k, before)),
        committed: memory.committed,
    }
}

/// A page of events.
pub(crate) fn page(shared: &Shared, query: &EventQuery) -> Res<EventPage> {
    let mut before = query.before.unwrap_or(Position::MAX);
    let (view, known) = shared.view(For::Answers, |memory| remember(memory, query, before))?;
    let conn = view.conn();
    if let Some(until) = query.until {
        before = before.min(journal::first_at(conn, known.committed, until + SLACK)?);
    }
    let from = match query.since {
        Some(since) => journal::first_at(conn, known.committed, since)?,
        None => Position::ZERO,
    };
    let mut journal = Journal::new(conn);
    let mut page = EventPage::default();
    let mut further = None;
    let mut source = match (query.event, query.key.or(query.subject), known.keys) {
        (Some(event), ..) => Source::Known([event].into()),
        (None, Some(key), Some(candidates)) => {
            let events = candidates.positions(conn, key, before, LOOKED_AT)?;
            further = events.last().copied().filter(|_| events.len() == LOOKED_AT);
            Source::Known(events.into())
        }
        _ => {
            // An event that lies before may have its entries at its deliveries' places, up to its last one.
            let row = journal.row(before)?;
            let within = row.as_ref().and_then(|r| r.event_at(before)).filter(|e| e.event.position < before);
            let below = within.map_or(before, |e| e.last().plus(1));
            let tail = known.tail.into_iter().filter(|p| *p < before).collect();
            Source::Tenant(Newest::new(query.tenant.into(), below, tail))
        }
    };
    let mut looked = 0;
    while let Some(entry) = source.next(conn)? {
        view.check()?;
        let row = journal.row(entry)?;
        let found = row.as_ref().and_then(|r| Some((r, r.event_at(entry)?)));
        let position = found.map_or(entry, |(_, event)| event.event.position);
        if position >= before {
            // It has more entries than one, and was seen with the first.
            continue;
        }
        if position < from {
            return Ok(page);
        }
        if looked >= LOOKED_AT || page.rows.len() >= query.limit.max(1) {
            page.next = Some(before);
            return Ok(page);
        }
        looked += 1;
        before = position;
        if let Some((row, event)) = found.filter(|(_, event)| matches(query, event)) {
            let deliveries = event.owed();
            page.rows.push(EventRow { event: journal.with_attributes(row, event)?, deliveries });
        }
    }
    page.next = further;
    Ok(page)
}

fn matches(q: &EventQuery, head: &HeadEvent) -> bool {
    let event = &head.event;
    q.tenant == event.tenant
        && q.event.is_none_or(|e| e == event.position)
        && q.event_type.as_deref().is_none_or(|t| t == &*event.event_type)
        && q.key.is_none_or(|k| Some(k) == head.key)
        && q.subject.is_none_or(|s| Some(s) == head.subject)
        && q.since.is_none_or(|t| event.accepted_at >= t)
        && q.until.is_none_or(|t| event.accepted_at < t)
}
