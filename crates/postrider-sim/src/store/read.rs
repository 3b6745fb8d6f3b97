//! What is read of it: pages, what a replay covers, and what a start finds.

use std::collections::BTreeSet;
use std::sync::Arc;

use postrider_core::id::{EndpointNo, Position};
use postrider_core::node::{Known, Load, PageRead, Restored, Wanted, What};
use postrider_core::record::{Ended, KeyHash, LaneKey, Loaded, PendingRow, Place};
use postrider_core::replay::{Replay, ReplayFilter, ReplayProgress, ReplaySpan, ReplayState};
use postrider_core::time::Timestamp;

use super::{Row, Store, place_key};

impl Store {
    fn pending_rows(&self, endpoint: EndpointNo) -> impl Iterator<Item = &Row> {
        self.pending.get(&endpoint).into_iter().flatten().map(|position| &self.rows[position])
    }

    /// What is due, in order.
    pub fn due(&self, endpoint: EndpointNo) -> impl Iterator<Item = &Row> {
        let due = self
            .places
            .get(&endpoint)
            .into_iter()
            .flat_map(|places| places.range((0, 0, Position::ZERO)..(1, 0, Position::ZERO)));
        due.map(|(_, _, position)| &self.rows[position])
    }

    /// Reads a page as it is now.
    pub fn read(&self, load: Load) -> PageRead {
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
            What::Beyond(after) => places.range(place_key(Place::Retry(after), max)..(2, 0, Position::ZERO)),
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
    pub fn next_retry(&self, page: &PageRead) -> Option<Timestamp> {
        let What::Retries(after, until) = page.load.what else { return None };
        let last = page.entries.last().map(|l| (retry_time(l.place), l.delivery.position));
        let last = if page.complete { last.max(Some((until, Position::MAX))) } else { last };
        let last = last.unwrap_or(after);
        let from = place_key(Place::Retry(last.0), Position(last.1.0.saturating_add(1)));
        let (_, at, _) = self.places.get(&page.load.endpoint)?.range(from..(2, 0, Position::ZERO)).next()?;
        Some(Timestamp::from_micros(i64::try_from(*at).unwrap_or(i64::MAX)))
    }

    /// What a filter covers now.
    pub fn span(&self, endpoint: EndpointNo, filter: &ReplayFilter) -> ReplaySpan {
        let within = |row: &&Row| {
            let (at, sequence) = (row.event.accepted_at, row.delivery.sequence);
            row.delivery.endpoint == endpoint
                && filter.since.is_none_or(|since| at >= since)
                && filter.until.is_none_or(|until| at < until)
                && filter.sequence_from.is_none_or(|from| sequence >= from)
                && filter.sequence_to.is_none_or(|to| sequence <= to)
        };
        let rows: Vec<&Row> = self.rows.values().filter(within).collect();
        let after = rows.first().map_or(self.committed, |row| Position(row.delivery.position.0 - 1));
        let through = rows.last().map_or(self.committed, |row| row.delivery.position);
        // Times became positions: with a clock that went back there may be others between them.
        let between = self.rows.range(after.plus(1)..=through.max(after.plus(1))).map(|(_, row)| row);
        let matched = between.filter(|row| {
            row.delivery.endpoint == endpoint && row.delivery.position <= through && covers(filter, row)
        });
        ReplaySpan { after, through, as_of: self.at, matched: matched.count() as u64 }
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
    pub fn wanted(&self, position: Position) -> Option<Wanted> {
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
    pub fn recover(&self) -> Vec<Restored> {
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

    /// Replays of an endpoint that have not ended.
    pub fn running_replays(&self, endpoint: EndpointNo) -> Vec<(Arc<Replay>, ReplayProgress)> {
        let running = |(replay, p): &&(Arc<Replay>, ReplayProgress)| {
            replay.endpoint == endpoint && p.state == ReplayState::Running
        };
        self.replays.values().filter(running).cloned().collect()
    }

    /// What keys were used for.
    pub fn find_keys(&self, keys: &[KeyHash]) -> Vec<Option<Known>> {
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
