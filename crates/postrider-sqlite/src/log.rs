//! The delivery log: where each filter finds its candidates, how tests are merged in, and how a row is put together.

use std::collections::VecDeque;
use std::time::Duration;

use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{
    AttemptRecord, DeliveryRef, KeyHash, Place, Progress, Reason, Start, Status, TestRecord, Trigger,
};
use postrider_core::time::Timestamp;
use postrider_store::{LogEntry, LogPage, LogQuery, LogRow};
use rusqlite::{Connection, OptionalExtension, params};

use crate::chunks::Owner;
use crate::codec::HeadEvent;
use crate::error::Res;
use crate::journal::{self, Journal};
use crate::keys::Candidates;
use crate::memory::{Memory, Shared};
use crate::order::Newest;
use crate::overlay::Open;
use crate::pool::{For, View};
use crate::rows::{self, int};
use crate::runs::Family;
use crate::{pending, tests};

/// Rows looked at for a page, at most.
pub(crate) const LOOKED_AT: usize = 5_000;
/// Attempts told of a delivery: the last ones.
const ATTEMPTS: usize = 1_000;
/// How far an event's time may lie before that of its commit.
pub(crate) const SLACK: Duration = Duration::from_secs(60);
/// The same of a test, which is committed when its attempt has ended.
const TEST_SLACK: Duration = Duration::from_secs(180);
/// Endpoints of a tenant whose pending work is merged by one statement each.
const MERGED_ENDPOINTS: usize = 256;
/// Candidates fetched at a time.
const BATCH: i64 = 256;

/// Where candidates come from.
enum Source {
    /// All known already: the deliveries of events that a key leads to, newest first.
    Events(VecDeque<Position>),
    /// Pending work of these endpoints.
    Pending(Vec<EndpointNo>),
    /// The index of what did not succeed.
    Status,
    /// The order of an endpoint.
    Endpoint(Newest),
    /// The order of a tenant: its entries lead to events.
    Tenant(Newest),
    /// The journal itself.
    Journal,
}

/// What memory adds.
struct Remembered {
    tail: Vec<Position>,
    open: Vec<Open>,
    keys: Option<Candidates>,
    committed: Position,
}

fn remember(memory: &Memory, query: &LogQuery, before: Position) -> Remembered {
    let owner = query.endpoint.map(Owner::from).or(query.tenant.map(Owner::from));
    let wanted = |o: &Open| {
        query.endpoint.is_none_or(|e| e == o.delivery.endpoint)
            && query.tenant.is_none_or(|t| t == o.delivery.tenant)
    };
    let pending = query.status == Some(Status::Pending);
    let open = memory.overlay.newest_below(before).filter(wanted);
    Remembered {
        tail: owner.map(|o| memory.tails.newest_below(o, before)).unwrap_or_default(),
        open: if pending { open.take(LOOKED_AT).collect() } else { Vec::new() },
        keys: query.key.or(query.subject).map(|k| Candidates::of(memory, Family::Index, k, before)),
        committed: memory.committed,
    }
}

/// A page of the log.
pub(crate) fn page(shared: &Shared, query: &LogQuery) -> Res<LogPage> {
    let start = query.before.unwrap_or(Position::MAX);
    let (view, known) = shared.view(For::Answers, |memory| remember(memory, query, start))?;
    let conn = view.conn();
    let below = |slack| match query.until {
        Some(until) => Ok(start.min(journal::first_at(conn, known.committed, until + slack)?)),
        None => Res::Ok(start),
    };
    let (deliveries, tests) = (Ahead::below(below(SLACK)?), Ahead::below(below(TEST_SLACK)?));
    let from = match query.since {
        Some(since) => journal::first_at(conn, known.committed, since)?,
        None => Position::ZERO,
    };
    let mut search = Search {
        view: &view,
        journal: Journal::new(conn),
        query,
        known,
        source: Source::Journal,
        further: None,
    };
    search.source = search.choose(deliveries.below)?;
    search.run(start, from, deliveries, tests)
}

/// Candidates of one kind, newest first, a few ahead.
struct Ahead {
    found: VecDeque<Position>,
    /// Only those before this are left to be found.
    below: Position,
    ended: bool,
}

