//! How fast and how wide an endpoint is sent to: a rate limit without bursts, and a concurrency that adapts. And how often
//! a caller may do something: so many times at once, and then at a steady rate.

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

/// How often something may happen: `burst` times at once, and then `count` times in each period, evenly.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// How often at once, after a while without any; 1 and up.
    pub burst: u32,
    /// How often in each period; 1 and up.
    pub count: u32,
    /// The period: up to a day.
    pub per: Duration,
}

impl Rate {
    /// So many in each second, all of them at once after a second without any.
    pub const fn per_second(count: u32) -> Self {
        Self { burst: count, count, per: Duration::from_secs(1) }
    }

    /// One token in the unit that buckets count in, which makes a whole number of what flows in each microsecond.
    fn token(self) -> u64 {
        u64::try_from(self.per.as_micros()).unwrap_or(u64::MAX).max(1)
    }
}

/// A bucket of tokens: each time something happens it takes one, and they come back at a [`Rate`]. Exact: in whole numbers.
///
/// ```
/// use std::time::Duration;
/// use postrider_core::pace::{Bucket, Rate};
/// use postrider_core::time::Timestamp;
/// let (rate, now) = (Rate { burst: 2, count: 1, per: Duration::from_secs(3) }, Timestamp::from_secs(100));
/// let mut bucket = Bucket::full(rate, now);
/// assert!(bucket.take(rate, now).is_ok() && bucket.take(rate, now).is_ok());
/// assert_eq!(bucket.take(rate, now + Duration::from_secs(1)), Err(Duration::from_secs(2)));
/// assert!(bucket.take(rate, now + Duration::from_secs(3)).is_ok());
/// ```
#[derive(Debug, Clone, Copy)]
pub struct Bucket {
    level: u64,
    at: Timestamp,
}

impl Bucket {
    /// One that nothing was taken from for a while.
    pub fn full(rate: Rate, now: Timestamp) -> Self {
        Self { level: u64::from(rate.burst).saturating_mul(rate.token()), at: now }
    }

    /// How long until there is a token; zero if there is one now.
    pub fn wait(&self, rate: Rate, now: Timestamp) -> Duration {
        let missing = rate.token().saturating_sub(self.level_at(rate, now));
        Duration::from_micros(missing.div_ceil(u64::from(rate.count.max(1))))
    }

    /// Takes a token.
    ///
    /// # Errors
    /// How long until there is one.
    pub fn take(&mut self, rate: Rate, now: Timestamp) -> Result<(), Duration> {
        let wait = self.wait(rate, now);
        if !wait.is_zero() {
            return Err(wait);
        }
        self.level = self.level_at(rate, now) - rate.token();
        self.at = self.at.max(now);
        Ok(())
    }

    /// How long until it has all the tokens that it can have, when a new one would do as well; zero if it has them now.
    pub fn until_full(&self, rate: Rate, now: Timestamp) -> Duration {
        let missing = Self::full(rate, now).level - self.level_at(rate, now);
        Duration::from_micros(missing.div_ceil(u64::from(rate.count.max(1))))
    }

    fn level_at(&self, rate: Rate, now: Timestamp) -> u64 {
        let passed = u64::try_from(now.since(self.at).as_micros()).unwrap_or(u64::MAX);
        let came = passed.saturating_mul(u64::from(rate.count));
        self.level.saturating_add(came).min(Self::full(rate, now).level)
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

    proptest! {
        #[test]
        fn no_time_holds_more_than_the_burst_and_what_came_in_it(
            burst in 1_u32..20, count in 1_u32..50, per_ms in 1_u64..5_000, delays in prop::collection::vec(0_u64..2_000_000, 1..200),
        ) {
            let rate = Rate { burst, count, per: Duration::from_millis(per_ms) };
            let mut now = Timestamp::from_secs(1_000);
            let mut bucket = Bucket::full(rate, now);
            let mut taken: Vec<Timestamp> = Vec::new();
            for delay in delays {
                now = now + Duration::from_micros(delay);
                match bucket.take(rate, now) {
                    Ok(()) => taken.push(now),
                    Err(wait) => {
                        // Neither a microsecond earlier nor later than it says.
                        prop_assert!(bucket.wait(rate, now + wait).is_zero());
                        prop_assert!(!bucket.wait(rate, now + wait - Duration::from_micros(1)).is_zero());
                    }
                }
            }
            for (n, first) in taken.iter().enumerate() {
                for (k, last) in taken[n..].iter().enumerate() {
                    let came = u128::from(count) * last.since(*first).as_micros() / rate.per.as_micros();
                    prop_assert!((k as u128) < u128::from(burst) + came + 1);
                }
            }
        }
    }

    #[test]
    fn a_bucket_never_holds_more_than_its_burst() {
        let rate = Rate::per_second(1_000_000);
        let mut bucket = Bucket::full(rate, Timestamp::EPOCH);
        for now in [Timestamp::EPOCH, Timestamp::FAR_FUTURE, Timestamp::EPOCH] {
            assert!(bucket.until_full(rate, now) <= Duration::from_micros(2));
            assert_eq!(bucket.take(rate, now), Ok(()));
            assert!(!bucket.until_full(rate, now).is_zero());
        }
        // A lower rate holds from now on.
        let slow = Rate::per_second(1);
        assert_eq!(bucket.take(slow, Timestamp::FAR_FUTURE), Ok(()));
        assert_eq!(bucket.take(slow, Timestamp::FAR_FUTURE), Err(Duration::from_secs(1)));
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
