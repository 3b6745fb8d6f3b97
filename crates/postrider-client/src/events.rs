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
    /// Whose it is; none for all tenants of the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// The card or account that it is about.
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
    /// Texts that tell about it, kept with it.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    pub attributes: BTreeMap<String, String>,
    /// When it happened, RFC 3339; when it was accepted, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub occurred_at: Option<String>,
    /// From when on nobody wants it any more, RFC 3339; never, unless given.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
}

impl NewEvent {
    /// An event of a tenant with `data` as it stands.
    pub fn new(tenant: impl Into<String>, kind: impl Into<String>, data: Box<RawValue>) -> Self {
        Self { tenant: Some(tenant.into()), ..Self::bare(kind.into(), data) }
    }

    /// An event of all tenants of a subject, with `data` as it stands; see [`Client::publish_by_subject`].
    pub fn of_subject(subject: impl Into<String>, kind: impl Into<String>, data: Box<RawValue>) -> Self {
        Self { subject: Some(subject.into()), ..Self::bare(kind.into(), data) }
    }

    fn bare(kind: String, data: Box<RawValue>) -> Self {
        Self {
            tenant: None,
            subject: None,
            kind,
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
    /// Whose it is, of an event that named only its subject.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
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
    /// The item named only its subject, and is durable for each tenant of that.
    Shared {
        /// Tenant by tenant.
        data: Vec<Accepted>,
    },
    /// The item was refused; the others are not affected.
    Refused {
        /// Why.
        error: Problem,
    },
}

impl BatchItem {
    /// What became of the item: one event, or one for each tenant of its subject.
    ///
    /// # Errors
    /// The problem that the server found with it.
    pub fn outcome(&self) -> Result<&[Accepted], &Problem> {
        match self {
            Self::Accepted(accepted) => Ok(std::slice::from_ref(accepted)),
            Self::Shared { data } => Ok(data),
            Self::Refused { error } => Err(error),
        }
    }
}

/// What a batch answers: one item for each that was sent, in the same order.
#[derive(Debug, Clone, Deserialize)]
struct Batch {
    data: Vec<BatchItem>,
}

/// What an event of a subject answers.
#[derive(Debug, Clone, Deserialize)]
struct Shared {
    data: Vec<Accepted>,
}

impl Client {
    /// Publishes one event of a tenant. The idempotency key makes it safe to repeat for 24 hours at least.
    ///
    /// # Errors
    /// [`Error::Argument`] for an event without a tenant; else see [`Error`].
    pub async fn publish(
        &self,
        event: &NewEvent,
        idempotency_key: Option<&str>,
    ) -> Result<Answer<Accepted>, Error> {
        if event.tenant.is_none() {
            return Err(Error::Argument { what: "event", reason: "has no tenant".into() });
        }
        self.post_events("application/json", to_json(event)?, idempotency_key).await
    }

    /// Publishes one event to all tenants of its subject. Repeated with its idempotency key it completes what a failure left.
    ///
    /// # Errors
    /// [`Error::Argument`] for an event with a tenant, or without a subject; else see [`Error`].
    pub async fn publish_by_subject(
        &self,
        event: &NewEvent,
        idempotency_key: Option<&str>,
    ) -> Result<Answer<Vec<Accepted>>, Error> {
        if event.tenant.is_some() || event.subject.is_none() {
            return Err(Error::Argument {
                what: "event",
                reason: "must have a subject and no tenant".into(),
            });
        }
        let answer: Answer<Shared> =
            self.post_events("application/json", to_json(event)?, idempotency_key).await?;
        Ok(answer.map(|shared| shared.data))
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
        let answer: Answer<Batch> =
            self.post_events("application/json", to_json(events)?, idempotency_key).await?;
        Ok(answer.map(|batch| batch.data))
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
        let answer: Answer<Batch> = self.post_events("application/x-ndjson", lines, idempotency_key).await?;
        Ok(answer.map(|batch| batch.data))
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
        let one = |tenant: Option<&str>| Accepted {
            tenant: tenant.map(str::to_owned),
            id: "e1".into(),
            deliveries: 2,
        };
        assert_eq!(accepted.outcome(), Ok(&[one(None)][..]));
        let shared: BatchItem =
            serde_json::from_str(r#"{"data":[{"tenant":"a","id":"e1","deliveries":2}]}"#).unwrap();
        assert_eq!(shared.outcome(), Ok(&[one(Some("a"))][..]));
        let refused: BatchItem = serde_json::from_str(
            r#"{"error":{"type":"t","title":"Invalid","status":422,"errors":[{"pointer":"/type","detail":"missing"}]}}"#,
        )
        .unwrap();
        assert_eq!(refused.outcome().unwrap_err().errors[0].pointer, "/type");
    }
}
