//! An event on its way in, and the answer that its publisher gets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

use crate::fault::Fault;
use crate::filter::Judged;
use crate::id::TenantNo;
use crate::record::KeyHash;
use crate::time::Timestamp;

/// An event that a publisher wants delivered; parsed, and its tenant known.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Publication {
    /// Whose.
    pub tenant: TenantNo,
    /// The event type's name.
    pub event_type: Arc<str>,
    /// Its tenant may have events of that type.
    pub entitled: bool,
    /// The publisher's own id.
    pub own_id: Option<Box<str>>,
    /// The ordering key.
    pub key: Option<Box<str>>,
    /// What it is about.
    pub subject: Option<Box<str>>,
    /// From when on it is of no use any more.
    pub expires_at: Option<Timestamp>,
    /// The attributes as a JSON object, as it came; empty for none.
    pub attributes: Bytes,
    /// When it happened; `None` for "now".
    pub occurred_at: Option<Timestamp>,
    /// The data, byte for byte.
    pub data: Bytes,
    /// The idempotency key, hashed with its scope.
    pub idempotency: Option<KeyHash>,
    /// The hash of the body that `idempotency` or `own_id` stand for: the same key with another body is a conflict.
    pub body: Option<KeyHash>,
    /// Why it may not be accepted as a new event. Whether it is one is known only when its keys are looked up: what was accepted
    /// before gets its first answer again, whatever its type asks for now.
    pub unfit: Vec<Fault>,
    /// Whose filters it passes, where that was found out before; what is missing is found out when its group is built.
    pub judged: Option<Judged>,
}

impl Publication {
    /// Bytes that it holds in memory, roughly.
    pub fn weight(&self) -> usize {
        self.data.len() + self.attributes.len() + self.judged.as_ref().map_or(0, Judged::weight) + 256
    }

    /// What makes two events of a tenant with one key the same: every field, whatever stood around them, so that a batch can be
    /// repeated in another layout, or item by item.
    ///
    /// To be taken of what is stored. Of an event in which a card number was hidden, the hash of what was sent would tell the
    /// digits to whoever tries them all.
    pub fn fingerprint(&self, tenant: &str) -> KeyHash {
        let time = |at: Timestamp| at.as_micros().to_be_bytes();
        let (occurred_at, expires_at) = (self.occurred_at.map(time), self.expires_at.map(time));
        let mut parts: Vec<&[u8]> = vec![
            tenant.as_bytes(),
            self.event_type.as_bytes(),
            self.own_id.as_deref().unwrap_or_default().as_bytes(),
            self.key.as_deref().unwrap_or_default().as_bytes(),
            occurred_at.as_ref().map_or(&[], |at| &at[..]),
            &self.attributes,
            &self.data,
        ];
        // Only where they are there, so that what an earlier version remembered still fits.
        if let Some(subject) = &self.subject {
            parts.extend([&b"subject"[..], subject.as_bytes()]);
        }
        if let Some(expires_at) = &expires_at {
            parts.extend([&b"expires_at"[..], expires_at]);
        }
        let mut bytes = Vec::with_capacity(parts.iter().map(|part| part.len() + 8).sum());
        for part in parts {
            bytes.extend_from_slice(&(part.len() as u64).to_be_bytes());
            bytes.extend_from_slice(part);
        }
        KeyHash::body(&bytes)
    }
}

/// What a publisher is told of an event that is durable.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Receipt {
    /// The event's public id.
    pub id: String,
    /// How many deliveries are pending for it; skipped ones are in the log, with their reason.
    pub deliveries: usize,
}

/// Why an event was not accepted; nothing of it was stored.
#[derive(Clone, PartialEq, Eq, Debug, thiserror::Error)]
pub enum Refusal {
    /// The idempotency key or own id was used with another body, or the two belong to different events.
    #[error("{0}")]
    Conflict(&'static str),
    /// No room now; try again.
    #[error("{0}")]
    Overloaded(&'static str),
    /// The tenant has as much as it may have.
    #[error("the tenant's quota {quota} ({allowed}) is used up")]
    OverQuota {
        /// Which quota, by its name in the API.
        quota: &'static str,
        /// How much it allows.
        allowed: u32,
        /// When trying again may help.
        retry_after: Duration,
    },
    /// It is new, and its data does not fit its type, in these places.
    #[error("the event does not fit its type")]
    Unfit(Vec<Fault>),
    /// It holds what its tenant's [card policy](crate::card::CardPolicy) refuses, in these places.
    #[error("the event holds card data")]
    CardData(Vec<Fault>),
}

#[cfg(test)]
mod tests {
    use super::*;

    fn event(data: &'static str) -> Publication {
        Publication {
            tenant: TenantNo(1),
            entitled: true,
            event_type: "t".into(),
            own_id: None,
            key: Some("k".into()),
            subject: None,
            expires_at: None,
            attributes: Bytes::new(),
            occurred_at: None,
            data: Bytes::from_static(data.as_bytes()),
            idempotency: None,
            body: None,
            unfit: Vec::new(),
            judged: None,
        }
    }

    #[test]
    fn events_that_differ_in_any_field_differ_in_their_fingerprints() {
        let one = event(r#"{"n":1.0}"#);
        assert_ne!(one.fingerprint("a"), one.fingerprint("b"));
        for other in [
            event(r#"{"n":1.00}"#),
            Publication { key: None, ..one.clone() },
            Publication { event_type: "tk".into(), key: None, ..one.clone() },
            Publication { own_id: Some("k".into()), key: None, ..one.clone() },
            Publication { attributes: one.data.clone(), ..one.clone() },
            Publication { occurred_at: Some(Timestamp::EPOCH), ..one.clone() },
            Publication { expires_at: Some(Timestamp::EPOCH), ..one.clone() },
            Publication { subject: Some("k".into()), key: None, ..one.clone() },
        ] {
            assert_ne!(one.fingerprint("a"), other.fingerprint("a"), "{other:?}");
        }
    }

    #[test]
    fn fingerprints_of_events_without_subject_and_end_stay_what_they_were() {
        let event = Publication {
            event_type: "card.frozen".into(),
            own_id: Some("e-1".into()),
            attributes: Bytes::from_static(br#"{"a":1}"#),
            occurred_at: Some(Timestamp::parse("2026-01-01T00:00:00Z").unwrap()),
            ..event(r#"{"n":1.0}"#)
        };
        // As the first version wrote it into databases.
        assert_eq!(event.fingerprint("acme"), KeyHash(0x677f_c642_7746_95b2_3d5b_ca81_20d5_98fa));
    }
}
