//! Tokens: what a caller may do, and on whose things.

use std::fmt;

use aws_lc_rs::digest;
use bytes::Bytes;
use data_encoding::BASE64;
use serde_json::value::RawValue;
use serde_json::{Map, Value, json};

use crate::fault::ParseError;
use crate::fields::one_of;
use crate::id::TenantId;
use crate::json::{self, Detail, Object, utf8};
use crate::secret::Secret;
use crate::time::Timestamp;

/// What a token allows.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Debug)]
pub enum Scope {
    /// Everything, on everything; operator's tokens only.
    Admin,
    /// Publish events.
    EventsWrite,
    /// Look events up.
    EventsRead,
    /// Ask for decisions.
    DecisionsWrite,
    /// Change stand-in policy and switches.
    DecisionsManage,
    /// Read endpoints.
    WebhooksRead,
    /// Change endpoints, replay and retry.
    WebhooksWrite,
    /// Read the delivery log and the feed.
    WebhookEventsRead,
    /// Read the headers of webhooks, on OpenCard's surface; [`Self::WebhooksRead`] includes it.
    WebhookHeadersRead,
    /// Add headers to webhooks, on OpenCard's surface; [`Self::WebhooksWrite`] includes it.
    WebhookHeadersWrite,
    /// Take headers off webhooks, on OpenCard's surface; [`Self::WebhooksWrite`] includes it.
    WebhookHeadersDelete,
    /// Read the groups of webhooks, on OpenCard's surface; [`Self::WebhooksRead`] includes it.
    WebhookGroupsRead,
    /// Add groups to webhooks, on OpenCard's surface; [`Self::WebhooksWrite`] includes it.
    WebhookGroupsWrite,
    /// Take groups off webhooks, on OpenCard's surface; [`Self::WebhooksWrite`] includes it.
    WebhookGroupsDelete,
}

impl Scope {
    /// All, by name.
    const NAMES: [(&'static str, Self); 14] = [
        ("admin", Self::Admin),
        ("events-write", Self::EventsWrite),
        ("events-read", Self::EventsRead),
        ("decisions-write", Self::DecisionsWrite),
        ("decisions-manage", Self::DecisionsManage),
        ("webhooks-read", Self::WebhooksRead),
        ("webhooks-write", Self::WebhooksWrite),
        ("webhook-events-read", Self::WebhookEventsRead),
        ("webhook-headers-read", Self::WebhookHeadersRead),
        ("webhook-headers-write", Self::WebhookHeadersWrite),
        ("webhook-headers-delete", Self::WebhookHeadersDelete),
        ("webhook-groups-read", Self::WebhookGroupsRead),
        ("webhook-groups-write", Self::WebhookGroupsWrite),
        ("webhook-groups-delete", Self::WebhookGroupsDelete),
    ];

    /// The scope of that name.
    pub fn named(name: &str) -> Option<Self> {
        Self::NAMES.iter().find(|(known, _)| *known == name).map(|(_, scope)| *scope)
    }

    /// The wider scope that includes it, beside [`Self::Admin`].
    const fn included_in(self) -> Option<Self> {
        match self {
            Self::WebhookHeadersRead | Self::WebhookGroupsRead => Some(Self::WebhooksRead),
            Self::WebhookHeadersWrite
            | Self::WebhookHeadersDelete
            | Self::WebhookGroupsWrite
            | Self::WebhookGroupsDelete => Some(Self::WebhooksWrite),
            _ => None,
        }
    }

    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Admin => "admin",
            Self::EventsWrite => "events-write",
            Self::EventsRead => "events-read",
            Self::DecisionsWrite => "decisions-write",
            Self::DecisionsManage => "decisions-manage",
            Self::WebhooksRead => "webhooks-read",
            Self::WebhooksWrite => "webhooks-write",
            Self::WebhookEventsRead => "webhook-events-read",
            Self::WebhookHeadersRead => "webhook-headers-read",
            Self::WebhookHeadersWrite => "webhook-headers-write",
            Self::WebhookHeadersDelete => "webhook-headers-delete",
            Self::WebhookGroupsRead => "webhook-groups-read",
            Self::WebhookGroupsWrite => "webhook-groups-write",
            Self::WebhookGroupsDelete => "webhook-groups-delete",
        }
    }
}

