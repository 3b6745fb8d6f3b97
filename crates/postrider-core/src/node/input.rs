//! What goes into a node and what comes out of it.

use std::sync::Arc;
use std::time::Duration;

use crate::id::{EndpointNo, Position, TenantNo};
use crate::policy::Policy;
use crate::publication::{Publication, Receipt, Refusal};
use crate::record::{
    AttemptRecord, DeliveryRef, Edit, Ended, Event, Health, LaneKey, Loaded, PendingRow, Place, Progress,
    TestRecord, Trigger,
};
use crate::replay::{Replay, ReplayProgress};
use crate::time::Timestamp;

/// Something that happened. `R` is how the driver finds back to whoever asked.
#[derive(Debug)]
pub enum Input<R> {
    /// Events to accept; answered by [`Reply::Published`] when all that can be accepted are durable.
    Publish(Vec<Publication>, R),
    /// Changes of configuration; answered by [`Reply::Done`] when durable.
    Edit(Vec<Change>, R),
    /// An attempt ended.
    Finished(Box<Finished>),
    /// A page was read.
    Page(Box<PageRead>),
    /// A page could not be read; it is asked for again later.
    PageFailed(Load),
    /// Somebody wants a delivery again.
    Retry(Box<Wanted>, R),
    /// Somebody withdraws a pending delivery.
    Cancel(Box<Wanted>, R),
    /// Somebody wants many deliveries again, or no more of them.
    Replay(ReplayAsk, R),
    /// A test request was made; answered by [`Reply::Tested`] when its record is durable. The position in it is ignored.
    Tested(Box<TestRecord>, R),
    /// Time passed: whatever is due by now is done.
    Tick,
}

/// A change of configuration, with what the machine needs to know of it.
#[derive(Debug, Clone)]
pub struct Change {
    /// What the store is to keep.
    pub edit: Edit,
    /// With [`Edit::PutEndpoint`] and [`Edit::PutVerification`]: the endpoint's policy.
    pub policy: Option<Policy>,
}

/// What somebody wants of a replay.
#[derive(Debug, Clone)]
pub enum ReplayAsk {
    /// That it begins.
    Start(Arc<Replay>),
    /// That it lets nothing more go.
    Cancel {
        /// Whose it is.
        tenant: TenantNo,
        /// Of which endpoint.
        endpoint: EndpointNo,
        /// Its public id.
        id: Box<str>,
    },
}

/// A delivery that somebody named, as the store has it.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// Which.
    pub delivery: DeliveryRef,
    /// Its event with data.
    pub event: Arc<Event>,
    /// How far it has come.
    pub progress: Progress,
    /// Where it is pending; `None` if it has ended.
    pub place: Option<Place>,
    /// The last position committed before it was read.
    pub as_of: Position,
}

/// An attempt that ended.
#[derive(Debug)]
pub struct Finished {
    /// Which delivery.
    pub delivery: DeliveryRef,
    /// The record; its error is `None` for an acknowledgement.
    pub record: AttemptRecord,
    /// The receiver's `Retry-After`, at most 24 h.
    pub retry_after: Option<Duration>,
    /// What the receiver asked for in `webhook-delivery`.
    pub directive: Option<Directive>,
}

/// What a receiver may ask for in the response header `webhook-delivery`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Directive {
    /// Do not try this delivery again.
    AbortMessage,
    /// Disable the endpoint.
    Disable,
}

/// A page that the machine asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Load {
    /// The endpoint's tenant.
    pub tenant: TenantNo,
    /// The endpoint.
    pub endpoint: EndpointNo,
    /// What of it.
    pub what: What,
    /// At most so many entries.
    pub entries: usize,
    /// At most so many bytes of data (but always one entry).
    pub bytes: usize,
}

/// The part of an endpoint's work that a page is taken from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum What {
    /// Due work with a rank after this.
    Due(Position),
    /// Retries after this, due until the second.
    Retries((Timestamp, Position), Timestamp),
    /// Work held behind a key, after this position.
    Held(LaneKey, Position),
    /// Whatever is pending, to end it.
    Any,
    /// Whatever is pending and was accepted before this time.
    Before(Timestamp),
    /// Retries due after this time.
    Beyond(Timestamp),
    /// How much is pending.
    Count,
    /// What a replay covers after this position.
    Replay(Arc<Replay>, Position),
}

impl What {
    /// Whether no due delivery waits for it. What may wait is read apart, so that it keeps nothing else waiting, however much
    /// there is to look through.
    pub const fn may_wait(&self) -> bool {
        matches!(self, Self::Count | Self::Replay(..))
    }
}

