//! Whom an event is owed to: asked when one is accepted, and by whoever wants to know what would become of one.

use rustc_hash::FxHashMap;

use super::{Shard, Slot};
use crate::event::Sample;
use crate::filter::{Facts, Filters};
use crate::id::{EndpointNo, TenantNo};
use crate::node::Judgement;

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
}

impl Shard {
    /// What would become of an event at each of some endpoints; `None` for one that does not exist (any more).
    pub(crate) fn judge(
        &self,
        tenant: TenantNo,
        sample: &Sample,
        endpoints: &[EndpointNo],
        backlog_max: u64,
    ) -> Vec<Option<Judgement>> {
        let mut wanting = Vec::new();
        if let Some(tenant) = self.tenants.get(&tenant) {
            tenant.subscriptions.matching(&sample.event_type, &mut wanting);
        }
        let slot = |no: &EndpointNo| self.slots.get(no).filter(|slot| slot.tenant == tenant && !slot.deleted);
        let filters = endpoints.iter().filter_map(slot).filter_map(Slot::filters);
        let facts = Facts::of(filters, &sample.attributes, &sample.data);
        let judge = |no: &EndpointNo| {
            let slot = slot(no)?;
            Some(if wanting.binary_search(no).is_ok() {
                slot.judge_filters(sample, &facts, backlog_max)
            } else {
                Judgement {
                    matches: false,
                    reason: format!("no event type of it covers {}", sample.event_type),
                }
            })
        };
        endpoints.iter().map(judge).collect()
    }
}

impl Slot {
    /// What would become of an event whose type it wants.
    fn judge_filters(&self, sample: &Sample, facts: &Facts<'_, '_>, backlog_max: u64) -> Judgement {
        if let Some(unmet) = self.filters().and_then(|filters| filters.check(facts).err()) {
            return Judgement { matches: false, reason: unmet.to_string() };
        }
        let covering = self.policy.patterns.iter().find(|pattern| pattern.matches(&sample.event_type));
        let mut reason =
            covering.map_or_else(String::new, |pattern| format!("{pattern} covers {}", sample.event_type));
        if self.filters().is_some() {
            reason.push_str(", and its filters hold");
        }
        if let Some(why) = self.skips(backlog_max) {
            reason.push_str("; it would be skipped: ");
            reason.push_str(why.as_str());
        } else if !self.policy.enabled {
            reason.push_str("; it would be held until the endpoint is enabled");
        } else if self.tripped() {
            reason.push_str("; it would be held until the endpoint can be reached again");
        }
        Judgement { matches: true, reason }
    }
}