/// The tenants that a token is for: one, or all whose id begins with a prefix that ends at a colon.
#[derive(Clone, PartialEq, Eq, Debug)]
pub enum TenantPattern {
    /// One tenant.
    Exact(TenantId),
    /// Every tenant whose id begins with this text, which ends in a colon and is longer than that.
    Prefix(Box<str>),
}

impl TenantPattern {
    /// Reads a pattern.
    ///
    /// # Errors
    /// A sentence for anything that is neither a tenant's id, nor a prefix such as `acme:*`.
    ///
    /// ```
    /// use postrider_core::token::TenantPattern;
    /// let acme = TenantPattern::parse("acme:*").unwrap();
    /// assert!(acme.covers("acme:shop") && !acme.covers("acme2:shop") && !acme.covers("acme"));
    /// assert!(TenantPattern::parse("ac*").is_err());
    /// ```
    pub fn parse(text: &str) -> Result<Self, &'static str> {
        const FORM: &str = "must be a tenant's id, or a prefix that ends at a colon, such as acme:*";
        let Some(prefix) = text.strip_suffix('*') else {
            return text.parse().map(Self::Exact).map_err(|_| FORM);
        };
        // What comes before the colon must be an id, so that the prefix stands for a whole part of a name.
        match prefix.strip_suffix(':').map(str::parse::<TenantId>) {
            Some(Ok(_)) => Ok(Self::Prefix(prefix.into())),
            _ => Err(FORM),
        }
    }

    /// Whether a tenant is among them.
    pub fn covers(&self, tenant: &str) -> bool {
        match self {
            Self::Exact(id) => id.as_str() == tenant,
            Self::Prefix(prefix) => tenant.len() > prefix.len() && tenant.starts_with(&**prefix),
        }
    }
}

impl fmt::Display for TenantPattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Exact(id) => f.write_str(id.as_str()),
            Self::Prefix(prefix) => write!(f, "{prefix}*"),
        }
    }
}

/// How whoever holds a token shows it.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Default)]
pub enum TokenKind {
    /// As it is: `Authorization: Bearer <token>`.
    #[default]
    Bearer,
    /// An id and a secret, exchanged for access tokens (RFC 6749, section 4.4).
    Client,
    /// A user name, a password and an API key, exchanged for access tokens.
    Login,
    /// A key, and under its secret the HMAC of each request's body.
    Hmac,
}

impl TokenKind {
    const NAMES: [(&'static str, Self); 4] =
        [("bearer", Self::Bearer), ("client", Self::Client), ("login", Self::Login), ("hmac", Self::Hmac)];

    /// The name used in the API.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::Bearer => "bearer",
            Self::Client => "client",
            Self::Login => "login",
            Self::Hmac => "hmac",
        }
    }
}

/// What is kept of a token beside its hash and what it allows.
#[derive(Clone, PartialEq, Eq, Debug, Default)]
pub enum Kept {
    /// Nothing: of bearer tokens and clients.
    #[default]
    Nothing,
    /// The hash of the API key of a login.
    ApiKey([u8; 32]),
    /// The secret of an HMAC key, sealed: it cannot be a hash, since it is calculated with.
    Sealed(Bytes),
}

/// What a token allows, on whose things, and until when.
#[derive(Clone, PartialEq, Eq, Debug)]
pub struct TokenConfig {
    /// How it is shown.
    pub kind: TokenKind,
    /// Whose; `None` for an operator's token, which is for all.
    pub tenant: Option<TenantPattern>,
    /// What it allows: at least one, in order, each once.
    pub scopes: Vec<Scope>,
    /// From when on it is no longer valid.
    pub expires_at: Option<Timestamp>,
}

/// The most scopes that a request may name.
const MAX_SCOPES: usize = 32;

impl TokenConfig {
    /// The operator's own: everything, for ever.
    pub fn operator() -> Self {
        Self { kind: TokenKind::Bearer, tenant: None, scopes: vec![Scope::Admin], expires_at: None }
    }

