//! Reading an endpoint's configuration from the form in which it is created.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::{AlsoSign, Auth, EndpointConfig, OrderingMode, Terms, headers};
use crate::fault::{Fault, ParseError};
use crate::fields::{MAX_DESCRIPTION_CHARS, is_plain, metadata, name, one_of, plain_text};
use crate::filter::Filters;
use crate::json::{self, Detail, Object};
use crate::profile::{Profile, ProfileName};
use crate::secret::SigningSecret;
use crate::subscription::Pattern;

/// How long an attempt may be allowed to take, in milliseconds.
pub const TIMEOUT_MS: RangeInclusive<u32> = 100..=60_000;
/// How long it takes at most where nothing is said.
pub const DEFAULT_TIMEOUT_MS: u32 = 15_000;
/// How many attempts may be allowed at once.
pub const MAX_IN_FLIGHT: RangeInclusive<u32> = 1..=1_000;
/// How many there are where nothing is said.
pub const DEFAULT_MAX_IN_FLIGHT: u32 = 16;
/// How many attempts a second a rate limit may allow.
pub const PER_SECOND: RangeInclusive<u32> = 1..=10_000;
/// A delay of a retry schedule, in seconds: up to a week.
pub const SCHEDULE_STEP_S: RangeInclusive<u32> = 1..=604_800;
/// The most delays of a retry schedule.
pub const MAX_SCHEDULE_STEPS: usize = 50;
/// How long a failing delivery may hold back its key's successors, in seconds: up to a week.
pub const HOLD_MAX_S: RangeInclusive<u32> = 1..=604_800;
/// How long it does where nothing is said.
pub const DEFAULT_HOLD_MAX_S: u32 = 3_600;
/// The most patterns of event types.
pub const MAX_EVENT_TYPES: usize = 50;
/// The longest URL, in bytes.
pub const MAX_URL_BYTES: usize = 2_048;

/// Where a configuration comes from.
pub(super) enum Source<'a> {
    /// A request that makes an endpoint; the bytes become its secret if it brings none.
    New(&'a Terms<'a>, &'a [u8; SigningSecret::MIN_BYTES]),
    /// A request that changes one.
    Changed(&'a Terms<'a>),
    /// The store: it was judged before, by terms that may have changed since.
    Stored,
}

impl Source<'_> {
    fn terms(&self) -> Option<&Terms<'_>> {
        match self {
            Self::New(terms, _) | Self::Changed(terms) => Some(terms),
            Self::Stored => None,
        }
    }
}

/// Reads a configuration.
pub(super) fn config(text: &str, source: &Source<'_>) -> Result<EndpointConfig, ParseError> {
    let mut object = Object::parse(text)?;
    let config = fields(&mut object, source);
    object.end(config)
}

fn fields(object: &mut Object<'_>, source: &Source<'_>) -> Option<EndpointConfig> {
    let terms = source.terms();
    let judge = |url: &str| terms.map_or_else(|| Ok(url.into()), |terms| (terms.judge_url)(url));
    let url = object.required("url", |value| judge(&url(value)?));
    let name = name(object);
    let description = object.optional("description", |v| plain_text(v, MAX_DESCRIPTION_CHARS)).map(Box::from);
    let event_types = object
        .list("event_types", MAX_EVENT_TYPES, |v| Ok(Pattern::parse(&json::string(v)?)?))
        .unwrap_or_else(|| vec![Pattern::All]);
    let filters = object.object("filters", Filters::read).map(Arc::new);
    let enabled = object.optional("enabled", json::boolean).unwrap_or(true);
    let auth = object.object("auth", |auth| Auth::read(auth, &judge)).unwrap_or_default();
    let profile = profile(object, terms);
    let known =
        profile.as_ref().and_then(|name| terms?.profiles.get(name.as_str())).map(|profile| &**profile);
    let mut taken: Vec<String> = known
        .into_iter()
        .flat_map(|known| known.wire().header_names())
        .map(str::to_ascii_lowercase)
        .collect();
    let headers = custom_headers(object, &auth, &mut taken);
    let secret = secret(object, source, known);
    let also_sign = AlsoSign::read(object, terms);
    if let Some(terms) = terms {
        let mut others: Vec<&Profile> = known.into_iter().collect();
        for (index, also) in also_sign.iter().enumerate() {
            let Some(profile) = terms.profiles.get(also.profile.as_str()) else { continue };
            let signing = secret.as_ref().and_then(Option::as_ref);
            let checked = AlsoSign::check(profile, signing, &others, &mut taken);
            others.push(profile);
            if let Err(detail) = checked {
                object.faults_below("also_sign", vec![Fault::new(format!("/{index}/profile"), detail)]);
            }
        }
    }
    let modes = [("none", OrderingMode::None), ("key", OrderingMode::Key)];
    let ordering = object.optional("ordering", |v| one_of(v, &modes)).unwrap_or_default();
    let mut number =
        |name, range, default| object.optional(name, |v| json::integer(v, range)).unwrap_or(default);
    let hold_max_s = number("hold_max_s", HOLD_MAX_S, DEFAULT_HOLD_MAX_S);
    let of_profile = known.and_then(|known| u32::try_from(known.delivery().timeout.as_millis()).ok());
    let timeout_ms = number("timeout_ms", TIMEOUT_MS, of_profile.unwrap_or(DEFAULT_TIMEOUT_MS));
    let max_in_flight = number("max_in_flight", MAX_IN_FLIGHT, DEFAULT_MAX_IN_FLIGHT);
    let per_second =
        object.object("rate_limit", |limit| limit.required("per_second", |v| json::integer(v, PER_SECOND)));
    let schedule = object.object("retry", |retry| {
        retry.list("schedule_s", MAX_SCHEDULE_STEPS, |v| {
            json::integer(v, SCHEDULE_STEP_S).map(|s| Duration::from_secs(s.into()))
        })
    });
    let metadata = metadata(object);
    Some(EndpointConfig {
        url: url?,
        name,
        description,
        event_types,
        filters,
        enabled,
        auth,
        headers,
        secret: secret?,
        previous_secrets: Vec::new(),
        profile: profile?,
        also_sign,
        ordering,
        hold_max: Duration::from_secs(hold_max_s.into()),
        timeout: Duration::from_millis(timeout_ms.into()),
        per_second,
        max_in_flight,
        schedule: schedule.map(Arc::from),
        metadata,
    })
}

