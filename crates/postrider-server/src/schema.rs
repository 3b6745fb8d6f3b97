//! The documents of the API that are parsed or written by hand, described for the OpenAPI document.
//!
//! They are never built; the tests hold them against what is really read and written.

#![allow(dead_code, clippy::large_enum_variant, reason = "descriptions are never built")]

use std::collections::BTreeMap;

use utoipa::{IntoParams, ToSchema};

/// What became of a delivery.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Status {
    Pending,
    Succeeded,
    Failed,
    Cancelled,
    Skipped,
}

/// Why an attempt was made.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Trigger {
    Schedule,
    Retry,
    Replay,
    Test,
    Probe,
}

/// How an endpoint stands.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum State {
    Active,
    Paused,
    Tripped,
    Disabled,
}

/// Whether deliveries with the same ordering key go out one at a time.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Ordering {
    None,
    Key,
}

/// How requests authenticate.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum AuthType {
    None,
    Basic,
    Bearer,
    ApiKey,
}

/// What a token allows.
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
}

/// What a tenant may take up at most.
#[derive(ToSchema)]
pub(crate) struct QuotasSpec {
    /// Endpoints: making one beyond is 422. 1,000 unless given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub endpoints: Option<u32>,
    /// Values that the filters of its endpoints compare with, all together: an endpoint with more is 422. 10,000 unless given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub filter_values: Option<u32>,
    /// Pending deliveries over all its endpoints: publishing beyond is 429; the event that reaches it is still taken whole.
    /// 20,000,000 unless given.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    pub pending: Option<u32>,
    /// Events accepted a second, after a pause as many at once: publishing beyond is 429. Not limited unless given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    pub events_per_second: Option<u32>,
}

/// What a tenant may take up at most, with the defaults.
#[derive(ToSchema)]
pub(crate) struct Quotas {
    /// Endpoints.
    pub endpoints: u32,
    /// Values that the filters of its endpoints compare with, all together.
    pub filter_values: u32,
    /// Pending deliveries over all its endpoints.
    pub pending: u32,
    /// Events accepted a second; null where that is not limited.
    pub events_per_second: Option<u32>,
}

/// What the events of a type are.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum EventKind {
    Notification,
    Decision,
}

/// What is said of an event type.
#[derive(ToSchema)]
pub(crate) struct EventTypeSpec {
    /// What happened when such an event comes.
    pub description: Option<String>,
    /// A JSON Schema (2020-12) that its data must fit: at most 64 KiB and 64 patterns, all references inside of it.
    #[schema(value_type = Option<Object>)]
    pub schema: Option<serde_json::Value>,
    /// Data as it may be, which fits the schema; at most 64 KiB. Sent by tests, byte for byte.
    pub example: Option<serde_json::Value>,
    /// The integrations that may subscribe to it; all unless given.
    #[schema(max_items = 64)]
    pub integrations: Option<Vec<String>>,
    /// `notification` unless given.
    pub kind: Option<EventKind>,
}

/// Whose a subject is.
#[derive(ToSchema)]
pub(crate) struct SubjectSpec {
    /// The tenants that it belongs to, each once.
    #[schema(min_items = 1, max_items = 32)]
    pub tenants: Vec<String>,
}

/// What becomes of card numbers.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum CardNumbers {
    Reject,
    Mask,
    Allow,
}

/// What becomes of sensitive authentication data.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum AuthenticationData {
    Reject,
    Strip,
}

/// What becomes of card data in a tenant's events; what is not given is as the server is configured.
#[derive(ToSchema)]
pub(crate) struct CardPolicy {
    /// Card numbers: `reject` refuses the event, `mask` hides the digits in the middle (in data and attributes; elsewhere the
    /// event is refused), `allow` lets them through.
    pub numbers: Option<CardNumbers>,
    /// Verification codes, PINs and tracks: `reject` refuses the event, `strip` takes the value out.
    pub authentication_data: Option<AuthenticationData>,
    /// Where card numbers are let through whatever the policy, at most 20.
    #[schema(max_items = 20)]
    pub exempt: Option<Vec<CardExemption>>,
}

/// Places in events where what looks like a card number is none.
#[derive(ToSchema)]
pub(crate) struct CardExemption {
    /// In events of these types: an exact type, a prefix ending in `.*`, or `*`.
    pub r#type: String,
    /// JSON pointers into the event that begin with `/data`, `/attributes`, `/key`, `/id` or `/subject`, as a refusal tells
    /// them; `*` stands for any item of an array. 1 to 20.
    #[schema(min_items = 1, max_items = 20)]
    pub pointers: Vec<String>,
}