    /// Reads one.
    ///
    /// # Errors
    /// See [`ParseError`]; also for scope `admin` together with a tenant.
    pub fn parse(text: &str) -> Result<Self, ParseError> {
        Self::read(Object::parse(text)?)
    }

    fn read(mut object: Object<'_>) -> Result<Self, ParseError> {
        let tenant = object.optional("tenant", |v| Ok(TenantPattern::parse(&json::string(v)?)?));
        let scopes = object.required_list("scopes", 1..=MAX_SCOPES, |v| one_of(v, &Scope::NAMES));
        // Also where the tenant is not even a pattern: it was meant to be one.
        if object.has("tenant") && scopes.as_ref().is_some_and(|scopes| scopes.contains(&Scope::Admin)) {
            object.fault("scopes", "cannot hold admin, which is for all tenants, on a token with a tenant");
        }
        let kind = object.optional("kind", |v| one_of(v, &TokenKind::NAMES)).unwrap_or_default();
        let expires_at = object.optional("expires_at", |v| Ok(Timestamp::parse(&json::string(v)?)?));
        let scopes = scopes.map(|mut scopes| {
            scopes.sort_unstable();
            scopes.dedup();
            scopes
        });
        object.end(scopes.map(|scopes| Self { kind, tenant, scopes, expires_at }))
    }

    /// Whether it allows this; `admin` allows everything, and wider scopes what they include.
    pub fn allows(&self, scope: Scope) -> bool {
        let has = |scope| self.scopes.contains(&scope);
        has(scope) || has(Scope::Admin) || scope.included_in().is_some_and(has)
    }

    /// Whether it is for this tenant's things.
    pub fn covers(&self, tenant: &str) -> bool {
        self.tenant.as_ref().is_none_or(|pattern| pattern.covers(tenant))
    }

    /// Whether it is no longer valid.
    pub fn is_expired(&self, now: Timestamp) -> bool {
        self.expires_at.is_some_and(|end| end <= now)
    }

    /// The one tenant that it is for, if it is for one.
    pub fn exact_tenant(&self) -> Option<&str> {
        match &self.tenant {
            Some(TenantPattern::Exact(id)) => Some(id.as_str()),
            _ => None,
        }
    }

    /// Whether it is for this tenant and no other, so that it ends with it.
    pub fn is_bound_to(&self, tenant: &str) -> bool {
        self.exact_tenant() == Some(tenant)
    }

    /// What who may read it is shown: every field.
    pub fn public_view(&self) -> Map<String, Value> {
        let scopes: Vec<&str> = self.scopes.iter().map(|scope| scope.as_str()).collect();
        let fields = [
            ("kind", json!(self.kind.as_str())),
            ("tenant", json!(self.tenant.as_ref().map(ToString::to_string))),
            ("scopes", json!(scopes)),
            ("expires_at", json!(self.expires_at.map(Timestamp::rfc3339))),
        ];
        fields.into_iter().map(|(name, value)| (name.to_owned(), value)).collect()
    }

    /// The document for the store, as JSON: [`Self::public_view`], and what is kept beside it.
    pub fn to_doc(&self, kept: &Kept) -> Bytes {
        let mut doc = self.public_view();
        let (name, bytes): (_, &[u8]) = match kept {
            Kept::Nothing => return Value::Object(doc).to_string().into(),
            Kept::ApiKey(hash) => (API_KEY, hash),
            Kept::Sealed(sealed) => (SECRET, sealed),
        };
        doc.insert(name.into(), BASE64.encode(bytes).into());
        Value::Object(doc).to_string().into()
    }

    /// What [`Self::to_doc`] wrote.
    ///
    /// # Errors
    /// [`ParseError`] for a document that was damaged, or written by a later version.
    pub fn from_stored(doc: &[u8]) -> Result<(Self, Kept), ParseError> {
        let mut object = Object::parse(utf8(doc)?)?;
        let api_key = object.optional(API_KEY, |v| {
            <[u8; 32]>::try_from(base64(v)?).map_err(|_| "must be the hash of a key".into())
        });
        let secret = object.optional(SECRET, |v| base64(v).map(Bytes::from));
        let kept = match (api_key, secret) {
            (Some(hash), _) => Kept::ApiKey(hash),
            (None, Some(sealed)) => Kept::Sealed(sealed),
            (None, None) => Kept::Nothing,
        };
        Ok((Self::read(object)?, kept))
    }
}

