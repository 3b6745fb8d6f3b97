//! Typed, asynchronous client of Postrider's native API, over HTTP/1.1 connections that are reused.
//!
//! ```no_run
//! use postrider_client::{Client, NewEvent};
//!
//! # async fn example() -> Result<(), postrider_client::Error> {
//! let client = Client::new("http://127.0.0.1:8700", "a-token")?;
//! let event = NewEvent::json("acme", "card.created", &serde_json::json!({"card": "c-1"}))?;
//! let accepted = client.publish(&event, None).await?;
//! println!("{} is owed to {} endpoints", accepted.id, accepted.deliveries);
//! # Ok(())
//! # }
//! ```
//!
//! Each call answers with an [`Answer`]: the typed value, and beside it the JSON text as the server sent it, so that
//! a field that this version does not know is not lost to a caller who passes the text on.

#![forbid(unsafe_code)]

mod answer;
mod client;
mod deliveries;
mod endpoints;
mod error;
mod event_types;
mod events;
mod feed;
mod health;
mod lookup;
mod replays;
mod subjects;
mod tenants;
mod tokens;

pub use answer::{Answer, Page, PageRequest};
pub use client::{Client, Options};
pub use deliveries::{Attempt, AttemptError, Delivery, DeliveryDetail, DeliveryFilter};
pub use endpoints::{
    Challenge, Condition, Endpoint, EndpointPatch, EndpointSpec, EndpointState, EventSample, Filters, Match,
    RateLimit, Retry, Rotation, Secret,
};
pub use error::{ApiError, Error, FieldError, Problem};
pub use event_types::{EventType, EventTypeSpec};
pub use events::{Accepted, BatchItem, NewEvent};
pub use feed::{EndpointStats, Feed, FeedEntry, FeedEvent, FeedRequest, Latency};
pub use health::Health;
pub use lookup::{Event, EventDetail, EventFilter};
pub use replays::{NewReplay, Replay, ReplayCount, ReplayState};
pub use subjects::Subject;
pub use tenants::{Quotas, Tenant, TenantSpec};
pub use tokens::{CreatedToken, NewToken, Token};