/// What a tenant is set to.
#[derive(ToSchema)]
pub(crate) struct TenantSpec {
    /// A name for people.
    pub name: Option<String>,
    /// How its webhooks look; `standard` unless given.
    pub profile: Option<String>,
    /// What it may take up; in force for what comes next. The operator's own tenant has none.
    pub quotas: Option<QuotasSpec>,
    /// What becomes of card data in its events.
    pub card_policy: Option<CardPolicy>,
    /// Notes of the operator.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// A tenant.
#[derive(ToSchema)]
pub(crate) struct Tenant {
    /// Its id.
    pub id: String,
    /// A name for people.
    pub name: Option<String>,
    /// How its webhooks look.
    pub profile: String,
    /// What it may take up; null for the operator's own tenant.
    pub quotas: Option<Quotas>,
    /// What becomes of card data in its events, as it was given; null where all is as the server is configured.
    pub card_policy: Option<CardPolicy>,
    /// Notes of the operator.
    pub metadata: BTreeMap<String, String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it was last changed, RFC 3339.
    pub updated_at: String,
}

/// What a token may do, where, and until when.
#[derive(ToSchema)]
pub(crate) struct TokenSpec {
    /// The tenant that it is bound to, exact or a prefix that ends at a colon (`acme:*`); none for an operator's.
    pub tenant: Option<String>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it ends, RFC 3339.
    pub expires_at: Option<String>,
}

/// A token without its text.
#[derive(ToSchema)]
pub(crate) struct Token {
    /// Its id, `tok_…`.
    pub id: String,
    /// The tenant that it is bound to; absent for an operator's.
    pub tenant: Option<String>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it ends, RFC 3339.
    pub expires_at: Option<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// A token just made.
#[derive(ToSchema)]
pub(crate) struct CreatedToken {
    /// Its id, `tok_…`.
    pub id: String,
    /// Its text, shown this once.
    pub token: String,
    /// The tenant that it is bound to; absent for an operator's.
    pub tenant: Option<String>,
    /// What it may do.
    pub scopes: Vec<Scope>,
    /// When it ends, RFC 3339.
    pub expires_at: Option<String>,
    /// When it was made, RFC 3339.
    pub created_at: String,
}

/// How an endpoint is set.
#[derive(ToSchema)]
pub(crate) struct EndpointSpec {
    /// Where deliveries go; `https`.
    pub url: String,
    /// A name for people.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// Exact types, prefixes ending in `.*`, or `*`; everything unless given.
    pub event_types: Option<Vec<String>>,
    /// What it wants of an event beside its type; nothing more unless given.
    pub filters: Option<Filters>,
    /// `false` pauses it: events are held and delivered on resume.
    pub enabled: Option<bool>,
    /// How requests authenticate.
    pub auth: Option<Auth>,
    /// Further headers of each request.
    pub headers: Option<BTreeMap<String, String>>,
    /// The signing secret, `whsec_…`; the server makes one unless given.
    pub secret: Option<String>,
    /// How its webhooks look; `standard` unless given.
    pub profile: Option<String>,
    /// `none` or `key`: one at a time for each ordering key, in order of acceptance.
    pub ordering: Option<Ordering>,
    /// How long a failing delivery holds back its key, in seconds.
    #[schema(minimum = 1, maximum = 604_800)]
    pub hold_max_s: Option<u32>,
    /// How long an attempt may take, in milliseconds.
    #[schema(minimum = 100, maximum = 60_000)]
    pub timeout_ms: Option<u32>,
    /// Attempts that begin within any second, at most.
    pub rate_limit: Option<RateLimit>,
    /// Attempts at once, at most.
    #[schema(minimum = 1, maximum = 1_000)]
    pub max_in_flight: Option<u32>,
    /// Its own retry schedule.
    pub retry: Option<Retry>,
    /// Notes of its owner.
    pub metadata: Option<BTreeMap<String, String>>,
}

/// Changes to an endpoint, as a JSON merge patch: the fields of an endpoint, each optional; null goes back to the default.
#[derive(ToSchema)]
#[schema(value_type = Object)]
pub(crate) struct EndpointPatch(serde_json::Value);

/// How requests to an endpoint authenticate.
#[derive(ToSchema)]
pub(crate) struct Auth {
    /// Which of them; the other fields follow from it.
    pub r#type: AuthType,
    /// With `basic`.
    pub username: Option<String>,
    /// With `basic`; never read back.
    pub password: Option<String>,
    /// With `bearer`; never read back.
    pub token: Option<String>,
    /// With `api_key`: the header's name.
    pub header: Option<String>,
    /// With `api_key`; never read back.
    pub value: Option<String>,
}

/// Conditions on an event: it is owed to the endpoint if all of them hold. What they keep out has no delivery and takes no
/// sequence number.
///
/// Values are strings, numbers and booleans of at most 1,024 bytes. Numbers are compared as exact decimals, so that `1`, `1.0`
/// and `1e0` are equal; strings as they are; values of different kinds are different.
#[derive(ToSchema)]
pub(crate) struct Filters {
    /// For each named attribute the values of which it must have one: at most 20 names, with 1 to 50 values each.
    #[schema(value_type = Option<BTreeMap<String, Vec<AttributeValue>>>)]
    pub attributes: Option<BTreeMap<String, ()>>,
    /// Conditions on the data, at most 20.
    #[schema(max_items = 20)]
    pub data: Option<Vec<Condition>>,
}

/// A condition on the data of an event.
#[derive(ToSchema)]
pub(crate) struct Condition {
    /// Where: a JSON pointer (RFC 6901) of at most 256 bytes and 16 levels. Where a name stands twice in an object, the last
    /// one counts.
    pub pointer: String,
    /// What must hold there. `gt`, `gte`, `lt` and `lte` hold between numbers alone, `prefix` between strings alone. Where
    /// there is nothing, only `ne` and `exists` with `false` hold; `null`, objects and arrays are there, and equal nothing.
    pub op: Op,
    /// With `in`: an array of 1 to 100 values; with `exists`: whether it must be there; else a value.
    pub value: serde_json::Value,
}

/// How a condition compares.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Op {
    Eq,
    Ne,
    In,
    Gt,
    Gte,
    Lt,
    Lte,
    Prefix,
    Exists,
}

/// A pace.
#[derive(ToSchema)]
pub(crate) struct RateLimit {
    /// Attempts that begin within any second, at most.
    #[schema(minimum = 1, maximum = 10_000)]
    pub per_second: u32,
}

/// A retry schedule.
#[derive(ToSchema)]
pub(crate) struct Retry {
    /// Waits before the second and each further attempt, in seconds: at most 50, each of 1 to 604,800.
    #[schema(max_items = 50, value_type = Vec<Wait>)]
    pub schedule_s: Vec<u32>,
}

/// A wait, in seconds: up to a week.
#[derive(ToSchema)]
#[schema(minimum = 1, maximum = 604_800)]
pub(crate) struct Wait(u32);

/// An attribute: a string, a number or a boolean.
#[derive(ToSchema, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum AttributeValue {
    String(String),
    Number(f64),
    Boolean(bool),
}

