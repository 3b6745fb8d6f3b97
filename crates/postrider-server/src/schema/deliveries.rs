//! Deliveries: the names of what becomes of them.

use utoipa::ToSchema;

/// What became of a delivery: `pending`; `succeeded`; `failed`, its schedule is exhausted or its endpoint disabled; `cancelled`, by a
/// person, a removal, or time; `skipped`, the endpoint could not take it when it came.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Status {
    Pending,
    Succeeded,
    Failed,
    Cancelled,
    Skipped,
}

/// Why a delivery failed, was cancelled or skipped.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Reason {
    ScheduleExhausted,
    EndpointDisabled,
    AbortedByReceiver,
    Requested,
    EndpointDeleted,
    Expired,
    BacklogFull,
    Paused,
    Unverified,
    NotEntitled,
}

/// Why an attempt was made: by the `schedule`, by hand (`retry`), by a `replay`, as a `test`, or to see whether a tripped endpoint is
/// back (`probe`).
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum Trigger {
    Schedule,
    Retry,
    Replay,
    Test,
    Probe,
}

/// What went wrong: the name could not be resolved (`dns`), no connection (`connect`), no encrypted one (`tls`), no answer in time
/// (`timeout`), the connection broke (`reset`), the address may not be reached (`guard`), the receiver answered something else than
/// 2xx (`status`), there was no token to send the request with (`oauth`), or the fault was on our side (`local`), which uses up no
/// step of the schedule.
#[derive(ToSchema)]
#[schema(rename_all = "snake_case")]
pub(crate) enum FailureKind {
    Dns,
    Connect,
    Tls,
    Timeout,
    Reset,
    Guard,
    Status,
    Local,
    Oauth,
}
