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
}

/// A token just made. Its text is shown this once; `Debug` leaves it out.
#[derive(Clone, Serialize, Deserialize)]
pub struct CreatedToken {
    /// Its id, `tok_…`.
    pub id: String,
    /// The token itself.
    pub token: String,
    /// The tenant it is bound to; none for an operator's.
    pub tenant: Option<String>,
    /// What it may do.
    pub scopes: Vec<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it ends, RFC 3339.
    pub expires_at: Option<String>,
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
