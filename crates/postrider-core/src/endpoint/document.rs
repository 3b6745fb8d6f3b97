//! The forms of an endpoint's configuration: for the store, with secrets apart, and for who reads it back.

use std::borrow::Cow;

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use zeroize::Zeroizing;

use super::{AlsoSign, EndpointConfig, read};
use crate::fault::ParseError;
use crate::filter::Filters;
use crate::json::{Document, Members, merge_members, parse_object, to_text, utf8};
use crate::secret::{Secret, SigningSecret};
use crate::time::Timestamp;

impl EndpointConfig {
    /// What is not secret, in the form in which it is created.
    pub(super) fn to_public(&self) -> Members {
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
            ("also_sign", self.also_sign.iter().map(AlsoSign::to_json).collect()),
            ("ordering", json!(self.ordering.as_str())),
            ("hold_max_s", json!(self.hold_max.as_secs())),
            ("timeout_ms", json!(u64::try_from(self.timeout.as_millis()).unwrap_or(u64::MAX))),
            ("rate_limit", json!(self.per_second.map(|n| json!({ "per_second": n })))),
            ("max_in_flight", json!(self.max_in_flight)),
            ("retry", json!(self.schedule.as_deref().map(|s| json!({ "schedule_s": steps(s) })))),
            ("metadata", pairs(&mut self.metadata.iter())),
        ];
        let filters = self.filters.as_deref().map_or(Document::from(Value::Null), Filters::to_document);
        let fields = fields.into_iter().map(|(name, value)| (name, Document::from(value)));
        fields.chain([("filters", filters)]).map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The secrets, laid out so that merged into [`Self::to_public`] they give the form in which it is created.
    pub(super) fn to_secret(&self) -> Members {
        let mut secret = Members::new();
        if let Some(signing) = &self.secret {
            secret.insert("secret".into(), Document::of(&signing.reveal()));
        }
        if let Some((field, credential)) = self.auth.credential() {
            let auth = Members::from([(field.to_owned(), Document::of(&credential.reveal()))]);
            secret.insert("auth".into(), Document::Object(auth));
        }
        secret
    }

    /// The document for the store: JSON without secrets.
    pub fn to_doc(&self) -> Bytes {
        let mut public = self.to_public();
        if self.secret.is_none() {
            public.insert(UNSIGNED.into(), json!(true).into());
        }
        public.retain(|_, value| !value.is_null());
        Bytes::copy_from_slice(to_text(&public).as_bytes())
    }

    /// Its secrets as JSON, to be sealed for the store.
    pub fn secrets(&self) -> Zeroizing<String> {
        let mut secret = self.to_secret();
        if !self.previous_secrets.is_empty() {
            let previous = self.previous_secrets.iter();
            let previous: Vec<_> = previous
                .map(|(secret, until)| Previous { secret: secret.reveal().into(), until: until.as_micros() })
                .collect();
            secret.insert(PREVIOUS.into(), Document::of(&previous));
        }
        to_text(&secret)
    }

    /// What [`Self::to_doc`] and [`Self::secrets`] wrote.
    ///
    /// # Errors
    /// [`ParseError`] for documents that were damaged, or written by a later version.
    pub fn from_stored(doc: &[u8], secrets: &[u8]) -> Result<Self, ParseError> {
        let mut secrets = parse_object(utf8(secrets)?)?;
        let previous = secrets.remove(PREVIOUS);
        let mut doc = parse_object(utf8(doc)?)?;
        if doc.remove(UNSIGNED).is_none() && !secrets.contains_key("secret") {
            return Err(ParseError::fault("/secret", "is missing"));
        }
        let mut config = Self::merged(doc, secrets)?;
        config.previous_secrets = previous.as_ref().map(read_previous).transpose()?.unwrap_or_default();
        Ok(config)
    }

    /// Reads the form in which it is created, put together of its public part and its secrets.
    pub(super) fn merged(mut public: Members, secrets: Members) -> Result<Self, ParseError> {
        merge_members(&mut public, secrets);
        read::config(&to_text(&public), &read::Source::Stored)
    }

    /// What who may read it is shown: every field, and instead of secrets whether they are set.
    pub fn public_view(&self) -> Members {
        let mut view = self.to_public();
        view.insert("secret_set".into(), json!(self.secret.is_some()).into());
        if let (Some((field, _)), Some(Document::Object(auth))) =
            (self.auth.credential(), view.get_mut("auth"))
        {
            auth.insert(format!("{field}_set"), json!(true).into());
        }
        view
    }
}

/// The field of the stored document that says that there is no signing secret.
pub(super) const UNSIGNED: &str = "unsigned";
/// The field of the stored secrets that holds those rotated away, newest first.
const PREVIOUS: &str = "previous";

/// One of them.
#[derive(Serialize, Deserialize)]
struct Previous<'a> {
    /// Borrowed, since base64 needs no escapes: no copy of it is left behind.
    #[serde(borrow)]
    secret: Cow<'a, str>,
    /// Until when it signs, in microseconds.
    until: i64,
}

fn read_previous(stored: &Document) -> Result<Vec<(SigningSecret, Timestamp)>, ParseError> {
    let read = |previous: Previous<'_>| {
        let secret = SigningSecret::of_text(Secret::new(&*previous.secret)).ok()?;
        Some((secret, Timestamp::from_micros(previous.until)))
    };
    let all: Option<Vec<_>> = match stored {
        Document::Other(_) => stored
            .as_json()
            .and_then(|text| serde_json::from_str::<Vec<Previous<'_>>>(text).ok())
            .and_then(|all| all.into_iter().map(read).collect()),
        // The first version kept one, not in an array.
        Document::Object(one) => serde_json::from_str(&to_text(one)).ok().and_then(read).map(|one| vec![one]),
    };
    all.ok_or_else(|| ParseError::fault("/previous", "is not what was stored"))
}
