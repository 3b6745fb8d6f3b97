//! What the machines need to know of an endpoint's configuration; its URL and secrets are none of their business.

use std::sync::Arc;
use std::time::Duration;

use crate::filter::Filters;
use crate::subscription::Pattern;

/// The part of an endpoint's configuration that decides when deliveries are attempted.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct Policy {
    /// The version of the configuration that this was taken from.
    pub version: u32,
    /// What it subscribes to.
    pub patterns: Vec<Pattern>,
    /// What it wants of an event beside its type.
    pub filters: Option<Arc<Filters>>,
    /// Switched on by its owner; off means paused.
    pub enabled: bool,
    /// Nothing is left to prove of whose it is; while it is not, nothing is attempted, and what comes is skipped.
    pub verified: bool,
    /// Whether a pause skips what comes, instead of holding it.
    pub pause_skips: bool,
    /// One at a time for each ordering key.
    pub ordered: bool,
    /// How long a failing delivery may hold back its key's successors.
    pub hold_max: Duration,
    /// At most so many attempts begin within any second.
    pub per_second: Option<u32>,
    /// At most so many attempts at once.
    pub max_in_flight: u32,
    /// Delays after the first, second ... failed attempt; when they are used up, the delivery has failed.
    pub schedule: Arc<[Duration]>,
    /// Whether `410 Gone` disables the endpoint.
    pub gone_disables: bool,
    /// After how long of nothing but failures it is disabled.
    pub disable_after: Option<Duration>,
    /// A hash of where requests go: when it changes, the breaker starts afresh.
    pub target: u64,
}
