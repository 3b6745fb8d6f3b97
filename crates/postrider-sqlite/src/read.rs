//! The store's reads, each of one state of the database.

use std::sync::Arc;
use std::time::Duration;

use postrider_core::id::{EndpointNo, Position};
use postrider_core::record::{KeyHash, LaneKey, Loaded, PendingRow, TestRecord};
use postrider_core::replay::{Replay, ReplayFilter, ReplaySpan};
use postrider_core::time::Timestamp;
use postrider_store::{
    EndpointFigures, EndpointVersion, EventPage, EventQuery, FeedPage, KeyHit, LogEntry, LogPage, LogQuery,
    NoticePage, Page, PageLimit, Recovery, ReplayPage, Store, StoreError, StoredEvent, StoredReplay,
    StoredSubject,
};
use rusqlite::{OptionalExtension, params};

use crate::error::Res;
use crate::journal::Journal;
use crate::memory::Shared;
use crate::pool::For;
use crate::{ended, events, feed, figures, keys, log, notices, pending, recover, replays, subjects, tests};

/// Reads of an open database, from any thread.
#[derive(Debug)]
pub struct SqliteStore {
    pub(crate) shared: Arc<Shared>,
}

impl SqliteStore {
    fn read_event(&self, position: Position) -> Res<Option<StoredEvent>> {
        let (view, ()) = self.shared.view(For::Answers, |_| ())?;
        let mut journal = Journal::new(view.conn());
        let Some(row) = journal.row(position)? else { return Ok(None) };
        let Some(head) = row.event_at(position).filter(|e| e.event.position == position) else {
            return Ok(None);
        };
        Ok(Some(StoredEvent {
            event: journal.full(&row, head)?,
            deliveries: head.deliveries.clone(),
            idempotency: head.idempotency,
        }))
    }

    fn read_test(&self, position: Position) -> Res<Option<TestRecord>> {
        let (view, ()) = self.shared.view(For::Answers, |_| ())?;
        tests::one(view.conn(), position)
    }

    fn read_version(&self, endpoint: EndpointNo, version: u32) -> Res<Option<EndpointVersion>> {
        let (view, ()) = self.shared.view(For::Answers, |_| ())?;
        let doc: Option<Vec<u8>> = view
            .conn()
            .prepare_cached("SELECT doc FROM endpoint_versions WHERE endpoint = ?1 AND version = ?2")?
            .query_row(params![endpoint.0, version], |r| r.get(0))
            .optional()?;
        Ok(doc.map(|doc| EndpointVersion { doc: doc.into() }))
    }

    /// The longest that one of these reads takes.
    pub fn read_limit(&self) -> Duration {
        self.shared.config.read_limit
    }
}

impl Store for SqliteStore {
    fn recover(&self) -> Result<Recovery, StoreError> {
        Ok(recover::recovery(&self.shared)?)
    }

    fn committed(&self) -> Position {
        self.shared.memory.read().committed
    }

    fn due(&self, endpoint: EndpointNo, after: Position, limit: PageLimit) -> Result<Page, StoreError> {
        Ok(pending::due(&self.shared, endpoint, after, limit)?)
    }

    fn retries(
        &self,
        endpoint: EndpointNo,
        after: (Timestamp, Position),
        until: Timestamp,
        limit: PageLimit,
    ) -> Result<Page, StoreError> {
        Ok(pending::retries(&self.shared, endpoint, after, until, limit)?)
    }

    fn next_retry(
        &self,
        endpoint: EndpointNo,
        after: (Timestamp, Position),
    ) -> Result<Option<Timestamp>, StoreError> {
        Ok(pending::next_retry(&self.shared, endpoint, after)?)
    }

    fn held(
        &self,
        endpoint: EndpointNo,
        lane: LaneKey,
        after: Position,
        limit: PageLimit,
    ) -> Result<Page, StoreError> {
        Ok(pending::held(&self.shared, endpoint, lane, after, limit)?)
    }

    fn pending(
        &self,
        endpoint: EndpointNo,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<PendingRow>, StoreError> {
        Ok(pending::any(&self.shared, endpoint, before, limit)?)
    }

    fn pending_one(&self, delivery: Position) -> Result<Option<Loaded>, StoreError> {
        Ok(pending::one(&self.shared, delivery)?)
    }

    fn count_pending(&self, endpoint: EndpointNo, at_most: u64) -> Result<(u64, Position), StoreError> {
        Ok(pending::count(&self.shared, endpoint, at_most)?)
    }

    fn find_keys(&self, keys: &[KeyHash]) -> Result<Vec<Option<KeyHit>>, StoreError> {
        Ok(keys::find(&self.shared, keys)?)
    }

    fn event(&self, position: Position) -> Result<Option<StoredEvent>, StoreError> {
        Ok(self.read_event(position)?)
    }

    fn events(&self, query: &EventQuery) -> Result<EventPage, StoreError> {
        Ok(events::page(&self.shared, query)?)
    }

    fn feed(&self, endpoint: EndpointNo, after: u64, limit: PageLimit) -> Result<FeedPage, StoreError> {
        Ok(feed::page(&self.shared, endpoint, after, limit)?)
    }

    fn figures(
        &self,
        endpoint: EndpointNo,
        since: Timestamp,
        at_most: usize,
    ) -> Result<EndpointFigures, StoreError> {
        Ok(figures::of(&self.shared, endpoint, since, at_most)?)
    }

    fn log(&self, query: &LogQuery) -> Result<LogPage, StoreError> {
        Ok(log::page(&self.shared, query)?)
    }

    fn delivery(&self, position: Position) -> Result<Option<LogEntry>, StoreError> {
        Ok(log::entry(&self.shared, position)?)
    }

    fn test(&self, position: Position) -> Result<Option<TestRecord>, StoreError> {
        Ok(self.read_test(position)?)
    }

    fn endpoint_version(
        &self,
        endpoint: EndpointNo,
        version: u32,
    ) -> Result<Option<EndpointVersion>, StoreError> {
        Ok(self.read_version(endpoint, version)?)
    }

    fn notices(&self, until: Timestamp, limit: usize) -> Result<NoticePage, StoreError> {
        Ok(notices::page(&self.shared, until, limit)?)
    }

    fn replay_span(&self, endpoint: EndpointNo, filter: &ReplayFilter) -> Result<ReplaySpan, StoreError> {
        Ok(ended::span(&self.shared, endpoint, filter)?)
    }

    fn replay_page(
        &self,
        replay: &Replay,
        after: Position,
        limit: PageLimit,
    ) -> Result<ReplayPage, StoreError> {
        Ok(ended::page(&self.shared, replay, after, limit)?)
    }

    fn replays(
        &self,
        endpoint: EndpointNo,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredReplay>, StoreError> {
        Ok(replays::list(&self.shared, endpoint, before, limit)?)
    }

    fn replay(&self, endpoint: EndpointNo, id: &str) -> Result<Option<StoredReplay>, StoreError> {
        Ok(replays::one(&self.shared, endpoint, id)?)
    }

    fn subject(&self, id: &str) -> Result<Option<StoredSubject>, StoreError> {
        Ok(subjects::find(&self.shared, id)?)
    }
}