impl Ahead {
    fn below(below: Position) -> Self {
        Self { found: VecDeque::new(), below, ended: false }
    }

    /// The next one, which `more` finds below a position if there is none at hand.
    fn peek(&mut self, more: impl FnOnce(Position) -> Res<Vec<Position>>) -> Res<Option<Position>> {
        if self.found.is_empty() && !self.ended {
            self.found = more(self.below)?.into();
            self.ended = self.found.is_empty();
        }
        Ok(self.found.front().copied())
    }

    fn take(&mut self) {
        self.below = self.found.pop_front().unwrap_or(self.below);
    }
}

struct Search<'v, 'q> {
    view: &'v View<'v>,
    journal: Journal<'v>,
    query: &'q LogQuery,
    known: Remembered,
    source: Source,
    /// Where to read on when the events of a key were too many to be looked at.
    further: Option<Position>,
}

impl Search<'_, '_> {
    fn choose(&mut self, before: Position) -> Res<Source> {
        let q = self.query;
        if let Some(event) = q.event {
            return Ok(Source::Events(self.deliveries_of(&[event])?));
        }
        if let (Some(key), Some(candidates)) = (q.key.or(q.subject), self.known.keys.take()) {
            let events = candidates.positions(self.view.conn(), key, before, LOOKED_AT)?;
            self.further = events.last().copied().filter(|_| events.len() == LOOKED_AT);
            return Ok(Source::Events(self.deliveries_of(&events)?));
        }
        match (q.status, q.endpoint, q.tenant) {
            (Some(Status::Failed | Status::Cancelled | Status::Skipped), _, _) => Ok(Source::Status),
            (Some(Status::Pending), Some(endpoint), _) => Ok(Source::Pending(vec![endpoint])),
            (Some(Status::Pending), None, Some(tenant)) => {
                let endpoints = endpoints_of(self.view.conn(), tenant)?;
                let few = endpoints.len() <= MERGED_ENDPOINTS;
                Ok(if few { Source::Pending(endpoints) } else { Source::Tenant(self.order(tenant, before)) })
            }
            (_, Some(endpoint), _) => Ok(Source::Endpoint(self.order(endpoint, before))),
            (_, None, Some(tenant)) => Ok(Source::Tenant(self.order(tenant, before))),
            (_, None, None) => Ok(Source::Journal),
        }
    }

    fn order(&mut self, owner: impl Into<Owner>, before: Position) -> Newest {
        let mut tail = std::mem::take(&mut self.known.tail);
        tail.retain(|p| *p < before);
        Newest::new(owner.into(), before, tail)
    }

    /// The deliveries of events, newest first, at most what one page looks at, but at least those of one event.
    fn deliveries_of(&mut self, events: &[Position]) -> Res<VecDeque<Position>> {
        let mut all = VecDeque::new();
        for event in events {
            let Some(row) = self.journal.row(*event)? else { continue };
            let Some(head) = row.event_at(*event).filter(|e| e.event.position == *event) else { continue };
            all.extend((1..=head.deliveries.len() as u64).rev().map(|i| event.plus(i)));
            if all.len() > LOOKED_AT {
                break;
            }
        }
        Ok(all)
    }