/// An endpoint as read back. Secrets never come back, only whether they are set.
#[derive(ToSchema)]
pub(crate) struct Endpoint {
    /// Its id.
    pub id: String,
    /// Whose it is.
    pub tenant: String,
    /// Where deliveries go, normalised.
    pub url: String,
    /// A name for people.
    pub name: Option<String>,
    /// What it is for.
    pub description: Option<String>,
    /// What it subscribes to.
    pub event_types: Vec<String>,
    /// What it wants of an event beside its type; null for nothing more.
    pub filters: Option<Filters>,
    /// `false` while paused.
    pub enabled: bool,
    /// How requests authenticate, without credentials.
    #[schema(value_type = Object)]
    pub auth: serde_json::Value,
    /// Further headers of each request.
    pub headers: BTreeMap<String, String>,
    /// Whether it has a signing secret.
    pub secret_set: bool,
    /// How its webhooks look.
    pub profile: String,
    /// `none` or `key`.
    pub ordering: Ordering,
    /// How long a failing delivery holds back its key, in seconds.
    pub hold_max_s: u32,
    /// How long an attempt may take, in milliseconds.
    pub timeout_ms: u32,
    /// Attempts that begin within any second, at most.
    pub rate_limit: Option<RateLimit>,
    /// Attempts at once, at most.
    pub max_in_flight: u32,
    /// Its own retry schedule.
    pub retry: Option<Retry>,
    /// Notes of its owner.
    pub metadata: BTreeMap<String, String>,
    /// `active`, `paused`, `tripped` or `disabled`.
    pub state: State,
    /// While tripped: when it is looked at again, RFC 3339.
    pub retry_at: Option<String>,
    /// While disabled: why.
    pub reason: Option<String>,
    /// Whether it has proven to be the tenant's.
    pub verified: bool,
    /// The sequence number of the last delivery that it was given.
    pub sequence: u64,
    /// When it was made, RFC 3339.
    pub created_at: String,
    /// When it was last changed, RFC 3339.
    pub updated_at: String,
}

