//! What the receiver saw, endpoint by endpoint, and how it answered.

use std::collections::HashMap;
use std::ops::Range;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use super::cast::{CAST, Manner};
use super::traffic::Happening;

/// The record of all endpoints.
#[derive(Debug)]
pub(super) struct Ledger {
    start: Instant,
    /// When the endpoint that goes down is down, since the start.
    down: Range<Duration>,
    endpoints: [Mutex<Record>; CAST.len()],
}

/// The record of one endpoint.
#[derive(Debug, Default)]
struct Record {
    deliveries: HashMap<u64, Seen>,
    lanes: HashMap<String, Lane>,
    sequences: HashMap<u64, u64>,
    tally: Tally,
}

/// One delivery at its endpoint.
#[derive(Debug)]
struct Seen {
    refusals_left: u32,
    taken: bool,
}

/// The events of one ordering key.
#[derive(Debug, Default)]
struct Lane {
    /// What was last taken.
    last: Option<u64>,
    /// What was refused and must come again before anything else.
    open: Option<u64>,
}

/// Sums of one endpoint.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(super) struct Tally {
    /// Requests.
    pub(super) arrivals: u64,
    /// Different deliveries among them.
    pub(super) unique: u64,
    /// Answered with 200 for the first time.
    pub(super) taken: u64,
    /// Answered with an error on purpose.
    pub(super) refused: u64,
    /// Requests for a delivery that had been taken before.
    pub(super) repeated: u64,
    /// Signatures that hold.
    pub(super) verified: u64,
    /// Signatures that do not.
    pub(super) forged: u64,
    /// Requests without the right user name and password.
    pub(super) strangers: u64,
    /// Bodies that do not hold what was published, byte for byte.
    pub(super) altered: u64,
    /// Requests that nobody owes this endpoint.
    pub(super) strays: u64,
    /// Requests that came before their predecessor in the lane was taken.
    pub(super) disordered: u64,
    /// Sequence numbers given to two deliveries.
    pub(super) sequence_clashes: u64,
    /// The highest sequence number.
    pub(super) last_sequence: u64,
}

/// A request as the record needs it.
#[derive(Debug)]
pub(super) struct Arrival<'a> {
    /// `webhook-id`.
    pub(super) id: &'a str,
    /// `webhook-sequence`.
    pub(super) sequence: u64,
    /// The signature holds.
    pub(super) signed: bool,
    /// User name and password are right, or not asked for.
    pub(super) known: bool,
    pub(super) body: &'a [u8],
}

/// What the receiver answers.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Verdict {
    Taken,
    Broken,
    Busy,
    Down,
    /// Not signed by us, or not meant for this endpoint.
    Unwelcome,
}

impl Ledger {
    /// Empty, with the clock running. `seconds` is how long there is traffic; the outage lies in the middle of it.
    pub(super) fn new(seconds: f64) -> Self {
        let outage = (seconds / 2.0).min(2.0);
        let from = Duration::from_secs_f64((seconds - outage) / 2.0);
        let down = from..from + Duration::from_secs_f64(outage);
        Self { start: Instant::now(), down, endpoints: std::array::from_fn(|_| Mutex::default()) }
    }

    /// How long it has been running.
    pub(super) fn elapsed(&self) -> Duration {
        self.start.elapsed()
    }

    /// The sums of one endpoint.
    pub(super) fn tally(&self, endpoint: usize) -> Tally {
        self.endpoints[endpoint].lock().tally
    }

    /// Notes a request and decides what it is answered.
    pub(super) fn arrive(&self, endpoint: usize, arrival: &Arrival<'_>) -> Verdict {
        let down = self.down.contains(&self.elapsed());
        let mut record = self.endpoints[endpoint].lock();
        record.arrive(endpoint, arrival, down)
    }
}

