//! Endpoints: what may be said of them, and what they look like.

use serde_json::json;
use utoipa::openapi::schema::{AdditionalProperties, OneOfBuilder};
use utoipa::openapi::{Object, Ref, RefOr, Schema, Type};
use utoipa::{PartialSchema, ToSchema};

use super::{
    AttributeFilters, AttributeFiltersPatch, AttributeValue, Attributes, Description, DisplayName,
    EndpointId, Headers, HeadersPatch, Metadata, MetadataPatch, Number, Profile, Scalars, SigningSecret,
    TenantId, Time, TypeName, TypePattern, add,
};

/// How an endpoint stands: `active`; `unverified`, its challenge is not passed: what comes is skipped, and can be replayed; `paused` by its owner, events are held; `tripped`, its circuit is open until an attempt
/// succeeds; `disabled`, given up.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum State {
    Active,
    Unverified,
    Paused,
    Tripped,
    Disabled,
}

/// With `key`, deliveries with the same ordering key go out one at a time, in order of acceptance.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Ordering {
    None,
    Key,
}

/// Where deliveries go: `https`, a public address, no credentials, no fragment.
#[derive(ToSchema)]
#[schema(format = "uri", min_length = 1, max_length = 2_048, examples("https://partner.example/hooks"))]
pub(crate) struct Url(String);

/// Where tokens are asked for; judged as an endpoint's URL is.
#[derive(ToSchema)]
#[schema(
    format = "uri",
    min_length = 1,
    max_length = 2_048,
    examples("https://login.partner.example/oauth/token")
)]
pub(crate) struct TokenUrl(String);

/// What an authorization server knows a client by, or wants to be told: without control characters, line breaks or direction
/// marks, at most 1,024 bytes.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 1_024,
    pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$",
    examples("postrider")
)]
pub(crate) struct ClientText(String);

/// A client's secret, which is never read back: without control characters, at most 1,024 bytes.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 1_024, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
pub(crate) struct ClientSecret(String);

/// Where a request for a token carries the client's id and secret: among the parameters of the `body`, or as user name and
/// password (`basic`).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum CredentialsIn {
    Body,
    Basic,
}

/// A credential, which is never read back: without control characters, at most 1,024 bytes.
#[derive(ToSchema)]
#[schema(max_length = 1_024, pattern = r"^[^\u0000-\u001f\u007f-\u009f]*$")]
pub(crate) struct Password(String);

/// A bearer token or API key, which is never read back: visible ASCII characters, with blanks only inside.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 4_000,
    pattern = r"^[\u0021-\u007e]([\t\u0020-\u007e]*[\u0021-\u007e])?$"
)]
pub(crate) struct Credential(String);

/// A user name, without a colon.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 1_024,
    pattern = r"^[^:\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$",
    examples("postrider")
)]
pub(crate) struct UserName(String);

/// The name of a header, with the exceptions that `headers` has.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9!#$%&'*+.^_`|~-]+$", examples("X-Api-Key"))]
pub(crate) struct HeaderName(String);

/// How requests to an endpoint authenticate.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum AuthForms {
    /// Not at all, save for the signature.
    None,
    /// HTTP Basic (RFC 7617).
    Basic { username: UserName, password: Password },
    /// `Authorization: Bearer` (RFC 6750).
    Bearer { token: Credential },
    /// A key in a header of its own.
    ApiKey { header: HeaderName, value: Credential },
    /// A bearer token that is asked for by client credentials (OAuth 2.0, RFC 6749, section 4.4). It is held until shortly
    /// before its end, at most a day, five minutes where its answer does not say; where the receiver answers 401 it is
    /// fetched anew and the attempt repeated at once, once. The time that it takes is the attempt's.
    Oauth2 {
        token_url: TokenUrl,
        client_id: ClientText,
        client_secret: ClientSecret,
        scope: Option<ClientText>,
        audience: Option<ClientText>,
        credentials_in: Option<CredentialsIn>,
    },
}

/// How requests authenticate, of an endpoint that may be there already: a credential that is not given stays, where the `type`
/// stays.
#[derive(ToSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
enum KeptAuthForms {
    /// Not at all, save for the signature.
    None,
    /// HTTP Basic (RFC 7617).
    Basic { username: UserName, password: Option<Password> },
    /// `Authorization: Bearer` (RFC 6750).
    Bearer { token: Option<Credential> },
    /// A key in a header of its own.
    ApiKey { header: HeaderName, value: Option<Credential> },
    /// A bearer token that is asked for by client credentials. The secret is needed again where the token URL moves to another
    /// host.
    Oauth2 {
        token_url: TokenUrl,
        client_id: ClientText,
        client_secret: Option<ClientSecret>,
        scope: Option<ClientText>,
        audience: Option<ClientText>,
        credentials_in: Option<CredentialsIn>,
    },
}

