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
    /// Whose it is.
    pub tenant: String,
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
    /// Texts that tell about it, kept with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// When it happened, RFC 3339; when it was accepted, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
}

impl NewEvent {
    /// An event of a tenant with `data` as it stands.
    pub fn new(tenant: impl Into<String>, kind: impl Into<String>, data: Box<RawValue>) -> Self {
        Self {
            tenant: tenant.into(),
            kind: kind.into(),
            data,
            id: None,
            key: None,
            attributes: BTreeMap::new(),
            occurred_at: None,
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
    /// How many deliveries are pending for it; skipped ones are in the log, with their reason.
    pub deliveries: u64,
}

/// The answer to one item of a batch, at the item's place.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum BatchItem {
    /// The item is durable.
    Accepted(Accepted),
    /// The item was refused, and nothing of it was stored; the others are not affected.
    Refused {
        /// Why.
        error: Problem,
    },
}

impl BatchItem {
    /// What became of the item.
    ///
    /// # Errors
    /// The problem that the server found with it.
    pub fn outcome(&self) -> Result<&Accepted, &Problem> {
        match self {
            Self::Accepted(accepted) => Ok(accepted),
            Self::Refused { error } => Err(error),
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
    ) -> Result<Answer<Accepted>, Error> {
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
        let accepted: BatchItem = serde_json::from_str(r#"{"id":"e1","deliveries":2}"#).unwrap();
        assert_eq!(accepted.outcome(), Ok(&Accepted { id: "e1".into(), deliveries: 2 }));
        let refused: BatchItem = serde_json::from_str(
            r#"{"error":{"type":"t","title":"Invalid","status":422,"errors":[{"pointer":"/type","detail":"missing"}]}}"#,
        )
        .unwrap();
        assert_eq!(refused.outcome().unwrap_err().errors[0].pointer, "/type");
    }
}