/// A signing secret in clear.
#[derive(ToSchema)]
pub(crate) struct Secret {
    /// `whsec_…`
    pub secret: String,
}

/// How to change a signing secret.
#[derive(ToSchema)]
pub(crate) struct RotationSpec {
    /// The new one, `whsec_…`; the server makes one unless given.
    pub secret: Option<String>,
    /// How long the present one signs beside it, in seconds; a day unless given. 0 ends all old ones at once.
    #[schema(minimum = 0, maximum = 604_800)]
    pub overlap_s: Option<u32>,
}

/// What an event is like of which somebody wants to know who would get it.
#[derive(ToSchema)]
pub(crate) struct EventSample {
    /// Its type.
    pub r#type: String,
    /// Its attributes.
    pub attributes: Option<BTreeMap<String, AttributeValue>>,
    /// Its data.
    pub data: Option<serde_json::Value>,
}

/// Whether an event would be owed to an endpoint.
#[derive(ToSchema)]
pub(crate) struct Match {
    /// The endpoint's id.
    pub endpoint: String,
    /// Whether it would be.
    pub matches: bool,
    /// Why, or why not: names the type, attribute or pointer that decides; where it matches, also what would become of it
    /// unless it would be sent at once.
    pub reason: String,
}

/// What to send as a test.
#[derive(ToSchema)]
pub(crate) struct TestSpec {
    /// The event type.
    pub r#type: String,
}

/// What is to be replayed. A beginning is needed: `since`, `sequence_from`, or both; all conditions hold at once.
#[derive(ToSchema)]
pub(crate) struct ReplaySpec {
    /// Accepted at this time or later, RFC 3339.
    pub since: Option<String>,
    /// Accepted before this time, RFC 3339.
    pub until: Option<String>,
    /// With this sequence number or a later one.
    #[schema(minimum = 1)]
    pub sequence_from: Option<u64>,
    /// With this sequence number or an earlier one.
    #[schema(minimum = 1)]
    pub sequence_to: Option<u64>,
    /// With one of these verdicts; `failed`, `cancelled` and `skipped` unless given. Never `pending`.
    pub statuses: Option<Vec<Verdict>>,
    /// Of these types: exact, prefixes ending in `.*`, or `*`; of any unless given.
    pub types: Option<Vec<String>>,
    /// Deliveries that are let go a second, at most; 100 unless given.
    #[schema(minimum = 1, maximum = 10_000)]
    pub per_second: Option<u32>,
    /// Only count them.
    pub dry_run: Option<bool>,
}

/// What became of a delivery that has ended.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Verdict {
    Succeeded,
    Failed,
    Cancelled,
    Skipped,
}

/// Whether a replay goes on.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum ReplayState {
    Running,
    Done,
    Cancelled,
    Failed,
}

/// Why a replay could not go on.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum ReplayReason {
    EndpointDisabled,
    EndpointDeleted,
}

/// How many deliveries a replay would cover.
#[derive(ToSchema)]
pub(crate) struct ReplayCount {
    /// How many.
    pub matched: u64,
}

/// An event to be published.
#[derive(ToSchema, serde::Serialize)]
pub(crate) struct NewEvent {
    /// Whose; needed unless there is a subject.
    pub tenant: Option<String>,
    /// The card or account that it is about. Without a tenant it becomes one event for each tenant that the subject belongs
    /// to; with one, which must be among them, it goes to that one alone.
    pub subject: Option<String>,
    /// Its type: segments of `A-Za-z0-9_-` parted by single dots.
    pub r#type: String,
    /// What happened: any JSON, delivered byte for byte as it came.
    pub data: serde_json::Value,
    /// The publisher's own id, 1 to 128 of `A-Za-z0-9_:-`; publishing it again is answered with the first receipt.
    pub id: Option<String>,
    /// The ordering key.
    pub key: Option<String>,
    /// Strings, numbers and booleans that tell about it, kept with it: at most 64, and 8 KiB of JSON.
    pub attributes: Option<BTreeMap<String, AttributeValue>>,
    /// When it happened, RFC 3339; now unless given.
    pub occurred_at: Option<String>,
    /// From when on nobody wants it any more, RFC 3339: no attempt is made after that.
    pub expires_at: Option<String>,
}

/// One event, or at most 1,000.
#[derive(ToSchema, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum EventOrBatch {
    /// One event.
    #[schema(title = "One")]
    One(NewEvent),
    /// A batch.
    #[schema(title = "Batch")]
    Batch(Vec<NewEvent>),
}

