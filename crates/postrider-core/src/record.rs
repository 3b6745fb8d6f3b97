//! What is made durable: the records of a commit, and what a store gives back.
//!
//! The words here are the engine's, not a database's: a [`Group`] accepts events with the deliveries that they owe,
//! says how deliveries went on, and changes what is configured. How a store keeps that is its own affair.

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::id::{EndpointNo, IdKind, Position, PublicId, ShardNo, TenantNo};
use crate::replay::{Replay, ReplayProgress};
use crate::time::Timestamp;

/// 128 bits of SHA-256 over a scope and a key; see [`crate::key`].
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct KeyHash(pub u128);

/// An ordering key within an endpoint: 64 bits of its [`KeyHash`]. Two keys that collide share a lane.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub struct LaneKey(pub u64);

/// An event as accepted: immutable, shared by all its deliveries.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Event {
    /// Its own place; its deliveries have the positions after it, in the order of [`Accepted::deliveries`].
    pub position: Position,
    /// Whose it is.
    pub tenant: TenantNo,
    /// When it was accepted.
    pub accepted_at: Timestamp,
    /// When it happened, by the publisher's word; the time of acceptance if that was silent.
    pub occurred_at: Timestamp,
    /// The event type's name.
    pub event_type: Arc<str>,
    /// The publisher's own id (`A-Za-z0-9_:-`, 1 to 128), if it gave one.
    pub own_id: Option<Box<str>>,
    /// The ordering key, if it has one.
    pub key: Option<Box<str>>,
    /// What it is about (a card, an account), if its publisher named that.
    pub subject: Option<Box<str>>,
    /// From when on it is of no use any more: no attempt is made after that.
    pub expires_at: Option<Timestamp>,
    /// The attributes as a JSON object, as it came; empty for none.
    pub attributes: Bytes,
    /// The data, byte for byte as published.
    pub data: Bytes,
}

impl Event {
    /// The generated public id (also of an event with an id of its own).
    pub fn public_id(&self) -> PublicId {
        PublicId::new(IdKind::Event, self.accepted_at, ShardNo::of(self.tenant), self.position)
    }

    /// The id that the outside knows: the publisher's own, else the generated one.
    pub fn id(&self) -> String {
        self.own_id.as_deref().map_or_else(|| self.public_id().to_string(), str::to_owned)
    }

    /// The id of the delivery at `position`.
    pub fn delivery_id(&self, position: Position) -> PublicId {
        PublicId::new(IdKind::Delivery, self.accepted_at, ShardNo::of(self.tenant), position)
    }

    /// Whether it is of no use any more.
    pub fn has_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// Bytes held in memory for it, roughly.
    pub fn weight(&self) -> usize {
        self.data.len() + self.attributes.len() + 256
    }
}

/// An event with what it owes, as one commit accepts it.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Accepted {
    /// The event.
    pub event: Arc<Event>,
    /// Its deliveries; the one at index `i` has position `event.position + 1 + i`.
    pub deliveries: Vec<Owed>,
    /// The idempotency key and the hash of the request's body, if a key was given.
    pub idempotency: Option<(KeyHash, KeyHash)>,
    /// The hash under which its own id is found, if it has one.
    pub own_id: Option<KeyHash>,
    /// The hash under which its ordering key is found, if it has one.
    pub key: Option<KeyHash>,
    /// The hash under which its subject is found, if it has one.
    pub subject: Option<KeyHash>,
}

impl Accepted {
    /// The last position that it takes.
    pub fn last_position(&self) -> Position {
        self.event.position.plus(self.deliveries.len() as u64)
    }
}

/// A delivery owed to an endpoint from the moment of acceptance.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Owed {
    /// To whom.
    pub endpoint: EndpointNo,
    /// The endpoint's gapless number for it, from 1.
    pub sequence: u64,
    /// How it begins.
    pub start: Start,
}

/// How a delivery begins.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Start {
    /// Pending, due in the order of acceptance.
    Due,
    /// Pending, behind a blocked ordering key.
    Held(LaneKey),
    /// Never to be attempted unless somebody asks for it.
    Skipped(Reason),
}

