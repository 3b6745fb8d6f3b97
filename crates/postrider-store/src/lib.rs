//! What the engine asks of a store, and nothing about how it is kept.
//!
//! A [`Store`] answers reads from any thread; its one [`Writer`] commits groups. The contract in one paragraph: **a
//! delivery is pending from the commit that accepts it until an [`Update`](postrider_core::record::Update) says otherwise**, and the store can hand out what is
//! pending in the order in which it is due. Everything a commit brought is visible to every read that begins after
//! [`Writer::commit`] returned `Ok`.
#![forbid(unsafe_code)]

#[cfg(feature = "conformance")]
pub mod conformance;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{
    AttemptRecord, DeliveryRef, Ended, Event, Group, Health, KeyHash, LaneKey, Loaded, Owed, Place, Progress,
    Reason, Status, TestRecord,
};
use postrider_core::replay::{Replay, ReplayFilter, ReplayProgress, ReplaySpan};
use postrider_core::time::Timestamp;

/// Why a store could not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// No room on the disk; worth trying again with the same group.
    #[error("the disk is full: {0}")]
    Full(String),
    /// Another program holds the database at the moment, or others read all that may be read at once; worth trying again, with
    /// the same group.
    #[error("the database is busy: {0}")]
    Busy(String),
    /// The outcome of a commit is not known (a failed write or fsync). The handle is not used again: call
    /// [`Writer::reopen`], which settles it by the marker.
    #[error("the result of a commit is unknown: {0}")]
    Unknown(String),
    /// The file is damaged, of another program, or of a newer version.
    #[error("the database cannot be used: {0}")]
    Unusable(String),
    /// Somebody else has the database open.
    #[error("the database is in use by another process: {0}")]
    InUse(String),
    /// A read took longer than it may, or was cut off.
    #[error("the query took too long")]
    Slow,
    /// Anything else: a fault in our own code or in the engine underneath.
    #[error("the store failed: {0}")]
    Other(String),
}

/// Everything that a start needs to know, without reading the backlog.
#[derive(Debug, Default)]
pub struct Recovery {
    /// The first position that is free.
    pub next_position: Position,
    /// When the last group was built.
    pub last_commit: Timestamp,
    /// The next internal numbers.
    pub next_tenant: u32,
    /// See `next_tenant`.
    pub next_endpoint: u32,
    /// Tenants that exist.
    pub tenants: Vec<StoredTenant>,
    /// Endpoints that exist, and removed ones that still have pending work.
    pub endpoints: Vec<StoredEndpoint>,
    /// All removed endpoints that are still stored, with pending work or without: deliveries of theirs may be in the log.
    pub removed: Vec<RemovedEndpoint>,
    /// Tokens that are not revoked.
    pub tokens: Vec<StoredToken>,
    /// Replays that have not ended, by endpoint.
    pub replays: Vec<StoredReplay>,
    /// Event types, of all catalogues. Subjects are too many: see [`Store::subject`].
    pub event_types: Vec<StoredEventType>,
}

/// A tenant as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredTenant {
    /// Its number.
    pub no: TenantNo,
    /// Its public id.
    pub id: String,
    /// Its settings as JSON.
    pub doc: Bytes,
    /// When it was made and last changed.
    pub created_at: Timestamp,
    /// See `created_at`.
    pub updated_at: Timestamp,
}

