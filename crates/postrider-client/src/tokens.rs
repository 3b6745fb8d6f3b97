//! Tokens: who may call, and for what.

use http::Method;
use serde::{Deserialize, Serialize};

use crate::{Answer, Client, Error, Page, PageRequest};

/// A token to be made.
#[derive(Debug, Clone, Default, Serialize)]
pub struct NewToken {
    /// The tenant it is bound to, exact or a prefix such as `acme:*`; none makes an operator's token.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tenant: Option<String>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it ends, RFC 3339.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub expires_at: Option<String>,
    /// How it is shown: `bearer` unless given, `client`, `login`, `hmac`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kind: Option<String>,
}

/// A token just made. What its holder needs is shown this once; `Debug` leaves it out.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreatedToken {
    /// Its id, `tok_…`.
    pub id: String,
    /// How it is shown.
    pub kind: String,
    /// Of kind `bearer`: the token itself.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub token: Option<String>,
    /// Of kind `client`: its id.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_id: Option<String>,
    /// Of kind `client`: its secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub client_secret: Option<String>,
    /// Of kind `login`: the user's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub username: Option<String>,
    /// Of kind `login`: the password.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub password: Option<String>,
    /// Of kind `login`: the API key.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub api_key: Option<String>,
    /// Of kind `hmac`: the key's name.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub key: Option<String>,
    /// Of kind `hmac`: the key's secret.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub secret: Option<String>,
    /// The tenant it is bound to; none for an operator's.
    pub tenant: Option<String>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it ends, RFC 3339.
    pub expires_at: Option<String>,
}

impl CreatedToken {
    /// What its holder needs, by the names of the API.
    pub fn credentials(&self) -> impl Iterator<Item = (&'static str, &str)> {
        [
            ("token", &self.token),
            ("client_id", &self.client_id),
            ("client_secret", &self.client_secret),
            ("username", &self.username),
            ("password", &self.password),
            ("api_key", &self.api_key),
            ("key", &self.key),
            ("secret", &self.secret),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name, value.as_deref()?)))
    }
}

impl std::fmt::Debug for CreatedToken {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("CreatedToken").field("id", &self.id).finish_non_exhaustive()
    }
}

/// A token as read back, without its text.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub struct Token {
    /// Its id, `tok_…`.
    pub id: String,
    /// How it is shown.
    pub kind: String,
    /// The tenant it is bound to; none for an operator's.
    pub tenant: Option<String>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it ends, RFC 3339.
    pub expires_at: Option<String>,
}

impl Client {
    /// Makes a token.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn create_token(&self, token: &NewToken) -> Result<Answer<CreatedToken>, Error> {
        self.send(Method::POST, &["v1", "tokens"], token).await
    }

    /// Reads a page of the tokens, without their texts.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn list_tokens(&self, page: &PageRequest) -> Result<Answer<Page<Token>>, Error> {
        self.get(&["v1", "tokens"], &page.query()).await
    }

    /// Revokes a token.
    ///
    /// # Errors
    /// See [`Error`].
    pub async fn delete_token(&self, id: &str) -> Result<(), Error> {
        self.send_for_nothing(Method::DELETE, &["v1", "tokens", id]).await
    }
}
