//! Whom an event is owed to: asked when one is accepted, and by whoever wants to know what would become of one.

use std::sync::Arc;

use rustc_hash::FxHashMap;

use super::{Shard, Slot};
use crate::filter::{Facts, Filters, Judged};
use crate::id::{EndpointNo, TenantNo};
use crate::matching::{Candidate, Hold, Outlook};
use crate::subscription::names;

/// Takes out the endpoints that do not name a type itself, which their tenant may not have: a wildcard stands for what is
/// allowed. What is named was allowed once, and is told to be skipped.
pub(crate) fn keep_naming(
    matching: &mut Vec<EndpointNo>,
    slots: &FxHashMap<EndpointNo, Slot>,
    event_type: &str,
) {
    matching.retain(|no| slots.get(no).is_some_and(|slot| names(&slot.policy.patterns, event_type)));
}

/// Takes out of those that want its type the endpoints whose filters an event does not pass. What was judged before stays so
/// where the endpoint is still of the version that was asked; the others are asked now. Returns how many looks that took: one
/// at each endpoint, and one for each condition that is asked now.
pub(crate) fn keep_passing(
    matching: &mut Vec<EndpointNo>,
    slots: &FxHashMap<EndpointNo, Slot>,
    judged: Option<&Judged>,
    event_type: &str,
    attributes: &[u8],
    data: &[u8],
) -> usize {
    let mut looks = matching.len();
    // In order, since those that match are.
    let mut unknown: Vec<(EndpointNo, &Filters)> = Vec::new();
    matching.retain(|no| {
        let Some(policy) = slots.get(no).map(|slot| &slot.policy) else { return true };
        let filters = policy.filters.as_deref().filter(|filters| filters.ask_of(event_type));
        let Some(filters) = filters else { return true };
        let verdict = judged.and_then(|judged| judged.verdict(*no, policy.version));
        if verdict.is_none() {
            unknown.push((*no, filters));
        }
        verdict.unwrap_or(true)
    });
    if !unknown.is_empty() {
        looks += unknown.iter().map(|(_, filters)| filters.conditions()).sum::<usize>();
        let facts = Facts::of(unknown.iter().map(|(_, filters)| *filters), attributes, data);
        unknown.retain(|(_, filters)| filters.check(&facts).is_err());
        matching.retain(|no| unknown.binary_search_by_key(no, |(no, _)| *no).is_err());
    }
    looks
}

impl Slot {
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