/// How requests to an endpoint authenticate.
pub(crate) struct Auth;

/// How requests authenticate, of an endpoint that may be there already.
pub(crate) struct KeptAuth;

/// One of some forms, none of which takes unknown fields.
fn closed(forms: RefOr<Schema>) -> RefOr<Schema> {
    let RefOr::T(Schema::OneOf(mut forms)) = forms else { return forms };
    for form in &mut forms.items {
        if let RefOr::T(Schema::Object(form)) = form {
            form.additional_properties = Some(Box::new(AdditionalProperties::FreeForm(false)));
        }
    }
    Schema::OneOf(forms).into()
}

impl PartialSchema for Auth {
    fn schema() -> RefOr<Schema> {
        closed(AuthForms::schema())
    }
}

impl ToSchema for Auth {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        AuthForms::schemas(schemas);
    }
}

impl PartialSchema for KeptAuth {
    fn schema() -> RefOr<Schema> {
        closed(KeptAuthForms::schema())
    }
}

impl ToSchema for KeptAuth {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        KeptAuthForms::schemas(schemas);
    }
}

/// A change of how requests authenticate: a merge patch. Which fields there may be follows from the `type`, the new one or the
/// present.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct AuthPatch {
    r#type: Option<AuthType>,
    /// With `basic`.
    username: Option<UserName>,
    /// With `basic`.
    password: Option<Password>,
    /// With `bearer`.
    token: Option<Credential>,
    /// With `api_key`.
    header: Option<HeaderName>,
    /// With `api_key`.
    value: Option<Credential>,
    /// With `oauth2`.
    token_url: Option<TokenUrl>,
    /// With `oauth2`.
    client_id: Option<ClientText>,
    /// With `oauth2`; needed again where the token URL moves to another host.
    client_secret: Option<ClientSecret>,
    /// With `oauth2`.
    scope: Option<ClientText>,
    /// With `oauth2`.
    audience: Option<ClientText>,
    /// With `oauth2`; `body` unless given.
    credentials_in: Option<CredentialsIn>,
}

/// How requests authenticate, by name.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum AuthType {
    None,
    Basic,
    Bearer,
    ApiKey,
    Oauth2,
}

/// How requests authenticate, without credentials.
#[derive(ToSchema)]
#[schema(examples(json!({"type": "api_key", "header": "X-Api-Key", "value_set": true})))]
pub(crate) struct ShownAuth {
    r#type: AuthType,
    /// With `basic`.
    #[schema(nullable = false)]
    username: Option<UserName>,
    /// With `basic`: there is one.
    #[schema(nullable = false)]
    password_set: Option<bool>,
    /// With `bearer`: there is one.
    #[schema(nullable = false)]
    token_set: Option<bool>,
    /// With `api_key`.
    #[schema(nullable = false)]
    header: Option<HeaderName>,
    /// With `api_key`: there is one.
    #[schema(nullable = false)]
    value_set: Option<bool>,
    /// With `oauth2`.
    #[schema(nullable = false)]
    token_url: Option<TokenUrl>,
    /// With `oauth2`.
    #[schema(nullable = false)]
    client_id: Option<ClientText>,
    /// With `oauth2`: there is one.
    #[schema(nullable = false)]
    client_secret_set: Option<bool>,
    /// With `oauth2`, where one is given.
    #[schema(nullable = false)]
    scope: Option<ClientText>,
    /// With `oauth2`, where one is given.
    #[schema(nullable = false)]
    audience: Option<ClientText>,
    /// With `oauth2`.
    #[schema(nullable = false)]
    credentials_in: Option<CredentialsIn>,
}

/// A pace.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct RateLimit {
    /// Attempts that begin within any second, at most.
    #[schema(minimum = 1, maximum = 10_000, examples(50))]
    per_second: u32,
}

/// A retry schedule of its own.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Retry {
    /// Waits before the second and each further attempt, in seconds. None at all: it is tried once. Unless given, 5 s, 5 min,
    /// 30 min, 2 h, 5 h, 10 h, 14 h, 20 h and 24 h. Each wait varies by up to a fifth.
    #[schema(max_items = 50, value_type = Option<Vec<Wait>>, examples(json!([5, 300, 1_800])))]
    schedule_s: Option<()>,
}

/// A wait, in seconds: up to a week.
#[derive(ToSchema)]
#[schema(minimum = 1, maximum = 604_800)]
pub(crate) struct Wait(u32);