/// A receipt: the event is durable.
#[derive(ToSchema, serde::Serialize)]
pub(crate) struct Receipt {
    /// The event's id: the publisher's own, or `evt_…`.
    pub id: String,
    /// How many deliveries are pending for it; skipped ones are in the log, with their reason.
    pub deliveries: u32,
}

/// The receipt of one of the events that a subject's event became.
#[derive(ToSchema, serde::Serialize)]
pub(crate) struct TenantReceipt {
    /// Whose event it is.
    pub tenant: String,
    /// The event's id: the publisher's own, or `evt_…`.
    pub id: String,
    /// How many deliveries are pending for it; skipped ones are in the log, with their reason.
    pub deliveries: u32,
}

/// The receipts of a subject's event, one for each tenant.
#[derive(ToSchema, serde::Serialize)]
pub(crate) struct SubjectAnswer {
    /// Tenant by tenant.
    pub data: Vec<TenantReceipt>,
}

/// What became of one event of a batch: a receipt, receipts by tenant, or an error in its place.
#[derive(ToSchema, serde::Serialize)]
pub(crate) struct BatchItem {
    /// The event's id, where it was accepted.
    pub id: Option<String>,
    /// Where it was accepted: how many deliveries are pending for it; skipped ones are in the log, with their reason.
    pub deliveries: Option<u32>,
    /// Of an event with a subject and no tenant: its receipts.
    pub data: Option<Vec<TenantReceipt>>,
    /// Why it was not accepted. Of an event for one tenant nothing was stored; of a subject's event some tenants' may be,
    /// which the same event with the same key completes.
    #[schema(value_type = Option<crate::problem::ProblemDocument>)]
    pub error: Option<()>,
}

/// The answer to a batch.
#[derive(ToSchema, serde::Serialize)]
pub(crate) struct BatchAnswer {
    /// Item by item, in order.
    pub data: Vec<BatchItem>,
}

/// A receipt for one event, receipts by tenant for one of a subject, or the answer to a batch.
#[derive(ToSchema, serde::Serialize)]
#[serde(untagged)]
pub(crate) enum PublishAnswer {
    /// One event.
    #[schema(title = "One")]
    One(Receipt),
    /// One event of a subject, without a tenant.
    #[schema(title = "Subject")]
    Subject(SubjectAnswer),
    /// A batch.
    #[schema(title = "Batch")]
    Batch(BatchAnswer),
}

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// Entries at most; 50 unless given.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<String>,
}

/// Which deliveries; all conditions hold at once.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveryQuery {
    /// What became of them.
    #[param(inline)]
    status: Option<Status>,
    /// The event type.
    r#type: Option<String>,
    /// The endpoint's id.
    endpoint: Option<String>,
    /// The ordering key.
    key: Option<String>,
    /// What the event is about.
    subject: Option<String>,
    /// The event's id, the publisher's own or `evt_…`.
    event: Option<String>,
    /// Accepted at this time or later, RFC 3339.
    since: Option<String>,
    /// Accepted before this time, RFC 3339.
    until: Option<String>,
}

/// Whose, where a list is over all tenants.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfTenant {
    /// Of this tenant only.
    tenant: Option<String>,
}

/// Which endpoints; all conditions hold at once.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EndpointQuery {
    /// How they stand.
    #[param(inline)]
    state: Option<State>,
}

/// Which events; all conditions hold at once.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    /// The event's id, the publisher's own or `evt_…`.
    id: Option<String>,
    /// The event type.
    r#type: Option<String>,
    /// The ordering key.
    key: Option<String>,
    /// What it is about.
    subject: Option<String>,
    /// Accepted at this time or later, RFC 3339.
    since: Option<String>,
    /// Accepted before this time, RFC 3339.
    until: Option<String>,
}

/// Which part of a feed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FeedQuery {
    /// Only what has a higher sequence; 0 unless given, which is before the first.
    #[param(minimum = 0)]
    after: Option<u64>,
    /// Entries at most; 50 unless given. No more than about 4 MiB of them, but one at least.
    #[param(minimum = 1, maximum = 250)]
    limit: Option<u32>,
    /// How long to wait where there is nothing, in seconds; 0 unless given.
    #[param(minimum = 0, maximum = 30)]
    wait_s: Option<u32>,
}

/// Over which time.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsQuery {
    /// Deliveries accepted at this time or later, RFC 3339; in the last 24 hours unless given.
    since: Option<String>,
}
