//! Endpoints as their owners configure them: where deliveries go, which, how they authenticate, sign, and repeat.

use std::hash::{Hash, Hasher};
use std::sync::Arc;
use std::time::Duration;

use crate::fault::ParseError;
use crate::fields::Metadata;
use crate::filter::Filters;
use crate::policy::Policy;
use crate::profile::{Profile, ProfileName, Profiles};
use crate::secret::SigningSecret;
use crate::subscription::Pattern;
use crate::time::Timestamp;

mod also_sign;
mod auth;
mod change;
mod document;
pub mod headers;
mod oauth2;
mod public;
mod read;
mod rotate;
mod terms;

pub use also_sign::{AlsoSign, MAX_ALSO_SIGN};
pub use auth::{Auth, MAX_CREDENTIAL, MAX_TOKEN};
pub use oauth2::{CredentialsIn, OAuth2};
pub use public::PublicConfig;
pub use read::{
    DEFAULT_HOLD_MAX_S, DEFAULT_MAX_IN_FLIGHT, DEFAULT_TIMEOUT_MS, HOLD_MAX_S, MAX_EVENT_TYPES,
    MAX_IN_FLIGHT, MAX_SCHEDULE_STEPS, MAX_URL_BYTES, PER_SECOND, SCHEDULE_STEP_S, TIMEOUT_MS,
};
pub use rotate::{DEFAULT_OVERLAP_S, MAX_PREVIOUS_SECRETS, OVERLAP_S, Rotation};
pub use terms::{JudgeUrl, Terms};

/// An endpoint's configuration, secrets included.
///
/// The URL is only known to be a text of a sane length: whether deliveries may go there is judged by who sends them.
///
/// ```
/// use postrider_core::endpoint::EndpointConfig;
/// let body = br#"{"url": "https://partner.example/hook", "event_types": ["card.*"], "timeout_ms": 5000}"#;
/// let endpoint = EndpointConfig::parse_create(body, [7; 24]).unwrap();
/// assert_eq!(endpoint.timeout.as_millis(), 5_000);
/// let paused = endpoint.apply_patch(br#"{"enabled": false}"#).unwrap();
/// assert!(!paused.enabled && paused.secret == endpoint.secret);
/// assert_eq!(EndpointConfig::from_stored(&paused.to_doc(), paused.secrets().as_bytes()).unwrap(), paused);
/// ```
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct EndpointConfig {
    /// Where deliveries go.
    pub url: Box<str>,
    /// A name for people.
    pub name: Option<Box<str>>,
    /// What it is for.
    pub description: Option<Box<str>>,
    /// What it subscribes to; nothing arrives where there is none. Everything, unless its owner says otherwise.
    pub event_types: Vec<Pattern>,
    /// What it wants of an event beside its type; nothing more, unless its owner says so.
    pub filters: Option<Arc<Filters>>,
    /// Switched on by its owner; off means paused.
    pub enabled: bool,
    /// How requests authenticate.
    pub auth: Auth,
    /// Further headers of each request, names as given; no name twice in any case, none that `auth` sets.
    pub headers: Vec<(Box<str>, Box<str>)>,
    /// What deliveries are signed with; its profile says whether there must be one.
    pub secret: Option<SigningSecret>,
    /// Secrets that were rotated away, newest first, and until when each signs beside the current one; at most
    /// [`MAX_PREVIOUS_SECRETS`].
    pub previous_secrets: Vec<(SigningSecret, Timestamp)>,
    /// How its webhooks look: a profile's name, which may have been that of one which is there no more.
    pub profile: ProfileName,
    /// Further profiles whose headers its requests carry for a while; at most [`MAX_ALSO_SIGN`].
    pub also_sign: Vec<AlsoSign>,
    /// Whether deliveries with the same ordering key go out one at a time.
    pub ordering: OrderingMode,
    /// How long a failing delivery may hold back its key's successors; whole seconds within [`HOLD_MAX_S`].
    pub hold_max: Duration,
    /// How long an attempt may take; whole milliseconds within [`TIMEOUT_MS`].
    pub timeout: Duration,
    /// At most so many attempts begin within any second; within [`PER_SECOND`].
    pub per_second: Option<u32>,
    /// At most so many attempts at once; within [`MAX_IN_FLIGHT`].
    pub max_in_flight: u32,
    /// Its own delays after each failed attempt, whole seconds within [`SCHEDULE_STEP_S`]; empty: never tried again.
    pub schedule: Option<Arc<[Duration]>>,
    /// Notes of its owner.
    pub metadata: Metadata,
}

/// Whether deliveries with the same ordering key go out one at a time.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum OrderingMode {
    /// All as soon as they can.
    #[default]
    None,
    /// One at a time for each key, in order of acceptance.
    Key,
}

impl OrderingMode {
    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Key => "key",
        }
    }
}

impl EndpointConfig {
    /// Its retry schedule: its own, else its profile's, else the given one.
    pub fn schedule_or<'a>(
        &'a self,
        profile: Option<&'a Profile>,
        default: &'a Arc<[Duration]>,
    ) -> &'a Arc<[Duration]> {
        let of_profile = || profile.and_then(|profile| profile.delivery().schedule.as_ref());
        self.schedule.as_ref().or_else(of_profile).unwrap_or(default)
    }

    /// What the machines need to know of it, apart from whether it is proven whose it is. Where its profile is there no more,
    /// it is only waited: nothing is skipped, and nothing disables it.
    pub fn policy(&self, version: u32, profiles: &Profiles, default_schedule: &Arc<[Duration]>) -> Policy {
        let profile = profiles.get(self.profile.as_str()).map(|profile| &**profile);
        let rules = profile.map(Profile::delivery);
        Policy {
            version,
            patterns: self.event_types.clone(),
            filters: self.filters.clone(),
            enabled: self.enabled,
            verified: true,
            pause_skips: rules.is_some_and(|rules| rules.pause_skips),
            ordered: self.ordering == OrderingMode::Key,
            hold_max: self.hold_max,
            per_second: self.per_second,
            max_in_flight: self.max_in_flight,
            schedule: Arc::clone(self.schedule_or(profile, default_schedule)),
            gone_disables: rules.is_some_and(|rules| rules.gone_disables),
            disable_after: profile.and_then(Profile::disable_after),
            target: target_hash(&self.url),
        }
    }
}

/// The same for the same URL, in every process.
fn target_hash(url: &str) -> u64 {
    let mut hasher = rustc_hash::FxHasher::default();
    url.hash(&mut hasher);
    hasher.finish()
}

impl EndpointConfig {
    /// Reads the body of a request that makes an endpoint, whatever its URL, on a server that has profile `standard` alone.
    /// `fresh` becomes its signing secret unless it brings one.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse_create(body: &[u8], fresh: [u8; SigningSecret::MIN_BYTES]) -> Result<Self, ParseError> {
        Self::parse_create_judged(body, fresh, &Terms::standard())
    }

    /// As [`Self::parse_create`], on the [terms](Terms) of a server and a tenant.
    ///
    /// # Errors
    /// See [`ParseError`].
    pub fn parse_create_judged(
        body: &[u8],
        fresh: [u8; SigningSecret::MIN_BYTES],
        terms: &Terms<'_>,
    ) -> Result<Self, ParseError> {
        read::config(crate::json::utf8(body)?, &read::Source::New(terms, &fresh))
    }
}

#[cfg(test)]
mod tests;
