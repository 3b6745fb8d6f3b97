//! What a replay covers: deliveries of one endpoint that have ended, oldest first.
//!
//! What did not succeed stands in an index by its verdict; where what succeeded is covered too, the endpoint's own order is
//! gone through. A count and the pages that follow it agree, since both speak of the same positions, and what ends later
//! than the count bears a later time.

use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{DeliveryRef, Ended, Status};
use postrider_core::replay::{Replay, ReplayFilter, ReplaySpan, Statuses};
use postrider_core::time::Timestamp;
use postrider_store::{PageLimit, ReplayPage, StoreError};
use rusqlite::{Connection, OptionalExtension, params};

use crate::chunks::{self, Chunk};
use crate::error::{Fault, Res};
use crate::journal::{self, Journal};
use crate::memory::Shared;
use crate::order::BySequence;
use crate::pool::{For, View};
use crate::rows::int;

/// Candidates fetched at a time, of each verdict.
const BATCH: i64 = 256;
/// Deliveries looked at for one page, at most.
const LOOKED_AT: usize = 2_000;

/// One read of what is covered.
struct Search<'v> {
    view: View<'v>,
    endpoint: EndpointNo,
    statuses: Statuses,
    /// The end of the endpoint's order, which only memory has.
    tail: Vec<Chunk>,
    committed: Position,
}

impl<'v> Search<'v> {
    fn begin(shared: &'v Shared, what: For, endpoint: EndpointNo, statuses: Statuses) -> Res<Self> {
        let (view, (tail, committed)) = shared.view(what, |memory| {
            (memory.tails.oldest_beyond(endpoint.into(), 0, usize::MAX), memory.committed)
        })?;
        Ok(Self { view, endpoint, statuses, tail, committed })
    }

    /// The next candidates after a position, in order; none at the end.
    fn next(&self, after: Position) -> Res<Vec<Position>> {
        if self.statuses.contains(Status::Succeeded) { self.in_order(after) } else { self.by_verdict(after) }
    }

    fn by_verdict(&self, after: Position) -> Res<Vec<Position>> {
        let mut statement = self.view.conn().prepare_cached(
            "SELECT position FROM log INDEXED BY log_by_endpoint
             WHERE status > 1 AND endpoint = ?1 AND status = ?2 AND position > ?3 ORDER BY position LIMIT ?4",
        )?;
        let (mut found, mut upto) = (Vec::new(), Position::MAX);
        for status in self.statuses.iter() {
            let rows = statement
                .query_map(params![self.endpoint.0, status as u8, int(after.0), BATCH], |r| {
                    r.get::<_, i64>(0)
                })?;
            let rows = rows.map(|p| p.map(|p| Position(p.cast_unsigned()))).collect::<Result<Vec<_>, _>>()?;
            if rows.len() as i64 == BATCH {
                // Behind its last there may be more of this verdict.
                upto = rows.last().copied().map_or(upto, |last| last.min(upto));
            }
            found.extend(rows);
        }
        found.retain(|position| *position <= upto);
        found.sort_unstable();
        Ok(found)
    }

    fn in_order(&self, after: Position) -> Res<Vec<Position>> {
        let found = chunks::above(self.view.conn(), self.endpoint.into(), after)?;
        if !found.is_empty() {
            return Ok(found);
        }
        let tail = self.tail.iter().flat_map(|chunk| chunk.positions.iter().copied());
        Ok(tail.filter(|position| *position > after).collect())
    }

    /// The row of a candidate, if it has one of the verdicts: which delivery, run, attempts, and when it ended.
    fn row(&self, position: Position) -> Res<Option<(DeliveryRef, u16, u32, Timestamp)>> {
        let mut statement = self.view.conn().prepare_cached(
            "SELECT status, finished_at, ordinal, tenant, sequence, run, attempts FROM log WHERE position = ?1",
        )?;
        let row = statement.query_row(params![int(position.0)], |r| {
            let status = Status::from_u8(r.get(0)?).filter(|status| self.statuses.contains(*status));
            let ended = r.get::<_, Option<i64>>(1)?.map(Timestamp::from_micros);
            let delivery = DeliveryRef {
                position,
                event: Position(position.0.saturating_sub(r.get::<_, i64>(2)?.cast_unsigned())),
                tenant: TenantNo(r.get(3)?),
                endpoint: self.endpoint,
                sequence: r.get::<_, i64>(4)?.cast_unsigned(),
            };
            let (run, attempts) = (r.get(5)?, r.get(6)?);
            Ok(status.and(ended).map(|ended| (delivery, run, attempts, ended)))
        });
        Ok(row.optional()?.flatten())
    }

    /// Where the deliveries of a range lie: after the first position, up to the second.
    fn bounds(&self, filter: &ReplayFilter) -> Res<(Position, Position)> {
        let conn = self.view.conn();
        let at = |time| journal::first_at(conn, self.committed, time);
        // The first with this sequence or a later one.
        let with = |sequence: u64| {
            let after = sequence.saturating_sub(1);
            let tail = self.tail.iter().filter(|chunk| chunk.sequence > after).cloned().collect();
            BySequence::after(conn, self.endpoint.into(), after, tail)?.next(conn)
        };
        let before = |first: Position| Position(first.0.saturating_sub(1));
        let (mut after, mut through) = (Position::ZERO, self.committed);
        if let Some(since) = filter.since {
            after = before(at(since)?);
        }
        if let Some(from) = filter.sequence_from {
            after = after.max(with(from)?.map_or(self.committed, before));
        }
        if let Some(until) = filter.until {
            through = through.min(before(at(until)?));
        }
        if let Some(to) = filter.sequence_to {
            through = through.min(with(to.saturating_add(1))?.map_or(self.committed, before));
        }
        Ok((after, through.max(after)))
    }

