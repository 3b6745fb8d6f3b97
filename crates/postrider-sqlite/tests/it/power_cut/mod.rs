//! Power cuts: whatever is lost that no fsync stood for, everything acknowledged is there, and nothing half.
//!
//! A kill leaves the kernel's page cache behind, and so shows nothing of what an fsync is for. Here a process of its own
//! writes a database while strace notes every write, truncation and fsync of its files, with their bytes, and every
//! acknowledgement. From the trace the files are put together again as a disk could have them when the power fails at
//! some moment: surely what a returned fsync stood for (of a file its bytes, of the directory the names), and of the
//! later writes none, all, or any sectors in any order. Each such database is opened and must be what the conformance
//! suite's journey had at its last acknowledged group, or at the next.
//!
//! No library stands between: what is judged are the calls that the kernel got. What is not modelled is a disk that lies
//! about an fsync. And the judgement is judged: with the fsyncs of the log taken out of the same trace it has to find
//! losses.

mod disk;
mod trace;

use std::path::PathBuf;

use postrider_sqlite::{SqliteConfig, open};
use postrider_store::Writer as _;
use postrider_store::conformance::crash::travel;
use postrider_store::conformance::random::Random;

use disk::{Disk, Fate};
use trace::{LOG, MAIN, Step, trace};

const SEED: u64 = 5;
/// Groups that are committed.
const GROUPS: u64 = 40;
/// Moments at which the power fails.
const CUTS: u64 = 40;
/// Names the database to the process that is traced.
const DATABASE: &str = "POSTRIDER_TEST_DATABASE";

/// Small, so that checkpoints come often and the log begins again and again.
fn config() -> SqliteConfig {
    SqliteConfig { checkpoint_bytes: 512 << 10, wal_bytes: 1 << 20, ..SqliteConfig::default() }
}

#[test]
#[ignore = "is run by the test below, in a process that is traced"]
fn traced() {
    let database = PathBuf::from(std::env::var_os(DATABASE).unwrap());
    let (store, mut writer) = open(&database, config()).unwrap();
    travel(SEED, GROUPS, &*store, &mut writer, |number| println!("told {number}."));
    drop(store);
    Box::new(writer).close().unwrap();
}

#[test]
fn abuse_a60_when_the_power_fails_at_any_moment_everything_acknowledged_is_there() {
    let directory = tempfile::tempdir().unwrap();
    let database = directory.path().join("p.db");
    let steps = trace(directory.path(), &database);
    let count = |wanted: fn(&Step) -> bool| steps.iter().filter(|step| wanted(step)).count();
    let (told, synced) = (count(|s| matches!(s, Step::Told(_))), count(|s| matches!(s, Step::Began { .. })));
    assert_eq!(told as u64, GROUPS);
    let moved = count(|s| matches!(s, Step::Wrote { file: MAIN, .. }));
    assert!(moved > 0, "no checkpoint moved anything into the database");

    let mut random = Random(SEED);
    let mut judged = 0;
    let first = steps.iter().position(|step| matches!(step, Step::Told(_))).unwrap() as u64;
    for number in 0..CUTS {
        // Every fourth one while the database is made, which does not take long.
        let upto = if number % 4 == 0 { first } else { steps.len() as u64 };
        let cut = random.below(upto) as usize;
        let disk = Disk::after(&steps, cut);
        for fate in [Fate::Lost, Fate::Kept, Fate::Torn] {
            disk.judge(fate, &mut random)
                .unwrap_or_else(|fault| panic!("cut at step {cut}, {fate:?}: {fault}"));
            judged += 1;
        }
    }
    eprintln!(
        "{GROUPS} commits, {synced} fsyncs, {moved} writes into the database, power cut at {CUTS} moments: {judged} \
         databases opened, nothing acknowledged lost"
    );

    // Without the fsyncs of the log the same cuts lose something.
    let careless: Vec<Step> =
        steps.into_iter().filter(|step| !matches!(step, Step::Began { file: LOG, .. })).collect();
    let found = (1..=8).any(|part| {
        let disk = Disk::after(&careless, careless.len() * part / 10);
        disk.judge(Fate::Lost, &mut random).is_err()
    });
    assert!(found, "a store that does not sync passes");
}