/// Conditions on an event: it is owed to the endpoint if all of them hold. What they keep out has no delivery and takes no
/// sequence number.
///
/// Numbers are compared as exact decimals, so that `1`, `1.0` and `1e0` are equal; strings as they are; values of different
/// kinds are different. A value has at most 1,024 bytes.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "attributes": {"buyer_party": ["5561234567"]}, "data": [{"pointer": "/amount", "op": "gte", "value": 100}]
})))]
pub(crate) struct Filters {
    /// The types that the conditions are for, as in the subscription; events of others pass. All types unless given.
    #[schema(max_items = 20)]
    event_types: Option<Vec<TypePattern>>,
    attributes: Option<AttributeFilters>,
    /// Conditions on the data.
    #[schema(max_items = 20)]
    data: Option<Vec<Condition>>,
}

/// A condition on the data of an event. Where there is nothing at the pointer, only `ne` and `exists` with `false` hold; `null`,
/// objects and arrays are there, and equal nothing.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum Condition {
    Equality(Equality),
    Choice(Choice),
    Comparison(Comparison),
    Beginning(Beginning),
    Presence(Presence),
}

/// A JSON pointer (RFC 6901) into the data, of at most 256 bytes and 16 levels. Where a name stands twice in an object, the last
/// one counts.
#[derive(ToSchema)]
#[schema(max_length = 256, pattern = "^(/([^~/]|~[01])*){0,16}$", examples("/amount"))]
pub(crate) struct DataPointer(String);

/// Whether it equals.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum EqualityOp {
    Eq,
    Ne,
}

/// Whether what is there equals a value, or (`ne`) does not.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Equality {
    pointer: DataPointer,
    #[schema(inline)]
    op: EqualityOp,
    /// The value.
    value: AttributeValue,
}

/// Whether it is one of some.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum ChoiceOp {
    In,
}

/// Whether what is there equals one of some values.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Choice {
    pointer: DataPointer,
    #[schema(inline)]
    op: ChoiceOp,
    /// The values.
    value: Scalars,
}

/// How numbers are compared.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum ComparisonOp {
    Gt,
    Gte,
    Lt,
    Lte,
}

/// Whether what is there is a number that is greater, or less.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Comparison {
    pointer: DataPointer,
    #[schema(inline)]
    op: ComparisonOp,
    /// The bound.
    value: Number,
}

/// Whether it begins so.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum BeginningOp {
    Prefix,
}

/// Whether what is there is a string that begins with a text.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Beginning {
    pointer: DataPointer,
    #[schema(inline)]
    op: BeginningOp,
    /// The text.
    #[schema(max_length = 1_024)]
    value: String,
}

/// Whether it is there.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum PresenceOp {
    Exists,
}

/// Whether something is there, or (`false`) is not.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct Presence {
    pointer: DataPointer,
    #[schema(inline)]
    op: PresenceOp,
    /// Whether it must be there.
    value: bool,
}

/// A profile whose headers requests carry too.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"profile": "opencard", "until": "2026-12-24T00:00:00.000Z"})))]
pub(crate) struct AlsoSign {
    /// The profile.
    profile: Profile,
    /// Until when.
    until: Time,
}

/// How an endpoint is set. Only `url` is required; what is not given has its default.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "url": "https://partner.example/hooks", "name": "Till 4", "event_types": ["card.*"],
    "filters": {"data": [{"pointer": "/amount", "op": "gte", "value": 100}]},
    "auth": {"type": "api_key", "header": "X-Api-Key", "value": "s3cret"}, "ordering": "key"
})))]
pub(crate) struct EndpointSpec {
    /// Where deliveries go.
    url: Url,
    /// A name for people.
    name: Option<DisplayName>,
    /// What it is for.
    description: Option<Description>,
    /// What it takes; everything unless given. A type that is named must be one that an integration of the tenant allows;
    /// wildcards cover those alone.
    #[schema(max_items = 50)]
    event_types: Option<Vec<TypePattern>>,
    /// What it wants of an event beside its type; nothing more unless given.
    filters: Option<Filters>,
    /// `false` pauses it: events are held and delivered on resume, unless its profile skips them.
    #[schema(default = true)]
    enabled: Option<bool>,
    /// How requests authenticate; not at all unless given.
    auth: Option<Auth>,
    headers: Option<Headers>,
    /// The signing secret; unless given, the server makes one, if its profile makes secrets.
    secret: Option<SigningSecret>,
    /// How its webhooks look; as its tenant's unless given.
    profile: Option<Profile>,
    /// Profiles whose headers, signatures included, each request carries too until a time, so that a receiver can move from one
    /// scheme to another. The body stays that of `profile`. Profiles that set a header of the same name do not go together.
    #[schema(max_items = 2)]
    also_sign: Option<Vec<AlsoSign>>,
    /// `none` unless given.
    ordering: Option<Ordering>,
    /// How long a failing delivery holds back its key, in seconds.
    #[schema(minimum = 1, maximum = 604_800, default = 3_600)]
    hold_max_s: Option<u32>,
    /// How long an attempt may take, in milliseconds; as its profile says unless given, which is 15,000 for `standard`.
    #[schema(minimum = 100, maximum = 60_000)]
    timeout_ms: Option<u32>,
    /// Its pace; as fast as it takes them unless given.
    rate_limit: Option<RateLimit>,
    /// Attempts at once, at most.
    #[schema(minimum = 1, maximum = 1_000, default = 16)]
    max_in_flight: Option<u32>,
    /// Its own retry schedule.
    retry: Option<Retry>,
    /// Notes of its owner.
    metadata: Option<Metadata>,
}

