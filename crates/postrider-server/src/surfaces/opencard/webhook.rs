//! A webhook as OpenCard has it, read from its bodies and shown in its answers.

use std::collections::BTreeMap;

use postrider_engine::EndpointView;
use serde::Serialize;
use serde_json::{Map, Value, json};
use utoipa::ToSchema;

use super::NAME;
use super::flags::{FLAGS, LACKS_PRODUCT, beyond};
use crate::problem::{Kind, Problem};
use crate::surfaces::change::{Asked, Fields, as_v1};
use crate::surfaces::ids;

/// A webhook.
#[derive(Serialize, ToSchema)]
pub(super) struct Webhook {
    id: u32,
    organization_id: String,
    /// Where events go.
    url: String,
    /// Whether its owner wants events; while not, there are none.
    enabled: bool,
    /// Whether it answered its challenge; before it does there are no events.
    active: bool,
    /// How requests authenticate.
    #[schema(pattern = "^(none|basic|oauth|custom)$")]
    authentication_type: &'static str,
    #[schema(required)]
    basic_username: Option<String>,
    #[schema(required)]
    custom_key: Option<String>,
    #[schema(required)]
    oauth_access_token_url: Option<String>,
    #[schema(required)]
    oauth_client_id: Option<String>,
    #[schema(required)]
    oauth_scope: Option<String>,
    /// Whether it takes each kind of event.
    #[serde(flatten)]
    flags: BTreeMap<&'static str, bool>,
    /// Why it can be removed here, but not changed; absent where it can be.
    #[serde(skip_serializing_if = "Option::is_none")]
    read_only: Option<&'static str>,
    /// What deliveries are signed with, shown when the webhook is made, and not again.
    #[serde(skip_serializing_if = "Option::is_none")]
    secret: Option<String>,
    created_at: String,
    updated_at: String,
}

/// What a partner sets. Beside these fields there is one for each kind of event, which is true or false.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct WebhookSpec {
    /// Where events go.
    url: String,
    /// Whether events are wanted; true unless given.
    enabled: Option<bool>,
    /// What deliveries are signed with: 60 random characters unless given. In a change it stays where it is absent.
    secret: Option<String>,
    /// none, basic, oauth or custom.
    authentication_type: Option<String>,
    basic_username: Option<String>,
    basic_password: Option<String>,
    /// The header that carries `custom_value`.
    custom_key: Option<String>,
    custom_value: Option<String>,
    /// Where tokens are fetched (RFC 6749, section 4.4).
    oauth_access_token_url: Option<String>,
    oauth_client_id: Option<String>,
    oauth_client_secret: Option<String>,
    oauth_scope: Option<String>,
    /// As an example of the flags.
    card_transaction_authorized: Option<bool>,
}

/// A text of an endpoint as `/v1` shows it.
fn text(v1: &Value, pointer: &str) -> Option<String> {
    v1.pointer(pointer).and_then(Value::as_str).map(str::to_owned)
}

/// The types that an endpoint subscribes to.
fn types(v1: &Value) -> Vec<&str> {
    v1["event_types"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Why an endpoint that was set through `/v1` cannot be said in this form, if so.
fn unsaid(v1: &Value) -> Option<&'static str> {
    if v1["profile"] != NAME {
        return Some("its deliveries are not OpenCard's; change it through /v1");
    }
    let by_wildcard = types(v1).iter().any(|name| name.ends_with('*'));
    by_wildcard.then_some("it takes events by a wildcard, which no flag says; change it through /v1")
}

/// Refuses to change what cannot be said in this form.
///
/// # Errors
/// 409, which says why.
pub(super) fn changeable(v1: &Value) -> Result<(), Problem> {
    match unsaid(v1) {
        None => Ok(()),
        Some(why) => Err(Problem::new(Kind::Conflict, format!("the webhook is read-only here: {why}"))),
    }
}

/// The name of a way to authenticate, by that of `/v1`.
fn authentication(kind: &str) -> &'static str {
    match kind {
        "basic" => "basic",
        "oauth2" => "oauth",
        // A bearer token is a value of a header, too.
        "api_key" | "bearer" => "custom",
        _ => "none",
    }
}

/// A webhook as it is shown; with its secret where that was just made.
pub(super) fn shown(view: &EndpointView, organization: &str, secret: Option<&str>) -> Webhook {
    let v1 = as_v1(view);
    let (kind, types) = (text(&v1, "/auth/type").unwrap_or_default(), types(&v1));
    let covers = |name: &str| {
        types.iter().any(|pattern| match pattern.strip_suffix('*') {
            Some(prefix) => name.starts_with(prefix),
            None => *pattern == name,
        })
    };
    Webhook {
        id: ids::number(&view.endpoint),
        organization_id: organization.to_owned(),
        url: view.config.url().to_owned(),
        enabled: v1["enabled"] == true,
        active: view.ownership.as_ref().is_none_or(|ownership| ownership.known.is_verified()),
        authentication_type: authentication(&kind),
        basic_username: text(&v1, "/auth/username"),
        custom_key: text(&v1, "/auth/header").or_else(|| (kind == "bearer").then(|| "Authorization".into())),
        oauth_access_token_url: text(&v1, "/auth/token_url"),
        oauth_client_id: text(&v1, "/auth/client_id"),
        oauth_scope: text(&v1, "/auth/scope"),
        flags: FLAGS.iter().map(|(flag, name)| (*flag, covers(name))).collect(),
        read_only: unsaid(&v1),
        secret: secret.map(str::to_owned),
        created_at: view.endpoint.created_at.rfc3339(),
        updated_at: view.endpoint.updated_at.rfc3339(),
    }
}

