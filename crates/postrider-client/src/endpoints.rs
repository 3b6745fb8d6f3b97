//! Endpoints: the webhooks of a tenant.

use std::collections::BTreeMap;

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::client::to_json;
use crate::{Answer, Attempt, Client, Error, Page, PageRequest};

/// What an endpoint is set to. Absent fields take the server's defaults.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EndpointSpec {
    /// Where deliveries go.
    pub url: String,
    /// Name for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What it is for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Types it takes: exact, a prefix ending in `.*`, or `*`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub event_types: Option<Vec<String>>,
    /// What it wants of an event beside its type.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub filters: Option<Filters>,
    /// `false` pauses it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enabled: Option<bool>,
    /// How requests authenticate: `{"type": "none" | "basic" | "bearer" | "api_key" | "oauth2", …}`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub auth: Option<Value>,
    /// Headers added to every request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headers: Option<BTreeMap<String, String>>,
    /// Signing secret, `whsec_…`; the server makes one when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// How its webhooks look; `standard` when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// `none` or `key`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ordering: Option<String>,
    /// How long a failing delivery holds back its key, in seconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hold_max_s: Option<u32>,
    /// How long an attempt may take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub timeout_ms: Option<u32>,
    /// Attempts a second at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rate_limit: Option<RateLimit>,
    /// Attempts at the same time at most.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_in_flight: Option<u32>,
    /// Its own retry schedule.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub retry: Option<Retry>,
    /// Whatever its owner wants to remember.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Attempts a second at most.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct RateLimit {
    /// Attempts that begin within any second at most, 1 to 10,000.
    pub per_second: u32,
}

/// A retry schedule.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Retry {
    /// Waits before the second and each further attempt, in seconds.
    pub schedule_s: Vec<u32>,
}

/// Conditions on an event, all of which must hold. Values are JSON strings, numbers and booleans, kept as they are written.
#[derive(Debug, Clone, Default, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filters {
    /// The types that the conditions are for; all where there is none.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub event_types: Vec<String>,
    /// For each named attribute the values of which it must have one.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, Vec<Box<RawValue>>>,
    /// Conditions on the data.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<Condition>,
}

/// A condition on the data of an event.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Condition {
    /// Where: a JSON pointer (RFC 6901).
    pub pointer: String,
    /// `eq`, `ne`, `in`, `gt`, `gte`, `lt`, `lte`, `prefix` or `exists`.
    pub op: String,
    /// What it compares with: an array with `in`, a boolean with `exists`.
    pub value: Box<RawValue>,
}

/// A JSON merge patch (RFC 7396) of an endpoint, by field: one that is null goes back to its default.
pub type EndpointPatch = BTreeMap<String, Box<RawValue>>;

/// An event of which somebody wants to know who would get it. It is not published.
#[derive(Debug, Clone, Serialize)]
pub struct EventSample {
    /// Its type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Its attributes.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// Its data, any JSON.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub data: Option<Box<RawValue>>,
}

/// Whether an event would be owed to an endpoint.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Match {
    /// The endpoint's id.
    pub endpoint: String,
    /// Whether it would be.
    pub matches: bool,
    /// Why, or why not, and what would become of it.
    pub reason: String,
}

/// How to change a signing secret. `Debug` leaves the secret out.
#[derive(Clone, Default, Serialize)]
pub struct Rotation {
    /// The new one, `whsec_…`; the server makes one when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// How long the present one signs beside it, in seconds; a day when absent.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub overlap_s: Option<u32>,
}

impl std::fmt::Debug for Rotation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Rotation").field("overlap_s", &self.overlap_s).finish_non_exhaustive()
    }
}

/// Whether an endpoint takes deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum EndpointState {
    /// Deliveries go out.
    Active,
    /// It has not proven to be the tenant's: what comes is skipped.
    Unverified,
    /// Deliveries are held until it is enabled again.
    Paused,
    /// Its circuit is open; it is probed.
    Tripped,
    /// It gave up.
    Disabled,
    /// A state that this version does not know.
    #[serde(untagged)]
    Other(String),
}

impl std::fmt::Display for EndpointState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(match self {
            Self::Active => "active",
            Self::Unverified => "unverified",
            Self::Paused => "paused",
            Self::Tripped => "tripped",
            Self::Disabled => "disabled",
            Self::Other(other) => other,
        })
    }
}

/// An endpoint as read back. Secrets never come back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Endpoint {
    /// Its id, `ep_…`.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Where deliveries go.
    pub url: String,
    /// Name for people.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Types it takes.
    pub event_types: Vec<String>,
    /// What it wants of an event beside its type.
    pub filters: Option<Filters>,
    /// `false` while paused.
    pub enabled: bool,
    /// How requests authenticate, without credentials.
    pub auth: Value,
    /// Headers added to every request; their values are masked.
    pub headers: BTreeMap<String, String>,
    /// Whether a signing secret is set.
    pub secret_set: bool,
    /// How its webhooks look.
    pub profile: String,
    /// `none` or `key`.
    pub ordering: String,
    /// How long a failing delivery holds back its key, in seconds.
    pub hold_max_s: u32,
    /// How long an attempt may take, in milliseconds.
    pub timeout_ms: u32,
    /// Attempts a second at most; none is no limit.
    pub rate_limit: Option<RateLimit>,
    /// Attempts at the same time at most.
    pub max_in_flight: u32,
    /// Its own retry schedule; none is the server's.
    pub retry: Option<Retry>,
    /// What its owner wants to remember.
    pub metadata: BTreeMap<String, String>,
    /// Whether deliveries go out.
    pub state: EndpointState,
    /// Why it is disabled.
    pub reason: Option<String>,
    /// When a tripped one is probed next, RFC 3339.
    pub retry_at: Option<String>,
    /// Whether it has proven to be the tenant's.
    pub verified: bool,
    /// How its ownership challenge went; none where its profile has none.
    #[serde(default)]
    pub challenge: Option<Challenge>,
    /// Sequence number of the last delivery it was given.
    pub sequence: u64,
    /// When it was created, RFC 3339.
    pub created_at: String,
    /// When it was last changed, RFC 3339.
    pub updated_at: String,
}

