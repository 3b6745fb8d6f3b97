//! Events as they are looked up.

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::{Answer, Client, Delivery, Error, Page, PageRequest};

/// Which events to list; what is absent does not restrict.
#[derive(Debug, Clone, Default)]
pub struct EventFilter {
    /// Event id, the publisher's own or the server's.
    pub id: Option<String>,
    /// Event type.
    pub kind: Option<String>,
    /// Ordering key.
    pub key: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// Accepted at this time or later, RFC 3339.
    pub since: Option<String>,
    /// Accepted before this time, RFC 3339.
    pub until: Option<String>,
}

impl EventFilter {
    fn query(&self, page: &PageRequest) -> Vec<(&'static str, String)> {
        let fields = [
            ("id", &self.id),
            ("type", &self.kind),
            ("key", &self.key),
            ("subject", &self.subject),
            ("since", &self.since),
            ("until", &self.until),
        ];
        let mut query: Vec<_> =
            fields.into_iter().filter_map(|(name, value)| Some((name, value.clone()?))).collect();
        query.extend(page.query());
        query
    }
}

/// An event in a list.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Event {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Ordering key.
    pub key: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// What is told about it, as it was published.
    pub attributes: Box<RawValue>,
    /// When it happened, RFC 3339.
    pub occurred_at: String,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
    /// From when on nobody wants it, RFC 3339.
    pub expires_at: Option<String>,
    /// How many deliveries it owed, as its receipt said.
    pub deliveries: u64,
}

/// One event with its data and its deliveries.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct EventDetail {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// Ordering key.
    pub key: Option<String>,
    /// What it is about.
    pub subject: Option<String>,
    /// What is told about it, as it was published.
    pub attributes: Box<RawValue>,
    /// When it happened, RFC 3339.
    pub occurred_at: String,
    /// When it was accepted, RFC 3339.
    pub created_at: String,
    /// From when on nobody wants it, RFC 3339.
    pub expires_at: Option<String>,
    /// What happened, as it was published.
    pub data: Box<RawValue>,
    /// Its deliveries, at most 1,000.
    pub deliveries: Vec<Delivery>,
    /// Where there are more deliveries: the path of the list that goes on behind these.
    pub more: Option<String>,
}

impl Client {
    /// Reads a page of a tenant's events, newest first.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_events(
        &self,
        tenant: &str,
        filter: &EventFilter,
        page: &PageRequest,
    ) -> Result<Answer<Page<Event>>, Error> {
        self.get(&["v1", "tenants", tenant, "events"], &filter.query(page)).await
    }

    /// Reads one event with its data and its deliveries.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn get_event(&self, tenant: &str, id: &str) -> Result<Answer<EventDetail>, Error> {
        self.get(&["v1", "tenants", tenant, "events", id], &[]).await
    }
}
