//! Operational events: what befell endpoints and their deliveries, told to the operator's own tenant.
//!
//! What happens leaves a [`Notice`] in an outbox, in the commit that makes it happen. Later the notice becomes an ordinary
//! event of the operator's tenant, under an id that follows from its place in the outbox: published twice, it is one.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use crate::id::{EndpointNo, Position, ShardNo, TenantNo};
use crate::time::Timestamp;

/// What happened.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug, Serialize, Deserialize)]
pub enum Kind {
    /// An endpoint was given up.
    #[serde(rename = "endpoint.disabled")]
    EndpointDisabled,
    /// An endpoint's circuit breaker opened.
    #[serde(rename = "endpoint.tripped")]
    EndpointTripped,
    /// An endpoint that was tripped or disabled is delivered to again.
    #[serde(rename = "endpoint.recovered")]
    EndpointRecovered,
    /// A delivery failed: its schedule is exhausted, or its receiver wants no more of it.
    #[serde(rename = "delivery.failed")]
    DeliveryFailed,
    /// A delivery was cancelled because its event expired, or because it was pending for too long.
    #[serde(rename = "delivery.expired")]
    DeliveryExpired,
    /// A delivery was skipped because its endpoint owes too much already.
    #[serde(rename = "delivery.skipped")]
    DeliverySkipped,
    /// A replay came to its end, or was ended.
    #[serde(rename = "replay.finished")]
    ReplayFinished,
}

impl Kind {
    /// All.
    pub const ALL: [Self; 7] = [
        Self::EndpointDisabled,
        Self::EndpointTripped,
        Self::EndpointRecovered,
        Self::DeliveryFailed,
        Self::DeliveryExpired,
        Self::DeliverySkipped,
        Self::ReplayFinished,
    ];

    /// The event type.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::EndpointDisabled => "endpoint.disabled",
            Self::EndpointTripped => "endpoint.tripped",
            Self::EndpointRecovered => "endpoint.recovered",
            Self::DeliveryFailed => "delivery.failed",
            Self::DeliveryExpired => "delivery.expired",
            Self::DeliverySkipped => "delivery.skipped",
            Self::ReplayFinished => "replay.finished",
        }
    }
}

/// What is told of: how often something happened to an endpoint, and one case of it. Never a payload or a secret.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Notice {
    /// What happened.
    pub kind: Kind,
    /// To whose endpoint; `None` where so much happens that several are told of together.
    pub tenant: Option<TenantNo>,
    /// To which endpoint.
    pub endpoint: Option<EndpointNo>,
    /// Why, in the case that is named.
    pub reason: Cow<'static, str>,
    /// How often.
    pub count: u64,
    /// When for the first time.
    pub since: Timestamp,
    /// When for the last time.
    pub until: Timestamp,
    /// One of the deliveries.
    pub delivery: Option<Position>,
    /// One of the replays.
    pub replay: Option<ReplayNotice>,
}

/// How a replay ended.
#[derive(Clone, PartialEq, Eq, Debug, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ReplayNotice {
    /// Its public id.
    pub id: Box<str>,
    /// The name of its state.
    pub state: Cow<'static, str>,
    /// Deliveries that it covered.
    pub matched: u64,
    /// Deliveries that it let go.
    pub done: u64,
    /// Deliveries that it passed over.
    pub skipped: u64,
    /// Deliveries that it passed over because nobody wants them any more.
    pub expired: u64,
}

impl Notice {
    /// The document for the store, as JSON.
    pub fn to_doc(&self) -> Bytes {
        // Numbers and text are written without fail.
        serde_json::to_vec(self).unwrap_or_default().into()
    }

    /// What [`Self::to_doc`] wrote.
    ///
    /// # Errors
    /// What is wrong with a document that was damaged, or written by a later version.
    pub fn from_stored(doc: &[u8]) -> Result<Self, String> {
        serde_json::from_slice(doc).map_err(|error| error.to_string())
    }

    /// The id of the event that the notice in this place of the outbox becomes.
    pub fn event_id(&self, position: Position) -> String {
        let shard = self.tenant.map_or(0, |tenant| ShardNo::of(tenant).0);
        format!("op_{shard}_{}", position.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_told_is_what_is_documented() {
        let page = include_str!("../../../docs/operational-events.md");
        let documented = page.lines().filter_map(|line| line.strip_prefix("### `")?.strip_suffix('`'));
        assert_eq!(documented.collect::<Vec<_>>(), Kind::ALL.map(Kind::as_str));
    }

    #[test]
    fn a_notice_is_read_back_and_anything_else_has_a_fault() {
        let replay = ReplayNotice {
            id: "rpl_1".into(),
            state: "done".into(),
            matched: 4,
            done: 3,
            skipped: 1,
            expired: 0,
        };
        for kind in Kind::ALL {
            let notice = Notice {
                kind,
                tenant: Some(TenantNo(7)),
                endpoint: Some(EndpointNo(9)),
                reason: "schedule_exhausted".into(),
                count: 12,
                since: Timestamp::from_micros(5),
                until: Timestamp::from_micros(6),
                delivery: Some(Position(77)),
                replay: (kind == Kind::ReplayFinished).then(|| replay.clone()),
            };
            let doc = notice.to_doc();
            assert_eq!(Notice::from_stored(&doc), Ok(notice));
            assert!(String::from_utf8_lossy(&doc).contains(kind.as_str()));
        }
        for bad in ["", "{", "{}", "[]", r#"{"kind":"endpoint.exploded"}"#] {
            assert!(Notice::from_stored(bad.as_bytes()).is_err(), "{bad}");
        }
    }
}
