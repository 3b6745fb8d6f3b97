//! The scheduling clock: wall time at start plus the monotonic clock, drawn towards the wall clock so slowly that a jump
//! of the wall clock neither starts a storm of retries nor loses one.

use std::fmt;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use postrider_core::time::Timestamp;

/// How often the clock is drawn towards the wall clock.
pub(crate) const SLEW_EVERY: Duration = Duration::from_millis(100);
/// How much of a drift is taken back each time: schedules stretch or shrink by a tenth at most, which is within their
/// jitter, and no step is so large that a paced endpoint would get two attempts for one.
const SLEW_STEP: Duration = Duration::from_millis(10);

/// What tells the wall clock's time: the system's, or one that a test sets.
#[derive(Clone)]
pub struct WallClock(Arc<dyn Fn() -> Timestamp + Send + Sync>);

impl WallClock {
    /// One that is told by a function.
    pub fn of(told: impl Fn() -> Timestamp + Send + Sync + 'static) -> Self {
        Self(Arc::new(told))
    }
}

impl Default for WallClock {
    /// The system's.
    fn default() -> Self {
        Self::of(wall)
    }
}

impl fmt::Debug for WallClock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("WallClock")
    }
}

/// See the module.
pub(crate) struct Clock {
    wall: WallClock,
    started: Instant,
    /// Microseconds to add to the monotonic time.
    offset: AtomicI64,
    /// The latest time that was told.
    latest: AtomicI64,
}

impl Clock {
    pub(crate) fn new(wall: WallClock) -> Self {
        let offset = AtomicI64::new((wall.0)().as_micros());
        Self { wall, started: Instant::now(), offset, latest: AtomicI64::new(0) }
    }

    /// The wall clock, for signatures and records of attempts.
    pub(crate) fn wall(&self) -> Timestamp {
        (self.wall.0)()
    }

    /// Scheduling time: never goes back.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        let time = elapsed.saturating_add(self.offset.load(Ordering::Relaxed));
        Timestamp::from_micros(time.max(self.latest.fetch_max(time, Ordering::Relaxed)))
    }

    /// Draws the clock towards the wall clock; called every [`SLEW_EVERY`].
    pub(crate) fn slew(&self) {
        let drift = slew_by(self.wall().as_micros() - self.now().as_micros());
        self.offset.fetch_add(drift, Ordering::Relaxed);
    }
}

/// How much of a drift (µs, wall minus scheduling time) is taken back in one step.
fn slew_by(drift: i64) -> i64 {
    let most = i64::try_from(SLEW_STEP.as_micros()).unwrap_or(0);
    drift.clamp(-most, most)
}

/// The system's wall clock, for records of what people do.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_never_goes_back_while_it_is_drawn_back() {
        let clock = Clock::new(WallClock::default());
        let mut last = clock.now();
        for _ in 0..1_000 {
            clock.offset.fetch_sub(10_000, Ordering::Relaxed);
            let now = clock.now();
            assert!(now >= last);
            last = now;
        }
    }

    #[test]
    fn abuse_a63_an_hour_s_jump_is_absorbed_in_small_steps() {
        for hour in [3_600_000_000_i64, -3_600_000_000] {
            let mut drift = hour;
            let mut steps = 0_u32;
            while drift != 0 {
                let step = slew_by(drift);
                assert!(
                    step.unsigned_abs() <= 10_000,
                    "a tenth of a second never lasts more than 110 or less than 90 ms"
                );
                drift -= step;
                steps += 1;
            }
            assert_eq!(steps, 360_000);
        }
    }
}
