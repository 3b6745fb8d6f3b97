//! What the whole-process tests stand on: the real program as a child, a client of its API, and a receiver that does as
//! it is told.

pub(crate) mod api;
pub(crate) mod browser;
pub(crate) mod receiver;
pub(crate) mod server;
pub(crate) mod wire;

use std::time::{Duration, Instant};

pub(crate) use api::{Answer, Api, Tenant};
pub(crate) use receiver::{Received, Receiver, Reply};
pub(crate) use server::{Server, Setup};

/// How long anything that is waited for may take.
pub(crate) const PATIENCE: Duration = Duration::from_secs(15);
const POLL: Duration = Duration::from_millis(10);

/// Looks until there is something, within [`PATIENCE`].
pub(crate) async fn eventually<T>(what: &str, look: impl AsyncFnMut() -> Option<T>) -> T {
    within(PATIENCE, what, look).await
}

/// Looks until there is something, within a bound.
pub(crate) async fn within<T>(bound: Duration, what: &str, mut look: impl AsyncFnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + bound;
    loop {
        if let Some(found) = look().await {
            return found;
        }
        assert!(Instant::now() < deadline, "not within {bound:?}: {what}");
        tokio::time::sleep(POLL).await;
    }
}

/// Waits until what happens next bears a later time than what happened before: times are told in milliseconds.
pub(crate) async fn another_millisecond() {
    let begun = Instant::now();
    eventually("time goes on", async || (begun.elapsed() > Duration::from_millis(2)).then_some(())).await;
}

/// Holds for as long as it is looked at: what must not happen has `bound` to happen in.
pub(crate) async fn throughout(bound: Duration, what: &str, mut holds: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + bound;
    while Instant::now() < deadline {
        assert!(holds().await, "{what}");
        tokio::time::sleep(POLL).await;
    }
}
