//! Tokens: who may call, and for what.

use axum::body::Body;
use axum::extract::State;
use axum::response::Response;
use http::{Request, StatusCode, Uri};
use postrider_core::json::utf8;
use postrider_core::token::{Scope, TokenConfig};
use postrider_engine::{Issued, Token};
use serde_json::{Map, Value};

use super::path::Path;
use super::{Page, json, nothing, secret_json};
use crate::app::App;
use crate::auth::Caller;
use crate::cursor::{self, List};
use crate::openapi::Overloaded;
use crate::problem::Problem;
use crate::query::Query;
use crate::{body, schema, view};

/// Make a token. Its text is shown this once.
///
/// The server keeps only a hash of it. Bound to a tenant that does not exist, or ended already, it is refused (422).
#[utoipa::path(post, path = "/v1/tokens", tag = "tokens", operation_id = "createToken",
    security(("token" = ["admin"])),
    request_body = schema::TokenSpec, responses(
    (status = 201, description = "The token; not to be cached", body = schema::CreatedToken),
    Overloaded,
))]
pub(super) async fn create(
    State(app): State<App>,
    caller: Caller,
    request: Request<Body>,
) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    Query::none(request.uri())?;
    let body = body::document(request).await?;
    let (token, issued) = app.engine().create_token(TokenConfig::parse(utf8(&body)?)?).await?;
    let mut created = shown(&token);
    match &issued {
        Issued::Bearer { token } => add(&mut created, [("token", token.reveal())]),
        Issued::Client { client_id, client_secret } => {
            add(&mut created, [("client_id", client_id), ("client_secret", client_secret.reveal())]);
        }
        Issued::Login { username, password, api_key } => {
            let fields =
                [("username", &**username), ("password", password.reveal()), ("api_key", api_key.reveal())];
            add(&mut created, fields);
        }
        Issued::Hmac { key, secret } => add(&mut created, [("key", key), ("secret", secret.reveal())]),
    }
    Ok(secret_json(StatusCode::CREATED, &created))
}

/// List the tokens, without their texts.
#[utoipa::path(get, path = "/v1/tokens", tag = "tokens", operation_id = "listTokens",
    security(("token" = ["admin"])),
    params(schema::Paging), responses(
    (status = 200, description = "A page of tokens", body = Page<schema::Token>),
))]
pub(super) async fn list(State(app): State<App>, caller: Caller, uri: Uri) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    let mut query = Query::of(&uri)?;
    let page = query.page(List::Tokens, "");
    query.finish()?;
    let tokens = app.engine().tokens_after(page.after_text(), page.limit + 1);
    let next_cursor =
        view::next(&tokens, page.limit, |last| cursor::write(List::Tokens, "", last.id.as_bytes()));
    let data: Vec<_> = tokens.iter().take(page.limit).map(|token| shown(token)).collect();
    Ok(json(StatusCode::OK, &Page { data, next_cursor }))
}

/// Revoke a token, at once.
#[utoipa::path(delete, path = "/v1/tokens/{id}", tag = "tokens", operation_id = "deleteToken",
    security(("token" = ["admin"])),
    params(schema::OfToken), responses(
    (status = 204, description = "It is revoked"),
    (status = 409, description = "It is the operator's own token, which the configuration sets."),
    Overloaded,
))]
pub(super) async fn delete(
    State(app): State<App>,
    caller: Caller,
    Path(id): Path<String>,
    uri: Uri,
) -> Result<Response, Problem> {
    caller.may(Scope::Admin)?;
    Query::none(&uri)?;
    app.engine().delete_token(&id).await?;
    Ok(nothing())
}

fn add<const N: usize>(created: &mut Map<String, Value>, fields: [(&str, &str); N]) {
    created.extend(fields.map(|(name, value)| (name.to_owned(), value.into())));
}

fn shown(token: &Token) -> Map<String, Value> {
    let mut shown = token.config.public_view();
    shown.insert("id".into(), (&*token.id).into());
    shown.insert("created_at".into(), token.created_at.rfc3339().into());
    shown
}
