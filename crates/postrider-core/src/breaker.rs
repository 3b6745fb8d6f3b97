//! When to stop trying an endpoint for a while, and when to look whether it is back.

use std::collections::VecDeque;
use std::time::Duration;

use crate::id::Position;
use crate::record::ErrorKind;
use crate::time::Timestamp;

/// So many different deliveries failing within [`SPREAD`], and none succeeding, trip the breaker whatever their errors say.
const DIFFERENT_FAILURES: usize = 20;
/// See [`DIFFERENT_FAILURES`].
const SPREAD: Duration = Duration::from_secs(60);

/// The numbers of a breaker.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct BreakerConfig {
    /// Consecutive failures that say "not now" and trip it.
    pub failures: u32,
    /// The wait before the first probe.
    pub probe_initial: Duration,
    /// The longest wait between probes; each is twice the one before.
    pub probe_max: Duration,
}

impl Default for BreakerConfig {
    fn default() -> Self {
        Self { failures: 5, probe_initial: Duration::from_secs(5), probe_max: Duration::from_secs(300) }
    }
}

/// The circuit breaker of one endpoint.
#[derive(Debug, Default)]
pub struct Breaker {
    consecutive: u32,
    /// Lately failed deliveries, each once; at most [`DIFFERENT_FAILURES`].
    failed: VecDeque<(Timestamp, Position)>,
    open: Option<Open>,
    /// A probe is under way. It may outlive the opening it was made for: one that closed meanwhile, and opened again.
    probing: bool,
}

#[derive(Debug, Clone, Copy)]
struct Open {
    since: Timestamp,
    interval: Duration,
    next_probe: Timestamp,
}

impl Breaker {
    /// A breaker that was open when the process stopped: it probes soon.
    pub fn restored(tripped_at: Timestamp, now: Timestamp, config: &BreakerConfig) -> Self {
        let open = Open { since: tripped_at, interval: config.probe_initial, next_probe: now };
        Self { open: Some(open), ..Self::default() }
    }

    /// Since when it is open.
    pub fn tripped_at(&self) -> Option<Timestamp> {
        self.open.map(|o| o.since)
    }

    /// When the next probe may leave; `None` while closed, or while one is under way.
    pub fn next_probe(&self) -> Option<Timestamp> {
        self.open.filter(|_| !self.probing).map(|o| o.next_probe)
    }

    /// When it will be tried again, as people are told.
    pub fn retry_at(&self) -> Option<Timestamp> {
        self.open.map(|o| o.next_probe)
    }

    /// A probe leaves.
    pub fn probe_started(&mut self) {
        self.probing = true;
    }

    /// A probe ended, whatever it found; a fault of ours does not count for more than that.
    pub fn probe_ended(&mut self) {
        self.probing = false;
    }

    /// An attempt was acknowledged, or the address is new: closes it. Returns whether it was open.
    pub fn close(&mut self) -> bool {
        self.consecutive = 0;
        self.failed = VecDeque::new();
        self.open.take().is_some()
    }

    /// An attempt failed. Returns whether this trips a closed breaker.
    pub fn failed(
        &mut self,
        now: Timestamp,
        delivery: Position,
        not_now: bool,
        probe: bool,
        config: &BreakerConfig,
    ) -> bool {
        if let Some(open) = &mut self.open {
            if probe {
                open.interval = (open.interval * 2).min(config.probe_max);
                open.next_probe = now + open.interval;
            }
            return false;
        }
        self.consecutive = if not_now { self.consecutive.saturating_add(1) } else { 0 };
        self.failed.retain(|(at, position)| *position != delivery && now.since(*at) < SPREAD);
        self.failed.push_back((now, delivery));
        if self.consecutive >= config.failures || self.failed.len() >= DIFFERENT_FAILURES {
            self.trip(now, config);
            return true;
        }
        false
    }

    /// Opens it, whatever was seen.
    pub fn trip(&mut self, now: Timestamp, config: &BreakerConfig) {
        if self.open.is_none() {
            let interval = config.probe_initial;
            self.open = Some(Open { since: now, interval, next_probe: now + interval });
        }
        self.consecutive = 0;
        self.failed = VecDeque::new();
    }

    /// Whether a failure says that the receiver cannot be served now, rather than that it dislikes one delivery.
    pub fn says_not_now(error: ErrorKind, status_code: Option<u16>) -> bool {
        match error {
            ErrorKind::Connect
            | ErrorKind::Tls
            | ErrorKind::Timeout
            | ErrorKind::Dns
            | ErrorKind::Guard
            | ErrorKind::OAuth => true,
            ErrorKind::Status => matches!(status_code, Some(410 | 429 | 502..=504)),
            ErrorKind::Reset | ErrorKind::Local => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const CONFIG: BreakerConfig = BreakerConfig {
        failures: 5,
        probe_initial: Duration::from_secs(5),
        probe_max: Duration::from_secs(300),
    };

    fn at(secs: i64) -> Timestamp {
        Timestamp::from_secs(secs)
    }

    #[test]
    fn five_not_nows_in_a_row_trip_it_and_a_success_between_does_not() {
        let mut b = Breaker::default();
        for n in 0..4 {
            assert!(!b.failed(at(n), Position(1), true, false, &CONFIG));
        }
        assert!(!b.close());
        for n in 0..4 {
            assert!(!b.failed(at(n), Position(1), true, false, &CONFIG));
        }
        assert!(b.failed(at(9), Position(1), true, false, &CONFIG));
        assert_eq!(b.next_probe(), Some(at(14)));
    }

    #[test]
    fn twenty_different_deliveries_within_a_minute_trip_it_and_one_alone_never_does() {
        let mut b = Breaker::default();
        for n in 0..100 {
            assert!(!b.failed(at(n / 10), Position(7), false, false, &CONFIG));
        }
        for n in 0..19_u64 {
            assert_eq!(b.failed(at(10), Position(100 + n), false, false, &CONFIG), n == 18, "{n}");
        }
    }

    #[test]
    fn probes_come_at_doubling_intervals_up_to_the_longest() {
        let mut b = Breaker::default();
        b.trip(at(0), &CONFIG);
        let mut now = at(0);
        let mut waits = Vec::new();
        for _ in 0..9 {
            let next = b.next_probe().unwrap();
            waits.push(next.since(now).as_secs());
            now = next;
            b.probe_started();
            assert_eq!(b.next_probe(), None);
            b.probe_ended();
            assert!(!b.failed(now, Position(1), true, true, &CONFIG));
        }
        assert_eq!(waits, [5, 10, 20, 40, 80, 160, 300, 300, 300]);
        assert!(b.close());
        assert_eq!(b.tripped_at(), None);
    }
    #[test]
    fn a_probe_that_outlives_its_opening_keeps_the_next_from_leaving() {
        let mut b = Breaker::default();
        b.trip(at(0), &CONFIG);
        b.probe_started();
        assert!(b.close());
        b.trip(at(7), &CONFIG);
        assert_eq!(b.next_probe(), None);
        b.probe_ended();
        assert_eq!(b.next_probe(), Some(at(12)));
    }
}
