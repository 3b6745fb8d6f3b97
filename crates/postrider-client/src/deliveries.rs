//! Deliveries: the log, one delivery with its attempts, retry and cancel.

use std::collections::BTreeMap;

use http::Method;
use serde::{Deserialize, Serialize};
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
    pub tenant: String,
    /// Event id.
    pub event: String,
    /// Endpoint id.
    pub endpoint: String,
    /// Event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Ordering key.
    pub key: Option<String>,
    /// What the event is about, if it was published with a subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// From when on nobody wants the event, RFC 3339, if it was published with an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The endpoint's gapless number for it; a test has none.
    pub sequence: Option<u64>,
    /// `pending`, `succeeded`, `failed`, `cancelled` or `skipped`.
    pub status: String,
    /// Why it failed, was cancelled or skipped.
    pub reason: Option<String>,
    /// How many attempts were made.
    pub attempts: u64,
    /// Status code of the last answer.
    pub last_status_code: Option<u16>,
    /// When it is tried next, RFC 3339.
    pub next_attempt_at: Option<String>,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
    /// When it got its verdict, RFC 3339.
    pub finished_at: Option<String>,
}

/// One delivery with the payload as sent and every attempt.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct DeliveryDetail {
    /// Its id, `dlv_…`.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Event id.
    pub event: String,
    /// Endpoint id.
    pub endpoint: String,
    /// Event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Ordering key.
    pub key: Option<String>,
    /// What the event is about, if it was published with a subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// From when on nobody wants the event, RFC 3339, if it was published with an end.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// The endpoint's gapless number for it; a test has none.
    pub sequence: Option<u64>,
    /// `pending`, `succeeded`, `failed`, `cancelled` or `skipped`.
    pub status: String,
    /// Why it failed, was cancelled or skipped.
    pub reason: Option<String>,
    /// Whether it held back its key for so long that its successors went on without it.
    #[serde(default)]
    pub overtaken: bool,
    /// The attempts, oldest first.
    pub attempts: Vec<Attempt>,
    /// Status code of the last answer.
    pub last_status_code: Option<u16>,
    /// When it is tried next, RFC 3339.
    pub next_attempt_at: Option<String>,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
    /// When it got its verdict, RFC 3339.
    pub finished_at: Option<String>,
    /// When it first succeeded, whatever came of later runs, RFC 3339.
    pub first_succeeded_at: Option<String>,
    /// The body as sent.
    pub payload: Box<RawValue>,
}

/// One HTTP request made for a delivery, and what came back.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Attempt {
    /// Its id, `att_…`.
    pub id: String,
    /// Which passage through the schedule.
    pub run: u32,
    /// Which attempt of the run.
    pub number: u32,
    /// When it began, RFC 3339.
    pub started_at: String,
    /// How long it took, in milliseconds.
    pub duration_ms: f64,
    /// Status code of the answer.
    pub status_code: Option<u16>,
    /// Why there was no answer, or why it did not count.
    pub error: Option<AttemptError>,
    /// The address that was connected to.
    pub remote_address: Option<String>,
    /// As sent, secrets and signatures masked.
    pub request_headers: BTreeMap<String, String>,
    /// As received; not kept for a first-try success.
    pub response_headers: BTreeMap<String, String>,
    /// The first 4 KiB as received; not kept for a first-try success.
    pub response_body: String,
    /// `schedule`, `retry`, `test` or `probe`.
    pub trigger: String,
}

/// What went wrong with an attempt.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct AttemptError {
    /// The kind of failure, such as `status`, `timeout` or `dns`.
    pub kind: String,
    /// What happened, in words.
    pub detail: String,
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

    /// Reads a page of deliveries over all tenants, or of one, newest first. For operators.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_all_deliveries(
        &self,
        tenant: Option<&str>,
        filter: &DeliveryFilter,
        page: &PageRequest,
    ) -> Result<Answer<Page<Delivery>>, Error> {
        let mut query = filter.query(page);
        query.extend(tenant.map(|tenant| ("tenant", tenant.to_owned())));
        self.get(&["v1", "deliveries"], &query).await
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
