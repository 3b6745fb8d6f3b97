//! The parameters of paths and queries.

use utoipa::IntoParams;

use super::{
    Cursor, DeliveryId, EndpointId, EventId, Profile, ReplayId, State, Status, SubjectId, TenantId, Time,
    TokenId, TypeName,
};

/// The tenant of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct InTenant {
    /// The tenant's id.
    tenant: TenantId,
}

/// The endpoint of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfEndpoint {
    /// The endpoint's id.
    id: EndpointId,
}

/// The delivery of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfDelivery {
    /// The delivery's id.
    id: DeliveryId,
}

/// The replay of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfReplay {
    /// The replay's id.
    replay: ReplayId,
}

/// The event of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfEvent {
    /// The event's id.
    id: EventId,
}

/// The event type of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfType {
    /// The event type's name.
    r#type: TypeName,
}

/// Whose catalogue of event types.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfProfile {
    /// The profile; `standard` unless given.
    profile: Option<Profile>,
}

/// The subject of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfSubject {
    /// The subject's id.
    subject: SubjectId,
}

/// The token of a path.
#[derive(IntoParams)]
#[into_params(parameter_in = Path)]
pub(crate) struct OfToken {
    /// The token's id.
    id: TokenId,
}

/// Which page of a list.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct Paging {
    /// Entries at most.
    #[param(minimum = 1, maximum = 250, default = 50)]
    limit: Option<u32>,
    /// The `next_cursor` of the page before.
    cursor: Option<Cursor>,
}

/// Which deliveries; all conditions hold at once.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct DeliveryQuery {
    /// What became of them.
    status: Option<Status>,
    /// The event type.
    r#type: Option<TypeName>,
    /// The endpoint's id.
    #[param(min_length = 1, max_length = 1_024, example = "ep_01m7yvxdkne5hr0mvpeyw4b0w2")]
    endpoint: Option<String>,
    /// The ordering key.
    #[param(min_length = 1, max_length = 1_024, example = "card-f9e8d7c6")]
    key: Option<String>,
    /// What the event is about.
    #[param(min_length = 1, max_length = 1_024, example = "card-f9e8d7c6")]
    subject: Option<String>,
    /// The event's id.
    #[param(min_length = 1, max_length = 1_024, example = "evt_01m7yvrba5e008kg000000045f")]
    event: Option<String>,
    /// Accepted at this time or later.
    since: Option<Time>,
    /// Accepted before this time; not before `since`.
    until: Option<Time>,
}

/// Whose, where a list is over all tenants.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct OfTenant {
    /// Of this tenant only.
    #[param(min_length = 1, max_length = 1_024, example = "acme")]
    tenant: Option<String>,
}

/// Which endpoints; all conditions hold at once.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EndpointQuery {
    /// How they stand.
    state: Option<State>,
}

/// Which events; all conditions hold at once.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct EventQuery {
    /// The event's id.
    #[param(min_length = 1, max_length = 1_024, example = "evt_01m7yvrba5e008kg000000045f")]
    id: Option<String>,
    /// The event type.
    r#type: Option<TypeName>,
    /// The ordering key.
    #[param(min_length = 1, max_length = 1_024, example = "card-f9e8d7c6")]
    key: Option<String>,
    /// What it is about.
    #[param(min_length = 1, max_length = 1_024, example = "card-f9e8d7c6")]
    subject: Option<String>,
    /// Accepted at this time or later.
    since: Option<Time>,
    /// Accepted before this time; not before `since`.
    until: Option<Time>,
}

/// Which part of a feed.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct FeedQuery {
    /// Only what has a higher sequence. Sequences begin at 1.
    #[param(minimum = 0, maximum = 17_592_186_044_415_u64, default = 0)]
    after: Option<u64>,
    /// Entries at most. No more than about 4 MiB of them, but one at least.
    #[param(minimum = 1, maximum = 250, default = 50)]
    limit: Option<u32>,
    /// How long to wait where there is nothing, in seconds.
    #[param(minimum = 0, maximum = 30, default = 0)]
    wait_s: Option<u32>,
}

/// Over which time.
#[derive(IntoParams)]
#[into_params(parameter_in = Query)]
pub(crate) struct StatsQuery {
    /// Deliveries accepted at this time or later; in the last 24 hours unless given.
    since: Option<Time>,
}

/// How a publication is told from its repetition.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
pub(crate) struct IdempotencyKey {
    /// 1 to 256 visible ASCII characters; on a batch it stands for `key#index`. The same key with the same event leads to the first
    /// answer for 24 hours at least, with another event to 409.
    #[param(
        rename = "Idempotency-Key",
        min_length = 1,
        max_length = 256,
        pattern = "^[!-~]+$",
        example = "order-4711"
    )]
    idempotency_key: Option<String>,
}
