//! Replays: what is asked for, and the names of how they stand.

use utoipa::ToSchema;

use super::{Time, TypePattern};

/// What is to be replayed. A beginning is needed: `since`, `sequence_from`, or both; all conditions hold at once.
#[derive(ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(examples(
    json!({"since": "2026-11-21T00:00:00Z"}),
    json!({"sequence_from": 4_711, "statuses": ["succeeded", "failed"], "types": ["card.*"], "per_second": 50, "dry_run": true})
))]
pub(crate) struct ReplaySpec {
    /// Accepted at this time or later.
    since: Option<Time>,
    /// Accepted before this time; after `since`.
    until: Option<Time>,
    /// With this sequence number or a later one.
    #[schema(minimum = 1, maximum = 17_592_186_044_415_u64)]
    sequence_from: Option<u64>,
    /// With this sequence number or an earlier one; not before `sequence_from`.
    #[schema(minimum = 1, maximum = 17_592_186_044_415_u64)]
    sequence_to: Option<u64>,
    /// With one of these verdicts; `failed`, `cancelled` and `skipped` unless given.
    #[schema(min_items = 1, max_items = 4)]
    statuses: Option<Vec<Verdict>>,
    /// Of these types; of any unless given.
    #[schema(min_items = 1, max_items = 50)]
    types: Option<Vec<TypePattern>>,
    /// Deliveries that are let go a second, at most.
    #[schema(minimum = 1, maximum = 10_000, default = 100)]
    per_second: Option<u32>,
    /// Only count them.
    #[schema(default = false)]
    dry_run: Option<bool>,
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

/// Whether a replay goes on: `running`; `done`, it has come to its end; `cancelled`, by a person; `failed`, its endpoint is gone
/// or disabled.
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
#[serde(deny_unknown_fields)]
#[schema(examples(json!({"matched": 1_204})))]
pub(crate) struct ReplayCount {
    /// How many.
    matched: u64,
}
