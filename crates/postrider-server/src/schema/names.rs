//! Names, ids, times and the other texts that stand in many places, each with its form.

use utoipa::ToSchema;

/// A tenant's id: 1 to 128 of `A-Za-z0-9._:-`, and neither `.` nor `..`.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 128,
    pattern = r"^(\.{0,2}[A-Za-z0-9_:-][A-Za-z0-9._:-]*|\.{3}[A-Za-z0-9._:-]*)$",
    examples("acme", "acme:shop-7")
)]
pub(crate) struct TenantId(String);

/// Whose things a token is for: a tenant's id, or a prefix that ends at a colon, which stands for every tenant whose id begins
/// with it.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 130,
    pattern = r"^(\.{0,2}[A-Za-z0-9_:-][A-Za-z0-9._:-]*|\.{3}[A-Za-z0-9._:-]*)(:\*)?$",
    examples("acme", "acme:*")
)]
pub(crate) struct TenantPattern(String);

/// An endpoint's id: the server's own, `ep_…`, or the caller's, 1 to 128 of `A-Za-z0-9._:-`, and neither `.` nor `..`.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 128,
    pattern = r"^(\.{0,2}[A-Za-z0-9_:-][A-Za-z0-9._:-]*|\.{3}[A-Za-z0-9._:-]*)$",
    examples("ep_01m7yvxdkne5hr0mvpeyw4b0w2", "till-4")
)]
pub(crate) struct EndpointId(String);

/// An event's id: the publisher's own, 1 to 128 of `A-Za-z0-9_:-`, or `evt_…`, which the server gave it.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 128,
    pattern = r"^[A-Za-z0-9_:-]+$",
    examples("evt_01m7yvrba5e008kg000000045f", "txn-4711")
)]
pub(crate) struct EventId(String);

/// A delivery's id. It stays the same on every attempt.
#[derive(ToSchema)]
#[schema(pattern = "^dlv_[0-9a-hjkmnp-tv-z]{26}$", examples("dlv_01m7yvxg0je008kg00000008ac"))]
pub(crate) struct DeliveryId(String);

/// An attempt's id.
#[derive(ToSchema)]
#[schema(pattern = "^att_[0-9a-hjkmnp-tv-z]{26}$", examples("att_01m7yvxg0je018kg00000008pt"))]
pub(crate) struct AttemptId(String);

/// A replay's id.
#[derive(ToSchema)]
#[schema(pattern = "^rpl_[0-9a-hjkmnp-tv-z]{26}$", examples("rpl_01m7yvxk2pe008kg00000003ad"))]
pub(crate) struct ReplayId(String);

/// A token's id, which is not its text. That of the token which the server was set up with is `tok_operator`.
#[derive(ToSchema)]
#[schema(pattern = "^tok_([0-9a-hjkmnp-tv-z]{26}|operator)$", examples("tok_01m7yvxc3qfk2t8n4e6xw0s5ja"))]
pub(crate) struct TokenId(String);

/// An event type's name: segments of `A-Za-z0-9_-` parted by single dots, 128 characters at most.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 128,
    pattern = r"^[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*$",
    examples("card.transaction.authorized")
)]
pub(crate) struct TypeName(String);

/// Event types: one by its name, all that begin with a prefix (`card.*`, which `card` itself does not), or all (`*`).
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 130,
    pattern = r"^(\*|[A-Za-z0-9_-]+(\.[A-Za-z0-9_-]+)*(\.\*)?)$",
    examples("card.transaction.authorized", "card.*", "*")
)]
pub(crate) struct TypePattern(String);

/// An ordering key: what events have in common that are delivered in order to endpoints with `"ordering": "key"`, such as a
/// card's reference. No control characters, line breaks or direction marks.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 256,
    pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$",
    examples("card-f9e8d7c6")
)]
pub(crate) struct OrderingKey(String);

/// The card or account that an event is about: 1 to 128 of `A-Za-z0-9._:-`, and neither `.` nor `..`.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 128,
    pattern = r"^(\.{0,2}[A-Za-z0-9_:-][A-Za-z0-9._:-]*|\.{3}[A-Za-z0-9._:-]*)$",
    examples("card-f9e8d7c6")
)]
pub(crate) struct SubjectId(String);

/// A time (RFC 3339). What the server writes is UTC with milliseconds; what it reads has a zone and a year of 0001 to 9999.
#[derive(ToSchema)]
#[schema(format = DateTime, examples("2026-11-21T10:54:59.090Z"))]
pub(crate) struct Time(String);

/// A name for people, without control characters, line breaks or direction marks.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 256,
    pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$",
    examples("Till 4")
)]
pub(crate) struct DisplayName(String);

/// What something is for, without control characters, line breaks or direction marks.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 2_048,
    pattern = r"^[^\u0000-\u001f\u007f-\u009f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069]*$",
    examples("Books what the tills took")
)]
pub(crate) struct Description(String);

/// A profile: how the webhooks of a platform look. `standard`, which is [Standard Webhooks](https://www.standardwebhooks.com), a
/// bundled one, or one of the operator's own.
#[derive(ToSchema)]
#[schema(pattern = "^[a-z][a-z0-9_-]{0,63}$", examples("standard", "opencard"))]
pub(crate) struct Profile(String);

/// A signing secret, in the form of its profile: with `standard`, `whsec_` and the padded base64 of 24 to 64 bytes; with the
/// platforms', any text of at most 512 bytes.
#[derive(ToSchema)]
#[schema(
    pattern = r"^[^\u0000-\u001f\u007f-\u009f]{1,512}$",
    examples("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")
)]
pub(crate) struct SigningSecret(String);

/// Where the next page of a list begins: opaque, and good for that list of that tenant alone.
#[derive(ToSchema)]
#[schema(min_length = 1, max_length = 512, pattern = "^[A-Za-z0-9_-]+$", examples("q83vEjRWeJoAAAAAAAAATQ"))]
pub(crate) struct Cursor(String);
