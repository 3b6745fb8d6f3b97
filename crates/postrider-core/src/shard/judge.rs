//! Whom an event is owed to: asked when one is accepted, and by whoever wants to know what would become of one.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Shard, Slot};
use crate::filter::{Facts, Filters};
use crate::id::{EndpointNo, TenantNo};
use crate::matching::{Candidate, Hold, Outlook};

/// Takes out of those that want its type the endpoints whose filters an event does not pass.
pub(crate) fn keep_passing(
    matching: &mut Vec<EndpointNo>,
    slots: &FxHashMap<EndpointNo, Slot>,
    attributes: &[u8],
    data: &[u8],
) {
    let filters = |no: &EndpointNo| slots.get(no).and_then(Slot::filters);
    if !matching.iter().any(|no| filters(no).is_some()) {
        return;
    }
    let facts = Facts::of(matching.iter().filter_map(filters), attributes, data);
    matching.retain(|no| filters(no).is_none_or(|filters| filters.check(&facts).is_ok()));
}

impl Slot {
    fn filters(&self) -> Option<&Filters> {
        self.policy.filters.as_deref()
    }

    /// What becomes of what it is owed now.
    fn outlook(&self, backlog_max: u64) -> Outlook {
        match self.skips(backlog_max) {
            Some(reason) => Outlook::Skipped(reason),
            None if !self.policy.enabled => Outlook::Held(Hold::Paused),
            None if self.tripped() => Outlook::Held(Hold::Tripped),
            None => Outlook::Sent,
        }
    }
}

impl Shard {
    /// Some endpoints of a tenant as they stand to an event of this type; `None` for one that does not exist (any more).
    pub(crate) fn candidates(
        &self,
        tenant: TenantNo,
        event_type: &str,
        endpoints: &[EndpointNo],
        backlog_max: u64,
    ) -> Vec<Option<Candidate>> {
        let mut subscribed = Vec::new();
        if let Some(tenant) = self.tenants.get(&tenant) {
            tenant.subscriptions.matching(event_type, &mut subscribed);
        }
        let candidate = |no: &EndpointNo| {
            let slot = self.slots.get(no).filter(|slot| slot.tenant == tenant && !slot.deleted)?;
            Some(Candidate {
                policy: Arc::clone(&slot.policy),
                subscribed: subscribed.binary_search(no).is_ok(),
                outlook: slot.outlook(backlog_max),
            })
        };
        endpoints.iter().map(candidate).collect()
    }
}