/// Where a stored document holds [`Kept::ApiKey`].
const API_KEY: &str = "api_key_hash";
/// Where a stored document holds [`Kept::Sealed`].
const SECRET: &str = "sealed_secret";

fn base64(value: &RawValue) -> Result<Vec<u8>, Detail> {
    BASE64.decode(json::string(value)?.as_bytes()).map_err(|_| "must be base64".into())
}

/// What tokens of our making begin with, so that one in a wrong place is recognized.
pub const TOKEN_PREFIX: &str = "prt_";

/// Makes a token's text of random bytes: [`TOKEN_PREFIX`] and 52 characters of base32 (RFC 4648, section 6, lower case,
/// not padded).
pub fn generate(random: [u8; 32]) -> Secret {
    Secret::new(format!("{TOKEN_PREFIX}{}", generate_secret(random).reveal()))
}

/// Makes the secret of a token that is not shown as it is: as [`generate`], without a prefix.
pub fn generate_secret(random: [u8; 32]) -> Secret {
    Secret::new(data_encoding::BASE32_NOPAD.encode(&random).to_ascii_lowercase())
}

/// What is kept of the secret of a token that is not shown as it is: SHA-256, apart from what [`hash`] is of, so that none is ever
/// taken for a bearer token.
pub fn hash_of(kind: TokenKind, secret: &str) -> [u8; 32] {
    match kind {
        TokenKind::Bearer => hash(secret),
        TokenKind::Client | TokenKind::Login | TokenKind::Hmac => {
            hash(&format!("{}\0{secret}", kind.as_str()))
        }
    }
}

