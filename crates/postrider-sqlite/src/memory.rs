//! What writer and readers share: the parts of the indexes that are not in tables yet, and how a reader sees both as of one commit.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;

use parking_lot::RwLock;
use postrider_core::id::{Position, TenantNo};
use postrider_core::record::{Accepted, KeyHash, Owed};
use postrider_core::time::Timestamp;

use crate::SqliteConfig;
use crate::chunks::{Owner, Tails};
use crate::codec::HeadEvent;
use crate::overlay::Overlay;
use crate::pool::Pools;
use crate::runs::{FAMILIES, Family, Runs};

/// What tells one state of the database from the next: the newest journal row, and how often maintenance changed something.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Generation {
    pub(crate) row: i64,
    pub(crate) maintained: i64,
}

/// Up to where the indexes in tables are complete; behind it a start reads the journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Marks {
    pub(crate) open_from: Position,
    pub(crate) chunks_from: Position,
    pub(crate) runs_from: [Position; FAMILIES.len()],
}

/// The state beside the tables, as of one commit. Only the writer changes it, and only after a commit.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    pub(crate) committed: Position,
    pub(crate) generation: Generation,
    pub(crate) overlay: Overlay,
    pub(crate) tails: Tails,
    pub(crate) runs: [Runs; FAMILIES.len()],
    pub(crate) marks: Marks,
    /// The marks have moved since they were last written.
    pub(crate) marks_moved: bool,
}

impl Memory {
    /// The runs of a family.
    pub(crate) fn family(&mut self, family: Family) -> &mut Runs {
        &mut self.runs[family as usize]
    }

    /// Adds an event's keys and its deliveries' places in the order, but for what lies before the marks.
    pub(crate) fn index(&mut self, a: &Indexed<'_>, marks: &Marks, at: Timestamp) {
        let position = a.event;
        if position >= marks.runs_from[Family::Idempotency as usize]
            && let Some(key) = a.idempotency
        {
            self.family(Family::Idempotency).push(key, position, at);
        }
        if position >= marks.runs_from[Family::Index as usize] {
            for key in [a.own_id, a.key, a.subject].into_iter().flatten() {
                self.family(Family::Index).push(key, position, at);
            }
        }
    }
}

/// What of an event is indexed.
pub(crate) struct Indexed<'a> {
    pub(crate) event: Position,
    /// Its idempotency key, unless that is its own id: one entry leads there.
    pub(crate) idempotency: Option<KeyHash>,
    pub(crate) own_id: Option<KeyHash>,
    pub(crate) key: Option<KeyHash>,
    pub(crate) subject: Option<KeyHash>,
    pub(crate) deliveries: &'a [Owed],
    pub(crate) tenant: TenantNo,
}

impl<'a> From<&'a Accepted> for Indexed<'a> {
    fn from(a: &'a Accepted) -> Self {
        Self {
            event: a.event.position,
            idempotency: a.idempotency.map(|(key, _)| key).filter(|key| Some(*key) != a.own_id),
            own_id: a.own_id,
            key: a.key,
            subject: a.subject,
            deliveries: &a.deliveries,
            tenant: a.event.tenant,
        }
    }
}

impl<'a> From<&'a HeadEvent> for Indexed<'a> {
    fn from(e: &'a HeadEvent) -> Self {
        Self {
            event: e.event.position,
            idempotency: e.idempotency.map(|(key, _)| key).filter(|key| Some(*key) != e.own_id),
            own_id: e.own_id,
            key: e.key,
            subject: e.subject,
            deliveries: &e.deliveries,
            tenant: e.event.tenant,
        }
    }
}

impl Indexed<'_> {
    /// Its places in the orders: its own in that of its tenant, those of its deliveries in those of their endpoints, with
    /// their sequences.
    pub(crate) fn places(&self) -> impl Iterator<Item = (Owner, Position, u64)> + '_ {
        let deliveries =
            (1..).zip(self.deliveries).map(|(i, d)| (d.endpoint.into(), self.event.plus(i), d.sequence));
        std::iter::once((self.tenant.into(), self.event, 0)).chain(deliveries)
    }
}

/// What the store and its writer share.
#[derive(Debug)]
pub(crate) struct Shared {
    pub(crate) path: PathBuf,
    pub(crate) config: SqliteConfig,
    pub(crate) memory: RwLock<Memory>,
    pub(crate) pools: Pools,
    /// Frames in the write-ahead log after the last commit.
    pub(crate) frames: Arc<AtomicI32>,
}
