//! Many runs over all cores, and what they came to together.

use std::num::NonZero;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::{Duration, Instant};

use crate::guarantee::Broken;
use crate::mutant::Mutant;
use crate::run::{Outcome, run};
use crate::situation::Situation;
use crate::world::TraceMode;

/// What several runs came to.
#[derive(Clone, Debug, Default)]
pub struct Tally {
    /// How many there were.
    pub runs: u64,
    /// The sums of what each came to; its situations and trace mean nothing.
    pub sums: Outcome,
    /// In how many each situation arose, in the order of [`Situation::ALL`].
    pub situations: Vec<u64>,
    /// Fewest events and inputs that a run had.
    pub least: Option<(u64, u64)>,
    /// What broke, with the seed: the first of them.
    pub broken: Option<(u64, Broken)>,
    /// How long it took.
    pub took: Duration,
}

impl Tally {
    fn add(&mut self, outcome: &Outcome) {
        self.runs += 1;
        let sums = &mut self.sums;
        sums.inputs += outcome.inputs;
        sums.events += outcome.events;
        sums.deliveries += outcome.deliveries;
        sums.attempts += outcome.attempts;
        sums.crashes += outcome.crashes;
        sums.elapsed += outcome.elapsed;
        self.situations.resize(Situation::ALL.len(), 0);
        for (count, (situation, _)) in self.situations.iter_mut().zip(Situation::ALL) {
            *count += u64::from(outcome.situations.contains(situation));
        }
        let (events, inputs) = self.least.unwrap_or((u64::MAX, u64::MAX));
        self.least = Some((events.min(outcome.events), inputs.min(outcome.inputs)));
    }

    fn join(&mut self, other: &Self) {
        self.runs += other.runs;
        let (sums, more) = (&mut self.sums, &other.sums);
        sums.inputs += more.inputs;
        sums.events += more.events;
        sums.deliveries += more.deliveries;
        sums.attempts += more.attempts;
        sums.crashes += more.crashes;
        sums.elapsed += more.elapsed;
        self.situations.resize(Situation::ALL.len(), 0);
        for (count, more) in self.situations.iter_mut().zip(&other.situations) {
            *count += more;
        }
        self.least =
            [self.least, other.least].into_iter().flatten().reduce(|a, b| (a.0.min(b.0), a.1.min(b.1)));
        let earlier = |seed: u64| self.broken.as_ref().is_none_or(|(first, _)| seed < *first);
        if let Some((seed, broken)) = &other.broken
            && earlier(*seed)
        {
            self.broken = Some((*seed, broken.clone()));
        }
    }
}

/// How many runs, and for how long.
#[derive(Clone, Copy, Debug)]
pub struct Extent {
    /// The first seed; the others follow.
    pub first: u64,
    /// How many.
    pub seeds: u64,
    /// No run begins after so long.
    pub within: Option<Duration>,
}

/// How a bug fared.
#[derive(Clone, Debug)]
pub struct Caught {
    /// Which.
    pub mutant: Mutant,
    /// What caught it, and after how many seeds; `None` if none of the seeds did.
    pub by: Option<(Broken, u64)>,
}

/// Plants each bug in turn, and runs up to so many seeds until one catches it. Over all cores.
pub fn catch_all(mutants: &[Mutant], seeds: u64) -> Vec<Caught> {
    let next = AtomicU64::new(0);
    let caught = Mutex::new(Vec::new());
    let work = || {
        while let Ok(n) = usize::try_from(next.fetch_add(1, Relaxed))
            && let Some(&mutant) = mutants.get(n)
        {
            let by = (1..=seeds)
                .find_map(|seed| run(seed, Some(mutant), TraceMode::Off).err().map(|broken| (broken, seed)));
            if let Ok(mut caught) = caught.lock() {
                caught.push((n, Caught { mutant, by }));
            }
        }
    };
    on_all_cores(work);
    let mut caught = caught.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    caught.sort_unstable_by_key(|(n, _)| *n);
    caught.into_iter().map(|(_, caught)| caught).collect()
}

fn on_all_cores(work: impl Fn() + Sync) {
    std::thread::scope(|scope| {
        for _ in 0..std::thread::available_parallelism().map_or(1, NonZero::get) {
            scope.spawn(&work);
        }
    });
}

/// Runs seeds over all cores until one breaks a guarantee. `told` hears how many have run, now and then.
pub fn run_all(extent: Extent, mutant: Option<Mutant>, told: impl Fn(u64) + Sync) -> Tally {
    let begun = Instant::now();
    let next = AtomicU64::new(0);
    let stop = AtomicBool::new(false);
    let total = Mutex::new(Tally::default());
    let work = || {
        let mut tally = Tally::default();
        while !stop.load(Relaxed) && extent.within.is_none_or(|within| begun.elapsed() < within) {
            let n = next.fetch_add(1, Relaxed);
            if n >= extent.seeds {
                break;
            }
            let seed = extent.first.wrapping_add(n);
            match run(seed, mutant, TraceMode::Off) {
                Ok(outcome) => tally.add(&outcome),
                Err(broken) => {
                    tally.broken = Some((seed, broken));
                    stop.store(true, Relaxed);
                }
            }
            if n.is_multiple_of(1_000) && n > 0 {
                told(n);
            }
        }
        if let Ok(mut total) = total.lock() {
            total.join(&tally);
        }
    };
    on_all_cores(work);
    let mut tally = total.into_inner().unwrap_or_else(std::sync::PoisonError::into_inner);
    tally.took = begun.elapsed();
    tally
}
