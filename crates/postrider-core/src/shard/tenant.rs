//! What a shard keeps of one tenant: which of its endpoints want what, and how much it may take up.

use std::time::Duration;

use super::pending::Total;
use crate::id::EndpointNo;
use crate::pace::{Bucket, Rate};
use crate::policy::Policy;
use crate::publication::Refusal;
use crate::subscription::Subscriptions;
use crate::tenant::Quotas;
use crate::time::Timestamp;

/// How long until whoever owes too much should come again: when something of that has ended cannot be told.
const PENDING_RETRY: Duration = Duration::from_secs(5);

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    pub(crate) subscriptions: Subscriptions,
    /// Endpoints with filters: where there are none, no event is looked into.
    filtering: usize,
    /// What its endpoints owe together.
    pub(crate) pending: Total,
    /// `None`: without bounds.
    quotas: Option<Quotas>,
    /// What it may still publish at once; none where that is not limited.
    events: Option<Bucket>,
}

impl Tenant {
    /// An endpoint takes part, with this policy.
    pub(crate) fn insert(&mut self, no: EndpointNo, policy: &Policy) {
        self.subscriptions.insert(no, &policy.patterns);
        self.filtering += usize::from(policy.filters.is_some());
    }

    /// An endpoint takes no part any more that did with this policy.
    pub(crate) fn remove(&mut self, no: EndpointNo, policy: &Policy) {
        self.subscriptions.remove(no, &policy.patterns);
        self.filtering -= usize::from(policy.filters.is_some());
    }

    /// Whether any of its endpoints has filters.
    pub(crate) fn filters(&self) -> bool {
        self.filtering > 0
    }

    /// Takes other quotas. What was published shortly before still counts.
    pub(crate) fn set_quotas(&mut self, quotas: Quotas, now: Timestamp) {
        let limited = quotas.events_per_second.map(Rate::per_second);
        self.events = limited.map(|rate| self.events.take().unwrap_or_else(|| Bucket::full(rate, now)));
        self.quotas = Some(quotas);
    }

    /// Whether it may have an event accepted now; then it has.
    ///
    /// An event is taken whole whatever its fan-out, so that what is pending may pass its quota by less than one event owes.
    pub(crate) fn admit(&mut self, now: Timestamp) -> Result<(), Refusal> {
        let Some(quotas) = self.quotas else { return Ok(()) };
        if self.pending.get() >= u64::from(quotas.pending()) {
            return Err(Refusal::OverQuota {
                quota: "pending",
                allowed: quotas.pending(),
                retry_after: PENDING_RETRY,
            });
        }
        if let (Some(allowed), Some(bucket)) = (quotas.events_per_second, &mut self.events) {
            bucket.take(Rate::per_second(allowed), now).map_err(|retry_after| Refusal::OverQuota {
                quota: "events_per_second",
                allowed,
                retry_after,
            })?;
        }
        Ok(())
    }
}
