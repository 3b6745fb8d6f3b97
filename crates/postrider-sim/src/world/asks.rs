//! What others ask of the node: publishing, edits, work by hand.

use std::collections::VecDeque;
use std::sync::Arc;

use bytes::Bytes;
use postrider_core::id::{EndpointNo, Position, TenantNo};
use postrider_core::node::{Attempt, Change, Effects, Input, ReplayAsk, Wanted};
use postrider_core::policy::Policy;
use postrider_core::publication::Publication;
use postrider_core::record::{DeliveryRef, Edit, Event, TestRecord, Trigger};
use postrider_core::replay::{Replay, ReplayFilter};
use postrider_core::tenant::Quotas;
use postrider_core::time::Timestamp;

use super::attempts::record;
use super::{Answer, Mode, Receiver, TENANT, World, policy};
use crate::guarantee::Guarantee;

impl World {
    pub(super) fn call(&mut self) -> u64 {
        self.serial += 1;
        self.open.insert(self.serial);
        self.serial
    }

    /// Something happens.
    pub fn input(&mut self, input: Input<u64>) {
        self.inputs += 1;
        let mut effects = Effects::default();
        self.node.handle(self.now, input, &mut effects);
        self.carry_out(effects);
    }

    /// Publishes; the call.
    pub fn publish(&mut self, items: Vec<Publication>) -> u64 {
        let call = self.call();
        let keys: Vec<_> = items.iter().map(|i| i.key.clone()).collect();
        self.note(|| format!("publish {keys:?} ({call})"));
        self.input(Input::Publish(items, call));
        call
    }

    /// Makes or changes an endpoint of [`TENANT`]; the call.
    pub fn put(&mut self, no: u32, change: impl FnOnce(&mut Policy)) -> u64 {
        self.put_for(no, TENANT, change)
    }

    /// Makes or changes an endpoint; the call.
    pub fn put_for(&mut self, no: u32, tenant: TenantNo, change: impl FnOnce(&mut Policy)) -> u64 {
        let no = EndpointNo(no);
        let newest = self.store.policies.range((no, 0)..=(no, u32::MAX)).next_back().map(|(_, p)| p.clone());
        let mut policy = newest.map_or_else(policy, |p| Policy { version: p.version + 1, ..p });
        change(&mut policy);
        self.note(|| {
            format!(
                "put {no:?} v{} enabled={} verified={} ordered={} rate={:?} target={} wide={}",
                policy.version,
                policy.enabled,
                policy.verified,
                policy.ordered,
                policy.per_second,
                policy.target,
                policy.max_in_flight
            )
        });
        self.store.policies.insert((no, policy.version), policy.clone());
        let longest = self.longest.entry(no).or_default();
        *longest = policy.schedule.len().max(*longest);
        self.receivers
            .entry(no)
            .or_insert(Receiver { script: VecDeque::new(), mode: Mode::Always(Answer::ok()) });
        let edit = Edit::PutEndpoint {
            no,
            tenant,
            id: format!("ep{}", no.0).into(),
            version: policy.version,
            doc: Bytes::new(),
            secrets: Bytes::new(),
            at: Timestamp::EPOCH,
        };
        let call = self.call();
        self.input(Input::Edit(vec![Change { edit, policy: Some(policy) }], call));
        call
    }

    /// Limits a tenant.
    pub fn quotas(&mut self, tenant: TenantNo, quotas: Quotas) {
        self.note(|| format!("quotas of {tenant:?}: {quotas:?}"));
        self.quotas.insert(tenant, quotas);
        self.node.set_quotas(tenant, quotas, self.now);
    }

    /// Removes an endpoint; the call.
    pub fn delete(&mut self, no: u32) -> u64 {
        self.note(|| format!("delete {no}"));
        let call = self.call();
        let change = Change { edit: Edit::DeleteEndpoint { no: EndpointNo(no) }, policy: None };
        self.input(Input::Edit(vec![change], call));
        call
    }