/// The state of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Status {
    /// Owed, and still to be attempted.
    Pending = 0,
    /// Acknowledged.
    Succeeded = 1,
    /// Given up: schedule exhausted, or the endpoint disabled.
    Failed = 2,
    /// Withdrawn: by a person, removal of the endpoint, expiry.
    Cancelled = 3,
    /// The endpoint could not take it when it came.
    Skipped = 4,
}

impl Status {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Pending, Self::Succeeded, Self::Failed, Self::Cancelled, Self::Skipped];

    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Pending => "pending",
            Self::Succeeded => "succeeded",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Skipped => "skipped",
        }
    }

    /// The status of that name.
    pub fn parse(text: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|s| s.as_str() == text)
    }

    /// The status of that number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// Why a delivery ended (or was skipped) as it did.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
#[repr(u8)]
pub enum Reason {
    /// Failed: every attempt of the schedule was made.
    ScheduleExhausted = 1,
    /// Failed or skipped: the endpoint is disabled.
    EndpointDisabled = 2,
    /// Failed: the receiver answered `webhook-delivery: abort-message`.
    AbortedByReceiver = 3,
    /// Cancelled: somebody asked for it.
    Requested = 4,
    /// Cancelled: the endpoint was removed.
    EndpointDeleted = 5,
    /// Cancelled: pending for longer than allowed.
    Expired = 6,
    /// Skipped: the endpoint owes too much already.
    BacklogFull = 7,
    /// Skipped: the endpoint is paused, and its profile skips then.
    Paused = 8,
    /// Skipped: the endpoint has not proven that it is the tenant's.
    Unverified = 9,
    /// Skipped: the tenant may not have this type.
    NotEntitled = 10,
}

impl Reason {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 10] = [
        Self::ScheduleExhausted,
        Self::EndpointDisabled,
        Self::AbortedByReceiver,
        Self::Requested,
        Self::EndpointDeleted,
        Self::Expired,
        Self::BacklogFull,
        Self::Paused,
        Self::Unverified,
        Self::NotEntitled,
    ];

    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::ScheduleExhausted => "schedule_exhausted",
            Self::EndpointDisabled => "endpoint_disabled",
            Self::AbortedByReceiver => "aborted_by_receiver",
            Self::Requested => "requested",
            Self::EndpointDeleted => "endpoint_deleted",
            Self::Expired => "expired",
            Self::BacklogFull => "backlog_full",
            Self::Paused => "paused",
            Self::Unverified => "unverified",
            Self::NotEntitled => "not_entitled",
        }
    }

    /// The reason of that number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|r| *r as u8 == number)
    }
}

/// Where a store keeps a delivery that is pending.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Place {
    /// In the endpoint's due order at this rank: its own position, or a later one after a replay or manual retry.
    Due(Position),
    /// Waiting for a time; blocking its lane or not.
    Retry(Timestamp),
    /// Behind a blocked key, outside the due order.
    Held(LaneKey),
}

/// What names a delivery to the store.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct DeliveryRef {
    /// Its own position.
    pub position: Position,
    /// Its event's position.
    pub event: Position,
    /// Its tenant.
    pub tenant: TenantNo,
    /// Its endpoint.
    pub endpoint: EndpointNo,
    /// The endpoint's number for it.
    pub sequence: u64,
}

/// How far a delivery has come: kept with it whatever its status.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub struct Progress {
    /// The run: 0 for the first passage through the schedule, one more for each replay or manual retry.
    pub run: u16,
    /// Attempts recorded over all runs, probes included.
    pub attempts: u32,
    /// Steps of the schedule used up in this run (probes use none).
    pub step: u16,
    /// It stands in the way of its ordering key's successors.
    pub blocking: bool,
    /// How long it has held them back, in milliseconds, when last recorded.
    pub held_ms: u64,
    /// It was overtaken by its successors after `hold_max_s`.
    pub overtaken: bool,
    /// What brings about its next attempt, if not the schedule.
    pub trigger: Trigger,
}

/// What brought about an attempt.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default, Hash)]
#[repr(u8)]
pub enum Trigger {
    /// Acceptance or the retry schedule.
    #[default]
    Schedule = 0,
    /// Somebody asked for this delivery again.
    Retry = 1,
    /// A replay of many.
    Replay = 2,
    /// A test of the endpoint.
    Test = 3,
    /// A look whether a tripped endpoint is back.
    Probe = 4,
}

