//! What happened to each event of a run: when it was sent, whether it was accepted, when it arrived where.

use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Instant;

use arc_swap::ArcSwapOption;

use super::figures::Latencies;

/// Events whose records are allocated together.
const CHUNK: usize = 1 << 16;
/// Chunks at most, so 268 million events in a run.
const CHUNKS: usize = 4_096;
/// Set in an event's sending time once the server has accepted it.
const ACCEPTED: u64 = 1 << 63;
/// Digits of a counter in an event id.
pub(super) const COUNTER_DIGITS: usize = 10;

/// The one clock of publishers and receiver: nanoseconds since the bench began, never 0.
#[derive(Debug, Clone, Copy)]
pub(super) struct Clock(Instant);

impl Clock {
    pub(super) fn start() -> Self {
        Self(Instant::now())
    }

    pub(super) fn now(self) -> u64 {
        // 2^63 ns are 292 years.
        self.0.elapsed().as_nanos() as u64 + 1
    }
}

/// The run that arrivals are counted for.
#[derive(Debug)]
pub(super) struct Recorder {
    pub(super) clock: Clock,
    pub(super) run: ArcSwapOption<Run>,
}

impl Recorder {
    pub(super) fn new() -> Self {
        Self { clock: Clock::start(), run: ArcSwapOption::empty() }
    }
}

/// The records of one run. Everything is written without locks.
#[derive(Debug)]
pub(super) struct Run {
    /// What all event ids of the run begin with; the counter follows.
    label: String,
    tenants: u64,
    fanout: usize,
    chunks: Box<[OnceLock<Chunk>]>,
    next: AtomicU64,
    arrivals: AtomicU64,
    duplicates: AtomicU64,
    strays: AtomicU64,
}

#[derive(Debug)]
struct Chunk {
    sent: Box<[AtomicU64]>,
    arrived: Box<[AtomicU64]>,
}

/// A request at the receiver, as far as the record needs it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Arrival<'a> {
    /// The header `webhook-id`.
    pub(super) id: &'a [u8],
    /// The path of the endpoint.
    pub(super) path: &'a str,
}

/// Sums over a run.
#[derive(Debug)]
pub(super) struct Tally {
    /// Deliveries that arrived while the window was open.
    pub(super) arrived_in_window: u64,
    /// Deliveries that arrived at any time.
    pub(super) arrived: u64,
    /// Deliveries of accepted events that never arrived.
    pub(super) lost: u64,
    /// Requests for a delivery that had arrived before.
    pub(super) duplicates: u64,
    /// Requests that belong to no event of this run, or came to the wrong endpoint.
    pub(super) strays: u64,
    /// From the intended sending to the arrival, of what was to be sent in the window.
    pub(super) latencies: Latencies,
}

impl Run {
    /// Records for events of `tenants` tenants, each with `fanout` endpoints.
    pub(super) fn new(label: String, tenants: u64, fanout: usize) -> Self {
        Self {
            label,
            tenants,
            fanout,
            chunks: (0..CHUNKS).map(|_| OnceLock::new()).collect(),
            next: AtomicU64::new(0),
            arrivals: AtomicU64::new(0),
            duplicates: AtomicU64::new(0),
            strays: AtomicU64::new(0),
        }
    }

    pub(super) fn label(&self) -> &str {
        &self.label
    }

    pub(super) fn tenants(&self) -> u64 {
        self.tenants
    }

    /// The id of an event.
    pub(super) fn id(&self, counter: u64) -> String {
        format!("{}{counter:0width$}", self.label, width = COUNTER_DIGITS)
    }

    /// The path of a tenant's endpoint at the receiver; [`Run::arrive`] reads it.
    pub(super) fn path(tenant: u64, slot: usize) -> String {
        format!("/hook/{tenant:05}/{slot:03}")
    }

    /// Takes the next `count` counters and returns the first; `None` when the table is full.
    pub(super) fn take(&self, count: u64) -> Option<u64> {
        let first = self.next.fetch_add(count, Relaxed);
        (first + count <= (CHUNKS * CHUNK) as u64).then_some(first)
    }

    /// Notes when events were to be sent.
    pub(super) fn sent(&self, first: u64, count: u64, at: u64) {
        for counter in first..first + count {
            if let Some((chunk, index)) = self.chunk(counter) {
                chunk.sent[index].store(at, Relaxed);
            }
        }
    }

    /// Notes that the server has taken an event.
    pub(super) fn accepted(&self, counter: u64) {
        if let Some((chunk, index)) = self.chunk(counter) {
            chunk.sent[index].fetch_or(ACCEPTED, Relaxed);
        }
    }

    /// Notes an arrival.
    pub(super) fn arrive(&self, arrival: Arrival<'_>, at: u64) {
        let Some((counter, slot)) = self.locate(arrival) else {
            self.strays.fetch_add(1, Relaxed);
            return;
        };
        let Some((chunk, index)) = self.chunk(counter) else { return };
        let cell = &chunk.arrived[index * self.fanout + slot];
        if cell.compare_exchange(0, at, Relaxed, Relaxed).is_ok() {
            self.arrivals.fetch_add(1, Relaxed);
        } else {
            self.duplicates.fetch_add(1, Relaxed);
        }
    }