/// What is kept of a token's text, and what it is found by: SHA-256.
pub fn hash(text: &str) -> [u8; 32] {
    let mut hash = [0; 32];
    hash.copy_from_slice(digest::digest(&digest::SHA256, text.as_bytes()).as_ref());
    hash
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pointers(text: &str) -> Vec<String> {
        TokenConfig::parse(text).unwrap_err().faults().iter().map(|f| f.pointer.clone()).collect()
    }

    #[test]
    fn abuse_a73_only_a_prefix_that_ends_at_a_colon_covers_more_than_one_tenant() {
        for bad in [
            "", "*", "ac*", "a:b*", "acme:**", ":*", ".:*", "..:*", "a*:*", "acme*:b", "a/b:*", ".", "..",
            "a b",
        ] {
            assert!(TenantPattern::parse(bad).is_err(), "{bad}");
        }
        for (pattern, tenant, covered) in [
            ("acme", "acme", true),
            ("acme", "acme:x", false),
            ("acme:*", "acme:x", true),
            ("acme:*", "acme:x:y", true),
            ("acme:*", "acme", false),
            ("acme:*", "acme:", false),
            ("a:b:*", "a:b:c", true),
            ("a:b:*", "a:bc", false),
            ("acme", "ACME", false),
        ] {
            let parsed = TenantPattern::parse(pattern).unwrap();
            assert_eq!(parsed.covers(tenant), covered, "{pattern} {tenant}");
            assert_eq!(parsed.to_string(), pattern);
        }
    }

    #[test]
    fn abuse_a23_a_prefix_does_not_cover_a_longer_name() {
        let token = TokenConfig::parse(r#"{"tenant":"acme:*","scopes":["events-write"]}"#).unwrap();
        assert!(!token.covers("acme2:x") && token.covers("acme:x"));
        assert_eq!((token.exact_tenant(), token.is_bound_to("acme:x")), (None, false));
    }

    #[test]
    fn abuse_a74_admin_is_for_operators_alone() {
        for tenant in ["acme", "acme:*", "*"] {
            let text = format!(r#"{{"tenant":"{tenant}","scopes":["admin"]}}"#);
            assert!(pointers(&text).contains(&"/scopes".to_owned()), "{tenant}");
        }
        let operator = TokenConfig::parse(r#"{"tenant":null,"scopes":["admin"]}"#).unwrap();
        assert_eq!(operator, TokenConfig::operator());
        for (_, scope) in Scope::NAMES {
            assert!(operator.allows(scope) && operator.covers("any"));
        }
    }

    #[test]
    fn abuse_a02_all_faults_of_a_token_come_at_once() {
        for (text, expected) in [
            (
                r#"{"tenant":"ac*","scopes":["admin","root",1],"expires_at":"soon","kind":"basic","x":1}"#,
                vec!["/tenant", "/scopes/1", "/scopes/2", "/scopes", "/kind", "/expires_at", "/x"],
            ),
            (r#"{}"#, vec!["/scopes"]),
            (r#"{"scopes":null}"#, vec!["/scopes"]),
            (r#"{"scopes":[]}"#, vec!["/scopes"]),
            (r#"{"scopes":"admin"}"#, vec!["/scopes"]),
            (r#"{"scopes":["root"]}"#, vec!["/scopes/0"]),
        ] {
            assert_eq!(pointers(text), expected, "{text}");
        }
        let many = format!(r#"{{"scopes":[{}"admin"]}}"#, "\"admin\",".repeat(MAX_SCOPES));
        assert_eq!(pointers(&many), ["/scopes"]);
    }

    #[test]
    fn a_token_allows_its_scopes_until_it_expires_and_survives_the_store() {
        let text = r#"{"tenant":"acme","scopes":["webhooks-write","events-read","events-read"],"kind":"bearer",
                       "expires_at":"2030-01-01T00:00:00.500Z"}"#;
        let token = TokenConfig::parse(text).unwrap();
        assert_eq!(token.scopes, [Scope::EventsRead, Scope::WebhooksWrite]);
        assert!(token.allows(Scope::EventsRead) && !token.allows(Scope::WebhooksRead));
        let end = token.expires_at.unwrap();
        assert!(token.is_expired(end) && !token.is_expired(Timestamp::from_micros(end.as_micros() - 1)));
        assert!(token.is_bound_to("acme") && !token.is_bound_to("acme:x"));
        for token in [token, TokenConfig::operator()] {
            for kept in
                [Kept::Nothing, Kept::ApiKey([7; 32]), Kept::Sealed(Bytes::from_static(b"\x01sealed"))]
            {
                let doc = token.to_doc(&kept);
                assert_eq!(TokenConfig::from_stored(&doc).unwrap(), (token.clone(), kept));
            }
        }
        for (name, scope) in Scope::NAMES {
            assert_eq!(scope.as_str(), name);
        }
    }

    #[test]
    fn a_wider_scope_includes_what_is_part_of_it_and_not_the_other_way() {
        let token = |scopes| TokenConfig { scopes, ..TokenConfig::operator() };
        let wide = token(vec![Scope::WebhooksWrite]);
        assert!(wide.allows(Scope::WebhookHeadersDelete) && wide.allows(Scope::WebhookGroupsWrite));
        assert!(!wide.allows(Scope::WebhookHeadersRead));
        assert!(!token(vec![Scope::WebhookHeadersWrite]).allows(Scope::WebhooksWrite));
    }

    #[test]
    fn the_secret_of_one_kind_is_never_taken_for_another() {
        for (kind, name) in TokenKind::NAMES.map(|(name, kind)| (kind, name)) {
            assert_eq!(kind.as_str(), name);
            let same =
                TokenKind::NAMES.iter().filter(|(_, other)| hash_of(*other, "x") == hash_of(kind, "x"));
            assert_eq!(same.count(), 1, "{name}");
        }
    }

    #[test]
    fn a_generated_token_has_a_prefix_and_is_found_by_its_hash() {
        let token = generate([255; 32]);
        assert_eq!(token.reveal(), format!("prt_{}q", "7".repeat(51)));
        assert_ne!(hash(token.reveal()), hash(generate([254; 32]).reveal()));
        // FIPS 180-4, the digest of "abc".
        assert_eq!(hash("abc")[..4], [0xba, 0x78, 0x16, 0xbf]);
    }
}
