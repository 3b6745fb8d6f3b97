//! An event on its way in, and the answer that its publisher gets.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;

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
}

impl Publication {
    /// Bytes that it holds in memory, roughly.
    pub fn weight(&self) -> usize {
        self.data.len() + self.attributes.len() + 256
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
}