/// A page as read.
#[derive(Debug)]
pub struct PageRead {
    /// What was asked for.
    pub load: Load,
    /// The entries, for [`What::Due`], [`What::Retries`], [`What::Held`] and [`What::Beyond`].
    pub entries: Vec<Loaded>,
    /// The rows, for [`What::Any`] and [`What::Before`].
    pub rows: Vec<PendingRow>,
    /// With [`What::Replay`]: what it covers.
    pub ended: Vec<Ended>,
    /// With [`What::Replay`]: up to where that is all.
    pub upto: Position,
    /// Nothing further was there.
    pub complete: bool,
    /// The last position committed when it was read.
    pub watermark: Position,
    /// With [`What::Retries`]: when the first retry after the page is due.
    pub next: Option<Timestamp>,
    /// With [`What::Count`]: the count, as it was at the watermark.
    pub count: u64,
}

/// What the driver has to do, in any order.
#[derive(Debug)]
pub struct Effects<R> {
    /// Requests to make.
    pub attempts: Vec<Attempt>,
    /// Pages to read.
    pub loads: Vec<Load>,
    /// Answers to give.
    pub replies: Vec<(R, Reply)>,
}

impl<R> Default for Effects<R> {
    fn default() -> Self {
        Self { attempts: Vec::new(), loads: Vec::new(), replies: Vec::new() }
    }
}

/// A request to make.
#[derive(Debug, Clone)]
pub struct Attempt {
    /// For which delivery.
    pub delivery: DeliveryRef,
    /// Its event.
    pub event: Arc<Event>,
    /// The attempt's number over all runs, from 1.
    pub number: u32,
    /// The run.
    pub run: u16,
    /// What brought it about.
    pub trigger: Trigger,
    /// The version of the endpoint that it is for, at least: it may be on its way to the store still.
    pub endpoint_version: u32,
}

/// An answer.
#[derive(Debug, PartialEq, Eq)]
pub enum Reply {
    /// One for each event, in order.
    Published(Vec<Result<Receipt, Refusal>>),
    /// It is durable.
    Done,
    /// The test's position.
    Tested(Position),
    /// It cannot be done as things stand.
    Conflict(&'static str),
    /// No room, or the store cannot write.
    Overloaded(&'static str),
}

/// An endpoint as a start finds it.
#[derive(Debug, Clone)]
pub struct Restored {
    /// Its number.
    pub no: EndpointNo,
    /// Its tenant.
    pub tenant: TenantNo,
    /// Its policy.
    pub policy: Policy,
    /// Removed, with work left to cancel.
    pub deleted: bool,
    /// Its health as recorded.
    pub health: Health,
    /// The last sequence number given.
    pub last_sequence: u64,
    /// Whether anything is pending.
    pub has_pending: bool,
    /// Pending deliveries that block their keys.
    pub blocking: Vec<(DeliveryRef, Place, Progress, LaneKey)>,
    /// Lanes with held deliveries.
    pub held: Vec<LaneKey>,
    /// Its replays that have not ended.
    pub replays: Vec<(Arc<Replay>, ReplayProgress)>,
}

/// How an endpoint stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Its state.
    pub state: State,
    /// The last sequence number given.
    pub sequence: u64,
    /// How many deliveries are pending, as far as known.
    pub pending: u64,
    /// Since when every attempt has failed, if the last one did.
    pub failing_since: Option<Timestamp>,
}

/// An endpoint's state.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum State {
    /// Deliveries are attempted.
    Active,
    /// It is not proven whose it is.
    Unverified,
    /// Switched off by its owner.
    Paused,
    /// The breaker is open.
    Tripped {
        /// When it is tried again.
        retry_at: Timestamp,
    },
    /// Gave up.
    Disabled {
        /// Why.
        reason: String,
    },
}

impl State {
    /// The names of all states.
    pub const NAMES: [&str; 5] = ["active", "unverified", "paused", "tripped", "disabled"];

    /// The name used in the API.
    pub const fn as_str(&self) -> &'static str {
        match self {
            Self::Active => "active",
            Self::Unverified => "unverified",
            Self::Paused => "paused",
            Self::Tripped { .. } => "tripped",
            Self::Disabled { .. } => "disabled",
        }
    }
}

/// Counts since the start.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Counts {
    /// Events accepted.
    pub accepted: u64,
    /// Events refused because their tenant's quota is used up.
    pub refused: u64,
    /// Deliveries owed.
    pub owed: u64,
    /// Attempts acknowledged.
    pub succeeded: u64,
    /// Attempts that failed.
    pub failed: u64,
    /// Attempts that came to nothing through a fault of ours.
    pub local_faults: u64,
    /// Breakers tripped.
    pub tripped: u64,
    /// Groups committed.
    pub groups: u64,
}