/// An endpoint as stored, with what its machine needs to go on. Its `Debug` tells neither documents nor secrets.
#[derive(Clone, PartialEq, Eq)]
pub struct StoredEndpoint {
    /// Its number.
    pub no: EndpointNo,
    /// Its tenant.
    pub tenant: TenantNo,
    /// Its public id.
    pub id: String,
    /// The version of its configuration.
    pub version: u32,
    /// The public part of the configuration as JSON.
    pub doc: Bytes,
    /// Secrets and credentials, sealed.
    pub secrets: Bytes,
    /// When it was made and last changed.
    pub created_at: Timestamp,
    /// See `created_at`.
    pub updated_at: Timestamp,
    /// Removed: only its pending work is left.
    pub deleted: bool,
    /// Its health as last recorded.
    pub health: Health,
    /// What is known of whose it is, as JSON; empty where nothing needs to be.
    pub verification: Bytes,
    /// The last sequence number given; 0 for none.
    pub last_sequence: u64,
    /// Whether anything is pending.
    pub has_pending: bool,
    /// All pending deliveries that block their ordering key, by position, without event data.
    pub blocking: Vec<PendingRow>,
    /// All lanes that have held deliveries (found by skipping through the held order), so that none is orphaned whose
    /// blocking head ended just before a crash.
    pub held: Vec<LaneKey>,
}

impl std::fmt::Debug for StoredEndpoint {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("StoredEndpoint")
            .field("no", &self.no)
            .field("tenant", &self.tenant)
            .field("id", &self.id)
            .field("version", &self.version)
            .field("deleted", &self.deleted)
            .field("health", &self.health)
            .field("last_sequence", &self.last_sequence)
            .field("has_pending", &self.has_pending)
            .finish_non_exhaustive()
    }
}

/// An endpoint that was removed; its row goes with the last of its deliveries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RemovedEndpoint {
    /// Its number.
    pub no: EndpointNo,
    /// Its tenant.
    pub tenant: TenantNo,
    /// Its public id.
    pub id: String,
}

/// A token as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredToken {
    /// Its public id.
    pub id: String,
    /// SHA-256 of the token.
    pub hash: [u8; 32],
    /// Scopes, tenant, expiry as JSON.
    pub doc: Bytes,
    /// When it was made.
    pub created_at: Timestamp,
}

/// A replay as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredReplay {
    /// What of it never changes.
    pub replay: Arc<Replay>,
    /// How far it has come.
    pub progress: ReplayProgress,
}

/// A page of what a replay covers.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct ReplayPage {
    /// The deliveries, oldest first. May be few, or none, although there are more: a bounded number is looked at.
    pub entries: Vec<Ended>,
    /// Up to this position they are all.
    pub upto: Position,
    /// Whether that is all of what is covered.
    pub complete: bool,
    /// The last position committed when the page was read.
    pub watermark: Position,
}

/// Something that the operator is to be told.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredNotice {
    /// From when on it may be told.
    pub due: Timestamp,
    /// Its place.
    pub position: Position,
    /// The notice as JSON.
    pub doc: Bytes,
}

/// Some of what the operator is to be told.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct NoticePage {
    /// What is due, by when it is and then by its place.
    pub notices: Vec<StoredNotice>,
    /// When the first after these is due, whether by then or later.
    pub next: Option<Timestamp>,
}

/// An event type as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEventType {
    /// Whose catalogue it is in: a profile's name.
    pub profile: String,
    /// Its name.
    pub name: String,
    /// What is said of it, as JSON.
    pub doc: Bytes,
    /// When it was made and last changed.
    pub created_at: Timestamp,
    /// See `created_at`.
    pub updated_at: Timestamp,
}

/// A subject as stored.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredSubject {
    /// Whose it is, in the order given. Some of them may be gone.
    pub tenants: Vec<TenantNo>,
    /// When it was made and last changed.
    pub created_at: Timestamp,
    /// See `created_at`.
    pub updated_at: Timestamp,
}

pub use postrider_core::record::PendingRow;

/// How much a page may hold: whichever is reached first, but always at least one entry if there is one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PageLimit {
    /// Entries.
    pub entries: usize,
    /// Bytes of event data and attributes.
    pub bytes: usize,
}

/// A page of pending work.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Page {
    /// The entries, in the order asked for.
    pub entries: Vec<Loaded>,
    /// Whether there was nothing further to find when the page was read.
    pub complete: bool,
    /// The last position committed when the page was read: what came later is not in it.
    pub watermark: Position,
}

