//! Tokens: what they may do, and what is shown of them.

use utoipa::ToSchema;

use super::{TenantPattern, Time, TokenId};

/// What a token allows. `admin` includes all the others, over all tenants, and is for operator's tokens only. `webhooks-read` and
/// `webhooks-write` include those for headers and groups, which OpenCard's surface tells apart.
#[derive(ToSchema)]
#[schema(rename_all = "kebab-case")]
pub(crate) enum Scope {
    Admin,
    EventsWrite,
    EventsRead,
    DecisionsWrite,
    DecisionsManage,
    WebhooksRead,
    WebhooksWrite,
    WebhookEventsRead,
    WebhookHeadersRead,
    WebhookHeadersWrite,
    WebhookHeadersDelete,
    WebhookGroupsRead,
    WebhookGroupsWrite,
    WebhookGroupsDelete,
}

/// How whoever holds a token shows it. `bearer`: as it is. The others are for the platforms' management APIs: `client`, an id and a
/// secret that are exchanged for access tokens; `login`, likewise a user name and a password that go with an API key; `hmac`, a key
/// and, under its secret, the HMAC of each request's body.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum TokenKind {
    Bearer,
    Client,
    Login,
    Hmac,
}

/// What a token may do, where, and until when.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"tenant": "acme", "scopes": ["webhooks-read", "webhooks-write", "webhook-events-read"]})))]
pub(crate) struct TokenSpec {
    /// The tenant that it is bound to, or the prefix of some; none for an operator's.
    tenant: Option<TenantPattern>,
    /// What it may do.
    #[schema(min_items = 1, max_items = 32)]
    scopes: Vec<Scope>,
    /// When it ends; never unless given.
    expires_at: Option<Time>,
    /// `bearer` unless given.
    kind: Option<TokenKind>,
}

/// A token without its text.
#[derive(ToSchema)]
#[schema(examples(json!({
    "id": "tok_01m7yvxc3qfk2t8n4e6xw0s5ja", "kind": "bearer", "tenant": "acme", "scopes": ["webhooks-read", "webhooks-write"],
    "expires_at": null, "created_at": "2026-11-21T10:54:56.375Z"
})))]
pub(crate) struct Token {
    /// Its id, under which it is revoked.
    id: TokenId,
    /// How it is shown.
    kind: TokenKind,
    /// The tenant that it is bound to, or the prefix of some; null for an operator's.
    #[schema(required)]
    tenant: Option<TenantPattern>,
    /// What it may do.
    scopes: Vec<Scope>,
    /// When it ends; null for never.
    #[schema(required)]
    expires_at: Option<Time>,
    /// When it was made.
    created_at: Time,
}

/// A token just made.
#[derive(ToSchema)]
#[schema(examples(json!({
    "id": "tok_01m7yvxc3qfk2t8n4e6xw0s5ja", "kind": "bearer", "token": "prt_i2wqf6no3zd7tcx5kvh4slmyg27bpe2ru5jak6o3xvdqtnchlyfa", "tenant": "acme",
    "scopes": ["webhooks-read", "webhooks-write"], "expires_at": null, "created_at": "2026-11-21T10:54:56.375Z"
})))]
pub(crate) struct CreatedToken {
    /// Its id, under which it is revoked.
    id: TokenId,
    /// How it is shown.
    kind: TokenKind,
    /// Of kind `bearer`: its text, shown this once, what callers send as `Authorization: Bearer`.
    #[schema(pattern = "^prt_[a-z2-7]{52}$", nullable = false)]
    token: Option<String>,
    /// Of kind `client`: the client's id, which is the token's.
    #[schema(nullable = false)]
    client_id: Option<String>,
    /// Of kind `client`: its secret, shown this once.
    #[schema(nullable = false)]
    client_secret: Option<String>,
    /// Of kind `login`: the user's name, which is the token's id.
    #[schema(nullable = false)]
    username: Option<String>,
    /// Of kind `login`: the password, shown this once.
    #[schema(nullable = false)]
    password: Option<String>,
    /// Of kind `login`: the API key that goes with the login and with each request, shown this once.
    #[schema(nullable = false)]
    api_key: Option<String>,
    /// Of kind `hmac`: the key's name, which is the token's id.
    #[schema(nullable = false)]
    key: Option<String>,
    /// Of kind `hmac`: the key's secret, shown this once.
    #[schema(nullable = false)]
    secret: Option<String>,
    /// The tenant that it is bound to, or the prefix of some; null for an operator's.
    #[schema(required)]
    tenant: Option<TenantPattern>,
    /// What it may do.
    scopes: Vec<Scope>,
    /// When it ends; null for never.
    #[schema(required)]
    expires_at: Option<Time>,
    /// When it was made.
    created_at: Time,
}