impl Record {
    fn arrive(&mut self, endpoint: usize, arrival: &Arrival<'_>, down: bool) -> Verdict {
        let part = &CAST[endpoint];
        let tally = &mut self.tally;
        tally.arrivals += 1;
        tally.verified += u64::from(arrival.signed);
        tally.forged += u64::from(!arrival.signed);
        tally.strangers += u64::from(!arrival.known);
        let Some((number, event)) = published(arrival.id).filter(|(n, e)| part.is_owed(*n, e.kind)) else {
            tally.strays += 1;
            return Verdict::Unwelcome;
        };
        if memchr::memmem::find(arrival.body, event.data.as_bytes()).is_none() {
            tally.altered += 1;
        }
        if !arrival.signed || !arrival.known {
            return Verdict::Unwelcome;
        }
        if *self.sequences.entry(arrival.sequence).or_insert(number) != number {
            tally.sequence_clashes += 1;
        }
        tally.last_sequence = tally.last_sequence.max(arrival.sequence);
        let nth = self.deliveries.len() as u64 + 1;
        let seen = self.deliveries.entry(number).or_insert_with(|| {
            tally.unique += 1;
            Seen { refusals_left: part.manner.refusals(nth), taken: false }
        });
        tally.repeated += u64::from(seen.taken);
        let lane = part.ordered.then(|| self.lanes.entry(event.key).or_default());
        if let Some(lane) = &lane
            && (lane.open.is_some_and(|open| open != number) || lane.last.is_some_and(|last| last > number))
        {
            tally.disordered += 1;
        }
        let verdict = match part.manner {
            Manner::Down if down => Verdict::Down,
            Manner::Flaky(_) if seen.refusals_left > 0 => Verdict::Broken,
            Manner::Busy(_) if seen.refusals_left > 0 => Verdict::Busy,
            _ => Verdict::Taken,
        };
        if verdict == Verdict::Taken {
            tally.taken += u64::from(!seen.taken);
            seen.taken = true;
        } else {
            tally.refused += 1;
            seen.refusals_left = seen.refusals_left.saturating_sub(1);
        }
        if let Some(lane) = lane {
            lane.open = (verdict != Verdict::Taken).then_some(number);
            if verdict == Verdict::Taken {
                lane.last = lane.last.max(Some(number));
            }
        }
        verdict
    }
}

/// Number and content of the event with this id.
fn published(id: &str) -> Option<(u64, Happening)> {
    let number = id.strip_prefix("demo-")?.parse().ok()?;
    let event = Happening::new(number);
    (event.id == id).then_some((number, event))
}

#[cfg(test)]
mod tests {
    use super::*;

    /// `corner-coffee/ledger`, which wants order.
    const ORDERED: usize = 1;

    fn arrive(record: &mut Record, number: u64, sequence: u64) -> Verdict {
        let event = Happening::new(number);
        let body = format!("{{\"data\":{}}}", event.data);
        let arrival = Arrival { id: &event.id, sequence, signed: true, known: true, body: body.as_bytes() };
        record.arrive(ORDERED, &arrival, false)
    }

    /// Events of one key that are owed to the ordered endpoint.
    fn of_one_key() -> Vec<u64> {
        let key = Happening::new(3).key;
        (3..2_000)
            .filter(|n| Happening::new(*n).key == key && CAST[ORDERED].is_owed(*n, Happening::new(*n).kind))
            .collect()
    }

    #[test]
    fn a_successor_before_its_refused_predecessor_is_out_of_order() {
        let (numbers, mut record) = (of_one_key(), Record::default());
        for (at, number) in numbers.iter().take(5).enumerate() {
            assert_eq!(arrive(&mut record, *number, at as u64 + 1), Verdict::Taken);
        }
        assert_eq!(arrive(&mut record, numbers[5], 6), Verdict::Broken);
        assert_eq!(record.tally.disordered, 0);
        arrive(&mut record, numbers[6], 7);
        assert_eq!(record.tally.disordered, 1);
    }

    #[test]
    fn repeats_strays_forgeries_and_altered_bodies_are_told_apart() {
        let (numbers, mut record) = (of_one_key(), Record::default());
        arrive(&mut record, numbers[0], 1);
        arrive(&mut record, numbers[0], 1);
        arrive(&mut record, numbers[1], 1);
        let event = Happening::new(numbers[2]);
        let base = Arrival { id: &event.id, sequence: 3, signed: true, known: true, body: b"{}" };
        record.arrive(ORDERED, &base, false);
        let forged = Arrival { signed: false, body: event.data.as_bytes(), ..base };
        assert_eq!(record.arrive(ORDERED, &forged, false), Verdict::Unwelcome);
        let stray = Arrival { id: "demo-000001", sequence: 4, signed: true, known: true, body: b"" };
        assert_eq!(record.arrive(ORDERED, &stray, false), Verdict::Unwelcome);
        let tally = record.tally;
        assert_eq!((tally.arrivals, tally.unique, tally.taken, tally.repeated), (6, 3, 3, 1));
        assert_eq!((tally.altered, tally.forged, tally.strays, tally.sequence_clashes), (1, 1, 1, 1));
    }
}
