//! Deliveries: the log, one delivery with its attempts, retry and cancel.

use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::{Answer, Client, Error, Page, PageRequest};

/// Which deliveries to list; what is absent does not restrict.
#[derive(Debug, Clone, Default)]
pub struct DeliveryFilter {
    /// `pending`, `succeeded`, `failed`, `cancelled` or `skipped`.
    pub status: Option<String>,
    /// Event type.
    pub kind: Option<String>,
    /// Endpoint id.
    pub endpoint: Option<String>,
    /// Ordering key.
    pub key: Option<String>,
    /// What the event is about.
    pub subject: Option<String>,
    /// Created at this time or later, RFC 3339.
    pub since: Option<String>,
    /// Created before this time, RFC 3339.
    pub until: Option<String>,
    /// Event id.
    pub event: Option<String>,
}

impl DeliveryFilter {
    fn query(&self, page: &PageRequest) -> Vec<(&'static str, String)> {
        let fields = [
            ("status", &self.status),
            ("type", &self.kind),
            ("endpoint", &self.endpoint),
            ("key", &self.key),
            ("subject", &self.subject),
            ("since", &self.since),
            ("until", &self.until),
            ("event", &self.event),
        ];
        let mut query: Vec<_> =
            fields.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        query.extend(page.query());
        query
    }
}

/// A line of the delivery log.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Delivery {
    /// Its id, `dlv_…`.
    pub id: String,
    /// Whose it is.
    #[serde(default)]
    pub tenant: String,
    /// Event id.
    #[serde(default)]
    pub event: String,
    /// Endpoint id.
    #[serde(default)]
    pub endpoint: String,
    /// Event type.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Ordering key.
    #[serde(default)]
    pub key: Option<String>,
    /// Gapless number within its endpoint.
    #[serde(default)]
    pub sequence: Option<u64>,
    /// `pending`, `succeeded`, `failed`, `cancelled` or `skipped`.
    pub status: String,
    /// Why it failed, was cancelled or skipped.
    #[serde(default)]
    pub reason: Option<String>,
    /// Attempts made; a number in a list.
    #[serde(default)]
    pub attempts: u64,
    /// Status code of the last answer.
    #[serde(default)]
    pub last_status_code: Option<u16>,
    /// When it is tried next, RFC 3339.
    #[serde(default)]
    pub next_attempt_at: Option<String>,
    /// When it was accepted, RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it got its verdict, RFC 3339.
    #[serde(default)]
    pub finished_at: Option<String>,
}

/// One delivery with the payload as sent and every attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryDetail {
    /// Its id, `dlv_…`.
    pub id: String,
    /// Whose it is.
    #[serde(default)]
    pub tenant: String,
    /// Event id.
    #[serde(default)]
    pub event: String,
    /// Endpoint id.
    #[serde(default)]
    pub endpoint: String,
    /// Event type.
    #[serde(rename = "type", default)]
    pub kind: String,
    /// Ordering key.
    #[serde(default)]
    pub key: Option<String>,
    /// Gapless number within its endpoint.
    #[serde(default)]
    pub sequence: Option<u64>,
    /// `pending`, `succeeded`, `failed`, `cancelled` or `skipped`.
    pub status: String,
    /// Why it failed, was cancelled or skipped.
    #[serde(default)]
    pub reason: Option<String>,
    /// The attempts, oldest first.
    #[serde(default)]
    pub attempts: Vec<Attempt>,
    /// Status code of the last answer.
    #[serde(default)]
    pub last_status_code: Option<u16>,
    /// When it is tried next, RFC 3339.
    #[serde(default)]
    pub next_attempt_at: Option<String>,
    /// When it was accepted, RFC 3339.
    #[serde(default)]
    pub created_at: Option<String>,
    /// When it got its verdict, RFC 3339.
    #[serde(default)]
    pub finished_at: Option<String>,
    /// The body as sent.
    #[serde(default)]
    pub payload: Option<Box<RawValue>>,
}

/// One HTTP request made for a delivery, and what came back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id, `att_…`.
    #[serde(default)]
    pub id: String,
    /// Which passage through the schedule.
    #[serde(default)]
    pub run: Option<u64>,
    /// Which attempt of the run.
    #[serde(default)]
    pub number: Option<u64>,
    /// When it began, RFC 3339.
    #[serde(default)]
    pub started_at: Option<String>,
    /// How long it took, in milliseconds.
    #[serde(default)]
    pub duration_ms: Option<f64>,
    /// Status code of the answer.
    #[serde(default)]
    pub status_code: Option<u16>,
    /// Why there was no answer, or why it did not count.
    #[serde(default)]
    pub error: Option<Value>,
    /// The address that was connected to.
    #[serde(default)]
    pub remote_address: Option<String>,
    /// As sent, secrets and signatures masked.
    #[serde(default)]
    pub request_headers: Option<Value>,
    /// As received; not kept for a first-try success.
    #[serde(default)]
    pub response_headers: Option<Value>,
    /// The first 4 KiB as received; not kept for a first-try success.
    #[serde(default)]
    pub response_body: Option<String>,
    /// `schedule`, `retry`, `replay`, `test` or `probe`.
    #[serde(default)]
    pub trigger: Option<String>,
}

impl Client {
    /// Reads a page of a tenant's deliveries, newest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_deliveries(
        &self,
        tenant: &str,
        filter: &DeliveryFilter,
        page: &PageRequest,
    ) -> Result<Answer<Page<Delivery>>, Error> {
        self.get(&["v1", "tenants", tenant, "deliveries"], &filter.query(page)).await
    }

    /// Reads a page of all tenants' deliveries, newest first (operators only).
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_all_deliveries(
        &self,
        filter: &DeliveryFilter,
        page: &PageRequest,
    ) -> Result<Answer<Page<Delivery>>, Error> {
        self.get(&["v1", "deliveries"], &filter.query(page)).await
    }

    /// Reads one delivery with its attempts.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_delivery(&self, tenant: &str, id: &str) -> Result<Answer<DeliveryDetail>, Error> {
        self.get(&["v1", "tenants", tenant, "deliveries", id], &[]).await
    }

    /// Tries a delivery again: a new run, or the next attempt at once when it is pending.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn retry_delivery(&self, tenant: &str, id: &str) -> Result<(), Error> {
        self.send_for_nothing(Method::POST, &["v1", "tenants", tenant, "deliveries", id, "retry"]).await
    }

    /// Ends a pending delivery as cancelled.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn cancel_delivery(&self, tenant: &str, id: &str) -> Result<(), Error> {
        self.send_for_nothing(Method::POST, &["v1", "tenants", tenant, "deliveries", id, "cancel"]).await
    }
}