    /// How many are covered between two positions.
    fn count(&self, filter: &ReplayFilter, after: Position, through: Position) -> Res<u64> {
        if filter.types.is_empty() && !self.statuses.contains(Status::Succeeded) {
            return self.count_by_verdict(after, through);
        }
        let mut journal = Journal::new(self.view.conn());
        let (mut count, mut cursor) = (0, after);
        loop {
            let candidates = self.next(cursor)?;
            if candidates.is_empty() {
                return Ok(count);
            }
            for position in candidates {
                if position > through {
                    return Ok(count);
                }
                self.view.check()?;
                cursor = position;
                let covered = self.row(position)?.is_some() && takes(&mut journal, filter, position)?;
                count += u64::from(covered);
            }
        }
    }

    fn count_by_verdict(&self, after: Position, through: Position) -> Res<u64> {
        let mut statement = self.view.conn().prepare_cached(
            "SELECT count(*) FROM log INDEXED BY log_by_endpoint
             WHERE status > 1 AND endpoint = ?1 AND status = ?2 AND position > ?3 AND position <= ?4",
        )?;
        let mut count = 0;
        for status in self.statuses.iter() {
            let range = params![self.endpoint.0, status as u8, int(after.0), int(through.0)];
            count += statement.query_row(range, |r| r.get::<_, i64>(0))?.cast_unsigned();
        }
        Ok(count)
    }

    /// Fills a page with what is covered after a position.
    fn fill(&self, replay: &Replay, after: Position, limit: PageLimit, page: &mut ReplayPage) -> Res<()> {
        let through = replay.span.through;
        let mut journal = Journal::new(self.view.conn());
        let (mut looked_at, mut bytes) = (0, 0);
        page.upto = after;
        loop {
            let candidates = self.next(page.upto)?;
            if candidates.first().is_none_or(|first| *first > through) {
                page.upto = through.max(after);
                page.complete = true;
                return Ok(());
            }
            for position in candidates.into_iter().take_while(|position| *position <= through) {
                if looked_at == LOOKED_AT || page.entries.len() >= limit.entries.max(1) {
                    return Ok(());
                }
                self.view.check()?;
                looked_at += 1;
                if let Some(ended) = self.ended(&mut journal, replay, position)? {
                    let weight = ended.event.data.len() + ended.event.attributes.len();
                    if !page.entries.is_empty() && bytes + weight > limit.bytes {
                        return Ok(());
                    }
                    bytes += weight;
                    page.entries.push(ended);
                }
                page.upto = position;
            }
        }
    }

    /// A candidate with its event, if it is covered.
    fn ended(&self, journal: &mut Journal<'_>, replay: &Replay, position: Position) -> Res<Option<Ended>> {
        let row = self.row(position)?.filter(|(.., ended)| *ended <= replay.span.as_of);
        let Some((delivery, run, attempts, _)) = row else { return Ok(None) };
        let Some(row) = journal.row(position)? else { return Ok(None) };
        let Some(head) = row.event_at(position).filter(|e| replay.filter.takes_type(&e.event.event_type))
        else {
            return Ok(None);
        };
        let event = journal.full(&row, head)?;
        Ok(Some(Ended { delivery, run, attempts, event }))
    }
}

/// Whether a filter covers the type of a delivery's event.
fn takes(journal: &mut Journal<'_>, filter: &ReplayFilter, position: Position) -> Res<bool> {
    if filter.types.is_empty() {
        return Ok(true);
    }
    let row = journal.row(position)?;
    Ok(row.is_some_and(|r| r.event_at(position).is_some_and(|e| filter.takes_type(&e.event.event_type))))
}

/// Where the deliveries lie that a filter covers now, and how many they are.
pub(crate) fn span(shared: &Shared, endpoint: EndpointNo, filter: &ReplayFilter) -> Res<ReplaySpan> {
    let search = Search::begin(shared, For::Counts, endpoint, filter.statuses)?;
    let as_of = last_commit(search.view.conn())?;
    let (after, through) = search.bounds(filter)?;
    let matched = search.count(filter, after, through)?;
    Ok(ReplaySpan { after, through, as_of, matched })
}

/// The time of the last commit.
pub(crate) fn last_commit(conn: &Connection) -> Res<Timestamp> {
    let mut statement = conn.prepare_cached("SELECT at FROM journal ORDER BY first DESC LIMIT 1")?;
    let at = statement.query_row([], |r| r.get(0)).optional()?;
    Ok(at.map_or(Timestamp::EPOCH, Timestamp::from_micros))
}

/// A page of what a replay covers.
pub(crate) fn page(shared: &Shared, replay: &Replay, after: Position, limit: PageLimit) -> Res<ReplayPage> {
    let search = Search::begin(shared, For::Background, replay.endpoint, replay.filter.statuses)?;
    let mut page = ReplayPage { watermark: search.committed, ..ReplayPage::default() };
    match search.fill(replay, after, limit, &mut page) {
        Err(fault) => match StoreError::from(fault) {
            // What was found until its time was over is a page too.
            StoreError::Slow if page.upto > after => Ok(page),
            other => Err(Fault::from(other)),
        },
        Ok(()) => Ok(page),
    }
}