/// The profile's name: one that there is, unless it comes from the store.
fn profile(object: &mut Object<'_>, terms: Option<&Terms<'_>>) -> Option<ProfileName> {
    let Some(terms) = terms else {
        return Some(object.optional("profile", |v| Ok(json::string(v)?.parse()?)).unwrap_or_default());
    };
    if object.has("profile") {
        return object.optional("profile", |v| terms.profiles.name(&json::string(v)?));
    }
    object.optional("profile", |_| Ok(()));
    match terms.profiles.name(terms.profile.as_str()) {
        Ok(name) => Some(name),
        Err(_) => {
            let detail = format!(
                "is missing: the tenant's own profile, {}, is there no more; name another",
                terms.profile
            );
            object.fault("profile", detail);
            None
        }
    }
}

/// The signing secret in the form of its profile, which may make one, and may do without.
fn secret(
    object: &mut Object<'_>,
    source: &Source<'_>,
    profile: Option<&Profile>,
) -> Option<Option<SigningSecret>> {
    let Some(profile) = profile else {
        // Of a profile that is not known, every text may be one.
        let given = object.optional("secret", |v| Ok(SigningSecret::of_text(json::secret(v)?)?));
        return Some(given);
    };
    let rule = profile.secret();
    if object.has("secret") {
        return object.optional("secret", |v| rule.parse(json::secret(v)?)).map(Some);
    }
    object.optional("secret", |_| Ok(()));
    let made = match source {
        Source::New(_, fresh) => rule.generate(fresh),
        _ => None,
    };
    if made.is_none() && rule.required {
        object.fault("secret", format!("is missing, and profile {} needs one", profile.name()));
        return None;
    }
    Some(made)
}

pub(super) fn url(value: &RawValue) -> Result<Box<str>, Detail> {
    let text = json::string(value)?;
    if text.is_empty() || text.len() > MAX_URL_BYTES || !is_plain(&text) {
        return Err(format!("must be a URL of at most {MAX_URL_BYTES} bytes").into());
    }
    Ok(text.into())
}

/// Headers of the endpoint's own, beside those whose names are `taken`, in lower case, which theirs are added to.
fn custom_headers(
    object: &mut Object<'_>,
    auth: &Auth,
    taken: &mut Vec<String>,
) -> Vec<(Box<str>, Box<str>)> {
    if let Some((name, _)) = auth.header() {
        let name = name.to_ascii_lowercase();
        if taken.contains(&name) {
            object.faults_below(
                "auth",
                vec![Fault::new("/header", "is set by the profile; choose another name")],
            );
        }
        taken.push(name);
    }
    let headers = object.map("headers", headers::MAX_HEADERS, |name, value| {
        headers::check_name(name)?;
        let value = json::string(value)?;
        headers::check_value(&value)?;
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" {
            return Err("belongs in auth, where its value is kept secret".into());
        }
        if taken.contains(&lower) {
            return Err("is set twice; names differ in more than case, from the header of auth, and from those of the profile".into());
        }
        taken.push(lower);
        Ok((Box::from(name), Box::from(value)))
    });
    headers.unwrap_or_default()
}