    /// Deliveries that have arrived.
    pub(super) fn arrivals(&self) -> u64 {
        self.arrivals.load(Relaxed)
    }

    /// Deliveries that all events sent so far can have.
    pub(super) fn possible(&self) -> u64 {
        self.next.load(Relaxed) * self.fanout as u64
    }

    fn locate(&self, arrival: Arrival<'_>) -> Option<(u64, usize)> {
        let digits = arrival.id.strip_prefix(self.label.as_bytes())?;
        if digits.len() != COUNTER_DIGITS {
            return None;
        }
        let counter = number(digits)?;
        let (tenant, slot) = arrival.path.strip_prefix("/hook/")?.split_once('/')?;
        let slot = number(slot.as_bytes())? as usize;
        let expected = counter % self.tenants == number(tenant.as_bytes())?;
        (expected && slot < self.fanout && counter < self.next.load(Relaxed)).then_some((counter, slot))
    }

    fn chunk(&self, counter: u64) -> Option<(&Chunk, usize)> {
        let counter = usize::try_from(counter).ok()?;
        let chunk = self.chunks.get(counter / CHUNK)?.get_or_init(|| Chunk {
            sent: (0..CHUNK).map(|_| AtomicU64::new(0)).collect(),
            arrived: (0..CHUNK * self.fanout).map(|_| AtomicU64::new(0)).collect(),
        });
        Some((chunk, counter % CHUNK))
    }

    /// Adds up the run; the window is in nanoseconds of the clock.
    pub(super) fn tally(&self, window: std::ops::Range<u64>) -> Tally {
        let mut tally = Tally {
            arrived_in_window: 0,
            arrived: self.arrivals.load(Relaxed),
            lost: 0,
            duplicates: self.duplicates.load(Relaxed),
            strays: self.strays.load(Relaxed),
            latencies: Latencies::new(),
        };
        let end = self.next.load(Relaxed).min((CHUNKS * CHUNK) as u64);
        for counter in 0..end {
            let Some((chunk, index)) = self.chunk(counter) else { break };
            let sent = chunk.sent[index].load(Relaxed);
            for cell in &chunk.arrived[index * self.fanout..(index + 1) * self.fanout] {
                let at = cell.load(Relaxed);
                if at == 0 {
                    tally.lost += u64::from(sent & ACCEPTED != 0);
                    continue;
                }
                tally.arrived_in_window += u64::from(window.contains(&at));
                let sent = sent & !ACCEPTED;
                if window.contains(&sent) {
                    tally.latencies.record(at.saturating_sub(sent));
                }
            }
        }
        tally
    }
}

/// A decimal number of at most 19 digits.
fn number(digits: &[u8]) -> Option<u64> {
    if digits.is_empty() || digits.len() > 19 {
        return None;
    }
    digits.iter().try_fold(0_u64, |number, digit| {
        digit.is_ascii_digit().then(|| number * 10 + u64::from(digit - b'0'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn arrive(run: &Run, id: &str, path: &str, at: u64) {
        run.arrive(Arrival { id: id.as_bytes(), path }, at);
    }

    #[test]
    fn lost_duplicate_and_stray_deliveries_are_told_apart() {
        let run = Run::new("r1-".into(), 2, 2);
        assert_eq!(run.take(3), Some(0));
        run.sent(0, 3, 100);
        run.accepted(0);
        run.accepted(1);
        // Event 0 of tenant 0 arrives at both endpoints, once twice; event 1 of tenant 1 at one.
        arrive(&run, &run.id(0), "/hook/00000/000", 150);
        arrive(&run, &run.id(0), "/hook/00000/001", 160);
        arrive(&run, &run.id(0), "/hook/00000/001", 170);
        arrive(&run, &run.id(1), "/hook/00001/000", 900);
        // Wrong tenant, wrong endpoint, another run, an event never sent, nonsense.
        arrive(&run, &run.id(1), "/hook/00000/001", 1);
        arrive(&run, &run.id(1), "/hook/00001/002", 1);
        arrive(&run, "r2-0000000001", "/hook/00001/001", 1);
        arrive(&run, &run.id(3), "/hook/00001/001", 1);
        arrive(&run, "r1-00000000x1", "/hook/00001/001", 1);
        arrive(&run, &run.id(1), "/", 1);
        let tally = run.tally(0..500);
        assert_eq!((tally.arrived, tally.arrived_in_window), (3, 2));
        assert_eq!((tally.lost, tally.duplicates, tally.strays), (1, 1, 6));
        assert_eq!(tally.latencies.len(), 3);
    }

    #[test]
    fn an_event_that_was_not_accepted_is_not_lost() {
        let run = Run::new("r1-".into(), 1, 1);
        run.take(1);
        run.sent(0, 1, 5);
        assert_eq!(run.tally(0..10).lost, 0);
        run.accepted(0);
        assert_eq!(run.tally(0..10).lost, 1);
    }

    #[test]
    fn a_full_table_takes_no_more() {
        let run = Run::new("r1-".into(), 1, 1);
        assert_eq!(run.take((CHUNKS * CHUNK) as u64), Some(0));
        assert_eq!(run.take(1), None);
    }
}
