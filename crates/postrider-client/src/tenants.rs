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
    /// What kinds of partner it is; it may have the event types that any of them allows.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub integrations: Option<Vec<String>>,
    /// What it may take up; what is absent has the server's default.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub quotas: Option<Quotas>,
    /// What becomes of card data in its events, as the API takes it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub card_policy: Option<serde_json::Value>,
    /// Whatever its operator wants to remember.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// What a tenant may take up at most.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quotas {
    /// Endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub endpoints: Option<u32>,
    /// Values that the filters of its endpoints compare with, all together.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub filter_values: Option<u32>,
    /// Pending deliveries over all its endpoints.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub pending: Option<u32>,
    /// Events accepted a second; none is no limit.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub events_per_second: Option<u32>,
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
    /// What kinds of partner it is.
    #[serde(default)]
    pub integrations: Vec<String>,
    /// What it may take up; none for the operator's own.
    pub quotas: Option<Quotas>,
    /// What becomes of card data in its events; none where all is as the server is configured.
    pub card_policy: Option<serde_json::Value>,
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