/// What a hit on a key leads to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct KeyHit {
    /// The event's position.
    pub position: Position,
    /// The public id that it was acknowledged with.
    pub id: String,
    /// How many deliveries it owed (skipped ones not counted).
    pub deliveries: usize,
    /// The idempotency key and body hash that it came with.
    pub idempotency: Option<(KeyHash, KeyHash)>,
    /// The hash of its own id.
    pub own_id: Option<KeyHash>,
}

/// A question to the delivery log. All conditions hold at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct LogQuery {
    /// Of this tenant; `None` for the operator's view over all.
    pub tenant: Option<TenantNo>,
    /// To this endpoint.
    pub endpoint: Option<EndpointNo>,
    /// In this state.
    pub status: Option<Status>,
    /// Of this event type.
    pub event_type: Option<String>,
    /// With this ordering key.
    pub key: Option<KeyHash>,
    /// About this subject.
    pub subject: Option<KeyHash>,
    /// Of this event.
    pub event: Option<Position>,
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
    /// Tests too, unless it asks for a key, a subject, or an event: these they have not.
    pub tests: bool,
    /// Only positions below this one: the cursor.
    pub before: Option<Position>,
    /// At most so many rows and tests together.
    pub limit: usize,
}

/// A page of the log, newest first.
#[derive(Debug, Default)]
pub struct LogPage {
    /// The rows.
    pub rows: Vec<LogRow>,
    /// The tests that lie between them by position.
    pub tests: Vec<TestRecord>,
    /// Where to read on; `None` at the end. May be set on a short page: at most 5,000 rows are looked at for one.
    pub next: Option<Position>,
}

/// One delivery in the log.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogRow {
    /// Which.
    pub delivery: DeliveryRef,
    /// Its event. `data` and `attributes` are empty in lists.
    pub event: Arc<Event>,
    /// Its state.
    pub status: Status,
    /// Why.
    pub reason: Option<Reason>,
    /// How far it has come.
    pub progress: Progress,
    /// The status code of its last attempt.
    pub last_status_code: Option<u16>,
    /// When it is next due, if a time is set.
    pub next_attempt_at: Option<Timestamp>,
    /// When it ended.
    pub finished_at: Option<Timestamp>,
    /// When it was first acknowledged, also if a later run failed.
    pub first_succeeded_at: Option<Timestamp>,
    /// Where it is kept, if pending.
    pub place: Option<Place>,
}

/// One delivery with everything that is known of it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LogEntry {
    /// As in the log; the event with its data.
    pub row: LogRow,
    /// Its attempts in order, at most the last 1,000.
    pub attempts: Vec<AttemptRecord>,
}

/// A question to a tenant's events. All conditions hold at once.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EventQuery {
    /// Whose.
    pub tenant: TenantNo,
    /// This one.
    pub event: Option<Position>,
    /// Of this type.
    pub event_type: Option<String>,
    /// With this ordering key.
    pub key: Option<KeyHash>,
    /// About this subject.
    pub subject: Option<KeyHash>,
    /// Accepted at or after.
    pub since: Option<Timestamp>,
    /// Accepted before.
    pub until: Option<Timestamp>,
    /// Only positions below this one: the cursor.
    pub before: Option<Position>,
    /// At most so many rows.
    pub limit: usize,
}

/// A page of events, newest first.
#[derive(Debug, Default)]
pub struct EventPage {
    /// The events.
    pub rows: Vec<EventRow>,
    /// Where to read on; `None` at the end. May be set on a short page: at most 5,000 events are looked at for one.
    pub next: Option<Position>,
}

/// An event in a list.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EventRow {
    /// The event with its attributes; its `data` is empty.
    pub event: Arc<Event>,
    /// How many deliveries it owed (skipped ones not counted).
    pub deliveries: usize,
}