    /// The next candidates below a position, newest first; none at the end.
    fn next(&mut self, before: Position) -> Res<Vec<Position>> {
        let conn = self.view.conn();
        let q = self.query;
        match &mut self.source {
            Source::Events(all) => {
                let rest = std::mem::take(all);
                Ok(rest.into_iter().filter(|p| *p < before).collect())
            }
            Source::Endpoint(order) => Ok(order.next(conn)?.into_iter().collect()),
            Source::Tenant(order) => {
                while let Some(entry) = order.next(conn)? {
                    self.view.check()?;
                    let row = self.journal.row(entry)?;
                    let found = row.as_ref().and_then(|r| r.event_at(entry)).map_or(vec![entry], places);
                    // An event that has more entries than one was seen with the first.
                    let found: Vec<_> = found.into_iter().filter(|p| *p < before).collect();
                    if !found.is_empty() {
                        return Ok(found);
                    }
                }
                Ok(Vec::new())
            }
            Source::Pending(endpoints) => {
                let mut found: Vec<Position> =
                    self.known.open.iter().map(|o| o.delivery.position).filter(|p| *p < before).collect();
                let mut statement = conn.prepare_cached(
                    "SELECT position FROM pending INDEXED BY pending_by_position
                     WHERE endpoint = ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3",
                )?;
                for endpoint in endpoints {
                    found.extend(positions(&mut statement, params![endpoint.0, int(before.0), BATCH])?);
                }
                found.sort_unstable_by(|a, b| b.cmp(a));
                found.truncate(usize::try_from(BATCH).unwrap_or(usize::MAX));
                Ok(found)
            }
            Source::Status => {
                let status = q.status.unwrap_or(Status::Failed) as u8;
                let (sql, owner) = match (q.endpoint, q.tenant) {
                    (Some(e), _) => (
                        "SELECT position FROM log INDEXED BY log_by_endpoint WHERE status > 1 AND endpoint = ?4 AND status = ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3",
                        Some(e.0),
                    ),
                    (None, Some(t)) => (
                        "SELECT position FROM log INDEXED BY log_by_tenant WHERE status > 1 AND tenant = ?4 AND status = ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3",
                        Some(t.0),
                    ),
                    (None, None) => (
                        "SELECT position FROM log INDEXED BY log_by_status WHERE status > 1 AND status = ?1 AND position < ?2 ORDER BY position DESC LIMIT ?3",
                        None,
                    ),
                };
                let mut statement = conn.prepare_cached(sql)?;
                match owner {
                    Some(owner) => positions(&mut statement, params![status, int(before.0), BATCH, owner]),
                    None => positions(&mut statement, params![status, int(before.0), BATCH]),
                }
            }
            Source::Journal => {
                let mut below = before;
                while let Some(row) = self.journal_row_below(below)? {
                    self.view.check()?;
                    let found: Vec<_> =
                        row.events.iter().rev().flat_map(places).filter(|p| *p < before).collect();
                    if !found.is_empty() {
                        return Ok(found);
                    }
                    below = row.first;
                }
                Ok(Vec::new())
            }
        }
    }

    fn journal_row_below(&mut self, below: Position) -> Res<Option<std::rc::Rc<journal::Row>>> {
        let first: Option<i64> = self
            .view
            .conn()
            .prepare_cached(
                "SELECT first FROM journal WHERE first < ?1 AND head IS NOT NULL ORDER BY first DESC LIMIT 1",
            )?
            .query_row(params![int(below.0)], |r| r.get(0))
            .optional()?;
        match first {
            Some(first) => self.journal.row(Position(first.cast_unsigned())),
            None => Ok(None),
        }
    }

    fn run(
        mut self,
        mut before: Position,
        from: Position,
        mut deliveries: Ahead,
        mut tests: Ahead,
    ) -> Res<LogPage> {
        let mut page = LogPage::default();
        let mut looked = 0;
        let limit = self.query.limit.max(1);
        loop {
            let delivery = deliveries.peek(|below| self.next(below))?;
            let test = tests.peek(|below| self.tests(below))?;
            let Some(position) = delivery.max(test) else {
                page.next = self.further;
                return Ok(page);
            };
            if position < from {
                return Ok(page);
            }
            if looked >= LOOKED_AT || page.rows.len() + page.tests.len() >= limit {
                page.next = Some(before);
                return Ok(page);
            }
            self.view.check()?;
            looked += 1;
            before = position;
            if delivery == Some(position) {
                deliveries.take();
                page.rows.extend(self.row(position)?.filter(|row| self.matches(row)));
            } else {
                tests.take();
                let test = tests::one(self.view.conn(), position)?;
                page.tests.extend(test.filter(|test| self.matches_test(test)));
            }
        }
    }

    /// The next tests below a position, newest first, if the query asks for any.
    fn tests(&self, below: Position) -> Res<Vec<Position>> {
        let q = self.query;
        let of_events = q.key.is_some() || q.subject.is_some() || q.event.is_some();
        let ended = q.status.is_none_or(|s| matches!(s, Status::Succeeded | Status::Failed));
        if !q.tests || of_events || !ended {
            return Ok(Vec::new());
        }
        tests::below(self.view.conn(), q.tenant, q.endpoint, below)
    }

