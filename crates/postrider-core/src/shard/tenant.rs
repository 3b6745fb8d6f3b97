//! What a shard keeps of one tenant: which of its endpoints want what.

use crate::id::EndpointNo;
use crate::policy::Policy;
use crate::subscription::Subscriptions;

/// See the module.
#[derive(Debug, Default)]
pub(crate) struct Tenant {
    pub(crate) subscriptions: Subscriptions,
    /// Endpoints with filters: where there are none, no event is looked into.
    filtering: usize,
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
}