/// How an ownership challenge went.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Challenge {
    /// When the last one ended, RFC 3339.
    pub last_at: Option<String>,
    /// Why the last one proved nothing.
    pub error: Option<String>,
    /// When the next one leaves unasked, RFC 3339.
    pub next_at: Option<String>,
}

/// A signing secret in clear. `Debug` leaves it out.
#[derive(Clone, Serialize, Deserialize)]
pub struct Secret {
    /// `whsec_…`.
    pub secret: String,
}

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(…)")
    }
}

impl Client {
    /// Creates an endpoint under an id of the server's making.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_endpoint(
        &self,
        tenant: &str,
        spec: &EndpointSpec,
    ) -> Result<Answer<Endpoint>, Error> {
        self.send(Method::POST, &["v1", "tenants", tenant, "endpoints"], spec).await
    }

    /// Reads one endpoint.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_endpoint(&self, tenant: &str, id: &str) -> Result<Answer<Endpoint>, Error> {
        self.get(&["v1", "tenants", tenant, "endpoints", id], &[]).await
    }

    /// Reads a page of a tenant's endpoints.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_endpoints(
        &self,
        tenant: &str,
        page: &PageRequest,
    ) -> Result<Answer<Page<Endpoint>>, Error> {
        self.get(&["v1", "tenants", tenant, "endpoints"], &page.query()).await
    }

    /// Reads a page of endpoints over all tenants, or of one, by tenant and id; with a state only those that stand so. For
    /// operators.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_all_endpoints(
        &self,
        tenant: Option<&str>,
        state: Option<&str>,
        page: &PageRequest,
    ) -> Result<Answer<Page<Endpoint>>, Error> {
        let mut query = page.query();
        query.extend(tenant.map(|tenant| ("tenant", tenant.to_owned())));
        query.extend(state.map(|state| ("state", state.to_owned())));
        self.get(&["v1", "endpoints"], &query).await
    }

    /// Changes the named fields of an endpoint.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn patch_endpoint(
        &self,
        tenant: &str,
        id: &str,
        patch: &EndpointPatch,
    ) -> Result<Answer<Endpoint>, Error> {
        self.send(Method::PATCH, &["v1", "tenants", tenant, "endpoints", id], patch).await
    }

    /// Creates an endpoint under the caller's own id, or replaces the one that has it; secrets that are absent stay.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn put_endpoint(
        &self,
        tenant: &str,
        id: &str,
        spec: &EndpointSpec,
    ) -> Result<Answer<Endpoint>, Error> {
        self.send(Method::PUT, &["v1", "tenants", tenant, "endpoints", id], spec).await
    }

    /// Tells which of a tenant's endpoints an event would be owed to, and why (not).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn match_endpoints(
        &self,
        tenant: &str,
        sample: &EventSample,
        page: &PageRequest,
    ) -> Result<Answer<Page<Match>>, Error> {
        let body = ("application/json", to_json(sample)?);
        let path = ["v1", "tenants", tenant, "endpoints", "match"];
        self.call(self.request(Method::POST, &path, &page.query(), Some(body))?).await
    }

    /// Changes the signing secret; the present one signs beside the new one for a while.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn rotate_endpoint_secret(
        &self,
        tenant: &str,
        id: &str,
        rotation: &Rotation,
    ) -> Result<Answer<Secret>, Error> {
        let path = ["v1", "tenants", tenant, "endpoints", id, "secret", "rotate"];
        self.send(Method::POST, &path, rotation).await
    }

    /// Removes an endpoint; what it is still owed is cancelled.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_endpoint(&self, tenant: &str, id: &str) -> Result<(), Error> {
        self.send_for_nothing(Method::DELETE, &["v1", "tenants", tenant, "endpoints", id]).await
    }

    /// Reads the signing secret.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn endpoint_secret(&self, tenant: &str, id: &str) -> Result<Answer<Secret>, Error> {
        self.get(&["v1", "tenants", tenant, "endpoints", id, "secret"], &[]).await
    }

    /// Runs the endpoint's ownership challenge now, and answers with the endpoint as it stands then.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn challenge_endpoint(&self, tenant: &str, id: &str) -> Result<Answer<Endpoint>, Error> {
        let path = ["v1", "tenants", tenant, "endpoints", id, "challenge"];
        self.send(Method::POST, &path, &serde_json::json!({})).await
    }

    /// Sends an example of the type now, and answers with the attempt.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn test_endpoint(
        &self,
        tenant: &str,
        id: &str,
        event_type: &str,
    ) -> Result<Answer<Attempt>, Error> {
        let body = serde_json::json!({ "type": event_type });
        self.send(Method::POST, &["v1", "tenants", tenant, "endpoints", id, "test"], &body).await
    }
}
