//! The scheduling clock: wall time at start plus the monotonic clock, drawn towards the wall clock so slowly that a jump
//! of the wall clock neither starts a storm of retries nor loses one.

use std::sync::atomic::{AtomicI64, Ordering};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use postrider_core::time::Timestamp;

/// How much of each second's drift is taken back: schedules stretch or shrink by a tenth at most, which is within their jitter.
const SLEW_PER_SECOND: Duration = Duration::from_millis(100);

/// See the module.
pub(crate) struct Clock {
    started: Instant,
    /// Microseconds to add to the monotonic time.
    offset: AtomicI64,
}

impl Clock {
    pub(crate) fn new() -> Self {
        Self { started: Instant::now(), offset: AtomicI64::new(wall().as_micros()) }
    }

    /// Scheduling time: never goes back.
    pub(crate) fn now(&self) -> Timestamp {
        let elapsed = i64::try_from(self.started.elapsed().as_micros()).unwrap_or(i64::MAX);
        Timestamp::from_micros(elapsed.saturating_add(self.offset.load(Ordering::Relaxed)))
    }

    /// Draws the clock towards the wall clock; called about every second.
    pub(crate) fn slew(&self) {
        let drift = slew_by(wall().as_micros() - self.now().as_micros());
        self.offset.fetch_add(drift, Ordering::Relaxed);
    }
}

/// How much of a drift (µs, wall minus scheduling time) is taken back in one second.
fn slew_by(drift: i64) -> i64 {
    let most = i64::try_from(SLEW_PER_SECOND.as_micros()).unwrap_or(0);
    drift.clamp(-most, most)
}

/// The wall clock, for signatures and records.
pub(crate) fn wall() -> Timestamp {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
    Timestamp::from_micros(i64::try_from(since.as_micros()).unwrap_or(i64::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn abuse_a63_an_hour_s_jump_is_absorbed_in_small_steps() {
        for hour in [3_600_000_000_i64, -3_600_000_000] {
            let mut drift = hour;
            let mut seconds = 0_u32;
            while drift != 0 {
                let step = slew_by(drift);
                assert!(
                    step.unsigned_abs() <= 100_000,
                    "a second never lasts more than 1.1 or less than 0.9"
                );
                drift -= step;
                seconds += 1;
            }
            assert_eq!(seconds, 36_000);
        }
    }
}