impl Trigger {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 5] = [Self::Schedule, Self::Retry, Self::Replay, Self::Test, Self::Probe];

    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Schedule => "schedule",
            Self::Retry => "retry",
            Self::Replay => "replay",
            Self::Test => "test",
            Self::Probe => "probe",
        }
    }

    /// The trigger of that number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.get(usize::from(number)).copied()
    }
}

/// Why an attempt did not succeed.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Hash)]
#[repr(u8)]
pub enum ErrorKind {
    /// The name does not resolve.
    Dns = 1,
    /// No connection.
    Connect = 2,
    /// No secure connection.
    Tls = 3,
    /// No complete answer in time.
    Timeout = 4,
    /// The connection broke off.
    Reset = 5,
    /// The address may not be connected to.
    Guard = 6,
    /// An answer, but not an acknowledgement.
    Status = 7,
    /// A fault on our side; costs the partner nothing.
    Local = 8,
    /// No token to send the request with.
    OAuth = 9,
}

impl ErrorKind {
    /// All, in the order of their numbers.
    pub const ALL: [Self; 9] = [
        Self::Dns,
        Self::Connect,
        Self::Tls,
        Self::Timeout,
        Self::Reset,
        Self::Guard,
        Self::Status,
        Self::Local,
        Self::OAuth,
    ];

    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Dns => "dns",
            Self::Connect => "connect",
            Self::Tls => "tls",
            Self::Timeout => "timeout",
            Self::Reset => "reset",
            Self::Guard => "guard",
            Self::Status => "status",
            Self::Local => "local",
            Self::OAuth => "oauth",
        }
    }

    /// The kind of that number.
    pub fn from_u8(number: u8) -> Option<Self> {
        Self::ALL.into_iter().find(|k| *k as u8 == number)
    }
}

/// The record that an attempt leaves when it ends.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct AttemptRecord {
    /// 1 for the delivery's first attempt ever, and so on over all runs.
    pub number: u32,
    /// The run it belongs to.
    pub run: u16,
    /// What brought it about.
    pub trigger: Trigger,
    /// When sending began.
    pub started_at: Timestamp,
    /// Until the answer was complete or the attempt given up.
    pub duration: Duration,
    /// The answer's status code, if one came.
    pub status_code: Option<u16>,
    /// What went wrong, with a sentence for people; `None` for a success.
    pub error: Option<(ErrorKind, Box<str>)>,
    /// The address that was connected to.
    pub remote_address: Option<IpAddr>,
    /// The version of the endpoint's configuration that was used.
    pub endpoint_version: u32,
    /// Signature time, whole seconds: with the version it lets the request be rendered again.
    pub signed_at: i64,
    /// Response headers, bounded by the dispatcher; empty for a first-try success.
    pub response_headers: Vec<(Box<str>, Bytes)>,
    /// The first bytes of the response's body (at most 4 KiB); empty for a first-try success.
    pub response_body: Bytes,
}

impl AttemptRecord {
    /// Whether it leaves no row of its own: the delivery's row says it all.
    pub fn is_first_try_success(&self) -> bool {
        self.number == 1 && self.error.is_none() && self.trigger == Trigger::Schedule
    }
}

/// One step in the life of a delivery, with the attempt that caused it, if one did.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Update {
    /// Which delivery.
    pub delivery: DeliveryRef,
    /// Where it is pending before this; `None` if it is not pending (a finished one that is tried again).
    pub from: Option<Place>,
    /// What becomes of it.
    pub to: Disposition,
    /// How far it has come, after this.
    pub progress: Progress,
    /// The attempt that ended, if one did.
    pub attempt: Option<AttemptRecord>,
    /// When.
    pub at: Timestamp,
}

/// What becomes of a delivery.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Disposition {
    /// Still owed, kept in this place.
    Pending(Place),
    /// Ended: `Succeeded` has no reason, all others have one.
    Ended(Status, Option<Reason>),
}

