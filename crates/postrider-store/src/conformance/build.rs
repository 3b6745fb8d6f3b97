//! Builds groups: positions, sequences and times are kept so that a case says only what it is about.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::record::{
    Accepted, AttemptRecord, DeliveryRef, Disposition, Edit, ErrorKind, Event, Group, KeyHash, Owed, Place,
    Progress, Start, Status, TestRecord, Trigger, Update,
};
use postrider_core::time::Timestamp;

use crate::{PageLimit, Writer};

/// A limit that no case reaches.
pub const ALL: PageLimit = PageLimit { entries: 100_000, bytes: usize::MAX };
/// The tenant that cases use.
pub const TENANT: TenantNo = TenantNo(1);

/// What the next group holds, and where the one after begins.
#[derive(Debug)]
pub struct Builder {
    /// The time of the next group.
    pub now: Timestamp,
    number: u64,
    next: u64,
    sequences: BTreeMap<EndpointNo, u64>,
    edits: Vec<Edit>,
    accepted: Vec<Accepted>,
    updates: Vec<Update>,
    tests: Vec<TestRecord>,
}

impl Default for Builder {
    fn default() -> Self {
        Self {
            now: Timestamp::from_secs(1_760_000_000),
            number: 0,
            next: 1,
            sequences: BTreeMap::new(),
            edits: Vec::new(),
            accepted: Vec::new(),
            updates: Vec::new(),
            tests: Vec::new(),
        }
    }
}

/// An event of these parts; the builder gives it its place and time.
#[derive(Debug, Clone)]
pub struct Draft {
    /// Whose.
    pub tenant: TenantNo,
    /// Its type.
    pub event_type: &'static str,
    /// Its own id.
    pub own_id: Option<String>,
    /// Its ordering key.
    pub key: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// From when on nobody wants it.
    pub expires_at: Option<Timestamp>,
    /// Its idempotency key.
    pub idempotency: Option<String>,
    /// Its data.
    pub data: Bytes,
    /// To whom, and how.
    pub deliveries: Vec<(u32, Start)>,
}

impl Default for Draft {
    fn default() -> Self {
        Self {
            tenant: TENANT,
            event_type: "card.transaction.authorized",
            own_id: None,
            key: None,
            subject: None,
            expires_at: None,
            idempotency: None,
            data: Bytes::from_static(b"{\"amount\":42.50}"),
            deliveries: vec![(1, Start::Due)],
        }
    }
}

impl Builder {
    /// Goes on in a database that has something already: after a position, with the last sequences of endpoints.
    pub fn after(committed: Position, sequences: &[(EndpointNo, u64)]) -> Self {
        let sequences = sequences.iter().copied().collect();
        Self { next: committed.0 + 1, sequences, ..Self::default() }
    }

    /// Adds an event; gives the places of its deliveries.
    pub fn event(&mut self, draft: Draft) -> Vec<DeliveryRef> {
        let position = Position(self.next);
        self.next += 1 + draft.deliveries.len() as u64;
        let mut owed = Vec::new();
        let mut places = Vec::new();
        for (i, (endpoint, start)) in (1..).zip(draft.deliveries) {
            let endpoint = EndpointNo(endpoint);
            let sequence = self.sequences.entry(endpoint).or_default();
            *sequence += 1;
            owed.push(Owed { endpoint, sequence: *sequence, start });
            places.push(DeliveryRef {
                position: position.plus(i),
                event: position,
                tenant: draft.tenant,
                endpoint,
                sequence: *sequence,
            });
        }
        let hash = |f: fn(TenantNo, &str) -> KeyHash, text: &Option<String>| {
            text.as_deref().map(|t| f(draft.tenant, t))
        };
        self.accepted.push(Accepted {
            idempotency: hash(KeyHash::idempotency, &draft.idempotency)
                .map(|k| (k, KeyHash::body(&draft.data))),
            own_id: hash(KeyHash::own_id, &draft.own_id),
            key: hash(KeyHash::ordering, &draft.key),
            subject: hash(KeyHash::subject, &draft.subject),
            event: Arc::new(Event {
                position,
                tenant: draft.tenant,
                accepted_at: self.now,
                occurred_at: self.now - Duration::from_secs(1),
                event_type: draft.event_type.into(),
                own_id: draft.own_id.map(Into::into),
                key: draft.key.map(Into::into),
                subject: draft.subject.map(Into::into),
                expires_at: draft.expires_at,
                attributes: Bytes::from_static(b"{\"buyer_party\":\"55\"}"),
                data: draft.data,
            }),
            deliveries: owed,
        });
        places
    }

    /// Adds a step of a delivery.
    pub fn update(&mut self, update: Update) {
        self.updates.push(update);
    }

    /// Adds a change of configuration.
    pub fn edit(&mut self, edit: Edit) {
        self.edits.push(edit);
    }

    /// Takes a position that no event has.
    pub fn spare_position(&mut self) -> Position {
        self.next += 1;
        Position(self.next - 1)
    }

    /// Adds a test.
    pub fn test(&mut self, test: TestRecord) {
        self.tests.push(test);
    }

    /// The group, and the next one begins. It takes at least one position.
    pub fn group(&mut self, first: Position) -> Group {
        self.number += 1;
        self.next = self.next.max(first.0 + 1);
        let group = Group {
            writer: 77,
            number: self.number,
            at: self.now,
            first,
            last: Position(self.next - 1),
            edits: std::mem::take(&mut self.edits),
            accepted: std::mem::take(&mut self.accepted),
            updates: std::mem::take(&mut self.updates),
            tests: std::mem::take(&mut self.tests),
        };
        self.now = self.now + Duration::from_millis(100);
        group
    }

    /// Commits what was added; gives the group.
    pub fn commit(&mut self, writer: &mut dyn Writer, committed: Position) -> Group {
        let group = self.group(committed.plus(1));
        writer.commit(&group).unwrap();
        group
    }
}

/// An attempt that ended at `at`, with a status code; a failure above 299.
pub fn attempt(number: u32, run: u16, trigger: Trigger, code: u16, at: Timestamp) -> AttemptRecord {
    let failed = code >= 300;
    AttemptRecord {
        number,
        run,
        trigger,
        started_at: at - Duration::from_micros(1_234),
        duration: Duration::from_micros(1_000),
        status_code: Some(code),
        error: failed.then(|| (ErrorKind::Status, "answered with an error".into())),
        remote_address: Some([127, 0, 0, 1].into()),
        endpoint_version: 3,
        signed_at: (at - Duration::from_secs(2)).as_secs(),
        response_headers: if failed {
            vec![("x-why".into(), Bytes::from_static(b"\xff"))]
        } else {
            Vec::new()
        },
        response_body: if failed { Bytes::from_static(b"no") } else { Bytes::new() },
    }
}

/// The first attempt of a due delivery succeeded.
pub fn succeeded(delivery: DeliveryRef, at: Timestamp) -> Update {
    Update {
        delivery,
        from: Some(Place::Due(delivery.position)),
        to: Disposition::Ended(Status::Succeeded, None),
        progress: Progress { attempts: 1, step: 1, ..Progress::default() },
        attempt: Some(attempt(1, 0, Trigger::Schedule, 200, at)),
        at,
    }
}

/// The first attempt of a due delivery failed; the next is due at `again`.
pub fn to_retry(delivery: DeliveryRef, at: Timestamp, again: Timestamp) -> Update {
    Update {
        to: Disposition::Pending(Place::Retry(again)),
        attempt: Some(attempt(1, 0, Trigger::Schedule, 503, at)),
        ..succeeded(delivery, at)
    }
}