/// What is owed to an endpoint after a sequence number, oldest first.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct FeedPage {
    /// The deliveries that are left of it; what retention has removed is not there. Empty only if nothing is.
    pub entries: Vec<FeedEntry>,
    /// The last sequence number that the endpoint was given.
    pub last_sequence: u64,
}

/// A delivery in a feed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FeedEntry {
    /// Which.
    pub delivery: DeliveryRef,
    /// Its state.
    pub status: Status,
    /// Its event, with data.
    pub event: Arc<Event>,
}

/// What an endpoint's newest deliveries tell of it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct EndpointFigures {
    /// How many deliveries are in each state, by its number.
    pub counts: [u64; Status::ALL.len()],
    /// How long their attempts took, in no order; at most 50,000 of them.
    pub durations: Vec<Duration>,
    /// From when on the figures are complete, where more deliveries are in the window than were looked at.
    pub complete_from: Option<Timestamp>,
    /// When the oldest delivery was accepted that is pending, in the window or before.
    pub oldest_pending: Option<Timestamp>,
}

/// An event with what it owed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StoredEvent {
    /// The event with its data.
    pub event: Arc<Event>,
    /// Its deliveries at acceptance.
    pub deliveries: Vec<Owed>,
    /// The keys that it came with.
    pub idempotency: Option<(KeyHash, KeyHash)>,
}

/// An earlier version of an endpoint's public configuration.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EndpointVersion {
    /// The document as JSON.
    pub doc: Bytes,
}

