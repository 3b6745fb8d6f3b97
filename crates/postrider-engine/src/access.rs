//! Callers who do not show their token as it is: they exchange it for access tokens, or prove with every request that they
//! have its secret.
//!
//! An access token is in no store: it says itself whose it is, what it allows and until when, signed under a key that follows
//! from the database's. The token behind it is looked up whenever it is used, so that it ends with it.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use aws_lc_rs::{constant_time, hmac};
use data_encoding::BASE64URL_NOPAD;
use postrider_core::seal::Binding;
use postrider_core::secret::Secret;
use postrider_core::time::Timestamp;
use postrider_core::token::{self, Kept, Scope, TokenConfig, TokenKind};
use serde::{Deserialize, Serialize};

use crate::Engine;
use crate::clock::wall;
use crate::directory::Token;
use crate::error::ServiceError;
use crate::tokens::MAX_TOKEN;

/// Bytes of the tag behind what an access token says.
const TAG_BYTES: usize = 32;
/// What access tokens begin with.
pub(crate) const PREFIX: &str = "pra_";

/// Why nobody gets an access token.
#[derive(Debug, thiserror::Error)]
pub enum Denied {
    /// There is no such token, or its secret is another.
    #[error("the credentials are not valid")]
    Credentials,
    /// It does not allow what was asked for.
    #[error("the credentials do not allow the scope {}", .0.as_str())]
    Scope(Scope),
    /// The machine failed.
    #[error(transparent)]
    Service(#[from] ServiceError),
}

/// What an access token says.
#[derive(Serialize, Deserialize)]
struct Claims {
    /// The id of the token behind it.
    t: Box<str>,
    /// What it allows, by name; absent for all that the token allows.
    #[serde(skip_serializing_if = "Option::is_none", default)]
    s: Option<Vec<Box<str>>>,
    /// When it ends, in seconds since 1970.
    e: i64,
}

impl Engine {
    /// Exchanges a client's id and secret for an access token, for these scopes or for all of the client's, and says how long it
    /// lives: `life`, or as long as the client.
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn exchange_client(
        &self,
        client_id: &str,
        client_secret: &str,
        scopes: Option<&[Scope]>,
        life: Duration,
    ) -> Result<(Secret, Duration), Denied> {
        let token = self.held(TokenKind::Client, client_id, client_secret).ok_or(Denied::Credentials)?;
        let lacking = scopes.unwrap_or_default().iter().find(|scope| !token.config.allows(**scope));
        match lacking {
            Some(scope) => Err(Denied::Scope(*scope)),
            None => Ok(self.access_token(&token, scopes, life)?),
        }
    }

    /// Exchanges a user name and a password, sent with the API key that belongs to them, for an access token; as
    /// [`Self::exchange_client`].
    ///
    /// # Errors
    /// See [`Denied`].
    pub fn exchange_login(
        &self,
        username: &str,
        password: &str,
        api_key: &str,
        life: Duration,
    ) -> Result<(Secret, Duration), Denied> {
        let token = self.held(TokenKind::Login, username, password);
        let token = token.filter(|token| token.has_api_key(api_key)).ok_or(Denied::Credentials)?;
        Ok(self.access_token(&token, None, life)?)
    }

    /// The token whose key this is, if `proof` is the HMAC-SHA256 of `signed` under its secret.
    pub fn authenticate_hmac(&self, key: &str, proof: &[u8], signed: &[u8]) -> Option<Arc<Token>> {
        let token = self.valid(TokenKind::Hmac, key)?;
        let Kept::Sealed(sealed) = &token.kept else { return None };
        let secret = self.directory().key().open(Binding::credential(&token.id), sealed);
        let secret =
            secret.inspect_err(|error| tracing::error!(token = &*token.id, %error, "a key's secret")).ok()?;
        hmac::verify(&hmac::Key::new(hmac::HMAC_SHA256, &secret), signed, proof).ok()?;
        Some(token)
    }

    /// The valid token of that kind and name whose secret this is.
    fn held(&self, kind: TokenKind, id: &str, secret: &str) -> Option<Arc<Token>> {
        let given = token::hash_of(kind, secret);
        self.valid(kind, id)
            .filter(|token| constant_time::verify_slices_are_equal(&token.hash, &given).is_ok())
    }

    fn valid(&self, kind: TokenKind, id: &str) -> Option<Arc<Token>> {
        let token = self.directory().token_by_id(id)?;
        (token.config.kind == kind && !token.config.is_expired(wall())).then_some(token)
    }

    fn access_token(
        &self,
        token: &Token,
        scopes: Option<&[Scope]>,
        life: Duration,
    ) -> Result<(Secret, Duration), ServiceError> {
        let now = wall();
        let end = (now + life).min(token.config.expires_at.unwrap_or(Timestamp::FAR_FUTURE));
        let names = |scopes: &[Scope]| {
            let each: BTreeSet<_> = scopes.iter().collect();
            each.into_iter().map(|scope| scope.as_str().into()).collect()
        };
        let claims = Claims { t: token.id.clone(), s: scopes.map(names), e: end.as_secs() };
        let mut signed = serde_json::to_vec(&claims).map_err(|_| ServiceError::Internal)?;
        let tag = hmac::sign(&self.directory().key().for_access_tokens(), &signed);
        signed.extend_from_slice(tag.as_ref());
        let text = Secret::new(format!("{PREFIX}{}", BASE64URL_NOPAD.encode(&signed)));
        Ok((text, end.since(now)))
    }

    /// Whether a text is an access token of our making, whether it is valid still or not: whoever sends one that is over guesses
    /// nothing.
    pub fn is_access_token(&self, text: &str) -> bool {
        text.len() <= MAX_TOKEN && self.claims(text).is_some()
    }

    fn claims(&self, text: &str) -> Option<Claims> {
        let signed = BASE64URL_NOPAD.decode(text.strip_prefix(PREFIX)?.as_bytes()).ok()?;
        let (claims, tag) = signed.split_at_checked(signed.len().checked_sub(TAG_BYTES)?)?;
        hmac::verify(&self.directory().key().for_access_tokens(), claims, tag).ok()?;
        serde_json::from_slice(claims).ok()
    }

    /// The token behind an access token, narrowed to what that allows, if both are valid.
    pub(crate) fn behind_access_token(&self, text: &str) -> Option<Arc<Token>> {
        let claims = self.claims(text)?;
        let end = Timestamp::from_secs(claims.e);
        let token = self.directory().token_by_id(&claims.t)?;
        let scopes = match claims.s {
            None => token.config.scopes.clone(),
            Some(names) => {
                let scopes = names.iter().filter_map(|name| Scope::named(name));
                scopes.filter(|scope| token.config.allows(*scope)).collect()
            }
        };
        let config = TokenConfig { scopes, expires_at: Some(end), ..token.config.clone() };
        let valid = !token.config.is_expired(wall()) && !config.is_expired(wall());
        valid.then(|| Arc::new(Token { config, ..(*token).clone() }))
    }
}

impl Token {
    /// Whether an API key is the one that belongs to this login.
    pub fn has_api_key(&self, api_key: &str) -> bool {
        let Kept::ApiKey(hash) = &self.kept else { return false };
        let given = token::hash_of(TokenKind::Login, api_key);
        constant_time::verify_slices_are_equal(hash, &given).is_ok()
    }
}
