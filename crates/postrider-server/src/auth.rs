//! Who is calling, and what that token may do.

use std::net::IpAddr;
use std::sync::Arc;

use axum::extract::FromRequestParts;
use http::header;
use http::request::Parts;
use postrider_core::token::{Scope, TokenKind};
use postrider_engine::{Tenant, Token};

use crate::app::App;
use crate::problem::{Kind, Problem};

/// From where a request came, which the server leaves with it.
#[derive(Clone, Copy)]
pub(crate) struct Peer(pub(crate) IpAddr);

impl Peer {
    /// Whether nobody can have listened on the way: it came from this machine, maybe through a proxy on it that ended TLS.
    pub(crate) fn is_unheard(self) -> bool {
        self.0.to_canonical().is_loopback()
    }
}

/// The header that a login's API key is in.
pub(crate) const API_KEY: &str = "x-api-key";

/// A caller with a valid token.
pub(crate) struct Caller(Arc<Token>);

impl FromRequestParts<App> for Caller {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, app: &App) -> Result<Self, Problem> {
        let mut given = parts.headers.get_all(header::AUTHORIZATION).iter();
        let token = match (given.next(), given.next()) {
            (Some(value), None) => bearer(value.as_bytes()),
            _ => None,
        };
        let api_key = parts.headers.get(API_KEY).and_then(|key| key.to_str().ok());
        token.and_then(|token| Self::with_token(app, token, api_key)).ok_or_else(unauthorized)
    }
}

fn unauthorized() -> Problem {
    Problem::new(
        Kind::Unauthorized,
        "send Authorization: Bearer and a token that is neither revoked nor expired",
    )
}

/// The token of `Bearer <token>`; the scheme in any case (RFC 9110, section 11.1).
pub(crate) fn bearer(value: &[u8]) -> Option<&str> {
    let (scheme, token) = value.split_at_checked(7)?;
    if !scheme.eq_ignore_ascii_case(b"bearer ") {
        return None;
    }
    std::str::from_utf8(token.trim_ascii()).ok()
}

impl Caller {
    /// Whoever holds that token, if it is valid. The access token of a login goes with its API key, and is none without.
    pub(crate) fn with_token(app: &App, token: &str, api_key: Option<&str>) -> Option<Self> {
        let token = app.engine().authenticate(token)?;
        let whole =
            token.config.kind != TokenKind::Login || api_key.is_some_and(|key| token.has_api_key(key));
        whole.then_some(Self(token))
    }

    /// Whoever proved to hold a token.
    pub(crate) fn holding(token: Arc<Token>) -> Self {
        Self(token)
    }

    /// The token.
    pub(crate) fn token(&self) -> &Token {
        &self.0
    }

    /// Whether the token has a scope.
    ///
    /// # Errors
    /// 403, naming the scope.
    pub(crate) fn may(&self, scope: Scope) -> Result<(), Problem> {
        if self.0.config.allows(scope) {
            return Ok(());
        }
        Err(Problem::new(Kind::Forbidden, format!("the token lacks the scope {}", scope.as_str())))
    }

    /// Looks again whether the token is valid, after a while.
    ///
    /// # Errors
    /// 401 if it is not any more.
    pub(crate) fn still(&self, app: &App) -> Result<(), Problem> {
        if app.engine().is_valid(&self.0) { Ok(()) } else { Err(unauthorized()) }
    }

    /// Whether a tenant's things are within the token's reach.
    pub(crate) fn reaches(&self, tenant: &str) -> bool {
        self.0.config.covers(tenant)
    }

    /// The tenant of a path, if it is within reach and the token has the scope.
    ///
    /// # Errors
    /// The same 404 for a tenant that does not exist and for somebody else's; 403 without the scope.
    pub(crate) fn tenant(&self, app: &App, tenant: &str, scope: Scope) -> Result<Arc<Tenant>, Problem> {
        let found = if self.reaches(tenant) { app.engine().tenant(tenant) } else { None };
        let found = found.ok_or_else(|| Problem::not_found("the tenant"))?;
        self.may(scope)?;
        Ok(found)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_comes_from_this_machine_was_heard_by_nobody() {
        for (peer, unheard) in [
            ("127.0.0.1", true),
            ("127.8.9.10", true),
            ("::1", true),
            ("::ffff:127.0.0.1", true),
            ("10.0.0.1", false),
            ("192.0.2.7", false),
            ("2001:db8::1", false),
            ("::ffff:192.0.2.7", false),
        ] {
            assert_eq!(Peer(peer.parse().unwrap()).is_unheard(), unheard, "{peer}");
        }
    }

    #[test]
    fn abuse_a20_another_scheme_is_no_token() {
        for (value, token) in [
            ("Bearer abc", Some("abc")),
            ("bearer abc", Some("abc")),
            ("BEARER  abc ", Some("abc")),
            ("Bearer", None),
            ("Basic abc", None),
            ("abc", None),
            ("", None),
            ("Bearerabc", None),
        ] {
            assert_eq!(bearer(value.as_bytes()), token, "{value}");
        }
        assert_eq!(bearer(b"Bearer \xff"), None);
    }
}
