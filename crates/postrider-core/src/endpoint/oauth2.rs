//! The client credentials with which requests to an endpoint get their tokens (OAuth 2.0, RFC 6749, section 4.4).

use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use super::auth::MAX_CREDENTIAL;
use super::read;
use super::terms::JudgeUrl;
use crate::fields::{is_plain, one_of};
use crate::json::{self, Detail, Object};
use crate::secret::Secret;

/// A client of an authorization server.
///
/// The token URL, like the endpoint's own, is only known to be a text of a sane length: whether requests may go there is
/// judged by who sends them.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct OAuth2 {
    /// Where tokens are asked for.
    pub token_url: Box<str>,
    /// Who asks.
    pub client_id: Box<str>,
    /// What proves it.
    pub client_secret: Secret,
    /// What the token is to allow, as the authorization server names it.
    pub scope: Option<Box<str>>,
    /// Whom it is for, where the authorization server wants to know.
    pub audience: Option<Box<str>>,
    /// How id and secret are sent.
    pub credentials_in: CredentialsIn,
}

/// Where a request for a token carries the client's id and secret (RFC 6749, section 2.3.1).
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum CredentialsIn {
    /// Among the parameters of the body.
    #[default]
    Body,
    /// As user name and password in `Authorization`.
    Basic,
}

impl CredentialsIn {
    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Body => "body",
            Self::Basic => "basic",
        }
    }
}

impl OAuth2 {
    /// The fields, in the order in which they are read.
    pub(super) const FIELDS: [&'static str; 6] =
        ["token_url", "client_id", "client_secret", "scope", "audience", "credentials_in"];
    /// The field that holds the credential.
    pub(super) const CREDENTIAL: &'static str = "client_secret";

    pub(super) fn read(object: &mut Object<'_>, judge: &JudgeUrl<'_>) -> Option<Self> {
        let token_url = object.required("token_url", |value| judge(&read::url(value)?));
        let client_id = object.required("client_id", text);
        let client_secret = object.required(Self::CREDENTIAL, client_secret);
        let scope = object.optional("scope", text);
        let audience = object.optional("audience", text);
        let places = [CredentialsIn::Body, CredentialsIn::Basic].map(|place| (place.as_str(), place));
        let credentials_in = object.optional("credentials_in", |value| one_of(value, &places));
        Some(Self {
            token_url: token_url?,
            client_id: client_id?,
            client_secret: client_secret?,
            scope,
            audience,
            credentials_in: credentials_in.unwrap_or_default(),
        })
    }

    /// Adds what is not secret of it.
    pub(super) fn add_public(&self, public: &mut Map<String, Value>) {
        let fields = [
            ("token_url", json!(self.token_url)),
            ("client_id", json!(self.client_id)),
            ("scope", json!(self.scope)),
            ("audience", json!(self.audience)),
            ("credentials_in", json!(self.credentials_in.as_str())),
        ];
        let given = fields.into_iter().filter(|(_, value)| !value.is_null());
        public.extend(given.map(|(name, value)| (name.to_owned(), value)));
    }
}

fn text(value: &RawValue) -> Result<Box<str>, Detail> {
    let text = json::string(value)?;
    if text.is_empty() || text.len() > MAX_CREDENTIAL || !is_plain(&text) {
        return Err(format!("must be 1 to {MAX_CREDENTIAL} bytes without control characters").into());
    }
    Ok(text.into())
}

fn client_secret(value: &RawValue) -> Result<Secret, Detail> {
    let secret = json::secret(value)?;
    let text = secret.reveal();
    if text.is_empty() || text.len() > MAX_CREDENTIAL || text.chars().any(char::is_control) {
        return Err(format!("must be 1 to {MAX_CREDENTIAL} bytes without control characters").into());
    }
    Ok(secret)
}