    fn matches_test(&self, test: &TestRecord) -> bool {
        let q = self.query;
        q.tenant.is_none_or(|t| t == test.tenant)
            && q.endpoint.is_none_or(|e| e == test.endpoint)
            && q.status.is_none_or(|s| s == test.status())
            && q.event_type.as_deref().is_none_or(|t| t == &*test.event_type)
            && q.since.is_none_or(|t| test.at >= t)
            && q.until.is_none_or(|t| test.at < t)
    }

    fn matches(&self, row: &LogRow) -> bool {
        let q = self.query;
        let d = &row.delivery;
        q.tenant.is_none_or(|t| t == d.tenant)
            && q.endpoint.is_none_or(|e| e == d.endpoint)
            && q.event.is_none_or(|e| e == d.event)
            && q.status.is_none_or(|s| s == row.status)
            && q.event_type.as_deref().is_none_or(|t| t == &*row.event.event_type)
            && q.since.is_none_or(|t| row.event.accepted_at >= t)
            && q.until.is_none_or(|t| row.event.accepted_at < t)
    }

    fn row(&mut self, position: Position) -> Res<Option<LogRow>> {
        let Some(row) = self.journal.row(position)? else { return Ok(None) };
        let Some(head) = row.event_at(position) else { return Ok(None) };
        let differs = |asked: Option<KeyHash>, has| asked.is_some() && asked != has;
        if differs(self.query.key, head.key) || differs(self.query.subject, head.subject) {
            return Ok(None);
        }
        Ok(assemble(self.view.conn(), head, position)?.map(|a| a.row))
    }
}

pub(crate) fn positions(
    statement: &mut rusqlite::Statement<'_>,
    params: impl rusqlite::Params,
) -> Res<Vec<Position>> {
    let rows = statement.query_map(params, |r| r.get::<_, i64>(0))?;
    Ok(rows.map(|p| p.map(|p| Position(p.cast_unsigned()))).collect::<Result<_, _>>()?)
}

/// The places in the log that an event has, newest first: its deliveries', or its own if there are none, so that it counts as
/// looked at.
fn places(event: &HeadEvent) -> Vec<Position> {
    let own = event.event.position;
    match event.deliveries.len() as u64 {
        0 => vec![own],
        count => (1..=count).rev().map(|i| own.plus(i)).collect(),
    }
}

