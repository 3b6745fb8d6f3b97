//! How requests to an endpoint authenticate.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};
use zeroize::Zeroizing;

use super::headers;
use super::oauth2::OAuth2;
use super::terms::JudgeUrl;
use crate::fields::{is_plain, one_of};
use crate::json::{self, Detail, Object};
use crate::profile::BearerForm;
use crate::secret::Secret;

/// The longest user name or password, in bytes.
pub const MAX_CREDENTIAL: usize = 1_024;
/// The longest bearer token or API key, in bytes.
pub const MAX_TOKEN: usize = 4_000;

/// How requests to an endpoint authenticate.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Auth {
    /// Not at all.
    #[default]
    None,
    /// A user name and a password (RFC 7617), in UTF-8.
    Basic {
        /// The user name, without a colon.
        username: Box<str>,
        /// The password.
        password: Secret,
    },
    /// A bearer token (RFC 6750).
    Bearer {
        /// The token.
        token: Secret,
    },
    /// A key in a header of the partner's choice.
    ApiKey {
        /// The header's name.
        header: Box<str>,
        /// The key.
        value: Secret,
    },
    /// A bearer token that an authorization server gives out for a time.
    OAuth2(Box<OAuth2>),
}

#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    None,
    Basic,
    Bearer,
    ApiKey,
    OAuth2,
}

const KINDS: [(&str, Kind); 5] = [
    ("none", Kind::None),
    ("basic", Kind::Basic),
    ("bearer", Kind::Bearer),
    ("api_key", Kind::ApiKey),
    ("oauth2", Kind::OAuth2),
];

impl Auth {
    /// The name of the scheme in the API.
    pub const fn kind(&self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Basic { .. } => "basic",
            Self::Bearer { .. } => "bearer",
            Self::ApiKey { .. } => "api_key",
            Self::OAuth2(_) => "oauth2",
        }
    }

    /// The header that it adds to each request: name and value. None with [`Self::OAuth2`], whose tokens are not known
    /// in advance.
    ///
    /// ```
    /// use postrider_core::endpoint::Auth;
    /// use postrider_core::secret::Secret;
    /// let auth = Auth::Basic { username: "Aladdin".into(), password: Secret::new("open sesame") };
    /// let (name, value) = auth.header().unwrap();
    /// assert_eq!((&*name, value.reveal()), ("authorization", "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="));
    /// ```
    pub fn header(&self) -> Option<(Box<str>, Secret)> {
        match self {
            Self::None | Self::OAuth2(_) => None,
            Self::Basic { username, password } => {
                let pair = Secret::of(&[username, ":", password.reveal()]);
                let encoded = Zeroizing::new(STANDARD.encode(pair.reveal()));
                Some(("authorization".into(), Secret::of(&["Basic ", &encoded])))
            }
            Self::Bearer { token } => {
                Some(("authorization".into(), Secret::of(&["Bearer ", token.reveal()])))
            }
            Self::ApiKey { header, value } => Some((header.clone(), value.clone())),
        }
    }

    /// The header as a profile wants it.
    pub fn header_in(&self, form: BearerForm) -> Option<(Box<str>, Secret)> {
        match self {
            Self::Bearer { token } if form == BearerForm::UnlessSchemed && has_scheme(token.reveal()) => {
                Some(("authorization".into(), token.clone()))
            }
            _ => self.header(),
        }
    }

    /// The credential and the field that holds it.
    pub(super) fn credential(&self) -> Option<(&'static str, &Secret)> {
        match self {
            Self::None => None,
            Self::Basic { password, .. } => Some(("password", password)),
            Self::Bearer { token } => Some(("token", token)),
            Self::ApiKey { value, .. } => Some(("value", value)),
            Self::OAuth2(client) => Some((OAuth2::CREDENTIAL, &client.client_secret)),
        }
    }

    /// The field that holds the credential of a scheme, by the scheme's name in the API.
    pub(super) fn credential_field(kind: &str) -> Option<&'static str> {
        match kind {
            "basic" => Some("password"),
            "bearer" => Some("token"),
            "api_key" => Some("value"),
            "oauth2" => Some(OAuth2::CREDENTIAL),
            _ => None,
        }
    }

    /// What is not secret of it.
    pub(super) fn to_public(&self) -> Map<String, Value> {
        let mut public = Map::from_iter([("type".to_owned(), json!(self.kind()))]);
        match self {
            Self::None | Self::Bearer { .. } => {}
            Self::Basic { username, .. } => drop(public.insert("username".into(), json!(username))),
            Self::ApiKey { header, .. } => drop(public.insert("header".into(), json!(header))),
            Self::OAuth2(client) => client.add_public(&mut public),
        }
        public
    }

    /// The client, where tokens are fetched.
    pub fn oauth2(&self) -> Option<&OAuth2> {
        match self {
            Self::OAuth2(client) => Some(client),
            _ => None,
        }
    }

    pub(super) fn read(object: &mut Object<'_>, judge: &JudgeUrl<'_>) -> Option<Self> {
        match object.required("type", |v| one_of(v, &KINDS)) {
            Some(Kind::None) => Some(Self::None),
            Some(Kind::Basic) => {
                let username = object.required("username", username);
                let password = object.required("password", password);
                username.zip(password).map(|(username, password)| Self::Basic { username, password })
            }
            Some(Kind::Bearer) => object.required("token", token).map(|token| Self::Bearer { token }),
            Some(Kind::ApiKey) => {
                let header = object.required("header", header_name);
                let value = object.required("value", token);
                header.zip(value).map(|(header, value)| Self::ApiKey { header, value })
            }
            Some(Kind::OAuth2) => OAuth2::read(object, judge).map(|client| Self::OAuth2(Box::new(client))),
            None => {
                // Which fields belong to it cannot be known, so none is called unknown that belongs to any.
                for name in
                    ["username", "password", "token", "header", "value"].into_iter().chain(OAuth2::FIELDS)
                {
                    object.optional(name, |_| Ok(()));
                }
                None
            }
        }
    }
}

/// Whether a credential begins with the name of a scheme (RFC 9110, section 11.1) and a space.
fn has_scheme(credential: &str) -> bool {
    let token = |b: u8| b.is_ascii_alphanumeric() || b == b'-' || b == b'_';
    credential
        .split_once(' ')
        .is_some_and(|(scheme, rest)| !scheme.is_empty() && !rest.is_empty() && scheme.bytes().all(token))
}

fn username(value: &RawValue) -> Result<Box<str>, Detail> {
    let text = json::string(value)?;
    if text.is_empty() || text.len() > MAX_CREDENTIAL || text.contains(':') || !is_plain(&text) {
        return Err(
            format!("must be 1 to {MAX_CREDENTIAL} bytes without a colon or control characters").into()
        );
    }
    Ok(text.into())
}

fn password(value: &RawValue) -> Result<Secret, Detail> {
    let secret = json::secret(value)?;
    let text = secret.reveal();
    if text.len() > MAX_CREDENTIAL || text.chars().any(char::is_control) {
        return Err(format!("must be at most {MAX_CREDENTIAL} bytes without control characters").into());
    }
    Ok(secret)
}

fn token(value: &RawValue) -> Result<Secret, Detail> {
    let secret = json::secret(value)?;
    let text = secret.reveal();
    if text.is_empty() || text.len() > MAX_TOKEN {
        return Err(format!("must be 1 to {MAX_TOKEN} bytes").into());
    }
    headers::check_value(text)?;
    Ok(secret)
}

fn header_name(value: &RawValue) -> Result<Box<str>, Detail> {
    let text = json::string(value)?;
    headers::check_name(&text)?;
    Ok(text.into())
}
