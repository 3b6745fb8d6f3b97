//! How fast and how wide an endpoint is sent to: a rate limit without bursts, and a concurrency that adapts.

use std::time::Duration;

use crate::time::Timestamp;

/// Attempts are spaced a little wider than the limit asks, so that uneven starts of sending stay within it over any second.
const GUARD: Duration = Duration::from_millis(25);
/// Timers are coarse: a start may come this much before its exact time. Smaller than [`GUARD`].
const SLACK: Duration = Duration::from_millis(2);

/// Spaces the starts of attempts. After a restart one interval is waited.
#[derive(Debug, Clone, Copy)]
pub struct Pacer {
    interval: Duration,
    next: Timestamp,
}

impl Pacer {
    /// At most `per_second` (1 and up) starts within any second.
    pub fn new(per_second: u32, now: Timestamp) -> Self {
        let interval = (Duration::from_secs(1) + GUARD) / per_second.max(1);
        Self { interval, next: now + interval }
    }

    /// When the next attempt may start.
    pub fn ready_at(&self) -> Timestamp {
        self.next - SLACK.min(self.interval / 2)
    }

    /// An attempt starts.
    pub fn started(&mut self, now: Timestamp) {
        self.next = self.next.max(now - SLACK.min(self.interval / 2)) + self.interval;
    }
}

/// How many attempts an endpoint may have under way: starts small, one more for each success, half after a timeout.
#[derive(Debug, Clone, Copy)]
pub struct Concurrency(u32);

impl Concurrency {
    const START: u32 = 2;

    /// As at the beginning.
    pub const fn start() -> Self {
        Self(Self::START)
    }

    /// The limit in force.
    pub fn limit(self, max: u32) -> u32 {
        self.0.min(max).max(1)
    }

    /// After a success.
    pub fn grow(&mut self, max: u32) {
        self.0 = (self.0 + 1).min(max.max(1));
    }

    /// After a timeout.
    pub fn halve(&mut self) {
        self.0 = (self.0 / 2).max(1);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    proptest! {
        #[test]
        fn no_second_holds_more_starts_than_the_limit(per_second in 1_u32..2_000, delays in prop::collection::vec(0_u64..3_000, 1..300)) {
            let mut now = Timestamp::from_secs(1_000);
            let mut pacer = Pacer::new(per_second, now);
            let mut starts = Vec::new();
            for delay in delays {
                // The driver comes late by up to 3 ms, and may then start several at once.
                now = now.max(pacer.ready_at()) + Duration::from_micros(delay);
                while pacer.ready_at() <= now {
                    starts.push(now);
                    pacer.started(now);
                }
            }
            for (n, first) in starts.iter().enumerate() {
                let within = starts[n..].iter().take_while(|s| s.since(*first) < Duration::from_secs(1)).count();
                prop_assert!(within <= per_second as usize, "{within} of {per_second}");
            }
        }
    }

    #[test]
    fn concurrency_grows_by_one_and_halves() {
        let mut c = Concurrency::start();
        for _ in 0..20 {
            c.grow(16);
        }
        assert_eq!(c.limit(16), 16);
        c.halve();
        assert_eq!(c.limit(16), 8);
        for _ in 0..9 {
            c.halve();
        }
        assert_eq!(c.limit(16), 1);
    }
}
