//! Access tokens for an account's clients (RFC 6749, section 4.4).

use std::time::Duration;

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{HeaderMap, Request, StatusCode, header};
use postrider_core::token::Scope;
use postrider_engine::Denied;
use serde::Serialize;
use url::form_urlencoded;
use utoipa::ToSchema;

use crate::app::App;
use crate::body;
use crate::problem::{Kind, Problem};
use crate::routes::secret_json;

/// How long an access token lives.
const LIFE: Duration = Duration::from_secs(3_600);
/// The longest request for one, in bytes.
const MAX_FORM: usize = 16 * 1024;
/// What asks for all that the client may have.
const ALL: &str = "*";

/// A request for an access token.
#[derive(ToSchema)]
#[expect(dead_code, reason = "describes a body that is read field by field")]
pub(super) struct TokenSpec {
    /// `client_credentials`.
    grant_type: String,
    /// Who asks.
    client_id: String,
    /// What proves it.
    client_secret: String,
    /// What the token is to allow, parted by spaces; `*`, as nothing, for all.
    scope: Option<String>,
}

/// An access token.
#[derive(Serialize, ToSchema)]
pub(super) struct Token<'a> {
    token_type: &'static str,
    /// In how many seconds it ends.
    expires_in: u64,
    access_token: &'a str,
}

/// Get an access token. Errors are those of RFC 6749, section 5.2.
#[utoipa::path(post, path = "/oauth/token", tag = "tokens",
    request_body(content = TokenSpec, content_type = "application/x-www-form-urlencoded"), responses(
    (status = 200, description = "The token", body = Token<'static>),
    (status = 400, description = "invalid_request, unsupported_grant_type or invalid_scope"),
    (status = 401, description = "invalid_client"),
))]
pub(super) async fn issue(State(app): State<App>, request: Request<Body>) -> Result<Response, Problem> {
    if !is_form(request.headers()) {
        return Err(Problem::new(
            Kind::UnsupportedMedia,
            "the body must be application/x-www-form-urlencoded",
        ));
    }
    let form = body::collect(request, MAX_FORM).await?;
    let bad = |error: &'static str| Problem::new(Kind::Malformed, error);
    let one = |name: &str| {
        let mut values = form_urlencoded::parse(&form).filter(|(given, _)| given == name);
        match (values.next(), values.next()) {
            (Some((_, value)), None) => Ok(Some(value.into_owned())),
            (None, _) => Ok(None),
            // Which of them counts cannot be known (section 3.2).
            (Some(_), Some(_)) => Err(bad("invalid_request")),
        }
    };
    let needed = |name| one(name)?.ok_or_else(|| bad("invalid_request"));
    if needed("grant_type")? != "client_credentials" {
        return Err(bad("unsupported_grant_type"));
    }
    let (id, secret) = (needed("client_id")?, needed("client_secret")?);
    let asked = one("scope")?.unwrap_or_default();
    let names: Vec<&str> = asked.split(' ').filter(|name| !name.is_empty()).collect();
    // Who asks comes first: a stranger is not told which scopes there are.
    let exchange = |scopes: Option<&[Scope]>| {
        app.engine().exchange_client(&id, &secret, scopes, LIFE).map_err(|denied| match denied {
            Denied::Credentials => Problem::wrong_credentials("invalid_client"),
            Denied::Scope(_) => bad("invalid_scope"),
            Denied::Service(error) => error.into(),
        })
    };
    let everything = exchange(None)?;
    let (token, life) = if names.is_empty() || names == [ALL] {
        everything
    } else {
        // Those of the platform's other interfaces are asked for along with ours.
        let scopes: Vec<Scope> = names.iter().filter_map(|name| Scope::named(name)).collect();
        if scopes.is_empty() {
            return Err(bad("invalid_scope"));
        }
        exchange(Some(&scopes))?
    };
    let shown = Token { token_type: "Bearer", expires_in: life.as_secs(), access_token: token.reveal() };
    Ok(secret_json(StatusCode::OK, &shown))
}

fn is_form(headers: &HeaderMap) -> bool {
    let kind = headers.get(header::CONTENT_TYPE).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let essence = kind.split(';').next().unwrap_or_default().trim();
    essence.eq_ignore_ascii_case("application/x-www-form-urlencoded")
}
