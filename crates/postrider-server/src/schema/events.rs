//! Events: how they are published, and what is answered.

use utoipa::ToSchema;

use super::{Attributes, EventId, OrderingKey, SubjectId, TenantId, Time, TypeName};
use crate::problem::ProblemDocument;

/// An event to be published.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct NewEvent {
    /// Whose; needed unless there is a subject.
    tenant: Option<TenantId>,
    /// The card or account that it is about. Without a tenant it becomes one event for each tenant that the subject belongs
    /// to; with one, which must be among them, it goes to that one alone.
    subject: Option<SubjectId>,
    /// Its type.
    r#type: TypeName,
    /// What happened: any JSON, delivered byte for byte as it came.
    data: serde_json::Value,
    /// The publisher's own id; the server gives one otherwise. Publishing it again is answered with the first receipt, and with
    /// 409 where the event is another one.
    #[schema(min_length = 1, max_length = 128, pattern = "^[A-Za-z0-9_:-]+$", examples("txn-4711"))]
    id: Option<String>,
    key: Option<OrderingKey>,
    attributes: Option<Attributes>,
    /// When it happened; now unless given.
    occurred_at: Option<Time>,
    /// From when on nobody wants it any more: no attempt is made after that.
    expires_at: Option<Time>,
}

/// A batch of events, each accepted or refused by itself.
#[derive(ToSchema)]
#[schema(max_items = 1_000)]
pub(crate) struct Batch(Vec<NewEvent>);

/// One event, or a batch of them.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum EventOrBatch {
    One(NewEvent),
    Batch(Batch),
}

/// A receipt: the event and everything owed for it are durable.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"id": "evt_01m7yvrba5e008kg000000045f", "deliveries": 1})))]
pub(crate) struct Receipt {
    id: EventId,
    /// How many deliveries are pending for it; skipped ones are in the log, with their reason.
    deliveries: u32,
}

/// The receipt of one of the events that a subject's event became.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
pub(crate) struct TenantReceipt {
    /// Whose event it is.
    tenant: TenantId,
    id: EventId,
    /// How many deliveries are pending for it; skipped ones are in the log, with their reason.
    deliveries: u32,
}

/// The receipts of a subject's event, one for each tenant.
#[derive(ToSchema)]
#[schema(examples(json!({"data": [
    {"tenant": "acme", "id": "evt_01m7yvrba5e008kg000000045f", "deliveries": 1},
    {"tenant": "loyalty-club", "id": "evt_01m7yvrba5e00c3g0000000479", "deliveries": 2}
]})))]
pub(crate) struct SubjectAnswer {
    /// Tenant by tenant.
    #[schema(min_items = 1, max_items = 32)]
    data: Vec<TenantReceipt>,
}

/// What became of one event of a batch: a receipt, receipts by tenant, or an error in its place.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum BatchItem {
    #[schema(title = "Accepted")]
    Accepted(Receipt),
    #[schema(title = "Of a subject")]
    Shared(SubjectAnswer),
    #[schema(title = "Refused")]
    Refused(RefusedItem),
}

/// Why an event of a batch was not accepted. Of an event for one tenant nothing was stored; of a subject's event some tenants' may
/// be, which the same event with the same key completes.
#[derive(ToSchema)]
pub(crate) struct RefusedItem {
    #[schema(value_type = ProblemDocument)]
    error: (),
}

/// The answer to a batch.
#[derive(ToSchema)]
#[schema(examples(json!({"data": [
    {"id": "txn-4711", "deliveries": 1},
    {"error": {
        "type": "urn:postrider:problem:invalid", "title": "The request is not valid", "status": 422,
        "detail": "see errors for each fault", "errors": [{"pointer": "/1/type", "detail": "is missing"}]
    }}
]})))]
pub(crate) struct BatchAnswer {
    /// Item by item, in order.
    data: Vec<BatchItem>,
}

/// A receipt for one event, receipts by tenant for one of a subject, or the answer to a batch.
#[derive(ToSchema)]
#[serde(untagged)]
pub(crate) enum PublishAnswer {
    #[schema(title = "One")]
    One(Receipt),
    #[schema(title = "One of a subject")]
    Shared(SubjectAnswer),
    #[schema(title = "Batch")]
    Batch(BatchAnswer),
}