    /// Wants a delivery again, by hand; the call.
    pub fn retry(&mut self, position: Position) -> u64 {
        let call = self.call();
        let Some(wanted) = self.store.wanted(position) else {
            self.fail(Guarantee::Sense, "no such delivery")
        };
        self.note(|| format!("retry {position:?} at {:?} ({call})", wanted.place));
        self.input(Input::Retry(Box::new(wanted), call));
        call
    }

    /// Withdraws a delivery; the call.
    pub fn cancel(&mut self, position: Position) -> u64 {
        let call = self.call();
        let Some(wanted) = self.store.wanted(position) else {
            self.fail(Guarantee::Sense, "no such delivery")
        };
        self.note(|| format!("cancel {position:?} at {:?} ({call})", wanted.place));
        self.input(Input::Cancel(Box::new(wanted), call));
        call
    }

    /// Begins a replay of what a filter covers now; its id, and the call.
    pub fn replay(&mut self, no: u32, filter: ReplayFilter, per_second: u32) -> (Box<str>, u64) {
        let call = self.call();
        let id: Box<str> = format!("rpl{call}").into();
        let endpoint = EndpointNo(no);
        let span = self.store.span(endpoint, &filter);
        let tenant = self.store.endpoints.get(&endpoint).map_or(TENANT, |e| e.tenant);
        self.note(|| format!("replay {id} of {no}: {filter:?} {span:?} at {per_second}/s"));
        let created_at = self.now;
        let replay = Replay { id: id.clone(), tenant, endpoint, filter, span, per_second, created_at };
        self.input(Input::Replay(ReplayAsk::Start(Arc::new(replay)), call));
        (id, call)
    }

    /// Ends a replay; the call.
    pub fn cancel_replay(&mut self, id: &str) -> u64 {
        let call = self.call();
        let replay = self.store.replays[id].0.clone();
        self.note(|| format!("cancel {id}"));
        let ask = ReplayAsk::Cancel { tenant: replay.tenant, endpoint: replay.endpoint, id: id.into() };
        self.input(Input::Replay(ask, call));
        call
    }

    /// Withdraws it by what somebody read earlier.
    pub fn cancel_as_read(&mut self, wanted: Wanted) -> u64 {
        let call = self.call();
        self.input(Input::Cancel(Box::new(wanted), call));
        call
    }

    /// Tests an endpoint, with this outcome; the call.
    pub fn test(&mut self, no: u32, answer: &Answer) -> u64 {
        let call = self.call();
        self.note(|| format!("test {no}"));
        if answer.error.is_none() {
            // It may bring a tripped endpoint back.
            self.wishes.remove(&EndpointNo(no));
        }
        let attempt = Attempt {
            delivery: DeliveryRef {
                position: Position::ZERO,
                event: Position::ZERO,
                tenant: TENANT,
                endpoint: EndpointNo(no),
                sequence: 0,
            },
            event: Arc::new(Event {
                position: Position::ZERO,
                tenant: TENANT,
                accepted_at: self.now,
                occurred_at: self.now,
                event_type: "test".into(),
                own_id: None,
                key: None,
                subject: None,
                expires_at: None,
                attributes: Bytes::new(),
                data: Bytes::new(),
            }),
            number: 1,
            run: 0,
            trigger: Trigger::Test,
            endpoint_version: 1,
        };
        let record = TestRecord {
            position: Position::ZERO,
            tenant: TENANT,
            endpoint: EndpointNo(no),
            event_type: "test".into(),
            data: Bytes::new(),
            at: self.now,
            attempt: record(&attempt, answer, self.now, self.now),
        };
        self.input(Input::Tested(Box::new(record), call));
        call
    }

    /// A receiver behaves like this from now on.
    pub fn mode(&mut self, no: u32, mode: Mode) {
        self.note(|| format!("receiver {no}: {mode:?}"));
        if let Some(receiver) = self.receivers.get_mut(&EndpointNo(no)) {
            receiver.mode = mode;
        }
    }

    /// A receiver gives these answers first.
    pub fn answers(&mut self, no: u32, script: impl IntoIterator<Item = Answer>) {
        if let Some(receiver) = self.receivers.get_mut(&EndpointNo(no)) {
            receiver.script.extend(script);
        }
    }
}
