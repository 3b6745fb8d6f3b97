//! What is known beside tenants: event types, and whose subjects are.

use utoipa::ToSchema;

use super::{Description, TenantId};

/// What the events of a type are: something that happened, or a question that waits for its answer.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum EventKind {
    Notification,
    Decision,
}

/// A kind of partner: 1 to 128 of `A-Za-z0-9._:-`, and neither `.` nor `..`.
#[derive(ToSchema)]
#[schema(
    min_length = 1,
    max_length = 128,
    pattern = r"^(\.{0,2}[A-Za-z0-9_:-][A-Za-z0-9._:-]*|\.{3}[A-Za-z0-9._:-]*)$",
    examples("payment-gateway")
)]
pub(crate) struct Integration(String);

/// What is said of an event type. Nothing of it is required.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({
    "description": "A card was used",
    "schema": {
        "type": "object", "required": ["amount", "currency"],
        "properties": {"amount": {"type": "number", "minimum": 0}, "currency": {"type": "string", "pattern": "^[A-Z]{3}$"}}
    },
    "example": {"amount": 42.50, "currency": "USD"}
})))]
pub(crate) struct EventTypeSpec {
    /// What happened when such an event comes.
    description: Option<Description>,
    /// A JSON Schema (2020-12) that its data must fit: at most 64 KiB and 64 patterns, all references inside of it. Its
    /// bounds of numbers (`minimum`, `multipleOf` ...) are IEEE doubles.
    #[schema(value_type = Option<Object>)]
    schema: Option<()>,
    /// Data as it may be, which fits the schema; at most 64 KiB. Sent by tests, byte for byte.
    example: Option<serde_json::Value>,
    /// The integrations that may subscribe to it, each once; all unless given.
    #[schema(max_items = 64)]
    integrations: Option<Vec<Integration>>,
    /// `notification` unless given.
    kind: Option<EventKind>,
}

/// Whose a subject is.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"tenants": ["acme", "loyalty-club"]})))]
pub(crate) struct SubjectSpec {
    /// The tenants that it belongs to, each once.
    #[schema(min_items = 1, max_items = 32)]
    tenants: Vec<TenantId>,
}
