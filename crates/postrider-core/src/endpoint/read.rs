//! Reading an endpoint's configuration from the form in which it is created.

use std::ops::RangeInclusive;
use std::sync::Arc;
use std::time::Duration;

use serde_json::value::RawValue;

use super::{Auth, EndpointConfig, OrderingMode, Profile, headers};
use crate::fault::ParseError;
use crate::fields::{MAX_DESCRIPTION_CHARS, is_plain, metadata, name, one_of, plain_text};
use crate::filter::Filters;
use crate::json::{self, Detail, Object};
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

/// Says of a URL what it is written like in one way only, or why deliveries may not go there.
pub(super) type Judge<'a> = &'a dyn Fn(&str) -> Result<Box<str>, Detail>;

/// Takes every URL as it is.
pub(super) fn any_url(url: &str) -> Result<Box<str>, Detail> {
    Ok(url.into())
}

/// Reads a configuration; `fresh` is its secret if it brings none.
pub(super) fn config(
    text: &str,
    fresh: Option<SigningSecret>,
    judge: Judge<'_>,
) -> Result<EndpointConfig, ParseError> {
    let mut object = Object::parse(text)?;
    let config = fields(&mut object, fresh, judge);
    object.end(config)
}

fn fields(object: &mut Object<'_>, fresh: Option<SigningSecret>, judge: Judge<'_>) -> Option<EndpointConfig> {
    let url = object.required("url", |value| judge(&url(value)?));
    let name = name(object);
    let description = object.optional("description", |v| plain_text(v, MAX_DESCRIPTION_CHARS)).map(Box::from);
    let event_types = object
        .list("event_types", MAX_EVENT_TYPES, |v| Ok(Pattern::parse(&json::string(v)?)?))
        .unwrap_or_else(|| vec![Pattern::All]);
    let filters = object.object("filters", Filters::read).map(Arc::new);
    let enabled = object.optional("enabled", json::boolean).unwrap_or(true);
    let auth = object.object("auth", Auth::read).unwrap_or_default();
    let headers = custom_headers(object, &auth);
    let read_secret = |v: &RawValue| Ok(SigningSecret::parse(&json::string(v)?)?);
    let secret = match fresh {
        Some(fresh) => Some(object.optional("secret", read_secret).unwrap_or(fresh)),
        None => object.required("secret", read_secret),
    };
    let profile = object.optional("profile", |v| one_of(v, &Profile::NAMES)).unwrap_or_default();
    let modes = [("none", OrderingMode::None), ("key", OrderingMode::Key)];
    let ordering = object.optional("ordering", |v| one_of(v, &modes)).unwrap_or_default();
    let mut number =
        |name, range, default| object.optional(name, |v| json::integer(v, range)).unwrap_or(default);
    let hold_max_s = number("hold_max_s", HOLD_MAX_S, DEFAULT_HOLD_MAX_S);
    let timeout_ms = number("timeout_ms", TIMEOUT_MS, DEFAULT_TIMEOUT_MS);
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
        profile,
        ordering,
        hold_max: Duration::from_secs(hold_max_s.into()),
        timeout: Duration::from_millis(timeout_ms.into()),
        per_second,
        max_in_flight,
        schedule: schedule.map(Arc::from),
        metadata,
    })
}

fn url(value: &RawValue) -> Result<Box<str>, Detail> {
    let text = json::string(value)?;
    if text.is_empty() || text.len() > MAX_URL_BYTES || !is_plain(&text) {
        return Err(format!("must be a URL of at most {MAX_URL_BYTES} bytes").into());
    }
    Ok(text.into())
}

fn custom_headers(object: &mut Object<'_>, auth: &Auth) -> Vec<(Box<str>, Box<str>)> {
    let mut taken: Vec<String> =
        auth.header().map(|(name, _)| name.to_ascii_lowercase()).into_iter().collect();
    let headers = object.map("headers", headers::MAX_HEADERS, |name, value| {
        headers::check_name(name)?;
        let value = json::string(value)?;
        headers::check_value(&value)?;
        let lower = name.to_ascii_lowercase();
        if lower == "authorization" {
            return Err("belongs in auth, where its value is kept secret".into());
        }
        if taken.contains(&lower) {
            return Err("is set twice; names differ in more than case, and from the header of auth".into());
        }
        taken.push(lower);
        Ok((Box::from(name), Box::from(value)))
    });
    headers.unwrap_or_default()
}
