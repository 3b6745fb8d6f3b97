//! Events: publish one, many, or a stream of lines.

use std::collections::BTreeMap;

use bytes::Bytes;
use http::Method;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use crate::client::{set_header, to_json};
use crate::{Answer, Client, Error, Problem};

/// An event to be published. `data` is sent byte for byte.
#[derive(Debug, Clone, Serialize)]
pub struct NewEvent {
    /// Whose it is; either this or `subject`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What it is about; either this or `tenant`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// The event type.
    #[serde(rename = "type")]
    pub kind: String,
    /// What happened, any JSON.
    pub data: Box<RawValue>,
    /// The publisher's own id, 1-128 of `A-Za-z0-9_:-`, unique per tenant.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub id: Option<String>,
    /// Ordering key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// What endpoints filter by.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// When it happened, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// When it is not worth delivering any more, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl NewEvent {
    /// An event of a tenant with `data` as it stands.
    pub fn new(tenant: impl Into<String>, kind: impl Into<String>, data: Box<RawValue>) -> Self {
        Self {
            tenant: Some(tenant.into()),
            subject: None,
            kind: kind.into(),
            data,
            id: None,
            key: None,
            attributes: BTreeMap::new(),
            occurred_at: None,
            expires_at: None,
        }
    }

    /// An event of a tenant with `data` written as JSON.
    ///
    /// # Errors
    /// [`Error::Argument`] when `data` cannot be written as JSON.
    pub fn json<T: Serialize + ?Sized>(
        tenant: impl Into<String>,
        kind: impl Into<String>,
        data: &T,
    ) -> Result<Self, Error> {
        let data = serde_json::value::to_raw_value(data).map_err(|e| Error::Argument {
            what: "data",
            reason: format!("cannot be written as JSON: {e}"),
        })?;
        Ok(Self::new(tenant, kind, data))
    }
}

/// An event that is durable, with its deliveries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Accepted {
    /// The event's id.
    pub id: String,
    /// How many deliveries it is owed.
    pub deliveries: u64,
}

/// The event that a subject's event became for one tenant.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct TenantEvent {
    /// The tenant.
    pub tenant: String,
    /// The event's id.
    pub id: String,
    /// How many deliveries it is owed.
    pub deliveries: u64,
}

/// The answer to one published event.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Published {
    /// A tenant's event.
    One(Accepted),
    /// A subject's event: one event per tenant.
    PerTenant {
        /// One entry per tenant.
        data: Vec<TenantEvent>,
    },
}

impl Published {
    /// Ids and numbers of deliveries, whatever the event was about.
    pub fn events(&self) -> Vec<Accepted> {
        match self {
            Self::One(accepted) => vec![accepted.clone()],
            Self::PerTenant { data } => {
                data.iter().map(|e| Accepted { id: e.id.clone(), deliveries: e.deliveries }).collect()
            }
        }
    }
}

/// The answer to one item of a batch, at the item's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BatchItem {
    /// The item is durable.
    Published(Published),
    /// The item was refused; the others are not affected.
    Wrapped {
        /// Why.
        error: Problem,
    },
    /// The item was refused; the others are not affected.
    Refused(Problem),
}

impl BatchItem {
    /// What became of the item.
    ///
    /// # Errors
    /// The problem that the server found with it.
    pub fn outcome(&self) -> Result<&Published, &Problem> {
        match self {
            Self::Published(published) => Ok(published),
            Self::Wrapped { error } | Self::Refused(error) => Err(error),
        }
    }
}

/// What a batch answers: one item for each that was sent, in the same order.
#[derive(Debug, Clone, Deserialize)]
struct Batch {
    data: Vec<BatchItem>,
}

impl Client {
    /// Publishes one event. The idempotency key makes it safe to repeat for 24 hours at least.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn publish(
        &self,
        event: &NewEvent,
        idempotency_key: Option<&str>,
    ) -> Result<Answer<Published>, Error> {
        self.post_events("application/json", to_json(event)?, idempotency_key).await
    }

    /// Publishes many events in one call; each item of the answer stands at its event's place.
    ///
    /// # Errors
    /// See [`Error`]; a bad item is no error of the call.
    pub async fn publish_many(
        &self,
        events: &[NewEvent],
        idempotency_key: Option<&str>,
    ) -> Result<Answer<Vec<BatchItem>>, Error> {
        let answer = self.post_events("application/json", to_json(events)?, idempotency_key).await?;
        Ok(items(answer))
    }

    /// Publishes lines of JSON, one event each (`application/x-ndjson`), all of them as one batch.
    ///
    /// # Errors
    /// See [`Error`]; a bad item is no error of the call.
    pub async fn publish_ndjson(
        &self,
        lines: Bytes,
        idempotency_key: Option<&str>,
    ) -> Result<Answer<Vec<BatchItem>>, Error> {
        let answer = self.post_events("application/x-ndjson", lines, idempotency_key).await?;
        Ok(items(answer))
    }

    async fn post_events<T: serde::de::DeserializeOwned>(
        &self,
        media_type: &'static str,
        body: Bytes,
        idempotency_key: Option<&str>,
    ) -> Result<Answer<T>, Error> {
        let mut request = self.request(Method::POST, &["v1", "events"], &[], Some((media_type, body)))?;
        if let Some(key) = idempotency_key {
            set_header(&mut request, "idempotency-key", key)?;
        }
        self.call(request).await
    }
}

fn items(answer: Answer<Batch>) -> Answer<Vec<BatchItem>> {
    let json = Bytes::copy_from_slice(answer.json().as_bytes());
    Answer::new(answer.into_value().data, json)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn data_is_sent_byte_for_byte() {
        let data =
            RawValue::from_string(r#"{"amount": 42.50, "big": 123456789012345678901234567890}"#.into());
        let event = NewEvent::new("acme", "card.created", data.unwrap());
        assert_eq!(
            serde_json::to_string(&event).unwrap(),
            r#"{"tenant":"acme","type":"card.created","data":{"amount": 42.50, "big": 123456789012345678901234567890}}"#
        );
    }

    #[test]
    fn each_form_of_an_item_is_told_apart() {
        let one: BatchItem = serde_json::from_str(r#"{"id":"e1","deliveries":2}"#).unwrap();
        assert_eq!(one.outcome().unwrap().events(), [Accepted { id: "e1".into(), deliveries: 2 }]);
        let two: BatchItem =
            serde_json::from_str(r#"{"data":[{"tenant":"a","id":"e1","deliveries":1}]}"#).unwrap();
        assert_eq!(two.outcome().unwrap().events().len(), 1);
        for refused in [
            r#"{"error":{"type":"t","title":"Invalid","status":422}}"#,
            r#"{"type":"t","title":"Invalid","status":422,"errors":[{"pointer":"/type","detail":"missing"}]}"#,
        ] {
            let item: BatchItem = serde_json::from_str(refused).unwrap();
            assert_eq!(item.outcome().unwrap_err().status, 422, "{refused}");
        }
    }
}
