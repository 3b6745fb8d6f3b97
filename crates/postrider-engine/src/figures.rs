//! Figures of one endpoint: how its deliveries went lately, and how it stands.

use std::sync::Arc;
use std::time::Duration;

use postrider_core::id::TenantNo;
use postrider_core::record::Status;
use postrider_core::time::Timestamp;

use crate::Engine;
use crate::directory::Endpoint;
use crate::driver::EndpointStatus;
use crate::error::ServiceError;
use crate::reading::For;

/// Deliveries that the figures are made of: the newest ones.
const LOOKED_AT: usize = 10_000;
/// How far back they go unless asked otherwise.
const WINDOW: Duration = Duration::from_secs(24 * 3_600);

/// The figures of an endpoint.
pub struct EndpointStats {
    /// The endpoint.
    pub endpoint: Arc<Endpoint>,
    /// How it stands.
    pub standing: EndpointStatus,
    /// From when on the figures are complete: where the window begins, or later if there were too many deliveries in it.
    pub complete_from: Timestamp,
    /// Where the window begins.
    pub since: Timestamp,
    /// Deliveries accepted in the window, by what became of them.
    pub counts: [(Status, u64); Status::ALL.len()],
    /// Durations of their attempts that half of them, 95 % and 99 % did not exceed; `None` without an attempt.
    pub latency: Option<[Duration; 3]>,
    /// When the oldest delivery was accepted that is pending.
    pub oldest_pending: Option<Timestamp>,
}

impl EndpointStats {
    /// What part of the deliveries succeeded of those that succeeded or failed; `None` if there is none.
    #[allow(clippy::cast_precision_loss, reason = "at most 10,000")]
    pub fn success_rate(&self) -> Option<f64> {
        let [succeeded, failed] = [Status::Succeeded, Status::Failed].map(|s| self.counts[s as usize].1);
        let ended = succeeded + failed;
        (ended > 0).then(|| succeeded as f64 / ended as f64)
    }
}

impl Engine {
    /// The figures of an endpoint since a time, or over the last 24 hours.
    ///
    /// # Errors
    /// [`ServiceError::NotFound`]; else as the store fails.
    pub async fn endpoint_stats(
        &self,
        tenant: TenantNo,
        id: &str,
        since: Option<Timestamp>,
    ) -> Result<EndpointStats, ServiceError> {
        let endpoint = self.found(tenant, id)?;
        let since = since.unwrap_or_else(|| self.now() - WINDOW);
        let no = endpoint.no;
        let mut figures =
            self.read(For::Count(tenant), move |store| store.figures(no, since, LOOKED_AT)).await?;
        let standing = self.standing(&endpoint)?;
        Ok(EndpointStats {
            endpoint,
            standing,
            complete_from: figures.complete_from.unwrap_or(since),
            since,
            counts: Status::ALL.map(|status| (status, figures.counts[status as usize])),
            latency: percentiles(&mut figures.durations),
            oldest_pending: figures.oldest_pending,
        })
    }
}

/// The nearest ranks: the smallest duration that so many of a hundred do not exceed.
fn percentiles(durations: &mut [Duration]) -> Option<[Duration; 3]> {
    durations.sort_unstable();
    let last = durations.len().checked_sub(1)?;
    Some(
        [50, 95, 99]
            .map(|percent| durations[(durations.len() * percent).div_ceil(100).saturating_sub(1).min(last)]),
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn percentiles_are_durations_that_occurred() {
        let of = |millis: &[u64]| {
            let mut all: Vec<_> = millis.iter().copied().map(Duration::from_millis).collect();
            percentiles(&mut all).map(|found| found.map(|d| d.as_millis()))
        };
        assert_eq!(of(&[]), None);
        assert_eq!(of(&[7]), Some([7, 7, 7]));
        assert_eq!(of(&[4, 1, 3, 2]), Some([2, 4, 4]));
        assert_eq!(of(&(1..=200).rev().collect::<Vec<_>>()), Some([100, 190, 198]));
    }
}
