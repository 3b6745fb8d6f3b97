//! The operator's view of endpoints over all tenants.

use std::sync::Arc;

use crate::Engine;
use crate::directory::Tenant;
use crate::endpoints::EndpointView;
use crate::error::ServiceError;

/// Endpoints and tenants that are looked at for a page.
const LOOKED_AT: usize = 5_000;

/// Which endpoints are asked for. All conditions hold at once.
#[derive(Debug, Clone, Default)]
pub struct EndpointFilter {
    /// Of the tenant of that id.
    pub tenant: Option<String>,
    /// In the state of that name.
    pub state: Option<String>,
    /// Only what lies behind this tenant and endpoint: where a page left off.
    pub after: Option<(String, String)>,
    /// At most so many.
    pub limit: usize,
}

/// A page of endpoints by the ids of their tenants and their own.
#[derive(Default)]
pub struct EndpointPage {
    /// The endpoints with their tenants.
    pub rows: Vec<(Arc<Tenant>, EndpointView)>,
    /// After which tenant and endpoint to read on; `None` at the end. May be set on a short page.
    pub next: Option<(String, String)>,
}

impl Engine {
    /// Reads a page of endpoints over all tenants.
    ///
    /// # Errors
    /// [`ServiceError::Internal`] for a stored document that cannot be read.
    pub fn endpoints_over_all(&self, filter: &EndpointFilter) -> Result<EndpointPage, ServiceError> {
        let after = filter.after.as_ref().map(|(tenant, endpoint)| (tenant.as_str(), endpoint.as_str()));
        let (found, next) = self.directory().endpoints_over(filter.tenant.as_deref(), after, LOOKED_AT);
        let mut page = EndpointPage { rows: Vec::new(), next };
        for (tenant, endpoint) in found {
            if page.rows.len() >= filter.limit.max(1) {
                let last = page.rows.last().map(|(tenant, view)| (tenant, &view.endpoint));
                page.next = last.map(|(t, e)| (t.id.as_str().to_owned(), e.id.as_str().to_owned()));
                return Ok(page);
            }
            // Removed a moment ago, or in another state.
            let Some(standing) = self.driver().state(endpoint.tenant, endpoint.no) else { continue };
            if filter.state.as_deref().is_none_or(|state| state == standing.state.as_str()) {
                page.rows.push((tenant, self.view_as(endpoint, standing)?));
            }
        }
        Ok(page)
    }
}

#[cfg(test)]
mod tests {
    use bytes::Bytes;
    use postrider_core::card::CardPolicy;
    use postrider_core::id::{EndpointNo, TenantNo};
    use postrider_core::seal::DataKey;
    use postrider_core::time::Timestamp;
    use postrider_store::Recovery;

    use crate::directory::{Directory, Endpoint, Tenant};

    /// Tenants `a` to `e`, of which `b` and `d` have no endpoint, the others three each.
    fn directory() -> Directory {
        let directory = Directory::load(
            &Recovery::default(),
            DataKey::new(&[7; 32]),
            &Default::default(),
            &Default::default(),
            &Default::default(),
        )
        .unwrap();
        let at = Timestamp::EPOCH;
        for (no, id) in (1..).zip(["a", "b", "c", "d", "e"]) {
            let tenant = Tenant {
                no: TenantNo(no),
                id: id.parse().unwrap(),
                doc: Bytes::new(),
                profile: Default::default(),
                integrations: Box::default(),
                cards: CardPolicy::default(),
                created_at: at,
                updated_at: at,
            };
            directory.put_tenant(tenant.into());
            for n in 0..if no % 2 == 1 { 3 } else { 0 } {
                let endpoint = Endpoint {
                    no: EndpointNo(no * 10 + n),
                    tenant: TenantNo(no),
                    id: format!("ep_{n}").parse().unwrap(),
                    version: 1,
                    doc: Box::default(),
                    secrets: Box::default(),
                    verification: None,
                    created_at: at,
                    updated_at: at,
                };
                directory.put_endpoint(endpoint.into());
            }
        }
        directory
    }

    fn walk(directory: &Directory, tenant: Option<&str>, most: usize) -> Vec<String> {
        let (mut all, mut after) = (Vec::new(), None::<(String, String)>);
        for _ in 0..100 {
            let from = after.as_ref().map(|(tenant, endpoint)| (tenant.as_str(), endpoint.as_str()));
            let (found, next) = directory.endpoints_over(tenant, from, most);
            assert!(found.len() <= most);
            all.extend(found.iter().map(|(t, e)| format!("{}/{}", t.id.as_str(), e.id.as_str())));
            after = next;
            if after.is_none() {
                return all;
            }
        }
        panic!("it never ends: {all:?}");
    }

    #[test]
    fn endpoints_over_all_tenants_come_in_order_in_pages_of_any_size() {
        let directory = directory();
        let ids = |t: &str| (0..3).map(|n| format!("{t}/ep_{n}")).collect::<Vec<_>>();
        for most in 1..20 {
            assert_eq!(walk(&directory, None, most), [ids("a"), ids("c"), ids("e")].concat(), "{most}");
            assert_eq!(walk(&directory, Some("c"), most), ids("c"), "{most}");
            assert!(
                walk(&directory, Some("d"), most).is_empty() && walk(&directory, Some("x"), most).is_empty()
            );
        }
        // Whoever goes on in one tenant with a place in another gets nothing of either.
        let elsewhere = directory.endpoints_over(Some("a"), Some(("c", "ep_0")), 9);
        assert!(elsewhere.0.is_empty() && elsewhere.1.is_none());
        assert_eq!(directory.endpoints_named("ep_1").len(), 2);
        directory.remove_endpoint(EndpointNo(31));
        directory.remove_endpoint(EndpointNo(51));
        assert_eq!(directory.endpoints_named("ep_1").len(), 2, "removed ones may be in the log");
        assert!(directory.endpoints_named("ep_9").is_empty());
    }
}
