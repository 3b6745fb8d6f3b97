//! What endpoints receive, described like a call: the document's `webhooks`.

use utoipa::openapi::path::{HttpMethod, PathsBuilder};
use utoipa::openapi::{OpenApi, PathItem};
use utoipa::{IntoParams, Path as _, ToSchema};

use crate::schema::{EventId, Time, TypeName, add};

/// The headers of a delivery in the `standard` profile.
#[derive(IntoParams)]
#[into_params(parameter_in = Header)]
#[allow(dead_code, reason = "descriptions are never built")]
struct Headers {
    /// The event's id: the same on every attempt, so a receiver knows what it has seen.
    #[param(rename = "webhook-id")]
    id: EventId,
    /// When this attempt was made, in seconds since 1970. Refuse what is more than five minutes off.
    #[param(rename = "webhook-timestamp", example = 1_795_258_499)]
    timestamp: u64,
    /// One signature or more, parted by blanks: `v1,` and the base64 of HMAC-SHA256 over `id.timestamp.body`, under the bytes that
    /// stand in base64 behind `whsec_`. While a secret is being rotated there is one for each; one that fits is enough.
    #[param(rename = "webhook-signature", example = "v1,K5oZfzN95Z9UVu1EsfQmfVNQhnkZ2pj9o9NDN/H/pI4=")]
    signature: String,
    /// The endpoint's gapless number for the delivery, kept on every retry and replay; a gap says that something is still to come,
    /// or can be read from the feed. A test has none. Not signed.
    #[param(rename = "webhook-sequence", minimum = 1, example = 4_711)]
    sequence: Option<u64>,
    /// Which attempt it is, from 1. Not signed.
    #[param(rename = "webhook-attempt", minimum = 1, example = 1)]
    attempt: u32,
}

/// The body of a delivery in the `standard` profile.
#[derive(ToSchema)]
#[schema(examples(json!({
    "type": "card.transaction.authorized", "timestamp": "2026-11-21T10:54:58.031Z", "data": {"amount": 42.50, "currency": "USD"}
})))]
#[allow(dead_code, reason = "descriptions are never built")]
struct DeliveryPayload {
    /// The event's type.
    r#type: TypeName,
    /// When it happened.
    timestamp: Time,
    /// What happened, byte for byte as it was published.
    data: serde_json::Value,
}

/// An event is delivered to an endpoint.
///
/// [Standard Webhooks](https://www.standardwebhooks.com): verify the signature over the bytes as they came, then answer 2xx within
/// the endpoint's `timeout_ms`, and do the work afterwards. Anything else is tried again by the endpoint's schedule, under the same
/// `webhook-id`. Redirects are not followed.
#[utoipa::path(post, path = "delivery", tag = "endpoints", operation_id = "receiveDelivery", security(()),
    params(Headers), request_body = DeliveryPayload, responses(
    (status = "2XX", description = "Taken."),
    (status = 410, description = "The endpoint is disabled: it wants nothing more."),
    (status = "default", description = "Tried again by the schedule, and not before `Retry-After` says. A header \
        `webhook-delivery: abort-message` ends the tries of this delivery, `disable` disables the endpoint."),
))]
#[allow(dead_code, reason = "described, and never called")]
fn delivery() {}

/// Adds them.
pub(super) fn describe(document: &mut OpenApi) {
    let item = PathItem::new(HttpMethod::Post, __path_delivery::operation());
    document.webhooks = Some(PathsBuilder::new().path("delivery", item).build());
    let mut schemas = Vec::new();
    add::<DeliveryPayload>(&mut schemas);
    document.components.get_or_insert_default().schemas.extend(schemas);
}