/// Reads, from any thread. Bounded in time: a read that takes longer than 5 s ends with [`StoreError::Slow`].
pub trait Store: Send + Sync + 'static {
    /// What a start needs. Takes as long as it takes.
    fn recover(&self) -> Result<Recovery, StoreError>;

    /// The last position committed.
    fn committed(&self) -> Position;

    /// Pending deliveries of an endpoint in due order whose rank lies after `after`. Retries and held ones are not in it.
    fn due(&self, endpoint: EndpointNo, after: Position, limit: PageLimit) -> Result<Page, StoreError>;

    /// Pending retries of an endpoint by (time, position), after the given one and due at or before `until`.
    fn retries(
        &self,
        endpoint: EndpointNo,
        after: (Timestamp, Position),
        until: Timestamp,
        limit: PageLimit,
    ) -> Result<Page, StoreError>;

    /// When the first retry after the given one is due, whatever the time.
    fn next_retry(
        &self,
        endpoint: EndpointNo,
        after: (Timestamp, Position),
    ) -> Result<Option<Timestamp>, StoreError>;

    /// Pending deliveries held behind a key, in order of position, after the given one.
    fn held(
        &self,
        endpoint: EndpointNo,
        lane: LaneKey,
        after: Position,
        limit: PageLimit,
    ) -> Result<Page, StoreError>;

    /// Any pending deliveries of an endpoint, wherever they are kept, at most `limit`; with `before` only those
    /// accepted before it whose last run began before it too (oldest first then). Used to end the work of endpoints that are gone, and what has expired.
    fn pending(
        &self,
        endpoint: EndpointNo,
        before: Option<Timestamp>,
        limit: usize,
    ) -> Result<Vec<PendingRow>, StoreError>;

    /// One pending delivery, or `None` if it is not pending (or does not exist).
    fn pending_one(&self, delivery: Position) -> Result<Option<Loaded>, StoreError>;

    /// How many deliveries of an endpoint are pending, counted at most up to `at_most`, or as far as its time allows; and the
    /// last position committed when that was so.
    fn count_pending(&self, endpoint: EndpointNo, at_most: u64) -> Result<(u64, Position), StoreError>;

    /// For each key what it was used for, if it is known. Idempotency keys are remembered for 24 hours at least, own
    /// event ids as long as their events are. Cheap for keys that are new: no disk is read for nearly all of them.
    fn find_keys(&self, keys: &[KeyHash]) -> Result<Vec<Option<KeyHit>>, StoreError>;

    /// One event.
    fn event(&self, position: Position) -> Result<Option<StoredEvent>, StoreError>;

    /// A tenant's events.
    fn events(&self, query: &EventQuery) -> Result<EventPage, StoreError>;

    /// What is owed to an endpoint after a sequence number, whatever the state of both.
    fn feed(&self, endpoint: EndpointNo, after: u64, limit: PageLimit) -> Result<FeedPage, StoreError>;

    /// What the deliveries tell that an endpoint was owed since a time: the newest of them, at most `at_most`.
    fn figures(
        &self,
        endpoint: EndpointNo,
        since: Timestamp,
        at_most: usize,
    ) -> Result<EndpointFigures, StoreError>;

    /// The delivery log.
    fn log(&self, query: &LogQuery) -> Result<LogPage, StoreError>;

    /// One delivery with its attempts.
    fn delivery(&self, position: Position) -> Result<Option<LogEntry>, StoreError>;

    /// One test.
    fn test(&self, position: Position) -> Result<Option<TestRecord>, StoreError>;

    /// Where the deliveries of an endpoint lie that a filter covers now, and how many they are. Cheap where only what did
    /// not succeed is covered, of whatever type.
    fn replay_span(&self, endpoint: EndpointNo, filter: &ReplayFilter) -> Result<ReplaySpan, StoreError>;

    /// Deliveries of a replay's endpoint after a position, within its span, with the verdicts and types of its filter,
    /// that had ended by the time of its span.
    fn replay_page(
        &self,
        replay: &Replay,
        after: Position,
        limit: PageLimit,
    ) -> Result<ReplayPage, StoreError>;

    /// Replays of an endpoint, newest first by their ids; only those before the given one. Of those that have ended the
    /// last hundred are kept, for 30 days.
    fn replays(
        &self,
        endpoint: EndpointNo,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Vec<StoredReplay>, StoreError>;

    /// One replay of an endpoint.
    fn replay(&self, endpoint: EndpointNo, id: &str) -> Result<Option<StoredReplay>, StoreError>;

    /// What the operator is to be told that is due by `until`, at most `limit`. What was set aside is not in it.
    fn notices(&self, until: Timestamp, limit: usize) -> Result<NoticePage, StoreError>;

    /// A version of an endpoint's public configuration, kept as long as deliveries refer to it.
    fn endpoint_version(
        &self,
        endpoint: EndpointNo,
        version: u32,
    ) -> Result<Option<EndpointVersion>, StoreError>;

    /// A subject. Asked for by publications, and not kept waiting by slow questions to the log.
    fn subject(&self, id: &str) -> Result<Option<StoredSubject>, StoreError>;
}

/// What maintenance has to know.
#[derive(Debug, Clone, Copy)]
pub struct Maintenance {
    /// Now.
    pub now: Timestamp,
    /// Finished work older than this is removed.
    pub retention: Duration,
    /// How long one step may take.
    pub budget: Duration,
}

/// Writes: one thread, one group at a time.
pub trait Writer: Send + 'static {
    /// Makes a group durable: when this returns `Ok`, it is on the disk.
    ///
    /// # Errors
    /// [`StoreError::Full`] and [`StoreError::Busy`]: nothing was written, the same group may be committed again later.
    /// [`StoreError::Unknown`]: call [`Self::reopen`]. Anything else: nothing was written.
    fn commit(&mut self, group: &Group) -> Result<(), StoreError>;

    /// Opens the database anew after an unknown result, and says whether the group `(writer, number)` is in it.
    fn reopen(&mut self, writer: u64, number: u64) -> Result<bool, StoreError>;

    /// One bounded step of background work: settling, merging, retention, checkpoints that are due. Called between
    /// commits; returns whether there is more to do now.
    fn maintain(&mut self, how: Maintenance) -> Result<bool, StoreError>;

    /// Writes out what a start would have to rebuild, and closes the database.
    fn close(self: Box<Self>) -> Result<(), StoreError>;
}
