//! Registrations: how an endpoint is shown as one, and what a body asks of it.

use postrider_core::subscription::is_type_name;
use postrider_engine::{EndpointView, Tenant};
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use crate::app::App;
use crate::problem::{Kind, Problem};
use crate::surfaces::change::{Asked, Fields, as_v1};
use crate::surfaces::ids::uuid;
use crate::surfaces::seen::{Only, Seen, pass_only};

/// The attribute of events that a registration may want to have one value alone, and the field that names it.
const ORIGINATOR: &str = "originator_identifier";
const USERNAME: &str = "basic_auth_username";
const PASSWORD: &str = "basic_auth_secret";
const EVENT_TYPE: &str = "webhook_event_type";
/// Names of event types that a refusal lists, at most.
const MAX_NAMES: usize = 50;

/// Said of an endpoint that is more than a registration.
const HINT: &str = "this webhook was not made here and says more than a registration can (several event types, a wildcard, \
                    or several originators): it can be read here, and changed where it was made";

/// A registration.
#[derive(Serialize, ToSchema)]
pub(super) struct Registration {
    /// Its id.
    #[schema(format = "uuid")]
    webhook_uuid: String,
    /// Where events go.
    webhook_url: String,
    /// A name for people.
    #[schema(required)]
    webhook_name: Option<String>,
    /// The type of event that it receives; null for an endpoint that is no registration.
    #[schema(required)]
    webhook_event_type: Option<String>,
    /// The user name that each request has.
    #[schema(required)]
    basic_auth_username: Option<String>,
    /// Where one is set, only events whose attribute `originator_identifier` is this arrive.
    #[schema(required)]
    originator_identifier: Option<String>,
    /// Whether events are sent. Those that come while they are not are skipped.
    #[schema(pattern = "^(active|inactive)$")]
    status: &'static str,
    /// Why it cannot be changed here, for an endpoint that is no registration.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<&'static str>,
}

/// What a partner sets.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct RegistrationSpec {
    /// Where events go.
    webhook_url: String,
    /// A name for people.
    webhook_name: Option<String>,
    /// The type of event that it receives.
    webhook_event_type: String,
    /// The user name that each request has; null or "" clears it, and the password with it.
    basic_auth_username: Option<String>,
    /// The password that each request has; null or "" clears it, and the user name with it.
    basic_auth_secret: Option<String>,
    /// What requests are signed with; null or "" clears it.
    hmac_secret: Option<String>,
    /// Only events whose attribute `originator_identifier` is this arrive; null or "" clears it.
    originator_identifier: Option<String>,
    /// `active` unless given, or `inactive`.
    status: Option<String>,
}

impl Registration {
    pub(super) fn of(view: &EndpointView) -> Self {
        let seen = Seen::of(as_v1(view));
        let owned = |text: Option<&str>| text.map(str::to_owned);
        Self {
            webhook_uuid: uuid(&view.endpoint),
            webhook_url: view.config.url().to_owned(),
            webhook_name: owned(seen.text("/name")),
            webhook_event_type: owned(only_type(&seen)),
            basic_auth_username: owned(seen.text("/auth/username")),
            originator_identifier: owned(seen.only_text(ORIGINATOR)),
            status: if seen.is_enabled() { "active" } else { "inactive" },
            hint: (!is_registration(&seen)).then_some(HINT),
        }
    }
}

/// The one type that an endpoint subscribes to.
fn only_type(seen: &Seen) -> Option<&str> {
    let mut types = seen.event_types();
    let first = types.next()?;
    (types.next().is_none() && is_type_name(first)).then_some(first)
}

/// Whether a registration can say what an endpoint asks for.
fn is_registration(seen: &Seen) -> bool {
    only_type(seen).is_some() && seen.only(ORIGINATOR) != Only::Other
}

/// Whether an endpoint may be changed here.
///
/// # Errors
/// 409 for one that is no registration: what it says beside would be lost.
pub(super) fn changeable(seen: &Seen) -> Result<(), Problem> {
    if is_registration(seen) { Ok(()) } else { Err(Problem::new(Kind::Conflict, HINT)) }
}

/// What a body is for.
pub(super) enum Writing {
    /// To make a registration.
    New,
    /// To set one anew: what is absent goes to its default, save for what authenticates and signs.
    Whole(Seen),
    /// To change parts of one.
    Parts(Seen),
}