/// A change of what is configured; each replaces the whole document. Its `Debug` tells of whom, never documents or secrets.
#[derive(Clone, PartialEq, Eq)]
pub enum Edit {
    /// A tenant made or changed.
    PutTenant {
        /// Its number.
        no: TenantNo,
        /// Its public id.
        id: Box<str>,
        /// Its settings as JSON.
        doc: Bytes,
        /// When, as who asked for it is told.
        at: Timestamp,
    },
    /// A tenant removed, with its tokens and endpoints.
    DeleteTenant {
        /// Its number.
        no: TenantNo,
    },
    /// An endpoint made or changed: a new version of it.
    PutEndpoint {
        /// Its number.
        no: EndpointNo,
        /// Its tenant.
        tenant: TenantNo,
        /// Its public id.
        id: Box<str>,
        /// The version, from 1; earlier ones are kept as long as attempts refer to them.
        version: u32,
        /// The public part of the configuration as JSON.
        doc: Bytes,
        /// Secrets and credentials, sealed for this version; kept apart from the document, only of the current version.
        secrets: Bytes,
        /// When, as who asked for it is told.
        at: Timestamp,
    },
    /// An endpoint removed; its pending work is cancelled afterwards, in steps.
    DeleteEndpoint {
        /// Its number.
        no: EndpointNo,
    },
    /// The health of an endpoint changed.
    PutHealth {
        /// Its number.
        no: EndpointNo,
        /// What is to survive a restart.
        health: Health,
    },
    /// What is known of whose an endpoint is changed.
    PutVerification {
        /// Its number.
        no: EndpointNo,
        /// Its tenant.
        tenant: TenantNo,
        /// What is known, as JSON; empty where nothing needs to be.
        doc: Bytes,
    },
    /// A token made.
    PutToken {
        /// Its public id.
        id: Box<str>,
        /// SHA-256 of the token.
        hash: [u8; 32],
        /// Scopes, tenant, expiry as JSON.
        doc: Bytes,
        /// When, as who asked for it is told.
        at: Timestamp,
    },
    /// A token revoked.
    DeleteToken {
        /// Its public id.
        id: Box<str>,
    },
    /// A replay made, or gone on.
    PutReplay {
        /// What of it never changes.
        replay: Arc<Replay>,
        /// How far it has come.
        progress: ReplayProgress,
    },
    /// Something that the operator is to be told, or how often it happened by now.
    PutNotice {
        /// From when on it may be told; it does not change any more then.
        due: Timestamp,
        /// Its place, which it keeps.
        position: Position,
        /// The notice as JSON.
        doc: Bytes,
    },
    /// It was told.
    RemoveNotice {
        /// As it was put.
        due: Timestamp,
        /// See `due`.
        position: Position,
    },
    /// It cannot be told: kept apart, so that others go on.
    SetNoticeAside {
        /// As it was put.
        due: Timestamp,
        /// See `due`.
        position: Position,
        /// What is wrong with it.
        fault: Box<str>,
    },
    /// An event type made or changed.
    PutEventType {
        /// Whose catalogue it is in: a profile's name.
        profile: Box<str>,
        /// Its name.
        name: Box<str>,
        /// What is said of it, as JSON.
        doc: Bytes,
        /// When, as who asked for it is told.
        at: Timestamp,
    },
    /// An event type removed. Its events stay, and more may come.
    DeleteEventType {
        /// Whose catalogue it was in.
        profile: Box<str>,
        /// Its name.
        name: Box<str>,
    },
    /// A subject made, or given to other tenants.
    PutSubject {
        /// Its public id.
        id: Box<str>,
        /// Whose it is, by their numbers: a tenant that is made again under its id is another one.
        tenants: Vec<TenantNo>,
        /// When it was made.
        created_at: Timestamp,
        /// When, as who asked for it is told.
        at: Timestamp,
    },
    /// A subject removed.
    DeleteSubject {
        /// Its public id.
        id: Box<str>,
    },
}