/// What a body makes of a webhook.
pub(super) struct Change<'a> {
    /// The endpoint as `/v1` shows it; `None` where there is none yet.
    pub(super) present: Option<&'a Value>,
    /// Whether what is absent goes to its default, rather than staying.
    pub(super) whole: bool,
    /// Whether the organization may have events of a type.
    pub(super) entitled: &'a dyn Fn(&str) -> bool,
}

impl Change<'_> {
    /// Reads a body.
    pub(super) fn read(&self, mut given: Fields) -> Asked {
        let mut fields = Map::new();
        if self.whole || given.has("url") {
            let url = given.text("url");
            if url.is_none() {
                given.fault_unless_told("url", "is missing");
            }
            fields.insert("url".into(), json!(url));
        }
        let enabled = given.boolean("enabled").or(self.whole.then_some(true));
        if let Some(enabled) = enabled {
            fields.insert("enabled".into(), json!(enabled));
        }
        fields.insert("event_types".into(), json!(self.types(&mut given)));
        if given.has("secret") {
            match given.filled("secret") {
                Some(secret) => drop(fields.insert("secret".into(), json!(secret))),
                // Of a new one it is as if it had not been given.
                None if self.present.is_none() => {}
                None => drop(fields.insert("secret".into(), Value::Null)),
            }
        }
        if let Some(auth) = self.auth(&mut given) {
            fields.insert("auth".into(), auth);
        }
        Asked { fields, faults: given.faults() }
    }

    /// The types that the flags stand for, and those that no flag stands for.
    fn types(&self, given: &mut Fields) -> Vec<String> {
        let present = self.present.map(types).unwrap_or_default();
        let mut wanted: Vec<String> = beyond(&present).into_iter().map(str::to_owned).collect();
        for (flag, name) in FLAGS {
            let before = present.contains(&name);
            let is_on = given.boolean(flag).unwrap_or(before && !self.whole);
            if is_on && !before && !(self.entitled)(name) {
                given.fault(flag, LACKS_PRODUCT);
            }
            if is_on {
                wanted.push(name.to_owned());
            }
        }
        wanted
    }

    /// How requests authenticate from now on; `None` where the body says nothing of it, so that it stays.
    fn auth(&self, given: &mut Fields) -> Option<Value> {
        const BASIC: &[(&str, &str)] = &[("basic_username", "username"), ("basic_password", "password")];
        const CUSTOM: &[(&str, &str)] = &[("custom_key", "header"), ("custom_value", "value")];
        const OAUTH: &[(&str, &str)] = &[
            ("oauth_access_token_url", "token_url"),
            ("oauth_client_id", "client_id"),
            ("oauth_client_secret", "client_secret"),
            ("oauth_scope", "scope"),
        ];
        let kinds = [("none", "none"), ("basic", "basic"), ("oauth", "oauth2"), ("custom", "api_key")];
        let named = given.one_of("authentication_type", &kinds);
        let present = self.present.and_then(|v1| v1.pointer("/auth/type")?.as_str());
        // As it is shown: a bearer token stays where its value is not given anew.
        let shown = given.text("custom_key").is_none_or(|key| key.eq_ignore_ascii_case("authorization"));
        if (present, named, shown) == (Some("bearer"), Some("api_key"), true) && !given.has("custom_value") {
            return None;
        }
        let kind = named.or(present).unwrap_or("none");
        let names = match kind {
            "basic" => BASIC,
            "api_key" => CUSTOM,
            "oauth2" => OAUTH,
            _ => &[],
        };
        let foreign = [BASIC, CUSTOM, OAUTH].concat().into_iter().map(|(name, _)| name);
        for name in foreign.filter(|name| !names.iter().any(|(own, _)| own == name)) {
            // Told, rather than dropped: whoever sends one without naming another type means to use it.
            if named.is_none() && given.filled(name).is_some() {
                given.fault(
                    name,
                    "does not belong to the authentication_type in force; give the type that it belongs to",
                );
            }
        }
        let mut auth = Map::new();
        for (name, field) in names {
            if !given.has(name) {
                continue;
            }
            // An empty password is one; everything else that is cleared is not there.
            let value = match *name {
                "basic_password" => json!(given.text(name).unwrap_or_default()),
                _ => json!(given.filled(name)),
            };
            auth.insert((*field).to_owned(), value);
        }
        if auth.is_empty() && (named.is_none() || self.present.is_none() && kind == "none") {
            return None;
        }
        auth.insert("type".into(), json!(kind));
        Some(Value::Object(auth))
    }
}

/// The name of a field of `/v1`.
pub(super) fn named(pointer: &str) -> String {
    let name = match pointer {
        "/auth/username" => "/basic_username",
        "/auth/password" => "/basic_password",
        "/auth/header" => "/custom_key",
        "/auth/value" => "/custom_value",
        "/auth/token_url" => "/oauth_access_token_url",
        "/auth/client_id" => "/oauth_client_id",
        "/auth/client_secret" => "/oauth_client_secret",
        "/auth/scope" => "/oauth_scope",
        other if other == "/auth" || other.starts_with("/auth/") => "/authentication_type",
        other => other,
    };
    name.to_owned()
}
