//! Tenants: whoever owns webhooks.

use std::collections::BTreeMap;

use http::Method;
use serde::{Deserialize, Serialize};

use crate::{Answer, Client, Error, Page, PageRequest};

/// What a tenant is set to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct TenantSpec {
    /// Name for people.
    pub name: String,
    /// Its profile; `standard` when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// Whatever its operator wants to remember.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// A tenant as read back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Tenant {
    /// Its id.
    pub id: String,
    /// Name for people.
    pub name: Option<String>,
    /// How its webhooks look unless an endpoint says otherwise.
    pub profile: String,
    /// What its operator wants to remember.
    pub metadata: BTreeMap<String, String>,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// When it was last changed, RFC 3339.
    pub updated_at: String,
}

impl Client {
    /// Creates the tenant or replaces what it is set to.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put_tenant(&self, tenant: &str, spec: &TenantSpec) -> Result<Answer<Tenant>, Error> {
        self.send(Method::PUT, &["v1", "tenants", tenant], spec).await
    }

    /// Reads one tenant.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_tenant(&self, tenant: &str) -> Result<Answer<Tenant>, Error> {
        self.get(&["v1", "tenants", tenant], &[]).await
    }

    /// Reads a page of the tenants.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_tenants(&self, page: &PageRequest) -> Result<Answer<Page<Tenant>>, Error> {
        self.get(&["v1", "tenants"], &page.query()).await
    }

    /// Removes the tenant and all that it owns.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_tenant(&self, tenant: &str) -> Result<(), Error> {
        self.send_for_nothing(Method::DELETE, &["v1", "tenants", tenant]).await
    }
}