impl std::fmt::Debug for Edit {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::PutTenant { no, id, .. } => write!(f, "PutTenant({no:?}, {id})"),
            Self::DeleteTenant { no } => write!(f, "DeleteTenant({no:?})"),
            Self::PutEndpoint { no, id, version, .. } => {
                write!(f, "PutEndpoint({no:?}, {id}, version {version})")
            }
            Self::DeleteEndpoint { no } => write!(f, "DeleteEndpoint({no:?})"),
            Self::PutHealth { no, health } => write!(f, "PutHealth({no:?}, {health:?})"),
            Self::PutVerification { no, .. } => write!(f, "PutVerification({no:?})"),
            Self::PutToken { id, .. } => write!(f, "PutToken({id})"),
            Self::DeleteToken { id } => write!(f, "DeleteToken({id})"),
            Self::PutReplay { replay, progress } => write!(f, "PutReplay({}, {progress:?})", replay.id),
            Self::PutNotice { due, position, .. } => write!(f, "PutNotice({position:?}, {due:?})"),
            Self::RemoveNotice { position, .. } => write!(f, "RemoveNotice({position:?})"),
            Self::SetNoticeAside { position, .. } => write!(f, "SetNoticeAside({position:?})"),
            Self::PutEventType { profile, name, .. } => write!(f, "PutEventType({profile}, {name})"),
            Self::DeleteEventType { profile, name } => write!(f, "DeleteEventType({profile}, {name})"),
            Self::PutSubject { id, tenants, .. } => write!(f, "PutSubject({id}, {tenants:?})"),
            Self::DeleteSubject { id } => write!(f, "DeleteSubject({id})"),
        }
    }
}

/// What a store keeps of an endpoint's health, so that a restart does not forget it.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub struct Health {
    /// When the breaker tripped, if it is open.
    pub tripped_at: Option<Timestamp>,
    /// Since when every attempt has failed.
    pub failing_since: Option<Timestamp>,
    /// Why the endpoint gave up, if it is disabled.
    pub disabled: Option<Box<str>>,
}

/// A test request, logged beside the deliveries, without a sequence number.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TestRecord {
    /// A position of its own, so that its id leads to it.
    pub position: Position,
    /// Whose.
    pub tenant: TenantNo,
    /// Of which endpoint.
    pub endpoint: EndpointNo,
    /// The event type that was sent.
    pub event_type: Arc<str>,
    /// The data that was sent.
    pub data: Bytes,
    /// When it was asked for.
    pub at: Timestamp,
    /// What came of it.
    pub attempt: AttemptRecord,
}

impl TestRecord {
    /// The verdict: that of its one attempt.
    pub fn status(&self) -> Status {
        if self.attempt.error.is_none() { Status::Succeeded } else { Status::Failed }
    }
}

/// All that one commit makes durable, at once or not at all.
#[derive(Clone, PartialEq, Debug)]
pub struct Group {
    /// Who writes: drawn anew at each start.
    pub writer: u64,
    /// The writer's number for this commit, from 1. With `writer` the marker that settles an unknown result.
    pub number: u64,
    /// When it was built.
    pub at: Timestamp,
    /// The first position of the group. Every group takes at least one, also one without events or tests.
    pub first: Position,
    /// The last position that it takes.
    pub last: Position,
    /// Changes of configuration; in force before the events.
    pub edits: Vec<Edit>,
    /// Accepted events in order of position.
    pub accepted: Vec<Accepted>,
    /// Steps of deliveries, in the order in which they happened. All are of earlier groups.
    pub updates: Vec<Update>,
    /// Tests that ended.
    pub tests: Vec<TestRecord>,
}

/// A pending delivery as a store pages it in, with its event.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Loaded {
    /// Which.
    pub delivery: DeliveryRef,
    /// Where the store keeps it.
    pub place: Place,
    /// How far it has come.
    pub progress: Progress,
    /// Its event, with data.
    pub event: Arc<Event>,
}

/// A delivery that has ended, as a store gives it to a replay.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Ended {
    /// Which.
    pub delivery: DeliveryRef,
    /// Its last run.
    pub run: u16,
    /// Attempts recorded over all runs.
    pub attempts: u32,
    /// Its event, with data.
    pub event: Arc<Event>,
}

/// A pending delivery without its event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PendingRow {
    /// Which.
    pub delivery: DeliveryRef,
    /// Where it is kept.
    pub place: Place,
    /// How far it has come.
    pub progress: Progress,
    /// The lane of its event's ordering key, if it has one.
    pub lane: Option<LaneKey>,
}
