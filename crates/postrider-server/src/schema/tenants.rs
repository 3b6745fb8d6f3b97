//! Tenants: what may be said of them, and what they look like.

use utoipa::ToSchema;

use super::{DisplayName, Integration, Metadata, Profile, TenantId, Time, TypePattern};

/// What a tenant may take up at most. What is not given has its default.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct QuotasSpec {
    /// Endpoints: making one beyond is 422. 1,000 unless given.
    #[schema(minimum = 1, maximum = 1_000_000, default = 1_000)]
    endpoints: Option<u32>,
    /// Values that the filters of its endpoints compare with, all together: an endpoint with more is 422. 10,000 unless given.
    #[schema(minimum = 1, maximum = 1_000_000, default = 10_000)]
    filter_values: Option<u32>,
    /// Pending deliveries over all its endpoints: publishing beyond is 429; the event that reaches it is still taken whole.
    /// 20,000,000 unless given.
    #[schema(minimum = 1, maximum = 1_000_000_000, default = 20_000_000)]
    pending: Option<u32>,
    /// Events accepted a second, after a pause as many at once: publishing beyond is 429. Not limited unless given.
    #[schema(minimum = 1, maximum = 1_000_000)]
    events_per_second: Option<u32>,
}

/// What a tenant may take up at most, with the defaults.
#[derive(ToSchema)]
pub(crate) struct Quotas {
    /// Endpoints.
    #[schema(minimum = 1, maximum = 1_000_000)]
    endpoints: u32,
    /// Values that the filters of its endpoints compare with, all together.
    #[schema(minimum = 1, maximum = 1_000_000)]
    filter_values: u32,
    /// Pending deliveries over all its endpoints.
    #[schema(minimum = 1, maximum = 1_000_000_000)]
    pending: u32,
    /// Events accepted a second; null where that is not limited.
    #[schema(required, minimum = 1, maximum = 1_000_000)]
    events_per_second: Option<u32>,
}

/// What becomes of card numbers: `reject` refuses the event, `mask` hides the digits in the middle (in data and attributes;
/// elsewhere the event is refused), `allow` lets them through.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum CardNumbers {
    Reject,
    Mask,
    Allow,
}

/// What becomes of verification codes, PINs and tracks: `reject` refuses the event, `strip` takes the value out.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum AuthenticationData {
    Reject,
    Strip,
}

/// What becomes of card data in a tenant's events; what is not given is as the server is configured.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardPolicy {
    /// Card numbers.
    numbers: Option<CardNumbers>,
    /// Verification codes, PINs and tracks.
    authentication_data: Option<AuthenticationData>,
    /// Where card numbers are let through whatever the policy.
    #[schema(max_items = 20)]
    exempt: Option<Vec<CardExemption>>,
}

/// Places in events where what looks like a card number is none.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct CardExemption {
    /// In events of these types.
    r#type: TypePattern,
    /// Where.
    #[schema(min_items = 1, max_items = 20)]
    pointers: Vec<CardPointer>,
}

/// A JSON pointer (RFC 6901) into an event that begins with `/data`, `/attributes`, `/key`, `/id` or `/subject`, as a refusal
/// tells it; `*` stands for any item of an array.
#[derive(ToSchema)]
#[schema(
    max_length = 256,
    pattern = "^/(data|attributes|key|id|subject)(/[\\s\\S]*)?$",
    examples("/data/items/*/reference")
)]
pub(crate) struct CardPointer(String);

/// What a tenant is set to. Nothing of it is required; what is not given has its default.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "name": "Acme", "integrations": ["payment-gateway"], "quotas": {"events_per_second": 500}, "card_policy": {"numbers": "mask"}, "metadata": {"crm": "4711"}
})))]
pub(crate) struct TenantSpec {
    /// A name for people.
    name: Option<DisplayName>,
    /// How its webhooks look unless an endpoint says otherwise, and whose catalogue its events are of; `standard` unless given.
    profile: Option<Profile>,
    /// What kinds of partner it is, each once. It may subscribe to the event types that any of them allows, and to those that
    /// name none. One that is taken away later is in force for what comes next: events of a type that an endpoint names are
    /// skipped (`not_entitled`), and wildcards do not cover it any more.
    #[schema(max_items = 64)]
    integrations: Option<Vec<Integration>>,
    /// What it may take up; in force for what comes next. The operator's own tenant has none.
    quotas: Option<QuotasSpec>,
    /// What becomes of card data in its events.
    card_policy: Option<CardPolicy>,
    /// Notes of the operator.
    metadata: Option<Metadata>,
}

/// A tenant.
#[derive(ToSchema)]
#[schema(examples(json!({
    "id": "acme", "name": "Acme", "profile": "standard", "integrations": ["payment-gateway"],
    "quotas": {"endpoints": 1_000, "filter_values": 10_000, "pending": 20_000_000, "events_per_second": 500},
    "card_policy": {"numbers": "mask", "authentication_data": null, "exempt": []}, "metadata": {"crm": "4711"},
    "created_at": "2026-11-21T10:54:56.310Z", "updated_at": "2026-11-21T10:54:56.310Z"
})))]
pub(crate) struct Tenant {
    /// Its id.
    id: TenantId,
    /// A name for people.
    #[schema(required)]
    name: Option<DisplayName>,
    /// How its webhooks look unless an endpoint says otherwise, and whose catalogue its events are of.
    profile: Profile,
    /// What kinds of partner it is.
    integrations: Vec<Integration>,
    /// What it may take up; null for the operator's own tenant.
    #[schema(required)]
    quotas: Option<Quotas>,
    /// What becomes of card data in its events, as it was given; null where all is as the server is configured.
    #[schema(required)]
    card_policy: Option<CardPolicy>,
    /// Notes of the operator.
    metadata: Metadata,
    /// When it was made.
    created_at: Time,
    /// When it was last changed.
    updated_at: Time,
}
