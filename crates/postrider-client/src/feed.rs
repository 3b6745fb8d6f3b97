//! The feed of an endpoint, and its figures.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Answer, Client, EndpointState, Error};

/// Which part of a feed to read.
#[derive(Debug, Clone, Copy, Default)]
pub struct FeedRequest {
    /// Only what has a higher sequence; 0 is before the first.
    pub after: u64,
    /// Entries at most, 1 to 250; the server's default is 50.
    pub limit: Option<u32>,
    /// How long to wait where there is nothing, in seconds, at most 30.
    pub wait_s: u32,
}

/// A part of a feed, by sequence. It goes on after the last entry; without any there is nothing further.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Feed {
    /// What comes after the sequence that was asked for.
    pub data: Vec<FeedEntry>,
    /// The last sequence that the endpoint was given.
    pub last_sequence: u64,
}

/// A delivery in a feed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FeedEntry {
    /// The endpoint's gapless number for it.
    pub sequence: u64,
    /// The delivery's id, `dlv_…`.
    pub delivery: String,
    /// `pending`, `succeeded`, `failed`, `cancelled` or `skipped`.
    pub status: String,
    /// What is delivered.
    pub event: FeedEvent,
}

/// An event in a feed.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct FeedEvent {
    /// Its id, as deliveries carry it in `webhook-id`.
    pub id: String,
    /// Event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// When it happened, RFC 3339.
    pub occurred_at: String,
    /// Ordering key.
    pub key: Option<String>,
    /// What it is about, if it was published with a subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// What is told about it, as it was published.
    pub attributes: Box<RawValue>,
    /// What happened, as it was published.
    pub data: Box<RawValue>,
}

/// How an endpoint's deliveries went lately, and how it stands.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EndpointStats {
    /// Where the window begins, RFC 3339.
    pub since: String,
    /// From when on the figures are complete, RFC 3339.
    pub complete_from: String,
    /// Deliveries accepted in the window by what has become of them.
    pub counts: BTreeMap<String, u64>,
    /// The part of those that succeeded among those that succeeded or failed.
    pub success_rate: Option<f64>,
    /// How long attempts took.
    pub latency_ms: Option<Latency>,
    /// All deliveries that are pending, as far as known.
    pub backlog: u64,
    /// When the oldest of them was accepted, RFC 3339.
    pub oldest_pending_at: Option<String>,
    /// How the endpoint stands.
    pub state: EndpointState,
    /// When a tripped one is probed next, RFC 3339.
    pub retry_at: Option<String>,
    /// Why it is disabled.
    pub reason: Option<String>,
    /// Since when every attempt has failed, RFC 3339.
    pub failing_since: Option<String>,
    /// Sequence number of the last delivery it was given.
    pub sequence: u64,
}

/// Durations that so many of a hundred attempts did not exceed, in milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct Latency {
    /// Half of them.
    pub p50: f64,
    /// 95 of a hundred.
    pub p95: f64,
    /// 99 of a hundred.
    pub p99: f64,
}

impl Client {
    /// Reads a part of what an endpoint is owed, by sequence.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn feed(
        &self,
        tenant: &str,
        endpoint: &str,
        part: &FeedRequest,
    ) -> Result<Answer<Feed>, Error> {
        let mut query = vec![("after", part.after.to_string())];
        query.extend(part.limit.map(|limit| ("limit", limit.to_string())));
        if part.wait_s > 0 {
            query.push(("wait_s", part.wait_s.to_string()));
        }
        self.get(&["v1", "tenants", tenant, "endpoints", endpoint, "feed"], &query).await
    }

    /// Reads how an endpoint's deliveries went since a time (RFC 3339), or in the last 24 hours, and how it stands.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn endpoint_stats(
        &self,
        tenant: &str,
        endpoint: &str,
        since: Option<&str>,
    ) -> Result<Answer<EndpointStats>, Error> {
        let query: Vec<_> = since.map(|since| ("since", since.to_owned())).into_iter().collect();
        self.get(&["v1", "tenants", tenant, "endpoints", endpoint, "stats"], &query).await
    }
}
