//! The forms of an endpoint's configuration: for the store, with secrets apart, and for who reads it back.

use bytes::Bytes;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::{EndpointConfig, read};
use crate::fault::ParseError;
use crate::json::{Wiped, merge_patch, parse_own, utf8};
use crate::secret::SigningSecret;
use crate::time::Timestamp;

impl EndpointConfig {
    /// What is not secret, in the form in which it is created.
    pub(super) fn to_public(&self) -> Map<String, Value> {
        let pairs = |pairs: &mut dyn Iterator<Item = (&Box<str>, &Box<str>)>| {
            Value::Object(pairs.map(|(name, value)| (name.to_string(), json!(value))).collect())
        };
        let steps = |steps: &[std::time::Duration]| {
            steps.iter().map(std::time::Duration::as_secs).collect::<Vec<_>>()
        };
        let types: Vec<String> = self.event_types.iter().map(ToString::to_string).collect();
        let fields = [
            ("url", json!(self.url)),
            ("name", json!(self.name)),
            ("description", json!(self.description)),
            ("event_types", json!(types)),
            ("enabled", json!(self.enabled)),
            ("auth", Value::Object(self.auth.to_public())),
            ("headers", pairs(&mut self.headers.iter().map(|(name, value)| (name, value)))),
            ("profile", json!(self.profile.as_str())),
            ("ordering", json!(self.ordering.as_str())),
            ("hold_max_s", json!(self.hold_max.as_secs())),
            ("timeout_ms", json!(u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX))),
            ("rate_limit", json!(self.per_second.map(|n| json!({ "per_second": n })))),
            ("max_in_flight", json!(self.max_in_flight)),
            ("retry", json!(self.schedule.as_deref().map(|s| json!({ "schedule_s": steps(s) })))),
            ("metadata", pairs(&mut self.metadata.iter())),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The secrets, laid out so that merged into [`Self::to_public`] they give the form in which it is created.
    pub(super) fn to_secret(&self) -> Wiped {
        let mut secret = Map::from_iter([("secret".to_owned(), json!(self.secret.reveal()))]);
        if let Some((field, credential)) = self.auth.credential() {
            secret.insert("auth".into(), json!({ field: credential.reveal() }));
        }
        Wiped::of(secret)
    }

    /// The document for the store: JSON without secrets.
    pub fn to_doc(&self) -> Bytes {
        let mut public = self.to_public();
        public.retain(|_, value| !value.is_null());
        Value::Object(public).to_string().into()
    }

    /// Its secrets as JSON, to be sealed for the store.
    pub fn secrets(&self) -> Zeroizing<String> {
        let mut secret = self.to_secret();
        if let Some((previous, until)) = &self.previous_secret {
            secret.0[PREVIOUS] = json!({"secret": previous.reveal(), "until": until.as_micros()});
        }
        secret.to_text()
    }

    /// What [`Self::to_doc`] and [`Self::secrets`] wrote.
    ///
    /// # Errors
    /// [`ParseError`] for documents that were damaged, or written by a later version.
    pub fn from_stored(doc: &[u8], secrets: &[u8]) -> Result<Self, ParseError> {
        let mut secrets = Wiped::of(parse_own(utf8(secrets)?)?);
        let previous = secrets.remove(PREVIOUS);
        let mut config = Self::merged(parse_own(utf8(doc)?)?, secrets)?;
        config.previous_secret = previous.map(|previous| read_previous(&previous.0)).transpose()?;
        Ok(config)
    }

    /// Reads the form in which it is created, put together of its public part and its secrets.
    pub(super) fn merged(public: Map<String, Value>, secrets: Wiped) -> Result<Self, ParseError> {
        let mut whole = Wiped::of(public);
        merge_patch(&mut whole.0, secrets.take());
        read::config(&whole.to_text(), None, &read::any_url)
    }

    /// What who may read it is shown: every field, and instead of secrets whether they are set.
    pub fn public_view(&self) -> Map<String, Value> {
        let mut view = self.to_public();
        view.insert("secret_set".into(), json!(true));
        if let (Some((field, _)), Some(Value::Object(auth))) = (self.auth.credential(), view.get_mut("auth"))
        {
            auth.insert(format!("{field}_set"), json!(true));
        }
        view
    }
}

/// The field of the stored secrets that holds the one rotated away.
const PREVIOUS: &str = "previous";

fn read_previous(value: &Value) -> Result<(SigningSecret, Timestamp), ParseError> {
    let secret = value.get("secret").and_then(Value::as_str).and_then(|text| SigningSecret::parse(text).ok());
    let until = value.get("until").and_then(Value::as_i64).map(Timestamp::from_micros);
    secret.zip(until).ok_or_else(|| ParseError::fault("/previous", "is not a stored secret"))
}
