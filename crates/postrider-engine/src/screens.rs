//! What the endpoints of each tenant ask of events, made ready once and kept: so that events are judged where they are published,
//! and not while the node is kept waiting.

use std::collections::BTreeMap;
use std::sync::{Arc, LazyLock, OnceLock};

use parking_lot::RwLock;
use postrider_core::filter::{Entrant, Screen};
use postrider_core::id::{EndpointNo, TenantNo};
use postrider_core::policy::Policy;
use postrider_core::publication::Publication;
use rustc_hash::FxHashMap;
use tokio::sync::Mutex;

use crate::Engine;
use crate::slice::Slice;

/// Conditions, and pieces of an event, from which judging it is left to a thread that serves nobody else meanwhile.
const HEAVY: usize = 4_096;
/// Bytes of an event that count as much as a condition.
const PIECE_BYTES: usize = 64;

/// The filters of all endpoints that have some, by tenant.
#[derive(Default)]
pub(crate) struct Screens(RwLock<FxHashMap<TenantNo, OfTenant>>);

#[derive(Default)]
struct OfTenant {
    entrants: BTreeMap<EndpointNo, Entrant>,
    /// What these compare with together.
    values: usize,
    ready: OnceLock<Arc<Ready>>,
    alone: Arc<Mutex<()>>,
}

/// What a tenant's endpoints ask.
pub(crate) struct Ready {
    /// Made when an event is there to be judged.
    screen: LazyLock<Arc<Screen>, Box<dyn FnOnce() -> Arc<Screen> + Send>>,
    conditions: usize,
    /// Judging that is heavy is done for one event of a tenant at a time.
    alone: Arc<Mutex<()>>,
}

impl Screens {
    /// An endpoint is of this version now.
    pub(crate) fn put(&self, tenant: TenantNo, no: EndpointNo, policy: &Policy) {
        let Some(filters) = &policy.filters else { return self.remove(tenant, no) };
        let entrant = Entrant {
            no,
            version: policy.version,
            patterns: policy.patterns.as_slice().into(),
            filters: Arc::clone(filters),
        };
        let mut tenants = self.0.write();
        let of_tenant = tenants.entry(tenant).or_default();
        of_tenant.values += filters.values();
        if let Some(before) = of_tenant.entrants.insert(no, entrant) {
            of_tenant.values -= before.filters.values();
        }
        of_tenant.ready = OnceLock::new();
    }

    /// An endpoint has no filters, or is gone.
    pub(crate) fn remove(&self, tenant: TenantNo, no: EndpointNo) {
        let mut tenants = self.0.write();
        let Some(of_tenant) = tenants.get_mut(&tenant) else { return };
        if let Some(before) = of_tenant.entrants.remove(&no) {
            of_tenant.values -= before.filters.values();
            of_tenant.ready = OnceLock::new();
        }
        if of_tenant.entrants.is_empty() {
            tenants.remove(&tenant);
        }
    }

    /// With how many values the filters of a tenant's endpoints compare, all of them and those of one endpoint.
    pub(crate) fn values(&self, tenant: TenantNo, no: EndpointNo) -> (usize, usize) {
        let tenants = self.0.read();
        let Some(of_tenant) = tenants.get(&tenant) else { return (0, 0) };
        let of_one = of_tenant.entrants.get(&no).map_or(0, |entrant| entrant.filters.values());
        (of_tenant.values, of_one)
    }

    /// What the endpoints of a tenant ask; `None` where none of them has filters.
    fn of(&self, tenant: TenantNo) -> Option<Arc<Ready>> {
        let tenants = self.0.read();
        let of_tenant = tenants.get(&tenant)?;
        Some(Arc::clone(of_tenant.ready.get_or_init(|| {
            let entrants: Vec<_> = of_tenant.entrants.values().cloned().collect();
            let conditions = entrants.iter().map(|entrant| entrant.filters.conditions()).sum();
            let screen = LazyLock::new(Box::new(move || Arc::new(Screen::of(entrants))) as Box<_>);
            Arc::new(Ready { screen, conditions, alone: Arc::clone(&of_tenant.alone) })
        })))
    }
}

impl Ready {
    fn is_heavy(&self, item: &Publication) -> bool {
        self.conditions + (item.data.len() + item.attributes.len()) / PIECE_BYTES > HEAVY
    }
}

impl Engine {
    /// Judges events by the filters of their tenants' endpoints. An endpoint that changes before they are accepted is asked
    /// again then.
    pub(crate) async fn judge(&self, items: &mut [Publication], slice: &mut Slice) {
        for item in items {
            let Some(ready) = self.directory().screens().of(item.tenant) else { continue };
            if ready.is_heavy(item) {
                let (event_type, attributes, data) =
                    (Arc::clone(&item.event_type), item.attributes.clone(), item.data.clone());
                let alone = Arc::clone(&ready.alone).lock_owned().await;
                let judged = tokio::task::spawn_blocking(move || {
                    let _alone = alone;
                    ready.screen.judge(&event_type, &attributes, &data)
                });
                item.judged = judged.await.ok();
            } else {
                item.judged = Some(ready.screen.judge(&item.event_type, &item.attributes, &item.data));
                slice.pause().await;
            }
        }
    }
}