impl Writing {
    fn before(&self) -> Option<&Seen> {
        match self {
            Self::New => None,
            Self::Whole(before) | Self::Parts(before) => Some(before),
        }
    }
}

/// Reads a registration into an endpoint.
pub(super) fn asked(app: &App, tenant: &Tenant, mut given: Fields, writing: &Writing) -> Asked {
    let mut fields = Map::new();
    let is_part = matches!(writing, Writing::Parts(_));
    let is_set = |given: &Fields, name: &str| !is_part || given.has(name);
    if is_set(&given, "webhook_url") {
        let url = given.filled("webhook_url");
        if url.is_none() {
            given.fault_unless_told("webhook_url", "is missing");
        }
        fields.insert("url".into(), json!(url));
    }
    if is_set(&given, "webhook_name") {
        fields.insert("name".into(), json!(given.filled("webhook_name")));
    }
    if is_set(&given, EVENT_TYPE) {
        let name = event_type(app, tenant, &mut given, writing.before());
        fields.insert("event_types".into(), json!(Vec::from_iter(name)));
    }
    if let Some(auth) = authentication(&mut given, writing.before()) {
        fields.insert("auth".into(), auth);
    }
    if given.has("hmac_secret") {
        fields.insert("secret".into(), json!(given.filled("hmac_secret")));
    }
    if is_set(&given, ORIGINATOR) {
        let originator = given.filled(ORIGINATOR);
        pass_only(&mut fields, writing.before(), ORIGINATOR, originator);
    }
    if is_set(&given, "status") {
        let enabled = given.one_of("status", &[("active", true), ("inactive", false)]).unwrap_or(true);
        fields.insert("enabled".into(), json!(enabled));
    }
    Asked { fields, faults: given.faults() }
}

/// The event type: one of the platform's, or the present one.
fn event_type(app: &App, tenant: &Tenant, given: &mut Fields, before: Option<&Seen>) -> Option<String> {
    let Some(name) = given.filled(EVENT_TYPE) else {
        given.fault_unless_told(EVENT_TYPE, "is missing");
        return None;
    };
    let is_present = before.and_then(only_type) == Some(&name);
    if !is_present && app.engine().event_type(&tenant.profile, &name).is_none() {
        let known = app.engine().event_types_after(&tenant.profile, None, MAX_NAMES);
        let known: Vec<&str> = known.iter().map(|known| &*known.name).collect();
        given.fault(EVENT_TYPE, format!("must be one of {}", known.join(", ")));
    }
    Some(name)
}

/// What becomes of the authentication; `None` where it stays.
///
/// User name and password go together: either may be changed alone, and if one is cleared, so is the other.
fn authentication(given: &mut Fields, before: Option<&Seen>) -> Option<Value> {
    let (has_name, has_password) = (given.has(USERNAME), given.has(PASSWORD));
    if !has_name && !has_password {
        return None;
    }
    let is_basic = before.is_some_and(|before| before.text("/auth/type") == Some("basic"));
    match (given.filled(USERNAME), given.filled(PASSWORD)) {
        (None, None) => is_basic.then(|| json!({"type": "none"})),
        (Some(username), Some(password)) => {
            Some(json!({"type": "basic", "username": username, "password": password}))
        }
        (Some(username), None) if is_basic && !has_password => {
            Some(json!({"type": "basic", "username": username}))
        }
        (None, Some(password)) if is_basic && !has_name => {
            Some(json!({"type": "basic", "password": password}))
        }
        (Some(_), None) => {
            given.fault_unless_told(PASSWORD, "is missing: a user name goes with a password");
            None
        }
        (None, Some(_)) => {
            given.fault_unless_told(USERNAME, "is missing: a password goes with a user name");
            None
        }
    }
}

/// A registration's name of a field of `/v1`, both as JSON pointers.
pub(super) fn named(pointer: &str) -> String {
    let field = match pointer {
        "/url" => "webhook_url",
        "/name" => "webhook_name",
        "/secret" => "hmac_secret",
        "/enabled" => "status",
        "/auth/password" => PASSWORD,
        _ if pointer.starts_with("/auth") => USERNAME,
        _ if pointer.starts_with("/event_types") => EVENT_TYPE,
        _ if pointer.starts_with("/filters") => ORIGINATOR,
        _ => return pointer.to_owned(),
    };
    format!("/{field}")
}
