//! When the next request of a connection is to be sent: at once, or at a time that does not wait for answers.

use std::io;

use super::record::Clock;

/// The sending times of one connection.
#[derive(Debug)]
pub(super) enum Pace {
    /// Closed loop: as soon as the answer before is there.
    Closed,
    /// Open loop: at fixed times, whatever the answers do.
    Open(Schedule),
}

/// Fixed times, in nanoseconds of the clock.
#[derive(Debug)]
pub(super) struct Schedule {
    next: u64,
    step: u64,
    timer: Timer,
}

impl Pace {
    /// The share of connection `number` of `connections` in `rate` requests a second from `start` on.
    ///
    /// # Errors
    /// When the system gives no timer.
    pub(super) fn open(rate: f64, number: usize, connections: usize, start: u64) -> io::Result<Self> {
        let gap = 1e9 / rate;
        let next = start + (gap * number as f64) as u64;
        let step = (gap * connections as f64).max(1.0) as u64;
        Ok(Self::Open(Schedule { next, step, timer: Timer::new()? }))
    }

    /// Waits for the next sending time and returns it. One that has passed already is returned at once, so that
    /// the wait for a slow answer counts as latency of the requests behind it.
    ///
    /// # Errors
    /// When the timer fails.
    pub(super) async fn next(&mut self, clock: Clock) -> io::Result<u64> {
        match self {
            Self::Closed => Ok(clock.now()),
            Self::Open(schedule) => {
                let at = schedule.next;
                schedule.next += schedule.step;
                let now = clock.now();
                if now < at {
                    schedule.timer.sleep(at - now).await?;
                }
                Ok(at)
            }
        }
    }
}

/// A timer of the kernel: the runtime's own rounds to milliseconds, which would show as latency.
#[cfg(target_os = "linux")]
#[derive(Debug)]
struct Timer(tokio::io::unix::AsyncFd<std::os::fd::OwnedFd>);

#[cfg(target_os = "linux")]
impl Timer {
    #[allow(deprecated, reason = "its successor is unsafe to call; an OwnedFd keeps what that call asks for")]
    fn new() -> io::Result<Self> {
        use rustix::time::{TimerfdClockId, TimerfdFlags, timerfd_create};
        let fd = timerfd_create(TimerfdClockId::Monotonic, TimerfdFlags::NONBLOCK | TimerfdFlags::CLOEXEC)?;
        Ok(Self(tokio::io::unix::AsyncFd::new(fd)?))
    }

    async fn sleep(&mut self, ns: u64) -> io::Result<()> {
        use rustix::time::{Itimerspec, TimerfdTimerFlags, Timespec, timerfd_settime};
        let zero = Timespec { tv_sec: 0, tv_nsec: 0 };
        let value =
            Timespec { tv_sec: (ns / 1_000_000_000) as i64, tv_nsec: (ns % 1_000_000_000).cast_signed() };
        let once = Itimerspec { it_interval: zero, it_value: value };
        timerfd_settime(self.0.get_ref(), TimerfdTimerFlags::empty(), &once)?;
        loop {
            let mut ready = self.0.readable().await?;
            let read = ready.try_io(|fd| Ok(rustix::io::read(fd.get_ref(), &mut [0_u8; 8])?));
            if let Ok(done) = read {
                return done.map(|_| ());
            }
        }
    }
}

#[cfg(not(target_os = "linux"))]
#[derive(Debug)]
struct Timer;

#[cfg(not(target_os = "linux"))]
impl Timer {
    fn new() -> io::Result<Self> {
        Ok(Self)
    }

    async fn sleep(&mut self, ns: u64) -> io::Result<()> {
        tokio::time::sleep(std::time::Duration::from_nanos(ns)).await;
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn an_open_loop_keeps_its_times_and_does_not_wait_for_the_past() {
        let clock = Clock::start();
        let start = clock.now();
        let mut pace = Pace::open(1_000.0, 1, 2, start).unwrap();
        for expected in [1_000_000, 3_000_000, 5_000_000] {
            let at = pace.next(clock).await.unwrap();
            assert_eq!(at, start + expected);
            assert!(clock.now() >= at);
        }
        let mut late = Pace::open(1_000.0, 0, 1, start).unwrap();
        assert_eq!(late.next(clock).await.unwrap(), start, "a time that has passed is returned as it was");
    }
}