fn endpoints_of(conn: &Connection, tenant: TenantNo) -> Res<Vec<EndpointNo>> {
    let mut statement = conn.prepare_cached("SELECT no FROM endpoints WHERE tenant = ?1 LIMIT ?2")?;
    let rows =
        statement.query_map(params![tenant.0, MERGED_ENDPOINTS as i64 + 1], |r| r.get(0).map(EndpointNo))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A row, and the attempt that it tells of itself.
struct Assembled {
    row: LogRow,
    first_try: Option<AttemptRecord>,
}

/// Puts a delivery's row together from its event's head, the log, and where it is pending.
fn assemble(conn: &Connection, head: &HeadEvent, position: Position) -> Res<Option<Assembled>> {
    let Some(owed) = head.delivery(position) else { return Ok(None) };
    let delivery = DeliveryRef {
        position,
        event: head.event.position,
        tenant: head.event.tenant,
        endpoint: owed.endpoint,
        sequence: owed.sequence,
    };
    let logged = logged(conn, position)?;
    let pending = match &logged {
        Some(l) if l.status != Status::Pending => None,
        _ => pending::row_of(conn, owed.endpoint, position)?,
    };
    let mut row = LogRow {
        delivery,
        event: std::sync::Arc::clone(&head.event),
        status: Status::Pending,
        reason: None,
        progress: Progress::default(),
        last_status_code: None,
        next_attempt_at: None,
        finished_at: None,
        first_succeeded_at: None,
        place: None,
    };
    let mut first_try = None;
    match logged {
        Some(l) => {
            row.status = l.status;
            row.reason = l.reason;
            row.progress = l.progress;
            row.last_status_code = l.status_code;
            row.finished_at = l.finished_at;
            row.first_succeeded_at = l.first_succeeded_at;
            first_try = l.first_try;
        }
        // Nothing has happened to it yet: what its head says holds, unless it was moved.
        None => {
            row.place = match owed.start {
                Start::Due => Some(Place::Due(position)),
                Start::Held(lane) => Some(Place::Held(lane)),
                Start::Skipped(_) => return Ok(None),
            }
        }
    }
    if let Some(p) = pending {
        row.place = Some(p.place);
        row.progress = p.progress;
        row.next_attempt_at = match p.place {
            Place::Retry(at) => Some(at),
            Place::Due(_) | Place::Held(_) => None,
        };
    }
    Ok(Some(Assembled { row, first_try }))
}

/// A row of the table.
struct Logged {
    status: Status,
    reason: Option<Reason>,
    progress: Progress,
    status_code: Option<u16>,
    finished_at: Option<Timestamp>,
    first_succeeded_at: Option<Timestamp>,
    first_try: Option<AttemptRecord>,
}

fn logged(conn: &Connection, position: Position) -> Res<Option<Logged>> {
    let mut statement = conn.prepare_cached(
        "SELECT status, reason, run, attempts, step, flags, held_ms, cause, status_code, finished_at, first_succeeded_at,
                lead_us, duration_us, address, endpoint_version, signed_lag FROM log WHERE position = ?1",
    )?;
    let row = statement.query_row(params![int(position.0)], |r| {
        let flags: u8 = r.get(5)?;
        let status = Status::from_u8(r.get(0)?).unwrap_or(Status::Failed);
        let finished: Option<i64> = r.get(9)?;
        let succeeded = r.get::<_, Option<i64>>(10)?.or(finished.filter(|_| status == Status::Succeeded));
        let first_try = match (r.get::<_, Option<i64>>(11)?, succeeded.or(finished)) {
            (Some(lead), Some(ended)) => {
                let started = Timestamp::from_micros(ended.wrapping_sub(lead));
                Some(AttemptRecord {
                    number: 1,
                    run: 0,
                    trigger: Trigger::Schedule,
                    started_at: started,
                    duration: Duration::from_micros(r.get::<_, Option<i64>>(12)?.unwrap_or(0).unsigned_abs()),
                    status_code: r.get(8)?,
                    error: None,
                    remote_address: r.get::<_, Option<Vec<u8>>>(13)?.and_then(|b| rows::address(&b)),
                    endpoint_version: r.get::<_, Option<u32>>(14)?.unwrap_or(0),
                    signed_at: started.as_secs().wrapping_sub(r.get::<_, Option<i64>>(15)?.unwrap_or(0)),
                    response_headers: Vec::new(),
                    response_body: bytes::Bytes::new(),
                })
            }
            _ => None,
        };
        Ok(Logged {
            status,
            reason: r.get::<_, Option<u8>>(1)?.and_then(Reason::from_u8),
            progress: Progress {
                run: r.get(2)?,
                attempts: r.get(3)?,
                step: r.get(4)?,
                blocking: flags & 1 != 0,
                held_ms: r.get::<_, i64>(6)?.cast_unsigned(),
                overtaken: flags & 2 != 0,
                trigger: rows::trigger(r.get(7)?),
            },
            status_code: r.get(8)?,
            finished_at: finished.map(Timestamp::from_micros),
            first_succeeded_at: succeeded.map(Timestamp::from_micros),
            first_try,
        })
    });
    Ok(row.optional()?)
}

/// One delivery with its attempts.
pub(crate) fn entry(shared: &Shared, position: Position) -> Res<Option<LogEntry>> {
    let (view, ()) = shared.view(For::Answers, |_| ())?;
    let mut journal = Journal::new(view.conn());
    let Some(row) = journal.row(position)? else { return Ok(None) };
    let Some(head) = row.event_at(position) else { return Ok(None) };
    let Some(mut assembled) = assemble(view.conn(), head, position)? else { return Ok(None) };
    assembled.row.event = journal.full(&row, head)?;
    let mut attempts = rows::attempts(view.conn(), position, ATTEMPTS)?;
    attempts.reverse();
    if let Some(first) = assembled.first_try.filter(|f| attempts.first().is_none_or(|a| a.number > f.number))
    {
        attempts.insert(0, first);
        let over = attempts.len().saturating_sub(ATTEMPTS);
        attempts.drain(..over);
    }
    Ok(Some(LogEntry { row: assembled.row, attempts }))
}