/// How an endpoint is set that may be there already.
pub(crate) struct EndpointReplacement;

/// Changes to an endpoint.
pub(crate) struct EndpointPatch;

/// A change of filters: a merge patch. Attributes that are not named stay, with null one is not looked at any more.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct FiltersPatch {
    /// The types that the conditions are for, in place of those that they were for; with null all.
    #[schema(max_items = 20)]
    event_types: Option<Vec<TypePattern>>,
    attributes: Option<AttributeFiltersPatch>,
    /// Conditions on the data, in place of all there are.
    #[schema(max_items = 20)]
    data: Option<Vec<Condition>>,
}

/// The fields of an endpoint, some of them described otherwise.
fn like_endpoint_spec(description: &str, otherwise: &[(&str, RefOr<Schema>)]) -> Object {
    let RefOr::T(Schema::Object(mut spec)) = EndpointSpec::schema() else { return Object::default() };
    spec.description = Some(description.into());
    for (name, schema) in otherwise {
        spec.properties.insert((*name).into(), schema.clone());
    }
    spec
}

/// A reference to a schema, or null.
fn or_null<T: ToSchema>() -> RefOr<Schema> {
    let null = Object::with_type(Type::Null);
    OneOfBuilder::new().item(null).item(Ref::from_schema_name(T::name())).into()
}

impl PartialSchema for EndpointReplacement {
    fn schema() -> RefOr<Schema> {
        let description = "How an endpoint is set that may be there already. Only `url` is required; other fields that are not \
                           given go to their defaults, save for the signing secret and a credential of the same `type`, which \
                           stay.";
        like_endpoint_spec(description, &[("auth", or_null::<KeptAuth>())]).into()
    }
}

impl ToSchema for EndpointReplacement {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        EndpointSpec::schemas(schemas);
        add::<KeptAuth>(schemas);
    }
}

impl PartialSchema for EndpointPatch {
    fn schema() -> RefOr<Schema> {
        let description = "Changes to an endpoint, as a JSON merge patch (RFC 7396): fields that are not given stay, null goes \
                           back to the default.";
        let mut patch = like_endpoint_spec(
            description,
            &[
                ("auth", or_null::<AuthPatch>()),
                ("filters", or_null::<FiltersPatch>()),
                ("headers", or_null::<HeadersPatch>()),
                ("metadata", or_null::<MetadataPatch>()),
            ],
        );
        patch.required.clear();
        patch.examples =
            vec![json!({"enabled": false}), json!({"rate_limit": {"per_second": 20}, "description": null})];
        patch.into()
    }
}

impl ToSchema for EndpointPatch {
    fn schemas(schemas: &mut Vec<(String, RefOr<Schema>)>) {
        EndpointSpec::schemas(schemas);
        add::<AuthPatch>(schemas);
        add::<FiltersPatch>(schemas);
        add::<HeadersPatch>(schemas);
        add::<MetadataPatch>(schemas);
    }
}

