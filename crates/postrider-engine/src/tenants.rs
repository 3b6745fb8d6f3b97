//! Tenants as service functions: made, read, changed and removed with all that is theirs.

use std::sync::Arc;

use postrider_core::card;
use postrider_core::fault::Fault;
use postrider_core::id::{TenantId, TenantNo};
use postrider_core::node::Change;
use postrider_core::record::Edit;
use postrider_core::tenant::{OPERATOR, Quotas, TenantConfig};

use crate::Engine;
use crate::card_guard::fault_of_name;
use crate::clock::wall;
use crate::directory::{Directory, Tenant};
use crate::error::ServiceError;

/// Endpoints removed by one edit, at most; a tenant with more goes in steps.
const REMOVED_AT_ONCE: usize = 1_000;

impl Engine {
    /// A tenant by its public id.
    pub fn tenant(&self, id: &str) -> Option<Arc<Tenant>> {
        self.directory().tenant(id)
    }

    /// The number of the tenant of that id.
    pub fn tenant_no(&self, id: &str) -> Option<TenantNo> {
        self.directory().tenant_no(id)
    }

    /// At most `limit` tenants in order of their ids, after the given one.
    pub fn tenants_after(&self, after: Option<&str>, limit: usize) -> Vec<Arc<Tenant>> {
        self.directory().tenants_after(after, limit)
    }

    /// Makes a tenant or replaces what it is set to; also says whether it was made. Its quotas hold for what comes next.
    ///
    /// # Errors
    /// [`ServiceError::Invalid`] for an id or settings that hold a card number, and for quotas of the operator's own tenant,
    /// which has none; else as the store fails.
    pub async fn put_tenant(
        &self,
        id: TenantId,
        config: &TenantConfig,
    ) -> Result<(Arc<Tenant>, bool), ServiceError> {
        let doc = config.to_doc();
        let mut faults = card::faults_of_configuration(&doc);
        faults.extend(fault_of_name("/tenant", id.as_str()));
        let limited = id.as_str() != OPERATOR;
        if !limited && config.quotas != Quotas::default() {
            faults.push(Fault::new("/quotas", "cannot be set: the operator's own tenant has none"));
        }
        if !faults.is_empty() {
            return Err(ServiceError::Invalid(faults));
        }
        let mut editing = self.directory().editing().await;
        let before = self.directory().tenant(id.as_str());
        let no = before.as_ref().map_or_else(|| editing.tenant(), |before| before.no);
        let now = wall();
        let edit = Edit::PutTenant { no, id: id.as_str().into(), doc: doc.clone(), at: now };
        let created_at = before.as_ref().map_or(now, |before| before.created_at);
        let cards = config.card_policy.over(&self.config().cards);
        let (profile, integrations) = (config.profile.clone(), config.integrations.clone().into());
        let tenant =
            Arc::new(Tenant { no, id, doc, profile, cards, integrations, created_at, updated_at: now });
        let (made, driver, quotas) = (Arc::clone(&tenant), self.driver().clone(), config.quotas);
        let then = move |directory: &Directory, durable: bool| {
            if durable {
                // Before anybody can publish for it.
                if limited {
                    driver.set_quotas(no, quotas);
                }
                directory.put_tenant(made);
            }
        };
        self.apply(editing, vec![Change { edit, policy: None }], then).await?;
        Ok((tenant, before.is_none()))
    }

    /// Removes a tenant with its tokens and endpoints. What is still owed is cancelled afterwards. Where it is broken off
    /// it may have removed some endpoints; asked again it goes on.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; [`ServiceError::Conflict`] for the operator's own; else as the store fails.
    pub async fn delete_tenant(&self, no: TenantNo) -> Result<(), ServiceError> {
        let mut editing = self.directory().editing().await;
        let tenant = self.directory().tenant_by_no(no).ok_or(ServiceError::NotFound("the tenant"))?;
        if tenant.id.as_str() == OPERATOR {
            return Err(ServiceError::Conflict("the operator's own tenant cannot be removed".into()));
        }
        // Tokens first: nobody but the operator touches what is being removed.
        let tokens = self.directory().tokens_where(|token| token.config.is_bound_to(tenant.id.as_str()));
        if !tokens.is_empty() {
            let edits = tokens.iter().map(|token| Edit::DeleteToken { id: token.id.clone() });
            let changes = edits.map(|edit| Change { edit, policy: None }).collect();
            let then = move |directory: &Directory, durable: bool| {
                if durable {
                    tokens.iter().for_each(|token| directory.remove_token(&token.id));
                }
            };
            editing = self.apply(editing, changes, then).await?;
        }
        loop {
            let endpoints = self.directory().endpoints_after(no, None, REMOVED_AT_ONCE);
            let last = endpoints.len() < REMOVED_AT_ONCE;
            let edits = endpoints.iter().map(|endpoint| Edit::DeleteEndpoint { no: endpoint.no });
            let edits = edits.chain(last.then_some(Edit::DeleteTenant { no }));
            let changes = edits.map(|edit| Change { edit, policy: None }).collect();
            let then = move |directory: &Directory, durable: bool| {
                if durable {
                    endpoints.iter().for_each(|endpoint| directory.remove_endpoint(endpoint.no));
                    if last {
                        directory.remove_tenant(no);
                    }
                }
            };
            editing = self.apply(editing, changes, then).await?;
            if last {
                return Ok(());
            }
        }
    }

    /// Makes the operator's own tenant where it does not exist yet.
    ///
    /// # Errors
    /// As the store fails.
    pub async fn ensure_operator(&self) -> Result<(), ServiceError> {
        if self.tenant(OPERATOR).is_some() {
            return Ok(());
        }
        let id = OPERATOR.parse().map_err(|_| ServiceError::Internal)?;
        self.put_tenant(id, &TenantConfig::named("Operator")).await.map(|_| ())
    }
}
