//! The simulator itself: what a seed is worth, that it means the same each time, and that it sees what it should.

#![forbid(unsafe_code)]

use postrider_sim::guarantee::Guarantee;
use postrider_sim::mutant::Mutant;
use postrider_sim::options::Options;
use postrider_sim::run::run;
use postrider_sim::situation::{Situation, Situations};
use postrider_sim::world::TraceMode;

/// Seeds that run with every test run, in a build without optimisation: `scripts/test.sh` runs many more in one with.
const FEW: u64 = 40;

#[test]
fn a_seed_is_the_same_run_each_time_byte_for_byte() {
    for seed in [1, 2, 3, 5, 8, 13] {
        let first = run(seed, None, TraceMode::Kept).unwrap();
        let second = run(seed, None, TraceMode::Kept).unwrap();
        assert_eq!(first, second, "seed {seed}");
        // Whether somebody looks on changes nothing but that there is a trace.
        let unseen = run(seed, None, TraceMode::Off).unwrap();
        assert_eq!((unseen.inputs, unseen.attempts), (first.inputs, first.attempts), "seed {seed}");
        assert_ne!(unseen.trace, first.trace, "seed {seed}");
    }
}

#[test]
fn seeds_keep_what_is_promised_and_are_worth_their_time() {
    let mut tally = [0_u64; Situation::ALL.len()];
    for seed in 1..=FEW {
        let outcome =
            run(seed, None, TraceMode::Off).unwrap_or_else(|broken| panic!("seed {seed}: {broken}"));
        assert!(outcome.events >= 200 && outcome.inputs >= 3_000, "seed {seed}: {outcome:?}");
        for (count, (situation, _)) in tally.iter_mut().zip(Situation::ALL) {
            *count += u64::from(outcome.situations.contains(situation));
        }
    }
    // Not all of them in so few, but most.
    assert!(tally.iter().filter(|count| **count > 0).count() > 30, "{tally:?}");
}

#[test]
fn bugs_are_told_by_what_they_break() {
    for (mutant, guarantee) in [
        (Mutant::SequenceAgain, Guarantee::Sequence),
        (Mutant::BoundaryLost, Guarantee::Order),
        (Mutant::KeyNotFound, Guarantee::Idempotency),
        (Mutant::RetryAfterDropped, Guarantee::Wishes),
    ] {
        let broken = (1..=FEW).find_map(|seed| run(seed, Some(mutant), TraceMode::Off).err());
        assert_eq!(broken.map(|broken| broken.guarantee), Some(guarantee), "{mutant:?}");
    }
}

#[test]
fn options_follow_from_the_seed_and_differ() {
    let drawn = |seed| format!("{:?}", Options::drawn(seed));
    assert_eq!(drawn(7), drawn(7));
    assert!((1..20).all(|seed| drawn(seed) != drawn(0)));
}

#[test]
fn every_situation_has_a_place_of_its_own() {
    for (n, (situation, _)) in Situation::ALL.into_iter().enumerate() {
        assert_eq!(situation as usize, n);
        let mut situations = Situations::default();
        situations.saw(situation);
        let seen = Situation::ALL.into_iter().filter(|(other, _)| situations.contains(*other)).count();
        assert_eq!(seen, 1, "{situation:?}");
    }
}