/// An endpoint as read back. Secrets never come back, only whether they are set.
#[derive(ToSchema)]
#[schema(examples(json!({
    "id": "ep_01m7yvxdkne5hr0mvpeyw4b0w2", "tenant": "acme", "url": "https://partner.example/hooks", "name": "Till 4",
    "description": null, "event_types": ["card.*"], "filters": null, "enabled": true,
    "auth": {"type": "api_key", "header": "X-Api-Key", "value_set": true}, "headers": {}, "secret_set": true,
    "profile": "standard", "also_sign": [], "ordering": "key", "hold_max_s": 3_600, "timeout_ms": 15_000, "rate_limit": null,
    "max_in_flight": 16, "retry": null, "metadata": {}, "state": "active", "retry_at": null, "reason": null,
    "verified": true, "challenge": null, "sequence": 4_711, "created_at": "2026-11-21T10:54:57.013Z", "updated_at": "2026-11-21T10:54:57.013Z"
})))]
pub(crate) struct Endpoint {
    /// Its id.
    id: EndpointId,
    /// Whose it is.
    tenant: TenantId,
    /// Where deliveries go, normalised.
    url: Url,
    /// A name for people.
    #[schema(required)]
    name: Option<DisplayName>,
    /// What it is for.
    #[schema(required)]
    description: Option<Description>,
    /// What it takes.
    event_types: Vec<TypePattern>,
    /// What it wants of an event beside its type; null for nothing more.
    #[schema(required)]
    filters: Option<Filters>,
    /// `false` while paused.
    enabled: bool,
    auth: ShownAuth,
    headers: Headers,
    /// Whether it has a signing secret.
    secret_set: bool,
    /// How its webhooks look.
    profile: Profile,
    /// Profiles whose headers each request carries too.
    #[schema(max_items = 2)]
    also_sign: Vec<AlsoSign>,
    ordering: Ordering,
    /// How long a failing delivery holds back its key, in seconds.
    #[schema(minimum = 1, maximum = 604_800)]
    hold_max_s: u32,
    /// How long an attempt may take, in milliseconds.
    #[schema(minimum = 100, maximum = 60_000)]
    timeout_ms: u32,
    /// Its pace; null where it is not limited.
    #[schema(required)]
    rate_limit: Option<RateLimit>,
    /// Attempts at once, at most.
    #[schema(minimum = 1, maximum = 1_000)]
    max_in_flight: u32,
    /// Its own retry schedule; null for the default one.
    #[schema(required)]
    retry: Option<Retry>,
    /// Notes of its owner.
    metadata: Metadata,
    state: State,
    /// While tripped: when it is looked at again.
    #[schema(required)]
    retry_at: Option<Time>,
    /// While disabled: why.
    #[schema(required)]
    reason: Option<String>,
    /// Whether it has proven to be the tenant's, or its profile does not ask for that.
    verified: bool,
    /// How its ownership challenge went; null where its profile has none.
    #[schema(required)]
    challenge: Option<Challenge>,
    /// The sequence number of the last delivery that it was given; 0 before the first.
    sequence: u64,
    /// When it was made.
    created_at: Time,
    /// When it was last changed.
    updated_at: Time,
}

/// How an ownership challenge went.
#[derive(ToSchema)]
pub(crate) struct Challenge {
    /// When the last one ended; null before the first.
    #[schema(required)]
    last_at: Option<Time>,
    /// Why the last one proved nothing; null where it did.
    #[schema(required)]
    error: Option<String>,
    /// When the next one leaves unasked; null once one is passed, and where they were given up.
    #[schema(required)]
    next_at: Option<Time>,
}

/// A signing secret in clear.
#[derive(ToSchema)]
#[schema(examples(json!({"secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"})))]
pub(crate) struct Secret {
    secret: SigningSecret,
}

/// How to change a signing secret.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"overlap_s": 604_800})))]
pub(crate) struct RotationSpec {
    /// The new one; the server makes one unless given.
    secret: Option<SigningSecret>,
    /// How long the present one signs beside it, in seconds; a day unless given. 0 ends all old ones at once.
    #[schema(minimum = 0, maximum = 604_800, default = 86_400)]
    overlap_s: Option<u32>,
}

/// What an event is like of which somebody wants to know who would get it.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"type": "card.transaction.authorized", "data": {"amount": 42.50}})))]
pub(crate) struct EventSample {
    /// Its type.
    r#type: TypeName,
    attributes: Option<Attributes>,
    /// Its data: any JSON.
    data: Option<serde_json::Value>,
}

/// Whether an event would be owed to an endpoint.
#[derive(ToSchema)]
#[schema(examples(json!({
    "endpoint": "ep_01m7yvxdkne5hr0mvpeyw4b0w2", "matches": false, "reason": "data at /amount is not gte 100"
})))]
pub(crate) struct Match {
    /// The endpoint's id.
    endpoint: EndpointId,
    /// Whether it would be.
    matches: bool,
    /// Why, or why not: names the type, attribute or pointer that decides; where it matches, also what would become of it
    /// unless it would be sent at once.
    reason: String,
}

/// What to send as a test.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"type": "card.transaction.authorized"})))]
pub(crate) struct TestSpec {
    /// The event type.
    r#type: TypeName,
}
